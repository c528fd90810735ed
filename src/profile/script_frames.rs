//! How much of scripts, and of their interpreters, a profile shows.
//!
//! A function of a script stands on the stack between functions of the interpreter that runs it. Who writes scripts wants to see
//! those alone; who works on the interpreter, or compares with another profiler, wants to see what was there before.

use std::time::Duration;

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::symbolize::handle;
use super::tables::{Profile, Stack, StackIndex};
use crate::symbols::{FunctionKind, Layer};

/// Which frames of scripts and of their interpreters stacks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum ScriptFrames {
    /// Both.
    #[default]
    All,
    /// Scripts alone: what the interpreter does for a function is that function's time. Where it does something for itself, as
    /// before the first function runs, its own functions stay.
    Only,
    /// The interpreter alone.
    None,
}

/// What is on a stack.
#[derive(Clone, Copy, Default)]
struct Program {
    script: bool,
    /// Code of a component that interprets scripts.
    interpreter: bool,
    guest: bool,
}

impl Program {
    fn with(self, other: Self) -> Self {
        Self {
            script: self.script || other.script,
            interpreter: self.interpreter || other.interpreter,
            guest: self.guest || other.guest,
        }
    }
}

impl Profile {
    /// Whether functions of scripts were seen.
    #[must_use]
    pub fn has_scripts(&self) -> bool {
        self.functions.iter().any(|function| function.kind == FunctionKind::Script)
    }

    /// Whether it is of an interpreted program, so that whoever looks at it has written scripts: of the time of guests, most is that
    /// of components that interpret; and of that, more than what it takes to start is that of their scripts. What waits does not
    /// count.
    #[must_use]
    pub fn is_of_scripts(&self) -> bool {
        if !self.has_scripts() {
            return false;
        }
        let interpreting = self.interpreting_components();
        let of_frame = |stack: &Stack| {
            let function = &self.functions[self.frames[stack.frame.index()].function.index()];
            let library = &self.libraries[function.library.index()];
            match library.layer {
                Layer::Script => Program { script: true, interpreter: true, guest: true },
                Layer::Guest => {
                    let interpreter = interpreting.contains(&library.component.as_deref());
                    Program { script: false, interpreter, guest: true }
                }
                _ => Program::default(),
            }
        };
        let mut programs: Vec<Program> = Vec::with_capacity(self.stacks.len());
        for stack in &self.stacks {
            let outer = stack.caller.map_or_else(Program::default, |caller| programs[caller.index()]);
            programs.push(outer.with(of_frame(stack)));
        }
        let [mut scripts, mut interpreters, mut guests] = [Duration::ZERO; 3];
        for sample in self.samples() {
            if self.functions[self.leaf(sample.stack).index()].kind != FunctionKind::Suspended {
                let Program { script, interpreter, guest } = programs[sample.stack.index()];
                let time = |counts: bool| if counts { sample.wall } else { Duration::ZERO };
                scripts += time(script);
                interpreters += time(interpreter);
                guests += time(guest);
            }
        }
        interpreters * 2 >= guests && scripts * 10 >= interpreters && !scripts.is_zero()
    }

    /// The components whose code interprets scripts.
    pub(super) fn interpreting_components(&self) -> Vec<Option<&str>> {
        let libraries = self.libraries.iter().filter(|library| library.layer == Layer::Script);
        libraries.map(|library| library.component.as_deref()).collect()
    }

    /// This profile with fewer frames of scripts, or of the interpreters that run them.
    ///
    /// ```
    /// # use witprof::{Dimension, Profile, ScriptFrames};
    /// # fn example(profile: &Profile) {
    /// // What the functions of a Python program did, with all that Python did for them.
    /// let functions = profile.with_script_frames(ScriptFrames::Only).report(Dimension::Function);
    /// # }
    /// ```
    #[must_use]
    pub fn with_script_frames(&self, script_frames: ScriptFrames) -> Self {
        let mut profile = self.clone();
        if script_frames == ScriptFrames::All || !self.has_scripts() {
            return profile;
        }
        let is_script = |stack: StackIndex| self.functions[self.leaf(stack).index()].kind == FunctionKind::Script;
        let interpreting = self.interpreting_components();
        let is_interpreter = |stack: StackIndex| {
            let function = &self.functions[self.leaf(stack).index()];
            let library = &self.libraries[function.library.index()];
            library.layer == Layer::Guest
                && function.kind != FunctionKind::Elided
                && interpreting.contains(&library.component.as_deref())
        };
        let mut stacks: IndexSet<Stack, FxBuildHasher> = IndexSet::default();
        let mut push = |caller: Option<StackIndex>, stack: &Stack| {
            Some(StackIndex(handle(stacks.insert_full(Stack { caller, frame: stack.frame }).0)))
        };
        // By stack: what it becomes, and what it is where there is no script on it.
        let mut reduced: Vec<Option<StackIndex>> = Vec::with_capacity(self.stacks.len());
        let mut whole: Vec<Option<StackIndex>> = Vec::with_capacity(self.stacks.len());
        let mut has_script: Vec<bool> = Vec::with_capacity(self.stacks.len());
        for (index, stack) in (0..).map(StackIndex).zip(&self.stacks) {
            let of = |known: &[Option<StackIndex>]| stack.caller.and_then(|caller| known[caller.index()]);
            let is_left_out = match script_frames {
                ScriptFrames::Only => is_interpreter(index),
                _ => is_script(index),
            };
            let outer = of(&reduced);
            reduced.push(if is_left_out { outer } else { push(outer, stack) });
            let outer = of(&whole);
            whole.push(push(outer, stack));
            let is_inside = stack.caller.is_some_and(|caller| has_script[caller.index()]);
            has_script.push(is_inside || is_script(index));
        }
        let of_stack = |stack: StackIndex| {
            let other = if has_script[stack.index()] { reduced[stack.index()] } else { whole[stack.index()] };
            other.or(whole[stack.index()]).unwrap_or(stack)
        };
        profile.stacks = stacks.into_iter().collect();
        profile.ends().for_each(|stack| *stack = of_stack(*stack));
        profile.without_unused();
        profile
    }
}
