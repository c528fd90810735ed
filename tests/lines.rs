//! Lines of source code and inlined functions: real C and Rust with known hot lines (`tests/guests/hot-*`), in every
//! output, by both samplers; and debug info that is damaged, missing, or of something else. Every test of a command
//! runs `witprof` in a process of its own.
//!
//! What reads pprof needs Go; see `tests/set-up`.
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::guests::{Guest, Host};
use tempfile::TempDir;
use wasmparser::{Parser, Payload};
use wasmtime::component::Component;
use wasmtime::{Config, Engine, WasmBacktraceDetails};
use witprof::{FunctionKind, Profile, Recorder, SamplerChoice, SymbolMap};

use self::command::{printed, text, witprof};

/// A guest whose hot line is known.
struct Hot {
    wasm: &'static str,
    /// The file that calls, and the one that is inlined.
    files: [&'static str; 2],
    /// The function that is inlined into, and the one that is inlined.
    functions: [&'static str; 2],
    /// What `spin(30)` returns.
    result: &'static str,
}

const HOT: [Hot; 2] = [
    Hot {
        wasm: "hot-c.wasm",
        files: ["hot-c.c", "hot-c-mix.h"],
        functions: ["churn", "mix"],
        result: "8576575249604017039",
    },
    Hot {
        wasm: "hot-rust.wasm",
        files: ["hot-rust.rs", "hot-rust-mix.rs"],
        functions: ["hot_rust::churn", "hot_rust::mix::mix"],
        result: "878125815129684742",
    },
];

/// Where the guests were built.
const BUILT_IN: &str = "/tmp/witprof-fixtures";

const A_WHILE: Duration = Duration::from_millis(200);

const NO_LINES: &str = "has no lines of source code";

impl Hot {
    fn bytes(&self) -> Vec<u8> {
        support::read(&support::root().join("tests/guests").join(self.wasm))
    }

    /// The number of the line with a comment.
    fn line(&self, file: &str, comment: &str) -> usize {
        let source = support::read(&support::root().join("tests/guests").join(file));
        let source = text(&source);
        let found = source.lines().position(|line| line.ends_with(&format!("// {comment}")));
        found.unwrap_or_else(|| panic!("no {comment} in {file}")) + 1
    }

    fn call_line(&self) -> usize {
        self.line(self.files[0], "CALL LINE")
    }

    fn hot_line(&self) -> usize {
        self.line(self.files[1], "HOT LINE")
    }

    /// As reports call them: `file:line` of the call and of the hot line.
    fn lines(&self) -> [String; 2] {
        [format!("{}:{}", self.files[0], self.call_line()), format!("{}:{}", self.files[1], self.hot_line())]
    }

    /// A folder with the guest.
    fn folder(&self) -> TempDir {
        let folder = folder();
        write(folder.path(), self.wasm, self.bytes());
        folder
    }

    /// Runs the guest in a folder that it is in, and returns what was printed to stderr.
    fn run(&self, folder: &Path, options: &[&str]) -> String {
        let arguments = [&["run", "--invoke", "spin(30)"], options, &[self.wasm]].concat();
        let output = witprof(folder, &arguments);
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {message}");
        assert_eq!(text(&output.stdout).trim(), self.result, "{arguments:?}: {message}");
        message
    }
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), contents).expect("writing a test file");
}

fn read(folder: &Path, file: &str) -> String {
    text(&support::read(&folder.join(file)))
}

/// A Firefox file, checked.
fn firefox(folder: &Path, file: &str) -> Value {
    let json: Value = serde_json::from_str(&read(folder, file)).expect("JSON");
    support::firefox::validate(&json);
    json
}

/// Stacks by line.
fn by_line(folder: &Path, profile: &str) -> String {
    printed(folder, &["convert", "--by", "line", "-o", "by-line.folded", profile]);
    read(folder, "by-line.folded")
}

/// The rows of a report by line, the most own time first.
fn report(folder: &Path, profile: &str) -> Vec<Value> {
    let report = printed(folder, &["report", "--json", "--by", "line", profile]);
    let report: Value = serde_json::from_str(&report).expect("JSON");
    report["rows"].as_array().expect("rows").clone()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {row}"))
}

