//! What compiled code of x86-64 tells of what it does: an evaluation loop has a jump table for its instructions, and what is needed
//! everywhere is loaded everywhere.

use std::ops::Range;

use rustc_hash::FxHashMap;

/// How many targets the largest jump table of a function has, as Cranelift writes them for x86-64: a jump to an address in a register,
/// and behind it, for each target, how far it is from there.
pub(super) fn largest_jump_table(code: &[u8]) -> usize {
    let tables = memchr::memchr_iter(JUMP, code).filter_map(|at| {
        let operand = *code.get(at + 1)?;
        (operand & !7 == TO_REGISTER).then(|| code.get(at + 2..)).flatten().map(|table| (at + 2, table))
    });
    let targets = tables.map(|(start, table)| {
        let (before, behind) = (-i64::try_from(start).unwrap_or(0), i64::try_from(table.len()).unwrap_or(0));
        let (targets, _) = table.as_chunks();
        let is_inside = |target: &&[u8; 4]| (before..behind).contains(&i64::from(i32::from_le_bytes(**target)));
        targets.iter().take_while(is_inside).count()
    });
    targets.max().unwrap_or(0)
}

/// Counts how often code loads a word of 32 bits from a fixed place in the memory of the guest, of those in a range: `mov` into a register,
/// with the place as a distance of four bytes.
pub(super) fn count_loads(code: &[u8], places: &Range<u32>, counts: &mut FxHashMap<u32, u32>) {
    for at in memchr::memchr_iter(LOAD, code) {
        let Some(operand) = code.get(at + 1).filter(|operand| **operand & FAR_MASK == FAR) else { continue };
        let distance = at + if operand & 7 == WITH_INDEX { 3 } else { 2 };
        let Some(place) = code.get(distance..).and_then(|rest| rest.first_chunk()) else { continue };
        let place = u32::from_le_bytes(*place);
        if places.contains(&place) {
            *counts.entry(place).or_default() += 1;
        }
    }
}

/// `mov`, and the form of what it loads from: a register and four bytes, and perhaps an index.
const LOAD: u8 = 0x8b;
const FAR_MASK: u8 = 0xc0;
const FAR: u8 = 0x80;
const WITH_INDEX: u8 = 4;

/// `jmp`, and with what it jumps to an address that is in a register.
const JUMP: u8 = 0xff;
const TO_REGISTER: u8 = 0xe0;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_are_counted_as_long_as_they_are_in_the_function() {
        let table = |targets: &[i32]| {
            let bytes = targets.iter().flat_map(|target| target.to_le_bytes());
            [0x90, 0x41, JUMP, TO_REGISTER | 3].into_iter().chain(bytes).collect::<Vec<u8>>()
        };
        assert_eq!(largest_jump_table(&table(&[8, -4, 19, 20, 0])), 3);
        assert_eq!(largest_jump_table(&table(&[7, -5])), 1);
        assert_eq!(largest_jump_table(&[table(&[8, 15]), table(&[i32::MAX])].concat()), 2);
        assert_eq!(largest_jump_table(&[JUMP, TO_REGISTER]), 0);
        assert_eq!(largest_jump_table(&[JUMP]), 0);
    }

    #[test]
    fn loads_from_fixed_places_are_counted() {
        // mov ecx, [rbx + 0x2485d4]; mov r9d, [r13 + rax + 0x2485d4]; mov eax, [rbx + 8]; mov eax, [rbx + 0x2485d8], cut.
        let code = [
            &[0x8b, 0x8b, 0xd4, 0x85, 0x24, 0][..],
            &[0x45, 0x8b, 0x8c, 0x05, 0xd4, 0x85, 0x24, 0],
            &[0x8b, 0x43, 8],
            &[0x8b, 0x83, 0xd8, 0x85, 0x24],
        ];
        let mut counts = FxHashMap::default();
        count_loads(&code.concat(), &(0x10_0000..0x30_0000), &mut counts);
        assert_eq!(counts.into_iter().collect::<Vec<_>>(), [(0x24_85d4, 2)]);
    }

    proptest! {
        #[test]
        fn any_bytes_are_code(code: Vec<u8>) {
            prop_assert!(largest_jump_table(&code) <= code.len() / 4);
            let mut counts = FxHashMap::default();
            count_loads(&code, &(0..u32::MAX), &mut counts);
            prop_assert!(counts.len() <= code.len());
        }
    }
}
