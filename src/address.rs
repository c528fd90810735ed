//! The address spaces of a profile, one type each, so that a number never travels without its meaning.
//!
//! | type | counted from | used by |
//! | --- | --- | --- |
//! | [`TextOffset`] | the start of the compiled text section of one component or module | symbol map, profile |
//! | [`WasmOffset`] | the first byte of the WebAssembly binary given to the compiler | epoch samples, source lines |
//!
//! This file is the only one that converts between the two ([`InstructionRanges`]), and between the two readings of
//! a code address ([`CodePoint`]).

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex};

use rustc_hash::FxHashMap;
use wasmtime_environ::iterate_address_map;

use crate::lock::lock;

/// A byte offset into the text section of one compiled component or core module.
///
/// Text offsets do not depend on where the operating system placed the code, so they may be shared.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TextOffset(u32);

impl TextOffset {
    /// Wraps a byte offset counted from the start of the text section.
    #[must_use]
    pub const fn new(offset: u32) -> Self {
        Self(offset)
    }

    /// The offset in bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for TextOffset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

/// A byte offset into the WebAssembly binary that was compiled: the component's, or the core module's where there is
/// no component around it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WasmOffset(u32);

impl WasmOffset {
    /// Wraps a byte offset counted from the first byte of the binary.
    #[must_use]
    pub const fn new(offset: u32) -> Self {
        Self(offset)
    }

    /// The offset in bytes.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

/// A place in compiled code, together with how it is to be read.
///
/// The leaf of a stack is an instruction pointer: the instruction that runs. Every caller is known by its return
/// address: the instruction *after* the call, which may already belong to another line, or even to another function.
/// There is no third way in which a frame is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum CodePoint {
    /// The instruction that is executing.
    InstructionPointer(TextOffset),
    /// The instruction that will execute when the callee returns.
    ReturnAddress(TextOffset),
}

impl CodePoint {
    /// The offset to look up: that of the executing instruction, or of the last byte of the call.
    #[must_use]
    pub fn lookup_offset(self) -> TextOffset {
        match self {
            Self::InstructionPointer(offset) => offset,
            // The only place that steps back from a return address: one byte is enough to be inside the call.
            Self::ReturnAddress(offset) => TextOffset(offset.0.saturating_sub(1)),
        }
    }
}

/// Which text ranges were compiled from which WebAssembly instruction: Wasmtime's address map, read forwards.
///
/// Wasmtime gives a backtrace in WebAssembly offsets only. The text offset of such a frame is the first range inside
/// the frame's function that was compiled from that instruction: exact to the WebAssembly instruction, and one of its
/// machine instructions.
///
/// There are millions of ranges in a large component, and a profile asks for those of some hundred functions. So Wasmtime's
/// section is kept as it is (two bytes a range), and what was asked for is kept decoded. The section is a copy, so it keeps no
/// code alive, and any number of profiles may share it.
pub(crate) struct InstructionRanges {
    section: Box<[u8]>,
    /// How many ranges there are.
    count: usize,
    /// Where in the section its index and its blocks are.
    index: Range<usize>,
    /// By start and length of a function: its ranges, once they were asked for.
    functions: Mutex<FxHashMap<(u32, u32), Starts>>,
}

/// Where a range starts, and the instruction that it was compiled from, if that is known; in text order. A range ends where
/// the next begins.
type Start = (u32, Option<u32>);

/// The ranges of a function.
type Starts = Arc<[Start]>;

impl fmt::Debug for InstructionRanges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InstructionRanges").field("count", &self.count).finish_non_exhaustive()
    }
}

impl InstructionRanges {
    /// Reads the section of an image (`.wasmtime.addrmap`): the number of ranges, the number of blocks, for each block the
    /// text offset of its first range and where its body begins behind the index, and the bodies. `None` if it is damaged.
    pub(crate) fn read(section: &[u8]) -> Option<Self> {
        let (header, _) = section.split_first_chunk::<HEADER>()?;
        let [count, blocks] = pair(header);
        let size = usize::try_from(blocks).ok()?.checked_mul(BLOCK_ENTRY)?;
        let index = HEADER..HEADER.checked_add(size)?;
        section.get(index.clone())?;
        let count = usize::try_from(count).ok()?;
        Some(Self { section: section.into(), count, index, functions: Mutex::default() })
    }

