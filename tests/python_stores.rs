//! Many stores with the same Python component, whose memories are all alike: which functions run in which.
//! In a process of its own, because signals belong to the process.
//!
//! Needs componentize-py; see `tests/set-up`.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::LazyLock;
use std::time::Duration;

use support::guests::stacks;
use support::python;
use wasmtime::component::{Component, Instance, Linker, ResourceTable, TypedFunc};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, StoreContextMut, StoreLimits};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use witprof::{MemoryTracer, Profile, Recorder, SamplerChoice, SymbolMap};

const APP: &str = include_str!("python_stores/app.py");
const WORLD: &str = include_str!("python_stores/world.wit");
const INTERVAL: Duration = Duration::from_micros(200);

/// How often a loop goes around that takes a few milliseconds.
const MANY: u32 = 60_000;

/// The component, in an engine that uses the memory of one instance again for the next.
fn component() -> &'static Component {
    static COMPONENT: LazyLock<Component> = LazyLock::new(|| {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(4)
            .total_core_instances(80)
            .max_core_instances_per_component(40)
            .max_tables_per_component(80)
            .total_memories(4)
            .total_tables(320)
            .table_elements(40_000)
            .max_core_instance_size(4 << 20)
            .max_component_instance_size(4 << 20)
            .max_unused_warm_slots(4);
        let mut config = support::config();
        config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
        let engine = Engine::new(&config).expect("a configuration that Wasmtime supports here");
        let component = python::component(APP, WORLD, "stores");
        support::component(&engine, &support::read(&component))
    });
    &COMPONENT
}

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    /// What `go-on` calls, and with which function.
    next: Option<(Box<Python>, &'static str)>,
    memories: Option<MemoryTracer>,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn host() -> Host {
    Host { wasi: WasiCtx::builder().build(), table: ResourceTable::new(), next: None, memories: None }
}

/// A Python in a store of its own.
struct Python {
    store: Store<Host>,
    instance: Instance,
}

impl Python {
    fn new() -> Self {
        Self::with(|_| {})
    }

    fn with(prepare: impl FnOnce(&mut Store<Host>)) -> Self {
        let component = component();
        let mut linker: Linker<Host> = Linker::new(component.engine());
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("WASI");
        let go_on = |mut store: StoreContextMut<'_, Host>, (n,): (u32,)| {
            let Some((python, function)) = &mut store.data_mut().next else { return Ok((n,)) };
            Ok((python.call(function, n),))
        };
        linker.root().func_wrap("go-on", go_on).expect("go-on");
        let mut store = Store::new(component.engine(), host());
        store.set_epoch_deadline(u64::MAX / 2);
        prepare(&mut store);
        let instance = linker.instantiate(&mut store, component).expect("an instance");
        Self { store, instance }
    }

    fn call(&mut self, function: &str, n: u32) -> u32 {
        let work = self.instance.get_export_index(&mut self.store, None, "test:stores/work").expect("the interface");
        let index = self.instance.get_export_index(&mut self.store, Some(&work), function).expect("the function");
        let function: TypedFunc<(u32,), (u32,)> =
            self.instance.get_typed_func(&mut self.store, index).expect("a function");
        function.call(&mut self.store, (n,)).expect("a call").0
    }
}

fn recorder(sampler: SamplerChoice) -> Recorder {
    let recorder = Recorder::builder(INTERVAL).sampler(sampler);
    recorder.code(SymbolMap::builder("stores"), component()).start().expect("a recorder")
}

/// The functions of the program that are on each stack, outermost first, and how often.
fn functions(profile: &Profile) -> BTreeMap<Vec<String>, usize> {
    let names = [
        "left_loop",
        "right_loop",
        "passes_on",
        "keep",
        "generated",
        "made_one",
        "made_two",
        "Work.left",
        "Work.right",
        "Work.through",
        "Work.grow",
        "Work.made_one",
        "Work.made_two",
    ];
    let mut found = BTreeMap::new();
    for (stack, _) in stacks(profile) {
        let of_program: Vec<String> = stack.into_iter().filter(|name| names.contains(&name.as_str())).collect();
        *found.entry(of_program).or_default() += 1;
    }
    found
}

/// Stacks that are as they have to be, and others. Of those that have functions of the program, a few may lack outer ones: CPython
/// was stopped in the middle of a change.
fn check(found: &BTreeMap<Vec<String>, usize>, expected: &[&[&str]], at_least: usize) {
    let mut all = 0;
    let mut cut = 0;
    for (stack, count) in found.iter().filter(|(stack, _)| !stack.is_empty()) {
        all += count;
        let is_expected = expected.iter().any(|expected| {
            // Any beginning: a function is on the stack before it calls the next.
            stack.len() <= expected.len() && stack.iter().zip(*expected).all(|(a, b)| a == b)
        });
        let is_cut = expected.iter().any(|expected| stack.iter().all(|name| expected.contains(&name.as_str())));
        assert!(is_expected || is_cut, "{stack:?} in {found:#?}");
        cut += if is_expected { 0 } else { *count };
    }
    for expected in expected {
        let whole: usize = found.iter().filter(|(stack, _)| stack == expected).map(|(_, count)| count).sum();
        assert!(whole >= at_least, "{whole} of {expected:?} in {found:#?}");
    }
    assert!(cut * 25 <= all, "{cut} of {all} are cut: {found:#?}");
}

