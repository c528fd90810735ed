//! What scripts call their functions, on the way from the handler to the collector.
//!
//! A function may be gone when somebody wants its name, so the handler copies what is known of it when it meets it first.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::interpreters::python::{Code, Text};
use crate::samples::ScriptFunction;

/// Words of a ring: 128 KiB.
const WORDS: usize = 1 << 14;

/// The longest table of lines that is copied. Of a longer one nothing is, and the function is known by its first line.
const MAX_LINES: usize = 32 << 10;

/// Words before the bytes: number and first line, widths and lengths of the texts, length of the table.
const HEADER: usize = 3;

/// A ring with one writer and one reader.
pub(in super::super) struct NameRing {
    words: Box<[AtomicU64]>,
    /// Where the next record is written, and where the oldest begins, counted from the beginning of time.
    head: AtomicUsize,
    tail: AtomicUsize,
}

impl NameRing {
    pub(in super::super) fn new() -> Self {
        Self {
            words: (0..WORDS).map(|_| AtomicU64::new(0)).collect(),
            head: AtomicUsize::new(0),
            tail: AtomicUsize::new(0),
        }
    }

    /// Writes what is known of a function. `false` if there is no room. Called by the handler; lock-free.
    pub(in super::super) fn push(&self, number: u32, code: &Code<'_>) -> bool {
        let lines = if code.lines.len() <= MAX_LINES { code.lines } else { &[] };
        let parts = [code.qualname.bytes, code.filename.bytes, lines];
        let size = HEADER + parts.iter().map(|part| part.len().div_ceil(8)).sum::<usize>();
        let head = self.head.load(Ordering::Relaxed);
        if head.wrapping_sub(self.tail.load(Ordering::Acquire)) + size > WORDS {
            return false;
        }
        let mut at = head;
        let mut put = |word: u64| {
            self.words[at % WORDS].store(word, Ordering::Relaxed);
            at = at.wrapping_add(1);
        };
        put(u64::from(number) << 32 | u64::from(code.first_line));
        let described = |text: &Text<'_>| (text.bytes.len() as u64) << 8 | u64::from(text.width);
        put(described(&code.qualname) << 32 | described(&code.filename));
        put(lines.len() as u64);
        for part in parts {
            for bytes in part.chunks(8) {
                let mut word = [0; 8];
                word[..bytes.len()].copy_from_slice(bytes);
                put(u64::from_le_bytes(word));
            }
        }
        self.head.store(at, Ordering::Release);
        true
    }

    /// Takes everything out.
    pub(in super::super) fn take(&self, mut each: impl FnMut(u32, ScriptFunction)) {
        let head = self.head.load(Ordering::Acquire);
        let mut at = self.tail.load(Ordering::Relaxed);
        let mut get = || {
            let word = self.words[at % WORDS].load(Ordering::Relaxed);
            at = at.wrapping_add(1);
            word
        };
        let mut tail = self.tail.load(Ordering::Relaxed);
        while tail != head {
            let [first, texts, table] = [get(), get(), get()];
            let length = |described: u64| usize::try_from(described >> 8 & 0xff_ffff).unwrap_or(0);
            let width = |described: u64| u8::try_from(described & 0xff).unwrap_or(1);
            let lengths = [length(texts >> 32), length(texts & 0xffff_ffff), usize::try_from(table).unwrap_or(0)];
            let mut parts = lengths.map(|length| {
                let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| get().to_le_bytes()).collect();
                bytes.truncate(length);
                bytes
            });
            tail = tail.wrapping_add(HEADER + lengths.iter().map(|length| length.div_ceil(8)).sum::<usize>());
            let text = |width, bytes: &[u8]| Text { width, bytes }.to_string();
            let function = ScriptFunction {
                name: text(width(texts >> 32), &parts[0]),
                file: text(width(texts), &parts[1]),
                first_line: low(first),
                lines: std::mem::take(&mut parts[2]).into(),
            };
            each(high(first), function);
        }
        self.tail.store(tail, Ordering::Release);
    }
}

#[allow(clippy::cast_possible_truncation, reason = "keeps the low half")]
fn low(word: u64) -> u32 {
    word as u32
}

fn high(word: u64) -> u32 {
    low(word >> 32)
}

impl std::fmt::Debug for NameRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NameRing").finish_non_exhaustive()
    }
}
