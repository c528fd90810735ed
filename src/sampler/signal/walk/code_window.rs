//! Machine code around an instruction.

use crate::code::CodeRange;

/// The machine code around an instruction.
pub(super) struct CodeWindow {
    /// What comes before it; the last byte is the one before the instruction.
    pub(super) before: [u8; 32],
    /// The instruction, and what follows.
    pub(super) after: [u8; 16],
}

impl CodeWindow {
    /// The bytes before and after `address`, which has to be inside `range`; zeros where the section ends.
    ///
    /// # Safety
    /// The memory of the range is readable, and nobody writes to it meanwhile.
    pub(super) unsafe fn at(range: &CodeRange, address: u64) -> Self {
        let (Some(begin), Some(end)) = (address.checked_sub(32), address.checked_add(16)) else {
            return Self { before: [0; 32], after: [0; 16] };
        };
        if begin >= range.start && end <= range.end {
            // SAFETY: both arrays are inside of the range, of which the caller promises what is needed.
            let (before, after) =
                unsafe { ((begin as *const [u8; 32]).read_unaligned(), (address as *const [u8; 16]).read_unaligned()) };
            return Self { before, after };
        }
        let mut window = Self { before: [0; 32], after: [0; 16] };
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_is_not_read_beyond_its_section() {
        let code: [u8; 12] = std::array::from_fn(|index| u8::try_from(index + 1).expect("small"));
        let start = code.as_ptr() as u64;
        let range = CodeRange { start, end: start + 12, target: 0 };
        // SAFETY: the range is the array.
        let window = unsafe { CodeWindow::at(&range, start + 2) };
        assert_eq!(window.before[28..], [0, 0, 1, 2]);
        assert_eq!(window.after, [3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 0, 0, 0, 0, 0, 0]);
    }
}
