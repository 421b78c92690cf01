//! Debug info that is small and refers to itself without end.
//!
//! Out: objects as bytes, put together by hand: no assembler writes what these hold.

/// `DW_FORM_*` (DWARF 5, table 7.6) and what goes with them, as far as it is needed here.
const ADDR: u8 = 0x01;
const STRP: u8 = 0x0e;
const STRING: u8 = 0x08;
const REF4: u8 = 0x13;
const SEC_OFFSET: u8 = 0x17;
const FLAG_PRESENT: u8 = 0x19;
/// `DW_TAG_compile_unit`, `DW_TAG_inlined_subroutine`, `DW_TAG_subprogram`.
const UNIT: u8 = 0x11;
const INLINED: u8 = 0x1d;
const SUBPROGRAM: u8 = 0x2e;
/// `DW_AT_*`
const NAME: u8 = 0x03;
const STMT_LIST: u8 = 0x10;
const LOW_PC: u8 = 0x11;
const ABSTRACT_ORIGIN: u8 = 0x31;
const RANGES: u8 = 0x55;
const EXTERNAL: u8 = 0x3f;
/// The address that an object's first code section is described at.
const CODE: u64 = 1 << 32;

/// What each object asks for, and the object.
pub fn objects() -> Vec<(&'static str, Vec<u8>)> {
    vec![
        ("units with overlapping abbreviations", overlapping_abbreviations()),
        ("units that share long abbreviations", shared_abbreviations()),
        ("entries with many attributes that take no byte", attributes_without_bytes()),
        ("units that share a list of ranges", shared_ranges(UNIT)),
        ("inlined calls that share a list of ranges", shared_ranges(INLINED)),
        ("functions that share a long name", shared_names()),
        ("a line table of one byte a row", long_line_table()),
        ("units that share the header of a line table", shared_line_header()),
        ("a deep nest of inlined calls", nested_calls()),
        ("debug sections that are all the same bytes", overlapping_sections()),
    ]
}

/// Its name, type, flags, bytes, link, info and the size of an entry.
type Section = (String, u32, u64, Vec<u8>, u32, u32, u64);

