//! Sampling by signals: unbiased, in the process, and without a change to the program measured.
//!
//! While a guest is active on a thread ([`Activation`]), a timer of the thread's own sends it a signal once per
//! interval, wherever it is: in guest code, in an adapter or trampoline, in a function of the host. The signal's handler
//! walks the stack ([`walk`]), reads the clocks ([`accounts`]) and puts the sample into a queue of the thread's
//! ([`ring`]), which a thread of the recorder's empties ([`collector`]).
//!
//! This folder holds the sampler's unsafe code, all of it.
//!
//! # The contract of the handler
//!
//! A signal may come between any two instructions: inside the allocator, while a lock is held, in the middle of a switch
//! from one stack to another. So the handler, and everything it calls,
//!
//! 1. does not allocate and does not free;
//! 2. takes no lock and waits for nothing;
//! 3. uses no thread-local that is initialised on first use or has a destructor;
//! 4. calls no function of Wasmtime, and no function of the system but those that POSIX allows to handlers
//!    (`clock_gettime`, `timer_settime`, `sigaddset`, and `rt_sigprocmask` as a plain system call);
//! 5. leaves `errno` as it was (`walk::keeping_errno`);
//! 6. does a bounded amount of work: at most [`walk`]'s limit of frames;
//! 7. reads only memory that is known to be readable ([`walk::StackMemory`]), so that no stack, however broken, makes it
//!    fault; what cannot be read is a sample cut short, or a lost one, and counted;
//! 8. changes nothing that the interrupted thread is changing ([`signal_cell`]);
//! 9. does nothing on a thread without an active guest, nor after the recorder has stopped, nor for signals that others
//!    send, but for one thing: where a thread had the signal blocked, it is blocked again ([`mask`]);
//! 10. does not panic: what it indexes is in range by construction, and its arithmetic wraps or saturates.
//!
//! It runs on the interrupted stack, not on an alternate one, and makes sure of room first.

#![allow(unsafe_code, reason = "signals, timers and stacks: see the contract above")]

mod accounts;
mod callers;
mod clocks;
mod collector;
mod core;
mod cost;
mod disposition;
mod forks;
mod handler;
mod instrument;
mod mask;
mod preemption;
mod progress;
mod retries;
mod ring;
mod scenes;
mod scripts;
mod signal_cell;
mod takeover;
mod tasks;
mod thread;
mod timer;
mod walk;

use std::ffi::c_int;
use std::marker::PhantomData;
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub(crate) use self::callers::{Beginning, Caller, CallerFinder, CallerWays, Meaning};
use self::collector::Collector;
pub(crate) use self::collector::Round;
use self::core::Core;
use self::disposition::Installed;
pub(crate) use self::instrument::Instrumentation;
pub(crate) use self::scenes::Scenes;
use self::thread::ThreadState;
pub(crate) use self::walk::Registers;
use super::{RecordingState, SamplingClock};
use crate::error::SignalProblem;
use crate::lock::lock;
use crate::samples::{HandlerCost, LabelsId, SampleLog};

/// There is a signal sampler on this platform.
pub(crate) const IS_SUPPORTED: bool = true;

/// The signal that is used unless another is asked for: the one that was made for this.
pub(crate) const DEFAULT_SIGNAL: c_int = libc::SIGPROF;

/// The system call that unblocks signals, and that tries memory.
const SIGNAL_MASK: &str = "rt_sigprocmask";

/// How samples are taken, and what they show.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalOptions {
    pub(crate) clock: SamplingClock,
    /// The one to use; nothing for any that is free.
    pub(crate) signal: Option<c_int>,
    pub(crate) show_host: bool,
    pub(crate) interval: Duration,
}

/// A signal that is ours until this is dropped, and the knowledge that timers send it.
#[derive(Debug)]
pub(crate) struct Reservation {
    installed: Installed,
    /// Why it is not the one that was made for this.
    instead: Option<SignalProblem>,
}

impl Reservation {
    /// Takes `signal`, or any that is free, and tries all that a thread is going to need: memory that can be tried, and a
    /// timer that can be set.
    pub(crate) fn new(signal: Option<c_int>, clock: SamplingClock) -> Result<Self, SignalProblem> {
        walk::check_is_readable().map_err(|source| SignalProblem::Denied { call: SIGNAL_MASK, source })?;
        let (installed, instead) = match signal {
            Some(signal) => (Installed::install(signal, handler::on_signal)?, None),
            None => Installed::install_any(handler::on_signal)?,
        };
        // Nobody waits for so long, and the signal would find nobody to be for.
        let never = Duration::from_secs(3600);
        let refused = |call| move |source| SignalProblem::NoTimer { call, source };
        let timer = timer::Timer::for_current_thread(clock, installed.signal(), 0, never);
        timer.map_err(refused("timer_create"))?.start(never).map_err(refused("timer_settime"))?;
        Ok(Self { installed, instead })
    }

    /// The number of the signal.
    pub(crate) fn signal(&self) -> c_int {
        self.installed.signal()
    }

    /// Why it is not the one that was made for this.
    pub(crate) fn instead(&self) -> Option<&SignalProblem> {
        self.instead.as_ref()
    }
}

