//! The samples of one thread in order of time, in bounded memory.

use rustc_hash::FxHashMap;
use std::time::Duration;

use super::labels::LabelsId;
use super::stack_table::StackId;

/// One or more samples of the same stack that are close together in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    /// When the last of them was taken, since the recording began.
    pub(crate) time: Duration,
    pub(crate) stack: StackId,
    pub(crate) labels: LabelsId,
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

/// The samples of one thread.
///
/// Time is cut into slots, at first as long as the sampling interval. Samples of one stack in one slot share an
/// entry. When there are more entries than the limit, slots become twice as long. Sums of samples, wall and CPU time
/// never change; only *when* within a slot something ran is forgotten, first where the recording is longest.
#[derive(Debug)]
pub(crate) struct Timeline {
    entries: Vec<Entry>,
    slot: Duration,
    limit: usize,
}

impl Timeline {
    pub(crate) fn new(interval: Duration) -> Self {
        Self::with_limit(interval, DEFAULT_LIMIT)
    }

    fn with_limit(interval: Duration, limit: usize) -> Self {
        Self { entries: Vec::new(), slot: interval.max(Duration::from_nanos(1)), limit }
    }

    /// Adds a sample. Samples come in order of time, or nearly so where threads share a timeline.
    pub(crate) fn push(&mut self, mut sample: Entry) {
        if let Some(last) = self.entries.last() {
            sample.time = sample.time.max(last.time);
        }
        if let Some(last) = self.entries.last_mut()
            && (last.stack, last.labels) == (sample.stack, sample.labels)
            && slot_of(last.time, self.slot) == slot_of(sample.time, self.slot)
        {
            merge(last, &sample);
            return;
        }
        self.entries.push(sample);
        if self.entries.len() > self.limit {
            self.shrink();
        }
    }

    /// Frees at least half of the limit: by joining entries of one slot that others came between, and, where that is
    /// not enough, by making slots longer.
    fn shrink(&mut self) {
        let last = self.entries.last().map_or(Duration::ZERO, |entry| entry.time);
        self.coalesce();
        while self.entries.len() > self.limit / 2 {
            if self.slot > last {
                // All in one slot, so these are distinct stacks: they may take memory.
                self.limit = self.entries.len().saturating_mul(2);
                return;
            }
            self.slot = self.slot.saturating_mul(2);
            self.coalesce();
        }
    }

    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    fn coalesce(&mut self) {
        let entries = std::mem::take(&mut self.entries);
        let mut slot_start = 0;
        let mut slot = None;
        let mut position: FxHashMap<(StackId, LabelsId), usize> = FxHashMap::default();
        for entry in entries {
            let this = slot_of(entry.time, self.slot);
            if slot != Some(this) {
                slot = Some(this);
                position.clear();
                self.entries[slot_start..].sort_by_key(|entry| entry.time);
                slot_start = self.entries.len();
            }
            match position.get(&(entry.stack, entry.labels)) {
                Some(at) => merge(&mut self.entries[*at], &entry),
                None => {
                    position.insert((entry.stack, entry.labels), self.entries.len());
                    self.entries.push(entry);
                }
            }
        }
        self.entries[slot_start..].sort_by_key(|entry| entry.time);
    }
}

fn slot_of(time: Duration, slot: Duration) -> u128 {
    time.as_nanos() / slot.as_nanos()
}

fn merge(into: &mut Entry, sample: &Entry) {
    into.time = into.time.max(sample.time);
    into.count += sample.count;
    into.wall += sample.wall;
    into.cpu += sample.cpu;
    into.preempted += sample.preempted;
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sample(micros: u64, stack: u32) -> Entry {
        Entry {
            time: Duration::from_micros(micros),
            stack: StackId(stack),
            labels: LabelsId(0),
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
            for entry in timeline.entries() {
                *kept.entry(entry.stack.0).or_default() += entry.count;
                prop_assert_eq!(entry.wall, Duration::from_micros(7) * u32::try_from(entry.count)?);
                prop_assert_eq!(entry.cpu, Duration::from_micros(3) * u32::try_from(entry.count)?);
                prop_assert_eq!(entry.preempted, Duration::from_micros(2) * u32::try_from(entry.count)?);
            }
            prop_assert_eq!(kept, per_stack);
            prop_assert!(timeline.entries().is_sorted_by_key(|entry| entry.time));
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
