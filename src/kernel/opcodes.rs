//! What follows each opcode, as each release's own instruction decoder knows it.
//!
//! In: an opcode map, the prefix that selects within it, the opcode.  Out: [`Cell`], what follows the opcode.
//! Holds afterwards: a table exists for every release; it is made at compile time, where a slip in it is an error.
//! Reads like: the opcode maps of Intel's SDM, volume 2, appendix A.
//!
//! objtool measures instructions with the decoder of the kernel tree that it was built from, which is permissive and
//! knows what its `tools/arch/x86/lib/x86-opcode-map.txt` lists. The facts below are those of the trees that
//! [`super::Kernel`] names; what came later than the first of them is in marked lines. A tree whose file says otherwise is
//! judged by its file (`opcode_map`).

use std::fmt;

use super::Kernel;

/// What follows an opcode, and how it may be prefixed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Cell(u16);

/// What a cell says.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Shape {
    pub(super) modrm: bool,
    pub(super) bare: bool,
    pub(super) vex: bool,
    pub(super) evex: bool,
    pub(super) scalable: bool,
    pub(super) invalid64: bool,
    pub(super) immediate: Immediate,
}

/// The operand bytes behind ModRM, SIB and displacement.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Immediate {
    None,
    /// One byte.
    Byte,
    /// Two bytes.
    Word,
    /// Four bytes.
    Dword,
    /// Two bytes with operand size 16, else four.
    Operand,
    /// As many as the operand has.
    Full,
    /// An address of the size of an address.
    Offset,
    /// A segment and an offset.
    Far,
    /// Two bytes and one (`enter`).
    WordByte,
}

const IMMEDIATES: [Immediate; 9] = [
    Immediate::None,
    Immediate::Byte,
    Immediate::Word,
    Immediate::Dword,
    Immediate::Operand,
    Immediate::Full,
    Immediate::Offset,
    Immediate::Far,
    Immediate::WordByte,
];

impl Cell {
    /// Nothing follows the opcode.
    pub(crate) const NOTHING: Cell = Cell(Cell::BARE);

    const MODRM: u16 = 1 << 4;
    /// Valid without VEX or EVEX.
    const BARE: u16 = 1 << 5;
    const VEX: u16 = 1 << 6;
    const EVEX: u16 = 1 << 7;
    /// EVEX.pp may select operand size 16.
    const SCALABLE: u16 = 1 << 8;
    const INVALID64: u16 = 1 << 9;
    const GROUP_SHIFT: u16 = 10;

    /// The cell for one letter of [`MAPS`].
    const fn of(letter: u8) -> Cell {
        let any = Cell::BARE | Cell::VEX | Cell::EVEX;
        let vector = Cell::VEX | Cell::EVEX;
        Cell(match letter {
            b'.' => Cell::BARE,
            b'i' => Cell::BARE | 1,
            b'h' => Cell::BARE | 2,
            b'j' => Cell::BARE | 3,
            b'z' => Cell::BARE | 4,
            b'q' => Cell::BARE | 5,
            b'o' => Cell::BARE | 6,
            b'p' => Cell::BARE | 7,
            b'n' => Cell::BARE | 8,
            b'm' => Cell::BARE | Cell::MODRM,
            b'b' => Cell::BARE | Cell::MODRM | 1,
            b'l' => Cell::BARE | Cell::MODRM | 4,
            b':' => any,
            b'M' => any | Cell::MODRM,
            b'B' => any | Cell::MODRM | 1,
            b'v' => vector | Cell::MODRM,
            b'w' => vector | Cell::MODRM | 1,
            b'd' => vector | Cell::MODRM | 3,
            b'e' => Cell::EVEX | Cell::MODRM,
            b'f' => Cell::EVEX | Cell::MODRM | 1,
            b'y' => Cell::EVEX | Cell::MODRM | Cell::SCALABLE | 4,
            b'x' => 0,
            _ => panic!("no such letter"),
        })
    }

