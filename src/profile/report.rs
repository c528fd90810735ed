//! Time by interface, component, library, function, line, layer or thread.

use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::attribution::{Attribution, Crossing, Part};
use super::calls::{CallTrace, CalledFunction};
#[cfg(feature = "html")]
use super::tables::Stack;
use super::tables::{FileIndex, Profile, Sample, SourceLine, StackIndex};
use crate::samples::ProfilerTime;
use crate::symbols::{Direction, FunctionKind, Layer};

/// What the rows of a [`Report`] are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Dimension {
    /// A WIT interface and the direction in which it is crossed.
    Interface,
    /// A function of a WIT interface, and the direction.
    InterfaceFunction,
    /// A component: time in the code of its core modules, and in what that calls.
    Component,
    /// An artifact: a core module, the adapters or trampolines of an interface, a file of the host.
    Library,
    /// A function of compiled code or of the host.
    Function,
    /// A line of source code. What has none goes by its function.
    Line,
    /// Guest, adapter, trampoline or host.
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
        Self::Component,
        Self::Library,
        Self::Function,
        Self::Line,
        Self::Layer,
        Self::Thread,
    ];

    /// The name used in every output: `interface`, `interface-function`, `component`, `library`, `function`, `line`,
    /// `layer`, `thread`, `label`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Interface => "interface",
            Self::InterfaceFunction => "interface-function",
            Self::Component => "component",
            Self::Library => "library",
            Self::Function => "function",
            Self::Line => "line",
            Self::Layer => "layer",
            Self::Thread => "thread",
            Self::Label => "label",
        }
    }
}

/// Where time outside of all interfaces goes: that of core modules, and of the host around a guest.
pub const NO_INTERFACE: &str = "(no interface)";

/// Where time outside of all components goes.
const NO_COMPONENT: &str = "(no component)";

/// How much of a recording one thing accounts for.
///
/// Over all rows of a report, [`own`](Self::own) and [`boundary`](Self::boundary) add up to the recorded time.
#[derive(Clone, Debug, Default, PartialEq)]
#[non_exhaustive]
pub struct ReportRow {
    /// What it is. Mostly chosen by the guest: escape it.
    pub name: String,
    /// More about it: the library of a function, the function of a line.
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
    /// Time of the profiler's own, which is in no row, and in neither `wall` nor `cpu`.
    pub profiler: ProfilerTime,
}

