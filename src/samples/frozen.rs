//! What a log held at some time: to look at for as long as one likes, while the log goes on.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::log::{HandlerCost, SampleCounts};
use super::scripts::ScriptFunctions;
use super::selection::Selection;
use super::spans::Span;
use super::window::Window;
use crate::nanos::nanos;

/// What a [`SampleLog`](super::SampleLog) held of a period. Made by its `freeze`.
#[derive(Debug)]
pub(crate) struct FrozenLog {
    /// Those that may have something of the period, and perhaps more than that; the oldest first.
    pub(crate) windows: Vec<Arc<Window>>,
    /// Of the whole recording.
    pub(super) counts: SampleCounts,
    pub(crate) handler_cost: Option<HandlerCost>,
    /// Whether it is known of all samples how long they waited for a CPU.
    pub(crate) knows_preempted: bool,
    /// The functions of scripts that stacks may refer to.
    pub(crate) scripts: ScriptFunctions,
    pub(crate) period: Range<Duration>,
    /// Whether nothing was recorded beside that.
    pub(super) is_everything: bool,
}

impl FrozenLog {
    /// The components and modules that what is frozen refers to.
    pub(crate) fn targets(&self) -> FxHashSet<u32> {
        self.windows.iter().flat_map(|window| window.stacks.targets()).copied().collect()
    }

    /// How many samples there were in the period.
    ///
    /// Of a whole recording these are the counters of those who took the samples. When each of them was taken nobody has noted,
    /// so in a part of it those that were taken are those that were kept or lost.
    pub(crate) fn counts(&self) -> SampleCounts {
        if self.is_everything {
            return self.counts.clone();
        }
        let timelines = self.windows.iter().flat_map(|window| window.threads.values());
        let kept = timelines.flat_map(|thread| thread.timeline.of(&self.period)).map(|entry| entry.count).sum();
        let mut lost = BTreeMap::new();
        for loss in self.windows.iter().flat_map(|window| window.losses.of(&self.period)) {
            *lost.entry(loss.reason).or_default() += loss.count;
        }
        SampleCounts { taken: kept + lost.values().sum::<u64>(), kept, lost, truncated: 0 }
    }

    /// The spans that are kept, and began in the period, in its own time and in order of their beginning; and how many more
    /// there were in its windows.
    pub(crate) fn spans(&self) -> (Vec<Span>, u64) {
        let (mut selection, mut left_out) = (Selection::default(), 0);
        for window in &self.windows {
            let (spans, more) = window.spans();
            left_out += more;
            for span in spans.filter(|span| self.period.contains(&span.begin)) {
                selection.add(nanos(span.wall), || span);
            }
        }
        // Each window has kept as many as all of them may.
        selection.thin();
        let in_period = |span: &&Arc<Span>| {
            let begin = span.begin.saturating_sub(self.period.start);
            Span { begin, ..Span::clone(span) }
        };
        let mut kept: Vec<Span> = selection.kept().map(|kept| in_period(&kept.value)).collect();
        kept.sort_by_key(|span| (span.begin, Reverse(span.wall)));
        (kept, left_out + selection.left_out().0)
    }
}
