//! What may be seen, for handlers and for tracers: one scene for all of them, which is replaced when code or a library
//! of the host comes or goes.
//!
//! A scene never changes. A handler reads the current one through a pointer, without a lock; whoever is not in a handler
//! shares it. The one before is let go of when no handler can be reading it: a handler says that it is at work before it
//! looks ([`AtWork`](super::thread::AtWork)), so one that was not at work at some time since the replacement sees the new
//! scene, or a newer one.
//! Code that was in the scene before has to stay in place as long; whoever unregisters it sees to that (`recording/`).

use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use super::clocks::TickLength;
use super::scripts::FunctionNumbers;
use super::walk::{Gone, HostCode};
use crate::code::CodeTable;
use crate::interpreters::InterpreterProblem;
use crate::lock::lock;
use crate::samples::{CallSite, HostPlace};

/// What may be seen, and where it is. Never changes.
pub(crate) struct Seen {
    pub(super) code: Arc<CodeTable>,
    pub(super) host: Arc<HostCode>,
    /// Later ones have higher numbers.
    pub(super) number: u64,
    /// What was in scenes before.
    pub(super) gone: Gone,
}

impl Seen {
    /// The registered function that an address is returned to.
    pub(super) fn site(&self, return_address: u64) -> Option<CallSite> {
        let range = self.code.find(return_address.wrapping_sub(1))?;
        Some(CallSite { target: range.target, offset: range.offset(return_address).saturating_sub(1) })
    }
}

/// The scene that is current, and those that somebody may still be looking at.
pub(crate) struct Scenes {
    /// The same as `Changing::current`.
    current: AtomicPtr<Seen>,
    /// That of the current one.
    number: AtomicU64,
    /// Whether there has been an interpreter in any.
    has_evaluators: AtomicBool,
    /// Of functions of scripts.
    pub(super) functions: FunctionNumbers,
    /// Why an interpreter was not read, the first time that one was not; see [`unread_interpreter`](Self::unread_interpreter).
    unread: AtomicU32,
    changing: Mutex<Changing>,
    pub(super) tick: TickLength,
}

struct Changing {
    current: Arc<Seen>,
    /// What handlers may still be reading.
    replaced: Vec<Arc<Seen>>,
}

impl Scenes {
    /// A scene with the libraries of the host as they are now, and with `code`.
    pub(crate) fn new(code: Arc<CodeTable>) -> Self {
        let (number, has_evaluators) = (1, code.has_evaluators());
        let seen = Seen { code, host: Arc::new(HostCode::now()), number, gone: Gone::default() };
        let current = Arc::new(seen);
        let functions = FunctionNumbers::new();
        if has_evaluators {
            functions.prepare();
        }
        Self {
            current: AtomicPtr::new(Arc::as_ptr(&current).cast_mut()),
            number: AtomicU64::new(number),
            has_evaluators: AtomicBool::new(has_evaluators),
            functions,
            unread: AtomicU32::new(0),
            changing: Mutex::new(Changing { current, replaced: Vec::new() }),
            tick: TickLength::new(),
        }
    }

    /// From now on, `code` is what is seen; `gone` is not in it any more.
    pub(crate) fn publish(&self, code: &Arc<CodeTable>, gone: Option<u32>) {
        let mut changing = lock(&self.changing);
        let host = Arc::clone(&changing.current.host);
        self.replace(&mut changing, Arc::clone(code), host, gone);
    }

    /// Looks for libraries that the host has loaded since the scene was made, unless nothing has been loaded.
    pub(crate) fn look_for_libraries(&self) {
        let before = Arc::clone(&lock(&self.changing).current.host);
        if before.is_current() {
            return;
        }
        // Not under the lock: the dynamic linker has one of its own, and reading all takes a while.
        let host = Arc::new(HostCode::after(&before));
        let mut changing = lock(&self.changing);
        if Arc::ptr_eq(&changing.current.host, &before) {
            let code = Arc::clone(&changing.current.code);
            self.replace(&mut changing, code, host, None);
        }
    }

    fn replace(
        &self,
        changing: &mut MutexGuard<'_, Changing>,
        code: Arc<CodeTable>,
        host: Arc<HostCode>,
        gone: Option<u32>,
    ) {
        let before = &changing.current;
        let number = before.number + 1;
        let gone = gone.map_or_else(|| before.gone.clone(), |target| before.gone.with(target, number));
        if code.has_evaluators() {
            self.functions.prepare();
            self.has_evaluators.store(true, Ordering::Release);
        }
        let scene = Arc::new(Seen { code, host, number, gone });
        self.current.store(Arc::as_ptr(&scene).cast_mut(), Ordering::SeqCst);
        self.number.store(number, Ordering::Release);
        let replaced = std::mem::replace(&mut changing.current, scene);
        changing.replaced.push(replaced);
    }

    /// Lets go of what was replaced before, where nothing samples.
    pub(crate) fn let_go_at_once(&self) {
        self.let_go(|| true);
    }

    /// Lets go of what was replaced before, if `are_idle` finds that each handler was at some time not at work.
    pub(super) fn let_go(&self, are_idle: impl FnOnce() -> bool) {
        let replaced = std::mem::take(&mut lock(&self.changing).replaced);
        // Not under the lock: it may wait.
        if !replaced.is_empty() && !are_idle() {
            lock(&self.changing).replaced.extend(replaced);
        }
    }

    /// Changes with each scene.
    #[inline]
    pub(super) fn number(&self) -> u64 {
        self.number.load(Ordering::Acquire)
    }

    /// Whether there is, or was, code of an interpreter.
    #[inline]
    pub(super) fn has_evaluators(&self) -> bool {
        self.has_evaluators.load(Ordering::Acquire)
    }

    /// An interpreter cannot be read. Lock-free.
    pub(super) fn refuse_interpreter(&self, problem: InterpreterProblem) {
        let _ = self.unread.compare_exchange(0, problem.to_bits(), Ordering::Relaxed, Ordering::Relaxed);
    }

    /// Why an interpreter was not read, the first time that one was not.
    pub(crate) fn unread_interpreter(&self) -> Option<InterpreterProblem> {
        InterpreterProblem::from_bits(self.unread.load(Ordering::Relaxed))
    }

    /// The current scene, for who is not in a handler.
    pub(crate) fn now(&self) -> Arc<Seen> {
        Arc::clone(&lock(&self.changing).current)
    }

    /// Where in the process `address` is.
    pub(crate) fn host_place(&self, address: u64) -> Option<HostPlace> {
        let seen = self.now();
        let library = seen.host.find(address)?;
        let offset = address.wrapping_sub(library.base);
        Some(HostPlace { path: library.path.clone(), base: library.base, offset })
    }

    /// The current scene, for a handler.
    ///
    /// # Safety
    /// The thread is at work, as others can see ([`AtWork`](super::thread::AtWork)), and uses the scene for no longer.
    pub(super) unsafe fn in_handler<'h>(&self) -> &'h Seen {
        // SAFETY: the pointer is that of a scene that `changing` owns. It is let go of after it was replaced, and each thread
        // was seen not to be at work since then: this one says that it is before it reads the pointer. Both sides write first
        // and read then, sequentially consistent, so one of them sees the other.
        unsafe { &*self.current.load(Ordering::SeqCst) }
    }
}

impl std::fmt::Debug for Scenes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Scenes").field("number", &self.number()).finish_non_exhaustive()
    }
}
