//! SpiderMonkey's evaluation loop, `js::Interpret`, which is found without a name: engines are shipped without.

use std::cmp::Reverse;
use std::ops::RangeInclusive;

use rustc_hash::FxHashMap;

use super::super::image::Image;
use super::machine_code::{count_loads, largest_jump_table};
use super::{Candidate, Found, only};
use crate::interpreters::spidermonkey::{CONTEXTS, Engine, MARK, may_be_context};
use crate::interpreters::{GuestMemory, InterpreterKind, InterpreterProblem, StatePlace};

/// The evaluation loop is larger, in all engines by far; what else has a jump table of about that size is smaller.
const MIN_LOOP: usize = 32 << 10;

/// How many targets the jump table of an unknown engine's loop may have. In those that are known it is 201 to 207; another interpreter,
/// which runs nothing there, has 36 more.
const TARGETS: RangeInclusive<usize> = 190..=230;

/// Whether some core module may be one.
pub(super) fn may_be_in(image: &Image<'_>) -> bool {
    memchr::memmem::find(image.wasm_data(), MARK).is_some()
}

/// The evaluation loop, if the module has it.
pub(super) fn find(module: &Candidate<'_>) -> Found {
    let (address, bytes) = module.artifact.initial_memory(module.data)?;
    memchr::memmem::find(bytes, MARK)?;
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some(Err(InterpreterProblem::Platform));
    }
    let (targets, interpreter, context) = match Engine::of(address, bytes) {
        Some(engine) => (engine.targets..=engine.targets, InterpreterKind::SpiderMonkey(engine.layout), engine.context),
        None => {
            let contexts = contexts(module, (address, bytes));
            (TARGETS, InterpreterKind::UnknownSpiderMonkey(contexts), contexts[0])
        }
    };
    let large = module.large_functions().filter(|(.., code)| code.len() >= MIN_LOOP);
    let loops = large.map(|function| (largest_jump_table(function.2), function));
    let loops: Vec<_> = loops.filter(|(count, _)| targets.contains(count)).collect();
    // What takes instructions apart knows some more.
    let fewest = loops.iter().map(|(count, _)| *count).min();
    let only = only(loops.into_iter().filter(|(count, _)| Some(*count) == fewest));
    let evaluator = only.and_then(|(_, function)| module.evaluator(function, interpreter, StatePlace::Fixed(context)));
    let is_known = matches!(interpreter, InterpreterKind::SpiderMonkey(_));
    Some(evaluator.ok_or(if is_known { InterpreterProblem::Code } else { InterpreterProblem::Engine }))
}

/// Where an engine that is not known may have the address of its context: among the places that its code loads from most often, those
/// with an address that may be one. The likeliest come first; zero is none.
fn contexts(module: &Candidate<'_>, (start, bytes): (u64, &[u8])) -> [u32; CONTEXTS] {
    let mut contexts = [0; CONTEXTS];
    let end = u32::try_from(start.saturating_add(bytes.len() as u64)).unwrap_or(u32::MAX);
    let mut counts = FxHashMap::default();
    for (.., code) in module.all_functions() {
        count_loads(code, &(Engine::DATA..end), &mut counts);
    }
    let mut places: Vec<(u32, u32)> = counts.into_iter().collect();
    places.sort_unstable_by_key(|(place, count)| (Reverse(*count), *place));
    // The memory up to where it is known: what is before is zero, as in the beginning.
    let known = |at: u32| {
        let at = usize::try_from(u64::from(at).checked_sub(start)?).ok()?;
        GuestMemory::new(bytes.get(at..)?).u32(0)
    };
    let mut found = Vec::new();
    for (place, _) in places.into_iter().take(MOST_LOADED) {
        let Some(context) = known(place).filter(|context| may_be_context(*context, known)) else { continue };
        if !found.contains(&context) && found.len() < CONTEXTS {
            contexts[found.len()] = place;
            found.push(context);
        }
    }
    contexts
}

/// Places that are looked at. In the known engines, the address of the context is one of the first nine.
const MOST_LOADED: usize = 48;
