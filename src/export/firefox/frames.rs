//! Lines of source code and inlined functions, which `fxprof-processed-profile` 0.8.1 has no place for.
//!
//! The format has columns for both, and fxprof writes them: empty. So fxprof is told of numbers instead of addresses, one
//! for each frame of the profile, and of a symbol for all numbers of a function. While it writes its columns, the numbers
//! tell which row is which frame, and [`FrameColumns`] writes what belongs there: addresses, depths of inlining, lines.
//!
//! Files are numbers as well, behind those of the frames: frames that no stack has, whose name is in the table of strings. A
//! row of the table of functions has one file, and fxprof makes one row of all functions of a library that have the same
//! name. So the file is a part of the name that fxprof is told, and left out when that is written ([`without_mark`]).

use std::rc::Rc;

use fxprof_processed_profile as fxprof;
use rustc_hash::FxHashMap;

use crate::profile::{FileIndex, Frame, FrameIndex, FunctionIndex, LibraryIndex, Profile};
use crate::symbols::FunctionKind;

/// What stands for the frames and files of a profile.
pub(super) struct FrameNumbers {
    /// By frame.
    numbers: Vec<u32>,
    /// By number: frames of the same library, and of the same function, are next to each other.
    frames: Vec<FrameRow>,
    /// By file, in number.
    files: u32,
}

/// What is written for a frame.
#[derive(Clone, Copy)]
struct FrameRow {
    frame: Frame,
    /// Of the function.
    offset: u32,
    size: u32,
    /// The file of the line, or else of the function.
    file: Option<FileIndex>,
    /// How many functions are inlined into each other here.
    depth: u32,
    /// The function that was compiled, of an inlined one.
    compiled: Option<FunctionIndex>,
}

impl FrameNumbers {
    pub(super) fn new(profile: &Profile) -> Self {
        // How deep it is inlined, and into what.
        let mut inlined: Vec<Option<(u32, Option<FunctionIndex>)>> = vec![None; profile.frames().len()];
        let mut of_stack: Vec<(u32, Option<FunctionIndex>)> = Vec::with_capacity(profile.stacks().len());
        for stack in profile.stacks() {
            let function = profile.frames()[stack.frame.index()].function;
            let here = if profile.functions()[function.index()].kind == FunctionKind::Inlined {
                let (depth, compiled) = stack.caller.map_or((0, None), |caller| of_stack[caller.index()]);
                (depth + 1, compiled)
            } else {
                (0, Some(function))
            };
            of_stack.push(here);
            inlined[stack.frame.index()].get_or_insert(here);
        }
        let rows = profile.frames().iter().zip(inlined).map(|(frame, inlined)| {
            let function = &profile.functions()[frame.function.index()];
            let (depth, compiled) = inlined.unwrap_or_default();
            let compiled = compiled.filter(|_| depth > 0);
            let (offset, size) = (function.offset, function.size);
            let file = frame.source.map(|source| source.file).or(function.file);
            FrameRow { frame: *frame, offset, size, file, depth, compiled }
        });
        let library = |row: &FrameRow| profile.functions()[row.frame.function.index()].library;
        let mut rows: Vec<(FrameRow, usize)> = rows.zip(0..).collect();
        rows.sort_by_key(|(row, _)| (library(row), row.frame.function, row.file));
        let mut numbers = vec![0; rows.len()];
        rows.iter().zip(0..).for_each(|((_, frame), number)| numbers[*frame] = number);
        let frames = rows.into_iter().map(|(row, _)| row).collect();
        Self { numbers, frames, files: u32::try_from(profile.files.len()).unwrap_or(u32::MAX) }
    }

    pub(super) fn of_frame(&self, frame: FrameIndex) -> u32 {
        self.numbers[frame.index()]
    }

    /// The file that the row of a frame's function has.
    pub(super) fn file_of(&self, frame: FrameIndex) -> Option<FileIndex> {
        self.get(self.of_frame(frame))?.file
    }

    pub(super) fn of_file(&self, file: FileIndex) -> u32 {
        self.first_file() + file.0
    }

    fn first_file(&self) -> u32 {
        u32::try_from(self.frames.len()).unwrap_or(u32::MAX)
    }

    /// Names for the numbers that frames of a library may have, with marks.
    pub(super) fn symbols(&self, profile: &Profile, library: LibraryIndex) -> Vec<fxprof::Symbol> {
        let mut symbols: Vec<fxprof::Symbol> = Vec::new();
        let mut last = None;
        for (row, number) in self.frames.iter().zip(0..) {
            let function = &profile.functions()[row.frame.function.index()];
            if function.library != library {
                continue;
            }
            match symbols.last_mut() {
                Some(symbol) if last == Some((row.frame.function, row.file)) => {
                    symbol.size = symbol.size.map(|size| size + 1);
                }
                _ => {
                    let name = with_mark(&function.name, row.file);
                    symbols.push(fxprof::Symbol { address: number, size: Some(1), name });
                }
            }
            last = Some((row.frame.function, row.file));
        }
        let files = (0..self.files).map(|file| fxprof::Symbol {
            address: self.of_file(FileIndex(file)),
            size: Some(1),
            name: profile.file(FileIndex(file)).to_owned(),
        });
        symbols.extend(files);
        symbols
    }

    fn get(&self, number: u32) -> Option<&FrameRow> {
        self.frames.get(number as usize)
    }
}

/// Begins what is behind a name. No character, so no text has it but those that are made to harm.
const MARK: char = '\u{fdd0}';

