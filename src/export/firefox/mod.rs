//! The Firefox Profiler's processed profile format, version 70, written as it goes: only the tables that stacks refer to are
//! made first. [`fxprof_processed_profile`] has types for some of what is in it, but writes version 55.
//!
//! Layers are categories with a colour each, interfaces are subcategories, and every function has its name, so that the file
//! needs no symbol server.
//!
//! The front-end takes samples to be evenly spaced, and epoch samples are not. So each is weighted with the time it
//! stands for, in milliseconds, and a sample that stands for more than an interval becomes two rows: the front-end draws
//! a stack from its row to the next one, and would otherwise draw the time before a sample under the stack that came
//! before it.
//!
//! Each thread is there more than once, as several [tracks](tracks): with its functions, and stacked by interface function, so
//! that the front-end's flame graph is the breakdown by interface.
//!
//! What the format has no place for, and reading back needs ([`crate::read_firefox`]), is in [`Meta`](crate::firefox_format::Meta).

mod calls;
mod categories;
mod columns;
mod info;
mod markers;
mod memories;
mod meta;
mod shared;
mod tracks;

use std::io::Write;
use std::str::FromStr as _;

use fxprof_processed_profile::debugid::DebugId;
use serde::ser::{Serialize, SerializeMap, Serializer};

use self::columns::column;
use self::info::Info;
use self::shared::Shared;
use self::tracks::Track;
use crate::error::{Error, Result};
use crate::profile::{HostFrames, OtherStacks, Profile, ProfileFunction};
use crate::samples::HostCalls;

/// Writes `profile` as JSON that <https://profiler.firefox.com> opens. All of it is stored; what is shown has stacks as with
/// [`HostFrames::Inner`].
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_firefox(profile: &Profile, out: &mut dyn Write) -> Result<()> {
    write_firefox_with(profile, HostFrames::default(), out)
}

/// The same with a say in what is shown. Where that is not all, tracks with all frames are there too, and hidden at first.
///
/// # Errors
/// As for [`write_firefox`].
pub fn write_firefox_with(profile: &Profile, host_frames: HostFrames, out: &mut dyn Write) -> Result<()> {
    write(profile, host_frames, None, out)
}

/// The same with markers for calls of the host, on the first thread.
///
/// # Errors
/// As for [`write_firefox`].
pub(crate) fn write_with_host_calls(profile: &Profile, host_calls: &HostCalls, out: &mut dyn Write) -> Result<()> {
    write(profile, HostFrames::default(), Some(host_calls), out)
}

fn write(
    profile: &Profile,
    host_frames: HostFrames,
    host_calls: Option<&HostCalls>,
    out: &mut dyn Write,
) -> Result<()> {
    let shown = profile.other_stacks(host_frames);
    let written = serde_json::to_writer(out, &Document::new(profile, shown.as_ref(), host_calls));
    written.map_err(|source| Error::Write { format: "Firefox", source: source.into() })
}

/// There is one process. The front-end shows the number of any other.
const PID: &str = "0";

/// A document: everything but the rows of samples, which are made while it is written.
struct Document<'p> {
    profile: &'p Profile,
    host_calls: Option<&'p HostCalls>,
    shared: Shared<'p>,
    /// Those of the profile, and what stands for others.
    functions: &'p [ProfileFunction],
    tracks: Vec<Track<'p>>,
    /// Position of the track that is selected at first.
    selected: usize,
}

impl<'p> Document<'p> {
    fn new(profile: &'p Profile, shown: Option<&'p OtherStacks>, host_calls: Option<&'p HostCalls>) -> Self {
        let libraries = shown.map_or(profile.libraries(), |shown| &shown.libraries);
        let functions = shown.map_or(profile.functions(), |shown| &shown.functions);
        let shared = Shared::new(libraries);
        let mut document = Self { profile, host_calls, shared, functions, tracks: Vec::new(), selected: 0 };
        let stacks = document.add_tracks(shown);
        document.growth_markers(&stacks);
        document.selected = document.selected_track();
        document.call_and_span_markers(&stacks);
        document.label_markers();
        if let Some(calls) = host_calls {
            document.host_call_markers(calls);
        }
        document
    }
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("meta", &Info::new(self))?;
        map.serialize_entry("libs", &self.shared.library_infos())?;
        map.serialize_entry("shared", &self.shared)?;
        map.serialize_entry("threads", &column(|| self.tracks.iter()))?;
        map.serialize_entry("counters", &self.counters())?;
        map.serialize_entry("pages", &[] as &[()])?;
        map.end()
    }
}

/// Tells libraries from each other, which may have equal names.
fn library_id(index: usize) -> DebugId {
    DebugId::from_str(&format!("{index:032x}1")).unwrap_or_default()
}
