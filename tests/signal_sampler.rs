//! The signal sampler: what its stacks show, whose time they count, and what it leaves behind. In a process of its own,
//! because signals belong to the process.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(missing_docs, unsafe_code, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use support::guests::{Guest, Host, async_linker, own_share, shows_host, stacks};
use support::patience::{assert_figure, patiently};
use wasmtime::component::{Component, Linker, Val};
use wasmtime::{Engine, Store, StoreContextMut};
use witprof::export::write_firefox;
use witprof::{
    Dimension, Error, FunctionKind, Layer, Profile, Recorder, RecorderBuilder, SamplerChoice, SamplerKind,
    SamplingClock, SignalProblem, SymbolMap,
};

const INTERVAL: Duration = Duration::from_micros(250);

fn component(name: &str) -> Component {
    support::component(&Engine::default(), &support::guests::bytes(name))
}

fn builder(component: &Component, interval: Duration) -> RecorderBuilder {
    let map = SymbolMap::builder("guest").build(component).expect("a map");
    Recorder::builder(interval).sampler(SamplerChoice::Signal).code(Arc::new(map), component)
}

/// Calls `work` with an active guest until `time` has passed.
fn record(recorder: &Recorder, time: Duration, mut work: impl FnMut()) -> Profile {
    let start = Instant::now();
    let active = recorder.enter();
    while start.elapsed() < time {
        work();
    }
    drop(active);
    check(recorder.finish())
}

/// The share of `cpu` of the guest `boundary`, and of what it calls.
fn computing(profile: &Profile) -> f64 {
    ["cpu", "mix", "fib"].iter().map(|name| own_share(profile, name)).sum()
}

/// Makes sure of what must be true of any profile.
fn check(profile: Profile) -> Profile {
    support::check_profile(&profile);
    profile
}

#[test]
fn stacks_go_from_the_export_through_adapters_and_trampolines() {
    patiently(|| {
        let component = component("strings");
        let recorder = builder(&component, INTERVAL).start().expect("a recorder");
        assert_eq!(recorder.sampler(), SamplerKind::Signal);
        let mut guest = Guest::new(&component, Host::default());
        let profile = record(&recorder, Duration::from_millis(600), || _ = guest.call("run", &[]));
        let counts = profile.counts();
        assert_eq!(counts.truncated, 0, "{counts:?}");
        assert_figure!(counts.kept > 500, "{counts:?}");
        assert!(!shows_host(&profile));
        let inside = stacks(&profile).into_iter().filter(|(stack, _)| stack.len() > 1).collect::<Vec<_>>();
        // Between two calls the host is on its own.
        assert_figure!(inside.len() * 2 > usize::try_from(counts.kept).expect("small"), "{inside:?}");
        for (stack, _) in &inside {
            assert_eq!(stack[0], "run", "{stack:?}");
        }
        let kinds: BTreeSet<FunctionKind> = profile.functions().iter().map(|function| function.kind).collect();
        for kind in [FunctionKind::Guest, FunctionKind::Adapter, FunctionKind::Entry, FunctionKind::Transcoder] {
            assert_figure!(kinds.contains(&kind), "no {kind:?} in {kinds:?}");
        }
        // The host is seen inside of what it is called by.
        let in_host = inside.iter().filter(|(stack, _)| stack.last().is_some_and(|leaf| leaf == "host")).count();
        assert_figure!(in_host > 10, "{in_host}");
    });
}

#[test]
fn host_frames_are_shown_if_asked_for_and_only_then() {
    patiently(|| {
        let component = component("boundary");
        let run = |builder: RecorderBuilder| {
            let recorder = builder.start().expect("a recorder");
            let mut guest = Guest::new(&component, Host { wait: Duration::from_millis(1) });
            record(&recorder, Duration::from_millis(200), || _ = guest.call("host-calls", &[10]))
        };
        let json = |profile: &Profile| {
            let mut json = Vec::new();
            write_firefox(profile, &mut json).expect("writing to memory");
            String::from_utf8(json).expect("UTF-8")
        };
        let executable = std::env::current_exe().expect("a path");
        let executable = executable.file_name().expect("a name").to_string_lossy();

        let hidden = run(builder(&component, INTERVAL));
        assert!(!shows_host(&hidden) && !json(&hidden).contains(&*executable));
        let waiting = |stack: &[String]| stack.ends_with(&["note".to_owned(), "host".to_owned()]);
        let inside: Duration = stacks(&hidden).iter().filter(|(stack, _)| waiting(stack)).map(|(_, wall)| *wall).sum();
        assert_figure!(inside > hidden.wall_time() / 2, "{inside:?} of {:?}", hidden.wall_time());
        // All that is known of the host is that there is one.
        for library in hidden.libraries().iter().filter(|library| library.layer == Layer::Host) {
            assert_eq!(library.name, "host");
        }

        let shown = run(builder(&component, INTERVAL).show_host_frames());
        assert!(shows_host(&shown) && json(&shown).contains(&*executable));
        let waits = |stack: &Vec<String>| stack.iter().any(|name| name.contains("sleep"));
        let stack = stacks(&shown).into_iter().map(|(stack, _)| stack).find(waits);
        assert_figure!(stack.is_some(), "the host inside of the import was not sampled");
        let stack = stack.expect("one");
        let note = stack.iter().position(|name| name == "note").expect("the import");
        let entry = stack.iter().position(|name| name == "host-calls").expect("the export");
        assert!(entry > 3, "the host around the guest: {stack:?}");
        assert!(entry < note && !waits(&stack[..=note].to_vec()), "the host inside the import: {stack:?}");
    });
}

