//! What the front-end asks a symbol server: sources and machine code. The form of questions and answers is that of
//! [samply](https://github.com/mstange/samply/blob/main/API.md).

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::sync::OnceLock;

use anyhow::{Context as _, Result, anyhow, bail};
use serde::Deserialize;
use serde_json::{Value, json};
use wasmtime_cli_flags::CommonOptions;
use witprof::export::{escape_control, escape_name};
use witprof::{FunctionKind, Layer, Profile, ProfileFunction, SamplerKind};

use super::code::MachineCode;
use super::disassembly;
use crate::files::Sources;
use crate::host::WasmFile;

/// The symbol server that the front-end uses if it is given none.
const MOZILLAS: &str = "https://symbolication.services.mozilla.com";

/// A question that the front-end has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    Symbols,
    Source,
    Assembly,
}

impl Question {
    /// The question of this path, below that of the server.
    pub(super) fn of_path(path: &str) -> Option<Self> {
        Some(match path {
            "/symbolicate/v5" => Self::Symbols,
            "/source/v1" => Self::Source,
            "/asm/v1" => Self::Assembly,
            _ => return None,
        })
    }
}

/// Where the answers are.
pub(super) struct Places {
    pub(super) sources: Sources,
    /// Where the component may be, if it is not given: folders, the likelier first.
    pub(super) around: Vec<PathBuf>,
    pub(super) wasmtime: CommonOptions,
}

/// Answers of one profile.
pub(super) struct SymbolServer {
    profile: Profile,
    files: HashSet<String>,
    places: Places,
    /// Compiled when first asked for.
    code: OnceLock<Result<MachineCode, String>>,
}

#[derive(Deserialize)]
struct SymbolsRequest {
    jobs: Vec<Job>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Job {
    memory_map: Vec<(String, String)>,
    stacks: Vec<Vec<(usize, u64)>>,
}

#[derive(Deserialize)]
struct SourceRequest {
    file: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct AssemblyRequest {
    debug_name: String,
    start_address: String,
}

impl SymbolServer {
    pub(super) fn new(profile: Profile, places: Places) -> Self {
        let of_lines = profile.frames().iter().filter_map(|frame| Some(frame.source?.file));
        let of_functions = profile.functions().iter().filter_map(|function| function.file);
        let files = of_lines.chain(of_functions).map(|file| profile.file(file).to_owned()).collect();
        Self { profile, files, places, code: OnceLock::new() }
    }

    /// Another server that is to be asked instead: this one knows no symbols but those that the profile has already.
    pub(super) fn instead(&self, question: Question) -> Option<String> {
        let is_other = question == Question::Symbols && self.profile.sampler() == SamplerKind::Other;
        is_other.then(|| format!("{MOZILLAS}/symbolicate/v5"))
    }

    /// The answer to a question, as JSON. The front-end shows an error to the user.
    pub(super) fn answer(&self, question: Question, request: &[u8]) -> Value {
        let answer = match question {
            Question::Symbols => parsed(request).map(|request| no_symbols(&request)),
            Question::Source => parsed(request).and_then(|request| self.source(&request)),
            Question::Assembly => parsed(request).and_then(|request| self.assembly(&request)),
        };
        answer.unwrap_or_else(|error| json!({ "error": escape_control(&format!("{error:#}")) }))
    }

    /// A source file. Only those that the profile names, and only where the user lets them be looked for.
    fn source(&self, request: &SourceRequest) -> Result<Value> {
        let file = &request.file;
        if !self.files.contains(file) {
            bail!("the profile has no line of `{file}`");
        }
        let found = self.places.sources.find(file).with_context(|| {
            format!(
                "`{file}` was not found: start `witprof view` with `--source FOLDER`, where FOLDER is the folder that it \
                 is below of"
            )
        })?;
        Ok(json!({ "symbolsLastModified": null, "sourceLastModified": null, "file": file, "source": found.text }))
    }

