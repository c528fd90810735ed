//! Reads the Firefox Profiler's processed profile format: what [`write_firefox`](crate::export::write_firefox) writes, and
//! as far as it goes, what Wasmtime's guest profiler and samply write (format versions 40 to 59).
//!
//! The file may come from anywhere. Every index is checked, memory grows with the file only, and what cannot be is an
//! error that says where.

mod document;
mod extras;

use std::io::Read;
use std::time::{Duration, UNIX_EPOCH};

use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap};

use self::document::{Document, FramesJson, StacksJson, ThreadJson};
use self::extras::{calls_of, growths_of, memory_of, span_of};
use crate::address::{CodePoint, TextOffset, WasmOffset};
use crate::error::{Error, Result};
use crate::export::firefox::{META_VERSION, Meta, joined};
use crate::profile::{
    FileIndex, Frame, FrameIndex, FunctionIndex, LabelsIndex, LibraryIndex, Profile, ProfileFunction, ProfileLibrary,
    Sample, SamplerKind, SourceLine, Stack, StackIndex, Thread,
};
use crate::samples::{HandlerCost, LabelSet, LossReason, ProfilerTime, SampleCounts};
use crate::symbols::{Direction, FunctionKind, Layer};

/// Reads a profile in the Firefox Profiler's format, uncompressed.
///
/// Of files of other programs, libraries, functions, threads and time are read, but no interfaces: these programs do not
/// know them. Libraries without an id, such as Wasmtime's guest profiler writes, are taken for guests, others for the
/// host.
///
/// # Errors
/// [`Error::Read`] if `input` is no such profile, is damaged, or cannot be read; the message says where.
///
/// ```
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let file = std::fs::File::open("profile.json")?;
/// let profile = witprof::read_firefox(&mut std::io::BufReader::new(file))?;
/// # Ok(())
/// # }
/// ```
pub fn read_firefox(input: &mut dyn Read) -> Result<Profile> {
    let error = |problem: String| Error::Read { problem };
    let document: Document = serde_json::from_reader(input).map_err(|json| {
        error(match json.classify() {
            serde_json::error::Category::Io => format!("reading it: {json}"),
            serde_json::error::Category::Eof => format!("it ends too early, so it is incomplete: {json}"),
            _ => format!("not a profile in the Firefox Profiler's format: {json}"),
        })
    })?;
    let version = document.meta.version;
    if !(40..=59).contains(&version) {
        return Err(error(format!("it has format version {version}, and versions 40 to 59 can be read")));
    }
    if let Some(meta) = &document.meta.witprof
        && meta.version != META_VERSION
    {
        return Err(error(format!("another version of witprof wrote it (form {} of its own data)", meta.version)));
    }
    Reader::new(&document).read().map_err(error)
}

/// What tells one function from another: its library, its name, the address of its symbol, and whether it is inlined.
type FunctionKey<'d> = (LibraryIndex, &'d str, Option<u32>, bool);

struct Reader<'d> {
    document: &'d Document,
    /// What is known of functions, by position in `meta.libraries` and address.
    known: FxHashMap<(u32, u32), usize>,
    /// The library of frames that have none, once there is one.
    labels: Option<LibraryIndex>,
    /// By position in `libs`.
    libraries: Vec<LibraryIndex>,
    /// By position in `libs`: the position in `meta.libraries`.
    own: Vec<Option<u32>>,
    library_rows: Vec<ProfileLibrary>,
    functions: IndexMap<FunctionKey<'d>, ProfileFunction, FxBuildHasher>,
    frames: IndexSet<Frame, FxBuildHasher>,
    stacks: IndexSet<Stack, FxBuildHasher>,
    files: IndexSet<String, FxBuildHasher>,
    /// By position in `meta.libraries` and address: where it is in the WebAssembly binary.
    instructions: FxHashMap<(u32, u32), u32>,
}

/// No sample stands for more time than this, and no recording began later: sums cannot overflow.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

/// Nor all samples together for more than this: written again, a sample takes a row for every two seconds.
const MAX_TOTAL: Duration = Duration::from_secs(100 * 86_400);