/// How the CPU time of `phases` divides, in percent, if its first phase is `a` long and the others 50 and 20.
fn phases(component: &Component, a: u32) -> [f64; 3] {
    let recorder = builder(component, INTERVAL).start().expect("a recorder");
    let mut guest = Guest::new(component, Host::default());
    let mut rounds = 0;
    let (start, active) = (support::thread_cpu_time(), recorder.enter());
    while support::thread_cpu_time() - start < Duration::from_secs(1) {
        // Never the same length twice in a row: a guest that does the same over and over may keep step with a timer.
        rounds = (rounds + 61) % 257;
        let unit = 10 * (300 + rounds);
        guest.call("phases", &[a * unit, 50 * unit, 20 * unit]);
    }
    drop(active);
    let profile = check(recorder.finish());
    // Of the time in the three: the calls cost something, too.
    let shares = ["phase_a", "phase_b", "phase_c"].map(|name| own_share(&profile, name));
    shares.map(|share| 100.0 * share / shares.iter().sum::<f64>())
}

#[test]
fn time_is_divided_as_it_was_spent() {
    patiently(|| {
        let component = component("straight");
        // Then with one phase twice as long.
        for (a, expected) in [(30, [30.0, 50.0, 20.0]), (60, [60.0 / 1.3, 50.0 / 1.3, 20.0 / 1.3])] {
            let is_close = |found: &[f64; 3]| found.iter().zip(expected).all(|(found, is)| (found - is).abs() <= 2.0);
            // A machine that is busy with other things may disturb one recording; a bias would be in all.
            let mut found = Vec::new();
            while !found.last().is_some_and(is_close) {
                assert_figure!(found.len() < 4, "{found:?} instead of {expected:?}");
                found.push(phases(&component, a));
            }
        }
    });
}

#[test]
fn straight_line_code_is_sampled_where_it_runs() {
    patiently(|| {
        let component = component("straight");
        let recorder = builder(&component, INTERVAL).start().expect("a recorder");
        let mut guest = Guest::new(&component, Host::default());
        let profile = record(&recorder, Duration::from_millis(500), || _ = guest.call("straight", &[20_000]));
        // A function without loops or calls: the epoch sampler sees its first instruction only.
        assert_figure!(own_share(&profile, "straight") > 0.9, "{}", own_share(&profile, "straight"));
        let places: BTreeSet<_> = profile
            .frames()
            .iter()
            .filter(|frame| profile.functions()[frame.function.index()].name == "straight")
            .map(|frame| frame.point)
            .collect();
        assert_figure!(places.len() > 50, "{places:?}");
    });
}

#[test]
fn samples_add_up_to_the_clocks() {
    patiently(|| {
        let component = component("boundary");
        let recorder = builder(&component, Duration::from_millis(1)).start().expect("a recorder");
        let mut working = Guest::new(&component, Host::default());
        let mut waiting = Guest::new(&component, Host { wait: Duration::from_millis(20) });
        let (start, start_cpu) = (Instant::now(), support::thread_cpu_time());
        let active = recorder.enter();
        for _ in 0..20 {
            waiting.call("host-calls", &[2]);
            working.call("cpu", &[1_000_000]);
        }
        drop(active);
        let (wall, cpu) = (start.elapsed(), support::thread_cpu_time() - start_cpu);
        let profile = check(recorder.finish());
        let close = |found: Duration, expected: Duration| {
            // What comes after the last sample is in none.
            let slack = expected / 100 + Duration::from_millis(2);
            assert_figure!(found.abs_diff(expected) <= slack, "{found:?} instead of {expected:?}");
        };
        close(profile.wall_time(), wall);
        close(profile.cpu_time(), cpu);
        assert_figure!(profile.wall_time() > profile.cpu_time() * 3 / 2, "it waited {:?} of {wall:?}", wall - cpu);
        // Waiting is charged to the import that waits.
        let in_note = |(stack, wall): (Vec<String>, Duration)| stack.contains(&"note".to_owned()).then_some(wall);
        let noted: Duration = stacks(&profile).into_iter().filter_map(in_note).sum();
        assert_figure!(noted.abs_diff(Duration::from_millis(800)) < wall - cpu, "{noted:?}");
        assert_figure!(noted >= Duration::from_millis(790), "{noted:?}");
    });
}

