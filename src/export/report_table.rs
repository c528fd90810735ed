//! A report as a table for a person.

use std::borrow::Cow;
use std::io::{self, Write};
use std::time::Duration;

use super::escape::escape_name;
use crate::error::{Error, Result};
use crate::profile::{Change, Comparison, Dimension, Report, ReportRow};
use crate::samples::ProfilerTime;

/// How a table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStyle {
    /// Columns of the terminal. Names that do not fit are cut in the middle.
    pub width: usize,
    /// Whether to use colour.
    pub color: bool,
    /// Rows to show.
    pub rows: usize,
}

impl Default for TableStyle {
    fn default() -> Self {
        Self { width: 80, color: false, rows: 20 }
    }
}

const BOLD: &str = "\u{1b}[1m";
const YELLOW: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
const PLAIN: &str = "\u{1b}[0m";

/// Boundary time from here on stands out.
const REMARKABLE: f64 = 0.05;

impl TableStyle {
    /// What begins and ends a heading.
    pub(super) fn heading(self) -> (&'static str, &'static str) {
        self.paint(BOLD)
    }

    fn paint(self, code: &'static str) -> (&'static str, &'static str) {
        if self.color { (code, PLAIN) } else { ("", "") }
    }

    /// What fits behind `used` columns of `name`, escaped; of a long one its beginning and its end.
    pub(super) fn fit(self, name: &str, used: usize) -> Cow<'_, str> {
        let name = escape_name(name).into_owned();
        let room = self.width.saturating_sub(used).max(16);
        let chars: Vec<char> = name.chars().collect();
        if chars.len() <= room {
            return Cow::Owned(name);
        }
        let tail = (room - 1) / 2;
        let head = room - 1 - tail;
        let cut = chars[..head].iter().chain(&['…']).chain(&chars[chars.len() - tail..]);
        Cow::Owned(cut.collect())
    }
}

/// Writes `report` as a table: for each row the shares of the recorded time that are its own work, crossing its boundary,
/// blocked, waiting for a CPU, and in total. Names are escaped for a terminal.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_report_table(report: &Report, style: TableStyle, out: &mut dyn Write) -> Result<()> {
    report_table(report, style, out)
        .and_then(|()| profiler_line(report.profiler, report.wall, out))
        .map_err(|source| Error::Write { format: "report", source })
}

/// Says what the profiler itself took, beside `wall` of the guests, if it took anything.
pub(super) fn profiler_line(profiler: ProfilerTime, wall: Duration, out: &mut dyn Write) -> io::Result<()> {
    if profiler.is_zero() {
        return Ok(());
    }
    let (seconds, part) = (profiler.wall.as_secs_f64(), share(profiler.wall, wall.saturating_add(profiler.wall)));
    writeln!(out, "profiler: {seconds:.3} s more, {:.1}% of all, were its own work; no row has them", part * 100.0)
}

pub(super) fn report_table(report: &Report, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    let (bold, plain) = style.paint(BOLD);
    let title = report.dimension.name().replace('-', " ");
    // Only if calls were traced.
    let has_calls = report.rows.iter().any(|row| row.calls.or(row.calls_at_least).is_some());
    let calls = |row: &ReportRow| match (row.calls, row.calls_at_least) {
        _ if !has_calls => String::new(),
        (Some(calls), _) => format!(" {calls:>9}"),
        (None, Some(calls)) => format!(" {:>9}", format!("≥{calls}")),
        (None, None) => format!(" {:>9}", "-"),
    };
    let heading = if has_calls { format!(" {:>9}", "calls") } else { String::new() };
    let columns =
        format!("{:>7} {:>8} {:>7} {:>9} {:>7}{heading}", "self", "boundary", "blocked", "preempted", "total");
    writeln!(out, "{bold}{columns}  {title}{plain}")?;
    for row in report.rows.iter().take(style.rows) {
        let share = |time| share(time, report.wall);
        let (on, off) = if share(row.boundary) >= REMARKABLE { style.paint(YELLOW) } else { ("", "") };
        writeln!(
            out,
            "{:>6.1}% {on}{:>7.1}%{off} {:>6.1}% {:>9} {:>6.1}%{}  {}",
            share(row.own) * 100.0,
            share(row.boundary) * 100.0,
            share(row.blocked) * 100.0,
            row.preempted.map_or("-".to_owned(), |time| format!("{:.1}%", share(time) * 100.0)),
            share(row.total) * 100.0,
            calls(row),
            style.fit(&row_name(row, report.dimension), 44 + heading.len()),
        )?;
    }
    if report.rows.len() > style.rows {
        writeln!(out, "{:>44}({} more)", "", report.rows.len() - style.rows)?;
    }
    Ok(())
}

