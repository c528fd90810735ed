//! Everything one recorder has seen.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread::ThreadId;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::frozen::FrozenLog;
use super::labels::{LabelRegistry, LabelSetId, LabelsId};
use super::scripts::ScriptFunctions;
use super::spans::Span;
use super::stack_table::{RawFrame, StackId, StackTable};
use super::timeline::{Entry, Timeline};
use super::window::{Loss, ThreadLog, Track, Window};
use crate::lock::lock;
use crate::nanos::nanos;

/// Why a sample could not be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum LossReason {
    /// No frame of the stack belonged to a component or module that the recorder may show, or Wasmtime reported no
    /// frames, as it does while an instance is being initialised.
    NoVisibleFrame,
    /// Signal sampler: samples came faster than they could be collected.
    BufferFull,
    /// Signal sampler: the interrupted stack had too little room left to run the sampler on.
    NoRoomOnStack,
    /// Signal sampler: the signal came while the thread was at work for the sampler itself. In old profiles only: such
    /// samples are taken as soon as that work is done.
    Interrupted,
    /// Signal sampler: the samples before took so long, for instance because of a deep recursion, that the guest was left
    /// to run first: it has three quarters of the time, but for a millisecond. What this one stands for is in the next.
    Overload,
    /// Signal sampler: the stack could not be walked as far as to any code that the recorder may show.
    UnreadableStack,
    /// It was kept at first, and dropped with the oldest window of the recording to make room for newer ones.
    WindowDropped,
    /// Signal sampler: the system refused a timer to a thread; counts the times that a guest became active on it.
    NoTimer,
    /// Signal sampler: somebody had put a handler of their own over the sampler's; counts the intervals that guests were active
    /// meanwhile. That time is in no sample.
    HandlerReplaced,
}

impl LossReason {
    /// All reasons.
    pub const ALL: &'static [Self] = &[
        Self::NoVisibleFrame,
        Self::BufferFull,
        Self::NoRoomOnStack,
        Self::Interrupted,
        Self::Overload,
        Self::UnreadableStack,
        Self::WindowDropped,
        Self::NoTimer,
        Self::HandlerReplaced,
    ];

    /// The name used in every output: `no-visible-frame`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NoVisibleFrame => "no-visible-frame",
            Self::BufferFull => "buffer-full",
            Self::NoRoomOnStack => "no-room-on-stack",
            Self::Interrupted => "interrupted",
            Self::Overload => "overload",
            Self::UnreadableStack => "unreadable-stack",
            Self::WindowDropped => "window-dropped",
            Self::NoTimer => "no-timer",
            Self::HandlerReplaced => "handler-replaced",
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
    /// Kept samples of which the outermost frames are missing. Epoch sampler: the stack was deeper than the engine's
    /// `Config::wasm_backtrace_max_frames`. Signal sampler: the caller of some frame could not be found.
    pub truncated: u64,
}

/// What the signal sampler's handler cost, as it measured itself. The kernel's part, which delivers the signal, comes on
/// top.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub struct HandlerCost {
    /// Ticks of the processor's time stamp counter that half of all runs of the handler did not exceed.
    pub median_ticks: u64,
    /// The same for 99 of 100.
    pub p99_ticks: u64,
    /// Frequency of the counter.
    pub ticks_per_second: f64,
}

impl HandlerCost {
    /// Time that half of all runs of the handler did not exceed.
    #[must_use]
    pub fn median(&self) -> Duration {
        self.time(self.median_ticks)
    }

    /// The same for 99 of 100.
    #[must_use]
    pub fn p99(&self) -> Duration {
        self.time(self.p99_ticks)
    }

    fn time(&self, ticks: u64) -> Duration {
        #[allow(clippy::cast_precision_loss, reason = "tick counts are small")]
        Duration::try_from_secs_f64(ticks as f64 / self.ticks_per_second).unwrap_or(Duration::ZERO)
    }
}

/// What the profiler itself did on the threads of the guests, such as tracing their calls. It is in no sample and no row, so
/// that it is not taken for the guests' own time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfilerTime {
    /// Samples that fell into it, which are not among those of [`SampleCounts`]. None where it was measured instead.
    pub samples: u64,
    /// Wall-clock time.
    pub wall: Duration,
    /// CPU time; never more than `wall`.
    pub cpu: Duration,
}

impl ProfilerTime {
    /// Whether there is nothing to tell of.
    #[must_use]
    pub fn is_zero(&self) -> bool {
        self.wall.is_zero()
    }

