//! Reads the debug info of one core module.

use std::convert::Infallible;
use std::sync::Mutex;

use addr2line::Context;
use addr2line::gimli::{AbbreviationsCacheStrategy, Dwarf, EndianSlice, Error, LittleEndian, SectionId};

use super::known::{Known, MAX_TEXT};
use super::limits;
use super::paths::PathMap;
use super::sections::ModuleSections;
use super::trust::Bodies;
use super::{SourceFrame, SourceLocation};
use crate::lock::lock;

type Bytes<'a> = EndianSlice<'a, LittleEndian>;

/// How far to look for a line, in bytes of WebAssembly.
const NEAR: u64 = 24;

/// What has to be known of the debug info of a module before it is read. Found out once.
#[derive(Default)]
pub(super) struct Checked {
    /// Whether it stays within what compilers make.
    is_within_limits: bool,
    /// How many bytes reading all of it takes, at most.
    memory: usize,
    /// The section of units without those that are not believed; nothing if all are.
    units: Option<Box<[u8]>>,
    /// The functions that are believed; nothing if all are.
    bodies: Option<Bodies>,
}

/// What is said of the debug info of a module when it is checked.
#[derive(Default)]
pub(super) struct Findings {
    /// The first thing that cannot be read.
    pub(super) damage: Option<String>,
    /// The units that are of other code: how many, of how many, and what one of them is called.
    pub(super) stale: Option<(usize, usize, String)>,
}

impl Checked {
    /// Goes through the debug info of a module once. `bytes` are those that the sections are in, and `code` is the contents of
    /// the module's code section, if that is known.
    pub(super) fn new(bytes: &[u8], sections: &ModuleSections, code: Option<&[u8]>) -> (Self, Findings) {
        let mut findings = Findings::default();
        let mut dwarf = load(bytes, sections, None);
        let memory = match limits::check(&mut dwarf) {
            Ok(limits::Within { memory, damage }) => {
                findings.damage = damage.map(|error| error.to_string());
                memory
            }
            Err(beyond) => {
                findings.damage = Some(beyond);
                return (Self::default(), findings);
            }
        };
        let mut checked =
            Self { is_within_limits: true, memory: usize::try_from(memory).unwrap_or(usize::MAX), ..Self::default() };
        // An image does not have the code that was compiled.
        let Some(mut bodies) = code.and_then(Bodies::read) else { return (checked, findings) };
        let stale = bodies.judge(&dwarf);
        if !stale.first_entries.is_empty() {
            let mut units = section(bytes, sections, SectionId::DebugInfo).to_vec();
            for entry in &stale.first_entries {
                // An entry of the kind 0 is none, and a unit without one is gone over.
                units.get_mut(*entry).into_iter().for_each(|kind| *kind = 0);
            }
            let name = stale.name.as_deref().and_then(|name| name.rsplit(['/', '\\']).next()).unwrap_or_default();
            let name = name[..name.floor_char_boundary(MAX_TEXT)].to_owned();
            findings.stale = Some((stale.first_entries.len(), stale.units, name));
            checked.units = Some(units.into_boxed_slice());
        }
        checked.bodies = stale.is_partly.then_some(bodies);
        (checked, findings)
    }

    /// How many bytes reading the module takes, at most.
    pub(super) fn memory(&self) -> usize {
        self.memory
    }
}

fn section<'a>(bytes: &'a [u8], sections: &ModuleSections, id: SectionId) -> &'a [u8] {
    sections.section(id).and_then(|range| bytes.get(range)).unwrap_or_default()
}

/// Puts sections together, with other units than those in `bytes` if there are any.
fn load<'a>(bytes: &'a [u8], sections: &ModuleSections, units: Option<&'a [u8]>) -> Dwarf<Bytes<'a>> {
    let found = |id: SectionId| {
        let units = units.filter(|_| id == SectionId::DebugInfo);
        Ok::<_, Infallible>(EndianSlice::new(units.unwrap_or_else(|| section(bytes, sections, id)), LittleEndian))
    };
    let Ok(dwarf) = Dwarf::load(found);
    dwarf
}

