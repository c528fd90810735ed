//! Stage 1: what Wasmtime compiled, and where.
//!
//! In comes a compiled component or module, or the bytes of one. Out goes [`Artifacts`]: every compiled function with
//! its key and text range, what each trampoline is for, the core modules, and the wiring between them. Nothing here
//! decides what a human calls a function; that is `symbols/`.
//!
//! The image is the ELF file that Wasmtime keeps in memory. `CompiledFunctionsTable` in its `.wasmtime.info` section
//! tells which function is where, and the ELF symbols tell what a component trampoline is for, which is written down
//! nowhere else. Rejected: `Component::functions()`, which knows core functions only; and the ELF symbols alone, whose
//! names are truncated at 96 characters and scrubbed.
//!
//! Everything read from an image is checked, because a service may be handed a damaged one: a contradiction is an
//! [`ImageProblem`](crate::ImageProblem).

mod artifacts;
mod code;
mod evaluators;
mod function_table;
mod image;
mod memories;
mod source;
mod symbol_name;
mod wiring;

#[cfg(feature = "source-maps")]
pub(crate) use artifacts::initial_bytes;
pub(crate) use artifacts::{Artifacts, ModuleArtifact, ResourceOrigin};
pub use code::Code;
pub(crate) use evaluators::find as find_evaluators;
pub(crate) use function_table::CompiledFunction;
pub(crate) use image::{Identity, Image, WASMTIME};
pub(crate) use memories::Memories;
pub(crate) use source::Source;
pub(crate) use symbol_name::{ResourceOperation, TrampolinePurpose};
pub(crate) use wiring::{Definition, EntryRole, ModuleRole, Use, Wiring};
