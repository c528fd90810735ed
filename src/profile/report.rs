//! Time by interface, component, library, function, line, layer or thread.

use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap, FxHashSet};

use super::attribution::{Attribution, Crossed, EndsId, Part};
use super::calls::{CallTrace, CalledFunction};
use super::crossing::{Crossing, CrossingFilter};
#[cfg(feature = "html")]
use super::tables::Stack;
use super::tables::{FileIndex, Profile, ProfileFunction, Sample, SourceLine, StackIndex};
use crate::samples::ProfilerTime;
use crate::symbols::{CrossingEnd, Direction, Ends, FunctionKind, Layer};

/// What the rows of a [`Report`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dimension {
    /// A WIT interface and the direction in which it is crossed.
    Interface,
    /// A function of a WIT interface, and the direction.
    InterfaceFunction,
    /// An interface, the direction, and the components on both sides: who calls and who is called.
    ComponentInterface,
    /// A component: time in the code of its core modules, and in what that calls.
    Component,
    /// An artifact: a core module, the adapters or trampolines of an interface, a file of the host.
    Library,
    /// A function of compiled code or of the host.
    Function,
    /// A function of a script, such as one in Python: time until the next function of a script begins, whatever runs for it.
    Script,
    /// A line of source code. What has none goes by its function.
    Line,
    /// Script, guest, adapter, trampoline or host.
    Layer,
    /// A thread.
    Thread,
    /// The value of a label; see [`Profile::report_by_label`]. Where no label is named, all labels of an activation.
    Label,
}

impl Dimension {
    /// All dimensions but labels, which not every profile has.
    pub const ALL: &'static [Self] = &[
        Self::Interface,
        Self::InterfaceFunction,
        Self::ComponentInterface,
        Self::Component,
        Self::Library,
        Self::Function,
        Self::Script,
        Self::Line,
        Self::Layer,
        Self::Thread,
    ];

    /// The name used in every output: `interface`, `interface-function`, `component-interface`, `component`, `library`,
    /// `function`, `script`, `line`, `layer`, `thread`, `label`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::InterfaceFunction => "interface-function",
            Self::ComponentInterface => "component-interface",
            Self::Component => "component",
            Self::Library => "library",
            Self::Function => "function",
            Self::Script => "script",
            Self::Line => "line",
            Self::Layer => "layer",
            Self::Thread => "thread",
            Self::Label => "label",
        }
    }

    /// Whether rows are crossings, or sums of them.
    fn is_of_crossings(self) -> bool {
        matches!(self, Self::Interface | Self::InterfaceFunction | Self::ComponentInterface)
    }
}

/// Where time outside of all interfaces goes: that of core modules, and of the host around a guest.
pub const NO_INTERFACE: &str = "(no interface)";

/// Where time goes of which the interface cannot be told, because frames in the middle of a deep stack were left out
/// ([`FunctionKind::Elided`]): until the next crossing that is there.
pub const UNKNOWN_INTERFACE: &str = "(unknown interface)";

/// Where time outside of all components goes, and that of which the component cannot be told.
const NO_COMPONENT: &str = "(no component)";

/// Where time goes in which no script runs.
const NO_SCRIPT: &str = "(no script)";

/// How much of a recording one thing accounts for.
///
/// Over all rows of a report, [`own`](Self::own) and [`boundary`](Self::boundary) add up to the recorded time.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ReportRow {
    /// What it is. Mostly chosen by the guest: escape it.
    pub name: String,
    /// More about it: the library of a function, the function of a line, the components on both sides of an interface.
    pub detail: Option<String>,
    /// Wall-clock time of its own work, in guest or host, [blocked](Self::blocked) and [preempted](Self::preempted) time
    /// included.
    pub own: Duration,
    /// The part of that in the host, on the CPU.
    pub host: Duration,
    /// The part of own time in which the thread waited for something other than a CPU.
    pub blocked: Duration,
    /// The part of own time in which the thread was ready to run and had no CPU. `None` if that is not known; then it is part
    /// of [blocked](Self::blocked).
    pub preempted: Option<Duration>,
    /// Wall-clock time of crossing its boundary; for rows that are no interfaces, of boundary work in its code.
    pub boundary: Duration,
    /// CPU time of own and boundary work.
    pub cpu: Duration,
    /// Wall-clock time while it was anywhere on the stack, counted once however often it recurs.
    pub total: Duration,
    /// From where to where it is crossed, for interfaces and their functions: what all samples of the row agree on.
    pub ends: Ends,
    /// Whether [`total`](Self::total) may lack time of what it calls, because that runs on fibers of its own: calls between
    /// components that are async on one side at least. Known for interfaces, their functions, and components.
    pub total_is_partial: bool,
    /// The sum of squares of the time that each sample of it stands for, in seconds squared: the variance of its own and
    /// boundary time, if samples are independent of each other.
    pub variance: f64,
    /// How many calls of it have returned, for interfaces and their functions, if calls were
    /// [traced](crate::Recorder::call_tracer) and all of them are known.
    pub calls: Option<u64>,
    /// A lower bound of that number, where only such a bound is known.
    pub calls_at_least: Option<u64>,
}

impl ReportRow {
    /// Own and boundary time.
    #[must_use]
    pub fn attributed(&self) -> Duration {
        self.own + self.boundary
    }

    /// Which of two rows comes first.
    fn order(&self, other: &Self) -> std::cmp::Ordering {
        let times = |row: &Self| (row.attributed(), row.total);
        times(other).cmp(&times(self)).then_with(|| self.name.cmp(&other.name))
    }

