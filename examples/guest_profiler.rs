//! Moving over from Wasmtime's guest profiler: `cargo run --example guest_profiler -- examples/kitchen.wasm 300`.
//!
//! One line differs from a host that uses Wasmtime's: the import of `GuestProfiler`. With that one, the same program
//! panics on `kitchen.wasm`, a composition, because of the call hook. Writes `guest.json`, for
//! <https://profiler.firefox.com> and `witprof report`.

use std::error::Error;
use std::fs::File;
use std::io::BufWriter;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{AsContext, Config, Engine, Store, StoreContext, StoreContextMut, UpdateDeadline};
use wasmtime_wasi::p2::bindings::sync::Command;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use witprof::GuestProfiler; // was: use wasmtime::GuestProfiler;

/// What the host keeps for each store.
struct Host {
    wasi: WasiCtx,
    table: ResourceTable,
    profiler: Option<GuestProfiler>,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

/// Takes the profiler out of the store, which it needs to look at.
fn with_profiler(mut store: StoreContextMut<'_, Host>, f: impl FnOnce(&mut GuestProfiler, StoreContext<'_, Host>)) {
    if let Some(mut profiler) = store.data_mut().profiler.take() {
        f(&mut profiler, store.as_context());
        store.data_mut().profiler = Some(profiler);
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let path = arguments.first().ok_or("which component?")?;
    let tick = Duration::from_millis(1);

    // More frames than the 20 that Wasmtime keeps for others than its own profiler.
    let mut config = Config::new();
    config.epoch_interruption(true).wasm_backtrace_max_frames(NonZeroUsize::new(256));
    let engine = Engine::new(&config)?;
    let component = Component::new(&engine, std::fs::read(path)?)?;
    let mut linker = Linker::new(&engine);
    wasmtime_wasi::p2::add_to_linker_sync(&mut linker)?;

    let profiler = GuestProfiler::new_component(&engine, path, tick, component.clone(), [])?;
    let wasi = WasiCtx::builder().inherit_stdio().args(&arguments).build();
    let mut store = Store::new(&engine, Host { wasi, table: ResourceTable::new(), profiler: Some(profiler) });
    store.epoch_deadline_callback(|store| {
        with_profiler(store, |profiler, store| profiler.sample(store, Duration::ZERO));
        Ok(UpdateDeadline::Continue(1))
    });
    store.set_epoch_deadline(1);
    store.call_hook(|store, kind| {
        with_profiler(store, |profiler, store| profiler.call_hook(store, kind));
        Ok(())
    });

    let is_done = Arc::new(AtomicBool::new(false));
    let ticker = std::thread::spawn({
        let is_done = Arc::clone(&is_done);
        move || {
            while !is_done.load(Ordering::Relaxed) {
                std::thread::sleep(tick);
                engine.increment_epoch();
            }
        }
    });
    let command = Command::instantiate(&mut store, &component, &linker)?;
    let result = command.wasi_cli_run().call_run(&mut store);
    is_done.store(true, Ordering::Relaxed);
    ticker.join().map_err(|_| "the ticker panicked")?;

    if let Some(profiler) = store.into_data().profiler {
        profiler.finish(BufWriter::new(File::create("guest.json")?))?;
    }
    result?.map_err(|()| "the command failed".into())
}
