//! The thread that takes samples out of the rings and into the log.

use std::io;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::clocks;
use super::core::Core;
use super::cost::HandlerTicks;
use super::preemption::Round as PreemptionRound;
use super::progress::HANDLER_LOSSES;
use super::ring::{Ring, SampleHeader};
use super::takeover::Watch;
use super::tasks::Wait;
use super::thread::{StackReader, ThreadState};
use super::walk::{FrameWord, Place};
use crate::address::TextOffset;
use crate::lock::lock;
use crate::nanos::nanos;
use crate::samples::{LabelsId, LossReason, RawFrame, RawSample, SampleLog, Taken, with_log};

/// Time between two rounds. A ring holds the samples of several at any useful rate.
const PAUSE: Duration = Duration::from_millis(50);

/// How long handlers that are at work are waited for: with many threads, there is mostly one. One that was preempted may take
/// longer.
const PATIENCE: Duration = Duration::from_millis(1);

/// Collects while some thread is being sampled, and sleeps otherwise.
pub(super) struct Collector {
    thread: JoinHandle<()>,
}

impl Collector {
    pub(super) fn start(
        core: &Arc<Core>,
        log: Arc<Mutex<SampleLog>>,
        mut tidy: impl FnMut(&Round<'_>) -> bool + Send + 'static,
    ) -> io::Result<Self> {
        // Samples with numbers of labels wait in rings.
        lock(&log).labels().set_buffers(true);
        let core = Arc::clone(core);
        let run = move || {
            let mut watch = Watch::new();
            let mut pause = if core.scenes.has_evaluators() { PAUSE / 8 } else { PAUSE };
            while !core.is_stopped() {
                core.wait_for_work(pause);
                core.tick().measure();
                watch.look(&core);
                let (is_complete, fullest) = collect(&core, &log);
                pause = match fullest {
                    // Deep stacks that change take more room.
                    _ if fullest > Ring::CAPACITY / 8 => PAUSE / 32,
                    _ if core.scenes.has_evaluators() => PAUSE / 8,
                    _ => PAUSE,
                };
                publish_unsampled(&core, &mut lock(&log));
                core.scenes.look_for_libraries();
                core.let_go(PATIENCE);
                if tidy(&Round { core: &core, log: &log, is_complete }) {
                    core.wake();
                }
            }
            watch.end(&core);
        };
        let thread = std::thread::Builder::new().name("witprof-collector".to_owned()).spawn(run)?;
        Ok(Self { thread })
    }

    /// Waits for the thread to end, after the recorder was stopped.
    pub(super) fn join(self) {
        // It panics only if memory runs out; what it collected until then is in the log.
        let _ = self.thread.join();
    }
}

/// A round of collecting that is over.
pub(crate) struct Round<'c> {
    core: &'c Core,
    log: &'c Mutex<SampleLog>,
    is_complete: bool,
}

impl Round<'_> {
    /// Whether all has been collected that had been taken when it began.
    pub(crate) fn is_complete(&self) -> bool {
        self.is_complete
    }

    /// Whether each handler has been seen not to be at work, one after the other. Waits a little for those that are.
    pub(crate) fn handlers_are_idle(&self) -> bool {
        self.core.handlers_are_idle(PATIENCE)
    }

    /// Does what may take long, and goes on collecting meanwhile: rings have room for a few rounds.
    pub(crate) fn collect_during(&self, work: &(dyn Fn() + Sync)) {
        let (is_done, done) = mpsc::channel::<()>();
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name("witprof-names".to_owned());
            let started = builder.spawn_scoped(scope, move || {
                let _until_the_end = is_done;
                work();
            });
            if started.is_err() {
                // Late is better than not at all.
                work();
            }
            // The other end is closed, should the work panic.
            while done.recv_timeout(PAUSE) == Err(RecvTimeoutError::Timeout) {
                collect(self.core, self.log);
            }
        });
    }

    /// The components and modules that tasks wait in, or have waited in, if the log does not know of it yet.
    pub(crate) fn targets_of_tasks(&self) -> FxHashSet<u32> {
        // In the order in which a wait goes on: so it is seen before, or the log has it.
        let mut targets = self.core.tasks.targets();
        for thread in &self.core.threads().clone() {
            targets.extend(lock(&thread.waits).iter().flat_map(Wait::targets));
        }
        targets
    }
}

/// Takes all samples out of all rings. Whether that was possible; if not, the next time it will be. And how many words were in the
/// fullest of them.
pub(super) fn collect(core: &Core, log: &Mutex<SampleLog>) -> (bool, usize) {
    let labels = Arc::clone(lock(log).labels());
    // No sample that is taken from here on bears them.
    let retired = labels.retired();
    let (mut is_complete, mut fullest) = (true, 0);
    // Not under the lock of the list: entering a thread must not wait for a round.
    let threads = core.threads().clone();
    for thread in threads {
        let has_ended = thread.has_ended.load(Ordering::Acquire);
        fullest = fullest.max(thread.ring.used());
        if core.scenes.has_evaluators() {
            thread.prepare_scripts();
        }
        is_complete &= with_log(log, |log| collect_thread(&thread, log));
        if has_ended {
            // Whoever takes it from the list closes it, and nobody else does.
            let mut threads = core.threads();
            let before = threads.len();
            threads.retain(|known| !Arc::ptr_eq(known, &thread));
            let is_taken = threads.len() < before;
            drop(threads);
            if is_taken {
                close(&thread);
            }
        }
    }
    if core.scenes.has_evaluators() {
        // A number that one thread has met may be one that another has named meanwhile.
        for thread in core.threads().clone() {
            with_log(log, |log| {
                let _reader = lock(&thread.reader);
                take_names(&thread, log);
            });
        }
    }
    if is_complete {
        labels.forget(retired);
    } else {
        labels.retire_again(retired);
    }
    (is_complete, fullest)
}

