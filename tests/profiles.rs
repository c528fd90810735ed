//! What is made of profiles: reports, conversions, comparisons, and reading those of others. Every test of a command runs
//! `witprof` in a process of its own.
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;

use serde_json::Value;
use tempfile::TempDir;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, GuestProfiler, Store, UpdateDeadline};
use witprof::{Dimension, SamplerKind, read_firefox};

use self::command::{printed, text, witprof};

fn json(folder: &Path, arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(folder, arguments)).expect("JSON")
}

/// A folder with `kitchen.json.gz`: a profile of the bundled composition.
fn kitchen() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let kitchen = support::kitchen();
        let kitchen = kitchen.to_str().expect("a path in UTF-8");
        printed(folder.path(), &["run", "--quiet", "--interval", "500us", "-o", "kitchen.json.gz", kitchen]);
        folder
    });
    folder.path()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {row}"))
}

#[test]
fn a_report_adds_up_to_the_recorded_time() {
    for by in Dimension::ALL.iter().map(|by| by.name()) {
        let report = json(kitchen(), &["report", "--json", "--by", by, "kitchen.json.gz"]);
        let rows = report["rows"].as_array().expect("rows");
        let sum: f64 = rows.iter().map(|row| number(row, "self_ms") + number(row, "boundary_ms")).sum();
        // What the profiler itself did while the guest was active is in no row.
        let wall = number(&report, "wall_ms") - number(&report, "profiler_ms");
        assert!((sum - wall).abs() < 1e-6 * wall, "by {by}: {sum} of {wall}");
        assert!(number(&report, "cpu_ms") <= number(&report, "wall_ms"));
        let samples = &report["samples"];
        let lost: u64 = samples["lost"].as_object().expect("losses").values().filter_map(Value::as_u64).sum();
        assert_eq!(samples["taken"].as_u64(), samples["kept"].as_u64().map(|kept| kept + lost));
        for row in rows {
            assert!(row["name"].is_string() && row["calls"].is_null());
            assert!(number(row, "blocked_ms") <= number(row, "self_ms") + 1e-9, "{row}");
            assert!(number(row, "total_ms") <= wall + 1e-6, "{row}");
            assert!((number(row, "total_pct") - number(row, "total_ms") / wall * 100.0).abs() < 1e-6);
        }
    }
}

#[test]
fn a_report_says_which_interface_is_slow_and_what_its_boundary_costs() {
    let report = json(kitchen(), &["report", "--json", "kitchen.json.gz"]);
    let row = |name: &str| {
        let mut rows = report["rows"].as_array().expect("rows").iter();
        rows.find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {report}")).clone()
    };
    let (run, math) = (row("wasi:cli/run@0.2.0 (export)"), row("demo:math/ops@0.1.0 (internal)"));
    // Everything that the guest does is inside of its export.
    assert!(number(&run, "total_pct") > 90.0, "{run}");
    assert!(number(&run, "boundary_ms") < number(&math, "boundary_ms"), "{run} {math}");
    assert!(number(&math, "boundary_ms") > 0.1 * number(&math, "total_ms"), "{math}");

    let callers =
        json(kitchen(), &["report", "--json", "--by", "component", "--callers", "demo:math/ops", "kitchen.json.gz"]);
    let callers = callers["rows"].as_array().expect("rows");
    assert_eq!(callers.len(), 1);
    assert_eq!(callers[0]["name"], "app");
    assert!((number(&callers[0], "total_ms") - number(&math, "total_ms")).abs() < 1e-6);
}

