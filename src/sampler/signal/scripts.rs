//! Puts the functions of scripts onto a stack, where the interpreter runs them.
//!
//! A walk finds the runs of evaluation loops on the stack; each has the address of its instance in its frame, and the instance
//! says which linear memory it works on. There the interpreter has a list of what runs, which says itself where one run ends and the
//! next begins. All of it is read while the guest is stopped on this very thread, so that nothing changes meanwhile; but it was
//! stopped anywhere, perhaps in the middle of a change. What cannot be told for certain is left out.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering};

use super::script_names::NameRing;
use super::walk::{self, FrameWord, MAX_RUNS, StackMemory, Walker, is_readable};
use crate::interpreters::python::{Code, Python, PythonFrame};
use crate::interpreters::{GuestMemory, InstanceLayout};

/// Words of a stack with scripts on it: those of the stack, and those of the scripts, with a word more for each run.
pub(super) const MAX_WORDS: usize = 2048;

/// Frames of scripts that are looked at in one sample.
const MAX_FRAMES: usize = 1024;

const _: () = assert!(MAX_WORDS >= super::walk::MAX_WORDS + MAX_FRAMES + MAX_RUNS);

/// Interpreters that a thread remembers, and that may be on one stack.
const MAX_INTERPRETERS: usize = 8;

/// Functions that a thread knows; a power of two.
const MAX_FUNCTIONS: usize = 1 << 12;

/// Places at which a function may be among them.
const PROBES: usize = 16;

/// What an instance of Wasmtime's begins with.
const MAGIC: u32 = u32::from_le_bytes(*b"core");

/// The number of functions that nothing is known of.
const UNKNOWN: u32 = 0;

/// A frame has room for numbers up to this.
const MAX_NUMBER: u32 = (1 << 29) - 1;

/// How functions get numbers and names.
#[derive(Clone, Copy)]
pub(super) struct Naming<'n> {
    /// Where names go.
    pub(super) ring: &'n NameRing,
    /// The number that was given last.
    pub(super) numbers: &'n AtomicU32,
}

/// What a thread knows of scripts. Holds all memory that is needed.
pub(super) struct Scripts {
    /// The stack with scripts, outermost first, and the one before it.
    words: Vec<FrameWord>,
    before: Vec<FrameWord>,
    /// Whether the stack that went into the ring last is `before`.
    has_marked: bool,
    known: [Option<Known>; MAX_INTERPRETERS],
    /// Which of them is to be forgotten next.
    oldest: usize,
    /// The lists of frames of all interpreters on a stack, one after the other, each innermost first.
    frames: Vec<PythonFrame>,
    /// By hash of what tells functions apart: that, and the number.
    functions: Box<[(u64, u32)]>,
}

/// An interpreter, and what it was found by.
struct Known {
    place: Place,
    python: Python,
}

/// Where an interpreter is.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Place {
    /// The address of the instance.
    instance: u64,
    /// Where the memory of the guest is in the process.
    memory: u64,
    /// Where in that the state of the interpreter is.
    state: u32,
    /// The code of the evaluation loop.
    code: (u32, u32),
}

/// An interpreter on the stack at hand.
#[derive(Clone, Copy)]
struct Found<'g> {
    guest: GuestMemory<'g>,
    /// Its position among those that are known.
    known: usize,
}

