//! `witprof annotate`: a function, line by line.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result, bail};
use clap::Parser;
use witprof::export::{AnnotatedText, SourceText, escape_control, escape_name, write_annotation};
use witprof::{Annotation, FileIndex, Profile};

use super::input::{read_profile, refuse_stdin_twice};
use super::wasm_text::wasm_text;
use crate::files::Sources;
use crate::host::{WasmFile, failed};
use crate::terminal::{Stream, message, print, table_style};

/// Print a function with the time that each line of its source took
///
/// `self` is the time of the line itself, `total` includes what it calls and what is inlined there. Sources are looked for in
/// the folders that --source names, in the current one, and around the component. Where there are none, or no lines are
/// known, the function's WebAssembly text is printed, for which --component is needed.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct AnnotateArguments {
    /// A folder with sources (repeatable). A path of the profile is looked for below it, and so is each of its ends that has a
    /// folder
    #[arg(long, value_name = "FOLDER")]
    source: Vec<PathBuf>,

    /// The component or module that was profiled
    #[arg(long, value_name = "WASM")]
    component: Option<PathBuf>,

    /// A profile that witprof wrote: .json or .json.gz; `-` is stdin
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,

    /// The name of the function, or its end
    #[arg(value_name = "FUNCTION")]
    function: String,
}

const EXAMPLES: &str = "\
Examples:
  # the lines of a function that have time
  witprof annotate p.json.gz count_primes
  # its WebAssembly text, where lines are not known
  witprof annotate --component app.wasm p.json.gz count_primes";

/// How many functions of a name are printed.
const MAX_FUNCTIONS: usize = 8;

pub(super) fn annotate(arguments: &AnnotateArguments) -> Result<ExitCode> {
    refuse_stdin_twice([Some(&*arguments.profile), arguments.component.as_deref()])?;
    let component = arguments.component.as_deref().map(WasmFile::read).transpose()?;
    if let Some(file) = component.as_ref().filter(|file| file.is_precompiled()) {
        bail!("`{}` is precompiled: --component takes the WebAssembly binary", file.path().display());
    }
    let profile = read_profile(&arguments.profile)?;
    let mut functions = profile.annotate(&arguments.function);
    if functions.is_empty() {
        bail!(
            "no sample is inside of a function called `{}`; `witprof report --by function` lists those that there are",
            escape_name(&arguments.function)
        );
    }
    let more = functions.len().saturating_sub(MAX_FUNCTIONS);
    functions.truncate(MAX_FUNCTIONS);
    let mut out = Vec::new();
    let mut problems = Vec::new();
    for (index, function) in functions.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(b"\n\n");
        }
        let text = text_of(arguments, &profile, function, component.as_ref(), &mut problems)?;
        write_annotation(&profile, function, &text, table_style(Stream::Out, 0), &mut out)?;
    }
    print(&out)?;
    if more > 0 {
        problems.push(format!("{more} more functions have a name like this; give more of it"));
    }
    problems.dedup();
    problems.iter().for_each(|problem| message(&escape_control(problem)));
    Ok(ExitCode::SUCCESS)
}

/// What a function is written in; what is missing is added to `problems`.
fn text_of(
    arguments: &AnnotateArguments,
    profile: &Profile,
    function: &Annotation,
    component: Option<&WasmFile>,
    problems: &mut Vec<String>,
) -> Result<AnnotatedText> {
    let mut text = AnnotatedText::default();
    let mut missing = Vec::new();
    let mut files: Vec<FileIndex> = function.lines.keys().map(|(file, _)| *file).collect();
    files.dedup();
    let sources = Sources { folders: arguments.source.clone(), component: arguments.component.clone() };
    for index in files {
        let file = profile.file(index);
        let kept = profile.source_text(index);
        let kept = kept.map(|text| SourceText { text: text.to_owned(), place: "in the profile".to_owned() });
        match sources.find(file).or(kept) {
            Some(source) => {
                text.sources.insert(file.to_owned(), source);
            }
            None => missing.push(file),
        }
    }
    let place = "give the folder that it is below of with --source";
    match (text.sources.is_empty(), component) {
        (false, _) => {}
        (true, Some(file)) if !function.instructions.is_empty() => {
            let wasm = file.wasm().map_err(failed)?;
            let offsets: Vec<_> = function.instructions.keys().copied().collect();
            text.wasm = wasm_text(&wasm, &offsets)
                .with_context(|| format!("printing the function from `{}`", file.path().display()))?;
            if text.wasm.is_empty() {
                bail!("`{}` is not what was profiled: it has no code where samples are", file.path().display());
            }
        }
        (true, None) if missing.is_empty() && !function.instructions.is_empty() => {
            problems.push(format!(
                "`{}` has no lines of source code; give the component with --component to see its WebAssembly",
                function.function
            ));
            problems.extend(profile.missing_lines().iter().cloned());
        }
        (true, None) if !missing.is_empty() => {}
        (true, _) => problems.push(format!(
            "`{}` is no function of a guest, or of a profile that witprof did not write: it has neither lines nor \
             instructions",
            function.function
        )),
    }
    if let [first, rest @ ..] = &missing[..]
        && text.wasm.is_empty()
    {
        let rest = if rest.is_empty() { String::new() } else { format!(" and {} more", rest.len()) };
        problems.push(format!("the source file `{first}`{rest} was not found; {place}"));
    }
    Ok(text)
}
