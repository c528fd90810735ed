//! Which frame of a script belongs to which run of the evaluation loop, where each run holds which frame it works for.
//!
//! A run works for one frame, or for none: it may be on its way to a function of the engine's own, or not have begun yet, or be about to
//! end. Both are in order, and each frame has a run of its own.

use std::ops::Range;

/// What a run has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Held {
    /// No frame.
    Nothing,
    /// One that could not be told, or none.
    Unknown,
    /// This one.
    Frame(usize),
}

/// Frames that a run is asked for, from the next one on.
const WINDOW: usize = 3;

/// What each of so many runs has of so many frames, all innermost first: `holds` tells whether a run holds a frame. `is_whole` says whether
/// there are no more frames than those. The result goes into `held`.
pub(super) fn pair_by_frames(
    runs: usize,
    frames: usize,
    is_whole: bool,
    mut holds: impl FnMut(usize, usize) -> bool,
    held: &mut Vec<Held>,
) {
    held.clear();
    let mut next = 0;
    for run in 0..runs {
        let window = next..frames.min(next + WINDOW);
        let Some(frame) = window.clone().find(|frame| holds(run, *frame)) else { continue };
        // Frames that nobody holds belong to runs before.
        fill(run, next..frame, held);
        held.push(Held::Frame(frame));
        next = frame + 1;
    }
    // What is left may be on a stack that is suspended.
    let is_over = is_whole && next == frames;
    held.resize(runs, if is_over { Held::Nothing } else { Held::Unknown });
}

/// Goes on up to a run, where those that are to come have these frames.
fn fill(until: usize, frames: Range<usize>, held: &mut Vec<Held>) {
    let runs = until - held.len();
    if frames.len() == runs {
        held.extend(frames.map(Held::Frame));
    } else {
        held.resize(until, if frames.is_empty() { Held::Nothing } else { Held::Unknown });
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::Held::{Frame, Nothing, Unknown};
    use super::*;

    fn paired(runs: usize, frames: usize, is_whole: bool, holds: impl Fn(usize, usize) -> bool) -> Vec<Held> {
        let mut held = Vec::new();
        pair_by_frames(runs, frames, is_whole, holds, &mut held);
        held
    }

    #[test]
    fn each_run_has_what_it_holds() {
        let of = |frames: &[Option<usize>], count: usize, is_whole: bool| {
            paired(frames.len(), count, is_whole, |run, frame| frames[run] == Some(frame))
        };
        assert_eq!(of(&[Some(0), Some(1)], 2, true), [Frame(0), Frame(1)]);
        // The way to a function of the engine's own.
        assert_eq!(
            of(&[None, Some(0), None, None, Some(1), None], 2, true),
            [Nothing, Frame(0), Nothing, Nothing, Frame(1), Nothing]
        );
        // Whose frame was not there to be seen.
        assert_eq!(of(&[None, Some(1)], 2, true), [Frame(0), Frame(1)]);
        assert_eq!(of(&[None, None, Some(1)], 2, true), [Unknown, Unknown, Frame(1)]);
        // The list is not known to its end; or the stack is not.
        assert_eq!(of(&[Some(0), None], 1, false), [Frame(0), Unknown]);
        assert_eq!(of(&[Some(0), None], 2, true), [Frame(0), Unknown]);
        assert_eq!(of(&[Some(0)], 2, true), [Frame(0)]);
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
                Frame(frame) => Some(*frame),
                _ => None,
            }).collect();
            prop_assert!(of.windows(2).all(|pair| pair[0] < pair[1]));
            prop_assert!(of.iter().all(|frame| *frame < frames));
        }
    }
}
