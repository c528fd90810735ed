//! What a file says becomes a profile.

use std::time::{Duration, UNIX_EPOCH};

use indexmap::{IndexMap, IndexSet};
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::contents::{Contents, ThreadContents};
use super::document::UnitsJson;
use super::frames::FunctionKey;
use super::own_data::{
    OwnData, calls_of, captured_of, counts_of, ends_of, growths_of, memory_of, saved_part, span_of, trace_of,
};
use super::samples::{joined_rows, time};
use crate::firefox_format::Meta;
use crate::profile::{
    FileIndex, Frame, LibraryIndex, Origin, Profile, ProfileFunction, ProfileLibrary, SamplerKind, Stack, Thread,
};
use crate::samples::{HandlerCost, LabelSet, ProfilerTime, SampleCounts, Span};
use crate::symbols::{Ends, Layer};

/// Nor all samples together for more than this: as far as milliseconds are written to the nanosecond.
const MAX_TOTAL: Duration = Duration::from_secs(99 * 86_400);

pub(super) struct Reader<'d> {
    pub(super) contents: &'d Contents,
    pub(super) meta: Option<&'d Meta>,
    /// Which part of the recording there is, if not all.
    part: Option<(Duration, Duration)>,
    /// What is known of functions, by position in `meta.libraries` and address.
    pub(super) known: FxHashMap<(u32, u32), usize>,
    /// By position in `meta.functions`: from where to where it crosses.
    pub(super) ends: FxHashMap<usize, Ends>,
    /// The library of frames that have none, once there is one.
    pub(super) labels: Option<LibraryIndex>,
    /// By position in `libs`.
    pub(super) libraries: Vec<LibraryIndex>,
    /// By position in `libs`: the position in `meta.libraries`.
    pub(super) own: Vec<Option<u32>>,
    pub(super) library_rows: Vec<ProfileLibrary>,
    pub(super) functions: IndexMap<FunctionKey<'d>, ProfileFunction, FxBuildHasher>,
    pub(super) frames: IndexSet<Frame, FxBuildHasher>,
    pub(super) stacks: IndexSet<Stack, FxBuildHasher>,
    pub(super) files: IndexSet<String, FxBuildHasher>,
    /// By position in `meta.libraries` and address: where it is in the WebAssembly binary.
    pub(super) instructions: FxHashMap<(u32, u32), u32>,
}

impl<'d> Reader<'d> {
    pub(super) fn new(contents: &'d Contents) -> Self {
        let meta = match &contents.meta.witprof {
            Some(OwnData::Known(meta)) => Some(&**meta),
            _ => None,
        };
        let mut reader = Self {
            contents,
            meta,
            part: meta.and_then(|meta| saved_part(&contents.meta, meta)),
            known: FxHashMap::default(),
            ends: meta.map_or_else(FxHashMap::default, ends_of),
            labels: None,
            libraries: Vec::new(),
            own: Vec::new(),
            library_rows: Vec::new(),
            functions: IndexMap::default(),
            frames: IndexSet::default(),
            stacks: IndexSet::default(),
            files: IndexSet::default(),
            instructions: FxHashMap::default(),
        };
        let instructions = meta.iter().flat_map(|meta| &meta.instructions);
        reader.instructions.extend(instructions.map(|(library, address, offset)| ((*library, *address), *offset)));
        for (row, function) in meta.iter().flat_map(|meta| meta.functions.iter().enumerate()) {
            reader.known.insert((function.0, function.1), row);
        }
        reader.add_libraries();
        reader
    }

    fn add_libraries(&mut self) {
        let known = self.meta.iter().flat_map(|meta| meta.libraries.iter().enumerate());
        let by_id: FxHashMap<&str, usize> = known.map(|(index, known)| (known.id.as_str(), index)).collect();
        for library in &self.contents.libraries {
            let own = by_id.get(library.id.as_str()).copied();
            let row = match self.meta.zip(own).map(|(meta, own)| &meta.libraries[own]) {
                Some(known) => ProfileLibrary {
                    name: library.name.clone(),
                    layer: Layer::ALL.iter().copied().find(|layer| layer.name() == known.layer).unwrap_or(Layer::Guest),
                    component: known.component.clone(),
                },
                None => {
                    let is_guest = library.id.bytes().all(|byte| byte == b'0');
                    let layer = if is_guest { Layer::Guest } else { Layer::Host };
                    ProfileLibrary { name: library.name.clone(), layer, component: None }
                }
            };
            self.own.push(own.and_then(|own| u32::try_from(own).ok()));
            let index = self.add_library(row);
            self.libraries.push(index);
        }
    }

