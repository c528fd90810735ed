//! How much of the host a profile shows.
//!
//! Thirty frames of the host lie below the first frame of a guest: the program's `main`, the executor, Wasmtime. They are the
//! same in every stack, and with them a picture begins where nobody looks. So they can be left out, and those that an import
//! calls be one frame.

use indexmap::IndexSet;
use rustc_hash::{FxBuildHasher, FxHashMap};

use super::symbolize::handle;
use super::tables::{
    Frame, FrameIndex, FunctionIndex, LibraryIndex, Profile, ProfileFunction, ProfileLibrary, SamplerKind, Stack,
    StackIndex,
};
use crate::address::{CodePoint, TextOffset};
use crate::symbols::{FunctionKind, Layer};

/// Which frames of the host stacks have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum HostFrames {
    /// All that were seen.
    All,
    /// Stacks begin where the guest is entered. Below what the guest calls, one frame, `host`, stands for all.
    #[default]
    Inner,
    /// None: the trampoline that calls the host has its time. Where nothing else is on a stack, `host` stands for it.
    None,
}

/// The library, and the function of it, that stand for the host.
pub(super) const HOST: &str = "host";

/// A profile's tables, with what is needed for other stacks added at their ends.
pub(crate) struct OtherStacks {
    pub(crate) libraries: Vec<ProfileLibrary>,
    pub(crate) functions: Vec<ProfileFunction>,
    pub(crate) frames: Vec<Frame>,
    /// These take the place of the profile's.
    pub(crate) stacks: Vec<Stack>,
    /// By stack of the profile: which it has become.
    pub(crate) of_stack: Vec<StackIndex>,
}

impl Profile {
    /// This profile with fewer frames of the host. Whose time a sample is, and whether it is own or boundary time, stays the
    /// same. A profile of another program is left as it is.
    ///
    /// ```
    /// # use witprof::{Dimension, HostFrames, Profile};
    /// # fn example(profile: &Profile) {
    /// // What the guest's functions did, and `host` for what the host did for them.
    /// let functions = profile.with_host_frames(HostFrames::Inner).report(Dimension::Function);
    /// # }
    /// ```
    #[must_use]
    pub fn with_host_frames(&self, host_frames: HostFrames) -> Self {
        let mut profile = self.clone();
        let Some(other) = self.other_stacks(host_frames) else { return profile };
        let OtherStacks { libraries, functions, frames, stacks, of_stack } = other;
        (profile.libraries, profile.functions) = (libraries, functions);
        (profile.frames, profile.stacks) = (frames, stacks);
        profile.ends().for_each(|stack| *stack = of_stack[stack.index()]);
        profile.without_unused();
        profile
    }

    /// The stacks with fewer frames of the host. `None` if they are as they were.
    pub(crate) fn other_stacks(&self, host_frames: HostFrames) -> Option<OtherStacks> {
        // Others do not tell guest and host apart.
        if host_frames == HostFrames::All || self.sampler == SamplerKind::Other {
            return None;
        }
        let mut reducing = Reducing::new(self, host_frames);
        let mut ends: Vec<End> = Vec::with_capacity(self.stacks.len());
        for stack in &self.stacks {
            let caller = stack.caller.map_or(End::OUTSIDE, |caller| ends[caller.index()]);
            ends.push(reducing.inwards(caller, stack.frame));
        }
        let of_stack: Vec<StackIndex> = ends.iter().map(|end| reducing.stack_of(*end)).collect();
        let is_same = (0..).map(StackIndex).zip(&of_stack).all(|(index, other)| index == *other)
            && reducing.stacks.iter().eq(&self.stacks);
        let Reducing { libraries, functions, frames, stacks, .. } = reducing;
        (!is_same).then(|| OtherStacks { libraries, functions, frames, stacks: stacks.into_iter().collect(), of_stack })
    }
}

/// Where a stack ends, seen from its outermost frame inwards.
#[derive(Clone, Copy)]
struct End {
    /// The new stack, without frames of the host at its end.
    inner: Option<StackIndex>,
    /// Whether no guest was seen so far.
    is_outside: bool,
    /// Whether frames of the host at the end have been left out.
    is_hidden: bool,
    /// The new stack that ends with what stands for the host, if the old one ends with the host.
    host: Option<StackIndex>,
}

impl End {
    const OUTSIDE: Self = Self { inner: None, is_outside: true, is_hidden: true, host: None };
}

/// New stacks, being made.
struct Reducing {
    host_frames: HostFrames,
    libraries: Vec<ProfileLibrary>,
    functions: Vec<ProfileFunction>,
    frames: Vec<Frame>,
    /// Those that are not the profile's.
    added: FxHashMap<Frame, FrameIndex>,
    stacks: IndexSet<Stack, FxBuildHasher>,
    /// By library: the one of the same name that is the host's.
    hosts: Vec<Option<LibraryIndex>>,
    /// By function: the one that has the time of what it calls of the host.
    callers: Vec<Option<FunctionIndex>>,
    /// What stands for the host, once it was asked for.
    host: Option<FunctionIndex>,
}

