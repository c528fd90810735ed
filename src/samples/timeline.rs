//! What happened on one thread, in order of time and in bounded memory.

use std::hash::Hash;
use std::ops::Range;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::append_vec::AppendVec;
use super::labels::LabelSetId;
use super::stack_table::StackId;

/// One or more samples of the same stack that are close together in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When the last of them was taken, since the recording began.
    pub(crate) time: Duration,
    pub(crate) stack: StackId,
    pub(crate) labels: LabelSetId,
    /// How many there are.
    pub(crate) count: u64,
    /// Wall-clock time that they stand for.
    pub(crate) wall: Duration,
    /// Thread CPU time that they stand for.
    pub(crate) cpu: Duration,
    /// Time that they waited for a CPU.
    pub(crate) preempted: Duration,
}

/// Entries up to this number are kept at full resolution: about 17 minutes of one thread at 1 kHz, in 80 MB.
const DEFAULT_LIMIT: usize = 1 << 20;

/// What has a place in a [`Timeline`].
pub(crate) trait Timed: Copy {
    /// What may be joined, if it is close together in time, has the same.
    type Kind: Eq + Hash;

    fn time(&self) -> Duration;
    fn set_time(&mut self, time: Duration);
    fn kind(&self) -> Self::Kind;
    /// Adds the sums of `other`, which is of the same kind.
    fn join(&mut self, other: &Self);
}

impl Timed for Entry {
    type Kind = (StackId, LabelSetId);

    fn time(&self) -> Duration {
        self.time
    }

    fn set_time(&mut self, time: Duration) {
        self.time = time;
    }

    fn kind(&self) -> Self::Kind {
        (self.stack, self.labels)
    }

    fn join(&mut self, other: &Self) {
        self.count += other.count;
        self.wall += other.wall;
        self.cpu += other.cpu;
        self.preempted += other.preempted;
    }
}

/// The samples of one thread, or what else there are many of in the course of time.
///
/// Time is cut into slots, at first as long as the sampling interval. Samples of one stack in one slot share an
/// entry. When there are more entries than the limit, slots become twice as long. Sums of samples, wall and CPU time
/// never change; only *when* within a slot something ran is forgotten, first where the recording is longest.
#[derive(Debug)]
pub(crate) struct Timeline<T> {
    entries: AppendVec<T>,
    slot: Duration,
    limit: usize,
}

impl<T: Timed> Timeline<T> {
    pub(crate) fn new(interval: Duration) -> Self {
        Self::with_limit(interval, DEFAULT_LIMIT)
    }

    fn with_limit(interval: Duration, limit: usize) -> Self {
        Self { entries: AppendVec::default(), slot: interval.max(Duration::from_nanos(1)), limit }
    }

    /// Adds a sample. Samples come in order of time, or nearly so where threads share a timeline.
    pub(crate) fn push(&mut self, mut sample: T) {
        if let Some(last) = self.entries.last_mut() {
            sample.set_time(sample.time().max(last.time()));
            if last.kind() == sample.kind() && slot_of(last.time(), self.slot) == slot_of(sample.time(), self.slot) {
                merge(last, &sample);
                return;
            }
        }
        self.entries.push(sample);
        if self.entries.len() > self.limit {
            self.shrink();
        }
    }

    /// Frees at least half of the limit: by joining entries of one slot that others came between, and, where that is
    /// not enough, by making slots longer.
    fn shrink(&mut self) {
        let last = self.entries.last().map_or(Duration::ZERO, Timed::time);
        let mut entries: Vec<T> = self.entries.iter().copied().collect();
        coalesce(&mut entries, self.slot);
        while entries.len() > self.limit / 2 {
            if self.slot > last {
                // All in one slot, so these are distinct stacks: they may take memory.
                self.limit = entries.len().saturating_mul(2);
                break;
            }
            self.slot = self.slot.saturating_mul(2);
            coalesce(&mut entries, self.slot);
        }
        self.entries = entries.into_iter().collect();
    }

    /// In order of time.
    pub(crate) fn entries(&self) -> &AppendVec<T> {
        &self.entries
    }

