//! Gives every compiled function its name, library and interface, by the table in design.md.
//!
//! One match over `FuncKey` without a wildcard decides: a kind of function that a new Wasmtime emits does not compile
//! here until somebody has named it.

use std::borrow::Cow;
use std::rc::Rc;

use indexmap::{IndexMap, IndexSet};
use rustc_hash::FxHashMap;
use wasmtime_environ::component::UnsafeIntrinsic;
use wasmtime_environ::{Abi, BuiltinFunctionIndex, FuncIndex, FuncKey, HostCall, ModuleInternedTypeIndex};

use super::component_names::ComponentNames;
use super::function::{Direction, FunctionKind, Layer, NamedBy};
use super::library::Library;
use super::map::{FunctionId, FunctionRecord, LibraryId, ModuleFunctions, SymbolMap};
use super::name_table::NameTable;
use super::wit_name::{self, CoreExportRole};
use crate::component::{
    Artifacts, CompiledFunction, Definition, EntryRole, ModuleArtifact, ModuleRole, Source, TrampolinePurpose, Use,
    Wiring,
};

/// What a [`SymbolMap`] is assembled from.
#[derive(Default)]
pub(super) struct Parts {
    pub(super) functions: Vec<FunctionRecord>,
    pub(super) libraries: Vec<Library>,
    pub(super) interfaces: IndexSet<Box<str>>,
    pub(super) names: NameTable,
    pub(super) modules: Vec<ModuleFunctions>,
    pub(super) entries: FxHashMap<FunctionId, FunctionId>,
}

/// Names everything in `artifacts`. `root` is the name of a component that has none of its own.
pub(super) fn name(artifacts: &Artifacts<'_>, source: Option<&Source>, root: &str) -> SymbolMap {
    let wiring = artifacts.component.as_ref().map(|component| Wiring::read(component, &artifacts.modules));
    let components = ComponentNames::new(artifacts, wiring.as_ref(), source, root);
    let mut namer = Namer {
        exports: core_exports(artifacts),
        lifted: lifted_functions(wiring.as_ref()),
        libraries: IndexMap::new(),
        last_library: None,
        parts: Parts::default(),
        callees: FxHashMap::default(),
        last_adapter: None,
        artifacts,
        wiring,
        components,
    };
    for function in &artifacts.functions {
        let named = namer.name(function.key);
        namer.add(function, &named);
    }
    let Namer { mut parts, libraries, components, .. } = namer;
    parts.libraries = libraries.into_values().collect();
    parts.modules = module_functions(artifacts);
    parts.entries = entries(artifacts, &parts.modules);
    SymbolMap::assemble(parts, artifacts, components.root().to_owned())
}

/// A function with its names, before they are interned.
struct Named<'a> {
    kind: FunctionKind,
    library: Rc<str>,
    /// Whether the library as a whole stands for the interface.
    library_is_interface: bool,
    name: Cow<'a, str>,
    named_by: NamedBy,
    interface: Option<String>,
    interface_function: Option<String>,
    direction: Option<Direction>,
}

impl<'a> Named<'a> {
    /// A function that has nothing to do with an interface.
    fn plain(
        kind: FunctionKind,
        library: impl Into<Rc<str>>,
        name: impl Into<Cow<'a, str>>,
        named_by: NamedBy,
    ) -> Self {
        Self {
            kind,
            library: library.into(),
            library_is_interface: false,
            name: name.into(),
            named_by,
            interface: None,
            interface_function: None,
            direction: None,
        }
    }

    /// Adds the interface function it crosses or implements, without making the library stand for it.
    fn crossing(mut self, interface: Option<String>, function: String, direction: Direction) -> Self {
        self.interface = interface;
        self.interface_function = Some(function);
        self.direction = Some(direction);
        self
    }

    /// Marks a library that holds one interface only.
    fn of_interface_library(mut self) -> Self {
        self.library_is_interface = true;
        self
    }
}

/// The array-call variant of a trampoline is a second function with the same purpose.
fn with_abi(name: String, abi: Abi) -> String {
    match abi {
        Abi::Wasm => name,
        Abi::Array => format!("{name} [array call]"),
        Abi::Patchable => format!("{name} [patchable call]"),
    }
}

