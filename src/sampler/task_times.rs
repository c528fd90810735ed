//! How long the task that runs on a thread has waited, and which CPU time it has used: what a thread's own clocks do not
//! tell of a task that moves between threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::clock::thread_cpu_time;

thread_local! {
    static CURRENT: Cell<CurrentTask> = const { Cell::new(CurrentTask { number: None, waited: 0, cpu_offset: 0 }) };
}

/// The task that a thread runs.
#[derive(Clone, Copy, Debug)]
pub(super) struct CurrentTask {
    /// Tells tasks apart; `None` outside of tasks.
    pub(super) number: Option<u64>,
    /// Nanoseconds that it was suspended until now.
    pub(super) waited: u64,
    /// What is to be added to the thread's CPU time to get the task's, in nanoseconds.
    pub(super) cpu_offset: i64,
}

impl CurrentTask {
    pub(super) fn get() -> Self {
        CURRENT.with(Cell::get)
    }
}

/// The times of one task, between its polls.
#[derive(Debug, Default)]
pub(super) struct TaskTimes {
    /// Given when it runs for the first time.
    number: Option<u64>,
    waited: u64,
    cpu: i64,
    suspended: Option<Instant>,
}

/// CPU time of this thread in nanoseconds.
fn thread_cpu() -> i64 {
    thread_cpu_time().map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}

impl TaskTimes {
    /// Does `poll` as a part of the task. Reads the CPU clock, which is a system call, only if asked to.
    pub(super) fn during<R>(&mut self, with_cpu: bool, poll: impl FnOnce() -> R) -> R {
        if let Some(since) = self.suspended.take() {
            self.waited = self.waited.saturating_add(nanos(since.elapsed()));
        }
        static TASKS: AtomicU64 = AtomicU64::new(0);
        let number = *self.number.get_or_insert_with(|| TASKS.fetch_add(1, Ordering::Relaxed));
        let offset = self.cpu.wrapping_sub(if with_cpu { thread_cpu() } else { 0 });
        let _outer =
            Restore(CURRENT.replace(CurrentTask { number: Some(number), waited: self.waited, cpu_offset: offset }));
        let result = poll();
        if with_cpu {
            self.cpu = thread_cpu().wrapping_add(offset);
        }
        result
    }

    /// The task waits from now on, or is over.
    pub(super) fn suspend(&mut self) {
        self.suspended = Some(Instant::now());
    }
}

/// Goes back to the task around this one, even if a poll panics.
struct Restore(CurrentTask);

impl Drop for Restore {
    fn drop(&mut self) {
        CURRENT.set(self.0);
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
