//! `witprof view`: a profile in the Firefox Profiler.
//!
//! The profile is served on the loopback interface, under a path that no other program can guess, for the page to fetch.
//! Nothing is uploaded.

use std::convert::Infallible;
use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, Result};
use clap::Parser;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;
use witprof::export::escape_control;

use super::input::{read_profile_bytes, shown};

/// Where the front-end is, unless `PROFILER_URL` says otherwise.
const PROFILER: &str = "https://profiler.firefox.com";

/// Open a profile in the Firefox Profiler
///
/// Serves the profile on this machine until Ctrl-C, and opens the front-end, which loads it from there. Nothing is
/// uploaded. PROFILER_URL names a self-hosted front-end.
#[derive(Parser)]
pub(super) struct ViewArguments {
    /// The port to serve the profile on [default: any]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// Print the address, but do not open a browser
    #[arg(long)]
    no_open: bool,

    /// A profile that witprof, samply or Wasmtime's guest profiler wrote: .json or .json.gz; `-` is stdin
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,
}

pub(super) fn view(arguments: &ViewArguments) -> Result<ExitCode> {
    let served = Served::new(arguments)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    runtime.block_on(serve(arguments, Arc::new(served)))
}

/// What is served, and to whom.
struct Served {
    path: String,
    /// Where the front-end is.
    front_end: String,
    /// Compressed with gzip.
    profile: Bytes,
}

impl Served {
    fn new(arguments: &ViewArguments) -> Result<Self> {
        let profile = read_profile_bytes(&arguments.profile)?;
        let front_end = std::env::var("PROFILER_URL").ok().filter(|address| !address.is_empty());
        let front_end = front_end.unwrap_or_else(|| PROFILER.to_owned());
        // The hasher's keys come from the system's random numbers, and are used for nothing else.
        let (first, second) = (RandomState::new().hash_one(0), RandomState::new().hash_one(1));
        Ok(Self {
            path: format!("/{first:016x}{second:016x}/profile.json"),
            front_end: front_end.trim_end_matches('/').to_owned(),
            profile: profile.into(),
        })
    }

    fn answer(&self, request: &Request<Incoming>) -> Response<Full<Bytes>> {
        let mut response = Response::new(Full::default());
        let headers = response.headers_mut();
        headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        let is_known = request.uri().path() == self.path;
        match *request.method() {
            _ if !is_known => *response.status_mut() = StatusCode::NOT_FOUND,
            Method::OPTIONS => {
                headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, HEAD"));
                headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("*"));
                // Chromium asks before a public page may fetch from this machine.
                headers.insert("access-control-allow-private-network", HeaderValue::from_static("true"));
                *response.status_mut() = StatusCode::NO_CONTENT;
            }
            Method::GET | Method::HEAD => {
                headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
                headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
                if request.method() == Method::GET {
                    *response.body_mut() = Full::new(self.profile.clone());
                }
            }
            _ => *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED,
        }
        response
    }
}

async fn serve(arguments: &ViewArguments, served: Arc<Served>) -> Result<ExitCode> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let listening = || format!("listening on {address}");
    let listener = TcpListener::bind(address).await.with_context(listening)?;
    let address = listener.local_addr().with_context(listening)?;
    let profile = format!("http://{address}{}", served.path);
    let page = format!("{}/from-url/{}/", served.front_end, percent_encoded(&profile));
    super::message(&format!("serving {} at {profile}", escape_control(&shown(&arguments.profile))));
    super::message(&format!("open {page}"));
    super::message("Ctrl-C ends it");
    if !arguments.no_open && open::that_detached(&page).is_err() {
        super::message("witprof: no browser could be started; open the address above yourself");
    }
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                // A connection that was given up is no reason to stop.
                let Ok((stream, _)) = accepted else { continue };
                let served = Arc::clone(&served);
                tokio::spawn(async move {
                    let answer = service_fn(|request| std::future::ready(Ok::<_, Infallible>(served.answer(&request))));
                    // Whoever hangs up early has what it wants.
                    let _ = hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
                });
            }
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
}

/// An address as a part of the path of another.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte) {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
