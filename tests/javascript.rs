//! Functions of real JavaScript components, in what `witprof run` and `witprof serve` record of them: their time, names, places and callers.
//! The components are made by componentize-js with its own engines, and by componentize-qjs with QuickJS.
//!
//! Needs Node.js, componentize-js and componentize-qjs; see `tests/set-up`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::path::{Path, PathBuf};
use std::sync::{LazyLock, Mutex, PoisonError};

use serde_json::Value;
use support::javascript::{self, Engine};
use support::patience::{assert_figure, patiently};
use support::serving::serve;
use support::stacks::{
    Recording, Stack, assert_all_time_is_somewhere, milliseconds, names, rows, time, time_of, triple_to_single,
};
use witprof::{Dimension, Filter};

use self::command::printed;

const APP: &str = include_str!("javascript/app.js");

/// An engine that tests are run on, and what differs there.
struct Tested {
    engine: Engine,
    /// What the source is called.
    file: &'static str,
    /// How a function is called that has no name, and is given to another.
    callback: &'static str,
    /// Functions that call others without a name: that which makes the fields of a class, and what stands for `console`.
    callers_of_others: &'static [&'static str],
    /// What the engine has in JavaScript itself.
    natives: &'static [&'static str],
    /// How much of the time some function may be unknown.
    unknown: f64,
}

static STARLINGMONKEY: Tested = Tested {
    engine: Engine::Release,
    // What componentize-js calls a source that it gets as text.
    file: "source.js",
    callback: "scaled/<",
    callers_of_others: &[],
    natives: &["map", "next"],
    unknown: 0.002,
};

static QUICKJS: Tested = Tested {
    engine: Engine::QuickJs,
    file: "/app.js",
    callback: "<anonymous>",
    callers_of_others: &["Shape", "log"],
    natives: &[],
    unknown: 0.005,
};

static ENGINES: [&Tested; 2] = [&STARLINGMONKEY, &QUICKJS];

/// What stands for functions that could not be told.
const UNKNOWN: &str = "(unknown script function)";

/// The evaluation loop.
const LOOP: &str = "js::Interpret(JSContext*, js::RunState&)";

/// The component of the program with an engine.
fn component(engine: Engine, app: &str) -> PathBuf {
    if engine == Engine::QuickJs {
        let app = [app, include_str!("javascript/quickjs/app.js")].concat();
        return javascript::component(engine, &app, include_str!("javascript/quickjs/app.wit"), "command");
    }
    javascript::component(engine, app, include_str!("javascript/starlingmonkey/app.wit"), "command")
}

/// Records a run of the program.
fn record(on: &Tested) -> Recording {
    record_component(&component(on.engine, APP), &[])
}

fn record_component(component: &Path, options: &[&str]) -> Recording {
    /// One at a time: a run that has the machine for itself is measured best.
    static RUNNING: Mutex<()> = Mutex::new(());
    let _running = RUNNING.lock().unwrap_or_else(PoisonError::into_inner);
    Recording::new(printed, component, options)
}

/// The recording that all tests look at that do not care how fast the machine was.
fn shared(on: &Tested) -> &'static Recording {
    static OF_STARLINGMONKEY: LazyLock<Recording> = LazyLock::new(|| record(&STARLINGMONKEY));
    static OF_QUICKJS: LazyLock<Recording> = LazyLock::new(|| record(&QUICKJS));
    if on.engine == Engine::QuickJs { &OF_QUICKJS } else { &OF_STARLINGMONKEY }
}

/// The engines, where there is what makes components with them.
fn engines() -> impl Iterator<Item = &'static Tested> {
    let can_build = javascript::can_build();
    ENGINES.into_iter().filter(move |_| can_build)
}

fn report(recording: &Recording, by: &str) -> Value {
    let report = printed(recording.folder.path(), &["report", "--json", "--by", by, "p.json"]);
    serde_json::from_str(&report).expect("JSON")
}

/// The number of the line with a comment.
fn line(comment: &str) -> usize {
    let found = APP.lines().position(|line| line.ends_with(&format!("// {comment}")));
    found.unwrap_or_else(|| panic!("no {comment}")) + 1
}

/// The number of the line that has this.
fn line_with(text: &str) -> usize {
    APP.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("no {text}")) + 1
}

