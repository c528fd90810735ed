//! The symbol map: from text offset to function, in one cache miss or two.

use std::sync::Arc;

use indexmap::IndexSet;
use rustc_hash::FxHashMap;

use super::ends::Ends;
use super::function::{Direction, Function, FunctionKind, NamedBy, readable};
use super::host_imports::HostImports;
use super::library::{ComponentNamedBy, Library};
use super::name_table::{NameHandle, NameTable};
use super::namer;
#[cfg(feature = "source-maps")]
use super::source_map::{SourceMap, SourceMaps};
use super::wit_signatures::WitSignatures;
use crate::address::TextOffset;
use crate::component::{Artifacts, Code, Identity, Image, Memories, Source};
use crate::debug_info::{DebugInfo, NoLines, PathMap, WasmBytes};
use crate::error::{Error, ImageProblem, Result};

/// A function of a map. Made by [`SymbolMap::lookup_id`]; valid for the map that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FunctionId(pub(super) u32);

/// A library of a map, as an index into [`SymbolMap::libraries`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LibraryId(pub(crate) u32);

/// What is stored for each function.
#[derive(Debug)]
pub(super) struct FunctionRecord {
    pub(super) start: u32,
    pub(super) length: u32,
    pub(super) library: LibraryId,
    pub(super) name: NameHandle,
    /// Index into `SymbolMap::interfaces`.
    pub(super) interface: Option<u32>,
    pub(super) interface_function: Option<NameHandle>,
    pub(super) kind: FunctionKind,
    pub(super) named_by: NamedBy,
    pub(super) direction: Option<Direction>,
    /// Index into `SymbolMap::ends`.
    pub(super) ends: u32,
}

/// Finds the functions of a core module by their index.
#[derive(Debug, Default)]
pub(super) struct ModuleFunctions {
    /// How many functions the module imports: the index of its first own function.
    pub(super) imported: u32,
    /// The map's function for each of its own functions; `None` if it was not compiled.
    pub(super) defined: Vec<Option<FunctionId>>,
}

/// Every function that Wasmtime emitted for one component or core module, with the names a human knows it by.
///
/// The map is immutable and owns all it holds; share it with an `Arc`. It contains no address of this process, and no
/// path but what debug info has, so it may be given to whoever may see the component.
///
/// ```
/// use witprof::{SymbolMap, TextOffset};
/// # use wasmtime::{Engine, component::Component};
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let wat = r#"(component
///     (core module $m (func (export "answer") (result i32) i32.const 42))
///     (core instance $i (instantiate $m))
///     (func (export "answer") (result s32) (canon lift (core func $i "answer"))))"#;
/// let component = Component::new(&Engine::default(), wat)?;
/// let map = SymbolMap::builder("demo").build(&component)?;
///
/// let function = map.lookup(TextOffset::new(0)).expect("text starts with a function");
/// assert_eq!(function.name(), "answer");
/// assert_eq!(function.library().name, "demo/m");
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct SymbolMap {
    pub(super) component: String,
    pub(super) text_bytes: u32,
    pub(super) unattributed_bytes: u32,
    /// In text order.
    pub(super) functions: Vec<FunctionRecord>,
    pub(super) libraries: Vec<Library>,
    pub(super) interfaces: IndexSet<Box<str>>,
    /// From where to where functions cross; the first is of those that are not known to.
    pub(super) ends: Vec<Ends>,
    pub(super) names: NameTable,
    /// Whether names are given as they are stored.
    pub(super) raw_names: bool,
    /// By static module index.
    pub(super) modules: Vec<ModuleFunctions>,
    /// From a function that the host may enter to its entry trampoline.
    pub(super) entries: FxHashMap<FunctionId, FunctionId>,
    pub(super) signatures: WitSignatures,
    /// Nothing if lines are not wanted.
    lines: Option<Result<DebugInfo, NoLines>>,
    /// What a core module that stands alone imports from the host.
    host_imports: HostImports,
    /// In the order in which they are made: size of each linear memory at first, in bytes, and the library of the core module
    /// that defines it, if that has one.
    memories: Vec<(u64, Option<LibraryId>)>,
    /// By library of a core module: those of the modules whose memories it uses.
    memory_owners: FxHashMap<LibraryId, Vec<LibraryId>>,
    /// The user's rules for paths of source files.
    paths: PathMap,
    #[cfg(feature = "source-maps")]
    source_maps: SourceMaps,
    /// Which code it is of; nothing of a map that is of none.
    identity: Option<Identity>,
    index: OffsetIndex,
}

