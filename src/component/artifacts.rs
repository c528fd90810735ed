//! The decoded contents of an image, as plain lists.

use wasmtime_environ::component::{
    Component as ComponentInfo, ComponentArtifacts, Export, ExportIndex, ResourceIndex, TypeDef, TypeResourceTable,
    TypeResourceTableIndex,
};
use wasmtime_environ::{
    Abi, CompiledFunctionsTable, CompiledModuleInfo, EntityIndex, FuncIndex, FuncKey, Initializer, MemoryIndex,
    MemoryInitialization, ModuleInternedTypeIndex, ModuleTypes, WasmFuncType, WasmValType,
};

#[cfg(feature = "source-maps")]
use super::code::Code;
use super::function_table::{self, CompiledFunction};
use super::image::{Image, ImageKind};
use super::symbol_name::{TrampolinePurpose, parse_component_trampoline};
use crate::error::ImageProblem;

/// Everything Wasmtime emitted for one component or module.
pub(crate) struct Artifacts<'a> {
    /// Length of the text section.
    pub(crate) text_bytes: u32,
    /// Bytes that belong to no listed function but cannot be padding: code we could not name.
    pub(crate) unattributed_bytes: u32,
    /// Every compiled function, in text order.
    pub(crate) functions: Vec<CompiledFunction>,
    /// Core modules by static index: the guest's own first, then the adapter modules.
    pub(crate) modules: Vec<ModuleArtifact<'a>>,
    /// The wiring between them; `None` for a core module that stands alone.
    pub(crate) component: Option<ComponentInfo>,
    /// What each component trampoline is for, by trampoline index.
    trampolines: Vec<Option<TrampolinePurpose>>,
    types: Types,
}

/// Where a resource comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ResourceOrigin<'a> {
    /// From the host: by the import with this name, and the names inside of it.
    Imported { import: &'a str, path: &'a [String] },
    /// The component, or one nested in it, defines it: its number.
    Defined(u32),
}

/// Where the signatures of core functions are kept.
enum Types {
    Component(Box<wasmtime_environ::component::ComponentTypes>),
    Module(ModuleTypes),
}

impl<'a> Artifacts<'a> {
    /// Decodes an image.
    pub(crate) fn decode(image: &Image<'a>) -> Result<Self, ImageProblem> {
        let undecodable = |error: postcard::Error| ImageProblem::Undecodable(error.to_string());
        let (table, modules, component, types) = match image.kind() {
            ImageKind::Component => {
                let decoded: ComponentArtifacts = postcard::from_bytes(image.info()).map_err(undecodable)?;
                let modules = decoded.static_modules.into_iter().map(|(_, info)| info).collect();
                let types = Types::Component(Box::new(decoded.types));
                (decoded.table, modules, Some(decoded.info.component), types)
            }
            ImageKind::Module => {
                let (info, table, types): (CompiledModuleInfo, CompiledFunctionsTable, ModuleTypes) =
                    postcard::from_bytes(image.info()).map_err(undecodable)?;
                (table, vec![info], None, Types::Module(types))
            }
        };
        if let Some(component) = &component
            && component.num_runtime_component_instances > MAX_COMPONENT_INSTANCES
        {
            return Err(ImageProblem::Inconsistent("it has more component instances than can be".into()));
        }
        let functions = function_table::read(&table, image.text_bytes())?;
        check_modules(&functions, &modules)?;
        let (trampolines, unlisted) = read_symbols(image, &functions)?;
        let listed: u32 = functions.iter().map(|function| function.length).sum();
        // Symbols of a damaged image may overlap.
        let unattributed_bytes = unattributed_bytes(&functions, &unlisted).min(image.text_bytes() - listed);
        let names = image.function_names();
        let modules = modules.into_iter().map(|info| ModuleArtifact { info, names }).collect();
        let text_bytes = image.text_bytes();
        Ok(Self { text_bytes, unattributed_bytes, functions, modules, component, trampolines, types })
    }

    /// What the component trampoline with this index is for.
    pub(crate) fn trampoline_purpose(&self, index: u32) -> Option<&TrampolinePurpose> {
        self.trampolines.get(index as usize)?.as_ref()
    }

