//! Who called the host: the compiled function that a hook of Wasmtime's was reached from.
//!
//! Wasmtime says that a guest calls the host, but not what it calls. The stack does: between the hook and the trampoline
//! that was called by the guest there are a handful of Wasmtime's own functions, and the trampoline has a name.
//!
//! Unwinding them each time would cost more than most calls take. But where the return address of a frame is, seen from
//! the frame's stack pointer, depends on the code it will return to and on nothing else: that is what unwind information
//! is. So ways that have been unwound once are remembered as a tree: at each node how far above the first frame's stack
//! pointer the next return address is, and where to go on for each value found there. Following a remembered way reads
//! one word for each frame, and only words of frames that are known to be there. (A function that aligns its stack to
//! more than 16 bytes has frames of more than one size. It is found out by unwinding it twice, and no longer remembered.)
//!
//! Programs call in loops, so who calls next is mostly who called next after the same caller before. That way is tried first,
//! from its list of words instead of through the tree; and what is known of the caller is known before it is found.

use std::sync::{Arc, Mutex};

use framehop::{CacheNative, MustNotAllocateDuringUnwind};
use rustc_hash::FxHashMap;

use super::clocks::{self, SampleClock};
use super::collector::raw_frame;
use super::scenes::{Scenes, Seen};
use super::scripts::{ScriptReader, frame_that_runs};
use super::walk::{
    self, FrameWord, Place, Registers, Run, StackMemory, caller_by_frame_pointer, caller_of_host_frame, strip,
};
use crate::lock::lock;
use crate::samples::{CallSite, RawFrame, ScriptFunctions};

/// What finders of a recording have in common: what may be seen, and ways that are known already.
#[derive(Debug)]
pub(crate) struct CallerWays {
    scenes: Arc<Scenes>,
    /// Ways that finders of stores have learned that are gone.
    known: [Mutex<Vec<Ways>>; Beginning::COUNT],
    scripts: ScriptReader,
}

/// The function that asks who called. All ways of a finder begin in the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    CallHook,
    Limiter,
    EpochCallback,
}

impl Beginning {
    const COUNT: usize = 3;
}

impl CallerWays {
    /// `None` where stacks cannot be read.
    #[allow(clippy::unnecessary_wraps, reason = "elsewhere there is none")]
    pub(crate) fn new(scenes: &Arc<Scenes>) -> Option<Self> {
        let scripts = ScriptReader::new(scenes);
        Some(Self { scenes: Arc::clone(scenes), known: Default::default(), scripts })
    }

    /// The functions of scripts that finders have met first.
    pub(crate) fn script_functions(&self) -> ScriptFunctions {
        self.scripts.functions()
    }
}

/// A frame of the host's, and what is known of its caller.
#[derive(Clone, Copy, Debug)]
enum Node {
    /// Its return address is so many bytes above the first frame's stack pointer. Where the way goes on is in
    /// [`Ways::ways`]; this way was taken first, and is by far the most frequent in most nodes.
    At { offset: u64, first: (u64, u32) },
    /// It does not have a fixed place.
    Varies,
}

/// The place where the host was called from.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    /// The function that called: a trampoline.
    pub(crate) site: CallSite,
    /// Its number among all such places: small, and always the same.
    pub(crate) number: u32,
    /// What is to be added to the first frame's stack pointer, to get the trampoline's frame pointer.
    frame: u64,
}

/// What is at the end of a way.
#[derive(Clone, Copy, Debug)]
enum Step {
    Node(u32),
    Caller(u32),
}

impl Step {
    const CALLER: u32 = 1 << 31;

    fn new(packed: u32) -> Self {
        if packed & Self::CALLER == 0 { Self::Node(packed) } else { Self::Caller(packed & !Self::CALLER) }
    }
}

/// What a caller is to whoever asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Not known yet, or something that takes time.
    Call,
    /// Something that is counted, and whose time is not asked for.
    Note,
    /// Nothing.
    Nothing,
}

/// A whole way, from a hook to a caller.
struct Path {
    /// Where above the first frame's stack pointer there is which return address.
    words: Box<[(u64, u64)]>,
    caller: Caller,
    /// The path that was taken after this one.
    next: u32,
    /// What the caller is to whoever asks.
    meaning: Meaning,
}

