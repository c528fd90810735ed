//! The file format of speedscope (<https://www.speedscope.app/file-format-schema.json>).

use std::collections::HashMap;
use std::io::Write;

use indexmap::IndexSet;
use rustc_hash::FxBuildHasher;
use serde::{Serialize, Serializer};

use super::escape::escape_control;
use crate::error::{Error, Result};
use crate::nanos::nanos;
use crate::profile::{Dimension, ELIDED, Label, Profile, Tree};
use crate::symbols::Layer;

/// Writes `profile` for speedscope, as JSON: a profile for each thread, with its samples in order of time and the nanoseconds of
/// wall-clock time that each stands for. The one that is shown first is the busiest. Frames are interface functions,
/// libraries, functions or lines, as in [`write_folded`](super::write_folded); a function's file is that of its source, or
/// else its library, and where the line is known, it has that, too. Functions of the same name have their library behind it, and those
/// that agree in all of that are one. Speedscope has no place for time in which no guest was active
/// on a thread, nor for the profiler's own work: both are left out. Names are escaped as [`escape_control`] does.
///
/// The format has the whole stack in each sample. So that files do not grow without bounds, stacks of more than 512 frames have
/// their outermost 256 and innermost 256, with a frame `(frames left out)` between.
///
/// Frames of the host are those of `profile`: [`Profile::with_host_frames`] says how many it has.
///
/// # Errors
/// [`Error::Write`] if `out` cannot be written to.
pub fn write_speedscope(profile: &Profile, by: Dimension, out: &mut dyn Write) -> Result<()> {
    let document = Document::new(profile, by);
    let written = serde_json::to_writer(&mut *out, &document.file()).map_err(std::io::Error::from);
    written.and_then(|()| writeln!(out)).map_err(|source| Error::Write { format: "speedscope", source })
}

/// How many frames of a deep stack there are on each side of what is left out, as in what the recorder itself keeps.
const HALF: usize = 256;

/// What is in a file, by nodes of a tree.
struct Document<'p> {
    profile: &'p Profile,
    tree: Tree<'p>,
    /// By node: its frame.
    frame_of_node: Vec<u32>,
    /// By node: how many are around it but the root, with itself, and the outermost [`HALF`] of them end with which.
    depth_of_node: Vec<(usize, u32)>,
    /// What stands for frames that are left out, if any are.
    elided: Option<u32>,
    frames: Vec<SharedFrame>,
    threads: Vec<Samples>,
}

/// The samples of a thread: nodes, and nanoseconds. The same node comes once in a row.
#[derive(Default)]
struct Samples {
    name: String,
    nodes: Vec<u32>,
    weights: Vec<u64>,
}

#[derive(Serialize)]
struct File<'d> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    exporter: &'static str,
    name: String,
    #[serde(rename = "activeProfileIndex")]
    active_profile_index: usize,
    shared: Shared<'d>,
    profiles: Vec<SampledProfile<'d>>,
}

#[derive(Serialize)]
struct Shared<'d> {
    frames: &'d [SharedFrame],
}

#[derive(Serialize, PartialEq, Eq, Hash)]
struct SharedFrame {
    name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u32>,
    /// Goes behind the name where that is needed.
    #[serde(skip)]
    library: Option<String>,
}

#[derive(Serialize)]
struct SampledProfile<'d> {
    r#type: &'static str,
    name: &'d str,
    unit: &'static str,
    #[serde(rename = "startValue")]
    start_value: u64,
    #[serde(rename = "endValue")]
    end_value: u64,
    samples: Stacks<'d>,
    weights: &'d [u64],
}

/// The stacks of samples, each made when it is written: all of them would take much more memory than the profile.
struct Stacks<'d> {
    document: &'d Document<'d>,
    nodes: &'d [u32],
}

impl Serialize for Stacks<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        serializer.collect_seq(self.nodes.iter().map(|node| self.document.stack(*node)))
    }
}

