//! What is kept of the debug info of real guests, and what is answered with it.

use std::sync::atomic::{AtomicUsize, Ordering};

use wasmtime::component::Component;
use wasmtime::{Config, Engine, WasmBacktraceDetails};

use super::*;
use crate::SymbolMap;
use crate::symbols::Layer;

/// A WebAssembly binary that counts how often it is looked at.
struct Counted {
    bytes: Vec<u8>,
    looks: Arc<AtomicUsize>,
}

impl AsRef<[u8]> for Counted {
    fn as_ref(&self) -> &[u8] {
        self.looks.fetch_add(1, Ordering::Relaxed);
        &self.bytes
    }
}

const GUESTS: [&str; 4] = ["hot-c.wasm", "hot-rust.wasm", "half-lines.wasm", "hot-c-stale.wasm"];

/// A guest, with debug info in its binary or in the image.
struct Guest {
    map: SymbolMap,
    code: Code,
    looks: Arc<AtomicUsize>,
}

impl Guest {
    fn new(name: &str, in_image: bool) -> Self {
        let path = format!("{}/tests/guests/{name}", env!("CARGO_MANIFEST_DIR"));
        let bytes = std::fs::read(path).expect("the guest");
        let mut config = Config::new();
        if in_image {
            config.wasm_backtrace_details(WasmBacktraceDetails::Enable);
        }
        let engine = Engine::new(&config).expect("an engine");
        let code: Code = if wasmparser::Parser::is_component(&bytes) {
            Component::new(&engine, &bytes).expect("a component").into()
        } else {
            wasmtime::Module::new(&engine, &bytes).expect("a module").into()
        };
        let looks = Arc::new(AtomicUsize::new(0));
        let map = SymbolMap::builder(name);
        let counted = Counted { bytes, looks: Arc::clone(&looks) };
        let map = if in_image { map } else { map.debug_info(counted) };
        Self { map: map.build(&code).expect("a map"), code, looks }
    }

    fn info(&self) -> &DebugInfo {
        self.map.debug_info().expect("wanted").expect("debug info")
    }

    /// Some instructions from everywhere.
    fn instructions(&self) -> Vec<WasmOffset> {
        let ranges = self.code.instruction_ranges().expect("an address map");
        let functions = self.map.functions().filter(|function| function.layer() == Layer::Guest);
        let all = functions.flat_map(|function| {
            ranges.ranges_in((function.offset(), function.size())).map(|(_, wasm)| wasm).collect::<Vec<_>>()
        });
        let mut all: Vec<WasmOffset> = all.collect();
        all.sort_unstable();
        all.dedup();
        let step = all.len() / 400 + 1;
        all.into_iter().step_by(step).collect()
    }

    /// What is answered if nothing is kept.
    fn forgetful(&self, instruction: WasmOffset) -> Arc<[SourceFrame]> {
        let info = self.info();
        *lock(&info.known) = Known::default();
        info.modules.iter().for_each(|module| *lock(&module.kept) = Kept::Closed);
        info.lines(Some(&self.code)).expect("its code is there").at(instruction)
    }
}

#[test]
fn what_is_kept_changes_no_answer() {
    for (name, in_image) in GUESTS.into_iter().flat_map(|name| [(name, false), (name, true)]) {
        let (keeps, forgets) = (Guest::new(name, in_image), Guest::new(name, in_image));
        let instructions = keeps.instructions();
        let all_lines = forgets.info().all_lines(&forgets.code);
        let expected: Vec<_> = instructions.iter().map(|instruction| forgets.forgetful(*instruction)).collect();
        for (instruction, frames) in instructions.iter().zip(&expected) {
            if let Some((_, line)) = all_lines.at(*instruction) {
                let found = frames.first().and_then(|frame| Some(frame.location.as_ref()?.line));
                assert_eq!(found, Some(line), "{name} {instruction:?}");
            }
        }
        let has_lines = expected.iter().any(|frames| frames.iter().any(|frame| frame.location.is_some()));
        assert_eq!(has_lines, in_image || name != "hot-c-stale.wasm", "{name}");
        // From several threads, each of which begins somewhere else.
        let count = instructions.len();
        std::thread::scope(|scope| {
            for thread in 0..4 {
                let (keeps, instructions, expected) = (&keeps, &instructions, &expected);
                scope.spawn(move || {
                    let lines = keeps.info().lines(Some(&keeps.code)).expect("its code is there");
                    for index in (0..count).map(|index| (index + thread * count / 4) % count) {
                        assert_eq!(lines.at(instructions[index]), expected[index], "{name} {:?}", instructions[index]);
                    }
                });
            }
        });
    }
}

#[test]
fn what_was_read_is_not_read_again() {
    let guest = Guest::new("hot-rust.wasm", false);
    let instructions = guest.instructions();
    let (first, rest) = instructions.split_at(instructions.len() / 2);
    let looks = || guest.looks.load(Ordering::Relaxed);
    let before = looks();
    let lines = guest.info().lines(Some(&guest.code)).expect("its code is there");
    first.iter().for_each(|instruction| drop(lines.at(*instruction)));
    drop(lines);
    assert!(looks() > before);
    let before = looks();
    let lines = guest.info().lines(Some(&guest.code)).expect("its code is there");
    assert!(rest.iter().any(|instruction| !lines.at(*instruction).is_empty()));
    assert_eq!(looks(), before);
}

#[test]
fn what_has_no_room_is_open_for_one_profile() {
    let guest = Guest::new("hot-c.wasm", false);
    let info = guest.info();
    let instructions = guest.instructions();
    let is_open = || info.modules.iter().any(|module| matches!(*lock(&module.kept), Kept::Open(..)));
    let ask = |has_room: bool| {
        *lock(&info.known) = Known::default();
        let lines = info.lines(Some(&guest.code)).expect("its code is there");
        let answers: Vec<_> = instructions.iter().map(|instruction| lines.at(*instruction)).collect();
        for module in info.modules.iter().filter(|_| !has_room) {
            if let Kept::Open(_, share) = &mut *lock(&module.kept) {
                drop(share.take());
            }
        }
        assert!(is_open());
        answers
    };
    let answers = ask(true);
    assert!(is_open());
    assert_eq!(ask(false), answers);
    assert!(!is_open());
    assert_eq!(ask(true), answers);
}

#[test]
fn an_image_is_not_referred_to_by_what_is_kept() {
    let guest = Guest::new("hot-c.wasm", true);
    let image = guest.code.image().as_ptr_range();
    for module in &guest.info().modules {
        let (copy, sections) = module.sections.copied(guest.code.image());
        assert!(!image.contains(&copy.as_ref().as_ptr()));
        let same = |id| {
            let [ours, theirs] = [module.sections.section(id), sections.section(id)];
            ours.map(|range| &guest.code.image()[range]) == theirs.map(|range| &copy.as_ref()[range])
        };
        use addr2line::gimli::SectionId;
        assert!(same(SectionId::DebugInfo) && same(SectionId::DebugLine) && same(SectionId::DebugStr));
    }
}
