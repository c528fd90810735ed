//! What happens to a recording while it goes on: timers that are refused to some threads, handlers of others over the
//! sampler's, time limits of the host, stacks that go away. And threads get back what was theirs.
//!
//! In a process of its own, because signals belong to the process, and one test after the other, because limits do as well.
#![cfg(all(target_os = "linux", any(target_arch = "x86_64", target_arch = "aarch64")))]
#![allow(missing_docs, unsafe_code, reason = "tests")]

mod support;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::channel;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use libc::c_int;
use support::guests::{Guest, Host};
use wasmtime::component::Component;
use wasmtime::{Config, Engine, Trap};
use witprof::{Error, LossReason, Profile, Recorder, RecorderBuilder, SamplerChoice, SignalProblem, SymbolMap};

const INTERVAL: Duration = Duration::from_micros(250);

/// Long enough for everything that happens soon.
const PATIENCE: Duration = Duration::from_secs(20);

/// One test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

fn component() -> Component {
    support::component(&Engine::default(), &support::guests::bytes("boundary"))
}

fn builder(component: &Component) -> RecorderBuilder {
    let map = SymbolMap::builder("guest").build(component).expect("a map");
    Recorder::builder(INTERVAL).sampler(SamplerChoice::Signal).code(Arc::new(map), component)
}

fn compute(guest: &mut Guest) {
    guest.call("cpu", &[1_000_000]);
}

/// Lets the guest compute until something is so.
fn compute_until(guest: &mut Guest, what: &str, is_so: impl Fn() -> bool) {
    let start = Instant::now();
    while !is_so() {
        assert!(start.elapsed() < PATIENCE, "never: {what}");
        compute(guest);
    }
}

fn lost(profile: &Profile, reason: LossReason) -> u64 {
    profile.counts().lost.get(&reason).copied().unwrap_or(0)
}

fn kept(recorder: &Recorder) -> u64 {
    recorder.snapshot().counts().kept
}

/// From now on the system refuses `call` to the current thread, and to no other. Returns whether that can be had.
fn deny(call: libc::c_long) -> bool {
    let statement =
        |code: u32, k: u32| libc::sock_filter { code: u16::try_from(code).expect("small"), jt: 0, jf: 0, k };
    let number = u32::try_from(call).expect("small");
    let equal = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
    let mut filter = [
        // The number of the call is what the description begins with.
        statement(libc::BPF_LD | libc::BPF_W | libc::BPF_ABS, 0),
        libc::sock_filter { jf: 1, ..statement(equal, number) },
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ERRNO | libc::EPERM.unsigned_abs()),
        statement(libc::BPF_RET | libc::BPF_K, libc::SECCOMP_RET_ALLOW),
    ];
    // As wide as the kernel reads them.
    let (yes, no): (libc::c_ulong, libc::c_ulong) = (1, 0);
    let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
    // SAFETY: the kernel copies the program, which is as long as it says.
    let is_denied = unsafe {
        libc::prctl(libc::PR_SET_NO_NEW_PRIVS, yes, no, no, no) == 0
            && libc::prctl(libc::PR_SET_SECCOMP, libc::c_ulong::from(libc::SECCOMP_MODE_FILTER), &raw const program)
                == 0
    };
    if !is_denied {
        support::programs::leave_out("seccomp filters");
    }
    is_denied
}

#[test]
fn what_one_thread_is_refused_is_its_own_loss() {
    let _alone = alone();
    let component = component();
    for (number, name) in [
        (libc::SYS_timer_create, "timer_create"),
        (libc::SYS_timer_settime, "timer_settime"),
        (libc::SYS_rt_sigprocmask, "rt_sigprocmask"),
    ] {
        let recorder = builder(&component).start().expect("a recorder");
        let is_denied = std::thread::scope(|scope| {
            let refused = scope.spawn(|| {
                if !deny(number) {
                    return false;
                }
                let mut guest = Guest::new(&component, Host::default());
                let active = recorder.enter();
                compute(&mut guest);
                // At once, and once for an activation.
                assert_eq!(lost(&recorder.snapshot(), LossReason::NoTimer), 1, "{name}");
                drop(active);
                (0..99).for_each(|_| drop(recorder.enter()));
                true
            });
            refused.join().expect("a thread that goes on")
        });
        if !is_denied {
            return;
        }
        let said = recorder.refused().expect("a reason").to_string();
        assert!(said.contains(name), "{said}");
        assert_eq!(lost(&recorder.snapshot(), LossReason::NoTimer), 100, "{name}");
        // All others are sampled.
        let mut guest = Guest::new(&component, Host::default());
        let active = recorder.enter();
        compute_until(&mut guest, "a sample", || kept(&recorder) > 10);
        drop(active);
        let profile = recorder.finish();
        support::check_profile(&profile);
        assert_eq!(lost(&profile, LossReason::NoTimer), 100, "{name}");
    }
}

