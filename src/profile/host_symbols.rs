//! Names of the process's own functions, read from the symbol tables of its files.
//!
//! An executable has a hundred thousand symbols, of which a profile shows some hundred: tables of addresses are read as a
//! whole, and a name when it is asked for.

use std::collections::HashMap;
use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use object::read::ReadCache;
use object::read::elf::{ElfFile64, ProgramHeader as _, SectionHeader as _, Sym as _, SymbolTable};
use object::{Endianness, elf};

use crate::samples::HostPlace;
use crate::symbols::demangle;

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
    files: HashMap<PathBuf, Functions>,
}

/// What a file tells of its functions.
#[derive(Default)]
struct Functions {
    /// In order of address. Several may begin at the same one.
    symbols: Vec<Symbol>,
    /// Where functions begin, in order of address, by the table for unwinding. That knows functions without a symbol, too.
    begins: Vec<u32>,
    /// What names are read from.
    file: Option<Box<dyn Image>>,
}

/// As small as it can be, because sorting them is most of the work.
struct Symbol {
    start: u32,
    size: u32,
    /// Where in the file its name is.
    name: u64,
}

/// An ELF image: a file, or the memory that one is in.
trait Image: Read + Seek {}

impl<I: Read + Seek> Image for I {}

type ElfFile<'c> = ElfFile64<'c, Endianness, &'c ReadCache<Box<dyn Image>>>;

impl HostSymbols {
    /// The function at `place`. Where the file has no symbol for it, it is called after the library and the address at which
    /// the function begins, and the stretch between two symbols is one function where nothing tells more.
    pub(super) fn find(&mut self, place: &HostPlace) -> HostSymbol {
        let library = place.path.file_name().unwrap_or(place.path.as_os_str()).to_string_lossy().into_owned();
        let functions = match self.files.get_mut(&place.path) {
            Some(functions) => functions,
            // A file that cannot be read any more has no symbols.
            None => self.files.entry(place.path.clone()).or_insert(Functions::read(&place.path).unwrap_or_default()),
        };
        let (start, end, name) = functions.find(u32::try_from(place.offset).unwrap_or(u32::MAX));
        let name = name.unwrap_or_else(|| format!("{library}+{start:#x}"));
        HostSymbol { library, name, start, size: end.saturating_sub(start) }
    }
}

impl Functions {
    /// Reads all but the names.
    fn read(path: &Path) -> Option<Self> {
        let image: Box<dyn Image> = if path.is_absolute() {
            Box::new(File::open(path).ok()?)
        } else if path.components().count() == 1 {
            // What has no directory is the kernel's own library, and no file; least of all one in the current folder.
            Box::new(Cursor::new(kernel_library()?))
        } else {
            return None;
        };
        let cache = ReadCache::new(image);
        let (symbols, begins) = {
            let file = ElfFile::parse(&cache).ok()?;
            let mut symbols = Vec::new();
            for table in [file.elf_symbol_table(), file.elf_dynamic_symbol_table()] {
                add_symbols(&file, table, &mut symbols);
            }
            symbols.sort_unstable_by_key(|symbol| symbol.start);
            (symbols, begins(&file).unwrap_or_default())
        };
        Some(Self { symbols, begins, file: Some(cache.into_inner()) })
    }

    /// The function at an address: where it begins and ends, and its name if there is a symbol.
    fn find(&mut self, address: u32) -> (u32, u32, Option<String>) {
        let after = self.symbols.partition_point(|symbol| symbol.start <= address);
        let nearest = after.checked_sub(1).map_or(0, |index| self.symbols[index].start);
        let first = self.symbols.partition_point(|symbol| symbol.start < nearest);
        let same = &self.symbols[first..after];
        let end = same.iter().map(Symbol::end).max().unwrap_or(0);
        if address < end {
            let names: Vec<u64> = same.iter().map(|symbol| symbol.name).collect();
            let names = names.into_iter().filter_map(|name| read_name(self.file.as_mut()?, name));
            // `read` rather than `__read`, `clock_gettime` rather than `__vdso_clock_gettime`.
            let underscores = |name: &str| name.len() - name.trim_start_matches('_').len();
            let name = names.min_by(|a, b| underscores(a).cmp(&underscores(b)).then_with(|| a.cmp(b)));
            return (nearest, end, name.map(|name| demangle(&name).unwrap_or(name)));
        }
        let next = self.symbols.get(after).map_or(u32::MAX, |symbol| symbol.start);
        let after = self.begins.partition_point(|begin| *begin <= address);
        let begin = after.checked_sub(1).map_or(0, |index| self.begins[index]);
        let following = self.begins.get(after).copied().unwrap_or(u32::MAX);
        (end.max(begin), next.min(following), None)
    }
}

