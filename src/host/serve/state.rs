//! What the host keeps for each store.

use wasmtime::component::ResourceTable;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_config::WasiConfigVariables;
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpHooks, WasiHttpView};
use wasmtime_wasi_keyvalue::WasiKeyValueCtx;
use witprof::MemoryTracer;

/// What the host keeps for each store: as in `wasmtime serve`.
pub(super) struct Host {
    pub(super) table: ResourceTable,
    pub(super) wasi: WasiCtx,
    pub(super) http: WasiHttpCtx,
    /// Wasmtime's own, whose type has no public name.
    pub(super) hooks: Box<dyn WasiHttpHooks>,
    pub(super) limits: MemoryTracer,
    /// With `-S config`.
    pub(super) config: WasiConfigVariables,
    /// With `-S keyvalue`.
    pub(super) key_values: WasiKeyValueCtx,
}

impl WasiView for Host {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl WasiHttpView for Host {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { ctx: &mut self.http, table: &mut self.table, hooks: &mut *self.hooks }
    }
}
