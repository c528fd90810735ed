//! What a recorder is to do, put together before it starts.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime::Engine;

use super::recorder::{Recorder, Shared};
use crate::component::Code;
use crate::error::{Error, Result, SignalProblem};
use crate::profile::Target;
use crate::sampler::SamplingClock;
use crate::sampler::epoch::Ticker;
use crate::sampler::signal::{SignalOptions, SignalSampler};
use crate::samples::{Retention, SampleLog};
use crate::symbols::SymbolMap;

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
    targets: Vec<Target>,
    choice: SamplerChoice,
    clock: SamplingClock,
    signal: Option<i32>,
    show_host: bool,
    retention: Retention,
    call_cpu: bool,
    allow_unsampled: bool,
}

/// Bytes that a recording may take, unless [`RecorderBuilder::memory_limit`] says otherwise.
const MEMORY: usize = 512 << 20;

/// Windows that are kept of a recording without an end.
const WINDOWS: u32 = 8;

impl RecorderBuilder {
    pub(crate) fn new(interval: Duration) -> Self {
        Self {
            interval,
            targets: Vec::new(),
            choice: SamplerChoice::Auto,
            clock: SamplingClock::Wall,
            signal: None,
            show_host: false,
            retention: Retention::all(MEMORY),
            call_cpu: false,
            allow_unsampled: false,
        }
    }

    /// Allows `code`, a component or a core module that stands alone, to be seen under the names of `map`.
    #[must_use]
    pub fn code(mut self, map: Arc<SymbolMap>, code: impl Into<Code>) -> Self {
        self.targets.push(Target { map, code: code.into() });
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
    /// up to a million samples for each thread.) In addition each thread has half a megabyte.
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

    /// Starts recording.
    ///
    /// # Errors
    /// [`Error::Interval`] if the interval is shorter than [`Recorder::MIN_INTERVAL`] or longer than
    /// [`Recorder::MAX_INTERVAL`]; [`Error::GuestDebug`] if code runs as private copies; [`Error::Signal`] if signals
    /// were chosen, and cannot be used. By epochs: [`Error::NoEpochs`] if code was compiled without epoch
    /// interruption, [`Error::Thread`] if the ticking thread cannot be started.
    pub fn start(self) -> Result<Recorder> {
        let (interval, min, max) = (self.interval, Recorder::MIN_INTERVAL, Recorder::MAX_INTERVAL);
        if interval < min || interval > max {
            return Err(Error::Interval { interval, min, max });
        }
        for target in &self.targets {
            if target.code.engine().get_guest_debug() {
                return Err(Error::GuestDebug { name: target.map.component().to_owned() });
            }
        }
        let log = Arc::new(Mutex::new(SampleLog::new(interval, self.retention)));
        let fallback = match self.choice {
            SamplerChoice::Epoch => None,
            SamplerChoice::Signal | SamplerChoice::Auto => match self.start_signal(&log) {
                Ok(signal) => {
                    let shared = Shared::new(self.targets, interval, log, Some(signal), self.call_cpu);
                    return Ok(Recorder::new(shared, None, None));
                }
                Err(problem) if self.choice == SamplerChoice::Signal => return Err(Error::Signal { problem }),
                Err(problem) => Some(problem),
            },
        };
        let engines = match self.engines_with_epochs() {
            Ok(engines) => engines,
            Err(_) if self.allow_unsampled && fallback.is_some() => {
                let shared = Shared::new(self.targets, interval, log, None, self.call_cpu);
                return Ok(Recorder::unsampled(shared, fallback));
            }
            Err(name) => return Err(Error::NoEpochs { name: name.to_owned(), reason: fallback }),
        };
        let ticker = Ticker::start(engines, interval);
        let ticker = ticker.map_err(|source| Error::Thread { source })?;
        Ok(Recorder::new(Shared::new(self.targets, interval, log, None, self.call_cpu), Some(ticker), fallback))
    }

    fn start_signal(&self, log: &Arc<Mutex<SampleLog>>) -> std::result::Result<SignalSampler, SignalProblem> {
        for target in &self.targets {
            Recorder::check_signals(target.code.engine(), target.map.component())?;
        }
        let options = SignalOptions {
            clock: self.clock,
            signal: self.signal,
            show_host: self.show_host,
            interval: self.interval,
        };
        let code = self.targets.iter().map(|target| target.code.clone()).collect();
        SignalSampler::start(options, code, Arc::clone(log))
    }

    /// The engines of all targets, each once; or the name of a target whose engine has no epochs.
    fn engines_with_epochs(&self) -> std::result::Result<Vec<Engine>, &str> {
        let mut engines: Vec<Engine> = Vec::new();
        for target in &self.targets {
            let engine = target.code.engine();
            if !engine.get_epoch_interruption() {
                return Err(target.map.component());
            }
            if !engines.iter().any(|known| Engine::same(known, engine)) {
                engines.push(engine.clone());
            }
        }
        Ok(engines)
    }
}
