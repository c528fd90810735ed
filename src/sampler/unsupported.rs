//! Stands in for the signal sampler where there is none.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use super::SamplingClock;
use crate::component::CompiledCode;
use crate::error::SignalProblem;
use crate::profile::HostPlace;
use crate::samples::{CallSite, LabelsId, SampleLog};

pub(super) const IS_SUPPORTED: bool = false;

#[allow(dead_code, reason = "read where there is a signal sampler")]
#[derive(Clone, Copy, Debug)]
pub(super) struct SignalOptions {
    pub(super) clock: SamplingClock,
    pub(super) signal: Option<i32>,
    pub(super) show_host: bool,
    pub(super) interval: Duration,
}

/// There is none.
#[derive(Debug)]
pub(super) enum Reservation {}

impl Reservation {
    pub(super) fn new(_: Option<i32>, _: SamplingClock) -> Result<Self, SignalProblem> {
        Err(SignalProblem::Platform)
    }

    pub(super) fn signal(&self) -> i32 {
        match *self {}
    }

    pub(super) fn instead(&self) -> Option<&SignalProblem> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(super) enum SignalSampler {}

impl SignalSampler {
    pub(super) fn start(
        _: SignalOptions,
        _: Vec<CompiledCode>,
        _: Arc<Mutex<SampleLog>>,
    ) -> Result<Self, SignalProblem> {
        Err(SignalProblem::Platform)
    }

    pub(super) fn enter(&self, _: LabelsId) -> Option<Entered> {
        match *self {}
    }

    pub(super) fn stop(&self, _: &Mutex<SampleLog>) {
        match *self {}
    }

    pub(super) fn pause(&self) {
        match *self {}
    }

    pub(super) fn resume(&self) {
        match *self {}
    }

    pub(super) fn collect(&self, _: &Mutex<SampleLog>) {
        match *self {}
    }

    pub(super) fn signal(&self) -> i32 {
        match *self {}
    }

    pub(super) fn refused(&self) -> Option<&SignalProblem> {
        match *self {}
    }

    pub(super) fn host_place(&self, _: u64) -> Option<HostPlace> {
        match *self {}
    }
}

/// There is none.
#[derive(Debug)]
pub(super) enum Entered {}

/// What is known of one task: nothing.
#[derive(Debug, Default)]
pub(super) struct Instrumentation {
    pub(super) labels: LabelsId,
}

impl Instrumentation {
    pub(super) fn poll<R>(
        &mut self,
        sampler: &SignalSampler,
        _: &Mutex<SampleLog>,
        _: &mut Context<'_>,
        _: impl FnOnce(&mut Context<'_>) -> Poll<R>,
    ) -> Poll<R> {
        match *sampler {}
    }

    pub(super) fn dropped(&mut self, sampler: &SignalSampler, _: &Mutex<SampleLog>) {
        match *sampler {}
    }
}

/// There is none.
#[derive(Debug)]
pub(super) enum CallScene {}

impl CallScene {
    pub(super) fn new(_: Vec<CompiledCode>) -> Option<Self> {
        None
    }
}

/// What would ask who called.
#[derive(Clone, Copy, Debug)]
pub(super) enum Beginning {
    CallHook,
    Limiter,
}

/// A register file that is not looked at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Registers {
    pub(super) sp: u64,
}

/// There is none.
#[derive(Clone, Copy, Debug)]
pub(super) struct Caller {
    pub(super) site: CallSite,
    pub(super) number: u32,
}

/// What a caller would be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Meaning {
    Call,
    Note,
    Nothing,
}

/// There is none.
#[derive(Debug)]
pub(super) struct CallerFinder(Arc<CallScene>);

impl CallerFinder {
    pub(super) fn new(scene: Arc<CallScene>, _: Beginning) -> Self {
        Self(scene)
    }

    pub(super) fn here() -> Registers {
        Registers { sp: 0 }
    }

    pub(super) fn time() -> u64 {
        0
    }

    pub(super) fn now(&mut self) -> u64 {
        match *self.0 {}
    }

    pub(super) fn find(&mut self, _: Registers) -> Option<Caller> {
        match *self.0 {}
    }

    pub(super) fn expected(&self) -> Meaning {
        match *self.0 {}
    }

    pub(super) fn finds_nothing(&mut self, _: Registers) -> bool {
        match *self.0 {}
    }

    pub(super) fn means(&mut self, _: Meaning) {
        match *self.0 {}
    }

    pub(super) fn return_address_of(&self, _: Caller, _: Registers) -> u64 {
        match *self.0 {}
    }

    pub(super) fn site(&self, _: u64) -> Option<CallSite> {
        match *self.0 {}
    }

    pub(super) fn caller_of(&self, _: Caller, _: Registers) -> Option<CallSite> {
        match *self.0 {}
    }

    pub(super) fn stack(&mut self, _: Registers) -> Vec<CallSite> {
        match *self.0 {}
    }

    pub(super) fn about_to_enter(&mut self, _: Registers) -> Option<CallSite> {
        match *self.0 {}
    }

    pub(super) fn entry_of(&self, _: Caller, _: Registers) -> CallSite {
        match *self.0 {}
    }
}
