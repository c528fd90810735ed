//! The Firefox Profiler's processed profile format, written with `fxprof-processed-profile` 0.8.1 (format version 55).
//!
//! Layers are categories with a colour each, interfaces are subcategories, and every library brings its symbols, so
//! that the file needs no symbol server.
//!
//! The front-end takes samples to be evenly spaced, and epoch samples are not. So each is weighted with the time it
//! stands for, in milliseconds, and a sample that stands for more than an interval becomes two rows: the front-end draws
//! a stack from its row to the next one, and would otherwise draw the time before a sample under the stack that came
//! before it.
//!
//! What fxprof cannot write is put into the stream by [`Patch`]: numbers with fractions, lines of source code and inlined
//! functions ([`frames`]), and some entries of `meta`, one of which is [`Meta`]: what the format has no place for, and
//! reading back needs ([`crate::read_firefox`]).
//!
//! The threads are there twice: in a second process, the same samples are stacked by interface function, so that the
//! front-end's flame graph is the breakdown by interface.

mod calls;
mod categories;
mod frames;
mod host_calls;
mod markers;
mod memories;
mod meta;
mod patch;
mod rows;

use std::io::Write;
use std::rc::Rc;
use std::str::FromStr as _;
use std::sync::Arc;
use std::time::Duration;

use fxprof::debugid::DebugId;
use fxprof_processed_profile as fxprof;
use serde::Serialize as _;

use self::categories::{Categories, Category};
use self::frames::FrameNumbers;
pub(crate) use self::meta::{Meta, MetaCall, MetaCalls, MetaMemory, MetaSpan, VERSION as META_VERSION};
use self::patch::Patch;
pub(crate) use self::rows::joined;
use self::rows::rows;
use crate::error::{Error, Result};
use crate::nanos::nanos;
use crate::profile::{Dimension, FrameIndex, Label, LibraryIndex, Profile, StackIndex, Thread, Tree};
use crate::samples::HostCalls;
use crate::symbols::Layer;

/// Writes `profile` as JSON that <https://profiler.firefox.com> opens.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_firefox(profile: &Profile, out: &mut dyn Write) -> Result<()> {
    write(Document::new(profile), out)
}

/// The same with markers for calls of the host, on the first thread.
///
/// # Errors
/// As for [`write_firefox`].
pub(crate) fn write_with_host_calls(profile: &Profile, host_calls: &HostCalls, out: &mut dyn Write) -> Result<()> {
    write(Document { host_calls: Some(host_calls), ..Document::new(profile) }, out)
}

fn write(document: Document<'_>, out: &mut dyn Write) -> Result<()> {
    let patch = Patch::new(document.profile, document.numbers.clone());
    let mut serializer = serde_json::Serializer::with_formatter(out, patch);
    let written = document.build().serialize(&mut serializer);
    written.map_err(|source| Error::Write { format: "Firefox", source: source.into() })
}

/// The number of the process whose threads repeat those of the first, by interface.
pub(crate) const INTERFACES_PROCESS: u32 = 1;

/// The most components that the name of a thread names.
const MAX_COMPONENTS: usize = 3;

/// A document being built from a profile.
struct Document<'p> {
    profile: &'p Profile,
    host_calls: Option<&'p HostCalls>,
    out: fxprof::Profile,
    categories: Categories,
    libraries: Vec<fxprof::LibraryHandle>,
    numbers: Rc<FrameNumbers>,
    /// By thread.
    thread_names: Vec<String>,
}

impl<'p> Document<'p> {
    fn new(profile: &'p Profile) -> Self {
        let interval = fxprof::SamplingInterval::from_nanos(nanos(profile.interval()).max(1));
        let product = format!("{} (witprof)", profile.name());
        let mut out = fxprof::Profile::new(&product, profile.started_at().into(), interval);
        out.set_os_name(std::env::consts::OS);
        out.set_symbolicated(true);
        let categories = Categories::new(&mut out);
        let numbers = Rc::new(FrameNumbers::new(profile));
        let libraries = (0..u32::try_from(profile.libraries().len()).unwrap_or(u32::MAX))
            .map(|index| out.add_lib(library(profile, LibraryIndex(index), &numbers)))
            .collect();
        let thread_names = profile.threads().iter().map(|thread| thread_name(profile, thread)).collect();
        Self { profile, host_calls: None, out, categories, libraries, numbers, thread_names }
    }

