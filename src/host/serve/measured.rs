//! How many requests there were, and how long they took, by route.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use witprof::export::{MetricKind, MetricsPage};

/// Limits of the histogram, in milliseconds.
const LIMITS: [u64; 13] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1_000, 2_000, 5_000, 10_000];

/// The requests of one route.
#[derive(Debug, Default)]
pub(super) struct Measured {
    count: AtomicU64,
    failed: AtomicU64,
    nanos: AtomicU64,
    /// How many took no longer than each limit, and longer than the one before.
    by_limit: [AtomicU64; LIMITS.len()],
}

impl Measured {
    /// A request is over.
    pub(super) fn add(&self, wall: Duration, has_failed: bool) {
        self.count.fetch_add(1, Ordering::Relaxed);
        self.failed.fetch_add(u64::from(has_failed), Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(wall.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
        if let Some(limit) = LIMITS.iter().position(|limit| wall <= Duration::from_millis(*limit)) {
            self.by_limit[limit].fetch_add(1, Ordering::Relaxed);
        }
    }
}

/// Adds what there was of all routes, each with its method and name.
#[allow(clippy::cast_precision_loss, reason = "the format has no other numbers")]
pub(super) fn add_to_page<'m>(
    page: &mut MetricsPage,
    routes: impl Iterator<Item = (&'m str, &'m str, &'m Measured)> + Clone,
) {
    let load = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
    let mut counter = |name: &str, help: &str, of: fn(&Measured) -> &AtomicU64| {
        page.metric(name, MetricKind::Counter, help);
        for (method, route, measured) in routes.clone() {
            page.count(name, &[("method", method), ("route", route)], load(of(measured)));
        }
    };
    counter("witprof_requests_total", "Requests that are over, by route.", |of| &of.count);
    counter("witprof_requests_failed_total", "Those whose guest trapped or did not answer.", |of| &of.failed);
    let name = "witprof_request_duration_seconds";
    page.metric(name, MetricKind::Histogram, "From the head of a request to the end of its answer, by route.");
    for (method, route, of) in routes {
        // The sums first, so that no limit has more than there are.
        let mut sum = 0;
        let up_to = std::array::from_fn::<_, { LIMITS.len() }, _>(|at| {
            sum += load(&of.by_limit[at]);
            (LIMITS[at] as f64 / 1e3, sum)
        });
        let seconds = Duration::from_nanos(load(&of.nanos)).as_secs_f64();
        page.histogram(name, &[("method", method), ("route", route)], &up_to, load(&of.count).max(sum), seconds);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_how_long_they_took() {
        let measured = Measured::default();
        for millis in [1, 2, 3, 3000, 60_000] {
            measured.add(Duration::from_millis(millis), millis == 3);
        }
        let mut page = MetricsPage::default();
        add_to_page(&mut page, [("GET", "/a", &measured)].into_iter());
        let text = page.into_text();
        for line in [
            "witprof_requests_total{method=\"GET\",route=\"/a\"} 5",
            "witprof_requests_failed_total{method=\"GET\",route=\"/a\"} 1",
            "witprof_request_duration_seconds_bucket{method=\"GET\",route=\"/a\",le=\"0.002\"} 2",
            "witprof_request_duration_seconds_bucket{method=\"GET\",route=\"/a\",le=\"2\"} 3",
            "witprof_request_duration_seconds_bucket{method=\"GET\",route=\"/a\",le=\"10\"} 4",
            "witprof_request_duration_seconds_bucket{method=\"GET\",route=\"/a\",le=\"+Inf\"} 5",
            "witprof_request_duration_seconds_sum{method=\"GET\",route=\"/a\"} 63.006",
        ] {
            assert!(text.lines().any(|written| written == line), "{line} in {text}");
        }
    }
}
