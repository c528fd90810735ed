//! A recording: what may be seen, when a guest is active, and what has been seen until now.
//!
//! The [`Recorder`] is the only one that knows both those who record (`sampler/`, `tracing/`) and those who name what was
//! recorded (`profile/`).

mod activation;
mod builder;
mod labels;
mod probe;
mod recorder;
mod reserved_signal;
#[cfg(feature = "pprof")]
mod scrape;

pub use activation::{Activation, Instrumented};
pub use builder::{RecorderBuilder, SamplerChoice};
pub use labels::Labels;
pub use probe::EpochProbe;
pub use recorder::Recorder;
pub(crate) use recorder::Shared;
pub use reserved_signal::ReservedSignal;
#[cfg(feature = "pprof")]
pub use scrape::{PPROF_INDEX, PPROF_PATH, Scrape};
