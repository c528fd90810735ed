//! How much memory is kept for debug info, in the whole process: a host may have thousands of maps.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that open debug info and answers may take.
const MAX_MEMORY: usize = 256 << 20;

/// How many of them are taken.
static TAKEN: AtomicUsize = AtomicUsize::new(0);

/// A part of that memory, until it is dropped.
pub(super) struct Share {
    taken: &'static AtomicUsize,
    bytes: usize,
}

impl Share {
    /// Takes so much; nothing if there is no room.
    pub(super) fn of_process(bytes: usize) -> Option<Self> {
        let mut share = Self { taken: &TAKEN, bytes: 0 };
        share.grow(bytes).then_some(share)
    }

    /// Takes so much more, if there is room.
    pub(super) fn grow(&mut self, bytes: usize) -> bool {
        let more = |taken: usize| taken.checked_add(bytes).filter(|taken| *taken <= MAX_MEMORY);
        // Nothing else depends on the order of these.
        let has_room = self.taken.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok();
        if has_room {
            self.bytes += bytes;
        }
        has_room
    }

    /// Gives all of it back.
    pub(super) fn clear(&mut self) {
        self.taken.fetch_sub(self.bytes, Ordering::Relaxed);
        self.bytes = 0;
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Default for Share {
    fn default() -> Self {
        Self { taken: &TAKEN, bytes: 0 }
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
impl Share {
    /// One of memory that nobody else takes.
    pub(super) fn alone() -> Self {
        Self { taken: Box::leak(Box::new(AtomicUsize::new(0))), bytes: 0 }
    }

    /// One of a memory that another has a share of.
    pub(super) fn beside(other: &Self) -> Self {
        Self { taken: other.taken, bytes: 0 }
    }

    pub(super) const MAX: usize = MAX_MEMORY;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_have_a_limit_together() {
        let most = MAX_MEMORY / 2 + 1;
        let mut first = Share::alone();
        let mut second = Share::beside(&first);
        assert!(first.grow(most) && !second.grow(most) && !second.grow(usize::MAX));
        assert!(second.grow(MAX_MEMORY - most) && !second.grow(1));
        drop(first);
        assert!(second.grow(most) && !second.grow(1));
        assert_eq!(second.bytes(), MAX_MEMORY);
    }
}
