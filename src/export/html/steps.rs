//! Times by steps of the recording, so that the page can show a part of it.

use std::time::Duration;

use rustc_hash::FxHashMap;
use serde::{Serialize, Serializer};

use crate::nanos::nanos;
use crate::profile::{Attribution, LabelsIndex, Part, Profile, Sample, StackIndex, TraceIndex};
use crate::symbols::Layer;

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

/// Times of samples in nanoseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Times {
    pub(super) wall: u64,
    pub(super) cpu: u64,
    pub(super) preempted: u64,
}

impl Times {
    fn of(sample: &Sample) -> Self {
        Self { wall: nanos(sample.wall), cpu: nanos(sample.cpu), preempted: nanos(sample.preempted) }
    }

    fn add(&mut self, other: Self) {
        self.wall = self.wall.saturating_add(other.wall);
        self.cpu = self.cpu.saturating_add(other.cpu);
        self.preempted = self.preempted.saturating_add(other.preempted);
    }

    pub(super) fn blocked(self) -> u64 {
        self.wall.saturating_sub(self.cpu).saturating_sub(self.preempted)
    }
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

    fn step_of(self, time: u64) -> u32 {
        u32::try_from(time / nanos(self.length).max(1)).unwrap_or(u32::MAX).min(self.count - 1)
    }

    /// When a step begins.
    fn begin(self, step: u32) -> u64 {
        nanos(self.length).saturating_mul(u64::from(step))
    }

    /// When a step ends; the last has what lies behind it as well.
    fn end(self, step: u32) -> u64 {
        if step + 1 == self.count { u64::MAX } else { self.begin(step + 1) }
    }

    /// Divides a sample among the steps that it lies in. Its time lies before it; what it was off the CPU is taken to come
    /// first, and blocked before preempted time. The last step has what lies behind it as well.
    pub(super) fn cut(self, sample: &Sample, each: &mut dyn FnMut(u32, Times)) {
        let times = Times::of(sample);
        let begin = nanos(sample.time).saturating_sub(times.wall);
        let end = begin + times.wall;
        let on_cpu = end - times.cpu.min(times.wall);
        let preempted = on_cpu - times.preempted.min(on_cpu - begin);
        let first = self.step_of(begin);
        let last = if end <= self.end(first) { first } else { self.step_of(end - 1) };
        let mut from = begin;
        for step in first..=last {
            let to = if step == last { end } else { self.end(step) };
            let inside = |start: u64, stop: u64| stop.min(to).saturating_sub(start.max(from));
            let (cpu, preempted) = (inside(on_cpu, end), inside(preempted, on_cpu));
            each(step, Times { wall: to.saturating_sub(from), cpu, preempted });
            from = to;
        }
    }

    /// In which step the samples of a thread end, which are in order of time; and whether they lie in it as a whole.
    fn by_end(self, samples: &[Sample]) -> impl Iterator<Item = (u32, bool, &Sample)> {
        let mut step = 0;
        let mut limits = (0, self.end(0));
        samples.iter().map(move |sample| {
            let end = nanos(sample.time);
            while end > limits.1 {
                step += 1;
                limits = (self.begin(step), self.end(step));
            }
            let is_whole = end.checked_sub(nanos(sample.wall)).is_some_and(|begin| begin >= limits.0);
            (step, is_whole, sample)
        })
    }
}

/// What a stack spends its time on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Spent {
    Guest,
    Host,
    Boundary,
}

/// The samples of one step, summed up.
pub(super) struct Sums {
    /// Stacks with samples and their callers, which come last.
    pub(super) stacks: Vec<StackIndex>,
    /// By stack: its own samples.
    pub(super) own: Vec<Times>,
    /// By stack: wall-clock time with all that it calls.
    pub(super) total: Vec<u64>,
    /// By stack.
    pub(super) spent: Vec<Spent>,
    /// Nothing if there are no labels at all.
    pub(super) by_labels: FxHashMap<(LabelsIndex, Spent), Times>,
    is_listed: Vec<bool>,
    has_labels: bool,
}

