//! Stage 5: names joined to samples.
//!
//! In come a [`SampleLog`](crate::samples::SampleLog) and the symbol maps of what was recorded; out goes a
//! [`Profile`]: self-contained tables of libraries, functions, frames, stacks and samples. Every index in it is in
//! range and every stack comes after its caller; exporters rely on that and look nothing up.

mod aftermath;
mod annotation;
#[cfg(test)]
pub(crate) mod arbitrary;
mod attribution;
mod calls;
mod captured;
mod comparison;
mod crossing;
mod filter;
mod hidden_code;
mod host_frames;
mod host_symbols;
mod lines;
mod memories;
mod origin;
mod report;
mod script_frames;
mod script_table;
mod symbolize;
mod tables;
mod toolchain;
mod tree;
mod unused;

pub use annotation::{Annotation, LineTime};
#[cfg(feature = "pprof")]
pub(crate) use attribution::Attribution;
pub use attribution::Part;
pub use calls::{CallTrace, CalledFunction, CalledIndex, CalledTimes, TracedCall};
pub(crate) use calls::{crossing_of, crossings_of, sum_calls};
pub use captured::{CaptureReason, Captured};
pub use comparison::{Change, Comparison};
pub use crossing::{Crossing, CrossingFilter};
pub use filter::Filter;
pub use host_frames::HostFrames;
pub(crate) use host_frames::OtherStacks;
pub(crate) use host_symbols::HostSymbols;
pub(crate) use memories::OTHER_MEMORIES;
pub use memories::{MemoryGrowth, MemoryTrack};
pub use origin::Origin;
pub use report::{Dimension, NO_INTERFACE, Report, ReportRow, UNKNOWN_INTERFACE};
#[cfg(feature = "html")]
pub(crate) use report::{PlacedRows, RowPlaces};
pub use script_frames::ScriptFrames;
pub(crate) use symbolize::{ELIDED, EVERYTHING, NamedProfile, Recording, symbolize};
pub use tables::{
    FileIndex, Frame, FrameIndex, FunctionIndex, LabelsIndex, LibraryIndex, Profile, ProfileFunction, ProfileLibrary,
    Sample, SamplerKind, SourceLine, Stack, StackIndex, Thread, TraceIndex,
};
pub(crate) use tree::{Label, Tree};
