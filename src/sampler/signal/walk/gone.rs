//! Whose code has gone, so that it is known whether what is remembered of a walk may still hold.

/// Targets are told apart by the remainder of their numbers: so many there are.
const REMAINDERS: usize = u64::BITS as usize;

/// Some components and modules, and perhaps more of them: those whose numbers have the same remainder.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Targets(u64);

impl Targets {
    #[inline]
    pub(super) fn of(target: u32) -> Self {
        Self(1 << (target as usize % REMAINDERS))
    }

    #[inline]
    pub(super) fn add(&mut self, others: Self) {
        self.0 |= others.0;
    }
}

/// Whose code has gone, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Gone {
    /// By remainder: the number of the first scene without the one that went last. Those are counted from 1 on.
    since: Box<[u64]>,
}

impl Gone {
    /// The same, and in the scene with this number the code of `target` has gone.
    pub(crate) fn with(&self, target: u32, scene: u64) -> Self {
        let mut since = self.since.clone();
        if since.is_empty() {
            since = Box::new([0; REMAINDERS]);
        }
        since[target as usize % REMAINDERS] = scene;
        Self { since }
    }

    /// Whether code of one of `targets` may have gone after the scene with this number.
    #[inline]
    pub(super) fn has_any(&self, targets: Targets, after: u64) -> bool {
        let mut remainders = targets.0;
        while remainders != 0 {
            let remainder = remainders.trailing_zeros() as usize;
            if self.since.get(remainder).is_some_and(|since| *since > after) {
                return true;
            }
            remainders &= remainders - 1;
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_was_met_is_missed() {
        let gone = Gone::default().with(3, 7);
        let mut met = Targets::default();
        assert!(!gone.has_any(met, 0));
        met.add(Targets::of(2));
        assert!(!gone.has_any(met, 0));
        // Of those with the same remainder, nobody knows.
        met.add(Targets::of(3 + 64));
        assert!(gone.has_any(met, 0) && gone.has_any(met, 6));
        assert!(!gone.has_any(met, 7), "it was met in a scene that has not had the other");
        assert!(gone.with(2, 9).has_any(met, 8));
    }
}
