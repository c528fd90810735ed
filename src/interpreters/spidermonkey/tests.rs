//! The reader on memories that are made here. Where things are is written down a second time, from the headers of Firefox 147: nothing
//! here comes from the reader.

use proptest::prelude::*;

use super::super::{LineFormat, LineTable, PartOf, SourcePosition};
use super::layout::FIREFOX_147;
use super::*;

/// Where the engine has the address of its context.
const STATE: u32 = 0x800;

/// Where the stack of the engine's own code begins; it grows downwards.
const STACK: u32 = 0x4000;

/// An arena of scripts.
const SCRIPTS: u32 = 0x8000;
const SCRIPT_SIZE: u32 = 56;
const SCRIPT_KIND: u8 = 28;

const UNDEFINED: u32 = 0xffff_ff83;
const NULL: u32 = 0xffff_ff84;
const NUMBER: u32 = 0xffff_ff81;
const STRING: u32 = 0xffff_ff86;
const OBJECT: u32 = 0xffff_ff8c;

/// How many bytes of instructions every function here has.
const CODE: u32 = 40;

/// A memory in which things are put, one after the other.
#[derive(Clone, Debug)]
struct Guest {
    bytes: Vec<u8>,
    context: u32,
    stack_pointer: u32,
    scripts: u32,
    activation: u32,
    /// The innermost frame, and the end of what it has.
    frame: u32,
    frame_end: u32,
}

/// A function with a script.
#[derive(Clone, Copy, Debug)]
struct Made {
    script: u32,
    callee: u32,
    code: u32,
}

impl Guest {
    fn new() -> Self {
        let mut guest = Self {
            bytes: vec![0; 0x9000],
            context: 0,
            stack_pointer: STACK,
            scripts: SCRIPTS + 4096,
            activation: 0,
            frame: 0,
            frame_end: 0,
        };
        guest.bytes[SCRIPTS as usize + 4] = SCRIPT_KIND;
        guest.context = guest.room(200);
        guest.put(STATE, guest.context);
        guest
    }

    fn room(&mut self, size: u32) -> u32 {
        let at = self.bytes.len().next_multiple_of(8);
        self.bytes.resize(at + size as usize, 0);
        u32::try_from(at).expect("a small memory")
    }

    fn put(&mut self, at: u32, word: u32) {
        self.bytes[at as usize..][..4].copy_from_slice(&word.to_le_bytes());
    }

    fn put_value(&mut self, at: u32, word: u32, tag: u32) {
        self.put(at, word);
        self.put(at + 4, tag);
    }

    fn word(&self, at: u32) -> u32 {
        self.memory().u32(at).expect("a word")
    }

