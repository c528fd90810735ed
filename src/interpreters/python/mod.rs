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
#[cfg(test)]
mod snapshots;
mod table;
#[cfg(test)]
mod tests;

pub(super) use code::Identity;
pub(super) use lines::line_of;
pub(crate) use table::COOKIE;
use table::Offsets;

use super::{Frame, Function, FunctionPlace, GuestMemory, InterpreterProblem, MAX_FRAMES};

/// Interpreters that are looked at, and threads of each.
const MAX_THREADS: usize = 16;

/// The low bits of a reference tell how it is counted.
const REFERENCE_TAGS: u32 = 3;

/// Frames of this owner and of those after it have no code of the program: the evaluation loop has put them there.
const OWNED_BY_INTERPRETER: u8 = 3;

/// A Python in the memory of a guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Python {
    /// Where `_PyRuntime` is.
    runtime: u32,
    /// What the table says first: the cookie, and the version.
    head: [u64; 2],
    offsets: Offsets,
    /// The type of code objects, once one was seen.
    code_type: Option<u32>,
}

impl Python {
    /// The Python whose `_PyRuntime` is at an address.
    pub(crate) fn at(memory: GuestMemory<'_>, runtime: u32) -> Result<Self, InterpreterProblem> {
        let offsets = Offsets::read(memory, runtime)?;
        let head = Self::head(memory, runtime).ok_or(InterpreterProblem::NoTable)?;
        let python = Self { runtime, head, offsets, code_type: None };
        // What the table says of interpreters and threads has to hold together.
        let holds = |(interpreter, thread): (u32, u32)| {
            let back = thread.checked_add(python.offsets.thread_interpreter).and_then(|at| memory.u32(at));
            back == Some(interpreter)
        };
        if python.interpreters_and_threads(memory).all(holds) {
            Ok(python)
        } else {
            Err(InterpreterProblem::Contradiction)
        }
    }

