//! Keeps hostile debug info from exhausting stack, memory or time.
//!
//! `addr2line` is made for debug info of compilers. It calls itself for each function that is inlined into another, of
//! which debug info can say in a byte that there is one more; and it writes out what units, lists and tables share, which
//! can make gigabytes of kilobytes. So before it reads a module, the module is gone through here once, without recursion and
//! without keeping anything, and what is beyond any compiler is refused.

use addr2line::gimli::{
    AbbreviationsCacheStrategy, AttributeValue, DW_AT_ranges, DW_TAG_inlined_subroutine, DW_TAG_subprogram, Dwarf,
    Error, Reader, Section as _, UnitHeader, UnitRef,
};
use rustc_hash::FxHashSet;

/// More units than a compiler makes; each takes half a kilobyte.
const MAX_UNITS: u32 = 200_000;

/// Entries and attributes of all tables of abbreviations, of 16 bytes each.
const MAX_ABBREVIATIONS: u64 = 4_000_000;

/// Ranges of addresses of all units and functions, of 32 bytes each.
const MAX_RANGES: u64 = 4_000_000;

/// Bytes of the paths of all files of all units.
const MAX_PATHS: u64 = 512 << 20;

/// How often the program of a table of lines may be used, on average.
const MAX_SHARED_LINES: u64 = 2;

/// Functions inlined into each other more often than this. The deepest seen in real programs are of some dozens.
const MAX_INLINED: usize = 250;

/// What has not been used up.
#[derive(Clone)]
struct Budget {
    units: u32,
    abbreviations: u64,
    ranges: u64,
    paths: u64,
    line_programs: u64,
    /// Functions, also those that are inlined; as many as there are bytes.
    functions: u64,
    /// Tables of abbreviations that were gone through, by offset.
    tables: FxHashSet<u64>,
}

/// Debug info that may be read.
pub(super) struct Within {
    /// How many bytes `addr2line` takes for it, at most: when all was asked for.
    pub(super) memory: u64,
    /// The first unit that cannot be read; others may.
    pub(super) damage: Option<Error>,
}

/// Why something is not read.
enum Problem {
    /// Nothing of it may be read.
    Beyond(String),
    /// A unit that cannot be read; others may.
    Damaged(Error),
}

/// Goes through the units of a module, and makes them share their tables of abbreviations, of which each would have a copy.
///
/// # Errors
/// What is more than any compiler makes of it: nothing of the module may be read.
pub(super) fn check<R: Reader<Offset = usize>>(dwarf: &mut Dwarf<R>) -> Result<Within, String> {
    let bytes = dwarf.debug_line.reader().len();
    let full = Budget {
        units: MAX_UNITS,
        abbreviations: MAX_ABBREVIATIONS,
        ranges: MAX_RANGES,
        paths: MAX_PATHS,
        line_programs: length(bytes).saturating_mul(MAX_SHARED_LINES),
        functions: length(dwarf.debug_info.reader().len()),
        tables: FxHashSet::default(),
    };
    let mut left = full.clone();
    let mut damage = None;
    each_unit(dwarf, &mut damage, |header| left.abbreviations(dwarf, &header))?;
    dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::All);
    each_unit(dwarf, &mut damage, |header| left.check(dwarf, header))?;
    Ok(Within { memory: full.used(&left), damage })
}

/// Calls `check` for each unit. What is damaged is noted, and gone over.
fn each_unit<R: Reader<Offset = usize>>(
    dwarf: &Dwarf<R>,
    damage: &mut Option<Error>,
    mut check: impl FnMut(UnitHeader<R>) -> Result<(), Problem>,
) -> Result<(), String> {
    let mut headers = dwarf.units();
    loop {
        let checked = match headers.next() {
            Ok(Some(header)) => check(header),
            Ok(None) => return Ok(()),
            Err(error) => {
                damage.get_or_insert(error);
                return Ok(());
            }
        };
        match checked {
            Ok(()) => {}
            Err(Problem::Damaged(error)) => {
                damage.get_or_insert(error);
            }
            Err(Problem::Beyond(problem)) => return Err(problem),
        }
    }
}

fn beyond(what: &str) -> Problem {
    Problem::Beyond(format!("it has more {what} than any compiler makes"))
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        Self::Damaged(error)
    }
}

