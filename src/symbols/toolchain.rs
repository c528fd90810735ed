//! Core modules that toolchains put into a component: interpreters, C libraries, glue.

/// Whether a core module of this name tells which toolchain made a component, and nothing about the component.
pub(crate) fn is_toolchain_module(name: &str) -> bool {
    let name = without_ending(name);
    MODULES.contains(&name) || FAMILIES.iter().any(|begin| name.starts_with(begin))
}

/// The name of a core module without what a file of it ends in.
pub(super) fn without_ending(name: &str) -> &str {
    [".wasm", ".so"].iter().find_map(|end| name.strip_suffix(end)).unwrap_or(name)
}

/// Such modules, without what files of them end in.
const MODULES: [&str; 14] = [
    // Of `wasm-tools component new`, `componentize-py` and their linker.
    "shim",
    "fixups",
    "wasi-preview1-adapter",
    "wasi_snapshot_preview1",
    "__init",
    "componentize_py_runtime",
    // Of WASI's SDK.
    "libc",
    "libc++",
    "libc++abi",
    "libdl",
    "libm",
    // Interpreters.
    "starling",
    "starling-raw",
    "spidermonkey",
];

/// What the names of such modules begin with, where versions and parts follow.
const FAMILIES: [&str; 7] = [
    "wit-component:",
    "wasi_snapshot_preview1.",
    "libcomponentize_py_",
    "libwasi-emulated-",
    "libpython3",
    "starlingmonkey_",
    "spidermonkey_",
];
