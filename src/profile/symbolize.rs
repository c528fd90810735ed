//! Joins samples to names: the only place where a raw frame becomes a function.

use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::calls::name_calls;
use super::host_symbols::{HostPlace, HostSymbols};
use super::memories::{MemoryGrowth, name_memories};
use super::tables::{
    FileIndex, Frame, FrameIndex, FunctionIndex, LabelsIndex, LibraryIndex, Profile, ProfileFunction, ProfileLibrary,
    Sample, SamplerKind, SourceLine, Stack, StackIndex, Thread,
};
use crate::address::{CodePoint, InstructionRanges, TextOffset, WasmOffset};
use crate::component::CompiledCode;
use crate::debug_info::{Lines, NoLines, SourceFrame, SourceLocation};
use crate::samples::{
    CountedCalls, Entry, Growth, LossReason, MemoryLog, RawFrame, SampleCounts, SampleLog, Span, Track, Window,
};
use crate::symbols::{FunctionId, FunctionKind, Layer, LibraryId, SymbolMap};

/// A component or module that may be seen, with its names.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    pub(crate) map: Arc<SymbolMap>,
    pub(crate) code: CompiledCode,
}

/// What a recording was, beside its samples.
pub(crate) struct Recording<'r> {
    pub(crate) targets: &'r [Target],
    pub(crate) sampler: SamplerKind,
    pub(crate) interval: Duration,
    pub(crate) started_at: SystemTime,
    pub(crate) elapsed: Duration,
    /// Samples of this time are wanted, since the recording began.
    pub(crate) period: Range<Duration>,
    /// The calls that were counted, if that was asked for.
    pub(crate) calls: Option<CountedCalls>,
    /// The memories that were traced.
    pub(crate) memories: MemoryLog,
    /// Spans of the host, and how many are left out.
    pub(crate) spans: (Vec<Span>, u64),
    /// Where in the process an address is.
    pub(crate) host_place: &'r dyn Fn(u64) -> Option<HostPlace>,
}

/// The period of a whole recording.
pub(crate) const EVERYTHING: Range<Duration> = Duration::ZERO..Duration::MAX;

/// Makes a profile of what a log holds.
pub(crate) fn symbolize(log: &SampleLog, recording: &Recording<'_>) -> Profile {
    let mut tables = Tables::new(recording);
    let mut counts = log.counts.clone();
    let mut threads: IndexMap<Track, Thread> = IndexMap::new();
    for window in log.windows() {
        let stacks = tables.stacks(window);
        for (track, thread) in &window.threads {
            let number = threads.len() + 1;
            let out = threads.entry(*track).or_insert_with(|| {
                let name = thread.name.clone().unwrap_or_else(|| format!("thread {number}"));
                Thread { name, samples: Vec::with_capacity(thread.timeline.entries().len()) }
            });
            for Entry { time, stack, labels, count, wall, cpu } in thread.timeline.entries().iter().copied() {
                if !recording.period.contains(&time) {
                    continue;
                }
                // Windows may overlap a little: threads are collected one after the other.
                let time = time.saturating_sub(recording.period.start);
                let time = out.samples.last().map_or(time, |last| time.max(last.time));
                match stacks[stack.0 as usize] {
                    Some(stack) => {
                        out.samples.push(Sample { time, stack, labels: LabelsIndex(labels.0), count, wall, cpu });
                    }
                    // None of its functions is in the map, so nothing of it may be shown.
                    None => counts.lose_kept(LossReason::NoVisibleFrame, count),
                }
            }
        }
    }
    let growths = tables.growths(recording);
    let calls = recording
        .calls
        .as_ref()
        .map(|calls| name_calls(calls, recording.targets, |thread| threads.get_index_of(&Track::Thread(thread))));
    let threads: Vec<Thread> = threads.into_values().collect();
    if recording.period != EVERYTHING {
        // What was lost when is not known.
        let kept = threads.iter().flat_map(|thread| &thread.samples).map(|sample| sample.count).sum();
        counts = SampleCounts { taken: kept, kept, ..SampleCounts::default() };
    }
    Profile {
        name: recording.targets.first().map_or_else(String::new, |target| target.map.component().to_owned()),
        sampler: recording.sampler,
        interval: recording.interval,
        started_at: recording.started_at.checked_add(recording.period.start).unwrap_or(recording.started_at),
        elapsed: recording.elapsed.min(recording.period.end).saturating_sub(recording.period.start),
        handler_cost: log.handler_cost,
        counts,
        threads,
        labels: log.labels.sets().cloned().collect(),
        calls,
        memories: name_memories(&recording.memories, recording.targets, &recording.period),
        growths,
        spans: recording.spans.0.clone(),
        spans_left_out: recording.spans.1,
        missing_lines: tables.missing_lines(),
        files: tables.files.iter().map(|file| file.to_string()).collect(),
        libraries: tables.libraries.into_values().collect(),
        functions: tables.functions.into_values().collect(),
        frames: tables.frames.into_iter().collect(),
        stacks: tables.stacks.into_iter().collect(),
    }
}

