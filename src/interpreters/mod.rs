//! Interpreters inside of guests: what a script does, read from the memory of the guest that interprets it.
//!
//! A profile of an interpreted program is of the interpreter, and says nothing of the program. But an interpreter knows which of
//! the program's functions it is in, and has it in its memory. Each folder here reads that of one interpreter. In come the bytes of
//! a linear memory in which nothing changes meanwhile; out go frames. Nothing here allocates, and whatever the bytes are,
//! nothing panics, and the work is limited: a guest may have anything in its memory, and may have been stopped in the middle of
//! a change.

mod evaluator;
mod function;
mod interpreter;
mod language;
mod lines;
mod problem;
pub(crate) mod python;
pub(crate) mod quickjs;
pub(crate) mod spidermonkey;
mod text;

pub(crate) use evaluator::{Evaluator, InstanceLayout, StatePlace};
pub(crate) use function::{Function, LineTable, PartOf};
pub(crate) use interpreter::{Frame, FunctionPlace, Identity, Interpreter, InterpreterKind, MAX_FRAMES};
pub(crate) use language::Language;
pub(crate) use lines::{LineFormat, SourcePosition};
pub use problem::InterpreterProblem;
pub(crate) use text::{Encoding, Text};

/// A linear memory of a guest that does not run meanwhile. Addresses are those of the guest.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GuestMemory<'m>(&'m [u8]);

impl<'m> GuestMemory<'m> {
    pub(crate) fn new(bytes: &'m [u8]) -> Self {
        Self(bytes)
    }

    /// So many bytes from an address on, if all of them are in the memory.
    #[inline]
    pub(crate) fn bytes(self, address: u32, length: usize) -> Option<&'m [u8]> {
        self.0.get(address as usize..)?.get(..length)
    }

    #[inline]
    fn array<const N: usize>(self, address: u32) -> Option<[u8; N]> {
        self.bytes(address, N)?.try_into().ok()
    }

    #[inline]
    pub(crate) fn u8(self, address: u32) -> Option<u8> {
        self.array(address).map(u8::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u32(self, address: u32) -> Option<u32> {
        self.array(address).map(u32::from_le_bytes)
    }

    #[inline]
    pub(crate) fn u64(self, address: u32) -> Option<u64> {
        self.array(address).map(u64::from_le_bytes)
    }
}
