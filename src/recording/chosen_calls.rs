//! Calls that are chosen by the names of interface functions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use crate::code::Registry;
use crate::nanos::nanos;
use crate::profile::{Crossing, crossing_of, crossings_of};
use crate::tracing::{IsMeant, KeptCalls};

/// Calls that are kept one by one because they are slow, for [`RecorderBuilder::keep_slow_calls`](crate::RecorderBuilder::keep_slow_calls).
///
/// ```
/// use std::time::Duration;
/// use witprof::SlowCalls;
///
/// let slow = SlowCalls::than(Duration::from_millis(5)).of("wasi:io/streams#output-stream.write");
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[must_use = "nothing is kept until a recorder is told"]
pub struct SlowCalls {
    least: Duration,
    function: Option<String>,
}

impl SlowCalls {
    /// Those that take so long, or longer.
    pub fn than(least: Duration) -> Self {
        Self { least, function: None }
    }

    /// Only those of this interface or interface function: `wasi:io/streams`, with the version or without, or
    /// `wasi:io/streams#output-stream.write`.
    pub fn of(mut self, function: impl Into<String>) -> Self {
        self.function = Some(function.into());
        self
    }
}

/// What a recorder keeps of calls.
pub(super) fn kept_calls(code: &Arc<Registry>, slow: &[SlowCalls]) -> KeptCalls {
    let rule =
        |slow: &SlowCalls| (nanos(slow.least), slow.function.as_deref().map(|function| is_meant(code, function)));
    KeptCalls { rules: slow.iter().map(rule).collect() }
}

/// Whether a call is one of an interface or interface function.
pub(super) fn is_meant(code: &Arc<Registry>, function: &str) -> IsMeant {
    let (code, function) = (Arc::clone(code), function.to_owned());
    Box::new(move |called| {
        let entry = code.entry(called.target());
        let crossing = entry.and_then(|entry| crossing_of(entry.map(), called));
        crossing.is_some_and(|crossing| crossing.is_meant_by(&function))
    })
}

/// The interface functions of all that is registered.
pub(super) fn crossings(code: &Registry) -> BTreeSet<Crossing> {
    code.registered().iter().flat_map(|entry| crossings_of(entry.map())).collect()
}
