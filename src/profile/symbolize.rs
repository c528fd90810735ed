//! Joins samples to names: the only place where a raw frame becomes a function. Lines of source code come later
//! ([`lines`](super::lines)), when the log of the recording is not needed any more.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::calls::name_calls;
use super::captured::Captured;
use super::host_frames::HOST;
use super::host_symbols::HostSymbols;
use super::memories::{MemoryGrowth, name_memories};
use super::origin::Origin;
use super::script_table::{ScriptTable, script_name, script_place};
use super::tables::{
    FileIndex, Frame, FrameIndex, FunctionIndex, LabelsIndex, LibraryIndex, Profile, ProfileFunction, ProfileLibrary,
    Sample, SamplerKind, SourceLine, Stack, StackIndex, Thread, TraceIndex,
};
use crate::address::{CodePoint, TextOffset, WasmOffset};
use crate::code::{Target, Targets};
use crate::interpreters::Language;
use crate::samples::{
    CountedCalls, Entry, FrameId, FrozenLog, Growth, HostPlace, LabelSet, LabelSetId, LossReason, MemoryLog,
    ProfilerTime, Purpose, RawFrame, Request, ScriptFunctions, Span, StackId, TraceContext, Track, Window,
};
use crate::symbols::{Direction, Ends, FunctionId, FunctionKind, Layer, LibraryId};

/// What a recording was, beside its samples.
pub(crate) struct Recording<'r> {
    /// What records refer to.
    pub(crate) targets: &'r Targets,
    /// What was recorded: the name of what was registered first.
    pub(crate) name: String,
    pub(crate) sampler: SamplerKind,
    pub(crate) interval: Duration,
    pub(crate) started_at: SystemTime,
    pub(crate) elapsed: Duration,
    /// The calls that were counted, if that was asked for.
    pub(crate) calls: Option<CountedCalls>,
    /// The memories that were traced.
    pub(crate) memories: MemoryLog,
    /// Spans of the host, and how many are left out.
    pub(crate) spans: (Vec<Span>, u64),
    /// What it was captured for. Its thread is not known yet.
    pub(crate) captured: Option<Captured>,
    /// The functions of scripts that tracers were the first to meet.
    pub(crate) scripts: ScriptFunctions,
    /// Where in the process an address is.
    pub(crate) host_place: &'r dyn Fn(u64) -> Option<HostPlace>,
    /// The names of what is there.
    pub(crate) host_symbols: &'r HostSymbols,
}

/// The period of a whole recording.
pub(crate) const EVERYTHING: Range<Duration> = Duration::ZERO..Duration::MAX;

/// A profile without lines of source code, and what is needed to find them.
pub(crate) struct NamedProfile {
    pub(crate) profile: Profile,
    /// By function: which target it is of.
    pub(super) targets: Vec<Option<u32>>,
    /// The targets that interpret scripts.
    pub(super) interpreting: FxHashSet<u32>,
}

