//! Scripts, as SpiderMonkey calls the code of a function: what it is called, and where its source is.

use super::super::function::{Function, LineTable, PartOf, both_ends};
use super::super::lines::{LineFormat, SourcePosition};
use super::super::text::{Encoding, Text};
use super::super::{FunctionPlace, GuestMemory};
use super::layout::{self, Layout, data, string, tag};

/// Characters of a name, and of the name of a file, at most: longer ones are cut.
const MAX_CHARACTERS: usize = 256;

/// The longest table of lines that is believed.
const MAX_NOTES: usize = 1 << 24;

/// The file of what the engine has in JavaScript.
const SELF_HOSTED: &[u8] = b"self-hosted";

/// What a top-level script is called.
const TOP_LEVEL: Text<'static> = Text::of("(top level)");

/// What a function has in its objects themselves, with hashes of its name and its file that the engine has made. Two that differ in what
/// they are called, or in where that is, differ in this, whenever they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Identity {
    /// One that was called, and its script.
    Called(Called),
    /// One that has scheduled what runs, and where.
    Scheduler { name: Option<Atom>, file: Atom, at: SourcePosition },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Called {
    script: u32,
    name: Name,
    file: u32,
    file_hash: u32,
    source_map: u32,
    data: u32,
    code_length: u32,
    /// How the source notes begin, and where they end.
    notes: (u64, u32),
    start: SourcePosition,
    is_self_hosted: bool,
}

/// What a function is called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    /// It is no function, but a script as a whole.
    TopLevel,
    None,
    Some(Atom),
}

/// An atom, as the engine calls strings of which there is only one: where it is, its hash, how it begins, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Atom {
    at: u32,
    hash: u32,
    ends: (u64, u64),
}

impl Identity {
    #[inline]
    pub(super) fn read(layout: &Layout, memory: GuestMemory<'_>, place: FunctionPlace) -> Option<Self> {
        match place {
            FunctionPlace::Code(_) => None,
            FunctionPlace::Called { code, callee } => Called::read(layout, memory, (code, callee)).map(Self::Called),
            FunctionPlace::Scheduler(at) => {
                let value = |offset: u32| value(memory, at, offset);
                let name = match value(layout::saved::NAME)? {
                    (name, tag::STRING) => Some(Atom::read(memory, name)?),
                    (_, tag::NULL) => None,
                    _ => return None,
                };
                let file = value(layout::saved::FILE)?;
                let (line, column) = (value(layout::saved::LINE)?, value(layout::saved::COLUMN)?);
                ((file.1, line.1, column.1) == (tag::STRING, tag::NUMBER, tag::NUMBER)).then_some(())?;
                let at = SourcePosition { line: line.0, column: column.0 };
                Some(Self::Scheduler { name, file: Atom::read(memory, file.0)?, at })
            }
        }
    }
}

impl Called {
    #[inline]
    fn read(layout: &Layout, memory: GuestMemory<'_>, (script, callee): (u32, u32)) -> Option<Self> {
        let word = |at: u32, offset: u32| memory.u32(at.checked_add(offset)?);
        let name = if callee == 0 {
            Name::TopLevel
        } else {
            let flags = word(callee, layout::function::FLAGS)?;
            let has_script =
                flags & layout::function::HAS_SCRIPT != 0 && flags & layout::function::HAS_LAZY_SCRIPT == 0;
            // The one was made for the other.
            let of = resolve(memory, word(callee, layout::function::SCRIPT)?)?;
            (has_script && of == script).then_some(())?;
            match value(memory, callee, layout::function::NAME)? {
                (name, tag::STRING) => Name::Some(Atom::read(memory, name)?),
                (_, tag::UNDEFINED) => Name::None,
                _ => return None,
            }
        };
        let source_object = resolve(memory, word(script, layout::script::SOURCE_OBJECT)?)?;
        // What it points to is none of the collector's.
        let (source, tag::NONE) = value(memory, source_object, layout.source)? else { return None };
        let data = data_of(memory, script)?;
        let code_length = word(data, data::CODE_LENGTH)?;
        let notes = data.checked_add(data::CODE)?.checked_add(code_length)?;
        Some(Self {
            script,
            name,
            file: word(source, layout::source::FILE)?,
            file_hash: word(source, layout::source::FILE_HASH)?,
            source_map: word(source, layout::source::MAP)?,
            data,
            code_length,
            notes: (memory.u64(notes)?, word(data, data::OPTIONAL)?),
            start: SourcePosition {
                line: word(script, layout::script::LINE)?,
                column: word(script, layout::script::COLUMN)?,
            },
            is_self_hosted: word(script, layout::script::FLAGS)? & layout::script::IS_SELF_HOSTED != 0,
        })
    }

