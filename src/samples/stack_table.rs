//! Stacks as a tree: a stack is its innermost frame and the stack of its caller.

use rustc_hash::{FxHashMap, FxHashSet};

use super::append_vec::AppendVec;
use crate::address::{TextOffset, WasmOffset};

/// A frame as a sampler saw it, without names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum RawFrame {
    /// A function of a core module, as a backtrace of Wasmtime tells it.
    Wasm {
        /// Which of the recorder's components or modules.
        target: u32,
        /// Static index of the core module.
        module: u32,
        /// Index of the function inside the core module, imports counted.
        function: u32,
        /// The instruction that executes, or that called the next frame; `None` if the code has no address map.
        instruction: Option<WasmOffset>,
    },
    /// Compiled code of any layer but the host's.
    Text {
        /// Which of the recorder's components or modules.
        target: u32,
        /// The instruction that executes in the innermost frame of a stack, and the one to return to in all others.
        offset: TextOffset,
    },
    /// Code of this process. Never leaves it.
    Host {
        /// As the offset above.
        address: u64,
    },
    /// One or more frames of this process that may not be shown.
    HiddenHost,
    /// One or more frames of compiled code that was not registered.
    Unregistered,
    /// Frames in the middle of a deep stack that were left out.
    Elided,
    /// Outermost frames that were not captured, or may not be shown.
    UnknownCallers,
    /// Nothing runs: the task waits.
    Suspended,
    /// A function of a script, which the frame further out interprets.
    Script {
        /// Which: a number that the log knows.
        function: u32,
        /// Which of its instructions.
        instruction: u32,
    },
}

impl RawFrame {
    /// The same of another component or module with the same code, should it be of the one.
    pub(crate) fn of(self, from: u32, to: u32) -> Self {
        match self {
            Self::Wasm { target, module, function, instruction } if target == from => {
                Self::Wasm { target: to, module, function, instruction }
            }
            Self::Text { target, offset } if target == from => Self::Text { target: to, offset },
            other => other,
        }
    }

    /// Which of the recorder's components or modules it is of.
    pub(crate) fn target(self) -> Option<u32> {
        match self {
            Self::Wasm { target, .. } | Self::Text { target, .. } => Some(target),
            Self::Host { .. }
            | Self::HiddenHost
            | Self::Unregistered
            | Self::Elided
            | Self::UnknownCallers
            | Self::Suspended
            | Self::Script { .. } => None,
        }
    }
}

/// A frame of a [`StackTable`]. Equal frames have equal handles; valid for the table that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FrameId(pub(crate) u32);

/// A stack of a [`StackTable`]. Equal stacks have equal handles; valid for the table that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct StackId(pub(crate) u32);

/// All distinct stacks. Append-only, and a stack always comes after its caller's.
#[derive(Debug, Default)]
pub(crate) struct StackTable {
    frames: AppendVec<RawFrame>,
    stacks: AppendVec<(Option<StackId>, FrameId)>,
    /// Where a frame is, and a stack; empty once nothing is added any more.
    frame_ids: FxHashMap<RawFrame, FrameId>,
    stack_ids: FxHashMap<(Option<StackId>, FrameId), StackId>,
    /// What the frames refer to.
    targets: FxHashSet<u32>,
}

impl StackTable {
    /// The handle of the stack with these frames, outermost first. `None` if there are no frames.
    pub(crate) fn intern(&mut self, outermost_first: impl Iterator<Item = RawFrame>) -> Option<StackId> {
        outermost_first.fold(None, |caller, frame| Some(self.push(caller, frame)))
    }

    /// The handle of the stack that consists of `caller` and a frame inside of it.
    pub(crate) fn push(&mut self, caller: Option<StackId>, frame: RawFrame) -> StackId {
        let (frames, targets) = (&mut self.frames, &mut self.targets);
        let frame = *self.frame_ids.entry(frame).or_insert_with(|| {
            frames.push(frame);
            targets.extend(frame.target());
            FrameId(handle(frames.len() - 1))
        });
        let stacks = &mut self.stacks;
        *self.stack_ids.entry((caller, frame)).or_insert_with(|| {
            stacks.push((caller, frame));
            StackId(handle(stacks.len() - 1))
        })
    }

    /// The same stacks as they are now, to look at only.
    pub(crate) fn freeze(&self) -> Self {
        Self {
            frames: self.frames.clone(),
            stacks: self.stacks.clone(),
            targets: self.targets.clone(),
            ..Self::default()
        }
    }

    /// Frees what adding needs: nothing will be.
    pub(crate) fn close(&mut self) {
        (self.frame_ids, self.stack_ids) = Default::default();
    }

    /// Bytes of what is in the tables, about.
    pub(crate) fn bytes(&self) -> usize {
        let (frames, stacks) = (self.frame_ids.capacity(), self.stack_ids.capacity());
        self.frames.len() * size_of::<RawFrame>()
            + self.stacks.len() * size_of::<(Option<StackId>, FrameId)>()
            + frames * size_of::<(RawFrame, FrameId)>()
            + stacks * size_of::<(Option<StackId>, FrameId, StackId)>()
    }

    /// The components and modules that some frame is of.
    pub(crate) fn targets(&self) -> &FxHashSet<u32> {
        &self.targets
    }

    /// How many frames there are.
    #[cfg(test)]
    fn frame_count(&self) -> usize {
        self.frames.len()
    }

    /// How many stacks there are.
    pub(crate) fn stack_count(&self) -> usize {
        self.stacks.len()
    }

    pub(crate) fn frame(&self, frame: FrameId) -> Option<&RawFrame> {
        self.frames.get(frame.0 as usize)
    }

    /// All stacks as caller and innermost frame; the position is the handle.
    pub(crate) fn stacks(&self) -> impl DoubleEndedIterator<Item = (Option<StackId>, FrameId)> + '_ {
        self.stacks.iter().copied()
    }
}

fn handle(index: usize) -> u32 {
    // 2^32 distinct frames of 16 bytes would have exhausted memory long before.
    u32::try_from(index).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(function: u32) -> RawFrame {
        RawFrame::Wasm { target: 0, module: 0, function, instruction: None }
    }

    #[test]
    fn equal_stacks_are_stored_once_and_callers_come_first() {
        let mut table = StackTable::default();
        let mut intern = |functions: &[u32]| table.intern(functions.iter().map(|function| frame(*function)));
        let deep = intern(&[1, 2, 3]);
        assert_eq!(intern(&[1, 2, 3]), deep);
        let sibling = intern(&[1, 2, 4]);
        assert_ne!(sibling, deep);
        let recursive = intern(&[1, 1]);
        assert_ne!(recursive, intern(&[1]));
        assert_eq!(intern(&[]), None);
        assert_eq!((table.frame_count(), table.stack_count()), (4, 5));
        for (index, (caller, _)) in table.stacks().enumerate() {
            assert!(caller.is_none_or(|caller| (caller.0 as usize) < index));
        }
    }
}
