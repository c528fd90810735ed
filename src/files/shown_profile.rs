//! What is shown of a profile.

use std::cell::OnceCell;

use witprof::{HostFrames, Profile};

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
