//! Takes a sample from inside a store's epoch callback.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::AsContext;

use super::labels::Labels;
use super::shared::Shared;
use crate::sampler::CurrentTask;
use crate::samples::{LabelsId, LabelsInUse};

/// The recorder's end inside one store: call [`sample`](Self::sample) from the store's epoch callback.
///
/// Use one probe per store, because a probe remembers when its store was sampled last.
/// [`Recorder::attach`](crate::Recorder::attach) makes one and installs it, for stores that have no callback of their
/// own.
///
/// ```
/// # use std::time::Instant;
/// # use wasmtime::{Store, Trap, UpdateDeadline};
/// # use witprof::Recorder;
/// # fn example(recorder: &Recorder, store: &mut Store<()>, deadline: Instant) {
/// let mut probe = recorder.probe();
/// store.epoch_deadline_callback(move |store| {
///     probe.sample(&store);
///     if Instant::now() < deadline { Ok(UpdateDeadline::Continue(1)) } else { Err(Trap::Interrupt.into()) }
/// });
/// store.set_epoch_deadline(1);
/// # }
/// ```
#[derive(Debug)]
pub struct EpochProbe {
    shared: Arc<Shared>,
    /// When this store was sampled last, since the recording began.
    last: Duration,
    labels: Option<Arc<LabelsInUse>>,
}

impl EpochProbe {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        let last = shared.epochs.begin();
        Self { shared, last, labels: None }
    }

    /// Labels all samples of the store, unless an [instrumented](crate::Recorder::instrument) future runs it, which has
    /// labels of its own; see [`Recorder::labels`](crate::Recorder::labels). Labels of another recorder are
    /// none.
    #[must_use]
    pub fn labeled(mut self, labels: &Labels) -> Self {
        self.labels = labels.of(&self.shared);
        self
    }

    /// Takes a sample of the store that is running on this thread, and charges it with the time since the sample
    /// before. After the recorder has finished, this does nothing.
    pub fn sample(&mut self, store: impl AsContext) {
        // Where signals sample, epochs have nothing to record.
        if self.shared.signal.is_some() {
            return;
        }
        let of_task = CurrentTask::get().labels(Arc::as_ptr(&self.shared).addr());
        let of_store = self.labels.as_ref().map_or(LabelsId::NONE, |labels| labels.id());
        let labels = if of_task == LabelsId::NONE { of_store } else { of_task };
        self.last = self.shared.epochs.sample(store, self.last, labels);
    }
}
