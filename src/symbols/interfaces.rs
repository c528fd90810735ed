//! The interfaces that a component has, and which of them a core module means.
//!
//! A core module spells an interface as its toolchain knew it: `wasi:io/poll@0.2.0`, or shorter. The component around it
//! may import `wasi:io/poll@0.2.6` in its place, because toolchains merge versions that are compatible. What is shown is
//! what the component has. So a spelling is looked up among the names that the component, and those nested in it,
//! import and export; and one that none of them has is no interface.

use std::cmp::Ordering;

use rustc_hash::FxHashMap;

use super::function::Direction;
use crate::component::{Artifacts, ModuleRole, ResourceOrigin, Source, Wiring};

/// Whether a core module spells what its component imports, or what that exports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    Import,
    Export,
}

/// The interfaces of one component and of those nested in it.
#[derive(Default)]
pub(super) struct Interfaces<'a> {
    /// What the whole component imports and exports.
    own: Names<'a>,
    /// The same for each component of the source, the root first; nothing without a source.
    components: Vec<Names<'a>>,
    /// By component instance: its number in `components`. Nothing where that could not be determined.
    instances: Vec<usize>,
    /// By number of a resource that the component defines and exports: interface (nothing for the world) and name.
    exported_resources: FxHashMap<u32, Vec<(Option<&'a str>, &'a str)>>,
}

/// Interfaces that a component imports and exports.
#[derive(Clone, Default)]
struct Names<'a> {
    imports: Vec<&'a str>,
    exports: Vec<&'a str>,
}

impl<'a> Names<'a> {
    fn on(&self, side: Side) -> &[&'a str] {
        match side {
            Side::Import => &self.imports,
            Side::Export => &self.exports,
        }
    }
}

/// A resource, as the component knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ResourceName {
    /// The interface; `None` for the world.
    pub(super) interface: Option<String>,
    pub(super) name: String,
    pub(super) direction: Direction,
}

impl<'a> Interfaces<'a> {
    pub(super) fn new(artifacts: &'a Artifacts<'_>, wiring: Option<&Wiring<'_>>, source: Option<&'a Source>) -> Self {
        let Some((component, wiring)) = artifacts.component.as_ref().zip(wiring) else { return Self::default() };
        let own = Names {
            imports: component.import_types.values().map(|(name, _)| name.as_str()).collect(),
            exports: component.exports.raw_iter().map(|(name, _)| name.as_str()).collect(),
        };
        // A source with as many core modules is taken for the source of this component.
        let own_modules = wiring.roles.iter().filter(|role| **role != ModuleRole::Adapter).count();
        let source = source.filter(|source| source.module_count() == own_modules);
        let components = source.iter().flat_map(|source| source.interfaces());
        let components = components.map(|(imports, exports)| Names { imports, exports }).collect();
        let count = component.num_runtime_component_instances;
        let numbered = source.filter(|source| source.instance_count() == usize::try_from(count).ok());
        let instances =
            numbered.iter().flat_map(|source| (0..count).filter_map(|one| source.component_of_instance(one)));
        let instances = instances.collect();
        let mut exported_resources = FxHashMap::<_, Vec<_>>::default();
        for (interface, name, resource) in artifacts.exported_resources() {
            exported_resources.entry(resource).or_default().push((interface, name));
        }
        Self { own, components, instances, exported_resources }
    }

    /// Whether the whole component imports or exports an interface of just this name.
    pub(super) fn has(&self, name: &str, side: Side) -> bool {
        self.own.on(side).contains(&name)
    }

