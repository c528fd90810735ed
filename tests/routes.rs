//! Requests that differ in a number or an identifier only are of one route. Every test runs a server in a process of its own.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use witprof::{Profile, read_firefox};

/// More than any step of a test takes, on a busy machine.
const LONG: Duration = Duration::from_secs(60);

/// Serves `paths`, and returns what the server has said, its profile, and that as text.
fn serve(options: &[&str], paths: &[String]) -> (String, Profile, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let requests = paths.len().to_string();
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder.path()).stdin(Stdio::null()).stderr(Stdio::piped());
    command.args(["serve", "--addr", "127.0.0.1:0", "-o", "p.json", "--requests", &requests]).args(options);
    let mut child = command.arg(support::root().join("tests/guests/http.wat")).spawn().expect("starting witprof");
    let mut lines = BufReader::new(child.stderr.take().expect("its stderr")).lines().map(|line| line.expect("UTF-8"));
    let address = lines.find_map(|line| Some(line.strip_prefix("serving http://")?.trim_end_matches('/').to_owned()));
    let address = address.expect("the address");
    for path in paths {
        let mut connection = TcpStream::connect(&address).expect("a connection");
        connection.set_read_timeout(Some(LONG)).expect("a time limit");
        write!(connection, "GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").expect("sending");
        let mut answer = Vec::new();
        let _ = connection.read_to_end(&mut answer);
    }
    let messages: Vec<String> = lines.collect();
    assert!(child.wait().expect("its end").success(), "{messages:#?}");
    let json = support::read(&folder.path().join("p.json"));
    support::firefox::validate(&serde_json::from_slice(&json).expect("complete JSON"));
    let profile = read_firefox(&mut &json[..]).expect("a profile");
    (messages.join("\n"), profile, String::from_utf8(json).expect("UTF-8"))
}

fn routes(profile: &Profile) -> Vec<String> {
    profile.report_by_label("route").rows.into_iter().map(|row| row.name).collect()
}

#[test]
fn numbers_do_not_make_a_route_each_and_markers_keep_the_path() {
    // The guest is busy for paths that begin with a b, and traps for those with a t.
    let mut paths: Vec<String> = (1..=30).map(|number| format!("/book/{number}/orders")).collect();
    paths.extend(["/book/123e4567-e89b-12d3-a456-426614174000/orders?x=1", "/trap/77"].map(str::to_owned));
    let (messages, profile, json) = serve(&[], &paths);
    let rows = routes(&profile);
    assert_eq!(rows.iter().filter(|row| row.starts_with("/book")).collect::<Vec<_>>(), ["/book/{}/orders"], "{rows:?}");
    let spans: Vec<_> = profile.spans().iter().filter(|span| span.name == "GET /book/{}/orders").collect();
    assert_eq!(spans.len(), 31);
    for path in ["/book/1/orders", "/book/30/orders", "/book/123e4567-e89b-12d3-a456-426614174000/orders"] {
        assert!(spans.iter().any(|span| span.path.as_deref() == Some(path)), "{path}: {spans:#?}");
        assert!(json.contains(path), "{path}");
    }
    // Whoever looks for a failure needs the path.
    assert!(messages.contains("GET /trap/77 failed"), "{messages}");
}

#[test]
fn a_pattern_says_what_is_one_route() {
    let paths = ["/book/anna/1", "/book/ben/2", "/busy/a/b/c", "/busy/d"].map(str::to_owned);
    let (_, profile, _) = serve(&["--route", "/book/{name}/{id}", "--route=/busy/{rest...}"], &paths);
    let mut names: Vec<_> = profile.spans().iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["GET /book/{name}/{id}", "GET /book/{name}/{id}", "GET /busy/{rest...}", "GET /busy/{rest...}"]);
    for bad in ["book", "/book/x{id}", "/{rest...}/x"] {
        let output = Command::new(env!("CARGO_BIN_EXE_witprof")).args(["serve", "--route", bad, "x.wasm"]).output();
        let output = output.expect("running witprof");
        assert_eq!(output.status.code(), Some(2), "{bad}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--route"), "{bad}");
    }
}
