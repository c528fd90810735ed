//! The signal handler. It keeps the contract at the top of the folder.

use std::ffi::{c_int, c_void};
use std::sync::atomic::Ordering;

use super::super::own_work;
use super::clocks;
use super::mask;
use super::ring::SampleHeader;
use super::scenes::Scenes;
use super::scripts::{NameRing, Naming, Scripts, Walked};
use super::thread::{AtWork, HandlerState, ThreadState, find_state};
use super::walk::{Extent, FrameWord, MAX_STEPS, Place, Registers, StackMemory, Walker, has_room_below};
use crate::samples::LossReason;

/// Stack that a sample may need, several times over: 4 KiB were seen with unwinding. Where the interrupted stack has
/// less left, the sample is lost.
const ROOM: u64 = 16 * 1024;

/// How many times as long as a sample took the guest runs as well: whatever the stack and the interval are, it goes on, with
/// three quarters of the time at least, but for what is owed to it.
const PAUSE: u64 = 3;

/// Takes a sample of the interrupted thread, if the signal is from the timer of one of its states.
pub(super) extern "C" fn on_signal(_: c_int, info: *mut libc::siginfo_t, context: *mut c_void) {
    let begin = clocks::ticks();
    // SAFETY: installed with `SA_SIGINFO`, so the kernel passes a valid description and context.
    let (info, context) = unsafe { (&*info, context.cast::<libc::ucontext_t>()) };
    if info.si_code == libc::SI_TKILL {
        // SAFETY: the context is the kernel's, as above.
        unsafe { mask::block_again_after_handler(context) };
    }
    // SAFETY: as above, and nobody changes it from here on.
    let context = unsafe { &*context };
    // What others send with `kill` is not for us; and only threads that have a timer have touched the list of states.
    if info.si_code == libc::SI_TIMER {
        // SAFETY: a signal from a timer carries a value.
        let value = unsafe { info.si_value() }.sival_ptr.addr();
        // SAFETY: used in here only.
        if let Some(state) = unsafe { find_state(value) } {
            // It may have interrupted `take_put_off`.
            let at_work = state.at_work();
            if !state.core.is_stopped() {
                signal(&at_work, context, begin);
            }
        }
    }
}

fn signal(at_work: &AtWork<'_>, context: &libc::ucontext_t, begin: u64) {
    let state = at_work.state();
    if !state.is_active() || state.core.is_paused() {
        state.idle_signal();
        return;
    }
    state.active_signal();
    let at = Registers::interrupted(context);
    // SAFETY: on the thread of the state, in a handler that its own signal does not interrupt: it was installed without
    // `SA_NODEFER`.
    let taken = unsafe { state.shared.use_in_handler(|shared| take(at_work, shared, at, begin)) };
    if taken.is_none() {
        // The thread will, as soon as it can.
        state.put_off.fetch_add(1, Ordering::Relaxed);
    }
}

/// How often the thread looks for samples that have been put off while it took those before. Where a signal takes as long as the
/// interval is, there are always more.
const ROUNDS: u32 = 4;

/// Takes the samples that have been put off, outside of handlers, on the thread of `state`. `here` is where the thread is.
pub(super) fn take_put_off(state: &ThreadState, here: Registers) {
    for round in 0..=ROUNDS {
        let count = state.put_off.swap(0, Ordering::Relaxed);
        if count == 0 {
            return;
        }
        // Whoever stops the recorder waits for this as for a handler.
        let at_work = state.at_work();
        if !state.core.is_stopped() && !state.core.is_paused() {
            for _ in 0..count {
                let begin = clocks::ticks();
                let take = |shared: &mut HandlerState| match round {
                    // The guest has to run.
                    ROUNDS => state.progress.add(Err(LossReason::Overload), state.ring.head()),
                    _ => take(&at_work, shared, here, begin),
                };
                // SAFETY: on the thread of the state, outside of handlers.
                unsafe { state.shared.use_in_thread(take) };
            }
        }
    }
}

/// Reading a frame of a script takes as long as finding so many others.
const SCRIPT_FRAME: usize = 4;

/// Takes a sample of the thread, which is at `at`, unless so much time is owed to the guest that it has to run first.
fn take(at_work: &AtWork<'_>, shared: &mut HandlerState, at: Registers, begin: u64) {
    let state = at_work.state();
    let core = &state.core;
    let owed = state.owes_until.load(Ordering::Relaxed).saturating_sub(begin);
    // More than can be owed if the counter was set back, as when a machine is moved.
    let is_possible = owed <= core.allowance().saturating_add(core.longest_walk(MAX_STEPS).saturating_mul(PAUSE + 1));
    let outcome = if owed > core.allowance() && is_possible {
        Err(LossReason::Overload)
    } else {
        let outcome = take_now(at_work, shared, at, begin);
        let cost = clocks::ticks().wrapping_sub(begin);
        state.cost.add(cost);
        // What took longer was interrupted: the machine is busy, and the sampler need not make up for that.
        let scripts = shared.scripts.as_deref().map_or(0, |scripts| scripts.frames());
        let cost = cost.min(core.longest_walk(shared.walker.new_frames() + SCRIPT_FRAME * scripts));
        let owed = cost.saturating_mul(PAUSE + 1).saturating_add(if is_possible { owed } else { 0 });
        state.owes_until.store(begin.saturating_add(owed), Ordering::Relaxed);
        outcome
    };
    state.progress.add(outcome, state.ring.head());
}

