//! The recorder: what may be seen, and what has been seen.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant, SystemTime};

use rustc_hash::FxHashMap;
use wasmtime::{Engine, Store, UpdateDeadline};

use super::activation::{Activation, Instrumented};
use super::builder::RecorderBuilder;
use super::labels::Labels;
use super::probe::EpochProbe;
use super::reserved_signal::ReservedSignal;
use crate::address::{InstructionRanges, TextOffset};
use crate::error::{Error, Result, SignalProblem};
use crate::lock::lock;
use crate::nanos::nanos;
use crate::profile::{EVERYTHING, NamedProfile, Profile, Recording, SamplerKind, Target, symbolize};
use crate::sampler::SamplingClock;
use crate::sampler::epoch::{ClockReading, ThreadClocks, Ticker};
use crate::sampler::signal::{self, CallScene, CallerFinder, Reservation, SignalSampler};
use crate::samples::{
    CallLog, CallSite, FrozenLog, LabelRegistry, MemoryLog, RawFrame, RawSample, SampleLog, Span, Taken, with_log,
};
use crate::tracing::{CallTracer, MemoryTracer, function_at};

/// Records where guests spend their time.
///
/// A recorder knows some components and core modules; only their frames ever appear in its profile, and no address of
/// the host does, unless [asked for](RecorderBuilder::show_host_frames). It takes samples in one of two ways:
///
/// - By signals, on Linux: anywhere, in guests, adapters, trampolines and host functions, and without any change to the
///   guest or its engine. A thread is sampled while a guest is active on it: make it so with [`enter`](Self::enter)
///   around sync calls, and [`instrument`](Self::instrument) around futures.
/// - By epoch interruption, everywhere: at function entries and loop headers only. Host calls, trampolines and
///   straight-line code are never sampled; their time is charged to the next sample. The guest is compiled with epoch
///   checks, which slow it by about a tenth. [`attach`](Self::attach) the stores to be recorded.
///
/// What belongs to the other way does nothing, so a host that does both works with either.
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
/// let map = Arc::new(SymbolMap::builder("demo").build(&module)?);
/// let recorder = Recorder::builder(Duration::from_millis(1)).code(map, &module).start()?;
///
/// let mut store = Store::new(&engine, ());
/// recorder.attach(&mut store);
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let spin = instance.get_typed_func::<i32, ()>(&mut store, "spin")?;
/// let active = recorder.enter();
/// spin.call(&mut store, 20_000_000)?;
/// drop(active);
///
/// let profile = recorder.finish();
/// let lost: u64 = profile.counts().lost.values().sum();
/// assert_eq!(profile.counts().taken, profile.counts().kept + lost);
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Recorder {
    shared: Arc<Shared>,
    ticker: Mutex<Option<Ticker>>,
    fallback: Option<SignalProblem>,
    /// Neither sampler works.
    is_unsampled: bool,
}

impl Recorder {
    /// The shortest interval between samples: below it, a machine does little else.
    pub const MIN_INTERVAL: Duration = Duration::from_micros(20);
    /// The longest interval between samples.
    pub const MAX_INTERVAL: Duration = Duration::from_mins(1);

    /// Starts building a recorder that takes a sample of each running guest every `interval`.
    #[must_use]
    pub fn builder(interval: Duration) -> RecorderBuilder {
        RecorderBuilder::new(interval)
    }

    pub(crate) fn new(shared: Shared, ticker: Option<Ticker>, fallback: Option<SignalProblem>) -> Self {
        Self { shared: Arc::new(shared), ticker: Mutex::new(ticker), fallback, is_unsampled: false }
    }

    /// One that takes no samples.
    pub(crate) fn unsampled(shared: Shared, fallback: Option<SignalProblem>) -> Self {
        Self { is_unsampled: true, ..Self::new(shared, None, fallback) }
    }

