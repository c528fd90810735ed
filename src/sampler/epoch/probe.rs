//! Takes a sample from inside a store's epoch callback.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::{AsContext, FrameInfo, WasmBacktrace};

use super::super::labels::Labels;
use super::super::recorder::Shared;
use crate::address::WasmOffset;
use crate::samples::{LabelsId, RawFrame, RawSample};

/// The recorder's end inside one store: call [`sample`](Self::sample) from the store's epoch callback.
///
/// Use one probe per store, because a probe remembers when its store was sampled last.
/// [`Recorder::attach`](crate::Recorder::attach) makes one and installs it, for stores that have no callback of their
/// own.
#[derive(Debug)]
pub struct EpochProbe {
    shared: Arc<Shared>,
    /// When this store was sampled last, since the recording began.
    last: Duration,
    labels: LabelsId,
}

impl EpochProbe {
    pub(in super::super) fn new(shared: Arc<Shared>) -> Self {
        let last = shared.begin_clocks();
        Self { shared, last, labels: LabelsId::default() }
    }

    /// Labels all samples of the store; see [`Recorder::labels`](crate::Recorder::labels). Labels of another recorder are
    /// none.
    #[must_use]
    pub fn labeled(mut self, labels: &Labels) -> Self {
        self.labels = labels.of(&self.shared);
        self
    }

    /// Takes a sample of the store that is running on this thread, and charges it with the time since the sample
    /// before. After the recorder has finished, this does nothing.
    pub fn sample(&mut self, store: impl AsContext) {
        if self.shared.ignores_epochs() {
            return;
        }
        // Stores that take turns on a thread must not be charged with each other's time, so time counts from the last
        // sample of this store or of any other on the thread, whichever is later.
        let clocks = self.shared.read_clocks();
        let time = clocks.now;
        let wall = time.saturating_sub(self.last.max(clocks.last));
        let cpu = clocks.cpu.min(wall);
        self.last = time;

        let store = store.as_context();
        let backtrace = WasmBacktrace::force_capture(&store);
        let frames = backtrace.frames();
        let limit = store.engine().get_wasm_backtrace_max_frames();
        let raw = |frame: &FrameInfo| {
            let module = frame.module();
            // All modules of a component share its text section, which says whose they are.
            let target = self.shared.target_of(module.text())?;
            // The first function of a module knows its static index. A module on the stack has at least one.
            let module_index = module.functions().next()?.module.as_u32();
            let instruction = frame.module_offset().and_then(|offset| u32::try_from(offset).ok());
            Some(RawFrame::Wasm {
                target,
                module: module_index,
                function: frame.func_index(),
                instruction: instruction.map(WasmOffset::new),
            })
        };
        let truncated = frames.len() >= limit;
        let mut outermost_first = frames.iter().rev().map(raw).peekable();
        // A stack whose beginning is unknown must not be taken for one that begins where it can be seen.
        let hidden = truncated || outermost_first.peek().is_some_and(Option::is_none);
        let visible: Vec<RawFrame> = outermost_first.flatten().collect();
        let unknown = (hidden && !visible.is_empty()).then_some(RawFrame::UnknownCallers);
        self.shared
            .record(RawSample { time, wall, cpu, truncated, labels: self.labels }, unknown.into_iter().chain(visible));
    }
}
