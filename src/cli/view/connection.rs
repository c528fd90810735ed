//! What is served, and to whom: to the page that knows the secret part of the path.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;

use super::activity::Activity;
use super::symbol_server::{Question, SymbolServer};

/// The most bytes of a question.
const MAX_QUESTION: usize = 16 << 20;

/// How long a connection may be idle, and how long a request may take to come: its head, and its body.
const PATIENCE: Duration = Duration::from_secs(30);

/// What is served once it has been read.
pub(super) struct Served {
    /// Compressed with gzip.
    pub(super) profile: Bytes,
    pub(super) symbols: SymbolServer,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Resource {
    Profile,
    Answer(Question),
}

impl Resource {
    /// `OPTIONS` is answered for all.
    fn methods(self) -> &'static str {
        match self {
            Self::Profile => "GET, HEAD",
            Self::Answer(_) => "POST",
        }
    }
}

/// The server, which is there before what it serves.
pub(super) struct Site {
    address: SocketAddr,
    /// What all paths begin with.
    root: String,
    activity: Activity,
    served: watch::Receiver<Option<Arc<Served>>>,
}

impl Site {
    pub(super) fn new(
        address: SocketAddr,
        secret: String,
        activity: Activity,
        served: watch::Receiver<Option<Arc<Served>>>,
    ) -> Self {
        Self { address, root: format!("/{secret}"), activity, served }
    }

    pub(super) fn profile_address(&self) -> String {
        format!("{}/profile.json", self.symbols_address())
    }

    pub(super) fn symbols_address(&self) -> String {
        format!("http://{}{}", self.address, self.root)
    }

    /// What a request is for; `None` if that is nothing, or whoever asks was not told of it.
    fn resource(&self, request: &Request<Incoming>) -> Option<Resource> {
        // A page elsewhere may give this address a name of its own, but then that name is asked for. The port is that of a
        // tunnel, if there is one.
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
        if name != self.address.ip().to_string() && name != "localhost" {
            return None;
        }
        match request.uri().path().strip_prefix(&self.root)? {
            "/profile.json" => Some(Resource::Profile),
            path => Question::of_path(path).map(Resource::Answer),
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(resource) = self.resource(&request) else {
            return with_status(StatusCode::NOT_FOUND);
        };
        let _asking = self.activity.begin();
        let mut response = match (resource, request.method()) {
            (_, &Method::OPTIONS) => preflight(resource),
            (Resource::Profile, &Method::GET | &Method::HEAD) => {
                let Some(served) = self.served().await else {
                    return with_status(StatusCode::SERVICE_UNAVAILABLE);
                };
                let is_whole = request.method() == Method::GET;
                if is_whole {
                    self.activity.loaded();
                }
                let mut response =
                    Response::new(if is_whole { served.profile.clone().into() } else { Full::default() });
                set(&mut response, header::CONTENT_TYPE, "application/json");
                set(&mut response, header::CONTENT_ENCODING, "gzip");
                response
            }
            (Resource::Answer(question), &Method::POST) => self.ask(question, request).await,
            _ => {
                let mut response = with_status(StatusCode::METHOD_NOT_ALLOWED);
                set(&mut response, header::ALLOW, resource.methods());
                response
            }
        };
        set(&mut response, header::ACCESS_CONTROL_ALLOW_ORIGIN, "*");
        set(&mut response, header::CACHE_CONTROL, "no-store");
        response
    }

    async fn ask(&self, question: Question, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let Some(served) = self.served().await else {
            return with_status(StatusCode::SERVICE_UNAVAILABLE);
        };
        if let Some(other) = served.symbols.instead(question) {
            let mut response = with_status(StatusCode::TEMPORARY_REDIRECT);
            if let Ok(other) = HeaderValue::try_from(other) {
                response.headers_mut().insert(header::LOCATION, other);
            }
            return response;
        }
        let body = Limited::new(request.into_body(), MAX_QUESTION).collect();
        let Ok(body) = tokio::time::timeout(PATIENCE, body).await else {
            return with_status(StatusCode::REQUEST_TIMEOUT);
        };
        let Ok(body) = body else {
            return with_status(StatusCode::PAYLOAD_TOO_LARGE);
        };
        // Reads files, and compiles.
        let answer = move || served.symbols.answer(question, &body.to_bytes()).to_string();
        let Ok(answer) = tokio::task::spawn_blocking(answer).await else {
            return with_status(StatusCode::INTERNAL_SERVER_ERROR);
        };
        let mut response = Response::new(Full::from(answer));
        set(&mut response, header::CONTENT_TYPE, "application/json");
        response
    }

    /// What is served; `None` if there will be nothing.
    async fn served(&self) -> Option<Arc<Served>> {
        let mut served = self.served.clone();
        let served = served.wait_for(Option::is_some).await.ok()?;
        served.clone()
    }
}

/// What a browser asks before a page of another origin may ask.
fn preflight(resource: Resource) -> Response<Full<Bytes>> {
    let mut response = with_status(StatusCode::NO_CONTENT);
    set(&mut response, header::ACCESS_CONTROL_ALLOW_METHODS, resource.methods());
    set(&mut response, header::ACCESS_CONTROL_ALLOW_HEADERS, "*");
    // Chromium asks before a public page may fetch from this machine.
    set(&mut response, HeaderName::from_static("access-control-allow-private-network"), "true");
    response
}

fn with_status(status: StatusCode) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::default());
    *response.status_mut() = status;
    response
}

fn set(response: &mut Response<Full<Bytes>>, name: HeaderName, value: &'static str) {
    response.headers_mut().insert(name, HeaderValue::from_static(value));
}

/// Answers what comes over a connection, until the server ends: when the other end of `ending` is dropped.
pub(super) async fn answer_all(site: Arc<Site>, stream: TcpStream, mut ending: watch::Receiver<()>) {
    let answer = service_fn(|request| {
        let site = Arc::clone(&site);
        async move { Ok::<_, Infallible>(site.answer(request).await) }
    });
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(PATIENCE);
    let mut connection = pin!(server.serve_connection(TokioIo::new(stream), answer));
    tokio::select! {
        // Whoever hangs up early has what it wants.
        _ = connection.as_mut() => return,
        _ = ending.changed() => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