    /// The text range inside `function` (start, length in bytes) that was compiled from `instruction`.
    pub(crate) fn range_of(
        &self,
        function: (TextOffset, u32),
        instruction: WasmOffset,
    ) -> Option<(TextOffset, TextOffset)> {
        let inside = self.starts_in(function);
        let index = inside.iter().position(|(_, wasm)| *wasm == Some(instruction.0))?;
        let end = function.0.0.saturating_add(function.1);
        let next = inside.get(index + 1).map_or(end, |(text, _)| *text);
        Some((TextOffset(inside[index].0), TextOffset(next)))
    }

    /// The parts of `function` (start, length in bytes), each with the instruction that it was compiled from.
    ///
    /// The compiler forgets that of what it has rewritten, of a third of all code of some loops. Such a part goes by the
    /// instruction before it, or where there is none, by the first of the function: what is next to each other in a
    /// function mostly is so in its source. (Debuggers read tables of lines in the same way.)
    pub(crate) fn ranges_in(&self, function: (TextOffset, u32)) -> impl Iterator<Item = (TextOffset, WasmOffset)> + '_ {
        let inside = self.starts_in(function);
        let mut last = inside.iter().find_map(|(_, wasm)| *wasm);
        (0..inside.len()).filter_map(move |at| {
            let (text, wasm) = inside[at];
            last = wasm.or(last);
            Some((TextOffset(text), WasmOffset(last?)))
        })
    }

    /// The instruction that the text of `function` (start, length in bytes) at `offset` was compiled from, as above.
    pub(crate) fn instruction_at(&self, function: (TextOffset, u32), offset: TextOffset) -> Option<WasmOffset> {
        let inside = self.starts_in(function);
        let after = inside.partition_point(|(text, _)| *text <= offset.0);
        let before = inside[..after].iter().rev().find_map(|(_, wasm)| *wasm);
        before.or_else(|| inside[after..].iter().find_map(|(_, wasm)| *wasm)).map(WasmOffset)
    }

    /// The instruction that the text of `function` (start, length in bytes) at `offset` is known to have been compiled from:
    /// nothing where the compiler forgot it.
    pub(crate) fn exact_instruction_at(&self, function: (TextOffset, u32), offset: TextOffset) -> Option<WasmOffset> {
        let inside = self.starts_in(function);
        let at = inside.partition_point(|(text, _)| *text <= offset.0).checked_sub(1)?;
        inside[at].1.map(WasmOffset)
    }

    /// The ranges that start in a function.
    fn starts_in(&self, function: (TextOffset, u32)) -> Starts {
        let (start, length) = (function.0.0, function.1);
        let decoded = lock(&self.functions).get(&(start, length)).cloned();
        // Two that ask for the same at once decode it twice, which takes microseconds.
        decoded.unwrap_or_else(|| {
            let decoded: Starts = self.decode(start..start.saturating_add(length)).into();
            lock(&self.functions).insert((start, length), Arc::clone(&decoded));
            decoded
        })
    }

    /// The ranges that start in a part of the text.
    fn decode(&self, text: Range<u32>) -> Vec<Start> {
        let blocks = self.section.get(self.index.clone()).unwrap_or_default().as_chunks::<BLOCK_ENTRY>().0;
        // A block begins with its first range, so the last one that begins before may end inside.
        let first = blocks.partition_point(|block| pair(block)[0] < text.start).saturating_sub(1);
        let inside = (first..blocks.len()).take_while(|block| pair(&blocks[*block])[0] < text.end);
        let starts = inside.flat_map(|block| self.decode_block(blocks, block).unwrap_or_default());
        starts.filter(|(start, _)| text.contains(start)).collect()
    }

    /// All ranges of a block, by Wasmtime's own decoder, for which this block becomes the only one.
    fn decode_block(&self, blocks: &[[u8; BLOCK_ENTRY]], block: usize) -> Option<Vec<Start>> {
        let bodies = self.section.get(self.index.end..)?;
        let [first, begin] = pair(blocks.get(block)?);
        let end = blocks.get(block + 1).map(|next| pair(next)[1] as usize);
        let body = bodies.get(begin as usize..end.unwrap_or(bodies.len()))?;
        let count = self.count.checked_sub(block.checked_mul(PER_BLOCK)?)?.min(PER_BLOCK);
        let count = u32::try_from(count).ok()?;
        let mut only = Vec::with_capacity(HEADER + BLOCK_ENTRY + body.len());
        [count, 1, first, 0].iter().for_each(|number| only.extend(number.to_le_bytes()));
        only.extend_from_slice(body);
        Some(iterate_address_map(&only)?.map(|(text, wasm)| (text, wasm.file_offset())).collect())
    }
}

