//! A report as a table for a person.

use std::io::{self, Write};
use std::time::Duration;

use unicode_width::UnicodeWidthStr as _;

use super::names::Forms;
use super::table::{Cell, Column, Table, beginning, fit};
use crate::error::{Error, Result};
use crate::profile::{Change, Comparison, Dimension, Report, ReportRow};
use crate::samples::ProfilerTime;

/// How a table looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct TableStyle {
    /// Columns of the terminal: names and columns of numbers that do not fit are left out in part. `None` where the table is
    /// for no terminal; then nothing is left out.
    pub width: Option<usize>,
    /// Whether to use colour.
    pub color: bool,
    /// Rows to show.
    pub rows: usize,
}

impl Default for TableStyle {
    fn default() -> Self {
        Self { width: None, color: false, rows: 20 }
    }
}

const BOLD: &str = "\u{1b}[1m";
const YELLOW: &str = "\u{1b}[33m";
const RED: &str = "\u{1b}[31m";
const GREEN: &str = "\u{1b}[32m";
pub(super) const PLAIN: &str = "\u{1b}[0m";

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

    /// The forms of a name: nothing but the whole one where there is room for any.
    pub(super) fn forms(self, of: fn(&str) -> Forms, name: &str) -> Forms {
        if self.width.is_some() { of(name) } else { Forms::whole(name) }
    }

    /// What fits of a name behind `used` columns, escaped.
    pub(super) fn fit(self, name: &Forms, used: usize) -> String {
        fit(name, self.room(used), 0)
    }

    /// What fits of a line of text: its beginning.
    pub(super) fn cut_off(self, line: &str) -> String {
        self.width.map_or_else(|| line.to_owned(), |width| beginning(line, width))
    }

    /// Two parts of a sentence: on one line if they fit, else on two.
    pub(super) fn break_between(self, first: &str, separator: &str, second: &str) -> String {
        let fits = self.width.is_none_or(|width| first.width() + separator.width() + second.width() <= width);
        if fits { format!("{first}{separator}{second}") } else { format!("{first}\n{second}") }
    }

    /// Columns behind `used` ones; nothing if there is no end.
    pub(super) fn room(self, used: usize) -> Option<usize> {
        /// Columns that a name has in any case.
        const LEAST: usize = 16;
        self.width.map(|width| width.saturating_sub(used).max(LEAST))
    }
}

/// Writes `report` as a table: for each row the shares of the recorded time that are its own work, crossing its boundary,
/// blocked, waiting for a CPU, and in total. Names are escaped for a terminal.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_report_table(report: &Report, style: TableStyle, out: &mut dyn Write) -> Result<()> {
    report_table(report, style, out)
        .and_then(|()| fibers_line(report, style, out))
        .and_then(|()| profiler_line(report.profiler, report.wall, style, out))
        .map_err(|source| Error::Write { format: "report", source })
}

/// Says for how long calls ran on fibers of their own, which no total of a caller has, if there are any.
pub(super) fn fibers_line(report: &Report, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    if report.on_own_fibers.is_zero() {
        return Ok(());
    }
    let part = share(report.on_own_fibers, report.wall) * 100.0;
    let took = format!("async calls between components: {part:.1}% of the time ran on fibers of their own");
    let rows = report.rows.iter().take(style.rows);
    let marked = if rows.clone().any(|row| row.total_is_partial) {
        "a total with * may lack it"
    } else {
        "no total of a caller has it"
    };
    writeln!(out, "{}", style.break_between(&took, "; ", marked))
}

/// Says what the profiler itself took, beside `wall` of the guests, if it took anything to speak of.
pub(super) fn profiler_line(
    profiler: ProfilerTime,
    wall: Duration,
    style: TableStyle,
    out: &mut dyn Write,
) -> io::Result<()> {
    /// What would be `0.0%`.
    const NOTHING: f64 = 0.0005;
    let part = share(profiler.wall, wall.saturating_add(profiler.wall));
    if part < NOTHING {
        return Ok(());
    }
    let seconds = profiler.wall.as_secs_f64();
    let took = format!("profiler: {seconds:.3} s more, {:.1}% of all, were its own work", part * 100.0);
    writeln!(out, "{}", style.break_between(&took, "; ", "no row has them"))
}

