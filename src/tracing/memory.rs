//! How large the linear memories of a store are.
//!
//! Wasmtime asks a store's limiter whenever a memory is made or grows, and tells it the sizes, but not which memory it
//! is. Whose a memory is, is settled when it is made, and stays: an instance makes its memories in an order that is known. One
//! that grows in a guest is one of those that the core module uses whose function asks for it, which is on the stack: its own,
//! or that of another module, which it imports.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, StoreLimits};

use super::Tracing;
use crate::address::CodePoint;
use crate::code::Entry;
use crate::lock::lock;
use crate::sampler::OwnWork;
use crate::sampler::signal::{Beginning, CallerFinder};
use crate::samples::{Growth, MemoryKey, RawFrame};
use crate::symbols::{Layer, LibraryId};

/// A store's limiter that also records how large its memories are. Made by
/// [`Recorder::trace_memory`](crate::Recorder::trace_memory).
///
/// What is allowed is up to the limits it was made with.
#[derive(Debug)]
pub struct MemoryTracer<L = StoreLimits> {
    limits: L,
    memories: StoreMemories,
}

impl<L> MemoryTracer<L> {
    pub(crate) fn new(tracing: &Arc<Tracing>, limits: L) -> Self {
        // Where stacks cannot be read, sizes are recorded all the same.
        let finder = tracing.ways.as_ref().map(|ways| CallerFinder::new(Arc::clone(ways), Beginning::Limiter));
        let tracing = Arc::clone(tracing);
        let memories =
            StoreMemories { tracing, finder, only: None, memories: Vec::new(), made: Vec::new(), last: None };
        Self { limits, memories }
    }

    /// Says that the store's memories are those of a component or module with this number.
    pub(crate) fn only(mut self, target: u32) -> Self {
        self.memories.only = Some(target);
        self
    }

    /// The limits it was made with.
    pub fn limits_mut(&mut self) -> &mut L {
        &mut self.limits
    }
}

impl<L: ResourceLimiter> ResourceLimiter for MemoryTracer<L> {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.memories.last = None;
        let is_allowed = self.limits.memory_growing(current, desired, maximum);
        if !matches!(is_allowed, Ok(true)) {
            self.memories.begin_anew();
        }
        let is_allowed = is_allowed?;
        // Beyond its maximum a memory does not grow, whatever is allowed.
        if is_allowed && maximum.is_none_or(|maximum| desired <= maximum) {
            self.memories.grow(current as u64, desired as u64);
        }
        Ok(is_allowed)
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.memories.take_back();
        self.limits.memory_grow_failed(error)
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.limits.table_growing(current, desired, maximum)
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        self.limits.table_grow_failed(error)
    }

    fn instances(&self) -> usize {
        self.limits.instances()
    }

    fn tables(&self) -> usize {
        self.limits.tables()
    }

    fn memories(&self) -> usize {
        self.limits.memories()
    }
}

/// The memories of one store.
#[derive(Debug)]
struct StoreMemories {
    tracing: Arc<Tracing>,
    finder: Option<CallerFinder>,
    /// Whose memories they are, if that is known.
    only: Option<u32>,
    memories: Vec<Memory>,
    /// The instances that are being made: of which target, and how many memories there are already.
    made: Vec<(u32, usize)>,
    /// The last change, should it have to be taken back: which memory, its size before, and the number of the growth.
    last: Option<(usize, u64, Option<u64>)>,
}

#[derive(Clone, Copy, Debug)]
struct Memory {
    key: MemoryKey,
    size: u64,
}

impl StoreMemories {
    /// A memory is made, or grows. Not inlined: its frame is where the way to the caller begins.
    #[inline(never)]
    fn grow(&mut self, from: u64, to: u64) {
        let here = CallerFinder::here();
        let _work = OwnWork::begin();
        if self.tracing.state.is_stopped() {
            return;
        }
        let stack = self.finder.as_mut().map_or_else(Vec::new, |finder| {
            finder.look();
            finder.stack(here)
        });
        let time = self.tracing.start.elapsed();
        let Some((target, library)) = self.grown_by(&stack) else {
            let key = self.owner_of_new(to);
            self.last = Some((self.memories.len(), 0, None));
            self.memories.push(Memory { key, size: to });
            lock(&self.tracing.memories).change(key, time, 0, to);
            return;
        };
        let at = self.find(target, library, from);
        let Memory { key, size } = self.memories[at];
        self.memories[at].size = to;
        let mut log = lock(&self.tracing.memories);
        if size != from {
            // Made before the store was traced.
            log.change(key, time, size, from);
        }
        let number = log.grow(Growth { memory: key, time, from, to, stack: stack.into() });
        self.last = Some((at, from, Some(number)));
    }

