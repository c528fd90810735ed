//! What is printed for a person: messages and tables, and words of commands that can be copied.
//!
//! stdout belongs to the guest and to data, so messages go to stderr.

mod shell;

use std::io::{self, IsTerminal as _, Write as _};

use anyhow::{Context as _, Result};
use witprof::export::{TableStyle, escape_control};

pub(crate) use self::shell::{shell_argument, shell_word};

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
pub(crate) fn print(data: &[u8]) -> Result<()> {
    match io::stdout().write_all(data) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written.context("writing to stdout"),
    }
}

/// Prints an error and its causes. Parts of it may come from a guest.
pub(crate) fn report(error: &anyhow::Error) {
    message(&format!("witprof: {}", escape_control(&error.to_string())));
    for cause in error.chain().skip(1) {
        for line in cause.to_string().lines().filter(|line| !line.trim().is_empty()) {
            message(&format!("  {}", escape_control(line)));
        }
    }
}

/// Prints a line to stderr. Whoever reads it may be gone, which is no reason to fail; `eprintln!` would panic.
pub(crate) fn message(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}