    fn build(mut self) -> fxprof::Profile {
        let process = self.process(&self.process_name(""), 0);
        let mut markers_left = markers::budget();
        let mut handles = Vec::new();
        for (index, thread) in self.profile.threads().iter().enumerate() {
            let handle = self.thread(process, index);
            handles.push(handle);
            if index == 0 {
                self.host_calls(handle);
            }
            let mut stacks = vec![None; self.profile.stacks().len()];
            self.samples(handle, thread, |document, stack| document.stack(handle, stack, &mut stacks));
            if index == 0 {
                self.memories(process, handle, &mut stacks);
            }
            let category = self.categories.handle(Category::Layer(Layer::Guest));
            for stretch in markers::stretches(self.profile, thread, &mut markers_left) {
                stretch.add(&mut self.out, handle, category);
            }
        }
        // A file without threads does not open.
        if self.profile.threads().is_empty() {
            let handle = self.thread(process, 0);
            self.host_calls(handle);
            self.memories(process, handle, &mut vec![None; self.profile.stacks().len()]);
            self.calls_and_spans(&[handle]);
            return self.out;
        }
        self.calls_and_spans(&handles);
        self.interfaces();
        self.out
    }

    /// Markers for calls of the host, which are one guest's.
    fn host_calls(&mut self, thread: fxprof::ThreadHandle) {
        if let Some(calls) = self.host_calls {
            let category = self.categories.handle(Category::Layer(Layer::Host));
            host_calls::add(calls, self.profile.elapsed(), &mut self.out, thread, category);
        }
    }

    /// The same samples, stacked by interface function alone.
    fn interfaces(&mut self) {
        let mut tree = Tree::without_samples(self.profile, Dimension::Interface);
        let stacks = (0..u32::try_from(self.profile.stacks().len()).unwrap_or(u32::MAX)).map(StackIndex);
        let nodes: Vec<u32> = stacks.map(|stack| tree.node_of(stack)).collect();
        let process = self.process(&self.process_name(" by interface"), INTERFACES_PROCESS);
        for (index, thread) in self.profile.threads().iter().enumerate() {
            let number = self.profile.threads().len() + index;
            let handle = self.thread(process, number);
            let mut made: Vec<Option<fxprof::StackHandle>> = vec![None; tree.nodes().len()];
            self.samples(handle, thread, |document, stack| {
                document.interface_stack(handle, nodes[stack], &tree, &mut made)
            });
        }
    }

    /// The name of a process, which is all that the front-end shows of its first thread.
    fn process_name(&self, what: &str) -> String {
        let thread = self.thread_names.first().map(|thread| format!(": {thread}"));
        format!("{}{what}{}", self.profile.name(), thread.unwrap_or_default())
    }

    fn process(&mut self, name: &str, number: u32) -> fxprof::ProcessHandle {
        let process = self.out.add_process(name, number, timestamp(Duration::ZERO));
        self.out.set_process_end_time(process, timestamp(self.profile.elapsed()));
        process
    }

    /// Adds a thread. The first of a process is the main one, which the front-end labels with the name of the process.
    fn thread(&mut self, process: fxprof::ProcessHandle, index: usize) -> fxprof::ThreadHandle {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let in_process = index % self.profile.threads().len().max(1);
        let handle = self.out.add_thread(process, number, timestamp(Duration::ZERO), in_process == 0);
        if let Some(name) = self.thread_names.get(in_process) {
            self.out.set_thread_name(handle, name);
        }
        self.out.set_thread_end_time(handle, timestamp(self.profile.elapsed()));
        self.out.set_thread_samples_weight_type(handle, fxprof::WeightType::TracingMs);
        // By default a thread with little activity is hidden.
        self.out.add_initial_visible_thread(handle);
        // Which interface is slow comes first.
        if index == self.profile.threads().len() {
            self.out.add_initial_selected_thread(handle);
        }
        handle
    }

    /// Adds the samples of a thread; `stack` makes the stack of each.
    fn samples(
        &mut self,
        handle: fxprof::ThreadHandle,
        thread: &Thread,
        mut stack: impl FnMut(&mut Self, usize) -> Option<fxprof::StackHandle>,
    ) {
        let mut last = Duration::ZERO;
        for sample in &thread.samples {
            let stack = stack(self, sample.stack.index());
            for row in rows(sample, self.profile.interval(), last) {
                // Both in nanoseconds; see `Patch`.
                let cpu = fxprof::CpuDelta::from_micros(nanos(row.cpu));
                let weight = i32::try_from(row.wall.as_nanos()).unwrap_or(i32::MAX);
                self.out.add_sample(handle, timestamp(row.time), stack, cpu, weight);
                last = row.time;
            }
        }
    }

