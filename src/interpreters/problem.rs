//! Why scripts are not shown.

/// Why the functions of a script are not shown, but only those of its interpreter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InterpreterProblem {
    /// It does not describe itself.
    #[error(
        "this Python does not say where it keeps things, as Python does from 3.13 on; build the component with a newer one"
    )]
    NoTable,
    /// Where a version of Python has which offset is not known.
    #[error("Python {major}.{minor} is not known; those of 3.13, 3.14 and 3.15 are")]
    Version {
        /// As in 3.14: the first number.
        major: u8,
        /// The second number.
        minor: u8,
    },
    /// An alpha, a beta or a candidate may have other tables than the release.
    #[error(
        "this Python is an alpha, a beta or a candidate of a version, whose description of itself may be another than that of the release"
    )]
    BeforeRelease,
    /// Python was built without its global lock, and keeps other things elsewhere.
    #[error("this Python was built without its global lock")]
    FreeThreaded,
    /// What it says of itself cannot be true.
    #[error("what the interpreter has in its memory contradicts itself")]
    Contradiction,
    /// Its evaluation loop was found, but not where that keeps its instance.
    #[error("its evaluation loop was compiled in a way that is not known, so that its memory cannot be found")]
    Code,
    /// Its memory cannot be read.
    #[error(
        "its memory cannot be read where samples are taken, as where memories are protected by keys of the processor's"
    )]
    Memory,
    /// Where this build of SpiderMonkey has what is not known.
    #[error(
        "this build of SpiderMonkey is not known; those of componentize-js 0.18 to 0.23 are, without ahead-of-time compilation"
    )]
    Engine,
    /// Where this build of QuickJS has what is not known.
    #[error(
        "this build of QuickJS is not known; those of Fabrice Bellard from 2020 to 2026 are, and quickjs-ng 0.1 to 0.17"
    )]
    QuickJs,
    /// Memory of guests is not read here.
    #[error("interpreters are read on Linux on x86-64 only")]
    Platform,
}

impl InterpreterProblem {
    /// The language of the scripts, `Python` or `JavaScript`, if the problem says which.
    #[must_use]
    pub const fn language(self) -> Option<&'static str> {
        match self {
            Self::NoTable | Self::Version { .. } | Self::BeforeRelease | Self::FreeThreaded => Some("Python"),
            Self::Engine | Self::QuickJs => Some("JavaScript"),
            Self::Contradiction | Self::Code | Self::Memory | Self::Platform => None,
        }
    }

    /// Any number but zero.
    pub(crate) fn to_bits(self) -> u32 {
        match self {
            Self::NoTable => 1,
            Self::Version { major, minor } => u32::from_le_bytes([2, major, minor, 0]),
            Self::BeforeRelease => 3,
            Self::FreeThreaded => 4,
            Self::Contradiction => 5,
            Self::Code => 6,
            Self::Platform => 7,
            Self::Memory => 8,
            Self::Engine => 9,
            Self::QuickJs => 10,
        }
    }

    /// The problem of a number.
    pub(crate) fn from_bits(bits: u32) -> Option<Self> {
        let [kind, major, minor, _] = bits.to_le_bytes();
        Some(match kind {
            1 => Self::NoTable,
            2 => Self::Version { major, minor },
            3 => Self::BeforeRelease,
            4 => Self::FreeThreaded,
            5 => Self::Contradiction,
            6 => Self::Code,
            7 => Self::Platform,
            8 => Self::Memory,
            9 => Self::Engine,
            10 => Self::QuickJs,
            _ => return None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::InterpreterProblem::{
        BeforeRelease, Code, Contradiction, Engine, FreeThreaded, Memory, NoTable, Platform, QuickJs, Version,
    };
    use super::*;

    #[test]
    fn each_has_a_number() {
        let version = Version { major: 3, minor: 12 };
        let problems =
            [NoTable, version, BeforeRelease, FreeThreaded, Contradiction, Code, Platform, Memory, Engine, QuickJs];
        for problem in problems {
            assert_eq!(InterpreterProblem::from_bits(problem.to_bits()), Some(problem));
        }
        assert_eq!(InterpreterProblem::from_bits(0), None);
    }
}
