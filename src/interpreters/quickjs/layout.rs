//! Where QuickJS has what: offsets in bytes, on 32-bit WebAssembly.

/// Where a version has what is read, as far as that differs between versions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    pub(super) header: Header,
    /// In a `JSStackFrame`: the instruction that executes, or that has called.
    pub(super) instruction: u32,
    pub(super) object: Object,
    pub(super) code: Code,
}

/// Where an object that is counted has what every such object has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Header {
    /// In itself.
    Inside,
    /// Before itself.
    Before,
}

/// A `JSObject`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Object {
    pub(super) class: u32,
    pub(super) shape: u32,
    /// The values of its properties.
    pub(super) values: u32,
    /// Of a function of a script: its code.
    pub(super) code: u32,
}

/// A `JSFunctionBytecode`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Code {
    /// Where the instructions are; after that, how many bytes they have, and what the function is called.
    pub(super) instructions: u32,
    /// The `JSContext`.
    pub(super) context: u32,
    pub(super) file: u32,
    /// Line and column of its start.
    pub(super) start: Start,
    /// The table of lines: how many bytes it has, and where it is.
    pub(super) lines: (u32, u32),
    /// Whether the table has columns.
    pub(super) has_columns: bool,
    /// A byte, of which [`HAS_DEBUG`] says whether there is anything from the file on. `None` if there always is.
    pub(super) has_debug: Option<u32>,
}

/// Where a function says where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Start {
    /// Its line; no column.
    Line(u32),
    /// Its line, and its column.
    Position(u32, u32),
    /// In the first two numbers of the table of lines.
    InTable,
}

pub(super) const HAS_DEBUG: u8 = 1 << 2;

/// Objects of all versions before the two that follow.
const OBJECT: Object = Object { class: 6, shape: 16, values: 20, code: 32 };

/// Fabrice Bellard's QuickJS of 2020 to 2024.
const BELLARD_2020: Layout = Layout {
    header: Header::Inside,
    instruction: 32,
    object: OBJECT,
    code: Code {
        instructions: 20,
        context: 48,
        file: 64,
        start: Start::Line(68),
        lines: (76, 80),
        has_columns: false,
        has_debug: Some(18),
    },
};

/// The same as rquickjs 0.4 to 0.6 changed it, in javy 2 to 7. Columns, which are in a table of their own there, are not read.
const RQUICKJS: Layout = Layout { code: Code { lines: (80, 88), ..BELLARD_2020.code }, ..BELLARD_2020 };

/// Fabrice Bellard's of 2025.
const BELLARD_2025: Layout = Layout {
    object: Object { shape: 20, values: 24, ..OBJECT },
    code: Code { start: Start::InTable, lines: (72, 76), has_columns: true, ..BELLARD_2020.code },
    ..BELLARD_2020
};

/// Fabrice Bellard's of 2026.
const BELLARD_2026: Layout = Layout {
    header: Header::Before,
    instruction: 28,
    object: Object { class: 10, shape: 16, values: 20, code: 24 },
    code: Code {
        instructions: 12,
        context: 44,
        file: 60,
        start: Start::InTable,
        lines: (68, 72),
        has_columns: true,
        has_debug: Some(10),
    },
};

/// quickjs-ng 0.4 to 0.8.
const NG_0_4: Layout = Layout {
    code: Code {
        file: 68,
        start: Start::Position(72, 76),
        lines: (84, 88),
        has_columns: true,
        has_debug: None,
        ..BELLARD_2020.code
    },
    ..BELLARD_2020
};

/// quickjs-ng 0.9 to 0.11.
const NG_0_9: Layout =
    Layout { code: Code { file: 64, start: Start::Position(68, 72), lines: (80, 84), ..NG_0_4.code }, ..NG_0_4 };

/// quickjs-ng 0.12 to 0.15.
const NG_0_12: Layout = Layout { instruction: 28, code: Code { context: 56, ..NG_0_9.code }, ..NG_0_9 };

