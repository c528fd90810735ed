//! Keeps hostile debug info from exhausting the stack.
//!
//! `addr2line` calls itself for each function that is inlined into another, and debug info can say in a byte that one more
//! is. So before it reads a unit, the unit is gone through here, without recursion.

use std::cell::OnceCell;
use std::sync::Arc;

use addr2line::gimli::{DW_TAG_inlined_subroutine, Dwarf, Error, Reader, Unit};

/// Units with functions inlined into each other more often than this are not read. The deepest seen in real programs are of
/// some dozens.
pub(super) const MAX_INLINED: usize = 500;

/// How deep the functions of each unit of a module are inlined.
pub(super) struct Nesting<R: Reader> {
    dwarf: Arc<Dwarf<R>>,
    units: Vec<UnitNesting<R>>,
    /// Where code of a unit is: begin, end, and position in `units`.
    ranges: Vec<(u64, u64, usize)>,
    problem: Option<Error>,
}

struct UnitNesting<R: Reader> {
    header: addr2line::gimli::UnitHeader<R>,
    /// Whether it does not say where its code is.
    is_anywhere: bool,
    /// Once it was gone through.
    is_shallow: OnceCell<bool>,
}

impl<R: Reader> Nesting<R> {
    /// Reads where the code of each unit is.
    pub(super) fn new(dwarf: Arc<Dwarf<R>>) -> Result<Self, Error> {
        let (mut units, mut ranges, mut problem) = (Vec::new(), Vec::new(), None);
        let mut headers = dwarf.units();
        while let Some(header) = headers.next()? {
            let before = ranges.len();
            let mut read = || {
                let unit = dwarf.unit(header.clone())?;
                let mut found = dwarf.unit_ranges(&unit)?;
                while let Some(range) = found.next()? {
                    ranges.push((range.begin, range.end, units.len()));
                }
                Ok(())
            };
            // What cannot be read here, cannot be read later either, and nobody would say so.
            if let Err(error) = read() {
                problem.get_or_insert(error);
            }
            units.push(UnitNesting { header, is_anywhere: ranges.len() == before, is_shallow: OnceCell::new() });
        }
        Ok(Self { dwarf, units, ranges, problem })
    }

    /// Why the code of the first such unit is not known.
    pub(super) fn problem(&self) -> Option<Error> {
        self.problem
    }

    /// Whether every unit that may have code at `address` can be read.
    pub(super) fn is_shallow(&self, address: u64) -> bool {
        let there = self.ranges.iter().filter(|(begin, end, _)| (*begin..*end).contains(&address));
        let there = there.map(|(_, _, unit)| &self.units[*unit]);
        let anywhere = self.units.iter().filter(|unit| unit.is_anywhere);
        there.chain(anywhere).all(|unit| {
            *unit.is_shallow.get_or_init(|| {
                // What cannot be read is left to whoever reads it in earnest.
                self.dwarf.unit(unit.header.clone()).and_then(|unit| is_shallow(&unit)).unwrap_or(true)
            })
        })
    }
}

fn is_shallow<R: Reader>(unit: &Unit<R>) -> Result<bool, Error> {
    let mut entries = unit.entries_raw(None)?;
    // At which depths the inlined functions are that this entry is inside of.
    let mut inlined: Vec<isize> = Vec::new();
    while !entries.is_empty() {
        let depth = entries.next_depth();
        while inlined.last().is_some_and(|outer| *outer >= depth) {
            inlined.pop();
        }
        let Some(abbreviation) = entries.read_abbreviation()? else { continue };
        if abbreviation.tag() == DW_TAG_inlined_subroutine {
            inlined.push(depth);
            if inlined.len() > MAX_INLINED {
                return Ok(false);
            }
        }
        entries.skip_attributes(abbreviation.attributes())?;
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use addr2line::gimli::{EndianSlice, LittleEndian, SectionId};

    use super::*;

    /// A unit with a function, inlined into each other `depth` deep.
    fn nested(depth: usize) -> Vec<(SectionId, Vec<u8>)> {
        // Unit, function and inlined function, all with children and without attributes; the unit has no addresses.
        let abbreviations = vec![1, 0x11, 1, 0, 0, 2, 0x2e, 1, 0, 0, 3, 0x1d, 1, 0, 0, 0];
        let mut entries = vec![1, 2];
        entries.resize(2 + depth, 3);
        entries.resize(entries.len() * 2, 0);
        // Version 4, offset of abbreviations, size of addresses.
        let mut unit = vec![4, 0, 0, 0, 0, 0, 4];
        unit.extend(entries);
        let mut info = u32::try_from(unit.len()).expect("short").to_le_bytes().to_vec();
        info.extend(unit);
        vec![(SectionId::DebugAbbrev, abbreviations), (SectionId::DebugInfo, info)]
    }

    fn is_shallow_at(sections: &[(SectionId, Vec<u8>)]) -> bool {
        let section = |id: SectionId| {
            let found = sections.iter().find(|(known, _)| *known == id);
            Ok::<_, Error>(EndianSlice::new(found.map_or(&[][..], |(_, bytes)| bytes), LittleEndian))
        };
        let dwarf = Dwarf::load(section).expect("no section fails");
        Nesting::new(Arc::new(dwarf)).expect("units").is_shallow(5)
    }

    #[test]
    fn what_is_inlined_too_deep_is_found_without_recursion() {
        assert!(is_shallow_at(&nested(1)));
        assert!(is_shallow_at(&nested(MAX_INLINED)));
        assert!(!is_shallow_at(&nested(MAX_INLINED + 1)));
        assert!(!is_shallow_at(&nested(10_000_000)));
        assert!(is_shallow_at(&[]));
    }
}
