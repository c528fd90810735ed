//! The format of `go tool pprof`, `profile.proto`.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::time::{Duration, UNIX_EPOCH};

use prost::Message as _;
use rustc_hash::FxBuildHasher;

use super::escape::escape_control;
use crate::error::{Error, Result};
use crate::profile::{
    Attribution, Dimension, FileIndex, Frame, FrameIndex, FunctionIndex, Label, LabelsIndex, Part, Profile, StackIndex,
    TraceIndex, Tree, UNKNOWN_INTERFACE,
};
use crate::symbols::FunctionKind;

/// Writes `profile` for `go tool pprof`, uncompressed; the tool reads it compressed with gzip as well.
///
/// The first mapping, which the tool takes for the program, is the component; the others are one for each library. Each sample
/// has the values `samples`, `wall`, `cpu`, and `preempted` if that is known, and the labels
/// `interface`, `interface_function`, `part` (`own` or `boundary`), `layer` and `thread`, and those of its activation; one of these
/// that is called like one of ours has `label_` in front of it. With [`Dimension::Interface`], locations are interface functions; otherwise they are functions, with their lines and with what is inlined there.
/// Characters of names that command a terminal are escaped, as [`escape_control`] does: the tool prints names as they are.
///
/// Frames of the host are those of `profile`: [`Profile::with_host_frames`] says how many it has.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_pprof(profile: &Profile, by: Dimension, out: &mut dyn Write) -> Result<()> {
    let document = Document::new(profile, Detail::USUAL).build(by).0;
    out.write_all(&document.encode_to_vec()).map_err(|source| Error::Write { format: "pprof", source })
}

/// The same by function, as a message, in which samples of different places in traces are told apart; and the place of each.
#[cfg(feature = "otlp")]
pub(super) fn with_traces(profile: &Profile) -> (proto::Profile, Vec<TraceIndex>) {
    Document::new(profile, Detail { traces: true, ..Detail::USUAL }).build(Dimension::Function)
}

/// The same with the labels of the host alone, for whoever takes each combination of labels for a thing of its own.
pub(super) fn with_labels_of_host(profile: &Profile) -> (proto::Profile, Vec<TraceIndex>) {
    Document::new(profile, Detail { own_labels: false, traces: true }).build(Dimension::Function)
}

/// Which samples are told apart.
#[derive(Clone, Copy)]
struct Detail {
    /// By thread, layer, interface and part, which are labels of ours.
    own_labels: bool,
    /// By their places in traces, which pprof itself has no place for.
    traces: bool,
}

impl Detail {
    const USUAL: Self = Self { own_labels: true, traces: false };
}

/// A document being built from a profile.
struct Document<'p> {
    profile: &'p Profile,
    attribution: Attribution<'p>,
    out: proto::Profile,
    strings: HashMap<String, i64, FxBuildHasher>,
    functions: HashMap<(FunctionIndex, Option<FileIndex>), u64, FxBuildHasher>,
    has_lines: bool,
    detail: Detail,
    /// By sample.
    trace_of: Vec<TraceIndex>,
}

/// The locations of a stack, innermost first.
type Locations<'p> = Box<dyn Fn(StackIndex) -> Vec<u64> + 'p>;

/// Where a stack ends: the location of its innermost compiled function, and the stack around that.
#[derive(Clone, Copy, Default)]
struct Place {
    location: u64,
    outer: Option<StackIndex>,
}

/// What one sample of the document stands for.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SampleKey {
    thread: usize,
    stack: StackIndex,
    labels: LabelsIndex,
    trace: TraceIndex,
}

impl<'p> Document<'p> {
    fn new(profile: &'p Profile, detail: Detail) -> Self {
        let (out, strings, functions) = (proto::Profile::default(), HashMap::default(), HashMap::default());
        let has_lines = profile.frames().iter().any(|frame| frame.source.is_some());
        let attribution = Attribution::new(profile);
        let trace_of = Vec::new();
        let mut document = Self { profile, attribution, out, strings, functions, has_lines, detail, trace_of };
        // The first string is the empty one.
        document.string("");
        document
    }