    /// Where the resource of a resource table comes from.
    pub(crate) fn resource_origin(&self, table: u32) -> Option<ResourceOrigin<'_>> {
        let component = self.component.as_ref()?;
        let Types::Component(types) = &self.types else { return None };
        // Panics if a damaged image has no such table, which nothing tells before; who reads such images expects it.
        let TypeResourceTable::Concrete { ty: resource, .. } = types[TypeResourceTableIndex::from_u32(table)] else {
            return None;
        };
        match component.imported_resources.get(resource) {
            Some(import) => {
                let (import, path) = component.imports.get(*import)?;
                let (import, _) = component.import_types.get(*import)?;
                Some(ResourceOrigin::Imported { import, path })
            }
            None => Some(ResourceOrigin::Defined(resource.as_u32())),
        }
    }

    /// The component instance that defines the resource of a table; `None` if it is imported.
    pub(crate) fn resource_definer(&self, table: u32) -> Option<u32> {
        let ResourceOrigin::Defined(resource) = self.resource_origin(table)? else { return None };
        let component = self.component.as_ref()?;
        let defined = component.defined_resource_index(ResourceIndex::from_u32(resource))?;
        component.defined_resource_instances.get(defined).map(|instance| instance.as_u32())
    }

    /// The resources that the component exports: interface (`None` for the world), name, and number.
    pub(crate) fn exported_resources(&self) -> Vec<(Option<&str>, &str, u32)> {
        let mut found = Vec::new();
        let Some(component) = &self.component else { return found };
        let mut note = |interface, name, index: ExportIndex| {
            if let Some(Export::Type(TypeDef::Resource(table))) = component.export_items.get(index)
                && let Some(ResourceOrigin::Defined(resource)) = self.resource_origin(table.as_u32())
            {
                found.push((interface, name, resource));
            }
        };
        for (name, (index, _)) in component.exports.raw_iter() {
            note(None, name.as_str(), *index);
            if let Some(Export::Instance { exports, .. }) = component.export_items.get(*index) {
                for (inner, (index, _)) in exports.raw_iter() {
                    note(Some(name.as_str()), inner.as_str(), *index);
                }
            }
        }
        found
    }

    /// The signature of core functions with this type, for instance `(i32, i64) -> i32`.
    pub(crate) fn core_signature(&self, ty: ModuleInternedTypeIndex) -> Option<String> {
        let types = match &self.types {
            Types::Component(types) => types.module_types(),
            Types::Module(types) => types,
        };
        let (parameters, results) = parameters_and_results(types.get(ty)?.as_func()?)?;
        let list = |types: &[WasmValType]| types.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        Some(match &results[..] {
            [] => format!("({})", list(&parameters)),
            [one] => format!("({}) -> {one}", list(&parameters)),
            many => format!("({}) -> ({})", list(&parameters), list(many)),
        })
    }
}

/// The parameters and results of a core function type. Its own accessors panic if a damaged image gives it more
/// parameters than types, so both are read from its serialized form: all types, and how many of them are parameters.
fn parameters_and_results(function: &WasmFuncType) -> Option<(Vec<WasmValType>, Vec<WasmValType>)> {
    let bytes = postcard::to_allocvec(function).ok()?;
    let ((mut types, parameters), _) = postcard::take_from_bytes::<(Vec<WasmValType>, u32)>(&bytes).ok()?;
    let parameters = parameters as usize;
    if parameters > types.len() {
        return None;
    }
    let results = types.split_off(parameters);
    Some((types, results))
}

/// More than any component has; a damaged image may say billions, and each has a name.
const MAX_COMPONENT_INSTANCES: u32 = 1_000_000;

/// A key that names a module or function that does not exist would name nothing later on.
fn check_modules(functions: &[CompiledFunction], modules: &[CompiledModuleInfo]) -> Result<(), ImageProblem> {
    for function in functions {
        let (module, defined) = match function.key {
            FuncKey::DefinedWasmFunction(module, defined) | FuncKey::ArrayToWasmTrampoline(module, defined) => {
                (module, defined.as_u32() as usize)
            }
            FuncKey::ModuleStartup(_, module) => (module, 0),
            FuncKey::WasmToArrayTrampoline(_)
            | FuncKey::WasmToBuiltinTrampoline(_)
            | FuncKey::PulleyHostCall(_)
            | FuncKey::PatchableToBuiltinTrampoline(_)
            | FuncKey::ComponentTrampoline(..)
            | FuncKey::ResourceDropTrampoline
            | FuncKey::UnsafeIntrinsic(..) => continue,
        };
        let exists = modules.get(module.as_u32() as usize).is_some_and(|info| {
            let startup = matches!(function.key, FuncKey::ModuleStartup(..));
            let index = info.module.num_imported_funcs.checked_add(defined);
            startup || index.is_some_and(|index| index < info.module.functions.len())
        });
        if !exists {
            return Err(ImageProblem::Inconsistent(format!("{:?} is not in any module", function.key)));
        }
    }
    Ok(())
}

/// A gap between two functions that is this long is more than alignment: Wasmtime aligns functions to 32 bytes at most.
const LONGER_THAN_PADDING: u32 = 64;

