//! The stand-in for Wasmtime's guest profiler: the same interface, the same promises, and call hooks in compositions.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::fmt::Debug;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::Value;
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Caller, Config, Engine, Module, Store, StoreContext, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use witprof::{Dimension, GuestProfiler, Layer, Profile, read_firefox};

const TICK: Duration = Duration::from_millis(1);

/// `spin` loops so many times; `call` calls the host so many times.
const GUEST: &str = r#"(module $guest
  (import "host" "work" (func $work (param i32)))
  (func $spin (export "spin") (param i32)
    (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
  (func $call (export "call") (param $times i32) (param $micros i32)
    (loop $l
      (call $work (local.get $micros))
      (local.set $times (i32.sub (local.get $times) (i32.const 1)))
      (br_if $l (local.get $times)))))"#;

/// Everything that a host does with a profiler, as a host would write it: compiled once against Wasmtime's and once
/// against ours.
macro_rules! host {
    ($module:ident, $profiler:ty) => {
        mod $module {
            use super::*;

            type Profiler = $profiler;

            pub(super) struct State {
                profiler: Option<Profiler>,
            }

            /// As `wasmtime-cli` does it.
            fn with(mut store: StoreContextMut<'_, State>, f: impl FnOnce(&mut Profiler, StoreContext<'_, State>)) {
                let mut profiler = store.data_mut().profiler.take().expect("it is there between calls");
                f(&mut profiler, wasmtime::AsContext::as_context(&store));
                store.data_mut().profiler = Some(profiler);
            }

            pub(super) fn store(engine: &Engine, profiler: Profiler, hooks: bool) -> Store<State> {
                let mut store = Store::new(engine, State { profiler: Some(profiler) });
                store.epoch_deadline_callback(|store| {
                    with(store, |profiler, store| profiler.sample(store, Duration::ZERO));
                    Ok(UpdateDeadline::Continue(1))
                });
                store.set_epoch_deadline(1);
                if hooks {
                    store.call_hook(|store, kind| {
                        with(store, |profiler, store| profiler.call_hook(store, kind));
                        Ok(())
                    });
                }
                store
            }

            pub(super) fn finish(store: Store<State>) -> Vec<u8> {
                let mut file = Vec::new();
                let result: wasmtime::Result<()> = store.into_data().profiler.expect("a profiler").finish(&mut file);
                result.expect("a profile");
                file
            }

            /// Runs `run` of a core module under a profiler of the module.
            pub(super) fn record(
                engine: &Engine,
                module: &Module,
                hooks: bool,
                run: impl FnOnce(&mut Store<State>, wasmtime::Instance),
            ) -> Vec<u8> {
                let modules = vec![("the guest".to_owned(), module.clone())];
                let profiler: wasmtime::Result<Profiler> = Profiler::new(engine, "a run", TICK, modules);
                let mut store = store(engine, profiler.expect("a profiler"), hooks);
                let mut linker = wasmtime::Linker::new(engine);
                let work = |_: Caller<'_, State>, micros: i32| {
                    std::thread::sleep(Duration::from_micros(u64::from(micros.unsigned_abs())));
                };
                linker.func_wrap("host", "work", work).expect("work");
                let instance = linker.instantiate(&mut store, module).expect("an instance");
                run(&mut store, instance);
                finish(store)
            }

            #[test]
            fn has_the_interface() {
                fn shared<T: Debug + Send + Sync + 'static>(_: &T) {}
                let engine = support::engine();
                let module = Module::new(&engine, GUEST).expect("a module");
                let component = Component::new(&engine, "(component)").expect("a component");
                let one = [("one".to_owned(), module.clone())];
                let profiler = Profiler::new(&engine, "array", TICK, one.clone()).expect("a profiler");
                shared(&profiler);
                let none = std::iter::empty();
                let _ = Profiler::new(&engine, "empty", Duration::ZERO, none).expect("a profiler");
                let of_component: wasmtime::Result<Profiler> =
                    Profiler::new_component(&engine, "component", TICK, component, one);
                let mut profiler = of_component.expect("a profiler");
                // All that is a context, outside of any call.
                let mut store = Store::new(&engine, ());
                profiler.sample(&store, TICK);
                profiler.sample(&mut store, TICK);
                profiler.sample(wasmtime::AsContext::as_context(&store), Duration::ZERO);
                profiler.sample(wasmtime::AsContextMut::as_context_mut(&mut store), Duration::ZERO);
                profiler.call_hook(&store, wasmtime::CallHook::CallingWasm);
                profiler.call_hook(&store, wasmtime::CallHook::CallingHost);
                profiler.call_hook(&store, wasmtime::CallHook::ReturningFromHost);
                profiler.call_hook(&store, wasmtime::CallHook::ReturningFromWasm);
                profiler.finish(std::io::sink()).expect("a profile");
            }

            #[test]
            fn its_file_has_the_guest_and_calls_of_the_host() {
                let engine = support::engine();
                let module = Module::new(&engine, GUEST).expect("a module");
                let file = ticking(&engine, || {
                    record(&engine, &module, true, |store, instance| {
                        let spin = instance.get_typed_func::<i32, ()>(&mut *store, "spin").expect("spin");
                        let call = instance.get_typed_func::<(i32, i32), ()>(&mut *store, "call").expect("call");
                        spin.call(&mut *store, 100_000_000).expect("a call");
                        call.call(&mut *store, (3, 30_000)).expect("a call");
                        spin.call(&mut *store, 100_000_000).expect("a call");
                    })
                });
                let profile = read_firefox(&mut &file[..]).expect("a profile");
                assert_eq!(profile.name(), "a run");
                assert!(profile.counts().kept > 5, "{:?}", profile.counts());
                assert!(
                    profile.libraries().iter().any(|library| library.name == "the guest"),
                    "{:?}",
                    profile.libraries()
                );
                let names: Vec<_> = profile.functions().iter().map(|function| function.name.as_str()).collect();
                assert!(names.iter().any(|name| name.contains("spin")), "{names:?}");
                let json: Value = serde_json::from_slice(&file).expect("JSON");
                assert!(count(&json, "hostcall") >= 3);
                assert_eq!(json["meta"]["markerSchema"].as_array().expect("schemas")[0]["name"], "hostcall");
            }
        }
    };
}

