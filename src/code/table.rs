//! Where registered code lies in memory.

use std::sync::Arc;

use crate::interpreters::Evaluator;

/// A text section in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct CodeRange {
    pub(crate) start: u64,
    pub(crate) end: u64,
    /// The number of the component or module it belongs to.
    pub(crate) target: u32,
}

impl CodeRange {
    #[inline]
    pub(crate) fn contains(&self, address: u64) -> bool {
        address >= self.start && address < self.end
    }

    /// Offset of `address`, which has to be inside or at the end. A text section is smaller than 4 GiB.
    #[inline]
    pub(crate) fn offset(&self, address: u64) -> u32 {
        u32::try_from(address - self.start).unwrap_or(u32::MAX)
    }
}

/// Ranges of a chunk at most.
const CHUNK: usize = 64;

/// With fewer than this, a chunk is joined to the one before.
const FEW: usize = CHUNK / 4;

/// The text sections of registered code, by address. Immutable, so that a signal handler may read it: Wasmtime's own
/// registry takes locks, which a handler must not.
///
/// One that has a range more, or less, shares all chunks but one with the one before: among ten thousand components, one
/// can come and go in a microsecond or two.
#[derive(Clone, Debug, Default)]
pub(crate) struct CodeTable {
    /// In order of address; none is empty.
    chunks: Box<[Chunk]>,
    /// The evaluation loops in it, by address.
    evaluators: Arc<[Evaluator]>,
}

#[derive(Clone, Debug)]
struct Chunk {
    /// Where its first range starts.
    start: u64,
    /// In order of address.
    ranges: Arc<[CodeRange]>,
}

impl Chunk {
    fn new(ranges: &[CodeRange]) -> Option<Self> {
        Some(Self { start: ranges.first()?.start, ranges: ranges.into() })
    }
}

impl CodeTable {
    /// The section that contains `address`. Sections do not overlap.
    #[inline]
    pub(crate) fn find(&self, address: u64) -> Option<&CodeRange> {
        let chunk = &self.chunks[self.chunk_of(address)?];
        let after = chunk.ranges.partition_point(|range| range.start <= address);
        let range = chunk.ranges.get(after.checked_sub(1)?)?;
        range.contains(address).then_some(range)
    }

    /// The chunk that a range is in, or would be, that starts at `address`; `None` if that is before all.
    #[inline]
    fn chunk_of(&self, address: u64) -> Option<usize> {
        self.chunks.partition_point(|chunk| chunk.start <= address).checked_sub(1)
    }

    /// The same with `range`, in place of one that starts where it does. An empty one is in no table.
    pub(crate) fn with(&self, range: CodeRange) -> Self {
        if range.start >= range.end {
            return self.without(range.start);
        }
        self.changed(range.start, |ranges, at| match at {
            Ok(known) => ranges[known] = range,
            Err(at) => ranges.insert(at, range),
        })
    }

    /// The same with the evaluation loops that `range` has.
    pub(crate) fn with_evaluators(self, range: CodeRange, evaluators: &[Evaluator]) -> Self {
        let others = self.evaluators.iter().filter(|known| known.start < range.start || known.start >= range.end);
        if evaluators.is_empty() && others.clone().count() == self.evaluators.len() {
            return self;
        }
        let own = evaluators.iter().map(|evaluator| evaluator.at(range.start, range.target));
        let mut evaluators: Vec<Evaluator> = others.copied().chain(own).collect();
        evaluators.sort_by_key(|evaluator| evaluator.start);
        Self { evaluators: evaluators.into(), ..self }
    }

    /// The evaluation loop that `address` is in.
    #[inline]
    pub(crate) fn evaluator(&self, address: u64) -> Option<&Evaluator> {
        let after = self.evaluators.partition_point(|evaluator| evaluator.start <= address);
        let evaluator = self.evaluators.get(after.checked_sub(1)?)?;
        (address < evaluator.end).then_some(evaluator)
    }

