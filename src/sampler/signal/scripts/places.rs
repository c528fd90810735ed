//! Where in the frame of an evaluation loop its variables are, which only the compiler of the guest knew: found out by what is there.
//!
//! The frame of a loop holds the instruction that it executes, and the interpreter knows which instruction has called something, but not
//! which one executes otherwise. So a place is that of the instruction if it has held what the interpreter says most times that something was
//! called, and otherwise an instruction of the function that runs. There may be several: the compiler makes one variable two, of which one
//! is ahead of the other by a part of an instruction.

use std::ops::RangeInclusive;

/// Places of a frame that are looked at.
pub(super) const MAX_PLACES: usize = 256;

/// Places of the instruction that are remembered.
const MAX_FOUND: usize = 4;

/// Frames of each kind that are looked at, at least before anything is known, and at most.
const FEW: u16 = 4;
const MANY: u16 = 64;

/// What is known of the frames of an evaluation loop.
#[derive(Clone)]
pub(super) struct Places {
    /// The address of its code.
    pub(super) evaluator: u64,
    /// Where a frame has held its interpreter.
    pub(super) of_interpreter: usize,
    /// Where a frame has held where its run has its mark, and the code of its function.
    pub(super) of_mark: [usize; 2],
    /// Of frames that have called something, how many were looked at, and in how many the instruction was at a place.
    calls: u16,
    in_calls: [u16; MAX_PLACES],
    /// Of frames that execute, the same of an instruction of the function.
    leaves: u16,
    in_leaves: [u16; MAX_PLACES],
    found: [usize; MAX_FOUND],
    count: usize,
}

impl Places {
    pub(super) fn new(evaluator: u64) -> Self {
        Self {
            evaluator,
            of_interpreter: 0,
            of_mark: [0; 2],
            calls: 0,
            in_calls: [0; MAX_PLACES],
            leaves: 0,
            in_leaves: [0; MAX_PLACES],
            found: [0; MAX_FOUND],
            count: 0,
        }
    }

    /// Whether frames that have called something, or that execute, are still to be looked at.
    pub(super) fn wants(&self, is_leaf: bool) -> bool {
        if is_leaf { self.leaves < MANY } else { self.calls < MANY }
    }

    /// Looks at what a frame holds that has called something with an instruction.
    pub(super) fn learn_from_call(&mut self, held: &[u32], instruction: u32) {
        let places = || held.iter().take(MAX_PLACES).enumerate().filter(|(_, held)| **held == instruction);
        // Some versions do not always know.
        if places().next().is_some() {
            places().for_each(|(place, _)| self.in_calls[place] += 1);
            self.calls += 1;
            self.decide();
        }
    }

    /// Looks at what a frame holds that executes a function with these instructions.
    pub(super) fn learn_from_leaf(&mut self, held: &[u32], instructions: &RangeInclusive<u32>) {
        let places = held.iter().take(MAX_PLACES).enumerate().filter(|(_, held)| instructions.contains(held));
        places.for_each(|(place, _)| self.in_leaves[place] += 1);
        self.leaves += 1;
        self.decide();
    }

    fn decide(&mut self) {
        self.count = 0;
        if self.calls < FEW || self.leaves < FEW {
            return;
        }
        for place in 0..MAX_PLACES {
            // What the interpreter says is of another time where something was called by what is no call, such as a getter.
            let follows_calls = self.in_calls[place] * 2 >= self.calls;
            // A frame may be just beginning.
            let is_one = follows_calls && self.in_leaves[place] * 8 >= self.leaves * 7;
            if is_one && self.count < MAX_FOUND {
                self.found[self.count] = place;
                self.count += 1;
            }
        }
    }

    /// What is behind the instruction that a frame executes, or has called with: somewhere in that instruction, or just behind. `word` is
    /// what is at a place of the frame.
    pub(super) fn behind_instruction(
        &self,
        instructions: &RangeInclusive<u32>,
        word: impl FnMut(usize) -> Option<u32>,
    ) -> Option<u32> {
        self.found[..self.count].iter().copied().filter_map(word).filter(|word| instructions.contains(word)).max()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What a frame holds: an address, the first instruction, two places that follow the instruction, one that is what it was when
    /// something was called last, and one more.
    fn frame(at: u32, called: u32) -> [u32; 6] {
        [77, 1000, at + 1, at, called, at ^ 3]
    }

    #[test]
    fn places_are_those_that_follow_the_instruction() {
        let mut places = Places::new(1);
        let instructions = 1000..=1100;
        let behind = |places: &Places, frame: [u32; 6]| places.behind_instruction(&(1000..=1100), |at| Some(frame[at]));
        assert_eq!(behind(&places, frame(1050, 0)), None);
        for call in 1010..1020 {
            assert!(places.wants(false));
            places.learn_from_call(&[77, 1000, call, call, call, 5], call);
        }
        // What the interpreter says is of another time.
        places.learn_from_call(&[77, 1000, 1030, 1030, 1020, 5], 1001);
        assert_eq!(behind(&places, frame(1050, 1080)), None, "nothing has executed yet");
        for at in 1020..1030 {
            assert!(places.wants(true));
            // Nothing has been called here.
            places.learn_from_leaf(&frame(at, 3), &instructions);
        }
        assert_eq!(behind(&places, frame(1050, 1080)), Some(1051));
        assert_eq!(behind(&places, frame(1100, 1080)), Some(1100), "the other one is outside");
        assert_eq!(behind(&places, frame(2000, 1080)), None);
    }

    proptest! {
        #[test]
        fn whatever_frames_hold_the_instruction_is_one_of_the_function(
            frames in prop::collection::vec((prop::collection::vec(90..120_u32, 0..300), any::<bool>(), 90..120_u32), 0..300),
        ) {
            let mut places = Places::new(1);
            let instructions = 100..=110;
            for (held, is_leaf, instruction) in &frames {
                if places.wants(*is_leaf) {
                    if *is_leaf {
                        places.learn_from_leaf(held, &instructions);
                    } else {
                        places.learn_from_call(held, *instruction);
                    }
                }
                let found = places.behind_instruction(&instructions, |at| held.get(at).copied());
                prop_assert!(found.is_none_or(|found| instructions.contains(&found)));
            }
        }
    }
}
