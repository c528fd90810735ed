//! Where the evaluation loops of interpreters are, and where each finds what it works on.

use super::InterpreterKind;

/// The evaluation loop of an interpreter: the function that runs scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evaluator {
    /// Where its code is: offsets into the text section, or addresses.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// From here on the instance is in its place,
    pub(crate) holds_from: u64,
    /// but for what is executed before and lies behind.
    pub(crate) not_yet: [Option<(u64, u64)>; Self::MAX_LATE],
    /// Where the address of the instance is kept, from the frame pointer.
    pub(crate) slot: i64,
    /// How far the stack pointer is below the frame pointer, where the frame is whole.
    pub(crate) frame: u64,
    /// The number of the component or module it belongs to.
    pub(crate) target: u32,
    /// The static index of its core module, and its index in that.
    pub(crate) function: (u32, u32),
    pub(crate) instance: InstanceLayout,
    pub(crate) interpreter: InterpreterKind,
}

impl Evaluator {
    /// Pieces of code that are executed before the instance is in its place, and lie behind.
    pub(crate) const MAX_LATE: usize = 2;

    /// Whether the instance is in its place, should the frame be whole.
    pub(crate) fn holds_at(&self, pc: u64) -> bool {
        pc >= self.holds_from && !self.not_yet.iter().flatten().any(|(from, to)| (*from..*to).contains(&pc))
    }

    /// The same for code that is in memory.
    pub(crate) fn at(self, text: u64, target: u32) -> Self {
        let at = |offset: u64| text.saturating_add(offset);
        let not_yet = self.not_yet.map(|late| late.map(|(from, to)| (at(from), at(to))));
        let (start, end, holds_from) = (at(self.start), at(self.end), at(self.holds_from));
        Self { start, end, holds_from, not_yet, target, ..self }
    }
}

/// Where an instance of Wasmtime's (`VMContext`) has what a reader of the interpreter needs: offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstanceLayout {
    /// A pointer to the definition of its memory: where that is, and after it how many bytes it has.
    pub(crate) memory: u32,
    /// Where the interpreter has its state.
    pub(crate) state: StatePlace,
}

/// Where an interpreter has its state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum StatePlace {
    /// At an address that is in a global.
    Global {
        /// The global.
        at: u32,
        /// A pointer to the global that is to be added to it, where the module may be loaded anywhere.
        memory_base: Option<u32>,
    },
    /// Always at this address of the memory.
    Fixed(u32),
    /// Where frames of its evaluation loop say.
    InFrames,
}
