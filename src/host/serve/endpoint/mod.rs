//! What the running server tells of itself, at an address of its own: profiles, as Go services offer them.
//!
//! Whoever gets there is taken for anybody: there are limits on connections and on what is made at a time. On this machine's own
//! interface, a page of the web that the user looks at must not be able to ask, though it can have a name of its own lead there:
//! so the host that is asked for has to be this one.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc};
use wasmtime_wasi_http::WasiBody;
use witprof::export::MetricsPage;
use witprof::{HostFrames, Metrics, PPROF_INDEX, PPROF_PATH, Recorder, ScrapedProfile};

use super::accept_one;
use super::connection::{converse, page};
use super::exchange::Ledger;
use super::seats::Seats;
use super::shutdown::Shutdown;
use crate::files::shown_path;
use crate::host::captures::CaptureWriter;
use crate::terminal;

/// Where Prometheus looks.
const METRICS_PATH: &str = "/metrics";

/// Where captures are asked for.
const CAPTURE_PATH: &str = "/debug/witprof/capture";

/// Connections at a time.
const MAX_CONNECTIONS: usize = 64;

/// Profiles that are taken at a time.
const MAX_SCRAPES: usize = 16;

/// How long a client may take to ask.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);

/// How often times are added up for metrics, at least.
const ADDING_UP: Duration = Duration::from_secs(10);

/// What is told of.
#[derive(Clone, Debug)]
pub(super) struct Sources {
    pub(super) recorder: Arc<Recorder>,
    pub(super) ledger: Arc<Ledger>,
    pub(super) captures: Arc<CaptureWriter>,
    pub(super) host_frames: HostFrames,
}

/// Who answers.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    sources: Sources,
    metrics: Arc<Metrics>,
    /// Whether somebody has asked for metrics; from then on, times are added up this often.
    are_metrics_wanted: Arc<AtomicBool>,
    adding_up: Duration,
    scrapes: Arc<Semaphore>,
    shutdown: Shutdown,
    /// Whoever has the other end knows when all answers are sent.
    _alive: mpsc::Sender<Infallible>,
}

impl Endpoint {
    /// `kept` says how much of the recording is.
    pub(super) fn new(
        sources: Sources,
        kept: Option<Duration>,
        shutdown: Shutdown,
        alive: mpsc::Sender<Infallible>,
    ) -> Self {
        let metrics = Arc::new(Metrics::new(&sources.recorder));
        // Windows are dropped as a whole.
        let adding_up = kept.map_or(ADDING_UP, |kept| (kept / 4).clamp(Duration::from_millis(10), ADDING_UP));
        let (scrapes, are_metrics_wanted) = (Arc::new(Semaphore::new(MAX_SCRAPES)), Arc::default());
        Self { sources, metrics, are_metrics_wanted, adding_up, scrapes, shutdown, _alive: alive }
    }

    /// Answers until the server ends.
    pub(super) async fn serve(self, listener: TcpListener) {
        let seats = Seats::new(MAX_CONNECTIONS);
        loop {
            let (seat, stream) = tokio::select! {
                accepted = accept_one(&listener, &seats) => accepted,
                () = self.shutdown.requested() => return,
            };
            let endpoint = self.clone();
            // Unless it is known, somebody from far away may ask.
            let is_local = stream.local_addr().is_ok_and(|address| address.ip().is_loopback());
            tokio::spawn(async move {
                let answer = |request| endpoint.clone().answer(request, is_local);
                // Whoever hangs up early wants no more of it.
                let _ = converse(stream, seat, HEADER_TIMEOUT, &endpoint.shutdown, answer).await;
            });
        }
    }

    async fn answer(self, request: Request<Incoming>, is_local: bool) -> Response<WasiBody> {
        let (request, _) = request.into_parts();
        if is_local && !is_for_this_machine(request.headers.get(header::HOST)) {
            return text(StatusCode::FORBIDDEN, "the request is for another host\n");
        }
        let is_capture = request.uri.path() == CAPTURE_PATH;
        let is_allowed = if is_capture { request.method == Method::POST } else { is_reading(&request.method) };
        if !is_allowed {
            let allowed = if is_capture { "POST" } else { "GET, HEAD" };
            let mut response = text(StatusCode::METHOD_NOT_ALLOWED, &format!("only {allowed} is allowed\n"));
            response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
            return response;
        }
        // A form on a page of the web may be sent anywhere, and says where it is from.
        if is_capture && request.headers.contains_key(header::ORIGIN) {
            return text(StatusCode::FORBIDDEN, "no page of the web may ask for this\n");
        }
        match request.uri.path() {
            CAPTURE_PATH => self.capture().await,
            METRICS_PATH => self.metrics().await,
            PPROF_PATH => self.profile(request.uri.query(), request.method == Method::HEAD).await,
            "/debug/pprof/" | "/debug/pprof" => page(StatusCode::OK, "text/html; charset=utf-8", PPROF_INDEX),
            _ => text(StatusCode::NOT_FOUND, "profiles are at /debug/pprof/, and metrics at /metrics\n"),
        }
    }