impl Reducing {
    fn new(profile: &Profile, host_frames: HostFrames) -> Self {
        let stands_for_host = |function: &ProfileFunction| {
            let library = &profile.libraries[function.library.index()];
            function.kind == FunctionKind::Host && function.name == HOST && library.name == HOST
        };
        let host = profile.functions.iter().position(stands_for_host);
        Self {
            host_frames,
            libraries: profile.libraries.clone(),
            functions: profile.functions.clone(),
            frames: profile.frames.clone(),
            added: FxHashMap::default(),
            stacks: IndexSet::default(),
            hosts: vec![None; profile.libraries.len()],
            callers: vec![None; profile.functions.len()],
            host: host.map(|index| FunctionIndex(handle(index))),
        }
    }

    /// The end of a stack with one more frame.
    fn inwards(&mut self, caller: End, index: FrameIndex) -> End {
        match self.functions[self.frames[index.index()].function.index()].kind {
            // What waits is told without what it called in order to wait.
            FunctionKind::Suspended => self.inside(caller.inner, index),
            FunctionKind::Host if caller.is_outside => End { is_hidden: true, ..caller },
            FunctionKind::Host => End { host: Some(self.host_below(caller)), ..caller },
            // Frames that were left out tell nothing of a guest.
            FunctionKind::Elided if caller.is_outside => End { is_outside: true, ..self.inside(caller.inner, index) },
            // A host that calls back is between the two.
            _ => self.inside(caller.host.or(caller.inner), index),
        }
    }

    fn inside(&mut self, caller: Option<StackIndex>, frame: FrameIndex) -> End {
        End { inner: Some(self.push(caller, frame)), is_outside: false, is_hidden: false, host: None }
    }

    /// The new stack that takes the place of one with this end.
    fn stack_of(&mut self, end: End) -> StackIndex {
        match end {
            End { host: Some(stack), .. } => stack,
            End { inner: Some(stack), is_hidden: false, .. } => stack,
            End { inner, .. } => self.push_host(inner),
        }
    }

    /// The stack that stands for the host when it is called at the end of another one.
    fn host_below(&mut self, caller: End) -> StackIndex {
        if let Some(stack) = caller.host {
            return stack;
        }
        let trampoline = caller.inner.filter(|_| self.host_frames == HostFrames::None);
        match trampoline.and_then(|stack| self.with_host_time(stack)) {
            Some(stack) => stack,
            None => self.push_host(caller.inner),
        }
    }

    /// A stack that ends with a trampoline, as one whose time is the host's.
    fn with_host_time(&mut self, stack: StackIndex) -> Option<StackIndex> {
        let Stack { caller, frame } = *self.stacks.get_index(stack.index())?;
        let frame = self.frames[frame.index()];
        let function = self.functions[frame.function.index()].clone();
        let library = &self.libraries[function.library.index()];
        if library.layer != Layer::Trampoline {
            return None;
        }
        let host = match self.hosts[function.library.index()] {
            Some(host) => host,
            None => {
                let host = ProfileLibrary { layer: Layer::Host, ..library.clone() };
                self.libraries.push(host);
                let index = LibraryIndex(handle(self.libraries.len() - 1));
                *self.hosts[function.library.index()].insert(index)
            }
        };
        let function = match self.callers[frame.function.index()] {
            Some(function) => function,
            None => {
                self.functions.push(ProfileFunction { library: host, ..function });
                let index = FunctionIndex(handle(self.functions.len() - 1));
                *self.callers[frame.function.index()].insert(index)
            }
        };
        let frame = self.add(Frame { function, ..frame });
        Some(self.push(caller, frame))
    }

    fn push_host(&mut self, caller: Option<StackIndex>) -> StackIndex {
        let function = match self.host {
            Some(function) => function,
            None => {
                self.libraries.push(ProfileLibrary { name: HOST.to_owned(), layer: Layer::Host, component: None });
                let library = LibraryIndex(handle(self.libraries.len() - 1));
                let function = ProfileFunction::without_interface(HOST.to_owned(), library, FunctionKind::Host);
                self.functions.push(ProfileFunction { size: 1, ..function });
                *self.host.insert(FunctionIndex(handle(self.functions.len() - 1)))
            }
        };
        let point = CodePoint::InstructionPointer(TextOffset::new(0));
        let frame = self.add(Frame { function, point, instruction: None, source: None });
        self.push(caller, frame)
    }

    fn add(&mut self, frame: Frame) -> FrameIndex {
        *self.added.entry(frame).or_insert_with(|| {
            self.frames.push(frame);
            FrameIndex(handle(self.frames.len() - 1))
        })
    }

