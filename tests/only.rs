//! Parts of profiles, as `--only` takes them: that of each tenant of a server. Every command runs in a process of its own.
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};
use witprof::export::write_firefox;
use witprof::{Dimension, Filter, Profile, Recorder, Span, SymbolMap, read_firefox};

use self::command::{printed, text, witprof};

/// A component that spins in a function of its own, which an interface of its own exports.
fn guest(name: &str) -> String {
    format!(
        r#"(component ${name} (core module ${name}_core
          (func ${name}_spin (export "{name}-spin") (param i32)
            (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))
        (core instance $i (instantiate ${name}_core))
        (func $spin (param "n" u32) (canon lift (core func $i "{name}-spin")))
        (instance $api (export "{name}-spin" (func $spin))) (export "{name}:api/work@1.0.0" (instance $api)))"#
    )
}

/// What two tenants, each with a component of its own, and a third one without samples did; all of it in their components. What the host
/// does around them is of nobody, and may be sampled, too.
fn recorded() -> Profile {
    let is_of_components = |profile: &Profile| {
        profile
            .report(Dimension::Component)
            .rows
            .iter()
            .all(|row| row.name != "(no component)" || row.attributed().is_zero())
    };
    std::iter::repeat_with(recorded_once).take(100).find(is_of_components).expect("samples of components alone")
}

fn recorded_once() -> Profile {
    let engine = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
    let names = ["carol", "alice", "bob"];
    let components = names.map(|name| Component::new(&engine, guest(name)).expect("a component"));
    let mut builder = Recorder::builder(Duration::from_micros(500));
    for (name, component) in names.iter().zip(&components) {
        builder = builder.code(Arc::new(SymbolMap::builder(name).build(component).expect("a map")), component);
    }
    let recorder = builder.start().expect("a recorder");
    for (name, component) in names.iter().zip(&components).skip(1) {
        let labels = recorder.labels([("tenant", *name), ("route", &format!("/{name}"))]);
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(1);
        recorder.attach(&mut store);
        let instance = Linker::new(&engine).instantiate(&mut store, component).expect("an instance");
        let api =
            instance.get_export_index(&mut store, None, &format!("{name}:api/work@1.0.0")).expect("the interface");
        let spin = instance.get_export_index(&mut store, Some(&api), &format!("{name}-spin")).expect("the function");
        let spin = instance.get_typed_func::<(u32,), ()>(&mut store, spin).expect("its type");
        // Until there is something to look at, however busy the machine is.
        let has_samples = || recorder.snapshot().samples_with("tenant", name) >= 20;
        while !has_samples() {
            let begin = recorder.elapsed();
            let active = recorder.enter_labeled(&labels);
            spin.call(&mut store, (20_000_000,)).expect("a call");
            drop(active);
            recorder.record_span(Span::new(format!("GET /{name}"), begin, recorder.elapsed() - begin));
        }
    }
    let mut profile = recorder.finish();
    profile.set_command("serve carol.wasm alice.wasm bob.wasm");
    profile
}

trait SamplesWith {
    fn samples_with(&self, key: &str, value: &str) -> u64;
}

impl SamplesWith for Profile {
    fn samples_with(&self, key: &str, value: &str) -> u64 {
        self.filter(&Filter::default().label(key, value)).counts().kept
    }
}

/// A folder with `all.json`: the profile of all.
fn folder() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut file = Vec::new();
        write_firefox(&recorded(), &mut file).expect("writing to memory");
        std::fs::write(folder.path().join("all.json"), file).expect("writing");
        folder
    });
    folder.path()
}

fn json(arguments: &[&str]) -> Value {
    serde_json::from_str(&printed(folder(), arguments)).expect("JSON")
}

fn number(value: &Value, key: &str) -> f64 {
    value[key].as_f64().unwrap_or_else(|| panic!("no number {key} in {value}"))
}

