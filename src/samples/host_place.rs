//! Where the process's own code is from.

use std::path::PathBuf;

/// An address of the process, as one of a file.
#[derive(Clone, Debug)]
pub(crate) struct HostPlace {
    /// The file.
    pub(crate) path: PathBuf,
    /// Where it is loaded: what addresses of the process are larger by than those inside of the file.
    pub(crate) base: u64,
    /// Address inside of the file, as its symbols count.
    pub(crate) offset: u64,
}