/// What runs under a label is what it says.
fn check_labeled(profile: &Profile, (key, value): (&str, &str), expected: &[&str]) {
    let labeled = profile.filter(&witprof::Filter::default().label(key, value));
    check(&functions(&labeled), &[expected], 50);
}

fn check_stores(profile: &Profile) {
    check_labeled(profile, ("store", "left"), LEFT);
    check_labeled(profile, ("store", "right"), RIGHT);
}

const LEFT: &[&str] = &["Work.left", "left_loop"];
const RIGHT: &[&str] = &["Work.right", "right_loop"];
const NESTED: &[&str] = &["Work.through", "passes_on", "Work.right", "right_loop"];

#[test]
fn a_python_inside_of_another_one_has_functions_of_its_own() {
    if !python::can_build() {
        return;
    }
    let (mut outer, inner) = (Python::new(), Python::new());
    outer.store.data_mut().next = Some((Box::new(inner), "right"));
    let recorder = recorder(SamplerChoice::Signal);
    let active = recorder.enter();
    for _ in 0..40 {
        outer.call("through", MANY);
        outer.call("left", MANY);
    }
    drop(active);
    let profile = recorder.finish();
    support::check_profile(&profile);
    check(&functions(&profile), &[NESTED, LEFT], 50);
    // What is between the two is in its place.
    let between = ["Work.through", "passes_on", "go-on", "Work.right"];
    let is_in_order = |stack: &[String]| {
        let mut names = stack.iter();
        between.iter().all(|wanted| names.any(|name| name == wanted))
    };
    let with_both = stacks(&profile).into_iter().filter(|(stack, _)| stack.iter().any(|name| name == "right_loop"));
    let (right, wrong): (Vec<_>, Vec<_>) = with_both.partition(|(stack, _)| is_in_order(stack));
    assert!(wrong.len() * 25 <= right.len(), "{} and {}", right.len(), wrong.len());
}

#[test]
fn stores_that_take_turns_on_a_thread_are_not_mixed_up() {
    if !python::can_build() {
        return;
    }
    let (mut left, mut right) = (Python::new(), Python::new());
    let recorder = recorder(SamplerChoice::Signal);
    for _ in 0..40 {
        for (python, name) in [(&mut left, "left"), (&mut right, "right")] {
            let labels = recorder.labels([("store", name)]);
            let active = recorder.enter_labeled(&labels);
            python.call(name, MANY);
            drop(active);
        }
    }
    let profile = recorder.finish();
    support::check_profile(&profile);
    check_stores(&profile);
}

#[test]
fn stores_that_come_and_go_in_the_same_memory_are_not_mixed_up() {
    if !python::can_build() {
        return;
    }
    let recorder = recorder(SamplerChoice::Signal);
    for number in 0..40 {
        let name = if number % 2 == 0 { "left" } else { "right" };
        let labels = recorder.labels([("store", name)]);
        let active = recorder.enter_labeled(&labels);
        Python::new().call(name, MANY);
        drop(active);
    }
    let profile = recorder.finish();
    support::check_profile(&profile);
    check_stores(&profile);
    // One function is one, in however many stores.
    let loops = profile.functions().iter().filter(|function| function.name == "left_loop").count();
    assert_eq!(loops, 1);
}

/// Functions that are made while the program runs, with the same length in the same place, one after the other.
const MADE: [(&str, &[&str]); 2] = [
    ("made-one", &["Work.made_one", "generated", "made_one"]),
    ("made-two", &["Work.made_two", "generated", "made_two"]),
];

#[test]
fn a_function_in_the_place_of_another_one_does_not_get_its_name() {
    if !python::can_build() {
        return;
    }
    let recorder = recorder(SamplerChoice::Signal);
    // One activation, so that nobody tells the sampler that there is another store.
    let _active = recorder.enter();
    // In one store, and in stores that take turns in the same memory.
    let mut python = Some(Python::new());
    for number in 0..60 {
        let (function, _) = MADE[number % 2];
        if number >= 30 {
            // First this one goes, then the next one comes.
            python = None;
        }
        let labels = recorder.labels([("made", function)]);
        let labeled = recorder.enter_labeled(&labels);
        python.get_or_insert_with(Python::new).call(function, MANY);
        drop(labeled);
    }
    let profile = recorder.finish();
    support::check_profile(&profile);
    for (function, expected) in MADE {
        check_labeled(&profile, ("made", function), expected);
    }
}

