//! Recording by epochs: sync and async stores, components and core modules, and what may be seen.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;
use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Instance, Module, Store, TypedFunc};
use witprof::{Dimension, Error, Layer, Profile, Recorder, SamplerChoice, SymbolMap};

const INTERVAL: Duration = Duration::from_millis(1);

/// Calls `slow` and `fast`, which loop `$n` and `$n / 4` times, until enough samples have been taken.
const PHASES: &str = r#"(component $phases
  (core module $main
    (func $spin (param i32)
      (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
    (func $slow (param i32)
      (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
    (func $fast (param i32)
      (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
    (func $run (export "run") (param $n i32)
      (call $slow (local.get $n))
      (call $fast (i32.div_u (local.get $n) (i32.const 4)))))
  (core instance $i (instantiate $main))
  (func (export "run") (param "n" u32) (canon lift (core func $i "run")))
)"#;

fn record(component: &Component, map: SymbolMap, call: impl FnOnce(&Recorder, &Engine)) -> Profile {
    let recorder = Recorder::builder(INTERVAL)
        .sampler(SamplerChoice::Epoch)
        .code(Arc::new(map), component)
        .start()
        .expect("a recorder");
    call(&recorder, component.engine());
    recorder.finish()
}

/// A store that is recorded, and the function `run` of a component in it.
fn attached_component(
    recorder: &Recorder,
    engine: &Engine,
    component: &Component,
) -> (Store<()>, wasmtime::component::TypedFunc<(u32,), ()>) {
    let mut store = Store::new(engine, ());
    recorder.attach(&mut store);
    let instance = Linker::new(engine).instantiate(&mut store, component).expect("an instance");
    let run = instance.get_typed_func(&mut store, "run").expect("run");
    (store, run)
}

/// A store that is recorded, and the function `spin` of a core module in it.
fn attached_module(recorder: &Recorder, engine: &Engine, module: &Module) -> (Store<()>, TypedFunc<i32, ()>) {
    let mut store = Store::new(engine, ());
    recorder.attach(&mut store);
    let instance = Instance::new(&mut store, module, &[]).expect("an instance");
    let spin = instance.get_typed_func(&mut store, "spin").expect("spin");
    (store, spin)
}

fn share(profile: &Profile, name: &str) -> f64 {
    let report = profile.report(Dimension::Function);
    let of = report.rows.iter().find(|row| row.name == name);
    of.map_or(0.0, |row| row.attributed().as_secs_f64() / profile.wall_time().as_secs_f64())
}

/// What must be true of any profile by epochs.
fn check(profile: &Profile) -> Value {
    for thread in profile.threads() {
        assert!(thread.samples.iter().map(|sample| sample.wall).sum::<Duration>() <= profile.elapsed());
    }
    support::check_profile(profile)
}

#[test]
fn time_is_divided_as_it_was_spent() {
    let engine = support::engine();
    let component = support::component(&engine, PHASES.as_bytes());
    let map = SymbolMap::builder("phases").build(&component).expect("a map");
    let profile = record(&component, map, |recorder, engine| {
        let (mut store, run) = attached_component(recorder, engine, &component);
        let start = std::time::Instant::now();
        while start.elapsed() < Duration::from_millis(400) {
            run.call(&mut store, (2_000_000,)).expect("a call");
        }
    });
    check(&profile);
    assert!(profile.counts().kept > 20, "{:?}", profile.counts());
    // Four to one by construction; wide limits, because a busy machine disturbs short recordings.
    let (slow, fast) = (share(&profile, "slow"), share(&profile, "fast"));
    assert!((0.65..0.92).contains(&slow), "slow {slow}, fast {fast}");
    assert!((0.08..0.35).contains(&fast), "slow {slow}, fast {fast}");
    // The stack begins where the host came in.
    let outermost = profile.stacks().iter().find(|stack| stack.caller.is_none()).expect("a stack");
    let function = &profile.functions()[profile.frames()[outermost.frame.index()].function.index()];
    assert_eq!(profile.libraries()[function.library.index()].layer, Layer::Trampoline);
    assert_eq!((function.name.as_str(), function.interface_function.as_deref()), ("run", Some("run")));
}

#[tokio::test(flavor = "current_thread")]
async fn async_stores_that_yield_are_recorded() {
    let engine = support::engine();
    let component = support::component(&engine, PHASES.as_bytes());
    let map = Arc::new(SymbolMap::builder("phases").build(&component).expect("a map"));
    let recorder =
        Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).code(map, &component).start().expect("a recorder");
    let run = async |yielding: bool| {
        let mut store = Store::new(&engine, ());
        if yielding {
            recorder.attach_yielding(&mut store);
        } else {
            recorder.attach(&mut store);
        }
        let instance = Linker::new(&engine).instantiate_async(&mut store, &component).await.expect("an instance");
        let run = instance.get_typed_func::<(u32,), ()>(&mut store, "run").expect("run");
        for _ in 0..40 {
            run.call_async(&mut store, (2_000_000,)).await.expect("a call");
        }
    };
    tokio::join!(run(true), run(true), run(false));
    let profile = recorder.finish();
    check(&profile);
    assert!(profile.counts().kept > 20, "{:?}", profile.counts());
    assert!(share(&profile, "slow") > 0.5);
}

#[tokio::test(flavor = "current_thread")]
async fn concurrent_calls_of_async_exports_are_recorded() {
    let engine = support::engine();
    let component = support::component(&engine, support::ASYNC_COMMAND.as_bytes());
    let map = Arc::new(SymbolMap::builder("command").build(&component).expect("a map"));
    let recorder =
        Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).code(map, &component).start().expect("a recorder");
    let mut store = Store::new(&engine, ());
    recorder.attach(&mut store);
    let instance = Linker::new(&engine).instantiate_async(&mut store, &component).await.expect("an instance");
    let interface = instance.get_export_index(&mut store, None, "wasi:cli/run@0.3.0").expect("the interface");
    let run = instance.get_export_index(&mut store, Some(&interface), "run").expect("run");
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut store, run).expect("its type");
    let called = store.run_concurrent(async |store| run.call_concurrent(store, ()).await).await;
    assert_eq!(called.expect("an event loop").expect("a call"), (Ok(()),));
    let profile = recorder.finish();
    check(&profile);
    assert!(profile.counts().kept > 10, "{:?}", profile.counts());
    assert!(share(&profile, "busy") > 0.9);
    let entry = profile.functions().iter().find(|function| function.kind == witprof::FunctionKind::Entry);
    assert_eq!(entry.and_then(|entry| entry.interface.as_deref()), Some("wasi:cli/run@0.3.0"));
}

#[test]
fn a_composition_shows_the_adapter_and_both_components() {
    // Wasmtime's own guest profiler panics now and then on exactly this: calls between components.
    let wat = r#"(component $composed
      (component $provider
        (core module $provider
          (func $work (export "demo:math/ops#work") (param i32) (result i32)
            (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))) i32.const 1))
        (core instance $i (instantiate $provider))
        (func $work (param "n" u32) (result u32) (canon lift (core func $i "demo:math/ops#work")))
        (instance $ops (export "work" (func $work)))
        (export "demo:math/ops" (instance $ops)))
      (component $app
        (import "demo:math/ops" (instance $ops (export "work" (func (param "n" u32) (result u32)))))
        (core func $work (canon lower (func $ops "work")))
        (core module $main
          (import "demo:math/ops" "work" (func $work (param i32) (result i32)))
          (func $run (export "run") (param $times i32)
            (loop $l
              (drop (call $work (i32.const 300)))
              (local.set $times (i32.sub (local.get $times) (i32.const 1)))
              (br_if $l (local.get $times)))))
        (core instance $m (instantiate $main (with "demo:math/ops" (instance (export "work" (func $work))))))
        (func (export "run") (param "times" u32) (canon lift (core func $m "run"))))
      (instance $p (instantiate $provider))
      (instance $a (instantiate $app (with "demo:math/ops" (instance $p "demo:math/ops"))))
      (export "run" (func $a "run")))"#;
    let engine = support::engine();
    let wasm = wat::parse_str(wat).expect("WAT");
    let component = support::component(&engine, &wasm);
    for round in 0..20 {
        let map = SymbolMap::builder("composed").source(&wasm).build(&component).expect("a map");
        let profile = record(&component, map, |recorder, engine| {
            let (mut store, run) = attached_component(recorder, engine, &component);
            run.call(&mut store, (if round == 0 { 400_000 } else { 20_000 },)).expect("a call");
        });
        check(&profile);
        if round == 0 {
            let libraries: Vec<_> = profile.libraries().iter().map(|library| library.name.as_str()).collect();
            assert!(libraries.contains(&"app/main"), "{libraries:?}");
            assert!(libraries.contains(&"provider/provider"), "{libraries:?}");
            assert!(libraries.contains(&"demo:math/ops (app -> provider)"), "{libraries:?}");
        }
    }
}

