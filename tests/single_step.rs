//! Holds the stack walk against the truth: guests are run one machine instruction at a time, and at every instruction
//! in guest, adapter and trampoline code the stack that is walked has to be the stack that the calls and returns have
//! made.
//!
//! The processor's trap flag stops the thread after each instruction. The handler keeps a shadow stack: a `call` pushes,
//! a `ret` pops, and whatever lies below the stack pointer is gone. One test, in a process of its own, because signal
//! handlers belong to the process.
#![cfg(all(target_os = "linux", target_arch = "x86_64"))]
#![allow(missing_docs, unsafe_code, reason = "tests")]

mod support;
#[allow(dead_code, unreachable_pub, reason = "the walk uses a part of it")]
#[path = "../src/code/table.rs"]
mod table;
// The walk is private to the library, and made of files that depend on nothing else of it.
#[allow(dead_code, unused_imports, unreachable_pub, reason = "the test uses a part of it")]
#[path = "../src/sampler/signal/walk/mod.rs"]
mod walk;

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{c_int, c_void};
use std::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use wasmtime::component::{Component, Func, Instance, Linker, Val};
use wasmtime::{Config, Engine, OptLevel, Store, StoreContextMut, Strategy};
use witprof::{Layer, SymbolMap, TextOffset};

use table::CodeTable;
use walk::{Extent, FrameWord, Gone, HostCode, Place, Registers, Scene, Walker};

/// Where the walk finds what it uses of the library.
mod code {
    pub(crate) use super::table::{CodeRange, CodeTable};
}

#[allow(dead_code, unreachable_pub, reason = "the test uses a part of it")]
#[path = "../src/interpreters/evaluator.rs"]
mod evaluator;

mod interpreters {
    pub(crate) use super::InterpreterKind;
    pub(crate) use super::evaluator::{Evaluator, InstanceLayout};
}

/// The walk does not look at it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct InterpreterKind;

/// The flag that stops the processor after each instruction.
const TRAP_FLAG: i64 = 0x100;

/// A return address, and where it was pushed.
#[derive(Clone, Copy, Debug)]
struct Pushed {
    slot: u64,
    to: u64,
}

/// What the handler works with.
struct Oracle {
    code: CodeTable,
    host: HostCode,
    gone: Gone,
    walker: Walker,
    shadow: Vec<Pushed>,
    /// Program counter and stack pointer before the last instruction.
    last: Option<(u64, u64)>,
    steps: u64,
    compared: u64,
    /// Offsets into the text of each target that were compared.
    seen: BTreeSet<(u32, u32)>,
    /// The deepest stack.
    deepest: usize,
    /// Where something is taken off the stack before a jump.
    leaving: BTreeSet<u32>,
    wrong: Vec<Wrong>,
}

/// An instruction at which walk and truth differ.
#[derive(Debug)]
#[allow(dead_code, reason = "printed when it happens")]
struct Wrong {
    at: Place,
    code: [u8; 8],
    extent: Extent,
    walked: Vec<Place>,
    truth: Vec<Place>,
}

static ORACLE: AtomicPtr<Oracle> = AtomicPtr::new(std::ptr::null_mut());
static STOP: AtomicBool = AtomicBool::new(false);

extern "C" fn on_trap(_: c_int, _: *mut libc::siginfo_t, context: *mut c_void) {
    // SAFETY: the kernel passes a valid context; the oracle is used by this handler only, on one thread, until it is
    // taken back after the last step.
    let (context, oracle) = unsafe { (&mut *context.cast::<libc::ucontext_t>(), &mut *ORACLE.load(Ordering::Relaxed)) };
    if STOP.load(Ordering::Relaxed) {
        context.uc_mcontext.gregs[libc::REG_EFL as usize] &= !TRAP_FLAG;
        return;
    }
    oracle.step(Registers::interrupted(context));
}

/// # Safety
/// `address` is readable.
unsafe fn word(address: u64) -> u64 {
    // SAFETY: by contract.
    unsafe { (address as *const u64).read_volatile() }
}

/// # Safety
/// `address` is that of an instruction.
unsafe fn code_at(address: u64) -> [u8; 8] {
    // SAFETY: by contract; instructions are followed by others, or by the rest of a page.
    unsafe { (address as *const [u8; 8]).read_unaligned() }
}

fn is_call(code: [u8; 8]) -> bool {
    // Prefixes, then `call rel32` or `call r/m`.
    let mut rest = &code[..];
    while let [0x40..=0x4f | 0x66 | 0x67 | 0xf2 | 0x2e | 0x3e, after @ ..] = rest {
        rest = after;
    }
    matches!(rest, [0xe8, ..]) || matches!(rest, [0xff, modrm, ..] if modrm >> 3 & 7 == 2)
}

fn is_return(code: [u8; 8]) -> bool {
    matches!(code, [0xc3 | 0xc2, ..] | [0xf2 | 0xf3, 0xc3, ..])
}

