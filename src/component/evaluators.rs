//! Finds the evaluation loops of interpreters in what was compiled, and where each of them keeps its instance.
//!
//! A frame of compiled code does not tell which instance it runs for. But each function gets its instance as the first argument,
//! and one that is as large as an evaluation loop puts it onto the stack at once, in a place that is the same in all of its frames.
//! Where that is, its first instructions say.

use wasmtime_environ::{EntityIndex, FuncKey, GlobalIndex, HostPtr, IndexType, MemoryIndex, Module, VMOffsets};

use super::artifacts::{Artifacts, ModuleArtifact};
use super::code::Code;
use super::image::Image;
use crate::interpreters::{Evaluator, InstanceLayout};

/// CPython's evaluation loop, and the state of the runtime, by their names in the object files.
const PYTHON_EVALUATOR: &str = "_PyEval_EvalFrameDefault";
const PYTHON_STATE: &str = "_PyRuntime";

/// No interpreter is smaller, and most components are: they are not looked through.
const MIN_TEXT: usize = 1 << 20;

/// The evaluation loops in some code, with offsets into its text. Costs nothing where there is little code, and little where there is
/// no interpreter.
pub(crate) fn find(code: &Code) -> Vec<Evaluator> {
    let text = code.text();
    if text.len() < MIN_TEXT {
        return Vec::new();
    }
    // A damaged image has been, or will be, said to be one.
    let Ok(image) = Image::parse(code.image()) else { return Vec::new() };
    if memchr::memmem::find(image.info(), PYTHON_STATE.as_bytes()).is_none() {
        return Vec::new();
    }
    let Ok(artifacts) = Artifacts::decode(&image) else { return Vec::new() };
    let modules = (0_u32..).zip(&artifacts.modules);
    modules.filter_map(|(index, module)| python(&artifacts, (index, module), text)).collect()
}

/// The evaluation loop of CPython, if the module has it: where a module exports the loop, but not the state, it is only a way to it.
fn python(artifacts: &Artifacts<'_>, (index, artifact): (u32, &ModuleArtifact<'_>), text: &[u8]) -> Option<Evaluator> {
    let state = artifact.exports().find_map(|(name, export)| match export {
        EntityIndex::Global(global) if name == PYTHON_STATE => Some(global),
        _ => None,
    })?;
    let (_, function) = artifact.exported_functions().find(|(name, _)| *name == PYTHON_EVALUATOR)?;
    let defined = artifact.module().defined_func_index(function)?;
    let key =
        |key: FuncKey| matches!(key, FuncKey::DefinedWasmFunction(of, at) if of.as_u32() == index && at == defined);
    let function = artifacts.functions.iter().find(|function| key(function.key))?;
    let code = text.get(function.start as usize..)?.get(..function.length as usize)?;
    let (slot, frame, holds_from) = instance_slot(code)?;
    let start = u64::from(function.start);
    Some(Evaluator {
        start,
        end: start + u64::from(function.length),
        holds_from: start + holds_from,
        slot,
        frame,
        target: 0,
        offset: function.start,
        instance: instance(artifact, state)?,
    })
}

fn instance(artifact: &ModuleArtifact<'_>, state: GlobalIndex) -> Option<InstanceLayout> {
    let module = artifact.module();
    let offsets = VMOffsets::new(HostPtr, module);
    let memory = MemoryIndex::from_u32(0);
    // What others may write to meanwhile is not read, and addresses are taken for numbers of 32 bits.
    module.memories.get(memory).filter(|memory| !memory.shared && memory.idx_type == IndexType::I32)?;
    let memory = match module.defined_memory_index(memory) {
        Some(defined) => offsets.vmctx_vmmemory_pointer(defined),
        None => offsets.vmctx_vmmemory_import_from(memory),
    };
    let memory_base = artifact.imports().find_map(|(_, field, import)| match import {
        EntityIndex::Global(global) if field == "__memory_base" => Some(offsets.vmctx_vmglobal_import_from(global)),
        _ => None,
    });
    let state = offsets.vmctx_vmglobal_definition(module.defined_global_index(state)?);
    is_plain(module).then_some(InstanceLayout { memory, state, memory_base })
}

/// Whether the numbers of the module are what a compiled one can have: a damaged image may say anything.
fn is_plain(module: &Module) -> bool {
    module.num_imported_globals <= module.globals.len() && module.num_imported_memories <= module.memories.len()
}

