#![doc = include_str!("../README.md")]
//!
//! ---
//!
//! The rest of this page is the reference. [`SymbolMap`] says what compiled code is called, [`Recorder`] samples running
//! stores, [`Profile`] holds what was found, and [`export`] writes both.

mod address;
mod component;
mod error;
pub mod export;
mod profile;
mod sampler;
mod samples;
mod symbols;

pub use address::{CodePoint, TextOffset, WasmOffset};
pub use error::{Error, ImageProblem, Result};
pub use profile::{
    Frame, FrameIndex, FunctionIndex, FunctionTotal, LibraryIndex, Profile, ProfileFunction, ProfileLibrary, Sample,
    Stack, StackIndex, Thread,
};
pub use sampler::{EpochProbe, Recorder, RecorderBuilder};
pub use samples::{LossReason, SampleCounts};
pub use symbols::{Direction, Function, FunctionKind, Layer, Library, NamedBy, SymbolMap, SymbolMapBuilder};
