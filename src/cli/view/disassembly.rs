//! Machine code as instructions for a reader.

use std::collections::HashMap;

use object::Architecture;
use yaxpeax_arch::{Decoder as _, LengthedInstruction as _, U8Reader};
use yaxpeax_arm::armv8::a64;
use yaxpeax_x86::amd64;

/// An instruction: where it begins, counted from the first, and its text.
pub(super) type Instruction = (u32, String);

/// What the front-end calls an architecture; `None` if its code cannot be read.
pub(super) fn name(architecture: Architecture) -> Option<&'static str> {
    match architecture {
        Architecture::X86_64 => Some("x86_64"),
        Architecture::Aarch64 => Some("aarch64"),
        _ => None,
    }
}

/// The instructions of a function whose first byte is at the text offset `start`. `name_of` names other functions by their
/// text offset. Nothing if the architecture has no [`name`].
pub(super) fn instructions(
    architecture: Architecture,
    code: &[u8],
    start: u32,
    name_of: &dyn Fn(u32) -> Option<String>,
) -> Vec<Instruction> {
    let dialect = match architecture {
        Architecture::X86_64 => {
            let decoder = amd64::InstDecoder::default();
            Dialect {
                decode: Box::new(move |code| {
                    let instruction = decoder.decode_slice(code).ok()?;
                    Some((instruction.to_string(), usize::try_from(instruction.len().to_const()).ok()?))
                }),
                unit: 1,
                is_from_end: true,
                jump: "jmp r",
                is_clamped: true,
                constant: |text| text.split_once("[rip ").filter(|_| !text.starts_with("lea")).map(|(_, rest)| rest),
            }
        }
        Architecture::Aarch64 => {
            let decoder = a64::InstDecoder::default();
            Dialect {
                decode: Box::new(move |code| Some((decoder.decode(&mut U8Reader::new(code)).ok()?.to_string(), 4))),
                unit: 4,
                is_from_end: false,
                jump: "br x",
                is_clamped: false,
                constant: |text| text.split_once('$').filter(|_| text.starts_with("ldr")).map(|(_, rest)| rest),
            }
        }
        _ => return Vec::new(),
    };
    let mut listing = Listing {
        code,
        start,
        name_of,
        constants: code.len(),
        numbers: HashMap::new(),
        last_compared: None,
        instructions: Vec::new(),
    };
    listing.run(&dialect);
    listing.instructions
}

type Decode = Box<dyn Fn(&[u8]) -> Option<(String, usize)>>;

/// What differs between architectures.
struct Dialect {
    /// The text and length of the first instruction.
    decode: Decode,
    /// How many bytes to skip where there is none.
    unit: usize,
    /// Whether distances count from the end of the instruction.
    is_from_end: bool,
    /// What a jump to an address in a register begins with.
    jump: &'static str,
    /// Whether what chooses from a table was compared with its length before: `mov ecx, 0x4`, `cmp eax, ecx`. Where it was
    /// not, no instruction looks like a part of a table.
    is_clamped: bool,
    /// The distance of the constant that an instruction loads, and what follows it.
    constant: fn(&str) -> Option<&str>,
}

struct Listing<'a> {
    code: &'a [u8],
    start: u32,
    name_of: &'a dyn Fn(u32) -> Option<String>,
    /// Where the function's constants begin, which are behind its code, as far as is known.
    constants: usize,
    /// By register: the last number that was moved into it.
    numbers: HashMap<String, usize>,
    /// The last such number that something was compared with.
    last_compared: Option<usize>,
    instructions: Vec<Instruction>,
}