impl Sums {
    fn new(profile: &Profile) -> Self {
        let attribution = Attribution::new(profile);
        let stacks = profile.stacks().len();
        let spent = (0..).map(StackIndex).take(stacks).map(|stack| {
            let library = profile.functions()[profile.leaf(stack).index()].library;
            match (attribution.part(stack), profile.libraries()[library.index()].layer) {
                (Part::Boundary, _) => Spent::Boundary,
                (Part::Own, Layer::Host) => Spent::Host,
                (Part::Own, _) => Spent::Guest,
            }
        });
        Self {
            stacks: Vec::new(),
            own: vec![Times::default(); stacks],
            total: vec![0; stacks],
            spent: spent.collect(),
            by_labels: FxHashMap::default(),
            is_listed: vec![false; stacks],
            has_labels: !profile.label_keys().is_empty(),
        }
    }

    fn add(&mut self, stack: StackIndex, labels: LabelsIndex, times: Times) {
        self.own[stack.index()].add(times);
        self.list(stack);
        if self.has_labels {
            self.by_labels.entry((labels, self.spent[stack.index()])).or_default().add(times);
        }
    }

    /// A sample for each stack that has any.
    pub(super) fn samples(&self) -> impl Iterator<Item = Sample> {
        self.stacks.iter().map(|stack| (*stack, self.own[stack.index()])).filter(|(_, own)| own.wall > 0).map(
            |(stack, own)| Sample {
                time: Duration::ZERO,
                stack,
                labels: LabelsIndex(0),
                trace: TraceIndex(0),
                count: 1,
                wall: Duration::from_nanos(own.wall),
                cpu: Duration::from_nanos(own.cpu),
                preempted: Duration::from_nanos(own.preempted),
            },
        )
    }

    fn list(&mut self, stack: StackIndex) {
        if !std::mem::replace(&mut self.is_listed[stack.index()], true) {
            self.stacks.push(stack);
        }
    }

    /// Adds up what each stack calls, when all samples are there.
    fn add_up(&mut self, profile: &Profile) {
        let caller = |stack: StackIndex| profile.stacks()[stack.index()].caller;
        let mut next = 0;
        while let Some(stack) = self.stacks.get(next).copied() {
            caller(stack).into_iter().for_each(|caller| self.list(caller));
            next += 1;
        }
        self.stacks.sort_unstable_by(|a, b| b.cmp(a));
        for stack in &self.stacks {
            let total = self.total[stack.index()].saturating_add(self.own[stack.index()].wall);
            self.total[stack.index()] = total;
            if let Some(caller) = caller(*stack) {
                let sum = &mut self.total[caller.index()];
                *sum = sum.saturating_add(total);
            }
        }
    }

    fn clear(&mut self) {
        for stack in self.stacks.drain(..) {
            self.own[stack.index()] = Times::default();
            self.total[stack.index()] = 0;
            self.is_listed[stack.index()] = false;
        }
        self.by_labels.clear();
    }
}

/// Goes through the steps, with what the samples of each add up to. Of a thread's samples, only those are held that lie in more
/// than one step.
pub(super) fn each_step(profile: &Profile, grid: Grid, each: &mut dyn FnMut(u32, &Sums)) {
    let mut sums = Sums::new(profile);
    let mut parts = divided(profile, grid).into_iter().peekable();
    let threads = profile.threads().iter().map(|thread| grid.by_end(&thread.samples).peekable());
    let mut threads: Vec<_> = threads.collect();
    for step in 0..grid.count {
        while let Some((_, stack, labels, times)) = parts.next_if(|(at, ..)| *at == step) {
            sums.add(stack, labels, times);
        }
        for samples in &mut threads {
            while let Some((_, is_whole, sample)) = samples.next_if(|(at, ..)| *at == step) {
                if is_whole {
                    sums.add(sample.stack, sample.labels, Times::of(sample));
                }
            }
        }
        sums.add_up(profile);
        each(step, &sums);
        sums.clear();
    }
}

