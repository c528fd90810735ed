//! What the bytes say about each component of a composition, by the rules that could name it.

use std::collections::HashMap;

use crate::agreed::agreed;
use crate::component::{Artifacts, Definition, ModuleRole, Source, Wiring};
use crate::symbols::library::ComponentNamedBy;
use crate::symbols::toolchain::{is_toolchain_module, without_ending};
use crate::symbols::wit_name;

/// The core module that adapts preview 1, in the words of the tool that puts it there.
pub(super) const PREVIEW1_ADAPTER: &str = "wit-component:adapter:wasi_snapshot_preview1";

/// What is in front of the interface that names its provider.
pub(super) const PROVIDER_OF: &str = "provider of ";

/// A way to find a name for a component.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rule {
    /// Its own name, or the one that the component around gives it.
    Own,
    /// The name of its instance, or of all of them if that is the same.
    Instance,
    Package,
    /// Its core module, without what a linker adds to tell builds apart.
    Module,
    /// Its core module, as it is called.
    WholeModule,
    Provider,
    /// The names of its instances, if there are few.
    Instances,
    /// What the caller called the whole.
    Given,
}

impl Rule {
    /// All rules, best first.
    pub(super) const ALL: [Self; 8] = [
        Self::Own,
        Self::Instance,
        Self::Package,
        Self::Module,
        Self::WholeModule,
        Self::Provider,
        Self::Instances,
        Self::Given,
    ];

    pub(super) fn public(self) -> ComponentNamedBy {
        match self {
            Self::Own => ComponentNamedBy::NameSection,
            Self::Instance | Self::Instances => ComponentNamedBy::Instance,
            Self::Package => ComponentNamedBy::Package,
            Self::Module | Self::WholeModule => ComponentNamedBy::CoreModule,
            Self::Provider => ComponentNamedBy::Provider,
            Self::Given => ComponentNamedBy::Given,
        }
    }
}

/// What there is to call a component after.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    own: Option<String>,
    package: Option<String>,
    /// Of its core module; of several that of the largest, if that is larger than all others together.
    module: Option<String>,
    /// The module's name as it is, if `module` is a part of it.
    whole_module: Option<String>,
    provider: Option<String>,
    instance: Option<String>,
    instances: Option<String>,
    given: Option<String>,
    /// Whether any of the compiled code is its own. Only then is it ever shown.
    pub(super) has_code: bool,
    /// The component inside of which it is instantiated, if that is always the same.
    pub(super) parent: Option<usize>,
}

impl Evidence {
    pub(super) fn name_by(&self, rule: Rule) -> Option<&str> {
        let name = match rule {
            Rule::Own => &self.own,
            Rule::Instance => &self.instance,
            Rule::Package => &self.package,
            Rule::Module => &self.module,
            Rule::WholeModule => &self.whole_module,
            Rule::Provider => &self.provider,
            Rule::Instances => &self.instances,
            Rule::Given => &self.given,
        };
        name.as_deref()
    }
}

/// The evidence on every component, the root first; and by component instance, which of them it is an instance of.
pub(super) struct Components {
    pub(super) evidence: Vec<Evidence>,
    pub(super) of_instance: Vec<usize>,
}

