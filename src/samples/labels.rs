//! Sets of labels: those that are in use, and those that samples of a window bear.
//!
//! A set of labels that the host has made is *in use* while anything may be recorded with it, and has a number for that
//! time, which is all that a signal handler needs to know of it. [`LabelRegistry`] knows which set a number means. When a
//! sample is kept, its number becomes a handle of the window that the sample is in: a window has a [`LabelTable`] of its own,
//! which goes with the window. So nothing is left of labels that nobody uses any more and no sample bears.
//!
//! A set may be for one [`Request`] alone. It has a number of its own then, by which its samples can be told from those of all
//! others with the same labels.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use indexmap::IndexSet;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

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

/// Where a request belongs among those of other services, as [W3C Trace Context](https://www.w3.org/TR/trace-context/) has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct TraceContext {
    /// The number of the trace.
    pub trace_id: [u8; 16],
    /// The number of the span inside of it.
    pub span_id: [u8; 8],
}

impl TraceContext {
    /// A place in a trace; `None` if a number is zero, which the standard has for none.
    #[must_use]
    pub fn new(trace_id: [u8; 16], span_id: [u8; 8]) -> Option<Self> {
        (trace_id != [0; 16] && span_id != [0; 8]).then_some(Self { trace_id, span_id })
    }

    /// The numbers of trace and span, in hexadecimal digits.
    pub(crate) fn hex(&self) -> (String, String) {
        let digits = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        (digits(&self.trace_id), digits(&self.span_id))
    }

    /// Reads the value of a `traceparent` header: `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`. `None` if that is not
    /// what it is.
    ///
    /// ```
    /// # use witprof::TraceContext;
    /// let context = TraceContext::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
    /// assert_eq!(context.map(|context| context.span_id), Some([0x00, 0xf0, 0x67, 0xaa, 0x0b, 0xa9, 0x02, 0xb7]));
    /// assert_eq!(TraceContext::from_traceparent("00-0-0-00"), None);
    /// ```
    #[must_use]
    pub fn from_traceparent(value: &str) -> Option<Self> {
        let mut parts = value.trim_ascii().split('-');
        let [version] = bytes(parts.next()?)?;
        let (trace_id, span_id, [_flags]) = (bytes(parts.next()?)?, bytes(parts.next()?)?, bytes(parts.next()?)?);
        // Versions to come may have more behind that, and 255 is none.
        let is_known = version != u8::MAX && (version > 0 || parts.next().is_none());
        if is_known { Self::new(trace_id, span_id) } else { None }
    }
}

/// The bytes that so many hexadecimal digits are, in small letters as the standard has them.
fn bytes<const N: usize>(digits: &str) -> Option<[u8; N]> {
    let is_small = |digit: u8| matches!(digit, b'0'..=b'9' | b'a'..=b'f');
    if digits.len() != 2 * N || !digits.bytes().all(is_small) {
        return None;
    }
    let mut bytes = [0; N];
    for (at, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).ok()?;
    }
    Some(bytes)
}

/// One thing that the host does for somebody.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Request {
    /// The number of its labels.
    pub(crate) number: LabelsId,
    pub(crate) trace: Option<TraceContext>,
}

/// What an activation is for.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Purpose {
    pub(crate) labels: Arc<LabelSet>,
    /// If it is for one alone.
    pub(crate) request: Option<Request>,
}

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
    by_number: FxHashMap<u64, Purpose>,
    /// Numbers that nobody uses any more, but that samples in buffers may bear.
    retired: Vec<u64>,
}

