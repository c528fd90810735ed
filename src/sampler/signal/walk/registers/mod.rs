//! The registers a walk needs, and what differs between processors.
//!
//! Every function that Wasmtime compiles, trampolines included, keeps a frame pointer: from the end of its prologue to
//! the start of its epilogue, the caller's frame pointer is where the frame pointer points to, and the return address
//! is above it. A leaf outside of these bounds is recognised by the instruction it is about to execute. The shapes are
//! those of Cranelift and Winch at Wasmtime 48; `tests/single_step.rs` holds them against every instruction of real
//! code.

#[cfg(target_arch = "aarch64")]
mod aarch64;
#[cfg(any(test, target_arch = "aarch64"))]
#[cfg_attr(not(target_arch = "aarch64"), allow(dead_code, reason = "tested here, used there"))]
mod aarch64_frames;
#[cfg(target_arch = "x86_64")]
mod x86_64;

use super::code_window::CodeWindow;
use super::memory::StackMemory;
use crate::code::CodeRange;

/// The registers of one frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Registers {
    /// The instruction that executes in the innermost frame; in others, the one to return to.
    pub(crate) pc: u64,
    pub(crate) sp: u64,
    pub(crate) fp: u64,
    /// The link register; only on aarch64, and only in the innermost frame.
    pub(crate) lr: u64,
}

/// Where one stack goes on on another: code with unwind information that framehop does not evaluate, because it computes
/// the caller's stack pointer from memory.
///
/// First of all what Wasmtime's fibers begin with, and where they were resumed from (`wasmtime_fiber_start` in
/// `wasmtime-internal-fiber` 48). The function has no public name; it is known by the instructions at its return address,
/// which are like no others.
pub(super) trait StackSwitch {
    /// Whether the code at a return address is that of the first function on a fiber.
    fn is_fiber_entry(code: &[u8; 8]) -> bool;

    /// The registers of what resumed the fiber: its stack pointer was saved as `saved`, where that of the fiber's first
    /// function points to.
    fn resumer(saved: u64, read: impl FnMut(u64) -> Option<u64>) -> Option<Registers>;

    /// Whether the code at a return address is what a signal handler returns to. Its unwind information is of the kind
    /// that framehop does not evaluate, too.
    fn is_signal_return(code: &[u8; 8]) -> bool;

    /// The registers that a signal interrupted, if `sp` is the stack pointer behind the return of its handler.
    fn interrupted(sp: u64, read: impl FnMut(u64) -> Option<u64>) -> Option<Registers>;

    /// The stack pointer of the first function on a fiber, if the function it called has the frame pointer `fp` and ends
    /// the chain of frame pointers, as it does on AArch64.
    fn first_stack_pointer(fp: u64) -> Option<u64>;
}

/// The caller of a frame that is where the frame pointer points to. `read_pair` reads the words at an address and behind
/// it.
#[inline]
pub(crate) fn caller_of(at: Registers, read_pair: impl FnOnce(u64) -> Option<(u64, u64)>) -> Option<Registers> {
    // A frame is above those that it called.
    if at.fp < at.sp {
        return None;
    }
    let (fp, pc) = read_pair(at.fp)?;
    Some(Registers { pc: strip(pc), sp: at.fp.wrapping_add(16), fp, lr: 0 })
}

#[cfg(target_arch = "x86_64")]
pub(super) use x86_64::{Native, caller_of_leaf, framehop_registers, from_framehop, strip};

#[cfg(target_arch = "aarch64")]
pub(super) use aarch64::{Native, caller_of_leaf, framehop_registers, from_framehop, strip};
