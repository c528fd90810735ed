//! What profiling costs: CPU time of the whole process while a guest does a fixed amount of work, profiled in different
//! ways, as a ratio to the same work unprofiled; and what one sample costs.
//!
//! `cargo bench --bench cost`, or with names of what is wanted behind a `--`: `sample`, guest functions, ways. Each way is measured in pairs with an unprofiled run right before it, so that a machine
//! that changes its pace disturbs both alike. Printed are the median of the ratios, and the quartiles around it.
#![allow(missing_docs, unsafe_code, reason = "a bench")]

mod nothing;
#[path = "../tests/support/mod.rs"]
mod support;

use std::sync::mpsc::RecvTimeoutError;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use support::guests::{Guest, Host};
use wasmtime::component::Component;
use wasmtime::{Config, Engine, GuestProfiler, UpdateDeadline};
use witprof::{Recorder, SamplerChoice, SymbolMap};

/// Pairs of runs for each ratio.
const PAIRS: usize = 11;

/// A guest function bound by the CPU, by calls of the host, or by crossings between components, with an argument that
/// makes it run for about half a second.
const WORK: [(&str, u32); 3] = [("cpu", 60_000_000), ("host-calls", 8_000_000), ("crossings", 6_000_000)];

#[derive(Clone, Copy)]
enum Way {
    Unprofiled,
    /// A timer and an empty handler.
    Nothing {
        interval: Duration,
    },
    Signal {
        interval: Duration,
        show_host: bool,
    },
    Epoch,
    Wasmtime,
}

const MILLISECOND: Duration = Duration::from_millis(1);

const WAYS: [(&str, Way); 8] = [
    ("unprofiled", Way::Unprofiled),
    ("empty handler, 1 kHz", Way::Nothing { interval: MILLISECOND }),
    ("signal, 1 kHz", Way::Signal { interval: MILLISECOND, show_host: false }),
    ("signal, 1 kHz, host frames", Way::Signal { interval: MILLISECOND, show_host: true }),
    ("empty handler, 10 kHz", Way::Nothing { interval: Duration::from_micros(100) }),
    ("signal, 10 kHz", Way::Signal { interval: Duration::from_micros(100), show_host: false }),
    ("epochs, 1 ms", Way::Epoch),
    ("Wasmtime's guest profiler, 1 ms", Way::Wasmtime),
];

fn main() {
    // `cargo test --benches` runs benches to see whether they work.
    let pairs = if std::env::args().any(|argument| argument == "--bench") { PAIRS } else { 1 };
    let plain = Engine::default();
    let epochs = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
    let guest = support::guests::bytes("boundary");
    let [plain, epochs] = [&plain, &epochs].map(|engine| support::component(engine, &guest));
    let chosen: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let all: Vec<&str> = ["sample"].into_iter().chain(WORK.map(|work| work.0)).chain(WAYS.map(|way| way.0)).collect();
    for chosen in &chosen {
        assert!(all.iter().any(|name| name.contains(&**chosen)), "there is no {chosen:?} among {all:?}");
    }
    let is_chosen = |name: &str, all: &[&str]| {
        let mut about = chosen.iter().filter(|chosen| all.iter().any(|name| name.contains(&**chosen))).peekable();
        about.peek().is_none() || about.any(|chosen| name.contains(&**chosen))
    };
    if is_chosen("sample", &all) {
        sample();
    }
    if chosen == ["sample"] {
        return;
    }
    println!("CPU time relative to unprofiled: median [quartiles] of {pairs} pairs");
    for (function, count) in WORK.into_iter().filter(|(name, _)| is_chosen(name, &WORK.map(|work| work.0))) {
        println!("{function}");
        for (name, way) in WAYS.into_iter().filter(|(name, _)| is_chosen(name, &WAYS.map(|way| way.0))) {
            let component = if matches!(way, Way::Epoch | Way::Wasmtime) { &epochs } else { &plain };
            let mut ratios: Vec<f64> = (0..pairs)
                .map(|_| {
                    let before = cpu_time(&plain, Way::Unprofiled, function, count);
                    cpu_time(component, way, function, count) / before
                })
                .collect();
            ratios.sort_by(f64::total_cmp);
            let at = |share: usize| (ratios[(ratios.len() - 1) * share / 4] - 1.0) * 100.0;
            println!("  {name:<32} {:>+7.2}%  [{:+.2}%, {:+.2}%]", at(2), at(1), at(3));
        }
    }
}

