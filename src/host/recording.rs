//! What every profiled guest needs: an engine that can be sampled, a recorder, and its profile in the end.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};
use wasmtime::{Config, Engine, WasmBacktraceDetails};
use wasmtime_cli::commands::RunCommand;
use witprof::export::{escape_control, write_summary};
use witprof::{
    Code, Profile, Recorder, ReservedSignal, SamplerChoice, SamplerKind, SamplingClock, SignalProblem, SlowCalls,
    SymbolMap,
};

use super::external::{ExternalProfilers, Listeners};
use super::schedule::Begin;
use super::{WasmFile, checks, failed};
use crate::files::{Outputs, SourceMapFile, missing_source};
use crate::terminal::{self, Stream, table_style};

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

impl Verbosity {
    /// Prints a message that is no error.
    pub(super) fn message(self, text: &str) {
        if self == Self::Normal {
            terminal::message(text);
        }
    }
}

/// Whether calls across interfaces are traced, and which of their times are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum CallTracing {
    Off,
    Wall,
    WallAndCpu,
}

/// How samples are to be taken.
#[derive(Clone, Debug)]
pub(crate) struct Sampling {
    pub(crate) interval: Duration,
    pub(crate) choice: SamplerChoice,
    pub(crate) clock: SamplingClock,
    /// The signal that is asked for; nothing for any that is free.
    pub(crate) signal: Option<i32>,
    /// The signal that was found to work.
    pub(crate) reserved: Option<Arc<ReservedSignal>>,
    pub(crate) calls: CallTracing,
    /// Which calls are kept one by one; all, if nothing is said.
    pub(crate) slow_calls: Vec<SlowCalls>,
    /// When the recording begins.
    pub(crate) begin: Begin,
    /// How much of the recording is kept; all of it, if that is nothing.
    pub(crate) keep_last: Option<Duration>,
    /// Who else is to know the names.
    pub(crate) external: ExternalProfilers,
    /// Whether names are wanted as they are stored.
    pub(crate) raw_names: bool,
    /// Whether functions of scripts are wanted.
    pub(crate) scripts: bool,
    /// Whether lines of source code are wanted.
    pub(crate) lines: bool,
    /// What paths of source files begin with, and what they are to begin with.
    pub(crate) path_map: Vec<(String, String)>,
    /// Which sources scripts were made from.
    pub(crate) source_maps: Vec<SourceMapFile>,
}

/// An engine with what the options ask for and what sampling needs, and what `load` loads with it. Settles how samples
/// are taken, as far as that depends on the engine. (The type of what is loaded has no public name.)
pub(super) fn load<T>(
    command: &mut RunCommand,
    file: &WasmFile,
    sampling: &mut Sampling,
    verbosity: Verbosity,
    configure: impl Fn(&mut RunCommand) -> wasmtime::Result<Config>,
    load: impl Fn(&RunCommand, &Engine) -> wasmtime::Result<T>,
) -> Result<(Engine, T)> {
    let is_auto = sampling.choice == SamplerChoice::Auto;
    let mut engine = engine(command, file, sampling, verbosity, &configure)?;
    let _spinner = if verbosity == Verbosity::Normal { file.spinner() } else { None };
    let mut loaded = load(&*command, &engine);
    if file.is_precompiled() && loaded.is_err() {
        // It was compiled with what nothing was said of: checks of epochs, which do no harm, or debug info, which makes samples
        // by epochs slower. Better than not at all.
        let says_nothing = command.run.common.wasm.epoch_interruption.is_none();
        let others = [(false, false), (true, false), (false, true), (true, true)];
        for (has_epochs, has_details) in others.into_iter().filter(|(has_epochs, _)| says_nothing || !has_epochs) {
            let mut config = config(command, &configure)?;
            if has_epochs {
                config.epoch_interruption(true);
            }
            let details = if has_details { WasmBacktraceDetails::Enable } else { WasmBacktraceDetails::Disable };
            config.wasm_backtrace_details(details);
            let other = new_engine(&config)?;
            if let Ok(target) = load(&*command, &other) {
                (engine, loaded) = (other, Ok(target));
                if has_epochs {
                    command.run.common.wasm.epoch_interruption = Some(true);
                }
                break;
            }
        }
    }
    if file.is_precompiled() && loaded.is_err() && is_auto && sampling.choice == SamplerChoice::Epoch {
        // Neither sampler works: it runs without.
        command.run.common.wasm.epoch_interruption = None;
        let other = new_engine(&config(command, &configure)?)?;
        if let Ok(target) = load(&*command, &other) {
            (engine, loaded) = (other, Ok(target));
            sampling.choice = SamplerChoice::Auto;
        }
    }
    let loaded = loaded.map_err(failed).with_context(|| loading_problem(file))?;
    Ok((engine, loaded))
}

