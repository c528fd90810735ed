//! The reader on memories that are made here. Where things are is written down a second time, from the headers of each version: nothing
//! here comes from the reader.

use proptest::prelude::*;

use super::super::{LineFormat, SourcePosition};
use super::*;

/// A version of the engine: where it has what.
#[derive(Clone, Copy, Debug)]
struct Version {
    name: &'static str,
    /// Whether the count of references is before an object.
    counts_before: bool,
    /// Of the runtime: `atom_hash_size`, and from there `current_stack_frame`.
    atoms: u32,
    current: u32,
    /// Of a string: its length, and its characters.
    string: (u32, u32),
    cur_pc: u32,
    class_id: u32,
    shape: u32,
    prop: u32,
    function_bytecode: u32,
    byte_code_buf: u32,
    realm: u32,
    filename: u32,
    /// `line_num`, and `col_num`; zero if there is none.
    line_num: (u32, u32),
    pc2line_len: u32,
    pc2line_buf: u32,
    /// The byte with `has_debug`; zero if there is none.
    has_debug: u32,
}

const BELLARD_2024: Version = Version {
    name: "Bellard, 2020 to 2024",
    counts_before: false,
    atoms: 36,
    current: 104,
    string: (4, 16),
    cur_pc: 32,
    class_id: 6,
    shape: 16,
    prop: 20,
    function_bytecode: 32,
    byte_code_buf: 20,
    realm: 48,
    filename: 64,
    line_num: (68, 0),
    pc2line_len: 76,
    pc2line_buf: 80,
    has_debug: 18,
};

const VERSIONS: [Version; 8] = [
    BELLARD_2024,
    Version { name: "rquickjs 0.4 to 0.6", pc2line_len: 80, pc2line_buf: 88, ..BELLARD_2024 },
    Version {
        name: "Bellard, 2025",
        current: 112,
        shape: 20,
        prop: 24,
        line_num: (0, 0),
        pc2line_len: 72,
        pc2line_buf: 76,
        ..BELLARD_2024
    },
    Version {
        name: "Bellard, 2026",
        counts_before: true,
        atoms: 540,
        current: 112,
        string: (0, 12),
        cur_pc: 28,
        class_id: 10,
        shape: 16,
        prop: 20,
        function_bytecode: 24,
        byte_code_buf: 12,
        realm: 44,
        filename: 60,
        line_num: (0, 0),
        pc2line_len: 68,
        pc2line_buf: 72,
        has_debug: 10,
    },
    Version {
        name: "quickjs-ng 0.8",
        atoms: 40,
        current: 108,
        string: (4, 20),
        filename: 68,
        line_num: (72, 76),
        pc2line_len: 84,
        pc2line_buf: 88,
        has_debug: 0,
        ..BELLARD_2024
    },
    Version {
        name: "quickjs-ng 0.11",
        atoms: 40,
        current: 116,
        string: (4, 28),
        line_num: (68, 72),
        pc2line_len: 80,
        pc2line_buf: 84,
        has_debug: 0,
        ..BELLARD_2024
    },
    Version {
        name: "quickjs-ng 0.15",
        atoms: 40,
        current: 108,
        string: (4, 20),
        cur_pc: 28,
        realm: 56,
        line_num: (68, 72),
        pc2line_len: 80,
        pc2line_buf: 84,
        has_debug: 0,
        ..BELLARD_2024
    },
    Version {
        name: "quickjs-ng 0.16",
        counts_before: true,
        atoms: 548,
        current: 104,
        string: (0, 16),
        cur_pc: 28,
        class_id: 10,
        shape: 12,
        prop: 16,
        function_bytecode: 24,
        byte_code_buf: 12,
        realm: 48,
        filename: 56,
        line_num: (60, 64),
        pc2line_len: 72,
        pc2line_buf: 76,
        has_debug: 0,
    },
];

const OBJECT: u8 = 0;
const BYTECODE: u8 = 1;
const CONTEXT: u8 = 5;

const BYTECODE_FUNCTION: u16 = 13;
const C_FUNCTION: u16 = 12;

