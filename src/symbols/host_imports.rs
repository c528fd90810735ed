//! Which function of the host a core module calls, where it stands alone.
//!
//! Wasmtime shares one trampoline among all imported functions of one signature, so the trampoline does not tell them
//! apart. Who called it does: the instruction at the call site is `call N`, and `N` is the index of an import, which has a
//! name. Where the site is another instruction, such as `call_indirect`, nothing is known but the signature, and that is
//! all that is said; unless there is one import only of that signature, and no other way for a function of the host to
//! get into the module.

use std::ops::Range;

use wasmparser::{Operator, Parser, Payload};
use wasmtime_environ::EntityIndex;

use crate::address::WasmOffset;
use crate::component::{Artifacts, ModuleArtifact};
use crate::debug_info::WasmBytes;

/// The library, and interface, of calls of host functions of which only the signature is known.
pub(crate) const BY_SIGNATURE: &str = "host functions by signature";

/// The functions that a core module imports, and which of them its instructions call.
#[derive(Debug, Default)]
pub(crate) struct HostImports {
    /// By index of the function.
    imports: Vec<HostImport>,
    calls: Calls,
    /// Whether these are all functions of the host that the module can ever call.
    is_closed: bool,
}

/// An imported function. Its names are chosen by the guest.
#[derive(Debug)]
pub(crate) struct HostImport {
    /// The module it is imported from: `wasi_snapshot_preview1`.
    pub(crate) module: Box<str>,
    /// The function: `fd_write`.
    pub(crate) function: Box<str>,
    /// As the name of the trampoline spells it.
    signature: Box<str>,
}

/// What tells which function an instruction calls.
#[derive(Debug, Default)]
enum Calls {
    /// The binary is not known.
    #[default]
    Unknown,
    /// The binary, and where its code is: an instruction is looked at when it is asked for.
    Binary(WasmBytes, Range<usize>),
    /// The calls of imports in a binary that could not be kept: offset and index, in order.
    Listed(Vec<(u32, u32)>),
}

/// The first byte of `call`.
const CALL: u8 = 0x10;

impl HostImports {
    /// The imports of a core module that stands alone. Its binary is `kept`, or else `seen`.
    pub(super) fn new(artifacts: &Artifacts<'_>, kept: Option<&WasmBytes>, seen: Option<&[u8]>) -> Self {
        let (None, [module]) = (&artifacts.component, &artifacts.modules[..]) else { return Self::default() };
        let signature =
            |function| module.function_type(function).and_then(|ty| artifacts.core_signature(ty)).unwrap_or_default();
        let mut imports = Vec::new();
        for (from, name, index) in module.imports() {
            if let EntityIndex::Function(function) = index {
                let (module, function, signature) = (from.into(), name.into(), signature(function).into());
                imports.push(HostImport { module, function, signature });
            }
        }
        if imports.is_empty() {
            return Self::default();
        }
        let is_closed = module.keeps_its_references()
            && module.functions().all(|function| {
                let signature = signature(function);
                !signature.is_empty() && !signature.contains("ref")
            });
        let calls = match (kept, seen) {
            (Some(binary), _) => code_of(binary.as_ref(), module).map(|code| Calls::Binary(binary.clone(), code)),
            (None, Some(binary)) => {
                code_of(binary, module).and_then(|_| listed(binary, imports.len())).map(Calls::Listed)
            }
            (None, None) => None,
        };
        Self { imports, calls: calls.unwrap_or_default(), is_closed }
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.imports.is_empty()
    }

    /// All imported functions.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &HostImport> {
        self.imports.iter()
    }

    /// The imported function with this index.
    pub(crate) fn get(&self, index: u32) -> Option<&HostImport> {
        self.imports.get(index as usize)
    }

    /// Which import is called, through the trampoline of `signature`, by the instruction at `site`.
    pub(crate) fn called_by(&self, site: Option<WasmOffset>, signature: &str) -> Option<u32> {
        let is_meant = |import: &&HostImport| *import.signature == *signature;
        let called = site.and_then(|site| self.called_at(site.get()));
        if let Some(called) = called.filter(|called| self.get(*called).is_some_and(|import| is_meant(&import))) {
            return Some(called);
        }
        let mut fitting = (0..).zip(&self.imports).filter(|(_, import)| is_meant(import));
        let only = fitting.next().filter(|_| self.is_closed && fitting.next().is_none());
        only.map(|(index, _)| index)
    }

    fn called_at(&self, site: u32) -> Option<u32> {
        match &self.calls {
            Calls::Unknown => None,
            Calls::Binary(binary, code) => {
                let site = site as usize;
                // Wasmtime says that an instruction begins there.
                let instruction = code.contains(&site).then(|| binary.as_ref().get(site..code.end)).flatten()?;
                match instruction.split_first()? {
                    (&CALL, index) => leb128(index),
                    _ => None,
                }
            }
            Calls::Listed(calls) => {
                let at = calls.binary_search_by_key(&site, |(offset, _)| *offset).ok()?;
                Some(calls[at].1)
            }
        }
    }
}

/// Where the contents of the code section are, if `binary` is what `module` was compiled from.
fn code_of(binary: &[u8], module: &ModuleArtifact<'_>) -> Option<Range<usize>> {
    let mut compiled = module.imports().map(|(from, name, _)| (from, name));
    for payload in Parser::new(0).parse_all(binary) {
        match payload.ok()? {
            Payload::ImportSection(imports) => {
                for import in imports.into_imports() {
                    let import = import.ok()?;
                    // Compiled modules list them in the same order.
                    let is_same = compiled.next() == Some((import.module, import.name));
                    if !is_same {
                        return None;
                    }
                }
            }
            Payload::CodeSectionStart { range, count, .. } => {
                let is_same = compiled.next().is_none()
                    && range.start as u64 == module.code_section_offset()
                    && count == module.defined_functions();
                return is_same.then_some(range);
            }
            _ => {}
        }
    }
    None
}

/// All calls of the first `imports` functions in the code of `binary`.
fn listed(binary: &[u8], imports: usize) -> Option<Vec<(u32, u32)>> {
    let mut calls = Vec::new();
    for payload in Parser::new(0).parse_all(binary) {
        let Payload::CodeSectionEntry(body) = payload.ok()? else { continue };
        let mut operators = body.get_operators_reader().ok()?;
        while !operators.eof() {
            if let (Operator::Call { function_index }, offset) = operators.read_with_offset().ok()?
                && (function_index as usize) < imports
            {
                calls.push((u32::try_from(offset).ok()?, function_index));
            }
        }
    }
    Some(calls)
}

/// The number that `bytes` begin with.
fn leb128(bytes: &[u8]) -> Option<u32> {
    let mut number = 0_u64;
    for (byte, shift) in bytes.iter().zip([0, 7, 14, 21, 28]) {
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return u32::try_from(number).ok();
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_they_are_written() {
        let read = [&[0x00][..], &[0x7f], &[0x80, 0x01], &[0xff, 0xff, 0xff, 0xff, 0x0f]].map(leb128);
        assert_eq!(read, [Some(0), Some(127), Some(128), Some(u32::MAX)]);
        assert_eq!([&[][..], &[0x80], &[0xff; 6], &[0xff, 0xff, 0xff, 0xff, 0x1f]].map(leb128), [None; 4]);
    }
}
