//! Files with source maps.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use witprof::SourceMap;
use witprof::export::escape_control;

/// A file with a source map, and the script that it is for, if that was said.
#[derive(Clone, Debug)]
pub(crate) struct SourceMapFile {
    pub(crate) script: Option<String>,
    pub(crate) file: PathBuf,
}

impl SourceMapFile {
    /// Reads it.
    pub(crate) fn read(&self) -> Result<SourceMap> {
        let what = || format!("reading `{}`", escape_control(&self.file.display().to_string()));
        let json = std::fs::read(&self.file).with_context(what)?;
        let map = SourceMap::parse(&json).with_context(what)?;
        // It is called as the script, with `.map` behind.
        let by_name = self.file.file_stem().and_then(|name| name.to_str());
        Ok(match (&self.script, by_name) {
            (Some(script), _) => map.for_script(script),
            (None, Some(name)) => map.or_for_script(name),
            (None, None) => map,
        })
    }
}
