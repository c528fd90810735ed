//! Where the evaluation loops of interpreters are, and where each finds what it works on.

/// The evaluation loop of an interpreter: the function that runs scripts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Evaluator {
    /// Where its code is: offsets into the text section, or addresses.
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// From here on the instance is in its place.
    pub(crate) holds_from: u64,
    /// Where the address of the instance is kept, from the frame pointer.
    pub(crate) slot: i64,
    /// How far the stack pointer is below the frame pointer, where the frame is whole.
    pub(crate) frame: u64,
    /// The number of the component or module it belongs to.
    pub(crate) target: u32,
    /// The static index of its core module, and its index in that.
    pub(crate) function: (u32, u32),
    pub(crate) instance: InstanceLayout,
}

impl Evaluator {
    /// The same for code that is in memory.
    pub(crate) fn at(self, text: u64, target: u32) -> Self {
        let at = |offset: u64| text.saturating_add(offset);
        Self { start: at(self.start), end: at(self.end), holds_from: at(self.holds_from), target, ..self }
    }
}

/// Where an instance of Wasmtime's (`VMContext`) has what a reader of the interpreter needs: offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct InstanceLayout {
    /// A pointer to the definition of its memory: where that is, and after it how many bytes it has.
    pub(crate) memory: u32,
    /// The global with the address of the interpreter's state.
    pub(crate) state: u32,
    /// A pointer to the global that is to be added to it, where the module may be loaded anywhere.
    pub(crate) memory_base: Option<u32>,
}