    /// What is known of it.
    fn function<'m>(&self, memory: GuestMemory<'m>) -> Option<Function<'m>> {
        let name = match self.name {
            Name::TopLevel => TOP_LEVEL,
            Name::None => Text::of(""),
            Name::Some(name) => name.text(memory)?,
        };
        let part_of = if self.is_self_hosted { PartOf::Interpreter } else { PartOf::Program };
        Some(Function {
            name,
            file: file(memory, self.file)?,
            start: self.start,
            source_map: stored_text(memory, self.source_map),
            lines: LineTable { format: LineFormat::SpiderMonkey, bytes: self.notes(memory)? },
            instructions: self.data.checked_add(data::CODE)?,
            length: Some(self.code_length),
            part_of,
        })
    }

    /// The source notes: what comes after the bytecode, and before what only some have.
    fn notes<'m>(&self, memory: GuestMemory<'m>) -> Option<&'m [u8]> {
        let word = |offset: u32| memory.u32(self.data.checked_add(offset)?);
        let begin = data::CODE.checked_add(self.code_length)?;
        let flags = memory.u8(self.data.checked_add(data::FLAGS)?)?;
        // Before what is optional is how much of it there is: up to three numbers.
        let end = word(data::OPTIONAL)?.checked_sub(u32::from(flags >> 4 & 3) * 4)?;
        let length = end.checked_sub(begin)? as usize;
        memory.bytes(self.data.checked_add(begin)?, length).filter(|_| length <= MAX_NOTES)
    }
}

/// What is known of a function.
pub(super) fn function<'m>(memory: GuestMemory<'m>, identity: &Identity) -> Option<Function<'m>> {
    match identity {
        Identity::Called(called) => called.function(memory),
        Identity::Scheduler { name, file, at } => {
            let file = file.text(memory)?;
            // What goes on with functions is no function that waits.
            let part_of = if file.bytes == SELF_HOSTED { PartOf::Machinery } else { PartOf::Program };
            Some(Function {
                name: name.map_or(Some(Text::of("")), |name| name.text(memory))?,
                file,
                start: *at,
                source_map: None,
                lines: LineTable { format: LineFormat::SpiderMonkeyCall, bytes: &[] },
                instructions: 0,
                length: None,
                part_of,
            })
        }
    }
}

/// A value of JavaScript's: its lower half, and what the upper one says of that.
#[inline]
pub(super) fn value(memory: GuestMemory<'_>, at: u32, offset: u32) -> Option<(u32, u32)> {
    let at = at.checked_add(offset)?;
    Some((memory.u32(at)?, memory.u32(at.checked_add(4)?)?))
}

/// Where a thing of the collector's is, should it just be moving.
pub(super) fn resolve(memory: GuestMemory<'_>, at: u32) -> Option<u32> {
    let head = memory.u32(at)?;
    Some(if head & layout::HAS_MOVED == 0 { at } else { head & !7 })
}

