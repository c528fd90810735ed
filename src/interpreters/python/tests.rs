//! The reader on memories that are made here, of each version. Where a field is in CPython's table is written down a second time, from the
//! headers of 3.13.18, 3.14.10 and 3.15.2: nothing here comes from the reader.

use proptest::prelude::*;

use super::super::PartOf;
use super::*;

/// Versions whose tables are known.
const VERSIONS: [Version; 3] = [Version::V13, Version::V14, Version::V15];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    V13,
    V14,
    V15,
}

/// What the version says of a final release, as `PY_VERSION_HEX` does: major, minor, micro, level and serial.
const RELEASE: [u32; 3] = [0x030d_12f0, 0x030e_00f0, 0x030f_02f0];

/// A number in the table: at which byte 3.13, 3.14 and 3.15 have it, and what it is here.
struct Field {
    at: [u32; 3],
    says: u32,
}

const fn field(at: [u32; 3], says: u32) -> Field {
    Field { at, says }
}

const VERSION: [u32; 3] = [8; 3];
const FREE_THREADED: [u32; 3] = [16; 3];
const TABLE_END: [u32; 3] = [584, 760, 888];

const RUNTIME_SIZE: Field = field([24; 3], 1024);
const INTERPRETERS_HEAD: Field = field([40; 3], 996);
const INTERPRETER_SIZE: Field = field([48; 3], 600);
const NEXT_INTERPRETER: Field = field([64; 3], 508);
const THREADS_HEAD: Field = field([72; 3], 516);
/// Not in 3.13.
const GENERATION: Field = field([0, 160, 160], 560);
const THREAD_SIZE: Field = field([152, 176, 176], 304);
const NEXT_THREAD: Field = field([168, 192, 192], 4);
const THREAD_INTERPRETER: Field = field([176, 200, 200], 8);
const CURRENT_FRAME: Field = field([184, 208, 208], 52);
/// Only 3.15 has it.
const BASE_FRAME: Field = field([0, 0, 216], 56);
const FRAME_SIZE: Field = field([224, 248, 312], 44);
const FRAME_PREVIOUS: Field = field([232, 256, 320], 4);
const FRAME_EXECUTABLE: Field = field([240, 264, 328], 0);
const FRAME_INSTRUCTION: Field = field([248, 272, 336], 28);
const FRAME_OWNER: Field = field([264, 288, 352], 38);
const CODE_SIZE: Field = field([272, 312, 376], 132);
const CODE_FILENAME: Field = field([280, 320, 384], 80);
const CODE_QUALNAME: Field = field([296, 336, 400], 88);
const CODE_LINETABLE: Field = field([304, 344, 408], 92);
const CODE_FIRST_LINE: Field = field([312, 352, 416], 44);
const CODE_INSTRUCTIONS: Field = field([344, 384, 448], 128);
const OBJECT_SIZE: Field = field([352, 400, 464], 8);
const OBJECT_TYPE: Field = field([360, 408, 472], 4);
const TYPE_SIZE: Field = field([368, 416, 480], 200);
const TYPE_NAME: Field = field([376, 424, 488], 12);
const BYTES_SIZE: Field = field([512, 592, 688], 20);
const BYTES_LENGTH: Field = field([520, 600, 696], 8);
const BYTES_DATA: Field = field([528, 608, 704], 16);
const TEXT_SIZE: Field = field([536, 616, 712], 32);
const TEXT_STATE: Field = field([544, 624, 720], 16);
const TEXT_LENGTH: Field = field([552, 632, 728], 8);
const TEXT_HEADER: Field = field([560, 640, 736], 20);

/// Sizes of structures, each with the fields that have to lie in it, and how many bytes they have at least.
const STRUCTURES: [(Field, &[(Field, u32)]); 9] = [
    (RUNTIME_SIZE, &[(INTERPRETERS_HEAD, 4)]),
    (INTERPRETER_SIZE, &[(NEXT_INTERPRETER, 4), (THREADS_HEAD, 4)]),
    (THREAD_SIZE, &[(NEXT_THREAD, 4), (THREAD_INTERPRETER, 4), (CURRENT_FRAME, 4)]),
    (OBJECT_SIZE, &[(OBJECT_TYPE, 4)]),
    (TYPE_SIZE, &[(TYPE_NAME, 4)]),
    (FRAME_SIZE, &[(FRAME_PREVIOUS, 4), (FRAME_EXECUTABLE, 4), (FRAME_INSTRUCTION, 4), (FRAME_OWNER, 1)]),
    (
        CODE_SIZE,
        &[(CODE_FILENAME, 4), (CODE_QUALNAME, 4), (CODE_LINETABLE, 4), (CODE_FIRST_LINE, 4), (CODE_INSTRUCTIONS, 0)],
    ),
    (BYTES_SIZE, &[(BYTES_LENGTH, 4), (BYTES_DATA, 0)]),
    (TEXT_SIZE, &[(TEXT_STATE, 4), (TEXT_LENGTH, 4), (TEXT_HEADER, 0)]),
];

