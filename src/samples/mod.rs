//! Stage 4: raw stacks, deduplicated, per thread.
//!
//! A [`SampleLog`] takes what a sampler saw, in numbers only, and keeps it small: each distinct stack is stored once,
//! and the [`Timeline`](timeline::Timeline) of a thread coalesces when it grows past its limit, so that a recording
//! of any length needs memory for its distinct stacks and a bounded timeline, not for its samples. What could not be
//! kept is counted by [`LossReason`]: `taken == kept + lost`, always.
//!
//! A log consists of [`Window`]s, of which only the last one grows, and these of vectors of which only the tail does
//! ([`AppendVec`](append_vec::AppendVec)). So it can be looked at without disturbing anybody: [`SampleLog::freeze`] shares
//! what does not change any more, and a [`FrozenLog`] stays as it is.

mod append_vec;
mod calls;
mod frozen;
mod host_calls;
mod host_place;
mod labels;
mod log;
mod memories;
mod scripts;
mod selection;
mod spans;
mod stack_table;
mod timeline;
mod window;

pub(crate) use calls::{CallLog, CallSite, CallSums, CallTimes, Called, CountedCalls, CrossingCount};
pub(crate) use frozen::FrozenLog;
pub(crate) use host_calls::HostCalls;
pub(crate) use host_place::HostPlace;
pub use labels::TraceContext;
pub(crate) use labels::{LabelRegistry, LabelSet, LabelSetId, LabelsId, LabelsInUse, Purpose, Request};
pub use log::{HandlerCost, LossReason, ProfilerTime, SampleCounts};
pub(crate) use log::{RawSample, Retention, SampleLog, Taken, ThreadIdentity, with_log};
pub(crate) use memories::{Growth, MemoryKey, MemoryLog};
pub(crate) use scripts::{ScriptFunction, ScriptFunctions};
pub use spans::Span;
pub(crate) use stack_table::{FrameId, RawFrame, StackId};
pub(crate) use timeline::Entry;
pub(crate) use window::{Track, Window};