/// The script at an address, if there is one; where it is, should it just be moving.
#[inline]
pub(super) fn script(layout: &Layout, memory: GuestMemory<'_>, at: u32) -> Option<u32> {
    let at = resolve(memory, at)?;
    let arena = at & !(layout::arena::SIZE - 1);
    let is_script = memory.u8(arena.checked_add(layout::arena::KIND)?)? == layout.script_kind;
    let is_whole = (arena.checked_add(layout::arena::SIZE)? - at).is_multiple_of(layout::script::SIZE);
    (is_script && is_whole).then_some(at)
}

/// Where the `js::ImmutableScriptData` of a script is.
#[inline]
pub(super) fn data_of(memory: GuestMemory<'_>, script: u32) -> Option<u32> {
    let shared = memory.u32(script.checked_add(layout::script::SHARED)?)?;
    memory.u32(shared.checked_add(layout::SHARED_DATA)?)
}

impl Atom {
    /// `None` if it is none.
    #[inline]
    fn read(memory: GuestMemory<'_>, at: u32) -> Option<Self> {
        let (text, hash) = Self::characters(memory, at)?;
        Some(Self { at, hash, ends: both_ends(text.bytes) })
    }

    /// Its characters, and the hash that it says they have.
    #[inline]
    fn characters(memory: GuestMemory<'_>, at: u32) -> Option<(Text<'_>, u32)> {
        let word = |offset: u32| memory.u32(at.checked_add(offset)?);
        let (flags, length) = (word(string::FLAGS)?, word(string::LENGTH)? as usize);
        (flags & string::KIND == string::ATOM).then_some(())?;
        let encoding = if flags & string::IS_LATIN1 != 0 { Encoding::Latin1 } else { Encoding::Utf16 };
        let inside = at.checked_add(string::CHARACTERS)?;
        let characters = if flags & string::IS_INLINE != 0 { inside } else { memory.u32(inside)? };
        let bytes = memory.bytes(characters, length.min(MAX_CHARACTERS).checked_mul(encoding.width())?)?;
        let is_fat = flags & string::IS_INLINE != 0 && flags & string::IS_FAT != 0;
        let hash = word(if is_fat { string::HASH_FAT } else { string::HASH })?;
        Some((Text { encoding, bytes }, hash))
    }

    /// Its characters, if they have the hash that it says they have, so that it is no atom by chance. What is cut is believed.
    fn text(self, memory: GuestMemory<'_>) -> Option<Text<'_>> {
        let (text, hash) = Self::characters(memory, self.at)?;
        let is_cut = text.bytes.len() == MAX_CHARACTERS * text.encoding.width();
        (is_cut || hash_of(text) == hash).then_some(text)
    }
}

/// `mozilla::HashString`.
fn hash_of(text: Text<'_>) -> u32 {
    const GOLDEN_RATIO: u32 = 0x9e37_79b9;
    text.units().fold(0, |hash: u32, unit| GOLDEN_RATIO.wrapping_mul(hash.rotate_left(5) ^ unit))
}

/// The name of a file.
fn file(memory: GuestMemory<'_>, at: u32) -> Option<Text<'_>> {
    if at == 0 {
        return Some(Text::of(""));
    }
    let (characters, length) = stored_text(memory, at)?;
    // It ends with a zero.
    let last = length.checked_sub(1)?;
    (memory.u8(characters.checked_add(last)?)? == 0).then_some(())?;
    let bytes = memory.bytes(characters, (last as usize).min(MAX_CHARACTERS))?;
    Some(Text { encoding: Encoding::Utf8, bytes })
}

/// Where a text that the engine has outside of the collector's memory is, and how many bytes it has. `None` if there is none.
fn stored_text(memory: GuestMemory<'_>, at: u32) -> Option<(u32, u32)> {
    let word = |offset: u32| memory.u32(at.checked_add(offset)?);
    Some((word(layout::text::BYTES)?, word(layout::text::LENGTH)?)).filter(|_| at != 0)
}