/// Atoms, beside those that are there for the test.
const ATOMS: usize = 240;
const NAME: usize = 56;

/// How many bytes of instructions every function here has.
const CODE: u32 = 40;

/// A memory in which things are put, one after the other.
#[derive(Clone, Debug)]
struct Guest {
    version: Version,
    bytes: Vec<u8>,
    runtime: u32,
    context: u32,
    atoms: u32,
    count: u32,
    objects: Vec<u32>,
}

impl Guest {
    fn new(version: Version) -> Self {
        let mut guest =
            Self { version, bytes: vec![0; 0x400], runtime: 0, context: 0, atoms: 0, count: 1, objects: Vec::new() };
        guest.runtime = guest.room(800);
        guest.atoms = guest.room(4 * 512);
        guest.context = guest.counted(CONTEXT, 64);
        guest.put(guest.context + if version.counts_before { 8 } else { 16 }, guest.runtime);
        let table = guest.runtime + version.atoms;
        guest.put(table, 256);
        guest.put(table + 8, 512);
        guest.put(table + 12, 512);
        guest.put(table + 20, guest.atoms);
        for atom in 1..ATOMS {
            match atom {
                1 => guest.atom("null"),
                2 => guest.atom("false"),
                3 => guest.atom("true"),
                NAME => guest.atom("name"),
                _ => guest.atom(&format!("keyword{atom}")),
            };
        }
        guest
    }

    fn room(&mut self, size: u32) -> u32 {
        let at = self.bytes.len().next_multiple_of(4);
        self.bytes.resize(at + size as usize, 0);
        u32::try_from(at).expect("a small memory")
    }

    fn put(&mut self, at: u32, word: u32) {
        self.bytes[at as usize..][..4].copy_from_slice(&word.to_le_bytes());
    }

    fn put_half(&mut self, at: u32, half: u16) {
        self.bytes[at as usize..][..2].copy_from_slice(&half.to_le_bytes());
    }

    fn put_bytes(&mut self, bytes: &[u8]) -> u32 {
        let at = self.room(u32::try_from(bytes.len()).expect("few"));
        self.bytes[at as usize..][..bytes.len()].copy_from_slice(bytes);
        at
    }

