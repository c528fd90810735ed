//! What the examples of servers have in common, and what has nothing to do with profiling: HTTP, and a host for `wasi:http`.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::pin::Pin;

use http_body_util::{BodyExt as _, Full, combinators::UnsyncBoxBody};
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};
use witprof::ScrapedProfile;

/// What the host keeps for each store.
pub(crate) struct Host {
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

pub(crate) type Body = UnsyncBoxBody<Bytes, Box<dyn Error + Send + Sync>>;

/// What a guest does to answer a request, and perhaps after that.
pub(crate) type Call = Pin<Box<dyn Future<Output = wasmtime::Result<()>> + Send>>;

/// What guests may import.
pub(crate) fn linker(engine: &Engine) -> wasmtime::Result<Linker<Host>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(&mut linker)?;
    Ok(linker)
}

/// A store for one request.
pub(crate) fn store(engine: &Engine) -> Store<Host> {
    let host = Host { wasi: WasiCtx::builder().build(), http: WasiHttpCtx::new(), table: ResourceTable::new() };
    Store::new(engine, host)
}

/// Has a guest answer a request, in a task that `spawn` makes of the call.
pub(crate) async fn ask_guest(
    guest: &ProxyPre<Host>,
    mut store: Store<Host>,
    request: Request<Incoming>,
    spawn: impl FnOnce(Call) -> JoinHandle<wasmtime::Result<()>>,
) -> wasmtime::Result<Response<Body>> {
    let (sender, response) = oneshot::channel();
    let request = store.data_mut().http().new_incoming_request(Scheme::Http, request)?;
    let out = store.data_mut().http().new_response_outparam(sender)?;
    let guest = guest.clone();
    let call = async move {
        let guest = guest.instantiate_async(&mut store).await?;
        guest.wasi_http_incoming_handler().call_handle(store, request, out).await
    };
    // The guest may go on after it has answered.
    let task = spawn(Box::pin(call));
    match response.await {
        Ok(answer) => Ok(answer?.map(|body| body.map_err(Into::into).boxed_unsync())),
        Err(_) => match task.await {
            Ok(Ok(())) => Err(wasmtime::format_err!("the guest did not answer")),
            Ok(Err(error)) => Err(error),
            Err(error) => Err(error.into()),
        },
    }
}

/// Answers requests on this machine until `is_over`, or until Ctrl-C. Says where, on stdout.
pub(crate) async fn serve<F>(
    port: u16,
    is_over: impl Future<Output = ()>,
    answer: impl Fn(Request<Incoming>) -> F + Clone + Send + 'static,
) -> std::io::Result<()>
where
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], port))).await?;
    println!("http://{}", listener.local_addr()?);
    let mut is_over = std::pin::pin!(is_over);
    loop {
        tokio::select! {
            connection = listener.accept() => {
                let (client, _) = connection?;
                let answer = answer.clone();
                let answer = service_fn(move |request| {
                    let answer = answer(request);
                    async { Ok::<_, Infallible>(answer.await) }
                });
                tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(client), answer));
            }
            () = &mut is_over => return Ok(()),
            _ = tokio::signal::ctrl_c() => return Ok(()),
        }
    }
}

pub(crate) fn text(status: StatusCode, text: &str) -> Response<Body> {
    body(status, text.to_owned().into())
}

pub(crate) fn body(status: StatusCode, bytes: Bytes) -> Response<Body> {
    let mut response = Response::new(Full::new(bytes).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// The answer to a request of a profile.
pub(crate) fn scraped(profile: ScrapedProfile) -> Response<Body> {
    let mut response = Response::builder();
    for (name, value) in profile.headers() {
        response = response.header(*name, *value);
    }
    let body = body(StatusCode::OK, profile.into_body().into()).into_body();
    response.body(body).expect("names and values of headers")
}