impl Components {
    /// Of `count` component instances. `root` is what the caller calls the whole.
    pub(super) fn new(
        artifacts: &Artifacts<'_>,
        wiring: &Wiring<'_>,
        source: Option<&Source>,
        count: u32,
        root: &str,
    ) -> Self {
        let mut components = match source {
            Some(source) => Self::of_source(source, count),
            None => Self { evidence: Vec::new(), of_instance: (0..count as usize).collect() },
        };
        let number = components.of_instance.iter().map(|component| component + 1).max().unwrap_or(0).max(1);
        if components.evidence.len() < number {
            components.evidence.resize_with(number, Evidence::default);
        }
        components.find_code(artifacts, wiring, source);
        match source {
            Some(source) => {
                let exports: Vec<Vec<&str>> =
                    (0..components.evidence.len()).map(|one| source.component_exports(one).collect()).collect();
                components.find_packages(&exports);
                components.find_providers(&exports);
            }
            None => {
                components.find_packages(&components.core_exports(artifacts, wiring, |_| true));
                // A core module may bring along what its component does not export.
                let mut called = wiring.adapted.clone();
                called.extend(wiring.lifted.iter().map(|lifted| lifted.definition));
                components.find_providers(&components.core_exports(artifacts, wiring, |one| called.contains(&one)));
            }
        }
        if let Some(whole) = components.evidence.first_mut() {
            // It is no part of anything, and is called as it was before anything is composed.
            *whole = Evidence {
                own: whole.own.take(),
                package: whole.package.take().filter(|_| source.is_some()),
                given: Some(root.to_owned()),
                has_code: whole.has_code,
                ..Evidence::default()
            };
        }
        components
    }

    /// The component that a core module is a part of.
    pub(super) fn of_module(&self, wiring: &Wiring<'_>, source: Option<&Source>, module: u32) -> Option<usize> {
        source.and_then(|source| source.component_of_module(module)).or_else(|| {
            let instance = wiring.component_instance_of(module)?;
            self.of_instance.get(instance as usize).copied()
        })
    }

    fn of_source(source: &Source, count: u32) -> Self {
        let of_instance: Vec<usize> =
            (0..count).map(|instance| source.component_of_instance(instance).unwrap_or(0)).collect();
        let mut instances: Vec<Vec<u32>> = vec![Vec::new(); source.component_count()];
        for (instance, component) in (0..).zip(&of_instance) {
            if let Some(of_component) = instances.get_mut(*component) {
                of_component.push(instance);
            }
        }
        let evidence = instances.iter().enumerate().map(|(component, instances)| {
            let names: Option<Vec<&str>> = instances.iter().map(|one| source.instance_name(*one)).collect();
            let parents = instances.iter().map(|one| of_instance.get(source.parent_of_instance(*one)? as usize));
            Evidence {
                own: source.component_name(component).map(str::to_owned),
                instance: names.as_ref().and_then(|names| agreed(names.iter())).map(|name| (*name).to_owned()),
                instances: names.and_then(few),
                parent: agreed(parents).flatten().copied(),
                ..Evidence::default()
            }
        });
        Self { evidence: evidence.collect(), of_instance }
    }

    /// Finds out which components have code, and the name of the core module that is most of it.
    fn find_code(&mut self, artifacts: &Artifacts<'_>, wiring: &Wiring<'_>, source: Option<&Source>) {
        for instance in wiring.instances.iter().filter_map(|instance| instance.component_instance) {
            let component = self.of_instance.get(instance as usize);
            if let Some(component) = component.and_then(|component| self.evidence.get_mut(*component)) {
                component.has_code = true;
            }
        }
        let mut largest: Vec<(u32, u32, Option<&str>)> = vec![(0, 0, None); self.evidence.len()];
        for (index, (module, role)) in (0..).zip(artifacts.modules.iter().zip(&wiring.roles)) {
            if *role == ModuleRole::Adapter {
                continue;
            }
            let Some(component) = self.of_module(wiring, source, index) else { continue };
            let Some((size, all, name)) = largest.get_mut(component) else { continue };
            self.evidence[component].has_code = true;
            if *role != ModuleRole::Guest || module.name() == Some(PREVIEW1_ADAPTER) {
                continue;
            }
            let functions = module.defined_functions();
            *all = all.saturating_add(functions);
            if functions >= *size {
                (*size, *name) = (functions, module.name());
            }
        }
        for (evidence, (size, all, name)) in self.evidence.iter_mut().zip(largest) {
            // An interpreter is the largest part of a component, and what it interprets has no name.
            let Some(name) = name.filter(|name| size > all - size && !is_toolchain_module(name)) else { continue };
            let whole = without_ending(name);
            let short = without_hash(whole);
            if short.is_empty() {
                continue;
            }
            evidence.module = Some(short.to_owned());
            evidence.whole_module = (short != whole).then(|| whole.to_owned());
        }
    }

