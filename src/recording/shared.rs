//! What a recorder has in common with its probes, tracers and instrumented futures.

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use wasmtime::Engine;

use super::retirement::Retirement;
use crate::code::{Registry, Targets};
use crate::error::{Error, Result, SignalProblem};
use crate::lock::lock;
use crate::profile::{EVERYTHING, HostSymbols, NamedProfile, Recording, SamplerKind, symbolize};
use crate::sampler::RecordingState;
use crate::sampler::epoch::EpochSampler;
use crate::sampler::signal::{Scenes, SignalSampler};
use crate::samples::{RawFrame, SampleLog, Selection, Span};
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
    /// Whether the CPU time of calls is wanted, too.
    pub(super) call_cpu: bool,
    pub(super) tracing: Arc<Tracing>,
    pub(super) retirement: Arc<Retirement>,
    pub(super) spans: Mutex<Selection<Span>>,
    /// Read once for all profiles.
    pub(super) host_symbols: HostSymbols,
}

impl Shared {
    /// The spans that are kept, and began in `period`, in order of their beginning; and how many more there were.
    fn spans_of(&self, period: &Range<Duration>) -> (Vec<Span>, u64) {
        let mut spans = lock(&self.spans).clone();
        spans.thin();
        let kept = spans.kept().iter().map(|kept| kept.value.clone());
        let mut kept: Vec<Span> = kept.filter(|span| period.contains(&span.begin)).collect();
        kept.iter_mut().for_each(|span| span.begin = span.begin.saturating_sub(period.start));
        kept.sort_by_key(|span| (span.begin, std::cmp::Reverse(span.wall)));
        (kept, spans.left_out().0)
    }

    /// A tracer of calls, for one store.
    pub(super) fn call_tracer(&self) -> Result<CallTracer> {
        let engines = self.code.engines();
        if !engines.is_empty() && engines.iter().all(Engine::is_pulley) {
            let name = self.code.first().map_or_else(String::new, |entry| entry.name());
            return Err(Error::Calls { problem: SignalProblem::Interpreter { name } });
        }
        CallTracer::new(&self.tracing).ok_or(Error::Calls { problem: SignalProblem::Platform })
    }

    pub(super) fn is_tracing_calls(&self) -> bool {
        self.tracing.traces_calls()
    }

    /// What records refer to.
    pub(super) fn targets(&self, log: &SampleLog) -> Targets {
        let mut numbers: BTreeSet<u32> = BTreeSet::new();
        let frames = log.windows().flat_map(|window| window.stacks.frames());
        numbers.extend(frames.filter_map(|frame| match frame {
            RawFrame::Text { target, .. } | RawFrame::Wasm { target, .. } => Some(*target),
            _ => None,
        }));
        numbers.extend(self.tracing.targets());
        self.code.targets(numbers)
    }

    /// What `log`, which is this recorder's, holds of `period`.
    pub(super) fn profile(
        &self,
        log: &SampleLog,
        targets: &Targets,
        elapsed: Duration,
        period: Range<Duration>,
    ) -> NamedProfile {
        let recording = Recording {
            targets,
            name: self.code.first().map_or_else(String::new, |entry| entry.name()),
            sampler: self.kind(),
            interval: self.interval,
            started_at: self.started_at,
            elapsed,
            // Calls are counted from the beginning on: of a part of the recording nothing is known.
            calls: (period == EVERYTHING && self.is_tracing_calls()).then(|| self.tracing.calls.counted()),
            memories: lock(&self.tracing.memories).clone(),
            spans: self.spans_of(&period),
            period,
            host_place: &|address| self.scenes.host_place(address),
            host_symbols: &self.host_symbols,
        };
        symbolize(log, &recording)
    }

    pub(super) fn kind(&self) -> SamplerKind {
        if self.signal.is_some() { SamplerKind::Signal } else { SamplerKind::Epoch }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }
}