#[test]
fn a_report_says_who_calls_whom() {
    let rows = |arguments: &[&str]| {
        let report = json(kitchen(), &[&["report", "--json"], arguments, &["kitchen.json.gz"]].concat());
        report["rows"].as_array().expect("rows").clone()
    };
    let split = rows(&["--by", "component-interface"]);
    let ends = |name: &str| {
        let row = split.iter().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {split:?}"));
        (row["from"].as_str(), row["to"].as_str(), row["detail"].as_str())
    };
    assert_eq!(ends("wasi:cli/run@0.2.0 (export)"), (Some("(host)"), Some("app"), Some("(host) -> app")));
    let math = "demo:math/ops@0.1.0 (internal)";
    assert_eq!(ends(math), (Some("app"), Some("provider"), Some("app -> provider")));
    // As long as there is one of them, the rows are those by interface.
    let whole = rows(&["--by", "interface"]);
    assert_eq!(whole.iter().find(|row| row["name"] == math).map(|row| row["to"].as_str()), Some(Some("provider")));
    // The filters leave rows as they are. What a component does with handles of its own resources is from and to itself.
    let left = |options: &[&str]| {
        let left = rows(&[&["--by", "component-interface"], options].concat());
        assert!(left.iter().all(|row| split.contains(row)), "{left:?}");
        left
    };
    assert!(left(&["--to", "provider"]).iter().all(|row| row["to"] == "provider"));
    let both = left(&["--from", "app", "--to", "provider"]);
    assert_eq!(both.len(), 1, "{both:?}");
    let functions = rows(&["--by", "function", "--to", "provider"]);
    assert!(functions.iter().any(|row| row["name"] == "describe" || number(row, "self_ms") > 0.0), "{functions:?}");
    assert!(rows(&["--from", "host"]).iter().all(|row| row["name"] == "wasi:cli/run@0.2.0 (export)"));
    let difference = ["diff", "--json", "--by", "component-interface", "--from", "app", "--to", "provider"];
    let difference = json(kitchen(), &[&difference[..], &["kitchen.json.gz", "kitchen.json.gz"]].concat());
    assert_eq!(difference["changes"].as_array().map(Vec::len), Some(1), "{difference}");
    assert_eq!(difference["changes"][0]["detail"], "app -> provider");

    let nobody = witprof(kitchen(), &["report", "--from", "nobody", "kitchen.json.gz"]);
    assert_eq!(nobody.status.code(), Some(2));
    let message = text(&nobody.stderr);
    assert!(message.contains("`--from nobody`") && message.contains("`provider`"), "{message}");
    let both = witprof(kitchen(), &["report", "--from", "app", "--callers", "demo:math/ops", "kitchen.json.gz"]);
    assert_eq!(both.status.code(), Some(2));
}

#[test]
fn a_table_for_a_file_is_whole_and_has_no_colour() {
    for by in Dimension::ALL.iter().map(|by| by.name()) {
        let table = printed(kitchen(), &["report", "--by", by, "--top", "1000", "kitchen.json.gz"]);
        assert!(table.contains("boundary blocked preempted"), "{table}");
        assert!(!table.contains('\u{1b}'));
        let report = json(kitchen(), &["report", "--json", "--by", by, "kitchen.json.gz"]);
        for row in report["rows"].as_array().expect("rows") {
            assert!(table.contains(row["name"].as_str().expect("a name")), "{row} {table}");
        }
    }
    let top = printed(kitchen(), &["report", "--by", "function", "--top", "3", "kitchen.json.gz"]);
    let (_, rows) = top.split_once("boundary blocked").expect("a table");
    let rows = rows.lines().filter(|line| !line.starts_with("profiler: "));
    assert_eq!(rows.count(), 1 + 3 + 1, "{top}");
}

#[test]
fn one_profile_becomes_all_formats() {
    let files =
        ["all.json", "all.json.gz", "all.html", "all.svg", "all.folded", "all.pb", "all.pb.gz", "all.speedscope.json"];
    let outputs: Vec<&str> = files.iter().flat_map(|file| ["-o", file]).collect();
    printed(kitchen(), &[&["convert", "kitchen.json.gz"], outputs.as_slice()].concat());
    let read = |file: &str| support::read(&kitchen().join(file));
    // What was converted is what it was.
    for by in ["interface", "function", "thread"] {
        let report = |file| printed(kitchen(), &["report", "--json", "--by", by, file]);
        assert_eq!(report("all.json"), report("kitchen.json.gz"));
        assert_eq!(report("all.json.gz"), report("kitchen.json.gz"));
    }
    support::firefox::validate(&serde_json::from_slice(&read("all.json")).expect("JSON"));
    assert!(text(&read("all.svg")).contains("describe [demo:math/ops@0.1.0 (internal)]"));
    assert!(text(&read("all.html")).contains("demo:math/ops@0.1.0 (internal)"));
    assert_eq!(support::gunzip(&read("all.pb.gz")), read("all.pb"));
    assert!(text(&read("all.speedscope.json")).contains("\"app::count_primes\""));
    // The same time, to half a microsecond for each stack.
    let wall = number(&json(kitchen(), &["report", "--json", "kitchen.json.gz"]), "wall_ms");
    for (by, expected) in [
        ("function", "app::count_primes"),
        ("library", "provider/provider.wasm"),
        ("interface", "describe [demo:math/ops@0.1.0 (internal)];(boundary)"),
    ] {
        printed(kitchen(), &["convert", "--by", by, "-o", "by.folded", "kitchen.json.gz"]);
        let folded = text(&read("by.folded"));
        assert!(folded.contains(expected), "{folded}");
        let counts =
            folded.lines().map(|line| line.rsplit_once(' ').expect("a count").1.parse::<f64>().expect("a number"));
        let (lines, sum) = (folded.lines().count(), counts.sum::<f64>() / 1000.0);
        #[allow(clippy::cast_precision_loss, reason = "a few lines")]
        let rounding = lines as f64 * 0.0005 + 1e-6;
        assert!((sum - wall).abs() <= rounding, "{sum} of {wall}");
    }
}