    /// The interface that a core module of a component instance means by `spelled`, and which way it crosses. `None` if
    /// the component has no such interface.
    pub(super) fn meant(&self, spelled: &str, side: Side, instance: Option<u32>) -> Option<(String, Direction)> {
        let direction = match side {
            Side::Import => Direction::Import,
            Side::Export => Direction::Export,
        };
        let own = self.own.on(side);
        if self.has(spelled, side) {
            return Some((spelled.to_owned(), direction));
        }
        let instance = instance.and_then(|instance| self.instances.get(instance as usize).copied());
        // The root's names are `own`.
        let nested = instance.filter(|component| *component != 0).and_then(|component| self.components.get(component));
        if let Some(name) = nested.and_then(|nested| best(nested.on(side), spelled)) {
            let is_provided = self.components.iter().skip(1).any(|other| best(&other.exports, name).is_some());
            return match best(own, name).filter(|_| side == Side::Import && !is_provided) {
                Some(own) => Some((own.to_owned(), Direction::Import)),
                None => Some((name.to_owned(), Direction::Internal)),
            };
        }
        if let Some(name) = best(own, spelled) {
            return Some((name.to_owned(), direction));
        }
        if self.components.is_empty() {
            // Names of nested components are not known.
            return Some((spelled.to_owned(), Direction::Internal));
        }
        let all = self.components.iter().flat_map(|names| [&names.exports, &names.imports]);
        let name = all.filter_map(|names| best(names, spelled)).max_by(|one, other| by_likeness(spelled, one, other));
        name.map(|name| (name.to_owned(), Direction::Internal))
    }

    /// Which way a function of the world itself crosses.
    pub(super) fn direction_of_world(&self, side: Side) -> Direction {
        match side {
            Side::Import if !self.own.imports.is_empty() => Direction::Import,
            Side::Export if !self.own.exports.is_empty() => Direction::Export,
            Side::Import | Side::Export => Direction::Internal,
        }
    }

    /// The resource of a resource table. `spelled` is the interface that its user means, which tells names of one
    /// resource apart. `None` if the resource stays inside of the component.
    pub(super) fn resource(
        &self,
        artifacts: &Artifacts<'_>,
        table: u32,
        spelled: Option<&str>,
    ) -> Option<ResourceName> {
        match artifacts.resource_origin(table)? {
            ResourceOrigin::Imported { import, path } => {
                let (name, interface) = match path.split_last() {
                    None => (import, None),
                    Some((name, path)) => {
                        let path = std::iter::once(import).chain(path.iter().map(String::as_str));
                        (name.as_str(), Some(path.collect::<Vec<_>>().join("/")))
                    }
                };
                Some(ResourceName { interface, name: name.to_owned(), direction: Direction::Import })
            }
            ResourceOrigin::Defined(resource) => {
                let names = self.exported_resources.get(&resource)?;
                let is_spelled = |(interface, _): &&(Option<&str>, &str)| {
                    interface.zip(spelled).is_some_and(|(interface, spelled)| is_compatible(interface, spelled))
                };
                let (interface, name) = names.iter().find(is_spelled).or_else(|| names.first())?;
                let interface = interface.map(str::to_owned);
                Some(ResourceName { interface, name: (*name).to_owned(), direction: Direction::Export })
            }
        }
    }
}

/// The name that is `spelled`, else the newest one that is compatible with it.
fn best<'n>(names: &[&'n str], spelled: &str) -> Option<&'n str> {
    let compatible = names.iter().copied().filter(|name| is_compatible(name, spelled));
    compatible.max_by(|one, other| by_likeness(spelled, one, other))
}

/// What is `spelled` comes last, after it what is newest.
fn by_likeness(spelled: &str, one: &str, other: &str) -> Ordering {
    let version = |name| Version::parse(split_version(name).1.unwrap_or_default()).map_or([0; 3], |version| version.0);
    (one == spelled).cmp(&(other == spelled)).then_with(|| version(one).cmp(&version(other)))
}

/// Whether both are the same interface, in versions of which one can stand in for the other.
pub(super) fn is_compatible(one: &str, other: &str) -> bool {
    if one == other {
        return true;
    }
    let ((base, one), (other_base, other)) = (split_version(one), split_version(other));
    let (Some(one), Some(other)) = (one.and_then(Version::parse), other.and_then(Version::parse)) else { return false };
    base == other_base && one.track() == other.track()
}

fn split_version(name: &str) -> (&str, Option<&str>) {
    name.split_once('@').map_or((name, None), |(base, version)| (base, Some(version)))
}

/// The three numbers of a version; those that a short spelling leaves out are 0.
#[derive(Clone, Copy)]
struct Version([u64; 3]);

