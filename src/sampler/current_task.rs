//! The task that runs on a thread: how long it has waited, which CPU time it has used, and what its labels are. A thread
//! does not know that of a task that moves between threads.

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use super::clock::thread_cpu_time;
use crate::nanos::nanos;
use crate::samples::{CallSite, LabelsId};

thread_local! {
    static CURRENT: Cell<CurrentTask> = const { Cell::new(CurrentTask::NONE) };
}

/// The task that a thread runs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CurrentTask {
    /// Tells tasks apart; `None` outside of tasks.
    pub(crate) number: Option<u64>,
    /// Nanoseconds that it was suspended until now.
    pub(crate) waited: u64,
    /// What is to be added to the thread's CPU time to get the task's, in nanoseconds.
    pub(crate) cpu_offset: i64,
    /// Its labels, and the address of the recorder that made them.
    labels: (LabelsId, usize),
    /// The import that it is inside of, if calls are traced, and there is one only.
    pub(crate) open_call: Option<OpenCall>,
}

/// A call of an import that has not returned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OpenCall {
    /// How the guest was entered that calls, if that is known.
    pub(crate) entry: Option<CallSite>,
    pub(crate) import: CallSite,
}

impl CurrentTask {
    const NONE: Self = Self { number: None, waited: 0, cpu_offset: 0, labels: (LabelsId::NONE, 0), open_call: None };

    /// Its labels, if they are of the recorder at this address.
    pub(crate) fn labels(self, recorder: usize) -> LabelsId {
        if self.labels.1 == recorder { self.labels.0 } else { LabelsId::NONE }
    }

    pub(crate) fn get() -> Self {
        CURRENT.with(Cell::get)
    }

    /// The task that runs here is inside of an import, or of none any more.
    pub(crate) fn set_open_call(open_call: Option<OpenCall>) {
        CURRENT.with(|current| current.set(Self { open_call, ..current.get() }));
    }
}

/// The times of one task, between its polls.
#[derive(Debug, Default)]
pub(crate) struct TaskTimes {
    /// Given when it runs for the first time.
    number: Option<u64>,
    waited: u64,
    cpu: i64,
    suspended: Option<Instant>,
    open_call: Option<OpenCall>,
}

/// CPU time of this thread in nanoseconds.
fn thread_cpu() -> i64 {
    thread_cpu_time().map_or(0, |time| i64::try_from(time.as_nanos()).unwrap_or(i64::MAX))
}

impl TaskTimes {
    /// Does `poll` as a part of the task, with labels of the recorder at an address. Reads the CPU clock, which is a system
    /// call, only if that is wanted.
    pub(crate) fn during<R>(&mut self, with_cpu: bool, labels: (LabelsId, usize), poll: impl FnOnce() -> R) -> R {
        if let Some(since) = self.suspended.take() {
            self.waited = self.waited.saturating_add(nanos(since.elapsed()));
        }
        static TASKS: AtomicU64 = AtomicU64::new(0);
        let number = *self.number.get_or_insert_with(|| TASKS.fetch_add(1, Ordering::Relaxed));
        let offset = self.cpu.wrapping_sub(if with_cpu { thread_cpu() } else { 0 });
        let open_call = self.open_call;
        let task = CurrentTask { number: Some(number), waited: self.waited, cpu_offset: offset, labels, open_call };
        let _outer = Restore(CURRENT.replace(task));
        let result = poll();
        self.open_call = CurrentTask::get().open_call;
        if with_cpu {
            self.cpu = thread_cpu().wrapping_add(offset);
        }
        result
    }

    /// The task waits from now on, or is over.
    pub(crate) fn suspend(&mut self) {
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
