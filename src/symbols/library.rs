//! A library of the map: one artifact of a component.

use super::ends::{CrossingEnd, Ends};
use super::function::{Direction, Layer};
use super::map::SymbolMap;

/// A set of functions that belong together: a core module, a fused adapter, an imported or an exported interface.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Library {
    /// Its name for a reader, unique among the libraries of its layer. Partly chosen by the guest: escape it.
    pub name: String,
    /// Which kind of code it holds.
    pub layer: Layer,
    /// The WIT interface it stands for.
    pub interface: Option<String>,
    /// Which way that interface is crossed.
    pub direction: Option<Direction>,
    /// The component it is a part of, for a core module and what belongs to one. Partly chosen by the guest: escape it.
    pub component: Option<String>,
    /// Which rule gave that component its name.
    pub component_named_by: Option<ComponentNamedBy>,
    /// Bytes of text.
    pub bytes: u64,
    /// Number of functions.
    pub functions: u32,
}

/// Which rule gave a component its name, best first. Where the name alone is not enough to tell it from others, the rule by
/// which it is told apart: of `math[left]` and `shop/math` what is added to `math`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum ComponentNamedBy {
    /// Its own name section, or that of the component around it.
    NameSection,
    /// What the component around it calls its instance.
    Instance,
    /// The package of what it exports.
    Package,
    /// Its core module, or the largest of several, unless that is part of a toolchain.
    CoreModule,
    /// What it alone provides: an interface, or a function.
    Provider,
    /// What the caller called it: [`SymbolMap::builder`].
    Given,
    /// The components around it.
    Path,
    /// Its position: nothing names it.
    Index,
}

impl ComponentNamedBy {
    /// The name used in the JSON map.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::NameSection => "name-section",
            Self::Instance => "instance",
            Self::Package => "package",
            Self::CoreModule => "core-module",
            Self::Provider => "provider",
            Self::Given => "given",
            Self::Path => "path",
            Self::Index => "index",
        }
    }
}

impl SymbolMap {
    /// Calls a core module that stands alone by another name. In the map of a component only the component's name changes.
    pub(crate) fn rename_module(&mut self, name: &str) {
        let old = std::mem::replace(&mut self.component, name.to_owned());
        for end in self.ends.iter_mut().flat_map(Ends::ends_mut) {
            if end.is_meant_by(&old) && *end != CrossingEnd::Host {
                *end = CrossingEnd::Component(name.to_owned());
            }
        }
        for library in &mut self.libraries {
            // `program`, `program (entry)`, `program (start-up)`.
            if let Some(rest) = library.name.strip_prefix(&old).filter(|rest| rest.is_empty() || rest.starts_with(" ("))
            {
                library.name = format!("{name}{rest}");
            }
            if library.component.as_deref() == Some(&old) {
                library.component = Some(name.to_owned());
                library.component_named_by = Some(ComponentNamedBy::Given);
            }
        }
    }
}
