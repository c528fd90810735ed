//! A function of the map, and the sets that describe it.

use std::borrow::Cow;
use std::fmt::Write as _;

use super::ends::Ends;
use super::library::Library;
use super::map::SymbolMap;
use super::wit_name;
use crate::address::TextOffset;

/// Which kind of code a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Layer {
    /// A function of a script that the component interprets.
    Script,
    /// Code of the component itself.
    Guest,
    /// A fused adapter: code that Wasmtime generates for a call from one component to another.
    Adapter,
    /// A stub that Wasmtime generates: entries, lowered imports, intrinsics, builtins.
    Trampoline,
    /// Code of the embedding process.
    Host,
}

impl Layer {
    /// All layers, in the order in which reports list them.
    pub const ALL: &'static [Self] = &[Self::Script, Self::Guest, Self::Adapter, Self::Trampoline, Self::Host];

    /// The name used in every output: `script`, `guest`, `adapter`, `trampoline` or `host`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Script => "script",
            Self::Guest => "guest",
            Self::Adapter => "adapter",
            Self::Trampoline => "trampoline",
            Self::Host => "host",
        }
    }
}

/// Which way an interface function is crossed, seen from the component. There is no other: out of it, into it, or from one to
/// another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The component calls out.
    Import,
    /// The component is called.
    Export,
    /// One component of a composition calls another.
    Internal,
}

impl Direction {
    /// All directions.
    pub const ALL: &'static [Self] = &[Self::Import, Self::Export, Self::Internal];

    /// The name used in every output: `import`, `export` or `internal`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Export => "export",
            Self::Internal => "internal",
        }
    }
}

/// What a function is for: everything Wasmtime can emit, and what else a profile shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum FunctionKind {
    /// A function of a core module.
    Guest,
    /// A function of a core module that allocates memory for the canonical ABI.
    Realloc,
    /// A function of a core module that cleans up after the canonical ABI has read a result.
    PostReturn,
    /// A slot of a shim module: calls what it forwards to through a table.
    Shim,
    /// A fused adapter function.
    Adapter,
    /// A function that fused adapters of one module share, which converts values of a compound type.
    AdapterHelper,
    /// Enters a core function from the host.
    Entry,
    /// Calls a host function that the component imports.
    ImportLowering,
    /// Calls a host function that a core module imports.
    HostCall,
    /// `resource.new`, `resource.rep`, `resource.drop`.
    ResourceIntrinsic,
    /// Converts a string between encodings and memories.
    Transcoder,
    /// Any other intrinsic of the canonical ABI, async and threads included.
    CanonicalIntrinsic,
    /// Calls into Wasmtime's runtime, for instance to grow a memory.
    Builtin,
    /// Direct access to host memory, for trusted embeddings.
    UnsafeIntrinsic,
    /// Initialises an instance of a core module.
    StartUp,
    /// A function of the embedding process, or all of them where they may not be shown. In profiles only, as the rest.
    Host,
    /// Nothing: the task waits.
    Suspended,
    /// Compiled code that was not registered with the recorder.
    Unregistered,
    /// Frames in the middle of a deep stack that were left out.
    Elided,
    /// A function that the guest's compiler put into the function that calls it.
    Inlined,
    /// A function of a script, which an interpreter in the guest runs.
    Script,
}