type DividedSample = (u32, StackIndex, LabelsIndex, Times);

/// The samples that do not lie in one step, in order of step, and those of the same stack and labels in a step as one.
fn divided(profile: &Profile, grid: Grid) -> Vec<DividedSample> {
    let mut parts = Vec::new();
    // Now and then, so that there are never many more of them than are needed.
    let mut many = 1 << 16;
    for thread in profile.threads() {
        for (_, _, sample) in grid.by_end(&thread.samples).filter(|(_, is_whole, _)| !is_whole) {
            grid.cut(sample, &mut |step, times| parts.push((step, sample.stack, sample.labels, times)));
            if parts.len() >= many {
                merge(&mut parts);
                many = many.max(parts.len() * 2);
            }
        }
    }
    merge(&mut parts);
    parts
}

fn merge(parts: &mut Vec<DividedSample>) {
    let key = |(step, stack, labels, _): &DividedSample| (*step, *stack, *labels);
    parts.sort_unstable_by_key(key);
    parts.dedup_by(|part, before| {
        let is_same = key(part) == key(before);
        if is_same {
            before.3.add(part.3);
        }
        is_same
    });
}

/// Times in microseconds by cell and step. What a cell is depends on what the times are of.
#[derive(Default)]
pub(super) struct Series {
    /// By cell: nanoseconds in the present step.
    now: Vec<u64>,
    steps: u32,
    /// By cell times steps plus step; in order when they are [settled](Self::settle).
    times: Vec<(u64, u64)>,
}

impl Series {
    pub(super) fn new(cells: usize) -> Self {
        Self { now: vec![0; cells], steps: STEPS[0], times: Vec::new() }
    }

    /// Adds to a cell in the present step.
    pub(super) fn add(&mut self, cell: usize, nanos: u64) {
        if let Some(now) = self.now.get_mut(cell) {
            *now = now.saturating_add(nanos);
        }
    }

    /// Ends a step, one of the finest.
    fn end_step(&mut self, step: u32) {
        let step = u64::from(step * self.steps / STEPS[0]);
        for (cell, now) in self.now.iter_mut().enumerate() {
            let micros = std::mem::take(now).saturating_add(500) / 1000;
            if micros > 0 {
                self.times.push((cell as u64 * u64::from(self.steps) + step, micros));
            }
        }
    }

    /// Puts the times in order, those of the same cell and step as one.
    fn settle(&mut self) {
        // They are nearly in order.
        self.times.sort_by_key(|(key, _)| *key);
        self.times.dedup_by(|time, before| {
            let is_same = time.0 == before.0;
            if is_same {
                before.1 = before.1.saturating_add(time.1);
            }
            is_same
        });
    }

