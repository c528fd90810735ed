//! Takes a sample from inside a store's epoch callback.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::AsContext;

use super::labels::Labels;
use super::recorder::Shared;
use crate::sampler::epoch::capture;
use crate::sampler::{CurrentTask, own_work};
use crate::samples::{LabelsId, LabelsInUse, RawSample};

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
    pub(crate) fn new(shared: Arc<Shared>) -> Self {
        let last = shared.begin_clocks();
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
        if self.shared.ignores_epochs() {
            return;
        }
        // Stores that take turns on a thread must not be charged with each other's time, so time counts from the last
        // sample of this store or of any other on the thread, whichever is later.
        let clocks = self.shared.read_clocks();
        let time = clocks.now;
        let wall = time.saturating_sub(self.last.max(clocks.last));
        let cpu = clocks.cpu.min(wall);
        // What a tracer of calls took meanwhile is not the guest's.
        let traced = Duration::from_nanos(own_work::take_spent()).min(wall);
        let (wall, cpu) = (wall.saturating_sub(traced), cpu.saturating_sub(traced));
        let preempted = clocks.preempted.map(|preempted| preempted.min(wall - cpu));

        let of_task = CurrentTask::get().labels(&self.shared);
        let of_store = self.labels.as_ref().map_or(LabelsId::NONE, |labels| labels.id());
        let labels = if of_task == LabelsId::NONE { of_store } else { of_task };
        // All modules of a component share its text section, which says whose they are.
        let stack = capture(store, |module, _| self.shared.target_of(module.text()));
        let sample = RawSample { time, wall, cpu, preempted, truncated: stack.truncated, labels };
        self.shared.record(sample, stack.outermost_first.into_iter());
        // Nor is what this took.
        let clocks = self.shared.read_clocks();
        self.last = clocks.now;
        let spent = clocks.now.saturating_sub(time);
        self.shared.record_own_work(clocks.now, traced + spent, traced + clocks.cpu.min(spent));
    }
}
