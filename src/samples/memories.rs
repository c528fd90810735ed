//! How large linear memories were, and when, in bounded memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::append_vec::AppendVec;
use super::selection::Selection;
use super::stack_table::RawFrame;

/// Whose memory: the component, and the library of the core module that defines it, as positions. `None` if nothing tells.
pub(crate) type MemoryKey = Option<(u32, u32)>;

/// One growth.
#[derive(Clone, Debug)]
pub(crate) struct Growth {
    pub(crate) memory: MemoryKey,
    /// Since the recording began.
    pub(crate) time: Duration,
    /// Size before and after, in bytes.
    pub(crate) from: u64,
    pub(crate) to: u64,
    /// What was running, innermost frame first.
    pub(crate) stack: Arc<[RawFrame]>,
}

/// The size of the memories with the same key together.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sizes {
    /// Now, in bytes.
    pub(crate) size: u64,
    /// The most it has been.
    pub(crate) peak: u64,
    /// How often a memory has grown.
    pub(crate) growths: u64,
    /// When it changed, and what it was from then on.
    pub(crate) points: AppendVec<(Duration, u64)>,
    /// Changes closer together than this are one.
    resolution: Duration,
}

/// Points that are kept of one memory: more than there are columns on a screen.
const MAX_POINTS: usize = 8192;

impl Sizes {
    fn change(&mut self, time: Duration, from: u64, to: u64) {
        self.size = self.size.saturating_sub(from).saturating_add(to);
        self.peak = self.peak.max(self.size);
        match self.points.last_mut() {
            Some((last, size)) if time < last.saturating_add(self.resolution) => *size = self.size,
            _ => self.points.push((time, self.size)),
        }
        if self.points.len() >= MAX_POINTS {
            let length = time.max(Duration::from_nanos(1));
            self.resolution = (length / (MAX_POINTS as u32 / 4)).max(self.resolution * 2);
            self.coarsen();
        }
    }

    /// Makes one point of those that are closer together than the resolution: the last of them.
    fn coarsen(&mut self) {
        let resolution = self.resolution;
        let mut kept: AppendVec<(Duration, u64)> = AppendVec::default();
        for (time, size) in self.points.iter() {
            match kept.last_mut() {
                Some((last, before)) if *time < last.saturating_add(resolution) => *before = *size,
                _ => kept.push((*time, *size)),
            }
        }
        self.points = kept;
    }
}

/// The memories of all stores of a recorder. A clone costs little for each of them, however often they have grown.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    pub(crate) memories: IndexMap<MemoryKey, Sizes, FxBuildHasher>,
    pub(crate) growths: Selection<Growth>,
    /// When the oldest window begins that is kept of the recording, in nanoseconds. Growths before that are forgotten; sizes
    /// stay.
    kept_since: Arc<AtomicU64>,
}

impl MemoryLog {
    /// The components and modules that memories, and stacks in which one grew, refer to; some more than once.
    pub(crate) fn targets(&self) -> Vec<u32> {
        let of_growths =
            self.growths.kept().flat_map(|kept| kept.value.stack.iter().filter_map(|frame| frame.target()));
        self.memories.keys().flatten().map(|(target, _)| *target).chain(of_growths).collect()
    }

    /// One that forgets growths before the time that this tells, in nanoseconds since the recording began.
    pub(crate) fn new(kept_since: Arc<AtomicU64>) -> Self {
        Self { kept_since, ..Self::default() }
    }

    /// Forgets the growths that are older than what is kept of the recording, and memories that had gone before that.
    pub(crate) fn forget_old(&mut self) {
        let since = Duration::from_nanos(self.kept_since.load(Ordering::Relaxed));
        if !since.is_zero() {
            self.growths.forget(|growth| growth.time < since);
            // Of memories that have gone since then, too.
            self.memories
                .retain(|_, sizes| sizes.size > 0 || sizes.points.last().is_none_or(|(time, _)| *time >= since));
        }
    }

    /// A memory of `key` has changed its size.
    pub(crate) fn change(&mut self, key: MemoryKey, time: Duration, from: u64, to: u64) {
        self.memories.entry(key).or_default().change(time, from, to);
    }

    /// It has grown, in a guest. Returns the number of the growth.
    pub(crate) fn grow(&mut self, growth: Growth) -> u64 {
        let Growth { memory, time, from, to, .. } = growth;
        self.change(memory, time, from, to);
        self.memories.entry(memory).or_default().growths += 1;
        if self.growths.is_full() {
            self.forget_old();
        }
        self.growths.add(to.saturating_sub(from), || growth)
    }

    /// The last change of a memory, from `size` to `failed`, has not come about after all.
    pub(crate) fn take_back(&mut self, key: MemoryKey, failed: u64, size: u64, growth: Option<u64>) {
        let sizes = self.memories.entry(key).or_default();
        let with_it = sizes.size;
        sizes.size = with_it.saturating_sub(failed).saturating_add(size);
        if let Some((_, last)) = sizes.points.last_mut()
            && *last == with_it
        {
            *last = sizes.size;
        }
        if sizes.peak == with_it {
            // What is kept of the past tells it about as well as it shows the past.
            sizes.peak = sizes.points.iter().map(|(_, size)| *size).max().unwrap_or(0).max(sizes.size);
        }
        if let Some(number) = growth {
            sizes.growths = sizes.growths.saturating_sub(1);
            self.growths.remove(number);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_bounded_and_true() {
        let mut sizes = Sizes::default();
        for step in 0..1_000_000_u64 {
            sizes.change(Duration::from_micros(step * 10), step, step + 1);
            assert!(sizes.points.len() <= MAX_POINTS);
        }
        assert_eq!((sizes.size, sizes.peak), (1_000_000, 1_000_000));
        assert!(sizes.points.len() > MAX_POINTS / 8, "{}", sizes.points.len());
        assert!(sizes.points.iter().is_sorted_by_key(|(time, _)| *time));
        for (time, size) in sizes.points.iter() {
            // The last change of a stretch, seen from its beginning.
            let at = u64::try_from(time.as_micros()).expect("short") / 10 + 1;
            let stretch = u64::try_from(sizes.resolution.as_micros()).expect("short") / 10 + 1;
            assert!((at..=at + stretch * 2).contains(size), "{size} at {time:?}");
        }
    }

    #[test]
    fn growths_go_with_the_windows_and_sizes_stay() {
        let since = Arc::new(AtomicU64::new(0));
        let mut log = MemoryLog::new(Arc::clone(&since));
        for second in 0..100_000_u64 {
            let (from, to) = (second << 16, (second + 1) << 16);
            log.grow(Growth { memory: None, time: Duration::from_secs(second), from, to, stack: Arc::default() });
            since.store(second.saturating_sub(1000) * 1_000_000_000, Ordering::Relaxed);
        }
        log.forget_old();
        let times: Vec<u64> = log.growths.kept().map(|kept| kept.value.time.as_secs()).collect();
        assert!(times.iter().all(|time| *time >= 98_999), "{:?}", times.iter().min());
        assert!(times.len() > 900, "the last ones are all there: {}", times.len());
        assert_eq!((log.memories[&None].growths, log.memories[&None].size), (100_000, 100_000 << 16));
    }
}
