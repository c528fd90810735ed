//! Profiles WASI commands in an async host, several at a time and each with a label:
//! `cargo run --example async_host -- examples/kitchen.wasm 300`.
//!
//! Prints time by label and every call across an interface, and writes `async_host.json`, for
//! <https://profiler.firefox.com>.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::sync::Arc;
use std::time::Duration;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store, StoreLimits};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use witprof::export::{TableStyle, write_call_table, write_firefox, write_report_table};
use witprof::{MemoryTracer, Recorder, SymbolMap};

/// What the host keeps for each store.
struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    memory: MemoryTracer,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// A host of many guests.
struct Guests {
    engine: Engine,
    component: Component,
    linker: Linker<Host>,
    recorder: Recorder,
    arguments: Vec<String>,
}

impl Guests {
    async fn run(self: Arc<Self>) -> wasmtime::Result<()> {
        let wasi = WasiCtx::builder().inherit_stderr().args(&self.arguments).build();
        let memory = self.recorder.trace_memory(StoreLimits::default());
        let mut store = Store::new(&self.engine, Host { wasi, table: ResourceTable::new(), memory });
        store.limiter(|host| &mut host.memory);
        self.recorder.trace_calls(&mut store)?;
        let command = Command::instantiate_async(&mut store, &self.component, &self.linker).await?;
        let result = command.wasi_cli_run().call_run(&mut store).await?;
        result.map_err(|()| wasmtime::format_err!("the command failed"))
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let wasm = std::fs::read(arguments.first().ok_or("which component?")?)?;
    let engine = Engine::default();
    let component = Component::new(&engine, &wasm)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    let map = Arc::new(SymbolMap::builder("app").debug_info(wasm).build(&component)?);
    let recorder = Recorder::builder(Duration::from_millis(1)).code(map, &component).start()?;

    let guests = Arc::new(Guests { engine, component, linker, recorder, arguments });
    let tasks = ["red", "green", "blue", "white"].map(|tenant| {
        let labels = guests.recorder.labels([("tenant", tenant)]);
        // Whichever threads it runs on, and whatever it waits for.
        let run = guests.recorder.instrument(Arc::clone(&guests).run()).labeled(&labels);
        tokio::spawn(run)
    });
    for task in tasks {
        task.await??;
    }

    let profile = guests.recorder.finish();
    let mut out = std::io::stdout();
    write_report_table(&profile.report_by_label("tenant"), TableStyle::default(), &mut out)?;
    if let Some(calls) = profile.calls() {
        write_call_table(calls, TableStyle::default(), &mut out)?;
    }
    write_firefox(&profile, &mut BufWriter::new(File::create("async_host.json")?))?;
    Ok(())
}
