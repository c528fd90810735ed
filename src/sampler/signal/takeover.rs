//! Somebody else puts a handler of their own over ours, while we sample.
//!
//! Then our timers would send their handler signals that it knows nothing of. So the collector looks, in each of its rounds, whose
//! handler it is. While it is not ours, no timer runs, and no time counts; that there was time without samples is told.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use super::clocks;
use super::core::Core;
use super::disposition;
use crate::error::SignalProblem;
use crate::nanos::nanos;

/// Whether, and how often, that has happened.
#[derive(Debug, Default)]
pub(super) struct Takeover {
    /// How often it has begun and ended: odd while it lasts.
    changes: AtomicU32,
    problem: OnceLock<SignalProblem>,
    /// Samples that could not be taken meanwhile, and that the log does not know of.
    pub(super) lost: AtomicU64,
}

impl Takeover {
    /// Changes with each beginning and each end.
    pub(super) fn changes(&self) -> u32 {
        // In one order with the depths of threads, as pauses are.
        self.changes.load(Ordering::SeqCst)
    }

    /// Whether the signal has a handler of somebody else's.
    pub(super) fn is_under_way(&self) -> bool {
        !self.changes().is_multiple_of(2)
    }

    /// What there is to say, if it has ever happened.
    pub(super) fn problem(&self) -> Option<&SignalProblem> {
        self.problem.get()
    }
}

/// The collector's look at whose handler it is.
pub(super) struct Watch {
    /// When it looked last.
    last: u64,
    /// Nanoseconds of active threads that make less than an interval.
    rest: u64,
}

impl Watch {
    pub(super) fn new() -> Self {
        Self { last: clocks::monotonic(), rest: 0 }
    }

    /// Looks, and acts on what it sees.
    pub(super) fn look(&mut self, core: &Core) {
        let now = clocks::monotonic();
        let passed = now.saturating_sub(std::mem::replace(&mut self.last, now));
        let takeover = &core.takeover;
        let was_under_way = takeover.is_under_way();
        let is_ours = disposition::is_ours(core.signal);
        if was_under_way {
            self.count(core, passed);
        }
        if is_ours && was_under_way {
            takeover.changes.fetch_add(1, Ordering::SeqCst);
            core.arm_active_threads();
        }
        if !is_ours {
            if !was_under_way {
                let _ = takeover.problem.set(SignalProblem::Replaced { signal: core.signal });
                takeover.changes.fetch_add(1, Ordering::SeqCst);
            }
            // Whoever starts a timer does so under the lock of the list, and sees from now on that it must not. A handler that
            // was at work when this began may have started one since the last round.
            core.threads().iter().for_each(|thread| thread.disarm());
        }
    }

    /// The recorder has stopped: what has passed since the last look is counted as well.
    pub(super) fn end(mut self, core: &Core) {
        if core.takeover.is_under_way() {
            self.count(core, clocks::monotonic().saturating_sub(self.last));
        }
    }

    /// Counts the samples that could not be taken.
    fn count(&mut self, core: &Core, passed: u64) {
        if core.is_paused() {
            return;
        }
        let active = core.threads().iter().filter(|thread| thread.is_active()).count() as u64;
        let interval = nanos(core.interval).max(1);
        let all = self.rest.saturating_add(passed.saturating_mul(active));
        self.rest = all % interval;
        core.takeover.lost.fetch_add(all / interval, Ordering::Relaxed);
    }
}
