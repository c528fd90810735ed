//! Components of Python, made by componentize-py as it is, without any option. What uses them needs that program; see `can_build`.

use std::path::PathBuf;
use std::process::Command;

use super::{programs, wit};

/// What makes components of Python, in the version that `tests/set-up` installs.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Whether there is what makes components of Python.
pub fn can_build() -> bool {
    programs::can_run(&["componentize-py"])
}

/// The component of a program with a world, which is built once for each version of them.
pub fn component(app: &str, world: &str, world_name: &str) -> PathBuf {
    let key = (app, world_name, COMPONENTIZE_PY);
    wit::built("python", key, (world, wit::VERSION), |folder| {
        std::fs::write(folder.join("app.py"), app).expect("writing Python");
        let mut make = Command::new(programs::of_pypi(COMPONENTIZE_PY, "componentize-py"));
        make.args(["-d", "wit", "-w", world_name, "componentize", "app", "-o", "app.wasm"]);
        make
    })
}
