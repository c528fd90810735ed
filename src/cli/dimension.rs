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
    /// Lines of source code
    Line,
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
            By::Line => Self::Line,
            By::Layer => Self::Layer,
            By::Thread => Self::Thread,
        }
    }
}

/// What rows of a report are: a dimension, or `label:KEY`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RowsBy {
    Dimension(Dimension),
    Label(String),
}

impl RowsBy {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if let Some(key) = text.strip_prefix("label:") {
            return Ok(Self::Label(key.to_owned()));
        }
        match <By as ValueEnum>::from_str(text, false) {
            Ok(by) => Ok(Self::Dimension(by.into())),
            Err(_) => {
                let names: Vec<_> = Dimension::ALL.iter().map(|by| by.name()).collect();
                let names = names.join(", ");
                Err(format!("possible values are {names}, and label:KEY"))
            }
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
    /// Lines of source code
    Line,
}

impl From<StacksBy> for Dimension {
    fn from(by: StacksBy) -> Self {
        match by {
            StacksBy::Interface => Self::Interface,
            StacksBy::Library => Self::Library,
            StacksBy::Function => Self::Function,
            StacksBy::Line => Self::Line,
        }
    }
}
