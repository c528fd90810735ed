//! Stands in for the signal sampler where there is none.

use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use super::SamplingClock;
use crate::component::CompiledCode;
use crate::error::SignalProblem;
use crate::profile::HostPlace;
use crate::samples::{LabelsId, SampleLog};

pub(super) const IS_SUPPORTED: bool = false;

pub(super) const DEFAULT_SIGNAL: i32 = 27;

#[allow(dead_code, reason = "read where there is a signal sampler")]
#[derive(Clone, Copy, Debug)]
pub(super) struct SignalOptions {
    pub(super) clock: SamplingClock,
    pub(super) signal: i32,
    pub(super) show_host: bool,
    pub(super) interval: Duration,
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