fn with_mark(name: &str, file: Option<FileIndex>) -> String {
    let name = name.replace(MARK, "\u{fffd}");
    file.map_or(name.clone(), |file| format!("{name}{MARK}{}", file.0))
}

/// A name, or the end of one, as it is to be written.
pub(super) fn without_mark(text: &str) -> &str {
    text.rsplit_once(MARK).map_or(text, |(name, _)| name)
}

/// The columns of a thread that are written differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Column {
    FrameAddress,
    FrameInlineDepth,
    FrameFunction,
    FrameSymbol,
    FrameLine,
    FramePosition,
    FunctionName,
    FunctionFile,
    SymbolAddress,
    SymbolSize,
}

impl Column {
    /// The column with this name in this table of a thread.
    pub(super) fn find(table: &str, column: &str) -> Option<Self> {
        Some(match (table, column) {
            ("frameTable", "address") => Self::FrameAddress,
            ("frameTable", "inlineDepth") => Self::FrameInlineDepth,
            ("frameTable", "func") => Self::FrameFunction,
            ("frameTable", "nativeSymbol") => Self::FrameSymbol,
            ("frameTable", "line") => Self::FrameLine,
            ("frameTable", "column") => Self::FramePosition,
            ("funcTable", "name") => Self::FunctionName,
            ("funcTable", "fileName") => Self::FunctionFile,
            ("nativeSymbols", "address") => Self::SymbolAddress,
            ("nativeSymbols", "functionSize") => Self::SymbolSize,
            _ => return None,
        })
    }
}

/// What is known of the tables of a thread while they are written. fxprof writes the table of frames first, then that of
/// functions, then that of symbols, and the columns of each in the order of [`Column`].
pub(super) struct FrameColumns {
    numbers: Rc<FrameNumbers>,
    /// By row of the table of frames: the number.
    rows: Vec<u32>,
    /// By file: its row in the table of functions.
    file_functions: FxHashMap<FileIndex, usize>,
    /// By row of the table of functions.
    function_files: FxHashMap<usize, FileIndex>,
    /// By row of the table of functions: its name, a position in the table of strings.
    names: Vec<u32>,
    /// By function: its row in the table of symbols.
    symbols: FxHashMap<FunctionIndex, u32>,
    /// By row of the table of symbols: the number that it begins with.
    symbol_rows: Vec<u32>,
}

impl FrameColumns {
    pub(super) fn new(numbers: Rc<FrameNumbers>) -> Self {
        Self {
            numbers,
            rows: Vec::new(),
            file_functions: FxHashMap::default(),
            function_files: FxHashMap::default(),
            names: Vec::new(),
            symbols: FxHashMap::default(),
            symbol_rows: Vec::new(),
        }
    }

    /// The tables of another thread follow.
    pub(super) fn next_thread(&mut self) {
        *self = Self::new(Rc::clone(&self.numbers));
    }

    /// What to write in a row of a column, where fxprof writes `value`.
    pub(super) fn value(&mut self, column: Column, row: usize, value: Option<u32>) -> Option<i64> {
        let known = self.rows.get(row).and_then(|number| self.numbers.get(*number)).copied();
        let unchanged = value.map(i64::from);
        match column {
            Column::FrameAddress => {
                let number = value.unwrap_or(u32::MAX);
                self.rows.push(number);
                let address = self.numbers.get(number).map(|row| row.frame.point.lookup_offset().get());
                Some(address.map_or(-1, i64::from))
            }
            Column::FrameInlineDepth => Some(known.map_or(0, |row| row.depth.into())),
            Column::FrameFunction => {
                let function = value? as usize;
                match (known, self.file_of(row)) {
                    (Some(FrameRow { file: Some(file), .. }), _) => {
                        self.function_files.entry(function).or_insert(file);
                    }
                    (None, Some(file)) => {
                        self.file_functions.insert(file, function);
                    }
                    _ => {}
                }
                unchanged
            }
            Column::FrameSymbol => match known {
                // The symbol is that of the function that was compiled, whose frame comes before.
                Some(FrameRow { depth: 1.., compiled, .. }) => {
                    compiled.and_then(|compiled| self.symbols.get(&compiled)).copied().map(i64::from)
                }
                Some(FrameRow { frame, .. }) => {
                    self.symbols.insert(frame.function, value?);
                    unchanged
                }
                None => None,
            },
            // The file is that of the function.
            Column::FrameLine => known?.frame.source.map(|source| source.line.into()),
            Column::FramePosition => known?.frame.source?.column.map(i64::from),
            Column::FunctionName => {
                self.names.push(value?);
                unchanged
            }
            Column::FunctionFile => {
                let file = self.file_functions.get(self.function_files.get(&row)?)?;
                self.names.get(*file).copied().map(i64::from)
            }
            Column::SymbolAddress => {
                let number = value?;
                self.symbol_rows.push(number);
                // Later versions of the format have one symbol for an address, so that of a file, which nothing is in, is
                // not to be where a function begins.
                Some(self.numbers.get(number).map_or(u32::MAX.into(), |row| row.offset.into()))
            }
            Column::SymbolSize => {
                let number = self.symbol_rows.get(row)?;
                self.numbers.get(*number).map(|row| row.size.into())
            }
        }
    }

    /// The file that a row of the table of frames stands for.
    fn file_of(&self, row: usize) -> Option<FileIndex> {
        self.rows.get(row)?.checked_sub(self.numbers.first_file()).map(FileIndex)
    }
}
