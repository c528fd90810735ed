//! The recorder: what may be seen, and what has been seen.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::ThreadId;
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashMap;
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Store, UpdateDeadline};

use super::clock::thread_cpu_time;
use super::epoch::EpochProbe;
use super::epoch::ticker::Ticker;
use crate::component::CompiledCode;
use crate::error::{Error, Result};
use crate::profile::{Profile, Target, symbolize};
use crate::samples::{RawFrame, RawSample, SampleLog};
use crate::symbols::SymbolMap;

/// Records where stores spend their time.
///
/// A recorder knows some components and core modules; only their frames ever appear in its profile, and no address of
/// the host does. Attach it to the stores to be recorded, run them, and call [`finish`](Self::finish).
///
/// # Accuracy
///
/// Samples are taken by epoch interruption: at function entries and loop headers only. Host calls, trampolines and
/// straight-line code are never sampled; their time is charged to the next sample. The guest is compiled with epoch
/// checks, which slow it by about a tenth.
///
/// ```
/// use std::sync::Arc;
/// use std::time::Duration;
/// use witprof::{Recorder, SymbolMap};
/// # use wasmtime::{Config, Engine, Instance, Module, Store};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let wat = "(module $demo (func $spin (export \"spin\") (param i32)
/// #     (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))";
/// let engine = Engine::new(Config::new().epoch_interruption(true))?;
/// let module = Module::new(&engine, wat)?;
/// let map = Arc::new(SymbolMap::builder("demo").module(&module)?);
/// let recorder = Recorder::builder(Duration::from_millis(1)).module(map, &module).start()?;
///
/// let mut store = Store::new(&engine, ());
/// recorder.attach(&mut store);
/// let instance = Instance::new(&mut store, &module, &[])?;
/// instance.get_typed_func::<i32, ()>(&mut store, "spin")?.call(&mut store, 20_000_000)?;
///
/// let profile = recorder.finish();
/// assert_eq!(profile.counts().taken, profile.counts().kept);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    ticker: Mutex<Ticker>,
}

impl Recorder {
    /// The shortest interval between samples: below it, a machine does little else.
    pub const MIN_INTERVAL: Duration = Duration::from_micros(20);
    /// The longest interval between samples.
    pub const MAX_INTERVAL: Duration = Duration::from_mins(1);

    /// Starts building a recorder that takes a sample of each running store every `interval`.
    #[must_use]
    pub fn builder(interval: Duration) -> RecorderBuilder {
        RecorderBuilder { interval, targets: Vec::new() }
    }

    /// Records `store` from now on, by taking over its epoch callback and deadline. For sync stores, and for async
    /// stores that need not yield.
    pub fn attach<T: 'static>(&self, store: &mut Store<T>) {
        self.attach_with(store, UpdateDeadline::Continue);
    }

    /// Records an async `store` from now on, and lets it yield to its executor at each sample. The store must be run
    /// with Wasmtime's `async` functions.
    pub fn attach_yielding<T: 'static>(&self, store: &mut Store<T>) {
        self.attach_with(store, UpdateDeadline::Yield);
    }

    fn attach_with<T: 'static>(&self, store: &mut Store<T>, update: fn(u64) -> UpdateDeadline) {
        let mut probe = self.probe();
        store.epoch_deadline_callback(move |store| {
            probe.sample(&store);
            Ok(update(1))
        });
        store.set_epoch_deadline(1);
    }

    /// A probe for a store whose epoch callback does something else as well, for instance enforce a time limit: call
    /// [`EpochProbe::sample`] from there, and ask for the next call one epoch later.
    #[must_use]
    pub fn probe(&self) -> EpochProbe {
        EpochProbe::new(Arc::clone(&self.shared))
    }

    /// Stops recording and returns what has been recorded. Attached stores go on unrecorded. Calling it again returns
    /// the same profile.
    pub fn finish(&self) -> Profile {
        let shared = &self.shared;
        lock(&self.ticker).stop();
        // Recording ends under the lock of the log, so that no sample comes after the first call.
        let mut log = lock(&shared.log);
        let elapsed = *log.end.get_or_insert_with(|| shared.elapsed());
        shared.finished.store(true, Ordering::Release);
        symbolize(&log, &shared.targets, shared.interval, (shared.started_at, elapsed))
    }
}

/// Builds a [`Recorder`]. Made by [`Recorder::builder`].
#[derive(Debug)]
pub struct RecorderBuilder {
    interval: Duration,
    targets: Vec<Target>,
}

impl RecorderBuilder {
    /// Allows `component` to be seen, under the names of `map`.
    #[must_use]
    pub fn component(self, map: Arc<SymbolMap>, component: &Component) -> Self {
        self.target(map, CompiledCode::Component(component.clone()))
    }

