//! The names that `perf` shows of a profiled component.
//!
//! Needs `perf`; see `tests/set-up`.
#![allow(missing_docs, reason = "tests")]
#![cfg(target_os = "linux")]

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::{Command, Output};
use std::sync::Arc;

use wasmtime::component::Component;
use wasmtime::{Config, Engine};
use witprof::export::write_perf_map;
use witprof::{Error, PerfMap, SymbolMap};

fn run(folder: &Path, program: &str, arguments: &[&str]) -> Output {
    let output = Command::new(program).args(arguments).current_dir(folder).output();
    output.unwrap_or_else(|error| panic!("running {program}: {error}"))
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_function_is_there_once() {
    let engine = support::engine();
    let bytes = support::read(&support::kitchen());
    let component = Component::new(&engine, &bytes).expect("a component");
    let map = SymbolMap::builder("kitchen").source(&bytes).build(&component).expect("a map");
    let mut out = Vec::new();
    write_perf_map(&map, 0x7000_0000_0000, &mut out).expect("writing to memory");
    let out = text(&out);
    let entries = support::perf_map_entries(&out);
    assert_eq!(entries.len(), map.functions().len());
    assert!(entries.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "in order, and none inside of another");
    for name in [
        "demo:math/ops@0.1.0 counter.increment [adapter]",
        "wasi:clocks/monotonic-clock@0.2.6 now [trampoline]",
        "wasi:cli/run@0.2.0 run [trampoline]",
    ] {
        assert_eq!(entries.iter().filter(|entry| entry.2 == name).count(), 1, "{name}");
    }
    assert!(entries.iter().any(|entry| entry.2.ends_with(" app::count_primes [guest]")));
}

#[test]
fn the_file_is_made_once_and_interpreters_are_refused() {
    let wat = "(component (core module $m (func (export \"f\"))) (core instance (instantiate $m)))";
    let engine = support::engine();
    let component = Component::new(&engine, wat).expect("a component");
    let map = Arc::new(SymbolMap::builder("first").build(&component).expect("a map"));
    let mut perf = PerfMap::create().expect("a file");
    perf.add(&map, &component).expect("writing");
    perf.add(&map, &component).expect("writing");
    let other = Component::new(&engine, wat).expect("a component");
    perf.add(&SymbolMap::builder("second").build(&other).expect("a map"), &other).expect("writing");
    let written = std::fs::read_to_string(perf.path()).expect("the file");
    let starts: BTreeSet<u64> = support::perf_map_entries(&written).iter().map(|entry| entry.0).collect();
    assert_eq!(starts.len(), map.functions().len() * 2, "each once: {written}");

    let pulley = Engine::new(Config::new().target("pulley64").expect("a target")).expect("an engine");
    let component = Component::new(&pulley, wat).expect("a component");
    let map = SymbolMap::builder("third").build(&component).expect("a map");
    assert!(matches!(perf.add(&map, &component), Err(Error::Interpreted { .. })));
    std::fs::remove_file(perf.path()).expect("removing it");
}

#[test]
fn perf_shows_the_names_of_a_composition() {
    if !support::programs::can_run(&["perf"]) {
        return;
    }
    // The adapter is a hundredth of the time, and a busy machine leaves few samples: again, until all have been seen.
    let mut seen = BTreeMap::new();
    let count = |seen: &BTreeMap<String, u32>, part: &str| -> u32 {
        seen.iter().filter(|(name, _)| name.contains(part)).map(|(_, count)| count).sum()
    };
    let wanted = ["app::count_primes [guest]", "demo:math/ops@0.1.0 counter.increment [adapter]", "[trampoline]"];
    for _ in 0..20 {
        record(&mut seen);
        if wanted.iter().all(|part| count(&seen, part) > 0) {
            break;
        }
    }
    for part in wanted {
        assert!(count(&seen, part) > 0, "no {part} in {seen:#?}");
    }
    // Wasmtime's own names are not there.
    assert_eq!(count(&seen, "wasm["), 0, "{seen:#?}");
}

/// Runs the composition under perf, and counts each function that perf found it in.
fn record(seen: &mut BTreeMap<String, u32>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let witprof = env!("CARGO_BIN_EXE_witprof");
    let kitchen = support::kitchen();
    let kitchen = kitchen.to_str().expect("UTF-8");
    // A minute between samples: perf's alone.
    let guest = [witprof, "run", "--quiet", "--perf-map", "--interval", "1min", "-o", "p.json", kitchen, "600"];
    let record = ["record", "-q", "-e", "cpu-clock", "-F", "997", "-k", "mono", "-o", "perf.data", "--"];
    let output = run(folder.path(), "perf", &[&record[..], &guest].concat());
    assert!(output.status.success(), "{}", text(&output.stderr));
    let output = run(folder.path(), "perf", &["script", "-i", "perf.data", "-F", "pid,ip,sym"]);
    let script = text(&output.stdout);
    assert!(output.status.success(), "{}", text(&output.stderr));
    // Leaves: one line for each sample.
    let mut process = None;
    for line in script.lines() {
        let mut parts = line.split_whitespace();
        process = parts.next().map(str::to_owned).or(process);
        let name = parts.skip(1).collect::<Vec<_>>().join(" ");
        *seen.entry(name).or_default() += 1;
    }
    if let Some(process) = process {
        let _ = std::fs::remove_file(format!("/tmp/perf-{process}.map"));
    }
}
