//! Counter tracks of linear memories, and markers where they grow.

use fxprof_processed_profile as fxprof;

use super::Document;
use super::calls::field;
use super::categories::Category;
use super::markers::name_and_category;
use crate::profile::MemoryGrowth;
use crate::symbols::Layer;

impl Document<'_> {
    /// Adds a counter for each memory, and a marker for each growth on the first thread; `stacks` are those that this
    /// thread has already.
    pub(super) fn memories(
        &mut self,
        process: fxprof::ProcessHandle,
        thread: fxprof::ThreadHandle,
        stacks: &mut [Option<fxprof::StackHandle>],
    ) {
        for memory in self.profile.memories() {
            let name = format!("memory of {}", memory.name);
            let counter = self.out.add_counter(process, &name, "Memory", "Size of a linear memory");
            let mut before = 0.0;
            for (time, bytes) in &memory.points {
                #[allow(clippy::cast_precision_loss, reason = "a size to be drawn")]
                let bytes = *bytes as f64;
                self.out.add_counter_sample(counter, super::timestamp(*time), bytes - before, 0);
                before = bytes;
            }
        }
        for growth in self.profile.memory_growths() {
            let memory = &self.profile.memories()[growth.memory];
            let marker = GrowthMarker {
                name: self.out.intern_string("memory.grow"),
                memory: self.out.intern_string(&memory.name),
                category: self.categories.handle(Category::Layer(Layer::Guest)),
                growth,
            };
            let timing = fxprof::MarkerTiming::Instant(super::timestamp(growth.time));
            let marker = self.out.add_marker(thread, timing, marker);
            if let Some(stack) = growth.stack {
                let stack = self.stack(thread, stack.index(), stacks);
                self.out.set_marker_stack(thread, marker, stack);
            }
        }
    }
}

struct GrowthMarker<'g> {
    name: fxprof::StringHandle,
    memory: fxprof::StringHandle,
    category: fxprof::CategoryHandle,
    growth: &'g MemoryGrowth,
}

impl fxprof::StaticSchemaMarker for GrowthMarker<'_> {
    const UNIQUE_MARKER_TYPE_NAME: &'static str = "MemoryGrowth";
    const DESCRIPTION: Option<&'static str> = Some("A linear memory grows");
    const LOCATIONS: fxprof::MarkerLocations = fxprof::MarkerLocations::MARKER_CHART
        .union(fxprof::MarkerLocations::MARKER_TABLE.union(fxprof::MarkerLocations::TIMELINE_OVERVIEW));
    const TOOLTIP_LABEL: Option<&'static str> = Some("{marker.data.memory} grows to {marker.data.to}");
    const TABLE_LABEL: Option<&'static str> = Some("{marker.data.memory} grows to {marker.data.to}");
    const FIELDS: &'static [fxprof::StaticSchemaMarkerField] = &[
        field("memory", "Memory", fxprof::MarkerFieldFormat::String),
        field("from", "From", fxprof::MarkerFieldFormat::Bytes),
        field("to", "To", fxprof::MarkerFieldFormat::Bytes),
    ];

    name_and_category!();

    fn string_field_value(&self, _: u32) -> fxprof::StringHandle {
        self.memory
    }

    #[allow(clippy::cast_precision_loss, reason = "a size to be shown")]
    fn number_field_value(&self, field: u32) -> f64 {
        (if field == 1 { self.growth.from } else { self.growth.to }) as f64
    }
}