#[test]
fn activations_shorter_than_an_interval_are_sampled_in_proportion() {
    patiently(|| {
        let component = component("boundary");
        let recorder = builder(&component, Duration::from_millis(2)).start().expect("a recorder");
        let mut guest = Guest::new(&component, Host::default());
        let start = Instant::now();
        let mut active_time = Duration::ZERO;
        while start.elapsed() < Duration::from_secs(1) {
            let (entered, cpu) = (Instant::now(), support::thread_cpu_time());
            let active = recorder.enter();
            guest.call("cpu", &[20_000]);
            drop(active);
            active_time += support::thread_cpu_time() - cpu;
            // As long again without a guest: none of it may be recorded.
            let idle = Instant::now();
            while idle.elapsed() < entered.elapsed() / 2 {
                std::hint::spin_loop();
            }
        }
        let profile = check(recorder.finish());
        assert_figure!(profile.counts().kept > 10, "{:?}", profile.counts());
        // On the CPU, because a thread may be made to wait in between the two clocks that are read here.
        let (found, expected) = (profile.cpu_time(), active_time);
        // What comes after the last sample is in none.
        let slack = expected / 12 + Duration::from_millis(20);
        assert_figure!(found.abs_diff(expected) < slack, "{found:?} instead of {expected:?}");
    });
}

#[test]
fn the_middle_of_a_deep_recursion_is_left_out() {
    let component = component("deep");
    let recorder = builder(&component, INTERVAL).start().expect("a recorder");
    let mut guest = Guest::new(&component, Host::default());
    let profile = record(&recorder, Duration::from_millis(300), || _ = guest.call("descend", &[5000, 3_000_000]));
    // Most samples are of the loop at the end of the recursion; some are of the way there, which is as deep.
    let of_loop = stacks(&profile).into_iter().filter(|(stack, _)| stack.last().is_some_and(|leaf| leaf == "spin"));
    let (stack, _) = of_loop.max_by_key(|(stack, _)| stack.len()).expect("samples");
    assert!((500..=520).contains(&stack.len()), "{}", stack.len());
    assert_eq!(stack.iter().filter(|name| *name == "(frames left out)").count(), 1);
    assert_eq!((stack[0].as_str(), stack[stack.len() - 1].as_str()), ("descend", "spin"));
    assert_eq!(profile.counts().truncated, 0);
}

#[test]
fn the_cpu_clock_does_not_count_waiting() {
    patiently(|| {
        let component = component("boundary");
        let recorder =
            builder(&component, Duration::from_millis(1)).clock(SamplingClock::Cpu).start().expect("a recorder");
        let mut working = Guest::new(&component, Host::default());
        let mut waiting = Guest::new(&component, Host { wait: Duration::from_millis(50) });
        let profile = record(&recorder, Duration::from_millis(600), || {
            waiting.call("host-calls", &[2]);
            working.call("cpu", &[20_000_000]);
        });
        assert_figure!(profile.counts().kept > 5, "{:?}", profile.counts());
        assert_eq!(profile.wall_time(), profile.cpu_time());
        assert_figure!(
            profile.wall_time() < profile.elapsed() * 3 / 4,
            "{:?} of {:?}",
            profile.wall_time(),
            profile.elapsed()
        );
        assert_figure!(own_share(&profile, "host") < 0.2, "{}", own_share(&profile, "host"));
    });
}

#[test]
fn guests_that_were_not_registered_are_not_shown() {
    let (shown, other) = (component("boundary"), component("straight"));
    let recorder = builder(&shown, INTERVAL).start().expect("a recorder");
    let mut shown = Guest::new(&shown, Host::default());
    let mut other = Guest::new(&other, Host::default());
    let profile = record(&recorder, Duration::from_millis(300), || {
        shown.call("cpu", &[100_000]);
        other.call("straight", &[2_000]);
    });
    assert!(computing(&profile) > 0.1, "{}", computing(&profile));
    let names: Vec<&str> = profile.functions().iter().map(|function| function.name.as_str()).collect();
    assert!(!names.iter().any(|name| name.contains("straight")), "{names:?}");
}

#[test]
fn threads_are_sampled_while_a_guest_is_active_on_them() {
    patiently(|| {
        let component = component("boundary");
        let recorder = builder(&component, INTERVAL).start().expect("a recorder");
        std::thread::scope(|scope| {
            for number in 0..4 {
                let (recorder, component) = (&recorder, &component);
                let work = move || {
                    let mut guest = Guest::new(component, Host::default());
                    let start = Instant::now();
                    while start.elapsed() < Duration::from_millis(300) {
                        let _active = recorder.enter();
                        guest.call("crossings", &[1000]);
                    }
                };
                std::thread::Builder::new()
                    .name(format!("worker {number}"))
                    .spawn_scoped(scope, work)
                    .expect("a thread");
            }
            // A thread without a guest.
            let start = Instant::now();
            while start.elapsed() < Duration::from_millis(200) {
                std::hint::spin_loop();
            }
        });
        let profile = check(recorder.finish());
        let names: BTreeSet<&str> = profile.threads().iter().map(|thread| thread.name.as_str()).collect();
        let all = BTreeSet::from(["worker 0", "worker 1", "worker 2", "worker 3"]);
        assert!(names.is_subset(&all), "{names:?}");
        assert_figure!(names == all, "{names:?}");
    });
}

