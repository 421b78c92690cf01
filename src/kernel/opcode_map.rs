//! A tree's own opcode map, from which its objtool's decoder is generated.
//!
//! In: the text of `tools/arch/x86/lib/x86-opcode-map.txt`.  Out: [`Opcodes`], or what is wrong with it.
//! Holds afterwards: the opcodes are those that the generator beside the map makes of it, as far as a length depends on
//! them. What the generator refuses is refused, and so is what `decode` has no means for.
//! Reads like: `tools/arch/x86/tools/gen-insn-attr-x86.awk`; the comment at the top of the map says what a line is.
//!
//! An opcode's attributes are looked up in two ways, and [`Cell`] holds both:
//!
//! | case | the opcode | its attributes |
//! |---|---|---|
//! | 1 | without VEX, with a variant for some prefix | those for the last prefix |
//! | 2 | without VEX, without variants; behind XOP | those without prefix |
//! | 3 | behind VEX or EVEX, no group | those for VEX.pp, and none where the map has none for it |
//! | 4 | behind VEX or EVEX, a group | those without prefix |
//! | 5 | a member of a group | the group's and the member's, the latter as in cases 1 and 2 |

use rustc_hash::FxHashMap;
use twox_hash::XxHash3_128;

use super::Kernel;
use super::opcodes::{Cell, Immediate, N_GROUPS, N_MAPS, Opcodes, Shape};

/// Digests (XXH3 of 128 bits) of maps that say what is compiled in for a release. Reading a map takes longer than judging a
/// small object, and nearly every tree has one of these. `docs/adding-a-kernel.md` says how a digest comes here.
const KNOWN: [(u128, Kernel); 5] = [
    (0x2471_5b81_fc12_d98e_4ed8_650a_65cc_c3f7, Kernel::V5_15),
    (0x3fbb_713e_9656_b0bd_8caa_e1c1_c869_6fc8, Kernel::V6_1),
    (0xf536_725d_8e55_6c43_4c03_6910_d032_bbb0, Kernel::V6_6),
    (0xbfac_e410_2a05_55f5_3a45_1a98_cfc2_f5e0, Kernel::V6_12),
    // 7.0, 7.2 and 7.3 have the same.
    (0x8fa8_9cc5_3e9a_dbae_efee_c63a_6775_2ee7, Kernel::V6_18),
];

fn digest(text: &str) -> u128 {
    XxHash3_128::oneshot(text.as_bytes())
}

/// Reads a map. `None` where it says what is compiled in for `kernel`. `generator` is the text of the script beside it:
/// some of what a map says only later ones heed.
pub(super) fn read(text: &str, generator: Option<&str>, kernel: Kernel) -> Result<Option<Opcodes>, String> {
    read_unless_known(&KNOWN, text, generator, kernel)
}

fn read_unless_known(
    known: &[(u128, Kernel)],
    text: &str,
    generator: Option<&str>,
    kernel: Kernel,
) -> Result<Option<Opcodes>, String> {
    let compiled_in = Opcodes::of(kernel);
    let usual = Heeds::of(compiled_in);
    let heeds = generator.map_or(usual, Heeds::read);
    let digest = digest(text);
    // What a map says depends on its generator, and whether that is news on the release.
    let says_the_same = |of: Kernel| heeds == usual && std::ptr::eq(Opcodes::of(of), compiled_in);
    if known.iter().any(|&(known, of)| known == digest && says_the_same(of)) {
        return Ok(None);
    }
    let tree = parse(text, heeds)?;
    Ok((!decode_alike(&tree, compiled_in)).then_some(tree))
}

fn parse(text: &str, heeds: Heeds) -> Result<Opcodes, String> {
    let mut map = Map { heeds, ..Map::default() };
    for (index, line) in text.lines().enumerate() {
        map.line(index, line).map_err(|why| format!("line {}: {why}", index + 1))?;
    }
    map.opcodes()
}

/// What a generator knows of an opcode, or of a member of a group. A map gives an opcode several meanings, whose
/// attributes are added; the numbers among them are then added as the generator does, bit by bit.
#[derive(Clone, Copy, Default)]
struct Attributes {
    prefix: u8,
    /// The number of the table of what follows.
    escape: u8,
    group: u8,
    /// [`immediate_number`].
    immediate: u8,
    flags: u16,
}

