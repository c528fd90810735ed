//! Debug info that stays open between profiles, so that a service which is looked at every second reads it once.
//!
//! What an answer needs is read from the sections, and refers to them; so both are kept together. In the WebAssembly binary the
//! sections stay where they are. Of a compiled image they are copied when the module is first asked for: a map must not keep
//! code in memory that its owner has dropped.
//!
//! Open debug info may take more memory than the sections themselves. What stays open takes a share of what there is room for
//! ([`Share`]), by the most that a module can take ([`Checked::memory`]). What has no room is opened for one profile.

use std::sync::Arc;

use addr2line::gimli::Error;
use self_cell::self_cell;

use super::WasmBytes;
use super::reader::{Checked, Reader};
use super::sections::ModuleSections;
use super::share::Share;

/// The debug info of a module, between profiles.
pub(super) enum Kept {
    /// Not open.
    Closed,
    /// It cannot be read, and was found out not to be.
    Unreadable,
    /// What was read.
    Open(OpenModule, Option<Share>),
}

/// What open debug info refers to.
pub(super) struct Sections {
    bytes: WasmBytes,
    sections: ModuleSections,
    checked: Arc<Checked>,
}

self_cell!(
    /// A module and what was read of it.
    pub(super) struct OpenModule {
        owner: Sections,
        #[not_covariant]
        dependent: Reader,
    }
);

impl Kept {
    /// Opens a module, whose sections are in `bytes`.
    pub(super) fn open(bytes: WasmBytes, sections: ModuleSections, checked: Arc<Checked>) -> Result<Self, Error> {
        let memory = checked.memory();
        let mut error = None;
        let open = OpenModule::try_new(Sections { bytes, sections, checked }, |owner| {
            match Reader::new(owner.bytes.as_ref(), &owner.sections, &owner.checked) {
                Ok(Some(reader)) => Ok(reader),
                Ok(None) => Err(()),
                Err(problem) => {
                    error = Some(problem);
                    Err(())
                }
            }
        });
        match (open, error) {
            (Ok(open), _) => Ok(Self::Open(open, Share::of_process(memory))),
            (Err(()), None) => Ok(Self::Unreadable),
            (Err(()), Some(error)) => Err(error),
        }
    }

    /// Closes what may not stay open.
    pub(super) fn end_profile(&mut self) {
        if matches!(self, Self::Open(_, None)) {
            *self = Self::Closed;
        }
    }
}
