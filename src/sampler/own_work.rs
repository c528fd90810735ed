//! What the profiler itself does while a guest is active: tracing calls, following memories, taking backtraces, finding out
//! what a task may have to wait for.
//!
//! That is not the guest's time. A thread says when it begins and ends such work; a sample that falls into it has no stack,
//! and its time is kept apart. Work that is measured anyway, where no signal falls into it, is added up per thread.

use std::cell::Cell;
use std::marker::PhantomData;
use std::sync::atomic::{Ordering, compiler_fence};

thread_local! {
    /// How many pieces of such work are under way, inside of each other. Constant and without a destructor, so that a signal
    /// handler may read it.
    static DEPTH: Cell<u32> = const { Cell::new(0) };
    /// Nanoseconds of such work that nobody has asked for yet.
    static SPENT: Cell<u64> = const { Cell::new(0) };
}

/// The current thread does work of the profiler's own while this exists.
pub(crate) struct OwnWork(PhantomData<*const ()>);

impl OwnWork {
    #[inline(always)]
    pub(crate) fn begin() -> Self {
        DEPTH.with(|depth| depth.set(depth.get().wrapping_add(1)));
        // The handler runs on this thread: it is enough that the compiler keeps the order.
        compiler_fence(Ordering::SeqCst);
        Self(PhantomData)
    }
}

impl Drop for OwnWork {
    #[inline(always)]
    fn drop(&mut self) {
        compiler_fence(Ordering::SeqCst);
        DEPTH.with(|depth| depth.set(depth.get().wrapping_sub(1)));
    }
}

/// Whether the current thread does such work. May be asked by a signal handler.
#[inline]
pub(crate) fn is_under_way() -> bool {
    DEPTH.with(Cell::get) != 0
}

/// Adds to what [`take_spent`] will tell this thread, in nanoseconds.
#[inline]
pub(crate) fn add_spent(nanos: u64) {
    SPENT.with(|spent| spent.set(spent.get().saturating_add(nanos)));
}

/// How long such work took on this thread since it was asked before, as far as it was measured; in nanoseconds.
pub(crate) fn take_spent() -> u64 {
    SPENT.with(Cell::take)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_inside_of_work_is_work_until_all_of_it_ends() {
        assert!(!is_under_way());
        let outer = OwnWork::begin();
        drop(OwnWork::begin());
        assert!(is_under_way());
        drop(outer);
        assert!(!is_under_way());
        add_spent(3);
        add_spent(4);
        assert_eq!([take_spent(), take_spent()], [7, 0]);
    }
}