/// Makes a profile of what a log held of a period. Costs what there is of the period, and a look at each stack of the windows
/// that it is in.
pub(crate) fn symbolize<'r>(log: &'r FrozenLog, recording: &'r Recording<'r>) -> NamedProfile {
    let period = &log.period;
    let mut tables = Tables::new(recording, &log.scripts);
    let mut counts = log.counts();
    let mut profiler = ProfilerTime::default();
    let mut threads: IndexMap<Track, Thread> = IndexMap::new();
    let captured = recording.captured.as_ref().and_then(|captured| captured.span.as_ref()?.purpose.request);
    let mut of_captured: Vec<Sample> = Vec::new();
    for window in &log.windows {
        let stacks = tables.stacks(window, period);
        let mut labels = LabelsOf::new(window);
        for own in window.own_work.of(period) {
            profiler.add(own.count, own.wall, own.cpu);
        }
        for (track, thread) in &window.threads {
            let number = threads.len() + 1;
            let out = threads.entry(*track).or_insert_with(|| {
                let name = thread.name.as_deref().map_or_else(|| format!("thread {number}"), str::to_owned);
                Thread { name, samples: Vec::new() }
            });
            for Entry { time, stack, labels: set, count, wall, cpu, preempted } in thread.timeline.of(period) {
                // Windows may overlap a little: threads are collected one after the other.
                let time = time.saturating_sub(period.start);
                let time = out.samples.last().map_or(time, |last| time.max(last.time));
                match stacks[stack.0 as usize] {
                    Some(stack) if tables.is_own_work(stack) => {
                        profiler.add(count, wall, cpu);
                        counts.taken = counts.taken.saturating_sub(count);
                        counts.kept = counts.kept.saturating_sub(count);
                    }
                    Some(stack) => {
                        let (labels, trace, request) = labels.index(&mut tables, set);
                        let is_captured = captured.is_some() && request == captured;
                        let samples = if is_captured { &mut of_captured } else { &mut out.samples };
                        samples.push(Sample { time, stack, labels, trace, count, wall, cpu, preempted });
                    }
                    // None of its functions is in the map, so nothing of it may be shown.
                    None => counts.lose_kept(LossReason::NoVisibleFrame, count),
                }
            }
        }
    }
    let growths = tables.growths(recording, period);
    let calls = recording.calls.as_ref().map(|calls| {
        let thread = |thread| threads.get_index_of(&Track::Thread(thread));
        name_calls(calls, (recording.targets, period.start), thread, |stack| tables.stack_of_callers(stack))
    });
    let mut threads: Vec<Thread> = threads.into_values().collect();
    let captured = recording.captured.clone().map(|mut captured| {
        captured.thread = (!of_captured.is_empty()).then(|| {
            of_captured.sort_by_key(|sample| sample.time);
            let name = captured.span.as_ref().map_or_else(String::new, |span| span.name.clone());
            threads.push(Thread { name, samples: of_captured });
            threads.len() - 1
        });
        if let Some(span) = &mut captured.span {
            span.begin = span.begin.saturating_sub(period.start);
        }
        captured
    });
    let target = |key: &FunctionKey| match key {
        FunctionKey::Compiled { target, .. } | FunctionKey::HostImport { target, .. } => Some(*target),
        FunctionKey::Host { .. } | FunctionKey::Script { .. } | FunctionKey::Other(_) => None,
    };
    let targets = tables.functions.keys().map(target).collect();
    let interpreters = tables.functions.keys().filter_map(|key| match key {
        FunctionKey::Script { interpreter, .. } => interpreter.map(|(target, _)| target),
        _ => None,
    });
    let interpreting = interpreters.collect();
    let profile = Profile {
        name: recording.name.clone(),
        sampler: recording.sampler,
        interval: recording.interval,
        origin: Origin::here(),
        started_at: recording.started_at.checked_add(period.start).unwrap_or(recording.started_at),
        elapsed: recording.elapsed.min(period.end).saturating_sub(period.start),
        handler_cost: log.handler_cost,
        knows_preempted: log.knows_preempted,
        profiler,
        counts,
        threads,
        labels: tables.labels.iter().map(|set| LabelSet::clone(set)).collect(),
        traces: tables.traces.into_iter().collect(),
        calls,
        memories: name_memories(&recording.memories, recording.targets, period),
        growths,
        spans: recording.spans.0.clone(),
        spans_left_out: recording.spans.1,
        captured,
        libraries: tables.libraries.into_values().collect(),
        functions: tables.functions.into_values().collect(),
        frames: tables.frames.into_iter().collect(),
        files: tables.files.into_iter().collect(),
        sources: std::collections::BTreeMap::new(),
        missing_lines: Vec::new(),
        stacks: tables.stacks.into_iter().collect(),
    };
    NamedProfile { profile, targets, interpreting }
}

/// Functions of the host with this in their names do nothing but the profiler's own work.
const OWN_CODE: [&str; 3] = [
    concat!(env!("CARGO_CRATE_NAME"), "::tracing::calls::"),
    concat!(env!("CARGO_CRATE_NAME"), "::sampler::signal::callers::"),
    concat!(env!("CARGO_CRATE_NAME"), "::recording::recorder::Recorder::trace_calls"),
];

/// What of an interpreter is written in the language that it runs.
const SELF_HOSTED: &str = "self-hosted";

/// A function of which only that is known.
const UNKNOWN_SCRIPT: &str = "(unknown script function)";

