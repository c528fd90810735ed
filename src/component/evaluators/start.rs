//! The first instructions of a function of x86-64, as far as they say where it keeps its instance.

use crate::interpreters::Evaluator;

/// Where a function keeps its instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct InstanceSlot {
    /// From the frame pointer.
    pub(super) slot: i64,
    /// How large the frame is.
    pub(super) frame: u64,
    /// From this offset on it is there,
    pub(super) holds_from: u64,
    /// but for these: what is not in the order of what happens.
    pub(super) not_yet: [Option<(u64, u64)>; Evaluator::MAX_LATE],
}

/// Branches that are followed.
const MAX_BRANCHES: usize = Evaluator::MAX_LATE;

/// Where a function of x86-64 keeps its instance. `None` where its first instructions are others than those that Cranelift begins
/// with: the frame, the check for room, registers that are saved or moved, and the instance among them, before anything is called.
pub(super) fn instance_slot(code: &[u8]) -> Option<InstanceSlot> {
    const FRAME: [u8; 4] = [0x55, 0x48, 0x89, 0xe5];
    let mut state = Start { at: FRAME.len(), size: 0, has_instance: [false; 16] };
    // It is the first argument.
    state.has_instance[RDI] = true;
    code.strip_prefix(&FRAME)?;
    let mut branches = [const { None }; MAX_BRANCHES];
    let at = state.find_store(code, &mut branches)?;
    let (slot, frame) = (at - state.size, u64::try_from(state.size).ok()?);
    let mut not_yet = [None; MAX_BRANCHES];
    for (branch, late) in branches.iter_mut().flatten().zip(&mut not_yet) {
        let begin = branch.at;
        // Out of line there is a trap, or the same store: nobody reads from anywhere else.
        if code.get(begin..)?.starts_with(&UD2) {
            continue;
        }
        if branch.find_store(code, &mut [])? != at || branch.size != state.size {
            return None;
        }
        *late = Some((begin as u64, branch.at as u64));
    }
    Some(InstanceSlot { slot, frame, holds_from: state.at as u64, not_yet })
}

const RAX: usize = 0;
const RSP: usize = 4;
const RBP: usize = 5;
const RDI: usize = 7;

/// What code has instead of what must not be reached.
const UD2: [u8; 2] = [0x0f, 0x0b];

/// What is known at a place close to the start of a function.
#[derive(Clone)]
struct Start {
    /// The offset of the next instruction.
    at: usize,
    /// Bytes of the frame.
    size: i64,
    /// Registers that have the instance.
    has_instance: [bool; 16],
}

impl Start {
    /// Goes on behind the first instruction that stores the instance, and tells where, above the stack pointer. What else may be
    /// executed before that goes into `branches`.
    fn find_store(&mut self, code: &[u8], branches: &mut [Option<Self>]) -> Option<i64> {
        /// Instructions that are looked at.
        const MANY: usize = 128;
        let mut branches = branches.iter_mut();
        for _ in 0..MANY {
            let Instruction { kind, length } = Instruction::decode(code.get(self.at..)?)?;
            self.at += length;
            match kind {
                Kind::Nothing => {}
                Kind::Makes(RSP | RBP) | Kind::Moves { to: RSP | RBP, .. } => return None,
                Kind::Makes(register) => self.has_instance[register] = false,
                Kind::Moves { to, from } => self.has_instance[to] = self.has_instance[from],
                Kind::LowersStack(by) if self.size == 0 => self.size = by,
                Kind::LowersStack(_) => return None,
                Kind::Branches(by) => {
                    let at = usize::try_from(i64::try_from(self.at).ok()? + by).ok().filter(|at| *at > self.at)?;
                    *branches.next()? = Some(Self { at, ..self.clone() });
                }
                Kind::Stores { register, at } => {
                    if self.has_instance[register] && (0..self.size).contains(&at) {
                        return Some(at);
                    }
                }
            }
        }
        None
    }
}

/// An instruction of x86-64, as far as functions begin with such.
struct Instruction {
    kind: Kind,
    length: usize,
}

enum Kind {
    /// Compares, or writes to memory something that is not the instance.
    Nothing,
    /// Writes something new to a register.
    Makes(usize),
    Moves {
        to: usize,
        from: usize,
    },
    /// Takes so many bytes off the stack pointer.
    LowersStack(i64),
    /// Writes a register to the stack, so many bytes above the stack pointer.
    Stores {
        register: usize,
        at: i64,
    },
    /// Goes on elsewhere, perhaps: so many bytes behind.
    Branches(i64),
}