/// A set of labels in use. While this exists, its number means the set.
#[derive(Debug)]
pub(crate) struct LabelsInUse {
    registry: Arc<LabelRegistry>,
    number: u64,
    purpose: Purpose,
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
        if set.is_empty() {
            let purpose = Purpose::default();
            return LabelsInUse { registry: Arc::clone(self), number: 0, purpose };
        }
        let labels = Arc::new(set.into_boxed_slice());
        self.use_for(|_| Purpose { labels, request: None })
    }

    /// Takes the same labels into use for one request alone.
    pub(crate) fn add_request(self: &Arc<Self>, labels: &LabelsInUse, trace: Option<TraceContext>) -> LabelsInUse {
        let labels = Arc::clone(&labels.purpose.labels);
        self.use_for(|number| Purpose { labels, request: Some(Request { number, trace }) })
    }

    fn use_for(self: &Arc<Self>, purpose: impl FnOnce(LabelsId) -> Purpose) -> LabelsInUse {
        let mut sets = lock(&self.sets);
        sets.last += 1;
        let number = sets.last;
        let purpose = purpose(LabelsId(number));
        sets.by_number.insert(number, purpose.clone());
        drop(sets);
        LabelsInUse { registry: Arc::clone(self), number, purpose }
    }

    /// What the activations with this number are for, unless it is out of use.
    fn get(&self, number: LabelsId) -> Option<Purpose> {
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

    pub(crate) fn purpose(&self) -> &Purpose {
        &self.purpose
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

/// Requests of one window that are told apart: more than a window has samples, mostly.
const MAX_REQUESTS: usize = 1 << 20;

/// Numbers that are remembered; more than are in use at a time, mostly.
const MAX_NUMBERS: usize = 4096;

/// Bytes of a purpose beside its labels, about: it is in two tables, with a hash, and its labels are behind an `Arc`.
const AROUND_SET: usize = 2 * size_of::<Purpose>() + 32;

/// What the samples of one window are for, each stored once.
#[derive(Debug)]
pub(crate) struct LabelTable {
    /// The position is the handle; the one without labels comes first.
    sets: AppendVec<Purpose>,
    /// The same, to find one by what it is; empty once nothing is added any more.
    index: IndexSet<Purpose, FxBuildHasher>,
    /// The handles of what is in use. A number never means anything else.
    numbers: FxHashMap<LabelsId, LabelSetId>,
    /// Bytes of the sets, about.
    bytes: usize,
    /// Sets of labels that are told apart,
    limit: usize,
    /// and those that there are.
    distinct: FxHashSet<Arc<LabelSet>>,
    /// Requests that are told apart,
    max_requests: usize,
    /// and those that there are.
    requests: usize,
}

impl LabelTable {
    /// An empty one. Requests are told apart only if the window does not grow without an end: samples of different ones cannot be
    /// joined.
    pub(crate) fn new(tells_requests: bool) -> Self {
        Self::with_limits(MAX_SETS, if tells_requests { MAX_REQUESTS } else { 0 })
    }

    fn with_limits(limit: usize, max_requests: usize) -> Self {
        let mut table = Self {
            sets: AppendVec::default(),
            index: IndexSet::default(),
            numbers: FxHashMap::default(),
            bytes: 0,
            limit,
            distinct: FxHashSet::default(),
            max_requests,
            requests: 0,
        };
        table.insert(Purpose::default());
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
        let Some(mut purpose) = registry.get(number) else { return LabelSetId::default() };
        if self.requests >= self.max_requests {
            purpose.request = None;
        }
        if self.is_full() && !self.distinct.contains(&purpose.labels) {
            let other = purpose.labels.iter().map(|(key, _)| (key.clone(), OTHER.to_owned()));
            purpose.labels = Arc::new(other.collect());
        }
        let handle = self.insert(purpose);
        if self.numbers.len() >= MAX_NUMBERS {
            self.numbers.clear();
        }
        self.numbers.insert(number, handle);
        handle
    }

    /// Whether it has as many sets as are told apart.
    pub(crate) fn is_full(&self) -> bool {
        self.distinct.len() >= self.limit
    }

    fn insert(&mut self, purpose: Purpose) -> LabelSetId {
        let (handle, is_new) = self.index.insert_full(purpose.clone());
        if is_new {
            self.bytes += AROUND_SET;
            self.requests += usize::from(purpose.request.is_some());
            if self.distinct.insert(Arc::clone(&purpose.labels)) {
                let labels = purpose.labels.iter();
                let strings = labels.map(|(key, value)| size_of::<(String, String)>() + key.len() + value.len());
                self.bytes += AROUND_SET + strings.sum::<usize>();
            }
            self.sets.push(purpose);
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
            distinct: FxHashSet::default(),
            max_requests: self.max_requests,
            requests: self.requests,
        }
    }

    /// Frees what adding needs: nothing will be.
    pub(crate) fn close(&mut self) {
        self.index = IndexSet::default();
        self.numbers = FxHashMap::default();
        self.distinct = FxHashSet::default();
    }

    /// Bytes of what is in here, about.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes + self.numbers.capacity() * size_of::<(LabelsId, LabelSetId)>()
    }

    pub(crate) fn get(&self, set: LabelSetId) -> Option<&Purpose> {
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
        let (registry, mut table) = (Arc::new(LabelRegistry::default()), LabelTable::with_limits(MAX_SETS, 0));
        let mut intern = |pairs: &[(&str, &str)]| {
            let labels = registry.add(set(pairs));
            table.intern(labels.id(), &registry)
        };
        let first = intern(&[("route", "/a"), ("tenant", "x")]);
        assert_eq!(intern(&[("tenant", "x"), ("route", "/b"), ("route", "/a")]), first);
        assert_ne!(intern(&[("route", "/a")]), first);
        assert_eq!(intern(&[]), LabelSetId(0));
        assert_eq!(table.sets.len(), 3);
        let labels = |handle| &table.get(handle).expect("the set").labels;
        assert_eq!(***labels(first), *set(&[("route", "/a"), ("tenant", "x")]));
        assert_eq!(registry.len(), 0, "nothing is in use");
    }

    #[test]
    fn there_is_a_limit() {
        let (registry, mut table) = (Arc::new(LabelRegistry::default()), LabelTable::with_limits(10, 5));
        let mut intern = |number: u32| {
            let labels = registry.add(set(&[("request", &number.to_string())]));
            table.intern(labels.id(), &registry)
        };
        let ids: Vec<LabelSetId> = (0..1000).map(&mut intern).collect();
        assert_eq!(intern(3), ids[3], "what was there before is kept apart");
        assert_eq!(table.sets.len(), 11);
        assert_eq!(ids[999], ids[500]);
        assert_eq!(**table.get(ids[999]).expect("the set").labels, *set(&[("request", OTHER)]));
        assert!(table.numbers.len() <= MAX_NUMBERS);
    }

    #[test]
    fn requests_are_told_apart_as_far_as_there_is_room() {
        let registry = Arc::new(LabelRegistry::default());
        let labels = registry.add(set(&[("route", "/a")]));
        let trace = TraceContext::new([1; 16], [2; 8]);
        let requests: Vec<LabelsInUse> = (0..10).map(|_| registry.add_request(&labels, trace)).collect();
        for (max, told) in [(0, 1), (5, 6), (20, 10)] {
            let mut table = LabelTable::with_limits(MAX_SETS, max);
            let handles: Vec<LabelSetId> =
                requests.iter().map(|request| table.intern(request.id(), &registry)).collect();
            let distinct: FxHashSet<LabelSetId> = handles.iter().copied().collect();
            assert_eq!(distinct.len(), told);
            let all = handles.iter().map(|handle| table.get(*handle).expect("it was made"));
            assert!(all.clone().all(|purpose| purpose.labels == labels.purpose().labels));
            assert_eq!(
                all.filter(|purpose| purpose.request.is_some_and(|one| one.trace == trace)).count(),
                max.min(10)
            );
        }
        drop((requests, labels));
        assert_eq!(registry.len(), 0);
        let nothing = registry.add(set(&[]));
        assert_ne!(registry.add_request(&nothing, None).id(), LabelsId::NONE, "a request needs no labels");
    }

    #[test]
    fn headers_of_traces_are_read_as_the_standard_has_them() {
        let (trace, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let read = |text: String| TraceContext::from_traceparent(&text);
        let good = read(format!("00-{trace}-{span}-01")).expect("a place in a trace");
        assert_eq!((good.trace_id[0], good.trace_id[15], good.span_id[7]), (0x4b, 0x36, 0xb7));
        assert_eq!(read(format!(" cc-{trace}-{span}-00-more ")), Some(good), "a version to come");
        let (zeros, upper) = ("0".repeat(32), trace.to_uppercase());
        for bad in [
            String::new(),
            "-".repeat(60),
            format!("00-{trace}-{span}"),
            format!("00-{trace}-{span}-01-more"),
            format!("ff-{trace}-{span}-01"),
            format!("00-{zeros}-{span}-01"),
            format!("00-{trace}-0000000000000000-01"),
            format!("00-{upper}-{span}-01"),
            format!("00-{trace}-{span}-1"),
            format!("00-{}-{span}-01", "ü".repeat(16)),
        ] {
            assert_eq!(read(bad.clone()), None, "{bad}");
        }
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