    /// The machine code of a function.
    fn assembly(&self, request: &AssemblyRequest) -> Result<Value> {
        let AssemblyRequest { debug_name, start_address } = request;
        let digits = start_address.strip_prefix("0x").unwrap_or(start_address);
        let start = u32::from_str_radix(digits, 16).with_context(|| format!("`{start_address}` is no address"))?;
        let functions: Vec<&ProfileFunction> = self
            .profile
            .functions()
            .iter()
            .filter(|function| {
                let library = &self.profile.libraries()[function.library.index()];
                let is_compiled = function.kind != FunctionKind::Inlined && function.size > 0;
                is_compiled && function.offset == start && library.name == *debug_name
            })
            .collect();
        let Some(first) = functions.first() else {
            bail!("the profile has no machine code at {start_address} of `{debug_name}`");
        };
        if self.profile.libraries()[first.library.index()].layer == Layer::Host {
            bail!("`{}` is a function of the host: only what Wasmtime compiled is shown", escape_name(&first.name));
        }
        let code = self.code()?;
        // Libraries of several components may have the same name.
        let mut found = functions.iter().map(|function| (function, code.of(&self.profile, function)));
        let (function, text) = match found.find(|(_, text)| text.is_ok()) {
            Some((function, Ok(text))) => (function, text),
            _ => (first, code.of(&self.profile, first)?),
        };
        let architecture = code.architecture();
        let arch = disassembly::name(architecture)
            .with_context(|| format!("code for {architecture:?} cannot be shown, only for x86-64 and AArch64"))?;
        let instructions = disassembly::instructions(architecture, text, start, &|offset| code.name_of(offset));
        Ok(json!({
            "startAddress": format!("{start:#x}"),
            "size": format!("{:#x}", function.size),
            "arch": arch,
            "syntax": ["Intel"],
            "instructions": instructions,
        }))
    }

    /// A file that is called as what was profiled. Whether it is the same is seen by its code.
    fn component_around(&self) -> Option<PathBuf> {
        let name = Path::new(self.profile.name());
        // A profile may come from anywhere, so its name is not to lead elsewhere.
        let is_plain = name.file_name() == Some(name.as_os_str());
        let names = ["wasm", "wat", "cwasm"].map(|extension| format!("{}.{extension}", self.profile.name()));
        let mut files = self.places.around.iter().flat_map(|folder| names.iter().map(|name| folder.join(name)));
        files.find(|file| is_plain && file.is_file())
    }

    fn code(&self) -> Result<&MachineCode> {
        let given = self.places.sources.component.clone();
        let component = given.or_else(|| self.component_around()).context(
            "start `witprof view` with `--component WASM`, where WASM is the component or module that was profiled",
        )?;
        let compile = || {
            let file = WasmFile::read(&component)?;
            MachineCode::compile(&file, self.places.wasmtime.clone(), self.profile.sampler())
        };
        let code = self.code.get_or_init(|| compile().map_err(|error| format!("{error:#}")));
        code.as_ref().map_err(|error| anyhow!("{error}"))
    }
}

fn parsed<'r, T: Deserialize<'r>>(request: &'r [u8]) -> Result<T> {
    serde_json::from_slice(request).context("the request is not as the Firefox Profiler sends it")
}

/// Says of all libraries that there are no symbols for them, so that the front-end leaves the names as they are.
fn no_symbols(request: &SymbolsRequest) -> Value {
    let results = request.jobs.iter().map(|job| {
        let found: serde_json::Map<_, _> =
            job.memory_map.iter().map(|(name, id)| (format!("{name}/{id}"), false.into())).collect();
        let stacks: Vec<Vec<Value>> = job
            .stacks
            .iter()
            .map(|stack| {
                let frames = stack.iter().zip(0..).map(|((module, offset), frame)| {
                    let module = job.memory_map.get(*module).map_or("", |(name, _)| name);
                    json!({ "frame": frame, "module": module, "module_offset": format!("{offset:#x}") })
                });
                frames.collect()
            })
            .collect();
        json!({ "found_modules": found, "stacks": stacks })
    });
    json!({ "results": results.collect::<Vec<_>>() })
}
