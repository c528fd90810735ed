//! CPU time of a future: that of the threads that poll it, while they do.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;

/// Adds up CPU time.
#[derive(Debug, Default)]
pub(super) struct Meter {
    nanos: AtomicU64,
}

impl Meter {
    pub(super) fn add(&self, time: Duration) {
        self.nanos.fetch_add(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The sum. `None` where the platform does not tell what to add.
    pub(super) fn total(&self) -> Option<Duration> {
        cfg!(unix).then(|| Duration::from_nanos(self.nanos.load(Ordering::Relaxed)))
    }
}

pin_project! {
    /// A future whose CPU time goes to a meter. Goes around what is recorded, not into it: a thread is likely to lose its CPU in
    /// the system call that reads the clock, and that is not the guest's time.
    pub(super) struct CpuTimed<'m, F> {
        #[pin]
        future: F,
        meter: &'m Meter,
    }
}

impl<'m, F> CpuTimed<'m, F> {
    pub(super) fn new(future: F, meter: &'m Meter) -> Self {
        Self { future, meter }
    }
}

impl<F: Future> Future for CpuTimed<'_, F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let before = thread_cpu_time();
        let result = this.future.poll(context);
        this.meter.add(thread_cpu_time().saturating_sub(before));
        result
    }
}

/// CPU time of the current thread since it started.
#[cfg(unix)]
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

#[cfg(not(unix))]
fn thread_cpu_time() -> Duration {
    Duration::ZERO
}
