//! Walks the stack of the current thread, from a signal handler or elsewhere.
//!
//! Guest, adapter and trampoline frames are walked by frame pointer, which Wasmtime always keeps; the process's own
//! frames by their unwind information, with framehop. Nothing here allocates, locks, or calls into Wasmtime; all memory
//! is there before a walk begins, all reads are bounded and validated ([`memory`]), and the number of steps is
//! limited. This folder depends on nothing else of the library but the table of code and what an interpreter is, so that tests
//! can hold it against the truth.

mod code_window;
mod errno;
mod frames;
mod gone;
mod host_code;
mod last_walk;
mod memory;
mod registers;
mod runs;

use std::ops::Range;

use framehop::{CacheNative, FrameAddress, MustNotAllocateDuringUnwind, Unwinder as _};

pub(crate) use errno::keeping_errno;
pub(crate) use frames::{FrameWord, MAX_WORDS, Place};
use frames::{Frames, Stack};
pub(crate) use gone::Gone;
use gone::Targets;
pub(crate) use host_code::HostCode;
use last_walk::LastWalk;
pub(crate) use memory::{StackMemory, check_is_readable, has_room_below, is_readable};
use registers::{Native, StackSwitch as _};
pub(crate) use registers::{Registers, caller_of as caller_by_frame_pointer};
use runs::Runs;
pub(crate) use runs::{MAX_RUNS, Run, low};

use crate::code::{CodeRange, CodeTable};

/// The most frames that are looked at. Deeper stacks than this are cut off at their outer end; a guest with Wasmtime's
/// default stack of 512 KiB cannot make as many.
pub(crate) const MAX_STEPS: usize = 1 << 16;

/// What may be seen, and where it is.
pub(crate) struct Scene<'a> {
    code: &'a CodeTable,
    host: &'a HostCode,
    /// Tells it from others that the same walker is given: later ones have higher numbers.
    number: u64,
    gone: &'a Gone,
    /// The stack of the thread, from the lowest address that may be read to its top.
    thread_stack: Range<u64>,
    /// Whether frames of the process are shown one by one.
    show_host: bool,
}

impl<'a> Scene<'a> {
    /// What a walk may see.
    ///
    /// # Safety
    /// While this exists, all code in `code` is readable, and nobody writes to it.
    pub(crate) unsafe fn new(
        (code, host): (&'a CodeTable, &'a HostCode),
        (number, gone): (u64, &'a Gone),
        thread_stack: Range<u64>,
        show_host: bool,
    ) -> Self {
        Self { code, host, number, gone, thread_stack, show_host }
    }
}

/// How far a walk got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Extent {
    /// To the first frame of the thread.
    Complete,
    /// To a frame whose caller could not be found.
    Cut,
    /// As above, and no frame of registered code was found.
    Nothing,
}

/// Walks stacks. Holds all memory that a walk needs; one for each thread.
pub(crate) struct Walker {
    frames: Frames,
    stack: Stack,
    last: LastWalk,
    /// The number of the scene of the last walk.
    scene: u64,
    /// The text section that code was found in last: the next is mostly found there, without a search among ten thousand, in
    /// memory that nothing else uses.
    recent: Option<CodeRange>,
    /// Whether there was code on the stack of the last walk that was not registered.
    met_unregistered: bool,
    runs: Runs,
    cache: CacheNative<MustNotAllocateDuringUnwind>,
}

/// Where a walk, or a part of it, ends.
enum End {
    /// At a frame that is not walked, whose registers these are.
    Before(Registers),
    /// At the handler of another signal, which interrupted code with these registers.
    Interrupted(Registers),
    /// At a frame from which on everything is as it was in the last walk: so many words of the stack.
    Joined(usize),
    /// At the first frame of the thread.
    Root,
    /// At a frame whose caller could not be found.
    Lost,
}

impl Walker {
    pub(crate) fn new() -> Self {
        Self {
            frames: Frames::new(),
            stack: Stack::new(),
            last: LastWalk::new(),
            scene: 0,
            recent: None,
            met_unregistered: false,
            runs: Runs::new(),
            cache: CacheNative::new_in(),
        }
    }

    /// The stack that was walked last, outermost frame first.
    pub(crate) fn stack(&self) -> &[FrameWord] {
        self.stack.words()
    }

