//! Which version of the format keeps what where, and how each becomes [`Contents`].
//!
//! The versions are those of `meta.preprocessedProfileVersion`. Their changelog is `docs-developer/CHANGELOG-formats.md`
//! of <https://github.com/firefox-devtools/profiler>, and the exact changes are what
//! `src/profile-logic/processed-profile-versioning.ts` there does. What they change in what is read here:
//!
//! | version | what is read | what else changed |
//! | --- | --- | --- |
//! | 41 | `libs` is one list for all threads; before, each thread had its own | |
//! | 42 | `nativeSymbols.functionSize` | |
//! | 43 to 46 | | numbers of counters, searchable marker fields, `optimizations`, `isMainThread` |
//! | 47 | `pid` is a string; before, it could be a number | |
//! | 48, 49 | | groups of counter samples, a format of marker fields |
//! | 50 | `samples.timeDeltas` may stand for `samples.time` | |
//! | 51 to 53 | | marker schemas, categories of stacks |
//! | 54 | `sampleUnits.time` may be `bytes`, which is refused: nothing took time | `implementation` of frames |
//! | 55 | | `fields` of marker schemas. What fxprof 0.8.1 writes, and witprof wrote with it |
//! | 56 | `shared.stringArray` for `stringArray` of each thread | |
//! | 57 | | searchable marker fields |
//! | 58 | `funcTable.source`, a row of `shared.sources`, for `funcTable.fileName`, a string; the file is `sources.filename` | |
//! | 59 | | `usedInnerWindowIDs` |
//! | 60 | `stackTable`, `frameTable`, `funcTable`, `resourceTable` and `nativeSymbols` are under `shared`, for all threads | |
//! | 61 to 63 | | `id` for `uuid` and more columns of `sources`, how counters are shown |
//! | 64 | `sources.content` | places in files before a source map was applied |
//! | 65 | | typed arrays in JsonSlabs files, which JSON writes as arrays |
//! | 66 | `stackTable.prefixOffset`, how many rows before it the caller is or 0, for `stackTable.prefix` | |
//! | 67 | `frameTable.address` is -1 rather than null where there is none (it could be both before) | typed arrays |
//! | 68, 69 | | typed arrays of markers, where markers are shown |
//! | 70 | `frameTable.lib`, or -1, for `resourceTable.lib` of the resource of the function. What witprof writes | |
//!
//! The front-end upgrades a file when it opens it, keeps what it does not know in `meta` (so also ours), and writes the
//! newest version. Its Download button writes JSON, compressed with gzip.

use super::contents::{Contents, Libraries, Tables, ThreadContents};
use super::document::{
    Document, FramesJson, FunctionsJson, MetaJson, ResourcesJson, SharedJson, SourcesJson, StacksJson, SymbolsJson,
    ThreadJson,
};

/// Older ones have lists of libraries in each thread.
const OLDEST: u32 = 41;
/// The newest one that is known here. Newer ones are tried.
pub(super) const NEWEST: u32 = 70;

const SHARED_STRINGS: u32 = 56;
const SOURCES: u32 = 58;
const SHARED_TABLES: u32 = 60;
const PREFIX_OFFSETS: u32 = 66;
const LIBRARIES_OF_FRAMES: u32 = 70;

/// What helps with every file that the front-end reads and witprof does not.
const DOWNLOAD: &str = "open it at https://profiler.firefox.com and save it with its Download button, which writes a \
                        version that can be read";

/// A version of the format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(u32);

impl Version {
    /// The version of a file, if files of that kind are read.
    pub(super) fn of(meta: &MetaJson) -> Result<Self, String> {
        match (meta.preprocessed_profile_version, meta.version) {
            (Some(version), _) if version < OLDEST => {
                Err(format!("it has format version {version}, and versions {OLDEST} to {NEWEST} are read; {DOWNLOAD}"))
            }
            (Some(version), _) => Ok(Self(version)),
            (None, Some(gecko)) => Err(format!(
                "it is a profile as Firefox records it (Gecko format, version {gecko}), not yet in the format of the \
                 Firefox Profiler; {DOWNLOAD}"
            )),
            (None, None) => {
                Err(format!("it has no `meta.preprocessedProfileVersion`, so what it is cannot be told; {DOWNLOAD}"))
            }
        }
    }

    /// What to say of a file of this version that could not be read because of `problem`.
    pub(super) fn explain(self, problem: &str) -> String {
        if self.0 <= NEWEST {
            return problem.to_owned();
        }
        format!(
            "it has format version {}, newer than all that this version of witprof knows (to {NEWEST}), and could not be \
             read like those: {problem}; try a newer witprof",
            self.0
        )
    }
}

