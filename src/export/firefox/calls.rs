//! Markers: calls across interfaces, and what the host said that it did.

use std::time::Duration;

use fxprof_processed_profile as fxprof;

use super::Document;
use super::categories::Category;
use super::markers::name_and_category;
use crate::profile::{CallTrace, CalledFunction, TracedCall};
use crate::samples::Span;
use crate::symbols::Layer;

impl Document<'_> {
    /// Adds markers to `threads`, which are in the order of the profile's.
    pub(super) fn calls_and_spans(&mut self, threads: &[fxprof::ThreadHandle]) {
        let Some(first) = threads.first().copied() else { return };
        if let Some(trace) = self.profile.calls() {
            for call in trace.kept() {
                let thread = call.thread.and_then(|thread| threads.get(thread)).copied().unwrap_or(first);
                self.call(thread, &trace.functions()[call.function.index()], call);
            }
            self.calls_left_out(first, trace);
        }
        for span in self.profile.spans() {
            self.span(first, span);
        }
    }

    fn call(&mut self, thread: fxprof::ThreadHandle, function: &CalledFunction, call: &TracedCall) {
        let marker = CallMarker {
            name: self.out.intern_string(&function.crossing.function),
            interface: self.out.intern_string(&function.crossing.interface_name()),
            category: self.categories.handle(Category::behind(function.crossing.direction)),
            suspended: call.suspended,
            cpu: call.cpu,
        };
        self.out.add_marker(thread, interval(call.begin, call.wall), marker);
    }

    fn calls_left_out(&mut self, thread: fxprof::ThreadHandle, trace: &CallTrace) {
        if trace.left_out() == 0 {
            return;
        }
        let name = self.out.intern_string("calls left out");
        let category = self.categories.handle(Category::Layer(Layer::Host));
        let marker = LeftOutMarker { name, category, calls: trace.left_out() };
        let timing = fxprof::MarkerTiming::Instant(super::timestamp(self.profile.elapsed()));
        self.out.add_marker(thread, timing, marker);
    }

    fn span(&mut self, thread: fxprof::ThreadHandle, span: &Span) {
        let marker = SpanMarker {
            name: self.out.intern_string(&span.name),
            detail: self.out.intern_string(span.detail.as_deref().unwrap_or_default()),
            path: self.out.intern_string(span.path.as_deref().unwrap_or_default()),
            category: self.categories.handle(Category::Layer(Layer::Host)),
            cpu: span.cpu,
        };
        self.out.add_marker(thread, interval(span.begin, span.wall), marker);
    }
}

fn interval(begin: Duration, wall: Duration) -> fxprof::MarkerTiming {
    fxprof::MarkerTiming::Interval(super::timestamp(begin), super::timestamp(begin.saturating_add(wall)))
}

/// A time in the unit of the front-end.
fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A field of a marker.
pub(super) const fn field(
    key: &'static str,
    label: &'static str,
    format: fxprof::MarkerFieldFormat,
) -> fxprof::StaticSchemaMarkerField {
    fxprof::StaticSchemaMarkerField { key, label, format, flags: fxprof::MarkerFieldFlags::SEARCHABLE }
}

/// From a call to its return.
struct CallMarker {
    name: fxprof::StringHandle,
    interface: fxprof::StringHandle,
    category: fxprof::CategoryHandle,
    suspended: Duration,
    cpu: Option<Duration>,
}

impl fxprof::StaticSchemaMarker for CallMarker {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "Call";
    const DESCRIPTION: Option<&'static str> = Some("A call across a WIT interface");
    const LOCATIONS: fxprof::MarkerLocations = fxprof::MarkerLocations::MARKER_CHART
        .union(fxprof::MarkerLocations::MARKER_TABLE.union(fxprof::MarkerLocations::TIMELINE_OVERVIEW));
    const TOOLTIP_LABEL: Option<&'static str> = Some("{marker.name} of {marker.data.interface}");
    const TABLE_LABEL: Option<&'static str> = Some("{marker.name} of {marker.data.interface}");
    const FIELDS: &'static [fxprof::StaticSchemaMarkerField] = &[
        field("interface", "Interface", fxprof::MarkerFieldFormat::String),
        field("suspended", "Suspended", fxprof::MarkerFieldFormat::Duration),
        field("cpu", "CPU time (0 if not measured)", fxprof::MarkerFieldFormat::Duration),
    ];

    name_and_category!();

    fn string_field_value(&self, _: u32) -> fxprof::StringHandle {
        self.interface
    }

    fn number_field_value(&self, field: u32) -> f64 {
        milliseconds(if field == 1 { self.suspended } else { self.cpu.unwrap_or_default() })
    }
}

/// How many calls have no marker.
struct LeftOutMarker {
    name: fxprof::StringHandle,
    category: fxprof::CategoryHandle,
    calls: u64,
}

impl fxprof::StaticSchemaMarker for LeftOutMarker {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "CallsLeftOut";
    const DESCRIPTION: Option<&'static str> = Some("Calls that have no marker, because there are too many");
    const LOCATIONS: fxprof::MarkerLocations = fxprof::MarkerLocations::MARKER_TABLE;
    const TABLE_LABEL: Option<&'static str> = Some("{marker.data.calls} calls");
    const FIELDS: &'static [fxprof::StaticSchemaMarkerField] =
        &[field("calls", "Calls", fxprof::MarkerFieldFormat::Integer)];

    name_and_category!();

    fn string_field_value(&self, _: u32) -> fxprof::StringHandle {
        // Asked for fields that are strings, of which there is none.
        self.name
    }

    #[allow(clippy::cast_precision_loss, reason = "a count for a reader")]
    fn number_field_value(&self, _: u32) -> f64 {
        self.calls as f64
    }
}

/// What the host did.
struct SpanMarker {
    name: fxprof::StringHandle,
    detail: fxprof::StringHandle,
    path: fxprof::StringHandle,
    category: fxprof::CategoryHandle,
    cpu: Option<Duration>,
}

impl fxprof::StaticSchemaMarker for SpanMarker {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "Span";
    const DESCRIPTION: Option<&'static str> = Some("Something that the host did, such as answering a request");
    const LOCATIONS: fxprof::MarkerLocations = fxprof::MarkerLocations::MARKER_CHART
        .union(fxprof::MarkerLocations::MARKER_TABLE.union(fxprof::MarkerLocations::TIMELINE_OVERVIEW));
    const TOOLTIP_LABEL: Option<&'static str> = Some("{marker.name} {marker.data.detail}");
    const TABLE_LABEL: Option<&'static str> = Some("{marker.name} {marker.data.detail}");
    const FIELDS: &'static [fxprof::StaticSchemaMarkerField] = &[
        field("detail", "Result", fxprof::MarkerFieldFormat::String),
        field("path", "Path", fxprof::MarkerFieldFormat::String),
        field("cpu", "CPU time (0 if not measured)", fxprof::MarkerFieldFormat::Duration),
    ];

    name_and_category!();

    fn string_field_value(&self, field: u32) -> fxprof::StringHandle {
        if field == 0 { self.detail } else { self.path }
    }

    fn number_field_value(&self, _: u32) -> f64 {
        milliseconds(self.cpu.unwrap_or_default())
    }
}
