//! What several sources agree on: a name that only one of them would give is a guess.

/// What all of them are, if they are all the same.
pub(crate) fn agreed<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
}
