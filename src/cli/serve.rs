//! `witprof serve`: serve HTTP with a component, and write a profile of all requests.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Result, anyhow};
use clap::{ArgMatches, Args, FromArgMatches, Parser};
use wasmtime_cli::commands::{RunCommand, ServeCommand};
use witprof::Trigger;

use super::arguments::{OUTPUT, RECORDING, WASMTIMES};
use super::capturing::{CapturingArguments, parse_slow, parse_time};
use super::profiling::ProfilingArguments;
use super::pushing::PushingArguments;
use crate::host::{self, GuestServer, Meanwhile, RoutePattern, ServerOptions, WasmFile};

/// Serve HTTP with a component as `wasmtime serve` does, and write a profile of all requests
///
/// Takes the options of `wasmtime serve`. Ctrl-C ends it: requests that have begun are finished, then the profile is
/// written. A second Ctrl-C ends it at once.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct ServeArguments {
    #[command(flatten)]
    profiling: ProfilingArguments,

    #[command(flatten)]
    capturing: CapturingArguments,

    #[command(flatten)]
    pushing: PushingArguments,

    /// Write a profile of each request that takes longer than TIME, with what was before and after it. Labels behind the time
    /// say which requests are meant: `200ms,route=/checkout` (repeatable; the first that matches counts)
    #[arg(long, value_name = "TIME[,LABEL=VALUE]…", value_parser = parse_slow, help_heading = RECORDING)]
    on_slow: Vec<Trigger>,

    /// The same for each request that fails, because its guest traps or does not answer
    #[arg(long, help_heading = RECORDING)]
    on_trap: bool,

    /// End after this time. Requests that have begun are answered, however long their clients take
    #[arg(long, value_name = "TIME", value_parser = parse_time, help_heading = RECORDING)]
    duration: Option<Duration>,

    /// End after so many requests, which are answered
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u64).range(1..), help_heading = RECORDING)]
    requests: Option<u64>,

    /// Close a connection whose client takes longer than this to send a request's head, or to send the next one
    #[arg(long, value_name = "TIME", default_value = "30s", value_parser = parse_time, help_heading = RECORDING)]
    header_timeout: Duration,

    /// Group requests whose path is like this into one route: `/user/{id}/orders`, where `{id}` is any part between
    /// `/`, and `{rest...}` at the end all that follow (repeatable; the first that matches counts). Without it, numbers,
    /// UUIDs, hashes and the like become `{}`
    #[arg(long, value_name = "PATTERN", value_parser = RoutePattern::parse, help_heading = RECORDING)]
    route: Vec<RoutePattern>,

    /// Serve profiles of the running server at http://ADDR/debug/pprof/, as Go services do. A port alone is one of this
    /// machine's own interface
    #[arg(long, value_name = "ADDR", value_parser = parse_address, help_heading = OUTPUT)]
    pprof_addr: Option<SocketAddr>,

    #[command(flatten, next_help_heading = WASMTIMES)]
    wasmtime: WasmtimeServe,
}

const EXAMPLES: &str = "\
Examples:
  # until Ctrl-C, with a row for each route
  witprof serve --addr 127.0.0.1:8080 shop.wasm
  # the first thousand requests, as a web page
  witprof serve --requests 1000 -o shop.html shop.wasm";

/// The options of `wasmtime serve`. Its own type keeps them private, but knows how to describe and to parse them.
struct WasmtimeServe {
    /// Has those that `wasmtime run` has as well, in `run`; a type of their own they have not.
    common: RunCommand,
    options: ServerOptions,
    component: PathBuf,
}

impl Args for WasmtimeServe {
    fn augment_args(command: clap::Command) -> clap::Command {
        ServeCommand::augment_args(command)
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        ServeCommand::augment_args_for_update(command)
    }
}

impl FromArgMatches for WasmtimeServe {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        Self::from_arg_matches_mut(&mut matches.clone())
    }

    // The names are those of the fields of `ServeCommand`.
    fn from_arg_matches_mut(matches: &mut ArgMatches) -> Result<Self, clap::Error> {
        let mut common = RunCommand::try_parse_from(["run", "x"])?;
        common.run.update_from_arg_matches_mut(matches)?;
        let options = ServerOptions {
            address: required(matches, "addr")?,
            shutdown_address: matches.remove_one("shutdown_addr"),
            has_log_prefix: !matches.get_flag("no_logging_prefix"),
            max_reuse: matches.remove_one("max_instance_reuse_count"),
            max_concurrent_reuse: matches.remove_one("max_instance_concurrent_reuse_count"),
            idle_timeout: required(matches, "idle_instance_timeout")?,
            headers: matches.remove_many("headers").map_or_else(Vec::new, Iterator::collect),
            max_requests: matches.remove_one("max_concurrent_requests"),
            max_connections: matches.remove_one("max_concurrent_connections"),
            header_timeout: Duration::MAX,
            duration: None,
            enough_requests: None,
            routes: Vec::new(),
            pprof_address: None,
        };
        Ok(Self { common, options, component: required(matches, "component")? })
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?;
        Ok(())
    }
}

