//! What goes together and what does not: engines, samplers, options and other profilers, as tables.
//!
//! What cannot work says so, each with its own message and exit code 2, and leaves no file behind. Nothing panics.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use tempfile::TempDir;
use wasmtime::component::Component;
use wasmtime::{Config, Engine, Module, Store};
use witprof::{Error, Profile, Recorder, SamplerChoice, SamplerKind, SignalProblem, SymbolMap};

/// A command of WASI 0.1 that is busy for some milliseconds.
const MODULE: &str = r#"(module
  (memory (export "memory") 1)
  (func (export "_start") (local i32) (local.set 0 (i32.const 20000000))
    (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0)))))"#;

/// A command of WASI 0.2 that is, too.
const COMPONENT: &str = r#"(component
  (core module $m (func (export "run") (result i32) (local i32) (local.set 0 (i32.const 20000000))
    (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))) (i32.const 0)))
  (core instance $i (instantiate $m))
  (func $run (result (result)) (canon lift (core func $i "run")))
  (instance $cli (export "run" (func $run)))
  (export "wasi:cli/run@0.2.0" (instance $cli)))"#;

/// Whether the platform has the signal sampler.
const HAS_SIGNALS: bool = cfg!(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")));

fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, contents) in [("module.wat", MODULE), ("component.wat", COMPONENT)] {
        std::fs::write(folder.path().join(name), contents).expect("writing a guest");
    }
    folder
}

fn witprof(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("INTEL_JIT_PROFILER64").args(arguments);
    command.output().expect("running witprof")
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").file_name());
    let mut names: Vec<String> = entries.map(|name| name.to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// What a combination of options comes to.
enum Outcome {
    /// It runs, sampled like this.
    Runs(SamplerKind),
    /// It runs, without samples, and a message says why, in these parts.
    Unsampled(&'static [&'static str]),
    /// It is refused, with a message that has these parts.
    Refused(&'static [&'static str]),
}

use Outcome::{Refused, Runs, Unsampled};

/// What the best sampler is where there is machine code.
const BEST: SamplerKind = if HAS_SIGNALS { SamplerKind::Signal } else { SamplerKind::Epoch };

const INTERPRETER: &[&str] = &["is interpreted (Pulley)"];
const TOLD_INTERPRETER: &[&str] = &["telling other profilers of", "is interpreted (Pulley)"];
const PULLEY: [&str; 2] = ["--target", "pulley64"];