#[test]
fn each_tenant_is_given_its_own_profile() {
    let row = |name: &str| {
        let report = json(&["report", "--json", "--by", "label:tenant", "all.json"]);
        let mut rows = report["rows"].as_array().expect("rows").iter();
        rows.find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {report}")).clone()
    };
    for (name, others) in [("alice", ["bob", "carol"]), ("bob", ["alice", "carol"])] {
        for condition in [format!("label:tenant={name}"), format!("component:{name}"), format!("label:route=/{name}")] {
            let files = ["json", "html", "svg", "folded", "pb", "speedscope.json"].map(|end| format!("{name}.{end}"));
            let outputs: Vec<&str> = files.iter().flat_map(|file| ["-o", file.as_str()]).collect();
            printed(folder(), &[&["convert", "all.json", "--only", &condition], &outputs[..]].concat());
            for file in &files {
                let bytes = support::read(&folder().join(file));
                let has = |wanted: &str| bytes.windows(wanted.len()).any(|window| window == wanted.as_bytes());
                assert!(has(&format!("{name}-spin")), "{file} of {condition} has nothing");
                for other in others {
                    assert!(!has(other), "{file} of {condition} has {other}");
                }
            }
            let file = support::read(&folder().join(&files[0]));
            support::firefox::validate(&serde_json::from_slice(&file).expect("JSON"));
            let profile = read_firefox(&mut &file[..]).expect("a profile");
            assert_eq!(profile.name(), name, "{condition}");
            let counts = profile.counts();
            assert!(counts.taken == counts.kept && counts.kept >= 20, "{counts:?}");
            // The same as is reported of all, with a row for each tenant.
            let report = json(&["report", "--json", "--only", &condition, "all.json"]);
            assert!((number(&report, "wall_ms") - number(&row(name), "total_ms")).abs() < 1e-6, "{report}");
            let again = json(&["report", "--json", &files[0]]);
            assert_eq!(report["rows"], again["rows"], "{condition}");
        }
    }
}

#[test]
fn parts_add_up() {
    let wall = |only: &[&str]| {
        let only: Vec<&str> = only.iter().flat_map(|condition| ["--only", *condition]).collect();
        number(&json(&[&["report", "--json", "all.json"], &only[..]].concat()), "wall_ms")
    };
    let all = wall(&[]);
    let near = |sum: f64| assert!((sum - all).abs() < 1e-6, "{sum} of {all}");
    near(wall(&["label:tenant=alice"]) + wall(&["label:tenant=bob"]));
    near(wall(&["label:tenant=alice", "label:tenant=bob"]));
    near(wall(&["component:alice", "component:bob"]));
    near(wall(&["time:..10ms"]) + wall(&["time:10ms.."]));
    near(wall(&["time:.."]));
    // Nobody's samples go, and their names do.
    let report = printed(folder(), &["report", "--only", "code:alice", "--by", "function", "all.json"]);
    assert!(report.contains("alice") && report.contains("(not shown)") && !report.contains("bob"), "{report}");
    near(wall(&["code:alice"]));
    let rest = printed(folder(), &["diff", "--only", "label:tenant=bob", "--by", "function", "all.json", "all.json"]);
    assert!(rest.contains("bob") && !rest.contains("alice"), "{rest}");
}

#[test]
fn what_is_not_there_is_refused_with_what_there_is() {
    for (only, reason) in [
        ("label:tenant=carol", "`label:tenant=alice`, `label:tenant=bob`"),
        ("label:customer=alice", "`label:route`, `label:tenant`"),
        ("label:tenant", "a label is KEY=VALUE"),
        ("component:carol", "no sample is inside of a component `carol`; there is `alice`, `bob`"),
        ("code:carol", "there is `alice`, `bob`"),
        ("thread:nobody", "there is no thread `nobody`; there is `"),
        ("time:1h..", "nothing was recorded from 3600s on"),
        ("time:2s..1s", "it ends before it begins"),
        ("time:now", "not a stretch of time"),
        ("colour:red", "has to be label:KEY=VALUE"),
    ] {
        let commands: [&[&str]; 3] = [
            &["report", "--only", only, "all.json"],
            &["convert", "--only", only, "all.json", "-o", "x.svg"],
            &["diff", "--only", only, "all.json", "all.json"],
        ];
        for command in commands {
            let output = witprof(folder(), command);
            let message = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{command:?}: {message}");
            assert!(message.contains(reason) && output.stdout.is_empty(), "{command:?}: {message}");
        }
    }
    assert!(!folder().join("x.svg").exists());
    for (arguments, reason) in [
        (&["--only", "label:tenant=alice", "--only", "component:bob"][..], "no sample meets all conditions"),
        (&["--only", "label:tenant=alice", "--calls"], "calls are counted for all"),
    ] {
        let output = witprof(folder(), &[&["report", "all.json"], arguments].concat());
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert!(text(&output.stderr).contains(reason), "{}", text(&output.stderr));
    }
}

#[test]
fn hostile_names_are_listed_without_doing_anything() {
    let all = text(&support::read(&folder().join("all.json")));
    std::fs::write(folder().join("hostile.json"), all.replace("\"alice\"", "\"\\u001b[2Jalice\"")).expect("writing");
    for only in ["component:nobody", "label:tenant=nobody"] {
        let output = witprof(folder(), &["report", "--only", only, "hostile.json"]);
        let message = text(&output.stderr);
        assert!(message.contains("\\u{1b}[2Jalice") && !message.contains('\u{1b}'), "{message}");
    }
}
