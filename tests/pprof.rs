//! The pprof output, read by the real `go tool pprof`.
//!
//! Needs Go; see `tests/set-up`.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::process::Command;

use witprof::{Dimension, Profile, read_firefox};

/// What `go tool pprof` prints.
fn pprof(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("go");
    // It keeps what it read, and looks for the program's file, below the home folder.
    command.current_dir(folder).env("HOME", folder).env("PPROF_TMPDIR", folder);
    let output = command.args(["tool", "pprof"]).args(arguments).output();
    let output = output.expect("running Go");
    let message = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {message}");
    String::from_utf8(output.stdout).expect("UTF-8")
}

/// The bundled composition's profile, beside its conversions.
fn kitchen(folder: &Path) -> Profile {
    let witprof = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
        let output = command.current_dir(folder).args(arguments).output().expect("running witprof");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    let kitchen = support::kitchen();
    let kitchen = kitchen.to_str().expect("UTF-8");
    // What is looked for in it takes a hundredth of the time: again, until it has been seen.
    for _ in 0..20 {
        witprof(&["run", "--quiet", "--interval", "500us", "-o", "k.json", "-o", "functions.pb.gz", kitchen]);
        let profile = read_firefox(&mut &support::read(&folder.join("k.json"))[..]).expect("a profile");
        if profile.report(Dimension::Library).rows.iter().any(|row| row.name == "canonical ABI") {
            witprof(&["convert", "k.json", "--by", "interface", "-o", "interfaces.pb"]);
            return profile;
        }
    }
    panic!("no sample was in the canonical ABI's own code");
}

/// Seconds, from `1.25s`, `12.5ms` or `3us`.
fn seconds(text: &str) -> f64 {
    let unit = text.trim_start_matches(|char: char| char.is_ascii_digit() || char == '.');
    let scale = match unit {
        "s" => 1.0,
        "ms" => 1e-3,
        "us" => 1e-6,
        "ns" => 1e-9,
        "" => return 0.0,
        _ => panic!("what unit is {unit}?"),
    };
    text.trim_end_matches(unit).parse::<f64>().expect("a number") * scale
}

#[test]
fn the_real_tool_reads_what_is_written() {
    if !support::programs::can_run(&["go"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let profile = kitchen(folder.path());
    for (file, dimension) in [("functions.pb.gz", Dimension::Function), ("interfaces.pb", Dimension::InterfaceFunction)]
    {
        let top = pprof(folder.path(), &["-top", "-nodecount=10000", "-nodefraction=0", file]);
        let (_, rows) = top.split_once("cum%\n").expect("a table");
        let row = |name: &str| {
            let mut rows = rows.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
            let words: Vec<&str> = name.split_whitespace().collect();
            let row = rows.find(|row| row.get(5..).is_some_and(|found| found == words));
            let row = row.unwrap_or_else(|| panic!("no {name} in {top}"));
            (seconds(row[0]), seconds(row[3]))
        };
        let report = profile.report(dimension).rows;
        let hottest = |name: &str| report.iter().find(|row| row.name == name).expect("a row");
        let (expected, (own, total)) = if dimension == Dimension::Function {
            (hottest("app::count_primes"), row("app::count_primes"))
        } else {
            let describe = hottest("demo:math/ops@0.1.0#describe (internal)");
            (describe, row("describe [demo:math/ops@0.1.0 (internal)]"))
        };
        let is_near = |a: f64, b: f64| (a - b).abs() <= 0.01 * b + 1e-4;
        assert!(is_near(own, expected.own.as_secs_f64()), "{own} instead of {expected:?}");
        assert!(is_near(total, expected.total.as_secs_f64()), "{total} instead of {expected:?}");
    }
    let traces = pprof(folder.path(), &["-traces", "functions.pb.gz"]);
    for part in ["interface:  demo:math/ops@0.1.0 (internal)", "layer:  trampoline", "part:  boundary", "thread:  main"]
    {
        assert!(traces.contains(part), "no {part} in the traces");
    }
    // What the tool takes for the program.
    for file in ["functions.pb.gz", "interfaces.pb"] {
        let top = pprof(folder.path(), &["-top", file]);
        assert!(top.starts_with("File: kitchen\n"), "{top}");
    }
    // Locations are told apart by mapping, one for each library.
    let raw = pprof(folder.path(), &["-raw", "functions.pb.gz"]);
    let (_, mappings) = raw.split_once("Mappings").expect("mappings");
    assert!(
        mappings.lines().nth(1).is_some_and(|first| first.starts_with("1: ") && first.contains(" kitchen ")),
        "{mappings}"
    );
    for library in ["provider/provider.wasm", "demo:math/ops@0.1.0 (app -> provider)", "canonical ABI"] {
        assert!(mappings.contains(library), "{mappings}");
    }
    let focused = pprof(folder.path(), &["-top", "-tagfocus=part=boundary", "functions.pb.gz"]);
    assert!(!focused.contains("app::count_primes"), "{focused}");
}
