//! Takes the names of some components out of the stacks of a profile.
//!
//! Frames of their code become one frame, `(not shown)`, as if they had never been registered. So do the adapters and trampolines
//! by which they call each other and the host. What a component that is shown imports and exports, its author knows, so those
//! adapters and trampolines stay; only the names of whoever is on the other side go.

use std::collections::BTreeSet;

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;

use super::symbolize::{OTHER_CODE, handle};
use super::tables::{
    Frame, FrameIndex, FunctionIndex, LibraryIndex, Profile, ProfileFunction, ProfileLibrary, Stack, StackIndex,
};
use crate::address::{CodePoint, TextOffset};
use crate::symbols::{CrossingEnd, Direction, FunctionKind, Layer};

/// What becomes of a function's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    /// It is shown, or not, wherever it is.
    Known(bool),
    /// It is shown where what calls it is.
    AsCaller,
    /// It enters, or is an adapter of, code that is shown or not; that of a call between components is shown where its caller
    /// is, too.
    Enters { shown: bool, from_inside: bool },
}

/// A stack that was made anew, and what is at its end.
#[derive(Clone, Copy)]
struct End {
    /// `None` where nothing is on it yet.
    stack: Option<StackIndex>,
    /// Whether its innermost frame stands for others.
    is_hidden: bool,
    /// Whether the innermost frame that is not the host's is shown, if there is any.
    inner: Option<bool>,
}

impl Profile {
    /// Leaves the names of these components, and takes those of all others out of all stacks. Rows that are no longer used
    /// are not removed.
    pub(super) fn hide_code_of_others(&mut self, shown: &BTreeSet<String>) {
        let fates = self.fates(shown);
        self.rename_libraries_between_components();
        self.forget_ends_of_others(shown);
        let hidden = self.hidden_frame();
        let mut stacks: IndexSet<Stack, FxBuildHasher> = IndexSet::default();
        let mut ends: Vec<End> = Vec::with_capacity(self.stacks.len());
        for Stack { caller, frame } in &self.stacks {
            let outside = End { stack: None, is_hidden: false, inner: None };
            let before = caller.map_or(outside, |caller| ends[caller.index()]);
            let function = self.frames[frame.index()].function;
            let is_shown = match fates[function.index()] {
                Fate::Known(is_shown) => is_shown,
                Fate::AsCaller => before.inner == Some(true),
                Fate::Enters { shown, from_inside } => shown || (from_inside && before.inner == Some(true)),
            };
            let kind = self.functions[function.index()].kind;
            let inner = if kind.layer() == Layer::Host { before.inner } else { Some(is_shown) };
            let stack = match (is_shown, before) {
                (false, End { stack: Some(stack), is_hidden: true, .. }) => stack,
                _ => {
                    let frame = if is_shown { *frame } else { hidden };
                    StackIndex(handle(stacks.insert_full(Stack { caller: before.stack, frame }).0))
                }
            };
            ends.push(End { stack: Some(stack), is_hidden: !is_shown || kind == FunctionKind::Unregistered, inner });
        }
        // Each stack has become one.
        let new: Vec<StackIndex> = ends.iter().filter_map(|end| end.stack).collect();
        self.ends().for_each(|stack| *stack = new[stack.index()]);
        self.stacks = stacks.into_iter().collect();
    }

    /// By function.
    fn fates(&self, shown: &BTreeSet<String>) -> Vec<Fate> {
        let is_shown = |function: &ProfileFunction| self.owner(function).map(|owner| shown.contains(owner));
        // Whether everything that a function of nobody leads to next is shown; nothing where it leads nowhere.
        let mut leads_to: Vec<Option<bool>> = vec![None; self.functions.len()];
        for (index, stack) in self.stacks.iter().enumerate() {
            let function = self.frames[stack.frame.index()].function;
            let Some(is_shown) = is_shown(&self.functions[function.index()]) else { continue };
            for outer in self.outwards(StackIndex(handle(index))).skip(1) {
                let outer = self.leaf(outer);
                let of_outer = &self.functions[outer.index()];
                if self.owner(of_outer).is_some() || of_outer.kind.layer() == Layer::Host {
                    break;
                }
                let all = &mut leads_to[outer.index()];
                *all = Some(all.unwrap_or(true) && is_shown);
            }
        }
        let fate = |(function, leads_to): (&ProfileFunction, Option<bool>)| {
            if let Some(is_shown) = is_shown(function) {
                return Fate::Known(is_shown);
            }
            let shown = leads_to == Some(true);
            let is_internal = function.direction == Some(Direction::Internal);
            match function.kind {
                FunctionKind::Host | FunctionKind::Suspended | FunctionKind::Unregistered | FunctionKind::Elided => {
                    Fate::Known(true)
                }
                FunctionKind::Adapter => Fate::Enters { shown, from_inside: true },
                FunctionKind::Entry | FunctionKind::StartUp => Fate::Enters { shown, from_inside: is_internal },
                FunctionKind::Guest
                | FunctionKind::Realloc
                | FunctionKind::PostReturn
                | FunctionKind::Shim
                | FunctionKind::Inlined
                | FunctionKind::Script
                | FunctionKind::AdapterHelper
                | FunctionKind::ImportLowering
                | FunctionKind::HostCall
                | FunctionKind::ResourceIntrinsic
                | FunctionKind::Transcoder
                | FunctionKind::CanonicalIntrinsic
                | FunctionKind::Builtin
                | FunctionKind::UnsafeIntrinsic => Fate::AsCaller,
            }
        };
        self.functions.iter().zip(leads_to).map(fate).collect()
    }