    fn memory(&self) -> GuestMemory<'_> {
        GuestMemory::new(&self.bytes)
    }

    /// An object whose references are counted.
    fn counted(&mut self, kind: u8, size: u32) -> u32 {
        let at = self.room(size + 8) + 8;
        self.objects.push(at);
        if self.version.counts_before {
            self.put(at - 4, 1);
            self.bytes[at as usize - 5] = kind;
        } else {
            self.put(at, 1);
            // The collector has marked it.
            self.bytes[at as usize + 4] = 0x10 | kind;
        }
        at
    }

    /// A string; `hash` is a hash, and what kind of a string it is.
    fn string(&mut self, text: &str, hash: u32) -> u32 {
        let units: Vec<u16> = text.encode_utf16().collect();
        let is_wide = units.iter().any(|unit| *unit > 255);
        let bytes: Vec<u8> = match is_wide {
            false => units.iter().map(|unit| unit.to_le_bytes()[0]).collect(),
            true => units.iter().flat_map(|unit| unit.to_le_bytes()).collect(),
        };
        let (length, data) = self.version.string;
        let at = self.room(data + u32::try_from(bytes.len()).expect("short") + 1);
        self.put(at + length, u32::try_from(units.len()).expect("short") | u32::from(is_wide) << 31);
        self.put(at + length + 4, hash);
        self.bytes[(at + data) as usize..][..bytes.len()].copy_from_slice(&bytes);
        at
    }

    fn atom(&mut self, text: &str) -> u32 {
        let string = self.string(text, 1 << 30 | self.count << 8);
        self.put(self.atoms + 4 * self.count, string);
        self.count += 1;
        self.put(self.runtime + self.version.atoms + 4, self.count);
        self.count - 1
    }

    /// The code of a function. `table` is what comes behind its start.
    fn code(&mut self, name: &str, file: &str, (line, column): (u32, u32), table: &[u8]) -> u32 {
        let of = self.version;
        let (name, file) = (if name.is_empty() { 0 } else { self.atom(name) }, self.atom(file));
        let code = self.counted(BYTECODE, 100);
        let instructions = self.put_bytes(&[7; CODE as usize]);
        self.put(code + of.byte_code_buf, instructions);
        self.put(code + of.byte_code_buf + 4, CODE);
        self.put(code + of.byte_code_buf + 8, name);
        self.put(code + of.realm, self.context);
        self.put(code + of.filename, file);
        let mut bytes = Vec::new();
        match of.line_num {
            (0, 0) => bytes.extend([line - 1, column - 1].map(|number| u8::try_from(number).expect("small"))),
            (at, 0) => self.put(code + at, line),
            (at, column_at) => {
                self.put(code + at, line);
                self.put(code + column_at, column);
            }
        }
        bytes.extend(table);
        let table = self.put_bytes(&bytes);
        self.put(code + of.pc2line_len, u32::try_from(bytes.len()).expect("few"));
        self.put(code + of.pc2line_buf, table);
        if of.has_debug != 0 {
            self.bytes[(code + of.has_debug) as usize] |= 4;
        }
        code
    }

    /// A function object. `own_name` is the value of its property `name`: a string.
    fn function(&mut self, class: u16, code: u32, own_name: Option<u32>) -> u32 {
        let of = self.version;
        let function = self.counted(OBJECT, 48);
        self.put_half(function + of.class_id, class);
        self.put(function + of.function_bytecode, code);
        let shape = self.counted(2, 100);
        let mask = if of.counts_before { 16 } else { 24 };
        let properties = if of.counts_before { 40 + 4 * 4 } else { 48 };
        self.put(shape + mask, 3);
        self.put(shape + mask + 4, 4);
        self.put(shape + mask + 8, 2);
        let values = self.room(4 * 8);
        // `length`, and `name`.
        self.put(shape + properties + 4, 20);
        if let Some(name) = own_name {
            self.put(shape + properties + 12, u32::try_from(NAME).expect("small"));
            self.put(values + 8, name);
            self.put(values + 12, 0xffff_fff9);
        }
        self.put(function + of.shape, shape);
        self.put(function + of.prop, values);
        function
    }

    /// Calls a function, with the instruction that executes.
    fn call(&mut self, function: u32, instruction: u32) -> u32 {
        let innermost = self.runtime + self.version.atoms + self.version.current;
        let frame = self.room(48);
        let previous = self.memory().u32(innermost).expect("a word");
        self.put(frame, previous);
        self.put(frame + 8, function);
        self.put(frame + 12, 0xffff_ffff);
        self.put(frame + self.version.cur_pc, instruction);
        self.put(innermost, frame);
        frame
    }

    fn instructions(&self, code: u32) -> u32 {
        self.memory().u32(code + self.version.byte_code_buf).expect("a word")
    }

    /// The table of lines of a function that goes on in the next line after ten bytes, and in the line before after ten more.
    fn table(&self) -> Vec<u8> {
        let has_columns = self.version.line_num.1 != 0 || self.version.line_num == (0, 0);
        // In one byte; and as numbers, the sign in the lowest bit.
        let (first, second): (&[u8], &[u8]) = (&[1 + 10 * 5 + 2], &[0, 10, 0b1]);
        let columns: [&[u8]; 2] = if has_columns { [&[4 << 1], &[0b101]] } else { [&[], &[]] };
        [first, columns[0], second, columns[1]].concat()
    }

    /// A function of a script, called at an instruction.
    fn call_function(&mut self, name: &str, line: u32, offset: u32) -> u32 {
        let code = self.code(name, "app.js", (line, 3), &self.table());
        let function = self.function(BYTECODE_FUNCTION, code, None);
        self.call(function, self.instructions(code) + offset)
    }

    fn engine(&self) -> Option<QuickJs> {
        QuickJs::of(self.memory(), &[0, 77, self.context, self.runtime]).ok()
    }

    /// What runs, innermost first: name, file, and line; and whether that is all.
    fn stack(&self) -> (Vec<(String, String, u32)>, bool) {
        let engine = self.engine().unwrap_or_else(|| panic!("{}", self.version.name));
        let mut is_whole = true;
        let functions = engine.frames(self.memory()).filter_map(|frame| match frame {
            Some(Frame::Function { function, instruction }) => {
                let identity = engine.identity(self.memory(), function).expect("it can be read");
                let function = engine.function(self.memory(), &identity).expect("it can be read");
                let offset = instruction.checked_sub(function.instructions).unwrap_or(LineFormat::NOWHERE);
                let position = function.lines.format.position(function.lines.bytes, function.start, offset);
                let line = position.unwrap_or(function.start).line;
                Some((function.name.to_string(), function.file.to_string(), line))
            }
            Some(Frame::Run { .. }) => None,
            None => {
                is_whole = false;
                None
            }
        });
        (functions.collect(), is_whole)
    }
}