    pub(super) fn add_library(&mut self, library: ProfileLibrary) -> LibraryIndex {
        self.library_rows.push(library);
        LibraryIndex(u32::try_from(self.library_rows.len() - 1).unwrap_or(u32::MAX))
    }

    pub(super) fn read(mut self) -> Result<Profile, String> {
        let contents = self.contents;
        let meta = self.meta;
        if contents.meta.sample_units.as_ref().is_some_and(UnitsJson::is_of_sizes) {
            return Err("it is of sizes, not of time".to_owned());
        }
        let interval = match meta {
            Some(meta) => Duration::from_nanos(meta.interval_ns),
            None => contents.meta.interval.and_then(|interval| time(interval, 1e3)).ok_or("its interval is no time")?,
        };
        let mut threads = self.threads(interval)?;
        // Where each thread of the file is now.
        let places: FxHashMap<usize, usize> =
            threads.iter().enumerate().filter_map(|(place, (own, _))| Some(((*own)?, place))).collect();
        let mut threads: Vec<Thread> = threads.drain(..).map(|(_, thread)| thread).collect();
        let samples = || threads.iter().flat_map(|thread| &thread.samples);
        if meta.is_none() && samples().all(|sample| sample.cpu.is_zero()) {
            // Wasmtime's guest profiler does not know, which is not to say that all was waiting.
            threads.iter_mut().flat_map(|thread| &mut thread.samples).for_each(|sample| sample.cpu = sample.wall);
        }
        let walls = threads.iter().flat_map(|thread| &thread.samples).map(|sample| sample.wall);
        if walls.fold(Duration::ZERO, Duration::saturating_add) > MAX_TOTAL {
            return Err("its samples stand for more than 99 days".to_owned());
        }
        let last = threads.iter().filter_map(|thread| thread.samples.last()).map(|sample| sample.time).max();
        let rows = threads.iter().flat_map(|thread| &thread.samples).map(|sample| sample.count);
        let rows: u64 = rows.fold(0, u64::saturating_add);
        let rounded = || time(contents.meta.start_time, 1e3 * 100.0).map_or(Duration::ZERO, |time| time * 100);
        let started = meta.and_then(|meta| meta.started_ns).map_or_else(rounded, Duration::from_nanos);
        let is_there = |span: &Span| self.part.is_none_or(|(begin, end)| span.begin <= end && span.end() >= begin);
        let sources = contents.sources.iter().filter_map(|(name, text)| {
            let file = self.files.get_index_of(contents.strings.get(*name as usize)?)?;
            Some((FileIndex(u32::try_from(file).ok()?), text.clone()))
        });
        let sources = sources.collect();
        let product = &contents.meta.product;
        Ok(Profile {
            name: product.strip_suffix(" (witprof)").unwrap_or(product).to_owned(),
            sampler: match meta {
                Some(meta) if meta.sampler == SamplerKind::Epoch.name() => SamplerKind::Epoch,
                Some(_) => SamplerKind::Signal,
                None => SamplerKind::Other,
            },
            interval,
            origin: meta.map_or_else(Origin::default, |meta| meta.origin.clone()),
            started_at: UNIX_EPOCH.checked_add(started).unwrap_or(UNIX_EPOCH),
            elapsed: match (meta, self.part) {
                (Some(_), Some((begin, end))) => end.saturating_sub(begin),
                (Some(meta), None) => Duration::from_nanos(meta.elapsed_ns),
                (None, _) => last.unwrap_or_default(),
            },
            counts: match meta {
                Some(meta) if self.part.is_none() => counts_of(meta),
                _ => SampleCounts { taken: rows, kept: rows, ..SampleCounts::default() },
            },
            handler_cost: meta.and_then(|meta| meta.handler).map(|(median_ticks, p99_ticks, ticks_per_second)| {
                HandlerCost { median_ticks, p99_ticks, ticks_per_second }
            }),
            // Of a part it is not known.
            profiler: meta.filter(|_| self.part.is_none()).map_or(ProfilerTime::default(), |meta| {
                let (samples, wall, cpu) = meta.profiler;
                let wall = Duration::from_nanos(wall).min(MAX_TOTAL);
                ProfilerTime { samples, wall, cpu: Duration::from_nanos(cpu).min(wall) }
            }),
            knows_preempted: self.part.is_none() && meta.is_some_and(|meta| meta.sample_preempted.is_some()),
            libraries: self.library_rows,
            functions: self.functions.into_values().collect(),
            frames: self.frames.into_iter().collect(),
            stacks: self.stacks.into_iter().collect(),
            files: self.files.into_iter().collect(),
            sources,
            missing_lines: meta.map_or(Vec::new(), |meta| meta.missing_lines.clone()),
            threads,
            labels: match meta {
                Some(meta) if !meta.labels.is_empty() => meta.labels.iter().map(|set| set.clone().into()).collect(),
                _ => vec![LabelSet::default()],
            },
            traces: std::iter::once(Ok(None))
                .chain(meta.iter().flat_map(|meta| &meta.traces).map(trace_of))
                .collect::<Result<_, _>>()?,
            // They are summed up for the whole recording.
            calls: match meta.and_then(|meta| meta.calls.as_ref()) {
                Some(calls) if self.part.is_none() => Some(calls_of(calls, &places)?),
                _ => None,
            },
            memories: meta.iter().flat_map(|meta| &meta.memories).map(memory_of).collect(),
            growths: meta.map_or(Ok(Vec::new()), growths_of)?,
            spans: meta.iter().flat_map(|meta| &meta.spans).map(span_of).filter(is_there).collect(),
            spans_left_out: meta.map_or(0, |meta| meta.spans_left_out),
            captured: match meta.and_then(|meta| meta.captured.as_ref()) {
                Some(captured) => Some(captured_of(captured, &places)?),
                None => None,
            },
        })
    }

