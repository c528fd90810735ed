//! Which instruction is of which line: `co_linetable`, as `Objects/locations.md` of CPython describes it.

/// The line of an instruction, given by how many units of two bytes are before it; `None` if it has none, or the table ends before.
pub(crate) fn line_of(table: &[u8], first_line: u32, instruction: u32) -> Option<u32> {
    let mut bytes = table.iter().copied();
    let (mut line, mut passed) = (i64::from(first_line), 0_u32);
    while let Some(head) = bytes.next() {
        let length = u32::from(head & 7) + 1;
        let has_line = match head >> 3 & 15 {
            // A column that is close by; the line is the same.
            0..=9 => bytes.next().is_some(),
            // One of the next lines, and columns.
            forward @ 10..=12 => {
                line = line.checked_add(i64::from(forward) - 10)?;
                bytes.nth(1).is_some()
            }
            13 => {
                line = line.checked_add(signed(&mut bytes)?)?;
                true
            }
            // Line, last line, and columns.
            14 => {
                line = line.checked_add(signed(&mut bytes)?)?;
                (0..3).try_for_each(|_| unsigned(&mut bytes).map(drop))?;
                true
            }
            _ => false,
        };
        passed = passed.saturating_add(length);
        if instruction < passed {
            return u32::try_from(line).ok().filter(|_| has_line);
        }
    }
    None
}

/// Six bits in each byte, the lowest first; another byte follows where bit 6 is set.
fn unsigned(bytes: &mut impl Iterator<Item = u8>) -> Option<u64> {
    let mut value = 0;
    for shift in (0..).step_by(6).take_while(|shift| *shift < 60) {
        let byte = bytes.next()?;
        value |= u64::from(byte & 63) << shift;
        if byte & 64 == 0 {
            return Some(value);
        }
    }
    None
}

/// The sign is the lowest bit.
fn signed(bytes: &mut impl Iterator<Item = u8>) -> Option<i64> {
    let value = unsigned(bytes)?;
    let size = i64::try_from(value >> 1).ok()?;
    Some(if value & 1 == 0 { size } else { -size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn every_form_of_an_entry_is_read() {
        // Two units of the first line by columns, one of the next line, three of no line, one 30 lines further, one 5 lines back.
        let table = [
            0x80 | 2 << 3 | 1,
            0x21, //
            0x80 | 11 << 3,
            4,
            9,                  //
            0x80 | 15 << 3 | 2, //
            0x80 | 13 << 3,
            60, //
            0x80 | 14 << 3,
            11,
            0,
            1,
            2,
        ];
        let lines: Vec<_> = (0..9).map(|instruction| line_of(&table, 100, instruction)).collect();
        let expected = [Some(100), Some(100), Some(101), None, None, None, Some(131), Some(126), None];
        assert_eq!(lines, expected);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_table(table: Vec<u8>, first: u32, instruction: u32) {
            let _ = line_of(&table, first, instruction);
        }
    }
}
