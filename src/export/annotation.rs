//! A function with the time of each line beside it.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::time::Duration;

use super::escape::escape_name;
use super::names::Forms;
use super::report_table::TableStyle;
use crate::address::WasmOffset;
use crate::error::{Error, Result};
use crate::profile::{Annotation, FileIndex, LineTime, Profile};

/// What a function is written in, as far as it was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AnnotatedText {
    /// Source files, by their path in the profile.
    pub sources: BTreeMap<String, SourceText>,
    /// The WebAssembly text of the functions that the instructions are in, line by line, with the place of each in the binary.
    pub wasm: Vec<(Option<WasmOffset>, String)>,
}

/// A source file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceText {
    /// Where it was found.
    pub place: String,
    /// What is in it.
    pub text: String,
}

/// Lines shown around one that has time.
const CONTEXT: usize = 3;

/// The widest gap that is shown rather than marked.
const SMALL_GAP: usize = 2;

/// Writes a function with the share of the recorded time that each of its lines has itself, and with what it calls. The
/// lines are those of its source, of which `text` has at least one file; or else those of its WebAssembly text, if `text`
/// has that; or else the numbers of the lines alone. What a terminal would obey is escaped.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_annotation(
    profile: &Profile,
    annotation: &Annotation,
    text: &AnnotatedText,
    style: TableStyle,
    out: &mut dyn Write,
) -> Result<()> {
    let writer = Writer { annotation, style };
    writer.write(profile, text, out).map_err(|source| Error::Write { format: "annotation", source })
}

struct Writer<'a> {
    annotation: &'a Annotation,
    style: TableStyle,
}

/// A line to be written: its number or place, its text, and its time.
struct Line<'t> {
    label: String,
    text: &'t str,
    time: Option<LineTime>,
}

impl Writer<'_> {
    fn write(&self, profile: &Profile, text: &AnnotatedText, out: &mut dyn Write) -> io::Result<()> {
        let Annotation { function, library, time, .. } = self.annotation;
        let (bold, plain) = self.style.heading();
        let (own, total) = (self.share(time.own), self.share(time.total));
        let style = self.style;
        let forms = style.forms(Forms::of_function, function).with_detail(&style.forms(Forms::of_library, library));
        let name = style.fit(&forms, 34);
        writeln!(out, "{bold}{name}{plain}  {}% self, {}% total", own.trim(), total.trim())?;
        let mut files: BTreeMap<FileIndex, BTreeMap<u32, LineTime>> = BTreeMap::new();
        for ((file, line), time) in &self.annotation.lines {
            files.entry(*file).or_default().insert(*line, *time);
        }
        // The file with the most time first.
        let mut files: Vec<_> = files.into_iter().collect();
        let time = |lines: &BTreeMap<u32, LineTime>| lines.values().map(|time| time.own).sum::<Duration>();
        files.sort_by_key(|(file, lines)| (std::cmp::Reverse(time(lines)), *file));
        let has_source = files.iter().any(|(file, _)| text.sources.contains_key(profile.file(*file)));
        if !has_source && !text.wasm.is_empty() {
            writeln!(out, "\n{bold}{:>7} {:>7}  WebAssembly{plain}", "self", "total")?;
            return self.lines(&self.wasm(text), out);
        }
        for (file, lines) in files {
            let path = profile.file(file);
            let found = text.sources.get(path);
            let heading = match found {
                // It need not be the file that was compiled.
                Some(found) if found.place != path => format!("{path}  ({})", found.place),
                _ => path.to_owned(),
            };
            writeln!(
                out,
                "\n{bold}{:>7} {:>7}  {}{plain}",
                "self",
                "total",
                self.style.fit(&Forms::whole(&heading), 17)
            )?;
            self.lines(&source(found.map(|found| &found.text), &lines), out)?;
        }
        Ok(())
    }

    fn wasm<'t>(&self, text: &'t AnnotatedText) -> Vec<Line<'t>> {
        let line = |(at, line): &'t (Option<WasmOffset>, String)| {
            let time = at.and_then(|at| self.annotation.instructions.get(&at).copied());
            let label = at.map_or_else(String::new, |at| format!("{:#x}", at.get()));
            Line { label, text: line, time }
        };
        text.wasm.iter().map(line).collect()
    }

    /// Writes the lines that have time, and what is around them.
    fn lines(&self, lines: &[Line<'_>], out: &mut dyn Write) -> io::Result<()> {
        let width = lines.iter().map(|line| line.label.len()).max().unwrap_or(0);
        let mut is_shown = vec![false; lines.len()];
        let mut end = 0;
        for (index, _) in lines.iter().enumerate().filter(|(_, line)| line.time.is_some()) {
            let near = index.saturating_sub(CONTEXT)..(index + CONTEXT + 1).min(lines.len());
            let is_small_gap = end > 0 && near.start.saturating_sub(end) <= SMALL_GAP;
            is_shown[if is_small_gap { end.min(near.start) } else { near.start }..near.end].fill(true);
            end = near.end;
        }
        let mut last = None;
        for (index, line) in lines.iter().enumerate().filter(|(index, _)| is_shown[*index]) {
            if last.is_some_and(|last: usize| last + 1 < index) {
                writeln!(out, "{:>17}{:>width$} ⋮", "", "")?;
            }
            last = Some(index);
            let (own, total) = match line.time {
                Some(time) => (self.share(time.own), self.share(time.total)),
                None => (String::new(), String::new()),
            };
            let percent = |share: &str| if share.is_empty() { " " } else { "%" };
            let (marks, own_mark, total_mark) = (self.marks(line), percent(&own), percent(&total));
            let text = escape_name(&line.text.replace('\t', "    ")).into_owned();
            let row = format!("{own:>6}{own_mark} {total:>6}{total_mark}  {:>width$}  {text}", line.label);
            writeln!(out, "{}{}{}", marks.0, self.style.cut_off(row.trim_end()), marks.1)?;
        }
        Ok(())
    }

    /// What makes a hot line stand out.
    fn marks(&self, line: &Line<'_>) -> (&'static str, &'static str) {
        let is_hot = line.time.is_some_and(|time| time.own * HOT > self.annotation.time.own && !time.own.is_zero());
        if is_hot { self.style.heading() } else { ("", "") }
    }

    fn share(&self, time: Duration) -> String {
        let wall = self.annotation.wall.as_secs_f64();
        if wall == 0.0 { "0.0".to_owned() } else { format!("{:.1}", time.as_secs_f64() / wall * 100.0) }
    }
}

/// A line with more than one part of so many of its function's time is hot.
const HOT: u32 = 10;

fn source<'t>(text: Option<&'t String>, times: &BTreeMap<u32, LineTime>) -> Vec<Line<'t>> {
    let label = |line: u32| line.to_string();
    let Some(text) = text else {
        let lines = times.iter().map(|(line, time)| Line { label: label(*line), text: "", time: Some(*time) });
        return lines.collect();
    };
    let mut lines: Vec<Line<'t>> = text
        .lines()
        .zip(1..)
        .map(|(text, line)| Line { label: label(line), text, time: times.get(&line).copied() })
        .collect();
    // A file that is shorter is another one, but its times are not to be lost.
    let count = u32::try_from(lines.len()).unwrap_or(u32::MAX);
    let beyond = times.range(count.saturating_add(1)..);
    let text = "(the file has no such line)";
    lines.extend(beyond.map(|(line, time)| Line { label: label(*line), text, time: Some(*time) }));
    lines
}