impl<'p> Document<'p> {
    fn new(profile: &'p Profile, by: Dimension) -> Self {
        let mut tree = Tree::without_samples(profile, by);
        let threads = profile.threads().iter().enumerate().filter(|(_, thread)| !thread.samples.is_empty());
        let threads = threads.map(|(index, thread)| {
            let name = format!("{}: {}", profile.name(), profile.distinct_thread_name(index));
            let name = escape_control(&name).into_owned();
            let mut samples = Samples { name, ..Samples::default() };
            for (node, time) in thread.samples.iter().flat_map(|sample| tree.parts_of(sample)) {
                samples.add(node, nanos(time));
            }
            samples
        });
        let mut threads: Vec<Samples> = threads.collect();
        if threads.is_empty() {
            // Speedscope takes a file without profiles for one of something else.
            let name = escape_control(profile.name()).into_owned();
            threads.push(Samples { name, ..Samples::default() });
        }
        // What a reader cannot tell apart is the same frame, so that it is added up.
        let mut frames = IndexSet::<SharedFrame, FxBuildHasher>::default();
        let mut of_label = HashMap::<Label, u32, FxBuildHasher>::default();
        let mut frame_of = |label| u32::try_from(frames.insert_full(frame(&tree, label)).0).unwrap_or(u32::MAX);
        let frame_of_node =
            tree.nodes().map(|(_, label, _)| *of_label.entry(label).or_insert_with(|| frame_of(label))).collect();
        let mut depth_of_node: Vec<(usize, u32)> = vec![(0, 0)];
        for ((parent, _, _), node) in tree.nodes().zip(0..).skip(1) {
            let (depth, outer) = depth_of_node[parent as usize];
            depth_of_node.push((depth + 1, if depth < HALF { node } else { outer }));
        }
        let is_deep = |node: &u32| depth_of_node[*node as usize].0 > 2 * HALF;
        let elided = threads.iter().flat_map(|thread| &thread.nodes).any(is_deep).then(|| {
            // The recorder's own is the same.
            let [library, name] = [ELIDED.0, ELIDED.1].map(str::to_owned);
            let frame = SharedFrame { name, file: Some(library.clone()), line: None, library: Some(library) };
            u32::try_from(frames.insert_full(frame).0).unwrap_or(u32::MAX)
        });
        Self { profile, frame_of_node, depth_of_node, elided, frames: told_apart(frames), tree, threads }
    }

    fn file(&self) -> File<'_> {
        let profiles = self.threads.iter().map(|thread| SampledProfile {
            r#type: "sampled",
            name: &thread.name,
            unit: "nanoseconds",
            start_value: 0,
            end_value: thread.time(),
            samples: Stacks { document: self, nodes: &thread.nodes },
            weights: &thread.weights,
        });
        let busiest = self.threads.iter().enumerate().rev().max_by_key(|(_, thread)| thread.time());
        File {
            schema: "https://www.speedscope.app/file-format-schema.json",
            exporter: concat!("witprof ", env!("CARGO_PKG_VERSION")),
            name: escape_control(self.profile.name()).into_owned(),
            active_profile_index: busiest.map_or(0, |(index, _)| index),
            shared: Shared { frames: &self.frames },
            profiles: profiles.collect(),
        }
    }

    /// The frames of a node, outermost first.
    fn stack(&self, node: u32) -> Vec<u32> {
        let frames = |node| self.tree.path(node).map(|node| self.frame_of_node[node as usize]);
        let mut stack: Vec<u32> = match (self.elided, self.depth_of_node[node as usize]) {
            (Some(elided), (depth, outer)) if depth > 2 * HALF => {
                frames(node).take(HALF).chain([elided]).chain(frames(outer)).collect()
            }
            _ => frames(node).collect(),
        };
        stack.reverse();
        stack
    }
}

impl Samples {
    fn add(&mut self, node: u32, weight: u64) {
        match (self.nodes.last(), self.weights.last_mut()) {
            (Some(last), Some(sum)) if *last == node => *sum = sum.saturating_add(weight),
            _ => {
                self.nodes.push(node);
                self.weights.push(weight);
            }
        }
    }

    fn time(&self) -> u64 {
        self.weights.iter().fold(0, |sum, weight| sum.saturating_add(*weight))
    }
}

/// Puts the library behind names that come more than once.
fn told_apart(frames: IndexSet<SharedFrame, FxBuildHasher>) -> Vec<SharedFrame> {
    let mut counts = HashMap::<String, u32, FxBuildHasher>::default();
    for frame in &frames {
        *counts.entry(frame.name.clone()).or_default() += 1;
    }
    let with_library = |mut frame: SharedFrame| {
        if let (Some(2..), Some(library)) = (counts.get(&frame.name), &frame.library) {
            frame.name = format!("{} [{library}]", frame.name);
        }
        frame
    };
    frames.into_iter().map(with_library).collect()
}

