//! Everything one recorder has seen.

use std::collections::BTreeMap;
use std::thread::ThreadId;
use std::time::Duration;

use indexmap::IndexMap;

use super::stack_table::{RawFrame, StackTable};
use super::timeline::{Entry, Timeline};

/// Why a sample could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// No frame of the stack belonged to a component or module that the recorder may show, or Wasmtime reported no
    /// frames, as it does while an instance is being initialised.
    NoVisibleFrame,
}

impl LossReason {
    /// The name used in every output: `no-visible-frame`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoVisibleFrame => "no-visible-frame",
        }
    }
}

/// How many samples there were, and what became of them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct SampleCounts {
    /// Attempts to take a sample. Always [`kept`](Self::kept) plus the sum of [`lost`](Self::lost).
    pub taken: u64,
    /// Samples in the profile.
    pub kept: u64,
    /// Samples that are not in the profile, by reason.
    pub lost: BTreeMap<LossReason, u64>,
    /// Kept samples of which the outermost frames are missing, because the stack was deeper than the engine's
    /// `Config::wasm_backtrace_max_frames`.
    pub truncated: u64,
}

impl SampleCounts {
    /// Counts kept samples as lost after all.
    pub(crate) fn lose_kept(&mut self, reason: LossReason, count: u64) {
        self.kept = self.kept.saturating_sub(count);
        *self.lost.entry(reason).or_default() += count;
    }
}

/// A sample without its stack: when it was taken, and how much time it stands for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawSample {
    /// Since the recording began.
    pub(crate) time: Duration,
    /// Wall-clock time since the sample before.
    pub(crate) wall: Duration,
    /// Thread CPU time since the sample before; zero where the platform cannot tell.
    pub(crate) cpu: Duration,
    /// Whether the outermost frames of its stack are missing.
    pub(crate) truncated: bool,
}

/// The samples of one thread.
#[derive(Debug)]
pub(crate) struct ThreadLog {
    pub(crate) name: Option<String>,
    pub(crate) timeline: Timeline,
}

/// Everything one recorder has seen.
#[derive(Debug)]
pub(crate) struct SampleLog {
    interval: Duration,
    pub(crate) stacks: StackTable,
    /// In order of their first sample; `None` for threads that have no timeline of their own.
    pub(crate) threads: IndexMap<Option<ThreadId>, ThreadLog>,
    pub(crate) counts: SampleCounts,
    /// When recording ended, since it began; nothing is recorded after that.
    pub(crate) end: Option<Duration>,
}

/// Threads that have a timeline of their own; the samples of others share one, so that a host with a thread for each
/// request does not need memory for each.
const MAX_TIMELINES: usize = 256;

impl SampleLog {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            stacks: StackTable::default(),
            threads: IndexMap::new(),
            counts: SampleCounts::default(),
            end: None,
        }
    }

    /// Records a sample that the current thread took. Without frames, it is counted as lost.
    pub(crate) fn record(&mut self, sample: RawSample, outermost_first: impl Iterator<Item = RawFrame>) {
        if self.end.is_some() {
            return;
        }
        self.counts.taken += 1;
        let Some(stack) = self.stacks.intern(outermost_first) else {
            *self.counts.lost.entry(LossReason::NoVisibleFrame).or_default() += 1;
            return;
        };
        self.counts.kept += 1;
        self.counts.truncated += u64::from(sample.truncated);
        let thread = std::thread::current();
        let id = Some(thread.id());
        let own = self.threads.len() < MAX_TIMELINES || self.threads.contains_key(&id);
        let log = self.threads.entry(id.filter(|_| own)).or_insert_with(|| ThreadLog {
            name: if own { thread.name().map(str::to_owned) } else { Some("other threads".to_owned()) },
            timeline: Timeline::new(self.interval),
        });
        let RawSample { time, wall, cpu, truncated: _ } = sample;
        log.timeline.push(Entry { time, stack, count: 1, wall, cpu });
    }
}
