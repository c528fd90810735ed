//! A server whose requests a component answers, with a recorder around it.
//!
//! There are two runtimes. Guests and the connections of their clients share one. As a guest that never yields may keep
//! each of its threads, whatever must go on regardless has a runtime of its own: accepting connections, signals, time
//! limits, profiles of the running server.
//!
//! A request comes in through [`connection`], which hands it over to the [`pool`]; an [`instance`] answers it. An
//! [`exchange`] is what of it will be in the profile.

mod connection;
mod cpu_time;
mod desk;
mod endpoint;
mod exchange;
mod guest;
mod headers;
mod instance;
mod logs;
mod measured;
mod pool;
mod routes;
mod seats;
mod server;
mod shutdown;
mod state;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::{TcpListener, TcpSocket, TcpStream};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Semaphore, mpsc};
use tokio::time::MissedTickBehavior;
use wasmtime::Engine;
use wasmtime_cli::commands::RunCommand;
use witprof::SamplerKind;

use self::desk::Limits;
use self::endpoint::{Endpoint, Sources};
use self::exchange::Ledger;
use self::guest::Guest;
use self::headers::RequestHeaders;
use self::pool::Pool;
pub(crate) use self::routes::RoutePattern;
use self::seats::{Seat, Seats};
use self::server::Server;
use self::shutdown::Shutdown;
use super::captures::Capturing;
use super::push::Pushing;
use super::recording::{self, Active, Sampling, Verbosity};
use super::schedule::Meanwhile;
use super::signals::{self, EndingSignals};
use super::{WasmFile, checks, ending, failed, lock};
use crate::files::Outputs;
use crate::terminal;

/// Threads of the runtime that no guest runs on, beside the one that accepts connections.
const CONTROL_THREADS: usize = 2;

/// Requests and connections at a time, unless the options say otherwise, as in `wasmtime serve`.
const MAX_AT_A_TIME: usize = 1000;

/// Requests to an instance of a component of WASI 0.3 in all and at a time, unless the options say otherwise, as in
/// `wasmtime serve`.
const MAX_REUSE: usize = 128;
const MAX_CONCURRENT_REUSE: usize = 16;

/// Connections that may wait to be accepted.
const BACKLOG: u32 = 1024;

/// How often guests with a time limit give their thread back.
const YIELD_INTERVAL: Duration = Duration::from_millis(50);

/// How long the end waits for clients to take the profiles that they have asked for.
const LAST_SCRAPES: Duration = Duration::from_secs(2);

/// How a server is to behave. What is not ours is as in `wasmtime serve`.
#[derive(Clone, Debug)]
pub(crate) struct ServerOptions {
    pub(crate) address: SocketAddr,
    pub(crate) shutdown_address: Option<SocketAddr>,
    pub(crate) has_log_prefix: bool,
    pub(crate) max_reuse: Option<usize>,
    pub(crate) max_concurrent_reuse: Option<usize>,
    pub(crate) idle_timeout: Duration,
    pub(crate) headers: Vec<String>,
    pub(crate) max_requests: Option<usize>,
    pub(crate) max_connections: Option<usize>,
    /// Ours: a client has to have asked within this time,
    pub(crate) header_timeout: Duration,
    /// Ours: the server ends after this time,
    pub(crate) duration: Option<Duration>,
    /// or after so many requests.
    pub(crate) enough_requests: Option<u64>,
    /// Ours: which requests are of one route.
    pub(crate) routes: Vec<RoutePattern>,
    /// Ours: where there are profiles of the running server.
    pub(crate) pprof_address: Option<SocketAddr>,
}

/// What to serve, and where its profile goes.
pub(crate) struct GuestServer {
    /// Has, in `run`, the options that `wasmtime run` and `wasmtime serve` have in common.
    pub(crate) command: RunCommand,
    pub(crate) options: ServerOptions,
    pub(crate) file: WasmFile,
    pub(crate) sampling: Sampling,
    pub(crate) outputs: Outputs,
    pub(crate) capturing: Capturing,
    pub(crate) pushing: Pushing,
    pub(crate) meanwhile: Meanwhile,
    pub(crate) verbosity: Verbosity,
}

/// Serves until it is asked to end, and writes the profile.
pub(crate) fn serve(guest: GuestServer) -> Result<ExitCode> {
    allow_many_files();
    let starting = "starting tokio";
    let control = Builder::new_multi_thread().worker_threads(CONTROL_THREADS).enable_all().build().context(starting)?;
    let guests = Builder::new_multi_thread().enable_all().build().context(starting)?;
    let result = control.block_on(serve_in_runtimes(guest, guests.handle()));
    // A guest that never returns must not keep the process.
    guests.shutdown_background();
    control.shutdown_background();
    result
}

