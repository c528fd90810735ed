//! What only our files have, because the format has no place for it: `meta.witprof`.

use std::fmt;
use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::Deserialize;
use serde::de::value::MapAccessDeserializer;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, IntoDeserializer, MapAccess, Visitor};

use super::document::MetaJson;
use super::samples::time;
use crate::firefox_format::{META_VERSION, Meta, MetaCall, MetaCalls, MetaCaptured, MetaEnd, MetaMemory, MetaSpan};
use crate::profile::{
    CallTrace, CalledFunction, CalledIndex, CalledTimes, CaptureReason, Captured, Crossing, MemoryGrowth, MemoryTrack,
    TracedCall,
};
use crate::samples::{LossReason, SampleCounts, Span, TraceContext};
use crate::symbols::{CrossingEnd, Direction, Ends};

/// `meta.witprof`. Its form is judged before its shape.
pub(super) enum OwnData {
    Known(Box<Meta>),
    /// A form with a number that is not known here.
    OtherForm(u32),
}

impl<'de> Deserialize<'de> for OwnData {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OwnDataVisitor)
    }
}

fn is_known(version: u32) -> bool {
    (1..=META_VERSION).contains(&version)
}

struct OwnDataVisitor;

impl<'de> Visitor<'de> for OwnDataVisitor {
    type Value = OwnData;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("what witprof adds to a profile")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<OwnData, A::Error> {
        let mut first: Option<String> = map.next_key()?;
        let mut version = None;
        // It is written first. A program that sorts keys may have moved it.
        if first.as_deref() == Some("version") {
            let found: u32 = map.next_value()?;
            if !is_known(found) {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                return Ok(OwnData::OtherForm(found));
            }
            (first, version) = (None, Some(found));
        }
        let mut meta = Meta::deserialize(MapAccessDeserializer::new(Rest { first, map }))?;
        meta.version = version.unwrap_or(meta.version);
        Ok(match meta.version {
            known if is_known(known) => OwnData::Known(Box::new(meta)),
            other => OwnData::OtherForm(other),
        })
    }
}

/// A map of which a key was read already.
struct Rest<A> {
    first: Option<String>,
    map: A,
}

impl<'de, A: MapAccess<'de>> MapAccess<'de> for Rest<A> {
    type Error = A::Error;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, A::Error> {
        match self.first.take() {
            Some(key) => seed.deserialize(key.into_deserializer()).map(Some),
            None => self.map.next_key_seed(seed),
        }
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, A::Error> {
        self.map.next_value_seed(seed)
    }
}

/// The part of one of our recordings that the front-end saved, if it was not all of it. What was left out is still counted
/// in `meta`, and positions there are those of all rows.
pub(super) fn saved_part(json: &MetaJson, meta: &Meta) -> Option<(Duration, Duration)> {
    let elapsed = Duration::from_nanos(meta.elapsed_ns);
    let bound = |bound: Option<f64>, otherwise| bound.and_then(|bound| time(bound, 1e3)).unwrap_or(otherwise);
    let begin = bound(json.profiling_start_time, Duration::ZERO);
    let end = bound(json.profiling_end_time, elapsed).min(elapsed).max(begin);
    // Both are rounded.
    let rounding = Duration::from_micros(1);
    (begin > rounding || end + rounding < elapsed).then_some((begin, end))
}

pub(super) fn counts_of(meta: &Meta) -> SampleCounts {
    let lost = meta.lost.iter().filter_map(|(name, count)| {
        LossReason::ALL.iter().copied().find(|reason| reason.name() == name).map(|reason| (reason, *count))
    });
    SampleCounts { taken: meta.taken, kept: meta.kept, truncated: meta.truncated, lost: lost.collect() }
}

/// From where to where functions cross, by their positions.
pub(super) fn ends_of(meta: &Meta) -> FxHashMap<usize, Ends> {
    let end = |end: Option<MetaEnd>| match end? {
        MetaEnd::Host => Some(CrossingEnd::Host),
        MetaEnd::Component(name) => meta.strings.get(name as usize).cloned().map(CrossingEnd::Component),
    };
    let ends = meta.function_ends.iter();
    ends.map(|(function, from, to)| (*function as usize, Ends { from: end(*from), to: end(*to) })).collect()
}

