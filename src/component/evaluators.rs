//! Finds the evaluation loops of interpreters in what was compiled, and where each of them keeps its instance.
//!
//! A frame of compiled code does not tell which instance it runs for. But each function gets its instance as the first argument,
//! and one that is as large as an evaluation loop puts it onto the stack at once, in a place that is the same in all of its frames.
//! Where that is, its first instructions say.

use wasmtime_environ::{EntityIndex, FuncKey, GlobalIndex, HostPtr, IndexType, MemoryIndex, Module, VMOffsets};

use super::artifacts::{Artifacts, ModuleArtifact};
use super::code::Code;
use super::image::Image;
use crate::interpreters::{Evaluator, InstanceLayout, InterpreterProblem};

/// CPython's evaluation loop, and the state of the runtime, by their names in the object files.
const PYTHON_EVALUATOR: &str = "_PyEval_EvalFrameDefault";
const PYTHON_STATE: &str = "_PyRuntime";

/// No interpreter is smaller, and most components are: they are not looked through.
const MIN_TEXT: usize = 1 << 20;

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
    if memchr::memmem::find(image.info(), PYTHON_STATE.as_bytes()).is_none() {
        return nothing;
    }
    let Ok(artifacts) = Artifacts::decode(&image) else { return nothing };
    let modules = (0_u32..).zip(&artifacts.modules);
    let found = modules.filter_map(|(index, module)| python(&artifacts, (index, module), text));
    let (mut evaluators, mut problem) = nothing;
    for evaluator in found {
        match evaluator {
            Ok(evaluator) => evaluators.push(evaluator),
            Err(found) => problem = Some(found),
        }
    }
    (evaluators, problem)
}

