//! One instance of the guest: a task that drives its store.
//!
//! `wasmtime serve` does the same in `ProxyHandler`, which starts its tasks itself, so that no recorder can be put around
//! them. The difference is that here a request comes into the store only between two polls of it. So whenever the store
//! is polled it is known which requests are in it: the poll is recorded under their labels. A stretch with the same
//! requests is a [`turn`].

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use tokio::time::Sleep;
use wasmtime::component::Accessor;
use wasmtime::{AsContextMut as _, Store};
use wasmtime_wasi_http::WasiHttpView;
use wasmtime_wasi_http::handler::{ExpirationError, Prepared, Proxy};

use super::cpu_time::{CpuTimed, Meter};
use super::desk::{Desk, Phase};
use super::exchange::Exchange;
use super::pool::{Job, Member};
use super::server::Server;
use super::state::Host;
use crate::host::failed;
use crate::terminal;

/// Makes an instance, and has it answer `first` and whatever comes after.
pub(super) async fn run(server: Arc<Server>, first: Job) {
    let number = server.pool.next_number();
    match instantiate(&server, number, &first.exchange).await {
        Ok((store, proxy)) => answer(&server, number, store, &proxy, first).await,
        // Whoever asked may be gone.
        Err(error) => drop(first.answer.send(Err(error.context("instantiating the component")))),
    }
}

async fn instantiate(server: &Server, number: u64, exchange: &Exchange) -> wasmtime::Result<(Store<Host>, Proxy)> {
    let guest = &server.guest;
    let mut store = guest.new_store(number)?;
    let instantiation =
        guest.recorder.instrument(guest.pre.instantiate_async(&mut store)).labeled(exchange.own_labels());
    let instantiation = CpuTimed::new(instantiation, exchange.cpu());
    let proxy = match guest.timeout() {
        Some(timeout) => tokio::time::timeout(timeout, instantiation).await.map_err(|_| ExpirationError)??,
        None => instantiation.await?,
    };
    Ok((store, proxy))
}

async fn answer(server: &Arc<Server>, number: u64, mut store: Store<Host>, proxy: &Proxy, first: Job) {
    let desk = Desk::new(server.limits);
    desk.put(first);
    let mut member = Member::new(&server.pool, number);
    let result = {
        let receive = async |accessor: &Accessor<Host>| receive(accessor, proxy, &desk).await;
        let running = pin!(store.run_concurrent(receive));
        drive(server, &desk, &mut member, running).await
    };
    let late = member.close();
    drop(member);
    let left = desk.close(result.is_err());
    // Also drops what a guest that has trapped has left behind.
    drop(store);
    if let Err(error) = result {
        terminal::report(&failed(error).context("an instance failed"));
    }
    left.into_iter().chain(late).for_each(|job| server.submit(job));
}

/// How a turn ended.
enum Turn {
    /// The store is done.
    Over(wasmtime::Result<()>),
    /// Other requests are in the store now, or none.
    Changed,
    /// Time is up.
    Expired,
}

/// Polls the store's future, `running`, until it or its time is over.
async fn drive<F>(
    server: &Server,
    desk: &Desk,
    member: &mut Member<'_>,
    mut running: Pin<&mut F>,
) -> wasmtime::Result<()>
where
    F: Future<Output = wasmtime::Result<wasmtime::Result<()>>>,
{
    let mut deadline = Deadline::new();
    loop {
        let mut end = turn(server, desk, member, running.as_mut(), &mut deadline).await;
        if matches!(end, Turn::Changed) && desk.is_idle() {
            end = rest(server, desk, member, &mut deadline).await;
        }
        match end {
            Turn::Over(result) => return result,
            Turn::Changed => {}
            Turn::Expired => return desk.expired(),
        }
    }
}

/// Polls the store, recorded, while the same requests are in it.
async fn turn<F>(
    server: &Server,
    desk: &Desk,
    member: &mut Member<'_>,
    running: Pin<&mut F>,
    deadline: &mut Deadline,
) -> Turn
where
    F: Future<Output = wasmtime::Result<wasmtime::Result<()>>>,
{
    let present = desk.present();
    let spent = Meter::default();
    let recorded = server.guest.recorder.instrument(running);
    let recorded = match present.labels(&server.several) {
        Some(labels) => recorded.labeled(labels),
        None => recorded,
    };
    let mut recorded = pin!(CpuTimed::new(recorded, &spent));
    let end = poll_fn(|context| {
        // While the store runs, which may take long, requests had better go elsewhere.
        if let Some(job) = member.close() {
            desk.put(job);
        }
        if desk.differs(&present) {
            return Poll::Ready(Turn::Changed);
        }
        if let Poll::Ready(result) = recorded.as_mut().poll(context) {
            return Poll::Ready(Turn::Over(result.flatten()));
        }
        // An idle instance waits outside of the recording: no guest waits.
        if desk.is_idle() || desk.differs(&present) {
            return Poll::Ready(Turn::Changed);
        }
        if desk.is_open()
            && let Some(job) = member.open(context)
        {
            desk.put(job);
            return Poll::Ready(Turn::Changed);
        }
        deadline.poll(desk.deadline(), context).map(|()| Turn::Expired)
    })
    .await;
    present.charge(spent.total().unwrap_or_default());
    end
}