    /// Whether code of `engine` can be sampled by signals at all; for hosts that have to settle on epochs before they
    /// compile. `name` is what the code is called in the error.
    ///
    /// # Errors
    /// [`SignalProblem::Platform`] and [`SignalProblem::Interpreter`].
    ///
    /// ```
    /// # use wasmtime::{Config, Engine};
    /// # use witprof::Recorder;
    /// # fn example() -> wasmtime::Result<Engine> {
    /// let engine = Engine::default();
    /// if Recorder::check_signals(&engine, "shop").is_ok() {
    ///     return Ok(engine);
    /// }
    /// // Epochs, then, which have to be compiled in.
    /// Engine::new(Config::new().epoch_interruption(true))
    /// # }
    /// ```
    pub fn check_signals(engine: &Engine, name: &str) -> std::result::Result<(), SignalProblem> {
        if !signal::IS_SUPPORTED {
            return Err(SignalProblem::Platform);
        }
        if engine.is_pulley() {
            return Err(SignalProblem::Interpreter { name: name.to_owned() });
        }
        Ok(())
    }

    /// Takes a signal, as a recorder does that is going to sample by signals, and tries what else it needs of the system;
    /// for hosts that have to settle on epochs before they compile. `signal` is its number; `None` takes `SIGPROF`, or
    /// if someone has a handler for that, another one that is free.
    ///
    /// # Errors
    /// Why it is impossible: [`SignalProblem::Platform`], [`SignalProblem::Taken`], [`SignalProblem::Refused`] or
    /// [`SignalProblem::NoTimer`].
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wasmtime::{Config, Engine};
    /// # use witprof::{Recorder, RecorderBuilder, SamplerChoice, SamplingClock};
    /// # fn example() -> wasmtime::Result<(Engine, RecorderBuilder)> {
    /// let recorder = Recorder::builder(Duration::from_millis(1));
    /// Ok(match Recorder::reserve_signal(None, SamplingClock::Wall) {
    ///     Ok(reserved) => (Engine::default(), recorder.signal(reserved.signal())),
    ///     Err(_) => (Engine::new(Config::new().epoch_interruption(true))?, recorder.sampler(SamplerChoice::Epoch)),
    /// })
    /// # }
    /// ```
    pub fn reserve_signal(
        signal: Option<i32>,
        clock: SamplingClock,
    ) -> std::result::Result<ReservedSignal, SignalProblem> {
        Reservation::new(signal, clock).map(ReservedSignal::new)
    }

    /// The number of the signal by which samples are taken; `None` by epochs.
    #[must_use]
    pub fn signal(&self) -> Option<i32> {
        self.shared.signal.as_ref().map(SignalSampler::signal)
    }

    /// What the system has refused since the recording began, so that threads go unsampled, if anything; or why there are no
    /// samples at all ([`RecorderBuilder::allow_unsampled`]).
    #[must_use]
    pub fn refused(&self) -> Option<&SignalProblem> {
        if self.is_unsampled { self.fallback() } else { self.shared.signal.as_ref()?.refused() }
    }

    /// How this recorder takes samples.
    #[must_use]
    pub fn sampler(&self) -> SamplerKind {
        self.shared.kind()
    }

    /// Why samples are taken by epochs, if [`SamplerChoice::Auto`](super::SamplerChoice::Auto) would have preferred
    /// signals.
    #[must_use]
    pub fn fallback(&self) -> Option<&SignalProblem> {
        self.fallback.as_ref()
    }

    /// Makes a guest active on this thread until the result is dropped: whatever the thread does is recorded. Around
    /// calls of sync functions; a future, which may move between threads, is [instrumented](Self::instrument) instead.
    ///
    /// The first time on a thread takes some microseconds and half a megabyte, every other time some nanoseconds. The
    /// memory is free again when the thread ends, or enters another recorder after this one has finished. In a child
    /// process made by `fork`, and with the epoch sampler, this does nothing.
    ///
    /// ```
    /// # use std::{sync::Arc, time::Duration};
    /// # use witprof::Recorder;
    /// # fn call_guest() {}
    /// # fn example(recorder: &Recorder) {
    /// let active = recorder.enter();
    /// call_guest();
    /// drop(active);
    /// # }
    /// ```
    pub fn enter(&self) -> Activation {
        Activation::new(self.shared.signal.as_ref(), None)
    }

