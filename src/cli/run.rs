//! `witprof run`: run a component or module, and write a profile of it.

use std::path::Path;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use wasmtime_cli::commands::RunCommand;

use super::profiling::ProfilingArguments;
use crate::host::{self, GuestRun, WasmFile};

/// Run a component or module as `wasmtime run` does, and write a profile of it
///
/// Takes the options of `wasmtime run`. The guest's stdin, stdout, stderr and exit code are its own.
#[derive(Parser)]
pub(super) struct RunArguments {
    #[command(flatten)]
    profiling: ProfilingArguments,

    #[command(flatten)]
    wasmtime: RunCommand,
}

pub(super) fn run(arguments: RunArguments) -> Result<ExitCode> {
    let RunArguments { profiling, wasmtime } = arguments;
    let Some(path) = wasmtime.module_and_args.first() else { bail!("no WebAssembly file was given") };
    let file = WasmFile::read(Path::new(path))?;
    let outputs = profiling.open_outputs(&file)?;
    let (sampling, verbosity) = (profiling.sampling(), profiling.verbosity());
    host::run(GuestRun { command: wasmtime, file, sampling, outputs, verbosity })
}
