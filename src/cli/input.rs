//! Profiles as input.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read, Write as _};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use flate2::Compression;
use flate2::bufread::MultiGzDecoder;
use flate2::write::GzEncoder;
use witprof::{Profile, read_firefox};

use crate::files::{GZIP, Told};

/// The most bytes of a profile, uncompressed: a few kilobytes of gzip can stand for any number.
const MAX_BYTES: u64 = 4 << 30;

/// Bytes at the beginning that tell what a file is.
const START: u64 = 4096;

/// Reads a profile, compressed or not; `-` is stdin.
pub(super) fn read_profile(path: &Path) -> Result<Profile> {
    let reading = || reading(path);
    let file = BufReader::with_capacity(1 << 16, open(path)?);
    let input = decompressed(file, path).with_context(reading)?;
    read_firefox(&mut Limited { input, left: MAX_BYTES }).with_context(reading)
}

/// What is in a file, compressed or not, unless that is known to be no profile.
fn decompressed<'r>(mut file: impl BufRead + 'r, path: &Path) -> Result<Box<dyn Read + 'r>> {
    // A pipe gives no more at once than was written at once.
    let mut start = Vec::new();
    file.by_ref().take(START).read_to_end(&mut start)?;
    if start.is_empty() {
        bail!("it is empty");
    }
    if let Some((told, compression)) = Told::inside(&start)
        && let Some(message) = told.instead_of_profile(path, compression)
    {
        bail!("{message}");
    }
    if start.iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(u8::is_ascii_alphanumeric) {
        bail!("it is no profile: that is JSON, such as `witprof run` writes to witprof-NAME.json.gz");
    }
    let is_gzip = start.starts_with(&GZIP);
    let file = Cursor::new(start).chain(file);
    Ok(if is_gzip {
        // Buffered, because JSON is read by the byte.
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    })
}

/// A profile that is there, to be read later.
pub(super) struct Input {
    file: Box<dyn Read + Send>,
    path: PathBuf,
}

impl Input {
    pub(super) fn open(path: &Path) -> Result<Self> {
        Ok(Self { file: open(path)?, path: path.to_owned() })
    }

    /// The profile as it is stored, compressed with gzip, and what is in it.
    pub(super) fn read(self) -> Result<(Vec<u8>, Profile)> {
        let reading = || reading(&self.path);
        let mut bytes = Vec::new();
        Limited { input: self.file, left: MAX_BYTES }.read_to_end(&mut bytes).with_context(reading)?;
        let input = decompressed(&bytes[..], &self.path).with_context(reading)?;
        let profile = read_firefox(&mut Limited { input, left: MAX_BYTES }).with_context(reading)?;
        if bytes.starts_with(&GZIP) {
            return Ok((bytes, profile));
        }
        let mut compressed = GzEncoder::new(Vec::new(), Compression::fast());
        compressed.write_all(&bytes)?;
        Ok((compressed.finish()?, profile))
    }
}

/// What an input is called in messages.
pub(super) fn shown(path: &Path) -> String {
    if is_stdin(path) { "stdin".to_owned() } else { format!("`{}`", path.display()) }
}

/// stdin can be read once only.
pub(super) fn refuse_stdin_twice<'p>(inputs: impl IntoIterator<Item = Option<&'p Path>>) -> Result<()> {
    if inputs.into_iter().flatten().filter(|path| is_stdin(path)).count() > 1 {
        bail!("`-` is stdin, which can be read only once: name a file for the other");
    }
    Ok(())
}

fn is_stdin(path: &Path) -> bool {
    path.as_os_str() == "-"
}

fn reading(path: &Path) -> String {
    format!("reading the profile {}", shown(path))
}

fn open(path: &Path) -> Result<Box<dyn Read + Send>> {
    if is_stdin(path) {
        return Ok(Box::new(io::stdin()));
    }
    let file = File::open(path).with_context(|| reading(path))?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("{}: it is a directory", reading(path));
    }
    Ok(Box::new(file))
}

/// Reads so many bytes; more are an error, where [`Read::take`] would report an early end.
struct Limited<'r> {
    input: Box<dyn Read + 'r>,
    left: u64,
}

impl Read for Limited<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("it is larger than 4 GiB"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is written to a pipe in two pieces.
    struct Pieces(Vec<Vec<u8>>);

    impl Read for Pieces {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let Some(piece) = self.0.first_mut() else { return Ok(0) };
            let length = piece.len().min(buffer.len());
            buffer[..length].copy_from_slice(&piece[..length]);
            piece.drain(..length);
            if piece.is_empty() {
                self.0.remove(0);
            }
            Ok(length)
        }
    }

    #[test]
    fn a_pipe_may_give_the_beginning_in_pieces() {
        let json = format!("{{\"meta\":{{}}{}}}", " ".repeat(1 << 20));
        let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
        gzip.write_all(json.as_bytes()).expect("writing to memory");
        let gzip = gzip.finish().expect("writing to memory");
        for bytes in [gzip, json.clone().into_bytes()] {
            for first in [1, 10, bytes.len() - 1] {
                let pieces = Pieces(vec![bytes[..first].to_vec(), bytes[first..].to_vec()]);
                let mut read = String::new();
                decompressed(BufReader::new(pieces), Path::new("-"))
                    .and_then(|mut input| Ok(input.read_to_string(&mut read)?))
                    .unwrap_or_else(|error| panic!("{first} bytes first: {error}"));
                assert!(read == json, "{first} bytes first");
            }
        }
    }

    #[test]
    fn more_than_is_allowed_is_an_error() {
        let read = |left| {
            let input: Box<dyn Read> = Box::new(io::repeat(b' ').take(1 << 20));
            let error = read_firefox(&mut Limited { input, left }).expect_err("spaces are no profile");
            format!("{:#}", anyhow::Error::new(error))
        };
        assert!(read(1 << 19).contains("it is larger than 4 GiB"), "{}", read(1 << 19));
        assert!(read(1 << 20).contains("ends too early"), "{}", read(1 << 20));
    }
}