    /// The threads that have samples, in the order that they had, each with its position in that.
    fn threads(&mut self, interval: Duration) -> Result<Vec<(Option<usize>, Thread)>, String> {
        let threads = self.tracks_to_read();
        let stacks = self.all_stacks(&threads)?;
        let mut read = Vec::with_capacity(threads.len());
        for (index, thread) in threads {
            let own = self.track_of(thread).map(|(own, _)| own);
            let problem = |problem| format!("in thread {index} (`{}`), {problem}", thread.name);
            let mut made = self.thread(thread, index, &stacks[thread.tables], interval).map_err(problem)?;
            if let Some(meta) = self.meta {
                if let Some(name) = own.and_then(|own| meta.threads.get(own)) {
                    made.name.clone_from(name);
                }
                // Which rows are left cannot be told, so neither can what `meta` says of each.
                let known = own.filter(|_| self.part.is_none());
                made.samples = joined_rows(made.samples, meta, known, interval);
            }
            read.push((own, made));
        }
        // Older files have their threads sorted by name.
        read.sort_by_key(|(own, _)| *own);
        // An empty profile has a thread without a name or samples, because the front-end wants one.
        read.retain(|(_, thread)| !thread.samples.is_empty());
        Ok(read)
    }

    /// Which thread one of our tracks is of, and how often that is there already.
    fn track_of(&self, track: &ThreadContents) -> Option<(usize, usize)> {
        let number = track.tid.as_str().and_then(|tid| tid.parse::<usize>().ok()?.checked_sub(1))?;
        let threads = self.meta?.threads.len().max(1);
        Some((number % threads, number / threads))
    }

    /// All threads of other programs; of ours the tracks with functions, those with complete stacks where there are such.
    fn tracks_to_read(&self) -> Vec<(usize, &'d ThreadContents)> {
        const BY_INTERFACE: usize = 1;
        const COMPLETE: usize = 2;
        let tracks =
            || self.contents.threads.iter().enumerate().map(|(index, track)| (index, track, self.track_of(track)));
        let is_complete = |thread| tracks().any(|(_, _, track)| track == Some((thread, COMPLETE)));
        let is_read = |track| match track {
            None | Some((_, COMPLETE)) => true,
            Some((_, BY_INTERFACE)) => false,
            Some((thread, _)) => !is_complete(thread),
        };
        tracks().filter(|(_, _, track)| is_read(*track)).map(|(index, track, _)| (index, track)).collect()
    }
}
