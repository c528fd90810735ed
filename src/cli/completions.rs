//! `witprof completions`: what a shell needs to complete command lines.

use std::process::ExitCode;

use anyhow::Result;
use clap::{Command, Parser};
use clap_complete::{Shell, generate};

use crate::terminal::print;

/// Print a script that lets a shell complete the arguments of witprof
#[derive(Parser)]
#[command(after_help = EXAMPLES)]
pub(super) struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL", value_enum)]
    shell: Shell,
}

const EXAMPLES: &str = "\
Examples:
  # for bash
  witprof completions bash > ~/.local/share/bash-completion/completions/witprof
  # for fish
  witprof completions fish > ~/.config/fish/completions/witprof.fish";

pub(super) fn completions(arguments: &CompletionsArguments) -> Result<ExitCode> {
    let mut script = Vec::new();
    let mut command = listed(&super::described()).version(env!("CARGO_PKG_VERSION"));
    generate(arguments.shell, &mut command, "witprof", &mut script);
    print(&script)?;
    Ok(ExitCode::SUCCESS)
}

/// A command without what its help does not list: not all scripts leave that out by themselves.
fn listed(command: &Command) -> Command {
    // For as long as the process lives, which is not long: clap takes names that do.
    let name: &'static str = command.get_name().to_owned().leak();
    let about = command.get_about().cloned().unwrap_or_default();
    Command::new(name)
        .about(about)
        .args(command.get_arguments().filter(|argument| !argument.is_hide_set()).cloned())
        .subcommands(command.get_subcommands().map(listed))
}