async fn call_async(component: &Component, name: &str, argument: u32) -> Val {
    let mut store = Store::new(component.engine(), ());
    let linker = async_linker(component.engine(), Duration::from_millis(5));
    let instance = linker.instantiate_async(&mut store, component).await.expect("an instance");
    let function = instance.get_func(&mut store, name).expect("the function");
    let mut results = [Val::U64(0)];
    function.call_async(&mut store, &[Val::U32(argument)], &mut results).await.expect("a call");
    results[0].clone()
}

#[test]
fn an_async_guest_waits_in_its_import() {
    patiently(|| {
        let component = component("boundary");
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let recorder = builder(&component, INTERVAL).start().expect("a recorder");
        let start = Instant::now();
        runtime.block_on(recorder.instrument(async {
            assert_eq!(call_async(&component, "host-calls", 40).await, Val::U64(40 * 41 / 2));
            call_async(&component, "cpu", 10_000_000).await;
        }));
        let elapsed = start.elapsed();
        let profile = check(recorder.finish());
        let stacks = stacks(&profile);
        let waits = |stack: &[String]| stack.ends_with(&["note".to_owned(), "suspended".to_owned()]);
        let waited: Duration = stacks.iter().filter(|(stack, _)| waits(stack)).map(|(_, wall)| *wall).sum();
        // Forty times five milliseconds; timers are late, never early.
        assert_figure!(
            waited >= Duration::from_millis(200) && waited < elapsed,
            "{waited:?} of {elapsed:?}: {stacks:#?}"
        );
        // The guest runs on a fiber, and is seen there.
        assert_figure!(computing(&profile) > 0.5, "{}", computing(&profile));
        assert!(stacks.iter().filter(|(stack, _)| waits(stack)).all(|(stack, _)| stack[0] == "host-calls"));
        assert_eq!(profile.counts().truncated, 0);
        assert!(profile.wall_time() <= elapsed + INTERVAL, "{:?} of {elapsed:?}", profile.wall_time());
        assert_figure!(profile.wall_time() >= elapsed * 9 / 10, "{:?} of {elapsed:?}", profile.wall_time());
    });
}

#[test]
fn an_import_that_yields_is_charged_with_the_turns_of_others() {
    let component = component("boundary");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let recorder = builder(&component, INTERVAL).start().expect("a recorder");
    let guest = recorder.instrument(async {
        let mut store = Store::new(component.engine(), ());
        let mut linker = Linker::new(component.engine());
        let mut host = linker.instance("test:host/host").expect("an instance");
        host.func_wrap_async("note", |_: StoreContextMut<'_, ()>, (x,): (u32,)| {
            let mut has_yielded = false;
            // Keeps no clone of its waker: it is ready at once, and only lets others go first.
            let give_way = std::future::poll_fn(move |context| {
                if std::mem::replace(&mut has_yielded, true) {
                    return std::task::Poll::Ready(());
                }
                context.waker().wake_by_ref();
                std::task::Poll::Pending
            });
            Box::new(async move {
                give_way.await;
                Ok((x,))
            })
        })
        .expect("note");
        let instance = linker.instantiate_async(&mut store, &component).await.expect("an instance");
        let function = instance.get_func(&mut store, "host-calls").expect("the function");
        function.call_async(&mut store, &[Val::U32(20)], &mut [Val::U64(0)]).await.expect("a call");
    });
    let other = async {
        for _ in 0..20 {
            std::thread::sleep(Duration::from_millis(2));
            tokio::task::yield_now().await;
        }
    };
    runtime.block_on(async { tokio::join!(guest, other) });
    let waits = |stack: &[String]| stack.ends_with(&["note".to_owned(), "suspended".to_owned()]);
    let profile = check(recorder.finish());
    let waited = stacks(&profile).iter().filter(|(stack, _)| waits(stack)).map(|(_, wall)| *wall).sum();
    assert!(Duration::from_millis(30) < waited, "{waited:?} {:?}", stacks(&profile));
    assert_eq!(profile.counts().truncated, 0);
}