/// An option that has a value, be it the default.
fn required<T: Clone + Send + Sync + 'static>(matches: &mut ArgMatches, name: &str) -> Result<T, clap::Error> {
    let missing =
        || clap::Error::raw(clap::error::ErrorKind::MissingRequiredArgument, format!("`{name}` is missing\n"));
    matches.remove_one(name).ok_or_else(missing)
}

/// An address, or a port of the loopback interface.
fn parse_address(text: &str) -> Result<SocketAddr> {
    let port = text.strip_prefix("localhost:").or(text.strip_prefix(':')).unwrap_or(text);
    if let Ok(port) = port.parse() {
        return Ok(SocketAddr::from((Ipv4Addr::LOCALHOST, port)));
    }
    text.parse().map_err(|_| anyhow!("neither a port nor an address such as `127.0.0.1:6060`"))
}

pub(super) fn serve(arguments: ServeArguments) -> Result<ExitCode> {
    let ServeArguments {
        profiling,
        capturing,
        pushing,
        on_slow,
        on_trap,
        duration,
        requests,
        header_timeout,
        route,
        pprof_addr,
        wasmtime,
    } = arguments;
    let WasmtimeServe { common, options, component } = wasmtime;
    let file = WasmFile::read(&component)?;
    let outputs = profiling.open_outputs(&file)?;
    let triggers: Vec<Trigger> = on_slow.into_iter().chain(on_trap.then(Trigger::failed)).collect();
    let kept = capturing.kept(!triggers.is_empty() || pushing.is_asked_for() || profiling.has_no_output());
    let pushing = pushing.pushing(outputs.shown.host_frames);
    let (sampling, verbosity) = (profiling.sampling(kept), profiling.verbosity());
    let capturing = capturing.capturing(triggers);
    let meanwhile = Meanwhile { duration: None, every: profiling.every() };
    let options = ServerOptions {
        header_timeout,
        duration,
        enough_requests: requests,
        routes: route,
        pprof_address: pprof_addr,
        ..options
    };
    host::serve(GuestServer {
        command: common,
        options,
        file,
        sampling,
        outputs,
        capturing,
        pushing,
        meanwhile,
        verbosity,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_profiles_are_on_this_machine_unless_said_otherwise() {
        let local = |port| SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        for (text, port) in [("6060", 6060), (":6060", 6060), ("localhost:0", 0), ("127.0.0.1:80", 80)] {
            assert_eq!(parse_address(text).ok(), Some(local(port)), "{text}");
        }
        assert_eq!(parse_address("[::1]:80").ok(), Some(SocketAddr::from((std::net::Ipv6Addr::LOCALHOST, 80))));
        for bad in ["", ":", "localhost", "70000", "example.com", "127.0.0.1"] {
            assert!(parse_address(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn options_of_wasmtime_serve_are_read() {
        let arguments = "serve --addr 127.0.0.1:0 --no-logging-prefix --max-instance-reuse-count 7 -H a:1 --header b:2 \
             --max-instance-concurrent-reuse-count=3 --idle-instance-timeout 20ms --max-concurrent-requests=5 \
             --max-concurrent-connections=6 --shutdown-addr=127.0.0.1:1 --env A=B --duration=2s --requests=9 \
             --trace-calls app.wasm";
        let parsed =
            ServeArguments::try_parse_from(arguments.split_whitespace()).unwrap_or_else(|error| panic!("{error}"));
        let WasmtimeServe { common, options, component } = parsed.wasmtime;
        assert_eq!(common.run.vars, [("A".to_owned(), Some("B".to_owned()))]);
        assert_eq!((options.address.port(), options.has_log_prefix), (0, false));
        assert_eq!((options.max_reuse, options.max_concurrent_reuse), (Some(7), Some(3)));
        assert_eq!(options.idle_timeout, Duration::from_millis(20));
        assert_eq!(options.headers, ["a:1", "b:2"]);
        assert_eq!((options.max_requests, options.max_connections), (Some(5), Some(6)));
        assert_eq!(options.shutdown_address, Some(SocketAddr::from(([127, 0, 0, 1], 1))));
        assert_eq!((component, parsed.requests), (PathBuf::from("app.wasm"), Some(9)));
    }
}
