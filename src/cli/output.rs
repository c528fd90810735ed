//! Output files: opened before the guest starts, and complete or not there at all.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::Compression;
use flate2::write::GzEncoder;
use tempfile::NamedTempFile;
use witprof::Profile;
use witprof::export::write_firefox;

/// What is written to a file, chosen by the end of its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Format {
    /// `.json`
    Firefox,
    /// `.json.gz`
    FirefoxGzip,
}

impl Format {
    fn of(path: &Path) -> Result<Self> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().to_lowercase();
        if name.ends_with(".json.gz") {
            Ok(Self::FirefoxGzip)
        } else if name.ends_with(".json") {
            Ok(Self::Firefox)
        } else {
            bail!("cannot tell a format from the name `{}`: it has to end in .json or .json.gz", path.display())
        }
    }
}

/// A file that a profile will be written to.
#[derive(Debug)]
pub(crate) struct OutputFile {
    path: PathBuf,
    format: Format,
    target: Target,
}

#[derive(Debug)]
enum Target {
    /// Written beside the target and renamed to it when complete: a full disk or a signal leaves the old file whole.
    Replace,
    /// A pipe or device cannot be replaced.
    Direct(File),
}

impl OutputFile {
    /// Makes sure that `path` can be written to, without changing what is there.
    pub(crate) fn open(path: &Path) -> Result<Self> {
        let format = Format::of(path)?;
        let opening = || format!("opening the output file `{}`", path.display());
        let existing = path.metadata().ok();
        if existing.as_ref().is_some_and(std::fs::Metadata::is_dir) {
            bail!("opening the output file `{}`: it is a directory", path.display());
        }
        if existing.is_some_and(|metadata| !metadata.is_file()) {
            let file = File::options().write(true).open(path).with_context(opening)?;
            return Ok(Self { path: path.to_owned(), format, target: Target::Direct(file) });
        }
        // A link is followed, so that the rename replaces what it points to.
        let path = path.canonicalize().unwrap_or_else(|_| path.to_owned());
        // Made and removed again: nothing may be left behind if the run is killed.
        drop(temporary_file_beside(&path).with_context(opening)?);
        Ok(Self { path, format, target: Target::Replace })
    }

    /// Where the profile will be.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the profile, and puts it in its place.
    pub(crate) fn write(self, profile: &Profile) -> Result<()> {
        let writing = || format!("writing the profile to `{}`", self.path.display());
        match self.target {
            Target::Replace => {
                let mut file = temporary_file_beside(&self.path).with_context(writing)?;
                write_format(profile, self.format, file.as_file_mut()).with_context(writing)?;
                file.persist(&self.path).with_context(writing)?;
            }
            Target::Direct(mut file) => write_format(profile, self.format, &mut file).with_context(writing)?,
        }
        Ok(())
    }
}

/// A new file in the folder of `path`, which removes itself when dropped.
fn temporary_file_beside(path: &Path) -> io::Result<NamedTempFile> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".witprof-").suffix(".tmp");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        // As for any new file: what the umask leaves of this.
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

fn write_format(profile: &Profile, format: Format, file: &mut File) -> Result<()> {
    let mut buffered = BufWriter::with_capacity(1 << 16, file);
    match format {
        Format::Firefox => write_firefox(profile, &mut buffered)?,
        Format::FirefoxGzip => {
            let mut gzip = GzEncoder::new(&mut buffered, Compression::default());
            write_firefox(profile, &mut gzip)?;
            gzip.finish()?;
        }
    }
    buffered.flush()?;
    Ok(())
}
