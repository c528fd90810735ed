//! What guests call, and how large their memories are: from hooks of Wasmtime's, beside samples.
//!
//! What is recorded are numbers. Of names, tracers ask one thing only: of what kind a function is.

mod calls;
mod chosen;
mod memory;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock};
use std::time::Instant;

pub use calls::CallTracer;
pub(crate) use chosen::{AwaitedCall, IsMeant, KeptCalls};
pub use memory::MemoryTracer;

use crate::code::Registry;
use crate::lock::lock;
use crate::nanos::nanos;
use crate::sampler::RecordingState;
use crate::sampler::signal::{CallerFinder, CallerWays};
use crate::samples::{CallLog, MemoryLog, ScriptFunctions};

/// What the tracers of all stores of a recording have in common.
#[derive(Debug)]
pub(crate) struct Tracing {
    pub(crate) state: Arc<RecordingState>,
    pub(crate) code: Arc<Registry>,
    /// What finders of callers have in common; nothing where stacks cannot be read.
    pub(crate) ways: Option<Arc<CallerWays>>,
    /// When the recording began.
    start: Instant,
    /// Reading of the tracers' clock at that time.
    base: u64,
    /// Whether the CPU time of calls is wanted, too.
    pub(crate) with_cpu: bool,
    /// Whether somebody else than signals has to be told what a hook takes.
    tells_own_work: bool,
    /// Whether calls of any store are traced.
    traces_calls: AtomicBool,
    /// Which of them are kept one by one.
    kept_calls: KeptCalls,
    /// With which the recording begins, should it wait for one.
    awaited: OnceLock<AwaitedCall>,
    pub(crate) calls: Arc<CallLog>,
    pub(crate) memories: Mutex<MemoryLog>,
}

impl Tracing {
    /// For a recording that began at `start`.
    pub(crate) fn new(
        state: &Arc<RecordingState>,
        code: &Arc<Registry>,
        ways: Option<CallerWays>,
        (memories, kept_calls): (MemoryLog, KeptCalls),
        start: Instant,
        (with_cpu, tells_own_work): (bool, bool),
    ) -> Self {
        Self {
            state: Arc::clone(state),
            code: Arc::clone(code),
            ways: ways.map(Arc::new),
            start,
            base: CallerFinder::time().saturating_sub(nanos(start.elapsed())),
            with_cpu,
            tells_own_work,
            traces_calls: AtomicBool::new(false),
            kept_calls,
            awaited: OnceLock::new(),
            calls: Arc::new(CallLog::new()),
            memories: Mutex::new(memories),
        }
    }

    /// Begins the recording, which is paused, with some call. `false` if it waits for another one already.
    pub(crate) fn await_call(&self, call: AwaitedCall) -> bool {
        self.awaited.set(call).is_ok()
    }

    /// Whether calls of any store are, or were, traced.
    pub(crate) fn traces_calls(&self) -> bool {
        self.traces_calls.load(Ordering::Relaxed)
    }

    /// The functions of scripts that tracers were the first to meet.
    pub(crate) fn script_functions(&self) -> ScriptFunctions {
        self.ways.as_ref().map_or_else(ScriptFunctions::default, |ways| ways.script_functions())
    }

    /// The components and modules that what was recorded refers to, some more than once.
    pub(crate) fn targets(&self) -> Vec<u32> {
        let mut targets = self.calls.targets();
        targets.extend(lock(&self.memories).targets());
        targets
    }
}
