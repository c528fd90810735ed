//! Finds the evaluation loops of interpreters in what was compiled, and where each of them keeps its instance.
//!
//! A frame of compiled code does not tell which instance it runs for. But each function gets its instance as the first argument,
//! and one that is as large as an evaluation loop puts it onto the stack at once, in a place that is the same in all of its frames.
//! Where that is, its first instructions say.

mod machine_code;
mod python;
mod quickjs;
mod spidermonkey;
mod start;

use wasmtime_environ::{
    DefinedFuncIndex, EngineOrModuleTypeIndex, FuncKey, HostPtr, IndexType, MemoryIndex, Module, VMOffsets,
};

use self::start::{InstanceSlot, instance_slot};
use super::artifacts::{Artifacts, ModuleArtifact};
use super::code::Code;
use super::function_table::CompiledFunction;
use super::image::Image;
use crate::interpreters::{Evaluator, InstanceLayout, InterpreterKind, InterpreterProblem, StatePlace};

/// No interpreter is smaller, and most components are: they are not looked through.
const MIN_TEXT: usize = 1 << 20;

/// No evaluation loop is smaller: what is, is a way to one.
const MIN_EVALUATOR: u32 = 8 << 10;

/// What a search for an interpreter in a core module finds: nothing, its evaluation loop, or why that cannot be used.
type Found = Option<Result<Evaluator, InterpreterProblem>>;

/// How an interpreter is found.
#[derive(Clone, Copy)]
struct Search {
    /// Whether some core module of an image may be one.
    may_be_in: fn(&Image<'_>) -> bool,
    /// Finds the evaluation loop in a core module.
    find: fn(&Candidate<'_>) -> Found,
    /// What it means if none is found in any, though it may be there.
    otherwise: Option<InterpreterProblem>,
}

const SEARCHES: [Search; 3] = [
    Search { may_be_in: python::may_be_in, find: python::find, otherwise: None },
    Search { may_be_in: spidermonkey::may_be_in, find: spidermonkey::find, otherwise: None },
    Search { may_be_in: quickjs::may_be_in, find: quickjs::find, otherwise: Some(InterpreterProblem::QuickJs) },
];

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
    let searches: Vec<Search> = SEARCHES.into_iter().filter(|search| (search.may_be_in)(&image)).collect();
    if searches.is_empty() {
        return nothing;
    }
    let Ok(artifacts) = Artifacts::decode(&image) else { return nothing };
    let modules = (0_u32..).zip(&artifacts.modules).map(|(index, artifact)| Candidate {
        artifacts: &artifacts,
        index,
        artifact,
        text,
        data: image.wasm_data(),
    });
    let found = modules.filter_map(|module| searches.iter().find_map(|search| (search.find)(&module)));
    let (mut evaluators, mut problem) = nothing;
    for evaluator in found {
        match evaluator {
            Ok(evaluator) => evaluators.push(evaluator),
            Err(found) => problem = Some(found),
        }
    }
    if evaluators.is_empty() && problem.is_none() {
        problem = searches.iter().find_map(|search| search.otherwise);
    }
    (evaluators, problem)
}

/// A core module that may be an interpreter.
struct Candidate<'c> {
    artifacts: &'c Artifacts<'c>,
    index: u32,
    artifact: &'c ModuleArtifact<'c>,
    text: &'c [u8],
    data: &'c [u8],
}

impl<'c> Candidate<'c> {
    /// Its functions that are large enough for an evaluation loop, each with its code.
    fn large_functions(&self) -> impl Iterator<Item = (DefinedFuncIndex, &CompiledFunction, &'c [u8])> {
        self.all_functions().filter(|(_, function, _)| function.length >= MIN_EVALUATOR)
    }

    /// Its functions, each with its code.
    fn all_functions(&self) -> impl Iterator<Item = (DefinedFuncIndex, &CompiledFunction, &'c [u8])> {
        self.artifacts.functions.iter().filter_map(|function| match function.key {
            FuncKey::DefinedWasmFunction(module, defined) if module.as_u32() == self.index => {
                let code = self.text.get(function.start as usize..)?.get(..function.length as usize)?;
                Some((defined, function, code))
            }
            _ => None,
        })
    }

    /// The signature of a function, for instance `(i32, i64) -> i32`.
    fn signature(&self, defined: DefinedFuncIndex) -> Option<String> {
        let module = self.artifact.module();
        let function = module.functions.get(module.func_index(defined))?;
        match function.signature {
            EngineOrModuleTypeIndex::Module(ty) => self.artifacts.core_signature(ty),
            _ => None,
        }
    }

    /// The evaluation loop that a function is, whose interpreter has its state in a place. `None` if it was compiled in a way that is not
    /// known.
    fn evaluator(
        &self,
        (defined, function, code): (DefinedFuncIndex, &CompiledFunction, &[u8]),
        interpreter: InterpreterKind,
        state: StatePlace,
    ) -> Option<Evaluator> {
        let InstanceSlot { slot, frame, holds_from, not_yet } = instance_slot(code)?;
        let start = u64::from(function.start);
        Some(Evaluator {
            start,
            end: start + u64::from(function.length),
            holds_from: start + holds_from,
            not_yet: not_yet.map(|range| range.map(|(from, to)| (start + from, start + to))),
            slot,
            frame,
            target: 0,
            function: (self.index, self.artifact.module().func_index(defined).as_u32()),
            instance: InstanceLayout { memory: memory(self.artifact.module())?, state },
            interpreter,
        })
    }
}

/// What there is, if there is only one.
fn only<T>(all: impl IntoIterator<Item = T>) -> Option<T> {
    let mut all = all.into_iter();
    all.next().filter(|_| all.next().is_none())
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
