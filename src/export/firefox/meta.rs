//! What the Firefox format has no place for: an object of our own in its `meta`.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

use super::library_id;
use super::rows::{Row, all_rows};
use crate::nanos::nanos;
use crate::profile::{CallTrace, MemoryTrack, Origin, Profile, ProfileFunction, ProfileLibrary, Sample};
use crate::samples::Span;
use crate::symbols::{CrossingEnd, FunctionKind};

/// The number of this form of the object. Readers read the older ones, and refuse newer ones.
pub(crate) const VERSION: u32 = 2;

/// What is written as `meta.witprof`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Comes first, because a reader has to know it before the rest.
    #[serde(default)]
    pub(crate) version: u32,
    pub(crate) sampler: String,
    pub(crate) interval_ns: u64,
    pub(crate) elapsed_ns: u64,
    /// Since 1970; `meta.startTime` is rounded.
    #[serde(default)]
    pub(crate) started_ns: Option<u64>,
    #[serde(default)]
    pub(crate) origin: Origin,
    pub(crate) taken: u64,
    pub(crate) kept: u64,
    pub(crate) truncated: u64,
    pub(crate) lost: BTreeMap<String, u64>,
    /// Ticks of the handler, median and 99 of 100, and ticks per second.
    pub(crate) handler: Option<(u64, u64, f64)>,
    /// The profiler's own work: samples, wall-clock time, CPU time.
    #[serde(default)]
    pub(crate) profiler: (u64, u64, u64),
    /// By `tid`, which counts from 1: their names. Tracks with greater `tid`s have the samples of these threads again, in the same
    /// order: first all by interface; then, since form 2, all with complete stacks, if those of the first are not.
    pub(crate) threads: Vec<String>,
    /// Sets of labels: keys and values. The first is empty.
    #[serde(default)]
    pub(crate) labels: Vec<Vec<(String, String)>>,
    /// By thread: how many rows after each other have which set of labels; those after these have none.
    #[serde(default)]
    pub(crate) sample_labels: Vec<Vec<(u64, u32)>>,
    /// The same for how many samples a row stands for, if not one.
    #[serde(default)]
    pub(crate) sample_counts: Vec<Vec<(u64, u64)>>,
    /// The same for how many nanoseconds a row stands for in which the thread was ready to run and had no CPU, if not none.
    /// Nothing if that is not known.
    #[serde(default)]
    pub(crate) sample_preempted: Option<Vec<Vec<(u64, u64)>>>,
    #[serde(default)]
    pub(crate) calls: Option<MetaCalls>,
    #[serde(default)]
    pub(crate) memories: Vec<MetaMemory>,
    /// Growths of memories: position in `memories`, time, bytes before and after.
    #[serde(default)]
    pub(crate) growths: Vec<(usize, u64, u64, u64)>,
    #[serde(default)]
    pub(crate) spans: Vec<MetaSpan>,
    #[serde(default)]
    pub(crate) spans_left_out: u64,
    /// Where frames are in the WebAssembly binary: position in `libraries`, address, offset.
    #[serde(default)]
    pub(crate) instructions: Vec<(u32, u32, u32)>,
    #[serde(default)]
    pub(crate) missing_lines: Vec<String>,
    pub(crate) strings: Vec<String>,
    pub(crate) libraries: Vec<MetaLibrary>,
    pub(crate) functions: Vec<MetaFunction>,
    /// From where to where functions cross, if that is known: position in `functions`, who calls, who is called.
    #[serde(default)]
    pub(crate) function_ends: Vec<(u32, Option<MetaEnd>, Option<MetaEnd>)>,
}

/// Who calls, or who is called.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetaEnd {
    Host,
    /// Position of its name in `strings`.
    Component(u32),
}

/// More about a library.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaLibrary {
    /// Its `breakpadId`.
    pub(crate) id: String,
    pub(crate) layer: String,
    pub(crate) component: Option<String>,
}