    /// How many words of the stack, from the outermost, have been as they are in all walks since [`mark`](Self::mark).
    pub(crate) fn unchanged(&self) -> usize {
        self.stack.unchanged()
    }

    /// From now on, changes are relative to the stack that was walked last.
    pub(crate) fn mark(&mut self) {
        self.stack.mark();
    }

    /// From now on, all of a stack has changed.
    pub(crate) fn unmark(&mut self) {
        self.stack.unmark();
    }

    /// The runs of evaluation loops on the stack that was walked last, outermost first. None where there are too many.
    pub(crate) fn runs(&self) -> &[Run] {
        self.runs.all()
    }

    /// How many frames the last walk has found, without those that it knew.
    pub(crate) fn new_frames(&self) -> usize {
        self.frames.count()
    }

    /// Walks from `innermost` outwards. The memory that the frames are in must not change meanwhile, which is to say
    /// that they have to be frames of the current thread, or of a stack that is suspended.
    pub(crate) fn walk(&mut self, scene: &Scene<'_>, innermost: Registers) -> Extent {
        self.frames.clear();
        if self.scene != scene.number {
            // Where code has gone, other code may be. Where more has come, what was not known may be known now.
            if self.met_unregistered || scene.gone.has_any(self.last.targets(), self.scene) {
                self.last.forget();
            }
            self.recent = self.recent.filter(|recent| !scene.gone.has_any(Targets::of(recent.target), self.scene));
            self.scene = scene.number;
        }
        let met_before = std::mem::take(&mut self.met_unregistered);
        self.last.begin();
        self.runs.begin();
        let (end, found_registered) = self.walk_all(scene, innermost);
        let has_joined = matches!(end, End::Joined(_));
        self.met_unregistered |= has_joined && met_before;
        let (kept, extent) = match end {
            End::Joined(kept) => (kept, Extent::Complete),
            End::Root => (0, Extent::Complete),
            End::Before(_) | End::Interrupted(_) | End::Lost => {
                self.frames.push_merged(FrameWord::UNKNOWN_CALLERS);
                (0, if found_registered { Extent::Cut } else { Extent::Nothing })
            }
        };
        let words = kept + self.frames.count();
        let are_runs_known = self.runs.end(kept, words);
        if !are_runs_known {
            self.runs.forget();
        }
        if extent == Extent::Complete && Frames::are_all_kept(words) && are_runs_known {
            self.last.end(has_joined, words);
        } else {
            self.last.forget();
        }
        self.stack.update(kept, &self.frames);
        extent
    }

    /// Walks to an end, and tells whether a frame of registered code was found.
    fn walk_all(&mut self, scene: &Scene<'_>, innermost: Registers) -> (End, bool) {
        let mut memory = StackMemory::new(scene.thread_stack.clone(), innermost.sp);
        let mut at = innermost;
        let mut is_leaf = true;
        let mut found_registered = false;
        let mut steps = 0;
        loop {
            if !is_leaf && let Some(words) = self.come_to(at, &mut memory) {
                return (End::Joined(words), found_registered);
            }
            let lookup = at.pc.wrapping_sub(u64::from(!is_leaf));
            let end = if let Some(range) = &self.find(scene, lookup) {
                found_registered = true;
                self.last.meets(Targets::of(range.target));
                let shown = at.pc.wrapping_add(self.read_back(is_leaf));
                self.frames.push(FrameWord::text(range.target, range.offset(shown)));
                if scene.code.has_evaluators() {
                    self.note_run(scene, at, is_leaf);
                }
                let caller = if is_leaf {
                    // SAFETY: whoever made the scene promised it of all of its code.
                    unsafe { registers::caller_of_leaf(at, range, &mut memory) }
                } else {
                    self.caller_of(at, &mut memory)
                };
                // Callers are mostly in the same text section.
                caller.map_or(End::Lost, |caller| self.walk_section(scene, range, caller, (&mut memory, &mut steps)))
            } else if scene.host.find(lookup).is_some() {
                self.walk_host(scene, at, is_leaf, &mut memory)
            } else {
                // Code that was generated, but not registered. Wasmtime's has frame pointers.
                self.frames.push_merged(FrameWord::UNREGISTERED);
                self.met_unregistered = true;
                // A page that is being executed; that it can be read as well is not certain.
                let page = CodeRange { start: at.pc & !0xfff, end: at.pc | 0xfff, target: 0 };
                let caller = if is_leaf && is_readable(page.start) {
                    // SAFETY: it was found to be readable; and it is code that executes right now on this very thread, which
                    // nobody changes meanwhile.
                    unsafe { registers::caller_of_leaf(at, &page, &mut memory) }
                } else {
                    self.caller_of(at, &mut memory)
                };
                caller.map_or(End::Lost, End::Before)
            };
            steps += 1;
            (at, is_leaf) = match end {
                End::Before(next) if next.pc != 0 && steps < MAX_STEPS => (next, false),
                End::Interrupted(next) if next.pc != 0 && steps < MAX_STEPS => {
                    // Here the innermost frame is not where a walk begins.
                    self.last.stop();
                    (next, true)
                }
                end => return (end, found_registered),
            };
        }
    }

