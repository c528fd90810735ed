//! What the system refuses, or somebody else has: the guest runs all the same, is sampled in another way, and a line says why.
//!
//! Needs a C compiler, as the build does, and a system that lets a process deny itself system calls.
#![allow(missing_docs, reason = "tests")]
#![allow(unsafe_code, reason = "a handler of somebody else's")]
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]

mod support;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use wasmtime::component::{Component, Linker};
use wasmtime::{Config, Engine, Store};
use witprof::{
    LossReason, Profile, Recorder, SamplerChoice, SamplerKind, SamplingClock, SignalProblem, SymbolMap, read_firefox,
};

/// Compiles a C file of this test's.
fn compile(folder: &Path, source: &str, options: &[&str]) -> PathBuf {
    let program = folder.join(source).with_extension("out");
    let mut compiler = Command::new("cc");
    compiler.args(options).arg("-O1").arg("-o").arg(&program);
    compiler.arg(support::root().join("tests/refusals").join(source));
    assert!(compiler.status().expect("running the C compiler").success());
    program
}

/// Runs the bundled component, by `before` and `witprof run` with these options.
fn run(folder: &Path, before: &[&str], options: &[&str]) -> Output {
    let mut command = match before {
        [] => Command::new(env!("CARGO_BIN_EXE_witprof")),
        [program, arguments @ ..] => {
            let mut command = Command::new(program);
            command.args(arguments).arg(env!("CARGO_BIN_EXE_witprof"));
            command
        }
    };
    command.current_dir(folder).stdin(Stdio::null()).args(["run", "-o", "p.json"]).args(options);
    command.arg(support::kitchen()).arg("300").output().expect("running witprof")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// The profile of a run that has to succeed, and what it said.
fn profile(folder: &Path, output: &Output) -> (Profile, String) {
    let messages = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{messages}");
    assert!(text(&output.stdout).contains("primes:"), "the guest did not run: {messages}");
    let file = std::fs::File::open(folder.join("p.json")).expect("a profile");
    (read_firefox(&mut std::io::BufReader::new(file)).expect("a valid profile"), messages)
}

/// The lines that say how samples are taken.
fn explanations(messages: &str) -> Vec<&str> {
    messages.lines().filter(|line| line.starts_with("witprof: sampling")).collect()
}

/// Something that denies one system call; `None` where that is not allowed, which has been said then.
fn denying(folder: &Path) -> Option<PathBuf> {
    let deny = compile(folder, "deny.c", &[]);
    // A call that nobody makes.
    let is_allowed = Command::new(&deny).args(["100000", "true"]).status().expect("running it").code() != Some(98);
    if !is_allowed {
        support::programs::leave_out("seccomp filters");
    }
    is_allowed.then_some(deny)
}

#[test]
fn without_timers_epochs_take_the_samples() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(deny) = denying(folder.path()) else { return };
    let deny = deny.to_str().expect("UTF-8");
    let calls = [
        (libc::SYS_timer_create, "timer_create"),
        (libc::SYS_timer_settime, "timer_settime"),
        // Tells which memory can be read: without it, all would seem to be.
        (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
    ];
    for (number, name) in calls {
        let number = number.to_string();
        let (profile, messages) = profile(folder.path(), &run(folder.path(), &[deny, &number], &[]));
        assert_eq!(profile.sampler(), SamplerKind::Epoch);
        assert!(profile.counts().kept > 0, "{messages}");
        let [line] = explanations(&messages)[..] else { panic!("{messages}") };
        assert!(line.contains("by epochs") && line.contains(name) && line.contains("not permitted"), "{line}");

        // Who asks for signals is told what is in the way, and what else there is.
        let output = run(folder.path(), &[deny, &number], &["--sampler", "signal"]);
        let messages = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{messages}");
        assert!(messages.contains(name) && messages.contains("--sampler epoch"), "{messages}");
    }
}

#[test]
fn the_guest_runs_even_if_no_sampler_works() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(deny) = denying(folder.path()) else { return };
    let before = [deny.to_str().expect("UTF-8"), &libc::SYS_timer_create.to_string()];
    let output = run(folder.path(), &before, &["-W", "epoch-interruption=n"]);
    let (turned_off, messages) = profile(folder.path(), &output);
    assert_eq!(turned_off.counts().kept, 0);
    assert!(
        messages.contains("witprof: no samples are taken: the system refuses a timer: `timer_create`"),
        "{messages}"
    );
    let advice = messages.lines().find(|line| line.contains("witprof: no sample was taken in ")).expect("an error");
    assert!(advice.contains("`-W epoch-interruption`") && !advice.contains("--sampler epoch"), "{advice}");

    // So does what was compiled without checks of epochs.
    let engine = Engine::new(&Config::new()).expect("an engine");
    let image = engine.precompile_component(&support::read(&support::kitchen())).expect("compiling");
    let image_path = folder.path().join("kitchen.cwasm");
    std::fs::write(&image_path, image).expect("writing an image");
    let mut command = Command::new(&deny);
    command.arg(libc::SYS_timer_create.to_string()).arg(env!("CARGO_BIN_EXE_witprof"));
    command.args(["run", "--allow-precompiled", "-o", "p.json"]).arg(&image_path).arg("300");
    let output = command.current_dir(folder.path()).stdin(Stdio::null()).output().expect("running witprof");
    let (precompiled, messages) = profile(folder.path(), &output);
    assert_eq!(precompiled.counts().kept, 0);
    assert!(
        messages.contains("witprof: no samples are taken: the system refuses a timer: `timer_create`"),
        "{messages}"
    );
}