    /// The same with labels, which all samples of the activation bear: those of [`labels`](Self::labels).
    ///
    /// ```
    /// # use witprof::Recorder;
    /// # fn call_guest() {}
    /// # fn example(recorder: &Recorder) {
    /// let labels = recorder.labels([("route", "/cart"), ("tenant", "t-17")]);
    /// let active = recorder.enter_labeled(&labels);
    /// call_guest();
    /// drop(active);
    /// # }
    /// ```
    pub fn enter_labeled(&self, labels: &Labels) -> Activation {
        Activation::new(self.shared.signal.as_ref(), labels.of(&self.shared))
    }

    /// Labels for activations: keys and values of the host's own, such as the route, the tenant or the number of a
    /// request. They are a dimension of reports ([`Profile::report_by_label`]), labels in pprof, and markers in the
    /// Firefox Profiler. An activation without labels inside of another has that one's.
    ///
    /// Labels count into the [memory](RecorderBuilder::memory_limit) that a recording may take, and go with the samples that bear
    /// them. With [`RecorderBuilder::keep_last`], each window tells 65,536 sets of labels apart; more are recorded as
    /// `(other)`, for each combination of keys. Labels take a lock to make: keep those that come again.
    ///
    /// ```
    /// # use witprof::Recorder;
    /// # async fn answer() {}
    /// # async fn example(recorder: &Recorder) {
    /// let labels = recorder.labels([("route", "/cart")]);
    /// recorder.instrument(answer()).labeled(&labels).await;
    /// # }
    /// ```
    #[must_use]
    pub fn labels<K: Into<String>, V: Into<String>>(&self, labels: impl IntoIterator<Item = (K, V)>) -> Labels {
        let labels = labels.into_iter().map(|(key, value)| (key.into(), value.into()));
        let registry = self.shared.labels();
        let set = registry.add(labels);
        if let (true, Some(signal)) = (registry.has_many_retired(), &self.shared.signal) {
            if signal.is_here() {
                // The collector sleeps, because nothing is active.
                signal.collect(&self.shared.log);
            } else {
                // In a child of the process there is none.
                registry.set_buffers(false);
            }
        }
        Labels::new(set)
    }

    /// Notes something that the host did, such as answering a request: a marker in the Firefox Profiler, with its name and
    /// times. When there are many, the longest are kept, and some of the rest.
    ///
    /// ```
    /// # use std::time::Instant;
    /// # use witprof::{Recorder, Span};
    /// # fn answer() {}
    /// # fn example(recorder: &Recorder) {
    /// let (begin, start) = (recorder.elapsed(), Instant::now());
    /// answer();
    /// recorder.record_span(Span::new("GET /cart", begin, start.elapsed()).detail("200"));
    /// # }
    /// ```
    pub fn record_span(&self, span: Span) {
        if !self.shared.is_idle() {
            with_log(&self.shared.log, |log| log.record_span(span));
        }
    }

    /// Makes a guest active whenever `future` is polled, and records as waiting the time in between: in the import that
    /// the guest is suspended in. Inside of another activation on the same thread, that one's time goes on, and nothing
    /// is recorded as waiting. With the epoch sampler this does nothing.
    ///
    /// ```
    /// # use witprof::Recorder;
    /// # async fn call_guest() {}
    /// # async fn example(recorder: &Recorder) {
    /// recorder.instrument(call_guest()).await;
    /// # }
    /// ```
    pub fn instrument<F: Future>(&self, future: F) -> Instrumented<F> {
        Instrumented::new(future, Arc::clone(&self.shared))
    }

