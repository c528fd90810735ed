//! When a thread tries again what the system has refused it.

use std::cell::RefCell;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};

use super::clocks;
use super::core::Core;

/// Nanoseconds until the second try. Each pause is twice as long as the one before.
const FIRST_PAUSE: u64 = 10_000_000;

/// No pause is longer.
const LONGEST_PAUSE: u64 = 10_000_000_000;

/// What one thread was refused, and how often in a row. Limits are shared with others, so what was refused may be granted later;
/// but a try is a system call or several, which an activation should not pay each time.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// Reading of the monotonic clock before which nothing is tried.
    next: AtomicU64,
    /// How long the last pause was; zero if the last try was granted.
    pause: AtomicU64,
}

impl Retries {
    /// Whether to try. Reads the clock only if the last try was refused.
    pub(super) fn may_try(&self) -> bool {
        self.pause.load(Ordering::Relaxed) == 0 || clocks::monotonic() >= self.next.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) {
        self.refused_at(clocks::monotonic());
    }

    fn refused_at(&self, now: u64) {
        let pause = self.pause.load(Ordering::Relaxed).saturating_mul(2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
        self.next.store(now.saturating_add(pause), Ordering::Relaxed);
        self.pause.store(pause, Ordering::Relaxed);
    }

    pub(super) fn granted(&self) {
        self.pause.store(0, Ordering::Relaxed);
    }
}

thread_local! {
    /// The recorders that the current thread could not be given a state for.
    static REFUSED: RefCell<Vec<(Weak<Core>, Retries)>> = const { RefCell::new(Vec::new()) };
}

/// Makes a state for the current thread by `make`, unless that was refused a short time ago. `None` if nothing was tried.
pub(super) fn make_state<T, E>(core: &Arc<Core>, make: impl FnOnce() -> Result<T, E>) -> Option<Result<T, E>> {
    let is_this = |refused: &(Weak<Core>, Retries)| std::ptr::eq(refused.0.as_ptr(), Arc::as_ptr(core));
    // A thread that is ending has none to ask, and makes no state.
    let may_try =
        REFUSED.try_with(|all| all.borrow().iter().find(|one| is_this(one)).is_none_or(|one| one.1.may_try()));
    if may_try != Ok(true) {
        return None;
    }
    let made = make();
    let note = |all: &RefCell<Vec<(Weak<Core>, Retries)>>| {
        let mut all = all.borrow_mut();
        if made.is_ok() {
            all.retain(|one| !is_this(one));
            return;
        }
        // Of recorders that are gone nothing is kept.
        all.retain(|(core, _)| core.strong_count() > 0);
        if !all.iter().any(is_this) {
            all.push((Arc::downgrade(core), Retries::default()));
        }
        all.iter().filter(|one| is_this(one)).for_each(|(_, retries)| retries.refused());
    };
    let _ = REFUSED.try_with(note);
    Some(made)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_limit_and_end_with_success() {
        let retries = Retries::default();
        let mut pauses = Vec::new();
        for _ in 0..14 {
            retries.refused_at(1000);
            pauses.push((retries.next.load(Ordering::Relaxed) - 1000) / 1_000_000);
        }
        assert_eq!(pauses, [10, 20, 40, 80, 160, 320, 640, 1280, 2560, 5120, 10_000, 10_000, 10_000, 10_000]);
        retries.refused();
        assert!(!retries.may_try());
        retries.granted();
        assert!(retries.may_try());
        retries.refused();
        assert_eq!(retries.pause.load(Ordering::Relaxed), FIRST_PAUSE);
    }
}
