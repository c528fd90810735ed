//! What has changed between two profiles.

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::crossing::CrossingFilter;
use super::report::{Dimension, Report, ReportRow};
use super::tables::Profile;

/// How the share of one thing has changed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Change {
    /// What it is. Mostly chosen by the guest: escape it.
    pub name: String,
    /// More about it, for instance the library of a function.
    pub detail: Option<String>,
    /// Its share of the time before, own and boundary time, from 0 to 1.
    pub before: f64,
    /// The same after.
    pub after: f64,
    /// The standard deviation of the difference that samples make by chance.
    pub deviation: f64,
}

/// A difference of more standard deviations than this is no chance: with a hundred rows, one in four comparisons of equal
/// programs would show a row beyond three, one in 150 beyond four.
const CERTAIN: f64 = 4.0;

impl Change {
    /// By how much the share has grown.
    #[must_use]
    pub fn difference(&self) -> f64 {
        self.after - self.before
    }

    /// Half the width of the interval in which the difference lies 95 times in 100.
    #[must_use]
    pub fn spread(&self) -> f64 {
        1.96 * self.deviation
    }

    /// How far the samples alone may move the difference, either way: what is [certain](Self::is_certain) lies outside of
    /// it. Wider than [`spread`](Self::spread), because many rows are looked at, and one of them is always the luckiest.
    #[must_use]
    pub fn chance(&self) -> f64 {
        CERTAIN * self.deviation
    }

    /// Whether the difference is more than [chance](Self::chance).
    #[must_use]
    pub fn is_certain(&self) -> bool {
        self.difference().abs() > self.chance()
    }
}

/// What has changed between two profiles, as shares of the time of each: a profile of more samples does not seem slower.
///
/// ```
/// # use witprof::{Comparison, Dimension, Profile};
/// # fn example(before: &Profile, after: &Profile) {
/// let comparison = Comparison::new(before, after, Dimension::Function);
/// for change in comparison.changes.iter().filter(|change| change.is_certain()) {
///     println!("{}: {:+.1} points", change.name, change.difference() * 100.0);
/// }
/// # }
/// ```
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Comparison {
    /// What the rows are.
    pub dimension: Dimension,
    /// The changes, the largest first. Those that are more than chance come before all others.
    pub changes: Vec<Change>,
    /// The share of the time in which threads were ready to run and had no CPU, before and after, from 0 to 1, where it is
    /// known. What has more of it ran beside other load.
    pub preempted: [Option<f64>; 2],
}

impl Comparison {
    /// Compares `before` to `after` by `dimension`. Rows are the same if their names and details are.
    #[must_use]
    pub fn new(before: &Profile, after: &Profile, dimension: Dimension) -> Self {
        let whole = |profile| {
            let report = report(profile, dimension);
            (Total::new(&report), report)
        };
        Self::of_reports(dimension, [whole(before), whole(after)])
    }

    /// Compares what [`Profile::report_between`] tells of two profiles. Shares are of the whole time of each. `None` if neither
    /// has a crossing that `filter` means.
    #[must_use]
    pub fn between(before: &Profile, after: &Profile, dimension: Dimension, filter: &CrossingFilter) -> Option<Self> {
        let mut is_found = false;
        let mut part = |profile: &Profile| {
            let mut whole = report(profile, dimension);
            let total = Total::new(&whole);
            match profile.report_between(dimension, filter) {
                Some(part) => {
                    is_found = true;
                    whole.rows = with_lasting_names(profile, part).rows;
                }
                None => whole.rows.clear(),
            }
            (total, whole)
        };
        let reports = [part(before), part(after)];
        is_found.then(|| Self::of_reports(dimension, reports))
    }

    /// Compares rows as shares of what they are parts of.
    fn of_reports(dimension: Dimension, reports: [(Total, Report); 2]) -> Self {
        let mut rows: IndexMap<(&str, Option<&str>), [Share; 2], FxBuildHasher> = IndexMap::default();
        for (side, (all, report)) in reports.iter().enumerate() {
            for row in &report.rows {
                let shares = rows.entry((row.name.as_str(), row.detail.as_deref())).or_default();
                shares[side] = shares[side].plus(all.share(row));
            }
        }
        let changes = rows.into_iter().map(|((name, detail), [before, after])| Change {
            name: name.to_owned(),
            detail: detail.map(str::to_owned),
            before: before.share,
            after: after.share,
            deviation: (before.variance + after.variance).sqrt(),
        });
        let mut changes: Vec<Change> = changes.collect();
        changes.sort_by(|a, b| {
            let size = |change: &Change| change.difference().abs();
            b.is_certain().cmp(&a.is_certain()).then(size(b).total_cmp(&size(a))).then_with(|| a.name.cmp(&b.name))
        });
        let preempted = reports.each_ref().map(|(_, report)| {
            let wall = report.wall.as_secs_f64();
            report.preempted.map(|time| if wall > 0.0 { time.as_secs_f64() / wall } else { 0.0 })
        });
        Self { dimension, changes, preempted }
    }
}

