//! Stage 2½: which line of source code an instruction is from, and what was inlined there.
//!
//! Compilers describe their output in DWARF, of which each core module carries its own, in custom sections. Wasmtime's
//! address map leads from the text section to an instruction of WebAssembly ([`WasmOffset`]), and DWARF from there to a
//! function, file, line and column, once for every function that was inlined.
//!
//! Nothing is read before the first question, and then only the units that the answer is in; sections stay where they
//! are. Answers are kept, because a service asks for the same hot instructions again and again.
//!
//! DWARF is a part of the guest, and may be damaged or hostile. What cannot be read has no lines, and the first reason is
//! remembered.

mod limits;
mod paths;
mod sections;
mod trust;

use std::borrow::Cow;
use std::cell::OnceCell;
use std::fmt;
use std::sync::{Arc, Mutex, OnceLock};

use addr2line::Context;
use addr2line::gimli::{AbbreviationsCacheStrategy, Dwarf, EndianSlice, LittleEndian, SectionId};
use rustc_hash::{FxHashMap, FxHashSet};

use self::limits::Problem;
use self::paths::PathMap;
use self::sections::ModuleSections;
use self::trust::Bodies;
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

/// The debug info of one component or core module.
pub(crate) struct DebugInfo {
    origin: Origin,
    /// In order of their code, and apart from each other.
    modules: Vec<ModuleSections>,
    paths: PathMap,
    known: Mutex<Known>,
    /// By module, once it was asked for: what is believed of it.
    trust: Vec<OnceLock<Trust>>,
    /// The first thing that could not be read.
    damage: OnceLock<String>,
    /// The first debug info that was found to be of other code.
    stale: OnceLock<NoLines>,
}

/// What is believed of the debug info of a module.
#[derive(Default)]
struct Trust {
    /// The section of units without those that are not believed; nothing if all are.
    units: Option<Box<[u8]>>,
    /// The functions that are believed; nothing if all are.
    bodies: Option<Bodies>,
}

/// Answers that were given.
#[derive(Default)]
struct Known {
    frames: FxHashMap<WasmOffset, Arc<[SourceFrame]>>,
    /// What they have in common: names and paths.
    texts: FxHashSet<Arc<str>>,
    /// About how many bytes all of it takes.
    bytes: usize,
}

/// When answers take more bytes than this, they are forgotten.
const MAX_KNOWN: usize = 64 << 20;

/// What an entry of a table takes beside what is in it.
const PER_ENTRY: usize = 64;

/// Longer names and paths are cut: a few kilobytes of debug info could ask for any number of them.
const MAX_TEXT: usize = 4096;

impl Known {
    fn keep(&mut self, instruction: WasmOffset, frames: &Arc<[SourceFrame]>) {
        self.grow(size_of_val::<[SourceFrame]>(frames) + PER_ENTRY);
        self.frames.insert(instruction, Arc::clone(frames));
    }

    fn grow(&mut self, bytes: usize) {
        if self.bytes + bytes > MAX_KNOWN {
            *self = Self::default();
        }
        self.bytes += bytes;
    }

    /// A text that is shared with others that are equal.
    fn text(&mut self, text: &str) -> Arc<str> {
        let text = &text[..text.floor_char_boundary(MAX_TEXT)];
        match self.texts.get(text) {
            Some(known) => Arc::clone(known),
            None => {
                self.grow(text.len() + PER_ENTRY);
                let text: Arc<str> = text.into();
                self.texts.insert(Arc::clone(&text));
                text
            }
        }
    }
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
        let paths = PathMap::new(paths);
        let trust = modules.iter().map(|_| OnceLock::new()).collect();
        let known = Mutex::new(Known::default());
        Ok(Self { origin, modules, paths, known, trust, damage: OnceLock::new(), stale: OnceLock::new() })
    }

    /// Opens the debug info, for questions about `code`, which is what it was found for. Nothing if it is in the code, and that is
    /// gone.
    pub(crate) fn open<'a>(&'a self, code: Option<&'a Code>) -> Option<Lines<'a>> {
        let bytes = match &self.origin {
            Origin::Wasm(wasm) => wasm.as_ref(),
            Origin::Image => code?.image(),
        };
        Some(Lines { info: self, bytes, contexts: self.modules.iter().map(|_| OnceCell::new()).collect() })
    }

    /// What could not be read or believed, so far.
    pub(crate) fn damage(&self) -> Option<NoLines> {
        let damaged = || self.damage.get().map(|problem| NoLines::Damaged(problem.clone()));
        self.stale.get().cloned().or_else(damaged)
    }
}