impl FunctionKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Guest,
        Self::Realloc,
        Self::PostReturn,
        Self::Shim,
        Self::Adapter,
        Self::AdapterHelper,
        Self::Entry,
        Self::ImportLowering,
        Self::HostCall,
        Self::ResourceIntrinsic,
        Self::Transcoder,
        Self::CanonicalIntrinsic,
        Self::Builtin,
        Self::UnsafeIntrinsic,
        Self::StartUp,
        Self::Host,
        Self::Suspended,
        Self::Unregistered,
        Self::Elided,
        Self::Inlined,
        Self::Script,
    ];

    /// The name used in the JSON map.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Guest => "guest",
            Self::Realloc => "realloc",
            Self::PostReturn => "post-return",
            Self::Shim => "shim",
            Self::Adapter => "adapter",
            Self::AdapterHelper => "adapter-helper",
            Self::Entry => "entry",
            Self::ImportLowering => "import-lowering",
            Self::HostCall => "host-call",
            Self::ResourceIntrinsic => "resource-intrinsic",
            Self::Transcoder => "transcoder",
            Self::CanonicalIntrinsic => "canonical-intrinsic",
            Self::Builtin => "builtin",
            Self::UnsafeIntrinsic => "unsafe-intrinsic",
            Self::StartUp => "start-up",
            Self::Host => "host",
            Self::Suspended => "suspended",
            Self::Unregistered => "unregistered",
            Self::Elided => "elided",
            Self::Inlined => "inlined",
            Self::Script => "script",
        }
    }

    /// The layer that functions of this kind belong to.
    #[must_use]
    pub const fn layer(self) -> Layer {
        match self {
            Self::Guest
            | Self::Realloc
            | Self::PostReturn
            | Self::Shim
            | Self::Unregistered
            | Self::Elided
            | Self::Inlined => Layer::Guest,
            Self::Adapter | Self::AdapterHelper => Layer::Adapter,
            Self::Entry
            | Self::ImportLowering
            | Self::HostCall
            | Self::ResourceIntrinsic
            | Self::Transcoder
            | Self::CanonicalIntrinsic
            | Self::Builtin
            | Self::UnsafeIntrinsic
            | Self::StartUp => Layer::Trampoline,
            Self::Host | Self::Suspended => Layer::Host,
            Self::Script => Layer::Script,
        }
    }
}

/// Which rule gave a function its name, best first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NamedBy {
    /// The component's own WIT imports or exports.
    Wit,
    /// The name section of the core module.
    NameSection,
    /// The name under which the core module exports it.
    CoreExport,
    /// The name under which another core module imports it.
    CoreImport,
    /// What Wasmtime generated it for.
    Wasmtime,
    /// Its function index: nothing names it.
    Index,
}

impl NamedBy {
    /// The name used in the JSON map.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wit => "wit",
            Self::NameSection => "name-section",
            Self::CoreExport => "core-export",
            Self::CoreImport => "core-import",
            Self::Wasmtime => "wasmtime",
            Self::Index => "index",
        }
    }
}

/// A compiled function, as the [`SymbolMap`] knows it.
#[derive(Clone, Copy, Debug)]
pub struct Function<'m> {
    pub(super) map: &'m SymbolMap,
    pub(super) index: u32,
}

impl<'m> Function<'m> {
    /// Its name for a reader, demangled, and without what toolchains add for themselves, unless the map was built with
    /// [raw names](super::SymbolMapBuilder::raw_names). Names of guest functions are chosen by the guest: escape them.
    #[must_use]
    pub fn name(self) -> Cow<'m, str> {
        let record = self.record();
        let raw = self.map.names.get(record.name);
        let readable = match record.named_by {
            _ if self.map.raw_names => None,
            NamedBy::NameSection => readable(raw),
            NamedBy::CoreExport if record.kind.layer() == Layer::Guest => wit_name::readable(raw),
            _ => None,
        };
        readable.map_or(Cow::Borrowed(raw), Cow::Owned)
    }

    /// Where its text starts.
    #[must_use]
    pub fn offset(self) -> TextOffset {
        TextOffset::new(self.record().start)
    }

    /// Length of its text in bytes, at least 1.
    #[must_use]
    pub fn size(self) -> u32 {
        self.record().length
    }

    /// The library it belongs to.
    #[must_use]
    pub fn library(self) -> &'m Library {
        &self.map.libraries[self.record().library.0 as usize]
    }

    /// The position of its library in [`SymbolMap::libraries`].
    #[must_use]
    pub fn library_index(self) -> u32 {
        self.record().library.0
    }

    /// The layer it belongs to.
    #[must_use]
    pub fn layer(self) -> Layer {
        self.record().kind.layer()
    }

    /// What it is for.
    #[must_use]
    pub fn kind(self) -> FunctionKind {
        self.record().kind
    }

    /// The WIT interface it crosses or implements, for instance `wasi:io/streams@0.2.6`. `None` for a function that
    /// has nothing to do with one, and for functions that a world imports or exports directly.
    #[must_use]
    pub fn interface(self) -> Option<&'m str> {
        let interface = self.record().interface?;
        self.map.interfaces.get_index(interface as usize).map(|name| &**name)
    }

    /// The interface function it crosses or implements, for instance `output-stream.write`.
    #[must_use]
    pub fn interface_function(self) -> Option<&'m str> {
        Some(self.map.names.get(self.record().interface_function?))
    }

    /// Which way the interface is crossed.
    #[must_use]
    pub fn direction(self) -> Option<Direction> {
        self.record().direction
    }

    /// From which component to which it crosses the interface, as far as the component's own wiring tells.
    #[must_use]
    pub fn ends(self) -> &'m Ends {
        &self.map.ends[self.record().ends as usize]
    }

    /// Which rule named it.
    #[must_use]
    pub fn named_by(self) -> NamedBy {
        self.record().named_by
    }

    /// The WIT signature of its interface function, if the map was built with
    /// [signatures](super::SymbolMapBuilder::signatures): `read: func(len: u64) -> result<list<u8>, stream-error>`.
    #[must_use]
    pub fn signature(self) -> Option<&'m str> {
        self.map.signature(self.interface(), self.interface_function()?)
    }

    fn record(self) -> &'m super::map::FunctionRecord {
        &self.map.functions[self.index as usize]
    }
}

