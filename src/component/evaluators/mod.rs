//! Finds the evaluation loops of interpreters in what was compiled, and where each of them keeps its instance.
//!
//! A frame of compiled code does not tell which instance it runs for. But each function gets its instance as the first argument,
//! and one that is as large as an evaluation loop puts it onto the stack at once, in a place that is the same in all of its frames.
//! Where that is, its first instructions say.

mod start;

use wasmtime_environ::{EntityIndex, FuncKey, HostPtr, IndexType, MemoryIndex, Module, VMOffsets};

use self::start::{InstanceSlot, instance_slot};
use super::artifacts::{Artifacts, ModuleArtifact};
use super::code::Code;
use super::image::Image;
use crate::interpreters::{Evaluator, GuestMemory, InstanceLayout, InterpreterProblem, StatePlace, python};

/// CPython's evaluation loop, and the state of the runtime, by their names in the object files.
const PYTHON_EVALUATOR: &str = "_PyEval_EvalFrameDefault";
const PYTHON_STATE: &str = "_PyRuntime";

/// No interpreter is smaller, and most components are: they are not looked through.
const MIN_TEXT: usize = 1 << 20;

/// No evaluation loop is smaller: what is, is a way to one.
const MIN_EVALUATOR: usize = 8 << 10;

/// The evaluation loops in some code, with offsets into its text; and why there may be more, if one of them cannot be used. Costs
/// nothing where there is little code, and little where there is no interpreter.
pub(crate) fn find(code: &Code) -> (Vec<Evaluator>, Option<InterpreterProblem>) {
    let nothing = (Vec::new(), None);
    let text = code.text();
    if text.len() < MIN_TEXT {
        return nothing;
    }
    // A damaged image has been, or will be, said to be one.
    let Ok(image) = Image::parse(code.image()) else { return nothing };
    let has_python = |names: &[u8]| memchr::memmem::find(names, PYTHON_EVALUATOR.as_bytes()).is_some();
    if !has_python(image.info()) && !has_python(image.function_names()) {
        return nothing;
    }
    let Ok(artifacts) = Artifacts::decode(&image) else { return nothing };
    let modules = (0_u32..).zip(&artifacts.modules);
    let found = modules.filter_map(|(index, module)| python(&artifacts, (index, module), (text, image.wasm_data())));
    let (mut evaluators, mut problem) = nothing;
    for evaluator in found {
        match evaluator {
            Ok(evaluator) => evaluators.push(evaluator),
            Err(found) => problem = Some(found),
        }
    }
    (evaluators, problem)
}

/// The evaluation loop of CPython, if the module has it. Where one exports a function of that name, it may be only a way to it.
fn python(
    artifacts: &Artifacts<'_>,
    (index, artifact): (u32, &ModuleArtifact<'_>),
    (text, data): (&[u8], &[u8]),
) -> Option<Result<Evaluator, InterpreterProblem>> {
    let exported = || artifact.exported_functions().find(|(name, _)| *name == PYTHON_EVALUATOR);
    let name = exported().map(|(_, name)| name).or_else(|| artifact.function_named(PYTHON_EVALUATOR))?;
    let defined = artifact.module().defined_func_index(name)?;
    let key =
        |key: FuncKey| matches!(key, FuncKey::DefinedWasmFunction(of, at) if of.as_u32() == index && at == defined);
    let function = artifacts.functions.iter().find(|function| key(function.key))?;
    let code = text.get(function.start as usize..)?.get(..function.length as usize)?;
    if code.len() < MIN_EVALUATOR {
        return None;
    }
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some(Err(InterpreterProblem::Platform));
    }
    // Before 3.13 there was no table, and that is worth more to know than what is wrong beside.
    let is_known = || memchr::memmem::find(data, &python::COOKIE).is_some();
    let problem = || Some(Err(if is_known() { InterpreterProblem::Code } else { InterpreterProblem::NoTable }));
    let Some(state) = python_state(artifact, data) else { return problem() };
    let place = instance_slot(code).zip(memory(artifact.module()));
    let Some((InstanceSlot { slot, frame, holds_from, not_yet }, memory)) = place else {
        return problem();
    };
    let start = u64::from(function.start);
    Some(Ok(Evaluator {
        start,
        end: start + u64::from(function.length),
        holds_from: start + holds_from,
        not_yet: not_yet.map(|range| range.map(|(from, to)| (start + from, start + to))),
        slot,
        frame,
        target: 0,
        function: (index, name.as_u32()),
        instance: InstanceLayout { memory, state },
    }))
}

/// Where CPython has its state. A library that may be loaded anywhere exports that; a program that is linked as a whole does not,
/// but there what the memory holds at first is known.
fn python_state(artifact: &ModuleArtifact<'_>, data: &[u8]) -> Option<StatePlace> {
    let module = artifact.module();
    let exported = artifact.exports().find_map(|(name, export)| match export {
        EntityIndex::Global(global) if name == PYTHON_STATE => Some(global),
        _ => None,
    });
    if let Some(global) = exported {
        if !is_plain(module) {
            return None;
        }
        let offsets = VMOffsets::new(HostPtr, module);
        let memory_base = artifact.imports().find_map(|(_, field, import)| match import {
            EntityIndex::Global(global) if field == "__memory_base" => Some(offsets.vmctx_vmglobal_import_from(global)),
            _ => None,
        });
        let at = offsets.vmctx_vmglobal_definition(module.defined_global_index(global)?);
        return Some(StatePlace::Global { at, memory_base });
    }
    let (address, bytes) = artifact.initial_memory(data)?;
    let mut tables = memchr::memmem::find_iter(bytes, &python::COOKIE).filter_map(|at| {
        let address = u32::try_from(address.checked_add(at as u64)?).ok()?;
        python::describes_itself(GuestMemory::new(bytes.get(at..)?)).then_some(address)
    });
    // The cookie is in the code, too, that writes it elsewhere.
    tables.next().filter(|_| tables.next().is_none()).map(StatePlace::Fixed)
}

/// Where an instance of a module has a pointer to the definition of its memory.
fn memory(module: &Module) -> Option<u32> {
    let offsets = is_plain(module).then(|| VMOffsets::new(HostPtr, module))?;
    let memory = MemoryIndex::from_u32(0);
    // What others may write to meanwhile is not read, and addresses are taken for numbers of 32 bits.
    module.memories.get(memory).filter(|memory| !memory.shared && memory.idx_type == IndexType::I32)?;
    Some(match module.defined_memory_index(memory) {
        Some(defined) => offsets.vmctx_vmmemory_pointer(defined),
        None => offsets.vmctx_vmmemory_import_from(memory),
    })
}

/// Whether the numbers of the module are what a compiled one can have: a damaged image may say anything.
fn is_plain(module: &Module) -> bool {
    module.num_imported_globals <= module.globals.len() && module.num_imported_memories <= module.memories.len()
}
