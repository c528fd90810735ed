//! What it costs to look at a recording that never ends, and who has to wait for it.
//!
//! `cargo bench --bench snapshot`. First what is done under the lock of the log, for 24 hours that are simulated: the log is
//! private to the library, and made of files that depend on little else of it, so they are included here and fed with times as they
//! would be. Then the whole scrape, by the public API and for real: guests with many stacks are sampled at 10 kHz until there
//! are as many samples; the period that is scraped is the last part of it, with as many samples as ten seconds have at 1 kHz. Meanwhile
//! another thread does what a server does, and measures how long it takes, less the time in which it had no CPU, which is
//! nobody's lock. Without scrapes, these figures are what the machine and 10 kHz cost.
#![allow(missing_docs, reason = "a bench")]
// What the included files have for the rest of the library.
#![allow(dead_code, unused_imports, unreachable_pub, reason = "the bench uses a part of them")]

/// Where the included files find what the library has in public.
mod address {
    pub(crate) use witprof::{TextOffset, WasmOffset};
}
#[path = "../src/interpreters/mod.rs"]
mod interpreters;
#[path = "../src/lock.rs"]
mod lock;
#[path = "../src/nanos.rs"]
mod nanos;
#[path = "../src/samples/mod.rs"]
mod samples;

use std::fmt::Write as _;
use std::future::poll_fn;
use std::hint::black_box;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use wasmtime::{Engine, Instance, Module, Store, TypedFunc};
use witprof::export::write_pprof;
use witprof::{Dimension, Recorder, SamplerChoice, SymbolMap};

use samples::{RawFrame, RawSample, Retention, SampleLog, Span, ThreadIdentity};

/// How much there is to be.
struct Size {
    samples: u64,
    /// Calls of which each has stacks of its own: five or so, because the innermost function is seen at several places.
    paths: u32,
    /// Samples of the period that is scraped.
    in_period: u64,
    runs: usize,
    /// How long each of the ways to disturb a server goes on.
    time: Duration,
}

fn main() {
    // `cargo test --benches` runs benches to see whether they work.
    let size = if std::env::args().any(|argument| argument == "--bench") {
        Size { samples: 1_000_000, paths: 10_000, in_period: 10_000, runs: 100, time: Duration::from_secs(5) }
    } else {
        Size { samples: 1_000, paths: 10, in_period: 100, runs: 2, time: Duration::from_millis(50) }
    };
    under_the_lock(&size);
    scrapes(&size);
}

