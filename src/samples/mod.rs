//! Stage 4: raw stacks, deduplicated, per thread.
//!
//! A [`SampleLog`] takes what a sampler saw, in numbers only, and keeps it small: each distinct stack is stored once,
//! and the [`Timeline`](timeline::Timeline) of a thread coalesces when it grows past its limit, so that a recording
//! of any length needs memory for its distinct stacks and a bounded timeline, not for its samples. What could not be
//! kept is counted by [`LossReason`]: `taken == kept + lost`, always.

mod calls;
mod host_calls;
mod host_place;
mod labels;
mod log;
mod memories;
mod selection;
mod spans;
mod stack_table;
mod timeline;

pub(crate) use calls::{CallLog, CallSite, CallSums, CallTimes, Called, CountedCalls, CrossingCount};
pub(crate) use host_calls::HostCalls;
pub(crate) use host_place::HostPlace;
pub(crate) use labels::{LabelSet, LabelsId};
pub use log::{HandlerCost, LossReason, ProfilerTime, SampleCounts};
pub(crate) use log::{RawSample, Retention, SampleLog, Taken, ThreadIdentity, Track, Window};
pub(crate) use memories::{Growth, MemoryKey, MemoryLog};
pub(crate) use selection::Selection;
pub use spans::Span;
pub(crate) use stack_table::{RawFrame, StackId};
pub(crate) use timeline::Entry;
