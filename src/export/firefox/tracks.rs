//! Tracks: what the format calls threads. Each thread has several.

use std::rc::Rc;
use std::time::Duration;

use serde::ser::{Serialize, SerializeMap, Serializer};

use super::categories::Category;
use super::columns::{Milliseconds, Table};
use super::markers::{Cause, Marker, Markers, milliseconds};
use super::shared::{Shared, StackRow, StackTables};
use super::{Document, PID};
use crate::firefox_format::all_rows;
use crate::nanos::nanos;
use crate::profile::{
    CallTrace, Dimension, Label, NO_INTERFACE, OtherStacks, Profile, Sample, StackIndex, Thread, Tree,
};
use crate::symbols::Layer;

/// What the stacks of a track are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    Functions,
    /// Interface functions alone.
    Interfaces,
    /// Functions, with all frames of the host, where those of `Functions` are not all.
    Complete,
}

impl Kind {
    /// The first word of its label, of which only the beginning is seen.
    fn name(self) -> &'static str {
        match self {
            Self::Functions => "Functions",
            Self::Interfaces => "Interfaces",
            Self::Complete => "Host frames",
        }
    }

    /// Whether it is shown before anybody asks for it.
    pub(super) fn is_shown(self) -> bool {
        self != Self::Complete
    }

    /// Readers know by the numbers of tracks which are of the same thread.
    fn number(self, thread: usize, threads: usize) -> usize {
        let before = match self {
            Self::Functions => 0,
            Self::Interfaces => threads,
            Self::Complete => threads * 2,
        };
        before + thread + 1
    }
}

/// A track.
pub(super) struct Track<'p> {
    pub(super) kind: Kind,
    /// Which thread it is of.
    pub(super) thread: usize,
    name: String,
    number: usize,
    is_first: bool,
    process_name: &'p str,
    elapsed: Duration,
    interval: Duration,
    samples: &'p [Sample],
    /// By stack of the profile that the samples are of.
    stacks: Rc<[Option<StackRow>]>,
    pub(super) markers: Vec<Marker>,
}

/// By stack of the profile: its row on the tracks of functions, and on those of interfaces.
pub(super) struct MarkerStacks {
    functions: Vec<Option<StackRow>>,
    interfaces: Vec<Option<StackRow>>,
}

impl MarkerStacks {
    /// What was running when something happened, on both tracks.
    pub(super) fn causes(&self, time: Duration, stack: Option<StackIndex>) -> [Option<Cause>; 2] {
        let cause = |rows: &[Option<StackRow>]| {
            let stack = rows.get(stack?.index()).copied()??;
            Some(Cause { time: milliseconds(time), stack })
        };
        [cause(&self.functions), cause(&self.interfaces)]
    }
}

impl<'p> Document<'p> {
    /// Adds all tracks. `shown` has the stacks that are shown, if those are not the profile's.
    pub(super) fn add_tracks(&mut self, shown: Option<&OtherStacks>) -> MarkerStacks {
        let profile = self.profile;
        let samples = profile.threads().iter().flat_map(|thread| &thread.samples).map(|sample| sample.stack);
        let growths = profile.memory_growths().iter().filter_map(|growth| growth.stack);
        let calls = profile.calls().into_iter().flat_map(CallTrace::kept).filter_map(|call| call.stack);
        let mut needed = vec![false; profile.stacks().len()];
        samples.chain(growths).chain(calls).for_each(|stack| needed[stack.index()] = true);
        let interfaces = interface_stacks(&mut self.shared, profile, &needed);
        let fewer = shown.map(|other| {
            let OtherStacks { functions, frames, stacks, of_stack, .. } = other;
            let mut others_needed = vec![false; stacks.len()];
            let used = of_stack.iter().zip(&needed).filter(|(_, is_needed)| **is_needed);
            used.for_each(|(stack, _)| others_needed[stack.index()] = true);
            let rows = self.shared.stacks_of(profile, StackTables { functions, frames, stacks }, others_needed);
            of_stack.iter().map(|stack| rows[stack.index()]).collect::<Vec<_>>()
        });
        let tables = StackTables { functions: profile.functions(), frames: profile.frames(), stacks: profile.stacks() };
        let complete = self.shared.stacks_of(profile, tables, needed);
        let (functions, complete) = match fewer {
            Some(fewer) => (fewer, Some(complete)),
            None => (complete, None),
        };
        self.add_tracks_of(Kind::Interfaces, profile.threads(), &interfaces);
        self.add_tracks_of(Kind::Functions, profile.threads(), &functions);
        if let Some(complete) = complete {
            self.add_tracks_of(Kind::Complete, profile.threads(), &complete);
        }
        MarkerStacks { functions, interfaces }
    }

