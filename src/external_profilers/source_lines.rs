//! The lines of source code of whole functions.

use std::borrow::Cow;

use crate::address::{InstructionRanges, TextOffset};
use crate::component::Code;
use crate::debug_info::AllLines;
use crate::symbols::{Function, Layer, SymbolMap};

/// What is known of the lines of some code.
pub(super) struct SourceLines<'a>(Option<(AllLines<'a>, InstructionRanges)>);

/// A file and a line.
pub(super) type FileLine<'l> = (Cow<'l, str>, u32);

impl<'a> SourceLines<'a> {
    /// The lines of `code`, of which `map` is the map. Reading the address map takes time, so it is left alone where no line
    /// is known.
    pub(super) fn open(map: &'a SymbolMap, code: &'a Code) -> Self {
        let debug_info = map.debug_info().and_then(Result::ok);
        Self(debug_info.and_then(|debug_info| Some((debug_info.all_lines(code), code.instruction_ranges()?))))
    }

    /// From where on a function is of which line, if that is known; nothing if no line of the code is.
    pub(super) fn of(&self, function: Function<'_>) -> impl Iterator<Item = (TextOffset, Option<FileLine<'_>>)> {
        // Instructions of adapters are counted in other bytes than those that the lines are of.
        let known = self.0.as_ref().filter(|_| function.layer() == Layer::Guest);
        let place = (function.offset(), function.size());
        known.into_iter().flat_map(move |(lines, instructions)| {
            instructions.ranges_in(place).map(|(at, instruction)| (at, lines.at(instruction)))
        })
    }
}
