//! The recorder: what may be seen, and what has been seen.

use std::ops::Range;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use wasmtime::{Engine, Store, UpdateDeadline};

use super::activation::{Activation, Instrumented};
use super::builder::RecorderBuilder;
use super::capture::{Captures, Trigger};
use super::chosen_calls::{crossings, is_meant};
use super::labels::Labels;
use super::probe::EpochProbe;
use super::registration::Registration;
use super::reserved_signal::ReservedSignal;
use super::shared::Shared;
use crate::code::Names;
use crate::component::Code;
use crate::error::{Error, Result, SignalProblem};
use crate::interpreters::InterpreterProblem;
use crate::lock::lock;
use crate::profile::{CaptureReason, Captured, EVERYTHING, Profile, SamplerKind};
use crate::sampler::SamplingClock;
use crate::sampler::epoch::Ticker;
use crate::sampler::signal::{self, Reservation, SignalSampler};
use crate::samples::{Span, with_log};
use crate::tracing::{AwaitedCall, CallTracer, MemoryTracer};

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
/// store.set_epoch_deadline(u64::MAX / 2); // no time limit
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
///
/// Copies are cheap, and record the same. When the last of them is dropped, the recording ends as with
/// [`finish`](Self::finish), and nothing is left of it in the process; tracers, probes and instrumented futures that live
/// longer do nothing then.
#[derive(Clone, Debug)]
pub struct Recorder {
    recording: Arc<Recording>,
}

/// Ends the recording when the last recorder is dropped.
#[derive(Debug)]
struct Recording {
    shared: Arc<Shared>,
    ticker: Mutex<Option<Ticker>>,
    fallback: Option<SignalProblem>,
    /// Neither sampler works.
    is_unsampled: bool,
}

impl Recording {
    fn stop(&self) {
        drop(lock(&self.ticker).take());
        if let Some(signal) = &self.shared.signal {
            signal.stop(&self.shared.log);
            if signal.is_here() {
                self.shared.retirement.end();
            }
        }
        self.shared.state.stop();
    }
}

impl Drop for Recording {
    fn drop(&mut self) {
        self.stop();
        // What is on its way has no names any more.
        self.shared.occasions.end(false);
        // Nobody can ask for a profile any more. (A child made by `fork` may have no more than locks that nobody gives back.)
        if self.shared.signal.as_ref().is_none_or(SignalSampler::is_here) {
            self.shared.code.release();
        }
    }
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

    pub(super) fn new(shared: Arc<Shared>, ticker: Option<Ticker>, fallback: Option<SignalProblem>) -> Self {
        Self::with(Recording { shared, ticker: Mutex::new(ticker), fallback, is_unsampled: false })
    }

    /// One that takes no samples.
    pub(super) fn unsampled(shared: Arc<Shared>, fallback: Option<SignalProblem>) -> Self {
        Self::with(Recording { shared, ticker: Mutex::new(None), fallback, is_unsampled: true })
    }

    fn with(recording: Recording) -> Self {
        Self { recording: Arc::new(recording) }
    }

    pub(super) fn shared(&self) -> &Arc<Shared> {
        &self.recording.shared
    }

    /// Allows `code`, a component or a core module that stands alone, to be seen from now on, until the result is dropped: at any
    /// time, by any thread, while guests run. `names` is a [map](crate::SymbolMap), or the builder of one, which costs
    /// nothing until somebody asks for a name: registering takes microseconds.
    ///
    /// A sample means the code that was at its address when it was taken, though that was unregistered since, and other code
    /// is there. The code stays loaded while it is registered, and for as long as samples of it are on their way, which is a
    /// tenth of a second; the names stay as long as samples refer to them.
    ///
    /// Code that is interpreted (Pulley) is registered as well; where signals sample, it is [not
    /// seen](Registration::unseen).
    ///
    /// ```
    /// # use wasmtime::{Engine, component::Component};
    /// # use witprof::{Recorder, SymbolMap};
    /// # fn serve(_: &Component) {}
    /// # fn example(recorder: &Recorder, component: &Component) -> witprof::Result<()> {
    /// let registration = recorder.register(SymbolMap::builder("tenant-17"), component)?;
    /// serve(component);
    /// drop(registration);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::OtherCode`] if `names` are those of other code, [`Error::GuestDebug`] if the code runs as private copies,
    /// [`Error::Image`] if it cannot be read, [`Error::Finished`] after [`finish`](Self::finish). By epochs:
    /// [`Error::NoEpochs`] if it was compiled without epoch interruption.
    pub fn register(&self, names: impl Into<Names>, code: impl Into<Code>) -> Result<Registration> {
        let (names, code) = (names.into(), code.into());
        if !self.recording.is_unsampled && self.shared().signal.is_none() && !code.engine().get_epoch_interruption() {
            // Why signals do not sample, `fallback` says.
            return Err(Error::NoEpochs { name: names.name().to_owned(), reason: None });
        }
        Registration::new(self.shared(), names, code)
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
        self.shared().signal.as_ref().map(SignalSampler::signal)
    }

