//! What the sampler keeps for each thread it profiles.

use std::cell::{Cell, RefCell};
use std::io;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering, compiler_fence, fence};
use std::sync::{Arc, Mutex, OnceLock, Weak};
use std::time::Duration;

use super::accounts::Accounts;
use super::clocks::{self, SampleClock};
use super::core::Core;
use super::cost::CostHistogram;
use super::handler;
use super::mask::{self, Mask};
use super::preemption::Preemption;
use super::progress::{Done, Progress};
use super::retries::{self, Retries};
use super::ring::Ring;
use super::scenes::Seen;
use super::scripts::{NameRing, Scripts};
use super::signal_cell::SignalCell;
use super::tasks::Wait;
use super::timer::Timer;
use super::walk::{FrameWord, Registers, StackMemory, Walker};
use crate::error::SignalProblem;
use crate::lock::lock;
use crate::nanos::nanos;
use crate::samples::{LabelsId, RawFrame, StackId, ThreadIdentity};

/// Signals on an idle thread before its timer is stopped. Guests that come and go quickly should not start it anew each
/// time, and a thread that is idle for longer should not be woken.
const IDLE_SIGNALS: u32 = 2;

thread_local! {
    /// The states of this thread, as a list that the signal handler reads. Constant and without a destructor, so that
    /// using it never initialises anything.
    static FIRST: Cell<*const ThreadState> = const { Cell::new(std::ptr::null()) };
    /// The same states, for everybody else; takes them down when the thread ends.
    static STATES: RefCell<ThreadStates> = const { RefCell::new(ThreadStates(Vec::new())) };
    /// Its address tells threads apart.
    static MARK: u8 = const { 0 };
}

/// Which thread this is. A thread that has ended and a new one may have the same mark.
fn mark() -> usize {
    MARK.with(|mark| std::ptr::from_ref(mark).addr())
}

/// One thread, as one recorder profiles it.
pub(super) struct ThreadState {
    pub(super) core: Arc<Core>,
    pub(super) identity: ThreadIdentity,
    /// From the lowest address that may be read, to the top.
    pub(super) stack: Range<u64>,
    mark: usize,
    timer: Timer,
    /// Tries to start the timer.
    retries: Retries,
    pub(super) mask: Mask,
    /// Whether the timer runs.
    is_armed: AtomicBool,
    /// How many activations there are on the thread, inside of each other.
    depth: AtomicU32,
    idle_signals: AtomicU32,
    /// The labels of the innermost activation that has any.
    pub(super) labels: AtomicU64,
    /// The thread has ended: what is in the ring is all there will be.
    pub(super) has_ended: AtomicBool,
    /// Whether the handler is at work, for who waits for it to finish.
    pub(super) in_handler: AtomicBool,
    pub(super) shared: SignalCell<HandlerState>,
    pub(super) ring: Ring,
    /// The reader's end of the ring.
    pub(super) reader: Mutex<StackReader>,
    /// What functions of scripts are called, where there are interpreters.
    pub(super) script_names: OnceLock<NameRing>,
    /// What the handler is going to need for scripts, where a guest was active before there were interpreters.
    spare_scripts: AtomicPtr<Scripts>,
    /// What tasks have waited for that were resumed here, in order of time, and that is not collected yet. The lock is never held
    /// for more than a push, or a look.
    pub(super) waits: Mutex<Vec<Wait>>,
    pub(super) progress: Progress,
    pub(super) cost: CostHistogram,
    /// Reading of the processor's counter at which the guest has been left alone for long enough after all samples.
    pub(super) owes_until: AtomicU64,
    /// Signals that came while the thread was using what the handler changes, and whose samples are still to be taken.
    pub(super) put_off: AtomicU32,
    /// The next state of the same thread.
    next: AtomicPtr<ThreadState>,
}

/// What the handler changes.
pub(super) struct HandlerState {
    pub(super) accounts: Accounts,
    /// The recorder's [`breaks`](Core::breaks) that the accounts know of.
    pub(super) breaks: u64,
    pub(super) clock: SampleClock,
    /// Marked at the last stack that went into the ring.
    pub(super) walker: Walker,
    /// Where there are interpreters.
    pub(super) scripts: Option<Box<Scripts>>,
}

/// Where the reader of a ring is.
#[derive(Default)]
pub(super) struct StackReader {
    /// The frames of the last stack, outermost first, and the handle of the stack that ends with each.
    pub(super) path: Vec<(RawFrame, StackId)>,
    /// The number of the log's window that the handles are valid for.
    pub(super) window: u64,
    /// What of the thread's [`Progress`] the log knows.
    pub(super) published: Done,
    pub(super) preemption: Preemption,
}

