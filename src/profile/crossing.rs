//! What is a crossing of an interface: the one rule for samples and for calls.

use std::fmt;

use super::tables::{ProfileFunction, ProfileLibrary};
use crate::symbols::{CrossingEnd, Direction, Ends, Function, FunctionKind};

/// An interface function, crossed in one direction.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct Crossing {
    /// The interface; for functions that a world imports or exports directly, `world`. Partly chosen by the guest: escape
    /// it.
    pub interface: String,
    /// The function. Chosen by the guest: escape it.
    pub function: String,
    /// Which way it is crossed.
    pub direction: Direction,
}

impl Crossing {
    /// Whether `name` means this function or its interface: `wasi:io/streams@0.2.6`, the same without the version, the
    /// same with the direction behind it as reports write it, and with the function behind it as in
    /// `wasi:io/streams#output-stream.write`.
    #[must_use]
    pub fn is_meant_by(&self, name: &str) -> bool {
        let direction = format!(" ({})", self.direction.name());
        let name = name.strip_suffix(direction.as_str()).unwrap_or(name);
        let (interface, function) =
            name.split_once('#').map_or((name, None), |(name, function)| (name, Some(function)));
        let unversioned = self.interface.split('@').next().unwrap_or_default();
        (interface == self.interface || interface == unversioned)
            && function.is_none_or(|function| function == self.function)
    }

    /// The interface and the direction, as reports write it: `wasi:io/streams@0.2.6 (import)`.
    #[must_use]
    pub fn interface_name(&self) -> String {
        format!("{} ({})", self.interface, self.direction.name())
    }
}

impl fmt::Display for Crossing {
    /// `wasi:io/streams@0.2.6#output-stream.write (import)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}#{} ({})", self.interface, self.function, self.direction.name())
    }
}

/// What tells which interface a function crosses, in a map and in a profile alike.
#[derive(Clone, Copy, Debug)]
pub(super) struct Crosser<'f> {
    kind: FunctionKind,
    name: &'f str,
    library: &'f str,
    interface: Option<&'f str>,
    interface_function: Option<&'f str>,
    direction: Option<Direction>,
}

impl<'f> Crosser<'f> {
    /// `name` is that of the function, which a map makes when it is asked for.
    pub(super) fn of_map(function: Function<'f>, name: &'f str) -> Self {
        Self {
            kind: function.kind(),
            name,
            library: &function.library().name,
            interface: function.interface(),
            interface_function: function.interface_function(),
            direction: function.direction(),
        }
    }

    pub(super) fn of_profile(function: &'f ProfileFunction, library: &'f ProfileLibrary) -> Self {
        Self {
            kind: function.kind,
            name: &function.name,
            library: &library.name,
            interface: function.interface.as_deref(),
            interface_function: function.interface_function.as_deref(),
            direction: function.direction,
        }
    }

    /// The crossing that a frame of this function makes; `None` if it makes none.
    pub(super) fn crossing(self) -> Option<Crossing> {
        let is_crossing = match self.kind {
            FunctionKind::Adapter | FunctionKind::ImportLowering => true,
            FunctionKind::Entry | FunctionKind::ResourceIntrinsic | FunctionKind::HostCall => {
                self.interface_function.is_some()
            }
            FunctionKind::Guest
            | FunctionKind::Realloc
            | FunctionKind::PostReturn
            | FunctionKind::Shim
            | FunctionKind::AdapterHelper
            | FunctionKind::Transcoder
            | FunctionKind::CanonicalIntrinsic
            | FunctionKind::Builtin
            | FunctionKind::UnsafeIntrinsic
            | FunctionKind::StartUp
            | FunctionKind::Host
            | FunctionKind::Suspended
            | FunctionKind::Unregistered
            | FunctionKind::Elided
            | FunctionKind::Inlined
            | FunctionKind::Script => false,
        };
        is_crossing.then(|| Crossing {
            interface: match (self.interface, self.interface_function) {
                (Some(interface), _) => interface,
                (None, Some(_)) => WORLD,
                // An adapter of which no one says what it is for goes by its library.
                (None, None) => self.library,
            }
            .to_owned(),
            function: self.interface_function.unwrap_or(self.name).to_owned(),
            direction: self.direction.unwrap_or(Direction::Internal),
        })
    }

