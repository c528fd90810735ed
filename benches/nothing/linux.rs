//! The same, on Linux.

use std::time::Duration;

extern "C" fn ignore(_: libc::c_int) {}

pub(crate) struct Timer(libc::timer_t);

impl Timer {
    /// Sends `SIGUSR1` to this thread at each interval.
    pub(crate) fn start(interval: Duration) -> Self {
        let period = libc::timespec { tv_sec: 0, tv_nsec: i64::from(interval.subsec_nanos()) };
        let setting = libc::itimerspec { it_interval: period, it_value: period };
        // SAFETY: all-zero bytes are valid for both structures, which are made of numbers; the handler does nothing;
        // all pointers are to live values.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            action.sa_sigaction = ignore as extern "C" fn(libc::c_int) as usize;
            action.sa_flags = libc::SA_RESTART;
            assert_eq!(libc::sigaction(libc::SIGUSR1, &raw const action, std::ptr::null_mut()), 0);
            let mut event: libc::sigevent = std::mem::zeroed();
            event.sigev_notify = libc::SIGEV_THREAD_ID;
            event.sigev_signo = libc::SIGUSR1;
            event.sigev_notify_thread_id = libc::gettid();
            let mut timer = std::ptr::null_mut();
            assert_eq!(libc::timer_create(libc::CLOCK_MONOTONIC, &raw mut event, &raw mut timer), 0);
            assert_eq!(libc::timer_settime(timer, 0, &raw const setting, std::ptr::null_mut()), 0);
            Self(timer)
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        // SAFETY: made above, deleted once.
        unsafe { libc::timer_delete(self.0) };
    }
}
