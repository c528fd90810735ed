//! `witprof annotate`: functions line by line, with sources, without, and with what is none.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};

use tempfile::TempDir;
use witprof::FunctionKind;

fn witprof(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).stdin(Stdio::null()).args(arguments).output().expect("running witprof")
}

/// What was printed, and the messages.
fn annotate(folder: &Path, arguments: &[&str]) -> (String, String) {
    let output = witprof(folder, &[&["annotate"], arguments].concat());
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    (text(&output.stdout), text(&output.stderr))
}

fn refused(folder: &Path, arguments: &[&str]) -> String {
    let output = witprof(folder, &[&["annotate"], arguments].concat());
    let message = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty() && !message.contains("panicked"), "{arguments:?}: {message}");
    message
}

fn guests() -> String {
    support::root().join("tests/guests").display().to_string()
}

fn hot_c() -> String {
    format!("{}/hot-c.wasm", guests())
}

/// A folder with a profile, `p.json`, of the C guest with the known hot line.
fn profiled(options: &[&str]) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guest = hot_c();
    let arguments = [&["run", "--quiet", "-o", "p.json", "--invoke", "spin(20)"], options, &[&guest]].concat();
    let output = witprof(folder.path(), &arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    folder
}

/// The row with the most time of its own: that time in percent, and what follows the two columns of times.
fn hottest(printed: &str) -> (f64, &str) {
    let rows = printed.lines().filter_map(|line| {
        let (own, rest) = line.split_once('%')?;
        let (_, rest) = rest.split_once('%')?;
        Some((own.trim().parse().ok()?, rest.trim()))
    });
    rows.max_by(|a: &(f64, &str), b| a.0.total_cmp(&b.0)).unwrap_or_else(|| panic!("no row has time: {printed}"))
}

#[test]
fn the_hot_line_stands_beside_its_time() {
    let folder = profiled(&[]);
    // As the function that is inlined, and as where it is called.
    let (printed, messages) = annotate(folder.path(), &["--source", &guests(), "p.json", "mix"]);
    let (own, row) = hottest(&printed);
    assert!(own > 50.0 && row.starts_with("8 ") && row.ends_with("// HOT LINE"), "{printed}");
    assert_eq!(messages, "");
    let (printed, _) = annotate(folder.path(), &["--source", &guests(), "p.json", "churn"]);
    let call = printed.lines().find(|line| line.ends_with("// CALL LINE")).expect("the call");
    let total: f64 = call.split('%').nth(1).and_then(|total| total.trim().parse().ok()).expect("its time");
    assert!(total >= own * 0.9, "{printed}");
    // Sources are found in the current folder as well.
    for file in ["hot-c.c", "hot-c-mix.h"] {
        std::fs::copy(Path::new(&guests()).join(file), folder.path().join(file)).expect("copying a source");
    }
    let rows = |printed: &str| printed.lines().filter(|line| line.contains('%')).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(rows(&annotate(folder.path(), &["p.json", "churn"]).0), rows(&printed));
}

#[test]
fn without_its_source_a_function_is_shown_as_far_as_it_is_known() {
    let folder = profiled(&[]);
    let (printed, messages) = annotate(folder.path(), &["p.json", "mix"]);
    assert!(hottest(&printed).1 == "8" && printed.contains("hot-c-mix.h"), "{printed}");
    assert!(messages.contains("the source file `hot-c-mix.h` was not found") && messages.contains("--source"));
    // A copy somewhere else, so that the sources are not beside it.
    std::fs::copy(hot_c(), folder.path().join("copy.wasm")).expect("copying the guest");
    let (printed, messages) = annotate(folder.path(), &["--component", "copy.wasm", "p.json", "churn"]);
    let (own, row) = hottest(&printed);
    assert!(own > 1.0 && row.starts_with("0x") && row.contains("i64."), "{printed}");
    assert_eq!(messages, "");
}

#[test]
fn without_lines_there_is_its_webassembly() {
    let folder = profiled(&["--no-lines"]);
    let (printed, messages) = annotate(folder.path(), &["p.json", "churn"]);
    assert_eq!(printed.lines().count(), 1, "{printed}");
    assert!(messages.contains("give the component with --component"), "{messages}");
    let (printed, _) = annotate(folder.path(), &["--component", &hot_c(), "p.json", "churn"]);
    assert!(hottest(&printed).1.starts_with("0x"), "{printed}");
}

