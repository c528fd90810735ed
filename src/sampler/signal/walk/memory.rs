//! Reads of stack memory that cannot fault.
//!
//! Two kinds of memory are read. The thread's own stack, whose bounds are known and which is mapped from the stack
//! pointer to its top for as long as the thread lives. And any other stack that the thread runs on, such as the fiber
//! of an async store, of which nothing is known beforehand: each of its pages, from that of the stack pointer upwards and
//! without a gap, is tried with a system call that reports a bad address instead of faulting, once per walk. Without a
//! gap, because a stack is not unmapped while it is run on, and other memory, to which a wrong frame pointer may point,
//! can be at any time.

use std::io;
use std::ops::Range;

use super::errno::keeping_errno;

/// The smallest page of any supported system: a larger one is tried in parts.
const PAGE: u64 = 4096;

/// Pages that are tried in one walk, so that the work is bounded: a stack of 4 MiB, twice Wasmtime's default for fibers.
const MAX_TRIES: u32 = 1024;

/// Reads the stack memory of the current thread.
pub(crate) struct StackMemory {
    thread: Range<u64>,
    /// Consecutive pages outside of `thread` that are known to be readable.
    other: Range<u64>,
    tries: u32,
}

impl StackMemory {
    /// `thread` is the stack of the current thread, from the lowest address that may be read to its top; `sp` is on it, or
    /// on the other stack that may be read.
    pub(crate) fn new(thread: Range<u64>, sp: u64) -> Self {
        let mut memory = Self { thread, other: 0..0, tries: 0 };
        memory.move_to(sp);
        memory
    }

    /// Goes on to the stack that `sp` is on.
    pub(crate) fn move_to(&mut self, sp: u64) {
        let page = sp & !(PAGE - 1);
        self.other = page..page;
    }

    /// What may be read now, for [`go_back_to`](Self::go_back_to).
    pub(crate) fn place(&self) -> Range<u64> {
        self.other.clone()
    }

    /// Goes back to a stack that was left during this walk.
    pub(crate) fn go_back_to(&mut self, place: Range<u64>) {
        self.other = place;
    }

    /// Whether `address` is on the stack the thread was started with.
    pub(crate) fn is_on_thread_stack(&self, address: u64) -> bool {
        self.thread.contains(&address)
    }

    /// Whether the word at `address` can be read without going to another stack: there is no gap between what is being read and it.
    #[inline]
    pub(crate) fn can_go_on_to(&mut self, address: u64) -> bool {
        /// Nobody tries more for one word.
        const FAR: u64 = 16 * PAGE;
        let is_known = self.is_on_thread_stack(address) || self.other.contains(&address);
        is_known
            || !self.other.is_empty() && address < self.other.end.saturating_add(FAR) && self.learn(address).is_some()
    }

    /// Whether `address` is on the stack that is being read, below `sp`.
    pub(crate) fn is_just_below(&self, address: u64, sp: u64) -> bool {
        address >= self.other.start && address < sp
    }

    /// The word at `address`; `None` if it is not aligned, or cannot be read.
    #[inline]
    pub(crate) fn read(&mut self, address: u64) -> Option<u64> {
        let end = address.checked_add(8)?;
        if !address.is_multiple_of(8) {
            return None;
        }
        let inside = |range: &Range<u64>| address >= range.start && end <= range.end;
        if !inside(&self.thread) && !inside(&self.other) {
            self.learn(address)?;
        }
        // SAFETY: aligned, and inside memory that is mapped and readable: the thread's own stack, which is mapped while
        // the thread runs (and it runs this code), or a page that was tried during this very walk, and is of the stack
        // that is being run on, or of one that waits for it: no one unmaps those. A volatile read, because other
        // variables of this thread live there.
        Some(unsafe { (address as *const u64).read_volatile() })
    }

    /// The words at `address` and behind it, as [`read`](Self::read) reads each.
    #[inline]
    pub(crate) fn read_pair(&mut self, address: u64) -> Option<(u64, u64)> {
        Some((self.read(address)?, self.read(address.wrapping_add(8))?))
    }

    /// Makes sure that everything up to the page of `address` can be read.
    #[cold]
    fn learn(&mut self, address: u64) -> Option<()> {
        if address < self.other.start {
            return None;
        }
        while self.other.end <= address {
            self.tries += 1;
            if self.tries > MAX_TRIES || !is_readable(self.other.end) {
                return None;
            }
            self.other.end = self.other.end.checked_add(PAGE)?;
        }
        Some(())
    }
}

/// Whether the eight bytes at `page`, which may lie on two pages, can be read. Leaves `errno` as it was.
///
/// The system call reads a signal set before it looks at what to do with it, and reports a bad address as an error. It
/// is asked for something that does not exist, so it has no effect. (The trick is that of Abseil's
/// `AddressIsReadable`.)
pub(crate) fn is_readable(page: u64) -> bool {
    !matches!(try_page(page), Some(libc::EFAULT) | None)
}

