//! The linear memory of an instance that is on the stack.

use super::super::walk::is_readable;
use crate::interpreters::{GuestMemory, InstanceLayout, StatePlace};

/// What an instance of Wasmtime's begins with.
const MAGIC: u32 = u32::from_le_bytes(*b"core");

/// The linear memory of an instance.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Guest {
    /// Where it is in the process.
    pub(super) start: u64,
    length: usize,
}

impl Guest {
    /// The linear memory of an instance, and where in that its interpreter has its state. Nothing, if it may not be read, or there is
    /// no instance. `tried` is what the memory of an instance at this address was when it was tried, if the guest executes its own
    /// code, so that nobody is changing it.
    ///
    /// # Safety
    /// The address is that of an instance with this layout, which exists.
    pub(super) unsafe fn of(instance: u64, layout: &InstanceLayout, tried: Option<Self>) -> Option<(Self, u32)> {
        // By contract there is one. That costs nothing but a call, once, and a mistake would cost the process.
        if !instance.is_multiple_of(16) || tried.is_none() && !is_readable(instance) {
            return None;
        }
        // SAFETY: readable, as was found out just now, or when there was an instance before, in the same place; and by contract.
        if unsafe { (instance as *const u32).read_volatile() } != MAGIC {
            return None;
        }
        let at = |offset: u32| instance + u64::from(offset);
        // SAFETY: by contract. The definition of a memory lives as long as the instance: its address, and its size in bytes.
        let (start, length) = unsafe {
            let definition = (at(layout.memory) as *const *const u64).read_volatile();
            (definition.read_volatile(), definition.add(1).read_volatile())
        };
        let state = match layout.state {
            StatePlace::Fixed(state) => state,
            StatePlace::InFrames => 0,
            StatePlace::Global { at: global, memory_base } => {
                // SAFETY: by contract. A global is in the instance, and an imported one is where it points.
                let (state, base) = unsafe {
                    let base = memory_base.map(|base| (at(base) as *const *const u32).read_volatile().read_volatile());
                    ((at(global) as *const u32).read_volatile(), base.unwrap_or(0))
                };
                state.checked_add(base)?
            }
        };
        // An address of the guest has 32 bits.
        let length = length.min(1 << 32) & !7;
        // While a memory grows it may have moved, and its definition not say so yet. And where memories are protected by keys of the
        // processor's, a handler may not read them.
        let guest = Self { start, length: usize::try_from(length).ok()? };
        if length < 8 || tried != Some(guest) && !(is_readable(start) && is_readable(start + length - 8)) {
            return None;
        }
        Some((guest, state))
    }

    /// Its bytes.
    ///
    /// # Safety
    /// The instance that it was found by exists, and its guest does not run, for as long as the result is used; neither has it since it
    /// was found.
    pub(super) unsafe fn memory<'g>(self) -> GuestMemory<'g> {
        // SAFETY: the first and the last of its bytes could be read, and so can all between; nobody writes to them while the guest is
        // stopped: the memory is not shared, as whoever found the layout has seen to.
        GuestMemory::new(unsafe { std::slice::from_raw_parts(self.start as *const u8, self.length) })
    }
}
