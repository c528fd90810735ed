//! The frames of one stack, in fixed memory.

/// What a frame is, as a walk sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Code of a registered component or module. For the innermost frame the offset is that of the instruction that
    /// executes, for all others that of the instruction to return to.
    Text {
        /// Which component or module.
        target: u32,
        /// Offset into its text section.
        offset: u32,
    },
    /// Code of the process.
    Host {
        /// Its address, read as the offset above.
        address: u64,
    },
    /// One or more frames of the process that may not be shown.
    HiddenHost,
    /// One or more frames of generated code that was not registered.
    Unregistered,
    /// Frames in the middle of a deep stack that were left out.
    Elided,
    /// The walk ended before the outermost frame.
    UnknownCallers,
    /// Not a frame, but what is in its place while a task waits: nothing runs.
    Suspended,
    /// A function of a script.
    Script {
        /// Its number.
        function: u32,
        /// Which instruction of it.
        instruction: u32,
    },
}

/// A [`Place`] in 64 bits.
///
/// Text: bit 63, then 31 bits of target, 32 bits of offset. Host: the address, which has bits 62 and 63 clear on every
/// 64-bit Linux. Scripts: bits 62 and 61, then 29 bits of function, 32 bits of instruction. Others: bit 62 and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct FrameWord(u64);

const TEXT: u64 = 1 << 63;
const SPECIAL: u64 = 1 << 62;
const SCRIPT: u64 = SPECIAL | 1 << 61;

impl FrameWord {
    pub(crate) const HIDDEN_HOST: Self = Self(SPECIAL);
    pub(crate) const UNREGISTERED: Self = Self(SPECIAL | 1);
    pub(crate) const ELIDED: Self = Self(SPECIAL | 2);
    pub(crate) const UNKNOWN_CALLERS: Self = Self(SPECIAL | 3);
    pub(crate) const SUSPENDED: Self = Self(SPECIAL | 4);

    pub(crate) fn text(target: u32, offset: u32) -> Self {
        Self(TEXT | u64::from(target) << 32 | u64::from(offset))
    }

    /// Functions have numbers below 2^29.
    pub(crate) fn script(function: u32, instruction: u32) -> Self {
        Self(SCRIPT | u64::from(function) << 32 | u64::from(instruction))
    }

    pub(crate) fn host(address: u64) -> Self {
        Self(address & !(TEXT | SPECIAL))
    }

    /// For storage; [`from_bits`](Self::from_bits) reads it back.
    pub(crate) fn bits(self) -> u64 {
        self.0
    }

    pub(crate) fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    pub(crate) fn place(self) -> Place {
        if self.0 & TEXT != 0 {
            let target = (self.0 & !TEXT) >> 32;
            return Place::Text { target: low_half(target), offset: low_half(self.0) };
        }
        if self.0 & SCRIPT == SCRIPT {
            return Place::Script { function: low_half((self.0 & !SCRIPT) >> 32), instruction: low_half(self.0) };
        }
        match self {
            Self::HIDDEN_HOST => Place::HiddenHost,
            Self::UNREGISTERED => Place::Unregistered,
            Self::ELIDED => Place::Elided,
            Self::UNKNOWN_CALLERS => Place::UnknownCallers,
            Self::SUSPENDED => Place::Suspended,
            Self(address) => Place::Host { address },
        }
    }
}

#[allow(clippy::cast_possible_truncation, reason = "keeps the low half")]
fn low_half(bits: u64) -> u32 {
    bits as u32
}

/// How many of the innermost, and of the outermost, frames of a deep stack are kept.
pub(crate) const HALF: usize = 256;

/// The most words a stack takes: both halves, and the mark between them.
pub(crate) const MAX_WORDS: usize = 2 * HALF + 1;

/// The frames that a walk finds, innermost first. The middle of a deep stack is left out: its innermost frames say what
/// runs, its outermost ones what for.
pub(super) struct Frames {
    /// All of them; of a deep stack, the first.
    inner: [FrameWord; 2 * HALF],
    /// A ring of the frames after those.
    outer: [FrameWord; HALF],
    count: usize,
    last: FrameWord,
    /// Hidden frames of the process came after the last frame; they show only if another frame follows.
    host_pending: bool,
}

impl Frames {
    pub(super) fn new() -> Self {
        Self {
            inner: [FrameWord::ELIDED; 2 * HALF],
            outer: [FrameWord::ELIDED; HALF],
            count: 0,
            last: FrameWord::ELIDED,
            host_pending: false,
        }
    }

    pub(super) fn clear(&mut self) {
        self.count = 0;
        self.last = FrameWord::ELIDED;
        self.host_pending = false;
    }