/// What a library of the world's own functions, which are in no interface, is called.
const WORLD: &str = "world";

struct Namer<'a> {
    artifacts: &'a Artifacts<'a>,
    wiring: Option<Wiring<'a>>,
    components: ComponentNames,
    /// By static module: the first export name of each exported function.
    exports: Vec<FxHashMap<FuncIndex, &'a str>>,
    /// What the component exports, by the core function that implements it.
    lifted: FxHashMap<Definition, Lifted>,
    libraries: IndexMap<(Rc<str>, Layer), Library>,
    /// The library that was added to last.
    last_library: Option<(Rc<str>, Layer, LibraryId)>,
    parts: Parts,
    /// By adapter module: what its adapters call.
    callees: FxHashMap<u32, Vec<Callee>>,
    /// The adapter function named last: helpers of an adapter module follow the first adapter that needs them.
    last_adapter: Option<(u32, Rc<str>)>,
}

/// A core function that belongs to a function of the component's own exports.
#[derive(Clone)]
struct Lifted {
    interface: Option<String>,
    function: String,
    role: CoreExportRole,
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
        let named = Named::plain(FunctionKind::Guest, self.components.module(module), name, named_by);
        match self.exported_function(module, function) {
            Some(Lifted { interface, function, role: CoreExportRole::Function }) => {
                named.crossing(interface, function, Direction::Export)
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
            Some(name) if !name.is_empty() => (export_name(name), NamedBy::CoreExport),
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

    /// A slot of a shim is named after what it forwards to.
    fn shim(&self, module: u32, function: FuncIndex) -> Named<'a> {
        let library = self.components.module(module);
        let Some(wiring) = &self.wiring else { return self.guest(module, function) };
        let mut definitions = self.definitions(module, function);
        let Some(slot) = definitions.find(|slot| wiring_forward(wiring, *slot).is_some()) else {
            return self.guest(module, function);
        };
        let target = wiring_forward(wiring, slot);
        let wit = match target {
            Some(Definition::Trampoline(index)) => match self.artifacts.trampoline_purpose(index) {
                Some(TrampolinePurpose::LowerImport(lowered)) => self.lowered_import(*lowered),
                _ => None,
            },
            _ => None,
        };
        let used = self.first_use(slot).or_else(|| target.and_then(|target| self.first_use(target)));
        let wit = wit.map(|(interface, function)| (interface, function, NamedBy::Wit)).or_else(|| {
            let used = used?;
            let wit = wit_name::from_core_import(used.module, used.field)?;
            Some((wit.interface.map(str::to_owned), wit.function, NamedBy::CoreImport))
        });
        if let Some((interface, function, named_by)) = wit {
            return Named::plain(FunctionKind::Shim, library, function.clone(), named_by).crossing(
                interface,
                function,
                Direction::Import,
            );
        }
        match (used, target) {
            (Some(used), _) => Named::plain(FunctionKind::Shim, library, used.field.to_owned(), NamedBy::CoreImport),
            // Nothing imports the slot by name, but what it forwards to may have a name of its own.
            (None, Some(Definition::Function { instance, function: target })) => {
                let target_module = wiring.instances.get(instance as usize).and_then(|instance| instance.module);
                let named = target_module.map(|module| self.guest(module, target));
                match named {
                    Some(named) => Named::plain(FunctionKind::Shim, library, named.name, named.named_by),
                    None => Named { kind: FunctionKind::Shim, ..self.guest(module, function) },
                }
            }
            _ => Named { kind: FunctionKind::Shim, ..self.guest(module, function) },
        }
    }

    /// An adapter is named by its consumer; where that spells no WIT name, by its provider.
    fn adapter(&mut self, module: u32, function: FuncIndex) -> Named<'a> {
        let Some((export, part)) = self.exports[module as usize].get(&function).map(|name| adapter_export(name)) else {
            let library = self.last_adapter.as_ref().filter(|(last, _)| *last == module);
            let library = library.map_or_else(|| self.components.module(module), |(_, library)| Rc::clone(library));
            let name = format!("convert values [func {}]", function.as_u32());
            return Named::plain(FunctionKind::AdapterHelper, library, name, NamedBy::Index);
        };
        let adapter = if part.is_empty() { None } else { self.adapter_function(module, export) };
        let adapter = adapter.unwrap_or(function);
        if !self.callees.contains_key(&module) {
            let callees = self.callees(module);
            self.callees.insert(module, callees);
        }
        let crossing = self.crossing(module, adapter, export);
        let (from, to) = (crossing.from.as_deref(), crossing.to.as_deref());
        let ends = match (from, to) {
            (Some(from), Some(to)) => format!("({from} -> {to})"),
            (Some(from), None) => format!("({from} -> ?)"),
            (None, Some(to)) => format!("(? -> {to})"),
            (None, None) => "(adapter)".to_owned(),
        };
        let Some((interface, function)) = crossing.wit else {
            let library: Rc<str> = format!("adapter {ends}").into();
            self.last_adapter = Some((module, Rc::clone(&library)));
            let name = format!("{export}{part}");
            return Named::plain(FunctionKind::Adapter, library, name, NamedBy::CoreExport);
        };
        let library: Rc<str> = format!("{} {ends}", interface.as_deref().unwrap_or(WORLD)).into();
        self.last_adapter = Some((module, Rc::clone(&library)));
        let name = format!("{function}{part}");
        Named::plain(FunctionKind::Adapter, library, name, crossing.named_by)
            .crossing(interface, function, Direction::Internal)
            .of_interface_library()
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
            let library = format!("{} (export)", lifted.interface.as_deref().unwrap_or(WORLD));
            let name = match lifted.role {
                CoreExportRole::Function => lifted.function.clone(),
                CoreExportRole::PostReturn => format!("{} (post-return)", lifted.function),
                CoreExportRole::Callback => format!("{} (callback)", lifted.function),
            };
            return Named::plain(FunctionKind::Entry, library, name, NamedBy::Wit)
                .crossing(lifted.interface, lifted.function, Direction::Export)
                .of_interface_library();
        }
        let role = self.wiring.as_ref().and_then(|wiring| {
            self.definitions(module, function).find_map(|definition| wiring.entry_roles.get(&definition))
        });
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
        let (name, named_by) = self.guest_name(module, function);
        Named::plain(FunctionKind::Entry, self.components.entries(module), name, named_by)
    }

    /// Calls of host functions from core modules share a trampoline per signature, so only that can be named.
    fn host_call(&self, ty: ModuleInternedTypeIndex) -> Named<'a> {
        let signature = self.artifacts.core_signature(ty);
        let name = signature.unwrap_or_else(|| format!("signature[{}]", ty.as_u32()));
        Named::plain(FunctionKind::HostCall, "host functions by signature", name, NamedBy::Wasmtime)
    }

    fn component_trampoline(&self, index: u32, abi: Abi) -> Named<'a> {
        let used = self.first_use(Definition::Trampoline(index));
        let consumer = used.and_then(|used| {
            let wit = wit_name::from_core_import(used.module, used.field)?;
            let exported = used.module.starts_with("[export]") || used.module.starts_with("cm32p2|_ex_");
            let direction = if exported { Direction::Export } else { Direction::Import };
            Some((wit.interface.map(str::to_owned), wit.function, direction))
        });
        match self.artifacts.trampoline_purpose(index) {
            Some(TrampolinePurpose::LowerImport(lowered)) => {
                let (interface, function, named_by) = match (self.lowered_import(*lowered), consumer) {
                    (Some((interface, function)), _) => (interface, function, NamedBy::Wit),
                    (None, Some((interface, function, _))) => (interface, function, NamedBy::CoreImport),
                    (None, None) => (None, format!("import[{lowered}]"), NamedBy::Index),
                };
                imported(FunctionKind::ImportLowering, interface, function, abi, named_by)
            }
            Some(TrampolinePurpose::Resource(operation)) => match consumer {
                Some((interface, function, direction)) => {
                    let way = if direction == Direction::Export { "export" } else { "import" };
                    let library = format!("{} ({way})", interface.as_deref().unwrap_or(WORLD));
                    let name = with_abi(function.clone(), abi);
                    Named::plain(FunctionKind::ResourceIntrinsic, library, name, NamedBy::CoreImport)
                        .crossing(interface, function, direction)
                        .of_interface_library()
                }
                None => {
                    let name = format!("resource.{}", operation.name());
                    canonical(FunctionKind::ResourceIntrinsic, &name, abi)
                }
            },
            Some(TrampolinePurpose::Transcode { conversion }) => {
                canonical(FunctionKind::Transcoder, &format!("transcode {conversion}"), abi)
            }
            Some(TrampolinePurpose::Intrinsic(name)) => {
                let named = canonical(FunctionKind::CanonicalIntrinsic, name, abi);
                match consumer {
                    Some((interface, function, direction)) => named.crossing(interface, function, direction),
                    None => named,
                }
            }
            // An image without symbols does not say what its trampolines are for; their consumers may.
            None => match (consumer, used) {
                (Some((interface, function, _)), _) => {
                    imported(FunctionKind::ImportLowering, interface, function, abi, NamedBy::CoreImport)
                }
                (None, Some(used)) if !used.field.is_empty() => {
                    let name = used.field.trim_matches(['[', ']']);
                    let named = canonical(FunctionKind::CanonicalIntrinsic, name, abi);
                    Named { named_by: NamedBy::CoreImport, ..named }
                }
                (None, _) => {
                    let named = canonical(FunctionKind::CanonicalIntrinsic, &format!("trampoline[{index}]"), abi);
                    Named { named_by: NamedBy::Index, ..named }
                }
            },
        }
    }

    /// The interface and function behind a lowering index.
    fn lowered_import(&self, lowered: u32) -> Option<(Option<String>, String)> {
        let (name, path) = self.wiring.as_ref()?.lowered.get(lowered as usize)?;
        match path {
            [] => Some((None, wit_name::function_name(name)?)),
            [function] => Some((Some((*name).to_owned()), wit_name::function_name(function)?)),
            [.., function] => {
                let interface = std::iter::once(*name).chain(path[..path.len() - 1].iter().map(String::as_str));
                let interface = interface.collect::<Vec<_>>().join("/");
                Some((Some(interface), wit_name::function_name(function)?))
            }
        }
    }

    /// The WIT function that a core function implements: by the component's exports, else by its core export name.
    fn exported_function(&self, module: u32, function: FuncIndex) -> Option<Lifted> {
        self.wiring.as_ref()?;
        // Only what a core module exports can be lifted.
        let export = self.exports.get(module as usize)?.get(&function)?;
        let lifted = self.definitions(module, function).find_map(|definition| self.lifted.get(&definition));
        if let Some(lifted) = lifted {
            return Some(lifted.clone());
        }
        let (wit, role) = wit_name::from_core_export(export)?;
        Some(Lifted { interface: wit.interface.map(str::to_owned), function: wit.function, role })
    }

    /// Who crosses from where to where through the adapter function `adapter`, which is exported as `export`.
    fn crossing(&self, module: u32, adapter: FuncIndex, export: &str) -> Crossing {
        let mut crossing = Crossing { from: None, to: None, wit: None, named_by: NamedBy::CoreImport };
        let Some(wiring) = &self.wiring else { return crossing };
        let consumer = self.definitions(module, adapter).find_map(|definition| self.first_use(definition));
        if let Some(consumer) = consumer {
            crossing.from = self.component_of(wiring, consumer.instance);
            crossing.wit = wit_name::from_core_import(consumer.module, consumer.field)
                .map(|wit| (wit.interface.map(str::to_owned), wit.function));
        }
        let callees = self.callees.get(&module).map_or(&[][..], Vec::as_slice);
        // Two adapters with the same callee share its import, which carries the name of the first.
        let callee = callees.iter().find(|callee| callee.adapter == export).or_else(|| {
            let wanted = crossing.wit.as_ref()?;
            callees.iter().find(|callee| callee.wit.as_ref() == Some(wanted))
        });
        if let Some(callee) = callee {
            crossing.to = self.component_of(wiring, callee.instance);
            if crossing.wit.is_none() && callee.wit.is_some() {
                crossing.wit.clone_from(&callee.wit);
                crossing.named_by = NamedBy::CoreExport;
            }
        }
        crossing
    }

    /// The functions that the adapters of a module call, as its imports `callee` `adapterN` say.
    fn callees(&self, module: u32) -> Vec<Callee> {
        let Some(wiring) = &self.wiring else { return Vec::new() };
        let Some(&instance) = wiring.instances_of(module).first() else { return Vec::new() };
        let imports = self.module(module).imports().enumerate().filter(|(_, (kind, _, _))| *kind == "callee");
        imports
            .filter_map(|(position, (_, adapter, _))| {
                let target = wiring.argument(instance, position)?;
                let Definition::Function { instance, function } = target else { return None };
                let module = wiring.instances.get(instance as usize)?.module?;
                let wit = self.exported_function(module, function);
                let wit = wit.map(|lifted| (lifted.interface, lifted.function));
                Some(Callee { adapter: adapter.to_owned(), instance, wit })
            })
            .collect()
    }

    fn component_of(&self, wiring: &Wiring<'_>, instance: u32) -> Option<String> {
        let instance = wiring.instances.get(instance as usize)?.component_instance?;
        self.components.instance(instance).map(str::to_owned)
    }

    /// The adapter function whose export name is exactly `export`.
    fn adapter_function(&self, module: u32, export: &str) -> Option<FuncIndex> {
        self.module(module).exported_functions().find(|(name, _)| *name == export).map(|(_, function)| function)
    }

    /// Who uses a definition: a consumer that spells a WIT name, rather than one that does not.
    fn first_use(&self, definition: Definition) -> Option<Use<'_>> {
        let wiring = self.wiring.as_ref()?;
        // Adapter modules name their imports for themselves, in words that look like WIT (`runtime` `trap`).
        let by_adapter = |used: &&Use<'_>| {
            let instance = wiring.instances.get(used.instance as usize);
            instance.is_some_and(|instance| instance.component_instance.is_none())
        };
        let mut uses = wiring.uses(definition).iter().filter(|used| !by_adapter(used));
        let mut spelled = uses.clone().filter(|used| wit_name::from_core_import(used.module, used.field).is_some());
        spelled.next().or_else(|| uses.next()).copied()
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

    fn add(&mut self, function: &CompiledFunction, named: &Named<'_>) {
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
        });
    }

    /// The library that a function belongs to, made when its first function is added.
    fn library(&mut self, named: &Named<'_>) -> LibraryId {
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
        entry.or_insert_with(|| Library {
            name: named.library.as_ref().to_owned(),
            layer,
            interface: named.interface.clone().filter(|_| named.library_is_interface),
            direction: named.direction.filter(|_| named.library_is_interface),
            bytes: 0,
            functions: 0,
        });
        self.last_library = Some((Rc::clone(&named.library), layer, library));
        library
    }
}

