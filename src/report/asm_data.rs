//! The lines of code that an `asm()` in a function of C writes as data: `asm(".byte 0x0f, 0x01, 0xca")`.
//!
//! In: the first rows of units whose rows can be late, the texts of C.  Out: lines for such code, or none.
//! Holds afterwards: such code has the line of its `asm()`, or no line; it has not that of the statement before it.
//! Reads like: the kernel's `include/linux/bug.h`, `arch/x86/include/asm/bug.h` (`ud2` is written as data).
//!
//! A late row is where the data ends: at the first instruction behind it, or where the next statement begins; between a
//! function's last statement and the next function, behind the padding.
//!
//! | case | the line of the late row | the code before the row |
//! |---|---|---|
//! | 1 | has an `asm()` that begins with data, whose bytes are those of the code | that line's |
//! | 2 | the same, but the row's code has these bytes too, or they are not in the text | no line's |
//! | 3 | uses a macro for a warning; the code is `ud2`, whose row before is no such macro's | that line's |
//! | 4 | any other; the code is `ud2`, whose row before is no such macro's | no line's |

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::asm_lines::Indexed;
use super::data_lines::{Known, OwnLine, size};
use crate::assembly::is_assembly_name;
use crate::assembly::text::AsmText;
use crate::decode::{self, Kind};
use crate::ids::{CodeLoc, InsnId};
use crate::source_map::{CodeRange, FirstRow};

/// A text of C.
struct Text {
    lines: Indexed,
    asm: AsmText,
}

/// Code that is data in the text: its bytes, as far as the text has them.
type Data = Vec<Option<u8>>;

pub(super) fn lines(known: &Known<'_>, rows: &[FirstRow]) -> FxHashMap<InsnId, OwnLine> {
    let insns = &known.analysis.insns;
    let mut found = FxHashMap::default();
    let mut texts: FxHashMap<Arc<str>, Option<Text>> = FxHashMap::default();
    for (index, row) in rows.iter().enumerate() {
        if is_assembly_name(row.file.as_ref().as_ref()) {
            continue;
        }
        let next = rows.get(index + 1).filter(|next| next.at.section == row.at.section);
        let range = CodeRange { start: row.at, end: next.map_or(u64::MAX, |next| next.at.offset) };
        let text = text_of(known, &mut texts, &row.file);
        let data = text.map(|text| text.data_at(row.line)).unwrap_or_default();
        let padding = before_padding(known, row.at);
        let mut own = Vec::new();
        if !data.is_empty() {
            let mut ends = [Some(row.at), padding].into_iter().flatten();
            own = ends.find_map(|end| before_row(known, row, end, range, &data)).unwrap_or_default();
        } else if let Some(insn) = bare_trap(known, padding.unwrap_or(row.at))
            && !found.contains_key(&insn)
            && let Some(line) = line_of_trap(known, &mut texts, insn, row)
        {
            own.push((insn, (Arc::clone(&row.file), line)));
        }
        // The padding is not the statement's before it either.
        if let Some(start) = padding.filter(|_| !own.is_empty()) {
            let first = insns.containing(start);
            let all = std::iter::successors(first, |&insn| insns.next_in_section(insn));
            let all = all.take_while(|&insn| insns.loc(insn).offset < row.at.offset);
            own.extend(all.map(|insn| (insn, (Arc::clone(&row.file), None))));
        }
        found.extend(own);
    }
    found
}

fn text_of<'t>(
    known: &Known<'_>,
    texts: &'t mut FxHashMap<Arc<str>, Option<Text>>,
    file: &Arc<str>,
) -> Option<&'t Text> {
    let read = || known.texts.text(file).map(|text| Text { asm: AsmText::of_c(&text), lines: Indexed::new(text) });
    texts.entry(Arc::clone(file)).or_insert_with(read).as_ref()
}

impl Text {
    /// The data that the `asm()` of a line (from 1) begins with.
    fn data_at(&self, line: u32) -> Data {
        let mut blocks = self.asm.blocks.iter().enumerate();
        let block = blocks.find(|(_, block)| !block.top_level && block.first + 1 == line as usize);
        let Some((block, _)) = block else { return Data::new() };
        let statements = &self.asm.statements;
        let first = statements.partition_point(|statement| statement.block < block);
        let of_block = statements[first..].iter().take_while(|statement| statement.block == block);
        let mut data = Data::new();
        // What is put into other sections is not in the way.
        for statement in of_block.filter(|statement| &*statement.section == ".text") {
            match (statement.bytes(), size(&statement.text, 0)) {
                (Some(bytes), _) => data.extend(bytes.into_iter().map(Some)),
                (None, Some(n)) if n <= LONGEST => data.extend(std::iter::repeat_n(None, n as usize)),
                (None, None) if statement.label().is_some() || is_section(statement.word()) => {}
                _ => break,
            }
        }
        data
    }