/// Two async stores on one thread, each of which is suspended inside of Python while the other one runs.
#[test]
fn async_stores_that_wait_inside_of_python_are_not_mixed_up() {
    if !python::can_build() {
        return;
    }
    let component = component();
    let mut linker: Linker<Host> = Linker::new(component.engine());
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).expect("WASI");
    linker
        .root()
        .func_wrap_async("go-on", |_: StoreContextMut<'_, Host>, (n,): (u32,)| {
            Box::new(async move {
                tokio::task::yield_now().await;
                Ok((n,))
            })
        })
        .expect("go-on");
    let recorder = recorder(SamplerChoice::Signal);
    let run = async |name: &'static str| {
        let mut store = Store::new(component.engine(), host());
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = linker.instantiate_async(&mut store, component).await.expect("an instance");
        let work = instance.get_export_index(&mut store, None, "test:stores/work").expect("the interface");
        let mut function = |name| {
            let index = instance.get_export_index(&mut store, Some(&work), name).expect("the function");
            instance.get_typed_func::<(u32,), (u32,)>(&mut store, index).expect("a function")
        };
        let (through, work) = (function("through"), function(name));
        for _ in 0..40 {
            // The other one runs until this one goes on.
            through.call_async(&mut store, (1,)).await.expect("a call");
            work.call_async(&mut store, (MANY,)).await.expect("a call");
        }
    };
    let labeled = |name| recorder.instrument(run(name)).labeled(&recorder.labels([("store", name)]));
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    runtime.block_on(async { tokio::join!(labeled("left"), labeled("right")) });
    let profile = recorder.finish();
    support::check_profile(&profile);
    for (name, expected) in [("left", LEFT), ("right", RIGHT)] {
        let of_store = profile.filter(&witprof::Filter::default().label("store", name));
        let found = functions(&of_store);
        check(&found, &[expected, &["Work.through", "passes_on"]], 0);
        let loops: usize = found.iter().filter(|(stack, _)| *stack == expected).map(|(_, count)| count).sum();
        assert!(loops >= 50, "{found:#?}");
    }
}

#[test]
fn epochs_find_the_same_functions() {
    if !python::can_build() {
        return;
    }
    let recorder = recorder(SamplerChoice::Epoch);
    let attached = || Python::with(|store| recorder.attach(store));
    let (mut outer, inner) = (attached(), attached());
    outer.store.data_mut().next = Some((Box::new(inner), "right"));
    for _ in 0..40 {
        outer.call("through", MANY);
        outer.call("left", MANY);
    }
    let profile = recorder.finish();
    support::check_profile(&profile);
    // A backtrace of Wasmtime's is of one store; and where the other one was called is charged with what came before the next check.
    check(&functions(&profile), &[RIGHT, LEFT, &["Work.through", "passes_on"]], 20);
}

#[test]
fn calls_and_growths_know_who_caused_them() {
    if !python::can_build() {
        return;
    }
    let recorder = recorder(SamplerChoice::Signal);
    let memories = recorder.trace_memory(StoreLimits::default());
    let mut python = Python::with(|store| {
        store.data_mut().memories = Some(memories);
        store.limiter(|host| host.memories.as_mut().expect("it was put there just now"));
        recorder.trace_calls(store).expect("calls are traced");
    });
    let active = recorder.enter();
    python.call("through", 3);
    python.call("grow", 40);
    drop(active);
    let profile = recorder.finish();
    support::check_profile(&profile);
    let names = |mut at: Option<witprof::StackIndex>| {
        let mut names = Vec::new();
        while let Some(stack) = at {
            let stack = profile.stacks()[stack.index()];
            names.push(profile.functions()[profile.frames()[stack.frame.index()].function.index()].name.as_str());
            at = stack.caller;
        }
        names
    };
    let trace = profile.calls().expect("calls");
    let of = |function: &'static str| {
        trace.kept().iter().filter(move |call| trace.functions()[call.function.index()].crossing.function == function)
    };
    let callers: Vec<Vec<&str>> = of("go-on").map(|call| names(call.stack)).collect();
    let [callers] = &callers[..] else { panic!("{callers:?}") };
    let python: Vec<&&str> = callers.iter().filter(|name| ["passes_on", "Work.through"].contains(name)).collect();
    assert_eq!(python, [&"passes_on", &"Work.through"], "{callers:?}");
    // The host calls an export.
    assert!(of("through").all(|call| call.stack.is_none()));
    let growths = profile.memory_growths().iter().map(|growth| names(growth.stack));
    let by_keep = growths.filter(|stack| {
        let keep = stack.iter().position(|name| name.starts_with("keep"));
        keep.is_some_and(|keep| stack[keep..].contains(&"Work.grow"))
    });
    assert!(by_keep.count() >= 10, "{:?}", profile.memory_growths());
}
