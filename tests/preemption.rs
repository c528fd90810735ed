//! What a busy machine does to a profile: waiting for a CPU is told apart from waiting for anything else, in every output,
//! and no signal is lost because it came late or at a bad moment. In a process of its own, because signals belong to the
//! process, and this one makes the machine busy.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::task::Poll;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::guests::{Guest, Host};
use support::patience::assert_figure;
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Config, Engine, Store, StoreContextMut};
use witprof::export::{TableStyle, write_firefox, write_folded, write_report_json, write_report_table, write_summary};
use witprof::{
    Comparison, Dimension, LossReason, Profile, Recorder, RecorderBuilder, SamplerChoice, SymbolMap, read_firefox,
};

/// Tests that make the machine busy, and those that would rather have it quiet, take turns.
static TURN: Mutex<()> = Mutex::new(());

/// [`support::patience::patiently`], one test after the other.
fn patiently(test: impl Fn()) {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    support::patience::patiently(test);
}

fn component(engine: &Engine) -> Component {
    support::component(engine, &support::guests::bytes("boundary"))
}

fn builder(component: &Component, interval: Duration, sampler: SamplerChoice) -> RecorderBuilder {
    let map = SymbolMap::builder("guest").build(component).expect("a map");
    Recorder::builder(interval).sampler(sampler).code(Arc::new(map), component)
}

fn cpus() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// Whether this system counts how long threads wait for a CPU.
fn is_counted() -> bool {
    std::fs::read_to_string("/proc/thread-self/schedstat").is_ok_and(|text| text.trim() != "0 0 0")
}

fn sum(profile: &Profile, part: impl Fn(&witprof::ReportRow) -> Duration) -> Duration {
    profile.report(Dimension::Function).rows.iter().map(part).sum()
}

/// What loops that never wait look like, on three times as many threads as there are CPUs.
fn spin(sampler: SamplerChoice) -> Profile {
    let engine = match sampler {
        SamplerChoice::Epoch => Engine::new(Config::new().epoch_interruption(true)).expect("an engine"),
        _ => Engine::default(),
    };
    let component = component(&engine);
    let recorder = builder(&component, Duration::from_millis(1), sampler).start().expect("a recorder");
    std::thread::scope(|scope| {
        for _ in 0..3 * cpus() {
            scope.spawn(|| {
                let mut guest = Guest::with(&component, Host::default(), |store| recorder.attach(store));
                let (start, active) = (Instant::now(), recorder.enter());
                while start.elapsed() < Duration::from_millis(500) {
                    guest.call("cpu", &[3_000_000]);
                }
                drop(active);
            });
        }
    });
    let profile = recorder.finish();
    support::check_profile(&profile);
    profile
}

/// Makes sure that all time is somewhere, and that a loop does not seem to wait.
fn is_preempted(profile: &Profile) {
    let wall = profile.wall_time();
    let Some(preempted) = profile.preempted_time() else {
        assert!(!is_counted(), "it is counted, and not known");
        return;
    };
    for row in profile.report(Dimension::Function).rows.iter().filter(|row| row.boundary.is_zero()) {
        assert_eq!(Some(row.own), row.preempted.map(|preempted| row.cpu + row.blocked + preempted), "{row:?}");
    }
    let samples = profile.threads().iter().flat_map(|thread| &thread.samples);
    assert!(samples.clone().all(|sample| sample.cpu + sample.preempted <= sample.wall));
    assert_eq!(samples.map(|sample| sample.preempted).sum::<Duration>(), preempted);
    assert_figure!(preempted > wall / 5, "{preempted:?} of {wall:?}");
    let blocked = sum(profile, |row| row.blocked);
    assert_figure!(blocked < wall / 20, "{blocked:?} of {wall:?}");
}

#[test]
fn a_loop_that_never_waits_is_preempted_and_not_blocked() {
    patiently(|| {
        let profile = spin(SamplerChoice::Signal);
        is_preempted(&profile);
        // However late they are: a thread gets a signal each interval at most, and one that was late.
        let lost = &profile.counts().lost;
        assert!(!lost.contains_key(&LossReason::Interrupted), "{lost:?}");
        assert_figure!(!lost.contains_key(&LossReason::Overload), "{lost:?}");
    });
}

#[test]
fn epochs_tell_it_as_well() {
    patiently(|| is_preempted(&spin(SamplerChoice::Epoch)));
}

