//! A profile as tables that refer to each other by index.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, SystemTime};

use super::calls::CallTrace;
use super::captured::Captured;
use super::memories::{MemoryGrowth, MemoryTrack};
use super::origin::Origin;
use crate::address::{CodePoint, WasmOffset};
use crate::samples::{HandlerCost, LabelSet, ProfilerTime, SampleCounts, Span, TraceContext};
use crate::symbols::{Direction, Ends, FunctionKind, Layer};

/// An index into a table of a profile.
macro_rules! index {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub(crate) u32);

        impl $name {
            /// The position in the profile's table.
            #[must_use]
            pub fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

pub(super) use index;

index! {
    /// A library of a [`Profile`]; valid for the profile it came from.
    LibraryIndex
}
index! {
    /// A function of a [`Profile`]; valid for the profile it came from.
    FunctionIndex
}
index! {
    /// A frame of a [`Profile`]; valid for the profile it came from.
    FrameIndex
}
index! {
    /// A stack of a [`Profile`]; valid for the profile it came from.
    StackIndex
}

index! {
    /// A set of labels of a [`Profile`]; valid for the profile it came from.
    LabelsIndex
}

index! {
    /// A place in a trace of a [`Profile`]; valid for the profile it came from.
    TraceIndex
}

index! {
    /// A file of source code of a [`Profile`]; valid for the profile it came from.
    FileIndex
}

/// A line of source code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub struct SourceLine {
    /// The file it is in.
    pub file: FileIndex,
    /// Its number, from 1 on.
    pub line: u32,
    /// The column, from 1 on, if it is known.
    pub column: Option<u32>,
}

/// An artifact that samples were seen in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileLibrary {
    /// Its name. Partly chosen by the guest: escape it.
    pub name: String,
    /// Which kind of code it holds.
    pub layer: Layer,
    /// The component it is a part of, for a core module and what belongs to one. Partly chosen by the guest: escape it.
    pub component: Option<String>,
}

/// A function that samples were seen in.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct ProfileFunction {
    /// Its name, demangled. Chosen by the guest: escape it.
    pub name: String,
    /// The library it belongs to.
    pub library: LibraryIndex,
    /// What it is for.
    pub kind: FunctionKind,
    /// The WIT interface it crosses or implements.
    pub interface: Option<String>,
    /// The interface function it crosses or implements.
    pub interface_function: Option<String>,
    /// Which way the interface is crossed.
    pub direction: Option<Direction>,
    /// From which component to which the interface is crossed, as far as the component's own wiring tells.
    pub ends: Ends,
    /// Text offset of its first byte; for a function of the host, address inside of its file.
    pub offset: u32,
    /// Length of its text in bytes; for an inlined function, 0 as the offset: its text is that of others.
    pub size: u32,
    /// The file that most of its source is in, as far as is known.
    pub file: Option<FileIndex>,
    /// The line in that file that it begins with, from 1 on: of functions of scripts.
    pub first_line: Option<u32>,
}

impl ProfileFunction {
    /// A function that has nothing to do with an interface.
    pub(crate) fn without_interface(name: String, library: LibraryIndex, kind: FunctionKind) -> Self {
        Self {
            name,
            library,
            kind,
            interface: None,
            interface_function: None,
            direction: None,
            ends: Ends::default(),
            offset: 0,
            size: 0,
            file: None,
            first_line: None,
        }
    }
}

/// A place in a function. Functions that were inlined at a place have frames of their own, further in, with the same
/// `point`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Frame {
    /// The function it is in.
    pub function: FunctionIndex,
    /// Where in the text section, or in the host's file.
    pub point: CodePoint,
    /// Where in the WebAssembly binary, if known. Where the compiler did not say which instruction its code is for, that of
    /// the code before it.
    pub instruction: Option<WasmOffset>,
    /// Where in the function's source, if known: the line that runs, or that calls what is further in.
    pub source: Option<SourceLine>,
}

/// A stack: its innermost frame, and the stack of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub struct Stack {
    /// The caller's stack, which has a smaller index; `None` for the outermost frame.
    pub caller: Option<StackIndex>,
    /// The innermost frame.
    pub frame: FrameIndex,
}

