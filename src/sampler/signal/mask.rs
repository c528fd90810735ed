//! A thread's signal mask, which is given back as it was.
//!
//! A thread that has the signal blocked could not be sampled, so it is unblocked there, when the thread's state is made.
//! When the recorder stops, such a thread has to block it again, and only the thread itself can: a mask belongs to its
//! thread. But the thread may be asleep, or busy with something else for as long as it likes. So it is sent the signal, once
//! more and without a timer, and the handler changes the mask that is restored when the handler returns.
//!
//! Nearly all threads have the signal unblocked, and nothing of this happens.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::clocks;
use super::core::Core;
use super::disposition;
use super::thread::{ThreadState, states};
use crate::nanos::nanos;

/// Who stops a recorder waits no longer for threads to block the signal again. Those that have not by then, because they have
/// not run, do it when they end their activation, begin another, or end themselves.
const PATIENCE: Duration = Duration::from_secs(1);

/// A thread that has the signal blocked for so long does not only run its handler.
const OWN_HANDLER: Duration = Duration::from_millis(100);

/// What is to be done to the mask of one thread when its recorder stops.
#[derive(Debug)]
pub(super) struct Mask {
    /// The thread, as the kernel knows it.
    thread: libc::pid_t,
    /// The thread had the signal blocked, so it has to block it again. Whoever takes this back does so.
    has_to_block: AtomicBool,
}

impl Mask {
    /// That of the current thread, which is still as it was.
    pub(super) fn of_current_thread() -> Self {
        // SAFETY: no arguments, no preconditions.
        Self { thread: unsafe { libc::gettid() }, has_to_block: AtomicBool::new(false) }
    }

    /// Whether the thread still has to block the signal again.
    pub(super) fn has_to_block(&self) -> bool {
        self.has_to_block.load(Ordering::SeqCst)
    }
}

/// Lets the signal reach the current thread, whose state this is, and which the handler finds already: so that of two states
/// on the thread, of which one ends now, one knows of the other.
///
/// # Errors
/// The system refuses it, as sandboxes do.
pub(super) fn unblock(state: &ThreadState) -> io::Result<()> {
    if change(libc::SIG_UNBLOCK, state.core.signal)? {
        state.mask.has_to_block.store(true, Ordering::SeqCst);
        // Who stopped the recorder just now may not have seen it.
        if state.core.is_stopped() {
            block_again(state);
        }
    }
    Ok(())
}

/// The recorder of `state`, which is one of the current thread's, has stopped: blocks the signal, if it was blocked before
/// and nobody else needs it. Not called by the handler.
pub(super) fn block_again(state: &ThreadState) {
    // SAFETY: on this thread, and no state is taken out of the list before the end of the statement.
    if settle(state, unsafe { states() }) {
        // What could be unblocked can be blocked.
        let _ = change(libc::SIG_BLOCK, state.core.signal);
    }
}

/// Does the same for all states of the current thread whose recorders have stopped, by changing what the interrupted code
/// will go on with. Called by the handler.
///
/// # Safety
/// `context` is what the kernel has passed to a handler that runs.
pub(super) unsafe fn block_again_after_handler(context: *mut libc::ucontext_t) {
    // SAFETY: on this thread, in a handler, which takes no state out of the list.
    let all = || unsafe { states() };
    for state in all().filter(|state| state.core.is_stopped()) {
        if settle(state, all()) {
            // SAFETY: by contract the context is valid, and nobody else uses it before the handler returns. What the kernel
            // has of the mask is its first 64 bits, which is where this signal's is: `sigaddset` touches no other word.
            unsafe { libc::sigaddset(&raw mut (*context).uc_sigmask, state.core.signal) };
        }
    }
}

