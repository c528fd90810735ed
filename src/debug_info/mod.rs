//! Stage 2½: which line of source code an instruction is from, and what was inlined there.
//!
//! Compilers describe their output in DWARF, of which each core module carries its own, in custom sections. Wasmtime's
//! address map leads from the text section to an instruction of WebAssembly ([`WasmOffset`]), and DWARF from there to a
//! function, file, line and column, once for every function that was inlined.
//!
//! Nothing is read before the first question, and then only the units that the answer is in. What was read and what was
//! answered is kept ([`kept`], [`known`]), for all profiles that share a map.
//!
//! DWARF is a part of the guest, and may be damaged or hostile. What cannot be read has no lines, and the first reason is
//! remembered.

mod kept;
mod known;
mod limits;
mod paths;
mod reader;
mod sections;
mod share;
mod trust;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use self::kept::Kept;
use self::known::Known;
pub(crate) use self::paths::PathMap;
use self::reader::{Checked, Reader};
use self::sections::ModuleSections;
use crate::address::WasmOffset;
use crate::component::{Artifacts, Code, Image};
use crate::lock::lock;

/// A function at an instruction: the one that was compiled, or one that was inlined into it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceFrame {
    /// Its name as the compiler wrote it, mangled.
    pub(crate) function: Option<Arc<str>>,
    /// Where in its source.
    pub(crate) location: Option<SourceLocation>,
}

/// A place in source code.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SourceLocation {
    /// The file, as it may be shown to others.
    pub(crate) file: Arc<str>,
    /// The line, from 1 on.
    pub(crate) line: u32,
    /// The column, from 1 on.
    pub(crate) column: Option<u32>,
}

/// The debug info of one component or core module, with what was read of it. Any number of threads may ask at once; for the
/// same module they wait for each other.
pub(crate) struct DebugInfo {
    origin: Origin,
    /// In order of their code, and apart from each other.
    modules: Vec<Module>,
    paths: PathMap,
    known: Mutex<Known>,
    /// The first thing that could not be read.
    damage: OnceLock<String>,
    /// The first debug info that was found to be of other code.
    stale: OnceLock<NoLines>,
}

/// The debug info of a core module.
struct Module {
    sections: ModuleSections,
    /// Once it was asked for.
    checked: OnceLock<Arc<Checked>>,
    kept: Mutex<Kept>,
}

/// The bytes of a WebAssembly binary.
#[derive(Clone)]
pub(crate) struct WasmBytes(pub(crate) Arc<dyn AsRef<[u8]> + Send + Sync>);

impl AsRef<[u8]> for WasmBytes {
    fn as_ref(&self) -> &[u8] {
        (*self.0).as_ref()
    }
}

impl fmt::Debug for WasmBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} bytes", self.as_ref().len())
    }
}

/// Where the sections are.
enum Origin {
    /// In the WebAssembly binary.
    Wasm(WasmBytes),
    /// In the compiled image, where Wasmtime puts them if it was asked to.
    Image,
}

/// Why there are no lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoLines {
    /// The WebAssembly binary was not given, and the image has no debug info.
    NotGiven,
    /// There is none.
    None,
    /// It is in another file.
    Elsewhere(String),
    /// What was given is something else than what was compiled.
    OtherBinary,
    /// It was in the code, which is gone.
    Unregistered,
    /// Wasmtime was told not to remember which instruction is where.
    NoAddressMap,
    /// It is of other parts than those that ran.
    OfOtherCode,
    /// It is of other code: so many units of so many, the first of which has this name.
    Stale { units: usize, of: usize, name: String },
    /// It cannot be read.
    Damaged(String),
}

