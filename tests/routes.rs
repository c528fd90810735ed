//! Requests that differ in a number or an identifier only are of one route. Every test runs a server in a process of its own.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::process::Command;

use support::serving;
use witprof::Profile;

/// Serves `paths`, and returns what the server has said, its profile, and that as text.
fn serve(options: &[&str], paths: &[String]) -> (String, Profile, String) {
    serving::serve(&support::root().join("tests/guests/http.wat"), options, paths)
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
