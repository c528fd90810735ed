//! What the threads of one recorder have in common.

use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use super::accounts::Share;
use super::clocks::{self, TickLength};
use super::cost::HandlerTicks;
use super::forks::Process;
use super::mask;
use super::scenes::Scenes;
use super::takeover::Takeover;
use super::tasks::Tasks;
use super::thread::{AtWork, ThreadState};
use super::walk::Scene;
use crate::error::SignalProblem;
use crate::lock::lock;
use crate::nanos::nanos;
use crate::sampler::{RecordingState, SamplingClock};

/// What the threads of one recorder have in common.
pub(super) struct Core {
    pub(super) clock: SamplingClock,
    pub(super) signal: c_int,
    pub(super) interval: Duration,
    /// Nanoseconds after which a sample is late.
    pub(super) late: u64,
    /// Ticks of the processor's counter in a microsecond, about.
    ticks_per_microsecond: u64,
    show_host: bool,
    pub(super) scenes: Arc<Scenes>,
    state: Arc<RecordingState>,
    /// A copy of this in another process, made by `fork`, has no threads and no timers.
    process: Process,
    /// What a thread was refused first. Others try all the same, and so does it, after a while.
    pub(super) refused: OnceLock<SignalProblem>,
    /// Activations on threads without a timer, and that the log does not know of.
    pub(super) without_timer: AtomicU64,
    /// Whether somebody else has the signal meanwhile.
    pub(super) takeover: Takeover,
    /// Nanoseconds that tasks have waited, and that are in no sample yet. Short waits are sampled as short runs are: once
    /// they add up to an interval, the last one stands for all.
    wait_due: AtomicU64,
    /// Time that was due on threads when they ended.
    leftover: Mutex<Share>,
    /// The tasks that there are.
    pub(super) tasks: Tasks,
    random: AtomicU64,
    threads: Mutex<Vec<Arc<ThreadState>>>,
    /// What the handlers of threads that have ended have cost.
    pub(super) ticks: Mutex<HandlerTicks>,
    /// Whether some thread has been armed since the collector went to sleep.
    work: (Mutex<bool>, Condvar),
}

/// About how many ticks of the processor's counter pass in a microsecond. Takes as long as it takes to find out.
fn ticks_per_microsecond() -> u64 {
    const MEASURED: u64 = 20_000;
    let (ticks, start) = (clocks::ticks(), clocks::monotonic());
    loop {
        let passed = clocks::monotonic().saturating_sub(start);
        if passed >= MEASURED {
            return clocks::ticks().wrapping_sub(ticks).saturating_mul(1000) / passed;
        }
        std::hint::spin_loop();
    }
}

impl Core {
    pub(super) fn new(
        (clock, signal, show_host): (SamplingClock, c_int, bool),
        interval: Duration,
        scenes: &Arc<Scenes>,
        state: &Arc<RecordingState>,
    ) -> Self {
        let nanos = nanos(interval);
        Self {
            clock,
            signal,
            interval,
            late: nanos.saturating_add(nanos / 8),
            ticks_per_microsecond: ticks_per_microsecond(),
            show_host,
            process: Process::current(),
            refused: OnceLock::new(),
            without_timer: AtomicU64::new(0),
            takeover: Takeover::default(),
            wait_due: AtomicU64::new(0),
            leftover: Mutex::default(),
            tasks: Tasks::default(),
            random: AtomicU64::new(scenes.tick.start()),
            scenes: Arc::clone(scenes),
            state: Arc::clone(state),
            threads: Mutex::default(),
            ticks: Mutex::default(),
            work: (Mutex::new(false), Condvar::new()),
        }
    }

