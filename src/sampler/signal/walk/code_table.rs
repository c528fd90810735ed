//! Where registered code lies in memory.

use std::ops::Range;

/// A text section in memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CodeRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// Which component or module it belongs to.
    pub(crate) target: u32,
}

impl CodeRange {
    #[inline]
    pub(crate) fn contains(&self, address: u64) -> bool {
        address >= self.start && address < self.end
    }

    /// Offset of `address`, which has to be inside or at the end. A text section is smaller than 4 GiB.
    #[inline]
    pub(crate) fn offset(&self, address: u64) -> u32 {
        u32::try_from(address - self.start).unwrap_or(u32::MAX)
    }
}

/// The text sections of registered code, sorted. Private and immutable, because Wasmtime's own registry takes locks,
/// which a signal handler must not.
#[derive(Debug, Default)]
pub(crate) struct CodeTable {
    ranges: Box<[CodeRange]>,
}

impl CodeTable {
    /// # Safety
    /// Each range is readable memory, which is never written to, for as long as the table exists.
    pub(crate) unsafe fn new(ranges: impl IntoIterator<Item = (Range<u64>, u32)>) -> Self {
        let ranges = ranges.into_iter().map(|(range, target)| CodeRange { start: range.start, end: range.end, target });
        let mut ranges: Box<[CodeRange]> = ranges.filter(|range| range.start < range.end).collect();
        ranges.sort_by_key(|range| range.start);
        Self { ranges }
    }

    /// The section that contains `address`. Sections do not overlap, but one may be registered twice.
    #[inline]
    pub(crate) fn find(&self, address: u64) -> Option<&CodeRange> {
        let after = self.ranges.partition_point(|range| range.start <= address);
        let range = self.ranges.get(after.checked_sub(1)?)?;
        range.contains(address).then_some(range)
    }

    /// The bytes before and after `address`, which has to be inside `range`; zeros where the section ends.
    pub(super) fn window(range: &CodeRange, address: u64) -> CodeWindow {
        let (Some(begin), Some(end)) = (address.checked_sub(32), address.checked_add(16)) else {
            return CodeWindow { before: [0; 32], after: [0; 16] };
        };
        if begin >= range.start && end <= range.end {
            // SAFETY: `new` was promised that the memory of each range is readable and does not change, and both arrays
            // are inside of the range.
            let (before, after) =
                unsafe { ((begin as *const [u8; 32]).read_unaligned(), (address as *const [u8; 16]).read_unaligned()) };
            return CodeWindow { before, after };
        }
        let mut window = CodeWindow { before: [0; 32], after: [0; 16] };
        let byte = |at: u64| -> u8 {
            // SAFETY: as above, and `at` is inside of the range: both uses below check.
            unsafe { (at as *const u8).read() }
        };
        for (slot, back) in window.before.iter_mut().rev().zip(1..) {
            let at = address.wrapping_sub(back);
            if !range.contains(at) {
                break;
            }
            *slot = byte(at);
        }
        for (slot, forth) in window.after.iter_mut().zip(0..) {
            let at = address.wrapping_add(forth);
            if !range.contains(at) {
                break;
            }
            *slot = byte(at);
        }
        window
    }
}

/// The machine code around an instruction.
pub(super) struct CodeWindow {
    /// What comes before it; the last byte is the one before the instruction.
    pub(super) before: [u8; 32],
    /// The instruction, and what follows.
    pub(super) after: [u8; 16],
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_belong_to_the_section_around_them() {
        // SAFETY: nothing reads the bytes of these ranges.
        let table = unsafe { CodeTable::new([(0x5000..0x6000, 1), (0x1000..0x2000, 0), (0x7000..0x7000, 2)]) };
        let target = |address| table.find(address).map(|range| range.target);
        assert_eq!(
            [0xfff, 0x1000, 0x1fff, 0x2000, 0x5abc, 0x7000].map(target),
            [None, Some(0), Some(0), None, Some(1), None]
        );
    }

    #[test]
    fn code_is_not_read_beyond_its_section() {
        let code: [u8; 12] = std::array::from_fn(|index| u8::try_from(index + 1).expect("small"));
        let start = code.as_ptr() as u64;
        // SAFETY: the range is the array, which outlives the table.
        let table = unsafe { CodeTable::new([(start..start + 12, 0)]) };
        let window = CodeTable::window(table.find(start + 2).expect("inside"), start + 2);
        assert_eq!(window.before[28..], [0, 0, 1, 2]);
        assert_eq!(window.after, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0, 0, 0]);
    }
}
