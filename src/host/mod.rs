//! How a guest is run.
//!
//! Loading, linking and running are `wasmtime-cli`'s own where it lets us; what is here is what a profiler adds: checks
//! whose messages say what to do, a recorder around the run ([`recording`]), and a profile that is written however the
//! run ends ([`ending`]). A server is driven by ourselves ([`serve`]), because `wasmtime-cli` polls its guests where no
//! recorder reaches them.

mod captures;
mod checks;
mod closed_pipes;
mod ending;
mod external;
mod providers;
mod push;
mod recording;
mod run;
mod schedule;
mod serve;
mod signals;
mod wasm_file;

use std::sync::{Mutex, MutexGuard, PoisonError};

pub(crate) use captures::{CaptureSignal, Capturing};
pub(crate) use checks::configured;
pub(crate) use closed_pipes::survive_closed_pipes;
pub(crate) use external::ExternalProfilers;
pub(crate) use push::Pushing;
pub(crate) use recording::{CallTracing, Sampling, Verbosity};
pub(crate) use run::{GuestRun, run};
pub(crate) use schedule::{Begin, Meanwhile};
pub(crate) use serve::{GuestServer, RoutePattern, ServerOptions, serve};
pub(crate) use wasm_file::{WasmFile, WasmKind};

/// So many epochs do not pass. Where epochs are compiled in, a store without a deadline is interrupted at once.
const NEVER: u64 = u64::MAX / 2;

/// Wasmtime has an error type of its own; `anyhow` keeps its chain of causes.
pub(crate) fn failed(error: wasmtime::Error) -> anyhow::Error {
    error.into()
}

/// Locks, whoever panicked while holding the lock before: what is behind these locks is valid at every step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