/// Threads are refused what the trial was given: limits are shared with other processes.
#[test]
fn what_is_refused_later_is_told_with_its_reason() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = compile(folder.path(), "refuse_later.c", &["-shared", "-fPIC"]);
    let preload = format!("LD_PRELOAD={}", library.display());
    // The trial has one, and then the start of the recorder.
    for (granted, said) in [("1", "witprof: no samples are taken: "), ("2", "witprof: no sample was taken in ")] {
        let granted = format!("GRANTED_TIMERS={granted}");
        let output = run(folder.path(), &["env", &preload, &granted], &[]);
        let (profile, messages) = profile(folder.path(), &output);
        assert_eq!(profile.counts().kept, 0, "{messages}");
        let lines: Vec<&str> = messages.lines().filter(|line| line.starts_with(said)).collect();
        let [line] = lines[..] else { panic!("{messages}") };
        assert!(line.contains("`timer_create` failed") && line.contains("ulimit -i"), "{line}");
    }
}

#[test]
fn a_limit_on_signals_is_no_reason_not_to_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let limited = ["bash", "-c", "ulimit -i 0 && exec \"$@\"", "bash"];
    let (profile, messages) = profile(folder.path(), &run(folder.path(), &limited, &[]));
    assert_eq!(profile.sampler(), SamplerKind::Epoch);
    assert!(profile.counts().kept > 0, "{messages}");
    let [line] = explanations(&messages)[..] else { panic!("{messages}") };
    assert!(line.contains("timer_create") && line.contains("ulimit -i"), "{line}");
}

#[test]
fn stacks_are_read_where_nobody_says_where_they_are() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(deny) = denying(folder.path()) else { return };
    let number = libc::SYS_sched_getaffinity.to_string();
    let before = [deny.to_str().expect("UTF-8"), &number];
    let (profile, messages) = profile(folder.path(), &run(folder.path(), &before, &[]));
    assert_eq!(profile.sampler(), SamplerKind::Signal);
    assert!(profile.counts().kept > 0 && explanations(&messages).is_empty(), "{messages}");
    assert!(profile.functions().iter().any(|function| function.name.contains("count_primes")), "{messages}");
}

#[test]
fn another_profiler_keeps_its_signal() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = compile(folder.path(), "other_profiler.c", &["-shared", "-fPIC"]);
    let preload = format!("LD_PRELOAD={}", library.display());
    let (profile, messages) = profile(folder.path(), &run(folder.path(), &["env", &preload], &[]));
    assert_eq!(profile.sampler(), SamplerKind::Signal);
    assert!(profile.counts().kept > 0, "{messages}");
    let [line] = explanations(&messages)[..] else { panic!("{messages}") };
    assert!(line.contains("by signal ") && line.contains("signal 27 has a handler already"), "{line}");
    assert!(messages.contains("the other profiler still ticks"), "{messages}");

    let asked = ["--sampler", "signal", "--signal", "27"];
    let output = run(folder.path(), &["env", &preload], &asked);
    let messages = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{messages}");
    assert!(messages.contains("--signal auto") && messages.contains("--sampler epoch"), "{messages}");
    let output = run(folder.path(), &["env", &preload], &["--signal", "27"]);
    let (profile, _) = self::profile(folder.path(), &output);
    assert_eq!(profile.sampler(), SamplerKind::Epoch);
}

#[test]
fn another_profiler_that_begins_later_has_the_signal_from_then_on() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let library = compile(folder.path(), "late_profiler.c", &["-shared", "-fPIC", "-pthread"]);
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder.path()).stdin(Stdio::null()).env("LD_PRELOAD", library);
    let output = command.args(["run", "-o", "p.json"]).arg(support::kitchen()).arg("2000").output();
    let (profile, messages) = profile(folder.path(), &output.expect("running witprof"));
    assert_eq!(profile.sampler(), SamplerKind::Signal);
    assert!(profile.counts().kept > 0, "{messages}");
    assert!(profile.counts().lost[&LossReason::HandlerReplaced] > 0, "{:?}", profile.counts());
    assert!(messages.contains("signal 27 was given another handler during the recording"), "{messages}");
    assert!(messages.contains("the late profiler has its handler"), "{messages}");
}

