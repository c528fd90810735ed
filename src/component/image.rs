//! The ELF image that Wasmtime makes of a module or component: its sections, read where they lie.

use std::hash::{Hash as _, Hasher as _};

use object::elf::FileHeader64;
use object::read::elf::{ElfFile, ElfSymbol};
use object::{Endianness, FileFlags, Object, ObjectSection, ObjectSymbol, SymbolKind};
use rustc_hash::FxHasher;
use wasmtime_environ::obj;

use crate::error::ImageProblem;

/// The major version of Wasmtime whose images are read.
pub(crate) const WASMTIME: &str = "48";

/// Which of the two kinds an image holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ImageKind {
    Component,
    Module,
}

/// The parts of an image that the symbol map needs.
pub(crate) struct Image<'a> {
    elf: ElfFile<'a, FileHeader64<Endianness>>,
    kind: ImageKind,
    text_bytes: u32,
    info: &'a [u8],
    function_names: &'a [u8],
}

/// Tells the code of one image from that of another: where all functions are, and what they are called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    text_bytes: u32,
    hash: u64,
}

/// Bytes of a section that are hashed: all of a smaller one; of a larger one its beginning, its end, and as much in between.
/// So that it costs next to nothing to tell, and no page of code is touched.
const HASHED: usize = 64 << 10;

impl Identity {
    fn new(text_bytes: u32, sections: [&[u8]; 2]) -> Self {
        /// Of the parts in between.
        const PIECE: usize = 1 << 10;
        let mut hasher = FxHasher::default();
        for section in sections {
            section.len().hash(&mut hasher);
            let (begin, rest) = section.split_at(section.len().min(HASHED / 4));
            let (middle, end) = rest.split_at(rest.len().saturating_sub(HASHED / 4));
            let step = middle.len().div_ceil(HASHED / 2 / PIECE).max(PIECE);
            let pieces = middle.chunks(step).map(|piece| &piece[..piece.len().min(PIECE)]);
            [begin, end].into_iter().chain(pieces).for_each(|piece| hasher.write(piece));
        }
        Self { text_bytes, hash: hasher.finish() }
    }
}

/// A text symbol of the image.
pub(crate) struct TextSymbol<'a, 'i> {
    /// Offset of the first byte.
    pub(crate) start: u32,
    /// Length in bytes.
    pub(crate) length: u32,
    symbol: ElfSymbol<'a, 'i, FileHeader64<Endianness>>,
}

impl<'a> TextSymbol<'a, '_> {
    /// The spelling that Wasmtime chose. Looked up when asked for, because few of thousands are needed.
    pub(crate) fn name(&self) -> Option<&'a str> {
        self.symbol.name().ok()
    }
}