#[test]
fn equal_runs_do_not_differ_and_others_do() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guest = |a: u32| {
        // One export that calls two functions: how long the first takes is chosen here.
        format!(
            r#"(component (core module $m
              (func $spin (param i32) (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
              (func $first (call $spin (i32.const {a}))) (func $second (call $spin (i32.const 100000000)))
              (func (export "run") (result i32) (call $first) (call $second) (i32.const 0)))
            (core instance $i (instantiate $m))
            (func $run (result (result)) (canon lift (core func $i "run")))
            (instance $cli (export "run" (func $run))) (export "wasi:cli/run@0.2.0" (instance $cli)))"#
        )
    };
    for (name, a) in [("equal", 100_000_000_u32), ("again", 100_000_000), ("slower", 300_000_000)] {
        std::fs::write(folder.path().join(format!("{name}.wat")), guest(a)).expect("writing");
        let (input, output) = (format!("{name}.wat"), format!("{name}.json.gz"));
        // CPU time, so that what else runs here does not matter.
        printed(folder.path(), &["run", "--quiet", "--interval", "1ms", "-o", &output, &input]);
    }
    // The library is called by the file, and functions are compared by library too.
    let spin = |before: &str, after: &str| {
        let diff = json(folder.path(), &["diff", "--json", "--by", "interface", before, after]);
        diff["changes"].as_array().expect("changes").clone()
    };
    for change in spin("equal.json.gz", "again.json.gz") {
        assert!(change["certain"] == false || number(&change, "change_pct").abs() < 5.0, "{change}");
    }
    let same = witprof(folder.path(), &["diff", "--fail-above", "10%", "equal.json.gz", "again.json.gz"]);
    assert_eq!(same.status.code(), Some(0), "{}", text(&same.stderr));
    // Something that is in one profile only has grown from nothing.
    let kitchen = kitchen().join("kitchen.json.gz");
    let kitchen = kitchen.to_str().expect("a path in UTF-8");
    let other = witprof(folder.path(), &["diff", "--fail-above", "10%", "equal.json.gz", kitchen, "-o", "diff.svg"]);
    assert_eq!(other.status.code(), Some(1), "{}", text(&other.stderr));
    assert!(text(&other.stderr).contains("demo:math/ops@0.1.0 (internal) has grown by"), "{}", text(&other.stderr));
    assert!(text(&other.stdout).contains('*'), "{}", text(&other.stdout));
    assert!(text(&support::read(&folder.path().join("diff.svg"))).contains("</svg>"));
}

#[test]
fn a_comparison_shows_as_much_of_the_host_as_is_asked_for() {
    const FILE: &str = "kitchen.json.gz";
    let mains_in = |arguments: &[&str]| {
        let shown = printed(kitchen(), &[&["diff", "--by", "function"], arguments, &[FILE, FILE]].concat());
        shown.matches("witprof::cli::run::run").count()
    };
    let json_has_main = mains_in(&["--json", "--host-frames", "all"]) > 0;
    assert_eq!(mains_in(&["--top", "10000", "--host-frames", "all"]) > 0, json_has_main);
    assert_eq!(mains_in(&["--host-frames", "all", "-o", "-", "--format", "svg"]) > 0, json_has_main);
    let profile = read_firefox(&mut flate2::read::GzDecoder::new(&support::read(&kitchen().join(FILE))[..]));
    // By epochs, no frames of the host are seen.
    assert_eq!(json_has_main, profile.expect("a profile").sampler() == SamplerKind::Signal);
    for which in [&[][..], &["--host-frames", "inner"], &["--host-frames", "none"]] {
        for output in [&["--json"][..], &["--top", "10000"], &["-o", "-", "--format", "svg"]] {
            assert_eq!(mains_in(&[output, which].concat()), 0, "{which:?} {output:?}");
        }
    }
}

