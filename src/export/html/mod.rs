//! The report as one HTML file, which asks no other address for anything.
//!
//! `report.html`, `report.css` and `report.js` are its parts; what they show comes as JSON, in the shape of [`Data`].

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use indexmap::IndexSet;
use serde::Serialize;

use super::escape::escape_name;
use super::microseconds;
use crate::error::{Error, Result};
use crate::profile::{Dimension, FunctionIndex, Label, Profile, ReportRow, Thread, Tree};
use crate::symbols::{FunctionKind, Layer};

/// Writes `profile` as an HTML page: what ran, a table of its interfaces, a flame graph by interface, library, function or
/// line, and a timeline. What is too small to be seen is summed up, so that the page stays small.
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
    let parts = [
        ("{{title}}", title.as_str()),
        ("{{css}}", include_str!("report.css")),
        ("{{data}}", &data),
        ("{{js}}", include_str!("report.js")),
    ];
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

fn escape_markup(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

/// Nodes of a tree that stand for less than this share of the time are summed up.
const SMALLEST_SHARE: f64 = 1.0 / 20_000.0;

/// The most nodes of one tree.
const MAX_NODES: usize = 30_000;

/// Columns of the timeline.
const BINS: u32 = 600;

/// Threads with a timeline of their own.
const MAX_THREADS: usize = 16;

/// All that the page shows. Times are in milliseconds, unless said otherwise.
#[derive(Serialize)]
struct Data {
    name: String,
    version: &'static str,
    started_at: String,
    sampler: &'static str,
    interval_ms: f64,
    elapsed_ms: f64,
    wall_ms: f64,
    cpu_ms: f64,
    preempted_ms: Option<f64>,
    profiler_ms: f64,
    samples: Samples,
    rows: Vec<Row>,
    strings: IndexSet<String>,
    kinds: [&'static str; KINDS.len()],
    views: Views,
    timeline: Timeline,
}

#[derive(Serialize)]
struct Samples {
    taken: u64,
    kept: u64,
    lost: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct Row {
    name: String,
    guest_ms: f64,
    host_ms: f64,
    blocked_ms: f64,
    preempted_ms: Option<f64>,
    boundary_ms: f64,
    self_ms: f64,
    total_ms: f64,
    calls: Option<u64>,
    calls_at_least: Option<u64>,
    functions: Vec<Row>,
}

#[derive(Serialize)]
struct Views {
    interface: View,
    library: View,
    function: View,
    /// If there are lines of source code.
    line: Option<View>,
}

/// A call tree by columns. Node 0 is the root; a parent comes before its children.
#[derive(Serialize, Default)]
struct View {
    parent: Vec<i64>,
    /// Positions in `strings`.
    name: Vec<usize>,
    /// Positions in `strings`, or -1.
    library: Vec<i64>,
    /// Positions in `kinds`.
    kind: Vec<usize>,
    /// Own time in microseconds.
    #[serde(rename = "self")]
    own: Vec<u64>,
}

#[derive(Serialize)]
struct Timeline {
    bin_ms: f64,
    threads: Vec<TimelineThread>,
}

#[derive(Serialize)]
struct TimelineThread {
    name: String,
    /// For each of guest, adapter, trampoline, host, blocked and preempted, the microseconds in each bin.
    layers: [Vec<u64>; 6],
}

/// What a node of a tree may be.
const KINDS: [&str; 9] =
    ["guest", "adapter", "trampoline", "host", "boundary", "blocked", "interface", "other", "preempted"];

fn data(profile: &Profile) -> Data {
    let counts = profile.counts();
    let mut strings = IndexSet::new();
    let mut view = |dimension| view(&Tree::new(profile, dimension), profile.wall_time(), &mut strings);
    let views = Views {
        interface: view(Dimension::Interface),
        library: view(Dimension::Library),
        function: view(Dimension::Function),
        line: profile.frames().iter().any(|frame| frame.source.is_some()).then(|| view(Dimension::Line)),
    };
    Data {
        name: escape_name(profile.name()).into_owned(),
        version: env!("CARGO_PKG_VERSION"),
        started_at: humantime::format_rfc3339_seconds(profile.started_at()).to_string(),
        sampler: profile.sampler().name(),
        interval_ms: milliseconds(profile.interval()),
        elapsed_ms: milliseconds(profile.elapsed()),
        wall_ms: milliseconds(profile.wall_time()),
        cpu_ms: milliseconds(profile.cpu_time()),
        preempted_ms: profile.preempted_time().map(milliseconds),
        profiler_ms: milliseconds(profile.profiler_time().wall),
        samples: Samples {
            taken: counts.taken,
            kept: counts.kept,
            lost: counts.lost.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
        },
        rows: rows(profile),
        strings,
        kinds: KINDS,
        views,
        timeline: timeline(profile),
    }
}

/// The interfaces, each with its functions.
fn rows(profile: &Profile) -> Vec<Row> {
    let functions = profile.report(Dimension::InterfaceFunction).rows;
    let of_interface = |interface: &ReportRow| {
        // `interface (import)` and `interface#function (import)`.
        let (name, direction) = interface.name.rsplit_once(' ').unwrap_or((&interface.name, ""));
        let function = |row: &ReportRow| -> Option<Row> {
            let rest = row.name.strip_suffix(direction)?.strip_prefix(name)?.strip_prefix('#')?;
            Some(Row { name: escape_name(rest.trim_end()).into_owned(), ..self::row(row) })
        };
        functions.iter().filter_map(function).collect()
    };
    let rows = profile.report(Dimension::Interface).rows;
    rows.iter().map(|interface| Row { functions: of_interface(interface), ..row(interface) }).collect()
}

fn row(row: &ReportRow) -> Row {
    Row {
        name: escape_name(&row.name).into_owned(),
        guest_ms: milliseconds(row.own.saturating_sub(row.host + row.blocked + row.preempted.unwrap_or_default())),
        host_ms: milliseconds(row.host),
        blocked_ms: milliseconds(row.blocked),
        preempted_ms: row.preempted.map(milliseconds),
        boundary_ms: milliseconds(row.boundary),
        self_ms: milliseconds(row.own),
        total_ms: milliseconds(row.total),
        calls: row.calls,
        calls_at_least: row.calls_at_least,
        functions: Vec::new(),
    }
}

fn view(tree: &Tree<'_>, wall: Duration, strings: &mut IndexSet<String>) -> View {
    let nodes: Vec<(u32, Label, Duration)> = tree.nodes().collect();
    let mut totals: Vec<Duration> = nodes.iter().map(|(_, _, own)| *own).collect();
    for (index, (parent, _, _)) in nodes.iter().enumerate().skip(1).rev() {
        let total = totals[index];
        totals[*parent as usize] += total;
    }
    let mut smallest = wall.mul_f64(SMALLEST_SHARE);
    if totals.len() > MAX_NODES {
        let mut sorted = totals.clone();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        smallest = smallest.max(sorted[MAX_NODES] + Duration::from_nanos(1));
    }
    let mut out = View::default();
    // Where each node went; small ones into one node below their parent.
    let mut new_index: Vec<usize> = Vec::with_capacity(nodes.len());
    let mut others: Vec<Option<usize>> = vec![None; nodes.len()];
    for (index, (parent, label, own)) in nodes.iter().enumerate() {
        let parent_is_other = index > 0 && totals[*parent as usize] < smallest;
        let at = if index == 0 {
            out.push(-1, strings.insert_full("all".to_owned()).0, -1, KIND_OTHER)
        } else if totals[index] >= smallest {
            let (library, kind) = library_and_kind(tree, *label);
            let library = library
                .map_or(-1, |name| i64::try_from(strings.insert_full(escape_name(name).into_owned()).0).unwrap_or(-1));
            let name = strings.insert_full(escape_name(&tree.name(*label)).into_owned()).0;
            out.push(new_index[*parent as usize].try_into().unwrap_or(-1), name, library, kind)
        } else if parent_is_other {
            new_index[*parent as usize]
        } else {
            let parent = *parent as usize;
            let below = new_index[parent];
            *others[parent].get_or_insert_with(|| {
                let name = strings.insert_full("(smaller)".to_owned()).0;
                out.push(below.try_into().unwrap_or(-1), name, -1, KIND_OTHER)
            })
        };
        new_index.push(at);
        out.own[at] += microseconds(*own);
    }
    out
}

const KIND_OTHER: usize = 7;

fn library_and_kind<'p>(tree: &Tree<'p>, label: Label) -> (Option<&'p str>, usize) {
    let of_layer = |layer: Option<Layer>| layer.map_or(KIND_OTHER, layer_position);
    let function = |function: FunctionIndex| &tree.profile.functions()[function.index()];
    match label {
        Label::Function(index) if function(index).kind == FunctionKind::Suspended => (None, 5),
        Label::Function(index) | Label::Line(index, _) => {
            let library = &tree.profile.libraries()[function(index).library.index()];
            (Some(library.name.as_str()), layer_position(library.layer))
        }
        Label::Library(_) => (None, of_layer(tree.layer(label))),
        Label::Crossing(_) => (None, 6),
        Label::Boundary => (None, 4),
        Label::Blocked => (None, 5),
        Label::Preempted => (None, 8),
        Label::All => (None, KIND_OTHER),
    }
}

fn layer_position(layer: Layer) -> usize {
    match layer {
        Layer::Guest => 0,
        Layer::Adapter => 1,
        Layer::Trampoline => 2,
        Layer::Host => 3,
    }
}

impl View {
    fn push(&mut self, parent: i64, name: usize, library: i64, kind: usize) -> usize {
        self.parent.push(parent);
        self.name.push(name);
        self.library.push(library);
        self.kind.push(kind);
        self.own.push(0);
        self.own.len() - 1
    }
}

fn timeline(profile: &Profile) -> Timeline {
    let last = profile.samples().map(|sample| sample.time).max().unwrap_or_default();
    let bin = profile.elapsed().max(last).max(Duration::from_micros(u64::from(BINS))) / BINS;
    let mut threads: Vec<(usize, &Thread)> = profile.threads().iter().enumerate().collect();
    let time = |thread: &Thread| thread.samples.iter().map(|sample| sample.wall).sum::<Duration>();
    threads.sort_by_cached_key(|(_, thread)| std::cmp::Reverse(time(thread)));
    threads.truncate(MAX_THREADS);
    let threads = threads.into_iter().map(|(index, thread)| TimelineThread {
        name: escape_name(&profile.distinct_thread_name(index)).into_owned(),
        layers: bins(profile, thread, bin),
    });
    Timeline { bin_ms: milliseconds(bin), threads: threads.collect() }
}

/// The time of each layer in each bin. A sample's time lies before it; what it was off the CPU is taken to come first.
fn bins(profile: &Profile, thread: &Thread, bin: Duration) -> [Vec<u64>; 6] {
    let mut bins: [Vec<Duration>; 6] = std::array::from_fn(|_| vec![Duration::ZERO; BINS as usize]);
    let mut spread = |layer: usize, from: Duration, to: Duration| {
        let mut at = from;
        while at < to {
            let index = usize::try_from(at.as_nanos() / bin.as_nanos()).unwrap_or(usize::MAX).min(BINS as usize - 1);
            let end = bin * u32::try_from(index + 1).unwrap_or(u32::MAX);
            let end = if index + 1 == BINS as usize { to } else { end.min(to) };
            bins[layer][index] += end.saturating_sub(at);
            at = end.max(at + Duration::from_nanos(1));
        }
    };
    for sample in &thread.samples {
        let function = &profile.functions()[profile.leaf(sample.stack).index()];
        let layer = layer_position(profile.libraries()[function.library.index()].layer);
        let begin = sample.time.saturating_sub(sample.wall);
        let middle = begin + sample.wall.saturating_sub(sample.cpu);
        let preempted = middle - sample.preempted.min(middle - begin);
        spread(4, begin, preempted);
        spread(5, preempted, middle);
        spread(layer, middle, begin + sample.wall);
    }
    bins.map(|layer| layer.into_iter().map(microseconds).collect())
}

#[allow(clippy::cast_precision_loss, reason = "microseconds of a recording")]
fn milliseconds(time: Duration) -> f64 {
    microseconds(time) as f64 / 1000.0
}
