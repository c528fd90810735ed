//! What a recorder counts, for Prometheus.
//!
//! What is counted exactly is asked for when somebody looks: calls, samples, memories. Times by interface function are those of
//! samples, which go when the recording keeps its last part only; so they are added up here, each time that somebody looks, for as
//! long as there is somebody who does.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::time::Duration;

use super::Recorder;
use crate::export::{MetricKind, MetricsPage};
use crate::lock::lock;
use crate::profile::{Crossing, Dimension, Profile, ReportRow};
use crate::samples::{CallSums, LossReason};

/// Limits of the histograms of calls, in seconds.
const LIMITS: [f64; 18] =
    [1e-6, 1e-5, 1e-4, 2.5e-4, 5e-4, 1e-3, 2.5e-3, 5e-3, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0];

/// What a recorder has counted, as a page for Prometheus.
///
/// ```
/// # use witprof::{Metrics, Recorder};
/// # fn example(recorder: &Recorder) {
/// let metrics = Metrics::new(recorder); // once
/// let page = metrics.page(); // for each request of `/metrics`
/// let (content_type, body) = (witprof::export::MetricsPage::CONTENT_TYPE, page.into_text());
/// # }
/// ```
#[derive(Debug)]
pub struct Metrics {
    recorder: Recorder,
    totals: Mutex<Totals>,
}

/// What was added up until some time.
#[derive(Debug, Default)]
struct Totals {
    until: Duration,
    by_function: BTreeMap<String, Times>,
    profiler: Duration,
}

/// Times of an interface function.
#[derive(Clone, Copy, Debug, Default)]
struct Times {
    own: Duration,
    boundary: Duration,
    blocked: Duration,
    cpu: Duration,
}

impl Metrics {
    /// The metrics of a recorder. Its times begin with what is still kept.
    #[must_use]
    pub fn new(recorder: &Recorder) -> Self {
        Self { recorder: recorder.clone(), totals: Mutex::default() }
    }

    /// Adds up what was sampled since the last time. [`page`](Self::page) does that as well; if a recorder
    /// [keeps its last part](crate::RecorderBuilder::keep_last) only, one of the two has to be called before that is gone, or times
    /// are missing.
    pub fn update(&self) {
        let _ = self.updated();
    }

    /// The same. Returns what there was since the last time.
    fn updated(&self) -> Profile {
        let mut totals = lock(&self.totals);
        let now = self.recorder.elapsed();
        // Who comes second finds nothing new.
        let profile = self.recorder.shared().profile_without_lines(totals.until..now);
        totals.until = now;
        totals.add(&profile);
        profile
    }

    /// What there is now: calls and their times by interface function, if they are [traced](Recorder::call_tracer); time by interface
    /// function as it was sampled; memories; samples and what became of them; and what the profiler itself takes.
    #[must_use]
    pub fn page(&self) -> MetricsPage {
        let recent = self.updated();
        let mut page = MetricsPage::default();
        page.metric("witprof_build_info", MetricKind::Gauge, "The version of witprof.");
        page.sample("witprof_build_info", &[("version", env!("CARGO_PKG_VERSION"))], 1.0);
        self.samples(&mut page);
        self.times(&mut page);
        self.calls(&mut page);
        memories(&recent, &mut page);
        page
    }

    fn samples(&self, page: &mut MetricsPage) {
        let counts = self.recorder.shared().counts();
        // What is dropped with an old window was kept all the same.
        let lost = |reason: &&LossReason| **reason != LossReason::WindowDropped;
        let lost =
            LossReason::ALL.iter().filter(lost).map(|reason| (reason, counts.lost.get(reason).copied().unwrap_or(0)));
        let all: u64 = lost.clone().map(|(_, count)| count).sum();
        page.metric("witprof_samples_taken_total", MetricKind::Counter, "Samples that were taken.");
        page.count("witprof_samples_taken_total", &[], counts.taken);
        page.metric("witprof_samples_kept_total", MetricKind::Counter, "Samples that were kept at first.");
        page.count("witprof_samples_kept_total", &[], counts.taken.saturating_sub(all));
        page.metric("witprof_samples_lost_total", MetricKind::Counter, "Samples that were lost, by reason.");
        lost.for_each(|(reason, count)| page.count("witprof_samples_lost_total", &[("reason", reason.name())], count));
        if let Some(cost) = self.recorder.shared().handler_cost() {
            page.metric(
                "witprof_sample_cost_seconds",
                MetricKind::Gauge,
                "What a sample takes on the thread of a guest.",
            );
            for (quantile, time) in [("0.5", cost.median()), ("0.99", cost.p99())] {
                page.sample("witprof_sample_cost_seconds", &[("quantile", quantile)], time.as_secs_f64());
            }
        }
    }

