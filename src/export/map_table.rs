//! The symbol map as a table for a person.

use std::io::{self, Write};

use super::escape::escape_name;
use crate::error::{Error, Result};
use crate::symbols::{Function, Layer, SymbolMap};

/// How much of a map to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum MapDetail {
    /// The libraries by layer.
    #[default]
    Libraries,
    /// Each function of each library as well.
    Functions,
}

/// Writes `map` as a table: libraries by layer, the largest first, and their functions if `detail` asks for them.
/// Names are escaped for a terminal.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_map_table(map: &SymbolMap, detail: MapDetail, out: &mut dyn Write) -> Result<()> {
    table(map, detail, out).map_err(|source| Error::Write { format: "map table", source })
}

fn table(map: &SymbolMap, detail: MapDetail, out: &mut dyn Write) -> io::Result<()> {
    writeln!(
        out,
        "{}: {} bytes of text, {} functions in {} libraries, {} bytes of padding, {} bytes unattributed",
        escape_name(map.component()),
        map.text_bytes(),
        map.functions().len(),
        map.libraries().len(),
        map.padding_bytes(),
        map.unattributed_bytes(),
    )?;
    let mut functions: Vec<Vec<Function<'_>>> = vec![Vec::new(); map.libraries().len()];
    for function in map.functions() {
        functions[function.library_index() as usize].push(function);
    }
    for layer in Layer::ALL {
        let mut libraries: Vec<_> =
            map.libraries().iter().zip(&functions).filter(|(library, _)| library.layer == layer).collect();
        if libraries.is_empty() {
            continue;
        }
        libraries.sort_by(|(a, _), (b, _)| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        writeln!(out, "\n{:<11} {:>10} {:>9}", layer.name(), "bytes", "functions")?;
        for (library, functions) in libraries {
            writeln!(out, "  {:>20} {:>9}  {}", library.bytes, library.functions, escape_name(&library.name))?;
            if detail == MapDetail::Functions {
                for function in functions {
                    write_function(*function, out)?;
                }
            }
        }
    }
    Ok(())
}

fn write_function(function: Function<'_>, out: &mut dyn Write) -> io::Result<()> {
    let offset = function.offset();
    write!(out, "    {:>#10x} {:>7}  {}", offset.get(), function.size(), escape_name(&function.name()))?;
    if let Some(interface_function) = function.interface_function() {
        let interface = function.interface().unwrap_or("world");
        write!(out, "  [{} {}]", escape_name(interface), escape_name(interface_function))?;
    }
    if let Some(signature) = function.signature() {
        write!(out, "  {}", escape_name(signature))?;
    }
    writeln!(out)
}
