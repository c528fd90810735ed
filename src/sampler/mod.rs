//! Stage 3: where a running guest is right now.
//!
//! A [`Recorder`] owns what has been seen and decides what may be seen: only code that was registered with it ever
//! appears. How it learns where a guest is, is the business of a sampler. There are two: `signal/`, which sees
//! everything, and `epoch/`, which is portable and safe. Nothing here knows a name.

mod activation;
mod builder;
mod calls;
mod clock;
mod current_task;
mod epoch;
mod labels;
mod memory;
mod own_work;
mod recorder;
mod reserved_signal;
mod run_delay;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
mod signal;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "unsupported.rs"]
mod signal;

pub use activation::{Activation, Instrumented};
pub use builder::{RecorderBuilder, SamplerChoice, SamplingClock};
pub use calls::CallTracer;
pub(crate) use calls::{crosses_interface, function_at};
pub use epoch::EpochProbe;
pub(crate) use epoch::capture;
pub use labels::Labels;
pub use memory::MemoryTracer;
pub use recorder::Recorder;
pub use reserved_signal::ReservedSignal;