/// The name of a row with what tells it from others of that name.
fn row_name(row: &ReportRow, dimension: Dimension) -> Cow<'_, str> {
    match (&row.detail, dimension) {
        (Some(detail), Dimension::Function) => Cow::Owned(format!("{}  [{detail}]", row.name)),
        _ => Cow::Borrowed(&row.name),
    }
}

/// Writes `comparison` as a table: for each row its share before and after, the change in points, and how far chance alone
/// may move it. Changes that are more than that have a mark. Names are escaped for a terminal.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_comparison_table(comparison: &Comparison, style: TableStyle, out: &mut dyn Write) -> Result<()> {
    comparison_table(comparison, style, out).map_err(|source| Error::Write { format: "comparison", source })
}

fn comparison_table(comparison: &Comparison, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    let (bold, plain) = style.paint(BOLD);
    let title = comparison.dimension.name().replace('-', " ");
    writeln!(out, "{bold}{:>7} {:>7} {:>8} {:>7}    {title}{plain}", "before", "after", "change", "chance")?;
    for change in comparison.changes.iter().take(style.rows) {
        let Change { before, after, .. } = *change;
        let mark = if change.is_certain() { '*' } else { ' ' };
        let (on, off) = match change.is_certain() {
            true if change.difference() > 0.0 => style.paint(RED),
            true => style.paint(GREEN),
            false => ("", ""),
        };
        let name = match &change.detail {
            Some(detail) => Cow::Owned(format!("{}  [{detail}]", change.name)),
            None => Cow::Borrowed(change.name.as_str()),
        };
        writeln!(
            out,
            "{:>6.1}% {:>6.1}% {on}{:>+8.2}{off} {:>7} {mark}  {}",
            before * 100.0,
            after * 100.0,
            change.difference() * 100.0,
            format!("±{:.2}", change.chance() * 100.0),
            style.fit(&name, 36),
        )?;
    }
    if comparison.changes.len() > style.rows {
        writeln!(out, "{:>36}({} more)", "", comparison.changes.len() - style.rows)?;
    }
    // How busy a machine is, is no change of the program.
    let of = |share: Option<f64>| share.map_or("unknown".to_owned(), |share| format!("{:.1}%", share * 100.0));
    if comparison.preempted.iter().flatten().any(|share| *share >= REMARKABLE) {
        let [before, after] = comparison.preempted.map(of);
        writeln!(out, "\npreempted (ready to run, and no CPU): {before} of the time before, {after} after")?;
    }
    let certain = comparison.changes.iter().any(Change::is_certain);
    writeln!(
        out,
        "\n{}",
        if certain {
            "* more than chance: the change is larger than the number behind ±"
        } else {
            "no change is larger than the number behind ±: all of them may be chance"
        }
    )
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_names_are_cut_in_the_middle() {
        let style = TableStyle { width: 50, ..TableStyle::default() };
        assert_eq!(style.fit("wasi:io/streams@0.2.12 (import)", 34), "wasi:io/…import)");
        assert_eq!(style.fit("short", 34), "short");
        assert_eq!(style.fit("\u{1b}[2J", 34), "\\u{1b}[2J");
        let table = |name: &str| {
            let rows = vec![ReportRow { name: name.to_owned(), ..ReportRow::default() }];
            let second = Duration::from_secs(1);
            let (preempted, profiler) = (None, ProfilerTime::default());
            let report =
                Report { dimension: Dimension::Interface, rows, wall: second, cpu: second, preempted, profiler };
            let mut out = Vec::new();
            write_report_table(&report, TableStyle::default(), &mut out).expect("writing to memory");
            String::from_utf8(out).expect("UTF-8")
        };
        assert!(table(&"x".repeat(1 << 20)).lines().all(|line| line.chars().count() <= 80));
    }
}
