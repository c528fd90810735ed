//! What is said of arguments: descriptions of those that are Wasmtime's, and what to write instead of those that are wrong.

use std::ffi::OsString;
use std::path::Path;

use clap::Command;
use clap::error::ErrorKind;

use crate::terminal::shell_argument;

/// What options of ours stand below of.
pub(super) const RECORDING: &str = "Recording";
pub(super) const OUTPUT: &str = "Output";

/// What Wasmtime's options stand below of.
pub(super) const WASMTIMES: &str = "Wasmtime's own";

/// Options of Wasmtime that are refused. They are parsed, so that a message can say why.
const REFUSED: [&str; 2] = ["profile", "record"];

/// Describes the options of Wasmtime that a command has, without those that are refused.
pub(super) fn describe_wasmtimes(command: Command) -> Command {
    command.mut_args(|argument| {
        if argument.is_positional() {
            return argument.help_heading(None);
        }
        let is_refused = argument.get_long().is_some_and(|name| REFUSED.contains(&name));
        if is_refused { argument.hide(true) } else { argument }
    })
}

/// What to write instead of `arguments`, in which clap found `error`, if that can be told: whoever writes `witprof app.wasm`
/// wants to run it.
pub(super) fn advice(arguments: Vec<OsString>, error: &clap::Error) -> Option<String> {
    if !matches!(error.kind(), ErrorKind::InvalidSubcommand | ErrorKind::UnknownArgument) {
        return None;
    }
    let described = super::described();
    let is_command = |name: &OsString| name.to_str().is_some_and(|name| described.find_subcommand(name).is_some());
    let (first, rest) = arguments.split_first()?;
    if is_command(first) || first == "help" {
        return None;
    }
    // What perf and samply call it.
    let (rest, is_record) = if first == "record" { (rest, true) } else { (&arguments[..], false) };
    let file = rest.iter().find(|argument| is_wasm(Path::new(argument)) || is_profile(Path::new(argument)));
    let words: Vec<String> = rest.iter().map(|word| shell_argument(word)).collect();
    let words = words.join(" ");
    match file {
        Some(file) if is_profile(Path::new(file)) => Some(format!(
            "witprof: a command is missing: `witprof report {words}` prints where the time of a profile went, \
             `witprof view {words}` opens it"
        )),
        Some(_) => Some(format!("witprof: a command is missing: `witprof run {words}` runs and profiles it")),
        None if is_record => Some(format!(
            "witprof: there is no command `record`: `witprof run {}` runs and profiles a component",
            if words.is_empty() { "app.wasm" } else { &words }
        )),
        None => None,
    }
}

/// Whether a file is to be run, by its name.
fn is_wasm(path: &Path) -> bool {
    path.extension().is_some_and(|end| end == "wasm" || end == "wat" || end == "cwasm")
}

/// Whether a file is a profile, by its name.
fn is_profile(path: &Path) -> bool {
    let name = path.file_name().unwrap_or_default().as_encoded_bytes();
    name.ends_with(b".json.gz") || name.ends_with(b".json")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_stand_below_a_heading_and_refused_ones_nowhere() {
        let command = super::super::described();
        for name in ["run", "serve", "map"] {
            let subcommand = command.find_subcommand(name).expect("a command");
            for argument in subcommand.get_arguments().filter(|argument| !argument.is_positional()) {
                let id = argument.get_id().as_str();
                if matches!(id, "help" | "version") {
                    continue;
                }
                assert!(argument.get_help_heading().is_some(), "{name} --{id}");
                assert_eq!(
                    !argument.is_hide_set(),
                    !REFUSED.contains(&argument.get_long().unwrap_or_default()),
                    "{id}"
                );
            }
        }
    }
}
