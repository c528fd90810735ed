//! Registers and frames on x86-64.

use super::{CodeRange, CodeWindow, Registers, StackMemory, StackSwitch, caller_of};

impl Registers {
    /// The registers that a signal interrupted.
    pub(crate) fn interrupted(context: &libc::ucontext_t) -> Self {
        let register = |index: libc::c_int| {
            let value = usize::try_from(index).ok().and_then(|index| context.uc_mcontext.gregs.get(index));
            value.map_or(0, |value| value.cast_unsigned())
        };
        Self { pc: register(libc::REG_RIP), sp: register(libc::REG_RSP), fp: register(libc::REG_RBP), lr: 0 }
    }

    /// The registers of the caller of this function, which is inlined.
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let (pc, sp, fp): (u64, u64, u64);
        // SAFETY: reads registers, and changes nothing but the outputs.
        unsafe {
            std::arch::asm!(
                "lea {pc}, [rip]",
                "mov {sp}, rsp",
                "mov {fp}, rbp",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { pc, sp, fp, lr: 0 }
    }
}

/// Where the innermost function has its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum LeafFrame {
    /// Nowhere: the return address is on top of the stack, and the frame pointer is the caller's.
    None,
    /// The caller's frame pointer is on top of the stack, and the return address above it.
    Pushed,
    /// As usual, where the frame pointer points to.
    AtFramePointer,
    /// So many bytes above where the frame pointer points to: the frame is being moved to make room for the stack
    /// arguments of a tail call.
    Above(u64),
    /// The same, but the caller's frame pointer has been moved already.
    HalfAbove(u64),
}

/// The caller of the innermost frame, which may be in its prologue or epilogue.
///
/// # Safety
/// The code of `range` is readable, and nobody writes to it meanwhile.
pub(crate) unsafe fn caller_of_leaf(at: Registers, range: &CodeRange, memory: &mut StackMemory) -> Option<Registers> {
    // SAFETY: as the caller promises.
    let code = unsafe { CodeWindow::at(range, at.pc) };
    let mut frame = |fp: u64, pc: u64| Some((memory.read(fp)?, memory.read(pc)?));
    let above = |bytes| at.fp.wrapping_add(bytes);
    let ((fp, pc), sp) = match leaf_frame(&code.before, &code.after) {
        LeafFrame::AtFramePointer => return caller_of(at, |address| memory.read_pair(address)),
        LeafFrame::None => ((at.fp, memory.read(at.sp)?), at.sp.wrapping_add(8)),
        LeafFrame::Pushed => (frame(at.sp, at.sp.wrapping_add(8))?, at.sp.wrapping_add(16)),
        LeafFrame::Above(bytes) => (frame(above(bytes), above(bytes + 8))?, above(bytes + 16)),
        LeafFrame::HalfAbove(bytes) => (frame(at.fp, above(bytes + 8))?, above(bytes + 16)),
    };
    Some(Registers { pc, sp, fp, lr: 0 })
}

/// Tells by the machine code before and after the program counter where the frame is. The sequences are those of
/// `gen_prologue_frame_setup`, `gen_epilogue_frame_restore` and the tail calls of cranelift-codegen 0.135, and of
/// Winch's `prologue` and `epilogue`.
fn leaf_frame(before: &[u8; 32], after: &[u8; 16]) -> LeafFrame {
    if let Some(moving) = moving_frame(before, after) {
        return moving;
    }
    match (before, after) {
        // Prologue: at `push rbp`, and at the `mov rbp, rsp` behind it.
        (_, [0x55, ..]) => LeafFrame::None,
        ([.., 0x55], [0x48, 0x89, 0xe5, ..]) => LeafFrame::Pushed,
        // Epilogue: at `ret`, and after `mov rsp, rbp; pop rbp`.
        (_, [0xc3 | 0xc2, ..]) | ([.., 0x48, 0x89, 0xec, 0x5d], _) => LeafFrame::None,
        _ if is_in_tail_call(before, after) => LeafFrame::None,
        _ => LeafFrame::AtFramePointer,
    }
}

