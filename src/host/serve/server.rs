//! What all connections and instances share.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit, mpsc};
use witprof::Labels;

use super::desk::Limits;
use super::exchange::Ledger;
use super::guest::Guest;
use super::headers::RequestHeaders;
use super::instance;
use super::pool::{Job, Pool};
use super::shutdown::Shutdown;

/// What all connections and instances share.
pub(super) struct Server {
    pub(super) guest: Guest,
    pub(super) limits: Limits,
    pub(super) ledger: Arc<Ledger>,
    pub(super) headers: RequestHeaders,
    pub(super) shutdown: Shutdown,
    pub(super) pool: Pool,
    /// The labels of instances with requests that have different ones.
    pub(super) several: Labels,
    /// How long a client may take to ask.
    pub(super) header_timeout: Duration,
    /// As many requests may be answered at a time.
    pub(super) permits: Semaphore,
    /// How many requests are to be answered in all.
    pub(super) enough: u64,
    pub(super) admitted: AtomicU64,
    /// Whoever has the other end knows when all connections and instances are gone.
    pub(super) _alive: mpsc::Sender<Infallible>,
}

impl Server {
    /// Lets a request in, as soon as there is room. `None` if there have been enough, or the server ends.
    pub(super) async fn admit(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.permits.acquire().await.ok()?;
        if self.shutdown.is_requested() {
            return None;
        }
        let before = self.admitted.fetch_add(1, Ordering::Relaxed);
        if before + 1 == self.enough {
            self.shutdown.request();
        }
        (before < self.enough).then_some(permit)
    }

    /// Has a request answered by an instance that would take one, else by a new one.
    pub(super) fn submit(self: &Arc<Self>, job: Job) {
        if let Some(job) = self.pool.hand_over(job) {
            tokio::spawn(instance::run(Arc::clone(self), job));
        }
    }
}