/// The calls of a file, of whose threads `places` tells the indices.
pub(super) fn calls_of(calls: &MetaCalls, places: &FxHashMap<usize, usize>) -> Result<CallTrace, String> {
    let nanos = Duration::from_nanos;
    let functions = calls.functions.iter().map(|function| {
        let direction = Direction::ALL.iter().copied().find(|direction| direction.name() == function.direction);
        Ok(CalledFunction {
            crossing: Crossing {
                interface: function.interface.clone(),
                function: function.function.clone(),
                direction: direction.ok_or("a called function has no direction")?,
            },
            count: function.count,
            times: function.times.map(|(wall, suspended, cpu, quantiles)| {
                let [p50, p90, p99, max] = quantiles.map(nanos);
                CalledTimes { wall: nanos(wall), suspended: nanos(suspended), cpu: cpu.map(nanos), p50, p90, p99, max }
            }),
        })
    });
    let kept = calls.kept.iter().map(|MetaCall(function, thread, begin, wall, suspended, cpu)| {
        if *function as usize >= calls.functions.len() {
            return Err("a call is of a function that is not there");
        }
        Ok(TracedCall {
            function: CalledIndex(*function),
            thread: thread.and_then(|thread| places.get(&thread).copied()),
            begin: nanos(*begin),
            wall: nanos(*wall),
            suspended: nanos(*suspended),
            cpu: cpu.map(nanos),
            stack: None,
        })
    });
    Ok(CallTrace {
        functions: functions.collect::<Result<_, &str>>()?,
        kept: kept.collect::<Result<_, &str>>()?,
        unnamed: calls.unnamed,
    })
}

pub(super) fn memory_of(MetaMemory(name, peak, growths, points): &MetaMemory) -> MemoryTrack {
    let points = points.iter().map(|(time, bytes)| (Duration::from_nanos(*time), *bytes)).collect();
    MemoryTrack { name: name.clone(), points, peak: *peak, growths: *growths }
}

pub(super) fn growths_of(meta: &Meta) -> Result<Vec<MemoryGrowth>, String> {
    let growths = meta.growths.iter().map(|(memory, time, from, to)| {
        if *memory >= meta.memories.len() {
            return Err("a memory that grows is not there".to_owned());
        }
        Ok(MemoryGrowth { memory: *memory, time: Duration::from_nanos(*time), from: *from, to: *to, stack: None })
    });
    growths.collect()
}

/// A place in a trace.
pub(super) fn trace_of((trace, span): &(String, String)) -> Result<Option<TraceContext>, String> {
    let context = TraceContext::from_traceparent(&format!("00-{trace}-{span}-00"));
    context.map(Some).ok_or_else(|| format!("{trace:?} and {span:?} are no place in a trace"))
}

/// What a file was captured for, of whose threads `places` tells the indices.
pub(super) fn captured_of(captured: &MetaCaptured, places: &FxHashMap<usize, usize>) -> Result<Captured, String> {
    let reason = match (captured.reason.as_str(), captured.limit_ns, &captured.said) {
        ("slow", Some(limit), _) => CaptureReason::Slow(Duration::from_nanos(limit)),
        ("failed", ..) => CaptureReason::Failed,
        ("asked", _, Some(said)) => CaptureReason::Asked(said.clone()),
        (reason, ..) => return Err(format!("it was captured for a reason that is not known: {reason:?}")),
    };
    let span = captured.span.as_ref().map(span_of);
    let thread = captured.thread.and_then(|thread| places.get(&thread).copied());
    Ok(Captured { reason, span, thread, left_out: captured.left_out })
}

pub(super) fn span_of(MetaSpan(name, detail, begin, wall, cpu, path, has_failed): &MetaSpan) -> Span {
    let mut span = Span::new(name.as_str(), Duration::from_nanos(*begin), Duration::from_nanos(*wall));
    span.detail.clone_from(detail);
    span.path.clone_from(path);
    span.cpu = cpu.map(Duration::from_nanos);
    span.has_failed = *has_failed;
    span
}