fn frame(tree: &Tree<'_>, label: Label) -> SharedFrame {
    let profile = tree.profile;
    let function = match label {
        Label::Line(function, _) | Label::Function(function) => Some(&profile.functions()[function.index()]),
        _ => None,
    };
    let library = function.map(|function| &profile.libraries()[function.library.index()]);
    let (file, line) = match (label, function) {
        (Label::Line(_, source), _) => (Some(profile.file(source.file)), Some(source.line)),
        (_, Some(function)) => {
            (function.file.map(|file| profile.file(file)).or(library.map(|library| library.name.as_str())), None)
        }
        _ => (None, None),
    };
    // Those of other layers have it in their names.
    let library = library.filter(|library| matches!(library.layer, Layer::Script | Layer::Guest | Layer::Host));
    let library = library.map(|library| escape_control(&library.name).into_owned());
    let name = match escape_control(&tree.name(label)).into_owned() {
        name if name.is_empty() => "(no name)".to_owned(),
        name => name,
    };
    SharedFrame { name, file: file.map(|file| escape_control(file).into_owned()), line, library }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::profile::arbitrary;
    use crate::symbols::FunctionKind;
    use proptest::prelude::*;
    use serde_json::Value;

    fn dimension() -> impl Strategy<Value = Dimension> {
        prop_oneof![
            Just(Dimension::Interface),
            Just(Dimension::Library),
            Just(Dimension::Function),
            Just(Dimension::Line)
        ]
    }

    /// The names of the frames of the only sample, which has a stack of so many.
    fn names_of_stack(depth: usize) -> Vec<String> {
        let names: Vec<String> = (0..depth).map(|number| format!("f{number}")).collect();
        let frames: Vec<_> = names.iter().map(|name| (FunctionKind::Guest, name.as_str())).collect();
        let mut written = Vec::new();
        write_speedscope(&arbitrary::of_stack(&frames), Dimension::Function, &mut written).expect("writing to memory");
        let file: Value = serde_json::from_slice(&written).expect("JSON");
        let [stack] = &file["profiles"][0]["samples"].as_array().expect("samples")[..] else { panic!("{file}") };
        let stack = stack.as_array().expect("a stack").iter().map(|frame| frame.as_u64().expect("an index"));
        let names = stack.map(|frame| &file["shared"]["frames"][usize::try_from(frame).expect("few")]["name"]);
        names.map(|name| name.as_str().expect("a name").to_owned()).collect()
    }

    #[test]
    fn the_middle_of_deep_stacks_is_left_out() {
        let names = |range: std::ops::Range<usize>| range.map(|number| format!("f{number}"));
        for depth in [1, 255, 256, 257, 512] {
            assert!(names_of_stack(depth).into_iter().eq(names(0..depth)), "{depth}");
        }
        for depth in [513, 514, 2000] {
            let expected = names(0..256).chain(["(frames left out)".to_owned()]).chain(names(depth - 256..depth));
            assert!(names_of_stack(depth).into_iter().eq(expected), "{depth}");
        }
    }

    proptest! {
        #[test]
        fn all_time_is_in_a_stack_of_named_frames(profile in arbitrary::profile(), by in dimension()) {
            let mut written = Vec::new();
            write_speedscope(&profile, by, &mut written).expect("writing to memory");
            let file: Value = serde_json::from_slice(&written).expect("JSON");
            let array = |value: &Value| value.as_array().expect("an array").clone();
            let frames = array(&file["shared"]["frames"]);
            let is_safe = |name: &str| !name.is_empty() && name == escape_control(name);
            prop_assert!(frames.iter().all(|frame| frame["name"].as_str().is_some_and(is_safe)));
            let profiles = array(&file["profiles"]);
            prop_assert!(usize::try_from(file["activeProfileIndex"].as_u64().expect("an index"))? < profiles.len());
            let mut time = 0;
            for thread in &profiles {
                let (samples, weights) = (array(&thread["samples"]), array(&thread["weights"]));
                prop_assert_eq!(samples.len(), weights.len());
                for stack in samples {
                    let stack = array(&stack);
                    prop_assert!(!stack.is_empty());
                    for frame in stack {
                        prop_assert!(usize::try_from(frame.as_u64().expect("an index"))? < frames.len());
                    }
                }
                let sum: u64 = weights.iter().map(|weight| weight.as_u64().expect("nanoseconds")).sum();
                prop_assert_eq!(Some(sum), thread["endValue"].as_u64());
                time += sum;
            }
            prop_assert_eq!(Duration::from_nanos(time), profile.wall_time());
        }
    }
}
