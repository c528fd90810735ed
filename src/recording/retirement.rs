//! What becomes of code that is unregistered.
//!
//! A sample of it may be on its way: its handler has seen where the code was, or it waits to be collected. So the code stays
//! until no handler can have seen it, and everything that was taken before has been collected. Then it is known whether
//! samples refer to it; if so, its names are decoded, and it goes.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use rustc_hash::FxHashSet;

use crate::code::{Entry, Registry};
use crate::component::Code;
use crate::lock::lock;
use crate::sampler::signal::Round;
use crate::samples::SampleLog;
use crate::symbols::SymbolMap;
use crate::tracing::Tracing;

/// After so many rounds it is worth a look whether samples have gone that referred to code that is gone: some seconds.
const FORGET_EVERY: u32 = 64;

/// Lets go of code that was unregistered.
#[derive(Debug)]
pub(super) struct Retirement {
    code: Arc<Registry>,
    log: Arc<Mutex<SampleLog>>,
    tracing: Arc<Tracing>,
    waiting: Mutex<Waiting>,
    /// Rounds of collecting that there have been.
    rounds: AtomicU32,
    /// The maps of what was traced and is gone, each once, and the number by which calls of it are counted.
    traced: Mutex<Vec<(Arc<SymbolMap>, u32)>>,
    /// Held by who forgets, and by who must not miss what would be forgotten.
    forgetting: Mutex<()>,
}

/// Code that was unregistered.
#[derive(Debug, Default)]
struct Waiting {
    /// Until it is known that there are none, or that they have ended.
    handlers_may_look: bool,
    /// A handler may have seen it.
    seen: Vec<Arc<Entry>>,
    /// No handler can be looking at it any more; what was taken before may still have to be collected.
    taken: Vec<Arc<Entry>>,
}

impl Retirement {
    pub(super) fn new(
        code: &Arc<Registry>,
        log: &Arc<Mutex<SampleLog>>,
        tracing: &Arc<Tracing>,
        has_handlers: bool,
    ) -> Self {
        let (code, log, tracing) = (Arc::clone(code), Arc::clone(log), Arc::clone(tracing));
        Self {
            code,
            log,
            tracing,
            waiting: Mutex::new(Waiting { handlers_may_look: has_handlers, ..Waiting::default() }),
            rounds: AtomicU32::new(0),
            traced: Mutex::default(),
            forgetting: Mutex::default(),
        }
    }

    /// Code was unregistered, in this process (`is_here`) or in a child of it, where there are no handlers. Returns whether a round
    /// of collecting is needed.
    pub(super) fn add(&self, entry: Arc<Entry>, is_here: bool) -> bool {
        {
            let mut waiting = lock(&self.waiting);
            if waiting.handlers_may_look && is_here {
                waiting.seen.push(entry);
                return true;
            }
        }
        self.let_go(&[entry], FxHashSet::default, |decode| decode());
        false
    }

    /// To be called after each round of collecting. Returns whether another one is needed.
    pub(super) fn after(&self, round: &Round<'_>) -> bool {
        let seen = std::mem::take(&mut lock(&self.waiting).seen);
        let (idle, may_be_seen) =
            if !seen.is_empty() && round.handlers_are_idle() { (seen, vec![]) } else { (vec![], seen) };
        let (ready, is_again) = {
            let mut waiting = lock(&self.waiting);
            let ready = if round.is_complete() { std::mem::take(&mut waiting.taken) } else { Vec::new() };
            waiting.taken.extend(idle);
            waiting.seen.extend(may_be_seen);
            (ready, !waiting.taken.is_empty() || !waiting.seen.is_empty())
        };
        let is_time_to_forget = self.rounds.fetch_add(1, Ordering::Relaxed).is_multiple_of(FORGET_EVERY);
        if !ready.is_empty() {
            self.let_go(&ready, || round.targets_of_tasks(), |decode| round.collect_during(decode));
        } else if is_time_to_forget {
            self.forget(|| round.targets_of_tasks());
        }
        is_again
    }

    /// The recording has ended: no handler is at work any more, and all has been collected.
    pub(super) fn end(&self) {
        let mut entries = Vec::new();
        {
            let mut waiting = lock(&self.waiting);
            waiting.handlers_may_look = false;
            entries.append(&mut waiting.seen);
            entries.append(&mut waiting.taken);
        }
        if !entries.is_empty() {
            self.let_go(&entries, FxHashSet::default, |decode| decode());
        }
    }

    /// Lets go of code. What names are needed of is decoded by `decode`, which may do something else at the same time.
    fn let_go(
        &self,
        entries: &[Arc<Entry>],
        of_tasks: impl FnOnce() -> FxHashSet<u32>,
        decode: impl FnOnce(&(dyn Fn() + Sync)),
    ) {
        let mut codes: Vec<Code> = Vec::new();
        let mut needed = Vec::new();
        {
            let _forgetting = lock(&self.forgetting);
            let in_use = self.in_use(of_tasks);
            for entry in entries {
                if in_use.contains(&entry.number()) {
                    needed.push(entry);
                } else {
                    codes.extend(entry.release());
                }
            }
            self.code.forget(|target| in_use.contains(&target));
        }
        // May unmap it, here where nobody waits.
        drop(codes);
        if needed.is_empty() {
            return;
        }
        // Each by itself: what cannot be decoded has no names, and keeps no other from having them.
        let keep_names = |entry: &Entry| _ = catch_unwind(AssertUnwindSafe(|| entry.keep_names()));
        decode(&|| needed.iter().for_each(|entry| keep_names(entry)));
        needed.iter().for_each(|entry| drop(entry.release()));
        self.join_calls();
    }

    /// Forgets what nothing refers to any more.
    pub(super) fn forget(&self, of_tasks: impl FnOnce() -> FxHashSet<u32>) {
        if !self.code.has_retired() {
            return;
        }
        self.join_calls();
        let _forgetting = lock(&self.forgetting);
        let in_use = self.in_use(of_tasks);
        self.code.forget(|target| in_use.contains(&target));
    }

    /// Calls are counted from the beginning on, so code that was traced would never be forgotten. What is loaded again and
    /// again is the same code, mostly, so its calls are counted together: those of code that is gone. Calls that a store still
    /// counts wait for the next time.
    fn join_calls(&self) {
        let counted: FxHashSet<u32> = self.tracing.calls.targets().into_iter().collect();
        if counted.is_empty() {
            return;
        }
        let mut traced = lock(&self.traced);
        for entry in self.code.gone(&counted) {
            match traced.iter().find(|(map, _)| map.is_same(entry.map())) {
                Some((_, known)) if *known == entry.number() => {}
                Some((_, known)) => _ = self.tracing.calls.replace_target(entry.number(), *known),
                None => traced.push((Arc::clone(entry.map()), entry.number())),
            }
        }
    }

    /// What records refer to. What a task waits in goes into the log when it goes on, so tasks are asked first.
    fn in_use(&self, of_tasks: impl FnOnce() -> FxHashSet<u32>) -> FxHashSet<u32> {
        let mut targets = of_tasks();
        let windows = lock(&self.log).windows_in_use(&mut targets);
        targets.extend(windows.iter().flat_map(|window| window.stacks.targets()));
        lock(&self.tracing.memories).forget_old();
        targets.extend(self.tracing.targets());
        targets
    }

    /// Does something with what records refer to before anything of it can be forgotten.
    pub(super) fn while_nothing_is_forgotten<R>(&self, with: impl FnOnce() -> R) -> R {
        let _forgetting = lock(&self.forgetting);
        with()
    }
}
