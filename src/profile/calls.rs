//! Calls across interfaces, by name.

use std::collections::BTreeSet;
use std::time::Duration;

use hdrhistogram::Histogram;
use indexmap::IndexMap;

use super::crossing::{Crosser, Crossing};
use super::tables::{StackIndex, index};
use crate::address::TextOffset;
use crate::code::Targets;
use crate::samples::{CallSums, Called, CountedCalls, RawFrame};
use crate::symbols::{Direction, Function, HostImport, SymbolMap};

index! {
    /// A function of a [`CallTrace`]; valid for the trace it came from.
    CalledIndex
}

/// All calls of one interface function in one direction, since the recording began.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalledFunction {
    /// Which function, and which way its interface is crossed.
    pub crossing: Crossing,
    /// How many calls have returned. Exact if [`times`](Self::times) are known, else a lower bound.
    pub count: u64,
    /// How long they took; `None` for calls from one component to another, of which Wasmtime does not tell all.
    pub times: Option<CalledTimes>,
}

/// How long the calls of a function took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct CalledTimes {
    /// Wall-clock time from call to return, of all calls. Exact; for an import it includes the reading of its arguments.
    pub wall: Duration,
    /// The part of that in which the task that called was suspended. Known of calls that begin and end in the same
    /// [instrumented](crate::Recorder::instrument) future; else zero.
    pub suspended: Duration,
    /// CPU time of the calls of which it is known; `None` if it was not asked for.
    pub cpu: Option<Duration>,
    /// The wall-clock time that half of the calls took at most. This and the next two are right to a part in 100.
    pub p50: Duration,
    /// The same for 90 of 100 calls.
    pub p90: Duration,
    /// The same for 99 of 100 calls.
    pub p99: Duration,
    /// The longest call.
    pub max: Duration,
}

/// One call.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TracedCall {
    /// What was called.
    pub function: CalledIndex,
    /// Index of the [thread](crate::Profile::threads) that it returned on; `None` if that has no samples.
    pub thread: Option<usize>,
    /// When it was called, since the recording began.
    pub begin: Duration,
    /// From the call to its return.
    pub wall: Duration,
    /// The part of that in which the task was suspended.
    pub suspended: Duration,
    /// CPU time, if it is known.
    pub cpu: Option<Duration>,
    /// What called the host; `None` of a call by the host, where it could not be told, and in a profile that was read from a file. Of
    /// calls that take less than 10 µs, the first thousand of each thread have one.
    pub stack: Option<StackIndex>,
}

/// Every call that was [traced](crate::Recorder::call_tracer): sums and quantiles of all, and some of them one by one.
///
/// ```
/// # use witprof::Profile;
/// # fn example(profile: &Profile) {
/// for function in profile.calls().iter().flat_map(|trace| trace.functions()) {
///     match function.times {
///         Some(times) => println!("{}: {} calls, half of them within {:?}", function.crossing, function.count, times.p50),
///         None => println!("{}: at least {} calls", function.crossing, function.count),
///     }
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CallTrace {
    pub(crate) functions: Vec<CalledFunction>,
    pub(crate) kept: Vec<TracedCall>,
    pub(crate) unnamed: u64,
}

impl CallTrace {
    /// The functions that were called, that with the most wall-clock time first; those whose time is not known come last,
    /// by their number.
    #[must_use]
    pub fn functions(&self) -> &[CalledFunction] {
        &self.functions
    }

    /// Some of the calls, in order of their beginning: the longest, and a fair sample of the rest.
    #[must_use]
    pub fn kept(&self) -> &[TracedCall] {
        &self.kept
    }

    /// How many calls there were.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.functions.iter().fold(0, |sum, function| sum.saturating_add(function.count))
    }

    /// How many calls, of those whose times are known, are not [kept](Self::kept).
    #[must_use]
    pub fn left_out(&self) -> u64 {
        let timed = self.functions.iter().filter(|function| function.times.is_some());
        let count = timed.fold(0_u64, |sum, function| sum.saturating_add(function.count));
        count.saturating_sub(u64::try_from(self.kept.len()).unwrap_or(u64::MAX))
    }

    /// How often a guest was entered without a way to tell by which function: these are not counted anywhere else. They may
    /// be calls of exports, or the canonical ABI's own; or calls of code that had been unregistered.
    #[must_use]
    pub fn unnamed_entries(&self) -> u64 {
        self.unnamed
    }
}