/// Counts what lies between functions and is too long for padding, or is claimed by a symbol. What follows the last
/// function fills a page, and is padding whatever its length.
fn unattributed_bytes(functions: &[CompiledFunction], unlisted: &[(u32, u32)]) -> u32 {
    let ends = std::iter::once(0).chain(functions.iter().map(|function| function.start + function.length));
    let gaps = ends.zip(functions).map(|(end, next)| (end, next.start - end));
    let long: Vec<(u32, u32)> = gaps.filter(|(_, length)| *length >= LONGER_THAN_PADDING).collect();
    let inside = |start: u32| {
        let before = long.partition_point(|(gap, _)| *gap <= start).checked_sub(1);
        before.is_some_and(|index| start - long[index].0 < long[index].1)
    };
    let elsewhere = unlisted.iter().filter(|(start, _)| !inside(*start));
    long.iter().chain(elsewhere).fold(0, |sum, (_, length)| sum.saturating_add(*length))
}

/// Learns the purpose of each component trampoline, and start and length of functions that only the symbols know of.
#[expect(clippy::type_complexity, reason = "two lists, each explained by its name at the only call")]
fn read_symbols(
    image: &Image<'_>,
    functions: &[CompiledFunction],
) -> Result<(Vec<Option<TrampolinePurpose>>, Vec<(u32, u32)>), ImageProblem> {
    let mut purposes = Vec::new();
    let mut unlisted = Vec::new();
    for symbol in image.text_symbols() {
        let found = functions.binary_search_by_key(&symbol.start, |function| function.start);
        let Some(function) = found.ok().map(|index| &functions[index]).filter(|f| f.length == symbol.length) else {
            unlisted.push((symbol.start, symbol.length));
            continue;
        };
        let FuncKey::ComponentTrampoline(abi, index) = function.key else { continue };
        let name = symbol.name().unwrap_or_default();
        let (number, spelled_abi, purpose) = parse_component_trampoline(name)
            .ok_or_else(|| ImageProblem::Inconsistent(format!("the trampoline symbol `{name}` is not known")))?;
        if number != index.as_u32() || spelled_abi != abi || !matches!(abi, Abi::Wasm | Abi::Array) {
            return Err(ImageProblem::Inconsistent(format!("trampoline {} has the symbol `{}`", index.as_u32(), name)));
        }
        let slot = number as usize;
        if purposes.len() <= slot {
            // At most one purpose per compiled function, so a damaged index cannot ask for gigabytes.
            if slot >= functions.len() {
                return Err(ImageProblem::Inconsistent(format!("there is no trampoline {number}")));
            }
            purposes.resize(slot + 1, None);
        }
        purposes[slot] = Some(purpose);
    }
    Ok((purposes, unlisted))
}

/// A core module as compiled, with lookups that never panic.
pub(crate) struct ModuleArtifact<'a> {
    info: CompiledModuleInfo,
    names: &'a [u8],
}

impl<'a> ModuleArtifact<'a> {
    /// The name in the module's own name section.
    pub(crate) fn name(&self) -> Option<&str> {
        let module = &self.info.module;
        module.strings.get(module.name?)
    }

    /// What Wasmtime knows of it.
    pub(super) fn module(&self) -> &wasmtime_environ::Module {
        &self.info.module
    }

    /// Imports in order: module name, field name, and the index that the import has inside the module.
    pub(crate) fn imports(&self) -> impl Iterator<Item = (&str, &str, EntityIndex)> {
        let strings = &self.info.module.strings;
        self.info.module.initializers.iter().map(move |initializer| match initializer {
            Initializer::Import { name, field, index } => {
                (strings.get(*name).unwrap_or_default(), strings.get(*field).unwrap_or_default(), *index)
            }
        })
    }

    /// Exports in order.
    pub(crate) fn exports(&self) -> impl Iterator<Item = (&str, EntityIndex)> {
        let strings = &self.info.module.strings;
        self.info.module.exports.iter().filter_map(move |(name, index)| Some((strings.get(*name)?, *index)))
    }

    /// How many bytes each memory that it defines has at first.
    pub(crate) fn memories(&self) -> impl Iterator<Item = u64> {
        let module = &self.info.module;
        let defined = module.memories.values().skip(module.num_imported_memories);
        defined.map(|memory| memory.limits.min.checked_shl(memory.page_size_log2.into()).unwrap_or(u64::MAX))
    }

    /// How many memories the module imports; indices of its own start here.
    pub(crate) fn imported_memories(&self) -> usize {
        self.info.module.num_imported_memories
    }

    /// How many memories the module imports and defines.
    pub(crate) fn all_memories(&self) -> usize {
        self.info.module.memories.len()
    }

    /// Exported functions in order.
    pub(crate) fn exported_functions(&self) -> impl Iterator<Item = (&str, FuncIndex)> {
        self.exports().filter_map(|(name, index)| match index {
            EntityIndex::Function(function) => Some((name, function)),
            _ => None,
        })
    }