    /// What its time was spent on: guest, host, blocked, preempted and boundary; then its total.
    #[cfg(feature = "html")]
    pub(crate) fn times(&self) -> [Duration; 6] {
        let waiting = self.blocked + self.preempted.unwrap_or_default();
        let guest = self.own.saturating_sub(self.host + waiting);
        [guest, self.host, self.blocked, self.preempted.unwrap_or_default(), self.boundary, self.total]
    }
}

/// The rows of a report, in its order, and which of them have time of what.
#[cfg(feature = "html")]
pub(crate) struct PlacedRows {
    pub(crate) rows: Vec<ReportRow>,
    pub(crate) place: RowPlaces,
}

/// Positions of rows.
#[cfg(feature = "html")]
pub(crate) enum RowPlaces {
    ByStack {
        /// By stack: whose own or boundary time its samples are.
        own: Vec<Option<usize>>,
        /// By stack: whose total has its samples and those of all that it calls. Nothing where the total of a caller has
        /// them already.
        total: Vec<Option<usize>>,
        /// The row whose total is nothing but its own and boundary time: what is outside of all others.
        outside: Option<usize>,
    },
    /// By set of labels: whose own or boundary time its samples are, and whose total.
    ByLabels(Vec<Option<usize>>),
}

#[cfg(feature = "html")]
impl RowPlaces {
    /// All positions of rows.
    pub(crate) fn rows(&mut self) -> impl Iterator<Item = &mut Option<usize>> {
        let (by_one, by_other, outside) = match self {
            Self::ByStack { own, total, outside } => (own.as_mut_slice(), total.as_mut_slice(), Some(outside)),
            Self::ByLabels(rows) => (rows.as_mut_slice(), [].as_mut_slice(), None),
        };
        by_one.iter_mut().chain(by_other).chain(outside)
    }
}

/// Time by one [`Dimension`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Report {
    /// What the rows are.
    pub dimension: Dimension,
    /// The rows, that with the most own and boundary time first.
    pub rows: Vec<ReportRow>,
    /// Wall-clock time of all samples.
    pub wall: Duration,
    /// CPU time of all samples.
    pub cpu: Duration,
    /// Time in which threads were ready to run and had no CPU, of all samples, if that is known.
    pub preempted: Option<Duration>,
    /// Wall-clock time of calls between components that ran on fibers of their own: it is in the rows of what was called, and in
    /// no total of who called.
    pub on_own_fibers: Duration,
    /// Time of the profiler's own, which is in no row, and in neither `wall` nor `cpu`.
    pub profiler: ProfilerTime,
}

