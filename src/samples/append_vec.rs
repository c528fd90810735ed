//! A vector that only grows, and of which a copy costs next to nothing.

use std::sync::Arc;

/// Bytes of a chunk, about: what a copy has to copy at most.
const CHUNK_BYTES: usize = 32 << 10;

/// A vector whose elements do not change once others have come after them.
///
/// It consists of full chunks, which all copies share, and a tail, which each copy has for itself. So a clone costs an
/// [`Arc`] for each chunk and the elements of the tail, however much there is.
#[derive(Clone, Debug)]
pub(crate) struct AppendVec<T> {
    /// Of [`CHUNK`](Self::CHUNK) elements each.
    full: Vec<Arc<[T]>>,
    /// No more than a chunk. While elements are added it has the last one, which may change.
    tail: Vec<T>,
}

impl<T> Default for AppendVec<T> {
    fn default() -> Self {
        Self { full: Vec::new(), tail: Vec::new() }
    }
}

impl<T: Clone> AppendVec<T> {
    /// Elements of a chunk: a power of two, so that finding one takes no division.
    pub(crate) const CHUNK: usize = match CHUNK_BYTES.checked_div(size_of::<T>()) {
        // The largest power of two that is not more.
        Some(elements) if elements > 16 => (elements / 2 + 1).next_power_of_two(),
        _ => 16,
    };

    pub(crate) fn len(&self) -> usize {
        self.full.len() * Self::CHUNK + self.tail.len()
    }

    pub(crate) fn push(&mut self, value: T) {
        if self.tail.len() == Self::CHUNK {
            self.full.push(Arc::from(std::mem::take(&mut self.tail)));
            self.tail.reserve_exact(Self::CHUNK);
        }
        self.tail.push(value);
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self.full.get(index / Self::CHUNK) {
            Some(chunk) => chunk.get(index % Self::CHUNK),
            None => self.tail.get(index - self.full.len() * Self::CHUNK),
        }
    }

    pub(crate) fn last(&self) -> Option<&T> {
        self.tail.last().or_else(|| self.full.last()?.last())
    }

    /// The only element that may be changed.
    pub(crate) fn last_mut(&mut self) -> Option<&mut T> {
        self.tail.last_mut()
    }

    pub(crate) fn iter(&self) -> impl DoubleEndedIterator<Item = &T> + Clone {
        self.full.iter().flat_map(|chunk| chunk.iter()).chain(&self.tail)
    }

    /// Those of the elements, which are in order, that are neither before nor behind something, and perhaps a few more: of a full
    /// chunk that overlaps, all. Looks at a few elements only.
    pub(crate) fn overlapping(&self, is_before: impl Fn(&T) -> bool, is_behind: impl Fn(&T) -> bool) -> Self {
        let begin = self.full.partition_point(|chunk| chunk.last().is_some_and(&is_before));
        let end = self.full.partition_point(|chunk| chunk.first().is_some_and(|first| !is_behind(first)));
        let in_tail = self.tail.partition_point(&is_before)..self.tail.partition_point(|value| !is_behind(value));
        Self {
            full: self.full.get(begin..end).unwrap_or_default().to_vec(),
            tail: self.tail.get(in_tail).unwrap_or_default().to_vec(),
        }
    }
}

impl<T: Clone> FromIterator<T> for AppendVec<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut vector = Self::default();
        values.into_iter().for_each(|value| vector.push(value));
        vector
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Large, so that a chunk has few of them.
    type Large = [u64; 256];

    fn large(value: u64) -> Large {
        [value; 256]
    }

    proptest! {
        #[test]
        fn it_is_a_vector_and_copies_do_not_change(
            steps in prop::collection::vec(prop_oneof![4 => (0_u64..5).prop_map(Some), 1 => Just(None)], 0..120),
            period in (0_u64..200, 0_u64..200),
        ) {
            let (mut vector, mut model, mut copies) = (AppendVec::default(), Vec::new(), Vec::new());
            let mut last = 0;
            for step in steps {
                match step {
                    Some(by) => {
                        last += by;
                        vector.push(large(last));
                        model.push(large(last));
                    }
                    None => {
                        copies.push((vector.clone(), model.clone()));
                        if let Some(value) = vector.last_mut() {
                            last += 1;
                            *value = large(last);
                            model.pop();
                            model.push(large(last));
                        }
                    }
                }
                copies.push((vector.clone(), model.clone()));
                if copies.len() > 4 {
                    copies.remove(0);
                }
                prop_assert_eq!(vector.last(), model.last());
            }
            copies.push((vector, model));
            for (vector, model) in copies {
                prop_assert_eq!(vector.len(), model.len());
                prop_assert!(vector.iter().eq(&model));
                prop_assert!(vector.iter().rev().eq(model.iter().rev()));
                prop_assert!((0..=model.len() + 20).all(|index| vector.get(index) == model.get(index)));
                let (begin, end) = period;
                let part = vector.overlapping(|value| value[0] < begin, |value| value[0] >= end);
                let is_inside = |value: &&Large| (begin..end).contains(&value[0]);
                prop_assert!(part.iter().filter(is_inside).eq(model.iter().filter(is_inside)));
                let outside = part.iter().filter(|value| !is_inside(value)).count();
                prop_assert!(outside < 2 * AppendVec::<Large>::CHUNK, "no more than parts of two chunks");
            }
        }
    }

    #[test]
    fn a_copy_shares_all_but_the_tail() {
        let vector: AppendVec<u64> = (0..100_000).collect();
        let copy = vector.clone();
        assert!(vector.full.len() > 10 && copy.tail.len() <= AppendVec::<u64>::CHUNK);
        assert!(vector.full.iter().zip(&copy.full).all(|(one, other)| Arc::ptr_eq(one, other)));
        assert_eq!(copy.get(77_777), Some(&77_777));
    }
}