/// Whether a tail call with fewer stack arguments than its function was given moves its return address up, after it has
/// taken down its frame: `mov rsp, rbp; pop rbp; mov r, [rsp]; mov [rsp + n], r; add rsp, n`, then the jump.
///
/// All of it has to be there. Its end alone, `add rsp, n; jmp`, is also how Winch leaves a block with values on the stack,
/// and the pair of moves before it is how it hands on the results of one; its epilogue has no `mov rsp, rbp`.
fn is_in_tail_call(before: &[u8; 32], after: &[u8; 16]) -> bool {
    /// Up to `mov r, [rsp]`.
    fn is_frame_gone(code: &[u8]) -> bool {
        matches!(code, [.., 0x48, 0x89, 0xec, 0x5d, 0x48 | 0x4c, 0x8b, _, 0x24])
    }
    /// Up to the store, with n in one byte.
    fn is_moved(code: &[u8], n: u8) -> bool {
        matches!(code, [code @ .., _, 0x89, _, 0x24, by] if *by == n && is_frame_gone(code))
    }
    /// The same with n in four bytes.
    fn is_moved_far(code: &[u8], n: [u8; 4]) -> bool {
        matches!(code, [code @ .., _, 0x89, _, 0x24, a, b, c, d] if [*a, *b, *c, *d] == n && is_frame_gone(code))
    }
    // At the store.
    if is_frame_gone(before) && matches!(after, [0x48 | 0x4c, 0x89, _, 0x24, ..]) {
        return true;
    }
    // At the addition, and behind it.
    match (before, after) {
        (_, [0x48, 0x83, 0xc4, n, ..]) if is_moved(before, *n) => true,
        (_, [0x48, 0x81, 0xc4, a, b, c, d, ..]) if is_moved_far(before, [*a, *b, *c, *d]) => true,
        ([code @ .., 0x48, 0x83, 0xc4, n], _) if is_moved(code, *n) => true,
        ([code @ .., 0x48, 0x81, 0xc4, a, b, c, d], _) => is_moved_far(code, [*a, *b, *c, *d]),
        _ => false,
    }
}

/// The rest of the prologue of a function that needs more stack arguments for a tail call than it was given:
/// `sub rsp, n; mov rbp, rsp`, then copies of both words of the frame by way of r11: `mov r11, [rsp + n]`,
/// `mov [rsp], r11`, `mov r11, [rsp + n + 8]`, `mov [rsp + 8], r11`.
fn moving_frame(before: &[u8; 32], after: &[u8; 16]) -> Option<LeafFrame> {
    // All but the first load or store r11, relative to rsp.
    let [0x4c, 0x8b | 0x89, 0x1c | 0x5c | 0x9c, 0x24, ..] = after else { return None };
    let mut code = [0; 48];
    code[..32].copy_from_slice(before);
    code[32..].copy_from_slice(after);
    // With displacements of one byte or four.
    for load in [5, 8] {
        for (distance, is_half_done) in [(3, false), (3 + load, false), (7 + load, true), (7 + 2 * load, true)] {
            let bytes = match code.get(32 - distance..) {
                Some([0x48, 0x89, 0xe5, 0x4c, 0x8b, 0x5c, 0x24, byte, ..]) if load == 5 => u64::from(*byte),
                Some([0x48, 0x89, 0xe5, 0x4c, 0x8b, 0x9c, 0x24, a, b, c, d, ..]) if load == 8 => {
                    u64::from(u32::from_le_bytes([*a, *b, *c, *d]))
                }
                _ => continue,
            };
            let makes_room = matches!(code[..32 - distance], [.., 0x48, 0x83, 0xec, _])
                || matches!(code[..32 - distance], [.., 0x48, 0x81, 0xec, _, _, _, _]);
            if makes_room {
                return Some(if is_half_done { LeafFrame::HalfAbove(bytes) } else { LeafFrame::Above(bytes) });
            }
        }
    }
    None
}

/// There is nothing to strip from a code address.
pub(crate) fn strip(address: u64) -> u64 {
    address
}