    /// How many frames were found, those that are left out included.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Whether a stack of so many frames is shown whole.
    pub(super) fn are_all_kept(count: usize) -> bool {
        count <= 2 * HALF
    }

    /// How many words of a stack of `count` frames are further out than the frame that was found after `index` others, innermost
    /// first, and whether it is shown.
    pub(super) fn place_of(index: usize, count: usize) -> (usize, bool) {
        let outwards = count.saturating_sub(index + 1);
        if Self::are_all_kept(count) || outwards < HALF {
            (outwards, true)
        } else {
            (MAX_WORDS - 1 - index.min(HALF), index < HALF)
        }
    }

    /// How many more are shown whole after so many.
    pub(super) fn room_after(count: usize) -> usize {
        (2 * HALF).saturating_sub(count)
    }

    /// What of the frames so far has a say in how those after them are shown. Zero after a frame of registered code.
    pub(super) fn context(&self) -> u8 {
        u8::from(self.host_pending)
            | u8::from(self.last == FrameWord::HIDDEN_HOST) << 1
            | u8::from(self.last == FrameWord::UNREGISTERED) << 2
            | u8::from(self.is_empty()) << 3
    }

    /// Adds the caller of the frame that was added last.
    #[inline]
    pub(super) fn push(&mut self, frame: FrameWord) {
        if self.host_pending {
            self.show_pending_host();
        }
        self.store(frame);
    }

    #[cold]
    fn show_pending_host(&mut self) {
        self.host_pending = false;
        self.store(FrameWord::HIDDEN_HOST);
    }

    /// Adds a frame of which a run is shown as one.
    pub(super) fn push_merged(&mut self, frame: FrameWord) {
        if self.host_pending || self.is_empty() || self.last != frame {
            self.push(frame);
        }
    }

    /// Adds a frame of the process without telling which. A run of them is one frame; outside of all guests it is none,
    /// unless there is no guest at all.
    pub(super) fn push_hidden_host(&mut self) {
        if self.is_empty() {
            self.store(FrameWord::HIDDEN_HOST);
        } else if self.last != FrameWord::HIDDEN_HOST {
            self.host_pending = true;
        }
    }

    #[inline]
    fn store(&mut self, frame: FrameWord) {
        if let Some(slot) = self.inner.get_mut(self.count) {
            *slot = frame;
        } else {
            self.outer[self.count % HALF] = frame;
        }
        self.count += 1;
        self.last = frame;
    }

    /// The frame that was added after `index` others, which is still there.
    fn get(&self, index: usize) -> FrameWord {
        self.inner.get(index).copied().unwrap_or_else(|| self.outer[index % HALF])
    }
}

/// A stack as it is shown, outermost frame first.
pub(super) struct Stack {
    words: [FrameWord; MAX_WORDS],
    length: usize,
    /// How many of the outermost words are as they were when [`mark`](Self::mark) was called.
    unchanged: usize,
}

impl Stack {
    pub(super) fn new() -> Self {
        Self { words: [FrameWord::ELIDED; MAX_WORDS], length: 0, unchanged: 0 }
    }

    pub(super) fn words(&self) -> &[FrameWord] {
        &self.words[..self.length]
    }

    pub(super) fn unchanged(&self) -> usize {
        self.unchanged
    }

    pub(super) fn mark(&mut self) {
        self.unchanged = self.length;
    }

    pub(super) fn unmark(&mut self) {
        self.unchanged = 0;
    }

