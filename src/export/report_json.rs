//! A report as JSON for scripts.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use serde::Serialize;

use super::{milliseconds, write_pretty};
use crate::error::Result;
use crate::profile::{Comparison, Profile, Report};
use crate::symbols::CrossingEnd;

/// Writes `report` on `profile` as JSON:
///
/// ```json
/// {"samples": {"taken": 1210, "kept": 1209, "lost": {"interrupted": 1}},
///  "wall_ms": 1210.1, "cpu_ms": 1209.0, "preempted_ms": 0.9, "on_own_fibers_ms": 0.0, "profiler_ms": 0.0,
///  "captured": null, "by": "interface",
///  "rows": [{"name": "wasi:cli/run@0.2.12 (export)", "detail": null, "from": "(host)", "to": "app", "self_ms": 1.0,
///            "total_ms": 1.2, "total_is_partial": false, "boundary_ms": 0.2, "blocked_ms": 0.1, "preempted_ms": 0.3,
///            "self_pct": 0.1, "total_pct": 0.1, "calls": null, "calls_at_least": null}]}
/// ```
///
/// `self_ms` is own time in guest or host. Of that, the thread waited for something for `blocked_ms`, and was ready to run and
/// had no CPU for `preempted_ms`, which is null if it is not known. `boundary_ms` is the cost of crossing.
/// Over all rows `self_ms + boundary_ms`, with `profiler_ms`, is `wall_ms`, but for a report on callers or on some crossings. `profiler_ms` is what
/// the profiler itself did on the guests' threads; shares are of the time without it. `calls` is null unless calls were
/// traced and all of them are known; where only a lower bound is known, that is `calls_at_least`. Names are as the guest
/// wrote them.
///
/// `from` and `to` are the components on both sides of an interface or interface function, and `(host)` is the host; null where
/// they are not known, differ within the row, or rows are no interfaces. `on_own_fibers_ms` is the time of calls between components
/// that ran on fibers of their own, because they are async: the rows of what was called have it, and no total of who called.
/// `captured` says what the profile was captured for, if it was. `total_is_partial` says that the total of a row may lack such calls.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write) if `out` cannot be written to.
pub fn write_report_json(profile: &Profile, report: &Report, out: &mut dyn Write) -> Result<()> {
    let percent = |time: Duration| {
        if report.wall.is_zero() { 0.0 } else { time.as_secs_f64() / report.wall.as_secs_f64() * 100.0 }
    };
    let rows = report.rows.iter().map(|row| RowJson {
        name: &row.name,
        detail: row.detail.as_deref(),
        from: row.ends.from.as_ref().map(CrossingEnd::name),
        to: row.ends.to.as_ref().map(CrossingEnd::name),
        self_ms: milliseconds(row.own),
        total_ms: milliseconds(row.total),
        total_is_partial: row.total_is_partial,
        boundary_ms: milliseconds(row.boundary),
        blocked_ms: milliseconds(row.blocked),
        preempted_ms: row.preempted.map(milliseconds),
        self_pct: percent(row.own),
        total_pct: percent(row.total),
        calls: row.calls,
        calls_at_least: row.calls_at_least,
    });
    let counts = profile.counts();
    let document = ReportJson {
        samples: SamplesJson {
            taken: counts.taken,
            kept: counts.kept,
            lost: counts.lost.iter().map(|(reason, count)| (reason.name(), *count)).collect(),
        },
        wall_ms: milliseconds(report.wall + report.profiler.wall),
        cpu_ms: milliseconds(report.cpu + report.profiler.cpu),
        preempted_ms: report.preempted.map(milliseconds),
        on_own_fibers_ms: milliseconds(report.on_own_fibers),
        profiler_ms: milliseconds(report.profiler.wall),
        captured: profile.captured().map(ToString::to_string),
        by: report.dimension.name(),
        rows: rows.collect(),
    };
    write_pretty(&document, "JSON report", out)
}

/// Writes `comparison` as JSON: `{"by", "changes": [{"name", "detail", "before_pct", "after_pct", "change_pct",
/// "spread_pct", "chance_pct", "certain"}], "before_preempted_pct", "after_preempted_pct"}`. Shares are of all recorded time, and
/// changes are in points. `certain` says whether a change is larger than `chance_pct`, which is how far chance alone may move
/// it. `spread_pct` is half the interval in which 95 of 100 changes of a single row would lie by chance; it decides nothing.
/// The last two say for how much of the time threads were ready to run and had no CPU; null if that is not known.
///
/// # Errors
/// [`Error::Write`](crate::Error::Write) if `out` cannot be written to.
pub fn write_comparison_json(comparison: &Comparison, out: &mut dyn Write) -> Result<()> {
    let changes = comparison.changes.iter().map(|change| ChangeJson {
        name: &change.name,
        detail: change.detail.as_deref(),
        before_pct: change.before * 100.0,
        after_pct: change.after * 100.0,
        change_pct: change.difference() * 100.0,
        spread_pct: change.spread() * 100.0,
        chance_pct: change.chance() * 100.0,
        certain: change.is_certain(),
    });
    let [before, after] = comparison.preempted.map(|share| share.map(|share| share * 100.0));
    let document = ComparisonJson {
        by: comparison.dimension.name(),
        changes: changes.collect(),
        before_preempted_pct: before,
        after_preempted_pct: after,
    };
    write_pretty(&document, "JSON comparison", out)
}

#[derive(Serialize)]
struct ReportJson<'r> {
    samples: SamplesJson,
    wall_ms: f64,
    cpu_ms: f64,
    preempted_ms: Option<f64>,
    on_own_fibers_ms: f64,
    profiler_ms: f64,
    captured: Option<String>,
    by: &'static str,
    rows: Vec<RowJson<'r>>,
}

#[derive(Serialize)]
struct SamplesJson {
    taken: u64,
    kept: u64,
    lost: BTreeMap<&'static str, u64>,
}

#[derive(Serialize)]
struct RowJson<'r> {
    name: &'r str,
    detail: Option<&'r str>,
    from: Option<&'r str>,
    to: Option<&'r str>,
    self_ms: f64,
    total_ms: f64,
    total_is_partial: bool,
    boundary_ms: f64,
    blocked_ms: f64,
    preempted_ms: Option<f64>,
    self_pct: f64,
    total_pct: f64,
    calls: Option<u64>,
    calls_at_least: Option<u64>,
}

#[derive(Serialize)]
struct ComparisonJson<'c> {
    by: &'static str,
    changes: Vec<ChangeJson<'c>>,
    before_preempted_pct: Option<f64>,
    after_preempted_pct: Option<f64>,
}

#[derive(Serialize)]
struct ChangeJson<'c> {
    name: &'c str,
    detail: Option<&'c str>,
    before_pct: f64,
    after_pct: f64,
    change_pct: f64,
    spread_pct: f64,
    chance_pct: f64,
    certain: bool,
}
