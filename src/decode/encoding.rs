//! Takes one instruction apart into its fields.
//!
//! In: the bytes from the instruction's start to the end of its section.  Out: [`Encoding`], or nothing where the
//! release's decoder fails.
//! Holds afterwards: the length is the one that the release's own decoder finds, also where a processor or a
//! disassembler would see something else.
//! Reads like: Intel SDM, volume 2, chapter 2.

use super::profile::Profile;
use crate::kernel::opcodes::{Cell, Immediate};

/// No instruction is longer, in bytes; those behind are not looked at.
pub(crate) const MAX_LEN: usize = 15;

/// A hypervisor's own prefixes: `ud2` with a name behind it, part of the instruction that follows
/// (arch/x86/include/asm/emulate_prefix.h).
pub(super) const EMULATE_PREFIXES: [[u8; 5]; 2] = [[0x0f, 0x0b, b'x', b'e', b'n'], [0x0f, 0x0b, b'k', b'v', b'm']];

/// The fields of an instruction. What is absent is zero.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Encoding {
    pub(super) len: u8,
    /// VEX, EVEX or XOP: nothing but the length is of interest.
    pub(super) is_vector: bool,
    pub(super) opcode: [u8; 3],
    pub(super) rex: u8,
    pub(super) modrm: u8,
    pub(super) sib: u8,
    pub(super) has_displacement: bool,
    pub(super) has_immediate: bool,
    /// Sign-extended.
    pub(super) displacement: i32,
    /// Sign-extended; of a longer one the low half.
    pub(super) immediate: i32,
    pub(super) prefixes: Prefixes,
}

/// Legacy prefixes, as far as they are remembered: four different ones.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Prefixes {
    stored: [u8; 4],
    /// How many there are, repeated ones included.
    pub(super) count: u8,
    /// The one before the opcode or REX.
    pub(super) last: u8,
}

impl Prefixes {
    /// The first. Of four different ones of which the first comes again at the end, the fourth.
    pub(super) fn first(&self) -> u8 {
        let [first, .., fourth] = self.stored;
        if fourth != 0 && self.last == first { fourth } else { first }
    }

    /// Whether `prefix` is among them.
    pub(super) fn contain(&self, prefix: u8) -> bool {
        self.stored.contains(&prefix)
    }

    /// The last prefix as it selects among the instructions of an opcode.
    fn selector(&self) -> u8 {
        match self.last {
            0x66 => 1,
            0xf3 => 2,
            0xf2 => 3,
            _ => 0,
        }
    }
}

impl Encoding {
    /// Decodes the instruction at the start of `code` into `self`, which must be new. `None` where the release's decoder
    /// fails.
    pub(super) fn read(&mut self, code: &[u8], profile: &Profile<'_>) -> Option<()> {
        let code = code.get(..MAX_LEN).unwrap_or(code);
        let mut reader = Reader { code, at: 0, operand_size: 4, address_size: 8 };
        let cell = self.read_opcode(&mut reader, profile)?;
        self.read_operands(&mut reader, cell)?;
        self.len = reader.at as u8;
        Some(())
    }

    /// ModRM.mod.
    pub(super) fn mode(&self) -> u8 {
        self.modrm >> 6
    }

    /// ModRM.reg with REX.R.
    pub(super) fn reg(&self) -> u8 {
        self.modrm >> 3 & 7 | (self.rex & 4) << 1
    }

    /// ModRM.rm with REX.B.
    pub(super) fn rm(&self) -> u8 {
        self.modrm & 7 | self.rex_b()
    }

    /// SIB.index with REX.X.
    pub(super) fn index(&self) -> u8 {
        self.sib >> 3 & 7 | (self.rex & 2) << 2
    }

    /// SIB.base with REX.B.
    pub(super) fn base(&self) -> u8 {
        self.sib & 7 | self.rex_b()
    }

    /// REX.B as the fourth bit of a register number.
    pub(super) fn rex_b(&self) -> u8 {
        (self.rex & 1) << 3
    }

    /// REX.W.
    pub(super) fn is_wide(&self) -> bool {
        self.rex & 8 != 0
    }