impl<'d> Reader<'d> {
    fn new(document: &'d Document) -> Self {
        let mut reader = Self {
            document,
            known: FxHashMap::default(),
            labels: None,
            libraries: Vec::new(),
            own: Vec::new(),
            library_rows: Vec::new(),
            functions: IndexMap::default(),
            frames: IndexSet::default(),
            stacks: IndexSet::default(),
            files: IndexSet::default(),
            instructions: FxHashMap::default(),
        };
        let meta = document.meta.witprof.as_ref();
        let instructions = meta.iter().flat_map(|meta| &meta.instructions);
        reader.instructions.extend(instructions.map(|(library, address, offset)| ((*library, *address), *offset)));
        for (row, function) in meta.iter().flat_map(|meta| meta.functions.iter().enumerate()) {
            reader.known.insert((function.0, function.1), row);
        }
        let known = meta.iter().flat_map(|meta| meta.libraries.iter().enumerate());
        let by_id: FxHashMap<&str, usize> = known.map(|(index, known)| (known.id.as_str(), index)).collect();
        for library in &document.libs {
            let own = by_id.get(library.id.as_str()).copied();
            let row = match meta.zip(own).map(|(meta, own)| &meta.libraries[own]) {
                Some(known) => ProfileLibrary {
                    name: library.name.clone(),
                    layer: Layer::ALL.into_iter().find(|layer| layer.name() == known.layer).unwrap_or(Layer::Guest),
                    component: known.component.clone(),
                },
                None => {
                    let is_guest = library.id.bytes().all(|byte| byte == b'0');
                    let layer = if is_guest { Layer::Guest } else { Layer::Host };
                    ProfileLibrary { name: library.name.clone(), layer, component: None }
                }
            };
            reader.own.push(own.and_then(|own| u32::try_from(own).ok()));
            let index = reader.add_library(row);
            reader.libraries.push(index);
        }
        reader
    }

    fn add_library(&mut self, library: ProfileLibrary) -> LibraryIndex {
        self.library_rows.push(library);
        LibraryIndex(u32::try_from(self.library_rows.len() - 1).unwrap_or(u32::MAX))
    }

