//! How long the guest has run.

use std::time::Duration;

/// Adds up the time in which code of the guest runs, between samples.
///
/// Without hooks the guest is taken to run all the time, and a sample stands for all since the one before. With hooks
/// only what is between entering the guest and leaving it counts. The two transitions need not come in pairs: after a
/// panic of a host function, the next of either kind puts things right.
#[derive(Debug)]
pub(super) struct GuestTime {
    /// Since when the guest has been running; `None` while the host runs.
    since: Option<Duration>,
    /// What it ran before that and after the last sample.
    before: Duration,
}

impl Default for GuestTime {
    fn default() -> Self {
        Self { since: Some(Duration::ZERO), before: Duration::ZERO }
    }
}

impl GuestTime {
    /// The guest is called, or returned to. The time before that was not its own.
    pub(super) fn enter(&mut self, now: Duration) {
        self.since = Some(now);
    }

    /// The guest calls, or returns.
    pub(super) fn leave(&mut self, now: Duration) {
        if let Some(since) = self.since.take() {
            self.before = self.before.saturating_add(now.saturating_sub(since));
        }
    }

    /// What a sample taken now stands for.
    pub(super) fn take(&mut self, now: Duration) -> Duration {
        let begin = self.since.as_mut().map_or(now, |since| std::mem::replace(since, now));
        std::mem::take(&mut self.before).saturating_add(now.saturating_sub(begin))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    #[test]
    fn without_hooks_all_time_counts_once() {
        let mut time = GuestTime::default();
        assert_eq!((time.take(ms(5)), time.take(ms(7)), time.take(ms(7))), (ms(5), ms(2), ms(0)));
    }

    #[test]
    fn with_hooks_only_the_guest_counts() {
        let mut time = GuestTime::default();
        time.enter(ms(100));
        time.leave(ms(103));
        // In an epoch callback, which is inside a library call.
        assert_eq!(time.take(ms(104)), ms(3));
        time.enter(ms(110));
        time.leave(ms(111));
        time.enter(ms(200));
        assert_eq!(time.take(ms(202)), ms(3));
        // A host function panicked: the guest was left, and entered again.
        time.leave(ms(203));
        time.enter(ms(300));
        time.leave(ms(301));
        assert_eq!(time.take(ms(400)), ms(2));
    }
}
