//! Joins samples to names: the only place where a raw frame becomes a function.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::tables::{
    Frame, FrameIndex, FunctionIndex, LibraryIndex, Profile, ProfileFunction, ProfileLibrary, Sample, Stack,
    StackIndex, Thread,
};
use crate::address::{CodePoint, InstructionRanges, TextOffset, WasmOffset};
use crate::component::CompiledCode;
use crate::samples::{Entry, LossReason, RawFrame, SampleLog};
use crate::symbols::{FunctionId, SymbolMap};

/// A component or module that may be seen, with its names.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) map: Arc<SymbolMap>,
    pub(crate) code: CompiledCode,
}

/// Makes a profile of what a log holds.
pub(crate) fn symbolize(
    log: &SampleLog,
    targets: &[Target],
    interval: Duration,
    (started_at, elapsed): (SystemTime, Duration),
) -> Profile {
    let mut tables = Tables::new(targets);
    let stacks = tables.stacks(log);
    let mut counts = log.counts.clone();
    let mut threads = Vec::with_capacity(log.threads.len());
    for (index, thread) in log.threads.values().enumerate() {
        let name = thread.name.clone().unwrap_or_else(|| format!("thread {}", index + 1));
        let mut samples = Vec::with_capacity(thread.timeline.entries().len());
        for Entry { time, stack, count, wall, cpu } in thread.timeline.entries().iter().copied() {
            match stacks[stack.0 as usize] {
                Some(stack) => samples.push(Sample { time, stack, count, wall, cpu }),
                // None of its functions is in the map, so nothing of it may be shown.
                None => counts.lose_kept(LossReason::NoVisibleFrame, count),
            }
        }
        threads.push(Thread { name, samples });
    }
    Profile {
        name: targets.first().map_or_else(String::new, |target| target.map.component().to_owned()),
        sampler: "epoch",
        interval,
        started_at,
        elapsed,
        counts,
        threads,
        libraries: tables.libraries.into_values().collect(),
        functions: tables.functions.into_values().collect(),
        frames: tables.frames.into_iter().collect(),
        stacks: tables.stacks.into_iter().collect(),
    }
}

/// The tables of a profile while they are filled. A key says what a row is; rows are never removed.
struct Tables<'t> {
    targets: &'t [Target],
    /// By target; made when the first frame of the target needs it.
    instructions: FxHashMap<u32, InstructionRanges>,
    libraries: IndexMap<(u32, u32), ProfileLibrary, FxBuildHasher>,
    functions: IndexMap<(u32, FunctionId), ProfileFunction, FxBuildHasher>,
    frames: IndexSet<Frame, FxBuildHasher>,
    stacks: IndexSet<Stack, FxBuildHasher>,
}

/// A raw frame with the function it is in.
struct Resolved {
    target: u32,
    function: FunctionId,
    instruction: Option<WasmOffset>,
}

/// Whether a frame is the innermost of its stack, which decides how its address is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Innermost,
    Caller,
}

impl<'t> Tables<'t> {
    fn new(targets: &'t [Target]) -> Self {
        Self {
            targets,
            instructions: FxHashMap::default(),
            libraries: IndexMap::default(),
            functions: IndexMap::default(),
            frames: IndexSet::default(),
            stacks: IndexSet::default(),
        }
    }

    /// Adds all stacks of the log, and returns what each has become for the samples that refer to it.
    ///
    /// A stack may be the whole of one sample and the callers in another. The two differ in how the address of the
    /// last frame is read, so they are two stacks of the profile; only those that are needed are made.
    fn stacks(&mut self, log: &SampleLog) -> Vec<Option<StackIndex>> {
        let frames: Vec<Option<Resolved>> = log.stacks.frames().map(|frame| self.resolve(frame)).collect();
        let entries = log.threads.values().flat_map(|thread| thread.timeline.entries());
        let mut is_sampled = vec![false; log.stacks.stacks().len()];
        entries.for_each(|entry| is_sampled[entry.stack.0 as usize] = true);
        let mut is_caller = vec![false; log.stacks.stacks().len()];
        log.stacks.stacks().filter_map(|(caller, _)| caller).for_each(|caller| is_caller[caller.0 as usize] = true);

        let mut as_caller: Vec<Option<StackIndex>> = Vec::with_capacity(is_caller.len());
        let mut as_sample: Vec<Option<StackIndex>> = Vec::with_capacity(is_sampled.len());
        let unknown = log.stacks.frames().position(|frame| *frame == RawFrame::UNKNOWN_CALLERS);
        let mut begins_unknown: Vec<bool> = Vec::with_capacity(is_sampled.len());
        for (index, (caller, frame)) in log.stacks.stacks().enumerate() {
            let outer = caller.and_then(|caller| as_caller[caller.0 as usize]);
            let begins = caller.map_or(Some(frame.0 as usize) == unknown, |caller| begins_unknown[caller.0 as usize]);
            begins_unknown.push(begins);
            let Some(resolved) = &frames[frame.0 as usize] else {
                // The map has no such function: leave the frame out, not the stack.
                as_caller.push(outer);
                as_sample.push(outer);
                continue;
            };
            let outer = outer.or_else(|| if begins { None } else { self.entry_stack(resolved) });
            as_sample.push(is_sampled[index].then(|| self.push(outer, resolved, Position::Innermost)));
            as_caller.push(is_caller[index].then(|| self.push(outer, resolved, Position::Caller)));
        }
        as_sample
    }

