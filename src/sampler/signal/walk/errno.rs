//! `errno`, which a signal handler has to leave as it was: the interrupted code may be about to look at it.

/// Calls `with`, and leaves `errno` as it was. What calls the system in a handler, and may fail, does it in here; so a
/// sample that needs no such call does not even read `errno`, which costs a tenth of the sample.
pub(crate) fn keeping_errno<R>(with: impl FnOnce() -> R) -> R {
    // SAFETY: the pointer is to this thread's own `errno`, always valid.
    let errno = unsafe { libc::__errno_location() };
    // SAFETY: as above.
    let saved = unsafe { *errno };
    let result = with();
    // SAFETY: as above.
    unsafe { *errno = saved };
    result
}