    /// Reads up to and including ModRM.
    fn read_opcode(&mut self, reader: &mut Reader<'_>, profile: &Profile<'_>) -> Option<Cell> {
        if let [0x0f, 0x0b, ..] = reader.code
            && EMULATE_PREFIXES.iter().any(|prefix| reader.code.starts_with(prefix))
        {
            reader.at += 5;
        }
        self.read_prefixes(reader)?;
        match reader.peek(0)? {
            0xd5 if profile.opcodes.rex2 => return self.read_behind_rex2(reader, profile),
            rex @ 0x40..=0x4f => {
                self.rex = rex;
                reader.at += 1;
                reader.widen(rex & 8);
                if !profile.vector_behind_rex {
                    return self.read_plain(reader, profile);
                }
            }
            _ => {}
        }
        match Vector::read(reader, profile)? {
            Some(vector) => self.read_behind_vector(reader, profile, &vector),
            None => self.read_plain(reader, profile),
        }
    }

    /// Reads the opcode, with its escapes, where there is neither REX2 nor VEX.
    fn read_plain(&mut self, reader: &mut Reader<'_>, profile: &Profile<'_>) -> Option<Cell> {
        let mut map = 0;
        let mut opcode = reader.take()?;
        self.opcode = [opcode, 0, 0];
        if opcode == 0x0f {
            map = 1;
            opcode = reader.take()?;
            self.opcode[1] = opcode;
            if let 0x38 | 0x3a = opcode {
                map = if opcode == 0x38 { 2 } else { 3 };
                opcode = reader.take()?;
                self.opcode[2] = opcode;
            }
        }
        let cell = profile.opcodes.cell(map, self.prefixes.selector(), opcode);
        if cell.is_invalid64() {
            return Some(Cell::NOTHING);
        }
        if !cell.is_bare() {
            return None;
        }
        self.read_modrm(reader, profile, cell)
    }

    /// Reads REX2 and the opcode behind it.
    ///
    /// The prefix byte itself passes for REX afterwards. REX2 neither escapes to other maps nor asks whether the opcode
    /// may stand without VEX or in 64-bit mode.
    fn read_behind_rex2(&mut self, reader: &mut Reader<'_>, profile: &Profile<'_>) -> Option<Cell> {
        self.rex = reader.take()?;
        let payload = reader.take()?;
        reader.widen(payload & 8);
        let opcode = reader.take()?;
        self.opcode = [opcode, 0, 0];
        match (payload >> 7, opcode) {
            (0, 0x0f) | (1, 0x38 | 0x3a) => Some(Cell::NOTHING),
            (map, _) => self.read_modrm(reader, profile, profile.opcodes.cell(map, self.prefixes.selector(), opcode)),
        }
    }

    /// Reads the opcode behind VEX, EVEX or XOP.
    fn read_behind_vector(&mut self, reader: &mut Reader<'_>, profile: &Profile<'_>, vector: &Vector) -> Option<Cell> {
        self.is_vector = true;
        reader.widen(vector.widens);
        let opcode = reader.take()?;
        self.opcode = [opcode, 0, 0];
        let cell = profile.opcodes.cell(vector.map, vector.selector, opcode);
        if !cell.accepts_vector(vector.evex) {
            return None;
        }
        if cell.is_scalable() && vector.w == 0 && vector.selector == 1 {
            reader.operand_size = 2;
        }
        let cell = self.read_modrm(reader, profile, cell)?;
        cell.accepts_vector(vector.evex).then_some(cell)
    }

    fn read_prefixes(&mut self, reader: &mut Reader<'_>) -> Option<()> {
        let mut n_stored = 0;
        loop {
            let byte = reader.peek(0)?;
            if !matches!(byte, 0x66 | 0x67 | 0xf0 | 0xf2 | 0xf3 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65) {
                return Some(());
            }
            let prefixes = &mut self.prefixes;
            if !prefixes.stored.contains(&byte) {
                // The fifth different one is taken for the opcode.
                let Some(slot) = prefixes.stored.get_mut(n_stored) else { return Some(()) };
                *slot = byte;
                n_stored += 1;
                match byte {
                    0x66 => reader.operand_size = 2,
                    0x67 => reader.address_size = 4,
                    _ => {}
                }
            }
            prefixes.count += 1;
            prefixes.last = byte;
            reader.at += 1;
        }
    }

    /// Reads ModRM, when there is one, and finds the cell of a group's member.
    fn read_modrm(&mut self, reader: &mut Reader<'_>, profile: &Profile<'_>, cell: Cell) -> Option<Cell> {
        if !cell.has_modrm() {
            return Some(cell);
        }
        self.modrm = reader.take()?;
        Some(profile.opcodes.in_group(cell, self.modrm))
    }