impl Budget {
    /// How many bytes it takes to keep what was used up.
    fn used(&self, left: &Self) -> u64 {
        const UNIT: u64 = 512;
        const ABBREVIATION: u64 = 16;
        const RANGE: u64 = 32;
        const FUNCTION: u64 = 128;
        /// A program makes at most one row for each of its bytes.
        const ROW: u64 = 24;
        let used = [
            (u64::from(self.units - left.units), UNIT),
            (self.abbreviations - left.abbreviations, ABBREVIATION),
            (self.ranges - left.ranges, RANGE),
            (self.paths - left.paths, 1),
            (self.line_programs - left.line_programs, ROW),
            (self.functions - left.functions, FUNCTION),
        ];
        used.into_iter().fold(0, |sum, (count, bytes)| sum.saturating_add(count.saturating_mul(bytes)))
    }

    fn check<R: Reader<Offset = usize>>(&mut self, dwarf: &Dwarf<R>, header: UnitHeader<R>) -> Result<(), Problem> {
        let unit = dwarf.unit(header)?;
        let unit = unit.unit_ref(dwarf);
        self.lines(unit)?;
        let mut ranges = dwarf.unit_ranges(&unit)?;
        while ranges.next()?.is_some() {
            self.ranges = self.ranges.checked_sub(1).ok_or_else(|| beyond("ranges"))?;
        }
        self.entries(unit)
    }