impl SymbolMap {
    /// Starts building a map. `name` stands in for the component's own name where it has none: usually the stem of
    /// the file it came from.
    #[must_use]
    pub fn builder(name: &str) -> SymbolMapBuilder<'static> {
        SymbolMapBuilder {
            name: name.to_owned(),
            source: None,
            debug_info: None,
            path_map: Vec::new(),
            #[cfg(feature = "source-maps")]
            source_maps: Vec::new(),
            lines: true,
            signatures: false,
            raw_names: false,
        }
    }

    /// The name of the component or core module.
    #[must_use]
    pub fn component(&self) -> &str {
        &self.component
    }

    /// Length of the text section in bytes. Equal to the bytes of all functions, plus
    /// [padding](Self::padding_bytes), plus [unattributed](Self::unattributed_bytes) bytes.
    #[must_use]
    pub fn text_bytes(&self) -> u64 {
        u64::from(self.text_bytes)
    }

    /// Bytes between functions, which align the next one, and after the last, which fill a page.
    #[must_use]
    pub fn padding_bytes(&self) -> u64 {
        let named: u64 = self.libraries.iter().map(|library| library.bytes).sum();
        self.text_bytes().saturating_sub(named).saturating_sub(self.unattributed_bytes())
    }

    /// Bytes that belong to no function Wasmtime lists, but cannot be padding: the image's symbols claim them, or there
    /// are too many in one place. Zero for every image that Wasmtime 48 was seen to write; anything else is a defect of
    /// this map, and is shown instead of hidden.
    #[must_use]
    pub fn unattributed_bytes(&self) -> u64 {
        u64::from(self.unattributed_bytes)
    }

    /// The libraries, in the order of their first function.
    #[must_use]
    pub fn libraries(&self) -> &[Library] {
        &self.libraries
    }

    /// All functions, in text order.
    pub fn functions(&self) -> impl ExactSizeIterator<Item = Function<'_>> {
        (0..u32::try_from(self.functions.len()).unwrap_or(u32::MAX)).map(|index| Function { map: self, index })
    }

    /// The function that contains `offset`; `None` for padding and for offsets outside the text section.
    #[must_use]
    pub fn lookup(&self, offset: TextOffset) -> Option<Function<'_>> {
        Some(self.function(self.lookup_id(offset)?))
    }

    /// Like [`lookup`](Self::lookup), as a handle that does not borrow the map.
    pub(crate) fn lookup_id(&self, offset: TextOffset) -> Option<FunctionId> {
        let id = self.index.last_start_at_or_before(offset.get())?;
        let record = self.functions.get(id as usize)?;
        (offset.get() - record.start < record.length).then_some(FunctionId(id))
    }

    /// The function behind a handle of this map.
    pub(crate) fn function(&self, id: FunctionId) -> Function<'_> {
        Function { map: self, index: id.0 }
    }

    /// The library of a function, as a handle.
    pub(crate) fn library_id(&self, id: FunctionId) -> LibraryId {
        self.functions[id.0 as usize].library
    }

    /// The function with index `function` (imports counted) of the core module with static index `module`.
    pub(crate) fn core_function(&self, module: u32, function: u32) -> Option<FunctionId> {
        let module = self.modules.get(module as usize)?;
        *module.defined.get(function.checked_sub(module.imported)? as usize)?
    }

    /// The memories that an instance makes, in order: how many bytes each has at first, and the library of the core module that
    /// defines it.
    pub(crate) fn memories(&self) -> &[(u64, Option<LibraryId>)] {
        &self.memories
    }

    /// The libraries of the core modules whose memories the module of a library uses; usually one.
    pub(crate) fn memory_owners(&self, library: LibraryId) -> &[LibraryId] {
        self.memory_owners.get(&library).map_or(&[], Vec::as_slice)
    }

    /// The functions that a core module imports from the host; none of a component.
    pub(crate) fn host_imports(&self) -> &HostImports {
        &self.host_imports
    }

    /// The entry trampoline through which the host enters `function`, if it has one.
    pub(crate) fn entry_of(&self, function: FunctionId) -> Option<FunctionId> {
        self.entries.get(&function).copied()
    }

    /// Whether it is the map of the code in `image`.
    pub(crate) fn is_of(&self, image: &Image<'_>) -> bool {
        self.identity == Some(image.identity())
    }

    /// Whether it gives the same names to the same code.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.identity.is_some() && self.identity == other.identity && self.component == other.component
    }

    /// The map of code of which nothing but its size is known: all of it is one function.
    pub(crate) fn unnamed(component: &str, text_bytes: u32) -> Self {
        let mut names = NameTable::default();
        let name = names.add("(unnamed)");
        let function = FunctionRecord {
            start: 0,
            length: text_bytes,
            library: LibraryId(0),
            name,
            interface: None,
            interface_function: None,
            kind: FunctionKind::Guest,
            named_by: NamedBy::Index,
            direction: None,
            ends: 0,
        };
        let library = Library {
            name: component.to_owned(),
            layer: function.kind.layer(),
            interface: None,
            direction: None,
            component: Some(component.to_owned()),
            component_named_by: Some(ComponentNamedBy::Given),
            bytes: text_bytes.into(),
            functions: 1,
        };
        Self {
            component: component.to_owned(),
            text_bytes,
            unattributed_bytes: 0,
            ends: vec![Ends::default()],
            functions: vec![function],
            libraries: vec![library],
            interfaces: IndexSet::new(),
            names,
            raw_names: false,
            modules: Vec::new(),
            entries: FxHashMap::default(),
            signatures: WitSignatures::default(),
            lines: None,
            host_imports: HostImports::default(),
            memories: Vec::new(),
            memory_owners: FxHashMap::default(),
            paths: PathMap::default(),
            #[cfg(feature = "source-maps")]
            source_maps: SourceMaps::default(),
            identity: None,
            index: OffsetIndex::new(vec![0]),
        }
    }

    /// A name that a compiler wrote, as this map gives names.
    pub(crate) fn shown_name(&self, raw: &str) -> String {
        let readable = if self.raw_names { None } else { readable(raw) };
        readable.unwrap_or_else(|| raw.to_owned())
    }

    /// The debug info of the guest, or why there is none; nothing if it is not wanted.
    pub(crate) fn debug_info(&self) -> Option<Result<&DebugInfo, &NoLines>> {
        self.lines.as_ref().map(Result::as_ref)
    }

    /// The WIT signature of an interface function, or of a function of the world where `interface` is `None`; for
    /// instance `read: func(len: u64) -> result<list<u8>, stream-error>`. Known only to maps built with
    /// [signatures](SymbolMapBuilder::signatures).
    #[must_use]
    pub fn signature(&self, interface: Option<&str>, function: &str) -> Option<&str> {
        self.signatures.get(interface, function)
    }
}

