//! What guests call, and how large their memories are: from hooks of Wasmtime's, beside samples.

mod calls;
mod memory;

pub use calls::CallTracer;
pub(crate) use calls::function_at;
pub use memory::MemoryTracer;
