//! Names for a terminal: guests choose them, and a terminal obeys what it is sent.

use std::borrow::Cow;
use std::fmt::Write as _;

/// Names longer than this are cut: a table must stay a table.
const MAX_CHARS: usize = 300;

/// Makes a name safe for a terminal, as [`escape_control`] does, and cuts names of absurd length.
#[must_use]
pub fn escape_name(name: &str) -> Cow<'_, str> {
    match name.char_indices().nth(MAX_CHARS) {
        Some((end, _)) => Cow::Owned(format!("{}…", escape_control(&name[..end]))),
        None => escape_control(name),
    }
}

/// Makes text safe for a terminal: control characters, escape sequences and characters that change the direction of
/// writing become visible escapes such as `\u{1b}`.
#[must_use]
pub fn escape_control(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        if is_unsafe(char) {
            // Writing to a string cannot fail.
            let _ = write!(safe, "{}", char.escape_unicode());
        } else {
            safe.push(char);
        }
    }
    Cow::Owned(safe)
}

/// Control characters (C0, C1, DEL), line separators, and the invisible characters that reorder or hide text.
fn is_unsafe(char: char) -> bool {
    char.is_control()
        || matches!(char,
            '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{61c}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_cannot_command_a_terminal() {
        assert_eq!(escape_control("plain<T>::näme"), "plain<T>::näme");
        assert_eq!(escape_control("\u{1b}[2Jgone"), "\\u{1b}[2Jgone");
        assert_eq!(escape_control("a\nb\r\u{9b}c"), "a\\u{a}b\\u{d}\\u{9b}c");
        assert_eq!(escape_control("right\u{202e}tfel"), "right\\u{202e}tfel");
    }

    #[test]
    fn a_megabyte_of_name_is_cut() {
        let cut = escape_name(&"x".repeat(1 << 20)).into_owned();
        assert_eq!(cut.chars().count(), MAX_CHARS + 1);
        assert!(cut.ends_with('…'));
    }
}
