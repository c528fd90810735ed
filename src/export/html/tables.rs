//! The rows of the tables beside the flame graphs.

use std::cmp::Reverse;
use std::collections::{HashMap, HashSet};
use std::time::Duration;

use serde::Serialize;

use super::steps::{Series, Spent, Sums, Times};
use super::views::has_lines;
use super::{Strings, rounded_milliseconds};
use crate::export::calls::TimesJson;
use crate::export::{escape_name, microseconds};
use crate::profile::{CalledFunction, Dimension, MemoryTrack, PlacedRows, Profile, ReportRow, RowPlaces};

/// The most rows of one table.
const MAX_ROWS: usize = 2_000;

/// The most labels with a table of their own.
const MAX_LABELS: usize = 8;

/// Rows with times, by columns.
#[derive(Serialize)]
pub(super) struct Table {
    /// What the page calls it in its address.
    id: String,
    /// What the rows are, for a reader.
    heading: String,
    /// The view of the flame graph in which the rows are frames, if there is one.
    view: Option<&'static str>,
    /// Positions in `strings`.
    name: Vec<usize>,
    /// More about a row, as positions in `strings`, or -1.
    detail: Vec<i64>,
    /// The row that a row is a part of, or -1.
    parent: Vec<i64>,
    /// In microseconds: guest, host, blocked, preempted, boundary and total.
    times: [Vec<u64>; COLUMNS],
    /// The same by step; cells are rows times columns plus column.
    pub(super) by_step: Series,
    calls: Vec<Option<u64>>,
    calls_at_least: Vec<Option<u64>>,
    left_out: LeftOut,
    /// Which rows have time of what; rows are those of the table.
    #[serde(skip)]
    places: Vec<RowPlaces>,
}

const TOTAL: usize = 5;

const COLUMNS: usize = 6;

/// Rows that are not in a table.
#[derive(Serialize, Default)]
struct LeftOut {
    rows: usize,
    /// Own and boundary time in milliseconds.
    spent_ms: f64,
}

/// All tables with times, as yet without those by step, and how many labels have none. What a profile has rows of becomes a table
/// by one line here.
pub(super) fn tables(profile: &Profile, strings: &mut Strings) -> (Vec<Table>, usize) {
    let rows = |dimension, label: Option<&str>| profile.placed_rows(dimension, label);
    let mut tables = vec![
        interfaces(rows(Dimension::Interface, None), rows(Dimension::InterfaceFunction, None), strings),
        Table::new("function", "Functions", Some("function"), rows(Dimension::Function, None), strings),
    ];
    if has_lines(profile) {
        tables.push(Table::new("line", "Lines", Some("line"), rows(Dimension::Line, None), strings));
    }
    let keys = profile.label_keys();
    for key in keys.iter().take(MAX_LABELS) {
        let heading = escape_name(key).into_owned();
        tables.push(Table::new(
            &format!("label:{heading}"),
            &heading,
            None,
            rows(Dimension::Label, Some(key)),
            strings,
        ));
    }
    (tables, keys.len().saturating_sub(MAX_LABELS))
}

/// Interfaces, each with its functions.
fn interfaces(interfaces: PlacedRows, functions: PlacedRows, strings: &mut Strings) -> Table {
    let mut table = Table::empty("interface", "Interfaces", Some("interface"));
    // `interface#function (import)` to `interface (import)`, and `function`.
    let names: HashMap<String, usize> =
        interfaces.rows.iter().enumerate().map(|(index, row)| (row.name.clone(), index)).collect();
    let split = |name: &str| {
        let (name, direction) = name.rsplit_once(' ')?;
        name.match_indices('#')
            .find_map(|(at, _)| Some((*names.get(&format!("{} {direction}", &name[..at]))?, name[at + 1..].to_owned())))
    };
    let count = interfaces.rows.len();
    let parts = (count..).zip(functions.rows).filter_map(|(id, mut row)| {
        let (interface, function) = split(&row.name)?;
        row.name = function;
        Some(NewRow { id, parent: i64::try_from(interface).ok()?, row })
    });
    let parts: Vec<NewRow> = parts.collect();
    let rows = interfaces.rows.into_iter().enumerate().map(|(id, row)| NewRow { id, parent: -1, row });
    table.fill(rows.chain(parts).collect(), [(0, interfaces.place), (count, functions.place)], strings);
    table
}

/// A row before it is in a table.
struct NewRow {
    id: usize,
    /// Position of what it is a part of, or -1.
    parent: i64,
    row: ReportRow,
}

impl Table {
    fn new(id: &str, heading: &str, view: Option<&'static str>, rows: PlacedRows, strings: &mut Strings) -> Self {
        let mut table = Self::empty(id, heading, view);
        let new = rows.rows.into_iter().enumerate().map(|(id, row)| NewRow { id, parent: -1, row });
        table.fill(new.collect(), [(0, rows.place)], strings);
        table
    }

