//! Everything one recorder has seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::thread::ThreadId;
use std::time::Duration;

use indexmap::IndexMap;

use super::labels::{LabelTable, LabelsId};
use super::stack_table::{RawFrame, StackId, StackTable};
use super::timeline::{Entry, Timeline};

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
    pub(crate) name: Option<String>,
    pub(crate) timeline: Timeline,
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
    /// Everything, as far as it fits into `bytes`.
    pub(crate) fn all(bytes: usize) -> Self {
        Self { window: Duration::MAX, windows: usize::MAX, bytes }
    }
}

/// A stretch of a recording, with tables of its own, so that it can be dropped.
#[derive(Debug)]
pub(crate) struct Window {
    /// Since the recording began.
    begin: Duration,
    pub(crate) stacks: StackTable,
    /// In order of their first sample.
    pub(crate) threads: IndexMap<Track, ThreadLog>,
    /// The profiler's own work, of all threads together.
    pub(crate) own_work: Timeline,
    kept: u64,
    truncated: u64,
}

/// When within so much time the profiler was at work, nobody needs to know.
const OWN_WORK_SLOT: Duration = Duration::from_millis(100);

impl Window {
    fn new(begin: Duration) -> Self {
        Self {
            begin,
            stacks: StackTable::default(),
            threads: IndexMap::new(),
            own_work: Timeline::new(OWN_WORK_SLOT),
            kept: 0,
            truncated: 0,
        }
    }

    fn bytes(&self) -> usize {
        let entries = self.threads.values().map(|thread| thread.timeline.entries().len()).sum::<usize>();
        // Vectors and hash tables have room to grow.
        2 * (entries * size_of::<Entry>() + self.stacks.bytes())
    }
}

