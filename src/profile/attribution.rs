//! Whose time a sample is: which interface function it is inside of, and whether it is that function's own work or the
//! price of calling it.
//!
//! The *interface path* of a stack grows where an interface is crossed: at the entry of an exported function, at a fused
//! adapter, at a lowered import, at the drop of a resource. The time of a sample goes to the innermost crossing of its
//! path, once: as *own* time if code of the guest or of the host runs on behalf of that function, as *boundary* time if
//! the sample is in the adapter or trampoline itself, or in canonical-ABI work that it caused: allocation and clean-up
//! of arguments and results, conversion of strings, transfer of resources, bookkeeping of calls.

use std::fmt;

use indexmap::IndexSet;

use super::tables::{Profile, ProfileFunction, StackIndex};
use crate::symbols::{Direction, FunctionKind, Layer};

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

/// What the time of a sample was spent on. It is one or the other, so that both add up to all of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Part {
    /// The work of the interface function itself, in the guest or in the host; waiting included.
    Own,
    /// Crossing the boundary.
    Boundary,
}

/// Where a stack is, seen from its outermost frame to one of its frames.
#[derive(Clone, Copy, Debug)]
struct Place {
    /// The innermost crossing, and the stack that ends with its frame.
    crossing: Option<(CrossingId, StackIndex)>,
    mode: Mode,
    /// The stack that ends with the innermost frame of a core module.
    guest: Option<StackIndex>,
}

/// What runs at a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    /// Code of guest or host.
    Own,
    /// An adapter or trampoline. What it calls does the function's work.
    Crossing,
    /// Work for the canonical ABI; so is whatever it calls.
    Work,
}

/// Position in [`Attribution::crossings`].
pub(crate) type CrossingId = u32;

/// Whose time each stack of a profile is.
#[derive(Debug)]
pub(crate) struct Attribution<'p> {
    profile: &'p Profile,
    crossings: IndexSet<Crossing>,
    /// By stack.
    places: Vec<Place>,
}

impl<'p> Attribution<'p> {
    pub(crate) fn new(profile: &'p Profile) -> Self {
        let mut crossings = IndexSet::new();
        let mut places: Vec<Place> = Vec::with_capacity(profile.stacks.len());
        for (index, stack) in (0..).zip(&profile.stacks) {
            let caller = stack.caller.map(|caller| places[caller.index()]);
            let outside = Place { crossing: None, mode: Mode::Own, guest: None };
            let function = &profile.functions[profile.frames[stack.frame.index()].function.index()];
            let layer = profile.libraries[function.library.index()].layer;
            places.push(place(caller.unwrap_or(outside), StackIndex(index), function, layer, |function| {
                let crossing = crossing_of(profile, function);
                u32::try_from(crossings.insert_full(crossing).0).unwrap_or(u32::MAX)
            }));
        }
        Self { profile, crossings, places }
    }

    /// The innermost crossing of a stack.
    pub(crate) fn crossing(&self, stack: StackIndex) -> Option<CrossingId> {
        self.places[stack.index()].crossing.map(|(crossing, _)| crossing)
    }

    pub(crate) fn get(&self, crossing: CrossingId) -> &Crossing {
        &self.crossings[crossing as usize]
    }

    /// The crossing that the innermost frame of a stack makes.
    pub(crate) fn crossing_here(&self, stack: StackIndex) -> Option<CrossingId> {
        self.places[stack.index()].crossing.filter(|(_, at)| *at == stack).map(|(crossing, _)| crossing)
    }

    /// What the innermost frame of a stack does.
    pub(crate) fn part(&self, stack: StackIndex) -> Part {
        let is_waiting = self.profile.functions[self.profile.leaf(stack).index()].kind == FunctionKind::Suspended;
        match self.places[stack.index()].mode {
            Mode::Own => Part::Own,
            Mode::Crossing | Mode::Work if is_waiting => Part::Own,
            Mode::Crossing | Mode::Work => Part::Boundary,
        }
    }

