//! A storm of signals: 20,000 a second on each of four threads, while components are compiled, instantiated, called,
//! trapped, grown, cancelled and dropped. Nothing may crash, hang or compute a wrong result, and every sample must be
//! accounted for.
//!
//! Takes three seconds; `WITPROF_STORM_SECONDS=30` makes it as long as you like.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(missing_docs, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::guests::{Guest, Host, async_linker};
use wasmtime::component::{Component, Val};
use wasmtime::{Engine, Store};
use witprof::{LossReason, Recorder, SamplerChoice, SymbolMap};

/// What each guest's `run` returns.
const GUESTS: [(&str, u32); 7] = [
    ("shim", 94),
    ("strings", 1_144_814),
    ("recursion", 3_941_346_506),
    ("exceptions", 1_983_981_957),
    ("memory", 326_183_592),
    ("callback", 633_614),
    ("tail", 132_214_218),
];

/// Traps, and what they say.
const TRAPS: [(&str, &str); 5] = [
    ("oob", "out of bounds memory access"),
    ("overflow", "call stack exhausted"),
    ("overflow-small", "call stack exhausted"),
    ("unreachable", "unreachable"),
    ("fill", "out of bounds memory access"),
];

struct Guests {
    engine: Engine,
    called: Vec<(Component, u32)>,
    traps: Component,
    boundary: Component,
    recorder: Recorder,
    rounds: AtomicU64,
}

#[test]
fn nothing_goes_wrong_in_a_storm() {
    let seconds = std::env::var("WITPROF_STORM_SECONDS").ok().and_then(|seconds| seconds.parse().ok()).unwrap_or(3);
    let engine = Engine::default();
    let component = |name: &str| support::component(&engine, &support::guests::bytes(name));
    let called: Vec<_> = GUESTS.iter().map(|(name, result)| (component(name), *result)).collect();
    let (traps, boundary) = (component("traps"), component("boundary"));
    let mut builder = Recorder::builder(Duration::from_micros(50)).sampler(SamplerChoice::Signal).show_host_frames();
    for component in called.iter().map(|(component, _)| component).chain([&traps, &boundary]) {
        builder = builder.code(Arc::new(SymbolMap::builder("guest").build(component).expect("a map")), component);
    }
    let recorder = builder.start().expect("a recorder");
    let guests = Arc::new(Guests { engine, called, traps, boundary, recorder, rounds: AtomicU64::new(0) });
    let end = Instant::now() + Duration::from_secs(seconds);
    let threads: Vec<_> = (0..4)
        .map(|number: u64| {
            let guests = Arc::clone(&guests);
            std::thread::spawn(move || {
                let mut round = number;
                while Instant::now() < end {
                    // Every fourth thread does each of these at a time.
                    match round % 4 {
                        0 => calls(&guests),
                        1 => traps_are_traps(&guests),
                        2 => compiles(&guests),
                        _ => is_cancelled(&guests, round),
                    }
                    round += 1;
                    guests.rounds.fetch_add(1, Ordering::Relaxed);
                }
            })
        })
        .collect();
    // Recorders come and go beside it, with the same signal.
    while Instant::now() < end {
        let map = Arc::new(SymbolMap::builder("guest").build(&guests.boundary).expect("a map"));
        let other = Recorder::builder(Duration::from_micros(50))
            .sampler(SamplerChoice::Signal)
            .code(map, &guests.boundary)
            .start()
            .expect("a recorder");
        let mut guest = Guest::new(&guests.boundary, Host::default());
        let active = (other.enter(), guests.recorder.enter());
        assert_eq!(guest.call("host-calls", &[1000]), 500_500);
        let profile = other.finish();
        let counts = profile.counts();
        assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>(), "{counts:?}");
        drop(active);
    }
    for thread in threads {
        thread.join().expect("no wrong result");
    }
    let profile = guests.recorder.finish();
    let counts = profile.counts();
    eprintln!("{} rounds, {counts:?}", guests.rounds.load(Ordering::Relaxed));
    assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>(), "{counts:?}");
    // The stacks of overflows are ten thousand frames deep, which takes longer to walk than an interval is; and while
    // Wasmtime's handler of a trap walks them itself, on a stack of its own, it cannot be seen what was interrupted.
    let expected = [LossReason::Overload, LossReason::UnreadableStack];
    let others = counts.lost.iter().filter(|(reason, _)| !expected.contains(reason));
    let others: u64 = others.map(|(_, lost)| lost).sum();
    assert!(counts.kept > 1000 * seconds && counts.kept * 3 > counts.taken && others * 50 < counts.taken, "{counts:?}");
}

fn calls(guests: &Guests) {
    for (component, result) in &guests.called {
        let mut guest = Guest::new(component, Host::default());
        let active = guests.recorder.enter();
        assert_eq!(guest.call("run", &[]), u64::from(*result));
        drop(active);
    }
    let _active = guests.recorder.enter();
    assert_eq!(Guest::new(&guests.boundary, Host::default()).call("crossings", &[1000]), 503_000);
}

fn traps_are_traps(guests: &Guests) {
    for (name, message) in TRAPS {
        let _active = guests.recorder.enter();
        let mut guest = Guest::new(&guests.traps, Host::default());
        let function = guest.function(name);
        let error = function.call(&mut guest.store, &[], &mut []).expect_err("a trap");
        assert!(format!("{error:?}").contains(message), "{name}: {error:?}");
    }
    let _active = guests.recorder.enter();
    let mut guest = Guest::new(&guests.traps, Host::default());
    let function = guest.function("divide");
    let mut results = [Val::U32(0)];
    let error = function.call(&mut guest.store, &[Val::U32(0)], &mut results).expect_err("a trap");
    assert!(format!("{error:?}").contains("divide by zero"), "{error:?}");
}

/// The compiler allocates, locks and starts threads; a signal may come at any point of it.
fn compiles(guests: &Guests) {
    let _active = guests.recorder.enter();
    let component = support::component(&guests.engine, &support::guests::bytes("shim"));
    // Not registered, so it is not shown; the walk goes through it nevertheless.
    assert_eq!(Guest::new(&component, Host::default()).call("run", &[]), 94);
}

/// A task on a fiber, dropped while it waits.
fn is_cancelled(guests: &Guests, round: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let call = async {
        let linker = async_linker(&guests.engine, Duration::from_micros(200));
        let mut store = Store::new(&guests.engine, ());
        let instance = linker.instantiate_async(&mut store, &guests.boundary).await.expect("an instance");
        let function = instance.get_func(&mut store, "host-calls").expect("the function");
        let mut results = [Val::U64(0)];
        function.call_async(&mut store, &[Val::U32(5)], &mut results).await.expect("a call");
        assert_eq!(results[0], Val::U64(15));
    };
    let call = guests.recorder.instrument(call);
    // Sometimes before it is done.
    let limit = Duration::from_micros(500 * (round % 8));
    _ = runtime.block_on(async { tokio::time::timeout(limit, call).await });
}
