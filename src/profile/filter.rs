//! A part of a profile that is a profile in its own right: that of a tenant, a component, a thread, or a stretch of time.
//!
//! In comes a profile, and a [`Filter`] that says which of its samples are meant. Out goes one that has nothing of the others:
//! whoever is given it learns no name that is not on a stack of those samples. So what is not known to belong to them is left
//! out, even where it may: the host's spans, sums of calls, and whatever is said of the recording as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::{Bound, Range, RangeBounds};
use std::time::Duration;

use super::captured::Captured;
use super::memories::{MemoryGrowth, MemoryTrack, points};
use super::origin::Origin;
use super::tables::{Profile, ProfileFunction, ProfileLibrary, Sample, SamplerKind, Thread};
use crate::samples::{ProfilerTime, SampleCounts, Span};
use crate::symbols::{FunctionKind, Layer};

/// Which samples of a profile are meant, for [`Profile::filter`].
///
/// Conditions of different kinds all have to hold. Of several conditions of one kind, one has to hold; labels of different
/// keys are different kinds. A filter without conditions means everything.
///
/// ```
/// use std::time::Duration;
/// use witprof::Filter;
///
/// // What the shop did for two tenants after the first minute.
/// let filter = Filter::default()
///     .label("tenant", "a")
///     .label("tenant", "b")
///     .component("shop")
///     .time(Duration::from_secs(60)..);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[must_use = "a filter does nothing until a profile is filtered by it"]
pub struct Filter {
    /// Values by key.
    labels: BTreeMap<String, BTreeSet<String>>,
    components: BTreeSet<String>,
    threads: BTreeSet<String>,
    periods: Vec<Range<Duration>>,
    /// Components whose code is shown; all if there are none.
    shown: BTreeSet<String>,
}

impl Filter {
    /// Samples of activations that have this [label](crate::Recorder::labels).
    pub fn label(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.labels.entry(key.into()).or_default().insert(value.into());
        self
    }

    /// Samples whose stack goes through code of this component: its own time, and that of all that it calls. The stacks stay
    /// whole, with what calls the component and what it calls; [`code`](Self::code) takes the names of others out of them. A core
    /// module that stands alone goes by the name of its library.
    pub fn component(mut self, name: impl Into<String>) -> Self {
        self.components.insert(name.into());
        self
    }

    /// Samples of this thread, by its name; of threads that share a name, `worker[2]` means the second one of the profile, as
    /// reports write it.
    pub fn thread(mut self, name: impl Into<String>) -> Self {
        self.threads.insert(name.into());
        self
    }

    /// Samples that were taken in this time, since the recording began. The profile begins with it: that is when its time is zero.
    /// Of several, it lasts from the first beginning to the last end.
    pub fn time(mut self, period: impl RangeBounds<Duration>) -> Self {
        let next = |time: Duration| time.saturating_add(Duration::from_nanos(1));
        let start = match period.start_bound() {
            Bound::Included(time) => *time,
            Bound::Excluded(time) => next(*time),
            Bound::Unbounded => Duration::ZERO,
        };
        let end = match period.end_bound() {
            Bound::Included(time) => next(*time),
            Bound::Excluded(time) => *time,
            Bound::Unbounded => Duration::MAX,
        };
        self.periods.push(start..end.max(start));
        self
    }

    /// Leaves all samples in, and takes the names of other components out of their stacks: their code, and what they call, is
    /// `(not shown)`. For a tenant whose requests go through components of others. Shown are this component, the host, and the
    /// interfaces that the component imports and exports. Boundary work in code that is not shown is own time there, because
    /// nothing tells it any more. May be said of several components.
    pub fn code(mut self, component: impl Into<String>) -> Self {
        self.shown.insert(component.into());
        self
    }

    /// Whether it says whose samples are meant, so that others must not be told of.
    fn is_of_somebody(&self) -> bool {
        let Self { labels, components, threads, periods: _, shown } = self;
        !(labels.is_empty() && components.is_empty() && threads.is_empty() && shown.is_empty())
    }

    fn means_time(&self, time: Duration) -> bool {
        self.periods.is_empty() || self.periods.iter().any(|period| period.contains(&time))
    }

