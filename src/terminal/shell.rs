//! Words of a command line that is shown to be copied.

use std::ffi::OsStr;
use std::fmt::Write as _;

use witprof::export::escape_control;

/// The path `text` as one word for a POSIX shell, safe for a terminal. What a terminal must not see is written as `$'…'` does, which
/// bash, zsh and ksh read.
pub(crate) fn shell_word(text: &OsStr) -> String {
    word(if text.as_encoded_bytes().starts_with(b"-") { "./" } else { "" }, text)
}

/// The same for any argument, be it an option.
pub(crate) fn shell_argument(text: &OsStr) -> String {
    word("", text)
}

fn word(before: &str, text: &OsStr) -> String {
    let text = text.as_encoded_bytes();
    // `--name=value`. At the beginning of a word, `=` means something to zsh.
    let is_option = before.is_empty() && text.starts_with(b"-");
    let is_plain = |char: char| is_plain(char) || (is_option && char == '=');
    match std::str::from_utf8(text) {
        Ok(plain) if !plain.is_empty() && plain.chars().all(is_plain) => format!("{before}{plain}"),
        Ok(visible) if escape_control(visible) == visible => format!("'{before}{}'", visible.replace('\'', r"'\''")),
        _ => escaped(before, text),
    }
}

/// Whether a shell leaves a character alone, wherever it stands.
fn is_plain(char: char) -> bool {
    char.is_alphanumeric() || "_./:@%+,-".contains(char)
}

fn escaped(before: &str, text: &[u8]) -> String {
    let mut word = format!("$'{before}");
    let mut buffer = [0; 4];
    let add_bytes = |word: &mut String, bytes: &[u8]| {
        for byte in bytes {
            // Three octal digits, because a shell reads further hexadecimal ones than two. Writing to a string cannot fail.
            let _ = write!(word, "\\{byte:03o}");
        }
    };
    for chunk in text.utf8_chunks() {
        for char in chunk.valid().chars() {
            let visible = char.encode_utf8(&mut buffer);
            match char {
                '\'' | '\\' => word.extend(['\\', char]),
                _ if escape_control(visible) == *visible => word.push(char),
                _ => add_bytes(&mut word, visible.as_bytes()),
            }
        }
        add_bytes(&mut word, chunk.invalid());
    }
    word.push('\'');
    word
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_one_word_and_show_nothing_to_a_terminal() {
        for (text, word) in [
            ("p.json.gz", "p.json.gz"),
            ("/tmp/größe_1.json", "/tmp/größe_1.json"),
            ("my profile.json.gz", "'my profile.json.gz'"),
            ("it's.json", r"'it'\''s.json'"),
            ("$(reboot).json", "'$(reboot).json'"),
            ("~x", "'~x'"),
            ("", "''"),
            ("-p.json", "./-p.json"),
            ("- p.json", "'./- p.json'"),
            ("a\u{1b}[2J's\\.json", r"$'a\033[2J\'s\\.json'"),
            ("a\nb", r"$'a\012b'"),
            ("\u{202e}x", r"$'\342\200\256x'"),
        ] {
            assert_eq!(shell_word(OsStr::new(text)), word, "{text:?}");
        }
    }

    #[test]
    fn arguments_may_be_options() {
        for (text, word) in [("--dir=a", "--dir=a"), ("-o", "-o"), ("a=b", "'a=b'"), ("--env=a b", "'--env=a b'")] {
            assert_eq!(shell_argument(OsStr::new(text)), word);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_shell_reads_back_what_was_meant() {
        use std::os::unix::ffi::OsStrExt as _;
        for text in [&b"a b"[..], b"it's $HOME `x` \"y\" \\z", b"-n", b"*?[a]{1,2}", b"\xc3\xbc;&|<>#!"] {
            let word = shell_word(OsStr::from_bytes(text));
            let script = format!("printf %s {word}");
            let output = std::process::Command::new("sh").args(["-c", &script]).output().expect("sh");
            let expected = if text.starts_with(b"-") { [b"./", text].concat() } else { text.to_vec() };
            assert_eq!(output.stdout, expected, "{word}");
        }
    }
}