const MODRM: u16 = 1;
const FORCE64: u16 = 1 << 1;
const SECOND_IMMEDIATE: u16 = 1 << 2;
const OFFSET: u16 = 1 << 3;
/// Other attributes for some prefix.
const VARIANT: u16 = 1 << 4;
const VECTOR: u16 = 1 << 5;
const VECTOR_ONLY: u16 = 1 << 6;
const EVEX_ONLY: u16 = 1 << 7;
const SCALABLE: u16 = 1 << 8;
const INVALID64: u16 = 1 << 9;

impl Attributes {
    fn flags(flags: u16) -> Attributes {
        Attributes { flags, ..Attributes::default() }
    }

    fn has(self, flag: u16) -> bool {
        self.flags & flag != 0
    }

    fn is_empty(self) -> bool {
        let Attributes { prefix, escape, group, immediate, flags } = self;
        prefix == 0 && escape == 0 && group == 0 && immediate == 0 && flags == 0
    }

    fn with(self, more: Attributes) -> Attributes {
        Attributes {
            prefix: self.prefix | more.prefix,
            escape: self.escape | more.escape,
            group: self.group | more.group,
            immediate: self.immediate | more.immediate,
            flags: self.flags | more.flags,
        }
    }

    /// What follows, besides ModRM.
    fn immediate(self) -> Option<Immediate> {
        if self.has(OFFSET) {
            return Some(Immediate::Offset);
        }
        Some(match (self.immediate, self.has(SECOND_IMMEDIATE), self.has(FORCE64)) {
            (0, _, _) => Immediate::None,
            (1, false, _) => Immediate::Byte,
            (2, false, _) => Immediate::Word,
            (2, true, _) => Immediate::WordByte,
            (3, false, _) | (6, false, true) => Immediate::Dword,
            (5, false, false) => Immediate::Far,
            (6, false, false) => Immediate::Operand,
            (7, false, false) => Immediate::Full,
            _ => return None,
        })
    }
}

/// The number of an immediate's size. They are added bit by bit where an opcode has several meanings.
fn immediate_number(operand: &str) -> Option<Attributes> {
    let immediate = match operand {
        "Ib" | "Jb" | "Lx" | "Lo" => 1,
        "Iw" => 2,
        "Id" => 3,
        "Iq" => 4,
        "Ap" => 5,
        "Iz" | "Jz" => 6,
        "Iv" => 7,
        "Ob" | "Ov" => return Some(Attributes::flags(OFFSET)),
        _ => return None,
    };
    Some(Attributes { immediate, ..Attributes::default() })
}

const OPERAND_SIZE: u8 = 1;
const REP: u8 = 2;
const REPNE: u8 = 3;
const OTHER_LEGACY: u8 = 4;
const ADDRESS_SIZE: u8 = 11;
const REX: u8 = 12;
const VEX2: u8 = 13;
const VEX3: u8 = 14;
const EVEX: u8 = 15;
const REX2: u8 = 16;
const XOP: u8 = 17;

fn prefix_number(name: &str) -> Option<u8> {
    Some(match name {
        "Operand-Size" => OPERAND_SIZE,
        "REP/REPE" | "XRELEASE" => REP,
        "REPNE" | "XACQUIRE" => REPNE,
        "LOCK" | "SEG=CS" | "SEG=DS" | "SEG=ES" | "SEG=FS" | "SEG=GS" | "SEG=SS" => OTHER_LEGACY,
        "Address-Size" => ADDRESS_SIZE,
        "VEX+1byte" => VEX2,
        "VEX+2byte" => VEX3,
        "EVEX" => EVEX,
        "REX2" => REX2,
        "XOP" => XOP,
        _ => return None,
    })
}

/// Attributes without prefix, and those with `66`, `f3`, `f2`.
#[derive(Clone)]
struct Table([[Attributes; 256]; 4]);

impl Table {
    fn new() -> Box<Table> {
        Box::new(Table([[Attributes::default(); 256]; 4]))
    }

    /// Cases 1 and 2.
    fn by_last_prefix(&self, selector: usize, index: usize) -> Attributes {
        let plain = self.0[0][index];
        if plain.has(VARIANT) { self.0[selector][index] } else { plain }
    }

