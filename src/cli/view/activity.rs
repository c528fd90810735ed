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
    /// Since the beginning, until the page is loaded.
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

impl Activity {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, state: watch::Sender::new(State { is_loaded: false, asking: 0, last: Instant::now() }) }
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
            let limit = match (state.is_loaded, self.limits) {
                _ if state.asking > 0 => None,
                (true, Limits { unused, .. }) => unused.map(Reason::Unused),
                (false, Limits { unloaded, .. }) => unloaded.map(Reason::Unloaded),
            };
            let end = async {
                match limit {
                    // Too long a time for a clock is for ever.
                    Some(reason @ (Reason::Unused(time) | Reason::Unloaded(time))) => {
                        match state.last.checked_add(time) {
                            Some(end) => {
                                sleep_until(end).await;
                                reason
                            }
                            None => std::future::pending().await,
                        }
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