    fn push(&mut self, caller: Option<StackIndex>, frame: FrameIndex) -> StackIndex {
        StackIndex(handle(self.stacks.insert_full(Stack { caller, frame }).0))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::profile::{Dimension, arbitrary};

    /// Names of the frames of each sample's stack, outermost first, after frames of the host were reduced.
    fn stacks(frames: &[(FunctionKind, &str)], host_frames: HostFrames) -> Vec<String> {
        let profile = arbitrary::of_stack(frames).with_host_frames(host_frames);
        let sample = profile.samples().next().expect("a sample");
        let mut names: Vec<String> = profile
            .outwards(sample.stack)
            .map(|stack| {
                let function = &profile.functions[profile.leaf(stack).index()];
                let layer = profile.libraries[function.library.index()].layer;
                format!("{} {}", layer.name(), function.name)
            })
            .collect();
        names.reverse();
        names
    }

    use FunctionKind as Kind;

    const MAIN: (Kind, &str) = (Kind::Host, "main");
    const RUN: (Kind, &str) = (Kind::Entry, "run");
    const GUEST: (Kind, &str) = (Kind::Guest, "guest");
    const WRITE: (Kind, &str) = (Kind::ImportLowering, "write");

    #[test]
    fn stacks_begin_where_the_guest_is_entered() {
        let frames = [MAIN, MAIN, RUN, GUEST];
        for host_frames in [HostFrames::Inner, HostFrames::None] {
            assert_eq!(stacks(&frames, host_frames), ["trampoline run", "guest guest"]);
        }
        assert_eq!(stacks(&frames, HostFrames::All), ["host main", "host main", "trampoline run", "guest guest"]);
        let deep = [MAIN, (Kind::Elided, "elided"), MAIN, RUN, GUEST];
        assert_eq!(stacks(&deep, HostFrames::Inner)[1..], ["trampoline run", "guest guest"]);
    }

    #[test]
    fn what_an_import_calls_is_one_frame_or_none() {
        let frames = [MAIN, RUN, GUEST, WRITE, MAIN, (Kind::Host, "write_all"), (Kind::Host, "memcpy")];
        let begin = ["trampoline run", "guest guest"];
        assert_eq!(stacks(&frames, HostFrames::Inner), [&begin[..], &["trampoline write", "host host"]].concat());
        // The host's time in it, as opposed to that of the trampoline itself.
        assert_eq!(stacks(&frames, HostFrames::None), [&begin[..], &["host write"]].concat());
    }

    #[test]
    fn a_host_that_calls_back_is_between_the_two() {
        let frames = [MAIN, RUN, GUEST, WRITE, MAIN, MAIN, RUN, GUEST];
        let guest = ["trampoline run", "guest guest"];
        let inner = [&guest[..], &["trampoline write", "host host"], &guest].concat();
        assert_eq!(stacks(&frames, HostFrames::Inner), inner);
        assert_eq!(stacks(&frames, HostFrames::None), [&guest[..], &["host write"], &guest].concat());
    }

    #[test]
    fn what_waits_is_told_without_how() {
        let frames = [MAIN, RUN, GUEST, WRITE, MAIN, (Kind::Suspended, "suspended")];
        for host_frames in [HostFrames::Inner, HostFrames::None] {
            let last = stacks(&frames, host_frames).split_off(2);
            assert_eq!(last, ["trampoline write", "host suspended"]);
        }
    }

    #[test]
    fn where_there_is_nothing_but_the_host_it_is_shown() {
        for host_frames in [HostFrames::Inner, HostFrames::None] {
            assert_eq!(stacks(&[MAIN, MAIN], host_frames), ["host host"]);
            // No trampoline has called it.
            assert_eq!(stacks(&[RUN, GUEST, MAIN], host_frames).last().expect("a frame"), "host host");
        }
    }

    proptest! {
        #[test]
        fn nobody_gets_the_time_of_another(profile in arbitrary::profile()) {
            for host_frames in [HostFrames::All, HostFrames::Inner, HostFrames::None] {
                let other = profile.with_host_frames(host_frames);
                for dimension in [
                    Dimension::Interface, Dimension::InterfaceFunction, Dimension::Component, Dimension::Layer,
                    Dimension::Thread,
                ] {
                    let (before, after) = (profile.report(dimension), other.report(dimension));
                    prop_assert_eq!(before.wall, after.wall);
                    let rows = |report: &crate::profile::Report| report.rows.iter()
                        .map(|row| (row.name.clone(), row.own, row.host, row.boundary, row.blocked))
                        .filter(|row| !(row.1 + row.3).is_zero())
                        .collect::<std::collections::BTreeSet<_>>();
                    prop_assert_eq!(rows(&before), rows(&after), "{:?} {:?}", host_frames, dimension);
                }
                // Nothing is left that nobody needs, and indices are in range.
                let mut functions: Vec<usize> = other.frames.iter().map(|frame| frame.function.index()).collect();
                functions.sort_unstable();
                functions.dedup();
                if host_frames != HostFrames::All && profile.other_stacks(host_frames).is_some() {
                    prop_assert_eq!(functions, (0..other.functions.len()).collect::<Vec<_>>());
                }
                for (index, stack) in other.stacks.iter().enumerate() {
                    prop_assert!(stack.caller.is_none_or(|caller| caller.index() < index));
                }
                // Once more changes nothing.
                let again = other.with_host_frames(host_frames);
                prop_assert_eq!(again.stacks.len(), other.stacks.len());
            }
        }
    }
}
