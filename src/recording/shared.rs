//! What a recorder has in common with its probes, tracers and instrumented futures.

use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use indexmap::IndexMap;
use rustc_hash::FxHashSet;
use wasmtime::Engine;

use super::capture::Occasions;
use super::retirement::Retirement;
use crate::code::{Registry, Targets};
use crate::error::{Error, Result, SignalProblem};
use crate::lock::lock;
use crate::profile::{
    Captured, Crossing, EVERYTHING, HostSymbols, NamedProfile, Profile, Recording, SamplerKind, sum_calls, symbolize,
};
use crate::sampler::RecordingState;
use crate::sampler::epoch::EpochSampler;
use crate::sampler::signal::{Scenes, SignalSampler};
use crate::samples::{CallSums, CountedCalls, HandlerCost, LabelRegistry, SampleCounts, SampleLog, with_log};
use crate::tracing::{CallTracer, Tracing};

/// What a recorder has in common with its probes, tracers and instrumented futures.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(super) code: Arc<Registry>,
    pub(super) scenes: Arc<Scenes>,
    pub(super) state: Arc<RecordingState>,
    pub(super) interval: Duration,
    pub(super) start: Instant,
    pub(super) started_at: SystemTime,
    pub(super) log: Arc<Mutex<SampleLog>>,
    /// `None` if samples are taken by epochs.
    pub(super) signal: Option<SignalSampler>,
    pub(super) epochs: EpochSampler,
    /// Whose epochs are advanced, where those sample.
    pub(super) engines: Arc<Mutex<Vec<Engine>>>,
    pub(super) tracing: Arc<Tracing>,
    pub(super) retirement: Arc<Retirement>,
    /// How long the recording was, once it has ended. Set under the lock of the log, which asks for it.
    pub(super) end: Arc<OnceLock<Duration>>,
    pub(super) labels: Arc<LabelRegistry>,
    /// Who wants to be told of spans.
    pub(super) occasions: Occasions,
    /// Whether it was paused when it was started, and begins when it is resumed;
    pub(super) is_begun_later: bool,
    /// when that was.
    pub(super) begin: OnceLock<Duration>,
    /// Read once for all profiles.
    pub(super) host_symbols: HostSymbols,
}

impl Shared {
    /// Goes on recording after a pause.
    pub(super) fn resume(&self) {
        // No store is charged with the time in between.
        self.epochs.forget_clocks();
        if self.state.resume() {
            let _ = self.begin.set(self.elapsed());
            if let Some(signal) = &self.signal {
                signal.resumed();
            }
        }
    }

    /// A tracer of calls, for one store, that does nothing but wait for the one with which the recording begins.
    pub(super) fn waiting_tracer(&self) -> Result<CallTracer> {
        self.tracer(CallTracer::waiting)
    }

    /// A tracer of calls, for one store.
    pub(super) fn call_tracer(&self) -> Result<CallTracer> {
        self.tracer(CallTracer::new)
    }

    fn tracer(&self, make: impl FnOnce(&Arc<Tracing>) -> Option<CallTracer>) -> Result<CallTracer> {
        let engines = self.code.engines();
        if !engines.is_empty() && engines.iter().all(Engine::is_pulley) {
            let name = self.code.name();
            return Err(Error::Calls { problem: SignalProblem::Interpreter { name } });
        }
        make(&self.tracing).ok_or(Error::Calls { problem: SignalProblem::Platform })
    }

    /// Forgets labels that nobody uses any more, if there are too many of them.
    pub(super) fn forget_labels(&self) {
        if let (true, Some(signal)) = (self.labels.has_many_retired(), &self.signal) {
            if signal.is_here() {
                // The collector sleeps, because nothing is active.
                signal.collect(&self.log);
            } else {
                // In a child of the process there is none.
                self.labels.set_buffers(false);
            }
        }
    }

    /// Takes into the log what has been sampled until now.
    pub(super) fn collect(&self) {
        if let Some(signal) = &self.signal {
            signal.collect(&self.log);
        }
    }

    /// The profile of what was recorded in a period. Takes no lock for long.
    pub(super) fn profile(&self, period: Range<Duration>) -> Profile {
        self.profile_with(period, None)
    }

    /// The same of a recording that goes on, with what it was captured for.
    pub(super) fn capture(&self, period: Range<Duration>, captured: Captured) -> Profile {
        self.collect();
        self.profile_with(period, Some(captured))
    }

    fn profile_with(&self, period: Range<Duration>, captured: Option<Captured>) -> Profile {
        let (named, targets) = self.named_profile(period, captured);
        named.with_lines(&targets)
    }

    /// The same as `profile`, of a recording that goes on, without lines of source code, which take a while to find.
    pub(super) fn profile_without_lines(&self, period: Range<Duration>) -> Profile {
        self.collect();
        self.named_profile(period, None).0.profile
    }

    /// How many samples there were, since the beginning.
    pub(super) fn counts(&self) -> SampleCounts {
        lock(&self.log).counts.clone()
    }

    /// What taking samples cost, if that is known.
    pub(super) fn handler_cost(&self) -> Option<HandlerCost> {
        lock(&self.log).handler_cost
    }

    /// All calls since the beginning, by name.
    pub(super) fn call_sums(&self) -> IndexMap<Crossing, CallSums> {
        if !self.tracing.traces_calls() {
            return IndexMap::new();
        }
        let (counted, targets) = self.retirement.while_nothing_is_forgotten(|| {
            let counted = self.tracing.calls.counted();
            let targets = self.code.targets(counted.targets());
            (counted, targets)
        });
        sum_calls(&counted, &targets).0
    }

    fn named_profile(&self, mut period: Range<Duration>, captured: Option<Captured>) -> (NamedProfile, Targets) {
        let is_everything = period == EVERYTHING;
        if is_everything && self.is_begun_later {
            period.start = self.begin.get().copied().unwrap_or_else(|| self.elapsed());
        }
        // Calls are counted from the beginning on: of a part of the recording nothing is known.
        let has_calls = is_everything && self.tracing.traces_calls();
        let (log, targets, memories, calls, scripts) = self.retirement.while_nothing_is_forgotten(|| {
            let log = with_log(&self.log, |log| log.freeze(period, is_everything));
            let memories = {
                let mut memories = lock(&self.tracing.memories);
                memories.forget_old();
                memories.clone()
            };
            let calls = has_calls.then(|| self.tracing.calls.counted());
            let mut numbers = log.targets();
            numbers.extend(memories.targets());
            numbers.extend(calls.iter().flat_map(CountedCalls::targets));
            // What was met later has names that nothing refers to.
            let scripts = self.tracing.script_functions();
            (log, self.code.targets(numbers), memories, calls, scripts)
        });
        if self.signal.is_none() {
            // There is no collector that would do it from time to time.
            self.retirement.forget(FxHashSet::default);
        }
        let recording = Recording {
            targets: &targets,
            name: self.code.name(),
            sampler: self.kind(),
            interval: self.interval,
            started_at: self.started_at,
            elapsed: self.end.get().copied().unwrap_or_else(|| self.elapsed()),
            calls,
            memories,
            spans: log.spans(),
            captured,
            scripts,
            host_place: &|address| self.scenes.host_place(address),
            host_symbols: &self.host_symbols,
        };
        let named = symbolize(&log, &recording);
        (named, targets)
    }

    pub(super) fn kind(&self) -> SamplerKind {
        if self.signal.is_some() { SamplerKind::Signal } else { SamplerKind::Epoch }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
