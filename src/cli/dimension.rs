//! `--by`.

use clap::ValueEnum;
use witprof::Dimension;

/// What rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum By {
    /// WIT interfaces, imported or exported
    #[default]
    Interface,
    /// Functions of WIT interfaces
    InterfaceFunction,
    /// Components of a composition
    Component,
    /// Core modules, adapters, and files of the host
    Library,
    /// Functions of guest and host
    Function,
    /// Guest, adapter, trampoline, host
    Layer,
    /// Threads
    Thread,
}

impl From<By> for Dimension {
    fn from(by: By) -> Self {
        match by {
            By::Interface => Self::Interface,
            By::InterfaceFunction => Self::InterfaceFunction,
            By::Component => Self::Component,
            By::Library => Self::Library,
            By::Function => Self::Function,
            By::Layer => Self::Layer,
            By::Thread => Self::Thread,
        }
    }
}

/// What stacks and pictures are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(super) enum StacksBy {
    /// Functions of WIT interfaces
    Interface,
    /// Core modules, adapters, and files of the host
    Library,
    /// Functions of guest and host
    Function,
}

impl From<StacksBy> for Dimension {
    fn from(by: StacksBy) -> Self {
        match by {
            StacksBy::Interface => Self::Interface,
            StacksBy::Library => Self::Library,
            StacksBy::Function => Self::Function,
        }
    }
}
