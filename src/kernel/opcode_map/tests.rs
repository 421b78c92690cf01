//! Maps that say what is compiled in, and changes of them.
//!
//! In: a release.  Out: its opcodes as a tree's map, with meanings of our own.
//! Holds afterwards: no line of a kernel's own map is needed to test the reader.

use super::*;

/// A map that says what is compiled in for a release, with meanings of our own.
fn map_of(kernel: Kernel) -> String {
    const HEADS: [&str; 4] = [
        "Table: one\nReferrer:\nAVXcode:\n",
        "Table: two\nReferrer: 2 bytes\nAVXcode: 1\n",
        "Table: three\nReferrer: 3 bytes\nAVXcode: 2\n",
        "Table: four\nReferrer: 4 bytes\nAVXcode: 3\n",
    ];
    let known = Opcodes::of(kernel);
    let mut text = "# made up\n".to_owned();
    let mut groups = String::new();
    for map in 0..N_MAPS {
        match (HEADS.get(map), map) {
            (Some(head), _) => text.push_str(head),
            (None, ..8) => text.push_str(&format!("Table: VEX\nReferrer:\nAVXcode: {map}\n")),
            (None, _) if known.xop => text.push_str(&format!("Table: XOP\nReferrer:\nXOPcode: {}\n", map - 8)),
            (None, _) => continue,
        }
        for opcode in 0..256 {
            let cells = [0, 1, 2, 3].map(|selector| known.cell(map as u8, selector, opcode as u8));
            text.push_str(&format!("{opcode:02x}: {}\n", meanings(known, map, opcode, cells, &mut groups)));
        }
        text.push_str("EndTable\n");
    }
    text + &groups
}

fn meanings(known: &Opcodes, map: usize, opcode: usize, cells: [Cell; 4], groups: &mut String) -> String {
    match (map, opcode) {
        (0, 0x0f) => return "escape # 2 bytes".to_owned(),
        (1, 0x38) => return "escape # 3 bytes".to_owned(),
        (1, 0x3a) => return "escape # 4 bytes".to_owned(),
        (0, 0x40..=0x4f) => return "a | REX (o64)".to_owned(),
        _ => {}
    }
    let prefix = match (map, opcode) {
        (0, 0x66) => "Operand-Size",
        (0, 0x67) => "Address-Size",
        (0, 0xf2) => "REPNE",
        (0, 0xf3) => "REP/REPE",
        (0, 0xf0) => "LOCK",
        (0, 0x2e | 0x36 | 0x3e | 0x26 | 0x64 | 0x65) => "SEG=CS",
        (0, 0x62) => "EVEX",
        (0, 0xc4) => "VEX+2byte",
        (0, 0xc5) => "VEX+1byte",
        (0, 0x8f) if known.xop => "XOP",
        (0, 0xd5) if known.rex2 => "REX2",
        _ => "",
    };
    let mut all = Vec::new();
    if !prefix.is_empty() {
        all.push(format!("{prefix} (Prefix),(o64)"));
    }
    if cells.iter().any(|cell| cell.is_group()) {
        let name = format!("Grp{map}x{opcode:02x}");
        groups.push_str(&format!("GrpTable: {name}\n"));
        for reg in 0..8 {
            let members = cells.map(|cell| known.in_group(cell, reg << 3));
            groups.push_str(&format!("{reg}: {}\n", by_prefix(map, members)));
        }
        groups.push_str("EndTable\n");
        let marks = if !cells[0].is_bare() && (4..8).contains(&map) { "(es)" } else { "(1A)" };
        all.push(format!("{name} {marks}"));
        return all.join(" | ");
    }
    all.push(by_prefix(map, cells));
    all.join(" | ")
}

/// A meaning for each prefix, or one for all where they are the same.
fn by_prefix(map: usize, cells: [Cell; 4]) -> String {
    let xop = map > 7;
    if map == 0 || xop || cells.iter().all(|cell| *cell == cells[0] && !cell.accepts_vector(true)) {
        return meaning(cells[0], "(1A)", xop);
    }
    let marks = ["(1A)", "(66)", "(F3)", "(F2)"];
    cells.iter().zip(marks).map(|(cell, mark)| meaning(*cell, mark, xop)).collect::<Vec<_>>().join(" | ")
}