    fn read(mut self) -> Result<Profile, String> {
        let document = self.document;
        let meta = document.meta.witprof.as_ref();
        let interval = match meta {
            Some(meta) => Duration::from_nanos(meta.interval_ns),
            None => time(document.meta.interval, 1e3).ok_or("its interval is no time")?,
        };
        let mut threads = Vec::new();
        for (index, thread) in document.threads.iter().enumerate() {
            if meta.is_some_and(|meta| thread.pid.as_str() == Some(&meta.interfaces_pid)) {
                continue;
            }
            let mut read = self
                .thread(thread, index, interval)
                .map_err(|problem| format!("in thread {index} (`{}`), {problem}", thread.name))?;
            let own = thread.tid.as_str().and_then(|tid| tid.parse::<usize>().ok()?.checked_sub(1));
            if let Some(name) = own.and_then(|own| meta?.threads.get(own)) {
                read.name.clone_from(name);
            }
            if let Some(meta) = meta {
                let labels = own.and_then(|own| meta.sample_labels.get(own));
                for (sample, labels) in each_row(&mut read.samples, labels) {
                    sample.labels = LabelsIndex(if (labels as usize) < meta.labels.len() { labels } else { 0 });
                }
                let counts = own.and_then(|own| meta.sample_counts.get(own));
                each_row(&mut read.samples, counts).for_each(|(sample, count)| sample.count = count.max(1));
                read.samples = joined(read.samples, interval);
            }
            threads.push((own.filter(|_| meta.is_some()), read));
        }
        // In the file, threads are sorted by name.
        threads.sort_by_key(|(own, _)| *own);
        // An empty profile has a thread without a name or samples, because the front-end wants one.
        threads.retain(|(_, thread)| !thread.samples.is_empty());
        // Where each thread of the file is now.
        let places: FxHashMap<usize, usize> =
            threads.iter().enumerate().filter_map(|(place, (own, _))| Some(((*own)?, place))).collect();
        let mut threads: Vec<Thread> = threads.into_iter().map(|(_, thread)| thread).collect();
        let samples = || threads.iter().flat_map(|thread| &thread.samples);
        if meta.is_none() && samples().all(|sample| sample.cpu.is_zero()) {
            // Wasmtime's guest profiler does not know, which is not to say that all was waiting.
            threads.iter_mut().flat_map(|thread| &mut thread.samples).for_each(|sample| sample.cpu = sample.wall);
        }
        let walls = threads.iter().flat_map(|thread| &thread.samples).map(|sample| sample.wall);
        if walls.fold(Duration::ZERO, Duration::saturating_add) > MAX_TOTAL {
            return Err("its samples stand for more than a hundred days".to_owned());
        }
        let last = threads.iter().filter_map(|thread| thread.samples.last()).map(|sample| sample.time).max();
        let rows = threads.iter().flat_map(|thread| &thread.samples).map(|sample| sample.count);
        let rows: u64 = rows.fold(0, u64::saturating_add);
        let rounded = || time(document.meta.start_time, 1e3 * 100.0).map_or(Duration::ZERO, |time| time * 100);
        let started = meta.and_then(|meta| meta.started_ns).map_or_else(rounded, Duration::from_nanos);
        let product = &document.meta.product;
        Ok(Profile {
            name: product.strip_suffix(" (witprof)").unwrap_or(product).to_owned(),
            sampler: match meta {
                Some(meta) if meta.sampler == SamplerKind::Epoch.name() => SamplerKind::Epoch,
                Some(_) => SamplerKind::Signal,
                None => SamplerKind::Other,
            },
            interval,
            started_at: UNIX_EPOCH.checked_add(started).unwrap_or(UNIX_EPOCH),
            elapsed: meta.map_or(last.unwrap_or_default(), |meta| Duration::from_nanos(meta.elapsed_ns)),
            counts: meta.map_or(SampleCounts { taken: rows, kept: rows, ..SampleCounts::default() }, counts),
            handler_cost: meta.and_then(|meta| meta.handler).map(|(median_ticks, p99_ticks, ticks_per_second)| {
                HandlerCost { median_ticks, p99_ticks, ticks_per_second }
            }),
            profiler: meta.map_or(ProfilerTime::default(), |meta| {
                let (samples, wall, cpu) = meta.profiler;
                let wall = Duration::from_nanos(wall).min(MAX_TOTAL);
                ProfilerTime { samples, wall, cpu: Duration::from_nanos(cpu).min(wall) }
            }),
            libraries: self.library_rows,
            functions: self.functions.into_values().collect(),
            frames: self.frames.into_iter().collect(),
            stacks: self.stacks.into_iter().collect(),
            files: self.files.into_iter().collect(),
            missing_lines: meta.map_or(Vec::new(), |meta| meta.missing_lines.clone()),
            threads,
            labels: match meta {
                Some(meta) if !meta.labels.is_empty() => meta.labels.iter().map(|set| set.clone().into()).collect(),
                _ => vec![LabelSet::default()],
            },
            calls: meta.and_then(|meta| meta.calls.as_ref()).map(|calls| calls_of(calls, &places)).transpose()?,
            memories: meta.iter().flat_map(|meta| &meta.memories).map(memory_of).collect(),
            growths: meta.map_or(Ok(Vec::new()), growths_of)?,
            spans: meta.iter().flat_map(|meta| &meta.spans).map(span_of).collect(),
            spans_left_out: meta.map_or(0, |meta| meta.spans_left_out),
        })
    }