/// Functions of the program as engines call them, and what is in the lines that they begin with. The one with nothing for a name is a
/// callback.
const FUNCTIONS: [(&str, &str); 19] = [
    ("run", "async run()"),
    ("main", "function main("),
    ("single", "function single("),
    ("triple", "function triple("),
    ("recurse", "function recurse("),
    ("bottom", "function bottom("),
    ("adder", "return function adder("),
    ("Shape", "constructor(side)"),
    ("get area", "get area()"),
    ("scaled", "scaled(by)"),
    ("", "// CALLBACK"),
    ("of", "static of("),
    ("numbers", "function* numbers("),
    ("compare", "function compare("),
    ("toJSON", "toJSON()"),
    ("größe", "function größe("),
    ("waits", "async function waits("),
    ("works", "function works("),
    ("outer", "async function outer("),
];

/// Whether a report by script has all functions, each in its file and line; `shift` is added to lines.
fn assert_has_functions(on: &Tested, report: &Value, file: &str, shift: usize) {
    for (name, begin) in FUNCTIONS {
        let name = if name.is_empty() { on.callback } else { name };
        let detail = format!("{file}:{}", line_with(begin) + shift);
        let found = rows(report).iter().any(|row| row["name"] == name && row["detail"] == *detail);
        let rows: Vec<_> = rows(report).iter().map(|row| (&row["name"], &row["detail"])).collect();
        assert!(found, "{name} [{detail}] is not in {rows:?}");
    }
}

#[test]
fn functions_have_the_names_of_the_engine_and_their_places() {
    for on in engines() {
        assert_has_functions(on, &report(shared(on), "script"), on.file, 0);
    }
}

/// What is made of text has the place where that was done for a file, or a name for one.
#[test]
fn what_is_made_of_text_has_a_place() {
    for on in engines() {
        let made = line_with("return new Function(");
        let detail = match on.engine {
            Engine::QuickJs => "<input>:1".to_owned(),
            _ => format!("{} line {made} > Function:1", on.file),
        };
        let report = report(shared(on), "script");
        assert!(rows(&report).iter().any(|row| row["name"] == "anonymous" && row["detail"] == *detail), "{report}");
    }
}

/// The function that three times the work is in, and the one that has it once.
#[test]
fn three_times_the_work_is_three_times_the_time() {
    for on in engines() {
        patiently(|| {
            let recording = record(on);
            let report = report(&recording, "script");
            let ratio = triple_to_single(&recording, &report);
            assert_figure!((ratio - 3.0).abs() <= 0.3, "{ratio}");
        });
    }
}

#[test]
fn the_hot_lines_have_nearly_all_of_their_function() {
    for on in engines() {
        let report = report(shared(on), "line");
        let first = line_with("function triple(");
        let times = (first..first + 7).map(|number| {
            let row = rows(&report).iter().find(|row| row["name"] == *format!("{}:{number}", on.file));
            (row.map_or(0.0, |row| milliseconds(row, "total_ms")), number)
        });
        let mut times: Vec<(f64, usize)> = times.collect();
        times.sort_by(|a, b| b.0.total_cmp(&a.0));
        let [hot, head] = [line("HOT LINE"), line("HEAD OF THE LOOP")];
        let hottest = [times[0].1, times[1].1];
        assert!(hottest == [hot, head] || hottest == [head, hot], "{times:?}");
        assert!(times[2].0 < times[1].0 / 5.0, "{times:?}");
    }
}

#[test]
fn lines_are_those_of_statements() {
    for on in engines() {
        let report = report(shared(on), "line");
        let names = names(&report);
        for comment in ["HOT LINE", "NEXT NUMBER", "CALLBACK", "AFTER A WAIT"] {
            let line = line(comment);
            let is_there = |line: usize| names.contains(format!("{}:{line}", on.file).as_str());
            // A callback has its work in the lines after its head.
            assert!(is_there(line) || comment == "CALLBACK" && is_there(line + 2), "no {comment}: {names:?}");
        }
        let lines: Vec<&str> = APP.lines().collect();
        for name in names {
            let Some(number) = name.strip_prefix(on.file).and_then(|rest| rest.strip_prefix(':')) else { continue };
            let number: usize = number.parse().expect("a number");
            // Behind the program is what stands for the engine's `console`.
            let Some(statement) = lines.get(number - 1).map(|line| line.trim()) else {
                assert_eq!(on.engine, Engine::QuickJs, "{name}: no such line");
                continue;
            };
            assert!(!statement.is_empty() && !statement.starts_with("//"), "{name}: `{statement}`");
        }
    }
}

