//! The table with which `_PyRuntime` begins.

use super::super::{GuestMemory, InterpreterProblem};

/// What the table begins with.
pub(crate) const COOKIE: [u8; 8] = *b"xdebugpy";

/// Where things are that are read, in bytes from the beginning of what they are in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Offsets {
    pub(super) interpreters_head: u32,
    pub(super) next_interpreter: u32,
    pub(super) threads_head: u32,
    /// Where an interpreter counts the code objects that have died, so that others may be in their places.
    pub(super) generation: Option<u32>,
    pub(super) next_thread: u32,
    pub(super) thread_interpreter: u32,
    pub(super) current_frame: u32,
    /// Where the frame is pointed to with which the list ends, should it be one that is not a run's.
    pub(super) base_frame: Option<u32>,
    pub(super) frame_previous: u32,
    pub(super) frame_executable: u32,
    pub(super) frame_instruction: u32,
    pub(super) frame_owner: u32,
    pub(super) object_type: u32,
    pub(super) type_name: u32,
    pub(super) code_filename: u32,
    pub(super) code_qualname: u32,
    pub(super) code_linetable: u32,
    pub(super) code_first_line: u32,
    pub(super) code_instructions: u32,
    pub(super) bytes_size: u32,
    pub(super) bytes_data: u32,
    pub(super) text_state: u32,
    pub(super) text_length: u32,
    /// The size of what text has before its characters, where all are ASCII.
    pub(super) text_header: u32,
}

/// Positions in the table, in words of eight bytes. Each group of fields begins with the size of its structure.
struct Layout {
    generation: Option<usize>,
    thread: usize,
    current_frame: usize,
    base_frame: Option<usize>,
    frame: usize,
    code: usize,
    instructions: usize,
    object: usize,
    bytes: usize,
    text: usize,
}

/// The head of the runtime, the same in all versions: cookie, version, whether free-threaded, the runtime's size.
const VERSION: usize = 1;
const FREE_THREADED: usize = 2;
const RUNTIME: usize = 3;
const INTERPRETER: usize = 6;

const PYTHON_3_13: Layout = Layout {
    generation: None,
    thread: 19,
    current_frame: 23,
    base_frame: None,
    frame: 28,
    code: 34,
    instructions: 43,
    object: 44,
    bytes: 64,
    text: 67,
};
const PYTHON_3_14: Layout = Layout {
    generation: Some(20),
    thread: 22,
    current_frame: 26,
    base_frame: None,
    frame: 31,
    code: 39,
    instructions: 48,
    object: 50,
    bytes: 74,
    text: 77,
};
const PYTHON_3_15: Layout = Layout {
    generation: Some(20),
    thread: 22,
    current_frame: 26,
    base_frame: Some(27),
    frame: 39,
    code: 47,
    instructions: 56,
    object: 58,
    bytes: 86,
    text: 89,
};

/// The level of a release, in the version.
const RELEASE: u8 = 0xf;

/// No structure of Python's is larger, but for the state of the runtime and of an interpreter.
const MAX_STRUCTURE: u64 = 1 << 16;
const MAX_STATE: u64 = 1 << 24;

impl Offsets {
    pub(super) fn read(memory: GuestMemory<'_>, runtime: u32) -> Result<Self, InterpreterProblem> {
        let word = |index: usize| {
            let at = u32::try_from(index * 8).ok().and_then(|offset| runtime.checked_add(offset));
            at.and_then(|at| memory.u64(at)).ok_or(InterpreterProblem::NoTable)
        };
        if memory.bytes(runtime, COOKIE.len()) != Some(&COOKIE) {
            return Err(InterpreterProblem::NoTable);
        }
        let version = word(VERSION)?.to_le_bytes();
        let layout = match (version[3], version[2]) {
            (3, 13) => PYTHON_3_13,
            (3, 14) => PYTHON_3_14,
            (3, 15) => PYTHON_3_15,
            (major, minor) => return Err(InterpreterProblem::Version { major, minor }),
        };
        // The lowest byte has the level and a number.
        if version[0] >> 4 != RELEASE {
            return Err(InterpreterProblem::BeforeRelease);
        }
        if word(FREE_THREADED)? != 0 {
            return Err(InterpreterProblem::FreeThreaded);
        }
        // A field of so many bytes, which has to lie in the structure whose size is at `group`.
        let field = |group: usize, index: usize, bytes: u64, most: u64| {
            let (size, offset) = (word(group)?, word(index)?);
            let is_inside = size <= most && offset.checked_add(bytes).is_some_and(|end| end <= size);
            u32::try_from(offset).ok().filter(|_| is_inside).ok_or(InterpreterProblem::Contradiction)
        };
        let state = |group: usize, index: usize| field(group, index, 4, MAX_STATE);
        let of = |group: usize, index: usize| field(group, group + index, 4, MAX_STRUCTURE);
        let Layout { generation, thread, current_frame, base_frame, frame, code, instructions, object, bytes, text } =
            layout;
        Ok(Self {
            interpreters_head: state(RUNTIME, RUNTIME + 2)?,
            next_interpreter: state(INTERPRETER, INTERPRETER + 2)?,
            threads_head: state(INTERPRETER, INTERPRETER + 3)?,
            generation: generation.map(|index| field(INTERPRETER, index, 8, MAX_STATE)).transpose()?,
            next_thread: state(thread, thread + 2)?,
            thread_interpreter: state(thread, thread + 3)?,
            current_frame: state(thread, current_frame)?,
            base_frame: base_frame.map(|index| state(thread, index)).transpose()?,
            frame_previous: of(frame, 1)?,
            frame_executable: of(frame, 2)?,
            frame_instruction: of(frame, 3)?,
            frame_owner: field(frame, frame + 5, 1, MAX_STRUCTURE)?,
            object_type: of(object, 1)?,
            type_name: of(object + 2, 1)?,
            code_filename: of(code, 1)?,
            code_qualname: of(code, 3)?,
            code_linetable: of(code, 4)?,
            code_first_line: of(code, 5)?,
            // What follows the structure may begin in its last bytes.
            code_instructions: field(code, instructions, 0, MAX_STRUCTURE)?,
            bytes_size: of(bytes, 1)?,
            bytes_data: field(bytes, bytes + 2, 0, MAX_STRUCTURE)?,
            text_state: of(text, 1)?,
            text_length: of(text, 2)?,
            text_header: field(text, text + 3, 0, MAX_STRUCTURE)?,
        })
    }
}