/// Seconds of CPU time that the process takes for the work.
fn cpu_time(component: &Component, way: Way, function: &str, count: u32) -> f64 {
    let map = || Arc::new(SymbolMap::builder("guest").build(component).expect("a map"));
    let builder = |interval, choice| Recorder::builder(interval).sampler(choice).code(map(), component);
    let recorder = match way {
        Way::Unprofiled | Way::Nothing { .. } | Way::Wasmtime => None,
        Way::Signal { interval, show_host: false } => Some(builder(interval, SamplerChoice::Signal)),
        Way::Signal { interval, show_host: true } => Some(builder(interval, SamplerChoice::Signal).show_host_frames()),
        Way::Epoch => Some(builder(MILLISECOND, SamplerChoice::Epoch)),
    };
    let recorder = recorder.map(|builder| builder.start().expect("a recorder"));
    let profiler = matches!(way, Way::Wasmtime).then(|| {
        let profiler = GuestProfiler::new_component(component.engine(), "guest", MILLISECOND, component.clone(), []);
        Arc::new(Mutex::new(profiler.expect("a profiler")))
    });
    let mut guest = Guest::with(component, Host::default(), |store| {
        if let Some(recorder) = &recorder {
            recorder.attach(store);
        }
        if let Some(profiler) = profiler.clone() {
            store.epoch_deadline_callback(move |store| {
                profiler.lock().expect("a profiler").sample(&store, MILLISECOND);
                Ok(UpdateDeadline::Continue(1))
            });
            store.set_epoch_deadline(1);
        }
    });
    let (stop, stopped) = std::sync::mpsc::channel::<()>();
    let ticker = profiler.is_some().then(|| {
        let engine = component.engine().clone();
        std::thread::spawn(move || {
            while stopped.recv_timeout(MILLISECOND) == Err(RecvTimeoutError::Timeout) {
                engine.increment_epoch();
            }
        })
    });
    guest.call(function, &[count / 100]);
    let active = recorder.as_ref().map(Recorder::enter);
    let timer = match way {
        Way::Nothing { interval } => Some(nothing::Timer::start(interval)),
        _ => None,
    };
    let start = process_time();
    guest.call(function, &[count]);
    let time = process_time() - start;
    drop((active, timer));
    drop(stop);
    ticker.map(std::thread::JoinHandle::join);
    time
}

fn process_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds of a run")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}

/// What a sample costs, as the handler measures itself.
fn sample() {
    let component = support::component(&Engine::default(), &support::guests::bytes("deep"));
    println!("a sample");
    let kilohertz = [3, 30, 100].map(|depth| (depth, MILLISECOND, false));
    for (depth, interval, show_host) in
        kilohertz.into_iter().chain([(30, MILLISECOND, true), (30, Duration::from_micros(100), false)])
    {
        let map = Arc::new(SymbolMap::builder("deep").build(&component).expect("a map"));
        let builder = Recorder::builder(interval).sampler(SamplerChoice::Signal).code(map, &component);
        let builder = if show_host { builder.show_host_frames() } else { builder };
        let recorder = builder.start().expect("a recorder");
        let mut guest = Guest::new(&component, Host::default());
        let active = recorder.enter();
        // `spin`, and `descend` for the rest.
        guest.call("descend", &[depth - 3, 1_000_000_000]);
        drop(active);
        let Some(cost) = recorder.finish().handler_cost() else { continue };
        println!(
            "  {depth} guest frames, every {interval:?}{}: median {:?} ({} cycles of the time stamp counter), \
             99 of 100 within {:?}",
            if show_host { ", host frames shown" } else { "" },
            cost.median(),
            cost.median_ticks,
            cost.p99(),
        );
    }
}
