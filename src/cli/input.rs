//! Profiles as input.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use flate2::bufread::MultiGzDecoder;
use witprof::{Profile, read_firefox};

/// The most bytes of a profile, uncompressed: a few kilobytes of gzip can stand for any number.
const MAX_BYTES: u64 = 4 << 30;

/// Reads a profile, compressed or not.
pub(super) fn read_profile(path: &Path) -> Result<Profile> {
    let reading = || format!("reading the profile `{}`", path.display());
    let file = File::open(path).with_context(reading)?;
    if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
        bail!("reading the profile `{}`: it is a directory", path.display());
    }
    let mut file = BufReader::with_capacity(1 << 16, file);
    let is_compressed = file.fill_buf().with_context(reading)?.starts_with(&[0x1f, 0x8b]);
    let input: Box<dyn Read> = if is_compressed {
        // Buffered, because JSON is read by the byte.
        Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(file)))
    } else {
        Box::new(file)
    };
    read_firefox(&mut Limited { input, left: MAX_BYTES }).with_context(reading)
}

/// Reads so many bytes; more are an error, where [`Read::take`] would report an early end.
struct Limited {
    input: Box<dyn Read>,
    left: u64,
}

impl Read for Limited {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.input.read(buffer)?;
        self.left = self.left.checked_sub(read as u64).ok_or_else(|| io::Error::other("it is larger than 4 GiB"))?;
        Ok(read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_is_allowed_is_an_error() {
        let read = |left| {
            let input: Box<dyn Read> = Box::new(io::repeat(b' ').take(1 << 20));
            read_firefox(&mut Limited { input, left }).expect_err("spaces are no profile").to_string()
        };
        assert!(read(1 << 19).contains("it is larger than 4 GiB"), "{}", read(1 << 19));
        assert!(read(1 << 20).contains("ends too early"), "{}", read(1 << 20));
    }
}