impl ThreadState {
    /// Makes the state of the current thread, with its timer stopped.
    fn new(core: &Arc<Core>) -> Result<Arc<Self>, SignalProblem> {
        // Where nobody says where it is (the C library needs `/proc` and `sched_getaffinity` for that), it is read as others'
        // stacks are: each page is tried first.
        let stack = stack_of_current_thread().unwrap_or(0..0);
        let accounts = Accounts::default();
        let shared =
            HandlerState { accounts, breaks: 0, clock: SampleClock::default(), walker: Walker::new(), scripts: None };
        // SAFETY: no arguments, no preconditions.
        let number = unsafe { libc::gettid() };
        let preemption = Preemption::of_current_thread(number, core.since_start(clocks::monotonic()));
        let reader = StackReader { preemption, ..StackReader::default() };
        // The address of the state is what its timer's signals carry.
        let mut problem = None;
        let state = Arc::new_cyclic(|this: &Weak<Self>| {
            let value = this.as_ptr().addr();
            let timer = Timer::for_current_thread(core.clock, core.signal, value, core.interval);
            let timer = timer.unwrap_or_else(|error| {
                problem = Some(error);
                Timer::deleted()
            });
            Self {
                core: Arc::clone(core),
                identity: ThreadIdentity::current(),
                stack,
                mark: mark(),
                timer,
                retries: Retries::default(),
                mask: Mask::of_current_thread(),
                is_armed: AtomicBool::new(false),
                depth: AtomicU32::new(0),
                idle_signals: AtomicU32::new(0),
                labels: AtomicU64::new(0),
                has_ended: AtomicBool::new(false),
                in_handler: AtomicBool::new(false),
                shared: SignalCell::new(shared),
                ring: Ring::new(),
                reader: Mutex::new(reader),
                script_names: OnceLock::new(),
                spare_scripts: AtomicPtr::default(),
                waits: Mutex::default(),
                progress: Progress::default(),
                cost: CostHistogram::default(),
                owes_until: AtomicU64::new(0),
                put_off: AtomicU32::new(0),
                next: AtomicPtr::new(std::ptr::null_mut()),
            }
        });
        if let Some(source) = problem {
            return Err(SignalProblem::NoTimer { call: "timer_create", source });
        }
        // SAFETY: on the thread of the state, outside of handlers.
        unsafe { state.shared.use_in_thread(|shared| shared.accounts.give_back(core.take_leftover())) };
        Ok(state)
    }

    /// Whether a guest is active.
    ///
    /// A thread that enters writes its depth and then reads whether the recording is paused; whoever resumes writes that it is
    /// not and then reads the depths. If both read before the other's write is seen, as processors do that let a load pass a
    /// store, neither arms the timer, and the guest is not sampled. So these four accesses are in one order
    /// (`SeqCst`). The handler, when it stops a timer, has the part of the thread that enters: it writes `is_armed`, stops,
    /// and reads both again.
    pub(super) fn is_active(&self) -> bool {
        self.depth.load(Ordering::SeqCst) > 0
    }

    /// Whether there is one activation inside of another.
    pub(super) fn is_nested(&self) -> bool {
        self.depth.load(Ordering::Relaxed) > 1
    }

    /// Whether this is the state of the current thread.
    pub(super) fn is_current(&self) -> bool {
        self.mark == mark()
    }

    /// A guest becomes active on the current thread, whose state this is. Returns the labels until now, which
    /// [`leave`](Self::leave) wants back.
    fn enter(&self, labels: LabelsId) -> LabelsId {
        if self.depth.load(Ordering::Relaxed) == 0 {
            // Before any time counts: this wakes the collector, which may take the CPU.
            if self.has_to_arm() {
                self.arm();
            }
            let has_scripts = self.core.scenes.has_evaluators();
            let enter = |shared: &mut HandlerState| {
                if has_scripts && shared.scripts.is_none() {
                    self.prepare_scripts();
                }
                self.take_spare_scripts(shared);
                shared.scripts.iter_mut().for_each(|scripts| scripts.begin());
                shared.breaks = self.core.breaks();
                shared.accounts.enter(clocks::monotonic(), clocks::thread_cpu);
            };
            // SAFETY: on the thread of the state, outside of handlers.
            unsafe { self.shared.use_in_thread(enter) };
        }
        let is_outermost = self.depth.load(Ordering::Relaxed) == 0;
        let before = if is_outermost { 0 } else { self.labels.load(Ordering::Relaxed) };
        if is_outermost || labels != LabelsId::default() {
            self.labels.store(labels.0, Ordering::Relaxed);
        }
        // From here on the handler leaves the timer alone. In one order with what is read next: see `is_active`.
        self.depth.fetch_add(1, Ordering::SeqCst);
        compiler_fence(Ordering::SeqCst);
        if self.has_to_arm() {
            self.arm_or_count();
        }
        LabelsId(before)
    }

