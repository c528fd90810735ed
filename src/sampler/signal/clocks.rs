//! The clocks of a sample, read without allocation or locks.

use std::sync::atomic::{AtomicU64, Ordering};

/// Nanoseconds of the monotonic clock, the one behind [`Instant`](std::time::Instant).
pub(super) fn monotonic() -> u64 {
    read(libc::CLOCK_MONOTONIC)
}

/// Nanoseconds of CPU time of the current thread. A system call: ten times as expensive as the above.
pub(super) fn thread_cpu() -> u64 {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the pointer is to a live value; `clock_gettime` may be called by a signal handler (POSIX). Both clocks
    // exist on every Linux, so it cannot fail.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    time.tv_sec.cast_unsigned().wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec.cast_unsigned())
}

/// A counter of the processor that costs next to nothing to read. Its frequency is not known.
#[inline]
pub(super) fn ticks() -> u64 {
    #[cfg(target_arch = "x86_64")]
    {
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { std::arch::x86_64::_rdtsc() }
    }
    #[cfg(target_arch = "aarch64")]
    {
        let ticks: u64;
        // SAFETY: reads the virtual counter, which Linux lets programs read.
        unsafe { std::arch::asm!("mrs {}, cntvct_el0", out(reg) ticks, options(nomem, nostack, preserves_flags)) };
        ticks
    }
}

/// Whether the system's own clock is made of [`ticks`], so that these run evenly, and alike on all processors.
fn ticks_are_a_clock() -> bool {
    const SOURCE: &str = "/sys/devices/system/clocksource/clocksource0/current_clocksource";
    std::fs::read_to_string(SOURCE).is_ok_and(|source| matches!(source.trim(), "tsc" | "arch_sys_counter"))
}

/// How long a tick takes, measured against the monotonic clock since the recorder was started.
pub(super) struct TickLength {
    start_ticks: u64,
    start: u64,
    /// Whether ticks may be taken for a clock.
    is_clock: bool,
    /// Nanoseconds in 32.32 bits fixed point; zero while it is not known.
    length: AtomicU64,
}

/// A shorter time than this does not tell the length of a tick well enough, in nanoseconds: to a part in 100,000.
const MEASURED: u64 = 20_000_000;

impl TickLength {
    pub(super) fn new() -> Self {
        let (start_ticks, start) = (ticks(), monotonic());
        Self { start_ticks, start, is_clock: ticks_are_a_clock(), length: AtomicU64::new(0) }
    }

    /// Reading of the monotonic clock when this was made.
    pub(super) fn start(&self) -> u64 {
        self.start
    }

    /// Ticks and nanoseconds since this was made.
    pub(super) fn passed(&self) -> (u64, u64) {
        (ticks().wrapping_sub(self.start_ticks), monotonic().saturating_sub(self.start))
    }

    /// Measures again, better each time.
    pub(super) fn measure(&self) {
        let (ticks, time) = self.passed();
        if self.is_clock && time >= MEASURED && ticks > 0 {
            let length = (u128::from(time) << 32) / u128::from(ticks);
            self.length.store(u64::try_from(length).unwrap_or(0), Ordering::Relaxed);
        }
    }
}

/// For so long after a reading of the monotonic clock its time is told by ticks, in nanoseconds. An error of a part in
/// 10,000, more than the clock itself is ever slewed by, is a microsecond then.
const MAX_TOLD: u64 = 10_000_000;

/// The monotonic clock, for who reads it often. A reading costs a third of a sample, because it touches memory that
/// nothing else does; between two readings, the processor's counter tells how much time has passed.
#[derive(Debug, Default)]
pub(super) struct SampleClock {
    /// The last reading.
    time: u64,
    ticks: u64,
}

impl SampleClock {
    /// The time at `now`, which [`ticks`] has just told.
    #[inline]
    pub(super) fn read(&mut self, now: u64, tick: &TickLength) -> u64 {
        let passed = u128::from(now.wrapping_sub(self.ticks)) * u128::from(tick.length.load(Ordering::Relaxed));
        match u64::try_from(passed >> 32) {
            Ok(passed) if passed > 0 && passed < MAX_TOLD => self.time.saturating_add(passed),
            // Not known, too long ago, or the counter was set back, as when a machine is moved.
            _ => {
                (self.time, self.ticks) = (monotonic(), ticks());
                self.time
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_tell_the_time_between_two_readings() {
        let tick = TickLength { start_ticks: 0, start: 0, is_clock: true, length: AtomicU64::new(1 << 31) };
        let mut clock = SampleClock { time: 1_000_000, ticks: 5_000 };
        assert_eq!(clock.read(7_000, &tick), 1_001_000);
        assert_eq!(clock.read(5_000 + 2 * (MAX_TOLD - 1), &tick), 1_000_000 + MAX_TOLD - 1);
        for now in [5_000 + 2 * MAX_TOLD, 4_999] {
            let mut clock = SampleClock { time: 1_000_000, ticks: 5_000 };
            let before = monotonic();
            let read = clock.read(now, &tick);
            assert!((before..=monotonic()).contains(&read));
        }
        let unknown = TickLength { length: AtomicU64::new(0), ..TickLength::new() };
        assert!(clock.read(clock.ticks + 1_000, &unknown) >= unknown.start());
    }

    #[test]
    fn the_length_of_a_tick_is_measured() {
        let tick = TickLength::new();
        while tick.passed().1 < MEASURED {
            std::hint::spin_loop();
        }
        tick.measure();
        if !tick.is_clock {
            return;
        }
        let mut clock = SampleClock::default();
        let first = clock.read(ticks(), &tick);
        let told = loop {
            let told = clock.read(ticks(), &tick);
            if told >= first + MAX_TOLD / 2 {
                break told;
            }
        };
        // The reading after it may be late, but not early; and the length is right to a part in 100.
        assert!(told <= monotonic() + MAX_TOLD / 100);
    }
}