    /// Counts a unit and its table of abbreviations, which is read whole for the first unit that uses it.
    fn abbreviations<R: Reader<Offset = usize>>(
        &mut self,
        dwarf: &Dwarf<R>,
        header: &UnitHeader<R>,
    ) -> Result<(), Problem> {
        self.units = self.units.checked_sub(1).ok_or_else(|| beyond("units"))?;
        let offset = header.debug_abbrev_offset().0;
        if !self.tables.insert(length(offset)) {
            return Ok(());
        }
        let mut input = dwarf.debug_abbrev.reader().clone();
        input.skip(offset)?;
        // Code, tag and whether it has children; then pairs of name and form, with a value behind some, and a pair of zeros.
        while !input.is_empty() && input.read_uleb128()? != 0 {
            input.read_uleb128()?;
            input.read_u8()?;
            loop {
                self.abbreviations = self.abbreviations.checked_sub(1).ok_or_else(|| beyond("abbreviations"))?;
                let (name, form) = (input.read_uleb128()?, input.read_uleb128()?);
                if form == IMPLICIT_CONST {
                    input.read_sleb128()?;
                }
                if (name, form) == (0, 0) {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Counts what a table of lines becomes: the path of each file, written out, and the rows that its program makes.
    fn lines<R: Reader<Offset = usize>>(&mut self, unit: UnitRef<'_, R>) -> Result<(), Problem> {
        let Some(program) = &unit.line_program else { return Ok(()) };
        let header = program.header();
        let program = length(header.raw_program_buf().len());
        self.line_programs = self.line_programs.checked_sub(program).ok_or_else(|| beyond("lines"))?;
        let string = |value: &AttributeValue<R>| Ok::<_, Error>(length(unit.attr_string(value.clone())?.len()));
        let mut folder = unit.comp_dir.as_ref().map_or(0, |folder| length(folder.len()));
        for directory in header.include_directories() {
            folder = folder.max(string(directory)?);
        }
        let around = folder.saturating_mul(2);
        for file in header.file_names() {
            let path = around.saturating_add(string(&file.path_name())?);
            self.paths = self.paths.checked_sub(path).ok_or_else(|| beyond("bytes of paths"))?;
        }
        Ok(())
    }

    /// Counts the ranges of functions, and how deep they are inlined into each other.
    fn entries<R: Reader<Offset = usize>>(&mut self, unit: UnitRef<'_, R>) -> Result<(), Problem> {
        let mut entries = unit.entries_raw(None)?;
        // At which depths the inlined functions are that this entry is inside of.
        let mut inlined: Vec<isize> = Vec::new();
        while !entries.is_empty() {
            let depth = entries.next_depth();
            while inlined.last().is_some_and(|outer| *outer >= depth) {
                inlined.pop();
            }
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let tag = abbreviation.tag();
            if tag == DW_TAG_inlined_subroutine {
                inlined.push(depth);
                if inlined.len() > MAX_INLINED {
                    return Err(beyond("functions inlined into each other"));
                }
            }
            let is_function = tag == DW_TAG_inlined_subroutine || tag == DW_TAG_subprogram;
            if is_function {
                self.functions = self.functions.checked_sub(1).ok_or_else(|| beyond("functions"))?;
            }
            if !is_function || abbreviation.attributes().iter().all(|attribute| attribute.name() != DW_AT_ranges) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            for attribute in abbreviation.attributes() {
                let attribute = entries.read_attribute(*attribute)?;
                if attribute.name() != DW_AT_ranges {
                    continue;
                }
                let Some(mut ranges) = unit.attr_ranges(attribute.value())? else { continue };
                while ranges.next()?.is_some() {
                    self.ranges = self.ranges.checked_sub(1).ok_or_else(|| beyond("ranges"))?;
                }
            }
        }
        Ok(())
    }
}

/// `DW_FORM_implicit_const`, the one form whose value is in the abbreviation.
const IMPLICIT_CONST: u64 = 0x21;

fn length(bytes: usize) -> u64 {
    bytes as u64
}

#[cfg(test)]
mod tests {
    use addr2line::gimli::{EndianSlice, LittleEndian, SectionId};

    use super::*;

    type Sections = Vec<(SectionId, Vec<u8>)>;

    /// A unit of version 4 with these entries.
    fn unit(entries: &[u8]) -> Vec<u8> {
        // Version, offset of abbreviations, size of addresses.
        let mut unit = vec![4, 0, 0, 0, 0, 0, 4];
        unit.extend(entries);
        let mut bytes = u32::try_from(unit.len()).expect("short").to_le_bytes().to_vec();
        bytes.extend(unit);
        bytes
    }

    /// A unit with functions that are inlined into each other `depth` deep.
    fn nested(depth: usize) -> Sections {
        // Unit, function and inlined function, all with children and without attributes.
        let abbreviations = vec![1, 0x11, 1, 0, 0, 2, 0x2e, 1, 0, 0, 3, 0x1d, 1, 0, 0, 0];
        let mut entries = vec![1, 2];
        entries.resize(2 + depth, 3);
        entries.resize(entries.len() * 2, 0);
        vec![(SectionId::DebugAbbrev, abbreviations), (SectionId::DebugInfo, unit(&entries))]
    }

    /// Units that share a list of ranges.
    fn sharing_ranges(units: usize, ranges: usize) -> Sections {
        // A unit without children, whose `DW_AT_ranges` is a `DW_FORM_sec_offset`, and whose `DW_AT_low_pc` is an address.
        let abbreviations = vec![1, 0x11, 0, 0x55, 0x17, 0x11, 0x01, 0, 0, 0];
        let info = unit(&[1, 0, 0, 0, 0, 0, 0, 0, 0]).repeat(units);
        let mut list = [1, 0, 0, 0, 2, 0, 0, 0].repeat(ranges);
        list.extend([0; 8]);
        vec![(SectionId::DebugAbbrev, abbreviations), (SectionId::DebugInfo, info), (SectionId::DebugRanges, list)]
    }

    fn problem(sections: &Sections) -> String {
        let section = |id: SectionId| {
            let found = sections.iter().find(|(known, _)| *known == id);
            Ok::<_, Error>(EndianSlice::new(found.map_or(&[][..], |(_, bytes)| bytes), LittleEndian))
        };
        match check(&mut Dwarf::load(section).expect("no section fails")) {
            Ok(Within { damage: None, .. }) => String::new(),
            Ok(Within { damage: Some(error), .. }) => format!("damaged: {error}"),
            Err(problem) => problem,
        }
    }

    #[test]
    fn what_no_compiler_makes_is_refused() {
        assert_eq!(problem(&Vec::new()), "");
        assert_eq!(problem(&nested(MAX_INLINED)), "");
        let deep = "it has more functions inlined into each other than any compiler makes";
        assert_eq!(problem(&nested(MAX_INLINED + 1)), deep);
        assert_eq!(problem(&nested(10_000_000)), deep, "found without recursion");
        assert_eq!(problem(&sharing_ranges(10, 1000)), "");
        assert_eq!(problem(&sharing_ranges(1000, 10_000)), "it has more ranges than any compiler makes");
        // 200,001 units of 11 bytes.
        let units = vec![(SectionId::DebugAbbrev, vec![0]), (SectionId::DebugInfo, unit(&[]).repeat(200_001))];
        assert_eq!(problem(&units), "it has more units than any compiler makes");
        let abbreviation: Vec<u8> = [1, 0x11, 0].into_iter().chain([3, 8].repeat(4_000_001)).collect();
        let table = vec![(SectionId::DebugAbbrev, abbreviation), (SectionId::DebugInfo, unit(&[1]))];
        assert_eq!(problem(&table), "it has more abbreviations than any compiler makes");
    }

    #[test]
    fn damage_is_told_apart() {
        let mut sections = nested(3);
        sections[0].1 = vec![9, 0x11, 1, 0, 0, 0];
        assert!(problem(&sections).starts_with("damaged: "), "{}", problem(&sections));
    }
}
