//! Every compiled function of an image with its key and text range.
//!
//! Wasmtime's `CompiledFunctionsTable` can look one offset up but cannot be walked, and its lookups panic on entries
//! that only a damaged image holds. It can be serialized, though: written out once more with the same encoding, its
//! columns are plain lists of integers, which are checked here one by one before a `FuncKey` is made of them.

use serde::Deserialize;
use wasmtime_environ::component::UnsafeIntrinsic;
use wasmtime_environ::{BuiltinFunctionIndex, CompiledFunctionsTable, FuncKey, HostCall};

use crate::error::ImageProblem;

/// A compiled function: what it is, and where its text lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CompiledFunction {
    pub(crate) key: FuncKey,
    /// Text offset of the first byte.
    pub(crate) start: u32,
    /// Length in bytes, at least 1.
    pub(crate) length: u32,
}

/// The columns of `CompiledFunctionsTable`, in the order in which Wasmtime 48 declares them.
#[derive(Deserialize)]
struct Columns {
    /// Kind and module of the functions of each namespace.
    namespaces: Vec<u32>,
    /// Where in `locations` each namespace begins.
    location_starts: Vec<u32>,
    /// Where in `sparse_indices` each namespace begins.
    sparse_starts: Vec<u32>,
    _source_starts: Vec<u32>,
    /// The index half of the key, for kinds whose indices have gaps.
    sparse_indices: Vec<u32>,
    /// Start and length of every function; a gap in a dense namespace has length 0.
    locations: Vec<(u32, u32)>,
    _sources: Vec<u32>,
}

/// Lists the functions of `table` in text order, none overlapping another, all inside `text_bytes`.
pub(crate) fn read(table: &CompiledFunctionsTable, text_bytes: u32) -> Result<Vec<CompiledFunction>, ImageProblem> {
    let undecodable = |error: postcard::Error| ImageProblem::Undecodable(error.to_string());
    let bytes = postcard::to_allocvec(table).map_err(undecodable)?;
    let columns: Columns = postcard::from_bytes(&bytes).map_err(undecodable)?;

    let mut functions = Vec::with_capacity(columns.locations.len());
    for (position, &namespace) in columns.namespaces.iter().enumerate() {
        let locations = columns.rows(&columns.location_starts, position, &columns.locations)?;
        let first_sparse = columns.sparse_starts.get(position).copied().unwrap_or(u32::MAX);
        for (row, &(start, length)) in (0_u32..).zip(locations) {
            if length == 0 {
                continue;
            }
            let index = if indices_have_gaps(namespace) {
                let at = first_sparse.saturating_add(row) as usize;
                *columns.sparse_indices.get(at).ok_or_else(|| contradiction("a function has no index"))?
            } else {
                row
            };
            functions.push(CompiledFunction { key: key(namespace, index)?, start, length });
        }
    }

    functions.sort_unstable_by_key(|function| function.start);
    let mut end = 0;
    for function in &functions {
        if function.start < end {
            return Err(contradiction("two functions overlap"));
        }
        end = function
            .start
            .checked_add(function.length)
            .filter(|end| *end <= text_bytes)
            .ok_or_else(|| contradiction("a function lies outside the text section"))?;
    }
    Ok(functions)
}

impl Columns {
    /// The rows of a column that belong to the namespace at `position`.
    fn rows<'c, T>(&self, starts: &[u32], position: usize, column: &'c [T]) -> Result<&'c [T], ImageProblem> {
        let start = starts.get(position).ok_or_else(|| contradiction("a namespace has no functions"))?;
        let end = starts.get(position + 1).map_or(column.len(), |end| *end as usize);
        column.get(*start as usize..end).ok_or_else(|| contradiction("a namespace ends before it starts"))
    }
}

fn contradiction(problem: &str) -> ImageProblem {
    ImageProblem::Inconsistent(format!("in its function table, {problem}"))
}

const KIND_SHIFT: u32 = 28;
const MODULE_MASK: u32 = (1 << KIND_SHIFT) - 1;

/// Kinds of which few indices are compiled: entry trampolines (1), builtins (3, 4) and start-ups (9).
fn indices_have_gaps(namespace: u32) -> bool {
    matches!(namespace >> KIND_SHIFT, 1 | 3 | 4 | 9)
}