/// Takes over from `state` what is to be done to the mask of its thread, and returns whether that is to block the signal: not
/// if another recorder needs it on the thread, one of `others`, which has to do it then.
fn settle<'s>(state: &ThreadState, others: impl Iterator<Item = &'s ThreadState>) -> bool {
    if !state.mask.has_to_block.swap(false, Ordering::SeqCst) {
        return false;
    }
    for other in others {
        let needs_it = |other: &ThreadState| other.core.signal == state.core.signal && !other.core.is_stopped();
        if std::ptr::eq(other, state) || !needs_it(other) {
            continue;
        }
        other.mask.has_to_block.store(true, Ordering::SeqCst);
        // If it has been stopped meanwhile, whoever did so may have found nothing to do: then one of both does it.
        if needs_it(other) || !other.mask.has_to_block.swap(false, Ordering::SeqCst) {
            return false;
        }
    }
    true
}

/// The recorder has stopped: sees to it that all of its threads block the signal again that had it blocked.
pub(super) fn give_back(core: &Core) {
    let all = core.threads().clone();
    let is_open = |state: &Arc<ThreadState>| state.mask.has_to_block() && !state.has_ended.load(Ordering::Acquire);
    let mut open: Vec<Arc<ThreadState>> = all.into_iter().filter(is_open).collect();
    open.iter().filter(|state| state.is_current()).for_each(|state| block_again(state));
    open.retain(is_open);
    // A handler of somebody else's would not know what to do.
    if open.is_empty() || !disposition::is_ours(core.signal) {
        return;
    }
    let passed = {
        let begin = clocks::monotonic();
        move || clocks::monotonic().saturating_sub(begin)
    };
    // Of a signal that is no real-time signal, a second one is dropped while a first waits, which may be a timer's last.
    let may_be_dropped = core.signal < libc::SIGRTMIN();
    let mut asked = vec![false; open.len()];
    loop {
        for (state, is_asked) in open.iter().zip(&mut asked) {
            if is_open(state) && (!*is_asked || may_be_dropped) {
                *is_asked |= ask(state);
            }
        }
        let patience = |is_asked: &bool| nanos(if *is_asked { PATIENCE } else { OWN_HANDLER });
        let is_worth_it =
            |(state, is_asked): (&Arc<ThreadState>, &bool)| is_open(state) && passed() < patience(is_asked);
        if !open.iter().zip(&asked).any(is_worth_it) {
            return;
        }
        std::thread::sleep(Duration::from_micros(100));
    }
}

/// Asks another thread to block the signal again; returns whether it was asked.
fn ask(state: &ThreadState) -> bool {
    if is_blocked_on(state.mask.thread, state.core.signal) {
        // It runs a handler, which will return; or it has blocked the signal itself, and what was sent to it would lie there until
        // it unblocks the signal.
        return false;
    }
    // SAFETY: sends a signal whose handler is ours to a thread of this process; if there is none with this number, that is an
    // error, and if it is another one meanwhile, the handler finds nothing to do.
    let result = unsafe { libc::syscall(libc::SYS_tgkill, libc::getpid(), state.mask.thread, state.core.signal) };
    result == 0
}

/// Whether a thread of this process has `signal` blocked, as far as the system tells.
fn is_blocked_on(thread: libc::pid_t, signal: libc::c_int) -> bool {
    let Ok(status) = std::fs::read_to_string(format!("/proc/self/task/{thread}/status")) else { return false };
    let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:"));
    let blocked = blocked.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    blocked.is_some_and(|mask| mask >> (signal - 1) & 1 == 1)
}

/// Blocks or unblocks `signal` on the current thread; returns whether it was blocked.
fn change(how: libc::c_int, signal: libc::c_int) -> io::Result<bool> {
    // SAFETY: both sets are initialised before they are read, and the signal number was accepted by `sigaction`.
    let (result, was_blocked) = unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        let mut before: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        libc::sigaddset(&raw mut set, signal);
        let result = libc::pthread_sigmask(how, &raw const set, &raw mut before);
        (result, libc::sigismember(&raw const before, signal) == 1)
    };
    if result == 0 { Ok(was_blocked) } else { Err(io::Error::from_raw_os_error(result)) }
}