/// The evaluation loop of CPython, if the module has it: where a module exports the loop, but not the state, it is only a way to it.
fn python(
    artifacts: &Artifacts<'_>,
    (index, artifact): (u32, &ModuleArtifact<'_>),
    text: &[u8],
) -> Option<Result<Evaluator, InterpreterProblem>> {
    let state = artifact.exports().find_map(|(name, export)| match export {
        EntityIndex::Global(global) if name == PYTHON_STATE => Some(global),
        _ => None,
    })?;
    let (_, name) = artifact.exported_functions().find(|(name, _)| *name == PYTHON_EVALUATOR)?;
    let defined = artifact.module().defined_func_index(name)?;
    let key =
        |key: FuncKey| matches!(key, FuncKey::DefinedWasmFunction(of, at) if of.as_u32() == index && at == defined);
    let function = artifacts.functions.iter().find(|function| key(function.key))?;
    let code = text.get(function.start as usize..)?.get(..function.length as usize)?;
    if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
        return Some(Err(InterpreterProblem::Platform));
    }
    let place = instance_slot(code).zip(instance(artifact, state));
    let Some(((slot, frame, holds_from), instance)) = place else { return Some(Err(InterpreterProblem::Code)) };
    let start = u64::from(function.start);
    Some(Ok(Evaluator {
        start,
        end: start + u64::from(function.length),
        holds_from: start + holds_from,
        slot,
        frame,
        target: 0,
        function: (index, name.as_u32()),
        instance,
    }))
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

/// Where a function of x86-64 keeps its instance, from the frame pointer, how large its frame is, and from which offset on. `None` where
/// its first instructions are others than those that Cranelift begins with: the frame, the check for room, registers that are saved or
/// moved, and the instance among them.
fn instance_slot(code: &[u8]) -> Option<(i64, u64, u64)> {
    const FRAME: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
    /// Instructions that are looked at.
    const MANY: usize = 32;
    let mut rest = code.strip_prefix(&FRAME)?;
    let mut size = 0_i64;
    // Registers that have the instance: it is the first argument.
    let mut has_instance = [false; 16];
    has_instance[RDI] = true;
    for _ in 0..MANY {
        let Instruction { kind, length } = Instruction::decode(rest)?;
        rest = rest.get(length..)?;
        match kind {
            Kind::Nothing => {}
            Kind::Makes(RSP | RBP) | Kind::Moves { to: RSP | RBP, .. } => return None,
            Kind::Makes(register) => has_instance[register] = false,
            Kind::Moves { to, from } => has_instance[to] = has_instance[from],
            Kind::LowersStack(by) if size == 0 => size = by,
            Kind::LowersStack(_) => return None,
            Kind::Stores { register, at } => {
                if has_instance[register] && (0..size).contains(&at) {
                    let holds_from = u64::try_from(code.len() - rest.len()).ok()?;
                    return Some((at - size, u64::try_from(size).ok()?, holds_from));
                }
            }
        }
    }
    None
}

const RSP: usize = 4;
const RBP: usize = 5;
const RDI: usize = 7;

/// An instruction of x86-64, as far as functions begin with such.
struct Instruction {
    kind: Kind,
    length: usize,
}

enum Kind {
    /// Compares, or leaves the function.
    Nothing,
    /// Writes something new to a register.
    Makes(usize),
    Moves {
        to: usize,
        from: usize,
    },
    /// Takes so many bytes off the stack pointer.
    LowersStack(i64),
    /// Writes a register to the stack, so many bytes above the stack pointer.
    Stores {
        register: usize,
        at: i64,
    },
}

/// What an instruction works on beside a register.
enum Operand {
    Register(usize),
    /// So many bytes above the stack pointer.
    Stack(i64),
    Memory,
}

impl Instruction {
    /// Of all but a few, nothing is known; nor of any that is cut.
    fn decode(code: &[u8]) -> Option<Self> {
        if let [0x0f, 0x87, _, _, _, _, ..] = code {
            // ja: out of line, where there is no room.
            return Some(Self { kind: Kind::Nothing, length: 6 });
        }
        // All others work on 64 bits.
        let [prefix @ 0x48..=0x4f, opcode, modrm, ..] = *code else { return None };
        let bit = |number: u8| usize::from(prefix >> number & 1) << 3;
        let register = usize::from(modrm >> 3 & 7) | bit(2);
        let (operand, length) = Self::operand(code.get(2..)?, bit(0))?;
        let length = length + 2;
        Some(match (opcode, operand) {
            // mov
            (0x89, Operand::Register(to)) => Self { kind: Kind::Moves { to, from: register }, length },
            (0x8b, Operand::Register(from)) => Self { kind: Kind::Moves { to: register, from }, length },
            (0x8b, _) => Self { kind: Kind::Makes(register), length },
            (0x89, Operand::Stack(at)) => Self { kind: Kind::Stores { register, at }, length },
            // cmp
            (0x39 | 0x3b, _) => Self { kind: Kind::Nothing, length },
            // add, or, and, sub, xor, cmp: with a number of four bytes, or of one.
            (0x81 | 0x83, Operand::Register(to)) => {
                let bytes = if opcode == 0x81 { 4 } else { 1 };
                let number = signed(code.get(length..)?.get(..bytes)?);
                let kind = match modrm >> 3 & 7 {
                    5 if to == RSP => Kind::LowersStack(number),
                    7 => Kind::Nothing,
                    _ => Kind::Makes(to),
                };
                Self { kind, length: length + bytes }
            }
            _ => return None,
        })
    }

    /// The operand that a byte describes, with those after it, and how many they are. `extension` is what the prefix adds to the
    /// register.
    fn operand(code: &[u8], extension: usize) -> Option<(Operand, usize)> {
        let modrm = *code.first()?;
        let (mode, base) = (modrm >> 6, usize::from(modrm & 7));
        if mode == 3 {
            return Some((Operand::Register(base | extension), 1));
        }
        let has_index = base == RSP;
        // The stack pointer is a base only by way of an index that is none.
        let is_stack = has_index && *code.get(1)? == 0x24 && extension == 0;
        let head = 1 + usize::from(has_index);
        let bytes = match mode {
            0 if base == RBP || has_index && code.get(1)? & 7 == 5 => 4,
            0 => 0,
            1 => 1,
            _ => 4,
        };
        let displacement = signed(code.get(head..)?.get(..bytes)?);
        Some((if is_stack { Operand::Stack(displacement) } else { Operand::Memory }, head + bytes))
    }
}

/// A number of so many bytes.
fn signed(bytes: &[u8]) -> i64 {
    match *bytes {
        [byte] => i64::from(byte.cast_signed()),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The beginning of CPython 3.14's evaluation loop, as Wasmtime 48 compiles it.
    const EVALUATOR: [u8; 78] = [
        0x55, 0x48, 0x89, 0xe5, 0x4c, 0x8b, 0x57, 0x08, 0x4d, 0x8b, 0x52, 0x18, 0x49, 0x81, 0xc2, 0xa0, 0x02, 0x00,
        0x00, 0x4c, 0x3b, 0xd4, 0x0f, 0x87, 0x41, 0x2e, 0x02, 0x00, 0x48, 0x81, 0xec, 0x90, 0x02, 0x00, 0x00, 0x48,
        0x89, 0x9c, 0x24, 0x60, 0x02, 0x00, 0x00, 0x4c, 0x89, 0xa4, 0x24, 0x68, 0x02, 0x00, 0x00, 0x4c, 0x89, 0xac,
        0x24, 0x70, 0x02, 0x00, 0x00, 0x4c, 0x89, 0xb4, 0x24, 0x78, 0x02, 0x00, 0x00, 0x4c, 0x89, 0xbc, 0x24, 0x80,
        0x02, 0x00, 0x00, 0x48, 0x89, 0x7c,
    ];

    /// The same, up to where registers are saved.
    const SAVES: usize = 35;

    #[test]
    fn the_first_instructions_say_where_the_instance_is() {
        let mut code = EVALUATOR.to_vec();
        assert_eq!(instance_slot(&code), None, "it is cut");
        code.extend([0x24, 0x20, 0x48, 0x89]);
        assert_eq!(instance_slot(&code), Some((0x20 - 0x290, 0x290, 0x50)));
        // Something else has been written to the register before: another register, memory, a number.
        for other in [&[0x48, 0x89, 0xf7][..], &[0x48, 0x8b, 0x3e], &[0x48, 0x83, 0xc7, 0x10]] {
            let mut code = code.clone();
            code.splice(SAVES..SAVES, other.iter().copied());
            assert_eq!(instance_slot(&code), None, "{other:x?}");
        }
        // mov [rcx], rax: nobody knows.
        code.splice(SAVES..SAVES, [0x48, 0x89, 0x01]);
        assert_eq!(instance_slot(&code), None);
    }

    #[test]
    fn other_arguments_may_be_moved_before() {
        // With epochs: mov r12, r8.
        let mut code = EVALUATOR.to_vec();
        code.extend([0x24, 0x20]);
        let end = code.len() - 5;
        code.splice(end..end, [0x4d, 0x89, 0xc4]);
        assert_eq!(instance_slot(&code), Some((0x20 - 0x290, 0x290, 0x53)));
        // mov r12, rdi; mov rdi, rsi; mov [rsp+0x20], rdi; mov [rsp+0x30], r12
        code.truncate(end);
        code.extend([0x49, 0x89, 0xfc, 0x48, 0x89, 0xf7, 0x48, 0x89, 0x7c, 0x24, 0x20, 0x4c, 0x89, 0x64, 0x24, 0x30]);
        assert_eq!(instance_slot(&code), Some((0x30 - 0x290, 0x290, code.len() as u64)));
    }

    #[test]
    fn a_place_outside_of_the_frame_is_none() {
        for at in [0x90, 0x80] {
            let code = [&EVALUATOR[..SAVES], &[0x48, 0x89, 0xbc, 0x24, at, 0x02, 0x00, 0x00]].concat();
            assert_eq!(instance_slot(&code).is_some(), at == 0x80);
        }
        // Before there is a frame, and below it.
        let code = [&EVALUATOR[..4], &[0x48, 0x89, 0x3c, 0x24], &EVALUATOR[28..35], &[0x48, 0x89, 0x7c, 0x24, 0xf8]];
        assert_eq!(instance_slot(&code.concat()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_code(code: Vec<u8>, cut in 0..EVALUATOR.len()) {
            let code = [&EVALUATOR[..cut], &code[..]].concat();
            if let Some((slot, size, holds_from)) = instance_slot(&code) {
                prop_assert!(slot < 0 && slot + i64::try_from(size).expect("small") >= 0);
                prop_assert!(holds_from <= code.len() as u64);
            }
        }
    }
}