#[test]
fn labels_tell_requests_apart() {
    patiently(|| {
        let component = component("boundary");
        let recorder = builder(&component, INTERVAL).start().expect("a recorder");
        let mut guest = Guest::new(&component, Host::default());
        let [light, heavy] = ["/light", "/heavy"].map(|route| recorder.labels([("route", route), ("tenant", "t")]));
        // Labels of another recorder mean nothing here.
        let other = builder(&component, INTERVAL).signal(libc::SIGPWR).start().expect("a recorder");
        let foreign = other.labels([("route", "/foreign")]);
        let start = Instant::now();
        while start.elapsed() < Duration::from_millis(600) {
            for (labels, count) in [(&light, 100_000), (&heavy, 300_000), (&foreign, 100_000)] {
                let active = recorder.enter_labeled(labels);
                guest.call("cpu", &[count]);
                // Without labels of its own, it has those around it; and afterwards these are back.
                let inner = recorder.enter();
                guest.call("cpu", &[count]);
                drop((inner, recorder.enter_labeled(&light)));
                drop(active);
            }
        }
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let waiting = recorder.labels([("route", "/waiting")]);
        runtime.block_on(recorder.instrument(call_async(&component, "host-calls", 20)).labeled(&waiting));
        let profile = check(recorder.finish());
        let rows = profile.report_by_label("route").rows;
        let share = |name: &str| {
            let row = rows.iter().find(|row| row.name == name).unwrap_or_else(|| panic!("no {name} in {rows:?}"));
            // A thread may lose its processor under any label.
            row.cpu.as_secs_f64() / profile.cpu_time().as_secs_f64()
        };
        // Three to one and one to one, as far as chance and a busy machine allow.
        assert_figure!((1.8..5.0).contains(&(share("/heavy") / share("/light"))), "{rows:#?}");
        assert_figure!((0.4..2.5).contains(&(share("(no label)") / share("/light"))), "{rows:#?}");
        let waited = rows.iter().find(|row| row.name == "/waiting");
        assert_figure!(waited.is_some(), "{rows:#?}");
        let waited = waited.expect("one");
        assert_figure!(waited.blocked >= Duration::from_millis(80), "{waited:?}");
        assert!(rows.iter().all(|row| row.name != "/foreign"));
        let tenants = profile.report_by_label("tenant").rows;
        assert_eq!(tenants.iter().map(|row| row.attributed()).sum::<Duration>(), profile.wall_time());
        // In the file: markers for a reader, and labels for a report.
        let mut file = Vec::new();
        write_firefox(&profile, &mut file).expect("writing to memory");
        assert!(String::from_utf8_lossy(&file).contains("route=/heavy tenant=t"));
        let read = witprof::read_firefox(&mut &file[..]).expect("a profile");
        let names = |profile: &Profile| {
            profile.report_by_label("route").rows.into_iter().map(|row| (row.name, row.own)).collect::<Vec<_>>()
        };
        assert_eq!(names(&read), names(&profile));
    });
}

#[test]
fn a_running_recorder_can_be_looked_at() {
    patiently(|| {
        let component = component("boundary");
        let recorder = builder(&component, INTERVAL).start().expect("a recorder");
        let mut guest = Guest::new(&component, Host::default());
        let active = recorder.enter();
        guest.call("cpu", &[20_000_000]);
        let first = check(recorder.snapshot());
        let begin = recorder.elapsed();
        guest.call("crossings", &[2_000_000]);
        let period = check(recorder.snapshot_of(begin..recorder.elapsed()));
        let second = check(recorder.snapshot());
        drop(active);
        let all = check(recorder.finish());
        let kept = |profile: &Profile| profile.counts().kept;
        assert_figure!(
            0 < kept(&first) && kept(&first) < kept(&second) && kept(&second) <= kept(&all),
            "{:?}",
            all.counts()
        );
        assert_figure!(computing(&first) > 0.5, "{}", computing(&first));
        // Making a profile of the first part took time as well.
        assert_figure!(kept(&period) > 0 && kept(&period) <= kept(&second) - kept(&first) + 1, "{:?}", period.counts());
        assert_figure!(computing(&period) < 0.2, "{:#?}", period.report(Dimension::Function).rows);
        assert_figure!(period.wall_time() < second.wall_time(), "{:?}", period.wall_time());
        // And after the end it is what it was at the end.
        assert_eq!(kept(&recorder.snapshot()), kept(&all));
    });
}

#[test]
fn a_recording_without_end_keeps_the_last_part() {
    patiently(|| {
        let component = component("boundary");
        let kept_time = Duration::from_millis(160);
        let recorder = builder(&component, INTERVAL).keep_last(kept_time).start().expect("a recorder");
        let mut guest = Guest::new(&component, Host::default());
        let start = Instant::now();
        let active = recorder.enter();
        while start.elapsed() < Duration::from_millis(600) {
            guest.call("cpu", &[1_000_000]);
            // Whatever is seen of it is whole.
            let snapshot = check(recorder.snapshot());
            let samples = u128::from(snapshot.counts().kept);
            let most = 2 * kept_time.as_nanos() / INTERVAL.as_nanos();
            assert!(snapshot.counts().truncated == 0 && samples <= most, "{:?}", snapshot.counts());
        }
        drop(active);
        let profile = check(recorder.finish());
        let dropped = profile.counts().lost[&witprof::LossReason::WindowDropped];
        assert_figure!(dropped > profile.counts().kept / 2, "{:?}", profile.counts());
        let begin = profile.threads()[0].samples[0].time;
        assert_figure!(begin > Duration::from_millis(200) && computing(&profile) > 0.0, "{begin:?}");
    });
}

