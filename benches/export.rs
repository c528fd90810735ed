//! How fast a profile of a million samples is written in each format and read back, in CPU time, as others may use the machine;
//! and how much memory that takes on top of the profile.
//!
//! `cargo bench --bench export`; with words behind `--`, only what has one of them in its name. Printed are the median of several
//! runs, the quartiles around it, and the peak of what was allocated meanwhile.
#![allow(missing_docs, reason = "a bench")]

#[path = "../tests/support/mod.rs"]
mod support;

use std::io::Write;

use peak_alloc::PeakAlloc;
use witprof::export::{write_firefox, write_folded, write_html, write_pprof, write_speedscope, write_svg};
use witprof::{Dimension, Profile, read_firefox};

#[global_allocator]
static ALLOCATOR: PeakAlloc = PeakAlloc;

/// Takes bytes, and counts them.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

type Export = dyn Fn(&Profile, &mut dyn Write) -> witprof::Result<()>;

fn main() {
    // `cargo test --benches` runs benches to see whether they work.
    let (samples, runs) =
        if std::env::args().any(|argument| argument == "--bench") { (1_000_000, 9) } else { (10_000, 1) };
    let profile = support::large::profile(samples);
    println!("{samples} samples");
    let gzip: &Export = &|profile, out| {
        let out = flate2::write::GzEncoder::new(out, flate2::Compression::fast());
        write_firefox(profile, &mut std::io::BufWriter::with_capacity(1 << 16, out))
    };
    let formats: [(&str, &Export); 7] = [
        ("Firefox JSON", &|profile, out| write_firefox(profile, out)),
        ("Firefox JSON, gzip", gzip),
        ("HTML", &|profile, out| write_html(profile, out)),
        ("SVG", &|profile, out| write_svg(profile, Dimension::Function, out)),
        ("folded", &|profile, out| write_folded(profile, Dimension::Function, out)),
        ("pprof", &|profile, out| write_pprof(profile, Dimension::Function, out)),
        ("speedscope", &|profile, out| write_speedscope(profile, Dimension::Function, out)),
    ];
    for (name, export) in formats {
        measure(name, samples, runs, || {
            let mut out = std::io::BufWriter::with_capacity(1 << 16, Count(0));
            export(&profile, &mut out).expect("writing to nowhere");
            out.flush().expect("writing to nowhere");
            out.get_ref().0
        });
    }
    measure("report", samples, runs, || profile.report(Dimension::Function).rows.len() as u64);
    let mut file = Vec::new();
    write_firefox(&profile, &mut file).expect("writing to memory");
    measure("reading Firefox JSON", samples, runs, || {
        read_firefox(&mut &file[..]).expect("a profile");
        file.len() as u64
    });
}

fn measure(name: &str, samples: usize, runs: usize, run: impl Fn() -> u64) {
    let mut words = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).peekable();
    if words.peek().is_some() && !words.any(|word| name.contains(&word)) {
        return;
    }
    let before = ALLOCATOR.current_usage();
    ALLOCATOR.reset_peak_usage();
    let mut bytes = 0;
    let mut seconds: Vec<f64> = (0..runs)
        .map(|_| {
            let start = cpu_time();
            bytes = run();
            cpu_time() - start
        })
        .collect();
    seconds.sort_by(f64::total_cmp);
    #[allow(clippy::cast_precision_loss, reason = "sizes")]
    let (peak, samples, bytes) = ((ALLOCATOR.peak_usage() - before) as f64, samples as f64, bytes as f64);
    let rate = |seconds: f64| samples / seconds / 1e6;
    let at = |share: usize| seconds[(seconds.len() - 1) * share / 4];
    println!(
        "  {name:<22} {:>6.2} million samples/s [{:.2}, {:.2}], {:>6.1} MB at most, {:>7.2} MB of output",
        rate(at(2)),
        rate(at(3)),
        rate(at(1)),
        peak / 1e6,
        bytes / 1e6,
    );
}

/// CPU time of this process, which has one thread, in seconds.
fn cpu_time() -> f64 {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    #[allow(clippy::cast_precision_loss, reason = "nanoseconds of a run")]
    let seconds = time.tv_sec as f64 + time.tv_nsec as f64 / 1e9;
    seconds
}