    /// The text section that `address` is in.
    #[inline]
    fn find(&mut self, scene: &Scene<'_>, address: u64) -> Option<CodeRange> {
        match self.recent {
            Some(recent) if recent.contains(address) => self.recent,
            // Libraries are few, so that it is soon known that it is none of them.
            _ if scene.host.find(address).is_some() => None,
            _ => scene.code.find(address).inspect(|found| self.recent = Some(**found)).copied(),
        }
    }

    /// The walk comes to a frame that is not the innermost. If the rest is as it was in the last walk, returns how many
    /// words of the stack that is.
    #[inline]
    fn come_to(&mut self, at: Registers, memory: &mut StackMemory) -> Option<usize> {
        let (context, count) = (self.frames.context(), self.frames.count());
        let words = self.last.joins(at, context, Frames::room_after(count), memory);
        if words.is_none() {
            self.last.step(at, context, count);
        }
        words
    }

    /// The caller of a frame of generated code that is not the innermost.
    #[inline]
    fn caller_of(&mut self, at: Registers, memory: &mut StackMemory) -> Option<Registers> {
        registers::caller_of(at, |address| {
            let (fp, pc) = memory.read_pair(address)?;
            self.last.read(address, fp);
            self.last.read(address.wrapping_add(8), pc);
            Some((fp, pc))
        })
    }

    /// Walks callers while they are in `range`, as fast as it goes.
    #[inline]
    fn walk_section(
        &mut self,
        scene: &Scene<'_>,
        range: &CodeRange,
        mut at: Registers,
        (memory, steps): (&mut StackMemory, &mut usize),
    ) -> End {
        let has_evaluators = scene.code.has_evaluators();
        let targets = Targets::of(range.target);
        while range.contains(at.pc.wrapping_sub(1)) && *steps < MAX_STEPS {
            if let Some(words) = self.come_to(at, memory) {
                return End::Joined(words);
            }
            self.last.meets(targets);
            self.frames.push(FrameWord::text(range.target, range.offset(at.pc)));
            if has_evaluators {
                self.note_run(scene, at, false);
            }
            *steps += 1;
            let Some(caller) = self.caller_of(at, memory) else { return End::Lost };
            at = caller;
        }
        End::Before(at)
    }

    /// Notices the frame that was found last, should it be one of an evaluation loop.
    fn note_run(&mut self, scene: &Scene<'_>, at: Registers, is_leaf: bool) {
        if let Some(evaluator) = scene.code.evaluator(at.pc.wrapping_sub(u64::from(!is_leaf))) {
            self.runs.meet(evaluator, at, is_leaf, self.frames.count());
        }
    }

    /// What has to be added to the address of an instruction that executes, if it is not that of the innermost frame:
    /// all addresses but the first are read as those behind a call.
    fn read_back(&self, is_leaf: bool) -> u64 {
        u64::from(is_leaf && !self.frames.is_empty())
    }

