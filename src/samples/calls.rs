//! Calls across interfaces, counted: how often each function was called, and how long it took.

use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use hdrhistogram::Histogram;
use rustc_hash::{FxHashMap, FxHashSet};

use super::log::ThreadIdentity;
use super::selection::Selection;
use super::stack_table::RawFrame;
use crate::lock::lock;

/// A compiled function by which an interface is crossed: a component, and the text offset of some byte of the function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct CallSite {
    pub(crate) target: u32,
    pub(crate) offset: u32,
}

/// What was called.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Called {
    /// The function that a compiled one stands for: an import, an export, or what an adapter adapts.
    Compiled(CallSite),
    /// A function that a core module imports from the host, by its index.
    HostImport { target: u32, import: u32 },
}

impl Called {
    /// The same of another component or module with the same code.
    fn of(self, target: u32) -> Self {
        match self {
            Self::Compiled(site) => Self::Compiled(CallSite { target, ..site }),
            Self::HostImport { import, .. } => Self::HostImport { target, import },
        }
    }

    /// The component or module that it is a part of.
    pub(crate) fn target(self) -> u32 {
        match self {
            Self::Compiled(CallSite { target, .. }) | Self::HostImport { target, .. } => target,
        }
    }
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
    pub(crate) called: Called,
    pub(crate) times: CallTimes,
    /// The thread that it returned on.
    pub(crate) thread: ThreadIdentity,
    /// Who called the host, innermost frame first. Nothing of calls by the host.
    pub(crate) stack: Arc<[RawFrame]>,
}

impl KeptCall {
    /// The components and modules that it refers to; some more than once.
    fn targets(&self) -> impl Iterator<Item = u32> {
        self.stack.iter().filter_map(|frame| frame.target()).chain([self.called.target()])
    }
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
    /// Shared with whoever looks at them at the moment.
    sums: FxHashMap<Called, Arc<CallSums>>,
    kept: Selection<KeptCall>,
    /// The components and modules that stacks of calls go, or went, through.
    callers: FxHashSet<u32>,
    /// The stacks of calls, most of which come again and again, and how many frames they have together. All of those that are kept are
    /// among them.
    stacks: FxHashSet<Arc<[RawFrame]>>,
    frames: usize,
    /// Stacks of calls that did not take long that are still to be read.
    short: usize,
}

/// Frames of the stacks of a shard: a mebibyte or two. Calls with other stacks are kept without.
const MAX_FRAMES: usize = 1 << 16;

/// Reading a stack takes a microsecond or two. Of calls that take less than this, in nanoseconds, only some have one.
const LONG: u64 = 10_000;

/// So many of each shard.
const SHORT_CALLS: usize = 1024;

impl Shard {
    /// Whether the stack of a call that takes so long is to be read. Some are `chosen` because they took long.
    fn wants_stack(&mut self, wall: u64, is_chosen: bool) -> bool {
        if !self.kept.would_keep(wall) {
            return false;
        }
        let is_long = is_chosen || wall >= LONG;
        let wants = is_long || self.short > 0;
        self.short -= usize::from(wants && !is_long);
        wants
    }

    /// A stack of a call, shared with others that have the same.
    fn stack(&mut self, stack: &[RawFrame]) -> Arc<[RawFrame]> {
        if let Some(known) = self.stacks.get(stack) {
            return Arc::clone(known);
        }
        if self.frames + stack.len() > MAX_FRAMES {
            // Those of calls that were not kept in the end.
            self.stacks.retain(|stack| Arc::strong_count(stack) > 1);
            self.frames = self.stacks.iter().map(|stack| stack.len()).sum();
            if self.frames + stack.len() > MAX_FRAMES {
                return Arc::default();
            }
        }
        let stack: Arc<[RawFrame]> = stack.into();
        self.frames += stack.len();
        self.callers.extend(stack.iter().filter_map(|frame| frame.target()));
        self.stacks.insert(Arc::clone(&stack));
        stack
    }
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
    /// Of stores that live.
    crossings: Mutex<Vec<Arc<CrossingCount>>>,
    /// The components and modules that calls of stores that live may still be counted of, and by how many stores.
    expected: Mutex<FxHashMap<u32, usize>>,
    /// Entries of guests of which nobody could tell which function was entered.
    unnamed: AtomicU64,
}

/// How often one store has made a call whose time is not known. Counted by one thread at a time, without waiting for anybody.
#[derive(Debug)]
pub(crate) struct CrossingCount {
    site: CallSite,
    count: AtomicU64,
}

impl CrossingCount {
    /// Counts a call. To be called by one thread at a time.
    #[inline]
    pub(crate) fn add(&self) {
        self.count.store(self.count.load(Ordering::Relaxed) + 1, Ordering::Relaxed);
    }
}