    fn has_to_arm(&self) -> bool {
        !self.is_armed() && self.core.is_counting()
    }

    /// Starts the timer for a guest that is active; if that is refused, counts it.
    #[cold]
    pub(super) fn arm_or_count(&self) {
        if !self.arm() {
            self.core.count_without_timer();
        }
    }

    /// Starts the timer, unless that was refused a short time ago; returns whether nothing was refused.
    #[cold]
    fn arm(&self) -> bool {
        if !self.retries.may_try() {
            return false;
        }
        // The first signal comes after a random part of the interval: activations shorter than the interval are hit as
        // often as their length says.
        let interval = nanos(self.core.interval);
        let first = Duration::from_nanos(self.core.random() % interval.max(1));
        self.idle_signals.store(0, Ordering::Relaxed);
        self.is_armed.store(true, Ordering::SeqCst);
        let started = self.core.while_running(|| self.timer.start(first));
        match started {
            Ok(true) => self.retries.granted(),
            Ok(false) => self.is_armed.store(false, Ordering::SeqCst),
            Err(source) => {
                self.is_armed.store(false, Ordering::SeqCst);
                self.retries.refused();
                self.core.note_refusal(SignalProblem::NoTimer { call: "timer_settime", source });
                return false;
            }
        }
        true
    }

    /// Stops the timer, if it runs, until it is started again.
    pub(super) fn disarm(&self) {
        if self.is_armed.swap(false, Ordering::SeqCst) {
            self.timer.stop();
        }
    }

    /// The guest is no longer active.
    pub(super) fn leave(&self, labels: LabelsId) {
        self.labels.store(labels.0, Ordering::Relaxed);
        // First: a signal that comes while time is accounted for is none of the guest's.
        let is_outermost = self.depth.fetch_sub(1, Ordering::Relaxed) == 1;
        compiler_fence(Ordering::SeqCst);
        // On another thread only if a stack was moved there, as no executor does: the time since is not counted.
        if is_outermost && self.is_current() {
            // SAFETY: on the thread of the state, outside of handlers.
            unsafe {
                self.shared.use_in_thread(|shared| {
                    // What was paused meanwhile does not count.
                    if shared.breaks == self.core.breaks() && self.core.is_counting() {
                        shared.accounts.leave(clocks::monotonic(), clocks::thread_cpu);
                    }
                });
            }
            if self.mask.has_to_block() && self.core.is_stopped() {
                mask::block_again(self);
            }
        }
    }

    /// A signal came while no guest was active. Called by the handler.
    pub(super) fn idle_signal(&self) {
        let idle = self.idle_signals.load(Ordering::Relaxed) + 1;
        self.idle_signals.store(idle, Ordering::Relaxed);
        if idle >= IDLE_SIGNALS && !self.core.is_stopped() {
            self.is_armed.store(false, Ordering::SeqCst);
            self.timer.stop();
            fence(Ordering::SeqCst);
            // The recording may have been resumed by another thread just now, with this guest active all along.
            if self.is_active() && self.core.is_counting() && !self.core.is_stopped() {
                self.is_armed.store(true, Ordering::SeqCst);
                if self.timer.start(self.core.interval).is_err() {
                    // The next activation tries again, where it can be told.
                    self.is_armed.store(false, Ordering::SeqCst);
                }
            }
        }
    }

    pub(super) fn active_signal(&self) {
        self.idle_signals.store(0, Ordering::Relaxed);
    }

    /// Whether the timer runs.
    pub(super) fn is_armed(&self) -> bool {
        self.is_armed.load(Ordering::SeqCst)
    }

    /// Makes the memory that the handler needs for scripts, unless it has it, or is about to. Not for handlers.
    pub(super) fn prepare_scripts(&self) {
        if self.script_names.get().is_some() {
            return;
        }
        let scripts = Box::into_raw(Box::new(Scripts::new()));
        if self.script_names.set(NameRing::new()).is_ok() {
            self.spare_scripts.store(scripts, Ordering::Release);
        } else {
            // Somebody else was faster.
            // SAFETY: it was made just now, and nobody knows of it.
            drop(unsafe { Box::from_raw(scripts) });
        }
    }