/// Whether a row is for a line, rather than for a function of which no line is known.
fn is_line(row: &Value) -> bool {
    let line = row["name"].as_str().and_then(|name| name.rsplit_once(':'));
    line.is_some_and(|(file, line)| file.contains('.') && line.parse::<u32>().is_ok())
}

/// Stacks with their time, in microseconds.
fn stacks(folded: &str) -> Vec<(&str, u64)> {
    let stack = |line| -> Option<(&str, u64)> {
        let (stack, time) = str::rsplit_once(line, ' ')?;
        Some((stack, time.parse().ok()?))
    };
    folded.lines().map(|line| stack(line).unwrap_or_else(|| panic!("no stack: {line}"))).collect()
}

#[test]
fn the_hot_line_has_most_of_the_time() {
    for hot in HOT {
        for sampler in ["auto", "epoch"] {
            let folder = hot.folder();
            let message = hot.run(folder.path(), &["--sampler", sampler, "-o", "p.json"]);
            assert!(!message.contains(NO_LINES), "{message}");
            let rows = report(folder.path(), "p.json");
            let [call_line, hot_line] = hot.lines();
            let hottest = &rows[0];
            assert_eq!(hottest["name"], *hot_line, "{sampler}: {rows:#?}");
            assert_eq!(hottest["detail"], hot.functions[1]);
            let guest: f64 = rows.iter().filter(|row| is_line(row)).map(|row| number(row, "self_ms")).sum();
            assert!(number(hottest, "self_ms") > 0.5 * guest && guest > 100.0, "{sampler}: {guest} {rows:#?}");
            let call = rows.iter().find(|row| row["name"] == *call_line).expect("the line that calls");
            assert_eq!(call["detail"], hot.functions[0]);
            assert!(number(call, "total_ms") >= number(hottest, "self_ms"), "{call} {hottest}");
            let table = printed(folder.path(), &["report", "--by", "line", "--top", "1", "p.json"]);
            assert!(table.contains(&hot_line), "{table}");
        }
    }
}

#[test]
fn inlined_functions_are_frames() {
    for hot in HOT {
        for sampler in ["auto", "epoch"] {
            let folder = hot.folder();
            hot.run(folder.path(), &["--sampler", sampler, "-o", "p.json", "-o", "p.folded"]);
            let folded = read(folder.path(), "p.folded");
            let time = |folded: &str, part: &str| {
                let inside = stacks(folded).into_iter().filter(|(stack, _)| format!("{stack};").contains(part));
                inside.map(|(_, time)| time).sum::<u64>()
            };
            let [churn, mix] = hot.functions;
            let [churned, mixed] = [format!(";{churn};"), format!(";{churn};{mix};")].map(|part| time(&folded, &part));
            assert!(mixed > churned / 2, "{sampler}: {folded}");
            // By the count of rounds, one part in eleven.
            let warm = churn.replace("churn", "warm");
            let warm = time(&folded, &format!(";{warm};{churn};{mix};"));
            assert!((0.02..0.25).contains(&(warm as f64 / mixed as f64)), "{sampler}: {folded}");
            let [call_line, hot_line] = hot.lines();
            let lines = by_line(folder.path(), "p.json");
            let hottest = time(&lines, &format!(";{churn} ({call_line});{mix} ({hot_line});"));
            assert!(hottest > churned / 2, "{sampler}: {lines}");
        }
    }
}

#[test]
fn what_is_read_back_is_what_was_written() {
    for hot in HOT {
        let folder = hot.folder();
        hot.run(folder.path(), &["-o", "p.json", "-o", "p.folded", "-o", "p.pb"]);
        printed(folder.path(), &["convert", "p.json", "-o", "q.json", "-o", "q.folded", "-o", "q.pb"]);
        assert_eq!(support::read(&folder.path().join("q.pb")), support::read(&folder.path().join("p.pb")));
        assert_eq!(read(folder.path(), "q.folded"), read(folder.path(), "p.folded"));
        assert_eq!(report(folder.path(), "q.json"), report(folder.path(), "p.json"));
        assert_eq!(by_line(folder.path(), "q.json"), by_line(folder.path(), "p.json"));
    }
}

