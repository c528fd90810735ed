//! A storm of signals: 20,000 a second on each of four threads, while components are compiled, instantiated, called,
//! trapped, grown, cancelled and dropped. Nothing may crash, hang or compute a wrong result, and every sample must be
//! accounted for.
//!
//! Takes three seconds; `WITPROF_STORM_SECONDS=30` makes it as long as you like.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::guests::{Guest, Host, async_linker};
use wasmtime::component::{Component, Val};
use wasmtime::{Engine, Store};
use witprof::{LossReason, Recorder, SampleCounts, SamplerChoice, SymbolMap};

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
    let looking = std::thread::spawn({
        let guests = Arc::clone(&guests);
        move || {
            let mut looks = Looks::default();
            while Instant::now() < end {
                looks.look(&guests.recorder);
            }
            looks
        }
    });
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
    let mut looks = looking.join().expect("counts that add up");
    let profile = guests.recorder.finish();
    let counts = profile.counts();
    eprintln!("{} rounds, {} looks, {counts:?}", guests.rounds.load(Ordering::Relaxed), looks.number);
    looks.has_grown(counts);
    // The last one is like all others.
    looks.look(&guests.recorder);
    assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>(), "{counts:?}");
    // Samples have the labels that they were taken with, though nobody holds them any more.
    let known: Vec<String> = GUESTS.iter().map(|(_, result)| result.to_string()).collect();
    for sample in profile.threads().iter().flat_map(|thread| &thread.samples) {
        match profile.labels(sample.labels) {
            [] => {}
            [(_, result), (_, round)] => assert!(known.contains(result) && round.parse::<u64>().is_ok()),
            labels => panic!("{labels:?}"),
        }
    }
    assert!(
        profile
            .threads()
            .iter()
            .flat_map(|thread| &thread.samples)
            .any(|sample| !profile.labels(sample.labels).is_empty())
    );
    // The stacks of overflows are ten thousand frames deep, which takes longer to walk than an interval is; and while
    // Wasmtime's handler of a trap walks them itself, on a stack of its own, it cannot be seen what was interrupted.
    let expected = [LossReason::Overload, LossReason::UnreadableStack];
    let others = counts.lost.iter().filter(|(reason, _)| !expected.contains(reason));
    let others: u64 = others.map(|(_, lost)| lost).sum();
    assert!(counts.kept > 1000 * seconds && counts.kept * 3 > counts.taken && others * 50 < counts.taken, "{counts:?}");
}

/// Profiles of the recording while it goes on.
#[derive(Default)]
struct Looks {
    number: u64,
    /// What there was the last time.
    taken: u64,
    kept: u64,
    lost: BTreeMap<LossReason, u64>,
}

impl Looks {
    fn look(&mut self, recorder: &Recorder) {
        let profile = recorder.snapshot();
        self.has_grown(profile.counts());
        let in_tables: u64 =
            profile.threads().iter().flat_map(|thread| &thread.samples).map(|sample| sample.count).sum();
        assert_eq!(in_tables, profile.counts().kept, "what was counted is what is there");
        let now = recorder.elapsed();
        let part = recorder.snapshot_of(now.saturating_sub(Duration::from_millis(50))..now);
        let counts = part.counts();
        assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>(), "{counts:?}");
        self.number += 1;
    }

    /// Nothing that was counted is forgotten, and everything that was taken is either kept or lost.
    fn has_grown(&mut self, counts: &SampleCounts) {
        assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>(), "{counts:?}");
        // In a long storm, the oldest windows are dropped.
        let dropped = |lost: &BTreeMap<LossReason, u64>| lost.get(&LossReason::WindowDropped).copied().unwrap_or(0);
        let before = (self.taken, self.kept + dropped(&self.lost));
        assert!(
            counts.taken >= before.0 && counts.kept + dropped(&counts.lost) >= before.1,
            "{counts:?} after {before:?}"
        );
        for (reason, before) in &self.lost {
            assert!(counts.lost.get(reason).is_some_and(|lost| lost >= before), "{counts:?} after {:?}", self.lost);
        }
        (self.taken, self.kept, self.lost) = (counts.taken, counts.kept, counts.lost.clone());
    }
}

fn calls(guests: &Guests) {
    for (component, result) in &guests.called {
        let mut guest = Guest::new(component, Host::default());
        // Others than before, every time.
        let round = guests.rounds.load(Ordering::Relaxed).to_string();
        let labels = guests.recorder.labels([("result", result.to_string()), ("round", round)]);
        let active = guests.recorder.enter_labeled(&labels);
        drop(labels);
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
