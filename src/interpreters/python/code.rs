//! Code objects: what a function is called, and where its source is.

use super::super::GuestMemory;
use super::super::function::{Function, LineTable, PartOf, both_ends};
use super::super::lines::{LineFormat, SourcePosition};
use super::super::text::{Encoding, Text};
use super::table::Offsets;

/// Characters of a name, and of the name of a file, at most: longer ones are cut.
const MAX_CHARACTERS: usize = 256;

/// The longest table of lines that is believed.
const MAX_LINES: usize = 1 << 20;

/// What a code object has in itself. Two that differ in what they are called, or in where that is, differ in this.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    address: u32,
    pub(super) object_type: u32,
    qualname: u32,
    filename: u32,
    lines: u32,
    first_line: u32,
    /// How long the table of lines is.
    lines_length: u32,
    /// How the name begins, and how it ends: another object may have come to the same place, and its name, too.
    name: (u64, u64),
}

impl Identity {
    #[inline]
    pub(super) fn read(offsets: &Offsets, memory: GuestMemory<'_>, address: u32) -> Option<Self> {
        let word = |offset: u32| memory.u32(address.checked_add(offset)?);
        let (qualname, lines) = (word(offsets.code_qualname)?, word(offsets.code_linetable)?);
        let name = text(offsets, memory, qualname)?.bytes;
        Some(Self {
            address,
            object_type: word(offsets.object_type)?,
            qualname,
            filename: word(offsets.code_filename)?,
            lines,
            first_line: word(offsets.code_first_line)?,
            lines_length: memory.u32(lines.checked_add(offsets.bytes_size)?)?,
            name: both_ends(name),
        })
    }
}

/// What is known of the function of a code object.
pub(super) fn function<'m>(offsets: &Offsets, memory: GuestMemory<'m>, identity: &Identity) -> Option<Function<'m>> {
    let table = identity.lines;
    let length = memory.u32(table.checked_add(offsets.bytes_size)?)? as usize;
    let lines = memory.bytes(table.checked_add(offsets.bytes_data)?, length).filter(|_| length <= MAX_LINES)?;
    let (name, file) = (text(offsets, memory, identity.qualname)?, text(offsets, memory, identity.filename)?);
    Some(Function {
        name,
        file,
        start: SourcePosition { line: identity.first_line, column: 0 },
        source_map: None,
        lines: LineTable { format: LineFormat::Python, bytes: lines },
        instructions: identity.address.checked_add(offsets.code_instructions)?,
        length: None,
        // What runs between a class that is called and its `__init__`.
        part_of: match (name.bytes, file.bytes) {
            (b"__init__", b"__init__") => PartOf::Machinery,
            _ => PartOf::Program,
        },
    })
}

/// A string of Python's.
fn text<'m>(offsets: &Offsets, memory: GuestMemory<'m>, at: u32) -> Option<Text<'m>> {
    let word = |offset: u32| memory.u32(at.checked_add(offset)?);
    // From the lowest bit on: two of how it is interned, three of the width, whether the characters follow, whether they are ASCII.
    let state = word(offsets.text_state)?;
    let (width, is_compact, is_ascii) = (state >> 2 & 7, state >> 5 & 1 != 0, state >> 6 & 1 != 0);
    let encoding = match width {
        1 => Encoding::Latin1,
        2 => Encoding::Utf16,
        4 => Encoding::Utf32,
        _ => return None,
    };
    if !is_compact {
        return None;
    }
    // Text that is not ASCII has its length and its place in UTF-8 before the characters: two words.
    let header = offsets.text_header.checked_add(if is_ascii { 0 } else { 8 })?;
    let characters = (word(offsets.text_length)? as usize).min(MAX_CHARACTERS);
    let bytes = memory.bytes(at.checked_add(header)?, characters * encoding.width())?;
    Some(Text { encoding, bytes })
}
