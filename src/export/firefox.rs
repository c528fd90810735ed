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
//! What fxprof cannot write is put into the stream by [`Patch`]: weights with fractions, and some entries of `meta`.

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::Arc;
use std::time::Duration;

use fxprof::debugid::DebugId;
use fxprof_processed_profile as fxprof;
use serde::Serialize as _;
use serde_json::ser::Formatter;

use crate::address::CodePoint;
use crate::error::{Error, Result};
use crate::profile::{Frame, LibraryIndex, Profile, Sample, Thread};
use crate::symbols::Layer;

/// Writes `profile` as JSON that <https://profiler.firefox.com> opens.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_firefox(profile: &Profile, out: &mut dyn Write) -> Result<()> {
    let document = Document::new(profile).build();
    let mut serializer = serde_json::Serializer::with_formatter(out, Patch::new(profile));
    let written = document.serialize(&mut serializer);
    written.map_err(|source| Error::Write { format: "Firefox", source: source.into() })
}

/// Subcategories are numbered with 16 bits; interfaces past this many have none.
const MAX_SUBCATEGORIES: usize = 60_000;

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
        let process = out.add_process(profile.name(), 0, timestamp(Duration::ZERO));
        out.set_process_end_time(process, timestamp(profile.elapsed()));
        let categories =
            Layer::ALL.into_iter().map(|layer| (layer, out.add_category(category_name(layer), color(layer)))).collect();
        let libraries = (0..u32::try_from(profile.libraries().len()).unwrap_or(u32::MAX))
            .map(|index| out.add_lib(library(profile, LibraryIndex(index))))
            .collect();
        Self { profile, out, process, categories, subcategories: HashMap::new(), libraries }
    }

    fn build(mut self) -> fxprof::Profile {
        for (index, thread) in self.profile.threads().iter().enumerate() {
            let handle = self.thread(index, Some(&thread.name));
            self.samples(handle, thread);
        }
        // A file without threads does not open.
        if self.profile.threads().is_empty() {
            self.thread(0, None);
        }
        self.out
    }

    /// Adds a thread. The first is the main one, which the front-end labels with the name of the process.
    fn thread(&mut self, index: usize, name: Option<&str>) -> fxprof::ThreadHandle {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let handle = self.out.add_thread(self.process, number, timestamp(Duration::ZERO), index == 0);
        if let Some(name) = name {
            self.out.set_thread_name(handle, name);
        }
        self.out.set_thread_end_time(handle, timestamp(self.profile.elapsed()));
        self.out.set_thread_samples_weight_type(handle, fxprof::WeightType::TracingMs);
        // By default a thread with little activity is hidden.
        self.out.add_initial_visible_thread(handle);
        if index == 0 {
            self.out.add_initial_selected_thread(handle);
        }
        handle
    }

    fn samples(&mut self, handle: fxprof::ThreadHandle, thread: &Thread) {
        let mut stacks = vec![None; self.profile.stacks().len()];
        let mut last = Duration::ZERO;
        for sample in &thread.samples {
            let stack = self.stack(handle, sample.stack.index(), &mut stacks);
            for row in rows(sample, self.profile.interval(), last) {
                let cpu = fxprof::CpuDelta::from_nanos(nanos(row.cpu));
                self.out.add_sample(handle, timestamp(row.time), stack, cpu, microseconds(row.wall));
                last = row.time;
            }
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
        let category_pair = self.category(layer, function.interface.as_deref());
        fxprof::FrameInfo { frame: address, category_pair, flags: fxprof::FrameFlags::empty() }
    }

    fn category(&mut self, layer: Layer, interface: Option<&'p str>) -> fxprof::CategoryPairHandle {
        let category = self.categories[&layer];
        let Some(interface) = interface else { return category.into() };
        if let Some(known) = self.subcategories.get(&(layer, interface)) {
            return *known;
        }
        if self.subcategories.len() >= MAX_SUBCATEGORIES {
            return category.into();
        }
        let pair = self.out.add_subcategory(category, interface);
        self.subcategories.insert((layer, interface), pair);
        pair
    }
}

/// A row of the sample table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Row {
    time: Duration,
    wall: Duration,
    cpu: Duration,
}