/// What an adapter function connects.
struct Crossing {
    from: Option<String>,
    to: Option<String>,
    wit: Option<(Option<String>, String)>,
    named_by: NamedBy,
}

/// A function that an adapter calls.
struct Callee {
    /// `adapter3`: the export name of the first adapter that calls it.
    adapter: String,
    instance: u32,
    wit: Option<(Option<String>, String)>,
}

/// Splits the export name of an adapter function: `[async-start]adapter3` is a part of `adapter3`.
fn adapter_export(name: &str) -> (&str, &'static str) {
    if let Some(name) = name.strip_prefix("[async-start]") {
        (name, " (async start)")
    } else if let Some(name) = name.strip_prefix("[async-return]") {
        (name, " (async return)")
    } else {
        (name, "")
    }
}

fn wiring_forward(wiring: &Wiring<'_>, slot: Definition) -> Option<Definition> {
    match slot {
        Definition::Function { instance, function } => wiring.forwarded(instance, function),
        Definition::Trampoline(_) | Definition::Intrinsic(_) => None,
    }
}

const CANONICAL_ABI: &str = "canonical ABI";

fn canonical(kind: FunctionKind, name: &str, abi: Abi) -> Named<'static> {
    Named::plain(kind, CANONICAL_ABI, with_abi(name.to_owned(), abi), NamedBy::Wasmtime)
}