/// Whether the `room` bytes below `here`, which is on a stack that is being run on, can be read, and so written; up to whole
/// pages. Below the end of a stack is a guard page, and then perhaps another stack.
///
/// Nothing is remembered from one time to the next: a stack that was left may have been unmapped, and another, with its
/// guard page elsewhere, be where it was. What is tried is the bytes on both sides of each second border between pages, so
/// that one system call is enough for two of them.
pub(crate) fn has_room_below(here: u64, room: u64) -> bool {
    const HALF_OF_WHAT_IS_TRIED: u64 = 4;
    let end = here & !(PAGE - 1);
    // The border below the page of `here`, which is there.
    let start = here.saturating_sub(room) & !(PAGE - 1);
    let mut at = start;
    while at < end {
        let tried = if end - at > PAGE { at + PAGE - HALF_OF_WHAT_IS_TRIED } else { at };
        if !is_readable(tried) {
            return false;
        }
        at += 2 * PAGE;
    }
    true
}

/// Makes sure that [`is_readable`] tells the truth here: where the system call is denied, all memory would be readable.
pub(crate) fn check_is_readable() -> io::Result<()> {
    // Nothing is ever mapped there.
    match try_page(PAGE) {
        Some(libc::EFAULT) => Ok(()),
        Some(other) => Err(io::Error::from_raw_os_error(other)),
        None => Err(io::Error::from(io::ErrorKind::Unsupported)),
    }
}

/// Tries the page at `page`; returns the error that the system call reports, which it has to.
fn try_page(page: u64) -> Option<libc::c_int> {
    const NO_SUCH_OPERATION: libc::c_int = !0;
    const KERNEL_SIGNAL_SET_BYTES: usize = 8;
    let page = page as *const libc::c_void;
    keeping_errno(|| {
        // SAFETY: the kernel checks the address itself, writes nothing (the old set is not asked for), and the operation
        // does not exist, so the mask stays as it is.
        let result = unsafe {
            let old = std::ptr::null::<libc::c_void>();
            libc::syscall(libc::SYS_rt_sigprocmask, NO_SUCH_OPERATION, page, old, KERNEL_SIGNAL_SET_BYTES)
        };
        // SAFETY: the pointer is to this thread's own `errno`, always valid.
        (result == -1).then(|| unsafe { *libc::__errno_location() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_readable_memory_is_read() {
        let value = Box::new(0x1234_5678_9abc_def0_u64);
        let address = std::ptr::from_ref(&*value) as u64;
        let mut memory = StackMemory::new(0..0, address);
        assert_eq!(memory.read(address), Some(*value));
        assert_eq!(memory.read(address + 1), None, "not aligned");
        for bad in [0, 8, 0x1000, 0xffff_8000_0000_0000, u64::MAX - 7] {
            assert_eq!(memory.read(bad), None, "{bad:#x}");
        }
    }

    #[test]
    fn pages_that_may_not_be_read_are_noticed() {
        // SAFETY: a fresh anonymous mapping of three pages, of which the middle one is made unreadable.
        let start = unsafe {
            let length = 3 * 4096;
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            assert_eq!(libc::mprotect(start.byte_add(4096), 4096, libc::PROT_NONE), 0);
            start as u64
        };
        let mut memory = StackMemory::new(0..0, start);
        assert_eq!(memory.read(start + 4088), Some(0));
        assert_eq!(memory.read(start + 4096), None);
        assert_eq!(memory.read(start + 8192), None, "there is a gap");
        memory.move_to(start + 8192);
        assert_eq!(memory.read(start + 8192), Some(0));
        assert_eq!(memory.read(start), None, "below the stack pointer");
        // SAFETY: the mapping made above, used by nobody else.
        assert_eq!(unsafe { libc::munmap(start as *mut libc::c_void, 3 * 4096) }, 0);
        assert_eq!(StackMemory::new(0..0, start).read(start), None);
    }

    #[test]
    fn room_is_not_believed_to_be_where_it_was() {
        let length = 9 * 4096;
        // SAFETY: a fresh anonymous mapping.
        let map = unsafe {
            let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
            let start = libc::mmap(std::ptr::null_mut(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
            assert_ne!(start, libc::MAP_FAILED);
            start as u64
        };
        let protect = |page: u64, protection| {
            // SAFETY: a page of the mapping above, which nobody uses.
            assert_eq!(unsafe { libc::mprotect((map + page * 4096) as *mut libc::c_void, 4096, protection) }, 0);
        };
        let here = map + 8 * 4096 + 100;
        assert!(has_room_below(here, 16 * 1024) && has_room_below(here, 12 * 1024) && has_room_below(map + 4096, 4096));
        assert!(has_room_below(here, 0), "the page of a stack pointer is there");
        // Each page in turn becomes the guard page of another stack.
        for page in 0..8 {
            protect(page, libc::PROT_NONE);
            for pages in 1..=8 {
                let is_below = 8 - page <= pages;
                assert_eq!(has_room_below(here, pages * 4096), !is_below, "page {page} of {pages}");
            }
            protect(page, libc::PROT_READ | libc::PROT_WRITE);
        }
        // SAFETY: the mapping made above, used by nobody else.
        assert_eq!(unsafe { libc::munmap(map as *mut libc::c_void, length) }, 0);
        assert!(!has_room_below(here, 16 * 1024));
        assert!(!has_room_below(4096, 16 * 1024), "nothing is mapped at the bottom");
    }

    #[test]
    fn the_work_of_a_walk_is_bounded() {
        let pages = vec![1_u64; 512 * 1100];
        let start = pages.as_ptr() as u64;
        let mut memory = StackMemory::new(0..0, start);
        let read = (0..1099).filter(|page| memory.read(start + page * PAGE).is_some()).count();
        assert_eq!(read, MAX_TRIES as usize);
    }
}