#[test]
fn every_function_is_known() {
    for on in engines() {
        patiently(|| {
            let recording = record(on);
            let unknown = time_of(&recording.whole, UNKNOWN);
            assert_figure!(unknown <= time(&recording.whole) * on.unknown, "{unknown}");
        });
    }
}

#[test]
fn all_time_is_somewhere() {
    for on in engines() {
        let report = report(shared(on), "script");
        let recorded = milliseconds(&report, "wall_ms");
        assert_all_time_is_somewhere(&report);
        // What goes on after a wait is called by those that wait in StarlingMonkey, and in QuickJS by none.
        let named = ["run", "outer", "waits", "works"];
        let time = shared(on).scripts.iter().filter(|stack| named.iter().any(|name| stack.has(name)));
        assert!(time.map(|stack| stack.time).sum::<f64>() / 1000.0 > recorded * 0.9);
    }
}

#[test]
fn recursion_is_as_deep_as_it_is() {
    let is_whole = |stack: &&Stack| stack.count("recurse") == 200 && stack.has_in_order(&["main", "recurse", "bottom"]);
    for on in engines() {
        for stacks in [&shared(on).whole, &shared(on).scripts] {
            assert_eq!(stacks.iter().map(|stack| stack.count("recurse")).max(), Some(200));
            let (whole, all) = (time(stacks.iter().filter(is_whole)), time_of(stacks, "bottom"));
            assert!(whole >= all * 0.99, "{whole} of {all}");
        }
    }
}

/// Callers, from `main` inwards: with what the engine may have in JavaScript itself. Nothing for a name is a callback.
const CALLS: [&[&str]; 8] = [
    &["main", "scaled", "map", ""],
    &["main", "compare"],
    &["main", "next", "numbers"],
    &["main", "toJSON"],
    &["main", "get area"],
    &["main", "of", "Shape"],
    &["main", "adder"],
    &["run", "main", "größe"],
];

#[test]
fn callers_are_in_the_order_of_their_calls() {
    for on in engines() {
        for calls in CALLS {
            let is_natives = |name: &str| STARLINGMONKEY.natives.contains(&name);
            let named = |name: &&'static str| if name.is_empty() { on.callback } else { *name };
            let of_program: Vec<&str> = calls.iter().filter(|name| !is_natives(name)).map(named).collect();
            let calls: Vec<&str> =
                calls.iter().filter(|name| !is_natives(name) || on.natives.contains(name)).map(named).collect();
            let innermost = calls[calls.len() - 1];
            let is_another = |stack: &Stack| {
                innermost == on.callback
                    && on.callers_of_others.iter().any(|caller| stack.has_in_order(&[caller, innermost]))
            };
            let all = shared(on).whole.iter().filter(|stack| stack.has(innermost) && !is_another(stack));
            let all = time(all);
            assert!(all > 0.0, "{innermost} is not there");
            let in_order = time(shared(on).whole.iter().filter(|stack| stack.has_in_order(&calls)));
            // A generator is made where it is called, without `next`.
            assert!(in_order >= all * 0.9, "{calls:?}: {in_order} of {all}");
            let adjacent = time(shared(on).scripts.iter().filter(|stack| stack.has_adjacent(&of_program)));
            assert!(adjacent >= all * 0.97, "{of_program:?}: {adjacent} of {all}");
        }
    }
}

#[test]
fn a_function_that_has_waited_is_below_those_that_wait_for_it() {
    for on in engines() {
        // The first half of its work is done in a call, the second half when the event loop goes on with it.
        let all = time_of(&shared(on).scripts, "works");
        let below = |names: &[&str]| time(shared(on).scripts.iter().filter(|stack| stack.has_adjacent(names)));
        // QuickJS does not know who waits.
        let waiting: &[&str] =
            if on.engine == Engine::QuickJs { &["waits", "works"] } else { &["run", "outer", "waits", "works"] };
        let waiting = below(waiting);
        assert!(all > 0.0 && waiting >= all * 0.99, "{waiting} of {all}");
        let calling: f64 = below(&["run", "outer", "waits"]);
        let all = time_of(&shared(on).scripts, "waits");
        let least = if on.engine == Engine::QuickJs { 0.25 } else { 0.99 };
        assert!(calling >= all * least, "{calling} of {all}");
    }
}

