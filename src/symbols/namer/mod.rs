//! Gives every compiled function its name, library and interface, by the table in design.md.
//!
//! One match over `FuncKey` without a wildcard decides: a kind of function that a new Wasmtime emits does not compile
//! here until somebody has named it.

mod assemble;
mod boundary;
mod named;

use std::borrow::Cow;
use std::rc::Rc;

use indexmap::IndexMap;
use rustc_hash::FxHashMap;
use wasmtime_environ::{Abi, FuncIndex, FuncKey, ModuleInternedTypeIndex};

pub(super) use assemble::Parts;
use boundary::Callee;
use named::{CANONICAL_ABI, Named, WORLD, builtin_call, canonical, pulley_host_call, unsafe_intrinsic, with_abi};

use super::component_names::ComponentNames;
use super::ends::Ends;
use super::function::{Direction, FunctionKind, Layer, NamedBy};
use super::host_imports::BY_SIGNATURE;
use super::interfaces::{Interfaces, Side};
use super::library::Library;
use super::map::{LibraryId, SymbolMap};
use super::wit_name::{self, CoreExportRole};
use crate::agreed::agreed;
use crate::component::{Artifacts, Definition, EntryRole, ModuleArtifact, ModuleRole, Source, Use, Wiring};

/// Names everything in `artifacts`. `root` is the name of a component that has none of its own.
pub(super) fn name(artifacts: &Artifacts<'_>, source: Option<&Source>, root: &str) -> SymbolMap {
    let wiring = artifacts.component.as_ref().map(|component| Wiring::read(component, &artifacts.modules));
    let components = ComponentNames::new(artifacts, wiring.as_ref(), source, root);
    let interfaces = Interfaces::new(artifacts, wiring.as_ref(), source);
    let mut namer = Namer {
        exports: core_exports(artifacts),
        lifted: lifted_functions(wiring.as_ref()),
        libraries: IndexMap::new(),
        last_library: None,
        parts: Parts::default(),
        callees: FxHashMap::default(),
        callers: None,
        last_adapter: None,
        artifacts,
        wiring,
        components,
        interfaces,
    };
    for function in &artifacts.functions {
        let named = namer.name(function.key);
        namer.add(function, &named);
    }
    let Namer { mut parts, libraries, components, .. } = namer;
    parts.libraries = libraries.into_values().collect();
    parts.modules = assemble::module_functions(artifacts);
    parts.entries = assemble::entries(artifacts, &parts.modules);
    SymbolMap::assemble(parts, artifacts, components.root().to_owned())
}

struct Namer<'a> {
    artifacts: &'a Artifacts<'a>,
    wiring: Option<Wiring<'a>>,
    components: ComponentNames,
    interfaces: Interfaces<'a>,
    /// By static module: the first export name of each exported function.
    exports: Vec<FxHashMap<FuncIndex, CoreExport<'a>>>,
    /// What the component exports, by the core function that implements it; `None` if it implements several.
    lifted: FxHashMap<Definition, Option<Lifted>>,
    libraries: IndexMap<(Rc<str>, Layer), Library>,
    /// The library that was added to last.
    last_library: Option<(Rc<str>, Layer, LibraryId)>,
    parts: Parts,
    /// By adapter module: what its adapters call.
    callees: FxHashMap<u32, Vec<Callee>>,
    /// By function that adapters call: the component that calls it through them, `None` if there are several. Made when the
    /// first function needs it.
    callers: Option<FxHashMap<Definition, Option<String>>>,
    /// The adapter function named last: helpers of an adapter module follow the first adapter that needs them.
    last_adapter: Option<(u32, Rc<str>)>,
}

/// The name that a core function is exported under.
#[derive(Clone, Copy)]
struct CoreExport<'a> {
    name: &'a str,
    /// Whether it is also exported as another WIT function, so that it is neither.
    is_several: bool,
}

/// A core function that belongs to an exported function.
#[derive(Clone, PartialEq)]
struct Lifted {
    /// Whether the whole component exports it, and not one nested in it.
    is_own: bool,
    interface: Option<String>,
    function: String,
    role: CoreExportRole,
}

