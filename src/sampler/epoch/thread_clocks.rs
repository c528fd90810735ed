//! How much time has passed on each thread since its clocks were read last.

use std::sync::Mutex;
use std::thread::ThreadId;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::super::clock::thread_cpu_time;
use super::super::run_delay;
use crate::lock::lock;
use crate::nanos::nanos;

/// More threads than a host has at a time.
const MAX_THREADS: usize = 4096;

/// What has passed on a thread.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ClockReading {
    /// Wall-clock time since the recording began.
    pub(crate) now: Duration,
    /// The same when this thread's clocks were read last.
    pub(crate) last: Duration,
    /// CPU time of the thread since then.
    pub(crate) cpu: Duration,
    /// How long it has waited for a CPU since then, if that is known.
    pub(crate) preempted: Option<Duration>,
}

/// The clocks of a thread when they were read last.
#[derive(Clone, Copy, Debug)]
struct Clocks {
    wall: Duration,
    cpu: Option<Duration>,
    /// What it has waited for a CPU, in nanoseconds; perhaps read earlier.
    run_delay: Option<u64>,
}

/// The clocks of all threads.
#[derive(Debug, Default)]
pub(crate) struct ThreadClocks {
    readings: Mutex<FxHashMap<ThreadId, Clocks>>,
}

impl ThreadClocks {
    /// Reads the clocks of this thread at `now`, which is time since the recording began.
    pub(crate) fn read(&self, now: Duration) -> ClockReading {
        let thread = std::thread::current().id();
        let Some(before) = lock(&self.readings).get(&thread).copied() else {
            self.begin(now);
            return ClockReading { now, last: now, cpu: Duration::ZERO, preempted: Some(Duration::ZERO) };
        };
        let cpu = thread_cpu_time();
        let on_cpu = cpu.zip(before.cpu).map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before));
        let off_cpu = now.saturating_sub(before.wall).saturating_sub(on_cpu);
        // Looking would take longer than what there is to see.
        let is_worth_it = nanos(off_cpu) >= run_delay::NOTICEABLE;
        let delay = if is_worth_it { run_delay::of_current_thread() } else { before.run_delay };
        let waited = delay.zip(before.run_delay).map(|(now, before)| Duration::from_nanos(now.saturating_sub(before)));
        lock(&self.readings).insert(thread, Clocks { wall: now, cpu, run_delay: delay });
        ClockReading { now, last: before.wall, cpu: on_cpu, preempted: waited }
    }

    /// Notes the clocks of this thread if they have never been read.
    pub(crate) fn begin(&self, now: Duration) {
        let mut readings = lock(&self.readings);
        // Threads come and go. Forgetting their clocks costs each of them the time of one sample.
        if readings.len() >= MAX_THREADS {
            readings.clear();
        }
        let clocks = || Clocks { wall: now, cpu: thread_cpu_time(), run_delay: run_delay::of_current_thread() };
        readings.entry(std::thread::current().id()).or_insert_with(clocks);
    }

    /// Forgets all clocks: nobody is charged with the time until they are read again.
    pub(crate) fn clear(&self) {
        lock(&self.readings).clear();
    }
}
