//! Which frames of a script belong to which run of the evaluation loop.
//!
//! The stack has runs of the loop, and the interpreter a list of frames in which each run has left a mark. Both are in order, so the
//! first of one belongs to the first of the other; but the guest may have been stopped while a run began or ended, when one of the two
//! knows of it and the other does not, or while the list was being changed. Such moments are told by which function is the
//! innermost, and by the list's own end. What cannot be told for certain is unknown.

use std::cmp::Ordering::{Equal, Greater, Less};
use std::ops::Range;

/// What of the list of frames a run has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Segment {
    /// None: it has just begun, or is about to end.
    Nothing,
    /// Some that could not be told.
    Unknown,
    /// These, as positions.
    Frames(Range<usize>),
}

/// The list of frames of an interpreter, in parts.
#[derive(Clone, Debug)]
pub(super) struct List<'l> {
    /// Those that end with the mark of a run, innermost first: frames of the script alone.
    pub(super) marked: &'l [Range<usize>],
    /// What came after the last mark, where the list could not be followed to its end.
    pub(super) rest: Option<Range<usize>>,
    /// The innermost function has only just begun: it has called nothing.
    pub(super) has_begun: bool,
}

/// What is known of the runs of an interpreter on a stack.
#[derive(Clone, Copy, Debug)]
pub(super) struct Runs {
    pub(super) count: usize,
    /// The innermost one may be just beginning, or ending.
    pub(super) may_change: bool,
    /// It is the innermost frame of all, and not only perhaps.
    pub(super) is_leaf: bool,
    /// All of them were found.
    pub(super) are_all: bool,
    /// The innermost one may have called something before it left its mark.
    pub(super) may_call_first: bool,
}

/// What each run has, innermost first.
pub(super) fn pair<'l>(runs: Runs, list: List<'l>) -> impl Iterator<Item = Segment> + use<'l> {
    let Runs { count, may_change, is_leaf, are_all, may_call_first } = runs;
    let List { marked, rest, has_begun } = list;
    let is_whole = rest.is_none() && (may_call_first || !marked.is_empty());
    let first = match (is_whole && are_all, count.cmp(&marked.len())) {
        (true, Equal) => Some(0),
        // One that is just beginning has no frames yet, and one that ends has none any more.
        (true, Greater) if count == marked.len() + 1 && (may_call_first || is_leaf && !has_begun) => Some(1),
        // The outer ones are on stacks that are suspended, or that the walk did not get to.
        (_, Less) | (false, _) if !may_change => Some(0),
        _ => None,
    };
    // In the middle of a change, what is there belongs to the innermost.
    let is_changing = first.is_none() && !is_whole && is_leaf;
    let of_list = move |position: usize| match marked.get(position) {
        Some(frames) => Segment::Frames(frames.clone()),
        None if position == marked.len() => rest.clone().map_or(Segment::Unknown, Segment::Frames),
        None => Segment::Unknown,
    };
    (0..count).map(move |run| match first {
        Some(first) if run < first => Segment::Nothing,
        Some(first) => of_list(run - first),
        None if is_changing && run == 0 => of_list(0),
        None => Segment::Unknown,
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Segment::{Frames, Nothing, Unknown};
    use super::*;

    const WHOLE: Runs = Runs { count: 2, may_change: false, is_leaf: false, are_all: true, may_call_first: false };
    const LEAF: Runs = Runs { may_change: true, is_leaf: true, ..WHOLE };

    #[test]
    fn runs_and_marks_are_in_the_same_order() {
        let [a, b, c] = [0..2, 3..3, 4..7];
        let [fa, fb, fc] = [&a, &b, &c].map(|range| Frames(range.clone()));
        let marked = [a.clone(), b.clone(), c.clone()];
        let list = |count: usize, rest: Option<Range<usize>>| List { marked: &marked[..count], rest, has_begun: false };
        let check = |runs: Runs, list: List<'_>, expected: &[Segment]| {
            assert_eq!(pair(runs, list.clone()).collect::<Vec<_>>(), expected, "{runs:?}, {list:?}");
        };
        check(WHOLE, list(2, None), &[fa.clone(), fb.clone()]);
        check(LEAF, list(2, None), &[fa.clone(), fb.clone()]);
        // The innermost has no mark yet, or no more.
        check(LEAF, list(1, None), &[Nothing, fa.clone()]);
        check(Runs { is_leaf: false, ..LEAF }, list(1, None), &[Unknown, Unknown]);
        // Its first function is there, and its mark is not: some other mark is missing, too.
        check(LEAF, List { has_begun: true, ..list(1, None) }, &[Unknown, Unknown]);
        check(WHOLE, list(1, None), &[Unknown, Unknown]);
        // It calls something first, and has no mark meanwhile; nor need there be another one.
        let calls_first = Runs { may_call_first: true, ..WHOLE };
        check(calls_first, list(1, None), &[Nothing, fa.clone()]);
        check(Runs { count: 1, ..calls_first }, list(0, None), &[Nothing]);
        check(calls_first, list(0, None), &[Unknown, Unknown]);
        check(Runs { are_all: false, ..calls_first }, list(1, None), &[fa.clone(), Unknown]);
        // Others are on a suspended stack.
        check(WHOLE, list(3, None), &[fa.clone(), fb.clone()]);
        check(LEAF, list(3, None), &[Unknown, Unknown]);
        // A generator has just been cut off from its caller.
        check(LEAF, list(0, Some(a.clone())), &[fa.clone(), Unknown]);
        check(LEAF, list(1, Some(b.clone())), &[fa.clone(), Unknown]);
        check(WHOLE, list(1, Some(b.clone())), &[fa.clone(), fb.clone()]);
        // Only the inner part of the stack was found.
        check(Runs { are_all: false, ..WHOLE }, list(3, None), &[fa.clone(), fb.clone()]);
        check(Runs { are_all: false, count: 4, ..WHOLE }, list(3, None), &[fa, fb, fc, Unknown]);
        check(WHOLE, list(0, None), &[Unknown, Unknown]);
    }

    proptest! {
        #[test]
        fn each_run_has_its_own_frames_and_outer_ones_outer_frames(
            (count, marks) in (0_usize..9, 0_usize..9), flags in prop::array::uniform5(any::<bool>()),
        ) {
            let marked: Vec<Range<usize>> = (0..marks).map(|mark| 3 * mark..3 * mark + 2).collect();
            let [may_change, is_leaf, are_all, may_call_first, has_rest] = flags;
            let rest = has_rest.then_some(3 * marks..3 * marks + 2);
            let list = List { marked: &marked, rest, has_begun: false };
            let runs = Runs { count, may_change: may_change || is_leaf, is_leaf, are_all, may_call_first };
            let segments: Vec<Segment> = pair(runs, list).collect();
            prop_assert_eq!(segments.len(), count);
            let ranges: Vec<_> = segments.iter().filter_map(|segment| match segment {
                Frames(range) => Some(range.clone()),
                _ => None,
            }).collect();
            prop_assert!(ranges.windows(2).all(|pair| pair[0].end <= pair[1].start));
            if are_all && !has_rest && count == marks {
                prop_assert_eq!(&ranges, &marked);
            }
        }
    }
}