host!(theirs, wasmtime::GuestProfiler);
host!(ours, witprof::GuestProfiler);

/// Markers of a name, of the first track, as all tracks of a thread have the same.
fn markers(json: &Value, name: &str) -> Vec<(Option<f64>, Option<f64>, Value)> {
    let mut found = Vec::new();
    for thread in json["threads"].as_array().expect("threads").iter().take(1) {
        // Wasmtime's own has an older version of the format.
        let strings = json["shared"].get("stringArray").unwrap_or(&thread["stringArray"]);
        let markers = &thread["markers"];
        for row in 0..usize::try_from(markers["length"].as_u64().expect("a length")).expect("small") {
            let string = usize::try_from(markers["name"][row].as_u64().expect("a string")).expect("small");
            if strings[string] == name {
                let time = |column: &str| markers[column][row].as_f64();
                found.push((time("startTime"), time("endTime"), markers["data"][row].clone()));
            }
        }
    }
    found
}

/// The same as a number. Wasmtime makes two of one call.
fn count(json: &Value, name: &str) -> usize {
    markers(json, name).iter().filter(|(begin, _, _)| begin.is_some()).count()
}

/// Stops the thread below, whatever happens: a panic would wait for it for ever.
struct Done<'a>(&'a AtomicBool);

impl Drop for Done<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Advances the epoch while `run` runs.
fn ticking<R>(engine: &Engine, run: impl FnOnce() -> R) -> R {
    let is_done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_done.load(Ordering::Relaxed) {
                std::thread::sleep(TICK);
                engine.increment_epoch();
            }
        });
        let done = Done(&is_done);
        let result = run();
        drop(done);
        result
    })
}

/// Reads a file back, and checks what must be true of any.
fn check(file: &[u8]) -> (Profile, Value) {
    let json: Value = serde_json::from_slice(file).expect("JSON");
    support::firefox::validate(&json);
    let profile = read_firefox(&mut &file[..]).expect("a profile");
    let counts = profile.counts();
    assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>(), "{counts:?}");
    // Whatever has happened on which threads.
    assert!(profile.threads().len() <= 1);
    assert!(profile.threads().iter().all(|thread| thread.name == "guest"));
    assert!(profile.wall_time() <= profile.elapsed());
    (profile, json)
}