    /// A cell with these properties. Where a group's members differ in the last one, `group` tells which they are.
    pub(super) fn new(shape: Shape, group: usize) -> Cell {
        let Shape { modrm, bare, vex, evex, scalable, invalid64, immediate } = shape;
        let flags = [
            (modrm, Cell::MODRM),
            (bare, Cell::BARE),
            (vex, Cell::VEX),
            (evex, Cell::EVEX),
            (scalable, Cell::SCALABLE),
            (invalid64, Cell::INVALID64),
        ];
        let flags = flags.into_iter().filter(|(is_set, _)| *is_set).map(|(_, flag)| flag).sum::<u16>();
        let immediate = IMMEDIATES.iter().position(|&known| known == immediate).unwrap_or(0);
        Cell(flags | immediate as u16 | (group as u16) << Cell::GROUP_SHIFT)
    }

    /// Whether a ModRM byte follows.
    pub(crate) fn has_modrm(self) -> bool {
        self.0 & Cell::MODRM != 0
    }

    /// Whether the opcode exists without VEX or EVEX.
    pub(crate) fn is_bare(self) -> bool {
        self.0 & Cell::BARE != 0
    }

    /// Whether the opcode exists behind VEX or XOP, or, if `evex`, behind EVEX.
    pub(crate) fn accepts_vector(self, evex: bool) -> bool {
        self.0 & if evex { Cell::EVEX } else { Cell::VEX } != 0
    }

    /// Whether EVEX.pp may select operand size 16.
    pub(crate) fn is_scalable(self) -> bool {
        self.0 & Cell::SCALABLE != 0
    }

    /// Whether the release stops behind the opcode because it is invalid in 64-bit mode.
    pub(crate) fn is_invalid64(self) -> bool {
        self.0 & Cell::INVALID64 != 0
    }

    /// Whether ModRM.reg selects among members.
    pub(super) fn is_group(self) -> bool {
        self.0 >> Cell::GROUP_SHIFT != 0
    }

    /// What comes last.
    pub(crate) fn immediate(self) -> Immediate {
        IMMEDIATES.get(usize::from(self.0 & 15)).copied().unwrap_or(Immediate::None)
    }
}

/// How many groups with members of different shapes a release may have.
pub(super) const N_GROUPS: usize = 1 << (16 - Cell::GROUP_SHIFT);

/// The opcode maps by number: 0 one-byte, 1 `0f`, 2 `0f 38`, 3 `0f 3a`, 4 to 7 EVEX's, 8 to 10 XOP's.
pub(super) const N_MAPS: usize = 11;

/// One release's opcodes.
#[derive(Clone, PartialEq, Eq)]
pub struct Opcodes {
    /// `d5` is REX2. From 6.12 on (eada38d575a2, 159039af8c07).
    pub(crate) rex2: bool,
    /// `8f` may be XOP. From 6.18 on.
    pub(crate) xop: bool,
    pub(super) cells: [[[Cell; 256]; 4]; N_MAPS],
    /// Members by ModRM.reg; the first group is none.
    pub(super) groups: [[Cell; 8]; N_GROUPS],
}

/// Nobody reads 11,000 cells.
impl fmt::Debug for Opcodes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Opcodes").field("rex2", &self.rex2).field("xop", &self.xop).finish_non_exhaustive()
    }
}

impl Opcodes {
    /// Nothing is listed.
    pub(super) const NONE: Opcodes = Opcodes {
        rex2: false,
        xop: false,
        cells: [[[Cell::NOTHING; 256]; 4]; N_MAPS],
        groups: [[Cell(0); 8]; N_GROUPS],
    };