pub(super) fn report_table(report: &Report, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    let rows = &report.rows[..report.rows.len().min(style.rows)];
    let percent = |time: Duration| Cell::new(format!("{:.1}%", share(time, report.wall) * 100.0));
    let times = |time: fn(&ReportRow) -> Duration| rows.iter().map(|row| percent(time(row))).collect::<Vec<_>>();
    let boundary = rows.iter().map(|row| Cell {
        paint: (share(row.boundary, report.wall) >= REMARKABLE).then_some(YELLOW),
        ..percent(row.boundary)
    });
    let preempted = rows.iter().map(|row| row.preempted.map_or_else(|| Cell::new("-"), percent));
    // Digits stay below each other.
    let unmarked = if rows.iter().any(|row| row.total_is_partial) { " " } else { "" };
    let total = rows.iter().map(|row| {
        let mark = if row.total_is_partial { "*" } else { unmarked };
        Cell::new(format!("{:.1}%{mark}", share(row.total, report.wall) * 100.0))
    });
    let calls = |row: &ReportRow| match (row.calls, row.calls_at_least) {
        (Some(calls), _) => Cell::new(calls.to_string()),
        (None, Some(calls)) => Cell::new(format!("≥{calls}")),
        (None, None) => Cell::new("-"),
    };
    let mut columns = vec![
        Column { heading: "self", width: 7, leaves: None, cells: times(|row| row.own) },
        Column { heading: "boundary", width: 8, leaves: None, cells: boundary.collect() },
        Column { heading: "blocked", width: 7, leaves: Some(1), cells: times(|row| row.blocked) },
        Column { heading: "preempted", width: 9, leaves: Some(0), cells: preempted.collect() },
        Column { heading: "total", width: 7, leaves: None, cells: total.collect() },
    ];
    // Only if calls were traced.
    if report.rows.iter().any(|row| row.calls.or(row.calls_at_least).is_some()) {
        columns.push(Column { heading: "calls", width: 9, leaves: Some(2), cells: rows.iter().map(calls).collect() });
    }
    Table {
        columns,
        title: title(report.dimension),
        names: rows.iter().map(|row| row_name(&row.name, row.detail.as_deref(), report.dimension, style)).collect(),
        more: report.rows.len() - rows.len(),
        room: ROOM,
    }
    .write(style, out)
}

/// Columns of numbers are left out until names have so much room.
const ROOM: usize = 36;

fn title(dimension: Dimension) -> String {
    dimension.name().replace('-', " ")
}

/// The name of a row with what tells it from others of that name.
fn row_name(name: &str, detail: Option<&str>, dimension: Dimension, style: TableStyle) -> Forms {
    let both = |of: fn(&str) -> Forms, detail_of: fn(&str) -> Forms, detail: &str| {
        style.forms(of, name).with_detail(&style.forms(detail_of, detail))
    };
    match (detail, dimension) {
        // What has no line goes by its function.
        (Some(detail), Dimension::Line) if is_line(name) => both(Forms::of_line, Forms::of_function, detail),
        (Some(detail), Dimension::Function | Dimension::Line) => both(Forms::of_function, Forms::of_library, detail),
        (Some(detail), Dimension::ComponentInterface) => both(Forms::of_wit, Forms::whole, detail),
        (Some(detail), Dimension::Script) => both(Forms::of_function, Forms::whole, detail),
        (_, Dimension::Function | Dimension::Script) => style.forms(Forms::of_function, name),
        (_, Dimension::Line) => style.forms(Forms::of_line, name),
        (_, Dimension::Interface | Dimension::InterfaceFunction | Dimension::ComponentInterface) => {
            style.forms(Forms::of_wit, name)
        }
        (_, Dimension::Component | Dimension::Library) => style.forms(Forms::of_library, name),
        (_, Dimension::Layer | Dimension::Thread | Dimension::Label) => Forms::whole(name),
    }
}

/// Whether a name is that of a line: `src/main.rs:12`.
fn is_line(name: &str) -> bool {
    let is_number = |number: &str| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit());
    name.rsplit_once(':').is_some_and(|(file, number)| !file.ends_with(':') && is_number(number))
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
    let changes = &comparison.changes[..comparison.changes.len().min(style.rows)];
    let cells = |cell: fn(&Change) -> String| changes.iter().map(|change| Cell::new(cell(change))).collect::<Vec<_>>();
    let difference = changes.iter().map(|change| Cell {
        text: format!("{:+.2}", change.difference() * 100.0),
        paint: match change.is_certain() {
            true if change.difference() > 0.0 => Some(RED),
            true => Some(GREEN),
            false => None,
        },
    });
    let mark = |change: &Change| if change.is_certain() { "*".to_owned() } else { String::new() };
    Table {
        columns: vec![
            Column { heading: "before", width: 7, leaves: None, cells: cells(|change| percent(change.before)) },
            Column { heading: "after", width: 7, leaves: None, cells: cells(|change| percent(change.after)) },
            Column { heading: "change", width: 8, leaves: None, cells: difference.collect() },
            Column {
                heading: "chance",
                width: 7,
                leaves: Some(0),
                cells: cells(|change| format!("±{:.2}", change.chance() * 100.0)),
            },
            Column { heading: "", width: 1, leaves: None, cells: cells(mark) },
        ],
        title: title(comparison.dimension),
        names: changes
            .iter()
            .map(|change| row_name(&change.name, change.detail.as_deref(), comparison.dimension, style))
            .collect(),
        more: comparison.changes.len() - changes.len(),
        room: ROOM,
    }
    .write(style, out)?;
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

