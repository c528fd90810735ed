//! The command line, as a profile keeps it.

use std::ffi::{OsStr, OsString};

use super::shell::shell_argument;

/// What this program was called with, for a reader: words of a shell. Values of environment and configuration variables
/// are left out, because profiles are shared, and so are rules that tell where a guest was compiled; what the guest's own
/// arguments say is kept.
pub(crate) fn command_line() -> String {
    shown(std::env::args_os().skip(1))
}

/// Options whose values are `NAME=VALUE`, where the value may be a secret.
const VARIABLES: [&str; 1] = ["--env"];

/// Options whose values are rules for paths, which say what the rules are to hide.
const PATHS: [&str; 1] = ["--path-map"];

/// The same as variables, among the options of a group such as `-S`.
const GROUPED: [&str; 2] = ["config-var=", "keyvalue-in-memory-data="];

fn shown(arguments: impl Iterator<Item = OsString>) -> String {
    let mut line = "witprof".to_owned();
    let mut is_variable = false;
    let mut is_path = false;
    for argument in arguments {
        let text = argument.to_string_lossy();
        let path = PATHS.iter().find(|option| text.strip_prefix(**option).is_some_and(|rest| rest.starts_with('=')));
        if is_path || path.is_some() {
            line.extend([" ", path.unwrap_or(&""), if path.is_some() { "=…" } else { "…" }]);
            (is_path, is_variable) = (false, false);
            continue;
        }
        let option = VARIABLES.iter().find_map(|option| text.strip_prefix(option)?.strip_prefix('='));
        let grouped = GROUPED.iter().find_map(|name| Some(text.find(name)? + name.len()));
        let begin = match (option, grouped) {
            _ if is_variable => Some(0),
            (Some(variable), _) => Some(text.len() - variable.len()),
            (None, grouped) => grouped,
        };
        line.push(' ');
        match begin.and_then(|begin| Some(begin + text[begin..].find('=')? + 1)) {
            Some(secret) => line.push_str(&shell_argument(OsStr::new(&format!("{}…", &text[..secret])))),
            None => line.push_str(&shell_argument(&argument)),
        }
        is_variable = VARIABLES.contains(&&*text);
        is_path = PATHS.contains(&&*text);
    }
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_is_kept_without_secrets() {
        for (words, line) in [
            (&["run", "--interval", "1ms", "a b.wasm", "-x"][..], "witprof run --interval 1ms 'a b.wasm' -x"),
            (&["run", "--env", "KEY=secret", "a.wasm"], "witprof run --env 'KEY=…' a.wasm"),
            (&["run", "--env=KEY=secret", "a.wasm"], "witprof run '--env=KEY=…' a.wasm"),
            (&["run", "--env", "KEY", "a.wasm", "x=y"], "witprof run --env KEY a.wasm 'x=y'"),
            (&["run", "-Sconfig-var=key=secret", "a.wasm"], "witprof run '-Sconfig-var=key=…' a.wasm"),
            (&["run", "--path-map", "/home/me=/src", "a.wasm"], "witprof run --path-map … a.wasm"),
            (&["run", "--path-map=/home/me=/src", "a.wasm"], "witprof run --path-map=… a.wasm"),
            (&["run", "-S", "http,config-var=key=secret"], "witprof run -S 'http,config-var=key=…'"),
            (&["run", "a\u{1b}[2J.wasm"], r"witprof run $'a\033[2J.wasm'"),
        ] {
            assert_eq!(shown(words.iter().map(OsString::from)), line);
        }
    }
}
