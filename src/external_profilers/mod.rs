//! What perf, samply and VTune are told of generated code, which they see and cannot name.
//!
//! Each has a form of its own, and all of them get the same: every function of a map once, under the same name
//! ([`perf_name`](crate::export::perf_name)), and where the form has a place for it, its code and the lines of its source.
//! Wasmtime does this as well, but for a component it registers the whole image once for each core module, and knows
//! adapters and trampolines by number only.

mod added_code;
#[cfg(target_os = "linux")]
mod jit_dump;
#[cfg(target_os = "linux")]
mod own_file;
#[cfg(target_os = "linux")]
mod perf_map;
mod source_lines;
#[cfg(feature = "vtune")]
mod vtune;

#[cfg(target_os = "linux")]
pub use jit_dump::JitDump;
#[cfg(target_os = "linux")]
pub use perf_map::PerfMap;
#[cfg(feature = "vtune")]
pub use vtune::VTune;
