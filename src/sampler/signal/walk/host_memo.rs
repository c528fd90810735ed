//! Remembers how runs of the process's own frames were walked.
//!
//! Unwinding by unwind information costs ten times what following a frame pointer costs, and under every guest lie the
//! same frames of the process, sample after sample. The result of unwinding depends on nothing but the registers it
//! starts from and the words it reads, so if all of these are as they were, the result is as it was: exact, not a guess.
//! Checking is one comparison for each word.

use super::HostEnd;
use super::memory::StackMemory;
use super::registers::Registers;

const MAX_READS: usize = 320;
const MAX_FRAMES: usize = 160;
const MEMOS: usize = 4;

/// A run of frames, and what its walk depended on.
pub(super) struct HostMemo {
    from: Registers,
    reads: [(u64, u64); MAX_READS],
    read_count: usize,
    /// The lowest and the highest address of `reads`.
    bounds: (u64, u64),
    frames: [u64; MAX_FRAMES],
    frame_count: usize,
    /// Where the run ends; `None` at the first frame of the thread.
    end: Option<Registers>,
    is_valid: bool,
}

impl HostMemo {
    fn new() -> Self {
        let nowhere = Registers { pc: 0, sp: 0, fp: 0, lr: 0 };
        Self {
            from: nowhere,
            reads: [(0, 0); MAX_READS],
            read_count: 0,
            bounds: (u64::MAX, 0),
            frames: [0; MAX_FRAMES],
            frame_count: 0,
            end: None,
            is_valid: false,
        }
    }

    /// The addresses of the run, innermost first.
    pub(super) fn frames(&self) -> &[u64] {
        &self.frames[..self.frame_count]
    }

    pub(super) fn end(&self) -> HostEnd {
        self.end.map_or(HostEnd::Root, HostEnd::Generated)
    }

    fn holds(&self, memory: &mut StackMemory) -> bool {
        memory.holds(&self.reads[..self.read_count], self.bounds)
    }
}

/// The last few runs.
pub(super) struct HostMemos {
    memos: Box<[HostMemo; MEMOS]>,
    /// The one being written.
    current: usize,
    /// Whether `current` is being written.
    is_recording: bool,
}

impl HostMemos {
    pub(super) fn new() -> Self {
        Self { memos: Box::new(std::array::from_fn(|_| HostMemo::new())), current: 0, is_recording: false }
    }

    /// What a walk from `from` would find, if that is known.
    pub(super) fn recall(&self, from: Registers, memory: &mut StackMemory) -> Option<&HostMemo> {
        self.memos.iter().find(|memo| memo.is_valid && memo.from == from && memo.holds(memory))
    }

    /// Starts to note a walk from `from`.
    pub(super) fn begin(&mut self, from: Registers) {
        // Of two memos for the same registers, only one can hold: replace it.
        let known = self.memos.iter().position(|memo| memo.is_valid && memo.from == from);
        self.current = known.unwrap_or((self.current + 1) % MEMOS);
        let memo = &mut self.memos[self.current];
        memo.from = from;
        memo.is_valid = false;
        memo.read_count = 0;
        memo.bounds = (u64::MAX, 0);
        memo.frame_count = 0;
        self.is_recording = true;
    }

    pub(super) fn frame(&mut self, address: u64) {
        let memo = &mut self.memos[self.current];
        if self.is_recording && memo.frame_count < MAX_FRAMES {
            memo.frames[memo.frame_count] = address;
            memo.frame_count += 1;
        } else {
            self.is_recording = false;
        }
    }

    pub(super) fn read(&mut self, address: u64, value: u64) {
        let memo = &mut self.memos[self.current];
        if self.is_recording && memo.read_count < MAX_READS {
            memo.reads[memo.read_count] = (address, value);
            memo.read_count += 1;
            memo.bounds = (memo.bounds.0.min(address), memo.bounds.1.max(address));
        } else {
            self.is_recording = false;
        }
    }

    /// Keeps what was noted, if the walk came to an end that can be told again.
    pub(super) fn keep(&mut self, end: &HostEnd) {
        let memo = &mut self.memos[self.current];
        memo.end = match end {
            HostEnd::Generated(at) => Some(*at),
            HostEnd::Root => None,
            HostEnd::Interrupted(_) | HostEnd::Lost => return,
        };
        memo.is_valid = self.is_recording;
    }
}
