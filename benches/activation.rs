//! What a server pays: making a guest active and leaving it again, and the throughput of many threads of short requests.
//!
//! `cargo bench --bench activation`. Each way is measured in pairs with an unprofiled run right before it. Printed are the
//! median, and the quartiles around it.
#![allow(missing_docs, unsafe_code, reason = "a bench")]

mod nothing;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::guests::{Guest, Host};
use wasmtime::Engine;
use wasmtime::component::Component;
use witprof::{Recorder, SamplerChoice, SymbolMap};

/// More than there are processors, as in a server.
const THREADS: usize = 16;

/// The work of one request: some twenty microseconds.
const REQUEST: u32 = 2_000;

fn main() {
    // `cargo test --benches` runs benches to see whether they work.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let (pairs, time) = if is_bench { (21, Duration::from_millis(500)) } else { (1, Duration::from_millis(10)) };
    let component = support::component(&Engine::default(), &support::guests::bytes("boundary"));
    activation(&component, if is_bench { 1_000_000 } else { 100 }, pairs);
    println!("requests a second on {THREADS} threads, relative to unprofiled, {pairs} pairs");
    for (name, way) in [
        ("unprofiled", Way::Unprofiled),
        ("empty handler, 1 kHz", Way::Nothing),
        ("1 kHz", Way::Profiled { labels: false }),
        ("1 kHz, labels", Way::Profiled { labels: true }),
    ] {
        let mut ratios: Vec<f64> = (0..pairs)
            .map(|_| {
                let before = throughput(&component, Way::Unprofiled, time);
                throughput(&component, way, time) / before
            })
            .collect();
        let [low, median, high] = quartiles(&mut ratios).map(|ratio| (ratio - 1.0) * 100.0);
        println!("  {name:<22} {median:>+6.2}%  [{low:+.2}%, {high:+.2}%]");
    }
}

fn recorder(component: &Component, interval: Duration) -> Recorder {
    let map = Arc::new(SymbolMap::builder("guest").build(component).expect("a map"));
    let builder = Recorder::builder(interval).sampler(SamplerChoice::Signal).code(map, component);
    builder.start().expect("a recorder")
}

fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|share| values[(values.len() - 1) * share / 4])
}

/// Time to make a guest active and to leave it, with and without labels, and of a poll of an instrumented future.
fn activation(component: &Component, count: u32, runs: usize) {
    println!("an activation, {runs} runs of {count}");
    let recorder = recorder(component, Duration::from_millis(1));
    let labels = recorder.labels([("route", "/")]);
    let measure = |name: &str, act: &dyn Fn()| {
        let mut nanos: Vec<f64> = (0..runs)
            .map(|_| {
                let start = Instant::now();
                (0..count).for_each(|_| act());
                start.elapsed().as_secs_f64() * 1e9 / f64::from(count)
            })
            .collect();
        let [low, median, high] = quartiles(&mut nanos);
        println!("  {name:<24} {median:>6.1} ns  [{low:.1}, {high:.1}]");
    };
    measure("enter and leave", &|| drop(recorder.enter()));
    measure("with labels", &|| drop(recorder.enter_labeled(&labels)));
    recorder.pause();
    measure("while paused", &|| drop(recorder.enter()));
    recorder.resume();
    let outer = recorder.enter();
    measure("inside of another", &|| drop(recorder.enter()));
    drop(outer);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    let context = std::cell::RefCell::new(&mut context);
    measure("a future that is ready", &|| {
        let future = std::pin::pin!(recorder.instrument(std::future::ready(())));
        assert!(future.poll(&mut context.borrow_mut()).is_ready());
    });
    drop(recorder.finish());
}

#[derive(Clone, Copy)]
enum Way {
    Unprofiled,
    /// A timer on each thread, and an empty handler.
    Nothing,
    Profiled {
        labels: bool,
    },
}

/// Requests a second.
fn throughput(component: &Component, way: Way, time: Duration) -> f64 {
    let interval = Duration::from_millis(1);
    let recorder = matches!(way, Way::Profiled { .. }).then(|| recorder(component, interval));
    let has_labels = matches!(way, Way::Profiled { labels: true });
    let labels = recorder.as_ref().filter(|_| has_labels).map(|recorder| recorder.labels([("route", "/")]));
    let (is_over, requests) = (AtomicBool::new(false), AtomicU64::new(0));
    let elapsed = std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                let mut guest = Guest::new(component, Host::default());
                let timer = matches!(way, Way::Nothing).then(|| nothing::Timer::start(interval));
                let mut count = 0;
                while !is_over.load(Ordering::Relaxed) {
                    let active = recorder.as_ref().map(|recorder| match &labels {
                        Some(labels) => recorder.enter_labeled(labels),
                        None => recorder.enter(),
                    });
                    guest.call("cpu", &[REQUEST]);
                    drop(active);
                    count += 1;
                }
                drop(timer);
                requests.fetch_add(count, Ordering::Relaxed);
            });
        }
        let start = Instant::now();
        std::thread::sleep(time);
        is_over.store(true, Ordering::Relaxed);
        start.elapsed()
    });
    #[allow(clippy::cast_precision_loss, reason = "a number of requests")]
    let requests = requests.into_inner() as f64;
    requests / elapsed.as_secs_f64()
}