    fn empty(id: &str, heading: &str, view: Option<&'static str>) -> Self {
        Self {
            id: id.to_owned(),
            heading: heading.to_owned(),
            view,
            name: Vec::new(),
            detail: Vec::new(),
            parent: Vec::new(),
            times: std::array::from_fn(|_| Vec::new()),
            by_step: Series::default(),
            calls: Vec::new(),
            calls_at_least: Vec::new(),
            left_out: LeftOut::default(),
            places: Vec::new(),
        }
    }

    /// Takes over the rows. A part comes after its whole. `places` have positions of rows, which are that much less than their
    /// ids.
    fn fill(
        &mut self,
        mut rows: Vec<NewRow>,
        places: impl IntoIterator<Item = (usize, RowPlaces)>,
        strings: &mut Strings,
    ) {
        if rows.len() > MAX_ROWS {
            let left_out = leave_out(&mut rows);
            let spent = left_out.iter().filter(|each| each.parent < 0).map(|each| each.row.attributed());
            self.left_out = LeftOut { rows: left_out.len(), spent_ms: rounded_milliseconds(spent.sum()) };
        }
        let mut positions: HashMap<usize, usize> = HashMap::with_capacity(rows.len());
        for (position, NewRow { id, parent, row }) in rows.into_iter().enumerate() {
            positions.insert(id, position);
            self.name.push(strings.add(&row.name));
            let detail = row.detail.as_deref().filter(|_| !self.id.starts_with("label:"));
            self.detail.push(detail.map_or(-1, |detail| i64::try_from(strings.add(detail)).unwrap_or(-1)));
            self.parent.push(parent);
            for (column, time) in self.times.iter_mut().zip(row.times()) {
                column.push(microseconds(time));
            }
            self.calls.push(row.calls);
            self.calls_at_least.push(row.calls_at_least);
        }
        let places = places.into_iter().map(|(before, mut places)| {
            places.rows().for_each(|row| *row = row.and_then(|row| positions.get(&(row + before)).copied()));
            places
        });
        self.places = places.collect();
        self.by_step = Series::new(self.name.len() * COLUMNS);
    }

    /// Adds the samples of a step.
    pub(super) fn add(&mut self, sums: &Sums) {
        let series = &mut self.by_step;
        for places in &self.places {
            match places {
                RowPlaces::ByStack { own, total, outside } => {
                    for stack in sums.stacks.iter().map(|stack| stack.index()) {
                        let times = sums.own[stack];
                        if let Some(row) = own[stack] {
                            add_own(series, row, times, sums.spent[stack]);
                            if *outside == Some(row) {
                                series.add(row * COLUMNS + TOTAL, times.wall);
                            }
                        }
                        if let Some(row) = total[stack] {
                            series.add(row * COLUMNS + TOTAL, sums.total[stack]);
                        }
                    }
                }
                RowPlaces::ByLabels(rows) => {
                    for ((labels, spent), times) in &sums.by_labels {
                        if let Some(row) = rows[labels.index()] {
                            add_own(series, row, *times, *spent);
                            series.add(row * COLUMNS + TOTAL, times.wall);
                        }
                    }
                }
            }
        }
    }
}

/// Adds to the columns before the total.
fn add_own(series: &mut Series, row: usize, times: Times, spent: Spent) {
    let columns = match spent {
        Spent::Guest => [times.cpu, 0, times.blocked(), times.preempted, 0],
        Spent::Host => [0, times.cpu, times.blocked(), times.preempted, 0],
        Spent::Boundary => [0, 0, 0, 0, times.wall],
    };
    (row * COLUMNS..).zip(columns).for_each(|(cell, time)| series.add(cell, time));
}

/// Removes the rows that tell least, in own as in total time, until the rest may stay. Rows with parts stay first of all.
fn leave_out(rows: &mut Vec<NewRow>) -> Vec<NewRow> {
    let wholes: HashSet<i64> = rows.iter().map(|each| each.parent).collect();
    // The hottest functions have less time of their own than those that call them have in total.
    let weight = |row: &ReportRow| (row.attributed() * 4).max(row.total);
    let mut order: Vec<(bool, Reverse<Duration>, i64)> = (0..)
        .zip(rows.iter())
        .map(|(index, each)| (!wholes.contains(&index), Reverse(weight(&each.row)), index))
        .collect();
    order.sort_unstable();
    let mut kept: Vec<i64> = order.into_iter().take(MAX_ROWS).map(|(.., index)| index).collect();
    kept.sort_unstable();
    let mut left_out = Vec::new();
    for (index, each) in (0..).zip(std::mem::take(rows)) {
        if kept.binary_search(&index).is_ok() {
            // What it is a part of has stayed, and is where it is among those that have.
            let parent = kept.binary_search(&each.parent).ok().and_then(|parent| i64::try_from(parent).ok());
            rows.push(NewRow { parent: parent.unwrap_or(-1), ..each });
        } else {
            left_out.push(each);
        }
    }
    left_out
}

/// Calls with their quantiles. Times are in milliseconds; null where they are not known.
#[derive(Serialize)]
pub(super) struct Calls {
    rows: Vec<CallsRow>,
    rows_left_out: usize,
    unnamed: u64,
}

