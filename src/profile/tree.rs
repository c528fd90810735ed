//! The samples of a profile as a call tree: what a flame graph draws.

use std::time::Duration;

use indexmap::IndexMap;
use rustc_hash::FxBuildHasher;

use super::attribution::{Attribution, CrossingId, Part};
use super::crossing::Crossing;
use super::report::{Dimension, NO_INTERFACE, UNKNOWN_INTERFACE};
use super::tables::{FunctionIndex, LibraryIndex, Profile, Sample, SourceLine, StackIndex};
#[cfg(any(feature = "html", feature = "svg"))]
use crate::symbols::Layer;

/// What a node of a tree is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Label {
    /// The root.
    All,
    Crossing(CrossingId),
    /// Frames that were left out, and the crossings that they made.
    Unknown,
    Library(LibraryIndex),
    Function(FunctionIndex),
    /// Of a function; the column is left out.
    Line(FunctionIndex, SourceLine),
    /// Boundary time of the crossing above.
    Boundary,
    /// Time off the CPU, of the crossing above.
    Blocked,
    /// Time in which it was ready to run and had no CPU.
    Preempted,
}

/// A call tree. A node comes after its parent.
pub(crate) struct Tree<'p> {
    pub(crate) profile: &'p Profile,
    attribution: Attribution<'p>,
    dimension: Dimension,
    /// By parent and label: the node's own wall-clock time. The root is its own parent.
    nodes: IndexMap<(u32, Label), Duration, FxBuildHasher>,
    /// By stack: its node.
    of_stack: Vec<u32>,
}

impl<'p> Tree<'p> {
    /// The tree of all stacks by `dimension`, which is interface (or interface function, which is the same), library, line, or
    /// else function; without their samples.
    pub(crate) fn without_samples(profile: &'p Profile, dimension: Dimension) -> Self {
        let attribution = Attribution::new(profile);
        let nodes = IndexMap::from_iter([((0, Label::All), Duration::ZERO)]);
        let mut tree = Self { profile, attribution, dimension, nodes, of_stack: Vec::new() };
        tree.of_stack.reserve(profile.stacks.len());
        for (index, stack) in (0..).zip(&profile.stacks) {
            let parent = stack.caller.map_or(0, |caller| tree.of_stack[caller.index()]);
            let node = tree.label_of(StackIndex(index)).map_or(parent, |label| tree.child(parent, label));
            tree.of_stack.push(node);
        }
        tree
    }

    /// The tree of all samples.
    pub(crate) fn new(profile: &'p Profile, dimension: Dimension) -> Self {
        let mut tree = Self::without_samples(profile, dimension);
        for sample in profile.samples() {
            tree.add(sample);
        }
        tree
    }

    fn add(&mut self, sample: &Sample) {
        if !self.is_by_interface() {
            self.nodes[self.of_stack[sample.stack.index()] as usize] += sample.wall;
            return;
        }
        for (node, time) in self.parts_of(sample) {
            self.nodes[node as usize] += time;
        }
    }

    /// The nodes that a sample's wall-clock time is in, and how much of it: by interface, some may be blocked, and some preempted.
    pub(crate) fn parts_of(&mut self, sample: &Sample) -> impl Iterator<Item = (u32, Duration)> + use<> {
        let node = self.node_of(sample.stack);
        let mut parts = [(node, sample.wall), (node, Duration::ZERO), (node, Duration::ZERO)];
        if self.is_by_interface() && self.label(node) != Label::Boundary {
            let blocked = sample.wall.saturating_sub(sample.cpu).saturating_sub(sample.preempted);
            for (at, (label, time)) in (1..).zip([(Label::Blocked, blocked), (Label::Preempted, sample.preempted)]) {
                if !time.is_zero() {
                    parts[at] = (self.child(node, label), time);
                    parts[0].1 = parts[0].1.saturating_sub(time);
                }
            }
        }
        parts.into_iter().filter(|(_, time)| !time.is_zero())
    }

    /// The node of a sample with this stack.
    pub(crate) fn node_of(&mut self, stack: StackIndex) -> u32 {
        let node = self.of_stack[stack.index()];
        if self.is_by_interface() && self.attribution.part(stack) == Part::Boundary {
            return self.child(node, Label::Boundary);
        }
        node
    }

