//! Places in code that data or code points to: tables of jumps, labels as values.
//!
//! In: [`Code`], the relocations of data.  Out: [`Pointers`].
//! Holds afterwards: each is an instruction with a row.
//! Reads like: x86-64 psABI §3.5.6 and §4.4 (jump tables are the compiler's own; their relocations are not).

use rustc_hash::FxHashMap;

use super::code::{Code, NONE};
use crate::ids::{CodeLoc, SectionId};
use crate::image::{ElfImage, RelocKind, SHF_ALLOC};

/// Code that something points to.
#[derive(Debug, Default)]
pub struct Pointers {
    /// Instructions, ascending.
    insns: Vec<u32>,
    /// What an indirect jump's own table leads to.
    tables: FxHashMap<u32, Vec<u32>>,
}

impl Pointers {
    /// Collects them.
    pub fn read(image: &ElfImage, code: &Code) -> Pointers {
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
        insns.sort_unstable();
        insns.dedup();
        Pointers { insns, tables: FxHashMap::default() }
    }

    /// All of them.
    pub fn insns(&self) -> &[u32] {
        &self.insns
    }

    /// Those behind `start` and before `end`.
    pub fn within(&self, code: &Code, section: SectionId, start: u32, end: u32) -> &[u32] {
        let at = |offset: u32| {
            let loc = CodeLoc::new(section, u64::from(offset));
            self.insns.partition_point(|&insn| code.get(insn).is_some_and(|insn| insn.loc() < loc))
        };
        self.insns.get(at(start.saturating_add(1))..at(end)).unwrap_or(&[])
    }

    /// What the jump's own table leads to, where it was found.
    pub fn table_of(&self, jump: u32) -> Option<&[u32]> {
        self.tables.get(&jump).map(Vec::as_slice)
    }
}
