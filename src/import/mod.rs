//! The way back: bytes to a [`Profile`](crate::Profile).

mod firefox;

pub use firefox::read_firefox;