    fn thread(&mut self, thread: &'d ThreadJson, index: usize, interval: Duration) -> Result<Thread, String> {
        let stacks = self.stacks(thread)?;
        let samples = &thread.samples;
        let rows = samples.stack.len();
        let has_length = |length: Option<usize>| length.is_none_or(|length| length == rows);
        if !has_length(samples.time.as_ref().map(Vec::len))
            || !has_length(samples.time_deltas.as_ref().map(Vec::len))
            || !has_length(samples.weight.as_ref().map(Vec::len))
            || !has_length(samples.cpu.as_ref().map(Vec::len))
        {
            return Err("the columns of its samples have different lengths".to_owned());
        }
        let is_time = samples.weight_type.as_deref() == Some("tracing-ms");
        let cpu_unit = match self.document.meta.units.as_ref().map(|units| units.cpu.as_str()) {
            Some("ns") => 1e9,
            Some("ms") => 1e3,
            _ => 1e6,
        };
        let mut out = Vec::with_capacity(rows);
        let mut now = Duration::ZERO;
        for row in 0..rows {
            let problem = |what: &str| format!("sample {row} has {what}");
            now = match (&samples.time, &samples.time_deltas) {
                (Some(times), _) => time(times[row], 1e3).ok_or_else(|| problem("an impossible time"))?.max(now),
                // Deltas may be negative by a rounding error.
                (None, Some(deltas)) if deltas[row] < 0.0 => now,
                (None, Some(deltas)) => {
                    now.saturating_add(time(deltas[row], 1e3).ok_or_else(|| problem("an impossible time"))?)
                }
                (None, None) => now.saturating_add(interval),
            };
            // Nothing ran.
            let Some(stack) = samples.stack[row] else { continue };
            let stack = stacks.get(stack as usize).ok_or_else(|| problem("a stack that does not exist"))?;
            let weight = samples.weight.as_ref().map_or(1.0, |weight| weight[row]);
            let (wall, count) = if is_time {
                (time(weight, 1e3), 1)
            } else {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is checked")]
                let count = weight.round() as u64;
                (time(weight * interval.as_secs_f64(), 1.0), count)
            };
            let wall = wall.ok_or_else(|| problem("an impossible weight"))?;
            let cpu = samples.cpu.as_ref().and_then(|cpu| cpu[row]).unwrap_or(0.0);
            let cpu = time(cpu, cpu_unit).ok_or_else(|| problem("an impossible CPU time"))?.min(wall);
            out.push(Sample { time: now, stack: *stack, labels: LabelsIndex(0), count, wall, cpu });
        }
        let name = match (thread.name.is_empty(), self.document.meta.witprof.is_some(), thread.process_name.as_str()) {
            (true, _, "") => format!("thread {}", index + 1),
            (true, _, process) => process.to_owned(),
            (false, false, process) if !process.is_empty() && process != thread.name => {
                format!("{process}: {}", thread.name)
            }
            _ => thread.name.clone(),
        };
        Ok(Thread { name, samples: out })
    }

    /// The stacks of a thread, in the profile's own table.
    fn stacks(&mut self, thread: &'d ThreadJson) -> Result<Vec<StackIndex>, String> {
        let StacksJson { prefix, frame } = &thread.stack_table;
        if prefix.len() != frame.len() {
            return Err("the columns of its stacks have different lengths".to_owned());
        }
        let mut frames: Vec<Option<FrameIndex>> = vec![None; thread.frame_table.func.len()];
        let mut stacks: Vec<StackIndex> = Vec::with_capacity(frame.len());
        for (row, (prefix, frame)) in prefix.iter().zip(frame).enumerate() {
            let problem = |what: &str| format!("stack {row} has {what}");
            let caller = match prefix {
                Some(prefix) => Some(
                    // A stack comes after its caller, so there are no circles.
                    *stacks.get(*prefix as usize).ok_or_else(|| problem("a caller that is not before it"))?,
                ),
                None => None,
            };
            let known = frames.get(*frame as usize).ok_or_else(|| problem("a frame that does not exist"))?;
            let frame_index = match known {
                Some(known) => *known,
                None => {
                    let made = self.frame(thread, *frame as usize)?;
                    frames[*frame as usize] = Some(made);
                    made
                }
            };
            let (stack, _) = self.stacks.insert_full(Stack { caller, frame: frame_index });
            stacks.push(StackIndex(u32::try_from(stack).map_err(|_| "it has too many stacks".to_owned())?));
        }
        Ok(stacks)
    }

