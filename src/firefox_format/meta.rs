//! What the Firefox format has no place for: an object of our own in its `meta`.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::profile::Origin;

/// The number of this form of the object. Readers read the older ones, and refuse newer ones.
pub(crate) const META_VERSION: u32 = 2;

/// What is written as `meta.witprof`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Meta {
    /// Comes first, because a reader has to know it before the rest.
    #[serde(default)]
    pub(crate) version: u32,
    pub(crate) sampler: String,
    pub(crate) interval_ns: u64,
    pub(crate) elapsed_ns: u64,
    /// Since 1970; `meta.startTime` is rounded.
    #[serde(default)]
    pub(crate) started_ns: Option<u64>,
    #[serde(default)]
    pub(crate) origin: Origin,
    pub(crate) taken: u64,
    pub(crate) kept: u64,
    pub(crate) truncated: u64,
    pub(crate) lost: BTreeMap<String, u64>,
    /// Ticks of the handler, median and 99 of 100, and ticks per second.
    pub(crate) handler: Option<(u64, u64, f64)>,
    /// The profiler's own work: samples, wall-clock time, CPU time.
    #[serde(default)]
    pub(crate) profiler: (u64, u64, u64),
    /// By `tid`, which counts from 1: their names. Tracks with greater `tid`s have the samples of these threads again, in the same
    /// order: first all by interface; then, since form 2, all with complete stacks, if those of the first are not.
    pub(crate) threads: Vec<String>,
    /// Sets of labels: keys and values. The first is empty.
    #[serde(default)]
    pub(crate) labels: Vec<Vec<(String, String)>>,
    /// By thread: how many rows after each other have which set of labels; those after these have none.
    #[serde(default)]
    pub(crate) sample_labels: Vec<Vec<(u64, u32)>>,
    /// Places in traces: numbers of trace and span, in hexadecimal digits.
    #[serde(default)]
    pub(crate) traces: Vec<(String, String)>,
    /// By thread: how many rows after each other are of which place in a trace, counted from 1 on; 0 is none, and those after these
    /// have none.
    #[serde(default)]
    pub(crate) sample_traces: Vec<Vec<(u64, u32)>>,
    /// The same for how many samples a row stands for, if not one.
    #[serde(default)]
    pub(crate) sample_counts: Vec<Vec<(u64, u64)>>,
    /// The same for how many nanoseconds a row stands for in which the thread was ready to run and had no CPU, if not none.
    /// Nothing if that is not known.
    #[serde(default)]
    pub(crate) sample_preempted: Option<Vec<Vec<(u64, u64)>>>,
    #[serde(default)]
    pub(crate) calls: Option<MetaCalls>,
    #[serde(default)]
    pub(crate) memories: Vec<MetaMemory>,
    /// Growths of memories: position in `memories`, time, bytes before and after.
    #[serde(default)]
    pub(crate) growths: Vec<(usize, u64, u64, u64)>,
    #[serde(default)]
    pub(crate) spans: Vec<MetaSpan>,
    #[serde(default)]
    pub(crate) spans_left_out: u64,
    #[serde(default)]
    pub(crate) captured: Option<MetaCaptured>,
    /// Where frames are in the WebAssembly binary: position in `libraries`, address, offset.
    #[serde(default)]
    pub(crate) instructions: Vec<(u32, u32, u32)>,
    #[serde(default)]
    pub(crate) missing_lines: Vec<String>,
    pub(crate) strings: Vec<String>,
    pub(crate) libraries: Vec<MetaLibrary>,
    pub(crate) functions: Vec<MetaFunction>,
    /// From where to where functions cross, if that is known: position in `functions`, who calls, who is called.
    #[serde(default)]
    pub(crate) function_ends: Vec<(u32, Option<MetaEnd>, Option<MetaEnd>)>,
}

/// Who calls, or who is called.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum MetaEnd {
    Host,
    /// Position of its name in `strings`.
    Component(u32),
}

/// More about a library.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaLibrary {
    /// Its `breakpadId`.
    pub(crate) id: String,
    pub(crate) layer: String,
    pub(crate) component: Option<String>,
}

/// More about a function: position in `libraries`, address, kind, and positions in `strings` of interface and function,
/// and the direction.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaFunction(
    pub(crate) u32,
    pub(crate) u32,
    pub(crate) String,
    pub(crate) Option<u32>,
    pub(crate) Option<u32>,
    pub(crate) Option<String>,
);

/// Calls across interfaces. Times are in nanoseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaCalls {
    pub(crate) functions: Vec<MetaCalled>,
    pub(crate) kept: Vec<MetaCall>,
    pub(crate) unnamed: u64,
}

/// All calls of one function.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaCalled {
    pub(crate) interface: String,
    pub(crate) function: String,
    pub(crate) direction: String,
    pub(crate) count: u64,
    /// If they are known: wall-clock time, time suspended, CPU time, p50, p90, p99, and the longest.
    pub(crate) times: Option<(u64, u64, Option<u64>, [u64; 4])>,
}

/// A call: position in [`MetaCalls::functions`], position of the thread, begin, length, time suspended, CPU time.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaCall(
    pub(crate) u32,
    pub(crate) Option<usize>,
    pub(crate) u64,
    pub(crate) u64,
    pub(crate) u64,
    pub(crate) Option<u64>,
);

/// What it was captured for.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaCaptured {
    pub(crate) reason: String,
    /// The limit that was exceeded, in nanoseconds.
    pub(crate) limit_ns: Option<u64>,
    /// What was said by who asked for it.
    pub(crate) said: Option<String>,
    pub(crate) span: Option<MetaSpan>,
    /// Position in `threads`.
    pub(crate) thread: Option<usize>,
    pub(crate) left_out: u64,
}

/// A span: name, detail, begin, length, CPU time, path, and whether it failed.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaSpan(
    pub(crate) String,
    pub(crate) Option<String>,
    pub(crate) u64,
    pub(crate) u64,
    pub(crate) Option<u64>,
    // Not there in older files.
    #[serde(default)] pub(crate) Option<String>,
    #[serde(default)] pub(crate) bool,
);

/// A memory: name, peak, growths, and its points.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct MetaMemory(pub(crate) String, pub(crate) u64, pub(crate) u64, pub(crate) Vec<(u64, u64)>);
