//! A timer whose signal does nothing: what no sampler that is driven by a timer can avoid.

#[cfg(target_os = "linux")]
mod linux;
#[cfg(target_os = "linux")]
pub(crate) use linux::Timer;

/// Elsewhere there is no such thing.
#[cfg(not(target_os = "linux"))]
pub(crate) struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    pub(crate) fn start(_: std::time::Duration) -> Self {
        Self
    }
}
