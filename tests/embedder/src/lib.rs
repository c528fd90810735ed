//! The least a host needs to profile a component.

use std::sync::Arc;
use std::time::Duration;

use wasmtime::Store;
use wasmtime::component::Component;
use witprof::{Profile, Recorder, Result, SymbolMap};

/// Profiles whatever `run` does with `store`.
pub fn profile<T: 'static>(
    component: &Component,
    store: &mut Store<T>,
    run: impl FnOnce(&mut Store<T>),
) -> Result<Profile> {
    let map = Arc::new(SymbolMap::builder("guest").build(component)?);
    let recorder = Recorder::builder(Duration::from_millis(1)).code(map, component).start()?;
    recorder.attach(store);
    let active = recorder.enter();
    run(store);
    drop(active);
    Ok(recorder.finish())
}
