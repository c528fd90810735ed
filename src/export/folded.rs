//! Folded stacks: the text format of Brendan Gregg's `flamegraph.pl`, which most flame graph tools read.

use std::io::{self, Write};
use std::time::Duration;

use super::escape::escape_name;
use crate::error::{Error, Result};
use crate::profile::{Dimension, Profile, Tree};

/// Writes a line for each stack: its frames, outermost first and separated by `;`, and the microseconds of wall-clock time
/// it stands for. Frames are interface functions, libraries or functions; where they are interface functions, boundary
/// and blocked time are frames of their own. Semicolons in names become commas, and what a terminal would obey is escaped.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_folded(profile: &Profile, by: Dimension, out: &mut dyn Write) -> Result<()> {
    each_line(profile, by, &mut |stack, microseconds| writeln!(out, "{stack} {microseconds}"))
        .map_err(|source| Error::Write { format: "folded", source })
}

/// Calls `each` with every stack and its microseconds.
pub(super) fn each_line(
    profile: &Profile,
    by: Dimension,
    each: &mut dyn FnMut(&str, u128) -> io::Result<()>,
) -> io::Result<()> {
    let tree = Tree::new(profile, by);
    if !tree.root_time().is_zero() {
        let name = crate::profile::NO_INTERFACE;
        each(name, rounded(tree.root_time()))?;
    }
    let names: Vec<String> = tree.nodes().map(|(_, label, _)| frame_name(&tree.name(label))).collect();
    let parents: Vec<u32> = tree.nodes().map(|(parent, _, _)| parent).collect();
    let mut path = Vec::new();
    for ((_, _, own), index) in tree.nodes().zip(1_u32..) {
        if own.is_zero() {
            continue;
        }
        path.clear();
        let mut at = index;
        // Nodes are numbered from 1; 0 is the root.
        while let Some(position) = at.checked_sub(1) {
            path.push(names[position as usize].as_str());
            at = parents[position as usize];
        }
        if path.len() == 1 && path[0].starts_with('(') {
            path.push(crate::profile::NO_INTERFACE);
        }
        path.reverse();
        each(&path.join(";"), rounded(own))?;
    }
    Ok(())
}

fn rounded(time: Duration) -> u128 {
    (time.as_nanos() + 500) / 1000
}

/// The name of a frame, as it can be told from the next one.
pub(super) fn frame_name(name: &str) -> String {
    let name = escape_name(name).replace(';', ",");
    if name.is_empty() { "(no name)".to_owned() } else { name }
}
