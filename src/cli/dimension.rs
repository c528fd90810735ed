//! `--by`.

use std::collections::BTreeSet;

use anyhow::anyhow;
use clap::{Args, ValueEnum};
use witprof::export::escape_name;
use witprof::{CrossingFilter, Dimension, Profile};

/// What rows are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum By {
    /// WIT interfaces, imported or exported
    #[default]
    Interface,
    /// Functions of WIT interfaces
    InterfaceFunction,
    /// WIT interfaces, split by the components on both sides
    ComponentInterface,
    /// Components of a composition
    Component,
    /// Core modules, adapters, and files of the host
    Library,
    /// Functions of guest and host
    Function,
    /// Functions of scripts, such as Python's, each with what runs for it
    Script,
    /// Lines of source code
    Line,
    /// Script, guest, adapter, trampoline, host
    Layer,
    /// Threads
    Thread,
}

impl From<By> for Dimension {
    fn from(by: By) -> Self {
        match by {
            By::Interface => Self::Interface,
            By::InterfaceFunction => Self::InterfaceFunction,
            By::ComponentInterface => Self::ComponentInterface,
            By::Component => Self::Component,
            By::Library => Self::Library,
            By::Function => Self::Function,
            By::Script => Self::Script,
            By::Line => Self::Line,
            By::Layer => Self::Layer,
            By::Thread => Self::Thread,
        }
    }
}

/// Which crossings are shown.
#[derive(Args)]
pub(super) struct Between {
    /// Only calls that this component makes; `host` stands for the host
    #[arg(long, value_name = "COMPONENT")]
    from: Option<String>,

    /// Only calls into this component; `host` stands for the host
    #[arg(long, value_name = "COMPONENT")]
    to: Option<String>,
}

impl Between {
    /// Nothing if all are.
    pub(super) fn filter(&self) -> Option<CrossingFilter> {
        let mut filter = CrossingFilter::new();
        if let Some(from) = &self.from {
            filter = filter.from_component(from);
        }
        if let Some(to) = &self.to {
            filter = filter.to_component(to);
        }
        (!filter.is_empty()).then_some(filter)
    }

    /// That there are none, for who has asked for them.
    pub(super) fn nothing_found(&self, profile: &Profile) -> anyhow::Error {
        let asked = [("--from", &self.from), ("--to", &self.to)]
            .into_iter()
            .filter_map(|(option, name)| name.as_ref().map(|name| format!("`{option} {}`", escape_name(name))));
        let asked = asked.collect::<Vec<_>>().join(" and ");
        let rows = profile.report(Dimension::ComponentInterface).rows;
        let ends = rows.iter().flat_map(|row| [&row.ends.from, &row.ends.to]).flatten();
        let names: BTreeSet<String> = ends.map(|end| format!("`{}`", escape_name(end.name()))).collect();
        if names.is_empty() {
            return anyhow!("no sample is inside of an interface of which is known who calls and who is called");
        }
        let names = names.into_iter().collect::<Vec<_>>().join(", ");
        anyhow!("no sample is inside of a call that {asked} means; there are calls between {names}")
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
