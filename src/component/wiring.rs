//! Who calls whom inside a component: read from the initializers that Wasmtime runs to instantiate it.
//!
//! A function's WIT name is rarely written where the function is. The consumer of an adapter, of a lowered import or
//! of an intrinsic knows it, as the name of its own core import. So the main product here is [`Wiring::uses`]: for
//! each definition, the imports that it satisfies.
//!
//! Toolchains put a *shim* module in between where two instances need each other: the consumer imports slot `7` of the
//! shim, which calls through a table, and a *fix-up* module later fills the table from its own imports. Both are
//! recognised by that structure, not by name (some tools drop the names): the fix-up module takes a table of the shim
//! instance and functions whose field names equal the shim's exports. Uses are followed through slots in both
//! directions.

use std::collections::HashMap;

use rustc_hash::{FxHashMap, FxHashSet};
use wasmtime_environ::component::{
    Component as ComponentInfo, CoreDef, CoreExport, Export, ExportIndex, ExportItem, GlobalInitializer,
    InstantiateModule, OptionsIndex, RuntimePostReturnIndex, UnsafeIntrinsic,
};
use wasmtime_environ::{EntityIndex, FuncIndex};

use super::artifacts::ModuleArtifact;

/// Something that can satisfy a core function import.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Definition {
    /// A function of a core instance.
    Function { instance: u32, function: FuncIndex },
    /// The component trampoline with this index.
    Trampoline(u32),
    /// An unsafe intrinsic of Wasmtime.
    Intrinsic(UnsafeIntrinsic),
}

/// A core import that a definition satisfies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Use<'m> {
    /// The consuming core instance.
    pub(crate) instance: u32,
    /// Module name of the import.
    pub(crate) module: &'m str,
    /// Field name of the import.
    pub(crate) field: &'m str,
}

/// A core instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Instance {
    /// Static index of the instantiated module; `None` if the module is imported from the host.
    pub(crate) module: Option<u32>,
    /// The component instance it lives in; `None` for an adapter module.
    pub(crate) component_instance: Option<u32>,
}

/// What a core module is in its component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ModuleRole {
    /// A fused adapter module.
    Adapter,
    /// Forwards calls through a table.
    Shim,
    /// Fills the table of a shim.
    Fixups,
    /// Nameless, and implements a WASI preview 1 module, probably in terms of WIT imports.
    Preview1Adapter,
    /// Anything else.
    Guest,
}

/// A function that the component exports.
#[derive(Clone, Debug)]
pub(crate) struct LiftedExport<'m> {
    /// The instance export it is in, for instance `wasi:cli/run@0.2.12`; `None` for a function of the world.
    pub(crate) interface: Option<&'m str>,
    /// The component-level function name.
    pub(crate) function: &'m str,
    /// The core function that implements it.
    pub(crate) definition: Definition,
    /// Its post-return function.
    pub(crate) post_return: Option<Definition>,
    /// Its callback, for async lifts.
    pub(crate) callback: Option<Definition>,
}

/// What a core function that is no export of the component does for the canonical ABI: why the host or an adapter calls
/// it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryRole {
    Realloc,
    PostReturn,
    Callback,
    Destructor,
}

/// The wiring of one component.
pub(crate) struct Wiring<'m> {
    pub(crate) instances: Vec<Instance>,
    pub(crate) roles: Vec<ModuleRole>,
    pub(crate) lifted: Vec<LiftedExport<'m>>,
    /// For each lowering index: the import's name and the names inside of it.
    pub(crate) lowered: Vec<(&'m str, &'m [String])>,
    pub(crate) entry_roles: FxHashMap<Definition, EntryRole>,
    /// Functions that adapters are made for.
    pub(crate) adapted: FxHashSet<Definition>,
    uses: FxHashMap<Definition, Vec<Use<'m>>>,
    /// By static module index: its instances, in instantiation order.
    instances_of: Vec<Vec<u32>>,
    /// Shim slots: what they forward to.
    forwards: FxHashMap<(u32, FuncIndex), Definition>,
    /// By instance: its import arguments, in the order of the module's imports.
    arguments: Vec<&'m [CoreDef]>,
}

