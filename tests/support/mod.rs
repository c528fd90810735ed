//! What several test binaries need.
#![allow(dead_code, reason = "each test binary uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "test support")]

pub mod firefox;

use std::path::{Path, PathBuf};

use wasmtime::component::Component;
use wasmtime::{Config, Engine};

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The bundled composition of two real components.
pub fn kitchen() -> PathBuf {
    root().join("examples/kitchen.wasm")
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// An engine with everything that components in the tests use.
pub fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_memory64(true)
        .wasm_component_model_async(true)
        .wasm_component_model_more_async_builtins(true)
        .wasm_component_model_async_stackful(true)
        .wasm_component_model_threading(true)
        .wasm_component_model_error_context(true)
        .epoch_interruption(true);
    config
}

pub fn engine() -> Engine {
    Engine::new(&config()).expect("a configuration that Wasmtime supports here")
}

/// An engine whose images `witprof run` accepts: its defaults, with epoch interruption.
pub fn engine_like_the_command_line() -> Engine {
    Engine::new(Config::new().epoch_interruption(true)).expect("a configuration that Wasmtime supports here")
}

/// Compiles WAT or a binary.
pub fn component(engine: &Engine, bytes: &[u8]) -> Component {
    Component::new(engine, bytes).unwrap_or_else(|error| panic!("compiling a component: {error:?}"))
}

/// Compares `actual` with the file `golden`, or rewrites it if `WITPROF_BLESS` is set.
pub fn assert_golden(golden: &Path, actual: &str) {
    if std::env::var_os("WITPROF_BLESS").is_some() {
        std::fs::write(golden, actual).expect("writing a golden file");
        return;
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    let difference = expected.lines().zip(actual.lines()).position(|(expected, actual)| expected != actual);
    assert!(
        expected == actual,
        "{} differs, first in line {}. If the new text is right, run the tests with WITPROF_BLESS=1.\n{actual}",
        golden.display(),
        difference.unwrap_or_else(|| expected.lines().count().min(actual.lines().count())) + 1,
    );
}