/// A memory in which things are put, one after the other.
#[derive(Clone, Debug)]
struct Guest {
    version: Version,
    bytes: Vec<u8>,
    runtime: u32,
    interpreter: u32,
    /// Below it is what the interpreter's own code has on its stack.
    stack_pointer: u32,
    /// The type of code objects.
    code_type: u32,
    /// The thread, which knows its innermost frame.
    thread: u32,
    innermost: u32,
    /// All code objects.
    codes: Vec<u32>,
}

/// What is in a table of lines for an instruction of so many units.
#[derive(Clone, Copy, Debug)]
enum Location {
    /// The same line, with columns in two bytes.
    Near,
    /// None, one or two lines further, with columns in three.
    Forward(u8),
    /// So many lines further, without columns.
    Line(i32),
    /// The same with columns of any size.
    Long(i32),
    /// No line.
    Nowhere,
}

fn pad(bytes: &mut Vec<u8>) {
    bytes.resize(bytes.len().next_multiple_of(8), 0);
}

fn signed(value: i32) -> u32 {
    if value < 0 { value.unsigned_abs() << 1 | 1 } else { value.unsigned_abs() << 1 }
}

fn push_number(table: &mut Vec<u8>, mut number: u32) {
    while number >= 64 {
        table.push(64 | u8::try_from(number & 63).expect("six bits"));
        number >>= 6;
    }
    table.push(u8::try_from(number).expect("six bits"));
}

/// A table of lines.
fn linetable(locations: &[(u8, Location)]) -> Vec<u8> {
    let mut table = Vec::new();
    for (units, location) in locations {
        let mut head = |kind: u8| table.push(0x80 | kind << 3 | (units - 1));
        match *location {
            Location::Near => {
                head(4);
                table.push(0x23);
            }
            Location::Forward(lines) => {
                head(10 + lines);
                table.extend([4, 19]);
            }
            Location::Line(lines) => {
                head(13);
                push_number(&mut table, signed(lines));
            }
            Location::Long(lines) => {
                head(14);
                for number in [signed(lines), 1, 5, 2000] {
                    push_number(&mut table, number);
                }
            }
            Location::Nowhere => head(15),
        }
    }
    table
}

impl Guest {
    fn new(version: Version) -> Self {
        let mut guest = Self {
            version,
            bytes: vec![0; STACK as usize],
            runtime: 0,
            interpreter: 0,
            stack_pointer: STACK,
            code_type: 0,
            thread: 0,
            innermost: 0,
            codes: Vec::new(),
        };
        let end = TABLE_END[version as usize];
        guest.runtime = guest.room(RUNTIME_SIZE.says.max(end));
        guest.interpreter = guest.room(INTERPRETER_SIZE.says);
        guest.thread = guest.room(THREAD_SIZE.says);
        guest.code_type = guest.type_object(b"code\0");
        let runtime = guest.runtime;
        // What is not read may be anything.
        guest.bytes[runtime as usize..][..end as usize].fill(0xa5);
        guest.bytes[runtime as usize..][..8].copy_from_slice(b"xdebugpy");
        guest.say(VERSION, u64::from(RELEASE[version as usize]));
        guest.say(FREE_THREADED, 0);
        for (size, fields) in &STRUCTURES {
            guest.say(size.at, size.says.into());
            for (field, _) in *fields {
                guest.say(field.at, field.says.into());
            }
        }
        if version == Version::V15 {
            guest.say(BASE_FRAME.at, BASE_FRAME.says.into());
            // The list ends with a frame that no run began with.
            let base = guest.frame(0, 0, 3);
            guest.put(guest.thread + BASE_FRAME.says, base);
        }
        if version != Version::V13 {
            guest.say(GENERATION.at, GENERATION.says.into());
        }
        guest.put(runtime + INTERPRETERS_HEAD.says, guest.interpreter);
        guest.put(guest.interpreter + THREADS_HEAD.says, guest.thread);
        guest.put(guest.thread + THREAD_INTERPRETER.says, guest.interpreter);
        guest
    }

