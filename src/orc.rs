//! The ORC table: one entry wherever the way to unwind changes.
//!
//! In: the states of [`CfiMap`], alternatives flattened.  Out: [`OrcTable`], its bytes and its text.
//! Holds afterwards: rows are in the order of sections and offsets; equal neighbours are one row, but for the
//! terminator at the end of a section.
//! Reads like: `tools/objtool/orc_gen.c` and `tools/objtool/arch/x86/orc.c`.

mod encode;
mod seams;
mod stored;

use std::fmt::Write as _;

use crate::cfi::{Base, CfiState};
use crate::finding::Fault;
use crate::follow::{CfiMap, Input};
use crate::ids::{CfiId, CodeLoc, InsnId};
use crate::image::ElfImage;
use crate::kernel::rules::{OrcLayout, Rules};

pub use encode::SIZE;
pub use stored::{StoredError, StoredRow, StoredTable, stored};

/// One ORC entry, in the release's own numbers (`arch/x86/include/asm/orc_types.h`).
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub struct OrcEntry {
    /// Offset from `sp_reg` to the CFA, in bytes.
    pub sp_offset: i16,
    /// Offset from `bp_reg` to the saved frame pointer, in bytes.
    pub bp_offset: i16,
    /// What the CFA is computed from.
    pub sp_reg: u8,
    /// What the saved frame pointer is found from.
    pub bp_reg: u8,
    /// The kind of frame.
    pub kind: u8,
    /// `signal` (6.12 and later) or `end` (6.1).
    pub flag: bool,
}

/// The table of an object: entries with the places where they begin to hold, section by section.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct OrcTable {
    /// Ascending within a section.
    pub rows: Vec<(CodeLoc, OrcEntry)>,
}

impl OrcTable {
    /// The text of `objtool --dump=orc`, a line per row.
    pub fn text(&self, image: &ElfImage, rules: &Rules) -> String {
        let mut out = String::with_capacity(self.rows.len() * 60);
        for (at, entry) in &self.rows {
            let _ = write!(out, "{}+{:x}:", image.section(at.section).name, at.offset);
            entry.write_text(&mut out, rules);
            out.push('\n');
        }
        out
    }

    /// The entry that holds at a place.
    pub fn at(&self, at: CodeLoc) -> Option<&OrcEntry> {
        let behind = self.rows.partition_point(|(row, _)| *row <= at);
        let (row, entry) = self.rows.get(behind.checked_sub(1)?)?;
        (row.section == at.section).then_some(entry)
    }
}

/// Builds the table. An error is a state that the format can not hold, with the instruction that has it.
pub fn build(input: &Input<'_>, map: &CfiMap) -> Result<OrcTable, (Fault, InsnId)> {
    let mut cache: Vec<Option<OrcEntry>> = vec![None; map.states.len()];
    let mut entry_of = |id: Option<CfiId>, insn: InsnId| -> Result<OrcEntry, (Fault, InsnId)> {
        let Some((id, state)) = id.and_then(|id| Some((id, map.by_id(id)?))) else { return Ok(OrcEntry::default()) };
        if let Some(entry) = cache[id.index()] {
            return Ok(entry);
        }
        let entry = entry(state, input.rules).map_err(|fault| (fault, insn))?;
        cache[id.index()] = Some(entry);
        Ok(entry)
    };
    let mut table = OrcTable::default();
    for (section, header) in input.image.sections() {
        if !input.flow.section(section).text {
            continue;
        }
        let before = table.rows.len();
        let mut previous = OrcEntry::default();
        let mut emit = |rows: &mut Vec<_>, offset: u64, entry: OrcEntry| {
            if entry != previous {
                rows.push((CodeLoc::new(section, offset), entry));
                previous = entry;
            }
        };
        let mut previous_state = None;
        let mut ids = input.insns.of_section(section);
        while let Some(id) = ids.next() {
            let offset = u64::from(input.insns.get(id).offset);
            match input.flow.group_of(id).map(|group| input.flow.group(group)) {
                None => {
                    let state = map.id(id);
                    // Most instructions leave the state as it is.
                    if previous_state != Some(state) {
                        emit(&mut table.rows, offset, entry_of(state, id)?);
                        previous_state = Some(state);
                    }
                }
                Some(group) => {
                    let group_last = group.last.unwrap_or(group.first);
                    let length = input.insns.get(group_last).end().saturating_sub(input.insns.get(group.first).offset);
                    let slots = map.flat.table(group.slots);
                    for (i, slot) in slots.iter().enumerate().take(length as usize) {
                        if let Some((state, _)) = slot {
                            emit(&mut table.rows, offset + i as u64, entry_of(Some(*state), id)?);
                        }
                    }
                    previous_state = None;
                    if let Some(within) = group_last.0.checked_sub(id.0 + 1) {
                        ids.nth(within as usize);
                    }
                }
            }
        }
        if table.rows.len() != before {
            table.rows.push((CodeLoc::new(section, header.size), OrcEntry::default()));
        }
    }
    Ok(table)
}

/// The entry of a state.
pub fn entry(state: &CfiState, rules: &Rules) -> Result<OrcEntry, Fault> {
    let mut entry = OrcEntry::default();
    match rules.orc_layout {
        OrcLayout::TypeAndEnd => {
            entry.flag = state.end;
            if state.cfa.base == Base::UNDEFINED {
                return Ok(entry);
            }
            // Two bits hold it.
            entry.kind = state.kind & 3;
        }
        OrcLayout::TypeAndSignal => {
            let types = rules.hints;
            match state.kind {
                kind if Some(kind) == types.undefined => return Ok(entry),
                kind if Some(kind) == types.end_of_stack => {
                    entry.kind = kind;
                    return Ok(entry);
                }
                kind if [types.call, types.regs, types.regs_partial].contains(&kind) => entry.kind = kind,
                kind => return Err(Fault::UnknownHintType { kind }),
            }
            entry.flag = state.signal;
        }
    }
    let regs = rules.orc_regs;
    entry.sp_reg = match state.cfa.base {
        Base::SP => regs.sp,
        Base::SP_INDIRECT => regs.sp_indirect,
        Base::BP => regs.bp,
        Base::BP_INDIRECT => regs.bp_indirect,
        Base::R10 => regs.r10,
        Base::R13 => regs.r13,
        Base::DI => regs.di,
        Base::DX => regs.dx,
        base => match regs.ax.filter(|_| base == Base::AX) {
            Some(ax) => ax,
            None => return Err(Fault::UnknownCfaBase { base: i32::from(base.0) }),
        },
    };
    let bp = state.reg(Base::BP);
    entry.bp_reg = match bp.base {
        Base::UNDEFINED => 0,
        Base::CFA => regs.prev_sp,
        Base::BP => regs.bp,
        base => return Err(Fault::UnknownBpBase { base: i32::from(base.0) }),
    };
    entry.sp_offset = state.cfa.offset as i16;
    entry.bp_offset = bp.offset as i16;
    Ok(entry)
}
