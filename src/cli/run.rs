//! `witprof run`: run a component or module, and write a profile of it.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, bail};
use clap::Parser;
use wasmtime_cli::commands::RunCommand;

use super::arguments::{RECORDING, WASMTIMES};
use super::capturing::{CapturingArguments, parse_time};
use super::profiling::ProfilingArguments;
use super::pushing::PushingArguments;
use crate::host::{self, GuestRun, Meanwhile, WasmFile};

/// Run a component or module as `wasmtime run` does, and write a profile of it
///
/// Takes the options of `wasmtime run`. The guest's stdin, stdout, stderr and exit code are its own.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct RunArguments {
    #[command(flatten)]
    profiling: ProfilingArguments,

    #[command(flatten)]
    capturing: CapturingArguments,

    #[command(flatten)]
    pushing: PushingArguments,

    /// Record for so long, and write the profile. The guest goes on
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = RECORDING)]
    duration: Option<Duration>,

    #[command(flatten, next_help_heading = WASMTIMES)]
    wasmtime: RunCommand,
}

const EXAMPLES: &str = "\
Examples:
  # options of Wasmtime, then arguments of the guest
  witprof run --dir . app.wasm input.txt
  # every call across an interface, as a web page
  witprof run --trace-calls -o calls.html app.wasm";

pub(super) fn run(arguments: RunArguments) -> Result<ExitCode> {
    let RunArguments { profiling, capturing, pushing, duration, wasmtime } = arguments;
    let Some(path) = wasmtime.module_and_args.first() else { bail!("no WebAssembly file was given") };
    let file = WasmFile::read(Path::new(path))?;
    let outputs = profiling.open_outputs(&file)?;
    let (sampling, verbosity) = (
        profiling.sampling(capturing.kept(pushing.is_asked_for() && profiling.has_no_output())),
        profiling.verbosity(),
    );
    let pushing = pushing.pushing(outputs.shown.host_frames);
    let (capturing, meanwhile) = (capturing.capturing(Vec::new()), Meanwhile { duration, every: profiling.every() });
    host::run(GuestRun { command: wasmtime, file, sampling, outputs, capturing, pushing, meanwhile, verbosity })
}