#[test]
fn the_firefox_file_has_files_lines_and_depths() {
    for hot in HOT {
        let folder = hot.folder();
        hot.run(folder.path(), &["-o", "p.json"]);
        let json = firefox(folder.path(), "p.json");
        let shared = &json["shared"];
        let string =
            |index: &Value| shared["stringArray"][index.as_u64().map_or(usize::MAX, |at| at as usize)].as_str();
        let at = |table: &str, column: &str, row: &Value| {
            row.as_u64().map_or(Value::Null, |row| shared[table][column][row as usize].clone())
        };
        let frame = |column: &str, row: &Value| at("frameTable", column, row);
        let name = |row: &Value| string(&at("funcTable", "name", &frame("func", row))).map(str::to_owned);
        let source = |row: &Value| at("funcTable", "source", &frame("func", row));
        let file = |row: &Value| string(&at("sources", "filename", &source(row))).map(str::to_owned);
        let symbol = |row: &Value| string(&at("nativeSymbols", "name", &frame("nativeSymbol", row))).map(str::to_owned);
        let [churn, mix] = hot.functions.map(|name| Some(name.to_owned()));
        let [calling, inlined] = hot.files.map(|name| Some(name.to_owned()));
        let mut hot_frames = 0;
        let stacks = shared["stackTable"]["frame"].as_array().expect("stacks");
        let offsets = shared["stackTable"]["prefixOffset"].as_array().expect("offsets");
        for (stack, (row, offset)) in (0..).zip(stacks.iter().zip(offsets)).filter(|(_, (row, _))| name(row) == mix) {
            let prefix: Value = (stack - offset.as_u64().expect("an offset")).into();
            assert_eq!((frame("inlineDepth", row), file(row), symbol(row)), (1.into(), inlined.clone(), churn.clone()));
            assert!(frame("line", row).is_u64() && frame("column", row).is_u64());
            let caller = at("stackTable", "frame", &prefix);
            assert_eq!((name(&caller), file(&caller)), (churn.clone(), calling.clone()));
            assert_eq!((frame("inlineDepth", &caller), frame("line", &caller)), (0.into(), hot.call_line().into()));
            for same in ["address", "nativeSymbol"] {
                assert_eq!(frame(same, &caller), frame(same, row));
            }
            hot_frames += usize::from(frame("line", row) == hot.hot_line());
        }
        assert!(hot_frames > 0, "no frame of the hot line");
    }
}

