//! `--host-frames`.

use std::cell::OnceCell;

use clap::ValueEnum;
use witprof::{HostFrames, Profile};

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

/// A profile, and how much of the host is shown of it.
pub(crate) struct ShownProfile<'p> {
    /// All of it, which is what is stored.
    pub(crate) whole: &'p Profile,
    pub(crate) host_frames: HostFrames,
    /// Made when first asked for: whoever stores a profile alone does without the copy.
    shown: OnceCell<Profile>,
}

impl<'p> ShownProfile<'p> {
    pub(crate) fn new(whole: &'p Profile, host_frames: HostFrames) -> Self {
        Self { whole, host_frames, shown: OnceCell::new() }
    }

    /// What is shown.
    pub(crate) fn shown(&self) -> &Profile {
        match self.host_frames {
            HostFrames::All => self.whole,
            host_frames => self.shown.get_or_init(|| self.whole.with_host_frames(host_frames)),
        }
    }
}