    /// Records `store` from now on, if samples are taken by epochs: takes over its epoch callback and deadline. For sync
    /// stores, and for async stores that need not yield. With the signal sampler, a store whose engine has epoch
    /// interruption is only kept from being interrupted.
    ///
    /// ```
    /// # use wasmtime::{Engine, Store};
    /// # use witprof::Recorder;
    /// # fn example(recorder: &Recorder, engine: &Engine) {
    /// let mut store = Store::new(engine, ());
    /// recorder.attach(&mut store);
    /// # }
    /// ```
    pub fn attach<T: 'static>(&self, store: &mut Store<T>) {
        self.attach_with(store, UpdateDeadline::Continue);
    }

    /// The same for an async `store`, which yields to its executor at each sample. The store must be run with
    /// Wasmtime's `async` functions.
    pub fn attach_yielding<T: 'static>(&self, store: &mut Store<T>) {
        self.attach_with(store, UpdateDeadline::Yield);
    }

    fn attach_with<T: 'static>(&self, store: &mut Store<T>, update: fn(u64) -> UpdateDeadline) {
        /// An epoch that does not come.
        const NEVER: u64 = u64::MAX / 2;
        if !store.engine().get_epoch_interruption() {
            return;
        }
        if self.sampler() == SamplerKind::Signal {
            store.set_epoch_deadline(NEVER);
            return;
        }
        let mut probe = self.probe();
        store.epoch_deadline_callback(move |store| {
            probe.sample(&store);
            Ok(update(1))
        });
        store.set_epoch_deadline(1);
    }

    /// Counts and times every call that `store` makes and gets across an interface from now on: takes over its call hook.
    /// The results are in [`Profile::calls`]. Works with either sampler, on Linux. Costs about a tenth of a microsecond
    /// for each call.
    ///
    /// Exact are the numbers of calls that have returned, and their times, of imported functions, and of exported ones that
    /// call an import meanwhile. Which function an entry is that calls nothing is told by what Wasmtime keeps on its stack;
    /// where that is not clear, it is in [`CallTrace::unnamed_entries`](crate::CallTrace::unnamed_entries). Of calls from
    /// one component of a composition to another only a lower bound is known: Wasmtime hears of those that lend a
    /// resource, and of those whose callee calls the host; the time that they take, samples tell. A call that a pause falls
    /// into is not counted. Of a WASI 0.3 export that returns to wait, the time until then is its time.
    ///
    /// ```
    /// # use witprof::Recorder;
    /// # fn example(recorder: &Recorder, store: &mut wasmtime::Store<()>) -> witprof::Result<()> {
    /// recorder.trace_calls(store)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Calls`] if the platform is not Linux on x86-64 or AArch64, or the code is interpreted.
    #[cfg(feature = "call-hook")]
    pub fn trace_calls<T: 'static>(&self, store: &mut Store<T>) -> Result<()> {
        let mut tracer = self.call_tracer()?;
        store.call_hook(move |_, kind| {
            tracer.call_hook(kind);
            Ok(())
        });
        Ok(())
    }

    /// The same for a store whose call hook does something else as well: call [`CallTracer::call_hook`] from there.
    ///
    /// # Errors
    /// As for `trace_calls`.
    pub fn call_tracer(&self) -> Result<CallTracer> {
        CallTracer::new(&self.shared)
    }

    /// A limiter for a store that also records how large its linear memories are, in tracks by core module
    /// ([`Profile::memories`]), and where they grow. `limits` is what limits the store: its limiter until now, or
    /// [`StoreLimits::default`](wasmtime::StoreLimits).
    ///
    /// ```
    /// # use wasmtime::{Engine, Store, StoreLimits};
    /// # use witprof::{MemoryTracer, Recorder};
    /// struct Host {
    ///     memory: MemoryTracer,
    /// }
    ///
    /// fn store(recorder: &Recorder, engine: &Engine) -> Store<Host> {
    ///     let mut store = Store::new(engine, Host { memory: recorder.trace_memory(StoreLimits::default()) });
    ///     store.limiter(|host| &mut host.memory);
    ///     store
    /// }
    /// ```
    #[must_use]
    pub fn trace_memory<L>(&self, limits: L) -> MemoryTracer<L> {
        MemoryTracer::new(&self.shared, limits)
    }

    /// A probe for a store whose epoch callback does something else as well, for instance enforce a time limit: call
    /// [`EpochProbe::sample`] from there, and ask for the next call one epoch later. With the signal sampler it does
    /// nothing.
    #[must_use]
    pub fn probe(&self) -> EpochProbe {
        EpochProbe::new(Arc::clone(&self.shared))
    }

    /// Stops recording and returns what has been recorded. Attached stores and instrumented futures go on unrecorded.
    /// Nothing is left in the process: no timer, no thread, and the signal does what it did before. Calling it again
    /// returns the same profile.
    ///
    /// ```
    /// # use witprof::{Recorder, export::write_firefox};
    /// # fn example(recorder: &Recorder) -> Result<(), Box<dyn std::error::Error>> {
    /// let profile = recorder.finish();
    /// write_firefox(&profile, &mut std::fs::File::create("profile.json")?)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn finish(&self) -> Profile {
        let shared = &self.shared;
        drop(lock(&self.ticker).take());
        if let Some(signal) = &shared.signal {
            signal.stop(&shared.log);
        }
        // Recording ends under the lock of the log, so that no sample comes after the first call.
        let log = with_log(&shared.log, |log| {
            shared.end.get_or_init(|| shared.elapsed());
            shared.finished.store(true, Ordering::Release);
            log.freeze(EVERYTHING)
        });
        shared.profile(&log).with_lines(&shared.targets)
    }

    /// Stops recording for a while: nothing is sampled, and time does not count, until [`resume`](Self::resume). Threads are
    /// woken no more. In a profile the time in between is empty; of the time before and after, what no sample has taken
    /// is left out, up to an interval each, and so is a wait that the pause falls into.
    ///
    /// ```
    /// # use witprof::Recorder;
    /// # fn warm_up() {}
    /// # fn example(recorder: &Recorder) {
    /// recorder.pause();
    /// warm_up();
    /// recorder.resume();
    /// # }
    /// ```
    pub fn pause(&self) {
        self.shared.is_paused.store(true, Ordering::Release);
        self.shared.pauses.fetch_add(1, Ordering::AcqRel);
        if let Some(signal) = &self.shared.signal {
            signal.pause();
        }
    }

    /// Goes on recording after [`pause`](Self::pause), guests that have been active all along included.
    pub fn resume(&self) {
        if let Some(signal) = &self.shared.signal {
            signal.resume();
        }
        // No store is charged with the time in between.
        self.shared.clocks.clear();
        self.shared.is_paused.store(false, Ordering::Release);
    }

    /// What has been recorded until now, while recording goes on. Takes the time that it takes to name what was seen:
    /// milliseconds, or tens of them for a host with many stacks. Nobody waits for that: what is recorded does not change any more,
    /// and is shared.
    ///
    /// ```
    /// # use witprof::{Recorder, export::write_firefox};
    /// # fn example(recorder: &Recorder) -> witprof::Result<()> {
    /// write_firefox(&recorder.snapshot(), &mut std::io::stdout())?;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn snapshot(&self) -> Profile {
        self.snapshot_of(EVERYTHING)
    }

    /// The same for a period, in time [since the recording began](Self::elapsed): what a service was doing in the last ten
    /// seconds, for instance. Samples that were taken in the period are in it, and those that were found lost in it, to a tenth
    /// of a second, are counted. It costs what there is of the period, however long the recording is. The profile begins with the
    /// period: that is when its time is zero.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use witprof::Recorder;
    /// # async fn sleep(_: Duration) {}
    /// # async fn example(recorder: &Recorder) {
    /// let begin = recorder.elapsed();
    /// sleep(Duration::from_secs(10)).await;
    /// let profile = recorder.snapshot_of(begin..recorder.elapsed());
    /// # }
    /// ```
    #[must_use]
    pub fn snapshot_of(&self, period: Range<Duration>) -> Profile {
        let shared = &self.shared;
        if let Some(signal) = &shared.signal {
            signal.collect(&shared.log);
        }
        let log = with_log(&shared.log, |log| log.freeze(period));
        shared.profile(&log).with_lines(&shared.targets)
    }

    #[cfg(test)]
    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.shared
    }

    /// How long the recording has lasted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared.end.get().copied().unwrap_or_else(|| self.shared.elapsed())
    }
}