    /// What a walk of `thread`, which is at work, may see.
    pub(super) fn scene<'w>(&self, thread: &'w AtWork<'_>) -> Scene<'w> {
        let seen = thread.seen();
        // SAFETY: the text section of compiled code is readable, and is not written to after publication (engines with guest
        // debugging, which patch private copies, are refused). Code that is unregistered stays in place until
        // `handlers_are_idle` has found each thread not to be at work since (`recording/retirement.rs`), and so does a library of
        // the host until the scene goes.
        unsafe {
            Scene::new(
                (&seen.code, &seen.host),
                (seen.number, &seen.gone),
                thread.state().stack.clone(),
                self.show_host,
            )
        }
    }

    pub(super) fn tick(&self) -> &TickLength {
        &self.scenes.tick
    }

    /// Lets go of what no handler can be looking at any more.
    pub(super) fn let_go(&self, patience: Duration) {
        self.scenes.let_go(|| self.handlers_are_idle(patience));
    }

    /// Whether each handler has been seen not to be at work, one after the other. Those that are have so much time to end.
    pub(super) fn handlers_are_idle(&self, patience: Duration) -> bool {
        let start = Instant::now();
        // Not under the lock of the list: entering a thread must not wait.
        let threads = self.threads().clone();
        let is_idle = |thread: &Arc<ThreadState>| !thread.in_handler.load(Ordering::SeqCst);
        threads.iter().all(|thread| {
            while !is_idle(thread) {
                if start.elapsed() >= patience {
                    return false;
                }
                std::thread::yield_now();
            }
            true
        })
    }

    /// The most ticks that a walk of so many frames takes on a slow machine. What takes longer was interrupted meanwhile.
    pub(super) fn longest_walk(&self, frames: usize) -> u64 {
        let microseconds = 10 + frames as u64 / 16;
        self.ticks_per_microsecond.saturating_mul(microseconds)
    }

    /// So many ticks of the guest's time may samples be ahead. A sample that comes right after another, because that was
    /// late, is no overload; nor is a slow one while the caches are cold.
    pub(super) fn allowance(&self) -> u64 {
        const MICROSECONDS: u64 = 1000;
        self.ticks_per_microsecond.saturating_mul(MICROSECONDS)
    }

    /// Whether samples stand for CPU time alone.
    pub(super) fn counts_cpu(&self) -> bool {
        self.clock == SamplingClock::Cpu
    }

    /// From a reading of the monotonic clock to the time since the recording began.
    pub(super) fn since_start(&self, now: u64) -> u64 {
        now.saturating_sub(self.tick().start())
    }

    pub(super) fn is_stopped(&self) -> bool {
        self.state.is_stopped()
    }

    /// Changes with each pause and each resumption. In one order with [`ThreadState::is_active`]: see there.
    pub(super) fn pauses(&self) -> u32 {
        self.state.pauses()
    }

    pub(super) fn is_paused(&self) -> bool {
        self.state.is_paused()
    }

    /// Time counts again: starts the timers of guests that have been active all along, which have stopped meanwhile. A guest
    /// that becomes active just now is either seen here, or sees that time counts: see [`ThreadState::is_active`].
    pub(super) fn arm_active_threads(&self) {
        let threads = self.threads().clone();
        for thread in threads.iter().filter(|thread| thread.is_active()) {
            thread.arm_or_count();
        }
    }

    /// Whether time counts.
    pub(super) fn is_counting(&self) -> bool {
        !self.is_paused() && !self.takeover.is_under_way()
    }

    /// Changes whenever time begins or ceases to count.
    pub(super) fn breaks(&self) -> u64 {
        u64::from(self.takeover.changes()) << 32 | u64::from(self.pauses())
    }

    /// Whether this process is the one that the recorder was started in.
    pub(super) fn is_here(&self) -> bool {
        self.process.is_current()
    }

    /// Adds up waits; returns what a sample of this one has to stand for, once it is enough.
    pub(super) fn wait_due(&self, wait: u64) -> Option<u64> {
        let interval = nanos(self.interval);
        let add = |due: u64| Some(due.saturating_add(wait)).map(|sum| if sum < interval { sum } else { 0 });
        let before = self.wait_due.fetch_update(Ordering::Relaxed, Ordering::Relaxed, add).unwrap_or(0);
        Some(before.saturating_add(wait)).filter(|sum| *sum >= interval)
    }