    /// Libraries of adapters are called after both sides, such as `demo:math/ops@0.1.0 (app -> provider)`: from now on after
    /// the interface alone.
    fn rename_libraries_between_components(&mut self) {
        let mut names: Vec<Option<String>> = vec![None; self.libraries.len()];
        for function in &self.functions {
            // Whoever adds something to a function has to decide here whether it tells who is on the other side.
            let ProfileFunction {
                name: _,
                library,
                kind: _,
                interface,
                interface_function: _,
                direction,
                offset: _,
                size: _,
                // See `forget_ends_of_others`.
                ends: _,
                file: _,
                first_line: _,
            } = function;
            let ProfileLibrary { name: _, layer, component: _ } = &self.libraries[library.index()];
            let is_between = match layer {
                Layer::Adapter => true,
                Layer::Trampoline => *direction == Some(Direction::Internal),
                Layer::Script | Layer::Guest | Layer::Host => false,
            };
            let name = &mut names[library.index()];
            match interface {
                Some(interface) if is_between => *name = Some(format!("{interface} ({})", Direction::Internal.name())),
                None if is_between && name.is_none() => *name = Some(ADAPTERS.to_owned()),
                _ => {}
            }
        }
        for (library, name) in self.libraries.iter_mut().zip(names) {
            if let Some(name) = name {
                library.name = name;
            }
        }
    }

    /// Who is on the other side of a crossing is known no more, unless it is shown or the host.
    fn forget_ends_of_others(&mut self, shown: &BTreeSet<String>) {
        // An instance is called after its component: `math[left]`.
        let is_of = |name: &str, component: &String| {
            name.strip_prefix(component.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('['))
        };
        let is_shown = |end: &CrossingEnd| match end {
            CrossingEnd::Host => true,
            CrossingEnd::Component(name) => shown.iter().any(|component| is_of(name, component)),
        };
        for function in &mut self.functions {
            for end in [&mut function.ends.from, &mut function.ends.to] {
                *end = end.take().filter(is_shown);
            }
        }
    }

    /// The frame that stands for what is not shown.
    fn hidden_frame(&mut self) -> FrameIndex {
        let (library, name) = OTHER_CODE;
        let known = self.functions.iter().position(|function| function.kind == FunctionKind::Unregistered);
        let function = known.unwrap_or_else(|| {
            self.libraries.push(ProfileLibrary { name: library.to_owned(), layer: Layer::Guest, component: None });
            let library = LibraryIndex(handle(self.libraries.len() - 1));
            let kind = FunctionKind::Unregistered;
            let function = ProfileFunction::without_interface(name.to_owned(), library, kind);
            self.functions.push(ProfileFunction { size: 1, ..function });
            self.functions.len() - 1
        });
        let function = FunctionIndex(handle(function));
        let point = CodePoint::InstructionPointer(TextOffset::new(self.functions[function.index()].offset));
        self.frames.push(Frame { function, point, instruction: None, source: None });
        FrameIndex(handle(self.frames.len() - 1))
    }
}