/// Ways from a hook to the compiled code that called the host.
struct Ways {
    nodes: Vec<Node>,
    /// From a node and the return address found there.
    ways: FxHashMap<(u32, u64), u32>,
    callers: Vec<Caller>,
    /// What [`Step::Caller`] leads to.
    paths: Vec<Path>,
    /// The path that was taken last.
    last: u32,
    /// Where, above the stack pointer, the function was found that was about to be entered: by node.
    slots: FxHashMap<u32, Box<[u64]>>,
    cache: CacheNative<MustNotAllocateDuringUnwind>,
}

impl Ways {
    fn new() -> Self {
        Self {
            nodes: vec![Node::At { offset: 0, first: (0, 0) }],
            ways: FxHashMap::default(),
            callers: Vec::new(),
            paths: Vec::new(),
            last: 0,
            slots: FxHashMap::default(),
            cache: CacheNative::new_in(),
        }
    }

    /// Where the way goes on from a node, with a packed [`Step`]; `None` if it does so for the first time.
    #[inline]
    fn next(&self, at: u32, here: Registers) -> Option<u32> {
        let Node::At { offset, first } = self.nodes[at as usize] else { return None };
        if offset == 0 {
            return None;
        }
        // SAFETY: the address is that of the return address of a frame of this very stack, which is in use: the frame of
        // the first node is that of the function that asks, and each other was found behind the return address that
        // leads to it. So it is aligned, mapped, and written before.
        let return_address = unsafe { (here.sp.wrapping_add(offset) as *const u64).read_volatile() };
        if return_address == first.0 {
            return Some(first.1);
        }
        self.ways.get(&(at, return_address)).copied()
    }
}

impl Ways {
    /// Whether all callers are what they were when they were found: the code at an address may be other code by now.
    fn are_right(&self, seen: &Seen) -> bool {
        self.paths.iter().all(|path| {
            let last = path.words.last().and_then(|(_, return_address)| seen.site(*return_address));
            last == Some(path.caller.site)
        })
    }

    /// The path that will be taken, if things go on as they did before.
    #[inline]
    fn expected(&self) -> Option<&Path> {
        let last = self.paths.get(self.last as usize)?;
        self.paths.get(last.next as usize)
    }

    /// Whether a path leads from `here`.
    #[inline]
    fn leads(path: &Path, here: Registers) -> bool {
        path.words.iter().all(|(offset, return_address)| {
            // SAFETY: as in `next`: a word is read only after all those before it were found to be what they were, so it is
            // the return address of a frame of this stack.
            let found = unsafe { (here.sp.wrapping_add(*offset) as *const u64).read_volatile() };
            found == *return_address
        })
    }

    /// Notes which path was taken.
    #[inline]
    fn take(&mut self, path: u32) {
        if let Some(last) = self.paths.get_mut(self.last as usize)
            && last.next != path
        {
            last.next = path;
        }
        self.last = path;
    }
}

/// Finds callers, for one store.
pub(crate) struct CallerFinder {
    common: Arc<CallerWays>,
    /// What may be seen: what was current when somebody asked last.
    seen: Arc<Seen>,
    beginning: Beginning,
    clock: SampleClock,
    ways: Ways,
    /// Wasmtime's descriptions of functions, by address. They live as long as the store.
    descriptions: FxHashMap<u64, CallSite>,
}

/// Ways of stores that are gone: more than there are stores at a time, mostly.
const MAX_KNOWN: usize = 64;

impl Drop for CallerFinder {
    fn drop(&mut self) {
        // The next store need not learn them again.
        let ways = std::mem::replace(&mut self.ways, Ways::new());
        let mut known = lock(&self.common.known[self.beginning as usize]);
        if known.len() < MAX_KNOWN {
            known.push(ways);
        }
    }
}

/// Bytes of the stack in which the function that is entered is looked for: Wasmtime's own frames.
const SEARCHED: u64 = 1024;

/// The frames of Wasmtime's that tell one way of entering a guest from another.
const ENTERING_FRAMES: usize = 7;

/// The lowest address that can be one.
const PAGE: u64 = 4096;

/// Behind the last address that a process can have.
const MAX_ADDRESS: u64 = 1 << if cfg!(target_arch = "x86_64") { 47 } else { 52 };

/// Frames of Wasmtime's that lead to a guest are not larger than this together.
const MAX_OFFSET: u64 = 16 << 10;

