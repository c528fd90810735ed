//! A signal that is kept for a recorder.

use crate::error::SignalProblem;
use crate::sampler::signal::Reservation;

/// A signal that nobody else can take before a recorder does, and the knowledge that the system lets a recorder use it.
/// Made by [`Recorder::reserve_signal`](crate::Recorder::reserve_signal); drop it when the recorder has started.
#[derive(Debug)]
pub struct ReservedSignal {
    reservation: Reservation,
}

impl ReservedSignal {
    pub(crate) fn new(reservation: Reservation) -> Self {
        Self { reservation }
    }

    /// Its number, for [`RecorderBuilder::signal`](crate::RecorderBuilder::signal).
    #[must_use]
    pub fn signal(&self) -> i32 {
        self.reservation.signal()
    }

    /// Why it is not `SIGPROF`, if any signal would have done.
    #[must_use]
    pub fn instead(&self) -> Option<&SignalProblem> {
        self.reservation.instead()
    }
}
