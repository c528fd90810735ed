//! What a file says, in one shape for all versions of the format.
//!
//! Nothing is checked yet but that the tables are there: indices may point anywhere, and columns may be shorter than
//! their tables.

use super::document::{Column, FramesJson, LibraryJson, MetaJson, SamplesJson, SymbolsJson};

/// A file.
pub(super) struct Contents {
    pub(super) meta: MetaJson,
    pub(super) libraries: Vec<LibraryJson>,
    /// Those of tables that have none of their own.
    pub(super) strings: Vec<String>,
    /// What is in files: their names, as strings, and their text.
    pub(super) sources: Vec<(u32, String)>,
    /// The tables of each thread, or one set for all.
    pub(super) tables: Vec<Tables>,
    pub(super) threads: Vec<ThreadContents>,
}

/// A thread, without its tables.
pub(super) struct ThreadContents {
    pub(super) name: String,
    pub(super) process_name: String,
    pub(super) tid: serde_json::Value,
    pub(super) samples: SamplesJson,
    /// Which of [`Contents::tables`] its stacks are in.
    pub(super) tables: usize,
}

/// Tables that refer to each other by row.
pub(super) struct Tables {
    pub(super) strings: Option<Vec<String>>,
    /// By stack: that of the caller.
    pub(super) callers: Column<Option<u32>>,
    pub(super) frame_of_stack: Column<u32>,
    pub(super) frames: FramesJson,
    pub(super) libraries: Libraries,
    /// By function: its name, a string.
    pub(super) names: Column<u32>,
    /// By function: the name of its file, a string.
    pub(super) files: Column<Option<u32>>,
    /// By function: the line that it begins with.
    pub(super) lines: Column<Option<u32>>,
    pub(super) symbols: SymbolsJson,
}

/// Positions in [`Contents::libraries`].
pub(super) enum Libraries {
    OfFrames(Column<Option<i64>>),
    OfFunctions(Column<Option<i64>>),
}

impl Tables {
    /// The position of the library of a frame, which is of `function`.
    pub(super) fn library(&self, frame: usize, function: usize) -> Option<usize> {
        let library = match &self.libraries {
            Libraries::OfFrames(libraries) => libraries.get(frame),
            Libraries::OfFunctions(libraries) => libraries.get(function),
        };
        usize::try_from(library.copied().flatten()?).ok()
    }
}