    fn frame(&mut self, thread: &'d ThreadJson, row: usize) -> Result<FrameIndex, String> {
        let problem = |what: &str| format!("frame {row} has {what}");
        let table = &thread.frame_table;
        let row_of_function = *table.func.get(row).ok_or_else(|| problem("no function"))? as usize;
        let name =
            *thread.func_table.name.get(row_of_function).ok_or_else(|| problem("a function that does not exist"))?;
        let strings = if thread.string_array.is_empty() { &self.document.shared.strings } else { &thread.string_array };
        let name = strings.get(name as usize).ok_or_else(|| problem("a name that does not exist"))?;
        let resource = thread.func_table.resource.get(row_of_function).copied().flatten();
        let resource = resource.and_then(|resource| usize::try_from(resource).ok());
        let library = resource.and_then(|resource| thread.resource_table.lib.get(resource).copied().flatten());
        let library = library.and_then(|library| usize::try_from(library).ok());
        let library = library.filter(|library| *library < self.libraries.len());
        let symbol = table.native_symbol.get(row).copied().flatten().map(|symbol| symbol as usize);
        let symbol_at = symbol.and_then(|symbol| thread.native_symbols.address.get(symbol).copied());
        let symbol_at = symbol_at.and_then(|address| u32::try_from(address).ok());
        let size = symbol.and_then(|symbol| thread.native_symbols.function_size.get(symbol).copied().flatten());
        let size = size.and_then(|size| u32::try_from(size).ok()).unwrap_or(0);
        let address = table.address.get(row).copied().flatten().and_then(|address| u32::try_from(address).ok());

        let library_index = match library {
            Some(library) => self.libraries[library],
            None => self.library_of_labels(),
        };
        let own = library.and_then(|library| self.own[library]);
        // Its symbol is that of the function that it was put into.
        let is_inlined = table.inline_depth.get(row).copied().flatten().is_some_and(|depth| depth > 0);
        let is_inlined = is_inlined && self.library_rows[library_index.index()].layer == Layer::Guest;
        let key: FunctionKey<'d> = (library_index, name, symbol_at.filter(|_| !is_inlined), is_inlined);
        if !self.functions.contains_key(&key) {
            let function = if is_inlined {
                ProfileFunction::without_interface(name.clone(), library_index, FunctionKind::Inlined)
            } else {
                self.function(name, library_index, own, symbol_at, size)
            };
            self.functions.insert(key, function);
        }
        let function = self.functions.get_index_of(&key).unwrap_or(0);
        let function = FunctionIndex(u32::try_from(function).map_err(|_| "it has too many functions".to_owned())?);
        let file = thread.func_table.file_name.get(row_of_function).copied().flatten();
        let source = match file.and_then(|file| strings.get(file as usize)) {
            Some(file) => self.source(table, row, function, file),
            None => None,
        };
        // The address of a caller is that of its call already.
        let point = CodePoint::InstructionPointer(TextOffset::new(address.or(symbol_at).unwrap_or(0)));
        let at = own.zip(address);
        let instruction = at.and_then(|at| self.instructions.get(&at)).copied().map(WasmOffset::new);
        let (frame, _) = self.frames.insert_full(Frame { function, point, instruction, source });
        Ok(FrameIndex(u32::try_from(frame).map_err(|_| "it has too many frames".to_owned())?))
    }

    /// The line of a frame, in a file that is its function's.
    fn source(&mut self, table: &FramesJson, row: usize, function: FunctionIndex, file: &str) -> Option<SourceLine> {
        let index = match self.files.get_index_of(file) {
            Some(index) => index,
            None => self.files.insert_full(file.to_owned()).0,
        };
        let file = FileIndex(u32::try_from(index).unwrap_or(u32::MAX));
        if let Some((_, function)) = self.functions.get_index_mut(function.index()) {
            function.file.get_or_insert(file);
        }
        let line = table.line.get(row).copied().flatten().filter(|line| *line > 0)?;
        Some(SourceLine { file, line, column: table.column.get(row).copied().flatten().filter(|column| *column > 0) })
    }