const SPIN: &str = "(module $program (func $spin (export \"spin\") (param i32)
    (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))";

#[test]
fn only_registered_code_is_seen() {
    let engine = support::engine();
    let shown = Module::new(&engine, SPIN).expect("a module");
    let hidden = Module::new(&engine, SPIN.replace("$program", "$secret")).expect("a module");
    let map = Arc::new(SymbolMap::builder("shown").build(&shown).expect("a map"));
    let recorder =
        Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).code(map, &shown).start().expect("a recorder");
    for module in [&shown, &hidden] {
        let (mut store, spin) = attached_module(&recorder, &engine, module);
        spin.call(&mut store, 100_000_000).expect("a call");
    }
    let profile = recorder.finish();
    let json = check(&profile);
    assert!(profile.counts().kept > 0);
    assert!(profile.counts().lost.values().sum::<u64>() > 0, "samples of the hidden module are counted as lost");
    assert!(!json.to_string().contains("secret"));
    assert_eq!(profile.libraries().len(), 2, "{:?}", profile.libraries());
}

#[test]
fn deep_recursion_is_kept_up_to_the_limit_of_the_engine() {
    let mut config = support::config();
    config.wasm_backtrace_max_frames(std::num::NonZeroUsize::new(10));
    let engine = Engine::new(&config).expect("an engine");
    let wat = "(module $deep (func $down (export \"down\") (param i32 i32)
        (if (local.get 0)
          (then (call $down (i32.sub (local.get 0) (i32.const 1)) (local.get 1)))
          (else (loop $l (local.set 1 (i32.sub (local.get 1) (i32.const 1))) (br_if $l (local.get 1)))))))";
    let module = Module::new(&engine, wat).expect("a module");
    let map = Arc::new(SymbolMap::builder("deep").build(&module).expect("a map"));
    let recorder =
        Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).code(map, &module).start().expect("a recorder");
    let mut store = Store::new(&engine, ());
    recorder.attach(&mut store);
    let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
    let down = instance.get_typed_func::<(i32, i32), ()>(&mut store, "down").expect("down");
    down.call(&mut store, (200, 200_000_000)).expect("a call");
    let profile = recorder.finish();
    check(&profile);
    assert!(profile.counts().kept > 0);
    assert_eq!(profile.counts().truncated, profile.counts().kept);
    // The host entered at the bottom of the stack, which was not captured, and not at its first captured frame.
    assert!(profile.functions().iter().all(|function| function.kind != witprof::FunctionKind::Entry));
    let down = &profile.report(Dimension::Function).rows[0];
    assert_eq!(down.total, profile.wall_time(), "a recursion is counted once");
}

