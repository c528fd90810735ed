//! Flame graphs as SVG, drawn by `inferno`.

use std::io::{self, Write};

use inferno::flamegraph::TextTruncateDirection;
use inferno::flamegraph::color::{BackgroundColor, Color, PaletteMap};
use inferno::{differential, flamegraph};

use super::folded::{each_line, frame_name};
use super::microseconds;
use crate::error::{Error, Result};
use crate::profile::{Dimension, Label, Profile, Tree};
use crate::symbols::Layer;

/// Writes a flame graph that a browser opens, with search and zoom. Frames are interface functions, libraries or functions,
/// as in [`write_folded`](super::write_folded); their widths are wall-clock time.
///
/// Frames of the host are those of `profile`: [`Profile::with_host_frames`] says how many it has.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_svg(profile: &Profile, by: Dimension, out: &mut dyn Write) -> Result<()> {
    svg(profile, by, out).map_err(|source| Error::Write { format: "SVG", source })
}

fn svg(profile: &Profile, by: Dimension, out: &mut dyn Write) -> io::Result<()> {
    let lines = lines(profile, by)?;
    let mut colors = colors(profile, by);
    let mut options = options(&format!("{} by {}", title(profile), by.name().replace('-', " ")));
    options.palette_map = Some(&mut colors);
    let profiler = profile.profiler_time().wall;
    if !profiler.is_zero() {
        options.subtitle = Some(format!("without {} µs of the profiler's own work", microseconds(profiler)));
    }
    draw(&mut options, &lines, out)
}

/// Writes a flame graph of `after`, with the change since `before` as colour: red has grown, blue has shrunk. Both are
/// taken to be equally long.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_svg_comparison(before: &Profile, after: &Profile, by: Dimension, out: &mut dyn Write) -> Result<()> {
    svg_comparison(before, after, by, out).map_err(|source| Error::Write { format: "SVG", source })
}

fn svg_comparison(before: &Profile, after: &Profile, by: Dimension, out: &mut dyn Write) -> io::Result<()> {
    let [before_lines, after_lines] = [lines(before, by)?, lines(after, by)?];
    let mut both = Vec::new();
    let normalised = differential::Options { normalize: true, ..differential::Options::default() };
    differential::from_readers(normalised, before_lines.as_bytes(), after_lines.as_bytes(), &mut both)?;
    let lines = String::from_utf8(both).map_err(io::Error::other)?;
    let mut options = options(&format!("{} since {}", title(after), title(before)));
    draw(&mut options, &lines, out)
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

fn options<'c>(title: &str) -> flamegraph::Options<'c> {
    let mut options = flamegraph::Options::default();
    options.title = title.to_owned();
    options.count_name = "µs".to_owned();
    options.bgcolors = Some(BackgroundColor::Flat(Color::new(0xfa, 0xfa, 0xfa)));
    // Names begin with what matters.
    options.text_truncate_direction = TextTruncateDirection::Right;
    // The same input makes the same bytes.
    options.deterministic = true;
    options
}

/// The colours of all frames: by layer, as in the other pictures.
fn colors(profile: &Profile, by: Dimension) -> PaletteMap {
    let tree = Tree::new(profile, by);
    let mut colors = PaletteMap::default();
    // The root, which `inferno` calls `all` in the picture only.
    colors.insert("", Color::new(0xd5, 0xd9, 0xde));
    for (_, label, _) in tree.nodes() {
        let color = match (label, tree.layer(label)) {
            (Label::Boundary, _) | (_, Some(Layer::Adapter)) => Color::new(0xf0, 0x9a, 0x4c),
            (Label::Blocked, _) => Color::new(0xb3, 0xba, 0xc2),
            (Label::Preempted, _) => Color::new(0xd9, 0xb8, 0xc4),
            (_, Some(Layer::Script)) => Color::new(0x8f, 0xd1, 0x8a),
            (_, Some(Layer::Guest)) => Color::new(0x7f, 0xb2, 0xf0),
            (_, Some(Layer::Trampoline)) => Color::new(0xe6, 0xcf, 0x55),
            (_, Some(Layer::Host)) => Color::new(0xbf, 0xa5, 0xe8),
            (_, None) => Color::new(0x7c, 0xc9, 0xb0),
        };
        colors.insert(frame_name(&tree.name(label)), color);
    }
    colors
}

/// What a reader with dark windows sees. Frames keep their colours, which are light enough for dark text.
const DARK: &str = "@media (prefers-color-scheme: dark) {
  :root { color-scheme: dark; background: #14181d; }
  #background stop { stop-color: #14181d; }
  :root > text { fill: #e3e7ec; }
  #search { opacity: 0.5; }
  #frames > *:hover { stroke: white; }
  .parent { opacity: 0.7; }
}
";

fn draw(options: &mut flamegraph::Options<'_>, lines: &str, out: &mut dyn Write) -> io::Result<()> {
    if lines.is_empty() {
        // `inferno` reports an error after it has drawn this.
        return writeln!(
            out,
            r#"<svg xmlns="http://www.w3.org/2000/svg" width="400" height="40"><style>{DARK}</style><text x="10" y="25">no samples</text></svg>"#
        );
    }
    let mut svg = Vec::new();
    flamegraph::from_lines(options, lines.lines(), &mut svg)?;
    // `inferno` has no option for more style. Its own comes before any name, and in names `<` is escaped.
    let end = svg.windows(8).position(|bytes| bytes == b"</style>").unwrap_or(0);
    let (before, after) = svg.split_at(end);
    out.write_all(before)?;
    if end > 0 {
        out.write_all(DARK.as_bytes())?;
    }
    out.write_all(after)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::arbitrary;
    use proptest::prelude::*;

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn flame_graphs_have_a_dark_mode_and_names_no_markup(mut profile in arbitrary::profile(), by in prop::sample::select(vec![
            Dimension::Interface, Dimension::Function, Dimension::Line,
        ])) {
            let hostile = "</style><script>alert(1)</script>";
            hostile.clone_into(&mut profile.name);
            profile.functions.iter_mut().for_each(|function| hostile.clone_into(&mut function.name));
            let mut pictures = [Vec::new(), Vec::new()];
            let [one, two] = &mut pictures;
            write_svg(&profile, by, one).expect("writing to memory");
            write_svg_comparison(&profile, &profile, by, two).expect("writing to memory");
            for picture in pictures {
                let picture = String::from_utf8(picture).expect("UTF-8");
                prop_assert_eq!(picture.matches("prefers-color-scheme: dark").count(), 1);
                prop_assert_eq!(picture.matches("</style>").count(), 1);
                let style = picture.split_once("<style").expect("a style").1.split_once("</style>").expect("its end").0;
                prop_assert!(style.contains(DARK) && !style.contains("alert"));
                prop_assert!(!picture.contains("<script>alert"));
            }
        }
    }
}
