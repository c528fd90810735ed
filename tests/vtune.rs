//! What Intel VTune is told of a profiled component.
//!
//! VTune itself is not needed: a collector of our own (`vtune/collector.c`), loaded as VTune has its own loaded, writes
//! down what it is told. Needs a C compiler, as the build does.
#![allow(missing_docs, reason = "tests")]
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]

mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::Arc;

use tempfile::TempDir;
use wasmtime::component::Component;
use wasmtime::{Config, Engine};
use witprof::{Error, SymbolMap, VTune, VTuneProblem};

/// Where the loader looks for the path of a collector.
const VARIABLE: &str = "INTEL_JIT_PROFILER64";

/// Where our collector looks for the path of its file.
const LOG: &str = "WITPROF_TEST_COLLECTOR_LOG";

/// What `ittapi` says where it knows no file.
const UNKNOWN: &str = "<unknown source file name>";

const METHOD_LOAD_FINISHED: u32 = 13;
const SHUTDOWN: u32 = 2;

/// A line of the collector's file.
#[derive(Debug)]
struct Event {
    number: u32,
    method: u32,
    start: u64,
    size: u64,
    name: String,
    class: String,
    file: String,
}

/// What a collector has been told, in order.
fn events(log: &Path) -> Vec<Event> {
    let log = std::fs::read_to_string(log).unwrap_or_default();
    let event = |line: &str| {
        let fields: Vec<&str> = line.split('\t').collect();
        let &[number, method, start, size, name, class, file] = &fields[..] else { panic!("{line:?}") };
        Event {
            number: number.parse().expect("a number"),
            method: method.parse().expect("a number"),
            start: u64::from_str_radix(start, 16).expect("a hexadecimal number"),
            size: size.parse().expect("a number"),
            name: name.to_owned(),
            class: class.to_owned(),
            file: file.to_owned(),
        }
    };
    log.lines().map(event).collect()
}

/// The functions that a collector was told of. No two have the same number, or a byte in common.
fn methods(events: &[Event]) -> Vec<&Event> {
    let mut methods: Vec<&Event> = events.iter().filter(|event| event.number == METHOD_LOAD_FINISHED).collect();
    let numbers: BTreeSet<u32> = methods.iter().map(|method| method.method).collect();
    assert_eq!(numbers.len(), methods.len(), "a number stands for two functions: {methods:#?}");
    assert!(!numbers.contains(&0), "collectors ignore the number 0");
    methods.sort_by_key(|method| method.start);
    for pair in methods.windows(2) {
        assert!(pair[0].start + pair[0].size <= pair[1].start, "{pair:#?}");
    }
    methods
}

/// The only function of this name.
fn only<'e>(methods: &[&'e Event], name: &str) -> &'e Event {
    let found: Vec<&Event> = methods.iter().copied().filter(|method| method.name == name).collect();
    let [only] = found[..] else { panic!("{} times {name} in {methods:#?}", found.len()) };
    only
}

/// How often a collector was told that no more follows.
fn shutdowns(events: &[Event]) -> usize {
    events.iter().filter(|event| event.number == SHUTDOWN).count()
}

/// A folder with a collector, and room for what it writes.
struct Collector {
    folder: TempDir,
    library: PathBuf,
    log: PathBuf,
}

impl Collector {
    /// `None` without a C compiler; the test has been said to be left out then.
    fn new() -> Option<Self> {
        if !support::programs::can_run(&["cc"]) {
            return None;
        }
        let folder = tempfile::tempdir().expect("a temporary folder");
        let (library, log) = (folder.path().join("libcollector.so"), folder.path().join("log"));
        let source = support::root().join("tests/vtune/collector.c");
        let mut cc = Command::new("cc");
        let output = cc.args(["-shared", "-fPIC", "-o"]).arg(&library).arg(&source).output();
        let output = output.expect("running cc");
        assert!(output.status.success(), "compiling {}: {}", source.display(), text(&output.stderr));
        Some(Self { folder, library, log })
    }

    /// Has `command` told of it, as VTune does with what it starts.
    fn listen<'c>(&self, command: &'c mut Command) -> &'c mut Command {
        command.env(VARIABLE, &self.library).env(LOG, &self.log)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.listen(&mut witprof(self.folder.path(), arguments)).output().expect("running witprof")
    }

    fn events(&self) -> Vec<Event> {
        events(&self.log)
    }
}

