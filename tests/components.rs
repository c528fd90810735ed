//! From which component to which interfaces are crossed: tenants, middlewares, and calls that are async.
#![allow(missing_docs, reason = "tests")]

#[path = "support/command.rs"]
mod command;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use wasmtime::Store;
use wasmtime::component::{Component, Linker};
use witprof::{CrossingFilter, Dimension, Profile, Recorder, SamplerChoice, SymbolMap, read_firefox};

use self::command::printed;

/// A middleware and what it stands in front of, which export the same interface.
const CHAIN: &str = r#"(component $chain
  (component $backend
    (core module $backend
      (func (export "demo:chain/handler@0.1.0#handle") (param $n i32) (result i32)
        (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))
        (local.get 0)))
    (core instance $i (instantiate $backend))
    (func $handle (param "n" u32) (result u32) (canon lift (core func $i "demo:chain/handler@0.1.0#handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "demo:chain/handler@0.1.0" (instance $handler)))
  (component $middleware
    (import "demo:chain/handler@0.1.0" (instance $next
      (export "handle" (func (param "n" u32) (result u32)))))
    (core func $next (canon lower (func $next "handle")))
    (core module $middleware
      (import "demo:chain/handler@0.1.0" "handle" (func $next (param i32) (result i32)))
      (func (export "demo:chain/handler@0.1.0#handle") (param $n i32) (result i32) (local $i i32)
        (local.set $i (local.get $n))
        (loop $l (local.set $i (i32.sub (local.get $i) (i32.const 1))) (br_if $l (local.get $i)))
        (call $next (local.get $n))))
    (core instance $i (instantiate $middleware
      (with "demo:chain/handler@0.1.0" (instance (export "handle" (func $next))))))
    (func $handle (param "n" u32) (result u32) (canon lift (core func $i "demo:chain/handler@0.1.0#handle")))
    (instance $handler (export "handle" (func $handle)))
    (export "demo:chain/handler@0.1.0" (instance $handler)))
  (instance $b (instantiate $backend))
  (instance $m (instantiate $middleware (with "demo:chain/handler@0.1.0" (instance $b "demo:chain/handler@0.1.0"))))
  (export "demo:chain/handler@0.1.0" (instance $m "demo:chain/handler@0.1.0")))"#;

/// One that exports the same interface, and stands for itself.
const ALONE: &str = r#"(component $tenant
  (core module $m
    (func (export "demo:chain/handler@0.1.0#handle") (param $n i32) (result i32)
      (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))
      (local.get 0)))
  (core instance $i (instantiate $m))
  (func $handle (param "n" u32) (result u32) (canon lift (core func $i "demo:chain/handler@0.1.0#handle")))
  (instance $handler (export "handle" (func $handle)))
  (export "demo:chain/handler@0.1.0" (instance $handler)))"#;

/// Records components of these names, one after the other, by epochs.
fn record(components: &[(&str, &str)]) -> Profile {
    let engine = support::engine();
    let mut builder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Epoch);
    let mut compiled: Vec<Component> = Vec::new();
    for (name, wat) in components {
        let wasm = wat::parse_str(wat).expect("WAT");
        let component = support::component(&engine, &wasm);
        let map = SymbolMap::builder(name).source(&wasm).build(&component).expect("a map");
        builder = builder.code(Arc::new(map), &component);
        compiled.push(component);
    }
    let recorder = builder.start().expect("a recorder");
    for component in &compiled {
        let mut store = Store::new(&engine, ());
        recorder.attach(&mut store);
        let instance = Linker::new(&engine).instantiate(&mut store, component).expect("an instance");
        let handler = instance.get_export_index(&mut store, None, "demo:chain/handler@0.1.0").expect("the interface");
        let handle = instance.get_export_index(&mut store, Some(&handler), "handle").expect("handle");
        let handle = instance.get_typed_func::<(u32,), (u32,)>(&mut store, handle).expect("handle");
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(150) {
            handle.call(&mut store, (2_000_000,)).expect("a call");
        }
    }
    recorder.finish()
}

