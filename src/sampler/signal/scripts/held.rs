//! Which frame of a script belongs to which run of the evaluation loop, where each run holds which frame it works for.
//!
//! A run works for one frame, or for none: it may be on its way to a function of the engine's own, or not have begun yet, or be about to
//! end. Both are in order, and each frame has a run of its own.

use std::ops::Range;

use super::segments::Segment;

/// Frames that a run is asked for, from the next one on.
const WINDOW: usize = 3;

/// What each of so many runs has of some frames, all innermost first: `holds` tells whether a run holds a frame, by its position among them.
/// `is_whole` says whether there are no more frames than those. The result goes into `segments`.
pub(super) fn pair_by_frames(
    runs: usize,
    frames: &[Range<usize>],
    is_whole: bool,
    mut holds: impl FnMut(usize, usize) -> bool,
    segments: &mut Vec<Segment>,
) {
    segments.clear();
    let mut next = 0;
    for run in 0..runs {
        let mut window = next..frames.len().min(next + WINDOW);
        let Some(frame) = window.find(|frame| holds(run, *frame)) else { continue };
        // Frames that nobody holds belong to runs before.
        fill(run, &frames[next..frame], segments);
        segments.push(Segment::Frames(frames[frame].clone()));
        next = frame + 1;
    }
    // What is left may be on a stack that is suspended.
    let is_over = is_whole && next == frames.len();
    segments.resize(runs, if is_over { Segment::Nothing } else { Segment::Unknown });
}

/// Goes on up to a run, where those that are to come have these frames.
fn fill(until: usize, frames: &[Range<usize>], segments: &mut Vec<Segment>) {
    if frames.len() == until - segments.len() {
        segments.extend(frames.iter().cloned().map(Segment::Frames));
    } else {
        segments.resize(until, if frames.is_empty() { Segment::Nothing } else { Segment::Unknown });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Segment::{Frames, Nothing, Unknown};
    use super::*;

    /// Each frame is the range of itself.
    fn ranges(frames: usize) -> Vec<Range<usize>> {
        (0..frames).map(|frame| frame..frame + 1).collect()
    }

    fn frame(frame: usize) -> Segment {
        Frames(frame..frame + 1)
    }

    fn paired(runs: usize, frames: usize, is_whole: bool, holds: impl Fn(usize, usize) -> bool) -> Vec<Segment> {
        let mut segments = Vec::new();
        pair_by_frames(runs, &ranges(frames), is_whole, holds, &mut segments);
        segments
    }

    #[test]
    fn each_run_has_what_it_holds() {
        let of = |frames: &[Option<usize>], count: usize, is_whole: bool| {
            paired(frames.len(), count, is_whole, |run, frame| frames[run] == Some(frame))
        };
        assert_eq!(of(&[Some(0), Some(1)], 2, true), [frame(0), frame(1)]);
        // The way to a function of the engine's own.
        assert_eq!(
            of(&[None, Some(0), None, None, Some(1), None], 2, true),
            [Nothing, frame(0), Nothing, Nothing, frame(1), Nothing]
        );
        // Whose frame was not there to be seen.
        assert_eq!(of(&[None, Some(1)], 2, true), [frame(0), frame(1)]);
        assert_eq!(of(&[None, None, Some(1)], 2, true), [Unknown, Unknown, frame(1)]);
        // The list is not known to its end; or the stack is not.
        assert_eq!(of(&[Some(0), None], 1, false), [frame(0), Unknown]);
        assert_eq!(of(&[Some(0), None], 2, true), [frame(0), Unknown]);
        assert_eq!(of(&[Some(0)], 2, true), [frame(0)]);
        assert_eq!(of(&[None], 0, true), [Nothing]);
    }

    proptest! {
        #[test]
        fn frames_are_in_order_and_belong_to_one_run_each(
            runs in 0..12_usize, frames in 0..12_usize, is_whole: bool, bits: u128,
        ) {
            let held = paired(runs, frames, is_whole, |run, frame| bits >> ((run * frames + frame) % 128) & 1 != 0);
            prop_assert_eq!(held.len(), runs);
            let of: Vec<usize> = held.iter().filter_map(|held| match held {
                Frames(range) => Some(range.start),
                _ => None,
            }).collect();
            prop_assert!(of.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(of.iter().all(|frame| *frame < frames));
        }
    }
}
