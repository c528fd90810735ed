//! Connections of clients.

use std::convert::Infallible;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::channel::oneshot;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Bytes, Frame, Incoming, SizeHint};
use hyper::header::{self, HeaderValue};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioTimer;
use tokio::net::TcpStream;
use wasmtime_wasi_http::handler::{self, TrapOrPanicError};
use wasmtime_wasi_http::io::TokioIo;
use wasmtime_wasi_http::{Error, WasiBody};
use witprof::export::escape_control;

use super::exchange::Exchange;
use super::pool::Job;
use super::seats::{Busy, Seat};
use super::server::Server;
use super::shutdown::Shutdown;
use crate::host::failed;
use crate::terminal;

const ERROR_PAGE: &str = "<!doctype html>
<html>
<head>
    <title>500 Internal Server Error</title>
</head>
<body>
    <center>
        <h1>500 Internal Server Error</h1>
        <hr>
        witprof
    </center>
</body>
</html>";

/// Answers the requests of one client.
pub(super) async fn serve(server: Arc<Server>, stream: TcpStream, seat: Seat) {
    let answer = |request| answer(Arc::clone(&server), request);
    // A client that leaves before it has its answer is no failure, nor is one that takes too long to ask.
    if let Err(error) = converse(stream, seat, server.header_timeout, &server.shutdown, answer).await
        && !error.is_incomplete_message()
        && !error.is_timeout()
    {
        terminal::message(&format!("witprof: a connection failed: {}", escape_control(&format!("{error:?}"))));
    }
}

/// Answers requests until the client leaves, takes longer than `header_timeout` to ask, or is idle while others need its seat; or
/// until the server ends. Then a request that has begun is still answered.
pub(super) async fn converse<A, F>(
    stream: TcpStream,
    seat: Seat,
    header_timeout: Duration,
    shutdown: &Shutdown,
    answer: A,
) -> hyper::Result<()>
where
    A: Fn(Request<Incoming>) -> F,
    F: Future<Output = Response<WasiBody>>,
{
    // Small pieces of a body are to arrive when they are sent. Without this they come later, which is no failure.
    let _ = stream.set_nodelay(true);
    let (is_asked, seat) = (AtomicBool::new(false), Arc::new(seat));
    let service = service_fn(|request: Request<Incoming>| {
        is_asked.store(true, Ordering::Relaxed);
        let (answer, busy) = (answer(request), seat.begin());
        async move { Ok::<_, Infallible>(answer.await.map(|body| Accompanied { body, company: busy }.boxed_unsync())) }
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(header_timeout);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service));
    tokio::select! {
        result = connection.as_mut() => return result,
        () = shutdown.requested() => {}
        () = seat.is_needed() => {}
    }
    // A client that has not sent anything may never do so.
    if !is_asked.load(Ordering::Relaxed) {
        return Ok(());
    }
    connection.as_mut().graceful_shutdown();
    connection.await
}

async fn answer(server: Arc<Server>, request: Request<Incoming>) -> Response<WasiBody> {
    let Some(_permit) = server.admit().await else {
        let mut response = page(StatusCode::SERVICE_UNAVAILABLE, "text/plain", "the server ends\n");
        response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        return response;
    };
    let exchange = server.ledger.begin(&request);
    let sending = Sending(Arc::clone(&exchange));
    let response = match ask(&server, request, &exchange).await {
        Ok(response) => response,
        Err(error) => {
            exchange.fail();
            terminal::report(&failed(error).context(format!("{} failed", exchange.request())));
            page(StatusCode::INTERNAL_SERVER_ERROR, "text/html; charset=UTF-8", ERROR_PAGE)
        }
    };
    exchange.answered(response.status().as_u16());
    response.map(|body| Accompanied { body, company: sending }.boxed_unsync())
}

/// Has an instance answer the request.
async fn ask(
    server: &Arc<Server>,
    mut request: Request<Incoming>,
    exchange: &Arc<Exchange>,
) -> wasmtime::Result<handler::Response> {
    server.headers.apply(request.headers_mut());
    let request: handler::Request = request.map(|body| body.map_err(Error::from).boxed_unsync());
    let (sender, answer) = oneshot::channel();
    server.submit(Job { request, answer: sender, exchange: Arc::clone(exchange) });
    answer.await.map_err(|_| TrapOrPanicError)?
}

/// A short answer of our own.
pub(super) fn page(status: StatusCode, content_type: &'static str, text: impl Into<Bytes>) -> Response<WasiBody> {
    let body = Full::new(text.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// Somebody waits for the answer, as long as this exists.
struct Sending(Arc<Exchange>);

impl Drop for Sending {
    fn drop(&mut self) {
        self.0.sent();
    }
}

/// What goes on for as long as an answer is being sent.
trait Company {
    /// The body could not be had.
    fn failed(&self) {}
}

/// An exchange is not over before its answer is sent.
impl Company for Sending {
    fn failed(&self) {
        self.0.fail();
    }
}

/// A connection is not idle meanwhile.
impl Company for Busy {}

/// The body of an answer, in company.
struct Accompanied<C> {
    body: WasiBody,
    company: C,
}

impl<C: Company + Unpin> Body for Accompanied<C> {
    type Data = Bytes;
    type Error = Error;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Error>>> {
        let frame = Pin::new(&mut self.body).poll_frame(context);
        if let Poll::Ready(Some(Err(_))) = &frame {
            self.company.failed();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