    /// Gives the handler the memory that was made for it.
    #[inline]
    pub(super) fn take_spare_scripts(&self, shared: &mut HandlerState) {
        if shared.scripts.is_none() && !self.spare_scripts.load(Ordering::Relaxed).is_null() {
            let scripts = self.spare_scripts.swap(std::ptr::null_mut(), Ordering::Acquire);
            // SAFETY: what is stored there came from a box, and whoever takes it out owns it; it was not null, and nobody else takes
            // it: this is the thread's own, or its handler.
            shared.scripts = Some(unsafe { Box::from_raw(scripts) });
        }
    }

    /// The current thread, whose state this is, is at work until the result is dropped.
    pub(super) fn at_work(&self) -> AtWork<'_> {
        // Whoever stops the recorder sees either this flag, and waits, or is seen by what comes next; and so does whoever
        // replaces the scene.
        AtWork { state: self, outer: self.in_handler.swap(true, Ordering::SeqCst) }
    }

    /// Deletes the timer, for good.
    pub(super) fn delete_timer(&self) {
        self.timer.delete();
    }

    /// Walks the stack of the current thread, whose state this is, from `from` outwards. `None` if that is going on
    /// already.
    pub(super) fn walk_here<R>(&self, from: Registers, with: impl FnOnce(&[FrameWord]) -> R) -> Option<R> {
        if !self.is_current() {
            return None;
        }
        let walk = |shared: &mut HandlerState| {
            let at_work = self.at_work();
            // Whoever stops the recorder waits for this, or is seen here: from then on nobody knows of this thread.
            if self.core.is_stopped() {
                return None;
            }
            let extent = shared.walker.walk(&self.core.scene(&at_work), from);
            let HandlerState { walker, scripts, .. } = shared;
            let stack = match scripts.as_deref_mut().zip(self.script_names.get()) {
                Some((scripts, names)) if !walker.runs().is_empty() => {
                    let mut memory = StackMemory::new(self.stack.clone(), from.sp);
                    let walked = handler::walked(walker, extent, false);
                    // SAFETY: the walk was of this thread, which does this and nothing else.
                    unsafe { handler::join(scripts, walked, &mut memory, (&self.core.scenes, names)) }.0
                }
                _ => walker.stack(),
            };
            drop(at_work);
            Some(with(stack))
        };
        // SAFETY: on the thread of the state, outside of handlers.
        let result = unsafe { self.shared.use_in_thread(walk) }.flatten();
        if result.is_some() && self.put_off.load(Ordering::Relaxed) > 0 {
            handler::take_put_off(self, from);
        }
        result
    }
}

impl Drop for ThreadState {
    fn drop(&mut self) {
        let spare = std::mem::replace(self.spare_scripts.get_mut(), std::ptr::null_mut());
        if !spare.is_null() {
            // SAFETY: what is stored there came from a box, and whoever takes it out owns it.
            drop(unsafe { Box::from_raw(spare) });
        }
    }
}

/// A thread is at work for the sampler while this exists, as everybody can see: whoever stops the recorder, or replaces the
/// scene, waits for it.
pub(super) struct AtWork<'t> {
    state: &'t ThreadState,
    /// It was before.
    outer: bool,
}

impl AtWork<'_> {
    /// What may be seen.
    pub(super) fn seen(&self) -> &Seen {
        // SAFETY: the thread is at work, and the scene is used for no longer than it is.
        unsafe { self.state.core.scenes.in_handler() }
    }

    /// The thread's own state.
    pub(super) fn state(&self) -> &ThreadState {
        self.state
    }
}

impl Drop for AtWork<'_> {
    fn drop(&mut self) {
        self.state.in_handler.store(self.outer, Ordering::Release);
    }
}

/// The states of one thread.
struct ThreadStates(Vec<Arc<ThreadState>>);

impl ThreadStates {
    /// Makes the handler see what is in the vector.
    fn publish(&self) {
        let mut next: *const ThreadState = std::ptr::null();
        for state in &self.0 {
            state.next.store(next.cast_mut(), Ordering::Relaxed);
            next = Arc::as_ptr(state);
        }
        // The handler runs on this thread: it is enough that the compiler keeps the order.
        compiler_fence(Ordering::SeqCst);
        FIRST.with(|first| first.set(next));
    }

