//! Puts the functions of scripts onto a stack, where the interpreter runs them.
//!
//! A walk finds the runs of evaluation loops on the stack; each has the address of its instance in its frame, and the instance
//! says which linear memory it works on. There the interpreter has a list of what runs, which says itself where one run ends and the
//! next begins. All of it is read while the guest is stopped on this very thread, so that nothing changes meanwhile; but it was
//! stopped anywhere, perhaps in the middle of a change. What cannot be told for certain is left out.

mod guest;
mod held;
mod names;
mod numbers;
mod places;
mod reader;
mod segments;

use std::ops::Range;

use self::guest::Guest;
use self::held::pair_by_frames;
pub(super) use self::names::NameRing;
pub(crate) use self::numbers::FunctionNumbers;
use self::numbers::UNKNOWN;
use self::places::Places;
pub(crate) use self::reader::ScriptReader;
use self::segments::{List, Segment, pair};
use super::walk::{self, FrameWord, MAX_RUNS, Run, StackMemory};
use crate::interpreters::{
    self, Frame, FunctionPlace, GuestMemory, Identity, Interpreter, InterpreterKind, InterpreterProblem, Language,
    LineFormat, MAX_FRAMES, PartOf, StatePlace,
};

/// Words of a stack with scripts on it. Of a longer one the middle is left out.
pub(super) const MAX_WORDS: usize = 2 * HALF + 1;
const HALF: usize = 1023;

/// Words of a stack before that: those of the walk, those of scripts, and perhaps one for each run.
const ALL_WORDS: usize = walk::MAX_WORDS + MAX_FRAMES + MAX_RUNS;

/// Interpreters that a thread remembers, and that may be on one stack.
const MAX_INTERPRETERS: usize = 8;

/// Words of frames that are looked at: those of one evaluation loop's, of any build, and of some.
const MAX_HELD: usize = 1 << 10;

/// Frames that are searched for an interpreter.
const MAX_LOOKED_AT: usize = 64;

/// Functions that a thread remembers; a power of two.
const MAX_OBJECTS: usize = 1 << 11;

/// How functions get numbers and names.
pub(super) struct Naming<'n> {
    pub(super) numbers: &'n FunctionNumbers,
    /// Takes note of what a number stands for, if it can.
    pub(super) name: &'n mut dyn FnMut(u32, &interpreters::Function<'_>) -> bool,
    /// An interpreter cannot be read.
    pub(super) refuse: &'n mut dyn FnMut(InterpreterProblem),
}

/// A stack that was walked.
#[derive(Clone, Copy)]
pub(super) struct Walked<'w> {
    /// Outermost frame first.
    pub(super) stack: &'w [FrameWord],
    /// Outermost first.
    pub(super) runs: &'w [Run],
    /// Whether all runs of the thread are among them.
    pub(super) is_complete: bool,
    /// Whether the innermost frame is one of compiled code, so that nothing is done to memories.
    pub(super) is_in_guest: bool,
}

/// What is known of scripts. Holds all memory that is needed; one for each thread.
pub(crate) struct Scripts {
    /// The stack with scripts, outermost first, and the one before it.
    words: Vec<FrameWord>,
    before: Vec<FrameWord>,
    /// Whether the stack that went into the ring last is `before`.
    has_marked: bool,
    known: [Option<Known>; MAX_INTERPRETERS],
    /// Which of them is to be forgotten next.
    oldest: usize,
    /// How often in a row what an interpreter says contradicted itself.
    contradictions: u32,
    /// The number that was given last to what an interpreter's code objects were at some time.
    last_time: u64,
    /// Of each run, whose it is, and what it has.
    of_runs: Vec<OfRun>,
    /// The lists of frames of all interpreters on a stack, one after the other, each innermost first.
    frames: Vec<Frame>,
    /// What a frame holds.
    held: Vec<u32>,
    /// Of an interpreter at hand, where in that its runs have their frames; and where their marks are in its memory.
    marked: Vec<(u32, Range<usize>)>,
    ranges: Vec<Range<usize>>,
    /// Of an interpreter at hand whose frames hold what they run, its runs, innermost first, and what each has.
    own: Vec<usize>,
    segments: Vec<Segment>,
    /// What is known of the frames of evaluation loops, the one that was met last first.
    places: Vec<Places>,
    /// By address and interpreter.
    objects: Box<[Object]>,
}

