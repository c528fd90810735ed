//! What scripts call their functions, on the way from the handler to the collector.
//!
//! A function may be gone when somebody wants its name, so the handler copies what is known of it when it meets it first.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use super::super::walk::low;
use crate::interpreters::{Encoding, Function, LineFormat, PartOf, SourcePosition, Text};
use crate::samples::ScriptFunction;

/// Words of a ring: 128 KiB.
const WORDS: usize = 1 << 14;

/// The longest table of lines that is copied. Of a longer one nothing is, and the function is known by its first line.
const MAX_LINES: usize = 32 << 10;

/// Words before the bytes: number and first line, encodings and lengths of the texts; first column, length and format of the
/// table; place and length of the address of the source map.
const HEADER: usize = 4;

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
    pub(in super::super) fn push(&self, number: u32, function: &Function<'_>) -> bool {
        let lines = if function.lines.bytes.len() <= MAX_LINES { function.lines.bytes } else { &[] };
        let parts = [function.name.bytes, function.file.bytes, lines];
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
        let SourcePosition { line, column } = function.start;
        put(u64::from(number) << 32 | u64::from(line));
        let described = |text: &Text<'_>| (text.bytes.len() as u64) << 8 | text.encoding as u64;
        put(described(&function.name) << 32 | described(&function.file));
        let is_interpreters = u64::from(function.part_of != PartOf::Program);
        put(u64::from(column) << 32
            | (lines.len() as u64) << 8
            | (function.lines.format as u64) << 1
            | is_interpreters);
        // Neither is nothing where there is one.
        let (address, length) = function.source_map.unwrap_or_default();
        put(u64::from(address) << 32 | u64::from(length));
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
            let [first, texts, table, map] = [get(), get(), get(), get()];
            let length = |described: u64| usize::try_from(described >> 8 & 0xff_ffff).unwrap_or(0);
            let kind = |described: u64| usize::from(described.to_le_bytes()[0]);
            let encoding = |described: u64| Encoding::ALL.get(kind(described)).copied().unwrap_or(Encoding::Utf8);
            let lengths = [texts >> 32, texts, table].map(length);
            let mut parts = lengths.map(|length| {
                let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| get().to_le_bytes()).collect();
                bytes.truncate(length);
                bytes
            });
            tail = tail.wrapping_add(HEADER + lengths.iter().map(|length| length.div_ceil(8)).sum::<usize>());
            let text = |described: u64, bytes: &[u8]| Text { encoding: encoding(described), bytes }.to_string();
            let function = ScriptFunction {
                name: text(texts >> 32, &parts[0]),
                file: text(texts, &parts[1]),
                start: SourcePosition { line: low(first), column: high(table) },
                is_interpreters: table & 1 != 0,
                format: LineFormat::ALL.get(kind(table) >> 1).copied().unwrap_or(LineFormat::Python),
                lines: std::mem::take(&mut parts[2]).into(),
                source_map: Some((high(map), low(map))).filter(|(at, _)| *at != 0),
            };
            each(high(first), function);
        }
        self.tail.store(tail, Ordering::Release);
    }
}

fn high(word: u64) -> u32 {
    low(word >> 32)
}

impl std::fmt::Debug for NameRing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NameRing").finish_non_exhaustive()
    }
}