/// Everything one recorder has seen, as far as it is kept.
#[derive(Debug)]
pub(crate) struct SampleLog {
    interval: Duration,
    retention: Retention,
    /// In order of time; there is always one, the current one.
    windows: VecDeque<Window>,
    /// How many windows there have been; a [`StackId`] is valid for one of them.
    generation: u64,
    /// Samples until memory is looked at again.
    unchecked: u32,
    pub(crate) labels: LabelTable,
    pub(crate) counts: SampleCounts,
    pub(crate) handler_cost: Option<HandlerCost>,
    /// Whether it is known of all samples how long they waited for a CPU.
    pub(crate) knows_preempted: bool,
    /// Samples among those taken that fell into the profiler's own work.
    pub(crate) own_work_taken: u64,
    /// When recording ended, since it began; nothing is recorded after that.
    pub(crate) end: Option<Duration>,
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
            windows: VecDeque::from([Window::new(Duration::ZERO)]),
            generation: 0,
            unchecked: 0,
            labels: LabelTable::default(),
            counts: SampleCounts::default(),
            handler_cost: None,
            knows_preempted: true,
            own_work_taken: 0,
            end: None,
        }
    }

    /// All windows that are kept, the oldest first.
    pub(crate) fn windows(&self) -> impl Iterator<Item = &Window> {
        self.windows.iter()
    }

    /// Makes room for a sample at `time`: begins a window if it is time, and drops what may not be kept. Stacks are interned
    /// after this. Returns the number of the current window, for which they are valid.
    pub(crate) fn make_room(&mut self, time: Duration) -> u64 {
        let Retention { window, windows, bytes } = self.retention;
        let current = self.current();
        let mut is_over = time.saturating_sub(current.begin) >= window && current.kept > 0;
        self.unchecked += 1;
        if self.unchecked >= CHECK_EVERY {
            self.unchecked = 0;
            // A quarter of the memory for each, so that the oldest is not all there is.
            is_over |= self.current().bytes() > bytes / 4;
        }
        if is_over {
            self.windows.push_back(Window::new(time));
            self.generation += 1;
        }
        while self.windows.len() > 1
            && (self.windows.len() > windows
                || is_over && self.windows.iter().map(Window::bytes).sum::<usize>() > bytes)
        {
            let Some(oldest) = self.windows.pop_front() else { break };
            self.counts.lose_kept(LossReason::WindowDropped, oldest.kept);
            self.counts.truncated = self.counts.truncated.saturating_sub(oldest.truncated);
        }
        self.generation
    }

    fn current(&mut self) -> &mut Window {
        // There is always one.
        if self.windows.is_empty() {
            self.windows.push_back(Window::new(Duration::ZERO));
        }
        let last = self.windows.len() - 1;
        &mut self.windows[last]
    }

    /// The stacks of the current window.
    pub(crate) fn stacks(&mut self) -> &mut StackTable {
        &mut self.current().stacks
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
        if self.end.is_some() {
            return;
        }
        self.counts.taken += 1;
        self.make_room(sample.time);
        match self.stacks().intern(outermost_first) {
            Some(stack) => self.keep(thread, sample, stack),
            None => self.count_lost(LossReason::NoVisibleFrame, 1),
        }
    }

    /// Keeps a sample that has been counted as taken, or will be.
    pub(crate) fn keep(&mut self, thread: &ThreadIdentity, sample: RawSample, stack: StackId) {
        let own = Track::Thread(thread.id);
        let threads = &self.current().threads;
        let has_room = threads.len() < MAX_TIMELINES || threads.contains_key(&own);
        self.keep_in(if has_room { own } else { Track::OtherThreads }, thread, sample, stack);
    }

    /// Keeps the time that a task waited, from `begin` until it was resumed on `thread`. It is part of the thread's
    /// timeline if the thread did nothing else meanwhile.
    pub(crate) fn keep_wait(&mut self, thread: &ThreadIdentity, begin: Duration, wait: RawSample, stack: StackId) {
        if self.end.is_some() {
            return;
        }
        self.counts.taken += 1;
        let interval = self.interval;
        let own = self.current().threads.get(&Track::Thread(thread.id));
        let entries = own.map_or(&[][..], |own| own.timeline.entries());
        // What runs since the task was resumed may be there already.
        let meanwhile = entries.iter().rev().take(MAX_AFTER_WAIT).take_while(|entry| entry.time > begin);
        if meanwhile.clone().count() < MAX_AFTER_WAIT
            && meanwhile.clone().all(|entry| entry.time.saturating_sub(entry.wall) + interval >= wait.time)
        {
            self.keep(thread, wait, stack);
        } else {
            self.keep_in(Track::Suspended, thread, wait, stack);
        }
    }

    /// Keeps the time that the profiler's own work took until `time`.
    pub(crate) fn keep_own_work(&mut self, time: Duration, wall: Duration, cpu: Duration, taken: Taken) {
        if self.end.is_some() && taken == Taken::ByClock {
            return;
        }
        let count = u64::from(taken == Taken::BySignal);
        self.own_work_taken += count;
        // It has no stack and no labels: all of it is alike.
        let (labels, preempted) = (LabelsId::default(), Duration::ZERO);
        let entry = Entry { time, stack: StackId(0), labels, count, wall, cpu, preempted };
        self.current().own_work.push(entry);
    }

    /// Counts samples that could not be kept.
    pub(crate) fn count_lost(&mut self, reason: LossReason, count: u64) {
        if count > 0 {
            *self.counts.lost.entry(reason).or_default() += count;
        }
    }

    fn keep_in(&mut self, track: Track, thread: &ThreadIdentity, sample: RawSample, stack: StackId) {
        let RawSample { time, wall, cpu, preempted, truncated, labels } = sample;
        self.knows_preempted &= preempted.is_some();
        let preempted = preempted.unwrap_or_default();
        self.counts.kept += 1;
        self.counts.truncated += u64::from(truncated);
        let interval = self.interval;
        let window = self.current();
        window.kept += 1;
        window.truncated += u64::from(truncated);
        let log = window.threads.entry(track).or_insert_with(|| ThreadLog {
            name: match track {
                Track::Thread(_) => thread.name.as_deref().map(str::to_owned),
                Track::OtherThreads => Some("other threads".to_owned()),
                Track::Suspended => Some("suspended".to_owned()),
            },
            timeline: Timeline::new(interval),
        });
        log.timeline.push(Entry { time, stack, labels, count: 1, wall, cpu, preempted });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(seconds: u64) -> RawSample {
        let (time, wall) = (Duration::from_secs(seconds), Duration::from_secs(1));
        let (preempted, truncated) = (Some(Duration::ZERO), seconds.is_multiple_of(2));
        RawSample { time, wall, cpu: wall, preempted, truncated, labels: LabelsId::default() }
    }

    fn frame(function: u32) -> RawFrame {
        RawFrame::Wasm { target: 0, module: 0, function, instruction: None }
    }

    fn kept(log: &SampleLog) -> u64 {
        let timelines = log.windows().flat_map(|window| window.threads.values());
        timelines.flat_map(|thread| thread.timeline.entries()).map(|entry| entry.count).sum()
    }

    #[test]
    fn the_oldest_window_is_dropped_and_counted() {
        let retention = Retention { window: Duration::from_secs(10), windows: 3, bytes: usize::MAX };
        let mut log = SampleLog::new(Duration::from_millis(1), retention);
        for second in 1..=100 {
            log.record(sample(second), [frame(1), frame(2)].into_iter());
            assert_eq!(log.counts.taken, log.counts.kept + log.counts.lost.values().sum::<u64>());
            assert_eq!(log.counts.kept, kept(&log));
            assert!(log.counts.kept <= 30);
        }
        assert!(log.counts.kept > 20 && log.counts.truncated <= log.counts.kept / 2 + 1, "{:?}", log.counts);
        assert_eq!(log.counts.lost[&LossReason::WindowDropped], 100 - log.counts.kept);
    }

    #[test]
    fn memory_is_bounded() {
        let bytes = 8 << 20;
        let mut log = SampleLog::new(Duration::from_millis(1), Retention::all(bytes));
        for number in 0..300_000_u32 {
            // All of them distinct: the worst case.
            log.record(sample(number.into()), [frame(number), frame(number + 1)].into_iter());
        }
        assert!(log.windows().map(Window::bytes).sum::<usize>() <= bytes + bytes / 2);
        assert!(kept(&log) > 10_000 && log.counts.lost[&LossReason::WindowDropped] > 0, "{:?}", log.counts);
        assert_eq!(log.counts.taken, log.counts.kept + log.counts.lost.values().sum::<u64>());
    }
}