/// Waits for something to do: a request, or what the store has woken the task for.
async fn rest(server: &Server, desk: &Desk, member: &mut Member<'_>, deadline: &mut Deadline) -> Turn {
    let mut closing = pin!(server.shutdown.requested());
    let mut has_waited = false;
    poll_fn(|context| {
        if let Some(job) = member.close() {
            desk.put(job);
            return Poll::Ready(Turn::Changed);
        }
        if closing.as_mut().poll(context).is_ready() || deadline.poll(desk.deadline(), context).is_ready() {
            return Poll::Ready(Turn::Expired);
        }
        if std::mem::replace(&mut has_waited, true) {
            return Poll::Ready(Turn::Changed);
        }
        if desk.is_open()
            && let Some(job) = member.open(context)
        {
            desk.put(job);
            return Poll::Ready(Turn::Changed);
        }
        Poll::Pending
    })
    .await
}

/// Inside of the store's event loop: calls the guest for every request. Ends when the guest has nothing to do, and may
/// not get any more.
async fn receive(accessor: &Accessor<Host>, proxy: &Proxy, desk: &Desk) -> wasmtime::Result<()> {
    let handler = match proxy {
        Proxy::P2(guest) => *guest.wasi_http_incoming_handler().func_handle().func(),
        Proxy::P3(guest) => *guest.wasi_http_handler().func_handle().func(),
    };
    let mut calls = FuturesUnordered::new();
    poll_fn(|context| {
        loop {
            while let Some(job) = desk.next_job() {
                calls.push(call(accessor, proxy, job, desk.timeout()));
            }
            match calls.poll_next_unpin(context) {
                Poll::Ready(Some(Ok((exchange, is_in_time)))) => desk.returned(&exchange, is_in_time),
                Poll::Ready(Some(Err(error))) => return Poll::Ready(Err(error)),
                Poll::Ready(None) | Poll::Pending => break,
            }
        }
        let is_ready = accessor.poll_ready_for_concurrent_call(handler, context).is_ready();
        if !calls.is_empty() {
            desk.settle(Phase::Requests, is_ready);
            return Poll::Pending;
        }
        if accessor.poll_no_interesting_tasks(context).is_pending() {
            desk.settle(Phase::PostReturn, is_ready);
            return Poll::Pending;
        }
        if !(is_ready && desk.may_accept()) {
            return Poll::Ready(Ok(()));
        }
        desk.settle(Phase::Idle, is_ready);
        Poll::Pending
    })
    .await
}

/// Calls the guest. Returns whether it was in time.
async fn call(
    accessor: &Accessor<Host>,
    proxy: &Proxy,
    job: Job,
    timeout: Option<Duration>,
) -> wasmtime::Result<(Arc<Exchange>, bool)> {
    let Job { request, answer, exchange } = job;
    let prepared = accessor.with(|mut access| {
        Prepared::new(access.as_context_mut(), proxy, request, <Host as WasiHttpView>::http, answer)
    });
    let prepared = match prepared {
        Ok(prepared) => prepared,
        // A request that no guest can be given, for instance because of a header that is no text: it fails, and no other one in here.
        Err(error) => {
            terminal::report(&failed(error).context(format!("{} was not given to the guest", exchange.request())));
            return Ok((exchange, true));
        }
    };
    let expiration = async move {
        match timeout {
            Some(timeout) => tokio::time::sleep(timeout).await,
            None => std::future::pending().await,
        }
    };
    let is_in_time = prepared.run(accessor, expiration).await?;
    Ok((exchange, is_in_time))
}

/// A timer that is set again and again.
struct Deadline {
    sleep: Pin<Box<Sleep>>,
}

impl Deadline {
    fn new() -> Self {
        Self { sleep: Box::pin(tokio::time::sleep(Duration::ZERO)) }
    }

    /// Ready when it is `at`; never, if that is nothing.
    fn poll(&mut self, at: Option<Instant>, context: &mut Context<'_>) -> Poll<()> {
        let Some(at) = at else { return Poll::Pending };
        // Guests may keep all threads so busy that timers are late.
        if Instant::now() >= at {
            return Poll::Ready(());
        }
        let at = tokio::time::Instant::from_std(at);
        if self.sleep.deadline() != at {
            self.sleep.as_mut().reset(at);
        }
        self.sleep.as_mut().poll(context)
    }
}
