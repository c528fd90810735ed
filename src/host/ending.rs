//! However a run ends, its profile is written.
//!
//! `wasmtime-cli` ends the process itself when a guest exits or traps, in the middle of its own function, so nothing
//! on the stack is dropped. A signal ends it from another thread. So what is left to do is kept here, and done exactly
//! once by whoever comes first: the run that returned, the signal, or the process's exit handler.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;

use super::lock;

type Last = Box<dyn FnOnce() + Send>;

static LAST: Mutex<Option<Last>> = Mutex::new(None);

/// Has `last` done before the process ends.
pub(super) fn before_exit(last: impl FnOnce() + Send + 'static) {
    *lock(&LAST) = Some(Box::new(last));
}

/// Does it now. Waits if another thread is doing it.
pub(super) fn do_last() {
    let mut last = lock(&LAST);
    if let Some(last) = last.take() {
        last();
    }
}

/// Ends the process at once, whatever is being done: `exit` would wait for it.
pub(super) fn kill() {
    #[cfg(unix)]
    let _ = rustix::process::kill_process(rustix::process::getpid(), rustix::process::Signal::KILL);
    std::process::abort();
}

dtor::declarative::dtor! {
    // Runs inside `exit`, after `main` and thread-local destructors. What it does is limited to what works there:
    // locks, files and stderr do; a panic must not leave it.
    #[dtor(unsafe)]
    fn at_exit() {
        let _ = catch_unwind(AssertUnwindSafe(do_last));
    }
}