impl<'a> Image<'a> {
    /// Finds the sections of `bytes`, without decoding them.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self, ImageProblem> {
        let not_elf = |error: object::Error| ImageProblem::NotElf(error.to_string());
        let elf = ElfFile::<FileHeader64<Endianness>>::parse(bytes).map_err(not_elf)?;
        let FileFlags::Elf { os_abi: obj::ELFOSABI_WASMTIME, e_flags, .. } = elf.flags() else {
            return Err(ImageProblem::NotWasmtime);
        };
        let kind = match (e_flags & obj::EF_WASMTIME_COMPONENT, e_flags & obj::EF_WASMTIME_MODULE) {
            (0, 0) => return Err(ImageProblem::NotWasmtime),
            (0, _) => ImageKind::Module,
            (_, _) => ImageKind::Component,
        };
        let section =
            |name: &'static str| elf.section_by_name(name).map(|section| section.data().map_err(not_elf)).transpose();
        let text = section(".text")?.ok_or(ImageProblem::MissingSection(".text"))?;
        let text_bytes = u32::try_from(text.len())
            .map_err(|_| ImageProblem::Inconsistent("its text section is larger than 4 GiB".into()))?;
        let info = section(obj::ELF_WASMTIME_INFO)?.ok_or(ImageProblem::MissingSection(obj::ELF_WASMTIME_INFO))?;
        // Absent where no core module has a name section.
        let function_names = section(obj::ELF_NAME_DATA)?.unwrap_or_default();
        Ok(Self { kind, text_bytes, info, function_names, elf })
    }

    /// Makes sure that the Wasmtime version that this library reads wrote the image.
    pub(crate) fn check_version(&self) -> Result<(), ImageProblem> {
        let section = self.elf.section_by_name(obj::ELF_WASM_ENGINE);
        let data = section.and_then(|section| section.data().ok());
        let data = data.ok_or(ImageProblem::MissingSection(obj::ELF_WASM_ENGINE))?;
        // A format number, the length of the version, and the version: the major one, unless the embedder chose another
        // text (`Config::module_version`), of which nothing can be said.
        let version = data.get(1).and_then(|length| data.get(2..2 + usize::from(*length)));
        let version = version.and_then(|version| std::str::from_utf8(version).ok());
        match version {
            Some(version)
                if version.bytes().next().is_some_and(|byte| byte.is_ascii_digit()) && version != WASMTIME =>
            {
                Err(ImageProblem::OtherVersion(version.to_owned()))
            }
            Some(_) => Ok(()),
            None => Err(ImageProblem::Inconsistent("it does not tell its version".into())),
        }
    }

    pub(crate) fn kind(&self) -> ImageKind {
        self.kind
    }

    /// Length of the text section in bytes.
    pub(crate) fn text_bytes(&self) -> u32 {
        self.text_bytes
    }

    /// What tells this code from other code.
    pub(crate) fn identity(&self) -> Identity {
        Identity::new(self.text_bytes, [self.info, self.function_names])
    }

    /// The postcard-encoded description of the code.
    pub(crate) fn info(&self) -> &'a [u8] {
        self.info
    }

    /// What memories begin with; `Module::runtime_data` points into it.
    pub(crate) fn wasm_data(&self) -> &'a [u8] {
        let section = self.elf.section_by_name(obj::ELF_WASM_DATA);
        section.and_then(|section| section.data().ok()).unwrap_or_default()
    }

    /// Concatenated names of guest functions; `CompiledModuleInfo::func_names` points into it.
    pub(crate) fn function_names(&self) -> &'a [u8] {
        self.function_names
    }

    /// Where in the image the debug info is that Wasmtime copied from the WebAssembly binary, if it was asked to.
    pub(crate) fn debug_info_range(&self) -> Option<std::ops::Range<usize>> {
        let (start, length) = self.elf.section_by_name(obj::ELF_WASMTIME_DWARF)?.file_range()?;
        let start = usize::try_from(start).ok()?;
        Some(start..start.checked_add(usize::try_from(length).ok()?)?)
    }

    /// Which text was compiled from which instruction, as Wasmtime writes it; nothing if it was told not to.
    pub(crate) fn address_map(&self) -> Option<&'a [u8]> {
        self.elf.section_by_name(obj::ELF_WASMTIME_ADDRMAP)?.data().ok()
    }

    /// The symbols of compiled functions, in no particular order.
    pub(crate) fn text_symbols(&self) -> impl Iterator<Item = TextSymbol<'a, '_>> + '_ {
        self.elf.symbols().filter_map(|symbol| {
            if !symbol.is_definition() || symbol.kind() != SymbolKind::Text || symbol.size() == 0 {
                return None;
            }
            let (start, length) = (u32::try_from(symbol.address()).ok()?, u32::try_from(symbol.size()).ok()?);
            Some(TextSymbol { start, length, symbol })
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_identity_tells_sections_apart() {
        let large: Vec<u8> = (0..1_000_000_u32).map(|number| u8::try_from(number % 251).expect("small")).collect();
        let identity = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut section = large.clone();
            change(&mut section);
            Identity::new(7, [&section, b"names"])
        };
        let same = identity(&|_| {});
        assert_eq!(identity(&|_| {}), same);
        for change in [
            &(|section: &mut Vec<u8>| section[0] ^= 1) as &dyn Fn(&mut Vec<u8>),
            &|section| *section.last_mut().expect("long") ^= 1,
            &|section| section.insert(500_000, 3),
            &|section| section.truncate(999_999),
            &|section| section[200_000..].iter_mut().for_each(|byte| *byte ^= 1),
        ] {
            assert_ne!(identity(change), same);
        }
        assert_ne!(Identity::new(8, [&large, b"names"]), same);
        assert_ne!(Identity::new(7, [&large, b"other"]), same);
        assert_ne!(Identity::new(7, [b"", b"ab"]), Identity::new(7, [b"ab", b""]));
    }
}
