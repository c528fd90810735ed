//! Code that toolchains put into a component, and that its author does not compile: interpreters, C libraries, glue.

use crate::symbols::is_toolchain_module;

/// Whether whoever wrote a component compiles `function` of `library`. Told by names alone, so it is for advice only.
pub(super) fn is_authors(library: &str, function: &str) -> bool {
    let module = library.rsplit('/').next().unwrap_or(library);
    // `shim (start-up)`.
    let module = module.split_once(" (").map_or(module, |(module, _)| module);
    !is_toolchain_module(module)
        && !NAMESPACES.iter().any(|begin| function.starts_with(begin))
        && !is_pythons(function)
        && FUNCTIONS.binary_search(&function).is_err()
}

/// Whether a name is one of CPython's: `PyObject_Call`, `_PyEval_EvalFrameDefault`, `_Py_Dealloc`. What an extension begins
/// with, `PyInit_it`, is its author's.
fn is_pythons(function: &str) -> bool {
    let rest = function.trim_start_matches('_').strip_prefix("Py");
    rest.is_some_and(|rest| rest.starts_with(|char: char| char.is_ascii_uppercase() || char == '_'))
        && !function.starts_with("PyInit_")
        && !function.contains("::")
}

/// What the names of functions of interpreters and libraries begin with, where modules have no names of their own.
const NAMESPACES: [&str; 6] = ["js::", "JS::", "mozilla::", "__wasilibc_", "__wasi_", "cabi_realloc_wit_bindgen"];

/// Functions that C libraries and bindings bring along, in order.
const FUNCTIONS: [&str; 61] = [
    "__wasm_call_ctors",
    "__wasm_call_dtors",
    "_start",
    "abort",
    "aligned_alloc",
    "cabi_realloc",
    "calloc",
    "dlcalloc",
    "dlfree",
    "dlmalloc",
    "dlmemalign",
    "dlrealloc",
    "emmalloc_free",
    "emmalloc_malloc",
    "exit",
    "fclose",
    "fflush",
    "fopen",
    "fprintf",
    "fputc",
    "fputs",
    "fread",
    "free",
    "fwrite",
    "getenv",
    "internal_memalign",
    "malloc",
    "memchr",
    "memcmp",
    "memcpy",
    "memmove",
    "memrchr",
    "memset",
    "posix_memalign",
    "printf",
    "printf_core",
    "puts",
    "qsort",
    "realloc",
    "reallocarray",
    "sbrk",
    "snprintf",
    "sprintf",
    "strcat",
    "strchr",
    "strcmp",
    "strcpy",
    "strdup",
    "strlen",
    "strncmp",
    "strncpy",
    "strnlen",
    "strrchr",
    "strstr",
    "strtod",
    "strtol",
    "strtoul",
    "vfprintf",
    "vprintf",
    "vsnprintf",
    "vsprintf",
];

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
            ("python/libc++abi.so", "func[7]"),
            ("app/wit-component:shim", "func[7]"),
            ("app/fixups (start-up)", "func[7]"),
            ("python/module[0]", "PyObject_CallNoArgs"),
            ("python/module[0]", "PyLong_FromLong"),
            ("python/module[0]", "_Py_Dealloc"),
            ("c/module[0]", "calloc"),
            ("c/module[0]", "memmove"),
            ("js/module[0]", "js::Interpret(JSContext*, js::RunState&)"),
        ] {
            assert!(!is_authors(library, function), "{library} {function}");
        }
        for (library, function) in [
            ("c/c-core.wasm", "mandelbrot_row"),
            ("app/app.wasm", "app::js::parse"),
            ("app/shimmer.wasm", "glow"),
            ("app/starlings.wasm", "fly"),
            ("app/libcurves.so", "curve"),
            ("app/module[0]", "Pythagoras"),
            ("app/module[0]", "PyInit_curves"),
            ("app/module[0]", "memory"),
        ] {
            assert!(is_authors(library, function), "{library} {function}");
        }
        assert!(FUNCTIONS.is_sorted());
    }
}
