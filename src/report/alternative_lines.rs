//! What says the line of an alternative's original code that has no row of its own.
//!
//! In: alternatives of the flow, rows of the debug information, texts of assembly.  Out: for each such original which row
//! says it, or which line of the text.
//! The cases are those of the table in [`lines`](super::lines).

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::late_alternatives::LateAlternatives;
use super::shown::{Rows, Shown};
use crate::analysis::Analysis;
use crate::assembly::is_assembly_name;
use crate::assembly::lines::{LineKind, Source};
use crate::assembly::outline::{DefinitionKind, Outline};
use crate::ids::{CodeLoc, GroupId, SectionId};
use crate::source_map::{Lines, Place, SourceMap};

/// Lines that follow from alternatives.
#[derive(Debug, Default)]
pub(super) struct AlternativeLines {
    /// By the original: what says its line, outside of the original's own section.
    pub shown_by: FxHashMap<GroupId, Shown>,
    /// Originals without a row of their own: section and offset, what says their line; ascending.
    pub bare: Vec<(SectionId, u64, Shown)>,
}

/// An alternative of which no stream has a row.
struct Unshown {
    id: GroupId,
    start: CodeLoc,
    /// The row before it.
    before: Option<CodeLoc>,
    /// The row behind it.
    behind: Option<CodeLoc>,
}

impl AlternativeLines {
    pub(super) fn read(
        analysis: &Analysis,
        replacements: &FxHashMap<GroupId, Vec<GroupId>>,
        rows: &Rows<'_>,
    ) -> AlternativeLines {
        let &Rows { map, texts, .. } = rows;
        let mut late = LateAlternatives::of(rows);
        let flow = &analysis.flow;
        let mut originals: Vec<(CodeLoc, GroupId)> = flow
            .groups()
            .filter(|(_, group)| group.original.is_none())
            .filter_map(|(id, group)| Some((group.start?, id)))
            .collect();
        originals.sort_unstable();
        let mut lines = AlternativeLines::default();
        let mut before: Option<(CodeLoc, Option<CodeLoc>)> = None;
        let mut unshown = Vec::new();
        for (start, id) in originals {
            let group = flow.group(id);
            let end = CodeLoc { offset: start.offset.saturating_add(u64::from(group.length)), ..start };
            let last = CodeLoc { offset: end.offset.saturating_sub(1), ..start };
            // Case 1.
            let has_own = map.row_start(last).is_some_and(|row| row >= start);
            let replacements = replacements.get(&id).map(Vec::as_slice).unwrap_or_default();
            let by_replacement = || {
                let start_and_last = |id: &GroupId| {
                    let group = flow.group(*id);
                    Some((group.start?, analysis.insns.loc(group.last?)))
                };
                replacements.iter().filter_map(start_and_last).find_map(|(start, last)| {
                    let row = map.row_start(last).filter(|row| *row >= start)?;
                    // The first row of the stream: others follow it where several lines are in it.
                    Some(map.row_start(start).filter(|first| *first >= start).unwrap_or(row))
                })
            };
            // Case 8.
            let is_late = late.is_late(analysis, start, end);
            let by_late = if is_late && by_replacement().is_none() { late.shown(start, end) } else { None };
            if let Some(shown) = by_late {
                lines.shown_by.insert(id, shown);
                before = Some((end, None));
                continue;
            }
            // Case 2.
            let replaced = if has_own && !is_late { None } else { by_replacement() };
            // Case 4.
            let row = match has_own || replaced.is_some() {
                true => replaced,
                false => before.filter(|(end, _)| *end == start).and_then(|(_, row)| row),
            };
            if let Some(row) = row {
                lines.shown_by.insert(id, Shown::Row(row));
            }
            if !has_own && replaced.is_none() {
                let onwards =
                    std::iter::successors(analysis.insns.containing(end), |&insn| analysis.insns.next_in_section(insn));
                let mut rows = onwards.map(|insn| analysis.insns.loc(insn)).take(REACH as usize);
                let behind = rows.find(|&at| map.row_start(at).is_some_and(|row| row >= end));
                unshown.push(Unshown { id, start, before: row.or_else(|| map.row_start(start)), behind });
            }
            before = Some((end, row));
        }
        lines.by_text(&unshown, map, texts);
        let shown = |(id, shown): (&GroupId, &Shown)| {
            let start = flow.group(*id).start?;
            Some((start.section, start.offset, shown.clone()))
        };
        lines.bare = lines.shown_by.iter().filter_map(shown).collect();
        lines.bare.sort_unstable_by_key(|&(section, offset, _)| (section, offset));
        lines
    }

