//! Other profilers, which are told the names of what runs.

use std::path::PathBuf;

use anyhow::Result;
use witprof::{Code, SymbolMap};

/// Which other profilers are to know the names.
#[derive(Clone, Debug, Default)]
pub(crate) struct ExternalProfilers {
    /// `perf`, and whoever reads its maps.
    pub(crate) perf_map: bool,
    /// `perf inject --jit`, and whoever reads its files, in this folder.
    pub(crate) jit_dump: Option<PathBuf>,
    /// Intel VTune.
    pub(crate) vtune: bool,
}

/// Those that listen. What they were told of stays loaded, and true, for as long as this exists.
#[derive(Debug)]
pub(super) struct Listeners {
    #[cfg(target_os = "linux")]
    profilers: ExternalProfilers,
    #[cfg(feature = "vtune")]
    vtune: Option<witprof::VTune>,
}

impl ExternalProfilers {
    /// Makes sure that those who are to be told can be told, before anything is compiled for them.
    pub(super) fn find(&self) -> Result<Listeners> {
        #[cfg(not(target_os = "linux"))]
        for (is_wanted, option) in [(self.perf_map, "--perf-map"), (self.jit_dump.is_some(), "--jitdump")] {
            anyhow::ensure!(!is_wanted, "`{option}` is for Linux, where perf is: leave it out");
        }
        #[cfg(not(feature = "vtune"))]
        anyhow::ensure!(
            !self.vtune,
            "`--vtune` is not part of this program: build it with the feature `vtune`, or leave it out"
        );
        Ok(Listeners {
            #[cfg(target_os = "linux")]
            profilers: self.clone(),
            #[cfg(feature = "vtune")]
            vtune: self.vtune.then(witprof::VTune::new).transpose()?,
        })
    }
}

impl Listeners {
    /// Tells all of them of `code`.
    pub(super) fn tell(&mut self, map: &SymbolMap, code: &Code) -> Result<()> {
        #[cfg(target_os = "linux")]
        self.tell_perf(map, code)?;
        #[cfg(feature = "vtune")]
        if let Some(vtune) = &mut self.vtune {
            vtune.add(map, code)?;
        }
        Ok(())
    }

    /// Writes the files that perf reads. The code stays loaded until the process ends.
    #[cfg(target_os = "linux")]
    fn tell_perf(&self, map: &SymbolMap, code: &Code) -> Result<()> {
        use witprof::{JitDump, PerfMap};

        let mut made = Vec::new();
        let mut tell = || {
            if self.profilers.perf_map {
                let mut perf = PerfMap::create()?;
                made.push(perf.path().to_owned());
                perf.add(map, code)?;
            }
            if let Some(folder) = &self.profilers.jit_dump {
                let mut dump = JitDump::create(folder)?;
                made.push(dump.path().to_owned());
                dump.add(map, code)?;
            }
            Ok(())
        };
        tell().inspect_err(|_| {
            // Files without names are of no use to anybody.
            made.iter().for_each(|path| drop(std::fs::remove_file(path)));
        })
    }
}