    fn is_by_interface(&self) -> bool {
        matches!(self.dimension, Dimension::Interface | Dimension::InterfaceFunction)
    }

    /// What the innermost frame of a stack adds to the tree.
    fn label_of(&self, stack: StackIndex) -> Option<Label> {
        if self.is_by_interface() {
            let crossed = self.attribution.crossing_here(stack)?;
            return Some(crossed.what.map_or(Label::Unknown, Label::Crossing));
        }
        let function = self.profile.leaf(stack);
        if self.dimension == Dimension::Line
            && let Some(source) = self.profile.innermost(stack).source
        {
            return Some(Label::Line(function, SourceLine { column: None, ..source }));
        }
        if self.dimension != Dimension::Library {
            return Some(Label::Function(function));
        }
        let library = |function: FunctionIndex| self.profile.functions[function.index()].library;
        let caller = self.profile.stacks[stack.index()].caller.map(|caller| library(self.profile.leaf(caller)));
        Some(library(function)).filter(|library| caller != Some(*library)).map(Label::Library)
    }

    fn child(&mut self, parent: u32, label: Label) -> u32 {
        let entry = self.nodes.entry((parent, label));
        let index = entry.index();
        entry.or_insert(Duration::ZERO);
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    /// All nodes: parent, label, and own time. The first is the root, its own parent, which has the time of samples without
    /// any label.
    pub(crate) fn nodes(&self) -> impl ExactSizeIterator<Item = (u32, Label, Duration)> {
        self.nodes.iter().map(|((parent, label), own)| (*parent, *label, *own))
    }

    /// What a node is.
    pub(crate) fn label(&self, node: u32) -> Label {
        self.nodes.get_index(node as usize).map_or(Label::All, |((_, label), _)| *label)
    }

    /// A node and those around it, innermost first. The root is shown only where there is nothing else, or nothing but
    /// its boundary, blocked or preempted time.
    pub(crate) fn path(&self, node: u32) -> impl Iterator<Item = u32> {
        let parent = |at: u32| self.nodes.get_index(at as usize).map_or(0, |((parent, _), _)| *parent);
        let is_kept = move |at: u32, inner: Label| {
            at != 0 || matches!(inner, Label::All | Label::Boundary | Label::Blocked | Label::Preempted)
        };
        std::iter::successors(Some(node), move |at| {
            Some(parent(*at)).filter(|outer| *at != 0 && is_kept(*outer, self.label(*at)))
        })
    }

    /// What a reader calls a node. Mostly chosen by the guest: escape it.
    pub(crate) fn name(&self, label: Label) -> String {
        match label {
            Label::All => NO_INTERFACE.to_owned(),
            Label::Crossing(crossing) => {
                let crossing = self.attribution.get(crossing);
                format!("{} [{}]", crossing.function, crossing.interface_name())
            }
            Label::Unknown => UNKNOWN_INTERFACE.to_owned(),
            Label::Library(library) => self.profile.libraries[library.index()].name.clone(),
            Label::Function(function) => {
                self.profile.shown_name(&self.profile.functions[function.index()]).into_owned()
            }
            Label::Line(function, source) => {
                let function = &self.profile.functions[function.index()];
                format!("{} ({})", self.profile.shown_name(function), self.profile.line_name(source))
            }
            Label::Boundary => "(boundary)".to_owned(),
            Label::Blocked => "(blocked)".to_owned(),
            Label::Preempted => "(preempted)".to_owned(),
        }
    }

    /// The interface function of a node, where it is one.
    pub(crate) fn crossing(&self, label: Label) -> Option<&Crossing> {
        match label {
            Label::Crossing(crossing) => Some(self.attribution.get(crossing)),
            _ => None,
        }
    }

    /// The layer of a node, where it has one.
    #[cfg(any(feature = "html", feature = "svg"))]
    pub(crate) fn layer(&self, label: Label) -> Option<Layer> {
        let library = match label {
            Label::Library(library) => library,
            Label::Function(function) | Label::Line(function, _) => self.profile.functions[function.index()].library,
            Label::All | Label::Crossing(_) | Label::Unknown | Label::Boundary | Label::Blocked | Label::Preempted => {
                return None;
            }
        };
        Some(self.profile.libraries[library.index()].layer)
    }
}
