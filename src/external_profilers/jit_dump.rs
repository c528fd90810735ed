//! Code, names and lines for `perf`, which can make libraries of generated code if it is told all of it.
//!
//! A name is all that `perf` gets from a [`PerfMap`](super::PerfMap). From the file that is written here, a *jitdump*,
//! `perf inject --jit` makes a small shared library of each function, so that `perf annotate` shows its instructions
//! and `perf script -F +srcline` the lines of its source. The format is `jitdump-specification.txt` in
//! `tools/perf/Documentation` of the Linux kernel: a header, then for each function its lines, if they are known, and
//! then its code. `perf` finds the file because this process maps it as if it were to be executed, which
//! `wasmtime-internal-jit-debug` does, the crate with which Wasmtime writes its own.
//!
//! What the specification leaves open is as `perf` reads it (`genelf_debug.c`):
//!
//! - Addresses of lines are real ones. LLVM adds the 64 bytes of an ELF header, which older versions of `perf` forgot; with
//!   that of Linux 6.1, the first 64 bytes of each function would have no line.
//! - `perf` ends the table of lines at the last entry, so that this one would be of no code. Another at the end of the
//!   function makes up for it.
//! - There is no entry for "not known". Line 0 is, by DWARF's convention.
//! - Names of files are written in full for each entry: "as before" (`\xff`) is in the specification only.

use std::borrow::Cow;
use std::fmt;
use std::io::{self, Write as _};
use std::os::fd::AsRawFd as _;
use std::path::{Path, PathBuf};

use object::elf;
use wasmtime_internal_jit_debug::perf_jitdump::{CodeLoadRecord, JitDumpFile, RecordId};

use super::added_code::AddedCode;
use super::own_file;
use super::source_lines::{FileLine, SourceLines};
use crate::address::TextOffset;
use crate::component::Code;
use crate::error::{Error, Result};
use crate::export::{escape_control, escape_name, perf_name};
use crate::symbols::SymbolMap;

/// What the header says that the code is for.
const MACHINE: u16 = if cfg!(target_arch = "x86_64") {
    elf::EM_X86_64
} else if cfg!(target_arch = "aarch64") {
    elf::EM_AARCH64
} else if cfg!(target_arch = "riscv64") {
    elf::EM_RISCV
} else if cfg!(target_arch = "s390x") {
    elf::EM_S390
} else {
    elf::EM_NONE
};

/// The largest record of code: `perf` keeps sizes in an `int`.
const MAX_CODE_RECORD: usize = (1 << 31) - 1;

/// The largest record of lines, which `perf` reads into memory. A guest chooses the names of its files, and how often
/// they change.
const MAX_LINES_RECORD: usize = 1 << 28;

/// The same for all records of lines of a component or module.
const MAX_LINES: usize = 1 << 30;

/// The line of code that is of no line.
const NO_LINE: u32 = 0;

/// The file of which `perf inject --jit` makes libraries of this process's generated code: `FOLDER/jit-PID.dump`. On
/// Linux.
///
/// Every function of what is added is there once, with its WIT name, its machine code and, where the guest has debug
/// information, the lines of its source. `perf` has to be recording when the file is made, by the clock of the file:
///
/// ```text
/// $ perf record -k mono -o perf.data my-host
/// $ perf inject --jit -i perf.data -o jit.data
/// $ perf script -i jit.data -F +srcline
/// ```
///
/// `perf inject` writes a library for each function beside the file. One file is enough for a process, and a second in
/// the same folder would replace it. Wasmtime's own (`Config::profiler`) would tell `perf` of the same functions again,
/// so only one of the two may be used. The file stays when the process ends, because `perf` reads it later on; what has
/// been added stays loaded as long as this exists, so that no address gets another meaning.
///
/// ```no_run
/// # use std::path::Path;
/// # use wasmtime::component::Component;
/// # use witprof::{JitDump, SymbolMap};
/// # fn example(component: &Component) -> witprof::Result<JitDump> {
/// let map = SymbolMap::builder("shop").build(component)?;
/// let mut dump = JitDump::create(Path::new("."))?;
/// dump.add(&map, component)?;
/// # Ok(dump)
/// # }
/// ```
pub struct JitDump {
    path: PathBuf,
    file: JitDumpFile,
    code: AddedCode,
}

