//! Whose time a sample is: which interface function it is inside of, and whether it is that function's own work or the
//! price of calling it.
//!
//! The *interface path* of a stack grows where an interface is crossed: at the entry of an exported function, at a fused
//! adapter, at a lowered import, at the drop of a resource. The time of a sample goes to the innermost crossing of its
//! path, once: as *own* time if code of the guest or of the host runs on behalf of that function, as *boundary* time if
//! the sample is in the adapter or trampoline itself, or in canonical-ABI work that it caused: allocation and clean-up
//! of arguments and results, conversion of strings, transfer of resources, bookkeeping of calls.
//!
//! A crossing has two ends: who calls and who is called. What the component's wiring told is in the profile's functions; where
//! it did not, and in files that do not have it, the stack tells: the core module around the crossing is who calls, and
//! the one that its frame led to, on all stacks alike, is who is called.
//!
//! Where the middle of a deep stack was left out ([`FunctionKind::Elided`]), crossings may be missing. What is further in is
//! inside of something unknown, until the next crossing; the crossings further out are still around it. Code that was not
//! registered ([`FunctionKind::Unregistered`]) leaves nothing out: all its frames are there, and it works for the crossing
//! that it is inside of, as the host's code does, which called it.

use indexmap::IndexSet;

use super::crossing::{Crosser, Crossing};
use super::tables::{FunctionIndex, Profile, ProfileFunction, StackIndex};
use crate::symbols::{CrossingEnd, Direction, Ends, FunctionKind, Layer};

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
    crossing: Option<Crossed>,
    mode: Mode,
    /// The stack that ends with the innermost frame of a core module.
    guest: Option<StackIndex>,
    /// The function that makes the innermost crossing, if no code of a core module was seen since.
    entering: Option<FunctionIndex>,
    /// Whether the outermost crossing is a call from another component that the host makes on a fiber of its own, so that
    /// the stack does not have who called.
    is_on_own_fiber: bool,
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

/// Position in [`Attribution::ends`].
pub(crate) type EndsId = u32;

/// A crossing that a stack is inside of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Crossed {
    /// What is crossed; `None` where frames are left out, and with them the crossings that they made.
    pub(crate) what: Option<CrossingId>,
    /// The stack that ends with its frame.
    pub(crate) at: StackIndex,
}

/// Whose time each stack of a profile is.
#[derive(Debug)]
pub(crate) struct Attribution<'p> {
    profile: &'p Profile,
    crossings: IndexSet<Crossing>,
    /// The first is of crossings of which neither end is known.
    ends: IndexSet<Ends>,
    /// By stack: the ends of the crossing that its innermost frame makes.
    ends_at: Vec<EndsId>,
    /// By stack.
    places: Vec<Place>,
}

impl<'p> Attribution<'p> {
    pub(crate) fn new(profile: &'p Profile) -> Self {
        let mut crossings = IndexSet::new();
        let of_functions: Vec<Option<CrossingId>> = profile
            .functions
            .iter()
            .map(|function| {
                let library = &profile.libraries[function.library.index()];
                let crossing = Crosser::of_profile(function, library).crossing()?;
                u32::try_from(crossings.insert_full(crossing).0).ok()
            })
            .collect();
        let mut places: Vec<Place> = Vec::with_capacity(profile.stacks.len());
        let is_sampled = sampled_stacks(profile);
        // Who is called, by what the stacks of samples show: by function, the components that its crossings led to.
        let mut led_to = vec![LedTo::Nowhere; profile.functions.len()];
        for (index, stack) in (0_u32..).zip(&profile.stacks) {
            let outside =
                Place { crossing: None, mode: Mode::Own, guest: None, entering: None, is_on_own_fiber: false };
            let before = stack.caller.map_or(outside, |caller| places[caller.index()]);
            let function = profile.frames[stack.frame.index()].function;
            let row = &profile.functions[function.index()];
            let library = &profile.libraries[row.library.index()];
            let here = Here { stack: StackIndex(index), function, crossing: of_functions[function.index()] };
            let place = place(before, here, row, library.layer);
            if let (Some(entering), None, Mode::Own) = (before.entering, place.entering, place.mode)
                && place.guest == Some(here.stack)
                && is_sampled[index as usize]
            {
                led_to[entering.index()].add(library.component.as_deref());
            }
            places.push(place);
        }
        let mut attribution =
            Self { profile, crossings, ends: IndexSet::from([Ends::default()]), ends_at: Vec::new(), places };
        attribution.find_ends(&led_to);
        attribution
    }

