//! The numbers of functions of scripts: one for each function, whichever thread, interpreter or instance runs it.
//!
//! A number is a place in a table, which is found by all that is known of a function. So what was called one thing never becomes
//! another, though objects die and others take their places; and a server that makes an instance for each request has no more
//! numbers than its programs have functions.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::interpreters::Function;

/// Functions that get a number: a mebibyte of memory, where there is an interpreter.
const MANY: usize = 1 << 17;

/// Places at which a function may be.
const PROBES: usize = 64;

/// The number of functions that nothing is known of. They are at an instruction with the number of their language.
pub(crate) const UNKNOWN: u32 = 0;

/// Somebody has been told what the function is called.
const IS_NAMED: u64 = 1;

/// The table. Lock-free, so that handlers may use it.
pub(crate) struct FunctionNumbers {
    /// Hashes, the lowest bit for [`IS_NAMED`]; zero where there is none. Nothing until there is an interpreter.
    places: OnceLock<Box<[AtomicU64]>>,
    /// What hashes begin with: whoever writes a program cannot give its function the number of another's.
    seed: u64,
}

impl FunctionNumbers {
    pub(crate) fn new() -> Self {
        use std::hash::{BuildHasher as _, RandomState};
        Self { places: OnceLock::new(), seed: RandomState::new().hash_one(0) }
    }

    /// There is an interpreter. Not for handlers.
    pub(crate) fn prepare(&self) {
        self.places.get_or_init(|| (0..MANY).map(|_| AtomicU64::new(0)).collect());
    }

    /// The number of a function. `name` takes note of what the number stands for, if it can; it may be asked twice.
    pub(crate) fn number(&self, function: &Function<'_>, name: impl FnOnce(u32) -> bool) -> u32 {
        let Some(places) = self.places.get() else { return UNKNOWN };
        let hash = (function.hash(self.seed) & !IS_NAMED).max(2);
        let first = usize::try_from(hash >> 32).unwrap_or(0);
        for place in (first..first.saturating_add(PROBES)).map(|place| place % MANY) {
            let mut known = places[place].load(Ordering::Acquire);
            if known == 0 {
                let taken = places[place].compare_exchange(0, hash, Ordering::AcqRel, Ordering::Acquire);
                known = taken.err().unwrap_or(hash);
            }
            if known & !IS_NAMED != hash {
                continue;
            }
            let number = u32::try_from(place + 1).unwrap_or(UNKNOWN);
            if known & IS_NAMED != 0 {
                return number;
            }
            if !name(number) {
                // The next time, perhaps.
                return UNKNOWN;
            }
            places[place].store(hash | IS_NAMED, Ordering::Release);
            return number;
        }
        UNKNOWN
    }
}