/// An interpreter, and what it was found by.
struct Known {
    place: Place,
    /// Its memory, as it was tried last.
    guest: Guest,
    interpreter: Interpreter,
    /// How many code objects had died when it was looked at last, if it says.
    generation: Option<u64>,
    /// A number for the time since then.
    time: u64,
}

/// Where an interpreter is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The address of the instance.
    instance: u64,
    /// Where the memory of the guest is in the process.
    memory: u64,
    /// Where in that the state of the interpreter is, and which it is.
    state: u32,
    kind: InterpreterKind,
}

/// A function that was looked at.
#[derive(Clone, Copy)]
struct Object {
    /// Whose, and at which time.
    time: u64,
    identity: Option<Identity>,
    function: Function,
}

/// What a function is.
#[derive(Clone, Copy)]
enum Function {
    /// Nobody wants to see it.
    Internal,
    /// One with this number, whose first instruction is there, and how many bytes of them there are.
    Known { number: u32, instructions: u32, length: u32 },
}

/// Whose a run is, and what it has.
#[derive(Clone)]
struct OfRun {
    /// The address of its instance, if it can be told.
    instance: Option<u64>,
    /// The memory of its interpreter, and the position of that among those that are known.
    interpreter: Option<(Guest, usize)>,
    language: Language,
    segment: Segment,
}

/// The frame that runs the function of a script that is at a position of a stack, outermost frame first; `None` if there is none.
pub(super) fn frame_that_runs(words: &[FrameWord], position: usize) -> Option<FrameWord> {
    let is_script = |word: &FrameWord| matches!(word.place(), walk::Place::Script { .. });
    words.get(position).filter(|word| is_script(word))?;
    words[..position].iter().rfind(|word| !is_script(word)).copied()
}

/// What is known of the frames of an evaluation loop.
fn places_of(all: &mut Vec<Places>, evaluator: u64) -> &mut Places {
    let known = all.iter().position(|places| places.evaluator == evaluator);
    let position = known.unwrap_or_else(|| {
        if all.len() == MAX_INTERPRETERS {
            all.pop();
        }
        all.push(Places::new(evaluator));
        all.len() - 1
    });
    all.swap(0, position);
    &mut all[0]
}

impl Scripts {
    pub(super) fn new() -> Self {
        let nothing = Object { time: 0, identity: None, function: Function::Internal };
        Self {
            words: Vec::with_capacity(ALL_WORDS),
            before: Vec::with_capacity(ALL_WORDS),
            has_marked: false,
            known: [const { None }; MAX_INTERPRETERS],
            oldest: 0,
            contradictions: 0,
            last_time: 0,
            of_runs: Vec::with_capacity(MAX_RUNS),
            frames: Vec::with_capacity(MAX_FRAMES),
            held: Vec::with_capacity(MAX_HELD),
            marked: Vec::with_capacity(MAX_RUNS),
            ranges: Vec::with_capacity(MAX_RUNS),
            own: Vec::with_capacity(MAX_RUNS),
            segments: Vec::with_capacity(MAX_RUNS),
            places: Vec::with_capacity(MAX_INTERPRETERS),
            objects: vec![nothing; MAX_OBJECTS].into_boxed_slice(),
        }
    }

