//! Sets of labels: those that are in use, and those that samples of a window bear.
//!
//! A set of labels that the host has made is *in use* while anything may be recorded with it, and has a number for that
//! time, which is all that a signal handler needs to know of it. [`LabelRegistry`] knows which set a number means. When a
//! sample is kept, its number becomes a handle of the window that the sample is in: a window has a [`LabelTable`] of its own,
//! which goes with the window. So nothing is left of labels that nobody uses any more and no sample bears.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use indexmap::IndexSet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::append_vec::AppendVec;
use crate::lock::lock;

/// The number of a set of labels that is in use; no other set of the recorder ever has it. Zero is that of no labels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LabelsId(pub(crate) u64);

impl LabelsId {
    /// No labels.
    pub(crate) const NONE: Self = Self(0);
}

/// A set of labels of one window. Zero is the empty one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LabelSetId(pub(crate) u32);

/// Keys and values, in order of the keys.
pub(crate) type LabelSet = Box<[(String, String)]>;

/// The labels that are in use, by their numbers. Its lock is never held for long, and while it is, no other is taken.
#[derive(Debug, Default)]
pub(crate) struct LabelRegistry {
    sets: Mutex<NumberedSets>,
    /// Whether samples wait in buffers, with numbers whose sets somebody will ask for later.
    has_buffers: AtomicBool,
}

#[derive(Debug, Default)]
struct NumberedSets {
    last: u64,
    by_number: FxHashMap<u64, Arc<LabelSet>>,
    /// Numbers that nobody uses any more, but that samples in buffers may bear.
    retired: Vec<u64>,
}

/// A set of labels in use. While this exists, its number means the set.
#[derive(Debug)]
pub(crate) struct LabelsInUse {
    registry: Arc<LabelRegistry>,
    number: u64,
}

/// Sets that wait for the buffers to be emptied. So many may, before whoever makes labels had better see to it.
const MANY_RETIRED: usize = 1 << 14;

impl LabelRegistry {
    /// Takes a set into use. Of several values for a key, the last counts.
    pub(crate) fn add(self: &Arc<Self>, labels: impl IntoIterator<Item = (String, String)>) -> LabelsInUse {
        let mut set: Vec<(String, String)> = Vec::new();
        for (key, value) in labels {
            match set.iter_mut().find(|(known, _)| *known == key) {
                Some((_, known)) => *known = value,
                None => set.push((key, value)),
            }
        }
        set.sort();
        let number = if set.is_empty() {
            0
        } else {
            let set = Arc::new(set.into_boxed_slice());
            let mut sets = lock(&self.sets);
            sets.last += 1;
            let number = sets.last;
            sets.by_number.insert(number, set);
            number
        };
        LabelsInUse { registry: Arc::clone(self), number }
    }

    /// The set with this number, unless it is out of use.
    fn get(&self, number: LabelsId) -> Option<Arc<LabelSet>> {
        lock(&self.sets).by_number.get(&number.0).cloned()
    }

    /// Samples wait in buffers from now on, or no longer.
    pub(crate) fn set_buffers(&self, has_buffers: bool) {
        self.has_buffers.store(has_buffers, Ordering::SeqCst);
        if !has_buffers {
            let retired = self.retired();
            self.forget(retired);
        }
    }

    /// Whether so many sets are only waiting for the buffers to be emptied that somebody should do that.
    pub(crate) fn has_many_retired(&self) -> bool {
        lock(&self.sets).retired.len() > MANY_RETIRED
    }

    /// Takes the list of those that nobody uses any more. Once all buffers have been emptied, beginning after this,
    /// nobody will ask for them: then they are to be [forgotten](Self::forget).
    pub(crate) fn retired(&self) -> Vec<u64> {
        std::mem::take(&mut lock(&self.sets).retired)
    }

