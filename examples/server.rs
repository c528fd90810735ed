//! An HTTP server that profiles the `wasi:http` component that answers its requests:
//! `cargo run --example server -- tests/guests/http.wat`.
//!
//! Every request runs in a store of its own, on any of tokio's threads, and is labelled with its route. While the server
//! runs, `go tool pprof http://127.0.0.1:8000/debug/pprof/profile?seconds=10` looks at it. After Ctrl-C, or after as
//! many requests as a second argument says, it prints time by route and by interface, and every call.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::{Notify, oneshot};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use witprof::export::{TableStyle, write_call_table, write_report_table};
use witprof::{Dimension, PPROF_INDEX, PPROF_PATH, Recorder, SymbolMap};

/// What the host keeps for each store.
struct Host {
    wasi: WasiCtx,
    http: WasiHttpCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: Default::default() }
    }
}

type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

struct Server {
    guest: ProxyPre<Host>,
    recorder: Recorder,
    /// Requests to the guest that have been answered, and how many are enough.
    answered: AtomicU64,
    enough: u64,
    is_enough: Notify,
}

impl Server {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Result<Response<Body>, Infallible> {
        let answer = match request.uri().path() {
            PPROF_PATH => self.profile(request.uri().query()).await,
            "/debug/pprof/" => text(StatusCode::OK, PPROF_INDEX),
            _ => {
                let answer = Arc::clone(&self).ask_guest(request).await;
                if self.answered.fetch_add(1, Ordering::Relaxed) + 1 >= self.enough {
                    self.is_enough.notify_one();
                }
                answer.unwrap_or_else(|error| text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
            }
        };
        Ok(answer)
    }

    /// Where the guests spend their time from now on.
    async fn profile(&self, query: Option<&str>) -> Response<Body> {
        match self.recorder.scrape(query) {
            Err(error) => text(StatusCode::BAD_REQUEST, &error.to_string()),
            Ok(scrape) => {
                tokio::time::sleep(scrape.duration()).await;
                body(StatusCode::OK, scrape.finish(&self.recorder).into())
            }
        }
    }

    async fn ask_guest(self: Arc<Self>, request: Request<Incoming>) -> wasmtime::Result<Response<Body>> {
        // The first part of the path. (Clients choose it: a recorder keeps 65,536 of them at most.)
        let route = request.uri().path().split('/').nth(1).unwrap_or_default();
        let labels = self.recorder.labels([("route", format!("/{route}"))]);
        let host = Host { wasi: WasiCtx::builder().build(), http: WasiHttpCtx::new(), table: ResourceTable::new() };
        let mut store = Store::new(self.guest.engine(), host);
        self.recorder.trace_calls(&mut store)?;
        let (sender, response) = oneshot::channel();
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
        let out = store.data_mut().http().new_response_outparam(sender)?;
        let server = Arc::clone(&self);
        let call = async move {
            let guest = server.guest.instantiate_async(&mut store).await?;
            guest.wasi_http_incoming_handler().call_handle(store, request, out).await
        };
        // The guest may go on after it has answered.
        let task = tokio::spawn(self.recorder.instrument(call).labeled(&labels));
        match response.await {
            Ok(answer) => Ok(answer?.map(|body| body.map_err(Into::into).boxed_unsync())),
            Err(_) => match task.await {
                Ok(Ok(())) => Err(wasmtime::format_err!("the guest did not answer")),
                Ok(Err(error)) => Err(error),
                Err(error) => Err(error.into()),
            },
        }
    }
}

fn text(status: StatusCode, text: &str) -> Response<Body> {
    body(status, text.to_owned().into())
}

fn body(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
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
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    let guest = ProxyPre::new(linker.instantiate_pre(&component)?)?;

    let map = Arc::new(SymbolMap::builder("server").build(&component)?);
    // A server has no end: only the last minutes are kept.
    let recorder = Recorder::builder(Duration::from_millis(1))
        .keep_last(Duration::from_secs(600))
        .code(map, &component)
        .start()?;
    let server = Arc::new(Server { guest, recorder, answered: AtomicU64::new(0), enough, is_enough: Notify::new() });

    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    println!("http://{}", listener.local_addr()?);
    loop {
        tokio::select! {
            connection = listener.accept() => {
                let (client, _) = connection?;
                let server = Arc::clone(&server);
                let answer = service_fn(move |request| Arc::clone(&server).answer(request));
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(client), answer));
            }
            () = server.is_enough.notified() => break,
            _ = tokio::signal::ctrl_c() => break,
        }
    }

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