/// What identifies a row while it is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'p> {
    Interface(&'p str, Direction),
    Crossing(&'p Crossing),
    ComponentInterface(&'p str, Direction, EndsId),
    /// Behind frames that were left out.
    Unknown,
    Named(&'p str),
    Function(u32),
    /// Of a function, in a file.
    Line(u32, FileIndex, u32),
    Thread(usize),
    Labels(u32),
    Nothing,
}

/// Where time without a label goes.
const NO_LABEL: &str = "(no label)";

/// What samples are kept apart by, beside their stacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
struct Place {
    thread: usize,
    labels: u32,
}

impl Place {
    fn of(dimension: Dimension, thread: usize, sample: &Sample) -> Self {
        match dimension {
            Dimension::Thread => Self { thread, ..Self::default() },
            Dimension::Label => Self { labels: sample.labels.0, ..Self::default() },
            _ => Self::default(),
        }
    }
}

/// Samples of one stack in one place.
#[derive(Clone, Copy, Default)]
struct Sum {
    wall: Duration,
    cpu: Duration,
    preempted: Duration,
    squares: f64,
}

impl Sum {
    fn add(&mut self, sample: &Sample) {
        self.wall += sample.wall;
        self.cpu += sample.cpu;
        self.preempted += sample.preempted;
        // Samples that were summed up are as many independent ones.
        #[allow(clippy::cast_precision_loss, reason = "a number of samples")]
        let samples = sample.count.max(1) as f64;
        self.squares += sample.wall.as_secs_f64().powi(2) / samples;
    }
}

impl Profile {
    /// Time by `dimension`.
    ///
    /// ```
    /// # use witprof::{Dimension, Profile};
    /// # fn example(profile: &Profile) {
    /// for row in profile.report(Dimension::Interface).rows {
    ///     println!("{}: {:?} of its own, {:?} at its boundary", row.name, row.own, row.boundary);
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn report(&self, dimension: Dimension) -> Report {
        self.report_of(dimension, None)
    }

    /// Time by `dimension`, of the crossings that `filter` means: own and boundary time of samples whose innermost crossing is
    /// one of them. The total is the time inside of such a crossing; where rows are no interfaces, that of their frames in
    /// samples that are inside of one. Shares are still of the whole recording. `None` if no sample is inside of one.
    ///
    /// How often calls were made is not known for each component, so rows have no calls.
    #[must_use]
    pub fn report_between(&self, dimension: Dimension, filter: &CrossingFilter) -> Option<Report> {
        let view = View::new(self, None);
        let is_meant: Vec<bool> = view.attribution.all_ends().map(|ends| filter.is_met_by(ends)).collect();
        let is_meant = |crossed: &Crossed| is_meant[view.attribution.ends_id(*crossed) as usize];
        let mut rows = Rows::new(&view, dimension);
        let mut is_found = false;
        for (place, stack, sum) in self.sums_by_stack(dimension) {
            if !view.attribution.path(stack).any(|crossed| is_meant(&crossed)) {
                continue;
            }
            is_found = true;
            rows.next_turn();
            if view.attribution.crossing(stack).is_some_and(|crossed| is_meant(&crossed)) {
                rows.add_own(view.key(dimension, place, stack), stack, &sum);
            }
            if dimension.is_of_crossings() {
                for crossed in view.attribution.path(stack).filter(is_meant) {
                    rows.add_crossed(crossed, sum.wall);
                }
            } else {
                view.inclusive(dimension, place, stack, |key| rows.add_total(key, sum.wall));
            }
        }
        is_found.then(|| self.finish_report(dimension, rows))
    }

    /// Time by the value of the label `key`: `route`, for instance, if activations were given
    /// [labels](crate::Recorder::labels) with that key.
    ///
    /// ```
    /// # use witprof::Profile;
    /// # fn example(profile: &Profile) {
    /// let slowest = profile.report_by_label("route").rows.first().map(|row| row.name.clone());
    /// # }
    /// ```
    #[must_use]
    pub fn report_by_label(&self, key: &str) -> Report {
        self.report_of(Dimension::Label, Some(key))
    }

    /// What a picture is to show first: functions of an interpreted program; else interfaces, or functions where one interface has
    /// over 90 % of the time, or everything is outside of interfaces, so that a picture by interface says nothing.
    #[must_use]
    pub fn first_dimension(&self) -> Dimension {
        if self.is_of_scripts() {
            return Dimension::Function;
        }
        let report = self.report(Dimension::Interface);
        match report.rows.iter().any(|row| row.attributed() * 10 > report.wall * 9) {
            true => Dimension::Function,
            false => Dimension::Interface,
        }
    }

    fn report_of(&self, dimension: Dimension, label: Option<&str>) -> Report {
        let view = View::new(self, label);
        self.finish_report(dimension, self.rows_of(&view, dimension))
    }

    fn rows_of<'v>(&'v self, view: &'v View<'v>, dimension: Dimension) -> Rows<'v> {
        let mut rows = Rows::new(view, dimension);
        for (place, stack, sum) in self.sums_by_stack(dimension) {
            rows.add(place, stack, &sum);
        }
        self.add_calls(dimension, &mut rows);
        rows
    }

    /// The rows of a report, for sums of parts of the samples. Rows cannot be threads.
    #[cfg(feature = "html")]
    pub(crate) fn placed_rows(&self, dimension: Dimension, label: Option<&str>) -> PlacedRows {
        let view = View::new(self, label);
        let Rows { rows, .. } = self.rows_of(&view, dimension);
        let mut order: Vec<usize> = (0..rows.len()).collect();
        order.sort_by(|a, b| rows[*a].order(&rows[*b]));
        let mut positions = vec![0; rows.len()];
        order.iter().enumerate().for_each(|(position, row)| positions[*row] = position);
        let find = |key: Key<'_>| rows.get_index_of(&key).map(|row| positions[row]);
        let place = if dimension == Dimension::Label {
            RowPlaces::ByLabels((0..).zip(&self.labels).map(|(set, _)| find(view.label_key(set))).collect())
        } else {
            let stacks = || (0..).zip(&self.stacks).map(|(index, _)| StackIndex(index));
            let here: Vec<_> = stacks().map(|stack| view.key_here(dimension, stack).and_then(find)).collect();
            RowPlaces::ByStack {
                own: stacks().map(|stack| find(view.key(dimension, Place::default(), stack))).collect(),
                total: outermost(&self.stacks, here, rows.len()),
                outside: find(Key::Nothing),
            }
        };
        let mut rows: Vec<Option<ReportRow>> = rows.into_values().map(Some).collect();
        PlacedRows { rows: order.into_iter().filter_map(|row| rows[row].take()).collect(), place }
    }

    /// Adds how often each interface or interface function was called, if that is known; those that no sample saw included.
    fn add_calls<'v>(&'v self, dimension: Dimension, rows: &mut Rows<'v>) {
        for function in self.calls.iter().flat_map(CallTrace::functions) {
            let key = match dimension {
                Dimension::Interface => interface_key(&function.crossing),
                Dimension::InterfaceFunction => Key::Crossing(&function.crossing),
                // From where to where calls were is not counted.
                _ => return,
            };
            rows.add_calls(key, function);
        }
    }

    /// Who calls the interface or interface function `name` (see [`Crossing::is_meant_by`]), and what it costs them: rows
    /// are its callers by `dimension`, and their time is what it takes when they call it. Own and boundary time are
    /// those of `name` alone, the total is that with everything it calls. `None` if no sample is inside of it.
    ///
    /// ```
    /// # use witprof::{Dimension, Profile};
    /// # fn example(profile: &Profile) {
    /// if let Some(callers) = profile.callers("wasi:io/streams#output-stream.write", Dimension::Function) {
    ///     callers.rows.iter().for_each(|row| println!("{} waits {:?} for it", row.name, row.total));
    /// }
    /// # }
    /// ```
    #[must_use]
    pub fn callers(&self, name: &str, dimension: Dimension) -> Option<Report> {
        let view = View::new(self, None);
        let mut rows = Rows::new(&view, dimension);
        let is_meant =
            |crossed: &Crossed| crossed.what.is_some_and(|what| view.attribution.get(what).is_meant_by(name));
        let mut is_found = false;
        for (place, stack, sum) in self.sums_by_stack(dimension) {
            // The outermost, so that a recursion is counted once.
            let Some(Crossed { at, .. }) = view.attribution.path(stack).filter(is_meant).last() else { continue };
            is_found = true;
            rows.next_turn();
            let caller = self.stacks[at.index()].caller;
            let key = caller.map_or(Key::Nothing, |caller| view.caller_key(dimension, place, caller));
            let innermost = view.attribution.path(stack).next();
            if innermost.is_some_and(|innermost| is_meant(&innermost)) {
                rows.add_own(key, stack, &sum);
            }
            rows.add_total(key, sum.wall);
        }
        is_found.then(|| self.finish_report(dimension, rows))
    }

    fn finish_report(&self, dimension: Dimension, mut rows: Rows<'_>) -> Report {
        let on_own_fibers = rows.mark_partial_totals();
        let mut rows: Vec<ReportRow> = rows.rows.into_values().collect();
        rows.sort_by(ReportRow::order);
        let (preempted, profiler) = (self.preempted_time(), self.profiler);
        Report { dimension, rows, wall: self.wall_time(), cpu: self.cpu_time(), preempted, on_own_fibers, profiler }
    }

    /// All samples, summed up by stack, in order of stack; apart for each thread or set of labels, if that is what `dimension`
    /// needs.
    fn sums_by_stack(&self, dimension: Dimension) -> Vec<(Place, StackIndex, Sum)> {
        if !matches!(dimension, Dimension::Thread | Dimension::Label) {
            let mut sums: Vec<Option<Sum>> = vec![None; self.stacks.len()];
            for sample in self.samples() {
                sums[sample.stack.index()].get_or_insert_default().add(sample);
            }
            let sums = (0..).map(StackIndex).zip(sums);
            return sums.filter_map(|(stack, sum)| Some((Place::default(), stack, sum?))).collect();
        }
        let mut sums: IndexMap<(Place, StackIndex), Sum, FxBuildHasher> = IndexMap::default();
        for (thread, of_thread) in self.threads.iter().enumerate() {
            for sample in &of_thread.samples {
                sums.entry((Place::of(dimension, thread, sample), sample.stack)).or_default().add(sample);
            }
        }
        sums.sort_unstable_keys();
        sums.into_iter().map(|((place, stack), sum)| (place, stack, sum)).collect()
    }
}

