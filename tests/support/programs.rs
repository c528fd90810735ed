//! Programs of others that tests compare with, or build guests with: perf, Go, a browser.

use std::collections::HashMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};

/// Whether these programs can be run. What is missing is installed first, where that is possible (`tests/set-up`). Where it
/// is not, this says so on the terminal, past what the test harness captures, and the test has to return; with `CI=true`
/// it fails instead, because there a test that is left out goes unnoticed.
pub fn can_run(programs: &[&str]) -> bool {
    let Some(missing) = missing(programs) else { return true };
    leave_out(&missing);
    false
}

/// Says that the current test is left out, because it needs what is not there; fails with `CI=true`.
pub fn leave_out(missing: &str) {
    let thread = std::thread::current();
    let line = format!("test {} ... ignored: needs {missing}\n", thread.name().unwrap_or("?"));
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{line}");
    // `eprintln!` would be captured.
    std::io::stderr().write_all(line.as_bytes()).expect("writing to stderr");
}

/// A program of a package of PyPI, where `tests/set-up` installs it.
pub fn of_pypi(package: &str, program: &str) -> PathBuf {
    folder_of(package).join("bin").join(program)
}

/// The folder that `tests/set-up` installs a package into.
pub fn folder_of(package: &str) -> PathBuf {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let home = || folder("HOME").unwrap_or_else(|| PathBuf::from("/root")).join(".cache");
    let cache = folder("XDG_CACHE_HOME").unwrap_or_else(home);
    cache.join("witprof-tests").join(package)
}

/// Which of these programs cannot be run, if any.
fn missing(programs: &[&str]) -> Option<String> {
    /// Looking takes a process, and installing what cannot be had takes long: once for all tests of this process.
    static KNOWN: Mutex<Option<HashMap<String, Option<String>>>> = Mutex::new(None);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let known = known.get_or_insert_default();
    known.entry(programs.join(" ")).or_insert_with(|| look(programs)).clone()
}

fn look(programs: &[&str]) -> Option<String> {
    let mut set_up = Command::new("bash");
    set_up.arg(super::root().join("tests/set-up")).args(programs).stdin(Stdio::null()).stderr(Stdio::inherit());
    let Ok(output) = set_up.output() else { return Some("bash, which looks for other programs".to_owned()) };
    let found = String::from_utf8_lossy(&output.stdout);
    let missing: Vec<&str> = found.lines().collect();
    // 2 is an error of the test itself.
    assert_eq!(output.status.code(), Some(i32::from(!missing.is_empty())), "tests/set-up {programs:?}: {found}");
    (!missing.is_empty()).then(|| missing.join(", "))
}
