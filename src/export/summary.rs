//! What a run found, in a few lines for a terminal.

use std::io::{self, Write};
use std::time::Duration;

use super::escape::escape_name;
use crate::error::{Error, Result};
use crate::profile::Profile;
use crate::symbols::Layer;

/// Writes how many samples there are, the time they stand for, and the `functions` hottest functions with their
/// libraries. Names are escaped for a terminal.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_summary(profile: &Profile, functions: usize, out: &mut dyn Write) -> Result<()> {
    summary(profile, functions, out).map_err(|source| Error::Write { format: "summary", source })
}

fn summary(profile: &Profile, functions: usize, out: &mut dyn Write) -> io::Result<()> {
    let counts = profile.counts();
    let lost: u64 = counts.lost.values().sum();
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
    write!(
        out,
        "{} sampled of {} elapsed, {} of it on the CPU; {} sampler, every {:?}",
        seconds(wall),
        seconds(profile.elapsed()),
        seconds(profile.cpu_time()),
        profile.sampler().name(),
        profile.interval(),
    )?;
    match profile.handler_cost() {
        Some(cost) => writeln!(out, ", at {:.2} µs a sample", cost.median().as_secs_f64() * 1e6)?,
        None => writeln!(out)?,
    }
    if counts.kept == 0 {
        writeln!(
            out,
            "no samples: the run was shorter than an interval, or all of it was spent in the host; try a shorter interval"
        )?;
    }
    let totals = profile.function_totals();
    if functions == 0 || totals.is_empty() {
        return Ok(());
    }
    writeln!(out, "\n{:>7} {:>7} {:>7}  function", "self", "total", "cpu")?;
    let rows = totals.iter().map(|total| {
        let function = &profile.functions()[total.function.index()];
        (total, function, &profile.libraries()[function.library.index()])
    });
    // What the host does around a guest is under all samples and in none.
    let rows = rows.filter(|(total, _, library)| library.layer != Layer::Host || !total.self_wall.is_zero());
    for (total, function, library) in rows.take(functions) {
        writeln!(
            out,
            "{} {} {}  {}  [{}]",
            percent(total.self_wall, wall),
            percent(total.total_wall, wall),
            percent(total.self_cpu, wall),
            escape_name(&function.name),
            escape_name(&library.name),
        )?;
    }
    Ok(())
}

fn seconds(time: Duration) -> String {
    format!("{:.3} s", time.as_secs_f64())
}

fn percent(part: Duration, whole: Duration) -> String {
    let share = if whole.is_zero() { 0.0 } else { part.as_secs_f64() / whole.as_secs_f64() };
    format!("{:>6.1}%", share * 100.0)
}