    fn times(&self, page: &mut MetricsPage) {
        let totals = lock(&self.totals);
        let name = "witprof_profiler_seconds_total";
        page.metric(name, MetricKind::Counter, "What the profiler did on the threads of guests beside taking samples.");
        page.sample(name, &[], totals.profiler.as_secs_f64());
        let name = "witprof_interface_seconds_total";
        let help = "Sampled wall-clock time by interface function: its own work, of which some may be blocked, and its boundary.";
        page.metric(name, MetricKind::Counter, help);
        for (function, times) in &totals.by_function {
            let [interface, function, direction] = parts(function);
            let labels = [("interface", interface), ("function", function), ("direction", direction)];
            for (part, time) in [("own", times.own), ("boundary", times.boundary)] {
                page.sample(name, &[&labels[..], &[("part", part)]].concat(), time.as_secs_f64());
            }
        }
        let mut by_function = |name: &str, help: &str, time: fn(&Times) -> Duration| {
            page.metric(name, MetricKind::Counter, help);
            for (function, times) in &totals.by_function {
                let [interface, function, direction] = parts(function);
                let labels = [("interface", interface), ("function", function), ("direction", direction)];
                page.sample(name, &labels, time(times).as_secs_f64());
            }
        };
        let blocked = "The part of own time that was spent waiting.";
        by_function("witprof_interface_blocked_seconds_total", blocked, |times| times.blocked);
        by_function("witprof_interface_cpu_seconds_total", "CPU time of own work and boundary.", |times| times.cpu);
    }

    fn calls(&self, page: &mut MetricsPage) {
        let mut calls = self.recorder.shared().call_sums();
        calls.sort_keys();
        if calls.is_empty() {
            return;
        }
        let name = "witprof_interface_calls_total";
        page.metric(name, MetricKind::Counter, "Calls by interface function; of internal ones at least so many.");
        for (crossing, sums) in &calls {
            let labels = labels_of(crossing);
            page.count(name, &labels, sums.count);
        }
        let name = "witprof_interface_call_duration_seconds";
        page.metric(name, MetricKind::Histogram, "How long calls took, by interface function.");
        for (crossing, sums) in &calls {
            let labels = labels_of(crossing);
            if let Some(up_to) = up_to(sums) {
                page.histogram(name, &labels, &up_to, sums.count, Duration::from_nanos(sums.wall).as_secs_f64());
            }
        }
    }
}

fn memories(profile: &Profile, page: &mut MetricsPage) {
    if profile.memories().is_empty() {
        return;
    }
    let name = "witprof_guest_memory_bytes";
    page.metric(name, MetricKind::Gauge, "Linear memory of all instances, by the core module that it is of.");
    for track in profile.memories() {
        let bytes = track.points.last().map_or(0, |(_, bytes)| *bytes);
        page.count(name, &[("memory", &track.name)], bytes);
    }
}

fn labels_of(crossing: &Crossing) -> [(&str, &str); 3] {
    let Crossing { interface, function, direction } = crossing;
    [("interface", interface), ("function", function), ("direction", direction.name())]
}

impl Totals {
    fn add(&mut self, profile: &Profile) {
        self.profiler += profile.profiler_time().wall;
        for row in profile.report(Dimension::InterfaceFunction).rows {
            let ReportRow { name, own, boundary, blocked, cpu, .. } = row;
            if (own + boundary).is_zero() {
                continue;
            }
            let times = self.by_function.entry(name).or_default();
            times.own += own;
            times.boundary += boundary;
            times.blocked += blocked;
            times.cpu += cpu;
        }
    }
}

/// Interface, function and direction of a row's name; nothing of the latter two if it is none.
fn parts(name: &str) -> [&str; 3] {
    let (rest, direction) = match name.rsplit_once(" (") {
        Some((rest, direction)) => (rest, direction.trim_end_matches(')')),
        None => (name, ""),
    };
    match rest.split_once('#') {
        Some((interface, function)) => [interface, function, direction],
        None => [name, "", ""],
    }
}

/// How many calls took no longer than each limit; `None` if times are not known.
fn up_to(sums: &CallSums) -> Option<Vec<(f64, u64)>> {
    let histogram = sums.histogram.as_ref()?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "limits are positive and not so large")]
    let count = |limit: f64| histogram.count_between(0, (limit * 1e9) as u64);
    // The bucket of the longest call may reach beyond it.
    Some(LIMITS.map(|limit| (limit, count(limit).min(sums.count))).to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rows_are_taken_apart() {
        for (name, expected) in [
            (
                "wasi:io/streams@0.2.6#output-stream.write (import)",
                ["wasi:io/streams@0.2.6", "output-stream.write", "import"],
            ),
            ("a#b#c (internal)", ["a", "b#c", "internal"]),
            ("(no interface)", ["(no interface)", "", ""]),
        ] {
            assert_eq!(parts(name), expected);
        }
    }
}
