//! Where a guest is, by Wasmtime's own backtrace.

use std::sync::Arc;

use wasmtime::{AsContext, FrameInfo, Module, WasmBacktrace};

use crate::address::WasmOffset;
use crate::code::CodeTable;
use crate::sampler::signal::{Beginning, CallerFinder, CallerWays};
use crate::samples::RawFrame;

/// The stack of a store that runs on this thread, as far as it may be seen.
pub(crate) struct CapturedStack {
    /// Empty if nothing may be seen.
    pub(crate) outermost_first: Vec<RawFrame>,
    /// Whether outermost frames are missing.
    pub(crate) truncated: bool,
}

/// The frames that a backtrace keeps of an engine for which `Config::wasm_backtrace_max_frames` is `None`.
const DEFAULT_MAX_FRAMES: usize = 20;

/// Takes a backtrace of `store`. `target_of` tells the target of a module, by its static index, if it may be seen. For
/// epoch callbacks only: in a call hook, Wasmtime's unwinder may panic.
pub(crate) fn capture(store: impl AsContext, target_of: impl Fn(&Module, u32) -> Option<u32>) -> CapturedStack {
    let store = store.as_context();
    let backtrace = WasmBacktrace::force_capture(&store);
    let frames = backtrace.frames();
    let limit = match store.engine().get_wasm_backtrace_max_frames() {
        0 => DEFAULT_MAX_FRAMES,
        limit => limit,
    };
    let raw = |frame: &FrameInfo| {
        let module = frame.module();
        // The first function of a module knows its static index. A module on the stack has at least one.
        let index = module.functions().next()?.module.as_u32();
        let target = target_of(module, index)?;
        let instruction = frame.module_offset().and_then(|offset| u32::try_from(offset).ok());
        Some(RawFrame::Wasm {
            target,
            module: index,
            function: frame.func_index(),
            instruction: instruction.map(WasmOffset::new),
        })
    };
    let truncated = frames.len() >= limit;
    let mut outermost_first = frames.iter().rev().map(raw).peekable();
    // A stack whose beginning is unknown must not be taken for one that begins where it can be seen.
    let hidden = truncated || outermost_first.peek().is_some_and(Option::is_none);
    let mut visible: Vec<RawFrame> = outermost_first.flatten().collect();
    if hidden && !visible.is_empty() {
        visible.insert(0, RawFrame::UnknownCallers);
    }
    CapturedStack { outermost_first: visible, truncated }
}

impl CapturedStack {
    /// Puts the functions of scripts where their interpreters are on the stack.
    pub(crate) fn insert_scripts(&mut self, code: &CodeTable, ways: &Arc<CallerWays>) {
        let is_evaluator = |frame: &RawFrame| match *frame {
            RawFrame::Wasm { target, module, function, .. } => code.has_evaluator(target, module, function),
            _ => false,
        };
        if !self.outermost_first.iter().any(is_evaluator) {
            return;
        }
        let mut runs = scripts_of_runs(ways).into_iter();
        // Both have the innermost run; which is the outermost one that they have may differ.
        for at in (0..self.outermost_first.len()).rev() {
            if is_evaluator(&self.outermost_first[at]) {
                let Some(scripts) = runs.next() else { return };
                self.outermost_first.splice(at + 1..at + 1, scripts);
            }
        }
    }
}

/// What each interpreter on the stack of this thread runs, innermost first; each outermost function first.
// Not inlined: its frame is where the way to the guest begins.
#[inline(never)]
fn scripts_of_runs(ways: &Arc<CallerWays>) -> Vec<Vec<RawFrame>> {
    let here = CallerFinder::here();
    let mut finder = CallerFinder::new(Arc::clone(ways), Beginning::EpochCallback);
    finder.scripts(here)
}
