//! Puts the functions of scripts onto a stack, where the interpreter runs them.
//!
//! A walk finds the runs of evaluation loops on the stack; each has the address of its instance in its frame, and the instance
//! says which linear memory it works on. There the interpreter has a list of what runs, which says itself where one run ends and the
//! next begins. All of it is read while the guest is stopped on this very thread, so that nothing changes meanwhile; but it was
//! stopped anywhere, perhaps in the middle of a change. What cannot be told for certain is left out.

use std::sync::atomic::{AtomicU32, Ordering};

use super::script_names::NameRing;
use super::walk::{FrameWord, StackMemory, Walker, is_readable};
use crate::interpreters::python::{Code, Python, PythonFrame};
use crate::interpreters::{GuestMemory, InstanceLayout};

/// Words of a stack with scripts on it. Of a longer one the middle is left out.
const MAX_WORDS: usize = 2048;

/// Frames of scripts that are looked at in one sample.
const MAX_FRAMES: usize = 1024;

/// Interpreters on one stack, and those that a thread remembers.
const MAX_INTERPRETERS: usize = 8;

/// Functions that a thread knows; a power of two.
const MAX_FUNCTIONS: usize = 1 << 14;

/// What an instance of Wasmtime's begins with.
const MAGIC: u32 = u32::from_le_bytes(*b"core");

/// The number of what stands for functions that there are too many of, or whose names cannot be read.
pub(super) const UNKNOWN: u32 = 0;

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
    /// Interpreters by the address of their instance, the oldest first.
    known: Vec<Known>,
    /// The list of frames of one interpreter, innermost first.
    frames: Vec<PythonFrame>,
    /// By hash of what tells functions apart: that, and the number.
    functions: Box<[(u64, u32)]>,
}

/// An interpreter, and the memory that it was found in.
struct Known {
    instance: u64,
    memory: u64,
    python: Option<Python>,
}

/// The frames of a run, as a range of [`Scripts::frames`].
type Segment = std::ops::Range<usize>;

impl Scripts {
    pub(super) fn new() -> Self {
        Self {
            words: Vec::with_capacity(MAX_WORDS),
            before: Vec::with_capacity(MAX_WORDS),
            has_marked: false,
            known: Vec::with_capacity(MAX_INTERPRETERS),
            frames: Vec::with_capacity(MAX_FRAMES),
            functions: vec![(0, 0); MAX_FUNCTIONS].into_boxed_slice(),
        }
    }

