//! When the server ends.

use tokio::sync::watch;

/// How far the server has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// Nothing is served yet.
    Starting,
    Serving,
    /// Requests that have begun are finished, and no others begin.
    Ending,
}

/// The end of the server, for whoever asks for it and whoever waits for it. Clones are the same.
#[derive(Clone, Debug)]
pub(super) struct Shutdown {
    stage: watch::Sender<Stage>,
}

impl Shutdown {
    pub(super) fn new() -> Self {
        Self { stage: watch::Sender::new(Stage::Starting) }
    }

    /// The server is there.
    pub(super) fn begin_serving(&self) {
        self.stage.send_replace(Stage::Serving);
    }

    /// Asks the server to end. Returns whether it will because of this; `false` if it is not there, or ends already.
    pub(super) fn request(&self) -> bool {
        self.stage.send_if_modified(|stage| {
            let is_serving = *stage == Stage::Serving;
            if is_serving {
                *stage = Stage::Ending;
            }
            is_serving
        })
    }

    pub(super) fn is_requested(&self) -> bool {
        *self.stage.borrow() == Stage::Ending
    }

    /// Waits until somebody has asked for it.
    pub(super) async fn requested(&self) {
        let mut stage = self.stage.subscribe();
        // There is a sender as long as there is `self`, so this ends for the right reason only.
        let _ = stage.wait_for(|stage| *stage == Stage::Ending).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn it_is_requested_once_and_not_before_there_is_a_server() {
        let shutdown = Shutdown::new();
        assert!(!shutdown.request() && !shutdown.is_requested());
        shutdown.begin_serving();
        assert!(!shutdown.is_requested());
        assert!(shutdown.clone().request() && shutdown.is_requested());
        assert!(!shutdown.request());
        shutdown.requested().await;
    }
}
