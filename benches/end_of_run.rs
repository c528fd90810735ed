//! How long `witprof run` takes from the end of its guest to the profile: reading names of host functions from the symbol tables
//! of the executable and its libraries, joining, and writing.
//!
//! `cargo bench --profile dev --bench end_of_run`. Each guest prints its last line when it ends; from there until the process has
//! ended counts. One runs for some ten milliseconds, and `examples/kitchen.wasm` for a second.
//! `WITPROF_BENCH_PYTHON=python.wasm` adds a component made by `componentize-py` (`docs/develop.md` has one that runs for a
//! second); compiled code comes from Wasmtime's cache. Beside it, in pairs, the same by epochs, where there are no host frames
//! and thus no names to read. The executable of this profile has debug info and all symbols. Printed are the medians, and the
//! quartiles around them.
#![allow(missing_docs, reason = "a bench")]

use std::ffi::OsString;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// Pairs of runs of the short guest, and of the others.
const PAIRS: [usize; 2] = [21, 7];

/// What the end of a run of a second is to take at most, in milliseconds.
const WANTED: f64 = 60.0;

const GUEST: &str = r#"(module
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\10\00\00\00\05\00\00\00")
  (data (i32.const 16) "done\n")
  (func $spin (param $left i32)
    (loop $loop
      (local.set $left (i32.sub (local.get $left) (i32.const 1)))
      (br_if $loop (local.get $left))))
  (func (export "_start")
    (call $spin (i32.const 20000000))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8)))))"#;

fn main() {
    // `cargo test --benches` runs benches to see whether they work.
    let is_bench = std::env::args().any(|argument| argument == "--bench");
    let [short, long] = if is_bench { PAIRS } else { [1, 1] };
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guest = folder.path().join("guest.wat");
    std::fs::write(&guest, GUEST).expect("writing the guest");
    println!("from the guest's last line to the end of the process: median [quartiles]");
    measure(folder.path(), "a short run", &guest, short);
    let kitchen = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/kitchen.wasm");
    measure(folder.path(), "kitchen", &kitchen, long);
    if let Some(python) = std::env::var_os("WITPROF_BENCH_PYTHON") {
        measure(folder.path(), "Python", &std::path::absolute(PathBuf::from(python)).expect("a path"), long);
    }
}

/// Prints what both samplers take for a guest.
fn measure(folder: &Path, name: &str, guest: &Path, pairs: usize) {
    let samplers = ["signal", "epoch"];
    // What is read for the first time comes from the disk, and code that is not in the cache yet goes there.
    for sampler in samplers {
        milliseconds(folder, sampler, guest);
    }
    let times: Vec<[f64; 2]> =
        (0..pairs).map(|_| samplers.map(|sampler| milliseconds(folder, sampler, guest))).collect();
    println!("{name}, {pairs} pairs of runs");
    let by_signals = show("signal sampler", "ms", times.iter().map(|pair| pair[0]).collect());
    show("epoch sampler", "ms", times.iter().map(|pair| pair[1]).collect());
    show("ratio of the two", "", times.iter().map(|[signal, epoch]| signal / epoch).collect());
    if guest.extension().is_some_and(|extension| extension == "wat") {
        return;
    }
    let verdict = if by_signals <= WANTED { "within" } else { "beyond" };
    println!("  {verdict} the {WANTED:.0} ms that a run of a second may take");
}

/// Prints the quartiles, and returns the median.
fn show(name: &str, unit: &str, mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let at = |share: usize| numbers[(numbers.len() - 1) * share / 4];
    println!("  {name:<18} {:>7.2} {unit:<2}  [{:.2}, {:.2}]", at(2), at(1), at(3));
    at(2)
}

/// From the last that a run prints to its end.
fn milliseconds(folder: &Path, sampler: &str, guest: &Path) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).args(["run", "--quiet", "-C", "cache", "--sampler", sampler, "-o", "p.json.gz"]);
    let cache: OsString = folder.join("cache").into();
    command.arg(guest).env("XDG_CACHE_HOME", cache);
    let mut run = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("starting witprof");
    let mut out = run.stdout.take().expect("its stdout");
    let (mut buffer, mut last, mut length) = ([0; 4096], None, 0);
    loop {
        match out.read(&mut buffer).expect("what it prints") {
            0 => break,
            more => (last, length) = (Some(Instant::now()), length + more),
        }
    }
    assert!(length > 0, "{} printed nothing", guest.display());
    assert!(run.wait().expect("its end").success());
    last.expect("it has printed").elapsed().as_secs_f64() * 1000.0
}
