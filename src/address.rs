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
/// There is no third way in which a frame is known.
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
        let inside = self.starts_in(function);
        let index = inside.iter().position(|(_, wasm)| *wasm == Some(instruction.0))?;
        let end = function.0.0.saturating_add(function.1);
        let next = inside.get(index + 1).map_or(end, |(text, _)| *text);
        Some((TextOffset(inside[index].0), TextOffset(next)))
    }

    /// The parts of `function` (start, length in bytes), each with the instruction that it was compiled from.
    ///
    /// The compiler forgets that of what it has rewritten, of a third of all code of some loops. Such a part goes by the
    /// instruction before it, or where there is none, by the first of the function: what is next to each other in a
    /// function mostly is so in its source. (Debuggers read tables of lines in the same way.)
    pub(crate) fn ranges_in(&self, function: (TextOffset, u32)) -> impl Iterator<Item = (TextOffset, WasmOffset)> + '_ {
        let inside = self.starts_in(function);
        let mut last = inside.iter().find_map(|(_, wasm)| *wasm);
        inside.iter().filter_map(move |(text, wasm)| {
            last = wasm.or(last);
            Some((TextOffset(*text), WasmOffset(last?)))
        })
    }

    /// The instruction that the text of `function` (start, length in bytes) at `offset` was compiled from, as above.
    pub(crate) fn instruction_at(&self, function: (TextOffset, u32), offset: TextOffset) -> Option<WasmOffset> {
        let inside = self.starts_in(function);
        let after = inside.partition_point(|(text, _)| *text <= offset.0);
        let before = inside[..after].iter().rev().find_map(|(_, wasm)| *wasm);
        before.or_else(|| inside[after..].iter().find_map(|(_, wasm)| *wasm)).map(WasmOffset)
    }

    /// The instruction that the text of `function` (start, length in bytes) at `offset` is known to have been compiled from:
    /// nothing where the compiler forgot it.
    pub(crate) fn exact_instruction_at(&self, function: (TextOffset, u32), offset: TextOffset) -> Option<WasmOffset> {
        let inside = self.starts_in(function);
        let at = inside.partition_point(|(text, _)| *text <= offset.0).checked_sub(1)?;
        inside[at].1.map(WasmOffset)
    }

    fn starts_in(&self, function: (TextOffset, u32)) -> &[(u32, Option<u32>)] {
        let (start, end) = (function.0.0, function.0.0.saturating_add(function.1));
        let first = self.starts.partition_point(|(text, _)| *text < start);
        let after = self.starts.partition_point(|(text, _)| *text < end);
        &self.starts[first..after]
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
    }

    #[test]
    fn what_the_compiler_forgot_goes_by_what_is_before_it() {
        let map = InstructionRanges::collect(
            [(0, Some(100)), (16, None), (20, Some(104)), (24, None), (28, None), (30, Some(108)), (40, None)]
                .into_iter(),
        );
        let at = |function, text| map.instruction_at(function, TextOffset::new(text)).map(WasmOffset::get);
        let (second, last) = ((TextOffset::new(16), 16), (TextOffset::new(40), 9));
        assert_eq!([16, 19, 20, 24, 29, 30].map(|text| at(second, text)), [104, 104, 104, 104, 104, 108].map(Some));
        assert_eq!([at(last, 40), at(last, 45)], [None, None]);
        let exactly = |text| map.exact_instruction_at(second, TextOffset::new(text)).map(WasmOffset::get);
        assert_eq!([16, 20, 23, 24, 29, 30].map(exactly), [None, Some(104), Some(104), None, None, Some(108)]);
        let ranges: Vec<_> = map.ranges_in(second).map(|(text, wasm)| (text.get(), wasm.get())).collect();
        assert_eq!(ranges, [(16, 104), (20, 104), (24, 104), (28, 104), (30, 108)]);
        assert_eq!(map.ranges_in(last).count(), 0);
    }
}