impl Symbol {
    fn end(&self) -> u32 {
        self.start.saturating_add(self.size)
    }
}

/// Adds the functions of a table.
fn add_symbols<'c>(
    file: &ElfFile<'c>,
    table: &SymbolTable<'c, elf::FileHeader64<Endianness>, &'c ReadCache<Box<dyn Image>>>,
    symbols: &mut Vec<Symbol>,
) {
    let endian = file.endian();
    let Ok(strings) = file.elf_section_table().section(table.string_section()) else { return };
    let Some((strings, strings_size)) = strings.file_range(endian) else { return };
    for symbol in table.iter() {
        let is_function = matches!(symbol.st_type(), elf::STT_FUNC | elf::STT_GNU_IFUNC);
        let name = u64::from(symbol.st_name(endian));
        let place = (u32::try_from(symbol.st_value(endian)), u32::try_from(symbol.st_size(endian)));
        // Where a profile cannot tell addresses apart any more, there are no names.
        let (Ok(start), Ok(size @ 1..)) = place else { continue };
        if is_function && symbol.st_shndx(endian) != elf::SHN_UNDEF && name < strings_size {
            symbols.push(Symbol { start, size, name: strings.saturating_add(name) });
        }
    }
}

/// Where functions begin, by the table for binary search that every linker writes for unwinders.
fn begins(file: &ElfFile<'_>) -> Option<Vec<u32>> {
    // Version 1; the table has pairs of signed 32-bit distances from the header, and their number is before it.
    const VERSION: u8 = 1;
    const COUNT_U32: u8 = 0x03;
    const TABLE_RELATIVE_I32: u8 = 0x3b;
    let endian = file.endian();
    let mut segments = file.elf_program_headers().iter();
    let header = segments.find(|segment| segment.p_type(endian) == elf::PT_GNU_EH_FRAME)?;
    let address = header.p_vaddr(endian);
    let bytes = header.data(endian, file.data()).ok()?;
    let ([VERSION, _, COUNT_U32, TABLE_RELATIVE_I32, _, _, _, _, _, _, _, _], table) =
        bytes.split_first_chunk::<12>()?
    else {
        return None;
    };
    // The files are those of this process, so their numbers are in its order of bytes.
    let begins = table.as_chunks::<8>().0.iter().filter_map(|[a, b, c, d, ..]| {
        let distance = i32::from_ne_bytes([*a, *b, *c, *d]);
        u32::try_from(address.checked_add_signed(distance.into())?).ok()
    });
    let begins: Vec<u32> = begins.collect();
    begins.is_sorted().then_some(begins)
}

/// The text at a position of a file, up to the next zero; nothing if it is longer than names are.
fn read_name(file: &mut Box<dyn Image>, at: u64) -> Option<String> {
    const PIECE: usize = 512;
    const MAX: usize = 64 * 1024;
    file.seek(SeekFrom::Start(at)).ok()?;
    let mut name = Vec::new();
    while name.len() < MAX {
        let before = name.len();
        file.by_ref().take(PIECE as u64).read_to_end(&mut name).ok()?;
        if let Some(end) = name[before..].iter().position(|byte| *byte == 0) {
            name.truncate(before + end);
            return String::from_utf8(name).ok().filter(|name| !name.is_empty());
        }
        if name.len() == before {
            return None;
        }
    }
    None
}

