//! Which instruction is of which line: source notes, as `frontend/SourceNotes.h` of SpiderMonkey describes them.

use super::super::lines::SourcePosition;

/// What a note says, beside how many bytes of instructions are between it and the one before.
mod kind {
    pub(super) const COLUMN_SPAN: u8 = 0;
    pub(super) const NEW_LINE: u8 = 1;
    pub(super) const NEW_LINE_COLUMN: u8 = 2;
    pub(super) const SET_LINE: u8 = 3;
    pub(super) const SET_LINE_COLUMN: u8 = 4;
}

/// The position of an instruction, given by how many bytes are before it, in a script that begins at `first`. `None` if the notes are
/// damaged.
pub(crate) fn position_of(notes: &[u8], first: SourcePosition, instruction: u32) -> Option<SourcePosition> {
    /// A note that only says that the next one is further away.
    const IS_FAR: u8 = 0x80;
    let mut notes = notes.iter().copied();
    let (mut at, mut passed) = (first, 0_u32);
    while let Some(note) = notes.next().filter(|note| *note != IS_FAR) {
        if note & IS_FAR != 0 {
            passed = passed.checked_add(u32::from(note & !IS_FAR))?;
        } else {
            passed = passed.checked_add(u32::from(note & 15))?;
        }
        if passed > instruction {
            break;
        }
        let mut operand = || operand(&mut notes);
        match note >> 4 {
            8.. => {}
            kind::COLUMN_SPAN => at.column = at.column.checked_add_signed(span(operand()?))?,
            kind::NEW_LINE => at = SourcePosition { line: at.line.checked_add(1)?, column: 1 },
            kind::NEW_LINE_COLUMN => at = SourcePosition { line: at.line.checked_add(1)?, column: operand()? },
            kind::SET_LINE => at = SourcePosition { line: first.line.checked_add(operand()?)?, column: 1 },
            kind::SET_LINE_COLUMN => {
                at = SourcePosition { line: first.line.checked_add(operand()?)?, column: operand()? };
            }
            // Where one may stop, and the like.
            _ => {}
        }
    }
    Some(at)
}

/// A byte, or four with the highest bit set, the highest byte first.
fn operand(notes: &mut impl Iterator<Item = u8>) -> Option<u32> {
    let first = notes.next()?;
    if first & 0x80 == 0 {
        return Some(first.into());
    }
    (0..3).try_fold(u32::from(first & 0x7f), |number, _| Some(number << 8 | u32::from(notes.next()?)))
}

/// A number of 31 bits with a sign.
fn span(operand: u32) -> i32 {
    (operand << 1).cast_signed() >> 1
}