impl Lifted {
    fn direction(&self) -> Direction {
        if self.is_own { Direction::Export } else { Direction::Internal }
    }
}

impl<'a> Namer<'a> {
    fn name(&mut self, key: FuncKey) -> Named<'a> {
        match key {
            FuncKey::DefinedWasmFunction(module, defined) => {
                let module = module.as_u32();
                let function = self.function_index(module, defined.as_u32());
                match self.role(module) {
                    Some(ModuleRole::Adapter) => self.adapter(module, function),
                    Some(ModuleRole::Shim) => self.shim(module, function),
                    _ => self.guest(module, function),
                }
            }
            FuncKey::ArrayToWasmTrampoline(module, defined) => {
                let module = module.as_u32();
                self.entry(module, self.function_index(module, defined.as_u32()))
            }
            FuncKey::WasmToArrayTrampoline(ty) => self.host_call(ty),
            FuncKey::WasmToBuiltinTrampoline(builtin) => builtin_call(builtin, Abi::Wasm),
            FuncKey::PatchableToBuiltinTrampoline(builtin) => builtin_call(builtin, Abi::Patchable),
            FuncKey::PulleyHostCall(call) => pulley_host_call(call),
            FuncKey::ComponentTrampoline(abi, index) => self.component_trampoline(index.as_u32(), abi),
            FuncKey::ResourceDropTrampoline => {
                canonical(FunctionKind::ResourceIntrinsic, "resource.drop (by the host)", Abi::Wasm)
            }
            FuncKey::UnsafeIntrinsic(abi, intrinsic) => unsafe_intrinsic(intrinsic, abi),
            FuncKey::ModuleStartup(abi, module) => {
                let library = format!("{} (start-up)", self.components.module(module.as_u32()));
                let name = with_abi("start-up".to_owned(), abi);
                Named::plain(FunctionKind::StartUp, library, name, NamedBy::Wasmtime)
            }
        }
    }

    fn guest(&self, module: u32, function: FuncIndex) -> Named<'a> {
        let (name, named_by) = self.guest_name(module, function);
        let kind = match self.entry_role(module, function) {
            Some(EntryRole::Realloc) => FunctionKind::Realloc,
            Some(EntryRole::PostReturn) => FunctionKind::PostReturn,
            Some(EntryRole::Callback | EntryRole::Destructor) | None => FunctionKind::Guest,
        };
        let named = Named::plain(kind, self.components.module(module), name, named_by);
        match self.exported_function(module, function) {
            Some(lifted @ Lifted { role: CoreExportRole::Function, .. }) => {
                let direction = lifted.direction();
                named.crossing(lifted.interface, lifted.function, direction)
            }
            _ => named,
        }
    }

    /// Its own name, else what it is exported as, else what others import it as, else its index.
    fn guest_name(&self, module: u32, function: FuncIndex) -> (Cow<'a, str>, NamedBy) {
        if let Some(name) = self.module(module).function_name(function) {
            return (Cow::Borrowed(name), NamedBy::NameSection);
        }
        match self.exports[module as usize].get(&function) {
            Some(export) if !export.name.is_empty() => (export_name(export.name), NamedBy::CoreExport),
            _ => self.imported_as(module, function),
        }
    }

    fn imported_as(&self, module: u32, function: FuncIndex) -> (Cow<'a, str>, NamedBy) {
        let used = self.definitions(module, function).find_map(|definition| self.first_use(definition));
        match used {
            Some(used) if !used.field.is_empty() => (used.field.to_owned().into(), NamedBy::CoreImport),
            _ => (format!("func[{}]", function.as_u32()).into(), NamedBy::Index),
        }
    }

    /// Entry of a core function from the host: an export of the component, canonical-ABI work, or any function that
    /// may be called through a table.
    fn entry(&mut self, module: u32, function: FuncIndex) -> Named<'a> {
        match self.role(module) {
            Some(ModuleRole::Adapter) => {
                let adapter = self.adapter(module, function);
                let library = format!("{} (entry)", adapter.library).into();
                return Named { kind: FunctionKind::Entry, library, library_is_interface: false, ..adapter };
            }
            Some(ModuleRole::Shim) => {
                let slot = self.shim(module, function);
                let library = self.components.entries(module);
                return Named { kind: FunctionKind::Entry, library, ..slot };
            }
            _ => {}
        }
        if let Some(lifted) = self.exported_function(module, function) {
            let direction = lifted.direction();
            let name = match lifted.role {
                CoreExportRole::Function => lifted.function.clone(),
                CoreExportRole::PostReturn => format!("{} (post-return)", lifted.function),
                CoreExportRole::Callback => format!("{} (callback)", lifted.function),
            };
            if !lifted.is_own {
                // The host enters it for the component that calls it.
                let ends = Ends::internal(self.caller_of(module, function), self.owner(module));
                return Named::plain(FunctionKind::Entry, self.components.entries(module), name, NamedBy::CoreExport)
                    .crossing(lifted.interface, lifted.function, direction)
                    .between(ends);
            }
            let library = format!("{} (export)", lifted.interface.as_deref().unwrap_or(WORLD));
            return Named::plain(FunctionKind::Entry, library, name, NamedBy::Wit)
                .crossing(lifted.interface, lifted.function, direction)
                .between(self.owner(module).map_or_else(Ends::default, Ends::export))
                .of_interface_library();
        }
        let role = self.entry_role(module, function);
        let library = self.components.module(module);
        let canonical_work = match role {
            Some(EntryRole::Realloc) => Some("realloc"),
            Some(EntryRole::PostReturn) => Some("post-return"),
            Some(EntryRole::Callback) => Some("callback"),
            Some(EntryRole::Destructor) => Some("resource destructor"),
            None => None,
        };
        if let Some(work) = canonical_work {
            let name = format!("{work} ({library})");
            return Named::plain(FunctionKind::Entry, CANONICAL_ABI, name, NamedBy::Wasmtime);
        }
        if let (None, Some(export)) = (&self.wiring, self.exports[module as usize].get(&function))
            && !export.name.is_empty()
        {
            // What a core module exports, the host calls under that name. It has no interface but the module itself.
            return Named::plain(
                FunctionKind::Entry,
                self.components.entries(module),
                export.name,
                NamedBy::CoreExport,
            )
            .crossing(Some(library.to_string()), export.name.to_owned(), Direction::Export)
            .between(Ends::export(&*library));
        }
        let (name, named_by) = self.guest_name(module, function);
        Named::plain(FunctionKind::Entry, self.components.entries(module), name, named_by)
    }

    /// The component that a core module is a part of.
    fn owner(&self, module: u32) -> Option<String> {
        self.components.owner(module).map(str::to_owned)
    }

    fn entry_role(&self, module: u32, function: FuncIndex) -> Option<EntryRole> {
        let wiring = self.wiring.as_ref()?;
        self.definitions(module, function).find_map(|definition| wiring.entry_roles.get(&definition)).copied()
    }

    /// Calls of host functions from core modules share a trampoline per signature, so only that can be named.
    fn host_call(&self, ty: ModuleInternedTypeIndex) -> Named<'a> {
        let signature = self.artifacts.core_signature(ty);
        let name = signature.unwrap_or_else(|| format!("signature[{}]", ty.as_u32()));
        let named = Named::plain(FunctionKind::HostCall, BY_SIGNATURE, name.clone(), NamedBy::Wasmtime);
        if self.wiring.is_some() {
            return named;
        }
        named
            .crossing(Some(BY_SIGNATURE.to_owned()), name, Direction::Import)
            .between(Ends::import(Some(self.components.root().to_owned())))
    }

    /// The WIT function that a core function implements: by the component's exports, else by its core export name.
    fn exported_function(&self, module: u32, function: FuncIndex) -> Option<Lifted> {
        self.wiring.as_ref()?;
        // Only what a core module exports can be lifted.
        let export = self.exports.get(module as usize)?.get(&function)?;
        let lifted: Vec<_> = self.definitions(module, function).filter_map(|one| self.lifted.get(&one)).collect();
        if !lifted.is_empty() {
            return agreed(lifted.into_iter())?.clone();
        }
        let (wit, role) = wit_name::from_core_export(export.name).filter(|_| !export.is_several)?;
        let instance = self.wiring.as_ref()?.component_instance_of(module);
        let interface = match wit.interface {
            Some(spelled) => Some(self.interfaces.meant(spelled, Side::Export, instance)?.0),
            None => None,
        };
        Some(Lifted { is_own: false, interface, function: wit.function, role })
    }

    /// Who uses a definition: a consumer that spells a WIT name, rather than one that does not.
    fn first_use(&self, definition: Definition) -> Option<Use<'_>> {
        let mut spelled =
            self.uses(definition).filter(|used| wit_name::from_core_import(used.module, used.field).is_some());
        spelled.next().or_else(|| self.uses(definition).next())
    }

    /// Who uses a definition, but for adapter modules: these name their imports for themselves, in words that look like
    /// WIT (`runtime` `trap`).
    fn uses(&self, definition: Definition) -> impl Iterator<Item = Use<'_>> {
        self.wiring.iter().flat_map(move |wiring| {
            wiring.uses(definition).iter().copied().filter(|used| {
                let instance = wiring.instances.get(used.instance as usize);
                instance.is_none_or(|instance| instance.component_instance.is_some())
            })
        })
    }

    /// The function `function` of every instance of `module`.
    fn definitions(&self, module: u32, function: FuncIndex) -> impl Iterator<Item = Definition> + '_ {
        let instances = self.wiring.iter().flat_map(move |wiring| wiring.instances_of(module));
        instances.map(move |instance| Definition::Function { instance: *instance, function })
    }

    fn role(&self, module: u32) -> Option<&ModuleRole> {
        self.wiring.as_ref()?.roles.get(module as usize)
    }

    fn module(&self, module: u32) -> &'a ModuleArtifact<'a> {
        // `Artifacts::decode` refuses a key whose module does not exist.
        &self.artifacts.modules[module as usize]
    }

    fn function_index(&self, module: u32, defined: u32) -> FuncIndex {
        FuncIndex::from_u32(self.module(module).imported_functions() + defined)
    }
}

