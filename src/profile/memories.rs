//! Linear memories, by name.

use std::ops::Range;
use std::time::Duration;

use super::tables::StackIndex;
use crate::code::Targets;
use crate::samples::{MemoryKey, MemoryLog};

/// The size of a core module's linear memory over time; of all its instances together.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryTrack {
    /// The library of the core module, or `other memories` for those of which nothing tells whose they are. Partly chosen
    /// by the guest: escape it.
    pub name: String,
    /// When its size changed, since the recording began, and how many bytes it had from then on. In a long recording,
    /// changes that are close together are one.
    pub points: Vec<(Duration, u64)>,
    /// The most bytes it had, since the recording began.
    pub peak: u64,
    /// How often the guest made it grow, since the recording began.
    pub growths: u64,
}

/// A memory has grown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct MemoryGrowth {
    /// Index of the [track](crate::Profile::memories).
    pub memory: usize,
    /// When, since the recording began.
    pub time: Duration,
    /// Bytes before.
    pub from: u64,
    /// Bytes after.
    pub to: u64,
    /// What made it grow; `None` where stacks cannot be read, and in profiles that have been read from a file.
    pub stack: Option<StackIndex>,
}

/// Stands for the memories of which nothing tells whose they are.
pub(crate) const OTHER_MEMORIES: &str = "other memories";

/// The points in a period, in its own time. The first is what the size was when it began.
pub(super) fn points<'p>(
    all: impl Iterator<Item = &'p (Duration, u64)> + Clone,
    period: &Range<Duration>,
) -> Vec<(Duration, u64)> {
    let before = all.clone().take_while(|(time, _)| *time < period.start).last();
    let inside = all.filter(|(time, _)| period.contains(time));
    before.into_iter().chain(inside).map(|(time, size)| (time.saturating_sub(period.start), *size)).collect()
}

/// Names the memories of a log.
pub(super) fn name_memories(log: &MemoryLog, targets: &Targets, period: &Range<Duration>) -> Vec<MemoryTrack> {
    let name = |key: &MemoryKey| {
        let (target, library) = (*key)?;
        let map = targets.get(target)?.map();
        Some(map.libraries().get(library as usize)?.name.clone())
    };
    let tracks = log.memories.iter().map(|(key, sizes)| MemoryTrack {
        name: name(key).unwrap_or_else(|| OTHER_MEMORIES.to_owned()),
        points: points(sizes.points.iter(), period),
        peak: sizes.peak,
        growths: sizes.growths,
    });
    tracks.collect()
}
