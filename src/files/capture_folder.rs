//! The folder that captures of a running service go to: so many files, so many bytes, and the oldest go first.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use witprof::{CaptureReason, Profile};

use super::format::Format;
use super::shown_profile::ShownProfile;

/// What the names of captures begin with. Other files in the folder are left alone.
const PREFIX: &str = "witprof-";

/// Bytes of what a name tells of a request.
const MAX_TOLD: usize = 60;

/// A folder of captures.
#[derive(Debug)]
pub(crate) struct CaptureFolder {
    path: PathBuf,
    max_files: usize,
    max_bytes: u64,
    format: Format,
    /// One is written at a time, so that the limits hold.
    writing: Mutex<()>,
}

impl CaptureFolder {
    pub(crate) fn new(path: PathBuf, max_files: usize, max_bytes: u64, format: Format) -> Self {
        Self { path, max_files, max_bytes, format, writing: Mutex::new(()) }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Makes the folder if there is none, and sees whether it can be written to.
    pub(crate) fn prepare(&self) -> Result<()> {
        let preparing = || format!("preparing the folder of captures `{}`", self.path.display());
        make_private(&self.path).with_context(preparing)?;
        drop(self.temporary_file().with_context(preparing)?);
        Ok(())
    }

    /// Writes a capture, readable for nobody else, and removes the oldest if there are too many. Returns where it is.
    pub(crate) fn store(&self, profile: &ShownProfile<'_>) -> Result<PathBuf> {
        let writing = || format!("writing a capture to `{}`", self.path.display());
        let _one_at_a_time = self.writing.lock();
        make_private(&self.path).with_context(writing)?;
        let mut file = self.temporary_file().with_context(writing)?;
        self.format.write(profile, None, file.as_file_mut()).with_context(writing)?;
        let name = name(profile.whole());
        let end = self.format.end();
        let mut more = String::new();
        for number in 2_u64.. {
            let path = self.path.join(format!("{name}{more}{end}"));
            match file.persist_noclobber(&path) {
                Ok(_) => {
                    self.remove_oldest(&path).with_context(writing)?;
                    return Ok(path);
                }
                Err(error) if error.error.kind() == io::ErrorKind::AlreadyExists => {
                    (file, more) = (error.file, format!("-{number}"));
                }
                Err(error) => return Err(error.error).with_context(writing),
            }
        }
        bail!("`{}` has a file of each name for this capture", self.path.display())
    }

    /// Removes the oldest captures until the limits hold, but never the one that was just written.
    fn remove_oldest(&self, newest: &Path) -> io::Result<()> {
        let mut captures = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let is_ours = name.to_str().is_some_and(|name| name.starts_with(PREFIX) && is_dated(name));
            let metadata = entry.metadata()?;
            if is_ours && metadata.is_file() {
                captures.push((name, metadata.len()));
            }
        }
        // Names begin with the time.
        captures.sort();
        let (mut files, mut bytes) = (captures.len(), captures.iter().map(|(_, size)| size).sum::<u64>());
        for (name, size) in captures {
            let path = self.path.join(name);
            if (files <= self.max_files && bytes <= self.max_bytes) || path == newest {
                continue;
            }
            std::fs::remove_file(path)?;
            files -= 1;
            bytes -= size;
        }
        Ok(())
    }

    /// A new file for this user alone, which removes itself when dropped.
    fn temporary_file(&self) -> io::Result<tempfile::NamedTempFile> {
        tempfile::Builder::new().prefix(".witprof-").suffix(".tmp").tempfile_in(&self.path)
    }
}

/// A folder for this user alone, unless it is there.
fn make_private(path: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(path)
}

/// `witprof-2026-11-28T13:04:05.678Z-slow-GET-cart` with as few characters as file systems agree on: the time of what it is
/// of, the reason, and what it is of.
fn name(profile: &Profile) -> String {
    let captured = profile.captured();
    let span = captured.and_then(|captured| captured.span.as_ref());
    let offset = span.map_or(profile.elapsed(), |span| span.begin + span.wall);
    let time = profile.started_at().checked_add(offset).unwrap_or(SystemTime::UNIX_EPOCH);
    let time = humantime::format_rfc3339_millis(time).to_string().replace([':', '.'], "");
    let reason = captured.map(|captured| &captured.reason);
    let told = match (span, reason) {
        (Some(span), _) => span.name.as_str(),
        (None, Some(CaptureReason::Asked(said))) => said,
        (None, _) => "",
    };
    let reason = reason.map_or("asked", CaptureReason::name);
    let mut name = format!("{PREFIX}{time}-{reason}");
    let mut is_between = true;
    for char in told.chars() {
        if char.is_ascii_alphanumeric() || char == '_' {
            if std::mem::take(&mut is_between) {
                name.push('-');
            }
            name.push(char);
        } else {
            is_between = true;
        }
        if name.len() >= PREFIX.len() + time.len() + MAX_TOLD {
            break;
        }
    }
    name
}

/// Whether a time follows what the names of captures begin with: four digits, and so on.
fn is_dated(name: &str) -> bool {
    let digits = name.get(PREFIX.len()..PREFIX.len() + 4);
    digits.is_some_and(|year| year.bytes().all(|digit| digit.is_ascii_digit()))
}