    /// All its functions, imported ones first.
    pub(crate) fn functions(&self) -> impl Iterator<Item = FuncIndex> {
        self.info.module.functions.keys()
    }

    /// The type of a function.
    pub(crate) fn function_type(&self, function: FuncIndex) -> Option<ModuleInternedTypeIndex> {
        self.info.module.functions.get(function)?.signature.as_module_type_index()
    }

    /// Whether references to functions get into the module, or out of it, in no way but by calls: by no table, no global and
    /// no exception.
    pub(crate) fn keeps_its_references(&self) -> bool {
        let is_plain = |index: EntityIndex| match index {
            EntityIndex::Function(_) | EntityIndex::Memory(_) => true,
            EntityIndex::Global(global) => {
                let global = self.info.module.globals.get(global);
                global.is_some_and(|global| !matches!(global.wasm_ty, WasmValType::Ref(_)))
            }
            EntityIndex::Table(_) | EntityIndex::Tag(_) => false,
        };
        self.imports().all(|(_, _, index)| is_plain(index)) && self.exports().all(|(_, index)| is_plain(index))
    }

    /// Where the contents of its code section are in the WebAssembly binary; for an adapter module, in its own.
    pub(crate) fn code_section_offset(&self) -> u64 {
        self.info.meta.code_section_offset
    }

    /// Whether the image has no debug info of it.
    pub(crate) fn is_without_debug_info(&self) -> bool {
        self.info.meta.dwarf.is_empty()
    }

    /// Where the section of debug info with this number (gimli's) is in that of the image.
    pub(crate) fn debug_info_section(&self, id: u8) -> Option<std::ops::Range<u64>> {
        let found = self.info.meta.dwarf.iter().find(|(known, _)| *known == id);
        found.map(|(_, range)| range.clone())
    }

    /// The name that the module's name section gives to a function, as the bytes of the image hold it.
    pub(crate) fn function_name(&self, function: FuncIndex) -> Option<&'a str> {
        let names = &self.info.func_names;
        let at = names.binary_search_by_key(&function, |name| name.idx).ok()?;
        let start = names[at].offset as usize;
        let bytes = self.names.get(start..start.checked_add(names[at].len as usize)?)?;
        std::str::from_utf8(bytes).ok().filter(|name| !name.is_empty())
    }

    /// The function that the module's name section calls so.
    pub(crate) fn function_named(&self, name: &str) -> Option<FuncIndex> {
        let mut names = self.info.func_names.iter().map(|found| found.idx);
        names.find(|function| self.function_name(*function) == Some(name))
    }

    /// What the module's first memory holds at first, if that is known as a whole: an address, and bytes from there on.
    pub(crate) fn initial_memory(&self, data: &'a [u8]) -> Option<(u64, &'a [u8])> {
        let MemoryInitialization::Static { map } = &self.info.module.memory_initialization else { return None };
        let (address, index) = (*map.get(MemoryIndex::from_u32(0))?)?;
        let range = self.info.module.runtime_data.get(index)?;
        Some((address, data.get(range.start as usize..range.end as usize)?))
    }

    /// How many functions the module imports; indices of its own functions start here.
    pub(crate) fn imported_functions(&self) -> u32 {
        u32::try_from(self.info.module.num_imported_funcs).unwrap_or(u32::MAX)
    }

    /// How many functions the module defines.
    pub(crate) fn defined_functions(&self) -> u32 {
        let all = u32::try_from(self.info.module.functions.len()).unwrap_or(u32::MAX);
        all.saturating_sub(self.imported_functions())
    }
}

/// What `read` makes of so many bytes that the memory of some core module has at an address at first.
#[cfg(feature = "source-maps")]
pub(crate) fn initial_bytes<T>(code: &Code, address: u32, length: u32, read: impl Fn(&[u8]) -> Option<T>) -> Option<T> {
    let image = Image::parse(code.image()).ok()?;
    let artifacts = Artifacts::decode(&image).ok()?;
    artifacts.modules.iter().find_map(|module| {
        let (start, bytes) = module.initial_memory(image.wasm_data())?;
        let from = usize::try_from(u64::from(address).checked_sub(start)?).ok()?;
        read(bytes.get(from..)?.get(..length as usize)?)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_short_gaps_without_a_symbol_are_padding() {
        let function = |start, length| CompiledFunction { key: FuncKey::ResourceDropTrampoline, start, length };
        let functions = [function(0, 10), function(32, 8), function(200, 50), function(256, 4)];
        assert_eq!(unattributed_bytes(&functions, &[]), 160);
        // Inside the long gap it is counted already, elsewhere it is not.
        assert_eq!(unattributed_bytes(&functions, &[(64, 20)]), 160);
        assert_eq!(unattributed_bytes(&functions, &[(12, 16)]), 176);
        assert_eq!(unattributed_bytes(&[], &[]), 0);
    }
}
