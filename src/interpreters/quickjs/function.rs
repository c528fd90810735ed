//! Functions: what one is called, and where its source is.

use super::super::GuestMemory;
use super::super::function::{Function, LineTable, PartOf, both_ends};
use super::super::lines::{LineFormat, SourcePosition};
use super::super::text::Text;
use super::layout::{self, Header, Layout, Start, shape, tag};
use super::lines::{Bytes, is_whole};
use super::text::{Atoms, Name};

/// The longest function, and the longest table of lines, that is believed.
const MAX_LENGTH: u32 = 1 << 24;

/// Properties of a function that are looked at: its name is one of the first, unless a program does strange things.
const MAX_PROPERTIES: u32 = 16;

/// What the engine calls a script or a module as a whole.
const TOP_LEVEL: &[u8] = b"<eval>";

/// What a function has in its objects themselves. Two that differ in what they are called, or in where that is, differ in this, whenever
/// they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    name: Option<Name>,
    file: Option<Name>,
    start: SourcePosition,
    /// Where its instructions are, and how many bytes they have.
    instructions: (u32, u32),
    has_columns: bool,
    /// The table of lines: where it is, how many bytes it has, how it begins, and how it ends.
    lines: (u32, u32),
    ends: (u64, u64),
}

/// Reads functions of a runtime.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'m> {
    pub(super) memory: GuestMemory<'m>,
    pub(super) layout: &'static Layout,
    pub(super) runtime: u32,
    pub(super) atoms: Atoms,
    /// Whether it is certain enough where places in the source are.
    pub(super) reads_places: bool,
}

impl Identity {
    /// How many bytes its table of lines has.
    pub(super) fn table_length(&self) -> usize {
        self.lines.1 as usize
    }
}

impl<'m> Reader<'m> {
    pub(super) fn word(self, at: u32, offset: u32) -> Option<u32> {
        self.memory.u32(at.checked_add(offset)?)
    }

    /// Whether there is a counted object of a kind.
    pub(super) fn is(self, kind: u8, at: u32) -> bool {
        /// More do not have one in common.
        const MANY: u32 = 1 << 24;
        let found = || match self.layout.header {
            Header::Inside => Some((self.memory.u32(at)?, self.memory.u8(at.checked_add(4)?)? & 15)),
            Header::Before => Some((self.memory.u32(at.checked_sub(4)?)?, self.memory.u8(at.checked_sub(5)?)? & 0x7f)),
        };
        // While the engine looks for garbage, it takes from each count what other objects have of it.
        at.is_multiple_of(4) && found().is_some_and(|(count, of)| count < MANY && of == kind)
    }

    /// The code of a function object, if it has some: it is of a script.
    pub(super) fn code_of(self, function: u32) -> Option<u32> {
        let code = self.word(function, self.layout.object.code).filter(|code| self.is(layout::kind::CODE, *code))?;
        let context = self.word(code, self.layout.code.context)?;
        let is_here = self.word(context, self.layout.header.runtime_of_context())? == self.runtime;
        (is_here && self.is(layout::kind::CONTEXT, context)).then_some(code)
    }

    /// Where the instructions of some code are, and how many bytes they have.
    pub(super) fn instructions(self, code: u32) -> Option<(u32, u32)> {
        let at = code.checked_add(self.layout.code.instructions)?;
        let (start, length) = (self.memory.u32(at)?, self.word(at, 4)?);
        self.memory.bytes(start, length as usize).filter(|_| (1..MAX_LENGTH).contains(&length))?;
        Some((start, length))
    }

