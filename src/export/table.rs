//! Columns of numbers with a name behind them, laid out for a terminal of any width.
//!
//! On a terminal, what tells least is left out until a row fits: parts of names first, then columns without a number, then
//! other columns. Elsewhere nothing is left out. Two rows never look the same.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};

use unicode_width::UnicodeWidthStr as _;

use super::escape::{escape_control, escape_name};
use super::names::Forms;
use super::report_table::{PLAIN, TableStyle};

/// A column of numbers.
pub(super) struct Column {
    pub(super) heading: &'static str,
    /// At least so wide where the table is not for a terminal.
    pub(super) width: usize,
    /// Columns with the lowest number are left out first; none if it always stays.
    pub(super) leaves: Option<u8>,
    pub(super) cells: Vec<Cell>,
}

/// A number.
pub(super) struct Cell {
    pub(super) text: String,
    /// What it is painted in, if there is colour.
    pub(super) paint: Option<&'static str>,
}

impl Cell {
    pub(super) fn new(text: impl Into<String>) -> Self {
        Self { text: text.into(), paint: None }
    }

    /// Whether there is more to it than that there is nothing.
    fn is_telling(&self) -> bool {
        self.text.bytes().any(|byte| byte.is_ascii_digit() && byte != b'0')
    }
}

/// A table: a row is a cell of each column, and a name.
pub(super) struct Table {
    pub(super) columns: Vec<Column>,
    pub(super) title: String,
    pub(super) names: Vec<Forms>,
    /// Rows that are not shown.
    pub(super) more: usize,
    /// Columns with numbers are left out until names have so much room.
    pub(super) room: usize,
}

/// Columns that names have in any case.
const LEAST: usize = 8;

/// Columns without numbers are left out until names have so much room.
const COMFORTABLE: usize = 60;

/// Between the last column and the name.
const GAP: usize = 2;

impl Table {
    pub(super) fn write(mut self, style: TableStyle, out: &mut dyn Write) -> io::Result<()> {
        for column in &mut self.columns {
            let widths = column.cells.iter().map(|cell| cell.text.width());
            let needed = widths.max().unwrap_or(0).max(column.heading.width());
            column.width =
                if style.width.is_some() { needed.max(column.width.min(7)) } else { needed.max(column.width) };
        }
        if let Some(width) = style.width {
            self.leave_out(width);
        }
        let used = self.used();
        let names = fit_all(&self.names, style.width.map(|width| width.saturating_sub(used).max(LEAST)));
        let (bold, plain) = style.heading();
        let headings = self.columns.iter().map(|column| format!("{:>width$}", column.heading, width = column.width));
        writeln!(out, "{bold}{}  {}{plain}", headings.collect::<Vec<_>>().join(" "), self.title)?;
        for (row, name) in names.iter().enumerate() {
            let cells = self.columns.iter().map(|column| {
                let cell = &column.cells[row];
                let padding = column.width.saturating_sub(cell.text.width());
                let (on, off) = match cell.paint {
                    Some(paint) if style.color => (paint, PLAIN),
                    _ => ("", ""),
                };
                format!("{on}{}{}{off}", " ".repeat(padding), cell.text)
            });
            writeln!(out, "{}  {name}", cells.collect::<Vec<_>>().join(" "))?;
        }
        if self.more > 0 {
            writeln!(out, "{:>used$}({} more)", "", self.more)?;
        }
        Ok(())
    }

    /// Columns of the terminal in front of the names.
    fn used(&self) -> usize {
        let widths: usize = self.columns.iter().map(|column| column.width + 1).sum();
        widths.saturating_sub(1) + GAP
    }

    /// Leaves out columns until the names have room.
    fn leave_out(&mut self, width: usize) {
        let gentle = |forms: &Forms| forms.gentle.iter().map(|form| form.width()).min().unwrap_or(0);
        let wanted = self.names.iter().map(gentle).max().unwrap_or(0);
        for (is_empty, enough) in [(true, COMFORTABLE), (false, self.room)] {
            while width < self.used() + wanted.min(enough) {
                let may_leave = self.columns.iter().enumerate().filter(|(_, column)| {
                    column.leaves.is_some() && !(is_empty && column.cells.iter().any(Cell::is_telling))
                });
                let Some((first, _)) = may_leave.min_by_key(|(_, column)| column.leaves) else { break };
                self.columns.remove(first);
            }
        }
    }
}

/// One name that fits into `room`, escaped. Of its forms, the first so many are not for it.
pub(super) fn fit(forms: &Forms, room: Option<usize>, first: usize) -> String {
    let Some(room) = room else { return escape_control(&forms.gentle[0]).into_owned() };
    let mut shortest = String::new();
    for form in forms.all().skip(first) {
        let form = escape_name(form).into_owned();
        if form.width() <= room {
            return form;
        }
        if shortest.is_empty() || form.width() < shortest.width() {
            shortest = form;
        }
    }
    cut(&shortest, room, Cut::Middle)
}

