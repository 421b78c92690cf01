//! Places in code that data or code points to: tables of jumps, labels as values.
//!
//! In: [`Code`], the relocations of data.  Out: [`Pointers`].
//! Holds afterwards: each is an instruction with a row.
//! Reads like: x86-64 psABI §3.5.6 and §4.4 (jump tables are the compiler's own; their relocations are not).

use rustc_hash::{FxHashMap, FxHashSet};

use super::code::{Code, NONE, Target};
use super::jumps::{self, Table};
use super::op::Flow;
use super::relocated::Addresses;
use super::table::Tables;
use crate::ids::{CodeLoc, SectionId};
use crate::image::{ET_REL, ElfImage, RelocKind, SHF_ALLOC, Store};

/// More entries no table has.
const MOST_ENTRIES: u64 = 4096;
/// So many ways lead on from jumps by tables for each instruction of an object, all taken together.
const MOST_LEADS: usize = 16;

/// In linked files nothing but its contents shows a table: distances from its own start, or addresses, up to the first that
/// leads to no instruction of the function that refers to it, or to where something else begins that code refers to. What
/// leads to parts that were split off the function is kept by the function.
fn linked_tables(
    store: &dyn Store,
    image: &ElfImage,
    (addresses, tables): (&Addresses, &Tables),
    code: &Code,
    found: &mut Pointers,
) {
    let joined = joined(code);
    let is_part = |part: u32, fde: u32| {
        let part_of_it = tables.fdes.get(part as usize).and_then(|part| tables.rows_of(part).first());
        part_of_it.is_some_and(|row| !row.is_of_entry()) || joined.contains(&(part.min(fde), part.max(fde)))
    };
    let mut contents: FxHashMap<SectionId, Vec<u8>> = FxHashMap::default();
    for (number, &(anchor, fde)) in code.anchors_of.iter().enumerate() {
        let behind = code.anchors_of.get(number + 1..).unwrap_or(&[]).iter().find(|(other, _)| *other != anchor);
        let room = match behind {
            Some((other, _)) if other.section == anchor.section => other.offset - anchor.offset,
            _ => u64::MAX,
        };
        let bytes = contents
            .entry(anchor.section)
            .or_insert_with(|| image.read_section(store, anchor.section).unwrap_or_default());
        let base = addresses.start(anchor.section).wrapping_add(anchor.offset);
        // Whether the entry that ends there is one of this table.
        let within = |address: u64, end: u64| {
            let insn = code.at(addresses.loc(address)?)?;
            let target = code.get(insn).filter(|target| target.row != NONE && end <= room)?;
            (target.fde == fde || is_part(target.fde, fde)).then_some((insn, target.fde))
        };
        let entry = |at: u64, size: u64| {
            let start = usize::try_from(anchor.offset.checked_add(at * size)?).ok()?;
            bytes.get(start..start.checked_add(size as usize)?)
        };
        let relative = |at: u64| {
            let distance = i32::from_le_bytes(entry(at, 4)?.try_into().ok()?);
            within(base.wrapping_add_signed(i64::from(distance)), (at + 1) * 4)
        };
        let absolute = |at: u64| within(u64::from_le_bytes(entry(at, 8)?.try_into().ok()?), (at + 1) * 8);
        let mut table: Vec<(u32, u32)> = (0..MOST_ENTRIES).map_while(relative).collect();
        if !table.iter().any(|&(_, home)| home == fde) {
            table = (0..MOST_ENTRIES).map_while(absolute).collect();
        }
        // A table that leads nowhere else but out is none.
        if table.iter().any(|&(_, home)| home == fde) {
            found.linked.insert((anchor, fde), table.iter().map(|&(insn, _)| insn).collect());
            for (insn, home) in table {
                found.insns.push(insn);
                if home != fde {
                    found.split_off.entry(fde).or_default().push(insn);
                }
            }
        }
    }
}