#[test]
fn profiles_of_other_programs_are_read() {
    let samply = support::root().join("tests/profiles/samply.json.gz");
    let report = json(kitchen(), &["report", "--json", "--by", "function", samply.to_str().expect("UTF-8")]);
    let rows: BTreeMap<&str, &Value> = report["rows"]
        .as_array()
        .expect("rows")
        .iter()
        .map(|row| (row["name"].as_str().expect("a name"), row))
        .collect();
    let own: f64 = rows.values().map(|row| number(row, "self_ms")).sum();
    // 111 samples at 1 kHz, of which `hot` has 100.
    assert!((own - 111.0).abs() < 1e-6, "{own}");
    let hot: f64 = rows
        .iter()
        .filter(|(name, _)| {
            let address = name.strip_prefix("0x").and_then(|hex| u64::from_str_radix(hex, 16).ok());
            address.is_some_and(|address| (0x1149..=0x1166).contains(&address))
        })
        .map(|(_, row)| number(row, "self_ms"))
        .sum();
    assert!((hot - 100.0).abs() < 1e-6, "{hot}");

    // Wasmtime's own guest profiler, now.
    let engine = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
    let component = Component::new(
        &engine,
        r#"(component (core module $m (func $spin (export "spin") (param i32)
          (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))
          (core instance $i (instantiate $m)) (func (export "spin") (param "n" u32) (canon lift (core func $i "spin"))))"#,
    )
    .expect("a component");
    let tick = std::time::Duration::from_millis(1);
    let profiler = GuestProfiler::new_component(&engine, "spinner", tick, component.clone(), []).expect("a profiler");
    let mut store = Store::new(&engine, Some(profiler));
    store.epoch_deadline_callback(move |mut store| {
        let mut profiler = store.data_mut().take().expect("it is there between samples");
        profiler.sample(&store, tick);
        *store.data_mut() = Some(profiler);
        // At every check.
        Ok(UpdateDeadline::Continue(0))
    });
    store.set_epoch_deadline(0);
    let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("an instance");
    let spin = instance.get_typed_func::<(u32,), ()>(&mut store, "spin").expect("spin");
    spin.call(&mut store, (50,)).expect("a call");
    let mut file = Vec::new();
    store.into_data().expect("the profiler").finish(&mut file).expect("a profile");
    let profile = read_firefox(&mut &file[..]).expect("a profile");
    let rows = profile.report(Dimension::Function).rows;
    assert_eq!(profile.name(), "spinner");
    assert!(profile.counts().kept >= 40, "{:?}", profile.counts());
    assert!(rows[0].name.contains("spin") && rows[0].own == profile.wall_time(), "{rows:?}");
    assert!(rows[0].blocked.is_zero() && rows[0].preempted.is_none(), "nothing is known of that");
}

#[test]
fn bad_input_is_refused_with_the_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).expect("writing");
    let good = support::read(&kitchen().join("kitchen.json.gz"));
    write("good.json.gz", &good);
    write("half.json.gz", &good[..good.len() / 2]);
    write("text.json", b"hello");
    write("trace.json", br#"{"traceEvents": []}"#);
    write("empty.json", b"");
    write("deep.json", "[".repeat(1 << 20).as_bytes());
    std::fs::create_dir(folder.path().join("folder.json")).expect("a folder");
    for (name, reason) in [
        ("half.json.gz", "incomplete"),
        ("text.json", "it is no profile"),
        ("trace.json", "missing field `meta`"),
        ("empty.json", "it is empty"),
        ("deep.json", "not a profile"),
        ("folder.json", "directory"),
        ("none.json", "No such file"),
    ] {
        let commands: [&[&str]; 3] =
            [&["report", name], &["convert", name, "-o", "x.svg"], &["diff", name, "good.json.gz"]];
        for command in commands {
            let output = witprof(folder.path(), command);
            let message = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {message}");
            assert!(message.contains(name) && message.contains(reason), "{command:?}: {message}");
            assert!(output.stdout.is_empty() && !message.contains("panicked"), "{command:?}: {message}");
        }
    }
    assert!(!folder.path().join("x.svg").exists());
    for (command, reason) in [
        (&["convert", "good.json.gz", "-o", "x.txt"][..], "cannot tell a format"),
        (&["convert", "good.json.gz", "-o", "good.json.gz"], "is the input file"),
        (&["convert", "good.json.gz", "-o", "no/x.svg"], "there is no folder"),
        (&["report", "good.json.gz", "--callers", "no:such/thing"], "no sample is inside of an interface called"),
        (&["diff", "good.json.gz", "good.json.gz", "-o", "x.png"], "has to end in .svg"),
        (&["diff", "good.json.gz", "good.json.gz", "--fail-above", "much"], "not a percentage"),
        (&["report", "good.json.gz", "--by", "colour"], "possible values"),
    ] {
        let output = witprof(folder.path(), command);
        assert_eq!(output.status.code(), Some(2), "{command:?}: {}", text(&output.stderr));
        assert!(text(&output.stderr).contains(reason), "{command:?}: {}", text(&output.stderr));
    }
    assert_eq!(support::read(&folder.path().join("good.json.gz")), good);
}

