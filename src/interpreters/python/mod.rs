//! CPython, from 3.13 on, on 32-bit WebAssembly.
//!
//! CPython describes itself: `_PyRuntime` begins with a table of offsets, made for readers from outside ([PEP 768], and
//! `Include/internal/pycore_debug_offsets.h`). All offsets come from there, so that one reader serves all builds of a version.
//! What runs is a list of frames, innermost first. Each run of the evaluation loop (`_PyEval_EvalFrameDefault`) puts a frame without
//! code of its own beneath those that it runs, so that the list says which of them belong to which run.
//!
//! [PEP 768]: https://peps.python.org/pep-0768/

mod code;
mod lines;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use code::{Code, Text};
pub(crate) use lines::line_of;
pub(crate) use table::TableProblem;
use table::{COOKIE, Offsets};

use super::GuestMemory;

/// Frames that are looked at: Python gives up at a thousand, unless somebody asks for more.
const MAX_FRAMES: usize = 1 << 12;

/// The low bits of a reference tell how it is counted.
const REFERENCE_TAGS: u32 = 3;

/// Frames of this owner and of those after it have no code of the program: the evaluation loop has put them there.
const OWNED_BY_INTERPRETER: u8 = 3;

/// A Python in the memory of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Python {
    /// Where `_PyRuntime` is.
    runtime: u32,
    offsets: Offsets,
}

/// A frame of Python's, innermost first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PythonFrame {
    /// A function of the program, at an instruction.
    Function {
        /// Address of its code object.
        code: u32,
        /// Address of the instruction that executes, or that has called.
        instruction: u32,
    },
    /// What a run of the evaluation loop began with: frames after this one belong to the run before it.
    Run,
}

impl Python {
    /// The Python whose `_PyRuntime` is at an address.
    pub(crate) fn at(memory: GuestMemory<'_>, runtime: u32) -> Result<Self, TableProblem> {
        Ok(Self { runtime, offsets: Offsets::read(memory, runtime)? })
    }

    /// The frames of what runs, innermost first; `None` comes where the list cannot be followed any further. A component has one
    /// thread; of several, it is the one of the first interpreter that was made last.
    pub(crate) fn frames<'m>(
        &self,
        memory: GuestMemory<'m>,
    ) -> impl Iterator<Item = Option<PythonFrame>> + use<'m, '_> {
        let offsets = &self.offsets;
        let thread = || {
            let interpreter = memory.u32(self.runtime.checked_add(offsets.interpreters_head)?)?;
            memory.u32(interpreter.checked_add(offsets.threads_head)?)
        };
        let thread = thread();
        let of_thread = |offset: u32| memory.u32(thread?.checked_add(offset)?);
        let mut next = of_thread(offsets.current_frame);
        let base = offsets.base_frame.and_then(of_thread).unwrap_or(0);
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over || next == Some(0) || next == Some(base) {
                return None;
            }
            let frame = next.and_then(|at| offsets.frame(memory, at));
            is_over = frame.is_none();
            next = frame.map(|(_, previous)| previous);
            Some(frame.map(|(frame, _)| frame))
        })
        .take(MAX_FRAMES)
    }

    /// Whether it is still there.
    pub(crate) fn is_in(&self, memory: GuestMemory<'_>) -> bool {
        memory.bytes(self.runtime, COOKIE.len()) == Some(&COOKIE)
    }

    /// What is known of a code object.
    pub(crate) fn code<'m>(&self, memory: GuestMemory<'m>, code: u32) -> Option<Code<'m>> {
        Code::read(&self.offsets, memory, code)
    }
}

impl Offsets {
    /// The frame at an address, and where the one before it is.
    #[inline]
    fn frame(&self, memory: GuestMemory<'_>, at: u32) -> Option<(PythonFrame, u32)> {
        let word = |offset: u32| memory.u32(at.checked_add(offset)?);
        let previous = word(self.frame_previous)?;
        if memory.u8(at.checked_add(self.frame_owner)?)? >= OWNED_BY_INTERPRETER {
            return Some((PythonFrame::Run, previous));
        }
        let executable = word(self.frame_executable)?;
        if executable & REFERENCE_TAGS == REFERENCE_TAGS {
            // A number.
            return None;
        }
        let code = executable & !REFERENCE_TAGS;
        Some((PythonFrame::Function { code, instruction: word(self.frame_instruction)? }, previous))
    }
}