/// Which part of a name is left out.
#[derive(Clone, Copy)]
enum Cut {
    Middle,
    /// So many characters at the beginning, and what does not fit at the end.
    Around(usize),
}

/// What fits of a name; `…` stands for the rest.
fn cut(name: &str, room: usize, which: Cut) -> String {
    if name.width() <= room {
        return name.to_owned();
    }
    let chars: Vec<char> = name.chars().collect();
    let width = |char: &char| char.to_string().width();
    let take = |chars: &mut dyn Iterator<Item = &char>, room: usize| -> Vec<char> {
        let mut left = room;
        let fits = |char: &&char| {
            let fits = width(char) <= left;
            left = left.saturating_sub(width(char));
            fits
        };
        chars.take_while(fits).copied().collect()
    };
    match which {
        Cut::Middle => {
            let tail = room.saturating_sub(1) / 2;
            let head = take(&mut chars.iter(), room.saturating_sub(1 + tail));
            let tail = take(&mut chars.iter().rev(), tail);
            head.into_iter().chain(['…']).chain(tail.into_iter().rev()).collect()
        }
        Cut::Around(begin) => {
            let rest = &chars[begin.min(chars.len())..];
            let rest: String = rest.iter().collect();
            let before = if begin > 0 { "…" } else { "" };
            let room = room.saturating_sub(before.width());
            if rest.width() <= room {
                return format!("{before}{rest}");
            }
            let head: String =
                take(&mut rest.chars().collect::<Vec<_>>().iter(), room.saturating_sub(1)).iter().collect();
            format!("{before}{head}…")
        }
    }
}

/// The beginning of a line that does not fit into `room`.
pub(super) fn beginning(line: &str, room: usize) -> String {
    cut(line, room, Cut::Around(0))
}

/// All names, each in `room`, and no two alike.
pub(super) fn fit_all(names: &[Forms], room: Option<usize>) -> Vec<String> {
    let mut shown: Vec<String> = names.iter().map(|forms| fit(forms, room, 0)).collect();
    if let Some(room) = room {
        if names.iter().any(|forms| escape_name(&forms.gentle[0]).width() > room) {
            shown = names.iter().map(|forms| fit(forms, Some(room), forms.tidy)).collect();
        }
        let mut known: BTreeSet<String> = shown.iter().cloned().collect();
        for alike in alike(&shown) {
            tell_apart(names, &alike, room, &mut shown, &mut known);
        }
    }
    number(&mut shown, room);
    shown
}

/// Rows that look the same, by what they look like.
fn alike(shown: &[String]) -> Vec<Vec<usize>> {
    let mut rows: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
    for (row, name) in shown.iter().enumerate() {
        rows.entry(name).or_default().push(row);
    }
    rows.into_values().filter(|rows| rows.len() > 1).collect()
}

/// Shows more of names that look the same: other forms, other ends, or what is around the first difference.
///
/// `known` are all names that are shown.
fn tell_apart(names: &[Forms], alike: &[usize], room: usize, shown: &mut [String], known: &mut BTreeSet<String>) {
    let forms: Vec<Vec<String>> =
        alike.iter().map(|row| names[*row].all().map(|form| escape_name(form).into_owned()).collect()).collect();
    let longest = forms.iter().map(Vec::len).max().unwrap_or(0);
    let level = |level: usize| forms.iter().map(move |forms| forms[level.min(forms.len() - 1)].as_str());
    let whole = (0..longest).map(|at| level(at).map(str::to_owned).collect::<Vec<_>>());
    let cuts = (0..longest).flat_map(|at| {
        let names: Vec<&str> = level(at).collect();
        /// Characters shown before the first difference.
        const CONTEXT: usize = 4;
        let around = Cut::Around(common_beginning(&names).saturating_sub(CONTEXT));
        let cut_by = |which| names.iter().map(|name| cut(name, room, which)).collect::<Vec<_>>();
        [cut_by(Cut::Middle), cut_by(around)]
    });
    // What these look like is free again.
    let before = alike.first().map(|row| shown[*row].clone()).unwrap_or_default();
    let is_good = |texts: &Vec<String>| {
        let distinct: BTreeSet<&String> = texts.iter().collect();
        distinct.len() == texts.len()
            && texts.iter().all(|text| text.width() <= room && (*text == before || !known.contains(text)))
    };
    let Some(found) = whole.chain(cuts).find(is_good) else { return };
    known.remove(&before);
    for (row, text) in alike.iter().zip(found) {
        known.insert(text.clone());
        shown[*row] = text;
    }
}

/// Characters at the beginning that all have in common.
fn common_beginning(names: &[&str]) -> usize {
    let Some((first, rest)) = names.split_first() else { return 0 };
    let common = |name: &&str| first.chars().zip(name.chars()).take_while(|(a, b)| a == b).count();
    rest.iter().map(common).min().unwrap_or(0)
}

