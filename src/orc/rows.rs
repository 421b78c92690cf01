//! Where the way to unwind changes, found in pieces of the code side by side.
//!
//! In: the states of [`CfiMap`].  Out: rows, section by section.
//! Holds afterwards: rows do not depend on where the code was cut: a piece's first row is dropped if the piece before it ends
//! with the same entry.

use std::ops::Range;

use super::{OrcEntry, entry};
use crate::findings::Fault;
use crate::follow::{CfiMap, Input};
use crate::ids::{CfiId, CodeLoc, InsnId, SectionId};
use crate::parallel;

type Row = (CodeLoc, OrcEntry);

/// Fewer instructions are not worth a piece of their own.
const WORTH_A_PIECE: usize = 1 << 18;

/// Instructions of a section.
struct Piece {
    section: SectionId,
    insns: Range<usize>,
}

/// The rows of all sections.
pub(super) fn rows(input: &Input<'_>, map: &CfiMap) -> Result<Vec<Row>, (Fault, InsnId)> {
    let pieces = pieces(input);
    let large = pieces.iter().any(|piece| piece.insns.len() >= WORTH_A_PIECE);
    // Sections are many, and so may states be.
    let entries: Vec<Option<OrcEntry>> = map.states.iter().map(|state| entry(state, input.rules).ok()).collect();
    let rows_of = |piece: &Piece| Rows::new(input, map, piece.section, &entries).take(piece.insns.clone());
    let found = parallel::each(large, pieces.iter().collect(), rows_of);
    let found: Vec<Vec<Row>> = found.into_iter().collect::<Result<_, _>>()?;
    let mut rows: Vec<Row> = Vec::with_capacity(found.iter().map(|rows| rows.len() + 1).sum());
    for (index, (piece, mut found)) in pieces.iter().zip(found).enumerate() {
        let section = piece.section;
        let before =
            rows.last().filter(|(at, _)| at.section == section).map_or_else(OrcEntry::default, |&(_, entry)| entry);
        let known = found.first().is_some_and(|&(_, entry)| entry == before);
        rows.extend(found.drain(usize::from(known)..));
        let ends = pieces.get(index + 1).is_none_or(|next| next.section != section);
        if ends && rows.last().is_some_and(|(at, _)| at.section == section) {
            rows.push((CodeLoc::new(section, input.image.section(section).size), OrcEntry::default()));
        }
    }
    Ok(rows)
}

/// Large sections are cut anywhere but inside alternatives.
fn pieces(input: &Input<'_>) -> Vec<Piece> {
    let mut pieces = Vec::new();
    for (section, _) in input.image.sections().filter(|&(section, _)| input.flow.section(section).text) {
        let mut insns = input.insns.of_section(section);
        let (Some(first), Some(last)) = (insns.next(), insns.next_back().or(input.insns.of_section(section).next()))
        else {
            continue;
        };
        let (mut start, end) = (first.index(), last.index() + 1);
        while end - start >= 2 * WORTH_A_PIECE {
            let in_group = |&index: &usize| input.flow.group_of(InsnId::from_index(index)).is_some();
            let cut = (start + WORTH_A_PIECE..end).find(|index| !in_group(index)).unwrap_or(end);
            pieces.push(Piece { section, insns: start..cut });
            start = cut;
        }
        pieces.push(Piece { section, insns: start..end });
    }
    pieces
}

/// The rows of a piece, as they are found.
struct Rows<'a> {
    input: &'a Input<'a>,
    map: &'a CfiMap,
    section: SectionId,
    /// By state.
    entries: &'a [Option<OrcEntry>],
    rows: Vec<Row>,
}

impl<'a> Rows<'a> {
    fn new(input: &'a Input<'a>, map: &'a CfiMap, section: SectionId, entries: &'a [Option<OrcEntry>]) -> Self {
        Rows { input, map, section, entries, rows: Vec::new() }
    }

    fn take(mut self, insns: Range<usize>) -> Result<Vec<Row>, (Fault, InsnId)> {
        let mut previous_state = None;
        let mut next = insns.start;
        while next < insns.end {
            let id = InsnId::from_index(next);
            next += 1;
            match self.input.flow.group_of(id) {
                None => {
                    let state = self.map.id(id);
                    // Most instructions leave the state as it is.
                    if previous_state != Some(state) {
                        let offset = u64::from(self.input.insns.get(id).offset);
                        self.row(offset, state, id)?;
                        previous_state = Some(state);
                    }
                }
                Some(group) => {
                    let group = self.input.flow.group(group);
                    let last = group.last.unwrap_or(group.first);
                    let insn = |id| self.input.insns.get(id);
                    let (offset, length) = (insn(id).offset, insn(last).end().saturating_sub(insn(group.first).offset));
                    let map = self.map;
                    for (i, slot) in map.flat.table(group.slots).iter().enumerate().take(length as usize) {
                        if let Some((state, _)) = slot {
                            self.row(u64::from(offset) + i as u64, Some(*state), id)?;
                        }
                    }
                    previous_state = None;
                    next = next.max(last.index() + 1);
                }
            }
        }
        Ok(self.rows)
    }

    fn row(&mut self, offset: u64, state: Option<CfiId>, insn: InsnId) -> Result<(), (Fault, InsnId)> {
        let entry = self.entry(state).map_err(|fault| (fault, insn))?;
        if self.rows.last().is_none_or(|&(_, previous)| previous != entry) {
            self.rows.push((CodeLoc::new(self.section, offset), entry));
        }
        Ok(())
    }

    fn entry(&self, id: Option<CfiId>) -> Result<OrcEntry, Fault> {
        let Some((id, state)) = id.and_then(|id| Some((id, self.map.by_id(id)?))) else {
            return Ok(OrcEntry::default());
        };
        // Why a state fits into no entry is only asked where code has it.
        self.entries[id.index()].map_or_else(|| entry(state, self.input.rules), Ok)
    }
}