/// The name that a compiler gave to a function of a guest, as a person would write it; `None` if it is so already.
pub(super) fn readable(raw: &str) -> Option<String> {
    demangle(raw).or_else(|| wit_name::readable(raw)).or_else(|| without_suffix(raw))
}

/// A mangled name as its author wrote it, without the hashes that only a linker needs. `None` if it is not mangled.
pub(crate) fn demangle(name: &str) -> Option<String> {
    let mut text = Bounded(String::new());
    if let Ok(rust) = rustc_demangle::try_demangle(name) {
        return write!(text, "{rust:#}").ok().map(|()| text.0);
    }
    // Without the prefix that every mangled C++ name has, short names of C would be taken for types of C++.
    if !name.starts_with("_Z") {
        return None;
    }
    let symbol = cpp_demangle::Symbol::new(name).ok()?;
    symbol.structured_demangle(&mut text, &cpp_demangle::DemangleOptions::new()).ok().map(|()| text.0)
}

/// A name without the number that LLVM adds to a local function of which it makes a global one: `helper.llvm.1234`.
fn without_suffix(name: &str) -> Option<String> {
    let (name, number) = name.rsplit_once(".llvm.")?;
    let is_number = !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    (is_number && !name.is_empty()).then(|| name.to_owned())
}

/// Text that ends with an error when it grows too long: a mangled name of 200 bytes can stand for gigabytes.
struct Bounded(String);

/// Longer than any name a person reads.
const MAX_DEMANGLED: usize = 16 * 1024;

impl std::fmt::Write for Bounded {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        if self.0.len() + text.len() > MAX_DEMANGLED {
            return Err(std::fmt::Error);
        }
        self.0.push_str(text);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::{demangle, without_suffix};

    #[test]
    fn suffixes_of_llvm_are_left_out() {
        assert_eq!(without_suffix("helper.llvm.1234").as_deref(), Some("helper"));
        for name in ["helper", "helper.llvm.", "helper.llvm.12x", ".llvm.12"] {
            assert_eq!(without_suffix(name), None, "{name}");
        }
    }

    #[test]
    fn names_are_shown_as_their_authors_wrote_them() {
        let demangle = |name| demangle(name).unwrap_or_default();
        assert_eq!(demangle("_ZN4demo3add17h0123456789abcdefE"), "demo::add");
        assert_eq!(demangle("_RNvCsb2a8dc20e5c_3app12count_primes"), "app::count_primes");
        assert_eq!(demangle("_ZNSt6vectorIiE9push_backEi"), "std::vector<int>::push_back(int)");
        // Each `S_` doubles what is before it.
        let bomb = format!("_ZN1AI1BE{}E", "1CIS_S_E".repeat(40));
        assert!(demangle(&bomb).len() <= super::MAX_DEMANGLED);
        for plain in ["main", "i", "cabi_realloc", "wasi:cli/run@0.2.6#run"] {
            assert_eq!(demangle(plain), "");
        }
    }
}
