//! What interpreters know of the functions of scripts.

use super::lines::{LineFormat, SourcePosition};
use super::text::Text;

/// What is known of a function.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Function<'m> {
    /// As the language calls it: `Class.method`, `outer.<locals>.inner`; `method`, `outer/inner`.
    pub(crate) name: Text<'m>,
    pub(crate) file: Text<'m>,
    /// Where it begins.
    pub(crate) start: SourcePosition,
    pub(crate) lines: LineTable<'m>,
    /// Where the file says which source it was made from, and how many bytes that has.
    pub(crate) source_map: Option<(u32, u32)>,
    /// Address of the first instruction.
    pub(crate) instructions: u32,
    /// How many bytes of instructions there are, if that is known.
    pub(crate) length: Option<u32>,
    pub(crate) part_of: PartOf,
}

/// What a function is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum PartOf {
    /// A program, or a library in the same language.
    Program,
    /// The interpreter, of which a part is written in the language that it runs.
    Interpreter,
    /// The interpreter, in a way that nobody wants to see.
    Machinery,
}

/// Which instruction is of which line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct LineTable<'m> {
    pub(crate) format: LineFormat,
    pub(crate) bytes: &'m [u8],
}

impl Function<'_> {
    /// A number that two functions have in common only if all that is known of them is the same. `seed` is what no program knows.
    ///
    /// Of a long table of lines, its beginning, its end, and some words between have a say: where they agree in those and in their
    /// lengths, functions that have the same name in the same place of the same file are the same.
    pub(crate) fn hash(&self, seed: u64) -> u64 {
        const WORDS: usize = 8;
        let length = |text: &Text<'_>| (text.bytes.len() as u64) << 8 | text.encoding as u64;
        let place = u64::from(self.start.line) << 32 | u64::from(self.start.column);
        let sizes = [length(&self.name), length(&self.file), self.lines.bytes.len() as u64, place];
        let (begin, rest) = self.lines.bytes.split_at(self.lines.bytes.len().min(8 * WORDS));
        let (middle, end) = rest.split_at(rest.len().saturating_sub(8 * WORDS));
        let some = middle.chunks(8).step_by((middle.len() / 8 / WORDS).max(1));
        let texts = [self.name.bytes, self.file.bytes, begin, end];
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
pub(super) fn beginning(bytes: &[u8]) -> u64 {
    match bytes.first_chunk() {
        Some(bytes) => u64::from_le_bytes(*bytes),
        None => bytes.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    }
}

/// How a text begins, and how it ends: another object may have come to the same place, and its name, too.
#[inline]
pub(super) fn both_ends(bytes: &[u8]) -> (u64, u64) {
    (beginning(bytes), beginning(bytes.get(bytes.len().saturating_sub(8)..).unwrap_or_default()))
}