/// What a [`CallLog`] holds at some time.
#[derive(Debug, Default)]
pub(crate) struct CountedCalls {
    pub(crate) sums: FxHashMap<Called, CallSums>,
    /// In order of their beginning.
    pub(crate) kept: Vec<KeptCall>,
    pub(crate) unnamed: u64,
}

impl CountedCalls {
    /// The components and modules that calls were counted of; some more than once.
    pub(crate) fn targets(&self) -> impl Iterator<Item = u32> {
        self.sums.keys().map(|called| called.target()).chain(self.kept.iter().flat_map(KeptCall::targets))
    }
}

thread_local! {
    static SHARD: usize = {
        static THREADS: AtomicUsize = AtomicUsize::new(0);
        THREADS.fetch_add(1, Ordering::Relaxed) % SHARDS
    };
}

impl CallLog {
    pub(crate) fn new() -> Self {
        let shard = || Shard {
            sums: FxHashMap::default(),
            kept: Selection::with_limit(KEPT_OF_SHARD),
            callers: FxHashSet::default(),
            stacks: FxHashSet::default(),
            frames: 0,
            short: SHORT_CALLS,
        };
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(shard())).collect(),
            crossings: Mutex::default(),
            expected: Mutex::default(),
            unnamed: AtomicU64::new(0),
        }
    }

    /// Counts a call that has returned, and keeps it if it took `least` nanoseconds. `stack` tells who called, should it be kept.
    pub(crate) fn record(&self, called: Called, times: CallTimes, least: u64, stack: impl FnOnce() -> Vec<RawFrame>) {
        let mut shard = self.shard();
        Arc::make_mut(shard.sums.entry(called).or_default()).add(times);
        if times.wall < least {
            return;
        }
        let stack = if shard.wants_stack(times.wall, least > 0) {
            // To read it takes a while.
            drop(shard);
            let stack = stack();
            shard = self.shard();
            shard.stack(&stack)
        } else {
            Arc::default()
        };
        shard.kept.add(times.wall, || KeptCall { called, times, thread: ThreadIdentity::current(), stack });
    }

    /// A counter of calls of `site` whose times are not known, for one store.
    pub(crate) fn crossing(&self, site: CallSite) -> Arc<CrossingCount> {
        let counter = Arc::new(CrossingCount { site, count: AtomicU64::new(0) });
        lock(&self.crossings).push(Arc::clone(&counter));
        counter
    }

    /// Takes over what the counters of a store that is gone have counted.
    pub(crate) fn close<'c>(&self, counters: impl Iterator<Item = &'c Arc<CrossingCount>>) {
        for counter in counters {
            // Under the lock, so that nobody counts them twice or not at all meanwhile.
            let mut crossings = lock(&self.crossings);
            crossings.retain(|known| !Arc::ptr_eq(known, counter));
            let count = counter.count.load(Ordering::Relaxed);
            Arc::make_mut(self.shard().sums.entry(Called::Compiled(counter.site)).or_default()).count += count;
        }
    }

    /// Counts an entry of a guest of which it is not known which function was entered.
    pub(crate) fn count_unnamed(&self) {
        self.unnamed.fetch_add(1, Ordering::Relaxed);
    }

    /// A store may count calls of a component or module from now on.
    pub(crate) fn expect(&self, target: u32) {
        *lock(&self.expected).entry(target).or_default() += 1;
    }

    /// A store is gone that might have counted calls of these.
    pub(crate) fn expect_no_more(&self, targets: &[u32]) {
        let mut expected = lock(&self.expected);
        for target in targets {
            if let Entry::Occupied(mut stores) = expected.entry(*target) {
                *stores.get_mut() -= 1;
                if *stores.get() == 0 {
                    stores.remove();
                }
            }
        }
    }

    /// The components and modules that calls were counted of, or may be; some more than once.
    pub(crate) fn targets(&self) -> Vec<u32> {
        let mut targets: Vec<u32> = lock(&self.crossings).iter().map(|counter| counter.site.target).collect();
        targets.extend(lock(&self.expected).keys());
        for shard in &self.shards {
            let shard = lock(shard);
            targets.extend(shard.sums.keys().map(|called| called.target()));
            targets.extend(&shard.callers);
        }
        targets
    }

    /// Counts the calls of a component or module as those of another, which has the same code and the same names. `false` if stores
    /// that live still count some.
    pub(crate) fn replace_target(&self, from: u32, to: u32) -> bool {
        if lock(&self.crossings).iter().any(|counter| counter.site.target == from) {
            return false;
        }
        for shard in &self.shards {
            let mut shard = lock(shard);
            let Shard { sums, kept, callers, stacks, frames, .. } = &mut *shard;
            let is_meant: Vec<Called> = sums.keys().copied().filter(|called| called.target() == from).collect();
            let has_called = callers.remove(&from);
            // Each stack once, so that calls go on sharing it.
            let mut changed: FxHashMap<Arc<[RawFrame]>, Arc<[RawFrame]>> = FxHashMap::default();
            if has_called {
                callers.insert(to);
                let is_of = |stack: &&Arc<[RawFrame]>| stack.iter().any(|frame| frame.target() == Some(from));
                let new = |stack: &Arc<[RawFrame]>| stack.iter().map(|frame| frame.of(from, to)).collect();
                changed.extend(stacks.iter().filter(is_of).map(|stack| (Arc::clone(stack), new(stack))));
                *stacks = stacks.drain().map(|stack| changed.get(&stack).cloned().unwrap_or(stack)).collect();
                *frames = stacks.iter().map(|stack| stack.len()).sum();
            } else if is_meant.is_empty() {
                continue;
            }
            for called in is_meant {
                if let Some(known) = sums.remove(&called) {
                    Arc::make_mut(sums.entry(called.of(to)).or_default()).merge(&known);
                }
            }
            kept.change(|call| {
                if call.called.target() == from {
                    call.called = call.called.of(to);
                }
                if let Some(stack) = changed.get(&call.stack) {
                    call.stack = Arc::clone(stack);
                }
            });
        }
        true
    }

    fn shard(&self) -> MutexGuard<'_, Shard> {
        lock(&self.shards[SHARD.try_with(|shard| *shard).unwrap_or(0)])
    }

    /// All calls until now.
    pub(crate) fn counted(&self) -> CountedCalls {
        let unnamed = self.unnamed.load(Ordering::Relaxed);
        let mut counted = CountedCalls { unnamed, ..CountedCalls::default() };
        let crossings = lock(&self.crossings);
        for counter in crossings.iter() {
            let count = counter.count.load(Ordering::Relaxed);
            counted.sums.entry(Called::Compiled(counter.site)).or_default().count += count;
        }
        // Who counts a call waits for references to be copied, and not for histograms to be added up.
        let mut sums: Vec<(Called, Arc<CallSums>)> = Vec::new();
        let mut kept = Vec::with_capacity(self.shards.len());
        for shard in &self.shards {
            let shard = lock(shard);
            sums.extend(shard.sums.iter().map(|(called, sums)| (*called, Arc::clone(sums))));
            kept.push(shard.kept.clone());
        }
        drop(crossings);
        for (called, sums) in sums {
            counted.sums.entry(called).or_default().merge(&sums);
        }
        counted.kept.extend(kept.iter().flat_map(|kept| kept.kept().map(|kept| kept.value.clone())));
        counted.kept.sort_by_key(|call| (call.times.begin, Reverse(call.times.wall)));
        // Each part has kept as many as all of them may.
        let mut kept = Selection::default();
        for call in counted.kept.drain(..) {
            kept.add(call.times.wall, || call);
        }
        kept.thin();
        counted.kept.extend(kept.kept().map(|kept| kept.value.clone()));
        counted.kept.sort_by_key(|call| (call.times.begin, Reverse(call.times.wall)));
        counted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_the_same_code_are_counted_together() {
        let log = CallLog::new();
        let site = |target, offset| CallSite { target, offset };
        let times = |wall| CallTimes { begin: 0, wall, suspended: 0, cpu: None };
        let caller = |target| RawFrame::Text { target, offset: crate::address::TextOffset::new(4) };
        let stack = || vec![caller(2), caller(3)];
        log.record(Called::Compiled(site(1, 8)), times(3), 0, stack);
        log.record(Called::Compiled(site(2, 8)), times(4), 4, stack);
        log.record(Called::HostImport { target: 2, import: 5 }, times(5), 1, stack);
        log.record(Called::HostImport { target: 2, import: 5 }, times(5), 6, stack);
        let counter = log.crossing(site(2, 16));
        counter.add();
        assert!(!log.replace_target(2, 1), "a store counts");
        log.close([&counter].into_iter());
        assert!(log.replace_target(2, 1));
        assert!(log.targets().iter().all(|target| [1, 3].contains(target)));
        let counted = log.counted();
        let sums = |called| counted.sums.get(&called).map(|sums| (sums.count, sums.wall));
        assert_eq!(sums(Called::Compiled(site(1, 8))), Some((2, 7)));
        assert_eq!(sums(Called::HostImport { target: 1, import: 5 }), Some((2, 10)));
        assert_eq!(sums(Called::Compiled(site(1, 16))), Some((1, 0)));
        assert!(counted.kept.iter().all(|call| call.called.target() == 1 && *call.stack == [caller(1), caller(3)]));
        assert_eq!(counted.kept.len(), 3);
    }
}
