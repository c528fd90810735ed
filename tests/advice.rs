//! Messages about guests that cannot be started say what to do, and that is what helps.
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::path::Path;
use std::process::Command;

use command::{printed, text, witprof};
use tempfile::TempDir;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(folder: &Path, name: &str, contents: &str) {
    std::fs::write(folder.join(name), contents).expect("writing a test file");
}

/// What a command that is refused says.
fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = witprof(folder, arguments);
    let message = text(&output.stderr);
    assert_eq!((output.status.code(), text(&output.stdout)), (Some(2), String::new()), "{arguments:?}: {message}");
    message
}

/// A component that imports `imports`, each with what it has to have, and exports the interface `export` with one function.
fn component(imports: &[(&str, &str)], export: &str) -> String {
    let imports: String =
        imports.iter().map(|(name, items)| format!("(import \"{name}\" (instance {items}))\n")).collect();
    let (core, function, ty) = match export {
        COMMAND => ("(result i32) i32.const 0", "run", "(result (result))"),
        _ => ("", "other", ""),
    };
    format!(
        "(component {imports}
           (core module $m (func (export \"f\") {core}))
           (core instance $i (instantiate $m))
           (func $f {ty} (canon lift (core func $i \"f\")))
           (instance $e (export \"{function}\" (func $f)))
           (export \"{export}\" (instance $e)))"
    )
}

const COMMAND: &str = "wasi:cli/run@0.2.0";

/// Something small of each interface.
const TERMINAL: (&str, &str) = ("wasi:cli/terminal-input@0.2.0", "(export \"terminal-input\" (type (sub resource)))");
const HTTP: (&str, &str) = ("wasi:http/types@0.2.0", "(export \"fields\" (type (sub resource)))");
const KEY_VALUES: (&str, &str) = ("wasi:keyvalue/store@0.2.0-draft", "(export \"bucket\" (type (sub resource)))");
const TLS: (&str, &str) = ("wasi:tls/types@0.2.0-draft", "(export \"client-handshake\" (type (sub resource)))");
const OWN: (&str, &str) = ("demo:own/thing@1.0.0", "(export \"f\" (func))");
const CANDIDATE: (&str, &str) = ("wasi:cli/environment@0.3.0-rc-2025-09-16", "(export \"f\" (func))");

#[test]
fn a_missing_import_names_the_option_that_provides_it_and_that_option_does() {
    let folder = folder();
    let cases = [
        (TERMINAL, &["-S", "cli=n"][..], "cli"),
        (HTTP, &[], "http"),
        (KEY_VALUES, &[], "keyvalue"),
        (TLS, &[], "tls"),
    ];
    for (import, options, flag) in cases {
        write(folder.path(), "needs.wat", &component(&[import], COMMAND));
        let arguments = [&["run"], options, &["needs.wat"]].concat();
        let message = refused(folder.path(), &arguments);
        assert!(message.contains(&format!("add `-S {flag}` for {}", import.0)), "{message}");
        printed(folder.path(), &["run", "-S", flag, "needs.wat"]);
    }
    // Several options, and what no option provides.
    write(folder.path(), "needs.wat", &component(&[OWN, TERMINAL, HTTP, CANDIDATE], COMMAND));
    let message = refused(folder.path(), &["run", "-S", "cli=n", "needs.wat"]);
    for part in [
        "add `-S cli` for wasi:cli/terminal-input@0.2.0\n",
        "add `-S http` for wasi:http/types@0.2.0\n",
        "no option provides demo:own/thing@1.0.0, wasi:cli/environment@0.3.0-rc-2025-09-16; compose",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    // An option that is on already is no advice.
    write(folder.path(), "needs.wat", &component(&[CANDIDATE], COMMAND));
    let message = refused(folder.path(), &["run", "-S", "http", "needs.wat"]);
    assert!(message.contains("no option provides wasi:cli/environment@0.3.0-rc-2025-09-16; Wasmtime 48"), "{message}");
    assert!(!message.contains("add `-S"), "{message}");
}

#[test]
fn two_options_are_named_where_both_are_needed() {
    let folder = folder();
    let import = ("wasi:cli/exit@0.3.0", "(export \"exit\" (func (param \"status\" (result))))");
    write(folder.path(), "needs.wat", &component(&[import], COMMAND));
    let message = refused(folder.path(), &["run", "-S", "cli=n,p3=n", "needs.wat"]);
    assert!(message.contains("add `-S cli,p3` for wasi:cli/exit@0.3.0"), "{message}");
    let message = refused(folder.path(), &["run", "-S", "p3=n", "needs.wat"]);
    assert!(message.contains("add `-S p3` for wasi:cli/exit@0.3.0"), "{message}");
    let output = witprof(folder.path(), &["run", "needs.wat"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn core_modules_are_told_as_well() {
    let folder = folder();
    let exit = "(import \"wasi_snapshot_preview1\" \"proc_exit\" (func (param i32)))";
    write(folder.path(), "needs.wat", &format!("(module {exit} (func (export \"_start\")))"));
    let message = refused(folder.path(), &["run", "-S", "cli=n", "needs.wat"]);
    assert!(message.contains("add `-S cli` for wasi_snapshot_preview1 proc_exit"), "{message}");
    write(folder.path(), "needs.wat", "(module (import \"env\" \"\\0af\\1b[2J\" (func)) (func (export \"_start\")))");
    let message = refused(folder.path(), &["run", "needs.wat"]);
    assert!(message.contains("no option provides env \\u{a}f\\u{1b}[2J; `--preload"), "{message}");
}

#[test]
fn a_server_is_told_the_option_for_what_it_lacks() {
    let folder = folder();
    let guest = std::fs::read_to_string(support::root().join("tests/guests/http.wat")).expect("the guest");
    for (import, advice) in [
        (TERMINAL, "add `-S cli` for wasi:cli/terminal-input@0.2.0"),
        (KEY_VALUES, "add `-S keyvalue` for wasi:keyvalue/store@0.2.0-draft"),
        // Wasmtime serves without it, whatever the options.
        (TLS, "no option provides wasi:tls/types@0.2.0-draft"),
    ] {
        let import = format!("(component $hello (import \"{}\" (instance {}))", import.0, import.1);
        write(folder.path(), "needs.wat", &guest.replacen("(component $hello", &import, 1));
        let message = refused(folder.path(), &["serve", "--addr", "127.0.0.1:0", "--duration", "1ms", "needs.wat"]);
        assert!(message.contains(advice), "{message}");
        if let Some((option, _)) = advice.strip_prefix("add `").and_then(|rest| rest.split_once('`')) {
            let (option, value) = option.split_once(' ').expect("an option and its value");
            let arguments = ["serve", option, value, "--addr", "127.0.0.1:0", "--duration", "1ms", "needs.wat"];
            let output = witprof(folder.path(), &arguments);
            assert_eq!(output.status.code(), Some(0), "{option}: {}", text(&output.stderr));
        }
    }
}

#[test]
fn run_and_serve_point_at_each_other() {
    let folder = folder();
    let http = support::root().join("tests/guests/http.wat");
    let http = http.to_str().expect("UTF-8");
    let guest = std::fs::read_to_string(http).expect("the guest");
    assert!(refused(folder.path(), &["run", http]).contains("`witprof serve` serves it"));
    // Any version of it that can be served.
    write(
        folder.path(),
        "other.wat",
        &guest.replace("wasi:http/incoming-handler@0.2.0", "wasi:http/incoming-handler@0.2.9"),
    );
    assert!(refused(folder.path(), &["run", "other.wat"]).contains("`witprof serve` serves it"));
    write(folder.path(), "p3.wat", &component(&[], "wasi:http/handler@0.3.0"));
    assert!(refused(folder.path(), &["run", "p3.wat"]).contains("`witprof serve` serves it"));
    // Those that cannot be served are not sent there.
    write(folder.path(), "rc.wat", &component(&[], "wasi:http/handler@0.3.0-rc-2025-09-16"));
    assert!(!refused(folder.path(), &["run", "rc.wat"]).contains("witprof serve"));
    write(folder.path(), "command.wat", &component(&[], COMMAND));
    assert!(refused(folder.path(), &["serve", "command.wat"]).contains("`witprof run` runs it"));
    write(folder.path(), "core.wat", "(module (func (export \"_start\")))");
    assert!(refused(folder.path(), &["serve", "core.wat"]).contains("`witprof run`"));
}

#[cfg(target_os = "linux")]
#[test]
fn a_cache_that_cannot_be_written_is_named() {
    let folder = folder();
    write(folder.path(), "command.wat", &component(&[], COMMAND));
    let homeless = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
        // Nobody can make a folder there, not even root.
        command.current_dir(folder.path()).env("HOME", "/proc/nope");
        for variable in ["XDG_CACHE_HOME", "XDG_CONFIG_HOME"] {
            command.env_remove(variable);
        }
        command.args(arguments).output().expect("running witprof")
    };
    let http = support::root().join("tests/guests/http.wat");
    let http = http.to_str().expect("UTF-8");
    for arguments in [&["run"][..], &["map"], &["serve", "--addr", "127.0.0.1:0", "--duration", "1ms"]] {
        let file = if arguments[0] == "serve" { http } else { "command.wat" };
        let output = homeless(&[arguments, &[file]].concat());
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
        assert!(message.contains("`-C cache=n`"), "{arguments:?}: {message}");
        let output = homeless(&[arguments, &["-C", "cache=n", file]].concat());
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
    }
    // Not where something else is wrong.
    let message = text(&homeless(&["run", "-C", "cache=n", "-W", "fuel=x", "command.wat"]).stderr);
    assert!(!message.contains("`-C cache=n`"), "{message}");
}
