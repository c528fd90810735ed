//! What an async task waits for.
//!
//! While a task is suspended nothing of it runs, so no timer can tell where it is. But before a future may be suspended,
//! it has to keep a clone of the waker it was polled with, and it makes that clone inside of the very function that
//! waits, with the guest's frames beneath. So tasks are polled with a waker whose `clone` takes a walk. The clone itself
//! is one of the executor's own waker: waking costs what it did before.

use std::cell::{Cell, RefCell};
use std::mem::ManuallyDrop;
use std::sync::{Mutex, PoisonError};
use std::task::{Context, Poll, RawWaker, RawWakerVTable, Waker};
use std::time::Duration;

use super::collector::{collect_thread, raw_frame};
use super::thread::ThreadState;
use super::walk::{FrameWord, Place, Registers};
use super::{SignalSampler, clocks};
use crate::samples::{RawSample, SampleLog};

/// What is known of one task.
#[derive(Debug, Default)]
pub(in super::super) struct Instrumentation {
    /// Reading of the monotonic clock when the task was suspended; `None` while it runs.
    suspended: Option<u64>,
    /// The stack that the task was suspended with, outermost frame first.
    stack: Vec<FrameWord>,
    /// Nanoseconds of waiting that are in no sample yet. Short waits are sampled as short runs are: once they add up to
    /// an interval, the last one stands for all.
    due: u64,
}

impl Instrumentation {
    /// Polls the task with `poll`, and samples it meanwhile.
    pub(in super::super) fn poll<R>(
        &mut self,
        sampler: &SignalSampler,
        log: &Mutex<SampleLog>,
        context: &mut Context<'_>,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        // Before the task becomes active: no time may count twice.
        let now = clocks::monotonic();
        let Some(entered) = sampler.enter() else { return poll(context) };
        if sampler.core.counts_cpu() {
            // Waiting costs no CPU time.
            return poll(context);
        }
        self.end_wait(now, &entered.state, log);
        let hook = Hook {
            waker: context.waker(),
            state: &entered.state,
            stack: RefCell::new(std::mem::take(&mut self.stack)),
            walked: Cell::new(false),
        };
        // SAFETY: the functions of `VTABLE` take a pointer to a `Hook`, which lives until the end of this function, and
        // the waker is only lent out, for `poll`.
        let waker = ManuallyDrop::new(unsafe { Waker::new(std::ptr::from_ref(&hook).cast(), &VTABLE) });
        let mut hooked = Context::from_waker(&waker);
        let result = poll(&mut hooked);
        self.stack = hook.stack.into_inner();
        drop(entered);
        if result.is_pending() {
            self.suspended = Some(clocks::monotonic());
        }
        result
    }

    /// The task will not be polled again.
    pub(in super::super) fn dropped(&mut self, sampler: &SignalSampler, log: &Mutex<SampleLog>) {
        let now = clocks::monotonic();
        if self.suspended.is_some()
            && let Some(entered) = sampler.enter()
        {
            self.end_wait(now, &entered.state, log);
        }
    }

    /// The task runs again since `now`, on the thread of `state`.
    fn end_wait(&mut self, now: u64, state: &ThreadState, log: &Mutex<SampleLog>) {
        let core = &state.core;
        let Some(since) = self.suspended.take() else { return };
        self.due = self.due.saturating_add(now.saturating_sub(since));
        if u128::from(self.due) < core.interval.as_nanos() || core.is_stopped() {
            return;
        }
        let wall = std::mem::take(&mut self.due);
        let sample = RawSample {
            time: Duration::from_nanos(core.since_start(now)),
            wall: Duration::from_nanos(wall),
            cpu: Duration::ZERO,
            truncated: self.stack.first() == Some(&FrameWord::UNKNOWN_CALLERS),
        };
        let begin = Duration::from_nanos(core.since_start(since));
        let mut log = log.lock().unwrap_or_else(PoisonError::into_inner);
        // What this thread did before comes first.
        collect_thread(state, &mut log);
        let frames = self.stack.iter().copied().chain([FrameWord::SUSPENDED]);
        let stack = log.stacks.intern(frames.map(raw_frame));
        if let Some(stack) = stack {
            log.keep_wait(&state.identity, begin, sample, stack);
        }
    }
}

/// What the waker of a poll points to.
struct Hook<'p> {
    waker: &'p Waker,
    state: &'p ThreadState,
    stack: RefCell<Vec<FrameWord>>,
    /// Whether a stack with a guest was found during this poll.
    walked: Cell<bool>,
}

impl Hook<'_> {
    /// Notes where the task is.
    fn walk(&self, here: Registers) {
        self.state.walk_here(here, |frames| {
            let is_host = |frame: &FrameWord| matches!(frame.place(), Place::Host { .. } | Place::HiddenHost);
            // The function that waits, down to this one, says no more than that it waits.
            let innermost = frames.iter().rposition(|frame| !is_host(frame));
            let frames = innermost.map_or(&[][..], |innermost| &frames[..=innermost]);
            // A future may keep its waker in several places; some are outside of all guests.
            if frames.is_empty() && self.walked.get() {
                return;
            }
            self.walked.set(!frames.is_empty());
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
    // on the thread of the poll only, which `walk` makes sure of before anything else: see below.
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
    // SAFETY: by contract; `Waker` may be used by any thread.
    unsafe { (*hook.cast::<Hook<'_>>()).waker.wake_by_ref() };
}