/// Sets how many signals may be pending, timers included; returns how many it were.
fn set_pending_signals(limit: libc::rlim_t) -> libc::rlim_t {
    let mut limits = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls are given a live value.
    unsafe {
        assert_eq!(libc::getrlimit(libc::RLIMIT_SIGPENDING, &raw mut limits), 0);
        let before = std::mem::replace(&mut limits.rlim_cur, limit);
        assert_eq!(libc::setrlimit(libc::RLIMIT_SIGPENDING, &raw const limits), 0);
        before
    }
}

#[test]
fn what_was_refused_is_tried_again() {
    let _alone = alone();
    let component = component();
    let recorder = builder(&component).start().expect("a recorder");
    let mut guest = Guest::new(&component, Host::default());
    let before = set_pending_signals(0);
    drop(recorder.enter());
    set_pending_signals(before);
    assert_eq!(lost(&recorder.snapshot(), LossReason::NoTimer), 1);
    assert!(recorder.refused().expect("a reason").to_string().contains("ulimit -i"));
    let mut activations = 1;
    let start = Instant::now();
    while kept(&recorder) == 0 {
        assert!(start.elapsed() < PATIENCE, "never tried again");
        let _active = recorder.enter();
        activations += 1;
        compute(&mut guest);
    }
    let profile = recorder.finish();
    support::check_profile(&profile);
    assert!(lost(&profile, LossReason::NoTimer) < activations, "{:?}", profile.counts());
}

static TICKS: AtomicU64 = AtomicU64::new(0);

extern "C" fn foreign(_: c_int) {
    TICKS.fetch_add(1, Ordering::Relaxed);
}

/// Gives `signal` another action; returns the one until now.
fn exchange(signal: c_int, action: &libc::sigaction) -> libc::sigaction {
    // SAFETY: all-zero bytes are a valid action; the new one is an earlier one, or has a handler that does nothing but count.
    unsafe {
        let mut before: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, action, &raw mut before), 0);
        before
    }
}

/// What the other profiler does with a signal.
fn other() -> libc::sigaction {
    // SAFETY: all-zero bytes are a valid action.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = foreign as extern "C" fn(c_int) as usize;
    action.sa_flags = libc::SA_RESTART;
    action
}

fn disposition(signal: c_int) -> usize {
    // SAFETY: all-zero bytes are a valid action, and nothing is changed.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        assert_eq!(libc::sigaction(signal, std::ptr::null(), &raw mut action), 0);
        action.sa_sigaction
    }
}

#[test]
fn a_handler_over_ours_is_noticed_and_its_end_as_well() {
    let _alone = alone();
    let signal = libc::SIGUSR1;
    let component = component();
    let recorder = builder(&component).signal(signal).start().expect("a recorder");
    let mut guest = Guest::new(&component, Host::default());
    let active = recorder.enter();
    compute_until(&mut guest, "a sample", || kept(&recorder) > 0);
    assert!(recorder.refused().is_none());

    let ours = exchange(signal, &other());
    let is_noticed = || matches!(recorder.refused(), Some(SignalProblem::Replaced { signal: libc::SIGUSR1 }));
    compute_until(&mut guest, "notice", is_noticed);
    // It is spared our signals.
    let start = Instant::now();
    loop {
        let ticks = TICKS.load(Ordering::Relaxed);
        guest.call("cpu", &[20_000_000]);
        if TICKS.load(Ordering::Relaxed) == ticks {
            break;
        }
        assert!(start.elapsed() < PATIENCE, "{ticks} signals went to the other handler, and more");
    }
    let before = TICKS.load(Ordering::Relaxed);
    // Nor does it get them from guests that come and go.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut guest = Guest::new(&component, Host::default());
            for _ in 0..10 {
                let _active = recorder.enter();
                compute(&mut guest);
            }
        });
    });
    assert_eq!(TICKS.load(Ordering::Relaxed), before);
    compute_until(&mut guest, "a loss", || lost(&recorder.snapshot(), LossReason::HandlerReplaced) >= 2000);
    assert_eq!(lost(&recorder.snapshot(), LossReason::NoTimer), 0);

    exchange(signal, &ours);
    let samples = kept(&recorder);
    compute_until(&mut guest, "samples after that", || kept(&recorder) > samples + 10);
    drop(active);
    let profile = recorder.finish();
    support::check_profile(&profile);
    assert!(recorder.refused().is_some(), "it is told afterwards, too");
    // More than half a second was lost, and is not the time of whatever came next.
    let longest = profile.threads().iter().flat_map(|thread| &thread.samples).map(|sample| sample.wall).max();
    assert!(longest < Some(Duration::from_millis(400)), "{longest:?}");
    assert_eq!(disposition(signal), libc::SIG_DFL);
}