    fn memory(&self) -> GuestMemory<'_> {
        GuestMemory::new(&self.bytes)
    }

    /// Text outside of the collector's memory, ended by a zero.
    fn stored_text(&mut self, text: &[u8]) -> u32 {
        let characters = self.room(u32::try_from(text.len()).expect("short") + 1);
        self.bytes[characters as usize..][..text.len()].copy_from_slice(text);
        let at = self.room(16);
        self.put(at, characters);
        self.put(at + 4, u32::try_from(text.len()).expect("short") + 1);
        at
    }

    fn atom(&mut self, text: &str) -> u32 {
        let units: Vec<u16> = text.encode_utf16().collect();
        let is_latin1 = units.iter().all(|unit| *unit < 256);
        let bytes: Vec<u8> = match is_latin1 {
            true => units.iter().map(|unit| unit.to_le_bytes()[0]).collect(),
            false => units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        };
        let hash =
            units.iter().fold(0_u32, |hash, unit| 0x9e37_79b9_u32.wrapping_mul(hash.rotate_left(5) ^ u32::from(*unit)));
        let at = self.room(32);
        let (is_inline, is_fat) = (bytes.len() <= 20, bytes.len() > 12 && bytes.len() <= 20);
        let flags = 0x18 | u32::from(is_inline) << 6 | u32::from(is_fat) << 7 | u32::from(is_latin1) << 10;
        self.put(at, flags);
        self.put(at + 4, u32::try_from(units.len()).expect("short"));
        if is_inline {
            self.bytes[at as usize + 8..][..bytes.len()].copy_from_slice(&bytes);
        } else {
            let characters = self.room(u32::try_from(bytes.len()).expect("short"));
            self.bytes[characters as usize..][..bytes.len()].copy_from_slice(&bytes);
            self.put(at + 8, characters);
        }
        self.put(at + if is_fat { 28 } else { 20 }, hash);
        at
    }

    /// A script with source notes, in a line of a file.
    fn script(&mut self, file: &str, line: u32, flags: u32, notes: &[u8]) -> (u32, u32) {
        self.scripts -= SCRIPT_SIZE;
        let script = self.scripts;
        let source_object = self.room(80);
        let source = self.room(120);
        let file = self.stored_text(file.as_bytes());
        self.put(source + 60, file);
        self.put(source + 64, file ^ 0x5a5a_5a5a);
        self.put_value(source_object + 24, source, 0);
        let length = (33 + CODE + u32::try_from(notes.len()).expect("few")).next_multiple_of(4);
        // Two of the three numbers before what is optional count.
        let data = self.room(length + 8);
        self.put(data, length + 8);
        self.put(data + 4, CODE);
        self.put(data + 16, 3);
        self.bytes[data as usize + 32] = 2 << 4 | 1;
        self.bytes[(data + 33 + CODE) as usize..][..notes.len()].copy_from_slice(notes);
        self.bytes[(data + 33 + CODE) as usize + notes.len()..(data + length) as usize].fill(0x80);
        let shared = self.room(12);
        self.put(shared + 8, data);
        self.put(script + 12, source_object);
        self.put(script + 32, line);
        self.put(script + 36, 7);
        self.put(script + 40, flags);
        self.put(script + 52, shared);
        (script, data + 33)
    }

    fn function(&mut self, name: Option<&str>, file: &str, line: u32, notes: &[u8]) -> Made {
        let (script, code) = self.script(file, line, 1 << 2, notes);
        let callee = self.room(48);
        self.put_value(callee + 16, 1 << 5, NUMBER);
        self.put_value(callee + 32, script, 0);
        match name {
            Some(name) => {
                let name = self.atom(name);
                self.put_value(callee + 40, name, STRING);
            }
            None => self.put_value(callee + 40, 0, UNDEFINED),
        }
        Made { script, callee, code }
    }

    /// Begins a run of the evaluation loop, with a function.
    fn run(&mut self, made: Made, offset: u32) {
        self.stack_pointer -= 128;
        let activation = self.stack_pointer;
        self.put(activation, self.context);
        self.put(activation + 8, self.activation);
        self.bytes[activation as usize + 56] = 0;
        self.activation = activation;
        let frame = self.frame(made);
        self.put(activation + 64, made.code + offset);
        self.put(activation + 68, frame);
        self.put(activation + 72, frame);
        self.put(self.context + 132, activation);
    }

    /// Calls a function from the one that runs.
    fn call(&mut self, made: Made, offset: u32) {
        let (caller, instruction) = (self.frame, self.word(self.activation + 64));
        let frame = self.frame(made);
        self.put(frame + 28, caller);
        self.put(frame + 32, instruction);
        self.put(self.activation + 64, made.code + offset);
        self.put(self.activation + 68, frame);
    }

    fn frame(&mut self, made: Made) -> u32 {
        // `this`, what was called, and no arguments.
        let values = self.room(16);
        self.put_value(values, made.callee, OBJECT);
        let frame = self.room(64 + 3 * 8);
        self.put(frame + 8, made.script);
        self.put(frame + 44, values + 16);
        self.put(frame + 52, self.frame_end);
        (self.frame, self.frame_end) = (frame, frame + 64 + 3 * 8);
        frame
    }

    /// What has scheduled what runs; the outermost comes first.
    fn scheduled_by(&mut self, calls: &[(Option<&str>, &str, u32)]) {
        let mut parent = None;
        for (name, file, line) in calls {
            let saved = self.room(80);
            let file = self.atom(file);
            self.put_value(saved + 16, file, STRING);
            self.put_value(saved + 32, *line, NUMBER);
            self.put_value(saved + 40, 3, NUMBER);
            match name.map(|name| self.atom(name)) {
                Some(name) => self.put_value(saved + 48, name, STRING),
                None => self.put_value(saved + 48, 0, NULL),
            }
            match parent {
                Some(parent) => self.put_value(saved + 64, parent, OBJECT),
                None => self.put_value(saved + 64, 0, NULL),
            }
            parent = Some(saved);
        }
        self.put(self.activation + 44, parent.expect("a call"));
    }

    fn engine(&self) -> SpiderMonkey {
        SpiderMonkey::at(&FIREFOX_147, self.memory(), STATE).expect("an engine")
    }

    /// What runs, innermost first: functions with where they are, `-` where a run begins, `?` where it cannot be told further.
    fn stack(&self) -> Vec<String> {
        let engine = self.engine();
        let described = |place: FunctionPlace, instruction: u32| {
            let identity = engine.identity(self.memory(), place)?;
            let function = engine.function(self.memory(), &identity)?;
            let offset = instruction.checked_sub(function.instructions);
            let offset = offset.filter(|offset| function.length.is_none_or(|length| *offset < length));
            let LineTable { format, bytes } = function.lines;
            let at = format.position(bytes, function.start, offset.unwrap_or(u32::MAX)).unwrap_or(function.start);
            if function.part_of == PartOf::Machinery {
                return Some(String::new());
            }
            let by = if function.part_of == PartOf::Interpreter { " of the engine" } else { "" };
            Some(format!("{}{by} ({}:{}:{})", function.name, function.file, at.line, at.column))
        };
        let frames = engine.frames(self.memory(), self.context);
        frames
            .map(|frame| match frame {
                Some(Frame::Function { function, instruction }) => {
                    described(function, instruction).unwrap_or_else(|| "(unknown)".to_owned())
                }
                Some(Frame::Run { .. }) => "-".to_owned(),
                None => "?".to_owned(),
            })
            .filter(|frame| !frame.is_empty())
            .collect()
    }
}

