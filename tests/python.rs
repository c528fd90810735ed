//! Functions of a real Python component, in what `witprof run` records of it: their time, names, lines and callers. The component is
//! made of `tests/python/app.py` by componentize-py as it is, without any option.
//!
//! Needs componentize-py; see `tests/set-up`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::collections::HashSet;
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;
use support::patience::{assert_figure, patiently};
use support::python;
use support::stacks::{
    Recording, Stack, assert_all_time_is_somewhere, milliseconds, names, rows, time, time_of, triple_to_single,
};

use self::command::printed;

const APP: &str = include_str!("python/app.py");
const WORLD: &str = include_str!("python/world.wit");

/// Where the program is inside of the component.
const FILE: &str = "/0/app.py";

/// The share of a function's time in which who called it may be unknown: CPython is in the middle of a change in some of a thousand
/// samples, and in more of those of a function that does little.
const IN_A_CHANGE: f64 = 0.04;

/// What stands for functions that could not be told.
const UNKNOWN: &str = "(unknown script function)";

/// Records a run of the component.
fn record() -> Recording {
    /// One at a time: the first one builds the component, and a run that has the machine for itself is measured best.
    static RUNNING: Mutex<()> = Mutex::new(());
    let _running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    Recording::new(printed, &python::component(APP, WORLD, "command"), &[])
}

fn report(recording: &Recording, by: &str) -> Value {
    let report = printed(recording.folder.path(), &["report", "--json", "--by", by, "p.json"]);
    serde_json::from_str(&report).expect("JSON")
}

/// The recording that all tests look at that do not care how fast the machine was.
fn shared() -> &'static Recording {
    static SHARED: LazyLock<Recording> = LazyLock::new(record);
    &SHARED
}

/// The number of the line with a comment.
fn line(comment: &str) -> usize {
    let found = APP.lines().position(|line| line.ends_with(&format!("# {comment}")));
    found.unwrap_or_else(|| panic!("no {comment}")) + 1
}

/// The function that three times the work is in, and the one that has it once.
#[test]
fn three_times_the_work_is_three_times_the_time() {
    if !python::can_build() {
        return;
    }
    patiently(|| {
        let recording = record();
        let report = report(&recording, "script");
        let ratio = triple_to_single(&recording, &report);
        assert_figure!((ratio - 3.0).abs() <= 0.2, "{ratio}");
    });
}

#[test]
fn the_hot_line_has_most_of_its_function() {
    if !python::can_build() {
        return;
    }
    let report = report(shared(), "line");
    let function = line("HOT LINE") - 4..=line("HOT LINE") + 1;
    let times = function.map(|number| {
        let name = format!("{FILE}:{number}");
        let row = rows(&report).iter().find(|row| row["name"] == *name);
        (row.map_or(0.0, |row| milliseconds(row, "total_ms")), number)
    });
    let mut times: Vec<(f64, usize)> = times.collect();
    times.sort_by(|a, b| b.0.total_cmp(&a.0));
    assert_eq!(times[0].1, line("HOT LINE"), "{times:?}");
    // The head of the loop is next, which asks for a number as often; the rest happens once a call.
    assert_eq!(times[1].1, line("HOT LINE") - 1, "{times:?}");
    assert!(times[2].0 < times[0].0 / 100.0, "{times:?}");
}

#[test]
fn lines_are_those_of_the_statements() {
    if !python::can_build() {
        return;
    }
    let report = report(shared(), "line");
    let names = names(&report);
    for comment in ["HOT LINE", "NEXT NUMBER", "COMPREHENSION"] {
        let name = format!("{FILE}:{}", line(comment));
        assert!(names.contains(name.as_str()), "no {name}, which is {comment}: {names:?}");
    }
    // No statement is where there is a blank line, or a comment alone, and none is behind the end.
    let lines: Vec<&str> = APP.lines().collect();
    for name in names {
        let Some(number) = name.strip_prefix(FILE).and_then(|rest| rest.strip_prefix(':')) else { continue };
        let number: usize = number.parse().expect("a number");
        let statement = lines.get(number - 1).unwrap_or_else(|| panic!("{name}: no such line")).trim();
        assert!(!statement.is_empty() && !statement.starts_with('#'), "{name}: `{statement}`");
    }
}

