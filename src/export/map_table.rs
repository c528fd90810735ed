//! The symbol map as a table for a person.

use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::escape::escape_control;
use super::names::Forms;
use super::report_table::TableStyle;
use super::table::{fit, fit_all};
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

/// Writes `map` as a table: libraries by layer, the largest first, and their functions if `detail` asks for them; the rows of
/// `style` are not counted. Names are escaped for a terminal.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_map_table(map: &SymbolMap, detail: MapDetail, style: TableStyle, out: &mut dyn Write) -> Result<()> {
    table(map, detail, style, out).map_err(|source| Error::Write { format: "map table", source })
}

fn table(map: &SymbolMap, detail: MapDetail, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    let text = format!(
        "{}: {} bytes of text, {} functions in {} libraries",
        style.fit(&Forms::whole(map.component()), 0),
        map.text_bytes(),
        map.functions().len(),
        map.libraries().len(),
    );
    let rest = format!("{} bytes of padding, {} bytes unattributed", map.padding_bytes(), map.unattributed_bytes());
    writeln!(out, "{}", style.break_between(&text, ", ", &rest))?;
    let mut functions: Vec<Vec<Function<'_>>> = vec![Vec::new(); map.libraries().len()];
    for function in map.functions() {
        functions[function.library_index() as usize].push(function);
    }
    for &layer in Layer::ALL {
        let mut libraries: Vec<_> =
            map.libraries().iter().zip(&functions).filter(|(library, _)| library.layer == layer).collect();
        if libraries.is_empty() {
            continue;
        }
        libraries.sort_by(|(a, _), (b, _)| b.bytes.cmp(&a.bytes).then_with(|| a.name.cmp(&b.name)));
        writeln!(out, "\n{:<11} {:>10} {:>9}", layer.name(), "bytes", "functions")?;
        /// Columns in front of a library.
        const USED: usize = 34;
        let names: Vec<Forms> =
            libraries.iter().map(|(library, _)| style.forms(Forms::of_library, &library.name)).collect();
        let names = fit_all(&names, style.room(USED));
        for ((library, functions), name) in libraries.into_iter().zip(names) {
            writeln!(out, "  {:>20} {:>9}  {name}", library.bytes, library.functions)?;
            if detail == MapDetail::Functions {
                for function in functions {
                    write_function(*function, style, out)?;
                }
            }
        }
    }
    Ok(())
}

/// A function has its place in front of it, so no two look the same. What tells less than its name is left out first.
fn write_function(function: Function<'_>, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    let begin = format!("    {:>#10x} {:>7}  ", function.offset().get(), function.size());
    let mut room = style.room(begin.width());
    let name = fit(&style.forms(Forms::of_function, &function.name()), room, 0);
    room = room.map(|room| room.saturating_sub(name.width()));
    write!(out, "{begin}{name}")?;
    let of_interface = function.interface_function().map(|interface_function| {
        let interface = function.interface().unwrap_or("world");
        format!("[{} {}]", escape_control(interface), escape_control(interface_function))
    });
    let signature = function.signature().map(|signature| escape_control(signature).into_owned());
    for more in [of_interface, signature].into_iter().flatten() {
        if room.is_none_or(|room| more.width() + 2 <= room) {
            room = room.map(|room| room - more.width() - 2);
            write!(out, "  {more}")?;
        }
    }
    writeln!(out)
}
