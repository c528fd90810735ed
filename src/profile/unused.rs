//! Takes out of a profile's tables what nothing refers to any more.

use std::mem::take;

use super::symbolize::handle;
use super::tables::{FileIndex, FrameIndex, FunctionIndex, LabelsIndex, LibraryIndex, Profile, StackIndex, TraceIndex};

impl Profile {
    /// The stacks that something was seen with.
    pub(super) fn ends(&mut self) -> impl Iterator<Item = &mut StackIndex> {
        let samples = self.threads.iter_mut().flat_map(|thread| &mut thread.samples);
        let of_samples = samples.map(|sample| &mut sample.stack);
        let of_growths = self.growths.iter_mut().filter_map(|growth| growth.stack.as_mut());
        let calls = self.calls.iter_mut().flat_map(|trace| &mut trace.kept);
        of_samples.chain(of_growths).chain(calls.filter_map(|call| call.stack.as_mut()))
    }

    /// Takes out of the tables what nothing was seen with: stacks, frames, functions, libraries, files and their sources, and
    /// sets of labels. What is left stays in its order.
    pub(super) fn without_unused(&mut self) {
        let mut is_used = vec![false; self.stacks.len()];
        self.ends().for_each(|stack| is_used[stack.index()] = true);
        // Callers come before what they call.
        for (index, stack) in self.stacks.iter().enumerate().rev() {
            if let Some(caller) = stack.caller.filter(|_| is_used[index]) {
                is_used[caller.index()] = true;
            }
        }
        let used = is_used.iter().enumerate().filter(|(_, is_used)| **is_used).map(|(index, _)| index);
        let stacks = kept(&mut self.stacks, used);
        let new = |stack: StackIndex| StackIndex(stacks[stack.index()]);
        self.ends().for_each(|stack| *stack = new(*stack));
        self.stacks.iter_mut().for_each(|stack| stack.caller = stack.caller.map(new));
        let frames = kept(&mut self.frames, self.stacks.iter().map(|stack| stack.frame.index()));
        self.stacks.iter_mut().for_each(|stack| stack.frame = FrameIndex(frames[stack.frame.index()]));
        let functions = kept(&mut self.functions, self.frames.iter().map(|frame| frame.function.index()));
        self.frames.iter_mut().for_each(|frame| frame.function = FunctionIndex(functions[frame.function.index()]));
        let libraries = kept(&mut self.libraries, self.functions.iter().map(|function| function.library.index()));
        self.functions.iter_mut().for_each(|row| row.library = LibraryIndex(libraries[row.library.index()]));
        self.without_unused_files();
        self.without_unused_labels();
    }

    fn without_unused_files(&mut self) {
        let of_functions = self.functions.iter().filter_map(|function| function.file);
        let of_frames = self.frames.iter().filter_map(|frame| frame.source).map(|source| source.file);
        let used: Vec<usize> = of_functions.chain(of_frames).map(FileIndex::index).collect();
        let mut is_used = vec![false; self.files.len()];
        used.iter().for_each(|file| is_used[*file] = true);
        let files = kept(&mut self.files, used.into_iter());
        let new = |file: FileIndex| FileIndex(files[file.index()]);
        self.functions.iter_mut().for_each(|function| function.file = function.file.map(new));
        let of_frames = self.frames.iter_mut().filter_map(|frame| frame.source.as_mut());
        of_frames.for_each(|source| source.file = new(source.file));
        let sources = take(&mut self.sources).into_iter().filter(|(file, _)| is_used[file.index()]);
        self.sources = sources.map(|(file, text)| (new(file), text)).collect();
    }

    fn without_unused_labels(&mut self) {
        let of_samples = self.samples().map(|sample| sample.labels.index());
        // The first is the empty one.
        let used: Vec<usize> = std::iter::once(0).chain(of_samples).collect();
        let labels = kept(&mut self.labels, used.into_iter());
        let samples = self.threads.iter_mut().flat_map(|thread| &mut thread.samples);
        samples.for_each(|sample| sample.labels = LabelsIndex(labels[sample.labels.index()]));
        let used: Vec<usize> = std::iter::once(0).chain(self.samples().map(|sample| sample.trace.index())).collect();
        let traces = kept(&mut self.traces, used.into_iter());
        let samples = self.threads.iter_mut().flat_map(|thread| &mut thread.samples);
        samples.for_each(|sample| sample.trace = TraceIndex(traces[sample.trace.index()]));
    }
}

/// Drops the rows that are not used, and says where each of the others has gone.
pub(super) fn kept<T>(rows: &mut Vec<T>, used: impl Iterator<Item = usize>) -> Vec<u32> {
    let mut is_used = vec![false; rows.len()];
    used.for_each(|index| is_used[index] = true);
    let mut next = 0;
    let gone_to = is_used.iter().map(|is_used| {
        let here = next;
        next += usize::from(*is_used);
        handle(here)
    });
    let gone_to = gone_to.collect();
    let mut is_used = is_used.into_iter();
    rows.retain(|_| is_used.next().unwrap_or(false));
    gone_to
}
