//! All code that is registered, and what is left of code that was.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use rustc_hash::{FxHashMap, FxHashSet};
use wasmtime::Engine;

use super::entry::{Entry, Names, Targets};
use super::table::{CodeRange, CodeTable};
use crate::component::Code;
use crate::error::Result;
use crate::interpreters::Evaluator;
use crate::lock::lock;

/// All code that is registered, and what is left of code that was.
#[derive(Debug, Default)]
pub(crate) struct Registry {
    state: Mutex<State>,
    /// How often the table has been replaced: to be asked under the lock of the log, where that of the state may not be taken.
    changes: AtomicU64,
}

#[derive(Debug, Default)]
struct State {
    /// Nobody wants to know of interpreters.
    is_without_scripts: bool,
    table: Arc<CodeTable>,
    /// What is registered, by the address of its text. The same code may be registered more than once: the last one counts.
    registered: BTreeMap<u64, Vec<Arc<Entry>>>,
    /// The same by number.
    live: FxHashMap<u32, Arc<Entry>>,
    /// By number: what is not registered any more, but records may refer to it.
    retired: FxHashMap<u32, Arc<Entry>>,
    /// The number of the next one.
    next: u32,
    /// The engines of what is registered, and of how many each is.
    engines: Vec<(Engine, usize)>,
    /// What was registered first.
    first: Option<First>,
}

/// What was registered first, of which at least the name is remembered.
#[derive(Debug)]
enum First {
    Known(Arc<Entry>),
    Forgotten(String),
}

impl State {
    fn evaluators<'e>(&self, entry: &'e Entry) -> &'e [Evaluator] {
        if self.is_without_scripts { &[] } else { entry.evaluators() }
    }
}

impl Registry {
    /// Of the interpreters in what is registered from now on, nobody wants to know.
    pub(crate) fn leave_out_scripts(&self) {
        lock(&self.state).is_without_scripts = true;
    }

    /// Whether interpreters are left out.
    pub(crate) fn is_without_scripts(&self) -> bool {
        lock(&self.state).is_without_scripts
    }

    /// Registers code. While nobody else changes anything, `publish` gives the new table to those who need it, and is told in whose
    /// place the code is, if the same was registered already.
    ///
    /// # Errors
    /// Those of [`Entry::new`].
    pub(crate) fn register(
        &self,
        names: Names,
        code: Code,
        publish: impl FnOnce(&Arc<CodeTable>, Option<u32>),
    ) -> Result<Arc<Entry>> {
        let number = {
            let mut state = lock(&self.state);
            let mut number = state.next;
            // Two billion are two thirds of a year at a hundred a second. What is left of the oldest keeps its number.
            while state.live.contains_key(&number) || state.retired.contains_key(&number) {
                number = State::after(number);
            }
            state.next = State::after(number);
            number
        };
        let engine = code.engine().clone();
        let entry = Arc::new(Entry::new(number, names, code)?);
        let mut state = lock(&self.state);
        state.first.get_or_insert_with(|| First::Known(Arc::clone(&entry)));
        state.live.insert(number, Arc::clone(&entry));
        state.registered.entry(entry.text().start).or_default().push(Arc::clone(&entry));
        match state.engines.iter_mut().find(|(known, _)| Engine::same(known, &engine)) {
            Some((_, count)) => *count += 1,
            None => state.engines.push((engine, 1)),
        }
        let range = CodeRange { start: entry.text().start, end: entry.text().end, target: number };
        let replaces = state.table.starting_at(range.start);
        let table = state.table.with(range).with_evaluators(range, state.evaluators(&entry));
        state.change(&self.changes, table, |table| publish(table, replaces));
        Ok(entry)
    }

    /// Unregisters code: from now on its addresses mean nothing, or what else is registered there. `false` if it is not
    /// registered.
    pub(crate) fn unregister(&self, entry: &Entry, publish: impl FnOnce(&Arc<CodeTable>)) -> bool {
        let start = entry.text().start;
        let mut state = lock(&self.state);
        let Some(same) = state.registered.get_mut(&start) else { return false };
        let before = same.len();
        same.retain(|known| known.number() != entry.number());
        if same.len() == before {
            return false;
        }
        let last = same.last().cloned();
        if last.is_none() {
            state.registered.remove(&start);
        }
        let engine = entry.code().map(|code| code.engine().clone());
        state.engines.retain_mut(|(known, count)| {
            *count -= usize::from(engine.as_ref().is_some_and(|engine| Engine::same(known, engine)));
            *count > 0
        });
        if let Some(entry) = state.live.remove(&entry.number()) {
            state.retired.insert(entry.number(), entry);
        }
        let table = match last {
            Some(last) => {
                let range = CodeRange { start, end: last.text().end, target: last.number() };
                state.table.with(range).with_evaluators(range, state.evaluators(&last))
            }
            None => {
                let gone = CodeRange { start, end: entry.text().end, target: entry.number() };
                state.table.without(start).with_evaluators(gone, &[])
            }
        };
        state.change(&self.changes, table, publish);
        true
    }