#[test]
fn a_guest_that_waits_is_blocked() {
    patiently(|| {
        let component = component(&Engine::default());
        let recorder =
            builder(&component, Duration::from_millis(1), SamplerChoice::Signal).start().expect("a recorder");
        let mut guest = Guest::new(&component, Host { wait: Duration::from_millis(3) });
        let active = recorder.enter();
        guest.call("host-calls", &[100]);
        drop(active);
        let profile = recorder.finish();
        support::check_profile(&profile);
        let blocked = sum(&profile, |row| row.blocked);
        assert_figure!(blocked > profile.wall_time() / 2, "{blocked:?} of {:?}", profile.wall_time());
        if let Some(preempted) = profile.preempted_time() {
            assert_figure!(preempted < profile.wall_time() / 4, "{preempted:?} of {:?}", profile.wall_time());
        }
    });
}

#[test]
fn every_output_has_it() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    if !is_counted() {
        return;
    }
    let profile = spin(SamplerChoice::Signal);
    let preempted = profile.preempted_time().expect("it is known");
    assert!(!preempted.is_zero());
    let write = |write: &dyn Fn(&mut Vec<u8>)| {
        let mut out = Vec::new();
        write(&mut out);
        out
    };
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("UTF-8");
    let report = profile.report(Dimension::Interface);
    let table = text(write(&|out| write_report_table(&report, TableStyle::default(), out).expect("a table")));
    assert!(table.starts_with("   self boundary blocked preempted   total  interface\n"), "{table}");
    assert!(table.lines().all(|line| line.chars().count() <= 80), "{table}");
    let summary = text(write(&|out| write_summary(&profile, TableStyle::default(), out).expect("a summary")));
    assert!(summary.contains(" of it preempted: ready to run, and without a CPU\n"), "{summary}");

    let json = write(&|out| write_report_json(&profile, &report, out).expect("JSON"));
    let json: Value = serde_json::from_slice(&json).expect("valid JSON");
    let number = |value: &Value| value.as_f64().unwrap_or_else(|| panic!("{value} is no number"));
    assert!((number(&json["preempted_ms"]) - preempted.as_secs_f64() * 1e3).abs() < 1e-6);
    let rows = json["rows"].as_array().expect("rows");
    assert!(rows.iter().map(|row| number(&row["preempted_ms"])).sum::<f64>() > 0.0, "{json}");

    let folded = text(write(&|out| write_folded(&profile, Dimension::Interface, out).expect("folded stacks")));
    assert!(folded.contains("(preempted) "), "{folded}");

    let file = write(&|out| write_firefox(&profile, out).expect("a file"));
    let read = read_firefox(&mut &file[..]).expect("one of ours");
    assert_eq!(read.preempted_time(), Some(preempted));
    let rows = |profile: &Profile| {
        let rows = profile.report(Dimension::Function).rows.into_iter();
        rows.map(|row| (row.name, row.own, row.blocked, row.preempted)).collect::<Vec<_>>()
    };
    assert_eq!(rows(&read), rows(&profile));

    let [before, after] = Comparison::new(&profile, &read, Dimension::Function).preempted;
    assert!(before == after && before.is_some_and(|share| share > 0.0), "{before:?} {after:?}");
    #[cfg(feature = "html")]
    {
        let page = text(write(&|out| witprof::export::write_html(&profile, out).expect("a page")));
        let (_, data) = page.split_once("\"preempted_ms\":").expect("it is in the page");
        assert!(!data.starts_with("null") && !data.starts_with("0.0,"), "{}", &data[..20]);
    }
    #[cfg(feature = "svg")]
    {
        let write_svg = witprof::export::write_svg;
        let picture = text(write(&|out| write_svg(&profile, Dimension::Interface, out).expect("a picture")));
        assert!(picture.contains("(preempted)"));
    }
    #[cfg(feature = "pprof")]
    {
        let write_pprof = witprof::export::write_pprof;
        let bytes = write(&|out| write_pprof(&profile, Dimension::Function, out).expect("a profile"));
        assert!(bytes.windows(9).any(|bytes| bytes == b"preempted"));
    }
}

/// A file as older versions wrote it does not say how long threads waited for a CPU; so nor does what is made of it.
#[test]
fn what_is_not_known_is_not_said() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let mut file = Vec::new();
    write_firefox(&spin(SamplerChoice::Signal), &mut file).expect("a file");
    let mut json: Value = serde_json::from_slice(&file).expect("valid JSON");
    json["meta"]["witprof"].as_object_mut().expect("our own data").remove("sample_preempted");
    let old = read_firefox(&mut json.to_string().as_bytes()).expect("one of ours");
    assert_eq!(old.preempted_time(), None);
    let report = old.report(Dimension::Layer);
    assert!(report.preempted.is_none() && report.rows.iter().all(|row| row.preempted.is_none()));
    assert!(sum(&old, |row| row.blocked) + old.cpu_time() <= old.wall_time());
    let mut table = Vec::new();
    write_report_table(&report, TableStyle::default(), &mut table).expect("a table");
    assert!(String::from_utf8_lossy(&table).contains("%         -  "), "{}", String::from_utf8_lossy(&table));
    let mut json = Vec::new();
    write_report_json(&old, &report, &mut json).expect("JSON");
    let json: Value = serde_json::from_slice(&json).expect("valid JSON");
    assert!(json["preempted_ms"].is_null() && json["rows"][0]["preempted_ms"].is_null(), "{json}");
}

