//! Names of the process's own functions, read from the symbol tables of its files.
//!
//! An executable has a hundred thousand symbols, of which a profile shows some hundred: tables of addresses are read as a
//! whole, and a name when it is asked for. Both are kept, and shared by all profiles of a recorder: each file is read once, by
//! whoever asks first, while others who need the same file wait.
//!
//! A file may have been replaced since it was loaded, by an update of the system or of the service itself. Its symbols would be
//! names of other functions. So what is in memory is compared with what is in the file: the header, the notes (of which one is
//! the identity that most linkers make, the build id), and the table of where all functions begin. A file that differs has no
//! symbols. That of the executable is still there, behind `/proc/self/exe`.
//! Rejected: device and inode, which `/proc/self/maps` tells differently from `stat` on the file systems of containers.

use std::fs::File;
use std::io::{Cursor, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock};
#[cfg(unix)]
use std::time::Duration;
use std::time::SystemTime;

use object::read::ReadCache;
use object::read::elf::{ElfFile64, ProgramHeader as _, SectionHeader as _, Sym as _, SymbolTable};
use object::{Endianness, elf};
use rustc_hash::FxHashMap;

use crate::lock::lock;
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

/// The symbols of all files that were asked for. For any number of threads and profiles.
///
/// A file is known by its path and where it is loaded: whoever asks makes sure that it stays loaded as long as places in it are
/// asked for.
pub(crate) struct HostSymbols {
    files: Mutex<FxHashMap<(PathBuf, u64), LoadedFile>>,
    /// When this was made: files were loaded before, or after they had been written.
    made_at: SystemTime,
}

/// What is read of a file by whoever asks first.
type LoadedFile = Arc<OnceLock<Functions>>;

/// No process has more files loaded at once. One that loads and unloads for ever would have more over time: then all are
/// forgotten.
const MAX_FILES: usize = 4096;

/// When the names of a file take more bytes than this, they are forgotten.
const MAX_NAMES: usize = 16 << 20;

/// What a file tells of its functions.
#[derive(Default)]
struct Functions {
    /// In order of address. Several may begin at the same one.
    symbols: Vec<Symbol>,
    /// Where functions begin, in order of address, by the table for unwinding. That knows functions without a symbol, too.
    begins: Vec<u32>,
    names: Mutex<Names>,
}

/// As small as it can be, because sorting them is most of the work.
struct Symbol {
    start: u32,
    size: u32,
    /// Where in the file its name is.
    name: u64,
}

/// Names that were read, and what further ones are read from.
#[derive(Default)]
struct Names {
    /// By address of the function.
    known: FxHashMap<u32, Option<String>>,
    /// About how many bytes they take.
    bytes: usize,
    image: Option<(Box<dyn Image>, Option<Version>)>,
}

/// What tells that a file was written to: when, and its length.
type Version = (SystemTime, u64);

/// An ELF image: a file, or the memory that one is in.
trait Image: Read + Seek + Send {
    /// Nothing of what does not change.
    fn version(&self) -> Option<Version>;
}

impl Image for File {
    fn version(&self) -> Option<Version> {
        let metadata = self.metadata().ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    }
}

impl Image for Cursor<Vec<u8>> {
    fn version(&self) -> Option<Version> {
        None
    }
}

type ElfFile<'c> = ElfFile64<'c, Endianness, &'c ReadCache<Box<dyn Image>>>;

impl Default for HostSymbols {
    fn default() -> Self {
        Self { files: Mutex::default(), made_at: SystemTime::now() }
    }
}

impl std::fmt::Debug for HostSymbols {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HostSymbols").field("files", &lock(&self.files).len()).finish_non_exhaustive()
    }
}

impl HostSymbols {
    /// The function at `place`. Where the file has no symbol for it, it is called after the library and the address at which
    /// the function begins, and the stretch between two symbols is one function where nothing tells more.
    pub(super) fn find(&self, place: &HostPlace) -> HostSymbol {
        let library = place.path.file_name().unwrap_or(place.path.as_os_str()).to_string_lossy().into_owned();
        let file = self.file(place);
        // A file that cannot be read any more, or is another one by now, has no symbols.
        let functions = file.get_or_init(|| Functions::read(place, self.made_at).unwrap_or_default());
        let (start, end, name) = functions.find(u32::try_from(place.offset).unwrap_or(u32::MAX));
        let name = name.unwrap_or_else(|| format!("{library}+{start:#x}"));
        HostSymbol { library, name, start, size: end.saturating_sub(start) }
    }

    fn file(&self, place: &HostPlace) -> LoadedFile {
        let mut files = lock(&self.files);
        let key = (place.path.clone(), place.base);
        if files.len() >= MAX_FILES && !files.contains_key(&key) {
            files.clear();
        }
        Arc::clone(files.entry(key).or_default())
    }
}

