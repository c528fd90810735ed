//! The thread that advances epochs.

use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use wasmtime::Engine;

use crate::lock::lock;

/// Advances the epoch of some engines once per interval, until it is stopped or dropped.
#[derive(Debug)]
pub(crate) struct Ticker {
    stop: Arc<(Mutex<bool>, Condvar)>,
    thread: Option<JoinHandle<()>>,
    /// The number of the process that has the thread.
    process: u32,
}

impl Ticker {
    /// Starts ticking. Whoever changes `engines` changes whose epochs are advanced.
    pub(crate) fn start(engines: Arc<Mutex<Vec<Engine>>>, interval: Duration) -> std::io::Result<Self> {
        let stop = Arc::new((Mutex::new(false), Condvar::new()));
        let stopped = Arc::clone(&stop);
        let builder = std::thread::Builder::new().name("witprof-ticker".to_owned());
        let thread = builder.spawn(move || tick(&engines, interval, &stopped))?;
        Ok(Self { stop, thread: Some(thread), process: std::process::id() })
    }

    /// Stops ticking and waits for the thread to end.
    pub(crate) fn stop(&mut self) {
        let Some(thread) = self.thread.take() else { return };
        if self.process != std::process::id() {
            // A child made by `fork` has no such thread, but may have the lock as it was held by it.
            std::mem::forget(thread);
            return;
        }
        let (flag, signal) = &*self.stop;
        *lock(flag) = true;
        signal.notify_all();
        // The thread cannot panic: it only waits and adds to a counter.
        let _ = thread.join();
    }
}

impl Drop for Ticker {
    fn drop(&mut self) {
        self.stop();
    }
}

fn tick(engines: &Mutex<Vec<Engine>>, interval: Duration, (flag, signal): &(Mutex<bool>, Condvar)) {
    // Ticks are kept on a grid: a late wake-up must not stretch every interval after it.
    let mut next = Instant::now() + interval;
    let mut stop = lock(flag);
    while !*stop {
        let now = Instant::now();
        if now < next {
            (stop, _) = signal.wait_timeout(stop, next - now).unwrap_or_else(PoisonError::into_inner);
            continue;
        }
        for engine in &*lock(engines) {
            engine.increment_epoch();
        }
        next += interval;
        if next < now {
            // The machine slept; there is nothing to catch up on.
            next = now + interval;
        }
    }
}