#[test]
fn a_memory_that_grows_has_the_function_that_makes_it_grow() {
    for on in engines() {
        assert_memory_grows(on);
    }
}

fn assert_memory_grows(on: &Tested) {
    let json: Value = serde_json::from_slice(&support::read(&shared(on).folder.path().join("p.json"))).expect("JSON");
    let shared = &json["shared"];
    let name_of = |stack: u64| {
        let frame = shared["stackTable"]["frame"][index(stack)].as_u64().expect("a frame");
        let function = shared["frameTable"]["func"][index(frame)].as_u64().expect("a function");
        let name = shared["funcTable"]["name"][index(function)].as_u64().expect("a name");
        shared["stringArray"][index(name)].as_str().expect("a string")
    };
    let outwards = |stack: u64| match shared["stackTable"]["prefixOffset"][index(stack)].as_u64() {
        None | Some(0) => None,
        Some(offset) => Some(stack - offset),
    };
    let markers = json["threads"].as_array().expect("threads").iter().flat_map(|thread| {
        let data = thread["markers"]["data"].as_array().expect("markers");
        data.iter().filter_map(|marker| marker["cause"]["stack"].as_u64())
    });
    let stacks = markers.map(|stack| {
        let mut names: Vec<&str> = std::iter::successors(Some(stack), |stack| outwards(*stack)).map(name_of).collect();
        names.reverse();
        Stack { frames: names.into_iter().map(str::to_owned).collect(), time: 0.0 }
    });
    let stacks: Vec<Stack> = stacks.filter(|stack| stack.has("memory.grow")).collect();
    assert!(
        stacks.iter().any(|stack| stack.has_in_order(&["run", "keeps", "memory.grow"])),
        "{} growths",
        stacks.len()
    );
}

fn index(number: u64) -> usize {
    usize::try_from(number).expect("an index")
}

#[test]
fn a_function_is_shown_line_by_line_with_its_source() {
    for on in engines() {
        let sources = tempfile::tempdir().expect("a temporary folder");
        std::fs::write(sources.path().join(on.file.trim_start_matches('/')), APP).expect("writing JavaScript");
        let profile = shared(on).folder.path().join("p.json");
        let profile = profile.to_str().expect("UTF-8");
        let folder = sources.path().to_str().expect("UTF-8");
        let shown = printed(sources.path(), &["annotate", "--source", folder, profile, "triple"]);
        let hot = shown.lines().find(|line| line.contains("// HOT LINE")).unwrap_or_else(|| panic!("{shown}"));
        let numbers: Vec<&str> = hot.split_whitespace().take(3).collect();
        let [own, total, number] = numbers[..] else { panic!("{hot}") };
        assert_eq!((own, number), (total, line("HOT LINE").to_string().as_str()), "{hot}");
        assert_ne!(own, "0.0%", "{hot}");
    }
}

#[test]
fn scripts_can_be_left_out() {
    for on in engines() {
        let arguments = ["convert", "p.json", "--no-scripts", "--format", "folded", "-o", "-"];
        let folded = printed(shared(on).folder.path(), &arguments);
        for name in ["triple", "get area", "scaled"] {
            assert!(!folded.contains(name), "{name}");
        }
    }
}

