//! What lines of source code cost on top of a recording: time and memory of making its profile with them and without.
//!
//! `cargo bench --bench lines` records a component of 7 MB that is made of 900 copies of a small Rust component with debug
//! info, of which a hundred run: more core modules than any real one has. `WITPROF_COMPONENT=app.wasm cargo bench --bench lines` records a command of WASI 0.2 as well,
//! with the arguments in `WITPROF_ARGUMENTS`. The two profiles are made in turn, each with a new map, because a map keeps what
//! it has found. What that saves is measured with the first and the second snapshot of a recorder that has the host's frames as
//! well.
#![allow(missing_docs, reason = "a bench")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use wasm_encoder::{ComponentBuilder, ComponentExportKind};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use witprof::{Profile, Recorder, SymbolMap};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

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
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (copies, calls, runs) = if is_bench { (900, 100, 9) } else { (3, 2, 1) };
    let engine = Engine::default();
    let wasm = synthetic(copies, calls);
    let component = Component::new(&engine, &wasm).expect("a component");
    let run = || {
        let mut store = Store::new(&engine, ());
        let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("an instance");
        for call in 0..calls {
            let spin = instance.get_typed_func::<(u32,), (u64,)>(&mut store, &format!("spin{call}"));
            spin.expect("an export").call(&mut store, (1,)).expect("a result");
        }
    };
    measure("synthetic", &wasm, &component, runs, run);
    measure_snapshots(&wasm, &component, runs, run);
    let Some(path) = std::env::var_os("WITPROF_COMPONENT") else { return };
    let wasm = std::fs::read(&path).expect("the component in WITPROF_COMPONENT");
    let component = Component::new(&engine, &wasm).expect("a component");
    let name = Path::new(&path).file_stem().unwrap_or_default().to_string_lossy().into_owned();
    let run = || {
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_sync(&mut linker).expect("a linker");
        let arguments = std::env::var("WITPROF_ARGUMENTS").unwrap_or_default();
        let arguments: Vec<&str> = std::iter::once(&*name).chain(arguments.split_whitespace()).collect();
        let wasi = WasiCtx::builder().args(&arguments).build();
        let mut store = Store::new(&engine, Host { wasi, table: ResourceTable::new() });
        let command = Command::instantiate(&mut store, &component, &linker).expect("an instance");
        command.wasi_cli_run().call_run(&mut store).expect("a run").expect("success");
    };
    measure(&name, &wasm, &component, runs, run);
    measure_snapshots(&wasm, &component, runs, run);
}

/// A component of many, of which the first `exported` are exported as `spin0`, `spin1` and so on.
fn synthetic(copies: u32, exported: u32) -> Vec<u8> {
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guests/hot-rust.wasm");
    let guest = std::fs::read(guest).expect("the guest");
    let mut out = ComponentBuilder::default();
    let mut exports = Vec::new();
    for copy in 0..copies {
        let nested = out.component_raw(None, &guest);
        if copy < exported {
            let instance = out.instantiate(None, nested, Vec::<(&str, ComponentExportKind, u32)>::new());
            exports.push(out.alias_export(instance, "spin", ComponentExportKind::Func));
        }
    }
    for (number, function) in exports.into_iter().enumerate() {
        out.export(format!("spin{number}"), ComponentExportKind::Func, function, None);
    }
    out.finish()
}

fn measure(name: &str, wasm: &[u8], component: &Component, runs: usize, run: impl Fn()) {
    let shared: Arc<[u8]> = wasm.into();
    let mut times = [Vec::new(), Vec::new()];
    let mut peaks = [0, 0];
    let mut lines = 0;
    for _ in 0..runs {
        for has_lines in [false, true] {
            let before = ALLOCATOR.current_usage();
            ALLOCATOR.reset_peak_usage();
            let start = Instant::now();
            let map = SymbolMap::builder(name).debug_info(Arc::clone(&shared));
            let map = if has_lines { map } else { map.without_lines() };
            let map = map.build(component).expect("a map");
            let recorder = Recorder::builder(Duration::from_micros(500)).code(Arc::new(map), component);
            let recorder = recorder.start().expect("a recorder");
            let mapped = start.elapsed();
            let active = recorder.enter();
            run();
            drop(active);
            let start = Instant::now();
            let profile = recorder.finish();
            times[usize::from(has_lines)].push((mapped + start.elapsed()).as_secs_f64());
            let peak = &mut peaks[usize::from(has_lines)];
            *peak = ALLOCATOR.peak_usage().saturating_sub(before).max(*peak);
            if has_lines {
                lines = known_lines(&profile);
            }
        }
    }
    println!("{name}: {:.1} MB, {lines} frames with lines", megabytes(wasm.len()));
    for ((what, mut times), peak) in ["names", "names and lines"].into_iter().zip(times).zip(peaks) {
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() - 1) * share / 4] * 1e3;
        println!("  {what:<16} {:>7.1} ms [{:.1}, {:.1}], {:>6.1} MB at most", at(2), at(1), at(3), megabytes(peak));
    }
}

/// Prints what the first profile of a recorder costs, and the second.
fn measure_snapshots(wasm: &[u8], component: &Component, runs: usize, run: impl Fn()) {
    let shared: Arc<[u8]> = wasm.into();
    let mut times = [Vec::new(), Vec::new()];
    let mut kept = 0;
    for _ in 0..runs {
        let map = SymbolMap::builder("snapshots").debug_info(Arc::clone(&shared)).build(component).expect("a map");
        let recorder = Recorder::builder(Duration::from_micros(500)).show_host_frames();
        let recorder = recorder.code(Arc::new(map), component).start().expect("a recorder");
        let active = recorder.enter();
        run();
        drop(active);
        let before = ALLOCATOR.current_usage();
        for times in &mut times {
            let start = Instant::now();
            let profile = recorder.snapshot();
            times.push(start.elapsed().as_secs_f64());
            drop(profile);
        }
        kept = kept.max(ALLOCATOR.current_usage().saturating_sub(before));
    }
    for (what, mut times) in ["first snapshot", "second snapshot"].into_iter().zip(times) {
        times.sort_by(f64::total_cmp);
        let at = |share: usize| times[(times.len() - 1) * share / 4] * 1e3;
        println!("  {what:<16} {:>7.1} ms [{:.1}, {:.1}]", at(2), at(1), at(3));
    }
    println!("  kept between them {:>6.1} MB", megabytes(kept));
}

fn known_lines(profile: &Profile) -> usize {
    profile.frames().iter().filter(|frame| frame.source.is_some()).count()
}

#[allow(clippy::cast_precision_loss, reason = "sizes")]
fn megabytes(bytes: usize) -> f64 {
    bytes as f64 / 1e6
}
