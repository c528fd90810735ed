//! `witprof`, the profiler for WebAssembly components: the command line around the library.

mod cli;
mod files;
mod host;
mod terminal;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
