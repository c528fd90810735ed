//! Functions of scripts that were seen.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::append_vec::AppendVec;

/// A function of a script, as the memory of its interpreter describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScriptFunction {
    pub(crate) name: String,
    pub(crate) file: String,
    pub(crate) first_line: u32,
    /// Which instruction is of which line, as the interpreter writes it.
    pub(crate) lines: Box<[u8]>,
}

/// The function of a script, and the component or module whose code runs it: that, and an offset into its text.
pub(crate) type OfScript = (ScriptFunction, (u32, u32));

/// More functions than these have no names.
const MAX_FUNCTIONS: usize = 1 << 16;

/// Beyond these, functions are known by their first lines.
const MAX_BYTES: usize = 16 << 20;

/// Those that samples may refer to, in the order in which they became known, each with a number. Threads number for themselves, so
/// that one function may have several.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptFunctions {
    functions: AppendVec<(u32, Arc<OfScript>)>,
    /// What their tables of lines take.
    bytes: usize,
}

impl ScriptFunctions {
    /// A function has become known.
    pub(crate) fn add(&mut self, number: u32, mut function: OfScript) {
        if self.functions.len() < MAX_FUNCTIONS {
            self.bytes += function.0.lines.len();
            if self.bytes > MAX_BYTES {
                function.0.lines = [].into();
            }
            self.functions.push((number, Arc::new(function)));
        }
    }

    /// All of them, by number.
    pub(crate) fn by_number(&self) -> FxHashMap<u32, Arc<OfScript>> {
        self.functions.iter().map(|(number, function)| (*number, Arc::clone(function))).collect()
    }
}