    /// By component instance: the interfaces that its core modules export, those first that are not standard ones. Only
    /// functions that `is_wanted` count.
    fn core_exports<'m>(
        &self,
        artifacts: &'m Artifacts<'_>,
        wiring: &Wiring<'_>,
        is_wanted: impl Fn(Definition) -> bool,
    ) -> Vec<Vec<&'m str>> {
        let mut exports = vec![Vec::new(); self.evidence.len()];
        for (number, instance) in (0..).zip(&wiring.instances) {
            let (Some(component), Some(module)) = (instance.component_instance, instance.module) else { continue };
            let Some(module) = artifacts.modules.get(module as usize) else { continue };
            let Some(of_component) = exports.get_mut(component as usize) else { continue };
            let interfaces = module.exported_functions().filter_map(|(name, function)| {
                let (wit, _role) = wit_name::from_core_export(name)?;
                let interface = wit.interface.filter(|interface| interface.contains('/'))?;
                is_wanted(Definition::Function { instance: number, function }).then_some(interface)
            });
            of_component.extend(interfaces);
        }
        for of_component in &mut exports {
            of_component.sort_by_key(|interface| interface.starts_with("wasi:"));
            of_component.dedup();
        }
        exports
    }

    /// The package of the first interface, unless that is a standard one.
    fn find_packages(&mut self, exports: &[Vec<&str>]) {
        for (evidence, exports) in self.evidence.iter_mut().zip(exports) {
            let package = exports.iter().find_map(|export| Some(export.split_once('/')?.0));
            evidence.package = package.filter(|package| !package.starts_with("wasi:")).map(str::to_owned);
        }
    }

    /// What no other component with code exports.
    fn find_providers(&mut self, exports: &[Vec<&str>]) {
        // By name: the component that exports it; `None` if there are several.
        let mut providers: HashMap<&str, Option<usize>> = HashMap::new();
        for (component, exports) in exports.iter().enumerate().filter(|(one, _)| self.evidence[*one].has_code) {
            for export in exports {
                let provider = providers.entry(export).or_insert(Some(component));
                *provider = provider.filter(|known| *known == component);
            }
        }
        for (component, (evidence, exports)) in self.evidence.iter_mut().zip(exports).enumerate() {
            let only = exports.iter().find(|export| providers.get(**export) == Some(&Some(component)));
            evidence.provider = only.map(|export| format!("{PROVIDER_OF}{export}"));
        }
    }
}

/// Two or three names as one.
pub(super) fn few(mut names: Vec<&str>) -> Option<String> {
    if !(2..=3).contains(&names.len()) {
        return None;
    }
    names.sort_unstable();
    let is_distinct = names.windows(2).all(|pair| pair[0] != pair[1]);
    is_distinct.then(|| names.join(", "))
}

/// A name without the hash that Cargo adds: `app-74192236fb917229` is `app`.
fn without_hash(name: &str) -> &str {
    match name.rsplit_once('-') {
        Some((short, hash)) if hash.len() == 16 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()) => short,
        _ => name,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_of_builds_are_left_out() {
        assert_eq!(without_hash("app-74192236fb917229"), "app");
        assert_eq!(without_hash("my-app-74192236fb917229"), "my-app");
        for name in ["app", "app-1", "my-app", "app-74192236fb91722", "app-74192236fb91722x", "74192236fb917229"] {
            assert_eq!(without_hash(name), name);
        }
    }

    #[test]
    fn few_instances_name_their_component() {
        assert_eq!(few(vec!["right", "left"]).as_deref(), Some("left, right"));
        assert_eq!(few(vec!["left"]), None);
        assert_eq!(few(vec!["left", "left"]), None);
        assert_eq!(few(vec!["a", "b", "c", "d"]), None);
    }
}
