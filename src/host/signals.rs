//! Signals that end a process.

use super::ending;

/// Signals that end a process, listened to from the moment this is made.
pub(super) struct EndingSignals {
    #[cfg(unix)]
    streams: Vec<(i32, tokio::signal::unix::Signal)>,
}

impl EndingSignals {
    #[cfg(unix)]
    pub(super) fn listen() -> Self {
        use tokio::signal::unix::{SignalKind, signal};
        let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
        // Whoever starts a process with a signal ignored, as `nohup` does, wants it to be ignored. But a request to
        // terminate is for whoever manages services: one has to be there.
        let kinds =
            kinds.into_iter().filter(|kind| *kind == SignalKind::terminate() || !is_ignored(kind.as_raw_value()));
        let streams = kinds.filter_map(|kind| Some((kind.as_raw_value(), signal(kind).ok()?)));
        Self { streams: streams.collect() }
    }

    #[cfg(not(unix))]
    pub(super) fn listen() -> Self {
        Self {}
    }

    /// On Ctrl-C or a request to terminate: ends the process, as below.
    pub(super) async fn end_process(mut self) {
        let number = self.wait().await;
        self.end_process_by(number).await;
    }

    /// Writes the profile and ends the process with the shell's code for the signal `number`. Another signal ends it at
    /// once: the profile may be going to a pipe that nobody reads.
    pub(super) async fn end_process_by(mut self, number: i32) {
        let last = tokio::task::spawn_blocking(ending::do_last);
        tokio::select! {
            _ = last => {}
            _ = self.wait() => ending::kill(),
        }
        std::process::exit(128 + number);
    }

    /// Waits for the next one, and returns its number.
    #[cfg(unix)]
    pub(super) async fn wait(&mut self) -> i32 {
        std::future::poll_fn(|context| {
            for (number, stream) in &mut self.streams {
                if stream.poll_recv(context).is_ready() {
                    return std::task::Poll::Ready(*number);
                }
            }
            std::task::Poll::Pending
        })
        .await
    }

    #[cfg(not(unix))]
    pub(super) async fn wait(&mut self) -> i32 {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPT
    }
}

/// The number of SIGINT everywhere.
const INTERRUPT: i32 = 2;

/// Whether this process was started to ignore Ctrl-C, as background jobs of scripts are.
pub(super) fn are_interrupts_ignored() -> bool {
    cfg!(unix) && is_ignored(INTERRUPT)
}

/// Whether this process ignores a signal; `false` where the system does not tell.
fn is_ignored(signal: i32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    // One bit for each, the first signal lowest.
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    mask & (1 << (signal - 1)) != 0
}
