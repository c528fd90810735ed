//! What may be seen: the code that hosts have registered, from when to when, and what it is called.
//!
//! Code comes and goes while guests run. The [`Registry`] gives each component and module that is registered a number that
//! is never given again, so that a sample means the code that was at its address when it was taken. Where code lies is a
//! [`CodeTable`], which never changes: whoever samples or traces has one, and is given another one when code comes or goes.
//!
//! Names are decoded when somebody asks for the first one, and outlive the code: as long as samples refer to an [`Entry`].

mod entry;
mod registry;
mod table;

pub use entry::Names;
pub(crate) use entry::{Entry, Target, Targets};
pub(crate) use registry::Registry;
pub(crate) use table::{CodeRange, CodeTable};