    fn build(mut self, by: Dimension) -> (proto::Profile, Vec<TraceIndex>) {
        let types =
            [("samples", "count"), ("wall", "nanoseconds"), ("cpu", "nanoseconds"), ("preempted", "nanoseconds")];
        let types = types.into_iter().take(self.values());
        self.out.sample_type = types.map(|(kind, unit)| self.value_type(kind, unit)).collect();
        self.out.default_sample_type = self.string("wall");
        self.out.period_type = Some(self.value_type("wall", "nanoseconds"));
        self.out.period = nanos(self.profile.interval());
        let started = self.profile.started_at().duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
        self.out.time_nanos = nanos(started);
        self.out.duration_nanos = nanos(self.profile.elapsed());
        // Of a recorder that was started without any code, nothing else is first: a library would be taken for the program.
        let name = self.profile.name();
        self.mapping(COMPONENT, if name.is_empty() { "guests" } else { name });
        let profiler = self.profile.profiler_time();
        if !profiler.is_zero() {
            let comment = format!("profiler: {} ns of its own work, in no sample", profiler.wall.as_nanos());
            let comment = self.string(&comment);
            self.out.comment.push(comment);
        }
        let locations = match by {
            Dimension::Interface | Dimension::InterfaceFunction => self.interface_locations(),
            _ => self.function_locations(),
        };
        self.samples(&locations);
        (self.out, self.trace_of)
    }

    /// How many values a sample has.
    fn values(&self) -> usize {
        if self.profile.knows_preempted { 4 } else { 3 }
    }

