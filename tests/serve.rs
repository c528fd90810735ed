//! `witprof serve` under requests. Every test runs a server in a process of its own.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::time::{Duration, Instant};

use proptest::strategy::ValueTree as _;
use tempfile::TempDir;
use witprof::{Profile, read_firefox};

/// More than any step of a test takes, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

fn witprof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command
}

fn guest() -> String {
    support::root().join("tests/guests/http.wat").to_string_lossy().into_owned()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// A server that runs.
struct Server {
    folder: TempDir,
    child: Child,
    lines: Receiver<String>,
    /// What it has said so far.
    messages: Vec<String>,
}

impl Server {
    /// Starts a server, and waits until it serves.
    fn start(options: &[&str]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut command = witprof(folder.path());
        command.args(["serve", "--addr", "127.0.0.1:0", "-o", "p.json"]).args(options).arg(guest());
        let mut child = command.stderr(Stdio::piped()).spawn().expect("starting witprof");
        let stderr = BufReader::new(child.stderr.take().expect("its stderr"));
        let (sender, lines) = mpsc::channel();
        std::thread::spawn(move || {
            for line in stderr.lines() {
                let _ = sender.send(line.expect("UTF-8"));
            }
        });
        let mut server = Self { folder, child, lines, messages: Vec::new() };
        server.wait_for("Ctrl-C");
        server
    }

    /// Waits for a message.
    fn wait_for(&mut self, part: &str) {
        while !self.messages.last().is_some_and(|line| line.contains(part)) {
            match self.lines.recv_timeout(LONG) {
                Ok(line) => self.messages.push(line),
                Err(_) => panic!("no {part:?} in {:#?}", self.messages),
            }
        }
    }

    fn address_after(&self, before: &str) -> String {
        let rest = self.messages.iter().find_map(|line| line.split_once(before)).expect("a message").1;
        rest.split('/').next().expect("an address").to_owned()
    }

    fn address(&self) -> String {
        self.address_after("serving http://")
    }

    fn pprof_address(&self) -> String {
        self.address_after("profiles at http://")
    }

    /// Asks it to end, as Ctrl-C does.
    #[cfg(unix)]
    fn interrupt(&self) {
        // What this test was started to ignore, as a background job is SIGINT, its children ignore as well.
        let signal = if ignored_signals() & 0b10 == 0 { "INT" } else { "TERM" };
        let kill = format!("kill -s {signal} {}", self.child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    }

    /// Waits for its end, and returns its exit code and all messages.
    fn end(&mut self) -> (Option<i32>, String) {
        let begin = Instant::now();
        let status = loop {
            if let Some(status) = self.child.try_wait().expect("its status") {
                break status;
            }
            assert!(begin.elapsed() < LONG, "it does not end: {:#?}", self.messages);
            std::thread::sleep(Duration::from_millis(5));
        };
        self.messages.extend(self.lines.iter());
        (status.code(), self.messages.join("\n"))
    }

    /// Its profile, checked.
    fn profile(&self) -> (Profile, String) {
        let json = support::read(&self.folder.path().join("p.json"));
        support::firefox::validate(&serde_json::from_slice(&json).expect("complete JSON"));
        (read_firefox(&mut &json[..]).expect("a profile"), text(&json))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // If a test has failed; else it is gone.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The signals that this process ignores, one bit each, the first signal lowest.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

/// Sends a request on a connection of its own.
fn ask(address: &str, path: &str) -> TcpStream {
    let mut connection = TcpStream::connect(address).expect("a connection");
    connection.set_read_timeout(Some(LONG)).expect("a time limit");
    write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sending");
    connection
}

/// Status and body of an answer; `None` if there is none.
fn answer(mut connection: TcpStream) -> Option<(u16, Vec<u8>)> {
    let mut answer = Vec::new();
    connection.read_to_end(&mut answer).ok()?;
    let end = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n")?;
    let status = text(&answer[9..12]).parse().expect("a status");
    Some((status, answer[end + 4..].to_vec()))
}

fn get(address: &str, path: &str) -> (u16, Vec<u8>) {
    answer(ask(address, path)).expect("an answer")
}

fn routes(profile: &Profile) -> Vec<String> {
    profile.report_by_label("route").rows.into_iter().map(|row| row.name).collect()
}

#[test]
fn requests_are_answered_and_profiled_by_route() {
    let mut server = Server::start(&["--requests", "40"]);
    let address = server.address();
    std::thread::scope(|scope| {
        for client in 0..4 {
            let address = address.as_str();
            scope.spawn(move || {
                for number in 0..10 {
                    let path = if (client + number) % 2 == 0 { "/busy?query" } else { "/wait" };
                    let (status, body) = get(address, path);
                    assert_eq!((status, text(&body).contains("hello")), (200, true), "{path}");
                }
            });
        }
    });
    let (code, messages) = server.end();
    assert_eq!(code, Some(0), "{messages}");
    assert!(messages.contains("40 requests, 0 failed"), "{messages}");
    let (profile, json) = server.profile();
    let routes = routes(&profile);
    for route in ["/busy", "/wait"] {
        assert!(routes.iter().any(|name| name == route), "{routes:?}");
        assert!(json.contains(&format!("GET {route}")), "no span for {route}");
    }
    assert!(!json.contains("GET /busy?"), "queries are no part of a route");
    // Nobody listens any more.
    assert!(TcpStream::connect(&address).is_err());
}

#[test]
fn connections_are_kept_until_the_end() {
    let mut server = Server::start(&["--requests", "3"]);
    let mut connection = TcpStream::connect(server.address()).expect("a connection");
    let mut reader = BufReader::new(connection.try_clone().expect("a second handle"));
    for _ in 0..3 {
        write!(connection, "GET / HTTP/1.1\r\nHost: test\r\n\r\n").expect("sending");
        // The body is chunked, or its length is known; either way `hello` is followed by the rest of it.
        let mut line = String::new();
        while line != "hello\n" {
            line.clear();
            assert_ne!(reader.read_line(&mut line).expect("a line"), 0, "the connection is closed");
        }
        // The end of the body, if it is chunked: an empty line after the chunk, and a last chunk.
        for _ in 0..3 {
            reader.read_line(&mut line).expect("a line");
        }
    }
    let (code, messages) = server.end();
    assert_eq!((code, messages.contains("3 requests, 0 failed")), (Some(0), true), "{messages}");
}

#[test]
fn a_guest_that_traps_is_a_failed_request() {
    let mut server = Server::start(&["--requests", "2"]);
    let (status, body) = get(&server.address(), "/trap");
    assert_eq!((status, text(&body).contains("500 Internal Server Error")), (500, true));
    assert_eq!(get(&server.address(), "/").0, 200);
    let (code, messages) = server.end();
    assert_eq!(code, Some(0), "{messages}");
    assert!(messages.contains("2 requests, 1 failed") && messages.contains("unreachable"), "{messages}");
    assert!(messages.contains("GET /trap"), "{messages}");
}

#[test]
fn the_server_ends_after_its_time() {
    let mut server = Server::start(&["--duration", "500ms"]);
    assert_eq!(get(&server.address(), "/").0, 200);
    let (code, messages) = server.end();
    assert_eq!((code, messages.contains("1 request, 0 failed")), (Some(0), true), "{messages}");
    server.profile();
}

#[test]
fn a_time_limit_ends_requests_that_never_would() {
    for sampler in ["auto", "epoch"] {
        let mut server = Server::start(&["-W", "timeout=3s", "--sampler", sampler, "--requests", "3"]);
        let address = server.address();
        // More than one thread, so that some of them have to be given back.
        let connections = [ask(&address, "/never"), ask(&address, "/never")];
        assert_eq!(get(&address, "/wait").0, 200, "{sampler}");
        for connection in connections {
            assert_eq!(answer(connection).expect("an answer").0, 500, "{sampler}");
        }
        let (code, messages) = server.end();
        assert_eq!((code, messages.contains("3 requests, 2 failed")), (Some(0), true), "{messages}");
        assert!(routes(&server.profile().0).iter().any(|route| route == "/never"));
    }
}

#[cfg(unix)]
#[test]
fn a_request_that_has_begun_is_finished() {
    for _ in 0..10 {
        let mut server = Server::start(&[]);
        let connection = ask(&server.address(), "/busy");
        std::thread::sleep(Duration::from_millis(15));
        server.interrupt();
        let answer = answer(connection);
        let (code, messages) = server.end();
        assert_eq!(code, Some(0), "{messages}");
        server.profile();
        // On a busy machine the signal may have come first.
        if let Some((status, body)) = answer
            && status == 200
        {
            assert!(text(&body).contains("hello"), "{}", text(&body));
            return;
        }
    }
    panic!("no request has begun in time");
}

#[cfg(unix)]
#[test]
fn a_second_signal_ends_it_at_once_with_a_profile() {
    let mut server = Server::start(&[]);
    let _connections: Vec<_> = (0..8).map(|_| ask(&server.address(), "/never")).collect();
    std::thread::sleep(Duration::from_millis(300));
    server.interrupt();
    server.wait_for("finishing requests");
    server.interrupt();
    let (code, messages) = server.end();
    assert!(matches!(code, Some(130 | 143)), "{code:?}: {messages}");
    assert!(routes(&server.profile().0).iter().any(|route| route == "/never"), "{messages}");
}

#[cfg(unix)]
#[test]
fn an_idle_connection_does_not_hold_up_the_end() {
    let mut server = Server::start(&[]);
    let _silent = TcpStream::connect(server.address()).expect("a connection");
    std::thread::sleep(Duration::from_millis(50));
    server.interrupt();
    let (code, messages) = server.end();
    assert_eq!((code, messages.contains("0 requests, 0 failed")), (Some(0), true), "{messages}");
}

#[test]
fn a_connection_to_the_shutdown_address_ends_it() {
    let mut server = Server::start(&["--shutdown-addr", "127.0.0.1:0"]);
    let address = server.address_after("a connection to ");
    let address = address.split(' ').next().expect("an address");
    drop(TcpStream::connect(address).expect("a connection"));
    assert_eq!(server.end().0, Some(0));
}

#[test]
fn profiles_of_the_running_server() {
    let mut server = Server::start(&["--pprof-addr", "0", "--requests", "200"]);
    let (address, pprof) = (server.address(), server.pprof_address());
    assert!(pprof.starts_with("127.0.0.1:"), "{pprof}");
    for bad in ["seconds=0", "seconds=x", "by=colour"] {
        assert_eq!(get(&pprof, &format!("/debug/pprof/profile?{bad}")).0, 400, "{bad}");
    }
    let (status, index) = get(&pprof, "/debug/pprof/");
    assert!(status == 200 && text(&index).contains("profile?seconds="), "{}", text(&index));
    // A page of the web can have a name of its own lead here.
    let mut connection = TcpStream::connect(&pprof).expect("a connection");
    write!(connection, "GET /debug/pprof/ HTTP/1.1\r\nHost: evil.example\r\nConnection: close\r\n\r\n")
        .expect("sending");
    assert_eq!(answer(connection).expect("an answer").0, 403);
    let mut connection = TcpStream::connect(&pprof).expect("a connection");
    write!(connection, "HEAD /debug/pprof/profile?seconds=3000 HTTP/1.0\r\n\r\n").expect("sending");
    let mut head = String::new();
    connection.read_to_string(&mut head).expect("an answer");
    let head = head.to_ascii_lowercase();
    let headers =
        ["200 ok", "content-type: application/octet-stream", "content-disposition: attachment; filename=\"profile\""];
    assert!(headers.iter().all(|header| head.contains(header)) && head.ends_with("\r\n\r\n"), "{head}");
    assert_eq!(get(&pprof, "/").0, 404);
    // The guest's own address has none of it: all paths are the guest's.
    assert!(text(&get(&address, "/debug/pprof/").1).contains("hello"));
    std::thread::scope(|scope| {
        let pprof = pprof.as_str();
        let scrapes = ["seconds=1", "seconds=1&by=interface", "seconds=1&debug=1"]
            .map(|query| scope.spawn(move || get(pprof, &format!("/debug/pprof/profile?{query}"))));
        // Ends with the server.
        let long = scope.spawn(move || get(pprof, "/debug/pprof/profile?seconds=3000"));
        let begin = Instant::now();
        let mut asked = 1;
        while begin.elapsed() < Duration::from_millis(1500) && asked < 150 {
            assert_eq!(get(&address, "/busy").0, 200);
            asked += 1;
        }
        let [functions, interfaces, table] = scrapes.map(|scrape| scrape.join().expect("a profile"));
        for (status, profile) in [functions, interfaces] {
            assert_eq!(status, 200);
            let profile = support::gunzip(&profile);
            let has = |name: &str| profile.windows(name.len()).any(|bytes| bytes == name.as_bytes());
            assert!(has("wasi:http/incoming-handler@0.2.0") && has("/busy"));
        }
        let (status, table) = (table.0, text(&table.1));
        assert!(status == 200 && table.contains("samples taken"), "{table}");
        assert!(table.contains("wasi:http/incoming-handler@0.2.0 (export)"), "{table}");
        (asked..200).for_each(|_| assert_eq!(get(&address, "/").0, 200));
        let (status, profile) = long.join().expect("a profile");
        assert_eq!((status, profile.is_empty()), (200, false));
    });
    let (code, messages) = server.end();
    assert_eq!((code, messages.contains("200 requests, 0 failed")), (Some(0), true), "{messages}");
}

/// Value of the sample of a metric whose labels have all of some parts; the only one that has.
fn metric(page: &str, name: &str, parts: &[&str]) -> f64 {
    let lines = page.lines().filter(|line| line.split(['{', ' ']).next() == Some(name));
    let mut found = lines.filter(|line| parts.iter().all(|part| line.contains(part)));
    let line = found.next().unwrap_or_else(|| panic!("no {name} with {parts:?} in {page}"));
    assert!(found.next().is_none(), "several {name} with {parts:?} in {page}");
    line.rsplit(' ').next().expect("a value").parse().expect("a number")
}

#[test]
fn metrics_count_what_was_done() {
    let mut server = Server::start(&["--pprof-addr", "0", "--trace-calls", "--keep-last", "1s"]);
    let (address, pprof) = (server.address(), server.pprof_address());
    let page = || {
        let mut answer = String::new();
        ask(&pprof, "/metrics").read_to_string(&mut answer).expect("an answer");
        assert!(answer.to_ascii_lowercase().contains("content-type: text/plain; version=0.0.4; charset=utf-8\r\n"));
        answer.split_once("\r\n\r\n").expect("a body").1.to_owned()
    };
    page();
    // Longer than anything is kept, so that times would go down if they were those of what is there.
    let begin = Instant::now();
    let (mut asked, mut own) = (0_u32, 0.0);
    let handle = ["interface=\"wasi:http/incoming-handler@0.2.0\"", "function=\"handle\"", "direction=\"export\""];
    while begin.elapsed() < Duration::from_secs(3) {
        assert_eq!(get(&address, &format!("/busy/{asked}")).0, 200);
        asked += 1;
        if asked.is_multiple_of(20) {
            let page = page();
            let now = metric(&page, "witprof_interface_seconds_total", &[&handle[..], &["part=\"own\""]].concat());
            assert!(now >= own, "{now} after {own}");
            own = now;
        }
    }
    get(&address, "/trap");
    // An exchange is over a moment after its answer.
    let begin = Instant::now();
    let page = loop {
        let page = page();
        if metric(&page, "witprof_requests_open", &[]) == 0.0 {
            break page;
        }
        assert!(begin.elapsed() < LONG, "{page}");
    };
    let count = f64::from(asked);
    let route = "route=\"/busy/{}\"";
    assert_eq!(metric(&page, "witprof_requests_total", &["method=\"GET\"", route]), count);
    assert_eq!(metric(&page, "witprof_requests_failed_total", &["route=\"/trap\""]), 1.0);
    assert_eq!(metric(&page, "witprof_request_duration_seconds_count", &[route]), count);
    assert_eq!(metric(&page, "witprof_request_duration_seconds_bucket", &[route, "le=\"+Inf\""]), count);
    assert!(metric(&page, "witprof_request_duration_seconds_sum", &[route]) > own * 0.5, "{page}");
    let taken = metric(&page, "witprof_samples_taken_total", &[]);
    let kept = metric(&page, "witprof_samples_kept_total", &[]);
    assert!(kept > 0.0 && kept <= taken, "{page}");
    if cfg!(target_os = "linux") {
        let calls = metric(&page, "witprof_interface_calls_total", &handle);
        // The one that trapped has not returned.
        assert_eq!(metric(&page, "witprof_interface_call_duration_seconds_count", &handle), calls);
        assert!(calls >= count, "{calls} of {count}");
        assert!(metric(&page, "witprof_guest_memory_bytes", &["memory="]) >= 0.0);
    }
    // Each metric is said once what it is, and all its samples follow.
    let mut seen = std::collections::HashSet::new();
    let mut last = "";
    for line in page.lines().filter(|line| !line.starts_with("# HELP")) {
        let name = line.strip_prefix("# TYPE ").unwrap_or(line).split(['{', ' ']).next().expect("a name");
        if line.starts_with("# TYPE") {
            assert!(seen.insert(name), "{name} twice");
            last = name;
        }
        assert!(name.starts_with(last) && name.starts_with("witprof_"), "{line} below {last}");
    }
    server.interrupt();
    assert_eq!(server.end().0, Some(0));
}

/// Requests that are fine, until they are damaged. (None of them takes a profile of some seconds.)
const REQUESTS: [&str; 8] = [
    "GET /debug/pprof/ HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "GET /debug/pprof/profile?seconds=x&by=interface&host-frames=all&debug=1 HTTP/1.1\r\nHost: 127.0.0.1:1\r\n\r\n",
    "HEAD /debug/pprof/profile?seconds=1&by=function&debug=0 HTTP/1.1\r\nHost: localhost\r\n\r\n",
    "POST /debug/witprof/capture HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n\r\nabc",
    "GET /metrics HTTP/1.1\r\nHost: [::1]:80\r\nAccept: text/plain\r\n\r\n",
    "GET /light/7 HTTP/1.1\r\nHost: x\r\ntraceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n\r\n",
    "POST /light HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "GET /%2e%2e/\u{fc}?a=b&&=%zz HTTP/1.0\r\n\r\n",
];

#[test]
fn damaged_requests_disturb_nobody() {
    use proptest::prelude::*;
    use proptest::test_runner::{Config, TestRunner};
    let options = ["--pprof-addr", "0", "--captures", "c,after=0s,files=3", "--header-timeout", "2s"];
    let mut server = Server::start(&options);
    let addresses = [server.address(), server.pprof_address()];
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..6);
    let request = (prop::sample::select(REQUESTS.to_vec()), damage, any::<prop::sample::Index>(), any::<bool>());
    // The same ones each time: a server is no function, so there is nothing to shrink.
    let mut runner = TestRunner::new_with_rng(
        Config::with_cases(400),
        proptest::test_runner::TestRng::deterministic_rng(proptest::test_runner::RngAlgorithm::ChaCha),
    );
    for number in 0..400 {
        let (text, damage, cut, is_cut) = request.new_tree(&mut runner).expect("a request").current();
        let mut bytes = text.as_bytes().to_vec();
        for (at, byte, how) in damage {
            let at = at.index(bytes.len());
            match how {
                0 => bytes[at] = byte,
                1 => bytes.insert(at, byte),
                _ => _ = bytes.remove(at),
            }
        }
        if is_cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let mut connection = TcpStream::connect(&addresses[number % 2]).expect("a connection");
        // Whether it is answered is the server's business; that it goes on is ours.
        connection.set_read_timeout(Some(Duration::from_millis(50))).expect("a time limit");
        let _ = connection.write_all(&bytes);
        let _ = connection.read_to_end(&mut Vec::new());
    }
    assert_eq!(get(&addresses[0], "/light").0, 200);
    assert_eq!(get(&addresses[1], "/metrics").0, 200);
    assert!(captures(&server.folder.path().join("c")).len() <= 3);
    server.interrupt();
    let (code, messages) = server.end();
    assert!(code == Some(0) && !messages.contains("panicked at"), "{messages}");
    assert!(!messages.contains("an instance failed"), "{messages}");
    server.profile();
}

/// The captures in a folder, by name.
fn captures(folder: &Path) -> Vec<std::path::PathBuf> {
    let Ok(entries) = std::fs::read_dir(folder) else { return Vec::new() };
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths
}

#[cfg(unix)]
#[test]
fn a_request_that_is_slow_leaves_a_file_that_shows_why() {
    use std::os::unix::fs::PermissionsExt as _;
    let options = ["--on-slow", "5min", "--on-slow", "40ms,route=/wait/{}", "--on-trap", "--on-signal", "USR1"];
    let folder = ["--captures", "kept/here,before=10s,after=1ms,every=1h,files=4", "--pprof-addr", "0"];
    let mut server = Server::start(&[&options[..], &folder].concat());
    let (address, pprof) = (server.address(), server.pprof_address());
    for path in ["/busy", "/wait/17?secret", "/busy", "/trap", "/wait/18"] {
        get(&address, path);
    }
    server.wait_for("captured: GET /trap failed");
    assert!(server.messages.iter().any(|line| line.contains("captured: GET /wait/17 took ")), "{:?}", server.messages);
    let folder = server.folder.path().join("kept/here");
    let files = captures(&folder);
    let [slow, failed] = &files[..] else { panic!("{files:?}") };
    let name = |path: &Path| path.file_name().expect("a name").to_string_lossy().into_owned();
    assert!(name(slow).contains("-slow-GET-wait") && name(failed).contains("-failed-GET-trap"), "{files:?}");
    for file in &files {
        assert_eq!(std::fs::metadata(file).expect("a file").permissions().mode() & 0o777, 0o600, "it is nobody else's");
    }
    assert_eq!(std::fs::metadata(&folder).expect("a folder").permissions().mode() & 0o777, 0o700);
    // The request alone, with what it waited for; and everything else if one asks.
    let report = |more: &[&str]| {
        let mut command = witprof(server.folder.path());
        let output = command.arg("report").args(more).arg(slow).output().expect("running witprof");
        assert!(output.status.success(), "{}", text(&output.stderr));
        text(&output.stdout)
    };
    let functions = ["--by", "interface-function"];
    let alone = report(&functions);
    assert!(alone.contains("captured: GET /wait/17 took ") && !alone.contains("secret"), "{alone}");
    assert!(alone.contains("wasi:io/poll@0.2.0#pollable.block"), "{alone}");
    assert_eq!(alone, report(&[&functions[..], &["--only", "captured"]].concat()));
    let routes = |more: &[&str]| report(&[&["--by", "label:route"], more].concat());
    assert!(routes(&[]).contains("/wait/{}") && !routes(&[]).contains("/busy"));
    assert!(routes(&["--only", "everything"]).contains("/busy"));
    // Whoever asks.
    let kill = format!("kill -s USR1 {}", server.child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    server.wait_for("captured: SIGUSR1");
    let post = |headers: &str| {
        let mut connection = TcpStream::connect(&pprof).expect("a connection");
        let head = format!("Host: {pprof}\r\nConnection: close\r\nContent-Length: 0\r\n{headers}\r\n");
        write!(connection, "POST /debug/witprof/capture HTTP/1.1\r\n{head}").expect("sending");
        answer(connection).expect("an answer")
    };
    assert_eq!(post("Origin: http://evil.example\r\n").0, 403, "no page of the web may ask");
    assert_eq!(get(&pprof, "/debug/witprof/capture").0, 405);
    let mut path = String::new();
    for _ in 0..3 {
        let (status, body) = post("");
        assert_eq!(status, 201);
        path = text(&body).trim_end().to_owned();
    }
    let files = captures(&folder);
    assert_eq!((files.len(), files.contains(slow)), (4, false), "the oldest is gone");
    assert!(files.contains(&server.folder.path().join(&path)), "{path} {files:?}");
    // What is under way when the server ends is written, too.
    server.interrupt();
    let (code, messages) = server.end();
    assert_eq!(code, Some(0), "{messages}");
    for refused in [["--on-slow", "soon"], ["--captures", "x,files=0"], ["--on-signal", "KILL"]] {
        assert_refused(&[&refused[..], &[&guest()]].concat(), &[refused[0]]);
    }
    #[cfg(target_os = "linux")]
    assert_refused(&["--signal", "10", "--on-signal", "USR1", &guest()], &["same signal"]);
}

#[test]
fn only_so_many_profiles_are_taken_at_a_time() {
    let mut server = Server::start(&["--pprof-addr", "0"]);
    let pprof = server.pprof_address();
    let (sender, statuses) = mpsc::channel();
    for _ in 0..17 {
        let (connection, sender) = (ask(&pprof, "/debug/pprof/profile?seconds=3000"), sender.clone());
        std::thread::spawn(move || sender.send(answer(connection).expect("an answer").0));
    }
    assert_eq!(statuses.recv_timeout(LONG), Ok(503), "one too many");
    // What takes no time is there all the same.
    assert_eq!(get(&pprof, "/debug/pprof/").0, 200);
    server.interrupt();
    for _ in 0..16 {
        assert_eq!(statuses.recv_timeout(LONG), Ok(200));
    }
    assert_eq!(server.end().0, Some(0));
}

/// More than a server has seats for, and than many systems allow a process.
#[cfg(unix)]
const CROWD: usize = 3000;

#[cfg(unix)]
#[test]
fn idle_connections_by_the_thousand_do_not_stop_it() {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit }).expect("more files");
    let mut server = Server::start(&["--pprof-addr", "0"]);
    let (address, pprof) = (server.address(), server.pprof_address());
    // Some say nothing, some begin to ask and stop there, and some have got an answer.
    let mut crowd = Vec::new();
    for number in 0..CROWD {
        let to = if number % 8 == 0 { &pprof } else { &address };
        let Ok(mut connection) = TcpStream::connect(to) else { continue };
        match number % 3 {
            0 => {}
            1 => _ = write!(connection, "GET / HTTP/1.1\r\nHost: {to}\r\nX-Slow: "),
            _ => _ = write!(connection, "GET / HTTP/1.1\r\nHost: {to}\r\n\r\n"),
        }
        crowd.push(connection);
    }
    for _ in 0..20 {
        assert_eq!(get(&address, "/").0, 200);
        assert_eq!(get(&pprof, "/debug/pprof/").0, 200);
    }
    server.interrupt();
    let (code, messages) = server.end();
    assert_eq!(code, Some(0), "{messages}");
    assert!(messages.contains(", 0 failed") && !messages.contains("connection failed"), "{messages}");
    drop(crowd);
}

#[test]
fn who_takes_too_long_to_ask_is_sent_away() {
    let mut server = Server::start(&["--header-timeout", "200ms"]);
    let address = server.address();
    for begin in ["", "GET / HT", "GET / HTTP/1.1\r\nHost: x\r\nX-Slow: 1\r\n"] {
        let mut connection = TcpStream::connect(&address).expect("a connection");
        connection.set_read_timeout(Some(LONG)).expect("a time limit");
        connection.write_all(begin.as_bytes()).expect("sending");
        // The end, and not the time limit of this test.
        let mut rest = Vec::new();
        assert!(connection.read_to_end(&mut rest).is_ok(), "{begin:?}");
    }
    server.interrupt();
    let (code, messages) = server.end();
    assert!(code == Some(0) && !messages.contains("connection failed"), "{messages}");
}

/// A background job of a script ignores SIGINT, and whoever manages services terminates it.
#[cfg(target_os = "linux")]
#[test]
fn a_request_to_terminate_ends_it_whatever_was_ignored() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' INT TERM; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_witprof"), "serve"]);
    command.args(["--addr", "127.0.0.1:0", "-o", "p.json", &guest()]).current_dir(folder.path());
    let mut child = command.stderr(Stdio::piped()).spawn().expect("starting witprof");
    let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines().map(|line| line.expect("UTF-8"));
    let line = lines.find(|line| line.contains("ends it")).expect("a message");
    assert!(line.contains("SIGTERM ends it") && line.contains("ignore"), "{line}");
    let kill = |signal: &str| {
        let kill = format!("kill -s {signal} {}", child.id());
        assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    };
    kill("INT");
    kill("TERM");
    let rest: Vec<String> = lines.collect();
    assert!(rest.iter().any(|line| line.contains("0 requests, 0 failed")), "{rest:?}");
    let status = child.wait().expect("its status");
    assert!(status.success() && folder.path().join("p.json").exists(), "{status} {rest:?}");
}

#[test]
fn options_of_wasmtime_serve_are_taken() {
    let options = [
        &["-S", "cli", "-H", "x-test: 1", "--max-instance-reuse-count", "5"][..],
        &["--max-instance-concurrent-reuse-count=2", "--idle-instance-timeout=10ms", "--no-logging-prefix"],
        &["--max-concurrent-requests=2", "--max-concurrent-connections=2"],
        &["-O", "pooling-allocator=n", "-S", "config,config-var=a=b,keyvalue", "-S", "p3=n"],
        &["-W", "max-memory-size=1000000,fuel=1000000000", "--env", "A=B"],
        &["--trace-calls=cpu"],
    ];
    for options in options {
        let mut server = Server::start(&[options, &["--requests", "8"]].concat());
        let address = server.address();
        for number in 0..8 {
            // Beyond the time that an instance is kept, too.
            std::thread::sleep(Duration::from_millis(if number == 4 { 50 } else { 0 }));
            assert_eq!(get(&address, "/").0, 200, "{options:?}");
        }
        let (code, messages) = server.end();
        assert_eq!((code, messages.contains("8 requests, 0 failed")), (Some(0), true), "{options:?}: {messages}");
        server.profile();
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let help = witprof(folder.path()).args(["serve", "--help"]).output().expect("running witprof");
    let help = text(&help.stdout);
    let wanted = "--addr --shutdown-addr --no-logging-prefix --max-instance-reuse-count --idle-instance-timeout \
        --max-instance-concurrent-reuse-count --header --max-concurrent-requests --max-concurrent-connections --dir --env \
        -S, -W, -O, --output --interval --sampler --clock --quiet --duration --requests --pprof-addr --trace-calls";
    for option in wanted.split_whitespace() {
        assert!(help.contains(option), "no {option} in: {help}");
    }
}

/// Fails with exit code 2 and a message that contains all of `parts`, and leaves no file.
fn assert_refused(arguments: &[&str], parts: &[&str]) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("core.wat"), "(module)").expect("writing a test file");
    let output: Output = witprof(folder.path()).arg("serve").args(arguments).output().expect("running witprof");
    let message = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{arguments:?}: {message}");
    assert!(parts.iter().all(|part| message.contains(part)), "{arguments:?}: {message}");
    let files = std::fs::read_dir(folder.path()).expect("the folder").count();
    assert_eq!(files, 1, "{arguments:?} left files behind");
}

#[test]
fn what_cannot_be_served_is_refused() {
    let (http, one_module) = (guest(), support::root().join("tests/map/one_module.wat"));
    let (http, one_module) = (http.as_str(), one_module.to_string_lossy());
    assert_refused(&[&one_module], &["wasi:http/incoming-handler", "it exports", "answer"]);
    assert_refused(&["core.wat"], &["core.wat", "core module"]);
    assert_refused(&["missing.wasm"], &["missing.wasm"]);
    assert_refused(&[], &["WASM"]);
    assert_refused(&["-H", "no colon", http], &["no colon"]);
    assert_refused(&["-S", "http=n", http], &["http"]);
    assert_refused(&["--profile=guest", http], &["--profile"]);
    assert_refused(&["--pprof-addr", "example", http], &["--pprof-addr"]);
    assert_refused(&["--requests", "0", http], &["--requests"]);
    assert_refused(&["--duration", "soon", http], &["--duration"]);
    assert_refused(
        &["--dir", "/nowhere/at/all", "--addr", "127.0.0.1:0", http],
        &["`--dir /nowhere/at/all`", "no such folder"],
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = taken.local_addr().expect("its address").to_string();
    assert_refused(&["--addr", &address, http], &["listening on", &address]);
}
