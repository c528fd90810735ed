//! Registers and frames on AArch64.

use super::{CodeRange, CodeTable, FiberEntry, Registers, StackMemory, caller_of};

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

impl Registers {
    /// The registers that a signal interrupted.
    pub(crate) fn interrupted(context: &libc::ucontext_t) -> Self {
        let context = &context.uc_mcontext;
        Self { pc: context.pc, sp: context.sp, fp: context.regs[29], lr: context.regs[30] }
    }

    /// The registers of the caller of this function, which is inlined.
    #[inline(always)]
    pub(crate) fn here() -> Self {
        let (pc, sp, fp, lr): (u64, u64, u64, u64);
        // SAFETY: reads registers, and changes nothing but the outputs.
        unsafe {
            std::arch::asm!(
                "adr {pc}, .",
                "mov {sp}, sp",
                "mov {fp}, x29",
                "mov {lr}, x30",
                pc = out(reg) pc,
                sp = out(reg) sp,
                fp = out(reg) fp,
                lr = out(reg) lr,
                options(nomem, nostack, preserves_flags),
            );
        }
        Self { pc, sp, fp, lr }
    }
}

/// The caller of the innermost frame, which may be in its prologue or epilogue.
pub(crate) fn caller_of_leaf(at: Registers, range: &CodeRange, memory: &mut StackMemory) -> Option<Registers> {
    let code = CodeTable::window(range, at.pc);
    let instruction = |index: usize| {
        let bytes = code.after.get(index * 4..index * 4 + 4).and_then(|bytes| bytes.try_into().ok());
        bytes.map_or(0, u32::from_le_bytes)
    };
    let [.., e, f, g, h, a, b, c, d] = code.before;
    let before = u32::from_le_bytes([a, b, c, d]);
    let two_before = u32::from_le_bytes([e, f, g, h]);
    if instruction(0) == SET_FRAME_POINTER && before == PUSH_FRAME {
        let (fp, pc) = (memory.read(at.sp)?, strip(memory.read(at.sp.wrapping_add(8))?));
        return Some(Registers { pc, sp: at.sp.wrapping_add(16), fp, lr: 0 });
    }
    // Before the frame is set up, and after it was taken down, the return address is in the link register.
    let mut rest = (0..4).map(instruction).skip_while(|instruction| LANDING.contains(instruction));
    let is_outside = match rest.next() {
        Some(PUSH_FRAME | RET | RET_SIGNED) => true,
        Some(first) if SIGN.contains(&first) => rest.next() == Some(PUSH_FRAME),
        Some(first) if AUTHENTICATE.contains(&first) => true,
        _ => false,
    };
    // A tail call takes the frame down, moves the stack pointer, and jumps.
    let is_between = before & ADD_SP_MASK == ADD_SP || AUTHENTICATE.contains(&before);
    let is_taken_down = before == POP_FRAME || two_before == POP_FRAME && is_between;
    if is_outside || is_taken_down {
        return Some(Registers { pc: strip(at.lr), sp: at.sp, fp: at.fp, lr: 0 });
    }
    caller_of(at, memory)
}

/// Code addresses have at most 48 bits; signed ones carry the signature above.
pub(crate) fn strip(address: u64) -> u64 {
    address & ((1 << 48) - 1)
}

pub(crate) fn framehop_registers(at: Registers) -> framehop::UnwindRegsNative {
    let mask = framehop::aarch64::PtrAuthMask((1 << 48) - 1);
    // In a caller, the link register is what it returns to: framehop keeps it there.
    framehop::UnwindRegsNative::new_with_ptr_auth_mask(mask, if at.lr == 0 { at.pc } else { at.lr }, at.sp, at.fp)
}

pub(crate) fn from_framehop(pc: u64, registers: &framehop::UnwindRegsNative) -> Registers {
    Registers { pc: strip(pc), sp: registers.sp(), fp: registers.fp(), lr: registers.lr() }
}

/// Fibers on `aarch64`.
pub(crate) struct Native;

impl FiberEntry for Native {
    fn is_fiber_entry(code: &[u8; 8]) -> bool {
        // blr x22; brk 0xf1b3
        *code == [0xc0, 0x02, 0x3f, 0xd6, 0x60, 0x36, 0x3e, 0xd4]
    }

    fn resumer(saved: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Registers> {
        // The switch pushed ten pairs of registers, x29 and x30 first.
        let (fp, pc) = (read(saved.wrapping_add(0x90))?, read(saved.wrapping_add(0x98))?);
        Some(Registers { pc: strip(pc), sp: saved.wrapping_add(0xa0), fp, lr: 0 })
    }

    fn first_stack_pointer(fp: u64) -> Option<u64> {
        // A fiber's first frame pointer is zero, which ends the walk; its stack ends at a page, with two words.
        Some((fp | 0xfff).checked_add(1)?.wrapping_sub(0x10))
    }
}