    fn resolve(&self, frame: &RawFrame) -> Option<Resolved> {
        let map = &self.targets.get(frame.target as usize)?.map;
        let function = map.core_function(frame.module, frame.function)?;
        Some(Resolved { target: frame.target, function, instruction: frame.instruction })
    }

    /// The stack of the entry trampoline that the outermost guest frame was entered through. A backtrace of
    /// Wasmtime leaves it out, but the host has no other way in.
    fn entry_stack(&mut self, outermost: &Resolved) -> Option<StackIndex> {
        let map = &self.targets[outermost.target as usize].map;
        let function = map.entry_of(outermost.function)?;
        let entry = Resolved { target: outermost.target, function, instruction: None };
        Some(self.push(None, &entry, Position::Caller))
    }

    fn push(&mut self, caller: Option<StackIndex>, resolved: &Resolved, position: Position) -> StackIndex {
        let point = self.point(resolved, position);
        let function = self.function(resolved.target, resolved.function);
        let frame = Frame { function, point, instruction: resolved.instruction };
        let (frame, _) = self.frames.insert_full(frame);
        let (stack, _) = self.stacks.insert_full(Stack { caller, frame: FrameIndex(handle(frame)) });
        StackIndex(handle(stack))
    }

    /// Where in the text a frame is: at its instruction, or else at the start of its function.
    fn point(&mut self, resolved: &Resolved, position: Position) -> CodePoint {
        let target = &self.targets[resolved.target as usize];
        let function = target.map.function(resolved.function);
        let start = function.offset();
        let range = resolved.instruction.and_then(|instruction| {
            let ranges = self.instructions.entry(resolved.target).or_insert_with(|| target.code.instruction_ranges());
            ranges.range_of((start, function.size()), instruction)
        });
        let (first, end) = range.unwrap_or((start, TextOffset::new(start.get().saturating_add(1))));
        match position {
            Position::Innermost => CodePoint::InstructionPointer(first),
            Position::Caller => CodePoint::ReturnAddress(end),
        }
    }

    fn function(&mut self, target: u32, id: FunctionId) -> FunctionIndex {
        if let Some(index) = self.functions.get_index_of(&(target, id)) {
            return FunctionIndex(handle(index));
        }
        let function = self.targets[target as usize].map.function(id);
        let library_id = self.targets[target as usize].map.library_id(id);
        let library = self.libraries.entry((target, library_id.0));
        let library_index = LibraryIndex(handle(library.index()));
        library.or_insert_with(|| {
            let library = function.library();
            ProfileLibrary { name: library.name.clone(), layer: library.layer }
        });
        let row = ProfileFunction {
            name: function.name().into_owned(),
            library: library_index,
            kind: function.kind(),
            interface: function.interface().map(str::to_owned),
            interface_function: function.interface_function().map(str::to_owned),
            direction: function.direction(),
            offset: function.offset().get(),
            size: function.size(),
        };
        let (index, _) = self.functions.insert_full((target, id), row);
        FunctionIndex(handle(index))
    }
}

impl CompiledCode {
    fn instruction_ranges(&self) -> InstructionRanges {
        match self {
            Self::Component(component) => component.address_map().map(InstructionRanges::collect),
            Self::Module(module) => module.address_map().map(InstructionRanges::collect),
        }
        .unwrap_or_default()
    }
}

fn handle(index: usize) -> u32 {
    // A table of 2^32 rows would have exhausted memory long before.
    u32::try_from(index).unwrap_or(u32::MAX)
}