impl JitDump {
    /// Makes the file in `folder`, readable and writable for its owner only. What an earlier process of the same number
    /// and the same user has left is replaced; nobody else's file is touched, and no link is followed.
    ///
    /// # Errors
    /// [`Error::JitDump`] if the file cannot be made, for instance because it is somebody else's, or cannot be mapped,
    /// because nothing of its file system may be executed.
    pub fn create(folder: &Path) -> Result<Self> {
        let path = folder.join(format!("jit-{}.dump", std::process::id()));
        let file = create(&path).map_err(|source| Error::JitDump { path: path.clone(), source })?;
        Ok(Self { path, file, code: AddedCode::default() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds `code` under the names of `map`, with its lines if the map knows them. One that has been added is not
    /// added again.
    ///
    /// # Errors
    /// [`Error::Interpreted`] if it is not machine code, [`Error::GuestDebug`] if stores run copies of it;
    /// [`Error::JitDump`] if the file cannot be written to, or if
    /// `map` is of another component.
    pub fn add(&mut self, map: &SymbolMap, code: impl Into<Code>) -> Result<()> {
        let Self { path, file, code: added } = self;
        added.add(map, code.into(), |code| {
            write(file, map, code).map_err(|source| Error::JitDump { path: path.clone(), source })
        })
    }
}

impl fmt::Debug for JitDump {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JitDump").field("path", &self.path).field("code", &self.code).finish_non_exhaustive()
    }
}

fn create(path: &Path) -> io::Result<JitDumpFile> {
    let file = own_file::create(path)?;
    // `JitDumpFile` opens by name and would follow a link. This name is of the very file that was made, whatever has
    // happened to its other name since; `perf` is told the true one.
    let name = format!("/proc/self/fd/{}", file.as_raw_fd());
    JitDumpFile::new(name, MACHINE.into()).inspect_err(|_| {
        // An empty file is of no use to anybody.
        let _ = std::fs::remove_file(path);
    })
}

/// Writes all functions of `map`.
fn write(file: &mut JitDumpFile, map: &SymbolMap, code: &Code) -> io::Result<()> {
    let text = code.text();
    let address = text.as_ptr().addr() as u64;
    let source_lines = SourceLines::open(map, code);
    let process = std::process::id();
    let mut left = MAX_LINES;
    for function in map.functions() {
        let (start, size) = (function.offset(), function.size());
        let name = perf_name(function);
        let name = escape_name(&name);
        let rest = text.get(start.get() as usize..);
        let bytes = rest
            .and_then(|rest| rest.get(..size as usize))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the symbol map is of other code"))?;
        // Before anything of it is written: sizes in the file would wrap.
        if size_of::<CodeLoadRecord>() + name.len() + 1 + bytes.len() > MAX_CODE_RECORD {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("`{name}` is too large for perf")));
        }
        let timestamp = file.get_time_stamp();
        let end = TextOffset::new(start.get().saturating_add(size));
        let lines = lines_of(source_lines.of(function), end);
        if let Some(record) = lines_record(address, start, &lines, timestamp, left.min(MAX_LINES_RECORD)) {
            left -= record.len();
            file.file_mut().write_all(&record)?;
        }
        // The first thread has the number of the process, and all of them have the same memory.
        file.dump_code_load_record(&name, bytes, timestamp, process, process)?;
    }
    Ok(())
}

/// From where on code is of a line.
#[derive(Debug, PartialEq, Eq)]
struct Line<'l> {
    at: TextOffset,
    file: Cow<'l, str>,
    number: u32,
}

/// The lines of a function that ends at `end`: one entry for each change, and one for the end; nothing if no line is
/// known.
fn lines_of<'l>(parts: impl Iterator<Item = (TextOffset, Option<FileLine<'l>>)>, end: TextOffset) -> Vec<Line<'l>> {
    let mut lines: Vec<Line<'l>> = Vec::new();
    for (at, line) in parts {
        let line = match (lines.last(), line) {
            (_, Some((file, number))) => Line { at, file, number },
            (Some(last), None) => Line { at, file: last.file.clone(), number: NO_LINE },
            (None, None) => continue,
        };
        if lines.last().is_none_or(|last| (&last.file, last.number) != (&line.file, line.number)) {
            lines.push(line);
        }
    }
    if let Some(last) = lines.last() {
        let end = Line { at: end, file: last.file.clone(), number: last.number };
        lines.push(end);
    }
    lines
}

