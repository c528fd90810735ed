#![doc = include_str!("../README.md")]
//!
//! ---
//!
//! The rest of this page is the reference. [`SymbolMap`] says what compiled code is called, [`Recorder`] samples running
//! stores, [`Profile`] holds what was found, and [`export`] writes both.

mod address;
mod component;
mod debug_info;
mod error;
pub mod export;
mod external_profilers;
mod guest_profiler;
mod import;
#[cfg(feature = "pprof")]
mod live;
mod lock;
mod nanos;
mod profile;
mod sampler;
mod samples;
mod symbols;

pub use address::{CodePoint, TextOffset, WasmOffset};
pub use error::{Error, ImageProblem, Result, SignalProblem, VTuneProblem};
#[cfg(feature = "vtune")]
pub use external_profilers::VTune;
#[cfg(target_os = "linux")]
pub use external_profilers::{JitDump, PerfMap};
pub use guest_profiler::GuestProfiler;
pub use import::read_firefox;
#[cfg(feature = "pprof")]
pub use live::{PPROF_INDEX, PPROF_PATH, Scrape};
pub use profile::{
    Annotation, CallTrace, CalledFunction, CalledIndex, CalledTimes, Change, Comparison, Crossing, Dimension,
    FileIndex, Frame, FrameIndex, FunctionIndex, LabelsIndex, LibraryIndex, LineTime, MemoryGrowth, MemoryTrack,
    NO_INTERFACE, Part, Profile, ProfileFunction, ProfileLibrary, Report, ReportRow, Sample, SamplerKind, SourceLine,
    Stack, StackIndex, Thread, TracedCall,
};
pub use sampler::{
    Activation, CallTracer, EpochProbe, Instrumented, Labels, MemoryTracer, Recorder, RecorderBuilder, SamplerChoice,
    SamplingClock,
};
pub use samples::{HandlerCost, LossReason, ProfilerTime, SampleCounts, Span};
pub use symbols::{Direction, Function, FunctionKind, Layer, Library, NamedBy, SymbolMap, SymbolMapBuilder};
