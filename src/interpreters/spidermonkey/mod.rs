//! SpiderMonkey as an interpreter, on 32-bit WebAssembly: the engine of StarlingMonkey, and so of components that componentize-js makes.
//!
//! It does not describe itself, so where it has what is known by version ([`Layout`]). What runs is a list of activations, innermost
//! first: one for each run of the evaluation loop, `js::Interpret`. Each has a list of frames.

mod engines;
mod known;
mod layout;
mod lines;
mod script;
#[cfg(test)]
mod tests;

pub(crate) use engines::{Engine, MARK};
pub(crate) use layout::Layout;
use layout::{activation, data, frame, saved, tag};
pub(super) use lines::position_of;
pub(super) use script::Identity;

use super::{Frame, Function, FunctionPlace, GuestMemory, InterpreterProblem, MAX_FRAMES};

/// In so many places the address of the context may be, where the engine is not known.
pub(crate) const CONTEXTS: usize = 4;

/// Whether a context of some layout may be at an address, given the words of a memory in which nothing runs.
pub(crate) fn may_be_context(at: u32, word: impl Fn(u32) -> Option<u32>) -> bool {
    let rests = |layout: &&Layout| at.checked_add(layout.activation).and_then(&word) == Some(0);
    at != 0 && at.is_multiple_of(8) && layout::ALL.iter().any(rests)
}

/// The kind of activation that a run of `js::Interpret` is.
const INTERPRETER: u8 = 0;

/// A SpiderMonkey in the memory of a guest.
#[derive(Clone, Debug)]
pub(crate) struct SpiderMonkey {
    layout: &'static Layout,
    /// Where the address of the context is.
    state: u32,
}

impl SpiderMonkey {
    /// The engine whose only `JSContext` is pointed to by what is at an address.
    pub(super) fn at(layout: &'static Layout, memory: GuestMemory<'_>, state: u32) -> Result<Self, InterpreterProblem> {
        let engine = Self { layout, state };
        engine.context(memory).ok_or(InterpreterProblem::Contradiction)?;
        Ok(engine)
    }

    /// The same of an engine that is not known, where the address of the context is in one of some places: if what runs can be read as a
    /// whole in some layout.
    pub(super) fn on_trial(memory: GuestMemory<'_>, states: [u32; CONTEXTS]) -> Result<Self, InterpreterProblem> {
        let states = states.into_iter().filter(|state| *state != 0);
        let engines = states.flat_map(|state| layout::ALL.map(|layout| Self { layout, state }));
        let mut engines =
            engines.filter(|engine| engine.context(memory).is_some_and(|context| engine.holds(memory, context)));
        engines.next().ok_or(InterpreterProblem::Engine)
    }

    /// Whether something runs, and everything about that can be read.
    fn holds(&self, memory: GuestMemory<'_>, context: u32) -> bool {
        let mut functions = 0;
        let can_be_read = self.frames(memory, context).all(|frame| match frame {
            Some(Frame::Function { function, .. }) => {
                functions += 1;
                let identity = self.identity(memory, function);
                identity.is_some_and(|identity| self.function(memory, &identity).is_some())
            }
            Some(Frame::Run { .. }) => true,
            None => false,
        });
        can_be_read && functions > 0
    }

    /// Whether it is still there.
    pub(super) fn is_in(&self, memory: GuestMemory<'_>) -> bool {
        self.context(memory).is_some()
    }

    /// The only `JSContext`.
    pub(super) fn context(&self, memory: GuestMemory<'_>) -> Option<u32> {
        memory.u32(self.state).filter(|context| *context != 0)
    }

    /// The frames of what runs in a context, innermost first; `None` comes where the list cannot be followed any further.
    pub(super) fn frames<'m>(
        &self,
        memory: GuestMemory<'m>,
        context: u32,
    ) -> impl Iterator<Item = Option<Frame>> + use<'m> {
        let reader = Frames { memory, layout: self.layout, context };
        let innermost = context.checked_add(self.layout.activation).and_then(|at| memory.u32(at));
        let mut next = innermost.map(|at| Next::Activation { at, inner: 0 });
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over || matches!(next, Some(Next::Activation { at: 0, .. })) {
                return None;
            }
            let found = next.and_then(|next| reader.step(next));
            is_over = found.is_none();
            next = found.map(|(_, next)| next);
            Some(found.map(|(frame, _)| frame))
        })
        .take(MAX_FRAMES)
    }

    /// What of a function is in its objects themselves.
    #[inline]
    pub(super) fn identity(&self, memory: GuestMemory<'_>, place: FunctionPlace) -> Option<Identity> {
        Identity::read(self.layout, memory, place)
    }

    /// What is known of a function. `None` if it is none, or cannot be read.
    pub(super) fn function<'m>(&self, memory: GuestMemory<'m>, identity: &Identity) -> Option<Function<'m>> {
        script::function(memory, identity)
    }
}

