//! How much of scripts, and of their interpreters, a profile shows.
//!
//! A function of a script stands on the stack between functions of the interpreter that runs it. Who writes scripts wants to see
//! those alone; who works on the interpreter, or compares with another profiler, wants to see what was there before.

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

impl Profile {
    /// Whether functions of scripts were seen.
    #[must_use]
    pub fn has_scripts(&self) -> bool {
        self.functions.iter().any(|function| function.kind == FunctionKind::Script)
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
        // The components whose code interprets.
        let interpreting: Vec<Option<&str>> = self
            .libraries
            .iter()
            .filter(|library| library.layer == Layer::Script)
            .map(|library| library.component.as_deref())
            .collect();
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