fn quartiles(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let [low, median, high] = [1, 2, 3].map(|share| values[(values.len() - 1) * share / 4]);
    format!("{median:>9.3} ms  [{low:.3}, {high:.3}], at most {:.3}", values[values.len() - 1])
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// How long the lock of the log is held for a snapshot.
fn under_the_lock(size: &Size) {
    let day = Duration::from_hours(24);
    let last = Duration::from_secs(10);
    let retention = Retention { window: day / 8, windows: 9, bytes: 512 << 20 };
    let mut log = SampleLog::new(Duration::from_millis(1), retention);
    let threads: Vec<ThreadIdentity> =
        (0..64).map(|_| std::thread::spawn(ThreadIdentity::current).join().expect("an identity")).collect();
    let registry = Arc::clone(log.labels());
    let labels: Vec<_> = (0..100).map(|route| registry.add([("route".to_owned(), format!("/{route}"))])).collect();
    let (mut random, old) = (1_u64, size.samples - size.in_period);
    let mut record = |log: &mut SampleLog, number: u64| {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let stack = (random >> 33) % (u64::from(size.paths) * 5);
        // The last ten seconds are busy.
        let time = if number < old {
            (day - last).mul_f64(number as f64 / old as f64)
        } else {
            (day - last) + last.mul_f64((number - old) as f64 / size.in_period as f64)
        };
        let sample = RawSample {
            time,
            wall: Duration::from_millis(1),
            cpu: Duration::from_millis(1),
            preempted: Some(Duration::ZERO),
            truncated: false,
            labels: labels[random as usize % labels.len()].id(),
        };
        let frames = (0..8).map(|depth| {
            let function = (stack >> (2 * depth)) as u32;
            RawFrame::Wasm { target: 0, module: 0, function, instruction: None }
        });
        log.record_for(&threads[number as usize % threads.len()], sample, frames);
        if number.is_multiple_of(10) {
            log.record_span(Span::new("GET /", time, Duration::from_millis(number % 50)).path(format!("/{number}")));
        }
    };
    (0..size.samples).for_each(|number| record(&mut log, number));
    let mut number = size.samples;
    println!("under the lock of the log, {} samples of 24 simulated hours, CPU time (bound: 1 ms)", log.counts.taken);
    for (name, period) in [
        ("the last 10 s", day - last..Duration::MAX),
        ("the last 3 h", day / 8 * 7..Duration::MAX),
        ("everything", Duration::ZERO..Duration::MAX),
    ] {
        let mut times: Vec<f64> = (0..size.runs * 10)
            .map(|_| {
                // Of the CPU: what else the machine does is nothing that the lock is held for on purpose.
                let before = cpu_time();
                let frozen = log.freeze(period.clone(), false);
                let time = milliseconds(cpu_time() - before);
                drop(black_box(frozen));
                // What has to be copied depends on how full the last chunks are.
                (0..97).for_each(|more| record(&mut log, number + more));
                number += 97;
                time
            })
            .collect();
        println!("  {name:<24} {}", quartiles(&mut times));
    }
}

/// A module whose stacks are as many as there are numbers that `run` is called with.
fn many_stacks(engine: &Engine) -> Module {
    let mut wat = "(module $many (type $f (func (param i32 i32) (result i32))) (table funcref (elem".to_owned();
    (0..16).for_each(|function| _ = write!(wat, " $f{function}"));
    wat += "))";
    for function in 0..16 {
        // Each calls another, as the lowest digit says, and the last one computes.
        let body = "(if (result i32) (local.get 1)
            (then (i32.add (i32.const 1) (call_indirect (type $f)
                (i32.shr_u (local.get 0) (i32.const 4)) (i32.sub (local.get 1) (i32.const 1))
                (i32.and (local.get 0) (i32.const 15)))))
            (else (call $work (i32.const 3000))))";
        _ = write!(wat, "(func $f{function} (type $f) {body})");
    }
    wat += "(func $work (param i32) (result i32) (local i32)
            (loop $l
                (local.set 1 (i32.mul (i32.add (local.get 1) (local.get 0)) (i32.const 31)))
                (br_if $l (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))
            (local.get 1))
        (func (export \"run\") (param i32) (result i32)
            (call $f0 (i32.mul (local.get 0) (i32.const 0x9e3779b1)) (i32.const 7))))";
    Module::new(engine, wat).expect("a module")
}

fn run(engine: &Engine, module: &Module) -> (Store<()>, TypedFunc<u32, u32>) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).expect("an instance");
    let run = instance.get_typed_func(&mut store, "run").expect("the function");
    (store, run)
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time that this thread was ready and had no CPU.
fn run_delay() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split_whitespace().nth(1).and_then(|delay| delay.parse().ok()).unwrap_or(0))
}