fn percent(share: f64) -> String {
    format!("{:.1}%", share * 100.0)
}

fn share(part: Duration, whole: Duration) -> f64 {
    if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(dimension: Dimension, rows: Vec<ReportRow>, width: Option<usize>) -> String {
        let second = Duration::from_secs(1);
        let (preempted, profiler) = (None, ProfilerTime::default());
        let on_own_fibers = Duration::ZERO;
        let report = Report { dimension, rows, wall: second, cpu: second, preempted, on_own_fibers, profiler };
        let mut out = Vec::new();
        write_report_table(&report, TableStyle { width, ..TableStyle::default() }, &mut out)
            .expect("writing to memory");
        String::from_utf8(out).expect("UTF-8")
    }

    fn row(name: &str, detail: Option<&str>, blocked: u64) -> ReportRow {
        ReportRow {
            name: name.to_owned(),
            detail: detail.map(str::to_owned),
            own: Duration::from_millis(500),
            blocked: Duration::from_millis(blocked),
            ..ReportRow::default()
        }
    }

    #[test]
    fn what_the_profiler_took_fits() {
        let took = |width| {
            let second = Duration::from_secs(1);
            let profiler = ProfilerTime { wall: second, ..ProfilerTime::default() };
            let mut out = Vec::new();
            profiler_line(profiler, second, TableStyle { width, ..TableStyle::default() }, &mut out)
                .expect("writing to memory");
            String::from_utf8(out).expect("UTF-8")
        };
        let whole = "profiler: 1.000 s more, 50.0% of all, were its own work; no row has them\n";
        assert_eq!(took(None), whole);
        assert_eq!(took(Some(80)), whole);
        assert_eq!(took(Some(60)), whole.replace("; ", "\n"));
    }

    #[test]
    fn a_terminal_is_shown_what_fits() {
        let name = "x".repeat(1 << 20);
        let cut = table(Dimension::Interface, vec![row(&name, None, 1)], Some(80));
        assert!(cut.lines().all(|line| line.chars().count() <= 80), "{cut}");
        assert!(table(Dimension::Interface, vec![row(&name, None, 1)], None).contains(&name));

        for name in ["a::".repeat(350_000), "<".repeat(1 << 20)] {
            for dimension in [Dimension::Function, Dimension::Line, Dimension::Library] {
                for detail in [None, Some(&*name)] {
                    let cut = table(dimension, vec![row(&name, detail, 1)], Some(80));
                    assert!(cut.lines().all(|line| line.chars().count() <= 80), "{cut}");
                    assert!(table(dimension, vec![row(&name, detail, 1)], None).contains(&name));
                }
            }
        }

        let library = "app/app-74192236fb917229.wasm";
        let rows = |blocked| {
            let name = "wasmtime::runtime::component::func::may_block";
            vec![row(name, Some(library), blocked), row("f", Some("a/one.wasm"), 0), row("f", Some("a/two.wasm"), 0)]
        };
        let whole = table(Dimension::Function, rows(0), None);
        assert!(whole.contains("wasmtime::runtime::component::func::may_block  [app/app-74192236fb917229.wasm]"));
        assert!(whole.lines().next().is_some_and(|line| line.contains("blocked preempted")), "{whole}");
        let narrow = table(Dimension::Function, rows(0), Some(50));
        assert_eq!(
            narrow,
            "   self boundary   total  function\n  \
               50.0%     0.0%    0.0%  func::may_block  [app]\n  \
               50.0%     0.0%    0.0%  f  [a/one]\n  \
               50.0%     0.0%    0.0%  f  [a/two]\n"
        );
        // What is worth a word stays, if there is room for names.
        let blocked = table(Dimension::Function, rows(100), Some(60));
        assert!(blocked.contains("blocked") && !blocked.contains("preempted"), "{blocked}");
    }
}
