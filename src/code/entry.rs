//! One component or module that is, or was, registered.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use rustc_hash::FxHashMap;

use crate::address::{InstructionRanges, TextOffset};
use crate::component::{Code, Image};
use crate::error::{Error, Result};
use crate::lock::lock;
use crate::samples::CallSite;
use crate::symbols::{Function, SymbolMap, SymbolMapBuilder};

/// What registered code is called: a [`SymbolMap`], or the builder of one, which decodes the names when somebody asks for
/// the first of them. With a builder, code that is never sampled costs next to nothing.
///
/// ```
/// # use std::sync::Arc;
/// # use wasmtime::component::Component;
/// # use witprof::{Recorder, SymbolMap};
/// # fn example(recorder: &Recorder, shop: &Component, cart: &Component) -> witprof::Result<()> {
/// let shop = recorder.register(SymbolMap::builder("shop"), shop)?;
/// // A map may be shared by all recorders.
/// let map = Arc::new(SymbolMap::builder("cart").build(cart)?);
/// let cart = recorder.register(map, cart)?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct Names(Source);

#[derive(Clone, Debug)]
enum Source {
    Map(Arc<SymbolMap>),
    Builder(Box<SymbolMapBuilder<'static>>),
}

impl Names {
    /// What stands in for the code before its names are known.
    pub(crate) fn name(&self) -> &str {
        match &self.0 {
            Source::Map(map) => map.component(),
            Source::Builder(builder) => builder.name(),
        }
    }
}

impl From<Arc<SymbolMap>> for Names {
    fn from(map: Arc<SymbolMap>) -> Self {
        Self(Source::Map(map))
    }
}

impl From<&Arc<SymbolMap>> for Names {
    fn from(map: &Arc<SymbolMap>) -> Self {
        Arc::clone(map).into()
    }
}

impl From<SymbolMap> for Names {
    fn from(map: SymbolMap) -> Self {
        Arc::new(map).into()
    }
}

impl From<SymbolMapBuilder<'static>> for Names {
    fn from(builder: SymbolMapBuilder<'static>) -> Self {
        Self(Source::Builder(Box::new(builder)))
    }
}

/// One component or module that is, or was, registered.
pub(crate) struct Entry {
    number: u32,
    /// Where its text was in memory.
    text: Range<u64>,
    map: OnceLock<Arc<SymbolMap>>,
    /// What the map is to be built with.
    builder: Mutex<Option<Box<SymbolMapBuilder<'static>>>>,
    /// The code, as long as it is registered.
    code: Mutex<Option<Code>>,
    /// Which text was compiled from which instruction, once it was asked for; nothing if nothing tells.
    instructions: OnceLock<Option<InstructionRanges>>,
    /// Why it has no names.
    problem: OnceLock<String>,
}

impl Entry {
    /// An entry with a number of its own.
    ///
    /// # Errors
    /// [`Error::GuestDebug`] if stores run private copies of the code; [`Error::OtherCode`] if the names are those of other
    /// code; [`Error::Image`] if the code cannot be read.
    pub(crate) fn new(number: u32, names: Names, code: Code) -> Result<Self> {
        if code.engine().get_guest_debug() {
            return Err(Error::GuestDebug { name: names.name().to_owned() });
        }
        let range = code.text().as_ptr_range();
        let (mut map, mut builder) = (OnceLock::new(), None);
        match names.0 {
            Source::Map(built) => {
                let unreadable = |problem| Error::Image { name: built.component().to_owned(), problem };
                if !built.is_of(&Image::parse(code.image()).map_err(unreadable)?) {
                    return Err(Error::OtherCode { name: built.component().to_owned() });
                }
                map = OnceLock::from(built);
            }
            Source::Builder(made) => builder = Some(made),
        }
        Ok(Self {
            number,
            text: range.start.addr() as u64..range.end.addr() as u64,
            map,
            builder: Mutex::new(builder),
            code: Mutex::new(Some(code)),
            instructions: OnceLock::new(),
            problem: OnceLock::new(),
        })
    }

    /// Its number among all that were ever registered.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// Where its text is in memory, or was.
    pub(crate) fn text(&self) -> &Range<u64> {
        &self.text
    }