#[test]
fn hostile_names_stay_names() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let names =
        ["</script><script>alert(1)</script>", "\\1b[2J\\1b]0;x\\07", "\\e2\\80\\aetfel", "a;b 12 34", "&amp;<b>"];
    let functions: String = names
        .iter()
        .enumerate()
        .map(|(number, name)| {
            format!(
                r#"(func $f{number} (export "{name}") (param i32)
                   (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))"#
            )
        })
        .collect();
    let calls: String = (0..names.len()).map(|number| format!("(call $f{number} (i32.const 20000000))")).collect();
    // The most that Wasmtime takes.
    let long = "x".repeat(100_000);
    let module = format!(
        r#"(module {functions} (func $long (export "{long}") (param i32)
             (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
           (func (export "_start") {calls} (call $long (i32.const 20000000))))"#
    );
    // Without a name section, functions go by what they are exported as.
    let module = wat::parse_str(&module).expect("a module");
    let module = without_names(&module);
    std::fs::write(folder.path().join("hostile.wasm"), module).expect("writing");
    let outputs = ["-o", "h.json.gz", "-o", "h.html", "-o", "h.svg", "-o", "h.folded", "-o", "h.pb"];
    let output = witprof(folder.path(), &[&["run"], &outputs[..], &["hostile.wasm"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let table = printed(folder.path(), &["report", "--by", "function", "h.json.gz"]);
    for shown in [
        text(&output.stderr),
        table.clone(),
        printed(folder.path(), &["diff", "h.json.gz", "h.json.gz", "--by", "function"]),
    ] {
        assert!(!shown.contains(['\u{1b}', '\u{7}', '\u{202e}']), "{shown:?}");
    }
    // Whole, and in one line.
    assert!(table.lines().any(|line| line.contains(&long)), "{}", table.len());
    assert!(table.contains("\\u{1b}") && table.contains("</script>"), "{table}");
    let html = text(&support::read(&folder.path().join("h.html")));
    assert_eq!(html.matches("</script>").count(), html.matches("<script").count());
    assert!(!html.contains("<script>alert") && !html.contains(['\u{1b}', '\u{202e}']));
    let svg = text(&support::read(&folder.path().join("h.svg")));
    assert!(!svg.contains("<script>alert") && !svg.contains("<b>") && !svg.contains(['\u{1b}', '\u{202e}']));
    printed(folder.path(), &["convert", "--by", "function", "h.json.gz", "-o", "f.svg"]);
    let svg = text(&support::read(&folder.path().join("f.svg")));
    assert!(!svg.contains("<script>alert") && !svg.contains("<b>") && !svg.contains(['\u{1b}', '\u{202e}']));
    assert!(svg.contains("&lt;/script&gt;"), "names are there");
    let folded = text(&support::read(&folder.path().join("h.folded")));
    for line in folded.lines() {
        let (stack, count) = line.rsplit_once(' ').expect("a count");
        assert!(count.parse::<u64>().is_ok() && !stack.contains(['\u{1b}', '\u{202e}']), "{line}");
    }
    assert!(folded.contains("a,b 12 34 "), "{folded}");
    assert!(support::read(&folder.path().join("h.html")).len() < 5_000_000);
}

/// The same module without its custom sections.
fn without_names(module: &[u8]) -> Vec<u8> {
    let mut out = module[..8].to_vec();
    let mut at = 8;
    while at < module.len() {
        let (mut size, mut shift, mut body) = (0_usize, 0, at + 1);
        loop {
            let byte = module[body];
            size |= usize::from(byte & 0x7f) << shift;
            shift += 7;
            body += 1;
            if byte & 0x80 == 0 {
                break;
            }
        }
        if module[at] != 0 {
            out.extend_from_slice(&module[at..body + size]);
        }
        at = body + size;
    }
    out
}
