//! Profiles of what was slow or went wrong, by the library. What `witprof` makes of it is in `tests/serve.rs`.
#![allow(missing_docs, reason = "tests")]

mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Runtime;
use wasmtime::{Config, Engine, Instance, Module, Store};
use witprof::export::{write_firefox, write_folded};
use witprof::{
    CaptureReason, Dimension, Labels, Profile, Recorder, SamplerChoice, SamplerKind, Span, SymbolMap, Trigger,
    read_firefox,
};

const GUEST: &str = r#"(module $demo
    (func $spin (param $turns i32)
        (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))))
    (func $slow (export "slow") (param i32) (call $spin (local.get 0)))
    (func $quick (export "quick") (param i32) (call $spin (local.get 0))))"#;

/// Longer than any step takes, on a busy machine.
const LONG: Duration = Duration::from_secs(3600);

fn ms(time: u64) -> Duration {
    Duration::from_millis(time)
}

/// A recorder of which the last part is kept, and its guest.
struct Guest {
    recorder: Recorder,
    store: Store<()>,
    instance: Instance,
    runtime: Runtime,
}

impl Guest {
    fn new(choice: SamplerChoice) -> Self {
        let engine = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
        let module = Module::new(&engine, GUEST).expect("a module");
        let map = Arc::new(SymbolMap::builder("demo").build(&module).expect("a map"));
        let builder = Recorder::builder(ms(1)).code(map, &module).sampler(choice);
        let recorder = builder.keep_last(LONG).start().expect("a recorder");
        let mut store = Store::new(&engine, ());
        store.set_epoch_deadline(u64::MAX / 2);
        recorder.attach(&mut store);
        let instance = Instance::new(&mut store, &module, &[]).expect("an instance");
        Self { recorder, store, instance, runtime: Runtime::new().expect("a runtime") }
    }

    /// Runs a function of the guest for a request, for some time of its own.
    fn request(&mut self, function: &str, labels: &Labels, time: Duration) -> Span {
        let Self { recorder, store, instance, runtime } = self;
        let call = instance.get_typed_func::<i32, ()>(&mut *store, function).expect("a function");
        let (begin, start) = (recorder.elapsed(), Instant::now());
        let work = async {
            while start.elapsed() < time {
                call.call(&mut *store, 200_000).expect("it returns");
            }
        };
        runtime.block_on(recorder.instrument(work).labeled(labels));
        Span::new(format!("GET /{function}"), begin, start.elapsed()).labels(labels)
    }
}

fn functions(profile: &Profile) -> String {
    let mut stacks = Vec::new();
    write_folded(profile, Dimension::Function, &mut stacks).expect("writing to memory");
    String::from_utf8(stacks).expect("UTF-8")
}

fn a_slow_request_is_captured_alone_and_in_its_place(choice: SamplerChoice) {
    let mut guest = Guest::new(choice);
    let labels = guest.recorder.labels([("route", "/x")]);
    let triggers = [Trigger::slow(ms(100)).label("route", "/x"), Trigger::failed()];
    let mut captures = guest.recorder.capture_on(triggers).look_back(LONG).look_forward(Duration::ZERO);
    // The same labels, and not for this request.
    let before = guest.request("quick", &labels.request(), ms(30));
    guest.recorder.record_span(before);
    let one = labels.request();
    let mut slow = guest.request("slow", &one, ms(60));
    // Others in between, as on any thread of a server.
    guest.request("quick", &labels.request(), ms(30));
    let rest = guest.request("slow", &one, ms(60));
    slow.wall = rest.begin + rest.wall - slow.begin;
    let wall = slow.wall;
    guest.recorder.record_span(slow);
    let profile = captures.next().expect("a capture");

    let captured = profile.captured().expect("a reason");
    assert_eq!(captured.reason, CaptureReason::Slow(ms(100)));
    assert_eq!(captured.span.as_ref().map(|span| (span.name.as_str(), span.wall)), Some(("GET /slow", wall)));
    let thread = &profile.threads()[captured.thread.expect("a thread of its own")];
    assert_eq!(thread.name, "GET /slow");
    let part = profile.captured_part().expect("a part");
    let (own, all) = (functions(&part), functions(&profile));
    assert!(own.contains("slow") && !own.contains("quick"), "{own}");
    assert!(all.contains("slow") && all.contains("quick"), "{all}");
    // Nothing is there twice, and nothing is missing.
    let rest: Duration = profile.threads().iter().flat_map(|thread| &thread.samples).map(|sample| sample.wall).sum();
    assert_eq!(rest, profile.wall_time());
    let count = |profile: &Profile| profile.threads().iter().map(|thread| thread.samples.len()).sum::<usize>();
    assert!(count(&profile) > thread.samples.len() && count(&part) == thread.samples.len());
    let slow_elsewhere = profile.threads().iter().filter(|other| other.name != "GET /slow");
    let slow_elsewhere = slow_elsewhere.flat_map(|other| &other.samples).filter(|sample| {
        let mut at = Some(sample.stack);
        std::iter::from_fn(|| {
            let stack = profile.stacks()[at?.index()];
            at = stack.caller;
            Some(&profile.functions()[profile.frames()[stack.frame.index()].function.index()].name)
        })
        .any(|name| name == "slow")
    });
    assert_eq!(slow_elsewhere.count(), 0);
    // It is in the file, which selects it.
    let mut file = Vec::new();
    write_firefox(&profile, &mut file).expect("writing to memory");
    let json: serde_json::Value = serde_json::from_slice(&file).expect("JSON");
    support::firefox::validate(&json);
    let selected = json["meta"]["initialSelectedThreads"][0].as_u64().expect("a thread");
    let name = json["threads"][usize::try_from(selected).expect("few")]["name"].as_str().expect("a name");
    assert!(name.contains("GET /slow"), "{name}");
    let read = read_firefox(&mut &file[..]).expect("a profile");
    assert_eq!(read.captured().map(ToString::to_string), Some(captured.to_string()));
    assert_eq!(functions(&read.captured_part().expect("a part")), own);
}