/// Lines of the program as lines of a source that it was made from: `src/app.ts`, 100 lines further down.
fn source_map() -> String {
    let lines = vec![";AACA"; APP.lines().count() - 1].concat();
    format!(r#"{{"version": 3, "sources": ["../src/app.ts"], "names": [], "mappings": "AAoGA{lines}"}}"#)
}

const SHIFT: usize = 100;

/// The engine for debugging has names, so that stacks show where runs of the evaluation loop are.
#[test]
fn runs_are_where_the_engine_runs_them_and_scripts_have_their_source_maps_in_themselves() {
    if !javascript::can_build() {
        return;
    }
    let map = data_encoding::BASE64.encode(source_map().as_bytes());
    let app = format!("{APP}//# sourceMappingURL=data:application/json;base64,{map}\n");
    let recording = record_component(&component(Engine::Debug, &app), &[]);
    assert_has_functions(&STARLINGMONKEY, &report(&recording, "script"), "src/app.ts", SHIFT);
    let report = report(&recording, "line");
    let hot = format!("src/app.ts:{}", line("HOT LINE") + SHIFT);
    assert!(names(&report).contains(hot.as_str()), "{report}");
    // `sort` and `JSON.stringify` are in the engine's own code, and begin another run.
    for (outer, native, inner) in [("main", "js::array_sort(", "compare"), ("main", "js::Stringify(", "toJSON")] {
        let stacks = recording.whole.iter().filter(|stack| stack.has(inner) && stack.has(outer));
        let (mut in_order, mut all) = (0.0, 0.0);
        for stack in stacks {
            let at = |name: &str| stack.frames.iter().position(|frame| frame.starts_with(name));
            let outer_at = at(outer).expect("it is there");
            let inner_at = stack.frames.iter().rposition(|frame| frame == inner).expect("it is there");
            let is_between = at(native).is_some_and(|native| outer_at < native && native < inner_at);
            let has_run = stack.frames[outer_at..inner_at].iter().any(|frame| frame == LOOP);
            all += stack.time;
            in_order += if is_between && has_run { stack.time } else { 0.0 };
        }
        assert!(all > 0.0 && in_order >= all * 0.95, "{native}: {in_order} of {all}");
    }
}

#[test]
fn a_source_map_may_be_given() {
    for on in engines() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let map = folder.path().join("app.js.map");
        std::fs::write(&map, source_map()).expect("writing a source map");
        let map = map.to_str().expect("UTF-8");
        let component = component(on.engine, APP);
        let recording = record_component(&component, &["--source-map", map]);
        assert_has_functions(on, &report(&recording, "script"), "src/app.ts", SHIFT);
        // One of another script changes nothing.
        let other = record_component(&component, &["--source-map", &format!("other.js={map}")]);
        assert!(names(&report(&other, "line")).iter().all(|name| !name.starts_with("src/app.ts")));
    }
}

/// An engine that nobody has seen before: one whose constants differ from all that are known.
#[test]
fn an_unknown_engine_is_read_if_everything_agrees() {
    if !javascript::can_build() {
        return;
    }
    let mut wasm = support::read(&component(Engine::Release, APP));
    let message = b"invalid array length";
    let at = memchr::memmem::find(&wasm, message).expect("a message of the engine");
    wasm[at..at + message.len()].make_ascii_uppercase();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let changed = folder.path().join("changed.wasm");
    std::fs::write(&changed, wasm).expect("writing a component");
    let recording = record_component(&changed, &[]);
    assert_has_functions(&STARLINGMONKEY, &report(&recording, "script"), STARLINGMONKEY.file, 0);
    let unknown = time_of(&recording.whole, UNKNOWN);
    assert!(unknown <= time(&recording.whole) / 100.0, "{unknown}");
}

#[test]
fn a_server_shows_its_functions_by_route() {
    for on in engines() {
        let (end, world) = match on.engine {
            Engine::QuickJs => {
                (include_str!("javascript/quickjs/server.js"), include_str!("javascript/quickjs/server.wit"))
            }
            _ => (
                include_str!("javascript/starlingmonkey/server.js"),
                include_str!("javascript/starlingmonkey/server.wit"),
            ),
        };
        let app = [include_str!("javascript/server.js"), end].concat();
        let component = javascript::component(on.engine, &app, world, "server");
        let paths: Vec<String> = (0..40).map(|number| ["/report", "/orders/300"][number % 2].to_owned()).collect();
        let (messages, profile, _) = serve(&component, &["-S", "cli"], &paths);
        assert!(messages.contains("40 requests, 0 failed"), "{messages}");
        for (route, function, other) in [("/report", "checksum", "order"), ("/orders/{}", "order", "checksum")] {
            let report = profile.filter(&Filter::default().label("route", route)).report(Dimension::Script);
            let time_of = |name: &str| report.rows.iter().filter(|row| row.name == name).map(|row| row.total).max();
            assert!(time_of(function).is_some(), "{route}: {:?}", report.rows);
            assert_eq!(time_of(other), None, "{route}: {:?}", report.rows);
            // It has waited, and is above what it has called then.
            assert!(time_of("handle") >= time_of(function), "{route}: {:?}", report.rows);
            let unknown = time_of(UNKNOWN).unwrap_or_default();
            assert!(unknown <= report.wall / 50, "{route}: {unknown:?} of {:?}", report.wall);
        }
    }
}
