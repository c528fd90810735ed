//! Stage 3: where a running store is right now.
//!
//! A [`Recorder`] owns what has been seen and decides what may be seen: only code that was registered with it ever
//! appears. How it learns about a store is the business of a sampler; there is one, `epoch/`, which is portable and
//! safe. Nothing here knows a name.

mod clock;
mod epoch;
mod recorder;

pub use epoch::EpochProbe;
pub use recorder::{Recorder, RecorderBuilder};
