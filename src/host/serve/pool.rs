//! Instances that would take another request, and how they get it.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use futures::channel::oneshot;
use tokio::sync::mpsc;
use wasmtime_wasi_http::handler::{Request, Response};

use super::exchange::Exchange;
use crate::host::lock;

/// A request on its way to a guest.
pub(super) struct Job {
    pub(super) request: Request,
    pub(super) answer: oneshot::Sender<wasmtime::Result<Response>>,
    pub(super) exchange: Arc<Exchange>,
}

/// The instances that would take another request now.
#[derive(Default)]
pub(super) struct Pool {
    /// By number: the oldest come first, so that the others, if they are not needed, go.
    open: Mutex<BTreeMap<u64, mpsc::UnboundedSender<Job>>>,
    next: AtomicU64,
}

impl Pool {
    /// The number of a new instance.
    pub(super) fn next_number(&self) -> u64 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Gives the job to an instance. Returns it if none will take it.
    pub(super) fn hand_over(&self, mut job: Job) -> Option<Job> {
        let mut open = lock(&self.open);
        while let Some((_, jobs)) = open.pop_first() {
            // Sent under the lock: who finds itself taken off the list finds the job as well.
            match jobs.send(job) {
                Ok(()) => return None,
                // It has ended in a panic.
                Err(returned) => job = returned.0,
            }
        }
        Some(job)
    }
}

/// An instance's end of the pool.
pub(super) struct Member<'p> {
    pool: &'p Pool,
    number: u64,
    sender: mpsc::UnboundedSender<Job>,
    jobs: mpsc::UnboundedReceiver<Job>,
    /// Whether it is open, unless somebody has taken it.
    is_open: bool,
}

impl<'p> Member<'p> {
    pub(super) fn new(pool: &'p Pool, number: u64) -> Self {
        let (sender, jobs) = mpsc::unbounded_channel();
        Self { pool, number, sender, jobs, is_open: false }
    }

    /// Opens the instance for one more request, which may come at once or wake the task.
    pub(super) fn open(&mut self, context: &mut Context<'_>) -> Option<Job> {
        if !self.is_open {
            lock(&self.pool.open).insert(self.number, self.sender.clone());
            self.is_open = true;
        }
        match self.jobs.poll_recv(context) {
            Poll::Ready(Some(job)) => {
                self.is_open = false;
                Some(job)
            }
            // It holds a sender itself, so it is never closed.
            Poll::Ready(None) | Poll::Pending => None,
        }
    }

    /// Closes the instance. Returns the request that has come meanwhile.
    pub(super) fn close(&mut self) -> Option<Job> {
        if !std::mem::take(&mut self.is_open) || lock(&self.pool.open).remove(&self.number).is_some() {
            return None;
        }
        self.jobs.try_recv().ok()
    }
}

impl Drop for Member<'_> {
    fn drop(&mut self) {
        // After a panic; otherwise it is closed. The client is told if there was a request.
        drop(self.close());
    }
}
