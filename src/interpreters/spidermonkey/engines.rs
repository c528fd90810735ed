//! The engines that are known.

use sha2::{Digest as _, Sha256};

use super::known::ENGINES;
use super::layout::Layout;

/// What every SpiderMonkey has in its memory: a message of its own.
pub(crate) const MARK: &[u8] = b"too much recursion";

/// As many bytes from [`Engine::DATA`] on tell an engine. They are constants, so that they are the same in every component that it is
/// in, and in every moment.
const MANY: usize = 256 << 10;

/// An engine.
#[derive(Debug)]
pub(crate) struct Engine {
    /// SHA-256 of its constants.
    pub(super) constants: [u8; 32],
    /// Where it has the address of its `JSContext`.
    pub(crate) context: u32,
    /// How many targets the jump table of its evaluation loop has: one for each instruction, and one for all other numbers.
    pub(crate) targets: usize,
    pub(crate) layout: &'static Layout,
}

impl Engine {
    /// Where the memory of an engine begins to be what its linker has put there. What is before is its stack.
    pub(crate) const DATA: u32 = 1 << 20;

    /// The engine that has these bytes in its memory at first, from an address on.
    pub(crate) fn of(address: u64, bytes: &[u8]) -> Option<&'static Self> {
        let start = usize::try_from(u64::from(Self::DATA).checked_sub(address)?).ok()?;
        let constants = Sha256::digest(bytes.get(start..)?.get(..MANY)?);
        ENGINES.iter().find(|engine| engine.constants[..] == constants[..])
    }
}

/// The bytes that digits stand for.
pub(super) const fn hex(digits: &str) -> [u8; 32] {
    let (mut bytes, mut at) = ([0; 32], 0);
    while at < 64 {
        let digit = digits.as_bytes()[at];
        let value = if digit <= b'9' { digit - b'0' } else { digit - b'a' + 10 };
        bytes[at / 2] = bytes[at / 2] << 4 | value;
        at += 1;
    }
    bytes
}
