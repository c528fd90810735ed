//! The signal handler does not allocate: a counting allocator watches a thread over ten thousand samples. One test in a
//! process of its own, because it replaces the allocator.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(missing_docs, unsafe_code, reason = "tests")]

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::Arc;
use std::time::Duration;

use support::guests::{Guest, Host};
use wasmtime::Engine;
use wasmtime::component::Val;
use witprof::{Recorder, SamplerChoice, SymbolMap};

thread_local! {
    /// Calls of the allocator by this thread.
    static CALLS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

fn count() {
    CALLS.with(|calls| calls.set(calls.get() + 1));
}

// SAFETY: the system's allocator does all the work.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: as the caller promises.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[test]
fn ten_thousand_samples_allocate_nothing() {
    let component = support::component(&Engine::default(), &support::guests::bytes("boundary"));
    let map = Arc::new(SymbolMap::builder("guest").build(&component).expect("a map"));
    let recorder = Recorder::builder(Duration::from_micros(100))
        .sampler(SamplerChoice::Signal)
        .show_host_frames()
        .code(map, &component)
        .start()
        .expect("a recorder");
    let mut guest = Guest::new(&component, Host::default());
    // A long call that computes, and one that is mostly in the host and in adapters: none allocates for each step.
    let functions = [("cpu", 30_000_000), ("host-calls", 300_000), ("crossings", 300_000)];
    let functions = functions.map(|(name, count)| (guest.function(name), [Val::U32(count)]));
    let mut results = [Val::U64(0)];
    let mut run = |rounds: usize| {
        let before = CALLS.with(Cell::get);
        for _ in 0..rounds {
            for (function, arguments) in &functions {
                function.call(&mut guest.store, arguments, &mut results).expect("a call");
            }
        }
        CALLS.with(Cell::get) - before
    };
    let unprofiled = run(1);
    let active = recorder.enter();
    let mut rounds = 0;
    let mut profiled = 0;
    let start = std::time::Instant::now();
    // As long as it takes on this machine, which may have other things to do.
    while recorder.snapshot().counts().kept < 10_000 && start.elapsed() < Duration::from_mins(1) {
        profiled += run(4);
        rounds += 4;
    }
    drop(active);
    let counts = recorder.finish().counts().clone();
    assert!(counts.kept >= 10_000, "{counts:?}");
    assert_eq!(profiled, rounds * unprofiled, "{counts:?}");
}
