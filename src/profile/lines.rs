//! Adds lines of source code to a profile, and frames for the functions that are inlined: the only place where an
//! instruction becomes a line.
//!
//! In comes a profile whose frames are compiled functions, with their instructions. Each frame of a guest with debug info
//! becomes as many as there are functions at its instruction, from the outside inwards, and every stack goes through the
//! frames that have taken the place of its own. Debug info may be large, damaged and slow to read, so this is done
//! when the log of the recording is free again.

use std::sync::Arc;
use std::time::Duration;

use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::symbolize::{NamedProfile, handle};
use super::tables::{
    FileIndex, Frame, FrameIndex, FunctionIndex, LibraryIndex, Profile, ProfileFunction, SourceLine, Stack, StackIndex,
};
use super::toolchain::is_authors;
use crate::code::Targets;
use crate::debug_info::{Lines, NoLines, SourceFrame, SourceLocation};
use crate::symbols::{FunctionKind, Layer};

impl NamedProfile {
    /// The profile with its lines, as far as the targets know them.
    pub(crate) fn with_lines(self, targets: &Targets) -> Profile {
        let Self { mut profile, targets: of_functions, interpreting } = self;
        let mut adding = Adding::new(targets);
        // Those of scripts are known.
        adding.files.extend(profile.files.iter().map(|file| Arc::from(file.as_str())));
        let frames: Vec<Vec<FrameIndex>> = profile
            .frames
            .iter()
            .map(|frame| {
                let target = of_functions[frame.function.index()];
                let function = &mut profile.functions[frame.function.index()];
                adding.frames(*frame, function, target)
            })
            .collect();
        let authors = authors_share(&profile, &of_functions);
        profile.missing_lines = adding.missing_lines(&authors, &interpreting);
        profile.missing_lines.extend(adding.hot_without_lines(&profile, &frames, &of_functions));
        if adding.files.is_empty() && adding.functions.is_empty() {
            return profile;
        }
        let mut stacks: IndexSet<Stack, FxBuildHasher> = IndexSet::default();
        let mut new_stacks: Vec<StackIndex> = Vec::with_capacity(profile.stacks.len());
        for stack in &profile.stacks {
            let caller = stack.caller.map(|caller| new_stacks[caller.index()]);
            let inwards = frames[stack.frame.index()].iter();
            let stack = inwards.fold(caller, |caller, frame| {
                let (stack, _) = stacks.insert_full(Stack { caller, frame: *frame });
                Some(StackIndex(handle(stack)))
            });
            // Each frame has become one at least.
            new_stacks.extend(stack);
        }
        profile.ends().for_each(|stack| *stack = new_stacks[stack.index()]);
        let first = handle(profile.functions.len());
        profile.stacks = stacks.into_iter().collect();
        profile.frames = adding.frames.into_iter().map(|frame| frame.numbered_from(first)).collect();
        profile.files = adding.files.iter().map(|file| file.to_string()).collect();
        profile.functions.extend(adding.functions.into_values());
        profile
    }
}

/// A frame while functions are added: inlined ones are numbered apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
struct NewFrame {
    frame: Frame,
    is_inlined: bool,
}

impl NewFrame {
    /// The frame, where the first inlined function has the number `first`.
    fn numbered_from(self, first: u32) -> Frame {
        let Self { mut frame, is_inlined } = self;
        if is_inlined {
            frame.function.0 += first;
        }
        frame
    }
}

/// What is added to a profile.
struct Adding<'t> {
    targets: &'t Targets,
    /// By target, once it was asked for; nothing if its lines are not known.
    lines: FxHashMap<u32, Option<Lines<'t>>>,
    /// By target: why there are none.
    missing: FxHashMap<u32, NoLines>,
    /// By target: whether any line was found, once it was asked for.
    has_lines: FxHashMap<u32, bool>,
    files: IndexSet<Arc<str>, FxBuildHasher>,
    frames: IndexSet<NewFrame, FxBuildHasher>,
    functions: IndexMap<(LibraryIndex, Option<Arc<str>>), ProfileFunction, FxBuildHasher>,
}

impl<'t> Adding<'t> {
    fn new(targets: &'t Targets) -> Self {
        Self {
            targets,
            lines: FxHashMap::default(),
            missing: FxHashMap::default(),
            has_lines: FxHashMap::default(),
            files: IndexSet::default(),
            frames: IndexSet::default(),
            functions: IndexMap::default(),
        }
    }