/// An object with a function that pushes without end, and these debug sections.
pub fn elf(debug: &[(&str, &[u8])]) -> Vec<u8> {
    let code: Vec<u8> = [vec![0x50; 64], vec![0xc3]].concat();
    let mut symbols = vec![0; 24];
    // `f`: a global function in section 1, of all its bytes.
    symbols.extend([1, 0, 0, 0, 0x12, 0, 1, 0]);
    symbols.extend(0u64.to_le_bytes());
    symbols.extend((code.len() as u64).to_le_bytes());
    let n = debug.len() as u32;
    let mut sections: Vec<Section> = vec![(".text".to_owned(), 1, 6, code, 0, 0, 0)];
    sections.extend(debug.iter().map(|(name, bytes)| ((*name).to_owned(), 1, 0, bytes.to_vec(), 0, 0, 0)));
    sections.push((".symtab".to_owned(), 2, 0, symbols, n + 3, 1, 24));
    sections.push((".strtab".to_owned(), 3, 0, b"\0f\0".to_vec(), 0, 0, 0));
    let mut names = vec![0u8];
    let mut at: Vec<u32> = Vec::new();
    for (name, ..) in &sections {
        at.push(names.len() as u32);
        names.extend(name.bytes().chain([0]));
    }
    at.push(names.len() as u32);
    names.extend(b".shstrtab\0");
    sections.push((".shstrtab".to_owned(), 3, 0, names, 0, 0, 0));
    let mut out = vec![0; 64];
    let mut headers = vec![0; 64];
    for ((_, kind, flags, bytes, link, info, entry), name) in sections.iter().zip(at) {
        headers.extend([name.to_le_bytes(), kind.to_le_bytes()].concat());
        for value in [*flags, 0, out.len() as u64, bytes.len() as u64] {
            headers.extend(value.to_le_bytes());
        }
        headers.extend([link.to_le_bytes(), info.to_le_bytes()].concat());
        headers.extend([1u64.to_le_bytes(), entry.to_le_bytes()].concat());
        out.extend(bytes);
    }
    let table = out.len() as u64;
    out.extend(headers);
    out[..16].copy_from_slice(b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0");
    out[16..24].copy_from_slice(&[1, 0, 62, 0, 1, 0, 0, 0]);
    out[40..48].copy_from_slice(&table.to_le_bytes());
    out[52..64].copy_from_slice(&[64, 0, 0, 0, 0, 0, 64, 0, sections.len() as u8 + 1, 0, sections.len() as u8, 0]);
    out
}

/// A unit of DWARF 4 whose entries are these bytes.
fn unit(abbreviations: u32, entries: &[u8]) -> Vec<u8> {
    let mut unit = (entries.len() as u32 + 7).to_le_bytes().to_vec();
    unit.extend([4, 0]);
    unit.extend(abbreviations.to_le_bytes());
    unit.push(8);
    unit.extend(entries);
    unit
}

fn uleb(mut value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    while value >= 128 {
        out.push(value as u8 | 128);
        value >>= 7;
    }
    out.push(value as u8);
    out
}

/// An abbreviation: its number, its tag, whether it has children, its attributes.
fn abbreviation(number: u64, tag: u8, children: u8, attributes: &[(u8, u8)]) -> Vec<u8> {
    let attributes = attributes.iter().flat_map(|&(name, form)| [name, form]);
    uleb(number).into_iter().chain([tag, children]).chain(attributes).chain([0, 0]).collect()
}

/// The abbreviations of a unit with a line table, an address and perhaps ranges.
fn root(more: &[(u8, u8)]) -> Vec<u8> {
    abbreviation(1, UNIT, 1, &[&[(LOW_PC, ADDR), (STMT_LIST, SEC_OFFSET)], more].concat())
}

fn root_entry() -> Vec<u8> {
    [vec![1], CODE.to_le_bytes().to_vec(), vec![0; 4]].concat()
}

/// A line table of version 4 with one file, and this program.
fn line_table(program: &[u8], names: usize) -> Vec<u8> {
    let mut header = vec![1, 1, 1, 0xfb, 14, 13, 0, 1, 1, 1, 1, 0, 0, 0, 1, 0, 0, 1, 0];
    header.extend(b"a\0\0\0\0".repeat(names));
    header.push(0);
    let mut out = ((2 + 4 + header.len() + program.len()) as u32).to_le_bytes().to_vec();
    out.extend([4, 0]);
    out.extend((header.len() as u32).to_le_bytes());
    [out, header, program.to_vec()].concat()
}

/// A program that gives the code a line.
fn program(rows: &[u8]) -> Vec<u8> {
    let address = [vec![0, 9, 2], CODE.to_le_bytes().to_vec()].concat();
    [address, rows.to_vec(), vec![2, 1, 0, 1, 1]].concat()
}

fn overlapping_abbreviations() -> Vec<u8> {
    let all: Vec<u8> = (1..60_000u64).flat_map(|n| abbreviation(n, UNIT, 0, &[(NAME, STRING)])).collect();
    let mut starts = Vec::new();
    let mut at = 0;
    for n in 1..20_000u64 {
        starts.push(at as u32);
        at += abbreviation(n, UNIT, 0, &[(NAME, STRING)]).len();
    }
    let units: Vec<u8> =
        starts.iter().zip(1..).flat_map(|(&at, n)| unit(at, &[uleb(n), vec![b'a', 0]].concat())).collect();
    elf(&[(".debug_info", &units), (".debug_abbrev", &all), (".debug_line", &line_table(&program(&[]), 1))])
}

fn shared_abbreviations() -> Vec<u8> {
    let all: Vec<u8> = (2..60_000u64).flat_map(|n| abbreviation(n, SUBPROGRAM, 0, &[(NAME, STRING)])).collect();
    let all = [root(&[]), all].concat();
    let units = unit(0, &root_entry()).repeat(30_000);
    elf(&[(".debug_info", &units), (".debug_abbrev", &all), (".debug_line", &line_table(&program(&[]), 1))])
}

fn attributes_without_bytes() -> Vec<u8> {
    let many = abbreviation(2, SUBPROGRAM, 0, &[(EXTERNAL, FLAG_PRESENT); 100_000]);
    let entries = [root_entry(), vec![2; 500_000], vec![0]].concat();
    let abbreviations = [root(&[]), many].concat();
    elf(&[
        (".debug_info", &unit(0, &entries)),
        (".debug_abbrev", &abbreviations),
        (".debug_line", &line_table(&program(&[]), 1)),
    ])
}

/// Entries of a kind, all with the same ranges.
fn shared_ranges(tag: u8) -> Vec<u8> {
    let range = |i: u64| [i.to_le_bytes(), (i + 1).to_le_bytes()].concat();
    let ranges: Vec<u8> = (0..30_000u64).flat_map(|i| range(CODE + i % 60)).chain([0; 16]).collect();
    let (units, abbreviations) = if tag == UNIT {
        let entry = [root_entry(), vec![0; 4]].concat();
        (unit(0, &entry).repeat(10_000), root(&[(RANGES, SEC_OFFSET)]))
    } else {
        let call = abbreviation(2, INLINED, 0, &[(RANGES, SEC_OFFSET)]);
        let entries = [root_entry(), [2, 0, 0, 0, 0].repeat(40_000), vec![0]].concat();
        (unit(0, &entries), [root(&[]), call].concat())
    };
    elf(&[
        (".debug_info", &units),
        (".debug_abbrev", &abbreviations),
        (".debug_ranges", &ranges),
        (".debug_line", &line_table(&program(&[]), 1)),
    ])
}

fn shared_names() -> Vec<u8> {
    let abbreviations = [
        root(&[]),
        abbreviation(2, SUBPROGRAM, 0, &[(NAME, STRP)]),
        abbreviation(3, INLINED, 0, &[(ABSTRACT_ORIGIN, REF4), (LOW_PC, ADDR), (0x12, 0x0b)]),
    ]
    .concat();
    const N: u32 = 20_000;
    let mut entries = root_entry();
    let first = 11 + entries.len() as u32;
    for i in 0..N {
        entries.push(2);
        entries.extend(i.to_le_bytes());
    }
    for i in 0..N {
        entries.push(3);
        entries.extend((first + 5 * i).to_le_bytes());
        entries.extend(CODE.to_le_bytes());
        entries.push(65);
    }
    entries.push(0);
    elf(&[
        (".debug_info", &unit(0, &entries)),
        (".debug_abbrev", &abbreviations),
        (".debug_str", &vec![b'n'; 1 << 20]),
        (".debug_line", &line_table(&program(&[]), 1)),
    ])
}

fn long_line_table() -> Vec<u8> {
    // Opcode 13 + 5 - 1 + 14: the next byte, the same line.
    let rows = vec![13 + 5 + 14; 4 << 20];
    elf(&[
        (".debug_info", &unit(0, &root_entry())),
        (".debug_abbrev", &root(&[])),
        (".debug_line", &line_table(&program(&rows), 1)),
    ])
}

fn shared_line_header() -> Vec<u8> {
    elf(&[
        (".debug_info", &unit(0, &root_entry()).repeat(30_000)),
        (".debug_abbrev", &root(&[])),
        (".debug_line", &line_table(&program(&[]), 50_000)),
    ])
}

fn nested_calls() -> Vec<u8> {
    let call = abbreviation(2, INLINED, 1, &[(LOW_PC, ADDR), (0x12, 0x0b)]);
    let entry = [vec![2], CODE.to_le_bytes().to_vec(), vec![65]].concat();
    let entries = [root_entry(), entry.repeat(100_000), vec![0; 100_001]].concat();
    elf(&[
        (".debug_info", &unit(0, &entries)),
        (".debug_abbrev", &[root(&[]), call].concat()),
        (".debug_line", &line_table(&program(&[]), 1)),
    ])
}

fn overlapping_sections() -> Vec<u8> {
    let info = unit(0, &root_entry()).repeat(20_000);
    let mut bytes =
        elf(&[(".debug_info", &info), (".debug_abbrev", &root(&[])), (".debug_line", &line_table(&program(&[]), 1))]);
    // The header of `.debug_info`, the second section, again and again behind the others.
    let table = u64::from_le_bytes(bytes[40..48].try_into().expect("eight bytes")) as usize;
    let headers = bytes.split_off(table);
    let n = headers.len() / 64;
    bytes.extend(&headers);
    bytes.extend(headers[128..192].repeat(5_000));
    bytes[60..62].copy_from_slice(&(n as u16 + 5_000).to_le_bytes());
    bytes
}
