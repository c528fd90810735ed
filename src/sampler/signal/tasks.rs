//! What async tasks wait for.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::clocks;
use super::collector::raw_frame;
use super::core::Core;
use super::walk::{FrameWord, Place};
use crate::lock::lock;
use crate::samples::{LabelsId, LabelsInUse, RawSample, SampleLog, ThreadIdentity};

/// What is known of one task.
#[derive(Debug, Default)]
pub(super) struct Task {
    /// Since when the task has been suspended, as the monotonic clock tells, and on which thread it ran last; `None`
    /// while it runs.
    pub(super) suspended: Option<(u64, ThreadIdentity)>,
    /// The recorder's [`pauses`](Core::pauses) then.
    pub(super) pauses: u32,
    /// The stack that the task was suspended with, outermost frame first.
    pub(super) stack: Vec<FrameWord>,
    pub(super) labels: Option<Arc<LabelsInUse>>,
}

/// A task that its owner and the recorder share.
pub(super) type SharedTask = Arc<Mutex<Task>>;

/// The tasks of one recorder.
#[derive(Debug, Default)]
pub(super) struct Tasks {
    next: AtomicU64,
    tasks: Mutex<HashMap<u64, SharedTask>>,
}

impl Tasks {
    /// A new task, and the number that it goes by.
    pub(super) fn add(&self) -> (u64, SharedTask) {
        let (number, task) = (self.next.fetch_add(1, Ordering::Relaxed), SharedTask::default());
        lock(&self.tasks).insert(number, Arc::clone(&task));
        (number, task)
    }

    /// A task has ended.
    pub(super) fn remove(&self, number: u64) {
        lock(&self.tasks).remove(&number);
    }

    /// The components and modules that tasks wait in.
    pub(super) fn targets(&self) -> FxHashSet<u32> {
        let tasks: Vec<SharedTask> = lock(&self.tasks).values().cloned().collect();
        let mut targets = FxHashSet::default();
        for task in tasks {
            targets.extend(self::targets(&lock(&task).stack));
        }
        targets
    }

    /// Records what all tasks have been waiting for until now. (Locks are taken in this order everywhere: the log, the
    /// tasks, a task.)
    pub(super) fn end_waits(&self, core: &Core, log: &mut SampleLog) {
        let now = clocks::monotonic();
        for (_, task) in lock(&self.tasks).drain() {
            if let Some(wait) = lock(&task).end_wait(now, core) {
                wait.record(core, log);
            }
        }
    }
}

/// A wait that is to be recorded.
#[derive(Debug)]
pub(super) struct Wait {
    /// Reading of the monotonic clock when it began.
    begin: u64,
    /// The same when it ended.
    pub(super) end: u64,
    /// Nanoseconds that its sample stands for.
    due: u64,
    /// The thread whose track it is on.
    pub(super) thread: ThreadIdentity,
    /// The stack that the task was suspended with, outermost frame first.
    stack: Vec<FrameWord>,
    labels: Option<Arc<LabelsInUse>>,
}

impl Task {
    /// The task waits no more since `now`. Returns the wait if a sample of it is due.
    pub(super) fn end_wait(&mut self, now: u64, core: &Core) -> Option<Wait> {
        let (begin, thread) = self.suspended.take()?;
        if self.pauses != core.pauses() || core.is_paused() {
            return None;
        }
        let due = core.wait_due(now.saturating_sub(begin))?;
        Some(Wait { begin, end: now, due, thread, stack: self.stack.clone(), labels: self.labels.clone() })
    }
}

impl Wait {
    /// Records it.
    pub(super) fn record(&self, core: &Core, log: &mut SampleLog) {
        let sample = RawSample {
            time: Duration::from_nanos(core.since_start(self.end)),
            wall: Duration::from_nanos(self.due),
            cpu: Duration::ZERO,
            // Nothing of it was ready to run.
            preempted: Some(Duration::ZERO),
            truncated: self.stack.first() == Some(&FrameWord::UNKNOWN_CALLERS),
            labels: self.labels.as_ref().map_or(LabelsId::NONE, |labels| labels.id()),
        };
        let begin = Duration::from_nanos(core.since_start(self.begin));
        let frames = self.stack.iter().copied().chain([FrameWord::SUSPENDED]);
        log.make_room(sample.time);
        if let Some(stack) = log.stacks().intern(frames.map(raw_frame)) {
            log.keep_wait(&self.thread, begin, sample, stack);
        }
    }

    /// The components and modules that it was in.
    pub(super) fn targets(&self) -> impl Iterator<Item = u32> {
        targets(&self.stack)
    }
}

fn targets(stack: &[FrameWord]) -> impl Iterator<Item = u32> {
    stack.iter().filter_map(|frame| match frame.place() {
        Place::Text { target, .. } => Some(target),
        _ => None,
    })
}