/// More about a function: position in `libraries`, address, kind, and positions in `strings` of interface and function,
/// and the direction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaFunction(
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) String,
    pub(crate) Option<u32>,
    pub(crate) Option<u32>,
    pub(crate) Option<String>,
);

/// Calls across interfaces. Times are in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaCalls {
    pub(crate) functions: Vec<MetaCalled>,
    pub(crate) kept: Vec<MetaCall>,
    pub(crate) unnamed: u64,
}

/// All calls of one function.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaCalled {
    pub(crate) interface: String,
    pub(crate) function: String,
    pub(crate) direction: String,
    pub(crate) count: u64,
    /// If they are known: wall-clock time, time suspended, CPU time, p50, p90, p99, and the longest.
    pub(crate) times: Option<(u64, u64, Option<u64>, [u64; 4])>,
}

/// A call: position in [`MetaCalls::functions`], position of the thread, begin, length, time suspended, CPU time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaCall(
    pub(crate) u32,
    pub(crate) Option<usize>,
    pub(crate) u64,
    pub(crate) u64,
    pub(crate) u64,
    pub(crate) Option<u64>,
);

/// A span: name, detail, begin, length, CPU time, path.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaSpan(
    pub(crate) String,
    pub(crate) Option<String>,
    pub(crate) u64,
    pub(crate) u64,
    pub(crate) Option<u64>,
    // Not there in older files.
    #[serde(default)] pub(crate) Option<String>,
);

/// A memory: name, peak, growths, and its points.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaMemory(pub(crate) String, pub(crate) u64, pub(crate) u64, pub(crate) Vec<(u64, u64)>);

impl MetaMemory {
    fn new(memory: &MemoryTrack) -> Self {
        let points = memory.points.iter().map(|(time, bytes)| (nanos(*time), *bytes));
        Self(memory.name.clone(), memory.peak, memory.growths, points.collect())
    }
}

impl MetaCalls {
    fn new(trace: &CallTrace) -> Self {
        let functions = trace.functions().iter().map(|function| MetaCalled {
            interface: function.crossing.interface.clone(),
            function: function.crossing.function.clone(),
            direction: function.crossing.direction.name().to_owned(),
            count: function.count,
            times: function.times.map(|times| {
                let quantiles = [times.p50, times.p90, times.p99, times.max].map(nanos);
                (nanos(times.wall), nanos(times.suspended), times.cpu.map(nanos), quantiles)
            }),
        });
        let kept = trace.kept().iter().map(|call| {
            let cpu = call.cpu.map(nanos);
            MetaCall(call.function.0, call.thread, nanos(call.begin), nanos(call.wall), nanos(call.suspended), cpu)
        });
        Self { functions: functions.collect(), kept: kept.collect(), unnamed: trace.unnamed_entries() }
    }
}

impl MetaSpan {
    fn new(span: &Span) -> Self {
        let (name, detail, path) = (span.name.clone(), span.detail.clone(), span.path.clone());
        Self(name, detail, nanos(span.begin), nanos(span.wall), span.cpu.map(nanos), path)
    }
}