#[test]
fn many_threads_have_a_track_each() {
    let engine = support::engine();
    let module = Module::new(&engine, SPIN).expect("a module");
    let map = Arc::new(SymbolMap::builder("threads").build(&module).expect("a map"));
    let recorder =
        Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).code(map, &module).start().expect("a recorder");
    std::thread::scope(|scope| {
        for number in 0..3 {
            let (engine, module, recorder) = (&engine, &module, &recorder);
            let work = move || {
                let (mut store, spin) = attached_module(recorder, engine, module);
                spin.call(&mut store, 200_000_000).expect("a call");
            };
            let builder = std::thread::Builder::new().name(format!("worker-{number}"));
            builder.spawn_scoped(scope, work).expect("a thread");
        }
    });
    let profile = recorder.finish();
    check(&profile);
    let mut names: Vec<_> = profile.threads().iter().map(|thread| thread.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["worker-0", "worker-1", "worker-2"]);
}

#[test]
fn finishing_is_final_and_repeatable() {
    let engine = support::engine();
    let module = Module::new(&engine, SPIN).expect("a module");
    let map = Arc::new(SymbolMap::builder("spin").build(&module).expect("a map"));
    let recorder =
        Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).code(map, &module).start().expect("a recorder");
    let (mut store, spin) = attached_module(&recorder, &engine, &module);
    spin.call(&mut store, 50_000_000).expect("a call");
    let first = recorder.finish();
    spin.call(&mut store, 50_000_000).expect("a store outlives the recording");
    engine.increment_epoch();
    spin.call(&mut store, 1000).expect("and its callback does no harm");
    let second = recorder.finish();
    assert_eq!(first.counts(), second.counts());
    assert_eq!(first.elapsed(), second.elapsed());
    drop(recorder);
    engine.increment_epoch();
    spin.call(&mut store, 1000).expect("a store outlives the recorder");
}

