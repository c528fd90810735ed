//! One run of one guest, with a recorder around it.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use tokio::runtime::Runtime;
use wasmtime::{Engine, ResourceLimiter, Store, StoreLimits, Trap, UpdateDeadline, WasmBacktrace};
use wasmtime_cli::commands::{CliLinker, RunCommand};
use witprof::{Code, Layer, MemoryTracer, Profile, Recorder, SamplerKind};

use super::captures::Capturing;
use super::push::Pushing;
use super::recording::{self, Active, CallTracing, Sampling, Verbosity};
use super::schedule::Meanwhile;
use super::signals::EndingSignals;
use super::{NEVER, WasmFile, WasmKind, checks, ending, failed, lock, providers};
use crate::files::Outputs;
use crate::terminal;

/// What to run, and where its profile goes.
pub(crate) struct GuestRun {
    pub(crate) command: RunCommand,
    pub(crate) file: WasmFile,
    pub(crate) sampling: Sampling,
    pub(crate) outputs: Outputs,
    pub(crate) capturing: Capturing,
    pub(crate) pushing: Pushing,
    pub(crate) meanwhile: Meanwhile,
    pub(crate) verbosity: Verbosity,
}

/// Runs a guest and writes its profile. Returns only if the guest did not end the process itself.
pub(crate) fn run(guest: GuestRun) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    InBackground(Some(runtime)).block_on(run_in_runtime(guest))
}

/// A runtime that does not wait for what it has left to do: a guest that was left waiting for input must not keep the
/// process, however the run ends. There is one until it is dropped.
struct InBackground(Option<Runtime>);

impl InBackground {
    fn block_on<F: Future>(&self, future: F) -> F::Output {
        self.0.as_ref().expect("only dropping takes the runtime").block_on(future)
    }
}