/// From the fourth instruction on the next line, from the 24th 300 lines after the first, in column 9, and from the 34th three columns
/// before that.
const NOTES: [u8; 11] = [1 << 4 | 4, 0x80 | 20, 4 << 4, 0x80, 0, 1, 44, 9, 10, 0xff, 0xff];
const COLUMNS_BACK: [u8; 2] = [0xff, 0xfd];

fn notes() -> Vec<u8> {
    [&NOTES[..], &COLUMNS_BACK[..]].concat()
}

/// `main` has called a native, which calls `größe`, which calls `λ`.
fn example() -> Guest {
    let mut guest = Guest::new();
    let main = guest.function(Some("main"), "app.js", 10, &notes());
    let size = guest.function(Some("größe"), "lib/größe.js", 20, &notes());
    let lambda = guest.function(Some("λ🚀"), "app.js", 30, &notes());
    guest.run(main, 5);
    guest.run(size, 24);
    guest.call(lambda, 0);
    guest
}

#[test]
fn frames_come_innermost_first_with_names_and_places() {
    let expected = ["λ🚀 (app.js:30:7)", "größe (lib/größe.js:320:9)", "-", "main (app.js:11:1)", "-"];
    assert_eq!(example().stack(), expected);
}

#[test]
fn nothing_runs_before_the_first_call() {
    assert!(Guest::new().stack().is_empty());
}

#[test]
fn an_engine_that_has_not_started_is_none() {
    let mut guest = Guest::new();
    guest.put(STATE, 0);
    let found = SpiderMonkey::at(&FIREFOX_147, guest.memory(), STATE).map(drop);
    assert_eq!(found, Err(InterpreterProblem::Contradiction));
}

