//! Names of the process's own functions, read from the symbol tables of its files.

use std::collections::HashMap;
use std::fs::File;
use std::path::{Path, PathBuf};

use object::read::ReadCache;
use object::{Object as _, ObjectSymbol as _, SymbolKind};

use crate::symbols::demangle;

/// A library of the process, as the sampler knows it.
#[derive(Clone, Debug)]
pub(crate) struct HostPlace {
    /// The file.
    pub(crate) path: PathBuf,
    /// Address inside of the file, as its symbols count.
    pub(crate) offset: u64,
}

/// A function of the process.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HostSymbol {
    /// Name of the library, without its directory.
    pub(super) library: String,
    pub(super) name: String,
    pub(super) start: u32,
    pub(super) size: u32,
}

/// The symbols of all files that were asked for.
#[derive(Default)]
pub(super) struct HostSymbols {
    files: HashMap<PathBuf, Vec<Symbol>>,
}

struct Symbol {
    start: u64,
    size: u64,
    name: Box<str>,
}

/// Stands for code without a symbol.
const NO_SYMBOL: &str = "(no symbol)";

impl HostSymbols {
    /// The function at `place`. Where the file has no symbol for it, one function stands for everything between two that
    /// have one.
    pub(super) fn find(&mut self, place: &HostPlace) -> HostSymbol {
        let library = place.path.file_name().unwrap_or(place.path.as_os_str()).to_string_lossy().into_owned();
        let symbols = match self.files.get(&place.path) {
            Some(symbols) => symbols,
            // A file that cannot be read any more has no symbols.
            None => self.files.entry(place.path.clone()).or_insert(read(&place.path).unwrap_or_default()),
        };
        let after = symbols.partition_point(|symbol| symbol.start <= place.offset);
        let before = after.checked_sub(1).map(|index| &symbols[index]);
        let narrow = |number| u32::try_from(number).unwrap_or(u32::MAX);
        let (start, end, name) = match before {
            Some(symbol) if place.offset - symbol.start < symbol.size => {
                let name = demangle(&symbol.name).unwrap_or_else(|| symbol.name.to_string());
                (symbol.start, symbol.end(), name)
            }
            _ => {
                let start = before.map_or(0, Symbol::end);
                let end = symbols.get(after).map_or(u64::from(u32::MAX), |symbol| symbol.start);
                (start, end, NO_SYMBOL.to_owned())
            }
        };
        HostSymbol { library, name, start: narrow(start), size: narrow(end.saturating_sub(start)) }
    }
}

impl Symbol {
    fn end(&self) -> u64 {
        self.start.saturating_add(self.size)
    }
}

/// The functions of a file in order of address, one for each address.
fn read(path: &Path) -> Option<Vec<Symbol>> {
    // What has no directory, such as the kernel's own library, is no file; least of all one in the current folder.
    if !path.is_absolute() {
        return None;
    }
    // Reads what is needed of a file that may be hundreds of megabytes.
    let cache = ReadCache::new(File::open(path).ok()?);
    let file = object::read::elf::ElfFile64::<object::Endianness, _>::parse(&cache).ok()?;
    let is_function = |kind| matches!(kind, SymbolKind::Text);
    let mut symbols: Vec<Symbol> = file
        .symbols()
        .chain(file.dynamic_symbols())
        .filter(|symbol| is_function(symbol.kind()) && symbol.is_definition() && symbol.size() > 0)
        .filter_map(|symbol| {
            let name = symbol.name().ok()?;
            Some(Symbol { start: symbol.address(), size: symbol.size(), name: name.into() })
        })
        .collect();
    symbols.sort_by(|a, b| a.start.cmp(&b.start).then(a.name.cmp(&b.name)));
    symbols.dedup_by_key(|symbol| symbol.start);
    Some(symbols)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_symbols_has_one_function() {
        let mut symbols = HostSymbols::default();
        let place = HostPlace { path: PathBuf::from("/nonexistent/libfoo.so"), offset: 0x1234 };
        let found = symbols.find(&place);
        assert_eq!((found.library.as_str(), found.name.as_str()), ("libfoo.so", NO_SYMBOL));
        assert_eq!((found.start, found.size), (0, u32::MAX));
    }

    #[test]
    fn what_is_between_two_symbols_is_in_neither() {
        let path = PathBuf::from("/lib/libfoo.so");
        let symbol = |start, size, name: &str| Symbol { start, size, name: name.into() };
        let symbols = vec![symbol(0x100, 0x10, "_ZN3foo3barE"), symbol(0x200, 0x10, "open")];
        let mut symbols = HostSymbols { files: HashMap::from([(path.clone(), symbols)]) };
        let mut found = |offset| {
            let found = symbols.find(&HostPlace { path: path.clone(), offset });
            (found.name, found.start, found.size)
        };
        assert_eq!(found(0x10f), ("foo::bar".to_owned(), 0x100, 0x10));
        assert_eq!(found(0x110), (NO_SYMBOL.to_owned(), 0x110, 0xf0));
        assert_eq!(found(0x20f), ("open".to_owned(), 0x200, 0x10));
        assert_eq!(found(0x20), (NO_SYMBOL.to_owned(), 0, 0x100));
    }
}
