//! Stands in for the signal sampler where there is none.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::{RecordingState, SamplingClock};
use crate::code::CodeTable;
use crate::error::SignalProblem;
use crate::interpreters::InterpreterProblem;
use crate::samples::{CallSite, HostPlace, LabelsId, LabelsInUse, RawFrame, SampleLog, ScriptFunctions};

pub(crate) const IS_SUPPORTED: bool = false;

#[allow(dead_code, reason = "read where there is a signal sampler")]
#[derive(Clone, Copy, Debug)]
pub(crate) struct SignalOptions {
    pub(crate) clock: SamplingClock,
    pub(crate) signal: Option<i32>,
    pub(crate) show_host: bool,
    pub(crate) interval: Duration,
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Reservation {}

impl Reservation {
    pub(crate) fn new(_: Option<i32>, _: SamplingClock) -> Result<Self, SignalProblem> {
        Err(SignalProblem::Platform)
    }

    pub(crate) fn signal(&self) -> i32 {
        match *self {}
    }

    pub(crate) fn instead(&self) -> Option<&SignalProblem> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum SignalSampler {}

impl SignalSampler {
    pub(crate) fn start(
        _: SignalOptions,
        _: &Arc<Scenes>,
        _: &Arc<RecordingState>,
        _: Arc<Mutex<SampleLog>>,
        _: impl FnMut(&Round<'_>) -> bool + Send + 'static,
    ) -> Result<Self, SignalProblem> {
        Err(SignalProblem::Platform)
    }

    pub(crate) fn enter(&self, _: LabelsId) -> Option<Entered> {
        match *self {}
    }

    pub(crate) fn stop(&self, _: &Mutex<SampleLog>) {
        match *self {}
    }

    pub(crate) fn resumed(&self) {
        match *self {}
    }

    pub(crate) fn let_go(&self) {
        match *self {}
    }

    pub(crate) fn wake_collector(&self) {
        match *self {}
    }

    pub(crate) fn collect(&self, _: &Mutex<SampleLog>) {
        match *self {}
    }

    pub(crate) fn is_here(&self) -> bool {
        match *self {}
    }

    pub(crate) fn signal(&self) -> i32 {
        match *self {}
    }

    pub(crate) fn refused(&self) -> Option<&SignalProblem> {
        match *self {}
    }
}

/// What nobody looks at.
#[derive(Debug)]
pub(crate) struct Scenes;

impl Scenes {
    pub(crate) fn new(_: Arc<CodeTable>) -> Self {
        Self
    }

    pub(crate) fn publish(&self, _: &Arc<CodeTable>, _: Option<u32>) {}

    pub(crate) fn let_go_at_once(&self) {}

    pub(crate) fn unread_interpreter(&self) -> Option<InterpreterProblem> {
        None
    }

    pub(crate) fn host_place(&self, _: u64) -> Option<HostPlace> {
        None
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) struct Round<'c>(Entered, std::marker::PhantomData<&'c ()>);

impl Round<'_> {
    pub(crate) fn is_complete(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn handlers_are_idle(&self) -> bool {
        match self.0 {}
    }

    pub(crate) fn collect_during(&self, _: &(dyn Fn() + Sync)) {
        match self.0 {}
    }

    pub(crate) fn targets_of_tasks(&self) -> FxHashSet<u32> {
        match self.0 {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum Entered {}

/// What is known of one task: nothing.
#[derive(Debug, Default)]
pub(crate) struct Instrumentation {
    pub(crate) labels: Option<Arc<LabelsInUse>>,
}

impl Instrumentation {
    pub(crate) fn labels_id(&self) -> LabelsId {
        self.labels.as_ref().map_or(LabelsId::NONE, |labels| labels.id())
    }

    pub(crate) fn poll<R>(
        &mut self,
        sampler: &SignalSampler,
        _: &mut Context<'_>,
        _: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        match *sampler {}
    }

    pub(crate) fn dropped(&mut self, sampler: &SignalSampler) {
        match *sampler {}
    }
}

/// There is none.
#[derive(Debug)]
pub(crate) enum CallerWays {}

impl CallerWays {
    pub(crate) fn new(_: &Arc<Scenes>) -> Option<Self> {
        None
    }

    pub(crate) fn script_functions(&self) -> ScriptFunctions {
        match *self {}
    }
}

/// What would ask who called.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Beginning {
    CallHook,
    Limiter,
    EpochCallback,
}

/// A register file that is not looked at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Registers {
    pub(crate) sp: u64,
}

/// There is none.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub(crate) site: CallSite,
    pub(crate) number: u32,
}

/// What a caller would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    Call,
    Note,
    Nothing,
}

/// There is none.
#[derive(Debug)]
pub(crate) struct CallerFinder(Arc<CallerWays>);

impl CallerFinder {
    pub(crate) fn new(ways: Arc<CallerWays>, _: Beginning) -> Self {
        Self(ways)
    }

    pub(crate) fn look(&mut self) -> bool {
        match *self.0 {}
    }

    pub(crate) fn here() -> Registers {
        Registers { sp: 0 }
    }

    pub(crate) fn time() -> u64 {
        0
    }

    pub(crate) fn now(&mut self) -> u64 {
        match *self.0 {}
    }

    pub(crate) fn find(&mut self, _: Registers) -> Option<Caller> {
        match *self.0 {}
    }

    pub(crate) fn expected(&self) -> Meaning {
        match *self.0 {}
    }

    pub(crate) fn finds_nothing(&mut self, _: Registers) -> bool {
        match *self.0 {}
    }

    pub(crate) fn means(&mut self, _: Meaning) {
        match *self.0 {}
    }

    pub(crate) fn return_address_of(&self, _: Caller, _: Registers) -> u64 {
        match *self.0 {}
    }

    pub(crate) fn site(&self, _: u64) -> Option<CallSite> {
        match *self.0 {}
    }

    pub(crate) fn caller_of(&self, _: Caller, _: Registers) -> Option<CallSite> {
        match *self.0 {}
    }

    pub(crate) fn stack(&mut self, _: Registers) -> Vec<RawFrame> {
        match *self.0 {}
    }

    pub(crate) fn scripts(&mut self, _: Registers) -> Vec<Vec<RawFrame>> {
        match *self.0 {}
    }

    pub(crate) fn about_to_enter(&mut self, _: Registers) -> Option<CallSite> {
        match *self.0 {}
    }

    pub(crate) fn entry_of(&self, _: Caller, _: Registers) -> CallSite {
        match *self.0 {}
    }
}
