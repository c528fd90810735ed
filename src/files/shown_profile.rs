//! What is shown of a profile.

use std::cell::OnceCell;

use witprof::{HostFrames, Profile, ScriptFrames};

use super::command_line::command_line;
use super::sources::Sources;

/// What is shown and kept of profiles that are recorded.
#[derive(Clone, Debug)]
pub(crate) struct Shown {
    pub(crate) host_frames: HostFrames,
    /// What is shown of scripts, if that was said.
    pub(crate) scripts: Option<ScriptFrames>,
    /// Where sources are looked for that a profile is to keep.
    pub(crate) sources: Option<Sources>,
}

impl Shown {
    /// Says in a profile what was run, and adds the sources that it is to keep. Returns one that was not found, if any was not.
    pub(crate) fn complete(&self, profile: &mut Profile) -> Option<String> {
        profile.set_command(command_line());
        self.sources.as_ref()?.embed(profile)
    }

    pub(crate) fn of<'p>(&self, profile: &'p Profile) -> ShownProfile<'p> {
        ShownProfile::new(profile, self.host_frames, self.scripts)
    }
}

/// A profile, and how much of the host and of scripts is shown of it.
pub(crate) struct ShownProfile<'p> {
    profile: &'p Profile,
    pub(crate) host_frames: HostFrames,
    /// If that was said.
    scripts: Option<ScriptFrames>,
    // Made when first asked for: whoever stores a profile alone does without copies.
    whole: OnceCell<Profile>,
    shown: OnceCell<Profile>,
    picture: OnceCell<Profile>,
}

impl<'p> ShownProfile<'p> {
    pub(crate) fn new(profile: &'p Profile, host_frames: HostFrames, scripts: Option<ScriptFrames>) -> Self {
        let (whole, shown, picture) = Default::default();
        Self { profile, host_frames, scripts, whole, shown, picture }
    }

    /// What is stored: all of it, unless scripts or their interpreters were not wanted.
    pub(crate) fn whole(&self) -> &Profile {
        match self.scripts {
            None | Some(ScriptFrames::All) => self.profile,
            Some(scripts) => self.whole.get_or_init(|| self.profile.with_script_frames(scripts)),
        }
    }

    /// What is shown.
    pub(crate) fn shown(&self) -> &Profile {
        match self.host_frames {
            HostFrames::All => self.whole(),
            host_frames => self.shown.get_or_init(|| self.whole().with_host_frames(host_frames)),
        }
    }

    /// What is shown in a picture: of an interpreted program the program, unless something else was said; and of what was captured
    /// for a request that request.
    pub(crate) fn picture(&self) -> &Profile {
        let is_captured = self.profile.captured().is_some_and(|captured| captured.thread.is_some());
        let is_of_scripts = self.scripts.is_none() && self.profile.has_scripts();
        if !is_captured && !is_of_scripts {
            return self.shown();
        }
        self.picture.get_or_init(|| {
            let shown = self.shown().captured_part().unwrap_or_else(|| self.shown().clone());
            if is_of_scripts { shown.with_script_frames(ScriptFrames::Only) } else { shown }
        })
    }
}