/// What libraries of adapters are called of which no interface is known.
const ADAPTERS: &str = "adapters";

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::{Dimension, Filter, arbitrary};
    use FunctionKind as Kind;

    /// Gives each function of a guest a library of its own, in the component that its name begins with.
    fn with_components(mut profile: Profile) -> Profile {
        for index in 0..profile.functions.len() {
            let function = &profile.functions[index];
            let (kind, layer, name) = (function.kind, function.kind.layer(), function.name.clone());
            let component =
                name.split('.').next().filter(|_| matches!(layer, Layer::Guest | Layer::Script)).map(str::to_owned);
            profile.functions[index].direction = match kind {
                Kind::Entry => Some(Direction::Export),
                Kind::ImportLowering => Some(Direction::Import),
                _ => profile.functions[index].direction,
            };
            let name = match layer {
                Layer::Guest | Layer::Script => name,
                Layer::Adapter => "i (a -> b)".to_owned(),
                Layer::Trampoline | Layer::Host => continue,
            };
            profile.libraries.push(ProfileLibrary { name, layer, component });
            profile.functions[index].library = LibraryIndex(handle(profile.libraries.len() - 1));
        }
        profile
    }

    /// What is shown of a stack, outermost first, if the code of this component is shown.
    fn stack(frames: &[(Kind, &str)], code: &str) -> Vec<String> {
        let profile = with_components(arbitrary::of_stack(frames)).filter(&Filter::default().code(code));
        let sample = profile.samples().next().expect("a sample");
        let mut names: Vec<String> = profile
            .outwards(sample.stack)
            .map(|stack| profile.shown_name(&profile.functions[profile.leaf(stack).index()]).into_owned())
            .collect();
        names.reverse();
        names
    }

    const FRAMES: [(Kind, &str); 9] = [
        (Kind::Host, "main"),
        (Kind::Entry, "run"),
        (Kind::Guest, "a.run"),
        (Kind::Adapter, "ab"),
        (Kind::Guest, "b.f"),
        (Kind::Adapter, "bc"),
        (Kind::Guest, "c.g"),
        (Kind::ImportLowering, "write"),
        (Kind::Host, "write_all"),
    ];

    #[test]
    fn a_component_is_shown_what_it_calls_and_is_called_by() {
        const REST: &str = "(not shown)";
        let (run, write) = ("run [trampoline]", "write [trampoline]");
        // The names of whoever is on the other side of an adapter are gone.
        let (ab, bc) = ("ab [i (internal)]", "bc [i (internal)]");
        assert_eq!(stack(&FRAMES, "a"), ["main", run, "a.run", ab, REST, "write_all"]);
        assert_eq!(stack(&FRAMES, "b"), ["main", REST, ab, "b.f", bc, REST, "write_all"]);
        assert_eq!(stack(&FRAMES, "c"), ["main", REST, bc, "c.g", write, "write_all"]);
        assert_eq!(stack(&FRAMES, "d"), ["main", REST, "write_all"]);
    }

    #[test]
    fn what_an_adapter_does_before_it_enters_is_shown_with_it() {
        let mut profile = with_components(arbitrary::of_stack(&FRAMES));
        // The adapter, which another sample has seen to enter `b`, converts a string.
        let adapter = profile.stacks.iter().position(|stack| stack.frame.index() == 3).expect("the adapter");
        let library = profile.functions[1].library;
        let kind = Kind::CanonicalIntrinsic;
        profile.functions.push(ProfileFunction::without_interface("transcode".to_owned(), library, kind));
        let function = FunctionIndex(handle(profile.functions.len() - 1));
        profile.frames.push(Frame { function, ..profile.frames[0] });
        let frame = FrameIndex(handle(profile.frames.len() - 1));
        profile.stacks.push(Stack { caller: Some(StackIndex(handle(adapter))), frame });
        profile.threads[0].samples[0].stack = StackIndex(handle(profile.stacks.len() - 1));
        let leaf = |code: &str| {
            let part = profile.filter(&Filter::default().code(code));
            part.functions[part.leaf(part.threads[0].samples[0].stack).index()].name.clone()
        };
        assert_eq!(["a", "b", "c"].map(leaf), ["transcode", "transcode", "(not shown)"]);
    }

    #[test]
    fn what_waits_and_what_is_left_out_stays() {
        let frames = [(Kind::Elided, "elided"), (Kind::Guest, "b.f"), (Kind::Suspended, "suspended")];
        assert_eq!(stack(&frames, "a"), ["elided", "(not shown)", "suspended"]);
        let frames = [(Kind::Unregistered, "(not shown)"), (Kind::Guest, "b.f"), (Kind::Guest, "a.f")];
        assert_eq!(stack(&frames, "a"), ["(not shown)", "a.f"]);
    }

    proptest! {
        #[test]
        fn time_stays_and_names_go(profile in arbitrary::profile()) {
            let mut profile = profile;
            for (index, function) in profile.functions.iter_mut().enumerate() {
                let component = ["aa-", "bb-", "cc-"][index % 3];
                function.name.insert_str(0, &format!("{component}."));
            }
            // Others are of no component.
            for function in &mut profile.functions {
                if function.kind.layer() != Layer::Guest || matches!(function.kind, Kind::Elided | Kind::Unregistered) {
                    function.name = "of nobody".to_owned();
                }
            }
            profile.files.clear();
            profile.sources.clear();
            profile.functions.iter_mut().for_each(|function| function.file = None);
            profile.frames.iter_mut().for_each(|frame| frame.source = None);
            let whole = with_components(profile);
            let part = whole.filter(&Filter::default().code("bb-"));
            let tables = format!("{part:?}");
            prop_assert!(!tables.contains("aa-") && !tables.contains("cc-"), "{}", tables);
            prop_assert_eq!(part.samples().count(), whole.samples().count());
            prop_assert_eq!((part.wall_time(), part.cpu_time()), (whole.wall_time(), whole.cpu_time()));
            for (before, after) in whole.samples().zip(part.samples()) {
                let own = |profile: &Profile, stack| -> Vec<String> {
                    let names = profile.outwards(stack).map(|stack| &profile.functions[profile.leaf(stack).index()]);
                    let own = names.filter(|function| profile.owner(function) == Some("bb-"));
                    own.map(|function| function.name.clone()).collect()
                };
                prop_assert_eq!(own(&part, after.stack), own(&whole, before.stack));
            }
            for dimension in Dimension::ALL {
                let rows = part.report(*dimension).rows;
                let sum: std::time::Duration = rows.iter().map(crate::profile::ReportRow::attributed).sum();
                prop_assert_eq!(sum, whole.wall_time(), "{:?}", dimension);
            }
        }
    }
}