    /// The frames that take the place of `frame`, which is of `function`, from the outside inwards.
    fn frames(&mut self, frame: Frame, function: &mut ProfileFunction, target: Option<u32>) -> Vec<FrameIndex> {
        let target = target.filter(|_| function.kind.layer() == Layer::Guest);
        let found = target.zip(frame.instruction).and_then(|(target, instruction)| {
            let found = self.lines(target)?.at(instruction);
            *self.has_lines.entry(target).or_insert(false) |= found.iter().any(|frame| frame.location.is_some());
            Some((target, found))
        });
        if let (Some(target), None) = (target, frame.instruction) {
            // Only to note why.
            self.lines(target);
        }
        let Some((target, found)) = found else { return vec![self.add(frame, false)] };
        let Some((compiled, inlined)) = found.split_last() else { return vec![self.add(frame, false)] };
        let source = self.source(compiled);
        function.file = function.file.or(source.map(|source| source.file));
        let mut frames = vec![self.add(Frame { source, ..frame }, false)];
        for inner in inlined.iter().rev() {
            let source = self.source(inner);
            let function = self.inlined_function(target, function.library, inner);
            let file = &mut self.functions[function.index()].file;
            *file = file.or(source.map(|source| source.file));
            frames.push(self.add(Frame { function, source, ..frame }, true));
        }
        frames
    }

    fn add(&mut self, frame: Frame, is_inlined: bool) -> FrameIndex {
        FrameIndex(handle(self.frames.insert_full(NewFrame { frame, is_inlined }).0))
    }

    fn source(&mut self, frame: &SourceFrame) -> Option<SourceLine> {
        let SourceLocation { file, line, column, .. } = frame.location.as_ref()?;
        let (index, _) = self.files.insert_full(Arc::clone(file));
        Some(SourceLine { file: FileIndex(handle(index)), line: *line, column: *column })
    }

    /// The position of an inlined function among those that are added.
    fn inlined_function(&mut self, target: u32, library: LibraryIndex, frame: &SourceFrame) -> FunctionIndex {
        let targets = self.targets;
        let shown = |name: &str| targets.get(target).map_or_else(|| name.to_owned(), |of| of.map().shown_name(name));
        let entry = self.functions.entry((library, frame.function.clone()));
        let index = entry.index();
        entry.or_insert_with(|| {
            let name = frame.function.as_deref().map_or("(inlined function)".to_owned(), shown);
            ProfileFunction::without_interface(name, library, FunctionKind::Inlined)
        });
        FunctionIndex(handle(index))
    }