    /// Whether a function of a core module is an evaluation loop, given its index.
    pub(crate) fn has_evaluator(&self, target: u32, module: u32, function: u32) -> bool {
        self.evaluators.iter().any(|known| (known.target, known.function) == (target, (module, function)))
    }

    /// Whether there is any.
    pub(crate) fn has_evaluators(&self) -> bool {
        !self.evaluators.is_empty()
    }

    /// The same without the range that starts at `start`.
    pub(crate) fn without(&self, start: u64) -> Self {
        self.changed(start, |ranges, at| {
            if let Ok(known) = at {
                ranges.remove(known);
            }
        })
    }

    /// The same with a change of the chunk that `start` is in. `change` is told where in it a range that starts there is, or
    /// would be.
    fn changed(&self, start: u64, change: impl FnOnce(&mut Vec<CodeRange>, Result<usize, usize>)) -> Self {
        let index = self.chunk_of(start).unwrap_or(0);
        let mut ranges = Vec::with_capacity(CHUNK + FEW);
        ranges.extend(self.chunks.get(index).into_iter().flat_map(|chunk| chunk.ranges.iter()));
        let at = ranges.binary_search_by_key(&start, |range: &CodeRange| range.start);
        change(&mut ranges, at);
        let mut first = index;
        if ranges.len() < FEW && index > 0 {
            first = index - 1;
            ranges.splice(0..0, self.chunks[first].ranges.iter().copied());
        }
        let pieces = if ranges.len() > CHUNK { ranges.chunks(ranges.len().div_ceil(2)) } else { ranges.chunks(CHUNK) };
        let behind = self.chunks.get(index + 1..).unwrap_or_default();
        let chunks = self.chunks[..first].iter().cloned().chain(pieces.filter_map(Chunk::new));
        Self { chunks: chunks.chain(behind.iter().cloned()).collect(), evaluators: Arc::clone(&self.evaluators) }
    }

    /// Whether a section starts at `start`, and of which target it is.
    pub(crate) fn starting_at(&self, start: u64) -> Option<u32> {
        self.find(start).filter(|range| range.start == start).map(|range| range.target)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    fn range(start: u64, end: u64, target: u32) -> CodeRange {
        CodeRange { start, end, target }
    }

    #[test]
    fn addresses_belong_to_the_section_around_them() {
        let ranges = [range(0x5000, 0x6000, 1), range(0x1000, 0x2000, 0), range(0x7000, 0x7000, 2)];
        let table = ranges.into_iter().fold(CodeTable::default(), |table, range| table.with(range));
        let target = |address| table.find(address).map(|range| range.target);
        assert_eq!(
            [0xfff, 0x1000, 0x1fff, 0x2000, 0x5abc, 0x7000].map(target),
            [None, Some(0), Some(0), None, Some(1), None]
        );
        assert_eq!([0x1000, 0x1001].map(|start| table.starting_at(start)), [Some(0), None]);
    }

    proptest! {
        #[test]
        fn sections_come_and_go(changes in prop::collection::vec((0_u64..400, any::<bool>()), 0..600)) {
            let (mut table, mut truth) = (CodeTable::default(), BTreeMap::new());
            for (number, (place, is_added)) in (0..).zip(changes) {
                let start = 0x1000 + place * 16;
                if is_added {
                    table = table.with(range(start, start + 8, number));
                    truth.insert(start, number);
                } else {
                    table = table.without(start);
                    truth.remove(&start);
                }
            }
            for place in 0..400 {
                let start = 0x1000 + place * 16;
                let expected = truth.get(&start).copied();
                prop_assert_eq!(table.find(start + 7).map(|range| range.target), expected);
                prop_assert_eq!(table.starting_at(start), expected);
                prop_assert_eq!(table.find(start + 8), None);
            }
            prop_assert!(table.chunks.iter().all(|chunk| (1..=CHUNK).contains(&chunk.ranges.len())));
            // Few chunks are nearly empty.
            prop_assert!(table.chunks.len() <= 2 + truth.len() / (FEW / 2));
        }
    }
}
