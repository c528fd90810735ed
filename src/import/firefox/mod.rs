//! Reads the Firefox Profiler's processed profile format: what [`write_firefox`](crate::export::write_firefox) writes, what
//! the Firefox Profiler itself saves, and as far as it goes, what Wasmtime's guest profiler and samply write.
//!
//! A file is read from a stream into what it says ([`document`]), which each version of the format keeps somewhere else
//! ([`versions`]). From there on there is one shape ([`contents`]), of which [`reader`] makes the profile: [`frames`] the
//! functions and stacks, [`samples`] the threads. What the format has no place for is in an object of our own
//! ([`own_data`]).
//!
//! The file may come from anywhere. Every index is checked, memory grows with the file only, and what cannot be is an
//! error that says where.

mod contents;
mod document;
mod frames;
mod own_data;
mod reader;
mod samples;
mod versions;

#[cfg(test)]
mod tests;

use std::io::{self, BufReader, Read};

use serde::de::DeserializeSeed as _;

use self::document::{Document, Judged, MetaJson};
use self::own_data::OwnData;
use self::reader::Reader;
use self::versions::Version;
use crate::error::{Error, Result};
use crate::profile::Profile;

/// Reads a profile in the Firefox Profiler's format, uncompressed: versions 41 to 70, and newer ones as far as they are
/// like those.
///
/// Of files of other programs, libraries, functions, threads and time are read, but no interfaces: these programs do not
/// know them. Libraries without an id, such as Wasmtime's guest profiler writes, are taken for guests, others for the
/// host.
///
/// # Errors
/// [`Error::Read`] if `input` is no such profile, is damaged, or cannot be read; the message says where.
///
/// ```
/// # fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let file = std::fs::File::open("profile.json")?;
/// let profile = witprof::read_firefox(&mut std::io::BufReader::new(file))?;
/// # Ok(())
/// # }
/// ```
pub fn read_firefox(input: &mut dyn Read) -> Result<Profile> {
    let error = |problem: String| Error::Read { problem, source: None };
    let start = start_of(input).map_err(unreadable)?;
    if let Some(problem) = other_form(&start) {
        return Err(error(problem.to_owned()));
    }
    // serde_json asks for each byte, which costs less of a buffer that it knows.
    let input = BufReader::with_capacity(1 << 16, start.chain(input));
    let (document, version) = document(input)?;
    let contents = versions::contents(document, version);
    let read = contents.and_then(|contents| Reader::new(&contents).read());
    read.map_err(|problem| error(version.explain(&problem)))
}

/// How a JsonSlabs file begins.
const JSON_SLABS: [u8; 6] = *b"\xdc\xdfJSLB";

/// The first bytes of a file; fewer if it is shorter.
fn start_of(input: &mut dyn Read) -> io::Result<Vec<u8>> {
    let mut start = Vec::with_capacity(JSON_SLABS.len());
    input.take(JSON_SLABS.len() as u64).read_to_end(&mut start)?;
    Ok(start)
}

/// What reads the file failed.
fn unreadable(source: io::Error) -> Error {
    Error::Read { problem: "its bytes could not be read".to_owned(), source: Some(source) }
}

/// What to say of a file that is no JSON, if it is known what else it is.
fn other_form(start: &[u8]) -> Option<&'static str> {
    if start == JSON_SLABS {
        return Some(
            "it is a profile in the binary JsonSlabs form (.jslb), and only JSON is read; open it at \
             https://profiler.firefox.com and save it with its Download button, which writes JSON",
        );
    }
    start.starts_with(&[0x1f, 0x8b]).then_some("it is compressed with gzip; decompress it first")
}

/// A file as it is written, and its version, which was judged before anything else was.
fn document(input: impl Read) -> Result<(Document, Version)> {
    let mut judged: Option<Result<Version, String>> = None;
    let judge = |meta: &MetaJson| {
        let version = Version::of(meta).and_then(|version| match &meta.witprof {
            Some(OwnData::OtherForm(form)) => {
                Err(format!("another version of witprof wrote it (form {form} of its own data); use that one"))
            }
            _ => Ok(version),
        });
        let refused = version.as_ref().err().cloned();
        judged = Some(version);
        refused.map_or(Ok(()), Err)
    };
    let mut json = serde_json::Deserializer::from_reader(input);
    let read = Judged(judge).deserialize(&mut json).and_then(|document| json.end().map(|()| document));
    let problem = match (read, judged) {
        (_, Some(Err(refused))) => refused,
        (Ok(document), Some(Ok(version))) => return Ok((document, version)),
        (Ok(_), None) => "it has no `meta`".to_owned(),
        (Err(json), version) => match json.classify() {
            serde_json::error::Category::Io => return Err(unreadable(json.into())),
            serde_json::error::Category::Eof => format!("it ends too early, so it is incomplete: {json}"),
            _ => {
                let problem = format!("not a profile in the Firefox Profiler's format: {json}");
                match version {
                    Some(Ok(version)) => version.explain(&problem),
                    _ => problem,
                }
            }
        },
    };
    Err(Error::Read { problem, source: None })
}
