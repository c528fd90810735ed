//! Code that comes and goes while guests run: what is seen of it, what it is called, and what is left of it.
//! In a process of its own, because signals belong to the process.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(missing_docs, reason = "tests")]

mod support;

use std::collections::BTreeSet;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use support::guests::{Guest, Host};
use wasmtime::{Config, Engine, Instance, Module, Store};
use witprof::{
    Error, FunctionKind, Profile, Recorder, RecorderBuilder, Registration, SamplerChoice, SamplerKind, SignalProblem,
    SymbolMap,
};

const INTERVAL: Duration = Duration::from_micros(100);

/// A module whose only function is called `name`, and counts down from its argument.
fn wat(name: &str) -> String {
    format!(
        "(module ${name} (func ${name} (export \"spin\") (param i32) (result i32)
           (loop $l (local.set 0 (i32.sub (local.get 0) (i32.const 1))) (br_if $l (local.get 0))) (local.get 0)))"
    )
}

fn module(engine: &Engine, name: &str) -> Module {
    Module::new(engine, wat(name)).expect("a module")
}

fn builder() -> RecorderBuilder {
    Recorder::builder(INTERVAL).sampler(SamplerChoice::Signal)
}

/// Runs the module's function for about `time`.
fn spin(module: &Module, time: Duration) {
    let mut store = Store::new(module.engine(), ());
    let instance = Instance::new(&mut store, module, &[]).expect("an instance");
    let spin = instance.get_typed_func::<i32, i32>(&mut store, "spin").expect("the function");
    let start = Instant::now();
    while start.elapsed() < time {
        assert_eq!(spin.call(&mut store, 100_000).expect("a call"), 0);
    }
}

/// The names of the guest functions of a profile.
fn functions(profile: &Profile) -> BTreeSet<&str> {
    let guests = profile.functions().iter().filter(|function| function.kind == FunctionKind::Guest);
    guests.map(|function| function.name.as_str()).collect()
}

fn address(module: &Module) -> Range<usize> {
    let text = module.text().as_ptr_range();
    text.start.addr()..text.end.addr()
}

/// Whether there is code at an address. (Memory of another kind may have taken the place of code that is gone, and stay.)
fn is_mapped(address: usize) -> bool {
    let maps = std::fs::read_to_string("/proc/self/maps").expect("the memory of this process");
    maps.lines().any(|line| {
        let mut fields = line.split(' ');
        let bounds = fields.next().and_then(|range| range.split_once('-')).expect("a range");
        let [start, end] = [bounds.0, bounds.1].map(|number| usize::from_str_radix(number, 16).expect("an address"));
        (start..end).contains(&address) && fields.next().expect("permissions").contains('x')
    })
}

/// Waits until something is so, which it must be soon; how soon depends on the machine.
fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < Duration::from_secs(30), "{what}");
        std::thread::yield_now();
    }
}

#[test]
fn code_is_seen_from_its_registration_on() {
    let engine = Engine::default();
    let [early, late, never] = ["early", "late", "never"].map(|name| module(&engine, name));
    let recorder = builder().code(SymbolMap::builder("early"), &early).start().expect("a recorder");
    let active = recorder.enter();
    spin(&early, Duration::from_millis(50));
    // On another thread than the one that runs it, which is active all along.
    let other = recorder.clone();
    let registering = std::thread::scope(|scope| {
        scope.spawn(|| other.register(SymbolMap::builder("late"), &late).expect("registered")).join().expect("a thread")
    });
    spin(&late, Duration::from_millis(50));
    spin(&never, Duration::from_millis(50));
    drop(active);
    let profile = recorder.finish();
    support::check_profile(&profile);
    assert_eq!(functions(&profile), BTreeSet::from(["early", "late"]));
    let libraries: BTreeSet<&str> = profile.libraries().iter().map(|library| library.name.as_str()).collect();
    assert!(libraries.contains("late") && !libraries.iter().any(|name| name.contains("never")), "{libraries:?}");
    drop(registering);
}