impl Drop for InBackground {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

async fn run_in_runtime(guest: GuestRun) -> Result<ExitCode> {
    let GuestRun { mut command, file, mut sampling, outputs, capturing, pushing, meanwhile, verbosity } = guest;
    let path = file.path().display();
    // Before anything runs: a signal must not find the process without its handlers.
    tokio::spawn(EndingSignals::listen().end_process());
    // Also reads the groups of options such as `-W`, which are not parsed before.
    command.run.common.init_logging().map_err(failed)?;
    checks::options(&command)?;
    checks::folders(&command)?;
    checks::stdout_is_free(&command, &outputs.files)?;
    capturing.check(sampling.signal)?;
    meanwhile.check(&outputs)?;
    pushing.check()?;
    let mut listeners = sampling.external.find()?;
    let (engine, target) = recording::load(
        &mut command,
        &file,
        &mut sampling,
        verbosity,
        |command| command.run.common.config(None),
        |command, engine| command.run.load_module(engine, file.path(), Some(file.bytes())),
    )?;
    // The type of a loaded target has no public name, so what it is has to be asked of the file.
    let code = match file.kind() {
        Some(WasmKind::Component) => Code::from(target.unwrap_component()),
        Some(WasmKind::Module) => Code::from(target.unwrap_core()),
        None => bail!("`{path}` is neither a WebAssembly component nor a core module"),
    };
    if let (Code::Component(component), None) = (&code, &command.invoke) {
        checks::has_command(component, &engine)?;
    }
    let recorder = Arc::new(recording::recorder(&code, &file, &sampling, &mut listeners)?);
    let (mut store, mut linker) = command.new_store_and_linker(&engine, &target).map_err(failed)?;
    match recorder.sampler() {
        SamplerKind::Epoch => attach(&recorder, &mut store, command.run.common.wasm.timeout),
        // Epochs may be compiled in all the same. A time limit is set when the guest is started.
        _ => store.set_epoch_deadline(NEVER),
    }
    trace_memory(&recorder, &mut store, command.run.store_limits());
    if sampling.calls == CallTracing::Off {
        sampling.begin.watch(&recorder, &mut store)?;
    } else {
        recorder.trace_calls(&mut store)?;
    }
    // Nothing is captured by itself, so there is no thread to be waited for.
    let (_captures, _) = capturing.start(&recorder, outputs.shown.clone(), verbosity)?;
    let outputs = Arc::new(Mutex::new(Some(outputs)));
    meanwhile.start(&sampling.begin, &recorder, &outputs);
    let pusher = pushing.start(&recorder, verbosity)?;
    let last = Arc::clone(&recorder);
    let has_returned = Arc::new(AtomicBool::new(false));
    let is_known = Arc::clone(&has_returned);
    ending::before_exit(move || {
        let active = if is_known.load(Ordering::Acquire) { Active::Throughout } else { Active::UntilItEnded };
        if let Some(outputs) = lock(&outputs).take() {
            recording::write(&last, active, &outputs, verbosity);
        }
        if let Some(pusher) = pusher {
            pusher.finish();
        }
    });

    let run = command.instantiate_and_run(&engine, &mut linker, &target, &mut store);
    let result = recorder.instrument(run).await;
    has_returned.store(result.is_ok(), Ordering::Release);
    let Err(error) = result else {
        ending::do_last();
        return Ok(ExitCode::SUCCESS);
    };
    // Samples alone prove nothing: some may be of the host, before the guest.
    let seen = |profile: &Profile| profile.libraries().iter().any(|library| library.layer != Layer::Host);
    let has_run = error.downcast_ref::<WasmBacktrace>().is_some() || seen(&recorder.finish());
    if has_run {
        ending::do_last();
        terminal::report(&failed(error));
        return Ok(ExitCode::FAILURE);
    }
    // Nothing has run, so there is nothing to write.
    ending::before_exit(|| {});
    // The same with other options. Not every guest can have every option.
    let mut missing_with = |command: &mut RunCommand| {
        let (mut store, linker) = command.new_store_and_linker(&engine, &target).ok()?;
        missing_imports(&linker, &code, &engine, &mut store)
    };
    let missing = missing_imports(&linker, &code, &engine, &mut store).unwrap_or_default();
    if missing.is_empty() {
        return Err(failed(error));
    }
    let found = providers::find(&mut command, &missing, &mut missing_with);
    Err(providers::advice(&file, &found))
}

/// What the linker lacks of what the guest imports.
fn missing_imports(
    linker: &CliLinker,
    code: &Code,
    engine: &Engine,
    store: &mut Store<wasmtime_cli::commands::Host>,
) -> Option<Vec<String>> {
    match (linker, code) {
        (CliLinker::Component(linker), Code::Component(component)) => {
            Some(checks::missing_component_imports(linker, component, engine))
        }
        (CliLinker::Core(linker), Code::Module(module)) => Some(checks::missing_module_imports(linker, module, store)),
        _ => None,
    }
}

/// The limiter of the one store that there is. A store's limiter lives in its data, which are `wasmtime-cli`'s own.
static LIMITER: Mutex<Option<MemoryTracer>> = Mutex::new(None);

/// What the store takes for its limiter.
struct Limiter;

impl Limiter {
    fn with<R>(with: impl FnOnce(&mut dyn ResourceLimiter) -> R) -> R {
        let mut limiter = lock(&LIMITER);
        match &mut *limiter {
            Some(limiter) => with(limiter),
            None => with(&mut StoreLimits::default()),
        }
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Self::with(|limiter| limiter.memory_growing(current, desired, maximum))
    }

    fn memory_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Self::with(|limiter| limiter.memory_grow_failed(error))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Self::with(|limiter| limiter.table_growing(current, desired, maximum))
    }

    fn table_grow_failed(&mut self, error: wasmtime::Error) -> wasmtime::Result<()> {
        Self::with(|limiter| limiter.table_grow_failed(error))
    }

    fn instances(&self) -> usize {
        Self::with(|limiter| limiter.instances())
    }

    fn tables(&self) -> usize {
        Self::with(|limiter| limiter.tables())
    }

    fn memories(&self) -> usize {
        Self::with(|limiter| limiter.memories())
    }
}

/// Records how large the guest's memories are; `limits` are those that the options ask for.
fn trace_memory<T: 'static>(recorder: &Recorder, store: &mut Store<T>, limits: StoreLimits) {
    *lock(&LIMITER) = Some(recorder.trace_memory(limits));
    // It has no size, so nothing is allocated.
    store.limiter(|_| Box::leak(Box::new(Limiter)));
}

/// Samples the store at every epoch, and ends it at its time limit, as `wasmtime run -W timeout` does.
fn attach<T: 'static>(recorder: &Recorder, store: &mut Store<T>, timeout: Option<Duration>) {
    let mut probe = recorder.probe();
    let start = Instant::now();
    store.epoch_deadline_callback(move |store| {
        probe.sample(&store);
        match timeout {
            Some(timeout) if start.elapsed() >= timeout => Err(Trap::Interrupt.into()),
            _ => Ok(UpdateDeadline::Continue(1)),
        }
    });
    store.set_epoch_deadline(1);
}