#[test]
fn our_own_handler_is_not_somebody_elses() {
    let _alone = alone();
    let signal = libc::SIGUSR2;
    let component = component();
    let recorder = builder(&component).signal(signal).start().expect("a recorder");
    let ours = exchange(signal, &other());
    drop(recorder.finish());
    assert_eq!(disposition(signal), other().sa_sigaction, "theirs is left alone");
    let error = builder(&component).signal(signal).start().expect_err("it is theirs");
    let Error::Signal { problem } = error else { panic!("{error}") };
    assert!(matches!(problem, SignalProblem::Taken { .. }), "{problem}");
    // They give back what they found, and nobody is behind it any more.
    exchange(signal, &ours);
    let recorder = builder(&component).signal(signal).start().expect("a recorder");
    let mut guest = Guest::new(&component, Host::default());
    let active = recorder.enter();
    compute_until(&mut guest, "a sample", || kept(&recorder) > 0);
    drop(active);
    drop(recorder.finish());
    assert_eq!(disposition(signal), libc::SIG_DFL);
    // The same if they do not.
    let recorder = builder(&component).signal(signal).start().expect("a recorder");
    exchange(signal, &other());
    drop(recorder);
    // SAFETY: the default action.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
    drop(builder(&component).signal(signal).start().expect("a recorder").finish());
    assert_eq!(disposition(signal), libc::SIG_DFL);
}

/// Blocks `signal` on the current thread, or asks only; returns whether it was blocked.
fn mask(signal: c_int, block: bool) -> bool {
    // SAFETY: both sets are initialised before they are read.
    unsafe {
        let (mut set, mut before): (libc::sigset_t, libc::sigset_t) = (std::mem::zeroed(), std::mem::zeroed());
        if block {
            libc::sigaddset(&raw mut set, signal);
        }
        assert_eq!(libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, &raw mut before), 0);
        libc::sigismember(&raw const before, signal) == 1
    }
}

#[test]
fn a_thread_gets_its_signal_mask_back_wherever_it_is() {
    let _alone = alone();
    let signal = libc::SIGPROF;
    let component = component();
    let start = || builder(&component).signal(signal).start().expect("a recorder");
    let (first, second) = (start(), start());
    for blocks in [true, false] {
        // It is asleep when recorders stop, with a guest active, or not.
        for is_active in [true, false] {
            let (first, second) = (start(), start());
            std::thread::scope(|scope| {
                let (tell, told) = channel();
                let (ask, asked) = channel::<()>();
                let (first, second) = (&first, &second);
                let component = &component;
                scope.spawn(move || {
                    assert!(!mask(signal, blocks));
                    let mut guest = Guest::new(component, Host::default());
                    let active = (first.enter(), second.enter());
                    compute_until(&mut guest, "samples", || kept(first) > 0 && kept(second) > 0);
                    assert!(!mask(signal, false), "it is sampled");
                    let active = is_active.then_some(active);
                    for _ in asked {
                        tell.send(mask(signal, false)).expect("somebody asks");
                    }
                    drop(active);
                    assert_eq!(mask(signal, false), blocks);
                });
                let is_blocked = || {
                    ask.send(()).expect("the thread");
                    told.recv().expect("an answer")
                };
                assert!(!is_blocked());
                first.finish();
                assert!(!is_blocked(), "the second needs it");
                second.finish();
                assert_eq!(is_blocked(), blocks, "with a guest active: {is_active}");
                drop(ask);
            });
        }
    }
    drop((first, second));
    // By the thread itself.
    let recorder = start();
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            mask(signal, true);
            let active = recorder.enter();
            assert!(!mask(signal, false));
            recorder.finish();
            assert!(mask(signal, false));
            drop(active);
        });
        thread.join().expect("a mask as it was");
    });
}

