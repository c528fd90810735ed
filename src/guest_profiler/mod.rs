//! A stand-in for Wasmtime's guest profiler: its interface and its promises, with the names of this library.
//!
//! A caller of all stages, as the binary is: [`Visible`] says what may be seen, a backtrace in the epoch callback where
//! the guest is, a [`SampleLog`] keeps it, and `profile/` and `export/` make the file.
//!
//! What must not be done here: taking a backtrace in [`GuestProfiler::call_hook`]. Wasmtime's own profiler does, and
//! panics in compositions, because hooks also fire inside library calls, where the unwinder asserts. The hook cannot
//! tell these from calls of host functions, so it reads the clock and nothing else.

mod guest_time;
mod visible;

use std::io::Write;
use std::time::{Duration, Instant, SystemTime};

use wasmtime::component::Component;
use wasmtime::{AsContext, CallHook, Engine, Module};

use self::guest_time::GuestTime;
use self::visible::Visible;
use crate::error::Error;
use crate::export::firefox::write_with_host_calls;
use crate::profile::{EVERYTHING, HostSymbols, Recording, SamplerKind, symbolize};
use crate::sampler::epoch::capture;
use crate::samples::{
    HostCalls, LabelsId, MemoryLog, RawSample, Retention, SampleLog, ScriptFunctions, ThreadIdentity,
};

/// Bytes that a recording may take; beyond that, its oldest part is dropped.
const MEMORY: usize = 512 << 20;

/// A drop-in for [Wasmtime's `GuestProfiler`][theirs]: the same methods with the same signatures, so that moving over
/// is one changed import.
///
/// [theirs]: https://docs.rs/wasmtime/48.0.8/wasmtime/struct.GuestProfiler.html
///
/// New code had better use a [`Recorder`](crate::Recorder), which samples by itself, and where it can by signals. This
/// type is for hosts that have their own epoch callback already. What they gain:
///
/// - Adapters, trampolines and functions have their WIT names, and the file its breakdown by interface.
/// - Call hooks work in compositions of components, where Wasmtime's profiler panics.
/// - Memory is bounded, however long the recording.
///
/// What they should know:
///
/// - Wasmtime tells others than itself the innermost 20 frames of a stack, unless `Config::wasm_backtrace_max_frames`
///   asks for more. Stacks that were cut are counted in the file.
/// - Samples are weighted with the time they stand for: all since the sample before. If
///   [`call_hook`](Self::call_hook) is called, time in the host and between calls of the guest is not in them;
///   otherwise that cannot be told.
/// - A marker for a call of the host has no stack, because none can be taken there. In a file are the longest calls and
///   some of the others, 20,000 in all; a marker at the end says how many were left out.
///
/// # What a profile gives away
///
/// As with Wasmtime's: no address of the host, none of its names, not even that of the thread, and of code only what
/// was allowed: the given modules, or all of the given component, with the trampolines through which the host enters
/// it. Offsets into the compiled code are in the file, so only modules of whoever may read it should be given.
///
/// ```
/// use std::time::Duration;
/// use wasmtime::{Store, UpdateDeadline};
/// use witprof::GuestProfiler; // was: use wasmtime::GuestProfiler;
/// # use wasmtime::{Config, Engine, Instance, Module};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let wat = "(module $demo (func $spin (export \"spin\") (param i32)
/// #     (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))";
/// let engine = Engine::new(Config::new().epoch_interruption(true))?;
/// let module = Module::new(&engine, wat)?;
/// let tick = Duration::from_millis(1);
/// let profiler = GuestProfiler::new(&engine, "demo", tick, [("demo".to_owned(), module.clone())])?;
///
/// let mut store = Store::new(&engine, Some(profiler));
/// store.epoch_deadline_callback(|mut store| {
///     if let Some(mut profiler) = store.data_mut().take() {
///         profiler.sample(&store, Duration::ZERO);
///         *store.data_mut() = Some(profiler);
///     }
///     Ok(UpdateDeadline::Continue(1))
/// });
/// store.set_epoch_deadline(1);
/// engine.increment_epoch(); // a host does this on another thread, once per `tick`
/// let instance = Instance::new(&mut store, &module, &[])?;
/// let spin = instance.get_typed_func::<i32, ()>(&mut store, "spin")?;
/// spin.call(&mut store, 1_000)?;
///
/// let mut file = Vec::new();
/// if let Some(profiler) = store.into_data() {
///     profiler.finish(&mut file)?;
/// }
/// let profile = witprof::read_firefox(&mut &file[..])?;
/// assert_eq!((profile.name(), profile.counts().kept), ("demo", 1));
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct GuestProfiler {
    name: String,
    interval: Duration,
    visible: Visible,
    start: Instant,
    started_at: SystemTime,
    time: GuestTime,
    log: SampleLog,
    /// All samples are of one track: an async guest may move between threads, whose names are the host's business.
    thread: ThreadIdentity,
    host_calls: HostCalls,
    /// Whether any sample came with CPU time.
    knows_cpu: bool,
}

