//! OpenTelemetry's format of profiles: `ProfilesData`, which is the body of a request to a collector as well.
//!
//! It has the tables of pprof, each with a first row that means nothing, and in addition links to spans. So it is made of what
//! [`pprof`](super::pprof) makes. What the format leaves open is chosen so that the Collector, Pyroscope and Parca take it: sums without
//! times, a profile for each kind of value, texts in full.

use std::io::Write;

use indexmap::{IndexMap, IndexSet};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::profiles::v1development::{
    Function, KeyValueAndUnit, Line, Link, Location, Mapping, Profile as OtlpProfile, ProfilesData, ProfilesDictionary,
    ResourceProfiles, Sample, ScopeProfiles, Stack, ValueType,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;

use super::pprof::{self, proto};
use crate::error::{Error, Result};
use crate::profile::{Profile, TraceIndex};
use crate::symbols::Layer;

/// Writes `profile` in OpenTelemetry's format, uncompressed: a `ProfilesData` message, which is the same as the
/// `ExportProfilesServiceRequest` that a collector takes at `/v1development/profiles`.
///
/// `resource` says whose profile it is: keys and values of attributes such as `service.name`, which is the profile's name unless it is
/// given. There is a profile for each of the kinds `wall`, `cpu`, `samples`, and `preempted` if that is known, in this order. Samples have
/// the attributes `thread.name`, `witprof.layer`, `witprof.part` (`own` or `boundary`), `witprof.interface`,
/// `witprof.interface_function` and the [labels](crate::Recorder::labels) of their activation, and are linked to the span that this is [a part
/// of](crate::Labels::trace). Locations have `profile.frame.type`: `wasm`, `native`, or the language of a script.
///
/// The format is [a preview](https://opentelemetry.io/docs/specs/otel/profiles/): this is version 1.10.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_otlp(profile: &Profile, resource: &[(String, String)], out: &mut dyn Write) -> Result<()> {
    let data = Converter::new(profile).data(resource);
    out.write_all(&data.encode_to_vec()).map_err(|source| Error::Write { format: "OTLP", source })
}

/// How labels of pprof are called here.
const ATTRIBUTES: [(&str, &str); 5] = [
    ("thread", "thread.name"),
    ("layer", "witprof.layer"),
    ("part", "witprof.part"),
    ("interface", "witprof.interface"),
    ("interface_function", "witprof.interface_function"),
];

/// The order of the kinds of values: what is shown first comes first.
const KINDS: [&str; 4] = ["wall", "cpu", "samples", "preempted"];

/// What makes two samples the same: stack, attributes and link.
type Identity = (i32, Vec<i32>, i32);

struct Converter<'p> {
    profile: &'p Profile,
    document: proto::Profile,
    /// By sample of the document.
    traces: Vec<TraceIndex>,
    strings: IndexSet<String>,
    /// Key and value.
    attributes: IndexSet<(i32, String)>,
    stacks: IndexSet<Vec<i32>>,
}

impl<'p> Converter<'p> {
    fn new(profile: &'p Profile) -> Self {
        let (mut document, traces) = pprof::with_traces(profile);
        let strings = std::mem::take(&mut document.string_table).into_iter().collect();
        let (attributes, stacks) = (IndexSet::from([(0, String::new())]), IndexSet::from([Vec::new()]));
        Self { profile, document, traces, strings, attributes, stacks }
    }

    fn data(mut self, resource: &[(String, String)]) -> ProfilesData {
        let profiles = self.profiles();
        let (version, name) = (env!("CARGO_PKG_VERSION").to_owned(), "witprof".to_owned());
        let scope = InstrumentationScope { name, version, ..InstrumentationScope::default() };
        let scope = ScopeProfiles { scope: Some(scope), profiles, ..ScopeProfiles::default() };
        let resource = Resource { attributes: self.resource(resource), ..Resource::default() };
        let of_resource =
            ResourceProfiles { resource: Some(resource), scope_profiles: vec![scope], ..ResourceProfiles::default() };
        ProfilesData { resource_profiles: vec![of_resource], dictionary: Some(self.dictionary()) }
    }

