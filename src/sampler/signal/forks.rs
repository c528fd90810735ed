//! Whether this process is the one that a recorder was started in.
//!
//! A child made by `fork` has copies of all data, but no timers and no threads. To ask for the process's number would be a
//! system call for each activation, and cost as much as all the rest of it.

use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// How many forks lie between this process and the first of its line.
static FORKS: AtomicU32 = AtomicU32::new(0);

/// A process, for [`is_current`](Self::is_current).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Process(u32);

impl Process {
    /// The current one.
    pub(super) fn current() -> Self {
        static COUNTING: Once = Once::new();
        COUNTING.call_once(|| {
            // SAFETY: `count` does nothing but add to an atomic, as is allowed to a child between `fork` and `exec`. If
            // there is no memory for the registration, a child takes itself for its parent, and waits for nothing it
            // has not got: its recorders have no threads there that hold a lock for long.
            unsafe { libc::pthread_atfork(None, None, Some(count)) };
        });
        Self(FORKS.load(Ordering::Relaxed))
    }

    /// Whether it is the current one.
    pub(super) fn is_current(self) -> bool {
        self.0 == FORKS.load(Ordering::Relaxed)
    }
}

/// Called in a child, before `fork` returns.
extern "C" fn count() {
    FORKS.fetch_add(1, Ordering::Relaxed);
}
