//! Stage 2: what a human calls it.
//!
//! In come the [`Artifacts`](crate::component::Artifacts) of a compiled component and, where there are any, the bytes
//! it was compiled from. Out goes a [`SymbolMap`]: an owned, immutable table from text offset to function, with the
//! layer, library, WIT interface and direction of each, and the rule that named it.
//!
//! A name is never invented. Where the best source is missing, the next one is used, and [`NamedBy`] says which.

mod component_names;
mod ends;
mod function;
mod host_imports;
mod interfaces;
mod library;
mod map;
mod name_table;
mod namer;
#[cfg(feature = "source-maps")]
mod source_map;
mod toolchain;
mod wit_name;
mod wit_signatures;

pub use ends::{CrossingEnd, Ends};
pub(crate) use function::demangle;
pub use function::{Direction, Function, FunctionKind, Layer, NamedBy};
pub(crate) use host_imports::{BY_SIGNATURE, HostImport};
pub use library::{ComponentNamedBy, Library};
pub(crate) use map::{FunctionId, LibraryId};
pub use map::{SymbolMap, SymbolMapBuilder};
#[cfg(feature = "source-maps")]
pub use source_map::SourceMap;
pub(crate) use toolchain::is_toolchain_module;