/// Builds a [`SymbolMap`]. Made by [`SymbolMap::builder`].
///
/// ```
/// # use wasmtime::{Engine, component::Component};
/// # use witprof::SymbolMap;
/// # fn example(engine: &Engine, wasm: &[u8]) -> Result<(), Box<dyn std::error::Error>> {
/// let component = Component::new(engine, wasm)?;
/// let map = SymbolMap::builder("shop").source(wasm).signatures().build(&component)?;
/// println!("{} functions in {} libraries", map.functions().len(), map.libraries().len());
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct SymbolMapBuilder<'s> {
    name: String,
    source: Option<&'s [u8]>,
    debug_info: Option<WasmBytes>,
    path_map: Vec<(String, String)>,
    lines: bool,
    signatures: bool,
    raw_names: bool,
    #[cfg(feature = "source-maps")]
    source_maps: Vec<SourceMap>,
}

impl<'s> SymbolMapBuilder<'s> {
    /// What stands in for the component's own name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Adds the WebAssembly binary that was compiled. It tells the names of nested components, of their instances and of unnamed
    /// modules, which compilation discards. Bytes that are not those of the component are harmless: names that do not fit are
    /// not used.
    #[must_use]
    pub fn source<'t>(self, wasm: &'t [u8]) -> SymbolMapBuilder<'t> {
        SymbolMapBuilder {
            source: Some(wasm),
            name: self.name,
            debug_info: self.debug_info,
            path_map: self.path_map,
            lines: self.lines,
            signatures: self.signatures,
            raw_names: self.raw_names,
            #[cfg(feature = "source-maps")]
            source_maps: self.source_maps,
        }
    }

    /// Keeps the WebAssembly binary that was compiled, for the lines of source code in it and for what
    /// [`source`](Self::source) is for. Without this, there are lines only if the compiled code has debug info
    /// (`Config::wasm_backtrace_details`). The debug info is read where it lies, when a profile is made, and only of what
    /// was sampled. Where there is none, or where it is damaged, profiles have names only, and
    /// [say so](crate::Profile::missing_lines).
    ///
    /// ```
    /// # use wasmtime::component::Component;
    /// # use witprof::SymbolMap;
    /// # fn example(component: &Component, wasm: std::sync::Arc<[u8]>) -> witprof::Result<SymbolMap> {
    /// SymbolMap::builder("shop").debug_info(wasm).path_map("/home/me/shop", "").build(component)
    /// # }
    /// ```
    #[must_use]
    pub fn debug_info(mut self, wasm: impl AsRef<[u8]> + Send + Sync + 'static) -> Self {
        self.debug_info = Some(WasmBytes(Arc::new(wasm)));
        self
    }

    /// Shows the paths of source files that begin with `from` as beginning with `to`; the longest `from` that fits counts.
    /// Other paths are shown without what tells where they were compiled: from the package, or from the compiler's folder on.
    /// `path_map("/", "/")` leaves them as they are.
    #[must_use]
    pub fn path_map(mut self, from: &str, to: &str) -> Self {
        self.path_map.push((from.to_owned(), to.to_owned()));
        self
    }

    /// Shows places in a script as places in the sources that it was made from. Scripts that have their source map in themselves, as
    /// `//# sourceMappingURL=data:…`, need nothing; what is given goes first.
    #[cfg(feature = "source-maps")]
    #[must_use]
    pub fn source_map(mut self, source_map: SourceMap) -> Self {
        self.source_maps.push(source_map);
        self
    }

    /// Does without lines of source code, even where they are known.
    #[must_use]
    pub fn without_lines(mut self) -> Self {
        self.lines = false;
        self
    }

    /// Also reads the WIT types of the [source](Self::source), so that interface functions have signatures. Takes some
    /// milliseconds, and much longer for a source with thousands of types.
    #[must_use]
    pub fn signatures(mut self) -> Self {
        self.signatures = true;
        self
    }

    /// Gives names as compilers and linkers wrote them, mangled and with what they added, instead of as a person would write
    /// them.
    #[must_use]
    pub fn raw_names(mut self) -> Self {
        self.raw_names = true;
        self
    }

    /// Builds the map of a component, or of a core module that stands alone, in place: nothing of its code is copied.
    ///
    /// # Errors
    /// [`Error::Image`] if the image cannot be read, [`Error::GuestDebug`] if its engine runs private copies of the
    /// code.
    pub fn build(self, code: impl Into<Code>) -> Result<SymbolMap> {
        let code = code.into();
        if code.engine().get_guest_debug() {
            return Err(Error::GuestDebug { name: self.name });
        }
        // Compiled or loaded by this process's own Wasmtime, which has checked the version.
        let image = Image::parse(code.image()).map_err(|problem| self.error(problem))?;
        self.read(&image)
    }

    /// Builds the map of a compiled image: the bytes of a `.cwasm` file, or what `Component::serialize` or
    /// `Module::serialize` returned. The bytes need not be trusted, unless the host is built with `panic = "abort"`:
    /// some damage is noticed only by an assertion of Wasmtime's.
    ///
    /// # Errors
    /// [`Error::Image`] if the bytes are not an image of Wasmtime 48, or are damaged.
    pub fn serialized(self, image: &[u8]) -> Result<SymbolMap> {
        let name = self.name.clone();
        // Everything that can be checked is; but Wasmtime's own accessors assert what its compiler guarantees, and a
        // damaged image must never take a service down.
        let build = move || {
            let image = Image::parse(image).map_err(|problem| self.error(problem))?;
            image.check_version().map_err(|problem| self.error(problem))?;
            self.read(&image)
        };
        // What a panic could leave half done is dropped.
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(build)).unwrap_or_else(|_| {
            let problem = ImageProblem::Undecodable("decoding it panicked".to_owned());
            Err(Error::Image { name, problem })
        })
    }

    fn error(&self, problem: ImageProblem) -> Error {
        Error::Image { name: self.name.clone(), problem }
    }

    fn read(self, image: &Image<'_>) -> Result<SymbolMap> {
        let artifacts = Artifacts::decode(image).map_err(|problem| self.error(problem))?;
        let bytes = self.source.or(self.debug_info.as_ref().map(AsRef::as_ref));
        let source = bytes.and_then(Source::parse);
        let mut map = namer::name(&artifacts, source.as_ref(), &self.name);
        map.identity = Some(image.identity());
        map.raw_names = self.raw_names;
        map.paths = PathMap::new(self.path_map.clone());
        #[cfg(feature = "source-maps")]
        {
            map.source_maps = SourceMaps::new(self.source_maps);
        }
        map.host_imports = HostImports::new(&artifacts, self.debug_info.as_ref(), self.source);
        if let (true, Some(bytes), Some(source)) = (self.signatures, bytes, &source) {
            map.signatures = WitSignatures::decode(bytes, source);
        }
        if self.lines {
            map.lines = Some(DebugInfo::find(self.debug_info, image, &artifacts, self.path_map));
        }
        Ok(map)
    }
}