/// Makes a key of its two halves. `FuncKey::from_raw_parts` panics on what the compiler never writes, so each
/// combination is checked first, by the rules of its documentation.
fn key(namespace: u32, index: u32) -> Result<FuncKey, ImageProblem> {
    const ABIS: u32 = 3;
    let module = namespace & MODULE_MASK;
    let valid = match namespace >> KIND_SHIFT {
        // Defined function, entry trampoline: any module, any function.
        0 | 1 => true,
        // Wasm to array, per signature.
        2 => module == 0,
        // Builtins.
        3 | 4 => module == 0 && index < BuiltinFunctionIndex::len(),
        // Pulley host calls; component builtins come after all others.
        5 => module == 0 && index <= last_host_call(),
        // Component trampolines carry an ABI instead of a module.
        6 => module < ABIS,
        7 => module == 0 && index == 0,
        8 => module < ABIS && index < UnsafeIntrinsic::len(),
        9 => index < ABIS,
        _ => false,
    };
    if !valid || index == u32::MAX {
        return Err(contradiction(&format!("there is no function with key {namespace:#x}:{index:#x}")));
    }
    Ok(FuncKey::from_raw_parts(namespace, index))
}

fn last_host_call() -> u32 {
    use wasmtime_environ::component::ComponentBuiltinFunctionIndex;
    HostCall::ComponentLowerImport.index() + ComponentBuiltinFunctionIndex::len()
}

#[cfg(test)]
mod tests {
    use super::*;
    use wasmtime_environ::{
        Abi, CompiledFunctionsTableBuilder, DefinedFuncIndex, FilePos, FunctionLoc, ModuleInternedTypeIndex,
        StaticModuleIndex, component::TrampolineIndex,
    };

    fn guest(module: u32, function: u32) -> FuncKey {
        FuncKey::DefinedWasmFunction(StaticModuleIndex::from_u32(module), DefinedFuncIndex::from_u32(function))
    }

    fn entry(module: u32, function: u32) -> FuncKey {
        FuncKey::ArrayToWasmTrampoline(StaticModuleIndex::from_u32(module), DefinedFuncIndex::from_u32(function))
    }

    #[test]
    fn every_function_is_listed_with_the_key_that_wasmtime_finds_there() {
        let keys = [
            guest(0, 0),
            guest(0, 1),
            guest(0, 5), // a gap in a dense namespace
            guest(2, 0),
            entry(0, 1),
            entry(0, 7), // a gap in a sparse one
            FuncKey::WasmToArrayTrampoline(ModuleInternedTypeIndex::from_u32(4)),
            FuncKey::ComponentTrampoline(Abi::Wasm, TrampolineIndex::from_u32(3)),
            FuncKey::ComponentTrampoline(Abi::Array, TrampolineIndex::from_u32(0)),
            FuncKey::ResourceDropTrampoline,
            FuncKey::UnsafeIntrinsic(Abi::Wasm, UnsafeIntrinsic::U8NativeLoad),
            FuncKey::ModuleStartup(Abi::Array, StaticModuleIndex::from_u32(1)),
        ];
        let mut builder = CompiledFunctionsTableBuilder::new();
        for (start, key) in (0_u32..).step_by(16).zip(keys) {
            builder.push_func(key, FunctionLoc { start, length: 10 }, FilePos::none());
        }
        let table = builder.finish();

        let functions = read(&table, 16 * 12).expect("a table that Wasmtime's own builder made");
        assert_eq!(functions.iter().map(|f| f.key).collect::<Vec<_>>(), keys);
        for function in functions {
            assert_eq!(table.func_by_text_offset(function.start + 5), Some(function.key));
            let location = table.func_loc(function.key).expect("listed functions have a location");
            assert_eq!((location.start, location.length), (function.start, function.length));
        }
    }

    #[test]
    fn a_function_outside_the_text_section_is_a_contradiction() {
        let mut builder = CompiledFunctionsTableBuilder::new();
        builder.push_func(guest(0, 0), FunctionLoc { start: 0, length: 10 }, FilePos::none());
        let table = builder.finish();
        assert!(matches!(read(&table, 9), Err(ImageProblem::Inconsistent(_))));
        assert_eq!(read(&table, 10).map(|functions| functions.len()), Ok(1));
    }

    #[test]
    fn no_pair_of_key_halves_panics() {
        let interesting = [0, 1, 2, 3, 40, 63, 90, 200, 1000, MODULE_MASK, u32::MAX - 1, u32::MAX];
        for kind in 0..16 {
            for module in interesting.map(|m| m & MODULE_MASK) {
                for index in interesting.into_iter().chain(0..300) {
                    let _ = key(kind << KIND_SHIFT | module, index);
                }
            }
        }
    }
}