/// More frames than Wasmtime has between a hook and a guest.
const MAX_FRAMES: usize = 64;

/// More ways than there are functions to call.
const MAX_NODES: usize = 1 << 16;

/// More guest frames than there are on a stack.
const MAX_GUEST_FRAMES: usize = 1 << 16;

/// Frames of a stack that is kept.
const MAX_STACK: usize = 256;

/// Return addresses are right below the stack pointer of the frame they return to.
const IS_BELOW_FRAME: bool = cfg!(target_arch = "x86_64");

impl CallerFinder {
    pub(crate) fn new(common: Arc<CallerWays>, beginning: Beginning) -> Self {
        common.scenes.tick.measure();
        let seen = common.scenes.now();
        let known = lock(&common.known[beginning as usize]).pop();
        let ways = known.filter(|ways| ways.are_right(&seen)).unwrap_or_else(Ways::new);
        Self { common, seen, beginning, clock: SampleClock::default(), ways, descriptions: FxHashMap::default() }
    }

    /// Takes notice of code that has come or gone. To be called before anything else is asked. Returns whether the numbers of
    /// callers mean something else from now on.
    #[inline]
    pub(crate) fn look(&mut self) -> bool {
        self.seen.number != self.common.scenes.number() && self.look_again()
    }

    #[cold]
    fn look_again(&mut self) -> bool {
        let seen = self.common.scenes.now();
        let has_lost = seen.gone != self.seen.gone;
        self.seen = seen;
        if has_lost {
            self.descriptions.clear();
        }
        let is_other = has_lost && !self.ways.are_right(&self.seen);
        if is_other {
            self.ways = Ways::new();
        }
        is_other
    }

    /// Nanoseconds of the monotonic clock.
    #[inline]
    pub(crate) fn now(&mut self) -> u64 {
        self.clock.read(clocks::ticks(), &self.common.scenes.tick)
    }

    /// The registers of the function that asks, which must not be inlined, and ask at one place only: all ways begin there.
    #[inline(always)]
    pub(crate) fn here() -> Registers {
        Registers::here()
    }

    /// A reading of the clock behind [`now`](Self::now).
    pub(crate) fn time() -> u64 {
        clocks::monotonic()
    }

    /// The compiled function that called the host, seen from `here`. `None` if there is none that was registered, or
    /// the frames in between cannot be unwound.
    #[inline]
    pub(crate) fn find(&mut self, here: Registers) -> Option<Caller> {
        if let Some(expected) = self.ways.expected()
            && Ways::leads(expected, here)
        {
            let caller = expected.caller;
            self.ways.last = self.ways.paths[self.ways.last as usize].next;
            return Some(caller);
        }
        self.find_other(here)
    }

    /// The same for a caller that was not expected.
    #[inline(never)]
    fn find_other(&mut self, here: Registers) -> Option<Caller> {
        let mut at = 0;
        while let Some(next) = self.ways.next(at, here) {
            match Step::new(next) {
                Step::Node(next) => at = next,
                Step::Caller(path) => {
                    self.ways.take(path);
                    return Some(self.ways.paths[path as usize].caller);
                }
            }
        }
        self.find_and_remember(here)
    }

    /// What the caller will mean that is found next, if things go on as before.
    #[inline]
    pub(crate) fn expected(&self) -> Meaning {
        self.ways.expected().map_or(Meaning::Call, |expected| expected.meaning)
    }

    /// Whether the host was called by what means nothing, as was expected; if so, that caller has been found.
    #[inline]
    pub(crate) fn finds_nothing(&mut self, here: Registers) -> bool {
        let found = self
            .ways
            .expected()
            .is_some_and(|expected| expected.meaning == Meaning::Nothing && Ways::leads(expected, here));
        if found {
            self.ways.last = self.ways.paths[self.ways.last as usize].next;
        }
        found
    }

    /// What the caller means that was found last.
    #[inline]
    pub(crate) fn means(&mut self, meaning: Meaning) {
        if let Some(last) = self.ways.paths.get_mut(self.ways.last as usize) {
            last.meaning = meaning;
        }
    }