    /// Whether a trampoline or adapter stands for a whole call, of all the crossings that are made for one: the host also
    /// enters a guest for what comes after a call (`(callback)`, `(post-return)`), and for a call between components, which
    /// its adapter stands for already.
    pub(super) fn is_whole_call(self) -> bool {
        match self.kind {
            FunctionKind::Entry => {
                self.direction == Some(Direction::Export) && self.interface_function == Some(self.name)
            }
            // What the canonical ABI does with handles is no call.
            FunctionKind::ResourceIntrinsic => false,
            _ => true,
        }
    }
}

/// Stands for the interface of functions that a world imports or exports directly.
const WORLD: &str = "world";

/// Which crossings are meant, by who calls and who is called.
///
/// ```
/// # use witprof::{CrossingFilter, Dimension, Profile};
/// # fn example(profile: &Profile) {
/// let calls = CrossingFilter::new().from_component("app").to_component("provider");
/// if let Some(report) = profile.report_between(Dimension::InterfaceFunction, &calls) {
///     report.rows.iter().for_each(|row| println!("{}: {:?}", row.name, row.total));
/// }
/// # }
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CrossingFilter {
    from: Option<String>,
    to: Option<String>,
}

impl CrossingFilter {
    /// All crossings.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Those that this component makes; `host` stands for the host.
    #[must_use]
    pub fn from_component(mut self, name: impl Into<String>) -> Self {
        self.from = Some(name.into());
        self
    }

    /// Those into this component; `host` stands for the host.
    #[must_use]
    pub fn to_component(mut self, name: impl Into<String>) -> Self {
        self.to = Some(name.into());
        self
    }

    /// Whether all crossings are meant.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    /// Whether a crossing with these ends is meant. An end that is not known is none that was asked for.
    #[must_use]
    pub fn is_met_by(&self, ends: &Ends) -> bool {
        let is_met = |wanted: &Option<String>, end: &Option<CrossingEnd>| {
            wanted.as_ref().is_none_or(|name| end.as_ref().is_some_and(|end| end.is_meant_by(name)))
        };
        is_met(&self.from, &ends.from) && is_met(&self.to, &ends.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interfaces_are_found_by_any_of_their_names() {
        let crossing = Crossing {
            interface: "wasi:io/streams@0.2.6".to_owned(),
            function: "output-stream.write".to_owned(),
            direction: Direction::Import,
        };
        for name in [
            "wasi:io/streams",
            "wasi:io/streams@0.2.6",
            "wasi:io/streams@0.2.6 (import)",
            "wasi:io/streams#output-stream.write",
            "wasi:io/streams@0.2.6#output-stream.write (import)",
        ] {
            assert!(crossing.is_meant_by(name), "{name}");
        }
        for name in ["wasi:io", "wasi:io/streams (export)", "wasi:io/streams#read", "wasi:io/streams@0.2.5", ""] {
            assert!(!crossing.is_meant_by(name), "{name}");
        }
    }

    #[test]
    fn ends_are_found_by_their_names() {
        let ends = Ends::internal(Some("app".to_owned()), None);
        let filter = CrossingFilter::new;
        assert!(filter().is_met_by(&ends) && filter().is_met_by(&Ends::default()));
        assert!(filter().from_component("app").is_met_by(&ends));
        assert!(!filter().from_component("other").is_met_by(&ends));
        // What is not known is not what was asked for.
        assert!(!filter().from_component("app").to_component("provider").is_met_by(&ends));
        for host in ["host", "(host)"] {
            assert!(filter().to_component(host).is_met_by(&Ends::import(None)), "{host}");
        }
        // Those that are told apart are meant by the name that they share, too.
        for (name, is_meant) in [("mw", true), ("mw[left]", true), ("mw[right]", false), ("m", false), ("", false)] {
            let ends = Ends::internal(Some("mw[left]".to_owned()), Some("app".to_owned()));
            assert_eq!(filter().from_component(name).is_met_by(&ends), is_meant, "{name}");
        }
        let inner = Ends::internal(None, Some("shop/math".to_owned()));
        assert!(
            filter().to_component("math").is_met_by(&inner) && filter().to_component("shop/math").is_met_by(&inner)
        );
        assert!(!filter().to_component("shop").is_met_by(&inner));
        assert_eq!(ends.to_string(), "app -> ?");
        assert_eq!(Ends::import(Some("app".to_owned())).to_string(), "app -> (host)");
    }
}
