//! Every call across an interface, as a table for a person and as JSON for scripts.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::report_table::TableStyle;
use super::{milliseconds, write_pretty};
use crate::error::{Error, Result};
use crate::profile::{CallTrace, CalledTimes};
use crate::symbols::BY_SIGNATURE;

/// Writes `trace` as a table: for each interface function how often it was called, how long the calls took together, and
/// the quantiles of a call; where the times are not known, the number is a lower bound. Names are escaped for a terminal.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_call_table(trace: &CallTrace, style: TableStyle, out: &mut dyn Write) -> Result<()> {
    call_table(trace, style, out).map_err(|source| Error::Write { format: "table of calls", source })
}

pub(super) fn call_table(trace: &CallTrace, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    let (bold, plain) = style.heading();
    // Sync guests are never suspended.
    let is_async =
        trace.functions().iter().any(|function| function.times.is_some_and(|times| !times.suspended.is_zero()));
    let suspended = |text: &str| if is_async { format!(" {text:>9}") } else { String::new() };
    let used = 46 + suspended("").len();
    writeln!(
        out,
        "{bold}{:>9} {:>8}{} {:>7} {:>7} {:>7} {:>7}  function{plain}",
        "calls",
        "total",
        suspended("suspended"),
        "p50",
        "p90",
        "p99",
        "max"
    )?;
    for function in trace.functions().iter().take(style.rows) {
        let time = |which: fn(&CalledTimes) -> Duration| {
            function.times.map_or_else(|| "?".to_owned(), |times| short(which(&times)))
        };
        writeln!(
            out,
            "{:>9} {:>8}{} {:>7} {:>7} {:>7} {:>7}  {}",
            if function.times.is_some() { function.count.to_string() } else { format!("≥{}", function.count) },
            time(|times| times.wall),
            suspended(&time(|times| times.suspended)),
            time(|times| times.p50),
            time(|times| times.p90),
            time(|times| times.p99),
            time(|times| times.max),
            // A name that is cut too short says nothing.
            TableStyle { width: style.width.max(used + NAME), ..style }.fit(&function.crossing.to_string(), used + 6),
        )?;
    }
    if trace.functions().len() > style.rows {
        writeln!(out, "{:>used$}      ({} more)", "", trace.functions().len() - style.rows)?;
    }
    if trace.functions().is_empty() && trace.unnamed_entries() == 0 {
        writeln!(out, "{:>9} no call across an interface has returned", "")?;
    }
    if trace.functions().iter().any(|function| function.crossing.interface == BY_SIGNATURE) {
        writeln!(
            out,
            "{:>9} {BY_SIGNATURE}: which they are, the WebAssembly binary tells, and only where the guest calls them directly",
            ""
        )?;
    }
    if trace.unnamed_entries() > 0 {
        let entries = if trace.unnamed_entries() == 1 { "entry" } else { "entries" };
        writeln!(out, "{:>9} {entries} of guests by functions that could not be told", trace.unnamed_entries())?;
    }
    Ok(())
}

/// Columns that a name has, even if the terminal is narrower than that.
const NAME: usize = 56;

/// A time in at most seven characters: three digits and a unit.
fn short(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    let (value, unit) = match seconds {
        0.0 => return "-".to_owned(),
        _ if seconds < 1e-6 => (seconds * 1e9, "ns"),
        _ if seconds < 1e-3 => (seconds * 1e6, "µs"),
        _ if seconds < 1.0 => (seconds * 1e3, "ms"),
        _ => (seconds, "s"),
    };
    let digits = if value < 10.0 { 2 } else { usize::from(value < 100.0) };
    format!("{value:.digits$}{unit}")
}

/// Writes `trace` as JSON: `{"calls": [{"interface", "function", "direction", "count", "times": {"wall_ms", "suspended_ms",
/// "cpu_ms", "p50_ms", "p90_ms", "p99_ms", "max_ms"}}], "unnamed_entries"}`. `times` is null where `count` is
/// only a lower bound, `cpu_ms` unless it was measured. Names are as the guest wrote them.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_call_json(trace: &CallTrace, out: &mut dyn Write) -> Result<()> {
    let calls = trace.functions().iter().map(|function| CalledJson {
        interface: &function.crossing.interface,
        function: &function.crossing.function,
        direction: function.crossing.direction.name(),
        count: function.count,
        times: function.times.map(|times| TimesJson {
            wall_ms: milliseconds(times.wall),
            suspended_ms: milliseconds(times.suspended),
            cpu_ms: times.cpu.map(milliseconds),
            p50_ms: milliseconds(times.p50),
            p90_ms: milliseconds(times.p90),
            p99_ms: milliseconds(times.p99),
            max_ms: milliseconds(times.max),
        }),
    });
    write_pretty(
        &CallsJson { calls: calls.collect(), unnamed_entries: trace.unnamed_entries() },
        "JSON list of calls",
        out,
    )
}

#[derive(Serialize)]
struct CallsJson<'t> {
    calls: Vec<CalledJson<'t>>,
    unnamed_entries: u64,
}

#[derive(Serialize)]
struct CalledJson<'t> {
    interface: &'t str,
    function: &'t str,
    direction: &'static str,
    count: u64,
    times: Option<TimesJson>,
}

#[derive(Serialize)]
struct TimesJson {
    wall_ms: f64,
    suspended_ms: f64,
    cpu_ms: Option<f64>,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_short() {
        let times = [0, 7, 999, 1_500, 23_456, 999_000, 12_345_678, 61_000_000_000].map(Duration::from_nanos);
        assert_eq!(times.map(short), ["-", "7.00ns", "999ns", "1.50µs", "23.5µs", "999µs", "12.3ms", "61.0s"]);
    }
}