/// Numbers the names that are the same all the same.
fn number(shown: &mut [String], room: Option<usize>) {
    let all: BTreeSet<String> = shown.iter().cloned().collect();
    // Names that were seen, each with the number for the next one of them.
    let mut numbers: BTreeMap<String, u64> = BTreeMap::new();
    let mut numbered: BTreeSet<String> = BTreeSet::new();
    for name in shown {
        let next = numbers.entry(name.clone()).and_modify(|next| *next += 1).or_insert(1);
        if *next == 1 {
            continue;
        }
        loop {
            let suffix = format!(" ({next})");
            let room = room.map_or(usize::MAX, |room| room.saturating_sub(suffix.width()));
            let with_number = format!("{}{suffix}", cut(name, room, Cut::Middle));
            if !all.contains(&with_number) && numbered.insert(with_number.clone()) {
                *name = with_number;
                break;
            }
            *next += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn forms(names: &[&str]) -> Vec<Forms> {
        names.iter().map(|name| Forms::of_function(name)).collect()
    }

    #[test]
    fn long_names_are_cut_in_the_middle() {
        assert_eq!(fit(&Forms::whole("abcdefghijklmnopqrstuvwxyz"), Some(16), 0), "abcdefgh…tuvwxyz");
        assert_eq!(fit(&Forms::whole("short"), Some(16), 0), "short");
        assert_eq!(fit(&Forms::whole("\u{1b}[2J"), Some(16), 0), "\\u{1b}[2J");
        assert_eq!(fit(&Forms::whole(&"x".repeat(1000)), None, 0).len(), 1000);
        // A character that is two columns wide.
        assert_eq!(fit(&Forms::whole("名前名前名前名前"), Some(8), 0), "名前…前");
    }

    #[test]
    fn more_is_shown_of_names_that_look_the_same() {
        let shown = |names: &[&str], room| fit_all(&forms(names), Some(room));
        assert_eq!(shown(&["one::x::get", "two::x::get"], 8), ["one:…get", "two:…get"]);
        assert_eq!(
            shown(&["wasi:io/streams@0.2.0 (import)", "wasi:io/streams@0.2.6 (import)"], 25),
            ["streams@0.2.0 (import)", "streams@0.2.6 (import)"]
        );
        let (a, b) =
            (format!("{}1{}", "a".repeat(50), "b".repeat(50)), format!("{}2{}", "a".repeat(50), "b".repeat(50)));
        assert_eq!(shown(&[&a, &b], 12), ["…aaaa1bbbbb…", "…aaaa2bbbbb…"]);
        assert_eq!(fit_all(&forms(&["same", "same", "same (2)"]), None), ["same", "same (3)", "same (2)"]);
        assert_eq!(fit_all(&forms(&["f", "f", "g", "f", "g"]), None), ["f", "f (2)", "g", "f (3)", "g (2)"]);
    }

    #[test]
    fn any_number_of_names_may_be_the_same() {
        let names = vec![Forms::whole("same"); 50_000];
        for room in [None, Some(40)] {
            let shown = fit_all(&names, room);
            assert_eq!(shown.last().map(String::as_str), Some("same (50000)"));
            assert_eq!(shown.iter().collect::<BTreeSet<_>>().len(), names.len());
        }
    }

    proptest! {
        #[test]
        fn rows_fit_and_differ(
            names in vec("(a|b)(::c|<d>|@0\\.1|/e|名| ){0,8}[xyz]{0,30}", 0..12),
            width in 40..140_usize,
            numbers in vec("[0-9]{1,9}", 12),
        ) {
            let cells = || numbers.iter().take(names.len()).map(|number| Cell::new(number.clone())).collect::<Vec<_>>();
            let column = |heading, leaves| Column { heading, width: 7, leaves, cells: cells() };
            let table = || Table {
                columns: vec![column("a", None), column("bbbb", Some(1)), column("c", Some(0)), column("d", None)],
                title: "name".to_owned(),
                names: names.iter().map(|name| Forms::of_function(name)).collect(),
                more: 0,
                room: 36,
            };
            let lines = |style: TableStyle| {
                let mut out = Vec::new();
                table().write(style, &mut out).expect("writing to memory");
                String::from_utf8(out).expect("UTF-8").lines().skip(1).map(str::to_owned).collect::<Vec<_>>()
            };
            let on_terminal = lines(TableStyle { width: Some(width), ..TableStyle::default() });
            for line in &on_terminal {
                prop_assert!(line.width() <= width, "{line}");
            }
            let whole = lines(TableStyle::default());
            for (line, name) in whole.iter().zip(&names) {
                prop_assert!(line.contains(name.as_str()), "{line}");
            }
            let forms: Vec<Forms> = names.iter().map(|name| Forms::of_function(name)).collect();
            for room in [None, Some(width), Some(LEAST)] {
                let shown = fit_all(&forms, room);
                let distinct: BTreeSet<&String> = shown.iter().collect();
                prop_assert_eq!(distinct.len(), names.len(), "{:?}", shown);
                prop_assert!(shown.iter().all(|name| room.is_none_or(|room| name.width() <= room)), "{:?}", shown);
            }
        }
    }
}
