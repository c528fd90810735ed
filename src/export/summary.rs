//! What a run found, in a few lines for a terminal.

use std::io::{self, Write};
use std::time::Duration;

use super::calls::call_table;
use super::escape::escape_control;
use super::report_table::{TableStyle, fibers_line, profiler_line, report_table};
use crate::error::{Error, Result};
use crate::profile::{Dimension, NO_INTERFACE, Profile, UNKNOWN_INTERFACE};

/// Writes how many samples there are, the time they stand for, the interfaces with the most time, and the hottest functions:
/// as many as the style has rows. Names are escaped for a terminal.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_summary(profile: &Profile, style: TableStyle, out: &mut dyn Write) -> Result<()> {
    summary(profile, style, out).map_err(|source| Error::Write { format: "summary", source })
}

fn summary(profile: &Profile, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
    let functions = style.rows;
    if let Some(captured) = profile.captured() {
        let what = format!("captured: {}", escape_control(&captured.to_string()));
        writeln!(out, "{}", style.cut_off(&what))?;
    }
    let counts = profile.counts();
    let lost = counts.lost.values().fold(0_u64, |sum, lost| sum.saturating_add(*lost));
    write!(out, "{} samples taken, {} kept, {lost} lost", counts.taken, counts.kept)?;
    let reasons: Vec<String> = counts.lost.iter().map(|(reason, count)| format!("{count} {}", reason.name())).collect();
    if !reasons.is_empty() {
        write!(out, " ({})", reasons.join(", "))?;
    }
    if counts.truncated > 0 {
        write!(out, ", {} of them without their outermost frames", counts.truncated)?;
    }
    let wall = profile.wall_time();
    writeln!(out)?;
    let times = format!(
        "{} sampled of {} elapsed, {} of it on the CPU",
        seconds(wall),
        seconds(profile.elapsed()),
        seconds(profile.cpu_time()),
    );
    let mut sampler = format!("{} sampler, every {:?}", profile.sampler().name(), profile.interval());
    if let Some(cost) = profile.handler_cost() {
        sampler.push_str(&format!(", at {:.2} µs a sample", cost.median().as_secs_f64() * 1e6));
    }
    writeln!(out, "{}", style.break_between(&times, "; ", &sampler))?;
    // Not worth a word on a machine that has nothing else to do.
    if let Some(time) = profile.preempted_time().filter(|time| *time * 100 >= wall && !time.is_zero()) {
        writeln!(out, "{} of it preempted: ready to run, and without a CPU", seconds(time))?;
    }
    profiler_line(profile.profiler_time(), wall, style, out)?;
    if counts.kept == 0 {
        writeln!(
            out,
            "no samples: the run was shorter than an interval, or all of it was spent in the host; try a shorter interval"
        )?;
    }
    if functions == 0 || counts.kept == 0 {
        return Ok(());
    }
    writeln!(out)?;
    let is_of_scripts = profile.is_of_scripts();
    let by = if is_of_scripts { Dimension::Script } else { Dimension::Function };
    let mut report = profile.report(by);
    // What the host does around a guest is under all samples and in none.
    report.rows.retain(|row| !row.attributed().is_zero());
    // Who has written a script looks for its functions first.
    if is_of_scripts {
        report_table(&report, TableStyle { rows: functions, ..style }, out)?;
    }
    let mut is_first = !is_of_scripts;
    let mut between = |out: &mut dyn Write| if std::mem::take(&mut is_first) { Ok(()) } else { writeln!(out) };
    let interfaces = profile.report(Dimension::Interface);
    // A core module has none.
    if interfaces.rows.iter().any(|row| row.name != NO_INTERFACE && row.name != UNKNOWN_INTERFACE) {
        between(out)?;
        let style = TableStyle { rows: functions / 2, ..style };
        report_table(&interfaces, style, out)?;
        fibers_line(&interfaces, style, out)?;
    }
    if let Some(trace) = profile.calls() {
        between(out)?;
        call_table(trace, TableStyle { rows: functions, ..style }, out)?;
    }
    if !is_of_scripts {
        between(out)?;
        report_table(&report, TableStyle { rows: functions, ..style }, out)?;
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}