    /// Unwinds, and remembers the way.
    #[cold]
    fn find_and_remember(&mut self, here: Registers) -> Option<Caller> {
        self.common.scenes.tick.measure();
        let (frames, at) = self.unwind(here, MAX_FRAMES)?;
        let site = self.seen.site(at.pc)?;
        let frame = at.fp.wrapping_sub(here.sp);
        let known = self.ways.callers.iter().position(|caller| caller.site == site && caller.frame == frame);
        let number = known.unwrap_or(self.ways.callers.len());
        let number = u32::try_from(number).ok().filter(|number| *number < Step::CALLER)?;
        let caller = Caller { site, number, frame };
        if known.is_none() {
            if self.ways.callers.len() >= MAX_NODES {
                return None;
            }
            self.ways.callers.push(caller);
        }
        if IS_BELOW_FRAME {
            self.remember(&frames, Some(caller));
        }
        Some(caller)
    }

    /// Remembers a way, and if there is a caller at its end, that.
    fn remember(&mut self, frames: &[(u64, u64)], caller: Option<Caller>) {
        let mut at = 0;
        for (index, (found, return_address)) in frames.iter().enumerate() {
            let is_last = index + 1 == frames.len();
            let Node::At { offset, first } = self.ways.nodes[at as usize] else { return };
            if offset != 0 && offset != *found {
                self.ways.nodes[at as usize] = Node::Varies;
                return;
            }
            let next = match self.ways.ways.get(&(at, *return_address)) {
                Some(next) => *next,
                None if is_last && caller.is_some() => {
                    let path = caller.and_then(|caller| self.remember_path(frames, caller));
                    let Some(path) = path else { return };
                    path | Step::CALLER
                }
                None if self.ways.nodes.len() < MAX_NODES => {
                    self.ways.nodes.push(Node::At { offset: 0, first: (0, 0) });
                    // Fewer than `MAX_NODES`.
                    u32::try_from(self.ways.nodes.len() - 1).unwrap_or(0)
                }
                None => return,
            };
            self.ways.ways.insert((at, *return_address), next);
            let first = if offset == 0 { (*return_address, next) } else { first };
            self.ways.nodes[at as usize] = Node::At { offset: *found, first };
            match Step::new(next) {
                Step::Node(next) => at = next,
                Step::Caller(_) => return,
            }
        }
    }

    /// Remembers a whole way, and that it was taken; returns its number.
    fn remember_path(&mut self, frames: &[(u64, u64)], caller: Caller) -> Option<u32> {
        let ways = &mut self.ways;
        let number = u32::try_from(ways.paths.len()).ok().filter(|_| ways.paths.len() < MAX_NODES)?;
        ways.paths.push(Path { words: frames.into(), caller, next: number, meaning: Meaning::Call });
        ways.take(number);
        Some(number)
    }

    /// The function of the guest that Wasmtime is about to enter, as far as its stack tells: what calls the guest keeps the
    /// address of Wasmtime's description of the function (`VMFuncRef`), whose first word is the address of its entry.
    /// `None` if there is no such address in the frames above `here`, or more than one.
    ///
    /// Nothing says where it is kept, or for how long it stays there after another call. So this is a guess, and who asks
    /// checks it with [`entry_of`](Self::entry_of) when there is an opportunity.
    pub(crate) fn about_to_enter(&mut self, here: Registers) -> Option<CallSite> {
        // Where the address is kept depends on the functions that are about to enter the guest, and on nothing else.
        let (way, extent) = self.way(here, ENTERING_FRAMES)?;
        let mut memory = StackMemory::new(0..0, here.sp);
        let known = self.ways.slots.get(&way).cloned();
        let (mut found, mut site) = match &known {
            Some(slots) => self.agreed(slots.iter().copied(), here, &mut memory),
            None => (Vec::new(), None),
        };
        if found.is_empty() {
            (found, site) = self.agreed((0..extent.min(SEARCHED)).step_by(8), here, &mut memory);
        }
        // What is left of other calls is there by chance, and sooner or later something else is.
        if known.is_none_or(|known| *known != *found) {
            self.ways.slots.insert(way, found.into());
        }
        site
    }

