//! What the components and core modules of a composition are called.
//!
//! `evidence` reads from the bytes what each component could be called after, `told_apart` settles on one of that.

mod evidence;
mod told_apart;

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use evidence::{Components, PREVIEW1_ADAPTER};
use told_apart::{Instance, Name};

use super::library::ComponentNamedBy;
use crate::component::{Artifacts, ModuleRole, Source, Wiring};

/// Names for the components and modules of one image, unique where two of them differ.
pub(super) struct ComponentNames {
    /// Of a component: its name.
    root: Option<String>,
    /// By component instance: the name of its component, and what tells it from other instances of that.
    instances: Vec<Rc<str>>,
    /// By static module index: `<component>/<module>`, the name of its library.
    modules: Vec<Rc<str>>,
    /// The same for the entries of its functions.
    entries: Vec<Rc<str>>,
    /// By static module index: the name of its component.
    owners: Vec<Name>,
}

impl ComponentNames {
    pub(super) fn new(
        artifacts: &Artifacts<'_>,
        wiring: Option<&Wiring<'_>>,
        source: Option<&Source>,
        root: &str,
    ) -> Self {
        let Some((component, wiring)) = artifacts.component.as_ref().zip(wiring) else {
            let module = artifacts.modules.first().and_then(|module| module.name());
            let owner = match module {
                Some(name) => Name { text: name.to_owned(), rule: ComponentNamedBy::CoreModule },
                None => given(root),
            };
            return Self::with_modules(vec![owner.text.clone()], vec![owner]);
        };
        let count = component.num_runtime_component_instances;
        // The source is believed only if it is a source of this component: it instantiates as many components, and
        // has as many core modules of its own.
        let own_modules = wiring.roles.iter().filter(|role| **role != ModuleRole::Adapter).count();
        let source = source
            .filter(|source| source.instance_count() == Some(count as usize) && source.module_count() == own_modules);
        let components = Components::new(artifacts, wiring, source, count, root);
        let names = told_apart::names(&components.evidence);
        let instances: Vec<Instance<'_>> = (0..count)
            .zip(&components.of_instance)
            .map(|(instance, component)| Instance {
                component: *component,
                parent: source.and_then(|source| source.parent_of_instance(instance)),
                name: source.and_then(|source| source.instance_name(instance)),
            })
            .collect();
        let instances = told_apart::instances(&instances, &names);

        let mut modules = Vec::with_capacity(artifacts.modules.len());
        let mut owners = Vec::with_capacity(artifacts.modules.len());
        for index in 0..u32::try_from(artifacts.modules.len()).unwrap_or(u32::MAX) {
            let component = components.of_module(wiring, source, index).or(Some(0)).and_then(|one| names.get(one));
            let component = component.cloned().unwrap_or_else(|| given(root));
            let module = module_name(artifacts, wiring, source, index);
            modules.push(format!("{}/{module}", component.text));
            owners.push(component);
        }
        make_unique(&mut modules);
        let root = names.into_iter().next();
        Self { root: root.map(|name| name.text), instances, ..Self::with_modules(modules, owners) }
    }

    fn with_modules(modules: Vec<String>, owners: Vec<Name>) -> Self {
        let entries = modules.iter().map(|module| format!("{module} (entry)").into()).collect();
        let modules = modules.into_iter().map(Rc::from).collect();
        Self { root: None, instances: Vec::new(), modules, entries, owners }
    }

    /// A component instance: the name of its component, and what tells it from other instances of that.
    pub(super) fn instance(&self, instance: u32) -> Option<&str> {
        self.instances.get(instance as usize).map(|name| &**name)
    }

    /// The component that a library is a part of, if it is that of a core module or of the entries of one; and the rule that
    /// named it.
    pub(super) fn of_library(&self, library: &Rc<str>) -> Option<(&str, ComponentNamedBy)> {
        let mut modules = self.modules.iter().zip(&self.entries);
        let module =
            modules.position(|(module, entries)| Rc::ptr_eq(module, library) || Rc::ptr_eq(entries, library))?;
        self.owners.get(module).map(|owner| (owner.text.as_str(), owner.rule))
    }

    /// The component that a core module is a part of.
    pub(super) fn owner(&self, module: u32) -> Option<&str> {
        self.owners.get(module as usize).map(|owner| owner.text.as_str())
    }

    /// The library name of a core module.
    pub(super) fn module(&self, module: u32) -> Rc<str> {
        self.modules.get(module as usize).map_or_else(|| "".into(), Rc::clone)
    }

    /// The library name of the entries of a core module's functions.
    pub(super) fn entries(&self, module: u32) -> Rc<str> {
        self.entries.get(module as usize).map_or_else(|| "".into(), Rc::clone)
    }

    /// The root component, or the core module that stands alone.
    pub(super) fn root(&self) -> &str {
        self.root.as_deref().or(self.modules.first().map(|name| &**name)).unwrap_or_default()
    }
}

fn given(name: &str) -> Name {
    Name { text: name.to_owned(), rule: ComponentNamedBy::Given }
}

/// Role, else own name, else the name that its component gives it, else its index.
fn module_name(artifacts: &Artifacts<'_>, wiring: &Wiring<'_>, source: Option<&Source>, index: u32) -> String {
    let own = artifacts.modules.get(index as usize).and_then(|module| module.name());
    let name = own.or_else(|| source.and_then(|source| source.module_name(index))).filter(|name| !name.is_empty());
    match wiring.roles.get(index as usize) {
        Some(ModuleRole::Shim) => return "shim".to_owned(),
        Some(ModuleRole::Fixups) => return "fixups".to_owned(),
        // A linker may make a module that only passes preview 1 on, and names it otherwise.
        Some(ModuleRole::Preview1Adapter) if name.is_none() => return "wasi-preview1-adapter".to_owned(),
        Some(ModuleRole::Adapter) => return format!("adapters[{index}]"),
        Some(ModuleRole::Preview1Adapter | ModuleRole::Guest) | None => {}
    }
    match name {
        Some(PREVIEW1_ADAPTER) => "wasi-preview1-adapter".to_owned(),
        Some(name) => name.to_owned(),
        None => format!("module[{index}]"),
    }
}

/// Two things of the same name get their position behind it.
fn make_unique(names: &mut [String]) {
    let mut count: HashMap<String, usize> = HashMap::new();
    for name in names.iter() {
        *count.entry(name.clone()).or_default() += 1;
    }
    let mut taken: HashSet<String> =
        count.iter().filter(|(_, count)| **count == 1).map(|(name, _)| name.clone()).collect();
    for (position, name) in names.iter_mut().enumerate() {
        if count.get(name.as_str()).is_none_or(|count| *count == 1) {
            continue;
        }
        *name = format!("{name}[{position}]");
        while !taken.insert(name.clone()) {
            name.push('\'');
        }
    }
}
