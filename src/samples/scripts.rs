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

/// What their tables of lines may take in bytes. Beyond that, functions are known by their first lines.
const MAX_BYTES: usize = 16 << 20;

/// Those that samples may refer to, each with its number, in the order in which they became known.
#[derive(Clone, Debug, Default)]
pub(crate) struct ScriptFunctions {
    functions: AppendVec<(u32, Arc<ScriptFunction>)>,
    /// What their tables of lines take.
    bytes: usize,
}

impl ScriptFunctions {
    /// A function has become known.
    pub(crate) fn add(&mut self, number: u32, mut function: ScriptFunction) {
        self.bytes += function.lines.len();
        if self.bytes > MAX_BYTES {
            function.lines = [].into();
        }
        self.functions.push((number, Arc::new(function)));
    }

    /// All of them, by number.
    pub(crate) fn by_number(&self) -> FxHashMap<u32, Arc<ScriptFunction>> {
        self.functions.iter().map(|(number, function)| (*number, Arc::clone(function))).collect()
    }
}