#[test]
fn a_pause_is_not_recorded() {
    patiently(|| {
        let component = component("boundary");
        let recorder = builder(&component, INTERVAL).start().expect("a recorder");
        let mut guest = Guest::new(&component, Host::default());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
        let start = Instant::now();
        let active = recorder.enter();
        while start.elapsed() < Duration::from_millis(100) {
            guest.call("cpu", &[100_000]);
        }
        let before = start.elapsed();
        recorder.pause();
        recorder.pause();
        let paused = Instant::now();
        while paused.elapsed() < Duration::from_millis(200) {
            // Only what runs in the pause calls this.
            guest.call("crossings", &[100_000]);
            drop(recorder.enter());
        }
        // Nor is waiting.
        let mut waiting = Box::pin(recorder.instrument(call_async(&component, "host-calls", 1000)));
        std::thread::scope(|scope| {
            let wait = || {
                let timed = async { tokio::time::timeout(Duration::from_millis(50), &mut waiting).await };
                runtime.block_on(timed).expect_err("it waits for seconds");
            };
            scope.spawn(wait).join().expect("a thread");
        });
        recorder.resume();
        let resumed = Instant::now();
        // The guest has been active all along.
        while resumed.elapsed() < Duration::from_millis(100) {
            guest.call("cpu", &[100_000]);
        }
        let after = resumed.elapsed();
        drop(active);
        drop(waiting);
        let profile = check(recorder.finish());
        assert_figure!(computing(&profile) > 0.5, "{:#?}", profile.report(Dimension::Function).rows);
        let wall = profile.wall_time();
        // The samples that the pause and the end cut off are an interval each, on a machine that has time for them.
        assert!(wall <= before + after, "{wall:?}");
        assert_figure!(wall + Duration::from_millis(100) > before + after, "{wall:?}");
        assert!(profile.functions().iter().all(|function| function.name != "crossings"));
    });
}

#[test]
fn a_thread_that_blocks_the_signal_is_sampled() {
    let component = component("boundary");
    let recorder = builder(&component, INTERVAL).start().expect("a recorder");
    let profile = std::thread::scope(|scope| {
        let blocked = scope.spawn(|| {
            // SAFETY: an initialised set, for this thread alone, which ends here.
            unsafe {
                let mut all = std::mem::zeroed();
                libc::sigfillset(&raw mut all);
                assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut()), 0);
            }
            let mut guest = Guest::new(&component, Host::default());
            record(&recorder, Duration::from_millis(100), || _ = guest.call("cpu", &[1_000_000]))
        });
        blocked.join().expect("a profile")
    });
    assert!(profile.counts().kept > 20 && computing(&profile) > 0.5, "{:?}", profile.counts());
}

#[test]
fn a_child_process_is_not_sampled() {
    let component = component("boundary");
    let recorder = builder(&component, INTERVAL).start().expect("a recorder");
    let mut guest = Guest::new(&component, Host::default());
    let active = recorder.enter();
    guest.call("cpu", &[10_000_000]);
    // SAFETY: the child does nothing but what is below, for which glibc's `fork` keeps the allocator usable, and `_exit`.
    let child = unsafe { libc::fork() };
    if child == 0 {
        // Neither the timer, which stays with the parent, nor a new one.
        drop(recorder.enter());
        guest.call("cpu", &[1_000_000]);
        let timers = timers(libc::SIGPROF).unwrap_or(0);
        // SAFETY: ends the process.
        unsafe { libc::_exit(i32::from(timers > 0)) };
    }
    let mut status = -1;
    // SAFETY: the child made above, and a live value.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0, "the child has timers");
    drop(active);
    check(recorder.finish());
}

/// Records calls of `descend` on a fiber: how deep, and how long to spin there.
fn descend(calls: impl Iterator<Item = (u32, u32)>) -> Profile {
    let component = component("deep");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let recorder = builder(&component, INTERVAL).start().expect("a recorder");
    runtime.block_on(recorder.instrument(async {
        let mut store = Store::new(component.engine(), ());
        let instance = Linker::new(component.engine()).instantiate_async(&mut store, &component).await.expect("deep");
        let function = instance.get_func(&mut store, "descend").expect("the function");
        for (depth, spin) in calls {
            let arguments = [Val::U32(depth), Val::U32(spin)];
            function.call_async(&mut store, &arguments, &mut [Val::U64(0)]).await.expect("a call");
        }
    }));
    check(recorder.finish())
}

#[test]
fn a_deep_recursion_on_a_fiber_is_walked_to_its_end() {
    // Most of the 512 KiB that a guest may use.
    let profile = descend([(10_000, 100_000_000)].into_iter());
    let counts = profile.counts();
    assert!(counts.kept > 100 && counts.truncated == 0, "{counts:?}");
    // What the host did before may have taken longer, on a machine that has other things to do.
    let stacks = stacks(&profile).into_iter().map(|(stack, _)| stack);
    let outermost: Vec<_> =
        stacks.filter(|stack| stack.ends_with(&["spin".to_owned()])).map(|stack| stack[0].clone()).collect();
    assert!(outermost.len() > 20 && outermost.iter().all(|function| function == "descend"), "{outermost:?}");
}

#[test]
fn stacks_that_grow_past_what_is_shown_are_walked_to_their_end() {
    // Around the 512 frames that are shown whole, so that most of a stack is as it was a sample ago.
    let depths = (500..520).chain((490..530).rev().step_by(3)).chain(500..520);
    let profile = descend(depths.map(|depth| (depth, 3_000_000)));
    assert!(profile.counts().kept > 50 && profile.counts().truncated == 0, "{:?}", profile.counts());
    let spinning = stacks(&profile).into_iter().filter(|(stack, _)| stack.ends_with(&["spin".to_owned()]));
    let lengths: BTreeSet<usize> =
        spinning.inspect(|(stack, _)| assert_eq!(stack[0], "descend")).map(|(stack, _)| stack.len()).collect();
    assert!(lengths.len() > 3 && lengths.last() == Some(&513), "{lengths:?}");
}