/// A core export name as a person would write it: WIT names without mangling, others as they are.
fn export_name(name: &str) -> Cow<'_, str> {
    match wit_name::from_core_export(name) {
        Some((wit, role)) => {
            let suffix = match role {
                CoreExportRole::Function => "",
                CoreExportRole::PostReturn => " (post-return)",
                CoreExportRole::Callback => " (callback)",
            };
            match wit.interface {
                Some(interface) => format!("{interface}#{}{suffix}", wit.function).into(),
                None => format!("{}{suffix}", wit.function).into(),
            }
        }
        None => name.into(),
    }
}

fn core_exports<'a>(artifacts: &'a Artifacts<'_>) -> Vec<FxHashMap<FuncIndex, CoreExport<'a>>> {
    let of_module = |module: &'a ModuleArtifact<'_>| {
        let mut names = FxHashMap::default();
        for (name, function) in module.exported_functions() {
            let known = names.entry(function).or_insert(CoreExport { name, is_several: false });
            // An export may have an empty name, which is worse than any other.
            if known.name.is_empty() {
                known.name = name;
            } else if known.name != name {
                known.is_several |= wit_name::from_core_export(known.name) != wit_name::from_core_export(name);
            }
        }
        names
    };
    artifacts.modules.iter().map(of_module).collect()
}

fn lifted_functions(wiring: Option<&Wiring<'_>>) -> FxHashMap<Definition, Option<Lifted>> {
    let mut lifted = FxHashMap::default();
    for export in wiring.iter().flat_map(|wiring| &wiring.lifted) {
        let interface = export.interface.map(str::to_owned);
        let Some(function) = wit_name::function_name(export.function) else { continue };
        let parts = [
            (Some(export.definition), CoreExportRole::Function),
            (export.post_return, CoreExportRole::PostReturn),
            (export.callback, CoreExportRole::Callback),
        ];
        for (definition, role) in parts {
            if let Some(definition) = definition {
                let interface = interface.clone();
                let one = Some(Lifted { is_own: true, interface, function: function.clone(), role });
                let known = lifted.entry(definition).or_insert_with(|| one.clone());
                if *known != one {
                    *known = None;
                }
            }
        }
    }
    lifted
}
