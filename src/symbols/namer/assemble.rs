//! Interns named functions into the tables of a map.

use std::rc::Rc;

use indexmap::IndexSet;
use rustc_hash::FxHashMap;
use wasmtime_environ::FuncKey;

use super::Namer;
use super::named::Named;
use crate::component::{Artifacts, CompiledFunction};
use crate::symbols::ends::Ends;
use crate::symbols::library::Library;
use crate::symbols::map::{FunctionId, FunctionRecord, LibraryId, ModuleFunctions};
use crate::symbols::name_table::NameTable;

/// What a [`SymbolMap`] is assembled from.
pub(in crate::symbols) struct Parts {
    pub(in crate::symbols) functions: Vec<FunctionRecord>,
    pub(in crate::symbols) libraries: Vec<Library>,
    pub(in crate::symbols) interfaces: IndexSet<Box<str>>,
    pub(in crate::symbols) ends: IndexSet<Ends>,
    pub(in crate::symbols) names: NameTable,
    pub(in crate::symbols) modules: Vec<ModuleFunctions>,
    pub(in crate::symbols) entries: FxHashMap<FunctionId, FunctionId>,
}

impl Default for Parts {
    fn default() -> Self {
        Self {
            functions: Vec::new(),
            libraries: Vec::new(),
            interfaces: IndexSet::new(),
            ends: IndexSet::from([Ends::default()]),
            names: NameTable::default(),
            modules: Vec::new(),
            entries: FxHashMap::default(),
        }
    }
}

impl<'a> Namer<'a> {
    pub(super) fn add(&mut self, function: &CompiledFunction, named: &Named<'_>) {
        let library = self.library(named);
        let record = &mut self.libraries[library.0 as usize];
        record.bytes += u64::from(function.length);
        record.functions += 1;

        let parts = &mut self.parts;
        let interface = named.interface.as_deref().map(|interface| {
            let known = parts.interfaces.get_index_of(interface);
            let index = known.unwrap_or_else(|| parts.interfaces.insert_full(interface.into()).0);
            u32::try_from(index).unwrap_or(u32::MAX)
        });
        // Few functions are at a boundary.
        let ends = if named.ends == Ends::default() { 0 } else { parts.ends.insert_full(named.ends.clone()).0 };
        let interface_function = named.interface_function.as_ref().map(|name| parts.names.add(name));
        parts.functions.push(FunctionRecord {
            start: function.start,
            length: function.length,
            library,
            name: parts.names.add(&named.name),
            interface,
            interface_function,
            kind: named.kind,
            named_by: named.named_by,
            direction: named.direction,
            ends: u32::try_from(ends).unwrap_or(0),
        });
    }

    /// The library that a function belongs to, made when its first function is added.
    pub(super) fn library(&mut self, named: &Named<'_>) -> LibraryId {
        let layer = named.kind.layer();
        // Functions of one library usually follow each other.
        if let Some((name, of_layer, library)) = &self.last_library
            && *of_layer == layer
            && Rc::ptr_eq(name, &named.library)
        {
            return *library;
        }
        let entry = self.libraries.entry((Rc::clone(&named.library), layer));
        let library = LibraryId(u32::try_from(entry.index()).unwrap_or(u32::MAX));
        let component = self.components.of_library(&named.library);
        entry.or_insert_with(|| Library {
            name: named.library.as_ref().to_owned(),
            layer,
            interface: named.interface.clone().filter(|_| named.library_is_interface),
            direction: named.direction.filter(|_| named.library_is_interface),
            component: component.map(|(name, _)| name.to_owned()),
            component_named_by: component.map(|(_, rule)| rule),
            bytes: 0,
            functions: 0,
        });
        self.last_library = Some((Rc::clone(&named.library), layer, library));
        library
    }
}

/// For each core module, its functions by index.
pub(super) fn module_functions(artifacts: &Artifacts<'_>) -> Vec<ModuleFunctions> {
    let mut modules: Vec<_> = artifacts
        .modules
        .iter()
        .map(|module| ModuleFunctions { imported: module.imported_functions(), defined: Vec::new() })
        .collect();
    for (id, function) in (0_u32..).zip(&artifacts.functions) {
        if let FuncKey::DefinedWasmFunction(module, defined) = function.key {
            let defined_functions = &mut modules[module.as_u32() as usize].defined;
            let at = defined.as_u32() as usize;
            if defined_functions.len() <= at {
                defined_functions.resize(at + 1, None);
            }
            defined_functions[at] = Some(FunctionId(id));
        }
    }
    modules
}

/// From each function that the host may enter to its entry trampoline.
pub(super) fn entries(artifacts: &Artifacts<'_>, modules: &[ModuleFunctions]) -> FxHashMap<FunctionId, FunctionId> {
    let mut entries = FxHashMap::default();
    for (id, function) in (0_u32..).zip(&artifacts.functions) {
        if let FuncKey::ArrayToWasmTrampoline(module, defined) = function.key {
            let module = &modules[module.as_u32() as usize];
            if let Some(Some(entered)) = module.defined.get(defined.as_u32() as usize) {
                entries.insert(*entered, FunctionId(id));
            }
        }
    }
    entries
}
