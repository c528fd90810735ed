//! One component or module that is, or was, registered.

use std::fmt;
use std::ops::Range;
use std::sync::{Arc, Mutex, OnceLock};

use rustc_hash::FxHashMap;

use crate::address::{InstructionRanges, TextOffset};
use crate::component::{Code, Image, find_evaluators};
use crate::error::{Error, Result};
use crate::interpreters::{Evaluator, InterpreterProblem};
use crate::lock::lock;
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
    /// The evaluation loops in it, with offsets into its text.
    evaluators: Vec<Evaluator>,
    /// Why there may be more.
    unread_interpreter: Option<InterpreterProblem>,
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
        let (evaluators, unread_interpreter) = find_evaluators(&code);
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
            evaluators,
            unread_interpreter,
        })
    }

    /// Its number among all that were ever registered.
    pub(crate) fn number(&self) -> u32 {
        self.number
    }

    /// The evaluation loops in it, with offsets into its text.
    pub(crate) fn evaluators(&self) -> &[Evaluator] {
        &self.evaluators
    }

    /// Why an interpreter in it is not read, if one is not.
    pub(crate) fn unread_interpreter(&self) -> Option<InterpreterProblem> {
        self.unread_interpreter
    }

    /// Where its text is in memory, or was.
    pub(crate) fn text(&self) -> &Range<u64> {
        &self.text
    }

    /// Its names, decoded now if nobody has asked before.
    pub(crate) fn map(&self) -> &Arc<SymbolMap> {
        self.map_with(None)
    }

    /// The same where the code is at hand, though it may not be registered any more.
    fn map_with(&self, code: Option<&Code>) -> &Arc<SymbolMap> {
        self.map.get_or_init(|| {
            // Nobody else is in here.
            let builder = lock(&self.builder).take();
            let name = builder.as_ref().map_or_else(String::new, |builder| builder.name().to_owned());
            let code = code.cloned().or_else(|| self.code());
            let problem = match builder.zip(code).map(|(builder, code)| builder.build(code)) {
                Some(Ok(map)) => return Arc::new(map),
                Some(Err(error)) => with_causes(&error),
                // Names of code that is gone are decoded before it goes, if they are needed.
                None => "its code is gone".to_owned(),
            };
            let _ = self.problem.set(problem);
            let size = u32::try_from(self.text.end - self.text.start).unwrap_or(u32::MAX);
            Arc::new(SymbolMap::unnamed(&name, size))
        })
    }

    /// What it is called before anybody has asked for names: as its map, or as what stands in for its own name.
    pub(crate) fn name(&self) -> String {
        if let Some(map) = self.map.get() {
            return map.component().to_owned();
        }
        let given = lock(&self.builder).as_ref().map(|builder| builder.name().to_owned());
        given.unwrap_or_else(|| self.map().component().to_owned())
    }

    /// The code, while it is registered.
    pub(crate) fn code(&self) -> Option<Code> {
        lock(&self.code).clone()
    }

    /// Whether it still has its code.
    pub(crate) fn has_code(&self) -> bool {
        lock(&self.code).is_some()
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
        self.instructions_with(None)
    }

    fn instructions_with(&self, code: Option<&Code>) -> Option<&InstructionRanges> {
        let read = || code.cloned().or_else(|| self.code())?.instruction_ranges();
        self.instructions.get_or_init(read).as_ref()
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

/// An error and its causes, in one line.
fn with_causes(error: &Error) -> String {
    let causes = std::iter::successors(Some(error as &dyn std::error::Error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

/// An entry, and its code if that was registered when somebody began to look.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Target<'t> {
    entry: &'t Entry,
    code: Option<&'t Code>,
}

impl<'t> Target<'t> {
    /// Its number among all that were ever registered.
    pub(crate) fn number(self) -> u32 {
        self.entry.number
    }

    /// Its names.
    pub(crate) fn map(self) -> &'t Arc<SymbolMap> {
        self.entry.map_with(self.code)
    }

    /// Which text was compiled from which instruction; nothing if the code has no address map.
    pub(crate) fn instructions(self) -> Option<&'t InstructionRanges> {
        self.entry.instructions_with(self.code)
    }

    /// Its code.
    pub(crate) fn code(self) -> Option<&'t Code> {
        self.code
    }

    /// Why it has no names, if it has none.
    pub(crate) fn problem(self) -> Option<&'t str> {
        self.entry.problem.get().map(String::as_str)
    }

    /// Which function of the host a core module calls; see [`Entry::host_import`].
    pub(crate) fn host_import(self, site: TextOffset, signature: &str) -> Option<u32> {
        self.map();
        self.instructions();
        self.entry.host_import(site, signature)
    }
}

/// Some entries, by number: those that records refer to, with their code as long as it is registered.
#[derive(Clone, Debug, Default)]
pub(crate) struct Targets(FxHashMap<u32, (Arc<Entry>, Option<Code>)>);

impl Targets {
    /// The entry with a number.
    pub(crate) fn get(&self, number: u32) -> Option<Target<'_>> {
        self.0.get(&number).map(|(entry, code)| Target { entry, code: code.as_ref() })
    }

    /// All of them, in the order in which they were registered.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Target<'_>> {
        let mut targets: Vec<Target<'_>> =
            self.0.values().map(|(entry, code)| Target { entry, code: code.as_ref() }).collect();
        targets.sort_by_key(|target| target.number());
        targets.into_iter()
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
