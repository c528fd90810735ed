//! Every call across an interface: exact counts, names, and times, on sync and async stores.
#![allow(missing_docs, reason = "tests")]
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Engine, Store};
use witprof::export::write_firefox;
use witprof::{
    CallTrace, Dimension, MemoryTracer, Profile, Recorder, RecorderBuilder, SamplerChoice, SlowCalls, Span, SymbolMap,
    read_firefox,
};

const GUEST: &str = include_str!("guests/calls.wat");

struct Guest {
    engine: Engine,
    component: Component,
    linker: Linker<()>,
}

impl Guest {
    /// The guest, with imports that do nothing but wait where they are asked to.
    fn new(is_async: bool) -> Self {
        let engine = support::engine();
        let component = Component::new(&engine, GUEST).expect("a component");
        let mut linker = Linker::new(&engine);
        let mut out = linker.instance("demo:log/out@1.0.0").expect("an instance");
        out.func_wrap("put", |_, (_,): (u32,)| Ok(())).expect("put");
        if is_async {
            out.func_wrap_async("wait", |_, (n,): (u32,)| {
                Box::new(async move {
                    tokio::time::sleep(Duration::from_millis(u64::from(n))).await;
                    Ok((n,))
                })
            })
            .expect("wait");
        } else {
            out.func_wrap("wait", |_, (n,): (u32,)| Ok((n,))).expect("wait");
        }
        Self { engine, component, linker }
    }

    fn recorder(&self, with: impl FnOnce(RecorderBuilder) -> RecorderBuilder) -> Recorder {
        let map = SymbolMap::builder("caller").source(GUEST.as_bytes()).build(&self.component);
        let builder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Epoch);
        with(builder.code(Arc::new(map.expect("a map")), &self.component)).start().expect("a recorder")
    }

    /// A traced store, and an instance in it.
    fn traced(&self, recorder: &Recorder) -> (Store<()>, wasmtime::component::Instance) {
        let mut store = Store::new(&self.engine, ());
        recorder.attach(&mut store);
        recorder.trace_calls(&mut store).expect("tracing");
        let instance = self.linker.instantiate(&mut store, &self.component).expect("an instance");
        (store, instance)
    }
}

type Function = wasmtime::component::TypedFunc<(u32,), (u32,)>;

fn function(store: &mut Store<()>, instance: &wasmtime::component::Instance, name: &str) -> Function {
    let app = instance.get_export_index(&mut *store, None, "demo:log/app@0.1.0").expect("the interface");
    let index = instance.get_export_index(&mut *store, Some(&app), name).expect("the function");
    instance.get_typed_func(store, index).expect("its type")
}

fn counts(profile: &Profile) -> BTreeMap<String, u64> {
    let trace = profile.calls().expect("calls were traced");
    trace.functions().iter().map(|function| (function.crossing.to_string(), function.count)).collect()
}

/// What `run(n)` calls, for each of `runs`; and two calls of `pure`.
fn expected(runs: &[u32]) -> BTreeMap<String, u64> {
    let odd = |n: u32| u64::from(n.div_ceil(2));
    let puts: u64 = runs.iter().map(|n| u64::from(*n) + odd(*n)).sum();
    let halves: u64 = runs.iter().map(|n| odd(*n)).sum();
    let count = runs.len() as u64;
    BTreeMap::from(
        [
            ("demo:log/app@0.1.0#pure (export)", 2),
            ("demo:log/app@0.1.0#run (export)", count),
            ("demo:log/out@1.0.0#put (import)", puts),
            ("demo:log/out@1.0.0#wait (import)", count),
            ("demo:math/ops@0.1.0#half (internal)", halves),
        ]
        .map(|(name, count)| (name.to_owned(), count)),
    )
}

