//! Markers: what happened, and when.

use std::time::Duration;

use fxprof_processed_profile as fxprof;
use serde::Serialize;
use serde::ser::Serializer;

use super::Document;
use super::categories::Category;
use super::columns::{Milliseconds, Table};
use super::shared::{StackRow, Str};
use crate::nanos::nanos;
use crate::profile::{Sample, Thread};
use crate::symbols::Layer;

/// A marker.
#[derive(Clone)]
pub(super) struct Marker {
    pub(super) name: Str,
    pub(super) category: Category,
    pub(super) begin: Duration,
    /// None of a moment.
    pub(super) end: Option<Duration>,
    pub(super) data: Data,
}

/// What is known of a marker, by its type. [`SCHEMAS`] has the same names, of types and of fields.
#[derive(Clone, Serialize)]
#[serde(tag = "type")]
pub(super) enum Data {
    Call {
        interface: Str,
        /// None of a call that never was: a zero would be one more row to read.
        #[serde(skip_serializing_if = "Option::is_none")]
        suspended: Option<Milliseconds>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<Milliseconds>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<Str>,
        /// Who called.
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    CallsLeftOut {
        calls: u64,
    },
    /// Something that the host did.
    Span {
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<Str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        path: Option<Str>,
        #[serde(skip_serializing_if = "Option::is_none")]
        cpu: Option<Milliseconds>,
        #[serde(skip_serializing_if = "Option::is_none")]
        request: Option<Str>,
    },
    /// A request for the network track: one of the front-end's own types, the only one that it draws there. It wants two markers
    /// for each, with the same number: one where it begins and one from there to its end. What only browsers have, such as a
    /// priority, is left out, and then not shown.
    #[serde(rename_all = "camelCase")]
    Network {
        #[serde(rename = "URI")]
        uri: String,
        id: usize,
        status: &'static str,
        start_time: Milliseconds,
        end_time: Milliseconds,
        #[serde(skip_serializing_if = "Option::is_none")]
        response_status: Option<u16>,
    },
    MemoryGrowth {
        memory: Str,
        from: u64,
        to: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        cause: Option<Cause>,
    },
    Labels {
        labels: Str,
    },
    /// A call of the host, named as Wasmtime's guest profiler names it.
    #[serde(rename = "hostcall")]
    HostCall {},
    #[serde(rename = "hostcalls left out")]
    HostCallsLeftOut {
        calls: u64,
        time: Milliseconds,
    },
}

/// What was running when something happened.
#[derive(Clone, Serialize)]
pub(super) struct Cause {
    pub(super) time: Milliseconds,
    pub(super) stack: StackRow,
}

/// How the front-end shows markers of a type.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Schema {
    name: &'static str,
    display: &'static [&'static str],
    #[serde(skip_serializing_if = "Option::is_none")]
    chart_label: Option<&'static str>,
    /// Beside the name.
    #[serde(skip_serializing_if = "Option::is_none")]
    table_label: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'static str>,
    fields: &'static [Field],
}

