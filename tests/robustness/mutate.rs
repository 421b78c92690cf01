//! Makes broken objects out of whole ones.
//!
//! In: an object's bytes and a seed.  Out: other bytes, the same for the same seed.

/// A sequence of numbers that a seed determines (xorshift64*).
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds shall not have neighbouring sequences, and 0 is no state.
        Dice(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    pub fn pick<'s, T>(&mut self, from: &'s [T]) -> Option<&'s T> {
        from.get(self.below(from.len()))
    }

    /// A value that tables break at.
    fn edge(&mut self, size: usize) -> u64 {
        let size = size as u64;
        let edges = [
            0,
            1,
            2,
            4,
            8,
            24,
            64,
            0x7f,
            0x80,
            0xff,
            0xffff,
            0x7fff_ffff,
            0x8000_0000,
            0xffff_fffe,
            0xffff_ffff,
            u64::MAX,
            u64::MAX - 8,
            i64::MAX as u64,
            1 << 63,
            1 << 40,
            size,
            size - 1,
            size + 1,
            size / 2,
        ];
        match self.below(4) {
            0 => self.next(),
            1 => self.next() % (2 * size),
            _ => self.pick(&edges).copied().unwrap_or(0),
        }
    }
}

/// A range of an object's bytes.
type Range = std::ops::Range<usize>;

/// Breaks `object` in one to four ways.
pub fn mutant(object: &[u8], dice: &mut Dice) -> Vec<u8> {
    let mut bytes = object.to_vec();
    for _ in 0..=dice.below(4) {
        match dice.below(12) {
            0 if dice.below(4) == 0 => bytes.truncate(dice.below(object.len())),
            0 | 1 => flip_bits(&mut bytes, dice),
            2 => splice(&mut bytes, dice),
            3 | 4 => field(&mut bytes, dice, &header_fields(object)),
            5 | 6 => entry_field(&mut bytes, dice, object, &[SHT_SYMTAB], &[4, 1, 1, 2, 8, 8]),
            7 | 8 => entry_field(&mut bytes, dice, object, &[SHT_RELA], &[8, 4, 4, 8]),
            9 => code(&mut bytes, dice, object),
            _ => contents(&mut bytes, dice, object),
        }
        if bytes.is_empty() {
            break;
        }
    }
    bytes
}

const SHT_SYMTAB: u32 = 2;
const SHT_RELA: u32 = 4;
const SHF_EXECINSTR: u64 = 4;
const HEADER_SIZE: usize = 64;

fn number(bytes: &[u8], at: usize, size: usize) -> u64 {
    let field = bytes.get(at..at + size).unwrap_or(&[]);
    field.iter().rev().fold(0, |value, &byte| value << 8 | u64::from(byte))
}

fn put(bytes: &mut [u8], at: usize, size: usize, value: u64) {
    if let Some(field) = bytes.get_mut(at..at + size) {
        field.copy_from_slice(&value.to_le_bytes()[..size]);
    }
}

/// Where the section headers are.
fn headers(object: &[u8]) -> Vec<usize> {
    let (start, count) = (number(object, 40, 8) as usize, number(object, 60, 2) as usize);
    (0..count).map(|i| start + HEADER_SIZE * i).collect()
}

/// The contents of the sections that `wanted` accepts by type and flags.
fn sections(object: &[u8], wanted: impl Fn(u32, u64) -> bool) -> Vec<Range> {
    let of = |&header: &usize| {
        let start = number(object, header + 24, 8) as usize;
        start..start + number(object, header + 32, 8) as usize
    };
    let is_wanted = |&header: &usize| wanted(number(object, header + 4, 4) as u32, number(object, header + 8, 8));
    let ranges = headers(object).into_iter().filter(is_wanted).map(|header| of(&header));
    ranges.filter(|range| !range.is_empty() && range.end <= object.len()).collect()
}

/// Offset and size of the fields of the file header and the section headers.
fn header_fields(object: &[u8]) -> Vec<(usize, usize)> {
    let file = [(16, 2), (18, 2), (40, 8), (58, 2), (60, 2), (62, 2)];
    let section = [(0, 4), (4, 4), (8, 8), (16, 8), (24, 8), (32, 8), (40, 4), (44, 4), (48, 8), (56, 8)];
    let of_section = |header: usize| section.map(|(at, size)| (header + at, size));
    file.into_iter().chain(headers(object).into_iter().flat_map(of_section)).collect()
}

fn field(bytes: &mut [u8], dice: &mut Dice, fields: &[(usize, usize)]) {
    if let Some(&(at, size)) = dice.pick(fields) {
        let value = dice.edge(bytes.len());
        put(bytes, at, size, value);
    }
}

