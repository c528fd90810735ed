//! Profiles a WASI command from inside a host of its own: `cargo run --example embed -- examples/kitchen.wasm 300`.
//!
//! Prints the hottest functions and writes `embed.json`, for <https://profiler.firefox.com>.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use witprof::export::{TableStyle, write_firefox, write_summary};
use witprof::{Recorder, SymbolMap};

/// What the host keeps for each store.
struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("which component?")?;
    let wasm = std::fs::read(path)?;

    // Nothing is needed where samples are taken by signals, as on Linux. For all other systems: epochs, and more frames
    // than Wasmtime keeps by default.
    let mut config = Config::new();
    if !cfg!(target_os = "linux") {
        config.epoch_interruption(true).wasm_backtrace_max_frames(NonZeroUsize::new(256));
    }
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, &wasm)?;

    // Names are read once per component, and may be shared by any number of recorders. The binary is kept for lines of source
    // code, in the debug info that it may have.
    let map = Arc::new(SymbolMap::builder("app").debug_info(wasm).build(&component)?);
    let recorder = Recorder::builder(Duration::from_millis(1)).code(map, &component).start()?;

    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;
    let wasi = WasiCtx::builder().inherit_stdio().args(&arguments).build();
    let mut store = Store::new(&engine, Host { wasi, table: ResourceTable::new() });
    // For samples by epochs; and for samples by signals: while this exists, what the thread does is the guest's.
    recorder.attach(&mut store);
    let active = recorder.enter();
    let command = Command::instantiate(&mut store, &component, &linker)?;
    let result = command.wasi_cli_run().call_run(&mut store)?;
    drop(active);

    let profile = recorder.finish();
    write_summary(&profile, TableStyle::default(), &mut std::io::stderr())?;
    write_firefox(&profile, &mut BufWriter::new(File::create("embed.json")?))?;
    result.map_err(|()| "the command failed".into())
}
