//! The WebAssembly text of single functions.

use std::io;
use std::ops::Range;

use anyhow::{Context as _, Result};
use wasmparser::{Parser, Payload};
use wasmprinter::{Config, Print};
use witprof::WasmOffset;

/// The text of the functions of a component or module that `offsets` are in, line by line, with the place of each line in the
/// binary. Empty if they are in none.
pub(super) fn wasm_text(wasm: &[u8], offsets: &[WasmOffset]) -> Result<Vec<(Option<WasmOffset>, String)>> {
    let bodies = bodies(wasm, offsets)?;
    if bodies.is_empty() {
        return Ok(Vec::new());
    }
    let mut lines = Lines { bodies, at: None, line: String::new(), kept: Vec::new(), is_inside: false };
    Config::new().print(wasm, &mut lines).context("it is not valid WebAssembly")?;
    lines.end_line();
    Ok(lines.kept)
}

/// Where the functions are that `offsets` are in.
fn bodies(wasm: &[u8], offsets: &[WasmOffset]) -> Result<Vec<Range<usize>>> {
    let mut bodies = Vec::new();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CodeSectionEntry(body) = payload.context("it is not valid WebAssembly")? {
            let range = body.range();
            if offsets.iter().any(|offset| range.contains(&(offset.get() as usize))) {
                bodies.push(range);
            }
        }
    }
    Ok(bodies)
}

/// Keeps the lines of some functions, of a text that may be a hundred times as long as its binary.
struct Lines {
    bodies: Vec<Range<usize>>,
    /// Where the line is that is being printed.
    at: Option<usize>,
    line: String,
    kept: Vec<(Option<WasmOffset>, String)>,
    /// Whether the line before was kept.
    is_inside: bool,
}

impl Lines {
    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        // Lines without a place, such as locals, belong to those before them.
        self.is_inside = match self.at {
            Some(at) => self.bodies.iter().any(|body| body.contains(&at)),
            None => self.is_inside,
        };
        if self.is_inside && !line.trim().is_empty() {
            let at = self.at.and_then(|at| u32::try_from(at).ok()).map(WasmOffset::new);
            self.kept.push((at, line));
        }
        self.at = None;
    }
}

impl Print for Lines {
    fn write_str(&mut self, text: &str) -> io::Result<()> {
        let mut parts = text.split('\n');
        self.line.push_str(parts.next().unwrap_or_default());
        for part in parts {
            self.end_line();
            self.line.push_str(part);
        }
        Ok(())
    }

    fn newline(&mut self) -> io::Result<()> {
        self.end_line();
        Ok(())
    }

    fn start_line(&mut self, binary_offset: Option<usize>) {
        self.at = binary_offset;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_functions_of_the_offsets_are_printed() {
        let wat = "(module (func $a (result i32) i32.const 1) (func $b (result i32) i32.const 2 i32.const 3 i32.add))";
        let wasm = wat::parse_str(wat).expect("valid text");
        let offset_of = |needle: &[u8]| {
            let at = wasm.windows(needle.len()).position(|window| window == needle).expect("it is there");
            WasmOffset::new(u32::try_from(at).expect("short"))
        };
        let at = offset_of(&[0x41, 3]);
        let text = wasm_text(&wasm, &[at]).expect("valid WebAssembly");
        let line = text.iter().find(|(offset, _)| *offset == Some(at)).map(|(_, line)| line.trim());
        assert_eq!(line, Some("i32.const 3"), "{text:?}");
        assert!(text.iter().all(|(_, line)| !line.contains("i32.const 1")), "{text:?}");
        assert!(wasm_text(&wasm, &[WasmOffset::new(1_000_000)]).expect("valid WebAssembly").is_empty());
        assert!(wasm_text(b"\0asm", &[at]).is_err());
    }
}
