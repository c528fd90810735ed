//! Sampling by epoch interruption: portable, without unsafe code, and biased.
//!
//! Wasmtime's compiler puts a check of the engine's epoch at every function entry and loop header. A
//! [`Ticker`](ticker::Ticker) thread advances the epoch once per interval, the next check calls back, and the callback
//! takes a backtrace.
//!
//! What it cannot see: host code, trampolines, and guest code between two checks. Time spent there is not lost, it is
//! charged to the check that follows: every sample carries the time since the one before. A long call of a host
//! function therefore appears at the next function entry or loop header that its caller reaches.
//!
//! What must not be done here: taking a backtrace in a call hook. At Wasmtime 48 hooks also fire inside library calls,
//! where the unwinder asserts; a backtrace in the epoch callback never did.

mod backtrace;
mod sampler;
mod thread_clocks;
mod ticker;

pub(crate) use backtrace::capture;
pub(crate) use sampler::EpochSampler;
pub(crate) use ticker::Ticker;
