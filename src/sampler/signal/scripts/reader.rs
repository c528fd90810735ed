//! Reads scripts where a guest waits for the host that it has called, outside of handlers.

use std::sync::{Arc, Mutex};

use super::super::scenes::Scenes;
use super::super::walk::{FrameWord, Run, StackMemory};
use super::{Naming, Scripts, Walked};
use crate::interpreters::{LineTable, PartOf};
use crate::lock::lock;
use crate::samples::{ScriptFunction, ScriptFunctions};

/// What the tracers of a recording, and samples by epochs, have in common.
pub(crate) struct ScriptReader {
    scenes: Arc<Scenes>,
    /// Nothing until there is an interpreter.
    scripts: Mutex<Option<Box<Scripts>>>,
    functions: Mutex<ScriptFunctions>,
}

impl ScriptReader {
    pub(in super::super) fn new(scenes: &Arc<Scenes>) -> Self {
        Self { scenes: Arc::clone(scenes), scripts: Mutex::default(), functions: Mutex::default() }
    }

    /// The functions that were met here first.
    pub(in super::super) fn functions(&self) -> ScriptFunctions {
        lock(&self.functions).clone()
    }

    /// The inner part of a stack, outermost frame first, with what scripts do.
    ///
    /// # Safety
    /// As of [`Scripts::join`].
    pub(in super::super) unsafe fn join(
        &self,
        stack: &[FrameWord],
        runs: &[Run],
        memory: &mut StackMemory,
    ) -> Vec<FrameWord> {
        let naming = Naming {
            numbers: &self.scenes.functions,
            name: &mut |number, function| {
                let (name, file) = (function.name.to_string(), function.file.to_string());
                let (start, LineTable { format, bytes }) = (function.start, function.lines);
                let is_interpreters = function.part_of != PartOf::Program;
                let (lines, source_map) = (bytes.into(), function.source_map);
                let function = ScriptFunction { name, file, is_interpreters, start, format, lines, source_map };
                lock(&self.functions).add(number, function);
                true
            },
            refuse: &mut |problem| self.scenes.refuse_interpreter(problem),
        };
        let mut scripts = lock(&self.scripts);
        let scripts = scripts.get_or_insert_with(|| Box::new(Scripts::new()));
        // SAFETY: by contract.
        unsafe { scripts.join(Walked { stack, runs, is_complete: false, is_in_guest: false }, memory, naming) }
            .0
            .to_vec()
    }
}

impl std::fmt::Debug for ScriptReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptReader").finish_non_exhaustive()
    }
}
