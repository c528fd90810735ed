//! `witprof view`: what is served, to whom, and until when. Every test runs `witprof` in a process of its own.
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::collections::HashSet;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use witprof::{CodePoint, FunctionKind, Layer, Profile, ProfileFunction, read_firefox};

use self::command::{printed, text, witprof};

/// A running `witprof view`.
struct View {
    process: Child,
    messages: BufReader<ChildStderr>,
    /// Address and port.
    host: String,
    /// The secret part of the path.
    root: String,
}

impl View {
    fn start(folder: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
        command.current_dir(folder).args(["view", "--no-open"]).args(arguments);
        command.env("PROFILER_URL", "http://front-end.example/").stdin(Stdio::null()).stderr(Stdio::piped());
        let mut process = command.spawn().expect("running witprof");
        let mut messages = BufReader::new(process.stderr.take().expect("its stderr"));
        let mut first = String::new();
        messages.read_line(&mut first).expect("a message");
        let page = first.trim().strip_prefix("open http://front-end.example/from-url/").expect(&first);
        let page = page.replace("%3A", ":").replace("%2F", "/");
        let (profile, symbols) = page.split_once("/?symbolServer=").expect("a symbol server");
        assert_eq!(profile, format!("{symbols}/profile.json"));
        let address = symbols.strip_prefix("http://").expect("an address");
        let (host, root) = address.split_once('/').expect("a path");
        assert!(host.starts_with("127.0.0.1:") && root.len() >= 30, "{page}");
        Self { host: host.to_owned(), root: format!("/{root}"), process, messages }
    }

    /// The head and the body of an answer.
    fn ask(&self, request: &[u8]) -> (String, Vec<u8>) {
        let mut connection = TcpStream::connect(&self.host).expect("a connection");
        // The server need not read what it does not want.
        let _ = connection.write_all(request);
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
        let end = answer.windows(4).position(|end| end == b"\r\n\r\n").expect("the end of a head");
        let body = answer.split_off(end + 4);
        (text(&answer), body)
    }

