//! `--host-frames`.

use std::borrow::Cow;

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
    /// What is shown.
    pub(crate) shown: Cow<'p, Profile>,
    /// What that was made with.
    pub(crate) host_frames: HostFrames,
}

impl<'p> ShownProfile<'p> {
    pub(crate) fn new(whole: &'p Profile, host_frames: HostFrames) -> Self {
        let shown = match host_frames {
            HostFrames::All => Cow::Borrowed(whole),
            _ => Cow::Owned(whole.with_host_frames(host_frames)),
        };
        Self { whole, shown, host_frames }
    }
}
