//! The component that is served, and how stores for it are made.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, bail};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Config, Engine, Memory, MemoryType, Store};
use wasmtime_cli::commands::RunCommand;
use wasmtime_wasi::WasiCtxBuilder;
use wasmtime_wasi_config::{WasiConfig, WasiConfigVariables};
use wasmtime_wasi_http::handler::ProxyPre;
use wasmtime_wasi_http::{p2, p3};
use wasmtime_wasi_keyvalue::{WasiKeyValue, WasiKeyValueCtxBuilder};
use witprof::{Recorder, SamplerKind};

use super::logs::{LogStream, Output};
use super::state::Host;
use crate::host::recording::CallTracing;
use crate::host::{Begin, NEVER, WasmFile, WasmKind, checks, failed, providers};

/// The component that is served, ready to be instantiated.
pub(super) struct Guest {
    /// Has the options that are common to `wasmtime run` and `wasmtime serve`.
    pub(super) command: RunCommand,
    pub(super) engine: Engine,
    pub(super) pre: ProxyPre<Host>,
    pub(super) recorder: Arc<Recorder>,
    pub(super) calls: CallTracing,
    pub(super) begin: Begin,
    pub(super) has_log_prefix: bool,
}

impl Guest {
    /// How long a request may take.
    pub(super) fn timeout(&self) -> Option<Duration> {
        self.command.run.common.wasm.timeout
    }

    /// Whether several requests may be in an instance at a time.
    pub(super) fn is_concurrent(&self) -> bool {
        matches!(self.pre, ProxyPre::P3(_))
    }

    /// A store for the instance with this number, recorded.
    pub(super) fn new_store(&self, number: u64) -> wasmtime::Result<Store<Host>> {
        let common = &self.command.run.common;
        let mut store = Store::new(&self.engine, self.new_host(number)?);
        if let Some(fuel) = common.wasi.hostcall_fuel {
            store.set_hostcall_fuel(fuel);
        }
        if let Some(max) = common.wasi.max_component_handles {
            store.set_max_component_handles(max);
        }
        store.limiter(|host| &mut host.limits);
        if let Some(fuel) = common.wasm.fuel {
            store.set_fuel(fuel)?;
        }
        self.attach(&mut store)?;
        Ok(store)
    }

    fn new_host(&self, number: u64) -> wasmtime::Result<Host> {
        let run = &self.command.run;
        let options = &run.common.wasi;
        let mut wasi = WasiCtxBuilder::new();
        run.configure_wasip2(&mut wasi)?;
        wasi.env("INSTANCE_ID", number.to_string());
        let prefix = |stream: &str| {
            if self.has_log_prefix { format!("{stream} [{number}] :: ") } else { String::new() }
        };
        wasi.stdout(LogStream::new(prefix("stdout"), Output::Stdout));
        wasi.stderr(LogStream::new(prefix("stderr"), Output::Stderr));
        let mut table = ResourceTable::new();
        if let Some(max) = options.max_resources {
            table.set_max_capacity(max);
        }
        let variables = options.config_var.iter().map(|variable| (variable.key.clone(), variable.value.clone()));
        let pairs = options.keyvalue_in_memory_data.iter().map(|pair| (pair.key.clone(), pair.value.clone()));
        Ok(Host {
            table,
            wasi: wasi.build(),
            http: run.wasi_http_ctx()?,
            hooks: Box::new(run.wasi_http_hooks()),
            limits: self.recorder.trace_memory(run.store_limits()),
            config: WasiConfigVariables::from_iter(variables),
            key_values: WasiKeyValueCtxBuilder::new().in_memory_data(pairs).build(),
        })
    }

    /// Records the store, and sees to it that a guest with a time limit gives its thread back often enough for somebody
    /// to look at the clock.
    fn attach(&self, store: &mut Store<Host>) -> wasmtime::Result<()> {
        let is_by_signals = self.recorder.sampler() == SamplerKind::Signal;
        if is_by_signals && self.timeout().is_some() {
            store.epoch_deadline_async_yield_and_update(1);
            store.set_epoch_deadline(1);
        } else if is_by_signals {
            // Epochs may be compiled in all the same.
            store.set_epoch_deadline(NEVER);
        } else {
            self.recorder.attach_yielding(store);
        }
        if self.calls == CallTracing::Off {
            self.begin.watch(&self.recorder, store)?;
        } else {
            self.recorder.trace_calls(store)?;
        }
        Ok(())
    }
}

