//! What it costs that code comes and goes: 10,000 registered components, 100 registrations and 100 removals a second, while
//! 8 threads run guests.
//!
//! `cargo bench --bench registry`. Printed are the CPU time of a registration and of a removal, the cost of a sample beside that with
//! one component registered, in turns, and the memory of a component that was registered and never sampled, beside what Wasmtime has
//! of it.
//!
//! A thread that wakes up two hundred times a second makes all others slower, whatever it does. So there is one in both: beside the
//! single component, it registers and removes with another recorder, under which nothing runs.
#![allow(missing_docs, unsafe_code, reason = "a bench")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use peak_alloc::PeakAlloc;
use support::guests::{Guest, Host};
use wasmtime::Engine;
use wasmtime::component::Component;
use witprof::{Recorder, Registration, SamplerChoice, SymbolMap};

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

const THREADS: usize = 8;

/// Time from one registration to the next, and from one removal to the next.
const PAUSE: Duration = Duration::from_millis(10);

fn main() {
    // `cargo test --benches` runs benches to see whether they work.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (count, pairs, time) = match is_bench {
        true => (10_000, 120, Duration::from_millis(400)),
        false => (100, 1, Duration::from_millis(50)),
    };
    let engine = Engine::default();
    let image = support::component(&engine, &support::guests::bytes("shim")).serialize().expect("an image");
    // SAFETY: the image was made just now, by this Wasmtime.
    let load = || unsafe { Component::deserialize(&engine, &image) }.expect("a component");
    let running = support::component(&engine, &support::guests::bytes("boundary"));
    let others: Vec<Component> = (0..count).map(|_| load()).collect();

    let recorder = recorder(&running);
    let before = MEMORY.current_usage();
    let registered: Vec<Registration> = others.iter().map(|other| register(&recorder, other)).collect();
    #[allow(clippy::cast_precision_loss, reason = "bytes, and a number of components")]
    let each = (MEMORY.current_usage() - before) as f64 / count as f64;
    println!("memory of a registered component that was never sampled: {each:.0} bytes, of {count}");
    drop((registered, recorder));

    let (mut registrations, mut removals, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    let comes = load();
    // In turns: one comes, one goes.
    let mut change = |recorder: &Recorder, coming: &mut Option<Registration>| {
        let start = support::thread_cpu_time();
        let passed = || support::thread_cpu_time() - start;
        match coming.take() {
            None => {
                *coming = Some(register(recorder, &comes));
                registrations.push(passed());
            }
            Some(going) => {
                drop(going);
                removals.push(passed());
            }
        }
    };
    let with_others = || {
        let recorder = self::recorder(&running);
        others.iter().for_each(|other| register(&recorder, other).keep());
        recorder
    };
    let elsewhere = with_others();
    for pair in 0..pairs {
        let many = with_others();
        let mut cost = |recorder: Recorder, changed: &Recorder| {
            let mut coming = None;
            run(&recorder, &running, time, || change(changed, &mut coming))
        };
        // Who is first has the caches as the registrations left them.
        let (one, many) = if pair % 2 == 0 {
            let many = cost(many.clone(), &many);
            (cost(self::recorder(&running), &elsewhere), many)
        } else {
            let one = cost(self::recorder(&running), &elsewhere);
            (one, cost(many.clone(), &many))
        };
        ratios.extend(one.zip(many).map(|(one, many)| many.as_secs_f64() / one.as_secs_f64()));
    }
    for (what, times) in [("a registration", &mut registrations), ("a removal", &mut removals)] {
        times.sort();
        if let Some(last) = times.len().checked_sub(1) {
            let at = |share: usize| times[last * share / 100];
            println!("{what}: median {:?}, 90 of 100 within {:?}, 99 within {:?}", at(50), at(90), at(99));
        }
    }
    ratios.sort_by(f64::total_cmp);
    if let Some(last) = ratios.len().checked_sub(1) {
        let at = |share: usize| (ratios[last * share / 4] - 1.0) * 100.0;
        println!("a sample, relative to one component: {:+.1} % [{:+.1} %, {:+.1} %]", at(2), at(1), at(3));
    }
}

fn recorder(running: &Component) -> Recorder {
    let builder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Signal);
    builder.code(SymbolMap::builder("running"), running).start().expect("a recorder")
}

fn register(recorder: &Recorder, code: &Component) -> Registration {
    recorder.register(SymbolMap::builder("other"), code).expect("registered")
}

/// Runs guests on all threads, and does `change` twice in each pause. Returns what half of the samples cost at most.
fn run(recorder: &Recorder, running: &Component, time: Duration, mut change: impl FnMut()) -> Option<Duration> {
    let is_over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut guest = Guest::new(running, Host::default());
                let _active = recorder.enter();
                while !is_over.load(Ordering::Relaxed) {
                    guest.call("crossings", &[2_000]);
                }
            });
        }
        let start = Instant::now();
        while start.elapsed() < time {
            change();
            std::thread::sleep(PAUSE / 2);
        }
        is_over.store(true, Ordering::Relaxed);
    });
    recorder.finish().handler_cost().map(|cost| cost.median())
}