#[derive(Serialize)]
struct Field {
    key: &'static str,
    label: &'static str,
    format: Format,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Format {
    Known(fxprof::MarkerFieldFormat),
    /// `flow-id` and `terminating-flow-id`, which fxprof 0.8.1 does not know: markers with the same one belong together.
    Flow(&'static str),
}

const TEXT: Format = Format::Known(fxprof::MarkerFieldFormat::String);
const TIME: Format = Format::Known(fxprof::MarkerFieldFormat::Duration);
const COUNT: Format = Format::Known(fxprof::MarkerFieldFormat::Integer);
const BYTES: Format = Format::Known(fxprof::MarkerFieldFormat::Bytes);

/// Shown wherever markers are.
const EVERYWHERE: &[&str] = &["marker-chart", "marker-table", "timeline-overview"];

const PLAIN: Schema =
    Schema { name: "", display: EVERYWHERE, chart_label: None, table_label: None, description: None, fields: &[] };

const fn field(key: &'static str, label: &'static str, format: Format) -> Field {
    Field { key, label, format }
}

/// All types but `Network`, of which the front-end knows itself how to show them. Where a label would repeat the name or the
/// fields, which are shown beside it, there is none.
pub(super) const SCHEMAS: &[Schema] = &[
    Schema {
        name: "Call",
        chart_label: Some("{marker.name}"),
        table_label: Some("{marker.data.interface}"),
        description: Some("A call across a WIT interface"),
        fields: &[
            field("interface", "Interface", TEXT),
            field("suspended", "Suspended", TIME),
            field("cpu", "CPU time", TIME),
            field("request", "Request", Format::Flow("flow-id")),
        ],
        ..PLAIN
    },
    Schema {
        name: "CallsLeftOut",
        display: &["marker-table"],
        table_label: Some("{marker.data.calls} calls"),
        description: Some("Calls that have no marker, because there are too many"),
        fields: &[field("calls", "Calls", COUNT)],
        ..PLAIN
    },
    Schema {
        name: "Span",
        chart_label: Some("{marker.name}"),
        table_label: Some("{marker.data.path} {marker.data.detail}"),
        description: Some("Something that the host did, such as answering a request"),
        fields: &[
            field("path", "Path", TEXT),
            field("detail", "Result", TEXT),
            field("cpu", "CPU time", TIME),
            field("request", "Request", Format::Flow("terminating-flow-id")),
        ],
        ..PLAIN
    },
    Schema {
        name: "MemoryGrowth",
        table_label: Some("{marker.data.memory} grows to {marker.data.to}"),
        description: Some("A linear memory grows"),
        fields: &[field("memory", "Memory", TEXT), field("from", "From", BYTES), field("to", "To", BYTES)],
        ..PLAIN
    },
    Schema {
        name: "Labels",
        display: &["marker-chart", "marker-table"],
        chart_label: Some("{marker.data.labels}"),
        table_label: Some("{marker.data.labels}"),
        description: Some("What the host labelled an activation with"),
        fields: &[field("labels", "Labels", TEXT)],
    },
];

/// The types of calls of the host, which only profiles of [`GuestProfiler`](crate::GuestProfiler) have.
pub(super) const HOST_CALL_SCHEMAS: &[Schema] = &[
    Schema { name: "hostcall", ..PLAIN },
    Schema {
        name: "hostcalls left out",
        display: &["marker-table"],
        table_label: Some("{marker.data.calls} calls, {marker.data.time}"),
        description: Some("Calls of the host that have no marker, because there are too many"),
        fields: &[field("calls", "Calls", COUNT), field("time", "Time", TIME)],
        ..PLAIN
    },
];

/// The markers of a thread.
pub(super) struct Markers<'m>(pub(super) &'m [Marker]);

impl Serialize for Markers<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const INSTANT: u8 = 0;
        const INTERVAL: u8 = 1;
        let Self(markers) = *self;
        Table::new(serializer, markers.len())?
            .add("name", || markers.iter().map(|marker| marker.name))?
            .add("startTime", || markers.iter().map(|marker| milliseconds(marker.begin)))?
            .add("endTime", || markers.iter().map(|marker| marker.end.map(milliseconds)))?
            .add("phase", || markers.iter().map(|marker| if marker.end.is_some() { INTERVAL } else { INSTANT }))?
            .add("category", || markers.iter().map(|marker| marker.category.index()))?
            .add("data", || markers.iter().map(|marker| &marker.data))?
            .end()
    }
}

pub(super) fn milliseconds(time: Duration) -> Milliseconds {
    Milliseconds(nanos(time))
}

/// The most markers of labels of a file: more than a person looks at, and few enough for the front-end.
const MAX_LABEL_MARKERS: usize = 20_000;

impl Document<'_> {
    /// Adds a marker for each stretch of samples that have the same labels.
    pub(super) fn label_markers(&mut self) {
        let name = self.shared.string("labels");
        let mut left = MAX_LABEL_MARKERS;
        for (index, thread) in self.profile.threads().iter().enumerate() {
            for (begin, end, labels) in self.stretches(thread, &mut left) {
                let data = Data::Labels { labels: self.shared.string(&labels) };
                let category = Category::Layer(Layer::Guest);
                self.on_both_tracks(index, &Marker { name, category, begin, end: Some(end), data });
            }
        }
    }

    /// The stretches of a thread: begin, end and labels. Of all threads, as many as are `left`.
    fn stretches(&self, thread: &Thread, left: &mut usize) -> Vec<(Duration, Duration, String)> {
        let labels = |sample: &Sample| {
            let labels = self.profile.labels(sample.labels).iter();
            labels.map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(" ")
        };
        // Between two requests of one route, nothing may run for long.
        let interval = self.profile.interval();
        let follows = |a: &Sample, b: &Sample| b.time.saturating_sub(b.wall) <= a.time.saturating_add(interval);
        let is_labeled = |sample: &Sample| !self.profile.labels(sample.labels).is_empty();
        thread
            .samples
            .chunk_by(|a, b| a.labels == b.labels && follows(a, b))
            .filter(|samples| samples.first().is_some_and(is_labeled))
            .take_while(|_| left.checked_sub(1).is_some_and(|fewer| std::mem::replace(left, fewer) > 0))
            .filter_map(|samples| {
                let (first, last) = (samples.first()?, samples.last()?);
                Some((first.time.saturating_sub(first.wall), last.time, labels(first)))
            })
            .collect()
    }
}
