//! What waits to be sent to one collector: so many bytes, of which the oldest go first.

use std::collections::VecDeque;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Bytes;
use tokio::sync::Notify;

use super::client::{Outcome, Target};
use crate::host::lock;

/// Bytes that may wait.
const MAX_BYTES: usize = 32 << 20;

/// How often one request is tried.
const MAX_TRIES: u32 = 8;

/// The first time between two tries, and the longest.
const FIRST_WAIT: Duration = Duration::from_millis(500);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// What waits for one collector.
#[derive(Debug)]
pub(super) struct Queue {
    pub(super) target: Target,
    waiting: Mutex<Waiting>,
    has_changed: Notify,
    counts: Counts,
}

#[derive(Debug, Default)]
struct Waiting {
    bodies: VecDeque<Bytes>,
    bytes: usize,
    /// Whether one is being sent.
    is_busy: bool,
}

/// What has become of the requests to a collector.
#[derive(Debug, Default)]
struct Counts {
    sent: AtomicU64,
    dropped: AtomicU64,
    retries: AtomicU64,
}

impl Queue {
    pub(super) fn new(target: Target) -> Self {
        Self { target, waiting: Mutex::default(), has_changed: Notify::new(), counts: Counts::default() }
    }

    /// Adds a request, in the place of the oldest if there are too many.
    pub(super) fn push(&self, body: Bytes) {
        let mut waiting = lock(&self.waiting);
        waiting.bytes += body.len();
        waiting.bodies.push_back(body);
        while waiting.bytes > MAX_BYTES {
            let Some(oldest) = waiting.bodies.pop_front() else { break };
            waiting.bytes -= oldest.len();
            self.counts.dropped.fetch_add(1, Ordering::Relaxed);
        }
        drop(waiting);
        self.has_changed.notify_one();
    }

    /// How many requests were taken, were given up, and how often one was tried again.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let Counts { sent, dropped, retries } = &self.counts;
        (sent.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed), retries.load(Ordering::Relaxed))
    }

    /// Whether everything is sent or given up.
    pub(super) fn is_idle(&self) -> bool {
        let waiting = lock(&self.waiting);
        waiting.bodies.is_empty() && !waiting.is_busy
    }

    /// Sends what comes, one after the other, for ever. `say` is told of the first failure, and of the first success after it.
    pub(super) async fn send(&self, say: impl Fn(&str)) {
        let mut has_failed = false;
        loop {
            let next = {
                let mut waiting = lock(&self.waiting);
                let next = waiting.bodies.pop_front();
                waiting.bytes -= next.as_ref().map_or(0, Bytes::len);
                waiting.is_busy = next.is_some();
                next
            };
            let Some(body) = next else {
                self.has_changed.notified().await;
                continue;
            };
            match self.try_to_send(body).await {
                Ok(()) => {
                    self.counts.sent.fetch_add(1, Ordering::Relaxed);
                    if std::mem::take(&mut has_failed) {
                        say(&format!("{} takes profiles again", self.target.shown()));
                    }
                }
                Err(problem) => {
                    self.counts.dropped.fetch_add(1, Ordering::Relaxed);
                    if !std::mem::replace(&mut has_failed, true) {
                        say(&format!("{} does not take profiles: {problem}", self.target.shown()));
                    }
                }
            }
        }
    }

    async fn try_to_send(&self, body: Bytes) -> Result<(), String> {
        let mut wait = FIRST_WAIT;
        for tries in 1.. {
            match self.target.post(body.clone()).await {
                Outcome::Taken => return Ok(()),
                Outcome::Refused(problem) => return Err(problem),
                Outcome::Later(problem, _) if tries >= MAX_TRIES => return Err(problem),
                Outcome::Later(_, wanted) => {
                    self.counts.retries.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(wanted.unwrap_or_else(|| jittered(wait))).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        Ok(())
    }
}

/// From half of a time to all of it, so that many services do not come back at once.
fn jittered(time: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    time / 2 + (time / 2).mul_f64(f64::from(now.subsec_nanos() % 1000) / 1000.0)
}