/// Of the rows that begin at stacks, those that none of the stack's callers is in already. Goes through all stacks once, however
/// deep they are.
#[cfg(feature = "html")]
fn outermost(stacks: &[Stack], mut here: Vec<Option<usize>>, rows: usize) -> Vec<Option<usize>> {
    let mut at = None;
    let mut first_called: Vec<Option<usize>> = vec![None; stacks.len()];
    let mut next: Vec<Option<usize>> = vec![None; stacks.len()];
    for (index, stack) in stacks.iter().enumerate().rev() {
        let list = stack.caller.map_or(&mut at, |caller| &mut first_called[caller.index()]);
        next[index] = list.replace(index);
    }
    let mut is_inside = vec![false; rows];
    while let Some(stack) = at {
        here[stack] = here[stack].filter(|row| !std::mem::replace(&mut is_inside[*row], true));
        let mut left = stack;
        at = first_called[stack].or_else(|| {
            loop {
                here[left].into_iter().for_each(|row| is_inside[row] = false);
                if next[left].is_some() {
                    break next[left];
                }
                left = stacks[left].caller?.index();
            }
        });
    }
    here
}

/// Where keys are looked up.
struct View<'p> {
    profile: &'p Profile,
    attribution: Attribution<'p>,
    /// By function: the first of that name and library, and of scripts of that line in that file. Others may be parts that nothing tells
    /// apart for a reader, such as functions without a symbol.
    functions: Vec<u32>,
    /// The label that is meant, if rows are labels.
    label: Option<&'p str>,
}

fn functions_by_name(profile: &Profile) -> Vec<u32> {
    let mut known = FxHashMap::default();
    let functions = profile.functions.iter().zip(0..);
    functions
        .map(|(function, index)| {
            // Scripts have several functions of one name.
            let begin = function.file.filter(|_| function.kind == FunctionKind::Script);
            let begin = begin.map(|file| (file, function.first_line));
            *known.entry((&function.name, function.library, begin)).or_insert(index)
        })
        .collect()
}

impl<'p> View<'p> {
    fn new(profile: &'p Profile, label: Option<&'p str>) -> Self {
        Self { profile, attribution: Attribution::new(profile), functions: functions_by_name(profile), label }
    }

