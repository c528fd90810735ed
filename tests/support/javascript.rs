//! Components of JavaScript, made by componentize-js with its own engines. What uses them needs that program; see `can_build`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs;

/// What makes components of JavaScript, in the version that `tests/set-up` installs.
const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";

/// The version of WASI that its engines are made for.
const WASI: &str = "0.2.10";

const BUILD: &str = include_str!("../javascript/build.mjs");

/// Which engine of componentize-js a component has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// That of a release, which has no names.
    Release,
    Debug,
}

/// Whether there is what makes components of JavaScript.
pub fn can_build() -> bool {
    programs::can_run(&["node", "componentize-js"])
}

/// The component of a program with a world, which is built once for each version of them.
pub fn component(engine: Engine, app: &str, world: &str, world_name: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (engine, app, world, world_name, COMPONENTIZE_JS, BUILD).hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let component = folder.join(format!("javascript-{:016x}.wasm", hasher.finish()));
    if component.exists() {
        return component;
    }
    std::fs::create_dir_all(folder).expect("the folder for temporary files");
    let build = tempfile::tempdir_in(folder).expect("a temporary folder");
    let wit = build.path().join("wit");
    std::fs::create_dir_all(wit.join("deps")).expect("a folder");
    std::fs::write(wit.join("world.wit"), world).expect("writing WIT");
    super::wit::copy_wasi(&wit.join("deps"), if world.contains(WASI) { WASI } else { "0.2.12" });
    std::fs::write(build.path().join("app.js"), app).expect("writing JavaScript");
    std::fs::write(build.path().join("build.mjs"), BUILD).expect("writing JavaScript");
    // Node.js looks for packages beside the program that asks for them.
    let packages = programs::folder_of(COMPONENTIZE_JS).join("node_modules");
    std::os::unix::fs::symlink(packages, build.path().join("node_modules")).expect("a link");
    let engine = if engine == Engine::Debug { "debug" } else { "release" };
    let mut make = Command::new("node");
    make.current_dir(build.path()).args(["build.mjs", engine, "app.js", "wit", world_name, "app.wasm"]);
    let output = make.output().expect("running node");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    std::fs::rename(build.path().join("app.wasm"), &component).expect("moving the component");
    component
}
