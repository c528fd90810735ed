//! Functions at a boundary: slots of shims, fused adapters, and what component trampolines are for.

use std::rc::Rc;

use wasmtime_environ::{Abi, FuncIndex};

use super::Namer;
use super::named::{Named, WORLD, canonical, imported, with_abi};
use crate::component::{Definition, TrampolinePurpose, Use, Wiring};
use crate::symbols::function::{Direction, FunctionKind, NamedBy};
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

    pub(super) fn component_trampoline(&self, index: u32, abi: Abi) -> Named<'a> {
        let used = self.first_use(Definition::Trampoline(index));
        // Wasmtime makes one trampoline for all equal intrinsics, so its consumers may mean different functions.
        let spelled = self.uses(Definition::Trampoline(index)).filter_map(|used| self.consumer(&used));
        let consumer = agreed(spelled);
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
                    // `cm32p2` spells `counter_drop`.
                    let suffix = format!("_{}", operation.name());
                    let function = match function.strip_suffix(&suffix) {
                        Some(resource) => format!("{resource}.{}", operation.name()),
                        None => function,
                    };
                    let library = format!("{} ({})", interface.as_deref().unwrap_or(WORLD), direction.name());
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

    /// The WIT function that a core import names, and which way it crosses: through the component's own imports or
    /// exports, or inside of it.
    fn consumer(&self, used: &Use<'_>) -> Option<(Option<String>, String, Direction)> {
        let wit = wit_name::from_core_import(used.module, used.field)?;
        let exported = used.module.starts_with("[export]") || used.module.starts_with("cm32p2|_ex_");
        let component = self.artifacts.component.as_ref()?;
        // A name may lack the end of its version.
        let names = |own: &str| {
            wit.interface
                .is_none_or(|name| own == name || own.strip_prefix(name).is_some_and(|end| end.starts_with('.')))
        };
        let own = if exported {
            component.exports.raw_iter().any(|(name, _)| names(name))
        } else {
            component.import_types.values().any(|(name, _)| names(name))
        };
        let direction = match (own, exported) {
            (false, _) => Direction::Internal,
            (true, true) => Direction::Export,
            (true, false) => Direction::Import,
        };
        Some((wit.interface.map(str::to_owned), wit.function, direction))
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
}

/// What an adapter function connects.
struct Crossing {
    from: Option<String>,
    to: Option<String>,
    wit: Option<(Option<String>, String)>,
    named_by: NamedBy,
}

/// A function that an adapter calls.
pub(super) struct Callee {
    /// `adapter3`: the export name of the first adapter that calls it.
    adapter: String,
    instance: u32,
    wit: Option<(Option<String>, String)>,
}

/// What all of them are, if they are all the same.
pub(super) fn agreed<T: PartialEq>(mut all: impl Iterator<Item = T>) -> Option<T> {
    let first = all.next()?;
    all.all(|other| other == first).then_some(first)
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