    /// Adds what was found elsewhere.
    pub(crate) fn add(&mut self, samples: u64, wall: Duration, cpu: Duration) {
        self.samples = self.samples.saturating_add(samples);
        self.wall = self.wall.saturating_add(wall);
        self.cpu = self.cpu.saturating_add(cpu);
    }
}

/// How the time of the profiler's own work was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// A signal fell into it, which was counted as a sample.
    BySignal,
    /// It was measured from its beginning to its end.
    ByClock,
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
    /// Time since the sample before in which the thread was ready to run and had no CPU; no more than the two leave. `None` if
    /// that is not known.
    pub(crate) preempted: Option<Duration>,
    /// Whether the outermost frames of its stack are missing.
    pub(crate) truncated: bool,
    pub(crate) labels: LabelsId,
}

/// Which thread a sample is of.
#[derive(Clone, Debug)]
pub(crate) struct ThreadIdentity {
    pub(crate) id: ThreadId,
    name: Option<Arc<str>>,
}

impl ThreadIdentity {
    pub(crate) fn current() -> Self {
        let thread = std::thread::current();
        Self { id: thread.id(), name: thread.name().map(Arc::from) }
    }

    /// The current thread, under a name that is not its own.
    pub(crate) fn named(name: &str) -> Self {
        Self { id: std::thread::current().id(), name: Some(Arc::from(name)) }
    }
}

/// How much of a recording is kept.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Retention {
    /// Windows are this long.
    pub(crate) window: Duration,
    /// This many of them are kept, the current one included.
    pub(crate) windows: usize,
    /// Bytes, about, that they may take together.
    pub(crate) bytes: usize,
}

impl Retention {
    /// Whether the requests of a window are told apart. Not where a window has no end.
    fn tells_requests(self) -> bool {
        self.windows != usize::MAX
    }
}

impl Retention {
    /// Everything, as far as it fits into `bytes`.
    pub(crate) fn all(bytes: usize) -> Self {
        Self { window: Duration::MAX, windows: usize::MAX, bytes }
    }
}

/// Everything one recorder has seen, as far as it is kept.
#[derive(Debug)]
pub(crate) struct SampleLog {
    interval: Duration,
    retention: Retention,
    /// Those that are complete, in order of time.
    complete: VecDeque<Arc<Window>>,
    current: Window,
    /// How many windows there have been; a [`StackId`] is valid for one of them.
    generation: u64,
    /// Samples until memory is looked at again.
    unchecked: u32,
    /// Bytes of the complete windows.
    complete_bytes: usize,
    /// Windows that are not kept any more: freed when nobody waits ([`with_log`]).
    dropped: Vec<Arc<Window>>,
    /// When the oldest window begins, in nanoseconds; for who keeps something else for as long.
    kept_since: Arc<AtomicU64>,
    labels: Arc<LabelRegistry>,
    pub(crate) scripts: ScriptFunctions,
    pub(crate) counts: SampleCounts,
    pub(crate) handler_cost: Option<HandlerCost>,
    /// Whether it is known of all samples how long they waited for a CPU.
    knows_preempted: bool,
    /// When recording ended, since it began; nothing is recorded after that.
    end: Arc<OnceLock<Duration>>,
}

/// Does something under the lock of the log. What is dropped on the way is freed after it.
pub(crate) fn with_log<R>(log: &Mutex<SampleLog>, with: impl FnOnce(&mut SampleLog) -> R) -> R {
    let mut log = lock(log);
    let result = with(&mut log);
    let dropped = log.take_dropped();
    drop(log);
    drop(dropped);
    result
}

/// Threads that have a timeline of their own; the samples of others share one, so that a host with a thread for each
/// request does not need memory for each.
const MAX_TIMELINES: usize = 256;

/// Samples that may come between the end of a wait and its record.
const MAX_AFTER_WAIT: usize = 8;

/// Samples from one look at the memory to the next.
const CHECK_EVERY: u32 = 4096;

impl SampleLog {
    pub(crate) fn new(interval: Duration, retention: Retention) -> Self {
        Self {
            interval,
            retention,
            complete: VecDeque::new(),
            current: Window::new(Duration::ZERO, retention.tells_requests()),
            generation: 0,
            unchecked: 0,
            complete_bytes: 0,
            dropped: Vec::new(),
            kept_since: Arc::default(),
            labels: Arc::default(),
            scripts: ScriptFunctions::default(),
            counts: SampleCounts::default(),
            handler_cost: None,
            knows_preempted: true,
            end: Arc::default(),
        }
    }

