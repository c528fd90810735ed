//! Remembers how the last stack was walked.
//!
//! From one sample to the next most of a stack stays as it was. What is the caller of a frame depends on nothing but the
//! frame's registers, the words that are read to find out, and code, which does not change. So where a walk comes to
//! registers that the last one came to, and all words that the last one read from there on are as they were, the rest
//! of the stack is as it was: exact, not a guess. To check a word is one comparison, and none waits for another, as
//! they do where one frame pointer leads to the next; unwinding a frame of the process costs ten times as much.

use super::gone::Targets;
use super::memory::StackMemory;
use super::registers::Registers;

/// Steps that are remembered, and written while those are. Frames of the process may be many where none is shown.
const MAX_STEPS: usize = 1024;

/// Words read, likewise.
const MAX_READS: usize = 3072;

/// Marks an address as that of a stack pointer that the walk went on from, instead of one that was read: those are
/// aligned.
const MOVE: u64 = 1;

/// A walk came to a frame that is not the innermost.
#[derive(Clone, Copy)]
struct Step {
    at: Registers,
    /// What was seen before, as far as it changes how frames from here on are shown.
    context: u8,
    /// Whether it is the first step on another stack than the one before.
    is_first_on_stack: bool,
    /// Words of the stack as shown from here on outwards; while it is written, those before.
    words: usize,
    /// Words read from here on outwards; while it is written, those read before.
    reads: usize,
    /// Whose code is met from here on outwards; while it is written, up to the next step.
    targets: Targets,
}

/// The last walk.
///
/// What is known is at the start of both arrays, outermost first: what is found anew goes in front of it then. Until it
/// is known how much of that stays, what is found is written from the end of the arrays downwards.
pub(super) struct LastWalk {
    steps: Box<[Step; MAX_STEPS]>,
    step_count: usize,
    /// Addresses, and what was there.
    reads: Box<[(u64, u64); MAX_READS]>,
    read_count: usize,
    /// How many of the steps may still be met, the innermost of them next.
    ahead: usize,
    new_steps: usize,
    new_reads: usize,
    /// Whether what is found is written down.
    is_recording: bool,
    /// Whether it cannot be, to the end of this walk.
    has_stopped: bool,
    /// Whether the next step is the first on its stack.
    moved: bool,
}

impl LastWalk {
    pub(super) fn new() -> Self {
        let at = Registers { pc: 0, sp: 0, fp: 0, lr: 0 };
        let targets = Targets::default();
        let nothing = Step { at, context: 0, is_first_on_stack: false, words: 0, reads: 0, targets };
        Self {
            steps: Box::new([nothing; MAX_STEPS]),
            step_count: 0,
            reads: Box::new([(0, 0); MAX_READS]),
            read_count: 0,
            ahead: 0,
            new_steps: 0,
            new_reads: 0,
            is_recording: false,
            has_stopped: false,
            moved: false,
        }
    }

    /// A walk begins.
    pub(super) fn begin(&mut self) {
        self.ahead = self.step_count;
        (self.new_steps, self.new_reads) = (0, 0);
        (self.is_recording, self.has_stopped, self.moved) = (false, false, false);
    }

    /// Whether the walk goes on from `at` as the last one did; if so, how many words of the stack that is. Nothing is joined
    /// that has more than `room` words.
    #[inline]
    pub(super) fn joins(&mut self, at: Registers, context: u8, room: usize, memory: &mut StackMemory) -> Option<usize> {
        // Callers are above those that they called.
        while let Some(step) = self.next()
            && step.at.sp < at.sp
        {
            self.ahead -= 1;
        }
        let step = self.next()?;
        if step.at != at || step.context != context {
            return None;
        }
        let (words, reads) = (step.words, step.reads);
        if words > room {
            // Further out there is less room still: every frame in between takes some.
            self.ahead = 0;
            return None;
        }
        let here = memory.place();
        let mut is_same = |(address, value): &(u64, u64)| {
            if address & MOVE != 0 {
                memory.move_to(address - MOVE);
                return true;
            }
            memory.read(*address) == Some(*value)
        };
        let Some(different) = self.reads[..reads].iter().rev().position(|read| !is_same(read)) else {
            return Some(words);
        };
        // The walk goes on from where it was, which may be another stack than that of the word.
        memory.go_back_to(here);
        // Nothing that depends on this word can be met.
        let unchanged = reads - different - 1;
        while self.next().is_some_and(|step| step.reads > unchanged) {
            self.ahead -= 1;
        }
        None
    }