impl SymbolMap {
    /// The source map of a script. `url` is where the script's address of one is in the memory, and how many bytes that has.
    #[cfg(feature = "source-maps")]
    pub(crate) fn source_map(&self, code: Option<&Code>, script: (&str, Option<(u32, u32)>)) -> Option<SourceMap> {
        self.source_maps.of(code, script)
    }

    /// The path of a script's file, as it is to be shown: that of its interpreter, unless a [rule](SymbolMapBuilder::path_map) says
    /// otherwise.
    pub(crate) fn script_path(&self, path: &str) -> String {
        self.paths.mapped(path).unwrap_or_else(|| path.to_owned())
    }

    /// Puts a map together from named functions in text order.
    pub(super) fn assemble(parts: namer::Parts, artifacts: &Artifacts<'_>, component: String) -> Self {
        let starts = parts.functions.iter().map(|function| function.start).collect();
        let library = |module: u32| {
            let functions = parts.modules.get(module as usize)?;
            functions.defined.iter().flatten().next().map(|id| parts.functions[id.0 as usize].library)
        };
        let memories = Memories::read(artifacts);
        let owners = (0..).zip(&memories.used_by).filter_map(|(module, owners)| {
            Some((library(module)?, owners.iter().filter_map(|owner| library(*owner)).collect()))
        });
        Self {
            memory_owners: owners.collect(),
            memories: memories.in_order.iter().map(|(bytes, module)| (*bytes, library(*module))).collect(),
            component,
            text_bytes: artifacts.text_bytes,
            unattributed_bytes: artifacts.unattributed_bytes,
            index: OffsetIndex::new(starts),
            entries: parts.entries,
            functions: parts.functions,
            libraries: parts.libraries,
            interfaces: parts.interfaces,
            ends: parts.ends.into_iter().collect(),
            names: parts.names,
            raw_names: false,
            host_imports: HostImports::default(),
            lines: None,
            modules: parts.modules,
            paths: PathMap::default(),
            #[cfg(feature = "source-maps")]
            source_maps: SourceMaps::default(),
            identity: None,
            signatures: WitSignatures::default(),
        }
    }
}

