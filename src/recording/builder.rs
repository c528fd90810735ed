//! What a recorder is to do, put together before it starts.

use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use super::capture::Occasions;
use super::chosen_calls::{SlowCalls, kept_calls};
use super::recorder::Recorder;
use super::retirement::Retirement;
use super::shared::Shared;
use crate::code::{Names, Registry};
use crate::component::Code;
use crate::error::{Error, Result, SignalProblem};
use crate::lock::lock;
use crate::profile::HostSymbols;
use crate::sampler::epoch::{EpochSampler, Ticker};
use crate::sampler::signal::{CallerWays, Scenes, SignalOptions, SignalSampler};
use crate::sampler::{RecordingState, SamplingClock};
use crate::samples::{MemoryLog, Retention, SampleLog};
use crate::tracing::Tracing;

/// How samples are to be taken.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SamplerChoice {
    /// By signals where that works, else by epochs; [`Recorder::fallback`] says why.
    #[default]
    Auto,
    /// By signals, or not at all.
    Signal,
    /// By epochs.
    Epoch,
}

/// Builds a [`Recorder`]. Made by [`Recorder::builder`].
///
/// ```
/// # use std::{sync::Arc, time::Duration};
/// # use wasmtime::component::Component;
/// # use witprof::{Recorder, SamplerChoice, SamplingClock, SymbolMap};
/// # fn example(component: &Component, plugin: &Component) -> witprof::Result<Recorder> {
/// let map = |name, component| Ok::<_, witprof::Error>(Arc::new(SymbolMap::builder(name).build(component)?));
/// let recorder = Recorder::builder(Duration::from_micros(997))
///     .code(map("shop", component)?, component)
///     .code(map("plugin", plugin)?, plugin)
///     .sampler(SamplerChoice::Signal)
///     .clock(SamplingClock::Wall)
///     .memory_limit(64 << 20)
///     .keep_last(Duration::from_secs(600))
///     .trace_call_cpu_time()
///     .start()?;
/// # Ok(recorder)
/// # }
/// ```
#[derive(Debug)]
pub struct RecorderBuilder {
    interval: Duration,
    code: Vec<(Names, Code)>,
    choice: SamplerChoice,
    clock: SamplingClock,
    signal: Option<i32>,
    show_host: bool,
    is_without_scripts: bool,
    retention: Retention,
    call_cpu: bool,
    allow_unsampled: bool,
    is_paused: bool,
    slow_calls: Vec<SlowCalls>,
}

/// Bytes that a recording may take, unless [`RecorderBuilder::memory_limit`] says otherwise.
const MEMORY: usize = 512 << 20;

/// Windows that are kept of a recording without an end.
const WINDOWS: u32 = 8;