/// The rows for a sample: one at its end and, if it stands for clearly more than an interval and there is room after the
/// row before, one for its first interval at the beginning.
fn rows(sample: &Sample, interval: Duration, last: Duration) -> impl Iterator<Item = Row> {
    let Sample { time, wall, cpu, .. } = *sample;
    let begin = time.saturating_sub(wall).saturating_add(interval).max(last);
    let first = (wall > interval + interval / 2 && begin < time).then(|| Row {
        time: begin,
        wall: interval,
        cpu: cpu.mul_f64(interval.as_secs_f64() / wall.as_secs_f64()).min(cpu),
    });
    let (done_wall, done_cpu) = first.map_or((Duration::ZERO, Duration::ZERO), |row| (row.wall, row.cpu));
    let rest = Row { time: time.max(last), wall: wall.saturating_sub(done_wall), cpu: cpu.saturating_sub(done_cpu) };
    // Weights are 32 bits wide, so hours of waiting need several rows. Their CPU time is in the first.
    let count = rest.wall.as_micros().div_ceil(i32::MAX.unsigned_abs().into()).max(1);
    let longest = Duration::from_micros(i32::MAX.unsigned_abs().into());
    let pieces = (0..u32::try_from(count).unwrap_or(u32::MAX)).map(move |piece| Row {
        wall: rest.wall.saturating_sub(longest * piece).min(longest),
        cpu: if piece == 0 { rest.cpu } else { Duration::ZERO },
        ..rest
    });
    first.into_iter().chain(pieces)
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

fn timestamp(time: Duration) -> fxprof::Timestamp {
    fxprof::Timestamp::from_nanos_since_reference(nanos(time))
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Weights are whole numbers for fxprof: microseconds, at most 35 minutes.
fn microseconds(time: Duration) -> i32 {
    i32::try_from(time.as_micros()).unwrap_or(i32::MAX)
}

/// A JSON formatter that writes what fxprof 0.8.1 cannot: sample weights in milliseconds with fractions, which fxprof
/// was given in microseconds, and more entries of `meta`.
struct Patch {
    path: Vec<Key>,
    key: Option<String>,
    meta: Vec<u8>,
}

/// The keys that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Meta,
    Threads,
    Samples,
    Weight,
    Other,
}

impl Patch {
    fn new(profile: &Profile) -> Self {
        // Names are complete, so there is nothing to look for elsewhere; threads are in the order to be shown in; and
        // without a beginning and an end, the front-end shows the time from the first sample to the last.
        let end = profile.elapsed().as_secs_f64() * 1000.0;
        let meta = format!(
            "\"symbolicationNotSupported\":true,\"keepProfileThreadOrder\":true,\"profilingStartTime\":0,\
             \"profilingEndTime\":{end},"
        );
        Self { path: Vec::new(), key: None, meta: meta.into_bytes() }
    }
}

impl Formatter for Patch {
    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"{")?;
        if self.path == [Key::Meta] {
            // `meta` has entries of its own, so these end with a comma.
            writer.write_all(&self.meta)?;
        }
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.key = Some(String::new());
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if let Some(key) = &mut self.key {
            key.push_str(fragment);
        }
        writer.write_all(fragment.as_bytes())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.path.push(match self.key.take().as_deref() {
            Some("meta") => Key::Meta,
            Some("threads") => Key::Threads,
            Some("samples") => Key::Samples,
            Some("weight") => Key::Weight,
            _ => Key::Other,
        });
        writer.write_all(b":")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.path.pop();
        Ok(())
    }

    fn write_i32<W: ?Sized + Write>(&mut self, writer: &mut W, value: i32) -> io::Result<()> {
        if self.path == [Key::Threads, Key::Samples, Key::Weight] {
            return write!(writer, "{}", f64::from(value) / 1000.0);
        }
        write!(writer, "{value}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::StackIndex;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    fn sample(time: u64, wall: u64, cpu: u64) -> Sample {
        Sample { time: ms(time), stack: StackIndex(0), count: 1, wall: ms(wall), cpu: ms(cpu) }
    }

    #[test]
    fn a_sample_of_one_interval_is_one_row() {
        let rows: Vec<_> = rows(&sample(5, 1, 1), ms(1), ms(4)).collect();
        assert_eq!(rows, [Row { time: ms(5), wall: ms(1), cpu: ms(1) }]);
    }

    #[test]
    fn a_long_sample_begins_where_its_time_begins() {
        let rows: Vec<_> = rows(&sample(310, 300, 30), ms(1), ms(10)).collect();
        assert_eq!(rows[0].time, ms(11));
        assert_eq!((rows[0].wall, rows[1].wall), (ms(1), ms(299)));
        assert_eq!(rows[1].time, ms(310));
        assert_eq!(rows[0].cpu + rows[1].cpu, ms(30));
        assert!(rows[0].cpu <= rows[0].wall);
    }

    #[test]
    fn hours_of_waiting_are_not_cut() {
        let hour = 3_600_000;
        let rows: Vec<_> = rows(&sample(2 * hour, 2 * hour, 5), ms(1), ms(0)).collect();
        assert_eq!(rows.iter().map(|row| row.wall).sum::<Duration>(), ms(2 * hour));
        assert_eq!(rows.iter().map(|row| i64::from(microseconds(row.wall))).sum::<i64>(), 2 * 3_600_000_000);
        assert_eq!(rows.iter().map(|row| row.cpu).sum::<Duration>(), ms(5));
    }

    #[test]
    fn time_never_goes_backwards() {
        // Coalesced samples overlap.
        let rows: Vec<_> = rows(&sample(310, 300, 30), ms(1), ms(400)).collect();
        assert_eq!(rows, [Row { time: ms(400), wall: ms(300), cpu: ms(30) }]);
    }
}
