//! The command line: arguments in, library calls out.
//!
//! stdout belongs to the guest and to data, so messages go to stderr. A usage or input error ends with exit code 2;
//! `run` ends with the guest's own.

mod annotate;
mod arguments;
mod capturing;
mod completions;
mod convert;
mod diff;
mod dimension;
mod host_frames;
mod input;
mod man;
mod map;
mod only;
mod profiling;
mod pushing;
mod report;
mod run;
mod script_frames;
mod serve;
mod view;
mod wasm_text;

use std::process::ExitCode;

use clap::{CommandFactory as _, FromArgMatches as _, Parser};

use crate::host;
use crate::terminal::{message, report};

/// The exit code of usage and input errors.
pub(crate) const EXIT_USAGE: u8 = 2;

/// The profiler for WebAssembly components.
#[derive(Parser)]
#[command(name = "witprof", version, about, max_term_width = 100, after_help = EXAMPLES)]
enum Command {
    Run(Box<run::RunArguments>),
    Serve(Box<serve::ServeArguments>),
    Report(report::ReportArguments),
    Annotate(annotate::AnnotateArguments),
    Convert(convert::ConvertArguments),
    View(Box<view::ViewArguments>),
    Diff(diff::DiffArguments),
    Map(Box<map::MapArguments>),
    Completions(completions::CompletionsArguments),
    Man(man::ManArguments),
}

const EXAMPLES: &str = "\
Examples:
  # profile a command, and print where its time went
  witprof run app.wasm
  # look at the profile in the Firefox Profiler
  witprof view witprof-app.json.gz";

/// The command line as it is described to people: options that do not work are not listed.
fn described() -> clap::Command {
    let mut command = Command::command();
    for name in ["run", "serve", "map", "view"] {
        command = command.mut_subcommand(name, arguments::describe_wasmtimes);
    }
    command
}

/// Parses the arguments and carries the command out.
pub(crate) fn main() -> ExitCode {
    // Wasmtime's own part may print to a pipe that nobody reads.
    host::survive_closed_pipes(carry_out)
}

fn carry_out() -> ExitCode {
    let parsed = described().try_get_matches().and_then(|matches| Command::from_arg_matches(&matches));
    let command = match parsed {
        Ok(command) => command,
        Err(error) => {
            if let Some(advice) = arguments::advice(std::env::args_os().skip(1).collect(), &error) {
                message(&advice);
                return ExitCode::from(EXIT_USAGE);
            }
            error.exit()
        }
    };
    let result = match command {
        Command::Run(arguments) => run::run(*arguments),
        Command::Serve(arguments) => serve::serve(*arguments),
        Command::Report(arguments) => report::report(&arguments),
        Command::Annotate(arguments) => annotate::annotate(&arguments),
        Command::Convert(arguments) => convert::convert(&arguments),
        Command::View(arguments) => view::view(*arguments),
        Command::Diff(arguments) => diff::diff(&arguments),
        Command::Map(arguments) => map::map(*arguments),
        Command::Completions(arguments) => completions::completions(&arguments),
        Command::Man(arguments) => man::man(&arguments),
    };
    result.unwrap_or_else(|error| {
        report(&error);
        ExitCode::from(EXIT_USAGE)
    })
}
