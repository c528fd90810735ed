//! How large the linear memories of a store are.
//!
//! Wasmtime asks a store's limiter whenever a memory is made or grows, and tells it the sizes, but not which memory it
//! is. A memory that grows in a guest is that of the core module whose function asks for it, which is on the stack.
//! One that is made is known if only one module of the component has a memory of that size.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, StoreLimits};

use super::own_work::OwnWork;
use super::recorder::Shared;
use super::signal::{Beginning, CallerFinder};
use crate::address::TextOffset;
use crate::lock::lock;
use crate::samples::{CallSite, Growth, MemoryKey, RawFrame};
use crate::symbols::Layer;

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
    pub(super) fn new(shared: &Arc<Shared>, limits: L) -> Self {
        // Where stacks cannot be read, sizes are recorded all the same.
        let finder = shared.trace_calls_scene().map(|scene| CallerFinder::new(scene, Beginning::Limiter));
        let memories = StoreMemories { shared: Arc::clone(shared), finder, memories: Vec::new(), last: None };
        Self { limits, memories }
    }

    /// The limits it was made with.
    pub fn limits_mut(&mut self) -> &mut L {
        &mut self.limits
    }
}

impl<L: ResourceLimiter> ResourceLimiter for MemoryTracer<L> {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        self.memories.last = None;
        let is_allowed = self.limits.memory_growing(current, desired, maximum)?;
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
    shared: Arc<Shared>,
    finder: Option<CallerFinder>,
    memories: Vec<Memory>,
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
        if self.shared.is_finished() {
            return;
        }
        let stack = self.finder.as_mut().map_or_else(Vec::new, |finder| finder.stack(here));
        let time = self.shared.elapsed();
        let Some(key) = self.grown_by(&stack) else {
            let key = self.made(to);
            self.last = Some((self.memories.len(), 0, None));
            self.memories.push(Memory { key, size: to });
            lock(&self.shared.memories).change(key, time, 0, to);
            return;
        };
        let at = self.find(key, from);
        let before = std::mem::replace(&mut self.memories[at], Memory { key, size: to });
        let mut log = lock(&self.shared.memories);
        if before.key != key || before.size != from {
            // It was taken for another one's until now.
            log.change(before.key, time, before.size, 0);
            log.change(key, time, 0, from);
        }
        let frames = stack.iter().map(|site| {
            let offset = TextOffset::new(site.offset.saturating_add(1));
            RawFrame::Text { target: site.target, offset }
        });
        let number = log.grow(Growth { memory: key, time, from, to, stack: frames.collect() });
        self.last = Some((at, from, Some(number)));
    }

    /// The last growth was allowed, but it failed.
    fn take_back(&mut self) {
        let Some((at, size, growth)) = self.last.take() else { return };
        if let Some(memory) = self.memories.get_mut(at) {
            let failed = std::mem::replace(&mut memory.size, size);
            lock(&self.shared.memories).take_back(memory.key, failed, size, growth);
        }
    }

    /// Whose memory grows, if a guest is what makes it grow.
    fn grown_by(&self, stack: &[CallSite]) -> Option<MemoryKey> {
        let functions = stack.iter().filter_map(|site| {
            let map = &self.shared.targets().get(site.target as usize)?.map;
            Some((site.target, map.lookup(TextOffset::new(site.offset))?))
        });
        let mut guests = functions.filter(|(_, function)| function.layer() == Layer::Guest);
        guests.next().map(|(target, function)| Some((target, function.library_index())))
    }

    /// Whose memory it is that is made with so many bytes.
    fn made(&self, bytes: u64) -> MemoryKey {
        let mut known = (0..)
            .zip(self.shared.targets())
            .filter_map(|(target, found)| found.map.memory_of_size(bytes).map(|library| (target, library.0)));
        known.next().filter(|_| known.next().is_none())
    }

    /// The memory of `key` that has this size: one that is known to be its, else one of which nothing is known.
    fn find(&mut self, key: MemoryKey, size: u64) -> usize {
        let position = |wanted: &dyn Fn(&Memory) -> bool| self.memories.iter().position(wanted);
        let found = position(&|memory| memory.key == key && memory.size == size)
            .or_else(|| position(&|memory| memory.key.is_none() && memory.size == size))
            .or_else(|| position(&|memory| memory.size == size));
        found.unwrap_or_else(|| {
            // Made before the store was traced.
            self.memories.push(Memory { key, size: 0 });
            self.memories.len() - 1
        })
    }
}

impl Drop for StoreMemories {
    fn drop(&mut self) {
        if self.shared.is_finished() {
            return;
        }
        let time = self.shared.elapsed();
        let mut log = lock(&self.shared.memories);
        for memory in &self.memories {
            log.change(memory.key, time, memory.size, 0);
        }
    }
}