impl<'m> Wiring<'m> {
    /// Reads the wiring of `component`.
    pub(crate) fn read(component: &'m ComponentInfo, modules: &'m [ModuleArtifact<'_>]) -> Self {
        let mut wiring = Self {
            instances: Vec::new(),
            roles: vec![ModuleRole::Guest; modules.len()],
            lifted: Vec::new(),
            lowered: Vec::new(),
            entry_roles: FxHashMap::default(),
            adapted: FxHashSet::default(),
            uses: FxHashMap::default(),
            instances_of: vec![Vec::new(); modules.len()],
            forwards: FxHashMap::default(),
            arguments: Vec::new(),
        };
        let mut post_returns = FxHashMap::default();
        let mut callbacks = FxHashMap::default();
        for initializer in &component.initializers {
            match initializer {
                GlobalInitializer::InstantiateModule(instantiate, component_instance) => {
                    let (module, arguments) = match instantiate {
                        InstantiateModule::Static(module, arguments) => (Some(module.as_u32()), &**arguments),
                        // Its code belongs to another image, and is named there.
                        InstantiateModule::Import(..) => (None, &[][..]),
                    };
                    let component_instance = component_instance.map(|index| index.as_u32());
                    let number = u32::try_from(wiring.instances.len()).unwrap_or(u32::MAX);
                    if let Some(of_module) = module.and_then(|module| wiring.instances_of.get_mut(module as usize)) {
                        of_module.push(number);
                    }
                    wiring.instances.push(Instance { module, component_instance });
                    wiring.arguments.push(arguments);
                }
                GlobalInitializer::LowerImport { import, .. } => {
                    let (name, path) = component.imports.get(*import).map_or(("", &[][..]), |(import, path)| {
                        (component.import_types.get(*import).map_or("", |(name, _)| name.as_str()), path.as_slice())
                    });
                    wiring.lowered.push((name, path));
                }
                GlobalInitializer::ExtractRealloc(extract) => {
                    wiring.note_entry(&extract.def, EntryRole::Realloc);
                }
                GlobalInitializer::ExtractCallback(extract) => {
                    callbacks.insert(extract.index, definition(&extract.def));
                    wiring.note_entry(&extract.def, EntryRole::Callback);
                }
                GlobalInitializer::ExtractPostReturn(extract) => {
                    post_returns.insert(extract.index, definition(&extract.def));
                    wiring.note_entry(&extract.def, EntryRole::PostReturn);
                }
                GlobalInitializer::Resource(resource) => {
                    if let Some(destructor) = &resource.dtor {
                        wiring.note_entry(destructor, EntryRole::Destructor);
                    }
                }
                GlobalInitializer::ExtractMemory(_) | GlobalInitializer::ExtractTable(_) => {}
            }
        }
        wiring.assign_roles();
        wiring.find_forwards(modules);
        wiring.find_uses(modules);
        wiring.find_preview1_adapters(modules);
        wiring.find_adapter_work(modules);
        let options = |index: OptionsIndex| {
            let options = component.options.get(index);
            let post_return: Option<RuntimePostReturnIndex> = options.and_then(|options| options.post_return);
            let callback = options.and_then(|options| options.callback);
            (
                post_return.and_then(|index| *post_returns.get(&index)?),
                callback.and_then(|index| *callbacks.get(&index)?),
            )
        };
        for (name, (index, _)) in component.exports.raw_iter() {
            wiring.lift(component, None, name, *index, &options);
        }
        wiring
    }

    /// The imports that `definition` satisfies, seen through shims.
    pub(crate) fn uses(&self, definition: Definition) -> &[Use<'m>] {
        self.uses.get(&definition).map_or(&[], Vec::as_slice)
    }

    /// What the shim slot `function` of `instance` forwards to.
    pub(crate) fn forwarded(&self, instance: u32, function: FuncIndex) -> Option<Definition> {
        self.forwards.get(&(instance, function)).copied()
    }

    /// The definition that satisfies an import of an instance.
    pub(crate) fn argument(&self, instance: u32, import: usize) -> Option<Definition> {
        definition(self.arguments.get(instance as usize)?.get(import)?)
    }

    /// The instances of a module, in instantiation order.
    pub(crate) fn instances_of(&self, module: u32) -> &[u32] {
        self.instances_of.get(module as usize).map_or(&[], Vec::as_slice)
    }

    /// The component instance in which a module is instantiated first.
    pub(crate) fn component_instance_of(&self, module: u32) -> Option<u32> {
        let instance = *self.instances_of(module).first()?;
        self.instances.get(instance as usize)?.component_instance
    }

    /// What satisfies the function imports of an instance that are from `module`.
    pub(crate) fn imported_from(&self, instance: u32, module: &str, of: &ModuleArtifact<'_>) -> Vec<Definition> {
        let imports = of.imports().enumerate().filter(|(_, (from, _, _))| *from == module);
        imports.filter_map(|(position, _)| self.argument(instance, position)).collect()
    }

    fn note_entry(&mut self, def: &CoreDef, role: EntryRole) {
        if let Some(definition) = definition(def) {
            self.entry_roles.entry(definition).or_insert(role);
        }
    }

    /// What adapters call: the functions that they are made for, and what else that takes.
    fn find_adapter_work(&mut self, modules: &'m [ModuleArtifact<'_>]) {
        for instance in 0..u32::try_from(self.instances.len()).unwrap_or(u32::MAX) {
            let module = self.instances[instance as usize].module;
            let is_adapter = module.is_some_and(|module| self.roles[module as usize] == ModuleRole::Adapter);
            let Some(module) = self.module_of(instance, modules).filter(|_| is_adapter) else { continue };
            for (position, (kind, _, _)) in module.imports().enumerate() {
                let role = match kind {
                    "realloc" => Some(EntryRole::Realloc),
                    "post_return" => Some(EntryRole::PostReturn),
                    "callee" => None,
                    _ => continue,
                };
                let Some(definition) = self.argument(instance, position) else { continue };
                match role {
                    Some(role) => {
                        self.entry_roles.entry(definition).or_insert(role);
                    }
                    None => {
                        self.adapted.insert(definition);
                    }
                }
            }
        }
    }