    /// The labels that are in use. Has a lock of its own.
    pub(crate) fn labels(&self) -> &Arc<LabelRegistry> {
        &self.labels
    }

    /// When recording ended, once it has: to be asked without the lock, and set under it.
    pub(crate) fn end(&self) -> &Arc<OnceLock<Duration>> {
        &self.end
    }

    /// When the oldest window begins, in nanoseconds since the recording began. To be asked without the lock.
    pub(crate) fn kept_since(&self) -> &Arc<AtomicU64> {
        &self.kept_since
    }

    /// Adds the components and modules that the current window refers to, and returns the complete ones, to be asked without the
    /// lock.
    pub(crate) fn windows_in_use(&self, targets: &mut FxHashSet<u32>) -> Vec<Arc<Window>> {
        targets.extend(self.current.stacks.targets());
        self.complete.iter().cloned().collect()
    }

    /// All windows that are kept, the oldest first.
    #[cfg(test)]
    fn windows(&self) -> impl Iterator<Item = &Window> {
        self.complete.iter().map(|window| &**window).chain([&self.current])
    }

    /// What there is of `period`, as it is now. Takes some microseconds: everything that does not change any more is shared, and
    /// the rest is little.
    /// `is_everything` says that nothing was recorded beside that.
    pub(crate) fn freeze(&self, period: Range<Duration>, is_everything: bool) -> FrozenLog {
        let complete = self.complete.iter().filter(|window| window.overlaps(&period)).cloned();
        let current = self.current.overlaps(&period).then(|| Arc::new(self.current.freeze(&period)));
        FrozenLog {
            windows: complete.chain(current).collect(),
            counts: self.counts.clone(),
            handler_cost: self.handler_cost,
            knows_preempted: self.knows_preempted,
            scripts: self.scripts.clone(),
            period,
            is_everything,
        }
    }

    /// Makes room for a sample at `time`: begins a window if it is time, and drops what may not be kept. Stacks are interned
    /// after this. Returns the number of the current window, for which they are valid.
    pub(crate) fn make_room(&mut self, time: Duration) -> u64 {
        let Retention { window, windows, bytes } = self.retention;
        let mut is_over = time.saturating_sub(self.current.begin) >= window && self.current.is_worth_keeping();
        // A quarter of the memory for each, so that the oldest is not all there is.
        let most = bytes / 4;
        is_over |= self.current.bytes_beside_samples() > most;
        // Where windows are not counted, a new one costs nothing, and has room for new labels.
        is_over |= windows == usize::MAX && self.current.labels.is_full();
        self.unchecked += 1;
        if self.unchecked >= CHECK_EVERY {
            self.unchecked = 0;
            is_over |= self.current.bytes() > most;
        }
        if is_over {
            let next = Window::new(time, self.retention.tells_requests());
            let complete = std::mem::replace(&mut self.current, next).close();
            self.complete_bytes += complete.bytes();
            self.complete.push_back(complete);
            self.generation += 1;
            while self.complete.len() >= windows || self.complete_bytes > bytes {
                let Some(oldest) = self.complete.pop_front() else { break };
                self.complete_bytes -= oldest.bytes();
                self.counts.lose_kept(LossReason::WindowDropped, oldest.kept);
                self.counts.truncated = self.counts.truncated.saturating_sub(oldest.truncated);
                self.dropped.push(oldest);
            }
            let oldest = self.complete.front().map_or(self.current.begin, |oldest| oldest.begin);
            self.kept_since.store(nanos(oldest), Ordering::Relaxed);
        }
        self.generation
    }

    /// What is not kept any more, for who keeps others from the log as long as he has it: to be freed after that.
    pub(crate) fn take_dropped(&mut self) -> Vec<Arc<Window>> {
        std::mem::take(&mut self.dropped)
    }

    /// The stacks of the current window.
    pub(crate) fn stacks(&mut self) -> &mut StackTable {
        &mut self.current.stacks
    }

    /// Notes something that the host did.
    pub(crate) fn record_span(&mut self, span: Span) {
        if self.end.get().is_none() {
            self.make_room(span.end());
            self.current.add_span(span);
        }
    }

    /// Records a sample that the current thread took. Without frames, it is counted as lost.
    pub(crate) fn record(&mut self, sample: RawSample, outermost_first: impl Iterator<Item = RawFrame>) {
        self.record_for(&ThreadIdentity::current(), sample, outermost_first);
    }

