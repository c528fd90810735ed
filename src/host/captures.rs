//! Profiles that are written while a recording goes on.

use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::ValueEnum;
use witprof::export::escape_control;
use witprof::{Profile, Recorder, Trigger};

use super::recording::Verbosity;
use crate::files::{CaptureFolder, Shown, shown_path};
use crate::terminal;

/// What is captured when, and where it goes.
#[derive(Debug)]
pub(crate) struct Capturing {
    pub(crate) triggers: Vec<Trigger>,
    pub(crate) signal: Option<CaptureSignal>,
    /// Time around what is captured.
    pub(crate) before: Duration,
    pub(crate) after: Duration,
    /// The least time between two requests that are captured.
    pub(crate) every: Duration,
    pub(crate) folder: CaptureFolder,
}

/// A signal that asks for a capture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CaptureSignal {
    /// SIGUSR1
    #[value(name = "USR1", alias = "SIGUSR1")]
    Usr1,
    /// SIGUSR2
    #[value(name = "USR2", alias = "SIGUSR2")]
    Usr2,
}

/// Writes captures. It is there for as long as the recording, and shared by whoever asks for one.
#[derive(Debug)]
pub(super) struct CaptureWriter {
    recorder: Arc<Recorder>,
    folder: CaptureFolder,
    before: Duration,
    after: Duration,
    shown: Shown,
    verbosity: Verbosity,
}

/// Writes captures of what happens, on a thread of its own.
pub(super) struct CaptureThread(Option<JoinHandle<()>>);

impl Capturing {
    /// Refuses what cannot be, before anything runs.
    pub(super) fn check(&self, sampling_signal: Option<i32>) -> Result<()> {
        if let (Some(signal), Some(taken)) = (self.signal, sampling_signal)
            && signal.number() == Some(taken)
        {
            anyhow::bail!(
                "`--signal {taken}` and `--on-signal {}` are the same signal: choose another one",
                signal.name()
            );
        }
        Ok(())
    }

    /// Begins to capture, and says where captures go, if there will be any. The thread has to be waited for when the recording has ended.
    pub(super) fn start(
        self,
        recorder: &Arc<Recorder>,
        shown: Shown,
        verbosity: Verbosity,
    ) -> Result<(Arc<CaptureWriter>, CaptureThread)> {
        let Self { triggers, signal, before, after, every, folder } = self;
        if signal.is_some() || !triggers.is_empty() {
            folder.prepare()?;
            verbosity.message(&format!("captures go to {}", shown_path(folder.path())));
        }
        let writer = CaptureWriter { recorder: Arc::clone(recorder), folder, before, after, shown, verbosity };
        let writer = Arc::new(writer);
        if let Some(signal) = signal {
            signal.listen(&writer)?;
        }
        if triggers.is_empty() {
            return Ok((writer, CaptureThread(None)));
        }
        let captures = recorder.capture_on(triggers).look_back(before).look_forward(after).at_most_every(every);
        let thread = std::thread::Builder::new().name("witprof captures".to_owned()).spawn({
            let writer = Arc::clone(&writer);
            move || captures.for_each(|profile| told(writer.write(profile)))
        });
        Ok((writer, CaptureThread(Some(thread.context("starting a thread that writes captures")?))))
    }
}

impl CaptureWriter {
    /// Captures what is now because somebody has asked for it, once the time after that has passed or `is_over`. Says where it is.
    pub(super) async fn capture_now(
        self: Arc<Self>,
        reason: &'static str,
        is_over: impl Future<Output = ()>,
    ) -> Result<PathBuf> {
        let now = self.recorder.elapsed();
        tokio::select! {
            () = tokio::time::sleep(self.after) => {}
            () = is_over => {}
        }
        let written = tokio::task::spawn_blocking(move || {
            let period = now.saturating_sub(self.before)..now.saturating_add(self.after);
            self.write(self.recorder.capture(reason, period))
        });
        written.await?
    }

    /// Writes a capture, and says where it is.
    fn write(&self, mut profile: Profile) -> Result<PathBuf> {
        // What is missing is said once, at the end of the recording.
        let _ = self.shown.complete(&mut profile);
        let path = self.folder.store(&self.shown.of(&profile))?;
        let what = profile.captured().map_or_else(String::new, ToString::to_string);
        self.verbosity.message(&format!("captured: {}: {}", escape_control(&what), shown_path(&path)));
        Ok(path)
    }
}

/// Nobody but the terminal is told of what went wrong.
fn told(written: Result<PathBuf>) {
    if let Err(error) = written {
        terminal::report(&error);
    }
}

impl CaptureThread {
    /// Waits until the last capture is written.
    pub(super) fn wait(self) {
        if let Some(thread) = self.0 {
            // A panic was told by itself.
            let _ = thread.join();
        }
    }
}

impl CaptureSignal {
    fn name(self) -> &'static str {
        match self {
            Self::Usr1 => "SIGUSR1",
            Self::Usr2 => "SIGUSR2",
        }
    }

    #[cfg(unix)]
    fn kind(self) -> tokio::signal::unix::SignalKind {
        match self {
            Self::Usr1 => tokio::signal::unix::SignalKind::user_defined1(),
            Self::Usr2 => tokio::signal::unix::SignalKind::user_defined2(),
        }
    }

    #[cfg(unix)]
    #[allow(clippy::unnecessary_wraps, reason = "elsewhere there are none")]
    fn number(self) -> Option<i32> {
        Some(self.kind().as_raw_value())
    }

    #[cfg(not(unix))]
    fn number(self) -> Option<i32> {
        None
    }

    /// Captures whenever the signal comes.
    #[cfg(unix)]
    fn listen(self, writer: &Arc<CaptureWriter>) -> Result<()> {
        let listening = || format!("listening to {}", self.name());
        let mut signals = tokio::signal::unix::signal(self.kind()).with_context(listening)?;
        let writer = Arc::downgrade(writer);
        tokio::spawn(async move {
            while signals.recv().await.is_some() {
                let Some(writer) = writer.upgrade() else { return };
                told(writer.capture_now(self.name(), std::future::pending()).await);
            }
        });
        Ok(())
    }

    #[cfg(not(unix))]
    fn listen(self, _: &Arc<CaptureWriter>) -> Result<()> {
        anyhow::bail!("`--on-signal` needs signals, which this system has not")
    }
}
