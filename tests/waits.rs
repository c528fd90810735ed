//! What guests of WASI 0.3 wait for, where their calls are traced.
#![allow(missing_docs, reason = "tests")]
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

#[path = "support/command.rs"]
mod command;
mod support;

use serde_json::Value;

use self::command::printed;

#[test]
fn the_time_suspended_in_an_import_is_the_imports() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guest = support::root().join("tests/guests/wait_p3.wat");
    let guest = guest.to_str().expect("UTF-8");
    let options = ["-S", "p3", "-W", "component-model-async=y", "-o", "p.json"];
    printed(folder.path(), &[&["run", "--quiet", "--trace-calls"], &options[..], &[guest]].concat());
    let report = printed(folder.path(), &["report", "--by", "interface-function", "--json", "p.json"]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    let blocked = |name: &str| {
        let rows = report["rows"].as_array().expect("rows").iter();
        let rows = rows.filter(|row| row["name"].as_str().is_some_and(|found| found.contains(name)));
        rows.map(|row| row["blocked_ms"].as_f64().expect("a time")).sum::<f64>()
    };
    // It waits ten times 20 ms, and nothing returns before its time.
    let waited = blocked("wasi:clocks/monotonic-clock@0.3.0#wait-for");
    assert!(waited >= 190.0, "{waited} ms: {report:#}");
    assert!(blocked("(no interface)") < waited / 10.0, "{report:#}");
}