    fn resource(&self, given: &[(String, String)]) -> Vec<KeyValue> {
        let origin = self.profile.origin();
        let known = [
            ("service.name", Some(self.profile.name())),
            ("telemetry.sdk.name", Some("witprof")),
            ("telemetry.sdk.language", Some("rust")),
            ("telemetry.sdk.version", Some(env!("CARGO_PKG_VERSION"))),
            ("process.runtime.name", Some("wasmtime")),
            ("process.runtime.version", origin.wasmtime.as_deref()),
            ("os.type", origin.os.as_deref()),
            ("host.arch", origin.arch.as_deref()),
        ];
        let mut attributes: IndexMap<&str, &str> = known
            .into_iter()
            .filter_map(|(key, value)| Some((key, value.filter(|value| !value.is_empty())?)))
            .collect();
        attributes.extend(given.iter().map(|(key, value)| (key.as_str(), value.as_str())));
        let attribute = |(key, value): (&str, &str)| KeyValue {
            key: key.to_owned(),
            value: Some(text(value)),
            ..KeyValue::default()
        };
        attributes.into_iter().map(attribute).collect()
    }

    /// A profile for each kind of value.
    fn profiles(&mut self) -> Vec<OtlpProfile> {
        let mut identities: IndexMap<Identity, Vec<i64>> = IndexMap::new();
        let samples = std::mem::take(&mut self.document.sample);
        for (sample, trace) in samples.into_iter().zip(std::mem::take(&mut self.traces)) {
            let stack = sample.location_id.into_iter().map(index).collect();
            let stack = index(self.stacks.insert_full(stack).0 as u64);
            let mut attributes: Vec<i32> = sample.label.iter().map(|label| self.attribute(label)).collect();
            attributes.sort_unstable();
            let link = i32::try_from(trace.0).unwrap_or(0);
            let sums = identities.entry((stack, attributes, link)).or_insert_with(|| vec![0; sample.value.len()]);
            sums.iter_mut().zip(sample.value).for_each(|(sum, value)| *sum = sum.saturating_add(value));
        }
        let kind = |position: usize| {
            self.document.sample_type.get(position).map(|kind| self.strings[kind.r#type as usize].as_str())
        };
        let positions =
            KINDS.iter().filter_map(|wanted| (0..KINDS.len()).find(|position| kind(*position) == Some(wanted)));
        let positions: Vec<usize> = positions.collect();
        positions
            .into_iter()
            .map(|position| {
                let samples = identities.iter().filter(|(_, values)| values[position] != 0);
                let samples = samples.map(|((stack_index, attribute_indices, link_index), values)| Sample {
                    stack_index: *stack_index,
                    attribute_indices: attribute_indices.clone(),
                    link_index: *link_index,
                    values: vec![values[position]],
                    timestamps_unix_nano: Vec::new(),
                });
                OtlpProfile {
                    sample_type: self.document.sample_type.get(position).map(value_type),
                    samples: samples.collect(),
                    time_unix_nano: self.document.time_nanos.try_into().unwrap_or(0),
                    duration_nano: self.document.duration_nanos.try_into().unwrap_or(0),
                    period_type: self.document.period_type.as_ref().map(value_type),
                    period: self.document.period,
                    ..OtlpProfile::default()
                }
            })
            .collect()
    }

    fn attribute(&mut self, label: &proto::Label) -> i32 {
        let string = |index: i64| &self.strings[usize::try_from(index).unwrap_or(0)];
        let (key, value) = (string(label.key), string(label.str).clone());
        let known = ATTRIBUTES.iter().find(|(of_pprof, _)| of_pprof == key);
        let key = known.map_or_else(|| key.clone(), |(_, name)| (*name).to_owned());
        let key = self.string(key);
        index(self.attributes.insert_full((key, value)).0 as u64)
    }

    fn string(&mut self, text: String) -> i32 {
        index(self.strings.insert_full(text).0 as u64)
    }

    fn dictionary(mut self) -> ProfilesDictionary {
        let document = std::mem::take(&mut self.document);
        let mappings = document.mapping.iter().map(|mapping| Mapping {
            memory_start: mapping.memory_start,
            memory_limit: mapping.memory_limit,
            filename_strindex: index_of(mapping.filename),
            ..Mapping::default()
        });
        let functions = document.function.iter().map(|function| Function {
            name_strindex: index_of(function.name),
            filename_strindex: index_of(function.filename),
            ..Function::default()
        });
        let links = self.profile.traces.iter().map(|trace| {
            let link = |trace: crate::samples::TraceContext| Link {
                trace_id: trace.trace_id.to_vec(),
                span_id: trace.span_id.to_vec(),
            };
            trace.map_or_else(Link::default, link)
        });
        let frame_type = self.string("profile.frame.type".to_owned());
        let mut locations = vec![Location::default()];
        for location in &document.location {
            let kind = self.frame_type(location.mapping_id);
            let kind = kind.map(|kind| index(self.attributes.insert_full((frame_type, kind.to_owned())).0 as u64));
            let line = |line: &proto::Line| Line {
                function_index: index(line.function_id),
                line: line.line,
                column: line.column,
            };
            locations.push(Location {
                mapping_index: index(location.mapping_id),
                address: location.address,
                lines: location.line.iter().map(line).collect(),
                attribute_indices: kind.into_iter().collect(),
            });
        }
        let attribute = |(key, value): &(i32, String)| KeyValueAndUnit {
            key_strindex: *key,
            value: (*key != 0).then(|| text(value)),
            unit_strindex: 0,
        };
        let stack = |locations: &Vec<i32>| Stack { location_indices: locations.clone() };
        ProfilesDictionary {
            mapping_table: std::iter::once(Mapping::default()).chain(mappings).collect(),
            location_table: locations,
            function_table: std::iter::once(Function::default()).chain(functions).collect(),
            link_table: links.collect(),
            attribute_table: self.attributes.iter().map(attribute).collect(),
            stack_table: self.stacks.iter().map(stack).collect(),
            string_table: self.strings.into_iter().collect(),
        }
    }

    /// The kind of code that a mapping has; nothing of the component as a whole.
    fn frame_type(&self, mapping: u64) -> Option<&'static str> {
        let library = pprof::library_of(mapping)?;
        let library = self.profile.libraries().get(library)?;
        Some(match library.layer {
            Layer::Host => "native",
            Layer::Script if library.name.contains("Python") => "cpython",
            Layer::Script => "javascript",
            _ => "wasm",
        })
    }
}

fn text(value: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(value.to_owned())) }
}