#[test]
fn by_signals() {
    if Recorder::reserve_signal(None, witprof::SamplingClock::Wall).is_ok() {
        a_slow_request_is_captured_alone_and_in_its_place(SamplerChoice::Signal);
    }
}

#[test]
fn by_epochs() {
    a_slow_request_is_captured_alone_and_in_its_place(SamplerChoice::Epoch);
}

#[test]
fn what_is_not_meant_is_not_captured_and_what_waits_is_at_the_end() {
    let mut guest = Guest::new(SamplerChoice::Epoch);
    assert_eq!(guest.recorder.sampler(), SamplerKind::Epoch);
    let labels = guest.recorder.labels([("route", "/x")]);
    let triggers = [Trigger::slow(ms(20)).label("route", "/y"), Trigger::failed()];
    // Nobody waits so long for what comes after: the end of the recording does.
    let captures = guest.recorder.capture_on(triggers).look_forward(LONG).at_most_every(LONG);
    let slow = guest.request("slow", &labels.request(), ms(30));
    let failed = guest.request("quick", &labels, ms(5)).failed();
    guest.recorder.record_span(slow);
    guest.recorder.record_span(failed.clone());
    guest.recorder.record_span(failed);
    let taking = std::thread::spawn(move || captures.collect::<Vec<Profile>>());
    drop(guest.recorder.finish());
    let taken = taking.join().expect("they end");
    let [only] = &taken[..] else { panic!("{} captures", taken.len()) };
    let captured = only.captured().expect("a reason");
    // Its labels are those of others, too, so nothing is said to be its own.
    assert_eq!((&captured.reason, captured.thread), (&CaptureReason::Failed, None));
    assert!(only.captured_part().is_none() && functions(only).contains("slow"));
    assert_eq!(guest.recorder.capture_on(Trigger::failed()).count(), 0, "the recording is over");
}

#[test]
fn with_the_last_recorder_captures_end() {
    let guest = Guest::new(SamplerChoice::Epoch);
    let captures = guest.recorder.capture_on(Trigger::failed()).look_forward(LONG);
    guest.recorder.record_span(Span::new("x", Duration::ZERO, ms(1)).failed());
    let taking = std::thread::spawn(move || captures.count());
    drop(guest);
    assert_eq!(taking.join().expect("they end"), 0, "there are no names any more");
}

#[test]
fn whoever_asks_gets_what_was_just_now() {
    let mut guest = Guest::new(SamplerChoice::Epoch);
    let labels = guest.recorder.labels([("route", "/x")]);
    guest.request("slow", &labels.request(), ms(30));
    let profile = guest.recorder.capture("<because>", Duration::ZERO..guest.recorder.elapsed());
    let captured = profile.captured().expect("a reason");
    assert_eq!((captured.to_string().as_str(), captured.thread), ("<because>", None));
    assert!(functions(&profile).contains("slow"));
}
