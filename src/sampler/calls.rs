//! Every call across an interface, counted and timed.
//!
//! Wasmtime tells a hook of the store when the guest calls the host and when the host returns, when the host calls the
//! guest and when that returns. What was called, the stack tells ([`CallerFinder`]):
//!
//! - Of an import, there is the frame of its trampoline.
//! - Of an export, no frame is there yet when it is entered, but the frames of Wasmtime that are about to enter it know
//!   which it is. That is a guess. As soon as the guest calls anything, its outermost frame says how it was entered; if
//!   that differs, the guess is put right, and there are no more guesses for this store.
//! - Of a call from one component to another, the adapter may tell Wasmtime when it is over, or when an asynchronous one
//!   starts, which is a call of the host by the adapter. It does so only if the call lends a resource, or the callee has
//!   called the host meanwhile; so what is counted is a lower bound. That a synchronous call begins, it tells without the
//!   hook being told, so there is no time.

use std::sync::Arc;

use wasmtime::CallHook;

use super::current_task::{CurrentTask, OpenCall};
use super::recorder::Shared;
use super::signal::{Beginning, Caller, CallerFinder, Registers};
use crate::address::TextOffset;
use crate::agreed::agreed;
use crate::error::Result;
use crate::profile::Target;
use crate::samples::{CallLog, CallSite, CallTimes};
use crate::symbols::{Direction, Function, FunctionKind};

/// Counts the calls of one store. Made by [`Recorder::call_tracer`](crate::Recorder::call_tracer), for a store whose call
/// hook does something else as well.
#[derive(Debug)]
pub struct CallTracer {
    shared: Arc<Shared>,
    log: Arc<CallLog>,
    /// Reading of the clock when the recording began.
    base: u64,
    finder: CallerFinder,
    /// By number of a [`Caller`].
    roles: Vec<Option<Role>>,
    /// Calls that have not returned, in the order in which they were made.
    open: Vec<Open>,
    /// Guesses have been right until now.
    guesses: bool,
}

/// What a trampoline through which a guest calls the host is for.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// A function of an interface.
    Import(CallSite),
    /// An adapter says that there is a call from one component to another.
    Crossing,
    /// Wasmtime's own business: memory that grows, a resource that is dropped.
    Internal,
}

