//! A function, line by line.

use std::collections::BTreeMap;
use std::time::Duration;

use rustc_hash::FxHashSet;

use super::tables::{FileIndex, Profile};
use crate::address::WasmOffset;
use crate::symbols::FunctionKind;

/// The time of one line of source code, or of one instruction.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct LineTime {
    /// Wall-clock time while it ran itself.
    pub own: Duration,
    /// Wall-clock time while it ran, or waited for what it called; what is inlined there included.
    pub total: Duration,
}

impl LineTime {
    fn add(&mut self, wall: Duration, is_own: bool) {
        self.total += wall;
        if is_own {
            self.own += wall;
        }
    }
}

/// A function of which each line has its time. Made by [`Profile::annotate`].
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Annotation {
    /// Its name. Chosen by the guest: escape it.
    pub function: String,
    /// Its library. Chosen by the guest: escape it.
    pub library: String,
    /// The time of all of it.
    pub time: LineTime,
    /// Wall-clock time of all samples of the profile.
    pub wall: Duration,
    /// By file and line.
    pub lines: BTreeMap<(FileIndex, u32), LineTime>,
    /// By place in the WebAssembly binary; code that was inlined there is part of it.
    pub instructions: BTreeMap<WasmOffset, LineTime>,
}

impl Profile {
    /// The functions with this name, line by line, that with the most time first: more than one, if several libraries have
    /// one. Copies that were inlined count as well. If no function has this name, those whose name ends with it after a `:`,
    /// `.`, `#` or `>` are meant; and if there is none of these either, those that contain it.
    ///
    /// ```
    /// # use witprof::Profile;
    /// # fn example(profile: &Profile) {
    /// for function in profile.annotate("churn") {
    ///     for ((file, line), time) in &function.lines {
    ///         println!("{}:{line}: {:?}", profile.file(*file), time.own);
    ///     }
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn annotate(&self, name: &str) -> Vec<Annotation> {
        let is_end = |found: &str| {
            let before = found.strip_suffix(name).and_then(|before| before.chars().next_back());
            before.is_some_and(|last| matches!(last, ':' | '.' | '#' | '>'))
        };
        let rules: [&dyn Fn(&str) -> bool; 3] = [&|found| found == name, &is_end, &|found| found.contains(name)];
        let found = rules.into_iter().map(|is_meant| self.annotate_all(is_meant)).find(|found| !found.is_empty());
        found.unwrap_or_default()
    }

    fn annotate_all(&self, is_meant: &dyn Fn(&str) -> bool) -> Vec<Annotation> {
        // Functions of a name and library are one, but those of scripts that begin in other places; by function, its position.
        let mut found: indexmap::IndexMap<(&str, u32, _), Annotation> = indexmap::IndexMap::new();
        let functions = self.functions.iter().map(|function| {
            is_meant(&function.name).then(|| {
                let begin = function.first_line.map(|line| (function.file, line));
                let entry = found.entry((&function.name, function.library.0, begin));
                let index = entry.index();
                entry.or_insert_with(|| Annotation {
                    function: function.name.clone(),
                    library: self.libraries[function.library.index()].name.clone(),
                    time: LineTime::default(),
                    wall: self.wall_time(),
                    lines: BTreeMap::new(),
                    instructions: BTreeMap::new(),
                });
                index
            })
        });
        let functions: Vec<Option<usize>> = functions.collect();
        for sample in self.samples() {
            // Recursion counts once, and once for each line.
            let (mut seen, mut lines, mut instructions) =
                (FxHashSet::default(), FxHashSet::default(), FxHashSet::default());
            // Inlined code is part of the instructions of the function that it is in.
            let mut is_inside = true;
            // What an interpreter does for a function of a script is that function's own time.
            let mut is_inside_script = true;
            for stack in self.outwards(sample.stack) {
                let frame = self.innermost(stack);
                let is_script = self.functions[frame.function.index()].kind == FunctionKind::Script;
                let is_own = if is_script { is_inside_script } else { stack == sample.stack };
                is_inside_script &= !is_script;
                let is_own_instruction = is_inside;
                is_inside &= self.functions[frame.function.index()].kind == FunctionKind::Inlined;
                let Some(index) = functions[frame.function.index()] else { continue };
                let annotation = &mut found[index];
                if seen.insert(index) {
                    annotation.time.add(sample.wall, is_own);
                }
                if let Some(source) = frame.source
                    && lines.insert((index, source.file, source.line))
                {
                    annotation.lines.entry((source.file, source.line)).or_default().add(sample.wall, is_own);
                }
                if let Some(instruction) = frame.instruction
                    && instructions.insert((index, instruction))
                {
                    let time = annotation.instructions.entry(instruction).or_default();
                    time.add(sample.wall, is_own_instruction);
                }
            }
        }
        let mut found: Vec<Annotation> =
            found.into_values().filter(|annotation| !annotation.time.total.is_zero()).collect();
        found.sort_by_key(|annotation| std::cmp::Reverse((annotation.time.own, annotation.time.total)));
        found
    }
}