    /// Cases 3 and 4.
    fn by_pp(&self, selector: usize, index: usize) -> Attributes {
        let plain = self.0[0][index];
        if plain.group == 0 { self.0[selector][index] } else { plain }
    }
}

/// Which table is being read.
enum Place {
    /// After `Table:`, before what says which one.
    Unknown,
    Plain {
        /// The number of the escape that leads here; 0 is the one-byte map.
        escape: Option<u8>,
        avx: Option<usize>,
        xop: Option<usize>,
    },
    Group(u8),
}

/// The generator has that many numbers for escapes and groups.
const MAX_ESCAPES: usize = 3;
const MAX_GROUPS: usize = 31;

/// Which marks the generator knows, that earlier ones pass over.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
struct Heeds {
    /// `(i64)`
    invalid64: bool,
    /// `(es)`
    scalable: bool,
    /// `(xop)` and `XOPcode:`
    xop: bool,
}

impl Heeds {
    fn read(generator: &str) -> Heeds {
        Heeds {
            invalid64: generator.contains("invalid64_expr"),
            scalable: generator.contains("evex_scalable_expr"),
            xop: generator.contains("xopok_expr"),
        }
    }

    /// Those of the generator of the releases with these opcodes.
    fn of(opcodes: &Opcodes) -> Heeds {
        Heeds { invalid64: opcodes.xop, scalable: opcodes.rex2, xop: opcodes.xop }
    }
}

/// A map as far as it has been read.
#[derive(Default)]
struct Map {
    heeds: Heeds,
    /// The table that is being read, with the indexes that it has.
    open: Option<(Place, Box<Table>)>,
    listed: Vec<usize>,
    /// Numbers, from 1 on, by name.
    escapes: FxHashMap<String, u8>,
    groups: FxHashMap<String, u8>,
    /// By number; the one-byte map is number 0.
    plain: FxHashMap<u8, Box<Table>>,
    members: FxHashMap<u8, Box<Table>>,
    /// Of VEX and EVEX, 1 to 7, and XOP, 8 to 10.
    vector: FxHashMap<usize, Box<Table>>,
}