    /// Whose own or boundary time a sample with this stack is.
    fn key(&self, dimension: Dimension, place: Place, stack: StackIndex) -> Key<'_> {
        match dimension {
            Dimension::Interface | Dimension::InterfaceFunction | Dimension::ComponentInterface => {
                let crossed = self.attribution.crossing(stack);
                crossed.map_or(Key::Nothing, |crossed| self.crossing_key(dimension, crossed))
            }
            Dimension::Component => self
                .attribution
                .innermost_guest(stack)
                .and_then(|guest| self.component(guest))
                .map_or(Key::Nothing, Key::Named),
            Dimension::Library | Dimension::Function | Dimension::Line | Dimension::Layer => {
                self.frame_key(dimension, stack)
            }
            Dimension::Script => {
                let mut keys = self.profile.outwards(stack).map(|stack| self.frame_key(dimension, stack));
                keys.find(|key| *key != Key::Nothing).unwrap_or(Key::Nothing)
            }
            Dimension::Thread => Key::Thread(place.thread),
            Dimension::Label => self.label_key(place.labels),
        }
    }

    /// The row of a crossing, where rows are crossings.
    fn crossing_key(&self, dimension: Dimension, crossed: Crossed) -> Key<'_> {
        let Some(what) = crossed.what else { return Key::Unknown };
        let crossing = self.attribution.get(what);
        match dimension {
            Dimension::InterfaceFunction => Key::Crossing(crossing),
            Dimension::ComponentInterface => {
                let ends = self.attribution.ends_id(crossed);
                Key::ComponentInterface(&crossing.interface, crossing.direction, ends)
            }
            _ => interface_key(crossing),
        }
    }

    /// The row of a set of labels, or that of its value of the label that is meant.
    fn label_key(&self, labels: u32) -> Key<'_> {
        let Some(label) = self.label else { return Key::Labels(labels) };
        let value = self.profile.labels[labels as usize].iter().find(|(key, _)| key == label);
        value.map_or(Key::Labels(0), |(_, value)| Key::Named(value))
    }

    /// The row of the innermost frame of a stack, where rows are made of frames.
    fn frame_key(&self, dimension: Dimension, stack: StackIndex) -> Key<'_> {
        let function = self.profile.leaf(stack);
        let library = || &self.profile.libraries[self.profile.functions[function.index()].library.index()];
        match dimension {
            Dimension::Library => Key::Named(&library().name),
            Dimension::Layer => Key::Named(library().layer.name()),
            Dimension::Component => self.component(stack).map_or(Key::Nothing, Key::Named),
            Dimension::Script if library().layer != Layer::Script => Key::Nothing,
            Dimension::Line => {
                let source = self.profile.innermost(stack).source;
                let function = self.functions[function.index()];
                source.map_or(Key::Function(function), |source| Key::Line(function, source.file, source.line))
            }
            _ => Key::Function(self.functions[function.index()]),
        }
    }

    fn component(&self, stack: StackIndex) -> Option<&'p str> {
        let function = &self.profile.functions[self.profile.leaf(stack).index()];
        self.profile.libraries[function.library.index()].component.as_deref()
    }

    /// The row of a caller whose stack ends with `stack`.
    fn caller_key(&self, dimension: Dimension, place: Place, stack: StackIndex) -> Key<'_> {
        match dimension {
            // Trampolines and shims in between do not ask for anything.
            Dimension::Function | Dimension::Line | Dimension::Library => {
                let mut callers = self.profile.outwards(stack);
                let asks = |stack: &StackIndex| {
                    let function = &self.profile.functions[self.profile.leaf(*stack).index()];
                    matches!(
                        self.profile.libraries[function.library.index()].layer,
                        Layer::Script | Layer::Guest | Layer::Host
                    ) && function.kind != FunctionKind::Shim
                };
                callers.find(asks).map_or(Key::Nothing, |stack| self.frame_key(dimension, stack))
            }
            _ => self.key(dimension, place, stack),
        }
    }

    /// The row that begins with the innermost frame of a stack, or goes on there.
    #[cfg(feature = "html")]
    fn key_here(&self, dimension: Dimension, stack: StackIndex) -> Option<Key<'_>> {
        match dimension {
            Dimension::Interface | Dimension::InterfaceFunction | Dimension::ComponentInterface => {
                self.attribution.crossing_here(stack).map(|crossed| self.crossing_key(dimension, crossed))
            }
            _ => Some(self.frame_key(dimension, stack)).filter(|key| *key != Key::Nothing),
        }
    }

    /// All rows that a sample with this stack is inside of; some of them more than once.
    fn inclusive<'v>(&'v self, dimension: Dimension, place: Place, stack: StackIndex, mut each: impl FnMut(Key<'v>)) {
        match dimension {
            // Each with its ends; see `Rows::add`.
            Dimension::Interface | Dimension::InterfaceFunction | Dimension::ComponentInterface => {}
            Dimension::Thread => each(Key::Thread(place.thread)),
            Dimension::Label => each(self.label_key(place.labels)),
            Dimension::Component
            | Dimension::Library
            | Dimension::Function
            | Dimension::Script
            | Dimension::Line
            | Dimension::Layer => {
                each(self.key(dimension, place, stack));
                let mut at = Some(stack);
                while let Some(stack) = at {
                    match self.frame_key(dimension, stack) {
                        Key::Nothing => {}
                        key => each(key),
                    }
                    at = self.profile.stacks[stack.index()].caller;
                }
            }
        }
    }

    fn name(&self, key: Key<'_>, dimension: Dimension) -> (String, Option<String>) {
        match key {
            Key::Interface(interface, direction) => (format!("{interface} ({})", direction.name()), None),
            Key::Crossing(crossing) => (crossing.to_string(), None),
            Key::ComponentInterface(interface, direction, ends) => {
                (format!("{interface} ({})", direction.name()), Some(self.attribution.ends(ends).to_string()))
            }
            Key::Unknown => (UNKNOWN_INTERFACE.to_owned(), None),
            Key::Named(name) => (name.to_owned(), self.label.map(str::to_owned)),
            Key::Function(function) => {
                let function = &self.profile.functions[function as usize];
                let library = &self.profile.libraries[function.library.index()].name;
                let script = (function.kind == FunctionKind::Script).then(|| {
                    let file = function.file.map_or("", |file| self.profile.file(file));
                    let begin = function.first_line.map_or_else(|| file.to_owned(), |line| format!("{file}:{line}"));
                    (begin, self.script_component(function))
                });
                let detail = match (script, dimension) {
                    (Some((begin, None)), Dimension::Script) => begin,
                    (Some((begin, Some(component))), Dimension::Script) => format!("{begin}, {component}"),
                    // There may be several of the same name.
                    (Some((begin, _)), _) if !begin.is_empty() => format!("{library}, {begin}"),
                    _ => library.clone(),
                };
                (function.name.clone(), (!detail.is_empty()).then_some(detail))
            }
            Key::Line(function, file, line) => {
                let line = self.profile.line_name(SourceLine { file, line, column: None });
                let function = &self.profile.functions[function as usize];
                let component = self.script_component(function).map(|component| format!(", {component}"));
                (line, Some(format!("{}{}", function.name, component.unwrap_or_default())))
            }
            Key::Thread(thread) => (self.profile.distinct_thread_name(thread).into_owned(), None),
            Key::Labels(0) => (NO_LABEL.to_owned(), None),
            Key::Labels(set) => {
                let labels = self.profile.labels[set as usize].iter().map(|(key, value)| format!("{key}={value}"));
                (labels.collect::<Vec<_>>().join(" "), None)
            }
            Key::Nothing if dimension == Dimension::Component => (NO_COMPONENT.to_owned(), None),
            Key::Nothing if dimension == Dimension::Script => (NO_SCRIPT.to_owned(), None),
            Key::Nothing => (NO_INTERFACE.to_owned(), None),
        }
    }
}