impl RecorderBuilder {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            code: Vec::new(),
            choice: SamplerChoice::Auto,
            clock: SamplingClock::Wall,
            signal: None,
            show_host: false,
            is_without_scripts: false,
            retention: Retention::all(MEMORY),
            call_cpu: false,
            allow_unsampled: false,
            is_paused: false,
            slow_calls: Vec::new(),
        }
    }

    /// Allows `code`, a component or a core module that stands alone, to be seen for as long as the recorder lives. `names` is a
    /// [map](crate::SymbolMap), or the builder of one; see [`Recorder::register`] for both, and for code that comes later.
    #[must_use]
    pub fn code(mut self, names: impl Into<Names>, code: impl Into<Code>) -> Self {
        self.code.push((names.into(), code.into()));
        self
    }

    /// Chooses how samples are taken. The default is [`SamplerChoice::Auto`].
    #[must_use]
    pub fn sampler(mut self, choice: SamplerChoice) -> Self {
        self.choice = choice;
        self
    }

    /// Chooses the time that counts; for the signal sampler. The default is [`SamplingClock::Wall`].
    #[must_use]
    pub fn clock(mut self, clock: SamplingClock) -> Self {
        self.clock = clock;
        self
    }

    /// Chooses the signal, by its number; for the signal sampler. The default is `SIGPROF`, or if someone else has a handler
    /// for that, a real-time signal that does nothing yet ([`Recorder::signal`] says which). Threads that block it are
    /// made to receive it.
    #[must_use]
    pub fn signal(mut self, signal: i32) -> Self {
        self.signal = Some(signal);
        self
    }

    /// Shows the host's own functions, by the names in its symbol tables; for the signal sampler. Without this, there is
    /// one frame called `host` for whatever the host does inside an import, and none for what it does around a guest.
    #[must_use]
    pub fn show_host_frames(mut self) -> Self {
        self.show_host = true;
        self
    }

    /// Leaves out the functions of scripts, such as Python's: of an interpreter its own functions are recorded, and nothing else.
    /// Without this, the interpreters that are known are read with each sample, which costs them a microsecond or two.
    #[must_use]
    pub fn without_scripts(mut self) -> Self {
        self.is_without_scripts = true;
        self
    }

    /// Keeps about the last `time` of the recording, for a service that never ends: the recording is cut into windows of an
    /// eighth of that, and while there are more than eight of them, the oldest is dropped. Its samples are counted as
    /// lost ([`LossReason::WindowDropped`](crate::LossReason::WindowDropped)).
    #[must_use]
    pub fn keep_last(mut self, time: Duration) -> Self {
        self.retention.window = (time / WINDOWS).max(self.interval);
        self.retention.windows = WINDOWS as usize;
        self
    }

    /// Chooses how much memory the recording may take, in bytes, about; the default is 512 MiB. When it takes more, its
    /// oldest part is dropped and counted, as above. (A recording grows with its distinct stacks, and with its length
    /// up to a million samples for each thread.) In addition each thread has half a megabyte, and
    /// where a guest interprets scripts, a whole one.
    #[must_use]
    pub fn memory_limit(mut self, bytes: usize) -> Self {
        self.retention.bytes = bytes;
        self
    }

    /// Wants the CPU time of traced calls, too ([`Recorder::call_tracer`]): a system call when a call begins, and another when
    /// it ends.
    #[must_use]
    pub fn trace_call_cpu_time(mut self) -> Self {
        self.call_cpu = true;
        self
    }

    /// Starts even where no sample can be taken: with [`SamplerChoice::Auto`], if signals are refused and code was compiled
    /// without epoch interruption. Calls and memories are recorded all the same, and [`Recorder::refused`] says why there
    /// are no samples.
    #[must_use]
    pub fn allow_unsampled(mut self) -> Self {
        self.allow_unsampled = true;
        self
    }

    /// Starts with a [pause](Recorder::pause): the recording begins when it is first [resumed](Recorder::resume), or
    /// [with a call](Recorder::begin_with_call), and so does its profile.
    #[must_use]
    pub fn paused(mut self) -> Self {
        self.is_paused = true;
        self
    }

    /// Keeps [traced calls](crate::CallTrace::kept) one by one only if they are slow, each with the stack that made it. All are
    /// counted. May be said several times: then a call is kept if one of them means it.
    #[must_use]
    pub fn keep_slow_calls(mut self, slow: SlowCalls) -> Self {
        self.slow_calls.push(slow);
        self
    }

    /// Starts recording.
    ///
    /// # Errors
    /// [`Error::Interval`] if the interval is shorter than [`Recorder::MIN_INTERVAL`] or longer than
    /// [`Recorder::MAX_INTERVAL`]; those of [`Recorder::register`] for each code; [`Error::Signal`] if signals were chosen,
    /// and cannot be used. By epochs: [`Error::NoEpochs`] if code was compiled without epoch interruption,
    /// [`Error::Thread`] if the ticking thread cannot be started.
    pub fn start(self) -> Result<Recorder> {
        let (interval, min, max) = (self.interval, Recorder::MIN_INTERVAL, Recorder::MAX_INTERVAL);
        if interval < min || interval > max {
            return Err(Error::Interval { interval, min, max });
        }
        let (start, started_at) = (Instant::now(), SystemTime::now());
        let (code, state) = (Arc::new(Registry::default()), Arc::new(RecordingState::default()));
        if self.is_paused {
            state.pause();
        }
        if self.is_without_scripts {
            code.leave_out_scripts();
        }
        for (names, code_of) in self.code {
            code.register(names, code_of, |_, _| {})?;
        }
        let scenes = Arc::new(Scenes::new(code.table()));
        let log = Arc::new(Mutex::new(SampleLog::new(interval, self.retention)));
        let (end, labels, kept_since) = {
            let log = lock(&log);
            (Arc::clone(log.end()), Arc::clone(log.labels()), Arc::clone(log.kept_since()))
        };
        let tracing = |by_signal: bool| {
            let ways = CallerWays::new(&scenes);
            let memories = MemoryLog::new(Arc::clone(&kept_since));
            let kept = kept_calls(&code, &self.slow_calls);
            let tracing = Tracing::new(&state, &code, ways, (memories, kept), start, (self.call_cpu, !by_signal));
            let tracing = Arc::new(tracing);
            let retirement = Arc::new(Retirement::new(&code, &log, &tracing, by_signal));
            (tracing, retirement)
        };
        let shared = |signal: Option<SignalSampler>, (tracing, retirement): (Arc<Tracing>, Arc<Retirement>)| {
            let shared = Shared {
                epochs: EpochSampler::new(&state, &code, (&log, tracing.ways.as_ref()), start),
                code: Arc::clone(&code),
                scenes: Arc::clone(&scenes),
                state: Arc::clone(&state),
                interval,
                start,
                started_at,
                log: Arc::clone(&log),
                signal,
                engines: Arc::default(),
                tracing,
                retirement,
                end: Arc::clone(&end),
                labels: Arc::clone(&labels),
                occasions: Occasions::default(),
                is_begun_later: self.is_paused,
                begin: OnceLock::new(),
                host_symbols: HostSymbols::default(),
            };
            shared.update_engines();
            Arc::new(shared)
        };
        let options = SignalOptions {
            clock: self.clock,
            signal: self.signal,
            show_host: self.show_host,
            interval: self.interval,
        };
        let by_signal = || {
            check_native(&code)?;
            let (tracing, retirement) = tracing(true);
            let tidying = Arc::clone(&retirement);
            let signal =
                SignalSampler::start(options, &scenes, &state, Arc::clone(&log), move |round| tidying.after(round))?;
            Ok(shared(Some(signal), (tracing, retirement)))
        };
        let fallback = match self.choice {
            SamplerChoice::Epoch => None,
            SamplerChoice::Signal | SamplerChoice::Auto => match by_signal() {
                Ok(shared) => return Ok(Recorder::new(shared, None, None)),
                Err(problem) if self.choice == SamplerChoice::Signal => return Err(Error::Signal { problem }),
                Err(problem) => Some(problem),
            },
        };
        let without_signals = || shared(None, tracing(false));
        if let Some(name) = without_epochs(&code) {
            if self.allow_unsampled && fallback.is_some() {
                return Ok(Recorder::unsampled(without_signals(), fallback));
            }
            return Err(Error::NoEpochs { name, reason: fallback });
        }
        let shared = without_signals();
        let ticker = Ticker::start(Arc::clone(&shared.engines), interval);
        let ticker = ticker.map_err(|source| Error::Thread { source })?;
        Ok(Recorder::new(shared, Some(ticker), fallback))
    }
}

/// Whether signals can sample any of the code.
fn check_native(code: &Registry) -> std::result::Result<(), SignalProblem> {
    let checks = code.registered().into_iter().filter_map(|entry| {
        let check = Recorder::check_signals(entry.code()?.engine(), "");
        Some(check.map_err(|problem| match problem {
            SignalProblem::Interpreter { .. } => SignalProblem::Interpreter { name: entry.name() },
            problem => problem,
        }))
    });
    // Some that cannot be seen do not keep others from being seen.
    let checks: Vec<_> = checks.collect();
    if checks.iter().any(Result::is_ok) { Ok(()) } else { checks.into_iter().collect() }
}

/// The first code that was compiled without epoch interruption, if any was.
fn without_epochs(code: &Registry) -> Option<String> {
    let mut registered = code.registered();
    registered.sort_by_key(|entry| entry.number());
    let without = registered.iter().find(|entry| {
        let code = entry.code();
        code.is_some_and(|code| !code.engine().get_epoch_interruption())
    });
    without.map(|entry| entry.name())
}
