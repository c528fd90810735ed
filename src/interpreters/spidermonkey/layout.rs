//! Where SpiderMonkey has what: offsets in bytes, on 32-bit WebAssembly.

/// Where an engine has what is read, and what it calls it, as far as that differs between versions.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Layout {
    /// In a `JSContext`: the innermost `js::Activation`.
    pub(super) activation: u32,
    /// In a `js::ScriptSourceObject`: its `js::ScriptSource`.
    pub(super) source: u32,
    /// What an arena of scripts says of itself: `js::gc::AllocKind::SCRIPT`.
    pub(super) script_kind: u8,
}

/// Firefox 127, in componentize-js 0.18.
pub(super) const FIREFOX_127: Layout = Layout { activation: 132, source: 16, script_kind: 18 };

/// Firefox 140, in componentize-js 0.19.
pub(super) const FIREFOX_140: Layout = Layout { activation: 136, source: 16, script_kind: 28 };

/// Firefox 147, in componentize-js 0.20 and later.
pub(super) const FIREFOX_147: Layout = Layout { activation: 132, source: 24, script_kind: 28 };

/// All that are known, the newest first.
pub(super) const ALL: [&Layout; 3] = [&FIREFOX_147, &FIREFOX_140, &FIREFOX_127];

/// `js::Activation`, and `js::InterpreterActivation`.
pub(super) mod activation {
    /// The `JSContext`.
    pub(crate) const CONTEXT: u32 = 0;
    /// The one further out.
    pub(crate) const PREVIOUS: u32 = 8;
    /// What has scheduled what runs: a `js::SavedFrame`, or zero.
    pub(crate) const SCHEDULER: u32 = 44;
    pub(crate) const KIND: u32 = 56;
    /// The instruction that executes.
    pub(crate) const INSTRUCTION: u32 = 64;
    /// The innermost frame.
    pub(crate) const FRAME: u32 = 68;
    /// The outermost frame.
    pub(crate) const ENTRY: u32 = 72;
}

/// `js::InterpreterFrame`.
pub(super) mod frame {
    pub(crate) const FLAGS: u32 = 0;
    pub(crate) const SCRIPT: u32 = 8;
    /// The one that has called.
    pub(crate) const PREVIOUS: u32 = 28;
    /// The instruction with which that has called.
    pub(crate) const PREVIOUS_INSTRUCTION: u32 = 32;
    /// What it was called with; what was called comes two values before. Anything, if it is no function.
    pub(crate) const ARGUMENTS: u32 = 44;
    /// How far what was allocated before it went: the end of the frame before it. One of two, by its size.
    pub(crate) const MARKS: [u32; 2] = [52, 60];
    /// The size without its slots, which have eight bytes each.
    pub(crate) const SIZE: u32 = 64;
    /// Flags that no frame has without a compiler: that its code is compiled, and those that do not exist.
    pub(crate) const NO_FLAGS: u32 = !0x2ff;
}

/// `js::SavedFrame`: what once was a frame, an object with slots of eight bytes.
pub(super) mod saved {
    pub(crate) const FILE: u32 = 16;
    pub(crate) const LINE: u32 = 32;
    pub(crate) const COLUMN: u32 = 40;
    pub(crate) const NAME: u32 = 48;
    /// The one further out.
    pub(crate) const PARENT: u32 = 64;
    /// The engine saves so many, where one has scheduled another.
    pub(crate) const MANY: u8 = 64;
}

/// `JSFunction`: an object with slots of eight bytes.
pub(super) mod function {
    pub(crate) const FLAGS: u32 = 16;
    pub(crate) const SCRIPT: u32 = 32;
    pub(crate) const NAME: u32 = 40;
    /// Flags: it has a script, and not only the promise of one.
    pub(crate) const HAS_SCRIPT: u32 = 1 << 5;
    pub(crate) const HAS_LAZY_SCRIPT: u32 = 1 << 6;
}

/// `js::BaseScript`.
pub(super) mod script {
    pub(crate) const SOURCE_OBJECT: u32 = 12;
    pub(crate) const LINE: u32 = 32;
    pub(crate) const COLUMN: u32 = 36;
    pub(crate) const FLAGS: u32 = 40;
    /// `js::SharedImmutableScriptData`.
    pub(crate) const SHARED: u32 = 52;
    pub(crate) const SIZE: u32 = 56;
    /// Flags.
    pub(crate) const IS_FUNCTION: u32 = 1 << 2;
    pub(crate) const IS_SELF_HOSTED: u32 = 1 << 3;
}

/// `js::SharedImmutableScriptData`: where the `js::ImmutableScriptData` is.
pub(super) const SHARED_DATA: u32 = 8;

/// `js::ImmutableScriptData`.
pub(super) mod data {
    /// Where the source notes end, before what is there as well in some.
    pub(crate) const OPTIONAL: u32 = 0;
    pub(crate) const CODE_LENGTH: u32 = 4;
    /// How many slots its frames have.
    pub(crate) const SLOTS: u32 = 16;
    pub(crate) const FLAGS: u32 = 32;
    /// The bytecode, after which come the source notes.
    pub(crate) const CODE: u32 = 33;
}

/// `js::ScriptSource`: where the name of the file is, and its hash; where the address of the source map is, or that map itself. Zero where
/// there is none.
pub(super) mod source {
    pub(crate) const FILE: u32 = 60;
    pub(crate) const FILE_HASH: u32 = 64;
    pub(crate) const MAP: u32 = 76;
}

/// Where texts of the engine's own are: a pointer to the bytes, and how many they are, with a zero at the end.
pub(super) mod text {
    pub(crate) const BYTES: u32 = 0;
    pub(crate) const LENGTH: u32 = 4;
}

/// Memory of the collector's comes in arenas, each with things of one kind, which end where it ends.
pub(super) mod arena {
    pub(crate) const SIZE: u32 = 4096;
    pub(crate) const KIND: u32 = 4;
}

/// What the first word of a thing of the collector's has where it has moved, beside where to.
pub(super) const HAS_MOVED: u32 = 1;

/// `JSString`.
pub(super) mod string {
    pub(crate) const FLAGS: u32 = 0;
    pub(crate) const LENGTH: u32 = 4;
    /// The characters, or where they are.
    pub(crate) const CHARACTERS: u32 = 8;
    /// Flags: what tells an atom, whose characters are its own, and that it is one.
    pub(crate) const KIND: u32 = 0x3f;
    pub(crate) const ATOM: u32 = 0x18;
    pub(crate) const IS_INLINE: u32 = 0x40;
    pub(crate) const IS_FAT: u32 = 0x80;
    pub(crate) const IS_LATIN1: u32 = 0x400;
    /// Where its hash is, by whether it has room for more characters inside.
    pub(crate) const HASH: u32 = 20;
    pub(crate) const HASH_FAT: u32 = 28;
}

/// What the upper half of a value says of the lower.
pub(super) mod tag {
    /// It is no value, but a pointer.
    pub(crate) const NONE: u32 = 0;
    pub(crate) const NUMBER: u32 = 0xffff_ff81;
    pub(crate) const UNDEFINED: u32 = 0xffff_ff83;
    pub(crate) const NULL: u32 = 0xffff_ff84;
    pub(crate) const STRING: u32 = 0xffff_ff86;
    pub(crate) const OBJECT: u32 = 0xffff_ff8c;
}