    /// All interpreters.
    fn interpreters<'m>(&self, memory: GuestMemory<'m>) -> impl Iterator<Item = u32> + use<'m> {
        let head = self.runtime.checked_add(self.offsets.interpreters_head);
        list(memory, head, self.offsets.next_interpreter)
    }

    /// All threads, each after the interpreter that it is of.
    fn interpreters_and_threads<'m>(&self, memory: GuestMemory<'m>) -> impl Iterator<Item = (u32, u32)> + use<'m> {
        let Offsets { threads_head, next_thread, .. } = self.offsets;
        self.interpreters(memory).flat_map(move |interpreter| {
            let head = interpreter.checked_add(threads_head);
            list(memory, head, next_thread).map(move |thread| (interpreter, thread))
        })
    }

    /// All threads. A component has one; where there are several, all of them run on the same stack, one inside of the other.
    pub(crate) fn threads<'m>(&self, memory: GuestMemory<'m>) -> impl Iterator<Item = u32> + use<'m> {
        self.interpreters_and_threads(memory).map(|(_, thread)| thread)
    }

    /// The frames of what runs on a thread, innermost first; `None` comes where the list cannot be followed any further.
    pub(crate) fn frames<'m>(
        &self,
        memory: GuestMemory<'m>,
        thread: u32,
    ) -> impl Iterator<Item = Option<Frame>> + use<'m, '_> {
        let offsets = &self.offsets;
        let of_thread = |offset: u32| memory.u32(thread.checked_add(offset)?);
        let mut next = of_thread(offsets.current_frame);
        let base = offsets.base_frame.and_then(of_thread).unwrap_or(0);
        // Where the run before has begun. What was there is not always overwritten at once: then the list goes back inwards.
        let mut inner_run = 0;
        let mut is_over = false;
        std::iter::from_fn(move || {
            if is_over || next == Some(0) || next == Some(base) {
                return None;
            }
            let frame = next.and_then(|at| offsets.frame(memory, at)).filter(|(frame, _)| match frame {
                Frame::Run { at } => std::mem::replace(&mut inner_run, *at) < *at,
                Frame::Function { .. } => true,
            });
            is_over = frame.is_none();
            next = frame.map(|(_, previous)| previous);
            Some(frame.map(|(frame, _)| frame))
        })
        .take(MAX_FRAMES)
    }

    /// Whether it is still there.
    pub(crate) fn is_in(&self, memory: GuestMemory<'_>) -> bool {
        Self::head(memory, self.runtime) == Some(self.head)
    }

    fn head(memory: GuestMemory<'_>, runtime: u32) -> Option<[u64; 2]> {
        Some([memory.u64(runtime)?, memory.u64(runtime.checked_add(8)?)?])
    }

    /// Whether a frame is at its first instruction: then it is not known to have called anything.
    pub(crate) fn has_just_begun(&self, frame: Frame) -> bool {
        let Frame::Function { function: FunctionPlace::Code(code), instruction } = frame else { return false };
        code.checked_add(self.offsets.code_instructions) == Some(instruction)
    }

    /// Changes when a code object dies, so that until then each is what it was. `None` if nothing tells.
    pub(crate) fn generation(&self, memory: GuestMemory<'_>) -> Option<u64> {
        let offset = self.offsets.generation?;
        let mut interpreters = self.interpreters(memory);
        let only = interpreters.next().filter(|_| interpreters.next().is_none())?;
        memory.u64(only.checked_add(offset)?)
    }

    /// What of a code object is in it itself.
    #[inline]
    pub(crate) fn identity(&self, memory: GuestMemory<'_>, code: u32) -> Option<Identity> {
        Identity::read(&self.offsets, memory, code)
    }

    /// What is known of a code object. `None` if it is none, or cannot be read.
    pub(crate) fn function<'m>(&mut self, memory: GuestMemory<'m>, identity: &Identity) -> Option<Function<'m>> {
        if self.code_type != Some(identity.object_type) {
            let name = memory.u32(identity.object_type.checked_add(self.offsets.type_name)?)?;
            if memory.bytes(name, CODE_TYPE.len())? != CODE_TYPE {
                return None;
            }
            self.code_type = Some(identity.object_type);
        }
        code::function(&self.offsets, memory, identity)
    }
}

/// Whether a memory begins with a table of CPython's, of any version.
pub(crate) fn describes_itself(memory: GuestMemory<'_>) -> bool {
    !matches!(Offsets::read(memory, 0), Err(InterpreterProblem::NoTable | InterpreterProblem::Contradiction))
        && memory.u8(VERSION_MAJOR) == Some(3)
}

/// Where the table has the major version.
const VERSION_MAJOR: u32 = 11;

/// What the type of code objects is called.
const CODE_TYPE: &[u8] = b"code\0";

/// The members of a list, given where its head is, and where each has the next.
fn list(memory: GuestMemory<'_>, head: Option<u32>, next: u32) -> impl Iterator<Item = u32> {
    let word = move |at: Option<u32>| memory.u32(at?).filter(|address| *address != 0);
    std::iter::successors(word(head), move |member| word(member.checked_add(next))).take(MAX_THREADS)
}

impl Offsets {
    /// The frame at an address, and where the one before it is.
    #[inline]
    fn frame(&self, memory: GuestMemory<'_>, at: u32) -> Option<(Frame, u32)> {
        let word = |offset: u32| memory.u32(at.checked_add(offset)?);
        let previous = word(self.frame_previous)?;
        if memory.u8(at.checked_add(self.frame_owner)?)? >= OWNED_BY_INTERPRETER {
            return Some((Frame::Run { at }, previous));
        }
        let executable = word(self.frame_executable)?;
        if executable & REFERENCE_TAGS == REFERENCE_TAGS {
            // A number.
            return None;
        }
        let code = executable & !REFERENCE_TAGS;
        let function = FunctionPlace::Code(code);
        Some((Frame::Function { function, instruction: word(self.frame_instruction)? }, previous))
    }
}