    /// Makes the locations, and tells which a stack consists of, innermost first; by function.
    fn function_locations(&mut self) -> Locations<'p> {
        for (library, id) in self.profile.libraries().iter().zip(COMPONENT + 1..) {
            self.mapping(id, &library.name);
        }
        let places = self.places();
        Box::new(move |stack: StackIndex| {
            let place = |stack: StackIndex| places[stack.index()].unwrap_or_default();
            let outwards = std::iter::successors(Some(place(stack)), |at| at.outer.map(place));
            outwards.map(|place| place.location).collect()
        })
    }

    fn mapping(&mut self, id: u64, name: &str) {
        let has_lines = self.has_lines;
        let filename = self.string(name);
        // Without an id, the tool takes `demo:math/ops` for an address of the web, and removes it.
        let build_id = self.string(&format!("{id:016x}"));
        let memory_start = mapping_start(id);
        self.out.mapping.push(proto::Mapping {
            id,
            memory_start,
            memory_limit: memory_start + (1 << 32),
            filename,
            build_id,
            has_functions: true,
            has_filenames: true,
            has_line_numbers: has_lines,
            has_inline_frames: has_lines,
            ..proto::Mapping::default()
        });
    }

    /// Makes a location for each compiled function on a stack, with what is inlined there. By stack; only of stacks that a
    /// sample is at the end of, or a location.
    fn places(&mut self) -> Vec<Option<Place>> {
        let profile = self.profile;
        let mut places: Vec<Option<Place>> = vec![None; profile.stacks().len()];
        let mut locations = HashMap::<Vec<FrameIndex>, u64, FxBuildHasher>::default();
        for sample in profile.samples() {
            let mut next = Some(sample.stack);
            while let Some(stack) = next.filter(|stack| places[stack.index()].is_none()) {
                let mut frames = Vec::new();
                next = Some(stack);
                while let Some(at) = next {
                    let frame = profile.stacks()[at.index()].frame;
                    frames.push(frame);
                    next = profile.stacks()[at.index()].caller;
                    let function = profile.frames()[frame.index()].function;
                    if profile.functions()[function.index()].kind != FunctionKind::Inlined {
                        break;
                    }
                }
                let location = match locations.get(&frames) {
                    Some(location) => *location,
                    None => {
                        let id = locations.len() as u64 + 1;
                        let location = self.location(&frames, id);
                        self.out.location.push(location);
                        locations.insert(frames, id);
                        id
                    }
                };
                places[stack.index()] = Some(Place { location, outer: next });
            }
        }
        places
    }

    /// The function of a frame. One whose lines are in several files, because it includes some, is one for each of them.
    fn function(&mut self, frame: &Frame) -> u64 {
        let profile = self.profile;
        let function = &profile.functions()[frame.function.index()];
        let file = frame.source.map(|source| source.file).or(function.file);
        if let Some(id) = self.functions.get(&(frame.function, file)) {
            return *id;
        }
        let id = self.functions.len() as u64 + 1;
        self.functions.insert((frame.function, file), id);
        let name = self.string(&profile.shown_name(function));
        let library = &profile.libraries()[function.library.index()].name;
        let filename = self.string(file.map_or(library, |file| profile.file(file)));
        // Without a system name: where it equals the name, the tool takes both for mangled, and removes what is in
        // brackets.
        self.out.function.push(proto::Function { id, name, filename, ..Default::default() });
        id
    }

    /// A location of frames that share an address, the innermost first.
    fn location(&mut self, frames: &[FrameIndex], id: u64) -> proto::Location {
        let profile = self.profile;
        let frames = frames.iter().map(|frame| &profile.frames()[frame.index()]);
        let (mut mapping_id, mut address) = (0, 0);
        let line = frames.map(|frame| {
            mapping_id = profile.functions()[frame.function.index()].library.index() as u64 + COMPONENT + 1;
            // A location is told by its address, which for a caller is that of the call.
            address = mapping_start(mapping_id) + u64::from(frame.point.lookup_offset().get());
            let source = frame.source;
            proto::Line {
                function_id: self.function(frame),
                line: source.map_or(0, |source| source.line.into()),
                column: source.and_then(|source| source.column).map_or(0, i64::from),
            }
        });
        let line = line.collect();
        proto::Location { id, mapping_id, address, line }
    }

    /// The same by interface function.
    fn interface_locations(&mut self) -> Locations<'p> {
        let mut tree = Tree::without_samples(self.profile, Dimension::Interface);
        let nodes: Vec<u32> = self.stacks().map(|stack| tree.node_of(stack)).collect();
        let mut of_label = HashMap::<Label, u64, FxBuildHasher>::default();
        let locations: Vec<u64> = tree
            .nodes()
            .map(|(_, label, _)| {
                *of_label.entry(label).or_insert_with(|| {
                    let id = self.out.function.len() as u64 + 1;
                    let name = self.string(&tree.name(label));
                    self.out.function.push(proto::Function { id, name, ..Default::default() });
                    let line = vec![proto::Line { function_id: id, ..Default::default() }];
                    self.out.location.push(proto::Location { id, mapping_id: COMPONENT, line, ..Default::default() });
                    id
                })
            })
            .collect();
        Box::new(move |stack: StackIndex| {
            tree.path(nodes[stack.index()]).map(|node| locations[node as usize]).collect()
        })
    }

    fn stacks(&self) -> impl Iterator<Item = StackIndex> + use<> {
        (0..u32::try_from(self.profile.stacks().len()).unwrap_or(u32::MAX)).map(StackIndex)
    }

    fn samples(&mut self, locations: &Locations<'p>) {
        let profile = self.profile;
        let mut sums: indexmap::IndexMap<SampleKey, [i64; 4], FxBuildHasher> = indexmap::IndexMap::default();
        for (thread, of_thread) in profile.threads().iter().enumerate() {
            for sample in &of_thread.samples {
                let trace = if self.detail.traces { sample.trace } else { TraceIndex(0) };
                let thread = if self.detail.own_labels { thread } else { 0 };
                let key = SampleKey { thread, stack: sample.stack, labels: sample.labels, trace };
                let sum = sums.entry(key).or_default();
                let count = i64::try_from(sample.count).unwrap_or(i64::MAX);
                let values = [count, nanos(sample.wall), nanos(sample.cpu), nanos(sample.preempted)];
                for (sum, value) in sum.iter_mut().zip(values) {
                    *sum = sum.saturating_add(value);
                }
            }
        }
        let names: Vec<_> = (0..profile.threads().len()).map(|thread| profile.distinct_thread_name(thread)).collect();
        for (SampleKey { thread, stack, labels, trace }, value) in sums {
            self.trace_of.push(trace);
            let mut label = if self.detail.own_labels { self.own_labels(&names[thread], stack) } else { Vec::new() };
            label.extend(profile.labels(labels).iter().map(|(key, value)| self.label(&label_key(key), value)));
            let location_id = locations(stack);
            let value = value[..self.values()].to_vec();
            self.out.sample.push(proto::Sample { location_id, value, label });
        }
    }

    /// The labels of a sample that are not the host's.
    fn own_labels(&mut self, thread: &str, stack: StackIndex) -> Vec<proto::Label> {
        let profile = self.profile;
        let leaf = &profile.functions()[profile.leaf(stack).index()];
        let crossed = self.attribution.crossing(stack);
        let crossing = crossed.map(|crossed| {
            let crossing = crossed.what.map(|what| self.attribution.get(what));
            let unknown = || (UNKNOWN_INTERFACE.to_owned(), UNKNOWN_INTERFACE.to_owned());
            crossing.map_or_else(unknown, |crossing| (crossing.interface_name(), crossing.to_string()))
        });
        let part = match self.attribution.part(stack) {
            Part::Own => "own",
            Part::Boundary => "boundary",
        };
        let mut label = vec![
            self.label("thread", thread),
            self.label("layer", profile.libraries()[leaf.library.index()].layer.name()),
            self.label("part", part),
        ];
        if let Some((interface, function)) = crossing {
            label.push(self.label("interface", &interface));
            label.push(self.label("interface_function", &function));
        }
        label
    }

    fn label(&mut self, key: &str, value: &str) -> proto::Label {
        proto::Label { key: self.string(key), str: self.string(value), ..proto::Label::default() }
    }

    fn value_type(&mut self, kind: &str, unit: &str) -> proto::ValueType {
        proto::ValueType { r#type: self.string(kind), unit: self.string(unit) }
    }

    /// The position of a text in the table of strings. What would command a terminal is escaped.
    fn string(&mut self, text: &str) -> i64 {
        let text = escape_control(text);
        if let Some(index) = self.strings.get(&*text) {
            return *index;
        }
        let index = i64::try_from(self.out.string_table.len()).unwrap_or(i64::MAX);
        self.out.string_table.push(text.clone().into_owned());
        self.strings.insert(text.into_owned(), index);
        index
    }
}