    /// Reads what follows ModRM.
    fn read_operands(&mut self, reader: &mut Reader<'_>, cell: Cell) -> Option<()> {
        if cell.has_modrm() && self.mode() != 3 {
            let has_sib = self.modrm & 7 == 4;
            if has_sib {
                self.sib = reader.take()?;
            }
            // Without SIB, 5 in mode 0 means rip; with it, no base. Addresses of 16 bits do not exist in 64-bit mode.
            let low = if has_sib { self.sib & 7 } else { self.modrm & 7 };
            match self.mode() {
                1 => self.displacement = reader.signed(1)?,
                2 => self.displacement = reader.signed(4)?,
                _ if low == 5 => self.displacement = reader.signed(4)?,
                _ => return self.read_immediate(reader, cell),
            }
            self.has_displacement = true;
        }
        self.read_immediate(reader, cell)
    }

    fn read_immediate(&mut self, reader: &mut Reader<'_>, cell: Cell) -> Option<()> {
        let (size, behind) = match cell.immediate() {
            Immediate::None => return Some(()),
            Immediate::Byte => (1, 0),
            Immediate::Word => (2, 0),
            Immediate::Dword => (4, 0),
            Immediate::Operand => (reader.operand_size.min(4), 0),
            Immediate::Full => (reader.operand_size.min(4), reader.operand_size.saturating_sub(4)),
            Immediate::Offset => (4, reader.address_size - 4),
            // There is no far pointer with a 64-bit offset.
            Immediate::Far if reader.operand_size == 8 => return None,
            Immediate::Far => (reader.operand_size, 2),
            Immediate::WordByte => (2, 1),
        };
        self.immediate = reader.signed(size)?;
        self.has_immediate = true;
        reader.at += usize::from(behind);
        (reader.at <= reader.code.len()).then_some(())
    }
}

/// What VEX, EVEX and XOP have in common.
struct Vector {
    evex: bool,
    map: u8,
    selector: u8,
    /// The W bit; not 0 if set.
    w: u8,
    /// The bit that widens the operand: W, but for EVEX the bit of the byte behind that is at W's place (z).
    widens: u8,
}

impl Vector {
    /// Reads the prefix, if there is one. The outer `None` is an incomplete instruction.
    fn read(reader: &mut Reader<'_>, profile: &Profile<'_>) -> Option<Option<Vector>> {
        let (len, map_mask, evex) = match reader.peek(0)? {
            0xc5 => (2, 0, false),
            0xc4 => (3, 0x1f, false),
            0x62 => (4, profile.evex_map, true),
            // With ModRM.reg 0 it is `pop`.
            0x8f if profile.opcodes.xop && reader.peek(1)? & 0x38 != 0 => (3, 0x1f, false),
            _ => return Some(None),
        };
        let is_xop = reader.peek(0)? == 0x8f;
        let second = reader.peek(1)?;
        let third = if len == 2 { second & 0x7f } else { reader.peek(2)? };
        let last = if evex { reader.peek(3)? } else { third };
        let map = match second & map_mask {
            _ if len == 2 => 1,
            // Maps 1 to 7 belong to VEX and EVEX, the others to XOP; 0 belongs to nobody.
            map @ 1..=7 if !is_xop => map,
            map @ 8.. if is_xop => map,
            _ => u8::MAX,
        };
        reader.at += len;
        Some(Some(Vector { evex, map, selector: third & 3, w: third & 0x80, widens: last & 0x80 }))
    }
}

/// Reads bytes; every read beyond the end is a `None`.
struct Reader<'c> {
    code: &'c [u8],
    at: usize,
    /// In bytes, as far as prefixes tell.
    operand_size: u8,
    address_size: u8,
}