    /// Forgets sets that were retired.
    pub(crate) fn forget(&self, retired: Vec<u64>) {
        if retired.is_empty() {
            return;
        }
        let mut sets = lock(&self.sets);
        let forgotten: Vec<_> = retired.iter().filter_map(|number| sets.by_number.remove(number)).collect();
        // A host may have had many at once, long ago.
        if sets.by_number.capacity() > 64 && sets.by_number.len() < sets.by_number.capacity() / 8 {
            sets.by_number.shrink_to_fit();
        }
        drop(sets);
        // Strings are freed while nobody waits.
        drop(forgotten);
    }

    /// The buffers could not be emptied after all.
    pub(crate) fn retire_again(&self, mut retired: Vec<u64>) {
        lock(&self.sets).retired.append(&mut retired);
    }

    /// How many sets it knows.
    #[cfg(test)]
    fn len(&self) -> usize {
        lock(&self.sets).by_number.len()
    }
}

impl LabelsInUse {
    pub(crate) fn id(&self) -> LabelsId {
        LabelsId(self.number)
    }

    /// Whether they were made by this registry.
    pub(crate) fn are_of(&self, registry: &Arc<LabelRegistry>) -> bool {
        Arc::ptr_eq(&self.registry, registry)
    }
}

impl Drop for LabelsInUse {
    fn drop(&mut self) {
        if self.number == 0 {
            return;
        }
        let mut sets = lock(&self.registry.sets);
        // Under the lock, so that what is retired before the flag goes down is forgotten by who lowers it.
        let forgotten = if self.registry.has_buffers.load(Ordering::SeqCst) {
            sets.retired.push(self.number);
            None
        } else {
            sets.by_number.remove(&self.number)
        };
        drop(sets);
        drop(forgotten);
    }
}

/// Sets of one window beyond this number share one for each combination of keys: a request's number is a fine label, but
/// who looks at a window should not drown in them.
const MAX_SETS: usize = 1 << 16;

/// The value of each label in such a set.
const OTHER: &str = "(other)";

/// Numbers that are remembered; more than are in use at a time, mostly.
const MAX_NUMBERS: usize = 4096;

/// Bytes of a set beside its labels, about: it is behind an `Arc`, and in two tables, with a hash.
const AROUND_SET: usize = 64;

/// The sets of labels of one window, each stored once.
#[derive(Debug)]
pub(crate) struct LabelTable {
    /// The position is the handle; the empty set comes first.
    sets: AppendVec<Arc<LabelSet>>,
    /// The same, to find a set by what is in it; empty once nothing is added any more.
    index: IndexSet<Arc<LabelSet>, FxBuildHasher>,
    /// The handles of sets that are in use. A number never means another set.
    numbers: FxHashMap<LabelsId, LabelSetId>,
    /// Bytes of the sets, about.
    bytes: usize,
    limit: usize,
}

impl Default for LabelTable {
    fn default() -> Self {
        Self::with_limit(MAX_SETS)
    }
}

impl LabelTable {
    fn with_limit(limit: usize) -> Self {
        let mut table = Self {
            sets: AppendVec::default(),
            index: IndexSet::default(),
            numbers: FxHashMap::default(),
            bytes: 0,
            limit,
        };
        table.insert(Arc::default());
        table
    }

    /// The handle of a set that is in use, or was when the sample was taken; that of no labels if it is not known any more.
    pub(crate) fn intern(&mut self, number: LabelsId, registry: &LabelRegistry) -> LabelSetId {
        if number == LabelsId::NONE {
            return LabelSetId::default();
        }
        if let Some(known) = self.numbers.get(&number) {
            return *known;
        }
        let Some(set) = registry.get(number) else { return LabelSetId::default() };
        let handle = if self.is_full() && !self.index.contains(&set) {
            let other = set.iter().map(|(key, _)| (key.clone(), OTHER.to_owned()));
            self.insert(Arc::new(other.collect()))
        } else {
            self.insert(set)
        };
        if self.numbers.len() >= MAX_NUMBERS {
            self.numbers.clear();
        }
        self.numbers.insert(number, handle);
        handle
    }