impl Map {
    fn line(&mut self, index: usize, line: &str) -> Result<(), String> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        let rest = || fields.get(1..).unwrap_or(&[]).concat();
        let number = || fields.get(1).unwrap_or(&"").parse::<usize>().map_err(|_| "no number of a map".to_owned());
        match fields.first().copied() {
            Some("Table:") | Some("GrpTable:") if self.open.is_some() => Err("a table inside of another".to_owned()),
            Some("Table:") => {
                self.open = Some((Place::Unknown, Table::new()));
                Ok(())
            }
            Some("GrpTable:") => {
                let name = fields.get(1).copied().unwrap_or("");
                let group = *self.groups.get(name).ok_or("a group that no opcode is of")?;
                self.open = Some((Place::Group(group), Table::new()));
                Ok(())
            }
            Some("Referrer:") => {
                let escape = match rest() {
                    name if name.is_empty() => None,
                    name => Some(*self.escapes.get(&name).ok_or("an escape that no opcode is")?),
                };
                self.settle(|place| place.0 = escape)
            }
            Some("AVXcode:") if fields.len() == 1 => self.settle(|_| ()),
            Some("AVXcode:") => {
                let avx = number().and_then(|n| (1..=7).contains(&n).then_some(n).ok_or("no map of VEX".to_owned()))?;
                self.settle(|place| place.1 = Some(avx))
            }
            Some("XOPcode:") if !self.heeds.xop => Ok(()),
            Some("XOPcode:") if fields.len() == 1 => self.settle(|_| ()),
            Some("XOPcode:") => {
                let xop = number().and_then(|n| (n <= 2).then_some(n).ok_or("no map of XOP".to_owned()))?;
                self.settle(|place| place.2 = Some(8 + xop))
            }
            Some("EndTable") => self.end(),
            Some(first) if index > 0 => match first.split_once(':') {
                Some((hex, _)) if !hex.is_empty() && hex.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) => {
                    self.entry(hex, &fields, line.contains("(o64)"))
                }
                _ => Ok(()),
            },
            _ => Ok(()),
        }
    }

    /// Says which table it is that is being read.
    fn settle(&mut self, change: impl FnOnce(&mut (Option<u8>, Option<usize>, Option<usize>))) -> Result<(), String> {
        let (place, _) = self.open.as_mut().ok_or("outside of a table")?;
        let mut known = match place {
            Place::Unknown => (None, None, None),
            Place::Plain { escape, avx, xop } => (*escape, *avx, *xop),
            Place::Group(_) => return Err("in the table of a group".to_owned()),
        };
        change(&mut known);
        *place = Place::Plain { escape: known.0, avx: known.1, xop: known.2 };
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let (place, table) = self.open.take().ok_or("the end of no table")?;
        self.listed.clear();
        let again = match place {
            Place::Unknown => return Err("a table without a place".to_owned()),
            Place::Group(group) => self.members.insert(group, table).is_some(),
            Place::Plain { escape, avx, xop } => {
                let vector = avx.or(xop);
                let is_new = vector.is_none_or(|map| self.vector.insert(map, table.clone()).is_none());
                let plain = escape.or(vector.is_none().then_some(0));
                plain.is_some_and(|escape| self.plain.insert(escape, table).is_some()) || !is_new
            }
        };
        if again { Err("a table of what had one".to_owned()) } else { Ok(()) }
    }

    /// A line of a table.
    fn entry(&mut self, hex: &str, fields: &[&str], is_only64: bool) -> Result<(), String> {
        let Some((place, mut table)) = self.open.take() else { return Err("an opcode outside of a table".to_owned()) };
        let (digits, limit) = if let Place::Group(_) = place { (1, 8) } else { (2, 256) };
        let index = usize::from_str_radix(hex, 16).ok().filter(|&index| index < limit && hex.len() == digits);
        let index = index.ok_or("no opcode")?;
        if self.listed.contains(&index) {
            return Err("an opcode that was listed before".to_owned());
        }
        let in_xop = matches!(place, Place::Plain { xop: Some(_), .. });
        let listed = self.meanings(index, fields, in_xop, is_only64, &mut table)?;
        if listed {
            self.listed.push(index);
        }
        self.open = Some((place, table));
        Ok(())
    }

    /// All that a line says of its opcode; whether it says anything.
    fn meanings(
        &mut self,
        index: usize,
        fields: &[&str],
        in_xop: bool,
        is_only64: bool,
        table: &mut Table,
    ) -> Result<bool, String> {
        if fields.get(1) == Some(&"escape") {
            if fields.get(2) != Some(&"#") {
                return Err("an escape without a name".to_owned());
            }
            let name = fields[3..].concat();
            let n = self.escapes.len() + 1;
            if n > MAX_ESCAPES || self.escapes.insert(name, n as u8).is_some() {
                return Err("an escape too many".to_owned());
            }
            table.0[0][index] = Attributes { escape: n as u8, ..Attributes::default() };
            return Ok(true);
        }
        let mut rest = fields[1..].iter().copied().peekable();
        let (mut is_listed, mut has_variant) = (false, false);
        while let Some(name) = rest.next() {
            let starts_operand = |field: &&str| field.starts_with(|c: char| c.is_ascii_alphabetic() || c == '/');
            let mut all = Attributes::default();
            if let Some(operands) = rest.next_if(starts_operand) {
                all = operands_of(operands)?;
            }
            let marks = rest.next_if(|field| field.starts_with('(')).unwrap_or("");
            if rest.next_if_eq(&"|").is_none() && rest.clone().nth(1).is_some() {
                return Err(format!("{} is no separator", crate::clean::line(rest.peek().unwrap_or(&""))));
            }
            all = all.with(self.name(name, marks, in_xop)?);
            if self.heeds.invalid64 && marks.contains("(i64)") && !is_only64 {
                all = all.with(Attributes::flags(INVALID64));
            }
            if all.is_empty() {
                continue;
            }
            let marked = |any: &[&str]| any.iter().any(|mark| marks.contains(mark));
            let selected = [marked(&["(66)", "(!F3)"]), marked(&["(F3)"]), marked(&["(F2)", "(!F3)", "(66&F2)"])];
            for (selector, _) in selected.iter().enumerate().filter(|(_, is)| **is) {
                let of_prefix = &mut table.0[selector + 1][index];
                *of_prefix = of_prefix.with(all);
                has_variant = true;
            }
            if !marked(&["(66)", "(F2)", "(F3)"]) {
                table.0[0][index] = table.0[0][index].with(all);
                is_listed = true;
            }
        }
        if has_variant {
            table.0[0][index] = table.0[0][index].with(Attributes::flags(VARIANT));
        }
        Ok(is_listed || has_variant)
    }

    /// What a mnemonic and the marks behind it say.
    fn name(&mut self, name: &str, marks: &str, in_xop: bool) -> Result<Attributes, String> {
        let mut all = Attributes::default();
        let is_rex = |name: &str| {
            let bits = name.strip_prefix("REX");
            bits.is_some_and(|bits| bits.is_empty() || bits.starts_with('.') && bits != ".")
        };
        if name.strip_prefix("Grp").is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_alphanumeric())) {
            let n = self.groups.len() + 1;
            let group = *self.groups.entry(name.to_owned()).or_insert(n as u8);
            if usize::from(group) > MAX_GROUPS {
                return Err("a group too many".to_owned());
            }
            all = all.with(Attributes { group, flags: MODRM, ..Attributes::default() });
        }
        if marks.contains("(d64)") || marks.contains("(f64)") {
            all.flags |= FORCE64;
        }
        if is_rex(name) {
            all.prefix |= REX;
        }
        if name.starts_with("ESC") {
            all.flags |= MODRM;
        }
        all.flags |= match () {
            () if marks.contains("(ev)") => VECTOR | EVEX_ONLY,
            () if marks.contains("(es)") && self.heeds.scalable => VECTOR | EVEX_ONLY | SCALABLE,
            () if marks.contains("(v)") => VECTOR | VECTOR_ONLY,
            () if marks.contains("(v1)") || name.starts_with(['v', 'k']) => VECTOR,
            () if marks.contains("(xop)") && self.heeds.xop || in_xop => VECTOR,
            () => 0,
        };
        if marks.contains("(Prefix)") {
            all.prefix |= prefix_number(name).ok_or("an unknown prefix")?;
        }
        Ok(all)
    }

    fn prefix(&self, byte: usize) -> u8 {
        self.plain.get(&0).map_or(0, |table| table.0[0][byte].prefix)
    }

    /// That prefixes and escapes are the bytes that the decoder takes for them.
    fn check_bytes(&self) -> Result<(), String> {
        let prefix = |byte: usize| match byte {
            0x66 => OPERAND_SIZE,
            0xf3 => REP,
            0xf2 => REPNE,
            0x67 => ADDRESS_SIZE,
            0xf0 | 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65 => OTHER_LEGACY,
            0x40..=0x4f => REX,
            0xc5 => VEX2,
            0xc4 => VEX3,
            0x62 => EVEX,
            0xd5 if self.prefix(byte) != 0 => REX2,
            0x8f if self.prefix(byte) != 0 => XOP,
            _ => 0,
        };
        if let Some(byte) = (0..256).find(|&byte| self.prefix(byte) != prefix(byte)) {
            return Err(format!("{byte:02x} is not the prefix that it is elsewhere, or no longer one"));
        }
        let two = self.plain.get(&0).map_or(0, |table| table.0[0][0x0f].escape);
        let behind = self.plain.get(&two).ok_or("no opcodes behind 0f")?;
        let (three_1, three_2) = (behind.0[0][0x38].escape, behind.0[0][0x3a].escape);
        let is_known = |escape: u8, byte: usize, table: u8| match (table, byte) {
            (0, 0x0f) => escape == two,
            (table, 0x38) if table == two => escape == three_1,
            (table, 0x3a) if table == two => escape == three_2,
            _ => escape == 0,
        };
        let known = self.plain.iter().all(|(&n, table)| {
            let bytes = table.0[0].iter().enumerate();
            bytes.into_iter().all(|(byte, all)| is_known(all.escape, byte, n))
        });
        let complete = [two, three_1, three_2].iter().all(|n| *n != 0 && self.plain.contains_key(n));
        if known && complete { Ok(()) } else { Err("escapes are not 0f, 0f 38 and 0f 3a".to_owned()) }
    }

    fn opcodes(&self) -> Result<Opcodes, String> {
        if self.open.is_some() {
            return Err("the last table has no end".to_owned());
        }
        if self.groups.values().any(|group| !self.members.contains_key(group)) {
            return Err("a group without a table".to_owned());
        }
        let primary = self.plain.get(&0).ok_or("no opcodes of one byte")?;
        self.check_bytes()?;
        let two = primary.0[0][0x0f].escape;
        let behind = &self.plain[&two];
        let by_map = [0, two, behind.0[0][0x38].escape, behind.0[0][0x3a].escape];
        let mut cells = Cells {
            opcodes: Opcodes { rex2: self.prefix(0xd5) != 0, xop: self.prefix(0x8f) != 0, ..Opcodes::NONE },
            n_groups: 0,
        };
        for map in 0..N_MAPS {
            let plain = by_map.get(map).and_then(|n| self.plain.get(n));
            let vector = self.vector.get(&map);
            for (selector, opcode) in (0..4).flat_map(|selector| (0..256).map(move |opcode| (selector, opcode))) {
                let bare = plain.map(|table| match map {
                    // The last prefix selects no other attributes of a single byte.
                    0 => table.0[0][opcode],
                    _ => table.by_last_prefix(selector, opcode),
                });
                let vector =
                    vector.map(|table| if map < 8 { table.by_pp(selector, opcode) } else { table.0[0][opcode] });
                let entry = self.entry_of(map, selector, bare, vector);
                let entry =
                    entry.ok_or_else(|| format!("opcode {opcode:02x} of map {map} has operands that are not known"))?;
                cells.opcodes.cells[map][selector][opcode] = cells.cell(entry).ok_or("more groups than expected")?;
            }
        }
        Ok(cells.opcodes)
    }

    /// An opcode's shape, and the shapes of a group's members, from what it is without VEX and behind it.
    fn entry_of(
        &self,
        map: usize,
        selector: usize,
        bare: Option<Attributes>,
        vector: Option<Attributes>,
    ) -> Option<Entry> {
        let (plain, behind) = (bare.unwrap_or_default(), vector.unwrap_or_default());
        let has_vector = behind.has(VECTOR) || behind.group != 0;
        let shape = Shape {
            modrm: false,
            bare: !plain.has(VECTOR_ONLY | EVEX_ONLY),
            vex: has_vector && !behind.has(EVEX_ONLY),
            evex: has_vector,
            scalable: behind.has(SCALABLE),
            invalid64: map == 0 && plain.has(INVALID64),
            immediate: Immediate::None,
        };
        // Behind REX2 nobody asks whether an opcode needs VEX, and REX2 leads to the first two maps only.
        let without = (bare.is_some() && (shape.bare || map < 2 && self.prefix(0xd5) != 0))
            .then(|| self.members_of(plain, selector, shape));
        let with = has_vector.then(|| self.members_of(behind, selector, shape));
        match (without, with) {
            (None, None) => Some(Entry { shape, members: [shape; 8] }),
            (Some(one), None) | (None, Some(one)) => one,
            // What follows is the same with and without, or there is no one cell for it. Members that VEX does not lead to
            // are told by what they are behind it.
            (Some(one), Some(other)) => {
                let (one, other) = (one?, other?);
                let alike = one.shape.modrm == other.shape.modrm
                    && one.members.iter().zip(&other.members).all(|(a, b)| a.immediate == b.immediate);
                alike.then_some(other)
            }
        }
    }

    /// Case 5. `None` where something follows that the decoder does not know.
    fn members_of(&self, all: Attributes, selector: usize, shape: Shape) -> Option<Entry> {
        let shape = Shape { modrm: all.has(MODRM), ..shape };
        let table = self.members.get(&all.group).filter(|_| all.group != 0);
        let mut members = [shape; 8];
        for (reg, member) in members.iter_mut().enumerate() {
            let own = table.map(|table| table.by_last_prefix(selector, reg));
            let own = own.map_or(all, |own| own.with(Attributes { group: 0, ..all }));
            // A group's member is asked for VEX alone.
            let accepts = table.is_none() || own.has(VECTOR);
            *member =
                Shape { vex: shape.vex && accepts, evex: shape.evex && accepts, immediate: own.immediate()?, ..shape };
        }
        Some(Entry { shape, members })
    }
}

