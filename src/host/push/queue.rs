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
    /// What an answer complains of, though it says that the request was taken.
    complaint: fn(&[u8]) -> Option<String>,
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
    pub(super) fn new(target: Target, complaint: fn(&[u8]) -> Option<String>) -> Self {
        let (waiting, has_changed, counts) = (Mutex::default(), Notify::new(), Counts::default());
        Self { target, complaint, waiting, has_changed, counts }
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

    /// How many requests wait, the one that is being sent included.
    pub(super) fn waiting(&self) -> usize {
        let waiting = lock(&self.waiting);
        waiting.bodies.len() + usize::from(waiting.is_busy)
    }

    /// How many requests were taken, were given up, and how often one was tried again.
    pub(super) fn counts(&self) -> (u64, u64, u64) {
        let Counts { sent, dropped, retries } = &self.counts;
        (sent.load(Ordering::Relaxed), dropped.load(Ordering::Relaxed), retries.load(Ordering::Relaxed))
    }

    /// Sends what comes, one after the other, for ever. `say` is told of the first failure, and of the first success after it.
    pub(super) async fn send(&self, say: impl Fn(&str)) {
        let mut problems = Problems { target: self.target.shown(), is_known: false, say };
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
            let is_sent = self.try_to_send(body, &mut problems).await;
            let counter = if is_sent { &self.counts.sent } else { &self.counts.dropped };
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends a request. Returns whether it was taken.
    async fn try_to_send(&self, body: Bytes, problems: &mut Problems<impl Fn(&str)>) -> bool {
        let mut wait = FIRST_WAIT;
        for tries in 1.. {
            match self.target.post(body.clone()).await {
                Outcome::Taken(answer) => {
                    match (self.complaint)(&answer) {
                        Some(complaint) => problems.met(&complaint),
                        None => problems.gone(),
                    }
                    return true;
                }
                Outcome::Refused(problem) => {
                    problems.met(&problem);
                    return false;
                }
                Outcome::Later(problem, _) if tries >= MAX_TRIES => {
                    problems.met(&problem);
                    return false;
                }
                Outcome::Later(problem, wanted) => {
                    problems.met(&problem);
                    self.counts.retries.fetch_add(1, Ordering::Relaxed);
                    tokio::time::sleep(wanted.unwrap_or_else(|| jittered(wait))).await;
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
        }
        false
    }
}

/// What goes wrong with a collector, told once until it works again.
struct Problems<S> {
    target: String,
    is_known: bool,
    say: S,
}

impl<S: Fn(&str)> Problems<S> {
    fn met(&mut self, problem: &str) {
        if !std::mem::replace(&mut self.is_known, true) {
            (self.say)(&format!("{} does not take profiles: {problem}", self.target));
        }
    }

    fn gone(&mut self) {
        if std::mem::take(&mut self.is_known) {
            (self.say)(&format!("{} takes profiles again", self.target));
        }
    }
}

/// From half of a time to all of it, so that many services do not come back at once.
fn jittered(time: Duration) -> Duration {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    time / 2 + (time / 2).mul_f64(f64::from(now.subsec_nanos() % 1000) / 1000.0)
}