/// What a recorder and its probes have in common.
#[derive(Debug)]
pub(crate) struct Shared {
    targets: Vec<Target>,
    /// By target: its instructions, of those that calls of the host are traced of.
    instructions: Vec<OnceLock<Option<InstructionRanges>>>,
    /// From the address of a text section to the target it belongs to. Stays in this process.
    by_text: FxHashMap<usize, u32>,
    interval: Duration,
    start: Instant,
    started_at: SystemTime,
    finished: AtomicBool,
    is_paused: AtomicBool,
    /// How often it has been paused.
    pauses: AtomicU32,
    clocks: ThreadClocks,
    pub(crate) log: Arc<Mutex<SampleLog>>,
    /// `None` if samples are taken by epochs.
    pub(crate) signal: Option<SignalSampler>,
    /// Whether the CPU time of calls is wanted, too.
    pub(crate) call_cpu: bool,
    /// Made when the first store is to be traced.
    call_tracing: OnceLock<CallTracing>,
    /// Made when calls or memories are to be traced.
    scene: OnceLock<Option<Arc<CallScene>>>,
    /// How long the recording was, once it has ended. Set under the lock of the log, which asks for it.
    end: Arc<OnceLock<Duration>>,
    labels: Arc<LabelRegistry>,
    pub(crate) memories: Mutex<MemoryLog>,
}

