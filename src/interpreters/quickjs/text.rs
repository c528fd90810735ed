//! Strings and atoms, as QuickJS calls names.

use super::super::GuestMemory;
use super::super::function::both_ends;
use super::super::text::{Encoding, Text};
use super::layout::{self, runtime};

/// Characters of a name, and of the name of a file, at most: longer ones are cut.
const MAX_CHARACTERS: usize = 256;

/// Places of the table that finds atoms, at least and at most.
const PLACES: std::ops::RangeInclusive<u32> = 64..=1 << 24;

/// Where a runtime has its atoms, and where a string has what.
#[derive(Clone, Copy, Debug)]
pub(super) struct Atoms {
    /// `atom_hash_size` of the runtime.
    pub(super) at: u32,
    /// Where a string has its length, and its characters.
    string: (u32, u32),
    /// What of a hash says that a string is part of another, or elsewhere.
    kinds: u32,
    /// The atom of `name`.
    pub(super) name: u32,
}

/// A string: where it is, its length and its hash with what else is there, how it begins, and how it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Name {
    at: u32,
    length: u32,
    hash: u32,
    ends: (u64, u64),
}

impl Atoms {
    /// Those of the runtime that has its `atom_hash_size` at an address. `None` if there is none.
    pub(super) fn at(memory: GuestMemory<'_>, at: u32) -> Option<Self> {
        has_table(memory, at).then_some(())?;
        let mut atoms = layout::STRINGS.map(|string| Self { at, string, kinds: 0, name: 0 }).into_iter();
        // The first atoms are always the same.
        let mut atoms = atoms.find(|atoms| atoms.begin_as_always(memory))?;
        // Those of keywords are strings of their own; where other bits of the hash are set, those are part of it.
        const KEYWORDS: u32 = 200;
        let hashes = (1..=KEYWORDS).filter_map(|atom| Some(atoms.name(memory, atoms.string_of(memory, atom)?)?.hash));
        atoms.kinds = layout::KINDS & !hashes.fold(0, |all, hash| all | hash);
        atoms.name = (1..=KEYWORDS).find(|atom| atoms.is(memory, *atom, "name"))?;
        Some(atoms)
    }

    /// Whether they are still there.
    pub(super) fn are_in(&self, memory: GuestMemory<'_>) -> bool {
        has_table(memory, self.at) && self.begin_as_always(memory) && self.is(memory, self.name, "name")
    }

    fn begin_as_always(&self, memory: GuestMemory<'_>) -> bool {
        (1..).zip(["null", "false", "true"]).all(|(atom, text)| self.is(memory, atom, text))
    }

    fn is(&self, memory: GuestMemory<'_>, atom: u32, text: &str) -> bool {
        let name = self.string_of(memory, atom).and_then(|string| self.name(memory, string));
        let found = name.and_then(|name| self.text(memory, name));
        found.is_some_and(|found| found.encoding == Encoding::Latin1 && found.bytes == text.as_bytes())
    }

    /// Where the string of an atom is.
    fn string_of(&self, memory: GuestMemory<'_>, atom: u32) -> Option<u32> {
        let word = |offset: u32| memory.u32(self.at.checked_add(offset)?);
        let is_one = atom != 0 && atom < word(runtime::SIZE)?;
        let string = memory.u32(word(runtime::ATOMS)?.checked_add(atom.checked_mul(4)?)?)?;
        (is_one && string != 0 && string & layout::IS_FREE == 0).then_some(string)
    }

    /// What an atom is called: nothing, if it is none, or a number. `None` if it is damaged.
    #[inline]
    pub(super) fn name_of(&self, memory: GuestMemory<'_>, atom: u32) -> Option<Option<Name>> {
        if atom == 0 || atom & layout::IS_NUMBER != 0 {
            return Some(None);
        }
        let name = self.name(memory, self.string_of(memory, atom)?)?;
        (name.hash & layout::ATOM != 0).then_some(Some(name))
    }

    /// A string, if it has its characters itself.
    #[inline]
    pub(super) fn name(&self, memory: GuestMemory<'_>, at: u32) -> Option<Name> {
        let length = at.checked_add(self.string.0)?;
        let (length, hash) = (memory.u32(length)?, memory.u32(length.checked_add(4)?)?);
        (hash & self.kinds == 0).then_some(())?;
        let text = self.characters(memory, at, length)?;
        Some(Name { at, length, hash, ends: both_ends(text.bytes) })
    }

    pub(super) fn text<'m>(&self, memory: GuestMemory<'m>, name: Name) -> Option<Text<'m>> {
        self.characters(memory, name.at, name.length)
    }

    #[inline]
    fn characters<'m>(&self, memory: GuestMemory<'m>, at: u32, length: u32) -> Option<Text<'m>> {
        let encoding = if length & layout::IS_WIDE == 0 { Encoding::Latin1 } else { Encoding::Utf16 };
        let characters = ((length & !layout::IS_WIDE) as usize).min(MAX_CHARACTERS);
        let bytes = memory.bytes(at.checked_add(self.string.1)?, characters * encoding.width())?;
        Some(Text { encoding, bytes })
    }
}

/// Whether a table that finds atoms may be at an address.
#[inline]
pub(super) fn has_table(memory: GuestMemory<'_>, at: u32) -> bool {
    let word = |offset: u32| memory.u32(at.checked_add(offset)?);
    let Some(places) = word(runtime::PLACES).filter(|places| PLACES.contains(places) && places.is_power_of_two())
    else {
        return false;
    };
    let (count, size) = (word(runtime::COUNT), word(runtime::SIZE));
    word(runtime::LIMIT) == Some(2 * places) && count.is_some() && count <= size
}
