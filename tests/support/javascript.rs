//! Components of JavaScript, made by componentize-js with its own engines, and by componentize-qjs with QuickJS. What uses them needs those
//! programs; see `can_build`.

use std::path::PathBuf;
use std::process::Command;

use super::{programs, wit};

/// What makes components of JavaScript, in the version that `tests/set-up` installs.
const COMPONENTIZE_JS: &str = "@bytecodealliance/componentize-js@0.23.0";

/// What makes components with QuickJS, the same.
const COMPONENTIZE_QJS: &str = "componentize-qjs@0.4.5";

/// The version of WASI that the engines of componentize-js are made for.
const WASI: &str = "0.2.10";

const BUILD: &str = include_str!("../javascript/starlingmonkey/build.mjs");

/// Which engine a component has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Engine {
    /// StarlingMonkey, as a release, which has no names.
    Release,
    /// The same for debugging.
    Debug,
    /// quickjs-ng, which has no names either.
    QuickJs,
}

/// Whether there is what makes components of JavaScript.
pub fn can_build() -> bool {
    programs::can_run(&["node", "componentize-js", "componentize-qjs"])
}

/// The component of a program with a world, which is built once for each version of them.
pub fn component(engine: Engine, app: &str, world: &str, world_name: &str) -> PathBuf {
    let version = [WASI, wit::VERSION_3].into_iter().find(|version| world.contains(version)).unwrap_or(wit::VERSION);
    let key = (engine, app, world_name, COMPONENTIZE_JS, COMPONENTIZE_QJS, BUILD);
    wit::built("javascript", key, (world, version), |folder| {
        std::fs::write(folder.join("app.js"), app).expect("writing JavaScript");
        if engine == Engine::QuickJs {
            let mut make =
                Command::new(programs::folder_of(COMPONENTIZE_QJS).join("node_modules/.bin/componentize-qjs"));
            make.args(["--wit", "wit", "--js", "app.js", "--world", world_name, "--output", "app.wasm"]);
            return make;
        }
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
