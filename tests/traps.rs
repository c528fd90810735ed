//! Guests that trap, by the binary: lines in the backtrace where they are asked for, and no time of it in the profile.
#![allow(missing_docs, reason = "tests")]
#![cfg(unix)]

#[path = "support/command.rs"]
mod command;
mod support;

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;

use self::command::{printed, text};

/// Runs the guest that traps, and returns what it says.
fn trapped(folder: &Path, variable: (&str, &str), options: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("RUST_BACKTRACE").env(variable.0, variable.1);
    command.args(["run", "-o", "p.json", "--invoke", "boom"]).args(options);
    command.arg(support::root().join("tests/guests/trap-c.wasm")).arg("20");
    let output = command.output().expect("running witprof");
    let message = text(&output.stderr);
    assert!(!output.status.success() && message.contains("unreachable"), "{message}");
    message
}

#[test]
fn a_trap_has_lines_if_they_are_asked_for() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let source = text(&support::read(&support::root().join("tests/guests/trap-c.c")));
    let line = source.lines().position(|line| line.ends_with("// TRAP LINE")).expect("the line") + 1;
    let place = format!("trap-c.c:{line}");
    // The check of epochs at the beginning of a function leaves its trap without a line; the caller has one.
    for (sampler, place) in [("auto", place.as_str()), ("epoch", "trap-c.c:")] {
        let message = trapped(folder.path(), ("WASMTIME_BACKTRACE_DETAILS", "1"), &["--sampler", sampler]);
        assert!(message.contains(place), "{sampler}: {message}");
    }
    let message = trapped(folder.path(), ("WASMTIME_BACKTRACE_DETAILS", "0"), &[]);
    assert!(!message.contains("trap-c.c:"), "{message}");
}

#[test]
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
fn making_a_backtrace_is_no_time_of_the_guest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let message = trapped(folder.path(), ("RUST_BACKTRACE", "1"), &["--interval", "500us"]);
    assert!(message.contains("Stack backtrace:"), "{message}");
    let report = printed(folder.path(), &["report", "--by", "function", "--json", "--top", "1000", "p.json"]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let number = |value: &Value, key: &str| value[key].as_f64().expect("a number");
    let rows = report["rows"].as_array().expect("rows");
    // Debug info is read for a backtrace only.
    assert!(!rows.iter().any(|row| row["name"].as_str().is_some_and(|name| name.contains("gimli"))), "{report:#}");
    let boom = rows.iter().find(|row| row["name"] == "boom").expect("the guest");
    assert!(number(boom, "self_pct") > 50.0, "{report:#}");
    assert!(number(&report, "profiler_ms") > 0.0, "{report:#}");
}
