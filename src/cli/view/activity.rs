//! When nobody needs the server any more. The page does not say when it is closed, and browsers keep connections of closed
//! pages, so only time tells.

use std::fmt;
use std::time::Duration;

use humantime::format_duration;
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// How long nothing may happen; `None` is for ever.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Since the last request.
    pub(super) unused: Option<Duration>,
    /// Since the beginning, if the page was not loaded. Whatever else is asked for does not count.
    pub(super) unloaded: Option<Duration>,
}

/// What has happened so far. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Activity {
    limits: Limits,
    state: watch::Sender<State>,
}

#[derive(Clone, Copy, Debug)]
struct State {
    begun: Instant,
    is_loaded: bool,
    /// How many requests are being answered.
    asking: usize,
    /// The last beginning or end of a request.
    last: Instant,
}

/// Why the server ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reason {
    Unused(Duration),
    Unloaded(Duration),
}

impl Reason {
    /// The option that sets this limit.
    pub(super) fn option(self) -> &'static str {
        match self {
            Self::Unused(_) => "--timeout",
            Self::Unloaded(_) => "--load-timeout",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unused(time) => write!(f, "the page has asked for nothing for {}", format_duration(*time)),
            Self::Unloaded(time) => write!(f, "the page was not loaded for {}", format_duration(*time)),
        }
    }
}

/// A request that is being answered, for as long as it lives.
pub(super) struct Asking(Activity);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.happened(|state| state.asking -= 1);
    }
}

impl State {
    /// Why and when the server ends if nothing happens any more; `None` is never.
    fn end(self, limits: Limits) -> Option<(Reason, Instant)> {
        if self.asking > 0 {
            return None;
        }
        let (reason, since, time) = if self.is_loaded {
            (Reason::Unused(limits.unused?), self.last, limits.unused?)
        } else {
            (Reason::Unloaded(limits.unloaded?), self.begun, limits.unloaded?)
        };
        // Too long a time for a clock is for ever.
        Some((reason, since.checked_add(time)?))
    }
}

impl Activity {
    pub(super) fn new(limits: Limits) -> Self {
        let begun = Instant::now();
        Self { limits, state: watch::Sender::new(State { begun, is_loaded: false, asking: 0, last: begun }) }
    }

    pub(super) fn begin(&self) -> Asking {
        self.happened(|state| state.asking += 1);
        Asking(self.clone())
    }

    pub(super) fn loaded(&self) {
        self.happened(|state| state.is_loaded = true);
    }

    fn happened(&self, change: impl FnOnce(&mut State)) {
        self.state.send_modify(|state| {
            change(state);
            state.last = Instant::now();
        });
    }

    /// Waits until nobody has asked for too long.
    pub(super) async fn over(&self) -> Reason {
        let mut changes = self.state.subscribe();
        loop {
            let state = *changes.borrow_and_update();
            let end = async {
                match state.end(self.limits) {
                    Some((reason, end)) => {
                        sleep_until(end).await;
                        reason
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                reason = end => return reason,
                // There is a sender as long as there is `self`.
                _ = changes.changed() => {}
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_its_time_to_load_from_the_beginning_and_then_from_the_last_request() {
        let [unused, unloaded, hour] = [30, 120, 60].map(|minutes| Duration::from_secs(minutes * 60));
        let limits = Limits { unused: Some(unused), unloaded: Some(unloaded) };
        let begun = Instant::now();
        let fresh = State { begun, is_loaded: false, asking: 0, last: begun + hour };
        assert_eq!(fresh.end(limits), Some((Reason::Unloaded(unloaded), begun + unloaded)));
        let loaded = State { is_loaded: true, ..fresh };
        assert_eq!(loaded.end(limits), Some((Reason::Unused(unused), begun + hour + unused)));
        assert_eq!(State { asking: 1, ..fresh }.end(limits), None);
        for limit in [None, Some(Duration::MAX)] {
            let limits = Limits { unused: limit, unloaded: limit };
            assert_eq!((fresh.end(limits), loaded.end(limits)), (None, None));
        }
    }
}
