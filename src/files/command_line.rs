//! The command line, as a profile keeps it.

use std::ffi::{OsStr, OsString};

use crate::terminal::shell_argument;

/// What this program was called with, for a reader: words of a shell. Profiles are shared, so values of environment and
/// configuration variables are left out, rules for paths, addresses and headers of collectors, and the folders that absolute paths are
/// in. What the guest's own arguments say is kept otherwise.
pub(crate) fn command_line() -> String {
    shown(std::env::args_os().skip(1))
}

/// The option whose values are `NAME=VALUE`, where the value may be a secret.
const VARIABLE: &str = "--env";

/// The same among the options of a group such as `-S`.
const GROUPED: [&str; 2] = ["config-var=", "keyvalue-in-memory-data="];

/// The options whose values are left out as a whole: they say what they are to hide, or have a password or what stands for one.
const HIDDEN: [&str; 4] = ["--path-map", "--otlp-endpoint", "--pyroscope-url", "--push-header"];

fn shown(arguments: impl Iterator<Item = OsString>) -> String {
    let mut line = "witprof".to_owned();
    let mut option = String::new();
    for argument in arguments {
        let text = argument.to_string_lossy().into_owned();
        let kept = kept(&text, &option);
        line.push(' ');
        line.push_str(&if kept == text { shell_argument(&argument) } else { shell_argument(OsStr::new(&kept)) });
        option = text;
    }
    line
}

/// What is shown of an argument that comes after `before`.
fn kept(text: &str, before: &str) -> String {
    let value_of = |option: &str| text.strip_prefix(option)?.strip_prefix('=');
    if let Some(option) = HIDDEN.into_iter().find(|option| value_of(option).is_some()) {
        return format!("{option}=…");
    }
    let grouped = GROUPED.iter().find_map(|name| Some(text.find(name)? + name.len()));
    match (value_of(VARIABLE), grouped) {
        _ if HIDDEN.contains(&before) => "…".to_owned(),
        _ if before == VARIABLE => without_value(text, 0),
        (Some(variable), _) => without_value(text, text.len() - variable.len()),
        (None, Some(begin)) => without_value(text, begin),
        (None, None) => without_folders(text),
    }
}

/// `NAME=…` in place of `NAME=VALUE`, which begins at `begin`.
fn without_value(text: &str, begin: usize) -> String {
    match text[begin..].find('=') {
        Some(end) => format!("{}=…", &text[..begin + end]),
        None => text.to_owned(),
    }
}

/// An absolute path, also that of an option, without the folders that it is in.
fn without_folders(text: &str) -> String {
    let begin = if text.starts_with('/') { Some(0) } else { text.find("=/").map(|at| at + 1) };
    let Some(begin) = begin else { return text.to_owned() };
    // `--dir HOST::GUEST`: what the guest calls it tells nothing of this machine.
    let (path, rest) = text[begin..].split_at(text[begin..].find("::").unwrap_or(text.len() - begin));
    let name = path.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty()).unwrap_or(path);
    format!("{}{name}{rest}", &text[..begin])
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
            (&["run", "--path-map", "/home/me=/src", "a.wasm"], "witprof run --path-map '…' a.wasm"),
            (&["run", "--path-map=/home/me=/src", "a.wasm"], "witprof run '--path-map=…' a.wasm"),
            (&["run", "-S", "http,config-var=key=secret"], "witprof run -S 'http,config-var=key=…'"),
            (&["run", "--dir", "/home/me/data/::/d", "/home/me/a.wasm"], "witprof run --dir data::/d a.wasm"),
            (&["run", "--dir=/home/me/data", "--dir", "/", "../a.wasm"], "witprof run --dir=data --dir / ../a.wasm"),
            (&["run", "a\u{1b}[2J.wasm"], r"witprof run $'a\033[2J.wasm'"),
        ] {
            assert_eq!(shown(words.iter().map(OsString::from)), line);
        }
    }
}