/// A stack as it should be.
fn whole(stack: &[(&str, u32)]) -> (Vec<(String, String, u32)>, bool) {
    (stack.iter().map(|(name, line)| ((*name).to_owned(), "app.js".to_owned(), *line)).collect(), true)
}

#[test]
fn each_version_is_told_by_what_it_has() {
    for version in VERSIONS {
        let mut guest = Guest::new(version);
        assert!(guest.engine().is_none(), "nothing runs in {}", version.name);
        guest.call_function("outer", 10, 15);
        guest.call_function("inner", 20, 25);
        let engine = guest.engine().expect(version.name);
        assert!(engine.is_proven, "{}", version.name);
        assert_eq!(guest.stack(), whole(&[("inner", 20), ("outer", 11)]), "{}", version.name);
        for layout in layout::ALL.into_iter().filter(|layout| *layout != engine.layout) {
            let other = QuickJs { layout, ..engine.clone() };
            assert_ne!(other.holds(guest.memory(), &mut { MAX_WORK }), Some(true), "{} as {layout:?}", version.name);
        }
    }
}

#[test]
fn each_run_is_a_function_and_the_engines_own_functions_are_left_out() {
    for version in VERSIONS {
        let mut guest = Guest::new(version);
        let outer = guest.call_function("outer", 10, 15);
        let native = guest.function(C_FUNCTION, guest.context, None);
        guest.call(native, 0);
        let inner = guest.call_function("inner", 20, 15);
        let engine = guest.engine().expect("it is read");
        let marks: Vec<u32> = engine
            .frames(guest.memory())
            .filter_map(|frame| match frame {
                Some(Frame::Run { at }) => Some(at),
                _ => None,
            })
            .collect();
        assert_eq!(marks, [inner, outer], "{}", version.name);
        assert_eq!(guest.stack(), whole(&[("inner", 21), ("outer", 11)]));
        // Of what is no function nothing is believed, nor of what is further out.
        guest.put(outer + 12, 3);
        assert!(guest.engine().is_none());
        assert_eq!(engine.frames(guest.memory()).last(), Some(None));
    }
}

#[test]
fn names_are_those_of_the_engine() {
    for version in VERSIONS {
        let mut guest = Guest::new(version);
        let called = |guest: &mut Guest, name: &str, own_name: Option<u32>| {
            let code = guest.code(name, "app.js", (5, 1), &guest.table());
            let function = guest.function(BYTECODE_FUNCTION, code, own_name);
            guest.call(function, 0);
        };
        called(&mut guest, "größe", None);
        called(&mut guest, "日本語", None);
        let own = guest.string("get area", 0);
        called(&mut guest, "", Some(own));
        called(&mut guest, "", None);
        // Something else than it was written.
        let own = guest.string("renamed", 0);
        called(&mut guest, "original", Some(own));
        called(&mut guest, "<eval>", None);
        let long = "long".repeat(100);
        called(&mut guest, &long, None);
        let names: Vec<String> = guest.stack().0.into_iter().map(|(name, ..)| name).collect();
        assert_eq!(
            names,
            [&long[..256], "(top level)", "renamed", "", "get area", "日本語", "größe"],
            "{}",
            version.name
        );
    }
}

