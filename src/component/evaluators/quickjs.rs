//! QuickJS's evaluation loop, `JS_CallInternal`, which is found without a name: engines are shipped without.

use super::super::image::Image;
use super::machine_code::largest_jump_table;
use super::{Candidate, Found, only};
use crate::interpreters::quickjs::MARK;
use crate::interpreters::{InterpreterKind, InterpreterProblem, StatePlace};

/// The evaluation loop is larger, in all builds by far.
const MIN_LOOP: usize = 48 << 10;

/// How many targets its jump table has, at least: in builds from 2021 to 2026 it is 218 to 252.
const MIN_TARGETS: usize = 200;

/// What it takes, in all versions: context, function, `this`, `new.target`, arguments, and flags.
const SIGNATURE: &str = "(i32, i64, i64, i64, i32, i32, i32) -> i64";

/// Whether some core module may be one.
pub(super) fn may_be_in(image: &Image<'_>) -> bool {
    memchr::memmem::find(image.wasm_data(), MARK).is_some()
}

/// The evaluation loop, if the module has it. What is in the memory at first tells nothing of that: where modules are linked when they are
/// loaded, another one puts it there.
pub(super) fn find(module: &Candidate<'_>) -> Found {
    let large = module.large_functions().filter(|(.., code)| code.len() >= MIN_LOOP);
    let mut loops = large.filter(|(defined, ..)| module.signature(*defined).is_some_and(|of| of == SIGNATURE));
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return loops.next().map(|_| Err(InterpreterProblem::Platform));
    }
    let only = only(loops.filter(|(.., code)| largest_jump_table(code) >= MIN_TARGETS))?;
    let evaluator = module.evaluator(only, InterpreterKind::QuickJs, StatePlace::InFrames);
    Some(evaluator.ok_or(InterpreterProblem::Code))
}