    fn room(&mut self, size: u32) -> u32 {
        pad(&mut self.bytes);
        let at = self.bytes.len();
        self.bytes.resize(at + size as usize, 0);
        u32::try_from(at).expect("a small memory")
    }

    fn put(&mut self, at: u32, word: u32) {
        self.bytes[at as usize..][..4].copy_from_slice(&word.to_le_bytes());
    }

    /// Writes into the table.
    fn say(&mut self, at: [u32; 3], number: u64) {
        let at = self.runtime + at[self.version as usize];
        self.bytes[at as usize..][..8].copy_from_slice(&number.to_le_bytes());
    }

    fn type_object(&mut self, name: &[u8]) -> u32 {
        let at = self.room(TYPE_SIZE.says);
        let name_at = self.room(16);
        self.bytes[name_at as usize..][..name.len()].copy_from_slice(name);
        self.put(at + TYPE_NAME.says, name_at);
        at
    }

    /// A thread of another interpreter, on which nothing runs yet.
    fn other_interpreter(&mut self) -> u32 {
        let (interpreter, thread) = (self.room(INTERPRETER_SIZE.says), self.room(THREAD_SIZE.says));
        // The newest comes first.
        self.put(self.runtime + INTERPRETERS_HEAD.says, interpreter);
        self.put(interpreter + NEXT_INTERPRETER.says, self.interpreter);
        self.put(interpreter + THREADS_HEAD.says, thread);
        self.put(thread + THREAD_INTERPRETER.says, interpreter);
        thread
    }

    /// A string, in as few bytes for each character as Python uses.
    fn text(&mut self, text: &str) -> u32 {
        let widest = text.chars().map(u32::from).max().unwrap_or(0);
        let (width, is_ascii) = match widest {
            0..=0x7f => (1, true),
            0x80..=0xff => (1, false),
            0x100..=0xffff => (2, false),
            _ => (4, false),
        };
        let at = self.room(TEXT_SIZE.says);
        // Interned, compact, statically allocated.
        let state = 1 | width << 2 | 1 << 5 | u32::from(is_ascii) << 6 | 1 << 7;
        self.put(at + TEXT_STATE.says, state);
        self.put(at + TEXT_LENGTH.says, u32::try_from(text.chars().count()).expect("short"));
        self.bytes.truncate(at as usize + TEXT_HEADER.says as usize + if is_ascii { 0 } else { 8 });
        for character in text.chars() {
            let bytes = u32::from(character).to_le_bytes();
            self.bytes.extend(&bytes[..width as usize]);
        }
        // Python ends it with a zero.
        self.bytes.extend([0; 4]);
        at
    }

    fn bytes_object(&mut self, data: &[u8]) -> u32 {
        let at = self.room(BYTES_DATA.says);
        self.put(at + BYTES_LENGTH.says, u32::try_from(data.len()).expect("short"));
        self.bytes.extend(data);
        self.bytes.push(0);
        at
    }

    fn code(&mut self, qualname: &str, filename: &str, first_line: u32, locations: &[(u8, Location)]) -> u32 {
        let (qualname, filename) = (self.text(qualname), self.text(filename));
        let table = self.bytes_object(&linetable(locations));
        let units: u32 = locations.iter().map(|(units, _)| u32::from(*units)).sum();
        let at = self.room(CODE_INSTRUCTIONS.says + 2 * units);
        self.put(at + OBJECT_TYPE.says, self.code_type);
        self.put(at + CODE_QUALNAME.says, qualname);
        self.put(at + CODE_FILENAME.says, filename);
        self.put(at + CODE_LINETABLE.says, table);
        self.put(at + CODE_FIRST_LINE.says, first_line);
        self.codes.push(at);
        at
    }

    /// Puts a frame on top of what runs.
    fn frame(&mut self, executable: u32, instruction: u32, owner: u8) -> u32 {
        let is_run = owner >= 3;
        let at = if is_run {
            self.stack_pointer -= FRAME_SIZE.says.next_multiple_of(16);
            self.stack_pointer
        } else {
            self.room(FRAME_SIZE.says)
        };
        self.put(at + FRAME_EXECUTABLE.says, executable);
        self.put(at + FRAME_PREVIOUS.says, self.innermost);
        self.put(at + FRAME_INSTRUCTION.says, instruction);
        self.bytes[(at + FRAME_OWNER.says) as usize] = owner;
        self.innermost = at;
        self.put(self.thread + CURRENT_FRAME.says, at);
        at
    }

