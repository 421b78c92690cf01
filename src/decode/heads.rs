//! Remembers what instructions that begin alike are, so that most need not be taken apart.
//!
//! In: the first bytes of an instruction.  Out: [`Known`], what [`super::effect`] said of an earlier one with the same head.
//! Holds afterwards: an instruction that is remembered is what it would be if it were taken apart. Its head, which is REX,
//! opcode, ModRM and SIB, decides its length; and what it does, unless that depends on its displacement or immediate.
//! Instructions with legacy prefixes, VEX and the like have no head, and neither has what objtool tells by other bytes.

use super::Kind;
use super::encoding::Encoding;
use super::profile::Profile;

/// By opcode, those behind `0f` from 256 on.
pub(super) struct Heads([Masks; 512]);

/// Which of the bytes from the opcode on a head has; none where there is no head.
#[derive(Clone, Copy, Default)]
struct Masks {
    opcode_and_modrm: u32,
    /// Where ModRM says that there is one.
    sib: u32,
}

/// REX, opcode, ModRM and SIB, in one number.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
pub(super) struct Head(u32);

/// Marks a head behind `0f`; its other high bits are those of REX.
const ESCAPED: u32 = 0x80;

impl Heads {
    /// Of the instructions of a release.
    pub(super) fn of(profile: &Profile<'_>) -> Heads {
        let mut masks = [Masks::default(); 512];
        for (map, half) in masks.chunks_exact_mut(256).enumerate() {
            for (opcode, masks) in (0..=u8::MAX).zip(half) {
                let cell = profile.opcodes.cell(map as u8, 0, opcode);
                if !begins_a_plain_instruction(map, opcode) || !cell.is_bare() {
                    continue;
                }
                *masks = match cell.has_modrm() && !cell.is_invalid64() {
                    true => Masks { opcode_and_modrm: 0xffff, sib: 0xff_0000 },
                    false => Masks { opcode_and_modrm: 0xff, sib: 0 },
                };
            }
        }
        Heads(masks)
    }

    /// The head of the instruction that these bytes begin with.
    #[inline(always)]
    pub(super) fn head(&self, code: &[u8; 8]) -> Option<Head> {
        let bytes = u64::from_le_bytes(*code);
        let first = bytes as u8;
        let (rex, bytes) = if first & 0xf0 == 0x40 { (u32::from(first), bytes >> 8) } else { (0, bytes) };
        let (escape, bytes) = if bytes as u8 == 0x0f { (ESCAPED, bytes >> 8) } else { (0, bytes) };
        let masks = self.0[(escape as usize) << 1 | usize::from(bytes as u8)];
        let modrm = (bytes >> 8) as u8;
        let sib = if modrm & 7 == 4 && modrm < 0xc0 { masks.sib } else { 0 };
        let head = bytes as u32 & (masks.opcode_and_modrm | sib) | (rex | escape) << 24;
        (masks.opcode_and_modrm != 0).then_some(Head(head))
    }
}

/// Whether what the opcode does and how long it is can be told from its head. Not: prefixes; escapes to other maps; `ud2`, which
/// may be a hypervisor's prefix; far jumps, of which a release forgets the rest.
fn begins_a_plain_instruction(map: usize, opcode: u8) -> bool {
    match map {
        0 => !matches!(
            opcode,
            0x0f | 0x26 | 0x2e | 0x36 | 0x3e | 0x40..=0x4f | 0x62 | 0x64..=0x67 | 0x8f | 0xc4 | 0xc5 | 0xd5 | 0xea | 0xf0 | 0xf2 | 0xf3
        ),
        _ => !matches!(opcode, 0x0b | 0x38 | 0x3a),
    }
}

/// What an instruction was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Known {
    head: Head,
    /// The position of its operations.
    pub(super) ops: u16,
    /// Bytes; 0 where nothing is known.
    pub(super) len: u8,
    pub(super) kind: Kind,
}

/// What is remembered, each in the one place where it may stand.
pub(super) struct Memory(Vec<Known>);

const SIZE_BITS: u32 = 13;

impl Memory {
    pub(super) fn new() -> Memory {
        Memory(vec![Known { head: Head(0), ops: 0, len: 0, kind: Kind::Other }; 1 << SIZE_BITS])
    }

