//! What the host did, as it says itself.

use std::time::Duration;

use super::labels::Purpose;

/// A stretch of time in which the host did something, such as answering a request. Recorded by
/// [`Recorder::record_span`](crate::Recorder::record_span).
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Span {
    /// What it was: `GET /cart`. Chosen by the host, perhaps from what its clients sent: escape it.
    pub name: String,
    /// What exactly it was for, where the name stands for a group: the path of a request. Escape it, too.
    pub path: Option<String>,
    /// More about it, such as its result.
    pub detail: Option<String>,
    /// When it began, in time [since the recording began](crate::Recorder::elapsed).
    pub begin: Duration,
    /// How long it took.
    pub wall: Duration,
    /// CPU time that it took, if that is known.
    pub cpu: Option<Duration>,
    /// Whether it ended as it should not.
    pub has_failed: bool,
    /// What the guest's activations were for that belong to it.
    pub(crate) purpose: Purpose,
}

impl Span {
    /// Something that began at `begin`, in time [since the recording began](crate::Recorder::elapsed), and took `wall`.
    #[must_use]
    pub fn new(name: impl Into<String>, begin: Duration, wall: Duration) -> Self {
        Self {
            name: name.into(),
            path: None,
            detail: None,
            begin,
            wall,
            cpu: None,
            has_failed: false,
            purpose: Purpose::default(),
        }
    }

    /// Says more about it.
    #[must_use]
    pub fn detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Says what exactly it was for, such as the path of a request.
    #[must_use]
    pub fn path(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Says how much CPU time it took.
    #[must_use]
    pub fn cpu(mut self, cpu: Duration) -> Self {
        self.cpu = Some(cpu);
        self
    }

    /// Says that it ended as it should not, for instance in a trap.
    #[must_use]
    pub fn failed(mut self) -> Self {
        self.has_failed = true;
        self
    }

    pub(crate) fn with_purpose(mut self, purpose: Purpose) -> Self {
        self.purpose = purpose;
        self
    }

    /// When it ended.
    pub(crate) fn end(&self) -> Duration {
        self.begin.saturating_add(self.wall)
    }
}