    /// Case 5: each such alternative was written between the lines of the rows before and behind it, if a line there has a
    /// macro, which then has no row.
    fn by_text(&mut self, unshown: &[Unshown], map: &SourceMap, texts: &Lines) {
        let mut read: Option<(Arc<str>, Text)> = None;
        for gap in unshown.chunk_by(|a, b| a.start.section == b.start.section && a.behind == b.behind) {
            let Some(first) = gap.first() else { continue };
            let place =
                |row: Option<CodeLoc>| map.place(row?).filter(|place| is_assembly_name(place.file.as_ref().as_ref()));
            let (before, behind) = (place(first.before), place(first.behind));
            let Some(file) = before.as_ref().or(behind.as_ref()).map(|place| &place.file) else { continue };
            if read.as_ref().is_none_or(|(name, _)| name != file) {
                let Some(text) = texts.text(file) else { continue };
                read = Some((Arc::clone(file), Text::read(&text)));
            }
            let Some((_, text)) = &read else { continue };
            let of_file =
                |place: Option<&Place>| place.filter(|place| place.file == *file).and_then(|place| place.line);
            let mut lines = text.between(of_file(before.as_ref()), of_file(behind.as_ref()));
            lines.retain(|&line| map.locations(file, line).is_empty());
            for (nth, alternative) in gap.iter().enumerate() {
                let line = match lines.as_slice() {
                    [] => continue,
                    [only] => Some(*only),
                    several if several.len() == gap.len() => several.get(nth).copied(),
                    _ => None,
                };
                self.shown_by.insert(alternative.id, Shown::Text { file: Arc::clone(file), line });
            }
        }
    }

    /// The alternative that lies between the code at `at` and its own row, and what says its line.
    pub(super) fn before(&self, at: CodeLoc, row: Option<CodeLoc>) -> Option<(CodeLoc, Shown)> {
        let behind = self.bare.partition_point(|&(section, offset, _)| (section, offset) <= (at.section, at.offset));
        let &(section, offset, ref shown_by) = self.bare.get(behind.checked_sub(1)?)?;
        // A row at its start is the statement's before it (case 8).
        let is_between = section == at.section && row.is_none_or(|row| row.offset <= offset);
        is_between.then_some((CodeLoc { section, offset }, shown_by.clone()))
    }
}

/// So far after the code before it an alternative is looked for.
const REACH: u32 = 512;

/// The beginnings of macros that write no code: they say something about it.
const NO_CODE: [&str; 11] = [
    "ANNOTATE_",
    "ASSERT",
    "CFI_",
    "END",
    "EXPORT_SYMBOL",
    "STACK_FRAME_NON_STANDARD",
    "SYM_",
    "UNWIND_HINT",
    "VALIDATE_",
    "_ASM_EXTABLE",
    "_ASM_NOKPROBE",
];

/// A text of assembly.
struct Text {
    source: Source,
    outline: Outline,
}

impl Text {
    fn read(text: &str) -> Text {
        let source = Source::read(text);
        let outline = Outline::of(&source);
        Text { source, outline }
    }

    /// The lines behind `first` and before `last` that use a macro, in the function that `last` is in.
    fn between(&self, first: Option<u32>, last: Option<u32>) -> Vec<u32> {
        let of_function = || {
            last.and_then(|last| self.outline.symbol_at((last as usize).checked_sub(1)?))
                .map(|found| found.line as u32 + 1)
        };
        let Some(first) = first.max(of_function()) else { return Vec::new() };
        let last = last.unwrap_or(u32::MAX).min(first.saturating_add(REACH)).min(self.source.n_lines() as u32 + 1);
        // Lines of the source are counted from 0.
        (first + 1..last).filter(|&line| self.uses_macro(line as usize - 1)).collect()
    }

    fn uses_macro(&self, line: usize) -> bool {
        let is_macro = |word: &str| {
            let is_defined = || {
                let mut found = self.outline.named(word);
                found.any(|found| matches!(found.kind, DefinitionKind::Macro | DefinitionKind::Define))
            };
            let says = NO_CODE.iter().any(|start| word.starts_with(start));
            !says && !word.starts_with('.') && (word.contains(|c: char| c.is_ascii_uppercase()) || is_defined())
        };
        let name = |text: &str| {
            text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.').next().map(str::to_owned)
        };
        self.source.kind(line) == LineKind::Code
            && self.outline.macro_at(line).is_none()
            && self
                .source
                .pieces(line)
                .iter()
                .filter(|piece| !piece.is_label)
                .any(|piece| name(piece.text.trim_start()).is_some_and(|word| !word.is_empty() && is_macro(&word)))
    }
}
