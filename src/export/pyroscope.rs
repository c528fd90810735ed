//! What Grafana Pyroscope takes by `push.v1.PusherService/Push`
//! (<https://github.com/grafana/pyroscope/blob/main/api/push/v1/push.proto>): profiles in the format of pprof, and tags.
//!
//! Pyroscope makes a series of each combination of labels that samples have, so those of ours are left out. It refuses a push with
//! one label of a wrong name, so names are made right.

use std::collections::BTreeMap;

use prost::Message as _;

use super::pprof::{self, proto};
use crate::profile::{Profile, TraceIndex};

/// The pushes of a profile, each of which is the body of a request (`Content-Type: application/proto`): its CPU time as
/// `process_cpu`, and wall-clock time and numbers of samples as `wall`. Each is one series, so that one which was refused can be sent
/// again alone.
///
/// `tags` are those of all samples: keys and values, `service_name` among them, which is the profile's name unless it is given. Samples
/// have the [labels](crate::Recorder::labels) of their activation as tags, and the [span](crate::Labels::trace) that they are a part of.
#[must_use]
pub fn pyroscope_pushes(profile: &Profile, tags: &[(String, String)]) -> Vec<Vec<u8>> {
    let (mut document, traces) = pprof::with_labels_of_host(profile);
    rename_labels(&mut document);
    add_spans(&mut document, profile, &traces);
    let mut names: BTreeMap<String, &str> = BTreeMap::from([("service_name".to_owned(), profile.name())]);
    names.extend(tags.iter().map(|(key, value)| (label_name(key), value.as_str())));
    let push = |(name, kinds): (&str, &[&str])| {
        let part = part(&document, kinds);
        let is_empty = part.sample.is_empty();
        let label = |(name, value): (&str, &str)| LabelPair { name: name.to_owned(), value: value.to_owned() };
        let labels = names.iter().map(|(key, value)| (key.as_str(), *value)).chain([("__name__", name)]);
        let raw_profile = part.encode_to_vec();
        let samples = vec![RawSample { raw_profile, id: String::new() }];
        let series = vec![RawProfileSeries { labels: labels.map(label).collect(), samples }];
        (!is_empty).then(|| PushRequest { series }.encode_to_vec())
    };
    [("process_cpu", &["cpu"][..]), ("wall", &["wall", "samples"])].into_iter().filter_map(push).collect()
}