#[test]
fn functions_have_their_qualified_names() {
    if !python::can_build() {
        return;
    }
    let report = report(shared(), "script");
    let names = names(&report);
    let expected = [
        "Run.run",
        "main",
        "single",
        "triple",
        "recurse",
        "bottom",
        "numbers",
        "key",
        "mapped",
        "main.<locals>.<lambda>",
        "main.<locals>.<genexpr>",
        "Shape.area",
        "Shape.Inner.build",
        "raises",
        "caught",
        "comprehension",
        "größe",
        "größe.<locals>.<genexpr>",
        "clock",
        "collects",
        "hashes",
        "parses",
    ];
    let missing: Vec<&str> = expected.into_iter().filter(|name| !names.contains(name)).collect();
    assert!(missing.is_empty(), "{missing:?} are not in {names:?}");
    for row in rows(&report).iter().filter(|row| expected.iter().any(|name| row["name"] == *name)) {
        let first_line = row["detail"].as_str().and_then(|detail| detail.strip_prefix(FILE)?.strip_prefix(':'));
        let first_line: usize = first_line.and_then(|line| line.parse().ok()).unwrap_or_else(|| panic!("{row}"));
        // A decorator is a part of the function that it is for.
        let begin: Vec<&str> = APP.lines().skip(first_line - 1).take(2).collect();
        let begin = begin.join(" ");
        let name = row["name"].as_str().and_then(|name| name.rsplit('.').next()).expect("a name");
        assert!(begin.contains(name.trim_matches(['<', '>'])) || name.starts_with('<'), "{row}: {begin}");
    }
}

#[test]
fn every_function_is_known() {
    if !python::can_build() {
        return;
    }
    patiently(|| {
        let recording = record();
        let unknown = time_of(&recording.whole, UNKNOWN);
        assert_figure!(unknown <= time(&recording.whole) / 100.0, "{unknown}");
        for stack in &recording.whole {
            // It stands for all functions of one run, of which others are not known either.
            let places = (0..stack.frames.len()).filter(|at| stack.frames[*at] == UNKNOWN);
            for at in places {
                assert_eq!(stack.frames[at - 1], "_PyEval_EvalFrameDefault", "{:?}", stack.frames);
            }
            // Between a class that is called and its `__init__` CPython has a function of its own.
            assert!(!stack.has("__init__"), "{:?}", stack.frames);
        }
    });
}

#[test]
fn all_time_is_somewhere() {
    if !python::can_build() {
        return;
    }
    let recording = shared();
    let report = report(recording, "script");
    let recorded = milliseconds(&report, "wall_ms");
    assert_all_time_is_somewhere(&report);
    for stacks in [&recording.whole, &recording.scripts] {
        // Each is rounded to a microsecond.
        let (found, rounding) = (time(stacks) / 1000.0, stacks.len() as f64 / 1000.0);
        assert!((found - recorded).abs() <= rounding, "{found} of {recorded}");
    }
    // What the interpreter does before the first function, and after the last, is nobody's.
    assert!(time_of(&recording.scripts, "Run.run") / 1000.0 > recorded * 0.9);
}

#[test]
fn a_function_is_shown_line_by_line_with_its_source() {
    if !python::can_build() {
        return;
    }
    let recording = shared();
    let sources = recording.folder.path().join("sources");
    std::fs::create_dir_all(&sources).expect("a folder");
    std::fs::write(sources.join("app.py"), APP).expect("writing Python");
    let shown = printed(recording.folder.path(), &["annotate", "--source", "sources", "p.json", "triple"]);
    let hot = shown.lines().find(|line| line.contains("# HOT LINE")).unwrap_or_else(|| panic!("{shown}"));
    let numbers: Vec<&str> = hot.split_whitespace().take(3).collect();
    let [own, total, number] = numbers[..] else { panic!("{hot}") };
    assert_eq!((own, number), (total, line("HOT LINE").to_string().as_str()), "{hot}");
    assert_ne!(own, "0.0%", "{hot}");
}

/// The garbage collector, and functions in C.
#[test]
fn what_the_interpreter_does_is_time_of_the_function_that_it_does_it_for() {
    if !python::can_build() {
        return;
    }
    /// The function of Python, and the one of C that has nearly all of its time.
    const WORK: [(&str, &str); 3] = [
        ("collects", "gc_collect_region"),
        ("hashes", "sha256_update"),
        ("JSONDecoder.raw_decode", "scan_once_unicode"),
    ];
    let recording = shared();
    let report = report(recording, "script");
    for (function, of_c) in WORK {
        let row = rows(&report).iter().find(|row| row["name"] == function).expect("a row");
        // No other function of Python is called.
        assert!(milliseconds(row, "self_ms") > milliseconds(row, "total_ms") * 0.99, "{row}");
        let with = recording.whole.iter().filter(|stack| stack.has_in_order(&[function, of_c]));
        let (with, all) = (time(with), time_of(&recording.whole, function));
        assert!(with > all * 0.8, "{of_c} has {with} of {all} of {function}");
    }
    // The collector may be at work elsewhere, but always for somebody.
    let collecting = recording.whole.iter().filter(|stack| stack.has("gc_collect_region") && stack.has("Run.run"));
    assert!(time(collecting) > time_of(&recording.whole, "gc_collect_region") * 0.95);
}

