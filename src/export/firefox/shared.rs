//! The tables that all threads share: stacks, frames, functions, and what those refer to.

use fxprof_processed_profile as fxprof;
use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap};
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};

use super::categories::{Categories, Category, CategoryRow};
use super::columns::Table;
use super::library_id;
use crate::profile::{FileIndex, Frame, FunctionIndex, Profile, ProfileFunction, ProfileLibrary, Stack};
use crate::symbols::FunctionKind;

/// A row of the table of strings.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Str(u32);

/// A row of the table of stacks.
#[derive(Serialize, Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct StackRow(u32);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FrameRow {
    /// The function that it is in; without one there is no library, address or symbol either.
    function: u32,
    library: Option<u32>,
    address: Option<u32>,
    symbol: Option<u32>,
    /// How many functions are inlined into each other here.
    inline_depth: u32,
    category: CategoryRow,
    line: Option<u32>,
    column: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct FunctionRow {
    name: Str,
    resource: Option<u32>,
    source: Option<u32>,
    line: Option<u32>,
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct SymbolRow {
    library: u32,
    address: u32,
    name: Str,
    size: u32,
}

/// All of them.
pub(super) struct Shared<'p> {
    strings: IndexSet<String>,
    pub(super) libraries: Vec<ProfileLibrary>,
    /// A library each, and its name.
    resources: IndexSet<(u32, Str), FxBuildHasher>,
    /// Files by name, with what is in them if that is known.
    sources: IndexMap<Str, Option<&'p str>, FxBuildHasher>,
    functions: IndexSet<FunctionRow, FxBuildHasher>,
    symbols: IndexSet<SymbolRow, FxBuildHasher>,
    frames: IndexSet<FrameRow, FxBuildHasher>,
    /// The caller, which comes before, and the frame.
    stacks: IndexSet<(Option<StackRow>, u32), FxBuildHasher>,
    pub(super) categories: Categories,
}

impl<'p> Shared<'p> {
    pub(super) fn new(libraries: &[ProfileLibrary]) -> Self {
        Self {
            strings: IndexSet::new(),
            libraries: libraries.to_vec(),
            resources: IndexSet::default(),
            sources: IndexMap::default(),
            functions: IndexSet::default(),
            symbols: IndexSet::default(),
            frames: IndexSet::default(),
            stacks: IndexSet::default(),
            categories: Categories::new(),
        }
    }

    pub(super) fn string(&mut self, text: &str) -> Str {
        let row = self.strings.get_index_of(text).unwrap_or_else(|| self.strings.insert_full(text.to_owned()).0);
        Str(row_number(row))
    }

    /// A stack whose innermost frame is nothing but a name.
    pub(super) fn label(&mut self, caller: Option<StackRow>, name: &str, category: CategoryRow) -> StackRow {
        let function = FunctionRow { name: self.string(name), resource: None, source: None, line: None };
        let function = row_number(self.functions.insert_full(function).0);
        self.stack(
            caller,
            FrameRow {
                function,
                library: None,
                address: None,
                symbol: None,
                inline_depth: 0,
                category,
                line: None,
                column: None,
            },
        )
    }

    fn stack(&mut self, caller: Option<StackRow>, frame: FrameRow) -> StackRow {
        let frame = row_number(self.frames.insert_full(frame).0);
        StackRow(row_number(self.stacks.insert_full((caller, frame)).0))
    }

    /// The rows of those stacks that are `needed`, and of their callers. Files are those of `profile`.
    pub(super) fn stacks_of(
        &mut self,
        profile: &'p Profile,
        tables: StackTables<'_>,
        needed: Vec<bool>,
    ) -> Vec<Option<StackRow>> {
        let needed = with_callers(tables.stacks, needed);
        let mut maker = FrameMaker {
            shared: self,
            profile,
            table: tables.functions,
            categories: vec![None; tables.functions.len()],
            symbols: vec![None; tables.functions.len()],
            functions: FxHashMap::default(),
        };
        let mut rows: Vec<Option<StackRow>> = Vec::with_capacity(tables.stacks.len());
        // How deep the innermost frame is inlined, and into what.
        let mut inlined: Vec<(u32, Option<FunctionIndex>)> = Vec::with_capacity(tables.stacks.len());
        for (stack, is_needed) in tables.stacks.iter().zip(needed) {
            let frame = tables.frames[stack.frame.index()];
            let here = match tables.functions[frame.function.index()].kind {
                FunctionKind::Inlined => {
                    let (depth, compiled) = stack.caller.map_or((0, None), |caller| inlined[caller.index()]);
                    (depth + 1, compiled)
                }
                _ => (0, Some(frame.function)),
            };
            inlined.push(here);
            let row = is_needed.then(|| {
                let caller = stack.caller.and_then(|caller| rows[caller.index()]);
                let frame = maker.frame(frame, here);
                maker.shared.stack(caller, frame)
            });
            rows.push(row);
        }
        rows
    }