    /// The same for a sample that belongs to `thread`, whichever thread took it.
    pub(crate) fn record_for(
        &mut self,
        thread: &ThreadIdentity,
        sample: RawSample,
        outermost_first: impl Iterator<Item = RawFrame>,
    ) {
        if self.end.get().is_some() {
            return;
        }
        self.counts.taken += 1;
        self.make_room(sample.time);
        match self.stacks().intern(outermost_first) {
            Some(stack) => self.keep(thread, sample, stack),
            None => self.count_lost(LossReason::NoVisibleFrame, 1, sample.time),
        }
    }

    /// Keeps a sample that has been counted as taken, or will be.
    pub(crate) fn keep(&mut self, thread: &ThreadIdentity, sample: RawSample, stack: StackId) {
        let own = Track::Thread(thread.id);
        let threads = &self.current.threads;
        let has_room = threads.len() < MAX_TIMELINES || threads.contains_key(&own);
        self.keep_in(if has_room { own } else { Track::OtherThreads }, thread, sample, stack);
    }

    /// Keeps the time that a task waited, from `begin` until it was resumed on `thread`. It is part of the thread's
    /// timeline if the thread did nothing else meanwhile.
    pub(crate) fn keep_wait(&mut self, thread: &ThreadIdentity, begin: Duration, wait: RawSample, stack: StackId) {
        if self.end.get().is_some() {
            return;
        }
        self.counts.taken += 1;
        let interval = self.interval;
        let is_alone = {
            let own = self.current.threads.get(&Track::Thread(thread.id));
            let entries = own.into_iter().flat_map(|own| own.timeline.entries().iter().rev());
            // What runs since the task was resumed may be there already.
            let meanwhile = entries.take(MAX_AFTER_WAIT).take_while(|entry| entry.time > begin);
            meanwhile.clone().count() < MAX_AFTER_WAIT
                && meanwhile.clone().all(|entry| entry.time.saturating_sub(entry.wall) + interval >= wait.time)
        };
        if is_alone {
            self.keep(thread, wait, stack);
        } else {
            self.keep_in(Track::Suspended, thread, wait, stack);
        }
    }

    /// Keeps the time that the profiler's own work took until `time`. A sample that fell into it is none of those that are
    /// counted.
    pub(crate) fn keep_own_work(&mut self, time: Duration, wall: Duration, cpu: Duration, taken: Taken) {
        if self.end.get().is_some() && taken == Taken::ByClock {
            return;
        }
        let count = u64::from(taken == Taken::BySignal);
        // It has no stack and no labels: all of it is alike.
        let (labels, preempted) = (LabelSetId::default(), Duration::ZERO);
        let entry = Entry { time, stack: StackId(0), labels, count, wall, cpu, preempted };
        self.current.extend_to(time);
        self.current.own_work.push(entry);
    }

    /// Counts samples that could not be kept, as was found out at `time`.
    pub(crate) fn count_lost(&mut self, reason: LossReason, count: u64, time: Duration) {
        if count > 0 {
            *self.counts.lost.entry(reason).or_default() += count;
            self.current.extend_to(time);
            self.current.losses.push(Loss { time, reason, count });
        }
    }

    fn keep_in(&mut self, track: Track, thread: &ThreadIdentity, sample: RawSample, stack: StackId) {
        let RawSample { time, wall, cpu, preempted, truncated, labels } = sample;
        self.knows_preempted &= preempted.is_some();
        let preempted = preempted.unwrap_or_default();
        self.counts.kept += 1;
        self.counts.truncated += u64::from(truncated);
        let interval = self.interval;
        let window = &mut self.current;
        window.kept += 1;
        window.truncated += u64::from(truncated);
        let labels = window.labels.intern(labels, &self.labels);
        let log = window.threads.entry(track).or_insert_with(|| ThreadLog {
            name: match track {
                Track::Thread(_) => thread.name.clone(),
                Track::OtherThreads => Some(Arc::from("other threads")),
                Track::Suspended => Some(Arc::from("suspended")),
            },
            timeline: Timeline::new(interval),
        });
        log.timeline.push(Entry { time, stack, labels, count: 1, wall, cpu, preempted });
        // Where threads share a timeline, it may have been put behind what is there.
        let time = log.timeline.entries().last().map_or(time, |last| last.time.max(time));
        window.extend_to(time);
    }
}

#[cfg(test)]
mod tests;
