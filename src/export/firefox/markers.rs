//! Markers: what activations were for.

use std::time::Duration;

use fxprof_processed_profile as fxprof;

use crate::profile::{Profile, Sample, Thread};

/// What every marker has, and says in the same way: the trait has no defaults.
macro_rules! name_and_category {
    () => {
        fn name(&self, _: &mut fxprof::Profile) -> fxprof::StringHandle {
            self.name
        }

        fn category(&self, _: &mut fxprof::Profile) -> fxprof::CategoryHandle {
            self.category
        }
    };
}

pub(super) use name_and_category;

/// The most markers of a file: more than a person looks at, and few enough for the front-end.
const MAX_MARKERS: usize = 20_000;

/// A stretch of samples with the same labels.
pub(super) struct Stretch {
    begin: Duration,
    end: Duration,
    labels: String,
}

/// The stretches of a thread, of all its threads at most [`MAX_MARKERS`].
pub(super) fn stretches(profile: &Profile, thread: &Thread, left: &mut usize) -> Vec<Stretch> {
    let labeled = |sample: &Sample| profile.labels(sample.labels).iter().map(|(key, value)| format!("{key}={value}"));
    thread
        .samples
        .chunk_by(|a, b| a.labels == b.labels)
        .filter(|samples| samples.first().is_some_and(|sample| labeled(sample).len() > 0))
        .take_while(|_| left.checked_sub(1).is_some_and(|fewer| std::mem::replace(left, fewer) > 0))
        .filter_map(|samples| {
            let (first, last) = (samples.first()?, samples.last()?);
            let labels = labeled(first).collect::<Vec<_>>().join(" ");
            Some(Stretch { begin: first.time.saturating_sub(first.wall), end: last.time, labels })
        })
        .collect()
}

/// So many markers are left at the beginning.
pub(super) fn budget() -> usize {
    MAX_MARKERS
}

impl Stretch {
    /// Adds the marker to a thread.
    pub(super) fn add(
        &self,
        out: &mut fxprof::Profile,
        thread: fxprof::ThreadHandle,
        category: fxprof::CategoryHandle,
    ) {
        let (name, labels) = (out.intern_string("labels"), out.intern_string(&self.labels));
        let timing = fxprof::MarkerTiming::Interval(super::timestamp(self.begin), super::timestamp(self.end));
        out.add_marker(thread, timing, LabelMarker { name, labels, category });
    }
}

/// A marker that shows labels.
struct LabelMarker {
    name: fxprof::StringHandle,
    labels: fxprof::StringHandle,
    category: fxprof::CategoryHandle,
}

impl fxprof::StaticSchemaMarker for LabelMarker {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "Labels";
    const DESCRIPTION: Option<&'static str> = Some("What the host labelled an activation with");
    const CHART_LABEL: Option<&'static str> = Some("{marker.data.labels}");
    const TOOLTIP_LABEL: Option<&'static str> = Some("{marker.data.labels}");
    const TABLE_LABEL: Option<&'static str> = Some("{marker.data.labels}");
    const FIELDS: &'static [fxprof::StaticSchemaMarkerField] = &[fxprof::StaticSchemaMarkerField {
        key: "labels",
        label: "Labels",
        format: fxprof::MarkerFieldFormat::String,
        flags: fxprof::MarkerFieldFlags::SEARCHABLE,
    }];

    name_and_category!();

    fn string_field_value(&self, _: u32) -> fxprof::StringHandle {
        self.labels
    }

    fn number_field_value(&self, _: u32) -> f64 {
        // Asked for fields that are numbers, of which there is none.
        0.0
    }
}