    /// Calls a function, which gets to the instruction that so many units are before.
    fn call(&mut self, code: u32, units: u32) -> u32 {
        self.frame(code, code + CODE_INSTRUCTIONS.says + 2 * units, 0)
    }

    /// Begins a run of the evaluation loop. Its frame has no code, but `None`, which begins in the last bits as a code object does.
    fn run(&mut self) -> u32 {
        let none = self.room(8);
        self.frame(none | 1, none, 3)
    }

    fn memory(&self) -> GuestMemory<'_> {
        GuestMemory::new(&self.bytes)
    }

    fn python(&self) -> Python {
        Python::at(self.memory(), self.runtime).expect("a table that is right")
    }

    /// What is known of a code object.
    fn described(&self, code: u32) -> Option<Function<'_>> {
        let mut python = self.python();
        let identity = python.identity(self.memory(), code)?;
        python.function(self.memory(), &identity)
    }

    /// What runs, innermost first: functions with the lines they are in, `-` where a run begins, `?` where it cannot be told further.
    fn stack(&self) -> Vec<String> {
        let python = self.python();
        let frames = python.frames(self.memory(), self.thread);
        frames
            .map(|frame| match frame {
                Some(Frame::Function { function, instruction }) => {
                    let code = self.described(function.address()).expect("a code object");
                    let unit = (instruction - code.instructions) / 2;
                    let line = line_of(code.lines.bytes, code.start.line, unit);
                    format!("{} ({}:{})", code.name, code.file, line.map_or(0, |line| line))
                }
                Some(Frame::Run { .. }) => "-".to_owned(),
                None => "?".to_owned(),
            })
            .collect()
    }
}

/// Where the stack of the interpreter's own code begins.
const STACK: u32 = 4096;

/// A function whose units are of lines 11, 12, 12, 30, of no line, and of line 9.
const LOCATIONS: [(u8, Location); 5] = [
    (1, Location::Forward(1)),
    (2, Location::Line(1)),
    (1, Location::Long(18)),
    (1, Location::Nowhere),
    (1, Location::Line(-21)),
];

/// `main` calls C, which calls a key function, which calls a lambda.
fn example(version: Version) -> Guest {
    let mut guest = Guest::new(version);
    let main = guest.code("Run.run", "/0/app.py", 10, &LOCATIONS);
    let key = guest.code("größe.<locals>.<genexpr>", "/0/日本.py", 10, &LOCATIONS);
    let lambda = guest.code("<lambda>", "/0/🐍.py", 10, &LOCATIONS);
    guest.run();
    guest.call(main, 1);
    guest.run();
    guest.call(key, 3);
    guest.call(lambda, 5);
    guest
}

#[test]
fn frames_come_innermost_first_with_names_and_lines() {
    for version in VERSIONS {
        let expected =
            ["<lambda> (/0/🐍.py:9)", "größe.<locals>.<genexpr> (/0/日本.py:30)", "-", "Run.run (/0/app.py:12)", "-"];
        assert_eq!(example(version).stack(), expected, "{version:?}");
    }
}

#[test]
fn nothing_runs_before_the_first_call() {
    for version in VERSIONS {
        assert!(Guest::new(version).stack().is_empty());
    }
}

#[test]
fn every_instruction_has_its_line() {
    let mut guest = Guest::new(Version::V14);
    let code = guest.code("f", "app.py", 10, &LOCATIONS);
    guest.run();
    for unit in (0..6).rev() {
        guest.call(code, unit);
    }
    let lines: Vec<String> =
        [11, 12, 12, 30, 0, 9].iter().map(|line| format!("f (app.py:{line})")).chain(["-".to_owned()]).collect();
    assert_eq!(guest.stack(), lines);
}

#[test]
fn a_line_that_is_too_far_is_none() {
    // The largest number, as often as it takes to get past every other.
    let entry = [&[0x80 | 13 << 3][..], &[0x7f; 9], &[0x3e]].concat();
    let table = entry.repeat(64);
    assert!((0..64).all(|unit| line_of(&table, 1, unit).is_none()));
}

