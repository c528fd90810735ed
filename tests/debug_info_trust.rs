//! Debug info that is not of the code that it comes with, or of a part of it only: no line is shown that is not so, and a
//! message says why there are none.
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::path::Path;

use serde_json::Value;

use self::command::{printed, text, witprof};

/// Runs `spin` of a guest, and returns what was said and the rows of a report by line.
fn lines_of(folder: &Path, guest: &str, rounds: &str) -> (String, Vec<(String, f64)>) {
    let guest = support::root().join("tests/guests").join(guest);
    let guest = guest.to_str().expect("UTF-8");
    let output = witprof(folder, &["run", "-o", "p.json", "--invoke", "spin", guest, rounds]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{message}");
    let report = printed(folder, &["report", "--by", "line", "--json", "p.json"]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let rows = report["rows"].as_array().expect("rows").iter().map(|row| {
        let (name, share) = (row["name"].as_str().expect("a name"), row["self_pct"].as_f64().expect("a share"));
        (name.to_owned(), share)
    });
    (message, rows.collect())
}

/// The part of the time that has a line of a C file.
fn share_of_c(rows: &[(String, f64)], file: &str) -> f64 {
    rows.iter().filter(|(name, _)| name.contains(file)).map(|(_, share)| share).sum()
}

#[test]
fn stale_debug_info_gives_no_lines() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (message, rows) = lines_of(folder.path(), "hot-c-stale.wasm", "10");
    assert_eq!(share_of_c(&rows, ".c:") + share_of_c(&rows, ".h:"), 0.0, "{rows:?}");
    assert!(rows.iter().any(|(name, share)| name.contains("churn") && *share > 50.0), "{rows:?}");
    let said: Vec<&str> = message.lines().filter(|line| line.contains("lines of source code")).collect();
    let [said] = said[..] else { panic!("once: {message}") };
    assert!(said.contains("1 of 1 source files (`hot-c.c`) does not fit the code"), "{said}");
    assert!(said.contains("`wasm-opt`"), "{said}");
    // The profile says it, too.
    let profile = witprof::read_firefox(&mut &support::read(&folder.path().join("p.json"))[..]).expect("a profile");
    assert!(profile.missing_lines().iter().any(|reason| reason.contains("does not fit the code")));
}

#[test]
fn hot_functions_without_lines_are_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (message, rows) = lines_of(folder.path(), "half-lines.wasm", "20");
    assert!(rows.iter().any(|(name, share)| name == "grind" && *share > 50.0), "{rows:?}");
    // The other file may be too short to be seen; with it or without, there is one reason.
    let said: Vec<&str> = message.lines().filter(|line| line.contains("lines of source code")).collect();
    let [said] = said[..] else { panic!("once: {message}") };
    let names_it = said.contains("where much of its time goes: `grind`") && said.contains("`-g`");
    assert!(names_it || said.contains("says nothing of the functions that ran"), "{said}");
    assert_eq!(share_of_c(&rows, "half-lines.c:"), 0.0, "{rows:?}");
}

#[test]
fn debug_info_that_fits_is_believed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (guest, file) in [("hot-c.wasm", "hot-c-mix.h:"), ("hot-rust.wasm", "hot-rust-mix.rs:")] {
        let guest = support::root().join("tests/guests").join(guest);
        let guest = guest.to_str().expect("UTF-8");
        let output = witprof(folder.path(), &["run", "-o", "p.json", "--invoke", "spin(20)", guest]);
        let message = text(&output.stderr);
        assert!(!message.contains("lines of source code"), "{message}");
        let report = printed(folder.path(), &["report", "--by", "line", "p.json"]);
        assert!(report.contains(file), "{report}");
    }
}