fn engine(
    command: &mut RunCommand,
    file: &WasmFile,
    sampling: &mut Sampling,
    verbosity: Verbosity,
    configure: &impl Fn(&mut RunCommand) -> wasmtime::Result<Config>,
) -> Result<Engine> {
    if file.is_precompiled() && !command.run.allow_precompiled {
        bail!(
            "`{}` is precompiled native code, which runs without any check: if you trust it, add \
             `--allow-precompiled`",
            file.path().display()
        );
    }
    command.run.common.debug.max_backtrace.get_or_insert(MAX_FRAMES);
    if sampling.choice != SamplerChoice::Epoch {
        let engine = new_engine(&config(command, configure)?)?;
        // Before anything is compiled: epochs have to be compiled in.
        let signal = Recorder::check_signals(&engine, &file.stem())
            .and_then(|()| Recorder::reserve_signal(sampling.signal, sampling.clock));
        match (signal, sampling.choice) {
            (Ok(reserved), _) => {
                if let Some(problem) = reserved.instead() {
                    let signal = reserved.signal();
                    verbosity.message(&format!("witprof: sampling by signal {signal}: {}", reason(problem)));
                }
                sampling.reserved = Some(Arc::new(reserved));
                return Ok(engine);
            }
            // Epochs are turned off, and signals refused: `recorder` says so, and the guest runs.
            (Err(_), SamplerChoice::Auto) if command.run.common.wasm.epoch_interruption == Some(false) => {
                return Ok(engine);
            }
            (Err(problem), SamplerChoice::Auto) => {
                sampling.choice = SamplerChoice::Epoch;
                verbosity.message(&format!("witprof: sampling by epochs: {}", reason(&problem)));
            }
            (Err(problem), _) => {
                let other = match problem {
                    SignalProblem::Taken { .. } | SignalProblem::Replaced { .. } | SignalProblem::Refused { .. } => {
                        "use another signal (`--signal auto`), or "
                    }
                    _ => "",
                };
                let advice = format!("samples cannot be taken by signals; {other}sample by epochs (`--sampler epoch`)");
                return Err(anyhow::Error::new(problem).context(advice));
            }
        }
    }
    checks::epoch_options(command)?;
    command.run.common.wasm.epoch_interruption = Some(true);
    new_engine(&config(command, configure)?)
}

/// A problem and its cause, in one line.
fn reason(problem: &SignalProblem) -> String {
    let cause = std::error::Error::source(problem).map(|cause| format!(": {cause}")).unwrap_or_default();
    escape_control(&format!("{problem}{cause}")).into_owned()
}

/// As in `RunCommand::new_engine`, which would not let it be changed. Traps have lines if `WASMTIME_BACKTRACE_DETAILS` asks for
/// them, as Wasmtime's own do; by epochs, each sample reads debug info then.
fn config(
    command: &mut RunCommand,
    configure: &impl Fn(&mut RunCommand) -> wasmtime::Result<Config>,
) -> Result<Config> {
    let mut config = checks::configured(command, |command| &mut command.run.common, configure)?;
    if command.run.common.wasm.timeout.is_some() {
        config.epoch_interruption(true);
    }
    Ok(config)
}

fn new_engine(config: &Config) -> Result<Engine> {
    Engine::new(config).map_err(failed).context("configuring Wasmtime")
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

/// Starts recording what runs of `code`, and tells `listeners` of it.
pub(super) fn recorder(
    code: &Code,
    file: &WasmFile,
    sampling: &Sampling,
    listeners: &mut Listeners,
) -> Result<Recorder> {
    let Sampling { interval, choice, clock, calls, raw_names, lines, ref path_map, .. } = *sampling;
    let mut map = SymbolMap::builder(&file.stem());
    if let (false, Ok(wasm)) = (file.is_precompiled(), file.shared_wasm()) {
        map = map.debug_info(wasm);
    }
    if raw_names {
        map = map.raw_names();
    }
    if !lines {
        map = map.without_lines();
    }
    for (from, to) in path_map {
        map = map.path_map(from, to);
    }
    for source_map in &sampling.source_maps {
        map = map.source_map(source_map.read()?);
    }
    let mut recorder = Recorder::builder(interval).sampler(choice).clock(clock).show_host_frames();
    if choice == SamplerChoice::Auto {
        recorder = recorder.allow_unsampled();
    }
    if !sampling.scripts {
        recorder = recorder.without_scripts();
    }
    let reserved = sampling.reserved.as_ref().map(|reserved| reserved.signal());
    if let Some(signal) = reserved.or(sampling.signal) {
        recorder = recorder.signal(signal);
    }
    if let Some(kept) = sampling.keep_last {
        recorder = recorder.keep_last(kept);
    }
    if calls == CallTracing::WallAndCpu {
        recorder = recorder.trace_call_cpu_time();
    }
    for slow in &sampling.slow_calls {
        recorder = recorder.keep_slow_calls(slow.clone());
    }
    if sampling.begin.is_later() {
        recorder = recorder.paused();
    }
    let map = Arc::new(map.build(code)?);
    listeners.tell(&map, code)?;
    let recorder = recorder.code(map, code).start()?;
    sampling.begin.prepare(&recorder)?;
    if let Some(problem) = recorder.refused() {
        let problem = reason(problem);
        terminal::message(&format!(
            "witprof: no samples are taken: {problem}; and the code was compiled without epoch interruption"
        ));
    }
    Ok(recorder)
}

/// For how much of a recording guests are active.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Active {
    Throughout,
    /// Until it exited or trapped. Wasmtime's command line ends the process then, and prints a trap before.
    UntilItEnded,
    /// A server may have nothing to do.
    NowAndThen,
}

