//! Output files: opened before the guest starts, and complete or not there at all.

use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;
use witprof::{Dimension, Profile};

use super::format::Format;

/// A file that a profile will be written to.
#[derive(Debug)]
pub(crate) struct OutputFile {
    destination: Destination,
    format: Format,
}

impl OutputFile {
    /// Makes sure that `path` can be written to, without changing what is there.
    pub(crate) fn open(path: &Path, input: &Path) -> Result<Self> {
        Ok(Self { format: Format::of(path)?, destination: Destination::open(path, input)? })
    }

    /// Opens several, and refuses to write one file twice.
    pub(crate) fn open_all(paths: &[PathBuf], input: &Path) -> Result<Vec<Self>> {
        let mut outputs: Vec<Self> = Vec::new();
        for path in paths {
            let output = Self::open(path, input)?;
            if outputs.iter().any(|other| other.destination.resolved == output.destination.resolved) {
                bail!("the output file `{}` is given twice", path.display());
            }
            outputs.push(output);
        }
        Ok(outputs)
    }

    /// Where the profile will be, as it was given.
    pub(crate) fn path(&self) -> &Path {
        &self.destination.given
    }

    /// Writes the profile, and puts it in its place. `by` is what pictures and stacks are made of, if that was said.
    pub(crate) fn write(self, profile: &Profile, by: Option<Dimension>) -> Result<()> {
        let format = self.format;
        self.destination.write(|file| format.write(profile, by, file))
    }
}

/// A place that a file can be written to: complete, or not at all.
#[derive(Debug)]
pub(crate) struct Destination {
    given: PathBuf,
    /// With links followed, so that a rename replaces what they point to.
    resolved: PathBuf,
    /// A pipe or device, which cannot be replaced.
    direct: Option<File>,
}

impl Destination {
    /// Makes sure that `path` can be written to, without changing what is there. It must not be `input`.
    pub(crate) fn open(path: &Path, input: &Path) -> Result<Self> {
        let shown = path.display();
        let opening = || format!("opening the output file `{shown}`");
        let existing = match path.metadata() {
            Ok(metadata) => Some(metadata),
            Err(error) if error.kind() == io::ErrorKind::NotFound => None,
            Err(error) => return Err(error).with_context(opening),
        };
        if existing.as_ref().is_some_and(std::fs::Metadata::is_dir)
            || path.as_os_str().as_encoded_bytes().ends_with(b"/")
        {
            bail!("opening the output file `{shown}`: it is a directory");
        }
        let resolved = path.canonicalize().unwrap_or_else(|_| {
            let folder = folder_of(path).canonicalize().ok();
            folder.zip(path.file_name()).map_or_else(|| path.to_owned(), |(folder, name)| folder.join(name))
        });
        if existing.is_some() && input.canonicalize().is_ok_and(|input| input == resolved) {
            bail!("the output file `{shown}` is the input file");
        }
        let direct = match existing {
            Some(metadata) if !metadata.is_file() => {
                Some(File::options().write(true).open(path).with_context(opening)?)
            }
            _ => {
                let folder = folder_of(&resolved);
                if !folder.is_dir() {
                    bail!("opening the output file `{shown}`: there is no folder `{}`", folder.display());
                }
                // Made and removed again: nothing may be left behind if the run is killed.
                drop(temporary_file_in(folder).with_context(opening)?);
                None
            }
        };
        Ok(Self { given: path.to_owned(), resolved, direct })
    }

    /// Writes the file, and puts it in its place: beside the old one first, which a full disk or a signal leaves whole.
    pub(crate) fn write(self, contents: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let writing = || format!("writing `{}`", self.given.display());
        if let Some(mut file) = self.direct {
            return contents(&mut file).with_context(writing);
        }
        let mut file = temporary_file_in(folder_of(&self.resolved)).with_context(writing)?;
        contents(file.as_file_mut()).with_context(writing)?;
        if let Ok(old) = self.resolved.metadata() {
            // The new file may be seen by whoever could see the old one.
            file.as_file().set_permissions(old.permissions()).with_context(writing)?;
        }
        file.persist(&self.resolved).with_context(writing)?;
        Ok(())
    }
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A new file, which removes itself when dropped.
fn temporary_file_in(folder: &Path) -> io::Result<NamedTempFile> {
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