    /// The crossings that a stack is inside of, innermost first, each with the stack that ends with its frame.
    pub(crate) fn path(&self, stack: StackIndex) -> impl Iterator<Item = (CrossingId, StackIndex)> {
        std::iter::successors(self.places[stack.index()].crossing, |(_, at)| {
            let caller = self.profile.stacks[at.index()].caller?;
            self.places[caller.index()].crossing
        })
    }

    /// The stack that ends with the innermost frame of a core module.
    pub(crate) fn innermost_guest(&self, stack: StackIndex) -> Option<StackIndex> {
        self.places[stack.index()].guest
    }
}

/// One frame further inwards.
fn place(
    before: Place,
    here: StackIndex,
    function: &ProfileFunction,
    layer: Layer,
    crossing: impl FnOnce(&ProfileFunction) -> CrossingId,
) -> Place {
    use FunctionKind as Kind;
    let crosses = match function.kind {
        Kind::Adapter | Kind::ImportLowering => true,
        Kind::Entry | Kind::ResourceIntrinsic | Kind::HostCall => function.interface_function.is_some(),
        _ => false,
    };
    let mode = match (function.kind, before.mode) {
        // What canonical-ABI work calls is canonical-ABI work.
        (_, Mode::Work) => Mode::Work,
        (Kind::Realloc | Kind::PostReturn, Mode::Crossing) => Mode::Work,
        (Kind::Entry | Kind::Adapter | Kind::AdapterHelper | Kind::ImportLowering | Kind::HostCall, _) => {
            Mode::Crossing
        }
        (Kind::ResourceIntrinsic, _) if crosses => Mode::Crossing,
        (Kind::ResourceIntrinsic | Kind::Transcoder | Kind::CanonicalIntrinsic | Kind::UnsafeIntrinsic, _) => {
            Mode::Work
        }
        // A service of the runtime, for whoever asks for it.
        (Kind::Builtin, Mode::Crossing) => Mode::Work,
        (
            Kind::Builtin
            | Kind::StartUp
            | Kind::Guest
            | Kind::Realloc
            | Kind::PostReturn
            | Kind::Shim
            | Kind::Host
            | Kind::Suspended
            | Kind::Unregistered
            | Kind::Elided
            | Kind::Inlined,
            _,
        ) => Mode::Own,
    };
    // A trampoline that stands for the host that it calls; see `HostFrames::None`.
    let mode = if mode == Mode::Crossing && layer == Layer::Host { Mode::Own } else { mode };
    let mut place = Place { mode, ..before };
    if crosses && before.mode != Mode::Work {
        let crossing = crossing(function);
        // The entry of an adapter, and the adapter, are one crossing.
        let is_continued =
            before.mode == Mode::Crossing && before.crossing.is_some_and(|(innermost, _)| innermost == crossing);
        if !is_continued {
            place.crossing = Some((crossing, here));
        }
    }
    if layer == Layer::Guest && !matches!(function.kind, Kind::Elided | Kind::Unregistered) {
        place.guest = Some(here);
    }
    place
}

fn crossing_of(profile: &Profile, function: &ProfileFunction) -> Crossing {
    let library = || profile.libraries[function.library.index()].name.clone();
    Crossing {
        // An adapter of which no one says what it is for goes by its library.
        interface: match (&function.interface, &function.interface_function) {
            (Some(interface), _) => interface.clone(),
            (None, Some(_)) => WORLD.to_owned(),
            (None, None) => library(),
        },
        function: function.interface_function.clone().unwrap_or_else(|| function.name.clone()),
        direction: function.direction.unwrap_or(Direction::Internal),
    }
}