    pub(crate) fn means_labels(&self, set: &[(String, String)]) -> bool {
        self.labels.iter().all(|(key, values)| set.iter().any(|(of, value)| of == key && values.contains(value)))
    }

    fn means_thread(&self, profile: &Profile, thread: usize) -> bool {
        self.threads.is_empty()
            || self.threads.contains(&profile.threads[thread].name)
            || self.threads.contains(&*profile.distinct_thread_name(thread))
    }

    /// From the first beginning to the last end.
    fn period(&self) -> Option<Range<Duration>> {
        let start = self.periods.iter().map(|period| period.start).min()?;
        let end = self.periods.iter().map(|period| period.end).max()?;
        Some(start..end)
    }
}

impl Profile {
    /// The part of this profile that `filter` means, as a profile in its own right, in which there is no name of anything
    /// else: no library, function, file, interface, label, thread or memory that is not on a stack of its samples or owned by the
    /// components that are meant.
    ///
    /// These are facts about the recording that cannot be divided:
    ///
    /// - Losses, truncated stacks and the [profiler's own time](Self::profiler_time) are those of everybody, so nothing is known
    ///   of them: all samples that were taken are kept. Samples beyond the number of label sets that a recording keeps have the
    ///   value `(other)`, and are nobody's.
    /// - [Calls](Self::calls) are counted for everybody from the beginning on: there are none.
    /// - [Memories](Self::memories) are those of components, whoever they work for: with a filter by label or thread there are
    ///   none, else those of the components that are meant. [`MemoryTrack::peak`] and [`MemoryTrack::growths`] stay those of the
    ///   whole recording.
    /// - [Spans](Self::spans), the [command](Origin::command) and [missing lines](Self::missing_lines) are words about the whole
    ///   recording: they are left only if nothing but time is filtered. [`set_command`](Self::set_command) says something new.
    ///   The [name](Self::name) is then that of a component that is left.
    ///
    /// ```
    /// # use witprof::{Filter, Profile, export::write_firefox};
    /// # fn example(profile: &Profile) -> witprof::Result<()> {
    /// for tenant in profile.label_values("tenant") {
    ///     let own = profile.filter(&Filter::default().label("tenant", tenant));
    ///     write_firefox(&own, &mut std::io::sink())?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn filter(&self, filter: &Filter) -> Self {
        if *filter == Filter::default() {
            return self.clone();
        }
        // Whoever adds something to a profile has to decide here what of it is whose.
        let Self {
            name,
            sampler,
            interval,
            origin,
            started_at,
            elapsed,
            counts: _,
            handler_cost,
            knows_preempted,
            profiler: _,
            libraries,
            functions,
            frames,
            files,
            sources,
            missing_lines,
            stacks,
            threads: _,
            labels,
            traces,
            calls: _,
            memories: _,
            growths: _,
            spans: _,
            spans_left_out,
            captured,
        } = self;
        let is_of_somebody = filter.is_of_somebody();
        let period = filter.period().unwrap_or(Duration::ZERO..Duration::MAX);
        let threads = self.threads_of(filter, &period);
        let kept = threads.iter().flat_map(|thread| &thread.samples).map(|sample| sample.count).sum();
        let (memories, growths) = self.memories_of(filter, &period);
        let mut profile = Self {
            name: name.clone(),
            sampler: *sampler,
            interval: *interval,
            origin: if is_of_somebody { Origin { command: None, ..origin.clone() } } else { origin.clone() },
            started_at: started_at.checked_add(period.start).unwrap_or(*started_at),
            elapsed: (*elapsed).min(period.end).saturating_sub(period.start),
            // What was lost whose is not known.
            counts: SampleCounts { taken: kept, kept, ..SampleCounts::default() },
            handler_cost: *handler_cost,
            knows_preempted: *knows_preempted,
            profiler: ProfilerTime::default(),
            libraries: libraries.clone(),
            functions: functions.clone(),
            frames: frames.clone(),
            files: files.clone(),
            sources: sources.clone(),
            missing_lines: if is_of_somebody { Vec::new() } else { missing_lines.clone() },
            stacks: stacks.clone(),
            threads,
            labels: labels.clone(),
            traces: traces.clone(),
            calls: None,
            memories,
            growths,
            spans: if is_of_somebody { Vec::new() } else { self.spans_of(filter, &period) },
            spans_left_out: if is_of_somebody { 0 } else { *spans_left_out },
            captured: if is_of_somebody { None } else { captured_of(captured.as_ref(), &period) },
        };
        if !filter.shown.is_empty() {
            profile.hide_code_of_others(&filter.shown);
        }
        profile.without_unused();
        // That of another program is called after the program.
        if is_of_somebody && *sampler != SamplerKind::Other {
            profile.call_after_what_is_left(filter);
        }
        profile
    }

    /// The part of the request that this profile was [captured](Self::captured) for; `None` if there is nothing of it, or it was
    /// captured for something else. With frames of the host, scripts and so on as this has them.
    #[must_use]
    pub fn captured_part(&self) -> Option<Self> {
        let captured = self.captured.as_ref()?;
        let name = self.distinct_thread_name(captured.thread?);
        let part = self.filter(&Filter::default().thread(name));
        // Whoever is given the part knows what it is of.
        Some(Self { captured: Some(Captured { thread: Some(0), ..captured.clone() }), name: self.name.clone(), ..part })
    }

    /// The values that the label `key` has in samples, in alphabetical order.
    #[must_use]
    pub fn label_values(&self, key: &str) -> Vec<&str> {
        let sets: BTreeSet<_> = self.samples().map(|sample| sample.labels).collect();
        let labels = sets.into_iter().flat_map(|set| self.labels(set)).filter(|(of, _)| of == key);
        let values: BTreeSet<&str> = labels.map(|(_, value)| value.as_str()).collect();
        values.into_iter().collect()
    }

    /// The components whose code is on a stack, in alphabetical order; core modules that stand alone by the names of their
    /// libraries. What [`Filter::component`] may name. Partly chosen by guests: escape them.
    #[must_use]
    pub fn components(&self) -> Vec<&str> {
        let owners: BTreeSet<&str> = self.functions.iter().filter_map(|function| self.owner(function)).collect();
        owners.into_iter().collect()
    }

    /// The component that a function is a part of.
    pub(super) fn owner(&self, function: &ProfileFunction) -> Option<&str> {
        let library = &self.libraries[function.library.index()];
        let stands_for_others = matches!(function.kind, FunctionKind::Elided | FunctionKind::Unregistered);
        owner_of(library).filter(|_| !stands_for_others)
    }

    /// The threads with the samples that are meant, of those that have any.
    fn threads_of(&self, filter: &Filter, period: &Range<Duration>) -> Vec<Thread> {
        let goes_through = self.stacks_through(&filter.components);
        let has_labels: Vec<bool> = self.labels.iter().map(|set| filter.means_labels(set)).collect();
        let is_meant = |sample: &Sample| {
            goes_through[sample.stack.index()] && has_labels[sample.labels.index()] && filter.means_time(sample.time)
        };
        let threads = self.threads.iter().enumerate().filter(|(index, _)| filter.means_thread(self, *index));
        let threads = threads.map(|(_, Thread { name, samples })| {
            let samples = samples.iter().filter(|sample| is_meant(sample));
            let samples = samples.map(|sample| Sample { time: sample.time.saturating_sub(period.start), ..*sample });
            Thread { name: name.clone(), samples: samples.collect() }
        });
        threads.filter(|thread| !thread.samples.is_empty()).collect()
    }

    /// By stack: whether it goes through code of one of these components, or no component is asked for.
    fn stacks_through(&self, components: &BTreeSet<String>) -> Vec<bool> {
        let is_of = |function: &ProfileFunction| self.owner(function).is_some_and(|owner| components.contains(owner));
        let is_of: Vec<bool> = self.functions.iter().map(is_of).collect();
        let mut goes_through: Vec<bool> = Vec::with_capacity(self.stacks.len());
        for stack in &self.stacks {
            let function = self.frames[stack.frame.index()].function;
            let is_caller = stack.caller.is_some_and(|caller| goes_through[caller.index()]);
            goes_through.push(components.is_empty() || is_caller || is_of[function.index()]);
        }
        goes_through
    }

    /// The memories of the components that are meant, and where they grew.
    fn memories_of(&self, filter: &Filter, period: &Range<Duration>) -> (Vec<MemoryTrack>, Vec<MemoryGrowth>) {
        let mut memories = Vec::new();
        let new: Vec<Option<usize>> = self
            .memories
            .iter()
            .map(|track| {
                let MemoryTrack { name, points: sizes, peak, growths } = track;
                self.is_memory_of(name, filter).then(|| {
                    let points = points(sizes.iter(), period);
                    memories.push(MemoryTrack { name: name.clone(), points, peak: *peak, growths: *growths });
                    memories.len() - 1
                })
            })
            .collect();
        let growths = self.growths.iter().filter(|growth| filter.means_time(growth.time)).filter_map(|growth| {
            let MemoryGrowth { memory, time, from, to, stack } = *growth;
            let time = time.saturating_sub(period.start);
            Some(MemoryGrowth { memory: new[memory]?, time, from, to, stack })
        });
        let growths = growths.collect();
        (memories, growths)
    }

    /// Whether the memory of this name is known to be of those that are meant, and of nobody else.
    fn is_memory_of(&self, name: &str, filter: &Filter) -> bool {
        let Filter { labels, components, threads, periods: _, shown } = filter;
        if !labels.is_empty() || !threads.is_empty() {
            return false;
        }
        let has = |wanted: &BTreeSet<String>| {
            let mut of_name = self.libraries.iter().filter(|library| library.name == name).peekable();
            let is_wanted = |library: &ProfileLibrary| owner_of(library).is_some_and(|owner| wanted.contains(owner));
            wanted.is_empty() || (of_name.peek().is_some() && of_name.all(is_wanted))
        };
        has(components) && has(shown)
    }

    /// The spans that began in the time that is meant, in its own time.
    fn spans_of(&self, filter: &Filter, period: &Range<Duration>) -> Vec<Span> {
        let spans = self.spans.iter().filter(|span| filter.means_time(span.begin));
        spans.map(|span| Span { begin: span.begin.saturating_sub(period.start), ..span.clone() }).collect()
    }

    /// A profile is called after the first component of the recording, which may be that of somebody else.
    fn call_after_what_is_left(&mut self, filter: &Filter) {
        let left = || self.functions.iter().filter_map(|function| self.owner(function));
        let is_asked_for = |owner: &&str| filter.components.contains(*owner) || filter.shown.contains(*owner);
        let same = left().find(|owner| *owner == self.name);
        let name = same.or_else(|| left().find(is_asked_for)).or_else(|| left().next());
        self.name = name.unwrap_or(NO_COMPONENT).to_owned();
    }
}