#[derive(Serialize)]
struct CallsRow {
    name: String,
    count: u64,
    times: Option<TimesJson>,
}

impl Calls {
    pub(super) fn new(profile: &Profile) -> Option<Self> {
        let trace = profile.calls()?;
        let row = |called: &CalledFunction| CallsRow {
            name: escape_name(&called.crossing.to_string()).into_owned(),
            count: called.count,
            times: called.times.as_ref().map(TimesJson::new),
        };
        let functions = trace.functions();
        Some(Self {
            rows: functions.iter().take(MAX_ROWS).map(row).collect(),
            rows_left_out: functions.len().saturating_sub(MAX_ROWS),
            unnamed: trace.unnamed_entries(),
        })
    }
}

/// A linear memory. Sizes are in bytes.
#[derive(Serialize)]
pub(super) struct Memory {
    name: String,
    peak: u64,
    last: u64,
    growths: u64,
}

/// All memories, and how many of them are left out.
pub(super) fn memories(profile: &Profile) -> (Vec<Memory>, usize) {
    let memories = profile.memories();
    let row = |memory: &MemoryTrack| Memory {
        name: escape_name(&memory.name).into_owned(),
        peak: memory.peak,
        last: memory.points.last().map_or(0, |(_, size)| *size),
        growths: memory.growths,
    };
    (memories.iter().take(MAX_ROWS).map(row).collect(), memories.len().saturating_sub(MAX_ROWS))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::html::steps::{Grid, each_step, end_step};
    use crate::profile::arbitrary;
    use proptest::prelude::*;

    /// A row with so many milliseconds of its own, and twice as many in total.
    fn row(id: usize, parent: i64, own: usize) -> NewRow {
        let own = Duration::from_millis(own as u64);
        NewRow { id, parent, row: ReportRow { name: id.to_string(), own, total: own * 2, ..ReportRow::default() } }
    }

    #[test]
    fn what_has_least_time_is_left_out_and_parts_stay_with_their_wholes() {
        let count = MAX_ROWS + 500;
        let mut rows: Vec<NewRow> = (0..count).map(|index| row(index, -1, index)).collect();
        // The first has no time, but a part that has much.
        rows.push(row(count, 0, count));
        let left_out = leave_out(&mut rows);
        assert_eq!((rows.len(), left_out.len()), (MAX_ROWS, 501));
        let shortest = rows.iter().skip(1).map(|each| each.row.own).min();
        assert!(left_out.iter().all(|each| Some(each.row.own) < shortest));
        assert_eq!((rows[0].id, rows[MAX_ROWS - 1].parent), (0, 0));
        assert_eq!(rows[MAX_ROWS - 1].id, count);
    }

    #[test]
    fn labels_without_a_table_are_counted() {
        use proptest::strategy::ValueTree;
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let mut profile = arbitrary::profile().new_tree(&mut runner).expect("a profile").current();
        let sets = (0..=MAX_LABELS + 3).map(|set| [(format!("key {set:02}"), "1".to_owned())].into());
        profile.labels = sets.collect();
        // The last of them, no sample has.
        let labels = (0..u32::try_from(MAX_LABELS + 3).expect("a few")).map(crate::profile::LabelsIndex);
        let sample = *profile.samples().next().expect("a sample");
        profile.threads[0].samples = labels.map(|labels| crate::profile::Sample { labels, ..sample }).collect();
        profile.threads.truncate(1);
        let (tables, left_out) = tables(&profile, &mut Strings::default());
        let labels: Vec<&str> = tables.iter().filter_map(|table| table.id.strip_prefix("label:")).collect();
        assert_eq!((labels.len(), labels[0], left_out), (MAX_LABELS, "key 00", 3));
    }

    proptest! {
        #[test]
        fn tables_and_their_steps_have_all_of_the_time(profile in arbitrary::profile()) {
            let mut strings = Strings::default();
            let wall = profile.wall_time();
            let (mut tables, _) = tables(&profile, &mut strings);
            each_step(&profile, Grid::steps(&profile), &mut |step, sums| {
                tables.iter_mut().for_each(|table| table.add(sums));
                end_step(step, &mut tables.iter_mut().map(|table| &mut table.by_step).collect::<Vec<_>>());
            });
            for table in tables {
                let whole = table.parent.iter().enumerate().filter(|(_, parent)| **parent < 0).map(|(row, _)| row);
                let spent: u64 = whole.map(|row| table.times[..5].iter().map(|column| column[row]).sum::<u64>()).sum();
                // Each time is rounded to a microsecond.
                let slack = 5 * table.name.len() as u64 + 5;
                prop_assert!(microseconds(wall).abs_diff(spent) <= slack, "{}: {} instead of {:?}", table.id, spent, wall);
                for (row, parent) in table.parent.iter().enumerate() {
                    prop_assert!(*parent < row as i64);
                    for column in 0..COLUMNS {
                        let by_step = table.by_step.of_cell(row * COLUMNS + column);
                        prop_assert!(table.times[column][row].abs_diff(by_step) <= 60);
                    }
                }
            }
        }
    }
}