impl Listing<'_> {
    fn run(&mut self, dialect: &Dialect) {
        let mut at = 0;
        while at < self.constants {
            let rest = &self.code[at..self.constants];
            // What aligns the constants.
            if self.constants < self.code.len() && rest.iter().all(|byte| *byte == 0) {
                self.bytes(at, rest);
                break;
            }
            let found = (dialect.decode)(rest).filter(|(_, length)| (1..=rest.len()).contains(length));
            let Some((text, length)) = found else {
                let unit = dialect.unit.min(rest.len());
                self.bytes(at, &rest[..unit]);
                at += unit;
                continue;
            };
            let base = if dialect.is_from_end { at + length } else { at };
            let constant = (dialect.constant)(&text).and_then(|rest| base.checked_add_signed(distance(rest)?));
            let is_indirect = text.starts_with(dialect.jump);
            self.note_numbers(&text);
            let text = self.with_target(text, base);
            self.add(at, text);
            at += length;
            if let Some(constant) = constant.filter(|constant| (at..self.constants).contains(constant)) {
                self.constants = constant;
            }
            if is_indirect {
                let most = self.last_compared.take().filter(|_| dialect.is_clamped);
                at = self.jump_table(at, most.map_or(usize::MAX, |last| last.saturating_add(1)));
            }
        }
        for (quad, from) in self.code[self.constants..].chunks(8).zip((self.constants..).step_by(8)) {
            match quad.try_into() {
                Ok(quad) => self.add(from, format!(".quad {:#x}", u64::from_le_bytes(quad))),
                Err(_) => self.bytes(from, quad),
            }
        }
    }

    fn note_numbers(&mut self, text: &str) {
        if let Some((register, number)) = text.strip_prefix("mov ").and_then(|operands| operands.split_once(", 0x")) {
            if let Ok(number) = usize::from_str_radix(number, 16) {
                self.numbers.insert(register.to_owned(), number);
            }
        } else if let Some((_, register)) = text.strip_prefix("cmp ").and_then(|operands| operands.split_once(", ")) {
            self.last_compared = self.numbers.get(register).copied();
        }
    }

    fn bytes(&mut self, at: usize, bytes: &[u8]) {
        let bytes: Vec<_> = bytes.iter().map(|byte| format!("{byte:#04x}")).collect();
        self.add(at, format!(".byte {}", bytes.join(", ")));
    }

    fn add(&mut self, at: usize, text: String) {
        self.instructions.push((u32::try_from(at).unwrap_or(u32::MAX), text));
    }

    /// Says where a jump or call leads, which the decoders print as a distance: `$+0x10`.
    fn with_target(&self, text: String, base: usize) -> String {
        let target = || {
            let (before, rest) = text.rsplit_once('$')?;
            let distance = i64::try_from(distance(rest)?).ok()?;
            let base = i64::from(self.start) + i64::try_from(base).ok()?;
            // `adrp` counts in pages.
            let base = if before.starts_with("adrp") { base & !0xfff } else { base };
            let target = u32::try_from(base.checked_add(distance)?).ok()?;
            let is_inside = target.checked_sub(self.start).is_some_and(|offset| (offset as usize) < self.code.len());
            let name = if is_inside { None } else { (self.name_of)(target) };
            let name = name.map(|name| format!(" <{name}>")).unwrap_or_default();
            Some(format!("{before}{target:#x}{name}"))
        };
        target().unwrap_or(text)
    }

    /// The table behind a jump through one, which Cranelift puts there: at most so many distances from its own beginning, and
    /// not beyond the first place that it leads to. Returns where instructions go on.
    fn jump_table(&mut self, table: usize, most: usize) -> usize {
        let mut at = table;
        let mut end = self.constants.min(table.saturating_add(most.saturating_mul(4)));
        while at + 4 <= end {
            let Some(distance) = self.code[at..].first_chunk().map(|bytes| i32::from_le_bytes(*bytes)) else { break };
            let target = isize::try_from(distance).ok().and_then(|distance| table.checked_add_signed(distance));
            let Some(target) = target.filter(|target| *target < self.code.len()) else { break };
            // Nothing of the table is jumped to, nor the jump itself.
            if (table..at + 4).contains(&target) {
                break;
            }
            if target > table {
                end = end.min(target);
            }
            let target = u64::from(self.start) + target as u64;
            self.add(at, format!(".long {distance:#x} ; to {target:#x}"));
            at += 4;
        }
        at
    }
}

