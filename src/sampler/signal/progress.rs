//! What the handler of one thread has done with its samples, for the thread that collects them.
//!
//! Each sample that was taken is in the ring, or it is lost. Who collects wants to be able to say so at any moment: the three
//! numbers have to be of the same moment, though the handler goes on. So they are a record of their own, which the handler
//! writes when it is done with a sample. Its version is odd meanwhile, and who has read parts of two records reads again (a
//! sequence lock: Boehm, "Can seqlocks get along with programming language memory models?", 2012).

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering, fence};

use crate::samples::LossReason;

/// The reasons for which the handler loses samples.
pub(super) const HANDLER_LOSSES: [LossReason; 4] =
    [LossReason::BufferFull, LossReason::NoRoomOnStack, LossReason::Overload, LossReason::UnreadableStack];

/// What the handler has done with all samples until some moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Done {
    /// Samples that it began to take.
    pub(super) taken: u64,
    /// Those that were lost, by reason.
    pub(super) lost: [u64; HANDLER_LOSSES.len()],
    /// Where the ring ended. Everything up to there is one of the others.
    pub(super) head: usize,
}

/// The record. One thread writes, any thread reads.
#[derive(Debug, Default)]
pub(super) struct Progress {
    /// Odd while the record is being written.
    version: AtomicU64,
    taken: AtomicU64,
    lost: [AtomicU64; HANDLER_LOSSES.len()],
    head: AtomicUsize,
}

/// Tries to read a record as a whole. Writing takes nanoseconds, unless the thread loses its CPU in the middle of that.
const TRIES: usize = 64;

impl Progress {
    /// A sample has been taken, after which the ring ends at `head`. To be called by one thread only, which is not interrupted by
    /// itself; lock-free.
    pub(super) fn add(&self, outcome: Result<(), LossReason>, head: usize) {
        let version = self.version.load(Ordering::Relaxed);
        self.version.store(version.wrapping_add(1), Ordering::Relaxed);
        // Who sees anything of what follows sees the odd version, too.
        fence(Ordering::Release);
        increment(&self.taken);
        if let Some(lost) = outcome.err().and_then(|reason| self.counter_of(reason)) {
            increment(lost);
        }
        self.head.store(head, Ordering::Relaxed);
        self.version.store(version.wrapping_add(2), Ordering::Release);
    }

    fn counter_of(&self, reason: LossReason) -> Option<&AtomicU64> {
        HANDLER_LOSSES.iter().position(|known| *known == reason).and_then(|index| self.lost.get(index))
    }

    /// The record as it was at some moment. `None` if it is being written all the time: its thread has lost its CPU, and there
    /// will be another time.
    pub(super) fn read(&self) -> Option<Done> {
        (0..TRIES).find_map(|_| {
            let before = self.version.load(Ordering::Acquire);
            let done = Done {
                taken: self.taken.load(Ordering::Relaxed),
                lost: self.lost.each_ref().map(|lost| lost.load(Ordering::Relaxed)),
                head: self.head.load(Ordering::Relaxed),
            };
            // Who has read anything newer sees a newer version, too.
            fence(Ordering::Acquire);
            let is_whole = before.is_multiple_of(2) && self.version.load(Ordering::Relaxed) == before;
            if !is_whole {
                std::hint::spin_loop();
            }
            is_whole.then_some(done)
        })
    }
}

/// Adds one to a counter that no other thread writes: without the cost of an atomic addition.
fn increment(counter: &AtomicU64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_of_one_moment() {
        let progress = Progress::default();
        let count = 300_000;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let mut head = 0;
                for number in 0..count {
                    let outcome = match HANDLER_LOSSES.get(number % 7) {
                        Some(reason) => Err(*reason),
                        None => Ok(()),
                    };
                    head += usize::from(outcome.is_ok());
                    progress.add(outcome, head);
                }
            });
            let mut last = Done::default();
            while last.taken < count as u64 {
                let Some(done) = progress.read() else { continue };
                assert_eq!(done.taken, done.lost.iter().sum::<u64>() + done.head as u64, "{done:?}");
                assert!(done.taken >= last.taken);
                last = done;
            }
        });
    }
}
