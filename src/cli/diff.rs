//! `witprof diff`: what got slower.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::{Parser, ValueEnum};
use witprof::export::{
    TableStyle, escape_control, write_comparison_json, write_comparison_table, write_svg_comparison,
};
use witprof::{Comparison, Dimension};

use super::dimension::{Between, By};
use super::host_frames::HostFramesChoice;
use super::input::{read_profile, refuse_stdin_twice};
use super::only::Only;
use super::script_frames::ScriptsChoice;
use crate::files::{Destination, Format};
use crate::terminal::{Stream, message, print, table_style};

/// The exit code when something has become slower than allowed.
const EXIT_ABOVE: u8 = 1;

/// Compare two profiles: whose share of the time has grown, and whether that is more than chance
///
/// Shares are of the time of each profile, so it does not matter which of them has more samples. `change` is in points of
/// such a percentage. `chance` is how far the samples alone may move a share if nothing has changed: four standard
/// deviations, because many rows are compared at once. A change that is larger is marked with `*`.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct DiffArguments {
    /// What rows are
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    by: By,

    #[command(flatten)]
    only: Only,

    #[command(flatten)]
    between: Between,

    /// Frames of the host to show
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    host_frames: HostFramesChoice,

    #[command(flatten)]
    scripts: ScriptsChoice,

    /// End with exit code 1 if the share of a row has grown by more than this, and by more than chance: `5%` is five
    /// points
    #[arg(long, value_name = "PERCENT", value_parser = parse_percent)]
    fail_above: Option<f64>,

    /// Rows to print
    #[arg(long, value_name = "N", default_value_t = TableStyle::default().rows)]
    top: usize,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Write a differential flame graph to this file: .svg. `-` is stdout, and the table then goes to stderr
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["from", "to"])]
    output: Option<PathBuf>,

    /// The format of an output file whose name does not tell it
    #[arg(long, value_name = "FORMAT", value_enum, requires = "output")]
    format: Option<PictureFormat>,

    /// The profile before; `-` is stdin, for one of the two
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// The profile after
    #[arg(value_name = "AFTER")]
    after: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  # which functions have become slower
  witprof diff --by function before.json.gz after.json.gz
  # the same in CI: exit code 1 if one has
  witprof diff --fail-above 5% before.json.gz after.json.gz";

/// What a comparison is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum PictureFormat {
    /// A differential flame graph: .svg
    Svg,
}

fn parse_percent(text: &str) -> Result<f64> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    let percent = number.map_err(|_| anyhow!("not a percentage such as `5%`"))?;
    if !(0.0..=100.0).contains(&percent) {
        bail!("has to be from 0% to 100%");
    }
    Ok(percent / 100.0)
}

fn shown_output(arguments: &DiffArguments) -> String {
    arguments.output.as_deref().unwrap_or(Path::new("-")).display().to_string()
}

fn open_output(arguments: &DiffArguments, path: &Path) -> Result<Destination> {
    match Format::told_by(path) {
        Some(Format::Svg) => {}
        None if arguments.format == Some(PictureFormat::Svg) => {}
        told => {
            let hint = if told.is_none() { ", or `--format svg` has to say so" } else { "" };
            bail!("cannot write a comparison to `{}`: it has to end in .svg{hint}", path.display());
        }
    }
    // It is neither of the two. Not by opening it for each: a pipe is opened once.
    if path.canonicalize().is_ok_and(|path| arguments.before.canonicalize().is_ok_and(|before| path == before)) {
        bail!("the output file `{}` is the input file", path.display());
    }
    Destination::open(path, &arguments.after)
}

pub(super) fn diff(arguments: &DiffArguments) -> Result<ExitCode> {
    refuse_stdin_twice([Some(&*arguments.before), Some(&*arguments.after)])?;
    let output = arguments.output.as_deref().map(|path| open_output(arguments, path)).transpose()?;
    let is_stdout_taken = output.as_ref().is_some_and(Destination::is_stdout);
    if is_stdout_taken && arguments.json {
        bail!("`--json` and `-o {}` both write to stdout: name a file for one of them", shown_output(arguments));
    }
    let read = |path: &Path| {
        let profile = arguments.only.of(read_profile(path)?, path)?;
        let profile = profile.with_host_frames(arguments.host_frames.into());
        anyhow::Ok(profile.with_script_frames(arguments.scripts.asked().unwrap_or_default()))
    };
    let (before, after) = (read(&arguments.before)?, read(&arguments.after)?);
    let by = arguments.by.into();
    let comparison = match arguments.between.filter() {
        None => Comparison::new(&before, &after, by),
        Some(filter) => {
            Comparison::between(&before, &after, by, &filter).ok_or_else(|| arguments.between.nothing_found(&after))?
        }
    };
    let mut out = Vec::new();
    if arguments.json {
        write_comparison_json(&comparison, &mut out)?;
    } else {
        let stream = if is_stdout_taken { Stream::Error } else { Stream::Out };
        write_comparison_table(&comparison, table_style(stream, arguments.top), &mut out)?;
    }
    if is_stdout_taken {
        // Whoever reads it may be gone, which is no reason to fail.
        let _ = std::io::stderr().write_all(&out);
    } else {
        print(&out)?;
    }
    if let Some(output) = output {
        let by = match arguments.by {
            By::Interface | By::InterfaceFunction | By::ComponentInterface => Dimension::Interface,
            By::Component | By::Library => Dimension::Library,
            By::Line => Dimension::Line,
            By::Function | By::Script | By::Layer | By::Thread => Dimension::Function,
        };
        output.write(|file| Ok(write_svg_comparison(&before, &after, by, file)?))?;
    }
    let limit = arguments.fail_above.unwrap_or(f64::INFINITY);
    let slower: Vec<_> =
        comparison.changes.iter().filter(|change| change.is_certain() && change.difference() > limit).collect();
    for change in &slower {
        let name = escape_control(&change.name).into_owned();
        message(&format!("witprof: {name} has grown by {:.2} points", change.difference() * 100.0));
    }
    Ok(if slower.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_ABOVE) })
}
