//! `witprof diff`: what got slower.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, anyhow, bail};
use clap::Parser;
use witprof::export::{
    TableStyle, escape_control, write_comparison_json, write_comparison_table, write_svg_comparison,
};
use witprof::{Comparison, Dimension};

use super::dimension::By;
use super::input::read_profile;
use super::output::Destination;
use super::terminal::{Stream, print, table_style};

/// The exit code when something has become slower than allowed.
const EXIT_ABOVE: u8 = 1;

/// Compare two profiles: whose share of the time has grown, and whether that is more than chance
///
/// Shares are of the time of each profile, so it does not matter which of them has more samples. `change` is in points of
/// such a percentage, `chance` the interval in which 95 of 100 changes lie if nothing has changed. What is marked with
/// `*` is far outside of it.
#[derive(Parser)]
pub(super) struct DiffArguments {
    /// What rows are
    #[arg(long, value_name = "WHAT", value_enum, default_value_t)]
    by: By,

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

    /// Write a differential flame graph to this file: .svg
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,

    /// The profile before
    #[arg(value_name = "BEFORE")]
    before: PathBuf,

    /// The profile after
    #[arg(value_name = "AFTER")]
    after: PathBuf,
}

fn parse_percent(text: &str) -> Result<f64> {
    let number = text.strip_suffix('%').unwrap_or(text).trim().parse::<f64>();
    let percent = number.map_err(|_| anyhow!("not a percentage such as `5%`"))?;
    if !(0.0..=100.0).contains(&percent) {
        bail!("has to be from 0% to 100%");
    }
    Ok(percent / 100.0)
}

pub(super) fn diff(arguments: &DiffArguments) -> Result<ExitCode> {
    let output = arguments.output.as_ref().map(|path| {
        if !path.to_string_lossy().to_lowercase().ends_with(".svg") {
            bail!("cannot write a comparison to `{}`: it has to end in .svg", path.display());
        }
        Destination::open(path, &arguments.before)?;
        Destination::open(path, &arguments.after)
    });
    let output = output.transpose()?;
    let (before, after) = (read_profile(&arguments.before)?, read_profile(&arguments.after)?);
    let comparison = Comparison::new(&before, &after, arguments.by.into());
    let mut out = Vec::new();
    if arguments.json {
        write_comparison_json(&comparison, &mut out)?;
    } else {
        write_comparison_table(&comparison, table_style(Stream::Out, arguments.top), &mut out)?;
    }
    print(&out)?;
    if let Some(output) = output {
        let by = match arguments.by {
            By::Interface | By::InterfaceFunction => Dimension::Interface,
            By::Component | By::Library => Dimension::Library,
            By::Line => Dimension::Line,
            By::Function | By::Layer | By::Thread => Dimension::Function,
        };
        output.write(|file| Ok(write_svg_comparison(&before, &after, by, file)?))?;
    }
    let limit = arguments.fail_above.unwrap_or(f64::INFINITY);
    let slower: Vec<_> =
        comparison.changes.iter().filter(|change| change.is_certain() && change.difference() > limit).collect();
    for change in &slower {
        let name = escape_control(&change.name).into_owned();
        super::message(&format!("witprof: {name} has grown by {:.2} points", change.difference() * 100.0));
    }
    Ok(if slower.is_empty() { ExitCode::SUCCESS } else { ExitCode::from(EXIT_ABOVE) })
}