    /// Those that are compiled in for a release.
    pub(crate) fn of(kernel: Kernel) -> &'static Opcodes {
        match kernel {
            Kernel::V5_15 => &RELEASES[0],
            Kernel::V6_1 | Kernel::V6_6 => &RELEASES[1],
            Kernel::V6_12 => &RELEASES[2],
            Kernel::V6_18 | Kernel::V7_0 | Kernel::V7_2 | Kernel::V7_3 => &RELEASES[3],
        }
    }

    /// The cell of `opcode`, before ModRM is known. `selector` is 1, 2, 3 for `66`, `f3`, `f2`, and 0 for none.
    pub(crate) fn cell(&self, map: u8, selector: u8, opcode: u8) -> Cell {
        let Some(pages) = self.cells.get(usize::from(map)) else { return Cell(0) };
        pages[usize::from(selector & 3)][usize::from(opcode)]
    }

    /// The cell when ModRM says which instruction of a group it is.
    pub(crate) fn in_group(&self, cell: Cell, modrm: u8) -> Cell {
        match cell.0 >> Cell::GROUP_SHIFT {
            0 => cell,
            group => self.groups[usize::from(group)][usize::from(modrm >> 3 & 7)],
        }
    }
}

/// The releases that changed the maps, as far as a length hangs on it: 6.6 has those of 6.1, 7.0 and later those of 6.18.
static RELEASES: [Opcodes; 4] = [read("5.15"), read("6.1"), read("6.12"), read("6.18")];

/// The maps. A line is: shapes, opcodes. `@6.12` before it: so from that release on.
///
/// One shape, or four: without prefix, with `66`, `f3`, `f2` (behind VEX: by VEX.pp). `{........}`: by ModRM.reg.
///
/// | letter | what follows the opcode |
/// |---|---|
/// | `.` | nothing; also what the maps do not list |
/// | `i h j` | 1, 2, 4 bytes |
/// | `z q` | 2 or 4 bytes, 2 or 4 or 8 bytes by operand size |
/// | `o p n` | an address; a far pointer; 2 and 1 bytes |
/// | `m b l` | ModRM; and 1 byte; and 2 or 4 bytes |
/// | `: M B` | as `.`, `m`, `b`, also behind VEX and EVEX |
/// | `v w d` | only behind VEX and EVEX (or XOP): as `m`, `b`; ModRM and 4 bytes |
/// | `e f y` | only behind EVEX: as `m`, `b`, `l` |
/// | `x` | an error |
/// | `!` | the opcode is invalid in 64-bit mode and ends there |
const MAPS: &str = "
map 0
m  00-03 08-0b 10-13 18-1b 20-23 28-2b 30-33 38-3b 62-63 84-8f c4-c5 d0-d3 d8-df fe-ff
i  04 0c 14 1c 24 2c 34 3c 6a 70-7f a8 b0-b7 cd d4-d5 e0-e7 eb
z  05 0d 15 1d 25 2d 35 3d 68 a9
l  69 81 c7
b  6b 80 82-83 c0-c1 c6
p  9a ea
o  a0-a3
q  b8-bf
h  c2 ca
n  c8
j  e8-e9
{bbmmmmmm}  f6
{llmmmmmm}  f7
@6.18 !  06-07 0e 16-17 1e-1f 27 2f 37 3f 60-61 82 9a ce d4 ea

map 1
m  00-03 0d 18 1a-1c 1e-23 40 43 48-49 4c-4f 94-97 9a-9f a3 a5-a7 ab ad af-b7 b9 bb-c1 c3 c7
b  0f a4 ac ba
j  80-8f
M  10-12 51 58-5a 5c-5f
B  c2
MM..  13-15 17 28-29 2b 2e-2f 41-42 44-47 4a-4b 50 54-57 90-91 98-99
MMM.  16 5b
mmMM  2a 2c-2d
M.M.  52-53
mM..  60-6b 6e 74-76 d1-d5 d7-e5 e7-ef f1-fe
.M..  6c-6d
mMMe  6f 7f
bBBB  70
{mmbmbmbm}{mmBmBmBm}mm  71
{mmbmbmbm}{BBBmBmBm}mm  72
{mmbmmmbm}{mmBBmmBB}mm  73
:...  77
Meee  78-79
.eee  7a-7b
.M.M  7c-7d d0
mMM.  7e
MM.M  92-93
{mmMMmmmm}mmm  ae
..m.  b8
bB..  c4-c5
BB..  c6
.Mmm  d6
.MMM  e6
...M  f0