#[test]
fn calls_are_counted_exactly() {
    let guest = Guest::new(false);
    let recorder = guest.recorder(|builder| builder);
    let (mut store, instance) = guest.traced(&recorder);
    let [run, pure] = ["run", "pure"].map(|name| function(&mut store, &instance, name));
    for n in [10, 7] {
        pure.call(&mut store, (n,)).expect("pure");
        run.call(&mut store, (n,)).expect("run");
    }
    let profile = recorder.finish();
    assert_eq!(counts(&profile), expected(&[10, 7]));
    assert_eq!(profile.calls().expect("calls").unnamed_entries(), 0);
    // Recording has ended, and the store lives on.
    run.call(&mut store, (3,)).expect("run");
    assert_eq!(counts(&recorder.finish()), expected(&[10, 7]));
}

#[test]
fn a_recording_begins_with_the_nth_call() {
    let guest = Guest::new(false);
    for (function_name, n, is_counted) in
        [("demo:log/app#run", 2, true), ("demo:log/out@1.0.0#put", 3, true), ("demo:log/app#run", 2, false)]
    {
        let recorder = guest.recorder(RecorderBuilder::paused);
        recorder.begin_with_call(function_name, n).expect("there is such a function");
        let (mut store, instance) = guest.traced(&recorder);
        if !is_counted {
            recorder.wait_for_call(&mut store).expect("waiting");
        }
        let [run, pure] = ["run", "pure"].map(|name| function(&mut store, &instance, name));
        pure.call(&mut store, (10,)).expect("pure");
        run.call(&mut store, (2,)).expect("run");
        pure.call(&mut store, (7,)).expect("pure");
        assert!(function_name.contains("put") || recorder.is_paused());
        run.call(&mut store, (7,)).expect("run");
        assert!(!recorder.is_paused());
        let profile = recorder.finish();
        assert!(profile.elapsed() < recorder.elapsed(), "what was before is no part of it");
        if !is_counted {
            // The hook was put in the place of the one that counts.
            assert!(profile.calls().is_some_and(|calls| calls.functions().is_empty()));
            continue;
        }
        let counts = counts(&profile);
        let count = |name: &str| counts.get(name).copied().unwrap_or(0);
        assert_eq!(count("demo:log/app@0.1.0#pure (export)"), u64::from(function_name.contains("put")), "{counts:?}");
        let (all, rest) = (expected(&[2, 7]), expected(&[7]));
        let puts = "demo:log/out@1.0.0#put (import)";
        let left = if function_name.contains("put") { all[puts] - 2 } else { rest[puts] };
        assert_eq!(count(puts), left, "{counts:?}");
        // What a file says of calls is in the same time as its samples.
        let begins = profile.calls().expect("calls").kept().iter().map(|call| call.begin);
        assert!(begins.max().is_some_and(|last| last <= profile.elapsed()));
    }
    let recorder = guest.recorder(RecorderBuilder::paused);
    let error = recorder.begin_with_call("demo:log/app#nope", 1).expect_err("there is none").to_string();
    assert!(error.contains("demo:log/app#nope") && error.contains("demo:log/app@0.1.0#run"), "{error}");
    let profile = recorder.finish();
    assert_eq!((profile.counts().taken, profile.elapsed()), (0, Duration::ZERO), "it never began");
}

#[test]
fn calls_that_are_slow_are_kept_and_all_are_counted() {
    let guest = Guest::new(true);
    let slow = SlowCalls::than(Duration::from_millis(20)).of("demo:log/out#wait");
    let recorder = guest.recorder(|builder| builder.keep_slow_calls(slow));
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let mut store = Store::new(&guest.engine, ());
        recorder.attach_yielding(&mut store);
        recorder.trace_calls(&mut store).expect("tracing");
        let instance = guest.linker.instantiate_async(&mut store, &guest.component).await.expect("an instance");
        let run = function(&mut store, &instance, "run");
        // Each waits for as many milliseconds as it is told.
        for n in [30, 1, 40] {
            run.call_async(&mut store, (n,)).await.expect("run");
        }
    });
    let profile = recorder.finish();
    let trace = profile.calls().expect("calls");
    let kept: Vec<_> = trace.kept().iter().map(|call| &trace.functions()[call.function.index()].crossing).collect();
    assert_eq!(kept.iter().filter(|crossing| crossing.function == "wait").count(), kept.len(), "{kept:?}");
    // The others may take as long on a busy machine.
    assert!((2..=3).contains(&kept.len()), "{kept:?}");
    assert!(trace.kept().iter().all(|call| call.stack.is_some() && call.wall >= Duration::from_millis(20)));
    let counts = counts(&profile);
    assert_eq!((counts["demo:log/app@0.1.0#run (export)"], counts["demo:log/out@1.0.0#wait (import)"]), (3, 3));
    assert_eq!(trace.left_out() + trace.kept().len() as u64, {
        let timed = trace.functions().iter().filter(|function| function.times.is_some());
        timed.map(|function| function.count).sum::<u64>()
    });
}

