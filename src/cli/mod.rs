//! The command line: arguments in, library calls out.
//!
//! stdout belongs to the guest and to data, so messages go to stderr. A usage or input error ends with exit code 2;
//! `run` ends with the guest's own.

mod annotate;
mod command_line;
mod convert;
mod descriptor;
mod diff;
mod dimension;
mod format;
mod host_frames;
mod input;
mod map;
mod output;
mod profiling;
mod report;
mod run;
mod serve;
mod shell;
mod sources;
mod terminal;
mod view;
mod wasm_text;

use std::io::Write as _;
use std::process::ExitCode;

use clap::Parser;
use witprof::export::escape_control;

pub(crate) use command_line::command_line;
pub(crate) use host_frames::ShownProfile;
pub(crate) use output::OutputFile;
pub(crate) use terminal::{Stream, table_style};

/// The exit code of usage and input errors.
pub(crate) const EXIT_USAGE: u8 = 2;

/// The profiler for WebAssembly components.
#[derive(Parser)]
#[command(name = "witprof", version, about, max_term_width = 100)]
enum Command {
    Run(Box<run::RunArguments>),
    Serve(Box<serve::ServeArguments>),
    Report(report::ReportArguments),
    Annotate(annotate::AnnotateArguments),
    Convert(convert::ConvertArguments),
    View(Box<view::ViewArguments>),
    Diff(diff::DiffArguments),
    Map(Box<map::MapArguments>),
}

/// Parses the arguments and carries the command out.
pub(crate) fn main() -> ExitCode {
    let result = match Command::parse() {
        Command::Run(arguments) => run::run(*arguments),
        Command::Serve(arguments) => serve::serve(*arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Annotate(arguments) => annotate::annotate(&arguments),
        Command::Convert(arguments) => convert::convert(&arguments),
        Command::View(arguments) => view::view(*arguments),
        Command::Diff(arguments) => diff::diff(&arguments),
        Command::Map(arguments) => map::map(*arguments),
    };
    result.unwrap_or_else(|error| {
        report(&error);
        ExitCode::from(EXIT_USAGE)
    })
}

/// Prints an error and its causes. Parts of it may come from a guest.
pub(crate) fn report(error: &anyhow::Error) {
    message(&format!("witprof: {}", escape_control(&error.to_string())));
    for cause in error.chain().skip(1) {
        for line in cause.to_string().lines().filter(|line| !line.trim().is_empty()) {
            message(&format!("  {}", escape_control(line)));
        }
    }
}

/// Prints a line to stderr. Whoever reads it may be gone, which is no reason to fail; `eprintln!` would panic.
pub(crate) fn message(line: &str) {
    let _ = writeln!(std::io::stderr(), "{line}");
}
