//! A library of the map: one artifact of a component.

use super::function::{Direction, Layer};

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
