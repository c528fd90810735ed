//! What the host does after the guest has ended.
//!
//! A run is recorded until its future ends, and Wasmtime's command line prints the backtrace of a trap before that. With
//! `RUST_BACKTRACE`, that takes longer than many guests: debug info of the whole program is read for it.

use std::time::Duration;

use super::tables::Profile;
use crate::symbols::Layer;

impl Profile {
    /// Counts what each thread did after its last frame of a guest as the profiler's own work: for runs of one guest that has
    /// trapped. A thread without any guest stays as it is, and so does waiting, which may have been the guest's.
    #[must_use]
    pub fn without_aftermath(mut self) -> Self {
        let mut has_guest = Vec::with_capacity(self.stacks.len());
        for stack in &self.stacks {
            let function = self.frames[stack.frame.index()].function;
            let is_guest = self.functions[function.index()].kind.layer() != Layer::Host;
            // A stack comes after its caller.
            has_guest.push(is_guest || stack.caller.is_some_and(|caller| has_guest[caller.index()]));
        }
        for thread in &mut self.threads {
            let is_over = |index: usize| {
                let sample = &thread.samples[index];
                let is_waiting = sample.cpu.is_zero() && sample.wall > Duration::ZERO;
                !has_guest[sample.stack.index()] && !is_waiting
            };
            let kept = (0..thread.samples.len()).rev().find(|index| !is_over(*index)).map_or(0, |index| index + 1);
            if !thread.samples[..kept].iter().any(|sample| has_guest[sample.stack.index()]) {
                continue;
            }
            for sample in thread.samples.drain(kept..) {
                self.counts.taken = self.counts.taken.saturating_sub(sample.count);
                self.counts.kept = self.counts.kept.saturating_sub(sample.count);
                self.profiler.add(sample.count, sample.wall, sample.cpu);
            }
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::arbitrary;

    proptest! {
        #[test]
        fn no_time_is_lost(profile in arbitrary::profile()) {
            let all = |profile: &Profile| {
                let samples = profile.samples().map(|sample| sample.count).sum::<u64>();
                (samples + profile.profiler.samples, profile.wall_time() + profile.profiler.wall)
            };
            let before = all(&profile);
            let lost = profile.counts.taken - profile.counts.kept;
            let profile = profile.without_aftermath();
            prop_assert_eq!(all(&profile), before);
            prop_assert_eq!(profile.counts.taken - profile.counts.kept, lost);
            // Once is enough.
            let samples = profile.samples().count();
            prop_assert_eq!(profile.without_aftermath().samples().count(), samples);
        }
    }
}
