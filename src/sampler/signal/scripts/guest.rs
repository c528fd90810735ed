//! The linear memory of an instance that is on the stack.

use super::super::walk::is_readable;
use crate::interpreters::{GuestMemory, InstanceLayout};

/// What an instance of Wasmtime's begins with.
const MAGIC: u32 = u32::from_le_bytes(*b"core");

/// The linear memory of an instance, and where in that its interpreter has its state. Nothing, if it may not be read, or there is no
/// instance.
///
/// # Safety
/// The address is that of an instance with this layout, which exists for as long as the result is used; its guest does not run
/// meanwhile.
pub(super) unsafe fn guest<'g>(instance: u64, layout: &InstanceLayout) -> Option<(GuestMemory<'g>, u32)> {
    // By contract there is one. That costs nothing but a call, and a mistake would cost the process.
    if !(instance.is_multiple_of(16) && is_readable(instance)) {
        return None;
    }
    // SAFETY: readable, as was found out just now.
    if unsafe { (instance as *const u32).read_volatile() } != MAGIC {
        return None;
    }
    // SAFETY: by contract. The definition of a memory lives as long as the instance: its address, and its size in bytes. A global is in
    // the instance, and an imported one is where it points.
    let (start, length, state, base) = unsafe {
        let definition = ((instance + u64::from(layout.memory)) as *const *const u64).read_volatile();
        let state = ((instance + u64::from(layout.state)) as *const u32).read_volatile();
        let base = layout.memory_base.map(|at| ((instance + u64::from(at)) as *const *const u32).read_volatile());
        (
            definition.read_volatile(),
            definition.add(1).read_volatile(),
            state,
            base.map_or(0, |base| base.read_volatile()),
        )
    };
    // An address of the guest has 32 bits.
    let length = length.min(1 << 32) & !7;
    // While a memory grows it may have moved, and its definition not say so yet. And where memories are protected by keys of the
    // processor's, a handler may not read them.
    if length < 8 || !is_readable(start) || !is_readable(start + length - 8) {
        return None;
    }
    let length = usize::try_from(length).ok()?;
    // SAFETY: the first and the last of its bytes can be read, and so all between; nobody writes to them while the guest is stopped: the
    // memory is not shared, as whoever found the layout has seen to.
    let bytes = unsafe { std::slice::from_raw_parts(start as *const u8, length) };
    Some((GuestMemory::new(bytes), state.checked_add(base)?))
}