/// What a file says, wherever its version keeps it.
pub(super) fn contents(document: Document, Version(version): Version) -> Result<Contents, String> {
    let Document { meta, libs, threads, mut shared } = document;
    let sources = shared.sources.take().unwrap_or_default();
    let has_shared_tables = version >= SHARED_TABLES;
    let mut tables = Vec::new();
    if has_shared_tables {
        let shared = TablesJson::of_all(&mut shared).tables(version, &sources);
        tables.push(shared.map_err(|problem| format!("in `shared`, {problem}"))?);
    }
    let mut contents = Vec::with_capacity(threads.len());
    for (index, mut thread) in threads.into_iter().enumerate() {
        if !has_shared_tables {
            let own = TablesJson::of_thread(&mut thread).tables(version, &sources);
            tables.push(own.map_err(|problem| format!("in thread {index} (`{}`), {problem}", thread.name))?);
        }
        let ThreadJson { name, process_name, tid, samples, .. } = thread;
        contents.push(ThreadContents { name, process_name, tid, samples, tables: tables.len() - 1 });
    }
    let texts = sources.filename.into_iter().zip(sources.content);
    let texts = texts.filter_map(|(name, text)| Some((name?, text?))).collect();
    let strings = shared.string_array.unwrap_or_default();
    Ok(Contents { meta, libraries: libs, strings, sources: texts, tables, threads: contents })
}

/// The tables that were a thread's own before they were shared.
struct TablesJson {
    strings: Option<Vec<String>>,
    stacks: Option<StacksJson>,
    frames: Option<FramesJson>,
    functions: Option<FunctionsJson>,
    resources: Option<ResourcesJson>,
    symbols: Option<SymbolsJson>,
}

impl TablesJson {
    fn of_thread(thread: &mut ThreadJson) -> Self {
        Self {
            strings: thread.string_array.take(),
            stacks: thread.stack_table.take(),
            frames: thread.frame_table.take(),
            functions: thread.func_table.take(),
            resources: thread.resource_table.take(),
            symbols: thread.native_symbols.take(),
        }
    }

    fn of_all(shared: &mut SharedJson) -> Self {
        Self {
            strings: None,
            stacks: shared.stack_table.take(),
            frames: shared.frame_table.take(),
            functions: shared.func_table.take(),
            resources: shared.resource_table.take(),
            symbols: shared.native_symbols.take(),
        }
    }

    fn tables(self, version: u32, sources: &SourcesJson) -> Result<Tables, String> {
        let missing = |what: &str| format!("there is no `{what}`, which version {version} of the format keeps there");
        let stacks = self.stacks.ok_or_else(|| missing("stackTable"))?;
        let mut frames = self.frames.ok_or_else(|| missing("frameTable"))?;
        let FunctionsJson { name, resource, file_name, source, line_number } =
            self.functions.ok_or_else(|| missing("funcTable"))?;
        let callers = if version >= PREFIX_OFFSETS {
            callers(&stacks.prefix_offset.ok_or_else(|| missing("stackTable.prefixOffset"))?)?
        } else {
            stacks.prefix.ok_or_else(|| missing("stackTable.prefix"))?
        };
        let files = if version >= SOURCES {
            let file = |source: Option<u32>| sources.filename.get(source? as usize).copied().flatten();
            source.into_iter().map(file).collect()
        } else {
            file_name
        };
        let libraries = if version >= LIBRARIES_OF_FRAMES {
            Libraries::OfFrames(frames.lib.take().ok_or_else(|| missing("frameTable.lib"))?)
        } else {
            let resources = self.resources.unwrap_or_default().lib;
            let library = |resource: Option<i64>| resources.get(usize::try_from(resource?).ok()?).copied().flatten();
            Libraries::OfFunctions(resource.into_iter().map(library).collect())
        };
        Ok(Tables {
            strings: self.strings.filter(|_| version < SHARED_STRINGS),
            callers,
            frame_of_stack: stacks.frame,
            frames,
            libraries,
            names: name,
            files,
            lines: line_number,
            symbols: self.symbols.unwrap_or_default(),
        })
    }
}

/// The rows of callers, from how far before their own rows they are.
fn callers(offsets: &[u32]) -> Result<Vec<Option<u32>>, String> {
    let caller = |(row, offset): (u32, &u32)| match (*offset, row.checked_sub(*offset)) {
        (0, _) => Ok(None),
        (_, Some(caller)) => Ok(Some(caller)),
        (_, None) => Err(format!("stack {row} has a caller that is before the first")),
    };
    (0..).zip(offsets).map(caller).collect()
}