    /// The stack of a walk with what scripts do, outermost frame first, and how many words of it are those of the stack that was
    /// [marked](Self::mark) last.
    ///
    /// # Safety
    /// The walk was of the current thread, which is stopped, so that the instances on its stack exist, and nobody uses their
    /// memories.
    pub(super) unsafe fn join(
        &mut self,
        walked: Walked<'_>,
        memory: &mut StackMemory,
        mut naming: Naming<'_>,
    ) -> (&[FrameWord], usize) {
        let runs = &walked.runs[..walked.runs.len().min(MAX_RUNS)];
        self.of_runs.clear();
        let nothing = |run: &Run| OfRun {
            instance: run.instance_address(memory),
            interpreter: None,
            language: run.interpreter.language(),
            segment: Segment::Unknown,
        };
        // From the inside outwards, as stacks are read.
        self.of_runs.extend(runs.iter().rev().map(nothing));
        self.of_runs.reverse();
        self.frames.clear();
        let mut used = 0_u32;
        // Innermost first: each interpreter with all of its runs.
        for inner in (0..runs.len()).rev() {
            let Some(instance) = self.of_runs[inner].instance else {
                // It is not known whose it is, as it has only just begun, or is about to end.
                let is_leaf = runs[inner].is_leaf;
                self.of_runs[inner].segment = if is_leaf { Segment::Nothing } else { Segment::Unknown };
                continue;
            };
            if self.of_runs[inner + 1..].iter().any(|other| other.instance == Some(instance)) {
                continue;
            }
            // SAFETY: by contract; the frame has the address of its instance.
            let guest = unsafe { Guest::of(instance, &runs[inner].instance, self.tried(instance, walked)) };
            let kind = runs[inner].interpreter;
            self.held.clear();
            if runs[inner].instance.state == StatePlace::InFrames {
                self.read_frames(runs, inner, memory);
            }
            let found = guest.and_then(|(guest, state)| {
                let place = Place { instance, memory: guest.start, state, kind };
                // SAFETY: by contract.
                let memory = unsafe { guest.memory() };
                let known = self.interpreter((guest, memory), place, (&mut used, &mut naming))?;
                self.known[known].as_mut()?.guest = guest;
                Some((guest, memory, known))
            });
            let Some((guest, guest_memory, known)) = found else {
                if guest.is_none() && runs[inner].is_leaf {
                    // It is no instance, so nobody can tell whose it is.
                    (self.of_runs[inner].instance, self.of_runs[inner].segment) = (None, Segment::Nothing);
                    continue;
                }
                let was_read = self.known.iter().flatten().any(|known| known.place.instance == instance);
                if guest.is_none() && !was_read {
                    (naming.refuse)(InterpreterProblem::Memory);
                }
                // Of others nothing is known at all.
                let segment = if was_read { Segment::Unknown } else { Segment::Nothing };
                self.each_run_of(instance, |run| run.segment = segment.clone());
                continue;
            };
            self.each_run_of(instance, |run| run.interpreter = Some((guest, known)));
            self.pair(inner, (guest_memory, known), walked, memory);
        }
        self.words.clear();
        let mut next = 0;
        for (position, word) in walked.stack.iter().enumerate() {
            self.push(*word);
            while next < runs.len() && runs[next].position <= position {
                if runs[next].is_shown {
                    // SAFETY: as above.
                    unsafe { self.push_functions(next, &mut naming) };
                    if runs[next].is_leaf && self.words.last() != Some(word) {
                        // It is no more the innermost one, so it is told by what comes after.
                        self.tell_as_caller(*word);
                    }
                }
                next += 1;
            }
        }
        if self.words.len() > MAX_WORDS {
            self.leave_out_the_middle();
        }
        let same = self.before.iter().zip(&self.words).take_while(|(before, now)| before == now).count();
        (&self.words, if self.has_marked { same } else { 0 })
    }

    /// Of a deep stack the middle is left out. What is kept of a run has the frame that runs it.
    fn leave_out_the_middle(&mut self) {
        let end = self.words.len() - HALF;
        if let Some(native) = frame_that_runs(&self.words, end) {
            self.words[end] = native;
        }
        self.words[HALF] = FrameWord::ELIDED;
        self.words.copy_within(end.., HALF + 1);
        self.words.truncate(MAX_WORDS);
    }

    /// Another guest may be active from now on: what is in a memory that was known is to be looked at again.
    pub(super) fn begin(&mut self) {
        for known in self.known.iter_mut().flatten() {
            self.last_time += 1;
            known.time = self.last_time;
        }
    }

    /// The stack that was joined last went into the ring.
    pub(super) fn mark(&mut self) {
        std::mem::swap(&mut self.words, &mut self.before);
        self.has_marked = true;
    }

    /// A stack without scripts went into the ring.
    pub(super) fn unmark(&mut self) {
        self.has_marked = false;
    }