/// The distance that a text begins with: `+0x10` or `- 0x10`.
fn distance(text: &str) -> Option<isize> {
    let (sign, rest) = text.split_at_checked(1)?;
    let digits = rest.trim_start().strip_prefix("0x")?;
    let end = digits.find(|char: char| !char.is_ascii_hexdigit()).unwrap_or(digits.len());
    let distance = isize::from_str_radix(&digits[..end], 16).ok()?;
    match sign {
        "+" => Some(distance),
        "-" => Some(-distance),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listing(architecture: Architecture, code: &[u8]) -> Vec<String> {
        let name_of = |target: u32| (target == 0x1016).then(|| "other".to_owned());
        let instructions = instructions(architecture, code, 0x1000, &name_of);
        instructions.into_iter().map(|(at, text)| format!("{at}: {text}")).collect()
    }

    #[test]
    fn jumps_and_calls_say_where_they_lead() {
        let x86_64 = [0x55, 0xe8, 0x10, 0, 0, 0, 0x75, 0xfe, 0xe9, 0xf9, 0xff, 0xff, 0xff, 0x06];
        let expected = ["0: push rbp", "1: call 0x1016 <other>", "6: jnz 0x1006", "8: jmp 0x1006", "13: .byte 0x06"];
        assert_eq!(listing(Architecture::X86_64, &x86_64), expected);
        let aarch64 = [0x10, 0, 0, 0x94, 0xff, 0xff, 0xff, 0x17, 0x41, 0, 0, 0x54, 0, 0, 0, 0x90, 0xff];
        let expected = ["0: bl 0x1040", "4: b 0x1000", "8: b.ne 0x1010", "12: adrp x0, 0x1000", "16: .byte 0xff"];
        assert_eq!(listing(Architecture::Aarch64, &aarch64), expected);
        assert!(listing(Architecture::Riscv64, &aarch64).is_empty());
    }

    #[test]
    fn a_jump_table_is_no_code() {
        let mut code = vec![0xff, 0xe0];
        code.extend([8i32, 9, -2].into_iter().flat_map(i32::to_le_bytes));
        code.extend([0x90, 0xc3]);
        // The third distance would be a fine one, but the table ends at the first place it leads to.
        let expected = ["0: jmp rax", "2: .long 0x8 ; to 0x100a", "6: .long 0x9 ; to 0x100b"];
        assert_eq!(listing(Architecture::X86_64, &code)[..3], expected);
        // An instruction may follow that looks like a distance.
        let mut code = vec![0xb9, 1, 0, 0, 0, 0x39, 0xc8, 0xff, 0xe0];
        code.extend([13i32, 13].into_iter().flat_map(i32::to_le_bytes));
        code.extend([0xe9, 0, 0, 0, 0, 0x90]);
        let expected = ["13: .long 0xd ; to 0x1016", "17: jmp 0x1016", "22: nop"];
        assert_eq!(listing(Architecture::X86_64, &code)[4..], expected);
        // No table: the jump of a tail call.
        assert_eq!(listing(Architecture::X86_64, &[0xff, 0xe0, 0xcc, 0xcc, 0xcc, 0xcc])[1], "2: int 0x3");
    }

    #[test]
    fn constants_are_no_code() {
        // The handler of an exception is code.
        let mut code = vec![0xf3, 0x0f, 0x10, 0x05, 12, 0, 0, 0, 0x48, 0x8d, 0x05, 0, 0, 0, 0, 0xc3, 0, 0, 0, 0];
        code.extend([1, 0, 0, 0, 0, 0, 0, 0, 2]);
        let expected = [
            "8: lea rax, qword [rip]",
            "15: ret",
            "16: .byte 0x00, 0x00, 0x00, 0x00",
            "20: .quad 0x1",
            "28: .byte 0x02",
        ];
        assert_eq!(listing(Architecture::X86_64, &code)[1..], expected);
        let aarch64 = [0x40, 0, 0, 0x58, 0xc0, 0x03, 0x5f, 0xd6, 7, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(listing(Architecture::Aarch64, &aarch64), ["0: ldr x0, 0x1008", "4: ret", "8: .quad 0x7"]);
    }

    #[test]
    fn any_bytes_are_listed_to_their_end() {
        let bytes: Vec<u8> = (0..4099u32).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        for architecture in [Architecture::X86_64, Architecture::Aarch64] {
            for from in 0..64 {
                let code = &bytes[from..];
                let listed = instructions(architecture, code, u32::MAX - 5, &|_| None);
                assert!(listed.windows(2).all(|pair| pair[0].0 < pair[1].0));
                assert!(listed.last().is_some_and(|(at, _)| *at as usize + 16 > code.len()));
            }
        }
    }
}
