//! Flame graphs as SVG, drawn by `inferno`.

use std::io::{self, Write};

use inferno::{differential, flamegraph};

use super::folded::each_line;
use crate::error::{Error, Result};
use crate::profile::{Dimension, Profile};

/// Writes a flame graph that a browser opens, with search and zoom. Frames are interface functions, libraries or functions,
/// as in [`write_folded`](super::write_folded); their widths are wall-clock time.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_svg(profile: &Profile, by: Dimension, out: &mut dyn Write) -> Result<()> {
    let draw = || {
        let lines = lines(profile, by)?;
        let mut options = options(&format!("{} by {}", title(profile), by.name().replace('-', " ")));
        draw(&mut options, &lines, out)
    };
    let mut draw = draw;
    draw().map_err(|source| Error::Write { format: "SVG", source })
}

/// Writes a flame graph of `after`, with the change since `before` as colour: red has grown, blue has shrunk. Both are
/// taken to be equally long.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_svg_comparison(before: &Profile, after: &Profile, by: Dimension, out: &mut dyn Write) -> Result<()> {
    let draw = || {
        let [before_lines, after_lines] = [lines(before, by)?, lines(after, by)?];
        let mut both = Vec::new();
        let normalised = differential::Options { normalize: true, ..differential::Options::default() };
        differential::from_readers(normalised, before_lines.as_bytes(), after_lines.as_bytes(), &mut both)?;
        let lines = String::from_utf8(both).map_err(io::Error::other)?;
        let mut options = options(&format!("{} since {}", title(after), title(before)));
        draw(&mut options, &lines, out)
    };
    let mut draw = draw;
    draw().map_err(|source| Error::Write { format: "SVG", source })
}

fn lines(profile: &Profile, by: Dimension) -> io::Result<String> {
    let mut lines = String::new();
    each_line(profile, by, &mut |stack, microseconds| {
        match stack.rsplit_once(' ') {
            // A name that ends with a number would be taken for one more number of microseconds.
            Some((stack, number)) if number.parse::<f64>().is_ok() => {
                lines.extend([stack, "\u{a0}", number]);
            }
            _ => lines.push_str(stack),
        }
        lines.push(' ');
        lines.push_str(&microseconds.to_string());
        lines.push('\n');
        Ok(())
    })?;
    Ok(lines)
}

fn title(profile: &Profile) -> String {
    super::escape_name(profile.name()).into_owned()
}

fn options(title: &str) -> flamegraph::Options<'static> {
    let mut options = flamegraph::Options::default();
    options.title = title.to_owned();
    options.count_name = "µs".to_owned();
    // The same input makes the same bytes.
    options.deterministic = true;
    options
}

fn draw(options: &mut flamegraph::Options<'_>, lines: &str, out: &mut dyn Write) -> io::Result<()> {
    if lines.is_empty() {
        // `inferno` reports an error after it has drawn this.
        return writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="40"><text x="10" y="25">no samples</text></svg>"#
        );
    }
    flamegraph::from_lines(options, lines.lines(), out)
}
