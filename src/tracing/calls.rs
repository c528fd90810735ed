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
//! - Of a call of the host by a core module that stands alone, the trampoline is that of many functions. The place that it was
//!   called from tells which, where that can be known ([`Entry::host_import`](crate::code::Entry::host_import)); else the signature is all there is.
//!
//! What the hook itself takes is not the guest's. A thread that is in here says so, for samples that fall into it
//! ([`OwnWork`]). And the clock is read when the hook begins and when it ends: a call begins with the end of one hook and ends
//! with the beginning of the other, and what hooks took in between is no part of it. What is no call, but Wasmtime's own
//! business, comes several times with each call from one component to another; so it is only looked at, and no clock is read.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use rustc_hash::FxHashMap;
use wasmtime::CallHook;

use super::Tracing;
use crate::address::TextOffset;
use crate::agreed::agreed;
use crate::code::Registry;
use crate::sampler::signal::{Beginning, Caller, CallerFinder, Meaning, Registers};
use crate::sampler::{CurrentTask, OpenCall, OwnWork, own_work, thread_cpu_time};
use crate::samples::{CallSite, CallTimes, Called, CrossingCount};
use crate::symbols::FunctionKind;

/// Counts the calls of one store. Made by [`Recorder::call_tracer`](crate::Recorder::call_tracer), for a store whose call
/// hook does something else as well.
#[derive(Debug)]
pub struct CallTracer {
    tracing: Arc<Tracing>,
    finder: CallerFinder,
    /// By number of a [`Caller`].
    roles: Vec<Option<Role>>,
    /// What is called through a trampoline that tells the signature only: by its number, and where it was called.
    host_calls: FxHashMap<(u32, CallSite), Called>,
    /// The components and modules that calls were found of.
    met: Vec<u32>,
    /// Counters of what adapters say.
    crossings: FxHashMap<CallSite, Arc<CrossingCount>>,
    /// The one that has counted last, by the address that the trampoline returned to.
    last_crossing: Option<(u64, Arc<CrossingCount>)>,
    /// Stack pointer of the hook when the last thing began that is no call. No hook has that of a null pointer.
    nothing: u64,
    /// Nanoseconds that this hook has taken until now.
    own: u64,
    /// Calls that have not returned, in the order in which they were made.
    open: Vec<Open>,
    /// Guesses have been right until now.
    guesses: bool,
    /// Whether calls are counted, and not only waited for.
    counts: bool,
    /// Which functions are waited for, as far as that was asked.
    awaited: FxHashMap<Called, bool>,
    /// A function was entered of which nobody could tell which.
    is_entry_unknown: bool,
    /// How long calls have to take to be kept, as far as that was asked.
    least: FxHashMap<Called, u64>,
}

/// What a trampoline through which a guest calls the host is for.
#[derive(Clone, Copy, Debug)]
enum Role {
    /// A function of an interface.
    Import(CallSite),
    /// A function of the host that a core module imports; of which there may be many.
    HostCall(CallSite),
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
    /// A function of the host.
    Host(Called),
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
    /// What the hook had taken by then.
    own: u64,
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
    /// One for a store; `None` where stacks cannot be read.
    pub(crate) fn new(tracing: &Arc<Tracing>) -> Option<Self> {
        let mut tracer = Self::waiting(tracing)?;
        tracing.traces_calls.store(true, Ordering::Relaxed);
        tracer.counts = true;
        Some(tracer)
    }

