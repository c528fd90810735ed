//! How large linear memories were, and when, in bounded memory.

use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

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
    pub(crate) stack: Vec<RawFrame>,
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
    pub(crate) points: Vec<(Duration, u64)>,
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
        let mut kept: Vec<(Duration, u64)> = Vec::new();
        for (time, size) in self.points.drain(..) {
            match kept.last_mut() {
                Some((last, before)) if time < last.saturating_add(resolution) => *before = size,
                _ => kept.push((time, size)),
            }
        }
        self.points = kept;
    }
}

/// The memories of all stores of a recorder.
#[derive(Clone, Debug, Default)]
pub(crate) struct MemoryLog {
    pub(crate) memories: IndexMap<MemoryKey, Sizes, FxBuildHasher>,
    pub(crate) growths: Selection<Growth>,
}

impl MemoryLog {
    /// The components and modules that memories, and stacks in which one grew, refer to; some more than once.
    pub(crate) fn targets(&self) -> Vec<u32> {
        let of_frame = |frame: &RawFrame| match frame {
            RawFrame::Text { target, .. } => Some(*target),
            _ => None,
        };
        let of_growths = self.growths.kept().iter().flat_map(|kept| kept.value.stack.iter().filter_map(of_frame));
        self.memories.keys().flatten().map(|(target, _)| *target).chain(of_growths).collect()
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
        assert!(sizes.points.is_sorted_by_key(|(time, _)| *time));
        for (time, size) in &sizes.points {
            // The last change of a stretch, seen from its beginning.
            let at = u64::try_from(time.as_micros()).expect("short") / 10 + 1;
            let stretch = u64::try_from(sizes.resolution.as_micros()).expect("short") / 10 + 1;
            assert!((at..=at + stretch * 2).contains(size), "{size} at {time:?}");
        }
    }
}
