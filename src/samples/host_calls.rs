//! Calls of the host in bounded memory: how long each took.

use std::cmp::Reverse;
use std::time::Duration;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostCall {
    /// Since the recording began.
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
    /// How many returned before it.
    number: u64,
}

impl HostCall {
    fn length(&self) -> Duration {
        self.end.saturating_sub(self.begin)
    }
}

/// The calls that are kept: what a person looks at, and what the front-end can draw.
const DEFAULT_LIMIT: usize = 20_000;

/// Calls inside of each other, with the guest in between. More can only be calls that ended in a panic, of which no
/// return is reported.
const MAX_OPEN: usize = 4096;

/// Calls of the host by one guest.
///
/// Half of the limit is kept for the longest calls, and half for some of the rest, of which all have the same chance.
/// How many there were, and how long they took, is known of all.
#[derive(Debug)]
pub(crate) struct HostCalls {
    /// When those that have not returned began, outermost first.
    open: Vec<Duration>,
    /// How many more there are, inside of them.
    too_deep: u64,
    /// Up to twice the limit, so that thinning them out costs little for each call.
    kept: Vec<HostCall>,
    count: u64,
    time: Duration,
    limit: usize,
}

impl Default for HostCalls {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl HostCalls {
    fn with_limit(limit: usize) -> Self {
        Self { open: Vec::new(), too_deep: 0, kept: Vec::new(), count: 0, time: Duration::ZERO, limit }
    }

    /// The guest calls.
    pub(crate) fn begin(&mut self, now: Duration) {
        if self.open.len() < MAX_OPEN {
            self.open.push(now);
        } else {
            self.too_deep = self.too_deep.saturating_add(1);
        }
    }

    /// The host returns from the innermost call. One of which the beginning was not seen began before the recording.
    /// With several tasks in a store that need not be the call that began last, but sums are right in any order.
    pub(crate) fn end(&mut self, now: Duration) {
        if let Some(fewer) = self.too_deep.checked_sub(1) {
            self.too_deep = fewer;
            return;
        }
        let call = HostCall { begin: self.open.pop().unwrap_or_default(), end: now, number: self.count };
        self.count = self.count.saturating_add(1);
        self.time = self.time.saturating_add(call.length());
        self.kept.push(call);
        if self.kept.len() >= self.limit.saturating_mul(2) {
            self.thin();
        }
    }

    /// Ends the calls that have not returned, and settles what is kept.
    pub(crate) fn end_all(&mut self, now: Duration) {
        self.too_deep = 0;
        while !self.open.is_empty() {
            self.end(now);
        }
        self.thin();
        self.kept.sort_unstable_by_key(|call| (call.begin, Reverse(call.end), call.number));
    }

    /// The calls that are kept; after [`end_all`](Self::end_all) in order of their beginning.
    pub(crate) fn kept(&self) -> &[HostCall] {
        &self.kept
    }

    /// How many calls are not kept, and how long they took.
    pub(crate) fn left_out(&self) -> (u64, Duration) {
        let kept: Duration = self.kept.iter().map(HostCall::length).sum();
        let count = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        (self.count.saturating_sub(count), self.time.saturating_sub(kept))
    }

    /// Keeps the longest, and of the rest those with the lowest ranks. A call that is left out can never come back: the
    /// rest only grows. So what is kept does not depend on how often this was done.
    fn thin(&mut self) {
        if self.kept.len() <= self.limit {
            return;
        }
        let longest = self.limit / 2;
        self.kept.select_nth_unstable_by_key(longest, |call| (Reverse(call.length()), call.number));
        self.kept[longest..].select_nth_unstable_by_key(self.limit - longest, |call| rank(call.number));
        self.kept.truncate(self.limit);
    }
}

/// A rank that has nothing to do with when a call was made: the finalizer of SplitMix64, which is a bijection.
fn rank(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn us(time: u64) -> Duration {
        Duration::from_micros(time)
    }

    proptest! {
        #[test]
        fn the_longest_are_kept_and_sums_are_of_all(
            lengths in prop::collection::vec(0_u64..100, 0..500),
            limit in 2_usize..40,
        ) {
            let mut calls = HostCalls::with_limit(limit);
            let mut now = 0;
            for length in &lengths {
                calls.begin(us(now));
                now += length;
                calls.end(us(now));
            }
            calls.end_all(us(now));
            prop_assert_eq!(calls.kept().len(), lengths.len().min(limit));
            prop_assert!(calls.kept().is_sorted_by_key(|call| call.begin));
            let (count, time) = calls.left_out();
            let kept: Duration = calls.kept().iter().map(HostCall::length).sum();
            prop_assert_eq!(count + u64::try_from(calls.kept().len())?, u64::try_from(lengths.len())?);
            prop_assert_eq!(time + kept, us(lengths.iter().sum()));
            let mut longest = lengths.clone();
            longest.sort_unstable_by_key(|length| Reverse(*length));
            let mut found: Vec<Duration> = calls.kept().iter().map(HostCall::length).collect();
            found.sort_unstable_by_key(|length| Reverse(*length));
            for (length, found) in longest.iter().take(limit / 2).zip(found) {
                prop_assert_eq!(us(*length), found);
            }
        }
    }

    #[test]
    fn the_rest_is_a_fair_sample() {
        let mut calls = HostCalls::with_limit(2000);
        // Equal calls, of which those that come first are the longest by the order of `thin`.
        for number in 0..100_000 {
            calls.begin(us(number));
            calls.end(us(number + 1));
        }
        calls.end_all(us(100_001));
        let late = calls.kept().iter().filter(|call| call.number >= 50_500).count();
        assert!((400..600).contains(&late), "{late} of the 1000 in the second half");
    }

    #[test]
    fn calls_nest_and_need_not_return() {
        let mut calls = HostCalls::default();
        calls.end(us(3));
        calls.begin(us(10));
        calls.begin(us(20));
        calls.end(us(25));
        calls.begin(us(30));
        calls.end_all(us(50));
        let spans: Vec<_> = calls.kept().iter().map(|call| (call.begin, call.end)).collect();
        assert_eq!(spans, [(us(0), us(3)), (us(10), us(50)), (us(20), us(25)), (us(30), us(50))]);
        assert_eq!(calls.left_out(), (0, Duration::ZERO));
    }

    #[test]
    fn calls_that_never_return_do_not_fill_memory() {
        let mut calls = HostCalls::default();
        (0..100_000).for_each(|time| calls.begin(us(time)));
        calls.end(us(100_000));
        assert_eq!((calls.open.len(), calls.kept().len()), (MAX_OPEN, 0));
    }
}