/// What the operands of a meaning say.
fn operands_of(operands: &str) -> Result<Attributes, String> {
    let mut all = Attributes::default();
    let mut has_immediate = false;
    for operand in operands.split(',') {
        let mut letters = operand.bytes();
        let (first, second) = (letters.next().unwrap_or(0), letters.next().unwrap_or(0));
        if matches!(first, b'I' | b'J' | b'A' | b'O' | b'L') && second.is_ascii_lowercase() {
            let immediate = immediate_number(operand).ok_or("an unknown immediate")?;
            if has_immediate && operand != "Ib" {
                return Err("a second immediate of more than a byte".to_owned());
            }
            all = all.with(if has_immediate { Attributes::flags(SECOND_IMMEDIATE) } else { immediate });
            has_immediate = true;
        } else if b"CDEGMNPQRSUVW/".contains(&first) && second.is_ascii_lowercase()
            || ["NTA", "T0", "T1", "T2"].iter().any(|hint| operand.starts_with(hint))
        {
            all.flags |= MODRM;
        }
    }
    Ok(all)
}

/// What an opcode and its group's members are.
struct Entry {
    shape: Shape,
    members: [Shape; 8],
}

/// Opcodes that are being put together.
struct Cells {
    opcodes: Opcodes,
    n_groups: usize,
}

