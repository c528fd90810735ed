//! Where the process's own code is from.

use std::path::PathBuf;

/// An address of the process, as one of a file.
#[derive(Clone, Debug)]
pub(crate) struct HostPlace {
    /// The file.
    pub(crate) path: PathBuf,
    /// Address inside of the file, as its symbols count.
    pub(crate) offset: u64,
}
