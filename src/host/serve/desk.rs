//! The requests in one instance: what its task, which drives the store, and the function inside of the store's event
//! loop, which calls the guest, know of each other.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use wasmtime_wasi_http::handler::ExpirationError;
use witprof::Labels;

use super::exchange::Exchange;
use super::pool::Job;
use crate::host::lock;

/// How much later an instance is given up than a request: the one that takes too long is to be told so.
const GRACE: Duration = Duration::from_millis(10);

/// How long instances are used.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    /// Requests to an instance in all.
    pub(super) max_reuse: usize,
    /// Requests to an instance at a time.
    pub(super) max_concurrent: usize,
    /// Time for a request.
    pub(super) timeout: Option<Duration>,
    /// Time that an instance is kept without one.
    pub(super) idle_timeout: Duration,
}

/// What an instance does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Answers requests.
    Requests,
    /// Has answered, and has more to do.
    PostReturn,
    /// Waits for requests.
    Idle,
}

/// The requests in one instance.
pub(super) struct Desk {
    limits: Limits,
    state: Mutex<State>,
}

struct State {
    /// Put there, but not given to the guest.
    inbox: VecDeque<Job>,
    visitors: Vec<Visitor>,
    /// Changes whenever `visitors` do.
    version: u64,
    /// Requests so far.
    taken: usize,
    /// Whether a request took too long, so that no more are taken.
    is_closed: bool,
    /// Whether the guest would take another.
    is_ready: bool,
    phase: Phase,
    /// Since when that is the phase.
    since: Instant,
}

/// An exchange that is in the instance: until the guest's function has returned, and the answer is sent.
struct Visitor {
    exchange: Arc<Exchange>,
    since: Instant,
    has_returned: bool,
}

/// The exchanges that are in an instance at some moment.
pub(super) struct Present {
    version: u64,
    exchanges: Vec<Arc<Exchange>>,
}

impl Desk {
    pub(super) fn new(limits: Limits) -> Self {
        let state = State {
            inbox: VecDeque::new(),
            visitors: Vec::new(),
            version: 0,
            taken: 0,
            is_closed: false,
            is_ready: true,
            phase: Phase::Idle,
            since: Instant::now(),
        };
        Self { limits, state: Mutex::new(state) }
    }

    pub(super) fn timeout(&self) -> Option<Duration> {
        self.limits.timeout
    }

    /// A request for the guest.
    pub(super) fn put(&self, job: Job) {
        let mut state = lock(&self.state);
        let since = Instant::now();
        state.visitors.push(Visitor { exchange: Arc::clone(&job.exchange), since, has_returned: false });
        state.inbox.push_back(job);
        state.taken += 1;
        state.version += 1;
        (state.phase, state.since) = (Phase::Requests, since);
    }

    /// The next request that the guest has not got.
    pub(super) fn next_job(&self) -> Option<Job> {
        lock(&self.state).inbox.pop_front()
    }

    /// The guest's function has returned, or its time is up.
    pub(super) fn returned(&self, exchange: &Arc<Exchange>, is_in_time: bool) {
        exchange.ends_now();
        let mut state = lock(&self.state);
        state.is_closed |= !is_in_time;
        let visitor = state.visitors.iter_mut().find(|visitor| Arc::ptr_eq(&visitor.exchange, exchange));
        if let Some(visitor) = visitor {
            visitor.has_returned = true;
        }
    }

    /// What the instance does now, and whether the guest would take another request.
    pub(super) fn settle(&self, phase: Phase, is_ready: bool) {
        let mut state = lock(&self.state);
        state.is_ready = is_ready;
        if state.phase != phase {
            (state.phase, state.since) = (phase, Instant::now());
        }
        if phase == Phase::Idle && !state.visitors.is_empty() {
            state.version += 1;
            let gone = std::mem::take(&mut state.visitors);
            drop(state);
            // They are recorded now, perhaps.
            drop(gone);
        }
    }

    pub(super) fn is_idle(&self) -> bool {
        lock(&self.state).phase == Phase::Idle
    }

    /// Whether the instance may ever take another request.
    pub(super) fn may_accept(&self) -> bool {
        let state = lock(&self.state);
        !state.is_closed && state.taken < self.limits.max_reuse
    }

    /// Whether the instance takes another request now.
    pub(super) fn is_open(&self) -> bool {
        let state = lock(&self.state);
        let busy = state.visitors.iter().filter(|visitor| !visitor.has_returned).count();
        let may_accept = !state.is_closed && state.taken < self.limits.max_reuse;
        may_accept && state.is_ready && busy < self.limits.max_concurrent
    }

    /// Who is there.
    pub(super) fn present(&self) -> Present {
        let mut state = lock(&self.state);
        state.let_go();
        let exchanges = state.visitors.iter().map(|visitor| Arc::clone(&visitor.exchange)).collect();
        Present { version: state.version, exchanges }
    }

    /// Whether somebody has come or gone.
    pub(super) fn differs(&self, present: &Present) -> bool {
        let mut state = lock(&self.state);
        state.let_go();
        state.version != present.version
    }

    /// When the instance has to be given up, if nothing happens.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let state = lock(&self.state);
        // The last to come: all others have been given up by then.
        let last = state.visitors.iter().filter(|visitor| !visitor.has_returned).map(|visitor| visitor.since).max();
        match state.phase {
            Phase::Requests => last.unwrap_or(state.since).checked_add(self.limits.timeout?.checked_add(GRACE)?),
            Phase::PostReturn => state.since.checked_add(self.limits.timeout?),
            Phase::Idle => state.since.checked_add(self.limits.idle_timeout),
        }
    }

    /// What it means that the deadline has passed.
    pub(super) fn expired(&self) -> wasmtime::Result<()> {
        if self.is_idle() { Ok(()) } else { Err(ExpirationError.into()) }
    }

    /// The instance is no more. Returns the requests that the guest has not got.
    pub(super) fn close(self, has_failed: bool) -> VecDeque<Job> {
        let state = self.state.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
        let waiting = |exchange: &Arc<Exchange>| state.inbox.iter().any(|job| Arc::ptr_eq(&job.exchange, exchange));
        for visitor in state.visitors.iter().filter(|visitor| has_failed && !waiting(&visitor.exchange)) {
            visitor.exchange.fail();
        }
        state.inbox
    }
}

impl State {
    /// Forgets exchanges that are over.
    fn let_go(&mut self) {
        let before = self.visitors.len();
        self.visitors.retain(|visitor| !(visitor.has_returned && visitor.exchange.is_sent()));
        if self.visitors.len() != before {
            self.version += 1;
        }
    }
}

impl Present {
    /// The labels of whatever the instance does: of its exchanges, if they agree; else `several`, because nobody tells
    /// for which of them it runs. None if it has none.
    pub(super) fn labels<'l>(&'l self, several: &'l Labels) -> Option<&'l Labels> {
        let (first, others) = self.exchanges.split_first()?;
        if others.is_empty() {
            return Some(first.own_labels());
        }
        let agree = others.iter().all(|other| other.is_like(first));
        Some(if agree { first.labels() } else { several })
    }

    /// What the instance has done took this CPU time.
    pub(super) fn charge(&self, cpu: Duration) {
        match &self.exchanges[..] {
            [only] => only.cpu().add(cpu),
            several => several.iter().for_each(|exchange| exchange.in_company()),
        }
    }
}