#[test]
fn a_task_that_still_waits_at_the_end_is_recorded() {
    let component = component("boundary");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("tokio");
    let recorder = builder(&component, Duration::from_secs(10)).start().expect("a recorder");
    // Longer than anything before it, and less than an interval: kept for the next that waits.
    let mut call = Box::pin(recorder.instrument(call_async(&component, "host-calls", 1000)));
    let short = async {
        tokio::select! {
            _ = &mut call => panic!("it waits for seconds"),
            () = tokio::time::sleep(Duration::from_millis(100)) => {}
        }
    };
    runtime.block_on(short);
    assert!(!stacks(&recorder.finish()).iter().any(|(stack, _)| stack.ends_with(&["suspended".to_owned()])));

    let recorder = builder(&component, INTERVAL).start().expect("a recorder");
    let mut call = Box::pin(recorder.instrument(call_async(&component, "host-calls", 1000)));
    let first = async { _ = std::future::poll_fn(|context| std::task::Poll::Ready(call.as_mut().poll(context))).await };
    runtime.block_on(first);
    std::thread::sleep(Duration::from_millis(50));
    let profile = check(recorder.finish());
    let waits = |stack: &[String]| stack.ends_with(&["note".to_owned(), "suspended".to_owned()]);
    let waited: Duration = stacks(&profile).iter().filter(|(stack, _)| waits(stack)).map(|(_, wall)| *wall).sum();
    assert!(waited >= Duration::from_millis(50), "{waited:?}");
}

#[test]
fn a_recorder_that_is_dropped_lets_go_of_everything() {
    let component = component("boundary");
    let map = Arc::new(SymbolMap::builder("guest").build(&component).expect("a map"));
    let start = || {
        let builder = Recorder::builder(INTERVAL).sampler(SamplerChoice::Signal).code(Arc::clone(&map), &component);
        builder.start().expect("a recorder")
    };
    let recorder = start();
    std::thread::scope(|scope| _ = scope.spawn(|| drop(recorder.enter())).join());
    drop(recorder.enter());
    drop(recorder);
    assert_eq!(Arc::strong_count(&map), 1);
    // Two at once finish together, and get the same.
    let recorder = start();
    let active = recorder.enter();
    Guest::new(&component, Host::default()).call("cpu", &[20_000_000]);
    drop(active);
    let (first, second) = std::thread::scope(|scope| {
        let [first, second] = [(); 2].map(|()| scope.spawn(|| check(recorder.finish())));
        (first.join().expect("a profile"), second.join().expect("a profile"))
    });
    assert_eq!(first.counts(), second.counts());
    assert!(first.counts().kept > 10);
}

extern "C" fn slow_handler(_: libc::c_int) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(5) {
        std::hint::spin_loop();
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_stack_goes_on_below_the_handler_of_another_signal() {
    let component = component("boundary");
    // SAFETY: the handler reads a clock.
    unsafe { libc::signal(libc::SIGXCPU, slow_handler as extern "C" fn(libc::c_int) as usize) };
    let recorder = builder(&component, INTERVAL).start().expect("a recorder");
    let mut linker = Linker::new(component.engine());
    let note = |_: StoreContextMut<'_, ()>, (x,): (u32,)| {
        // SAFETY: has the handler above.
        unsafe { libc::raise(libc::SIGXCPU) };
        Ok((x + 1,))
    };
    linker.instance("test:host/host").expect("an instance").func_wrap("note", note).expect("note");
    let mut store = Store::new(component.engine(), ());
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    let function = instance.get_func(&mut store, "host-calls").expect("the function");
    let active = recorder.enter();
    function.call(&mut store, &[Val::U32(20)], &mut [Val::U64(0)]).expect("a call");
    drop(active);
    let profile = check(recorder.finish());
    let inside = |stack: &[String]| stack.ends_with(&["note".to_owned(), "host".to_owned()]);
    let inside: Duration = stacks(&profile).iter().filter(|(stack, _)| inside(stack)).map(|(_, wall)| *wall).sum();
    assert!(inside >= Duration::from_millis(90), "{inside:?} of {:?}", profile.wall_time());
    assert_eq!(profile.counts().truncated, 0);
}

#[test]
fn tasks_that_move_between_threads_are_sampled() {
    patiently(|| {
        let component = Arc::new(component("boundary"));
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("tokio");
        let recorder = Arc::new(builder(&component, INTERVAL).start().expect("a recorder"));
        let tasks: Vec<_> = (0..20)
            .map(|_| {
                let (component, recorder) = (Arc::clone(&component), Arc::clone(&recorder));
                runtime.spawn(async move {
                    let call = async {
                        (call_async(&component, "host-calls", 10).await, call_async(&component, "cpu", 500_000).await)
                    };
                    recorder.instrument(call).await
                })
            })
            .collect();
        // Some are cancelled while they wait.
        for task in &tasks[15..] {
            task.abort();
        }
        for task in &mut tasks.into_iter().take(15) {
            assert_eq!(runtime.block_on(task).expect("a task").0, Val::U64(55));
        }
        drop(runtime);
        let profile = check(recorder.finish());
        let waits = |stack: &[String]| stack.ends_with(&["note".to_owned(), "suspended".to_owned()]);
        let waited: Duration = stacks(&profile).iter().filter(|(stack, _)| waits(stack)).map(|(_, wall)| *wall).sum();
        // Each of fifteen waits ten times, all at once.
        assert_figure!(waited >= Duration::from_millis(15 * 50), "{waited:?}");
        assert_figure!(computing(&profile) > 0.3, "{}", computing(&profile));
    });
}