    /// Why threads went unsampled since the recording began, if any did: what the system refused first
    /// ([`SignalProblem::NoTimer`], [`SignalProblem::Denied`]), or that somebody has put a handler of their own over the
    /// sampler's ([`SignalProblem::Replaced`]; as long as that lasts, this is what is told). How often, and how much, is in the
    /// profile's [losses](crate::LossReason). Or why there are no samples at all ([`RecorderBuilder::allow_unsampled`]).
    #[must_use]
    pub fn refused(&self) -> Option<&SignalProblem> {
        if self.recording.is_unsampled { self.fallback() } else { self.shared().signal.as_ref()?.refused() }
    }

    /// Why the functions of a script that was run are not shown, but only those of its interpreter: of the first such interpreter
    /// that was met. `None` if all were read, or there was none, or nobody [asked](RecorderBuilder::without_scripts).
    #[must_use]
    pub fn unread_interpreter(&self) -> Option<InterpreterProblem> {
        let shared = self.shared();
        if shared.code.is_without_scripts() {
            return None;
        }
        let of_code = || shared.code.registered().iter().find_map(|entry| entry.unread_interpreter());
        shared.scenes.unread_interpreter().or_else(of_code)
    }

    /// How this recorder takes samples.
    #[must_use]
    pub fn sampler(&self) -> SamplerKind {
        self.shared().kind()
    }

    /// Why samples are taken by epochs, if [`SamplerChoice::Auto`](super::SamplerChoice::Auto) would have preferred
    /// signals.
    #[must_use]
    pub fn fallback(&self) -> Option<&SignalProblem> {
        self.recording.fallback.as_ref()
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
        Activation::new(self.shared().signal.as_ref(), None)
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
        Activation::new(self.shared().signal.as_ref(), labels.of(self.shared()))
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
        let shared = self.shared();
        Labels::new(shared, shared.labels.add(labels))
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
        let shared = self.shared();
        if !shared.state.is_idle() {
            shared.occasions.look_at(&span);
            with_log(&shared.log, |log| log.record_span(span));
        }
    }

    /// Captures what was slow or went wrong: the profile of a request for which a trigger is, from some time before it began until
    /// some time after it ended. The request is known by its [`Span`], and if that has [labels](Span::labels) of its own, its
    /// samples are on a [thread](Captured::thread) of their own, so that it can be looked at alone and in its place among all others.
    ///
    /// For a recording of which the last part is [kept](RecorderBuilder::keep_last), so that it never ends. Captures are made by
    /// who takes them, on a thread of his own; a host that uses tokio takes `spawn_blocking`, or a thread of the standard library.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use witprof::{Recorder, Trigger, export::write_firefox};
    /// # fn example(recorder: &Recorder) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let triggers = [Trigger::slow(Duration::from_millis(200)).label("route", "/cart"), Trigger::failed()];
    /// let captures = recorder.capture_on(triggers).look_back(Duration::from_secs(10));
    /// std::thread::spawn(move || {
    ///     for profile in captures {
    ///         let file = std::fs::File::create("slow.json");
    ///         let _ = file.map(|mut file| write_firefox(&profile, &mut file));
    ///     }
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn capture_on(&self, triggers: impl IntoIterator<Item = Trigger>) -> Captures {
        Captures::new(self.shared(), triggers.into_iter().collect())
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
        Instrumented::new(future, Arc::clone(self.shared()))
    }

    /// Records `store` from now on, if samples are taken by epochs: takes over its epoch callback and deadline. For sync
    /// stores, and for async stores that need not yield. A host that has a time limit of its own uses a
    /// [`probe`](Self::probe) instead.
    ///
    /// With the signal sampler it does nothing, so that a deadline that the host has set stays. Where the engine has epoch
    /// interruption, there has to be one: Wasmtime interrupts a store without a deadline at once.
    ///
    /// ```
    /// # use wasmtime::{Engine, Store};
    /// # use witprof::Recorder;
    /// # fn example(recorder: &Recorder, engine: &Engine) {
    /// let mut store = Store::new(engine, ());
    /// store.set_epoch_deadline(u64::MAX / 2); // no time limit
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
        // By signals, the deadline is the host's own matter: a time limit that it has set stays.
        let is_by_epochs = self.sampler() == SamplerKind::Epoch && !self.recording.is_unsampled;
        if !is_by_epochs || !store.engine().get_epoch_interruption() {
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
        hook(store, self.call_tracer()?);
        Ok(())
    }

    /// The same for a store whose call hook does something else as well: call [`CallTracer::call_hook`] from there.
    ///
    /// # Errors
    /// As for `trace_calls`.
    pub fn call_tracer(&self) -> Result<CallTracer> {
        self.shared().call_tracer()
    }