/// What tells one function from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum FunctionKey {
    Compiled {
        target: u32,
        function: FunctionId,
    },
    Inlined {
        target: u32,
        library: LibraryId,
        name: String,
    },
    Host {
        library: String,
        start: u32,
    },
    /// One of the kinds of which a profile has one function at most.
    Other(FunctionKind),
}

/// What tells one library from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LibraryKey {
    Compiled { target: u32, library: LibraryId },
    Host(String),
    Other(FunctionKind),
}

/// The tables of a profile while they are filled. A key says what a row is; rows are never removed.
struct Tables<'r> {
    recording: &'r Recording<'r>,
    /// By target; made when the first frame of the target needs it.
    instructions: FxHashMap<u32, Option<InstructionRanges>>,
    /// The same.
    lines: FxHashMap<u32, Option<Lines<'r>>>,
    /// By target.
    missing_lines: FxHashMap<u32, NoLines>,
    /// By target: whether any line was found, once it was asked for.
    has_lines: FxHashMap<u32, bool>,
    files: IndexSet<Arc<str>, FxBuildHasher>,
    host: HostSymbols,
    libraries: IndexMap<LibraryKey, ProfileLibrary, FxBuildHasher>,
    functions: IndexMap<FunctionKey, ProfileFunction, FxBuildHasher>,
    frames: IndexSet<Frame, FxBuildHasher>,
    stacks: IndexSet<Stack, FxBuildHasher>,
}

/// Whether a frame is the innermost of its stack, which decides how its address is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Innermost,
    Caller,
}

/// A frame of the log as frames of the profile: a function, and what was inlined into it there, from the outside inwards.
/// Empty if it may not be shown, or says nothing.
type Frames = Rc<[FrameIndex]>;

/// The frames of a log as frames of the profile, for one position; made when asked for.
struct Resolved {
    frames: Vec<Option<Frames>>,
    position: Position,
}

impl Resolved {
    fn new(count: usize, position: Position) -> Self {
        Self { frames: vec![None; count], position }
    }

    fn get(&mut self, tables: &mut Tables<'_>, index: usize, raw: &RawFrame) -> Frames {
        let position = self.position;
        Rc::clone(self.frames[index].get_or_insert_with(|| tables.resolve(raw, position)))
    }
}

