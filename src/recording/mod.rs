//! A recording: what may be seen, when a guest is active, and what has been seen until now.
//!
//! The [`Recorder`] is the only one that knows both those who record (`sampler/`, `tracing/`) and those who name what was
//! recorded (`profile/`).

mod activation;
mod builder;
mod capture;
mod chosen_calls;
mod labels;
mod metrics;
mod probe;
mod recorder;
mod registration;
mod reserved_signal;
mod retirement;
#[cfg(feature = "pprof")]
mod scrape;
mod shared;

pub use activation::{Activation, Instrumented};
pub use builder::{RecorderBuilder, SamplerChoice};
pub use capture::{Captures, Trigger};
pub use chosen_calls::SlowCalls;
pub use labels::Labels;
pub use metrics::Metrics;
pub use probe::EpochProbe;
pub use recorder::Recorder;
pub use registration::Registration;
pub use reserved_signal::ReservedSignal;
#[cfg(feature = "pprof")]
pub use scrape::{PPROF_INDEX, PPROF_PATH, Scrape, ScrapedProfile};