    /// A limiter for a store that also records how large its linear memories are, in tracks by core module
    /// ([`Profile::memories`]), and where they grow. Whose a memory is that has not grown is told by its size at first, among as
    /// many as sixteen registered components; among more, see [`trace_memory_of`](Self::trace_memory_of). `limits` is what limits the store: its limiter until now, or
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
        MemoryTracer::new(&self.shared().tracing, limits)
    }

    /// The same for a store that runs what was [registered](Self::register) as `registration`. Where many components are
    /// registered, this is how to know whose a memory is before it grows: Wasmtime does not say. With a registration of another
    /// recorder, it is as [`trace_memory`](Self::trace_memory).
    #[must_use]
    pub fn trace_memory_of<L>(&self, registration: &Registration, limits: L) -> MemoryTracer<L> {
        let tracer = self.trace_memory(limits);
        match registration.number(self.shared()) {
            Some(number) => tracer.only(number),
            None => tracer,
        }
    }

    /// A probe for a store whose epoch callback does something else as well, for instance enforce a time limit: call
    /// [`EpochProbe::sample`] from there, and ask for the next call one epoch later. With the signal sampler it does
    /// nothing.
    #[must_use]
    pub fn probe(&self) -> EpochProbe {
        EpochProbe::new(Arc::clone(self.shared()))
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
        self.recording.stop();
        let shared = self.shared();
        // Recording ends under the lock of the log, so that no sample comes after the first call.
        with_log(&shared.log, |_| _ = shared.end.get_or_init(|| shared.elapsed()));
        shared.occasions.end(true);
        shared.profile(EVERYTHING)
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
        self.shared().state.pause();
    }

    /// Goes on recording after [`pause`](Self::pause), guests that have been active all along included.
    pub fn resume(&self) {
        self.shared().resume();
    }

    /// Whether nothing is recorded because of a [pause](Self::pause).
    #[must_use]
    pub fn is_paused(&self) -> bool {
        self.shared().state.is_paused()
    }

    /// Begins a recording that was [started paused](RecorderBuilder::paused) when an interface function is called for the `n`th
    /// time, from 1 on: `wasi:http/incoming-handler#handle`, with the version or without. A call of one component by another
    /// counts as far as Wasmtime [tells](Self::trace_calls) of it. The stores need to [be traced](Self::trace_calls), or to
    /// [wait](Self::wait_for_call).
    ///
    /// ```
    /// # use witprof::Recorder;
    /// # fn example(recorder: &Recorder, store: &mut wasmtime::Store<()>) -> witprof::Result<()> {
    /// // The first thousand requests are for warming up.
    /// recorder.begin_with_call("wasi:http/incoming-handler#handle", 1001)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::UnknownCall`] if registered code has no such function, or the recorder waits for another one already.
    pub fn begin_with_call(&self, function: &str, n: u64) -> Result<()> {
        let shared = self.shared();
        let there = crossings(&shared.code);
        let is_there = there.iter().any(|crossing| crossing.is_meant_by(function));
        let recorder = Arc::downgrade(shared);
        let begin = move || {
            if let Some(recorder) = recorder.upgrade() {
                recorder.resume();
            }
        };
        let call = AwaitedCall {
            is_meant: is_meant(&shared.code, function),
            left: AtomicU64::new(n.max(1)),
            begin: Box::new(begin),
        };
        if !is_there || !shared.tracing.await_call(call) {
            let there = there.into_iter().map(|crossing| format!("{}#{}", crossing.interface, crossing.function));
            return Err(Error::UnknownCall { function: function.to_owned(), there: there.collect() });
        }
        Ok(())
    }

    /// A tracer that counts nothing and only waits for the call that the recording [begins with](Self::begin_with_call); for a store
    /// whose call hook does something else as well.
    ///
    /// # Errors
    /// As for `trace_calls`.
    pub fn waiting_tracer(&self) -> Result<CallTracer> {
        self.shared().waiting_tracer()
    }

    /// Has calls of `store` looked at by a recorder that [begins with one](Self::begin_with_call), and counts none: takes over its call
    /// hook.
    ///
    /// # Errors
    /// As for [`trace_calls`](Self::trace_calls).
    #[cfg(feature = "call-hook")]
    pub fn wait_for_call<T: 'static>(&self, store: &mut Store<T>) -> Result<()> {
        hook(store, self.waiting_tracer()?);
        Ok(())
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
        let shared = self.shared();
        shared.collect();
        shared.profile(period)
    }

    /// The same, with the reason that somebody had to ask for it: [`Profile::captured`] tells.
    #[must_use]
    pub fn capture(&self, reason: impl Into<String>, period: Range<Duration>) -> Profile {
        let reason = CaptureReason::Asked(reason.into());
        self.shared().capture(period, Captured { reason, span: None, thread: None, left_out: 0 })
    }

    /// How long the recording has lasted.
    #[must_use]
    pub fn elapsed(&self) -> Duration {
        self.shared().end.get().copied().unwrap_or_else(|| self.shared().elapsed())
    }
}

/// Has a tracer told of all calls of a store.
#[cfg(feature = "call-hook")]
fn hook<T: 'static>(store: &mut Store<T>, mut tracer: CallTracer) {
    store.call_hook(move |_, kind| {
        tracer.call_hook(kind);
        Ok(())
    });
}