    fn next(&self) -> Option<&Step> {
        self.ahead.checked_sub(1).and_then(|index| self.steps.get(index))
    }

    /// The walk comes to `at`, after `words` words of the stack as shown.
    #[inline]
    pub(super) fn step(&mut self, at: Registers, context: u8, words: usize) {
        if self.has_stopped || self.step_count + self.new_steps >= MAX_STEPS {
            self.stop();
            return;
        }
        self.is_recording = true;
        self.new_steps += 1;
        let is_first_on_stack = std::mem::take(&mut self.moved);
        let (reads, targets) = (self.new_reads, Targets::default());
        self.steps[MAX_STEPS - self.new_steps] = Step { at, context, is_first_on_stack, words, reads, targets };
    }

    /// The walk meets code of `targets`, at the frame that it has come to.
    #[inline]
    pub(super) fn meets(&mut self, targets: Targets) {
        if self.is_recording {
            self.steps[MAX_STEPS - self.new_steps].targets.add(targets);
        }
    }

    /// Whose code is met from the first of the steps on. Frames further inwards are not remembered.
    pub(super) fn targets(&self) -> Targets {
        self.step_count.checked_sub(1).map_or(Targets::default(), |innermost| self.steps[innermost].targets)
    }

    /// The walk reads `value` at `address`.
    #[inline]
    pub(super) fn read(&mut self, address: u64, value: u64) {
        if !self.is_recording {
            return;
        }
        if self.read_count + self.new_reads >= MAX_READS {
            self.stop();
            return;
        }
        self.new_reads += 1;
        self.reads[MAX_READS - self.new_reads] = (address, value);
    }

    /// The walk goes on on another stack, at the stack pointer `sp`.
    pub(super) fn moves_to(&mut self, sp: u64) {
        self.read(sp | MOVE, 0);
        self.moved = true;
        while self.ahead > 0 {
            self.ahead -= 1;
            if self.steps[self.ahead].is_first_on_stack {
                self.ahead += 1;
                break;
            }
        }
    }

    /// What is found from here on is not remembered, nor what was found so far.
    pub(super) fn stop(&mut self) {
        (self.is_recording, self.has_stopped) = (false, true);
    }

    /// The walk has ended, or has met the last one, with a stack of `words` words.
    pub(super) fn end(&mut self, has_joined: bool, words: usize) {
        self.step_count = if has_joined { self.ahead } else { 0 };
        self.read_count = self.step_count.checked_sub(1).map_or(0, |innermost| self.steps[innermost].reads);
        if self.has_stopped || self.new_steps == 0 {
            return;
        }
        self.steps.copy_within(MAX_STEPS - self.new_steps.., self.step_count);
        self.reads.copy_within(MAX_READS - self.new_reads.., self.read_count);
        let all_reads = self.read_count + self.new_reads;
        let mut targets = self.targets();
        for step in &mut self.steps[self.step_count..][..self.new_steps] {
            targets.add(step.targets);
            step.targets = targets;
            step.words = words - step.words;
            step.reads = all_reads - step.reads;
        }
        self.step_count += self.new_steps;
        self.read_count = all_reads;
    }

    /// The walk cannot be told again.
    pub(super) fn forget(&mut self) {
        (self.step_count, self.read_count) = (0, 0);
    }
}
