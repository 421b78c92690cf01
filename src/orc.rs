//! The ORC table: one entry wherever the way to unwind changes.
//!
//! In: the states of [`CfiMap`], alternatives flattened.  Out: [`OrcTable`], its bytes and its text.
//! Holds afterwards: rows are in the order of sections and offsets; equal neighbours are one row, but for the
//! terminator at the end of a section.
//! Reads like: `tools/objtool/orc_gen.c` and `tools/objtool/arch/x86/orc.c`.

mod encode;
mod rows;
mod seams;
mod stored;

use std::fmt::Write as _;

use crate::cfi::{Base, CfiState};
use crate::findings::Fault;
use crate::follow::{CfiMap, Input};
use crate::ids::{CodeLoc, InsnId};
use crate::image::ElfImage;
use crate::kernel::rules::{HintNumber, OrcLayout, OrcNumber, Rules};

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
    pub sp_reg: OrcNumber,
    /// What the saved frame pointer is found from.
    pub bp_reg: OrcNumber,
    /// The kind of frame.
    pub kind: HintNumber,
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
        self.row_at(at).map(|(_, entry)| entry)
    }

    /// The row that holds at a place.
    pub fn row_at(&self, at: CodeLoc) -> Option<&(CodeLoc, OrcEntry)> {
        let behind = self.rows.partition_point(|(row, _)| *row <= at);
        self.rows.get(behind.checked_sub(1)?).filter(|(row, _)| row.section == at.section)
    }
}

/// Whether the format can hold all states; see [`build`].
pub fn check(input: &Input<'_>, map: &CfiMap) -> Result<(), (Fault, InsnId)> {
    let fits: Vec<bool> = map.states.iter().map(|state| entry(state, input.rules).is_ok()).collect();
    // What does not fit may be a state that is met nowhere, or in code that gets no entries.
    if map.uses_only(|state| fits[state.index()]) { Ok(()) } else { build(input, map).map(|_| ()) }
}

/// Builds the table. An error is a state that the format can not hold, with the instruction that has it.
pub fn build(input: &Input<'_>, map: &CfiMap) -> Result<OrcTable, (Fault, InsnId)> {
    rows::rows(input, map).map(|rows| OrcTable { rows })
}

/// The entry of a state.
pub fn entry(state: &CfiState, rules: &Rules) -> Result<OrcEntry, Fault> {
    let mut entry = OrcEntry::default();
    match rules.layout.orc {
        OrcLayout::TypeAndEnd => {
            entry.flag = state.end;
            if state.cfa.base == Base::UNDEFINED {
                return Ok(entry);
            }
            // Two bits hold it.
            entry.kind = HintNumber(state.kind.0 & 3);
        }
        OrcLayout::TypeAndSignal => {
            let types = rules.layout.hints;
            match state.kind {
                kind if Some(kind) == types.undefined => return Ok(entry),
                kind if Some(kind) == types.end_of_stack => {
                    entry.kind = kind;
                    return Ok(entry);
                }
                kind if [types.call, types.regs, types.regs_partial].contains(&kind) => entry.kind = kind,
                kind => return Err(Fault::UnknownHintType { kind: kind.0 }),
            }
            entry.flag = state.signal;
        }
    }
    let regs = rules.layout.orc_regs;
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
        Base::UNDEFINED => OrcNumber(0),
        Base::CFA => regs.prev_sp,
        Base::BP => regs.bp,
        base => return Err(Fault::UnknownBpBase { base: i32::from(base.0) }),
    };
    entry.sp_offset = state.cfa.offset as i16;
    entry.bp_offset = bp.offset as i16;
    Ok(entry)
}
