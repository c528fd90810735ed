//! One run of one guest, with a recorder around it.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use wasmtime::component::Component;
use wasmtime::{Engine, Module, Store, Trap, UpdateDeadline, WasmBacktrace, WasmBacktraceDetails};
use wasmtime_cli::commands::{CliLinker, RunCommand};
use witprof::export::{escape_control, write_summary};
use witprof::{Layer, Profile, Recorder, SamplerChoice, SamplerKind, SamplingClock, SymbolMap};

use super::{WasmFile, WasmKind, checks, ending, failed};
use crate::cli::{self, OutputFile, Stream};

/// Frames kept of a backtrace. Wasmtime's default of 20 cuts off the callers of anything real; each frame costs about
/// 100 bytes while a sample is taken.
const MAX_FRAMES: usize = 512;

/// How many functions the summary lists, and half as many interfaces.
const SUMMARY_ROWS: usize = 10;

/// Whether messages other than errors are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Quiet,
    Normal,
}

/// How samples are to be taken.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sampling {
    pub(crate) interval: Duration,
    pub(crate) choice: SamplerChoice,
    pub(crate) clock: SamplingClock,
}

/// What to run, and where its profile goes.
pub(crate) struct GuestRun {
    pub(crate) command: RunCommand,
    pub(crate) file: WasmFile,
    pub(crate) sampling: Sampling,
    pub(crate) outputs: Vec<OutputFile>,
    pub(crate) verbosity: Verbosity,
}

/// Runs a guest and writes its profile. Returns only if the guest did not end the process itself.
pub(crate) fn run(guest: GuestRun) -> Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().context("starting tokio")?;
    let result = runtime.block_on(run_in_runtime(guest, runtime.handle()));
    // A guest that was left waiting for input must not keep the process.
    runtime.shutdown_background();
    result
}

async fn run_in_runtime(guest: GuestRun, runtime: &tokio::runtime::Handle) -> Result<ExitCode> {
    let GuestRun { mut command, file, mut sampling, outputs, verbosity } = guest;
    let path = file.path().display();
    // Before anything runs: a signal must not find the process without its handlers.
    runtime.spawn(EndingSignals::listen().end_process());
    // Also reads the groups of options such as `-W`, which are not parsed before.
    command.run.common.init_logging().map_err(failed)?;
    checks::options(&command)?;
    let mut engine = engine(&mut command, &file, &mut sampling)?;
    let spinner = if verbosity == Verbosity::Normal { file.spinner() } else { None };
    // The type of a loaded target has no public name, so what it is has to be asked of the file.
    let load = |command: &RunCommand, engine: &Engine| command.run.load_module(engine, file.path(), Some(file.bytes()));
    let target = match load(&command, &engine) {
        // Precompiled with checks of epochs, of which nothing was said: they do no harm.
        Err(error) if file.is_precompiled() && command.run.common.wasm.epoch_interruption.is_none() => {
            command.run.common.wasm.epoch_interruption = Some(true);
            engine = new_engine(&mut command)?;
            load(&command, &engine).map_err(|_| error)
        }
        target => target,
    };
    let target = target.map_err(failed).with_context(|| loading_problem(&file))?;
    let code = match file.kind() {
        Some(WasmKind::Component) => Code::Component(target.unwrap_component()),
        Some(WasmKind::Module) => Code::Module(target.unwrap_core()),
        None => bail!("`{path}` is neither a WebAssembly component nor a core module"),
    };
    drop(spinner);
    if let (Code::Component(component), None) = (code, &command.invoke) {
        checks::has_command(component, &engine)?;
    }
    let recorder = Arc::new(recorder(code, &file, sampling)?);
    let (mut store, mut linker) = command.new_store_and_linker(&engine, &target).map_err(failed)?;
    match recorder.sampler() {
        SamplerKind::Epoch => attach(&recorder, &mut store, command.run.common.wasm.timeout),
        _ => recorder.attach(&mut store),
    }
    let last = Arc::clone(&recorder);
    ending::before_exit(move || write(&last, outputs, verbosity));

    let run = command.instantiate_and_run(&engine, &mut linker, &target, &mut store);
    let result = recorder.instrument(run).await;
    let Err(error) = result else {
        ending::do_last();
        return Ok(ExitCode::SUCCESS);
    };
    // Samples alone prove nothing: some may be of the host, before the guest.
    let seen = |profile: &Profile| profile.libraries().iter().any(|library| library.layer != Layer::Host);
    let has_run = error.downcast_ref::<WasmBacktrace>().is_some() || seen(&recorder.finish());
    if has_run {
        ending::do_last();
        cli::report(&failed(error));
        return Ok(ExitCode::FAILURE);
    }
    // Nothing has run, so there is nothing to write.
    ending::before_exit(|| {});
    let missing = match (&linker, code) {
        (CliLinker::Component(linker), Code::Component(component)) => {
            checks::missing_component_imports(linker, component, &engine)
        }
        (CliLinker::Core(linker), Code::Module(module)) => checks::missing_module_imports(linker, module, &mut store),
        _ => Vec::new(),
    };
    if missing.is_empty() {
        return Err(failed(error));
    }
    bail!(
        "`{path}` cannot be run: nothing provides its imports {}. Some are turned on with `-S`, for instance `-S http`",
        missing.join(", "),
    )
}