/// The debug info of a module, open for questions. What an answer needs is read when it is asked for, and kept.
pub(super) struct Reader<'a> {
    context: Context<Bytes<'a>>,
    checked: &'a Checked,
}

impl<'a> Reader<'a> {
    /// Opens a module. Nothing if that is beyond the limits.
    pub(super) fn new(bytes: &'a [u8], sections: &ModuleSections, checked: &'a Checked) -> Result<Option<Self>, Error> {
        if !checked.is_within_limits {
            return Ok(None);
        }
        let mut dwarf = load(bytes, sections, checked.units.as_deref());
        // Units share their tables of abbreviations, of which each would have a copy.
        dwarf.populate_abbreviations_cache(AbbreviationsCacheStrategy::All);
        Ok(Some(Self { context: Context::from_dwarf(dwarf)?, checked }))
    }

    /// The functions at an address, counted from the start of the code section's contents; the innermost first. Names and
    /// paths are put into `known`, and damage is told to `damaged`.
    pub(super) fn frames_at(
        &self,
        address: u64,
        paths: &PathMap,
        known: &Mutex<Known>,
        damaged: impl Fn(&Error),
    ) -> Option<Vec<SourceFrame>> {
        if !self.is_believed(address) {
            return None;
        }
        let at = |address| self.frames(address, paths, known).map_err(|error| damaged(&error)).ok();
        let frames = at(address)?;
        if frames.first().is_none_or(|innermost| innermost.location.is_some()) {
            return Some(frames);
        }
        // Code that is for no line in particular, such as a loop's beginning, goes by the nearest that is for one.
        let after = (1..=NEAR).map(|distance| address + distance);
        let before = (1..=NEAR).filter_map(|distance| address.checked_sub(distance));
        let names = |frames: &[SourceFrame]| frames.iter().map(|frame| frame.function.clone()).collect::<Vec<_>>();
        let has_line = |near: &[SourceFrame]| near.first().is_some_and(|innermost| innermost.location.is_some());
        let is_meant = |near: &Vec<SourceFrame>| has_line(near) && names(near) == names(&frames);
        after.chain(before).filter_map(at).find(is_meant).or(Some(frames))
    }

    /// The path of the file, as it is, and the line at an address, without what is known of its function.
    pub(super) fn line_at(&self, address: u64) -> Option<(&str, u32)> {
        if !self.is_believed(address) {
            return None;
        }
        let location = self.context.find_location(address).ok()??;
        let line = location.line.filter(|line| *line > 0)?;
        Some((location.file.filter(|path| path.len() <= MAX_TEXT)?, line))
    }

    fn is_believed(&self, address: u64) -> bool {
        self.checked.bodies.as_ref().is_none_or(|bodies| bodies.is_believed(address))
    }

    fn frames(&self, address: u64, paths: &PathMap, known: &Mutex<Known>) -> Result<Vec<SourceFrame>, Error> {
        let mut found = self.context.find_frames(address).skip_all_loads()?;
        let unit = self.context.find_dwarf_and_unit(address).skip_all_loads();
        let folder = unit.and_then(|unit| unit.comp_dir).filter(|folder| folder.len() <= MAX_TEXT);
        let folder = folder.map(|folder| folder.to_string_lossy()).unwrap_or_default();
        let mut frames = Vec::new();
        while let Some(frame) = found.next()? {
            let mut known = lock(known);
            let function = frame.function.as_ref().and_then(|name| name.raw_name().ok()).map(|name| known.text(&name));
            let location = frame.location.and_then(|location| {
                let path = location.file.filter(|path| path.len() <= MAX_TEXT)?;
                // A line of 0 means that no line is to blame.
                let line = location.line.filter(|line| *line > 0)?;
                Some(SourceLocation {
                    file: known.text(&paths.shown(path, &folder)),
                    line,
                    column: location.column.filter(|column| *column > 0),
                })
            });
            frames.push(SourceFrame { function, location });
        }
        Ok(frames)
    }
}
