//! A timer that sends a signal to one thread.

use std::ffi::c_int;
use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::walk::keeping_errno;
use crate::sampler::SamplingClock;

/// A POSIX timer of one thread. Stopped when made; deleted when dropped, or before.
#[derive(Debug)]
pub(super) struct Timer {
    id: libc::timer_t,
    period: libc::timespec,
    is_deleted: AtomicBool,
}

// SAFETY: a timer id is a number to the kernel, valid in the whole process.
unsafe impl Send for Timer {}
// SAFETY: as above; the system calls are atomic.
unsafe impl Sync for Timer {}

impl Timer {
    /// A timer that sends `signal` with `value` to the current thread.
    pub(super) fn for_current_thread(
        clock: SamplingClock,
        signal: c_int,
        value: usize,
        period: Duration,
    ) -> io::Result<Self> {
        let clock = match clock {
            SamplingClock::Wall => libc::CLOCK_MONOTONIC,
            SamplingClock::Cpu => libc::CLOCK_THREAD_CPUTIME_ID,
        };
        // SAFETY: all-zero bytes are a valid `sigevent`, which is made of numbers.
        let mut event: libc::sigevent = unsafe { std::mem::zeroed() };
        event.sigev_notify = libc::SIGEV_THREAD_ID;
        event.sigev_signo = signal;
        event.sigev_value = libc::sigval { sival_ptr: value as *mut libc::c_void };
        // SAFETY: no arguments, no preconditions.
        event.sigev_notify_thread_id = unsafe { libc::gettid() };
        let mut id: libc::timer_t = std::ptr::null_mut();
        // SAFETY: both pointers are to live values of the right type.
        if unsafe { libc::timer_create(clock, &raw mut event, &raw mut id) } != 0 {
            return Err(io::Error::last_os_error());
        }
        Ok(Self { id, period: timespec(period), is_deleted: AtomicBool::new(false) })
    }

    /// A timer that was deleted.
    pub(super) fn deleted() -> Self {
        let id = std::ptr::null_mut();
        Self { id, period: timespec(Duration::ZERO), is_deleted: AtomicBool::new(true) }
    }

    /// Deletes the timer. A signal may still be on its way.
    pub(super) fn delete(&self) {
        if !self.is_deleted.swap(true, Ordering::SeqCst) {
            // SAFETY: made by `timer_create`, and deleted once. Its owner sees to it that nobody sets it from now on.
            unsafe { libc::timer_delete(self.id) };
        }
    }

    /// Starts the timer, or starts it anew: the first signal comes after `first`.
    ///
    /// # Errors
    /// The system refuses it, as sandboxes do.
    pub(super) fn start(&self, first: Duration) -> io::Result<()> {
        self.set(timespec(first.max(Duration::from_nanos(1))), self.period)
    }

    /// Stops the timer. A signal may still be on its way. May be called by a signal handler.
    pub(super) fn stop(&self) {
        let zero = timespec(Duration::ZERO);
        // One that cannot be stopped is not one that could be started.
        let _ = self.set(zero, zero);
    }

    fn set(&self, first: libc::timespec, period: libc::timespec) -> io::Result<()> {
        let setting = libc::itimerspec { it_interval: period, it_value: first };
        if self.is_deleted.load(Ordering::SeqCst) {
            return Ok(());
        }
        keeping_errno(|| {
            // SAFETY: the setting is valid, and the old one is not asked for. A timer that does not exist is an error.
            match unsafe { libc::timer_settime(self.id, 0, &raw const setting, std::ptr::null_mut()) } {
                0 => Ok(()),
                _ => Err(io::Error::last_os_error()),
            }
        })
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.delete();
    }
}

fn timespec(time: Duration) -> libc::timespec {
    // SAFETY: all-zero bytes are a valid `timespec`, which is made of numbers (and of padding on some targets).
    let mut spec: libc::timespec = unsafe { std::mem::zeroed() };
    spec.tv_sec = libc::time_t::try_from(time.as_secs()).unwrap_or(libc::time_t::MAX);
    spec.tv_nsec = libc::c_long::from(time.subsec_nanos().cast_signed());
    spec
}
