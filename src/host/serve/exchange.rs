//! Requests and their answers, as the profile sees them.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::Request;
use witprof::{Labels, Recorder, Span};

use super::cpu_time::Meter;
use crate::host::lock;

/// Bytes of a path that are kept in names and labels. Clients choose them.
const MAX_PATH: usize = 200;

/// Routes whose labels are kept at hand. When there are more, they are made anew, which costs a lock.
const MAX_ROUTES: usize = 4096;

/// All exchanges of a server: those that are over are in the recording.
#[derive(Debug)]
pub(super) struct Ledger {
    recorder: Arc<Recorder>,
    /// The same moment on the clock and in the recording, whose own clock takes a lock.
    origin: (Instant, Duration),
    routes: Mutex<HashMap<Arc<str>, Labels>>,
    begun: AtomicU64,
    failed: AtomicU64,
    ended: AtomicU64,
}

impl Ledger {
    pub(super) fn new(recorder: Arc<Recorder>) -> Self {
        let none = AtomicU64::default;
        let origin = (Instant::now(), recorder.elapsed());
        Self { recorder, origin, routes: Mutex::default(), begun: none(), failed: none(), ended: none() }
    }

    /// A request begins to be answered.
    pub(super) fn begin<B>(self: &Arc<Self>, request: &Request<B>) -> Arc<Exchange> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let (name, labels) = self.route(request.method().as_str(), request.uri().path());
        Arc::new(Exchange {
            name,
            labels,
            begin: self.origin.1 + start.saturating_duration_since(self.origin.0),
            start,
            end: AtomicU64::new(0),
            status: AtomicU16::new(0),
            has_failed: AtomicBool::new(false),
            is_sent: AtomicBool::new(false),
            cpu: Meter::default(),
            has_company: AtomicBool::new(false),
            ledger: Arc::clone(self),
        })
    }

    /// What requests for `path` are called, and their labels.
    fn route(&self, method: &str, path: &str) -> (Arc<str>, Labels) {
        let (method, path) = (shortened(method), shortened(path));
        let name = format!("{method} {path}");
        if let Some((name, labels)) = lock(&self.routes).get_key_value(name.as_str()) {
            return (Arc::clone(name), labels.clone());
        }
        let name: Arc<str> = name.into();
        let labels = self.recorder.labels([("method", method), ("route", path)]);
        let mut routes = lock(&self.routes);
        if routes.len() >= MAX_ROUTES {
            routes.clear();
        }
        routes.insert(Arc::clone(&name), labels.clone());
        (name, labels)
    }

    /// How many requests are being answered.
    pub(super) fn open(&self) -> u64 {
        // In this order, so that there are never fewer than none.
        let ended = self.ended.load(Ordering::Acquire);
        self.begun.load(Ordering::Acquire).saturating_sub(ended)
    }

    /// `3 requests, 1 failed`
    pub(super) fn summary(&self) -> String {
        let (begun, failed) = (self.begun.load(Ordering::Relaxed), self.failed.load(Ordering::Relaxed));
        let plural = if begun == 1 { "" } else { "s" };
        format!("{begun} request{plural}, {failed} failed")
    }
}

/// The beginning of a text, which says that it is one.
fn shortened(text: &str) -> String {
    if text.len() <= MAX_PATH {
        return text.to_owned();
    }
    format!("{}…", &text[..text.floor_char_boundary(MAX_PATH)])
}

/// One request and its answer. It is over, and recorded, when it is dropped: when the guest has done what it was called
/// for, and the answer is sent.
#[derive(Debug)]
pub(super) struct Exchange {
    name: Arc<str>,
    labels: Labels,
    /// Time of the recording.
    begin: Duration,
    start: Instant,
    /// Nanoseconds until the guest returned, or the answer was sent, whichever is later; it may be let go of much later.
    end: AtomicU64,
    /// 0 as long as there is none.
    status: AtomicU16,
    has_failed: AtomicBool,
    is_sent: AtomicBool,
    cpu: Meter,
    /// Whether it was in an instance together with others, so that its part of the CPU time is not known.
    has_company: AtomicBool,
    ledger: Arc<Ledger>,
}

impl Exchange {
    /// `GET /cart`
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// Whether an exchange is for the same route, so that the two have the same labels.
    pub(super) fn is_like(&self, other: &Self) -> bool {
        self.name == other.name
    }

    pub(super) fn cpu(&self) -> &Meter {
        &self.cpu
    }

    pub(super) fn in_company(&self) {
        self.has_company.store(true, Ordering::Relaxed);
    }

    pub(super) fn answered(&self, status: u16) {
        self.status.store(status, Ordering::Relaxed);
    }

    pub(super) fn fail(&self) {
        self.has_failed.store(true, Ordering::Relaxed);
    }

    /// Whether nobody waits for more of the answer.
    pub(super) fn is_sent(&self) -> bool {
        self.is_sent.load(Ordering::Acquire)
    }

    pub(super) fn sent(&self) {
        self.ends_now();
        self.is_sent.store(true, Ordering::Release);
    }

    /// The guest has returned.
    pub(super) fn ends_now(&self) {
        let nanos = u64::try_from(self.start.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.end.fetch_max(nanos, Ordering::Relaxed);
    }

    fn span(&self) -> Span {
        let status = match self.status.load(Ordering::Relaxed) {
            0 => "no answer".to_owned(),
            status => status.to_string(),
        };
        let wall = match self.end.load(Ordering::Relaxed) {
            0 => self.start.elapsed(),
            nanos => Duration::from_nanos(nanos),
        };
        let span = Span::new(&*self.name, self.begin, wall).detail(status);
        match self.cpu.total() {
            Some(cpu) if !self.has_company.load(Ordering::Relaxed) => span.cpu(cpu),
            _ => span,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.ledger.recorder.record_span(self.span());
        if self.has_failed.load(Ordering::Relaxed) {
            self.ledger.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.ledger.ended.fetch_add(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_paths_are_cut_between_characters() {
        assert_eq!(shortened("/cart"), "/cart");
        let cut = shortened(&format!("/{}", "ü".repeat(MAX_PATH)));
        assert!(cut.len() <= MAX_PATH + "…".len() && cut.ends_with("ü…"), "{cut}");
    }
}