/// The library that the kernel maps into every process (`vdso`), with the functions that read clocks.
#[cfg(target_os = "linux")]
fn kernel_library() -> Option<Vec<u8>> {
    let maps = std::fs::read_to_string("/proc/self/maps").ok()?;
    let range = maps.lines().find(|line| line.ends_with(" [vdso]"))?.split(' ').next()?;
    let (start, end) = range.split_once('-')?;
    let [start, end] = [start, end].map(|number| u64::from_str_radix(number, 16).ok());
    let (start, size) = (start?, end?.checked_sub(start?)?);
    let mut memory = File::open("/proc/self/mem").ok()?;
    memory.seek(SeekFrom::Start(start)).ok()?;
    let mut image = Vec::new();
    memory.take(size).read_to_end(&mut image).ok()?;
    Some(image)
}

#[cfg(not(target_os = "linux"))]
fn kernel_library() -> Option<Vec<u8>> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_symbols_has_one_function() {
        let mut symbols = HostSymbols::default();
        let place = HostPlace { path: PathBuf::from("/nonexistent/libfoo.so"), offset: 0x1234 };
        let found = symbols.find(&place);
        assert_eq!((found.library.as_str(), found.name.as_str()), ("libfoo.so", "libfoo.so+0x0"));
        assert_eq!((found.start, found.size), (0, u32::MAX));
    }

    #[test]
    fn what_is_between_two_symbols_is_in_neither() {
        let path = PathBuf::from("/lib/libfoo.so");
        let mut names = Vec::new();
        let mut symbol = |start, size, text: &str| {
            let name = names.len() as u64;
            names.extend(text.bytes().chain([0]));
            Symbol { start, size, name }
        };
        let long = "long".repeat(1000);
        let symbols = vec![
            symbol(0x100, 0x10, "_ZN3foo3barE"),
            symbol(0x200, 0x10, "__open"),
            symbol(0x200, 0x10, "open"),
            symbol(0x200, 0x10, "open64"),
            symbol(0x300, 0x10, &long),
        ];
        let begins = vec![0x100, 0x140, 0x180, 0x200];
        let functions = Functions { symbols, begins, file: Some(Box::new(Cursor::new(names))) };
        let mut symbols = HostSymbols { files: HashMap::from([(path.clone(), functions)]) };
        let mut found = |offset| {
            let found = symbols.find(&HostPlace { path: path.clone(), offset });
            (found.name, found.start, found.size)
        };
        assert_eq!(found(0x10f), ("foo::bar".to_owned(), 0x100, 0x10));
        assert_eq!(found(0x110), ("libfoo.so+0x110".to_owned(), 0x110, 0x30));
        assert_eq!(found(0x13f), found(0x110));
        assert_eq!(found(0x140), ("libfoo.so+0x140".to_owned(), 0x140, 0x40));
        assert_eq!(found(0x1ff), ("libfoo.so+0x180".to_owned(), 0x180, 0x80));
        assert_eq!(found(0x20f), ("open".to_owned(), 0x200, 0x10));
        assert_eq!(found(0x20), ("libfoo.so+0x0".to_owned(), 0, 0x100));
        assert_eq!(found(0x30f), (long, 0x300, 0x10));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_executable_names_its_functions() {
        let path = std::env::current_exe().expect("a path");
        let functions = Functions::read(&path).expect("symbols");
        let mut symbols = HostSymbols::default();
        let starts =
            functions.symbols.iter().map(|symbol| symbol.start).filter(|start| functions.begins.contains(start));
        let mut found = starts.map(|start| symbols.find(&HostPlace { path: path.clone(), offset: start.into() }));
        let found = found.find(|found| found.name.contains("an_executable_names_its_functions"));
        assert!(found.is_some_and(|found| found.size > 0));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_library_of_the_kernel_has_names() {
        let path = PathBuf::from("linux-vdso.so.1");
        let functions = Functions::read(&path).expect("symbols");
        let mut symbols = HostSymbols::default();
        let found = functions
            .symbols
            .iter()
            .map(|symbol| symbols.find(&HostPlace { path: path.clone(), offset: symbol.start.into() }));
        let names: Vec<String> = found.map(|found| found.name).collect();
        // As x86-64 and AArch64 call it.
        assert!(names.iter().any(|name| name == "clock_gettime" || name == "__kernel_clock_gettime"), "{names:?}");
    }
}