    /// The stack of a node of the tree of interfaces.
    fn interface_stack(
        &mut self,
        thread: fxprof::ThreadHandle,
        node: u32,
        tree: &Tree<'p>,
        made: &mut [Option<fxprof::StackHandle>],
    ) -> Option<fxprof::StackHandle> {
        let missing: Vec<u32> = tree.path(node).take_while(|at| made[*at as usize].is_none()).collect();
        let mut caller = tree.path(node).nth(missing.len()).and_then(|at| made[at as usize]);
        for node in missing.into_iter().rev() {
            let label = tree.label(node);
            let category = match (tree.crossing(label), label) {
                (Some(crossing), _) => Category::behind(crossing.direction),
                (None, Label::Boundary) => Category::Boundary,
                (None, _) => Category::Layer(Layer::Guest),
            };
            // The boundary is that of the interface above.
            let crossing = tree.path(node).find_map(|at| tree.crossing(tree.label(at)));
            let interface = crossing.map(|crossing| crossing.interface.as_str());
            let category_pair = self.categories.get(&mut self.out, category, interface);
            let name = fxprof::Frame::Label(self.out.intern_string(&tree.name(label)));
            let frame = fxprof::FrameInfo { frame: name, category_pair, flags: fxprof::FrameFlags::empty() };
            let frame = self.out.intern_frame(thread, frame);
            caller = Some(self.out.intern_stack(thread, caller, frame));
            made[node as usize] = caller;
        }
        caller
    }

    /// The stack with this index in the document; made, with its callers, when a sample of the thread needs it.
    fn stack(
        &mut self,
        thread: fxprof::ThreadHandle,
        index: usize,
        stacks: &mut [Option<fxprof::StackHandle>],
    ) -> Option<fxprof::StackHandle> {
        let mut missing = Vec::new();
        let mut at = Some(index);
        while let Some(index) = at.filter(|index| stacks[*index].is_none()) {
            missing.push(index);
            at = self.profile.stacks()[index].caller.map(|caller| caller.index());
        }
        let mut caller = at.and_then(|index| stacks[index]);
        for index in missing.into_iter().rev() {
            let frame = self.frame(thread, self.profile.stacks()[index].frame);
            caller = Some(self.out.intern_stack(thread, caller, frame));
            stacks[index] = caller;
        }
        caller
    }

    fn frame(&mut self, thread: fxprof::ThreadHandle, frame: FrameIndex) -> fxprof::FrameHandle {
        let function = &self.profile.functions()[self.profile.frames()[frame.index()].function.index()];
        let layer = self.profile.libraries()[function.library.index()].layer;
        let category = self.categories.get(&mut self.out, Category::Layer(layer), function.interface.as_deref());
        let library = self.libraries[function.library.index()];
        let handle = self.numbered(thread, library, self.numbers.of_frame(frame), category);
        if let Some(file) = self.numbers.file_of(frame) {
            self.numbered(thread, library, self.numbers.of_file(file), category);
        }
        handle
    }

    /// A frame that [`Patch`] knows by its number.
    fn numbered(
        &mut self,
        thread: fxprof::ThreadHandle,
        library: fxprof::LibraryHandle,
        number: u32,
        category_pair: fxprof::CategoryPairHandle,
    ) -> fxprof::FrameHandle {
        let frame = fxprof::Frame::RelativeAddressFromInstructionPointer(library, number);
        let flags = fxprof::FrameFlags::empty();
        self.out.intern_frame(thread, fxprof::FrameInfo { frame, category_pair, flags })
    }
}

/// A library with names for the numbers of its frames.
fn library(profile: &Profile, index: LibraryIndex, numbers: &FrameNumbers) -> fxprof::LibraryInfo {
    let name = &profile.libraries()[index.index()].name;
    let symbols = numbers.symbols(profile, index);
    fxprof::LibraryInfo {
        name: name.clone(),
        debug_name: name.clone(),
        path: name.clone(),
        debug_path: name.clone(),
        debug_id: library_id(index.index()),
        code_id: None,
        arch: None,
        symbol_table: Some(Arc::new(fxprof::SymbolTable::new(symbols))),
    }
}

/// The name of a thread, and whose code ran on it.
fn thread_name(profile: &Profile, thread: &Thread) -> String {
    let components = profile.components_of(thread);
    match components.as_slice() {
        [] => thread.name.clone(),
        [.., _] if components.len() > MAX_COMPONENTS => {
            let more = components.len() - MAX_COMPONENTS;
            format!("{} ({} and {more} more)", thread.name, components[..MAX_COMPONENTS].join(", "))
        }
        _ => format!("{} ({})", thread.name, components.join(", ")),
    }
}

/// Tells libraries from each other, which may have equal names.
fn library_id(index: usize) -> DebugId {
    DebugId::from_str(&format!("{index:032x}1")).unwrap_or_default()
}

fn timestamp(time: Duration) -> fxprof::Timestamp {
    fxprof::Timestamp::from_nanos_since_reference(nanos(time))
}
