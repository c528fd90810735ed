//! `witprof convert`: a profile in other formats.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use witprof::Dimension;

use super::dimension::StacksBy;
use super::host_frames::HostFramesChoice;
use super::input::read_profile;
use super::only::Only;
use super::script_frames::ScriptsChoice;
use crate::files::{Format, OutputFile, ShownProfile, Sources, missing_source};
use crate::terminal::message;

/// Write a profile in other formats
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct ConvertArguments {
    /// The file to write (repeatable). Its name tells the format: .html for a report, .svg for a flame graph, .folded
    /// for stacks, .pb.gz or .pb for pprof, .otlp for OpenTelemetry, .speedscope.json for speedscope, .json.gz or .json for the Firefox Profiler.
    /// `-` is stdout
    #[arg(short, long, value_name = "FILE", required = true)]
    output: Vec<PathBuf>,

    /// The format of an output file whose name does not tell it
    #[arg(long, value_name = "FORMAT", value_enum)]
    format: Option<Format>,

    /// What stacks are made of, in .svg, .folded, .pb and .speedscope.json [default: function; for .svg
    /// interface, unless one interface has nearly all of the time]
    #[arg(long, value_name = "WHAT", value_enum)]
    by: Option<StacksBy>,

    #[command(flatten)]
    only: Only,

    /// Frames of the host to show, in every output; the file for the Firefox Profiler keeps all
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    host_frames: HostFramesChoice,

    #[command(flatten)]
    scripts: ScriptsChoice,

    /// Keep the source files that the profile names in the file for the Firefox Profiler, for whoever is given it
    /// (repeatable). They are looked for below FOLDER and in the current folder
    #[arg(long, value_name = "FOLDER", num_args = 0..=1, require_equals = true, default_missing_value = ".")]
    embed_sources: Vec<PathBuf>,

    /// A profile that witprof, samply or Wasmtime's guest profiler wrote: .json or .json.gz; `-` is stdin
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  # a report that a browser shows
  witprof convert p.json.gz -o report.html
  # the profile of one tenant, without the names of others
  witprof convert --only label:tenant=a p.json.gz -o a.json.gz";

pub(super) fn convert(arguments: &ConvertArguments) -> Result<ExitCode> {
    let outputs = OutputFile::open_all(&arguments.output, arguments.format, &arguments.profile)?;
    let mut profile = arguments.only.of(read_profile(&arguments.profile)?, &arguments.profile)?;
    if !arguments.embed_sources.is_empty() {
        let sources = Sources { folders: arguments.embed_sources.clone(), component: None };
        if let Some(missing) = sources.embed(&mut profile) {
            message(&missing_source(&missing));
        }
    }
    let shown = ShownProfile::new(&profile, arguments.host_frames.into(), arguments.scripts.asked());
    for output in outputs {
        output.write(&shown, arguments.by.map(Dimension::from))?;
    }
    Ok(ExitCode::SUCCESS)
}