#[test]
fn a_time_limit_of_the_host_ends_a_guest_that_is_sampled() {
    let _alone = alone();
    let engine = Engine::new(Config::new().epoch_interruption(true)).expect("an engine");
    let component = support::component(&engine, &support::guests::bytes("boundary"));
    let recorder = builder(&component).start().expect("a recorder");
    let mut guest = Guest::with(&component, Host::default(), |store| {
        store.set_epoch_deadline(u64::MAX / 2);
        recorder.attach(store);
    });
    compute(&mut guest);
    guest.store.set_epoch_deadline(1);
    recorder.attach(&mut guest.store);
    let active = recorder.enter();
    let is_over = AtomicBool::new(false);
    let error = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Ordering::Relaxed) {
                engine.increment_epoch();
                std::thread::yield_now();
            }
        });
        let function = guest.function("cpu");
        // Some seconds, if nobody ends it.
        let arguments = [wasmtime::component::Val::U32(u32::MAX)];
        let result = function.call(&mut guest.store, &arguments, &mut [wasmtime::component::Val::U32(0)]);
        is_over.store(true, Ordering::Relaxed);
        result.expect_err("the time limit")
    });
    drop(active);
    assert_eq!(error.downcast_ref(), Some(&Trap::Interrupt), "{error:?}");
    support::check_profile(&recorder.finish());
}

extern "C" fn busy(_: c_int) {
    let start = Instant::now();
    while start.elapsed() < Duration::from_millis(20) {
        std::hint::spin_loop();
    }
}

/// A stack that had room may be gone, and another be in its place that has none.
#[test]
fn room_on_a_stack_is_not_believed_to_be_where_it_was() {
    const AT_MINSIGSTKSZ: libc::c_ulong = 51;
    const PAGE: usize = 4096;
    let _alone = alone();
    let signal = libc::SIGXCPU;
    let component = component();
    let recorder = builder(&component).start().expect("a recorder");
    // SAFETY: asks for a number.
    let frame = usize::try_from(unsafe { libc::getauxval(AT_MINSIGSTKSZ) }).expect("a size").max(4096);
    // Of two handlers, and what the sampler's needs; but not what it wants to be sure of.
    let small = (2 * frame + 10 * 1024).next_multiple_of(PAGE);
    let large = small + 16 * PAGE;
    let action =
        libc::sigaction { sa_sigaction: busy as extern "C" fn(c_int) as usize, sa_flags: libc::SA_ONSTACK, ..other() };
    let before = exchange(signal, &action);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut guest = Guest::new(&component, Host::default());
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            // SAFETY: a fresh anonymous mapping.
            let start =
                unsafe { libc::mmap(std::ptr::null_mut(), large, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0) };
            assert_ne!(start, libc::MAP_FAILED);
            let run_on = |size: usize| {
                let stack = libc::stack_t { ss_sp: start.wrapping_byte_add(large - size), ss_flags: 0, ss_size: size };
                let mut before = libc::stack_t { ss_sp: std::ptr::null_mut(), ss_flags: 0, ss_size: 0 };
                // SAFETY: the stack is mapped; the signal has the handler above.
                unsafe {
                    assert_eq!(libc::sigaltstack(&raw const stack, &raw mut before), 0);
                    libc::raise(signal);
                    assert_eq!(libc::sigaltstack(&raw const before, std::ptr::null_mut()), 0);
                }
            };
            let active = recorder.enter();
            compute(&mut guest);
            run_on(large);
            assert_eq!(lost(&recorder.snapshot(), LossReason::NoRoomOnStack), 0);
            // SAFETY: the lower part of the mapping above, where nothing runs.
            assert_eq!(unsafe { libc::mprotect(start, large - small, libc::PROT_NONE) }, 0);
            run_on(small);
            drop(active);
            // SAFETY: the mapping made above.
            assert_eq!(unsafe { libc::munmap(start, large) }, 0);
        });
    });
    exchange(signal, &before);
    let profile = recorder.finish();
    support::check_profile(&profile);
    assert!(lost(&profile, LossReason::NoRoomOnStack) > 0, "{:?}", profile.counts());
}
