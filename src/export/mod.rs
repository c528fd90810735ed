//! Stage 6: a profile, or a map, as bytes.
//!
//! Each exporter is a pure function of a [`Profile`](crate::Profile) or [`SymbolMap`](crate::SymbolMap) and a writer:
//! no clock, no path, no lookup of names, and the same bytes for the same input. One file per format, and a format's
//! library is used in that file only.
//!
//! ```
//! # use witprof::{Dimension, Profile};
//! use witprof::export::{TableStyle, write_call_table, write_firefox, write_folded, write_report_json, write_report_table};
//!
//! # fn example(profile: &Profile) -> Result<(), Box<dyn std::error::Error>> {
//! write_firefox(profile, &mut std::fs::File::create("profile.json")?)?;
//! write_folded(profile, Dimension::Interface, &mut std::fs::File::create("profile.folded")?)?;
//! let report = profile.report(Dimension::Interface);
//! write_report_json(profile, &report, &mut std::fs::File::create("report.json")?)?;
//! write_report_table(&report, TableStyle::default(), &mut std::io::stdout())?;
//! if let Some(calls) = profile.calls() {
//!     write_call_table(calls, TableStyle::default(), &mut std::io::stdout())?;
//! }
//! # Ok(())
//! # }
//! ```

mod annotation;
mod calls;
mod escape;
pub(crate) mod firefox;
mod folded;
#[cfg(feature = "html")]
mod html;
mod map_json;
mod map_table;
mod names;
#[cfg(feature = "otlp")]
mod otlp;
mod perf_map;
#[cfg(feature = "pprof")]
mod pprof;
mod prometheus;
#[cfg(feature = "pprof")]
mod pyroscope;
mod report_json;
mod report_table;
mod speedscope;
mod summary;
#[cfg(feature = "svg")]
mod svg;
mod table;

use std::io::Write;
use std::time::Duration;

use crate::error::{Error, Result};

pub use annotation::{AnnotatedText, SourceText, write_annotation};
pub use calls::{write_call_json, write_call_table};
pub use escape::{escape_control, escape_name};
pub use firefox::{write_firefox, write_firefox_with};
pub use folded::write_folded;
#[cfg(feature = "html")]
pub use html::write_html;
pub use map_json::write_map_json;
pub use map_table::{MapDetail, write_map_table};
#[cfg(feature = "otlp")]
pub use otlp::write_otlp;
#[cfg(any(target_os = "linux", feature = "vtune"))]
pub(crate) use perf_map::perf_name;
pub use perf_map::write_perf_map;
#[cfg(feature = "pprof")]
pub use pprof::write_pprof;
pub use prometheus::{MetricKind, MetricsPage};
#[cfg(feature = "pprof")]
pub use pyroscope::pyroscope_pushes;
pub use report_json::{write_comparison_json, write_report_json};
pub use report_table::{TableStyle, write_comparison_table, write_report_table};
pub use speedscope::write_speedscope;
pub use summary::write_summary;
#[cfg(feature = "svg")]
pub use svg::{write_svg, write_svg_comparison};

/// Writes a document of JSON for scripts.
fn write_pretty(document: &impl serde::Serialize, format: &'static str, out: &mut dyn Write) -> Result<()> {
    let written = serde_json::to_writer_pretty(&mut *out, document).map_err(std::io::Error::from);
    written.and_then(|()| writeln!(out)).map_err(|source| Error::Write { format, source })
}

/// With the precision of the samples: nanoseconds.
#[allow(clippy::cast_precision_loss, reason = "nanoseconds of a recording")]
fn milliseconds(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1e6
}

/// Whole microseconds, rounded.
fn microseconds(time: Duration) -> u64 {
    u64::try_from((time.as_nanos() + 500) / 1000).unwrap_or(u64::MAX)
}
