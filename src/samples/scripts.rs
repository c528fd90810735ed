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
pub(crate) type OfScript = (Arc<ScriptFunction>, (u32, u32));

/// More functions than these have no names.
const MAX_FUNCTIONS: usize = 1 << 16;

/// Those that samples may refer to, by number; the first stands for all whose names are not known.
#[derive(Debug)]
pub(crate) struct ScriptFunctions {
    functions: AppendVec<OfScript>,
    numbers: FxHashMap<OfScript, u32>,
}

impl Default for ScriptFunctions {
    fn default() -> Self {
        let unknown = ScriptFunction {
            name: "(unknown script function)".to_owned(),
            file: String::new(),
            first_line: 0,
            lines: [].into(),
        };
        let mut functions = AppendVec::default();
        functions.push((Arc::new(unknown), (u32::MAX, 0)));
        Self { functions, numbers: FxHashMap::default() }
    }
}

impl ScriptFunctions {
    /// The number of a function.
    pub(crate) fn intern(&mut self, function: ScriptFunction, code: (u32, u32)) -> u32 {
        let function = (Arc::new(function), code);
        if let Some(number) = self.numbers.get(&function) {
            return *number;
        }
        let number = self.functions.len();
        if number >= MAX_FUNCTIONS {
            return 0;
        }
        self.functions.push(function.clone());
        let number = u32::try_from(number).unwrap_or(0);
        self.numbers.insert(function, number);
        number
    }

    /// All of them until now.
    pub(crate) fn freeze(&self) -> AppendVec<OfScript> {
        self.functions.clone()
    }
}