    /// Finds out from where to where each stack crosses: what the map knew, else what the stack tells.
    fn find_ends(&mut self, led_to: &[LedTo<'p>]) {
        let profile = self.profile;
        for (index, stack) in (0..).map(StackIndex).zip(&profile.stacks) {
            let is_crossing = self.crossing_here(index).is_some_and(|crossed| crossed.what.is_some());
            let ends = is_crossing.then(|| {
                let function = profile.frames[stack.frame.index()].function;
                let row = &profile.functions[function.index()];
                let caller = stack.caller.and_then(|caller| self.places[caller.index()].guest);
                Ends {
                    from: row.ends.from.clone().or_else(|| self.caller(row, caller)),
                    to: row.ends.to.clone().or_else(|| callee(row, led_to[function.index()])),
                }
            });
            let id = ends.map_or(0, |ends| self.ends.insert_full(ends).0);
            self.ends_at.push(u32::try_from(id).unwrap_or(0));
        }
    }

    /// Who calls a function for which the map does not tell, by the core module around it.
    fn caller(&self, function: &ProfileFunction, guest: Option<StackIndex>) -> Option<CrossingEnd> {
        match (function.kind, function.direction) {
            // The host enters guests, by itself or for a component that is not on the stack.
            (FunctionKind::Entry, Some(Direction::Export)) => Some(CrossingEnd::Host),
            (FunctionKind::Entry, _) => None,
            _ => self.component(guest?).map(|component| CrossingEnd::Component(component.to_owned())),
        }
    }

    fn component(&self, stack: StackIndex) -> Option<&'p str> {
        let function = &self.profile.functions[self.profile.leaf(stack).index()];
        self.profile.libraries[function.library.index()].component.as_deref()
    }

    /// The innermost crossing of a stack.
    pub(crate) fn crossing(&self, stack: StackIndex) -> Option<Crossed> {
        self.places[stack.index()].crossing
    }

    pub(crate) fn get(&self, crossing: CrossingId) -> &Crossing {
        &self.crossings[crossing as usize]
    }

    /// From where to where a crossing leads, as a number.
    pub(crate) fn ends_id(&self, crossed: Crossed) -> EndsId {
        self.ends_at[crossed.at.index()]
    }

    pub(crate) fn ends(&self, ends: EndsId) -> &Ends {
        &self.ends[ends as usize]
    }

    /// How many different ends there are.
    pub(crate) fn all_ends(&self) -> impl ExactSizeIterator<Item = &Ends> {
        self.ends.iter()
    }