impl fmt::Debug for DebugInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DebugInfo").field("modules", &self.modules).finish_non_exhaustive()
    }
}

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// How far to look for a line, in bytes of WebAssembly.
const NEAR: u64 = 24;

/// [`DebugInfo`], open for questions.
pub(crate) struct Lines<'a> {
    info: &'a DebugInfo,
    bytes: &'a [u8],
    /// For each module, once it was asked for; `None` if it cannot be read.
    contexts: Vec<OnceCell<Option<Context<Bytes<'a>>>>>,
}

impl<'a> Lines<'a> {
    /// The functions at an instruction, the innermost first; the last is the one that was compiled. Empty if nothing is known.
    pub(crate) fn at(&self, instruction: WasmOffset) -> Arc<[SourceFrame]> {
        if let Some(frames) = lock(&self.info.known).frames.get(&instruction) {
            return Arc::clone(frames);
        }
        let frames: Arc<[SourceFrame]> = self.find(instruction).unwrap_or_default().into();
        lock(&self.info.known).keep(instruction, &frames);
        frames
    }

    /// The file, with the user's rules for paths, and the line of an instruction, without what is known of its function: for
    /// those who ask for all of them.
    pub(crate) fn line_at(&self, instruction: WasmOffset) -> Option<(Cow<'_, str>, u32)> {
        let (context, address) = self.module(instruction)?;
        let location = context.find_location(address).ok()??;
        let line = location.line.filter(|line| *line > 0)?;
        let path = location.file.filter(|path| path.len() <= MAX_TEXT)?;
        Some((self.info.paths.mapped(path).map_or(Cow::Borrowed(path), Cow::Owned), line))
    }

    /// The module that an instruction is in, and its address there.
    fn module(&self, instruction: WasmOffset) -> Option<(&Context<Bytes<'a>>, u64)> {
        let offset = u64::from(instruction.get());
        let index = self.info.modules.partition_point(|module| module.code.start <= offset).checked_sub(1)?;
        let module = &self.info.modules[index];
        if offset >= module.code.end {
            return None;
        }
        let context = self.contexts[index].get_or_init(|| self.read(index)).as_ref()?;
        // DWARF counts from the start of the code section's contents.
        let address = offset - module.code.start;
        let trust = self.info.trust[index].get().and_then(|trust| trust.bodies.as_ref());
        trust.is_none_or(|bodies| bodies.is_believed(address)).then_some((context, address))
    }

