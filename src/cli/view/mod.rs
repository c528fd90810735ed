//! `witprof view`: a profile in the Firefox Profiler.
//!
//! The profile is served on the loopback interface, under a path that no other program can guess, for the page to fetch.
//! Below the same path, the page asks for sources and machine code when a frame is double-clicked. Nothing is uploaded;
//! for names in a profile of another program, the page is sent to the symbol server that it asks without witprof.

mod activity;
mod code;
mod connection;
mod disassembly;
mod symbol_server;

use std::hash::{BuildHasher as _, RandomState};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use wasmtime_cli_flags::CommonOptions;
use witprof::export::escape_control;

use self::activity::{Activity, Limits};
use self::connection::{Served, Site};
use self::symbol_server::{Places, SymbolServer};
use super::input::{Input, refuse_stdin_twice, shown};
use crate::files::Sources;
use crate::host::failed;
use crate::terminal::message;

/// Where the front-end is, unless `PROFILER_URL` says otherwise.
const PROFILER: &str = "https://profiler.firefox.com";

/// How long clients have to take what they asked for, when the server ends.
const GRACE: Duration = Duration::from_secs(10);

/// The most connections at a time. Others wait until one of these is closed.
const MAX_CONNECTIONS: usize = 64;

/// How long to wait when no connection can be taken, such as for want of file descriptors, before trying again.
const PAUSE: Duration = Duration::from_millis(50);

/// Open a profile in the Firefox Profiler
///
/// Serves the profile on this machine, and opens the front-end, which loads it from there. The profile is not
/// uploaded. For a profile of another program, the page asks Mozilla's symbol server for names, as it does without witprof.
/// A double click on a frame there shows its source, which is looked for in the folders that --source names, in the current
/// one, and around the component; and its machine code. PROFILER_URL names a self-hosted front-end.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct ViewArguments {
    /// The port to serve the profile on [default: any]
    #[arg(long, value_name = "PORT", default_value_t = 0, hide_default_value = true)]
    port: u16,

    /// Print the address, but do not open a browser
    #[arg(long)]
    no_open: bool,

    /// A folder with sources (repeatable). A path of the profile is looked for below it, and so is each of its ends that has a
    /// folder
    #[arg(long, value_name = "FOLDER")]
    source: Vec<PathBuf>,

    /// The component or module that was profiled, for its machine code [default: the file of that name, beside the profile or
    /// here]. It is compiled with the options of Wasmtime that are given here, which have to be those of the recording
    #[arg(long, value_name = "WASM")]
    component: Option<PathBuf>,

    /// End when the page has asked for nothing for so long, such as `5m`; `never` is until Ctrl-C
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = limit)]
    timeout: Limit,

    /// End so long after the start if the page was not loaded; `never` is not to
    #[arg(long, value_name = "TIME", default_value = "2h", value_parser = limit)]
    load_timeout: Limit,

    /// A profile that witprof, samply or Wasmtime's guest profiler wrote: .json or .json.gz; `-` is stdin
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,

    #[command(flatten, next_help_heading = "Wasmtime's own, for --component")]
    wasmtime: CommonOptions,
}

const EXAMPLES: &str = "\
Examples:
  # in the browser
  witprof view p.json.gz
  # for a browser on another machine, through a tunnel to this port
  witprof view --no-open --port 8080 p.json.gz";

/// A time after which the server ends, if at all.
#[derive(Clone, Copy, Debug)]
struct Limit(Option<Duration>);

fn limit(text: &str) -> Result<Limit, humantime::DurationError> {
    if text == "never" {
        return Ok(Limit(None));
    }
    humantime::parse_duration(text).map(|time| Limit(Some(time)))
}

