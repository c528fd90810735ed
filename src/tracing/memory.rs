//! How large the linear memories of a store are.
//!
//! Wasmtime asks a store's limiter whenever a memory is made or grows, and tells it the sizes, but not which memory it
//! is. Whose a memory is, is settled when it is made, and stays: an instance makes its memories in an order that is known. One
//! that grows in a guest is one of those that the core module uses whose function asks for it, which is on the stack: its own,
//! or that of another module, which it imports.

use std::sync::Arc;

use wasmtime::{ResourceLimiter, StoreLimits};

use crate::address::TextOffset;
use crate::lock::lock;
use crate::recording::Shared;
use crate::sampler::OwnWork;
use crate::sampler::signal::{Beginning, CallerFinder};
use crate::samples::{CallSite, Growth, MemoryKey, RawFrame};
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
    pub(crate) fn new(shared: &Arc<Shared>, limits: L) -> Self {
        // Where stacks cannot be read, sizes are recorded all the same.
        let finder = shared.trace_calls_scene().map(|scene| CallerFinder::new(scene, Beginning::Limiter));
        let made = vec![0; shared.targets().len()];
        let memories = StoreMemories { shared: Arc::clone(shared), finder, memories: Vec::new(), made, last: None };
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
    shared: Arc<Shared>,
    finder: Option<CallerFinder>,
    memories: Vec<Memory>,
    /// By target: how many memories of the instance that is being made there are already.
    made: Vec<usize>,
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
        let Some((target, library)) = self.grown_by(&stack) else {
            let key = self.owner_of_new(to);
            self.last = Some((self.memories.len(), 0, None));
            self.memories.push(Memory { key, size: to });
            lock(&self.shared.memories).change(key, time, 0, to);
            return;
        };
        let at = self.find(target, library, from);
        let Memory { key, size } = self.memories[at];
        self.memories[at].size = to;
        let mut log = lock(&self.shared.memories);
        if size != from {
            // Made before the store was traced.
            log.change(key, time, size, from);
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
        if growth.is_none() {
            self.begin_anew();
        }
        if let Some(memory) = self.memories.get_mut(at) {
            let failed = std::mem::replace(&mut memory.size, size);
            lock(&self.shared.memories).take_back(memory.key, failed, size, growth);
        }
    }

    /// The library whose function makes a memory grow, if that is one of a guest, and its target.
    fn grown_by(&self, stack: &[CallSite]) -> Option<(u32, LibraryId)> {
        let functions = stack.iter().filter_map(|site| {
            let map = &self.shared.targets().get(site.target as usize)?.map;
            Some((site.target, map.lookup(TextOffset::new(site.offset))?))
        });
        let mut guests = functions.filter(|(_, function)| function.layer() == Layer::Guest);
        guests.next().map(|(target, function)| (target, LibraryId(function.library_index())))
    }

    /// Whose memory it is that is made with so many bytes: the next one of an instance. If more than one may have been begun,
    /// nobody can tell.
    fn owner_of_new(&mut self, bytes: u64) -> MemoryKey {
        let shared = Arc::clone(&self.shared);
        let targets = shared.targets();
        let next = |target: usize, made: usize| {
            let (size, library) = *targets.get(target)?.map.memories().get(made)?;
            (size == bytes).then_some(library)
        };
        let begun = (0..targets.len()).filter(|target| self.made[*target] > 0);
        let mut found: Vec<(usize, _)> =
            begun.filter_map(|target| Some((target, next(target, self.made[target])?))).collect();
        if found.is_empty() {
            // What was begun has failed, or is another host's.
            self.begin_anew();
            found = (0..targets.len()).filter_map(|target| Some((target, next(target, 0)?))).collect();
        }
        let [(target, library)] = found[..] else { return None };
        self.made[target] += 1;
        if self.made[target] == targets[target].map.memories().len() {
            self.made[target] = 0;
        }
        Some((u32::try_from(target).ok()?, library?.0))
    }

    /// No instance is being made.
    fn begin_anew(&mut self) {
        self.made.fill(0);
    }

    /// The memory of this size that the module of a library uses.
    fn find(&mut self, target: u32, library: LibraryId, size: u64) -> usize {
        let map = self.shared.targets().get(target as usize).map(|found| &found.map);
        let owners = map.map_or(&[][..], |map| map.memory_owners(library));
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