impl fmt::Display for NoLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotGiven => f.write_str(
                "its WebAssembly binary is not known, and the compiled code has no debug info; compile it with debug \
                 info (`WASMTIME_BACKTRACE_DETAILS=1 wasmtime compile`), or profile the binary itself",
            ),
            Self::None => f.write_str("it has no debug info"),
            Self::Elsewhere(place) => write!(f, "its debug info is in another file, `{place}`, which is not read"),
            Self::OtherBinary => f.write_str("the WebAssembly binary is not the one that was compiled"),
            Self::Unregistered => f.write_str(
                "its debug info was in its code, which was unregistered; give its WebAssembly binary to the map \
                 (`SymbolMapBuilder::debug_info`)",
            ),
            Self::NoAddressMap => {
                f.write_str("it was compiled without an address map (`-D address-map=n`); leave that out")
            }
            Self::OfOtherCode => f.write_str("its debug info says nothing of the functions that ran"),
            Self::Stale { units, of, name } => write!(
                f,
                "the debug info of {units} of {of} source files (`{name}`) does not fit the code; a tool that changed the code after \
                 it was compiled, such as `wasm-opt`, has left it as it was; leave that tool out to see lines"
            ),
            Self::Damaged(problem) => write!(f, "its debug info is damaged: {problem}"),
        }
    }
}

impl DebugInfo {
    /// Finds the debug info of what `image` was compiled from, in `wasm` or else in the image.
    pub(crate) fn find(
        wasm: Option<WasmBytes>,
        image: &Image<'_>,
        artifacts: &Artifacts<'_>,
        paths: Vec<(String, String)>,
    ) -> Result<Self, NoLines> {
        let (origin, modules) = match wasm {
            Some(wasm) => {
                let found = sections::of_wasm(wasm.as_ref()).ok_or(NoLines::OtherBinary)?;
                // Adapters, which follow, are not in the binary.
                let compiled = artifacts.modules.iter().take(found.modules.len());
                let compiled = compiled.map(|module| (module.code_section_offset(), module.defined_functions()));
                if !found.modules.iter().map(|module| (module.code.start, module.functions)).eq(compiled) {
                    return Err(NoLines::OtherBinary);
                }
                if let Some(elsewhere) = found.elsewhere
                    && !found.modules.iter().any(ModuleSections::has_debug_info)
                {
                    return Err(NoLines::Elsewhere(elsewhere));
                }
                (Origin::Wasm(wasm), found.modules)
            }
            None => (Origin::Image, sections::of_image(image, artifacts).ok_or(NoLines::NotGiven)?),
        };
        let modules: Vec<_> =
            modules.into_iter().filter(|module| module.has_debug_info() && !module.code.is_empty()).collect();
        if modules.is_empty() {
            return Err(NoLines::None);
        }
        let module = |sections| Module { sections, checked: OnceLock::new(), kept: Mutex::new(Kept::Closed) };
        let modules = modules.into_iter().map(module).collect();
        let paths = PathMap::new(paths);
        let (damage, stale) = (OnceLock::new(), OnceLock::new());
        Ok(Self { origin, modules, paths, known: Mutex::default(), damage, stale })
    }

    /// The lines for one profile of `code`, which is what the debug info was found for. Nothing if it is in the code, and that is
    /// gone.
    pub(crate) fn lines<'a>(&'a self, code: Option<&'a Code>) -> Option<Lines<'a>> {
        let is_there = matches!(self.origin, Origin::Wasm(_)) || code.is_some();
        is_there.then(|| Lines { info: self, code })
    }

    /// The lines of all of `code`, for those who ask once: what is read is not kept.
    pub(crate) fn all_lines<'a>(&'a self, code: &'a Code) -> AllLines<'a> {
        let readers = self.modules.iter().map(|_| OnceCell::new()).collect();
        // There is code.
        let bytes = self.bytes(Some(code)).unwrap_or_default();
        AllLines { info: self, bytes, readers }
    }

    /// What sections are in.
    fn bytes<'a>(&'a self, code: Option<&'a Code>) -> Option<&'a [u8]> {
        match &self.origin {
            Origin::Wasm(wasm) => Some(wasm.as_ref()),
            Origin::Image => Some(code?.image()),
        }
    }

    /// The module that an instruction is in, and its address there.
    fn module_of(&self, instruction: WasmOffset) -> Option<(usize, u64)> {
        let offset = u64::from(instruction.get());
        let index = self.modules.partition_point(|module| module.sections.code.start <= offset).checked_sub(1)?;
        let code = &self.modules[index].sections.code;
        // DWARF counts from the start of the code section's contents.
        (offset < code.end).then(|| (index, offset - code.start))
    }