impl Functions {
    /// Reads all but the names of the file that is loaded.
    fn read(place: &HostPlace, made_at: SystemTime) -> Option<Self> {
        #[cfg(test)]
        tests::READINGS.set(tests::READINGS.get() + 1);
        if place.path.is_absolute() {
            let open = |path: &Path| {
                let file = File::open(path).ok()?;
                let is_older = is_older(&file, made_at);
                Some((Box::new(file), is_older))
            };
            let named = open(&place.path).and_then(|(file, is_older)| {
                Self::read_image(file, |elf| is_loaded_at(place.base, elf).unwrap_or(is_older))
            });
            named.or_else(|| {
                let (file, _) = open(Path::new("/proc/self/exe"))?;
                Self::read_image(file, |elf| is_loaded_at(place.base, elf) == Some(true))
            })
        } else if place.path.components().count() == 1 {
            // What has no directory is the kernel's own library, and no file; least of all one in the current folder.
            Self::read_image(Box::new(Cursor::new(kernel_library()?)), |_| true)
        } else {
            None
        }
    }

    fn read_image(image: Box<dyn Image>, is_loaded: impl Fn(&ElfFile<'_>) -> bool) -> Option<Self> {
        let version = image.version();
        let cache = ReadCache::new(image);
        let (symbols, begins) = {
            let file = ElfFile::parse(&cache).ok()?;
            if !is_loaded(&file) {
                return None;
            }
            let mut symbols = Vec::new();
            for table in [file.elf_symbol_table(), file.elf_dynamic_symbol_table()] {
                add_symbols(&file, table, &mut symbols);
            }
            symbols.sort_unstable_by_key(|symbol| symbol.start);
            (symbols, begins(&file).unwrap_or_default())
        };
        let names = Names { image: Some((cache.into_inner(), version)), ..Names::default() };
        Some(Self { symbols, begins, names: Mutex::new(names) })
    }

    /// The function at an address: where it begins and ends, and its name if there is a symbol.
    fn find(&self, address: u32) -> (u32, u32, Option<String>) {
        let after = self.symbols.partition_point(|symbol| symbol.start <= address);
        let nearest = after.checked_sub(1).map_or(0, |index| self.symbols[index].start);
        let first = self.symbols.partition_point(|symbol| symbol.start < nearest);
        let same = &self.symbols[first..after];
        let end = same.iter().map(Symbol::end).max().unwrap_or(0);
        if address < end {
            return (nearest, end, lock(&self.names).name_of(nearest, same));
        }
        let next = self.symbols.get(after).map_or(u32::MAX, |symbol| symbol.start);
        let after = self.begins.partition_point(|begin| *begin <= address);
        let begin = after.checked_sub(1).map_or(0, |index| self.begins[index]);
        let following = self.begins.get(after).copied().unwrap_or(u32::MAX);
        (end.max(begin), next.min(following), None)
    }
}

impl Names {
    /// The readable name of the function at `address`, which has these symbols.
    fn name_of(&mut self, address: u32, symbols: &[Symbol]) -> Option<String> {
        if let Some(known) = self.known.get(&address) {
            return known.clone();
        }
        let names = symbols.iter().filter_map(|symbol| self.read(symbol.name));
        // `read` rather than `__read`, `clock_gettime` rather than `__vdso_clock_gettime`.
        let underscores = |name: &str| name.len() - name.trim_start_matches('_').len();
        let name = names.min_by(|a, b| underscores(a).cmp(&underscores(b)).then_with(|| a.cmp(b)));
        let name = name.map(|name| demangle(&name).unwrap_or(name));
        self.bytes += name.as_ref().map_or(0, String::len) + size_of::<(u32, Option<String>)>();
        if self.bytes > MAX_NAMES {
            self.known.clear();
            self.bytes = 0;
        }
        self.known.insert(address, name.clone());
        name
    }

