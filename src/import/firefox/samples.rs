//! Samples, and the threads that they are of.

use std::time::Duration;

use super::contents::ThreadContents;
use super::frames::Stacks;
use super::reader::Reader;
use crate::firefox_format::{Meta, joined};
use crate::profile::{LabelsIndex, Sample, Thread, TraceIndex};

/// No sample stands for more time than this, and no recording began later: sums cannot overflow.
const MAX_SECONDS: f64 = 366.0 * 86_400.0;

impl Reader<'_> {
    /// The samples of a thread, whose stacks are in `stacks`.
    pub(super) fn thread(
        &self,
        thread: &ThreadContents,
        index: usize,
        stacks: &Stacks,
        interval: Duration,
    ) -> Result<Thread, String> {
        let samples = &thread.samples;
        let rows = samples.stack.len();
        let has_length = |length: Option<usize>| length.is_none_or(|length| length == rows);
        if !has_length(samples.time.as_ref().map(Vec::len))
            || !has_length(samples.time_deltas.as_ref().map(Vec::len))
            || !has_length(samples.weight.as_ref().map(Vec::len))
            || !has_length(samples.cpu.as_ref().map(Vec::len))
        {
            return Err("the columns of its samples have different lengths".to_owned());
        }
        if samples.weight_type.as_deref() == Some("bytes") {
            return Err("samples are weighed in bytes, not in time".to_owned());
        }
        let is_time = samples.weight_type.as_deref() == Some("tracing-ms");
        let cpu_unit = match self.contents.meta.sample_units.as_ref().map(|units| units.cpu.as_str()) {
            Some("ns") => 1e9,
            Some("ms") => 1e3,
            _ => 1e6,
        };
        let mut out = Vec::with_capacity(rows);
        let mut now = Duration::ZERO;
        for row in 0..rows {
            let problem = |what: &str| format!("sample {row} has {what}");
            now = match (&samples.time, &samples.time_deltas) {
                (Some(times), _) => time(times[row], 1e3).ok_or_else(|| problem("an impossible time"))?.max(now),
                // Deltas may be negative by a rounding error.
                (None, Some(deltas)) if deltas[row] < 0.0 => now,
                (None, Some(deltas)) => {
                    now.saturating_add(time(deltas[row], 1e3).ok_or_else(|| problem("an impossible time"))?)
                }
                (None, None) => now.saturating_add(interval),
            };
            // Nothing ran.
            let Some(stack) = samples.stack[row] else { continue };
            let stack = stacks.get(stack as usize).copied().flatten();
            let stack = stack.ok_or_else(|| problem("a stack that does not exist"))?;
            let weight = samples.weight.as_ref().map_or(1.0, |weight| weight[row]);
            let (wall, count) = if is_time {
                (time(weight, 1e3), 1)
            } else {
                #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "saturates, and is checked")]
                let count = weight.round() as u64;
                (time(weight * interval.as_secs_f64(), 1.0), count)
            };
            let wall = wall.ok_or_else(|| problem("an impossible weight"))?;
            let cpu = samples.cpu.as_ref().and_then(|cpu| cpu[row]).unwrap_or(0.0);
            let cpu = time(cpu, cpu_unit).ok_or_else(|| problem("an impossible CPU time"))?.min(wall);
            let (labels, trace, preempted) = (LabelsIndex(0), TraceIndex(0), Duration::ZERO);
            out.push(Sample { time: now, stack, labels, trace, count, wall, cpu, preempted });
        }
        let name = match (thread.name.is_empty(), self.meta.is_some(), thread.process_name.as_str()) {
            (true, _, "") => format!("thread {}", index + 1),
            (true, _, process) => process.to_owned(),
            (false, false, process) if !process.is_empty() && process != thread.name => {
                format!("{process}: {}", thread.name)
            }
            _ => thread.name.clone(),
        };
        Ok(Thread { name, samples: out })
    }
}

/// The samples of one of our threads, of their rows: with what `meta` says of them, and put together again.
pub(super) fn joined_rows(
    mut rows: Vec<Sample>,
    meta: &Meta,
    thread: Option<usize>,
    interval: Duration,
) -> Vec<Sample> {
    let labels = thread.and_then(|thread| meta.sample_labels.get(thread));
    for (sample, labels) in each_row(&mut rows, labels) {
        sample.labels = LabelsIndex(if (labels as usize) < meta.labels.len() { labels } else { 0 });
    }
    let traces = thread.and_then(|thread| meta.sample_traces.get(thread));
    for (sample, trace) in each_row(&mut rows, traces) {
        sample.trace = TraceIndex(if (trace as usize) <= meta.traces.len() { trace } else { 0 });
    }
    let counts = thread.and_then(|thread| meta.sample_counts.get(thread));
    each_row(&mut rows, counts).for_each(|(sample, count)| sample.count = count.max(1));
    let preempted = thread.and_then(|thread| meta.sample_preempted.as_ref()?.get(thread));
    for (sample, preempted) in each_row(&mut rows, preempted) {
        sample.preempted = Duration::from_nanos(preempted).min(sample.wall - sample.cpu);
    }
    joined(rows, interval)
}

/// The rows that runs say something about, each with what they say.
fn each_row<'s, V: Copy>(
    rows: &'s mut [Sample],
    runs: Option<&'s Vec<(u64, V)>>,
) -> impl Iterator<Item = (&'s mut Sample, V)> {
    let values = runs
        .into_iter()
        .flatten()
        .flat_map(|(count, value)| std::iter::repeat_n(*value, usize::try_from(*count).unwrap_or(usize::MAX)));
    rows.iter_mut().zip(values)
}

/// `value` of a unit of which a second has so many; `None` if that is no time, or more than a year. To the nanosecond.
pub(super) fn time(value: f64, per_second: f64) -> Option<Duration> {
    let seconds = value / per_second;
    if !(0.0..=MAX_SECONDS).contains(&seconds) {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "not negative, and less than 2^55")]
    let nanos = (value * (1e9 / per_second)).round() as u64;
    Some(Duration::from_nanos(nanos))
}