#[test]
fn a_string_that_is_part_of_another_is_not_read() {
    // In some versions two bits of the hash say so, in others they are part of the hash.
    let kinds = 1 << 29;
    for (version, name) in [(VERSIONS[6], ""), (BELLARD_2024, "part")] {
        let mut guest = Guest::new(version);
        if name == "part" {
            let keyword = guest.string("keyword", 1 << 30 | kinds);
            guest.put(guest.atoms + 4 * 7, keyword);
        }
        let code = guest.code("", "app.js", (5, 1), &guest.table());
        let own = guest.string("part", kinds);
        let function = guest.function(BYTECODE_FUNCTION, code, Some(own));
        guest.call(function, 0);
        assert_eq!(guest.stack(), whole(&[(name, 5)]));
    }
}

#[test]
fn without_a_table_of_lines_names_are_read_and_the_layout_is_not_proven() {
    for version in [BELLARD_2024, VERSIONS[1], VERSIONS[7]] {
        let mut guest = Guest::new(version);
        let code = guest.code("f", "app.js", (5, 1), &[]);
        let function = guest.function(BYTECODE_FUNCTION, code, None);
        guest.call(function, 0);
        assert_eq!(guest.stack(), (vec![("f".to_owned(), String::new(), 0)], true));
        let engine = guest.engine().expect("it is read");
        assert!(!engine.is_in(guest.memory()), "another layout may be right");
    }
}

#[test]
fn what_is_stripped_has_its_name_alone() {
    let mut guest = Guest::new(BELLARD_2024);
    let code = guest.code("f", "app.js", (5, 1), &guest.table());
    guest.bytes[code as usize + 18] = 0;
    let function = guest.function(BYTECODE_FUNCTION, code, None);
    guest.call(function, 0);
    assert_eq!(guest.stack(), (vec![("f".to_owned(), String::new(), 0)], true));
}

#[test]
fn it_is_there_as_long_as_its_atoms_are() {
    let mut guest = Guest::new(VERSIONS[7]);
    guest.call_function("f", 5, 15);
    let engine = guest.engine().expect("it is read");
    assert!(engine.is_in(guest.memory()) && engine.is_held(&[1, guest.runtime]) && !engine.is_held(&[1]));
    guest.put(guest.atoms + 8, 1);
    assert!(!engine.is_in(guest.memory()));
}

#[test]
fn what_is_no_instruction_of_the_function_has_no_line() {
    for instruction in [0, 1, 1 << 20] {
        let mut guest = Guest::new(VERSIONS[7]);
        guest.call_function("f", 5, 0);
        let frame = guest.call_function("g", 7, 0);
        guest.put(frame + VERSIONS[7].cur_pc, instruction);
        assert_eq!(guest.stack(), whole(&[("g", 7), ("f", 5)]));
    }
}

#[test]
fn garbage_may_be_collected_meanwhile() {
    for version in VERSIONS {
        let mut guest = Guest::new(version);
        guest.call_function("outer", 10, 15);
        guest.call_function("inner", 20, 15);
        // The counts of all objects are taken down.
        let count = if version.counts_before { -4 } else { 0 };
        for at in guest.objects.clone() {
            guest.put(at.checked_add_signed(count).expect("an address"), 0);
        }
        assert_eq!(guest.stack(), whole(&[("inner", 21), ("outer", 11)]), "{}", version.name);
    }
}

#[test]
fn the_work_is_limited_whatever_a_guest_has_in_its_memory() {
    let mut guest = Guest::new(VERSIONS[7]);
    // A megabyte of lines for each of ten functions; none is wrong.
    let table = [1 + 2, 0, 1, 0].repeat(1 << 18);
    for _ in 0..10 {
        let code = guest.code("f", "app.js", (5, 1), &table);
        let function = guest.function(BYTECODE_FUNCTION, code, None);
        guest.call(function, 0);
    }
    assert!(guest.engine().is_none());
    // A list that goes round.
    let mut guest = Guest::new(VERSIONS[7]);
    let frame = guest.call_function("f", 5, 0);
    guest.put(frame, frame);
    let engine = guest.engine().expect("as much of it as is looked at can be read");
    assert_eq!(engine.holds(guest.memory(), &mut { MAX_WORK }), Some(true));
    assert_eq!(engine.holds(guest.memory(), &mut { WORK_OF_FRAME * 100 }), None);
}