    /// Adds a track for each thread.
    fn add_tracks_of(&mut self, kind: Kind, threads: &'p [Thread], stacks: &[Option<StackRow>]) {
        let stacks: Rc<[Option<StackRow>]> = stacks.into();
        let names = self.profile.threads().iter().enumerate().map(|(index, thread)| {
            let number = if threads.len() > 1 { format!(" {}", index + 1) } else { String::new() };
            format!("{}{number}: {}", kind.name(), thread_name(self.profile, thread))
        });
        let mut names: Vec<String> = names.collect();
        let mut samples: Vec<&'p [Sample]> = threads.iter().map(|thread| thread.samples.as_slice()).collect();
        if threads.is_empty() {
            // A file without threads does not open.
            names.push(kind.name().to_owned());
            samples.push(&[]);
        }
        for (thread, (name, samples)) in names.into_iter().zip(samples).enumerate() {
            self.tracks.push(Track {
                kind,
                thread,
                name,
                number: kind.number(thread, threads.len().max(1)),
                is_first: self.tracks.is_empty(),
                process_name: self.profile.name(),
                elapsed: self.profile.elapsed(),
                interval: self.profile.interval(),
                samples,
                stacks: Rc::clone(&stacks),
                markers: Vec::new(),
            });
        }
    }

    /// The track that is selected before anybody selects one: of the busiest thread. Only one, because the front-end takes
    /// all samples of several together to stand for the same time.
    pub(super) fn selected_track(&self) -> usize {
        let kind = match self.profile.first_dimension() {
            Dimension::Function => Kind::Functions,
            _ => Kind::Interfaces,
        };
        // Who looks at a capture looks for what it is of.
        let captured = self.profile.captured().and_then(|captured| captured.thread);
        let of_captured = |track: &Track<'_>| track.kind == kind && Some(track.thread) == captured;
        if let Some(track) = self.tracks.iter().position(of_captured) {
            return track;
        }
        let cpu = |track: &Track<'_>| track.samples.iter().map(|sample| sample.cpu).sum::<Duration>();
        let of_kind = self.tracks.iter().enumerate().filter(|(_, track)| track.kind == kind);
        // Of equal ones the first.
        let busiest = of_kind.min_by_key(|(_, track)| std::cmp::Reverse(cpu(track)));
        busiest.map_or(0, |(index, _)| index)
    }

    /// Adds a marker to the tracks of a thread.
    pub(super) fn on_both_tracks(&mut self, thread: usize, marker: &Marker) {
        self.add_to_tracks(thread, marker.clone(), marker.clone());
    }

    /// Adds a marker to the track of functions of a thread, and one to that of interfaces.
    pub(super) fn add_to_tracks(&mut self, thread: usize, functions: Marker, interfaces: Marker) {
        for (kind, marker) in [(Kind::Functions, functions), (Kind::Interfaces, interfaces)] {
            let mut tracks = self.tracks.iter_mut();
            if let Some(track) = tracks.find(|track| (track.kind, track.thread) == (kind, thread)) {
                track.markers.push(marker);
            }
        }
    }

    pub(super) fn on_selected_track(&mut self, marker: Marker) {
        if let Some(track) = self.tracks.get_mut(self.selected) {
            track.markers.push(marker);
        }
    }
}

/// The rows of those stacks of `profile` that are `needed`, made of interface functions alone.
fn interface_stacks<'p>(shared: &mut Shared<'p>, profile: &'p Profile, needed: &[bool]) -> Vec<Option<StackRow>> {
    let mut tree = Tree::without_samples(profile, Dimension::Interface);
    let stacks = (0..).map(StackIndex).zip(needed);
    let nodes: Vec<Option<(StackIndex, u32)>> =
        stacks.map(|(stack, is_needed)| is_needed.then(|| (stack, tree.node_of(stack)))).collect();
    let mut made: Vec<Option<StackRow>> = vec![None; tree.nodes().len()];
    let mut row = |(stack, node): (StackIndex, u32)| {
        if tree.label(node) == Label::All {
            // The host's, or of a guest whose entry was not seen.
            let function = &profile.functions()[profile.leaf(stack).index()];
            let layer = profile.libraries()[function.library.index()].layer;
            let category = shared.categories.row(Category::Layer(layer), None);
            return Some(shared.label(None, NO_INTERFACE, category));
        }
        let missing: Vec<u32> = tree.path(node).take_while(|at| made[*at as usize].is_none()).collect();
        let mut caller = tree.path(node).nth(missing.len()).and_then(|at| made[at as usize]);
        for node in missing.into_iter().rev() {
            let label = tree.label(node);
            let category = match (tree.crossing(label), label) {
                (Some(crossing), _) => Category::behind(crossing.direction),
                (None, Label::Boundary) => Category::Boundary,
                // Frames of the guest that were left out.
                (None, Label::Unknown) => Category::Layer(Layer::Guest),
                // Around boundary time that is of no interface.
                (None, _) => Category::Layer(Layer::Host),
            };
            // The boundary is that of the interface above.
            let crossing = tree.path(node).find_map(|at| tree.crossing(tree.label(at)));
            let category = shared.categories.row(category, crossing.map(|crossing| crossing.interface.as_str()));
            caller = Some(shared.label(caller, &tree.name(label), category));
            made[node as usize] = caller;
        }
        caller
    };
    nodes.into_iter().map(|node| node.and_then(&mut row)).collect()
}

