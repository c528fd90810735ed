//! What all interpreters have in common.

use either::Either::{Left, Right};

use super::python::{self, Python};
use super::quickjs::{self, QuickJs};
use super::spidermonkey::{self, SpiderMonkey};
use super::{Function, GuestMemory, InterpreterProblem, Language};

/// Frames that are looked at: Python gives up at a thousand, unless somebody asks for more; SpiderMonkey has room for no more than
/// this.
pub(crate) const MAX_FRAMES: usize = 1 << 13;

/// Which interpreter it is, as far as its code tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum InterpreterKind {
    /// CPython, which describes itself.
    Python,
    /// SpiderMonkey, and where it has what.
    SpiderMonkey(&'static spidermonkey::Layout),
    /// SpiderMonkey, of which only is known where the address of its context may be.
    UnknownSpiderMonkey([u32; spidermonkey::CONTEXTS]),
    /// QuickJS, which is found by what the frames of its evaluation loop hold.
    QuickJs,
}

impl InterpreterKind {
    pub(crate) fn language(self) -> Language {
        match self {
            Self::Python => Language::Python,
            Self::SpiderMonkey(_) | Self::UnknownSpiderMonkey(_) | Self::QuickJs => Language::JavaScript,
        }
    }
}

/// An interpreter in the memory of a guest.
#[derive(Clone, Debug)]
pub(crate) enum Interpreter {
    Python(Python),
    SpiderMonkey(SpiderMonkey),
    QuickJs(QuickJs),
}

/// A frame of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A function of the program, at an instruction.
    Function {
        function: FunctionPlace,
        /// Address of the instruction that executes, or that has called.
        instruction: u32,
    },
    /// What a run of the evaluation loop began with: frames after this one belong to the run before it.
    Run {
        /// Where it is. Where there are several threads, that is on the stack that the interpreter's own code has in the memory, so that
        /// outer runs are at higher addresses.
        at: u32,
    },
}

/// Where a function is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FunctionPlace {
    /// Its code.
    Code(u32),
    /// Its code, and what was called, which knows what it is called.
    Called { code: u32, callee: u32 },
    /// What is known of one that has scheduled what runs.
    Scheduler(u32),
}

impl FunctionPlace {
    /// The address of what tells it best from others.
    pub(crate) fn address(self) -> u32 {
        match self {
            Self::Code(code) | Self::Called { code, .. } => code,
            Self::Scheduler(at) => at,
        }
    }
}

/// What of a function is in its objects themselves. Two that differ in what they are called, or in where that is, differ in this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    Python(python::Identity),
    SpiderMonkey(spidermonkey::Identity),
    QuickJs(quickjs::Identity),
}

impl Interpreter {
    /// The interpreter that has its state at an address, and for which a frame of its evaluation loop works that holds these words.
    pub(crate) fn at(
        kind: InterpreterKind,
        memory: GuestMemory<'_>,
        state: u32,
        held: &[u32],
    ) -> Result<Self, InterpreterProblem> {
        match kind {
            InterpreterKind::Python => Python::at(memory, state).map(Self::Python),
            InterpreterKind::SpiderMonkey(layout) => SpiderMonkey::at(layout, memory, state).map(Self::SpiderMonkey),
            InterpreterKind::UnknownSpiderMonkey(states) => {
                SpiderMonkey::on_trial(memory, states).map(Self::SpiderMonkey)
            }
            InterpreterKind::QuickJs => QuickJs::of(memory, held).map(Self::QuickJs),
        }
    }

    /// Whether it is still there.
    pub(crate) fn is_in(&self, memory: GuestMemory<'_>) -> bool {
        match self {
            Self::Python(python) => python.is_in(memory),
            Self::SpiderMonkey(engine) => engine.is_in(memory),
            Self::QuickJs(engine) => engine.is_in(memory),
        }
    }

    /// Whether a frame of an evaluation loop that holds these words works for it, and not for another one in the same memory.
    pub(crate) fn is_held(&self, held: &[u32]) -> bool {
        match self {
            Self::Python(_) | Self::SpiderMonkey(_) => true,
            Self::QuickJs(engine) => engine.is_held(held),
        }
    }

