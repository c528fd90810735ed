//! What `fxprof-processed-profile` 0.8.1 cannot write, put in while it is written.

use std::io::{self, Write};
use std::rc::Rc;

use serde_json::ser::Formatter;

use super::frames::{Column, FrameColumns, FrameNumbers, without_mark};
use super::meta::Meta;
use crate::profile::Profile;

/// A JSON formatter that writes what fxprof 0.8.1 cannot: sample weights in milliseconds and CPU times in microseconds, with
/// fractions, of which fxprof was given a million and a thousand times as much; columns of frames and functions; and more
/// entries of `meta`.
pub(super) struct Patch {
    path: Vec<Key>,
    key: Option<String>,
    meta: Vec<u8>,
    columns: FrameColumns,
    /// The table of a thread that is being written.
    table: String,
    /// The column of it, and the row after the one that is being written.
    column: Option<(Column, usize)>,
}

/// The keys that matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Meta,
    Threads,
    Strings,
    Samples,
    Weight,
    CpuDelta,
    Other,
}

impl Patch {
    pub(super) fn new(profile: &Profile, numbers: Rc<FrameNumbers>) -> Self {
        // Names are complete, so there is nothing to look for elsewhere; threads are in the order to be shown in; and
        // without a beginning and an end, the front-end shows the time from the first sample to the last.
        let end = profile.elapsed().as_secs_f64() * 1000.0;
        // Numbers and strings: this cannot fail.
        let own = serde_json::to_string(&Meta::new(profile)).unwrap_or_else(|_| "null".to_owned());
        // The front-end shows this beside the other facts about a recording.
        let profiler = profile.profiler_time().wall;
        let extra = if profiler.is_zero() {
            String::new()
        } else {
            let milliseconds = profiler.as_secs_f64() * 1000.0;
            format!(
                "\"extra\":[{{\"label\":\"witprof\",\"entries\":[{{\"label\":\"profiler: its own work, in no sample\",\
                 \"format\":\"milliseconds\",\"value\":{milliseconds}}}]}}],"
            )
        };
        let meta = format!(
            "{extra}\"symbolicationNotSupported\":true,\"keepProfileThreadOrder\":true,\"profilingStartTime\":0,\
             \"profilingEndTime\":{end},\"witprof\":{own},"
        );
        Self {
            path: Vec::new(),
            key: None,
            meta: meta.into_bytes(),
            columns: FrameColumns::new(numbers),
            table: String::new(),
            column: None,
        }
    }
}

impl Patch {
    /// Writes what belongs in place of `value`, if this is a column to be written differently.
    fn write_column<W: ?Sized + Write>(&mut self, writer: &mut W, value: Option<u32>) -> Option<io::Result<()>> {
        let (column, next) = self.column?;
        // The number of rows, which is no row, comes before all of them.
        let value = self.columns.value(column, next.checked_sub(1)?, value);
        Some(match value {
            Some(value) => writer.write_all(itoa::Buffer::new().format(value).as_bytes()),
            None => writer.write_all(b"null"),
        })
    }
}

impl Formatter for Patch {
    fn begin_array_value<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        if let Some((_, next)) = &mut self.column {
            *next += 1;
        }
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn write_null<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        self.write_column(writer, None).unwrap_or_else(|| writer.write_all(b"null"))
    }

    fn write_u32<W: ?Sized + Write>(&mut self, writer: &mut W, value: u32) -> io::Result<()> {
        let written = self.write_column(writer, Some(value));
        written.unwrap_or_else(|| writer.write_all(itoa::Buffer::new().format(value).as_bytes()))
    }

    fn begin_object<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        writer.write_all(b"{")?;
        if self.path == [Key::Meta] {
            // `meta` has entries of its own, so these end with a comma.
            writer.write_all(&self.meta)?;
        }
        Ok(())
    }

    fn begin_object_key<W: ?Sized + Write>(&mut self, writer: &mut W, first: bool) -> io::Result<()> {
        self.key = Some(String::new());
        if first { Ok(()) } else { writer.write_all(b",") }
    }

    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        if let Some(key) = &mut self.key {
            key.push_str(fragment);
        }
        let is_name = self.path[..] == [Key::Threads, Key::Strings];
        writer.write_all(if is_name { without_mark(fragment) } else { fragment }.as_bytes())
    }

    fn begin_object_value<W: ?Sized + Write>(&mut self, writer: &mut W) -> io::Result<()> {
        let key = self.key.take().unwrap_or_default();
        match self.path[..] {
            [Key::Threads] => {
                if key == "frameTable" {
                    self.columns.next_thread();
                }
                self.table.clone_from(&key);
            }
            [Key::Threads, _] => self.column = Column::find(&self.table, &key).map(|column| (column, 0)),
            _ => {}
        }
        self.path.push(match key.as_str() {
            "meta" => Key::Meta,
            "threads" => Key::Threads,
            "stringArray" => Key::Strings,
            "samples" => Key::Samples,
            "weight" => Key::Weight,
            "threadCPUDelta" => Key::CpuDelta,
            _ => Key::Other,
        });
        writer.write_all(b":")
    }

    fn end_object_value<W: ?Sized + Write>(&mut self, _writer: &mut W) -> io::Result<()> {
        self.path.pop();
        self.column = None;
        Ok(())
    }

    fn write_i32<W: ?Sized + Write>(&mut self, writer: &mut W, value: i32) -> io::Result<()> {
        // A frame without an address is one without a number.
        if let Some(written) = self.write_column(writer, None) {
            return written;
        }
        if self.path == [Key::Threads, Key::Samples, Key::Weight] {
            return write_fraction(writer, value.unsigned_abs().into(), 1_000_000);
        }
        writer.write_all(itoa::Buffer::new().format(value).as_bytes())
    }

    fn write_u64<W: ?Sized + Write>(&mut self, writer: &mut W, value: u64) -> io::Result<()> {
        if self.path == [Key::Threads, Key::Samples, Key::CpuDelta] {
            return write_fraction(writer, value, 1_000);
        }
        writer.write_all(itoa::Buffer::new().format(value).as_bytes())
    }
}

/// Writes `value / unit`, where `unit` is a power of ten, exactly and without zeros at the end.
fn write_fraction<W: ?Sized + Write>(writer: &mut W, value: u64, unit: u64) -> io::Result<()> {
    writer.write_all(itoa::Buffer::new().format(value / unit).as_bytes())?;
    let mut fraction = value % unit;
    if fraction == 0 {
        return Ok(());
    }
    let mut digits = [b'0'; 20];
    let mut length = unit.ilog10() as usize;
    while fraction.is_multiple_of(10) {
        fraction /= 10;
        length -= 1;
    }
    for digit in digits[..length].iter_mut().rev() {
        // A digit.
        *digit += u8::try_from(fraction % 10).unwrap_or(0);
        fraction /= 10;
    }
    writer.write_all(b".")?;
    writer.write_all(&digits[..length])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fractions_are_exact() {
        for (value, unit, text) in [
            (0, 1000, "0"),
            (1, 1000, "0.001"),
            (1_500, 1000, "1.5"),
            (1_000_000, 1_000_000, "1"),
            (i32::MAX.unsigned_abs().into(), 1_000_000, "2147.483647"),
            (1_000_100, 1_000_000, "1.0001"),
            (u64::MAX, 1000, "18446744073709551.615"),
        ] {
            let mut out = Vec::new();
            write_fraction(&mut out, value, unit).expect("writing to memory");
            assert_eq!(String::from_utf8(out).expect("ASCII"), text);
        }
    }
}
