//! What the components and core modules of a composition are called.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::wit_name;
use crate::component::{Artifacts, ModuleRole, Source, Wiring};

/// Names for the components and modules of one image, unique where two of them differ.
pub(super) struct ComponentNames {
    /// By component: the number in the source, or else the component instance.
    components: Vec<String>,
    /// By component instance.
    instances: Vec<usize>,
    /// By static module index: `<component>/<module>`, the name of its library.
    modules: Vec<Rc<str>>,
    /// The same for the entries of its functions.
    entries: Vec<Rc<str>>,
    /// By static module index: the name of its component.
    owners: Vec<String>,
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
            let name = module.unwrap_or(root).to_owned();
            return Self::with_modules(vec![], vec![], vec![name.clone()], vec![name]);
        };
        let count = component.num_runtime_component_instances as usize;
        // The source is believed only if it is a source of this component: it instantiates as many components, and
        // has as many core modules of its own.
        let own_modules = wiring.roles.iter().filter(|role| **role != ModuleRole::Adapter).count();
        let source =
            source.filter(|source| source.instance_count() == Some(count) && source.module_count() == own_modules);
        let (instances, mut components) = match source {
            Some(source) => from_source(source, count, root),
            None => from_exports(artifacts, wiring, count, root),
        };
        let component_of = |index: u32| {
            source.and_then(|source| source.component_of_module(index)).or_else(|| {
                let instance = *wiring.instances_of(index).first()?;
                let instance = wiring.instances.get(instance as usize)?.component_instance?;
                instances.get(instance as usize).copied()
            })
        };
        let main_modules = main_modules(artifacts, wiring, components.len(), component_of);
        name_by_modules(&mut components, &main_modules);
        let mut components: Vec<String> = components.into_iter().map(ComponentName::into_text).collect();
        make_unique(&mut components);

        let mut modules = Vec::with_capacity(artifacts.modules.len());
        let mut owners = Vec::with_capacity(artifacts.modules.len());
        for index in 0..u32::try_from(artifacts.modules.len()).unwrap_or(u32::MAX) {
            let component = component_of(index).and_then(|index| components.get(index)).map_or(root, String::as_str);
            let module = module_name(artifacts, wiring, source, index);
            modules.push(format!("{component}/{module}"));
            owners.push(component.to_owned());
        }
        make_unique(&mut modules);
        Self::with_modules(components, instances, modules, owners)
    }

    fn with_modules(components: Vec<String>, instances: Vec<usize>, modules: Vec<String>, owners: Vec<String>) -> Self {
        let entries = modules.iter().map(|module| format!("{module} (entry)").into()).collect();
        Self { components, instances, modules: modules.into_iter().map(Rc::from).collect(), entries, owners }
    }

    /// The component that a component instance is an instance of.
    pub(super) fn instance(&self, instance: u32) -> Option<&str> {
        let component = *self.instances.get(instance as usize)?;
        self.components.get(component).map(String::as_str)
    }

    /// The component that a library is a part of, if it is that of a core module or of the entries of one.
    pub(super) fn of_library(&self, library: &Rc<str>) -> Option<&str> {
        let mut modules = self.modules.iter().zip(&self.entries);
        let module =
            modules.position(|(module, entries)| Rc::ptr_eq(module, library) || Rc::ptr_eq(entries, library))?;
        self.owners.get(module).map(String::as_str)
    }

    /// The component that a core module is a part of.
    pub(super) fn owner(&self, module: u32) -> Option<&str> {
        self.owners.get(module as usize).map(String::as_str)
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
        self.components.first().map(String::as_str).or(self.modules.first().map(|name| &**name)).unwrap_or_default()
    }
}

/// What a component is called, before names are told apart.
enum ComponentName {
    /// Its own name, or the one that was given.
    Own(String),
    /// The package of what it exports.
    Package(String),
    /// Its number.
    Number(usize),
}

impl ComponentName {
    fn into_text(self) -> String {
        match self {
            Self::Own(name) | Self::Package(name) => name,
            Self::Number(number) => format!("component[{number}]"),
        }
    }
}

