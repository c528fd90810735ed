//! What guests print: to stdout and stderr of this process, with a prefix that says which instance it was.

use std::io::{self, Write as _};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use hyper::body::Bytes;
use tokio::io::AsyncWrite;
use wasmtime_wasi::cli::{IsTerminal, StdoutStream};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamError, StreamResult};

/// Bytes that a guest may write at a time.
const CHUNK: usize = 64 * 1024;

/// Where it goes.
#[derive(Clone, Copy, Debug)]
pub(super) enum Output {
    Stdout,
    Stderr,
}

impl Output {
    fn write_all(self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Self::Stdout => io::stdout().write_all(bytes),
            Self::Stderr => io::stderr().write_all(bytes),
        }
    }
}

/// One of the two streams of an instance. Clones are the same stream.
#[derive(Clone, Debug)]
pub(super) struct LogStream {
    output: Output,
    state: Arc<State>,
}

#[derive(Debug)]
struct State {
    prefix: String,
    /// Whether the next byte begins a line.
    is_line_begin: AtomicBool,
}

impl LogStream {
    pub(super) fn new(prefix: String, output: Output) -> Self {
        Self { output, state: Arc::new(State { prefix, is_line_begin: AtomicBool::new(true) }) }
    }

    /// Writes whole pieces at once: lines of instances on several threads must not get mixed up.
    fn write_all(&self, bytes: &[u8]) -> io::Result<()> {
        if bytes.is_empty() {
            return Ok(());
        }
        let mut is_begin = self.state.is_line_begin.swap(bytes.ends_with(b"\n"), Ordering::Relaxed);
        if self.state.prefix.is_empty() {
            return self.output.write_all(bytes);
        }
        let mut prefixed = Vec::with_capacity(bytes.len() + self.state.prefix.len());
        for line in bytes.split_inclusive(|byte| *byte == b'\n') {
            if is_begin {
                prefixed.extend_from_slice(self.state.prefix.as_bytes());
            }
            prefixed.extend_from_slice(line);
            is_begin = true;
        }
        self.output.write_all(&prefixed)
    }
}

impl StdoutStream for LogStream {
    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(self.clone())
    }

    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        Box::new(self.clone())
    }
}

impl IsTerminal for LogStream {
    fn is_terminal(&self) -> bool {
        match self.output {
            Output::Stdout => io::stdout().is_terminal(),
            Output::Stderr => io::stderr().is_terminal(),
        }
    }
}

impl OutputStream for LogStream {
    fn write(&mut self, bytes: Bytes) -> StreamResult<()> {
        self.write_all(&bytes).map_err(|error| StreamError::LastOperationFailed(error.into()))
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(CHUNK)
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for LogStream {
    async fn ready(&mut self) {}
}

impl AsyncWrite for LogStream {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Poll::Ready(self.write_all(bytes).map(|()| bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}
