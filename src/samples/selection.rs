//! The most telling of many things, in bounded memory.

use std::cmp::Reverse;

use super::append_vec::AppendVec;

/// What is kept unless another limit is given: as much as a person looks at, and the front-end can draw.
pub(crate) const DEFAULT_LIMIT: usize = 20_000;

/// Half of the limit is kept for those of the greatest weight, such as the longest calls, and half for some of the rest, of
/// which all have the same chance. How many there were, and the sum of their weights, is known of all. A clone costs little
/// ([`AppendVec`]).
#[derive(Clone, Debug)]
pub(crate) struct Selection<T> {
    /// Up to twice the limit, so that thinning them out costs little for each.
    kept: AppendVec<Kept<T>>,
    count: u64,
    weight: u64,
    limit: usize,
    /// What is lighter than this, and ranks behind `last_rank`, would be left out anyway.
    lightest: u64,
    last_rank: u64,
}

/// One of many.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kept<T> {
    /// How many were before it.
    pub(crate) number: u64,
    pub(crate) weight: u64,
    pub(crate) value: T,
}

impl<T: Clone> Default for Selection<T> {
    fn default() -> Self {
        Self::with_limit(DEFAULT_LIMIT)
    }
}

impl<T: Clone> Selection<T> {
    pub(crate) fn with_limit(limit: usize) -> Self {
        Self { kept: AppendVec::default(), count: 0, weight: 0, limit, lightest: 0, last_rank: u64::MAX }
    }

    /// What is kept, in no order.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Kept<T>> + Clone {
        self.kept.iter()
    }

    /// How many are kept.
    pub(crate) fn len(&self) -> usize {
        self.kept.len()
    }

    /// Whether one of some weight has a chance to be kept, should it be the next.
    pub(crate) fn would_keep(&self, weight: u64) -> bool {
        weight >= self.lightest || rank(self.count) <= self.last_rank
    }

    /// Adds one of some weight; makes it only if there is a chance that it is kept. Returns its number.
    pub(crate) fn add(&mut self, weight: u64, make: impl FnOnce() -> T) -> u64 {
        let has_chance = self.would_keep(weight);
        let number = self.count;
        self.count = self.count.saturating_add(1);
        self.weight = self.weight.saturating_add(weight);
        if !has_chance {
            return number;
        }
        self.kept.push(Kept { number, weight, value: make() });
        if self.kept.len() >= self.limit.saturating_mul(2) {
            self.thin();
        }
        number
    }

    /// Takes back what has just been added.
    pub(crate) fn remove(&mut self, number: u64) {
        self.kept = self.kept.iter().filter(|kept| kept.number != number).cloned().collect();
    }

    /// Leaves out what is out of date, to make room for what comes: that has a better chance from now on than the rest of what was
    /// before.
    pub(crate) fn forget(&mut self, is_old: impl Fn(&T) -> bool) {
        if self.kept.iter().any(|kept| is_old(&kept.value)) {
            self.kept = self.kept.iter().filter(|kept| !is_old(&kept.value)).cloned().collect();
            (self.lightest, self.last_rank) = (0, u64::MAX);
        }
    }

    /// Changes what is kept.
    pub(crate) fn change(&mut self, change: impl Fn(&mut T)) {
        let changed = |kept: &Kept<T>| {
            let mut kept = kept.clone();
            change(&mut kept.value);
            kept
        };
        self.kept = self.kept.iter().map(changed).collect();
    }

    /// Whether the next one may make it necessary to leave out others.
    pub(crate) fn is_full(&self) -> bool {
        self.kept.len() + 1 >= self.limit.saturating_mul(2)
    }

    /// How many are not kept, and the sum of their weights.
    pub(crate) fn left_out(&self) -> (u64, u64) {
        let kept = self.kept.iter().fold(0_u64, |sum, kept| sum.saturating_add(kept.weight));
        let count = u64::try_from(self.kept.len()).unwrap_or(u64::MAX);
        (self.count.saturating_sub(count), self.weight.saturating_sub(kept))
    }

    /// Keeps the heaviest, and of the rest those with the lowest ranks. What is left out can never come back: the rest only
    /// grows. So what is kept does not depend on how often this was done.
    pub(crate) fn thin(&mut self) {
        if self.kept.len() <= self.limit {
            return;
        }
        let heaviest = self.limit / 2;
        let mut kept: Vec<Kept<T>> = self.kept.iter().cloned().collect();
        kept.select_nth_unstable_by_key(heaviest, |kept| (Reverse(kept.weight), kept.number));
        kept[heaviest..].select_nth_unstable_by_key(self.limit - heaviest, |kept| rank(kept.number));
        kept.truncate(self.limit);
        let (heavy, rest) = kept.split_at(heaviest);
        self.lightest = heavy.iter().map(|kept| kept.weight).min().unwrap_or(u64::MAX);
        self.last_rank = rest.iter().map(|kept| rank(kept.number)).max().unwrap_or(0);
        self.kept = kept.into_iter().collect();
    }
}

