//! The Firefox Profiler's processed profile format, written with `fxprof-processed-profile` 0.8.1 (format version 55).
//!
//! Layers are categories with a colour each, interfaces are subcategories, and every library brings its symbols, so
//! that the file needs no symbol server. The front-end counts samples, not time, and epoch samples are not evenly
//! spaced, so each sample is weighted with the intervals it stands for; rounding is carried over from one sample to
//! the next, and the weights of a thread add up to its recorded wall time.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use fxprof::debugid::DebugId;
use fxprof_processed_profile as fxprof;

use crate::address::CodePoint;
use crate::error::{Error, Result};
use crate::profile::{Frame, LibraryIndex, Profile, Thread};
use crate::symbols::Layer;

/// Writes `profile` as JSON that <https://profiler.firefox.com> opens.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_firefox(profile: &Profile, out: &mut dyn Write) -> Result<()> {
    let document = Document::new(profile).build();
    let error = |source: io::Error| Error::Write { format: "Firefox", source };
    let mut out = MetaInserter { out, skip: META.len() };
    serde_json::to_writer(&mut out, &document).map_err(|source| error(source.into()))
}

/// How every serialized profile begins.
const META: &[u8] = b"{\"meta\":{";

/// Entries of `meta` that the front-end reads and fxprof 0.8.1 cannot write: names are complete, so it must not look
/// for more of them; and threads are in the order in which they should be shown.
const EXTRA_META: &[u8] = b"\"symbolicationNotSupported\":true,\"keepProfileThreadOrder\":true,";

/// Passes everything on, and adds [`EXTRA_META`] behind the opening of `meta`.
struct MetaInserter<'w> {
    out: &'w mut dyn Write,
    /// Bytes of [`META`] still to come.
    skip: usize,
}

impl Write for MetaInserter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.skip == 0 {
            return self.out.write(bytes);
        }
        let head = &bytes[..bytes.len().min(self.skip)];
        if !META[META.len() - self.skip..].starts_with(head) {
            return Err(io::Error::other("fxprof-processed-profile begins a profile in an unknown way"));
        }
        self.out.write_all(head)?;
        self.skip -= head.len();
        if self.skip == 0 {
            self.out.write_all(EXTRA_META)?;
        }
        Ok(head.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A document being built from a profile.
struct Document<'p> {
    profile: &'p Profile,
    out: fxprof::Profile,
    process: fxprof::ProcessHandle,
    categories: HashMap<Layer, fxprof::CategoryHandle>,
    subcategories: HashMap<(Layer, &'p str), fxprof::CategoryPairHandle>,
    libraries: Vec<fxprof::LibraryHandle>,
}

impl<'p> Document<'p> {
    fn new(profile: &'p Profile) -> Self {
        let interval = fxprof::SamplingInterval::from_nanos(nanos(profile.interval()).max(1));
        let product = format!("{} (witprof)", profile.name());
        let mut out = fxprof::Profile::new(&product, profile.started_at().into(), interval);
        out.set_os_name(std::env::consts::OS);
        out.set_symbolicated(true);
        let start = fxprof::Timestamp::from_nanos_since_reference(0);
        let process = out.add_process(profile.name(), 0, start);
        out.set_process_end_time(process, fxprof::Timestamp::from_nanos_since_reference(nanos(profile.elapsed())));
        let categories =
            Layer::ALL.into_iter().map(|layer| (layer, out.add_category(category_name(layer), color(layer)))).collect();
        let libraries = (0..u32::try_from(profile.libraries().len()).unwrap_or(u32::MAX))
            .map(|index| out.add_lib(library(profile, LibraryIndex(index))))
            .collect();
        Self { profile, out, process, categories, subcategories: HashMap::new(), libraries }
    }

    fn build(mut self) -> fxprof::Profile {
        for (index, thread) in self.profile.threads().iter().enumerate() {
            self.thread(index, thread);
        }
        // A file without threads does not open.
        if self.profile.threads().is_empty() {
            let start = fxprof::Timestamp::from_nanos_since_reference(0);
            let thread = self.out.add_thread(self.process, 1, start, true);
            self.out.add_initial_visible_thread(thread);
        }
        self.out
    }

    fn thread(&mut self, index: usize, thread: &Thread) {
        let start = fxprof::Timestamp::from_nanos_since_reference(0);
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        // A main thread is labelled with the process name, which is the component's.
        let handle = self.out.add_thread(self.process, number, start, index == 0);
        self.out.set_thread_name(handle, &format!("{} ({})", self.profile.name(), thread.name));
        let end = fxprof::Timestamp::from_nanos_since_reference(nanos(self.profile.elapsed()));
        self.out.set_thread_end_time(handle, end);
        // By default a thread with little activity is hidden.
        self.out.add_initial_visible_thread(handle);
        if index == 0 {
            self.out.add_initial_selected_thread(handle);
        }

        let mut stacks = vec![None; self.profile.stacks().len()];
        let mut weights = Weights::new(self.profile.interval());
        for sample in &thread.samples {
            let stack = self.stack(handle, sample.stack.index(), &mut stacks);
            let time = fxprof::Timestamp::from_nanos_since_reference(nanos(sample.time));
            let cpu = fxprof::CpuDelta::from_nanos(nanos(sample.cpu));
            self.out.add_sample(handle, time, stack, cpu, weights.next(sample.wall));
        }
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
            let frame = self.profile.stacks()[index].frame;
            let frame = self.frame(&self.profile.frames()[frame.index()]);
            let frame = self.out.intern_frame(thread, frame);
            caller = Some(self.out.intern_stack(thread, caller, frame));
            stacks[index] = caller;
        }
        caller
    }

    fn frame(&mut self, frame: &Frame) -> fxprof::FrameInfo {
        let function = &self.profile.functions()[frame.function.index()];
        let library = self.libraries[function.library.index()];
        let layer = self.profile.libraries()[function.library.index()].layer;
        let address = match frame.point {
            CodePoint::InstructionPointer(offset) => {
                fxprof::Frame::RelativeAddressFromInstructionPointer(library, offset.get())
            }
            CodePoint::ReturnAddress(offset) => fxprof::Frame::RelativeAddressFromReturnAddress(library, offset.get()),
        };
        let category = self.categories[&layer];
        let category_pair = match function.interface.as_deref() {
            Some(interface) => *self
                .subcategories
                .entry((layer, interface))
                .or_insert_with(|| self.out.add_subcategory(category, interface)),
            None => category.into(),
        };
        fxprof::FrameInfo { frame: address, category_pair, flags: fxprof::FrameFlags::empty() }
    }
}