#[test]
fn time_in_the_host_is_in_markers_and_not_in_samples() {
    let engine = support::engine();
    let module = Module::new(&engine, GUEST).expect("a module");
    let run = |hooks| {
        let file = ticking(&engine, || {
            ours::record(&engine, &module, hooks, |store, instance| {
                let spin = instance.get_typed_func::<i32, ()>(&mut *store, "spin").expect("spin");
                let call = instance.get_typed_func::<(i32, i32), ()>(&mut *store, "call").expect("call");
                spin.call(&mut *store, 50_000_000).expect("a call");
                // Not the guest's time.
                std::thread::sleep(Duration::from_millis(200));
                call.call(&mut *store, (2, 100_000)).expect("a call");
                spin.call(&mut *store, 50_000_000).expect("a call");
            })
        });
        check(&file)
    };
    let (with, json) = run(true);
    let long: Vec<f64> = markers(&json, "hostcall")
        .into_iter()
        .map(|(begin, end, _)| end.expect("an end") - begin.expect("a beginning"))
        .filter(|length| *length >= 99.0)
        .collect();
    assert_eq!(long.len(), 2, "{long:?}");
    let outside = with.elapsed() - with.wall_time();
    assert!(outside >= Duration::from_millis(395), "{outside:?} of {:?}", with.elapsed());
    // Without hooks nobody tells, so it is time of the sample that follows.
    let (without, json) = run(false);
    assert_eq!(count(&json, "hostcall"), 0);
    assert!(without.wall_time() >= Duration::from_millis(395), "{:?}", without.wall_time());
    // Nothing was told about the CPU, so nothing is known of waiting.
    assert_eq!(with.cpu_time(), with.wall_time());
}

#[test]
fn hundreds_of_thousands_of_calls_fit_and_none_is_forgotten() {
    const CALLS: i32 = 200_000;
    let engine = support::engine();
    let module = Module::new(&engine, GUEST.replace("\"host\"", "\"free\"")).expect("a module");
    let modules = [("guest".to_owned(), module.clone())];
    let profiler = GuestProfiler::new(&engine, "calls", TICK, modules).expect("a profiler");
    let mut store = ours::store(&engine, profiler, true);
    let mut linker = wasmtime::Linker::new(&engine);
    linker
        .func_wrap("free", "work", |micros: i32| {
            std::thread::sleep(Duration::from_micros(micros.unsigned_abs().into()))
        })
        .expect("work");
    let instance = linker.instantiate(&mut store, &module).expect("an instance");
    let call = instance.get_typed_func::<(i32, i32), ()>(&mut store, "call").expect("call");
    // `sleep` of nothing returns at once. The epoch does not advance, so there are no calls of its callback.
    call.call(&mut store, (CALLS / 2, 0)).expect("a call");
    call.call(&mut store, (1, 50_000)).expect("a call");
    call.call(&mut store, (CALLS / 2, 0)).expect("a call");
    let file = ours::finish(store);
    let (_, json) = check(&file);
    let shown = markers(&json, "hostcall");
    assert_eq!(shown.len(), 20_000);
    assert!(shown.iter().any(|(begin, end, _)| end.expect("an end") - begin.expect("a beginning") >= 50.0));
    let left_out = markers(&json, "hostcalls left out");
    assert_eq!(left_out.len(), 1);
    assert_eq!(left_out[0].2["calls"].as_f64(), Some(f64::from(CALLS + 1 - 20_000)), "{left_out:?}");
    assert!(file.len() < 4 << 20, "{} bytes", file.len());
}

/// What the host keeps for a WASI command.
struct Wasi {
    wasi: WasiCtx,
    table: ResourceTable,
    profiler: Option<GuestProfiler>,
}

