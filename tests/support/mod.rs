//! What several test binaries need.
#![allow(dead_code, unused_macros, unused_imports, reason = "each test binary uses a part of it")]
#![allow(missing_docs, unreachable_pub, reason = "test support")]

pub mod chromium;
pub mod firefox;
pub mod guests;
pub mod javascript;
pub mod large;
pub mod patience;
pub mod programs;
pub mod python;
pub mod serving;
pub mod stacks;
pub mod wit;

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use wasmtime::component::Component;
use wasmtime::{Config, Engine};
use witprof::export::write_firefox;
use witprof::{CodePoint, FunctionKind, Profile, Stack};

/// A command of WASI 0.3, lifted as async with a callback: what Wasmtime's own guest profiler reports no samples of.
pub const ASYNC_COMMAND: &str = r#"(component $command
  (core func $return (canon task.return (result (result))))
  (core module $main
    (import "[export]wasi:cli/run@0.3.0" "[task-return]run" (func $return (param i32)))
    (func $busy (local i32) (local.set 0 (i32.const 300000000))
      (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
    (func $run (export "[async-lift]wasi:cli/run@0.3.0#run") (result i32)
      (call $busy) (call $return (i32.const 0)) i32.const 0)
    (func $callback (export "[callback][async-lift]wasi:cli/run@0.3.0#run") (param i32 i32 i32) (result i32) i32.const 0))
  (core instance $i (instantiate $main
    (with "[export]wasi:cli/run@0.3.0" (instance (export "[task-return]run" (func $return))))))
  (func $run async (result (result)) (canon lift (core func $i "[async-lift]wasi:cli/run@0.3.0#run") async
    (callback (core func $i "[callback][async-lift]wasi:cli/run@0.3.0#run"))))
  (instance $cli (export "run" (func $run)))
  (export "wasi:cli/run@0.3.0" (instance $cli)))"#;

/// The root of the repository.
pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The bundled composition of two real components.
pub fn kitchen() -> PathBuf {
    root().join("examples/kitchen.wasm")
}

pub fn read(path: &Path) -> Vec<u8> {
    std::fs::read(path).unwrap_or_else(|error| panic!("reading {}: {error}", path.display()))
}

/// What was compressed with gzip.
pub fn gunzip(bytes: &[u8]) -> Vec<u8> {
    let mut plain = Vec::new();
    std::io::Read::read_to_end(&mut flate2::read::GzDecoder::new(bytes), &mut plain).expect("a complete gzip file");
    plain
}

/// An engine with everything that components in the tests use.
pub fn config() -> Config {
    let mut config = Config::new();
    config
        .wasm_memory64(true)
        .wasm_component_model_async(true)
        .wasm_component_model_more_async_builtins(true)
        .wasm_component_model_async_stackful(true)
        .wasm_component_model_threading(true)
        .wasm_component_model_error_context(true)
        .epoch_interruption(true);
    config
}

pub fn engine() -> Engine {
    Engine::new(&config()).expect("a configuration that Wasmtime supports here")
}

/// An engine whose images `witprof run` accepts: its defaults, with epoch interruption.
pub fn engine_like_the_command_line() -> Engine {
    Engine::new(Config::new().epoch_interruption(true)).expect("a configuration that Wasmtime supports here")
}

/// Compiles WAT or a binary.
pub fn component(engine: &Engine, bytes: &[u8]) -> Component {
    Component::new(engine, bytes).unwrap_or_else(|error| panic!("compiling a component: {error:?}"))
}

/// Compares `actual` with the file `golden`, or rewrites it if `WITPROF_BLESS` is set.
pub fn assert_golden(golden: &Path, actual: &str) {
    if std::env::var_os("WITPROF_BLESS").is_some() {
        std::fs::write(golden, actual).expect("writing a golden file");
        return;
    }
    let expected = std::fs::read_to_string(golden).unwrap_or_default();
    let difference = expected.lines().zip(actual.lines()).position(|(expected, actual)| expected != actual);
    assert!(
        expected == actual,
        "{} differs, first in line {}. If the new text is right, run the tests with WITPROF_BLESS=1.\n{actual}",
        golden.display(),
        difference.unwrap_or_else(|| expected.lines().count().min(actual.lines().count())) + 1,
    );
}

/// What must be true of any profile. Returns its Firefox file.
pub fn check_profile(profile: &Profile) -> Value {
    let counts = profile.counts();
    assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>(), "{counts:?}");
    let samples = profile.threads().iter().flat_map(|thread| &thread.samples);
    assert_eq!(samples.clone().map(|sample| sample.count).sum::<u64>(), counts.kept);
    assert!(samples.clone().all(|sample| sample.cpu <= sample.wall));
    for thread in profile.threads() {
        assert!(thread.samples.is_sorted_by_key(|sample| sample.time));
    }
    for (index, stack) in profile.stacks().iter().enumerate() {
        assert!(stack.caller.is_none_or(|caller| caller.index() < index));
        let frame = profile.frames()[stack.frame.index()];
        let function = &profile.functions()[frame.function.index()];
        if function.kind == FunctionKind::Inlined {
            let around = profile.stacks()[stack.caller.expect("what it is inlined into").index()].frame;
            let around = profile.frames()[around.index()];
            assert_eq!((frame.point, frame.instruction), (around.point, around.instruction), "{}", function.name);
            continue;
        }
        let offset = frame.point.lookup_offset().get();
        assert!(offset >= function.offset && offset - function.offset < function.size, "{}", function.name);
    }
    // A leaf is where the instruction pointer was, a caller where execution will return to.
    let is_inlined = |stack: &&Stack| {
        let function = profile.frames()[stack.frame.index()].function;
        profile.functions()[function.index()].kind == FunctionKind::Inlined
    };
    let calls = profile.stacks().iter().filter(|stack| !is_inlined(stack));
    let callers: HashSet<_> = calls.filter_map(|stack| stack.caller).collect();
    for sample in samples {
        let frame = profile.frames()[profile.stacks()[sample.stack.index()].frame.index()];
        assert!(matches!(frame.point, CodePoint::InstructionPointer(_)));
    }
    for caller in callers {
        let frame = profile.frames()[profile.stacks()[caller.index()].frame.index()];
        assert!(matches!(frame.point, CodePoint::ReturnAddress(_)));
    }
    let mut json = Vec::new();
    write_firefox(profile, &mut json).expect("writing to memory");
    let json: Value = serde_json::from_slice(&json).expect("valid JSON");
    let milliseconds = firefox::validate(&json);
    let expected = profile.wall_time().as_secs_f64() * 1000.0;
    // Each row is rounded to a microsecond.
    let rows: u64 = profile.counts().kept * 2;
    assert!((milliseconds - expected).abs() <= 0.001 * rows as f64 + 1e-6, "{milliseconds} instead of {expected}");
    json
}

/// CPU time of the current thread.
#[cfg(unix)]
pub fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).expect("below a second"))
}

/// Start, size and name of each line of a perf map.
pub fn perf_map_entries(map: &str) -> Vec<(u64, u64, &str)> {
    let hexadecimal = |text: &str| u64::from_str_radix(text, 16).expect("a hexadecimal number");
    map.lines()
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let (start, size, name) = (parts.next(), parts.next(), parts.next());
            (hexadecimal(start.expect("a start")), hexadecimal(size.expect("a size")), name.expect("a name"))
        })
        .collect()
}