/// Turns times into whole numbers of intervals, which add up to the sum of the times.
struct Weights {
    interval: u128,
    total: u128,
    given: u128,
}

impl Weights {
    fn new(interval: Duration) -> Self {
        Self { interval: interval.as_nanos().max(1), total: 0, given: 0 }
    }

    fn next(&mut self, wall: Duration) -> i32 {
        self.total += wall.as_nanos();
        let due = (self.total + self.interval / 2) / self.interval;
        let weight = i32::try_from(due - self.given).unwrap_or(i32::MAX);
        self.given += u128::from(weight.unsigned_abs());
        weight
    }
}

/// All symbols of a library that were sampled.
fn library(profile: &Profile, index: LibraryIndex) -> fxprof::LibraryInfo {
    let name = &profile.libraries()[index.index()].name;
    let symbols = profile
        .functions()
        .iter()
        .filter(|function| function.library == index)
        .map(|function| fxprof::Symbol {
            address: function.offset,
            size: Some(function.size),
            name: function.name.clone(),
        })
        .collect();
    fxprof::LibraryInfo {
        name: name.clone(),
        debug_name: name.clone(),
        path: name.clone(),
        debug_path: name.clone(),
        debug_id: DebugId::nil(),
        code_id: None,
        arch: None,
        symbol_table: Some(Arc::new(fxprof::SymbolTable::new(symbols))),
    }
}

fn category_name(layer: Layer) -> &'static str {
    match layer {
        Layer::Guest => "Guest",
        Layer::Adapter => "Adapter",
        Layer::Trampoline => "Trampoline",
        Layer::Host => "Host",
    }
}

fn color(layer: Layer) -> fxprof::CategoryColor {
    match layer {
        Layer::Guest => fxprof::CategoryColor::Blue,
        Layer::Adapter => fxprof::CategoryColor::Orange,
        Layer::Trampoline => fxprof::CategoryColor::Yellow,
        Layer::Host => fxprof::CategoryColor::Purple,
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
