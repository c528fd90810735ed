//! What `perf inject --jit` makes of a profiled component: names, code and lines.
//!
//! Needs `perf`, and `addr2line`, which perf asks for lines; see `tests/set-up`.
#![allow(missing_docs, reason = "tests")]
#![cfg(target_os = "linux")]

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use wasmtime::component::Component;
use wasmtime::{Config, Engine, Module};
use witprof::export::write_perf_map;
use witprof::{Error, JitDump, SymbolMap};

/// C with debug info, which spends its time in a line of `hot-c-mix.h`, inlined into `churn`. 10 ms for each round.
fn hot_c() -> PathBuf {
    support::root().join("tests/guests/hot-c.wasm")
}

/// One record of a dump.
#[derive(Debug)]
enum Record {
    Code { address: u64, index: u64, name: String, code: Vec<u8> },
    Lines { address: u64, lines: Vec<Line> },
}

#[derive(Debug)]
struct Line {
    address: u64,
    number: u32,
    file: String,
}

/// What has not been read yet.
struct Unread<'b>(&'b [u8]);

impl<'b> Unread<'b> {
    fn bytes(&mut self, count: usize) -> &'b [u8] {
        let (taken, rest) = self.0.split_at(count);
        self.0 = rest;
        taken
    }

    fn u32(&mut self) -> u32 {
        u32::from_ne_bytes(self.bytes(4).try_into().expect("four bytes"))
    }

    fn u64(&mut self) -> u64 {
        u64::from_ne_bytes(self.bytes(8).try_into().expect("eight bytes"))
    }

    fn text(&mut self) -> String {
        let end = self.0.iter().position(|byte| *byte == 0).expect("a name that ends");
        let text = String::from_utf8(self.bytes(end).to_vec()).expect("UTF-8");
        self.bytes(1);
        assert!(!text.contains(char::is_control), "{text:?}");
        text
    }
}

fn size(number: u64) -> usize {
    usize::try_from(number).expect("small")
}

/// Reads a whole dump, of which nothing may be left over. `process` wrote it.
fn records(dump: &[u8], process: u32) -> Vec<Record> {
    let mut unread = Unread(dump);
    assert_eq!(unread.u32(), 0x4A69_5444, "the magic number");
    assert_eq!(unread.u32(), 1, "the version");
    assert_eq!(unread.u32(), 40, "the size of the header");
    assert_ne!(unread.u32(), 0, "the machine");
    unread.u32();
    assert_eq!(unread.u32(), process);
    let mut last_time = unread.u64();
    assert_eq!(unread.u64(), 0, "times are of the monotonic clock");
    let mut records = Vec::new();
    while !unread.0.is_empty() {
        let kind = unread.u32();
        let total = size(unread.u32().into());
        let time = unread.u64();
        assert!(time >= last_time, "time goes backwards");
        last_time = time;
        let mut record = Unread(unread.bytes(total - 16));
        records.push(match kind {
            0 => {
                assert_eq!([record.u32(), record.u32()], [process; 2]);
                let address = record.u64();
                assert_eq!(record.u64(), address, "code does not move");
                let (length, index) = (size(record.u64()), record.u64());
                let name = record.text();
                Record::Code { address, index, name, code: record.bytes(length).to_vec() }
            }
            2 => {
                let (address, count) = (record.u64(), record.u64());
                let lines = (0..count).map(|_| {
                    let (address, number) = (record.u64(), record.u32());
                    assert_eq!(record.u32(), 0, "no part of a line");
                    Line { address, number, file: record.text() }
                });
                Record::Lines { address, lines: lines.collect() }
            }
            other => panic!("a record of kind {other}"),
        });
        assert_eq!(record.0, b"", "a record is larger than what is in it");
    }
    records
}

/// Start, size and name of each function, and its code.
fn functions(records: &[Record]) -> Vec<(u64, u64, &str, &[u8])> {
    records
        .iter()
        .filter_map(|record| match record {
            Record::Code { address, name, code, .. } => {
                Some((*address, code.len() as u64, name.as_str(), code.as_slice()))
            }
            Record::Lines { .. } => None,
        })
        .collect()
}