/// What a table of an object leads to: each entry has its relocation, up to what else code refers to.
fn relocated_table(image: &ElfImage, code: &Code, table: Table) -> Vec<u32> {
    let Table { start, relative } = table;
    let relocs = &image.section(start.section).relocs;
    let size = if relative { 4 } else { 8 };
    let mut list = Vec::new();
    for number in 0..MOST_ENTRIES {
        let Some(at) = start.offset.checked_add(number * size) else { break };
        let another = number > 0 && code.anchors.binary_search(&CodeLoc::new(start.section, at)).is_ok();
        let Some(reloc) = relocs.at(at).filter(|reloc| !another && (reloc.kind == RelocKind::PC32) == relative) else {
            break;
        };
        let to = image.destination(&reloc);
        let back = if relative { at - start.offset } else { 0 };
        let target = code.at(CodeLoc::new(to.section, to.offset.wrapping_sub(back)));
        list.extend(target.filter(|&target| code.get(target).is_some_and(|target| target.row != NONE)));
    }
    list
}

/// Descriptions between which there are jumps, the lower one first.
fn joined(code: &Code) -> FxHashSet<(u32, u32)> {
    let jumps = code.insns.iter().filter(|insn| matches!(insn.flow, Flow::Jump | Flow::JumpIf { .. }));
    let ends = jumps.filter_map(|insn| match insn.target {
        Target::Insn(target) => Some((insn.fde, code.get(target)?.fde)),
        Target::None | Target::Place(_) | Target::Symbol(_) => None,
    });
    ends.filter(|(from, to)| from != to).map(|(from, to)| (from.min(to), from.max(to))).collect()
}

/// Code that something points to.
#[derive(Debug, Default)]
pub(super) struct Pointers {
    /// Instructions, ascending.
    insns: Vec<u32>,
    /// What tables lead to.
    lists: Vec<Vec<u32>>,
    /// The list of a jump that shows by which table it goes.
    tables: FxHashMap<u32, usize>,
    /// In linked files: the tables that were found, by their start and who refers to them.
    linked: FxHashMap<(CodeLoc, u32), Vec<u32>>,
    /// By description: what its tables lead to in other ones.
    split_off: FxHashMap<u32, Vec<u32>>,
}

impl Pointers {
    /// Collects them.
    pub(super) fn read(
        store: &dyn Store,
        image: &ElfImage,
        addresses: &Addresses,
        tables: &Tables,
        code: &Code,
    ) -> Pointers {
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
            for reloc in section.relocs.iter() {
                let at = image.destination(&reloc);
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
        let mut pointers = Pointers { insns, ..Pointers::default() };
        if image.kind != ET_REL {
            linked_tables(store, image, (addresses, tables), code, &mut pointers);
        }
        pointers.insns.sort_unstable();
        pointers.insns.dedup();
        pointers.own_tables(image, addresses, code);
        for insns in pointers.split_off.values_mut() {
            insns.sort_unstable();
            insns.dedup();
        }
        pointers
    }

    /// Finds the tables of jumps that show theirs.
    fn own_tables(&mut self, image: &ElfImage, addresses: &Addresses, code: &Code) {
        let mut known: FxHashMap<(Table, u32), usize> = FxHashMap::default();
        let mut jumps: Vec<(u32, Table)> = jumps::tables(image, addresses, code, &self.insns).into_iter().collect();
        jumps.sort_unstable_by_key(|&(jump, _)| jump);
        let mut leads = 0;
        for (jump, table) in jumps {
            let fde = code.get(jump).map_or(NONE, |jump| jump.fde);
            let list = known.entry((table, fde)).or_insert_with(|| {
                let mut list = match image.kind {
                    ET_REL => relocated_table(image, code, table),
                    _ => self.linked.remove(&(table.start, fde)).unwrap_or_default(),
                };
                list.sort_unstable();
                list.dedup();
                self.lists.push(list);
                self.lists.len() - 1
            });
            let entries = self.lists.get(*list).map_or(0, Vec::len);
            leads += entries;
            if entries > 0 && leads <= code.insns.len().saturating_mul(MOST_LEADS) {
                self.tables.insert(jump, *list);
            }
        }
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

    /// What tables of a description lead to in other ones.
    pub(super) fn split_off(&self, fde: u32) -> &[u32] {
        self.split_off.get(&fde).map_or(&[], Vec::as_slice)
    }

    /// What the jump's own table leads to, where it was found.
    pub(super) fn table_of(&self, jump: u32) -> Option<&[u32]> {
        self.lists.get(*self.tables.get(&jump)?).map(Vec::as_slice)
    }
}