/// Stands for the interface of functions that a world imports or exports directly.
const WORLD: &str = "world";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile::arbitrary;
    use FunctionKind as Kind;

    /// What the innermost frame of a stack stands for, given kinds of functions and their interface functions, outermost
    /// first: the interface path, and the part.
    fn attributed(frames: &[(Kind, &str)]) -> (Vec<String>, Part) {
        let profile = arbitrary::of_stack(frames);
        let attribution = Attribution::new(&profile);
        let last = profile.samples().next().expect("a sample").stack;
        let mut path: Vec<String> =
            attribution.path(last).map(|(crossing, _)| attribution.get(crossing).function.clone()).collect();
        path.reverse();
        (path, attribution.part(last))
    }

    #[test]
    fn the_work_of_an_interface_function_is_its_own() {
        let run = [(Kind::Host, ""), (Kind::Entry, "run")];
        for (frames, part) in [
            (&[][..], Part::Boundary),
            (&[(Kind::Guest, "run")], Part::Own),
            (&[(Kind::Guest, "run"), (Kind::Guest, "")], Part::Own),
            (&[(Kind::Guest, "run"), (Kind::Builtin, "")], Part::Own),
            (&[(Kind::Guest, "run"), (Kind::Builtin, ""), (Kind::Host, "")], Part::Own),
            // Called by the guest itself, these are functions like any other.
            (&[(Kind::Guest, "run"), (Kind::Realloc, "")], Part::Own),
            (&[(Kind::Guest, "run"), (Kind::CanonicalIntrinsic, "")], Part::Boundary),
            (&[(Kind::Guest, "run"), (Kind::CanonicalIntrinsic, ""), (Kind::Host, "")], Part::Boundary),
            (&[(Kind::Guest, "run"), (Kind::CanonicalIntrinsic, ""), (Kind::Suspended, "")], Part::Own),
            (&[(Kind::PostReturn, "")], Part::Boundary),
            (&[(Kind::PostReturn, ""), (Kind::Guest, "")], Part::Boundary),
        ] {
            let frames: Vec<_> = run.iter().chain(frames).copied().collect();
            assert_eq!(attributed(&frames), (vec!["run".to_owned()], part), "{frames:?}");
        }
    }

    #[test]
    fn a_crossing_is_charged_for_what_it_causes() {
        let run = [(Kind::Host, ""), (Kind::Entry, "run"), (Kind::Guest, "run"), (Kind::Shim, "sum")];
        for (frames, part) in [
            (&[(Kind::Adapter, "sum")][..], Part::Boundary),
            (&[(Kind::Entry, "sum"), (Kind::Adapter, "sum")], Part::Boundary),
            (&[(Kind::Adapter, "sum"), (Kind::AdapterHelper, "")], Part::Boundary),
            (&[(Kind::Adapter, "sum"), (Kind::Transcoder, ""), (Kind::Host, "")], Part::Boundary),
            (&[(Kind::Adapter, "sum"), (Kind::CanonicalIntrinsic, ""), (Kind::Host, "")], Part::Boundary),
            (&[(Kind::Adapter, "sum"), (Kind::Realloc, ""), (Kind::Guest, ""), (Kind::Builtin, "")], Part::Boundary),
            (&[(Kind::Adapter, "sum"), (Kind::PostReturn, ""), (Kind::Guest, "")], Part::Boundary),
            (&[(Kind::Adapter, "sum"), (Kind::Guest, "sum"), (Kind::Guest, "")], Part::Own),
            (&[(Kind::ImportLowering, "sum")], Part::Boundary),
            (&[(Kind::ImportLowering, "sum"), (Kind::Host, "")], Part::Own),
            (&[(Kind::ImportLowering, "sum"), (Kind::Suspended, "")], Part::Own),
            // The host allocates in the guest for the result.
            (
                &[(Kind::ImportLowering, "sum"), (Kind::Host, ""), (Kind::Entry, ""), (Kind::Realloc, "")],
                Part::Boundary,
            ),
            // The host calls back.
            (&[(Kind::ImportLowering, "sum"), (Kind::Host, ""), (Kind::Entry, ""), (Kind::Guest, "")], Part::Own),
            (&[(Kind::ResourceIntrinsic, "sum"), (Kind::Host, "")], Part::Own),
        ] {
            let frames: Vec<_> = run.iter().chain(frames).copied().collect();
            assert_eq!(attributed(&frames), (vec!["run".to_owned(), "sum".to_owned()], part), "{frames:?}");
        }
    }

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
}