    /// Its names, decoded now if nobody has asked before.
    pub(crate) fn map(&self) -> &Arc<SymbolMap> {
        self.map.get_or_init(|| {
            // Nobody else is in here.
            let builder = lock(&self.builder).take();
            let name = builder.as_ref().map_or_else(String::new, |builder| builder.name().to_owned());
            let built = builder.zip(self.code()).map(|(builder, code)| builder.build(code));
            let map = match built {
                Some(Ok(map)) => return Arc::new(map),
                Some(Err(error)) => {
                    let _ = self.problem.set(error.to_string());
                    SymbolMap::unnamed(&name, u32::try_from(self.text.end - self.text.start).unwrap_or(u32::MAX))
                }
                // Names of code that is gone are decoded before it goes, if they are needed.
                None => SymbolMap::unnamed(&name, u32::try_from(self.text.end - self.text.start).unwrap_or(u32::MAX)),
            };
            Arc::new(map)
        })
    }

    /// What it is called before anybody has asked for names: as its map, or as what stands in for its own name.
    pub(crate) fn name(&self) -> String {
        if let Some(map) = self.map.get() {
            return map.component().to_owned();
        }
        let builder = lock(&self.builder);
        // Somebody is building the map, and waits for nothing that this holds.
        builder.as_ref().map(|builder| builder.name().to_owned()).unwrap_or_else(|| self.map().component().to_owned())
    }

    /// Why it has no names, if it has none.
    pub(crate) fn problem(&self) -> Option<&str> {
        self.problem.get().map(String::as_str)
    }

    /// The code, while it is registered.
    pub(crate) fn code(&self) -> Option<Code> {
        lock(&self.code).clone()
    }

    /// Lets go of the code, and returns it. What is needed of it for names has to be [kept](Self::keep_names) before.
    pub(crate) fn release(&self) -> Option<Code> {
        lock(&self.code).take()
    }

    /// Reads all that names and lines need of the code, which is about to go.
    pub(crate) fn keep_names(&self) {
        self.map();
        self.instructions();
    }

    /// Which text was compiled from which instruction; nothing if the code has no address map.
    pub(crate) fn instructions(&self) -> Option<&InstructionRanges> {
        self.instructions.get_or_init(|| self.code()?.instruction_ranges()).as_ref()
    }

    /// The function that contains a byte of text.
    pub(crate) fn function(&self, offset: u32) -> Option<Function<'_>> {
        self.map().lookup(TextOffset::new(offset))
    }

    /// Which function of the host a core module calls through the trampoline of `signature`, by the instruction at `site`; `None`
    /// if nothing tells.
    pub(crate) fn host_import(&self, site: TextOffset, signature: &str) -> Option<u32> {
        let map = self.map();
        let imports = map.host_imports();
        if imports.is_empty() {
            return None;
        }
        let function = map.lookup(site)?;
        // Exactly: the instruction before may call something else.
        let instruction = self.instructions()?.exact_instruction_at((function.offset(), function.size()), site);
        imports.called_by(instruction, signature)
    }
}

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Entry").field("number", &self.number).field("text", &self.text).finish_non_exhaustive()
    }
}

/// Some entries, by number: those that records refer to, with their code as long as it is registered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets(FxHashMap<u32, (Arc<Entry>, Option<Code>)>);

impl Targets {
    /// The entry with a number.
    pub(crate) fn get(&self, number: u32) -> Option<&Entry> {
        self.0.get(&number).map(|(entry, _)| &**entry)
    }

    /// All of them, in the order in which they were registered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Entry> {
        let mut entries: Vec<&Entry> = self.0.values().map(|(entry, _)| &**entry).collect();
        entries.sort_by_key(|entry| entry.number);
        entries.into_iter()
    }

    /// The code with a number, while it is registered.
    pub(crate) fn code(&self, number: u32) -> Option<&Code> {
        self.0.get(&number)?.1.as_ref()
    }

    /// The function of a site.
    pub(crate) fn function(&self, site: CallSite) -> Option<Function<'_>> {
        self.get(site.target)?.function(site.offset)
    }
}

impl FromIterator<Arc<Entry>> for Targets {
    fn from_iter<I: IntoIterator<Item = Arc<Entry>>>(entries: I) -> Self {
        let with_code = |entry: Arc<Entry>| {
            let code = entry.code();
            (entry.number, (entry, code))
        };
        Self(entries.into_iter().map(with_code).collect())
    }
}