#[test]
fn every_kind_of_note_moves_the_place() {
    let first = SourcePosition { line: 100, column: 5 };
    let at = |notes: &[u8], instruction| {
        let found = LineFormat::SpiderMonkey.position(notes, first, instruction)?;
        Some((found.line, found.column))
    };
    // Columns, the next line with a column, a line, a place to stop at, a line with a column, columns back, the end.
    let notes =
        [2, 4, 2 << 4 | 3, 6, 3 << 4 | 1, 50, 5 << 4 | 2, 4 << 4 | 2, 7, 8, 2, 0xff, 0xff, 0xff, 0xfe, 0x80, 1 << 4];
    let places = [0, 1, 2, 4, 5, 6, 8, 10, 12, 1000].map(|instruction| at(&notes, instruction));
    let expected = [(100, 5), (100, 5), (100, 9), (100, 9), (101, 6), (150, 1), (150, 1), (107, 8), (107, 6), (107, 6)];
    assert_eq!(places, expected.map(Some));
    // What is cut, or leads out of all numbers, is no table.
    assert_eq!(at(&[0, 0x80, 1], 5), None);
    assert_eq!(at(&[4 << 4, 1], 5), None);
    assert_eq!(at(&[0, 0xff, 0xff, 0xff, 0x01], 5), None);
    assert_eq!(at(&[], 5), Some((100, 5)));
    // No instruction.
    assert_eq!(at(&notes, u32::MAX), None);
}

#[test]
fn a_frame_in_the_making_is_in_the_first_line() {
    let mut guest = example();
    let instruction = guest.activation + 64;
    for outside in [0, guest.word(instruction) + CODE, u32::MAX] {
        guest.put(instruction, outside);
        assert_eq!(guest.stack()[0], "λ🚀 (app.js:30:7)");
    }
}

#[test]
fn scripts_as_a_whole_have_no_callee() {
    let mut guest = Guest::new();
    // What is where functions have theirs is of something else.
    let other = guest.function(Some("other"), "app.js", 1, &[]);
    for flags in [0, 1 << 0, 1 << 1] {
        let (script, code) = guest.script("app.js", 1, flags, &[]);
        guest.run(Made { script, code, callee: other.callee }, 0);
    }
    let expected = ["(top level) (app.js:1:7)", "-"];
    assert_eq!(guest.stack(), [expected, expected, expected].concat());
}

#[test]
fn functions_without_a_name_and_those_of_the_engine_are_told() {
    let mut guest = Guest::new();
    let nameless = guest.function(None, "app.js", 1, &[]);
    let own = guest.function(Some("map"), "self-hosted", 2, &[]);
    guest.put(own.script + 40, 1 << 2 | 1 << 3);
    guest.run(own, 0);
    guest.call(nameless, 0);
    assert_eq!(guest.stack(), [" (app.js:1:7)", "map of the engine (self-hosted:2:7)", "-"]);
}

#[test]
fn what_has_scheduled_a_run_is_outside_of_its_frames() {
    let mut guest = example();
    guest.scheduled_by(&[
        (None, "app.js", 3),
        (Some("AsyncFunctionNext"), "self-hosted", 9),
        (Some("outer"), "app.js", 40),
    ]);
    let expected = [
        "λ🚀 (app.js:30:7)",
        "größe (lib/größe.js:320:9)",
        "outer (app.js:40:3)",
        " (app.js:3:3)",
        "-",
        "main (app.js:11:1)",
        "-",
    ];
    assert_eq!(guest.stack(), expected);
    // A list that does not end is cut, and what is outside is read all the same.
    let saved = guest.word(guest.activation + 44);
    guest.put_value(saved + 64, saved, OBJECT);
    assert_eq!(guest.stack().len(), 2 + usize::from(saved::MANY) + 3);
    // One that is none is left out.
    guest.put_value(saved + 64, 1, NUMBER);
    assert_eq!(guest.stack().len(), 5);
}

#[test]
fn names_of_all_lengths_are_read() {
    for length in [1, 12, 13, 20, 21, 256] {
        for character in ["a", "ä", "λ"] {
            let mut guest = Guest::new();
            let name = character.repeat(length);
            let function = guest.function(Some(&name), "app.js", 1, &[]);
            guest.run(function, 0);
            assert_eq!(guest.stack()[0], format!("{name} (app.js:1:7)"));
        }
    }
    // A longer one is cut.
    let mut guest = Guest::new();
    let function = guest.function(Some(&"b".repeat(300)), "app.js", 1, &[]);
    guest.run(function, 0);
    assert_eq!(guest.stack()[0], format!("{} (app.js:1:7)", "b".repeat(256)));
}

