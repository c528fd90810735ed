//! What the handler costs, as it measures itself.

use std::sync::atomic::{AtomicU32, Ordering};

/// Ticks of the processor's counter in one bucket.
const BUCKET_TICKS: u64 = 16;

/// Buckets; what takes longer is in the last one.
const BUCKETS: usize = 1024;

/// How long the handler took, counted by ticks.
pub(super) struct CostHistogram {
    buckets: Box<[AtomicU32]>,
}

impl Default for CostHistogram {
    fn default() -> Self {
        Self { buckets: std::iter::repeat_with(AtomicU32::default).take(BUCKETS).collect() }
    }
}

impl CostHistogram {
    /// Notes one run of the handler. Called by the handler.
    pub(super) fn add(&self, ticks: u64) {
        let bucket = usize::try_from(ticks / BUCKET_TICKS).unwrap_or(BUCKETS).min(BUCKETS - 1);
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
        Self { buckets: vec![0; BUCKETS] }
    }
}

impl HandlerTicks {
    /// The ticks that `share` of all runs did not exceed. `None` if there were no runs.
    pub(super) fn quantile(&self, share: f64) -> Option<u64> {
        let runs: u64 = self.buckets.iter().sum();
        #[allow(clippy::cast_precision_loss, reason = "a share of a count needs no more than 53 bits")]
        let wanted = runs as f64 * share;
        let mut seen = 0;
        for (bucket, count) in (1..).zip(&self.buckets) {
            seen += count;
            #[allow(clippy::cast_precision_loss, reason = "as above")]
            if seen as f64 >= wanted && runs > 0 {
                return Some(bucket * BUCKET_TICKS);
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
        assert_eq!(total.quantile(1.0), Some(BUCKETS as u64 * BUCKET_TICKS));
    }
}
