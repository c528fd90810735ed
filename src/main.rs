//! `witprof`, the profiler for WebAssembly components: the command line around the library.

mod cli;
mod host;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
