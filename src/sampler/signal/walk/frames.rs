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
}

/// A [`Place`] in 64 bits.
///
/// Text: bit 63, then 31 bits of target, 32 bits of offset. Host: the address, which has bits 62 and 63 clear on every
/// 64-bit Linux. Others: bit 62 and a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct FrameWord(u64);

const TEXT: u64 = 1 << 63;
const SPECIAL: u64 = 1 << 62;

impl FrameWord {
    pub(crate) const HIDDEN_HOST: Self = Self(SPECIAL);
    pub(crate) const UNREGISTERED: Self = Self(SPECIAL | 1);
    pub(crate) const ELIDED: Self = Self(SPECIAL | 2);
    pub(crate) const UNKNOWN_CALLERS: Self = Self(SPECIAL | 3);
    pub(crate) const SUSPENDED: Self = Self(SPECIAL | 4);

    pub(crate) fn text(target: u32, offset: u32) -> Self {
        Self(TEXT | u64::from(target) << 32 | u64::from(offset))
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

/// The frames of one stack, collected innermost first. The middle of a deep stack is left out: its innermost frames say
/// what runs, its outermost ones what for.
pub(crate) struct Frames {
    inner: [FrameWord; HALF],
    /// A ring of the frames after those.
    outer: [FrameWord; HALF],
    count: usize,
    last: FrameWord,
    /// Hidden frames of the process came after the last frame; they show only if another frame follows.
    host_pending: bool,
}

impl Frames {
    pub(crate) fn new() -> Self {
        Self {
            inner: [FrameWord::ELIDED; HALF],
            outer: [FrameWord::ELIDED; HALF],
            count: 0,
            last: FrameWord::ELIDED,
            host_pending: false,
        }
    }

    pub(crate) fn clear(&mut self) {
        self.count = 0;
        self.last = FrameWord::ELIDED;
        self.host_pending = false;
    }

    /// How many frames were found, those that are left out included.
    pub(crate) fn count(&self) -> usize {
        self.count
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Adds the caller of the frame that was added last.
    #[inline]
    pub(crate) fn push(&mut self, frame: FrameWord) {
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
    pub(crate) fn push_merged(&mut self, frame: FrameWord) {
        if self.host_pending || self.is_empty() || self.last != frame {
            self.push(frame);
        }
    }

    /// Adds a frame of the process without telling which. A run of them is one frame; outside of all guests it is none,
    /// unless there is no guest at all.
    pub(crate) fn push_hidden_host(&mut self) {
        if self.is_empty() {
            self.store(FrameWord::HIDDEN_HOST);
        } else if self.last != FrameWord::HIDDEN_HOST {
            self.host_pending = true;
        }
    }

    #[inline]
    fn store(&mut self, frame: FrameWord) {
        if self.count < HALF {
            self.inner[self.count] = frame;
        } else {
            self.outer[self.count % HALF] = frame;
        }
        self.count += 1;
        self.last = frame;
    }

    /// Brings `stack`, which holds the first `length` words of another stack, up to this one, and returns how many of its
    /// words were right already. Outermost frame first.
    pub(crate) fn replace(&self, stack: &mut [FrameWord; MAX_WORDS], length: &mut usize) -> usize {
        if self.count > HALF {
            return self.replace_deep(stack, length);
        }
        replace_words(self.inner[..self.count].iter().rev(), stack, length)
    }

    /// A function of its own, because its memory should not be touched for every stack.
    #[cold]
    #[inline(never)]
    fn replace_deep(&self, stack: &mut [FrameWord; MAX_WORDS], length: &mut usize) -> usize {
        let mut words = [FrameWord::ELIDED; MAX_WORDS];
        let count = self.outermost_first(&mut words);
        replace_words(words[..count].iter(), stack, length)
    }

    /// Writes the stack, outermost frame first, and returns how many words it takes.
    pub(crate) fn outermost_first(&self, out: &mut [FrameWord; MAX_WORDS]) -> usize {
        let mut length = 0;
        let mut put = |frame| {
            out[length] = frame;
            length += 1;
        };
        let first_outer = self.count.saturating_sub(HALF).max(HALF);
        for index in (first_outer..self.count).rev() {
            put(self.outer[index % HALF]);
        }
        if first_outer > HALF {
            put(FrameWord::ELIDED);
        }
        for frame in self.inner[..self.count.min(HALF)].iter().rev() {
            put(*frame);
        }
        length
    }
}

fn replace_words<'w>(
    words: impl ExactSizeIterator<Item = &'w FrameWord>,
    stack: &mut [FrameWord; MAX_WORDS],
    length: &mut usize,
) -> usize {
    let count = words.len();
    let mut common = 0;
    for ((index, word), slot) in words.enumerate().zip(stack.iter_mut()) {
        if common == index && index < *length && slot == word {
            common += 1;
        } else {
            *slot = *word;
        }
    }
    *length = count;
    common
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stack(frames: &Frames) -> Vec<Place> {
        let mut words = [FrameWord::ELIDED; MAX_WORDS];
        let length = frames.outermost_first(&mut words);
        words[..length].iter().map(|word| word.place()).collect()
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
        ] {
            assert_eq!(FrameWord::from_bits(word.bits()).place(), place);
        }
    }

    #[test]
    fn what_two_stacks_have_in_common_stays() {
        let mut stack = [FrameWord::ELIDED; MAX_WORDS];
        let mut length = 0;
        let mut common = |innermost_first: &[u32]| {
            let mut frames = Frames::new();
            innermost_first.iter().for_each(|offset| frames.push(FrameWord::text(7, *offset)));
            let common = frames.replace(&mut stack, &mut length);
            let expected: Vec<Place> = innermost_first.iter().rev().map(|offset| text(*offset)).collect();
            if expected.len() <= HALF {
                assert_eq!(stack[..length].iter().map(|word| word.place()).collect::<Vec<_>>(), expected);
            }
            common
        };
        assert_eq!(common(&[3, 2, 1]), 0);
        assert_eq!(common(&[4, 2, 1]), 2);
        assert_eq!(common(&[2, 1]), 2);
        assert_eq!(common(&[4, 2, 1]), 2, "what lies behind the end does not count");
        assert_eq!(common(&[4, 2, 1]), 3);
        assert_eq!(common(&[4, 2, 9]), 0);
        let deep: Vec<u32> = (0..2000).rev().collect();
        assert_eq!(common(&deep), 0);
        assert_eq!(common(&deep), MAX_WORDS);
    }

    #[test]
    fn the_middle_of_a_deep_stack_is_left_out() {
        for depth in [1, HALF - 1, HALF, HALF + 1, 2 * HALF, 2 * HALF + 1, 5 * HALF + 3] {
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