    /// The libraries, as the front-end knows them.
    pub(super) fn library_infos(&self) -> Vec<fxprof::LibraryInfo> {
        let libraries = self.libraries.iter().enumerate().map(|(index, library)| fxprof::LibraryInfo {
            name: library.name.clone(),
            debug_name: library.name.clone(),
            path: library.name.clone(),
            debug_path: library.name.clone(),
            debug_id: library_id(index),
            code_id: None,
            arch: None,
            symbol_table: None,
        });
        libraries.collect()
    }
}

/// The tables of a profile that stacks are made of; the libraries of functions are those of the document.
#[derive(Clone, Copy)]
pub(super) struct StackTables<'t> {
    pub(super) functions: &'t [ProfileFunction],
    pub(super) frames: &'t [Frame],
    pub(super) stacks: &'t [Stack],
}

/// Those that are needed with their callers.
fn with_callers(stacks: &[Stack], mut needed: Vec<bool>) -> Vec<bool> {
    // Callers come before what they call.
    for (index, stack) in stacks.iter().enumerate().rev() {
        if let (true, Some(caller)) = (needed[index], stack.caller) {
            needed[caller.index()] = true;
        }
    }
    needed
}

/// Makes rows of the frames of a profile.
struct FrameMaker<'s, 'p> {
    shared: &'s mut Shared<'p>,
    profile: &'p Profile,
    table: &'s [ProfileFunction],
    /// By function.
    categories: Vec<Option<CategoryRow>>,
    /// By function.
    symbols: Vec<Option<u32>>,
    functions: FxHashMap<(FunctionIndex, Option<FileIndex>), u32>,
}

impl<'p> FrameMaker<'_, 'p> {
    /// The row of a frame that is inlined so deep, into this function.
    fn frame(&mut self, frame: Frame, (inline_depth, compiled): (u32, Option<FunctionIndex>)) -> FrameRow {
        let function = &self.table[frame.function.index()];
        // The front-end takes the file of a line to be that of its function.
        let file = frame.source.map(|source| source.file).or(function.file);
        FrameRow {
            function: self.function(frame.function, file),
            library: Some(function.library.0),
            address: Some(frame.point.lookup_offset().get()),
            symbol: compiled.map(|compiled| self.symbol(compiled)),
            inline_depth,
            category: self.category(frame.function),
            line: frame.source.map(|source| source.line),
            column: frame.source.and_then(|source| source.column),
        }
    }

    fn function(&mut self, index: FunctionIndex, file: Option<FileIndex>) -> u32 {
        if let Some(known) = self.functions.get(&(index, file)) {
            return *known;
        }
        let function = &self.table[index.index()];
        let library = self.shared.libraries[function.library.index()].name.clone();
        let resource = (function.library.0, self.shared.string(&library));
        let row = FunctionRow {
            name: self.shared.string(&function.name),
            resource: Some(row_number(self.shared.resources.insert_full(resource).0)),
            source: file.map(|file| self.source(file)),
            line: function.first_line,
        };
        let row = row_number(self.shared.functions.insert_full(row).0);
        self.functions.insert((index, file), row);
        row
    }

    fn source(&mut self, file: FileIndex) -> u32 {
        let name = self.shared.string(self.profile.file(file));
        let entry = self.shared.sources.entry(name);
        let row = entry.index();
        entry.or_insert(self.profile.source_text(file));
        row_number(row)
    }

    fn symbol(&mut self, index: FunctionIndex) -> u32 {
        if let Some(known) = self.symbols[index.index()] {
            return known;
        }
        let function = &self.table[index.index()];
        let row = SymbolRow {
            library: function.library.0,
            address: function.offset,
            name: self.shared.string(&function.name),
            size: function.size,
        };
        let row = row_number(self.shared.symbols.insert_full(row).0);
        self.symbols[index.index()] = Some(row);
        row
    }

    fn category(&mut self, index: FunctionIndex) -> CategoryRow {
        if let Some(known) = self.categories[index.index()] {
            return known;
        }
        let function = &self.table[index.index()];
        let layer = self.shared.libraries[function.library.index()].layer;
        let row = self.shared.categories.row(Category::Layer(layer), function.interface.as_deref());
        self.categories[index.index()] = Some(row);
        row
    }
}

