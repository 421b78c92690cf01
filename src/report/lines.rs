//! The line of code to which the assembler gave no row of its own.
//!
//! In: the rows of the debug information, the alternatives of the flow.  Out: places that [`View`] answers with.
//! Holds afterwards: an instruction has the line of the statement that it was written in, or none; code that stands after
//! another function's last row does not get that function's line.
//! Reads like: GNU as, `dwarf2_emit_insn` (behaviour only).
//!
//! The assembler writes a row for an instruction unless it is in the line that it wrote the last one for, whatever section
//! that was in. It writes none for data and padding. The macro `ALTERNATIVE` expands to the original code, padding, and
//! then the replacements in a section of their own, all in one line. So one of them has a row, or none:
//!
//! | case | code | its line |
//! |---|---|---|
//! | 1 | with a row that starts in the same stream of the alternative, or that no alternative lies behind | the row's |
//! | 2 | original that is padding alone, or comes after such padding in the same line | that of the first row of a replacement |
//! | 3 | replacement without a row | that of the original code |
//! | 4 | none of the streams has a row: another alternative of the line comes before | that alternative's, if it ends where this one starts |
//! | 5 | the same, in assembly: the streams are padding and `.byte`, as those of `ASM_STAC` were up to 6.12 | that of the text between the rows around it which uses a macro |
//! | 8 | in C, if rows can be late: the original is padding alone, the replacement has no row | that of the late row, or none (see [`late_alternatives`](super::late_alternatives)) |
//! | 7 | written as data: `.byte`, `.skip` | that of the directive or its `asm()`, else none (see [`data_lines`](super::data_lines)) |
//! | 6 | C code before whose function's start the row begins: `asm()` at top level, padding | none |

use std::sync::Arc;

use super::alternative_lines::AlternativeLines;
use super::asm_data;
use super::data_lines::{DataLines, Known};
use super::macros::is_written;
use super::select::same_file;
use super::shown::Rows;
use super::view::View;
use crate::ids::{CodeLoc, GroupId, InsnId};
use crate::source_map::{CodeRange, Place, SourceMap};

