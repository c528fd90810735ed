//! An HTTP server that profiles the `wasi:http` component that answers its requests:
//! `cargo run --example server -- tests/guests/http.wat`.
//!
//! Every request runs in a store of its own, on any of tokio's threads, and is labelled with its route. While the server
//! runs, `go tool pprof http://127.0.0.1:8000/debug/pprof/profile?seconds=10` looks at it. After Ctrl-C, or after as
//! many requests as a second argument says, it prints time by route and by interface, and every call.

mod http;

use std::error::Error;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::{Request, Response, StatusCode};
use tokio::sync::Notify;
use wasmtime::Engine;
use wasmtime::component::Component;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use witprof::export::{TableStyle, write_call_table, write_report_table};
use witprof::{Dimension, PPROF_INDEX, PPROF_PATH, Recorder, SymbolMap};

use http::{Body, Host, text};

struct Server {
    guest: ProxyPre<Host>,
    recorder: Recorder,
    /// Requests to the guest that have been answered, and how many are enough.
    answered: AtomicU64,
    enough: u64,
    is_enough: Notify,
}

impl Server {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        match request.uri().path() {
            PPROF_PATH => self.profile(request.uri().query()).await,
            "/debug/pprof/" => text(StatusCode::OK, PPROF_INDEX),
            _ => {
                let answer = self.ask_guest(request).await;
                if self.answered.fetch_add(1, Ordering::Relaxed) + 1 >= self.enough {
                    self.is_enough.notify_one();
                }
                answer.unwrap_or_else(|error| text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
            }
        }
    }

    /// Where the guests spend their time from now on.
    async fn profile(&self, query: Option<&str>) -> Response<Body> {
        match self.recorder.scrape(query) {
            Err(error) => text(StatusCode::BAD_REQUEST, &error.to_string()),
            Ok(scrape) => {
                tokio::time::sleep(scrape.duration()).await;
                http::scraped(scrape.finish(&self.recorder))
            }
        }
    }

    async fn ask_guest(&self, request: Request<Incoming>) -> wasmtime::Result<Response<Body>> {
        // The first part of the path. (Clients choose it. What no sample bears any more takes no memory.)
        let route = request.uri().path().split('/').nth(1).unwrap_or_default();
        let labels = self.recorder.labels([("route", format!("/{route}"))]);
        let mut store = http::store(self.guest.engine());
        self.recorder.trace_calls(&mut store)?;
        let record = |call| tokio::spawn(self.recorder.instrument(call).labeled(&labels));
        http::ask_guest(&self.guest, store, request, record).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments.next().ok_or("which component?")?;
    let enough = arguments.next().map_or(Ok(u64::MAX), |count| count.parse())?;
    let port = if enough == u64::MAX { 8000 } else { 0 };

    let engine = Engine::default();
    let bytes = std::fs::read(&path)?;
    let component = Component::new(&engine, &bytes)?;
    let linker = http::linker(&engine)?;
    let guest = ProxyPre::new(linker.instantiate_pre(&component)?)?;

    let map = Arc::new(SymbolMap::builder("server").build(&component)?);
    // A server has no end: only the last minutes are kept.
    let recorder = Recorder::builder(Duration::from_millis(1))
        .keep_last(Duration::from_secs(600))
        .code(map, &component)
        .start()?;
    let server = Arc::new(Server { guest, recorder, answered: AtomicU64::new(0), enough, is_enough: Notify::new() });

    let answering = Arc::clone(&server);
    let answer = move |request| Arc::clone(&answering).answer(request);
    http::serve(port, server.is_enough.notified(), answer).await?;

    let profile = server.recorder.finish();
    println!("{} requests", server.answered.load(Ordering::Relaxed));
    let style = TableStyle::default();
    let mut out = std::io::stdout();
    write_report_table(&profile.report_by_label("route"), style, &mut out)?;
    write_report_table(&profile.report(Dimension::Interface), style, &mut out)?;
    if let Some(calls) = profile.calls() {
        write_call_table(calls, style, &mut out)?;
    }
    Ok(())
}
