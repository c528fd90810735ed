//! The WIT of WASI 0.2 and 0.3, and components that are built with it.

use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// The version that Wasmtime 48 has.
pub const VERSION: &str = "0.2.12";

/// That of 0.3.
pub const VERSION_3: &str = "0.3.0";

/// Copies it into a folder, as if it was of another version of 0.2: what is used of it has not changed.
fn copy_wasi(folder: &Path, version: &str) {
    let of_crates = match version {
        VERSION_3 => [("wasmtime-wasi", "src/p3/wit/deps"), ("wasmtime-wasi-http", "src/p3/wit/deps")],
        _ => [("wasmtime-wasi", "src/p2/wit/deps"), ("wasmtime-wasi-http", "wit/deps")],
    };
    for of_crate in of_crates {
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

/// The component that `make` makes, in a folder that has a world with WASI of a version in `wit`, of what is hashed to a key: once for each.
/// `make` leaves it as `app.wasm`.
pub fn built(
    kind: &str,
    key: impl Hash,
    (world, version): (&str, &str),
    make: impl FnOnce(&Path) -> Command,
) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (key, world).hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let component = folder.join(format!("{kind}-{:016x}.wasm", hasher.finish()));
    if component.exists() {
        return component;
    }
    std::fs::create_dir_all(folder).expect("the folder for temporary files");
    let build = tempfile::tempdir_in(folder).expect("a temporary folder");
    let wit = build.path().join("wit");
    std::fs::create_dir_all(wit.join("deps")).expect("a folder");
    std::fs::write(wit.join("world.wit"), world).expect("writing WIT");
    copy_wasi(&wit.join("deps"), version);
    let output = make(build.path()).current_dir(build.path()).output().expect("running what makes components");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    std::fs::rename(build.path().join("app.wasm"), &component).expect("moving the component");
    component
}