/// quickjs-ng 0.16 and 0.17.
const NG_0_16: Layout = Layout {
    header: Header::Before,
    instruction: 28,
    object: Object { class: 10, shape: 12, values: 16, code: 24 },
    code: Code {
        instructions: 12,
        context: 48,
        file: 56,
        start: Start::Position(60, 64),
        lines: (72, 76),
        has_columns: true,
        has_debug: None,
    },
};

/// All that are known, the newest first. quickjs-ng 0.1 to 0.3 is as the oldest.
pub(super) const ALL: [&Layout; 8] =
    [&NG_0_16, &BELLARD_2026, &NG_0_12, &NG_0_9, &NG_0_4, &BELLARD_2025, &RQUICKJS, &BELLARD_2020];

/// A `JSRuntime`, from its `atom_hash_size` on: what is before differs between versions and builds.
pub(super) mod runtime {
    /// Where that may be, from the start.
    pub(crate) const STARTS: [u32; 4] = [36, 40, 540, 548];
    /// The table that finds atoms: how many places it has, and at how many atoms it gets more.
    pub(crate) const PLACES: u32 = 0;
    pub(crate) const LIMIT: u32 = 12;
    /// How many atoms there are, and how many places for them; where they are.
    pub(crate) const COUNT: u32 = 4;
    pub(crate) const SIZE: u32 = 8;
    pub(crate) const ATOMS: u32 = 20;
    /// Where the innermost `JSStackFrame` may be.
    pub(crate) const INNERMOST: [u32; 4] = [104, 108, 112, 116];
}

/// A `JSStackFrame`.
pub(super) mod frame {
    /// The one further out.
    pub(crate) const PREVIOUS: u32 = 0;
    /// The function: a value.
    pub(crate) const FUNCTION: u32 = 8;
}

/// What has a counted object, by where its header is.
impl Header {
    /// Where a `JSContext` has its `JSRuntime`.
    pub(super) const fn runtime_of_context(self) -> u32 {
        match self {
            Self::Inside => 16,
            Self::Before => 8,
        }
    }

    /// Where a `JSShape` has how many places its table has, less one; then come how much room there is for properties, and how many there are.
    pub(super) const fn places_of_shape(self) -> u32 {
        match self {
            Self::Inside => 24,
            Self::Before => 16,
        }
    }
}

/// A `JSShape`.
pub(super) mod shape {
    /// Where its properties are, if they are not behind its table.
    pub(crate) const PROPERTIES: u32 = 48;
    /// Where its table is, if they are.
    pub(crate) const TABLE: u32 = 40;
    /// In the first half of a property: its flags, and those that say that it is no plain value.
    pub(crate) const FLAGS: u32 = 26;
    pub(crate) const KIND: u32 = 0x30;
}

/// Where a string has its length, and its characters. A hash is behind the length.
pub(super) const STRINGS: [(u32, u32); 6] = [(4, 16), (4, 20), (4, 28), (0, 12), (0, 16), (0, 24)];

/// What is said in a string's length beside that: that its characters have two bytes.
pub(super) const IS_WIDE: u32 = 1 << 31;

/// What is said in its hash beside that: that it is an atom; and, in some versions, what else than a string of its own it is.
pub(super) const ATOM: u32 = 3 << 30;
pub(super) const KINDS: u32 = 3 << 28;

/// In an atom: that it is a number.
pub(super) const IS_NUMBER: u32 = 1 << 31;

/// Where an atom is not any more.
pub(super) const IS_FREE: u32 = 1;

/// Kinds of counted objects.
pub(super) mod kind {
    pub(crate) const OBJECT: u8 = 0;
    pub(crate) const CODE: u8 = 1;
    pub(crate) const CONTEXT: u8 = 5;
}

/// Classes of functions that are the engine's own: `JS_CLASS_C_FUNCTION`, `JS_CLASS_C_FUNCTION_DATA`, and `JS_CLASS_C_CLOSURE`.
pub(super) const NATIVE_CLASSES: [u16; 3] = [12, 15, 16];

/// What the upper half of a value says of the lower.
pub(super) mod tag {
    pub(crate) const STRING: u32 = 0xffff_fff9;
    pub(crate) const OBJECT: u32 = 0xffff_ffff;
}