    /// The node that so many frames lead to from `here`, and how far above the stack pointer the last of their return
    /// addresses is; `None` if they cannot be unwound, or are not remembered.
    fn way(&mut self, here: Registers, frames: usize) -> Option<(u32, u64)> {
        let follow = |ways: &Ways| {
            let (mut at, mut extent) = (0, 0);
            for _ in 0..frames {
                let Node::At { offset, .. } = ways.nodes[at as usize] else { return None };
                extent = offset;
                match Step::new(ways.next(at, here)?) {
                    Step::Node(next) => at = next,
                    Step::Caller(_) => return None,
                }
            }
            Some((at, extent))
        };
        if let Some(way) = follow(&self.ways) {
            return Some(way);
        }
        let (unwound, _) = self.unwind(here, frames)?;
        if IS_BELOW_FRAME {
            self.remember(&unwound, None);
        }
        follow(&self.ways)
    }

    /// The return addresses of so many frames, and where they are, above the stack pointer of `here`; and the last of these
    /// frames, which may be the first of registered code. `None` if there is a frame of other code, or none: of such code
    /// nobody knows how long it stays where it is, and what is behind it is not who called.
    fn unwind(&mut self, here: Registers, frames: usize) -> Option<(Vec<(u64, u64)>, Registers)> {
        let scene = Arc::clone(&self.seen);
        let mut memory = StackMemory::new(0..0, here.sp);
        let (mut at, mut found) = (here, Vec::new());
        while found.len() < frames && scene.site(at.pc).is_none() {
            scene.host.find(at.pc.wrapping_sub(1))?;
            let read = |address| memory.read(address).ok_or(());
            at = caller_of_host_frame(&scene.host, at, found.is_empty(), &mut self.ways.cache, read)?;
            let offset = at.sp.wrapping_sub(8).wrapping_sub(here.sp);
            if offset >= MAX_OFFSET {
                return None;
            }
            found.push((offset, at.pc));
        }
        // That of a trampoline is read without a look later on.
        if scene.site(at.pc).is_some() && (at.fp < at.sp || memory.read_pair(at.fp).is_none()) {
            return None;
        }
        Some((found, at))
    }

    /// The offsets above the stack pointer where there is a function, and the function if it is everywhere the same.
    fn agreed(
        &mut self,
        offsets: impl Iterator<Item = u64>,
        here: Registers,
        memory: &mut StackMemory,
    ) -> (Vec<u64>, Option<CallSite>) {
        let (mut found, mut site, mut is_agreed) = (Vec::new(), None, true);
        for offset in offsets {
            let Some(word) = memory.read(here.sp.wrapping_add(offset)) else { break };
            let Some(described) = self.described(word) else { continue };
            found.push(offset);
            is_agreed &= *site.get_or_insert(described) == described;
        }
        (found, site.filter(|_| is_agreed))
    }

    /// The function that the memory at `address` describes, if that is what it does.
    fn described(&mut self, address: u64) -> Option<CallSite> {
        let is_pointer = address.is_multiple_of(8) && (PAGE..MAX_ADDRESS).contains(&address);
        if !is_pointer || self.seen.code.find(address).is_some() {
            return None;
        }
        if let Some(known) = self.descriptions.get(&address) {
            return Some(*known);
        }
        let entry = read_anywhere(address)?;
        let range = self.seen.code.find(entry)?;
        let site = CallSite { target: range.target, offset: range.offset(entry) };
        if self.descriptions.len() < MAX_NODES {
            self.descriptions.insert(address, site);
        }
        Some(site)
    }

    /// The function that called the trampoline `caller`, if it is compiled code that was registered.
    pub(crate) fn caller_of(&self, caller: Caller, here: Registers) -> Option<CallSite> {
        self.site(self.return_address_of(caller, here))
    }

    /// The address that the trampoline `caller` will return to.
    #[inline]
    pub(crate) fn return_address_of(&self, caller: Caller, here: Registers) -> u64 {
        let frame = here.sp.wrapping_add(caller.frame);
        // SAFETY: the trampoline has not returned, and all code that Wasmtime compiles keeps its caller's frame pointer and
        // its return address where its own frame pointer points to.
        let [_, return_address] = unsafe { (frame as *const [u64; 2]).read_volatile() };
        strip(return_address)
    }

    /// The compiled function that an address is returned to, if it was registered.
    pub(crate) fn site(&self, return_address: u64) -> Option<CallSite> {
        self.seen.site(return_address)
    }