/// What is to be run.
#[derive(Clone, Copy)]
enum Code<'c> {
    Component(&'c Component),
    Module(&'c Module),
}

/// An engine with what the options ask for, and what sampling needs. Settles how samples are taken, as far as that
/// depends on the engine.
fn engine(command: &mut RunCommand, file: &WasmFile, sampling: &mut Sampling) -> Result<Engine> {
    if file.is_precompiled() && !command.run.allow_precompiled {
        bail!(
            "`{}` is precompiled native code, which runs without any check: if you trust it, add \
             `--allow-precompiled`",
            file.path().display()
        );
    }
    command.run.common.debug.max_backtrace.get_or_insert(MAX_FRAMES);
    if sampling.choice != SamplerChoice::Epoch {
        let engine = new_engine(command)?;
        let check = Recorder::check_signals(&engine, &file.stem());
        let (SamplerChoice::Auto, Err(problem)) = (sampling.choice, check) else { return Ok(engine) };
        sampling.choice = SamplerChoice::Epoch;
        cli::message(&format!("witprof: sampling by epochs: {}", escape_control(&problem.to_string())));
    }
    checks::epoch_options(command)?;
    command.run.common.wasm.epoch_interruption = Some(true);
    new_engine(command)
}

/// As `RunCommand::new_engine`, which would not let the configuration be changed.
fn new_engine(command: &mut RunCommand) -> Result<Engine> {
    let mut config = command.run.common.config(None).map_err(failed)?;
    if command.run.common.wasm.timeout.is_some() {
        config.epoch_interruption(true);
    }
    // With `WASMTIME_BACKTRACE_DETAILS`, Wasmtime reads DWARF for every frame of every sample.
    config.wasm_backtrace_details(WasmBacktraceDetails::Disable);
    Engine::new(&config).map_err(failed).context("configuring Wasmtime")
}

fn loading_problem(file: &WasmFile) -> String {
    let path = file.path().display();
    if file.is_precompiled() {
        format!(
            "loading `{path}`: it has to be compiled by Wasmtime 48, for this CPU, and with the same options; for the \
             epoch sampler, with epoch interruption: `wasmtime compile -W epoch-interruption`"
        )
    } else {
        format!("compiling `{path}`")
    }
}

fn recorder(code: Code<'_>, file: &WasmFile, sampling: Sampling) -> Result<Recorder> {
    let wasm = if file.is_precompiled() { None } else { file.wasm().ok() };
    let stem = file.stem();
    let mut map = SymbolMap::builder(&stem);
    if let Some(wasm) = &wasm {
        map = map.source(wasm);
    }
    let Sampling { interval, choice, clock } = sampling;
    let recorder = Recorder::builder(interval).sampler(choice).clock(clock).show_host_frames();
    let recorder = match code {
        Code::Component(component) => recorder.component(Arc::new(map.component(component)?), component),
        Code::Module(module) => recorder.module(Arc::new(map.module(module)?), module),
    };
    Ok(recorder.start()?)
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

/// Writes the profile everywhere it is wanted, and says where.
fn write(recorder: &Recorder, outputs: Vec<OutputFile>, verbosity: Verbosity) {
    let profile = recorder.finish();
    if verbosity == Verbosity::Normal {
        // A closed stderr is no reason to lose the profile.
        let _ = write_summary(&profile, cli::table_style(Stream::Error, SUMMARY_ROWS), &mut std::io::stderr());
    }
    for output in outputs {
        let path = escape_control(&output.path().display().to_string()).into_owned();
        match output.write(&profile, None) {
            Ok(()) if verbosity == Verbosity::Normal => {
                let hint =
                    if path.contains(".json") { format!(" (`witprof view {path}` opens it)") } else { String::new() };
                cli::message(&format!("profile: {path}{hint}"));
            }
            Ok(()) => {}
            Err(error) => cli::report(&error),
        }
    }
}

/// Signals that end a process, listened to from the moment this is made.
struct EndingSignals {
    #[cfg(unix)]
    streams: Vec<(i32, tokio::signal::unix::Signal)>,
}

impl EndingSignals {
    #[cfg(unix)]
    fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        // Whoever starts a process with a signal ignored, as `nohup` does, wants it to be ignored.
        let ignored = ignored_signals();
        let kinds = kinds.into_iter().filter(|kind| ignored & (1 << (kind.as_raw_value() - 1)) == 0);
        let streams = kinds.filter_map(|kind| Some((kind.as_raw_value(), signal(kind).ok()?)));
        Self { streams: streams.collect() }
    }

    #[cfg(not(unix))]
    fn listen() -> Self {
        Self {}
    }

    /// On Ctrl-C or a request to terminate: writes the profile and ends the process with the shell's code for it.
    /// A second signal ends it at once: the profile may be going to a pipe that nobody reads.
    async fn end_process(mut self) {
        let number = self.wait().await;
        let last = tokio::task::spawn_blocking(ending::do_last);
        tokio::select! {
            _ = last => {}
            _ = self.wait() => ending::kill(),
        }
        std::process::exit(128 + number);
    }

    #[cfg(unix)]
    async fn wait(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            for (number, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    #[cfg(not(unix))]
    async fn wait(&mut self) -> i32 {
        // The number of SIGINT everywhere.
        const INTERRUPT: i32 = 2;
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPT
    }
}

/// The signals that this process was started to ignore, one bit each, the first signal lowest. None where the system
/// does not tell.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