/// Components that nothing names, and those that share the name of a package, are called after their core module, if that
/// tells them apart.
fn name_by_modules(components: &mut [ComponentName], main_modules: &[Option<String>]) {
    let mut packages: HashMap<String, usize> = HashMap::new();
    for component in components.iter() {
        if let ComponentName::Package(package) = component {
            *packages.entry(package.clone()).or_default() += 1;
        }
    }
    for (component, module) in components.iter_mut().zip(main_modules) {
        let is_told = match component {
            ComponentName::Own(_) => true,
            ComponentName::Package(package) => packages.get(package.as_str()).is_none_or(|count| *count == 1),
            ComponentName::Number(_) => false,
        };
        if let (false, Some(module)) = (is_told, module) {
            *component = ComponentName::Own(module.clone());
        }
    }
}

/// By component: the name of its core module, if it has one of a name of its own; of several that of the largest, if that
/// is larger than all others together.
fn main_modules(
    artifacts: &Artifacts<'_>,
    wiring: &Wiring<'_>,
    components: usize,
    component_of: impl Fn(u32) -> Option<usize>,
) -> Vec<Option<String>> {
    let mut largest: Vec<(u32, u32, Option<&str>)> = vec![(0, 0, None); components];
    for (index, (module, role)) in (0..).zip(artifacts.modules.iter().zip(&wiring.roles)) {
        if *role != ModuleRole::Guest || module.name() == Some(PREVIEW1_ADAPTER) {
            continue;
        }
        let Some((size, all, name)) = component_of(index).and_then(|component| largest.get_mut(component)) else {
            continue;
        };
        let functions = module.defined_functions();
        *all = all.saturating_add(functions);
        if functions >= *size {
            (*size, *name) = (functions, module.name());
        }
    }
    let main = |(size, all, name): (u32, u32, Option<&str>)| {
        let name = name.filter(|name| !name.is_empty() && size > all - size)?;
        Some(name.strip_suffix(".wasm").unwrap_or(name).to_owned())
    };
    largest.into_iter().map(main).collect()
}

/// Own name, else the package of what it exports, else, for the root, the name that was given, else a number.
fn from_source(source: &Source, instances: usize, root: &str) -> (Vec<usize>, Vec<ComponentName>) {
    let instances: Vec<usize> = (0..u32::try_from(instances).unwrap_or(u32::MAX))
        .map(|instance| source.component_of_instance(instance).unwrap_or(0))
        .collect();
    let names = (0..source.component_count())
        .map(|component| match (source.component_name(component), source.component_package(component)) {
            (Some(name), _) => ComponentName::Own(name.to_owned()),
            (None, Some(package)) => ComponentName::Package(package.to_owned()),
            (None, None) if component == 0 => ComponentName::Own(root.to_owned()),
            (None, None) => ComponentName::Number(component),
        })
        .collect();
    (instances, names)
}

/// Without the source, a component instance is known by the interfaces that its core modules export.
fn from_exports(
    artifacts: &Artifacts<'_>,
    wiring: &Wiring<'_>,
    count: usize,
    root: &str,
) -> (Vec<usize>, Vec<ComponentName>) {
    let mut packages: HashMap<u32, &str> = HashMap::new();
    for instance in &wiring.instances {
        let (Some(component), Some(module)) = (instance.component_instance, instance.module) else { continue };
        let Some(module) = artifacts.modules.get(module as usize) else { continue };
        let package = module.exported_functions().find_map(|(name, _)| {
            let (wit, _role) = wit_name::from_core_export(name)?;
            let (package, _interface) = wit.interface?.split_once('/')?;
            (!package.starts_with("wasi:")).then_some(package)
        });
        if let Some(package) = package {
            packages.entry(component).or_insert(package);
        }
    }
    let names = (0..u32::try_from(count).unwrap_or(u32::MAX))
        .map(|instance| match packages.get(&instance) {
            _ if instance == 0 => ComponentName::Own(root.to_owned()),
            Some(package) => ComponentName::Package((*package).to_owned()),
            None => ComponentName::Number(instance as usize),
        })
        .collect();
    ((0..count).collect(), names)
}

/// The core module that adapts preview 1, in the words of the tool that puts it there.
const PREVIEW1_ADAPTER: &str = "wit-component:adapter:wasi_snapshot_preview1";

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
