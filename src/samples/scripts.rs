//! Functions of scripts that were seen.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::append_vec::AppendVec;
use crate::interpreters::{Language, LineFormat, SourcePosition};

/// A function of a script, as the memory of its interpreter describes it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct ScriptFunction {
    pub(crate) name: String,
    pub(crate) file: String,
    /// Whether it is part of the interpreter.
    pub(crate) is_interpreters: bool,
    /// Where it begins.
    pub(crate) start: SourcePosition,
    /// Which instruction is of which line, and how that is written.
    pub(crate) format: LineFormat,
    pub(crate) lines: Box<[u8]>,
    /// Where in the memory the file says which source it was made from, and how many bytes that has.
    pub(crate) source_map: Option<(u32, u32)>,
}

impl ScriptFunction {
    /// Where an instruction is: in the first line, if its own is not known. `None` if none is.
    pub(crate) fn position(&self, instruction: u32) -> Option<SourcePosition> {
        if self.start.line == 0 || self.lines.is_empty() && self.format.needs_table() {
            return None;
        }
        Some(self.format.position(&self.lines, self.start, instruction).unwrap_or(self.start))
    }

    /// The file, without where componentize-js has put what it wrote itself.
    pub(crate) fn shown_file(&self) -> &str {
        const WRITTEN: &str = "initializer.js";
        let folder = self.file.strip_suffix(WRITTEN).filter(|folder| folder.ends_with("/sources/"));
        if folder.is_some() && self.format.language() == Language::JavaScript { WRITTEN } else { &self.file }
    }

    /// What it is called; something also if it has no name.
    pub(crate) fn shown_name(&self) -> String {
        if self.name.is_empty() { "<anonymous>".to_owned() } else { self.name.clone() }
    }
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
