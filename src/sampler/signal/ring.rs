//! A queue of samples from the signal handler of one thread to whoever collects them: bounded, without locks.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::walk::FrameWord;

/// Words a ring holds: 256 KiB, which at 10,000 samples a second of a typical guest lasts for half a second. A power of
/// two, and more than the longest sample.
const WORDS: usize = 1 << 15;

/// Words in front of the frames of a sample.
const HEADER_WORDS: usize = 5;

/// A sample on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SampleHeader {
    /// Nanoseconds since the recording began.
    pub(super) time: u64,
    /// Nanoseconds of wall-clock time that the sample stands for.
    pub(super) wall: u64,
    /// Nanoseconds of CPU time, at most `wall`.
    pub(super) cpu: u64,
    /// The labels of the activation.
    pub(super) labels: u64,
    /// How many of its outermost frames are those of the sample before.
    pub(super) shared: usize,
    /// How many frames follow.
    pub(super) new: usize,
    /// Whether its outermost frames are missing.
    pub(super) cut: bool,
    /// Whether its innermost frame is compiled code.
    pub(super) in_guest: bool,
    /// Whether it fell into work of the profiler's own: it has no stack, and leaves the frames of the sample before as they are.
    pub(super) is_own_work: bool,
}

/// The queue. One thread's signal handler writes; one reader at a time reads.
pub(super) struct Ring {
    words: Box<[AtomicU64]>,
    /// Words ever written; belongs to the writer.
    head: AtomicUsize,
    /// Words ever read; belongs to the reader.
    tail: AtomicUsize,
}

impl Ring {
    pub(super) fn new() -> Self {
        let words = std::iter::repeat_with(|| AtomicU64::new(0)).take(WORDS).collect();
        Self { words, head: AtomicUsize::new(0), tail: AtomicUsize::new(0) }
    }

    /// Words that it has room for.
    pub(super) const CAPACITY: usize = WORDS;

    /// Words that are in it, for the reader.
    pub(super) fn used(&self) -> usize {
        self.head.load(Ordering::Relaxed).wrapping_sub(self.tail.load(Ordering::Relaxed))
    }

    /// Adds a sample, if there is room. To be called by one thread only; lock-free.
    pub(super) fn push(&self, sample: &SampleHeader, new_frames: &[FrameWord]) -> bool {
        debug_assert!(new_frames.len() == sample.new && new_frames.len() <= WORDS, "as the header says");
        let head = self.head.load(Ordering::Relaxed);
        let used = head.wrapping_sub(self.tail.load(Ordering::Acquire));
        let length = HEADER_WORDS + new_frames.len();
        if WORDS - used < length {
            return false;
        }
        // `new` is at most `WORDS`, far below 2^29.
        let flags = u64::from(sample.in_guest) << 31 | u64::from(sample.is_own_work) << 1 | u64::from(sample.cut);
        let lengths = (sample.shared as u64) << 32 | (sample.new as u64) << 2 | flags;
        let header = [sample.time, sample.wall, sample.cpu, lengths, sample.labels];
        let words = header.into_iter().chain(new_frames.iter().map(|frame| frame.bits()));
        for (index, word) in words.enumerate() {
            self.words[head.wrapping_add(index) % WORDS].store(word, Ordering::Relaxed);
        }
        self.head.store(head.wrapping_add(length), Ordering::Release);
        true
    }

    /// Where it ends: how many words were ever written.
    pub(super) fn head(&self) -> usize {
        self.head.load(Ordering::Acquire)
    }