#[test]
fn the_html_report_has_a_view_by_line() {
    for hot in HOT {
        let folder = hot.folder();
        hot.run(folder.path(), &["-o", "p.html", "-o", "p.json"]);
        let html = read(folder.path(), "p.html");
        let (_, data) = html.split_once(r#"<script type="application/json" id="data">"#).expect("its data");
        let (data, _) = data.split_once("</script>").expect("the end of its data");
        let data: Value = serde_json::from_str(data).expect("JSON");
        let tree = &data["views"]["line"];
        let own = tree["self"].as_array().expect("times").iter().map(|time| time.as_u64().expect("a time"));
        let (hottest, _) = own.enumerate().max_by_key(|(_, own)| *own).expect("a node");
        let name = tree["name"][hottest].as_u64().expect("a string") as usize;
        let ([_, hot_line], [_, mix]) = (hot.lines(), hot.functions);
        assert_eq!(data["strings"][name], format!("{mix} ({hot_line})"));
        printed(folder.path(), &["convert", "--by", "line", "-o", "lines.svg", "p.json"]);
        assert!(read(folder.path(), "lines.svg").contains(&hot_line));
    }
}

/// What `go tool pprof` prints.
fn pprof(folder: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("go");
    // It keeps what it read, and looks for the program's file, below the home folder.
    command.current_dir(folder).env("HOME", folder).env("PPROF_TMPDIR", folder);
    let output = command.args(["tool", "pprof"]).args(arguments).output();
    let output = output.expect("running Go");
    assert!(output.status.success(), "{arguments:?}: {}", text(&output.stderr));
    text(&output.stdout)
}

#[test]
fn go_shows_the_hot_line_with_its_source() {
    if !support::programs::can_run(&["go"]) {
        return;
    }
    for hot in HOT {
        let folder = hot.folder();
        hot.run(folder.path(), &["-o", "p.pb.gz"]);
        let ([call_line, hot_line], [churn, mix]) = (hot.lines(), hot.functions);
        let is_at = |line: &str, function: &str, place: &str| {
            let (_, rest) = line.split_once(&format!("{function} {place}")).unwrap_or(("", "0"));
            !rest.starts_with(|char: char| char.is_ascii_digit())
        };
        let top = pprof(folder.path(), &["-top", "-lines", "-nodecount=1", "p.pb.gz"]);
        let (_, row) = top.split_once("cum%\n").expect("a table");
        assert!(is_at(row, mix, &hot_line), "{top}");
        // What is inlined and what it is inlined into are one place.
        let raw = pprof(folder.path(), &["-raw", "p.pb.gz"]);
        let mut pairs = raw.lines().zip(raw.lines().skip(1));
        let found = pairs.any(|(inner, outer)| {
            inner.contains(" M=")
                && is_at(inner, mix, &hot_line)
                && !outer.contains(" M=")
                && is_at(outer, churn, &call_line)
        });
        assert!(found, "{raw}");
        for file in hot.files {
            write(folder.path(), file, support::read(&support::root().join("tests/guests").join(file)));
        }
        let list = pprof(folder.path(), &["-list", &format!("^({churn}|{mix})$"), "p.pb.gz"]);
        for (line, comment) in [(hot.call_line(), "CALL LINE"), (hot.hot_line(), "HOT LINE")] {
            let shown = list.lines().find(|shown| shown.ends_with(comment)).unwrap_or_else(|| panic!("{list}"));
            let mut columns = shown.split_whitespace();
            let (_own, total, number) = (columns.next(), columns.next(), columns.next());
            assert!(total.is_some_and(|total| total.ends_with('s')), "{list}");
            assert_eq!(number.map(|number| number.trim_end_matches(':')), Some(line.to_string().as_str()), "{list}");
        }
    }
}

/// Runs a guest and makes everything that can be made of its profile. Returns what is in files and what was printed.
fn everything(hot: &Hot, options: &[&str]) -> Vec<(String, String)> {
    let folder = hot.folder();
    let endings = ["json", "folded", "html", "svg", "pb"];
    let outputs = |name: &str| endings.map(|ending| format!("{name}.{ending}"));
    let run = outputs("run");
    let run: Vec<&str> = run.iter().flat_map(|file| ["-o", file]).collect();
    let mut all = vec![("stderr".to_owned(), hot.run(folder.path(), &[options, &run[..]].concat()))];
    let lines = outputs("lines");
    let convert: Vec<&str> = lines.iter().flat_map(|file| ["-o", file]).collect();
    printed(folder.path(), &[&["convert", "--by", "line", "run.json"], &convert[..]].concat());
    all.push(("report".to_owned(), printed(folder.path(), &["report", "--by", "line", "run.json"])));
    all.push(("json report".to_owned(), printed(folder.path(), &["report", "--json", "--by", "line", "run.json"])));
    let files = outputs("run").into_iter().chain(lines);
    all.extend(files.map(|file| (file.clone(), read(folder.path(), &file))));
    all
}

#[test]
fn nobody_sees_where_a_guest_was_compiled() {
    for hot in HOT {
        assert!(text(&hot.bytes()).contains(BUILT_IN), "else this test shows nothing");
        for (name, contents) in everything(&hot, &[]) {
            for place in [BUILT_IN, "/rustc/"] {
                assert!(!contents.contains(place), "{place} is in {name} of {}", hot.wasm);
            }
        }
    }
}

#[test]
fn paths_are_shown_and_mapped_as_they_are_wanted() {
    // What has files.
    let with_files = ["json report", "run.json", "run.html", "run.pb", "lines.folded", "lines.svg"];
    for hot in HOT {
        for (rule, expected) in
            [("/=/", BUILT_IN), (&format!("{BUILT_IN}=/src/app"), "/src/app"), ("/tmp=T:", "T:/witprof-fixtures")]
        {
            let expected = format!("{expected}/{}", hot.files[1]);
            for (name, contents) in everything(&hot, &["--path-map", rule]) {
                let is_there = contents.contains(&expected);
                assert!(is_there || !with_files.contains(&name.as_str()), "no {expected} in {name}");
                // The command line, which is shown too, has the rule.
                let contents = contents.replace(rule, "");
                assert!(rule == "/=/" || !contents.contains(BUILT_IN), "{BUILT_IN} is in {name} with {rule}");
            }
        }
    }
    let folder = HOT[0].folder();
    for rule in ["nonsense", "=/x"] {
        let output = witprof(folder.path(), &["run", "--path-map", rule, "--invoke", "spin(1)", "hot-c.wasm"]);
        let message = text(&output.stderr);
        assert!(output.status.code() == Some(2) && message.contains("--path-map"), "{rule}: {message}");
    }
}

#[test]
fn without_lines_there_are_names() {
    for hot in HOT {
        let folder = hot.folder();
        let message = hot.run(folder.path(), &["--no-lines", "-o", "p.json", "-o", "p.folded", "-o", "p.html"]);
        assert!(!message.contains(NO_LINES), "{message}");
        let [churn, mix] = hot.functions;
        let folded = read(folder.path(), "p.folded");
        assert!(folded.contains(&format!(";{churn} ")) && !folded.contains(mix), "{folded}");
        let rows = report(folder.path(), "p.json");
        assert!(rows[0]["name"] == churn && !rows.iter().any(is_line), "{rows:#?}");
        let json = firefox(folder.path(), "p.json");
        let all = |table: &str, column: &str, what: fn(&Value) -> bool| {
            json["shared"][table][column].as_array().expect("a column").iter().all(what)
        };
        assert!(all("frameTable", "line", Value::is_null) && all("funcTable", "source", Value::is_null));
        assert!(all("frameTable", "inlineDepth", |depth| *depth == 0));
        assert!(!read(folder.path(), "p.html").contains(hot.files[1]));
    }
}

/// A binary in which `change` has changed the name or the contents of custom sections.
fn with_sections(wasm: &[u8], mut change: impl FnMut(&str, &mut [u8], bool)) -> Vec<u8> {
    let mut out = wasm.to_vec();
    for payload in Parser::new(0).parse_all(wasm) {
        if let Payload::CustomSection(section) = payload.expect("a valid guest") {
            let (name, start) = (section.name(), section.data_offset());
            change(name, &mut out[start..start + section.data().len()], false);
            change(name, &mut out[start - name.len()..start], true);
        }
    }
    out
}

/// Numbers that look random, and are the same every time.
fn noise() -> impl FnMut() -> u32 {
    let mut seed = 0x2545_f491_4f6c_dd1d_u64;
    move || {
        seed = seed.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(1);
        (seed >> 33) as u32
    }
}

#[test]
fn damaged_debug_info_harms_nothing() {
    let mut noise = noise();
    let folder = folder();
    for hot in HOT {
        for damaged in [".debug_info", ".debug_abbrev", ".debug_line", ".debug_str", ".debug_ranges", ".debug_"] {
            let damages: [&mut dyn FnMut(u8) -> u8; 4] =
                [&mut |_| 0xff, &mut |_| 0, &mut |_| noise().to_le_bytes()[0], &mut |byte| byte ^ 0x10];
            for (number, damage) in damages.into_iter().enumerate() {
                let wasm = with_sections(&hot.bytes(), |name, bytes, is_name| {
                    if name.starts_with(damaged) && !is_name {
                        bytes.iter_mut().for_each(|byte| *byte = damage(*byte));
                    }
                });
                let what = format!("{} with damage {number} to {damaged}", hot.wasm);
                write(folder.path(), hot.wasm, wasm);
                let message = hot.run(folder.path(), &["--interval", "2ms", "-o", "p.json", "-o", "p.folded"]);
                assert!(message.matches(NO_LINES).count() <= 1 && !message.contains("panicked"), "{what}: {message}");
                firefox(folder.path(), "p.json");
                let is_silent = !message.contains(NO_LINES) && !report(folder.path(), "p.json").iter().any(is_line);
                assert!(!is_silent, "{what}: lines are missing, and nobody says so");
                assert!(read(folder.path(), "p.folded").contains(&format!(";{}", hot.functions[0])), "{what}");
                let shown = [
                    message,
                    by_line(folder.path(), "p.json"),
                    printed(folder.path(), &["report", "--by", "line", "p.json"]),
                ];
                for shown in shown {
                    let is_control = |char: char| char.is_control() && char != '\n';
                    assert!(!shown.contains(is_control), "{what}: {shown:?}");
                }
            }
        }
    }
}

#[test]
fn flipped_bits_in_debug_info_never_panic() {
    let engine = support::engine();
    let mut noise = noise();
    for hot in HOT {
        let component = support::component(&engine, &hot.bytes());
        for round in 0..50 {
            let mut wasm = hot.bytes();
            // One in a hundred, or one in a thousand bytes.
            let rarely = if round % 2 == 0 { 100 } else { 1000 };
            wasm = with_sections(&wasm, |name, bytes, is_name| {
                let bytes = bytes.iter_mut().filter(|_| name.starts_with(".debug_") && !is_name);
                bytes.for_each(|byte| *byte ^= if noise().is_multiple_of(rarely) { 1 << (noise() % 8) } else { 0 });
            });
            let map = SymbolMap::builder("hot").debug_info(wasm).build(&component).expect("a map");
            let profile = record(map, &component, SamplerChoice::Epoch, Duration::from_millis(15));
            assert!(profile.missing_lines().len() <= 1, "{:?}", profile.missing_lines());
            assert!(
                profile.frames().is_empty()
                    || profile.functions().iter().any(|function| function.name == hot.functions[0])
            );
        }
    }
}

#[test]
fn debug_info_that_is_not_there_is_said_once() {
    let says_once = |message: &str, reason: &str| {
        assert_eq!(message.matches(NO_LINES).count(), 1, "{message}");
        let said = message.lines().find(|line| line.contains(NO_LINES)).unwrap_or_default();
        assert!(said.contains(reason), "{message}");
    };
    for hot in HOT {
        let folder = hot.folder();
        let wasm = with_sections(&hot.bytes(), |name, bytes, is_name| {
            if name.starts_with(".debug_") && is_name {
                bytes[1] = b'x';
            }
        });
        write(folder.path(), hot.wasm, wasm);
        let message = hot.run(folder.path(), &["-o", "p.json", "-o", "p.folded"]);
        says_once(&message, "it has no debug info; compile it with `-g`");
        assert!(read(folder.path(), "p.folded").contains(&format!(";{} ", hot.functions[0])));
        assert!(!report(folder.path(), "p.json").iter().any(is_line));
        // The program that was profiled is at hand no more.
        let report = printed(folder.path(), &["report", "--by", "line", "p.json"]);
        assert!(report.matches(NO_LINES).count() <= 1, "{report}");
        assert_eq!(hot.run(folder.path(), &["--quiet", "-o", "p.json"]), "");
        write(folder.path(), hot.wasm, hot.bytes());
        let message = hot.run(folder.path(), &["-D", "address-map=n", "-o", "p.json"]);
        says_once(&message, "without an address map");
    }
    let folder = folder();
    let program = |custom: &str| {
        format!(
            r#"(component (core module $m {custom} (func (export "run") (result i32) (local i32)
                 (local.set 0 (i32.const 50000000))
                 (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))) (i32.const 0)))
               (core instance $i (instantiate $m))
               (func $run (result (result)) (canon lift (core func $i "run")))
               (instance $cli (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $cli)))"#
        )
    };
    for (custom, reason) in [
        ("", "it has no debug info"),
        (r#"(@custom "external_debug_info" "\0capp.dbg.wasm")"#, "another file, `app.dbg.wasm`"),
        (r#"(@custom "sourceMappingURL" "\0aapp.js.map")"#, "another file, `app.js.map`"),
    ] {
        write(folder.path(), "program.wat", program(custom));
        let output = witprof(folder.path(), &["run", "-o", "p.json", "program.wat"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        says_once(&text(&output.stderr), reason);
    }
}

#[test]
fn precompiled_components_have_lines_if_they_were_compiled_with_them() {
    for hot in HOT {
        let folder = folder();
        let arguments = ["run", "--allow-precompiled", "--invoke", "spin(30)", "-o", "p.json", "hot.cwasm"];
        let run = |config: &mut Config| {
            let engine = Engine::new(config.epoch_interruption(true)).expect("an engine");
            write(folder.path(), "hot.cwasm", engine.precompile_component(&hot.bytes()).expect("compiling"));
            let output = witprof(folder.path(), &arguments);
            let message = text(&output.stderr);
            assert_eq!((output.status.code(), text(&output.stdout).trim()), (Some(0), hot.result), "{message}");
            firefox(folder.path(), "p.json");
            (message, report(folder.path(), "p.json"))
        };
        let [call_line, hot_line] = hot.lines();
        let (message, rows) = run(Config::new().wasm_backtrace_details(WasmBacktraceDetails::Enable));
        assert!(!message.contains(NO_LINES), "{message}");
        assert_eq!(rows[0]["name"], *hot_line, "{rows:#?}");
        assert!(rows.iter().any(|row| row["name"] == *call_line), "{rows:#?}");

        let (message, rows) = run(Config::new().wasm_backtrace_details(WasmBacktraceDetails::Disable));
        assert_eq!(message.matches(NO_LINES).count(), 1, "{message}");
        assert!(message.contains("its WebAssembly binary is not known"), "{message}");
        assert!(rows[0]["name"] == hot.functions[0] && !rows.iter().any(is_line), "{rows:#?}");
    }
}

/// Calls a guest for a while under a recorder.
fn record(map: SymbolMap, component: &Component, sampler: SamplerChoice, time: Duration) -> Profile {
    let recorder = Recorder::builder(Duration::from_millis(1)).sampler(sampler);
    let recorder = recorder.code(Arc::new(map), component).start().expect("a recorder");
    let mut guest = Guest::with(component, Host::default(), |store| {
        // No time limit: what holds where samples are taken by signals.
        store.set_epoch_deadline(u64::MAX / 2);
        recorder.attach(store);
    });
    let active = recorder.enter();
    let start = Instant::now();
    while start.elapsed() < time {
        guest.call("spin", &[1]);
    }
    drop(active);
    recorder.finish()
}

/// The name of a function, a file and a line in it, and whether the function is inlined there.
type Place = (String, Option<(String, u32)>, bool);

/// The frames of a profile.
fn frames(profile: &Profile) -> Vec<Place> {
    let frame = |frame: &witprof::Frame| {
        let function = &profile.functions()[frame.function.index()];
        let source = frame.source.map(|source| (profile.file(source.file).to_owned(), source.line));
        (function.name.clone(), source, function.kind == FunctionKind::Inlined)
    };
    profile.frames().iter().map(frame).collect()
}

#[test]
fn the_library_tells_lines() {
    let engine = support::engine();
    for hot in HOT {
        let component = support::component(&engine, &hot.bytes());
        for sampler in [SamplerChoice::Auto, SamplerChoice::Epoch] {
            let map = SymbolMap::builder("hot").debug_info(hot.bytes()).build(&component).expect("a map");
            let profile = record(map, &component, sampler, A_WHILE);
            support::check_profile(&profile);
            assert!(profile.missing_lines().is_empty(), "{:?}", profile.missing_lines());
            let frames = frames(&profile);
            let has = |function: usize, line: usize| {
                let source = (hot.files[function].to_owned(), u32::try_from(line).expect("a line"));
                frames.contains(&(hot.functions[function].to_owned(), Some(source), function == 1))
            };
            assert!(has(0, hot.call_line()) && has(1, hot.hot_line()), "{frames:#?}");
        }
        // From the compiled code alone.
        let engine = Engine::new(support::config().wasm_backtrace_details(WasmBacktraceDetails::Enable));
        let detailed = support::component(&engine.expect("an engine"), &hot.bytes());
        let map = SymbolMap::builder("hot").build(&detailed).expect("a map");
        let profile = record(map, &detailed, SamplerChoice::Epoch, A_WHILE);
        assert!(profile.missing_lines().is_empty(), "{:?}", profile.missing_lines());
        let source = (hot.files[1].to_owned(), u32::try_from(hot.hot_line()).expect("a line"));
        assert!(frames(&profile).contains(&(hot.functions[1].to_owned(), Some(source), true)), "{profile:?}");

        let builder = || SymbolMap::builder("hot").debug_info(hot.bytes());
        let map = builder().path_map(BUILT_IN, "lib").build(&component).expect("a map");
        let mapped = frames(&record(map, &component, SamplerChoice::Epoch, A_WHILE));
        let file = format!("lib/{}", hot.files[1]);
        assert!(mapped.iter().any(|(_, source, _)| source.as_ref().is_some_and(|(at, _)| *at == file)), "{mapped:#?}");
        let map = builder().without_lines().build(&component).expect("a map");
        let profile = record(map, &component, SamplerChoice::Epoch, A_WHILE);
        assert!(profile.missing_lines().is_empty());
        assert!(frames(&profile).iter().all(|(_, source, is_inlined)| source.is_none() && !is_inlined));
    }
}

#[test]
fn each_snapshot_has_all_lines_and_says_once_what_is_missing() {
    let engine = support::engine();
    for hot in HOT {
        let component = support::component(&engine, &hot.bytes());
        let damaged = with_sections(&hot.bytes(), |name, bytes, is_name| {
            if name == ".debug_abbrev" && !is_name {
                bytes.fill(0xff);
            }
        });
        for (wasm, is_damaged) in [(hot.bytes(), false), (damaged, true)] {
            let map = SymbolMap::builder("hot").debug_info(wasm).build(&component).expect("a map");
            let recorder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Epoch);
            let recorder = recorder.code(Arc::new(map), &component).start().expect("a recorder");
            let mut guest = Guest::with(&component, Host::default(), |store| recorder.attach(store));
            let start = Instant::now();
            while start.elapsed() < A_WHILE {
                guest.call("spin", &[1]);
            }
            let snapshots = std::thread::scope(|scope| {
                let threads: Vec<_> = (0..4).map(|_| scope.spawn(|| recorder.snapshot())).collect();
                threads.into_iter().map(|thread| thread.join().expect("a profile")).collect::<Vec<_>>()
            });
            let source = (hot.files[1].to_owned(), u32::try_from(hot.hot_line()).expect("a line"));
            let hot_frame = (hot.functions[1].to_owned(), Some(source), true);
            let last = recorder.finish();
            for profile in snapshots.iter().chain([&last]) {
                let missing = profile.missing_lines();
                assert_eq!(missing, last.missing_lines());
                assert_eq!(missing.len(), usize::from(is_damaged), "{missing:?}");
                assert_eq!(frames(profile).contains(&hot_frame), !is_damaged, "{:#?}", frames(profile));
            }
        }
    }
}

#[test]
fn debug_info_of_another_component_is_noticed() {
    let engine = support::engine();
    let [c, rust] = HOT.map(|hot| hot.bytes());
    let component = support::component(&engine, &c);
    let text = b"no WebAssembly".to_vec();
    let half = c[..c.len() / 2].to_vec();
    for wrong in [rust, text, half, support::read(&support::kitchen())] {
        let map = SymbolMap::builder("hot").debug_info(wrong).build(&component).expect("a map");
        let profile = record(map, &component, SamplerChoice::Epoch, A_WHILE);
        support::check_profile(&profile);
        let missing = profile.missing_lines();
        assert!(missing.len() == 1 && missing[0].contains(NO_LINES), "{missing:?}");
        assert!(missing[0].contains("the WebAssembly binary is not the one that was compiled"), "{missing:?}");
        assert!(frames(&profile).iter().all(|(_, source, _)| source.is_none()));
        assert!(frames(&profile).iter().any(|(name, ..)| name == "churn"));
    }
}