    /// How many frames of scripts the last stack has.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// What the memory of an instance at this address was when it was tried, if that says something.
    fn tried(&self, instance: u64, walked: Walked<'_>) -> Option<Guest> {
        let mut known = self.known.iter().flatten().filter(|known| known.place.instance == instance);
        known.next().filter(|_| walked.is_in_guest).map(|known| known.guest)
    }

    /// An interpreter cannot be read. One that contradicts itself may be changing what it says.
    fn refuse(&mut self, problem: InterpreterProblem, naming: &mut Naming<'_>) {
        /// In a row.
        const MANY: u32 = 64;
        self.contradictions = self.contradictions.saturating_add(1);
        use InterpreterProblem::{Contradiction, Engine, QuickJs};
        let may_pass = matches!(problem, Contradiction | Engine | QuickJs);
        if !may_pass || self.contradictions > MANY {
            (naming.refuse)(problem);
        }
    }

    /// Reads what frames of an instance hold: of the innermost one that holds an interpreter that is known, or of the first few. A frame that is
    /// on its way to a function of the engine's own may hold none.
    fn read_frames(&mut self, runs: &[Run], inner: usize, memory: &mut StackMemory) {
        let Self { of_runs, known, held, places, .. } = self;
        let instance = of_runs[inner].instance;
        let is_known = |word: &u32| {
            let mut known = known.iter().flatten().filter(|known| Some(known.place.instance) == instance);
            known.any(|known| known.interpreter.is_held(&[*word]))
        };
        let places = places_of(places, runs[inner].evaluator);
        for run in (0..=inner).rev().filter(|run| of_runs[*run].instance == instance).take(MAX_LOOKED_AT) {
            // Most often it is where it was.
            if let Some(word) = runs[run].word_of_frame(places.of_interpreter, memory).filter(is_known) {
                held.push(word);
                return;
            }
            let before = held.len();
            runs[run].read_frame(memory, held);
            if let Some(place) = held[before..].iter().position(is_known) {
                places.of_interpreter = place;
                return;
            }
        }
    }

    fn each_run_of(&mut self, instance: u64, each: impl FnMut(&mut OfRun)) {
        self.of_runs.iter_mut().filter(|run| run.instance == Some(instance)).for_each(each);
    }

