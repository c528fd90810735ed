//! The machine code of what was profiled.

use anyhow::{Context as _, Result, bail};
use object::read::elf::ElfFile64;
use object::{Architecture, Object as _, ObjectSection as _};
use wasmtime::component::Component;
use wasmtime::{Engine, Module};
use wasmtime_cli_flags::CommonOptions;
use witprof::export::escape_name;
use witprof::{FunctionKind, Profile, ProfileFunction, SamplerKind, SymbolMap, TextOffset};

use crate::host::{WasmFile, WasmKind, configured, failed};

/// A component or module as compiled.
pub(super) struct MachineCode {
    /// The file, for messages.
    file: String,
    map: SymbolMap,
    text: Vec<u8>,
    architecture: Architecture,
}

impl MachineCode {
    /// Compiles a file as it was compiled for the recording, if the options are the same.
    pub(super) fn compile(file: &WasmFile, mut options: CommonOptions, sampler: SamplerKind) -> Result<Self> {
        if file.is_precompiled() {
            return Self::read(file, SymbolMap::builder(&file.stem()).serialized(file.bytes())?, file.bytes());
        }
        let compiling = || format!("compiling `{}`", file.path().display());
        if sampler == SamplerKind::Epoch {
            options.wasm.epoch_interruption = Some(true);
        }
        let mut config = configured(&mut options, |options| options, |options| options.config(None))?;
        // As `run` does.
        if options.wasm.timeout.is_some() {
            config.epoch_interruption(true);
        }
        let engine = Engine::new(&config).map_err(failed).context("configuring Wasmtime")?;
        let wasm = file.wasm().map_err(failed).with_context(compiling)?;
        let builder = SymbolMap::builder(&file.stem()).source(&wasm);
        match file.kind() {
            Some(WasmKind::Component) => {
                let component = Component::from_binary(&engine, &wasm).map_err(failed).with_context(compiling)?;
                Self::read(file, builder.build(&component)?, &component.serialize().map_err(failed)?)
            }
            Some(WasmKind::Module) => {
                let module = Module::from_binary(&engine, &wasm).map_err(failed).with_context(compiling)?;
                Self::read(file, builder.build(&module)?, &module.serialize().map_err(failed)?)
            }
            None => bail!("`{}` is neither a WebAssembly component nor a core module", file.path().display()),
        }
    }

    /// Code that is only read, never run, so the image need not be trusted.
    fn read(file: &WasmFile, map: SymbolMap, image: &[u8]) -> Result<Self> {
        let elf = ElfFile64::<object::Endianness>::parse(image)?;
        let text = elf.section_by_name(".text").context("it has no code")?.data()?.to_vec();
        Ok(Self { file: file.path().display().to_string(), map, text, architecture: elf.architecture() })
    }

    pub(super) fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The text of a function of the profile, which has to be the same as it was in the recording.
    pub(super) fn of(&self, profile: &Profile, function: &ProfileFunction) -> Result<&[u8]> {
        let compiled = |other: &&ProfileFunction| {
            other.library == function.library && other.kind != FunctionKind::Inlined && other.size > 0
        };
        let is_same = |other: &ProfileFunction| {
            let found = self.map.lookup(TextOffset::new(other.offset));
            found.is_some_and(|found| (found.offset().get(), found.size()) == (other.offset, other.size))
        };
        // All of the library: the wrong file may have a function of the same size in the same place by chance.
        let is_same = profile.functions().iter().filter(compiled).all(is_same);
        let range = function.offset as usize..function.offset.saturating_add(function.size) as usize;
        match self.text.get(range).filter(|_| is_same) {
            Some(text) => Ok(text),
            None => {
                let command = profile.origin().command.as_ref();
                let command = command.map(|command| format!(". It was recorded by `{command}`")).unwrap_or_default();
                bail!(
                    "`{}` compiles to other code than was profiled: give the file that was profiled to --component, and \
                     the options of Wasmtime that it ran with, such as -O and -W{command}",
                    self.file
                )
            }
        }
    }

    /// The name of the function that an instruction is in.
    pub(super) fn name_of(&self, offset: u32) -> Option<String> {
        self.map.lookup(TextOffset::new(offset)).map(|function| escape_name(&function.name()).into_owned())
    }
}
