//! Which time is sampled.

/// Which time the signal sampler counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum SamplingClock {
    /// Time as it passes, whether the thread runs or waits: a guest that waits inside a host function is seen. A signal
    /// may interrupt a system call of the host; those that Linux does not restart by itself (such as `poll` and
    /// `nanosleep`) report `EINTR`, which Rust's standard library and tokio expect.
    #[default]
    Wall,
    /// Time that the thread spends on a CPU: no waiting host is ever interrupted. Linux looks at this clock once per
    /// scheduler tick, 1 to 10 ms, so shorter intervals make fewer samples, each of which stands for more time.
    Cpu,
}
