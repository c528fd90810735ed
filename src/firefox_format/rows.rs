//! Rows of the sample table.

use std::time::Duration;

use crate::profile::Sample;

/// The longest time that a row of older files stands for, which have several rows after each other for more.
const MAX_WEIGHT: Duration = Duration::from_nanos(i32::MAX.unsigned_abs() as u64);

/// A row of the sample table.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Row {
    pub(crate) time: Duration,
    pub(crate) wall: Duration,
    pub(crate) cpu: Duration,
    pub(crate) preempted: Duration,
}

/// The rows of the samples of a thread, each with its sample.
pub(crate) struct Rows<'s> {
    samples: std::slice::Iter<'s, Sample>,
    interval: Duration,
    /// Samples that stand for no more than this are one row.
    longest: Duration,
    /// The time of the last row.
    last: Duration,
    /// The second row of the last sample.
    rest: Option<(&'s Sample, Row)>,
}

/// The rows of the samples of a thread: of each one at its end and, if it stands for clearly more than an interval and there
/// is room after the row before, one for its first interval at the beginning.
pub(crate) fn all_rows(samples: &[Sample], interval: Duration) -> Rows<'_> {
    let longest = interval + interval / 2;
    Rows { samples: samples.iter(), interval, longest, last: Duration::ZERO, rest: None }
}

impl<'s> Iterator for Rows<'s> {
    type Item = (&'s Sample, Row);

    // Each column has rows made once more, mostly of samples of one row.
    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(rest) = self.rest.take() {
            return Some(rest);
        }
        let sample = self.samples.next()?;
        if sample.wall > self.longest {
            return Some((sample, self.first_of(sample)));
        }
        self.last = self.last.max(sample.time);
        let Sample { wall, cpu, preempted, .. } = *sample;
        Some((sample, Row { time: self.last, wall, cpu, preempted }))
    }
}

impl<'s> Rows<'s> {
    /// The first row of a sample that is longer than one row.
    fn first_of(&mut self, sample: &'s Sample) -> Row {
        let Sample { time, wall, cpu, preempted, .. } = *sample;
        let interval = self.interval;
        let begin = time.saturating_sub(wall).saturating_add(interval).max(self.last);
        self.last = self.last.max(time);
        let whole = Row { time: self.last, wall, cpu, preempted };
        if begin >= time {
            return whole;
        }
        let cpu = cpu.mul_f64(interval.as_secs_f64() / wall.as_secs_f64()).min(cpu);
        let first = Row { time: begin, wall: interval, cpu, preempted: preempted.min(interval.saturating_sub(cpu)) };
        let rest = Row {
            wall: wall.saturating_sub(first.wall),
            cpu: whole.cpu.saturating_sub(first.cpu),
            preempted: preempted.saturating_sub(first.preempted),
            ..whole
        };
        self.rest = Some((sample, rest));
        first
    }
}

/// Undoes [`all_rows`]: puts the rows of each sample together again.
pub(crate) fn joined(rows: Vec<Sample>, interval: Duration) -> Vec<Sample> {
    let mut samples: Vec<Sample> = Vec::with_capacity(rows.len());
    // The last piece of a long sample follows others of the greatest weight, and stands for the end of its time; its
    // first row is right where that begins.
    let mut is_piece = false;
    let is_same = |a: &Sample, b: &Sample| (a.stack, a.labels, a.trace) == (b.stack, b.labels, b.trace);
    for row in rows {
        match samples.last_mut() {
            Some(last) if is_piece && last.time == row.time && is_same(last, &row) => {
                last.wall += row.wall;
                last.cpu += row.cpu;
                last.preempted += row.preempted;
            }
            _ => samples.push(row),
        }
        is_piece = row.wall == MAX_WEIGHT;
        if is_piece {
            continue;
        }
        if let [.., first, rest] = samples.as_mut_slice()
            && is_same(first, rest)
            && first.wall == interval
            && rest.time.saturating_sub(rest.wall) == first.time
        {
            rest.wall += first.wall;
            rest.cpu += first.cpu;
            rest.preempted += first.preempted;
            *first = *rest;
            samples.pop();
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{LabelsIndex, StackIndex, TraceIndex};

    fn ms(time: u64) -> Duration {
        Duration::from_millis(time)
    }

    fn sample(time: u64, wall: u64, cpu: u64) -> Sample {
        let (stack, labels, preempted) = (StackIndex(0), LabelsIndex(0), ms(wall - cpu) / 2);
        let trace = TraceIndex(0);
        Sample { time: ms(time), stack, labels, trace, count: 1, wall: ms(wall), cpu: ms(cpu), preempted }
    }

    /// The rows of a sample after a row at `last`.
    fn rows(sample: &Sample, interval: Duration, last: Duration) -> impl Iterator<Item = Row> {
        Rows { last, ..all_rows(std::slice::from_ref(sample), interval) }.map(|(_, row)| row)
    }

    #[test]
    fn a_sample_of_one_interval_is_one_row() {
        let rows: Vec<_> = rows(&sample(5, 1, 1), ms(1), ms(4)).collect();
        assert_eq!(rows, [Row { time: ms(5), wall: ms(1), cpu: ms(1), preempted: ms(0) }]);
    }

    #[test]
    fn a_long_sample_begins_where_its_time_begins() {
        let rows: Vec<_> = rows(&sample(310, 300, 30), ms(1), ms(10)).collect();
        assert_eq!(rows[0].time, ms(11));
        assert_eq!((rows[0].wall, rows[1].wall), (ms(1), ms(299)));
        assert_eq!(rows[1].time, ms(310));
        assert_eq!(rows[0].cpu + rows[1].cpu, ms(30));
        assert_eq!(rows[0].preempted + rows[1].preempted, ms(135));
        assert!(rows.iter().all(|row| row.cpu + row.preempted <= row.wall));
    }

    #[test]
    fn rows_become_what_they_were_made_of() {
        let samples = [sample(5, 1, 1), sample(310, 300, 30), sample(312, 2, 1), sample(7_200_312, 7_200_000, 5)];
        let rows = all_rows(&samples, ms(1)).map(|(sample, row)| {
            let Row { time, wall, cpu, preempted } = row;
            Sample { time, wall, cpu, preempted, ..*sample }
        });
        let rows: Vec<_> = rows.collect();
        assert_eq!(rows.len(), 7);
        assert_eq!(joined(rows, ms(1)), samples);
    }

    #[test]
    fn hours_in_several_rows_are_one_sample() {
        // As older versions wrote them.
        let whole =
            Sample { cpu: MAX_WEIGHT + ms(5), preempted: ms(7), wall: MAX_WEIGHT * 2 + ms(50), ..sample(5000, 1, 0) };
        let piece = |wall, cpu, preempted| Sample { wall, cpu, preempted, ..whole };
        let rows =
            vec![piece(MAX_WEIGHT, MAX_WEIGHT, ms(0)), piece(MAX_WEIGHT, ms(5), ms(0)), piece(ms(50), ms(0), ms(7))];
        assert_eq!(joined(rows, ms(1)), [whole]);
    }

    #[test]
    fn time_never_goes_backwards() {
        // Coalesced samples overlap.
        let rows: Vec<_> = rows(&sample(310, 300, 30), ms(1), ms(400)).collect();
        assert_eq!(rows, [Row { time: ms(400), wall: ms(300), cpu: ms(30), preempted: ms(135) }]);
    }
}
