//! Names for `perf`, which looks for those of generated code in a file of its own for each process.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use wasmtime::Module;
use wasmtime::component::Component;

use crate::component::CompiledCode;
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
/// let map = SymbolMap::builder("shop").component(component)?;
/// let mut perf = PerfMap::create()?;
/// perf.component(&map, component)?;
/// # Ok(perf)
/// # }
/// ```
#[derive(Debug)]
pub struct PerfMap {
    path: PathBuf,
    file: File,
    /// What has been added.
    code: Vec<CompiledCode>,
}

impl PerfMap {
    /// Makes the file, readable and writable for its owner only. What an earlier process of the same number and the same
    /// user has left is replaced; nobody else's file is touched, and no link is followed.
    ///
    /// # Errors
    /// [`Error::PerfMap`] if the file cannot be made, for instance because it is somebody else's.
    pub fn create() -> Result<Self> {
        let path = PathBuf::from(format!("/tmp/perf-{}.map", std::process::id()));
        let file = create(&path).map_err(|source| Error::PerfMap { path: path.clone(), source })?;
        Ok(Self { path, file, code: Vec::new() })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds `component` under the names of `map`. One that has been added is not added again.
    ///
    /// # Errors
    /// [`Error::Interpreted`] if it is not machine code; [`Error::PerfMap`] if the file cannot be written to.
    pub fn component(&mut self, map: &SymbolMap, component: &Component) -> Result<()> {
        self.add(map, CompiledCode::Component(component.clone()))
    }

    /// The same for a core module that stands alone.
    ///
    /// # Errors
    /// As for [`component`](Self::component).
    pub fn module(&mut self, map: &SymbolMap, module: &Module) -> Result<()> {
        self.add(map, CompiledCode::Module(module.clone()))
    }

    fn add(&mut self, map: &SymbolMap, code: CompiledCode) -> Result<()> {
        if code.engine().is_pulley() {
            return Err(Error::Interpreted { name: map.component().to_owned() });
        }
        let text = |code: &CompiledCode| code.text().as_ptr().addr();
        let start = text(&code);
        if self.code.iter().any(|known| text(known) == start) {
            return Ok(());
        }
        let mut lines = Vec::new();
        write_perf_map(map, start as u64, &mut lines)?;
        io::Write::write_all(&mut self.file, &lines)
            .map_err(|source| Error::PerfMap { path: self.path.clone(), source })?;
        self.code.push(code);
        Ok(())
    }
}

fn create(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt as _;
    // A new file is never a link, nor what a link points to.
    let create = || OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match create() {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            let found = std::fs::symlink_metadata(path)?;
            if !found.is_file() || found.uid() != rustix::process::geteuid().as_raw() {
                return Err(error);
            }
            // The folder lets nobody remove what is another's.
            std::fs::remove_file(path)?;
            create()
        }
        created => created,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overwritten_but_ones_own() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("perf-1.map");
        drop(create(&path).expect("a new file"));
        std::fs::write(&path, "left by an earlier process").expect("writing");
        assert_eq!(create(&path).and_then(|file| file.metadata()).expect("its own").len(), 0);
        assert_eq!(std::fs::metadata(&path).expect("the file").mode() & 0o777, 0o600);
        let (victim, link) = (folder.path().join("victim"), folder.path().join("perf-2.map"));
        std::fs::write(&victim, "precious").expect("writing");
        std::os::unix::fs::symlink(&victim, &link).expect("a link");
        assert!(create(&link).is_err());
        assert_eq!(std::fs::read(&victim).expect("the file"), b"precious");
        let dangling = folder.path().join("perf-3.map");
        std::os::unix::fs::symlink(folder.path().join("nowhere"), &dangling).expect("a link");
        assert!(create(&dangling).is_err());
        assert!(!folder.path().join("nowhere").exists());
    }
}
