//! What a file is, told by how it begins: so that whoever gives a command the wrong file is told the right command.

use std::io::Read as _;
use std::path::Path;

use flate2::bufread::MultiGzDecoder;

use crate::terminal::shell_word;

/// What else than a profile that witprof reads a file may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// WebAssembly, binary or text.
    Wasm,
    /// Code that Wasmtime has compiled, or any other program.
    Native,
    /// A profile in the Firefox Profiler's format, or other JSON.
    Json,
    /// For speedscope.
    Speedscope,
    Gzip,
    Pprof,
    Html,
    Svg,
    Folded,
    PerfData,
    JitDump,
    PerfMap,
}

impl Told {
    /// What a file that begins with `start` is; `None` if that is not known. What is in gzip is told by `start` of that.
    pub(crate) fn by(start: &[u8]) -> Option<Self> {
        let magic: [(&[u8], Self); 7] = [
            (b"\0asm", Self::Wasm),
            (b"\x7fELF", Self::Native),
            (&GZIP, Self::Gzip),
            (b"PERFILE2", Self::PerfData),
            (b"2ELIFREP", Self::PerfData),
            (b"DTiJ", Self::JitDump),
            (b"JiTD", Self::JitDump),
        ];
        if let Some((_, told)) = magic.iter().find(|(magic, _)| start.starts_with(magic)) {
            return Some(*told);
        }
        if is_pprof(start) {
            return Some(Self::Pprof);
        }
        let text = start.trim_ascii_start();
        let begins = |with: &[u8]| text.get(..with.len()).is_some_and(|begin| begin.eq_ignore_ascii_case(with));
        let contains = |part: &[u8]| text.windows(part.len()).any(|window| window == part);
        match () {
            () if text.starts_with(b"{") && contains(b"speedscope.app/file-format-schema") => Some(Self::Speedscope),
            () if text.starts_with(b"{") || text.starts_with(b"[") => Some(Self::Json),
            () if begins(b"<!doctype html") || begins(b"<html") => Some(Self::Html),
            () if begins(b"<svg") || (begins(b"<?xml") && contains(b"<svg")) => Some(Self::Svg),
            () if text.starts_with(b"(") && (contains(b"(component") || contains(b"(module")) => Some(Self::Wasm),
            () if text.starts_with(b";;") || text.starts_with(b"(;") => Some(Self::Wasm),
            () if lines(text, is_of_perf_map) => Some(Self::PerfMap),
            () if lines(text, is_folded) => Some(Self::Folded),
            () => None,
        }
    }

    /// What a file is, whose beginning is `start`, or that of what is compressed in it; `None` if that is not known, or if
    /// nothing of it is there to be decompressed.
    pub(crate) fn inside(start: &[u8]) -> Option<(Self, Compression)> {
        /// Bytes that tell it.
        const ENOUGH: u64 = 4096;
        if !start.starts_with(&GZIP) {
            return Self::by(start).map(|told| (told, Compression::None));
        }
        let mut inside = Vec::new();
        // What is damaged, or cut off here, is told by what comes before.
        let _ = MultiGzDecoder::new(start).take(ENOUGH).read_to_end(&mut inside);
        (!inside.is_empty()).then(|| (Self::by(&inside).unwrap_or(Self::Gzip), Compression::Gzip))
    }

    /// What to say to whoever gave the file where a profile is wanted; `None` if it may be one.
    pub(crate) fn instead_of_profile(self, path: &Path, compression: Compression) -> Option<String> {
        let file = shell_word(path.as_os_str());
        let what = self.what(&file);
        Some(match self {
            Self::Json => return None,
            Self::Wasm | Self::Native if compression == Compression::Gzip => {
                format!(
                    "it is a program, compressed with gzip: `gunzip {file}` decompresses it, and `witprof run` runs it"
                )
            }
            Self::Wasm => format!("{what}, not a profile of it: `witprof run {file}` runs and profiles it"),
            Self::Native => format!(
                "{what}, not a profile: if Wasmtime has compiled it, `witprof run --allow-precompiled {file}` runs and \
                 profiles it"
            ),
            Self::Gzip => format!("{what}, and no profile is in it; {THIS_READS}"),
            Self::Pprof | Self::Html | Self::Svg | Self::Folded | Self::Speedscope => format!("{what}; {THIS_READS}"),
            Self::PerfData | Self::JitDump | Self::PerfMap => what,
        })
    }

    /// What to say to whoever gave the file where WebAssembly is wanted; `None` if it may be that.
    pub(crate) fn instead_of_wasm(self, path: &Path, compression: Compression) -> Option<String> {
        let file = shell_word(path.as_os_str());
        let what = self.what(&file);
        Some(match self {
            Self::Wasm if compression == Compression::None => return None,
            Self::Wasm | Self::Gzip => format!("it is compressed with gzip: `gunzip {file}` decompresses it"),
            Self::Json => format!(
                "{what}, and not WebAssembly: `witprof report {file}` prints where the time of a profile went, \
                 `witprof view {file}` opens it"
            ),
            Self::Native => format!("{what}, not WebAssembly"),
            _ => what,
        })
    }

