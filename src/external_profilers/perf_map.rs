//! Names for `perf`, which looks for those of generated code in a file of its own for each process.

use std::fs::File;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::added_code::AddedCode;
use super::own_file;
use crate::component::Code;
use crate::error::{Error, Result};
use crate::export::write_perf_map;
use crate::symbols::SymbolMap;

/// The file in which `perf` looks for the names of this process's generated code: `/tmp/perf-PID.map`. On Linux.
///
/// Every function of what is added is there once, with its WIT name. Wasmtime's own (`Config::profiler`) would write to
/// the same file, so only one of the two may be used. The file stays when the process ends, because `perf` reads it later
/// on; what has been added stays loaded as long as this exists, so that no address gets another meaning.
///
/// ```no_run
/// # use wasmtime::component::Component;
/// # use witprof::{PerfMap, SymbolMap};
/// # fn example(component: &Component) -> witprof::Result<PerfMap> {
/// let map = SymbolMap::builder("shop").build(component)?;
/// let mut perf = PerfMap::create()?;
/// perf.add(&map, component)?;
/// # Ok(perf)
/// # }
/// ```
#[derive(Debug)]
pub struct PerfMap {
    path: PathBuf,
    file: File,
    code: AddedCode,
}

impl PerfMap {
    /// Makes the file, readable and writable for its owner only. What an earlier process of the same number and the same
    /// user has left is replaced; nobody else's file is touched, and no link is followed.
    ///
    /// # Errors
    /// [`Error::PerfMap`] if the file cannot be made, for instance because it is somebody else's.
    pub fn create() -> Result<Self> {
        let path = PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
        let file = own_file::create(&path).map_err(|source| Error::PerfMap { path: path.clone(), source })?;
        Ok(Self { path, file, code: AddedCode::default() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds `code` under the names of `map`. One that has been added is not added again.
    ///
    /// # Errors
    /// [`Error::Interpreted`] if it is not machine code, [`Error::GuestDebug`] if stores run copies of it;
    /// [`Error::PerfMap`] if the file cannot be written to.
    pub fn add(&mut self, map: &SymbolMap, code: impl Into<Code>) -> Result<()> {
        let Self { path, file, code: added } = self;
        added.add(map, code.into(), |code| {
            let mut lines = Vec::new();
            write_perf_map(map, code.text().as_ptr().addr() as u64, &mut lines)?;
            file.write_all(&lines).map_err(|source| Error::PerfMap { path: path.clone(), source })
        })
    }
}
