//! The WIT of WASI 0.2.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Copies it into a folder, as if it was of another version of 0.2: what is used of it has not changed.
pub fn copy_wasi(folder: &Path, version: &str) {
    /// The version that Wasmtime 48 has.
    const VERSION: &str = "0.2.12";
    for of_crate in [("wasmtime-wasi", "src/p2/wit/deps"), ("wasmtime-wasi-http", "wit/deps")] {
        for file in std::fs::read_dir(sources(of_crate)).expect("the WIT of WASI") {
            let file = file.expect("a file");
            let text = std::fs::read_to_string(file.path()).expect("reading WIT").replace(VERSION, version);
            std::fs::write(folder.join(file.file_name()), text).expect("writing WIT");
        }
    }
}

/// A folder in the sources of a crate.
fn sources((name, folder): (&str, &str)) -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.current_dir(super::root()).args(["metadata", "--format-version", "1", "--locked", "--offline"]);
    // Crates for other platforms are not there.
    cargo.args(["--filter-platform", "x86_64-unknown-linux-gnu"]);
    let output = cargo.output().expect("running cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).expect("JSON");
    let mut packages = metadata["packages"].as_array().expect("packages").iter();
    let found = packages.find(|package| package["name"] == name).expect("the crate");
    let manifest = Path::new(found["manifest_path"].as_str().expect("a path"));
    manifest.parent().expect("a folder").join(folder)
}