impl Oracle {
    fn step(&mut self, now: Registers) {
        self.steps += 1;
        if let Some((pc, sp)) = self.last {
            // SAFETY: the instruction that was just executed.
            let code = unsafe { code_at(pc) };
            if now.sp == sp - 8 && is_call(code) {
                // SAFETY: the word that the call has pushed.
                self.shadow.push(Pushed { slot: now.sp, to: unsafe { word(now.sp) } });
            } else if is_return(code) && now.sp > sp {
                self.shadow.pop();
            }
        }
        while let Some(top) = self.shadow.last_mut().filter(|top| top.slot < now.sp) {
            // SAFETY: the top of the stack.
            if unsafe { word(now.sp) } == top.to {
                // A tail call has moved the return address.
                top.slot = now.sp;
                break;
            }
            self.shadow.pop();
        }
        self.last = Some((now.pc, now.sp));
        if let Some(range) = self.code.find(now.pc) {
            let at = FrameWord::text(range.target, range.offset(now.pc));
            self.compare(at, now);
        }
    }

    fn compare(&mut self, at: FrameWord, now: Registers) {
        self.compared += 1;
        if let Place::Text { target, offset } = at.place() {
            self.seen.insert((target, offset));
            // SAFETY: the instruction that is about to execute.
            let code = unsafe { code_at(now.pc) };
            let leaves = matches!(code, [0x48, 0x83, 0xc4, _, 0xe9, ..] | [0x48, 0x81, 0xc4, _, _, _, _, 0xe9]);
            self.leaving.extend(leaves.then_some(offset));
        }
        self.deepest = self.deepest.max(self.shadow.len());
        let stack = now.sp..now.sp + (1 << 20);
        // SAFETY: `check` keeps the components for as long as it steps through one of them, and their code does not change.
        let scene = unsafe { Scene::new((&self.code, &self.host), (1, &self.gone), stack, true) };
        // The stack of the process's first thread is more than a megabyte only where there are deep recursions, so a
        // part of it may be taken for all of it: what is above is tried page by page.
        let extent = self.walker.walk(&scene, now);
        let truth = |pushed: &Pushed| match self.code.find(pushed.to - 1) {
            Some(range) => FrameWord::text(range.target, range.offset(pushed.to)),
            None => FrameWord::host(pushed.to),
        };
        let truth = self.shadow.iter().map(truth).chain([at]).rev();
        let walked = self.walker.stack().iter().rev().copied();
        let is_same = truth.clone().count() <= self.walker.stack().len()
            && truth.clone().zip(walked.clone()).all(|(a, b)| a == b);
        if !is_same && self.wrong.len() < 20 {
            self.wrong.push(Wrong {
                at: at.place(),
                // SAFETY: the instruction that is about to execute.
                code: unsafe { code_at(now.pc) },
                extent,
                walked: walked.take(20).map(FrameWord::place).collect(),
                truth: truth.take(20).map(FrameWord::place).collect(),
            });
        }
    }
}

/// Runs `run` instruction by instruction.
fn single_step<R>(oracle: &mut Oracle, run: impl FnOnce() -> R) -> R {
    oracle.shadow.clear();
    oracle.last = None;
    STOP.store(false, Ordering::Relaxed);
    ORACLE.store(oracle, Ordering::Relaxed);
    // SAFETY: sets the trap flag, by way of the stack.
    unsafe { std::arch::asm!("pushfq", "or qword ptr [rsp], 0x100", "popfq") };
    let result = run();
    STOP.store(true, Ordering::Relaxed);
    // One more instruction, at which the handler clears the flag.
    std::hint::black_box(&STOP);
    result
}

fn install() {
    // SAFETY: all-zero bytes are a valid action; the handler has the signature that `SA_SIGINFO` asks for.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = on_trap as extern "C" fn(c_int, *mut libc::siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGTRAP, &raw const action, std::ptr::null_mut()), 0);
    }
}

/// A guest that the host's function `call-back` calls into.
struct Other {
    store: Store<()>,
    run: Func,
}

type State = Option<Other>;

