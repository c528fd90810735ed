//! The report as one HTML file, which asks no other address for anything.
//!
//! `report.html`, `report.css` and the scripts of [`JS`] are its parts; what they show comes as JSON, in the shape of
//! [`Data`].

mod steps;
mod tables;
mod timeline;
mod views;

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use indexmap::IndexSet;
use serde::Serialize;

use self::steps::{Grid, Series, each_step, end_step, fit};
use self::tables::{Calls, Memory, Table, memories, tables};
use self::timeline::Timeline;
use self::views::{KINDS, Views};
use super::escape::{escape_control, escape_name};
use super::microseconds;
use crate::error::{Error, Result};
use crate::profile::{Origin, Profile};

/// Writes `profile` as an HTML page: what ran; flame graphs by interface, library, function or line; tables of interfaces,
/// functions, lines, labels, calls and memories; and a timeline that selects a part of it. What is too small to be seen is
/// summed up or left out, so that the page stays small.
///
/// Frames of the host are those of `profile`: [`Profile::with_host_frames`] says how many it has.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_html(profile: &Profile, out: &mut dyn Write) -> Result<()> {
    page(profile, out).map_err(|source| Error::Write { format: "HTML", source })
}

fn page(profile: &Profile, out: &mut dyn Write) -> std::io::Result<()> {
    // In a script element, only `<` could end it.
    let data = serde_json::to_string(&data(profile))?.replace('<', "\\u003c");
    let title = escape_markup(&escape_name(profile.name()));
    let mut rest = include_str!("report.html");
    let parts =
        [("{{title}}", title.as_str()), ("{{css}}", include_str!("report.css")), ("{{data}}", &data), ("{{js}}", JS)];
    // The template is ours, so each placeholder is there; parts may come in any order.
    while let Some((at, (placeholder, part))) =
        parts.iter().filter_map(|part| Some((rest.find(part.0)?, part))).min_by_key(|(at, _)| *at)
    {
        out.write_all(&rest.as_bytes()[..at])?;
        out.write_all(part.as_bytes())?;
        rest = &rest[at + placeholder.len()..];
    }
    out.write_all(rest.as_bytes())
}

/// One script, in parts by what they do.
const JS: &str = concat!(
    include_str!("base.js"),
    include_str!("times.js"),
    include_str!("graph.js"),
    include_str!("timeline.js"),
    include_str!("tables.js"),
    include_str!("state.js"),
    include_str!("main.js"),
);

fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// All that the page shows. Times are in milliseconds, unless said otherwise.
#[derive(Serialize)]
struct Data<'p> {
    name: String,
    version: &'static str,
    origin: Origin,
    /// What the profile was captured for.
    captured: Option<String>,
    started_at: String,
    sampler: &'static str,
    interval_ms: f64,
    elapsed_ms: f64,
    wall_ms: f64,
    cpu_ms: f64,
    preempted_ms: Option<f64>,
    profiler_ms: f64,
    samples: Samples,
    /// Parts of the recording that can be selected.
    steps: u32,
    kinds: [&'static str; KINDS.len()],
    /// The view to begin with.
    first_view: &'static str,
    views: Views<'p>,
    tables: Vec<Table>,
    /// Labels without a table.
    labels_left_out: usize,
    calls: Option<Calls>,
    memories: Vec<Memory>,
    memories_left_out: usize,
    timeline: Timeline,
    strings: Strings,
}

#[derive(Serialize)]
struct Samples {
    taken: u64,
    kept: u64,
    lost: BTreeMap<&'static str, u64>,
}

/// Names, each once. What a guest chooses is escaped.
#[derive(Serialize, Default)]
struct Strings(IndexSet<String>);

impl Strings {
    /// The position of a name.
    fn add(&mut self, name: &str) -> usize {
        self.0.insert_full(escape_name(name).into_owned()).0
    }
}

fn data(profile: &Profile) -> Data<'_> {
    let counts = profile.counts();
    let mut strings = Strings::default();
    let mut views = Views::new(profile, &mut strings);
    let (mut tables, labels_left_out) = tables(profile, &mut strings);
    each_step(profile, Grid::steps(profile), &mut |step, sums| {
        views.add(sums);
        tables.iter_mut().for_each(|table| table.add(sums));
        end_step(step, &mut series(&mut views, &mut tables));
    });
    let steps = fit(&mut series(&mut views, &mut tables));
    let (memories, memories_left_out) = memories(profile);
    Data {
        name: escape_name(profile.name()).into_owned(),
        version: env!("CARGO_PKG_VERSION"),
        origin: origin(profile.origin()),
        captured: profile.captured().map(|captured| escape_control(&captured.to_string()).into_owned()),
        started_at: humantime::format_rfc3339_seconds(profile.started_at()).to_string(),
        sampler: profile.sampler().name(),
        interval_ms: rounded_milliseconds(profile.interval()),
        elapsed_ms: rounded_milliseconds(profile.elapsed()),
        wall_ms: rounded_milliseconds(profile.wall_time()),
        cpu_ms: rounded_milliseconds(profile.cpu_time()),
        preempted_ms: profile.preempted_time().map(rounded_milliseconds),
        profiler_ms: rounded_milliseconds(profile.profiler_time().wall),
        samples: Samples {
            taken: counts.taken,
            kept: counts.kept,
            lost: counts.lost.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
        },
        steps,
        kinds: KINDS,
        first_view: profile.first_dimension().name(),
        views,
        tables,
        labels_left_out,
        calls: Calls::new(profile),
        memories,
        memories_left_out,
        timeline: Timeline::new(profile),
        strings,
    }
}

/// All that is by step.
fn series<'d>(views: &'d mut Views<'_>, tables: &'d mut [Table]) -> Vec<&'d mut Series> {
    views.series().chain(tables.iter_mut().map(|table| &mut table.by_step)).collect()
}

/// The longest command line that is shown.
const MAX_COMMAND: usize = 2_000;

fn origin(origin: &Origin) -> Origin {
    let escaped = |text: &Option<String>| text.as_deref().map(|text| escape_name(text).into_owned());
    let command =
        |command: &String| escape_control(&command.chars().take(MAX_COMMAND).collect::<String>()).into_owned();
    let mut shown = origin.clone();
    shown.command = origin.command.as_ref().map(command);
    for text in [&mut shown.witprof, &mut shown.wasmtime, &mut shown.os, &mut shown.arch, &mut shown.cpu] {
        *text = escaped(text);
    }
    shown
}

/// To the microsecond, which is shorter in the page.
#[allow(clippy::cast_precision_loss, reason = "microseconds of a recording")]
fn rounded_milliseconds(time: Duration) -> f64 {
    microseconds(time) as f64 / 1000.0
}