impl Reader<'_> {
    fn peek(&self, ahead: usize) -> Option<u8> {
        self.code.get(self.at + ahead).copied()
    }

    /// Makes the operand size 64 bits, if `w` is set.
    fn widen(&mut self, w: u8) {
        if w != 0 {
            self.operand_size = 8;
        }
    }

    fn take(&mut self) -> Option<u8> {
        let byte = self.peek(0)?;
        self.at += 1;
        Some(byte)
    }

    /// A sign-extended number of 1, 2 or 4 bytes.
    fn signed(&mut self, size: u8) -> Option<i32> {
        let rest = self.code.get(self.at..)?;
        let value = match size {
            1 => i32::from(*rest.first()? as i8),
            2 => i32::from(i16::from_le_bytes(*rest.first_chunk()?)),
            _ => i32::from_le_bytes(*rest.first_chunk()?),
        };
        self.at += usize::from(size);
        Some(value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::Kernel;

    fn read(code: &[u8], kernel: Kernel) -> Option<Encoding> {
        let mut encoding = Encoding::default();
        encoding.read(code, &Profile::of(kernel.rules()))?;
        Some(encoding)
    }

    /// The lengths that 6.1, 6.12 and 7.3 see; 0 where the decoder fails.
    #[track_caller]
    fn each(hex: &str, expected: [u8; 3]) {
        let code: Vec<u8> =
            hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).expect("hexadecimal")).collect();
        let lengths = [Kernel::V6_1, Kernel::V6_12, Kernel::V7_3]
            .map(|kernel| read(&code, kernel).map_or(0, |encoding| encoding.len));
        assert_eq!(lengths, expected, "{hex}");
    }

    /// Seen with the objtool of each release.
    #[test]
    fn releases_between_know_what_came_by_then() {
        const RELEASES: [Kernel; 5] = [Kernel::V5_15, Kernel::V6_1, Kernel::V6_6, Kernel::V6_12, Kernel::V6_18];
        let cases: [(&[u8], [u8; 5]); 9] = [
            (&[0xc4, 0xe2, 0x7b, 0x49, 0xc0], [0, 5, 5, 5, 5]),
            (&[0xc4, 0xe2, 0x71, 0x50, 0xc0], [0, 5, 5, 5, 5]),
            (&[0x62, 0xf4, 0x7c, 0x08, 0x01, 0xc0], [0, 0, 0, 6, 6]),
            (&[0xd5, 0x00, 0x90], [2, 2, 2, 3, 3]),
            (&[0x8f, 0xe8, 0x78, 0xa2, 0xc0, 0x10], [2, 2, 2, 2, 6]),
            (&[0x8f, 0xe8, 0x78, 0x00, 0xc0], [2, 2, 2, 2, 0]),
            (&[0xf3, 0x0f, 0x38, 0xdc, 0xc0], [4, 4, 4, 5, 5]),
            (&[0xea, 1, 2, 3, 4, 5, 6], [7, 7, 7, 7, 1]),
            (&[0x48, 0xc5, 0xf8, 0x77], [4, 4, 4, 4, 3]),
        ];
        for (code, expected) in cases {
            let lengths = RELEASES.map(|kernel| read(code, kernel).map_or(0, |encoding| encoding.len));
            assert_eq!(lengths, expected, "{code:02x?}");
        }
    }

    #[track_caller]
    fn all(hex: &str, expected: u8) {
        each(hex, [expected; 3]);
    }

    #[test]
    fn unlisted_opcodes_are_their_opcode_bytes() {
        all("0f 04 00 00", 2);
        all("0f 0a 00 00", 2);
        all("0f 24 00 00", 2);
        all("d6 00", 1);
        all("0f 38 84 00", 3);
    }

    #[test]
    fn opcodes_invalid_in_64_bit_mode_lose_their_operands_in_7_3() {
        each("82 c0 01", [3, 3, 1]);
        each("9a 00 00 00 00 00 00", [7, 7, 1]);
        each("66 ea 00 00 00 00", [6, 6, 2]);
        each("48 ea 00 00 00 00 00 00", [0, 0, 2]);
        each("d4 0a", [2, 2, 1]);
        each("06", [1, 1, 1]);
    }

    #[test]
    fn immediates_follow_the_operand_size() {
        all("b8 00 00 00 00", 5);
        all("66 b8 00 00", 4);
        all("48 b8 00 00 00 00 00 00 00 00", 10);
        all("66 48 b8 00 00 00 00 00 00 00 00", 11);
        all("48 c7 c0 00 00 00 00", 7);
        all("66 c7 00 00 00", 5);
        all("66 c7 f8 00 00", 5);
        all("66 e8 00 00 00 00", 6);
        all("66 68 00 00", 4);
        all("f7 00 00 00 00 00", 6);
        all("f7 10 00 00 00 00", 2);
        all("f6 08 00", 3);
    }

    #[test]
    fn addresses_are_64_or_32_bits() {
        all("a1 00 00 00 00 00 00 00 00", 9);
        all("67 a1 00 00 00 00", 6);
        all("8b 05 00 00 00 00", 6);
        all("67 8b 05 00 00 00 00", 7);
        all("8b 04 25 00 00 00 00", 7);
        all("8b 44 24 08", 4);
        all("8b 84 24 00 00 00 00", 7);
        all("67 8b 06", 3);
    }

    #[test]
    fn at_most_four_different_prefixes_are_prefixes() {
        all("66 66 66 66 66 66 90", 7);
        all("66 2e f2 f3 90", 5);
        all("66 2e f2 f3 3e 90", 5);
        all("66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", 15);
        all("66 66 66 66 66 66 66 66 66 66 66 66 66 66 66 90", 0);
        all("48 48 89 e5", 2);
    }

    #[test]
    fn the_first_prefix_gives_way_when_it_comes_last_again() {
        let prefixes = |code: &[u8]| read(code, Kernel::V6_12).map(|encoding| encoding.prefixes.first());
        assert_eq!(prefixes(&[0xf3, 0x66, 0x2e, 0x3e, 0x90]), Some(0xf3));
        assert_eq!(prefixes(&[0xf3, 0x66, 0x2e, 0x3e, 0xf3, 0x90]), Some(0x3e));
    }

    #[test]
    fn opcodes_that_need_vex_fail_without() {
        all("66 0f 78 c0", 0);
        all("0f 78 c0", 3);
        all("66 0f 38 0c c0", 0);
        all("c4 e2 79 0c c0", 5);
        all("62 f2 7d 08 0c c0", 6);
        all("c5 f8 04 c0", 0);
        all("c5 f8 ae 10", 4);
        all("c5 f8 ae 00", 0);
        all("c4 e0 79 00 c0", 0);
        each("f3 0f 38 d8 00", [4, 5, 5]);
        each("c4 e2 7b 50 c0", [0, 5, 5]);
    }

    #[test]
    fn evex_map_4_is_known_from_6_12_on() {
        each("62 f4 7c 08 01 c0", [0, 6, 6]);
        each("62 f4 7d 08 81 c0 00 00", [0, 8, 8]);
        // The bit behind W widens the operand, but W says whether pp narrows it.
        each("62 f4 7c 08 81 c0 00 00 00 00", [0, 10, 10]);
        each("66 62 f4 7c 88 81 c0 00 00 00 00", [0, 11, 11]);
        each("66 62 f4 7c 08 81 c0 00 00", [0, 9, 9]);
    }

    #[test]
    fn rex2_is_known_from_6_12_on() {
        each("d5 00 89 e5", [2, 4, 4]);
        each("d5 80 af c0", [2, 4, 4]);
        each("d5 08 b8 00 00 00 00 00 00 00 00", [2, 11, 11]);
        each("d5 00 0f 0b", [2, 3, 3]);
        each("d5 80 6f c0", [2, 4, 4]);
        each("d5 00 82 c0 01", [2, 5, 5]);
    }

    #[test]
    fn vex_behind_rex_is_a_32_bit_opcode_in_7_3() {
        each("48 c5 f8 77", [4, 4, 3]);
        each("48 8f 00", [3, 3, 3]);
    }

    #[test]
    fn xop_is_known_from_7_3_on() {
        each("8f e8 78 c0 c0 01", [2, 2, 6]);
        each("8f e9 78 00 c0", [2, 2, 0]);
        each("8f ea 78 10 c0 00 00 00 00", [2, 2, 9]);
        each("8f c0", [2, 2, 2]);
    }

    #[test]
    fn a_hypervisor_s_prefix_belongs_to_the_next_instruction() {
        all("0f 0b 78 65 6e 0f a2", 7);
        all("0f 0b 6b 76 6d 0f a2", 7);
        all("0f 0b 78 65 6e", 0);
        all("0f 0b 78 65", 2);
    }

    #[test]
    fn incomplete_instructions_fail() {
        for hex in
            ["", "66", "48", "0f", "0f 38", "8b", "8b 04", "8b 05 00 00 00", "e8 00 00 00", "c8 00 00", "c5", "62 f1"]
        {
            all(hex, 0);
        }
    }

    #[test]
    fn no_bytes_lead_outside() {
        let mut state = 0x9e37_79b9_7f4a_7c15_u64;
        for start in 0..=u16::MAX {
            let mut code = start.to_be_bytes().to_vec();
            for _ in 0..3 {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                code.extend(state.to_le_bytes());
            }
            code.truncate(2 + (state >> 59) as usize % 16);
            for kernel in Kernel::ALL {
                if let Some(encoding) = read(&code, kernel) {
                    let len = usize::from(encoding.len);
                    assert!((1..=MAX_LEN.min(code.len())).contains(&len), "{code:02x?}");
                    // What follows does not change the length.
                    let alone = code.get(..len).and_then(|alone| read(alone, kernel));
                    assert_eq!(alone, Some(encoding), "{code:02x?}");
                }
            }
        }
    }
}
