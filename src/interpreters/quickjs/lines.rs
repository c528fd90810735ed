//! Which instruction is of which line: the table `pc2line` of QuickJS.

use super::super::lines::SourcePosition;

/// What is added to a line in one byte: from here on, so many.
const BASE: i32 = -1;
const RANGE: u8 = 5;

/// The position of an instruction, given by how many bytes are before it, in a function that begins at `first`. `None` if the table is
/// damaged.
pub(crate) fn position_of(
    table: &[u8],
    has_columns: bool,
    first: SourcePosition,
    instruction: u32,
) -> Option<SourcePosition> {
    let mut at = first;
    for entry in entries(table, has_columns, first) {
        let (from, position) = entry?;
        if from > instruction {
            break;
        }
        at = position;
    }
    Some(at)
}

/// Whether a table says where each of so many bytes of instructions is, and nothing of what is behind.
pub(super) fn is_whole(table: &[u8], has_columns: bool, first: SourcePosition, length: u32) -> bool {
    entries(table, has_columns, first).all(|entry| entry.is_some_and(|(from, _)| from <= length))
}

/// From which instruction on which position is that of all; `None` comes where the table is damaged.
fn entries(
    table: &[u8],
    has_columns: bool,
    first: SourcePosition,
) -> impl Iterator<Item = Option<(u32, SourcePosition)>> {
    let mut bytes = Bytes(table);
    let (mut at, mut passed) = (first, 0_u32);
    let mut next = move || {
        let (instructions, lines) = match bytes.byte()?.checked_sub(1) {
            None => (bytes.number()?, bytes.signed()?),
            Some(both) => (u32::from(both / RANGE), i32::from(both % RANGE) + BASE),
        };
        passed = passed.checked_add(instructions)?;
        let columns = if has_columns { bytes.signed()? } else { 0 };
        // What is where the instructions before are has no entry of its own.
        ((lines, columns) != (0, 0)).then_some(())?;
        at.line = at.line.checked_add_signed(lines)?;
        at.column = at.column.checked_add_signed(columns)?;
        Some((passed, at, bytes.0.is_empty()))
    };
    let mut is_over = table.is_empty();
    std::iter::from_fn(move || {
        if is_over {
            return None;
        }
        let entry = next();
        is_over = entry.is_none_or(|(.., is_last)| is_last);
        Some(entry.map(|(passed, at, _)| (passed, at)))
    })
}

/// What is left of a table.
pub(super) struct Bytes<'t>(pub(super) &'t [u8]);

impl Bytes<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Seven bits in each byte, the lowest first, as long as the highest bit is set.
    pub(super) fn number(&mut self) -> Option<u32> {
        let mut number = 0;
        for shift in (0..32).step_by(7) {
            let byte = self.byte()?;
            number |= u32::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    /// The same with the sign in the lowest bit.
    fn signed(&mut self) -> Option<i32> {
        let number = self.number()?;
        Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed())
    }
}