    /// Whether the frame of a run holds where the run has its mark, and where the code of its function is.
    pub(crate) fn runs_hold_their_marks(&self) -> bool {
        matches!(self, Self::QuickJs(_))
    }

    /// All threads. Where there are several, all of them run on the same stack, one inside of the other.
    pub(crate) fn threads<'m>(&self, memory: GuestMemory<'m>) -> impl Iterator<Item = u32> + use<'m> {
        match self {
            Self::Python(python) => Left(python.threads(memory)),
            Self::SpiderMonkey(engine) => Right(engine.context(memory).into_iter()),
            Self::QuickJs(engine) => Right(Some(engine.runtime()).into_iter()),
        }
    }

    /// The frames of what runs on a thread, innermost first; `None` comes where the list cannot be followed any further.
    pub(crate) fn frames<'m>(
        &self,
        memory: GuestMemory<'m>,
        thread: u32,
    ) -> impl Iterator<Item = Option<Frame>> + use<'m, '_> {
        match self {
            Self::Python(python) => Left(python.frames(memory, thread)),
            Self::SpiderMonkey(engine) => Right(Left(engine.frames(memory, thread))),
            Self::QuickJs(engine) => Right(Right(engine.frames(memory))),
        }
    }

    /// Whether a frame is at its first instruction, and its run should have left a mark by then: it is not known to have called
    /// anything.
    pub(crate) fn has_just_begun(&self, frame: Frame) -> bool {
        match self {
            Self::Python(python) => python.has_just_begun(frame),
            // A run and its mark come at once.
            Self::SpiderMonkey(_) | Self::QuickJs(_) => false,
        }
    }

    /// Whether a run of the evaluation loop calls something before it leaves its mark.
    pub(crate) fn calls_before_it_marks(&self) -> bool {
        match self {
            Self::Python(_) => false,
            // It makes room for its first frame.
            Self::SpiderMonkey(_) => true,
            // What runs is a function of the engine's own.
            Self::QuickJs(_) => true,
        }
    }

    /// Changes when a function dies, so that until then each is what it was. `None` if nothing tells.
    pub(crate) fn generation(&self, memory: GuestMemory<'_>) -> Option<u64> {
        match self {
            Self::Python(python) => python.generation(memory),
            // Identities are enough.
            Self::SpiderMonkey(_) | Self::QuickJs(_) => Some(0),
        }
    }

    /// What of a function is in its objects themselves.
    #[inline]
    pub(crate) fn identity(&self, memory: GuestMemory<'_>, place: FunctionPlace) -> Option<Identity> {
        match self {
            Self::Python(python) => match place {
                FunctionPlace::Code(code) => python.identity(memory, code).map(Identity::Python),
                FunctionPlace::Called { .. } | FunctionPlace::Scheduler(_) => None,
            },
            Self::SpiderMonkey(engine) => engine.identity(memory, place).map(Identity::SpiderMonkey),
            Self::QuickJs(engine) => engine.identity(memory, place).map(Identity::QuickJs),
        }
    }

    /// Where the instructions of a function are, and how many bytes they have, if its frames do not tell which one executes.
    pub(crate) fn instructions(&self, memory: GuestMemory<'_>, place: FunctionPlace) -> Option<(u32, u32)> {
        match self {
            Self::Python(_) | Self::SpiderMonkey(_) => None,
            Self::QuickJs(engine) => engine.instructions(memory, place),
        }
    }

    /// What is known of a function. `None` if it is none, or cannot be read.
    pub(crate) fn function<'m>(&mut self, memory: GuestMemory<'m>, identity: &Identity) -> Option<Function<'m>> {
        match (self, identity) {
            (Self::Python(python), Identity::Python(identity)) => python.function(memory, identity),
            (Self::SpiderMonkey(engine), Identity::SpiderMonkey(identity)) => engine.function(memory, identity),
            (Self::QuickJs(engine), Identity::QuickJs(identity)) => engine.function(memory, identity),
            _ => None,
        }
    }
}