map 2
mM..  00-0b 1c-1e
.v..  0c-0f 16 18-1a 2c-2f 36 45-47 58-5a 78-79 8c 8e 90-93 96-99 9c-9f a6-a9 ac-af b6-bf
.Me.  10 14-15 20-25 28-2a 30-35 38-3a
.ee.  11-12 26-27
.ve.  13
.M..  17 2b 37 3b-41 cf db dc-df
.e..  1b 1f 42-44 4c-4f 54-55 5b 62-66 70-71 73 75-77 7a-7f 83 88-8b 8d 8f a0-a3 b4-b5 c4
.e..  50-51
.eee  52
.e.e  53
@6.1 MM.M  49
@6.1 .MvM  4b
@6.1 .M..  50-51
@6.1 .Mee  52
@6.1 .M.e  53
@6.1 ..M.  5c
@6.1 M  5e
...e  68
.eee  72
.m..  80-82
.v.e  9a-9b aa-ab
m{mMMmmMMm}mm  c6-c7
me..  c8 ca-cd
m  c9 f9
mm.m  f0-f1
vxxx  f2
{mMMMmmmm}  f3
vmvv  f5
mmmv  f6
v  f7
.mmm  f8
@6.12 vMvv  50-51
@6.12 ..MM  5c
@6.12 MM..  6c
@6.12 .eMe  72
@6.12 v  b0
@6.12 .vv.  b1
@6.12 .M..  b4-b5 e0-ef
@6.12 me.v  cb-cd
@6.12 vvv.  d2-d3
@6.12 ..m.  d8 fa-fb
@6.12 MMvv  da
@6.12 .Mm.  dc-df
@6.12 m  fc

map 3
.w..  00-02 04-06 18-19 1d 30-33 38-39 46 4a-4b
.f..  03 1a-1b 1e-1f 23 25 3a-3b 3e-3f 43 50-51 54-55 70-73
.B..  08 0a
@6.1 BB..  08 0a
.B..  09 0b-0e 14-17 20-22 40-42 44 4c 60-63 ce-cf df
bB..  0f
.f..  26-27 56-57 66-67
@6.1 ff..  26-27 56-57 66-67
@6.1 f.f.  c2
b  cc
...w  f0
@6.1 ..bw  f0
@6.12 .B..  de

map 4
@6.12 e...  00 02 08 0a 10 12 18 1a 20 22 28 2a 30 32 38 3a 84 8f f9
@6.12 ee..  01 03 09 0b 11 13 19 1b 21 23 29 2b 31 33 39 3b 60-61 85 88 a5 ad af f4-f5
@6.12 ff..  24 2c 6b
@6.12 ee.e  40-4f
@6.12 .e..  65
@6.12 eee.  66 f1
@6.12 yy..  69
@6.12 f  80 83 c0-c1
@6.12 y  81
@6.12 e  d0-d3 fe-ff
@6.12 e.e.  f0
@6.12 ..e.  f2
@6.12 {ffeeeeee}  f6
@6.12 {yyeeeeee}  f7
@6.12 .eee  f8

map 5
@6.1 ..e.  10-11 2a 2c-2d
@6.1 ee..  1d 7c
@6.1 e...  2e-2f
@6.1 e.e.  51 58-59 5c-5f
@6.1 e  5a 7d
@6.1 eee.  5b 78-79
@6.1 .e..  6e 7e
@6.1 .e.e  7a
@6.1 .ee.  7b

map 6
@6.1 ee..  13
@6.1 .e..  2c-2d 42-43 4c-4f 96-9f a6-af b6-bf
@6.1 ..ee  56-57 d6-d7

map 7
@6.12 ..dd  f8

map 8
@6.18 w  85-87 8e-8f 95-97 9e-9f a2-a3 a6 b6 c0-c3 cc-cf ec-ef

map 9
@6.18 v  01-02 12 80-83 90-9b c1-c3 c6-c7 cb d1-d3 d6-d7 db e1-e3

map 10
@6.18 d  10
@6.18 {ddvvvvvv}  12
";

/// Where the reader of [`MAPS`] stands.
struct Cursor {
    at: usize,
}