#[test]
fn times_add_up() {
    let guest = Guest::new(false);
    let recorder = guest.recorder(RecorderBuilder::trace_call_cpu_time);
    let (mut store, instance) = guest.traced(&recorder);
    let run = function(&mut store, &instance, "run");
    for _ in 0..200 {
        run.call(&mut store, (100,)).expect("run");
    }
    let profile = recorder.finish();
    let trace = profile.calls().expect("calls");
    let times = |name: &str| {
        let of = trace.functions().iter().find(|function| function.crossing.to_string() == name).expect(name);
        of.times.expect("its times")
    };
    let (run, put) = (times("demo:log/app@0.1.0#run (export)"), times("demo:log/out@1.0.0#put (import)"));
    assert!(put.wall < run.wall && run.wall <= profile.elapsed());
    for times in [run, put] {
        assert!(times.p50 <= times.p90 && times.p90 <= times.p99 && times.max <= times.wall, "{times:?}");
        assert_eq!(times.suspended, Duration::ZERO);
        assert!(times.cpu.is_some_and(|cpu| cpu > Duration::ZERO));
    }
    let of_run = trace.kept().iter().filter(|call| trace.functions()[call.function.index()].crossing.function == "run");
    assert_eq!(of_run.map(|call| call.wall).sum::<Duration>(), run.wall, "all of them are among the longest");
    assert!(trace.kept().is_sorted_by_key(|call| call.begin));
    assert_eq!(trace.count() - trace.left_out() - 200 * 50, trace.kept().len() as u64, "of crossings none is kept");
}

