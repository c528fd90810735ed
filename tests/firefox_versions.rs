//! Profiles in each version of the Firefox Profiler's format, which its own upgraders made of ours
//! (`tests/profiles/README.md` has the commands).
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use proptest::prelude::*;
use serde_json::{Value, json};
use witprof::{Dimension, Profile, Report, read_firefox};

/// The JSON of a profile of `tests/profiles/versions`.
fn file(name: &str) -> Vec<u8> {
    support::gunzip(&support::read(&support::root().join("tests/profiles/versions").join(format!("{name}.json.gz"))))
}

fn profile(name: &str) -> Profile {
    read_firefox(&mut &file(name)[..]).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn version_of(name: &str) -> u64 {
    let json: Value = serde_json::from_slice(&file(name)).expect("JSON");
    json["meta"]["preprocessedProfileVersion"].as_u64().expect("a version")
}

/// The upgraded files of a profile.
fn upgraded(name: &str) -> Vec<String> {
    let versions: Vec<u32> = if name == "hot" { (56..=70).collect() } else { vec![60, 70] };
    let files = versions.into_iter().map(|version| {
        let upgraded = format!("{name}-v{version}");
        assert_eq!(version_of(&upgraded), u64::from(version));
        upgraded
    });
    files.chain([format!("{name}-download")]).collect()
}

/// Rows in an order of their own.
fn rows(mut report: Report) -> Report {
    report.rows.sort_by(|a, b| (&a.name, &a.detail).cmp(&(&b.name, &b.detail)));
    report
}

type Place = (String, String, u32, Option<u32>, Option<(String, u32, Option<u32>)>);

/// The frames of all samples, as what tells them apart.
fn places(profile: &Profile) -> BTreeSet<Place> {
    let stacks = profile
        .threads()
        .iter()
        .flat_map(|thread| &thread.samples)
        .flat_map(|sample| std::iter::successors(Some(sample.stack), |at| profile.stacks()[at.index()].caller));
    let place = |stack: witprof::StackIndex| {
        let frame = profile.frames()[profile.stacks()[stack.index()].frame.index()];
        let function = &profile.functions()[frame.function.index()];
        let library = &profile.libraries()[function.library.index()];
        let source = frame.source.map(|source| (profile.file(source.file).to_owned(), source.line, source.column));
        let at = frame.point.lookup_offset().get();
        let name = format!("{} {} {}", function.name, function.offset, function.size);
        (format!("{} {:?}", library.name, library.component), name, at, frame.instruction.map(|at| at.get()), source)
    };
    stacks.map(place).collect()
}

#[test]
fn every_version_is_read_as_the_one_it_was_made_from() {
    for name in ["hot", "kitchen", "serve"] {
        let ours = profile(&format!("{name}-v55"));
        assert!(ours.wall_time().as_millis() > 50, "{name}");
        for later in upgraded(name) {
            let read = profile(&later);
            for &dimension in Dimension::ALL {
                assert_eq!(rows(read.report(dimension)), rows(ours.report(dimension)), "{later} by {dimension:?}");
            }
            for label in ["route", "method"] {
                let report = |profile: &Profile| rows(profile.report_by_label(label));
                assert_eq!(report(&read), report(&ours), "{later} by {label}");
            }
            assert_eq!(places(&read), places(&ours), "{later}");
            let threads = |profile: &Profile| -> Vec<_> {
                profile.threads().iter().map(|thread| (thread.name.clone(), thread.samples.len())).collect()
            };
            assert_eq!(threads(&read), threads(&ours), "{later}");
            assert_eq!(read.counts(), ours.counts(), "{later}");
            assert_eq!((read.name(), read.sampler()), (ours.name(), ours.sampler()), "{later}");
            assert_eq!((read.interval(), read.elapsed()), (ours.interval(), ours.elapsed()), "{later}");
            assert_eq!((read.wall_time(), read.cpu_time()), (ours.wall_time(), ours.cpu_time()), "{later}");
            // A number of nanoseconds since 1970 is rounded in JavaScript.
            let since = read.started_at().duration_since(ours.started_at());
            let apart = since.unwrap_or_else(|earlier| earlier.duration());
            assert!(apart < Duration::from_micros(1), "{later}: {apart:?}");
            // What the format has no place for.
            assert_eq!(read.calls(), ours.calls(), "{later}");
            assert_eq!(read.memories(), ours.memories(), "{later}");
            assert_eq!(read.memory_growths(), ours.memory_growths(), "{later}");
            assert_eq!(read.spans(), ours.spans(), "{later}");
            assert_eq!(read.missing_lines(), ours.missing_lines(), "{later}");
        }
    }
}

#[test]
fn a_part_of_a_recording_is_no_more_than_that() {
    for name in ["hot", "kitchen", "serve"] {
        let (whole, part) = (profile(&format!("{name}-v55")), profile(&format!("{name}-cut")));
        let json: Value = serde_json::from_slice(&file(&format!("{name}-cut"))).expect("JSON");
        let begin = json["meta"]["profilingStartTime"].as_f64().expect("a time") / 1e3;
        let begin = Duration::from_secs_f64(begin).saturating_sub(Duration::from_nanos(1));
        // The samples from there on, as they were.
        let sum = |profile: &Profile| -> (usize, Duration) {
            let samples = profile.threads().iter().flat_map(|thread| &thread.samples);
            let walls: Vec<Duration> =
                samples.filter(|sample| sample.time >= begin).map(|sample| sample.wall).collect();
            (walls.len(), walls.iter().sum())
        };
        let (count, wall) = sum(&part);
        assert!(count > 0 && part.wall_time() == wall && wall < whole.wall_time(), "{name}");
        // The first may be the rest of a sample of two rows.
        let (all, expected) = sum(&whole);
        assert!(
            count == all && wall <= expected && expected - wall <= whole.interval(),
            "{name}: {wall:?}, {expected:?}"
        );
        assert!(places(&part).is_subset(&places(&whole)), "{name}");
        let elapsed = whole.elapsed().saturating_sub(begin);
        assert!(part.elapsed().abs_diff(elapsed) < Duration::from_micros(1), "{name}: {:?}", part.elapsed());
        assert_eq!((part.counts().taken, part.counts().kept), (count as u64, count as u64), "{name}");
        assert!(part.counts().lost.is_empty() && part.calls().is_none(), "{name}");
        // To which rows the labels belong cannot be told any more; `/wait` must not be called `/busy`.
        assert!(part.report_by_label("route").rows.iter().all(|row| !row.name.starts_with('/')), "{name}");
        let spans = whole.spans().iter().filter(|span| span.begin + span.wall >= begin);
        assert!(part.spans().iter().eq(spans), "{name}");
    }
    assert!(profile("serve-cut").spans().len() < profile("serve-v55").spans().len());
}

/// So that the tests before this one compare something.
#[test]
fn the_profiles_have_what_can_get_lost() {
    let (hot, kitchen, serve) = (profile("hot-v55"), profile("kitchen-v55"), profile("serve-v55"));
    let has = |profile: &Profile, dimension: Dimension, name: &str| {
        profile.report(dimension).rows.iter().any(|row| row.name.contains(name))
    };
    assert!(has(&hot, Dimension::Line, "hot-c-mix.h:8") && has(&hot, Dimension::Function, "mix"));
    assert!(has(&kitchen, Dimension::Interface, "demo:math/ops@0.1.0 (internal)"));
    assert!(!kitchen.memories().is_empty() && !kitchen.missing_lines().is_empty());
    let routes = serve.report_by_label("route").rows;
    assert!(["/busy", "/wait"].iter().all(|route| routes.iter().any(|row| row.name == *route)), "{routes:?}");
    assert!(serve.calls().is_some_and(|calls| !calls.kept().is_empty()) && !serve.spans().is_empty());
    assert!(!serve.memories().is_empty());
}

#[test]
fn the_binary_reports_what_the_front_end_saved() {
    let report = |name: &str| {
        let path = support::root().join(format!("tests/profiles/versions/{name}.json.gz"));
        let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
        let output = command.args(["report", "--json"]).arg(path).output().expect("running witprof");
        assert_eq!(output.status.code(), Some(0), "{name}: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice::<Value>(&output.stdout).expect("JSON")
    };
    assert_eq!(report("kitchen-download"), report("kitchen-v55"));
}

/// A file with another version, or none.
fn with_meta(json: &[u8], change: impl Fn(&mut serde_json::Map<String, Value>)) -> String {
    let mut json: Value = serde_json::from_slice(json).expect("JSON");
    change(json["meta"].as_object_mut().expect("meta"));
    json.to_string()
}

#[test]
fn the_version_is_judged_before_the_shape() {
    let newest = file("hot-v70");
    let with_version = |version: u32| {
        with_meta(&newest, |meta| {
            meta.insert("preprocessedProfileVersion".to_owned(), version.into());
        })
    };
    // A newer version that is like the newest.
    let newer = read_firefox(&mut with_version(71).as_bytes()).expect("it is like version 70");
    assert_eq!(newer.wall_time(), profile("hot-v70").wall_time());
    let gecko = with_meta(&newest, |meta| {
        meta.remove("preprocessedProfileVersion");
        meta.insert("version".to_owned(), 33.into());
    });
    let shapeless = |version: u32| with_version(version).replace("\"threads\":[{", "\"threads\":[{\"samples\":7,");
    for (json, expected) in [
        (shapeless(71), &["format version 71, newer than", "(to 70)", "try a newer witprof"][..]),
        (
            with_version(71).replace("prefixOffset", "prefixes"),
            &["format version 71, newer than", "`stackTable.prefixOffset`"],
        ),
        (shapeless(40), &["format version 40, and versions 41 to 70 are read", "Download button"]),
        (with_version(2), &["format version 2, and versions 41 to 70 are read"]),
        (
            gecko.replace("\"threads\":[{", "\"threads\":[{\"samples\":7,"),
            &["as Firefox records it (Gecko format, version 33)", "Download button"],
        ),
        (with_version(59), &["in thread 0", "there is no `stackTable`, which version 59"]),
        (with_version(65), &["in `shared`, there is no `stackTable.prefix`, which version 65"]),
        (shapeless(70), &["not a profile in the Firefox Profiler's format: invalid type"]),
    ] {
        // serde_json sorts the keys of what it writes, and here `meta` comes first too.
        assert!(json.find("\"meta\"") < json.find("\"threads\""));
        let error = read_firefox(&mut json.as_bytes()).expect_err("it cannot be read").to_string();
        for part in expected {
            assert!(error.contains(part), "{error:?} does not say {part:?}");
        }
    }
}

#[test]
fn what_is_not_json_is_named() {
    let problem = |bytes: &[u8]| read_firefox(&mut &bytes[..]).expect_err("no JSON").to_string();
    let slabs = problem(b"\xdc\xdfJSLB\x01\0\x01\0\0\0\0\0\0\0");
    assert!(slabs.contains("JsonSlabs") && slabs.contains("Download button"), "{slabs}");
    let compressed = support::read(&support::root().join("tests/profiles/versions/hot-v70.json.gz"));
    assert!(problem(&compressed).contains("compressed with gzip"), "{}", problem(&compressed));
}

/// All places in the tables of a file that are read, as JSON pointers; of a column, its first rows.
fn places_in_tables(value: &Value, at: &str, places: &mut Vec<String>) {
    places.push(at.to_owned());
    let below: Vec<(String, &Value)> = match value {
        Value::Array(values) => {
            values.iter().take(12).enumerate().map(|(row, value)| (row.to_string(), value)).collect()
        }
        Value::Object(values) => {
            values.iter().filter(|(key, _)| *key != "markers").map(|(key, value)| (key.clone(), value)).collect()
        }
        _ => Vec::new(),
    };
    below.into_iter().for_each(|(key, value)| places_in_tables(value, &format!("{at}/{key}"), places));
}

fn damage() -> impl Strategy<Value = (prop::sample::Index, Value)> {
    let values =
        [json!(null), json!(-1), json!(1), json!(40), json!(u64::MAX), json!(0.5), json!("a"), json!([]), json!({})];
    (any::<prop::sample::Index>(), prop::sample::select(values.to_vec()))
}

proptest! {

    /// What we write is damaged by the tests of the reader; this is what others wrote, in each shape that there was.
    #[test]
    fn a_damaged_file_of_any_version_is_an_error_or_a_profile(
        name in prop::sample::select((55..=70).collect::<Vec<u32>>()).prop_map(|version| format!("hot-v{version}")),
        damage in prop::collection::vec(damage(), 1..4),
    ) {
        let mut file: Value = serde_json::from_slice(&file(&name)).expect("JSON");
        for (at, value) in damage {
            let mut places = Vec::new();
            for part in ["libs", "threads", "shared"] {
                if let Some(value) = file.get(part) {
                    places_in_tables(value, &format!("/{part}"), &mut places);
                }
            }
            *file.pointer_mut(at.get::<String>(&places[..])).expect("it was found there") = value;
        }
        if let Ok(read) = read_firefox(&mut file.to_string().as_bytes()) {
            for &dimension in Dimension::ALL {
                let _ = read.report(dimension);
            }
            witprof::export::write_firefox(&read, &mut std::io::sink()).expect("writing");
        }
    }
}
