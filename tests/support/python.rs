//! Components of Python, made by componentize-py as it is, without any option. What uses them needs that program; see `can_build`.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::programs;

/// What makes components of Python, in the version that `tests/set-up` installs.
const COMPONENTIZE_PY: &str = "componentize-py==0.25.1";

/// Whether there is what makes components of Python.
pub fn can_build() -> bool {
    programs::can_run(&["componentize-py"])
}

/// The component of a program with a world, which is built once for each version of them.
pub fn component(app: &str, world: &str, world_name: &str) -> PathBuf {
    let mut hasher = DefaultHasher::new();
    (app, world, world_name, COMPONENTIZE_PY).hash(&mut hasher);
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let component = folder.join(format!("python-{:016x}.wasm", hasher.finish()));
    if component.exists() {
        return component;
    }
    std::fs::create_dir_all(folder).expect("the folder for temporary files");
    let build = tempfile::tempdir_in(folder).expect("a temporary folder");
    let wit = build.path().join("wit");
    std::fs::create_dir_all(wit.join("deps")).expect("a folder");
    std::fs::write(wit.join("world.wit"), world).expect("writing WIT");
    super::wit::copy_wasi(&wit.join("deps"), "0.2.12");
    std::fs::write(build.path().join("app.py"), app).expect("writing Python");
    let mut make = Command::new(programs::of_pypi(COMPONENTIZE_PY, "componentize-py"));
    make.current_dir(build.path()).args(["-d", "wit", "-w", world_name, "componentize", "app", "-o", "app.wasm"]);
    let output = make.output().expect("running componentize-py");
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
    std::fs::rename(build.path().join("app.wasm"), &component).expect("moving the component");
    component
}
