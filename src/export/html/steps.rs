//! Times by steps of the recording, so that the page can show a part of it.

use std::time::Duration;

use serde::{Serialize, Serializer};

use crate::export::microseconds;
use crate::profile::{Profile, Sample};

/// Columns of the timeline.
pub(super) const BINS: u32 = 600;

/// How many steps the recording may be divided into; each is a number of bins.
const STEPS: [u32; 5] = [120, 60, 30, 15, 5];

/// The most times by step on a page, which take about four bytes each.
const MAX_TIMES: usize = 300_000;

/// The recording, divided into steps of one length.
#[derive(Clone, Copy)]
pub(super) struct Grid {
    pub(super) length: Duration,
    pub(super) count: u32,
}

impl Grid {
    /// As fine as the timeline.
    pub(super) fn bins(profile: &Profile) -> Self {
        let last = profile.samples().map(|sample| sample.time).max().unwrap_or_default();
        let whole = profile.elapsed().max(last).max(Duration::from_micros(u64::from(BINS)));
        Self { length: whole / BINS, count: BINS }
    }

    /// The finest steps that a selection may have.
    pub(super) fn steps(profile: &Profile) -> Self {
        Self { length: Self::bins(profile).length * (BINS / STEPS[0]), count: STEPS[0] }
    }

    fn step_of(self, time: Duration) -> u32 {
        u32::try_from(time.as_nanos() / self.length.as_nanos().max(1)).unwrap_or(u32::MAX).min(self.count - 1)
    }

    /// Divides a sample among the steps that it lies in. Its time lies before it; what it was off the CPU is taken to come
    /// first, and blocked before preempted time. The last step has what lies behind it as well.
    pub(super) fn cut(self, sample: &Sample, each: &mut dyn FnMut(u32, Sample)) {
        let begin = sample.time.saturating_sub(sample.wall);
        let end = begin + sample.wall;
        let on_cpu = end - sample.cpu.min(sample.wall);
        let preempted = on_cpu - sample.preempted.min(on_cpu - begin);
        let last = self.step_of(end.saturating_sub(Duration::from_nanos(1)).max(begin));
        let mut from = begin;
        for step in self.step_of(begin)..=last {
            let to = if step == last { end } else { self.length * (step + 1) };
            let inside = |start: Duration, stop: Duration| stop.min(to).saturating_sub(start.max(from));
            let (cpu, preempted) = (inside(on_cpu, end), inside(preempted, on_cpu));
            each(step, Sample { wall: to.saturating_sub(from), cpu, preempted, ..*sample });
            from = to;
        }
    }
}

/// All samples, divided among the steps: in order of step, and those of the same stack and labels in a step as one.
pub(super) fn by_step(profile: &Profile, grid: Grid) -> Vec<(u32, Sample)> {
    let mut parts = Vec::new();
    // Now and then, so that there are never many more of them than are needed.
    let mut many = 1 << 16;
    for sample in profile.samples() {
        grid.cut(sample, &mut |step, part| parts.push((step, part)));
        if parts.len() >= many {
            merge(&mut parts);
            many = many.max(parts.len() * 2);
        }
    }
    merge(&mut parts);
    parts
}

fn merge(parts: &mut Vec<(u32, Sample)>) {
    let key = |(step, part): &(u32, Sample)| (*step, part.stack, part.labels);
    parts.sort_unstable_by_key(key);
    parts.dedup_by(|part, before| {
        let is_same = key(part) == key(before);
        if is_same {
            before.1.wall += part.1.wall;
            before.1.cpu += part.1.cpu;
            before.1.preempted += part.1.preempted;
        }
        is_same
    });
}

/// Times in microseconds by cell and step. What a cell is depends on what the times are of.
#[derive(Default)]
pub(super) struct Series {
    steps: u32,
    times: Vec<(u64, u64)>,
}

impl Series {
    /// The sums of times of the same cell and step.
    pub(super) fn new(grid: Grid, times: impl IntoIterator<Item = ((usize, u32), Duration)>) -> Self {
        let key = |cell: usize, step: u32| cell as u64 * u64::from(grid.count) + u64::from(step);
        let mut times: Vec<(u64, Duration)> =
            times.into_iter().map(|((cell, step), time)| (key(cell, step), time)).collect();
        times.sort_unstable();
        let sums = times.chunk_by(|(a, _), (b, _)| a == b).map(|of_key| {
            let time = of_key.iter().map(|(_, time)| *time).sum();
            (of_key[0].0, microseconds(time))
        });
        Self { steps: grid.count, times: sums.filter(|(_, time)| *time > 0).collect() }
    }