    /// Keeps the outermost `kept` words, and replaces the others by `frames`.
    pub(super) fn update(&mut self, kept: usize, frames: &Frames) {
        let (before, count) = (self.length, frames.count);
        let mut same = kept;
        let mut index = kept;
        let mut put = |frame: FrameWord| {
            if same == index && index < before && self.words[index] == frame {
                same += 1;
            } else {
                self.words[index] = frame;
            }
            index += 1;
        };
        if Frames::are_all_kept(kept + count) {
            frames.inner[..count].iter().rev().for_each(|frame| put(*frame));
        } else {
            (count - HALF..count).rev().for_each(|index| put(frames.get(index)));
            put(FrameWord::ELIDED);
            frames.inner[..HALF].iter().rev().for_each(|frame| put(*frame));
        }
        self.length = index;
        self.unchanged = self.unchanged.min(same);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(stack: &Stack) -> Vec<Place> {
        stack.words().iter().map(|word| word.place()).collect()
    }

    fn stack(frames: &Frames) -> Vec<Place> {
        let mut stack = Stack::new();
        stack.update(0, frames);
        places(&stack)
    }

    fn text(offset: u32) -> Place {
        Place::Text { target: 7, offset }
    }

    #[test]
    fn words_keep_what_they_are_given() {
        for (word, place) in [
            (FrameWord::text(0x7fff_ffff, u32::MAX), Place::Text { target: 0x7fff_ffff, offset: u32::MAX }),
            (FrameWord::text(0, 0), Place::Text { target: 0, offset: 0 }),
            (FrameWord::host(0x7fff_1234_5678), Place::Host { address: 0x7fff_1234_5678 }),
            (FrameWord::HIDDEN_HOST, Place::HiddenHost),
            (FrameWord::UNREGISTERED, Place::Unregistered),
            (FrameWord::ELIDED, Place::Elided),
            (FrameWord::UNKNOWN_CALLERS, Place::UnknownCallers),
            (FrameWord::SUSPENDED, Place::Suspended),
            (FrameWord::script(0x1fff_ffff, u32::MAX), Place::Script { function: 0x1fff_ffff, instruction: u32::MAX }),
            (FrameWord::script(0, 0), Place::Script { function: 0, instruction: 0 }),
        ] {
            assert_eq!(FrameWord::from_bits(word.bits()).place(), place);
        }
    }

    #[test]
    fn what_two_stacks_have_in_common_stays() {
        let mut stack = Stack::new();
        let mut update = |kept: usize, innermost_first: &[u32]| {
            let mut frames = Frames::new();
            innermost_first.iter().for_each(|offset| frames.push(FrameWord::text(7, *offset)));
            stack.update(kept, &frames);
            let expected: Vec<Place> = innermost_first.iter().rev().map(|offset| text(*offset)).collect();
            if expected.len() <= 2 * HALF {
                assert_eq!(places(&stack)[kept..], expected);
            }
            let unchanged = stack.unchanged();
            stack.mark();
            unchanged
        };
        assert_eq!(update(0, &[3, 2, 1]), 0);
        assert_eq!(update(0, &[4, 2, 1]), 2);
        assert_eq!(update(0, &[2, 1]), 2);
        assert_eq!(update(0, &[4, 2, 1]), 2, "what lies behind the end does not count");
        assert_eq!(update(0, &[4, 2, 1]), 3);
        assert_eq!(update(1, &[5, 4, 2]), 3, "and what was kept is found without a comparison");
        assert_eq!(update(0, &[4, 2, 9]), 0);
        let deep: Vec<u32> = (0..2000).rev().collect();
        assert_eq!(update(0, &deep), 0);
        assert_eq!(update(0, &deep), MAX_WORDS);
    }

    #[test]
    fn changes_since_the_mark_add_up() {
        let mut stack = Stack::new();
        let mut unchanged = |innermost_first: &[u32]| {
            let mut frames = Frames::new();
            innermost_first.iter().for_each(|offset| frames.push(FrameWord::text(7, *offset)));
            stack.update(0, &frames);
            if innermost_first.len() == 4 {
                stack.mark();
            }
            stack.unchanged()
        };
        assert_eq!(unchanged(&[4, 3, 2, 1]), 4);
        assert_eq!([&[9, 3, 2, 1, 0][1..4], &[9, 1], &[3, 2, 1]].map(&mut unchanged), [3, 1, 1]);
    }

    #[test]
    fn the_middle_of_a_deep_stack_is_left_out() {
        for depth in [1, HALF, 2 * HALF, 2 * HALF + 1, 3 * HALF - 1, 3 * HALF, 3 * HALF + 1, 5 * HALF + 3] {
            let mut frames = Frames::new();
            (0..depth).for_each(|index| frames.push(FrameWord::text(7, u32::try_from(index).expect("small"))));
            let mut expected: Vec<Place> = (0..depth).map(|index| text(u32::try_from(index).expect("small"))).collect();
            if depth > 2 * HALF {
                expected.splice(HALF..depth - HALF, [Place::Elided]);
            }
            expected.reverse();
            assert_eq!(stack(&frames), expected, "{depth}");
        }
    }

    #[test]
    fn hidden_host_frames_are_one_frame_and_only_inside() {
        let mut frames = Frames::new();
        let host = |frames: &mut Frames| (0..3).for_each(|_| frames.push_hidden_host());
        host(&mut frames);
        assert_eq!(stack(&frames), [Place::HiddenHost]);
        frames.push(FrameWord::text(7, 1));
        host(&mut frames);
        frames.push(FrameWord::text(7, 2));
        host(&mut frames);
        assert_eq!(stack(&frames), [text(2), Place::HiddenHost, text(1), Place::HiddenHost]);
    }
}
