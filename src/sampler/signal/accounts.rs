//! How much time each sample of a thread stands for.
//!
//! Time counts while a guest is active on the thread. Each sample takes all that has passed since the sample before,
//! so that the sum over all samples is the time that was active, whatever the timer did.
//!
//! Reading the thread's CPU clock is a system call, and would double the cost of a sample. It is read where the thread
//! may have waited: when the sample is in the host, when it comes late by an eighth of an interval, and at every eighth
//! in any case. In between, CPU time is taken to have passed as wall-clock time did; the next reading puts that right, by
//! charging the samples after it more or less. Sums are exact; a single sample may be off by what its neighbours waited.

/// Samples from one reading of the CPU clock to the next.
pub(super) const SAMPLES_PER_READING: u32 = 8;

/// Pieces of time shorter than this are not worth a reading of the CPU clock, in nanoseconds.
const SHORT: u64 = 20_000;

/// The time of one thread. All times are in nanoseconds.
#[derive(Debug, Default)]
pub(super) struct Accounts {
    /// The time up to which everything is accounted for.
    wall: u64,
    /// The thread's CPU time then, as read or estimated.
    cpu: u64,
    /// Wall-clock time that no sample has taken yet.
    wall_due: u64,
    /// CPU time that no sample has taken yet; negative if samples were given too much.
    cpu_due: i64,
    /// Samples since the CPU clock was read.
    unread: u32,
}

/// The time a sample stands for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Share {
    pub(super) wall: u64,
    /// At most `wall`.
    pub(super) cpu: u64,
}

impl Accounts {
    /// A guest becomes active at `now`.
    pub(super) fn enter(&mut self, now: u64, read_cpu: impl FnOnce() -> u64) {
        let idle = now.saturating_sub(self.wall);
        self.cpu = if idle < SHORT { self.cpu + idle } else { read_cpu() };
        self.wall = now;
    }

    /// The guest is no longer active at `now`.
    pub(super) fn leave(&mut self, now: u64, read_cpu: impl FnOnce() -> u64) {
        let is_short = now.saturating_sub(self.wall) < SHORT;
        self.advance(now, (!is_short).then(read_cpu));
    }

    /// A sample is taken at `now`, and stands for all that is due. `may_have_waited` says that the thread may not have
    /// been on a CPU all the time.
    pub(super) fn sample(&mut self, now: u64, may_have_waited: bool, read_cpu: impl FnOnce() -> u64) -> Share {
        self.unread += 1;
        let read = may_have_waited || self.unread >= SAMPLES_PER_READING;
        self.advance(now, read.then(read_cpu));
        let wall = self.wall_due;
        let cpu = u64::try_from(self.cpu_due).unwrap_or(0).min(wall);
        self.wall_due = 0;
        self.cpu_due = self.cpu_due.saturating_sub_unsigned(cpu);
        Share { wall, cpu }
    }

    /// Takes what a sample was given that could not be kept, or what another thread has left: the next one will have it.
    pub(super) fn give_back(&mut self, share: Share) {
        self.wall_due += share.wall;
        self.cpu_due = self.cpu_due.saturating_add_unsigned(share.cpu);
    }

    /// What no sample has taken.
    pub(super) fn due(&self) -> Share {
        Share { wall: self.wall_due, cpu: u64::try_from(self.cpu_due).unwrap_or(0) }
    }

    /// How much time has passed since the last sample or activation, at `now`.
    pub(super) fn since(&self, now: u64) -> u64 {
        now.saturating_sub(self.wall)
    }

    fn advance(&mut self, now: u64, cpu: Option<u64>) {
        let wall = now.saturating_sub(self.wall);
        let cpu = match cpu {
            Some(cpu) => {
                self.unread = 0;
                cpu
            }
            None => self.cpu.saturating_add(wall),
        };
        self.wall_due = self.wall_due.saturating_add(wall);
        self.cpu_due = self.cpu_due.saturating_add(cpu.wrapping_sub(self.cpu).cast_signed());
        // Never back: the clock of samples may be a little ahead.
        self.wall = self.wall.max(now);
        self.cpu = cpu;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Clone, Copy, Debug)]
    enum Step {
        Run(u64),
        Wait(u64),
        Toggle,
        Sample,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (1_u64..2_000_000).prop_map(Step::Run),
            (1_u64..2_000_000).prop_map(Step::Wait),
            Just(Step::Toggle),
            Just(Step::Sample),
        ]
    }

    proptest! {
        #[test]
        fn samples_add_up_to_the_time_that_was_active(steps in prop::collection::vec(step(), 1..300)) {
            let (mut now, mut cpu, mut active_wall, mut active_cpu) = (1_000_000, 500_000, 0, 0);
            let mut accounts = Accounts::default();
            let mut is_active = false;
            let (mut sampled_wall, mut sampled_cpu) = (0, 0);
            for step in steps {
                match step {
                    Step::Run(time) | Step::Wait(time) => {
                        let on_cpu = matches!(step, Step::Run(_));
                        now += time;
                        cpu += if on_cpu { time } else { 0 };
                        if is_active {
                            active_wall += time;
                            active_cpu += if on_cpu { time } else { 0 };
                        }
                    }
                    Step::Toggle if is_active => {
                        accounts.leave(now, || cpu);
                        is_active = false;
                    }
                    Step::Toggle => {
                        accounts.enter(now, || cpu);
                        is_active = true;
                    }
                    Step::Sample if is_active => {
                        let share = accounts.sample(now, true, || cpu);
                        prop_assert!(share.cpu <= share.wall);
                        sampled_wall += share.wall;
                        sampled_cpu += share.cpu;
                        prop_assert_eq!(sampled_wall, active_wall);
                    }
                    Step::Sample => {}
                }
            }
            if is_active {
                let share = accounts.sample(now, true, || cpu);
                prop_assert_eq!(sampled_wall + share.wall, active_wall);
                // Pieces too short for a reading are taken to have run.
                let unread = 600 * SHORT;
                prop_assert!((sampled_cpu + share.cpu).abs_diff(active_cpu) <= unread);
            }
        }
    }

    #[test]
    fn a_wait_that_was_not_noticed_is_put_right() {
        let mut accounts = Accounts::default();
        accounts.enter(1_000_000, || 0);
        // On the CPU for only half of the time, and never seen waiting.
        let mut total = 0;
        for sample in 1..=80 {
            let now = 1_000_000 + sample * 1_000_000;
            total += accounts.sample(now, false, || sample * 500_000).cpu;
        }
        assert!(total.abs_diff(40_000_000) <= 8_000_000, "{total}");
    }

    #[test]
    fn what_a_lost_sample_stood_for_goes_to_the_next() {
        let mut accounts = Accounts::default();
        accounts.enter(1_000_000, || 0);
        let lost = accounts.sample(3_000_000, true, || 1_500_000);
        assert_eq!(lost, Share { wall: 2_000_000, cpu: 1_500_000 });
        accounts.give_back(lost);
        let kept = accounts.sample(4_000_000, true, || 2_500_000);
        assert_eq!(kept, Share { wall: 3_000_000, cpu: 2_500_000 });
    }
}