    fn module_of(&self, instance: u32, modules: &'m [ModuleArtifact<'_>]) -> Option<&'m ModuleArtifact<'m>> {
        let module = self.instances.get(instance as usize)?.module?;
        modules.get(module as usize)
    }

    /// Adapter modules are the only ones that belong to no component instance.
    fn assign_roles(&mut self) {
        for instance in &self.instances {
            let Some(module) = instance.module else { continue };
            if instance.component_instance.is_none()
                && let Some(role) = self.roles.get_mut(module as usize)
            {
                *role = ModuleRole::Adapter;
            }
        }
    }

    /// Finds the pairs of shim and fix-up instance, and what each slot forwards to.
    fn find_forwards(&mut self, modules: &'m [ModuleArtifact<'_>]) {
        for fixups in 0..u32::try_from(self.instances.len()).unwrap_or(u32::MAX) {
            let Some(fixups_module) = self.module_of(fixups, modules) else { continue };
            let Some(shim) = self.table_owner(fixups) else { continue };
            let Some(shim_module) = self.module_of(shim, modules) else { continue };
            if fixups_module.defined_functions() != 0 || shim_module.imported_functions() != 0 || shim == fixups {
                continue;
            }
            let slots: HashMap<&str, FuncIndex> = shim_module.exported_functions().collect();
            if shim_module.defined_functions() as usize != slots.len() {
                continue;
            }
            let mut found = false;
            for (position, (_, field, _)) in fixups_module.imports().enumerate() {
                let slot = field.strip_prefix("actual::").unwrap_or(field);
                if let (Some(slot), Some(target)) = (slots.get(slot), self.argument(fixups, position)) {
                    self.forwards.insert((shim, *slot), target);
                    found = true;
                }
            }
            if found {
                for (instance, role) in [(shim, ModuleRole::Shim), (fixups, ModuleRole::Fixups)] {
                    let module = self.instances[instance as usize].module;
                    if let Some(slot) = module.and_then(|module| self.roles.get_mut(module as usize)) {
                        *slot = role;
                    }
                }
            }
        }
    }

    /// The instance whose table is the first table argument of `instance`.
    fn table_owner(&self, instance: u32) -> Option<u32> {
        self.arguments.get(instance as usize)?.iter().find_map(|argument| match argument {
            CoreDef::Export(CoreExport { instance, item: ExportItem::Index(EntityIndex::Table(_)) }) => {
                Some(instance.as_u32())
            }
            _ => None,
        })
    }

    fn find_uses(&mut self, modules: &'m [ModuleArtifact<'_>]) {
        let mut direct: FxHashMap<Definition, Vec<Use<'m>>> = FxHashMap::default();
        for instance in 0..u32::try_from(self.instances.len()).unwrap_or(u32::MAX) {
            let Some(module) = self.module_of(instance, modules) else { continue };
            if self.role_of(instance) == Some(&ModuleRole::Fixups) {
                continue;
            }
            for (position, (module, field, _)) in module.imports().enumerate() {
                if let Some(definition) = self.argument(instance, position) {
                    direct.entry(definition).or_default().push(Use { instance, module, field });
                }
            }
        }
        // A use of a slot is a use of what the slot forwards to. One step is enough: a shim forwards to no shim,
        // because the fix-up module needs its targets to exist first.
        for ((shim, slot), target) in &self.forwards {
            let through = Definition::Function { instance: *shim, function: *slot };
            if let Some(uses) = direct.get(&through).cloned() {
                direct.entry(*target).or_default().extend(uses);
            }
        }
        for uses in direct.values_mut() {
            uses.sort_by_key(|one| one.instance);
        }
        self.uses = direct;
    }

    fn role_of(&self, instance: u32) -> Option<&ModuleRole> {
        self.roles.get(self.instances.get(instance as usize)?.module? as usize)
    }

    /// A nameless module that provides preview 1 to others is probably an adapter for it.
    fn find_preview1_adapters(&mut self, modules: &[ModuleArtifact<'_>]) {
        for (definition, uses) in &self.uses {
            let Definition::Function { instance, .. } = definition else { continue };
            let preview1 = uses.iter().any(|one| matches!(one.module, "wasi_snapshot_preview1" | "wasi_unstable"));
            let module = self.instances.get(*instance as usize).and_then(|instance| instance.module);
            let Some(module) = module.filter(|_| preview1) else { continue };
            let nameless = modules.get(module as usize).is_some_and(|module| module.name().is_none());
            if let Some(role @ ModuleRole::Guest) = self.roles.get_mut(module as usize)
                && nameless
            {
                *role = ModuleRole::Preview1Adapter;
            }
        }
    }

    fn lift(
        &mut self,
        component: &'m ComponentInfo,
        interface: Option<&'m str>,
        name: &'m str,
        index: ExportIndex,
        options: &impl Fn(OptionsIndex) -> (Option<Definition>, Option<Definition>),
    ) {
        match component.export_items.get(index) {
            Some(Export::LiftedFunction { func, options: index, .. }) => {
                let Some(definition) = definition(func) else { return };
                let (post_return, callback) = options(*index);
                self.lifted.push(LiftedExport { interface, function: name, definition, post_return, callback });
            }
            // Interfaces do not nest in WIT, so an instance inside an instance has no name of its own there; and a
            // damaged image may nest an instance in itself.
            Some(Export::Instance { exports, .. }) if interface.is_none() => {
                for (function, (index, _)) in exports.raw_iter() {
                    self.lift(component, Some(name), function, *index, options);
                }
            }
            Some(
                Export::Instance { .. } | Export::ModuleStatic { .. } | Export::ModuleImport { .. } | Export::Type(_),
            )
            | None => {}
        }
    }
}

fn definition(def: &CoreDef) -> Option<Definition> {
    match def {
        CoreDef::Export(CoreExport { instance, item: ExportItem::Index(EntityIndex::Function(function)) }) => {
            Some(Definition::Function { instance: instance.as_u32(), function: *function })
        }
        CoreDef::Trampoline(index) => Some(Definition::Trampoline(index.as_u32())),
        CoreDef::UnsafeIntrinsic(intrinsic) => Some(Definition::Intrinsic(*intrinsic)),
        CoreDef::Export(_) | CoreDef::InstanceFlags(_) | CoreDef::TaskMayBlock => None,
    }
}
