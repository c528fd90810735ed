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
    /// Bytes of text.
    pub bytes: u64,
    /// Number of functions.
    pub functions: u32,
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
            }
        }
    }
}
