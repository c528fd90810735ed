//! The frames of evaluation loops on a stack: where an interpreter runs scripts.

use super::frames::Frames;
use super::memory::StackMemory;
use super::registers::Registers;
use crate::interpreters::{Evaluator, InstanceLayout, InterpreterKind};

/// Runs that are noticed on one stack. A script that calls a function of the interpreter that calls a script is two.
pub(crate) const MAX_RUNS: usize = 1 << 12;

/// One run of an evaluation loop.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    /// How many words of the stack are further out.
    pub(crate) position: usize,
    /// Whether the word there is that of its frame: the middle of a deep stack is left out.
    pub(crate) is_shown: bool,
    /// Where the address of the instance is kept, if it is there.
    slot: Option<u64>,
    /// On which stack that is: its stack pointer.
    sp: u64,
    /// Where its frame begins, if it is whole, and how many bytes it has.
    frame: Option<(u64, u64)>,
    /// Whether it is the innermost frame of all, which may be just beginning or ending.
    pub(crate) is_leaf: bool,
    /// The address of the code of the loop.
    pub(crate) evaluator: u64,
    pub(crate) instance: InstanceLayout,
    pub(crate) interpreter: InterpreterKind,
}

impl Run {
    /// The run whose frame has this frame pointer and stack pointer, and waits for what it has called. So many words of the stack
    /// are further out.
    pub(crate) fn waiting(evaluator: &Evaluator, at: Registers, position: usize) -> Self {
        Self::of(evaluator, at, position, true)
    }

    fn of(evaluator: &Evaluator, at: Registers, position: usize, is_whole: bool) -> Self {
        let Evaluator { start, instance, interpreter, frame, .. } = *evaluator;
        let slot = at.fp.checked_add_signed(evaluator.slot).filter(|_| is_whole);
        let frame = at.fp.checked_sub(frame).filter(|_| is_whole).map(|start| (start, frame));
        Self {
            position,
            is_shown: true,
            slot,
            sp: at.sp,
            frame,
            is_leaf: false,
            evaluator: start,
            instance,
            interpreter,
        }
    }

    /// The address of the instance, as the stack has it.
    pub(crate) fn instance_address(&self, memory: &mut StackMemory) -> Option<u64> {
        let slot = self.slot?;
        self.go_to(slot, memory);
        memory.read(slot)
    }

    /// Makes readable what is at an address of its frame.
    fn go_to(&self, at: u64, memory: &mut StackMemory) {
        if !memory.can_go_on_to(at) {
            memory.move_to(self.sp);
        }
    }

    /// Appends the words of 32 bits that its frame holds, if that is whole.
    pub(crate) fn read_frame(&self, memory: &mut StackMemory, words: &mut Vec<u32>) {
        let Some((start, bytes)) = self.frame else { return };
        self.go_to(start, memory);
        let room = words.capacity() - words.len();
        let places = (start..start.saturating_add(bytes)).step_by(8).take(room / 2);
        for word in places.map_while(|at| memory.read(at)) {
            words.extend([word, word >> 32].map(low));
        }
    }

    /// The word of 32 bits at a place of its frame, among those that [`read_frame`](Self::read_frame) reads.
    #[inline]
    pub(crate) fn word_of_frame(&self, place: usize, memory: &mut StackMemory) -> Option<u32> {
        let (start, bytes) = self.frame?;
        let at = (place as u64).checked_mul(4).filter(|at| *at < bytes)?;
        self.go_to(start, memory);
        let word = memory.read(start.checked_add(at & !7)?)?;
        Some(low(word >> (at % 8 * 8)))
    }
}

/// The lower 32 bits.
#[allow(clippy::cast_possible_truncation, reason = "keeps the low half")]
pub(crate) fn low(word: u64) -> u32 {
    word as u32
}

/// All of them, as a walk finds them.
pub(super) struct Runs {
    /// Outermost first; those that the last walk has found at first, and then this one's.
    known: Vec<Run>,
    /// What this walk has found, innermost first. Positions are those among its frames.
    new: Vec<Run>,
    /// There were more.
    are_too_many: bool,
}

impl Runs {
    pub(super) fn new() -> Self {
        Self { known: Vec::with_capacity(MAX_RUNS), new: Vec::with_capacity(MAX_RUNS), are_too_many: false }
    }

    pub(super) fn begin(&mut self) {
        self.new.clear();
    }

    /// The walk meets a frame of an evaluation loop, which is the last of so many frames.
    pub(super) fn meet(&mut self, evaluator: &Evaluator, at: Registers, is_leaf: bool, count: usize) {
        if self.new.len() == MAX_RUNS {
            self.are_too_many = true;
            return;
        }
        // In the beginning and in the end of the function, the frame is not whole, and the frame pointer that of the caller.
        let is_whole = evaluator.holds_at(at.pc) && at.sp.checked_add(evaluator.frame) == Some(at.fp);
        let is_there = !is_leaf || is_whole;
        let position = count.saturating_sub(1);
        self.new.push(Run { is_leaf, ..Run::of(evaluator, at, position, is_there) });
    }

    /// The walk has ended with a stack of `words` frames, of which the outermost `kept` are those of the last one. `false` if there are
    /// too many runs: then none is known.
    pub(super) fn end(&mut self, kept: usize, words: usize) -> bool {
        let stay = self.known.partition_point(|run| run.position < kept);
        self.known.truncate(stay);
        if self.known.len() + self.new.len() > MAX_RUNS || self.are_too_many {
            // Which of them belongs to what is not known any more.
            self.forget();
            return false;
        }
        let outwards = |run: &Run| {
            let (position, is_shown) = Frames::place_of(run.position, words);
            Run { position, is_shown, ..*run }
        };
        self.known.extend(self.new.iter().rev().map(outwards));
        true
    }

    pub(super) fn forget(&mut self) {
        self.known.clear();
        self.are_too_many = false;
    }

    /// Outermost first.
    pub(super) fn all(&self) -> &[Run] {
        &self.known
    }
}