    /// The part of it that is needed for a period, to look at only: its entries, and perhaps some around them.
    pub(crate) fn freeze(&self, period: &Range<Duration>) -> Self {
        Self { entries: self.overlapping(period), ..*self }
    }

    /// The entries of a period.
    pub(crate) fn of(&self, period: &Range<Duration>) -> impl Iterator<Item = T> + use<T> {
        let (entries, period) = (self.overlapping(period), period.clone());
        // The vector moves into the iterator.
        (0..entries.len())
            .filter_map(move |index| entries.get(index).copied().filter(|entry| period.contains(&entry.time())))
    }

    fn overlapping(&self, period: &Range<Duration>) -> AppendVec<T> {
        self.entries.overlapping(|entry| entry.time() < period.start, |entry| entry.time() >= period.end)
    }
}

/// Joins the entries of one kind in a slot; what is in the same slot is in order of time again.
fn coalesce<T: Timed>(entries: &mut Vec<T>, slot_length: Duration) {
    let (mut slot_start, mut length, mut slot) = (0, 0, None);
    let mut position: FxHashMap<T::Kind, usize> = FxHashMap::default();
    for index in 0..entries.len() {
        let entry = entries[index];
        let this = slot_of(entry.time(), slot_length);
        if slot != Some(this) {
            slot = Some(this);
            position.clear();
            entries[slot_start..length].sort_by_key(Timed::time);
            slot_start = length;
        }
        match position.get(&entry.kind()) {
            Some(at) => merge(&mut entries[*at], &entry),
            None => {
                position.insert(entry.kind(), length);
                entries[length] = entry;
                length += 1;
            }
        }
    }
    entries.truncate(length);
    entries[slot_start..].sort_by_key(Timed::time);
}

fn slot_of(time: Duration, slot: Duration) -> u128 {
    time.as_nanos() / slot.as_nanos()
}

fn merge<T: Timed>(into: &mut T, sample: &T) {
    into.set_time(into.time().max(sample.time()));
    into.join(sample);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(micros: u64, stack: u32) -> Entry {
        Entry {
            time: Duration::from_micros(micros),
            stack: StackId(stack),
            labels: LabelSetId(0),
            count: 1,
            wall: Duration::from_micros(7),
            cpu: Duration::from_micros(3),
            preempted: Duration::from_micros(2),
        }
    }

    proptest! {
        #[test]
        fn coalescing_keeps_every_sum_and_the_order(
            steps in prop::collection::vec((0_u64..3000, 0_u32..6), 1..400),
            limit in 1_usize..50,
        ) {
            let mut timeline = Timeline::with_limit(Duration::from_millis(1), limit);
            let (mut now, mut per_stack) = (0, FxHashMap::<u32, u64>::default());
            for (step, stack) in &steps {
                now += step;
                timeline.push(sample(now, *stack));
                *per_stack.entry(*stack).or_default() += 1;
            }
            let mut kept = FxHashMap::<u32, u64>::default();
            for entry in timeline.entries().iter() {
                *kept.entry(entry.stack.0).or_default() += entry.count;
                prop_assert_eq!(entry.wall, Duration::from_micros(7) * u32::try_from(entry.count)?);
                prop_assert_eq!(entry.cpu, Duration::from_micros(3) * u32::try_from(entry.count)?);
                prop_assert_eq!(entry.preempted, Duration::from_micros(2) * u32::try_from(entry.count)?);
            }
            prop_assert_eq!(kept, per_stack);
            prop_assert!(timeline.entries().iter().is_sorted_by_key(|entry| entry.time));
        }
    }

    #[test]
    fn memory_does_not_grow_with_samples() {
        let mut timeline = Timeline::with_limit(Duration::from_micros(10), 100);
        for index in 0..100_000 {
            timeline.push(sample(index * 10, u32::try_from(index % 5).expect("below 5")));
        }
        assert!(timeline.entries().len() <= 100, "{}", timeline.entries().len());
        assert_eq!(timeline.entries().iter().map(|entry| entry.count).sum::<u64>(), 100_000);
    }
}