#[test]
fn what_moves_is_found_where_it_goes() {
    let mut guest = Guest::new();
    let function = guest.function(Some("f"), "app.js", 1, &[]);
    guest.run(function, 0);
    let callee = guest.room(48);
    guest.bytes.copy_within(function.callee as usize..function.callee as usize + 48, callee as usize);
    guest.put(function.callee, callee | 1);
    // Nothing else of what was there counts.
    guest.put_value(function.callee + 40, 0, UNDEFINED);
    assert_eq!(guest.stack(), ["f (app.js:1:7)", "-"]);
    guest.scripts -= SCRIPT_SIZE;
    let script = guest.scripts;
    guest.bytes.copy_within(function.script as usize..(function.script + SCRIPT_SIZE) as usize, script as usize);
    guest.put(function.script, script | 1);
    guest.put(function.script + 52, 0);
    assert_eq!(guest.stack(), ["f (app.js:1:7)", "-"]);
}

/// What is read when something was changed.
fn changed(change: impl FnOnce(&mut Guest)) -> Vec<String> {
    let mut guest = example();
    change(&mut guest);
    guest.stack()
}

#[test]
fn a_name_is_believed_only_if_everything_agrees() {
    let unknown = ["(unknown)", "größe (lib/größe.js:320:9)", "-", "main (app.js:11:1)", "-"];
    let callee = |guest: &Guest| guest.word(guest.word(guest.frame + 44) - 16);
    let name = |guest: &Guest| guest.word(callee(guest) + 40);
    // A function of another script, one that is not compiled yet, and one without a script.
    let other = changed(|guest| guest.put(callee(guest) + 32, SCRIPTS + 4096 - SCRIPT_SIZE));
    let lazy = changed(|guest| guest.put(callee(guest) + 16, 1 << 5 | 1 << 6));
    let native = changed(|guest| guest.put(callee(guest) + 16, 0));
    // A name that is no string, none that is an atom, one of another hash, and one that ends behind the memory.
    let number = changed(|guest| guest.put(callee(guest) + 44, NUMBER));
    let rope = changed(|guest| guest.put(name(guest), 0));
    let dependent = changed(|guest| guest.put(name(guest), 0x38 | 0x40));
    let hash = changed(|guest| guest.put(name(guest) + 20, 0x1234_5678));
    let length = changed(|guest| guest.put(name(guest) + 4, 2));
    let outside = changed(|guest| {
        let end = u32::try_from(guest.bytes.len()).expect("small");
        guest.put(name(guest), 0x18);
        guest.put(name(guest) + 8, end - 1);
    });
    // A file without an end, and a source that is a value.
    let source = |guest: &Guest| guest.word(guest.word(guest.frame + 8) + 12) + 24;
    let file = changed(|guest| {
        let file = guest.word(guest.word(source(guest)) + 60);
        guest.put(file + 4, 3);
    });
    let value = changed(|guest| guest.put(source(guest) + 4, OBJECT));
    for found in [other, lazy, native, number, rope, dependent, hash, length, outside, file, value] {
        assert_eq!(found, unknown);
    }
}

#[test]
fn frames_that_contradict_themselves_are_unknown_and_others_are_not() {
    let outer = ["-", "main (app.js:11:1)", "-"];
    let frame = |guest: &Guest| guest.frame;
    let unknown = [&["(unknown)"], &outer[..]].concat();
    // A script that is between two, flags that no frame has, nothing that is called.
    let script = changed(|guest| guest.put(frame(guest) + 8, guest.word(frame(guest) + 8) + 8));
    let flags = changed(|guest| guest.put(frame(guest), 0x100));
    let callee = changed(|guest| guest.put(guest.word(frame(guest) + 44) - 12, NUMBER));
    // A caller where there should be none, and none where there should be one.
    let caller = changed(|guest| guest.put(guest.activation + 72, guest.frame));
    let callerless = changed(|guest| guest.put(frame(guest) + 28, 0));
    // A frame that was left over from another time.
    let left_over = changed(|guest| {
        let entry = guest.word(guest.activation + 72);
        guest.put(entry + 52, guest.word(entry + 52) + 8);
    });
    for found in [script, flags, callee, caller, callerless, left_over] {
        assert_eq!(found, unknown);
    }
    // What is further in is known already.
    let second = changed(|guest| guest.put(guest.word(guest.activation + 72), 0x100));
    assert_eq!(second, [&["λ🚀 (app.js:30:7)", "(unknown)"], &outer[..]].concat());
    // No arena of scripts.
    let no_scripts = changed(|guest| guest.bytes[SCRIPTS as usize + 4] = 7);
    assert_eq!(no_scripts, ["(unknown)", "-", "(unknown)", "-"]);
}

