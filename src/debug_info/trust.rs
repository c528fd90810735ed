//! Whether debug info is of the code that it comes with.
//!
//! Tools that change WebAssembly after it was compiled, such as optimisers, may leave the debug info as it was. Then it still
//! reads well, and gives every instruction the line of another. But it says where each function begins and ends, and the
//! code says so, too. Debug info counts lines from there, so a function is believed if both agree, and a unit if most of
//! its functions are.
//!
//! The size of a function comes before it in WebAssembly. Compilers let a function begin behind that; tools that rewrite debug info
//! may count it in.
//!
//! What is not judged: functions that linkers have left out (their address is 0, or nearly the largest there is), and those in
//! several pieces. A unit without any other is judged by its sequences of lines, of which each begins with a function.
//! Names are no evidence: linkers fold functions that are equal, and compilers add to names.

use std::ops::Range;

use addr2line::gimli::{AttributeValue, DW_AT_high_pc, DW_AT_low_pc, DW_TAG_subprogram, Dwarf, Error, Reader, UnitRef};
use wasmparser::BinaryReader;

/// The bodies of a module's functions, as offsets into the contents of its code section.
pub(super) struct Bodies {
    /// In order.
    bodies: Vec<Body>,
}

/// One function.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Body {
    /// Where a compiler may say that it begins: from its size on, which comes first, to its first instruction.
    begin: Range<u64>,
    /// Behind its last instruction.
    end: u64,
    /// Whether some debug info agrees.
    is_believed: bool,
}

/// Units whose functions are not those of the code.
#[derive(Debug, Default)]
pub(super) struct Stale {
    /// Where each begins in the section of units: its first entry.
    pub(super) first_entries: Vec<usize>,
    /// The name of one of them, as its compiler wrote it.
    pub(super) name: Option<String>,
    /// How many units have functions.
    pub(super) units: usize,
    /// Whether any function is not where it should be, even in a unit that is believed.
    pub(super) is_partly: bool,
}

impl Bodies {
    /// Reads the contents of a code section. `None` if they are damaged.
    pub(super) fn read(code: &[u8]) -> Option<Self> {
        let mut reader = BinaryReader::new(code, 0);
        let count = reader.read_var_u32().ok()?;
        let mut bodies = Vec::new();
        for _ in 0..count {
            let size_at = reader.original_position() as u64;
            let size = reader.read_var_u32().ok()?;
            let start = reader.original_position() as u64;
            let mut body = BinaryReader::new(reader.read_bytes(size as usize).ok()?, 0);
            for _ in 0..body.read_var_u32().ok()? {
                body.read_var_u32().ok()?;
                body.read::<wasmparser::ValType>().ok()?;
            }
            let first = start + body.original_position() as u64;
            bodies.push(Body { begin: size_at..first + 1, end: start + u64::from(size), is_believed: false });
        }
        Some(Self { bodies })
    }

    /// The position of the function around an address.
    fn position(&self, address: u64) -> Option<usize> {
        let at = self.bodies.partition_point(|body| body.begin.start <= address).checked_sub(1)?;
        (address < self.bodies[at].end).then_some(at)
    }

    /// The function that a compiler may say to begin at an address.
    fn beginning_at(&self, address: u64) -> Option<&Body> {
        let body = &self.bodies[self.position(address)?];
        body.begin.contains(&address).then_some(body)
    }

    /// Whether the function around an address is one that debug info agrees with.
    pub(super) fn is_believed(&self, address: u64) -> bool {
        self.position(address).is_some_and(|at| self.bodies[at].is_believed)
    }