/// A report whose rows can be found in another.
fn report(profile: &Profile, dimension: Dimension) -> Report {
    with_lasting_names(profile, profile.report(dimension))
}

/// The numbers of threads with the same name are those of one recording.
fn with_lasting_names(profile: &Profile, mut report: Report) -> Report {
    if report.dimension == Dimension::Thread {
        let threads = profile.threads().iter().enumerate();
        let names: FxHashMap<_, _> =
            threads.map(|(index, thread)| (profile.distinct_thread_name(index), thread.name.as_str())).collect();
        for row in &mut report.rows {
            if let Some(name) = names.get(row.name.as_str()) {
                row.name = (*name).to_owned();
            }
        }
    }
    report
}

/// A share of a recording, and its variance.
#[derive(Clone, Copy, Default)]
struct Share {
    share: f64,
    variance: f64,
}

impl Share {
    fn plus(self, other: Self) -> Self {
        Self { share: self.share + other.share, variance: self.variance + other.variance }
    }
}

/// A whole recording.
struct Total {
    seconds: f64,
    variance: f64,
}

impl Total {
    fn new(report: &Report) -> Self {
        let variance = report.rows.iter().map(|row| row.variance).sum();
        Self { seconds: report.wall.as_secs_f64(), variance }
    }

    /// The share of a row. Its time is a sum of independent samples, and so is the rest; the variance of their ratio is
    /// to first order that of a quotient (the delta method).
    fn share(&self, row: &ReportRow) -> Share {
        if self.seconds <= 0.0 {
            return Share::default();
        }
        let share = row.attributed().as_secs_f64() / self.seconds;
        let rest = (self.variance - row.variance).max(0.0);
        let variance = ((1.0 - share).powi(2) * row.variance + share.powi(2) * rest) / self.seconds.powi(2);
        Share { share, variance }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::arbitrary;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_profile_does_not_differ_from_itself(profile in arbitrary::profile()) {
            for &dimension in Dimension::ALL {
                for change in Comparison::new(&profile, &profile, dimension).changes {
                    prop_assert!(change.difference() == 0.0 && !change.is_certain(), "{:?}", change);
                    prop_assert!((0.0..=1.0 + 1e-9).contains(&change.before), "{:?}", change);
                }
            }
        }

        #[test]
        fn chance_is_told_from_change(shares in (0.05..0.95_f64, 0.05..0.95_f64), seed in any::<u64>()) {
            use std::hash::{BuildHasher as _, Hasher as _};
            let samples = 2_000_u64;
            // A row of which each sample is with the probability `share`.
            let report = |share: f64, salt: u64| {
                let hit = |number: u64| {
                    let mut hasher = rustc_hash::FxBuildHasher.build_hasher();
                    hasher.write_u64(seed ^ salt.wrapping_mul(0x9e37_79b9));
                    hasher.write_u64(number);
                    #[allow(clippy::cast_precision_loss)]
                    let random = (hasher.finish() >> 11) as f64 / (1_u64 << 53) as f64;
                    random < share
                };
                (0..samples).filter(|number| hit(*number)).count()
            };
            let share = |hits: usize| {
                #[allow(clippy::cast_precision_loss)]
                let (hits, rest) = (hits as f64, (samples as f64) - hits as f64);
                let row = |count: f64| ReportRow {
                    own: std::time::Duration::from_secs_f64(count / 1000.0),
                    variance: count / 1e6,
                    ..ReportRow::default()
                };
                let rows = vec![row(hits), row(rest)];
                let wall = rows.iter().map(ReportRow::attributed).sum();
                let report = Report {
                    dimension: Dimension::Function,
                    rows,
                    wall,
                    cpu: wall,
                    preempted: None,
                    on_own_fibers: std::time::Duration::ZERO,
                    profiler: crate::samples::ProfilerTime::default(),
                };
                Total::new(&report).share(&report.rows[0])
            };
            let (before, after) = (share(report(shares.0, 1)), share(report(shares.1, 2)));
            let deviation = (before.variance + after.variance).sqrt();
            // A binomial distribution has this deviation.
            let expected = [shares.0, shares.1].iter().map(|p| p * (1.0 - p) / 2_000.0).sum::<f64>().sqrt();
            prop_assert!((deviation / expected - 1.0).abs() < 0.35, "{} {}", deviation, expected);
            // More than six deviations off the truth: one in a billion.
            let error = (after.share - before.share) - (shares.1 - shares.0);
            prop_assert!(error.abs() < 6.5 * deviation, "{} {}", error, deviation);
        }
    }
}