/// What tells one function from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum FunctionKey {
    Compiled {
        target: u32,
        function: FunctionId,
    },
    Host {
        library: String,
        start: u32,
    },
    /// A function of a script, by its number, and which interpreter runs it.
    Script {
        interpreter: Option<Interpreter>,
        number: u32,
    },
    /// What a core module imports from the host, by its index.
    HostImport {
        target: u32,
        import: u32,
    },
    /// One of the kinds of which a profile has one function at most.
    Other(FunctionKind),
}

/// An interpreter: its library, and the component or module that it is a part of.
type Interpreter = (u32, LibraryId);

/// Whether it may be an interpreter's.
fn is_native(frame: &RawFrame) -> bool {
    !matches!(frame, RawFrame::Script { .. } | RawFrame::Elided)
}

/// What tells one library from another.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum LibraryKey {
    Compiled {
        target: u32,
        library: LibraryId,
    },
    Host(String),
    /// Functions that an interpreter runs: those of a program, or its own.
    Scripts {
        interpreter: Option<Interpreter>,
        language: Language,
        is_interpreters: bool,
    },
    HostImports {
        target: u32,
        module: String,
    },
    Other(FunctionKind),
}

/// The tables of a profile while they are filled. A key says what a row is; rows are never removed.
struct Tables<'r> {
    recording: &'r Recording<'r>,
    libraries: IndexMap<LibraryKey, ProfileLibrary, FxBuildHasher>,
    functions: IndexMap<FunctionKey, ProfileFunction, FxBuildHasher>,
    frames: IndexSet<Frame, FxBuildHasher>,
    stacks: IndexSet<Stack, FxBuildHasher>,
    /// Of scripts.
    files: IndexSet<String, FxBuildHasher>,
    /// The functions of scripts by number, once that was asked for.
    scripts: Option<ScriptTable>,
    recording_scripts: &'r ScriptFunctions,
    /// Sets of labels that samples bear; the empty one comes first.
    labels: IndexSet<Arc<LabelSet>, FxBuildHasher>,
    /// Places in traces; none comes first.
    traces: IndexSet<Option<TraceContext>, FxBuildHasher>,
}

/// Whether a frame is the innermost of its stack, which decides how its address is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Position {
    Innermost,
    Caller,
}

/// The frames of a window as frames of the profile, for one position; made when asked for.
struct Resolved {
    frames: FxHashMap<(FrameId, Option<Interpreter>), Option<FrameIndex>>,
    position: Position,
}

/// A stack that others are inside of.
struct Outer {
    /// What it has become; `None` if nothing of it may be shown.
    stack: Option<StackIndex>,
    /// Its innermost frame that is of compiled code, or whatever it begins with.
    native: RawFrame,
    begins_unknown: bool,
}

/// The sets of labels of a window as those of the profile; found when asked for.
struct LabelsOf<'w> {
    window: &'w Window,
    known: FxHashMap<LabelSetId, (LabelsIndex, TraceIndex, Option<Request>)>,
}

impl<'w> LabelsOf<'w> {
    fn new(window: &'w Window) -> Self {
        Self { window, known: FxHashMap::default() }
    }

    /// The labels; and the request if they are for one alone, with its place in a trace.
    fn index(&mut self, tables: &mut Tables<'_>, set: LabelSetId) -> (LabelsIndex, TraceIndex, Option<Request>) {
        *self.known.entry(set).or_insert_with(|| {
            // The window has all sets that its samples refer to.
            let Purpose { labels, request } = self.window.labels.get(set).cloned().unwrap_or_default();
            (LabelsIndex(handle(tables.labels.insert_full(labels).0)), tables.trace(request), request)
        })
    }
}

impl Resolved {
    fn new(position: Position) -> Self {
        Self { frames: FxHashMap::default(), position }
    }

    /// The frame of the profile; `None` if it may not be shown, or says nothing. `native` is the next one outwards that is of compiled
    /// code.
    fn get(
        &mut self,
        tables: &mut Tables<'_>,
        (frame, raw): (FrameId, &RawFrame),
        native: Option<RawFrame>,
    ) -> Option<FrameIndex> {
        let position = self.position;
        let interpreter = tables.interpreter(raw, native);
        *self.frames.entry((frame, interpreter)).or_insert_with(|| tables.resolve(raw, interpreter, position))
    }
}

