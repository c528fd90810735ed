//! Profiles of what was slow or went wrong, kept when it happens: a flight recorder.
//!
//! What happens is known by the [`Span`]s that the host records. A span that a [`Trigger`] is for becomes an occasion, and waits in
//! the queue of its [`Captures`] until the time after it has passed, too. Whoever takes captures from there makes the profile, on a
//! thread of his own: nobody who answers requests waits for it.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, Weak};
use std::time::Duration;

use super::shared::Shared;
use crate::lock::lock;
use crate::profile::{CaptureReason, Captured, Filter, Profile};
use crate::samples::Span;

/// Occasions that may wait to be captured; more are counted.
const MAX_WAITING: usize = 16;

/// What is worth a capture, for [`Recorder::capture_on`](crate::Recorder::capture_on).
///
/// ```
/// use std::time::Duration;
/// use witprof::Trigger;
///
/// // Requests for the cart of two tenants that take longer than 200 ms.
/// let trigger = Trigger::slow(Duration::from_millis(200))
///     .label("route", "/cart")
///     .label("tenant", "a")
///     .label("tenant", "b");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "a trigger does nothing until a recorder captures on it"]
pub struct Trigger {
    reason: CaptureReason,
    /// Which labels a span has to have.
    filter: Filter,
}

impl Trigger {
    /// A span that takes longer than `limit`.
    pub fn slow(limit: Duration) -> Self {
        Self { reason: CaptureReason::Slow(limit), filter: Filter::default() }
    }

    /// A span that [failed](Span::failed).
    pub fn failed() -> Self {
        Self { reason: CaptureReason::Failed, filter: Filter::default() }
    }

    /// Only spans with this [label](Span::labels). Of several values for a key, one has to be there.
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.filter = self.filter.label(key, value);
        self
    }

    fn is_for(&self, span: &Span) -> bool {
        let is_one = match &self.reason {
            CaptureReason::Slow(limit) => span.wall > *limit,
            CaptureReason::Failed => span.has_failed,
            CaptureReason::Asked(_) => false,
        };
        is_one && self.filter.means_labels(&span.purpose.labels)
    }
}

impl IntoIterator for Trigger {
    type Item = Self;
    type IntoIter = std::iter::Once<Self>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self)
    }
}

/// Captures of a recording, as they are made. Made by [`Recorder::capture_on`](crate::Recorder::capture_on).
///
/// An iterator that waits for the next occasion, and then until the time after that has passed: for a thread of its own. It ends
/// when the recording does, with what has waited until then.
#[derive(Debug)]
#[must_use = "captures are made by who takes them"]
pub struct Captures {
    shared: Arc<Shared>,
    queue: Arc<CaptureQueue>,
    before: Duration,
    after: Duration,
}

/// The occasions of one [`Captures`].
#[derive(Debug)]
pub(super) struct CaptureQueue {
    triggers: Vec<Trigger>,
    state: Mutex<QueueState>,
    has_changed: Condvar,
}

#[derive(Debug)]
struct QueueState {
    waiting: VecDeque<Occasion>,
    /// The least time between two for one trigger.
    distance: Duration,
    /// By trigger: when the last one was.
    last: Vec<Option<Duration>>,
    /// Those that came too soon since then.
    left_out: u64,
    is_over: bool,
}

#[derive(Debug)]
struct Occasion {
    reason: CaptureReason,
    span: Span,
    left_out: u64,
}

impl CaptureQueue {
    fn new(triggers: Vec<Trigger>) -> Self {
        let (distance, last) = (Captures::DISTANCE, vec![None; triggers.len()]);
        let state = QueueState { waiting: VecDeque::new(), distance, last, left_out: 0, is_over: false };
        Self { triggers, state: Mutex::new(state), has_changed: Condvar::new() }
    }

    fn look_at(&self, span: &Span) {
        let Some(number) = self.triggers.iter().position(|trigger| trigger.is_for(span)) else { return };
        let mut state = lock(&self.state);
        let end = span.end();
        let is_soon = state.last[number].is_some_and(|last| end < last.saturating_add(state.distance));
        if is_soon || state.waiting.len() >= MAX_WAITING {
            state.left_out += 1;
            return;
        }
        state.last[number] = Some(end);
        let (reason, left_out) = (self.triggers[number].reason.clone(), std::mem::take(&mut state.left_out));
        state.waiting.push_back(Occasion { reason, span: span.clone(), left_out });
        drop(state);
        self.has_changed.notify_all();
    }

    /// The recording is over. What waits is captured at once, unless its names are gone as well.
    fn end(&self, has_names: bool) {
        let mut state = lock(&self.state);
        state.is_over = true;
        if !has_names {
            state.waiting.clear();
        }
        drop(state);
        self.has_changed.notify_all();
    }

    /// Waits for an occasion, and until the time `after` it has passed. `None` once there will be no more.
    fn next(&self, after: Duration, now: impl Fn() -> Duration) -> Option<Occasion> {
        let mut state = lock(&self.state);
        loop {
            let rest = state.waiting.front().map(|first| first.span.end().saturating_add(after).saturating_sub(now()));
            state = match rest {
                Some(rest) if rest.is_zero() || state.is_over => return state.waiting.pop_front(),
                // A poisoned lock has nothing that could be half done.
                Some(rest) => self.has_changed.wait_timeout(state, rest).unwrap_or_else(PoisonError::into_inner).0,
                None if state.is_over => return None,
                None => self.has_changed.wait(state).unwrap_or_else(PoisonError::into_inner),
            };
        }
    }
}