impl<'r> Tables<'r> {
    fn new(recording: &'r Recording<'r>) -> Self {
        Self {
            recording,
            instructions: FxHashMap::default(),
            lines: FxHashMap::default(),
            missing_lines: FxHashMap::default(),
            has_lines: FxHashMap::default(),
            files: IndexSet::default(),
            host: HostSymbols::default(),
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
    fn stacks(&mut self, log: &Window) -> Vec<Option<StackIndex>> {
        let raw: Vec<&RawFrame> = log.stacks.frames().collect();
        let count = log.stacks.stacks().len();
        let entries = log.threads.values().flat_map(|thread| thread.timeline.entries());
        let mut is_sampled = vec![false; count];
        entries.for_each(|entry| is_sampled[entry.stack.0 as usize] = true);
        let mut is_caller = vec![false; count];
        log.stacks.stacks().filter_map(|(caller, _)| caller).for_each(|caller| is_caller[caller.0 as usize] = true);

        let mut innermost = Resolved::new(raw.len(), Position::Innermost);
        let mut callers = Resolved::new(raw.len(), Position::Caller);
        let mut as_caller: Vec<Option<StackIndex>> = Vec::with_capacity(count);
        let mut as_sample: Vec<Option<StackIndex>> = Vec::with_capacity(count);
        let mut begins_unknown: Vec<bool> = Vec::with_capacity(count);
        for (index, (caller, frame)) in log.stacks.stacks().enumerate() {
            let frame = frame.0 as usize;
            let outer = caller.and_then(|caller| as_caller[caller.0 as usize]);
            let begins =
                caller.map_or(*raw[frame] == RawFrame::UnknownCallers, |caller| begins_unknown[caller.0 as usize]);
            begins_unknown.push(begins);
            let outer = outer.or_else(|| if begins { None } else { self.entry_stack(raw[frame]) });
            // A frame that the map does not know is left out, not its stack.
            let push = |tables: &mut Self, resolved: &mut Resolved| {
                let frames = resolved.get(tables, frame, raw[frame]);
                tables.push_all(outer, &frames)
            };
            let sampled = if is_sampled[index] { push(self, &mut innermost) } else { None };
            let calling = if is_caller[index] { push(self, &mut callers) } else { None };
            as_sample.push(sampled);
            as_caller.push(calling);
        }
        as_sample
    }

    /// Why targets that were seen have no lines, or not all of them.
    fn missing_lines(&self) -> Vec<String> {
        let targets = self.recording.targets.iter().zip(0_u32..);
        let reasons = targets.filter_map(|(target, index)| {
            let damage = || target.map.debug_info()?.ok()?.damage();
            let other_code = || (self.has_lines.get(&index) == Some(&false)).then_some(NoLines::OfOtherCode);
            let reason = self.missing_lines.get(&index).cloned().or_else(damage).or_else(other_code)?;
            Some(format!("`{}` has no lines of source code: {reason}", target.map.component()))
        });
        reasons.collect()
    }

    /// The growths of memories in the period, with their stacks.
    fn growths(&mut self, recording: &Recording<'_>) -> Vec<MemoryGrowth> {
        let log = &recording.memories;
        let kept = log.growths.kept().iter().map(|kept| &kept.value);
        let mut kept: Vec<&Growth> = kept.filter(|growth| recording.period.contains(&growth.time)).collect();
        kept.sort_by_key(|growth| growth.time);
        let growths = kept.into_iter().filter_map(|growth| {
            let stack = growth.stack.iter().rev().fold(None, |caller, frame| {
                // All of them wait for what they called, the host's function that makes the memory grow.
                let frames = self.resolve(frame, Position::Caller);
                self.push_all(caller, &frames)
            });
            let memory = log.memories.get_index_of(&growth.memory)?;
            let time = growth.time.saturating_sub(recording.period.start);
            Some(MemoryGrowth { memory, time, from: growth.from, to: growth.to, stack })
        });
        growths.collect()
    }

    fn push(&mut self, caller: Option<StackIndex>, frame: FrameIndex) -> StackIndex {
        let (stack, _) = self.stacks.insert_full(Stack { caller, frame });
        StackIndex(handle(stack))
    }

    fn push_all(&mut self, caller: Option<StackIndex>, frames: &[FrameIndex]) -> Option<StackIndex> {
        frames.iter().fold(caller, |caller, frame| Some(self.push(caller, *frame)))
    }

    /// The stack of the entry trampoline that the outermost guest frame was entered through. A backtrace of
    /// Wasmtime leaves it out, but the host has no other way in.
    fn entry_stack(&mut self, outermost: &RawFrame) -> Option<StackIndex> {
        let RawFrame::Wasm { target, module, function, .. } = *outermost else { return None };
        let map = &self.recording.targets.get(target as usize)?.map;
        let function = map.entry_of(map.core_function(module, function)?)?;
        let frames = self.compiled(target, function, None, Position::Caller);
        self.push_all(None, &frames)
    }

    /// Makes the frames of the profile.
    fn resolve(&mut self, frame: &RawFrame, position: Position) -> Frames {
        match *frame {
            RawFrame::Wasm { target, module, function, instruction } => {
                let map = self.recording.targets.get(target as usize).map(|target| &target.map);
                let function = map.and_then(|map| map.core_function(module, function));
                function.map(|function| self.compiled(target, function, instruction, position)).unwrap_or_default()
            }
            RawFrame::Text { target, offset } => self.text(target, offset, position).unwrap_or_default(),
            RawFrame::Host { address } => [self.host(address, position)].into(),
            RawFrame::HiddenHost => [self.other(FunctionKind::Host, position)].into(),
            RawFrame::Unregistered => [self.other(FunctionKind::Unregistered, position)].into(),
            RawFrame::Elided => [self.other(FunctionKind::Elided, position)].into(),
            RawFrame::Suspended => [self.other(FunctionKind::Suspended, position)].into(),
            RawFrame::UnknownCallers => Frames::default(),
        }
    }

    /// A frame of which the function and the instruction in WebAssembly are known: it is at the text of the instruction,
    /// or else at the start of the function.
    fn compiled(
        &mut self,
        target: u32,
        function: FunctionId,
        instruction: Option<WasmOffset>,
        position: Position,
    ) -> Frames {
        let map = &self.recording.targets[target as usize].map;
        let (start, size) = (map.function(function).offset(), map.function(function).size());
        let range = instruction.and_then(|instruction| self.instructions(target)?.range_of((start, size), instruction));
        let (first, end) = range.unwrap_or((start, TextOffset::new(start.get().saturating_add(1))));
        let point = position.point_of(first, end);
        self.with_source(target, function, point, instruction)
    }

    /// A frame of which the place in the text section is known.
    fn text(&mut self, target: u32, offset: TextOffset, position: Position) -> Option<Frames> {
        let point = position.point_of(offset, offset);
        let map = &self.recording.targets.get(target as usize)?.map;
        let function = map.lookup_id(point.lookup_offset())?;
        let place = (map.function(function).offset(), map.function(function).size());
        let instructions = self.instructions(target);
        let instruction = instructions.and_then(|ranges| ranges.instruction_at(place, point.lookup_offset()));
        Some(self.with_source(target, function, point, instruction))
    }

    /// A frame of compiled code, with its line and with what was inlined there.
    fn with_source(
        &mut self,
        target: u32,
        id: FunctionId,
        point: CodePoint,
        instruction: Option<WasmOffset>,
    ) -> Frames {
        let recording = self.recording;
        let map = &recording.targets[target as usize].map;
        let function = self.compiled_function(target, id);
        // Adapters are compiled from bytes of their own, which nobody else has.
        let is_guest = map.function(id).layer() == Layer::Guest;
        let instruction = instruction.filter(|_| is_guest);
        let lines = if is_guest { self.lines(target).as_ref() } else { None };
        let found = lines.zip(instruction).map(|(lines, instruction)| lines.at(instruction));
        if let Some(found) = &found {
            *self.has_lines.entry(target).or_insert(false) |= found.iter().any(|frame| frame.location.is_some());
        }
        let found = found.unwrap_or_default();
        let Some((compiled, inlined)) = found.split_last() else {
            return [self.frame(Frame { function, point, instruction, source: None })].into();
        };
        let mut frames = vec![self.source_frame(function, compiled, point, instruction)];
        for source in inlined.iter().rev() {
            let function = self.inlined_function(target, map.library_id(id), source);
            frames.push(self.source_frame(function, source, point, instruction));
        }
        frames.into()
    }

    fn source_frame(
        &mut self,
        function: FunctionIndex,
        source: &SourceFrame,
        point: CodePoint,
        instruction: Option<WasmOffset>,
    ) -> FrameIndex {
        let source = source.location.as_ref().map(|SourceLocation { file, line, column, .. }| {
            let (index, _) = self.files.insert_full(Arc::clone(file));
            SourceLine { file: FileIndex(handle(index)), line: *line, column: *column }
        });
        if let (Some((_, function)), Some(source)) = (self.functions.get_index_mut(function.index()), source) {
            function.file.get_or_insert(source.file);
        }
        self.frame(Frame { function, point, instruction, source })
    }

    fn inlined_function(&mut self, target: u32, library: LibraryId, source: &SourceFrame) -> FunctionIndex {
        let name = source.function.as_deref().unwrap_or("(inlined function)");
        let name = self.recording.targets[target as usize].map.shown_name(name);
        let key = FunctionKey::Inlined { target, library, name };
        if let Some(index) = self.functions.get_index_of(&key) {
            return FunctionIndex(handle(index));
        }
        let FunctionKey::Inlined { name, .. } = &key else { unreachable!("made so above") };
        // Its caller is of the same library, which is there.
        let library = self.library_of(target, library);
        let row = ProfileFunction::without_interface(name.clone(), library, FunctionKind::Inlined);
        FunctionIndex(handle(self.functions.insert_full(key, row).0))
    }

    fn host(&mut self, address: u64, position: Position) -> FrameIndex {
        let lookup = match position {
            Position::Innermost => address,
            Position::Caller => address.saturating_sub(1),
        };
        let Some(place) = (self.recording.host_place)(lookup) else {
            return self.other(FunctionKind::Host, position);
        };
        let symbol = self.host.find(&place);
        let offset = u32::try_from(place.offset).unwrap_or(u32::MAX);
        let point = position.point_of(TextOffset::new(offset), TextOffset::new(offset.saturating_add(1)));
        let row = || ProfileLibrary { name: symbol.library.clone(), layer: Layer::Host, component: None };
        let library = self.library(LibraryKey::Host(symbol.library.clone()), row);
        let key = FunctionKey::Host { library: symbol.library, start: symbol.start };
        let function = self.functions.entry(key);
        let index = FunctionIndex(handle(function.index()));
        function.or_insert_with(|| ProfileFunction {
            offset: symbol.start,
            size: symbol.size,
            ..ProfileFunction::without_interface(symbol.name, library, FunctionKind::Host)
        });
        self.frame(Frame { function: index, point, instruction: None, source: None })
    }

    /// A frame that stands for others, or for none.
    fn other(&mut self, kind: FunctionKind, position: Position) -> FrameIndex {
        let (library, name) = match kind {
            FunctionKind::Suspended => ("host", "suspended"),
            FunctionKind::Unregistered => ("other code", "(not shown)"),
            FunctionKind::Elided => ("elided", "(frames left out)"),
            _ => ("host", "host"),
        };
        let layer = kind.layer();
        let owner = if layer == Layer::Host { FunctionKind::Host } else { kind };
        let row = || ProfileLibrary { name: library.to_owned(), layer, component: None };
        let library = self.library(LibraryKey::Other(owner), row);
        let function = self.functions.entry(FunctionKey::Other(kind));
        let index = FunctionIndex(handle(function.index()));
        let start = if kind == FunctionKind::Suspended { 1 } else { 0 };
        function.or_insert_with(|| ProfileFunction {
            offset: start,
            size: 1,
            ..ProfileFunction::without_interface(name.to_owned(), library, kind)
        });
        let point = position.point_of(TextOffset::new(start), TextOffset::new(start + 1));
        self.frame(Frame { function: index, point, instruction: None, source: None })
    }

    fn frame(&mut self, frame: Frame) -> FrameIndex {
        FrameIndex(handle(self.frames.insert_full(frame).0))
    }

    /// Nothing if the code was compiled without an address map.
    fn instructions(&mut self, target: u32) -> Option<&InstructionRanges> {
        let code = &self.recording.targets[target as usize].code;
        self.instructions.entry(target).or_insert_with(|| code.instruction_ranges()).as_ref()
    }

    /// The lines of a target; nothing if they are not known, which is noted if they are wanted.
    fn lines(&mut self, target: u32) -> &Option<Lines<'r>> {
        let Target { map, code } = &self.recording.targets[target as usize];
        let has_address_map = self.instructions(target).is_some();
        let missing = &mut self.missing_lines;
        self.lines.entry(target).or_insert_with(|| match map.debug_info()? {
            Ok(info) if has_address_map => Some(info.open(code)),
            Ok(_) => {
                missing.insert(target, NoLines::NoAddressMap);
                None
            }
            Err(problem) => {
                missing.insert(target, problem.clone());
                None
            }
        })
    }

    fn library(&mut self, key: LibraryKey, row: impl FnOnce() -> ProfileLibrary) -> LibraryIndex {
        let library = self.libraries.entry(key);
        let index = LibraryIndex(handle(library.index()));
        library.or_insert_with(row);
        index
    }

    /// A library of a target.
    fn library_of(&mut self, target: u32, library: LibraryId) -> LibraryIndex {
        let map = &self.recording.targets[target as usize].map;
        self.library(LibraryKey::Compiled { target, library }, || {
            let library = &map.libraries()[library.0 as usize];
            ProfileLibrary { name: library.name.clone(), layer: library.layer, component: library.component.clone() }
        })
    }

    fn compiled_function(&mut self, target: u32, function: FunctionId) -> FunctionIndex {
        let key = FunctionKey::Compiled { target, function };
        if let Some(index) = self.functions.get_index_of(&key) {
            return FunctionIndex(handle(index));
        }
        let map = &self.recording.targets[target as usize].map;
        let library = self.library_of(target, map.library_id(function));
        let function = map.function(function);
        let row = ProfileFunction {
            name: function.name().into_owned(),
            library,
            kind: function.kind(),
            interface: function.interface().map(str::to_owned),
            interface_function: function.interface_function().map(str::to_owned),
            direction: function.direction(),
            offset: function.offset().get(),
            size: function.size(),
            file: None,
        };
        let (index, _) = self.functions.insert_full(key, row);
        FunctionIndex(handle(index))
    }
}

impl Position {
    /// The point of a frame that executes at `first`, or whose callee returns to `end`.
    fn point_of(self, first: TextOffset, end: TextOffset) -> CodePoint {
        match self {
            Self::Innermost => CodePoint::InstructionPointer(first),
            Self::Caller => CodePoint::ReturnAddress(end),
        }
    }
}

fn handle(index: usize) -> u32 {
    // A table of 2^32 rows would have exhausted memory long before.
    u32::try_from(index).unwrap_or(u32::MAX)
}