/// One or more samples of the same stack, close together in time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Sample {
    /// When the last of them was taken, since the recording began. Samples of a thread are in order of time.
    pub time: Duration,
    /// What was running.
    pub stack: StackIndex,
    /// What it was running for.
    pub labels: LabelsIndex,
    /// Where that belongs in a trace.
    pub trace: TraceIndex,
    /// How many there are.
    pub count: u64,
    /// Wall-clock time that they stand for.
    pub wall: Duration,
    /// CPU time that they stand for; never more than `wall`.
    pub cpu: Duration,
    /// Time in which the thread was ready to run and had no CPU, because others had them; never more than `wall` and `cpu`
    /// leave. The rest of that is time in which it was blocked. Zero where it is [not known](Profile::preempted_time).
    pub preempted: Duration,
}

/// A thread that samples were taken on.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Thread {
    /// Its name for a reader.
    pub name: String,
    /// Its samples.
    pub samples: Vec<Sample>,
}

/// How samples are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SamplerKind {
    /// By signals: anywhere, without a change to the guest. Linux on x86-64 and AArch64.
    Signal,
    /// By epoch interruption: at function entries and loop headers, everywhere.
    Epoch,
    /// By another program.
    Other,
}

impl SamplerKind {
    /// The name used in every output: `signal`, `epoch` or `other`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Signal => "signal",
            Self::Epoch => "epoch",
            Self::Other => "other",
        }
    }
}

/// What a recording found: who ran, where, and for how long.
///
/// Contains no address of this process, and of the host nothing but the names of its threads, unless its frames were
/// asked for.
///
/// ```
/// # use witprof::Profile;
/// # fn example(profile: &Profile) {
/// for thread in profile.threads() {
///     for sample in &thread.samples {
///         // From the innermost frame outwards.
///         let mut at = Some(sample.stack);
///         while let Some(stack) = at.map(|stack| profile.stacks()[stack.index()]) {
///             let frame = profile.frames()[stack.frame.index()];
///             let function = &profile.functions()[frame.function.index()];
///             println!("{} of {}", function.name, profile.libraries()[function.library.index()].name);
///             at = stack.caller;
///         }
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Profile {
    pub(crate) name: String,
    pub(crate) sampler: SamplerKind,
    pub(crate) interval: Duration,
    pub(crate) origin: Origin,
    pub(crate) started_at: SystemTime,
    pub(crate) elapsed: Duration,
    pub(crate) counts: SampleCounts,
    pub(crate) handler_cost: Option<HandlerCost>,
    /// Whether `preempted` is known of all samples.
    pub(crate) knows_preempted: bool,
    pub(crate) profiler: ProfilerTime,
    pub(crate) libraries: Vec<ProfileLibrary>,
    pub(crate) functions: Vec<ProfileFunction>,
    pub(crate) frames: Vec<Frame>,
    /// Paths of files of source code.
    pub(crate) files: Vec<String>,
    /// What is in some of them.
    pub(crate) sources: BTreeMap<FileIndex, String>,
    /// Why there are no lines of source code.
    pub(crate) missing_lines: Vec<String>,
    pub(crate) stacks: Vec<Stack>,
    pub(crate) threads: Vec<Thread>,
    /// The first is empty.
    pub(crate) labels: Vec<LabelSet>,
    /// The first is none.
    pub(crate) traces: Vec<Option<TraceContext>>,
    pub(crate) calls: Option<CallTrace>,
    pub(crate) memories: Vec<MemoryTrack>,
    pub(crate) growths: Vec<MemoryGrowth>,
    pub(crate) spans: Vec<Span>,
    /// Spans that are not in `spans`.
    pub(crate) spans_left_out: u64,
    pub(crate) captured: Option<Captured>,
}

impl Profile {
    /// What was recorded: the name of the first registered component or module.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Which sampler recorded it.
    #[must_use]
    pub fn sampler(&self) -> SamplerKind {
        self.sampler
    }

    /// The interval between samples that was asked for.
    #[must_use]
    pub fn interval(&self) -> Duration {
        self.interval
    }

    /// What was run, by which versions, on which machine.
    #[must_use]
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Says what was run, for every output to show. Profiles are shared, so leave out what is secret.
    pub fn set_command(&mut self, command: impl Into<String>) {
        self.origin.command = Some(command.into());
    }

    /// What it was captured for, if [it was](crate::Recorder::capture_on).
    #[must_use]
    pub fn captured(&self) -> Option<&Captured> {
        self.captured.as_ref()
    }

    /// When the recording began.
    #[must_use]
    pub fn started_at(&self) -> SystemTime {
        self.started_at
    }