/// Whether errors have the backtrace of the host. Making one takes longer than many guests.
fn has_backtraces() -> bool {
    Backtrace::capture().status() == BacktraceStatus::Captured
}

/// A run of so many intervals has samples, or something is wrong.
const INTERVALS: u32 = 10;

/// Why there are no samples where some were to be expected.
fn missing_samples(recorder: &Recorder, active: Active, profile: &Profile) -> Option<String> {
    if profile.counts().kept > 0 {
        return None;
    }
    if recorder.is_paused() {
        return Some("the recording had not begun (`--delay`, `--from-call`)".to_owned());
    }
    if let Some(problem) = recorder.refused() {
        // Where epochs were tried as well, they are not compiled in.
        let other = match recorder.fallback() {
            Some(_) => "compile with epoch interruption (`-W epoch-interruption`)",
            None => "sample by epochs (`--sampler epoch`)",
        };
        return Some(format!("{}; {other}", reason(problem)));
    }
    if profile.elapsed() <= profile.interval().saturating_mul(INTERVALS) {
        return None;
    }
    let lost: Vec<String> =
        profile.counts().lost.iter().map(|(reason, count)| format!("{count} {}", reason.name())).collect();
    if lost.is_empty() && active == Active::NowAndThen {
        return None;
    }
    Some(match profile.sampler() {
        _ if !lost.is_empty() => format!("all were lost ({})", lost.join(", ")),
        SamplerKind::Epoch => {
            "the guest reached no function entry and no head of a loop; it waited, or all it did was done by the host"
                .to_owned()
        }
        _ => "no guest was active, or none used the CPU (with `--clock cpu`, only that counts)".to_owned(),
    })
}

/// Writes what there is until now everywhere it is wanted. What is worth a message is told once, at the end.
pub(super) fn write_meanwhile(recorder: &Recorder, outputs: &Outputs) {
    let mut profile = recorder.snapshot();
    let _ = outputs.shown.complete(&mut profile);
    let shown = outputs.shown.of(&profile);
    for output in &outputs.files {
        if let Err(error) = output.write(&shown, None) {
            terminal::report(&error);
        }
    }
}

/// Writes the profile everywhere it is wanted, and says where.
pub(super) fn write(recorder: &Recorder, active: Active, outputs: &Outputs, verbosity: Verbosity) {
    let Outputs { files, shown } = outputs;
    let mut profile = match active {
        Active::UntilItEnded if has_backtraces() => recorder.finish().without_aftermath(),
        Active::Throughout | Active::UntilItEnded | Active::NowAndThen => recorder.finish(),
    };
    let missing = shown.complete(&mut profile);
    let profile = profile;
    let shown_profile = shown.of(&profile);
    if let Some(problem) = missing_samples(recorder, active, &profile) {
        terminal::report(&anyhow!("no sample was taken in {:.1?}: {problem}", profile.elapsed()));
    } else if verbosity == Verbosity::Normal {
        // A closed stderr is no reason to lose the profile.
        let _ = write_summary(shown_profile.shown(), table_style(Stream::Error, SUMMARY_ROWS), &mut std::io::stderr());
    }
    if let (Some(problem), true) = (recorder.refused(), profile.counts().kept > 0) {
        terminal::report(&anyhow!("not everything was sampled: {}", reason(problem)));
    }
    if let Some(problem) = recorder.unread_interpreter() {
        let some = if profile.has_scripts() { "some " } else { "" };
        let language = problem.language().unwrap_or("scripts");
        verbosity.message(&format!("witprof: functions of {some}{language} are not shown: {problem}"));
    }
    for problem in profile.missing_lines() {
        verbosity.message(&escape_control(problem));
    }
    if let Some(missing) = missing {
        verbosity.message(&missing_source(&missing));
    }
    for output in files {
        let (shown, view) = (output.shown(), output.view_command());
        match output.write(&shown_profile, None) {
            Ok(()) => {
                let hint = view.map_or_else(String::new, |command| format!(" (`{command}` opens it)"));
                verbosity.message(&format!("profile: {shown}{hint}"));
            }
            Err(error) => terminal::report(&error),
        }
    }
}
