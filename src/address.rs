//! The address spaces of a profile, one type each, so that a number never travels without its meaning.
//!
//! | type | counted from | used by |
//! | --- | --- | --- |
//! | [`TextOffset`] | the start of the compiled text section of one component or module | symbol map, profile |
//! | [`WasmOffset`] | the first byte of the WebAssembly binary given to the compiler | epoch samples, source lines |
//!
//! This file is the only one that converts between the two ([`InstructionRanges`]), and between the two readings of
//! a code address ([`CodePoint`]).

use std::fmt;

/// A byte offset into the text section of one compiled component or core module.
///
/// Text offsets do not depend on where the operating system placed the code, so they may be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextOffset(u32);

impl TextOffset {
    /// Wraps a byte offset counted from the start of the text section.
    #[must_use]
    pub const fn new(offset: u32) -> Self {
        Self(offset)
    }

    /// The offset in bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A byte offset into the WebAssembly binary that was compiled: the component's, or the core module's where there is
/// no component around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WasmOffset(u32);

impl WasmOffset {
    /// Wraps a byte offset counted from the first byte of the binary.
    #[must_use]
    pub const fn new(offset: u32) -> Self {
        Self(offset)
    }

    /// The offset in bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A place in compiled code, together with how it is to be read.
///
/// The leaf of a stack is an instruction pointer: the instruction that runs. Every caller is known by its return
/// address: the instruction *after* the call, which may already belong to another line, or even to another function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodePoint {
    /// The instruction that is executing.
    InstructionPointer(TextOffset),
    /// The instruction that will execute when the callee returns.
    ReturnAddress(TextOffset),
}

impl CodePoint {
    /// The offset to look up: that of the executing instruction, or of the last byte of the call.
    #[must_use]
    pub fn lookup_offset(self) -> TextOffset {
        match self {
            Self::InstructionPointer(offset) => offset,
            // The only place that steps back from a return address: one byte is enough to be inside the call.
            Self::ReturnAddress(offset) => TextOffset(offset.0.saturating_sub(1)),
        }
    }
}

/// Which text ranges were compiled from which WebAssembly instruction: Wasmtime's address map, read forwards.
///
/// Wasmtime gives a backtrace in WebAssembly offsets only. The text offset of such a frame is the first range inside
/// the frame's function that was compiled from that instruction: exact to the WebAssembly instruction, and one of its
/// machine instructions.
#[derive(Debug, Default)]
pub(crate) struct InstructionRanges {
    /// `(start of the range, instruction)` in text order; a range ends where the next begins.
    starts: Vec<(u32, Option<u32>)>,
}

impl InstructionRanges {
    /// Collects the pairs that `Component::address_map` and `Module::address_map` yield.
    pub(crate) fn collect(pairs: impl Iterator<Item = (usize, Option<u32>)>) -> Self {
        let starts = pairs.filter_map(|(text, wasm)| Some((u32::try_from(text).ok()?, wasm))).collect();
        Self { starts }
    }

    /// The text range inside `function` (start, length in bytes) that was compiled from `instruction`.
    pub(crate) fn range_of(
        &self,
        function: (TextOffset, u32),
        instruction: WasmOffset,
    ) -> Option<(TextOffset, TextOffset)> {
        let (start, end) = (function.0.0, function.0.0.saturating_add(function.1));
        let first = self.starts.partition_point(|(text, _)| *text < start);
        let inside = self.starts[first..].iter().take_while(|(text, _)| *text < end);
        let found = inside.enumerate().find(|(_, (_, wasm))| *wasm == Some(instruction.0));
        let (index, (range_start, _)) = found?;
        let next = self.starts.get(first + index + 1).map_or(end, |(text, _)| (*text).min(end));
        Some((TextOffset(*range_start), TextOffset(next)))
    }

    /// The parts of `function` (start, length in bytes), each with the instruction that it was compiled from, if that is known.
    pub(crate) fn ranges_in(
        &self,
        function: (TextOffset, u32),
    ) -> impl Iterator<Item = (TextOffset, Option<WasmOffset>)> + '_ {
        let (start, end) = (function.0.0, function.0.0.saturating_add(function.1));
        let first = self.starts.partition_point(|(text, _)| *text < start);
        let inside = self.starts[first..].iter().take_while(move |(text, _)| *text < end);
        inside.map(|(text, wasm)| (TextOffset(*text), wasm.map(WasmOffset)))
    }

    /// The instruction that the text at `offset` was compiled from.
    pub(crate) fn instruction_at(&self, offset: TextOffset) -> Option<WasmOffset> {
        let after = self.starts.partition_point(|(text, _)| *text <= offset.0);
        self.starts.get(after.checked_sub(1)?)?.1.map(WasmOffset)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_return_address_is_looked_up_inside_its_call() {
        let call = CodePoint::ReturnAddress(TextOffset::new(0x15));
        assert_eq!(call.lookup_offset(), TextOffset::new(0x14));
        let leaf = CodePoint::InstructionPointer(TextOffset::new(0x15));
        assert_eq!(leaf.lookup_offset(), TextOffset::new(0x15));
    }

    #[test]
    fn an_instruction_is_found_only_inside_its_own_function() {
        let map = InstructionRanges::collect(
            [(0, Some(100)), (8, None), (16, Some(100)), (20, Some(104)), (30, Some(108))].into_iter(),
        );
        let second = (TextOffset::new(16), 16);
        let range = |wasm| map.range_of(second, WasmOffset::new(wasm));
        assert_eq!(range(100), Some((TextOffset::new(16), TextOffset::new(20))));
        assert_eq!(range(108), Some((TextOffset::new(30), TextOffset::new(32))));
        assert_eq!(range(99), None);
        let instruction = |text| map.instruction_at(TextOffset::new(text)).map(WasmOffset::get);
        assert_eq!(
            [0, 7, 8, 19, 20, 99].map(instruction),
            [Some(100), Some(100), None, Some(100), Some(104), Some(108)]
        );
    }
}