    /// The stack with what scripts do, outermost frame first, and how many words of it are those of the stack that was
    /// [marked](Self::mark) last. `is_complete` says whether the walk got to the first frame of the thread.
    ///
    /// # Safety
    /// The walk was of the current thread, which is stopped, so that their instances exist and nobody else uses
    /// them.
    pub(super) unsafe fn join(
        &mut self,
        walker: &Walker,
        memory: &mut StackMemory,
        is_complete: bool,
        names: Naming<'_>,
    ) -> (&[FrameWord], usize) {
        let (stack, runs) = (walker.stack(), walker.runs());
        self.words.clear();
        let mut addresses = [0_u64; 64];
        for (run, address) in runs.iter().zip(&mut addresses) {
            *address = run.instance_address(memory).unwrap_or(0);
        }
        let mut segments: [Segment; 64] = std::array::from_fn(|_| 0..0);
        self.frames.clear();
        let count = runs.len().min(addresses.len());
        let mut pythons = [None; 64];
        // Innermost first: each interpreter with all of its runs.
        for inner in (0..count).rev() {
            let instance = addresses[inner];
            let is_new = !addresses[inner + 1..count].contains(&instance);
            if instance == 0 || !is_new {
                continue;
            }
            // The frame of one that is just beginning, or ending, may have anything there.
            let is_trusted = (0..count).any(|run| addresses[run] == instance && !runs[run].is_leaf);
            // SAFETY: by contract; and what a frame that is not the innermost has there is its instance, which exists as long as it
            // does.
            let Some((guest, known)) = (unsafe { self.interpreter(instance, &runs[inner].instance, is_trusted) })
            else {
                continue;
            };
            let first = self.frames.len();
            let whole = self.read(guest, known);
            let own = |run: &usize| addresses[*run] == instance;
            let natives = (0..count).filter(own).count();
            let mut ends = self.frames[first..].iter().enumerate();
            let mut begin = first;
            let runs_of = (0..count).rev().filter(own);
            let entries = self.frames[first..].iter().filter(|frame| **frame == PythonFrame::Run).count();
            // One that is just beginning has no frames yet, and one that ends has none any more.
            let skipped = if whole && is_complete { natives.saturating_sub(entries) } else { 0 };
            if skipped > 1 || (skipped == 1 && !runs[inner].is_leaf) {
                continue;
            }
            for run in runs_of.skip(skipped) {
                let end = ends.find(|(_, frame)| **frame == PythonFrame::Run).map(|(at, _)| first + at);
                // The last one of a list that cannot be followed.
                let stop = end.unwrap_or(self.frames.len());
                segments[run] = begin..stop;
                pythons[run] = Some((instance, known));
                let Some(end) = end else { break };
                begin = end + 1;
            }
        }
        let mut next = 0;
        for (position, word) in stack.iter().enumerate() {
            if self.words.len() + 2 > MAX_WORDS {
                break;
            }
            self.words.push(*word);
            while next < count && runs[next].position <= position {
                if let (true, Some((instance, known))) = (runs[next].position == position, pythons[next]) {
                    // SAFETY: as above, and it was found before.
                    let guest = unsafe { guest_memory(instance, &runs[next].instance) };
                    if let Some(guest) = guest {
                        self.push((guest, known), segments[next].clone(), (runs[next].code, names));
                    }
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

    /// The memory of the interpreter of an instance, and its number.
    ///
    /// # Safety
    /// If `is_trusted`, there is an instance at the address.
    unsafe fn interpreter(
        &mut self,
        instance: u64,
        layout: &InstanceLayout,
        is_trusted: bool,
    ) -> Option<(GuestMemory<'static>, usize)> {
        if !(is_trusted || instance.is_multiple_of(16) && is_readable(instance)) {
            return None;
        }
        // SAFETY: readable, as was found out just now or is promised.
        if unsafe { (instance as *const u32).read_volatile() } != MAGIC {
            return None;
        }
        // SAFETY: it is an instance; that it is one with this layout, the frame says: it is one of the code that the layout is of.
        let (guest, state) = unsafe { (guest_memory(instance, layout)?, state(instance, layout)?) };
        let address = guest.address();
        if let Some(known) = self.known.iter().position(|known| (known.instance, known.memory) == (instance, address)) {
            return self.known[known].python.is_some().then_some((guest, known));
        }
        let python = Python::at(guest, state).ok();
        let is_known = python.is_some();
        self.known.retain(|known| known.instance != instance);
        if self.known.len() == MAX_INTERPRETERS {
            self.known.clear();
        }
        self.known.push(Known { instance, memory: address, python });
        is_known.then_some((guest, self.known.len() - 1))
    }

    /// Reads what runs in an interpreter. Whether the list was whole.
    fn read(&mut self, guest: GuestMemory<'_>, known: usize) -> bool {
        let Some(python) = self.known.get(known).and_then(|known| known.python.as_ref()) else { return false };
        for frame in python.frames(guest) {
            match frame {
                Some(frame) if self.frames.len() < MAX_FRAMES => self.frames.push(frame),
                _ => return false,
            }
        }
        // The outermost frame is always one that a run began with.
        self.frames.last() == Some(&PythonFrame::Run)
    }

    /// Puts the frames of a run onto the stack.
    fn push(
        &mut self,
        (guest, known): (GuestMemory<'_>, usize),
        segment: Segment,
        (of, names): ((u32, u32), Naming<'_>),
    ) {
        for at in segment.rev() {
            let Some(PythonFrame::Function { code, instruction }) = self.frames.get(at).copied() else { continue };
            if self.words.len() + 2 > MAX_WORDS {
                return;
            }
            let Some(Known { memory, python: Some(python), .. }) = self.known.get(known) else { return };
            let memory = *memory;
            let word = match python.code(guest, code) {
                // What is called for a class is a function of the interpreter's own, between the caller and `__init__`.
                Some(found) if found.is_internal() => continue,
                Some(found) => {
                    let units = instruction.wrapping_sub(found.instructions) / 2;
                    let key = found.key(memory, code);
                    FrameWord::script(self.number(key, &found, (of, names)), units)
                }
                None => FrameWord::script(UNKNOWN, 0),
            };
            self.words.push(word);
        }
    }

    /// The number of a function.
    fn number(&mut self, key: u64, code: &Code<'_>, (of, names): ((u32, u32), Naming<'_>)) -> u32 {
        let mask = MAX_FUNCTIONS - 1;
        let start = usize::try_from(key >> 32).unwrap_or(0);
        for probe in 0..32 {
            let slot = (start + probe) & mask;
            let (known, number) = self.functions[slot];
            if number != UNKNOWN && known == key {
                return number;
            }
            if number == UNKNOWN {
                let next = names.numbers.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
                if next > MAX_NUMBER || !names.ring.push(next, code, of) {
                    // It will be named the next time, perhaps.
                    return UNKNOWN;
                }
                self.functions[slot] = (key, next);
                return next;
            }
        }
        UNKNOWN
    }
}

/// The linear memory of an instance.
///
/// # Safety
/// There is an instance with this layout at the address; its guest does not run meanwhile, and the memory is used for no longer than
/// that.
unsafe fn guest_memory(instance: u64, layout: &InstanceLayout) -> Option<GuestMemory<'static>> {
    // SAFETY: by contract. The definition of a memory lives as long as the instance: its address, and its size in bytes.
    let (base, length) = unsafe {
        let definition = (instance + u64::from(layout.memory)) as *const *const u64;
        let definition = definition.read_volatile();
        (definition.read_volatile(), definition.add(1).read_volatile())
    };
    // An address of the guest has 32 bits.
    let length = usize::try_from(length.min(1 << 32)).ok()?;
    if base == 0 || length == 0 {
        return None;
    }
    // SAFETY: so many bytes of a linear memory can be read, and nobody writes to them while the guest is stopped: it is not shared.
    Some(GuestMemory::new(unsafe { std::slice::from_raw_parts(base as *const u8, length) }))
}

/// Where in its memory the interpreter of an instance has its state.
///
/// # Safety
/// As for [`guest_memory`].
unsafe fn state(instance: u64, layout: &InstanceLayout) -> Option<u32> {
    // SAFETY: by contract. A global is in the instance, and an imported one is where it points.
    let (state, base) = unsafe {
        let state = ((instance + u64::from(layout.state)) as *const u32).read_volatile();
        let base = layout.memory_base.map(|at| ((instance + u64::from(at)) as *const *const u32).read_volatile());
        (state, base.map_or(0, |base| base.read_volatile()))
    };
    state.checked_add(base)
}
