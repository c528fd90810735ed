//! Takes the samples of one recorder, from inside epoch callbacks.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wasmtime::AsContext;

use super::backtrace::capture;
use super::thread_clocks::{ClockReading, ThreadClocks};
use crate::code::Registry;
use crate::sampler::signal::CallerWays;
use crate::sampler::{RecordingState, own_work};
use crate::samples::{LabelsId, RawSample, SampleLog, Taken, with_log};

/// Takes the samples of one recorder, from inside epoch callbacks.
#[derive(Debug)]
pub(crate) struct EpochSampler {
    state: Arc<RecordingState>,
    code: Arc<Registry>,
    log: Arc<Mutex<SampleLog>>,
    /// How scripts are found; nothing where stacks cannot be read.
    ways: Option<Arc<CallerWays>>,
    start: Instant,
    clocks: ThreadClocks,
}

impl EpochSampler {
    /// One for a recording that began at `start`.
    pub(crate) fn new(
        state: &Arc<RecordingState>,
        code: &Arc<Registry>,
        (log, ways): (&Arc<Mutex<SampleLog>>, Option<&Arc<CallerWays>>),
        start: Instant,
    ) -> Self {
        let (state, code, log) = (Arc::clone(state), Arc::clone(code), Arc::clone(log));
        Self { state, code, log, ways: ways.map(Arc::clone), start, clocks: ThreadClocks::default() }
    }

    /// Notes the clocks of this thread if they have never been read, and returns the time since the recording began.
    pub(crate) fn begin(&self) -> Duration {
        let now = self.start.elapsed();
        self.clocks.begin(now);
        now
    }

    /// Forgets all clocks: no store is charged with the time until they are read again.
    pub(crate) fn forget_clocks(&self) {
        self.clocks.clear();
    }

    fn read_clocks(&self) -> ClockReading {
        self.clocks.read(self.start.elapsed())
    }

    /// Takes a sample of `store`, which runs on this thread, and charges it with the time since the sample before. Its last one
    /// was taken at `last`; returns when this one was over.
    pub(crate) fn sample(&self, store: impl AsContext, last: Duration, labels: LabelsId) -> Duration {
        if self.state.is_idle() {
            return last;
        }
        // Stores that take turns on a thread must not be charged with each other's time, so time counts from the last
        // sample of this store or of any other on the thread, whichever is later.
        let clocks = self.read_clocks();
        let time = clocks.now;
        let wall = time.saturating_sub(last.max(clocks.last));
        let cpu = clocks.cpu.min(wall);
        // What a tracer of calls took meanwhile is not the guest's.
        let traced = Duration::from_nanos(own_work::take_spent()).min(wall);
        let (wall, cpu) = (wall.saturating_sub(traced), cpu.saturating_sub(traced));
        let preempted = clocks.preempted.map(|preempted| preempted.min(wall - cpu));
        self.record(&store, |truncated| RawSample { time, wall, cpu, preempted, truncated, labels });
        // Nor is what this took.
        let clocks = self.read_clocks();
        let spent = clocks.now.saturating_sub(time);
        let (wall, cpu) = (traced + spent, traced + clocks.cpu.min(spent));
        if !wall.is_zero() {
            with_log(&self.log, |log| log.keep_own_work(clocks.now, wall, cpu, Taken::ByClock));
        }
        clocks.now
    }

    /// Records a sample, given whether its stack was truncated.
    fn record(&self, store: impl AsContext, sample: impl Fn(bool) -> RawSample) {
        loop {
            let changes = self.code.changes();
            let code = self.code.table();
            let mut stack = capture(&store, |module, _| code.starting_at(module.text().as_ptr().addr() as u64));
            if let Some(ways) = self.ways.as_ref().filter(|_| code.has_evaluators()) {
                stack.insert_scripts(&code, ways);
            }
            // What is unregistered later than this finds the sample in the log, and keeps its names.
            let is_recorded = with_log(&self.log, |log| {
                let is_current = self.code.changes() == changes;
                if is_current {
                    log.record(sample(stack.truncated), stack.outermost_first.iter().copied());
                }
                is_current
            });
            if is_recorded {
                return;
            }
        }
    }
}
