//! QuickJS as an interpreter, on 32-bit WebAssembly: Fabrice Bellard's and quickjs-ng, which is in components of componentize-qjs, javy
//! and others.
//!
//! It does not describe itself, and there are many builds of it. So it is found by what the frames of its evaluation loop,
//! `JS_CallInternal`, hold: among other things the address of its `JSRuntime`. How it is laid out shows by what it has there. What runs is
//! a list of frames, innermost first, one for each function; the loop's frame that runs one holds the address of that.

mod function;
mod layout;
mod lines;
#[cfg(test)]
mod tests;
mod text;

pub(super) use function::Identity;
use function::Reader;
use layout::{Layout, frame, runtime, tag};
pub(super) use lines::position_of;
use text::Atoms;

use super::{Frame, Function, FunctionPlace, GuestMemory, InterpreterProblem, MAX_FRAMES};

/// What every QuickJS has in its memory at first: the names of its first atoms.
pub(crate) const MARK: &[u8] = b"null\0false\0true\0if\0else\0return\0";

/// Runtimes that are tried, of those that a frame may hold: most memories have one, some two.
const MAX_RUNTIMES: usize = 8;

/// How much is done to find a runtime, in bytes of tables of lines; and what a frame counts for. More than any program needs, and little
/// enough for a handler, whatever a guest has in its memory.
const MAX_WORK: usize = 4 << 20;
const WORK_OF_FRAME: usize = 64;

/// A QuickJS in the memory of a guest.
#[derive(Clone, Debug)]
pub(crate) struct QuickJs {
    layout: &'static Layout,
    /// The address of its `JSRuntime`.
    runtime: u32,
    atoms: Atoms,
    /// Where the address of the innermost frame is.
    innermost: u32,
    /// Whether a table of lines has shown that the layout is right. Until then, of functions only their names are read: those are in the
    /// same place in all layouts that may be mistaken for another.
    is_proven: bool,
}

impl QuickJs {
    /// The engine that a frame of its evaluation loop works for, which holds these words.
    pub(super) fn of(memory: GuestMemory<'_>, held: &[u32]) -> Result<Self, InterpreterProblem> {
        // A frame holds the same in several places.
        let is_first = |(place, word): &(usize, &u32)| **word != 0 && !held[..*place].contains(word);
        let may_be = |(runtime, at): (u32, Option<u32>)| Some((runtime, at.filter(|at| text::has_table(memory, *at))?));
        let words = held.iter().enumerate().filter(|(_, word)| word.is_multiple_of(4));
        let places = words.flat_map(|word| runtime::STARTS.map(|start| (word, word.1.checked_add(start))));
        let places = places.filter_map(|(word, at)| may_be((*word.1, at)).filter(|_| is_first(&word)));
        let found = places.take(MAX_RUNTIMES).filter_map(|(runtime, at)| Some((runtime, Atoms::at(memory, at)?)));
        let (mut likely, mut work) = (None, MAX_WORK);
        for (runtime, atoms) in found {
            for innermost in runtime::INNERMOST {
                let Some(innermost) = atoms.at.checked_add(innermost) else { continue };
                for layout in layout::ALL {
                    let engine = Self { layout, runtime, atoms, innermost, is_proven: false };
                    match engine.holds(memory, &mut work) {
                        Some(true) => return Ok(Self { is_proven: true, ..engine }),
                        Some(false) if likely.is_none() => likely = Some(engine),
                        _ => {}
                    }
                }
            }
        }
        likely.ok_or(InterpreterProblem::QuickJs)
    }

    /// Whether something runs, and everything about that can be read; and if so, whether that shows that the layout is right.
    /// `work` is how much may be done for that.
    fn holds(&self, memory: GuestMemory<'_>, work: &mut usize) -> Option<bool> {
        let mut is_proven = false;
        let mut count = 0;
        for frame in self.steps(memory) {
            if let Some(Frame::Function { function, .. }) = frame? {
                let FunctionPlace::Called { code, callee } = function else { return None };
                let reader = Reader { reads_places: true, ..self.reader(memory) };
                let identity = reader.identity(code, callee)?;
                *work = work.checked_sub(identity.table_length())?;
                is_proven |= reader.is_proven_by(&identity)?;
            }
            *work = work.checked_sub(WORK_OF_FRAME)?;
            count += 1;
        }
        (count > 0).then_some(is_proven)
    }