#[test]
fn options_work_together_or_say_why_not() {
    let signal = if HAS_SIGNALS { Runs(SamplerKind::Signal) } else { Refused(&["Linux on x86-64 and AArch64 only"]) };
    let interpreted = if HAS_SIGNALS { INTERPRETER } else { &["Linux on x86-64 and AArch64 only"] };
    let perf = |runs: Outcome| if cfg!(target_os = "linux") { runs } else { Refused(&["is for Linux, where perf is"]) };
    let vtune: &[&str] = match () {
        () if cfg!(not(feature = "vtune")) => &["is not part of this program", "feature `vtune`"],
        () if cfg!(target_arch = "x86_64") => &["nobody listens", "INTEL_JIT_PROFILER64"],
        () => &["x86-64 only"],
    };
    let table: Vec<(&[&str], Outcome)> = vec![
        (&[], Runs(BEST)),
        (&["--sampler", "signal"], signal),
        (&["--sampler", "epoch"], Runs(SamplerKind::Epoch)),
        (&["-W", "epoch-interruption=n"], Runs(BEST)),
        (
            &["--sampler", "epoch", "-W", "epoch-interruption=n"],
            Refused(&["turns off what the epoch sampler works by"]),
        ),
        (&["-D", "address-map=n"], Runs(BEST)),
        (&["-D", "guest-debug"], Refused(&["guest debugging", "leave it out"])),
        (&["--profile", "perfmap"], Refused(&["`--profile` is Wasmtime's own profiler"])),
        (&["--profile", "jitdump"], Refused(&["`--profile` is Wasmtime's own profiler"])),
        (&["--profile", "vtune"], Refused(&["`--profile` is Wasmtime's own profiler"])),
        (&["--profile", "guest"], Refused(&["`--profile` is Wasmtime's own profiler"])),
        // Without machine code, epochs still work, and are chosen.
        (&PULLEY, Runs(SamplerKind::Epoch)),
        (&["--target", "pulley64", "--sampler", "epoch"], Runs(SamplerKind::Epoch)),
        (&["--target", "pulley64", "--sampler", "signal"], Refused(interpreted)),
        (
            &["--target", "pulley64", "-W", "epoch-interruption=n"],
            Unsampled(&["no samples are taken", "compiled without epoch interruption"]),
        ),
        (&["--perf-map"], perf(Runs(BEST))),
        (&["--jitdump"], perf(Runs(BEST))),
        (&["--perf-map", "--jitdump=."], perf(Runs(BEST))),
        (&["--jitdump=missing"], perf(Refused(&["missing/jit-", "perf inject --jit"]))),
        (&["--perf-map", "--target", "pulley64"], perf(Refused(TOLD_INTERPRETER))),
        (&["--jitdump", "--target", "pulley64"], perf(Refused(TOLD_INTERPRETER))),
        (&["--vtune"], Refused(vtune)),
        (&["--vtune", "--target", "pulley64"], Refused(vtune)),
        (&["--no-lines", "--trace-calls"], Runs(BEST)),
        (&["--path-map", "nothing"], Refused(&["not of the form FROM=TO"])),
        (&["--path-map", "=/x"], Refused(&["not of the form FROM=TO"])),
    ];
    for (options, outcome) in table {
        for guest in ["component.wat", "module.wat"] {
            // A table of names for perf is of the process, so it is never left behind by one that was refused.
            let folder = folder();
            let before = files(folder.path());
            let arguments = [&["run", "-o", "p.json"], options, &[guest]].concat();
            let output = witprof(folder.path(), &arguments);
            let message = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(!message.contains("panicked"), "{arguments:?}: {message}");
            match outcome {
                Runs(sampler) => {
                    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {message}");
                    let says = format!("; {} sampler", sampler.name());
                    assert!(message.contains(&says), "{arguments:?}: no {says:?} in {message}");
                    assert!(!message.contains("\n0 samples"), "{arguments:?}: {message}");
                }
                Unsampled(parts) => {
                    assert_eq!(output.status.code(), Some(0), "{arguments:?}: {message}");
                    for part in parts {
                        assert!(message.contains(part), "{arguments:?}: no {part:?} in {message}");
                    }
                }
                Refused(parts) => {
                    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
                    for part in parts {
                        assert!(message.contains(part), "{arguments:?}: no {part:?} in {message}");
                    }
                    assert_eq!(files(folder.path()), before, "{arguments:?} left files behind");
                }
            }
        }
    }
}

/// An engine for recorders.
fn engine(is_pulley: bool, has_epochs: bool, is_debugged: bool) -> Engine {
    let mut config = Config::new();
    config.epoch_interruption(has_epochs).guest_debug(is_debugged);
    if is_pulley {
        config.target("pulley64").expect("a target");
    }
    Engine::new(&config).expect("an engine")
}

/// What a recorder comes to.
#[derive(Debug, PartialEq)]
enum Start {
    Sampler(SamplerKind),
    NoEpochs,
    Interpreter,
    Platform,
}

