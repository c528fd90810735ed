//! Code that a profiler was told of.

use crate::component::Code;
use crate::error::{Error, Result};
use crate::symbols::SymbolMap;

/// Code that a profiler was told of. It stays loaded as long as this exists, so that no address gets another meaning.
#[derive(Debug, Default)]
pub(super) struct AddedCode(Vec<Code>);

impl AddedCode {
    /// Has `tell` tell of `code`, unless that was done already.
    pub(super) fn add(&mut self, map: &SymbolMap, code: Code, tell: impl FnOnce(&Code) -> Result<()>) -> Result<()> {
        if code.engine().is_pulley() {
            return Err(Error::Interpreted { name: map.component().to_owned() });
        }
        if code.engine().get_guest_debug() {
            return Err(Error::GuestDebug { name: map.component().to_owned() });
        }
        let start = |code: &Code| code.text().as_ptr().addr();
        if !self.0.iter().any(|known| start(known) == start(&code)) {
            tell(&code)?;
            self.0.push(code);
        }
        Ok(())
    }
}
