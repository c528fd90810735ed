//! `witprof report`: where the time of a profile went.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, bail};
use clap::Parser;
use witprof::export::{
    escape_name, write_call_json, write_call_table, write_report_json, write_report_table, write_summary,
};
use witprof::{Dimension, Profile, ScriptFrames};

use super::dimension::{Between, RowsBy};
use super::host_frames::HostFramesChoice;
use super::input::read_profile;
use super::only::Only;
use super::script_frames::ScriptsChoice;
use crate::terminal::{Stream, print, table_style};

/// Print where the time of a profile went, by WIT interface, component, library, function, line, layer or thread
///
/// `self` is own work in guest or host, `boundary` what crossing the boundary costs, `blocked` the part of `self` that
/// waited for something, `preempted` the part that was ready to run and had no CPU, and `total` includes everything called.
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct ReportArguments {
    /// What rows are: interface, interface-function, component-interface, component, library, function, line, layer, thread, or label:KEY
    /// [default: interface, unless one interface has nearly all of the time; then function]
    #[arg(long, value_name = "WHAT", value_parser = RowsBy::parse)]
    by: Option<RowsBy>,

    /// Show who calls this interface or interface function, and what it costs them. `wasi:io/streams`, with or without
    /// the version, or `wasi:io/streams#output-stream.write`
    #[arg(long, value_name = "NAME", conflicts_with_all = ["from", "to"])]
    callers: Option<String>,

    #[command(flatten)]
    between: Between,

    /// Print every call across an interface instead: how often each function was called, and how long it took. For
    /// profiles that were recorded with --trace-calls
    #[arg(long, conflicts_with_all = ["by", "callers", "from", "to"])]
    calls: bool,

    #[command(flatten)]
    only: Only,

    /// Frames of the host to show
    #[arg(long, value_name = "WHICH", value_enum, default_value_t)]
    host_frames: HostFramesChoice,

    #[command(flatten)]
    scripts: ScriptsChoice,

    /// Rows to print
    #[arg(long, value_name = "N", default_value_t = 20)]
    top: usize,

    /// Print JSON, with all rows unless --top is given
    #[arg(long)]
    json: bool,

    /// A profile that witprof, samply or Wasmtime's guest profiler wrote: .json or .json.gz; `-` is stdin
    #[arg(value_name = "PROFILE")]
    profile: PathBuf,
}

const EXAMPLES: &str = "\
Examples:
  # who calls an interface, and what it costs them
  witprof report --callers wasi:io/streams p.json.gz
  # what one component of a composition asks of others
  witprof report --by component-interface --from app p.json.gz";

pub(super) fn report(arguments: &ReportArguments) -> Result<ExitCode> {
    let profile = read_profile(&arguments.profile)?;
    if arguments.calls {
        return calls(arguments, &profile);
    }
    let profile = arguments.only.of_shown(profile, &arguments.profile)?.with_host_frames(arguments.host_frames.into());
    // Lines of a program are those of the program, not of its interpreter.
    let usual = match arguments.by {
        Some(RowsBy::Dimension(Dimension::Line)) if profile.is_of_scripts() => ScriptFrames::Only,
        _ => ScriptFrames::All,
    };
    let profile = profile.with_script_frames(arguments.scripts.asked().unwrap_or(usual));
    // Scripts get the same whatever the guest does.
    let between = arguments.between.filter();
    let is_fixed = arguments.json || arguments.callers.is_some() || between.is_some();
    let usual = || match is_fixed {
        true => Dimension::Interface,
        false if profile.is_of_scripts() => Dimension::Script,
        false => profile.first_dimension(),
    };
    let by = arguments.by.clone().unwrap_or_else(|| RowsBy::Dimension(usual()));
    let report = match (&arguments.callers, &by) {
        (None, RowsBy::Dimension(by)) => match &between {
            None => profile.report(*by),
            Some(filter) => match profile.report_between(*by, filter) {
                Some(report) => report,
                None => return Err(arguments.between.nothing_found(&profile)),
            },
        },
        (None, RowsBy::Label(_)) if between.is_some() => bail!("--from and --to do not go together with --by label"),
        (None, RowsBy::Label(key)) => {
            refuse_unknown_label(&profile, key)?;
            profile.report_by_label(key)
        }
        (Some(_), RowsBy::Label(_)) => bail!("--callers and --by label do not go together"),
        (Some(name), RowsBy::Dimension(by)) => match profile.callers(name, *by) {
            Some(report) => report,
            None => bail!(
                "no sample is inside of an interface called `{name}`; `witprof report --by interface` lists those that there are"
            ),
        },
    };
    let mut out = Vec::new();
    if arguments.json {
        write_report_json(&profile, &report, &mut out)?;
    } else {
        let mut style = table_style(Stream::Out, 0);
        write_summary(&profile, style, &mut out)?;
        out.push(b'\n');
        if let Some(name) = &arguments.callers {
            out.extend_from_slice(format!("callers of {}\n", escape_name(name)).as_bytes());
        }
        style.rows = arguments.top;
        write_report_table(&report, style, &mut out)?;
    }
    print(&out)?;
    Ok(ExitCode::SUCCESS)
}

fn refuse_unknown_label(profile: &Profile, key: &str) -> Result<()> {
    match &profile.label_keys()[..] {
        [] => {
            bail!("no sample has a label: `witprof serve` labels requests, other programs do with `Recorder::labels`")
        }
        keys if keys.contains(&key) => Ok(()),
        keys => {
            let keys: Vec<String> = keys.iter().map(|key| format!("`label:{key}`")).collect();
            bail!("no sample has a label `{key}`; there is {}", keys.join(", "))
        }
    }
}

fn calls(arguments: &ReportArguments, profile: &Profile) -> Result<ExitCode> {
    if !arguments.only.is_everything() {
        bail!("--calls and --only do not go together: calls are counted for all, from the beginning to the end");
    }
    let Some(trace) = profile.calls() else {
        bail!("its calls were not traced: record it with --trace-calls");
    };
    let mut out = Vec::new();
    if arguments.json {
        write_call_json(trace, &mut out)?;
    } else {
        write_call_table(trace, table_style(Stream::Out, arguments.top), &mut out)?;
    }
    print(&out)?;
    Ok(ExitCode::SUCCESS)
}
