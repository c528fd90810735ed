//! Calls across interfaces, counted: how often each function was called, and how long it took.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard};

use hdrhistogram::Histogram;
use rustc_hash::FxHashMap;

use super::log::ThreadIdentity;
use super::selection::Selection;
use crate::lock::lock;

/// A compiled function by which an interface is crossed: a component, and the text offset of some byte of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallSite {
    pub(crate) target: u32,
    pub(crate) offset: u32,
}

/// When a call was made, and how long it took, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CallTimes {
    /// Since the recording began.
    pub(crate) begin: u64,
    /// From the call to its return.
    pub(crate) wall: u64,
    /// The part of that in which the task was suspended.
    pub(crate) suspended: u64,
    /// CPU time of the task, if it was asked for.
    pub(crate) cpu: Option<u64>,
}

/// One call that is kept.
#[derive(Clone, Debug)]
pub(crate) struct KeptCall {
    pub(crate) site: CallSite,
    pub(crate) times: CallTimes,
    /// The thread that it returned on.
    pub(crate) thread: ThreadIdentity,
}

/// What is known of all calls of one function.
#[derive(Clone, Debug, Default)]
pub(crate) struct CallSums {
    pub(crate) count: u64,
    /// Of wall-clock times in nanoseconds, if they are known.
    pub(crate) histogram: Option<Histogram<u64>>,
    pub(crate) wall: u64,
    pub(crate) suspended: u64,
    pub(crate) cpu: u64,
    /// How many of the calls the CPU time is known of.
    pub(crate) with_cpu: u64,
    pub(crate) longest: u64,
}

/// Significant decimal digits of the times in a histogram: an error of 1 in 100 at most.
const DIGITS: u8 = 2;

impl CallSums {
    fn add(&mut self, times: CallTimes) {
        self.count += 1;
        // A histogram that grows with its values takes all that there are.
        let _ = self.histogram.get_or_insert_with(new_histogram).record(times.wall);
        self.wall = self.wall.saturating_add(times.wall);
        self.longest = self.longest.max(times.wall);
        self.suspended = self.suspended.saturating_add(times.suspended);
        if let Some(cpu) = times.cpu {
            self.cpu = self.cpu.saturating_add(cpu);
            self.with_cpu += 1;
        }
    }

    /// Adds the calls of the same function that were counted elsewhere.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.count += other.count;
        if let Some(histogram) = &other.histogram {
            let _ = self.histogram.get_or_insert_with(new_histogram).add(histogram);
        }
        self.wall = self.wall.saturating_add(other.wall);
        self.longest = self.longest.max(other.longest);
        self.suspended = self.suspended.saturating_add(other.suspended);
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.with_cpu += other.with_cpu;
    }
}

fn new_histogram() -> Histogram<u64> {
    #[allow(clippy::expect_used, reason = "the only reason to fail is more than five digits")]
    Histogram::new(DIGITS).expect("two digits are a valid precision")
}

/// Calls that were counted by some of the threads.
#[derive(Debug)]
struct Shard {
    sums: FxHashMap<CallSite, CallSums>,
    kept: Selection<KeptCall>,
}

/// Shards: more than there are threads that count at the same time, mostly.
const SHARDS: usize = 32;

/// Calls that are kept of each shard: few enough for memory, and more than its part of what is shown.
const KEPT_OF_SHARD: usize = 4096;

/// All calls that a recorder has counted, in memory that depends on how many functions there are, and not on how many
/// calls. Each thread has a part of it, so that threads do not wait for each other.
#[derive(Debug)]
pub(crate) struct CallLog {
    shards: Box<[Mutex<Shard>]>,
    /// Entries of guests of which nobody could tell which function was entered.
    unnamed: AtomicU64,
}

/// What a [`CallLog`] holds at some time.
#[derive(Debug, Default)]
pub(crate) struct CountedCalls {
    pub(crate) sums: FxHashMap<CallSite, CallSums>,
    /// In order of their beginning.
    pub(crate) kept: Vec<KeptCall>,
    pub(crate) unnamed: u64,
}

thread_local! {
    static SHARD: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

impl CallLog {
    pub(crate) fn new() -> Self {
        let shard = || Shard { sums: FxHashMap::default(), kept: Selection::with_limit(KEPT_OF_SHARD) };
        Self { shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(), unnamed: AtomicU64::new(0) }
    }

    /// Counts a call that has returned.
    pub(crate) fn record(&self, site: CallSite, times: CallTimes) {
        let mut shard = self.shard();
        shard.sums.entry(site).or_default().add(times);
        shard.kept.add(times.wall, || KeptCall { site, times, thread: ThreadIdentity::current() });
    }

    /// Counts a call whose time is not known.
    pub(crate) fn count(&self, site: CallSite) {
        self.shard().sums.entry(site).or_default().count += 1;
    }

    /// Counts an entry of a guest of which it is not known which function was entered.
    pub(crate) fn count_unnamed(&self) {
        self.unnamed.fetch_add(1, Ordering::Relaxed);
    }

    fn shard(&self) -> MutexGuard<'_, Shard> {
        lock(&self.shards[SHARD.try_with(|shard| *shard).unwrap_or(0)])
    }

    /// All calls until now.
    pub(crate) fn counted(&self) -> CountedCalls {
        let unnamed = self.unnamed.load(Ordering::Relaxed);
        let mut counted = CountedCalls { unnamed, ..CountedCalls::default() };
        for shard in &self.shards {
            let shard = lock(shard);
            for (site, sums) in &shard.sums {
                counted.sums.entry(*site).or_default().merge(sums);
            }
            counted.kept.extend(shard.kept.kept().iter().map(|kept| kept.value.clone()));
        }
        counted.kept.sort_by_key(|call| (call.times.begin, Reverse(call.times.wall)));
        // Each part has kept as many as all of them may.
        let mut kept = Selection::default();
        for call in counted.kept.drain(..) {
            kept.add(call.times.wall, || call);
        }
        kept.thin();
        counted.kept.extend(kept.kept().iter().map(|kept| kept.value.clone()));
        counted.kept.sort_by_key(|call| (call.times.begin, Reverse(call.times.wall)));
        counted
    }
}