impl Cells {
    /// The cell for an opcode. `None` where there are more groups than cells can name.
    fn cell(&mut self, entry: Entry) -> Option<Cell> {
        let [first, others @ ..] = entry.members;
        if others.iter().all(|&other| other == first) {
            return Some(Cell::new(first, 0));
        }
        let members = entry.members.map(|member| Cell::new(member, 0));
        let known = self.opcodes.groups.iter().take(self.n_groups + 1).skip(1).position(|group| *group == members);
        let group = match known {
            Some(position) => position + 1,
            None => {
                self.n_groups += 1;
                if self.n_groups == N_GROUPS {
                    return None;
                }
                self.opcodes.groups[self.n_groups] = members;
                self.n_groups
            }
        };
        Some(Cell::new(entry.shape, group))
    }
}

/// Whether two decoders see the same instructions, however their groups are numbered.
fn decode_alike(one: &Opcodes, other: &Opcodes) -> bool {
    let cells = (0..N_MAPS).flat_map(|map| (0..4).map(move |selector| (map as u8, selector as u8)));
    one.rex2 == other.rex2
        && one.xop == other.xop
        && cells.into_iter().all(|(map, selector)| {
            (0..=u8::MAX).all(|opcode| {
                let [a, b] = [one, other].map(|opcodes| opcodes.cell(map, selector, opcode));
                let n_members = if a.is_group() || b.is_group() { 8 } else { 1 };
                (0..n_members)
                    .all(|reg| behaviour(one, map, a, reg, selector) == behaviour(other, map, b, reg, selector))
            })
        })
}