impl WasiView for Wasi {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Runs the bundled composition for so many rounds, with hooks, and returns its profile's file.
fn run_kitchen(component: &Component, linker: &Linker<Wasi>, rounds: u32) -> Vec<u8> {
    fn with(mut store: StoreContextMut<'_, Wasi>, f: impl FnOnce(&mut GuestProfiler, StoreContext<'_, Wasi>)) {
        let mut profiler = store.data_mut().profiler.take().expect("it is there between calls");
        f(&mut profiler, wasmtime::AsContext::as_context(&store));
        store.data_mut().profiler = Some(profiler);
    }
    let engine = component.engine();
    let profiler = GuestProfiler::new_component(engine, "kitchen", TICK, component.clone(), []).expect("a profiler");
    let wasi = WasiCtx::builder().args(&["kitchen", &rounds.to_string()]).build();
    let mut store = Store::new(engine, Wasi { wasi, table: ResourceTable::new(), profiler: Some(profiler) });
    store.epoch_deadline_callback(|store| {
        with(store, |profiler, store| profiler.sample(store, Duration::ZERO));
        Ok(UpdateDeadline::Continue(1))
    });
    store.set_epoch_deadline(1);
    store.call_hook(|store, kind| {
        with(store, |profiler, store| profiler.call_hook(store, kind));
        Ok(())
    });
    let command = Command::instantiate(&mut store, component, linker).expect("an instance");
    command.wasi_cli_run().call_run(&mut store).expect("a run").expect("success");
    let mut file = Vec::new();
    store.into_data().profiler.expect("a profiler").finish(&mut file).expect("a profile");
    file
}

fn kitchen() -> (Component, Linker<Wasi>) {
    let mut config = Config::new();
    config.epoch_interruption(true).wasm_backtrace_max_frames(NonZeroUsize::new(256));
    let engine = Engine::new(&config).expect("an engine");
    let component = support::component(&engine, &support::read(&support::kitchen()));
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("WASI");
    (component, linker)
}

#[test]
fn a_composition_with_call_hooks_has_wit_names() {
    let (component, linker) = kitchen();
    let file = ticking(component.engine(), || run_kitchen(&component, &linker, 400));
    let (profile, json) = check(&file);
    assert!(profile.counts().kept > 20, "{:?}", profile.counts());
    assert!(count(&json, "hostcall") > 100);
    let interfaces: Vec<_> = profile.report(Dimension::Interface).rows.into_iter().map(|row| row.name).collect();
    for interface in ["wasi:cli/run@0.2.0", "demo:math/ops@0.1.0"] {
        assert!(interfaces.iter().any(|name| name.contains(interface)), "{interfaces:?}");
    }
    assert!(profile.libraries().iter().all(|library| library.name != "<unknown>"), "{:?}", profile.libraries());
    assert!(profile.libraries().iter().all(|library| library.layer != Layer::Host));
    // No address of the host: not where code is, in whatever form.
    let text = String::from_utf8(file).expect("JSON");
    let range = component.image_range();
    for address in [range.start.addr(), component.text().as_ptr().addr()] {
        assert!(!text.contains(&address.to_string()) && !text.contains(&format!("{address:x}")));
    }
    assert!(profile.functions().iter().all(|function| (function.offset as usize) < component.text().len()));
}

#[test]
fn hundreds_of_runs_of_a_composition_with_call_hooks_do_not_panic() {
    let (component, linker) = kitchen();
    let mut kept = 0;
    ticking(component.engine(), || {
        for _ in 0..300 {
            let file = run_kitchen(&component, &linker, 3);
            kept += read_firefox(&mut &file[..]).expect("a profile").counts().kept;
        }
    });
    assert!(kept > 50, "{kept}");
}

#[test]
fn only_allowed_modules_appear() {
    let engine = support::engine();
    let spin = |name: &str| {
        format!(
            "(module ${name} (func ${name}-spin (export \"spin\") (param i32)
            (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))"
        )
    };
    let [shown, hidden] = ["shown", "secret"].map(|name| Module::new(&engine, spin(name)).expect("a module"));
    let modules = [("under another name".to_owned(), shown.clone())];
    let profiler = GuestProfiler::new(&engine, "allowed", TICK, modules).expect("a profiler");
    let mut store = ours::store(&engine, profiler, false);
    ticking(&engine, || {
        for module in [&shown, &hidden] {
            let instance = wasmtime::Instance::new(&mut store, module, &[]).expect("an instance");
            let spin = instance.get_typed_func::<i32, ()>(&mut store, "spin").expect("spin");
            spin.call(&mut store, 100_000_000).expect("a call");
        }
    });
    let (profile, json) = check(&ours::finish(store));
    assert!(profile.counts().kept > 0);
    assert!(profile.counts().lost.values().sum::<u64>() > 0, "samples of the hidden module are counted as lost");
    assert!(!json.to_string().contains("secret"));
    let mut names: Vec<_> = profile.libraries().iter().map(|library| library.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["under another name", "under another name (entry)"]);
}

