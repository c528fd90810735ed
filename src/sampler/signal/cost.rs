//! What the handler costs, as it measures itself.

use std::sync::atomic::{AtomicU32, Ordering};

/// Buckets for short times, and as many for long ones; what takes even longer is in the last one.
const BUCKETS: usize = 1024;

/// Ticks of the processor's counter in a bucket for short times, and in one for long ones: some microseconds in all, and some hundreds.
const SHORT: u64 = 16;
const LONG: u64 = 1024;

/// From here on, times are long.
const LONG_FROM: u64 = BUCKETS as u64 * SHORT;

/// The bucket of a time.
fn bucket_of(ticks: u64) -> usize {
    let (first, bucket) = match ticks.checked_sub(LONG_FROM) {
        None => (0, ticks / SHORT),
        Some(more) => (BUCKETS, more / LONG),
    };
    first + usize::try_from(bucket).unwrap_or(BUCKETS).min(BUCKETS - 1)
}

/// What no time in a bucket exceeds.
fn end_of(bucket: usize) -> u64 {
    match bucket.checked_sub(BUCKETS) {
        None => (bucket as u64 + 1) * SHORT,
        Some(long) => LONG_FROM + (long as u64 + 1) * LONG,
    }
}

/// How long the handler took, counted by ticks.
pub(super) struct CostHistogram {
    buckets: Box<[AtomicU32]>,
}

impl Default for CostHistogram {
    fn default() -> Self {
        Self { buckets: std::iter::repeat_with(AtomicU32::default).take(2 * BUCKETS).collect() }
    }
}

impl CostHistogram {
    /// Notes one run of the handler. Called by the handler.
    pub(super) fn add(&self, ticks: u64) {
        let bucket = bucket_of(ticks);
        // No other thread writes: an atomic addition would only cost more.
        let count = self.buckets[bucket].load(Ordering::Relaxed);
        self.buckets[bucket].store(count.wrapping_add(1), Ordering::Relaxed);
    }

    /// Adds what this one has counted to `total`.
    pub(super) fn add_to(&self, total: &mut HandlerTicks) {
        for (total, bucket) in total.buckets.iter_mut().zip(&self.buckets) {
            *total += u64::from(bucket.load(Ordering::Relaxed));
        }
    }
}

/// The sum of some histograms.
#[derive(Clone, Debug)]
pub(super) struct HandlerTicks {
    buckets: Vec<u64>,
}

impl Default for HandlerTicks {
    fn default() -> Self {
        Self { buckets: vec![0; 2 * BUCKETS] }
    }
}

impl HandlerTicks {
    /// The ticks that `share` of all runs did not exceed. `None` if there were no runs.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        let runs: u64 = self.buckets.iter().sum();
        #[allow(clippy::cast_precision_loss, reason = "a share of a count needs no more than 53 bits")]
        let wanted = runs as f64 * share;
        let mut seen = 0;
        for (bucket, count) in self.buckets.iter().enumerate() {
            seen += count;
            #[allow(clippy::cast_precision_loss, reason = "as above")]
            if seen as f64 >= wanted && runs > 0 {
                return Some(end_of(bucket));
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_upper_bounds() {
        let histogram = CostHistogram::default();
        let mut total = HandlerTicks::default();
        assert_eq!(total.quantile(0.5), None);
        for ticks in 0..1000 {
            histogram.add(ticks);
        }
        histogram.add(u64::MAX);
        histogram.add_to(&mut total);
        assert_eq!(total.quantile(0.5), Some(512));
        assert_eq!(total.quantile(1.0), Some(LONG_FROM + BUCKETS as u64 * LONG));
    }

    #[test]
    fn each_time_is_below_the_end_of_its_bucket_and_close_to_it() {
        for ticks in [0, 15, 16, LONG_FROM - 1, LONG_FROM, LONG_FROM + 1023, LONG_FROM + 1024, 1 << 20] {
            let end = end_of(bucket_of(ticks));
            let width = if ticks < LONG_FROM { SHORT } else { LONG };
            assert!((end - width..end).contains(&ticks), "{ticks}: {end}");
        }
    }
}