    /// Allows `module` to be seen, under the names of `map`. Modules of a component come with the component.
    #[must_use]
    pub fn module(self, map: Arc<SymbolMap>, module: &Module) -> Self {
        self.target(map, CompiledCode::Module(module.clone()))
    }

    pub(crate) fn target(mut self, map: Arc<SymbolMap>, code: CompiledCode) -> Self {
        self.targets.push(Target { map, code });
        self
    }

    /// Starts recording.
    ///
    /// # Errors
    /// [`Error::Interval`] if the interval is shorter than [`Recorder::MIN_INTERVAL`] or longer than
    /// [`Recorder::MAX_INTERVAL`]; [`Error::NoEpochs`] if code was compiled without epoch interruption;
    /// [`Error::GuestDebug`] if it runs as private copies; [`Error::Thread`] if the ticking thread cannot be started.
    pub fn start(self) -> Result<Recorder> {
        let (interval, min, max) = (self.interval, Recorder::MIN_INTERVAL, Recorder::MAX_INTERVAL);
        if interval < min || interval > max {
            return Err(Error::Interval { interval, min, max });
        }
        let mut engines: Vec<Engine> = Vec::new();
        let mut by_text = FxHashMap::default();
        for (index, target) in (0_u32..).zip(&self.targets) {
            let engine = target.code.engine();
            let name = || target.map.component().to_owned();
            if engine.get_guest_debug() {
                return Err(Error::GuestDebug { name: name() });
            }
            if !engine.get_epoch_interruption() {
                return Err(Error::NoEpochs { name: name() });
            }
            if !engines.iter().any(|known| Engine::same(known, engine)) {
                engines.push(engine.clone());
            }
            by_text.insert(target.code.text().as_ptr().addr(), index);
        }
        let ticker = Ticker::start(engines, interval).map_err(|source| Error::Thread { source })?;
        let shared = Shared {
            targets: self.targets,
            by_text,
            interval,
            start: Instant::now(),
            started_at: SystemTime::now(),
            finished: AtomicBool::new(false),
            clock_readings: Mutex::default(),
            log: Mutex::new(SampleLog::new(interval)),
        };
        Ok(Recorder { shared: Arc::new(shared), ticker: Mutex::new(ticker) })
    }
}

/// More threads than a host has at a time.
const MAX_THREADS: usize = 4096;

/// The clocks of a thread.
#[derive(Clone, Copy, Debug)]
pub(super) struct ClockReading {
    /// Wall-clock time since the recording began.
    pub(super) now: Duration,
    /// The same when this thread's clocks were read last.
    pub(super) last: Duration,
    /// CPU time of the thread since then.
    pub(super) cpu: Duration,
}

/// What a recorder and its probes have in common.
#[derive(Debug)]
pub(super) struct Shared {
    targets: Vec<Target>,
    /// From the address of a text section to the target it belongs to. Stays in this process.
    by_text: FxHashMap<usize, u32>,
    interval: Duration,
    start: Instant,
    started_at: SystemTime,
    finished: AtomicBool,
    /// Wall-clock and CPU time of each thread when they were read last.
    clock_readings: Mutex<FxHashMap<ThreadId, (Duration, Option<Duration>)>>,
    log: Mutex<SampleLog>,
}

impl Shared {
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    pub(super) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Which target this text section belongs to, if its code may be seen.
    pub(super) fn target_of(&self, text: &[u8]) -> Option<u32> {
        self.by_text.get(&text.as_ptr().addr()).copied()
    }

    /// Reads the clocks of this thread, and returns how much has passed since they were read last.
    pub(super) fn read_clocks(&self) -> ClockReading {
        let (wall, cpu) = (self.elapsed(), thread_cpu_time());
        let mut readings = lock(&self.clock_readings);
        // Threads come and go. Forgetting their clocks costs each of them the time of one sample.
        if readings.len() >= MAX_THREADS {
            readings.clear();
        }
        let before = readings.insert(std::thread::current().id(), (wall, cpu));
        let (before_wall, before_cpu) = before.unwrap_or((wall, cpu));
        ClockReading {
            now: wall,
            last: before_wall,
            cpu: cpu.zip(before_cpu).map_or(Duration::ZERO, |(now, before)| now.saturating_sub(before)),
        }
    }

    /// Notes the clocks of this thread if they have never been read, and returns the time since the recording began.
    pub(super) fn begin_clocks(&self) -> Duration {
        let (wall, cpu) = (self.elapsed(), thread_cpu_time());
        lock(&self.clock_readings).entry(std::thread::current().id()).or_insert((wall, cpu));
        wall
    }

    pub(super) fn record(&self, sample: RawSample, outermost_first: impl Iterator<Item = RawFrame>) {
        lock(&self.log).record(sample, outermost_first);
    }
}

/// Locks, whoever panicked while holding the lock before: the tables are append-only and valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
