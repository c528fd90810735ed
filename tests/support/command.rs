//! `witprof` in a process of its own.
#![allow(unreachable_pub, reason = "test support")]

use std::path::Path;
use std::process::{Command, Output, Stdio};

pub fn witprof(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command.args(arguments).output().expect("running witprof")
}

pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// What a command that has to succeed prints.
pub fn printed(folder: &Path, arguments: &[&str]) -> String {
    let output = witprof(folder, arguments);
    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}
