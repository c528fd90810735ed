//! What it costs a sample to know the functions of a Python or JavaScript program: the median of the handler's time with and without them
//! ([`RecorderBuilder::without_scripts`]), by how many functions are on the stack.
//!
//! `cargo bench --bench scripts`. The two take turns, so that a machine that changes its pace disturbs both alike. Printed are medians
//! of the differences, and the quartiles around them.
//!
//! Needs componentize-py, componentize-js and componentize-qjs; see `tests/set-up`.
#![allow(missing_docs, reason = "a bench")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::path::Path;
use std::time::Duration;

use support::javascript::{self, Engine as JavaScriptEngine};
use support::python;
use wasmtime::component::{Linker, ResourceTable, TypedFunc};
use wasmtime::{Engine, Store};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use witprof::{Recorder, SamplerChoice, SymbolMap};

const PYTHON: &str = include_str!("python/depth.py");
const JAVASCRIPT: &str = include_str!("javascript/depth.js");
const WORLD: &str = "package bench:scripts;\nworld depth { export work: func(depth: u32, n: u32) -> u32; }\n";

/// Pairs of runs for each depth.
const PAIRS: usize = 15;

const DEPTHS: [u32; 4] = [1, 20, 100, 500];

/// A few thousand samples for each run.
const INTERVAL: Duration = Duration::from_micros(100);
const ROUNDS: u32 = 100;
const COUNT: u32 = 30_000;

struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn main() {
    // `cargo test --benches` runs benches to see whether they work.
    let (pairs, rounds) = if std::env::args().any(|argument| argument == "--bench") { (PAIRS, ROUNDS) } else { (1, 5) };
    println!("a sample, in µs: median of {pairs} pairs [quartiles]");
    if python::can_build() {
        measure("Python", &python::component(PYTHON, WORLD, "depth"), (pairs, rounds));
    }
    if javascript::can_build() {
        for (name, engine) in [("StarlingMonkey", JavaScriptEngine::Release), ("QuickJS", JavaScriptEngine::QuickJs)] {
            measure(name, &javascript::component(engine, JAVASCRIPT, WORLD, "depth"), (pairs, rounds));
        }
    }
}

fn measure(language: &str, component: &Path, (pairs, rounds): (usize, u32)) {
    let component = support::component(&Engine::default(), &support::read(component));
    let mut linker: Linker<Host> = Linker::new(component.engine());
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("WASI");
    let host = Host { wasi: WasiCtx::builder().build(), table: ResourceTable::new() };
    let mut store = Store::new(component.engine(), host);
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    let work: TypedFunc<(u32, u32), (u32,)> = instance.get_typed_func(&mut store, "work").expect("the function");
    println!("{language}");
    println!("{:>5}  {:>8}  {:>8}  more", "depth", "without", "with");
    for depth in DEPTHS {
        let mut run = |with_scripts: bool| {
            let builder = Recorder::builder(INTERVAL).sampler(SamplerChoice::Signal);
            let builder = builder.code(SymbolMap::builder("depth"), &component);
            let builder = if with_scripts { builder } else { builder.without_scripts() };
            let recorder = builder.start().expect("a recorder");
            let active = recorder.enter();
            for _ in 0..rounds {
                work.call(&mut store, (depth, COUNT)).expect("a call");
            }
            drop(active);
            let profile = recorder.finish();
            assert_eq!(profile.has_scripts(), with_scripts);
            profile.handler_cost().map_or(0.0, |cost| cost.median().as_secs_f64() * 1e6)
        };
        let measured: Vec<[f64; 2]> = (0..pairs).map(|_| [run(false), run(true)]).collect();
        let quartile = |value: &dyn Fn(&[f64; 2]) -> f64, share: usize| {
            let mut values: Vec<f64> = measured.iter().map(value).collect();
            values.sort_by(f64::total_cmp);
            values[(values.len() - 1) * share / 4]
        };
        let more = |[without, with]: &[f64; 2]| with - without;
        println!(
            "{depth:>5}  {:>8.2}  {:>8.2}  {:+.2} [{:+.2}, {:+.2}]",
            quartile(&|pair| pair[0], 2),
            quartile(&|pair| pair[1], 2),
            quartile(&more, 2),
            quartile(&more, 1),
            quartile(&more, 3),
        );
    }
}