    /// The position of an interpreter among those that are known. `used` are those that may not be forgotten.
    fn interpreter(
        &mut self,
        (tried, guest): (Guest, GuestMemory<'_>),
        place: Place,
        (used, naming): (&mut u32, &mut Naming<'_>),
    ) -> Option<usize> {
        let is_there = |known: &Known| {
            known.place == place && known.interpreter.is_in(guest) && known.interpreter.is_held(&self.held)
        };
        let known = self.known.iter().position(|known| known.as_ref().is_some_and(is_there));
        let position = match known {
            Some(known) => known,
            None => {
                let interpreter = match Interpreter::at(place.kind, guest, place.state, &self.held) {
                    Ok(interpreter) => interpreter,
                    Err(problem) => {
                        self.refuse(problem, naming);
                        return None;
                    }
                };
                let mut free = (0..MAX_INTERPRETERS).map(|step| (self.oldest + step) % MAX_INTERPRETERS);
                let position = free.find(|position| *used >> *position & 1 == 0)?;
                self.oldest = (position + 1) % MAX_INTERPRETERS;
                self.known[position] = Some(Known { place, guest: tried, interpreter, generation: None, time: 0 });
                position
            }
        };
        self.contradictions = 0;
        *used |= 1 << position;
        let known = self.known[position].as_mut()?;
        let generation = known.interpreter.generation(guest);
        if generation.is_none() || generation != known.generation {
            // Code objects may be others from now on.
            self.last_time += 1;
            (known.generation, known.time) = (generation, self.last_time);
        }
        Some(position)
    }

    /// Finds out what the runs of an interpreter have, of which `inner` is the innermost.
    fn pair(
        &mut self,
        inner: usize,
        (guest, known): (GuestMemory<'_>, usize),
        walked: Walked<'_>,
        memory: &mut StackMemory,
    ) {
        let rest = self.read(guest, known);
        self.ranges.clear();
        self.ranges.extend(self.marked.iter().map(|(_, range)| range.clone()));
        if self.known[known].as_ref().is_some_and(|known| known.interpreter.runs_hold_their_marks()) {
            return self.pair_by_frames(inner, (guest, known), rest.is_none(), walked, memory);
        }
        // A leaf whose instance cannot be told is the innermost run of some interpreter: perhaps of this one.
        let leaf = self.of_runs.len() - 1;
        let leaf_is_unknown = self.of_runs[leaf].instance.is_none() && walked.runs[leaf].is_leaf;
        let is_leaf = walked.runs[inner].is_leaf;
        let instance = self.of_runs[inner].instance;
        let interpreter = self.known[known].as_ref().map(|known| &known.interpreter);
        let runs = segments::Runs {
            count: self.of_runs.iter().filter(|run| run.instance == instance).count(),
            may_change: is_leaf || leaf_is_unknown,
            is_leaf,
            are_all: walked.is_complete,
            may_call_first: interpreter.is_some_and(Interpreter::calls_before_it_marks),
        };
        let innermost = self.ranges.first().or(rest.as_ref()).filter(|range| !range.is_empty());
        let innermost = innermost.and_then(|range| self.frames.get(range.start));
        let has_begun = innermost.zip(interpreter).is_some_and(|(frame, of)| of.has_just_begun(*frame));
        let own = self.of_runs.iter_mut().rev().filter(|run| run.instance == instance);
        let segments = pair(runs, List { marked: &self.ranges, rest, has_begun });
        own.zip(segments).for_each(|(run, segment)| run.segment = segment);
    }

    /// The same where frames hold which run they are of.
    fn pair_by_frames(
        &mut self,
        inner: usize,
        (guest, known): (GuestMemory<'_>, usize),
        is_whole: bool,
        walked: Walked<'_>,
        memory: &mut StackMemory,
    ) {
        let instance = self.of_runs[inner].instance;
        let Self { of_runs, known: all_known, held, frames, marked, ranges, own, segments, places, .. } = self;
        let Some(Known { interpreter, .. }) = &all_known[known] else { return };
        let places = places_of(places, walked.runs[inner].evaluator);
        own.clear();
        own.extend((0..=inner).rev().filter(|run| of_runs[*run].instance == instance));
        let mut read = None;
        let holds = |run: usize, mark: usize| {
            let (at, ref range) = marked[mark];
            let Some(Frame::Function { function, .. }) = frames.get(range.start) else { return false };
            let [mark, code] = [at, function.address()];
            let stack = &walked.runs[own[run]];
            // Most often they are where they were.
            if [mark, code].map(Some) == places.of_mark.map(|place| stack.word_of_frame(place, memory)) {
                return true;
            }
            if read != Some(run) {
                held.clear();
                stack.read_frame(memory, held);
                read = Some(run);
            }
            let place = |word: u32| held.iter().position(|held| *held == word);
            let (Some(mark), Some(code)) = (place(mark), place(code)) else { return false };
            places.of_mark = [mark, code];
            true
        };
        pair_by_frames(own.len(), ranges, is_whole, holds, segments);
        for (run, segment) in own.iter().zip(segments.drain(..)) {
            of_runs[*run].segment = segment;
            let Segment::Frames(range) = &of_runs[*run].segment else { continue };
            let Some(Frame::Function { function, instruction }) = frames.get_mut(range.start) else { continue };
            let Some((first, length)) = interpreter.instructions(guest, *function) else { continue };
            let (stack, instructions) = (&walked.runs[*run], first..=first.saturating_add(length));
            if places.wants(stack.is_leaf) {
                held.clear();
                stack.read_frame(memory, held);
                if held.is_empty() {
                    continue;
                }
                if stack.is_leaf {
                    places.learn_from_leaf(held, &instructions);
                } else if *instruction != 0 {
                    places.learn_from_call(held, *instruction + 1);
                }
            }
            let behind = places.behind_instruction(&instructions, |place| stack.word_of_frame(place, memory));
            if let Some(behind) = behind {
                *instruction = behind.saturating_sub(1).max(first);
            }
        }
    }

    /// Reads what runs in an interpreter: what each run has, innermost first. Returns what is not known to belong to any, should there
    /// be such.
    fn read(&mut self, guest: GuestMemory<'_>, known: usize) -> Option<Range<usize>> {
        self.marked.clear();
        let first = self.frames.len();
        let Some(Known { interpreter, .. }) = &self.known[known] else { return Some(first..first) };
        let mut rest = None;
        let mut threads = 0;
        for thread in interpreter.threads(guest) {
            threads += 1;
            let mut begin = self.frames.len();
            let mut is_whole = true;
            for frame in interpreter.frames(guest, thread) {
                let is_room = self.frames.len() < MAX_FRAMES && self.marked.len() < MAX_RUNS;
                match frame.filter(|_| is_room) {
                    Some(frame @ Frame::Function { .. }) => self.frames.push(frame),
                    Some(Frame::Run { at }) => {
                        self.marked.push((at, begin..self.frames.len()));
                        begin = self.frames.len();
                    }
                    None => is_whole = false,
                }
                if !is_whole {
                    break;
                }
            }
            // The outermost frame is always one that a run began with.
            if !is_whole || begin < self.frames.len() {
                rest = Some(begin..self.frames.len());
            }
        }
        // Those of several threads are inside of each other.
        if threads > 1 {
            self.marked.sort_unstable_by_key(|(at, _)| *at);
        }
        rest
    }

    fn push(&mut self, word: FrameWord) {
        if self.words.len() < ALL_WORDS {
            self.words.push(word);
        }
    }

    /// Makes the address in a frame that was the innermost one that of the instruction behind.
    fn tell_as_caller(&mut self, word: FrameWord) {
        if let (walk::Place::Text { target, offset }, Some(known)) =
            (word.place(), self.words.iter_mut().rfind(|known| **known == word))
        {
            *known = FrameWord::text(target, offset.saturating_add(1));
        }
    }

    /// Puts the frames of a run onto the stack.
    ///
    /// # Safety
    /// As of [`join`](Self::join).
    unsafe fn push_functions(&mut self, position: usize, naming: &mut Naming<'_>) {
        let OfRun { interpreter, language, segment, .. } = self.of_runs[position].clone();
        let unknown = FrameWord::script(UNKNOWN, language as u32);
        let frames = match segment {
            Segment::Nothing => return,
            Segment::Frames(frames) => frames,
            Segment::Unknown => return self.push(unknown),
        };
        let Some((guest, known)) = interpreter else { return };
        // SAFETY: by contract.
        let guest = unsafe { guest.memory() };
        for at in frames.rev() {
            let Some(Frame::Function { function, instruction }) = self.frames.get(at).copied() else { continue };
            match self.function(guest, (known, function), naming) {
                Some(Function::Internal) => {}
                Some(Function::Known { number, instructions, length }) => {
                    // A frame may be in the making.
                    let offset = instruction.checked_sub(instructions).filter(|offset| *offset < length);
                    self.push(FrameWord::script(number, offset.unwrap_or(LineFormat::NOWHERE)));
                }
                None => self.push(unknown),
            }
        }
    }

    /// What a function is.
    fn function(
        &mut self,
        guest: GuestMemory<'_>,
        (known, place): (usize, FunctionPlace),
        naming: &mut Naming<'_>,
    ) -> Option<Function> {
        let Known { interpreter, time, .. } = self.known[known].as_mut()?;
        let identity = interpreter.identity(guest, place)?;
        let slot = usize::try_from(u64::from(place.address() >> 4) ^ *time).unwrap_or(0) % MAX_OBJECTS;
        let object = &mut self.objects[slot];
        if object.time == *time && object.identity == Some(identity) {
            return Some(object.function);
        }
        let known = interpreter.function(guest, &identity)?;
        let function = if known.part_of == PartOf::Machinery {
            Function::Internal
        } else {
            let number = naming.numbers.number(&known, |number| (naming.name)(number, &known));
            if number == UNKNOWN {
                return None;
            }
            let length = known.length.unwrap_or(u32::MAX);
            Function::Known { number, instructions: known.instructions, length }
        };
        *object = Object { time: *time, identity: Some(identity), function };
        Some(function)
    }
}
