//! Calls of the host by core modules, by name; and what tracing takes, which is nobody's time.
#![allow(missing_docs, reason = "tests")]
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use wasmtime::{Engine, Linker, Module, Store, TypedFunc};
use witprof::export::{
    TableStyle, write_call_table, write_firefox, write_folded, write_report_json, write_report_table,
};
use witprof::{
    CalledTimes, Comparison, Dimension, Profile, Recorder, RecorderBuilder, SamplerChoice, SymbolMap, SymbolMapBuilder,
    read_firefox,
};

const GUEST: &str = include_str!("guests/preview1.wat");
const COUNTERS: &str = include_str!("guests/counters.wat");
const PREVIEW1: &str = "wasi_snapshot_preview1";

struct Guest {
    engine: Engine,
    binary: Vec<u8>,
    module: Module,
}

/// How long a call of the host takes at least.
type Work = Duration;

impl Guest {
    fn new(wat: &str) -> Self {
        let engine = Engine::default();
        let binary = wat::parse_str(wat).expect("a module");
        let module = Module::new(&engine, &binary).expect("a module");
        Self { engine, binary, module }
    }

    fn recorder<'s>(
        &self,
        map: impl FnOnce(SymbolMapBuilder<'static>) -> SymbolMapBuilder<'s>,
        with: impl FnOnce(RecorderBuilder) -> RecorderBuilder,
    ) -> Recorder {
        let map = Arc::new(map(SymbolMap::builder("guest")).build(&self.module).expect("a map"));
        let builder = Recorder::builder(Duration::from_micros(200)).sampler(SamplerChoice::Signal);
        with(builder.code(map, &self.module)).start().expect("a recorder")
    }

    fn instance(&self, work: Work) -> (Store<()>, wasmtime::Instance) {
        self.instance_in(Store::new(&self.engine, ()), work)
    }

    fn instance_in(&self, mut store: Store<()>, work: Work) -> (Store<()>, wasmtime::Instance) {
        let mut linker = Linker::new(&self.engine);
        let busy = move || {
            let start = Instant::now();
            while start.elapsed() < work {
                std::hint::spin_loop();
            }
            0_i32
        };
        for name in ["fd_write", "fd_read"] {
            linker
                .func_wrap(
                    PREVIEW1,
                    name,
                    move |_: i32, _: i32, _: i32, _: i32| {
                        if work.is_zero() { 0_i32 } else { busy() }
                    },
                )
                .expect(name);
        }
        for name in ["environ_sizes_get", "args_sizes_get"] {
            linker.func_wrap(PREVIEW1, name, |_: i32, _: i32| 0_i32).expect(name);
        }
        let instance = linker.instantiate(&mut store, &self.module).expect("an instance");
        (store, instance)
    }

    /// A profile of `run(n)`, traced.
    fn traced_run(&self, recorder: &Recorder, n: i32) -> Profile {
        let mut store = Store::new(&self.engine, ());
        recorder.trace_calls(&mut store).expect("tracing");
        let (mut store, instance) = self.instance_in(store, Duration::ZERO);
        let run: TypedFunc<i32, ()> = instance.get_typed_func(&mut store, "run").expect("run");
        run.call(&mut store, n).expect("run");
        recorder.finish()
    }
}

fn counts(profile: &Profile) -> BTreeMap<String, u64> {
    let trace = profile.calls().expect("calls were traced");
    trace.functions().iter().map(|function| (function.crossing.to_string(), function.count)).collect()
}