async fn serve_in_runtimes(guest: GuestServer, guests: &Handle) -> Result<ExitCode> {
    let GuestServer { mut command, options, file, mut sampling, outputs, capturing, pushing, meanwhile, verbosity } =
        guest;
    let shutdown = Shutdown::new();
    // Before anything runs: a signal must not find the process without its handlers.
    tokio::spawn(end_by_signal(EndingSignals::listen(), shutdown.clone()));
    command.run.common.init_logging().map_err(failed)?;
    checks::options(&command)?;
    checks::folders(&command)?;
    checks::server_options(&mut command)?;
    capturing.check(sampling.signal)?;
    meanwhile.check(&outputs)?;
    pushing.check()?;
    let mut listeners = sampling.external.find()?;
    guest::require_component(&file)?;
    let headers = RequestHeaders::parse(&options.headers)?;
    let (engine, target) =
        recording::load(&mut command, &file, &mut sampling, verbosity, guest::configure, |command, engine| {
            command.run.load_module(engine, file.path(), Some(file.bytes()))
        })?;
    let component = target.unwrap_component();
    let pre = guest::link(&mut command, component, &file)?;
    let sockets = Sockets::bind(&options)?;
    let recorder = recording::recorder(&component.into(), &file, &sampling, &mut listeners)?;
    let recorder = Arc::new(recorder);
    let (calls, has_log_prefix) = (sampling.calls, options.has_log_prefix);
    let begin = sampling.begin.clone();
    let guest = Guest { command, engine, pre, recorder: Arc::clone(&recorder), calls, begin, has_log_prefix };
    // Options that stores cannot be made with are refused now, and not at the first request.
    drop(guest.new_store(0).map_err(failed).context("preparing instances of the component")?);

    let host_frames = outputs.shown.host_frames;
    let ledger = Arc::new(Ledger::new(Arc::clone(&recorder), options.routes.clone(), sampling.keep_last.is_some()));
    let (captures, capturing) = capturing.start(&recorder, outputs.shown.clone(), verbosity)?;
    let outputs = Arc::new(Mutex::new(Some(outputs)));
    meanwhile.start(&sampling.begin, &recorder, &outputs);
    let pusher = pushing.start(&recorder, verbosity)?;
    let last = (Arc::clone(&recorder), Arc::clone(&ledger));
    ending::before_exit(move || {
        if let Some(outputs) = lock(&outputs).take() {
            recording::write(&last.0, Active::NowAndThen, &outputs, verbosity);
        }
        capturing.wait();
        if let Some(pusher) = pusher {
            pusher.finish();
        }
        verbosity.message(&last.1.summary());
    });
    if let Some(kept) = sampling.keep_last {
        let kept = humantime::format_duration(kept);
        verbosity.message(&format!("keeping the last {kept} of the recording"));
    }
    sockets.announce(verbosity)?;
    shutdown.begin_serving();
    let (alive, mut scrapes) = mpsc::channel(1);
    if let Some(listener) = sockets.pprof {
        let sources = Sources { recorder: Arc::clone(&recorder), ledger: Arc::clone(&ledger), captures, host_frames };
        let endpoint = Endpoint::new(sources, sampling.keep_last, shutdown.clone(), alive);
        tokio::spawn(endpoint.serve(listener));
    } else {
        drop(alive);
    }
    end_by_options(&options, sockets.shutdown, &shutdown);
    if let Some(timeout) = guest.timeout().filter(|_| recorder.sampler() == SamplerKind::Signal) {
        tokio::spawn(advance_epochs(guest.engine.clone(), YIELD_INTERVAL.min(timeout)));
    }

    let (alive, mut everyone) = mpsc::channel(1);
    let server = server(guest, &options, headers, &ledger, &shutdown, alive);
    accept(&sockets.main, &Arc::new(server), Seats::new(options.max_connections.unwrap_or(MAX_AT_A_TIME)), guests)
        .await;
    drop(sockets.main);
    if ledger.open() > 0 {
        verbosity.message(&format!("finishing requests: {}; Ctrl-C ends it at once", ledger.open()));
    }
    // Nothing is ever sent: what is received is that all senders are gone.
    let _: Option<Infallible> = everyone.recv().await;
    let _ = tokio::time::timeout(LAST_SCRAPES, scrapes.recv()).await;
    ending::do_last();
    Ok(ExitCode::SUCCESS)
}