    fn line(&self, line: u32) -> &str {
        (line as usize).checked_sub(1).and_then(|line| self.lines.line(line)).unwrap_or("")
    }
}

/// More bytes of one directive are no code.
const LONGEST: u64 = 64;

fn is_section(word: &str) -> bool {
    matches!(word, ".pushsection" | ".popsection" | ".section" | ".previous" | ".text")
}

/// Where the padding begins that is before a function at `at`, or before the section's end there.
fn before_padding(known: &Known<'_>, at: CodeLoc) -> Option<CodeLoc> {
    let Known { analysis, map, .. } = known;
    let insns = &analysis.insns;
    let next = insns.at(at);
    let owner = next.and_then(|next| analysis.flow.owner(next));
    let starts = owner.is_some_and(|owner| analysis.image.symbol(owner).value == at.offset);
    if next.is_some() && !starts {
        return None;
    }
    let last = insns.containing(CodeLoc { offset: at.offset.checked_sub(1)?, ..at });
    let backwards = std::iter::successors(last, |&insn| insns.prev_in_section(insn));
    let is_padding = |insn: &InsnId| {
        let at = insns.loc(*insn);
        insns.get(*insn).kind == Kind::Nop && !map.has_row(at)
    };
    backwards.take_while(is_padding).last().map(|insn| insns.loc(insn))
}

/// Cases 1 and 2, for data that ends at `end`. `None` where other bytes are there.
fn before_row(
    known: &Known<'_>,
    row: &FirstRow,
    end: CodeLoc,
    range: CodeRange,
    data: &Data,
) -> Option<Vec<(InsnId, OwnLine)>> {
    let Known { analysis, map, .. } = known;
    let (insns, n) = (&analysis.insns, data.len() as u64);
    let start = end.offset.checked_sub(n)?;
    let code = analysis.image.section(row.at.section).code.as_slice();
    let is_at = |offset: u64| {
        let end = offset.saturating_add(n);
        let bytes = code.get(usize::try_from(offset).unwrap_or(usize::MAX)..usize::try_from(end).unwrap_or(usize::MAX));
        let is_it = |(byte, known): (&u8, &Option<u8>)| known.is_none_or(|known| known == *byte);
        bytes.is_some_and(|bytes| bytes.iter().zip(data).all(is_it))
    };
    if !is_at(start) {
        return None;
    }
    let first = insns.containing(CodeLoc { offset: start, ..row.at });
    let onwards = |first| std::iter::successors(first, |&insn| insns.next_in_section(insn));
    let offset = |insn: &InsnId| insns.loc(*insn).offset;
    let mut of_row = onwards(insns.containing(row.at)).take_while(|insn| offset(insn) < range.end);
    let is_sure = data.iter().all(Option::is_some) && !of_row.any(|insn| is_at(offset(&insn)));
    let line = is_sure.then_some(row.line);
    let written = onwards(first).skip_while(|insn| offset(insn) < start);
    // What has a row of its own may be another statement's.
    let has_row = |insn: &InsnId| map.has_row(insns.loc(*insn));
    let written = written.take_while(|insn| offset(insn) < end.offset).filter(|insn| is_sure || !has_row(insn));
    let is_plain = |insn: &InsnId| analysis.flow.group_of(*insn).is_none();
    Some(written.filter(is_plain).map(|insn| (insn, (Arc::clone(&row.file), line))).collect())
}

/// A `ud2` without a row of its own that ends where a row is. No compiler writes it into the midst of a statement.
fn bare_trap(known: &Known<'_>, end: CodeLoc) -> Option<InsnId> {
    const UD2: [u8; 2] = [0x0f, 0x0b];
    let at = CodeLoc { offset: end.offset.checked_sub(UD2.len() as u64)?, ..end };
    let insn = known.analysis.insns.at(at)?;
    let is_trap = decode::bytes(&known.analysis.image, &known.analysis.insns, insn) == UD2;
    (is_trap && !known.map.has_row(at)).then_some(insn)
}

/// Cases 3 and 4. `None` where the row before the trap says its line.
fn line_of_trap(
    known: &Known<'_>,
    texts: &mut FxHashMap<Arc<str>, Option<Text>>,
    insn: InsnId,
    row: &FirstRow,
) -> Option<Option<u32>> {
    let warns = |line: &str| line.contains("BUG") || line.contains("WARN");
    let before = known.map.place(known.analysis.insns.loc(insn));
    let own = before.and_then(|place| Some(text_of(known, texts, &place.file)?.line(place.line?).to_owned()))?;
    // A macro may be for the compiler's own.
    if warns(&own) || ["asm", "trap", "unreachable", "assert", "ASSERT"].iter().any(|word| own.contains(word)) {
        return None;
    }
    let has_macro = text_of(known, texts, &row.file).is_some_and(|text| warns(text.line(row.line)));
    Some(has_macro.then_some(row.line))
}