#[test]
fn names_outlive_the_code() {
    let engine = Engine::default();
    let recorder = builder().start().expect("a recorder");
    let gone = module(&engine, "gone");
    let registration = recorder.register(SymbolMap::builder("gone"), &gone).expect("registered");
    let active = recorder.enter();
    spin(&gone, Duration::from_millis(30));
    registration.unregister();
    // What runs from now on is not seen any more.
    let before = recorder.elapsed();
    spin(&gone, Duration::from_millis(30));
    drop(active);
    let text = address(&gone);
    drop(gone);
    wait_until("the code goes", || !is_mapped(text.start));
    let profile = recorder.finish();
    support::check_profile(&profile);
    assert_eq!(functions(&profile), BTreeSet::from(["gone"]));
    let of = |name: &str| {
        let stacks = support::guests::stacks(&profile);
        stacks.into_iter().filter(|(stack, _)| stack.last().is_some_and(|leaf| leaf == name)).count()
    };
    assert!(of("gone") > 30, "{}", of("gone"));
    let times: Vec<Duration> =
        profile.threads().iter().flat_map(|thread| &thread.samples).map(|sample| sample.time).collect();
    assert!(times.iter().any(|time| *time > before), "sampling went on");
    let seen = profile.threads().iter().flat_map(|thread| &thread.samples).filter(|sample| {
        let function = profile.frames()[profile.stacks()[sample.stack.index()].frame.index()].function;
        profile.functions()[function.index()].name == "gone" && sample.time > before + INTERVAL * 2
    });
    assert_eq!(seen.count(), 0, "it was unregistered");
}

#[test]
fn an_address_means_what_was_there_when_the_sample_was_taken() {
    let engine = Engine::default();
    let recorder = builder().start().expect("a recorder");
    let active = recorder.enter();
    let mut spent = Vec::new();
    let (mut reused, mut known) = (0, BTreeSet::new());
    for number in 0..200 {
        // Of one size, so that the system is likely to give the same address again.
        let name = format!("function_{number:03}");
        let here = module(&engine, &name);
        let registration = recorder.register(SymbolMap::builder("module"), &here).expect("registered");
        let begin = Instant::now();
        spin(&here, Duration::from_millis(3));
        spent.push((name, begin.elapsed()));
        let start = address(&here).start;
        reused += usize::from(!known.insert(start));
        drop(registration);
        drop(here);
        if number % 2 == 0 {
            wait_until("the code goes", || !is_mapped(start));
        }
    }
    drop(active);
    assert!(reused > 20, "{reused} of 200 were where another one had been");
    let profile = recorder.finish();
    support::check_profile(&profile);
    let found = functions(&profile);
    // Some may have been too short, on a machine that has other things to do.
    assert!(found.len() > 150, "{found:?}");
    let mut sampled: std::collections::BTreeMap<&str, Duration> = Default::default();
    for sample in profile.threads().iter().flat_map(|thread| &thread.samples) {
        let mut at = Some(sample.stack);
        // Whatever else is on the stack, there is no function of another module.
        let mut on_stack = BTreeSet::new();
        while let Some(stack) = at.map(|stack| profile.stacks()[stack.index()]) {
            let function = &profile.functions()[profile.frames()[stack.frame.index()].function.index()];
            if function.name.starts_with("function_") {
                on_stack.insert(function.name.as_str());
            }
            at = stack.caller;
        }
        assert!(on_stack.len() <= 1, "{on_stack:?}");
        for name in on_stack {
            *sampled.entry(name).or_default() += sample.wall;
        }
    }
    for (name, spent) in &spent {
        let sampled = sampled.get(name.as_str()).copied().unwrap_or_default();
        // An interval more at each end, and what the thread waited for a CPU before it began.
        assert!(sampled <= *spent + Duration::from_millis(2) + spent.mul_f64(0.5), "{name}: {sampled:?} of {spent:?}");
    }
}

#[test]
fn code_that_was_never_sampled_leaves_nothing() {
    let engine = Engine::default();
    let recorder = builder().start().expect("a recorder");
    for _ in 0..20 {
        let unused = module(&engine, "unused");
        let text = address(&unused);
        let registration = recorder.register(SymbolMap::builder("unused"), &unused).expect("registered");
        drop(unused);
        assert!(is_mapped(text.start), "it is registered");
        drop(registration);
        wait_until("the code goes", || !is_mapped(text.start));
    }
    assert!(functions(&recorder.finish()).is_empty());
}

