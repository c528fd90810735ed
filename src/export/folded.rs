//! Folded stacks: the text format of Brendan Gregg's `flamegraph.pl`, which most flame graph tools read.

use std::io::{self, Write};
use std::time::Duration;

use super::escape::escape_name;
use super::microseconds;
use crate::error::{Error, Result};
use crate::profile::{Dimension, Profile, Tree};

/// Writes a line for each stack: its frames, outermost first and separated by `;`, and the microseconds of wall-clock time
/// it stands for. Frames are interface functions, libraries or functions; where they are interface functions, boundary,
/// blocked and preempted time are frames of their own. The profiler's own work, if there was any, is a stack of the one frame
/// `profiler`. Semicolons in names become commas, and what a terminal would obey is escaped.
///
/// Frames of the host are those of `profile`: [`Profile::with_host_frames`] says how many it has.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_folded(profile: &Profile, by: Dimension, out: &mut dyn Write) -> Result<()> {
    each_line(profile, by, &mut |stack, microseconds| writeln!(out, "{stack} {microseconds}"))
        .and_then(|()| match profile.profiler_time().wall {
            Duration::ZERO => Ok(()),
            wall => writeln!(out, "profiler {}", microseconds(wall)),
        })
        .map_err(|source| Error::Write { format: "folded", source })
}

/// Calls `each` with every stack and its microseconds.
pub(super) fn each_line(
    profile: &Profile,
    by: Dimension,
    each: &mut dyn FnMut(&str, u64) -> io::Result<()>,
) -> io::Result<()> {
    let tree = Tree::new(profile, by);
    let names: Vec<String> = tree.nodes().map(|(_, label, _)| frame_name(&tree.name(label))).collect();
    for ((_, _, own), node) in tree.nodes().zip(0..).filter(|((_, _, own), _)| !own.is_zero()) {
        let mut path: Vec<&str> = tree.path(node).map(|node| names[node as usize].as_str()).collect();
        path.reverse();
        each(&path.join(";"), microseconds(own))?;
    }
    Ok(())
}

/// The name of a frame, as it can be told from the next one.
pub(super) fn frame_name(name: &str) -> String {
    let name = escape_name(name).replace(';', ",");
    if name.is_empty() { "(no name)".to_owned() } else { name }
}
