//! Profiles of the running server, as Go services offer them.

use std::convert::Infallible;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::mpsc;
use wasmtime_wasi_http::WasiBody;
use witprof::{HostFrames, PPROF_INDEX, PPROF_PATH, Recorder};

use super::connection::{converse, page};
use super::shutdown::Shutdown;

/// What profiles are made of.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    recorder: Arc<Recorder>,
    host_frames: HostFrames,
    shutdown: Shutdown,
    /// Whoever has the other end knows when all profiles are sent.
    _alive: mpsc::Sender<Infallible>,
}

impl Endpoint {
    pub(super) fn new(
        recorder: Arc<Recorder>,
        host_frames: HostFrames,
        shutdown: Shutdown,
        alive: mpsc::Sender<Infallible>,
    ) -> Self {
        Self { recorder, host_frames, shutdown, _alive: alive }
    }

    /// Answers until the server ends.
    pub(super) async fn serve(self, listener: TcpListener) {
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = self.shutdown.requested() => return,
            };
            let Ok((stream, _)) = stream else {
                super::wait_for_resources().await;
                continue;
            };
            let endpoint = self.clone();
            tokio::spawn(async move {
                let answer = |request| endpoint.clone().answer(request);
                // Whoever hangs up early wants no more of it.
                let _ = converse(stream, &endpoint.shutdown, answer).await;
            });
        }
    }

    async fn answer(self, request: Request<Incoming>) -> Response<WasiBody> {
        let (request, _) = request.into_parts();
        if !matches!(request.method, Method::GET | Method::HEAD) {
            return page(StatusCode::METHOD_NOT_ALLOWED, "text/plain", "only GET is allowed\n");
        }
        match request.uri.path() {
            PPROF_PATH => self.profile(request.uri.query()).await,
            "/debug/pprof/" | "/debug/pprof" => page(StatusCode::OK, "text/html; charset=utf-8", PPROF_INDEX),
            _ => page(StatusCode::NOT_FOUND, "text/plain", "profiles are at /debug/pprof/\n"),
        }
    }

    /// Where the guests spend their time from now on. Ends early if the server does.
    async fn profile(self, query: Option<&str>) -> Response<WasiBody> {
        let scrape = match self.recorder.scrape(query) {
            Ok(scrape) => scrape.host_frames_unless_asked(self.host_frames),
            Err(error) => return page(StatusCode::BAD_REQUEST, "text/plain", format!("{error}\n")),
        };
        tokio::select! {
            () = tokio::time::sleep(scrape.duration()) => {}
            () = self.shutdown.requested() => {}
        }
        let recorder = Arc::clone(&self.recorder);
        match tokio::task::spawn_blocking(move || scrape.finish(&recorder)).await {
            Ok(profile) => page(StatusCode::OK, "application/octet-stream", profile),
            Err(_) => page(StatusCode::INTERNAL_SERVER_ERROR, "text/plain", "the profile could not be made\n"),
        }
    }
}