    /// What it is, and what reads it if witprof does not. `file` is its path for a shell.
    fn what(self, file: &str) -> String {
        match self {
            Self::Wasm => "it is WebAssembly".to_owned(),
            Self::Native => "it is native code".to_owned(),
            Self::Json => "it is a profile, or other JSON".to_owned(),
            Self::Gzip => "it is compressed with gzip".to_owned(),
            Self::Pprof => format!("it is a profile for pprof: `go tool pprof {file}` reads it"),
            Self::Html => "it is a web page, such as a report: open it in a browser".to_owned(),
            Self::Svg => "it is a picture, such as a flame graph: open it in a browser".to_owned(),
            Self::Folded => "it is a list of stacks, which tools for flame graphs read".to_owned(),
            Self::Speedscope => "it is a profile for speedscope: open it at https://www.speedscope.app".to_owned(),
            Self::PerfData => format!(
                "it is a recording of perf: `perf report -i {file}` reads it, with the names of witprof if it was recorded \
                 with `witprof run --perf-map`"
            ),
            Self::JitDump => {
                "it is a jitdump: `perf inject --jit` adds it to a recording of perf, and samply reads it".to_owned()
            }
            Self::PerfMap => "it is a perf map: perf finds it by itself, in /tmp".to_owned(),
        }
    }
}

/// How the contents of a file are stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
}

/// What files that gzip made begin with.
pub(crate) const GZIP: [u8; 2] = [0x1f, 0x8b];

/// What the commands that take a profile read.
const THIS_READS: &str = "witprof reads .json.gz and .json";

/// The first messages of pprof's format: types of values, which are two small numbers each.
fn is_pprof(start: &[u8]) -> bool {
    matches!(start, [0x0a, length @ 2..=8, 0x08, ..] if start.get(2 + usize::from(*length)).is_some())
}

/// Whether all complete lines of a text are like that, and there are some.
fn lines(text: &[u8], is_like: fn(&str) -> bool) -> bool {
    /// So many tell it.
    const ENOUGH: usize = 8;
    let mut lines =
        text.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")).take(ENOUGH).peekable();
    lines.peek().is_some() && lines.all(|line| std::str::from_utf8(line).is_ok_and(|line| is_like(line.trim_end())))
}

/// `main;sort;compare 1234`.
fn is_folded(line: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    line.rsplit_once(' ').is_some_and(|(stack, count)| !stack.is_empty() && is_number(count))
}

/// `7f00c0de 1a main`.
fn is_of_perf_map(line: &str) -> bool {
    let is_number = |text: Option<&str>| {
        text.is_some_and(|text| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    let mut words = line.splitn(3, ' ');
    is_number(words.next()) && is_number(words.next()) && words.next().is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_told_by_how_they_begin() {
        for (start, told) in [
            (&b"\0asm\x0d\0\x01\0"[..], Some(Told::Wasm)),
            (b"(module)", Some(Told::Wasm)),
            (b";; a comment\n(module)", Some(Told::Wasm)),
            (b"\x1f\x8b\x08", Some(Told::Gzip)),
            (b"PERFILE2....", Some(Told::PerfData)),
            (b"DTiJ", Some(Told::JitDump)),
            (b"\x7fELF", Some(Told::Native)),
            (b"\x0a\x04\x08\x01\x10\x02\x0a\x04", Some(Told::Pprof)),
            (b"{\"meta\":{", Some(Told::Json)),
            (b"{\"$schema\":\"https://www.speedscope.app/file-format-schema.json\"", Some(Told::Speedscope)),
            (b"<!DOCTYPE html><html>", Some(Told::Html)),
            (b"<?xml version=\"1.0\"?><svg>", Some(Told::Svg)),
            (b"main;a b;c 12\nmain 3\nma", Some(Told::Folded)),
            (b"7f00 1a main::f\n7f1a 20 g h\n", Some(Told::PerfMap)),
            (b"", None),
            (b"nothing in particular", None),
            (b"\xff\xff\xff", None),
        ] {
            assert_eq!(Told::by(start), told, "{}", String::from_utf8_lossy(start));
        }
        // The header alone tells nothing of what is in it.
        assert_eq!(Told::inside(b"\x1f\x8b\x08\0\0\0\0\0\0\xff"), None);
    }

    #[test]
    fn what_reads_a_file_is_said_wherever_it_is_given() {
        let path = Path::new("a file");
        let pprof = "it is a profile for pprof: `go tool pprof 'a file'` reads it";
        let said = Told::Pprof.instead_of_profile(path, Compression::None);
        assert_eq!(said, Some(format!("{pprof}; {THIS_READS}")));
        assert_eq!(Told::Pprof.instead_of_wasm(path, Compression::None), Some(pprof.to_owned()));
        let said = Told::Gzip.instead_of_profile(path, Compression::Gzip);
        assert_eq!(said, Some(format!("it is compressed with gzip, and no profile is in it; {THIS_READS}")));
    }
}
