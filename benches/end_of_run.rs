//! How long `witprof run` takes from the end of its guest to the profile: reading names of host functions from the symbol tables
//! of the executable and its libraries, joining, and writing.
//!
//! `cargo bench --profile dev --bench end_of_run`. The guest runs for some ten milliseconds and prints a line before it ends; from there until
//! the process has ended counts. Beside it, in pairs, the same by epochs, where there are no host frames and thus no names to
//! read. The executable of this profile has debug info and all symbols. Printed are the medians, and the quartiles
//! around them.
#![allow(missing_docs, reason = "a bench")]

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

/// Pairs of runs.
const PAIRS: usize = 21;

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
    let pairs = if std::env::args().any(|argument| argument == "--bench") { PAIRS } else { 1 };
    let folder = tempfile::tempdir().expect("a temporary folder");
    std::fs::write(folder.path().join("guest.wat"), GUEST).expect("writing the guest");
    // What is read for the first time comes from the disk.
    milliseconds(folder.path(), "signal");
    let times: Vec<[f64; 2]> =
        (0..pairs).map(|_| ["signal", "epoch"].map(|sampler| milliseconds(folder.path(), sampler))).collect();
    println!("from the guest's last line to the end of the process: median [quartiles] of {pairs}");
    for (name, which) in [("signal sampler", 0), ("epoch sampler", 1)] {
        show(name, "ms", times.iter().map(|pair| pair[which]).collect());
    }
    show("ratio of the two", "", times.iter().map(|[signal, epoch]| signal / epoch).collect());
}

fn show(name: &str, unit: &str, mut numbers: Vec<f64>) {
    numbers.sort_by(f64::total_cmp);
    let at = |share: usize| numbers[(numbers.len() - 1) * share / 4];
    println!("  {name:<18} {:>7.2} {unit:<2}  [{:.2}, {:.2}]", at(2), at(1), at(3));
}

/// From the last line to the end of one run.
fn milliseconds(folder: &Path, sampler: &str) -> f64 {
    let mut command = Command::new(env!("CARGO_BIN_EXE_witprof"));
    command.current_dir(folder).args(["run", "--quiet", "--sampler", sampler, "-o", "p.json.gz", "guest.wat"]);
    let mut run = command.stdout(Stdio::piped()).spawn().expect("starting witprof");
    let mut line = String::new();
    BufReader::new(run.stdout.take().expect("its stdout")).read_line(&mut line).expect("a line");
    let start = Instant::now();
    assert_eq!(line, "done\n");
    assert!(run.wait().expect("its end").success());
    start.elapsed().as_secs_f64() * 1000.0
}