/// What the tracers of all stores have in common.
#[derive(Debug)]
pub(crate) struct CallTracing {
    pub(crate) scene: Arc<CallScene>,
    pub(crate) log: Arc<CallLog>,
    /// Reading of the tracers' clock when the recording began.
    pub(crate) base: u64,
}

impl Shared {
    pub(crate) fn new(
        targets: Vec<Target>,
        interval: Duration,
        log: Arc<Mutex<SampleLog>>,
        signal: Option<SignalSampler>,
        call_cpu: bool,
    ) -> Self {
        let text = |target: &Target| target.code.text().as_ptr().addr();
        let known = lock(&log);
        let (end, labels) = (Arc::clone(known.end()), Arc::clone(known.labels()));
        let memories = Mutex::new(MemoryLog::new(Arc::clone(known.kept_since())));
        drop(known);
        Self {
            by_text: (0_u32..).zip(&targets).map(|(index, target)| (text(target), index)).collect(),
            instructions: targets.iter().map(|_| OnceLock::new()).collect(),
            targets,
            interval,
            start: Instant::now(),
            started_at: SystemTime::now(),
            finished: AtomicBool::new(false),
            is_paused: AtomicBool::new(false),
            pauses: AtomicU32::new(0),
            clocks: ThreadClocks::default(),
            log,
            signal,
            call_cpu,
            call_tracing: OnceLock::new(),
            scene: OnceLock::new(),
            end,
            labels,
            memories,
        }
    }

    /// The labels that are in use.
    pub(crate) fn labels(&self) -> &Arc<LabelRegistry> {
        &self.labels
    }

    pub(crate) fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Which import a core module calls at `site`, through a trampoline that tells the signature only; `None` if nothing tells.
    pub(crate) fn host_import(&self, site: CallSite, trampoline: CallSite) -> Option<u32> {
        let signature = function_at(&self.targets, trampoline)?.name();
        let target = self.targets.get(site.target as usize)?;
        let instructions = self.instructions.get(site.target as usize)?;
        let instructions = instructions.get_or_init(|| target.code.instruction_ranges());
        target.host_import(instructions.as_ref(), TextOffset::new(site.offset), &signature)
    }

