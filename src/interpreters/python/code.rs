//! Code objects: what a function is called, and where its source is.

use super::super::GuestMemory;
use super::table::Offsets;

/// Characters of a name, and of the name of a file, at most: longer ones are cut.
const MAX_CHARACTERS: usize = 256;

/// The longest table of lines that is believed.
const MAX_LINES: usize = 1 << 20;

/// What is known of a code object.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Code<'m> {
    /// `Class.method`, `outer.<locals>.inner`.
    pub(crate) qualname: Text<'m>,
    pub(crate) filename: Text<'m>,
    pub(crate) first_line: u32,
    /// Which instruction is of which line, as [`line_of`](super::line_of) reads it.
    pub(crate) lines: &'m [u8],
    /// Address of the first instruction.
    pub(crate) instructions: u32,
}

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
        let name = Text::read(offsets, memory, qualname)?.bytes;
        Some(Self {
            address,
            object_type: word(offsets.object_type)?,
            qualname,
            filename: word(offsets.code_filename)?,
            lines,
            first_line: word(offsets.code_first_line)?,
            lines_length: memory.u32(lines.checked_add(offsets.bytes_size)?)?,
            name: (beginning(name), beginning(name.get(name.len().saturating_sub(8)..)?)),
        })
    }
}

impl<'m> Code<'m> {
    pub(super) fn read(offsets: &Offsets, memory: GuestMemory<'m>, identity: &Identity) -> Option<Self> {
        let table = identity.lines;
        let length = memory.u32(table.checked_add(offsets.bytes_size)?)? as usize;
        let lines = memory.bytes(table.checked_add(offsets.bytes_data)?, length).filter(|_| length <= MAX_LINES)?;
        Some(Self {
            qualname: Text::read(offsets, memory, identity.qualname)?,
            filename: Text::read(offsets, memory, identity.filename)?,
            first_line: identity.first_line,
            lines,
            instructions: identity.address.checked_add(offsets.code_instructions)?,
        })
    }
}

impl Code<'_> {
    /// Whether it is a function of the interpreter's own, which no program has: what runs between a class that is called and its
    /// `__init__`.
    pub(crate) fn is_internal(&self) -> bool {
        self.qualname.bytes == b"__init__" && self.filename.bytes == b"__init__"
    }

    /// A number that two functions have in common only if all that is known of them is the same. `seed` is what no program knows.
    ///
    /// Of a long table of lines, its beginning, its end, and some words between have a say: where they agree in those and in their
    /// lengths, functions that have the same name in the same line of the same file are the same.
    pub(crate) fn hash(&self, seed: u64) -> u64 {
        const WORDS: usize = 8;
        let length = |text: &Text<'_>| (text.bytes.len() as u64) << 8 | u64::from(text.width);
        let sizes = [length(&self.qualname), length(&self.filename), self.lines.len() as u64, self.first_line.into()];
        let (begin, rest) = self.lines.split_at(self.lines.len().min(8 * WORDS));
        let (middle, end) = rest.split_at(rest.len().saturating_sub(8 * WORDS));
        let some = middle.chunks(8).step_by((middle.len() / 8 / WORDS).max(1));
        let texts = [self.qualname.bytes, self.filename.bytes, begin, end];
        let words = texts.into_iter().flat_map(|bytes| bytes.chunks(8)).chain(some).map(beginning);
        // Both halves of a product, so that all bits of what came before have a say in all of what comes.
        let mix = |hash: u64, word: u64| {
            let product = u128::from(hash ^ word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let [low, high] = [0, 64].map(|by| u64::try_from(product >> by & u128::from(u64::MAX)).unwrap_or(0));
            // A product with zero is zero.
            (low ^ high).rotate_left(23).wrapping_add(seed | 1)
        };
        sizes.into_iter().chain(words).fold(seed, mix)
    }
}

/// The first eight bytes, or as many as there are.
#[inline]
fn beginning(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// Text as Python has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'m> {
    /// Bytes of a character: 1, 2 or 4.
    pub(crate) width: u8,
    pub(crate) bytes: &'m [u8],
}

impl<'m> Text<'m> {
    fn read(offsets: &Offsets, memory: GuestMemory<'m>, at: u32) -> Option<Self> {
        let word = |offset: u32| memory.u32(at.checked_add(offset)?);
        // From the lowest bit on: two of how it is interned, three of the width, whether the characters follow, whether they are ASCII.
        let state = word(offsets.text_state)?;
        let (width, is_compact, is_ascii) = (state >> 2 & 7, state >> 5 & 1 != 0, state >> 6 & 1 != 0);
        if !is_compact || !matches!(width, 1 | 2 | 4) {
            return None;
        }
        // Text that is not ASCII has its length and its place in UTF-8 before the characters: two words.
        let header = offsets.text_header.checked_add(if is_ascii { 0 } else { 8 })?;
        let characters = (word(offsets.text_length)? as usize).min(MAX_CHARACTERS);
        let bytes = memory.bytes(at.checked_add(header)?, characters * width as usize)?;
        Some(Self { width: u8::try_from(width).ok()?, bytes })
    }
}

impl std::fmt::Display for Text<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        use std::fmt::Write as _;
        for character in self.bytes.chunks_exact(usize::from(self.width.max(1))) {
            let code = character.iter().rev().fold(0, |code, byte| code << 8 | u32::from(*byte));
            f.write_char(char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER))?;
        }
        Ok(())
    }
}