/// The labels that are not the host's.
const OWN_LABELS: [&str; 5] = ["thread", "layer", "part", "interface", "interface_function"];

/// What is put in front of a host's label that is called like one of ours: once more than it has it already, so that no two
/// labels are called the same.
const LABEL: &str = "label_";

/// The key of a host's label.
fn label_key(key: &str) -> Cow<'_, str> {
    let inner = key.trim_start_matches(LABEL);
    if inner.is_empty() || OWN_LABELS.contains(&inner) { format!("{LABEL}{key}").into() } else { key.into() }
}

/// The mapping of the component as a whole. Libraries have those after it.
const COMPONENT: u64 = 1;

/// Mappings have 4 GiB of addresses each, so that no two locations have the same address.
fn mapping_start(id: u64) -> u64 {
    id << 32
}

/// The position of the library whose mapping has this number; `None` for the component as a whole.
#[cfg(feature = "otlp")]
pub(super) fn library_of(mapping: u64) -> Option<usize> {
    usize::try_from(mapping.checked_sub(COMPONENT + 1)?).ok()
}

fn nanos(time: Duration) -> i64 {
    i64::try_from(time.as_nanos()).unwrap_or(i64::MAX)
}

/// The messages of `profile.proto`, with the numbers that the format gives their fields
/// (<https://github.com/google/pprof/blob/main/proto/profile.proto>).
pub(super) mod proto {
    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::export) struct Profile {
        #[prost(message, repeated, tag = "1")]
        pub(in crate::export) sample_type: Vec<ValueType>,
        #[prost(message, repeated, tag = "2")]
        pub(in crate::export) sample: Vec<Sample>,
        #[prost(message, repeated, tag = "3")]
        pub(in crate::export) mapping: Vec<Mapping>,
        #[prost(message, repeated, tag = "4")]
        pub(in crate::export) location: Vec<Location>,
        #[prost(message, repeated, tag = "5")]
        pub(in crate::export) function: Vec<Function>,
        #[prost(string, repeated, tag = "6")]
        pub(in crate::export) string_table: Vec<String>,
        #[prost(int64, tag = "9")]
        pub(in crate::export) time_nanos: i64,
        #[prost(int64, tag = "10")]
        pub(in crate::export) duration_nanos: i64,
        #[prost(message, optional, tag = "11")]
        pub(in crate::export) period_type: Option<ValueType>,
        #[prost(int64, tag = "12")]
        pub(in crate::export) period: i64,
        #[prost(int64, repeated, tag = "13")]
        pub(in crate::export) comment: Vec<i64>,
        #[prost(int64, tag = "14")]
        pub(in crate::export) default_sample_type: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(in crate::export) struct ValueType {
        #[prost(int64, tag = "1")]
        pub(in crate::export) r#type: i64,
        #[prost(int64, tag = "2")]
        pub(in crate::export) unit: i64,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::export) struct Sample {
        #[prost(uint64, repeated, tag = "1")]
        pub(in crate::export) location_id: Vec<u64>,
        #[prost(int64, repeated, tag = "2")]
        pub(in crate::export) value: Vec<i64>,
        #[prost(message, repeated, tag = "3")]
        pub(in crate::export) label: Vec<Label>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(in crate::export) struct Label {
        #[prost(int64, tag = "1")]
        pub(in crate::export) key: i64,
        #[prost(int64, tag = "2")]
        pub(in crate::export) str: i64,
        #[prost(int64, tag = "3")]
        pub(in crate::export) num: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(in crate::export) struct Mapping {
        #[prost(uint64, tag = "1")]
        pub(in crate::export) id: u64,
        #[prost(uint64, tag = "2")]
        pub(in crate::export) memory_start: u64,
        #[prost(uint64, tag = "3")]
        pub(in crate::export) memory_limit: u64,
        #[prost(uint64, tag = "4")]
        pub(in crate::export) file_offset: u64,
        #[prost(int64, tag = "5")]
        pub(in crate::export) filename: i64,
        #[prost(int64, tag = "6")]
        pub(in crate::export) build_id: i64,
        #[prost(bool, tag = "7")]
        pub(in crate::export) has_functions: bool,
        #[prost(bool, tag = "8")]
        pub(in crate::export) has_filenames: bool,
        #[prost(bool, tag = "9")]
        pub(in crate::export) has_line_numbers: bool,
        #[prost(bool, tag = "10")]
        pub(in crate::export) has_inline_frames: bool,
    }

    #[derive(Clone, PartialEq, prost::Message)]
    pub(in crate::export) struct Location {
        #[prost(uint64, tag = "1")]
        pub(in crate::export) id: u64,
        #[prost(uint64, tag = "2")]
        pub(in crate::export) mapping_id: u64,
        #[prost(uint64, tag = "3")]
        pub(in crate::export) address: u64,
        #[prost(message, repeated, tag = "4")]
        pub(in crate::export) line: Vec<Line>,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(in crate::export) struct Line {
        #[prost(uint64, tag = "1")]
        pub(in crate::export) function_id: u64,
        #[prost(int64, tag = "2")]
        pub(in crate::export) line: i64,
        #[prost(int64, tag = "3")]
        pub(in crate::export) column: i64,
    }

    #[derive(Clone, Copy, PartialEq, prost::Message)]
    pub(in crate::export) struct Function {
        #[prost(uint64, tag = "1")]
        pub(in crate::export) id: u64,
        #[prost(int64, tag = "2")]
        pub(in crate::export) name: i64,
        #[prost(int64, tag = "3")]
        pub(in crate::export) system_name: i64,
        #[prost(int64, tag = "4")]
        pub(in crate::export) filename: i64,
        #[prost(int64, tag = "5")]
        pub(in crate::export) start_line: i64,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::profile::arbitrary;
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    #[test]
    fn no_label_of_a_host_is_taken_for_one_of_ours() {
        for (key, written) in [
            ("route", "route"),
            ("thread", "label_thread"),
            ("label_thread", "label_label_thread"),
            ("label_route", "label_route"),
            ("", "label_"),
        ] {
            assert_eq!(label_key(key), written);
        }
    }

    type Line = (String, String, i64);

    /// Function, file and line of all frames of samples, where there is a line.
    fn lines(profile: &Profile) -> BTreeSet<Line> {
        let stacks = profile.samples().flat_map(|sample| profile.outwards(sample.stack));
        let frames = stacks.map(|stack| profile.innermost(stack));
        let line = |frame: Frame| {
            let source = frame.source?;
            let name = profile.shown_name(&profile.functions()[frame.function.index()]);
            let file = escape_control(profile.file(source.file)).into_owned();
            Some((escape_control(&name).into_owned(), file, source.line.into()))
        };
        frames.filter_map(line).collect()
    }

    proptest! {
        #[test]
        fn each_line_is_of_its_file(profile in arbitrary::profile()) {
            let document = Document::new(&profile, Detail::USUAL).build(Dimension::Function).0;
            let string = |index: i64| document.string_table[usize::try_from(index).expect("an index")].clone();
            let lines_of = |location: &proto::Location| location.line.clone();
            let written: BTreeSet<Line> = document
                .location
                .iter()
                .flat_map(lines_of)
                .filter(|line| line.line > 0)
                .map(|line| {
                    let function = document.function.iter().find(|function| function.id == line.function_id);
                    let function = function.expect("the function of a line");
                    (string(function.name), string(function.filename), line.line)
                })
                .collect();
            prop_assert_eq!(written, lines(&profile));
            // Guests choose names, and a terminal obeys what it is sent.
            prop_assert!(document.string_table.iter().all(|text| *text == escape_control(text)));
            // The tool takes the first mapping for the program.
            prop_assert_eq!(string(document.mapping[0].filename), profile.name());
            prop_assert_eq!(document.mapping.len(), 1 + profile.libraries().len());
            for location in &document.location {
                let mapping = document.mapping.iter().find(|mapping| mapping.id == location.mapping_id);
                let mapping = mapping.expect("the mapping of a location");
                prop_assert!((mapping.memory_start..mapping.memory_limit).contains(&location.address));
                let function = document.function.iter().find(|function| function.id == location.line[0].function_id);
                prop_assert!(function.is_some());
            }
        }
    }

    #[test]
    fn threads_of_the_same_name_are_told_apart() {
        let (mut runner, strategy) = (TestRunner::deterministic(), arbitrary::profile());
        let profiles = (0..1000).map(|_| strategy.new_tree(&mut runner).expect("a profile").current());
        let mut profile = profiles.into_iter().find(|profile| profile.threads.len() > 1).expect("with two threads");
        let names = |profile: &Profile| {
            let document = Document::new(profile, Detail::USUAL).build(Dimension::Function).0;
            let string = |index: i64| document.string_table[usize::try_from(index).expect("an index")].clone();
            let labels = document.sample.iter().flat_map(|sample| &sample.label);
            labels.filter(|label| string(label.key) == "thread").map(|label| string(label.str)).collect::<BTreeSet<_>>()
        };
        let before = names(&profile);
        profile.threads.iter_mut().for_each(|thread| thread.name = "worker".to_owned());
        let after = names(&profile);
        assert_eq!(after.len(), before.len());
        assert!(after.is_subset(&BTreeSet::from(["worker[1]".to_owned(), "worker[2]".to_owned()])), "{after:?}");
    }
}