/// The dump of a component or core module, its map, and where its text was.
struct Dumped {
    records: Vec<Record>,
    map: SymbolMap,
    start: u64,
    text: Vec<u8>,
}

impl Dumped {
    fn new(bytes: &[u8]) -> Self {
        let engine = support::engine();
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut dump = JitDump::create(folder.path()).expect("a file");
        let builder = SymbolMap::builder("guest").debug_info(bytes.to_vec());
        // The layer in the header of the binary.
        let (map, text) = if bytes[6] == 1 {
            let component = Component::new(&engine, bytes).expect("a component");
            let map = builder.build(&component).expect("a map");
            dump.add(&map, &component).expect("writing");
            let text = component.text();
            (map, (text.as_ptr().addr() as u64, text.to_vec()))
        } else {
            let module = Module::new(&engine, bytes).expect("a module");
            let map = builder.build(&module).expect("a map");
            dump.add(&map, &module).expect("writing");
            let text = module.text();
            (map, (text.as_ptr().addr() as u64, text.to_vec()))
        };
        let records = records(&support::read(dump.path()), std::process::id());
        Self { records, map, start: text.0, text: text.1 }
    }
}

#[test]
fn every_function_is_there_once_with_its_code_under_the_names_of_the_perf_map() {
    let Dumped { records, map, start, text } = Dumped::new(&support::read(&support::kitchen()));
    let mut perf_map = Vec::new();
    write_perf_map(&map, start, &mut perf_map).expect("writing to memory");
    let perf_map = String::from_utf8(perf_map).expect("UTF-8");
    let functions = functions(&records);
    let without_code: Vec<(u64, u64, &str)> =
        functions.iter().map(|function| (function.0, function.1, function.2)).collect();
    assert_eq!(without_code, support::perf_map_entries(&perf_map));
    assert_eq!(functions.len(), map.functions().len());
    for name in [
        "demo:math/ops@0.1.0 counter.increment [adapter]",
        "wasi:clocks/monotonic-clock@0.2.6 now [trampoline]",
        "wasi:cli/run@0.2.0 run [trampoline]",
    ] {
        assert_eq!(functions.iter().filter(|function| function.2 == name).count(), 1, "{name}");
    }
    for (address, length, name, code) in functions {
        let offset = size(address - start);
        assert_eq!(code, &text[offset..offset + size(length)], "{name}");
    }
    let indices: Vec<u64> = records
        .iter()
        .filter_map(|record| match record {
            Record::Code { index, .. } => Some(*index),
            Record::Lines { .. } => None,
        })
        .collect();
    // They become names of files.
    assert!(indices.windows(2).all(|pair| pair[0] < pair[1]), "no two functions have the same number");
}

#[test]
fn lines_come_before_the_code_that_they_are_of() {
    let Dumped { records, .. } = Dumped::new(&support::read(&hot_c()));
    let mut hot = 0;
    for (number, record) in records.iter().enumerate() {
        let Record::Lines { address, lines } = record else { continue };
        let Some(Record::Code { address: start, name, code, .. }) = records.get(number + 1) else {
            panic!("lines of {address:#x} without code behind them");
        };
        assert_eq!(start, address, "{name}");
        assert!(name.ends_with(" [guest]"), "{name}");
        let end = start + code.len() as u64;
        let (last, others) = lines.split_last().expect("lines");
        assert_eq!(last.address, end, "{name}: the last entry is the end");
        assert!(others.iter().all(|line| (*start..end).contains(&line.address)), "{name}: {lines:x?}");
        assert!(lines.is_sorted_by_key(|line| line.address), "{name}: {lines:x?}");
        let same = |pair: &[Line]| (&pair[0].file, pair[0].number) == (&pair[1].file, pair[1].number);
        assert!(!others.windows(2).any(same), "{name}: one entry for each change: {lines:x?}");
        // A path that can be opened where the guest was built, not a short one.
        hot += lines.iter().filter(|line| line.file.ends_with("/hot-c-mix.h") && line.number == 8).count();
    }
    assert!(hot > 0, "no hot-c-mix.h:8 in {records:x?}");
}

