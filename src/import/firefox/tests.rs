use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::address::WasmOffset;
use crate::export::write_firefox;
use crate::profile::{Dimension, Frame, arbitrary};
use crate::symbols::FunctionKind;
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
        let file = written(&profile);
        let read = read_firefox(&mut &file[..]).expect("it is one of ours");
        for &dimension in Dimension::ALL {
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
        let texts = |profile: &Profile| -> BTreeSet<(String, String)> {
            let texts = profile.files().filter_map(|(file, path)| Some((path, profile.source_text(file)?)));
            texts.map(|(path, text)| (path.to_owned(), text.to_owned())).collect()
        };
        // As far as something was seen in the file.
        prop_assert!(texts(&read).is_subset(&texts(&profile)));
        let is_seen = |(path, _): &(String, String)| read.files().any(|(_, other)| other == path);
        prop_assert!(texts(&profile).iter().filter(|text| is_seen(text)).all(|text| texts(&read).contains(text)));
        prop_assert_eq!(places(&read), places(&profile));
        prop_assert_eq!((read.name(), read.origin()), (profile.name(), profile.origin()));
        prop_assert_eq!(read.counts(), profile.counts());
        prop_assert_eq!((read.sampler(), read.interval()), (profile.sampler(), profile.interval()));
        prop_assert_eq!((read.started_at(), read.elapsed()), (profile.started_at(), profile.elapsed()));
        // And is the same again when it is written again.
        let again = read_firefox(&mut &written(&read)[..]).expect("it is one of ours");
        prop_assert_eq!(again.report(Dimension::Function), read.report(Dimension::Function));
        // Older files do not have the ends of crossings, which changes nothing else.
        let mut old: Value = serde_json::from_slice(&file).expect("JSON");
        let own = old["meta"]["witprof"].as_object_mut().expect("what is ours");
        prop_assert!(own.remove("function_ends").is_some());
        let old = read_firefox(&mut &serde_json::to_vec(&old).expect("JSON")[..]).expect("it is an older one");
        prop_assert_eq!(old.report(Dimension::Function), read.report(Dimension::Function));
        prop_assert!(old.functions().iter().all(|function| function.ends == crate::symbols::Ends::default()));
    }

    /// As the front-end saves it where hidden tracks are not asked for.
    #[test]
    fn without_hidden_tracks_there_is_what_was_shown(profile in arbitrary::profile()) {
        let mut file: Value = serde_json::from_slice(&written(&profile)).expect("JSON");
        let visible = file["meta"]["initialVisibleThreads"].as_array().expect("a list").clone();
        let threads = file["threads"].as_array_mut().expect("threads");
        threads.truncate(visible.len());
        let shown = profile.with_host_frames(crate::profile::HostFrames::Inner);
        let read = read_firefox(&mut &serde_json::to_vec(&file).expect("JSON")[..]).expect("it is one of ours");
        for &dimension in Dimension::ALL {
            let sums = |profile: &Profile| {
                let rows = profile.report(dimension).rows.into_iter().filter(|row| !row.total.is_zero());
                rows.map(|row| (row.name, row.detail, row.own, row.total)).collect::<BTreeSet<_>>()
            };
            prop_assert_eq!(sums(&read), sums(&shown));
        }
    }

    #[test]
    fn a_damaged_profile_is_an_error_or_a_profile(
        profile in arbitrary::profile(),
        at in any::<prop::sample::Index>(), byte in any::<u8>(), cut in any::<bool>(),
    ) {
        let mut json = written(&profile);
        let at = at.index(json.len());
        if cut { json.truncate(at) } else { json[at] = byte }
        if let Ok(read) = read_firefox(&mut &json[..]) {
            // All indices are in range.
            for &dimension in Dimension::ALL {
                let _ = read.report(dimension);
            }
            written(&read);
        }
    }
}

/// Where to put something else, and what.
fn damage() -> impl Strategy<Value = (prop::sample::Index, Value)> {
    let values = [
        json!(null),
        json!(-1),
        json!(0),
        json!(1),
        json!(3),
        json!(40),
        json!(u32::MAX),
        json!(u64::MAX),
        json!(0.5),
        json!(1e300),
        json!("bytes"),
        json!([]),
        json!([0, 1]),
        json!({}),
    ];
    (any::<prop::sample::Index>(), prop::sample::select(values.to_vec()))
}

/// All places in `value`, which is at `at`, that may be read.
fn places_in(value: &Value, at: String) -> Vec<String> {
    let mut places = vec![at.clone()];
    match value {
        Value::Array(values) => {
            places.extend(values.iter().enumerate().flat_map(|(row, value)| places_in(value, format!("{at}/{row}"))));
        }
        Value::Object(values) => {
            let read = values.iter().filter(|(key, _)| *key != "markers");
            places.extend(read.flat_map(|(key, value)| places_in(value, format!("{at}/{key}"))));
        }
        _ => {}
    }
    places
}

proptest! {
    /// Bytes hit names and our own data most of the time. This hits what the tables are made of.
    #[test]
    fn a_damaged_table_is_an_error_or_a_profile(
        profile in arbitrary::profile(), damage in prop::collection::vec(damage(), 1..4),
    ) {
        let mut file: Value = serde_json::from_slice(&written(&profile)).expect("JSON");
        for (at, value) in damage {
            let parts = ["libs", "threads", "shared"].into_iter().filter(|part| file.get(part).is_some());
            let places = parts.map(|part| places_in(&file[part], format!("/{part}")));
            let places: Vec<String> = places.flatten().collect();
            *file.pointer_mut(at.get(&places[..]).as_str()).expect("it was found there") = value;
        }
        if let Ok(read) = read_firefox(&mut &serde_json::to_vec(&file).expect("JSON")[..]) {
            for &dimension in Dimension::ALL {
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
    let sizes = profile(r#"{"stack": [0]}"#, stacks)
        .replace("{\"interval", "{\"sampleUnits\": {\"time\": \"bytes\"}, \"interval");
    let ours = profile(r#"{"stack": [0]}"#, stacks)
        .replace("{\"interval", "{\"witprof\": {\"version\": VERSION, \"new\": 7}, \"interval");
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
        (&profile(r#"{"stack": [0]}"#, stacks).replace("55", "70"), "there is no `stackTable`, which version 70"),
        (&profile(r#"{"stack": [0], "weight": [1], "weightType": "bytes"}"#, stacks), "weighed in bytes"),
        (&sizes, "of sizes, not of time"),
        (&ours.replace("VERSION", "1"), "missing field `sampler`"),
        (&ours.replace("VERSION", "99"), "another version of witprof wrote it (form 99 of its own data)"),
        (r#"{"meta": {"interval": 1}, "threads": []}"#, "no `meta.preprocessedProfileVersion`"),
    ] {
        let problem = problem(json);
        assert!(problem.contains(expected), "{problem:?} does not say {expected:?}");
    }
    let read = read_firefox(&mut profile(r#"{"stack": [0, null, 0]}"#, stacks).as_bytes()).expect("a profile");
    assert_eq!((read.counts().kept, read.wall_time()), (2, Duration::from_millis(2)));
    // `meta` need not be first.
    let meta = r#""meta": {"interval": 1, "preprocessedProfileVersion": 55}"#;
    let json = profile(r#"{"stack": [0]}"#, stacks).replace(&format!("{meta}, "), "");
    let json = format!("{}, {meta}}}", json.strip_suffix('}').expect("an object"));
    assert_eq!(read_firefox(&mut json.as_bytes()).expect("a profile").counts().kept, 1);
}