#[test]
fn a_list_without_an_end_ends() {
    let mut guest = Guest::new(VERSIONS[7]);
    let first = guest.call_function("f", 5, 0);
    let native = guest.function(C_FUNCTION, guest.context, None);
    let second = guest.call(native, 0);
    let engine = QuickJs::of(guest.memory(), &[guest.runtime]).expect("it is read");
    guest.put(first, second);
    assert!(engine.frames(guest.memory()).count() <= 2 * MAX_FRAMES);
    guest.put(first, first);
    assert!(engine.frames(guest.memory()).count() <= 2 * MAX_FRAMES);
}

#[test]
fn lines_are_those_of_the_table() {
    let first = SourcePosition { line: 28, column: 1 };
    // After 5 bytes two lines down, 3 columns to the right; after 300 more 60 lines up and 1 to the left, in the long form.
    let table = [1 + 5 * 5 + 3, 3 << 1, 0, 0xac, 0x02, 0x33, 0x01];
    let at = |instruction| {
        let position = position_of(&table, true, first, instruction).expect("a table");
        (position.line, position.column)
    };
    assert_eq!([at(0), at(4), at(5), at(304), at(305)], [(28, 1), (28, 1), (30, 4), (30, 4), (4, 3)]);
    assert!(position_of(&table[..5], true, first, 400).is_none(), "it is cut");
    assert!(position_of(&table[..5], true, first, 4).is_some(), "what is cut is behind");
    assert!(position_of(&[1], false, SourcePosition { line: 0, column: 0 }, 9).is_none(), "there is no such line");
    assert_eq!(position_of(&[], true, first, 9), Some(first));
}

proptest! {
    #[test]
    fn whatever_is_in_the_memory_it_is_read_or_not(
        version in 0..VERSIONS.len(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..40),
    ) {
        let mut guest = Guest::new(VERSIONS[version]);
        guest.call_function("outer", 10, 15);
        let own = guest.string("get area", 0);
        let code = guest.code("", "app.js", (5, 1), &guest.table());
        let function = guest.function(BYTECODE_FUNCTION, code, Some(own));
        guest.call(function, 0);
        let engine = guest.engine().expect("it is read");
        for (place, byte) in changes {
            let place = place.index(guest.bytes.len());
            guest.bytes[place] = byte;
        }
        let read = |engine: &QuickJs| {
            for frame in engine.frames(guest.memory()).flatten() {
                let Frame::Function { function, .. } = frame else { continue };
                let identity = engine.identity(guest.memory(), function);
                if let Some(function) = identity.and_then(|identity| engine.function(guest.memory(), &identity)) {
                    assert!(function.name.bytes.len() <= 512 && function.file.bytes.len() <= 512);
                    function.lines.format.position(function.lines.bytes, function.start, 9);
                }
            }
        };
        read(&engine);
        engine.is_in(guest.memory());
        if let Some(engine) = guest.engine() {
            read(&engine);
        }
    }

    #[test]
    fn whatever_a_table_is_it_has_a_line_or_none(table: Vec<u8>, has_columns: bool, line: u32, column: u32, at: u32) {
        let first = SourcePosition { line, column };
        let whole = lines::is_whole(&table, has_columns, first, u32::MAX);
        let position = position_of(&table, has_columns, first, at);
        prop_assert!(!whole || position.is_some());
    }

    #[test]
    fn whatever_a_frame_holds_nothing_is_found_where_nothing_is(held: Vec<u32>, bytes: Vec<u8>) {
        prop_assert!(QuickJs::of(GuestMemory::new(&bytes), &held).is_err());
    }
}
