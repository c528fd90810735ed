//! The formats of profiles, told by the names of files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use witprof::export::{write_firefox, write_folded, write_html, write_pprof, write_svg};
use witprof::{Dimension, Profile};

/// What is written to a file, chosen by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Format {
    Firefox,
    FirefoxGzip,
    Html,
    Svg,
    Folded,
    Pprof,
    PprofGzip,
}

/// Longer ends first.
const ENDS: [(&str, Format); 7] = [
    (".json.gz", Format::FirefoxGzip),
    (".json", Format::Firefox),
    (".html", Format::Html),
    (".svg", Format::Svg),
    (".folded", Format::Folded),
    (".pb.gz", Format::PprofGzip),
    (".pb", Format::Pprof),
];

impl Format {
    pub(super) fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if let Some((_, format)) = ENDS.iter().find(|(end, _)| name.ends_with(end)) {
            return Ok(*format);
        }
        let ends = ENDS.map(|(end, _)| end).join(", ");
        bail!("cannot tell a format from the name `{}`: it has to end in one of {ends}", path.display())
    }

    /// Writes `profile`; `by` is what pictures and stacks are made of, if that was said.
    pub(super) fn write(self, profile: &Profile, by: Option<Dimension>, file: &mut File) -> Result<()> {
        let mut file = BufWriter::with_capacity(1 << 16, file);
        // A picture is for whoever asks which interface is slow; stacks are for other tools, which want them whole.
        let (picture, stacks) = (by.unwrap_or(Dimension::Interface), by.unwrap_or(Dimension::Function));
        match self {
            Self::Firefox => write_firefox(profile, &mut file)?,
            Self::FirefoxGzip => gzip(&mut file, |out| write_firefox(profile, out))?,
            Self::Html => write_html(profile, &mut file)?,
            Self::Svg => write_svg(profile, picture, &mut file)?,
            Self::Folded => write_folded(profile, stacks, &mut file)?,
            Self::Pprof => write_pprof(profile, stacks, &mut file)?,
            Self::PprofGzip => gzip(&mut file, |out| write_pprof(profile, stacks, out))?,
        }
        file.flush()?;
        Ok(())
    }
}

fn gzip(file: &mut dyn Write, write: impl FnOnce(&mut dyn Write) -> witprof::Result<()>) -> Result<()> {
    // The fastest level: profiles shrink to a tenth with any.
    let compressed = GzEncoder::new(file, Compression::fast());
    // Numbers come one by one, and each call of the encoder costs more than to write one.
    let mut buffered = BufWriter::with_capacity(1 << 16, compressed);
    write(&mut buffered)?;
    buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}