impl<'r> Tables<'r> {
    fn new(recording: &'r Recording<'r>, scripts: &'r ScriptFunctions) -> Self {
        Self {
            recording,
            files: IndexSet::default(),
            scripts: None,
            recording_scripts: scripts,
            libraries: IndexMap::default(),
            functions: IndexMap::default(),
            frames: IndexSet::default(),
            stacks: IndexSet::default(),
            labels: IndexSet::from_iter([Arc::default()]),
            traces: IndexSet::from_iter([None]),
        }
    }

    fn trace(&mut self, request: Option<Request>) -> TraceIndex {
        match request.and_then(|request| request.trace) {
            None => TraceIndex(0),
            trace => TraceIndex(handle(self.traces.insert_full(trace).0)),
        }
    }

    /// Adds the stacks of a window that samples of the period refer to, and returns what each has become for them.
    ///
    /// A stack may be the whole of one sample and the callers in another. The two differ in how the address of the
    /// last frame is read, so they are two stacks of the profile; only those that are needed are made.
    fn stacks(&mut self, window: &Window, period: &Range<Duration>) -> Vec<Option<StackIndex>> {
        let count = window.stacks.stack_count();
        let mut is_sampled = vec![false; count];
        for entry in window.threads.values().flat_map(|thread| thread.timeline.of(period)) {
            is_sampled[entry.stack.0 as usize] = true;
        }
        // Callers come first, so that going backwards meets them last.
        let mut is_caller = vec![false; count];
        for (index, (caller, _)) in (0..count).rev().zip(window.stacks.stacks().rev()) {
            if let (Some(caller), true) = (caller, is_sampled[index] || is_caller[index]) {
                is_caller[caller.0 as usize] = true;
            }
        }
        let (mut innermost, mut callers) = (Resolved::new(Position::Innermost), Resolved::new(Position::Caller));
        let mut as_sample: Vec<Option<StackIndex>> = vec![None; count];
        // By stack, of those that have called something.
        let mut known: FxHashMap<StackId, Outer> = FxHashMap::default();
        for (index, (caller, id)) in window.stacks.stacks().enumerate() {
            if !is_sampled[index] && !is_caller[index] {
                continue;
            }
            // The window has all frames that its stacks refer to.
            let Some(frame) = window.stacks.frame(id) else { continue };
            let caller = caller.and_then(|caller| known.get(&caller));
            let begins_unknown = caller.map_or(*frame == RawFrame::UnknownCallers, |caller| caller.begins_unknown);
            let native = caller.map(|caller| caller.native);
            let outer = caller.and_then(|caller| caller.stack);
            let outer = outer.or_else(|| if begins_unknown { None } else { self.entry_stack(frame) });
            // A frame that the map does not know is left out, not its stack.
            let push = |tables: &mut Self, resolved: &mut Resolved| match resolved.get(tables, (id, frame), native) {
                Some(frame) => {
                    let position = resolved.position;
                    let frame = native.and_then(|from| tables.host_import(frame, &from, position)).unwrap_or(frame);
                    Some(tables.push(outer, frame))
                }
                None => outer,
            };
            if is_sampled[index] {
                as_sample[index] = push(self, &mut innermost);
            }
            if is_caller[index] {
                let stack = push(self, &mut callers);
                let native = native.filter(|_| !is_native(frame)).unwrap_or(*frame);
                known.insert(StackId(handle(index)), Outer { stack, native, begins_unknown });
            }
        }
        as_sample
    }

    /// The frame of the imported function, if `frame` is that of a trampoline for a call of the host which tells the signature
    /// only, and `from`, where it was called, tells more.
    fn host_import(&mut self, frame: FrameIndex, from: &RawFrame, position: Position) -> Option<FrameIndex> {
        let RawFrame::Text { target, offset } = *from else { return None };
        let function = &self.functions[self.frames[frame.index()].function.index()];
        if function.kind != FunctionKind::HostCall {
            return None;
        }
        let signature = function.name.clone();
        let site = CodePoint::ReturnAddress(offset).lookup_offset();
        let recording = self.recording;
        let of = recording.targets.get(target)?;
        let import = of.host_import(site, &signature)?;
        let names = of.map().host_imports().get(import)?;
        let key = FunctionKey::HostImport { target, import };
        let library = LibraryKey::HostImports { target, module: names.module.to_string() };
        let library = self.library(library, || ProfileLibrary {
            name: format!("{} ({})", names.module, Direction::Import.name()),
            layer: Layer::Trampoline,
            component: None,
        });
        let function = self.functions.entry(key);
        let index = FunctionIndex(handle(function.index()));
        // Several share the text of one trampoline, so they are told apart by their numbers instead.
        function.or_insert_with(|| ProfileFunction {
            offset: import,
            size: 1,
            interface: Some(names.module.to_string()),
            interface_function: Some(names.function.to_string()),
            direction: Some(Direction::Import),
            ends: Ends::import(Some(of.map().component().to_owned())),
            ..ProfileFunction::without_interface(names.function.to_string(), library, FunctionKind::HostCall)
        });
        let point = position.point_of(TextOffset::new(import), TextOffset::new(import.saturating_add(1)));
        Some(self.frame(Frame { function: index, point, instruction: None, source: None }))
    }