/// The configuration of `wasmtime serve`: with the pooling allocator, if there is room for it.
pub(super) fn configure(command: &mut RunCommand) -> wasmtime::Result<Config> {
    let mut config = command.run.common.config(has_room_for_pools().then_some(true))?;
    config.wasm_component_model(true);
    Ok(config)
}

/// Whether the address space has room for the pooling allocator, which is 1000 memories of 6 GiB: reserves as much.
fn has_room_for_pools() -> bool {
    const BITS: u32 = 42;
    const PAGE_BITS: u32 = 16;
    let mut config = Config::new();
    config.wasm_memory64(true);
    config.memory_reservation(1 << BITS);
    Engine::new(&config).is_ok_and(|engine| {
        let memory = MemoryType::new64(0, Some(1 << (BITS - PAGE_BITS)));
        Memory::new(&mut Store::new(&engine, ()), memory).is_ok()
    })
}

/// Gives the component what it imports, and finds its handler.
pub(super) fn link(command: &mut RunCommand, component: &Component, file: &WasmFile) -> Result<ProxyPre<Host>> {
    let engine = component.engine();
    checks::has_http_handler(component, engine)?;
    let mut linker = Linker::new(engine);
    add_imports(command, &mut linker).map_err(failed)?;
    let instance = match linker.instantiate_pre(component) {
        Ok(instance) => instance,
        Err(error) => {
            let missing = checks::missing_component_imports(&linker, component, engine);
            if missing.is_empty() {
                return Err(failed(error));
            }
            let found = providers::find(command, &missing, |command| {
                let mut linker = Linker::new(engine);
                add_imports(command, &mut linker).ok()?;
                Some(checks::missing_component_imports(&linker, component, engine))
            });
            return Err(providers::advice(file, &found));
        }
    };
    match p3::bindings::ServicePre::new(instance.clone()) {
        Ok(service) => Ok(ProxyPre::P3(service)),
        Err(_) => Ok(ProxyPre::P2(p2::bindings::ProxyPre::new(instance).map_err(failed)?)),
    }
}

/// As `wasmtime serve` does: what the worlds of HTTP handlers import, or with `-S cli`, all of WASI.
fn add_imports(command: &RunCommand, linker: &mut Linker<Host>) -> wasmtime::Result<()> {
    let run = &command.run;
    run.validate_p3_option()?;
    let has_p3 = run.common.wasi.p3.unwrap_or(true);
    if run.validate_cli_enabled()? == Some(true) {
        run.add_wasmtime_wasi_to_linker(linker)?;
        p2::add_only_http_to_linker_async(linker)?;
        if has_p3 {
            p3::add_to_linker(linker)?;
        }
    } else {
        p2::add_to_linker_async(linker)?;
        if has_p3 {
            p3::add_to_linker(linker)?;
            wasmtime_wasi::p3::clocks::add_to_linker(linker)?;
            wasmtime_wasi::p3::random::add_to_linker(linker)?;
            wasmtime_wasi::p3::cli::add_to_linker(linker)?;
        }
    }
    if run.common.wasi.config == Some(true) {
        wasmtime_wasi_config::add_to_linker(linker, |host: &mut Host| WasiConfig::from(&host.config))?;
    }
    if run.common.wasi.keyvalue == Some(true) {
        wasmtime_wasi_keyvalue::add_to_linker(linker, |host: &mut Host| {
            WasiKeyValue::new(&host.key_values, &mut host.table)
        })?;
    }
    Ok(())
}

/// Refuses whatever is not a component.
pub(super) fn require_component(file: &WasmFile) -> Result<()> {
    let path = file.path().display();
    match file.kind() {
        Some(WasmKind::Component) => Ok(()),
        Some(WasmKind::Module) => bail!(
            "`{path}` is a core module, and only components answer HTTP requests; `witprof run` runs core modules"
        ),
        None => bail!("`{path}` is neither a WebAssembly component nor a core module"),
    }
}