#[test]
fn a_map_of_other_code_is_an_error() {
    let engine = Engine::default();
    let [one, other] = ["one", "other"].map(|name| module(&engine, name));
    let recorder = builder().start().expect("a recorder");
    let map = Arc::new(SymbolMap::builder("one").build(&one).expect("a map"));
    let error = recorder.register(&map, &other).expect_err("other code");
    assert!(matches!(&error, Error::OtherCode { name } if name == "one"), "{error:?}");
    let error = builder().code(&map, &other).start().expect_err("other code");
    assert!(matches!(error, Error::OtherCode { .. }), "{error:?}");
    // The same code twice in memory, and an image of it, have the same map.
    let again = module(&engine, "one");
    assert_ne!(address(&one), address(&again));
    let same = recorder.register(&map, &again).expect("the same code");
    let image = SymbolMap::builder("one").serialized(&one.serialize().expect("an image")).expect("a map");
    let from_image = recorder.register(image, &one).expect("the same code");
    drop((same, from_image));
    recorder.finish();
    let error = recorder.register(&map, &one).expect_err("finished");
    assert!(matches!(&error, Error::Finished { name } if name == "one"), "{error:?}");
}

#[test]
fn code_may_be_registered_twice() {
    let engine = Engine::default();
    let module = module(&engine, "twice");
    let recorder = builder().start().expect("a recorder");
    let first = recorder.register(SymbolMap::builder("first"), &module).expect("registered");
    let second = recorder.register(SymbolMap::builder("second"), &module).expect("registered");
    let active = recorder.enter();
    spin(&module, Duration::from_millis(20));
    drop(second);
    spin(&module, Duration::from_millis(20));
    drop(active);
    drop(first);
    let profile = recorder.finish();
    // The module has a name of its own, so the two are called the same; that both are there is what counts.
    let count = profile.functions().iter().filter(|function| function.name == "twice").count();
    assert_eq!(count, 2, "{:?}", profile.functions());
}

#[test]
fn interpreted_code_keeps_nobody_from_being_seen() {
    let native = module(&Engine::default(), "native");
    let pulley = Engine::new(
        Config::new().target(if cfg!(target_endian = "little") { "pulley64" } else { "pulley64be" }).expect("a target"),
    )
    .expect("an engine");
    let interpreted = module(&pulley, "interpreted");
    let names = || SymbolMap::builder("code");
    let recorder =
        Recorder::builder(INTERVAL).code(names(), &native).code(names(), &interpreted).start().expect("a recorder");
    assert_eq!(recorder.sampler(), SamplerKind::Signal);
    let seen = recorder.register(names(), module(&Engine::default(), "seen")).expect("registered");
    assert!(seen.unseen().is_none());
    let registration = recorder.register(names(), module(&pulley, "other")).expect("registered");
    assert!(matches!(registration.unseen(), Some(SignalProblem::Interpreter { name }) if name == "code"));
    let active = recorder.enter();
    spin(&native, Duration::from_millis(30));
    spin(&interpreted, Duration::from_millis(30));
    drop(active);
    assert_eq!(functions(&recorder.finish()), BTreeSet::from(["native"]));
    // On its own it is sampled by epochs, or not at all.
    let error = builder().code(names(), &interpreted).start().expect_err("nothing to see");
    assert!(matches!(error, Error::Signal { problem: SignalProblem::Interpreter { .. } }), "{error:?}");
}

#[test]
fn a_library_that_is_loaded_later_is_found() {
    let engine = Engine::default();
    let host = wat("unused");
    let module = Module::new(&engine, host).expect("a module");
    let recorder = builder().code(SymbolMap::builder("app"), &module).show_host_frames().start().expect("a recorder");
    let folder = tempfile::tempdir().expect("a folder");
    let source = folder.path().join("late.c");
    let library = folder.path().join("liblate.so");
    std::fs::write(
        &source,
        "unsigned late_library_work(unsigned n) { volatile unsigned x = 0; while (n--) x += n; return x; }",
    )
    .expect("a file");
    if !support::programs::can_run(&["cc"]) {
        return;
    }
    let compiled = std::process::Command::new("cc")
        .args(["-O1", "-shared", "-fPIC", "-o"])
        .args([&library, &source])
        .status()
        .expect("a compiler");
    assert!(compiled.success());
    let work = late::load(&library);
    let active = recorder.enter();
    let start = Instant::now();
    let mut is_found = false;
    while !is_found && start.elapsed() < Duration::from_secs(30) {
        work(10_000_000);
        let profile = recorder.snapshot();
        is_found = profile.functions().iter().any(|function| function.name == "late_library_work");
    }
    drop(active);
    assert!(is_found, "the library is known");
    support::check_profile(&recorder.finish());
}