/// Samples all threads on which a guest is active.
pub(crate) struct SignalSampler {
    core: Arc<Core>,
    collector: Mutex<Option<Collector>>,
    installed: Mutex<Option<Installed>>,
}

impl SignalSampler {
    /// Starts sampling what is in `scenes`; `log` is where samples go. `tidy` is called after each round of collecting, and
    /// says whether it needs another one.
    pub(crate) fn start(
        options: SignalOptions,
        scenes: &Arc<Scenes>,
        state: &Arc<RecordingState>,
        log: Arc<Mutex<SampleLog>>,
        tidy: impl FnMut(&Round<'_>) -> bool + Send + 'static,
    ) -> Result<Self, SignalProblem> {
        let SignalOptions { clock, signal, show_host, interval } = options;
        // Some systems refuse timers: say so now, while there is another way.
        let Reservation { installed, .. } = Reservation::new(signal, clock)?;
        let signal = installed.signal();
        let core = Arc::new(Core::new((clock, signal, show_host), interval, scenes, state));
        let collector = Collector::start(&core, log, tidy).map_err(|source| SignalProblem::Thread { source })?;
        Ok(Self { core, collector: Mutex::new(Some(collector)), installed: Mutex::new(Some(installed)) })
    }

    /// A guest is active on this thread until the result is dropped.
    pub(crate) fn enter(&self, labels: LabelsId) -> Option<Entered> {
        if self.core.is_stopped() || !self.core.is_here() {
            return None;
        }
        match thread::activate(&self.core, labels) {
            Ok(entered) => entered.map(|(state, before)| Entered { state, before, _on_this_thread: PhantomData }),
            Err(problem) => {
                if let Some(problem) = problem {
                    self.core.note_refusal(problem);
                }
                self.core.count_without_timer();
                None
            }
        }
    }

    /// Stops sampling, and puts into `log` what is not there yet. Nothing of the sampler is left in the process.
    pub(crate) fn stop(&self, log: &Mutex<SampleLog>) {
        if !self.core.is_here() {
            return;
        }
        self.core.stop();
        // Held until the end: who else wants to stop waits until everything is in the log.
        let mut collector = lock(&self.collector);
        let Some(collector) = collector.take() else { return };
        collector.join();
        // After all timers have been deleted.
        drop(lock(&self.installed).take());
        let mut log = lock(log);
        let ticks = collector::collect_last(&self.core, &mut log);
        self.core.tasks.end_waits(&self.core, &mut log);
        collector::publish_unsampled(&self.core, &mut log);
        let (ticks_passed, passed) = self.core.tick().passed();
        log.handler_cost = ticks.quantile(0.5).zip(ticks.quantile(0.99)).map(|(median, p99)| HandlerCost {
            median_ticks: median,
            p99_ticks: p99,
            #[allow(clippy::cast_precision_loss, reason = "a frequency")]
            ticks_per_second: ticks_passed as f64 / (passed.max(1) as f64 / 1e9),
        });
    }

    /// Time counts again since just now.
    pub(crate) fn resumed(&self) {
        if self.core.is_here() {
            self.core.arm_active_threads();
        }
    }

    /// Lets go of scenes that were replaced, unless a handler is at work that may be looking at one; then the collector will.
    pub(crate) fn let_go(&self) {
        self.core.let_go(Duration::ZERO);
    }

    /// Has the collector make a round soon, though nothing may be sampled.
    pub(crate) fn wake_collector(&self) {
        self.core.wake();
    }

    /// Puts into `log` what the threads have sampled until now.
    pub(crate) fn collect(&self, log: &Mutex<SampleLog>) {
        if self.core.is_here() && !self.core.is_stopped() {
            collector::collect(&self.core, log);
            collector::publish_unsampled(&self.core, &mut lock(log));
        }
    }

    /// Whether this process is the one that it was started in; in another, made by `fork`, there are no threads and no samples.
    pub(crate) fn is_here(&self) -> bool {
        self.core.is_here()
    }

    /// The signal that is used.
    pub(crate) fn signal(&self) -> c_int {
        self.core.signal
    }

    /// Why threads are not sampled at the moment, or were not at some time since the start.
    pub(crate) fn refused(&self) -> Option<&SignalProblem> {
        let takeover = &self.core.takeover;
        let now = takeover.problem().filter(|_| takeover.is_under_way());
        now.or_else(|| self.core.refused.get()).or_else(|| takeover.problem())
    }
}

impl Drop for SignalSampler {
    fn drop(&mut self) {
        if !self.core.is_here() {
            return;
        }
        self.core.stop();
        if let Some(collector) = lock(&self.collector).take() {
            collector.join();
        }
        // They hold the core, which holds them.
        self.core.threads().clear();
        // The signal is given back by the field's own drop.
    }
}

impl std::fmt::Debug for SignalSampler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SignalSampler").finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Entered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Entered").finish_non_exhaustive()
    }
}

/// A guest is active on this thread while this exists.
pub(crate) struct Entered {
    state: Arc<ThreadState>,
    /// The labels around it.
    before: LabelsId,
    /// Must be dropped by the thread that made it.
    _on_this_thread: PhantomData<*const ()>,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.state.leave(self.before);
    }
}