fn linker(engine: &Engine) -> Linker<State> {
    let mut linker = Linker::new(engine);
    let mut host = linker.instance("test:host/host").expect("an instance");
    host.func_wrap("note", |_: StoreContextMut<'_, State>, (x,): (u32,)| Ok((x.wrapping_add(1),))).expect("note");
    host.func_wrap("name", |_: StoreContextMut<'_, State>, (): ()| Ok(("oracle".to_owned(),))).expect("name");
    let call_back = |mut store: StoreContextMut<'_, State>, (x,): (u32,)| {
        if let Some(other) = store.data_mut() {
            let mut results = [Val::U32(0)];
            other.run.call(&mut other.store, &[], &mut results)?;
        }
        Ok((x * 2,))
    };
    host.func_wrap("call-back", call_back).expect("call-back");
    linker
}

fn function<T>(store: &mut Store<T>, instance: &Instance, name: &str) -> Func {
    instance.get_func(store, name).unwrap_or_else(|| panic!("no {name}"))
}

/// What each guest's `run` returns.
const GUESTS: [(&str, u32); 10] = [
    ("blocks", 2_584_090_834),
    ("shim", 94),
    ("strings", 1_144_814),
    ("recursion", 3_941_346_506),
    ("indirect", 631_790_964),
    ("tail", 132_214_218),
    ("exceptions", 1_983_981_957),
    ("memory", 326_183_592),
    ("callback", 633_614),
    ("traps", 242),
];

/// What Winch compiles of them.
const WINCH: [&str; 6] = ["blocks", "shim", "strings", "recursion", "memory", "traps"];

/// What takes a minute, most of it in the host, and is the same at every level of optimisation.
const SLOW: [&str; 1] = ["exceptions"];

#[test]
fn every_instruction_has_its_true_stack() {
    install();
    let mut compared = BTreeMap::new();
    for (compiler, level) in [
        (Strategy::Cranelift, OptLevel::Speed),
        (Strategy::Cranelift, OptLevel::None),
        (Strategy::Winch, OptLevel::None),
    ] {
        let mut config = Config::new();
        config.strategy(compiler).cranelift_opt_level(level);
        let engine = Engine::new(&config).expect("a configuration that Wasmtime supports here");
        for (name, expected) in GUESTS {
            let is_compiled = compiler != Strategy::Winch || WINCH.contains(&name);
            if is_compiled && (level == OptLevel::Speed || !SLOW.contains(&name)) {
                let layers = check(compiler, &engine, name, expected);
                eprintln!("{name}: {layers:?}");
                layers.into_iter().for_each(|(layer, count)| *compared.entry(layer.name()).or_insert(0) += count);
            }
        }
    }
    // Different instructions that were executed, by layer: the test has to have met all of them.
    for layer in [Layer::Guest, Layer::Adapter, Layer::Trampoline] {
        assert!(compared[layer.name()] > 500, "{compared:?}");
    }
}

/// Steps through one guest, and returns how many different instructions of each layer were compared.
fn check(compiler: Strategy, engine: &Engine, name: &str, expected: u32) -> BTreeMap<Layer, usize> {
    let path = support::root().join(format!("tests/guests/{name}.wat"));
    let component = support::component(engine, &support::read(&path));
    let other = support::component(engine, &support::read(&support::root().join("tests/guests/shim.wat")));
    let text = |component: &Component, target| {
        let range = component.text().as_ptr_range();
        code::CodeRange { start: range.start as u64, end: range.end as u64, target }
    };
    let mut oracle = Oracle {
        code: CodeTable::default().with(text(&component, 0)).with(text(&other, 1)),
        host: HostCode::now(),
        gone: Gone::default(),
        walker: Walker::new(),
        shadow: Vec::with_capacity(1 << 16),
        last: None,
        steps: 0,
        compared: 0,
        seen: BTreeSet::new(),
        deepest: 0,
        leaving: BTreeSet::new(),
        wrong: Vec::new(),
    };
    let linker = linker(engine);
    let mut store = Store::new(engine, other_guest(engine, &other));
    let instance = linker.instantiate(&mut store, &component).expect("an instance");
    let run = function(&mut store, &instance, "run");
    let mut results = [Val::U32(0)];
    single_step(&mut oracle, || run.call(&mut store, &[], &mut results)).expect("a call");
    assert_eq!(results, [Val::U32(expected)], "{name}");
    if let Some(describe) = instance.get_func(&mut store, "describe") {
        let mut results = [Val::U32(0)];
        single_step(&mut oracle, || describe.call(&mut store, &[], &mut results)).expect("a call");
    }
    if let Some(divide) = instance.get_func(&mut store, "divide") {
        let mut results = [Val::U32(0)];
        single_step(&mut oracle, || divide.call(&mut store, &[Val::U32(0)], &mut results)).expect_err("a trap");
    }
    assert!(
        oracle.wrong.is_empty(),
        "{name}: {} of {} compared: {:#?}",
        oracle.wrong.len(),
        oracle.compared,
        oracle.wrong
    );
    assert!(oracle.compared > 100, "{name}: {} of {} steps", oracle.compared, oracle.steps);
    // As at the end of a tail call, but Winch has none.
    let leaves = compiler == Strategy::Winch && name == "blocks";
    assert!(!leaves || oracle.leaving.len() > 4, "{:?}", oracle.leaving);

    let maps = [&component, &other].map(|component| SymbolMap::builder(name).build(component).expect("a map"));
    let mut layers = BTreeMap::new();
    for (target, offset) in &oracle.seen {
        let function = maps[*target as usize].lookup(TextOffset::new(*offset)).expect("no code between functions runs");
        *layers.entry(function.library().layer).or_insert(0) += 1;
    }
    layers
}

/// A second guest, for the host to call while the first one waits.
fn other_guest(engine: &Engine, component: &Component) -> State {
    let mut linker = Linker::new(engine);
    let mut host = linker.instance("test:host/host").expect("an instance");
    host.func_wrap("note", |_: StoreContextMut<'_, ()>, (x,): (u32,)| Ok((x.wrapping_add(1),))).expect("note");
    let mut store = Store::new(engine, ());
    let instance = linker.instantiate(&mut store, component).expect("an instance");
    let run = function(&mut store, &instance, "run");
    Some(Other { store, run })
}