/// A guest that waits for a while, through WASI.
const WAITS: &str = r#"(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func (export "_start")
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.const 400_000_000))
    (if (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)) (then unreachable))))"#;

/// One that does not.
const SPINS: &str = r#"(module (func (export "_start") (local i64)
  (local.set 0 (i64.const 600_000_000))
  (loop $l (local.set 0 (i64.sub (local.get 0) (i64.const 1))) (br_if $l (i64.ne (local.get 0) (i64.const 0))))))"#;

/// What `witprof report --json` says of a guest.
fn report(folder: &Path, guest: &str) -> Value {
    std::fs::write(folder.join("guest.wat"), guest).expect("writing a guest");
    let witprof = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
        let output =
            command.current_dir(folder).stdin(Stdio::null()).args(arguments).output().expect("running witprof");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    };
    witprof(&["run", "--quiet", "--sampler", "signal", "-o", "guest.json", "guest.wat"]);
    serde_json::from_slice(&witprof(&["report", "--json", "--by", "thread", "guest.json"])).expect("JSON")
}

fn rows(report: &Value, key: &str) -> f64 {
    report["rows"].as_array().expect("rows").iter().filter_map(|row| row[key].as_f64()).sum()
}

#[test]
fn the_command_line_tells_waiting_from_having_no_cpu() {
    patiently(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let waits = report(folder.path(), WAITS);
        assert_figure!(rows(&waits, "blocked_ms") >= 300.0, "{waits}");
        assert_figure!(rows(&waits, "preempted_ms") < 0.25 * rows(&waits, "blocked_ms"), "{waits}");
        let is_over = AtomicBool::new(false);
        let spins = std::thread::scope(|scope| {
            for _ in 0..2 * cpus() {
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        std::hint::spin_loop();
                    }
                });
            }
            let spins = std::panic::catch_unwind(|| report(folder.path(), SPINS));
            is_over.store(true, Ordering::Relaxed);
            spins.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        });
        if is_counted() {
            let wall = spins["wall_ms"].as_f64().expect("a time");
            assert_figure!(rows(&spins, "preempted_ms") > 0.1 * wall, "{spins}");
            assert_figure!(rows(&spins, "blocked_ms") < 0.05 * wall, "{spins}");
        }
    });
}

/// A signal that comes while the thread is at work for the recorder itself is not lost: its sample is taken right after.
#[test]
fn no_signal_comes_at_a_bad_moment() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let component = component(&Engine::default());
    let interval = Duration::from_micros(200);
    let recorder = builder(&component, interval, SamplerChoice::Signal).start().expect("a recorder");
    // Whoever clones the waker has the recorder walk the stack: here, a guest's future does little else.
    let mut linker = Linker::new(component.engine());
    linker
        .instance("test:host/host")
        .expect("an instance")
        .func_wrap_async("note", |_: StoreContextMut<'_, ()>, (x,): (u32,)| {
            Box::new(async move {
                std::future::poll_fn(|context| {
                    (0..1000).for_each(|_| drop(context.waker().clone()));
                    Poll::Ready(())
                })
                .await;
                Ok((x + 1,))
            })
        })
        .expect("note");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("tokio");
    runtime.block_on(recorder.instrument(async {
        let mut store = Store::new(component.engine(), ());
        let instance = linker.instantiate_async(&mut store, &component).await.expect("an instance");
        let function = instance.get_func(&mut store, "host-calls").expect("the function");
        let mut results = [Val::U64(0)];
        function.call_async(&mut store, &[Val::U32(300)], &mut results).await.expect("a call");
        assert_eq!(results[0], Val::U64(300 * 301 / 2));
    }));
    // And activations that do nothing but begin and end.
    // For long enough, which depends on the machine: what counts is that nothing is lost.
    let begin = Instant::now();
    while recorder.snapshot().counts().kept <= 100 && begin.elapsed() < Duration::from_secs(30) {
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(200) {
            drop(recorder.enter());
        }
    }
    let profile = recorder.finish();
    let counts = profile.counts();
    assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>(), "{counts:?}");
    assert!(counts.kept > 100 && !counts.lost.contains_key(&LossReason::Interrupted), "{counts:?}");
    support::check_profile(&profile);
}
