//! How much of the time that a thread was off the CPU it waited for one: it was ready, and others ran.
//!
//! The kernel counts that time for each thread ([`run_delay`]), and a handler may not read what it counts. So whoever takes
//! a thread's samples out of its ring reads it first, and divides what has been added since the last reading among the
//! samples that he takes, as far as they were off the CPU. The rest of that time the thread was blocked.
//!
//! Which sample it belongs to is not told. Code of a guest makes no system call, so a thread that is found there was, but
//! for short waits since the sample before, off the CPU for one reason only: those samples come first. The others have the
//! rest in proportion. None has more than its time off the CPU.
//!
//! What is left over is kept for the next samples, as far as it can be theirs: the CPU clock is not read at each
//! ([`accounts`](super::accounts)), and some time no sample has taken yet. Of the time in which no guest was active on the
//! thread nothing is known but how long it was: it is taken to have waited as much as the rest.

use super::accounts::SAMPLES_PER_READING;
use super::ring::SampleHeader;
use crate::sampler::run_delay::{self, NOTICEABLE};

/// What is known of the waiting of one thread. All times are in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Preemption {
    /// The number of the thread.
    thread: i32,
    /// What was read last, and when, since the recording began; `None` if it cannot be read.
    read: Option<(u64, u64)>,
    /// What was read at the end of the thread.
    end: Option<u64>,
    /// Time that samples stand for since the last reading.
    sampled: u64,
    /// When the last sample was taken.
    last_sample: u64,
    /// Waiting that no sample has been given.
    left: u64,
}

/// What samples of one thread were off the CPU.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OffCpu {
    /// Those that are in code of a guest.
    guest: u64,
    host: u64,
}

impl OffCpu {
    fn all(self) -> u64 {
        self.guest.saturating_add(self.host)
    }
}

/// When samples are taken out of a ring.
#[derive(Clone, Copy, Debug)]
pub(super) struct Round {
    /// Since the recording began.
    pub(super) now: u64,
    pub(super) interval: u64,
    /// Whether a guest is active on the thread.
    pub(super) is_active: bool,
}

impl Preemption {
    /// That of the current thread, whose number is `thread`, from now on.
    pub(super) fn of_current_thread(thread: i32, now: u64) -> Self {
        let read = run_delay::of_current_thread().map(|delay| (delay, now));
        Self { thread, read, last_sample: now, ..Self::default() }
    }

    /// The thread, which is the current one, ends.
    pub(super) fn end(&mut self) {
        self.end = run_delay::of_current_thread();
    }

    /// Divides what the thread has waited among `samples`, which are all there are.
    pub(super) fn divide(&mut self, samples: impl Iterator<Item = SampleHeader>, round: Round) -> Division {
        let mut off = OffCpu::default();
        for sample in samples {
            let kind = if sample.in_guest { &mut off.guest } else { &mut off.host };
            *kind = kind.saturating_add(sample.wall.saturating_sub(sample.cpu));
            self.sampled = self.sampled.saturating_add(sample.wall);
            self.last_sample = sample.time;
        }
        if off == OffCpu::default() {
            return Division::default();
        }
        if self.read.is_none() {
            return Division { is_unknown: true, ..Division::default() };
        }
        let delay = || self.end.or_else(|| run_delay::of_thread(self.thread));
        let delay = if off.all() >= NOTICEABLE { delay() } else { None };
        self.divide_by(off, delay, round)
    }

    /// The same, where `delay` has been read, if anything has.
    fn divide_by(&mut self, off: OffCpu, delay: Option<u64>, round: Round) -> Division {
        // What samples stand for may be as late as this.
        let unsampled = if round.is_active { round.now.saturating_sub(self.last_sample) } else { 0 };
        let late = round.interval.saturating_mul(SAMPLES_PER_READING.into()).saturating_add(unsampled);
        if let (Some(delay), Some((before, at))) = (delay, self.read) {
            let waited = delay.saturating_sub(before);
            let (active, passed) = (self.sampled.saturating_add(late), round.now.saturating_sub(at));
            self.left = self.left.saturating_add(if active < passed { part(waited, active, passed) } else { waited });
            self.read = Some((delay, round.now));
            self.sampled = 0;
        }
        let guest = off.guest.min(self.left);
        let host = off.host.min(self.left - guest);
        self.left = (self.left - guest - host).min(late);
        Division {
            guest: Share { whole: off.guest, given: guest, seen: 0 },
            host: Share { whole: off.host, given: host, seen: 0 },
            is_unknown: false,
        }
    }
}

