//! All names of a map in one allocation.

/// A name in a [`NameTable`]. Valid for the table that made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NameHandle {
    start: u32,
    length: u32,
}

/// Names of functions, appended and never removed. A component with 20,000 functions has about a megabyte of names;
/// one string each would cost as much again in allocations.
#[derive(Debug, Default)]
pub(super) struct NameTable {
    text: String,
}

impl NameTable {
    /// Adds a name. Past 4 GiB of names, which no text section of 4 GiB can need, names come out empty.
    pub(super) fn add(&mut self, name: &str) -> NameHandle {
        let handle = u32::try_from(self.text.len())
            .ok()
            .zip(u32::try_from(name.len()).ok())
            .filter(|(start, length)| start.checked_add(*length).is_some());
        let Some((start, length)) = handle else { return NameHandle { start: 0, length: 0 } };
        self.text.push_str(name);
        NameHandle { start, length }
    }

    /// The name behind a handle of this table.
    pub(super) fn get(&self, handle: NameHandle) -> &str {
        let start = handle.start as usize;
        self.text.get(start..start + handle.length as usize).unwrap_or_default()
    }
}