#[test]
fn a_list_that_contradicts_itself_ends_there() {
    // Compiled code, and another context.
    assert_eq!(changed(|guest| guest.bytes[guest.activation as usize + 56] = 1), ["?"]);
    assert_eq!(changed(|guest| guest.put(guest.activation, 8)), ["?"]);
    // An activation that is further in.
    let inwards = changed(|guest| guest.put(guest.activation + 8, guest.activation - 8));
    assert_eq!(inwards, ["(unknown)", "-", "?"]);
}

/// Reads all that can be read, and returns how many frames there are.
fn read_all(bytes: &[u8], context: u32) -> usize {
    let memory = GuestMemory::new(bytes);
    let Ok(engine) = SpiderMonkey::at(&FIREFOX_147, memory, STATE) else { return 0 };
    let mut frames = 0;
    for frame in engine.frames(memory, engine.context(memory).unwrap_or(context)) {
        frames += 1;
        if frames > 64 {
            continue;
        }
        let Some(Frame::Function { function, instruction }) = frame else { continue };
        let Some(identity) = engine.identity(memory, function) else { continue };
        let Some(found) = engine.function(memory, &identity) else { continue };
        let _ = (found.name.to_string(), found.file.to_string(), found.hash(7));
        let offset = instruction.wrapping_sub(found.instructions);
        let _ = found.lines.format.position(found.lines.bytes, found.start, offset);
    }
    frames
}

proptest! {
    #[test]
    fn damaged_bytes_do_no_harm(damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24)) {
        let mut guest = example();
        guest.scheduled_by(&[(None, "app.js", 3), (Some("outer"), "app.js", 40)]);
        for (at, byte) in damage {
            let at = at.index(guest.bytes.len() - SCRIPTS as usize) + SCRIPTS as usize;
            guest.bytes[at] = byte;
        }
        prop_assert!(read_all(&guest.bytes, guest.context) <= super::super::MAX_FRAMES);
    }

    #[test]
    fn damaged_words_do_no_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop_oneof![
            Just(0), Just(u32::MAX), 0x3f00..0x9800_u32, any::<u32>()
        ]), 1..8),
        length in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut guest = example();
        guest.scheduled_by(&[(None, "app.js", 3), (Some("outer"), "app.js", 40)]);
        for (at, word) in damage {
            let at = (at.index(guest.bytes.len() - 0x3f00) + 0x3f00) & !3;
            if let Some(place) = guest.bytes.get_mut(at..at + 4) {
                place.copy_from_slice(&word.to_le_bytes());
            }
        }
        if let Some(length) = length {
            let length = length.index(guest.bytes.len());
            guest.bytes.truncate(length);
        }
        prop_assert!(read_all(&guest.bytes, guest.context) <= super::super::MAX_FRAMES);
    }

    #[test]
    fn any_notes_are_a_table(notes: Vec<u8>, line: u32, column: u32, instruction: u32) {
        let _ = LineFormat::SpiderMonkey.position(&notes, SourcePosition { line, column }, instruction);
    }

    #[test]
    fn any_name_is_read(name in "\\PC{1,40}", file in "[a-zà-ÿλ/.]{1,40}") {
        let mut guest = Guest::new();
        let function = guest.function(Some(&name), &file, 1, &[]);
        guest.run(function, 0);
        prop_assert_eq!(&guest.stack()[0], &format!("{name} ({file}:1:7)"));
    }
}