#[test]
fn one_engine_for_modules_and_components_works_in_every_combination() {
    use SamplerChoice::{Auto, Epoch, Signal};

    let by_signal = |start: Start| if HAS_SIGNALS { start } else { Start::Platform };
    let auto = |without_signals: Start| if HAS_SIGNALS { Start::Sampler(SamplerKind::Signal) } else { without_signals };
    let by_epoch = || Start::Sampler(SamplerKind::Epoch);
    // Pulley, epochs.
    let table = [
        (Auto, (false, false), auto(Start::NoEpochs)),
        (Auto, (false, true), auto(by_epoch())),
        (Auto, (true, false), Start::NoEpochs),
        (Auto, (true, true), by_epoch()),
        (Signal, (false, false), by_signal(Start::Sampler(SamplerKind::Signal))),
        (Signal, (false, true), by_signal(Start::Sampler(SamplerKind::Signal))),
        (Signal, (true, false), by_signal(Start::Interpreter)),
        (Signal, (true, true), by_signal(Start::Interpreter)),
        (Epoch, (false, false), Start::NoEpochs),
        (Epoch, (false, true), by_epoch()),
        (Epoch, (true, false), Start::NoEpochs),
        (Epoch, (true, true), by_epoch()),
    ];
    for (choice, (is_pulley, has_epochs), expected) in table {
        let engine = engine(is_pulley, has_epochs, false);
        let component = Component::new(&engine, COMPONENT).expect("a component");
        let module = Module::new(&engine, MODULE).expect("a module");
        let map = |built: witprof::Result<SymbolMap>| Arc::new(built.expect("a map"));
        let component_map = map(SymbolMap::builder("component").build(&component));
        let module_map = map(SymbolMap::builder("module").build(&module));
        let recorder = Recorder::builder(Duration::from_micros(200))
            .sampler(choice)
            .code(component_map, &component)
            .code(module_map, &module)
            .start();
        let start = match &recorder {
            Ok(recorder) => Start::Sampler(recorder.sampler()),
            Err(Error::NoEpochs { .. }) => Start::NoEpochs,
            Err(Error::Signal { problem: SignalProblem::Interpreter { .. } }) => Start::Interpreter,
            Err(Error::Signal { problem: SignalProblem::Platform }) => Start::Platform,
            Err(error) => panic!("{choice:?} {is_pulley} {has_epochs}: {error}"),
        };
        assert_eq!(start, expected, "{choice:?}, Pulley {is_pulley}, epochs {has_epochs}");
        let Ok(recorder) = recorder else { continue };
        // The guests are short, and a busy machine may leave one of them without a sample: again, until both have been seen.
        let are_seen = |profile: &Profile| {
            let has = |part: &str| profile.libraries().iter().any(|library| library.name.starts_with(part));
            has("component/") && has("module")
        };
        for _ in 0..100 {
            run_both(&recorder, &engine, &component, &module);
            if are_seen(&recorder.snapshot()) {
                break;
            }
        }
        let profile = recorder.finish();
        support::check_profile(&profile);
        let seen: Vec<&str> = profile.libraries().iter().map(|library| library.name.as_str()).collect();
        assert!(are_seen(&profile), "{choice:?}, Pulley {is_pulley}, epochs {has_epochs}: {seen:?}");
    }
}

#[test]
fn code_that_is_debugged_has_no_map() {
    let engine = engine(false, true, true);
    let component = Component::new(&engine, COMPONENT).expect("a component");
    let error = SymbolMap::builder("component").build(&component).expect_err("private copies");
    assert!(matches!(error, Error::GuestDebug { .. }), "{error}");
    let module = Module::new(&engine, MODULE).expect("a module");
    let error = SymbolMap::builder("module").build(&module).expect_err("private copies");
    assert!(matches!(error, Error::GuestDebug { .. }), "{error}");
}

fn run_both(recorder: &Recorder, engine: &Engine, component: &Component, module: &Module) {
    let mut store = Store::new(engine, ());
    // No time limit: what holds where samples are taken by signals.
    store.set_epoch_deadline(u64::MAX / 2);
    recorder.attach(&mut store);
    let _active = recorder.enter();
    let instance = wasmtime::component::Linker::new(engine).instantiate(&mut store, component).expect("an instance");
    let run = instance.get_export_index(&mut store, None, "wasi:cli/run@0.2.0").expect("an interface");
    let run = instance.get_export_index(&mut store, Some(&run), "run").expect("a function");
    let run = instance.get_typed_func::<(), (Result<(), ()>,)>(&mut store, run).expect("a function");
    run.call(&mut store, ()).expect("a run").0.expect("success");
    let instance = wasmtime::Linker::new(engine).instantiate(&mut store, module).expect("an instance");
    let start = instance.get_typed_func::<(), ()>(&mut store, "_start").expect("a function");
    start.call(&mut store, ()).expect("a run");
}
