//! The map of a process's generated code that `perf` reads.

use std::fmt::Write as _;
use std::io::Write;

use super::escape::escape_name;
use crate::error::{Error, Result};
use crate::symbols::{Function, Layer, SymbolMap};

/// Writes every function of `map`, each once, as lines `START SIZE NAME` in hexadecimal, where the text section of the
/// compiled code begins at `text`: the format of `/tmp/perf-PID.map` (`tools/perf/Documentation/jit-interface.txt` in the
/// Linux kernel). A name is the interface, or else the library, then the function and the layer:
/// `wasi:io/streams@0.2.6 output-stream.write [trampoline]`. `PerfMap` does this for the running process, on Linux.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_perf_map(map: &SymbolMap, text: u64, out: &mut dyn Write) -> Result<()> {
    let mut lines = String::new();
    for function in map.functions() {
        let start = text.saturating_add(function.offset().get().into());
        // Writing to a string does not fail.
        let _ = writeln!(lines, "{start:x} {:x} {}", function.size(), escape_name(&perf_name(function)));
    }
    out.write_all(lines.as_bytes()).map_err(|source| Error::Write { format: "perf map", source })
}

/// What a function is called where there are no libraries.
pub(crate) fn perf_name(function: Function<'_>) -> String {
    let library = &function.library().name;
    let place = match function.layer() {
        // What implements an interface function is named after it by itself.
        Layer::Script | Layer::Guest | Layer::Host => library,
        Layer::Adapter | Layer::Trampoline => function.interface().unwrap_or(library),
    };
    format!("{place} {} [{}]", function.name(), function.layer().name())
}