#[test]
fn a_module_of_a_component_may_be_seen_without_the_others() {
    // `secret` calls `shown`, and both share one text section.
    let wat = r#"(component $both
      (core module $shown (func $visible-spin (export "spin") (param i32)
        (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))
      (core module $secret
        (import "shown" "spin" (func $spin (param i32)))
        (func $secret-run (export "run") (param i32)
          (call $spin (local.get 0))
          (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))
      (core instance $s (instantiate $shown))
      (core instance $i (instantiate $secret (with "shown" (instance $s))))
      (func (export "run") (param "n" u32) (canon lift (core func $i "run")))
      (export "shown" (core module $shown)))"#;
    let engine = support::engine();
    let component = support::component(&engine, wat.as_bytes());
    let linker = Linker::new(&engine);
    let mut first = Store::new(&engine, ());
    let instance = linker.instantiate(&mut first, &component).expect("an instance");
    let module = instance.get_module(&mut first, "shown").expect("a module");
    let modules = [("shown".to_owned(), module)];
    let profiler = GuestProfiler::new(&engine, "part", TICK, modules).expect("a profiler");
    let mut store = ours::store(&engine, profiler, false);
    let linker = Linker::new(&engine);
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    let run = instance.get_typed_func::<(u32,), ()>(&mut store, "run").expect("run");
    ticking(&engine, || run.call(&mut store, (100_000_000,)).expect("a call"));
    let (profile, json) = check(&ours::finish(store));
    let names: Vec<_> = profile.functions().iter().map(|function| function.name.as_str()).collect();
    assert_eq!(names, ["visible-spin"]);
    assert!(profile.counts().lost.values().sum::<u64>() > 0);
    assert!(!json.to_string().contains("secret"));
}

#[test]
fn modules_of_another_engine_and_guest_debugging_are_refused() {
    let (one, other) = (support::engine(), support::engine());
    let module = Module::new(&other, GUEST).expect("a module");
    let error = GuestProfiler::new(&one, "one", TICK, [("plugin".to_owned(), module)]).expect_err("another engine");
    assert!(error.to_string().contains("`plugin`"), "{error}");
    assert!(matches!(error.downcast_ref(), Some(witprof::Error::OtherEngine { .. })));
    let engine = Engine::new(Config::new().guest_debug(true)).expect("an engine");
    let error = GuestProfiler::new(&engine, "debugged", TICK, []).expect_err("guest debugging");
    assert!(matches!(error.downcast_ref(), Some(witprof::Error::GuestDebug { .. })));
}

#[test]
fn a_writer_that_fails_is_an_error() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::Error::other("disk full"))
        }
    }
    let engine = support::engine();
    let profiler = GuestProfiler::new(&engine, "idle", Duration::MAX, []).expect("a profiler");
    let error = profiler.finish(Full).expect_err("a full disk");
    let source = error.downcast_ref::<witprof::Error>().and_then(std::error::Error::source);
    assert!(source.is_some_and(|source| source.to_string().contains("disk full")), "{error:?}");
}

#[test]
fn a_profile_without_samples_is_valid() {
    let engine = support::engine();
    for interval in [Duration::ZERO, TICK, Duration::MAX] {
        let mut profiler = GuestProfiler::new(&engine, "idle", interval, []).expect("a profiler");
        profiler.sample(Store::new(&engine, ()), Duration::MAX);
        let mut file = Vec::new();
        profiler.finish(&mut file).expect("a profile");
        let (profile, _) = check(&file);
        assert_eq!((profile.counts().taken, profile.counts().kept), (1, 0));
    }
}
