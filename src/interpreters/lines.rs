//! Which line of a script an instruction is of.

use super::{Language, python, quickjs, spidermonkey};

/// How an interpreter writes down which instruction is of which line.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum LineFormat {
    /// `co_linetable` of CPython's; instructions are counted in units of two bytes.
    Python,
    /// The source notes of SpiderMonkey's.
    SpiderMonkey,
    /// None: of the function only the place of a call is known, and taken for its start.
    SpiderMonkeyCall,
    /// `pc2line` of QuickJS.
    QuickJs,
    /// The same of versions that have no columns there.
    QuickJsLines,
    /// None: all of a function of JavaScript is where it begins.
    Start,
}

impl LineFormat {
    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Python, Self::SpiderMonkey, Self::SpiderMonkeyCall, Self::QuickJs, Self::QuickJsLines, Self::Start];

    /// Whose it is.
    pub(crate) fn language(self) -> Language {
        match self {
            Self::Python => Language::Python,
            Self::SpiderMonkey | Self::SpiderMonkeyCall | Self::QuickJs | Self::QuickJsLines | Self::Start => {
                Language::JavaScript
            }
        }
    }

    /// Whether nothing is known where there is no table: else all is where the function begins.
    pub(crate) fn needs_table(self) -> bool {
        match self {
            Self::Python | Self::SpiderMonkey | Self::QuickJs | Self::QuickJsLines => true,
            Self::SpiderMonkeyCall | Self::Start => false,
        }
    }

    /// An instruction that is not in its function: no function is so long.
    pub(crate) const NOWHERE: u32 = u32::MAX;

    /// The position of an instruction, given by how many bytes are before it, in a function that begins at `first`; `None` if it has
    /// none.
    pub(crate) fn position(self, table: &[u8], first: SourcePosition, instruction: u32) -> Option<SourcePosition> {
        if instruction == Self::NOWHERE {
            return None;
        }
        match self {
            Self::Python => {
                let line = python::line_of(table, first.line, instruction / 2)?;
                Some(SourcePosition { line, column: 0 })
            }
            Self::SpiderMonkey => spidermonkey::position_of(table, first, instruction),
            Self::SpiderMonkeyCall | Self::Start => Some(first),
            Self::QuickJs | Self::QuickJsLines => {
                quickjs::position_of(table, self == Self::QuickJs, first, instruction)
            }
        }
    }
}

/// A place in the source of a script.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct SourcePosition {
    /// From one.
    pub(crate) line: u32,
    /// From one; zero if it is not known.
    pub(crate) column: u32,
}