extern "C" fn foreign(_: libc::c_int) {}

fn disposition(signal: libc::c_int) -> usize {
    // SAFETY: all-zero bytes are a valid action, and nothing is changed.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}

#[test]
fn a_handler_of_somebody_else_is_left_alone() {
    let signal = libc::SIGUSR2;
    let handler = foreign as extern "C" fn(libc::c_int) as usize;
    // SAFETY: the handler does nothing.
    unsafe { libc::signal(signal, handler) };
    let component = component("boundary");
    let error = builder(&component, INTERVAL).signal(signal).start().expect_err("a foreign handler");
    assert!(matches!(error, Error::Signal { problem: SignalProblem::Taken { .. } }), "{error}");
    assert_eq!(disposition(signal), handler);
    let error = builder(&component, INTERVAL).signal(libc::SIGKILL).start().expect_err("not to be handled");
    assert!(matches!(error, Error::Signal { problem: SignalProblem::Refused { .. } }), "{error}");
    // Where epochs would do, they do.
    let engine = support::engine();
    let epochs = support::component(&engine, &support::guests::bytes("boundary"));
    let recorder = builder(&epochs, INTERVAL).signal(signal).sampler(SamplerChoice::Auto).start().expect("a recorder");
    assert_eq!(recorder.sampler(), SamplerKind::Epoch);
    assert!(matches!(recorder.fallback(), Some(SignalProblem::Taken { .. })));
}

/// The POSIX timers of this process that send `signal`.
fn timers(signal: libc::c_int) -> Option<usize> {
    let timers = std::fs::read_to_string("/proc/self/timers").ok()?;
    Some(timers.lines().filter(|line| line.starts_with(&format!("signal: {signal}/"))).count())
}

#[test]
fn nothing_is_left_behind() {
    let signal = libc::SIGURG;
    let component = component("boundary");
    assert_eq!(disposition(signal), libc::SIG_DFL);
    let start = || builder(&component, INTERVAL).signal(signal).start().expect("a recorder");
    let (first, second) = (start(), start());
    let mut guest = Guest::new(&component, Host::default());
    let active = (first.enter(), second.enter());
    guest.call("cpu", &[20_000_000]);
    assert!(timers(signal).is_none_or(|timers| timers == 2));
    let profile = check(first.finish());
    assert!(profile.counts().kept > 10);
    assert_ne!(disposition(signal), libc::SIG_DFL, "the second is still at work");
    guest.call("cpu", &[20_000_000]);
    let again = first.finish();
    assert_eq!((profile.counts(), profile.wall_time()), (again.counts(), again.wall_time()));
    // Dropped with guests active, and without a word.
    drop(second);
    assert_eq!(disposition(signal), libc::SIG_DFL);
    assert!(timers(signal).is_none_or(|timers| timers == 0));
    guest.call("cpu", &[1_000_000]);
    drop(active);
    drop(first.enter());
}

#[test]
fn an_idle_thread_is_not_woken() {
    let signal = libc::SIGWINCH;
    let component = component("boundary");
    let recorder = builder(&component, INTERVAL).signal(signal).start().expect("a recorder");
    let mut guest = Guest::new(&component, Host::default());
    let active = recorder.enter();
    guest.call("cpu", &[5_000_000]);
    drop(active);
    // A sleep is interrupted by each signal, and returns how much of it was left.
    let sleep = |time: libc::timespec| {
        let mut left = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: both pointers are to live values.
        let result = unsafe { libc::nanosleep(&raw const time, &raw mut left) };
        (result != 0).then_some(left)
    };
    let mut interruptions = 0;
    let mut left = Some(libc::timespec { tv_sec: 0, tv_nsec: 200_000_000 });
    while let Some(rest) = left {
        left = sleep(rest);
        interruptions += u32::from(left.is_some());
    }
    assert!(interruptions <= 2, "{interruptions}");
    check(recorder.finish());
}

#[test]
fn interpreted_code_is_refused() {
    let mut config = wasmtime::Config::new();
    config.target("pulley64").expect("a target").epoch_interruption(true);
    let engine = Engine::new(&config).expect("a configuration that Wasmtime supports here");
    let component = support::component(&engine, &support::guests::bytes("boundary"));
    let error = builder(&component, INTERVAL).start().expect_err("no machine code");
    assert!(matches!(error, Error::Signal { problem: SignalProblem::Interpreter { .. } }), "{error}");
    let recorder = builder(&component, INTERVAL).sampler(SamplerChoice::Auto).start().expect("a recorder");
    assert_eq!(recorder.sampler(), SamplerKind::Epoch);
}
