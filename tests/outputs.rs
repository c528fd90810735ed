//! Where profiles come from and go to: files, pipes, stdin and stdout, and names that tell no format.
#![allow(missing_docs, reason = "tests")]
#![cfg(unix)]

#[path = "support/command.rs"]
mod command;
mod support;

use std::fs::File;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use self::command::{printed, text, witprof};

/// A folder with a profile of a guest that computes for a moment, `p.json`.
fn recorded() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run_guest(folder.path(), &["-o", "p.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    folder
}

fn run_guest(folder: &Path, options: &[&str]) -> Output {
    let guest = support::root().join("tests/guests/hot-c.wasm");
    let guest = guest.to_str().expect("UTF-8");
    witprof(folder, &[&["run", "--invoke", "spin(20)"], options, &[guest]].concat())
}

/// Runs `witprof` with a file as its stdin.
fn with_stdin(folder: &Path, input: &str, arguments: &[&str]) -> Output {
    let input = File::open(folder.join(input)).expect("the input");
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).stdin(Stdio::from(input)).args(arguments).output().expect("running witprof")
}

#[test]
fn a_profile_is_read_from_stdin() {
    let folder = recorded();
    let expected = printed(folder.path(), &["report", "--by", "function", "p.json"]);
    assert!(expected.contains("mix"), "{expected}");
    let output = with_stdin(folder.path(), "p.json", &["report", "--by", "function", "-"]);
    assert_eq!(text(&output.stdout), expected, "{}", text(&output.stderr));
    let output = with_stdin(folder.path(), "p.json", &["diff", "-", "p.json"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let output = with_stdin(folder.path(), "p.json", &["diff", "-", "-"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("stdin"), "{}", text(&output.stderr));
}

#[test]
fn a_profile_is_written_to_stdout_and_to_what_a_shell_opens() {
    let folder = recorded();
    let stacks = printed(folder.path(), &["convert", "p.json", "-o", "-", "--format", "folded"]);
    assert!(stacks.lines().count() > 0 && stacks.contains("mix"), "{stacks}");
    assert_eq!(printed(folder.path(), &["convert", "p.json", "-o", "/dev/stdout", "--format", "folded"]), stacks);
    assert_eq!(printed(folder.path(), &["convert", "p.json", "-o", "s.folded"]), "");
    assert_eq!(std::fs::read_to_string(folder.path().join("s.folded")).expect("the file"), stacks);

    // A file that stdout goes on with is appended to, not replaced.
    let script = "(echo before; \"$0\" convert p.json -o /dev/stdout --format folded; echo after) > all";
    let bash = |script: &str| {
        let mut bash = Command::new("bash");
        bash.current_dir(folder.path()).args(["-c", script, env!("CARGO_BIN_EXE_witprof")]).output().expect("bash")
    };
    assert!(bash(script).status.success());
    let all = std::fs::read_to_string(folder.path().join("all")).expect("the file");
    assert_eq!(all, format!("before\n{stacks}after\n"));

    let script = "\"$0\" convert p.json --format folded -o >(cat > piped) && wait $! && cat piped";
    let output = bash(script);
    assert_eq!(text(&output.stdout), stacks, "{}", text(&output.stderr));
}

#[test]
fn stdout_belongs_to_the_guest() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for output in ["-", "/dev/stdout", "/dev/fd/1"] {
        let output = run_guest(folder.path(), &["-o", output, "--format", "firefox"]);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{message}");
        assert!(output.stdout.is_empty() && message.contains("what the guest prints goes there"), "{message}");
    }
    let output = run_guest(folder.path(), &["-o", "/dev/fd/1", "--format", "firefox", "-S", "inherit-stdout=n"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
}

#[test]
fn the_format_can_be_said() {
    let folder = recorded();
    let output = witprof(folder.path(), &["convert", "p.json", "-o", "profile"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2));
    assert!(message.contains("--format") && message.contains("folded"), "{message}");
    printed(folder.path(), &["convert", "p.json", "-o", "profile", "--format", "svg"]);
    let svg = std::fs::read_to_string(folder.path().join("profile")).expect("the file");
    assert!(svg.contains("<svg"));
    printed(folder.path(), &["diff", "p.json", "p.json", "-o", "picture", "--format", "svg"]);
    let output = run_guest(folder.path(), &["-o", "recorded", "--format", "html"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let html = std::fs::read_to_string(folder.path().join("recorded")).expect("the file");
    assert!(html.starts_with("<!"), "{}", &html[..100]);
}

#[test]
fn names_are_shown_as_a_shell_takes_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let output = run_guest(folder.path(), &["-o", "my profile.json"]);
    let message = text(&output.stderr);
    assert!(message.contains("`witprof view 'my profile.json'` opens it"), "{message}");
}

#[test]
fn a_default_name_fits_into_a_folder() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guest = format!("{}.wasm", "ü".repeat(125));
    std::fs::copy(support::root().join("tests/guests/hot-c.wasm"), folder.path().join(&guest)).expect("a copy");
    let output = witprof(folder.path(), &["run", "--invoke", "spin(1)", &guest]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let names = std::fs::read_dir(folder.path()).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let names: Vec<String> = names.map(|name| name.to_string_lossy().into_owned()).collect();
    assert!(names.iter().any(|name| name.starts_with("witprof-ü") && name.ends_with(".json.gz")), "{names:?}");
}

/// What is printed as chance is what decides.
#[test]
fn a_change_beyond_chance_is_one_that_is_marked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kitchen = support::kitchen();
    let kitchen = kitchen.to_str().expect("UTF-8");
    for (name, rounds) in [("a.json", "40"), ("b.json", "80")] {
        printed(folder.path(), &["run", "--quiet", "--interval", "300us", "-o", name, kitchen, rounds]);
    }
    let json = printed(folder.path(), &["diff", "--by", "function", "--json", "a.json", "b.json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let changes = json["changes"].as_array().expect("changes");
    assert!(changes.len() > 5, "{json:#}");
    for change in changes {
        let number = |name: &str| change[name].as_f64().expect("a number");
        let is_beyond = number("change_pct").abs() > number("chance_pct");
        assert_eq!(change["certain"].as_bool(), Some(is_beyond), "{change:#}");
        assert!(number("chance_pct") >= number("spread_pct"), "{change:#}");
    }
    let table = printed(folder.path(), &["diff", "--by", "function", "a.json", "b.json"]);
    for line in table.lines().filter(|line| line.contains('±') && line.contains('%')) {
        let words: Vec<&str> = line.split_whitespace().collect();
        let number = |word: &str| word.trim_end_matches('%').parse::<f64>();
        let at = words.iter().position(|word| word.starts_with('±') && word.len() > 2);
        let Some(at) = at.filter(|at| *at > 0) else { continue };
        let (change, chance) = (number(words[at - 1]), number(words[at].trim_start_matches('±')));
        let (Ok(change), Ok(chance)) = (change, chance) else { continue };
        // Both are rounded.
        if (change.abs() - chance).abs() > 0.02 {
            assert_eq!(change.abs() > chance, line.contains('*'), "{line}");
        }
    }
}

#[test]
fn a_lower_bound_of_calls_is_shown_where_calls_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kitchen = support::kitchen();
    let kitchen = kitchen.to_str().expect("UTF-8");
    printed(folder.path(), &["run", "--quiet", "--trace-calls", "-o", "p.json", kitchen, "40"]);
    let table = printed(folder.path(), &["report", "--by", "interface-function", "p.json"]);
    // Names are cut in the middle.
    assert!(table.lines().any(|line| line.contains("demo:math") && line.contains('≥')), "{table}");
    let json = printed(folder.path(), &["report", "--by", "interface-function", "--json", "p.json"]);
    let json: Value = serde_json::from_str(&json).expect("JSON");
    let row = json["rows"].as_array().expect("rows").iter();
    let row =
        row.clone().find(|row| row["name"].as_str().is_some_and(|name| name.contains("increment"))).expect("a row");
    assert!(row["calls"].is_null() && row["calls_at_least"].as_u64().is_some_and(|calls| calls > 0), "{row:#}");
}

#[test]
fn bash_completes_commands_and_options() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("completions"), printed(folder.path(), &["completions", "bash"]))
        .expect("writing");
    let complete = |line: &str| {
        let words: Vec<&str> = line.split(' ').collect();
        let script = format!(
            "source ./completions; COMP_WORDS=({line}); COMP_CWORD={}; \
             \"$(complete -p witprof | sed 's/.*-F \\([^ ]*\\) .*/\\1/')\" witprof '{}' '{}'; echo \"${{COMPREPLY[*]}}\"",
            words.len() - 1,
            words[words.len() - 1],
            words[words.len() - 2],
        );
        let output = Command::new("bash").current_dir(folder.path()).args(["-c", &script]).output().expect("bash");
        text(&output.stdout).trim().to_owned()
    };
    assert_eq!(complete("witprof re"), "report");
    assert_eq!(complete("witprof run --tr"), "--trace-calls");
    assert_eq!(complete("witprof run --sampler e"), "epoch");
    // It is refused.
    assert_eq!(complete("witprof run --pro"), "");
}

/// What a command prints to a terminal of so many columns, without colour.
fn on_terminal(folder: &Path, columns: usize, arguments: &str) -> String {
    let program = env!("CARGO_BIN_EXE_witprof");
    let command = format!("stty cols {columns} && '{program}' {arguments}");
    let mut script = Command::new("script");
    script.current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    let output = script.args(["-qec", &command, "/dev/null"]).output().expect("script");
    text(&output.stdout).replace('\r', "")
}

#[cfg(target_os = "linux")]
#[test]
fn tables_fit_a_terminal_and_no_two_rows_look_the_same() {
    if !support::programs::can_run(&["script"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kitchen = support::kitchen();
    let kitchen = kitchen.to_str().expect("UTF-8");
    printed(folder.path(), &["run", "--quiet", "--trace-calls", "-o", "p.json", kitchen, "40"]);
    let by = witprof::Dimension::ALL.iter().map(|by| by.name());
    let commands: Vec<_> = by.map(|by| format!("report --top 40 --by {by} p.json")).collect();
    let others = ["report --calls p.json".to_owned(), "diff --by function --top 40 p.json p.json".to_owned()];
    for command in commands.iter().chain(&others) {
        for columns in [60, 80, 120] {
            let shown = on_terminal(folder.path(), columns, command);
            let is_heading =
                |line: &&str| line.contains(" total") || line.contains(" chance") || line.contains(" change");
            let table = shown.lines().skip_while(|line| !is_heading(line));
            // Sentences below a table are broken by the terminal.
            let is_sentence = |line: &&str| line.starts_with("profiler: ") || line.contains("could not be told");
            let rows: Vec<&str> = table.take_while(|line| !line.is_empty() && !is_sentence(line)).collect();
            assert!(rows.len() > 1, "{command}: {shown}");
            assert!(rows.iter().all(|row| row.chars().count() <= columns), "{command} at {columns}: {shown}");
            let heading = rows[0].rfind("  ").expect("a gap") + 2;
            let mut names: Vec<String> = rows[1..].iter().map(|row| row.chars().skip(heading).collect()).collect();
            names.retain(|name: &String| !name.is_empty());
            let count = names.len();
            names.sort();
            names.dedup();
            assert_eq!(names.len(), count, "{command} at {columns}: {shown}");
        }
    }
    // What tells most is there, and where there is room, all is.
    let interfaces = |columns| on_terminal(folder.path(), columns, "report --by interface p.json");
    assert!(interfaces(60).contains("math/ops (internal)") || interfaces(60).contains("  ops (internal)"));
    assert!(interfaces(80).contains("demo:math/ops"), "{}", interfaces(80));
    assert!(interfaces(120).contains("demo:math/ops@0.1.0 (internal)"), "{}", interfaces(120));
    let functions = on_terminal(folder.path(), 80, "report --by function p.json");
    assert!(functions.contains("app::count_primes  [app"), "{functions}");
}