/// The longest interval that is written: it is a hint, and sums of it must not overflow.
const MAX_INTERVAL: Duration = Duration::from_hours(24);

impl GuestProfiler {
    /// Begins to profile a guest of `engine` that consists of core modules. `module_name` says in the profile what it
    /// is of, and each module is called by the name it is given with.
    ///
    /// `interval` is about the time between two calls of [`sample`](Self::sample).
    ///
    /// Only frames of `modules` appear in the profile. A module that a component exports may be among them; the others
    /// of its component are not shown.
    ///
    /// # Errors
    /// [`Error::GuestDebug`] if `engine` runs private copies of the code; [`Error::OtherEngine`] if a module is not of
    /// `engine` (Wasmtime's profiler panics there); [`Error::Image`] if a module cannot be read.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wasmtime::{Engine, Module};
    /// # fn main() -> wasmtime::Result<()> {
    /// let engine = Engine::default();
    /// let module = Module::new(&engine, "(module (func (export \"run\")))")?;
    /// let modules = vec![("plugin".to_owned(), module)];
    /// let profiler = witprof::GuestProfiler::new(&engine, "plugin", Duration::from_millis(10), modules)?;
    /// # drop(profiler);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(
        engine: &Engine,
        module_name: &str,
        interval: Duration,
        modules: impl IntoIterator<Item = (String, Module)>,
    ) -> wasmtime::Result<Self> {
        Self::start(engine, module_name, interval, None, modules)
    }

    /// The same for a guest that is a component: all of its core modules and adapters may be seen, and `extra_modules`.
    ///
    /// # Errors
    /// As for [`new`](Self::new).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wasmtime::{Engine, component::Component};
    /// # fn main() -> wasmtime::Result<()> {
    /// let engine = Engine::default();
    /// let component = Component::new(&engine, "(component)")?;
    /// let profiler = witprof::GuestProfiler::new_component(&engine, "app", Duration::from_millis(10), component, [])?;
    /// # drop(profiler);
    /// # Ok(())
    /// # }
    /// ```
    pub fn new_component(
        engine: &Engine,
        component_name: &str,
        interval: Duration,
        component: Component,
        extra_modules: impl IntoIterator<Item = (String, Module)>,
    ) -> wasmtime::Result<Self> {
        Self::start(engine, component_name, interval, Some(&component), extra_modules)
    }

    fn start(
        engine: &Engine,
        name: &str,
        interval: Duration,
        component: Option<&Component>,
        modules: impl IntoIterator<Item = (String, Module)>,
    ) -> wasmtime::Result<Self> {
        if engine.get_guest_debug() {
            return Err(Error::GuestDebug { name: name.to_owned() }.into());
        }
        let mut visible = Visible::new(engine);
        if let Some(component) = component {
            visible.component(name, component)?;
        }
        for (name, module) in modules {
            visible.module(&name, &module)?;
        }
        let interval = interval.clamp(Duration::from_nanos(1), MAX_INTERVAL);
        Ok(Self {
            name: name.to_owned(),
            interval,
            visible,
            log: SampleLog::new(interval, Retention::all(MEMORY)),
            thread: ThreadIdentity::named("guest"),
            host_calls: HostCalls::default(),
            knows_cpu: false,
            time: GuestTime::default(),
            started_at: SystemTime::now(),
            // Last: reading names is not the guest's time.
            start: Instant::now(),
        })
    }

    /// Adds a sample: where the guest is that runs in `store`, on this thread. To be called from the callback of
    /// `Store::epoch_deadline_callback`, and not from a call hook.
    ///
    /// `delta` is the CPU time that the guest has used since the sample before. If it is zero in all samples, it is
    /// taken for unknown, and nothing is shown as waiting.
    ///
    /// A sample with no frame that may be shown is counted as lost.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wasmtime::{Engine, Store};
    /// # fn main() -> wasmtime::Result<()> {
    /// # let engine = Engine::default();
    /// # let mut profiler = witprof::GuestProfiler::new(&engine, "none", Duration::from_millis(1), [])?;
    /// # let store = Store::new(&engine, ());
    /// profiler.sample(&store, Duration::ZERO);
    /// # Ok(())
    /// # }
    /// ```
    pub fn sample(&mut self, store: impl AsContext, delta: Duration) {
        let time = self.start.elapsed();
        let wall = self.time.take(time);
        self.knows_cpu |= !delta.is_zero();
        let stack = capture(store, |module, index| self.visible.target_of(module, index));
        let sample = RawSample {
            time,
            wall,
            // What the host has used is in `delta`, but not in `wall` if hooks tell it apart.
            cpu: delta.min(wall),
            preempted: None,
            truncated: stack.truncated,
            labels: LabelsId::default(),
        };
        self.log.record_for(&self.thread, sample, stack.outermost_first.into_iter());
        // Nobody else waits for the log.
        drop(self.log.take_dropped());
    }

    /// Notes that the guest calls the host or returns from it. To be called from the callback of `Store::call_hook`
    /// (of Wasmtime's feature `call-hook`), with the `kind` that was passed to it.
    ///
    /// Each call of the host becomes a marker `hostcall`, from the call to the return. Wasmtime also reports library
    /// calls of its own, those of adapters and the epoch callback among them, and does not say which they are.
    ///
    /// Costs two readings of the clock for a call. It takes no backtrace, so it does nothing with `store`, which is
    /// here for the signature; and it does not panic, which must not happen in a hook.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use wasmtime::{CallHook, Engine, Store};
    /// # fn main() -> wasmtime::Result<()> {
    /// # let engine = Engine::default();
    /// # let mut profiler = witprof::GuestProfiler::new(&engine, "none", Duration::from_millis(1), [])?;
    /// # let store = Store::new(&engine, ());
    /// profiler.call_hook(&store, CallHook::CallingHost);
    /// profiler.call_hook(&store, CallHook::ReturningFromHost);
    /// # Ok(())
    /// # }
    /// ```
    pub fn call_hook(&mut self, store: impl AsContext, kind: CallHook) {
        // Here for the signature: the only thing to do with it would be a backtrace.
        let _ = store;
        let now = self.start.elapsed();
        match kind {
            CallHook::CallingHost => self.host_calls.begin(now),
            CallHook::ReturningFromHost => self.host_calls.end(now),
            CallHook::CallingWasm | CallHook::ReturningFromWasm => {}
        }
        if kind.exiting_host() {
            self.time.enter(now);
        } else {
            self.time.leave(now);
        }
    }

    /// Writes the profile to `output` as JSON that <https://profiler.firefox.com> opens, and that
    /// [`read_firefox`](crate::read_firefox) and `witprof report` read.
    ///
    /// # Errors
    /// [`Error::Write`] if `output` cannot be written to.
    ///
    /// ```
    /// # use std::time::Duration;
    /// # fn main() -> wasmtime::Result<()> {
    /// # let engine = wasmtime::Engine::default();
    /// # let profiler = witprof::GuestProfiler::new(&engine, "none", Duration::from_millis(1), [])?;
    /// let mut file = Vec::new();
    /// profiler.finish(&mut file)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn finish(mut self, mut output: impl Write) -> wasmtime::Result<()> {
        let elapsed = self.start.elapsed();
        self.host_calls.end_all(elapsed);
        let targets = self.visible.targets();
        let recording = Recording {
            captured: None,
            targets: &targets,
            name: self.name,
            sampler: SamplerKind::Epoch,
            interval: self.interval,
            started_at: self.started_at,
            elapsed,
            calls: None,
            memories: MemoryLog::default(),
            scripts: ScriptFunctions::default(),
            spans: (Vec::new(), 0),
            host_place: &|_| None,
            host_symbols: &HostSymbols::default(),
        };
        let mut profile = symbolize(&self.log.freeze(EVERYTHING, true), &recording).with_lines(&targets);
        if !self.knows_cpu {
            // As `read_firefox` takes it: nothing is known of waiting, which is not to say that all was.
            let samples = profile.threads.iter_mut().flat_map(|thread| &mut thread.samples);
            samples.for_each(|sample| sample.cpu = sample.wall);
        }
        write_with_host_calls(&profile, &self.host_calls, &mut output)?;
        // The caller has given the writer away, so nobody else would see this fail.
        output.flush().map_err(|source| Error::Write { format: "Firefox", source })?;
        Ok(())
    }
}