    /// Whether a stack ends in the code of the tracer: what it needs to say that it is at work, and that it no longer is.
    fn is_own_work(&self, stack: StackIndex) -> bool {
        let frame = self.stacks[stack.index()].frame;
        let function = &self.functions[self.frames[frame.index()].function.index()];
        function.kind == FunctionKind::Host && OWN_CODE.iter().any(|part| function.name.contains(part))
    }

    /// The growths of memories in the period, with their stacks.
    fn growths(&mut self, recording: &Recording<'_>, period: &Range<Duration>) -> Vec<MemoryGrowth> {
        let log = &recording.memories;
        let kept = log.growths.kept().map(|kept| &kept.value);
        let mut kept: Vec<&Growth> = kept.filter(|growth| period.contains(&growth.time)).collect();
        kept.sort_by_key(|growth| growth.time);
        let growths = kept.into_iter().filter_map(|growth| {
            let stack = self.stack_of_callers(&growth.stack);
            let memory = log.memories.get_index_of(&growth.memory)?;
            let time = growth.time.saturating_sub(period.start);
            Some(MemoryGrowth { memory, time, from: growth.from, to: growth.to, stack })
        });
        growths.collect()
    }

    /// The stack of frames all of which wait for what they have called, innermost first.
    fn stack_of_callers(&mut self, frames: &[RawFrame]) -> Option<StackIndex> {
        let (mut stack, mut native) = (None, None);
        for frame in frames.iter().rev() {
            let interpreter = self.interpreter(frame, native);
            if let Some(frame) = self.resolve(frame, interpreter, Position::Caller) {
                stack = Some(self.push(stack, frame));
            }
            native = native.filter(|_| !is_native(frame)).or(Some(*frame));
        }
        stack
    }

    fn push(&mut self, caller: Option<StackIndex>, frame: FrameIndex) -> StackIndex {
        let (stack, _) = self.stacks.insert_full(Stack { caller, frame });
        StackIndex(handle(stack))
    }

    /// The stack of the entry trampoline that the outermost guest frame was entered through. A backtrace of
    /// Wasmtime leaves it out, but the host has no other way in.
    fn entry_stack(&mut self, outermost: &RawFrame) -> Option<StackIndex> {
        let RawFrame::Wasm { target, module, function, .. } = *outermost else { return None };
        let map = self.recording.targets.get(target)?.map();
        let function = map.entry_of(map.core_function(module, function)?)?;
        let frame = self.compiled(target, function, None, Position::Caller)?;
        Some(self.push(None, frame))
    }