/// What the format has in place of no index.
const NONE: i64 = -1;

fn or_none(row: Option<u32>) -> i64 {
    row.map_or(NONE, i64::from)
}

/// Tables have fewer rows than their indices have values.
fn row_number(row: usize) -> u32 {
    u32::try_from(row).unwrap_or(u32::MAX)
}

/// `profile.shared` of the format.
impl Serialize for Shared<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("stringArray", &self.strings)?;
        map.serialize_entry("stackTable", &Stacks(self))?;
        map.serialize_entry("frameTable", &Frames(self))?;
        map.serialize_entry("funcTable", &Functions(self))?;
        map.serialize_entry("resourceTable", &Resources(self))?;
        map.serialize_entry("nativeSymbols", &Symbols(self))?;
        map.serialize_entry("sources", &Sources(self))?;
        map.serialize_entry("sourceLocationTable", &NoSourceLocations)?;
        map.end()
    }
}

struct Stacks<'s, 'p>(&'s Shared<'p>);

impl Serialize for Stacks<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let stacks = &self.0.stacks;
        // How many rows before it its caller is.
        let offset = |(row, caller): (u32, Option<StackRow>)| caller.map_or(0, |caller| row - caller.0);
        Table::new(serializer, stacks.len())?
            .add("frame", || stacks.iter().map(|(_, frame)| frame))?
            .add("prefixOffset", || (0..).zip(stacks.iter().map(|(caller, _)| *caller)).map(offset))?
            .end()
    }
}

struct Frames<'s, 'p>(&'s Shared<'p>);

impl Serialize for Frames<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let frames = &self.0.frames;
        Table::new(serializer, frames.len())?
            .add("address", || frames.iter().map(|frame| or_none(frame.address)))?
            .add("lib", || frames.iter().map(|frame| or_none(frame.library)))?
            .add("inlineDepth", || frames.iter().map(|frame| frame.inline_depth))?
            .add("category", || frames.iter().map(|frame| frame.category.category))?
            .add("subcategory", || frames.iter().map(|frame| frame.category.subcategory))?
            .add("func", || frames.iter().map(|frame| frame.function))?
            .add("nativeSymbol", || frames.iter().map(|frame| frame.symbol))?
            .all("innerWindowID", ())?
            .add("line", || frames.iter().map(|frame| frame.line))?
            .add("column", || frames.iter().map(|frame| frame.column))?
            .all("originalLocation", ())?
            .end()
    }
}

struct Functions<'s, 'p>(&'s Shared<'p>);

impl Serialize for Functions<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let functions = &self.0.functions;
        Table::new(serializer, functions.len())?
            .add("name", || functions.iter().map(|function| function.name))?
            .all("isJS", false)?
            .all("relevantForJS", false)?
            .add("resource", || functions.iter().map(|function| or_none(function.resource)))?
            .add("source", || functions.iter().map(|function| function.source))?
            .add("lineNumber", || functions.iter().map(|function| function.line))?
            .all("columnNumber", ())?
            .all("originalLocation", ())?
            .end()
    }
}

struct Resources<'s, 'p>(&'s Shared<'p>);

impl Serialize for Resources<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const LIBRARY: u32 = 1;
        let resources = &self.0.resources;
        Table::new(serializer, resources.len())?
            .add("name", || resources.iter().map(|(_, name)| name))?
            .all("host", ())?
            .all("type", LIBRARY)?
            .end()
    }
}

struct Symbols<'s, 'p>(&'s Shared<'p>);

impl Serialize for Symbols<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let symbols = &self.0.symbols;
        Table::new(serializer, symbols.len())?
            .add("libIndex", || symbols.iter().map(|symbol| symbol.library))?
            .add("address", || symbols.iter().map(|symbol| symbol.address))?
            .add("name", || symbols.iter().map(|symbol| symbol.name))?
            .add("functionSize", || symbols.iter().map(|symbol| symbol.size))?
            .end()
    }
}

struct Sources<'s, 'p>(&'s Shared<'p>);

impl Serialize for Sources<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let sources = &self.0.sources;
        Table::new(serializer, sources.len())?
            .all("id", ())?
            .add("filename", || sources.keys())?
            .all("startLine", 1)?
            .all("startColumn", 1)?
            .all("sourceMapURL", ())?
            .add("content", || sources.values())?
            .end()
    }
}

/// There is no source but the one that debug info tells.
struct NoSourceLocations;

impl Serialize for NoSourceLocations {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Table::new(serializer, 0)?.all("source", 0)?.all("line", 0)?.all("column", 0)?.end()
    }
}