fn witprof(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.args(arguments).current_dir(folder).stdin(Stdio::null()).env_remove(VARIABLE).env_remove("RUST_BACKTRACE");
    command
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

#[test]
fn every_function_of_a_composition_is_told_once_under_the_name_that_perf_has() {
    let Some(collector) = Collector::new() else { return };
    let kitchen = support::kitchen();
    let arguments = ["run", "--quiet", "--vtune", "--perf-map", "-o", "p.json", &kitchen.to_string_lossy(), "1"];
    let mut command = witprof(collector.folder.path(), &arguments);
    let child = collector.listen(&mut command).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let child = child.expect("running witprof");
    let perf_map = PathBuf::from(format!("/tmp/perf-{}.map", child.id()));
    let output = child.wait_with_output().expect("the end of witprof");
    let perf = std::fs::read_to_string(&perf_map).unwrap_or_default();
    let _ = std::fs::remove_file(&perf_map);
    assert!(output.status.success(), "{}", text(&output.stderr));

    let events = collector.events();
    let methods = methods(&events);
    let told: Vec<String> =
        methods.iter().map(|method| format!("{:x} {:x} {}", method.start, method.size, method.name)).collect();
    assert_eq!(told, perf.lines().collect::<Vec<_>>());
    for (name, class) in [
        ("demo:math/ops@0.1.0 counter.increment [adapter]", "demo:math/ops@0.1.0 (app -> provider)"),
        ("wasi:clocks/monotonic-clock@0.2.6 now [trampoline]", "wasi:clocks/monotonic-clock@0.2.6 (import)"),
        ("wasi:cli/run@0.2.0 run [trampoline]", "wasi:cli/run@0.2.0 (export)"),
    ] {
        let method = only(&methods, name);
        assert_eq!((method.class.as_str(), method.file.as_str()), (class, UNKNOWN), "{name}");
    }
    assert!(methods.iter().any(|method| method.name.ends_with(" app::count_primes [guest]")));
    assert_eq!(shutdowns(&events), 1, "{events:#?}");
    assert_eq!(events.last().map(|event| event.number), Some(SHUTDOWN));
}

#[test]
fn names_that_would_end_early_are_told_whole() {
    let Some(collector) = Collector::new() else { return };
    let wat = r#"(module $program
        (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
        (memory (export "memory") 1)
        (func $odd (@name "a\00b\nc\td"))
        (func $_start (export "_start") (call $odd) (call $exit (i32.const 7))))"#;
    std::fs::write(collector.folder.path().join("program.wat"), wat).expect("writing a test file");
    let output = collector.run(&["run", "--quiet", "--vtune", "-o", "p.json", "program.wat"]);
    assert_eq!(output.status.code(), Some(7), "{}", text(&output.stderr));
    let events = collector.events();
    let methods = methods(&events);
    let odd = only(&methods, r"program a\u{0}b\u{a}c\u{9}d [guest]");
    assert_eq!((odd.class.as_str(), odd.file.as_str()), ("program", UNKNOWN));
    only(&methods, "program _start [guest]");
    // A guest that exits leaves nobody to say so, and libraries may be gone by then.
    assert_eq!(shutdowns(&events), 0, "{events:#?}");
}

#[test]
fn a_guest_with_debug_information_has_its_source_file() {
    let Some(collector) = Collector::new() else { return };
    let guest = support::root().join("tests/guests/hot-c.wasm");
    let output =
        collector.run(&["run", "--quiet", "--vtune", "-o", "p.json", "--invoke", "spin(1)", &guest.to_string_lossy()]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let events = collector.events();
    let methods = methods(&events);
    let hot: Vec<_> = methods.iter().filter(|method| method.name.ends_with(" churn [guest]")).collect();
    let [hot] = hot[..] else { panic!("{methods:#?}") };
    assert_eq!(Path::new(&hot.file).file_name(), Some("hot-c.c".as_ref()), "{hot:?}");
    for method in methods.iter().filter(|method| !method.name.ends_with(" [guest]")) {
        assert_eq!(method.file, UNKNOWN, "{method:?}");
    }
}

#[test]
fn without_a_collector_nothing_runs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let kitchen = support::kitchen();
    let arguments = ["run", "--vtune", "-o", "p.json", &kitchen.to_string_lossy(), "1"];
    let missing = folder.path().join("libittnotify_collector.so");
    let missing = missing.to_string_lossy();
    for (variable, part) in [(None, "not set"), (Some(""), "not set"), (Some(&*missing), &*missing)] {
        let mut command = witprof(folder.path(), &arguments);
        if let Some(variable) = variable {
            command.env(VARIABLE, variable);
        }
        let output = command.output().expect("running witprof");
        let message = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{variable:?}: {message}");
        assert!(message.contains(VARIABLE) && message.contains(part), "{variable:?}: {message}");
        assert!(output.stdout.is_empty(), "{variable:?}: {}", text(&output.stdout));
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 0, "it left files behind");
    }
}