    fn read(&self, index: usize) -> Option<Context<Bytes<'a>>> {
        let module = &self.info.modules[index];
        let section = |id: SectionId| {
            let bytes = module.section(id).and_then(|range| self.bytes.get(range)).unwrap_or_default();
            Ok::<_, addr2line::gimli::Error>(EndianSlice::new(bytes, LittleEndian))
        };
        let mut dwarf = Dwarf::load(section).map_err(|error| self.damaged(error.to_string())).ok()?;
        match limits::check(&mut dwarf) {
            Ok(()) => {}
            Err(Problem::Damaged(error)) => self.damaged(error.to_string()),
            Err(Problem::Beyond(problem)) => {
                self.damaged(problem);
                return None;
            }
        }
        if let Some(believed) = &self.info.trust[index].get_or_init(|| self.judge(module, &dwarf)).units {
            // The same again, without the units that are not believed.
            let section = |id: SectionId| match id {
                SectionId::DebugInfo => Ok(EndianSlice::new(believed, LittleEndian)),
                _ => section(id),
            };
            dwarf = Dwarf::load(section).map_err(|error| self.damaged(error.to_string())).ok()?;
            dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::All);
        }
        Context::from_dwarf(dwarf).map_err(|error| self.damaged(error.to_string())).ok()
    }

    /// Compares what the debug info of a module says of its functions with its code.
    fn judge(&self, module: &ModuleSections, dwarf: &Dwarf<Bytes<'a>>) -> Trust {
        // An image does not have the code that was compiled.
        let Origin::Wasm(wasm) = &self.info.origin else { return Trust::default() };
        let range =
            |range: &std::ops::Range<u64>| Some(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?);
        let code = range(&module.code).and_then(|range| wasm.as_ref().get(range));
        let Some(mut bodies) = code.and_then(Bodies::read) else { return Trust::default() };
        let stale = bodies.judge(dwarf);
        let units = (!stale.first_entries.is_empty()).then(|| {
            let section = module.section(SectionId::DebugInfo).and_then(|range| self.bytes.get(range));
            let mut units = section.unwrap_or_default().to_vec();
            for entry in &stale.first_entries {
                // An entry of the kind 0 is none, and a unit without one is gone over.
                units.get_mut(*entry).into_iter().for_each(|kind| *kind = 0);
            }
            let name = stale.name.as_deref().and_then(|name| name.rsplit(['/', '\\']).next()).unwrap_or_default();
            let name = name[..name.floor_char_boundary(MAX_TEXT)].to_owned();
            let problem = NoLines::Stale { units: stale.first_entries.len(), of: stale.units, name };
            let _ = self.info.stale.set(problem);
            units.into_boxed_slice()
        });
        Trust { units, bodies: stale.is_partly.then_some(bodies) }
    }

    fn damaged(&self, problem: String) {
        let _ = self.info.damage.set(problem);
    }

    fn find(&self, instruction: WasmOffset) -> Option<Vec<SourceFrame>> {
        let (context, address) = self.module(instruction)?;
        let at = |address| {
            self.frames(context, address).map_err(|error: addr2line::gimli::Error| self.damaged(error.to_string())).ok()
        };
        let frames = at(address)?;
        if frames.first().is_none_or(|innermost| innermost.location.is_some()) {
            return Some(frames);
        }
        // Code that is for no line in particular, such as a loop's beginning, goes by the nearest that is for one.
        let after = (1..=NEAR).map(|distance| address + distance);
        let before = (1..=NEAR).filter_map(|distance| address.checked_sub(distance));
        let names = |frames: &[SourceFrame]| frames.iter().map(|frame| frame.function.clone()).collect::<Vec<_>>();
        let has_line = |near: &[SourceFrame]| near.first().is_some_and(|innermost| innermost.location.is_some());
        let is_meant = |near: &Vec<SourceFrame>| has_line(near) && names(near) == names(&frames);
        after.chain(before).filter_map(at).find(is_meant).or(Some(frames))
    }

    fn frames(&self, context: &Context<Bytes<'a>>, address: u64) -> Result<Vec<SourceFrame>, addr2line::gimli::Error> {
        let mut found = context.find_frames(address).skip_all_loads()?;
        let unit = context.find_dwarf_and_unit(address).skip_all_loads();
        let folder = unit.and_then(|unit| unit.comp_dir).filter(|folder| folder.len() <= MAX_TEXT);
        let folder = folder.map(|folder| folder.to_string_lossy()).unwrap_or_default();
        let mut frames = Vec::new();
        while let Some(frame) = found.next()? {
            let mut known = lock(&self.info.known);
            let function = frame.function.as_ref().and_then(|name| name.raw_name().ok()).map(|name| known.text(&name));
            let location = frame.location.and_then(|location| {
                let path = location.file.filter(|path| path.len() <= MAX_TEXT)?;
                // A line of 0 means that no line is to blame.
                let line = location.line.filter(|line| *line > 0)?;
                Some(SourceLocation {
                    file: known.text(&self.info.paths.shown(path, &folder)),
                    line,
                    column: location.column.filter(|column| *column > 0),
                })
            });
            frames.push(SourceFrame { function, location });
        }
        Ok(frames)
    }
}