    /// Where code lies now.
    pub(crate) fn table(&self) -> Arc<CodeTable> {
        Arc::clone(&lock(&self.state).table)
    }

    /// The entry with a number, registered or not.
    pub(crate) fn entry(&self, number: u32) -> Option<Arc<Entry>> {
        lock(&self.state).get(number)
    }

    /// The entries with some numbers.
    pub(crate) fn targets(&self, numbers: impl IntoIterator<Item = u32>) -> Targets {
        let state = lock(&self.state);
        numbers.into_iter().filter_map(|number| state.get(number)).collect()
    }

    /// What is registered, in the order of the text sections.
    pub(crate) fn registered(&self) -> Vec<Arc<Entry>> {
        lock(&self.state).registered.values().flatten().cloned().collect()
    }

    /// The name of what was registered first; empty if nothing ever was.
    pub(crate) fn name(&self) -> String {
        let first = match &lock(&self.state).first {
            Some(First::Known(entry)) => Arc::clone(entry),
            Some(First::Forgotten(name)) => return name.clone(),
            None => return String::new(),
        };
        // May decode it.
        first.name()
    }

    /// The engines of all that is registered, each once.
    pub(crate) fn engines(&self) -> Vec<Engine> {
        lock(&self.state).engines.iter().map(|(engine, _)| engine.clone()).collect()
    }

    /// How much is registered.
    pub(crate) fn count(&self) -> usize {
        lock(&self.state).live.len()
    }

    /// Lets go of all code.
    pub(crate) fn release(&self) {
        let entries: Vec<Arc<Entry>> = {
            let state = lock(&self.state);
            state.live.values().chain(state.retired.values()).cloned().collect()
        };
        entries.iter().for_each(|entry| drop(entry.release()));
    }

    /// How often something has been registered or unregistered.
    pub(crate) fn changes(&self) -> u64 {
        self.changes.load(Ordering::SeqCst)
    }

    /// What is not registered any more, and has let go of its code, of those with some numbers.
    pub(crate) fn gone(&self, numbers: &FxHashSet<u32>) -> Vec<Arc<Entry>> {
        let state = lock(&self.state);
        let retired = numbers.iter().filter_map(|number| state.retired.get(number));
        retired.filter(|entry| !entry.has_code()).cloned().collect()
    }

    /// Whether there is something that is not registered any more.
    pub(crate) fn has_retired(&self) -> bool {
        !lock(&self.state).retired.is_empty()
    }

    /// Forgets entries that are not registered, and whose code has been let go of, unless `is_needed`.
    pub(crate) fn forget(&self, is_needed: impl Fn(u32) -> bool) {
        let mut forgotten = Vec::new();
        let mut state = lock(&self.state);
        state.retired.retain(|number, entry| {
            let is_kept = entry.has_code() || is_needed(*number);
            if !is_kept {
                forgotten.push(Arc::clone(entry));
            }
            is_kept
        });
        if let Some(First::Known(first)) = &state.first
            && forgotten.iter().any(|entry| Arc::ptr_eq(entry, first))
        {
            state.first = Some(First::Forgotten(first.name()));
        }
        drop(state);
        // With them may go maps, which nobody should wait for.
        drop(forgotten);
    }
}

impl State {
    fn change(&mut self, changes: &AtomicU64, table: CodeTable, publish: impl FnOnce(&Arc<CodeTable>)) {
        self.table = Arc::new(table);
        changes.fetch_add(1, Ordering::SeqCst);
        publish(&self.table);
    }

    /// The number to be given after this one: a frame of a walk has no room for larger ones.
    fn after(number: u32) -> u32 {
        (number + 1) & (u32::MAX >> 1)
    }

    fn get(&self, number: u32) -> Option<Arc<Entry>> {
        self.live.get(&number).or_else(|| self.retired.get(&number)).cloned()
    }
}