    /// The name at a position of the file, if nobody has written to that since its tables were read.
    fn read(&mut self, at: u64) -> Option<String> {
        let (image, version) = self.image.as_mut()?;
        if image.version() != *version {
            self.image = None;
            return None;
        }
        read_name(image, at)
    }
}

impl Symbol {
    fn end(&self) -> u32 {
        self.start.saturating_add(self.size)
    }
}

/// Whether a file is what is in memory at `base`; nothing if this process may not look at its memory.
fn is_loaded_at(base: u64, file: &ElfFile<'_>) -> Option<bool> {
    let mut memory = File::open("/proc/self/mem").ok()?;
    let mut is_there = |address: u64, expected: &[u8]| {
        let mut found = vec![0; expected.len()];
        let seek = memory.seek(SeekFrom::Start(base.wrapping_add(address)));
        seek.and_then(|_| memory.read_exact(&mut found)).is_ok() && found == expected
    };
    let endian = file.endian();
    let header = object::bytes_of(file.elf_header());
    let mut compared = file.elf_program_headers().iter().map(|segment| {
        let address = segment.p_vaddr(endian);
        match segment.p_type(endian) {
            elf::PT_LOAD if segment.p_offset(endian) == 0 => is_there(address, header),
            elf::PT_NOTE | elf::PT_GNU_EH_FRAME => {
                segment.data(endian, file.data()).is_ok_and(|bytes| is_there(address, bytes))
            }
            _ => true,
        }
    });
    Some(compared.all(|is_same| is_same))
}

/// Whether a file was there at a time, under its name and as it is.
fn is_older(file: &File, time: SystemTime) -> bool {
    let Ok(metadata) = file.metadata() else { return false };
    #[cfg(unix)]
    let changed = {
        use std::os::unix::fs::MetadataExt as _;
        let seconds = u64::try_from(metadata.ctime()).ok();
        seconds.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)))
    };
    #[cfg(not(unix))]
    let changed = metadata.modified().ok();
    changed.is_some_and(|changed| changed < time)
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
    use std::cell::Cell;

    use super::*;

    thread_local! {
        /// How many files this thread has read.
        pub(super) static READINGS: Cell<u32> = const { Cell::new(0) };
    }

    #[test]
    fn a_file_without_symbols_has_one_function() {
        let symbols = HostSymbols::default();
        let place = HostPlace { path: PathBuf::from("/nonexistent/libfoo.so"), base: 0, offset: 0x1234 };
        let found = symbols.find(&place);
        assert_eq!((found.library.as_str(), found.name.as_str()), ("libfoo.so", "libfoo.so+0x0"));
        assert_eq!((found.start, found.size), (0, u32::MAX));
    }

    /// Functions with these places and names.
    fn functions(places: &[(u32, &str)], begins: &[u32]) -> Functions {
        let mut names = Vec::new();
        let symbol = |(start, text): &(u32, &str)| {
            let name = names.len() as u64;
            names.extend(text.bytes().chain([0]));
            Symbol { start: *start, size: 0x10, name }
        };
        let symbols = places.iter().map(symbol).collect();
        let image: Box<dyn Image> = Box::new(Cursor::new(names));
        let names = Names { image: Some((image, None)), ..Names::default() };
        Functions { symbols, begins: begins.to_vec(), names: Mutex::new(names) }
    }

    #[test]
    fn what_is_between_two_symbols_is_in_neither() {
        let long = "long".repeat(1000);
        let places =
            [(0x100, "_ZN3foo3barE"), (0x200, "__open"), (0x200, "open"), (0x200, "open64"), (0x300, long.as_str())];
        let functions = functions(&places, &[0x100, 0x140, 0x180, 0x200]);
        let path = PathBuf::from("/lib/libfoo.so");
        let symbols = HostSymbols::default();
        let _ = symbols.file(&HostPlace { path: path.clone(), base: 0, offset: 0 }).set(functions);
        let found = |offset| {
            let found = symbols.find(&HostPlace { path: path.clone(), base: 0, offset });
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
        assert_eq!(found(0x10f), ("foo::bar".to_owned(), 0x100, 0x10), "a second time");
    }

    #[test]
    fn names_that_take_too_much_are_forgotten_and_read_again() {
        let long = "x".repeat(60_000);
        let places: Vec<(u32, &str)> = (0..400).map(|number| (number * 0x10, long.as_str())).collect();
        let functions = functions(&places, &[]);
        let limit = MAX_NAMES / long.len() + 1;
        for (start, name) in &places {
            assert_eq!(functions.find(*start).2.as_deref(), Some(*name));
            assert!(lock(&functions.names).known.len() <= limit);
        }
        assert!(places.len() > limit);
        assert_eq!(functions.find(0).2, Some(long));
    }

    #[test]
    fn files_that_come_and_go_are_forgotten() {
        let symbols = HostSymbols::default();
        for base in 0..u64::try_from(MAX_FILES).expect("few") + 10 {
            symbols.find(&HostPlace { path: PathBuf::from("/nonexistent/libfoo.so"), base, offset: 0 });
        }
        assert_eq!(lock(&symbols.files).len(), 10);
    }

    /// The file around an address of this process, and where it is loaded.
    #[cfg(target_os = "linux")]
    fn place_of(address: usize) -> HostPlace {
        let maps = std::fs::read_to_string("/proc/self/maps").expect("maps");
        let number = |text: &str| u64::from_str_radix(text, 16).expect("a number");
        let mut first = None;
        for line in maps.lines() {
            let mut fields = line.split_whitespace();
            let (range, path) = (fields.next().expect("a range"), fields.nth(4).unwrap_or_default());
            let (start, end) = range.split_once('-').map(|(start, end)| (number(start), number(end))).expect("a range");
            if first.as_ref().is_none_or(|(before, _)| before != path) {
                first = Some((path.to_owned(), start));
            }
            if (start..end).contains(&(address as u64)) {
                let (path, base) = first.expect("found before");
                return HostPlace { path: path.into(), base, offset: address as u64 - base };
            }
        }
        panic!("nothing is at {address:#x}");
    }

    #[cfg(target_os = "linux")]
    fn here() -> HostPlace {
        place_of(an_executable_names_its_functions as *const () as usize)
    }

    /// A function of the C library.
    #[cfg(target_os = "linux")]
    fn in_the_c_library() -> HostPlace {
        place_of(libc::getpid as *const () as usize)
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_executable_names_its_functions() {
        let found = HostSymbols::default().find(&here());
        assert!(found.name.contains("an_executable_names_its_functions"), "{found:?}");
        assert!(found.size > 0);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn the_library_of_the_kernel_has_names() {
        let place = HostPlace { path: PathBuf::from("linux-vdso.so.1"), base: 0, offset: 0 };
        let functions = Functions::read(&place, SystemTime::now()).expect("symbols");
        let names: Vec<_> = functions.symbols.iter().filter_map(|symbol| functions.find(symbol.start).2).collect();
        // As x86-64 and AArch64 call it.
        assert!(names.iter().any(|name| name == "clock_gettime" || name == "__kernel_clock_gettime"), "{names:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_was_replaced_has_no_symbols() {
        let loaded = in_the_c_library();
        let known = HostSymbols::default().find(&loaded);
        assert!(known.name.contains("getpid"), "{known:?}");
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("libc.so.6");
        // What is in this file now is something else than what is loaded: this test.
        std::fs::copy(here().path, &path).expect("a copy");
        let found = HostSymbols::default().find(&HostPlace { path: path.clone(), ..loaded.clone() });
        assert_eq!(found.name, "libc.so.6+0x0");
        // A copy of the same is the same.
        std::fs::copy(&loaded.path, &path).expect("a copy");
        let symbols = HostSymbols::default();
        assert_eq!(symbols.find(&HostPlace { path: path.clone(), ..loaded.clone() }).name, known.name);
        // What is read later is not of what was written meanwhile; what was read before is known.
        let other = place_of(libc::getppid as *const () as usize);
        let mut file = std::fs::OpenOptions::new().append(true).open(&path).expect("the copy");
        std::io::Write::write_all(&mut file, b"more").expect("writing");
        assert_eq!(symbols.find(&HostPlace { path: path.clone(), ..loaded }).name, known.name);
        let found = symbols.find(&HostPlace { path, ..other });
        assert_eq!(found.name, format!("libc.so.6+{:#x}", found.start));
    }

    #[test]
    fn a_file_that_cannot_be_compared_has_to_be_older() {
        let file = tempfile::tempfile().expect("a file");
        let hour = std::time::Duration::from_secs(3600);
        assert!(is_older(&file, SystemTime::now() + hour) && !is_older(&file, SystemTime::now() - hour));
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn an_executable_that_was_replaced_still_has_its_symbols() {
        let place = HostPlace { path: PathBuf::from("/nonexistent/service (deleted)"), ..here() };
        let found = HostSymbols::default().find(&place);
        assert!(found.name.contains("an_executable_names_its_functions"), "{found:?}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_is_gone_is_not_missed_once_it_was_read() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("libc.so.6");
        let [first, second] =
            [libc::getpid as *const (), libc::getppid as *const ()].map(|function| place_of(function as usize));
        std::fs::copy(&first.path, &path).expect("a copy");
        let [first, second] = [first, second].map(|place| HostPlace { path: path.clone(), ..place });
        let symbols = HostSymbols::default();
        let found = symbols.find(&first);
        assert!(found.name.contains("getpid"));
        std::fs::remove_file(&path).expect("removing it");
        assert_eq!(symbols.find(&first), found);
        assert!(symbols.find(&second).name.contains("getppid"));
        assert_eq!(HostSymbols::default().find(&first).name, "libc.so.6+0x0");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn threads_that_ask_at_once_wait_for_one_reading() {
        let symbols = HostSymbols::default();
        let [here, there] = [here(), in_the_c_library()];
        let ask = || {
            for _ in 0..20 {
                assert!(symbols.find(&here).name.contains("an_executable_names_its_functions"));
                assert!(symbols.find(&there).name.contains("getpid"));
            }
            READINGS.get()
        };
        let barrier = std::sync::Barrier::new(8);
        let readings: u32 = std::thread::scope(|scope| {
            let start = || {
                barrier.wait();
                ask()
            };
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(start)).collect();
            threads.into_iter().map(|thread| thread.join().expect("an end")).sum()
        });
        assert_eq!(readings, 2);
    }
}
