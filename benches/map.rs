//! What the symbol map costs: building it, its memory, and looking an offset up.
//!
//! `cargo bench --bench map` measures the bundled component and synthetic ones of 1,000 to 100,000 functions, so that
//! growth is seen. `WITPROF_COMPONENT=app.wasm cargo bench --bench map` measures another one as well, for instance
//! CPython.
#![allow(missing_docs, reason = "criterion's macros make public items")]

use std::fmt::Write as _;
use std::hint::black_box;
use std::path::Path;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use peak_alloc::PeakAlloc;
use wasmtime::component::Component;
use wasmtime::{Config, Engine};
use witprof::{SymbolMap, TextOffset};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// A component with this many small functions that have names.
fn synthetic(functions: usize) -> Vec<u8> {
    let mut wat = String::from("(component $synthetic (core module $code\n");
    for index in 0..functions {
        let _ = writeln!(wat, "(func $a_function_with_a_name_of_usual_length_{index} (result i32) i32.const {index})");
    }
    wat.push_str("(func (export \"f\") (result i32) i32.const 0)) (core instance (instantiate $code)))");
    wat::parse_str(wat).expect("WAT")
}

fn components() -> Vec<(String, Vec<u8>)> {
    let kitchen = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kitchen.wasm");
    let mut components = vec![("kitchen".to_owned(), std::fs::read(kitchen).expect("the bundled component"))];
    if let Some(path) = std::env::var_os("WITPROF_COMPONENT") {
        let name = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
        components.push((name, std::fs::read(&path).expect("the component in WITPROF_COMPONENT")));
    }
    components
        .extend([1_000, 10_000, 100_000].map(|functions| (format!("synthetic-{functions}"), synthetic(functions))));
    components
}

fn build(name: &str, wasm: &[u8], component: &Component) -> SymbolMap {
    SymbolMap::builder(name).source(wasm).build(component).expect("a map")
}

/// Offsets all over the text, in an order that no cache can guess.
fn offsets(map: &SymbolMap) -> Vec<TextOffset> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        TextOffset::new(u32::try_from((state >> 33) % map.text_bytes().max(1)).unwrap_or(0))
    };
    (0..4096).map(|_| next()).collect()
}

fn map(criterion: &mut Criterion) {
    let engine = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
    for (name, wasm) in components() {
        let component = Component::new(&engine, &wasm).expect("a component");
        let before = ALLOCATOR.current_usage();
        ALLOCATOR.reset_peak_usage();
        let map = build(&name, &wasm, &component);
        let mib = |bytes: usize| bytes as f64 / f64::from(1 << 20);
        println!(
            "{name}: {} functions, {} bytes of text; the map holds {:.1} MiB, building it took {:.1} MiB",
            map.functions().len(),
            map.text_bytes(),
            mib(ALLOCATOR.current_usage() - before),
            mib(ALLOCATOR.peak_usage() - before),
        );

        let mut group = criterion.benchmark_group("map");
        group.sample_size(20);
        group.bench_function(BenchmarkId::new("build", &name), |bencher| {
            bencher.iter(|| build(&name, &wasm, &component));
        });
        let offsets = offsets(&map);
        group.bench_function(BenchmarkId::new("4096 lookups", &name), |bencher| {
            bencher.iter(|| {
                for offset in &offsets {
                    black_box(map.lookup(black_box(*offset)));
                }
            });
        });
        group.finish();
    }
}

criterion_group!(benches, map);
criterion_main!(benches);
