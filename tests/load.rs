//! `witprof serve` under load: a generator sends requests as fast as it can, while profiles of the server are fetched.
//!
//! Needs wrk and Go; see `tests/set-up`. The load lasts for
//! `WITPROF_LOAD_SECONDS`, by default 8: `WITPROF_LOAD_SECONDS=3600 cargo test --test load` is a longer one.
#![allow(missing_docs, reason = "tests")]
#![cfg(target_os = "linux")]

mod support;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use witprof::{Dimension, Profile, ProfileFunction, Sample, StackIndex, read_firefox};

/// Memory that may come and go, in KiB: buffers of connections and instances, and what the allocator keeps.
const SLACK: u64 = 48 << 10;

fn seconds() -> u64 {
    std::env::var("WITPROF_LOAD_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(8).max(4)
}

/// Resident memory of a process in KiB.
fn resident(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("its memory");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

/// What comes before a text on a line that has it.
fn before<'t>(text: &'t str, what: &str) -> Option<&'t str> {
    text.lines().find_map(|line| line.split_once(what)).map(|(before, _)| before.trim())
}

#[test]
fn a_server_under_load_fails_no_request_and_grows_no_further() {
    if !support::programs::can_run(&["go", "wrk"]) {
        return;
    }
    let folder = tempfile::tempdir().expect("a temporary folder");
    let guest = support::root().join("tests/guests/http.wat");
    let mut server = Command::new(env!("CARGO_BIN_EXE_witprof"))
        .current_dir(folder.path())
        .args(["serve", "--addr", "127.0.0.1:0", "--pprof-addr", "0", "--trace-calls", "-o", "p.json"])
        .arg(guest)
        .stderr(Stdio::piped())
        .spawn()
        .expect("starting witprof");
    let mut lines = BufReader::new(server.stderr.take().expect("its stderr")).lines().map(|line| line.expect("UTF-8"));
    let (mut address, mut pprof) = (None, None);
    for line in lines.by_ref().take_while(|line| !line.contains("ends it")) {
        address = address.or(line.strip_prefix("serving ").map(str::to_owned));
        pprof = pprof.or(line.strip_prefix("profiles at ").map(str::to_owned));
    }
    let (address, pprof) = (address.expect("an address"), pprof.expect("an address of profiles"));

    let length = seconds();
    let mut load = Command::new("wrk");
    load.args(["-t1", "-c16", "--timeout", "30s", &format!("-d{length}s")]).arg(format!("{address}light"));
    let start = Instant::now();
    let load = load.stdout(Stdio::piped()).spawn();
    let load = load.expect("running wrk");
    // Two scrapes at once, by what everybody uses.
    let scrapes = ["", "&by=interface"].map(|by| {
        let mut go = Command::new("go");
        go.env("HOME", folder.path()).env("PPROF_TMPDIR", folder.path()).current_dir(folder.path());
        go.args(["tool", "pprof", "-top", &format!("{pprof}profile?seconds=2{by}")]);
        go.stdout(Stdio::piped()).stderr(Stdio::null()).spawn().expect("running Go")
    });
    // By now everything has been there that is there at a time.
    std::thread::sleep(Duration::from_secs(length / 2).saturating_sub(start.elapsed()));
    let early = resident(&server);
    for scrape in scrapes {
        let output = scrape.wait_with_output().expect("the end of Go");
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{text}");
        assert!(text.contains("handle") || text.contains("wasi:http/incoming-handler@0.2.0"), "{text}");
    }
    std::thread::sleep(Duration::from_secs(length - 1).saturating_sub(start.elapsed()));
    let late = resident(&server);
    let output = load.wait_with_output().expect("the end of wrk");
    let result = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{result}");
    for failure in ["Socket errors", "Non-2xx"] {
        assert!(!result.contains(failure), "{result}");
    }
    let answered: u64 = before(&result, " requests in").expect("a number of requests").parse().expect("a number");
    assert!(answered > 100, "{result}");
    assert!(late < early + SLACK, "memory grew from {early} to {late} KiB");

    let id = rustix::process::Pid::from_raw(i32::try_from(server.id()).expect("a small number")).expect("an id");
    rustix::process::kill_process(id, rustix::process::Signal::TERM).expect("a signal");
    let messages: Vec<String> = lines.collect();
    let messages = messages.join("\n");
    assert!(server.wait().expect("its end").success(), "{messages}");
    let summary = before(&messages, ", 0 failed").unwrap_or_else(|| panic!("{messages}"));
    let requests: u64 = summary.trim_end_matches(" requests").parse().expect("a number");
    // Those that were under way when the load ended have been answered, too, but not been waited for.
    assert!((answered..=answered + 16).contains(&requests), "{requests} and {answered}");

    let file = support::read(&folder.path().join("p.json"));
    let profile = read_firefox(&mut file.as_slice()).expect("a profile");
    let counts = profile.counts();
    assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>());
    assert_eq!(profile.spans().len() as u64 + profile.spans_left_out(), requests, "every request is accounted for");
    let report = profile.report(Dimension::InterfaceFunction);
    let handled = report.rows.iter().find(|row| row.name == "wasi:http/incoming-handler@0.2.0#handle (export)");
    assert_eq!(handled.and_then(|row| row.calls), Some(requests));
    let routes = profile.report_by_label("route");
    assert_eq!(routes.rows.first().map(|row| row.name.as_str()), Some("/light"));

    // Where the server reads its own clocks and the sampler starts its timers, clients that were woken take the CPU; and for each
    // task that may wait, the sampler walks the stack. That is no time of the guest's.
    let is_ours = |sample: &Sample| {
        let functions = functions(&profile, sample.stack);
        let innermost = functions.first().expect("a frame");
        let is_clock = profile.libraries()[innermost.library.index()].name.starts_with("linux-vdso");
        let is_walk = innermost.name.contains("sampler::signal::instrument::clone");
        is_clock || is_walk || functions.iter().any(|function| function.name.contains("ThreadState::arm"))
    };
    let samples = || profile.threads().iter().flat_map(|thread| &thread.samples);
    let ours: Duration = samples().filter(|sample| is_ours(sample)).map(|sample| sample.wall).sum();
    let all: Duration = samples().map(|sample| sample.wall).sum();
    assert!(ours < all / 20, "{ours:?} of {all:?} are none of the guest's");
}

/// The functions of a stack, innermost first.
fn functions(profile: &Profile, stack: StackIndex) -> Vec<&ProfileFunction> {
    let stacks = std::iter::successors(Some(stack), |stack| profile.stacks()[stack.index()].caller);
    let frame = |stack: StackIndex| profile.frames()[profile.stacks()[stack.index()].frame.index()];
    stacks.map(|stack| &profile.functions()[frame(stack).function.index()]).collect()
}