    /// Judges all units, and notes which functions are believed.
    pub(super) fn judge<R: Reader<Offset = usize>>(&mut self, dwarf: &Dwarf<R>) -> Stale {
        let mut stale = Stale::default();
        let mut headers = dwarf.units();
        // Damage is told elsewhere.
        while let Ok(Some(header)) = headers.next() {
            let Some(start) = header.debug_info_offset() else { continue };
            let first_entry = start.0 + header.size_of_header();
            let Ok(unit) = dwarf.unit(header) else { continue };
            let unit = unit.unit_ref(dwarf);
            let mut verdict = Verdict::default();
            // A unit that can be read in part is judged by that.
            let _ = self.functions(unit, &mut verdict);
            if verdict.is_silent() {
                let _ = self.sequences(unit, &mut verdict);
            }
            stale.units += usize::from(!verdict.is_silent());
            stale.is_partly |= verdict.disagreeing > 0;
            if verdict.is_against() {
                stale.first_entries.push(first_entry);
                let name = || unit.name.as_ref()?.to_string_lossy().ok().map(|name| name.into_owned());
                stale.name = stale.name.take().or_else(name);
            } else {
                for address in verdict.agreeing {
                    if let Some(at) = self.position(address) {
                        self.bodies[at].is_believed = true;
                    }
                }
            }
        }
        stale
    }

    fn functions<R: Reader<Offset = usize>>(&self, unit: UnitRef<'_, R>, verdict: &mut Verdict) -> Result<(), Error> {
        let mut entries = unit.entries_raw(None)?;
        while !entries.is_empty() {
            let Some(abbreviation) = entries.read_abbreviation()? else { continue };
            let has = |name| abbreviation.attributes().iter().any(|attribute| attribute.name() == name);
            if abbreviation.tag() != DW_TAG_subprogram || !has(DW_AT_low_pc) || !has(DW_AT_high_pc) {
                entries.skip_attributes(abbreviation.attributes())?;
                continue;
            }
            let (mut low, mut high) = (None, None);
            for attribute in abbreviation.attributes() {
                let attribute = entries.read_attribute(*attribute)?;
                if attribute.name() == DW_AT_low_pc {
                    low = unit.attr_address(attribute.value())?;
                } else if attribute.name() == DW_AT_high_pc {
                    high = Some(attribute.value());
                }
            }
            let (Some(low), Some(high)) = (low, high) else { continue };
            let end = match high {
                AttributeValue::Udata(length) => Some(low.saturating_add(length)),
                address => unit.attr_address(address)?,
            };
            let Some(end) = end else { continue };
            if is_left_out(low) || end <= low {
                continue;
            }
            let agrees = self.beginning_at(low).is_some_and(|body| end == body.end);
            verdict.note(low, agrees);
        }
        Ok(())
    }

    fn sequences<R: Reader<Offset = usize>>(&self, unit: UnitRef<'_, R>, verdict: &mut Verdict) -> Result<(), Error> {
        let Some(program) = unit.line_program.clone() else { return Ok(()) };
        let mut rows = program.rows();
        let mut is_first = true;
        while let Some((_, row)) = rows.next_row()? {
            if is_first && !is_left_out(row.address()) {
                let address = row.address();
                verdict.note(address, self.beginning_at(address).is_some());
            }
            is_first = row.end_sequence();
        }
        Ok(())
    }
}

/// Whether a linker says by this address that the function is gone.
fn is_left_out(address: u64) -> bool {
    const NEARLY_LARGEST: u64 = 0xffff_fff0;
    // The first bytes of a code section are the number of functions.
    address == 0 || address >= NEARLY_LARGEST
}

/// What is found of a unit.
#[derive(Default)]
struct Verdict {
    agreeing: Vec<u64>,
    disagreeing: usize,
}

impl Verdict {
    fn note(&mut self, address: u64, agrees: bool) {
        if agrees {
            self.agreeing.push(address);
        } else {
            self.disagreeing += 1;
        }
    }

    fn is_silent(&self) -> bool {
        self.agreeing.is_empty() && self.disagreeing == 0
    }

    fn is_against(&self) -> bool {
        self.disagreeing > self.agreeing.len()
    }
}

