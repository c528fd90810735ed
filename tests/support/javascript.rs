//! Components of JavaScript, made by componentize-js with its own engines. What uses them needs that program; see `can_build`.

use std::path::PathBuf;
use std::process::Command;

use super::{programs, wit};

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
    let version = if world.contains(WASI) { WASI } else { wit::VERSION };
    let key = (engine, app, world_name, COMPONENTIZE_JS, BUILD);
    wit::built("javascript", key, (world, version), |folder| {
        std::fs::write(folder.join("app.js"), app).expect("writing JavaScript");
        std::fs::write(folder.join("build.mjs"), BUILD).expect("writing JavaScript");
        // Node.js looks for packages beside the program that asks for them.
        let packages = programs::folder_of(COMPONENTIZE_JS).join("node_modules");
        std::os::unix::fs::symlink(packages, folder.join("node_modules")).expect("a link");
        let engine = if engine == Engine::Debug { "debug" } else { "release" };
        let mut make = Command::new("node");
        make.args(["build.mjs", engine, "app.js", "wit", world_name, "app.wasm"]);
        make
    })
}