impl View<'_> {
    fn rows<'b>(&'b self, map: &'b SourceMap) -> Rows<'b> {
        Rows { map, texts: self.lines, first: self.first_rows.get_or_init(|| map.first_rows()) }
    }

    fn alternative_lines(&self, map: &SourceMap) -> &AlternativeLines {
        let read = || AlternativeLines::read(self.analysis, self.replacements(), &self.rows(map));
        self.alternative_lines.get_or_init(|| self.lines.kept(read))
    }

    /// Where an instruction was written.
    pub(super) fn exact_place(&self, at: CodeLoc) -> Option<Place> {
        // Of an object whose lines are those of its parts there are no rows.
        let Some(map) = self.map() else { return self.lines.place(&self.analysis.image, at) };
        let row = map.row_start(at);
        let replacement = self.group_at(at).filter(|&group| self.analysis.flow.group(group).original.is_some());
        if let Some(group) = replacement {
            let group = self.analysis.flow.group(group);
            if row.is_some_and(|row| group.start.is_some_and(|start| row >= start)) {
                return self.with_inlined(map, map.place(at)?, group.original);
            }
            // Case 3.
            let original = group.original?;
            let start = self.analysis.flow.group(original).start?;
            return match self.alternative_lines(map).shown_by.get(&original) {
                Some(shown_by) => self.with_inlined(map, shown_by.place(map)?, Some(original)),
                None => {
                    // The stream may begin with padding; its line is that of its first row, or of what comes before it.
                    let length = u64::from(self.analysis.flow.group(original).length);
                    let first = self.first_row(map, start, length).unwrap_or(start);
                    self.place_of_row(map, first)
                }
            };
        }
        self.place_of_row(map, at)
    }

    /// Where the first row is that starts in a stream.
    fn first_row(&self, map: &SourceMap, start: CodeLoc, length: u64) -> Option<CodeLoc> {
        let insns = &self.analysis.insns;
        let first = insns.containing(start)?;
        let all = std::iter::successors(Some(first), |&insn| insns.next_in_section(insn)).map(|insn| insns.loc(insn));
        let mut inside = all.take_while(|at| at.offset < start.offset.saturating_add(length));
        inside.find(|&at| map.row_start(at).is_some_and(|row| row >= start))
    }

    fn data_lines(&self, map: &SourceMap) -> &DataLines {
        let read = || {
            let is_written = |statement: &str, insn| is_written(statement, &self.text(insn));
            let known = Known { analysis: self.analysis, map, texts: self.lines, is_written: &is_written };
            DataLines::read(&known, asm_data::lines(&known, self.rows(map).first))
        };
        self.data_lines.get_or_init(|| self.lines.kept(read))
    }

    /// Cases 1, 2 and 4 to 7, for code that is no replacement.
    fn place_of_row(&self, map: &SourceMap, at: CodeLoc) -> Option<Place> {
        let row = map.row_start(at);
        let own = map.place(at);
        if let Some((alternative, shown_by)) = self.alternative_lines(map).before(at, row)
            && !self.starts_after(at, alternative)
        {
            let place = shown_by.place(map)?;
            return Some(Place { inlined: map.inlined(at), ..place });
        }
        // Case 7.
        let insn = self.analysis.insns.containing(at);
        if let Some((file, line)) = insn.and_then(|insn| self.data_lines(map).line(insn)) {
            return Some(Place { file: Arc::clone(file), line: *line, column: None, inlined: map.inlined(at) });
        }
        let own = own?;
        let is_c = !own.file.ends_with(".S") && !own.file.ends_with(".s");
        // Case 6.
        let is_neighbours = is_c && row.is_some_and(|row| self.starts_after(at, row));
        Some(if is_neighbours { Place { line: None, column: None, inlined: Vec::new(), ..own } } else { own })
    }

    /// Whether the symbol that `at` belongs to starts after `before`.
    fn starts_after(&self, at: CodeLoc, before: CodeLoc) -> bool {
        let owner = self.analysis.insns.containing(at).and_then(|insn| self.analysis.flow.owner(insn));
        owner.is_some_and(|owner| {
            let symbol = self.analysis.image.symbol(owner);
            symbol.section == at.section && symbol.value <= at.offset && before.offset < symbol.value
        })
    }

    /// The functions that were inlined where a replacement is used: its own section has none.
    fn with_inlined(&self, map: &SourceMap, place: Place, original: Option<GroupId>) -> Option<Place> {
        let start = original.and_then(|original| self.analysis.flow.group(original).start);
        Some(match start {
            Some(start) if place.inlined.is_empty() => Place { inlined: map.inlined(start), ..place },
            _ => place,
        })
    }

    /// The instructions of a line, in the order of their addresses, and those of functions that were inlined there. `file`
    /// may be the end of a path.
    pub fn insns_of_line(&self, file: &str, line: u32) -> Vec<InsnId> {
        let Some(map) = self.map() else { return Vec::new() };
        let (insns, flow) = (&self.analysis.insns, &self.analysis.flow);
        let names: Vec<_> = map.files().into_iter().filter(|name| same_file(name, file)).collect();
        let is_it = |place: &Place| place.line == Some(line) && names.contains(&place.file);
        let mut chosen = Vec::new();
        for name in &names {
            for range in map.locations(name, line) {
                // A row holds on over code that has another line.
                let of_line = |insn: &InsnId| self.place(insns.loc(*insn)).is_some_and(|place| is_it(&place));
                chosen.extend(self.in_range(range).into_iter().filter(of_line));
            }
            for range in map.inlined_at(name, line) {
                chosen.extend(self.in_range(range));
            }
        }
        chosen.extend(self.data_lines(map).insns_of(&names, line));
        // Code that stands in the line without a row of its own: alternatives, and what comes after them in the line.
        for (section, offset, shown_by) in &self.alternative_lines(map).bare {
            if !shown_by.place(map).is_some_and(|place| is_it(&place)) {
                continue;
            }
            let first = insns.containing(CodeLoc { section: *section, offset: *offset });
            let onwards = std::iter::successors(first, |&insn| insns.next_in_section(insn));
            chosen.extend(onwards.take_while(|&insn| self.place(insns.loc(insn)).is_some_and(|place| is_it(&place))));
        }
        let groups: Vec<GroupId> = chosen.iter().filter_map(|&insn| flow.group_of(insn)).collect();
        for arm in groups.into_iter().flat_map(|group| self.arms(group)) {
            let boundaries = self.boundaries(flow.group(arm)).into_iter().filter(|boundary| !boundary.padding);
            let of_line = |insn: &InsnId| self.source_line(*insn).line == Some(line);
            chosen.extend(boundaries.map(|boundary| boundary.insn).filter(of_line));
        }
        chosen.sort_unstable();
        chosen.dedup();
        chosen
    }

    fn in_range(&self, range: CodeRange) -> Vec<InsnId> {
        let insns = &self.analysis.insns;
        let onwards = std::iter::successors(insns.containing(range.start), |&insn| insns.next_in_section(insn));
        onwards.take_while(|&insn| u64::from(insns.get(insn).offset) < range.end).collect()
    }
}