/// What of the list of frames a run has.
#[derive(Clone)]
enum Segment {
    /// None: it has just begun, or is about to end.
    Nothing,
    /// Some that could not be told.
    Unknown,
    /// These, as positions.
    Frames(Range<usize>),
}

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            words: Vec::with_capacity(MAX_WORDS),
            before: Vec::with_capacity(MAX_WORDS),
            has_marked: false,
            known: [const { None }; MAX_INTERPRETERS],
            oldest: 0,
            frames: Vec::with_capacity(MAX_FRAMES),
            functions: vec![(0, UNKNOWN); MAX_FUNCTIONS].into_boxed_slice(),
        }
    }

    /// The stack of a walk with what scripts do, outermost frame first, and how many words of it are those of the stack that was
    /// [marked](Self::mark) last. `is_complete` says whether the walk got to the first frame of the thread.
    ///
    /// # Safety
    /// The walk was of the current thread, which is stopped, so that the instances on its stack exist, and nobody uses their
    /// memories.
    pub(super) unsafe fn join(
        &mut self,
        walker: &Walker,
        memory: &mut StackMemory,
        is_complete: bool,
        names: Naming<'_>,
    ) -> (&[FrameWord], usize) {
        let (stack, runs) = (walker.stack(), walker.runs());
        let count = runs.len().min(MAX_RUNS);
        let mut instances = [None; MAX_RUNS];
        for (run, instance) in runs.iter().zip(&mut instances) {
            *instance = run.instance_address(memory).map(|address| (address, run.code));
        }
        let mut found: [Option<Found<'_>>; MAX_RUNS] = [None; MAX_RUNS];
        let mut segments: [Segment; MAX_RUNS] = [const { Segment::Unknown }; MAX_RUNS];
        self.frames.clear();
        // Innermost first: each interpreter with all of its runs.
        let mut used = 0_u32;
        for inner in (0..count).rev() {
            let Some((address, code)) = instances[inner] else {
                // It is not known whose it is, as it has only just begun, or is about to end.
                segments[inner] = if runs[inner].is_leaf { Segment::Nothing } else { Segment::Unknown };
                continue;
            };
            if instances[inner + 1..count].contains(&instances[inner]) {
                continue;
            }
            // SAFETY: by contract; the frame has the address of its instance.
            let guest = unsafe { guest(address, &runs[inner].instance) };
            let own = |run: &usize| instances[*run] == instances[inner];
            let known = guest.and_then(|(guest, state)| {
                let place = Place { instance: address, memory: guest.address(), state, code };
                Some((guest, self.interpreter(guest, place, &mut used)?))
            });
            let Some((guest, known)) = known else {
                // Of such an interpreter, or in such a moment, nothing is known.
                (0..count).filter(own).for_each(|run| segments[run] = Segment::Nothing);
                continue;
            };
            (0..count).filter(own).for_each(|run| found[run] = Some(Found { guest, known }));
            // A leaf whose instance cannot be told is the innermost run of some interpreter: perhaps of this one.
            let leaf_is_unknown = count > 0 && instances[count - 1].is_none() && runs[count - 1].is_leaf;
            let natives = (0..count).filter(own).count();
            let first = self.frames.len();
            let is_whole = self.read(guest, known);
            let entries = self.frames[first..].iter().filter(|frame| **frame == PythonFrame::Run).count();
            let is_leaf = runs[inner].is_leaf || leaf_is_unknown;
            let ends = self.frames[first..].iter().enumerate().filter(|(_, frame)| **frame == PythonFrame::Run);
            let mut ends = ends.map(|(at, _)| first + at);
            let skipped = match (is_whole && is_complete, natives.cmp(&entries)) {
                (true, Equal) => 0,
                // One that is just beginning has no frames yet, and one that ends has none any more.
                (true, Greater) if natives == entries + 1 && runs[inner].is_leaf => {
                    segments[inner] = Segment::Nothing;
                    1
                }
                // The outer ones are on stacks that are suspended, or that the walk did not get to.
                (_, Less) if !is_leaf => 0,
                (false, _) if !is_leaf => 0,
                // In the middle of a change: what is there belongs to the innermost.
                (false, _) if !is_whole && runs[inner].is_leaf => {
                    let end = ends.next().unwrap_or(self.frames.len());
                    segments[inner] = Segment::Frames(first..end);
                    continue;
                }
                _ => continue,
            };
            let mut begin = first;
            for run in (0..count).rev().filter(own).skip(skipped) {
                let Some(end) = ends.next() else {
                    // The last one of a list that could not be followed.
                    segments[run] = if is_whole { Segment::Unknown } else { Segment::Frames(begin..self.frames.len()) };
                    break;
                };
                segments[run] = Segment::Frames(begin..end);
                begin = end + 1;
            }
        }
        self.words.clear();
        let mut next = 0;
        for (position, word) in stack.iter().enumerate() {
            self.push(*word);
            while next < count && runs[next].position <= position {
                match (&segments[next], found[next]) {
                    (Segment::Nothing, _) => {}
                    (Segment::Frames(frames), Some(found)) if runs[next].position == position => {
                        self.push_functions(found, frames.clone(), (runs[next].code, names));
                    }
                    _ => self.push(FrameWord::script(UNKNOWN, 0)),
                }
                if runs[next].is_leaf && self.words.last() != Some(word) {
                    // It is no more the innermost one, so it is told by what comes after.
                    self.tell_as_caller(*word);
                }
                next += 1;
            }
        }
        let same = self.before.iter().zip(&self.words).take_while(|(before, now)| before == now).count();
        (&self.words, if self.has_marked { same } else { 0 })
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

    /// Whether the stack that went into the ring last has scripts.
    pub(super) fn has_marked(&self) -> bool {
        self.has_marked
    }

    /// How many frames of scripts the last stack has.
    pub(super) fn frames(&self) -> usize {
        self.frames.len()
    }

    /// The position of an interpreter among those that are known. `used` are those that may not be forgotten.
    fn interpreter(&mut self, guest: GuestMemory<'_>, place: Place, used: &mut u32) -> Option<usize> {
        let is_there = |known: &Known| known.place == place && known.python.is_in(guest);
        let known = self.known.iter().position(|known| known.as_ref().is_some_and(is_there));
        let position = match known {
            Some(known) => known,
            None => {
                let python = Python::at(guest, place.state).ok()?;
                let free = (0..MAX_INTERPRETERS).map(|step| (self.oldest + step) % MAX_INTERPRETERS);
                let position = free.into_iter().find(|position| *used >> *position & 1 == 0)?;
                self.oldest = (position + 1) % MAX_INTERPRETERS;
                self.known[position] = Some(Known { place, python });
                position
            }
        };
        *used |= 1 << position;
        Some(position)
    }

    /// Reads what runs in an interpreter. Whether the list was whole.
    fn read(&mut self, guest: GuestMemory<'_>, known: usize) -> bool {
        let first = self.frames.len();
        let Some(Known { python, .. }) = &self.known[known] else { return false };
        for frame in python.frames(guest) {
            match frame {
                Some(frame) if self.frames.len() < MAX_FRAMES => self.frames.push(frame),
                _ => return false,
            }
        }
        // The outermost frame is always one that a run began with.
        self.frames[first..].last() == Some(&PythonFrame::Run)
    }

    fn push(&mut self, word: FrameWord) {
        if self.words.len() < MAX_WORDS {
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
    fn push_functions(&mut self, found: Found<'_>, frames: Range<usize>, (code, names): ((u32, u32), Naming<'_>)) {
        for at in frames.rev() {
            let Some(PythonFrame::Function { code: object, instruction }) = self.frames.get(at).copied() else {
                continue;
            };
            let Some(Known { python, place }) = &self.known[found.known] else { return };
            let word = match python.code(found.guest, object) {
                // What is called for a class is a function of the interpreter's own, between the caller and `__init__`.
                Some(function) if function.is_internal() => continue,
                Some(function) => {
                    let units = instruction.wrapping_sub(function.instructions) / 2;
                    let key = function.key((place.memory, code), object);
                    FrameWord::script(self.number(key, &function, (code, names)), units)
                }
                None => FrameWord::script(UNKNOWN, 0),
            };
            self.push(word);
        }
    }

    /// The number of a function.
    fn number(&mut self, key: u64, function: &Code<'_>, (code, names): ((u32, u32), Naming<'_>)) -> u32 {
        let start = usize::try_from(key >> 32).unwrap_or(0);
        let slots = (0..PROBES).map(|probe| (start + probe) % MAX_FUNCTIONS);
        let known = slots.clone().find(|slot| self.functions[*slot].1 == UNKNOWN || self.functions[*slot].0 == key);
        if let Some(slot) = known
            && self.functions[slot].1 != UNKNOWN
        {
            return self.functions[slot].1;
        }
        // Where there is no room, another one is forgotten: it gets a new number when it is met again.
        let slot = known.unwrap_or(start % MAX_FUNCTIONS);
        if names.numbers.load(Ordering::Relaxed) >= MAX_NUMBER {
            return UNKNOWN;
        }
        let number = names.numbers.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        if !names.ring.push(number, function, code) {
            // It will be named the next time, perhaps.
            return UNKNOWN;
        }
        self.functions[slot] = (key, number);
        number
    }
}

/// The linear memory of an instance, and where in that its interpreter has its state. Nothing, if it may not be read, or there is no
/// instance.
///
/// # Safety
/// The address is that of an instance with this layout, which exists for as long as the result is used; its guest does not run
/// meanwhile.
unsafe fn guest<'g>(instance: u64, layout: &InstanceLayout) -> Option<(GuestMemory<'g>, u32)> {
    // By contract there is one. That costs nothing but a call, and a mistake would cost the process.
    if !(instance.is_multiple_of(16) && is_readable(instance)) {
        return None;
    }
    // SAFETY: readable, as was found out just now.
    if unsafe { (instance as *const u32).read_volatile() } != MAGIC {
        return None;
    }
    // SAFETY: by contract. The definition of a memory lives as long as the instance: its address, and its size in bytes. A global is in
    // the instance, and an imported one is where it points.
    let (start, length, state, base) = unsafe {
        let definition = ((instance + u64::from(layout.memory)) as *const *const u64).read_volatile();
        let state = ((instance + u64::from(layout.state)) as *const u32).read_volatile();
        let base = layout.memory_base.map(|at| ((instance + u64::from(at)) as *const *const u32).read_volatile());
        (
            definition.read_volatile(),
            definition.add(1).read_volatile(),
            state,
            base.map_or(0, |base| base.read_volatile()),
        )
    };
    // An address of the guest has 32 bits.
    let length = length.min(1 << 32) & !7;
    // While a memory grows it may have moved, and its definition not say so yet. And where memories are protected by keys of the
    // processor's, a handler may not read them.
    if length < 8 || !is_readable(start) || !is_readable(start + length - 8) {
        return None;
    }
    let length = usize::try_from(length).ok()?;
    // SAFETY: the first and the last of its bytes can be read, and so all between; nobody writes to them while the guest is stopped: the
    // memory is not shared, as whoever found the layout has seen to.
    let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, length) };
    Some((GuestMemory::new(bytes), state.checked_add(base)?))
}