/// Loads a library, as a host does with plug-ins.
#[allow(unsafe_code, reason = "there is no other way to load a library")]
mod late {
    use std::ffi::{CString, c_char, c_int, c_void};
    use std::os::unix::ffi::OsStrExt as _;
    use std::path::Path;

    unsafe extern "C" {
        fn dlopen(path: *const c_char, flags: c_int) -> *mut c_void;
        fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
    }

    pub(super) fn load(path: &Path) -> impl Fn(u32) -> u32 {
        let path = CString::new(path.as_os_str().as_bytes()).expect("a path");
        // SAFETY: a path of a library that this test has compiled, and that has nothing but the function.
        let symbol = unsafe {
            let library = dlopen(path.as_ptr(), 2);
            assert!(!library.is_null());
            dlsym(library, c"late_library_work".as_ptr())
        };
        assert!(!symbol.is_null());
        // SAFETY: the function has this signature, and the library is never closed.
        let work: extern "C" fn(u32) -> u32 = unsafe { std::mem::transmute(symbol) };
        move |rounds| work(rounds)
    }
}

#[test]
fn registrations_storm_while_guests_run() {
    let engine = Engine::default();
    let running = module(&engine, "running");
    let recorder = Recorder::builder(Duration::from_micros(50))
        .sampler(SamplerChoice::Signal)
        .code(SymbolMap::builder("running"), &running)
        .start()
        .expect("a recorder");
    let end = Instant::now() + Duration::from_secs(2);
    let registered = AtomicU64::new(0);
    std::thread::scope(|scope| {
        // Guests that stay, under a storm of signals.
        for _ in 0..2 {
            scope.spawn(|| {
                let _active = recorder.enter();
                while Instant::now() < end {
                    spin(&running, Duration::from_millis(5));
                }
            });
        }
        // Guests that come, run, and go while the thread is in them or right after.
        for number in 0..2 {
            let (recorder, registered, engine) = (&recorder, &registered, &engine);
            scope.spawn(move || {
                let _active = recorder.enter();
                let mut round = 0_u64;
                while Instant::now() < end {
                    let coming = module(engine, if round.is_multiple_of(2) { "coming" } else { "going_" });
                    let registration = recorder.register(SymbolMap::builder("coming"), &coming).expect("registered");
                    if (round + number).is_multiple_of(3) {
                        let (begun, is_begun) = std::sync::mpsc::channel();
                        // Taken away by another thread while this one is in it.
                        std::thread::scope(|inner| {
                            inner.spawn(move || {
                                let _ = is_begun.recv();
                                drop(registration);
                            });
                            begun.send(()).expect("it waits");
                            spin(&coming, Duration::from_millis(1));
                        });
                    } else {
                        spin(&coming, Duration::from_micros(300));
                        drop(registration);
                    }
                    registered.fetch_add(1, Ordering::Relaxed);
                    round += 1;
                }
            });
        }
        // Snapshots in between, each of which accounts for all.
        scope.spawn(|| {
            let mut before = 0;
            while Instant::now() < end {
                let profile = recorder.snapshot();
                support::check_profile(&profile);
                assert!(profile.counts().taken >= before);
                before = profile.counts().taken;
            }
        });
    });
    let profile = recorder.finish();
    support::check_profile(&profile);
    let names = functions(&profile);
    assert!(names.is_subset(&BTreeSet::from(["running", "coming", "going_"])), "{names:?}");
    assert_eq!(names.len(), 3, "{names:?}");
    assert!(registered.load(Ordering::Relaxed) > 50, "{registered:?}");
}

#[test]
fn ten_thousand_components_can_be_registered() {
    let engine = Engine::default();
    let running = module(&engine, "running");
    let recorder = builder().start().expect("a recorder");
    let others: Vec<Module> = (0..100).map(|number| module(&engine, &format!("module_{number}"))).collect();
    let registrations: Vec<_> = (0..10_000)
        .map(|number| recorder.register(SymbolMap::builder("other"), &others[number % others.len()]))
        .collect();
    assert!(registrations.iter().all(Result::is_ok));
    let running_too = recorder.register(SymbolMap::builder("running"), &running).expect("registered");
    let active = recorder.enter();
    spin(&running, Duration::from_millis(30));
    spin(&others[17], Duration::from_millis(30));
    drop(active);
    drop(registrations);
    drop(running_too);
    assert_eq!(functions(&recorder.finish()), BTreeSet::from(["running", "module_17"]));
}