#[cfg(test)]
mod tests {
    use addr2line::gimli::{EndianSlice, LittleEndian, SectionId};

    use super::*;

    /// A code section of two functions: bytes 1 to 5, of which the first is the size and the second says that there are no
    /// locals, and bytes 5 to 11.
    const CODE: [u8; 11] = [2, 3, 0, 1, 0x0b, 5, 1, 2, 0x7f, 1, 0x0b];

    /// Debug info of one unit with these functions: where they begin, and how long they are.
    fn judge(functions: &[(u32, u32)]) -> (Stale, [bool; 2]) {
        // A unit with children and a function without, which has a low_pc (an address) and a high_pc (4 bytes).
        let abbreviations = [1, 0x11, 1, 0, 0, 2, 0x2e, 0, 0x11, 0x01, 0x12, 0x06, 0, 0, 0];
        let mut unit = vec![4, 0, 0, 0, 0, 0, 4, 1];
        for (low, length) in functions {
            unit.push(2);
            unit.extend(low.to_le_bytes());
            unit.extend(length.to_le_bytes());
        }
        unit.push(0);
        let mut info = u32::try_from(unit.len()).expect("short").to_le_bytes().to_vec();
        info.extend(unit);
        let section = |id: SectionId| {
            let bytes = match id {
                SectionId::DebugInfo => &info[..],
                SectionId::DebugAbbrev => &abbreviations[..],
                _ => &[],
            };
            Ok::<_, Error>(EndianSlice::new(bytes, LittleEndian))
        };
        let dwarf = Dwarf::load(section).expect("no section fails");
        let mut bodies = Bodies::read(&CODE).expect("valid code");
        let stale = bodies.judge(&dwarf);
        (stale, [bodies.is_believed(2), bodies.is_believed(7)])
    }

    #[test]
    fn bodies_are_read() {
        let bodies = Bodies::read(&CODE).expect("valid code").bodies;
        let body = |begin, end| Body { begin, end, is_believed: false };
        assert_eq!(bodies, [body(1..4, 5), body(5..10, 11)]);
        for length in 0..CODE.len() {
            assert!(Bodies::read(&CODE[..length]).is_none(), "{length}");
        }
    }

    #[test]
    fn functions_that_are_where_the_code_says_are_believed() {
        for functions in [&[(2, 3), (6, 5)][..], &[(1, 4), (5, 6)], &[(2, 3), (6, 5), (0, 7), (u32::MAX, 7)]] {
            let (stale, believed) = judge(functions);
            assert!(stale.first_entries.is_empty() && !stale.is_partly, "{functions:?}: {stale:?}");
            assert_eq!((stale.units, believed), (1, [true, true]));
        }
    }

    #[test]
    fn functions_of_other_code_are_not() {
        // Elsewhere, of another length, in the middle of another, and beyond all.
        for functions in [&[(2, 2), (6, 4)][..], &[(4, 3)], &[(10, 1)], &[(11, 20)], &[(2, 3), (6, 4), (20, 4)]] {
            let (stale, _) = judge(functions);
            assert_eq!(stale.first_entries, [11], "{functions:?}");
        }
        let (stale, believed) = judge(&[(2, 3), (6, 4)]);
        assert!(stale.first_entries.is_empty() && stale.is_partly);
        assert_eq!(believed, [true, false]);
    }

    #[test]
    fn a_unit_that_says_nothing_is_not_judged() {
        let (stale, _) = judge(&[(0, 7), (u32::MAX - 1, 7)]);
        assert!(stale.first_entries.is_empty() && stale.units == 0);
    }

    proptest::proptest! {
        #[test]
        fn no_code_makes_it_panic(code in proptest::collection::vec(0_u8..=255, 0..60), address in 0_u64..100) {
            if let Some(bodies) = Bodies::read(&code) {
                bodies.beginning_at(address);
                bodies.is_believed(address);
            }
        }
    }
}
