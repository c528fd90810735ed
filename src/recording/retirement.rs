//! What becomes of code that is unregistered.
//!
//! A sample of it may be on its way: its handler has seen where the code was, or it waits to be collected. So the code stays
//! until no handler can have seen it, and everything that was taken before has been collected. Then it is known whether
//! samples refer to it; if so, its names are decoded, and it goes.

use std::sync::{Arc, Mutex};

use rustc_hash::FxHashSet;

use crate::code::{Entry, Registry};
use crate::lock::lock;
use crate::sampler::signal::Round;
use crate::samples::SampleLog;
use crate::symbols::SymbolMap;
use crate::tracing::Tracing;

/// Lets go of code that was unregistered.
#[derive(Debug)]
pub(super) struct Retirement {
    code: Arc<Registry>,
    log: Arc<Mutex<SampleLog>>,
    tracing: Arc<Tracing>,
    waiting: Mutex<Waiting>,
    /// The maps of what was traced and is gone, each once, and the number by which calls of it are counted.
    traced: Mutex<Vec<(Arc<SymbolMap>, u32)>>,
    /// Held by who forgets, and by who must not miss what would be forgotten.
    forgetting: Mutex<()>,
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
        Self { code, log, tracing, waiting: Mutex::default(), traced: Mutex::default(), forgetting: Mutex::default() }
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
        if !ready.is_empty() {
            self.let_go(&ready, |target| round.tasks_wait_in(target));
        }
        is_again
    }

    /// The same for code that no handler can have seen, because there are none.
    pub(super) fn at_once(&self, entry: &Arc<Entry>) {
        self.let_go(std::slice::from_ref(entry), |_| false);
    }

    /// Lets go of code, and forgets what nothing refers to any more.
    fn let_go(&self, entries: &[Arc<Entry>], tasks_wait_in: impl Fn(u32) -> bool) {
        let in_use = self.in_use();
        for entry in entries {
            let target = entry.number();
            if in_use.contains(&target) || tasks_wait_in(target) {
                entry.keep_names();
                self.join_calls(entry);
            }
            // May unmap it, here where nobody waits.
            drop(entry.release());
        }
        let _forgetting = lock(&self.forgetting);
        // Once more: what is being looked at may have come meanwhile.
        let in_use = self.in_use();
        let waiting: Vec<u32> = {
            let waiting = lock(&self.waiting);
            waiting.seen.iter().chain(&waiting.taken).map(|entry| entry.number()).collect()
        };
        self.code.forget(|target| waiting.contains(&target) || in_use.contains(&target) || tasks_wait_in(target));
    }

    /// Calls are counted from the beginning on, so code that was traced would never be forgotten. What is loaded again and
    /// again is the same code, mostly, so its calls are counted together.
    fn join_calls(&self, entry: &Entry) {
        let target = entry.number();
        if !self.tracing.calls.targets().contains(&target) {
            return;
        }
        let mut traced = lock(&self.traced);
        match traced.iter().find(|(map, _)| map.is_same(entry.map())) {
            Some((_, known)) => _ = self.tracing.calls.replace_target(target, *known),
            None => traced.push((Arc::clone(entry.map()), target)),
        }
    }

    /// What records refer to.
    fn in_use(&self) -> FxHashSet<u32> {
        let mut targets = lock(&self.log).targets_in_use();
        targets.extend(self.tracing.targets());
        targets
    }

    /// Does something with what records refer to before anything of it can be forgotten.
    pub(super) fn while_nothing_is_forgotten<R>(&self, with: impl FnOnce() -> R) -> R {
        let _forgetting = lock(&self.forgetting);
        with()
    }
}