#[test]
fn references_have_tags_in_their_low_bits() {
    for version in VERSIONS {
        for tags in 0..4 {
            let mut guest = Guest::new(version);
            let code = guest.code("f", "app.py", 7, &[(1, Location::Near)]);
            guest.run();
            guest.frame(code | tags, code + CODE_INSTRUCTIONS.says, 1);
            // With both, it is a number.
            let expected = if tags == 3 { &["?"][..] } else { &["f (app.py:7)", "-"] };
            assert_eq!(guest.stack(), expected, "{version:?}, {tags}");
        }
    }
}

#[test]
fn the_frame_that_all_lists_end_with_is_no_run() {
    // Only 3.15 has it. What it points to is not read.
    let mut guest = example(Version::V15);
    let base = guest.memory().u32(guest.thread + BASE_FRAME.says).expect("a word");
    assert_eq!(guest.stack().last().map(String::as_str), Some("-"));
    guest.put(base + FRAME_PREVIOUS.says, guest.innermost);
    assert_eq!(guest.stack().len(), 5);
    guest.put(guest.thread + CURRENT_FRAME.says, base);
    assert!(guest.stack().is_empty());
    guest.say(BASE_FRAME.at, u64::from(THREAD_SIZE.says) - 3);
    assert_eq!(Python::at(guest.memory(), guest.runtime).map(drop), Err(InterpreterProblem::Contradiction));
}

#[test]
fn generators_are_frames_as_functions_are() {
    let mut guest = Guest::new(Version::V14);
    let code = guest.code("numbers", "app.py", 7, &[(1, Location::Near)]);
    guest.run();
    // Owned by a thread, a generator, a frame object; from 3 on by the evaluation loop.
    for owner in 0..6 {
        guest.frame(code, code + CODE_INSTRUCTIONS.says, owner);
    }
    let function = "numbers (app.py:7)";
    assert_eq!(guest.stack(), ["-", "-", "-", function, function, function, "-"]);
}

#[test]
fn long_names_are_cut() {
    let mut guest = Guest::new(Version::V14);
    let names = ["a", "ä", "л", "🐍"].map(|character| character.repeat(300));
    guest.run();
    for name in &names {
        let code = guest.code(name, "app.py", 1, &[(1, Location::Near)]);
        guest.call(code, 0);
    }
    for (code, name) in guest.codes.iter().zip(&names) {
        let cut: String = name.chars().take(256).collect();
        assert_eq!(guest.described(*code).expect("a code object").name.to_string(), cut);
    }
}

#[test]
fn text_whose_characters_are_elsewhere_is_no_name() {
    let mut guest = Guest::new(Version::V14);
    let code = guest.code("f", "app.py", 1, &[(1, Location::Near)]);
    let name = guest.memory().u32(code + CODE_QUALNAME.says).expect("a word");
    // Not compact; and characters of no size, and of three bytes.
    for state in [1 << 2 | 1 << 6, 1 << 5 | 1 << 6, 3 << 2 | 1 << 5] {
        guest.put(name + TEXT_STATE.says, state);
        assert!(guest.described(code).is_none(), "{state:#x}");
    }
}

#[test]
fn the_function_between_a_class_and_its_init_is_internal() {
    let mut guest = Guest::new(Version::V14);
    let names = [("__init__", "__init__"), ("Shape.__init__", "app.py"), ("__init__", "app.py"), ("f", "__init__")];
    let internal = names.map(|(name, file)| {
        let code = guest.code(name, file, 1, &[(1, Location::Near)]);
        guest.described(code).expect("a code object").part_of == PartOf::Machinery
    });
    assert_eq!(internal, [true, false, false, false]);
}

#[test]
fn only_code_objects_are_functions() {
    let mut guest = example(Version::V14);
    let main = guest.codes[0];
    assert!(guest.described(main).is_some());
    let other = guest.type_object(b"coder\0");
    guest.put(main + OBJECT_TYPE.says, other);
    assert!(guest.described(main).is_none());
    guest.put(main + OBJECT_TYPE.says, 3);
    assert!(guest.described(main).is_none());
}

#[test]
fn threads_of_all_interpreters_are_found() {
    for version in VERSIONS {
        let mut guest = example(version);
        let other = guest.other_interpreter();
        assert_eq!(guest.python().threads(guest.memory()).collect::<Vec<_>>(), [other, guest.thread]);
        // Each counts for itself.
        assert_eq!(guest.python().generation(guest.memory()), None);
        // What is no interpreter is told by its threads.
        guest.put(other + THREAD_INTERPRETER.says, other);
        assert_eq!(Python::at(guest.memory(), guest.runtime).map(drop), Err(InterpreterProblem::Contradiction));
    }
}