/// What an instruction works on beside a register.
enum Operand {
    Register(usize),
    /// So many bytes above the stack pointer.
    Stack(i64),
    Memory,
}

impl Instruction {
    /// Of all but a few, nothing is known; nor of any that is cut.
    fn decode(code: &[u8]) -> Option<Self> {
        let (prefix, rest) = match code {
            [prefix @ 0x40..=0x4f, rest @ ..] => (*prefix, rest),
            _ => (0x40, code),
        };
        let before = code.len() - rest.len();
        let bit = |number: u8| usize::from(prefix >> number & 1) << 3;
        let is_wide = prefix & 8 != 0;
        if let [0x0f, 0x80..=0x8f, a, b, c, d, ..] = *rest {
            // A jump on a condition.
            return Some(Self { kind: Kind::Branches(signed(&[a, b, c, d])), length: before + 6 });
        }
        if let [opcode @ 0xb8..=0xbf, ..] = *rest {
            // mov, a number.
            let register = usize::from(opcode & 7) | bit(0);
            return Some(Self { kind: Kind::Makes(register), length: before + if is_wide { 9 } else { 5 } });
        }
        // add, or, and, sub, xor; cmp, test: the first register, with a number
        if let [opcode @ (0x05 | 0x0d | 0x25 | 0x2d | 0x35 | 0x3d | 0xa9), ..] = *rest {
            let kind = if matches!(opcode, 0x3d | 0xa9) { Kind::Nothing } else { Kind::Makes(RAX) };
            return Some(Self { kind, length: before + 5 });
        }
        // movzx, movsx
        let is_extension = matches!(rest, [0x0f, 0xb6 | 0xb7 | 0xbe | 0xbf, ..]);
        let head = if is_extension { 2 } else { 1 };
        let opcode = if is_extension { 0x63 } else { *rest.first()? };
        let modrm = *rest.get(head)?;
        let register = usize::from(modrm >> 3 & 7) | bit(2);
        let (operand, length) = Self::operand(rest.get(head..)?, (bit(0), bit(1)))?;
        let length = before + head + length;
        let made = |operand: Operand| match operand {
            Operand::Register(register) => Kind::Makes(register),
            Operand::Stack(_) | Operand::Memory => Kind::Nothing,
        };
        let kind = match (opcode, operand) {
            // mov: of 32 bits, it is not the instance any more.
            (0x89, Operand::Register(to)) if is_wide => Kind::Moves { to, from: register },
            (0x8b, Operand::Register(from)) if is_wide => Kind::Moves { to: register, from },
            (0x89, Operand::Stack(at)) if is_wide => Kind::Stores { register, at },
            // mov; add, or, and, sub, xor with the register on the right
            (0x89 | 0x01 | 0x09 | 0x21 | 0x29 | 0x31, operand) => made(operand),
            // mov, movsxd, lea; the same with the register on the left
            (0x8b | 0x63 | 0x8d | 0x03 | 0x0b | 0x23 | 0x2b | 0x33, _) => Kind::Makes(register),
            // cmp, test
            (0x39 | 0x3b | 0x85, _) => Kind::Nothing,
            // add, or, and, sub, xor, cmp: with a number of four bytes, or of one.
            (0x81 | 0x83, operand) => {
                let bytes = if opcode == 0x81 { 4 } else { 1 };
                let number = signed(code.get(length..)?.get(..bytes)?);
                let kind = match (modrm >> 3 & 7, operand) {
                    (5, Operand::Register(RSP)) if is_wide => Kind::LowersStack(number),
                    (7, _) => Kind::Nothing,
                    (_, operand) => made(operand),
                };
                return Some(Self { kind, length: length + bytes });
            }
            // mov, a number
            (0xc7, operand) => return Some(Self { kind: made(operand), length: length + 4 }),
            _ => return None,
        };
        Some(Self { kind, length })
    }

    /// The operand that a byte describes, with those after it, and how many they are. `extension` is what the prefix adds to the
    /// register, and `of_index` to an index.
    fn operand(code: &[u8], (extension, of_index): (usize, usize)) -> Option<(Operand, usize)> {
        let modrm = *code.first()?;
        let (mode, base) = (modrm >> 6, usize::from(modrm & 7));
        if mode == 3 {
            return Some((Operand::Register(base | extension), 1));
        }
        let has_index = base == RSP;
        // The stack pointer is a base only by way of an index that is none.
        let is_stack = has_index && *code.get(1)? == 0x24 && (extension, of_index) == (0, 0);
        let head = 1 + usize::from(has_index);
        let bytes = match mode {
            0 if base == RBP || has_index && code.get(1)? & 7 == 5 => 4,
            0 => 0,
            1 => 1,
            _ => 4,
        };
        let displacement = signed(code.get(head..)?.get(..bytes)?);
        Some((if is_stack { Operand::Stack(displacement) } else { Operand::Memory }, head + bytes))
    }
}