    /// The frames of compiled code that are on the stack between the host and its next frame, from the one that called the host
    /// outwards, and the functions of scripts that they run. None if the frames in between cannot be unwound.
    pub(crate) fn stack(&mut self, here: Registers) -> Vec<RawFrame> {
        let (words, _) = self.words(here);
        // What is kept of a run has the frame that runs it.
        let end = words.len().saturating_sub(MAX_STACK);
        words[end..].iter().rev().copied().chain(frame_that_runs(&words, end)).map(raw_frame).collect()
    }

    /// What each interpreter that is on that stack runs, innermost first; each outermost function first.
    pub(crate) fn scripts(&mut self, here: Registers) -> Vec<Vec<RawFrame>> {
        let mut scripts: Vec<Vec<RawFrame>> = Vec::new();
        let (words, runs) = self.words(here);
        if words.contains(&FrameWord::ELIDED) {
            return scripts;
        }
        let mut runs = runs.iter().map(|run| run.position).peekable();
        let mut natives = 0;
        for word in words {
            match word.place() {
                Place::Script { .. } => scripts.last_mut().into_iter().for_each(|run| run.push(raw_frame(word))),
                _ => {
                    if runs.next_if_eq(&natives).is_some() {
                        scripts.push(Vec::new());
                    }
                    natives += 1;
                }
            }
        }
        scripts.reverse();
        scripts
    }

    /// The frames of [`stack`](Self::stack), outermost first, and the runs of interpreters among those of compiled code.
    fn words(&mut self, here: Registers) -> (Vec<FrameWord>, Vec<Run>) {
        let Some(caller) = self.find(here) else { return (Vec::new(), Vec::new()) };
        let returns_to = |site: CallSite| FrameWord::text(site.target, site.offset.saturating_add(1));
        let mut stack = vec![returns_to(caller.site)];
        let mut runs: Vec<Run> = Vec::new();
        self.each_caller(caller, here, |site, at| {
            if let Some(evaluator) = self.seen.code.evaluator(at.pc.wrapping_sub(1)) {
                runs.push(Run::waiting(evaluator, at, stack.len()));
            }
            stack.push(returns_to(site));
            stack.len() < walk::MAX_WORDS
        });
        stack.reverse();
        if runs.is_empty() {
            return (stack, runs);
        }
        runs.reverse();
        runs.iter_mut().for_each(|run| run.position = stack.len() - 1 - run.position);
        let mut memory = StackMemory::new(0..0, here.sp);
        // SAFETY: the frames are those of this thread, which waits for the host that asks; their guest does nothing meanwhile.
        (unsafe { self.common.scripts.join(&stack, &runs, &mut memory) }, runs)
    }

    /// The function by which the host entered the guest that called through `caller`.
    pub(crate) fn entry_of(&self, caller: Caller, here: Registers) -> CallSite {
        let mut entry = caller.site;
        self.each_caller(caller, here, |site, _| {
            entry = site;
            true
        });
        entry
    }

    /// The compiled functions that lead to `caller`, from the innermost outwards, with the registers of their frames, as long as
    /// `each` wants more.
    fn each_caller(&self, caller: Caller, here: Registers, mut each: impl FnMut(CallSite, Registers) -> bool) {
        let mut memory = StackMemory::new(0..0, here.sp);
        let mut at = Registers { pc: 0, sp: here.sp, fp: here.sp.wrapping_add(caller.frame), lr: 0 };
        for _ in 0..MAX_GUEST_FRAMES {
            let Some(next) = caller_by_frame_pointer(at, |address| memory.read_pair(address)) else { break };
            let Some(site) = self.seen.site(next.pc) else { break };
            if !each(site, next) {
                break;
            }
            at = next;
        }
    }
}

/// The word at an address of which nothing is known: the kernel reads it, and reports an error where there is nothing.
fn read_anywhere(address: u64) -> Option<u64> {
    let mut word = 0_u64;
    let length = size_of::<u64>();
    let local = libc::iovec { iov_base: (&raw mut word).cast(), iov_len: length };
    let remote = libc::iovec { iov_base: address as *mut libc::c_void, iov_len: length };
    // SAFETY: the kernel checks the remote address itself; the local one is that of a word that is this function's own.
    let read = unsafe { libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0) };
    (usize::try_from(read) == Ok(length)).then_some(word)
}

impl std::fmt::Debug for Ways {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ways").field("paths", &self.paths.len()).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for CallerFinder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CallerFinder").finish_non_exhaustive()
    }
}
