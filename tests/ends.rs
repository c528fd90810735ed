//! With the last copy of a recorder everything ends, whatever of it lives on. One test, in a process of its own, because it
//! looks at what is left in the process.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(missing_docs, reason = "tests")]

mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use support::guests::{Guest, Host};
use wasmtime::component::Component;
use wasmtime::{Engine, StoreLimits};
use witprof::{Recorder, SamplerChoice, SymbolMap};

#[test]
fn a_recorder_ends_with_its_last_copy() {
    let before = left();
    assert!(!before.catches_sigprof && before.threads.is_empty(), "{before:?}");
    let guest = support::component(&Engine::default(), &support::guests::bytes("boundary"));
    for calls in 0..40 {
        ends(&guest, calls);
    }
    assert_eq!(left(), before);
}

/// Drops the last copy of a recorder after so many calls of a guest, by another thread, while everything else of it lives.
fn ends(guest: &Component, calls: u64) {
    let recorder = Recorder::builder(Duration::from_micros(100))
        .sampler(SamplerChoice::Signal)
        .code(SymbolMap::builder("guest"), guest)
        .start()
        .expect("a recorder");
    let copy = recorder.clone();
    let memories = recorder.trace_memory(StoreLimits::default());
    let mut tracer = recorder.call_tracer().expect("a tracer");
    let probe = recorder.probe();
    let labels = recorder.labels([("tenant", "a")]);
    let future = recorder.instrument(async { 7 }).labeled(&labels);
    let registration = recorder.register(SymbolMap::builder("guest"), guest).expect("registered");
    let mut running = Guest::with(guest, Host::default(), |store| {
        store.call_hook(move |_, kind| {
            tracer.call_hook(kind);
            Ok(())
        });
    });
    let active = recorder.enter();
    drop(recorder);
    let (done, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let (seen, over) = (Arc::clone(&done), Arc::clone(&is_over));
    let dropping = std::thread::spawn(move || {
        while seen.load(Ordering::SeqCst) < calls {
            std::hint::spin_loop();
        }
        let before = left();
        drop(copy);
        over.store(true, Ordering::SeqCst);
        // (A new thread gives itself its name, sooner or later.)
        assert!(before.catches_sigprof, "it records until its last copy goes");
    });
    let mut call = || {
        assert_eq!(running.call("host-calls", &[10]), 55);
        done.fetch_add(1, Ordering::SeqCst);
    };
    while !is_over.load(Ordering::SeqCst) {
        call();
    }
    dropping.join().expect("it ends");
    let after = left();
    assert!(!after.catches_sigprof && after.threads.is_empty(), "{after:?}");
    call();
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("tokio");
    assert_eq!(runtime.block_on(future), 7);
    drop((active, registration, memories, probe));
    call();
    assert_eq!(left(), after);
}

/// What recorders may leave in a process.
#[derive(Debug, PartialEq, Eq)]
struct Left {
    catches_sigprof: bool,
    /// Names of threads of recorders.
    threads: Vec<String>,
    timers: usize,
}

fn left() -> Left {
    let status = std::fs::read_to_string("/proc/self/status").expect("the status of this process");
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).expect("signals");
    let caught = u64::from_str_radix(caught.trim(), 16).expect("a number");
    let tasks = std::fs::read_dir("/proc/self/task").expect("threads");
    let names = tasks.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    let timers = std::fs::read_to_string("/proc/self/timers").unwrap_or_default();
    Left {
        // SIGPROF is number 27.
        catches_sigprof: caught & (1 << 26) != 0,
        threads: names.filter(|name| name.starts_with("witprof-")).collect(),
        timers: timers.lines().filter(|line| line.starts_with("ID:")).count(),
    }
}