/// The most components that the name of a track names.
const MAX_COMPONENTS: usize = 3;

/// The name of a thread, and whose code ran on it.
fn thread_name(profile: &Profile, thread: &Thread) -> String {
    let components = profile.components_of(thread);
    match components.as_slice() {
        [] => thread.name.clone(),
        [.., _] if components.len() > MAX_COMPONENTS => {
            let more = components.len() - MAX_COMPONENTS;
            format!("{} ({} and {more} more)", thread.name, components[..MAX_COMPONENTS].join(", "))
        }
        _ => format!("{} ({})", thread.name, components.join(", ")),
    }
}

/// An element of `threads` of the format.
impl Serialize for Track<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.name)?;
        map.serialize_entry("isMainThread", &self.is_first)?;
        map.serialize_entry("processType", "default")?;
        map.serialize_entry("processName", self.process_name)?;
        map.serialize_entry("processStartupTime", &0)?;
        map.serialize_entry("processShutdownTime", &milliseconds(self.elapsed))?;
        map.serialize_entry("registerTime", &0)?;
        map.serialize_entry("unregisterTime", &milliseconds(self.elapsed))?;
        map.serialize_entry("pausedRanges", &[] as &[()])?;
        map.serialize_entry("showMarkersInTimeline", &true)?;
        map.serialize_entry("pid", PID)?;
        map.serialize_entry("tid", &self.number.to_string())?;
        map.serialize_entry("samples", &Samples(self))?;
        map.serialize_entry("markers", &Markers(&self.markers))?;
        map.end()
    }
}

struct Samples<'t, 'p>(&'t Track<'p>);

impl Serialize for Samples<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(track) = *self;
        let rows = || all_rows(track.samples, track.interval);
        let deltas = || {
            let mut last = Duration::ZERO;
            rows().map(move |(_, row)| milliseconds(row.time.saturating_sub(std::mem::replace(&mut last, row.time))))
        };
        Table::new(serializer, rows().count())?
            .add("stack", || rows().map(|(sample, _)| track.stacks[sample.stack.index()]))?
            .add("timeDeltas", deltas)?
            .add("weight", || rows().map(|(_, row)| -> Milliseconds { milliseconds(row.wall) }))?
            .entry("weightType", "tracing-ms")?
            .add("threadCPUDelta", || rows().map(|(_, row)| nanos(row.cpu)))?
            .end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::export::write_firefox;
    use crate::profile::{UNKNOWN_INTERFACE, arbitrary};
    use crate::symbols::FunctionKind;

    /// The category of what is called `name`, for a stack of these kinds of functions.
    fn category_of(name: &str, kinds: &[FunctionKind]) -> String {
        let frames: Vec<_> = kinds.iter().map(|kind| (*kind, "")).collect();
        let mut file = Vec::new();
        write_firefox(&arbitrary::of_stack(&frames), &mut file).expect("writing");
        let file: Value = serde_json::from_slice(&file).expect("JSON");
        let shared = &file["shared"];
        let position = |column: &Value, wanted: &Value| {
            let column = column.as_array().expect("a column");
            column.iter().position(|value| value == wanted).expect("a row")
        };
        let name = position(&shared["stringArray"], &name.into());
        let function = position(&shared["funcTable"]["name"], &name.into());
        let frame = position(&shared["frameTable"]["func"], &function.into());
        let category = shared["frameTable"]["category"][frame].as_u64().expect("a number");
        let category = &file["meta"]["categories"][usize::try_from(category).expect("few")];
        category["name"].as_str().expect("a name").to_owned()
    }

    #[test]
    fn what_is_outside_of_interfaces_has_its_own_category() {
        assert_eq!(category_of(NO_INTERFACE, &[FunctionKind::Host]), "Host");
        assert_eq!(category_of(NO_INTERFACE, &[FunctionKind::Host, FunctionKind::Guest]), "Guest");
        assert_eq!(category_of(UNKNOWN_INTERFACE, &[FunctionKind::Elided, FunctionKind::Guest]), "Guest");
    }
}
