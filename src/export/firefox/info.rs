//! What is said of the recording as a whole: `meta` of the format.

use std::time::{Duration, UNIX_EPOCH};

use serde::Serialize;
use serde_json::{Value, json};

use super::Document;
use super::categories::Categories;
use super::columns::Milliseconds;
use super::markers::{HOST_CALL_SCHEMAS, SCHEMAS, Schema, milliseconds};
use crate::firefox_format::Meta;
use crate::profile::{Origin, Profile};

/// The version of the format.
const FORMAT: u32 = 70;

/// In the order of the file: readers know the version first.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Info<'d> {
    preprocessed_profile_version: u32,
    /// That of another format, which this one was made from in Firefox; nobody reads it.
    version: u32,
    interval: f64,
    start_time: f64,
    /// Without a beginning and an end, the front-end shows the time from the first sample to the last.
    profiling_start_time: Milliseconds,
    profiling_end_time: Milliseconds,
    process_type: u32,
    stackwalk: u32,
    product: String,
    sample_units: Units,
    categories: &'d Categories,
    marker_schema: Vec<&'static Schema>,
    /// Names are complete, so there is nothing to look for elsewhere.
    symbolicated: bool,
    symbolication_not_supported: bool,
    uses_only_one_stack_type: bool,
    source_code_is_not_on_searchfox: bool,
    /// They are in the order to be shown in.
    keep_profile_thread_order: bool,
    initial_visible_threads: Vec<usize>,
    initial_selected_threads: Vec<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arguments: Option<&'d str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    oscpu: Option<String>,
    #[serde(rename = "CPUName", skip_serializing_if = "Option::is_none")]
    cpu_name: Option<&'d str>,
    #[serde(rename = "logicalCPUs", skip_serializing_if = "Option::is_none")]
    logical_cpus: Option<u32>,
    extra: Vec<Section>,
    witprof: Meta,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Units {
    time: &'static str,
    event_delay: &'static str,
    #[serde(rename = "threadCPUDelta")]
    thread_cpu_delta: &'static str,
}

/// What the front-end shows under a heading of its own, among the facts about the recording.
#[derive(Serialize)]
struct Section {
    label: &'static str,
    entries: Vec<Entry>,
}

#[derive(Serialize)]
struct Entry {
    label: String,
    format: &'static str,
    value: Value,
}

impl Entry {
    fn text(label: impl Into<String>, text: impl Into<String>) -> Self {
        Self { label: label.into(), format: "string", value: text.into().into() }
    }

    fn count(label: impl Into<String>, count: u64) -> Self {
        Self { label: label.into(), format: "integer", value: count.into() }
    }

    fn time(label: impl Into<String>, time: Duration) -> Self {
        Self { label: label.into(), format: "duration", value: json!(milliseconds(time)) }
    }
}

impl<'d> Info<'d> {
    pub(super) fn new(document: &'d Document<'_>) -> Self {
        let profile = document.profile;
        let origin = profile.origin();
        let started = profile.started_at().duration_since(UNIX_EPOCH).unwrap_or_default();
        let host_calls = if document.host_calls.is_some() { HOST_CALL_SCHEMAS } else { &[] };
        let visible = document.tracks.iter().enumerate().filter(|(_, track)| track.kind.is_shown());
        Self {
            preprocessed_profile_version: FORMAT,
            version: 24,
            interval: profile.interval().as_secs_f64() * 1e3,
            start_time: started.as_secs_f64() * 1e3,
            profiling_start_time: Milliseconds(0),
            profiling_end_time: milliseconds(profile.elapsed()),
            process_type: 0,
            stackwalk: 1,
            product: format!("{} (witprof)", profile.name()),
            sample_units: Units { time: "ms", event_delay: "ms", thread_cpu_delta: "ns" },
            categories: &document.shared.categories,
            marker_schema: host_calls.iter().chain(SCHEMAS).collect(),
            symbolicated: true,
            symbolication_not_supported: true,
            uses_only_one_stack_type: true,
            source_code_is_not_on_searchfox: true,
            keep_profile_thread_order: true,
            initial_visible_threads: visible.map(|(index, _)| index).collect(),
            initial_selected_threads: vec![document.selected],
            arguments: origin.command.as_deref(),
            oscpu: origin.os.as_ref().map(|os| format!("{os} {}", origin.arch.as_deref().unwrap_or_default())),
            cpu_name: origin.cpu.as_deref(),
            logical_cpus: origin.cpus,
            extra: [recording(profile), versions(origin)]
                .into_iter()
                .filter(|section| !section.entries.is_empty())
                .collect(),
            witprof: Meta::new(profile, document.functions, &document.shared.libraries),
        }
    }
}

/// How it was recorded, and how much of it.
fn recording(profile: &Profile) -> Section {
    let counts = profile.counts();
    let mut entries = vec![
        Entry::text("Sampler", profile.sampler().name()),
        Entry::time("Interval", profile.interval()),
        Entry::count("Samples", counts.kept),
    ];
    let lost = counts.lost.iter().filter(|(_, count)| **count > 0);
    entries.extend(lost.map(|(reason, count)| Entry::count(format!("Samples lost: {}", reason.name()), *count)));
    if counts.truncated > 0 {
        entries.push(Entry::count("Samples without the outermost frames", counts.truncated));
    }
    entries.push(Entry::time("Time of all samples", profile.wall_time()));
    entries.push(Entry::time("CPU time of all samples", profile.cpu_time()));
    if let Some(preempted) = profile.preempted_time() {
        entries.push(Entry::time("Ready to run, without a CPU", preempted));
    }
    let profiler = profile.profiler_time().wall;
    if !profiler.is_zero() {
        entries.push(Entry::time("The profiler's own work, in no sample", profiler));
    }
    Section { label: "Recording", entries }
}

/// What it was recorded with.
fn versions(origin: &Origin) -> Section {
    let versions = [("witprof", &origin.witprof), ("Wasmtime", &origin.wasmtime)];
    let known = versions.into_iter().filter_map(|(name, version)| Some(Entry::text(name, version.as_ref()?)));
    Section { label: "Versions", entries: known.collect() }
}
