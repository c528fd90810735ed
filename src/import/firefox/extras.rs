//! What the format has no place for: calls, memories and spans, from `meta.witprof`.

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::export::firefox::{Meta, MetaCall, MetaCalls, MetaMemory, MetaSpan};
use crate::profile::{
    CallTrace, CalledFunction, CalledIndex, CalledTimes, Crossing, MemoryGrowth, MemoryTrack, TracedCall,
};
use crate::samples::Span;
use crate::symbols::Direction;

/// The calls of a file, of whose threads `places` tells the indices.
pub(super) fn calls_of(calls: &MetaCalls, places: &FxHashMap<usize, usize>) -> Result<CallTrace, String> {
    let nanos = Duration::from_nanos;
    let functions = calls.functions.iter().map(|function| {
        let direction = Direction::ALL.into_iter().find(|direction| direction.name() == function.direction);
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

pub(super) fn span_of(MetaSpan(name, detail, begin, wall, cpu, path): &MetaSpan) -> Span {
    let mut span = Span::new(name.as_str(), Duration::from_nanos(*begin), Duration::from_nanos(*wall));
    span.detail.clone_from(detail);
    span.path.clone_from(path);
    span.cpu = cpu.map(Duration::from_nanos);
    span
}
