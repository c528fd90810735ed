//! CPython's evaluation loop, which is found by its name.

use wasmtime_environ::{EntityIndex, HostPtr, VMOffsets};

use super::super::artifacts::ModuleArtifact;
use super::super::image::Image;
use super::{Candidate, Found, is_plain, only};
use crate::interpreters::{GuestMemory, InterpreterKind, InterpreterProblem, StatePlace, python};

/// The evaluation loop, and the state of the runtime, by their names in the object files.
const EVALUATOR: &str = "_PyEval_EvalFrameDefault";
const STATE: &str = "_PyRuntime";

/// Whether some core module may be one.
pub(super) fn may_be_in(image: &Image<'_>) -> bool {
    let is_named = |names: &[u8]| memchr::memmem::find(names, EVALUATOR.as_bytes()).is_some();
    is_named(image.info()) || is_named(image.function_names())
}

/// The evaluation loop, if the module has it. Where one exports a function of that name, it may be only a way to it.
pub(super) fn find(module: &Candidate<'_>) -> Found {
    let artifact = module.artifact;
    let exported = || artifact.exported_functions().find(|(name, _)| *name == EVALUATOR);
    let name = exported().map(|(_, name)| name).or_else(|| artifact.function_named(EVALUATOR))?;
    let defined = artifact.module().defined_func_index(name)?;
    let function = module.large_functions().find(|(index, ..)| *index == defined)?;
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some(Err(InterpreterProblem::Platform));
    }
    // Before 3.13 there was no table, and that is worth more to know than what is wrong beside.
    let is_known = || memchr::memmem::find(module.data, &python::COOKIE).is_some();
    let evaluator =
        state(artifact, module.data).and_then(|state| module.evaluator(function, InterpreterKind::Python, state));
    Some(evaluator.ok_or_else(|| if is_known() { InterpreterProblem::Code } else { InterpreterProblem::NoTable }))
}

/// Where CPython has its state. A library that may be loaded anywhere exports that; a program that is linked as a whole does not,
/// but there what the memory holds at first is known.
fn state(artifact: &ModuleArtifact<'_>, data: &[u8]) -> Option<StatePlace> {
    let module = artifact.module();
    let exported = artifact.exports().find_map(|(name, export)| match export {
        EntityIndex::Global(global) if name == STATE => Some(global),
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
    let tables = memchr::memmem::find_iter(bytes, &python::COOKIE).filter_map(|at| {
        let address = u32::try_from(address.checked_add(at as u64)?).ok()?;
        python::describes_itself(GuestMemory::new(bytes.get(at..)?)).then_some(address)
    });
    // The cookie is in the code, too, that writes it elsewhere.
    only(tables).map(StatePlace::Fixed)
}
