//! Functions at a boundary: slots of shims, fused adapters, and what component trampolines are for.

use std::rc::Rc;

use rustc_hash::FxHashMap;
use wasmtime_environ::{Abi, FuncIndex};

use super::Namer;
use super::named::{Crossing, Named, WORLD, canonical};
use crate::agreed::agreed;
use crate::component::{Definition, ModuleRole, ResourceOperation, TrampolinePurpose, Use, Wiring};
use crate::symbols::ends::{CrossingEnd, Ends};
use crate::symbols::function::{Direction, FunctionKind, NamedBy};
use crate::symbols::interfaces::{ResourceName, Side, is_compatible};
use crate::symbols::wit_name;

impl<'a> Namer<'a> {
    /// A slot of a shim is named after what it forwards to.
    pub(super) fn shim(&self, module: u32, function: FuncIndex) -> Named<'a> {
        let library = self.components.module(module);
        let Some(wiring) = &self.wiring else { return self.guest(module, function) };
        let mut definitions = self.definitions(module, function);
        let Some(slot) = definitions.find(|slot| wiring_forward(wiring, *slot).is_some()) else {
            return self.guest(module, function);
        };
        let target = wiring_forward(wiring, slot);
        let used = self.first_use(slot).or_else(|| target.and_then(|target| self.first_use(target)));
        let consumer = used.and_then(|used| self.consumer(&used));
        let known = match target {
            Some(Definition::Trampoline(index)) => match self.artifacts.trampoline_purpose(index) {
                Some(TrampolinePurpose::LowerImport(lowered)) => self.lowered_import(*lowered),
                Some(TrampolinePurpose::Resource { operation, table }) => {
                    self.resource_function(*operation, *table, used)
                }
                _ => None,
            },
            _ => None,
        };
        let crossing = known.map(|known| (known, NamedBy::Wit));
        let crossing = crossing.or_else(|| consumer.map(|consumer| (consumer, NamedBy::CoreImport)));
        if let Some((Crossing { interface, function, direction }, named_by)) = crossing {
            let name = function.clone();
            return Named::plain(FunctionKind::Shim, library, name, named_by).crossing(interface, function, direction);
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
    pub(super) fn adapter(&mut self, module: u32, function: FuncIndex) -> Named<'a> {
        let Some((export, part)) =
            self.exports[module as usize].get(&function).map(|export| adapter_export(export.name))
        else {
            let library = self.last_adapter.as_ref().filter(|(last, _)| *last == module);
            let library = library.map_or_else(|| self.components.module(module), |(_, library)| Rc::clone(library));
            let name = format!("convert values [func {}]", function.as_u32());
            return Named::plain(FunctionKind::AdapterHelper, library, name, NamedBy::Index);
        };
        let adapter = if part.is_empty() { None } else { self.adapter_function(module, export) };
        let adapter = adapter.unwrap_or(function);
        self.find_callees(module);
        let crossing = self.crossing(module, adapter, export);
        let (from, to) = (crossing.from.as_deref(), crossing.to.as_deref());
        let ends = match (from, to) {
            (Some(from), Some(to)) => format!("({from} -> {to})"),
            (Some(from), None) => format!("({from} -> ?)"),
            (None, Some(to)) => format!("(? -> {to})"),
            (None, None) => "(adapter)".to_owned(),
        };
        let between = Ends::internal(crossing.from.clone(), crossing.to.clone());
        let Some((interface, function)) = crossing.wit else {
            let library: Rc<str> = format!("adapter {ends}").into();
            self.last_adapter = Some((module, Rc::clone(&library)));
            let name = format!("{export}{part}");
            return Named::plain(FunctionKind::Adapter, library, name, NamedBy::CoreExport).between(between);
        };
        let library: Rc<str> = format!("{} {ends}", interface.as_deref().unwrap_or(WORLD)).into();
        self.last_adapter = Some((module, Rc::clone(&library)));
        let name = format!("{function}{part}");
        Named::plain(FunctionKind::Adapter, library, name, crossing.named_by)
            .crossing(interface, function, Direction::Internal)
            .between(between)
            .of_interface_library()
    }

