//! From where to where an interface is crossed.

use std::fmt;

/// One end of a crossing: who calls, or who is called.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum CrossingEnd {
    /// The embedding process.
    Host,
    /// A component of a composition, or a core module that stands alone. Partly chosen by the guest: escape it.
    Component(String),
}

impl CrossingEnd {
    /// What stands for the host where components are named.
    pub(crate) const HOST: &str = "(host)";

    /// Whether `name` means this end: that of the component, or `host`. `math` means `math[left]` and `shop/math` as well: all that
    /// are told apart because they would have that name.
    #[must_use]
    pub fn is_meant_by(&self, name: &str) -> bool {
        match self {
            Self::Host => name == "host" || name == Self::HOST,
            Self::Component(component) => {
                let is_one_of = |rest: &str| rest.starts_with('[') && rest.ends_with(']');
                let plain = component.strip_prefix(name).is_some_and(|rest| rest.is_empty() || is_one_of(rest));
                plain || component.strip_suffix(name).is_some_and(|path| path.ends_with('/'))
            }
        }
    }

    /// The name used in every output: that of the component, or `(host)`. Escape it.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Host => Self::HOST,
            Self::Component(component) => component,
        }
    }
}

/// From where to where an interface is crossed, as far as is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Ends {
    /// Who calls.
    pub from: Option<CrossingEnd>,
    /// Who is called: whose code does the work, if the crossing is not the host's.
    pub to: Option<CrossingEnd>,
}

impl Ends {
    /// Of a function of a component that the host calls.
    pub(crate) fn export(component: impl Into<String>) -> Self {
        Self { from: Some(CrossingEnd::Host), to: Some(CrossingEnd::Component(component.into())) }
    }

    /// Of a function of the host that a component calls.
    pub(crate) fn import(component: Option<String>) -> Self {
        Self { from: component.map(CrossingEnd::Component), to: Some(CrossingEnd::Host) }
    }

    /// Of a function of one component that another calls.
    pub(crate) fn internal(from: Option<String>, to: Option<String>) -> Self {
        Self { from: from.map(CrossingEnd::Component), to: to.map(CrossingEnd::Component) }
    }

    pub(super) fn ends_mut(&mut self) -> impl Iterator<Item = &mut CrossingEnd> {
        self.from.iter_mut().chain(&mut self.to)
    }
}

impl fmt::Display for Ends {
    /// `app -> provider`; `?` stands for what is not known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = |end: &Option<CrossingEnd>| end.as_ref().map_or("?", CrossingEnd::name).to_owned();
        write!(f, "{} -> {}", name(&self.from), name(&self.to))
    }
}