/// Takes a sample, if there is room on the stack.
fn take_now(at_work: &AtWork<'_>, shared: &mut HandlerState, at: Registers, begin: u64) -> Result<(), LossReason> {
    if !has_room(at_work.state()) {
        return Err(LossReason::NoRoomOnStack);
    }
    sample(at_work, shared, at, begin)
}

fn sample(at_work: &AtWork<'_>, shared: &mut HandlerState, at: Registers, begin: u64) -> Result<(), LossReason> {
    let state = at_work.state();
    let core = &state.core;
    state.take_spare_scripts(shared);
    let HandlerState { accounts, breaks, clock, walker, scripts } = shared;
    // What the profiler does itself needs no stack.
    let is_own_work = own_work::is_under_way();
    let extent = if is_own_work { Extent::Complete } else { walker.walk(&core.scene(at_work), at) };
    if extent == Extent::Nothing {
        return Err(LossReason::UnreadableStack);
    }
    let leaf = if is_own_work { None } else { Some(walker.stack().last().ok_or(LossReason::UnreadableStack)?) };
    let is_guest = leaf.is_some_and(|leaf| matches!(leaf.place(), Place::Text { .. }));

    let time = clock.read(begin, core.tick());
    let breaks_now = core.breaks();
    if *breaks != breaks_now {
        // What has passed since then was not to be recorded.
        *breaks = breaks_now;
        accounts.enter(time, clocks::thread_cpu);
    }
    // In the host a thread may wait, and a signal that is late may have waited with it.
    let may_have_waited = !is_guest || accounts.since(time) > core.late || core.counts_cpu();
    let share = accounts.sample(time, may_have_waited, clocks::thread_cpu);
    let wall = if core.counts_cpu() { share.cpu } else { share.wall };
    let mut scripts = scripts.as_deref_mut().zip(state.script_names.get());
    let has_scripts = !is_own_work && scripts.is_some() && !walker.runs().is_empty();
    // Most of a stack is as it was a sample ago.
    let (shared, new) = match (&mut scripts, is_own_work) {
        (_, true) => Default::default(),
        (Some((scripts, names)), false) if has_scripts => {
            let mut memory = StackMemory::new(state.stack.clone(), at.sp);
            let walked = walked(walker, extent, is_guest);
            // SAFETY: the walk was of this thread, which does nothing else until the handler is done.
            let (words, unchanged) = unsafe { join(scripts, walked, &mut memory, (&core.scenes, names)) };
            words.split_at(unchanged)
        }
        _ => walker.stack().split_at(walker.unchanged()),
    };
    let header = SampleHeader {
        time: core.since_start(time),
        wall,
        cpu: share.cpu,
        labels: state.labels.load(Ordering::Relaxed),
        shared: shared.len(),
        new: new.len(),
        cut: extent == Extent::Cut,
        in_guest: is_guest,
        is_own_work,
    };
    if !state.ring.push(&header, new) {
        accounts.give_back(share);
        return Err(LossReason::BufferFull);
    }
    if has_scripts {
        if let Some((scripts, _)) = &mut scripts {
            scripts.mark();
        }
        // The stack of the walk is not the one that is in the ring.
        walker.unmark();
    } else if !is_own_work {
        walker.mark();
        if let Some((scripts, _)) = &mut scripts {
            scripts.unmark();
        }
    }
    Ok(())
}

/// What a walk has found.
pub(super) fn walked(walker: &Walker, extent: Extent, is_in_guest: bool) -> Walked<'_> {
    Walked { stack: walker.stack(), runs: walker.runs(), is_complete: extent == Extent::Complete, is_in_guest }
}

/// The stack of a walk with what scripts do; see [`Scripts::join`]. Names go into `names`.
///
/// # Safety
/// As of [`Scripts::join`].
pub(super) unsafe fn join<'s>(
    scripts: &'s mut Scripts,
    walked: Walked<'_>,
    memory: &mut StackMemory,
    (scenes, names): (&Scenes, &NameRing),
) -> (&'s [FrameWord], usize) {
    let naming = Naming {
        numbers: &scenes.functions,
        name: &mut |number, code| names.push(number, code),
        refuse: &mut |problem| scenes.refuse_interpreter(problem),
    };
    // SAFETY: by contract.
    unsafe { scripts.join(walked, memory, naming) }
}

/// Whether the stack that this runs on has room for a walk.
fn has_room(state: &ThreadState) -> bool {
    let marker = FrameWord::ELIDED;
    let here = std::ptr::from_ref(&marker) as u64;
    if state.stack.contains(&here) {
        return here - state.stack.start >= ROOM;
    }
    // On a fiber, or on an alternate stack.
    has_room_below(here, ROOM)
}
