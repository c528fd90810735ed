//! Calls of the host in bounded memory: how long each took.

use std::cmp::Reverse;
use std::time::Duration;

use super::selection::Selection;
use crate::nanos::nanos;

/// One call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HostCall {
    /// Since the recording began.
    pub(crate) begin: Duration,
    pub(crate) end: Duration,
}

/// Calls inside of each other, with the guest in between. More can only be calls that ended in a panic, of which no
/// return is reported.
const MAX_OPEN: usize = 4096;

/// Calls of the host by one guest.
#[derive(Debug, Default)]
pub(crate) struct HostCalls {
    /// When those that have not returned began, outermost first.
    open: Vec<Duration>,
    /// How many more there are, inside of them.
    too_deep: u64,
    returned: Selection<HostCall>,
}

impl HostCalls {
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
        let call = HostCall { begin: self.open.pop().unwrap_or_default(), end: now };
        self.returned.add(nanos(now.saturating_sub(call.begin)), || call);
    }

    /// Ends the calls that have not returned, and settles what is kept.
    pub(crate) fn end_all(&mut self, now: Duration) {
        self.too_deep = 0;
        while !self.open.is_empty() {
            self.end(now);
        }
        self.returned.thin();
    }

    /// The calls that are kept, in order of their beginning.
    pub(crate) fn kept(&self) -> Vec<HostCall> {
        let mut kept: Vec<_> = self.returned.kept().copied().collect();
        kept.sort_unstable_by_key(|kept| (kept.value.begin, Reverse(kept.value.end), kept.number));
        kept.into_iter().map(|kept| kept.value).collect()
    }

    /// How many calls are not kept, and how long they took.
    pub(crate) fn left_out(&self) -> (u64, Duration) {
        let (count, nanos) = self.returned.left_out();
        (count, Duration::from_nanos(nanos))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn us(time: u64) -> Duration {
        Duration::from_micros(time)
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
