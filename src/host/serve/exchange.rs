//! Requests and their answers, as the profile sees them.

use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use hyper::{Method, Request};
use witprof::export::{MetricKind, MetricsPage};
use witprof::{Labels, Recorder, Span, TraceContext};

use super::cpu_time::Meter;
use super::measured::{Measured, add_to_page};
use super::routes::{RoutePattern, Routes, route_of, shortened};
use crate::host::lock;

/// What is kept of a route.
#[derive(Clone, Debug)]
struct OfRoute {
    labels: Labels,
    measured: Arc<Measured>,
}

/// All exchanges of a server: those that are over are in the recording.
#[derive(Debug)]
pub(super) struct Ledger {
    recorder: Arc<Recorder>,
    /// The same moment on the clock and in the recording, whose own clock takes a lock.
    origin: (Instant, Duration),
    patterns: Vec<RoutePattern>,
    /// Whether the recording tells them apart.
    tells_requests: bool,
    routes: Mutex<Routes<OfRoute>>,
    begun: AtomicU64,
    failed: AtomicU64,
    ended: AtomicU64,
}

impl Ledger {
    pub(super) fn new(recorder: Arc<Recorder>, patterns: Vec<RoutePattern>, tells_requests: bool) -> Self {
        let none = AtomicU64::default;
        let origin = (Instant::now(), recorder.elapsed());
        Self {
            recorder,
            origin,
            patterns,
            tells_requests,
            routes: Mutex::default(),
            begun: none(),
            failed: none(),
            ended: none(),
        }
    }

    /// A request begins to be answered.
    ///
    /// Its labels are told apart from those of others if somebody may ask for it alone.
    pub(super) fn begin<B>(self: &Arc<Self>, request: &Request<B>) -> Arc<Exchange> {
        self.begun.fetch_add(1, Ordering::Relaxed);
        let start = Instant::now();
        let path = request.uri().path();
        let (name, OfRoute { labels, measured }) = self.route(request.method().as_str(), path);
        Arc::new(Exchange {
            name,
            method: request.method().clone(),
            path: shortened(path).into(),
            measured,
            own_labels: self.own_labels(&labels, request),
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

    /// What requests for `path` are called, and what is kept of those.
    fn route(&self, method: &str, path: &str) -> (Arc<str>, OfRoute) {
        let route = route_of(&self.patterns, path);
        let of_route = |method: &str, route: &str| OfRoute {
            labels: self.recorder.labels([("method", method), ("route", route)]),
            measured: Arc::default(),
        };
        lock(&self.routes).entry(method, &route, of_route)
    }

    /// Adds to a page what there was of all routes.
    pub(super) fn add_to_page(&self, page: &mut MetricsPage) {
        let routes = lock(&self.routes);
        let mut rows: Vec<(&str, &str, &Measured)> = routes
            .iter()
            .map(|(name, of)| {
                let (method, route) = name.split_once(' ').unwrap_or((name, name));
                (method, route, &*of.measured)
            })
            .collect();
        rows.sort_by_key(|(method, route, _)| (*route, *method));
        add_to_page(page, rows.into_iter());
        drop(routes);
        page.metric("witprof_requests_open", MetricKind::Gauge, "Requests that are being answered.");
        page.count("witprof_requests_open", &[], self.open());
    }

    /// The labels of one request: with its place in a trace, if the client says that it has one.
    fn own_labels<B>(&self, labels: &Labels, request: &Request<B>) -> Labels {
        if !self.tells_requests {
            return labels.clone();
        }
        let parent = request.headers().get("traceparent").and_then(|value| value.to_str().ok());
        match parent.and_then(TraceContext::from_traceparent) {
            Some(context) => labels.trace(context),
            None => labels.request(),
        }
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

/// One request and its answer. It is over, and recorded, when it is dropped: when the guest has done what it was called
/// for, and the answer is sent.
#[derive(Debug)]
pub(super) struct Exchange {
    name: Arc<str>,
    method: Method,
    path: Box<str>,
    /// Those of its route, and its own.
    labels: Labels,
    own_labels: Labels,
    measured: Arc<Measured>,
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
    /// `GET /user/7`: what was asked for, not its route
    pub(super) fn request(&self) -> String {
        format!("{} {}", shortened(self.method.as_str()), self.path)
    }

    /// The labels of its route.
    pub(super) fn labels(&self) -> &Labels {
        &self.labels
    }

    /// The same for what is done for it alone.
    pub(super) fn own_labels(&self) -> &Labels {
        &self.own_labels
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

    /// How long it took.
    fn wall(&self) -> Duration {
        match self.end.load(Ordering::Relaxed) {
            0 => self.start.elapsed(),
            nanos => Duration::from_nanos(nanos),
        }
    }

    fn span(&self) -> Span {
        let status = match self.status.load(Ordering::Relaxed) {
            0 => "no answer".to_owned(),
            status => status.to_string(),
        };
        let span = Span::new(&*self.name, self.begin, self.wall()).detail(status).path(&*self.path);
        let span = span.labels(&self.own_labels);
        let span = if self.has_failed.load(Ordering::Relaxed) { span.failed() } else { span };
        match self.cpu.total() {
            Some(cpu) if !self.has_company.load(Ordering::Relaxed) => span.cpu(cpu),
            _ => span,
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.ledger.recorder.record_span(self.span());
        let has_failed = self.has_failed.load(Ordering::Relaxed);
        self.measured.add(self.wall(), has_failed);
        if has_failed {
            self.ledger.failed.fetch_add(1, Ordering::Relaxed);
        }
        self.ledger.ended.fetch_add(1, Ordering::AcqRel);
    }
}