fn scrapes(size: &Size) {
    let engine = Engine::default();
    let module = many_stacks(&engine);
    let map = Arc::new(SymbolMap::builder("many").build(&module).expect("a map"));
    let builder = Recorder::builder(Duration::from_micros(100)).sampler(SamplerChoice::Signal).code(map, &module);
    let Ok(recorder) = builder.start() else { return println!("no signals here") };
    // Until there are as many samples. Whoever looks disturbs, so that is seldom done.
    let mut profile = recorder.snapshot();
    let start = Instant::now();
    while profile.counts().kept < size.samples && start.elapsed() < Duration::from_mins(3) {
        let end = Instant::now() + size.time;
        std::thread::scope(|scope| {
            for thread in 0..2 {
                let (recorder, engine, module) = (&recorder, &engine, &module);
                scope.spawn(move || {
                    let (mut store, run) = run(engine, module);
                    let mut number = thread * size.paths / 2;
                    while Instant::now() < end {
                        let _active = recorder.enter();
                        number = (number + 1) % size.paths;
                        black_box(run.call(&mut store, number).expect("a number"));
                    }
                });
            }
        });
        profile = recorder.snapshot();
    }
    let samples = profile.counts().kept;
    let stacks = profile.stacks().len();
    println!("CPU time of a scrape of the last {} of {samples} samples of {stacks} stacks", size.in_period);
    let end = profile.threads().iter().flat_map(|thread| thread.samples.last()).map(|sample| sample.time).max();
    let end = end.unwrap_or_default() + Duration::from_micros(1);
    drop(profile);
    let sampled = start.elapsed().min(end);
    let length = sampled.mul_f64(size.in_period as f64 / samples.max(1) as f64);
    let scrape = |begin: Duration, end: Duration| {
        let profile = recorder.snapshot_of(begin..end);
        let mut out = Vec::new();
        write_pprof(&profile, Dimension::Function, &mut out).expect("writing to memory");
        black_box(out);
    };
    // What a scrape costs that has next to nothing in it is what it costs beyond its samples.
    for (name, length) in [("a 1000th of that (20 ms)", length / 1000), ("all of that", length)] {
        let mut times: Vec<f64> = (0..size.runs)
            .map(|_| {
                let before = cpu_time();
                scrape(end.saturating_sub(length), end + Duration::from_micros(1));
                milliseconds(cpu_time() - before)
            })
            .collect();
        println!("  {name:<26} {}", quartiles(&mut times));
    }
    println!("what a server does meanwhile: median, 99.9 %, and at most (bound: 1 ms)");
    for scrapers in [0, 1, 10] {
        let is_over = AtomicBool::new(false);
        std::thread::scope(|scope| {
            for _ in 0..scrapers {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        scrape(end.saturating_sub(length), recorder.elapsed());
                    }
                });
            }
            let server = scope.spawn(|| serve(&recorder, size.time));
            for (name, mut times) in server.join().expect("figures") {
                times.sort_by(f64::total_cmp);
                let at = |share: f64| times[((times.len() - 1) as f64 * share) as usize];
                let (median, most, longest) = (at(0.5), at(0.999), at(1.0));
                println!("  {scrapers:>2} scrapes, {name:<22} {median:>9.3} {most:>9.3} {longest:>9.3} ms");
            }
            is_over.store(true, Ordering::Relaxed);
        });
    }
}

/// Does what a server does, for so long, and returns how many milliseconds each of that took, without the time that it
/// waited for a CPU.
fn serve(recorder: &Recorder, time: Duration) -> [(&'static str, Vec<f64>); 4] {
    let mut measured =
        ["labels", "enter and leave", "a task that has waited", "elapsed"].map(|name| (name, Vec::new()));
    let end = Instant::now() + time;
    let mut number = 0_u64;
    let mut context = Context::from_waker(Waker::noop());
    while Instant::now() < end {
        number += 1;
        let mut next = measured.iter_mut();
        let mut measure = |act: &mut dyn FnMut()| {
            let (delay, start) = (run_delay(), Instant::now());
            act();
            let took = start.elapsed();
            let took = took.saturating_sub(run_delay().saturating_sub(delay));
            if let Some((_, times)) = next.next() {
                times.push(milliseconds(took));
            }
        };
        let mut labels = None;
        measure(&mut || labels = Some(recorder.labels([("request", number.to_string())])));
        let labels = labels.expect("they were made");
        measure(&mut || drop(recorder.enter_labeled(&labels)));
        let mut has_waited = false;
        let task = poll_fn(|context| {
            // As a future does that is going to be woken.
            drop(context.waker().clone());
            if std::mem::replace(&mut has_waited, true) { Poll::Ready(()) } else { Poll::Pending }
        });
        let mut task = pin!(recorder.instrument(task).labeled(&labels));
        assert!(task.as_mut().poll(&mut context).is_pending());
        std::thread::sleep(Duration::from_micros(100));
        measure(&mut || assert!(task.as_mut().poll(&mut context).is_ready()));
        measure(&mut || _ = black_box(recorder.elapsed()));
    }
    measured
}
