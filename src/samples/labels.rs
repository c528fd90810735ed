//! Sets of labels, each stored once.

use indexmap::IndexSet;

/// A set of labels of one log. Zero is the empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LabelsId(pub(crate) u32);

impl LabelsId {
    /// No labels.
    pub(crate) const NONE: Self = Self(0);
}

/// Keys and values, in order of the keys.
pub(crate) type LabelSet = Box<[(String, String)]>;

/// Sets beyond this number share one for each combination of keys: a request's number is a fine label, but a recording of
/// any length has to fit into memory.
const MAX_SETS: usize = 1 << 16;

/// The value of each label in such a set.
const OTHER: &str = "(other)";

/// All sets of labels.
#[derive(Debug)]
pub(crate) struct LabelTable {
    sets: IndexSet<LabelSet>,
    limit: usize,
}

impl Default for LabelTable {
    fn default() -> Self {
        Self::with_limit(MAX_SETS)
    }
}

impl LabelTable {
    fn with_limit(limit: usize) -> Self {
        Self { sets: IndexSet::from([LabelSet::default()]), limit }
    }

    /// The handle of a set. Of several values for a key, the last counts.
    pub(crate) fn intern(&mut self, labels: impl IntoIterator<Item = (String, String)>) -> LabelsId {
        let mut set: Vec<(String, String)> = Vec::new();
        for (key, value) in labels {
            match set.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                None => set.push((key, value)),
            }
        }
        set.sort();
        let set = set.into_boxed_slice();
        if self.sets.len() >= self.limit && !self.sets.contains(&set) {
            let other = set.into_iter().map(|(key, _)| (key, OTHER.to_owned())).collect::<LabelSet>();
            return self.insert(other);
        }
        self.insert(set)
    }

    fn insert(&mut self, set: LabelSet) -> LabelsId {
        LabelsId(u32::try_from(self.sets.insert_full(set).0).unwrap_or(0))
    }

    /// All sets, the empty one first.
    pub(crate) fn sets(&self) -> impl ExactSizeIterator<Item = &LabelSet> {
        self.sets.iter()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn equal_sets_are_one() {
        let mut table = LabelTable::default();
        let first = table.intern(set(&[("route", "/a"), ("tenant", "x")]));
        assert_eq!(table.intern(set(&[("tenant", "x"), ("route", "/b"), ("route", "/a")])), first);
        assert_ne!(table.intern(set(&[("route", "/a")])), first);
        assert_eq!(table.intern([]), LabelsId(0));
        assert_eq!(table.sets().len(), 3);
    }

    #[test]
    fn there_is_a_limit() {
        let mut table = LabelTable::with_limit(10);
        let ids: Vec<LabelsId> =
            (0..1000).map(|number| table.intern(set(&[("request", &number.to_string())]))).collect();
        assert_eq!(table.sets().len(), 11);
        assert_eq!(ids[999], ids[500]);
        assert_eq!(table.intern(set(&[("request", "3")])), ids[3], "what was there before is kept apart");
        assert_eq!(table.sets().last(), Some(&set(&[("request", OTHER)]).into_boxed_slice()));
    }
}