    /// The lines of a target; nothing if they are not known, which is noted if they are wanted.
    fn lines(&mut self, target: u32) -> Option<&Lines<'t>> {
        let of = self.targets.get(target)?;
        let code = of.code();
        let missing = &mut self.missing;
        let lines = self.lines.entry(target).or_insert_with(|| {
            let problem = match of.map().debug_info()? {
                Ok(info) if of.instructions().is_some() => match info.lines(code) {
                    Some(lines) => return Some(lines),
                    None => NoLines::Unregistered,
                },
                Ok(_) => NoLines::NoAddressMap,
                Err(problem) => problem.clone(),
            };
            missing.insert(target, problem);
            None
        });
        lines.as_ref()
    }

    /// Why targets that were seen have no lines, or not all of them. `authors` is the part of their time that goes to what their
    /// author compiles.
    fn missing_lines(&self, authors: &FxHashMap<u32, f64>, interpreting: &FxHashSet<u32>) -> Vec<String> {
        let reasons = self.targets.iter().filter_map(|target| {
            let index = target.number();
            if let Some(problem) = target.problem() {
                return Some(format!("`{}` has no names: {problem}", target.map().component()));
            }
            let damage = || target.map().debug_info()?.ok()?.damage();
            let has_lines = self.has_lines.get(&index);
            let other_code = || (has_lines == Some(&false)).then_some(NoLines::OfOtherCode);
            let asked = self.lines.contains_key(&index);
            let reason = self.missing.get(&index).cloned().or_else(damage).or_else(other_code).filter(|_| asked)?;
            // Of scripts they are known, and nobody asks for those of the interpreter.
            if matches!(reason, NoLines::None) && interpreting.contains(&index) {
                return None;
            }
            let lacks = if has_lines == Some(&true) { "lacks some" } else { "has no" };
            let advice = match reason {
                NoLines::None if authors.get(&index).is_some_and(|share| *share >= 0.5) => {
                    "; compile it with `-g` (Rust: `debug = true`)"
                }
                _ => "",
            };
            Some(format!("`{}` {lacks} lines of source code: {reason}{advice}", target.map().component()))
        });
        reasons.collect()
    }

    /// Targets that have lines, but not where their time goes: some of the files that they were compiled from have no debug info.
    /// `frames` are those that each frame of `profile` becomes.
    fn hot_without_lines(
        &self,
        profile: &Profile,
        frames: &[Vec<FrameIndex>],
        of_functions: &[Option<u32>],
    ) -> Vec<String> {
        if !self.has_lines.values().any(|has_lines| *has_lines) {
            return Vec::new();
        }
        let mut targets: FxHashMap<u32, Hot> = FxHashMap::default();
        for sample in profile.samples() {
            let frame = profile.stacks[sample.stack.index()].frame;
            let function = profile.frames[frame.index()].function;
            let is_guest = profile.functions[function.index()].kind.layer() == Layer::Guest;
            let Some(target) = of_functions[function.index()].filter(|_| is_guest) else { continue };
            let has_line = |index: &FrameIndex| self.frames[index.index()].frame.source.is_some();
            let hot = targets.entry(target).or_default();
            hot.all += sample.wall;
            let of = &profile.functions[function.index()];
            let is_authors = is_authors(&profile.libraries[of.library.index()].name, &of.name);
            if is_authors && !frames[frame.index()].iter().any(has_line) {
                *hot.without.entry(function).or_default() += sample.wall;
            }
        }
        let mut found = Vec::new();
        for target in self.targets.iter() {
            let index = target.number();
            let has_lines = self.has_lines.get(&index) == Some(&true);
            let says_why = target.map().debug_info().and_then(Result::ok).is_some_and(|info| info.damage().is_some());
            if let Some(hot) = targets.get(&index).filter(|_| has_lines && !says_why)
                && let Some(functions) = hot.listed(profile)
            {
                found.push(format!(
                    "`{}` has no lines of source code where much of its time goes: {functions} (their source files were compiled without debug info; \
                     where they are yours, compile them with `-g`)",
                    target.map().component()
                ));
            }
        }
        found
    }
}

/// By target: the part of its time, from 0 to 1, that goes to what its author compiles.
fn authors_share(profile: &Profile, of_functions: &[Option<u32>]) -> FxHashMap<u32, f64> {
    let mut times: FxHashMap<u32, [Duration; 2]> = FxHashMap::default();
    for sample in profile.samples() {
        // Whose code is at work: what the host does for it is its own.
        let guest = profile.outwards(sample.stack).map(|stack| profile.leaf(stack)).find(|function| {
            of_functions[function.index()].is_some() && profile.functions[function.index()].kind.layer() == Layer::Guest
        });
        let Some(function) = guest else { continue };
        let of = &profile.functions[function.index()];
        let is_authors = is_authors(&profile.libraries[of.library.index()].name, &of.name);
        if let Some(target) = of_functions[function.index()] {
            times.entry(target).or_default()[usize::from(is_authors)] += sample.wall;
        }
    }
    let share = |[others, authors]: [Duration; 2]| {
        authors.as_secs_f64() / (others + authors).as_secs_f64().max(f64::MIN_POSITIVE)
    };
    times.into_iter().map(|(target, times)| (target, share(times))).collect()
}

/// Where the time of a target goes.
#[derive(Default)]
struct Hot {
    all: Duration,
    /// Own time of functions at instructions that have no line.
    without: FxHashMap<FunctionIndex, Duration>,
}

impl Hot {
    /// The hottest functions without lines, with their shares; `None` if they do not matter.
    fn listed(&self, profile: &Profile) -> Option<String> {
        /// Part of a target's time.
        const MATTERS: f64 = 0.1;
        const LISTED: usize = 3;
        const MAX_NAME: usize = 100;
        let share = |time: Duration| time.as_secs_f64() / self.all.as_secs_f64().max(f64::MIN_POSITIVE);
        if share(self.without.values().sum()) < MATTERS {
            return None;
        }
        let mut functions: Vec<_> = self.without.iter().collect();
        functions.sort_by_key(|(function, time)| (std::cmp::Reverse(**time), function.index()));
        let listed = functions.into_iter().take(LISTED).map(|(function, time)| {
            let name = profile.shown_name(&profile.functions[function.index()]);
            let short = &name[..name.floor_char_boundary(MAX_NAME)];
            format!("`{short}` {:.0} %", share(*time) * 100.0)
        });
        Some(listed.collect::<Vec<_>>().join(", "))
    }
}
