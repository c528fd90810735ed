//! How a profile becomes what the format has no place for.

use std::time::{Duration, UNIX_EPOCH};

use super::library_id;
use crate::firefox_format::{
    META_VERSION, Meta, MetaCall, MetaCalled, MetaCalls, MetaCaptured, MetaEnd, MetaFunction, MetaLibrary, MetaMemory,
    MetaSpan, Row, all_rows,
};
use crate::nanos::nanos;
use crate::profile::{
    CallTrace, CaptureReason, Captured, MemoryTrack, Profile, ProfileFunction, ProfileLibrary, Sample,
};
use crate::samples::{Span, TraceContext};
use crate::symbols::{CrossingEnd, FunctionKind};

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
        Self(name, detail, nanos(span.begin), nanos(span.wall), span.cpu.map(nanos), path, span.has_failed)
    }
}

impl MetaCaptured {
    fn new(captured: &Captured) -> Self {
        let (limit, said) = match &captured.reason {
            CaptureReason::Slow(limit) => (Some(*limit), None),
            CaptureReason::Failed => (None, None),
            CaptureReason::Asked(said) => (None, Some(said.clone())),
        };
        Self {
            reason: captured.reason.name().to_owned(),
            limit_ns: limit.map(nanos),
            said,
            span: captured.span.as_ref().map(MetaSpan::new),
            thread: captured.thread,
            left_out: captured.left_out,
        }
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
            version: META_VERSION,
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
            traces: profile.traces.iter().flatten().map(TraceContext::hex).collect(),
            sample_traces: match profile.traces.len() {
                0 | 1 => Vec::new(),
                _ => of_threads(profile, |samples| runs(samples, profile.interval(), 0, |sample, _| sample.trace.0)),
            },
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
            captured: profile.captured().map(MetaCaptured::new),
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
