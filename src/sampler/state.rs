//! Whether a recording goes on.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};

/// Whether a recording goes on, is paused, or is over; what all who record have in common.
///
/// Who becomes active and who resumes look at what the other has written: each writes first and reads then, so all of it is
/// sequentially consistent.
#[derive(Debug, Default)]
pub(crate) struct RecordingState {
    is_stopped: AtomicBool,
    /// How often it has been paused and resumed: odd while it is paused.
    changes: AtomicU32,
}

impl RecordingState {
    /// Ends the recording, for good.
    pub(crate) fn stop(&self) {
        self.is_stopped.store(true, Ordering::SeqCst);
    }

    /// Whether it has ended.
    pub(crate) fn is_stopped(&self) -> bool {
        self.is_stopped.load(Ordering::SeqCst)
    }

    /// From now on no time counts.
    pub(crate) fn pause(&self) {
        let pause = |changes: u32| changes.is_multiple_of(2).then(|| changes.wrapping_add(1));
        // Already paused: nothing to do.
        let _ = self.changes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, pause);
    }

    /// Time counts again; `false` if it did already.
    pub(crate) fn resume(&self) -> bool {
        let resume = |changes: u32| (!changes.is_multiple_of(2)).then(|| changes.wrapping_add(1));
        self.changes.fetch_update(Ordering::SeqCst, Ordering::SeqCst, resume).is_ok()
    }

    /// Changes with each pause and each resumption.
    pub(crate) fn pauses(&self) -> u32 {
        self.changes.load(Ordering::SeqCst)
    }

    /// Whether time does not count at the moment.
    pub(crate) fn is_paused(&self) -> bool {
        !self.pauses().is_multiple_of(2)
    }

    /// Whether nothing is to be recorded at the moment.
    pub(crate) fn is_idle(&self) -> bool {
        self.is_stopped() || self.is_paused()
    }
}
