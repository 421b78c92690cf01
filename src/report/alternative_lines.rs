//! Which row says the line of an alternative's original code that has none of its own.
//!
//! In: alternatives of the flow, rows of the debug information.  Out: for each such original where the row is.
//! The cases are those of the table in [`lines`](super::lines).

use rustc_hash::FxHashMap;

use crate::analysis::Analysis;
use crate::ids::{CodeLoc, GroupId, SectionId};
use crate::source_map::SourceMap;

/// Lines that follow from alternatives.
#[derive(Debug, Default)]
pub(super) struct AlternativeLines {
    /// By the original: where the row is that says its line, outside of the original's own section.
    pub shown_by: FxHashMap<GroupId, CodeLoc>,
    /// Originals without a row of their own: section and offset, where the row is that says their line; ascending.
    pub bare: Vec<(SectionId, u64, CodeLoc)>,
}

impl AlternativeLines {
    pub(super) fn read(
        analysis: &Analysis,
        replacements: &FxHashMap<GroupId, Vec<GroupId>>,
        map: &SourceMap,
    ) -> AlternativeLines {
        let flow = &analysis.flow;
        let mut originals: Vec<(CodeLoc, GroupId)> = flow
            .groups()
            .filter(|(_, group)| group.original.is_none())
            .filter_map(|(id, group)| Some((group.start?, id)))
            .collect();
        originals.sort_unstable();
        let mut lines = AlternativeLines::default();
        let mut before: Option<(CodeLoc, Option<CodeLoc>)> = None;
        for (start, id) in originals {
            let group = flow.group(id);
            let end = CodeLoc { offset: start.offset.saturating_add(u64::from(group.length)), ..start };
            let last = CodeLoc { offset: end.offset.saturating_sub(1), ..start };
            // Case 1.
            let has_own = map.row_start(last).is_some_and(|row| row >= start);
            let replacements = replacements.get(&id).into_iter().flatten();
            let by_replacement = || {
                let start_and_last = |id: &GroupId| {
                    let group = flow.group(*id);
                    Some((group.start?, analysis.insns.loc(group.last?)))
                };
                replacements.filter_map(start_and_last).find_map(|(start, last)| {
                    let row = map.row_start(last).filter(|row| *row >= start)?;
                    // The first row of the stream: others follow it where several lines are in it.
                    Some(map.row_start(start).filter(|first| *first >= start).unwrap_or(row))
                })
            };
            let row = match has_own {
                true => None,
                // Case 2, then case 4.
                false => by_replacement().or_else(|| before.filter(|(end, _)| *end == start).and_then(|(_, row)| row)),
            };
            if let Some(row) = row {
                lines.shown_by.insert(id, row);
                lines.bare.push((start.section, start.offset, row));
            }
            before = Some((end, row));
        }
        lines
    }

    /// The alternative that lies between the code at `at` and its own row, and where the row is that says its line.
    pub(super) fn before(&self, at: CodeLoc, row: Option<CodeLoc>) -> Option<(CodeLoc, CodeLoc)> {
        let behind = self.bare.partition_point(|&(section, offset, _)| (section, offset) <= (at.section, at.offset));
        let (section, offset, shown_by) = *self.bare.get(behind.checked_sub(1)?)?;
        let is_between = section == at.section && row.is_none_or(|row| row.offset < offset);
        is_between.then_some((CodeLoc { section, offset }, shown_by))
    }
}