/// Changes one field of one entry of a table, whose entries have fields of these sizes.
fn entry_field(bytes: &mut [u8], dice: &mut Dice, object: &[u8], types: &[u32], fields: &[usize]) {
    let tables = sections(object, |kind, _| types.contains(&kind));
    let Some(table) = dice.pick(&tables) else { return };
    let entry = table.start + 24 * dice.below(table.len() / 24);
    let which = dice.below(fields.len());
    let at = entry + fields.iter().take(which).sum::<usize>();
    let size = fields.get(which).copied().unwrap_or(0);
    let value = match dice.below(3) {
        // The same field of another entry: plausible, and wrong.
        0 => number(object, at - entry + table.start + 24 * dice.below(table.len() / 24), size),
        1 => number(object, at, size).wrapping_add(dice.next() % 17).wrapping_sub(8),
        _ => dice.edge(object.len()),
    };
    put(bytes, at, size, value);
}

fn flip_bits(bytes: &mut [u8], dice: &mut Dice) {
    for _ in 0..=dice.below(8) {
        let at = dice.below(bytes.len());
        if let Some(byte) = bytes.get_mut(at) {
            *byte ^= 1 << dice.below(8);
        }
    }
}

/// Copies bytes over others: a section header over another, or any range.
fn splice(bytes: &mut [u8], dice: &mut Dice) {
    let headers = headers(bytes);
    let (from, to, len) = match (dice.below(2), dice.pick(&headers), headers.len()) {
        (0, Some(&from), 1..) => (from, dice.pick(&headers).copied().unwrap_or(from), HEADER_SIZE),
        _ => (dice.below(bytes.len()), dice.below(bytes.len()), 1 + dice.below(256)),
    };
    let len = len.min(bytes.len().saturating_sub(from.max(to)));
    if from < bytes.len() && to < bytes.len() {
        bytes.copy_within(from..from + len, to);
    }
}

/// Puts instructions that matter to the stack, and some that do not decode, anywhere into code.
fn code(bytes: &mut [u8], dice: &mut Dice, object: &[u8]) {
    const INSNS: &[&[u8]] = &[
        &[0x55],
        &[0x5d],
        &[0x5c],
        &[0x9c],
        &[0x9d],
        &[0xc9],
        &[0xc3],
        &[0xcc],
        &[0xcf],
        &[0xf4],
        &[0x90],
        &[0xfc],
        &[0xfd],
        &[0x0f, 0x0b],
        &[0x0f, 0x01, 0xca],
        &[0x0f, 0x01, 0xcb],
        &[0xeb, 0xfe],
        &[0xeb, 0x80],
        &[0x74, 0x7f],
        &[0xe9, 0xff, 0xff, 0xff, 0x7f],
        &[0xe8, 0, 0, 0, 0x80],
        &[0xff, 0xe0],
        &[0xff, 0xd0],
        &[0x48, 0x89, 0xe5],
        &[0x48, 0x89, 0xec],
        &[0x48, 0x83, 0xe4, 0xf0],
        &[0x48, 0x81, 0xec, 0, 0, 0, 0x80],
        &[0x48, 0x8d, 0x65, 0xd8],
        &[0x4c, 0x8d, 0x54, 0x24, 0x08],
        &[0x49, 0x8d, 0x62, 0xf8],
        &[0x41, 0xff, 0x72, 0xf8],
        &[0x66, 0x0f, 0x78, 0xc0],
        &[0xf3, 0x0f, 0x1e, 0xfa],
        &[0xff, 0x24, 0xc5, 0, 0, 0, 0],
        &[0x48, 0x8d, 0xe5],
        &[0x06],
    ];
    let ranges = sections(object, |_, flags| flags & SHF_EXECINSTR != 0);
    for _ in 0..=dice.below(3) {
        let (Some(range), Some(insn)) = (dice.pick(&ranges), dice.pick(INSNS)) else { return };
        let at = range.start + dice.below(range.len());
        let end = range.end.min(at + insn.len());
        if let Some(place) = bytes.get_mut(at..end) {
            place.copy_from_slice(&insn[..end - at]);
        }
    }
}

/// Changes a number in the contents of a section.
fn contents(bytes: &mut [u8], dice: &mut Dice, object: &[u8]) {
    let ranges = sections(object, |_, _| true);
    let Some(range) = dice.pick(&ranges) else { return };
    let at = range.start + dice.below(range.len());
    let size = 1 << dice.below(4);
    let value = dice.edge(range.len().max(2));
    put(bytes, at, size, value);
}