#[test]
fn what_is_added_again_is_not_written_again_and_interpreters_are_refused() {
    let wat = "(component (core module $m (func (export \"f\"))) (core instance (instantiate $m)))";
    let engine = support::engine();
    let component = Component::new(&engine, wat).expect("a component");
    let map = SymbolMap::builder("first").build(&component).expect("a map");
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut dump = JitDump::create(folder.path()).expect("a file");
    assert_eq!(dump.path(), folder.path().join(format!("jit-{}.dump", std::process::id())));
    dump.add(&map, &component).expect("writing");
    dump.add(&map, &component).expect("writing");
    let other = Component::new(&engine, wat).expect("a component");
    dump.add(&SymbolMap::builder("second").build(&other).expect("a map"), &other).expect("writing");
    let written = records(&support::read(dump.path()), std::process::id());
    assert_eq!(functions(&written).len(), map.functions().len() * 2, "each once: {written:x?}");

    let pulley = Engine::new(Config::new().target("pulley64").expect("a target")).expect("an engine");
    let component = Component::new(&pulley, wat).expect("a component");
    let map = SymbolMap::builder("third").build(&component).expect("a map");
    assert!(matches!(dump.add(&map, &component), Err(Error::Interpreted { .. })));
}

#[test]
fn nothing_is_overwritten_but_ones_own() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(format!("jit-{}.dump", std::process::id()));
    let refused = || {
        let error = JitDump::create(folder.path()).expect_err("a file that is not ours");
        matches!(error, Error::JitDump { path: of, .. } if of == path)
    };
    std::fs::write(&path, "left by an earlier process").expect("writing");
    drop(JitDump::create(folder.path()).expect("its own"));
    assert_eq!(records(&support::read(&path), std::process::id()).len(), 0);
    assert_eq!(std::fs::metadata(&path).expect("the file").mode() & 0o777, 0o600);

    let victim = folder.path().join("victim");
    std::fs::write(&victim, "precious").expect("writing");
    std::fs::remove_file(&path).expect("removing it");
    symlink(&victim, &path).expect("a link");
    assert!(refused());
    assert_eq!(support::read(&victim), b"precious");
    std::fs::remove_file(&path).expect("removing it");
    let nowhere = folder.path().join("nowhere");
    symlink(&nowhere, &path).expect("a link");
    assert!(refused());
    assert!(!nowhere.exists());
    std::fs::remove_file(&path).expect("removing it");

    // Only root can make a file of another's.
    std::fs::write(&path, "precious").expect("writing");
    if std::os::unix::fs::chown(&path, Some(12_345), None).is_ok() {
        assert!(refused());
        assert_eq!(support::read(&path), b"precious");
    }

    let missing = folder.path().join("missing");
    assert!(matches!(JitDump::create(&missing), Err(Error::JitDump { .. })));
}

/// Runs a program in a folder that is its home as well, so that perf's cache of programs is not the user's.
fn run(folder: &Path, program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).current_dir(folder).env("HOME", folder).output();
    let Output { status, stdout, stderr } = output.unwrap_or_else(|error| panic!("running {program}: {error}"));
    assert!(status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&stderr));
    String::from_utf8_lossy(&stdout).into_owned()
}

/// Runs a guest under perf and has perf make `jit.data` of what it recorded. Returns the dump.
fn record(folder: &Path, guest: &Path, arguments: &[&str]) -> Vec<Record> {
    let witprof = env!("CARGO_BIN_EXE_witprof");
    let guest = guest.to_str().expect("UTF-8");
    // A minute between samples: perf's alone. Without a cache of programs, which are large here.
    let perf = ["record", "-q", "-N", "-e", "cpu-clock", "-k", "mono", "-F", "2000", "-o", "perf.data", "--"];
    let host = [witprof, "run", "--quiet", "--jitdump=.", "--interval", "1min", "-o", "p.json"];
    // Options of Wasmtime come before the guest, arguments of the guest after it.
    let (before, after) = if arguments[0].starts_with("--") { (arguments, &[][..]) } else { (&[][..], arguments) };
    run(folder, "perf", &[&perf[..], &host, before, &[guest], after].concat());
    run(folder, "perf", &["--buildid-dir", "/dev/null", "inject", "--jit", "-i", "perf.data", "-o", "jit.data"]);
    let files = std::fs::read_dir(folder).expect("the folder").map(|entry| entry.expect("an entry").path());
    let dumps: Vec<PathBuf> = files.filter(|path| path.extension().is_some_and(|end| end == "dump")).collect();
    let [dump] = dumps.as_slice() else { panic!("one dump: {dumps:?}") };
    let process = dump.file_stem().and_then(|stem| stem.to_str()).and_then(|stem| stem.strip_prefix("jit-"));
    let process = process.and_then(|process| process.parse().ok()).expect("the number of the process");
    records(&support::read(dump), process)
}

