//! Walks the stack of the current thread, from a signal handler or elsewhere.
//!
//! Guest, adapter and trampoline frames are walked by frame pointer, which Wasmtime always keeps; the process's own
//! frames by their unwind information, with framehop. Nothing here allocates, locks, or calls into Wasmtime; all memory
//! is there before a walk begins, all reads are bounded and validated ([`memory`]), and the number of steps is
//! limited. This folder depends on nothing else of the library, so that tests can hold it against the truth.

mod code_table;
mod frames;
mod host_code;
mod host_memo;
mod memory;
mod registers;

use std::ops::Range;

use framehop::{CacheNative, FrameAddress, MustNotAllocateDuringUnwind, Unwinder as _};

use code_table::CodeRange;
pub(crate) use code_table::CodeTable;
pub(crate) use frames::{FrameWord, Frames, MAX_WORDS, Place};
pub(crate) use host_code::HostCode;
use host_memo::HostMemos;
pub(crate) use memory::{StackMemory, is_readable};
pub(crate) use registers::Registers;
use registers::{Native, StackSwitch as _};

/// The most frames that are looked at. Deeper stacks than this are cut off at their outer end; a guest with Wasmtime's
/// default stack of 512 KiB cannot make as many.
pub(crate) const MAX_STEPS: usize = 1 << 16;

/// What may be seen, and where it is.
pub(crate) struct Scene<'a> {
    pub(crate) code: &'a CodeTable,
    pub(crate) host: &'a HostCode,
    /// The stack of the thread, from the lowest address that may be read to its top.
    pub(crate) thread_stack: Range<u64>,
    /// Whether frames of the process are shown one by one.
    pub(crate) show_host: bool,
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
    cache: CacheNative<MustNotAllocateDuringUnwind>,
    memos: HostMemos,
}

/// Where a run of the process's own frames ends.
enum HostEnd {
    /// At generated code, whose registers these are.
    Generated(Registers),
    /// At the handler of another signal, which interrupted code with these registers.
    Interrupted(Registers),
    /// At the first frame of the thread.
    Root,
    /// At a frame whose caller could not be found.
    Lost,
}

impl Walker {
    pub(crate) fn new() -> Self {
        Self { frames: Frames::new(), cache: CacheNative::new_in(), memos: HostMemos::new() }
    }

    /// The frames of the last walk.
    pub(crate) fn frames(&self) -> &Frames {
        &self.frames
    }

    /// Walks from `innermost` outwards. The memory that the frames are in must not change meanwhile, which is to say
    /// that they have to be frames of the current thread, or of a stack that is suspended.
    pub(crate) fn walk(&mut self, scene: &Scene<'_>, innermost: Registers) -> Extent {
        self.frames.clear();
        let mut memory = StackMemory::new(scene.thread_stack.clone(), innermost.sp);
        let mut at = innermost;
        let mut is_leaf = true;
        let mut found_registered = false;
        let mut steps = 0;
        loop {
            let lookup = at.pc.wrapping_sub(u64::from(!is_leaf));
            let next = if let Some(range) = scene.code.find(lookup) {
                found_registered = true;
                self.frames
                    .push(FrameWord::text(range.target, range.offset(at.pc.wrapping_add(self.read_back(is_leaf)))));
                let next = if is_leaf {
                    registers::caller_of_leaf(at, range, &mut memory)
                } else {
                    registers::caller_of(at, &mut memory)
                };
                // Callers are mostly in the same text section, and on memory that is known.
                next.map(|caller| self.walk_section(range, caller, &memory, &mut steps))
            } else if scene.host.find(lookup).is_some() {
                match self.walk_host(scene, at, is_leaf, &mut memory) {
                    HostEnd::Generated(next) => Some(next),
                    HostEnd::Interrupted(next) if next.pc != 0 && steps < MAX_STEPS => {
                        at = next;
                        is_leaf = true;
                        steps += 1;
                        continue;
                    }
                    HostEnd::Interrupted(_) => None,
                    HostEnd::Root => return Extent::Complete,
                    HostEnd::Lost => None,
                }
            } else {
                // Code that was generated, but not registered. Wasmtime's has frame pointers.
                self.frames.push_merged(FrameWord::UNREGISTERED);
                // A page that is being executed; that it can be read as well is not certain.
                let page = CodeRange { start: at.pc & !0xfff, end: at.pc | 0xfff, target: 0 };
                if is_leaf && is_readable(page.start) {
                    registers::caller_of_leaf(at, &page, &mut memory)
                } else {
                    registers::caller_of(at, &mut memory)
                }
            };
            steps += 1;
            match next {
                Some(next) if next.pc != 0 && steps < MAX_STEPS => at = next,
                _ => {
                    self.frames.push_merged(FrameWord::UNKNOWN_CALLERS);
                    return if found_registered { Extent::Cut } else { Extent::Nothing };
                }
            }
            is_leaf = false;
        }
    }