/// Bytes before the index.
const HEADER: usize = 8;

/// Bytes of a block in the index.
const BLOCK_ENTRY: usize = 8;

/// Ranges of a block, but for the last one. Wasmtime 48's `ADDRMAP_BLOCK_SIZE`.
const PER_BLOCK: usize = 128;

fn pair(bytes: &[u8; 8]) -> [u32; 2] {
    let [a, b, c, d, e, f, g, h] = *bytes;
    [u32::from_le_bytes([a, b, c, d]), u32::from_le_bytes([e, f, g, h])]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::component::Code;

    /// What `InstructionRanges` are made of, as Wasmtime writes it.
    fn section(starts: &[Start]) -> Vec<u8> {
        fn varint(out: &mut Vec<u8>, mut value: u64) {
            while value >= 0x80 {
                out.push(u8::try_from(value & 0x7f).expect("seven bits") | 0x80);
                value >>= 7;
            }
            out.push(u8::try_from(value).expect("seven bits"));
        }
        let (mut index, mut bodies) = (Vec::new(), Vec::new());
        for block in starts.chunks(PER_BLOCK) {
            index.extend(block[0].0.to_le_bytes());
            index.extend(u32::try_from(bodies.len()).expect("short").to_le_bytes());
            let (mut last, mut position) = (block[0].0, None);
            for (text, wasm) in block {
                varint(&mut bodies, u64::from(text - last) << 1 | u64::from(wasm.is_none()));
                last = *text;
                match (*wasm, position) {
                    (None, _) => continue,
                    (Some(wasm), None) => varint(&mut bodies, wasm.into()),
                    (Some(wasm), Some(before)) => {
                        // Signed, in two bytes at most.
                        let distance = i16::try_from(i64::from(wasm) - i64::from(before)).expect("near");
                        let [low, high] = [distance & 0x7f, (distance >> 7) & 0x7f];
                        bodies.extend([
                            u8::try_from(low).expect("seven bits") | 0x80,
                            u8::try_from(high).expect("seven bits"),
                        ]);
                    }
                }
                position = *wasm;
            }
        }
        let counts = [starts.len(), starts.len().div_ceil(PER_BLOCK)];
        let counts = counts.map(|count| u32::try_from(count).expect("few").to_le_bytes());
        [counts.concat(), index, bodies].concat()
    }

    fn ranges(starts: &[Start]) -> InstructionRanges {
        InstructionRanges::read(&section(starts)).expect("a section")
    }

    #[test]
    fn each_function_of_real_code_has_the_ranges_that_wasmtime_tells() {
        let wasm = concat!(env!("CARGO_MANIFEST_DIR"), "/examples/kitchen.wasm");
        let component =
            wasmtime::component::Component::from_file(&wasmtime::Engine::default(), wasm).expect("a component");
        let all: Vec<Start> = component.address_map().expect("a map").map(|(text, wasm)| (text as u32, wasm)).collect();
        assert!(all.len() > 10 * PER_BLOCK, "{}", all.len());
        let map = crate::SymbolMap::builder("hot").build(&component).expect("a map");
        let ranges = Code::from(&component).instruction_ranges().expect("ranges");
        let mut seen = 0;
        for function in map.functions() {
            let (start, end) = (function.offset().get(), function.offset().get() + function.size());
            let expected: Vec<Start> = all.iter().filter(|(text, _)| (start..end).contains(text)).copied().collect();
            let found = ranges.starts_in((function.offset(), function.size()));
            assert_eq!(*found, *expected, "{}", function.name());
            seen += found.len();
        }
        assert_eq!(seen, all.len());
        assert_eq!(ranges.decode(0..u32::MAX), all);
    }

    proptest::proptest! {
        #[test]
        fn a_part_has_the_ranges_that_start_in_it(
            steps in proptest::collection::vec((0_u32..300, proptest::option::of(0_u32..8000)), 0..600),
            part in (0_u32..90_000, 0_u32..9000),
        ) {
            let mut text = 0;
            let starts: Vec<Start> = steps.into_iter().map(|(step, wasm)| { text += step; (text, wasm) }).collect();
            let part = part.0..part.0 + part.1;
            let expected: Vec<Start> = starts.iter().filter(|(text, _)| part.contains(text)).copied().collect();
            proptest::prop_assert_eq!(ranges(&starts).decode(part), expected);
        }

        #[test]
        fn no_section_makes_it_panic(bytes in proptest::collection::vec(0_u8..=255, 0..80), blocks in 0_u8..9) {
            let mut bytes = bytes;
            bytes.get_mut(4..8).into_iter().for_each(|count| count.copy_from_slice(&[blocks, 0, 0, 0]));
            if let Some(ranges) = InstructionRanges::read(&bytes) {
                ranges.decode(0..u32::MAX);
            }
        }
    }

    #[test]
    fn a_return_address_is_looked_up_inside_its_call() {
        let call = CodePoint::ReturnAddress(TextOffset::new(0x15));
        assert_eq!(call.lookup_offset(), TextOffset::new(0x14));
        let leaf = CodePoint::InstructionPointer(TextOffset::new(0x15));
        assert_eq!(leaf.lookup_offset(), TextOffset::new(0x15));
    }

    #[test]
    fn an_instruction_is_found_only_inside_its_own_function() {
        let map = ranges(&[(0, Some(100)), (8, None), (16, Some(100)), (20, Some(104)), (30, Some(108))]);
        let second = (TextOffset::new(16), 16);
        let range = |wasm| map.range_of(second, WasmOffset::new(wasm));
        assert_eq!(range(100), Some((TextOffset::new(16), TextOffset::new(20))));
        assert_eq!(range(108), Some((TextOffset::new(30), TextOffset::new(32))));
        assert_eq!(range(99), None);
    }

    #[test]
    fn what_the_compiler_forgot_goes_by_what_is_before_it() {
        let starts = [(0, Some(100)), (16, None), (20, Some(104)), (24, None), (28, None), (30, Some(108)), (40, None)];
        let map = ranges(&starts);
        let at = |function, text| map.instruction_at(function, TextOffset::new(text)).map(WasmOffset::get);
        let (second, last) = ((TextOffset::new(16), 16), (TextOffset::new(40), 9));
        assert_eq!([16, 19, 20, 24, 29, 30].map(|text| at(second, text)), [104, 104, 104, 104, 104, 108].map(Some));
        assert_eq!([at(last, 40), at(last, 45)], [None, None]);
        let exactly = |text| map.exact_instruction_at(second, TextOffset::new(text)).map(WasmOffset::get);
        assert_eq!([16, 20, 23, 24, 29, 30].map(exactly), [None, Some(104), Some(104), None, None, Some(108)]);
        let parts: Vec<_> = map.ranges_in(second).map(|(text, wasm)| (text.get(), wasm.get())).collect();
        assert_eq!(parts, [(16, 104), (20, 104), (24, 104), (28, 104), (30, 108)]);
        assert_eq!(map.ranges_in(last).count(), 0);
    }
}
