//! The command line on real and on broken input. Every test runs `witprof` in a process of its own.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::io::Read as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

const EPOCH_LOOP: &str = "(func $forever (loop $l br $l))";

fn witprof(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).stdin(Stdio::null()).env_remove("RUST_BACKTRACE");
    command
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

fn run(folder: &Path, arguments: &[&str]) -> Output {
    witprof(folder).args(arguments).output().expect("running witprof")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn write(folder: &Path, name: &str, contents: impl AsRef<[u8]>) {
    std::fs::write(folder.join(name), contents).expect("writing a test file");
}

/// Reads a Firefox profile and checks it.
fn profile(path: &Path) -> Value {
    let bytes = support::read(path);
    let json = if path.extension().is_some_and(|end| end == "gz") { support::gunzip(&bytes) } else { bytes };
    let json: Value = serde_json::from_slice(&json).expect("complete JSON");
    support::firefox::validate(&json);
    json
}

/// Fails with exit code 2 and a message that contains all of `parts`, prints nothing to stdout, and leaves no file.
fn assert_refused(folder: &Path, arguments: &[&str], parts: &[&str]) {
    let before = files(folder);
    let output = run(folder, arguments);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{arguments:?}: {message}");
    assert!(output.stdout.is_empty(), "{arguments:?}: {}", text(&output.stdout));
    for part in parts {
        assert!(message.contains(part), "{arguments:?}: no {part:?} in: {message}");
    }
    assert!(!message.contains("panicked"), "{arguments:?}: {message}");
    assert_eq!(files(folder), before, "{arguments:?} left files behind");
}

fn files(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("the folder");
    let mut names: Vec<_> =
        entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// A wasip1 program with `code` as its `_start`.
fn program(code: &str) -> String {
    format!(
        "(module $program
          (import \"wasi_snapshot_preview1\" \"proc_exit\" (func $exit (param i32)))
          (memory (export \"memory\") 1)
          (func $spin (local i32) (local.set 0 (i32.const 30000000))
            (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
          {EPOCH_LOOP}
          (func $_start (export \"_start\") (call $spin) {code}))"
    )
}

#[test]
fn the_bundled_component_runs_and_its_hot_function_is_on_top() {
    let folder = folder();
    let kitchen = support::kitchen();
    let output = run(folder.path(), &["run", "-o", "k.json", "-o", "k.json.gz", &kitchen.to_string_lossy(), "600"]);
    let (stdout, stderr) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stdout.contains("primes"), "{stdout}");
    assert!(!stdout.contains("samples"), "messages must not mix with the guest's output: {stdout}");
    let hottest = stderr.lines().skip_while(|line| !line.contains("function")).nth(1).unwrap_or_default();
    assert!(hottest.contains("app::count_primes"), "{stderr}");
    // A signal may come while the thread is at work for the sampler itself, or right after another on a busy machine.
    let counts = stderr.lines().find(|line| line.contains("samples taken")).expect("the counts");
    let mut counts = counts.split(|char: char| !char.is_ascii_digit()).filter_map(|number| number.parse::<u64>().ok());
    let (taken, kept, lost) = (counts.next(), counts.next(), counts.next());
    let (Some(taken), Some(kept), Some(lost)) = (taken, kept, lost) else { panic!("{stderr}") };
    assert!(taken == kept + lost && lost * 4 < taken, "{stderr}");
    let plain = profile(&folder.path().join("k.json"));
    assert_eq!(plain, profile(&folder.path().join("k.json.gz")));
    let libraries: Vec<&str> =
        plain["libs"].as_array().expect("libs").iter().filter_map(|library| library["name"].as_str()).collect();
    assert!(libraries.contains(&"demo:math/ops@0.1.0 (app -> provider)"), "{libraries:?}");
    assert!(libraries.iter().any(|name| name.starts_with("wasi:cli/run@0.2")), "{libraries:?}");
    assert_eq!(files(folder.path()), ["k.json", "k.json.gz"]);
}

#[test]
fn calls_are_traced_when_asked_for() {
    let folder = folder();
    let kitchen = support::kitchen();
    let kitchen = kitchen.to_string_lossy();
    let counts = |rounds: &str, option: &str| {
        let output = run(folder.path(), &["run", option, "-o", "k.json", &kitchen, rounds]);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{stderr}");
        assert!(stderr.contains("wasi:cli/run@0.2.0#run (export)"), "{stderr}");
        let output = run(folder.path(), &["report", "--calls", "--json", "k.json"]);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
        let report: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let calls = report["calls"].as_array().expect("calls").clone();
        let count = |function: &str| {
            let of = calls.iter().find(|row| row["function"] == function).unwrap_or_else(|| panic!("{report:#}"));
            (of["count"].as_u64().expect("a number"), of["times"].clone())
        };
        ["run", "counter.constructor", "counter.increment"].map(count)
    };
    let [few_runs, few_made, few_increments] = counts("30", "--trace-calls");
    let [runs, made, increments] = counts("60", "--trace-calls=cpu");
    assert_eq!((few_runs.0, runs.0), (1, 1));
    assert!(few_runs.1["cpu_ms"].is_null() && runs.1["cpu_ms"].as_f64().is_some_and(|time| time > 0.0));
    for (few, more) in [(few_made, made), (few_increments, increments)] {
        assert!(few.0 >= 30 && more.0 == few.0 * 2, "{few:?} and {more:?}");
        assert!(few.1.is_null(), "of crossings no time is known");
    }
    let output = run(folder.path(), &["report", "--calls", "k.json"]);
    assert!(text(&output.stdout).contains("demo:math/ops@0.1.0#counter.increment (internal)"));
    // Memories are followed always.
    let json = profile(&folder.path().join("k.json"));
    let memories: Vec<&str> =
        json["counters"].as_array().expect("counters").iter().filter_map(|counter| counter["name"].as_str()).collect();
    assert!(memories.iter().any(|name| name.starts_with("memory of ")), "{memories:?}");
    run(folder.path(), &["run", "--quiet", "-o", "k.json", &kitchen, "1"]);
    assert_refused(folder.path(), &["report", "--calls", "k.json"], &["--trace-calls"]);
}

#[test]
fn names_are_readable_unless_they_are_wanted_raw() {
    let folder = folder();
    let kitchen = support::kitchen();
    let names = |option: &str| {
        let output = run(folder.path(), &["map", option, "--json", &kitchen.to_string_lossy()]);
        let map: Value = serde_json::from_slice(&output.stdout).expect("JSON");
        let functions = map["functions"].as_array().expect("functions").clone();
        functions.iter().filter_map(|function| function["name"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    let is_mangled = |name: &String| name.starts_with("_ZN") || name.starts_with("_R");
    let readable = names("-Oopt-level=2");
    assert!(!readable.iter().any(is_mangled) && readable.iter().any(|name| name == "app::count_primes"));
    let raw = names("--raw-names");
    assert!(raw.iter().any(is_mangled) && !raw.iter().any(|name| name == "app::count_primes"));
    assert_eq!(raw.len(), readable.len());
}

#[cfg(target_os = "linux")]
#[test]
fn perf_is_told_no_names_of_interpreted_code() {
    let folder = folder();
    let kitchen = support::kitchen();
    let arguments = ["run", "--perf-map", "--target", "pulley64", "-o", "k.json", &kitchen.to_string_lossy(), "1"];
    assert_refused(folder.path(), &arguments, &["interpreted (Pulley)"]);
}

#[test]
fn without_an_output_the_profile_is_named_after_the_component() {
    let folder = folder();
    write(folder.path(), "tiny.wat", program(""));
    let output = run(folder.path(), &["run", "tiny.wat"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    profile(&folder.path().join("witprof-tiny.json.gz"));
}

#[test]
fn quiet_prints_nothing() {
    let folder = folder();
    write(folder.path(), "tiny.wat", program(""));
    let output = run(folder.path(), &["run", "--quiet", "-o", "p.json", "tiny.wat"]);
    assert_eq!((text(&output.stdout), text(&output.stderr)), (String::new(), String::new()));
    profile(&folder.path().join("p.json"));
}

#[test]
fn a_guest_that_exits_keeps_its_code_and_leaves_a_profile() {
    let folder = folder();
    write(folder.path(), "exit.wat", program("(call $exit (i32.const 42))"));
    let output = run(folder.path(), &["run", "-o", "p.json", "exit.wat"]);
    assert_eq!(output.status.code(), Some(42), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("spin  [program]"), "{}", text(&output.stderr));
    profile(&folder.path().join("p.json"));
}

#[test]
fn a_guest_that_traps_leaves_a_profile() {
    let folder = folder();
    write(folder.path(), "trap.wat", program("unreachable"));
    let output = run(folder.path(), &["run", "-o", "p.json", "trap.wat"]);
    // As `wasmtime run` does: 128 + SIGABRT.
    assert_eq!(output.status.code(), Some(134), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("unreachable"), "{}", text(&output.stderr));
    profile(&folder.path().join("p.json"));
}

#[test]
fn a_guest_out_of_memory_leaves_a_profile() {
    let folder = folder();
    let code = "(loop $l (br_if $l (i32.ne (memory.grow (i32.const 100)) (i32.const -1)))) unreachable";
    write(folder.path(), "oom.wat", program(code));
    let output = run(folder.path(), &["run", "-o", "p.json", "-W", "max-memory-size=10000000", "oom.wat"]);
    assert_eq!(output.status.code(), Some(134), "{}", text(&output.stderr));
    profile(&folder.path().join("p.json"));
}

#[test]
fn a_time_limit_ends_a_guest_that_never_would() {
    let folder = folder();
    write(folder.path(), "loop.wat", program("(call $forever)"));
    let output = run(folder.path(), &["run", "-o", "p.json", "-W", "timeout=300ms", "loop.wat"]);
    assert_eq!(output.status.code(), Some(134), "{}", text(&output.stderr));
    assert!(text(&output.stderr).contains("forever  [program]"), "{}", text(&output.stderr));
    profile(&folder.path().join("p.json"));
}

/// The signals that this process ignores, one bit each, the first signal lowest.
#[cfg(unix)]
fn ignored_signals() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(unix)]
#[test]
fn an_interrupted_guest_leaves_a_profile() {
    // What this test was started to ignore, as a background job is SIGINT, its children ignore as well.
    let ignored = ignored_signals();
    let signals = [("INT", 2), ("TERM", 15)].into_iter().filter(|(_, number)| ignored & (1 << (number - 1)) == 0);
    for (signal, number) in signals {
        let code = 128 + number;
        let folder = folder();
        // Says that it runs, then never ends.
        let wat = "(module $program
          (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
          (memory (export \"memory\") 1)
          (data (i32.const 0) \"\\08\\00\\00\\00\\06\\00\\00\\00ready\\0a\")
          (func $forever (loop $l br $l))
          (func $_start (export \"_start\")
            (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))
            (call $forever)))";
        write(folder.path(), "loop.wat", wat);
        let mut child = witprof(folder.path())
            .args(["run", "-o", "p.json", "loop.wat"])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("starting witprof");
        let mut ready = [0; 6];
        child.stdout.as_mut().expect("its stdout").read_exact(&mut ready).expect("the guest's message");
        assert_eq!(&ready, b"ready\n");
        // The shell's own `kill`, because not every system has a program of that name.
        let kill = Command::new("sh").args(["-c", &format!("kill -s {signal} {}", child.id())]).status().expect("sh");
        assert!(kill.success());
        let output = child.wait_with_output().expect("witprof's end");
        assert_eq!(output.status.code(), Some(code), "{}", text(&output.stderr));
        profile(&folder.path().join("p.json"));
        assert_eq!(files(folder.path()), ["loop.wat", "p.json"]);
    }
}

#[test]
fn a_recording_begins_and_ends_when_it_is_asked_to() {
    let folder = folder();
    let kitchen = support::kitchen();
    let kitchen = kitchen.to_str().expect("UTF-8");
    let elapsed = |options: &[&str]| {
        let output = run(folder.path(), &[&["run", "-o", "p.json"], options, &[kitchen, "400"]].concat());
        let message = text(&output.stderr);
        // Whatever is recorded, the guest goes on to its end.
        assert!(output.status.success() && text(&output.stdout).contains("primes:"), "{message}");
        let json = profile(&folder.path().join("p.json"));
        (json["meta"]["witprof"]["elapsed_ns"].as_u64().expect("a time"), message)
    };
    let (all, _) = elapsed(&[]);
    let (part, message) = elapsed(&["--duration", "1ms"]);
    assert!(part < all && message.contains("profile: p.json"), "{part} of {all}: {message}");
    let (late, message) = elapsed(&["--delay", "1h"]);
    assert!(late == 0 && message.contains("had not begun"), "{late}: {message}");
    #[cfg(target_os = "linux")]
    {
        let (by_call, _) = elapsed(&["--from-call", "wasi:cli/run#run"]);
        assert!(by_call > 0);
        let (by_call, _) = elapsed(&["--from-call", "wasi:clocks/monotonic-clock#now,3", "--trace-calls"]);
        assert!(by_call > 0);
        assert_refused(
            folder.path(),
            &["run", "--from-call", "nope#x", kitchen],
            &["nope#x", "wasi:cli/run@0.2.0#run"],
        );
    }
    for (option, value) in [("--delay", "soon"), ("--from-call", "x,0"), ("--from-call", ""), ("--every", "0s")] {
        assert_refused(folder.path(), &["run", option, value, kitchen], &[option]);
    }
    assert_refused(folder.path(), &["run", "--slower-than", "5ms", kitchen], &["--trace-calls"]);
    assert_refused(
        folder.path(),
        &["run", "--every", "1s", "-o", "/dev/null", "--format", "folded", kitchen],
        &["--every"],
    );
}

#[cfg(unix)]
#[test]
fn what_there_is_is_written_again_and_again() {
    let folder = folder();
    write(folder.path(), "loop.wat", "(module (func (export \"_start\") (loop $l (br $l))))");
    let mut command = witprof(folder.path());
    command.args(["run", "--every", "10ms", "-o", "p.json", "loop.wat"]).stderr(Stdio::null());
    let mut child = command.spawn().expect("starting witprof");
    let path = folder.path().join("p.json");
    let mut taken = Vec::new();
    let begin = Instant::now();
    while taken.len() < 3 {
        assert!(begin.elapsed() < Duration::from_secs(60), "{taken:?}");
        if path.exists() {
            // Complete, whenever one looks.
            let now = profile(&path)["meta"]["witprof"]["taken"].as_u64().expect("a number");
            if taken.last().is_none_or(|last| *last < now) {
                taken.push(now);
            }
        }
    }
    let kill = format!("kill -s TERM {}", child.id());
    assert!(Command::new("sh").args(["-c", &kill]).status().expect("sh").success());
    assert_eq!(child.wait().expect("its end").code(), Some(128 + 15));
    assert!(profile(&path)["meta"]["witprof"]["taken"].as_u64() >= taken.last().copied());
    assert_eq!(files(folder.path()), ["loop.wat", "p.json"]);
}

#[test]
fn a_command_of_wasi_0_3_is_run_and_profiled() {
    let folder = folder();
    write(folder.path(), "p3.wat", support::ASYNC_COMMAND);
    let output = run(folder.path(), &["run", "-S", "p3", "-W", "component-model-async", "-o", "p.json", "p3.wat"]);
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("busy  [command/main]"), "{stderr}");
    assert!(stderr.contains("wasi:cli/run@0.3.0 (export)"), "{stderr}");
    profile(&folder.path().join("p.json"));
}

#[test]
fn stdin_goes_to_the_guest_and_stdout_comes_from_it() {
    let folder = folder();
    // Reads 6 bytes from stdin and writes them to stdout.
    let wat = "(module $echo
      (import \"wasi_snapshot_preview1\" \"fd_read\" (func $read (param i32 i32 i32 i32) (result i32)))
      (import \"wasi_snapshot_preview1\" \"fd_write\" (func $write (param i32 i32 i32 i32) (result i32)))
      (memory (export \"memory\") 1)
      (data (i32.const 0) \"\\10\\00\\00\\00\\06\\00\\00\\00\")
      (func $_start (export \"_start\")
        (drop (call $read (i32.const 0) (i32.const 0) (i32.const 1) (i32.const 100)))
        (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 100)))))";
    write(folder.path(), "echo.wat", wat);
    write(folder.path(), "input", "hello\n");
    let input = std::fs::File::open(folder.path().join("input")).expect("the input");
    let mut command = witprof(folder.path());
    let output = command.args(["run", "-o", "p.json", "echo.wat"]).stdin(input).output().expect("running witprof");
    assert_eq!(text(&output.stdout), "hello\n", "{}", text(&output.stderr));
}

#[cfg(unix)]
#[test]
fn a_profile_can_be_written_to_a_pipe() {
    let folder = folder();
    write(folder.path(), "tiny.wat", program(""));
    std::os::unix::fs::symlink("/dev/stdout", folder.path().join("out.json")).expect("a link");
    let output = run(folder.path(), &["run", "--quiet", "-o", "out.json", "tiny.wat"]);
    let json: Value = serde_json::from_slice(&output.stdout).expect("complete JSON on stdout");
    support::firefox::validate(&json);
}

#[test]
fn the_guest_gets_arguments_and_its_own_exit_code() {
    let folder = folder();
    let kitchen = support::kitchen();
    let output = run(folder.path(), &["run", "--quiet", "-o", "p.json", &kitchen.to_string_lossy(), "not a number"]);
    // The bundled program refuses arguments that are not numbers.
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stderr));
    profile(&folder.path().join("p.json"));
}

#[test]
fn precompiled_components_run_and_are_mapped() {
    let folder = folder();
    let engine = support::engine_like_the_command_line();
    let image = engine.precompile_component(&support::read(&support::kitchen())).expect("compiling");
    write(folder.path(), "k.cwasm", image);
    assert_refused(folder.path(), &["run", "-o", "p.json", "k.cwasm", "30"], &["--allow-precompiled"]);
    // With or without checks of epochs: the signal sampler takes code as it is.
    let plain = wasmtime::Engine::default().precompile_component(&support::read(&support::kitchen()));
    write(folder.path(), "plain.cwasm", plain.expect("compiling"));
    let choices: [(&str, &[&str]); 3] = [("k.cwasm", &[]), ("k.cwasm", &["--sampler", "epoch"]), ("plain.cwasm", &[])];
    for (file, options) in choices {
        let arguments = [&["run", "--allow-precompiled", "-o", "p.json"], options, &[file, "100"]].concat();
        let output = run(folder.path(), &arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", text(&output.stderr));
        profile(&folder.path().join("p.json"));
    }
    let map = run(folder.path(), &["map", "--json", "k.cwasm"]);
    let map: Value = serde_json::from_slice(&map.stdout).expect("a JSON map");
    assert_eq!((&map["component"], &map["unattributed_bytes"]), (&Value::from("k"), &Value::from(0)));
}

#[test]
fn precompiled_files_that_cannot_work_say_why() {
    let folder = folder();
    let kitchen = support::read(&support::kitchen());
    let engine = wasmtime::Engine::default();
    write(folder.path(), "no-epochs.cwasm", engine.precompile_component(&kitchen).expect("compiling"));
    let arguments = ["run", "--allow-precompiled", "--sampler", "epoch", "no-epochs.cwasm"];
    assert_refused(folder.path(), &arguments, &["epoch", "wasmtime compile -W epoch-interruption"]);

    let mut image = support::engine_like_the_command_line().precompile_component(&kitchen).expect("compiling");
    // The major version with its length in front.
    let version = find(&image, b"\x0248").expect("the version of Wasmtime") + 1;
    image[version..version + 2].copy_from_slice(b"47");
    write(folder.path(), "other-version.cwasm", &image);
    assert_refused(folder.path(), &["run", "--allow-precompiled", "other-version.cwasm"], &["version"]);
    assert_refused(folder.path(), &["map", "other-version.cwasm"], &["Wasmtime 47", "Wasmtime 48"]);

    image[version..version + 2].copy_from_slice(b"48");
    if let Some(target) = find(&image, b"x86_64-unknown-linux-gnu") {
        image[target..target + 6].copy_from_slice(b"mips64");
        write(folder.path(), "other-cpu.cwasm", &image);
        assert_refused(folder.path(), &["run", "--allow-precompiled", "other-cpu.cwasm"], &["mips64", "CPU"]);
    }
    let pulley =
        wasmtime::Engine::new(wasmtime::Config::new().epoch_interruption(true).target("pulley64").expect("a target"));
    let image = pulley.expect("an engine").precompile_component(&kitchen).expect("compiling");
    write(folder.path(), "pulley.cwasm", image);
    assert_refused(folder.path(), &["run", "--allow-precompiled", "pulley.cwasm"], &["pulley64", "CPU"]);
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

#[test]
fn bad_files_are_refused() {
    let folder = folder();
    let kitchen = support::read(&support::kitchen());
    write(folder.path(), "text.wasm", "this is not WebAssembly");
    write(folder.path(), "empty.wasm", "");
    write(folder.path(), "noise.wasm", [0xff; 4096]);
    write(folder.path(), "truncated.wasm", &kitchen[..kitchen.len() / 2]);
    write(
        folder.path(),
        "half.cwasm",
        &wasmtime::Engine::default().precompile_component(&kitchen).expect("compiling")[..5000],
    );
    for command in [&["run", "--allow-precompiled"][..], &["map"]] {
        for file in ["text.wasm", "empty.wasm", "noise.wasm", "truncated.wasm", "half.cwasm", "missing.wasm"] {
            let arguments: Vec<&str> = command.iter().copied().chain([file]).collect();
            assert_refused(folder.path(), &arguments, &[file]);
        }
    }
}

#[test]
fn bit_flips_never_panic() {
    let folder = folder();
    let original = wat::parse_file(support::root().join("tests/map/resources.wat")).expect("WAT");
    for position in (8..original.len()).step_by(original.len() / 40) {
        let mut flipped = original.clone();
        flipped[position] ^= 0x10;
        write(folder.path(), "flipped.wasm", &flipped);
        let output = run(folder.path(), &["map", "flipped.wasm"]);
        assert!(matches!(output.status.code(), Some(0 | 2)), "{position}: {}", text(&output.stderr));
        assert!(!text(&output.stderr).contains("panicked"), "{position}: {}", text(&output.stderr));
    }
}

#[test]
fn missing_imports_are_named() {
    let folder = folder();
    write(
        folder.path(),
        "needs.wat",
        "(component
          (import \"demo:a/one@1.0.0\" (instance (export \"f\" (func))))
          (import \"demo:b/two@1.0.0\" (instance (export \"r\" (type (sub resource))) (export \"g\" (func (result u32)))))
          (core module $m (func (export \"run\") (result i32) i32.const 0))
          (core instance $i (instantiate $m))
          (func $run (result (result)) (canon lift (core func $i \"run\")))
          (instance $cli (export \"run\" (func $run)))
          (export \"wasi:cli/run@0.2.0\" (instance $cli)))",
    );
    assert_refused(folder.path(), &["run", "needs.wat"], &["demo:a/one@1.0.0", "demo:b/two@1.0.0"]);
    let many: String = (0..40)
        .map(|number| format!("(import \"demo:many/interface-{number}@1.0.0\" (instance (export \"f\" (func))))"))
        .collect();
    let many = format!(
        "(component {many} (core module $m (func (export \"run\") (result i32) i32.const 0))
          (core instance $i (instantiate $m)) (func $run (result (result)) (canon lift (core func $i \"run\")))
          (instance $cli (export \"run\" (func $run))) (export \"wasi:cli/run@0.2.0\" (instance $cli)))"
    );
    write(folder.path(), "many.wat", many);
    assert_refused(folder.path(), &["run", "many.wat"], &["interface-0@", "interface-39@"]);
    write(folder.path(), "needs-core.wat", "(module (import \"env\" \"f\" (func)) (import \"env\" \"g\" (func)))");
    assert_refused(folder.path(), &["run", "needs-core.wat"], &["env f", "env g"]);
}

#[test]
fn a_component_that_is_no_command_says_what_it_exports() {
    let folder = folder();
    let wat = support::root().join("tests/map/one_module.wat");
    assert_refused(folder.path(), &["run", &wat.to_string_lossy()], &["wasi:cli/run", "answer", "--invoke"]);
    let output = run(folder.path(), &["run", "--invoke", "answer()", "-o", "p.json", &wat.to_string_lossy()]);
    assert_eq!(text(&output.stdout).trim(), "42", "{}", text(&output.stderr));
    profile(&folder.path().join("p.json"));
}

#[test]
fn usage_errors_are_refused_before_anything_runs() {
    let folder = folder();
    write(folder.path(), "tiny.wat", program(""));
    for interval in ["0", "0ms", "1ns", "2000s", "soon", "-1ms"] {
        assert_refused(folder.path(), &["run", &format!("--interval={interval}"), "tiny.wat"], &["--interval"]);
    }
    assert_refused(folder.path(), &["run", "--sampler", "magic", "tiny.wat"], &["--sampler"]);
    assert_refused(folder.path(), &["run", "-o", "nowhere/p.json", "tiny.wat"], &["nowhere/p.json"]);
    assert_refused(folder.path(), &["run", "-o", "profile.txt", "tiny.wat"], &["profile.txt", ".json"]);
    assert_refused(folder.path(), &["run", "--profile=perfmap", "tiny.wat"], &["--profile"]);
    assert_refused(folder.path(), &["run", "--profile=guest", "tiny.wat"], &["--profile"]);
    assert_refused(folder.path(), &["run", "-D", "guest-debug", "tiny.wat"], &["debug"]);
    assert_refused(folder.path(), &["map", "-D", "guest-debug", "tiny.wat"], &["debug"]);
    assert_refused(folder.path(), &["run", "--sampler", "epoch", "-W", "epoch-interruption=n", "tiny.wat"], &["epoch"]);
    assert_refused(folder.path(), &["run"], &["WASM"]);
    assert_refused(folder.path(), &["frobnicate"], &["frobnicate"]);
    std::fs::create_dir(folder.path().join("folder.json")).expect("a folder");
    assert_refused(folder.path(), &["run", "-o", "folder.json", "tiny.wat"], &["folder.json", "directory"]);
}

#[test]
fn the_component_is_never_overwritten() {
    let folder = folder();
    let wasm = wat::parse_str(program("")).expect("WAT");
    write(folder.path(), "app.json", &wasm);
    assert_refused(folder.path(), &["run", "-o", "app.json", "app.json"], &["app.json", "input"]);
    assert_refused(folder.path(), &["run", "-o", "./app.json", "app.json"], &["input"]);
    assert_refused(folder.path(), &["map", "-o", "app.json", "app.json"], &["input"]);
    assert_eq!(support::read(&folder.path().join("app.json")), wasm);
    assert_refused(folder.path(), &["run", "-o", "p.json", "-o", "./p.json", "app.json"], &["twice"]);
    assert_refused(folder.path(), &["run", "-o", "p.json/", "app.json"], &["p.json/"]);
    let long = format!("{}.json", "x".repeat(300));
    assert_refused(folder.path(), &["run", "-o", &long, "app.json"], &["opening"]);
}

#[test]
fn a_closed_stderr_changes_nothing() {
    let folder = folder();
    write(folder.path(), "exit.wat", program("(call $exit (i32.const 42))"));
    for (arguments, code) in
        [(&["run", "-o", "p.json", "exit.wat"][..], 42), (&["run", "missing.wat"], 2), (&["map", "missing.wat"], 2)]
    {
        let mut command = witprof(folder.path());
        let mut child = command.args(arguments).stderr(Stdio::piped()).spawn().expect("starting witprof");
        drop(child.stderr.take());
        assert_eq!(child.wait().expect("its end").code(), Some(code), "{arguments:?}");
    }
    profile(&folder.path().join("p.json"));
}

#[test]
fn an_existing_profile_survives_a_failed_run() {
    let folder = folder();
    write(folder.path(), "p.json", "precious");
    write(folder.path(), "bad.wasm", "bad");
    assert_refused(folder.path(), &["run", "-o", "p.json", "bad.wasm"], &["bad.wasm"]);
    assert_eq!(std::fs::read_to_string(folder.path().join("p.json")).expect("the old file"), "precious");
}

#[test]
fn components_that_wit_cannot_describe_are_mapped_without_signatures() {
    let folder = folder();
    for wat in [
        "(component (import \"a:b/c\" (func)))",
        "(component (import \"url=<https://example.com>\" (func)))",
        "(component (component (import \"a:b/c\" (func))))",
        "(component (core module $m (func (export \"f\"))) (core instance $i (instantiate $m))
           (func $f (canon lift (core func $i \"f\"))) (export \"a:b/c@1.0.0\" (func $f)))",
    ] {
        write(folder.path(), "odd.wat", wat);
        let output = run(folder.path(), &["map", "--functions", "odd.wat"]);
        assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()), "{wat}");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_that_was_ignored_stays_ignored() {
    let folder = folder();
    write(folder.path(), "tiny.wat", program(""));
    // As `nohup` starts it; the shell sends the signal to itself and to its child before the child can end.
    let script = format!(
        "trap '' HUP; {} run --quiet -o p.json tiny.wat & kill -s HUP $!; wait $!",
        env!("CARGO_BIN_EXE_witprof")
    );
    let status = Command::new("sh").args(["-c", &script]).current_dir(folder.path()).status().expect("sh");
    assert_eq!(status.code(), Some(0));
    profile(&folder.path().join("p.json"));
}

#[test]
fn every_option_of_wasmtime_run_is_there() {
    let folder = folder();
    let help = text(&run(folder.path(), &["run", "--help"]).stdout);
    for option in [
        "--allow-precompiled",
        "--argv0",
        "--config",
        "--dir",
        "--env",
        "--invoke",
        "--preload",
        "-C,",
        "-D,",
        "-O,",
        "-S,",
        "-W,",
        "--output",
        "--interval",
        "--sampler",
        "--quiet",
    ] {
        assert!(help.contains(option), "no {option} in: {help}");
    }
}

#[test]
fn every_compiler_and_target_is_mapped_and_profiled() {
    let folder = folder();
    let kitchen = support::kitchen().to_string_lossy().into_owned();
    let choices: [&[&str]; 6] = [
        &["-C", "compiler=winch"],
        &["--target", "pulley64"],
        &["-C", "inlining"],
        &["-O", "opt-level=0"],
        &["-O", "pooling-allocator"],
        &["-W", "fuel=1000000000000"],
    ];
    for options in choices {
        let map = run(folder.path(), &[&["map", "--json"], options, &[&kitchen]].concat());
        let map: Value =
            serde_json::from_slice(&map.stdout).unwrap_or_else(|_| panic!("{options:?}: {}", text(&map.stderr)));
        assert_eq!(map["unattributed_bytes"], 0, "{options:?}");
        let output = run(folder.path(), &[&["run", "-o", "p.json"], options, &[&kitchen, "60"]].concat());
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{options:?}: {stderr}");
        // Inlining moves the hot function into its caller.
        let report = run(folder.path(), &["report", "--by", "function", "--top", "1000", "p.json"]);
        let report = text(&report.stdout);
        assert!(report.contains("app::count_primes") || report.contains("app::main"), "{options:?}: {report}");
        profile(&folder.path().join("p.json"));
    }
}

#[test]
fn the_map_of_the_bundled_component_is_printed() {
    let folder = folder();
    let kitchen = support::kitchen().to_string_lossy().into_owned();
    let table = text(&run(folder.path(), &["map", &kitchen]).stdout);
    assert!(table.contains("demo:math/ops@0.1.0 (app -> provider)"), "{table}");
    assert!(table.contains(" 0 bytes unattributed"), "{table}");
    let functions = text(&run(folder.path(), &["map", "--functions", &kitchen]).stdout);
    assert!(functions.contains("describe: func(points: list<point>) -> string"));
    let json = run(folder.path(), &["map", "--json", "-O", "opt-level=0", &kitchen]);
    let json: Value = serde_json::from_slice(&json.stdout).expect("JSON");
    assert_eq!(json["unattributed_bytes"], 0);
}

#[test]
fn whoever_forgets_the_command_is_told_it() {
    let folder = folder();
    for (arguments, advice) in [
        (&["x.wasm"][..], "`witprof run x.wasm`"),
        (&["record", "x.wasm"], "`witprof run x.wasm`"),
        (&["record", "--dir=.", "x.wasm", "a b", "$HOME"], "`witprof run --dir=. x.wasm 'a b' '$HOME'`"),
        (&["--dir", ".", "x.wasm"], "`witprof run --dir . x.wasm`"),
        (&["record"], "`witprof run app.wasm`"),
        (&["p.json.gz"], "`witprof report p.json.gz`"),
        (&["a\u{1b}[2J.wasm"], r"`witprof run $'a\033[2J.wasm'`"),
    ] {
        assert_refused(folder.path(), arguments, &[advice]);
    }
    assert_refused(folder.path(), &["frobnicate"], &["frobnicate", "--help"]);
}

#[test]
fn a_file_of_another_kind_is_told_its_command() {
    let folder = folder();
    write(folder.path(), "tiny.wat", program(""));
    let outputs = ["p.json.gz", "p.json", "p.pb.gz", "p.pb", "p.html", "p.svg", "p.folded"];
    let options: Vec<&str> = outputs.iter().flat_map(|output| ["-o", output]).collect();
    let output = run(folder.path(), &[&["run"], &options[..], &["tiny.wat"]].concat());
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    write(folder.path(), "perf.data", "PERFILE2 and more");
    write(folder.path(), "k.wasm", "\0asm\u{1}\0\0\0");
    write(folder.path(), "text", "hello");
    for (file, as_profile, as_program) in [
        ("k.wasm", "`witprof run k.wasm`", None),
        ("tiny.wat", "`witprof run tiny.wat`", None),
        ("p.json.gz", "", Some("`witprof report p.json.gz`")),
        ("p.json", "", Some("`witprof view p.json`")),
        ("p.pb.gz", "`go tool pprof p.pb.gz`", Some("`go tool pprof p.pb.gz`")),
        ("p.pb", "`go tool pprof p.pb`", Some("pprof")),
        ("p.html", "browser", Some("browser")),
        ("p.svg", "browser", Some("browser")),
        ("p.folded", "stacks", Some("stacks")),
        ("perf.data", "`perf report -i perf.data`", Some("perf")),
        ("text", "it is no profile", Some("neither WebAssembly")),
        (".", "directory", Some("folder")),
    ] {
        if !as_profile.is_empty() {
            for command in [&["report", file][..], &["view", "--no-open", file], &["diff", file, "p.json"]] {
                assert_refused(folder.path(), command, &[file, as_profile]);
            }
        }
        for command in as_program.iter().flat_map(|advice| [("run", advice), ("map", advice)]) {
            assert_refused(folder.path(), &[command.0, file], &[file, command.1]);
        }
    }
}

#[test]
fn what_is_not_there_is_named() {
    let folder = folder();
    write(folder.path(), "tiny.wat", program(""));
    write(folder.path(), "file", "");
    assert_refused(
        folder.path(),
        &["run", "--dir", ".", "--dir", "nodir::/", "tiny.wat"],
        &["`--dir nodir`", "no such"],
    );
    assert_refused(folder.path(), &["run", "--dir", "file", "tiny.wat"], &["`--dir file`: it is not a folder"]);
    run(folder.path(), &["run", "-o", "p.json", "tiny.wat"]);
    assert_refused(folder.path(), &["report", "--by", "label:foo", "p.json"], &["no sample has a label"]);
}

/// A pipe that nobody reads.
#[cfg(unix)]
fn closed_pipe() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe");
    drop(reader);
    writer.into()
}

#[cfg(unix)]
#[test]
fn pipes_that_nobody_reads_change_no_exit_code() {
    let folder = folder();
    write(folder.path(), "returns.wat", program(""));
    write(folder.path(), "exits.wat", program("(call $exit (i32.const 42))"));
    write(folder.path(), "traps.wat", program("unreachable"));
    // Prints a result.
    write(folder.path(), "results.wat", "(module (func (export \"f\") (result i32) i32.const 7))");
    let cases: [(&[&str], i32, bool); 7] = [
        (&["run", "-o", "p.json", "returns.wat"], 0, true),
        (&["run", "-o", "p.json", "exits.wat"], 42, true),
        (&["run", "-o", "p.json", "traps.wat"], 134, true),
        (&["run", "-o", "p.json", "--invoke", "f", "results.wat"], 0, true),
        (&["run", "-W", "help", "returns.wat"], 0, false),
        (&["run", "nothing.wat"], 2, false),
        (&["--help"], 0, false),
    ];
    for (arguments, code, has_profile) in cases {
        let pipes: [(Stdio, Stdio); 2] = [(closed_pipe(), Stdio::piped()), (Stdio::piped(), closed_pipe())];
        for (is_stderr, (stdout, stderr)) in pipes.into_iter().enumerate() {
            if is_stderr == 1 && arguments.contains(&"results.wat") {
                // Wasmtime prints a warning to stderr before it prints the result, and does not get further.
                continue;
            }
            let mut command = witprof(folder.path());
            let output = command.args(arguments).stdout(stdout).stderr(stderr).output().expect("running witprof");
            let shown = text(&output.stderr);
            assert_eq!(output.status.code(), Some(code), "{arguments:?} {is_stderr}: {shown}");
            assert!(!shown.contains("panicked"), "{arguments:?}: {shown}");
            if has_profile {
                profile(&folder.path().join("p.json"));
                std::fs::remove_file(folder.path().join("p.json")).expect("removing the profile");
            }
        }
    }
}

#[test]
fn every_command_has_help_with_examples() {
    let folder = folder();
    let help = |command: &str| text(&run(folder.path(), &[command, "--help"]).stdout);
    for command in ["run", "serve", "report", "annotate", "convert", "view", "diff", "map", "completions", "man"] {
        let help = help(command);
        let (_, examples) = help.split_once("Examples:\n").unwrap_or_else(|| panic!("{command}: {help}"));
        let count = examples.lines().filter(|line| line.starts_with(&format!("  witprof {command}"))).count();
        assert_eq!(count, 2, "{command}: {examples}");
    }
    for command in ["run", "serve"] {
        let help = help(command);
        let at = |heading: &str| help.find(&format!("\n{heading}:\n")).unwrap_or_else(|| panic!("{heading}: {help}"));
        let (recording, output, wasmtimes) = (at("Recording"), at("Output"), at("Wasmtime's own"));
        let option = |name: &str| help.find(&format!(" --{name} ")).unwrap_or_else(|| panic!("{name}: {help}"));
        assert!(recording.max(output) < wasmtimes);
        assert!(option("interval") > recording && option("output") > output && option("dir") > wasmtimes);
        assert!(!help.contains("--profile") && !help.contains("-R,"), "{help}");
    }
}

#[test]
fn a_compiler_flag_is_advised_for_code_of_the_author_only() {
    let folder = folder();
    let said = |module: &str| {
        write(folder.path(), "guest.wat", program("").replace("$program", module));
        text(&run(folder.path(), &["run", "-o", "p.json", "guest.wat"]).stderr)
    };
    assert!(said("$sorting").contains("it has no debug info; compile it with `-g`"));
    for module in ["$libpython3.14.so", "$starling-raw.wasm", "$libc.so"] {
        let said = said(module);
        assert!(said.contains("it has no debug info\n") && !said.contains("-g"), "{module}: {said}");
    }
}

#[test]
fn shells_and_man_know_the_options() {
    let folder = folder();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = text(&run(folder.path(), &["completions", shell]).stdout);
        assert!(script.contains("trace-calls") && script.contains("annotate"), "{shell}: {script}");
    }
    let output = run(folder.path(), &["man", "pages/man1"]);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    let pages = folder.path().join("pages/man1");
    assert_eq!(files(&pages).len(), 11, "{:?}", files(&pages));
    let page = text(&support::read(&pages.join("witprof-run.1")));
    assert!(page.contains(".TH witprof-run 1") && page.contains("trace\\-calls"), "{page}");
    write(folder.path(), "file", "");
    assert_refused(folder.path(), &["man", "file"], &["making the folder `file`"]);
}
