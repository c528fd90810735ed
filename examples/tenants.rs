//! A server for several tenants, whose components come and go while it serves and is profiled:
//! `cargo run --example tenants -- 8000`.
//!
//! - `PUT /tenants/NAME` with a `wasi:http` component as its body loads what answers `/NAME/...`, in place of what did so before;
//!   `DELETE /tenants/NAME` unloads it. Requests that are being answered are answered.
//! - `/tenants/NAME/profile?seconds=10` is the tenant's own profile, without the names of the others;
//!   `/debug/pprof/profile?seconds=10` is that of all. Both are for `go tool pprof`.
//!
//! After `DELETE /`, or after Ctrl-C, it ends, and prints time by tenant and by interface, from which component to which.
//! (Who may do what is not this example's business: let nobody in whom you do not know.)

mod http;

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::Notify;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};
use wasmtime_wasi_http::p2::bindings::ProxyPre;
use witprof::export::{TableStyle, write_report_table};
use witprof::{Dimension, Filter, Labels, PPROF_PATH, Recorder, Registration, SymbolMap};

use http::{Body, Host, text};

/// What a tenant has loaded. Goes when the last request that it answers is over.
struct Tenant {
    guest: ProxyPre<Host>,
    /// What samples of it are told by.
    labels: Labels,
    /// Its code may be seen as long as there is somebody to see.
    _registration: Registration,
}

struct Server {
    engine: Engine,
    linker: Linker<Host>,
    recorder: Recorder,
    tenants: Mutex<HashMap<String, Arc<Tenant>>>,
    is_over: Notify,
}

impl Server {
    async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        let parts: Vec<&str> = path.split('/').skip(1).collect();
        let query = request.uri().query().map(str::to_owned);
        let answer = match (request.method(), &parts[..]) {
            (&Method::DELETE, [""]) => {
                self.is_over.notify_one();
                Ok(text(StatusCode::OK, "bye"))
            }
            (&Method::PUT, ["tenants", name]) => Arc::clone(&self).load(name, request).await,
            (&Method::DELETE, ["tenants", name]) => Ok(self.unload(name)),
            (_, ["tenants", name, "profile"]) => Ok(self.profile(query.as_deref(), Some(name)).await),
            _ if path == PPROF_PATH => Ok(self.profile(query.as_deref(), None).await),
            (_, [name, ..]) => {
                let tenant = self.tenants().get(*name).cloned();
                match tenant {
                    Some(tenant) => self.ask_guest(tenant, request).await,
                    None => Ok(text(StatusCode::NOT_FOUND, "there is no such tenant")),
                }
            }
            _ => Ok(text(StatusCode::NOT_FOUND, "nothing here")),
        };
        answer.unwrap_or_else(|error| text(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()))
    }

    fn tenants(&self) -> MutexGuard<'_, HashMap<String, Arc<Tenant>>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles what the tenant has sent, and registers it: from now on it is seen.
    async fn load(self: Arc<Self>, name: &str, request: Request<Incoming>) -> wasmtime::Result<Response<Body>> {
        let wasm = request.into_body().collect().await?.to_bytes();
        let (server, name) = (Arc::clone(&self), name.to_owned());
        // It takes a while, and other tenants want their answers.
        let loading = tokio::task::spawn_blocking(move || -> wasmtime::Result<()> {
            let component = Component::new(&server.engine, &wasm)?;
            let guest = ProxyPre::new(server.linker.instantiate_pre(&component)?)?;
            // Names and lines are read when somebody looks at a profile of it.
            let names = SymbolMap::builder(&name).debug_info(wasm);
            let registration = server.recorder.register(names, &component)?;
            let labels = server.recorder.labels([("tenant", name.as_str())]);
            server.tenants().insert(name, Arc::new(Tenant { guest, labels, _registration: registration }));
            Ok(())
        });
        loading.await??;
        Ok(text(StatusCode::CREATED, "loaded"))
    }

    fn unload(&self, name: &str) -> Response<Body> {
        match self.tenants().remove(name) {
            Some(_) => text(StatusCode::OK, "unloaded"),
            None => text(StatusCode::NOT_FOUND, "there is no such tenant"),
        }
    }

    /// Where guests spend their time from now on: those of one tenant, or of all.
    async fn profile(&self, query: Option<&str>, tenant: Option<&str>) -> Response<Body> {
        let scrape = match self.recorder.scrape(query) {
            Err(error) => return text(StatusCode::BAD_REQUEST, &error.to_string()),
            Ok(scrape) => scrape,
        };
        let scrape = match tenant {
            Some(tenant) => scrape.only(Filter::default().label("tenant", tenant)),
            None => scrape,
        };
        tokio::time::sleep(scrape.duration()).await;
        http::scraped(scrape.finish(&self.recorder))
    }

    async fn ask_guest(&self, tenant: Arc<Tenant>, request: Request<Incoming>) -> wasmtime::Result<Response<Body>> {
        let answering = Arc::clone(&tenant);
        let record = |call: http::Call| {
            // The tenant stays until it is over.
            let call = async move {
                let _tenant = answering;
                call.await
            };
            tokio::spawn(self.recorder.instrument(call).labeled(&tenant.labels))
        };
        http::ask_guest(&tenant.guest, http::store(&self.engine), request, record).await
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let port = std::env::args().nth(1).map_or(Ok(8000), |port| port.parse())?;
    let engine = Engine::default();
    let linker = http::linker(&engine)?;
    // It never ends, so the last minutes are kept; and it begins before there is any code.
    let recorder = Recorder::builder(Duration::from_millis(1)).keep_last(Duration::from_secs(600)).start()?;
    let server = Arc::new(Server { engine, linker, recorder, tenants: Mutex::default(), is_over: Notify::new() });

    let answering = Arc::clone(&server);
    let answer = move |request| Arc::clone(&answering).answer(request);
    http::serve(port, server.is_over.notified(), answer).await?;

    let profile = server.recorder.finish();
    let mut out = std::io::stdout();
    write_report_table(&profile.report_by_label("tenant"), TableStyle::default(), &mut out)?;
    write_report_table(&profile.report(Dimension::ComponentInterface), TableStyle::default(), &mut out)?;
    Ok(())
}