    /// The same, of a request without a body.
    fn request(&self, method: &str, path: &str, headers: &str) -> (String, Vec<u8>) {
        let host = &self.host;
        self.ask(format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{headers}\r\n").as_bytes())
    }

    fn load(&self) -> Vec<u8> {
        let (head, body) = self.request("GET", &format!("{}/profile.json", self.root), "");
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        body
    }

    fn post(&self, path: &str, body: &str) -> (String, Vec<u8>) {
        let (host, root, length) = (&self.host, &self.root, body.len());
        let head =
            format!("POST {root}{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\nContent-Length: {length}");
        self.ask(format!("{head}\r\n\r\n{body}").as_bytes())
    }

    /// The answer of the symbol server.
    fn answer(&self, path: &str, question: &Value) -> Value {
        let (head, body) = self.post(path, &question.to_string());
        assert!(head.starts_with("HTTP/1.1 200") && head.contains("access-control-allow-origin: *"), "{head}");
        serde_json::from_slice(&body).expect("JSON")
    }

    fn error(&self, path: &str, question: &Value) -> String {
        let answer = self.answer(path, question);
        answer["error"].as_str().unwrap_or_else(|| panic!("no error: {answer}")).to_owned()
    }

    /// As the front-end asks for the source of a frame.
    fn source(&self, file: &str) -> Value {
        let question = json!({ "debugName": "x", "debugId": "01", "moduleOffset": "0x1", "file": file });
        self.answer("/source/v1", &question)
    }

    /// Waits for the end, and returns the rest of the messages.
    fn end(mut self) -> (ExitStatus, String) {
        let mut messages = String::new();
        self.messages.read_to_string(&mut messages).expect("messages");
        (self.process.wait().expect("its end"), messages)
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn guests() -> String {
    support::root().join("tests/guests").display().to_string()
}

fn guest(name: &str) -> String {
    format!("{}/{name}", guests())
}

/// A folder with a profile, `p.json`, of a guest with known lines.
fn profiled(options: &[&str], guest: &str) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    printed(folder.path(), &[&["run", "--quiet", "-o", "p.json"], options, &[guest]].concat());
    folder
}

fn spin(options: &[&str]) -> TempDir {
    profiled(&[&["--invoke", "spin(20)"], options].concat(), &guest("hot-c.wasm"))
}

fn read_profile(folder: &TempDir) -> Profile {
    read_firefox(&mut &support::read(&folder.path().join("p.json"))[..]).expect("a profile")
}

#[test]
fn a_profile_is_served_to_the_front_end_and_to_nobody_who_guesses() {
    let folder = spin(&[]);
    let stored = folder.path().join("p.json.gz");
    printed(folder.path(), &["convert", "p.json", "-o", "p.json.gz"]);
    let view = View::start(folder.path(), &["p.json.gz"]);
    let profile = format!("{}/profile.json", view.root);
    let source = format!("{}/source/v1", view.root);
    let (head, body) = view.request("GET", &profile, "Origin: http://front-end.example\r\n");
    assert!(head.starts_with("HTTP/1.1 200") && head.contains("access-control-allow-origin: *"), "{head}");
    assert_eq!(body, support::read(&stored));
    for (path, methods) in [(&profile, "GET, HEAD"), (&source, "POST")] {
        let asks = "Origin: http://front-end.example\r\nAccess-Control-Request-Private-Network: true\r\n";
        let (head, _) = view.request("OPTIONS", path, asks);
        assert!(head.starts_with("HTTP/1.1 204") && head.contains("access-control-allow-private-network: true"));
        assert!(head.contains(&format!("access-control-allow-methods: {methods}")), "{head}");
    }
    let (head, _) = view.request("DELETE", &profile, "");
    assert!(head.starts_with("HTTP/1.1 405"), "{head}");
    // A path that is guessed, and the right one under a name that another page may have given to this address.
    let refused = |(head, body): (String, Vec<u8>)| {
        assert!(head.contains(" 404 ") && !head.contains("access-control"), "{head}");
        assert!(body.is_empty());
    };
    let wrong = profile.replacen(|char: char| char != '/', "x", 1);
    for path in ["/", "/profile.json", "/source/v1", &wrong, &format!("{}/x", view.root), &view.root] {
        for method in ["GET", "POST", "OPTIONS"] {
            refused(view.request(method, path, ""));
        }
    }
    for host in ["", "Host: elsewhere.example\r\n", "Host: 127.0.0.1.elsewhere.example\r\n", "Host: \u{e9}\r\n"] {
        let head = format!("GET {profile} HTTP/1.0\r\n{host}\r\n");
        refused(view.ask(head.as_bytes()));
    }
}

#[test]
fn sources_are_those_of_the_profile() {
    let folder = spin(&[]);
    let secret = folder.path().join("secret.c");
    std::fs::write(&secret, "secret").expect("writing");
    let view = View::start(folder.path(), &["--source", &guests(), "p.json"]);
    for file in ["hot-c.c", "hot-c-mix.h"] {
        let answer = view.source(file);
        let expected = text(&support::read(&support::root().join("tests/guests").join(file)));
        assert_eq!((&answer["file"], &answer["source"]), (&file.into(), &expected.into()), "{answer}");
    }
    for other in ["secret.c", &secret.display().to_string(), "../hot-c.c", "hot-rust.rs", "", "/", "\0"] {
        let answer = view.source(other);
        assert!(answer["source"].is_null() && answer["error"].is_string(), "{answer}");
    }
    // Without the folder: what to do.
    let view = View::start(folder.path(), &["p.json"]);
    let answer = view.source("hot-c.c");
    assert!(answer["error"].as_str().is_some_and(|error| error.contains("--source FOLDER")), "{answer}");
    // Around the component.
    let view = View::start(folder.path(), &["--component", &guest("hot-c.wasm"), "p.json"]);
    assert!(view.source("hot-c.c")["source"].is_string());
}

#[test]
fn any_question_is_harmless() {
    let folder = spin(&[]);
    let view = View::start(folder.path(), &["--component", &guest("hot-c.wasm"), "p.json"]);
    let paths = ["/source/v1", "/asm/v1", "/symbolicate/v5"];
    for path in paths {
        for body in ["", "{", "[]", "null", "{\"file\":1}", "\u{0}", "{\"jobs\":[{}]}", &"[".repeat(100_000)] {
            let (head, answer) = view.post(path, body);
            assert!(head.starts_with("HTTP/1.1 200"), "{head}");
            let answer: Value = serde_json::from_slice(&answer).expect("JSON");
            assert!(answer["error"].is_string(), "{path} {body}: {answer}");
        }
        let (head, _) = view.post(path, &" ".repeat((16 << 20) + 1));
        assert!(head.starts_with("HTTP/1.1 413"), "{head}");
    }
    for address in ["", "0x", "-1", "0xffffffff", "0x100000000", "é"] {
        let question = json!({ "debugName": "hot-c/hot-c.core.wasm", "startAddress": address, "size": "x" });
        assert!(!view.error("/asm/v1", &question).is_empty());
    }
    // The names that the profile has are all that there are.
    let question = json!({ "jobs": [{ "memoryMap": [["a", "b"]], "stacks": [[[0, 16], [7, 1]]] }] });
    let result = &view.answer("/symbolicate/v5", &question)["results"][0];
    assert_eq!(result["found_modules"], json!({ "a/b": false }));
    assert_eq!(result["stacks"][0][0], json!({ "frame": 0, "module": "a", "module_offset": "0x10" }));
    view.load();
}

/// Asks for the machine code of a function.
fn assembly(view: &View, profile: &Profile, function: &ProfileFunction) -> Value {
    let name = &profile.libraries()[function.library.index()].name;
    let question = json!({
        "debugName": name, "debugId": "01", "name": name, "codeId": null, "startAddress": format!("{:#x}", function.offset),
        "size": format!("{:#x}", function.size), "continueUntilFunctionEnd": false,
    });
    view.answer("/asm/v1", &question)
}

/// Checks the machine code of all functions of a profile: each sample is of an instruction. Returns how many functions there
/// are, and the text of all.
fn check_assembly(view: &View, profile: &Profile) -> (usize, String) {
    let mut listing = String::new();
    let mut count = 0;
    let samples = profile.threads().iter().flat_map(|thread| &thread.samples);
    let frames = samples.map(|sample| profile.stacks()[sample.stack.index()].frame);
    let innermost: HashSet<CodePoint> = frames.map(|frame| profile.frames()[frame.index()].point).collect();
    for (index, function) in profile.functions().iter().enumerate() {
        let layer = profile.libraries()[function.library.index()].layer;
        if function.kind == FunctionKind::Inlined || function.size == 0 || layer == Layer::Host {
            continue;
        }
        let answer = assembly(view, profile, function);
        assert_eq!(answer["arch"], std::env::consts::ARCH, "{answer}");
        assert_eq!(answer["startAddress"], format!("{:#x}", function.offset));
        let instructions = answer["instructions"].as_array().expect("instructions");
        let begin = |instruction: &Value| u32::try_from(instruction[0].as_u64()?).ok();
        let begins: HashSet<u32> = instructions.iter().filter_map(begin).collect();
        for frame in profile.frames().iter().filter(|frame| frame.function.index() == index) {
            let at = frame.point.lookup_offset().get() - function.offset;
            // Of a call that is going on, its last byte is known, and nothing need follow it.
            let is_known = if innermost.contains(&frame.point) {
                begins.contains(&at)
            } else {
                begins.contains(&(at + 1)) || at + 1 == function.size
            };
            assert!(is_known, "{}: {at} of {answer}", function.name);
        }
        for instruction in instructions {
            listing.push_str(instruction[1].as_str().expect("a text"));
            listing.push('\n');
        }
        count += 1;
    }
    (count, listing)
}

#[test]
fn machine_code_is_that_of_the_samples() {
    let (hot_c, hot_rust) = (guest("hot-c.wasm"), guest("hot-rust.wasm"));
    let kitchen = support::kitchen().display().to_string();
    let spin = ["--invoke", "spin(20)"];
    let optimised = [&spin[..], &["-O", "opt-level=0"]].concat();
    let by_epochs = [&spin[..], &["--sampler", "epoch"]].concat();
    let cases: [(&[&str], &[&str], &String, &str); 5] = [
        (&spin, &[], &hot_c, "<churn>"),
        (&spin, &[], &hot_rust, "churn>"),
        (&[], &[], &kitchen, "<"),
        // With the options of the recording.
        (&optimised, &["-O", "opt-level=0"], &hot_c, "<churn>"),
        (&by_epochs, &[], &hot_c, "<churn>"),
    ];
    for (run, view, guest, called) in cases {
        let folder = profiled(run, guest);
        let profile = read_profile(&folder);
        let view = View::start(folder.path(), &[view, &["--component", guest, "p.json"]].concat());
        let (count, listing) = check_assembly(&view, &profile);
        assert!(count > 1 && listing.contains(called), "{guest}: {listing}");
    }
}

#[test]
fn other_machine_code_is_refused() {
    let folder = spin(&[]);
    let profile = read_profile(&folder);
    let functions = profile.functions();
    let churn = functions.iter().find(|function| function.name == "churn").expect("churn");
    let error = |arguments: &[&str]| {
        let view = View::start(folder.path(), &[arguments, &["p.json"]].concat());
        assembly(&view, &profile, churn)["error"].as_str().expect("an error").to_owned()
    };
    assert!(error(&[]).contains("--component WASM"));
    // A file of the right name is tried, but not believed.
    let beside = folder.path().join("hot-c.wasm");
    std::fs::copy(guest("hot-rust.wasm"), &beside).expect("copying");
    assert!(error(&[]).contains("hot-c.wasm` compiles to other code than was profiled"));
    std::fs::copy(guest("hot-c.wasm"), &beside).expect("copying");
    assert!(check_assembly(&View::start(folder.path(), &["p.json"]), &profile).0 > 1);
    let hot_c = guest("hot-c.wasm");
    for other in [&["--component", &guest("hot-rust.wasm")][..], &["--component", &hot_c, "-O", "opt-level=0"]] {
        let error = error(other);
        assert!(error.contains("compiles to other code than was profiled"), "{error}");
    }
    let no_wasm = guest("hot-c.c");
    assert!(error(&["--component", &no_wasm]).contains("hot-c.c"));
    // The host's own code was not compiled by Wasmtime.
    let host = functions
        .iter()
        .find(|function| profile.libraries()[function.library.index()].layer == Layer::Host && function.size > 0);
    if let Some(host) = host {
        let view = View::start(folder.path(), &["--component", &hot_c, "p.json"]);
        let answer = assembly(&view, &profile, host);
        assert!(answer["error"].as_str().is_some_and(|error| error.contains("a function of the host")), "{answer}");
    }
}

#[test]
fn it_ends_when_nobody_asks_any_more() {
    let folder = spin(&[]);
    // The page was loaded, all of it, and asks for nothing.
    let view = View::start(folder.path(), &["--timeout", "0s", "p.json"]);
    assert!(view.load().len() > 100);
    let (status, messages) = view.end();
    assert!(status.success() && messages.contains("the page has asked for nothing for 0s"), "{messages}");
    // It was never loaded.
    let view = View::start(folder.path(), &["--load-timeout", "0s", "p.json"]);
    let (status, messages) = view.end();
    assert!(status.success() && messages.contains("the page was not loaded for 0s"), "{messages}");
    assert!(messages.contains("`--load-timeout never` stays"), "{messages}");
    // Longer than clocks can tell is for ever, and so is `never`.
    for time in ["never", "500000000000years"] {
        let view = View::start(folder.path(), &["--timeout", time, "p.json"]);
        view.load();
        view.load();
    }
}

/// Only so many connections are taken at a time; others wait for one of them to end.
#[test]
fn connections_are_limited() {
    let folder = spin(&[]);
    let view = View::start(folder.path(), &["p.json"]);
    view.load();
    let mut idle: Vec<TcpStream> =
        (0..64).map(|_| TcpStream::connect(&view.host).expect("a connection that is taken")).collect();
    let mut waiting = TcpStream::connect(&view.host).expect("a connection that waits");
    let (host, root) = (&view.host, &view.root);
    let request = format!("GET {root}/profile.json HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n");
    waiting.write_all(request.as_bytes()).expect("asking");
    waiting.set_read_timeout(Some(Duration::from_millis(300))).expect("a time limit");
    let early = waiting.read(&mut [0]).expect_err("an answer on one connection too many");
    assert!(matches!(early.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{early}");
    waiting.set_read_timeout(None).expect("no time limit");
    idle.pop();
    let mut answer = Vec::new();
    waiting.read_to_end(&mut answer).expect("an answer");
    assert!(answer.starts_with(b"HTTP/1.1 200"), "{}", text(&answer));
}

#[test]
fn symbols_of_other_profiles_are_where_they_were() {
    let profile = support::root().join("tests/profiles/samply.json.gz");
    let view = View::start(&support::root(), &[&profile.display().to_string()]);
    let (head, _) = view.post("/symbolicate/v5", "{}");
    assert!(head.starts_with("HTTP/1.1 307"), "{head}");
    assert!(head.contains("location: https://symbolication.services.mozilla.com/symbolicate/v5"), "{head}");
}

#[test]
fn what_cannot_be_served_is_said() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("no.json"), "{}").expect("writing");
    for (arguments, expected) in [
        (&["none.json"][..], "reading the profile `none.json`"),
        (&["no.json"], "reading the profile `no.json`"),
        (&["--source", "nowhere", "no.json"], "`--source nowhere`: there is no such folder"),
        (&["--component", "no.wasm", "no.json"], "`--component no.wasm`: there is no such file"),
        (&["--timeout", "soon", "no.json"], "soon"),
        (&["--component", "-", "-"], "`-` is stdin"),
    ] {
        let output = witprof(folder.path(), &[&["view", "--no-open"], arguments].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains(expected) && !message.contains("panicked"), "{arguments:?}: {message}");
    }
}