#[test]
fn recursion_is_as_deep_as_it_is() {
    if !python::can_build() {
        return;
    }
    patiently(|| {
        let recording = record();
        for stacks in [&recording.whole, &recording.scripts] {
            let deepest = stacks.iter().map(|stack| stack.count("recurse")).max();
            assert_eq!(deepest, Some(200));
            let is_whole =
                |stack: &&Stack| stack.count("recurse") == 200 && stack.has_in_order(&["main", "recurse", "bottom"]);
            let (whole, all) = (time(stacks.iter().filter(is_whole)), time_of(stacks, "bottom"));
            assert_figure!(whole >= all * (1.0 - IN_A_CHANGE), "{whole} of {all}");
            let raises = stacks.iter().map(|stack| stack.count("raises")).max();
            assert!(raises <= Some(11), "{raises:?}");
            assert_figure!(raises == Some(11), "{raises:?}");
        }
    });
}

#[test]
fn callers_are_in_the_order_of_their_calls() {
    if !python::can_build() {
        return;
    }
    /// From `main` inwards; with the functions of C in between, and without.
    const CALLS: [(&[&str], &[&str]); 8] = [
        (&["main", "builtin_sorted", "list_sort_impl", "key"], &["main", "key"]),
        (&["main", "builtin_sum", "map_next", "mapped"], &["main", "mapped"]),
        (&["main", "builtin_max", "min_max", "main.<locals>.<lambda>"], &["main", "main.<locals>.<lambda>"]),
        (&["main", "builtin_sum", "gen_send_ex2", "numbers"], &["main", "numbers"]),
        (
            &["main", "builtin_sum", "gen_send_ex2", "main.<locals>.<genexpr>", "Shape.area"],
            &["main", "main.<locals>.<genexpr>", "Shape.area"],
        ),
        (
            &["main", "größe", "builtin_sum", "gen_send_ex2", "größe.<locals>.<genexpr>"],
            &["main", "größe", "größe.<locals>.<genexpr>"],
        ),
        (&["main", "caught", "raises"], &["main", "caught", "raises"]),
        (&["Run.run", "main", "comprehension"], &["Run.run", "main", "comprehension"]),
    ];
    patiently(|| {
        let recording = record();
        for (calls, of_python) in CALLS {
            let innermost = calls[calls.len() - 1];
            let all = time_of(&recording.whole, innermost);
            assert!(all > 0.0, "{innermost} is not there");
            // A caller may be unknown, and a generator is made where it is called, but what is there is in its place.
            for stack in recording.whole.iter().filter(|stack| stack.has(innermost)) {
                let there: Vec<&str> = calls.iter().copied().filter(|name| stack.has(name)).collect();
                assert!(stack.has_in_order(&there), "{there:?}: {:?}", stack.frames);
            }
            let in_order = time(recording.whole.iter().filter(|stack| stack.has_in_order(calls)));
            assert_figure!(in_order >= all * (1.0 - IN_A_CHANGE), "{calls:?}: {in_order} of {all}");
            let adjacent = time(recording.scripts.iter().filter(|stack| stack.has_adjacent(of_python)));
            assert_figure!(adjacent >= all * (1.0 - IN_A_CHANGE), "{of_python:?}: {adjacent} of {all}");
        }
        // Nothing but `main` is called by `Run.run`.
        let python: HashSet<&str> = CALLS.iter().flat_map(|(_, of_python)| of_python.iter().copied()).collect();
        for stack in &recording.scripts {
            let frames = stack.frames.iter().map(String::as_str).filter(|frame| python.contains(frame));
            let inside: Vec<&str> = frames.skip_while(|frame| *frame != "Run.run").collect();
            assert!(inside.get(1).is_none_or(|frame| *frame == "main"), "{inside:?}");
        }
    });
}

#[test]
fn a_function_is_the_caller_of_what_it_imports() {
    if !python::can_build() {
        return;
    }
    const IMPORT: &str = "now [wasi:clocks/monotonic-clock@0.2.12 (import)]";
    let recording = shared();
    let all = time_of(&recording.scripts, IMPORT);
    assert!(all > 0.0, "the clock was not read");
    let in_clock = time(recording.scripts.iter().filter(|stack| stack.has_adjacent(&["main", "clock", IMPORT])));
    assert!(in_clock >= all * 0.99, "{in_clock} of {all}");
}

#[test]
fn scripts_can_be_left_out() {
    if !python::can_build() {
        return;
    }
    let folder = shared().folder.path();
    let folded = printed(folder, &["convert", "p.json", "--no-scripts", "--format", "folded", "-o", "-"]);
    for name in ["Run.run", "triple", "Shape.area", "<lambda>"] {
        assert!(!folded.contains(name), "{name}");
    }
    let total: f64 = folded.lines().filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum();
    assert!((total - time(&shared().whole)).abs() <= folded.lines().count() as f64 + shared().whole.len() as f64);
}