    /// Makes a state for the current thread.
    fn add(&mut self, core: &Arc<Core>) -> Result<Arc<ThreadState>, SignalProblem> {
        let state = ThreadState::new(core)?;
        core.add_thread(&state);
        self.0.push(Arc::clone(&state));
        self.publish();
        if let Err(source) = mask::unblock(&state) {
            self.0.pop();
            self.publish();
            state.timer.delete();
            core.remove_thread(&state);
            return Err(SignalProblem::Denied { call: super::SIGNAL_MASK, source });
        }
        Ok(state)
    }
}

impl Drop for ThreadStates {
    fn drop(&mut self) {
        // First the handler must find nothing, then what it would have found may go.
        let states = std::mem::take(&mut self.0);
        self.publish();
        for state in states {
            state.timer.delete();
            mask::block_again(&state);
            // SAFETY: on the thread of the state, outside of handlers.
            if let Some(due) = unsafe { state.shared.use_in_thread(|shared| shared.accounts.due()) } {
                state.core.leave_over(due);
            }
            lock(&state.reader).preemption.end();
            state.has_ended.store(true, Ordering::Release);
        }
    }
}

/// The state that a signal on this thread is for: the one whose address it carries, if that is still one of this thread.
/// Called by the handler.
///
/// # Safety
/// The result is used only inside the handler that asked.
pub(super) unsafe fn find_state<'h>(address: usize) -> Option<&'h ThreadState> {
    // SAFETY: used only inside of the handler, as the result is.
    unsafe { states() }.find(|state| std::ptr::from_ref(*state).addr() == address)
}

/// The states of the current thread.
///
/// # Safety
/// Neither the iterator nor what it returns is used after the thread has taken a state out of the list.
pub(super) unsafe fn states<'h>() -> impl Iterator<Item = &'h ThreadState> {
    let mut next = FIRST.with(Cell::get);
    std::iter::from_fn(move || {
        if next.is_null() {
            return None;
        }
        // SAFETY: the list holds states that `STATES` keeps alive. Only this thread takes one out, and by contract not before
        // this is done with.
        let state = unsafe { &*next };
        next = state.next.load(Ordering::Relaxed);
        Some(state)
    })
}

/// Makes a guest active on the current thread: finds the thread's state, or makes it. Returns the labels of the activation
/// around it, too; nothing on a thread that is ending.
///
/// # Errors
/// The system refuses the thread what it needs; nothing if it has refused that a short time ago, because trying again would cost
/// every activation a try.
pub(super) fn activate(
    core: &Arc<Core>,
    labels: LabelsId,
) -> Result<Option<(Arc<ThreadState>, LabelsId)>, Option<SignalProblem>> {
    let mut finished = Vec::new();
    let state = STATES.try_with(|states| -> Result<Arc<ThreadState>, Option<SignalProblem>> {
        let mut states = states.borrow_mut();
        if let Some(state) = states.0.iter().find(|state| Arc::ptr_eq(&state.core, core)) {
            return Ok(Arc::clone(state));
        }
        // What recorders left behind that have finished since.
        let is_needed = |state: &Arc<ThreadState>| state.is_active() || !state.core.is_stopped();
        if !states.0.iter().all(is_needed) {
            (states.0, finished) = states.0.drain(..).partition(is_needed);
            states.publish();
            finished.iter().for_each(|state| mask::block_again(state));
        }
        retries::make_state(core, || states.add(core)).ok_or(None)?.map_err(Some)
    });
    // With them may go the last of a recorder and of a component, and whatever their destructors do.
    drop(finished);
    // The thread is ending, and its states are gone: what it still does is not recorded.
    let Ok(state) = state else { return Ok(None) };
    let state = state?;
    let before = state.enter(labels);
    Ok(Some((state, before)))
}

/// Further down than this, a thread's own stack is not believed to go.
const MAX_STACK: u64 = 64 << 20;

/// The stack of the current thread.
fn stack_of_current_thread() -> io::Result<Range<u64>> {
    let check = |result| if result == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(result)) };
    let (mut start, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: `attributes` is initialised by the first call, read by the second, and destroyed by the third; all
    // pointers are to live values.
    unsafe {
        let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
        check(libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()))?;
        let result = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut start, &raw mut size);
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        check(result)?;
    }
    let (start, end) = (start.addr() as u64, (start.addr() as u64).saturating_add(size as u64));
    // Without a limit on its size, a stack is said to reach down to whatever is below, which may be other stacks later.
    let here = std::ptr::from_ref(&size) as u64;
    Ok(start.max(here.saturating_sub(MAX_STACK))..end)
}
