//! The formats of profiles, told by the names of files.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;

use anyhow::{Result, anyhow};
use clap::ValueEnum;
use flate2::Compression;
use flate2::write::GzEncoder;
use witprof::Dimension;
use witprof::export::{
    write_firefox_with, write_folded, write_html, write_otlp, write_pprof, write_speedscope, write_svg,
};

use super::shown_profile::ShownProfile;

/// What is written to a file, chosen by the end of its name, or by `--format`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// JSON for the Firefox Profiler: .json
    Firefox,
    /// The same, compressed: .json.gz
    FirefoxGzip,
    /// A report: .html
    Html,
    /// A flame graph: .svg
    Svg,
    /// Stacks: .folded
    Folded,
    /// pprof: .pb
    Pprof,
    /// The same, compressed: .pb.gz
    PprofGzip,
    /// OpenTelemetry's format of profiles: .otlp
    Otlp,
    /// JSON for speedscope: .speedscope.json
    Speedscope,
    /// The same, compressed: .speedscope.json.gz
    SpeedscopeGzip,
}

/// Longer ends first.
const ENDS: [(&str, Format); 10] = [
    (".speedscope.json.gz", Format::SpeedscopeGzip),
    (".speedscope.json", Format::Speedscope),
    (".json.gz", Format::FirefoxGzip),
    (".json", Format::Firefox),
    (".html", Format::Html),
    (".svg", Format::Svg),
    (".folded", Format::Folded),
    (".pb.gz", Format::PprofGzip),
    (".pb", Format::Pprof),
    (".otlp", Format::Otlp),
];

impl Format {
    /// The format that the end of a name tells.
    pub(crate) fn told_by(path: &Path) -> Option<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        ENDS.iter().find(|(end, _)| name.ends_with(end)).map(|(_, format)| *format)
    }

    /// What to say of a name that tells none.
    pub(super) fn cannot_tell(path: &Path) -> anyhow::Error {
        let ends = ENDS.map(|(end, _)| end).join(", ");
        let formats: Vec<&str> = Self::value_variants().iter().map(|format| format.name()).collect();
        anyhow!(
            "cannot tell a format from the name `{}`: it has to end in one of {ends}; or say it with `--format`, which \
             takes {}",
            path.display(),
            formats.join(", ")
        )
    }

    /// What `--format` calls it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Firefox => "firefox",
            Self::FirefoxGzip => "firefox-gzip",
            Self::Html => "html",
            Self::Svg => "svg",
            Self::Folded => "folded",
            Self::Pprof => "pprof",
            Self::PprofGzip => "pprof-gzip",
            Self::Otlp => "otlp",
            Self::Speedscope => "speedscope",
            Self::SpeedscopeGzip => "speedscope-gzip",
        }
    }

    /// How names of such files end.
    pub(super) fn end(self) -> &'static str {
        ENDS.iter().find(|(_, format)| *format == self).map_or("", |(end, _)| end)
    }

    /// Whether it is nothing that a terminal may be sent.
    pub(super) fn is_binary(self) -> bool {
        match self {
            Self::FirefoxGzip | Self::Pprof | Self::PprofGzip | Self::Otlp | Self::SpeedscopeGzip => true,
            Self::Firefox | Self::Html | Self::Svg | Self::Folded | Self::Speedscope => false,
        }
    }

    /// Writes `profile`; `by` is what pictures and stacks are made of, if that was said.
    pub(super) fn write(self, shown: &ShownProfile<'_>, by: Option<Dimension>, file: &mut File) -> Result<()> {
        let mut file = BufWriter::with_capacity(1 << 16, file);
        let firefox = |out: &mut dyn Write| write_firefox_with(shown.whole(), shown.host_frames, out);
        let profile = || shown.shown();
        // A picture is for whoever asks what is slow; stacks are for other tools, which want them whole.
        let picture = || by.unwrap_or_else(|| shown.picture().first_dimension());
        let stacks = by.unwrap_or(Dimension::Function);
        match self {
            Self::Firefox => firefox(&mut file)?,
            Self::FirefoxGzip => gzip(&mut file, firefox)?,
            Self::Html => write_html(shown.picture(), &mut file)?,
            Self::Svg => write_svg(shown.picture(), picture(), &mut file)?,
            Self::Folded => write_folded(profile(), stacks, &mut file)?,
            Self::Pprof => write_pprof(profile(), stacks, &mut file)?,
            Self::PprofGzip => gzip(&mut file, |out| write_pprof(profile(), stacks, out))?,
            Self::Otlp => write_otlp(profile(), &[], &mut file)?,
            Self::Speedscope => write_speedscope(profile(), stacks, &mut file)?,
            Self::SpeedscopeGzip => gzip(&mut file, |out| write_speedscope(profile(), stacks, out))?,
        }
        file.flush()?;
        Ok(())
    }
}

/// Writes something compressed.
pub(crate) fn gzip(file: &mut dyn Write, write: impl FnOnce(&mut dyn Write) -> witprof::Result<()>) -> Result<()> {
    // The fastest level: profiles shrink to a tenth with any.
    let compressed = GzEncoder::new(file, Compression::fast());
    // Numbers come one by one, and each call of the encoder costs more than to write one.
    let mut buffered = BufWriter::with_capacity(1 << 16, compressed);
    write(&mut buffered)?;
    buffered.into_inner().map_err(std::io::IntoInnerError::into_error)?.finish()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_have_the_names_that_the_option_takes() {
        for format in Format::value_variants() {
            assert_eq!(Format::from_str(format.name(), false), Ok(*format));
        }
    }
}