/// How much of its time off the CPU each of some samples has waited for one.
#[derive(Debug, Default)]
pub(super) struct Division {
    guest: Share,
    host: Share,
    is_unknown: bool,
}

/// What samples of one kind have.
#[derive(Debug, Default)]
struct Share {
    /// Time off the CPU of all of them.
    whole: u64,
    /// How much of that they are given; not more.
    given: u64,
    /// Time off the CPU of those that have been given theirs.
    seen: u64,
}

impl Division {
    /// What the next sample has waited for a CPU, of the time that it was off it; `None` if that is not known. Samples
    /// come in the order in which they were divided among.
    pub(super) fn next(&mut self, sample: &SampleHeader) -> Option<u64> {
        let off = sample.wall.saturating_sub(sample.cpu);
        if self.is_unknown && off > 0 {
            return None;
        }
        Some(if sample.in_guest { &mut self.guest } else { &mut self.host }.next(off))
    }
}

impl Share {
    fn next(&mut self, off: u64) -> u64 {
        let before = part(self.given, self.seen, self.whole);
        self.seen = self.seen.saturating_add(off).min(self.whole);
        // Rounded towards the beginning, so that all parts add up to the whole.
        part(self.given, self.seen, self.whole) - before
    }
}

/// `time * part / whole`, where the part is not more than the whole.
fn part(time: u64, part: u64, whole: u64) -> u64 {
    if whole == 0 {
        return 0;
    }
    u64::try_from(u128::from(time) * u128::from(part) / u128::from(whole)).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const MS: u64 = 1_000_000;

    fn header(wall: u64, cpu: u64, in_guest: bool) -> SampleHeader {
        SampleHeader { time: 0, wall, cpu, labels: 0, shared: 0, new: 0, cut: false, in_guest, is_own_work: false }
    }

    fn off_cpu(samples: &[SampleHeader]) -> OffCpu {
        let of = |in_guest| {
            let samples = samples.iter().filter(|sample| sample.in_guest == in_guest);
            samples.map(|sample| sample.wall - sample.cpu).sum()
        };
        OffCpu { guest: of(true), host: of(false) }
    }

    fn preemption() -> Preemption {
        Preemption { read: Some((0, 0)), ..Preemption::default() }
    }

    fn round(now: u64) -> Round {
        Round { now, interval: MS, is_active: true }
    }

    /// What each of `samples` is given of `delay`, where all time was sampled.
    fn divided(samples: &[SampleHeader], delay: u64) -> Vec<u64> {
        let mut preemption = preemption();
        preemption.sampled = samples.iter().map(|sample| sample.wall).sum();
        preemption.last_sample = preemption.sampled;
        let mut division = preemption.divide_by(off_cpu(samples), Some(delay), round(preemption.sampled));
        samples.iter().map(|sample| division.next(sample).expect("it is known")).collect()
    }

    fn samples() -> impl Strategy<Value = Vec<SampleHeader>> {
        let sample = (0..3 * MS, 0..=100_u64, any::<bool>());
        let sample = sample.prop_map(|(wall, percent, in_guest)| header(wall, wall * percent / 100, in_guest));
        prop::collection::vec(sample, 0..50)
    }

    proptest! {
        #[test]
        fn what_was_waited_is_given_once_and_never_more_than_the_time_off_the_cpu(
            samples in samples(), delay in prop_oneof![0..10 * MS, 0..1000 * MS, any::<u64>()],
        ) {
            let given = divided(&samples, delay);
            let off = off_cpu(&samples);
            prop_assert_eq!(given.iter().sum::<u64>(), delay.min(off.all()));
            let of_guests = samples.iter().zip(&given).filter(|(sample, _)| sample.in_guest).map(|(_, given)| given);
            prop_assert_eq!(of_guests.sum::<u64>(), delay.min(off.guest), "guests come first");
            for (sample, given) in samples.iter().zip(given) {
                prop_assert!(given <= sample.wall - sample.cpu, "{given} of {sample:?}");
            }
        }

        #[test]
        fn rounds_together_give_no_more_than_was_waited(rounds in prop::collection::vec((samples(), 0..20 * MS), 1..20)) {
            let (mut preemption, mut now, mut delay, mut given) = (preemption(), 0, 0, 0);
            for (samples, waited) in rounds {
                let wall: u64 = samples.iter().map(|sample| sample.wall).sum();
                (now, delay) = (now + wall, delay + waited);
                preemption.sampled += wall;
                preemption.last_sample = now;
                let mut division = preemption.divide_by(off_cpu(&samples), Some(delay), round(now));
                given += samples.iter().filter_map(|sample| division.next(sample)).sum::<u64>();
                prop_assert!(given + preemption.left <= delay);
            }
        }
    }

    #[test]
    fn a_loop_is_preempted_and_a_call_of_the_host_is_blocked() {
        let (spinning, waiting) = (header(3 * MS, MS, true), header(10 * MS, 0, false));
        assert_eq!(divided(&[spinning, waiting], 2 * MS), [2 * MS, 0]);
        assert_eq!(divided(&[waiting, spinning], 3 * MS), [MS, 2 * MS]);
        // Less than that is in proportion.
        assert_eq!(divided(&[spinning, header(MS, 0, true)], MS), [666_666, 333_334]);
    }

    #[test]
    fn what_is_left_is_for_what_comes_soon() {
        let mut preemption = preemption();
        (preemption.sampled, preemption.last_sample) = (50 * MS, 50 * MS);
        // The CPU clock was not read since, so that nothing is known of 2 ms off the CPU.
        let nothing = OffCpu { guest: MS, host: 0 };
        assert_eq!(preemption.divide_by(nothing, Some(3 * MS), round(50 * MS)).guest.given, MS);
        assert_eq!(preemption.left, 2 * MS);
        let late = OffCpu { guest: 2 * MS, host: 5 * MS };
        let division = preemption.divide_by(late, None, round(51 * MS));
        assert_eq!((division.guest.given, division.host.given), (2 * MS, 0));
        // What can be nobody's is dropped.
        preemption.sampled = 50 * MS;
        preemption.divide_by(nothing, Some(1000 * MS), round(100 * MS));
        assert!(preemption.left <= 58 * MS, "{preemption:?}");
    }

    #[test]
    fn an_idle_thread_waits_for_itself() {
        let mut preemption = preemption();
        // Active for 100 ms of 10 s, on a thread that is delayed all the time.
        (preemption.sampled, preemption.last_sample) = (92 * MS, 10_000 * MS);
        let off = OffCpu { guest: 0, host: 80 * MS };
        let division = preemption.divide_by(off, Some(1_000 * MS), Round { is_active: false, ..round(10_000 * MS) });
        assert_eq!(division.host.given, 10 * MS);
    }

    #[test]
    fn what_cannot_be_read_is_not_known() {
        let mut preemption = Preemption::default();
        let (off, on) = (header(2 * MS, MS, true), header(MS, MS, true));
        let mut division = preemption.divide([off, on].into_iter(), round(3 * MS));
        assert_eq!((division.next(&off), division.next(&on)), (None, Some(0)));
    }

    #[test]
    fn the_kernel_counts_a_thread_that_waits() {
        // SAFETY: no arguments, no preconditions.
        let thread = unsafe { libc::gettid() };
        assert_eq!(run_delay::of_thread(thread).is_some(), run_delay::of_current_thread().is_some());
    }
}
