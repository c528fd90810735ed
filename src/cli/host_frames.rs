//! `--host-frames`.

use clap::ValueEnum;
use witprof::HostFrames;

/// Which frames of the host are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum HostFramesChoice {
    /// All that were seen: the program, its executor, Wasmtime, and what they call
    All,
    /// Stacks begin where the guest is entered; one frame stands for what the host does for it
    #[default]
    Inner,
    /// None: what calls the host has its time
    None,
}

impl From<HostFramesChoice> for HostFrames {
    fn from(choice: HostFramesChoice) -> Self {
        match choice {
            HostFramesChoice::All => Self::All,
            HostFramesChoice::Inner => Self::Inner,
            HostFramesChoice::None => Self::None,
        }
    }
}
