//! What tracing costs for each call of an import: beside a store without a hook, one with a hook that does nothing, and
//! one with the call hook of Wasmtime's own guest profiler. In turns, so that a noisy machine is noisy for all. And the same
//! for a call between two components whose adapter moves a resource: Wasmtime asks the hook several times for each, and
//! none of it is a call of the host.
//!
//! `cargo bench --bench calls`
#![allow(missing_docs, reason = "a bench")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};
use witprof::{Recorder, SamplerChoice, SymbolMap};

const GUEST: &str = include_str!("../tests/guests/calls.wat");
const COUNTERS: &str = include_str!("../tests/guests/counters.wat");

/// Calls of imports in one turn.
const CALLS: u32 = 200_000;

/// Turns of each.
const TURNS: usize = 25;

const KINDS: [&str; 5] = ["no hook", "empty hook", "Wasmtime's GuestProfiler", "witprof", "witprof with CPU time"];

/// What is called: the guest, the interface of the function if there is one, the function, and what a call in it is.
const GUESTS: [(&str, Option<&str>, &str, &str); 2] = [
    (GUEST, Some("demo:log/app@0.1.0"), "even", "a call of an import"),
    (COUNTERS, None, "run", "a resource lent to a component"),
];

struct Host {
    profiler: Option<wasmtime::GuestProfiler>,
}

struct Bench {
    engine: Engine,
    component: Component,
    linker: Linker<Host>,
    recorders: [Recorder; 2],
    guest: usize,
}

impl Bench {
    fn new(guest: usize) -> Self {
        let engine = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
        let component = Component::new(&engine, GUESTS[guest].0).expect("a component");
        let mut linker = Linker::new(&engine);
        let mut out = linker.instance("demo:log/out@1.0.0").expect("an instance");
        out.func_wrap("put", |_, (_,): (u32,)| Ok(())).expect("put");
        out.func_wrap("wait", |_, (n,): (u32,)| Ok((n,))).expect("wait");
        let map = Arc::new(SymbolMap::builder("caller").build(&component).expect("a map"));
        let recorder = |with_cpu: bool| {
            let builder = Recorder::builder(Duration::from_mins(1)).sampler(SamplerChoice::Epoch);
            let builder = if with_cpu { builder.trace_call_cpu_time() } else { builder };
            builder.code(Arc::clone(&map), &component).start().expect("a recorder")
        };
        let recorders = [recorder(false), recorder(true)];
        Self { engine, component, linker, recorders, guest }
    }

    /// Nanoseconds for each call.
    fn turn(&self, kind: usize) -> f64 {
        let mut store = Store::new(&self.engine, Host { profiler: None });
        store.set_epoch_deadline(u64::MAX / 2);
        match kind {
            1 => store.call_hook(|_, _| Ok(())),
            2 => {
                let (component, interval) = (self.component.clone(), Duration::from_secs(60));
                let profiler = wasmtime::GuestProfiler::new_component(&self.engine, "caller", interval, component, []);
                store.data_mut().profiler = Some(profiler.expect("a profiler"));
                store.call_hook(|mut store, kind| {
                    if let Some(mut profiler) = store.data_mut().profiler.take() {
                        profiler.call_hook(&store, kind);
                        store.data_mut().profiler = Some(profiler);
                    }
                    Ok(())
                });
            }
            3 | 4 => self.recorders[kind - 3].trace_calls(&mut store).expect("tracing"),
            _ => {}
        }
        let instance = self.linker.instantiate(&mut store, &self.component).expect("an instance");
        let (_, interface, function, _) = GUESTS[self.guest];
        let interface = interface.map(|name| instance.get_export_index(&mut store, None, name).expect("the interface"));
        let index = instance.get_export_index(&mut store, interface.as_ref(), function).expect("the function");
        let run = instance.get_typed_func::<(u32,), (u32,)>(&mut store, index).expect("its type");
        run.call(&mut store, (1000,)).expect("run");
        let start = Instant::now();
        run.call(&mut store, (CALLS,)).expect("run");
        start.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
    }
}

fn main() {
    (0..GUESTS.len()).for_each(measure);
}

fn measure(guest: usize) {
    let bench = Bench::new(guest);
    let mut turns: Vec<[f64; KINDS.len()]> = Vec::new();
    for _ in 0..TURNS {
        turns.push(std::array::from_fn(|kind| bench.turn(kind)));
    }
    println!("{:30} {:>9} {:>22} {:>18}", GUESTS[guest].3, "median", "quartiles", "more than no hook");
    for (kind, name) in KINDS.iter().enumerate() {
        let sorted = |value: &dyn Fn(&[f64; KINDS.len()]) -> f64| {
            let mut values: Vec<f64> = turns.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values
        };
        let times = sorted(&|turn| turn[kind]);
        let more = sorted(&|turn| turn[kind] - turn[0]);
        let part = sorted(&|turn| (turn[kind] / turn[0] - 1.0) * 100.0);
        let quartiles = format!("{:.0} to {:.0} ns", times[TURNS / 4], times[TURNS * 3 / 4]);
        let (median, more, part) = (times[TURNS / 2], more[TURNS / 2], part[TURNS / 2]);
        println!("{name:30} {median:>6.0} ns {quartiles:>22} {more:>9.0} ns {part:>4.0} %");
    }
    for recorder in &bench.recorders {
        let counted = recorder.finish().calls().map(witprof::CallTrace::count);
        assert!(counted.is_some_and(|count| count > u64::from(CALLS)), "the calls were counted");
    }
}