impl<'p> View<'p> {
    /// Whose function of a script it is, where there are several programs: their files are called alike.
    fn script_component(&self, function: &ProfileFunction) -> Option<&'p str> {
        let library = &self.profile.libraries[function.library.index()];
        let scripts = self.profile.libraries.iter().filter(|library| library.layer == Layer::Script);
        library.component.as_deref().filter(|_| library.layer == Layer::Script && scripts.count() > 1)
    }
}

fn interface_key(crossing: &Crossing) -> Key<'_> {
    Key::Interface(&crossing.interface, crossing.direction)
}

/// Rows while they are summed up.
struct Rows<'p> {
    view: &'p View<'p>,
    dimension: Dimension,
    rows: IndexMap<Key<'p>, ReportRow, FxBuildHasher>,
    /// By row: in which stack's turn its total was added to last.
    counted: Vec<u64>,
    /// By row: whether it has the ends of a crossing, so that others have to agree.
    has_ends: Vec<bool>,
    turn: u64,
}

impl<'p> Rows<'p> {
    fn new(view: &'p View<'p>, dimension: Dimension) -> Self {
        Self { view, dimension, rows: IndexMap::default(), counted: Vec::new(), has_ends: Vec::new(), turn: 0 }
    }

    fn row(&mut self, key: Key<'p>) -> usize {
        let (view, dimension) = (self.view, self.dimension);
        let entry = self.rows.entry(key);
        let index = entry.index();
        entry.or_insert_with(|| {
            let (name, detail) = view.name(key, dimension);
            let preempted = view.profile.knows_preempted.then_some(Duration::ZERO);
            ReportRow { name, detail, preempted, ..ReportRow::default() }
        });
        if self.counted.len() <= index {
            self.counted.resize(index + 1, 0);
            self.has_ends.resize(index + 1, false);
        }
        index
    }

    /// Adds the samples of a stack to all rows that they belong to.
    fn add(&mut self, place: Place, stack: StackIndex, sum: &Sum) {
        let (view, dimension) = (self.view, self.dimension);
        self.next_turn();
        self.add_own(view.key(dimension, place, stack), stack, sum);
        if !dimension.is_of_crossings() {
            view.inclusive(dimension, place, stack, |key| self.add_total(key, sum.wall));
            return;
        }
        let mut is_inside = false;
        for crossed in view.attribution.path(stack) {
            is_inside = true;
            self.add_crossed(crossed, sum.wall);
        }
        if !is_inside {
            self.add_total(Key::Nothing, sum.wall);
        }
    }

    /// The next stack begins.
    fn next_turn(&mut self) {
        self.turn += 1;
    }

    /// Adds the samples of a stack to the row whose they are.
    fn add_own(&mut self, key: Key<'p>, stack: StackIndex, sum: &Sum) {
        let part = self.view.attribution.part(stack);
        let leaf = &self.view.profile.functions[self.view.profile.leaf(stack).index()];
        let is_host = self.view.profile.libraries[leaf.library.index()].layer == Layer::Host;
        let index = self.row(key);
        let row = &mut self.rows[index];
        row.variance += sum.squares;
        row.cpu += sum.cpu;
        match part {
            Part::Boundary => row.boundary += sum.wall,
            Part::Own => {
                row.own += sum.wall;
                row.blocked += sum.wall.saturating_sub(sum.cpu).saturating_sub(sum.preempted);
                row.preempted = row.preempted.map(|preempted| preempted + sum.preempted);
                if is_host {
                    row.host += sum.cpu.min(sum.wall);
                }
            }
        }
    }

    /// Adds calls of which no sample need have been taken.
    fn add_calls(&mut self, key: Key<'p>, function: &CalledFunction) {
        let index = self.row(key);
        let row = &mut self.rows[index];
        let known = row.calls.take().or(row.calls_at_least).unwrap_or(0);
        let count = known.saturating_add(function.count);
        // A sum of which one part is a lower bound is one as well.
        if function.times.is_some() && row.calls_at_least.is_none() {
            row.calls = Some(count);
        } else {
            row.calls_at_least = Some(count);
        }
    }

    /// Adds to the total of a crossing, and its ends.
    fn add_crossed(&mut self, crossed: Crossed, wall: Duration) {
        let view = self.view;
        let key = view.crossing_key(self.dimension, crossed);
        self.add_total(key, wall);
        let index = self.row(key);
        let found = view.attribution.ends(view.attribution.ends_id(crossed));
        let ends = &mut self.rows[index].ends;
        if !std::mem::replace(&mut self.has_ends[index], true) {
            ends.clone_from(found);
            return;
        }
        for (known, found) in [(&mut ends.from, &found.from), (&mut ends.to, &found.to)] {
            if known != found {
                *known = None;
            }
        }
    }