    /// Keeps the time that was due on a thread that ends, for the next that begins.
    pub(super) fn leave_over(&self, share: Share) {
        let mut leftover = lock(&self.leftover);
        leftover.wall = leftover.wall.saturating_add(share.wall);
        leftover.cpu = leftover.cpu.saturating_add(share.cpu);
    }

    pub(super) fn take_leftover(&self) -> Share {
        std::mem::take(&mut *lock(&self.leftover))
    }

    /// A number that has nothing to do with what the guest does (Steele and others, "Fast splittable pseudorandom
    /// number generators", 2014).
    pub(super) fn random(&self) -> u64 {
        let mut z = self.random.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Does `start`, which starts a timer, unless the recorder has been stopped or somebody else has the signal, and wakes the
    /// collector. Returns whether it was done.
    pub(super) fn while_running(&self, start: impl FnOnce() -> io::Result<()>) -> io::Result<bool> {
        // Under the lock that `stop` takes, so that no timer is started behind its back.
        let threads = self.threads();
        let may_start = !self.is_stopped() && !self.takeover.is_under_way();
        let started = if may_start { start().map(|()| true) } else { Ok(false) };
        drop(threads);
        self.wake();
        started
    }

    /// A thread was refused what it needs to be sampled.
    pub(super) fn note_refusal(&self, problem: SignalProblem) {
        // The first reason is as good as all others.
        let _ = self.refused.set(problem);
    }

    /// A guest became active on a thread that has no timer, whether it was refused just now or a short time ago.
    pub(super) fn count_without_timer(&self) {
        self.without_timer.fetch_add(1, Ordering::Relaxed);
    }

    /// Takes notice of a thread, unless the recorder has stopped: nobody would let go of it any more.
    pub(super) fn add_thread(&self, thread: &Arc<ThreadState>) {
        let mut threads = self.threads();
        if !self.is_stopped() {
            threads.push(Arc::clone(thread));
        }
    }

    /// Forgets a thread that could not be made ready.
    pub(super) fn remove_thread(&self, thread: &Arc<ThreadState>) {
        self.threads().retain(|known| !Arc::ptr_eq(known, thread));
    }

    pub(super) fn threads(&self) -> MutexGuard<'_, Vec<Arc<ThreadState>>> {
        lock(&self.threads)
    }

    /// Stops all timers, for good, waits for handlers that are at work, and gives threads their signal masks back.
    pub(super) fn stop(&self) {
        let threads = self.threads();
        self.state.stop();
        for thread in threads.iter() {
            while thread.in_handler.load(Ordering::SeqCst) {
                std::thread::yield_now();
            }
            // From here on its handler does nothing.
            thread.delete_timer();
        }
        drop(threads);
        mask::give_back(self);
        self.wake();
    }

    /// Has the collector look for work.
    pub(super) fn wake(&self) {
        *lock(&self.work.0) = true;
        self.work.1.notify_all();
    }

    /// Waits until there may be something to collect, or the recorder has stopped.
    pub(super) fn wait_for_work(&self, pause: Duration) {
        let (work, changed) = &self.work;
        let mut has_work = lock(work);
        // While somebody else has the signal, no timer runs, and whether they have given it back is to be seen.
        if self.takeover.is_under_way() || self.threads().iter().any(|thread| thread.is_armed()) {
            // Samples trickle in without a word: look again after a pause.
            if !self.is_stopped() {
                drop(changed.wait_timeout(has_work, pause));
            }
            return;
        }
        while !*has_work && !self.is_stopped() {
            has_work = changed.wait(has_work).unwrap_or_else(PoisonError::into_inner);
        }
        *has_work = false;
    }
}
