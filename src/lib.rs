//! A profiler for WebAssembly components: it shows which WIT interface is slow, and what crossing it costs.
//!
//! This library profiles guests in a host of Wasmtime 48. The program `witprof` is made of it. [`SymbolMap`] says what
//! compiled code is called, [`Recorder`] samples running stores, [`Profile`] holds what was found, and [`export`] writes
//! it.
//!
//! ```
//! use std::{sync::Arc, time::Duration};
//! use wasmtime::{Engine, Store, component::{Component, Linker}};
//! use witprof::{Recorder, SymbolMap, export::write_firefox};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let wasm = wat::parse_str(r#"(component (core module $m (func (export "run")))
//! #     (core instance $i (instantiate $m)) (func (export "run") (canon lift (core func $i "run"))))"#)?;
//! # let engine = Engine::new(wasmtime::Config::new().epoch_interruption(!cfg!(target_os = "linux")))?;
//! # #[cfg(any())]
//! let engine = Engine::default();
//! let component = Component::new(&engine, &wasm)?;
//! let map = Arc::new(SymbolMap::builder("app").debug_info(wasm).build(&component)?);
//! let recorder = Recorder::builder(Duration::from_millis(1)).code(map, &component).start()?;
//!
//! let mut store = Store::new(&engine, ());
//! # recorder.attach(&mut store);
//! let instance = Linker::new(&engine).instantiate(&mut store, &component)?;
//! let run = instance.get_typed_func::<(), ()>(&mut store, "run")?;
//! let active = recorder.enter(); // around a future: `recorder.instrument(future).await`
//! run.call(&mut store, ())?;
//! drop(active);
//!
//! let profile = recorder.finish();
//! write_firefox(&profile, &mut std::io::sink())?;
//! # Ok(())
//! # }
//! ```
//!
//! # By task
//!
//! | you want to | use |
//! | --- | --- |
//! | name the code of a component or module | [`SymbolMap::builder`], and its [`debug_info`](SymbolMapBuilder::debug_info) for source lines |
//! | load and unload code while guests run | [`Recorder::register`], which makes a [`Registration`] |
//! | record a sync call | [`Recorder::enter`], which makes an [`Activation`] |
//! | record a future | [`Recorder::instrument`], which makes it [`Instrumented`] |
//! | tell requests apart | [`Recorder::labels`], [`Instrumented::labeled`], [`Recorder::record_span`] |
//! | count and time calls | `Recorder::trace_calls` (feature `call-hook`), [`Recorder::call_tracer`] |
//! | follow the memories of a store | [`Recorder::trace_memory`] |
//! | choose how samples are taken | [`RecorderBuilder::sampler`], [`RecorderBuilder::clock`], [`RecorderBuilder::signal`] |
//! | work without signals | [`Recorder::attach`], [`Recorder::probe`]; [`Recorder::fallback`] says why |
//! | record a service that never ends | [`RecorderBuilder::keep_last`], [`RecorderBuilder::memory_limit`] |
//! | look while it goes on | [`Recorder::snapshot`], [`Recorder::snapshot_of`]; `Recorder::scrape` (feature `pprof`) for HTTP |
//! | read the result | [`Profile::report`], [`Profile::callers`], [`Profile::annotate`], [`Comparison`] |
//! | give a tenant its own profile | [`Profile::filter`] with a [`Filter`] |
//! | write it, or read it back | [`export`], [`read_firefox`] |
//! | tell perf, samply or VTune of names | `PerfMap` and `JitDump` (Linux), `VTune` (feature `vtune`) |
//! | move over from Wasmtime's `GuestProfiler` | [`GuestProfiler`] |
//!
//! # Features
//!
//! A host turns default features off: `witprof = { version = "0.1", default-features = false }`. What is left brings no
//! command line, no executor and no WASI.
//!
//! | feature | brings |
//! | --- | --- |
//! | `call-hook` | `Recorder::trace_calls` |
//! | `html`, `pprof`, `svg` | formats that need a library of their own |
//! | `vtune` (default) | `VTune`, which tells Intel VTune of compiled code |
//! | `cli` (default) | all that only the program needs, with `call-hook`, `html`, `pprof` and `svg` |
//!
//! # Guide
//!
//! The folder `docs` of the repository has a page for each task. `docs/embedding.md` and `docs/production.md` are about
//! this library. `docs/trust.md` says what to trust and what not, `docs/costs.md` what it costs.

mod address;
mod agreed;
mod code;
mod component;
mod debug_info;
mod error;
pub mod export;
mod external_profilers;
mod firefox_format;
mod guest_profiler;
mod import;
mod interpreters;
mod lock;
mod nanos;
mod profile;
mod recording;
mod sampler;
mod samples;
mod symbols;
mod tracing;

pub use address::{CodePoint, TextOffset, WasmOffset};
pub use code::Names;
pub use component::Code;
pub use error::{Error, ImageProblem, Result, SignalProblem, VTuneProblem};
#[cfg(feature = "vtune")]
pub use external_profilers::VTune;
#[cfg(target_os = "linux")]
pub use external_profilers::{JitDump, PerfMap};
pub use guest_profiler::GuestProfiler;
pub use import::read_firefox;
pub use interpreters::InterpreterProblem;
pub use profile::{
    Annotation, CallTrace, CalledFunction, CalledIndex, CalledTimes, CaptureReason, Captured, Change, Comparison,
    Crossing, CrossingFilter, Dimension, FileIndex, Filter, Frame, FrameIndex, FunctionIndex, HostFrames, LabelsIndex,
    LibraryIndex, LineTime, MemoryGrowth, MemoryTrack, NO_INTERFACE, Origin, Part, Profile, ProfileFunction,
    ProfileLibrary, Report, ReportRow, Sample, SamplerKind, ScriptFrames, SourceLine, Stack, StackIndex, Thread,
    TraceIndex, TracedCall, UNKNOWN_INTERFACE,
};
pub use recording::{
    Activation, Captures, EpochProbe, Instrumented, Labels, Metrics, Recorder, RecorderBuilder, Registration,
    ReservedSignal, SamplerChoice, SlowCalls, Trigger,
};
#[cfg(feature = "pprof")]
pub use recording::{PPROF_INDEX, PPROF_PATH, Scrape, ScrapedProfile};
pub use sampler::SamplingClock;
pub use samples::{HandlerCost, LossReason, ProfilerTime, SampleCounts, Span, TraceContext};
#[cfg(feature = "source-maps")]
pub use symbols::SourceMap;
pub use symbols::{
    ComponentNamedBy, CrossingEnd, Direction, Ends, Function, FunctionKind, Layer, Library, NamedBy, SymbolMap,
    SymbolMapBuilder,
};
pub use tracing::{CallTracer, MemoryTracer};

/// The examples in the documentation, compiled.
#[cfg(doctest)]
mod guide {
    #[doc = include_str!("../README.md")]
    struct Readme;

    #[doc = include_str!("../docs/embedding.md")]
    struct Embedding;

    #[cfg(feature = "pprof")]
    #[doc = include_str!("../docs/production.md")]
    struct Production;
}
