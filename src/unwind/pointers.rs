//! Places in code that data or code points to: tables of jumps, labels as values.
//!
//! In: [`Code`], the relocations of data.  Out: [`Pointers`].
//! Holds afterwards: each is an instruction with a row.
//! Reads like: x86-64 psABI §3.5.6 and §4.4 (jump tables are the compiler's own; their relocations are not).

use rustc_hash::FxHashMap;

use super::code::{Code, NONE};
use super::relocated::Addresses;
use crate::ids::{CodeLoc, SectionId};
use crate::image::{ET_REL, ElfImage, RelocKind, SHF_ALLOC, Store};

/// More entries no table has.
const MOST_ENTRIES: u64 = 4096;

/// In linked files nothing but its contents shows a table: distances from its own start, or addresses, up to the first that
/// leads to no instruction of the function that refers to it.
fn linked_tables(store: &dyn Store, image: &ElfImage, addresses: &Addresses, code: &Code, insns: &mut Vec<u32>) {
    let mut contents: FxHashMap<SectionId, Vec<u8>> = FxHashMap::default();
    for &(anchor, fde) in &code.anchors_of {
        let bytes = contents
            .entry(anchor.section)
            .or_insert_with(|| image.read_section(store, anchor.section).unwrap_or_default());
        let base = addresses.start(anchor.section).wrapping_add(anchor.offset);
        let within = |address: u64| {
            let insn = code.at(addresses.loc(address)?)?;
            code.get(insn).filter(|found| found.fde == fde && found.row != NONE).map(|_| insn)
        };
        let entry = |at: u64, size: u64| {
            let start = usize::try_from(anchor.offset.checked_add(at * size)?).ok()?;
            bytes.get(start..start.checked_add(size as usize)?)
        };
        let relative = |at: u64| {
            let distance = i32::from_le_bytes(entry(at, 4)?.try_into().ok()?);
            within(base.wrapping_add_signed(i64::from(distance)))
        };
        let absolute = |at: u64| within(u64::from_le_bytes(entry(at, 8)?.try_into().ok()?));
        let before = insns.len();
        insns.extend((0..MOST_ENTRIES).map_while(relative));
        if insns.len() == before {
            insns.extend((0..MOST_ENTRIES).map_while(absolute));
        }
    }
}

/// Code that something points to.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    /// Instructions, ascending.
    insns: Vec<u32>,
    /// What an indirect jump's own table leads to.
    tables: FxHashMap<u32, Vec<u32>>,
}

impl Pointers {
    /// Collects them.
    pub(super) fn read(store: &dyn Store, image: &ElfImage, addresses: &Addresses, code: &Code) -> Pointers {
        let mut insns = Vec::new();
        let mut add = |loc: CodeLoc| {
            if let Some(insn) = code.at(loc).filter(|&insn| code.get(insn).is_some_and(|insn| insn.row != NONE)) {
                insns.push(insn);
            }
        };
        code.taken.iter().for_each(|&loc| add(loc));
        for (id, section) in image.sections() {
            let unwanted = [".eh_frame", ".debug", ".gcc_except"].iter().any(|start| section.name.starts_with(start));
            if section.flags & SHF_ALLOC == 0 || section.is_code() || unwanted {
                continue;
            }
            let anchors = code.anchors.partition_point(|at| at.section < id);
            let of_section = code.anchors.get(anchors..).unwrap_or(&[]);
            let of_section = &of_section[..of_section.partition_point(|at| at.section == id)];
            for reloc in section.relocs.as_slice() {
                let at = image.destination(reloc);
                if !image.section(at.section).is_code() {
                    continue;
                }
                if reloc.kind != RelocKind::PC32 {
                    add(at);
                    continue;
                }
                // Entries of a table count from its start.
                let start = of_section.partition_point(|anchor| anchor.offset <= reloc.offset).checked_sub(1);
                if let Some(start) = start.and_then(|start| of_section.get(start)) {
                    add(CodeLoc::new(at.section, at.offset.wrapping_sub(reloc.offset - start.offset)));
                }
            }
        }
        if image.kind != ET_REL {
            linked_tables(store, image, addresses, code, &mut insns);
        }
        insns.sort_unstable();
        insns.dedup();
        Pointers { insns, tables: FxHashMap::default() }
    }

    /// All of them.
    pub(super) fn insns(&self) -> &[u32] {
        &self.insns
    }

    /// Those behind `start` and before `end`.
    pub(super) fn within(&self, code: &Code, section: SectionId, start: u32, end: u32) -> &[u32] {
        let at = |offset: u32| {
            let loc = CodeLoc::new(section, u64::from(offset));
            self.insns.partition_point(|&insn| code.get(insn).is_some_and(|insn| insn.loc() < loc))
        };
        self.insns.get(at(start.saturating_add(1))..at(end)).unwrap_or(&[])
    }

    /// What the jump's own table leads to, where it was found.
    pub(super) fn table_of(&self, jump: u32) -> Option<&[u32]> {
        self.tables.get(&jump).map(Vec::as_slice)
    }
}
