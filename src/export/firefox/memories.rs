//! Counter tracks of linear memories, and markers where they grow.

use std::time::Duration;

use fxprof_processed_profile as fxprof;
use serde::Serialize;
use serde::ser::Serializer;

use super::categories::Category;
use super::columns::{Milliseconds, Table};
use super::markers::{Cause, Data, Marker, milliseconds};
use super::tracks::MarkerStacks;
use super::{Document, PID};
use crate::profile::{MemoryTrack, OTHER_MEMORIES};
use crate::symbols::Layer;

impl Document<'_> {
    /// Adds a marker for each growth.
    pub(super) fn growth_markers(&mut self, stacks: &MarkerStacks) {
        for growth in self.profile.memory_growths() {
            let memory = &self.profile.memories()[growth.memory];
            let name = self.shared.string("memory.grow");
            let memory = self.shared.string(&memory.name);
            let marker = |cause: Option<Cause>| Marker {
                name,
                category: Category::Layer(Layer::Guest),
                begin: growth.time,
                end: None,
                data: Data::MemoryGrowth { memory, from: growth.from, to: growth.to, cause },
            };
            let [functions, interfaces] = stacks.causes(growth.time, growth.stack).map(marker);
            self.add_to_tracks(0, functions, interfaces);
        }
    }

    /// A counter for each memory.
    pub(super) fn counters(&self) -> Vec<Counter> {
        let memories = self.profile.memories();
        let short = |memory: &MemoryTrack| memory.name.rsplit('/').next().unwrap_or_default().to_owned();
        let label = |name: &str| if name == OTHER_MEMORIES { name.to_owned() } else { format!("{name} memory") };
        let counters = memories.iter().map(|memory| {
            // Of a label only the beginning is seen, and all modules of a component begin with its name.
            let short_name = short(memory);
            let is_unique = memories.iter().filter(|other| short(other) == short_name).count() == 1;
            let name = if is_unique && !short_name.is_empty() { &short_name } else { &memory.name };
            Counter {
                name: format!("memory of {}", memory.name),
                category: "Memory",
                description: format!("Size of the linear memory of {}", memory.name),
                pid: PID,
                main_thread_index: 0,
                samples: Samples(drawn(&memory.points, self.profile.elapsed())),
                display: Display { label: label(name), ..DISPLAY },
            }
        });
        counters.collect()
    }
}

/// A track with the size of a memory.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Counter {
    name: String,
    category: &'static str,
    description: String,
    pid: &'static str,
    main_thread_index: usize,
    samples: Samples,
    display: Display,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Display {
    graph_type: &'static str,
    unit: &'static str,
    color: fxprof::GraphColor,
    /// Of markers of growth it could not show those of one memory alone.
    marker_schema_location: Option<&'static str>,
    sort_weight: u32,
    label: String,
    tooltip_rows: &'static [TooltipRow],
}

const DISPLAY: Display = Display {
    graph_type: "line-accumulated",
    unit: "bytes",
    color: fxprof::GraphColor::Orange,
    marker_schema_location: None,
    sort_weight: 20,
    label: String::new(),
    // The front-end counts from nothing at the left edge of what is seen: these are sizes only where all is seen.
    tooltip_rows: &[
        TooltipRow::Value {
            source: "accumulated",
            format: TooltipFormat { unit: "bytes" },
            label: "size (zoomed in: growth since the left edge)",
        },
        TooltipRow::Separator,
        TooltipRow::Value {
            source: "count-range",
            format: TooltipFormat { unit: "bytes" },
            label: "most less least in the visible range",
        },
    ],
};

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "lowercase")]
enum TooltipRow {
    Value { source: &'static str, format: TooltipFormat, label: &'static str },
    Separator,
}

#[derive(Serialize)]
struct TooltipFormat {
    unit: &'static str,
}

/// When, and how many bytes it had from then on.
struct Samples(Vec<(Duration, u64)>);

/// The points between which the front-end's straight lines are the size of a memory.
///
/// The front-end takes the first for nothing, whatever it says; draws a slope from each to the next; and stops at the last. Of a
/// part of the time, it counts from nothing with the last point before that part: so that one has no change.
fn drawn(points: &[(Duration, u64)], end: Duration) -> Vec<(Duration, u64)> {
    let mut drawn = vec![(Duration::ZERO, 0)];
    let mut size = 0;
    for (time, changed) in points {
        drawn.extend([(*time, size), (*time, *changed), (*time, *changed)]);
        size = *changed;
    }
    let last = points.last().map_or(Duration::ZERO, |(time, _)| *time);
    drawn.push((end.max(last), size));
    drawn
}

impl Serialize for Samples {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(points) = self;
        #[allow(clippy::cast_possible_wrap, reason = "no memory has 2^63 bytes")]
        let changes = || {
            let before = std::iter::once(0).chain(points.iter().map(|(_, size)| *size));
            points.iter().zip(before).map(|((_, size), before)| size.wrapping_sub(before) as i64)
        };
        Table::new(serializer, points.len())?
            .add("time", || points.iter().map(|(time, _)| -> Milliseconds { milliseconds(*time) }))?
            .add("count", changes)?
            .end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_is_kept_until_it_changes() {
        let ms = Duration::from_millis;
        let points = [(ms(0), 10), (ms(5), 30), (ms(7), 20)];
        let expected =
            [(0, 0), (0, 0), (0, 10), (0, 10), (5, 10), (5, 30), (5, 30), (7, 30), (7, 20), (7, 20), (9, 20)];
        assert_eq!(drawn(&points, ms(9)), expected.map(|(time, size)| (ms(time), size)));
        assert_eq!(drawn(&[], ms(9)), [(ms(0), 0), (ms(9), 0)]);
    }
}
