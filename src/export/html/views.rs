//! Call trees, of which the page draws flame graphs.

use std::time::Duration;

use serde::Serialize;

use super::Strings;
use super::steps::{Series, Sums};
use crate::export::microseconds;
use crate::nanos::nanos;
use crate::profile::{Dimension, FunctionIndex, Label, Profile, Tree};
use crate::symbols::{FunctionKind, Layer};

/// Nodes of a tree that stand for less than this share of the time are summed up.
const SMALLEST_SHARE: f64 = 1.0 / 20_000.0;

/// The most nodes of one tree.
const MAX_NODES: usize = 30_000;

/// What a node of a tree may be.
pub(super) const KINDS: [&str; 10] =
    ["guest", "adapter", "trampoline", "host", "boundary", "blocked", "interface", "other", "preempted", "script"];

const KIND_OTHER: usize = 7;

#[derive(Serialize)]
pub(super) struct Views<'p> {
    interface: View<'p>,
    library: View<'p>,
    function: View<'p>,
    /// If there are lines of source code.
    line: Option<View<'p>>,
}

/// A call tree by columns. Node 0 is the root; a parent comes before its children.
#[derive(Serialize, Default)]
struct View<'p> {
    parent: Vec<i64>,
    /// Positions in `strings`.
    name: Vec<usize>,
    /// Positions in `strings`, or -1.
    library: Vec<i64>,
    /// Positions in `kinds`.
    kind: Vec<usize>,
    /// Own time in microseconds.
    #[serde(rename = "self")]
    own: Vec<u64>,
    /// Own time by node and step.
    by_step: Series,
    /// The whole tree, and where each of its nodes went.
    #[serde(skip)]
    whole: Option<(Tree<'p>, Vec<usize>)>,
}

impl<'p> Views<'p> {
    /// All views, as yet without times by step.
    pub(super) fn new(profile: &'p Profile, strings: &mut Strings) -> Self {
        let mut view = |dimension| View::new(Tree::new(profile, dimension), profile.wall_time(), strings);
        Self {
            interface: view(Dimension::Interface),
            library: view(Dimension::Library),
            function: view(Dimension::Function),
            line: has_lines(profile).then(|| view(Dimension::Line)),
        }
    }

    fn all(&mut self) -> impl Iterator<Item = &mut View<'p>> {
        [&mut self.interface, &mut self.library, &mut self.function].into_iter().chain(&mut self.line)
    }

    pub(super) fn series(&mut self) -> impl Iterator<Item = &mut Series> {
        self.all().map(|view| &mut view.by_step)
    }

    /// Adds the samples of a step.
    pub(super) fn add(&mut self, sums: &Sums) {
        self.all().for_each(|view| view.add(sums));
    }
}

pub(super) fn has_lines(profile: &Profile) -> bool {
    profile.frames().iter().any(|frame| frame.source.is_some())
}

/// The tree with small nodes summed up, and where each of its nodes went.
fn reduce(tree: &Tree<'_>, wall: Duration, strings: &mut Strings) -> (View<'static>, Vec<usize>) {
    let nodes: Vec<(u32, Label, Duration)> = tree.nodes().collect();
    let mut totals: Vec<Duration> = nodes.iter().map(|(_, _, own)| *own).collect();
    for (index, (parent, _, _)) in nodes.iter().enumerate().skip(1).rev() {
        let total = totals[index];
        totals[*parent as usize] += total;
    }
    let mut smallest = wall.mul_f64(SMALLEST_SHARE);
    if totals.len() > MAX_NODES {
        let mut sorted = totals.clone();
        sorted.sort_unstable_by(|a, b| b.cmp(a));
        smallest = smallest.max(sorted[MAX_NODES] + Duration::from_nanos(1));
    }
    let mut out = View::default();
    // Small nodes become one below their parent.
    let mut new_index: Vec<usize> = Vec::with_capacity(nodes.len());
    let mut others: Vec<Option<usize>> = vec![None; nodes.len()];
    for (index, (parent, label, own)) in nodes.iter().enumerate() {
        let parent_is_other = index > 0 && totals[*parent as usize] < smallest;
        let at = if index == 0 {
            out.push(-1, strings.add("all"), -1, KIND_OTHER)
        } else if totals[index] >= smallest {
            let (library, kind) = library_and_kind(tree, *label);
            let library = library.map_or(-1, |name| i64::try_from(strings.add(name)).unwrap_or(-1));
            let name = strings.add(&tree.name(*label));
            out.push(new_index[*parent as usize].try_into().unwrap_or(-1), name, library, kind)
        } else if parent_is_other {
            new_index[*parent as usize]
        } else {
            let parent = *parent as usize;
            let below = new_index[parent];
            *others[parent].get_or_insert_with(|| {
                let name = strings.add("(smaller)");
                out.push(below.try_into().unwrap_or(-1), name, -1, KIND_OTHER)
            })
        };
        new_index.push(at);
        out.own[at] += microseconds(*own);
    }
    (out, new_index)
}

fn library_and_kind<'p>(tree: &Tree<'p>, label: Label) -> (Option<&'p str>, usize) {
    let of_layer = |layer: Option<Layer>| layer.map_or(KIND_OTHER, kind_of_layer);
    let function = |function: FunctionIndex| &tree.profile.functions()[function.index()];
    match label {
        Label::Function(index) if function(index).kind == FunctionKind::Suspended => (None, 5),
        Label::Function(index) | Label::Line(index, _) => {
            let library = &tree.profile.libraries()[function(index).library.index()];
            (Some(library.name.as_str()), kind_of_layer(library.layer))
        }
        Label::Library(_) => (None, of_layer(tree.layer(label))),
        Label::Crossing(_) => (None, 6),
        Label::Boundary => (None, 4),
        Label::Blocked => (None, 5),
        Label::Preempted => (None, 8),
        Label::All | Label::Unknown => (None, KIND_OTHER),
    }
}

/// The position of a layer among the kinds of nodes.
fn kind_of_layer(layer: Layer) -> usize {
    match layer {
        Layer::Guest => 0,
        Layer::Adapter => 1,
        Layer::Trampoline => 2,
        Layer::Host => 3,
        Layer::Script => 9,
    }
}

impl<'p> View<'p> {
    fn new(tree: Tree<'p>, wall: Duration, strings: &mut Strings) -> Self {
        let (out, new_index) = reduce(&tree, wall, strings);
        View { by_step: Series::new(out.own.len()), whole: Some((tree, new_index)), ..out }
    }

    /// Adds the samples of a step.
    fn add(&mut self, sums: &Sums) {
        let Some((tree, new_index)) = &mut self.whole else { return };
        for sample in sums.samples() {
            // Part of a sample goes where the sample goes, so no node is new.
            for (node, time) in tree.parts_of(&sample) {
                if let Some(node) = new_index.get(node as usize) {
                    self.by_step.add(*node, nanos(time));
                }
            }
        }
    }

    fn push(&mut self, parent: i64, name: usize, library: i64, kind: usize) -> usize {
        self.parent.push(parent);
        self.name.push(name);
        self.library.push(library);
        self.kind.push(kind);
        self.own.push(0);
        self.own.len() - 1
    }
}