#[test]
fn deaths_of_code_objects_are_counted() {
    for version in VERSIONS {
        let mut guest = example(version);
        let before = guest.python().generation(guest.memory());
        assert_eq!(before.is_some(), version != Version::V13);
        guest.put(guest.interpreter + GENERATION.says, 963);
        assert_eq!(guest.python().generation(guest.memory()), before.map(|_| 963));
    }
}

#[test]
fn a_list_that_goes_back_inwards_ends() {
    // 3.13 links a frame late: until then, what was there before leads anywhere.
    for version in VERSIONS {
        let mut guest = example(version);
        let run = guest.run();
        let main = guest.codes[0];
        guest.call(main, 0);
        assert_eq!(guest.stack().len(), 7);
        let outer = guest.innermost;
        guest.put(outer + FRAME_PREVIOUS.says, run);
        guest.put(run + FRAME_PREVIOUS.says, run);
        assert_eq!(guest.stack(), ["Run.run (/0/app.py:11)", "-", "?"], "{version:?}");
    }
}

#[test]
fn functions_have_the_same_number_only_if_they_are_the_same() {
    let mut guest = Guest::new(Version::V14);
    let many: Vec<(u8, Location)> = (0..900).map(|_| (1, Location::Line(1))).collect();
    let code = |guest: &mut Guest, name, file, line, locations: &[_]| {
        let code = guest.code(name, file, line, locations);
        guest.described(code).expect("a code object").hash(7)
    };
    let first = code(&mut guest, "f", "app.py", 1, &many);
    assert_eq!(code(&mut guest, "f", "app.py", 1, &many), first, "another object of the same function");
    let mut others = vec![
        code(&mut guest, "g", "app.py", 1, &many),
        code(&mut guest, "f", "app.pyc", 1, &many),
        code(&mut guest, "fa", "pp.py", 1, &many),
        code(&mut guest, "f", "app.py", 2, &many),
        code(&mut guest, "f", "app.py", 1, &many[1..]),
    ];
    for change in [0, 20, 880, 899] {
        let mut changed = many.clone();
        changed[change].1 = Location::Line(2);
        others.push(code(&mut guest, "f", "app.py", 1, &changed));
    }
    // Names that a weaker mixture would not tell apart, whatever it begins with.
    others.extend(["aaaaaaaiaaaaaaaa", "aaaaaaa\u{e9}qaaaaaaa"].map(|name| code(&mut guest, name, "app.py", 1, &many)));
    others.push(first);
    others.sort_unstable();
    others.dedup();
    assert_eq!(others.len(), 12);
}

#[test]
fn a_memory_without_a_table_has_no_python() {
    let mut guest = example(Version::V14);
    let at = |guest: &Guest, runtime| Python::at(guest.memory(), runtime).map(drop);
    assert_eq!(at(&guest, guest.runtime + 8), Err(InterpreterProblem::NoTable));
    assert_eq!(at(&guest, u32::MAX - 3), Err(InterpreterProblem::NoTable));
    guest.bytes[guest.runtime as usize + 7] = b'z';
    assert_eq!(at(&guest, guest.runtime), Err(InterpreterProblem::NoTable));
    assert_eq!(Python::at(GuestMemory::new(&[]), 0).map(drop), Err(InterpreterProblem::NoTable));
}

#[test]
fn a_table_that_ends_with_the_memory_is_cut() {
    for version in VERSIONS {
        let guest = example(version);
        let end = guest.runtime + TEXT_HEADER.at[version as usize] + 8;
        for length in guest.runtime..end {
            let memory = GuestMemory::new(&guest.bytes[..length as usize]);
            assert_eq!(
                Python::at(memory, guest.runtime).map(drop),
                Err(InterpreterProblem::NoTable),
                "{version:?}, {length}"
            );
        }
        let memory = GuestMemory::new(&guest.bytes[..end as usize]);
        let python = Python {
            runtime: guest.runtime,
            offsets: Offsets::read(memory, guest.runtime).expect("a whole table"),
            head: [0; 2],
            code_type: None,
        };
        // What it leads to is not there.
        assert_eq!(python.frames(memory, guest.thread).collect::<Vec<_>>(), [None]);
    }
}

fn problem_of_version(version: u32) -> Option<InterpreterProblem> {
    let mut guest = example(Version::V14);
    guest.say(VERSION, version.into());
    Python::at(guest.memory(), guest.runtime).err()
}

