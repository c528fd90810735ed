//! What is printed for a person.

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use witprof::export::TableStyle;

/// How a table for `stream` looks: as wide as its terminal, in colour unless `NO_COLOR` is set (<https://no-color.org>).
pub(crate) fn table_style(stream: Stream, rows: usize) -> TableStyle {
    let mut style = TableStyle::default();
    style.rows = rows;
    let (is_terminal, width) = match stream {
        Stream::Out => (io::stdout().is_terminal(), width(io::stdout())),
        Stream::Error => (io::stderr().is_terminal(), width(io::stderr())),
    };
    if is_terminal {
        style.width = Some(width.filter(|width| *width > 0).unwrap_or(USUAL).max(LEAST));
        style.color = std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    }
    style
}

/// Columns of a terminal that does not say how many it has.
const USUAL: usize = 80;

/// Rows of a narrower one are broken by the terminal.
const LEAST: usize = 40;

/// Where something is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Out,
    Error,
}

#[cfg(unix)]
fn width(terminal: impl std::os::fd::AsFd) -> Option<usize> {
    rustix::termios::tcgetwinsize(terminal).ok().map(|size| size.ws_col.into())
}

#[cfg(not(unix))]
fn width<T>(_: T) -> Option<usize> {
    None
}

/// Prints data to stdout. Whoever reads it may stop early, as `head` does.
pub(super) fn print(data: &[u8]) -> Result<()> {
    match io::stdout().write_all(data) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to stdout"),
    }
}