    pub(super) fn component_trampoline(&self, index: u32, abi: Abi) -> Named<'a> {
        let named = self.component_trampoline_for(index, abi);
        let ends = self.trampoline_ends(index, &named);
        named.between(ends)
    }

    /// Who calls through a trampoline: the component whose core modules import it. What is called is the host's, or for a
    /// resource of a component that component's.
    fn trampoline_ends(&self, index: u32, named: &Named<'_>) -> Ends {
        let is_crossing = matches!(named.kind, FunctionKind::ImportLowering | FunctionKind::ResourceIntrinsic);
        if !is_crossing || named.interface_function.is_none() {
            return Ends::default();
        }
        let from = self.wiring.as_ref().and_then(|wiring| {
            let callers = self.uses(Definition::Trampoline(index)).map(|used| self.component_of(wiring, used.instance));
            agreed(callers)?
        });
        match self.artifacts.trampoline_purpose(index) {
            Some(TrampolinePurpose::Resource { table, .. }) if named.direction != Some(Direction::Import) => {
                let definer = self.artifacts.resource_definer(*table);
                let to = definer.and_then(|instance| self.components.instance(instance)).map(str::to_owned);
                Ends { from: from.map(CrossingEnd::Component), to: to.map(CrossingEnd::Component) }
            }
            _ => Ends::import(from),
        }
    }

    fn component_trampoline_for(&self, index: u32, abi: Abi) -> Named<'a> {
        let used = self.first_use(Definition::Trampoline(index));
        // Wasmtime makes one trampoline for all equal intrinsics, so its consumers may mean different functions.
        let spelled = self.uses(Definition::Trampoline(index)).filter_map(|used| self.consumer(&used));
        let consumer = agreed(spelled);
        match self.artifacts.trampoline_purpose(index) {
            Some(TrampolinePurpose::LowerImport(lowered)) => {
                let (crossing, named_by) = match (self.lowered_import(*lowered), consumer) {
                    (Some(lowered), _) => (lowered, NamedBy::Wit),
                    (None, Some(consumer)) => (consumer, NamedBy::CoreImport),
                    (None, None) => {
                        let function = format!("import[{lowered}]");
                        let crossing = Crossing { interface: None, function, direction: Direction::Import };
                        (crossing, NamedBy::Index)
                    }
                };
                crossing.trampoline(FunctionKind::ImportLowering, abi, named_by)
            }
            Some(TrampolinePurpose::Resource { operation, table }) => {
                let kind = FunctionKind::ResourceIntrinsic;
                match (self.resource_function(*operation, *table, used), consumer) {
                    (Some(known), _) => known.trampoline(kind, abi, NamedBy::Wit),
                    // It stays inside of the component, whatever the name of its interface.
                    (None, Some(consumer)) => {
                        // `cm32p2` spells `counter_drop`.
                        let suffix = format!("_{}", operation.name());
                        let function = match consumer.function.strip_suffix(&suffix) {
                            Some(resource) => format!("{resource}.{}", operation.name()),
                            None => consumer.function,
                        };
                        let crossing = Crossing { function, direction: Direction::Internal, ..consumer };
                        crossing.trampoline(kind, abi, NamedBy::CoreImport)
                    }
                    (None, None) => canonical(kind, &format!("resource.{}", operation.name()), abi),
                }
            }
            Some(TrampolinePurpose::Transcode { conversion }) => {
                canonical(FunctionKind::Transcoder, &format!("transcode {conversion}"), abi)
            }
            Some(TrampolinePurpose::Intrinsic(name)) => {
                let named = canonical(FunctionKind::CanonicalIntrinsic, name, abi);
                match consumer {
                    Some(Crossing { interface, function, direction }) => named.crossing(interface, function, direction),
                    None => named,
                }
            }
            // An image without symbols does not say what its trampolines are for; their consumers may.
            None => match (consumer, used) {
                (Some(consumer), _) => consumer.trampoline(FunctionKind::ImportLowering, abi, NamedBy::CoreImport),
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

    /// The WIT function that a core import names, and which way it crosses: through the component's own imports or
    /// exports, or inside of it. `None` if it names none that there is.
    fn consumer(&self, used: &Use<'_>) -> Option<Crossing> {
        let wit = wit_name::from_core_import(used.module, used.field)?;
        let is_exported = used.module.starts_with("[export]") || used.module.starts_with("cm32p2|_ex_");
        let side = if is_exported { Side::Export } else { Side::Import };
        let (interface, direction) = match wit.interface {
            Some(spelled) => {
                let (interface, direction) = self.interface(used, spelled, side)?;
                (Some(interface), direction)
            }
            None => (None, self.interfaces.direction_of_world(side)),
        };
        Some(Crossing { interface, function: wit.function, direction })
    }

    /// The interface that a core import means by `spelled`.
    fn interface(&self, used: &Use<'_>, spelled: &str, side: Side) -> Option<(String, Direction)> {
        if side == Side::Import && !self.interfaces.has(spelled, side) {
            // What else it imports under this spelling may be a function of the host's, of which everything is known.
            let lowered = self.imported_beside(used).filter_map(|lowered| self.lowered_import(lowered)?.interface);
            if let Some(interface) = agreed(lowered) {
                return Some((interface, Direction::Import));
            }
        }
        let instance = self.wiring.as_ref()?.instances.get(used.instance as usize)?.component_instance;
        self.interfaces.meant(spelled, side, instance)
    }

    /// The lowering indices of the functions that an instance imports from the same module.
    fn imported_beside(&self, used: &Use<'_>) -> impl Iterator<Item = u32> {
        let wiring = self.wiring.iter();
        let module = wiring.clone().find_map(|wiring| wiring.instances.get(used.instance as usize)?.module);
        let imported = wiring.zip(module).flat_map(|(wiring, module)| {
            let imported = wiring.imported_from(used.instance, used.module, self.module(module));
            imported.into_iter().map(|one| wiring_forward(wiring, one).unwrap_or(one))
        });
        imported.filter_map(|definition| match definition {
            Definition::Trampoline(index) => match self.artifacts.trampoline_purpose(index) {
                Some(TrampolinePurpose::LowerImport(lowered)) => Some(*lowered),
                _ => None,
            },
            Definition::Function { .. } | Definition::Intrinsic(_) => None,
        })
    }

    /// The function that an intrinsic on a resource table stands for, if the component imports or exports the resource.
    fn resource_function(&self, operation: ResourceOperation, table: u32, used: Option<Use<'_>>) -> Option<Crossing> {
        let spelled = used.and_then(|used| wit_name::from_core_import(used.module, used.field)?.interface);
        let ResourceName { interface, name, direction } = self.interfaces.resource(self.artifacts, table, spelled)?;
        Some(Crossing { interface, function: format!("{name}.{}", operation.name()), direction })
    }

    /// The interface and function behind a lowering index.
    fn lowered_import(&self, lowered: u32) -> Option<Crossing> {
        let (name, path) = self.wiring.as_ref()?.lowered.get(lowered as usize)?;
        let (function, interface) = match path.split_last() {
            None => (*name, None),
            Some((function, path)) => {
                let path = std::iter::once(*name).chain(path.iter().map(String::as_str));
                (function.as_str(), Some(path.collect::<Vec<_>>().join("/")))
            }
        };
        Some(Crossing { interface, function: wit_name::function_name(function)?, direction: Direction::Import })
    }

    /// Who crosses from where to where through the adapter function `adapter`, which is exported as `export`.
    fn crossing(&self, module: u32, adapter: FuncIndex, export: &str) -> Connected {
        let mut crossing = Connected { from: None, to: None, callee: None, wit: None, named_by: NamedBy::CoreImport };
        let Some(wiring) = &self.wiring else { return crossing };
        let consumer = self.definitions(module, adapter).find_map(|definition| self.first_use(definition));
        if let Some(consumer) = consumer {
            crossing.from = self.component_of(wiring, consumer.instance);
            crossing.wit = self.consumer(&consumer).map(|wit| (wit.interface, wit.function));
        }
        let callees = self.callees.get(&module).map_or(&[][..], Vec::as_slice);
        // Two adapters with the same callee share its import, which carries the name of the first.
        let callee = callees.iter().find(|callee| callee.adapter == export).or_else(|| {
            let wanted = crossing.wit.as_ref()?;
            callees.iter().find(|callee| callee.wit.as_ref().is_some_and(|wit| is_same_function(wit, wanted)))
        });
        if let Some(callee) = callee {
            crossing.callee = Some(callee.definition());
            crossing.to = self.component_of(wiring, callee.instance);
            if crossing.wit.is_none() && callee.wit.is_some() {
                crossing.wit.clone_from(&callee.wit);
                crossing.named_by = NamedBy::CoreExport;
            }
        }
        crossing
    }

    /// The functions that the adapters of a module call, as its imports `callee` `adapterN` say.
    pub(super) fn callees(&self, module: u32) -> Vec<Callee> {
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
                Some(Callee { adapter: adapter.to_owned(), instance, function, wit })
            })
            .collect()
    }

    /// The one component that calls a core function through adapters.
    pub(super) fn caller_of(&mut self, module: u32, function: FuncIndex) -> Option<String> {
        if self.callers.is_none() {
            self.callers = Some(self.callers());
        }
        let callers = self.callers.as_ref()?;
        agreed(self.definitions(module, function).filter_map(|callee| callers.get(&callee)))?.clone()
    }

    /// Who calls each function that adapters call.
    fn callers(&mut self) -> FxHashMap<Definition, Option<String>> {
        let mut callers = FxHashMap::default();
        let modules = 0..u32::try_from(self.artifacts.modules.len()).unwrap_or(u32::MAX);
        for module in modules.filter(|module| self.role(*module) == Some(&ModuleRole::Adapter)).collect::<Vec<_>>() {
            self.find_callees(module);
            for (export, adapter) in self.module(module).exported_functions() {
                if !adapter_export(export).1.is_empty() {
                    continue;
                }
                let Connected { from, callee: Some(callee), .. } = self.crossing(module, adapter, export) else {
                    continue;
                };
                let known = callers.entry(callee).or_insert_with(|| from.clone());
                if *known != from {
                    *known = None;
                }
            }
        }
        callers
    }

    fn find_callees(&mut self, module: u32) {
        if !self.callees.contains_key(&module) {
            let callees = self.callees(module);
            self.callees.insert(module, callees);
        }
    }

    fn component_of(&self, wiring: &Wiring<'_>, instance: u32) -> Option<String> {
        let instance = wiring.instances.get(instance as usize)?.component_instance?;
        self.components.instance(instance).map(str::to_owned)
    }

    /// The adapter function whose export name is exactly `export`.
    fn adapter_function(&self, module: u32, export: &str) -> Option<FuncIndex> {
        self.module(module).exported_functions().find(|(name, _)| *name == export).map(|(_, function)| function)
    }
}

/// What an adapter function connects.
struct Connected {
    from: Option<String>,
    to: Option<String>,
    callee: Option<Definition>,
    wit: Option<(Option<String>, String)>,
    named_by: NamedBy,
}

/// A function that an adapter calls.
pub(super) struct Callee {
    /// `adapter3`: the export name of the first adapter that calls it.
    adapter: String,
    instance: u32,
    function: FuncIndex,
    wit: Option<(Option<String>, String)>,
}

impl Callee {
    fn definition(&self) -> Definition {
        Definition::Function { instance: self.instance, function: self.function }
    }
}

/// Whether two ends of a call mean the same function; each may spell a version of its own.
fn is_same_function(one: &(Option<String>, String), other: &(Option<String>, String)) -> bool {
    let is_same_interface = match (&one.0, &other.0) {
        (Some(one), Some(other)) => is_compatible(one, other),
        (one, other) => one == other,
    };
    is_same_interface && one.1 == other.1
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