    /// Walks frames of the process, up to generated code or the first frame of the thread.
    fn walk_host(&mut self, scene: &Scene<'_>, mut at: Registers, mut is_leaf: bool, memory: &mut StackMemory) -> End {
        for _ in 0..MAX_STEPS {
            let shown = at.pc.wrapping_add(self.read_back(is_leaf));
            push_host(&mut self.frames, scene, shown);
            if !is_leaf && scene.host.code_at(at.pc).is_some_and(|code| Native::is_signal_return(&code)) {
                let Some(interrupted) = Native::interrupted(at.sp, |address| memory.read(address)) else { break };
                memory.move_to(interrupted.sp);
                return End::Interrupted(interrupted);
            }
            match self.caller_of_host(scene, at, is_leaf, memory) {
                Ok(Some(caller)) => at = caller,
                Ok(None) => return End::Root,
                Err(()) => break,
            }
            is_leaf = false;
            if scene.host.find(at.pc.wrapping_sub(1)).is_none() {
                return End::Before(at);
            }
            if let Some(words) = self.come_to(at, memory) {
                return End::Joined(words);
            }
        }
        End::Lost
    }

    /// The caller of a frame of the process; `None` if it is the first of its thread.
    fn caller_of_host(
        &mut self,
        scene: &Scene<'_>,
        at: Registers,
        is_leaf: bool,
        memory: &mut StackMemory,
    ) -> Result<Option<Registers>, ()> {
        let is_fiber = !memory.is_on_thread_stack(at.sp);
        if !is_leaf && is_fiber && is_fiber_entry(scene, at.pc) {
            return self.resumer(at.sp, memory).map(Some).ok_or(());
        }
        let address = if is_leaf {
            FrameAddress::from_instruction_pointer(at.pc)
        } else {
            FrameAddress::from_return_address(at.pc).ok_or(())?
        };
        let mut state = registers::framehop_registers(at);
        let last = &mut self.last;
        let mut read = |address| {
            let value = memory.read(address).ok_or(())?;
            last.read(address, value);
            Ok(value)
        };
        match scene.host.unwinder.unwind_frame(address, &mut state, &mut self.cache, &mut read) {
            Ok(Some(pc)) => Ok(Some(registers::from_framehop(pc, &state))),
            Ok(None) if is_fiber => {
                // Perhaps it ends here only because the fiber's first frame pointer is zero.
                let Some(sp) = Native::first_stack_pointer(at.fp) else { return Ok(None) };
                let behind = at.fp.wrapping_add(8);
                let pc = memory.read(behind).ok_or(())?;
                self.last.read(behind, pc);
                if !is_fiber_entry(scene, registers::strip(pc)) {
                    return Ok(None);
                }
                self.resumer(sp, memory).map(Some).ok_or(())
            }
            Ok(None) => Ok(None),
            Err(_) => Err(()),
        }
    }

    /// What resumed the fiber whose first function has the stack pointer `sp`.
    fn resumer(&mut self, sp: u64, memory: &mut StackMemory) -> Option<Registers> {
        let saved = memory.read(sp)?;
        // In the middle of a switch, the word may be that of the fiber itself.
        if memory.is_just_below(saved, sp) {
            return None;
        }
        self.last.read(sp, saved);
        self.last.moves_to(saved);
        memory.move_to(saved);
        Native::resumer(saved, |address| {
            let value = memory.read(address)?;
            self.last.read(address, value);
            Some(value)
        })
    }
}

/// The caller of a frame of the process, on the same stack; `None` if there is none, or it cannot be found. For who unwinds
/// a few frames and keeps no walk.
pub(crate) fn caller_of_host_frame(
    host: &HostCode,
    at: Registers,
    is_leaf: bool,
    cache: &mut CacheNative<MustNotAllocateDuringUnwind>,
    mut read: impl FnMut(u64) -> Result<u64, ()>,
) -> Option<Registers> {
    let address =
        if is_leaf { FrameAddress::from_instruction_pointer(at.pc) } else { FrameAddress::from_return_address(at.pc)? };
    let mut state = registers::framehop_registers(at);
    let pc = host.unwinder.unwind_frame(address, &mut state, cache, &mut read).ok()??;
    Some(registers::from_framehop(pc, &state))
}

/// A return address without what the processor may have signed it with.
pub(crate) fn strip(return_address: u64) -> u64 {
    registers::strip(return_address)
}

/// Whether `pc` is a return address in the first function of a fiber.
fn is_fiber_entry(scene: &Scene<'_>, pc: u64) -> bool {
    scene.host.code_at(pc).is_some_and(|code| Native::is_fiber_entry(&code))
}

fn push_host(frames: &mut Frames, scene: &Scene<'_>, address: u64) {
    if scene.show_host {
        frames.push(FrameWord::host(address));
    } else {
        frames.push_hidden_host();
    }
}