impl Captures {
    /// The time before the begin of a request that a capture has, unless said otherwise.
    pub const BEFORE: Duration = Duration::from_secs(5);
    /// The time after its end.
    pub const AFTER: Duration = Duration::from_secs(1);
    /// The least time between two captures.
    pub const DISTANCE: Duration = Duration::from_secs(10);

    pub(super) fn new(shared: &Arc<Shared>, triggers: Vec<Trigger>) -> Self {
        let queue = Arc::new(CaptureQueue::new(triggers));
        shared.occasions.add(&queue);
        if shared.end.get().is_some() {
            queue.end(true);
        }
        Self { shared: Arc::clone(shared), queue, before: Self::BEFORE, after: Self::AFTER }
    }

    /// Chooses how much of the time before a request is in its capture, as far as the recording
    /// [keeps](crate::RecorderBuilder::keep_last) it; the default is [`BEFORE`](Self::BEFORE).
    pub fn look_back(mut self, time: Duration) -> Self {
        self.before = time;
        self
    }

    /// Chooses how much of the time after a request is in its capture; the default is [`AFTER`](Self::AFTER). Captures are made so
    /// much later.
    pub fn look_forward(mut self, time: Duration) -> Self {
        self.after = time;
        self
    }

    /// Chooses the least time between the ends of two requests that are captured for one trigger; the default is [`DISTANCE`](Self::DISTANCE).
    /// Those in between are [counted](Captured::left_out).
    pub fn at_most_every(self, distance: Duration) -> Self {
        lock(&self.queue.state).distance = distance;
        self
    }
}

impl Iterator for Captures {
    type Item = Profile;

    fn next(&mut self) -> Option<Profile> {
        let shared = &self.shared;
        let Occasion { reason, span, left_out } = self.queue.next(self.after, || shared.elapsed())?;
        let period = span.begin.saturating_sub(self.before)..span.end().saturating_add(self.after);
        Some(shared.capture(period, Captured { reason, span: Some(span), thread: None, left_out }))
    }
}

/// Everybody who wants to be told of spans.
#[derive(Debug, Default)]
pub(super) struct Occasions {
    queues: Mutex<Vec<Weak<CaptureQueue>>>,
    /// Whether there may be any.
    are_wanted: AtomicBool,
}

impl Occasions {
    fn add(&self, queue: &Arc<CaptureQueue>) {
        lock(&self.queues).push(Arc::downgrade(queue));
        self.are_wanted.store(true, Ordering::Release);
    }

    pub(super) fn look_at(&self, span: &Span) {
        if self.are_wanted.load(Ordering::Acquire) {
            self.each(|queue| queue.look_at(span));
        }
    }

    /// The recording is over.
    pub(super) fn end(&self, has_names: bool) {
        self.each(|queue| queue.end(has_names));
    }

    fn each(&self, tell: impl Fn(&CaptureQueue)) {
        let mut queues = lock(&self.queues);
        queues.retain(|queue| {
            queue.upgrade().is_some_and(|queue| {
                tell(&queue);
                true
            })
        });
        if queues.is_empty() {
            self.are_wanted.store(false, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::samples::Purpose;

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    fn span(begin: u64, wall: u64, route: &str) -> Span {
        let labels = Arc::new(Box::from([("route".to_owned(), route.to_owned())]));
        Span::new("GET", ms(begin), ms(wall)).with_purpose(Purpose { labels, request: None })
    }

    #[test]
    fn a_trigger_is_for_some_spans() {
        let slow = Trigger::slow(ms(200)).label("route", "/a").label("route", "/b");
        assert!(slow.is_for(&span(0, 201, "/a")) && slow.is_for(&span(0, 201, "/b")));
        assert!(!slow.is_for(&span(0, 200, "/a")) && !slow.is_for(&span(0, 201, "/c")));
        assert!(!Trigger::failed().is_for(&span(0, 900, "/a")) && Trigger::failed().is_for(&span(0, 1, "/a").failed()));
        assert!(!Trigger::slow(ms(1)).label("tenant", "x").is_for(&span(0, 2, "/a")));
    }

    #[test]
    fn occasions_come_one_by_one_when_their_time_has_passed() {
        let queue = CaptureQueue::new(vec![Trigger::failed(), Trigger::slow(ms(5))]);
        lock(&queue.state).distance = ms(100);
        queue.look_at(&span(10, 6, "/a"));
        for begin in [20, 40, 60] {
            queue.look_at(&span(begin, 6, "/soon"));
        }
        // Another trigger need not wait.
        queue.look_at(&span(62, 6, "/late").failed());
        let next = |now: u64| queue.next(ms(50), || ms(now)).expect("an occasion");
        let first = next(66);
        assert_eq!((first.span.begin, first.span.end(), first.left_out), (ms(10), ms(16), 0));
        assert!(matches!(first.reason, CaptureReason::Slow(_)));
        // Its time has not come, but the recording is over.
        queue.end(true);
        let second = next(0);
        assert_eq!((second.span.begin, second.left_out, second.reason), (ms(62), 3, CaptureReason::Failed));
        assert!(queue.next(ms(50), || ms(0)).is_none());
    }

    #[test]
    fn only_so_many_wait_and_nothing_is_captured_without_names() {
        let queue = CaptureQueue::new(vec![Trigger::slow(ms(5))]);
        lock(&queue.state).distance = Duration::ZERO;
        (0..100).for_each(|begin| queue.look_at(&span(begin, 6, "/a")));
        let counts = |state: &QueueState| (state.waiting.len(), state.left_out);
        assert_eq!(counts(&lock(&queue.state)), (MAX_WAITING, 84));
        queue.end(false);
        assert!(queue.next(Duration::MAX, || ms(0)).is_none());
    }
}