/// A rank that has nothing to do with when something happened: the finalizer of SplitMix64, which is a bijection.
fn rank(number: u64) -> u64 {
    let mut mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sorted(mut weights: Vec<u64>) -> Vec<u64> {
        weights.sort_unstable_by_key(|weight| Reverse(*weight));
        weights
    }

    proptest! {
        #[test]
        fn the_heaviest_are_kept_and_sums_are_of_all(
            weights in prop::collection::vec(0_u64..100, 0..500),
            limit in 2_usize..40,
        ) {
            let mut selection = Selection::with_limit(limit);
            for weight in &weights {
                selection.add(*weight, || ());
            }
            selection.thin();
            prop_assert_eq!(selection.len(), weights.len().min(limit));
            let (count, weight) = selection.left_out();
            let kept: u64 = selection.kept().map(|kept| kept.weight).sum();
            prop_assert_eq!(count + u64::try_from(selection.len())?, u64::try_from(weights.len())?);
            prop_assert_eq!(weight + kept, weights.iter().sum::<u64>());
            let found = sorted(selection.kept().map(|kept| kept.weight).collect());
            prop_assert!(sorted(weights).iter().take(limit / 2).zip(&found).all(|(weight, found)| weight == found));
        }

        #[test]
        fn what_is_kept_does_not_depend_on_when_it_is_thinned_out(
            weights in prop::collection::vec(0_u64..100, 0..300),
            limit in 2_usize..40,
        ) {
            let numbers = |often: bool| {
                let mut selection = Selection::with_limit(limit);
                for weight in &weights {
                    selection.add(*weight, || ());
                    if often {
                        selection.thin();
                    }
                }
                selection.thin();
                let mut numbers: Vec<u64> = selection.kept().map(|kept| kept.number).collect();
                numbers.sort_unstable();
                numbers
            };
            prop_assert_eq!(numbers(true), numbers(false));
        }
    }

    #[test]
    fn what_is_new_has_a_place_again_once_the_old_is_forgotten() {
        let mut selection = Selection::with_limit(10);
        (0..1000).for_each(|time| _ = selection.add(1_000_000, || time));
        selection.forget(|time| *time < 995);
        assert!(selection.kept().all(|kept| kept.value >= 995));
        (1000..1010).for_each(|time| _ = selection.add(1, || time));
        assert!(selection.kept().any(|kept| kept.value == 1005));
        selection.thin();
        assert_eq!(selection.left_out().0, 1000);
    }

    #[test]
    fn the_rest_is_a_fair_sample() {
        let mut selection = Selection::with_limit(2000);
        // All equal, of which those that come first are the heaviest by the order of `thin`.
        for _ in 0..100_000 {
            selection.add(1, || ());
        }
        selection.thin();
        let late = selection.kept().filter(|kept| kept.number >= 50_500).count();
        assert!((400..600).contains(&late), "{late} of the 1000 in the second half");
    }
}