fn expected(calls: &[(&str, u64)]) -> BTreeMap<String, u64> {
    calls.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

fn times(profile: &Profile, name: &str) -> CalledTimes {
    let functions = profile.calls().expect("calls").functions();
    let of = functions.iter().find(|function| function.crossing.to_string() == name).expect(name);
    of.times.expect("times")
}

const TRANSFERS: &str = "host functions by signature#(i32, i32, i32, i32) -> i32 (import)";
const SIZES: &str = "host functions by signature#(i32, i32) -> i32 (import)";

#[test]
fn calls_of_preview_1_are_counted_by_name() {
    let guest = Guest::new(GUEST);
    let named = expected(&[
        ("program#run (export)", 1),
        ("wasi_snapshot_preview1#fd_write (import)", 1000),
        ("wasi_snapshot_preview1#fd_read (import)", 2),
        ("wasi_snapshot_preview1#environ_sizes_get (import)", 1),
        // Three through a table, and one by a tail call.
        (TRANSFERS, 4),
    ]);
    let binary = guest.binary.clone();
    let kept = guest.recorder(|map| map.debug_info(binary), |recorder| recorder);
    assert_eq!(counts(&guest.traced_run(&kept, 1000)), named);
    let seen = guest.recorder(|map| map.source(&guest.binary), |recorder| recorder);
    assert_eq!(counts(&guest.traced_run(&seen, 1000)), named);
    let profile = seen.finish();
    assert_eq!(profile.calls().expect("calls").unnamed_entries(), 0);
    // Reports by interface have them too, and so has a profile that is read back.
    let mut file = Vec::new();
    write_firefox(&profile, &mut file).expect("writing");
    let read = read_firefox(&mut &file[..]).expect("reading");
    for profile in [&profile, &read] {
        let rows = profile.report(Dimension::Interface).rows;
        let row = rows.iter().find(|row| row.name == "wasi_snapshot_preview1 (import)").expect("the interface");
        assert_eq!(row.calls, Some(1003));
    }
}

#[test]
fn without_the_binary_nothing_is_made_up() {
    let guest = Guest::new(GUEST);
    let by_signature = expected(&[("program#run (export)", 1), (TRANSFERS, 1006), (SIZES, 1)]);
    let recorder = guest.recorder(|map| map, |recorder| recorder);
    let profile = guest.traced_run(&recorder, 1000);
    assert_eq!(counts(&profile), by_signature);
    let mut table = Vec::new();
    write_call_table(profile.calls().expect("calls"), TableStyle::default(), &mut table).expect("writing");
    assert!(String::from_utf8(table).expect("UTF-8").contains("the WebAssembly binary tells"));
    // Nor is the binary of something else believed.
    let other = wat::parse_str(GUEST.replace("fd_read", "fd_pread")).expect("a module");
    let recorder = guest.recorder(|map| map.source(&other), |recorder| recorder);
    assert_eq!(counts(&guest.traced_run(&recorder, 1000)), by_signature);
}

#[test]
fn the_only_import_of_a_signature_needs_no_binary() {
    let wat = |table: &str| {
        format!(
            r#"(module $program
              (type $transfer (func (param i32 i32 i32 i32) (result i32)))
              (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (type $transfer)))
              (table {table} 1 1 funcref)
              (elem (i32.const 0) $fd_write)
              (func (export "run") (param $n i32)
                (loop $l
                  (drop (call_indirect (type $transfer)
                    (i32.const 1) (i32.const 0) (i32.const 0) (i32.const 0) (i32.const 0)))
                  (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"#
        )
    };
    let run = |table| {
        let guest = Guest::new(&wat(table));
        let recorder = guest.recorder(|map| map, |recorder| recorder);
        counts(&guest.traced_run(&recorder, 5))
    };
    let named = "wasi_snapshot_preview1#fd_write (import)";
    assert_eq!(run(""), expected(&[("program#run (export)", 1), (named, 5)]));
    // The host may put another function into a table that it can see.
    assert_eq!(run(r#"(export "table")"#), expected(&[("program#run (export)", 1), (TRANSFERS, 5)]));
}

#[test]
fn a_profile_names_calls_of_the_host() {
    let guest = Guest::new(GUEST);
    for show_host in [false, true] {
        let binary = guest.binary.clone();
        let recorder = guest.recorder(
            |map| map.debug_info(binary),
            |recorder| if show_host { recorder.show_host_frames() } else { recorder },
        );
        let (mut store, instance) = guest.instance(Duration::from_micros(50));
        let run: TypedFunc<i32, ()> = instance.get_typed_func(&mut store, "run").expect("run");
        let active = recorder.enter();
        run.call(&mut store, 4000).expect("run");
        drop(active);
        let profile = recorder.finish();
        support::check_profile(&profile);
        let mut file = Vec::new();
        write_firefox(&profile, &mut file).expect("writing");
        let read = read_firefox(&mut &file[..]).expect("reading");
        for profile in [&profile, &read] {
            let report = profile.report(Dimension::InterfaceFunction);
            let row = &report.rows[0];
            assert_eq!(row.name, "wasi_snapshot_preview1#fd_write (import)", "{report:?}");
            assert!(row.own.as_secs_f64() > report.wall.as_secs_f64() * 0.5, "{report:?}");
            let libraries = profile.report(Dimension::Library).rows;
            assert!(libraries.iter().any(|row| row.name == "wasi_snapshot_preview1 (import)"), "{libraries:?}");
            assert_eq!(profile.report(Dimension::Interface).rows[0].name, "wasi_snapshot_preview1 (import)");
        }
    }
}

/// A profile of `spin(n, m)`, over and over, for half a second.
fn spun(guest: &Guest, (n, m): (i32, i32), is_traced: bool) -> (Profile, Duration) {
    let binary = guest.binary.clone();
    let recorder = guest.recorder(|map| map.debug_info(binary), RecorderBuilder::show_host_frames);
    let mut store = Store::new(&guest.engine, ());
    if is_traced {
        recorder.trace_calls(&mut store).expect("tracing");
    }
    let (mut store, instance) = guest.instance_in(store, Duration::ZERO);
    let spin: TypedFunc<(i32, i32), ()> = instance.get_typed_func(&mut store, "spin").expect("spin");
    spin.call(&mut store, (1, 100)).expect("spin");
    let active = recorder.enter();
    let start = Instant::now();
    let mut in_guest = Duration::ZERO;
    while start.elapsed() < Duration::from_millis(500) {
        let start = Instant::now();
        spin.call(&mut store, (n, m)).expect("spin");
        in_guest += start.elapsed();
    }
    drop(active);
    (recorder.finish(), in_guest)
}

/// How long one of `what` takes, in seconds: the least of several.
fn cost(guest: &Guest, what: (i32, i32)) -> f64 {
    let (mut store, instance) = guest.instance(Duration::ZERO);
    let spin: TypedFunc<(i32, i32), ()> = instance.get_typed_func(&mut store, "spin").expect("spin");
    let mut once = || {
        let start = Instant::now();
        spin.call(&mut store, what).expect("spin");
        start.elapsed().as_secs_f64()
    };
    (0..50).map(|_| once()).fold(f64::MAX, f64::min)
}

fn own(profile: &Profile, interface: &str) -> f64 {
    let rows = profile.report(Dimension::Interface).rows;
    rows.iter().filter(|row| row.name == interface).map(|row| row.attributed().as_secs_f64()).sum()
}

#[test]
fn what_tracing_takes_is_in_no_row() {
    let guest = Guest::new(GUEST);
    // Loops for five times as long as it calls. Wasmtime itself takes as long again to ask a hook; what the hook takes, which
    // is several times as much, would outweigh the loop if it counted.
    let calls = 20_000;
    let (of_calls, of_loop) = (cost(&guest, (1, calls)), cost(&guest, (1_000_000, 1)));
    #[allow(clippy::cast_possible_truncation, reason = "some millions")]
    let loops = (of_calls * 5.0 / of_loop * 1e6) as i32;
    let [(plain, _), (traced, _)] = [false, true].map(|is_traced| spun(&guest, (loops, calls), is_traced));
    support::check_profile(&traced);
    assert_eq!(plain.profiler_time(), Default::default());
    let profiler = traced.profiler_time();
    assert!(profiler.samples > 0 && profiler.cpu <= profiler.wall, "{profiler:?}");
    // The same comes first.
    for profile in [&plain, &traced] {
        let [app, host] = ["program (export)", "wasi_snapshot_preview1 (import)"].map(|name| own(profile, name));
        assert!(app > host, "{app} {host} {profiler:?}");
    }
    // No row is of the tracer, whatever the rows are.
    for dimension in [Dimension::Function, Dimension::Line] {
        for row in traced.report(dimension).rows.iter().filter(|row| !row.attributed().is_zero()) {
            assert!(!row.name.contains("CallTracer") && !row.name.contains("witprof::tracing::calls"), "{row:?}");
        }
    }
    let changes = Comparison::new(&plain, &traced, Dimension::Function).changes;
    assert!(changes.iter().all(|change| !change.name.contains("CallTracer")));
}

#[test]
fn rows_and_the_profiler_add_up_in_every_output() {
    let guest = Guest::new(GUEST);
    let (profile, _) = spun(&guest, (1000, 20_000), true);
    let profiler = profile.profiler_time();
    assert!(!profiler.is_zero());
    let mut file = Vec::new();
    write_firefox(&profile, &mut file).expect("writing");
    let read = read_firefox(&mut &file[..]).expect("reading");
    assert_eq!(read.profiler_time(), profiler);
    let document: Value = serde_json::from_slice(&file).expect("JSON");
    // A number read from text may differ in its last digit.
    let entries = document["meta"]["extra"][0]["entries"].as_array().expect("entries");
    let own_work = entries.iter().find(|entry| entry["label"] == "The profiler's own work, in no sample");
    let shown = own_work.expect("an entry")["value"].as_f64().expect("a number");
    assert!((shown - profiler.wall.as_secs_f64() * 1000.0).abs() < 1e-6, "{shown}");
    for profile in [&profile, &read] {
        let report = profile.report(Dimension::Interface);
        assert_eq!(report.rows.iter().map(|row| row.attributed()).sum::<Duration>(), report.wall);
        let mut json = Vec::new();
        write_report_json(profile, &report, &mut json).expect("writing");
        let json: Value = serde_json::from_slice(&json).expect("JSON");
        let number = |value: &Value, key: &str| value[key].as_f64().expect("a number");
        let rows = json["rows"].as_array().expect("rows").iter();
        let rows: f64 = rows.map(|row| number(row, "self_ms") + number(row, "boundary_ms")).sum();
        let (wall, own) = (number(&json, "wall_ms"), number(&json, "profiler_ms"));
        assert!(own > 0.0 && (rows + own - wall).abs() < 0.1, "{rows} {own} {wall}");
        let mut table = Vec::new();
        write_report_table(&report, TableStyle::default(), &mut table).expect("writing");
        assert!(String::from_utf8(table).expect("UTF-8").contains("profiler: "));
        let mut folded = Vec::new();
        write_folded(profile, Dimension::Function, &mut folded).expect("writing");
        // Rounded, as all times are.
        let line = format!("\nprofiler {}\n", (profiler.wall.as_nanos() + 500) / 1000);
        assert!(String::from_utf8(folded).expect("UTF-8").ends_with(&line));
    }
}

#[test]
fn a_call_does_not_take_longer_for_the_calls_in_it_being_traced() {
    let guest = Guest::new(GUEST);
    let (profile, in_guest) = spun(&guest, (1, 100_000), true);
    let [outer, inner] =
        ["program#spin (export)", "wasi_snapshot_preview1#fd_write (import)"].map(|name| times(&profile, name));
    assert!(inner.wall <= outer.wall, "{inner:?} {outer:?}");
    // Most of what passes is the hook's; all of it would be the outer call's, if it was not taken out.
    assert!(outer.wall.as_secs_f64() < in_guest.as_secs_f64() * 0.9, "{outer:?} of {in_guest:?}");
}

#[test]
fn with_epochs_what_tracing_takes_is_measured() {
    let engine = Engine::new(wasmtime::Config::new().epoch_interruption(true)).expect("an engine");
    let binary = wat::parse_str(GUEST).expect("a module");
    let module = Module::new(&engine, &binary).expect("a module");
    let guest = Guest { engine, binary, module };
    let binary = guest.binary.clone();
    let recorder = guest.recorder(|map| map.debug_info(binary), |recorder| recorder.sampler(SamplerChoice::Epoch));
    let mut store = Store::new(&guest.engine, ());
    recorder.attach(&mut store);
    recorder.trace_calls(&mut store).expect("tracing");
    let (mut store, instance) = guest.instance_in(store, Duration::ZERO);
    let spin: TypedFunc<(i32, i32), ()> = instance.get_typed_func(&mut store, "spin").expect("spin");
    let mut calls = 0;
    while recorder.snapshot().counts().kept < 20 {
        spin.call(&mut store, (1, 50_000)).expect("spin");
        calls += 50_000;
    }
    let profile = recorder.finish();
    let profiler = profile.profiler_time();
    assert!(!profiler.is_zero() && profiler.wall + profile.wall_time() <= profile.elapsed(), "{profiler:?}");
    assert_eq!(counts(&profile)["wasi_snapshot_preview1#fd_write (import)"], calls);
}

#[test]
fn what_adapters_say_is_counted_exactly() {
    use wasmtime::component::{Component, Linker};
    let engine = Engine::default();
    let component = Component::new(&engine, COUNTERS).expect("a component");
    let map = Arc::new(SymbolMap::builder("counting").source(COUNTERS.as_bytes()).build(&component).expect("a map"));
    let recorder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Signal);
    let recorder = recorder.code(map, &component).start().expect("a recorder");
    let run = |n: u32| {
        let mut store = Store::new(&engine, ());
        recorder.trace_calls(&mut store).expect("tracing");
        let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("an instance");
        let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, "run").expect("run");
        run.call(&mut store, (n,)).expect("run");
        store
    };
    // Of stores that are gone, and of one that lives.
    drop(run(1000));
    drop(run(10));
    let store = run(7);
    for _ in 0..2 {
        let profile = recorder.snapshot();
        let increments = counts(&profile).into_iter().filter(|(name, _)| name.contains("#increment"));
        assert_eq!(increments.map(|(_, count)| count).collect::<Vec<_>>(), [1017], "{:?}", counts(&profile));
    }
    drop(store);
    let increments = counts(&recorder.finish()).into_iter().filter(|(name, _)| name.contains("#increment"));
    assert_eq!(increments.map(|(_, count)| count).sum::<u64>(), 1017);
}