impl Meta {
    /// `functions` and `libraries` are those of the profile, perhaps with more behind them.
    pub(super) fn new(profile: &Profile, functions: &[ProfileFunction], libraries: &[ProfileLibrary]) -> Self {
        let counts = profile.counts();
        let mut strings = indexmap::IndexSet::new();
        let mut string = |text: &Option<String>| {
            let text = text.as_ref()?;
            u32::try_from(strings.insert_full(text.clone()).0).ok()
        };
        let libraries = libraries.iter().enumerate().map(|(index, library)| MetaLibrary {
            id: library_id(index).breakpad().to_string(),
            layer: library.layer.name().to_owned(),
            component: library.component.clone(),
        });
        // Inlined functions have no address to be known by, and nothing that the format has no place for.
        let compiled = functions.iter().filter(|function| function.kind != FunctionKind::Inlined);
        let function_ends = (0..).zip(compiled.clone()).filter_map(|(position, function)| {
            let mut end = |end: &Option<CrossingEnd>| match end.as_ref()? {
                CrossingEnd::Host => Some(MetaEnd::Host),
                CrossingEnd::Component(name) => string(&Some(name.clone())).map(MetaEnd::Component),
            };
            let (from, to) = (end(&function.ends.from), end(&function.ends.to));
            from.or(to).map(|_| (position, from, to))
        });
        let function_ends = function_ends.collect();
        let functions = compiled.map(|function| {
            MetaFunction(
                function.library.0,
                function.offset,
                function.kind.name().to_owned(),
                string(&function.interface),
                string(&function.interface_function),
                function.direction.map(|direction| direction.name().to_owned()),
            )
        });
        let functions = functions.collect();
        let instructions = profile.frames().iter().filter_map(|frame| {
            let library = profile.functions()[frame.function.index()].library;
            Some((library.0, frame.point.lookup_offset().get(), frame.instruction?.get()))
        });
        let instructions: indexmap::IndexSet<_> = instructions.collect();
        Self {
            instructions: instructions.into_iter().collect(),
            missing_lines: profile.missing_lines().to_vec(),
            version: VERSION,
            sampler: profile.sampler().name().to_owned(),
            interval_ns: nanos(profile.interval()),
            elapsed_ns: nanos(profile.elapsed()),
            started_ns: profile.started_at().duration_since(UNIX_EPOCH).ok().map(nanos),
            origin: profile.origin().clone(),
            taken: counts.taken,
            kept: counts.kept,
            truncated: counts.truncated,
            lost: counts.lost.iter().map(|(reason, count)| (reason.name().to_owned(), *count)).collect(),
            handler: profile.handler_cost().map(|cost| (cost.median_ticks, cost.p99_ticks, cost.ticks_per_second)),
            profiler: {
                let profiler = profile.profiler_time();
                (profiler.samples, nanos(profiler.wall), nanos(profiler.cpu))
            },
            threads: profile.threads().iter().map(|thread| thread.name.clone()).collect(),
            labels: profile.labels.iter().map(|set| set.to_vec()).collect(),
            sample_labels: of_threads(profile, |samples| {
                runs(samples, profile.interval(), 0, |sample, _| sample.labels.0)
            }),
            sample_counts: of_threads(profile, |samples| {
                runs(samples, profile.interval(), 1, |sample, _| sample.count)
            }),
            sample_preempted: profile.preempted_time().map(|_| {
                of_threads(profile, |samples| runs(samples, profile.interval(), 0, |_, row| nanos(row.preempted)))
            }),
            calls: profile.calls().map(MetaCalls::new),
            memories: profile.memories().iter().map(MetaMemory::new).collect(),
            growths: profile
                .memory_growths()
                .iter()
                .map(|growth| (growth.memory, nanos(growth.time), growth.from, growth.to))
                .collect(),
            spans: profile.spans().iter().map(MetaSpan::new).collect(),
            spans_left_out: profile.spans_left_out(),
            strings: strings.into_iter().collect(),
            libraries: libraries.collect(),
            functions,
            function_ends,
        }
    }
}

fn of_threads<R>(profile: &Profile, runs: impl Fn(&[Sample]) -> R) -> Vec<R> {
    profile.threads().iter().map(|thread| runs(&thread.samples)).collect()
}

/// Runs of rows that have the same `value`, which may be that of their sample; without those at the end that have the `usual`
/// one.
fn runs<V: Copy + PartialEq>(
    samples: &[Sample],
    interval: Duration,
    usual: V,
    value: impl Fn(&Sample, Row) -> V,
) -> Vec<(u64, V)> {
    let mut runs: Vec<(u64, V)> = Vec::new();
    for (sample, row) in all_rows(samples, interval) {
        let value = value(sample, row);
        match runs.last_mut() {
            Some((count, known)) if *known == value => *count += 1,
            _ => runs.push((1, value)),
        }
    }
    if runs.last().is_some_and(|(_, value)| *value == usual) {
        runs.pop();
    }
    runs
}
