//! `witprof run`: run a component or module, and write a profile of it.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use wasmtime_cli::commands::RunCommand;
use witprof::{Recorder, SamplerChoice, SamplingClock};

use super::OutputFile;
use crate::host::{self, GuestRun, Sampling, Verbosity, WasmFile};

/// How samples are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
enum Sampler {
    /// The best one that works here
    #[default]
    Auto,
    /// By signals: anywhere, host functions included, without a change to the guest (Linux)
    Signal,
    /// By epoch interruption: portable; samples at function entries and loop headers
    Epoch,
}

impl From<Sampler> for SamplerChoice {
    fn from(sampler: Sampler) -> Self {
        match sampler {
            Sampler::Auto => Self::Auto,
            Sampler::Signal => Self::Signal,
            Sampler::Epoch => Self::Epoch,
        }
    }
}

/// Which time the signal sampler counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
enum Clock {
    /// Time as it passes, waiting included
    #[default]
    Wall,
    /// Time on a CPU, in steps of the kernel's scheduler tick
    Cpu,
}

impl From<Clock> for SamplingClock {
    fn from(clock: Clock) -> Self {
        match clock {
            Clock::Wall => Self::Wall,
            Clock::Cpu => Self::Cpu,
        }
    }
}

/// Run a component or module as `wasmtime run` does, and write a profile of it
///
/// Takes the options of `wasmtime run`. The guest's stdin, stdout, stderr and exit code are its own.
#[derive(Parser)]
pub(super) struct RunArguments {
    /// Write the profile to this file (repeatable). Its name tells the format: .json.gz or .json for the Firefox Profiler,
    /// which the other commands read, .html for a report, .svg for a flame graph by interface, .folded for stacks,
    /// .pb.gz or .pb for pprof [default: witprof-<WASM>.json.gz]
    #[arg(short, long, value_name = "FILE")]
    output: Vec<PathBuf>,

    /// Time between two samples
    #[arg(long, value_name = "TIME", default_value = "1ms", value_parser = parse_interval)]
    interval: Duration,

    /// How samples are taken
    #[arg(long, value_name = "SAMPLER", value_enum, default_value_t)]
    sampler: Sampler,

    /// The time that counts, for the signal sampler
    #[arg(long, value_name = "CLOCK", value_enum, default_value_t)]
    clock: Clock,

    /// Print nothing but errors
    #[arg(long)]
    quiet: bool,

    #[command(flatten)]
    wasmtime: RunCommand,
}

fn parse_interval(text: &str) -> Result<Duration> {
    let interval = humantime::parse_duration(text).map_err(|_| anyhow!("not a time such as `1ms` or `250us`"))?;
    let (min, max) = (Recorder::MIN_INTERVAL, Recorder::MAX_INTERVAL);
    if interval < min || interval > max {
        bail!("has to be from {min:?} to {max:?}");
    }
    Ok(interval)
}

pub(super) fn run(arguments: RunArguments) -> Result<ExitCode> {
    let RunArguments { output, interval, sampler, clock, quiet, wasmtime } = arguments;
    let Some(path) = wasmtime.module_and_args.first() else { bail!("no WebAssembly file was given") };
    let file = WasmFile::read(Path::new(path))?;
    let outputs = if output.is_empty() { vec![default_output(&file)] } else { output };
    let outputs = OutputFile::open_all(&outputs, file.path())?;
    let verbosity = if quiet { Verbosity::Quiet } else { Verbosity::Normal };
    let sampling = Sampling { interval, choice: sampler.into(), clock: clock.into() };
    host::run(GuestRun { command: wasmtime, file, sampling, outputs, verbosity })
}

fn default_output(file: &WasmFile) -> PathBuf {
    PathBuf::from(format!("witprof-{}.json.gz", file.stem()))
}