/// The same with some kinds of values, of which the first is what was sampled.
fn part(document: &proto::Profile, kinds: &[&str]) -> proto::Profile {
    let name = |kind: &proto::ValueType| usize::try_from(kind.r#type).ok().and_then(|at| document.string_table.get(at));
    let position =
        |wanted: &&str| document.sample_type.iter().position(|kind| name(kind).is_some_and(|name| name == *wanted));
    let positions: Vec<usize> = kinds.iter().filter_map(position).collect();
    let kinds: Vec<proto::ValueType> =
        positions.iter().filter_map(|at| document.sample_type.get(*at)).cloned().collect();
    let samples = document.sample.iter().map(|sample| proto::Sample {
        value: positions.iter().filter_map(|at| sample.value.get(*at)).copied().collect(),
        ..sample.clone()
    });
    let samples = samples.filter(|sample| sample.value.iter().any(|value| *value != 0)).collect();
    proto::Profile {
        period_type: kinds.first().cloned(),
        default_sample_type: kinds.first().map_or(0, |kind| kind.r#type),
        sample_type: kinds,
        sample: samples,
        ..document.clone()
    }
}

/// Gives all labels of samples names that are taken, and each its own.
fn rename_labels(document: &mut proto::Profile) {
    let mut strings = std::mem::take(&mut document.string_table);
    let mut renamed: BTreeMap<i64, i64> = BTreeMap::new();
    let mut taken: BTreeMap<String, i64> = BTreeMap::new();
    let labels = document.sample.iter_mut().flat_map(|sample| &mut sample.label);
    for label in labels {
        label.key = *renamed.entry(label.key).or_insert_with(|| {
            let key = usize::try_from(label.key).ok().and_then(|at| strings.get(at));
            let mut name = label_name(key.map_or("", String::as_str));
            while taken.contains_key(&name) {
                name.push('_');
            }
            let number = i64::try_from(strings.len()).unwrap_or(0);
            strings.push(name.clone());
            taken.insert(name, number);
            number
        });
    }
    document.string_table = strings;
}

/// Labels of which Pyroscope makes no series, but links to spans.
const SPAN: &str = "span_id";
const TRACE: &str = "trace_id";

fn add_spans(document: &mut proto::Profile, profile: &Profile, traces: &[TraceIndex]) {
    let mut numbers: BTreeMap<String, i64> = BTreeMap::new();
    let strings = &mut document.string_table;
    let mut number = |text: &str| {
        *numbers.entry(text.to_owned()).or_insert_with(|| {
            strings.push(text.to_owned());
            i64::try_from(strings.len() - 1).unwrap_or(0)
        })
    };
    for (sample, trace) in document.sample.iter_mut().zip(traces) {
        let Some(trace) = profile.trace(*trace) else { continue };
        let (trace, span) = trace.hex();
        for (key, digits) in [(SPAN, span), (TRACE, trace)] {
            sample.label.push(proto::Label { key: number(key), str: number(&digits), ..proto::Label::default() });
        }
    }
}

/// A name that Pyroscope takes: letters, digits and `_`, no digit at first, and none of those that are its own (`__name__`).
fn label_name(key: &str) -> String {
    let is_fine = |char: char| char.is_ascii_alphanumeric() || char == '_';
    let name: String = key.chars().map(|char| if is_fine(char) { char } else { '_' }).collect();
    let is_begun = name.starts_with(|char: char| char.is_ascii_alphabetic());
    let is_single = name.starts_with('_') && !name.starts_with("__") && name.len() > 1;
    let is_ours = matches!(name.as_str(), SPAN | TRACE | "profile_id");
    if (is_begun || is_single) && !is_ours { name } else { format!("label_{}", name.trim_start_matches('_')) }
}

#[derive(Clone, PartialEq, prost::Message)]
struct PushRequest {
    #[prost(message, repeated, tag = "1")]
    series: Vec<RawProfileSeries>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawProfileSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<LabelPair>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<RawSample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct LabelPair {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct RawSample {
    #[prost(bytes = "vec", tag = "1")]
    raw_profile: Vec<u8>,
    #[prost(string, tag = "2")]
    id: String,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::profile::arbitrary;

    #[test]
    fn names_of_labels_are_made_right() {
        for (key, name) in [
            ("route", "route"),
            ("service.name", "service_name"),
            ("k8s-pod", "k8s_pod"),
            ("_x", "_x"),
            ("__name__", "label_name__"),
            ("1st", "label_1st"),
            ("", "label_"),
            ("_", "label_"),
            ("ü", "label_"),
        ] {
            assert_eq!(label_name(key), name, "{key}");
        }
    }

    proptest! {
        #[test]
        fn a_push_has_what_pyroscope_takes(mut profile in arbitrary::profile(), keys in prop::collection::vec("\\PC{0,6}", 2)) {
            profile.labels[1] = keys.iter().map(|key| (key.clone(), "a".to_owned())).collect::<BTreeMap<_, _>>().into_iter().collect();
            let pushes = pyroscope_pushes(&profile, &[("service.name".to_owned(), "shop".to_owned())]);
            for push in &pushes {
                let push = PushRequest::decode(&push[..]).expect("what was written");
                let [series] = &push.series[..] else { panic!("one series") };
                let labels: BTreeMap<&str, &str> =
                    series.labels.iter().map(|label| (label.name.as_str(), label.value.as_str())).collect();
                prop_assert_eq!((labels["service_name"], labels.len()), ("shop", 2));
                let read = proto::Profile::decode(&series.samples[0].raw_profile[..]).expect("pprof");
                let string = |at: i64| read.string_table[usize::try_from(at).expect("an index")].as_str();
                let kinds: Vec<&str> = read.sample_type.iter().map(|kind| string(kind.r#type)).collect();
                let expected: &[&str] = if labels["__name__"] == "wall" { &["wall", "samples"] } else { &["cpu"] };
                prop_assert_eq!(&kinds[..], expected);
                for sample in &read.sample {
                    prop_assert_eq!(sample.value.len(), kinds.len());
                    let keys: BTreeSet<&str> = sample.label.iter().map(|label| string(label.key)).collect();
                    prop_assert_eq!(keys.len(), sample.label.len(), "each its own");
                    prop_assert_eq!(keys.contains(SPAN), keys.contains(TRACE));
                    let others = keys.iter().filter(|key| ![SPAN, TRACE].contains(key));
                    prop_assert!(others.clone().all(|key| label_name(key) == **key), "{:?}", keys);
                }
                let has_spans = read.sample.iter().any(|sample| sample.label.iter().any(|label| string(label.key) == SPAN));
                let spans = profile.samples().any(|sample| profile.trace(sample.trace).is_some() && !sample.cpu.is_zero());
                prop_assert!(has_spans || !spans);
                let sum = |at: usize| read.sample.iter().map(|sample| sample.value[at]).sum::<i64>();
                let wall = if labels["__name__"] == "wall" { profile.wall_time() } else { profile.cpu_time() };
                prop_assert_eq!(u128::try_from(sum(0))?, wall.as_nanos());
            }
            let is_any = profile.wall_time() > std::time::Duration::ZERO;
            prop_assert!(pushes.len() >= usize::from(is_any));
        }
    }
}