/// Finds the last of an ascending list of offsets that is not past a given one.
///
/// The text is cut into equal buckets, about as many as there are functions, and each bucket knows the functions it
/// may contain; a search looks at one or two of them, however many functions there are.
#[derive(Debug, Default)]
struct OffsetIndex {
    starts: Vec<u32>,
    /// For each bucket, the first function that starts in it or later. One more at the end.
    first_in_bucket: Vec<u32>,
    /// A bucket is `1 << shift` bytes of text.
    shift: u32,
}

impl OffsetIndex {
    fn new(starts: Vec<u32>) -> Self {
        let span = u64::from(starts.last().copied().unwrap_or(0)) + 1;
        let mean = (span / (starts.len() as u64).max(1)).max(1);
        let shift = mean.ilog2();
        let buckets = (span >> shift) + 1;
        let mut first_in_bucket = Vec::new();
        let mut function = 0_u32;
        for bucket in 0..=buckets {
            while starts.get(function as usize).is_some_and(|start| u64::from(*start) >> shift < bucket) {
                function += 1;
            }
            first_in_bucket.push(function);
        }
        Self { starts, first_in_bucket, shift }
    }

    fn last_start_at_or_before(&self, offset: u32) -> Option<u32> {
        let bucket = ((offset >> self.shift) as usize).min(self.first_in_bucket.len().checked_sub(2)?);
        let (first, end) = (self.first_in_bucket[bucket], self.first_in_bucket[bucket + 1]);
        let candidates = &self.starts[first as usize..end as usize];
        let count = candidates.partition_point(|start| *start <= offset);
        (first + u32::try_from(count).ok()?).checked_sub(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_index_agrees_with_a_plain_search(
            gaps in prop::collection::vec(1_u32..5000, 0..200),
            probes in prop::collection::vec(0_u32..600_000, 1..50),
        ) {
            let starts: Vec<u32> = gaps.iter().scan(0, |at, gap| { *at += gap; Some(*at) }).collect();
            let index = OffsetIndex::new(starts.clone());
            let edges = starts.iter().flat_map(|start| [start - 1, *start, start + 1]);
            for offset in probes.iter().copied().chain(edges).chain([0, u32::MAX]) {
                let expected = starts.partition_point(|start| *start <= offset).checked_sub(1);
                let found = index.last_start_at_or_before(offset).map(|found| found as usize);
                prop_assert_eq!(found, expected, "offset {}", offset);
            }
        }
    }
}
