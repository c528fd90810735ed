//! Stage 6: a profile, or a map, as bytes.
//!
//! Each exporter is a pure function of a [`Profile`](crate::Profile) or [`SymbolMap`](crate::SymbolMap) and a writer:
//! no clock, no path, no lookup of names, and the same bytes for the same input. One file per format, and a format's
//! library is used in that file only.

mod escape;
mod firefox;
mod map_json;
mod map_table;
mod summary;

pub use escape::{escape_control, escape_name};
pub use firefox::write_firefox;
pub use map_json::write_map_json;
pub use map_table::{MapDetail, write_map_table};
pub use summary::write_summary;