    /// What has to be known of a module before it is read.
    fn checked<'a>(&self, module: &'a Module, bytes: &[u8]) -> &'a Arc<Checked> {
        module.checked.get_or_init(|| {
            let range = |range: &Range<u64>| Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?);
            let wasm = match &self.origin {
                Origin::Wasm(wasm) => range(&module.sections.code).and_then(|range| wasm.as_ref().get(range)),
                Origin::Image => None,
            };
            let (checked, findings) = Checked::new(bytes, &module.sections, wasm);
            if let Some(damage) = findings.damage {
                self.damaged(damage);
            }
            if let Some((units, of, name)) = findings.stale {
                let _ = self.stale.set(NoLines::Stale { units, of, name });
            }
            Arc::new(checked)
        })
    }

    fn damaged(&self, problem: String) {
        let _ = self.damage.set(problem);
    }

    /// What could not be read or believed, so far.
    pub(crate) fn damage(&self) -> Option<NoLines> {
        let damaged = || self.damage.get().map(|problem| NoLines::Damaged(problem.clone()));
        self.stale.get().cloned().or_else(damaged)
    }
}

impl fmt::Debug for DebugInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugInfo").field("modules", &self.modules.len()).finish_non_exhaustive()
    }
}

/// [`DebugInfo`], open for the questions of one profile.
pub(crate) struct Lines<'a> {
    info: &'a DebugInfo,
    /// There, if the debug info is in it.
    code: Option<&'a Code>,
}

impl Lines<'_> {
    /// The functions at an instruction, the innermost first; the last is the one that was compiled. Empty if nothing is known.
    pub(crate) fn at(&self, instruction: WasmOffset) -> Arc<[SourceFrame]> {
        if let Some(frames) = lock(&self.info.known).frames(instruction) {
            return frames;
        }
        let frames: Arc<[SourceFrame]> = self.find(instruction).unwrap_or_default().into();
        lock(&self.info.known).keep(instruction, &frames);
        frames
    }

    fn find(&self, instruction: WasmOffset) -> Option<Vec<SourceFrame>> {
        let info = self.info;
        let (index, address) = info.module_of(instruction)?;
        let module = &info.modules[index];
        let mut kept = lock(&module.kept);
        if matches!(*kept, Kept::Closed) {
            *kept = self.open(module);
        }
        let Kept::Open(open, _) = &*kept else { return None };
        let damaged = |error: &addr2line::gimli::Error| info.damaged(error.to_string());
        open.with_dependent(|_, reader| reader.frames_at(address, &info.paths, &info.known, damaged))
    }

    fn open(&self, module: &Module) -> Kept {
        let all = self.info.bytes(self.code).unwrap_or_default();
        let checked = Arc::clone(self.info.checked(module, all));
        let (bytes, sections) = match &self.info.origin {
            Origin::Wasm(wasm) => (wasm.clone(), module.sections.clone()),
            Origin::Image => module.sections.copied(all),
        };
        Kept::open(bytes, sections, checked).unwrap_or_else(|error| {
            self.info.damaged(error.to_string());
            Kept::Unreadable
        })
    }
}

impl Drop for Lines<'_> {
    fn drop(&mut self) {
        self.info.modules.iter().for_each(|module| lock(&module.kept).end_profile());
    }
}

/// [`DebugInfo`], open for questions about all instructions.
pub(crate) struct AllLines<'a> {
    info: &'a DebugInfo,
    bytes: &'a [u8],
    /// For each module, once it was asked for; `None` if it cannot be read.
    readers: Vec<OnceCell<Option<Reader<'a>>>>,
}

impl AllLines<'_> {
    /// The file, with the user's rules for paths, and the line of an instruction, without what is known of its function.
    pub(crate) fn at(&self, instruction: WasmOffset) -> Option<(Cow<'_, str>, u32)> {
        let info = self.info;
        let (index, address) = info.module_of(instruction)?;
        let module = &info.modules[index];
        let reader = self.readers[index].get_or_init(|| {
            let reader = Reader::new(self.bytes, &module.sections, info.checked(module, self.bytes));
            reader.map_err(|error| info.damaged(error.to_string())).ok()?
        });
        let (path, line) = reader.as_ref()?.line_at(address)?;
        Some((info.paths.mapped(path).map_or(Cow::Borrowed(path), Cow::Owned), line))
    }
}

#[cfg(test)]
mod tests;