#[test]
fn perf_shows_the_names_of_a_composition_each_once() {
    if !support::programs::can_run(&["perf", "addr2line"]) {
        return;
    }
    // The adapter is a hundredth of the time, and a busy machine leaves few samples: again, until all have been seen.
    let wanted = ["demo:math/ops@0.1.0 counter.increment [adapter]", "app::count_primes [guest]", " [trampoline]"];
    let mut missing = String::new();
    for _ in 0..20 {
        let report = report_of_the_composition();
        match wanted.iter().find(|part| !report.contains(**part)) {
            None => return,
            Some(part) => missing = format!("no {part} in {report}"),
        }
    }
    panic!("{missing}");
}

/// What perf reports of a run of the composition, in which no name is there more often than it was written.
fn report_of_the_composition() -> String {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = record(folder.path(), &support::kitchen(), &["600"]);
    let mut written: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, _, name, _) in functions(&dump) {
        *written.entry(name).or_default() += 1;
    }
    // A row for each function of each library, and every function is a library of its own.
    let report = run(folder.path(), "perf", &["report", "--stdio", "-i", "jit.data", "-s", "symbol"]);
    let rows = report.lines().filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once("[.] "));
    let mut shown: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, row) in rows {
        // Behind two spaces are other columns.
        *shown.entry(row.split("  ").next().unwrap_or(row).trim_end()).or_default() += 1;
    }
    for layer in [" [guest]", " [adapter]", " [trampoline]"] {
        for (name, rows) in shown.iter().filter(|(name, _)| name.ends_with(layer)) {
            assert!(Some(rows) <= written.get(name), "{name} is there {rows} times: {report}");
        }
    }
    report
}

#[test]
fn perf_shows_the_lines_of_a_guest() {
    if !support::programs::can_run(&["perf", "addr2line"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let dump = record(folder.path(), &hot_c(), &["--invoke", "spin(60)"]);
    let functions = functions(&dump);
    let hot: Vec<&str> =
        functions.iter().map(|function| function.2).filter(|name| name.ends_with(" churn [guest]")).collect();
    let &[hot] = hot.as_slice() else { panic!("one hot function: {hot:?}") };
    // Of the others, perf would look for lines in the debug information of this whole program.
    let script = run(folder.path(), "perf", &["script", "-i", "jit.data", "-F", "ip,sym,srcline", "-S", hot]);
    let samples = script.lines().filter(|line| line.ends_with(hot)).count();
    let mut lines: BTreeMap<&str, usize> = BTreeMap::new();
    for line in script.lines().filter(|line| !line.ends_with(hot)) {
        *lines.entry(line.trim()).or_default() += 1;
    }
    assert!(samples > 100, "{samples} samples: {lines:?}");
    assert!(lines.get("hot-c-mix.h:8").is_some_and(|count| *count > 20), "{samples} samples: {lines:?}");
    let known: usize = lines.iter().filter(|(line, _)| !line.ends_with(":0")).map(|(_, count)| count).sum();
    assert!(known * 2 > samples, "{known} of {samples} samples have a line: {lines:?}");
    // With its sources or without, the lines with the most time come first.
    let annotated = run(folder.path(), "perf", &["annotate", "--stdio", "-l", "-i", "jit.data", hot]);
    let hottest = annotated.lines().find(|line| line.trim_start().starts_with(|first: char| first.is_ascii_digit()));
    assert!(hottest.is_some_and(|line| line.ends_with(" hot-c-mix.h:8")), "{annotated}");
}