#[test]
fn calls_of_code_that_is_loaded_again_are_counted_together() {
    const LOADS: u64 = 12;
    const CALLS: u32 = 50;
    let engine = Engine::default();
    let recorder = builder().start().expect("a recorder");
    for _ in 0..LOADS {
        let component = support::component(&engine, &support::guests::bytes("boundary"));
        let registration = recorder.register(SymbolMap::builder("guest"), &component).expect("registered");
        let mut tracer = recorder.call_tracer().expect("a tracer");
        let mut guest = Guest::with(&component, Host::default(), |store| {
            store.call_hook(move |_, kind| {
                tracer.call_hook(kind);
                Ok(())
            });
        });
        let active = recorder.enter();
        assert_eq!(guest.call("host-calls", &[CALLS]), u64::from(CALLS * (CALLS + 1) / 2));
        drop((active, guest));
        let text = component.text().as_ptr().addr();
        drop(component);
        drop(registration);
        wait_until("the code goes", || !is_mapped(text));
    }
    let profile = recorder.finish();
    support::check_profile(&profile);
    let calls = profile.calls().expect("calls were traced");
    let count = |name: &str| {
        let functions = calls.functions().iter().filter(|function| function.crossing.function == name);
        functions.map(|function| function.count).collect::<Vec<_>>()
    };
    assert_eq!(count("note"), [LOADS * u64::from(CALLS)], "{calls:?}");
    assert_eq!(count("host-calls"), [LOADS], "{calls:?}");
}

/// Registers code and removes it, until what was removed before it has been let go of, too.
fn let_go(recorder: &Recorder, engine: &Engine) {
    let other = module(engine, "other");
    let text = address(&other);
    let registration = recorder.register(SymbolMap::builder("other"), &other).expect("registered");
    drop((registration, other));
    wait_until("the code goes", || !is_mapped(text.start));
}

#[test]
fn a_call_that_returns_when_its_code_has_gone_keeps_its_name() {
    let engine = Engine::default();
    let recorder = builder().start().expect("a recorder");
    let waits = r#"(module $m (import "host" "wait" (func $wait)) (func (export "run") (call $wait)))"#;
    let module = Module::new(&engine, waits).expect("a module");
    let registration = recorder.register(SymbolMap::builder("waits"), &module).expect("registered");
    let mut store = Store::new(&engine, Some(registration));
    let mut tracer = recorder.call_tracer().expect("a tracer");
    store.call_hook(move |_, kind| {
        tracer.call_hook(kind);
        Ok(())
    });
    let mut linker = wasmtime::Linker::new(&engine);
    let other = recorder.clone();
    let wait = move |mut caller: wasmtime::Caller<'_, Option<Registration>>| {
        if caller.data_mut().take().is_some() {
            let_go(&other, caller.engine());
        }
    };
    linker.func_wrap("host", "wait", wait).expect("a new name");
    let instance = linker.instantiate(&mut store, &module).expect("an instance");
    let run = instance.get_typed_func::<(), ()>(&mut store, "run").expect("the function");
    for _ in 0..3 {
        // The second and third time nobody knows what is called.
        run.call(&mut store, ()).expect("a call");
    }
    let profile = recorder.finish();
    support::check_profile(&profile);
    let calls = profile.calls().expect("calls were traced");
    let counts: Vec<_> =
        calls.functions().iter().map(|function| (function.crossing.function.as_str(), function.count)).collect();
    assert_eq!(BTreeSet::from_iter(counts), BTreeSet::from([("run", 1), ("wait", 1)]), "{calls:?}");
    assert_eq!(calls.unnamed_entries(), 2);
}

#[test]
fn calls_that_a_store_still_counts_are_counted_together_later() {
    let engine = Engine::default();
    let recorder = builder().start().expect("a recorder");
    let load = || support::component(&engine, &support::guests::bytes("boundary"));
    let mut counted = Vec::new();
    for _ in 0..3 {
        let component = load();
        let map = Arc::new(SymbolMap::builder("guest").build(&component).expect("a map"));
        let registration = recorder.register(Arc::clone(&map), &component).expect("registered");
        let mut tracer = recorder.call_tracer().expect("a tracer");
        let mut guest = Guest::with(&component, Host::default(), |store| {
            store.call_hook(move |_, kind| {
                tracer.call_hook(kind);
                Ok(())
            });
        });
        guest.call("host-calls", &[10]);
        drop(registration);
        let_go(&recorder, &engine);
        counted.push((map, guest));
    }
    assert!(counted.iter().all(|(map, _)| Arc::strong_count(map) > 1), "their stores live");
    // The first stands for all.
    let maps: Vec<_> = counted.into_iter().map(|(map, _)| map).skip(1).collect();
    for map in &maps {
        wait_until("the others are forgotten", || {
            let_go(&recorder, &engine);
            Arc::strong_count(map) == 1
        });
    }
    let profile = recorder.finish();
    let calls = profile.calls().expect("calls were traced");
    let of_note = calls.functions().iter().filter(|function| function.crossing.function == "note");
    assert_eq!(of_note.map(|function| function.count).collect::<Vec<_>>(), [30], "{calls:?}");
}

