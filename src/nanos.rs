//! Times as numbers.

use std::time::Duration;

/// Nanoseconds of a time; of one that is longer than five centuries, as many as there can be.
pub(crate) fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}