fn imported(
    kind: FunctionKind,
    interface: Option<String>,
    function: String,
    abi: Abi,
    named_by: NamedBy,
) -> Named<'static> {
    let library = format!("{} (import)", interface.as_deref().unwrap_or(WORLD));
    Named::plain(kind, library, with_abi(function.clone(), abi), named_by)
        .crossing(interface, function, Direction::Import)
        .of_interface_library()
}

fn builtin_call(builtin: BuiltinFunctionIndex, abi: Abi) -> Named<'static> {
    let name = with_abi(instruction_name(builtin.name()), abi);
    Named::plain(FunctionKind::Builtin, "wasmtime builtins", name, NamedBy::Wasmtime)
}

/// Most give trusted guests access to host memory; the rest are how `context.get` and `context.set` are compiled.
fn unsafe_intrinsic(intrinsic: UnsafeIntrinsic, abi: Abi) -> Named<'static> {
    use UnsafeIntrinsic::{ContextGetI32_0, ContextGetI32_1, ContextSetI32_0, ContextSetI32_1};
    let context = match intrinsic {
        ContextGetI32_0 => "context.get 0",
        ContextGetI32_1 => "context.get 1",
        ContextSetI32_0 => "context.set 0",
        ContextSetI32_1 => "context.set 1",
        other => {
            let name = with_abi(other.name().to_owned(), abi);
            let library = "wasmtime unsafe intrinsics";
            return Named::plain(FunctionKind::UnsafeIntrinsic, library, name, NamedBy::Wasmtime);
        }
    };
    canonical(FunctionKind::CanonicalIntrinsic, context, abi)
}