    /// How long the recording lasted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.elapsed
    }

    /// How many samples were taken, kept and lost.
    #[must_use]
    pub fn counts(&self) -> &SampleCounts {
        &self.counts
    }

    /// What taking the samples cost; known to the signal sampler only, and only if it took any.
    #[must_use]
    pub fn handler_cost(&self) -> Option<HandlerCost> {
        self.handler_cost
    }

    /// What the profiler itself did on the threads of the guests, such as [tracing](crate::Recorder::call_tracer) their
    /// calls: no sample and no row has it, and shares are of the time without it.
    #[must_use]
    pub fn profiler_time(&self) -> ProfilerTime {
        self.profiler
    }

    /// The libraries that samples were seen in.
    #[must_use]
    pub fn libraries(&self) -> &[ProfileLibrary] {
        &self.libraries
    }

    /// The functions that samples were seen in.
    #[must_use]
    pub fn functions(&self) -> &[ProfileFunction] {
        &self.functions
    }

    /// All frames.
    #[must_use]
    pub fn frames(&self) -> &[Frame] {
        &self.frames
    }

    /// The path of a file of source code, without what tells where it was compiled unless a
    /// [rule](crate::SymbolMapBuilder::path_map) says otherwise. Chosen by the guest: escape it, and do not trust it.
    #[must_use]
    pub fn file(&self, file: FileIndex) -> &str {
        &self.files[file.index()]
    }

    /// All files of source code, with their paths. Chosen by the guest: escape them, and do not trust them.
    pub fn files(&self) -> impl Iterator<Item = (FileIndex, &str)> {
        (0..).map(FileIndex).zip(self.files.iter().map(String::as_str))
    }

    /// What is in a file of source code, if the profile has it. Escape it.
    #[must_use]
    pub fn source_text(&self, file: FileIndex) -> Option<&str> {
        self.sources.get(&file).map(String::as_str)
    }

    /// Puts what is in a file of source code into the profile, so that whoever is given the profile sees it where the
    /// [Firefox Profiler](crate::export::write_firefox) shows sources.
    ///
    /// ```
    /// # use witprof::Profile;
    /// # fn example(profile: &mut Profile) {
    /// let files: Vec<_> = profile.files().map(|(file, path)| (file, path.to_owned())).collect();
    /// for (file, path) in files {
    ///     if path == "src/main.rs" {
    ///         profile.set_source_text(file, "fn main() {}");
    ///     }
    /// }
    /// # }
    /// ```
    pub fn set_source_text(&mut self, file: FileIndex, text: impl Into<String>) {
        if file.index() < self.files.len() {
            self.sources.insert(file, text.into());
        }
    }

    /// Why components or modules that were sampled have no lines of source code, or not all of them; a sentence for each.
    #[must_use]
    pub fn missing_lines(&self) -> &[String] {
        &self.missing_lines
    }

    /// All stacks; a stack comes after its caller's.
    #[must_use]
    pub fn stacks(&self) -> &[Stack] {
        &self.stacks
    }

    /// The threads, in order of their first sample.
    #[must_use]
    pub fn threads(&self) -> &[Thread] {
        &self.threads
    }

    /// The keys of all labels that samples have, in alphabetical order: what [`Profile::report_by_label`] may be asked for.
    #[must_use]
    pub fn label_keys(&self) -> Vec<&str> {
        let sets: BTreeSet<LabelsIndex> = self.samples().map(|sample| sample.labels).collect();
        let keys: BTreeSet<&str> =
            sets.into_iter().flat_map(|set| self.labels(set)).map(|(key, _)| key.as_str()).collect();
        keys.into_iter().collect()
    }

    /// A set of labels: keys and values, in order of the keys. Chosen by the host, perhaps from what its clients sent: escape
    /// them.
    #[must_use]
    pub fn labels(&self, labels: LabelsIndex) -> &[(String, String)] {
        &self.labels[labels.index()]
    }

    /// A place in a [trace](crate::Labels::trace); `None` of samples whose activation has none.
    #[must_use]
    pub fn trace(&self, trace: TraceIndex) -> Option<TraceContext> {
        self.traces[trace.index()]
    }

    /// Every call across an interface, if calls were [traced](crate::Recorder::call_tracer). In a
    /// [part](crate::Recorder::snapshot_of) of a recording there are none: calls are counted from the beginning on.
    #[must_use]
    pub fn calls(&self) -> Option<&CallTrace> {
        self.calls.as_ref()
    }

    /// The linear memories that were [traced](crate::Recorder::trace_memory).
    ///
    /// ```
    /// # use witprof::Profile;
    /// # fn example(profile: &Profile) {
    /// for memory in profile.memories() {
    ///     println!("{}: {} bytes at most, grown {} times", memory.name, memory.peak, memory.growths);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn memories(&self) -> &[MemoryTrack] {
        &self.memories
    }

    /// Where memories grew, in order of time: the largest growths, and a fair sample of the rest.
    #[must_use]
    pub fn memory_growths(&self) -> &[MemoryGrowth] {
        &self.growths
    }

    /// What the host [said](crate::Recorder::record_span) that it did, in order of the beginning: the longest, and a fair
    /// sample of the rest.
    #[must_use]
    pub fn spans(&self) -> &[Span] {
        &self.spans
    }

    /// How many spans were recorded, since the recording began, and are not in [`spans`](Self::spans), because there are too many.
    #[must_use]
    pub fn spans_left_out(&self) -> u64 {
        self.spans_left_out
    }

    /// Wall-clock time that all samples stand for.
    #[must_use]
    pub fn wall_time(&self) -> Duration {
        self.samples().map(|sample| sample.wall).sum()
    }

    /// CPU time that all samples stand for.
    #[must_use]
    pub fn cpu_time(&self) -> Duration {
        self.samples().map(|sample| sample.cpu).sum()
    }

    /// Time in which threads were ready to run and had no CPU, of all samples: what a machine with more CPUs would save.
    /// `None` if that is not known, because the system does not count it (Linux does, in `/proc/PID/task/TID/schedstat`), or
    /// the profile was recorded by a program that does not tell: then it is part of the time in which they were blocked.
    #[must_use]
    pub fn preempted_time(&self) -> Option<Duration> {
        self.knows_preempted.then(|| self.samples().map(|sample| sample.preempted).sum())
    }

    /// A line of source code for a reader: `src/mix.c:10`.
    pub(crate) fn line_name(&self, source: SourceLine) -> String {
        format!("{}:{}", self.file(source.file), source.line)
    }

    /// What a reader calls a function where its library is not shown beside it: the name of an adapter or trampoline is
    /// that of what it is for, so its library tells which is meant.
    pub(crate) fn shown_name<'f>(&self, function: &'f ProfileFunction) -> Cow<'f, str> {
        let library = &self.libraries[function.library.index()];
        match library.layer {
            Layer::Script | Layer::Guest | Layer::Host => Cow::Borrowed(&function.name),
            Layer::Adapter | Layer::Trampoline => Cow::Owned(format!("{} [{}]", function.name, library.name)),
        }
    }

    /// The components whose code ran on a thread, in the order of the profile's libraries.
    pub(crate) fn components_of(&self, thread: &Thread) -> Vec<&str> {
        let mut is_inside = vec![false; self.stacks.len()];
        thread.samples.iter().for_each(|sample| is_inside[sample.stack.index()] = true);
        let mut is_seen = vec![false; self.libraries.len()];
        // Callers come before what they call.
        for (index, stack) in self.stacks.iter().enumerate().rev() {
            if is_inside[index] {
                let function = self.frames[stack.frame.index()].function;
                is_seen[self.functions[function.index()].library.index()] = true;
                if let Some(caller) = stack.caller {
                    is_inside[caller.index()] = true;
                }
            }
        }
        let seen = self.libraries.iter().zip(is_seen).filter(|(_, is_seen)| *is_seen);
        let mut components: Vec<&str> = Vec::new();
        for component in seen.filter_map(|(library, _)| library.component.as_deref()) {
            if !components.contains(&component) {
                components.push(component);
            }
        }
        components
    }

    /// What tells a thread from the others: its name, with its number behind it where others are called the same.
    pub(crate) fn distinct_thread_name(&self, thread: usize) -> Cow<'_, str> {
        let name = self.threads[thread].name.as_str();
        match self.threads.iter().filter(|other| other.name == name).count() {
            0 | 1 => Cow::Borrowed(name),
            _ => Cow::Owned(format!("{name}[{}]", thread + 1)),
        }
    }

    /// The function of the innermost frame of a stack.
    pub(crate) fn leaf(&self, stack: StackIndex) -> FunctionIndex {
        self.innermost(stack).function
    }

    /// The innermost frame of a stack.
    pub(crate) fn innermost(&self, stack: StackIndex) -> Frame {
        self.frames[self.stacks[stack.index()].frame.index()]
    }

    /// A stack and those around it, from the innermost frame outwards.
    pub(crate) fn outwards(&self, stack: StackIndex) -> impl Iterator<Item = StackIndex> {
        std::iter::successors(Some(stack), |at| self.stacks[at.index()].caller)
    }

    pub(crate) fn samples(&self) -> impl Iterator<Item = &Sample> {
        self.threads.iter().flat_map(|thread| &thread.samples)
    }
}