/// A call that has not returned.
#[derive(Clone, Copy, Debug)]
struct Open {
    /// Stack pointer of the hook when it began: the same when it ends.
    hook: u64,
    callee: Callee,
    start: Start,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Callee {
    /// A function of the host; `None` for what is not counted.
    Host(Option<CallSite>),
    /// A function of the guest.
    Guest(Entry),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Entry {
    site: Option<CallSite>,
    /// A frame has been seen, so it is no guess.
    is_certain: bool,
}

/// The clocks when a call began.
#[derive(Clone, Copy, Debug)]
struct Start {
    time: u64,
    /// How often the recording had been paused.
    pauses: u32,
    /// The number of the task.
    task: Option<u64>,
    waited: u64,
    cpu: Option<Cpu>,
}

#[derive(Clone, Copy, Debug)]
struct Cpu {
    /// CPU time of the task; outside of tasks, that of the thread.
    time: i64,
    /// Which thread's, outside of tasks.
    thread: Option<std::thread::ThreadId>,
}

/// What adapters call once for each call from one component to another.
const CROSSINGS: [&str; 3] = ["exit-sync-call", "sync-start-call", "async-start-call"];

/// Calls that have not returned, of all tasks of a store. More are counted as such that could not be told.
const MAX_OPEN: usize = 1 << 16;

/// The hook's stack pointer may differ by so much between a call and its return, should the compiler have inlined one of
/// the two into Wasmtime's function, and not the other.
const MAX_DIFFERENCE: u64 = 256;

impl CallTracer {
    pub(super) fn new(shared: &Arc<Shared>) -> Result<Self> {
        let tracing = shared.trace_calls()?;
        Ok(Self {
            shared: Arc::clone(shared),
            log: Arc::clone(&tracing.log),
            finder: CallerFinder::new(Arc::clone(&tracing.scene), Beginning::CallHook),
            base: tracing.base,
            roles: Vec::new(),
            open: Vec::new(),
            guesses: true,
        })
    }

    /// To be called by the store's call hook, with what the hook was called with.
    ///
    /// ```
    /// # use witprof::Recorder;
    /// # fn example(recorder: &Recorder, store: &mut wasmtime::Store<()>) -> witprof::Result<()> {
    /// let mut tracer = recorder.call_tracer()?;
    /// # #[cfg(feature = "call-hook")]
    /// store.call_hook(move |_, kind| {
    ///     tracer.call_hook(kind);
    ///     Ok(())
    /// });
    /// # Ok(())
    /// # }
    /// ```
    // Not inlined: its frame is where the way to the caller begins.
    #[inline(never)]
    pub fn call_hook(&mut self, kind: CallHook) {
        let here = CallerFinder::here();
        if self.shared.is_idle() {
            self.open.clear();
            return;
        }
        let hook = here.sp;
        match kind {
            CallHook::CallingHost => {
                let callee = self.finder.find(here).and_then(|caller| self.called_through(caller, here));
                self.push(hook, Callee::Host(callee));
            }
            CallHook::CallingWasm => {
                let guess = if self.guesses { self.finder.about_to_enter(here) } else { None };
                self.push(hook, Callee::Guest(Entry { site: guess, is_certain: false }));
            }
            CallHook::ReturningFromHost => {
                if let Some(Open { callee: Callee::Host(Some(site)), start, .. }) = self.pop(hook, Callee::is_host) {
                    self.record(site, start);
                }
            }
            CallHook::ReturningFromWasm => {
                let Some(open) = self.pop(hook, |callee| !callee.is_host()) else { return };
                match open.callee {
                    Callee::Guest(Entry { site: Some(site), .. }) => self.record(site, open.start),
                    _ => self.log.count_unnamed(),
                }
            }
        }
    }

    /// The import that a guest calls through `caller`, if it is one.
    fn called_through(&mut self, caller: Caller, here: Registers) -> Option<CallSite> {
        let role = self.role(caller);
        if !matches!(role, Role::Internal) {
            self.settle_entry(caller, here);
        }
        match role {
            Role::Import(site) => Some(site),
            Role::Crossing => {
                if let Some(adapter) = self.finder.caller_of(caller, here) {
                    self.log.count(adapter);
                }
                None
            }
            Role::Internal => None,
        }
    }

    fn push(&mut self, hook: u64, callee: Callee) {
        // What is not counted need not be timed.
        let is_counted = callee != Callee::Host(None);
        let start =
            if is_counted { self.start() } else { Start { time: 0, pauses: 0, task: None, waited: 0, cpu: None } };
        // A call that began in the same place never returned: it ended in a panic.
        if let Some(stale) =
            self.open.iter().rposition(|open| open.hook == hook && open.callee.is_host() == callee.is_host())
        {
            self.open.remove(stale);
        }
        if self.open.len() < MAX_OPEN {
            self.open.push(Open { hook, callee, start });
        } else if is_counted {
            self.log.count_unnamed();
        }
        CurrentTask::set_open_call(self.open_call());
    }

    /// The import that the guest waits in, should it be suspended now. `None` if tasks of the store are in several.
    fn open_call(&self) -> Option<OpenCall> {
        let imports = self.open.iter().filter_map(|open| match open.callee {
            Callee::Host(import) => import,
            Callee::Guest(_) => None,
        });
        let entries = self.open.iter().filter_map(|open| match open.callee {
            Callee::Guest(entry) => entry.site,
            Callee::Host(_) => None,
        });
        Some(OpenCall { import: agreed(imports)?, entry: agreed(entries) })
    }

    /// The call that returns to where `hook` was: mostly the last one, but the tasks of an async store return in any order.
    fn pop(&mut self, hook: u64, is_meant: impl Fn(Callee) -> bool) -> Option<Open> {
        let position = |tolerance: u64| {
            self.open.iter().rposition(|open| is_meant(open.callee) && open.hook.abs_diff(hook) <= tolerance)
        };
        let at = position(0).or_else(|| position(MAX_DIFFERENCE))?;
        let open = self.open.remove(at);
        CurrentTask::set_open_call(self.open_call());
        Some(open)
    }

    /// What a trampoline is for.
    fn role(&mut self, caller: Caller) -> Role {
        let number = caller.number as usize;
        if let Some(Some(role)) = self.roles.get(number) {
            return *role;
        }
        let role = self.function(caller.site).map_or(Role::Internal, |function| match function.kind() {
            FunctionKind::ImportLowering => Role::Import(caller.site),
            FunctionKind::CanonicalIntrinsic if CROSSINGS.contains(&&*function.name()) => Role::Crossing,
            _ => Role::Internal,
        });
        if self.roles.len() <= number {
            self.roles.resize(number + 1, None);
        }
        self.roles[number] = Some(role);
        role
    }

    fn function(&self, site: CallSite) -> Option<Function<'_>> {
        function_at(self.shared.targets(), site)
    }

    /// Finds out how the guest was entered that is calling, unless that is certain: the innermost entry on the same stack.
    fn settle_entry(&mut self, caller: Caller, here: Registers) {
        let entries = self.open.iter_mut().filter(|open| !open.callee.is_host() && open.hook > here.sp);
        let Some(innermost) = entries.min_by_key(|open| open.hook) else { return };
        let Callee::Guest(entry) = &mut innermost.callee else { return };
        if !entry.is_certain {
            let found = self.finder.entry_of(caller, here);
            let is_same = entry.site.is_none_or(|guess| {
                let function = |site| function_at(self.shared.targets(), site).map(Function::offset);
                guess.target == found.target && function(guess) == function(found)
            });
            self.guesses &= is_same;
            *entry = Entry { site: Some(found), is_certain: true };
        }
    }

    fn start(&mut self) -> Start {
        let task = CurrentTask::get();
        Start {
            time: self.finder.now(),
            pauses: self.shared.pauses(),
            task: task.number,
            waited: task.waited,
            cpu: self.shared.call_cpu.then(|| Cpu::now(task)),
        }
    }

    fn record(&mut self, site: CallSite, start: Start) {
        let end = self.start();
        if start.pauses != end.pauses {
            return;
        }
        // A call of a store that another task has taken over has no times of one task.
        let is_same_task = start.task == end.task;
        let cpu = start.cpu.zip(end.cpu).filter(|(start, end)| is_same_task && start.thread == end.thread);
        let times = CallTimes {
            begin: start.time.saturating_sub(self.base),
            wall: end.time.saturating_sub(start.time),
            suspended: if is_same_task { end.waited.saturating_sub(start.waited) } else { 0 },
            cpu: cpu.map(|(start, end)| u64::try_from(end.time.wrapping_sub(start.time)).unwrap_or(0)),
        };
        self.log.record(site, times);
    }
}

impl Callee {
    fn is_host(self) -> bool {
        matches!(self, Self::Host(_))
    }
}

impl Cpu {
    fn now(task: CurrentTask) -> Self {
        let thread = super::clock::thread_cpu_time().unwrap_or_default();
        let thread_time = i64::try_from(thread.as_nanos()).unwrap_or(i64::MAX);
        let thread = if task.number.is_none() { Some(std::thread::current().id()) } else { None };
        Self { time: thread_time.wrapping_add(task.cpu_offset), thread }
    }
}

/// The function of a site.
pub(crate) fn function_at(targets: &[Target], site: CallSite) -> Option<Function<'_>> {
    targets.get(site.target as usize)?.map.lookup(TextOffset::new(site.offset))
}

/// Whether calls of a function are calls across an interface: those of an import, an adapter, or an export, but not what
/// the canonical ABI calls for itself before or after.
pub(crate) fn crosses_interface(function: Function<'_>) -> bool {
    match function.kind() {
        FunctionKind::ImportLowering | FunctionKind::Adapter => true,
        FunctionKind::Entry => {
            function.direction() == Some(Direction::Export)
                && function.interface_function().is_some_and(|name| name == function.name())
        }
        _ => false,
    }
}