/// The record of the lines of the function at `function`, where the text begins at the address `text`. `None` if there
/// are none, or if it would be larger than `limit`.
fn lines_record(text: u64, function: TextOffset, lines: &[Line<'_>], timestamp: u64, limit: usize) -> Option<Vec<u8>> {
    if lines.is_empty() {
        // `perf` never frees what has no entry.
        return None;
    }
    let address = |offset: TextOffset| text.saturating_add(offset.get().into());
    let mut record = Vec::new();
    record.extend_from_slice(&(RecordId::JitCodeDebugInfo as u32).to_ne_bytes());
    let size = record.len()..record.len() + size_of::<u32>();
    record.extend_from_slice(&0_u32.to_ne_bytes());
    record.extend_from_slice(&timestamp.to_ne_bytes());
    record.extend_from_slice(&address(function).to_ne_bytes());
    record.extend_from_slice(&(lines.len() as u64).to_ne_bytes());
    for line in lines {
        record.extend_from_slice(&address(line.at).to_ne_bytes());
        record.extend_from_slice(&line.number.to_ne_bytes());
        // What tells parts of a line apart, which `perf` does not read.
        record.extend_from_slice(&0_u32.to_ne_bytes());
        record.extend_from_slice(escape_control(&line.file).as_bytes());
        record.push(0);
        if record.len() > limit {
            return None;
        }
    }
    let total = u32::try_from(record.len()).ok()?;
    record[size].copy_from_slice(&total.to_ne_bytes());
    Some(record)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(at: u32, file: &str, number: u32) -> Line<'_> {
        Line { at: TextOffset::new(at), file: file.into(), number }
    }

    #[test]
    fn there_is_an_entry_for_each_change_and_for_the_end() {
        let line_at = |instruction| -> Option<FileLine<'static>> {
            match instruction {
                1 | 2 => Some(("a.c".into(), 7)),
                3 => Some(("b.h".into(), 7)),
                _ => None,
            }
        };
        let found = |ranges: &[(u32, u32)]| {
            let parts = ranges.iter().map(|(at, instruction)| (TextOffset::new(*at), line_at(*instruction)));
            lines_of(parts, TextOffset::new(100))
        };
        let ranges = [(10, 8), (12, 1), (20, 2), (30, 3), (40, 8), (50, 9), (60, 1)];
        let expected =
            [line(12, "a.c", 7), line(30, "b.h", 7), line(40, "b.h", NO_LINE), line(60, "a.c", 7), line(100, "a.c", 7)];
        assert_eq!(found(&ranges), expected);
        assert!(found(&[(10, 8), (20, 9)]).is_empty());
        assert!(found(&[]).is_empty());
    }

    #[test]
    fn a_record_of_lines_says_how_large_it_is() {
        let lines = [line(16, "/src/a.c", 7), line(24, "evil\n\0name", 8)];
        let record = |limit| lines_record(0x7000_0000_0000, TextOffset::new(16), &lines, 99, limit);
        let written = record(1 << 20).expect("a record");
        let expected = [
            &2_u32.to_ne_bytes()[..],
            &u32::try_from(written.len()).expect("small").to_ne_bytes(),
            &99_u64.to_ne_bytes(),
            &0x7000_0000_0010_u64.to_ne_bytes(),
            &2_u64.to_ne_bytes(),
            &0x7000_0000_0010_u64.to_ne_bytes(),
            &7_u32.to_ne_bytes(),
            &0_u32.to_ne_bytes(),
            b"/src/a.c\0",
            &0x7000_0000_0018_u64.to_ne_bytes(),
            &8_u32.to_ne_bytes(),
            &0_u32.to_ne_bytes(),
            b"evil\\u{a}\\u{0}name\0",
        ];
        assert_eq!(written, expected.concat());
        assert_eq!(record(written.len()).as_ref(), Some(&written));
        assert_eq!(record(written.len() - 1), None, "too large");
        assert_eq!(lines_record(0, TextOffset::new(0), &[], 99, 1 << 20), None, "no lines");
    }
}