    /// All samples that are there up to `head`, where the ring ended at some time, as was learned from who has seen that. To be used by
    /// one thread at a time: the caller holds a lock.
    pub(super) fn waiting(&self, head: usize) -> Waiting<'_> {
        Waiting { ring: self, head }
    }

    fn word(&self, position: usize) -> u64 {
        self.words[position % WORDS].load(Ordering::Relaxed)
    }

    /// The header of the sample that begins at `position`.
    fn header(&self, position: usize) -> SampleHeader {
        let word = |index: usize| self.word(position.wrapping_add(index));
        let lengths = word(3);
        let (shared, new) = (lengths >> 32, lengths >> 2 & 0x1fff_ffff);
        SampleHeader {
            time: word(0),
            wall: word(1),
            cpu: word(2),
            labels: word(4),
            // Both were made from a `usize` by `push`.
            shared: usize::try_from(shared).unwrap_or(0),
            new: usize::try_from(new).unwrap_or(0),
            cut: lengths & 1 != 0,
            in_guest: lengths >> 31 & 1 != 0,
            is_own_work: lengths & 2 != 0,
        }
    }
}

/// The samples that are in a ring at some time.
pub(super) struct Waiting<'r> {
    ring: &'r Ring,
    /// Where they end.
    head: usize,
}

impl Waiting<'_> {
    /// Their headers; they stay where they are.
    pub(super) fn headers(&self) -> impl Iterator<Item = SampleHeader> {
        let mut at = self.ring.tail.load(Ordering::Relaxed);
        std::iter::from_fn(move || {
            let header = (at != self.head).then(|| self.ring.header(at))?;
            at = at.wrapping_add(HEADER_WORDS + header.new);
            Some(header)
        })
    }

    /// Takes them out.
    pub(super) fn take(self, mut each: impl FnMut(SampleHeader, &mut dyn Iterator<Item = FrameWord>)) {
        let mut tail = self.ring.tail.load(Ordering::Relaxed);
        while tail != self.head {
            let header = self.ring.header(tail);
            let frames = tail.wrapping_add(HEADER_WORDS);
            let frame = |index: usize| FrameWord::from_bits(self.ring.word(frames.wrapping_add(index)));
            each(header, &mut (0..header.new).map(frame));
            tail = frames.wrapping_add(header.new);
            self.ring.tail.store(tail, Ordering::Release);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::scripts::MAX_WORDS;
    use super::*;

    fn header(time: u64, shared: usize, new: usize) -> SampleHeader {
        SampleHeader {
            time,
            wall: u64::MAX,
            cpu: 1 << 40,
            labels: u64::MAX - 7,
            shared,
            new,
            cut: time.is_multiple_of(2),
            in_guest: time.is_multiple_of(3),
            is_own_work: time.is_multiple_of(5),
        }
    }

    #[test]
    fn samples_come_out_as_they_went_in_and_a_full_ring_refuses() {
        let ring = Ring::new();
        let frames: Vec<FrameWord> = (0..MAX_WORDS as u64).map(FrameWord::host).collect();
        let mut next_in = 0_u64;
        let mut next_out = 0_u64;
        // Three times around.
        while next_out < 300 {
            let length = |time: u64| usize::try_from(time * 37).expect("small") % (MAX_WORDS + 1);
            while ring.push(&header(next_in, 5, length(next_in)), &frames[..length(next_in)]) {
                next_in += 1;
            }
            let seen: Vec<SampleHeader> = ring.waiting(ring.head()).headers().collect();
            let expected = (next_out..next_in).map(|number| header(number, 5, length(number)));
            assert!(seen.into_iter().eq(expected));
            ring.waiting(ring.head()).take(|sample, new| {
                assert_eq!(sample, header(next_out, 5, length(next_out)));
                assert!(new.eq(frames[..length(next_out)].iter().copied()));
                next_out += 1;
            });
            assert_eq!(next_in, next_out);
        }
    }

    #[test]
    fn a_reader_beside_the_writer_sees_whole_samples() {
        let ring = Ring::new();
        let count = 200_000_u64;
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for time in 0..count {
                    let frame = [FrameWord::host(time)];
                    while !ring.push(&header(time, 0, 1), &frame) {
                        std::thread::yield_now();
                    }
                }
            });
            let mut next = 0;
            while next < count {
                ring.waiting(ring.head()).take(|sample, new| {
                    assert_eq!(sample, header(next, 0, 1));
                    assert_eq!(new.next(), Some(FrameWord::host(next)));
                    next += 1;
                });
            }
        });
    }
}
