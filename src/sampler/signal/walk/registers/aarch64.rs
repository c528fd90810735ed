//! Registers and frames on AArch64.

use super::aarch64_frames::{LeafFrame, leaf_frame};
use super::{CodeRange, CodeWindow, Registers, StackMemory, StackSwitch, caller_of};

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
///
/// # Safety
/// The code of `range` is readable, and nobody writes to it meanwhile.
pub(crate) unsafe fn caller_of_leaf(at: Registers, range: &CodeRange, memory: &mut StackMemory) -> Option<Registers> {
    // SAFETY: as the caller promises.
    let code = unsafe { CodeWindow::at(range, at.pc) };
    match leaf_frame(&code.before, &code.after) {
        LeafFrame::AtFramePointer => caller_of(at, |address| memory.read_pair(address)),
        LeafFrame::None => Some(Registers { pc: strip(at.lr), sp: at.sp, fp: at.fp, lr: 0 }),
        LeafFrame::Pushed => {
            let (fp, pc) = memory.read_pair(at.sp)?;
            Some(Registers { pc: strip(pc), sp: at.sp.wrapping_add(16), fp, lr: 0 })
        }
    }
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

impl StackSwitch for Native {
    fn is_fiber_entry(code: &[u8; 8]) -> bool {
        // blr x22; brk 0xf1b3
        *code == [0xc0, 0x02, 0x3f, 0xd6, 0x60, 0x36, 0x3e, 0xd4]
    }

    fn resumer(saved: u64, mut read: impl FnMut(u64) -> Option<u64>) -> Option<Registers> {
        // The switch pushed ten pairs of registers, x29 and x30 first.
        let (fp, pc) = (read(saved.wrapping_add(0x90))?, read(saved.wrapping_add(0x98))?);
        Some(Registers { pc: strip(pc), sp: saved.wrapping_add(0xa0), fp, lr: 0 })
    }

    fn is_signal_return(_: &[u8; 8]) -> bool {
        // The kernel's own library returns from signals. Such a stack ends there.
        false
    }

    fn interrupted(_: u64, _: impl FnMut(u64) -> Option<u64>) -> Option<Registers> {
        None
    }

    fn first_stack_pointer(fp: u64) -> Option<u64> {
        // A fiber's first frame pointer is zero, which ends the walk; its stack ends at a page, with two words.
        Some((fp | 0xfff).checked_add(1)?.wrapping_sub(0x10))
    }
}
