//! Where the debug info of each core module is.

use std::ops::Range;
use std::sync::Arc;

use addr2line::gimli::SectionId;
use wasmparser::{Parser, Payload};

use super::WasmBytes;
use crate::component::{Artifacts, Image};

/// The code and the debug info of a core module.
#[derive(Clone, Debug, Default)]
pub(super) struct ModuleSections {
    /// Where the contents of its code section are in the WebAssembly binary.
    pub(super) code: Range<u64>,
    /// How many functions are there.
    pub(super) functions: u32,
    /// Where its sections of debug info are in the bytes that hold them.
    sections: Vec<(SectionId, Range<usize>)>,
}

impl ModuleSections {
    pub(super) fn has_debug_info(&self) -> bool {
        self.section(SectionId::DebugInfo).is_some() && self.section(SectionId::DebugLine).is_some()
    }

    /// The same sections in a copy of the bytes that they are in, without all others.
    pub(super) fn copied(&self, bytes: &[u8]) -> (WasmBytes, Self) {
        let mut copy = Vec::new();
        let sections = self.sections.iter().map(|(id, range)| {
            let start = copy.len();
            copy.extend_from_slice(bytes.get(range.clone()).unwrap_or_default());
            (*id, start..copy.len())
        });
        let sections = Self { sections: sections.collect(), code: self.code.clone(), functions: self.functions };
        (WasmBytes(Arc::new(copy)), sections)
    }

    pub(super) fn section(&self, id: SectionId) -> Option<Range<usize>> {
        self.sections.iter().find(|(known, _)| *known == id).map(|(_, range)| range.clone())
    }
}

/// The core modules of a WebAssembly binary.
#[derive(Debug, Default)]
pub(super) struct WasmSections {
    /// In order, which is that of their numbers.
    pub(super) modules: Vec<ModuleSections>,
    /// Another file that is said to hold debug info.
    pub(super) elsewhere: Option<String>,
}

/// Longer names of files are not shown.
const MAX_NAME: usize = 255;

/// All sections that may hold something of use. Of `.debug_aranges` there is no use: units say the same of themselves.
const SECTIONS: [SectionId; 11] = [
    SectionId::DebugAbbrev,
    SectionId::DebugAddr,
    SectionId::DebugInfo,
    SectionId::DebugLine,
    SectionId::DebugLineStr,
    SectionId::DebugRanges,
    SectionId::DebugRngLists,
    SectionId::DebugStr,
    SectionId::DebugStrOffsets,
    SectionId::DebugTypes,
    SectionId::DebugCuIndex,
];

/// Finds the sections of all core modules in a WebAssembly binary. `None` if it cannot be read.
pub(super) fn of_wasm(bytes: &[u8]) -> Option<WasmSections> {
    let mut found = WasmSections::default();
    // The core module that is open, if one is.
    let mut module: Option<ModuleSections> = None;
    for payload in Parser::new(0).parse_all(bytes) {
        match payload.ok()? {
            Payload::Version { encoding: wasmparser::Encoding::Module, .. } => {
                module = Some(ModuleSections::default());
            }
            Payload::CodeSectionStart { range, count, .. } => {
                if let Some(module) = &mut module {
                    module.functions = count;
                    module.code = u64::try_from(range.start).ok()?..u64::try_from(range.end).ok()?;
                }
            }
            Payload::CustomSection(custom) => {
                let Some(module) = &mut module else { continue };
                let name = custom.name();
                if let Some(id) = SECTIONS.into_iter().find(|id| id.name() == name) {
                    let start = custom.data_offset();
                    module.sections.push((id, start..start.checked_add(custom.data().len())?));
                } else if matches!(name, "external_debug_info" | "sourceMappingURL") {
                    // Its contents are a string with its length before it.
                    let place = wasmparser::BinaryReader::new(custom.data(), 0).read_string().unwrap_or_default();
                    // The file alone: the rest may tell where it was compiled.
                    let file = place.rsplit(['/', '\\']).next().unwrap_or_default();
                    let is_file = !place.starts_with("data:") && file.len() <= MAX_NAME;
                    found.elsewhere.get_or_insert_with(|| if is_file { file } else { "…" }.to_owned());
                }
            }
            // Inside of a component, modules do not nest.
            Payload::End(_) => found.modules.extend(module.take()),
            _ => {}
        }
    }
    Some(found)
}

/// Finds the sections that Wasmtime copied into an image. `None` if it copied none.
pub(super) fn of_image(image: &Image<'_>, artifacts: &Artifacts<'_>) -> Option<Vec<ModuleSections>> {
    let base = image.debug_info_range()?;
    let modules = artifacts.modules.iter().filter(|module| !module.is_without_debug_info());
    let mut modules: Vec<ModuleSections> = modules
        .map(|module| {
            let sections = SECTIONS.into_iter().filter_map(|id| {
                let range = module.debug_info_section(id as u8)?;
                let start = base.start.checked_add(usize::try_from(range.start).ok()?)?;
                let end = base.start.checked_add(usize::try_from(range.end).ok()?)?;
                (start <= end && end <= base.end).then_some((id, start..end))
            });
            let start = module.code_section_offset();
            ModuleSections {
                code: start..u64::MAX,
                functions: module.defined_functions(),
                sections: sections.collect(),
            }
        })
        .collect();
    modules.sort_by_key(|module| module.code.start);
    // Where the code of a module ends is not known, but it is before that of the next.
    let next: Vec<u64> = modules.iter().skip(1).map(|module| module.code.start).collect();
    modules.iter_mut().zip(next).for_each(|(module, next)| module.code.end = next);
    Some(modules)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections_of_each_module_are_told_apart() {
        let wat = r#"(component
            (core module (func) (@custom ".debug_line" "one") (@custom "external_debug_info" "\0b/home/other"))
            (component (core module (func) (@custom ".debug_info" "two!") (@custom ".debug_line" "three")))
            (core module))"#;
        let bytes = wat::parse_str(wat).expect("valid text");
        let found = of_wasm(&bytes).expect("a component");
        let contents = |module: &ModuleSections, id| module.section(id).map(|range| bytes[range].to_vec());
        let [first, second, third] = &found.modules[..] else { panic!("{found:?}") };
        assert_eq!(contents(first, SectionId::DebugLine).as_deref(), Some(&b"one"[..]));
        assert_eq!(contents(second, SectionId::DebugInfo).as_deref(), Some(&b"two!"[..]));
        assert_eq!(contents(second, SectionId::DebugLine).as_deref(), Some(&b"three"[..]));
        assert!(first.code.end <= second.code.start && third.code.is_empty());
        assert_eq!([first, second, third].map(ModuleSections::has_debug_info), [false, true, false]);
        assert_eq!(found.elsewhere.as_deref(), Some("other"));
        assert!(of_wasm(&bytes[..bytes.len() - 3]).is_none());
    }
}