pub(super) fn view(mut arguments: ViewArguments) -> Result<ExitCode> {
    refuse_stdin_twice([Some(&*arguments.profile), arguments.component.as_deref()])?;
    if let Some(missing) = arguments.source.iter().find(|folder| !folder.is_dir()) {
        bail!("`--source {}`: there is no such folder", missing.display());
    }
    if let Some(missing) = arguments.component.as_ref().filter(|file| file.as_os_str() != "-" && !file.is_file()) {
        bail!("`--component {}`: there is no such file", missing.display());
    }
    // Also reads the groups of options such as `-O`.
    arguments.wasmtime.init_logging().map_err(failed)?;
    let input = Input::open(&arguments.profile)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting tokio")?;
    let result = runtime.block_on(serve(arguments, input));
    // Whoever still compiles or reads does it for nobody.
    runtime.shutdown_background();
    result
}

async fn serve(arguments: ViewArguments, input: Input) -> Result<ExitCode> {
    let address = SocketAddr::from((Ipv4Addr::LOCALHOST, arguments.port));
    let listening = || format!("listening on {address}");
    let listener = TcpListener::bind(address).await.with_context(listening)?;
    let address = listener.local_addr().with_context(listening)?;
    let limits = Limits { unused: arguments.timeout.0, unloaded: arguments.load_timeout.0 };
    let activity = Activity::new(limits);
    let (served, is_served) = watch::channel(None);
    let site = Arc::new(Site::new(address, secret(), activity.clone(), is_served));
    // First: what follows may take a while.
    let page = page(&site);
    message(&format!("open {page}"));

    // Of stdin there is none but the current one, and a name alone is in that.
    let mut around: Vec<PathBuf> =
        arguments.profile.parent().map(Path::to_owned).into_iter().chain([PathBuf::new()]).collect();
    around.dedup();
    let sources = Sources { folders: arguments.source, component: arguments.component };
    let places = Places { sources, around, wasmtime: arguments.wasmtime };
    let mut reading = tokio::task::spawn_blocking(move || {
        let (bytes, profile) = input.read()?;
        anyhow::Ok(Served { profile: bytes.into(), symbols: SymbolServer::new(profile, places) })
    });
    let (end, ending) = watch::channel(());
    let mut connections = JoinSet::new();
    let mut is_read = false;
    loop {
        tokio::select! {
            stream = accept(&listener), if connections.len() < MAX_CONNECTIONS => {
                connections.spawn(connection::answer_all(Arc::clone(&site), stream, ending.clone()));
            }
            Some(_) = connections.join_next() => {}
            read = &mut reading, if !is_read => {
                is_read = true;
                served.send_replace(Some(Arc::new(read.context("reading the profile")??)));
                let shown = shown(&arguments.profile);
                message(&format!("serving {} to it; Ctrl-C ends that", escape_control(&shown)));
                if !arguments.no_open && open::that_detached(&page).is_err() {
                    message("witprof: no browser could be started; open the address above yourself");
                }
            }
            reason = activity.over(), if is_read => {
                let option = reason.option();
                message(&format!("witprof: ended: {reason}; `{option} never` stays until Ctrl-C"));
                break;
            }
            _ = tokio::signal::ctrl_c() => return Ok(ExitCode::SUCCESS),
        }
    }
    // Who has asked gets what it asked for.
    drop(end);
    let all = async { while connections.join_next().await.is_some() {} };
    tokio::select! {
        () = all => {}
        () = tokio::time::sleep(GRACE) => {}
        _ = tokio::signal::ctrl_c() => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// The next connection. What goes wrong with one, or for a while, is no reason to stop.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What nobody can guess.
fn secret() -> String {
    // The hasher's keys come from the system's random numbers, and are used for nothing else.
    let (first, second) = (RandomState::new().hash_one(0), RandomState::new().hash_one(1));
    format!("{first:016x}{second:016x}")
}

/// The address of the front-end with the profile.
fn page(site: &Site) -> String {
    let front_end = std::env::var("PROFILER_URL").ok().filter(|address| !address.is_empty());
    let front_end = front_end.unwrap_or_else(|| PROFILER.to_owned());
    let [profile, symbols] = [site.profile_address(), site.symbols_address()].map(|address| percent_encoded(&address));
    format!("{}/from-url/{profile}/?symbolServer={symbols}", front_end.trim_end_matches('/'))
}

/// An address as a part of another.
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