    #[inline]
    pub(super) fn identity(self, code: u32, function: u32) -> Option<Identity> {
        let of = &self.layout.code;
        let instructions = self.instructions(code)?;
        let atom = |offset: u32| self.atoms.name_of(self.memory, self.word(code, offset)?);
        // As the engine does: a program may have called it something else, and methods have no other name.
        let name = match self.own_name(function) {
            None => atom(of.instructions.checked_add(8)?)?,
            name => name,
        };
        let mut identity = Identity {
            name,
            file: None,
            start: SourcePosition { line: 0, column: 0 },
            instructions,
            has_columns: of.has_columns,
            lines: (0, 0),
            ends: (0, 0),
        };
        let has_places = match of.has_debug {
            Some(flags) => self.memory.u8(code.checked_add(flags)?)? & layout::HAS_DEBUG != 0,
            None => true,
        };
        if !has_places || !self.reads_places {
            return Some(identity);
        }
        identity.file = atom(of.file)?;
        let (length, mut at) = (self.word(code, of.lines.0)?, self.word(code, of.lines.1)?);
        if length > MAX_LENGTH {
            return None;
        }
        let mut table = if length == 0 { &[] } else { self.memory.bytes(at, length as usize).filter(|_| at != 0)? };
        identity.start = match of.start {
            Start::Line(line) => SourcePosition { line: self.word(code, line)?, column: 0 },
            Start::Position(line, column) => {
                SourcePosition { line: self.word(code, line)?, column: self.word(code, column)? }
            }
            Start::InTable => {
                let mut bytes = Bytes(table);
                let [line, column] = [bytes.number()?, bytes.number()?];
                at = at.checked_add(u32::try_from(table.len() - bytes.0.len()).ok()?)?;
                table = bytes.0;
                SourcePosition { line: line.checked_add(1)?, column: column.checked_add(1)? }
            }
        };
        (identity.lines, identity.ends) = ((at, u32::try_from(table.len()).ok()?), both_ends(table));
        Some(identity)
    }

    /// What a function object itself has as its name.
    fn own_name(self, function: u32) -> Option<Name> {
        let (object, header) = (&self.layout.object, self.layout.header);
        let (shape, values) = (self.word(function, object.shape)?, self.word(function, object.values)?);
        let of_shape = |offset: u32| self.word(shape, header.places_of_shape().checked_add(offset)?);
        let [places, room, count] = [of_shape(0)?.wrapping_add(1), of_shape(4)?, of_shape(8)?];
        (count <= room && (places == 0 || places.is_power_of_two())).then_some(())?;
        let properties = match header {
            Header::Inside => shape::PROPERTIES,
            Header::Before => shape::TABLE.checked_add(places.checked_mul(4)?)?,
        };
        let properties = shape.checked_add(properties)?;
        for index in 0..count.min(MAX_PROPERTIES) {
            let property = properties.checked_add(index * 8)?;
            if self.word(property, 4)? == self.atoms.name {
                let is_plain = self.memory.u32(property)? >> shape::FLAGS & shape::KIND == 0;
                let value = values.checked_add(index * 8)?;
                let is_string = self.word(value, 4)? == tag::STRING;
                return (is_plain && is_string)
                    .then(|| self.atoms.name(self.memory, self.memory.u32(value)?))
                    .flatten();
            }
        }
        None
    }

    /// Whether the table of lines of a function proves that all of it is where it was read: it has one. `None` if that cannot be.
    pub(super) fn is_proven_by(self, identity: &Identity) -> Option<bool> {
        let Identity { start, instructions: (_, length), has_columns, .. } = *identity;
        let lines = self.lines(identity)?;
        is_whole(lines, has_columns, start, length).then_some(!lines.is_empty())
    }

    fn lines(self, identity: &Identity) -> Option<&'m [u8]> {
        let (at, length) = identity.lines;
        self.memory.bytes(at, length as usize)
    }

    /// What is known of a function.
    pub(super) fn function(self, identity: &Identity) -> Option<Function<'m>> {
        let text = |name: Option<Name>| match name {
            Some(name) => self.atoms.text(self.memory, name),
            None => Some(Text::of("")),
        };
        let (instructions, length) = identity.instructions;
        let name = text(identity.name)?;
        let bytes = self.lines(identity)?;
        let format = match identity.has_columns {
            _ if bytes.is_empty() => LineFormat::Start,
            true => LineFormat::QuickJs,
            false => LineFormat::QuickJsLines,
        };
        Some(Function {
            name: if name.bytes == TOP_LEVEL { Text::of("(top level)") } else { name },
            file: text(identity.file)?,
            start: identity.start,
            lines: LineTable { format, bytes },
            source_map: None,
            instructions,
            length: Some(length),
            part_of: PartOf::Program,
        })
    }
}
