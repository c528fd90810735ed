//! What becomes of code that is unregistered.
//!
//! A sample of it may be on its way: its handler has seen where the code was, or it waits to be collected. So the code stays
//! until no handler can have seen it, and everything that was taken before has been collected. Then it is known whether
//! samples refer to it; if so, its names are decoded, and it goes.

use std::sync::{Arc, Mutex};

use crate::code::{Entry, Registry};
use crate::lock::lock;
use crate::sampler::signal::Round;
use crate::samples::{RawFrame, SampleLog};
use crate::tracing::Tracing;

/// Lets go of code that was unregistered.
#[derive(Debug)]
pub(super) struct Retirement {
    code: Arc<Registry>,
    log: Arc<Mutex<SampleLog>>,
    tracing: Arc<Tracing>,
    waiting: Mutex<Waiting>,
}

/// Code that was unregistered.
#[derive(Debug, Default)]
struct Waiting {
    /// A handler may have seen it.
    seen: Vec<Arc<Entry>>,
    /// No handler can be looking at it any more; what was taken before may still have to be collected.
    taken: Vec<Arc<Entry>>,
}

impl Retirement {
    pub(super) fn new(code: &Arc<Registry>, log: &Arc<Mutex<SampleLog>>, tracing: &Arc<Tracing>) -> Self {
        let (code, log, tracing) = (Arc::clone(code), Arc::clone(log), Arc::clone(tracing));
        Self { code, log, tracing, waiting: Mutex::default() }
    }

    /// Code was unregistered, and handlers may have seen it.
    pub(super) fn add(&self, entry: Arc<Entry>) {
        lock(&self.waiting).seen.push(entry);
    }

    /// To be called after all that had been taken when a round began has been collected. Returns whether another round is
    /// needed.
    pub(super) fn after(&self, round: &Round<'_>) -> bool {
        let (ready, is_again) = {
            let mut waiting = lock(&self.waiting);
            let ready = std::mem::take(&mut waiting.taken);
            if !waiting.seen.is_empty() && round.handlers_are_idle() {
                waiting.taken = std::mem::take(&mut waiting.seen);
            }
            (ready, !waiting.taken.is_empty() || !waiting.seen.is_empty())
        };
        for entry in &ready {
            self.let_go(entry, |target| round.tasks_wait_in(target));
        }
        if !ready.is_empty() {
            self.forget(|target| round.tasks_wait_in(target));
        }
        is_again
    }

    /// The same for code that no handler can have seen, because there are none.
    pub(super) fn at_once(&self, entry: &Entry) {
        self.let_go(entry, |_| false);
        self.forget(|_| false);
    }

    fn let_go(&self, entry: &Entry, tasks_wait_in: impl Fn(u32) -> bool) {
        let target = entry.number();
        if self.is_in_use(target) || tasks_wait_in(target) {
            entry.keep_names();
        }
        // May unmap it, here where nobody waits.
        drop(entry.release());
    }

    /// Forgets what nothing refers to any more.
    fn forget(&self, tasks_wait_in: impl Fn(u32) -> bool) {
        let waiting: Vec<u32> = {
            let waiting = lock(&self.waiting);
            waiting.seen.iter().chain(&waiting.taken).map(|entry| entry.number()).collect()
        };
        self.code.forget(|target| waiting.contains(&target) || self.is_in_use(target) || tasks_wait_in(target));
    }

    fn is_in_use(&self, target: u32) -> bool {
        let is_meant = |frame: &RawFrame| matches!(frame, RawFrame::Text { target: known, .. } | RawFrame::Wasm { target: known, .. } if *known == target);
        lock(&self.log).windows().any(|window| window.stacks.frames().any(is_meant)) || self.tracing.refers_to(target)
    }
}