#[test]
fn suspended_time_is_told_apart() {
    let guest = Guest::new(true);
    let recorder = guest.recorder(RecorderBuilder::trace_call_cpu_time);
    let call = async |n: u32| {
        let mut store = Store::new(&guest.engine, ());
        recorder.attach_yielding(&mut store);
        recorder.trace_calls(&mut store).expect("tracing");
        let instance = guest.linker.instantiate_async(&mut store, &guest.component).await.expect("an instance");
        let [run, pure] = ["run", "pure"].map(|name| function(&mut store, &instance, name));
        run.call_async(&mut store, (n,)).await.expect("run");
        pure.call_async(&mut store, (n,)).await.expect("pure");
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_time().build();
    runtime.expect("a runtime").block_on(async {
        tokio::join!(recorder.instrument(call(30)), recorder.instrument(call(20)));
    });
    let profile = recorder.finish();
    assert_eq!(counts(&profile), expected(&[30, 20]));
    let trace = profile.calls().expect("calls");
    for function in trace.functions().iter().filter(|function| ["run", "wait"].contains(&&*function.crossing.function))
    {
        let times = function.times.expect("times");
        assert!(times.suspended >= Duration::from_millis(49), "{function:?}");
        assert!(times.suspended <= times.wall, "{function:?}");
        assert!(times.cpu.is_some_and(|cpu| cpu < times.wall), "{function:?}");
    }
    for function in trace.functions().iter().filter(|function| ["put", "pure"].contains(&&*function.crossing.function))
    {
        // At a sample, the guest yields.
        assert!(function.times.expect("times").suspended < Duration::from_millis(20), "{function:?}");
    }
}

#[test]
fn stores_on_many_threads_are_counted_together() {
    let guest = Guest::new(false);
    let recorder = guest.recorder(|builder| builder);
    let runs: Vec<u32> = (1..=40).collect();
    std::thread::scope(|scope| {
        for runs in runs.chunks(10) {
            let (guest, recorder) = (&guest, &recorder);
            scope.spawn(move || {
                for n in runs {
                    let (mut store, instance) = guest.traced(recorder);
                    function(&mut store, &instance, "run").call(&mut store, (*n,)).expect("run");
                }
            });
        }
    });
    let (mut store, instance) = guest.traced(&recorder);
    let pure = function(&mut store, &instance, "pure");
    for _ in 0..2 {
        pure.call(&mut store, (1,)).expect("pure");
    }
    assert_eq!(counts(&recorder.snapshot()), expected(&runs));
    assert!(recorder.snapshot_of(Duration::ZERO..Duration::from_secs(1)).calls().is_none());
}

#[test]
fn calls_of_a_pause_are_not_counted() {
    let guest = Guest::new(false);
    let recorder = guest.recorder(|builder| builder);
    let (mut store, instance) = guest.traced(&recorder);
    let [run, pure] = ["run", "pure"].map(|name| function(&mut store, &instance, name));
    for _ in 0..2 {
        pure.call(&mut store, (1,)).expect("pure");
    }
    run.call(&mut store, (4,)).expect("run");
    recorder.pause();
    run.call(&mut store, (5,)).expect("run");
    recorder.resume();
    run.call(&mut store, (6,)).expect("run");
    assert_eq!(counts(&recorder.finish()), expected(&[4, 6]));
}

#[test]
fn calls_survive_being_written_and_read() {
    let guest = Guest::new(false);
    let recorder = guest.recorder(RecorderBuilder::trace_call_cpu_time);
    let (mut store, instance) = guest.traced(&recorder);
    function(&mut store, &instance, "run").call(&mut store, (9,)).expect("run");
    recorder.record_span(Span::new("GET /<b>", Duration::ZERO, Duration::from_millis(1)).detail("200"));
    let profile = recorder.finish();
    let mut file = Vec::new();
    write_firefox(&profile, &mut file).expect("writing to memory");
    let read = read_firefox(&mut file.as_slice()).expect("reading back");
    assert_eq!(read.calls().map(CallTrace::functions), profile.calls().map(CallTrace::functions));
    assert_eq!(read.calls().map(|trace| trace.kept().len()), profile.calls().map(|trace| trace.kept().len()));
    assert_eq!(read.spans(), profile.spans());
    let text = String::from_utf8(file).expect("UTF-8");
    for name in ["\"put\"", "demo:log/out@1.0.0 (import)", "GET /<b>"] {
        assert!(text.contains(name), "{name}");
    }
    let report = profile.report(Dimension::Interface);
    let row = |name: &str| report.rows.iter().find(|row| row.name == name).and_then(|row| row.calls);
    assert_eq!(row("demo:log/out@1.0.0 (import)"), Some(9 + 5 + 1));
    assert_eq!(row("demo:math/ops@0.1.0 (internal)"), None, "only a lower bound is known");
}

/// A trap leaves calls behind that never return.
#[test]
fn traps_do_not_disturb_the_count() {
    const TRAP: &str = r#"(component
      (import "hit" (func $hit))
      (core func $hit' (canon lower (func $hit)))
      (core module $m
        (import "" "hit" (func $hit))
        (func (export "run") (call $hit) (unreachable)))
      (core instance $i (instantiate $m (with "" (instance (export "hit" (func $hit'))))))
      (func (export "run") (canon lift (core func $i "run"))))"#;
    let engine = support::engine();
    let component = Component::new(&engine, TRAP).expect("a component");
    let map = SymbolMap::builder("trap").build(&component).expect("a map");
    let recorder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Epoch);
    let recorder = recorder.code(Arc::new(map), &component).start().expect("a recorder");
    let mut linker = Linker::<u32>::new(&engine);
    let hit = |mut store: wasmtime::StoreContextMut<'_, u32>, (): ()| {
        *store.data_mut() += 1;
        if store.data().is_multiple_of(3) { Err(wasmtime::format_err!("the host fails")) } else { Ok(()) }
    };
    linker.root().func_wrap("hit", hit).expect("hit");
    let mut hits = 0;
    for _ in 0..30 {
        let mut store = Store::new(&engine, hits);
        recorder.attach(&mut store);
        recorder.trace_calls(&mut store).expect("tracing");
        let instance = linker.instantiate(&mut store, &component).expect("an instance");
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").expect("run");
        run.call(&mut store, ()).expect_err("a trap");
        hits = *store.data();
    }
    let expected = [("world#hit (import)", 30), ("world#run (export)", 30)];
    assert_eq!(counts(&recorder.finish()), expected.map(|(name, count)| (name.to_owned(), count)).into());
}

/// What is limited, and what grows.
struct Limited {
    memory: MemoryTracer,
}

#[test]
fn memories_are_followed() {
    const PAGE: u64 = 65_536;
    let engine = support::engine();
    let component = Component::new(&engine, GUEST).expect("a component");
    let map = SymbolMap::builder("caller").source(GUEST.as_bytes()).build(&component).expect("a map");
    let recorder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Epoch);
    let recorder = recorder.code(Arc::new(map), &component).start().expect("a recorder");
    let mut linker = Linker::<Limited>::new(&engine);
    let mut out = linker.instance("demo:log/out@1.0.0").expect("an instance");
    out.func_wrap("put", |_, (_,): (u32,)| Ok(())).expect("put");
    out.func_wrap("wait", |_, (n,): (u32,)| Ok((n,))).expect("wait");
    for limit in [100, 5] {
        let limits = wasmtime::StoreLimitsBuilder::new().memory_size(limit * usize::try_from(PAGE).expect("small"));
        let mut store = Store::new(&engine, Limited { memory: recorder.trace_memory(limits.build()) });
        store.limiter(|host| &mut host.memory);
        recorder.attach(&mut store);
        let instance = linker.instantiate(&mut store, &component).expect("an instance");
        let app = instance.get_export_index(&mut store, None, "demo:log/app@0.1.0").expect("the interface");
        let index = instance.get_export_index(&mut store, Some(&app), "grow").expect("the function");
        let grow = instance.get_typed_func::<(u32,), (u32,)>(&mut store, index).expect("its type");
        let (pages,) = grow.call(&mut store, (8,)).expect("grow");
        assert_eq!(pages, if limit == 100 { 9 } else { 5 });
    }
    let profile = recorder.finish();
    let [memory] = profile.memories() else { panic!("{:?}", profile.memories()) };
    assert_eq!((memory.name.as_str(), memory.peak, memory.growths), ("demo:log/main", 9 * PAGE, 8 + 4));
    assert_eq!(memory.points.last().map(|(_, size)| *size), Some(0), "the stores are gone");
    assert_eq!(profile.memory_growths().len(), 12);
    for growth in profile.memory_growths() {
        assert_eq!(growth.to - growth.from, PAGE);
        let mut names = Vec::new();
        let mut at = growth.stack;
        while let Some(stack) = at.map(|stack| profile.stacks()[stack.index()]) {
            names.push(profile.functions()[profile.frames()[stack.frame.index()].function.index()].name.clone());
            at = stack.caller;
        }
        assert_eq!(names, ["memory.grow", "grow", "grow"], "the builtin, the function, and its entry");
    }
    support::check_profile(&profile);
    let mut file = Vec::new();
    write_firefox(&profile, &mut file).expect("writing to memory");
    let read = read_firefox(&mut file.as_slice()).expect("reading back");
    assert_eq!(read.memories(), profile.memories());
    let json: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    assert_eq!(json["counters"][0]["name"], "memory of demo:log/main");
}

/// Whoever makes it grow, and however large another one is.
#[test]
fn a_memory_belongs_to_one_module_for_good() {
    const PAGE: u64 = 65_536;
    const SAME: &str = r#"(component
      (core module $main (memory (export "memory") 2)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
      (core module $helper (import "main" "memory" (memory 0))
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
      (core module $other (memory 2)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
      (core instance $m (instantiate $main))
      (core instance $h (instantiate $helper (with "main" (instance $m))))
      (core instance $o (instantiate $other))
      (func (export "own") (param "pages" s32) (result s32) (canon lift (core func $m "grow")))
      (func (export "borrowed") (param "pages" s32) (result s32) (canon lift (core func $h "grow")))
      (func (export "other") (param "pages" s32) (result s32) (canon lift (core func $o "grow"))))"#;
    let engine = support::engine();
    let component = Component::new(&engine, SAME).expect("a component");
    let map = SymbolMap::builder("same").build(&component).expect("a map");
    let recorder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Epoch);
    let recorder = recorder.code(Arc::new(map), &component).start().expect("a recorder");
    let mut store = Store::new(&engine, Limited { memory: recorder.trace_memory(wasmtime::StoreLimits::default()) });
    store.limiter(|host| &mut host.memory);
    recorder.attach(&mut store);
    for _ in 0..2 {
        let instance = Linker::<Limited>::new(&engine).instantiate(&mut store, &component).expect("an instance");
        let mut grow = |name: &str, pages| {
            let function = instance.get_typed_func::<(i32,), (i32,)>(&mut store, name).expect("a function");
            function.call(&mut store, (pages,)).expect("grow").0
        };
        assert_eq!([grow("borrowed", 1), grow("own", 1), grow("other", 3)], [2, 3, 2]);
    }
    let profile = recorder.snapshot();
    let found: Vec<_> = profile
        .memories()
        .iter()
        .map(|memory| (memory.name.as_str(), memory.points.last().map(|(_, size)| *size), memory.growths))
        .collect();
    // Both instances together.
    assert_eq!(found, [("same/main", Some(2 * 4 * PAGE), 4), ("same/other", Some(2 * 5 * PAGE), 2)]);
    for memory in profile.memories() {
        assert!(memory.points.is_sorted_by_key(|(_, size)| *size), "it never became smaller: {memory:?}");
    }
    let of_growths: Vec<_> = profile.memory_growths().iter().map(|growth| growth.memory).collect();
    assert_eq!(of_growths, [0, 0, 1, 0, 0, 1]);
    let mut file = Vec::new();
    write_firefox(&profile, &mut file).expect("writing to memory");
    let json: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    support::firefox::validate(&json);
    let labels: Vec<&str> =
        [0, 1].iter().filter_map(|counter| json["counters"][counter]["display"]["label"].as_str()).collect();
    assert_eq!(labels, ["main memory", "other memory"]);
}

#[test]
fn a_recorder_may_be_dropped_at_any_moment() {
    let guest = Guest::new(false);
    let recorder = guest.recorder(|builder| builder);
    let (mut store, instance) = guest.traced(&recorder);
    let run = function(&mut store, &instance, "run");
    // While a guest runs in another thread, before it, and after it.
    std::thread::scope(|scope| {
        let running = scope.spawn(|| {
            for _ in 0..50 {
                run.call(&mut store, (1000,)).expect("run");
            }
        });
        drop(recorder);
        running.join().expect("no panic");
    });
    run.call(&mut store, (5,)).expect("run");
}

#[test]
fn a_call_that_a_pause_falls_into_is_not_counted() {
    let mut guest = Guest::new(false);
    let recorder = Arc::new(guest.recorder(|builder| builder));
    let pausing = Arc::clone(&recorder);
    guest.linker.allow_shadowing(true);
    let mut out = guest.linker.instance("demo:log/out@1.0.0").expect("an instance");
    out.func_wrap("wait", move |_, (n,): (u32,)| {
        pausing.pause();
        pausing.resume();
        Ok((n,))
    })
    .expect("wait");
    let (mut store, instance) = guest.traced(&recorder);
    function(&mut store, &instance, "run").call(&mut store, (3,)).expect("run");
    let counts = counts(&recorder.finish());
    assert_eq!(counts.get("demo:log/out@1.0.0#put (import)"), Some(&5), "{counts:?}");
    assert!(!counts.keys().any(|name| name.contains("#wait") || name.contains("#run")), "{counts:?}");
}

/// What calls the host from code that was not registered is not taken for the component below it.
#[test]
fn other_code_on_the_same_stack_is_not_counted() {
    let mut guest = Guest::new(false);
    let recorder = guest.recorder(|builder| builder);
    let other = r#"(module (import "" "hit" (func $hit)) (memory (export "memory") 1)
        (func (export "run") (call $hit) (call $hit) (drop (memory.grow (i32.const 1)))))"#;
    let other = wasmtime::Module::new(&guest.engine, other).expect("a module");
    guest.linker.allow_shadowing(true);
    let mut out = guest.linker.instance("demo:log/out@1.0.0").expect("an instance");
    out.func_wrap("put", move |mut store, (_,): (u32,)| {
        let hit = wasmtime::Func::wrap(&mut store, || {});
        let instance = wasmtime::Instance::new(&mut store, &other, &[hit.into()])?;
        instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())
    })
    .expect("put");
    let (mut store, instance) = guest.traced(&recorder);
    let [run, pure] = ["run", "pure"].map(|name| function(&mut store, &instance, name));
    for n in [10, 7] {
        run.call(&mut store, (n,)).expect("run");
        pure.call(&mut store, (n,)).expect("pure");
    }
    let profile = recorder.finish();
    assert_eq!(counts(&profile), expected(&[10, 7]));
    let puts = counts(&profile)["demo:log/out@1.0.0#put (import)"];
    assert_eq!(
        profile.calls().expect("calls").unnamed_entries(),
        puts,
        "of the other module, whose names may not be seen"
    );
}

#[test]
fn memories_that_do_not_grow_are_not_said_to() {
    const PAGE: u64 = 65_536;
    let component = r#"(component $small
      (core module $main
        (memory 1 3)
        (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
      (core instance $i (instantiate $main))
      (func (export "grow") (param "n" s32) (result s32) (canon lift (core func $i "grow"))))"#;
    let engine = support::engine();
    let component = Component::new(&engine, component).expect("a component");
    let map = SymbolMap::builder("small").build(&component).expect("a map");
    let recorder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Epoch);
    let recorder = recorder.code(Arc::new(map), &component).start().expect("a recorder");
    let mut store = Store::new(&engine, Limited { memory: recorder.trace_memory(wasmtime::StoreLimits::default()) });
    store.limiter(|host| &mut host.memory);
    recorder.attach(&mut store);
    let instance = Linker::<Limited>::new(&engine).instantiate(&mut store, &component).expect("an instance");
    let grow = instance.get_typed_func::<(i32,), (i32,)>(&mut store, "grow").expect("grow");
    let mut grow = |pages| grow.call(&mut store, (pages,)).expect("grow").0;
    assert_eq!([grow(-1), grow(1), grow(100)], [-1, 1, -1]);
    recorder.pause();
    assert_eq!(grow(1), 2);
    recorder.resume();
    assert_eq!([grow(1), grow(0)], [-1, 3]);
    let profile = recorder.snapshot();
    let [memory] = profile.memories() else { panic!("{:?}", profile.memories()) };
    assert_eq!((memory.name.as_str(), memory.peak), ("small/main", 3 * PAGE), "{memory:?}");
    assert_eq!(memory.points.last().map(|(_, size)| *size), Some(3 * PAGE));
    assert!(profile.memory_growths().iter().all(|growth| growth.to <= 3 * PAGE), "{:?}", profile.memory_growths());
}