/// What comes next.
#[derive(Clone, Copy)]
enum Next {
    /// An activation, and where the one further in is.
    Activation { at: u32, inner: u32 },
    /// A frame, at an instruction, of an activation.
    Frame { at: u32, instruction: u32, activation: u32 },
    /// What has scheduled what an activation runs, if anything has, and how many more of that are believed.
    Scheduler { at: Option<u32>, most: u8, activation: u32 },
}

/// Follows activations and frames.
#[derive(Clone, Copy)]
struct Frames<'m> {
    memory: GuestMemory<'m>,
    layout: &'static Layout,
    context: u32,
}

impl Frames<'_> {
    fn word(self, at: u32, offset: u32) -> Option<u32> {
        self.memory.u32(at.checked_add(offset)?)
    }

    /// The next frame, and what comes after.
    fn step(self, next: Next) -> Option<(Frame, Next)> {
        match next {
            Next::Activation { at, inner } => {
                let is_interpreters = self.memory.u8(at.checked_add(activation::KIND)?)? == INTERPRETER;
                let is_here = self.word(at, activation::CONTEXT)? == self.context;
                // They are on the stack of the engine's own code.
                if at <= inner || !is_interpreters || !is_here {
                    return None;
                }
                let frame = self.word(at, activation::FRAME)?;
                let instruction = self.word(at, activation::INSTRUCTION)?;
                // One that is in the making has what was there before.
                let is_ready = self.is_on_the_one_before(at).unwrap_or(false);
                is_ready.then(|| self.frame(frame, instruction, at)).flatten().or(Some(Self::unknown(at)))
            }
            Next::Frame { at, instruction, activation } => {
                self.frame(at, instruction, activation).or(Some(Self::unknown(activation)))
            }
            Next::Scheduler { at, most, activation } => {
                if let Some((frame, parent)) = at.filter(|_| most > 0).and_then(|at| self.scheduler(at)) {
                    return Some((frame, Next::Scheduler { at: parent, most: most - 1, activation }));
                }
                let at = self.word(activation, activation::PREVIOUS)?;
                Some((Frame::Run { at: activation }, Next::Activation { at, inner: activation }))
            }
        }
    }

    /// What stands for frames of an activation that cannot be told.
    fn unknown(activation: u32) -> (Frame, Next) {
        let frame = Frame::Function { function: FunctionPlace::Code(0), instruction: 0 };
        (frame, Next::Scheduler { at: None, most: 0, activation })
    }

    fn frame(self, at: u32, instruction: u32, activation: u32) -> Option<(Frame, Next)> {
        let script = script::script(self.layout, self.memory, self.word(at, frame::SCRIPT)?)?;
        let previous = self.word(at, frame::PREVIOUS)?;
        let is_outermost = self.word(activation, activation::ENTRY)? == at;
        // The outermost frame of an activation has been called by none, and all others have.
        if is_outermost != (previous == 0) || self.word(at, frame::FLAGS)? & frame::NO_FLAGS != 0 {
            return None;
        }
        let is_function = self.word(script, layout::script::FLAGS)? & layout::script::IS_FUNCTION != 0;
        let callee = if is_function {
            let callee = self.word(at, frame::ARGUMENTS)?.checked_sub(16)?;
            let (callee, tag::OBJECT) = script::value(self.memory, callee, 0)? else { return None };
            script::resolve(self.memory, callee)?
        } else {
            0
        };
        let next = if is_outermost {
            let scheduler = self.word(activation, activation::SCHEDULER)?;
            let scheduler = (scheduler != 0).then_some(scheduler);
            Next::Scheduler { at: scheduler, most: saved::MANY, activation }
        } else {
            Next::Frame { at: previous, instruction: self.word(at, frame::PREVIOUS_INSTRUCTION)?, activation }
        };
        Some((Frame::Function { function: FunctionPlace::Called { code: script, callee }, instruction }, next))
    }

    /// A frame that was saved, and the one further out.
    fn scheduler(self, at: u32) -> Option<(Frame, Option<u32>)> {
        let at = script::resolve(self.memory, at)?;
        let parent = match script::value(self.memory, at, saved::PARENT)? {
            (parent, tag::OBJECT) => Some(parent),
            (_, tag::NULL) => None,
            _ => return None,
        };
        Some((Frame::Function { function: FunctionPlace::Scheduler(at), instruction: 0 }, parent))
    }

    /// Whether the outermost frame of an activation was put on top of the innermost one of the activation before, if there is one: else it
    /// is left over from another time.
    fn is_on_the_one_before(self, activation: u32) -> Option<bool> {
        let before = self.word(activation, activation::PREVIOUS)?;
        if before == 0 {
            return Some(true);
        }
        let below = self.word(before, activation::FRAME)?;
        let script = script::script(self.layout, self.memory, self.word(below, frame::SCRIPT)?)?;
        let slots = self.word(script::data_of(self.memory, script)?, data::SLOTS)?;
        let end = below.checked_add(frame::SIZE)?.checked_add(slots.checked_mul(8)?)?;
        let outermost = self.word(activation, activation::ENTRY)?;
        Some(frame::MARKS.into_iter().any(|mark| self.word(outermost, mark) == Some(end)))
    }
}