/// Where a function of x86-64 keeps its instance, from the frame pointer, how large its frame is, and from which offset on. `None` where its first instructions
/// are others than those that Cranelift writes: the frame, the check for room, registers that are saved, and then the instance.
fn instance_slot(code: &[u8]) -> Option<(i64, u64, u64)> {
    if !cfg!(target_arch = "x86_64") {
        return None;
    }
    const FRAME: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
    /// Instructions that are looked at.
    const MANY: usize = 32;
    let mut rest = code.strip_prefix(&FRAME)?;
    let mut size = 0_i64;
    for _ in 0..MANY {
        let (stored, length) = match rest {
            // mov r10, [rdi + n]; mov r10, [r10 + n]; cmp r10, rsp
            [0x4c, 0x8b, 0x57, ..] | [0x4d, 0x8b, 0x52, ..] => (None, 4),
            [0x4c, 0x3b, 0xd4, ..] | [0x49, 0x39, 0xe2, ..] => (None, 3),
            // add r10, n
            [0x49, 0x81, 0xc2, ..] => (None, 7),
            [0x49, 0x83, 0xc2, ..] => (None, 4),
            // ja: out of line, where there is no room
            [0x0f, 0x87, ..] => (None, 6),
            // sub rsp, n
            [0x48, 0x81, 0xec, a, b, c, d, ..] => {
                size = i64::from(u32::from_le_bytes([*a, *b, *c, *d]));
                (None, 7)
            }
            [0x48, 0x83, 0xec, n, ..] => {
                size = i64::from(*n);
                (None, 4)
            }
            // mov [rsp], register; mov [rsp + n], register
            [0x48 | 0x4c, 0x89, register, 0x24, ..] if register & 0xc7 == 0x04 => (Some((0, *register)), 4),
            [0x48 | 0x4c, 0x89, register, 0x24, n, ..] if register & 0xc7 == 0x44 => {
                (Some((i64::from(*n), *register)), 5)
            }
            [0x48 | 0x4c, 0x89, register, 0x24, a, b, c, d, ..] if register & 0xc7 == 0x84 => {
                (Some((i64::from(u32::from_le_bytes([*a, *b, *c, *d])), *register)), 8)
            }
            _ => return None,
        };
        let is_low = rest[0] == 0x48;
        rest = rest.get(length..)?;
        // rdi is the first argument.
        if let Some((at, register)) = stored
            && is_low
            && register >> 3 & 7 == 7
            && at < size
        {
            return Some((at - size, u64::try_from(size).ok()?, u64::try_from(code.len() - rest.len()).ok()?));
        }
    }
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// The beginning of CPython 3.14's evaluation loop, as Wasmtime 48 compiles it.
    const EVALUATOR: [u8; 78] = [
        0x55, 0x48, 0x89, 0xe5, 0x4c, 0x8b, 0x57, 0x08, 0x4d, 0x8b, 0x52, 0x18, 0x49, 0x81, 0xc2, 0xa0, 0x02, 0x00,
        0x00, 0x4c, 0x3b, 0xd4, 0x0f, 0x87, 0x41, 0x2e, 0x02, 0x00, 0x48, 0x81, 0xec, 0x90, 0x02, 0x00, 0x00, 0x48,
        0x89, 0x9c, 0x24, 0x60, 0x02, 0x00, 0x00, 0x4c, 0x89, 0xa4, 0x24, 0x68, 0x02, 0x00, 0x00, 0x4c, 0x89, 0xac,
        0x24, 0x70, 0x02, 0x00, 0x00, 0x4c, 0x89, 0xb4, 0x24, 0x78, 0x02, 0x00, 0x00, 0x4c, 0x89, 0xbc, 0x24, 0x80,
        0x02, 0x00, 0x00, 0x48, 0x89, 0x7c,
    ];

    #[test]
    fn the_first_instructions_say_where_the_instance_is() {
        let mut code = EVALUATOR.to_vec();
        assert_eq!(instance_slot(&code), None, "it is cut");
        code.extend([0x24, 0x20, 0x48, 0x89]);
        assert_eq!(instance_slot(&code), Some((0x20 - 0x290, 0x290, 0x50)));
        // Something else has been written to the register before.
        code.splice(35..35, [0x48, 0x89, 0xf7]);
        assert_eq!(instance_slot(&code), None);
    }
}