#[test]
fn a_task_waits_in_code_that_went_while_it_ran() {
    let engine = Engine::default();
    let recorder = builder().start().expect("a recorder");
    let waits = r#"(module $m (import "host" "wait" (func $wait)) (func $run (export "run") (call $wait)))"#;
    let module = Module::new(&engine, waits).expect("a module");
    let registration = recorder.register(SymbolMap::builder("waits"), &module).expect("registered");
    let mut linker = wasmtime::Linker::new(&engine);
    let other = recorder.clone();
    let begin = move |mut caller: wasmtime::Caller<'_, Option<Registration>>, (): ()| {
        let (mut registration, engine, other) = (caller.data_mut().take(), caller.engine().clone(), other.clone());
        let mut wakers = Vec::new();
        std::future::poll_fn(move |context| {
            // Here the task is noted to be.
            wakers.push(context.waker().clone());
            if registration.take().is_none() {
                return std::task::Poll::Ready(());
            }
            let_go(&other, &engine);
            std::task::Poll::Pending
        })
    };
    linker.func_wrap_async("host", "wait", move |caller, none| Box::new(begin(caller, none))).expect("a new name");
    let task = recorder.instrument(async {
        let mut store = Store::new(&engine, Some(registration));
        let instance = linker.instantiate_async(&mut store, &module).await.expect("an instance");
        let run = instance.get_typed_func::<(), ()>(&mut store, "run").expect("the function");
        run.call_async(&mut store, ()).await.expect("a call");
    });
    let mut task = std::pin::pin!(task);
    let mut context = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(task.as_mut().poll(&mut context).is_pending());
    let since = recorder.elapsed();
    wait_until("it waits a little", || recorder.elapsed() > since + Duration::from_millis(20));
    assert!(task.as_mut().poll(&mut context).is_ready());
    let profile = recorder.finish();
    support::check_profile(&profile);
    let stacks = support::guests::stacks(&profile);
    let waited: Vec<_> = stacks.iter().filter(|(stack, _)| stack.iter().any(|frame| frame == "suspended")).collect();
    assert!(!waited.is_empty(), "{stacks:?}");
    // If samples were taken before it went, its name is known; and in no case is it that of other code.
    assert!(functions(&profile).is_subset(&BTreeSet::from(["run"])), "{stacks:?}");
}

#[test]
fn without_a_collector_profiles_see_to_what_is_left() {
    let engine = Engine::new(Config::new().epoch_interruption(true)).expect("a configuration");
    let recorder = Recorder::builder(Duration::from_millis(1)).sampler(SamplerChoice::Epoch);
    let recorder = recorder.keep_last(Duration::from_millis(200)).start().expect("a recorder");
    let spin = |module: &Module| {
        let mut store = Store::new(&engine, ());
        recorder.attach(&mut store);
        let instance = Instance::new(&mut store, module, &[]).expect("an instance");
        let spin = instance.get_typed_func::<i32, i32>(&mut store, "spin").expect("the function");
        spin.call(&mut store, 20_000_000).expect("a call");
    };
    let [gone, stays] = ["gone", "stays"].map(|name| module(&engine, name));
    let map = Arc::new(SymbolMap::builder("gone").build(&gone).expect("a map"));
    let registration = recorder.register(Arc::clone(&map), &gone).expect("registered");
    recorder.register(SymbolMap::builder("stays"), &stays).expect("registered").keep();
    spin(&gone);
    drop(registration);
    assert!(functions(&recorder.snapshot()).contains("gone"));
    wait_until("its samples are dropped, and its names", || {
        spin(&stays);
        let _ = recorder.snapshot();
        Arc::strong_count(&map) == 1
    });
    assert_eq!(functions(&recorder.finish()), BTreeSet::from(["stays"]));
}