/// Names what was counted, in the time since the profile began; `thread` finds the thread of a call that is kept.
pub(super) fn name_calls(
    counted: &CountedCalls,
    (targets, since): (&Targets, Duration),
    thread: impl Fn(std::thread::ThreadId) -> Option<usize>,
    mut stack: impl FnMut(&[RawFrame]) -> Option<StackIndex>,
) -> CallTrace {
    let crossing = |called: Called| crossing_of(targets.get(called.target())?.map(), called);
    let (mut sums, unnamed) = sum_calls(counted, targets);
    sums.sort_by(|a, of_a, b, of_b| (of_b.wall, of_b.count).cmp(&(of_a.wall, of_a.count)).then_with(|| a.cmp(b)));
    let kept = counted.kept.iter().filter_map(|call| {
        let function = sums.get_index_of(&crossing(call.called)?)?;
        Some(TracedCall {
            function: CalledIndex(u32::try_from(function).ok()?),
            thread: thread(call.thread.id),
            begin: Duration::from_nanos(call.times.begin).saturating_sub(since),
            wall: Duration::from_nanos(call.times.wall),
            suspended: Duration::from_nanos(call.times.suspended),
            cpu: call.times.cpu.map(Duration::from_nanos),
            stack: stack(&call.stack),
        })
    });
    let kept = kept.collect();
    let functions = sums.into_iter().map(|(crossing, sums)| called_function(crossing, &sums)).collect();
    CallTrace { functions, kept, unnamed }
}

fn called_function(crossing: Crossing, sums: &CallSums) -> CalledFunction {
    let nanos = Duration::from_nanos;
    // A histogram tells the end of the range that a value is in.
    let quantile =
        |histogram: &Histogram<u64>, quantile| nanos(histogram.value_at_quantile(quantile).min(sums.longest));
    let times = sums.histogram.as_ref().map(|histogram| CalledTimes {
        wall: nanos(sums.wall),
        suspended: nanos(sums.suspended),
        cpu: (sums.with_cpu > 0).then(|| nanos(sums.cpu)),
        p50: quantile(histogram, 0.5),
        p90: quantile(histogram, 0.9),
        p99: quantile(histogram, 0.99),
        max: nanos(sums.longest),
    });
    CalledFunction { crossing, count: sums.count, times }
}

/// The calls of each interface function, and how many there were of which nothing tells what was called.
pub(crate) fn sum_calls(counted: &CountedCalls, targets: &Targets) -> (IndexMap<Crossing, CallSums>, u64) {
    let mut unnamed = counted.unnamed;
    let mut sums: IndexMap<Crossing, CallSums> = IndexMap::new();
    for (called, calls) in &counted.sums {
        // A counter that was made, and has counted nothing.
        if calls.count == 0 {
            continue;
        }
        let target = targets.get(called.target());
        match target.and_then(|target| crossing_of(target.map(), *called)) {
            Some(crossing) => sums.entry(crossing).or_default().merge(calls),
            // By a store that went on long after its code was unregistered, and forgotten.
            None if target.is_none() => unnamed += calls.count,
            None => {}
        }
    }
    (sums, unnamed)
}

/// The interface functions that a component or module is known to call or to be called by, as they are written in outputs.
pub(crate) fn crossings_of(map: &SymbolMap) -> BTreeSet<Crossing> {
    let of_imports = map.host_imports().iter().map(import_crossing);
    map.functions().filter_map(called_crossing).chain(of_imports).collect()
}

/// The crossing that a call is; `None` if it is none.
pub(crate) fn crossing_of(map: &SymbolMap, called: Called) -> Option<Crossing> {
    match called {
        Called::Compiled(site) => called_crossing(map.lookup(TextOffset::new(site.offset))?),
        Called::HostImport { import, .. } => map.host_imports().get(import).map(import_crossing),
    }
}

fn import_crossing(import: &HostImport) -> Crossing {
    let (interface, function) = (import.module.to_string(), import.function.to_string());
    Crossing { interface, function, direction: Direction::Import }
}

/// The crossing that a call of `function` is; `None` if it is no call across an interface, or a part of one.
fn called_crossing(function: Function<'_>) -> Option<Crossing> {
    let name = function.name();
    let crosser = Crosser::of_map(function, &name);
    crosser.crossing().filter(|_| crosser.is_whole_call())
}
