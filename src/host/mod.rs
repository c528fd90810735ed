//! How a guest is run.
//!
//! Loading, linking and running are `wasmtime-cli`'s own; what is here is what a profiler adds: checks whose messages
//! say what to do, a recorder around the run, and a profile that is written however the run ends ([`ending`]).

mod checks;
mod ending;
mod run;
mod wasm_file;

pub(crate) use run::{GuestRun, Sampling, Verbosity, run};
pub(crate) use wasm_file::{WasmFile, WasmKind};

/// Wasmtime has an error type of its own; `anyhow` keeps its chain of causes.
pub(crate) fn failed(error: wasmtime::Error) -> anyhow::Error {
    error.into()
}