/// All that decides how an instruction is measured.
#[derive(PartialEq, Eq, Debug)]
enum Behaviour {
    Fails,
    Ends,
    Takes { bare: bool, vex: bool, evex: bool, scalable: bool, modrm: bool, immediate: Immediate },
}

fn follows_operand_size(immediate: Immediate) -> bool {
    matches!(immediate, Immediate::Operand | Immediate::Full | Immediate::Far)
}

fn behaviour(opcodes: &Opcodes, map: u8, cell: Cell, reg: u8, selector: u8) -> Behaviour {
    let member = if cell.has_modrm() { opcodes.in_group(cell, reg << 3) } else { cell };
    let accepts = |evex| map > 0 && cell.accepts_vector(evex) && member.accepts_vector(evex);
    // Only VEX leads to the later maps.
    let bare = map < 4 && cell.is_bare();
    let immediate = member.immediate();
    match () {
        () if cell.is_invalid64() && !opcodes.rex2 => Behaviour::Ends,
        // Behind REX2, which leads to the first two maps, all else is the same.
        () if !bare && !accepts(false) && !accepts(true) && map > 1 => Behaviour::Fails,
        () => Behaviour::Takes {
            bare: bare && !cell.is_invalid64(),
            vex: accepts(false),
            evex: accepts(true),
            // It is asked with EVEX.pp 1 only, and the operand size tells nothing but how long an immediate is.
            scalable: accepts(true) && selector == 1 && cell.is_scalable() && follows_operand_size(immediate),
            modrm: cell.has_modrm(),
            immediate,
        },
    }
}

#[cfg(test)]
mod tests;