fn value_type(kind: &proto::ValueType) -> ValueType {
    ValueType { type_strindex: index_of(kind.r#type), unit_strindex: index_of(kind.unit) }
}

/// Numbers of pprof count from 1 on, as positions do here behind the first row. Tables are not so long that this fails.
fn index(number: u64) -> i32 {
    i32::try_from(number).unwrap_or(0)
}

fn index_of(string: i64) -> i32 {
    i32::try_from(string).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet, HashSet};

    use proptest::prelude::*;

    use super::*;
    use crate::export::escape_control;
    use crate::profile::{Attribution, Part, arbitrary};

    fn written(profile: &Profile, resource: &[(&str, &str)]) -> ProfilesData {
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        let mut out = Vec::new();
        write_otlp(profile, &resource.iter().map(own).collect::<Vec<_>>(), &mut out).expect("writing to memory");
        ProfilesData::decode(&out[..]).expect("what was written")
    }

    fn value_of(value: Option<&AnyValue>) -> String {
        match value.and_then(|value| value.value.as_ref()) {
            Some(Value::StringValue(text)) => text.clone(),
            other => panic!("no text: {other:?}"),
        }
    }

    /// Stack with functions, files and lines; attributes; trace and span; kind of value.
    type Said = (Vec<(String, String, i64)>, BTreeMap<String, String>, Vec<u8>, String);

    /// What a reader gets, by the rules of the format alone.
    fn read(data: &ProfilesData) -> BTreeMap<Said, i64> {
        let tables = data.dictionary.as_ref().expect("tables");
        let string = |index: i32| tables.string_table[usize::try_from(index).expect("an index")].clone();
        let at = |index: i32| usize::try_from(index).expect("an index");
        let mut said = BTreeMap::new();
        for profile in &data.resource_profiles[0].scope_profiles[0].profiles {
            let kind = string(profile.sample_type.expect("a kind").type_strindex);
            for sample in &profile.samples {
                let stack = &tables.stack_table[at(sample.stack_index)];
                let lines = stack.location_indices.iter().flat_map(|index| &tables.location_table[at(*index)].lines);
                let lines = lines.map(|line| {
                    let function = &tables.function_table[at(line.function_index)];
                    (string(function.name_strindex), string(function.filename_strindex), line.line)
                });
                let attributes = sample.attribute_indices.iter().map(|index| &tables.attribute_table[at(*index)]);
                let attributes = attributes.map(|row| (string(row.key_strindex), value_of(row.value.as_ref())));
                let attributes: BTreeMap<_, _> = attributes.collect();
                assert_eq!(attributes.len(), sample.attribute_indices.len(), "each key once");
                let link = &tables.link_table[at(sample.link_index)];
                let link = [link.trace_id.clone(), link.span_id.clone()].concat();
                let key = (lines.collect(), attributes, link, kind.clone());
                assert_eq!((sample.values.len(), sample.timestamps_unix_nano.len()), (1, 0), "sums without times");
                *said.entry(key).or_default() += sample.values[0];
            }
        }
        said
    }

    /// The same from the profile itself.
    fn expected(profile: &Profile) -> BTreeMap<Said, i64> {
        let attribution = Attribution::new(profile);
        let escaped = |text: &str| escape_control(text).into_owned();
        let mut said: BTreeMap<Said, i64> = BTreeMap::new();
        for (thread, samples) in profile.threads().iter().enumerate() {
            for sample in &samples.samples {
                let frames = profile.outwards(sample.stack).map(|stack| profile.innermost(stack));
                let lines = frames.map(|frame| {
                    let function = &profile.functions()[frame.function.index()];
                    let library = &profile.libraries()[function.library.index()].name;
                    let file = frame.source.map(|source| source.file).or(function.file);
                    let file = file.map_or(library.as_str(), |file| profile.file(file));
                    let line = frame.source.map_or(0, |source| i64::from(source.line));
                    (escaped(&profile.shown_name(function)), escaped(file), line)
                });
                let lines: Vec<_> = lines.collect();
                let leaf = &profile.functions()[profile.leaf(sample.stack).index()];
                let layer = profile.libraries()[leaf.library.index()].layer.name();
                let part = if attribution.part(sample.stack) == Part::Own { "own" } else { "boundary" };
                let mut attributes = BTreeMap::from([
                    ("thread.name".to_owned(), escaped(&profile.distinct_thread_name(thread))),
                    ("witprof.layer".to_owned(), layer.to_owned()),
                    ("witprof.part".to_owned(), part.to_owned()),
                ]);
                if let Some(crossed) = attribution.crossing(sample.stack) {
                    let crossing = crossed.what.map(|what| attribution.get(what));
                    let unknown = || crate::profile::UNKNOWN_INTERFACE.to_owned();
                    let interface = crossing.map_or_else(unknown, |crossing| escaped(&crossing.interface_name()));
                    let function = crossing.map_or_else(unknown, |crossing| escaped(&crossing.to_string()));
                    attributes.insert("witprof.interface".to_owned(), interface);
                    attributes.insert("witprof.interface_function".to_owned(), function);
                }
                let labels = profile.labels(sample.labels).iter();
                attributes.extend(labels.map(|(key, value)| (escaped(key), escaped(value))));
                let link = profile.trace(sample.trace);
                let link = link.map_or_else(Vec::new, |link| [&link.trace_id[..], &link.span_id[..]].concat());
                let nanos = |time: std::time::Duration| i64::try_from(time.as_nanos()).expect("not so long");
                for (kind, value) in [
                    ("samples", i64::try_from(sample.count).expect("few")),
                    ("wall", nanos(sample.wall)),
                    ("cpu", nanos(sample.cpu)),
                    ("preempted", nanos(sample.preempted)),
                ] {
                    if value != 0 {
                        let key = (lines.clone(), attributes.clone(), link.clone(), kind.to_owned());
                        *said.entry(key).or_default() += value;
                    }
                }
            }
        }
        said
    }

    proptest! {
        #[test]
        fn every_name_value_and_link_comes_back(profile in arbitrary::profile()) {
            prop_assert_eq!(read(&written(&profile, &[])), expected(&profile));
        }

        /// What receivers refuse, as the format's own checker and Parca have it.
        #[test]
        fn the_rules_of_the_format_are_kept(profile in arbitrary::profile()) {
            let data = written(&profile, &[]);
            let tables = data.dictionary.as_ref().expect("tables");
            prop_assert_eq!(&tables.mapping_table[0], &Mapping::default());
            prop_assert_eq!(&tables.location_table[0], &Location::default());
            prop_assert_eq!(&tables.function_table[0], &Function::default());
            prop_assert_eq!(&tables.link_table[0], &Link::default());
            prop_assert_eq!(&tables.attribute_table[0], &KeyValueAndUnit::default());
            prop_assert_eq!(&tables.stack_table[0], &Stack::default());
            prop_assert_eq!(&tables.string_table[0], "");
            prop_assert_eq!(tables.string_table.iter().collect::<HashSet<_>>().len(), tables.string_table.len());
            prop_assert_eq!(tables.stack_table.iter().collect::<HashSet<_>>().len(), tables.stack_table.len());
            prop_assert!(tables.link_table[1..].iter().all(|link| link.trace_id.len() == 16 && link.span_id.len() == 8));
            prop_assert!(tables.mapping_table[1..].iter().all(|mapping| mapping.memory_start < mapping.memory_limit));
            prop_assert!(tables.function_table[1..].iter().all(|function| function.name_strindex > 0));
            for location in &tables.location_table[1..] {
                let mapping = &tables.mapping_table[usize::try_from(location.mapping_index)?];
                prop_assert!((mapping.memory_start..mapping.memory_limit).contains(&location.address));
                prop_assert_eq!(location.attribute_indices.len(), 1, "its kind of code");
            }
            let profiles = &data.resource_profiles[0].scope_profiles[0].profiles;
            let kind = |profile: &OtlpProfile| {
                let kind = profile.sample_type.expect("a kind").type_strindex;
                tables.string_table[usize::try_from(kind).expect("an index")].clone()
            };
            prop_assert_eq!(profiles.iter().map(kind).collect::<Vec<_>>(), KINDS);
            for profile in profiles {
                prop_assert!(profile.period > 0 && profile.period_type.is_some() && profile.time_unix_nano > 0);
                let identities = profile.samples.iter().map(|sample| (sample.stack_index, sample.attribute_indices.clone(), sample.link_index));
                prop_assert_eq!(identities.collect::<BTreeSet<_>>().len(), profile.samples.len());
            }
        }
    }

    #[test]
    fn a_resource_is_what_it_is_said_to_be() {
        let profile = arbitrary::of_stack(&[(crate::symbols::FunctionKind::Guest, "")]);
        let attributes = |given: &[(&str, &str)]| {
            let data = written(&profile, given);
            let resource = data.resource_profiles[0].resource.clone().expect("a resource");
            let attribute = |attribute: &KeyValue| (attribute.key.clone(), value_of(attribute.value.as_ref()));
            resource.attributes.iter().map(attribute).collect::<BTreeMap<_, _>>()
        };
        assert_eq!(attributes(&[])["service.name"], profile.name());
        let given = attributes(&[("service.name", "shop"), ("deployment.environment", "test")]);
        assert_eq!((given["service.name"].as_str(), given["deployment.environment"].as_str()), ("shop", "test"));
        assert_eq!(given["telemetry.sdk.name"], "witprof");
    }
}