    /// Whether it is still there, and known for certain.
    pub(super) fn is_in(&self, memory: GuestMemory<'_>) -> bool {
        self.is_proven && self.atoms.are_in(memory)
    }

    /// Whether its address is among what a frame holds.
    pub(super) fn is_held(&self, held: &[u32]) -> bool {
        held.contains(&self.runtime)
    }

    /// The address of the runtime.
    pub(super) fn runtime(&self) -> u32 {
        self.runtime
    }

    fn reader<'m>(&self, memory: GuestMemory<'m>) -> Reader<'m> {
        let Self { layout, runtime, atoms, is_proven, .. } = *self;
        Reader { memory, layout, runtime, atoms, reads_places: is_proven }
    }

    /// The frames of what runs, innermost first, each as a run of its own; `None` comes where the list cannot be followed any further.
    pub(super) fn frames<'m>(&self, memory: GuestMemory<'m>) -> impl Iterator<Item = Option<Frame>> + use<'m> {
        // Frames of the engine's own functions are not shown.
        self.steps(memory).filter_map(|step| step.map_or(Some(None), |frame| frame.map(Some)))
    }

    /// The same, with nothing for each frame of a function of the engine's own.
    fn steps<'m>(&self, memory: GuestMemory<'m>) -> impl Iterator<Item = Option<Option<Frame>>> + use<'m> {
        let reader = self.reader(memory);
        let mut next = memory.u32(self.innermost).map(Next::Frame);
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over || matches!(next, Some(Next::Frame(0))) {
                return None;
            }
            let found = next.and_then(|next| step(reader, next));
            is_over = found.is_none();
            next = found.map(|(_, next)| next);
            Some(found.map(|(frame, _)| frame))
        })
        .take(2 * MAX_FRAMES)
    }

    /// What of a function is in its objects themselves.
    #[inline]
    pub(super) fn identity(&self, memory: GuestMemory<'_>, place: FunctionPlace) -> Option<Identity> {
        match place {
            FunctionPlace::Called { code, callee } => self.reader(memory).identity(code, callee),
            FunctionPlace::Code(_) | FunctionPlace::Scheduler(_) => None,
        }
    }

    /// Where the instructions of a function are, and how many bytes they have.
    pub(super) fn instructions(&self, memory: GuestMemory<'_>, place: FunctionPlace) -> Option<(u32, u32)> {
        self.reader(memory).instructions(place.address())
    }

    /// What is known of a function. `None` if it is none, or cannot be read.
    pub(super) fn function<'m>(&self, memory: GuestMemory<'m>, identity: &Identity) -> Option<Function<'m>> {
        self.reader(memory).function(identity)
    }
}

/// What comes next.
#[derive(Clone, Copy)]
enum Next {
    /// A frame.
    Frame(u32),
    /// The end of the run that a frame was of.
    Run { at: u32 },
}

/// The next frame, unless nobody wants to see it, and what comes after.
fn step(reader: Reader<'_>, next: Next) -> Option<(Option<Frame>, Next)> {
    match next {
        Next::Run { at } => Some((Some(Frame::Run { at }), Next::Frame(reader.word(at, frame::PREVIOUS)?))),
        Next::Frame(at) => {
            let callee = at.checked_add(frame::FUNCTION)?;
            let (function, kind) = (reader.memory.u32(callee)?, reader.word(callee, 4)?);
            let is_function = at.is_multiple_of(4) && kind == tag::OBJECT && reader.is(layout::kind::OBJECT, function);
            is_function.then_some(())?;
            let Some(code) = reader.code_of(function) else {
                let class = reader.word(function, reader.layout.object.class & !3)? >> 16;
                let is_native = layout::NATIVE_CLASSES.iter().any(|native| u32::from(*native) == class);
                return is_native.then(|| Some((None, Next::Frame(reader.word(at, frame::PREVIOUS)?)))).flatten();
            };
            // What was there before is no instruction of this function.
            let instruction = reader.word(at, reader.layout.instruction)?;
            let (start, length) = reader.instructions(code)?;
            let is_inside = |at: &u32| at.checked_sub(start).is_some_and(|offset| offset < length);
            let instruction = instruction.checked_sub(1).filter(is_inside).unwrap_or(0);
            Some((
                Some(Frame::Function { function: FunctionPlace::Called { code, callee: function }, instruction }),
                Next::Run { at },
            ))
        }
    }
}