impl Cursor {
    const fn peek(&self) -> u8 {
        if self.at < MAPS.len() { MAPS.as_bytes()[self.at] } else { b'\n' }
    }

    const fn take(&mut self) -> u8 {
        let byte = self.peek();
        self.at += 1;
        byte
    }

    const fn skip(&mut self, byte: u8) {
        while self.at < MAPS.len() && self.peek() == byte {
            self.at += 1;
        }
    }

    const fn hex_byte(&mut self) -> usize {
        hex_digit(self.take()) * 16 + hex_digit(self.take())
    }

    /// The rank of the release that is named up to the next space.
    const fn release(&mut self) -> usize {
        let start = self.at;
        while self.peek() != b' ' {
            self.at += 1;
        }
        let (_, name) = MAPS.as_bytes().split_at(start);
        release_rank(name.split_at(self.at - start).0)
    }
}

/// A release's position in [`RELEASES`].
const fn release_rank(name: &[u8]) -> usize {
    match name {
        b"5.15" => 0,
        b"6.1" => 1,
        b"6.12" => 2,
        b"6.18" => 3,
        _ => panic!("no such release"),
    }
}

const fn hex_digit(byte: u8) -> usize {
    match byte {
        b'0'..=b'9' => (byte - b'0') as usize,
        b'a'..=b'f' => (byte - b'a') as usize + 10,
        _ => panic!("no hexadecimal digit"),
    }
}

/// Reads [`MAPS`] as `release` has it.
const fn read(release: &str) -> Opcodes {
    let rank = release_rank(release.as_bytes());
    let mut table =
        Opcodes { rex2: rank >= release_rank(b"6.12"), xop: rank >= release_rank(b"6.18"), ..Opcodes::NONE };
    let mut n_groups = 0;
    let mut map = 0;
    let mut cursor = Cursor { at: 0 };
    cursor.skip(b'\n');
    while cursor.at < MAPS.len() {
        if cursor.peek() == b'm' && MAPS.as_bytes()[cursor.at + 1] == b'a' {
            cursor.at += 4;
            map = (cursor.take() - b'0') as usize;
            if cursor.peek() != b'\n' {
                map = map * 10 + (cursor.take() - b'0') as usize;
            }
            cursor.skip(b'\n');
            continue;
        }
        let mut since = 0;
        if cursor.peek() == b'@' {
            cursor.at += 1;
            since = cursor.release();
            cursor.skip(b' ');
        }
        let mut shapes = [None; 4];
        let mut n_shapes = 0;
        while cursor.peek() != b' ' {
            shapes[n_shapes] = match cursor.take() {
                b'!' => None,
                b'{' => {
                    let mut members = [Cell(0); 8];
                    let mut all = 0;
                    let mut i = 0;
                    while i < 8 {
                        members[i] = Cell::of(cursor.take());
                        all |= members[i].0;
                        i += 1;
                    }
                    assert!(cursor.take() == b'}', "a group has eight members");
                    n_groups += 1;
                    table.groups[n_groups] = members;
                    // Until ModRM is known, what any member may have is possible.
                    Some(Cell(all & !15 | (n_groups as u16) << Cell::GROUP_SHIFT))
                }
                letter => Some(Cell::of(letter)),
            };
            n_shapes += 1;
        }
        assert!(n_shapes == 1 || n_shapes == 4, "one shape or four");
        while cursor.peek() == b' ' {
            cursor.skip(b' ');
            let first = cursor.hex_byte();
            let last = if cursor.peek() == b'-' {
                cursor.at += 1;
                cursor.hex_byte()
            } else {
                first
            };
            let mut opcode = first;
            while since <= rank && opcode <= last {
                let mut selector = 0;
                while selector < 4 {
                    let cell = &mut table.cells[map][selector][opcode];
                    *cell = match shapes[if n_shapes == 1 { 0 } else { selector }] {
                        Some(shape) => shape,
                        None => Cell(cell.0 | Cell::INVALID64),
                    };
                    selector += 1;
                }
                opcode += 1;
            }
        }
        cursor.skip(b'\n');
    }
    table
}
