//! Pipes that nobody reads any more, as after `head`.
//!
//! What we print goes past such a pipe. Wasmtime's command line prints traps and results by `eprintln!` and `println!`, which
//! panic then. That is no reason to end otherwise than with the guest's own exit code, or to say anything.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind, set_hook, take_hook};
use std::process::ExitCode;

use super::ending;

/// The exit code of a guest that traps: as after SIGABRT in a shell, as Wasmtime has it.
const EXIT_TRAP: u8 = if cfg!(unix) { 128 + 6 } else { 3 };

/// Carries `command` out. If it prints to a pipe that nobody reads, that is its end, and the rest is done as ever.
pub(crate) fn survive_closed_pipes(command: fn() -> ExitCode) -> ExitCode {
    let hook = take_hook();
    set_hook(Box::new(move |info| {
        if ClosedPipe::of(info.payload()).is_none() {
            hook(info);
        }
    }));
    catch_unwind(AssertUnwindSafe(command)).unwrap_or_else(|payload| {
        let Some(pipe) = ClosedPipe::of(&*payload) else { resume_unwind(payload) };
        ending::do_last();
        match pipe {
            // Results, which are printed when the guest has returned; or a list of options.
            ClosedPipe::Stdout => ExitCode::SUCCESS,
            // A trap is all that is printed of a guest that has run.
            ClosedPipe::Stderr => ExitCode::from(EXIT_TRAP),
        }
    })
}

/// Which of the two could not be printed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ClosedPipe {
    Stdout,
    Stderr,
}

impl ClosedPipe {
    /// Told by what the standard library's macros panic with, which is a text.
    fn of(payload: &(dyn Any + Send)) -> Option<Self> {
        let message = payload.downcast_ref::<String>()?.strip_prefix("failed printing to ")?;
        let (stream, error) = message.split_once(": ")?;
        match stream {
            _ if error != broken_pipe() => None,
            "stdout" => Some(Self::Stdout),
            "stderr" => Some(Self::Stderr),
            _ => None,
        }
    }
}

fn broken_pipe() -> String {
    #[cfg(unix)]
    const NUMBER: i32 = rustix::io::Errno::PIPE.raw_os_error();
    // `ERROR_NO_DATA`: the pipe is being closed.
    #[cfg(not(unix))]
    const NUMBER: i32 = 232;
    std::io::Error::from_raw_os_error(NUMBER).to_string()
}
