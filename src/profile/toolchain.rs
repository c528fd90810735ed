//! Code that toolchains put into a component, and that its author does not compile: interpreters, C libraries, glue.

/// Whether whoever wrote a component compiles `function` of `library`. Told by names alone, so it is for advice only.
pub(super) fn is_authors(library: &str, function: &str) -> bool {
    let module = library.rsplit('/').next().unwrap_or(library);
    !MODULES.iter().any(|begin| module.starts_with(begin))
        && !INTERPRETERS.iter().any(|begin| function.starts_with(begin))
        && !FUNCTIONS.contains(&function)
}

/// What the names of such modules begin with.
const MODULES: [&str; 15] = [
    // Of `wasm-tools component new`, `componentize-py` and their linker.
    "shim",
    "fixups",
    "wasi-preview1-adapter",
    "wasi_snapshot_preview1",
    "wit-component:",
    "__init",
    "componentize_py_runtime",
    "libcomponentize_py",
    // Of WASI's SDK.
    "libc.so",
    "libc++",
    "libdl.so",
    "libwasi-emulated-",
    // Interpreters.
    "libpython",
    "starling",
    "spidermonkey",
];

/// What the names of functions of interpreters begin with, where modules have no names of their own.
const INTERPRETERS: [&str; 4] = ["js::", "JS::", "mozilla::", "_Py"];

/// Functions that C libraries and bindings bring along.
const FUNCTIONS: [&str; 8] = ["cabi_realloc", "malloc", "free", "realloc", "dlmalloc", "dlfree", "memcpy", "memset"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_and_glue_are_not_the_authors() {
        for (library, function) in [
            ("python/libpython3.14.so", "_PyEval_EvalFrameDefault"),
            ("python/libc.so", "memcpy"),
            ("app/wasi-preview1-adapter", "fd_write"),
            ("js/starling-raw.wasm", "func[7]"),
            ("js/module[0]", "js::Interpret(JSContext*, js::RunState&)"),
        ] {
            assert!(!is_authors(library, function), "{library} {function}");
        }
        for (library, function) in [("c/c-core.wasm", "mandelbrot_row"), ("app/app.wasm", "app::js::parse")] {
            assert!(is_authors(library, function), "{library} {function}");
        }
    }
}