#[test]
fn what_is_not_there_is_said() {
    let folder = profiled(&[]);
    assert!(refused(folder.path(), &["p.json", "no such function"]).contains("witprof report --by function"));
    std::fs::write(folder.path().join("other.wat"), "(module (func (export \"f\")))").expect("writing a guest");
    let other = refused(folder.path(), &["--component", "other.wat", "p.json", "churn"]);
    assert!(other.contains("is not what was profiled"), "{other}");
    let engine = support::engine_like_the_command_line();
    let image = engine.precompile_component(&support::read(Path::new(&hot_c()))).expect("compiling");
    std::fs::write(folder.path().join("hot.cwasm"), image).expect("writing an image");
    let precompiled = refused(folder.path(), &["--component", "hot.cwasm", "p.json", "churn"]);
    assert!(precompiled.contains("--component takes the WebAssembly binary"), "{precompiled}");
    // Functions of the host have neither lines nor instructions.
    let profile = witprof::read_firefox(&mut &support::read(&folder.path().join("p.json"))[..]).expect("a profile");
    let host =
        profile.functions().iter().find(|function| function.kind == FunctionKind::Host).expect("a host function");
    let (_, messages) = annotate(folder.path(), &["p.json", &host.name]);
    assert!(messages.contains("no function of a guest"), "{messages}");
}

#[test]
fn a_profile_does_not_choose_which_files_are_read_and_sources_do_not_reach_the_terminal_as_they_are() {
    let folder = profiled(&["--path-map", "/tmp/witprof-fixtures=.."]);
    let below = folder.path().join("below");
    std::fs::create_dir(&below).expect("a folder");
    std::fs::write(folder.path().join("hot-c-mix.h"), "secret\n".repeat(20)).expect("writing a file");
    let (printed, messages) = annotate(&below, &["../p.json", "mix"]);
    assert!(!printed.contains("secret") && messages.contains("was not found"), "{printed}{messages}");

    let folder = profiled(&[]);
    std::fs::write(folder.path().join("hot-c-mix.h"), "\u{1b}[31mred\u{7}\n".repeat(20)).expect("writing a file");
    let (printed, _) = annotate(folder.path(), &["p.json", "mix"]);
    assert!(printed.contains("red") && !printed.contains(['\u{1b}', '\u{7}']), "{printed}");
    // Of a file that has become shorter, no time is lost.
    std::fs::write(folder.path().join("hot-c-mix.h"), "one line\n").expect("writing a file");
    let (printed, _) = annotate(folder.path(), &["p.json", "mix"]);
    assert!(hottest(&printed).1.contains("the file has no such line"), "{printed}");
}

#[test]
fn sources_can_travel_with_the_profile() {
    let folder = profiled(&[]);
    let embed = format!("--embed-sources={}", guests());
    let converted = witprof(folder.path(), &["convert", "p.json", "-o", "with.json.gz", &embed]);
    assert!(converted.status.success() && converted.stderr.is_empty(), "{converted:?}");
    let (with, messages) = annotate(folder.path(), &["with.json.gz", "mix"]);
    let (own, row) = hottest(&with);
    assert!(own > 50.0 && row.ends_with("// HOT LINE") && with.contains("in the profile"), "{with}");
    assert_eq!(messages, "");
    // Once more, and with the run itself, whose component has them beside it.
    let again = witprof(folder.path(), &["convert", "with.json.gz", "-o", "again.json"]);
    assert!(again.status.success(), "{again:?}");
    assert!(annotate(folder.path(), &["again.json", "mix"]).0.contains("// HOT LINE"));
    let of_run = profiled(&["--embed-sources"]);
    assert!(annotate(of_run.path(), &["p.json", "mix"]).0.contains("// HOT LINE"));
    // Without being asked, nothing of them is kept; and what is not there is said.
    assert!(!annotate(folder.path(), &["p.json", "mix"]).0.contains("// HOT LINE"));
    let nowhere = witprof(folder.path(), &["convert", "p.json", "-o", "n.json", "--embed-sources=/nonexistent"]);
    let message = String::from_utf8_lossy(&nowhere.stderr).into_owned();
    assert!(nowhere.status.success() && message.contains("was not found"), "{message}");
}