    /// Walks callers while they are in `range` and on memory that is known, as fast as it goes, and returns the first
    /// that is not walked.
    #[inline]
    fn walk_section(
        &mut self,
        range: &CodeRange,
        mut at: Registers,
        memory: &StackMemory,
        steps: &mut usize,
    ) -> Registers {
        let known = memory.known(at.fp);
        while range.contains(at.pc.wrapping_sub(1)) && at.fp >= at.sp && *steps < MAX_STEPS {
            let Some((fp, pc)) = known.read_pair(at.fp) else { break };
            self.frames.push(FrameWord::text(range.target, range.offset(at.pc)));
            *steps += 1;
            at = Registers { pc: registers::strip(pc), sp: at.fp.wrapping_add(16), fp, lr: 0 };
        }
        at
    }

    /// What has to be added to the address of an instruction that executes, if it is not that of the innermost frame:
    /// all addresses but the first are read as those behind a call.
    fn read_back(&self, is_leaf: bool) -> u64 {
        u64::from(is_leaf && !self.frames.is_empty())
    }

    /// Walks frames of the process, up to generated code or the first frame of the thread.
    fn walk_host(&mut self, scene: &Scene<'_>, from: Registers, is_leaf: bool, memory: &mut StackMemory) -> HostEnd {
        // What the host does around a guest stays the same from sample to sample; what it does inside an import does
        // not.
        if !is_leaf && let Some(memo) = self.memos.recall(from, memory) {
            let frames = if scene.show_host { memo.frames() } else { &memo.frames()[..1] };
            for address in frames {
                push_host(&mut self.frames, scene, *address);
            }
            return memo.end();
        }
        self.memos.begin(from);
        let mut at = from;
        let mut is_leaf = is_leaf;
        let first_is_leaf = is_leaf;
        let mut steps = 0;
        let end = loop {
            let shown = at.pc.wrapping_add(self.read_back(is_leaf));
            push_host(&mut self.frames, scene, shown);
            self.memos.frame(at.pc);
            if !is_leaf && scene.host.code_at(at.pc).is_some_and(|code| Native::is_signal_return(&code)) {
                break match Native::interrupted(at.sp, |address| memory.read(address)) {
                    Some(interrupted) => {
                        memory.move_to(interrupted.sp);
                        HostEnd::Interrupted(interrupted)
                    }
                    None => HostEnd::Lost,
                };
            }
            match self.caller_of_host(scene, at, is_leaf, memory) {
                Ok(Some(caller)) => at = caller,
                Ok(None) => break HostEnd::Root,
                Err(()) => break HostEnd::Lost,
            }
            is_leaf = false;
            let lookup = at.pc.wrapping_sub(1);
            if scene.host.find(lookup).is_none() {
                break HostEnd::Generated(at);
            }
            steps += 1;
            if steps > MAX_STEPS {
                break HostEnd::Lost;
            }
        };
        if !first_is_leaf {
            self.memos.keep(&end);
        }
        end
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
        let memos = &mut self.memos;
        let mut read = |address| {
            let value = memory.read(address).ok_or(())?;
            memos.read(address, value);
            Ok(value)
        };
        match scene.host.unwinder.unwind_frame(address, &mut state, &mut self.cache, &mut read) {
            Ok(Some(pc)) => Ok(Some(registers::from_framehop(pc, &state))),
            Ok(None) if is_fiber => {
                // Perhaps it ends here only because the fiber's first frame pointer is zero.
                let Some(sp) = Native::first_stack_pointer(at.fp) else { return Ok(None) };
                let Some(pc) = memory.read(at.fp.wrapping_add(8)).map(registers::strip) else { return Ok(None) };
                Ok(if is_fiber_entry(scene, pc) { self.resumer(sp, memory) } else { None })
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
        self.memos.read(sp, saved);
        memory.move_to(saved);
        Native::resumer(saved, |address| {
            let value = memory.read(address)?;
            self.memos.read(address, value);
            Some(value)
        })
    }
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
