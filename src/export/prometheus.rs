//! Prometheus' text format 0.0.4 (<https://prometheus.io/docs/instrumenting/exposition_formats/>), metric by metric.

use std::fmt::Write as _;

use super::escape::escape_control;

/// What a metric is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MetricKind {
    /// A sum that only grows.
    Counter,
    /// A value of now.
    Gauge,
    /// Numbers of values up to some limits.
    Histogram,
}

impl MetricKind {
    const fn name(self) -> &'static str {
        match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        }
    }
}

/// A page of metrics, being written. Names of metrics and labels are ours or the host's own; values of labels may come from anywhere, and
/// are escaped.
///
/// ```
/// use witprof::export::{MetricKind, MetricsPage};
///
/// let mut page = MetricsPage::default();
/// page.metric("shop_carts", MetricKind::Gauge, "Carts that are open.");
/// page.sample("shop_carts", &[("tenant", "a")], 3.0);
/// assert!(page.into_text().ends_with("shop_carts{tenant=\"a\"} 3\n"));
/// ```
#[derive(Clone, Debug, Default)]
pub struct MetricsPage {
    text: String,
}

impl MetricsPage {
    /// The `Content-Type` of a page. Prometheus refuses any other.
    pub const CONTENT_TYPE: &'static str = "text/plain; version=0.0.4; charset=utf-8";

    /// Begins a metric, all of whose samples have to follow.
    pub fn metric(&mut self, name: &str, kind: MetricKind, help: &str) {
        let help = help.replace('\\', "\\\\").replace('\n', "\\n");
        let _ = writeln!(self.text, "# HELP {name} {help}\n# TYPE {name} {}", kind.name());
    }

    /// Adds a sample of the metric that was begun.
    pub fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: f64) {
        self.text.push_str(name);
        let mut separator = '{';
        for (key, value) in labels {
            let value = escape_control(value).replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.text, "{separator}{key}=\"{value}\"");
            separator = ',';
        }
        if separator == ',' {
            self.text.push('}');
        }
        let _ = writeln!(self.text, " {}", number(value));
    }

    /// The same for a number of something.
    #[allow(clippy::cast_precision_loss, reason = "the format has no other numbers")]
    pub fn count(&mut self, name: &str, labels: &[(&str, &str)], count: u64) {
        self.sample(name, labels, count as f64);
    }

    /// Adds a histogram: how many values there are up to each limit, in ascending order, their number and their sum.
    pub fn histogram(&mut self, name: &str, labels: &[(&str, &str)], up_to: &[(f64, u64)], count: u64, sum: f64) {
        let bucket = format!("{name}_bucket");
        let all = up_to.iter().copied().chain([(f64::INFINITY, count)]);
        for (limit, count) in all {
            let limit = number(limit);
            let labels: Vec<_> = labels.iter().copied().chain([("le", limit.as_str())]).collect();
            self.count(&bucket, &labels, count);
        }
        self.sample(&format!("{name}_sum"), labels, sum);
        self.count(&format!("{name}_count"), labels, count);
    }

    /// The page.
    #[must_use]
    pub fn into_text(self) -> String {
        self.text
    }
}

fn number(value: f64) -> String {
    if value == f64::INFINITY { "+Inf".to_owned() } else { value.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_as_prometheus_reads_it() {
        let mut page = MetricsPage::default();
        page.metric("x_total", MetricKind::Counter, "Of \\ and\nmore.");
        page.sample("x_total", &[], 0.0);
        page.sample("x_total", &[("name", "a \"b\" \\ \n \u{1b}[1m"), ("to", "c")], 1.5);
        page.metric("t_seconds", MetricKind::Histogram, "Times.");
        page.histogram("t_seconds", &[("name", "f")], &[(0.001, 1), (2.5, 3)], 4, 12.25);
        let expected = "# HELP x_total Of \\\\ and\\nmore.\n\
            # TYPE x_total counter\n\
            x_total 0\n\
            x_total{name=\"a \\\"b\\\" \\\\\\\\ \\\\n \\\\u{1b}[1m\",to=\"c\"} 1.5\n\
            # HELP t_seconds Times.\n\
            # TYPE t_seconds histogram\n\
            t_seconds_bucket{name=\"f\",le=\"0.001\"} 1\n\
            t_seconds_bucket{name=\"f\",le=\"2.5\"} 3\n\
            t_seconds_bucket{name=\"f\",le=\"+Inf\"} 4\n\
            t_seconds_sum{name=\"f\"} 12.25\n\
            t_seconds_count{name=\"f\"} 4\n";
        let text = page.into_text();
        assert!(!text.contains('\u{1b}'), "{text}");
        // How control characters are written, `escape_control` decides.
        let (before, _) = expected.split_once("x_total{name").expect("a line");
        assert!(text.starts_with(before), "{text}");
        let (_, after) = expected.split_once("# HELP t_seconds").expect("a line");
        assert!(text.ends_with(after), "{text}");
        assert!(text.contains("{name=\"a \\\"b\\\" ") && text.contains("\",to=\"c\"} 1.5\n"), "{text}");
    }
}