    /// The last growth was allowed, but it failed.
    fn take_back(&mut self) {
        let Some((at, size, growth)) = self.last.take() else { return };
        if growth.is_none() {
            self.begin_anew();
        }
        if let Some(memory) = self.memories.get_mut(at) {
            let failed = std::mem::replace(&mut memory.size, size);
            lock(&self.tracing.memories).take_back(memory.key, failed, size, growth);
        }
    }

    /// The library whose function makes a memory grow, if that is one of a guest, and its target.
    fn grown_by(&self, stack: &[RawFrame]) -> Option<(u32, LibraryId)> {
        stack.iter().find_map(|frame| {
            let RawFrame::Text { target, offset } = *frame else { return None };
            let entry = self.tracing.code.entry(target)?;
            let site = CodePoint::ReturnAddress(offset).lookup_offset().get();
            let function = entry.function(site).filter(|function| function.layer() == Layer::Guest)?;
            Some((target, LibraryId(function.library_index())))
        })
    }

    /// Whose memory it is that is made with so many bytes: the next one of an instance. If more than one may have been begun,
    /// nobody can tell.
    fn owner_of_new(&mut self, bytes: u64) -> MemoryKey {
        let next = |entry: &Entry, made: usize| {
            let (size, library) = *entry.map().memories().get(made)?;
            (size == bytes).then_some(library)
        };
        let code = &self.tracing.code;
        let begun = self.made.iter().filter_map(|(target, made)| Some((code.entry(*target)?, *made)));
        let mut found: Vec<_> =
            begun.filter_map(|(entry, made)| next(&entry, made).map(|library| (entry, made, library))).collect();
        if found.is_empty() {
            // What was begun has failed, or is another host's.
            self.made.clear();
            let candidates = self.candidates();
            found =
                candidates.into_iter().filter_map(|entry| next(&entry, 0).map(|library| (entry, 0, library))).collect();
        }
        let [(entry, made, library)] = &found[..] else { return None };
        let target = entry.number();
        self.made.retain(|(known, _)| *known != target);
        if made + 1 < entry.map().memories().len() {
            self.made.push((target, made + 1));
        }
        Some((target, (*library)?.0))
    }

    /// What an instance may be made of. Among many, a size says nothing, and to ask all of them would decode the names of all.
    fn candidates(&self) -> Vec<Arc<Entry>> {
        /// More components than have memories of different sizes.
        const MANY: usize = 16;
        let code = &self.tracing.code;
        match self.only {
            Some(target) => code.entry(target).into_iter().collect(),
            None if code.count() <= MANY => code.registered(),
            None => Vec::new(),
        }
    }

    /// No instance is being made.
    fn begin_anew(&mut self) {
        self.made.clear();
    }

    /// The memory of this size that the module of a library uses.
    fn find(&mut self, target: u32, library: LibraryId, size: u64) -> usize {
        let entry = self.tracing.code.entry(target);
        let owners = entry.as_ref().map_or(&[][..], |entry| entry.map().memory_owners(library));
        let keys = owners.iter().map(|owner| Some((target, owner.0)));
        // One whose owner is not known is the last resort, and is never given to anybody.
        let mut found = keys
            .chain([None])
            .filter_map(|key| self.memories.iter().position(|memory| memory.key == key && memory.size == size));
        if let Some(found) = found.next() {
            return found;
        }
        // Made before the store was traced.
        let owner = owners.first().unwrap_or(&library);
        self.memories.push(Memory { key: Some((target, owner.0)), size: 0 });
        self.memories.len() - 1
    }
}

impl Drop for StoreMemories {
    fn drop(&mut self) {
        if self.tracing.state.is_stopped() {
            return;
        }
        let time = self.tracing.start.elapsed();
        let mut log = lock(&self.tracing.memories);
        for memory in &self.memories {
            log.change(memory.key, time, memory.size, 0);
        }
    }
}