fn meaning(cell: Cell, mark: &str, xop: bool) -> String {
    if xop && !cell.accepts_vector(false) {
        return String::new();
    }
    let modrm = if cell.has_modrm() { "Ev" } else { "x" };
    let immediate = match cell.immediate() {
        Immediate::None => "",
        Immediate::Byte => ",Ib",
        Immediate::Word => ",Iw",
        Immediate::Dword => ",Id",
        Immediate::Operand => ",Iz",
        Immediate::Full => ",Iv",
        Immediate::Offset => ",Ov",
        Immediate::Far => ",Ap",
        Immediate::WordByte => ",Iw,Ib",
    };
    let vector = match (cell.accepts_vector(false), cell.accepts_vector(true), cell.is_bare()) {
        _ if xop => "",
        (false, true, _) if cell.is_scalable() => ",(es)",
        (false, true, _) => ",(ev)",
        (true, _, true) => ",(v1)",
        (true, _, false) => ",(v)",
        (false, false, _) => "",
    };
    let invalid = if cell.is_invalid64() { ",(i64)" } else { "" };
    format!("a {modrm}{immediate} {mark}{vector}{invalid}")
}

#[track_caller]
fn changed(kernel: Kernel, from: &str, to: &str) -> Result<Option<Opcodes>, String> {
    let map = map_of(kernel);
    assert!(map.contains(from), "{from}");
    read(&map.replacen(from, to, 1), None, kernel)
}

#[test]
fn a_map_that_says_what_is_compiled_in_is_none() {
    for kernel in Kernel::ALL {
        assert_eq!(read(&map_of(kernel), None, kernel), Ok(None), "{kernel}");
    }
    // Another release's is one.
    assert!(matches!(read(&map_of(Kernel::V6_12), None, Kernel::V6_1), Ok(Some(tree)) if tree.rex2));
    assert!(matches!(read(&map_of(Kernel::V6_1), None, Kernel::V6_12), Ok(Some(tree)) if !tree.rex2));
}

/// The lengths were seen with the decoder that the generator of 6.12 makes of the same change.
#[test]
fn cases_1_to_5_follow_the_map() {
    let one = |from: &str, to: &str| changed(Kernel::V6_12, from, to).expect("a map").expect("a change");
    let tree = one("\n0a: a x (1A)\n0b: a x (1A)\n0c: a x (1A)\n0d", "\n0a: a Ib\n0b: a Ev,Iz (66)\n0c: a Ib (v)\n0d");
    let cell = |map, selector, opcode| tree.cell(map, selector, opcode);
    assert_eq!([0, 1, 2, 3].map(|selector| cell(1, selector, 0x0a).immediate()), [Immediate::Byte; 4]);
    assert_eq!((cell(1, 1, 0x0b).immediate(), cell(1, 1, 0x0b).has_modrm()), (Immediate::Operand, true));
    assert_eq!((cell(1, 2, 0x0b).immediate(), cell(1, 0, 0x0b).has_modrm()), (Immediate::None, false));
    assert!(!cell(1, 0, 0x0c).is_bare() && cell(1, 0, 0x0c).accepts_vector(false));
    assert!(!cell(1, 1, 0x0c).accepts_vector(false));
    let tree = one("GrpTable: Grp0xf6\n0: a Ev,Ib (1A)", "GrpTable: Grp0xf6\n0: a Ev,Id (1A)");
    let group = tree.cell(0, 0, 0xf6);
    assert_eq!(
        [0, 1, 2].map(|reg| tree.in_group(group, reg << 3).immediate()),
        [Immediate::Dword, Immediate::Byte, Immediate::None]
    );
}

#[test]
fn what_only_later_generators_heed_is_asked_of_the_tree_s() {
    let map = map_of(Kernel::V6_18);
    let old = read(&map, Some("evex_scalable_expr xopok_expr"), Kernel::V6_18).expect("a map").expect("a change");
    assert!(!old.cell(0, 0, 0x06).is_invalid64() && old.xop);
    assert_eq!(read(&map, Some("evex_scalable_expr xopok_expr invalid64_expr"), Kernel::V6_18), Ok(None));
}