    /// Whether it has as many sets as are told apart.
    pub(crate) fn is_full(&self) -> bool {
        self.sets.len() >= self.limit
    }

    fn insert(&mut self, set: Arc<LabelSet>) -> LabelSetId {
        let (handle, is_new) = self.index.insert_full(Arc::clone(&set));
        if is_new {
            let strings = set.iter().map(|(key, value)| size_of::<(String, String)>() + key.len() + value.len());
            self.bytes += AROUND_SET + strings.sum::<usize>();
            self.sets.push(set);
        }
        // The limit is below 2^32, and there are not so many combinations of keys.
        LabelSetId(u32::try_from(handle).unwrap_or(0))
    }

    /// The same sets as they are now, to look at only.
    pub(crate) fn freeze(&self) -> Self {
        Self {
            sets: self.sets.clone(),
            index: IndexSet::default(),
            numbers: FxHashMap::default(),
            bytes: self.bytes,
            limit: self.limit,
        }
    }

    /// Frees what adding needs: nothing will be.
    pub(crate) fn close(&mut self) {
        self.index = IndexSet::default();
        self.numbers = FxHashMap::default();
    }

    /// Bytes of what is in here, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.numbers.capacity() * size_of::<(LabelsId, LabelSetId)>()
    }

    pub(crate) fn get(&self, set: LabelSetId) -> Option<&Arc<LabelSet>> {
        self.sets.get(set.0 as usize)
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
        let (registry, mut table) = (Arc::new(LabelRegistry::default()), LabelTable::default());
        let mut intern = |pairs: &[(&str, &str)]| {
            let labels = registry.add(set(pairs));
            table.intern(labels.id(), &registry)
        };
        let first = intern(&[("route", "/a"), ("tenant", "x")]);
        assert_eq!(intern(&[("tenant", "x"), ("route", "/b"), ("route", "/a")]), first);
        assert_ne!(intern(&[("route", "/a")]), first);
        assert_eq!(intern(&[]), LabelSetId(0));
        assert_eq!(table.sets.len(), 3);
        assert_eq!(***table.get(first).expect("the set"), *set(&[("route", "/a"), ("tenant", "x")]));
        assert_eq!(registry.len(), 0, "nothing is in use");
    }

    #[test]
    fn there_is_a_limit() {
        let (registry, mut table) = (Arc::new(LabelRegistry::default()), LabelTable::with_limit(10));
        let mut intern = |number: u32| {
            let labels = registry.add(set(&[("request", &number.to_string())]));
            table.intern(labels.id(), &registry)
        };
        let ids: Vec<LabelSetId> = (0..1000).map(&mut intern).collect();
        assert_eq!(intern(3), ids[3], "what was there before is kept apart");
        assert_eq!(table.sets.len(), 11);
        assert_eq!(ids[999], ids[500]);
        assert_eq!(***table.get(ids[999]).expect("the set"), *set(&[("request", OTHER)]));
        assert!(table.numbers.len() <= MAX_NUMBERS);
    }

    #[test]
    fn a_number_means_its_set_until_the_buffers_have_been_emptied() {
        let registry = Arc::new(LabelRegistry::default());
        registry.set_buffers(true);
        let labels = registry.add(set(&[("route", "/a")]));
        let id = labels.id();
        let before = registry.retired();
        drop(labels);
        // It was in use when these were taken: a sample may have come after that.
        registry.forget(before);
        assert!(registry.get(id).is_some());
        let retired = registry.retired();
        assert_eq!(retired, [id.0]);
        registry.retire_again(retired);
        assert!(registry.get(id).is_some());
        registry.forget(registry.retired());
        assert!(registry.get(id).is_none());
        assert_ne!(registry.add(set(&[("route", "/b")])).id(), id);
        registry.set_buffers(false);
        assert_eq!((registry.len(), registry.retired().len()), (0, 0));
        drop(registry.add(set(&[("route", "/c")])));
        assert_eq!((registry.len(), registry.retired().len()), (0, 0), "nobody will ask");
    }
}