    /// The same with fewer steps, of which each is some of the present ones.
    fn coarsen(&mut self, steps: u32) {
        let (old, new) = (u64::from(self.steps), u64::from(steps));
        self.times.iter_mut().for_each(|(key, _)| *key = *key / old * new + *key % old * new / old);
        self.steps = steps;
        self.settle();
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

/// Ends a step in all series, and keeps them small enough for a page.
pub(super) fn end_step(step: u32, series: &mut [&mut Series]) {
    series.iter_mut().for_each(|series| series.end_step(step));
    // Now and then, as it takes time.
    if series.iter().map(|series| series.times.len()).sum::<usize>() > MAX_TIMES * 2 {
        fit(series);
    }
}

/// Makes steps longer until all series together are small enough for a page. Returns how many steps there are.
pub(super) fn fit(series: &mut [&mut Series]) -> u32 {
    series.iter_mut().for_each(|series| series.settle());
    let present = series.first().map_or(STEPS[0], |series| series.steps);
    let mut steps = present;
    for fewer in STEPS.into_iter().filter(|fewer| *fewer < present) {
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
    use std::collections::BTreeMap;

    use super::*;
    use crate::profile::arbitrary;
    use proptest::prelude::*;

    /// Times in microseconds by step, for each cell.
    fn series(times: &BTreeMap<(u32, usize), u64>, fit_after: u32) -> Series {
        let mut series = Series::new(5);
        for step in 0..STEPS[0] {
            for ((_, cell), micros) in times.range((step, 0)..(step + 1, 0)) {
                series.add(*cell, micros * 1000);
            }
            series.end_step(step);
            if step == fit_after {
                series.coarsen(STEPS[1]);
            }
        }
        series.settle();
        series
    }

    proptest! {
        #[test]
        fn a_sample_is_divided_without_a_rest(profile in arbitrary::profile()) {
            for grid in [Grid::bins(&profile), Grid::steps(&profile)] {
                for sample in profile.samples() {
                    let mut parts = Vec::new();
                    grid.cut(sample, &mut |step, part| parts.push((step, part)));
                    prop_assert!(parts.is_sorted_by(|(a, _), (b, _)| a < b) && parts.iter().all(|(step, _)| *step < grid.count));
                    let mut whole = Times::default();
                    parts.iter().for_each(|(_, part)| whole.add(*part));
                    prop_assert_eq!(whole, Times::of(sample));
                    prop_assert!(parts.iter().all(|(_, part)| part.cpu + part.preempted <= part.wall));
                }
            }
        }

        #[test]
        fn steps_have_what_samples_are_divided_into(profile in arbitrary::profile()) {
            let grid = Grid::steps(&profile);
            let mut expected: BTreeMap<(u32, StackIndex), Times> = BTreeMap::new();
            let mut totals: BTreeMap<(u32, StackIndex), u64> = BTreeMap::new();
            for sample in profile.samples() {
                grid.cut(sample, &mut |step, part| {
                    expected.entry((step, sample.stack)).or_default().add(part);
                    profile.outwards(sample.stack).for_each(|at| *totals.entry((step, at)).or_default() += part.wall);
                });
            }
            let mut found = BTreeMap::new();
            let mut found_totals = BTreeMap::new();
            each_step(&profile, grid, &mut |step, sums| {
                found.extend(sums.stacks.iter().map(|stack| ((step, *stack), sums.own[stack.index()])));
                found_totals.extend(sums.stacks.iter().map(|stack| ((step, *stack), sums.total[stack.index()])));
            });
            expected.retain(|_, times| *times != Times::default());
            found.retain(|_, times| *times != Times::default());
            prop_assert_eq!(found, expected);
            totals.retain(|_, total| *total > 0);
            found_totals.retain(|_, total| *total > 0);
            prop_assert_eq!(found_totals, totals);
        }

        #[test]
        fn longer_steps_have_the_same_time(
            times in prop::collection::btree_map((0..120_u32, 0..5_usize), 1..1000_u64, 0..100),
            fit_after in 0..120_u32,
        ) {
            let mut whole = series(&times, STEPS[0]);
            let mut early = series(&times, fit_after);
            for steps in STEPS {
                whole.coarsen(steps);
                for cell in 0..5 {
                    let expected: u64 = times.iter().filter(|((_, of), _)| *of == cell).map(|(_, time)| time).sum();
                    prop_assert_eq!(whole.of_cell(cell), expected);
                }
                if steps <= STEPS[1] {
                    early.coarsen(steps);
                    prop_assert_eq!(&early.times, &whole.times);
                }
            }
        }
    }

    #[test]
    fn numbers_are_written_by_five_bits() {
        let times = BTreeMap::from([((1, 0), 31), ((0, 1), 32)]);
        let text = serde_json::to_string(&series(&times, STEPS[0])).expect("JSON");
        // 1, 31, 119 = 3 * 32 + 23, 32 = 1 * 32.
        assert_eq!(text, "\"Bf3DgB\"");
    }
}