#[test]
fn what_no_decoder_is_made_of_is_refused() {
    let refused = |from: &str, to: &str| changed(Kernel::V6_12, from, to).expect_err(to);
    assert_eq!(refused("\n90: a x", "\n90: a Ix"), "line 149: an unknown immediate");
    assert_eq!(refused("\n90: a x (1A)", "\n90: a x (1A) b\u{1b}[2J c d"), "line 149: b?[2J is no separator");
    assert_eq!(refused("\n85: a Ev", "\n84: a Ev"), "line 138: an opcode that was listed before");
    assert!(refused("66: Operand-Size (Prefix)", "66: a").starts_with("66 is not the prefix"));
    assert!(refused("0f: escape", "0e: escape").contains("escapes are not"));
    assert!(refused("GrpTable: Grp0xf6", "GrpTable: Grp7").contains("a group that no opcode is of"));
    assert!(refused("Referrer: 4 bytes", "Referrer: 5 bytes").contains("an escape that no opcode is"));
    assert!(refused("\n90: a x (1A)", "\n90: a Iv (d64)").contains("opcode 90 of map 0 has operands"));
    assert_eq!(read("", None, Kernel::V6_12), Err("no opcodes of one byte".to_owned()));
}

#[test]
fn a_known_map_is_not_read_again() {
    let unreadable = "GrpTable: none";
    let known = |of| [(digest(unreadable), of)];
    let read = |of, generator, kernel| read_unless_known(&known(of), unreadable, generator, kernel);
    assert_eq!(read(Kernel::V6_18, None, Kernel::V7_3), Ok(None));
    let later = "evex_scalable_expr xopok_expr invalid64_expr";
    assert_eq!(read(Kernel::V6_18, Some(later), Kernel::V7_3), Ok(None));
    // Another text, the map of another release, and another generator's reading of it.
    let why = "line 1: a group that no opcode is of".to_owned();
    assert_eq!(read_unless_known(&known(Kernel::V7_3), "GrpTable: other", None, Kernel::V7_3), Err(why.clone()));
    assert_eq!(read(Kernel::V6_12, None, Kernel::V7_3), Err(why.clone()));
    assert_eq!(read(Kernel::V6_18, Some("evex_scalable_expr"), Kernel::V7_3), Err(why));
}

#[test]
fn the_digest_is_xxh3() {
    // As `xxhsum -H2` prints them.
    assert_eq!(digest(""), 0x99aa_06d3_0147_98d8_6001_c324_468d_497f);
    assert_eq!(digest("Nobody inspects the spammish repetition"), 0xa32c_6f55_b80b_5f44_9f1a_9575_2243_1b91);
    let all: std::collections::BTreeSet<u128> = KNOWN.iter().map(|(digest, _)| *digest).collect();
    assert_eq!(all.len(), KNOWN.len());
}

/// Reads the maps of the trees in `ORCLS_KERNEL_SOURCES`, if it is set, as if none were known. A map that says what is compiled in, but
/// whose digest is not known, fails with the line to add.
#[test]
fn known_maps_say_what_is_compiled_in() {
    let Some(trees) = std::env::var_os("ORCLS_KERNEL_SOURCES") else {
        return;
    };
    let mut missing = Vec::new();
    for tree in std::env::split_paths(&trees) {
        let text = |name: &str| std::fs::read_to_string(tree.join(name)).expect(name);
        let map = text("tools/arch/x86/lib/x86-opcode-map.txt");
        let generator = text("tools/arch/x86/tools/gen-insn-attr-x86.awk");
        let makefile = text("Makefile");
        let number = |name: &str| {
            let value = makefile.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix('='));
            value.and_then(|value| value.trim().parse().ok()).expect(name)
        };
        let kernel = Kernel::nearest(number("VERSION"), number("PATCHLEVEL"));
        let unread = read_unless_known(&[], &map, Some(&generator), kernel);
        let is_known = KNOWN.iter().any(|&(known, _)| known == digest(&map));
        match unread {
            Ok(None) if !is_known => missing.push(format!("({:#034x}, {kernel}), of {}", digest(&map), tree.display())),
            Ok(None) => assert_eq!(read(&map, Some(&generator), kernel), Ok(None)),
            _ => assert!(!is_known, "{}: it is known, and says otherwise", tree.display()),
        }
    }
    assert_eq!(missing, Vec::<String>::new());
}

/// Cut short anywhere, it is refused or says less; nothing panics.
#[test]
fn no_text_harms() {
    let map = map_of(Kernel::V6_18);
    let lines: Vec<&str> = map.lines().collect();
    for n in (0..lines.len()).step_by(37) {
        assert!(read(&lines[..n].join("\n"), None, Kernel::V6_18).is_err(), "{n} lines");
    }
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    for _ in 0..200 {
        let mut bytes = map.clone().into_bytes();
        for _ in 0..40 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = state as usize % bytes.len();
            bytes[at] = b"0f: (v)|,\nI\xff"[(state >> 40) as usize % 12];
        }
        let _ = read(&String::from_utf8_lossy(&bytes), None, Kernel::V6_18);
    }
}
