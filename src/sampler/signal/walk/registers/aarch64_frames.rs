//! Where the innermost function has its frame on AArch64, told by its code. Tested on every processor.

/// Where the innermost function has its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum LeafFrame {
    /// Nowhere: the return address is in the link register, and the frame pointer is the caller's.
    None,
    /// The caller's frame pointer is on top of the stack, and the return address above it.
    Pushed,
    /// As usual, where the frame pointer points to.
    AtFramePointer,
}

/// `stp x29, x30, [sp, #-16]!`
const PUSH_FRAME: u32 = 0xa9bf_7bfd;
/// `mov x29, sp`
const SET_FRAME_POINTER: u32 = 0x9100_03fd;
const RET: u32 = 0xd65f_03c0;
/// `ldp x29, x30, [sp], #16`
const POP_FRAME: u32 = 0xa8c1_7bfd;
/// `add sp, sp, #n`, and the bits that are the same for every n.
const ADD_SP: u32 = 0x9100_03ff;
const ADD_SP_MASK: u32 = 0xff80_03ff;
/// `retaa`
const RET_SIGNED: u32 = 0xd65f_0bff;
/// `paciasp`, `pacibsp`, `paciaz`, `pacibz`, and what undoes them: beside the above where return addresses are signed.
const SIGN: [u32; 4] = [0xd503_233f, 0xd503_237f, 0xd503_231f, 0xd503_235f];
const AUTHENTICATE: [u32; 4] = [0xd503_23bf, 0xd503_23ff, 0xd503_239f, 0xd503_23df];
/// `bti c`, `bti j`, `bti jc`: may stand before all others.
const LANDING: [u32; 3] = [0xd503_245f, 0xd503_249f, 0xd503_24df];

/// `ldr x29, [sp, #n]`, and the bits that are the same for every n; `stp x29, x30, [sp]`: how a frame is moved to make
/// room for the stack arguments of a tail call.
const LOAD_FRAME_POINTER: u32 = 0xf940_03fd;
const LOAD_FRAME_POINTER_MASK: u32 = 0xffc0_03ff;
const STORE_FRAME: u32 = 0xa900_7bfd;

/// Tells by the machine code before and after the program counter where the frame is. The sequences are those of
/// cranelift-codegen 0.135 and of Winch.
pub(super) fn leaf_frame(before: &[u8; 32], after: &[u8; 16]) -> LeafFrame {
    let word = |bytes: &[u8], index: usize| match bytes.get(index * 4..index * 4 + 4) {
        Some([a, b, c, d]) => u32::from_le_bytes([*a, *b, *c, *d]),
        _ => 0,
    };
    let now = word(after, 0);
    let (one_before, two_before) = (word(before, 7), word(before, 6));
    if now == SET_FRAME_POINTER && one_before == PUSH_FRAME {
        return LeafFrame::Pushed;
    }
    // Before the frame is set up, and after it was taken down.
    let mut rest = (0..4).map(|index| word(after, index)).skip_while(|instruction| LANDING.contains(instruction));
    let is_outside = match rest.next() {
        Some(PUSH_FRAME | RET | RET_SIGNED) => true,
        Some(first) if SIGN.contains(&first) => rest.next() == Some(PUSH_FRAME),
        Some(first) => AUTHENTICATE.contains(&first),
        None => false,
    };
    let is_moving = now == STORE_FRAME && one_before & LOAD_FRAME_POINTER_MASK == LOAD_FRAME_POINTER
        || now == SET_FRAME_POINTER && one_before == STORE_FRAME;
    // A tail call takes the frame down, moves the stack pointer, authenticates, and jumps.
    let is_between = one_before & ADD_SP_MASK == ADD_SP || AUTHENTICATE.contains(&one_before);
    let is_taken_down = one_before == POP_FRAME || two_before == POP_FRAME && is_between;
    if is_outside || is_moving || is_taken_down { LeafFrame::None } else { LeafFrame::AtFramePointer }
}

#[cfg(test)]
mod tests {
    use super::LeafFrame::{AtFramePointer as Usual, None, Pushed};
    use super::*;

    const NOP: u32 = 0xd503_201f;
    const SUB_SP: u32 = 0xd100_83ff;
    const LOAD_PAIR: u32 = 0xa940_53f3;
    const BRANCH: u32 = 0x1400_0040;

    /// What is found at each instruction.
    fn frames(code: &[u32]) -> Vec<LeafFrame> {
        let at = |index: usize| index.checked_sub(8).and_then(|index| code.get(index)).unwrap_or(&NOP).to_le_bytes();
        let bytes: Vec<u8> = (0..code.len() + 16).flat_map(at).collect();
        let window = |start: usize| {
            leaf_frame(
                bytes[start..].first_chunk().expect("32 bytes"),
                bytes[start + 32..].first_chunk().expect("16 bytes"),
            )
        };
        (0..code.len()).map(|index| window(index * 4)).collect()
    }

    #[test]
    fn frames_are_known_while_they_are_built_and_taken_down() {
        assert_eq!(frames(&[PUSH_FRAME, SET_FRAME_POINTER, SUB_SP]), [None, Pushed, Usual]);
        assert_eq!(frames(&[LANDING[0], PUSH_FRAME, SET_FRAME_POINTER]), [None, None, Pushed]);
        assert_eq!(frames(&[SIGN[0], PUSH_FRAME, SET_FRAME_POINTER]), [None, None, Pushed]);
        assert_eq!(frames(&[LOAD_PAIR, POP_FRAME, RET]), [Usual, Usual, None]);
        assert_eq!(frames(&[LOAD_PAIR, POP_FRAME, AUTHENTICATE[0], RET]), [Usual, Usual, None, None]);
        assert_eq!(frames(&[LOAD_PAIR, POP_FRAME, RET_SIGNED]), [Usual, Usual, None]);
        // Tail calls, with and without a change of the stack pointer.
        assert_eq!(frames(&[LOAD_PAIR, POP_FRAME, BRANCH]), [Usual, Usual, None]);
        assert_eq!(frames(&[LOAD_PAIR, POP_FRAME, 0x9100_43ff, BRANCH]), [Usual, Usual, None, None]);
        // A frame that is moved for a tail call.
        let moved = [PUSH_FRAME, SET_FRAME_POINTER, SUB_SP, 0xf940_13fd, STORE_FRAME, SET_FRAME_POINTER, SUB_SP];
        assert_eq!(frames(&moved), [None, Pushed, Usual, Usual, None, None, Usual]);
        assert_eq!(frames(&[NOP, SUB_SP, LOAD_PAIR]), [Usual; 3]);
    }
}