    /// What there is to count.
    async fn metrics(self) -> Response<WasiBody> {
        if !self.are_metrics_wanted.swap(true, Ordering::Relaxed) {
            tokio::spawn(add_up(Arc::downgrade(&self.metrics), self.adding_up));
        }
        let (metrics, ledger) = (Arc::clone(&self.metrics), Arc::clone(&self.sources.ledger));
        let text = tokio::task::spawn_blocking(move || {
            let mut page = metrics.page();
            ledger.add_to_page(&mut page);
            page.into_text()
        });
        match text.await {
            Ok(text) => page(StatusCode::OK, MetricsPage::CONTENT_TYPE, text),
            Err(_) => self::text(StatusCode::INTERNAL_SERVER_ERROR, "the metrics could not be made\n"),
        }
    }

    /// Writes a profile of what was just now to the folder of captures.
    async fn capture(self) -> Response<WasiBody> {
        let Ok(_permit) = self.scrapes.try_acquire() else { return too_many() };
        let captures = Arc::clone(&self.sources.captures);
        match captures.capture_now("asked over HTTP", self.shutdown.requested()).await {
            Ok(path) => text(StatusCode::CREATED, &format!("{}\n", shown_path(&path))),
            Err(error) => {
                terminal::report(&error);
                text(StatusCode::INTERNAL_SERVER_ERROR, "the capture could not be written; the server says why\n")
            }
        }
    }

    /// Where the guests spend their time from now on. Ends early if the server does.
    async fn profile(self, query: Option<&str>, is_head: bool) -> Response<WasiBody> {
        let scrape = match self.sources.recorder.scrape(query) {
            Ok(scrape) => scrape.host_frames_unless_asked(self.sources.host_frames),
            Err(error) => return text(StatusCode::BAD_REQUEST, &format!("{error}\n")),
        };
        let Ok(_permit) = self.scrapes.try_acquire() else { return too_many() };
        // Who only asks for the headers need not wait for what will be below them.
        if !is_head {
            tokio::select! {
                () = tokio::time::sleep(scrape.duration()) => {}
                () = self.shutdown.requested() => {}
            }
        }
        let recorder = Arc::clone(&self.sources.recorder);
        match tokio::task::spawn_blocking(move || scrape.finish(&recorder)).await {
            Ok(profile) => scraped(profile),
            Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the profile could not be made\n"),
        }
    }
}

/// Adds up times for metrics, so that none are missing that were dropped before somebody looked.
async fn add_up(metrics: Weak<Metrics>, every: Duration) {
    loop {
        tokio::time::sleep(every).await;
        let Some(metrics) = metrics.upgrade() else { return };
        let _ = tokio::task::spawn_blocking(move || metrics.update()).await;
    }
}

fn too_many() -> Response<WasiBody> {
    text(StatusCode::SERVICE_UNAVAILABLE, &format!("{MAX_SCRAPES} profiles are being taken already\n"))
}

fn is_reading(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

fn text(status: StatusCode, text: &str) -> Response<WasiBody> {
    page(status, "text/plain; charset=utf-8", text.to_owned())
}

fn scraped(profile: ScrapedProfile) -> Response<WasiBody> {
    let headers = profile.headers();
    let mut response = page(StatusCode::OK, "application/octet-stream", profile.into_body());
    for (name, value) in headers {
        response.headers_mut().insert(*name, HeaderValue::from_static(value));
    }
    response
}

/// Whether a client of this machine's own interface has asked for this machine: by an address, or by the one name that
/// nobody else can have. Old clients do not say.
fn is_for_this_machine(host: Option<&HeaderValue>) -> bool {
    let Some(host) = host else { return true };
    let Ok(host) = host.to_str() else { return false };
    if host.parse::<SocketAddr>().is_ok() || host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return true;
    }
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    name.eq_ignore_ascii_case("localhost") || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_the_web_do_not_mean_this_machine() {
        let is_ours = |host: &str| is_for_this_machine(Some(&HeaderValue::from_str(host).expect("a value")));
        for host in [
            "localhost",
            "localhost:6060",
            "LocalHost:1",
            "127.0.0.1",
            "127.0.0.1:80",
            "[::1]:80",
            "[::1]",
            "a.localhost",
        ] {
            assert!(is_ours(host), "{host}");
        }
        for host in ["evil.example", "evil.example:6060", "localhost.evil.example:80", "", "127.0.0.1.evil.example"] {
            assert!(!is_ours(host), "{host}");
        }
        assert!(is_for_this_machine(None));
    }
}