/// Rows as interface and ends, in alphabetical order, without those that have no time.
fn rows(profile: &Profile, dimension: Dimension) -> Vec<(String, String)> {
    let report = profile.report(dimension);
    let attributed: Duration = report.rows.iter().map(witprof::ReportRow::attributed).sum();
    assert_eq!(attributed, profile.wall_time());
    let rows = report.rows.into_iter().filter(|row| !row.total.is_zero() && row.name.starts_with("demo:"));
    let mut rows: Vec<_> = rows.map(|row| (row.name, row.ends.to_string())).collect();
    rows.sort();
    rows
}

fn owned(rows: &[(&str, &str)]) -> Vec<(String, String)> {
    rows.iter().map(|(name, ends)| ((*name).to_owned(), (*ends).to_owned())).collect()
}

const EXPORT: &str = "demo:chain/handler@0.1.0 (export)";
const INTERNAL: &str = "demo:chain/handler@0.1.0 (internal)";

#[test]
fn tenants_with_the_same_export_are_two_rows_if_asked_for() {
    let [a, b] = ["$tenant-a", "$tenant-b"].map(|name| ALONE.replace("$tenant", name));
    let profile = record(&[("a", &a), ("b", &b)]);
    let split = [(EXPORT, "(host) -> tenant-a"), (EXPORT, "(host) -> tenant-b")];
    assert_eq!(rows(&profile, Dimension::ComponentInterface), owned(&split));
    // By interface they are one, which is to no component in particular.
    assert_eq!(rows(&profile, Dimension::Interface), owned(&[(EXPORT, "(host) -> ?")]));
    let filter = CrossingFilter::new().to_component("tenant-b");
    let report = profile.report_between(Dimension::ComponentInterface, &filter).expect("tenant-b ran");
    assert_eq!(report.rows.len(), 1);
    assert!(report.rows[0].attributed() < profile.wall_time());
}

#[test]
fn the_middlewares_of_a_chain_are_told_apart() {
    let profile = record(&[("chain", CHAIN)]);
    let split = [(EXPORT, "(host) -> middleware"), (INTERNAL, "middleware -> backend")];
    assert_eq!(rows(&profile, Dimension::ComponentInterface), owned(&split));
    // And still are when the profile was stored.
    let mut file = Vec::new();
    witprof::export::write_firefox(&profile, &mut file).expect("writing to memory");
    let read = read_firefox(&mut &file[..]).expect("it is one of ours");
    assert_eq!(rows(&read, Dimension::ComponentInterface), owned(&split));
}

#[cfg(target_os = "linux")]
#[test]
fn a_total_without_async_calls_says_so() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guest = support::root().join("tests/guests/async_call.wat");
    let guest = guest.to_str().expect("UTF-8");
    let options = ["-S", "p3", "-W", "component-model-async=y", "-o", "p.json", guest];
    for sampler in [&[][..], &["--sampler", "epoch"]] {
        printed(folder.path(), &[&["run", "--quiet"], sampler, &options].concat());
        let report = |by| -> Value {
            let arguments = ["report", "--json", "--by", by, "p.json"];
            serde_json::from_str(&printed(folder.path(), &arguments)).expect("JSON")
        };
        let split = report("component-interface");
        let row = |name: &str| {
            let mut rows = split["rows"].as_array().expect("rows").iter();
            rows.find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {split:#}")).clone()
        };
        let (run, work) = (row("wasi:cli/run@0.3.0 (export)"), row("demo:async/jobs@0.1.0 (internal)"));
        // The callee's time is there, under the name of who called it, and the caller's row does not pretend to have it.
        assert_eq!((work["from"].as_str(), work["to"].as_str()), (Some("app"), Some("provider")), "{work}");
        assert_eq!(run["total_is_partial"], true, "{run}");
        assert_eq!(work["total_is_partial"], false, "{work}");
        let time = |value: &Value| value.as_f64().expect("a time");
        let on_own_fibers = time(&split["on_own_fibers_ms"]);
        assert!(on_own_fibers > 0.0 && on_own_fibers <= time(&work["total_ms"]) + 1e-6, "{split:#}");
        assert!(time(&run["total_ms"]) + on_own_fibers <= time(&split["wall_ms"]) + 1e-6, "{split:#}");
        let table = printed(folder.path(), &["report", "--by", "interface", "p.json"]);
        assert!(table.contains("ran on fibers of their own; a total with * may lack"), "{table}");
        assert!(table.lines().any(|line| line.contains("%*") && line.contains("run@0.3.0")), "{table}");
    }
}