/// A number of so many bytes.
fn signed(bytes: &[u8]) -> i64 {
    match *bytes {
        [byte] => i64::from(byte.cast_signed()),
        [a, b, c, d] => i64::from(i32::from_le_bytes([a, b, c, d])),
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A function as Wasmtime 48 compiles it: how long it is, and the parts of it that matter, with their offsets.
    type Parts = (usize, &'static [(usize, &'static str)]);

    /// The evaluation loop of CPython 3.14.0 in a component of componentize-py 0.25.1.
    const PYTHON_3_14: Parts = (
        143184,
        &[
            (
                0x0,
                "554889e54c8b57084d8b52184981c2a00200004c3bd40f87412e02004881ec9002000048899c24600200004c89a42468\
                 0200004c89ac24700200004c89b424780200004c89bc248002000048897c242048894c2478488b8f002000008b014889",
            ),
            (0x22e5d, "0f0b0f0b0f0b0f0b0f0b0f0b0f0b0f0b"),
        ],
    );

    /// The same of componentize-py 0.19.3, whose compiler has moved a branch to the front.
    const OTHER_COMPILER: Parts = (
        134600,
        &[
            (
                0x0,
                "554889e54c8b57084d8b52184981c2700200004c3bd40f87c30c02004881ec6002000048899c24300200004c89a42438\
                 0200004c89ac24400200004c89b424480200004c89bc245002000048894c2430488b87001f00008b084889ce81ee2001\
                 00008930488984242002000085d20f843f0c0200488b47304c8b28448bf248895424284b8d5c3500438b743534488b44\
                 2430438944353449b901000000010000004889ca81ea200100004d898c151801000041c784151401000000000300448d\
                 49d0448be047894c2504448d49fc48898c241802000045898c1510010000488b8fc01f0000448b0948898c24f8010000\
                 4c89c983c9014c898c24f001000041898c15f00000004189b415f4000000488b8f181f000048897c24208b3948898c24",
            ),
            (0x20cdf, "0f0b0f0b0f0b0f0b0f0b0f0b0f0b0f0b"),
            (0x20cb3, "4889fe48897c2420488b742420488b86"),
        ],
    );

    /// That of CPython 3.15.0 as one module for WASI 0.1.
    const PYTHON_3_15: Parts = (
        121432,
        &[
            (
                0x0,
                "554889e54c8b57084d8b52184981c2d00100004c3bd40f8710d901004881ecc001000048899c24900100004c89a42498\
                 0100004c89ac24a00100004c89b424a80100004c89bc24b001000048897c242048894c24688b87c00500004889c181e9",
            ),
            (0x1d92c, "0f0b0f0b0f0b0f0b0f0b0f0b0f0b0f0b"),
        ],
    );

    fn code((length, parts): Parts) -> Vec<u8> {
        let mut code = vec![0xcc; length];
        for (at, digits) in parts {
            for (place, pair) in digits.as_bytes().chunks(2).enumerate() {
                let pair = std::str::from_utf8(pair).expect("digits");
                code[at + place] = u8::from_str_radix(pair, 16).expect("a byte");
            }
        }
        code
    }

    /// Where registers are saved, in the first of these.
    const SAVES: usize = 0x23;

    /// Where the instance is stored there.
    const STORES: usize = 0x4b;

    /// Its first instructions, with others in the place of those that come after `from`. Where there is no room, there is a trap.
    fn with(from: usize, others: &[u8]) -> Vec<u8> {
        let mut code = code(PYTHON_3_14);
        code[from..from + others.len()].copy_from_slice(others);
        code
    }

    #[test]
    fn the_first_instructions_say_where_the_instance_is() {
        let slot = |slot, frame: u64, holds_from| InstanceSlot {
            slot: slot - i64::try_from(frame).expect("small"),
            frame,
            holds_from,
            not_yet: [None; MAX_BRANCHES],
        };
        assert_eq!(instance_slot(&code(PYTHON_3_14)), Some(slot(0x20, 0x290, 0x50)));
        assert_eq!(instance_slot(&code(PYTHON_3_15)), Some(slot(0x20, 0x1c0, 0x50)));
        // With epochs, another argument is moved before: mov r12, r8.
        let epochs = with(STORES, &[0x4d, 0x89, 0xc4, 0x48, 0x89, 0x7c, 0x24, 0x20]);
        assert_eq!(instance_slot(&epochs), Some(slot(0x20, 0x290, 0x53)));
        // mov r12, rdi; mov rdi, rsi; mov [rsp+0x20], rdi; mov [rsp+0x30], r12
        let moved = with(
            STORES,
            &[0x49, 0x89, 0xfc, 0x48, 0x89, 0xf7, 0x48, 0x89, 0x7c, 0x24, 0x20, 0x4c, 0x89, 0x64, 0x24, 0x30],
        );
        assert_eq!(instance_slot(&moved), Some(slot(0x30, 0x290, 0x5b)));
    }

    #[test]
    fn a_branch_before_that_has_to_store_it_as_well() {
        let mut function = code(OTHER_COMPILER);
        let found = instance_slot(&function).expect("it stores it on both ways");
        assert_eq!((found.slot, found.frame, found.holds_from), (0x20 - 0x260, 0x260, 0x11a));
        let late: Vec<(u64, u64)> = found.not_yet.into_iter().flatten().collect();
        assert_eq!(late, [(0x20cb3, 0x20cbb)]);
        // Not where the other store is to another place; nor where it is none; nor where the branch goes backwards.
        function[0x20cba] = 0x28;
        assert_eq!(instance_slot(&function), None);
        function[0x20cba] = 0x20;
        function[0x20cb6] = 0xe8;
        assert_eq!(instance_slot(&function), None);
    }

    #[test]
    fn what_is_not_the_instance_is_not_taken_for_it() {
        let store = [0x48, 0x89, 0x7c, 0x24, 0x20];
        // Another register, memory, a number; 32 bits alone; a call, of which nothing is known.
        for other in [
            &[0x48, 0x89, 0xf7][..],
            &[0x48, 0x8b, 0x3e],
            &[0x48, 0x83, 0xc7, 0x10],
            &[0x89, 0xff],
            &[0xbf, 1, 0, 0, 0],
            &[0x48, 0xbf, 1, 0, 0, 0, 0, 0, 0, 0],
            &[0xe8, 0, 0, 0, 0],
            // mov [rsp+r12], rdi: nobody knows where that is.
            &[0x4a, 0x89, 0x3c, 0x24, 0xe8],
        ] {
            let function = with(STORES, &[other, &store, &[0xe8]].concat());
            assert_eq!(instance_slot(&function), None, "{other:x?}");
        }
        // What writes elsewhere does not matter: mov [rcx], eax; xor eax, eax; test edx, edx; mov dword [rcx], 1; sub eax, 368;
        // cmp eax, 4
        for other in [
            &[0x89, 0x01][..],
            &[0x31, 0xc0],
            &[0x85, 0xd2],
            &[0xc7, 0x01, 1, 0, 0, 0],
            &[0x2d, 0x70, 1, 0, 0],
            &[0x3d, 4, 0, 0, 0],
        ] {
            let function = with(STORES, &[other, &store].concat());
            assert!(instance_slot(&function).is_some(), "{other:x?}");
        }
    }

    #[test]
    fn a_place_outside_of_the_frame_is_none() {
        for at in [0x90, 0x80] {
            let function = with(SAVES, &[0x48, 0x89, 0xbc, 0x24, at, 0x02, 0x00, 0x00, 0xe8]);
            assert_eq!(instance_slot(&function).is_some(), at == 0x80);
        }
        // Before there is a frame, and below it.
        let function = with(0x1c, &[0x48, 0x89, 0x3c, 0x24, 0x48, 0x89, 0x7c, 0x24, 0xf8, 0xe8]);
        assert_eq!(instance_slot(&function), None);
        assert!((0..0x50).all(|length| instance_slot(&code(PYTHON_3_14)[..length]).is_none()), "it is cut");
    }

    proptest! {
        #[test]
        fn any_bytes_are_code(
            start in 0..0x120_usize,
            bytes in prop::collection::vec(any::<u8>(), 0..64),
            which in 0..3_usize,
        ) {
            let mut function = code([PYTHON_3_14, OTHER_COMPILER, PYTHON_3_15][which]);
            function[start..start + bytes.len()].copy_from_slice(&bytes);
            if let Some(InstanceSlot { slot, frame, holds_from, not_yet }) = instance_slot(&function) {
                prop_assert!(slot < 0 && slot + i64::try_from(frame).expect("small") >= 0);
                prop_assert!(holds_from <= function.len() as u64);
                prop_assert!(not_yet.iter().flatten().all(|(begin, end)| begin < end));
            }
            let _ = instance_slot(&bytes);
        }
    }
}