/// What a profile was captured for, in the time of a period. Its thread may be gone.
fn captured_of(captured: Option<&Captured>, period: &Range<Duration>) -> Option<Captured> {
    let mut captured = Captured { thread: None, ..captured?.clone() };
    if let Some(span) = &mut captured.span {
        span.begin = span.begin.saturating_sub(period.start);
    }
    Some(captured)
}

/// What a profile is called that has code of no component.
const NO_COMPONENT: &str = "(no component)";

/// The component that a library is a part of. A core module that stands alone has none, and goes by its own name.
fn owner_of(library: &ProfileLibrary) -> Option<&str> {
    let alone = || matches!(library.layer, Layer::Guest | Layer::Script).then_some(library.name.as_str());
    library.component.as_deref().or_else(alone)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::{TableStyle, write_firefox, write_folded, write_report_table, write_speedscope, write_summary};
    use crate::import::read_firefox;
    use crate::profile::tables::{
        FileIndex, FrameIndex, FunctionIndex, LabelsIndex, LibraryIndex, StackIndex, TraceIndex,
    };
    use crate::profile::{Dimension, Stack, arbitrary};

    /// The same profile with `mark` in all names, in code of one component, for one tenant; but for every other sample, which is
    /// nobody's.
    fn marked(mut profile: Profile, mark: &str) -> Profile {
        let add = |name: &mut String| name.insert_str(0, mark);
        add(&mut profile.name);
        profile.libraries.iter_mut().for_each(|library| {
            add(&mut library.name);
            library.component.iter_mut().for_each(add);
        });
        profile.functions.iter_mut().for_each(|function| {
            add(&mut function.name);
            function.interface.iter_mut().chain(&mut function.interface_function).for_each(add);
        });
        profile.files.iter_mut().chain(profile.sources.values_mut()).for_each(add);
        profile.missing_lines.iter_mut().for_each(add);
        profile.origin.command.iter_mut().for_each(add);
        profile.memories[0].name = format!("{mark}the guest <library>");
        profile.growths[0].stack = (!profile.stacks.is_empty()).then_some(StackIndex(0));
        profile.spans.iter_mut().for_each(|span| {
            add(&mut span.name);
            span.path.iter_mut().chain(&mut span.detail).for_each(add);
        });
        let tenant = vec![("route".to_owned(), format!("{mark}route")), ("tenant".to_owned(), format!("{mark}tenant"))];
        profile.labels = vec![Box::default(), tenant.into()];
        let samples = profile.threads.iter_mut().flat_map(|thread| &mut thread.samples);
        samples.enumerate().for_each(|(number, sample)| sample.labels.0 = u32::from(number % 2 == 0));
        let calls = profile.calls.iter_mut().flat_map(|calls| &mut calls.functions);
        calls.for_each(|function| add(&mut function.crossing.function));
        profile
    }

    /// Two recordings as one, with the samples of both on the same threads, and some on threads of their own.
    fn together(mut first: Profile, second: Profile) -> Profile {
        let handle = |index: usize| u32::try_from(index).expect("few");
        let libraries = handle(first.libraries.len());
        let files = handle(first.files.len());
        let functions = handle(first.functions.len());
        let frames = handle(first.frames.len());
        let stacks = handle(first.stacks.len());
        let labels = handle(first.labels.len() - 1);
        let file = |file: FileIndex| FileIndex(file.0 + files);
        let stack = |stack: StackIndex| StackIndex(stack.0 + stacks);
        first.libraries.extend(second.libraries);
        first.files.extend(second.files);
        first.sources.extend(second.sources.into_iter().map(|(of, text)| (file(of), text)));
        first.functions.extend(second.functions.into_iter().map(|mut function| {
            function.library = LibraryIndex(function.library.0 + libraries);
            function.file = function.file.map(file);
            function
        }));
        first.frames.extend(second.frames.into_iter().map(|mut frame| {
            frame.function = FunctionIndex(frame.function.0 + functions);
            frame.source.iter_mut().for_each(|source| source.file = file(source.file));
            frame
        }));
        first.stacks.extend(
            second.stacks.into_iter().map(|Stack { caller, frame }| Stack {
                caller: caller.map(stack),
                frame: FrameIndex(frame.0 + frames),
            }),
        );
        first.labels.extend(second.labels.into_iter().skip(1));
        let traces = handle(first.traces.len() - 1);
        first.traces.extend(second.traces.into_iter().skip(1));
        let memories = first.memories.len();
        first.memories.extend(second.memories);
        first.growths.extend(second.growths.into_iter().map(|growth| MemoryGrowth {
            memory: growth.memory + memories,
            stack: growth.stack.map(stack),
            ..growth
        }));
        first.spans.extend(second.spans);
        first.missing_lines.extend(second.missing_lines);
        for (index, thread) in second.threads.into_iter().enumerate() {
            let samples = thread.samples.into_iter().map(|sample| Sample {
                stack: stack(sample.stack),
                labels: LabelsIndex(if sample.labels.0 == 0 { 0 } else { sample.labels.0 + labels }),
                trace: TraceIndex(if sample.trace.0 == 0 { 0 } else { sample.trace.0 + traces }),
                ..sample
            });
            match first.threads.get_mut(index) {
                Some(shared) => {
                    shared.samples.extend(samples);
                    shared.samples.sort_by_key(|sample| sample.time);
                }
                None => first.threads.push(Thread { name: thread.name, samples: samples.collect() }),
            }
        }
        let samples = first.threads.iter().flat_map(|thread| &thread.samples);
        first.counts.kept = samples.map(|sample| sample.count).sum();
        first.counts.taken = first.counts.kept + 3;
        first
    }

    /// What two tenants and nobody did, in one profile.
    fn tenants() -> impl Strategy<Value = Profile> {
        (arbitrary::profile(), arbitrary::profile()).prop_map(|(a, b)| together(marked(a, "aaqq-"), marked(b, "bbqq-")))
    }

    /// Everything that a sample says, without an index.
    type Told =
        (Duration, Vec<String>, (Vec<(String, String)>, Option<crate::samples::TraceContext>), u64, [Duration; 3]);

    fn told(profile: &Profile, sample: &Sample, since: Duration) -> Told {
        let frames = profile.outwards(sample.stack).map(|stack| {
            let frame = profile.innermost(stack);
            let function = &profile.functions[frame.function.index()];
            let library = &profile.libraries[function.library.index()];
            let file = function.file.map(|file| profile.file(file));
            let function = ProfileFunction { library: LibraryIndex(0), file: None, ..function.clone() };
            let line = frame.source.map(|source| (profile.line_name(source), profile.source_text(source.file)));
            format!("{library:?} {function:?} {:?} {:?} {line:?} {file:?}", frame.point, frame.instruction)
        });
        let labels = (profile.labels(sample.labels).to_vec(), profile.trace(sample.trace));
        let times = [sample.wall, sample.cpu, sample.preempted];
        (sample.time.saturating_sub(since), frames.collect(), labels, sample.count, times)
    }

    /// By thread, all samples that are meant, as they are to be told in a profile that begins so late.
    fn all_told(
        profile: &Profile,
        since: Duration,
        is_meant: impl Fn(usize, &Sample) -> bool,
    ) -> Vec<(String, Vec<Told>)> {
        let threads = profile.threads.iter().enumerate().map(|(index, thread)| {
            let samples = thread.samples.iter().filter(|sample| is_meant(index, sample));
            (thread.name.clone(), samples.map(|sample| told(profile, sample, since)).collect::<Vec<_>>())
        });
        threads.filter(|(_, samples)| !samples.is_empty()).collect()
    }

    /// That a profile keeps the promises of the tables, and has no row that nothing refers to.
    fn assert_compact(profile: &Profile) {
        let counts = &profile.counts;
        assert_eq!(counts.taken, counts.kept + counts.lost.values().sum::<u64>());
        assert_eq!(counts.kept, profile.samples().map(|sample| sample.count).sum::<u64>());
        for (index, stack) in profile.stacks.iter().enumerate() {
            assert!(stack.caller.is_none_or(|caller| caller.index() < index));
        }
        for thread in &profile.threads {
            assert!(!thread.samples.is_empty());
            assert!(thread.samples.is_sorted_by_key(|sample| sample.time));
            assert!(thread.samples.iter().all(|sample| sample.cpu + sample.preempted <= sample.wall));
        }
        let all = |used: BTreeSet<usize>, rows: usize| assert_eq!(used, (0..rows).collect());
        let ends = profile.samples().map(|sample| sample.stack);
        let ends = ends.chain(profile.growths.iter().filter_map(|growth| growth.stack));
        let stacks = ends.flat_map(|stack| profile.outwards(stack).map(StackIndex::index)).collect();
        all(stacks, profile.stacks.len());
        all(profile.stacks.iter().map(|stack| stack.frame.index()).collect(), profile.frames.len());
        all(profile.frames.iter().map(|frame| frame.function.index()).collect(), profile.functions.len());
        all(profile.functions.iter().map(|function| function.library.index()).collect(), profile.libraries.len());
        let of_frames = profile.frames.iter().filter_map(|frame| frame.source).map(|source| source.file.index());
        let of_functions = profile.functions.iter().filter_map(|function| function.file).map(FileIndex::index);
        all(of_frames.chain(of_functions).collect(), profile.files.len());
        assert!(profile.sources.keys().all(|file| file.index() < profile.files.len()));
        let labels = profile.samples().map(|sample| sample.labels.index()).chain([0]).collect();
        all(labels, profile.labels.len());
        assert!(profile.labels[0].is_empty());
        all(profile.samples().map(|sample| sample.trace.index()).chain([0]).collect(), profile.traces.len());
        assert!(profile.growths.iter().all(|growth| growth.memory < profile.memories.len()));
    }

    /// What is written of a profile, in every format.
    fn everything_written(profile: &Profile) -> Vec<(&'static str, Vec<u8>)> {
        let written = |write: &dyn Fn(&mut Vec<u8>) -> crate::Result<()>| {
            let mut out = Vec::new();
            write(&mut out).expect("writing to memory");
            out
        };
        let mut all = vec![
            ("tables", format!("{profile:?}").into_bytes()),
            ("firefox", written(&|out| write_firefox(profile, out))),
            ("folded", written(&|out| write_folded(profile, Dimension::Function, out))),
            ("speedscope", written(&|out| write_speedscope(profile, Dimension::Function, out))),
            ("summary", written(&|out| write_summary(profile, TableStyle::default(), out))),
            #[cfg(feature = "pprof")]
            ("pprof", written(&|out| crate::export::write_pprof(profile, Dimension::Function, out))),
            #[cfg(feature = "html")]
            ("html", written(&|out| crate::export::write_html(profile, out))),
            #[cfg(feature = "svg")]
            ("svg", written(&|out| crate::export::write_svg(profile, Dimension::Interface, out))),
        ];
        for dimension in Dimension::ALL {
            let report = profile.report(*dimension);
            all.push(("report", written(&|out| write_report_table(&report, TableStyle::default(), out))));
        }
        all
    }

    fn assert_tells_nothing_of(profile: &Profile, mark: &str) {
        for (format, bytes) in everything_written(profile) {
            let at = bytes.windows(mark.len()).position(|window| window == mark.as_bytes());
            let around = at.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(200)..][..200]).into_owned());
            assert!(at.is_none(), "{format} has {mark}: {around:?}");
        }
    }

    proptest! {
        #[test]
        fn a_tenant_gets_what_is_its_own_and_no_name_of_others(whole in tenants()) {
            let mut parts = Vec::new();
            for (mark, other) in [("aaqq-", "bbqq-"), ("bbqq-", "aaqq-")] {
                let tenant = format!("{mark}tenant");
                let part = whole.filter(&Filter::default().label("tenant", &tenant));
                assert_compact(&part);
                assert_tells_nothing_of(&part, other);
                let is_meant = |_, sample: &Sample| {
                    whole.labels(sample.labels).iter().any(|(key, value)| key == "tenant" && *value == tenant)
                };
                prop_assert_eq!(
                    all_told(&part, Duration::ZERO, |_, _| true), all_told(&whole, Duration::ZERO, is_meant)
                );
                prop_assert!(part.spans.is_empty() && part.memories.is_empty() && part.calls.is_none());
                // It can be stored like any other.
                let mut file = Vec::new();
                write_firefox(&part, &mut file).expect("writing to memory");
                let read = read_firefox(&mut &file[..]).expect("it is one of ours");
                prop_assert_eq!((read.wall_time(), read.counts()), (part.wall_time(), part.counts()));
                parts.push(part);
            }
            // All tenants together, and nobody's, are the whole.
            let nobodys = whole.samples().filter(|sample| sample.labels.0 == 0);
            let (wall, cpu) = nobodys.fold((Duration::ZERO, Duration::ZERO), |(wall, cpu), sample| {
                (wall + sample.wall, cpu + sample.cpu)
            });
            prop_assert_eq!(wall + parts.iter().map(Profile::wall_time).sum::<Duration>(), whole.wall_time());
            prop_assert_eq!(cpu + parts.iter().map(Profile::cpu_time).sum::<Duration>(), whole.cpu_time());
        }

        #[test]
        fn a_component_gets_what_goes_through_it(whole in tenants()) {
            let part = whole.filter(&Filter::default().component("bbqq-component"));
            assert_compact(&part);
            // Stacks of these profiles never go through both.
            assert_tells_nothing_of(&part, "aaqq-");
            let is_of = |stack: StackIndex| {
                let function = &whole.functions[whole.leaf(stack).index()];
                let library = &whole.libraries[function.library.index()];
                library.component.as_deref() == Some("bbqq-component")
                    && !matches!(function.kind, FunctionKind::Elided | FunctionKind::Unregistered)
            };
            let is_meant = |_, sample: &Sample| whole.outwards(sample.stack).any(is_of);
            prop_assert_eq!(
                all_told(&part, Duration::ZERO, |_, _| true), all_told(&whole, Duration::ZERO, is_meant)
            );
            let has_memory = whole.libraries.iter().any(|library| library.name == "bbqq-the guest <library>");
            prop_assert_eq!(part.memories.len(), usize::from(has_memory));
            prop_assert_eq!(part.growths.len(), usize::from(has_memory));
        }

        #[test]
        fn stretches_of_time_add_up(whole in tenants(), cut in 0..120_000_u64) {
            let cut = Duration::from_millis(cut);
            let before = whole.filter(&Filter::default().time(..cut));
            let after = whole.filter(&Filter::default().time(cut..));
            for part in [&before, &after] {
                assert_compact(part);
            }
            prop_assert_eq!(
                all_told(&before, Duration::ZERO, |_, _| true),
                all_told(&whole, Duration::ZERO, |_, sample| sample.time < cut)
            );
            prop_assert_eq!(
                all_told(&after, Duration::ZERO, |_, _| true),
                all_told(&whole, cut, |_, sample| sample.time >= cut)
            );
            prop_assert_eq!(before.wall_time() + after.wall_time(), whole.wall_time());
            prop_assert_eq!(before.elapsed + after.elapsed, whole.elapsed);
            prop_assert_eq!(after.started_at, whole.started_at + cut);
            prop_assert_eq!(before.spans.len() + after.spans.len(), whole.spans.len());
            prop_assert_eq!(before.growths.len() + after.growths.len(), whole.growths.len());
        }

        #[test]
        fn conditions_of_one_kind_are_alternatives(whole in tenants()) {
            let one = |tenant: &str| Filter::default().label("tenant", tenant);
            let both = whole.filter(&one("aaqq-tenant").label("tenant", "bbqq-tenant"));
            let labeled = all_told(&whole, Duration::ZERO, |_, sample| sample.labels.0 > 0);
            prop_assert_eq!(all_told(&both, Duration::ZERO, |_, _| true), labeled);
            let none = whole.filter(&one("aaqq-tenant").label("route", "bbqq-route"));
            assert_compact(&none);
            assert_tells_nothing_of(&none, "bbqq-");
            prop_assert!(none.threads.is_empty() && none.counts.taken == 0);
            let thread = whole.filter(&Filter::default().thread("thread 1"));
            assert_compact(&thread);
            prop_assert_eq!(
                all_told(&thread, Duration::ZERO, |_, _| true),
                all_told(&whole, Duration::ZERO, |index, _| whole.threads[index].name == "thread 1")
            );
            // Once more changes nothing.
            let again = both.filter(&one("aaqq-tenant").label("tenant", "bbqq-tenant"));
            prop_assert_eq!(format!("{again:?}"), format!("{both:?}"));
        }
    }

    #[test]
    fn a_memory_is_left_to_its_component_if_it_is_nobody_elses() {
        let mut whole = arbitrary::of_stack(&[(FunctionKind::Guest, "f")]);
        let library = |component: &str| ProfileLibrary {
            name: "a/b/m".to_owned(),
            layer: Layer::Guest,
            component: Some(component.to_owned()),
        };
        whole.libraries.push(library("a"));
        whole.memories[0].name = "a/b/m".to_owned();
        let memories = |whole: &Profile| whole.filter(&Filter::default().component("a")).memories.len();
        assert_eq!(memories(&whole), 1);
        // Two libraries may have one name.
        whole.libraries.push(library("a/b"));
        assert_eq!(memories(&whole), 0);
        assert_eq!(whole.filter(&Filter::default().time(..)).memories.len(), 1);
    }
}