#[test]
fn vtune_is_told_no_names_of_interpreted_code() {
    let Some(collector) = Collector::new() else { return };
    let kitchen = support::kitchen();
    let kitchen = kitchen.to_string_lossy();
    let output = collector.run(&["run", "--vtune", "--target", "pulley64", "-o", "p.json", &kitchen, "1"]);
    let message = text(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{message}");
    assert!(message.contains("interpreted (Pulley)"), "{message}");
    assert!(methods(&collector.events()).is_empty());
}

#[test]
fn hosts_can_tell_that_nobody_listens() {
    // The test itself may run under VTune.
    if std::env::var_os(VARIABLE).is_none() {
        let refused = VTune::new();
        assert!(matches!(refused, Err(Error::VTune { problem: VTuneProblem::NoCollector })), "{refused:?}");
    }
}

#[test]
fn threads_tell_everything_once_and_the_last_says_that_no_more_follows() {
    let Some(log) = std::env::var_os(LOG) else {
        // Needs the variables from the start, in a process of its own: this test again.
        let Some(collector) = Collector::new() else { return };
        let mut again = Command::new(std::env::current_exe().expect("this program"));
        again.args(["--exact", "threads_tell_everything_once_and_the_last_says_that_no_more_follows"]);
        let output = collector.listen(&mut again).output().expect("running this program");
        assert!(output.status.success(), "{}{}", text(&output.stdout), text(&output.stderr));
        assert_eq!(shutdowns(&collector.events()), 1, "it did not run: {}", text(&output.stdout));
        return;
    };
    let log = Path::new(&log);
    let wat = "(component (core module $m (func (export \"f\"))) (core instance (instantiate $m)))";
    let engine = support::engine();
    let guest = |name: &str| {
        let component = Component::new(&engine, wat).expect("a component");
        let map = Arc::new(SymbolMap::builder(name).build(&component).expect("a map"));
        let mut vtune = VTune::new().expect("a collector");
        vtune.add(&map, &component).expect("machine code");
        vtune.add(&map, &component).expect("machine code");
        (vtune, map.functions().len())
    };
    let names: Vec<String> = (0..8).map(|number| format!("guest{number}")).collect();
    let mut guests: Vec<(VTune, usize)> = std::thread::scope(|scope| {
        let threads: Vec<_> = names.iter().map(|name| scope.spawn(|| guest(name))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    let before = events(log);
    assert_eq!(methods(&before).len(), guests.iter().map(|(_, functions)| functions).sum::<usize>());
    assert_eq!(shutdowns(&before), 0, "{before:#?}");

    let pulley = Engine::new(Config::new().target("pulley64").expect("a target")).expect("an engine");
    let component = Component::new(&pulley, wat).expect("a component");
    let map = SymbolMap::builder("interpreted").build(&component).expect("a map");
    let (mut last, _) = guests.pop().expect("eight guests");
    assert!(matches!(last.add(&map, &component), Err(Error::Interpreted { .. })));
    drop(guests);
    assert_eq!(shutdowns(&events(log)), 0, "one is left");
    drop(last);
    let after = events(log);
    assert_eq!(after.len(), before.len() + 1, "{after:#?}");
    assert_eq!(after.last().map(|event| event.number), Some(SHUTDOWN));
}
