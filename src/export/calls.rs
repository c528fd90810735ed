//! Every call across an interface, as a table for a person and as JSON for scripts.

use std::io::{self, Write};
use std::time::Duration;

use serde::Serialize;

use super::names::Forms;
use super::report_table::TableStyle;
use super::table::{Cell, Column, Table};
use super::{milliseconds, write_pretty};
use crate::error::{Error, Result};
use crate::profile::{CallTrace, CalledFunction, CalledTimes};
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
    let functions = &trace.functions()[..trace.functions().len().min(style.rows)];
    let count = |function: &CalledFunction| {
        let bound = if function.times.is_some() { "" } else { "≥" };
        Cell::new(format!("{bound}{}", function.count))
    };
    let times = |which: fn(&CalledTimes) -> Duration| {
        let text =
            |function: &CalledFunction| function.times.map_or_else(|| "?".to_owned(), |times| short(which(&times)));
        functions.iter().map(|function| Cell::new(text(function))).collect::<Vec<_>>()
    };
    let time = |heading, width, leaves, which| Column { heading, width, leaves, cells: times(which) };
    let mut columns = vec![
        Column { heading: "calls", width: 9, leaves: None, cells: functions.iter().map(count).collect() },
        time("total", 8, None, |times| times.wall),
        time("suspended", 9, Some(2), |times| times.suspended),
        time("p50", 7, Some(3), |times| times.p50),
        time("p90", 7, Some(0), |times| times.p90),
        time("p99", 7, Some(1), |times| times.p99),
        time("max", 7, None, |times| times.max),
    ];
    // Sync guests are never suspended.
    if !trace.functions().iter().any(|function| function.times.is_some_and(|times| !times.suspended.is_zero())) {
        columns.retain(|column| column.heading != "suspended");
    }
    Table {
        columns,
        title: "function".to_owned(),
        names: functions.iter().map(|function| style.forms(Forms::of_wit, &function.crossing.to_string())).collect(),
        more: trace.functions().len() - functions.len(),
        room: ROOM,
    }
    .write(style, out)?;
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

/// Columns of times are left out until names have so much room.
const ROOM: usize = 44;

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
        times: function.times.as_ref().map(TimesJson::new),
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

/// The times of a function's calls in milliseconds, to the nanosecond: a call may take less than a microsecond.
#[derive(Serialize)]
pub(super) struct TimesJson {
    wall_ms: f64,
    suspended_ms: f64,
    cpu_ms: Option<f64>,
    p50_ms: f64,
    p90_ms: f64,
    p99_ms: f64,
    max_ms: f64,
}

impl TimesJson {
    pub(super) fn new(times: &CalledTimes) -> Self {
        Self {
            wall_ms: milliseconds(times.wall),
            suspended_ms: milliseconds(times.suspended),
            cpu_ms: times.cpu.map(milliseconds),
            p50_ms: milliseconds(times.p50),
            p90_ms: milliseconds(times.p90),
            p99_ms: milliseconds(times.p99),
            max_ms: milliseconds(times.max),
        }
    }
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
