//! Output files: opened before the guest starts, and complete or not there at all.

use std::fs::File;
use std::io::{self, IsTerminal as _};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use tempfile::NamedTempFile;
use witprof::Dimension;
use witprof::export::escape_control;

use super::descriptor;
use super::format::Format;
use super::shown_profile::{Shown, ShownProfile};
use crate::terminal::shell_word;

/// Where a profile goes, and what is shown and kept of it.
pub(crate) struct Outputs {
    pub(crate) files: Vec<OutputFile>,
    pub(crate) shown: Shown,
}

/// A file that a profile will be written to.
#[derive(Debug)]
pub(crate) struct OutputFile {
    destination: Destination,
    format: Format,
}

impl OutputFile {
    /// Makes sure that `path` can be written to, without changing what is there. `format` is that of names which tell none.
    fn open(path: &Path, format: Option<Format>, input: &Path) -> Result<Self> {
        let format = match Format::told_by(path).or(format) {
            Some(format) => format,
            None => return Err(Format::cannot_tell(path)),
        };
        let destination = Destination::open(path, input)?;
        if format.is_binary() && destination.is_terminal() {
            bail!("`{}` is a terminal, and {} is binary: write it to a file or a pipe", path.display(), format.name());
        }
        Ok(Self { format, destination })
    }

    /// Opens several, and refuses to write one file twice. `format` is that of names which tell none.
    pub(crate) fn open_all(paths: &[PathBuf], format: Option<Format>, input: &Path) -> Result<Vec<Self>> {
        if let Some(format) = format
            && let Some(path) = paths.first()
            && paths.iter().all(|path| Format::told_by(path).is_some_and(|told| told != format))
        {
            bail!(
                "`--format {}` is for names that do not tell the format, and `{}` does: leave out one of the two",
                format.name(),
                path.display()
            );
        }
        let mut outputs: Vec<Self> = Vec::new();
        for path in paths {
            let output = Self::open(path, format, input)?;
            if outputs.iter().any(|other| other.destination.resolved == output.destination.resolved) {
                bail!("the output file `{}` is given twice", path.display());
            }
            outputs.push(output);
        }
        Ok(outputs)
    }

    /// Where the profile will be, for a message.
    pub(crate) fn shown(&self) -> String {
        let path = &self.destination.given;
        if path.as_os_str() == "-" { "stdout".to_owned() } else { shown_path(path) }
    }

    /// The command that shows the profile, if there will be a file that `witprof view` reads.
    pub(crate) fn view_command(&self) -> Option<String> {
        let is_kept = matches!(self.destination.place, Place::File);
        let is_readable = matches!(self.format, Format::Firefox | Format::FirefoxGzip);
        (is_kept && is_readable).then(|| format!("witprof view {}", shell_word(self.destination.given.as_os_str())))
    }

    /// Whether it may be written again and again, each time in place of what was before.
    pub(crate) fn is_replaceable(&self) -> bool {
        matches!(self.destination.place, Place::File)
    }

    /// Whether the profile goes to stdout.
    pub(crate) fn is_stdout(&self) -> bool {
        self.destination.is_stdout()
    }

    /// Writes the profile, and puts it in its place. `by` is what pictures and stacks are made of, if that was said.
    pub(crate) fn write(&self, profile: &ShownProfile<'_>, by: Option<Dimension>) -> Result<()> {
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
    place: Place,
}

#[derive(Debug)]
enum Place {
    /// In a folder, where a complete file replaces what is there.
    File,
    /// A pipe or device, or a file that somebody has open, which cannot be replaced.
    Open(File),
}

impl Destination {
    /// Makes sure that `path` can be written to, without changing what is there. It must not be `input`. `-` is stdout.
    pub(crate) fn open(path: &Path, input: &Path) -> Result<Self> {
        let shown = path.display();
        let opening = || format!("opening the output file `{shown}`");
        if let Some(descriptor) = descriptor::named(path) {
            let file = descriptor::open(descriptor).with_context(opening)?;
            let resolved = format!("/dev/fd/{descriptor}").into();
            return Ok(Self { given: path.to_owned(), resolved, place: Place::Open(file) });
        }
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
        let place = match existing {
            Some(metadata) if !metadata.is_file() => {
                Place::Open(File::options().write(true).open(path).with_context(opening)?)
            }
            _ => {
                let folder = folder_of(&resolved);
                if !folder.is_dir() {
                    bail!("opening the output file `{shown}`: there is no folder `{}`", folder.display());
                }
                // Made and removed again: nothing may be left behind if the run is killed.
                drop(temporary_file_in(folder).with_context(opening)?);
                Place::File
            }
        };
        Ok(Self { given: path.to_owned(), resolved, place })
    }

    pub(crate) fn is_stdout(&self) -> bool {
        descriptor::named(&self.given) == Some(descriptor::STDOUT)
    }

    fn is_terminal(&self) -> bool {
        matches!(&self.place, Place::Open(file) if file.is_terminal())
    }

    /// Writes the file, and puts it in its place: beside the old one first, which a full disk or a signal leaves whole.
    pub(crate) fn write(&self, contents: impl FnOnce(&mut File) -> Result<()>) -> Result<()> {
        let is_stdout = self.is_stdout();
        let writing = || format!("writing `{}`", self.given.display());
        if let Place::Open(file) = &self.place {
            let mut file = file.try_clone().with_context(writing)?;
            return match contents(&mut file) {
                // Whoever reads it may stop early, as `head` does.
                Err(error) if is_stdout && is_broken_pipe(&error) => Ok(()),
                written => written.with_context(writing),
            };
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

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let is_broken = |error: &io::Error| error.kind() == io::ErrorKind::BrokenPipe;
    error.chain().any(|cause| cause.downcast_ref().is_some_and(is_broken))
}

/// A path for a message.
pub(crate) fn shown_path(path: &Path) -> String {
    escape_control(&path.display().to_string()).into_owned()
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