impl Version {
    /// `None` for what nothing else is compatible with, such as a version before the first release.
    fn parse(text: &str) -> Option<Self> {
        let text = text.split_once('+').map_or(text, |(version, _build)| version);
        let mut numbers = [0; 3];
        let mut parts = text.split('.');
        for (index, number) in numbers.iter_mut().enumerate() {
            match parts.next() {
                Some(part) => *number = part.parse().ok()?,
                None if index == 0 => return None,
                None => break,
            }
        }
        parts.next().is_none().then_some(Self(numbers))
    }

    /// Versions of one track are compatible: the first number that is not 0 is the same.
    fn track(self) -> [u64; 3] {
        match self.0 {
            [0, 0, patch] => [0, 0, patch],
            [0, minor, _] => [0, minor, 0],
            [major, ..] => [major, 0, 0],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_of_one_track_are_compatible() {
        for (one, other, expected) in [
            ("wasi:io/poll@0.2.0", "wasi:io/poll@0.2.6", true),
            ("wasi:io/poll@0.2", "wasi:io/poll@0.2.6", true),
            ("a:b/c@1", "a:b/c@1.4.0", true),
            ("a:b/c@1.2.3", "a:b/c@1.4.0", true),
            ("a:b/c", "a:b/c", true),
            ("a:b/c@1.0.0-rc.1", "a:b/c@1.0.0-rc.1", true),
            ("wasi:io/poll@0.2.0", "wasi:io/poll@0.3.0", false),
            ("wasi:io/poll@0.2.0", "wasi:io/streams@0.2.0", false),
            ("a:b/c@1.0.0-rc.1", "a:b/c@1.0.0", false),
            ("a:b/c@0.0.1", "a:b/c@0.0.2", false),
            ("a:b/c@1", "a:b/c@2", false),
            ("a:b/c", "a:b/c@1.0.0", false),
            ("a:b/c@", "a:b/c@1.0.0", false),
        ] {
            assert_eq!(is_compatible(one, other), expected, "{one} {other}");
            assert_eq!(is_compatible(other, one), expected, "{other} {one}");
        }
    }

    #[test]
    fn the_same_is_better_than_the_newest() {
        let names = ["a:b/c@0.2.10", "a:b/c@0.2.9", "a:b/c@0.2.3", "a:b/d@0.2.99"];
        assert_eq!(best(&names, "a:b/c@0.2.3"), Some("a:b/c@0.2.3"));
        assert_eq!(best(&names, "a:b/c@0.2.0"), Some("a:b/c@0.2.10"));
        assert_eq!(best(&names, "a:b/c@0.3.0"), None);
    }

    #[test]
    fn a_nested_component_means_what_it_imports() {
        let interfaces = Interfaces {
            own: Names { imports: vec!["wasi:io/poll@0.2.6"], exports: vec!["demo:app/run@1.1.0"] },
            components: vec![
                Names::default(),
                Names { imports: vec!["demo:math/ops@0.1.0", "wasi:io/poll@0.2.3"], exports: vec![] },
                Names { imports: vec![], exports: vec!["demo:math/ops@0.1.2"] },
            ],
            instances: vec![0, 1, 2],
            ..Default::default()
        };
        let meant = |spelled, side, instance| interfaces.meant(spelled, side, instance);
        let found = |name: &str, direction| Some((name.to_owned(), direction));
        // Nobody inside provides it, so it is the root's.
        let poll = found("wasi:io/poll@0.2.6", Direction::Import);
        for spelled in ["wasi:io/poll@0.2.0", "wasi:io/poll@0.2.3", "wasi:io/poll@0.2.6", "wasi:io/poll@0.2"] {
            assert_eq!(meant(spelled, Side::Import, Some(1)), poll, "{spelled}");
        }
        assert_eq!(
            meant("demo:math/ops@0.1.0", Side::Import, Some(1)),
            found("demo:math/ops@0.1.0", Direction::Internal)
        );
        assert_eq!(
            meant("demo:math/ops@0.1.1", Side::Export, Some(2)),
            found("demo:math/ops@0.1.2", Direction::Internal)
        );
        assert_eq!(meant("demo:app/run@1.0.0", Side::Export, None), found("demo:app/run@1.1.0", Direction::Export));
        assert_eq!(meant("env", Side::Import, Some(1)), None);
        assert_eq!(meant("wasi:io/poll@0.3.0", Side::Import, Some(1)), None);
    }
}