    /// Keeps the time of the profiler's own work, where it was measured.
    pub(crate) fn record_own_work(&self, time: Duration, wall: Duration, cpu: Duration) {
        if !wall.is_zero() {
            with_log(&self.log, |log| log.keep_own_work(time, wall, cpu, Taken::ByClock));
        }
    }

    /// Gets ready to trace calls, if that has not been done.
    pub(crate) fn trace_calls(&self) -> Result<&CallTracing> {
        if let Some(tracing) = self.call_tracing.get() {
            return Ok(tracing);
        }
        for target in &self.targets {
            Recorder::check_signals(target.code.engine(), target.map.component())
                .map_err(|problem| Error::Calls { problem })?;
        }
        let scene = self.trace_calls_scene().ok_or(Error::Calls { problem: SignalProblem::Platform })?;
        let base = CallerFinder::time().saturating_sub(nanos(self.elapsed()));
        Ok(self.call_tracing.get_or_init(|| CallTracing { scene, log: Arc::new(CallLog::new()), base }))
    }

    /// What finding callers needs, where stacks can be read.
    pub(crate) fn trace_calls_scene(&self) -> Option<Arc<CallScene>> {
        self.scene.get_or_init(|| {
            let is_readable =
                self.targets.iter().all(|target| Recorder::check_signals(target.code.engine(), "").is_ok());
            let code = || self.targets.iter().map(|target| target.code.clone()).collect();
            is_readable.then(|| CallScene::new(code()).map(Arc::new)).flatten()
        });
        self.scene.get().cloned().flatten()
    }

    pub(crate) fn is_tracing_calls(&self) -> bool {
        self.call_tracing.get().is_some()
    }

    pub(crate) fn pauses(&self) -> u32 {
        self.pauses.load(Ordering::Acquire)
    }

    pub(crate) fn is_finished(&self) -> bool {
        self.finished.load(Ordering::Acquire)
    }

    /// Whether nothing is to be recorded at the moment.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_finished() || self.is_paused.load(Ordering::Acquire)
    }

    /// The profile of what `log`, which is this recorder's, held. Takes no lock for long.
    fn profile(&self, log: &FrozenLog) -> NamedProfile {
        let memories = {
            let mut memories = lock(&self.memories);
            memories.forget_old();
            memories.clone()
        };
        let recording = Recording {
            targets: &self.targets,
            sampler: self.kind(),
            interval: self.interval,
            started_at: self.started_at,
            elapsed: self.end.get().copied().unwrap_or_else(|| self.elapsed()),
            // Calls are counted from the beginning on: of a part of the recording nothing is known.
            calls: (log.period == EVERYTHING)
                .then(|| self.call_tracing.get())
                .flatten()
                .map(|tracing| tracing.log.counted()),
            memories,
            spans: log.spans(),
            host_place: &|address| self.signal.as_ref().and_then(|signal| signal.host_place(address)),
        };
        symbolize(log, &recording)
    }

    pub(crate) fn kind(&self) -> SamplerKind {
        if self.signal.is_some() { SamplerKind::Signal } else { SamplerKind::Epoch }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// Whether an epoch callback has nothing to record.
    pub(crate) fn ignores_epochs(&self) -> bool {
        self.signal.is_some() || self.is_idle()
    }

    /// Which target this text section belongs to, if its code may be seen.
    pub(crate) fn target_of(&self, text: &[u8]) -> Option<u32> {
        self.by_text.get(&text.as_ptr().addr()).copied()
    }

    /// Reads the clocks of this thread, and returns how much has passed since they were read last.
    pub(crate) fn read_clocks(&self) -> ClockReading {
        self.clocks.read(self.elapsed())
    }

    /// Notes the clocks of this thread if they have never been read, and returns the time since the recording began.
    pub(crate) fn begin_clocks(&self) -> Duration {
        let now = self.elapsed();
        self.clocks.begin(now);
        now
    }

    pub(crate) fn record(&self, sample: RawSample, outermost_first: impl Iterator<Item = RawFrame>) {
        with_log(&self.log, |log| log.record(sample, outermost_first));
    }
}