#[test]
fn other_versions_are_refused() {
    for (hex, major, minor) in
        [(0x030c_0af0, 3, 12), (0x0310_00f0, 3, 16), (0x020e_00f0, 2, 14), (0x040e_00f0, 4, 14), (0, 0, 0)]
    {
        assert_eq!(problem_of_version(hex), Some(InterpreterProblem::Version { major, minor }), "{hex:#x}");
    }
    // Every patch of a known one has the same table.
    for hex in [0x030e_00f0, 0x030e_0af0, 0x030e_fff0] {
        assert_eq!(problem_of_version(hex), None, "{hex:#x}");
    }
}

#[test]
fn what_comes_before_a_release_is_refused() {
    // Alphas, betas, and candidates.
    for hex in [0x030e_00a7, 0x030e_00b1, 0x030e_00c3, 0x030e_0000] {
        assert_eq!(problem_of_version(hex), Some(InterpreterProblem::BeforeRelease), "{hex:#x}");
    }
}

#[test]
fn a_python_without_the_lock_is_refused() {
    for version in VERSIONS {
        let mut guest = example(version);
        guest.say(FREE_THREADED, 1);
        assert_eq!(Python::at(guest.memory(), guest.runtime).map(drop), Err(InterpreterProblem::FreeThreaded));
    }
}

#[test]
fn contradictions_are_refused() {
    for version in VERSIONS {
        let guest = example(version);
        let refused = |change: &dyn Fn(&mut Guest)| {
            let mut guest = guest.clone();
            change(&mut guest);
            Offsets::read(guest.memory(), guest.runtime).err()
        };
        let contradiction = Some(InterpreterProblem::Contradiction);
        for (size, fields) in &STRUCTURES {
            for (field, bytes) in *fields {
                let last = u64::from(size.says - bytes);
                assert_eq!(refused(&|guest| guest.say(field.at, last)), None, "{version:?}, {:?}", field.at);
                for outside in [last + 1, u64::from(u32::MAX), 1 << 32, u64::MAX] {
                    let found = refused(&|guest| guest.say(field.at, outside));
                    assert_eq!(found, contradiction, "{version:?}, {:?}: {outside}", field.at);
                }
            }
            for wrong in [0, 1 << 40, u64::MAX] {
                let found = refused(&|guest| guest.say(size.at, wrong));
                assert_eq!(found, contradiction, "{version:?}, {:?}: {wrong}", size.at);
            }
        }
    }
}

#[test]
fn a_list_that_leads_nowhere_ends_there() {
    let mut guest = example(Version::V14);
    let main = guest.codes[0];
    guest.innermost = u32::MAX - 2;
    guest.call(main, 0);
    assert_eq!(guest.stack(), ["Run.run (/0/app.py:11)", "?"]);
    // The next one is only half in the memory.
    let last = guest.call(main, 0);
    guest.put(last + FRAME_PREVIOUS.says, last + FRAME_SIZE.says - FRAME_OWNER.says);
    assert_eq!(guest.stack(), ["Run.run (/0/app.py:11)", "?"]);
}

#[test]
fn a_circle_ends() {
    for version in VERSIONS {
        let mut guest = example(version);
        let innermost = guest.innermost;
        let outermost = guest.run();
        guest.put(outermost + FRAME_PREVIOUS.says, innermost);
        // The frame that was the first is the last but one of a circle.
        let main = guest.codes[0];
        let last = guest.call(main, 0);
        guest.put(last + FRAME_PREVIOUS.says, last);
        let frames = guest.python().frames(guest.memory(), guest.thread).count();
        assert_eq!(frames, MAX_FRAMES, "{version:?}");
    }
}

/// Reads all that can be read, and returns how many frames there are.
pub(super) fn read_all(bytes: &[u8], runtime: u32, codes: &[u32]) -> usize {
    let memory = GuestMemory::new(bytes);
    let Ok(python) = Python::at(memory, runtime) else { return 0 };
    let mut reader = python.clone();
    let mut describe = |code: u32, instruction: u32| {
        let Some(identity) = reader.identity(memory, code) else { return };
        let Some(found) = reader.function(memory, &identity) else { return };
        let _ = (found.name.to_string(), found.file.to_string(), found.part_of, found.hash(7));
        let _ = line_of(found.lines.bytes, found.start.line, instruction.wrapping_sub(found.instructions) / 2);
    };
    let _ = python.generation(memory);
    let mut frames = 0;
    let mut last = None;
    for frame in python.threads(memory).take(2).flat_map(|thread| python.frames(memory, thread)) {
        frames += 1;
        // In a circle, one that was described does not need it again.
        if let Some(Frame::Function { function, instruction }) = frame
            && last.replace((function, instruction)) != Some((function, instruction))
        {
            describe(function.address(), instruction);
        }
    }
    for code in codes {
        describe(*code, code + 4);
    }
    frames
}

