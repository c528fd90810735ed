//! What scripts are written in.

/// A language that an interpreter runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Language {
    Python,
    JavaScript,
}

impl Language {
    /// All of them.
    pub(crate) const ALL: [Self; 2] = [Self::Python, Self::JavaScript];

    /// As people write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Python => "Python",
            Self::JavaScript => "JavaScript",
        }
    }
}