    fn function(
        &self,
        name: &str,
        library: LibraryIndex,
        own: Option<u32>,
        address: Option<u32>,
        size: u32,
    ) -> ProfileFunction {
        let kind = match self.library_rows[library.index()].layer {
            Layer::Host => FunctionKind::Host,
            _ => FunctionKind::Guest,
        };
        let mut function = ProfileFunction {
            offset: address.unwrap_or(0),
            size,
            ..ProfileFunction::without_interface(name.to_owned(), library, kind)
        };
        let known = own.zip(address).and_then(|key| self.known.get(&key));
        let Some((meta, row)) = self.document.meta.witprof.as_ref().zip(known) else { return function };
        let row = &meta.functions[*row];
        let string = |index: Option<u32>| meta.strings.get(index? as usize).cloned();
        function.kind = FunctionKind::ALL.into_iter().find(|kind| kind.name() == row.2).unwrap_or(kind);
        function.interface = string(row.3);
        function.interface_function = string(row.4);
        let direction = |name: &String| Direction::ALL.into_iter().find(|direction| direction.name() == name);
        function.direction = row.5.as_ref().and_then(direction);
        function
    }

    /// The library of frames that have none.
    fn library_of_labels(&mut self) -> LibraryIndex {
        const NAME: &str = "(no library)";
        if let Some(known) = self.labels {
            return known;
        }
        let row = ProfileLibrary { name: NAME.to_owned(), layer: Layer::Host, component: None };
        let library = self.add_library(row);
        self.labels = Some(library);
        library
    }
}

/// The rows that runs say something about, each with what they say.
fn each_row<'s, V: Copy>(
    rows: &'s mut [Sample],
    runs: Option<&'s Vec<(u64, V)>>,
) -> impl Iterator<Item = (&'s mut Sample, V)> {
    let values = runs
        .into_iter()
        .flatten()
        .flat_map(|(count, value)| std::iter::repeat_n(*value, usize::try_from(*count).unwrap_or(usize::MAX)));
    rows.iter_mut().zip(values)
}

fn counts(meta: &Meta) -> SampleCounts {
    let lost = meta.lost.iter().filter_map(|(name, count)| {
        LossReason::ALL.into_iter().find(|reason| reason.name() == name).map(|reason| (reason, *count))
    });
    SampleCounts { taken: meta.taken, kept: meta.kept, truncated: meta.truncated, lost: lost.collect() }
}