pub(crate) fn framehop_registers(at: Registers) -> framehop::UnwindRegsNative {
    framehop::UnwindRegsNative::new(at.pc, at.sp, at.fp)
}

pub(crate) fn from_framehop(pc: u64, registers: &framehop::UnwindRegsNative) -> Registers {
    Registers { pc, sp: registers.sp(), fp: registers.bp(), lr: 0 }
}

/// Fibers on `x86_64`.
pub(crate) struct Native;

impl StackSwitch for Native {
    fn is_fiber_entry(code: &[u8; 8]) -> bool {
        // mov rdi, rax; call r13; ud2
        *code == [0x48, 0x89, 0xc7, 0x41, 0xff, 0xd5, 0x0f, 0x0b]
    }

    fn resumer(saved: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Registers> {
        // The switch pushed rbp, rbx and r12 to r15.
        let (fp, pc) = (read(saved.wrapping_add(0x28))?, read(saved.wrapping_add(0x30))?);
        Some(Registers { pc, sp: saved.wrapping_add(0x38), fp, lr: 0 })
    }

    fn is_signal_return(code: &[u8; 8]) -> bool {
        // mov rax, 15; syscall (glibc), or with mov eax (musl)
        matches!(code, [0x48, 0xc7, 0xc0, 0x0f, 0, 0, 0, 0x0f] | [0xb8, 0x0f, 0, 0, 0, 0x0f, 0x05, _])
    }

    fn interrupted(sp: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Registers> {
        // A `ucontext_t`: 40 bytes, then the registers in an order of the kernel's.
        const REGISTERS: u64 = 40;
        const RBP: u64 = 10;
        const RSP: u64 = 15;
        const RIP: u64 = 16;
        let mut register = |index| read(sp.wrapping_add(REGISTERS + 8 * index));
        Some(Registers { pc: register(RIP)?, sp: register(RSP)?, fp: register(RBP)?, lr: 0 })
    }

    fn first_stack_pointer(_: u64) -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is found at each instruction of `code`, which is given instruction by instruction.
    fn frames(code: &[&[u8]]) -> Vec<LeafFrame> {
        let flat: Vec<u8> = code.concat();
        let starts = code.iter().scan(0, |end, instruction| {
            *end += instruction.len();
            Some(*end - instruction.len())
        });
        let byte = |at: usize| flat.get(at).copied().unwrap_or(0x90);
        starts
            .map(|start| {
                let before = std::array::from_fn(|index| (start + index).checked_sub(32).map_or(0x90, byte));
                leaf_frame(&before, &std::array::from_fn(|index| byte(start + index)))
            })
            .collect()
    }

    #[test]
    fn frames_are_known_while_they_are_built_and_taken_down() {
        use LeafFrame::{Above, AtFramePointer as Usual, HalfAbove, None, Pushed};
        let prologue: [&[u8]; 3] = [&[0x55], &[0x48, 0x89, 0xe5], &[0x48, 0x83, 0xec, 0x20]];
        assert_eq!(frames(&prologue), [None, Pushed, Usual]);
        let epilogue: [&[u8]; 4] = [&[0x48, 0x83, 0xc4, 0x20], &[0x48, 0x89, 0xec], &[0x5d], &[0xc3]];
        assert_eq!(frames(&epilogue), [Usual, Usual, Usual, None]);
        let winch: [&[u8]; 3] = [&[0x48, 0x83, 0xc4, 0x20], &[0x5d], &[0xc3]];
        assert_eq!(frames(&winch), [Usual, Usual, None]);
        // push rbp; mov rbp, rsp; sub rsp, 64; mov rbp, rsp; then both words are moved.
        let short: [&[u8]; 9] = [
            &[0x55],
            &[0x48, 0x89, 0xe5],
            &[0x48, 0x83, 0xec, 0x40],
            &[0x48, 0x89, 0xe5],
            &[0x4c, 0x8b, 0x5c, 0x24, 0x40],
            &[0x4c, 0x89, 0x1c, 0x24],
            &[0x4c, 0x8b, 0x5c, 0x24, 0x48],
            &[0x4c, 0x89, 0x5c, 0x24, 0x08],
            &[0x48, 0x83, 0xec, 0x20],
        ];
        assert_eq!(
            frames(&short),
            [None, Pushed, Usual, Usual, Above(0x40), Above(0x40), HalfAbove(0x40), HalfAbove(0x40), Usual]
        );
        let long: [&[u8]; 6] = [
            &[0x48, 0x81, 0xec, 0x00, 0x01, 0x00, 0x00],
            &[0x48, 0x89, 0xe5],
            &[0x4c, 0x8b, 0x9c, 0x24, 0x00, 0x01, 0x00, 0x00],
            &[0x4c, 0x89, 0x1c, 0x24],
            &[0x4c, 0x8b, 0x9c, 0x24, 0x08, 0x01, 0x00, 0x00],
            &[0x4c, 0x89, 0x5c, 0x24, 0x08],
        ];
        assert_eq!(frames(&long), [Usual, Usual, Above(256), Above(256), HalfAbove(256), HalfAbove(256)]);
        // Winch copies stack arguments with the same instructions.
        let arguments: [&[u8]; 3] =
            [&[0x48, 0x83, 0xec, 0x20], &[0x4c, 0x8b, 0x5c, 0x24, 0x40], &[0x4c, 0x89, 0x1c, 0x24]];
        assert_eq!(frames(&arguments), [Usual, Usual, Usual]);
        let tail_call: [&[u8]; 7] = [
            &[0x48, 0x83, 0xc4, 0x20],
            &[0x48, 0x89, 0xec],
            &[0x5d],
            &[0x4c, 0x8b, 0x1c, 0x24],
            &[0x4c, 0x89, 0x5c, 0x24, 0x20],
            &[0x48, 0x83, 0xc4, 0x20],
            &[0xff, 0xe0],
        ];
        assert_eq!(frames(&tail_call), [Usual, Usual, Usual, None, None, None, None]);
        let far: [&[u8]; 6] = [
            &[0x48, 0x89, 0xec],
            &[0x5d],
            &[0x4c, 0x8b, 0x1c, 0x24],
            &[0x4c, 0x89, 0x9c, 0x24, 0x00, 0x01, 0x00, 0x00],
            &[0x48, 0x81, 0xc4, 0x00, 0x01, 0x00, 0x00],
            &[0xe9, 0x8e, 0xf9, 0xff, 0xff],
        ];
        assert_eq!(frames(&far), [Usual, Usual, None, None, None, None]);
    }

    #[test]
    fn what_ends_as_a_tail_call_does_is_none() {
        use LeafFrame::AtFramePointer as Usual;
        let jump: &[u8] = &[0xe9, 0x8e, 0xf9, 0xff, 0xff];
        // A block is left, with one value on the stack or many.
        let short: [&[u8]; 3] = [&[0x8b, 0x45, 0xfc], &[0x48, 0x83, 0xc4, 0x08], jump];
        assert_eq!(frames(&short), [Usual; 3]);
        let long: [&[u8]; 3] = [&[0x8b, 0x45, 0xfc], &[0x48, 0x81, 0xc4, 0x00, 0x01, 0x00, 0x00], jump];
        assert_eq!(frames(&long), [Usual; 3]);
        // With a result that is moved to where it belongs, after a value was taken into r13.
        let result: [&[u8]; 5] = [
            &[0x41, 0x5d],
            &[0x4c, 0x8b, 0x1c, 0x24],
            &[0x4c, 0x89, 0x5c, 0x24, 0x10],
            &[0x48, 0x83, 0xc4, 0x10],
            jump,
        ];
        assert_eq!(frames(&result), [Usual; 5]);
        // A frame is taken down, but what is moved is not moved by what the stack pointer is.
        let other: [&[u8]; 6] = [
            &[0x48, 0x89, 0xec],
            &[0x5d],
            &[0x4c, 0x8b, 0x1c, 0x24],
            &[0x4c, 0x89, 0x5c, 0x24, 0x18],
            &[0x48, 0x83, 0xc4, 0x10],
            jump,
        ];
        assert_eq!(frames(&other)[4..], [Usual; 2]);
    }
}