    /// The same with fewer steps, of which each is some of the present ones.
    fn coarsen(&mut self, steps: u32) {
        let (old, new) = (u64::from(self.steps), u64::from(steps));
        let mut merged: Vec<(u64, u64)> = Vec::new();
        for (key, time) in self.times.drain(..) {
            let key = key / old * new + key % old * new / old;
            match merged.last_mut() {
                Some(last) if last.0 == key => last.1 += time,
                _ => merged.push((key, time)),
            }
        }
        (self.steps, self.times) = (steps, merged);
    }
}

#[cfg(test)]
impl Series {
    /// All time of a cell.
    pub(super) fn of_cell(&self, cell: usize) -> u64 {
        let times = self.times.iter().filter(|(key, _)| key / u64::from(self.steps) == cell as u64);
        times.map(|(_, time)| time).sum()
    }
}

/// Makes steps longer until all series together are small enough for a page. Returns how many steps there are.
pub(super) fn fit(series: &mut [&mut Series]) -> u32 {
    let mut steps = STEPS[0];
    for fewer in STEPS.into_iter().skip(1) {
        if series.iter().map(|series| series.times.len()).sum::<usize>() <= MAX_TIMES {
            break;
        }
        series.iter_mut().for_each(|series| series.coarsen(fewer));
        steps = fewer;
    }
    steps
}

/// As text, because numbers in JSON take twice the place: for each time, how far its key (cell times steps plus step) is from
/// the one before it, and the time; each with its lowest five bits first, six bits a letter, of which the highest says
/// that more follow.
impl Serialize for Series {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = String::with_capacity(self.times.len() * 4);
        let mut write = |mut number: u64| {
            while number >= 32 {
                text.push(char::from(LETTERS[(number % 32 + 32) as usize]));
                number /= 32;
            }
            text.push(char::from(LETTERS[number as usize]));
        };
        let mut before = 0;
        for (key, time) in &self.times {
            write(key - before);
            write(*time);
            before = *key;
        }
        serializer.serialize_str(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::arbitrary;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_sample_is_divided_without_a_rest(profile in arbitrary::profile()) {
            for grid in [Grid::bins(&profile), Grid::steps(&profile)] {
                for sample in profile.samples() {
                    let mut parts = Vec::new();
                    grid.cut(sample, &mut |step, part| parts.push((step, part)));
                    prop_assert!(parts.is_sorted_by(|(a, _), (b, _)| a < b) && parts.iter().all(|(step, _)| *step < grid.count));
                    let sum = |of: fn(&Sample) -> Duration| parts.iter().map(|(_, part)| of(part)).sum::<Duration>();
                    prop_assert_eq!(sum(|part| part.wall), sample.wall);
                    prop_assert_eq!(sum(|part| part.cpu), sample.cpu);
                    prop_assert_eq!(sum(|part| part.preempted), sample.preempted);
                    prop_assert!(parts.iter().all(|(_, part)| part.cpu + part.preempted <= part.wall));
                }
            }
        }

        #[test]
        fn longer_steps_have_the_same_time(times in prop::collection::btree_map((0..5_usize, 0..120_u32), 1..1000_u64, 0..100)) {
            let grid = Grid { length: Duration::from_secs(1), count: 120 };
            let mut series = Series::new(grid, times.iter().map(|(key, time)| (*key, Duration::from_micros(*time))));
            for steps in STEPS {
                series.coarsen(steps);
                for cell in 0..5 {
                    let expected: u64 = times.iter().filter(|((of, _), _)| *of == cell).map(|(_, time)| time).sum();
                    prop_assert_eq!(series.of_cell(cell), expected);
                }
            }
        }
    }

    #[test]
    fn numbers_are_written_by_five_bits() {
        let grid = Grid { length: Duration::from_secs(1), count: 120 };
        let times = [((0, 1), Duration::from_micros(31)), ((1, 0), Duration::from_micros(32))];
        let text = serde_json::to_string(&Series::new(grid, times)).expect("JSON");
        // 1, 31, 119 = 3 * 32 + 23, 32 = 1 * 32.
        assert_eq!(text, "\"Bf3DgB\"");
    }
}