fn server(
    guest: Guest,
    options: &ServerOptions,
    headers: RequestHeaders,
    ledger: &Arc<Ledger>,
    shutdown: &Shutdown,
    alive: mpsc::Sender<Infallible>,
) -> Server {
    // An instance of WASI 0.2 cannot be called by several at a time.
    let (max_reuse, max_concurrent) = if guest.is_concurrent() {
        (MAX_REUSE, options.max_concurrent_reuse.unwrap_or(MAX_CONCURRENT_REUSE))
    } else {
        (1, 1)
    };
    let limits = Limits {
        max_reuse: options.max_reuse.unwrap_or(max_reuse),
        max_concurrent,
        timeout: guest.timeout(),
        idle_timeout: options.idle_timeout,
    };
    let several = guest.recorder.labels([("method", "(several)"), ("route", "(several)")]);
    Server {
        guest,
        limits,
        ledger: Arc::clone(ledger),
        headers,
        shutdown: shutdown.clone(),
        pool: Pool::default(),
        several,
        header_timeout: options.header_timeout,
        permits: Semaphore::new(options.max_requests.unwrap_or(MAX_AT_A_TIME).min(Semaphore::MAX_PERMITS)),
        enough: options.enough_requests.unwrap_or(u64::MAX),
        admitted: AtomicU64::new(0),
        _alive: alive,
    }
}

/// Accepts connections until the server ends, and has them served where guests are.
async fn accept(listener: &TcpListener, server: &Arc<Server>, seats: Arc<Seats>, guests: &Handle) {
    loop {
        let (seat, stream) = tokio::select! {
            accepted = accept_one(listener, &seats) => accepted,
            () = server.shutdown.requested() => return,
        };
        // It belongs to the other runtime from here on.
        let Ok(stream) = stream.into_std() else { continue };
        let server = Arc::clone(server);
        guests.spawn(async move {
            if let Ok(stream) = TcpStream::from_std(stream) {
                connection::serve(server, stream, seat).await;
            }
        });
    }
}

/// Accepts a connection, and finds a seat for it.
async fn accept_one(listener: &TcpListener, seats: &Arc<Seats>) -> (Seat, TcpStream) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return (seats.take().await, stream),
            // A connection that was given up is no reason to stop. Nor is a lack of file descriptors, but that takes a while.
            Err(_) => {
                seats.send_one_away();
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        }
    }
}

/// Lets the process have as many files and connections as it may. By default many systems allow 1024, for programs that are
/// older than servers.
fn allow_many_files() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
        let limit = getrlimit(Resource::Nofile);
        // If it cannot be, there are fewer connections.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
    }
}

/// On Ctrl-C or a request to terminate: the server ends. If it does so already, the process ends, with a profile of what
/// there is; if there is none yet, the process ends, too.
async fn end_by_signal(mut signals: EndingSignals, shutdown: Shutdown) {
    let mut number = signals.wait().await;
    if shutdown.request() {
        number = signals.wait().await;
    }
    signals.end_process_by(number).await;
}

/// Ends the server when the options say so.
fn end_by_options(options: &ServerOptions, shutdown_listener: Option<TcpListener>, shutdown: &Shutdown) {
    if let Some(duration) = options.duration {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::time::sleep(duration).await;
            shutdown.request();
        });
    }
    if let Some(listener) = shutdown_listener {
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            // Whoever connects wants this, whether the connection works or not.
            let _ = listener.accept().await;
            shutdown.request();
        });
    }
}

/// Lets guests see that time passes, so that they yield. (The epoch sampler does so itself.)
async fn advance_epochs(engine: Engine, interval: Duration) {
    let mut ticks = tokio::time::interval(interval.max(Duration::from_millis(1)));
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        engine.increment_epoch();
    }
}

/// What the server listens on.
struct Sockets {
    main: TcpListener,
    shutdown: Option<TcpListener>,
    pprof: Option<TcpListener>,
}

impl Sockets {
    fn bind(options: &ServerOptions) -> Result<Self> {
        Ok(Self {
            main: bind(options.address)?,
            shutdown: options.shutdown_address.map(bind).transpose()?,
            pprof: options.pprof_address.map(bind).transpose()?,
        })
    }

    /// Says where the server is.
    fn announce(&self, verbosity: Verbosity) -> Result<()> {
        verbosity.message(&format!("serving http://{}/", self.main.local_addr()?));
        if let Some(shutdown) = &self.shutdown {
            verbosity.message(&format!("a connection to {} ends it", shutdown.local_addr()?));
        }
        if let Some(pprof) = &self.pprof {
            let address = pprof.local_addr()?;
            verbosity.message(&format!("profiles at http://{address}/debug/pprof/"));
            if !address.ip().is_loopback() {
                terminal::message(&format!("witprof: whoever reaches {address} can read profiles of this server"));
            }
        }
        let how = if signals::are_interrupts_ignored() {
            "SIGTERM ends it; Ctrl-C does not, because this process was started to ignore it"
        } else {
            "Ctrl-C ends it"
        };
        verbosity.message(how);
        Ok(())
    }
}

fn bind(address: SocketAddr) -> Result<TcpListener> {
    let listen = || {
        let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
        // A server that has just ended must not keep the address; on Windows this means something else.
        socket.set_reuseaddr(!cfg!(windows))?;
        socket.bind(address)?;
        socket.listen(BACKLOG)
    };
    listen().with_context(|| format!("listening on {address}"))
}
