//! What the writer and the reader of Firefox profiles have to agree on: the form of our own data, and how many rows a
//! sample is. Neither of the two knows the other.

mod meta;
mod rows;

pub(crate) use self::meta::{
    META_VERSION, Meta, MetaCall, MetaCalled, MetaCalls, MetaCaptured, MetaEnd, MetaFunction, MetaLibrary, MetaMemory,
    MetaSpan,
};
pub(crate) use self::rows::{Row, all_rows, joined};
