//! Why a part of a recording was kept for somebody to look at.

use std::fmt;
use std::time::Duration;

use crate::samples::Span;

/// What a profile was captured for, by [`Recorder::capture_on`](crate::Recorder::capture_on).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Captured {
    /// Why it was.
    pub reason: CaptureReason,
    /// The request that gave the reason, in the profile's own time.
    pub span: Option<Span>,
    /// Index of the [thread](crate::Profile::threads) that has the samples of that request, and nothing else: those of the threads it
    /// really ran on, which do not have them. `None` if there are none, or it cannot be told from others.
    pub thread: Option<usize>,
    /// Occasions since the capture before that came too soon after it.
    pub left_out: u64,
}

/// Why a profile was captured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CaptureReason {
    /// A request took longer than this.
    Slow(Duration),
    /// A request failed.
    Failed,
    /// Somebody has asked for it, and said this.
    Asked(String),
}

impl CaptureReason {
    /// The name used in outputs and in names of files: `slow`, `failed` or `asked`.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Slow(_) => "slow",
            Self::Failed => "failed",
            Self::Asked(_) => "asked",
        }
    }
}

/// `GET /cart took 812ms, more than 200ms`. Clients choose names of requests: escape it.
impl fmt::Display for Captured {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.span.as_ref().map_or("a request", |span| span.path.as_deref().unwrap_or(&span.name));
        let method = self.span.as_ref().filter(|span| span.path.is_some()).and_then(|span| span.name.split_once(' '));
        let what = method.map_or_else(|| what.to_owned(), |(method, _)| format!("{method} {what}"));
        match &self.reason {
            CaptureReason::Slow(limit) => {
                let wall = self.span.as_ref().map_or(*limit, |span| span.wall);
                write!(formatter, "{what} took {:.1?}, more than {limit:?}", rounded(wall))?;
            }
            CaptureReason::Failed => write!(formatter, "{what} failed")?,
            CaptureReason::Asked(said) => write!(formatter, "{said}")?,
        }
        match self.left_out {
            0 => Ok(()),
            1 => write!(formatter, " (and another occasion before that)"),
            more => write!(formatter, " (and {more} occasions before that)"),
        }
    }
}

/// To a tenth of a millisecond: nobody asks for more of a request.
fn rounded(time: Duration) -> Duration {
    const UNIT: u64 = 100_000;
    let nanos = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
    if nanos < UNIT { time } else { Duration::from_nanos(nanos / UNIT * UNIT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_says_what_happened() {
        let span = Span::new("GET /cart/{}", Duration::ZERO, Duration::from_micros(812_345)).path("/cart/7");
        let captured = |reason, span, left_out| Captured { reason, span, thread: None, left_out }.to_string();
        let slow = CaptureReason::Slow(Duration::from_millis(200));
        assert_eq!(captured(slow.clone(), Some(span.clone()), 0), "GET /cart/7 took 812.3ms, more than 200ms");
        let unnamed = Span::new("job", Duration::ZERO, Duration::from_secs(2));
        assert_eq!(captured(slow, Some(unnamed), 0), "job took 2.0s, more than 200ms");
        let failed = captured(CaptureReason::Failed, Some(span), 1);
        assert_eq!(failed, "GET /cart/7 failed (and another occasion before that)");
        assert_eq!(captured(CaptureReason::Asked("SIGUSR2".to_owned()), None, 0), "SIGUSR2");
    }
}