    /// Makes a frame of the profile; `None` if the map has no such function, or the frame is none.
    fn resolve(
        &mut self,
        frame: &RawFrame,
        interpreter: Option<Interpreter>,
        position: Position,
    ) -> Option<FrameIndex> {
        match *frame {
            RawFrame::Wasm { target, module, function, instruction } => {
                let map = self.recording.targets.get(target)?.map();
                let function = map.core_function(module, function)?;
                self.compiled(target, function, instruction, position)
            }
            RawFrame::Text { target, offset } => self.text(target, offset, position),
            RawFrame::Host { address } => Some(self.host(address, position)),
            RawFrame::HiddenHost => Some(self.other(FunctionKind::Host, position)),
            RawFrame::Unregistered => Some(self.other(FunctionKind::Unregistered, position)),
            RawFrame::Elided => Some(self.other(FunctionKind::Elided, position)),
            RawFrame::Suspended => Some(self.other(FunctionKind::Suspended, position)),
            RawFrame::UnknownCallers => None,
            RawFrame::Script { function, instruction } => {
                Some(self.script((function, instruction), interpreter, position))
            }
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
    ) -> Option<FrameIndex> {
        let of = self.recording.targets.get(target)?;
        let map = of.map();
        let (start, size) = (map.function(function).offset(), map.function(function).size());
        let range = instruction.and_then(|instruction| of.instructions()?.range_of((start, size), instruction));
        let (first, end) = range.unwrap_or((start, TextOffset::new(start.get().saturating_add(1))));
        let point = position.point_of(first, end);
        Some(self.compiled_frame(of, function, point, instruction))
    }

    /// A frame of which the place in the text section is known.
    fn text(&mut self, target: u32, offset: TextOffset, position: Position) -> Option<FrameIndex> {
        let point = position.point_of(offset, offset);
        let of = self.recording.targets.get(target)?;
        let map = of.map();
        let function = map.lookup_id(point.lookup_offset())?;
        let place = (map.function(function).offset(), map.function(function).size());
        let instructions = of.instructions();
        let instruction = instructions.and_then(|ranges| ranges.instruction_at(place, point.lookup_offset()));
        Some(self.compiled_frame(of, function, point, instruction))
    }

    fn compiled_frame(
        &mut self,
        of: Target<'_>,
        function: FunctionId,
        point: CodePoint,
        instruction: Option<WasmOffset>,
    ) -> FrameIndex {
        let layer = of.map().function(function).layer();
        // Adapters are compiled from bytes of their own, which nobody else has.
        let instruction = instruction.filter(|_| layer == Layer::Guest);
        let function = self.compiled_function(of, function);
        self.frame(Frame { function, point, instruction, source: None })
    }

    fn host(&mut self, address: u64, position: Position) -> FrameIndex {
        let lookup = match position {
            Position::Innermost => address,
            Position::Caller => address.saturating_sub(1),
        };
        let Some(place) = (self.recording.host_place)(lookup) else {
            return self.other(FunctionKind::Host, position);
        };
        let symbol = self.recording.host_symbols.find(&place);
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

    /// The interpreter that runs the function of a script: the next frame outwards that is of compiled code.
    fn interpreter(&self, frame: &RawFrame, native: Option<RawFrame>) -> Option<Interpreter> {
        let (RawFrame::Script { .. }, Some(native)) = (frame, native) else { return None };
        let (target, function) = match native {
            RawFrame::Text { target, offset } => {
                let site = CodePoint::ReturnAddress(offset).lookup_offset();
                (target, self.recording.targets.get(target)?.map().lookup_id(site)?)
            }
            RawFrame::Wasm { target, module, function, .. } => {
                (target, self.recording.targets.get(target)?.map().core_function(module, function)?)
            }
            _ => return None,
        };
        Some((target, self.recording.targets.get(target)?.map().library_id(function)))
    }

    /// A function of a script, at the line of an instruction.
    fn script(
        &mut self,
        (number, instruction): (u32, u32),
        interpreter: Option<Interpreter>,
        position: Position,
    ) -> FrameIndex {
        let scripts = self.scripts.get_or_insert_with(|| {
            let mut functions = self.recording.scripts.by_number();
            functions.extend(self.recording_scripts.by_number());
            ScriptTable::new(functions)
        });
        let found = scripts.find(number, instruction);
        let number = found.as_ref().map_or(number, |found| found.number);
        // Of what is not known, the instruction tells the language.
        let language = match &found {
            Some(found) => found.function.format.language(),
            None => Language::ALL.get(instruction as usize).copied().unwrap_or(Language::Python),
        };
        let of = interpreter.and_then(|(target, library)| Some((self.recording.targets.get(target)?, library)));
        let component = of.map(|(target, library)| {
            let map = target.map();
            let component = map.libraries().get(library.0 as usize).and_then(|library| library.component.clone());
            component.unwrap_or_else(|| map.component().to_owned())
        });
        let is_interpreters = found.as_ref().is_some_and(|found| found.function.is_interpreters);
        // Of a program, or of the interpreter, which is a part of the guest as any other.
        let (kind, layer) = match is_interpreters {
            false => (FunctionKind::Script, Layer::Script),
            true => (FunctionKind::Guest, Layer::Guest),
        };
        let row = || {
            let language = if is_interpreters { SELF_HOSTED } else { language.name() };
            let name = component.as_ref().map_or_else(|| language.to_owned(), |name| format!("{name} ({language})"));
            ProfileLibrary { name, layer, component: component.clone() }
        };
        let library = self.library(LibraryKey::Scripts { interpreter, language, is_interpreters }, row);
        let index = match self.functions.get_index_of(&FunctionKey::Script { interpreter, number }) {
            Some(known) => FunctionIndex(handle(known)),
            None => {
                let begin = found.as_ref().map(|found| {
                    let (file, at) = script_place(found, of.map(|(target, _)| target), found.start);
                    (file, at.map(|at| at.line).filter(|line| *line > 0))
                });
                let file = begin.as_ref().and_then(|(file, _)| self.file_of_script(file));
                let name = found.as_ref().map(|found| script_name(found, of.map(|(target, _)| target)));
                let name = name.unwrap_or_else(|| UNKNOWN_SCRIPT.to_owned());
                // They have no text, so they are told apart by their numbers.
                let function = ProfileFunction {
                    offset: number,
                    size: 1,
                    file,
                    first_line: begin.and_then(|(_, line)| line),
                    ..ProfileFunction::without_interface(name, library, kind)
                };
                FunctionIndex(handle(
                    self.functions.insert_full(FunctionKey::Script { interpreter, number }, function).0,
                ))
            }
        };
        let place = found.as_ref().map(|found| script_place(found, of.map(|(target, _)| target), found.at));
        let source = place.and_then(|(file, at)| {
            let (file, at) = (self.file_of_script(&file)?, at.filter(|at| at.line > 0)?);
            Some(SourceLine { file, line: at.line, column: (at.column > 0).then_some(at.column) })
        });
        let point = position.point_of(TextOffset::new(number), TextOffset::new(number.saturating_add(1)));
        self.frame(Frame { function: index, point, instruction: None, source })
    }

    /// A file of scripts; none if it has no name.
    fn file_of_script(&mut self, path: &str) -> Option<FileIndex> {
        (!path.is_empty()).then(|| FileIndex(handle(self.files.insert_full(path.to_owned()).0)))
    }

    /// A frame that stands for others, or for none.
    fn other(&mut self, kind: FunctionKind, position: Position) -> FrameIndex {
        let (library, name) = match kind {
            FunctionKind::Suspended => ("host", "suspended"),
            FunctionKind::Unregistered => OTHER_CODE,
            FunctionKind::Elided => ELIDED,
            _ => (HOST, HOST),
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

    fn library(&mut self, key: LibraryKey, row: impl FnOnce() -> ProfileLibrary) -> LibraryIndex {
        let library = self.libraries.entry(key);
        let index = LibraryIndex(handle(library.index()));
        library.or_insert_with(row);
        index
    }

    fn compiled_function(&mut self, of: Target<'_>, function: FunctionId) -> FunctionIndex {
        let (target, map) = (of.number(), of.map());
        let key = FunctionKey::Compiled { target, function };
        if let Some(index) = self.functions.get_index_of(&key) {
            return FunctionIndex(handle(index));
        }
        let library = LibraryKey::Compiled { target, library: map.library_id(function) };
        let function = map.function(function);
        let library_row = || {
            let library = function.library();
            ProfileLibrary { name: library.name.clone(), layer: library.layer, component: library.component.clone() }
        };
        let row = ProfileFunction {
            name: function.name().into_owned(),
            library: self.library(library, library_row),
            kind: function.kind(),
            interface: function.interface().map(str::to_owned),
            interface_function: function.interface_function().map(str::to_owned),
            direction: function.direction(),
            ends: function.ends().clone(),
            offset: function.offset().get(),
            size: function.size(),
            file: None,
            first_line: None,
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

/// The library, and the function of it, that stand for frames that are left out.
pub(crate) const ELIDED: (&str, &str) = ("elided", "(frames left out)");

/// The library, and the function of it, that stand for code that may not be shown.
pub(super) const OTHER_CODE: (&str, &str) = ("other code", "(not shown)");

/// A position in a table.
pub(super) fn handle(index: usize) -> u32 {
    // A table of 2^32 rows would have exhausted memory long before.
    u32::try_from(index).unwrap_or(u32::MAX)
}
