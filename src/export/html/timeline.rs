//! What each thread did when.

use std::time::Duration;

use serde::Serialize;

use super::rounded_milliseconds;
use super::steps::{BINS, Grid};
use crate::export::{escape_name, microseconds};
use crate::profile::{Profile, Thread};
use crate::symbols::Layer;

/// Threads with a timeline of their own.
const MAX_THREADS: usize = 16;

#[derive(Serialize)]
pub(super) struct Timeline {
    bin_ms: f64,
    threads: Vec<TimelineThread>,
    threads_left_out: usize,
}

#[derive(Serialize)]
struct TimelineThread {
    name: String,
    /// For each of guest, adapter, trampoline, host, blocked, preempted and script, the microseconds in each bin.
    layers: [Vec<u64>; 7],
}

impl Timeline {
    pub(super) fn new(profile: &Profile) -> Self {
        let grid = Grid::bins(profile);
        let mut threads: Vec<(usize, &Thread)> = profile.threads().iter().enumerate().collect();
        let time = |thread: &Thread| thread.samples.iter().map(|sample| sample.wall).sum::<Duration>();
        threads.sort_by_cached_key(|(_, thread)| std::cmp::Reverse(time(thread)));
        let threads_left_out = threads.len().saturating_sub(MAX_THREADS);
        threads.truncate(MAX_THREADS);
        let threads = threads.into_iter().map(|(index, thread)| TimelineThread {
            name: escape_name(&profile.distinct_thread_name(index)).into_owned(),
            layers: bins(profile, thread, grid),
        });
        Self { bin_ms: rounded_milliseconds(grid.length), threads: threads.collect(), threads_left_out }
    }
}

/// The position of a layer.
fn lane(layer: Layer) -> usize {
    match layer {
        Layer::Guest => 0,
        Layer::Adapter => 1,
        Layer::Trampoline => 2,
        Layer::Host => 3,
        Layer::Script => 6,
    }
}

/// The time of each layer in each bin.
fn bins(profile: &Profile, thread: &Thread, grid: Grid) -> [Vec<u64>; 7] {
    let mut bins: [Vec<u64>; 7] = std::array::from_fn(|_| vec![0; BINS as usize]);
    for sample in &thread.samples {
        let function = &profile.functions()[profile.leaf(sample.stack).index()];
        let layer = lane(profile.libraries()[function.library.index()].layer);
        grid.cut(sample, &mut |bin, part| {
            for (of, time) in [(layer, part.cpu), (4, part.blocked()), (5, part.preempted)] {
                let sum = &mut bins[of][bin as usize];
                *sum = sum.saturating_add(time);
            }
        });
    }
    bins.map(|layer| layer.into_iter().map(|nanos| microseconds(Duration::from_nanos(nanos))).collect())
}