    /// The crossing that the innermost frame of a stack makes.
    pub(crate) fn crossing_here(&self, stack: StackIndex) -> Option<Crossed> {
        self.places[stack.index()].crossing.filter(|crossed| crossed.at == stack)
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

    /// The crossings that a stack is inside of, innermost first.
    pub(crate) fn path(&self, stack: StackIndex) -> impl Iterator<Item = Crossed> {
        std::iter::successors(self.places[stack.index()].crossing, |crossed| {
            let caller = self.profile.stacks[crossed.at.index()].caller?;
            self.places[caller.index()].crossing
        })
    }

    /// Whether a stack is that of a call from another component on a fiber of its own: who called is not on it.
    pub(crate) fn is_on_own_fiber(&self, stack: StackIndex) -> bool {
        self.places[stack.index()].is_on_own_fiber
    }

    /// The stack that ends with the innermost frame of a core module.
    pub(crate) fn innermost_guest(&self, stack: StackIndex) -> Option<StackIndex> {
        self.places[stack.index()].guest
    }
}

/// Which stacks samples were taken in, or in what they called: other stacks may be missing when the profile is stored.
fn sampled_stacks(profile: &Profile) -> Vec<bool> {
    let mut is_sampled = vec![false; profile.stacks.len()];
    profile.samples().for_each(|sample| is_sampled[sample.stack.index()] = true);
    // Callers come before what they call.
    for (index, stack) in profile.stacks.iter().enumerate().rev() {
        if let Some(caller) = stack.caller.filter(|_| is_sampled[index]) {
            is_sampled[caller.index()] = true;
        }
    }
    is_sampled
}

/// The components whose code was seen right inside of a function.
#[derive(Clone, Copy, Debug)]
enum LedTo<'p> {
    Nowhere,
    One(&'p str),
    /// Several, or some that is of no component.
    Anywhere,
}

impl<'p> LedTo<'p> {
    fn add(&mut self, component: Option<&'p str>) {
        *self = match (*self, component) {
            (Self::Nowhere, Some(component)) => Self::One(component),
            (Self::One(one), Some(component)) if one == component => Self::One(one),
            _ => Self::Anywhere,
        };
    }
}

/// Who is called by a function for which the map does not tell.
fn callee(function: &ProfileFunction, led_to: LedTo<'_>) -> Option<CrossingEnd> {
    match (function.kind, function.direction, led_to) {
        (FunctionKind::ImportLowering | FunctionKind::HostCall, _, _)
        | (FunctionKind::ResourceIntrinsic, Some(Direction::Import), _) => Some(CrossingEnd::Host),
        (_, _, LedTo::One(component)) => Some(CrossingEnd::Component(component.to_owned())),
        (_, _, LedTo::Nowhere | LedTo::Anywhere) => None,
    }
}

/// The innermost frame of a stack.
#[derive(Clone, Copy)]
struct Here {
    stack: StackIndex,
    function: FunctionIndex,
    /// What it crosses.
    crossing: Option<CrossingId>,
}

/// One frame further inwards.
fn place(before: Place, here: Here, function: &ProfileFunction, layer: Layer) -> Place {
    use FunctionKind as Kind;
    let mode = match (function.kind, before.mode) {
        // What canonical-ABI work calls is canonical-ABI work.
        (_, Mode::Work) => Mode::Work,
        (Kind::Realloc | Kind::PostReturn, Mode::Crossing) => Mode::Work,
        (Kind::Entry | Kind::Adapter | Kind::AdapterHelper | Kind::ImportLowering | Kind::HostCall, _) => {
            Mode::Crossing
        }
        (Kind::ResourceIntrinsic, _) if here.crossing.is_some() => Mode::Crossing,
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
            | Kind::Inlined
            | Kind::Script,
            _,
        ) => Mode::Own,
    };
    // A trampoline that stands for the host that it calls; see `HostFrames::None`.
    let mode = if mode == Mode::Crossing && layer == Layer::Host { Mode::Own } else { mode };
    let mut place = Place { mode, ..before };
    let crossing = here.crossing.filter(|_| before.mode != Mode::Work);
    if let Some(crossing) = crossing {
        // The entry of an adapter, and the adapter, are one crossing.
        let is_continued =
            before.mode == Mode::Crossing && before.crossing.is_some_and(|innermost| innermost.what == Some(crossing));
        if !is_continued {
            place.crossing = Some(Crossed { what: Some(crossing), at: here.stack });
            place.entering = Some(here.function);
            // Nothing but the host calls an export of a component inside; it does so for the component that imports it.
            place.is_on_own_fiber |= before.crossing.is_none()
                && function.kind == Kind::Entry
                && function.direction == Some(Direction::Internal);
        }
    }
    if function.kind == Kind::Elided {
        // What was left out may have crossed anything, but for what it did for the canonical ABI: that is still inside of it.
        place.guest = None;
        place.entering = None;
        if before.mode != Mode::Work {
            place.crossing = Some(Crossed { what: None, at: here.stack });
        }
    } else if layer == Layer::Guest && function.kind != Kind::Unregistered {
        place.guest = Some(here.stack);
        place.entering = None;
    }
    place
}

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
        let mut path: Vec<String> = attribution.path(last).map(|crossed| name(&attribution, crossed)).collect();
        path.reverse();
        (path, attribution.part(last))
    }

    fn name(attribution: &Attribution<'_>, crossed: Crossed) -> String {
        crossed.what.map_or_else(|| "?".to_owned(), |what| attribution.get(what).function.clone())
    }

    const MAIN: arbitrary::Made = (Kind::Host, "main", None, Direction::Internal);
    const RUN: arbitrary::Made = (Kind::Entry, "run", None, Direction::Export);
    const APP: arbitrary::Made = (Kind::Guest, "f", Some("app"), Direction::Internal);
    const SUM: arbitrary::Made = (Kind::Adapter, "sum", None, Direction::Internal);
    const PROVIDER: arbitrary::Made = (Kind::Guest, "g", Some("provider"), Direction::Internal);
    const WRITE: arbitrary::Made = (Kind::ImportLowering, "write", None, Direction::Import);
    const DROP: arbitrary::Made = (Kind::ResourceIntrinsic, "drop", None, Direction::Internal);
    const ELIDED: arbitrary::Made = (Kind::Elided, "elided", None, Direction::Internal);
    const OTHER: arbitrary::Made = (Kind::Unregistered, "other", None, Direction::Internal);

    /// The path of the last sample's stack with the ends of each crossing, outermost first.
    fn path_of_last(profile: &Profile) -> Vec<String> {
        let attribution = Attribution::new(profile);
        let last = profile.samples().last().expect("a sample").stack;
        let shown = |crossed: Crossed| {
            let ends = attribution.ends(attribution.ends_id(crossed));
            format!("{}: {ends}", name(&attribution, crossed))
        };
        let mut path: Vec<String> = attribution.path(last).map(shown).collect();
        path.reverse();
        path
    }

    #[test]
    fn the_stack_tells_from_where_to_where_it_crosses() {
        let path = |stacks: &[&[arbitrary::Made]]| path_of_last(&arbitrary::of_stacks(stacks));
        assert_eq!(
            path(&[&[MAIN, RUN, APP, SUM, PROVIDER, WRITE, MAIN]]),
            ["run: (host) -> app", "sum: app -> provider", "write: provider -> (host)"]
        );
        // What a crossing leads to, other stacks tell; where they do not agree, nothing does.
        let called = [MAIN, RUN, APP, SUM, PROVIDER];
        assert_eq!(path(&[&called, &called[..4]])[1], "sum: app -> provider");
        assert_eq!(path(&[&[MAIN, RUN, APP, SUM, APP], &called])[1], "sum: app -> ?");
        // The allocation for an argument is not what was called.
        let realloc = (Kind::Realloc, "realloc", Some("provider"), Direction::Internal);
        assert_eq!(path(&[&[MAIN, RUN, APP, SUM, realloc], &called[..4]])[1], "sum: app -> ?");
        let destructor = [MAIN, RUN, APP, DROP, MAIN, (Kind::Entry, "dtor", None, Direction::Export), PROVIDER];
        assert_eq!(path(&[&destructor])[1], "drop: app -> ?", "an entry of its own is in between");
    }

    #[test]
    fn what_the_map_knew_comes_first() {
        let mut profile = arbitrary::of_stacks(&[&[MAIN, RUN, APP, SUM, APP]]);
        let sum = profile.functions.iter_mut().find(|function| function.name == "sum").expect("sum");
        sum.ends = Ends::internal(Some("one".to_owned()), Some("two".to_owned()));
        assert_eq!(path_of_last(&profile)[1], "sum: one -> two");
    }

    #[test]
    fn behind_frames_that_were_left_out_nothing_is_known_until_the_next_crossing() {
        let path = |frames: &[arbitrary::Made]| path_of_last(&arbitrary::of_stacks(&[frames]));
        assert_eq!(path(&[MAIN, RUN, APP, ELIDED, APP]), ["run: (host) -> app", "?: ? -> ?"]);
        assert_eq!(
            path(&[MAIN, RUN, APP, ELIDED, MAIN, WRITE, MAIN]),
            ["run: (host) -> app", "?: ? -> ?", "write: ? -> (host)"],
            "and the core module around it is not known either"
        );
        assert_eq!(path(&[MAIN, ELIDED, APP]), ["?: ? -> ?"]);
        // What canonical-ABI work called was left out with it.
        let realloc = (Kind::Realloc, "realloc", Some("provider"), Direction::Internal);
        assert_eq!(path(&[MAIN, RUN, APP, SUM, realloc, ELIDED, APP]), ["run: (host) -> app", "sum: app -> ?"]);
        // Code that was not registered is there, and works for the crossing that it is inside of.
        assert_eq!(path(&[MAIN, RUN, APP, WRITE, MAIN, OTHER]), ["run: (host) -> app", "write: app -> (host)"]);
    }

    #[test]
    fn a_callee_on_a_fiber_of_its_own_has_no_caller_on_its_stack() {
        let entry = (Kind::Entry, "sum", None, Direction::Internal);
        let profile = arbitrary::of_stacks(&[&[MAIN, RUN, APP, SUM], &[MAIN, entry, PROVIDER]]);
        let attribution = Attribution::new(&profile);
        let own: Vec<bool> = profile.samples().map(|sample| attribution.is_on_own_fiber(sample.stack)).collect();
        assert_eq!(own, [false, true]);
        assert_eq!(path_of_last(&profile), ["sum: ? -> provider"]);
        // Entered behind frames that were left out, its caller may be among these.
        let profile = arbitrary::of_stacks(&[&[MAIN, ELIDED, MAIN, entry, PROVIDER]]);
        let attribution = Attribution::new(&profile);
        assert!(!attribution.is_on_own_fiber(profile.samples().next().expect("a sample").stack));
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
}
