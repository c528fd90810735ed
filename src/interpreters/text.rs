//! Text as interpreters have it in their memories.

use std::fmt::{Display, Formatter, Result, Write as _};

/// How characters are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    /// One byte each, those of ISO 8859-1.
    Latin1,
    /// Two bytes, or twice two: UTF-16. Python's two bytes are never such a pair.
    Utf16,
    /// Four bytes.
    Utf32,
    /// As Rust has it.
    Utf8,
}

impl Encoding {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Latin1, Self::Utf16, Self::Utf32, Self::Utf8];

    /// Bytes of a character, at least.
    pub(crate) fn width(self) -> usize {
        match self {
            Self::Latin1 | Self::Utf8 => 1,
            Self::Utf16 => 2,
            Self::Utf32 => 4,
        }
    }
}

/// Text in the memory of a guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Text<'m> {
    pub(crate) encoding: Encoding,
    pub(crate) bytes: &'m [u8],
}

impl Text<'static> {
    /// Some that is not the guest's.
    pub(crate) const fn of(text: &'static str) -> Self {
        Self { encoding: Encoding::Utf8, bytes: text.as_bytes() }
    }
}

impl Text<'_> {
    /// The numbers that it is written in, by the width of its encoding.
    pub(crate) fn units(&self) -> impl Iterator<Item = u32> {
        let units = self.bytes.chunks_exact(self.encoding.width());
        units.map(|unit| unit.iter().rev().fold(0, |unit, byte| unit << 8 | u32::from(*byte)))
    }
}

/// What cannot be read is shown as the replacement character.
impl Display for Text<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let mut units = self.units();
        let character = |unit: u32| char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
        match self.encoding {
            Encoding::Latin1 | Encoding::Utf32 => units.try_for_each(|unit| f.write_char(character(unit))),
            Encoding::Utf16 => {
                let units = units.map(|unit| u16::try_from(unit).unwrap_or(u16::MAX));
                char::decode_utf16(units)
                    .try_for_each(|character| f.write_char(character.unwrap_or(char::REPLACEMENT_CHARACTER)))
            }
            Encoding::Utf8 => f.write_str(&String::from_utf8_lossy(self.bytes)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_encoding_is_read() {
        let shown = |encoding, bytes: &[u8]| Text { encoding, bytes }.to_string();
        assert_eq!(shown(Encoding::Latin1, b"caf\xe9"), "café");
        assert_eq!(shown(Encoding::Utf16, &[0xb1, 0x03, 0x3d, 0xd8, 0x80, 0xde, 0x00, 0xd8]), "α🚀\u{fffd}");
        assert_eq!(shown(Encoding::Utf32, &[0x80, 0xf6, 1, 0, 0, 0, 0x11, 0, 9]), "🚀\u{fffd}");
        assert_eq!(shown(Encoding::Utf8, b"a\xce\xb1\xff"), "aα\u{fffd}");
    }
}
