//! What an async task waits for.
//!
//! While a task is suspended nothing of it runs, so no timer can tell where it is. But before a future may be suspended,
//! it has to keep a clone of the waker it was polled with, and it makes that clone inside of the very function that
//! waits, with the guest's frames beneath. So tasks are polled with a waker whose `clone` takes a walk. The clone itself
//! is one of the executor's own waker: waking costs what it did before.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::Arc;
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};

use super::tasks::{SharedTask, Task};
use super::thread::ThreadState;
use super::walk::{FrameWord, Place, Registers};
use super::{SignalSampler, clocks};
use crate::lock::lock;
use crate::sampler::current_task::CurrentTask;
use crate::sampler::own_work::OwnWork;
use crate::samples::{CallSite, LabelsId, LabelsInUse};

/// One task, as the recorder sees it.
#[derive(Debug, Default)]
pub(crate) struct Instrumentation {
    /// Made when the task has to wait for the first time.
    task: Option<(u64, SharedTask)>,
    pub(crate) labels: Option<Arc<LabelsInUse>>,
    /// Memory for the stack that is noted during a poll.
    noted: Vec<FrameWord>,
}

impl Instrumentation {
    /// The number of its labels.
    pub(crate) fn labels_id(&self) -> LabelsId {
        self.labels.as_ref().map_or(LabelsId::NONE, |labels| labels.id())
    }

    /// Polls the task with `poll`, and samples it meanwhile.
    pub(crate) fn poll<R>(
        &mut self,
        sampler: &SignalSampler,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        let core = &sampler.core;
        // Before the task becomes active: no time may count twice.
        let now = clocks::monotonic();
        let Some(entered) = sampler.enter(self.labels_id()) else {
            // Not sampled here, so what it does from now on is unknown.
            if let Some((_, task)) = &self.task {
                lock(task).suspended = None;
            }
            return poll(context);
        };
        let state = &*entered.state;
        // With the CPU clock, waiting costs nothing; inside of another activation, it is that one's time.
        if core.counts_cpu() || state.is_nested() {
            return poll(context);
        }
        if let Some((_, task)) = &self.task {
            end_wait(now, task, state);
        }
        let stack = RefCell::new(std::mem::take(&mut self.noted));
        let hook = Hook { waker: context.waker(), state, stack, noted: Cell::new(Noted::Nothing) };
        // SAFETY: the functions of `VTABLE` take a pointer to a `Hook`, which lives until the end of this function, and
        // the waker is only lent out, for `poll`.
        let waker = ManuallyDrop::new(unsafe { Waker::new(std::ptr::from_ref(&hook).cast(), &VTABLE) });
        let mut hooked = Context::from_waker(&waker);
        let result = poll(&mut hooked);
        let (noted, stack) = (hook.noted.get(), hook.stack.into_inner());
        self.noted = stack;
        if result.is_pending() {
            // No activation is around it, so that it has its own labels or none.
            let (thread, labels) = (state.identity.clone(), self.labels.clone());
            drop(entered);
            // A task that never waits is never known. (Code that has gone during the poll is not known either, and is shown as such.)
            let (_, task) = self.task.get_or_insert_with(|| core.tasks.add());
            let mut task = lock(task);
            let stack = match noted {
                Noted::Nothing => std::mem::take(&mut task.stack),
                Noted::Host | Noted::Guest => std::mem::replace(&mut self.noted, std::mem::take(&mut task.stack)),
            };
            let suspended = Some((clocks::monotonic(), thread));
            *task = Task { suspended, stack, labels, pauses: core.pauses() };
            // Host futures of WASI 0.3 are polled without the guest that waits for them; who traces calls knows it.
            if let (true, Some(open)) = (task.stack.is_empty(), CurrentTask::get().open_call) {
                // A site is in the middle of the call, and the frame of a caller is told by what comes after.
                let frame = |site: CallSite| FrameWord::text(site.target, site.offset.saturating_add(1));
                task.stack.extend(open.entry.into_iter().chain([open.import]).map(frame));
            }
        }
        result
    }

    /// The task will not be polled again.
    pub(crate) fn dropped(&mut self, sampler: &SignalSampler) {
        let Some((number, task)) = self.task.take() else { return };
        let now = clocks::monotonic();
        let is_suspended = lock(&task).suspended.is_some();
        if is_suspended && let Some(entered) = sampler.enter(self.labels_id()) {
            end_wait(now, &task, &entered.state);
        }
        // Not before the wait is with the thread: who looks for code in use finds it with one of the two.
        sampler.core.tasks.remove(number);
    }
}

/// The task runs again since `now`, on the thread of `state`.
fn end_wait(now: u64, task: &SharedTask, state: &ThreadState) {
    let Some(mut wait) = lock(task).end_wait(now, &state.core) else { return };
    // Its track is that of the thread that it goes on on.
    wait.thread = state.identity.clone();
    // Who collects the thread's samples puts it where it belongs among them. The log may be somebody else's for a while.
    lock(&state.waits).push(wait);
}

/// What the waker of a poll points to.
struct Hook<'p> {
    waker: &'p Waker,
    state: &'p ThreadState,
    stack: RefCell<Vec<FrameWord>>,
    /// What that is the stack of.
    noted: Cell<Noted>,
}

/// What a stack was noted of during a poll.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Noted {
    Nothing,
    /// No guest was on it.
    Host,
    Guest,
}

impl Hook<'_> {
    /// Notes where the task is.
    fn walk(&self, here: Registers) {
        let _own_work = OwnWork::begin();
        self.state.walk_here(here, |frames| {
            let is_guest = |frame: &FrameWord| matches!(frame.place(), Place::Text { .. } | Place::Unregistered);
            // The function that waits, down to this one, says no more than that it waits.
            let innermost = frames.iter().rposition(is_guest);
            let frames = innermost.map_or(&[][..], |innermost| &frames[..=innermost]);
            // A future may keep its waker in several places; some are outside of all guests.
            if frames.is_empty() && self.noted.get() == Noted::Guest {
                return;
            }
            self.noted.set(if frames.is_empty() { Noted::Host } else { Noted::Guest });
            let mut stack = self.stack.borrow_mut();
            stack.clear();
            stack.extend_from_slice(frames);
        });
    }
}

static VTABLE: RawWakerVTable = RawWakerVTable::new(clone, wake, wake, |_| {});

/// # Safety
/// `hook` points to a live [`Hook`].
unsafe fn clone(hook: *const ()) -> RawWaker {
    // SAFETY: by contract. Another thread may have got hold of the waker; what is not synchronised in the hook is used
    // by `walk` only, which is called on the thread of the poll only.
    let hook = unsafe { &*hook.cast::<Hook<'_>>() };
    if hook.state.is_current() {
        hook.walk(Registers::here());
    }
    let clone = ManuallyDrop::new(hook.waker.clone());
    RawWaker::new(clone.data(), clone.vtable())
}

/// # Safety
/// `hook` points to a live [`Hook`].
unsafe fn wake(hook: *const ()) {
    // SAFETY: as for `clone`; `Waker` may be used by any thread.
    let hook = unsafe { &*hook.cast::<Hook<'_>>() };
    // A task that yields wakes itself, and keeps no clone.
    if hook.state.is_current() {
        hook.walk(Registers::here());
    }
    hook.waker.wake_by_ref();
}