/// What identifies a row while it is summed up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Key<'p> {
    Interface(&'p str, Direction),
    Crossing(&'p Crossing),
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

    /// What a picture is to show first: interfaces, or functions where one interface has over 90 % of the time, or
    /// everything is outside of interfaces, so that a picture by interface says nothing.
    #[must_use]
    pub fn first_dimension(&self) -> Dimension {
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
        let is_meant = |(crossing, _): &(u32, StackIndex)| view.attribution.get(*crossing).is_meant_by(name);
        let mut is_found = false;
        for (place, stack, sum) in self.sums_by_stack(dimension) {
            // The outermost, so that a recursion is counted once.
            let Some((_, at)) = view.attribution.path(stack).filter(is_meant).last() else { continue };
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

    fn finish_report(&self, dimension: Dimension, rows: Rows<'_>) -> Report {
        let mut rows: Vec<ReportRow> = rows.rows.into_values().collect();
        rows.sort_by(ReportRow::order);
        let (preempted, profiler) = (self.preempted_time(), self.profiler);
        Report { dimension, rows, wall: self.wall_time(), cpu: self.cpu_time(), preempted, profiler }
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
    /// By function: the first of that name and library. Others may be parts that nothing tells apart for a reader, such as
    /// functions without a symbol.
    functions: Vec<u32>,
    /// The label that is meant, if rows are labels.
    label: Option<&'p str>,
}

fn functions_by_name(profile: &Profile) -> Vec<u32> {
    let mut known = FxHashMap::default();
    let functions = profile.functions.iter().zip(0..);
    functions.map(|(function, index)| *known.entry((&function.name, function.library)).or_insert(index)).collect()
}

impl<'p> View<'p> {
    fn new(profile: &'p Profile, label: Option<&'p str>) -> Self {
        Self { profile, attribution: Attribution::new(profile), functions: functions_by_name(profile), label }
    }

    /// Whose own or boundary time a sample with this stack is.
    fn key(&self, dimension: Dimension, place: Place, stack: StackIndex) -> Key<'_> {
        let crossing = || self.attribution.crossing(stack).map(|crossing| self.attribution.get(crossing));
        match dimension {
            Dimension::Interface => crossing().map_or(Key::Nothing, interface_key),
            Dimension::InterfaceFunction => crossing().map_or(Key::Nothing, Key::Crossing),
            Dimension::Component => self
                .attribution
                .innermost_guest(stack)
                .and_then(|guest| self.component(guest))
                .map_or(Key::Nothing, Key::Named),
            Dimension::Library | Dimension::Function | Dimension::Line | Dimension::Layer => {
                self.frame_key(dimension, stack)
            }
            Dimension::Thread => Key::Thread(place.thread),
            Dimension::Label => self.label_key(place.labels),
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
                    matches!(self.profile.libraries[function.library.index()].layer, Layer::Guest | Layer::Host)
                        && function.kind != FunctionKind::Shim
                };
                callers.find(asks).map_or(Key::Nothing, |stack| self.frame_key(dimension, stack))
            }
            _ => self.key(dimension, place, stack),
        }
    }

    /// The row that begins with the innermost frame of a stack, or goes on there.
    #[cfg(feature = "html")]
    fn key_here(&self, dimension: Dimension, stack: StackIndex) -> Option<Key<'_>> {
        let crossing = || self.attribution.crossing_here(stack).map(|crossing| self.attribution.get(crossing));
        match dimension {
            Dimension::Interface => crossing().map(interface_key),
            Dimension::InterfaceFunction => crossing().map(Key::Crossing),
            _ => Some(self.frame_key(dimension, stack)).filter(|key| *key != Key::Nothing),
        }
    }

    /// All rows that a sample with this stack is inside of; some of them more than once.
    fn inclusive<'v>(&'v self, dimension: Dimension, place: Place, stack: StackIndex, mut each: impl FnMut(Key<'v>)) {
        match dimension {
            Dimension::Interface | Dimension::InterfaceFunction => {
                let mut is_inside = false;
                for (crossing, _) in self.attribution.path(stack) {
                    is_inside = true;
                    let crossing = self.attribution.get(crossing);
                    let is_interface = dimension == Dimension::Interface;
                    each(if is_interface { interface_key(crossing) } else { Key::Crossing(crossing) });
                }
                if !is_inside {
                    each(Key::Nothing);
                }
            }
            Dimension::Thread => each(Key::Thread(place.thread)),
            Dimension::Label => each(self.label_key(place.labels)),
            Dimension::Component | Dimension::Library | Dimension::Function | Dimension::Line | Dimension::Layer => {
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
            Key::Named(name) => (name.to_owned(), self.label.map(str::to_owned)),
            Key::Function(function) => {
                let function = &self.profile.functions[function as usize];
                (function.name.clone(), Some(self.profile.libraries[function.library.index()].name.clone()))
            }
            Key::Line(function, file, line) => {
                let line = self.profile.line_name(SourceLine { file, line, column: None });
                (line, Some(self.profile.functions[function as usize].name.clone()))
            }
            Key::Thread(thread) => (self.profile.distinct_thread_name(thread).into_owned(), None),
            Key::Labels(0) => (NO_LABEL.to_owned(), None),
            Key::Labels(set) => {
                let labels = self.profile.labels[set as usize].iter().map(|(key, value)| format!("{key}={value}"));
                (labels.collect::<Vec<_>>().join(" "), None)
            }
            Key::Nothing if dimension == Dimension::Component => (NO_COMPONENT.to_owned(), None),
            Key::Nothing => (NO_INTERFACE.to_owned(), None),
        }
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
    turn: u64,
}

impl<'p> Rows<'p> {
    fn new(view: &'p View<'p>, dimension: Dimension) -> Self {
        Self { view, dimension, rows: IndexMap::default(), counted: Vec::new(), turn: 0 }
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
        }
        index
    }

    /// Adds the samples of a stack to all rows that they belong to.
    fn add(&mut self, place: Place, stack: StackIndex, sum: &Sum) {
        let (view, dimension) = (self.view, self.dimension);
        self.next_turn();
        self.add_own(view.key(dimension, place, stack), stack, sum);
        view.inclusive(dimension, place, stack, |key| self.add_total(key, sum.wall));
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
        fn callers_account_for_all_of_what_they_call(profile in arbitrary::profile()) {
            // Calls that were counted are of interfaces that no sample saw.
            let is_sampled = |row: &&ReportRow| {
                row.name != NO_INTERFACE && row.calls.is_none() && row.calls_at_least.is_none()
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