    /// Marks the rows whose total lacks calls that ran on fibers of their own: those that were seen on the way to such a call,
    /// and those of components that make such calls. Says how much time such calls took.
    fn mark_partial_totals(&mut self) -> Duration {
        let (view, dimension) = (self.view, self.dimension);
        let attribution = &view.attribution;
        let mut time = Duration::ZERO;
        let mut called = FxHashSet::default();
        let mut callers: FxHashSet<&str> = FxHashSet::default();
        for sample in view.profile.samples().filter(|sample| attribution.is_on_own_fiber(sample.stack)) {
            time += sample.wall;
            let Some(outermost) = attribution.path(sample.stack).last() else { continue };
            called.insert(outermost.what);
            if let Some(CrossingEnd::Component(caller)) = &attribution.ends(attribution.ends_id(outermost)).from {
                callers.insert(caller);
            }
        }
        if called.is_empty() {
            return time;
        }
        let mut partial: FxHashSet<Key<'_>> = FxHashSet::default();
        match dimension {
            Dimension::Component => partial.extend(callers.iter().map(|caller| Key::Named(caller))),
            _ if dimension.is_of_crossings() => {
                let mut is_seen = vec![false; view.profile.stacks.len()];
                for sample in view.profile.samples() {
                    if std::mem::replace(&mut is_seen[sample.stack.index()], true) {
                        continue;
                    }
                    let mut is_outside = false;
                    let mut path = attribution.path(sample.stack).peekable();
                    while let Some(crossed) = path.next() {
                        let ends = attribution.ends(attribution.ends_id(crossed));
                        let calls =
                            matches!(&ends.to, Some(CrossingEnd::Component(to)) if callers.contains(to.as_str()));
                        if is_outside || calls {
                            partial.insert(view.crossing_key(dimension, crossed));
                        }
                        // A callee returns through the adapter of the very call that it is inside of.
                        let is_return = path.peek().is_some_and(|outer| {
                            outer.what == crossed.what && attribution.ends_id(*outer) == attribution.ends_id(crossed)
                        });
                        is_outside |= called.contains(&crossed.what) && !is_return;
                    }
                }
            }
            _ => {}
        }
        for (key, row) in &mut self.rows {
            row.total_is_partial = partial.contains(key);
        }
        time
    }

