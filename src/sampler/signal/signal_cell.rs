//! Memory that a thread shares with a signal handler on the same thread.

use std::cell::UnsafeCell;
use std::sync::atomic::{AtomicBool, Ordering, compiler_fence};

/// A value used by one thread and by a signal handler that interrupts this thread.
///
/// The two never run at the same time, but the handler may interrupt the thread in the middle of a change. So the thread
/// raises a flag around every use, and the handler does without the value while the flag is up.
#[derive(Debug)]
pub(super) struct SignalCell<T> {
    in_use: AtomicBool,
    value: UnsafeCell<T>,
}

// SAFETY: the value is reached through `use_in_thread` and `use_in_handler` only, whose callers promise to be on one and
// the same thread; it may be made and dropped on any thread, as `T` may.
unsafe impl<T: Send> Sync for SignalCell<T> {}

impl<T> SignalCell<T> {
    pub(super) fn new(value: T) -> Self {
        Self { in_use: AtomicBool::new(false), value: UnsafeCell::new(value) }
    }

    /// Uses the value outside of signal handlers. `None` if it is in use already, further out on the stack.
    ///
    /// # Safety
    /// All uses of the cell are on one thread, and this one is not in a signal handler.
    pub(super) unsafe fn use_in_thread<R>(&self, with: impl FnOnce(&mut T) -> R) -> Option<R> {
        /// Lowers the flag even if `with` panics.
        struct Raised<'a>(&'a AtomicBool);
        impl Drop for Raised<'_> {
            fn drop(&mut self) {
                compiler_fence(Ordering::SeqCst);
                self.0.store(false, Ordering::Relaxed);
            }
        }
        if self.in_use.load(Ordering::Relaxed) {
            return None;
        }
        self.in_use.store(true, Ordering::Relaxed);
        // The handler runs on this thread, so it is enough that the compiler keeps the order.
        compiler_fence(Ordering::SeqCst);
        let raised = Raised(&self.in_use);
        // SAFETY: by contract no other thread uses the cell; the flag was down, so nothing further out on this thread
        // does; and while it is up, neither a nested use nor a handler gets the value.
        let result = with(unsafe { &mut *self.value.get() });
        drop(raised);
        Some(result)
    }

    /// Uses the value in a signal handler. `None` if the handler interrupted a use.
    ///
    /// # Safety
    /// All uses of the cell are on one thread, and this one is in a handler that does not interrupt itself.
    pub(super) unsafe fn use_in_handler<R>(&self, with: impl FnOnce(&mut T) -> R) -> Option<R> {
        if self.in_use.load(Ordering::Relaxed) {
            return None;
        }
        compiler_fence(Ordering::SeqCst);
        // SAFETY: by contract no other thread uses the cell, and no other handler; the flag is down, so this handler
        // did not interrupt a use, and the thread cannot begin one before the handler returns.
        let result = with(unsafe { &mut *self.value.get() });
        compiler_fence(Ordering::SeqCst);
        Some(result)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handler_does_without_a_value_in_use() {
        let cell = SignalCell::new(1);
        // SAFETY: one thread, and no signal handler.
        unsafe {
            let inner = cell.use_in_thread(|value| {
                *value = 2;
                (cell.use_in_handler(|value| *value), cell.use_in_thread(|value| *value))
            });
            assert_eq!(inner, Some((None, None)));
            assert_eq!(cell.use_in_handler(|value| *value), Some(2));
            let panic =
                std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| cell.use_in_thread(|_| panic!("once"))));
            assert!(panic.is_err());
            assert_eq!(cell.use_in_thread(|value| *value), Some(2));
        }
    }
}