fn any_version() -> impl Strategy<Value = Version> {
    prop::sample::select(&VERSIONS[..])
}

/// A word that is wrong in a way that matters: close to an end, or an address of something else.
fn any_word() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0), Just(u32::MAX), Just(1 << 31), 0..4096_u32, any::<u32>()]
}

fn any_location() -> impl Strategy<Value = Location> {
    prop_oneof![
        Just(Location::Near),
        (0..3_u8).prop_map(Location::Forward),
        (-2000..2000_i32).prop_map(Location::Line),
        (-2000..2000_i32).prop_map(Location::Long),
        Just(Location::Nowhere),
    ]
}

proptest! {
    #[test]
    fn damaged_bytes_do_no_harm(
        version in any_version(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..24),
    ) {
        let mut guest = example(version);
        for (at, byte) in damage {
            let at = at.index(guest.bytes.len());
            guest.bytes[at] = byte;
        }
        prop_assert!(read_all(&guest.bytes, guest.runtime, &guest.codes) <= 2 * MAX_FRAMES);
    }

    #[test]
    fn damaged_words_do_no_harm(
        version in any_version(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any_word()), 1..6),
        length in prop::option::of(any::<prop::sample::Index>()),
    ) {
        let mut guest = example(version);
        for (at, word) in damage {
            let at = at.index(guest.bytes.len() / 4 - 1) * 4;
            guest.bytes[at..at + 4].copy_from_slice(&word.to_le_bytes());
        }
        if let Some(length) = length {
            let length = length.index(guest.bytes.len());
            guest.bytes.truncate(length);
        }
        prop_assert!(read_all(&guest.bytes, guest.runtime, &guest.codes) <= 2 * MAX_FRAMES);
    }

    #[test]
    fn what_the_table_leads_to_may_be_anything(version in any_version(), seed: u64) {
        let mut guest = example(version);
        let table = guest.runtime as usize..guest.runtime as usize + TABLE_END[version as usize] as usize;
        let mut random = seed | 1;
        for (at, byte) in guest.bytes.iter_mut().enumerate() {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            // Addresses that are small are more likely to be of something.
            if !table.contains(&at) && at % 4 < 2 {
                *byte = random.to_le_bytes()[0] & if at % 4 == 1 { 0x0f } else { 0xff };
            }
        }
        prop_assert!(read_all(&guest.bytes, guest.runtime, &guest.codes) <= 2 * MAX_FRAMES);
    }

    #[test]
    fn a_memory_may_end_anywhere(version in any_version(), length: prop::sample::Index) {
        let guest = example(version);
        let bytes = &guest.bytes[..length.index(guest.bytes.len())];
        prop_assert!(read_all(bytes, guest.runtime, &guest.codes) <= 2 * MAX_FRAMES);
    }

    #[test]
    fn any_name_is_read(name in "\\PC{0,40}", file in "[a-zà-ÿ/.]{1,40}", version in any_version()) {
        let mut guest = Guest::new(version);
        let code = guest.code(&name, &file, 1, &[(1, Location::Near)]);
        let code = guest.described(code).expect("a code object");
        prop_assert_eq!((code.name.to_string(), code.file.to_string()), (name, file));
    }

    #[test]
    fn any_table_of_lines_is_read(
        first in 100_000..200_000_u32,
        locations in prop::collection::vec((1..9_u8, any_location()), 0..40),
    ) {
        let table = linetable(&locations);
        let (mut line, mut unit) = (i64::from(first), 0);
        for (units, location) in &locations {
            let has_line = match location {
                Location::Near => true,
                Location::Forward(lines) => {
                    line += i64::from(*lines);
                    true
                }
                Location::Line(lines) | Location::Long(lines) => {
                    line += i64::from(*lines);
                    true
                }
                Location::Nowhere => false,
            };
            for _ in 0..*units {
                let expected = u32::try_from(line).ok().filter(|_| has_line);
                prop_assert_eq!(line_of(&table, first, unit), expected);
                unit += 1;
            }
        }
        prop_assert_eq!(line_of(&table, first, unit), None);
    }
}