    /// The same for one that counts nothing, and only waits for the call with which the recording begins.
    pub(crate) fn waiting(tracing: &Arc<Tracing>) -> Option<Self> {
        let finder = CallerFinder::new(Arc::clone(tracing.ways.as_ref()?), Beginning::CallHook);
        Some(Self {
            tracing: Arc::clone(tracing),
            finder,
            roles: Vec::new(),
            host_calls: FxHashMap::default(),
            met: Vec::new(),
            crossings: FxHashMap::default(),
            last_crossing: None,
            nothing: 0,
            own: 0,
            open: Vec::new(),
            guesses: true,
            counts: false,
            awaited: FxHashMap::default(),
            is_entry_unknown: false,
            least: FxHashMap::default(),
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
    #[inline]
    pub fn call_hook(&mut self, kind: CallHook) {
        let work = OwnWork::begin();
        self.hook(kind);
        drop(work);
    }

    // Not inlined: its frame is where the way to the caller begins.
    #[inline(never)]
    fn hook(&mut self, kind: CallHook) {
        let here = CallerFinder::here();
        let is_idle = self.tracing.state.is_idle();
        // The call with which the recording begins is counted.
        let begins = is_idle && self.tracing.awaited.get().is_some() && self.begins_with(&kind, here);
        if (is_idle && !begins) || !self.counts {
            self.open.clear();
            self.nothing = 0;
            self.tell_open_call(CurrentTask::get());
            return;
        }
        self.look_again();
        match kind {
            CallHook::CallingHost if self.finder.finds_nothing(here) => self.begin_nothing(here.sp),
            CallHook::CallingHost => self.calling_host(here),
            CallHook::CallingWasm => {
                let begin = self.finder.now();
                let guess = if self.guesses { self.finder.about_to_enter(here) } else { None };
                guess.into_iter().for_each(|guess| self.meet(guess.target));
                self.push(here.sp, Callee::Guest(Entry { site: guess, is_certain: false }), begin);
            }
            CallHook::ReturningFromHost if here.sp == self.nothing => {}
            CallHook::ReturningFromHost | CallHook::ReturningFromWasm => self.returned(kind, here),
        }
    }

    /// Forgets what was known of code, if other code may be there now.
    fn look_again(&mut self) {
        if self.finder.look() {
            self.roles.clear();
            self.host_calls.clear();
            self.last_crossing = None;
        }
    }

    /// Whether the recording begins with this call, for which it has waited.
    #[cold]
    fn begins_with(&mut self, kind: &CallHook, here: Registers) -> bool {
        self.look_again();
        let called = match kind {
            CallHook::CallingWasm => {
                let entry = self.finder.about_to_enter(here);
                self.is_entry_unknown = entry.is_none();
                [entry.map(Called::Compiled), None]
            }
            CallHook::CallingHost => {
                let Some(caller) = self.finder.find(here) else { return false };
                let entry = std::mem::take(&mut self.is_entry_unknown).then(|| self.finder.entry_of(caller, here));
                let call = match self.role(caller) {
                    Role::Import(site) => Some(Called::Compiled(site)),
                    Role::HostCall(trampoline) => Some(self.host_call(caller, trampoline, here)),
                    Role::Crossing => {
                        let adapter = self.finder.site(self.finder.return_address_of(caller, here));
                        adapter.map(Called::Compiled)
                    }
                    Role::Internal => None,
                };
                [entry.map(Called::Compiled), call]
            }
            CallHook::ReturningFromHost | CallHook::ReturningFromWasm => return false,
        };
        let Some(awaited) = self.tracing.awaited.get() else { return false };
        called.into_iter().flatten().any(|called| awaited.is_called(called, &mut self.awaited))
    }

    /// Calls of a component or module are found. It may go before they return, and has to keep its names then.
    #[inline]
    fn meet(&mut self, target: u32) {
        if self.met.last() != Some(&target) {
            self.meet_other(target);
        }
    }

    #[cold]
    fn meet_other(&mut self, target: u32) {
        match self.met.iter().position(|known| *known == target) {
            // Mostly it is the next one, too.
            Some(known) => {
                let last = self.met.len() - 1;
                self.met.swap(known, last);
            }
            None => {
                self.tracing.calls.expect(target);
                self.met.push(target);
            }
        }
    }

    /// Something begins that is no call. It is not remembered but for its place, by which its end is known.
    #[inline]
    fn begin_nothing(&mut self, hook: u64) {
        self.nothing = hook;
        // A call that began in the same place never returned: it ended in a panic.
        if self.open.last().is_some_and(|open| open.hook == hook && open.callee.is_host()) {
            self.open.pop();
        }
    }

    /// The guest calls the host.
    fn calling_host(&mut self, here: Registers) {
        let begin = (self.finder.expected() == Meaning::Call).then(|| self.finder.now());
        let caller = self.finder.find(here);
        let Some(called) = caller.and_then(|caller| self.called_through(caller, here)) else {
            self.begin_nothing(here.sp);
            return;
        };
        // Late, should something else have been expected.
        let begin = begin.unwrap_or_else(|| self.finder.now());
        self.finder.means(Meaning::Call);
        self.push(here.sp, Callee::Host(called), begin);
    }

    /// A call has returned.
    fn returned(&mut self, kind: CallHook, here: Registers) {
        let end = self.finder.now();
        let is_host = matches!(kind, CallHook::ReturningFromHost);
        let Some(open) = self.pop(here.sp, |callee| callee.is_host() == is_host) else {
            self.finish_hook(end);
            return;
        };
        match open.callee {
            Callee::Host(called) => self.record((called, Some(here)), open.start, end),
            Callee::Guest(Entry { site: Some(site), .. }) => {
                self.record((Called::Compiled(site), None), open.start, end);
            }
            Callee::Guest(Entry { site: None, .. }) => self.tracing.calls.count_unnamed(),
        }
        self.finish_hook(end);
    }

    /// The function of the host that a guest calls through `caller`, if it is one.
    fn called_through(&mut self, caller: Caller, here: Registers) -> Option<Called> {
        let role = self.role(caller);
        if !matches!(role, Role::Internal) {
            self.settle_entry(caller, here);
        }
        match role {
            Role::Import(site) => Some(Called::Compiled(site)),
            Role::HostCall(trampoline) => Some(self.host_call(caller, trampoline, here)),
            Role::Crossing => {
                self.finder.means(Meaning::Note);
                self.count_crossing(self.finder.return_address_of(caller, here));
                None
            }
            Role::Internal => {
                self.finder.means(Meaning::Nothing);
                None
            }
        }
    }

    /// An adapter that `return_address` is of says that it has made a call.
    #[inline]
    fn count_crossing(&mut self, return_address: u64) {
        if let Some((known, counter)) = &self.last_crossing
            && *known == return_address
        {
            counter.add();
            return;
        }
        let Some(adapter) = self.finder.site(return_address) else { return };
        let log = &self.tracing.calls;
        let counter = self.crossings.entry(adapter).or_insert_with(|| log.crossing(adapter));
        counter.add();
        self.last_crossing = Some((return_address, Arc::clone(counter)));
    }

    /// What is called through a trampoline that stands for a signature.
    fn host_call(&mut self, caller: Caller, trampoline: CallSite, here: Registers) -> Called {
        let by_signature = Called::Compiled(trampoline);
        let Some(site) = self.finder.caller_of(caller, here) else { return by_signature };
        self.meet(site.target);
        let code = &self.tracing.code;
        let called = self.host_calls.entry((caller.number, site)).or_insert_with(|| {
            let import = host_import(code, site, trampoline);
            import.map_or(by_signature, |import| Called::HostImport { target: site.target, import })
        });
        *called
    }

    /// A call begins, once this hook is over, which began at `begin`.
    fn push(&mut self, hook: u64, callee: Callee, begin: u64) {
        // A call that began in the same place never returned: it ended in a panic.
        if let Some(stale) =
            self.open.iter().rposition(|open| open.hook == hook && open.callee.is_host() == callee.is_host())
        {
            self.open.remove(stale);
        }
        if self.nothing == hook && callee.is_host() {
            self.nothing = 0;
        }
        if self.open.len() >= MAX_OPEN {
            self.tracing.calls.count_unnamed();
            return;
        }
        let task = CurrentTask::get();
        let mut start = Start {
            time: 0,
            own: 0,
            pauses: self.tracing.state.pauses(),
            task: task.number,
            waited: task.waited,
            cpu: self.tracing.with_cpu.then(|| Cpu::now(task)),
        };
        start.time = self.finish_hook(begin);
        start.own = self.own;
        self.open.push(Open { hook, callee, start });
        self.tell_open_call(task);
    }

    /// This hook, which began at `begin`, is over. Returns the time.
    #[inline]
    fn finish_hook(&mut self, begin: u64) -> u64 {
        let end = self.finder.now();
        let own = end.saturating_sub(begin);
        self.own = self.own.wrapping_add(own);
        if self.tracing.tells_own_work {
            own_work::add_spent(own);
        }
        end
    }

    /// Notes which import the guest waits in, for the task that may be suspended now. Outside of tasks nobody asks.
    fn tell_open_call(&self, task: CurrentTask) {
        if task.number.is_some() {
            CurrentTask::set_open_call(self.open_call());
        }
    }

    /// The import that the guest waits in, should it be suspended now. `None` if tasks of the store are in several.
    fn open_call(&self) -> Option<OpenCall> {
        let imports = self.open.iter().filter_map(|open| match open.callee {
            // Core modules alone call the host on their own stack, which tells.
            Callee::Host(Called::Compiled(import)) => Some(import),
            Callee::Host(Called::HostImport { .. }) | Callee::Guest(_) => None,
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
        let at = position(0).or_else(|| position(MAX_DIFFERENCE));
        let open = at.map(|at| self.open.remove(at));
        self.tell_open_call(CurrentTask::get());
        open
    }

    /// What a trampoline is for.
    fn role(&mut self, caller: Caller) -> Role {
        let number = caller.number as usize;
        if let Some(Some(role)) = self.roles.get(number) {
            return *role;
        }
        self.meet(caller.site.target);
        let entry = self.tracing.code.entry(caller.site.target);
        let function = entry.as_ref().and_then(|entry| entry.function(caller.site.offset));
        let role = function.map_or(Role::Internal, |function| match function.kind() {
            FunctionKind::ImportLowering => Role::Import(caller.site),
            FunctionKind::HostCall if function.interface_function().is_some() => Role::HostCall(caller.site),
            FunctionKind::CanonicalIntrinsic if CROSSINGS.contains(&&*function.name()) => Role::Crossing,
            _ => Role::Internal,
        });
        if self.roles.len() <= number {
            self.roles.resize(number + 1, None);
        }
        self.roles[number] = Some(role);
        role
    }

    /// Finds out how the guest was entered that is calling, unless that is certain: the innermost entry on the same stack.
    fn settle_entry(&mut self, caller: Caller, here: Registers) {
        let entries = self.open.iter_mut().filter(|open| !open.callee.is_host() && open.hook > here.sp);
        let Some(innermost) = entries.min_by_key(|open| open.hook) else { return };
        let Callee::Guest(entry) = &mut innermost.callee else { return };
        if !entry.is_certain {
            let found = self.finder.entry_of(caller, here);
            let is_same = entry.site.is_none_or(|guess| {
                let entry = self.tracing.code.entry(found.target);
                let function = |site: CallSite| Some(entry.as_ref()?.function(site.offset)?.offset());
                guess.target == found.target && function(guess) == function(found)
            });
            self.guesses &= is_same;
            *entry = Entry { site: Some(found), is_certain: true };
            self.meet(found.target);
        }
    }

    /// Counts a call that returned at `end`; to the guest, if the hook is given.
    fn record(&mut self, (called, to_guest): (Called, Option<Registers>), start: Start, end: u64) {
        if start.pauses != self.tracing.state.pauses() {
            return;
        }
        let task = CurrentTask::get();
        // A call of a store that another task has taken over has no times of one task.
        let is_same_task = start.task == task.number;
        let own = self.own.wrapping_sub(start.own);
        let wall = end.saturating_sub(start.time).saturating_sub(own);
        let end_cpu = start.cpu.map(|_| Cpu::now(task));
        let cpu = start.cpu.zip(end_cpu).filter(|(start, end)| is_same_task && start.thread == end.thread);
        let times = CallTimes {
            begin: start.time.saturating_sub(self.tracing.base),
            wall,
            suspended: if is_same_task { task.waited.saturating_sub(start.waited).min(wall) } else { 0 },
            cpu: cpu.map(|(start, end)| {
                let passed = u64::try_from(end.time.wrapping_sub(start.time)).unwrap_or(0);
                passed.saturating_sub(own)
            }),
        };
        let least = self.tracing.kept_calls.least(called, &mut self.least);
        let Self { tracing, finder, .. } = self;
        // What called is still where it was.
        let stack = || to_guest.map_or_else(Vec::new, |here| finder.stack(here));
        tracing.calls.record(called, times, least, stack);
    }
}

impl Drop for CallTracer {
    fn drop(&mut self) {
        self.tracing.calls.close(self.crossings.values());
        self.tracing.calls.expect_no_more(&self.met);
    }
}

impl Callee {
    fn is_host(self) -> bool {
        matches!(self, Self::Host(_))
    }
}

impl Cpu {
    fn now(task: CurrentTask) -> Self {
        let thread = thread_cpu_time().unwrap_or_default();
        let thread_time = i64::try_from(thread.as_nanos()).unwrap_or(i64::MAX);
        let thread = if task.number.is_none() { Some(std::thread::current().id()) } else { None };
        Self { time: thread_time.wrapping_add(task.cpu_offset), thread }
    }
}

/// Which import a core module calls at `site`, through a trampoline that tells the signature only; `None` if nothing tells.
fn host_import(code: &Registry, site: CallSite, trampoline: CallSite) -> Option<u32> {
    let of = code.entry(trampoline.target)?;
    let signature = of.function(trampoline.offset)?.name();
    code.entry(site.target)?.host_import(TextOffset::new(site.offset), &signature)
}