    /// What is known of instructions with this head.
    #[inline(always)]
    pub(super) fn get(&self, head: Head) -> Option<Known> {
        let known = self.0[place(head)];
        (known.head == head && known.len != 0).then_some(known)
    }

    /// Takes down what an instruction was whose operations have this position, if all with its head are the same.
    pub(super) fn note(&mut self, head: Head, encoding: &Encoding, kind: Kind, ops: u32) {
        let same = ops == 0 || !encoding.has_displacement && !depends_on_immediate(encoding);
        if same && let Ok(ops) = u16::try_from(ops) {
            self.0[place(head)] = Known { head, ops, len: encoding.len, kind };
        }
    }
}

/// Arithmetic on the stack pointer: of all that change it by an immediate the only one.
fn depends_on_immediate(encoding: &Encoding) -> bool {
    matches!(encoding.opcode[0], 0x80..=0x83)
}

#[inline(always)]
fn place(head: Head) -> usize {
    (head.0.wrapping_mul(0x9e37_79b9) >> (u32::BITS - SIZE_BITS)) as usize
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decode::effect::{effect, is_iret};
    use crate::decode::interning::Interner;
    use crate::kernel::Kernel;

    /// Bytes like those of a hash: the same in each run.
    struct Random(u64);

    impl Random {
        fn bytes(&mut self) -> [u8; 8] {
            self.0 = self.0.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            (self.0 ^ self.0 >> 29).wrapping_mul(0xbf58_476d_1ce4_e5b9).to_be_bytes()
        }
    }

    /// What `code` is if it is taken apart: length, kind and operations.
    fn apart(code: &[u8], profile: &Profile<'_>, interner: &mut Interner) -> Option<(Encoding, Kind, u32, bool)> {
        let mut encoding = Encoding::default();
        encoding.read(code, profile)?;
        let effect = effect(&encoding, profile);
        let is_odd = effect.oddity.is_some() || is_iret(&encoding);
        Some((encoding, effect.kind, interner.position(effect.ops), is_odd))
    }

    /// Each opcode with each ModRM, some REX and SIB, and what follows them different each time.
    #[test]
    fn what_is_remembered_is_what_would_be_found() {
        let mut random = Random(1);
        for kernel in [Kernel::V5_15, Kernel::V6_1, Kernel::V6_12, Kernel::V7_3] {
            let profile = Profile::of(kernel.rules());
            let heads = Heads::of(&profile);
            let (mut interner, mut memory, mut n_told) = (Interner::new(), Memory::new(), 0);
            for (opcode, modrm) in (0..512u32).flat_map(|opcode| (0..=u8::MAX).map(move |modrm| (opcode, modrm))) {
                let [rex, sib, ..] = random.bytes();
                let rex = [0x40 | rex & 15].into_iter().filter(|_| rex & 0x30 != 0);
                let escape = (opcode >= 256).then_some(0x0f);
                let head: Vec<u8> = rex.chain(escape).chain([opcode as u8, modrm, sib]).collect();
                let mut with_tail = || [&head[..], &random.bytes(), &random.bytes()].concat();
                let (first, second) = (with_tail(), with_tail());
                let Some(key) = first.first_chunk().and_then(|bytes| heads.head(bytes)) else { continue };
                // What was to be the opcode may be REX, and the head go on in the tail.
                if second.first_chunk().and_then(|bytes| heads.head(bytes)) != Some(key) {
                    continue;
                }
                let Some((encoding, kind, ops, is_odd)) = apart(&first, &profile, &mut interner) else { continue };
                if !is_odd {
                    memory.note(key, &encoding, kind, ops);
                }
                let Some(known) = memory.get(key) else { continue };
                n_told += 1;
                let (encoding, kind, ops, is_odd) = apart(&second, &profile, &mut interner).expect("as the first one");
                assert_eq!(
                    (known.len, known.kind, u32::from(known.ops), false),
                    (encoding.len, kind, ops, is_odd),
                    "{kernel:?}: {first:02x?} {second:02x?}"
                );
            }
            assert!(n_told > 100_000, "{n_told}");
        }
    }
}