/// Collects what is left after the recorder was stopped, and returns what the handlers have cost.
pub(super) fn collect_last(core: &Core, log: &mut SampleLog) -> HandlerTicks {
    for thread in std::mem::take(&mut *core.threads()) {
        collect_thread(&thread, log);
        close(&thread);
    }
    // No more samples come.
    log.labels().set_buffers(false);
    std::mem::take(&mut *lock(&core.ticks))
}

/// Counts what could not be sampled since the last time: where threads have no timer, or somebody else has the signal.
pub(super) fn publish_unsampled(core: &Core, log: &mut SampleLog) {
    let unsampled = [(LossReason::NoTimer, &core.without_timer), (LossReason::HandlerReplaced, &core.takeover.lost)];
    let now = Duration::from_nanos(core.since_start(clocks::monotonic()));
    for (reason, count) in unsampled {
        let count = count.swap(0, Ordering::Relaxed);
        log.count_lost(reason, count, now);
        log.counts.taken += count;
    }
}

/// Adds up what the handler of a thread has cost that will not take another sample.
fn close(thread: &ThreadState) {
    thread.cost.add_to(&mut lock(&thread.core.ticks));
}

/// Takes all samples out of the ring of one thread, and counts what else has become of those that it has taken: after this, the
/// log's counters add up. Whether that was possible; if not, the next one will.
pub(super) fn collect_thread(thread: &ThreadState, log: &mut SampleLog) -> bool {
    let mut reader = lock(&thread.reader);
    let Some(done) = thread.progress.read() else { return false };
    let StackReader { path, window: known_window, published, preemption } = &mut *reader;
    let core = &thread.core;
    let now = core.since_start(clocks::monotonic());
    let before = std::mem::replace(published, done);
    log.counts.taken += done.taken.wrapping_sub(before.taken);
    for (reason, (lost, before)) in HANDLER_LOSSES.into_iter().zip(done.lost.into_iter().zip(before.lost)) {
        log.count_lost(reason, lost.wrapping_sub(before), Duration::from_nanos(now));
    }
    let waiting = thread.ring.waiting(done.head);
    let round = PreemptionRound { now, interval: nanos(core.interval), is_active: thread.is_active() };
    let mut division = preemption.divide(waiting.headers(), round);
    // Those of all samples that are waiting: a name comes before the first sample that it is for.
    take_names(thread, log);
    let mut waits = std::mem::take(&mut *lock(&thread.waits)).into_iter().peekable();
    waiting.take(|header, new| {
        while let Some(wait) = waits.next_if(|wait| core.since_start(wait.end) <= header.time) {
            wait.record(core, log);
        }
        let preempted = division.next(&header).map(Duration::from_nanos);
        let SampleHeader { time, wall, cpu, labels, shared, new: _, cut, in_guest: _, is_own_work } = header;
        let time = Duration::from_nanos(time);
        if is_own_work {
            // The handler cannot tell whether it is a sample.
            log.counts.taken = log.counts.taken.saturating_sub(1);
            log.keep_own_work(time, Duration::from_nanos(wall), Duration::from_nanos(cpu), Taken::BySignal);
            return;
        }
        let window = log.make_room(time);
        path.truncate(shared);
        if *known_window != window {
            // Handles are those of another window.
            *known_window = window;
            let mut caller = None;
            for (frame, stack) in &mut *path {
                *stack = log.stacks().push(caller, *frame);
                caller = Some(*stack);
            }
        }
        for frame in new {
            let (caller, frame) = (path.last().map(|(_, stack)| *stack), raw_frame(frame));
            let stack = log.stacks().push(caller, frame);
            path.push((frame, stack));
        }
        let sample = RawSample {
            time,
            wall: Duration::from_nanos(wall),
            cpu: Duration::from_nanos(cpu),
            preempted,
            truncated: cut,
            labels: LabelsId(labels),
        };
        match path.last() {
            Some((_, stack)) => log.keep(&thread.identity, sample, *stack),
            // A stack has at least one frame: the handler sees to that.
            None => log.count_lost(LossReason::NoVisibleFrame, 1, time),
        }
    });
    waits.for_each(|wait| wait.record(core, log));
    true
}

/// Takes the names of functions of scripts that a thread has met first. Whoever calls it has the reader's end of the thread's rings.
fn take_names(thread: &ThreadState, log: &mut SampleLog) {
    if let Some(names) = thread.script_names.get() {
        names.take(|number, function| log.scripts.add(number, function));
    }
}

/// A frame of the walk as one of the log.
pub(super) fn raw_frame(frame: FrameWord) -> RawFrame {
    match frame.place() {
        Place::Text { target, offset } => RawFrame::Text { target, offset: TextOffset::new(offset) },
        Place::Host { address } => RawFrame::Host { address },
        Place::HiddenHost => RawFrame::HiddenHost,
        Place::Unregistered => RawFrame::Unregistered,
        Place::Elided => RawFrame::Elided,
        Place::UnknownCallers => RawFrame::UnknownCallers,
        Place::Suspended => RawFrame::Suspended,
        Place::Script { function, instruction } => RawFrame::Script { function, instruction },
    }
}
