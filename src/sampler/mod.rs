//! Where a running guest is right now, in numbers.
//!
//! There are two samplers: `signal/`, which sees everything, and `epoch/`, which is portable and safe. What they have in
//! common with tracers is here as well: what a thread does at the moment. Nothing here knows a name.

mod clock;
mod current_task;
pub(crate) mod epoch;
pub(crate) mod own_work;
mod run_delay;
mod sampling_clock;
#[cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
pub(crate) mod signal;
#[cfg(not(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64"))))]
#[path = "unsupported.rs"]
pub(crate) mod signal;
mod state;

pub(crate) use clock::thread_cpu_time;
pub(crate) use current_task::{CurrentTask, OpenCall, TaskTimes};
pub(crate) use own_work::OwnWork;
pub use sampling_clock::SamplingClock;
pub(crate) use state::RecordingState;
