//! When a guest is active: around a call, or around each poll of a future.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use pin_project_lite::pin_project;

use super::labels::Labels;
use super::shared::Shared;
use crate::sampler::TaskTimes;
use crate::sampler::signal::{Entered, Instrumentation, SignalSampler};
use crate::samples::{LabelsId, LabelsInUse};

/// A guest is active on this thread while this exists. Made by [`Recorder::enter`](crate::Recorder::enter).
///
/// Stays on its thread. Must not be held across an `await`: what other tasks do on the thread meanwhile would be
/// recorded, too.
#[derive(Debug)]
#[must_use = "nothing is recorded after it is dropped"]
pub struct Activation {
    _entered: Option<Entered>,
    /// Their number means something for as long as samples may be taken with it.
    _labels: Option<Arc<LabelsInUse>>,
}

impl Activation {
    pub(crate) fn new(sampler: Option<&SignalSampler>, labels: Option<Arc<LabelsInUse>>) -> Self {
        let id = labels.as_ref().map_or(LabelsId::NONE, |labels| labels.id());
        Self { _entered: sampler.and_then(|sampler| sampler.enter(id)), _labels: labels }
    }
}

pin_project! {
    /// A future that is recorded. Made by [`Recorder::instrument`](crate::Recorder::instrument).
    #[derive(Debug)]
    #[must_use = "futures do nothing unless polled"]
    pub struct Instrumented<F> {
        #[pin]
        future: F,
        instrumentation: Instrumentation,
        times: TaskTimes,
        shared: Arc<Shared>,
    }

    impl<F> PinnedDrop for Instrumented<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            if let Some(sampler) = &this.shared.signal {
                this.instrumentation.dropped(sampler);
            }
        }
    }
}

impl<F> Instrumented<F> {
    pub(crate) fn new(future: F, shared: Arc<Shared>) -> Self {
        Self { future, instrumentation: Instrumentation::default(), times: TaskTimes::default(), shared }
    }

    /// Labels what is recorded of the future, by either sampler; see [`Recorder::labels`](crate::Recorder::labels).
    /// Labels of another recorder are none.
    pub fn labeled(mut self, labels: &Labels) -> Self {
        self.instrumentation.labels = labels.of(&self.shared);
        self
    }
}

impl<F: Future> Future for Instrumented<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let (shared, future, instrumentation) = (&*this.shared, this.future, this.instrumentation);
        let labels = instrumentation.labels_id();
        let poll = || match &shared.signal {
            Some(sampler) => instrumentation.poll(sampler, context, |context| future.poll(context)),
            None => future.poll(context),
        };
        let result = this.times.during(shared.tracing.with_cpu, (labels, Arc::as_ptr(this.shared).addr()), poll);
        // Whoever counts calls wants to know how long the task waited meanwhile. Nobody else is to pay for a clock.
        if shared.tracing.traces_calls() {
            this.times.suspend();
        }
        result
    }
}
