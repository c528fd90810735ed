//! Calls that somebody has chosen by their names. Who knows names says what is meant; here it is only asked.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

use rustc_hash::FxHashMap;

use crate::samples::Called;

/// Whether a call is one that is meant.
pub(crate) type IsMeant = Box<dyn Fn(Called) -> bool + Send + Sync>;

/// Which calls are kept one by one; all, if nothing is said.
#[derive(Default)]
pub(crate) struct KeptCalls {
    /// The least nanoseconds that a call has to take, and which calls are meant; all of them, if that is nothing.
    pub(crate) rules: Vec<(u64, Option<IsMeant>)>,
}

impl fmt::Debug for KeptCalls {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("KeptCalls").field("rules", &self.rules.len()).finish()
    }
}

impl KeptCalls {
    /// The least nanoseconds that a call of a function has to take to be kept; zero, if that does not matter. `known` remembers.
    pub(super) fn least(&self, called: Called, known: &mut FxHashMap<Called, u64>) -> u64 {
        if self.rules.is_empty() {
            return 0;
        }
        *known.entry(called).or_insert_with(|| {
            let is_for = |is_meant: &Option<IsMeant>| is_meant.as_ref().is_none_or(|is_meant| is_meant(called));
            let limits = self.rules.iter().filter(|(_, is_meant)| is_for(is_meant)).map(|(least, _)| *least);
            // Zero would be that of all calls.
            limits.min().map_or(u64::MAX, |least| least.max(1))
        })
    }
}

/// A call with which a recording begins that is paused until then.
pub(crate) struct AwaitedCall {
    pub(crate) is_meant: IsMeant,
    /// How many of them are still to come, the last one included.
    pub(crate) left: AtomicU64,
    /// Begins.
    pub(crate) begin: Box<dyn Fn() + Send + Sync>,
}

impl fmt::Debug for AwaitedCall {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AwaitedCall").field("left", &self.left).finish_non_exhaustive()
    }
}

impl AwaitedCall {
    /// A function is called. Returns whether that was the call.
    pub(super) fn is_called(&self, called: Called, known: &mut FxHashMap<Called, bool>) -> bool {
        let is_meant = *known.entry(called).or_insert_with(|| (self.is_meant)(called));
        let is_last = is_meant && self.left.fetch_sub(1, Ordering::Relaxed) == 1;
        if is_last {
            (self.begin)();
        }
        is_last
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::CallSite;

    fn called(offset: u32) -> Called {
        Called::Compiled(CallSite { target: 1, offset })
    }

    #[test]
    fn the_lowest_limit_counts() {
        let only = |offset| -> Option<IsMeant> { Some(Box::new(move |call| call == called(offset))) };
        let least = |rules, offset| KeptCalls { rules }.least(called(offset), &mut FxHashMap::default());
        assert_eq!(least(vec![], 8), 0);
        assert_eq!(least(vec![(5, None)], 8), 5);
        assert_eq!(least(vec![(0, None)], 8), 1);
        assert_eq!(least(vec![(5, None), (3, only(8))], 8), 3);
        assert_eq!(least(vec![(5, only(9))], 8), u64::MAX, "nothing is said of it");
    }

    #[test]
    fn a_recording_begins_once() {
        let (is_meant, begin) = (Box::new(|call| call == called(8)), Box::new(|| ()));
        let awaited = AwaitedCall { is_meant, left: AtomicU64::new(2), begin };
        let mut known = FxHashMap::default();
        let offsets = [4, 8, 4, 8, 8, 8];
        let begins = offsets.map(|offset| awaited.is_called(called(offset), &mut known));
        assert_eq!(begins, [false, false, false, true, false, false]);
    }
}
