//! A stretch of a recording, with tables of its own, so that it can be dropped.

use std::ops::Range;
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use indexmap::IndexMap;

use super::labels::LabelTable;
use super::log::LossReason;
use super::selection::Selection;
use super::spans::Span;
use super::stack_table::StackTable;
use super::timeline::{Entry, Timed, Timeline};
use crate::nanos::nanos;

/// Whose timeline it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Track {
    /// One thread's.
    Thread(ThreadId),
    /// That of all threads that have none of their own.
    OtherThreads,
    /// That of tasks that waited while their thread did something else.
    Suspended,
}

/// The samples of one thread.
#[derive(Debug)]
pub(crate) struct ThreadLog {
    pub(crate) name: Option<Arc<str>>,
    pub(crate) timeline: Timeline<Entry>,
}

/// Samples that could not be kept, for one reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Loss {
    /// When that was found out, since the recording began.
    pub(crate) time: Duration,
    pub(crate) reason: LossReason,
    pub(crate) count: u64,
}

impl Timed for Loss {
    type Kind = LossReason;

    fn time(&self) -> Duration {
        self.time
    }

    fn set_time(&mut self, time: Duration) {
        self.time = time;
    }

    fn kind(&self) -> LossReason {
        self.reason
    }

    fn join(&mut self, other: &Self) {
        self.count += other.count;
    }
}

/// When within so much time the profiler was at work, or a sample was lost, nobody needs to know.
const COARSE_SLOT: Duration = Duration::from_millis(100);

/// A stretch of a recording. Handles of stacks and labels are valid for one window.
///
/// The last window of a log grows; all others are complete, and shared by whoever looks at them.
#[derive(Debug)]
pub(crate) struct Window {
    /// Since the recording began.
    pub(super) begin: Duration,
    /// When the first and the last thing that is in it happened. Windows overlap a little: threads are collected one after the
    /// other, and a span belongs to the window in which it ended.
    extent: Option<(Duration, Duration)>,
    pub(crate) stacks: StackTable,
    pub(crate) labels: LabelTable,
    /// In order of their first sample.
    pub(crate) threads: IndexMap<Track, ThreadLog>,
    /// The profiler's own work, of all threads together.
    pub(crate) own_work: Timeline<Entry>,
    pub(crate) losses: Timeline<Loss>,
    spans: Selection<Arc<Span>>,
    span_bytes: usize,
    pub(super) kept: u64,
    pub(super) truncated: u64,
}

impl Window {
    pub(super) fn new(begin: Duration, tells_requests: bool) -> Self {
        Self {
            begin,
            extent: None,
            stacks: StackTable::default(),
            labels: LabelTable::new(tells_requests),
            threads: IndexMap::new(),
            own_work: Timeline::new(COARSE_SLOT),
            losses: Timeline::new(COARSE_SLOT),
            spans: Selection::default(),
            span_bytes: 0,
            kept: 0,
            truncated: 0,
        }
    }

    /// Something that happened at `time` is in it.
    pub(super) fn extend_to(&mut self, time: Duration) {
        self.extent = Some(self.extent.map_or((time, time), |(first, last)| (first.min(time), last.max(time))));
    }

    /// Whether anything in it may have happened in `period`.
    pub(super) fn overlaps(&self, period: &Range<Duration>) -> bool {
        self.extent.is_some_and(|(first, last)| first < period.end && last >= period.start)
    }

    /// Whether there is something in it that is worth a window.
    pub(super) fn is_worth_keeping(&self) -> bool {
        self.kept > 0 || self.spans.len() > 0
    }

    pub(super) fn add_span(&mut self, span: Span) {
        self.extend_to(span.begin);
        self.extend_to(span.end());
        let (before, bytes) = (self.spans.len(), bytes_of(&span));
        self.spans.add(nanos(span.wall), || Arc::new(span));
        match self.spans.len() {
            now if now > before => self.span_bytes += bytes,
            now if now < before => self.span_bytes = self.spans.kept().map(|kept| bytes_of(&kept.value)).sum(),
            _ => {}
        }
    }

    /// The spans that are kept, and how many there were beside them.
    pub(super) fn spans(&self) -> (impl Iterator<Item = &Arc<Span>>, u64) {
        (self.spans.kept().map(|kept| &kept.value), self.spans.left_out().0)
    }

    /// What of it is needed for a period, to look at only. Copies no more than the tails of its vectors.
    pub(super) fn freeze(&self, period: &Range<Duration>) -> Self {
        let thread =
            |thread: &ThreadLog| ThreadLog { name: thread.name.clone(), timeline: thread.timeline.freeze(period) };
        Self {
            begin: self.begin,
            extent: self.extent,
            stacks: self.stacks.freeze(),
            labels: self.labels.freeze(),
            threads: self.threads.iter().map(|(track, log)| (*track, thread(log))).collect(),
            own_work: self.own_work.freeze(period),
            losses: self.losses.freeze(period),
            spans: self.spans.clone(),
            span_bytes: self.span_bytes,
            kept: self.kept,
            truncated: self.truncated,
        }
    }

    /// Nothing will be added any more.
    pub(super) fn close(mut self) -> Arc<Self> {
        self.stacks.close();
        self.labels.close();
        Arc::new(self)
    }

    /// Bytes that it takes, about.
    pub(super) fn bytes(&self) -> usize {
        let entries = self.threads.values().map(|thread| thread.timeline.entries().len()).sum::<usize>();
        let losses = self.losses.entries().len() * size_of::<Loss>();
        (entries + self.own_work.entries().len()) * size_of::<Entry>()
            + losses
            + self.stacks.bytes()
            + self.bytes_beside_samples()
    }

    /// Bytes of what does not grow with samples: that of spans and labels. Costs nothing to ask for.
    pub(super) fn bytes_beside_samples(&self) -> usize {
        self.labels.bytes() + self.span_bytes
    }
}

/// Bytes of a span beside itself, about: the counters of its `Arc`, and its place in the selection.
const AROUND_SPAN: usize = 64;

/// Bytes of a span, about.
fn bytes_of(span: &Span) -> usize {
    let strings = [Some(&span.name), span.path.as_ref(), span.detail.as_ref()];
    AROUND_SPAN + size_of::<Span>() + strings.into_iter().flatten().map(String::capacity).sum::<usize>()
}