#[test]
fn a_server_runs_without_timers_as_well() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let Some(deny) = denying(folder.path()) else { return };
    let mut command = Command::new(deny);
    command.arg(libc::SYS_timer_create.to_string()).arg(env!("CARGO_BIN_EXE_witprof"));
    command.args(["serve", "--addr", "127.0.0.1:0", "--duration", "1ms", "-o", "p.json"]);
    command.current_dir(folder.path()).stdin(Stdio::null()).arg(support::root().join("tests/guests/http.wat"));
    let output = command.output().expect("running witprof");
    let messages = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{messages}");
    assert!(messages.contains("sampling by epochs") && messages.contains("timer_create"), "{messages}");
    assert!(messages.contains("serving http://"), "{messages}");
}

/// A guest that waits for all of its time is not seen by the CPU clock. Saying "0 samples" would not tell why.
#[test]
fn a_long_run_without_a_sample_is_an_error() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let wat = r#"(module (import "wasi_snapshot_preview1" "poll_oneoff"
        (func $poll (param i32 i32 i32 i32) (result i32))) (memory (export "memory") 1)
      ;; One subscription: the monotonic clock, in 60 ms from now.
      (data (i32.const 16) "\01\00\00\00") (data (i32.const 24) "\00\87\93\03\00\00\00\00")
      (func (export "_start") (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"#;
    std::fs::write(folder.path().join("waits.wat"), wat).expect("writing a guest");
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder.path()).args([
        "run",
        "--clock",
        "cpu",
        "--interval",
        "5ms",
        "-o",
        "p.json",
        "waits.wat",
    ]);
    let output = command.stdin(Stdio::null()).output().expect("running witprof");
    let messages = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "the guest's own: {messages}");
    assert!(messages.contains("witprof: no sample was taken in ") && messages.contains("--clock cpu"), "{messages}");
    assert!(!messages.contains("samples taken"), "{messages}");
}

static TICKS: AtomicU32 = AtomicU32::new(0);

extern "C" fn foreign(_: libc::c_int) {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// In a library: a program that has a profiler already.
#[test]
fn a_recorder_takes_a_signal_that_is_free() {
    // SAFETY: the handler does nothing but count.
    unsafe { libc::signal(libc::SIGPROF, foreign as extern "C" fn(libc::c_int) as usize) };
    let problem = Recorder::reserve_signal(Some(libc::SIGPROF), SamplingClock::Wall).expect_err("it is taken");
    assert!(matches!(problem, SignalProblem::Taken { signal: libc::SIGPROF }), "{problem}");
    let reserved = Recorder::reserve_signal(None, SamplingClock::Wall).expect("another one");
    assert_ne!(reserved.signal(), libc::SIGPROF);
    assert!(matches!(reserved.instead(), Some(SignalProblem::Taken { .. })));
    drop(reserved);

    let engine = Engine::new(&Config::new()).expect("an engine");
    let wat = r#"(component (core module $m (func (export "spin") (param i32)
        (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))
      (core instance $i (instantiate $m))
      (func (export "spin") (param "n" u32) (canon lift (core func $i "spin"))))"#;
    let component = Component::new(&engine, wat).expect("a component");
    let map = Arc::new(SymbolMap::builder("spin").build(&component).expect("a map"));
    let recorder = Recorder::builder(Duration::from_micros(100)).code(Arc::clone(&map), &component);
    let recorder = recorder.start().expect("a recorder by another signal");
    assert_eq!(recorder.sampler(), SamplerKind::Signal);
    assert!(recorder.signal().is_some_and(|signal| signal != libc::SIGPROF) && recorder.refused().is_none());
    let mut store = Store::new(&engine, ());
    let instance = Linker::new(&engine).instantiate(&mut store, &component).expect("an instance");
    let spin = instance.get_typed_func::<(u32,), ()>(&mut store, "spin").expect("spin");
    let active = recorder.enter();
    for _ in 0..100 {
        spin.call(&mut store, (10_000_000,)).expect("spinning");
        if recorder.snapshot().counts().kept > 0 {
            break;
        }
    }
    drop(active);
    assert!(recorder.finish().counts().kept > 0);

    // Who asks for the one that is taken does without it.
    let builder = Recorder::builder(Duration::from_millis(1)).code(map, &component);
    let error = builder.signal(libc::SIGPROF).sampler(SamplerChoice::Auto).start().expect_err("no epochs either");
    assert!(error.to_string().contains("epoch_interruption(true)"), "{error}");
    let cause = std::error::Error::source(&error).expect("why not by signals").to_string();
    assert!(cause.contains("has a handler already"), "{cause}");
    // SAFETY: sends a signal that has a handler to this thread.
    unsafe { libc::raise(libc::SIGPROF) };
    assert_eq!(TICKS.load(Ordering::Relaxed), 1);
}
