//! Markers: calls of the host, as Wasmtime's guest profiler names them.

use std::time::Duration;

use fxprof_processed_profile as fxprof;

use super::markers::name_and_category;
use crate::samples::HostCalls;

/// Adds a marker for each call that was kept, and one that says what was left out.
pub(super) fn add(
    host_calls: &HostCalls,
    elapsed: Duration,
    out: &mut fxprof::Profile,
    thread: fxprof::ThreadHandle,
    category: fxprof::CategoryHandle,
) {
    let name = out.intern_string(HostCallMarker::NAME);
    for call in host_calls.kept() {
        let timing = fxprof::MarkerTiming::Interval(super::timestamp(call.begin), super::timestamp(call.end));
        out.add_marker(thread, timing, HostCallMarker { name, category });
    }
    let (calls, time) = host_calls.left_out();
    if calls > 0 {
        let name = out.intern_string(LeftOutMarker::NAME);
        let timing = fxprof::MarkerTiming::Instant(super::timestamp(elapsed));
        out.add_marker(thread, timing, LeftOutMarker { name, category, calls, time });
    }
}

/// From a call to its return.
struct HostCallMarker {
    name: fxprof::StringHandle,
    category: fxprof::CategoryHandle,
}

impl HostCallMarker {
    const NAME: &'static str = "hostcall";
}

impl fxprof::StaticSchemaMarker for HostCallMarker {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = Self::NAME;
    const LOCATIONS: fxprof::MarkerLocations = fxprof::MarkerLocations::MARKER_CHART
        .union(fxprof::MarkerLocations::MARKER_TABLE.union(fxprof::MarkerLocations::TIMELINE_OVERVIEW));
    const FIELDS: &'static [fxprof::StaticSchemaMarkerField] = &[];

    name_and_category!();

    fn string_field_value(&self, _: u32) -> fxprof::StringHandle {
        // Asked for fields, of which there is none.
        self.name
    }

    fn number_field_value(&self, _: u32) -> f64 {
        0.0
    }
}

/// How many calls have no marker.
struct LeftOutMarker {
    name: fxprof::StringHandle,
    category: fxprof::CategoryHandle,
    calls: u64,
    time: Duration,
}

impl LeftOutMarker {
    const NAME: &'static str = "hostcalls left out";
}

impl fxprof::StaticSchemaMarker for LeftOutMarker {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = Self::NAME;
    const DESCRIPTION: Option<&'static str> = Some("Calls of the host that have no marker, because there are too many");
    const LOCATIONS: fxprof::MarkerLocations = fxprof::MarkerLocations::MARKER_TABLE;
    const TABLE_LABEL: Option<&'static str> = Some("{marker.data.calls} calls, {marker.data.time}");
    const FIELDS: &'static [fxprof::StaticSchemaMarkerField] = &[
        fxprof::StaticSchemaMarkerField {
            key: "calls",
            label: "Calls",
            format: fxprof::MarkerFieldFormat::Integer,
            flags: fxprof::MarkerFieldFlags::empty(),
        },
        fxprof::StaticSchemaMarkerField {
            key: "time",
            label: "Time",
            format: fxprof::MarkerFieldFormat::Duration,
            flags: fxprof::MarkerFieldFlags::empty(),
        },
    ];

    name_and_category!();

    fn string_field_value(&self, _: u32) -> fxprof::StringHandle {
        // Asked for fields that are strings, of which there is none.
        self.name
    }

    fn number_field_value(&self, field: u32) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "a count for a reader")]
        let calls = self.calls as f64;
        if field == 0 { calls } else { self.time.as_secs_f64() * 1000.0 }
    }
}
