//! The guests in `tests/guests`, and a host for them.

use std::time::Duration;

use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{AsContextMut, Engine, Store, StoreContextMut};
use witprof::{Dimension, FunctionKind, Profile};

/// The bytes of a guest.
pub fn bytes(name: &str) -> Vec<u8> {
    super::read(&super::root().join(format!("tests/guests/{name}.wat")))
}

/// What the host's function `note` does besides its work: waits so long.
#[derive(Clone, Copy, Debug, Default)]
pub struct Host {
    pub wait: Duration,
}

/// A host that provides `test:host/host` to sync stores.
pub fn linker(engine: &Engine) -> Linker<Host> {
    let mut linker = Linker::new(engine);
    let mut host = linker.instance("test:host/host").expect("an instance");
    let note = |store: StoreContextMut<'_, Host>, (x,): (u32,)| {
        if !store.data().wait.is_zero() {
            std::thread::sleep(store.data().wait);
        }
        Ok((x.wrapping_add(1),))
    };
    host.func_wrap("note", note).expect("note");
    host.func_wrap("name", |_: StoreContextMut<'_, Host>, (): ()| Ok(("oracle".to_owned(),))).expect("name");
    host.func_wrap("call-back", |_: StoreContextMut<'_, Host>, (x,): (u32,)| Ok((x * 2,))).expect("call-back");
    linker
}

/// A host for async stores, of which `note` waits without blocking.
pub fn async_linker(engine: &Engine, wait: Duration) -> Linker<()> {
    let mut linker = Linker::new(engine);
    let mut host = linker.instance("test:host/host").expect("an instance");
    host.func_wrap_async("note", move |_: StoreContextMut<'_, ()>, (x,): (u32,)| {
        Box::new(async move {
            tokio::time::sleep(wait).await;
            Ok((x.wrapping_add(1),))
        })
    })
    .expect("note");
    linker
}

/// A guest in a sync store.
pub struct Guest {
    pub store: Store<Host>,
    pub instance: Instance,
}

impl Guest {
    pub fn new(component: &Component, host: Host) -> Self {
        Self::with(component, host, |_| {})
    }

    /// The same, with a store that `prepare` has seen first.
    pub fn with(component: &Component, host: Host, prepare: impl FnOnce(&mut Store<Host>)) -> Self {
        let mut store = Store::new(component.engine(), host);
        prepare(&mut store);
        let instance = linker(component.engine()).instantiate(&mut store, component).expect("an instance");
        Self { store, instance }
    }

    pub fn function(&mut self, name: &str) -> Func {
        self.instance.get_func(self.store.as_context_mut(), name).unwrap_or_else(|| panic!("no {name}"))
    }

    /// Calls a function that returns one number.
    pub fn call(&mut self, name: &str, arguments: &[u32]) -> u64 {
        let function = self.function(name);
        let arguments: Vec<Val> = arguments.iter().copied().map(Val::U32).collect();
        let mut results = [Val::U32(0)];
        function.call(&mut self.store, &arguments, &mut results).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        match results {
            [Val::U32(result)] => result.into(),
            [Val::U64(result)] => result,
            other => panic!("{name} returned {other:?}"),
        }
    }
}

/// The stacks of a profile as function names, outermost first, with their wall-clock time.
pub fn stacks(profile: &Profile) -> Vec<(Vec<String>, Duration)> {
    let path = |mut at: Option<witprof::StackIndex>| {
        let mut names = Vec::new();
        while let Some(stack) = at {
            let stack = profile.stacks()[stack.index()];
            let function = profile.frames()[stack.frame.index()].function;
            names.push(profile.functions()[function.index()].name.clone());
            at = stack.caller;
        }
        names.reverse();
        names
    };
    let samples = profile.threads().iter().flat_map(|thread| &thread.samples);
    samples.map(|sample| (path(Some(sample.stack)), sample.wall)).collect()
}

/// The share of the profile's CPU time that was spent in a function itself.
pub fn own_share(profile: &Profile, name: &str) -> f64 {
    let rows = profile.report(Dimension::Function).rows;
    let own: Duration = rows.iter().filter(|row| row.name == name).map(|row| row.cpu).sum();
    own.as_secs_f64() / profile.cpu_time().as_secs_f64()
}

/// Whether a profile says anything about the host beside what hides it.
pub fn shows_host(profile: &Profile) -> bool {
    profile.functions().iter().any(|function| function.kind == FunctionKind::Host && function.name != "host")
}
