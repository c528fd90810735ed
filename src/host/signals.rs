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
        // Whoever starts a process with a signal ignored, as `nohup` does, wants it to be ignored.
        let ignored = ignored_signals();
        let kinds = kinds.into_iter().filter(|kind| ignored & (1 << (kind.as_raw_value() - 1)) == 0);
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
        // The number of SIGINT everywhere.
        const INTERRUPT: i32 = 2;
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
        INTERRUPT
    }
}

/// The signals that this process was started to ignore, one bit each, the first signal lowest. None where the system
/// does not tell.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}