    /// Adds to the total of a row, once in the turn of a stack.
    fn add_total(&mut self, key: Key<'p>, wall: Duration) {
        let index = self.row(key);
        if self.counted[index] != self.turn {
            self.counted[index] = self.turn;
            self.rows[index].total += wall;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::{CalledTimes, arbitrary};
    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;

    #[test]
    fn a_sum_with_a_lower_bound_is_a_lower_bound() {
        let time = Duration::ZERO;
        let times = CalledTimes { wall: time, suspended: time, cpu: None, p50: time, p90: time, p99: time, max: time };
        let called = |count, times| CalledFunction { crossing: crossing(), count, times };
        let of = |functions: &[CalledFunction]| {
            let mut runner = proptest::test_runner::TestRunner::deterministic();
            let profile = arbitrary::profile().new_tree(&mut runner).expect("a profile").current();
            let view = View::new(&profile, None);
            let mut rows = Rows::new(&view, Dimension::Interface);
            functions.iter().for_each(|function| rows.add_calls(Key::Nothing, function));
            (rows.rows[0].calls, rows.rows[0].calls_at_least)
        };
        let (exact, bound) = (called(3, Some(times)), called(4, None));
        assert_eq!(of(&[exact.clone(), exact.clone()]), (Some(6), None));
        assert_eq!(of(&[bound.clone(), bound.clone()]), (None, Some(8)));
        assert_eq!(of(&[exact.clone(), bound.clone(), exact.clone()]), (None, Some(10)));
        assert_eq!(of(&[bound, exact]), (None, Some(7)));
    }

    #[test]
    fn labels_that_may_be_asked_for_are_known() {
        let mut runner = proptest::test_runner::TestRunner::deterministic();
        let profile = arbitrary::profile().new_tree(&mut runner).expect("a profile").current();
        assert_eq!(profile.label_keys(), ["request"]);
        assert!(!profile.report_by_label("request").rows.is_empty());
    }

    #[test]
    fn totals_without_calls_on_other_fibers_are_marked() {
        let (main, app) = (
            (FunctionKind::Host, "main", None, Direction::Internal),
            (FunctionKind::Guest, "f", Some("app"), Direction::Internal),
        );
        let run = (FunctionKind::Entry, "run", None, Direction::Export);
        let other = (FunctionKind::Entry, "other", None, Direction::Export);
        let adapter = (FunctionKind::Adapter, "sum", None, Direction::Internal);
        let entry = (FunctionKind::Entry, "sum", None, Direction::Internal);
        let provider = (FunctionKind::Guest, "g", Some("provider"), Direction::Internal);
        let marked = |profile: &Profile, dimension| {
            let report = profile.report(dimension);
            let rows = report.rows.iter().filter(|row| row.total_is_partial).map(|row| row.name.clone());
            (report.on_own_fibers.as_millis(), rows.collect::<Vec<_>>())
        };
        let stacks: [&[arbitrary::Made]; 3] =
            [&[main, run, app, adapter], &[main, entry, provider], &[main, other, app]];
        let mut profile = arbitrary::of_stacks(&stacks);
        // Those that were seen on the way.
        let run = "i#run (export)".to_owned();
        assert_eq!(marked(&profile, Dimension::InterfaceFunction), (1, vec![run]));
        assert_eq!(marked(&profile, Dimension::Component), (1, vec![]));
        // And if it is known who calls, all that this component is asked for.
        for function in profile.functions.iter_mut().filter(|function| function.name == "sum") {
            function.ends = Ends::internal(Some("app".to_owned()), Some("provider".to_owned()));
        }
        let (time, mut rows) = marked(&profile, Dimension::InterfaceFunction);
        rows.sort();
        assert_eq!((time, rows), (1, vec!["i#other (export)".to_owned(), "i#run (export)".to_owned()]));
        assert_eq!(marked(&profile, Dimension::Component), (1, vec!["app".to_owned()]));
        // The way back, seen inside of the callee, is not a call that the callee makes.
        let mut profile = arbitrary::of_stacks(&[&[main, entry, provider, adapter]]);
        for function in profile.functions.iter_mut().filter(|function| function.name == "sum") {
            function.ends = Ends::internal(Some("app".to_owned()), Some("provider".to_owned()));
        }
        assert_eq!(marked(&profile, Dimension::InterfaceFunction), (1, vec![]));
        // A call on the stack of its caller is in all totals.
        let profile = arbitrary::of_stacks(&[&[main, other, app, adapter, provider]]);
        assert_eq!(marked(&profile, Dimension::InterfaceFunction), (0, vec![]));
    }

    fn crossing() -> Crossing {
        Crossing { interface: "a:b/c".to_owned(), function: "f".to_owned(), direction: Direction::Internal }
    }

    proptest! {
        #[test]
        fn time_is_divided_exactly_once(profile in arbitrary::profile()) {
            for &dimension in Dimension::ALL {
                let report = profile.report(dimension);
                let attributed: Duration = report.rows.iter().map(ReportRow::attributed).sum();
                prop_assert_eq!(attributed, profile.wall_time(), "{:?}", dimension);
                prop_assert_eq!(report.rows.iter().map(|row| row.cpu).sum::<Duration>(), profile.cpu_time());
                // Without a boundary, all time is on the CPU, waiting for one, or blocked.
                if dimension == Dimension::Thread && report.rows.iter().all(|row| row.boundary.is_zero()) {
                    let off: Duration = report.rows.iter().map(|row| row.blocked).sum();
                    prop_assert_eq!(profile.cpu_time() + off + report.preempted.expect("it is known"), report.wall);
                }
                let mut names: Vec<_> = report.rows.iter().map(|row| (&row.name, &row.detail)).collect();
                names.sort();
                names.dedup();
                prop_assert_eq!(names.len(), report.rows.len());
                for row in &report.rows {
                    let preempted = row.preempted.expect("it is known");
                    prop_assert!(row.host + row.blocked + preempted <= row.own, "{:?}", row);
                    prop_assert!(row.attributed() <= row.total, "{:?}", row);
                    prop_assert!(row.total <= report.wall, "{:?}", row);
                }
            }
        }

        #[test]
        fn crossings_split_by_their_ends_add_up(profile in arbitrary::profile()) {
            // Rows by interface are the sums of those that are split.
            let split = profile.report(Dimension::ComponentInterface);
            for whole in profile.report(Dimension::Interface).rows.iter().filter(|row| !row.total.is_zero()) {
                let parts = || split.rows.iter().filter(|row| row.name == whole.name);
                prop_assert_eq!(parts().map(ReportRow::attributed).sum::<Duration>(), whole.attributed());
                prop_assert!(parts().all(|part| part.total <= whole.total));
                // What a row says of itself, all of its parts say.
                let agree = |end: fn(&ReportRow) -> &Option<CrossingEnd>| {
                    end(whole).is_none() || parts().all(|part| end(part) == end(whole))
                };
                prop_assert!(agree(|row| &row.ends.from) && agree(|row| &row.ends.to), "{:?}", whole);
            }
            // And a filter by both ends leaves the rows that have them, as they were.
            for row in split.rows.iter().filter(|row| row.ends.from.is_some() && row.ends.to.is_some()) {
                let name = |end: &Option<CrossingEnd>| end.as_ref().map_or("", CrossingEnd::name).to_owned();
                let filter =
                    CrossingFilter::new().from_component(name(&row.ends.from)).to_component(name(&row.ends.to));
                let report = profile.report_between(Dimension::ComponentInterface, &filter).expect("it was seen");
                prop_assert!(report.rows.contains(row), "{:?} {:?}", row, report.rows);
                prop_assert!(report.rows.iter().all(|other| split.rows.contains(other)));
            }
            for dimension in Dimension::ALL {
                let nobody = CrossingFilter::new().from_component("nobody");
                prop_assert!(profile.report_between(*dimension, &nobody).is_none());
                let of_component = CrossingFilter::new().from_component("component");
                let Some(report) = profile.report_between(*dimension, &of_component) else { continue };
                prop_assert!(report.rows.iter().all(|row| row.attributed() <= row.total && row.total <= report.wall));
            }
        }

        #[test]
        fn callers_account_for_all_of_what_they_call(profile in arbitrary::profile()) {
            // Calls that were counted are of interfaces that no sample saw.
            let is_sampled = |row: &&ReportRow| {
                ![NO_INTERFACE, UNKNOWN_INTERFACE].contains(&row.name.as_str())
                    && row.calls.is_none() && row.calls_at_least.is_none()
            };
            for called in profile.report(Dimension::Interface).rows.iter().filter(is_sampled) {
                for &dimension in Dimension::ALL {
                    let callers = profile.callers(&called.name, dimension).expect("it was seen");
                    // The name with a direction means that direction only; recursion counts for the outermost caller.
                    let unversioned = called.name.split('@').next().expect("a name");
                    let both = profile.callers(unversioned, dimension).expect("it was seen");
                    let total: Duration = both.rows.iter().map(|row| row.total).sum();
                    prop_assert!(total >= called.total && total <= profile.wall_time());
                    let own: Duration = both.rows.iter().map(ReportRow::attributed).sum();
                    prop_assert!(own >= called.attributed());
                    prop_assert!(callers.rows.iter().map(|row| row.total).sum::<Duration>() <= total);
                }
            }
            prop_assert!(profile.callers("no:such/thing", Dimension::Layer).is_none());
        }
    }
}