/// `value` of a unit of which a second has so many; `None` if that is no time, or more than a year. To the nanosecond.
fn time(value: f64, per_second: f64) -> Option<Duration> {
    let seconds = value / per_second;
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and less than 2^55")]
    let nanos = (value * (1e9 / per_second)).round() as u64;
    Some(Duration::from_nanos(nanos))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::export::write_firefox;
    use crate::profile::{Dimension, arbitrary};
    use proptest::prelude::*;

    fn written(profile: &Profile) -> Vec<u8> {
        let mut json = Vec::new();
        write_firefox(profile, &mut json).expect("writing to memory");
        json
    }

    type Line = (String, u32, Option<u32>);
    type Place = (String, FunctionKind, u32, Option<WasmOffset>, Option<Line>);

    /// The frames that samples are in, as what tells them apart.
    fn places(profile: &Profile) -> BTreeSet<Place> {
        let stacks = profile.samples().flat_map(|sample| profile.outwards(sample.stack));
        let frames = stacks.map(|stack| profile.innermost(stack));
        let place = |frame: Frame| {
            let function = &profile.functions()[frame.function.index()];
            let source = frame.source.map(|source| (profile.file(source.file).to_owned(), source.line, source.column));
            (function.name.clone(), function.kind, frame.point.lookup_offset().get(), frame.instruction, source)
        };
        frames.map(place).collect()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(profile in arbitrary::profile()) {
            let read = read_firefox(&mut &written(&profile)[..]).expect("it is one of ours");
            for dimension in Dimension::ALL {
                let sorted = |profile: &Profile| {
                    let mut rows = profile.report(dimension).rows;
                    // Long samples have become several, and in another order.
                    rows.iter_mut().for_each(|row| row.variance = (row.variance * 1e6).round());
                    rows.retain(|row| !row.total.is_zero());
                    rows.sort_by(|a, b| (&a.name, &a.detail, a.own, a.total).cmp(&(&b.name, &b.detail, b.own, b.total)));
                    rows
                };
                prop_assert_eq!(sorted(&read), sorted(&profile));
            }
            let by_label = |profile: &Profile| {
                let mut rows = profile.report_by_label("request").rows;
                rows.iter_mut().for_each(|row| row.variance = (row.variance * 1e6).round());
                rows.retain(|row| !row.total.is_zero());
                rows
            };
            prop_assert_eq!(by_label(&read), by_label(&profile));
            prop_assert_eq!(read.missing_lines(), profile.missing_lines());
            prop_assert_eq!(places(&read), places(&profile));
            prop_assert_eq!(read.name(), profile.name());
            prop_assert_eq!(read.counts(), profile.counts());
            prop_assert_eq!((read.sampler(), read.interval()), (profile.sampler(), profile.interval()));
            prop_assert_eq!((read.started_at(), read.elapsed()), (profile.started_at(), profile.elapsed()));
            // And is the same again when it is written again.
            let again = read_firefox(&mut &written(&read)[..]).expect("it is one of ours");
            prop_assert_eq!(again.report(Dimension::Function), read.report(Dimension::Function));
        }

        #[test]
        fn a_damaged_profile_is_an_error_or_a_profile(
            profile in arbitrary::profile(), at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
        ) {
            let mut json = written(&profile);
            let at = at.index(json.len());
            if cut { json.truncate(at) } else { json[at] = byte }
            if let Ok(read) = read_firefox(&mut &json[..]) {
                // All indices are in range.
                for dimension in Dimension::ALL {
                    let _ = read.report(dimension);
                }
                written(&read);
            }
        }
    }

    #[test]
    fn what_cannot_be_is_an_error_that_says_where() {
        let problem = |json: &str| read_firefox(&mut json.as_bytes()).expect_err("not a profile").to_string();
        let profile = |samples: &str, stacks: &str| {
            format!(
                r#"{{"meta": {{"interval": 1, "preprocessedProfileVersion": 55}}, "threads": [{{
                    "name": "T", "samples": {samples}, "stackTable": {stacks},
                    "frameTable": {{"func": [0]}}, "funcTable": {{"name": [0]}}, "stringArray": ["f"]}}]}}"#
            )
        };
        let stacks = r#"{"prefix": [null], "frame": [0]}"#;
        for (json, expected) in [
            ("", "ends too early"),
            ("{\"meta\": {\"interval\": 1", "ends too early"),
            ("[1, 2]", "not a profile"),
            ("{\"traceEvents\": []}", "missing field `meta`"),
            (&profile(r#"{"stack": [7]}"#, stacks), "in thread 0 (`T`), sample 0 has a stack that does not exist"),
            (&profile(r#"{"stack": [0], "weight": [1, 2]}"#, stacks), "different lengths"),
            (&profile(r#"{"stack": [0], "weight": [-1]}"#, stacks), "sample 0 has an impossible weight"),
            (&profile(r#"{"stack": [0], "weight": [1e300]}"#, stacks), "sample 0 has an impossible weight"),
            (&profile(r#"{"stack": [0]}"#, r#"{"prefix": [0], "frame": [0]}"#), "a caller that is not before it"),
            (&profile(r#"{"stack": [0]}"#, r#"{"prefix": [null], "frame": [3]}"#), "a frame that does not exist"),
            (&profile(r#"{"stack": [0]}"#, stacks).replace("55", "70"), "format version 70"),
        ] {
            let problem = problem(json);
            assert!(problem.contains(expected), "{problem:?} does not say {expected:?}");
        }
        let read = read_firefox(&mut profile(r#"{"stack": [0, null, 0]}"#, stacks).as_bytes()).expect("a profile");
        assert_eq!((read.counts().kept, read.wall_time()), (2, Duration::from_millis(2)));
    }
}