/// Builtins that carry out one WebAssembly instruction are shown as that instruction.
fn instruction_name(builtin: &str) -> String {
    match builtin {
        "memory_grow" | "memory_copy" | "memory_fill" | "table_grow" | "ref_func" | "cont_new" => {
            builtin.replacen('_', ".", 1)
        }
        "memory_atomic_notify" | "memory_atomic_wait32" | "memory_atomic_wait64" => builtin.replace('_', "."),
        other => other.replace('_', "-"),
    }
}

fn pulley_host_call(call: HostCall) -> Named<'static> {
    let name = match call {
        HostCall::ArrayCall => "host function".to_owned(),
        HostCall::Builtin(builtin) => instruction_name(builtin.name()),
        HostCall::ComponentLowerImport => "lowered import".to_owned(),
        HostCall::ComponentBuiltin(builtin) => builtin.name().replace('_', "-"),
    };
    Named::plain(FunctionKind::Builtin, "pulley host calls", name, NamedBy::Wasmtime)
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

fn core_exports<'a>(artifacts: &'a Artifacts<'_>) -> Vec<FxHashMap<FuncIndex, &'a str>> {
    let of_module = |module: &'a ModuleArtifact<'_>| {
        let mut names = FxHashMap::default();
        for (name, function) in module.exported_functions() {
            let known = names.entry(function).or_insert(name);
            // An export may have an empty name, which is worse than any other.
            if known.is_empty() {
                *known = name;
            }
        }
        names
    };
    artifacts.modules.iter().map(of_module).collect()
}

fn lifted_functions(wiring: Option<&Wiring<'_>>) -> FxHashMap<Definition, Lifted> {
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
                let one = Lifted { interface: interface.clone(), function: function.clone(), role };
                lifted.entry(definition).or_insert(one);
            }
        }
    }
    lifted
}

fn module_functions(artifacts: &Artifacts<'_>) -> Vec<ModuleFunctions> {
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
fn entries(artifacts: &Artifacts<'_>, modules: &[ModuleFunctions]) -> FxHashMap<FunctionId, FunctionId> {
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
