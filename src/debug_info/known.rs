//! Answers that were given: a service asks for the same hot instructions again and again.

use std::sync::Arc;

use rustc_hash::{FxHashMap, FxHashSet};

use super::SourceFrame;
use super::share::Share;
use crate::address::WasmOffset;

/// Answers, at most one for each instruction.
#[derive(Default)]
pub(super) struct Known {
    frames: FxHashMap<WasmOffset, Arc<[SourceFrame]>>,
    /// What they have in common: names and paths.
    texts: FxHashSet<Arc<str>>,
    /// About as many bytes as all of it takes.
    share: Share,
}

/// When the answers of a map take more bytes than this, or all that is kept has no room for more, they are forgotten.
const MAX_KNOWN: usize = 64 << 20;

/// What an entry of a table takes beside what is in it.
const PER_ENTRY: usize = 64;

/// Longer names and paths are cut: a few kilobytes of debug info could ask for any number of them.
pub(super) const MAX_TEXT: usize = 4096;

impl Known {
    pub(super) fn frames(&self, instruction: WasmOffset) -> Option<Arc<[SourceFrame]>> {
        self.frames.get(&instruction).cloned()
    }

    pub(super) fn keep(&mut self, instruction: WasmOffset, frames: &Arc<[SourceFrame]>) {
        if self.frames.contains_key(&instruction) {
            // Another profile has asked for the same at the same time.
            return;
        }
        if self.make_room(size_of_val::<[SourceFrame]>(frames) + PER_ENTRY) {
            self.frames.insert(instruction, Arc::clone(frames));
        }
    }

    /// A text that is shared with others that are equal.
    pub(super) fn text(&mut self, text: &str) -> Arc<str> {
        let text = &text[..text.floor_char_boundary(MAX_TEXT)];
        match self.texts.get(text) {
            Some(known) => Arc::clone(known),
            None => {
                let has_room = self.make_room(text.len() + PER_ENTRY);
                let text: Arc<str> = text.into();
                self.texts.extend(has_room.then(|| Arc::clone(&text)));
                text
            }
        }
    }

    /// Forgets what was answered if there is no room for so many more bytes. Whether there is any then.
    fn make_room(&mut self, bytes: usize) -> bool {
        if self.share.bytes() + bytes <= MAX_KNOWN && self.share.grow(bytes) {
            return true;
        }
        self.forget();
        self.share.grow(bytes)
    }

    fn forget(&mut self) {
        self.frames = FxHashMap::default();
        self.texts = FxHashSet::default();
        self.share.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_counts_once_and_all_of_them_have_a_limit() {
        let mut known = Known { share: Share::alone(), ..Known::default() };
        let frame = SourceFrame { function: Some(known.text("f")), location: None };
        let frames: Arc<[SourceFrame]> = vec![frame; 10_000].into();
        let instruction = WasmOffset::new;
        known.keep(instruction(0), &frames);
        let bytes = known.share.bytes();
        known.keep(instruction(0), &frames);
        assert_eq!(known.share.bytes(), bytes);
        let per_answer = size_of_val::<[SourceFrame]>(&frames);
        let limit = MAX_KNOWN / per_answer;
        for number in 1..300 {
            known.keep(instruction(number), &frames);
            assert_eq!(known.frames(instruction(number)).as_deref(), Some(&*frames));
            assert!(known.frames.len() <= limit && known.share.bytes() <= MAX_KNOWN, "{number}");
        }
        assert!(300 > limit && known.frames(instruction(0)).is_none());
        // Others have left no room at all.
        let mut others = Share::beside(&known.share);
        assert!(others.grow(Share::MAX - known.share.bytes()));
        known.keep(instruction(1000), &frames);
        assert_eq!(known.frames.len(), 1);
        known.forget();
        assert!(others.grow(Share::MAX - others.bytes()));
        known.keep(instruction(1000), &frames);
        assert!(known.frames.is_empty() && known.share.bytes() == 0);
        assert_eq!(known.text(&"é".repeat(MAX_TEXT)).len(), MAX_TEXT);
    }
}