#[test]
fn a_recording_without_samples_is_a_valid_profile() {
    let engine = support::engine();
    let module = Module::new(&engine, SPIN).expect("a module");
    let map = Arc::new(SymbolMap::builder("idle").build(&module).expect("a map"));
    let recorder =
        Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).code(map, &module).start().expect("a recorder");
    check(&recorder.finish());
    let nothing = Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).start().expect("a recorder of nothing");
    check(&nothing.finish());
}

#[test]
fn intervals_and_engines_that_cannot_work_are_refused() {
    let engine = support::engine();
    let module = Module::new(&engine, SPIN).expect("a module");
    let map = Arc::new(SymbolMap::builder("spin").build(&module).expect("a map"));
    for interval in [Duration::ZERO, Duration::from_nanos(1), Duration::from_secs(3600)] {
        let error = Recorder::builder(interval)
            .sampler(SamplerChoice::Epoch)
            .code(Arc::clone(&map), &module)
            .start()
            .expect_err("an interval");
        assert!(matches!(error, Error::Interval { .. }), "{error}");
    }
    let engine = Engine::new(&Config::new()).expect("an engine");
    let module = Module::new(&engine, SPIN).expect("a module");
    let map = Arc::new(SymbolMap::builder("spin").build(&module).expect("a map"));
    let error =
        Recorder::builder(INTERVAL).sampler(SamplerChoice::Epoch).code(map, &module).start().expect_err("no epochs");
    assert!(matches!(error, Error::NoEpochs { .. }), "{error}");
    assert!(error.to_string().contains("epoch-interruption"), "{error}");
}

#[test]
fn samples_cost_memory_per_stack_not_per_sample() {
    let engine = support::engine();
    let component = support::component(&engine, PHASES.as_bytes());
    let map = SymbolMap::builder("phases").build(&component).expect("a map");
    let profile = record(&component, map, |recorder, engine| {
        let (mut store, run) = attached_component(recorder, engine, &component);
        for _ in 0..200 {
            run.call(&mut store, (500_000,)).expect("a call");
        }
    });
    // However many samples: one entry trampoline, `run`, and two functions with few places to be sampled at.
    assert!(profile.stacks().len() < 20, "{}", profile.stacks().len());
}
