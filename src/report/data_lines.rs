//! The lines of code that is written as data: `.byte 0x0f, 0x01, 0xca`, `.skip 4, 0x90`. In C, see
//! [`asm_data`](super::asm_data).
//!
//! In: the rows of the debug information, texts of assembly.  Out: [`DataLines`], a line for code without a row, or none.
//! Holds afterwards: such code has the line of the directive that wrote it, or no line; it has never that of the statement
//! before it, and never one of another function.
//! Reads like: "GNU as", `.byte`, `.skip`, `.fill`, `.p2align` (no row of the line table is written for them).
//!
//! | case | code without a row | where its text begins |
//! |---|---|---|
//! | 1 | at a function's start, whose label is in the text | behind the label |
//! | 2 | after an instruction that is alone in its line | behind that line |
//! | 3 | any other: several instructions or a macro are in the line of the row | in that line, as its row says |
//!
//! From there on each directive is measured. Where one cannot be, it is it if nothing else is before the next row, or else
//! the only directive of data there, or else the first one where there is nothing but data.

use std::rc::Rc;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::asm_lines::{Indexed, Texts, is_name, statements};
use crate::analysis::Analysis;
use crate::assembly::is_assembly_name;
use crate::assembly::text::{number, size_of_each};
use crate::ids::{CodeLoc, InsnId};
use crate::source_map::{Lines, SourceMap};

/// So many lines behind a place are read for the code that is there.
const REACH: usize = 512;

/// A file and a line of it, if it is known which.
pub(super) type OwnLine = (Arc<str>, Option<u32>);

/// Lines of code that has no row of its own.
#[derive(Debug, Default)]
pub(super) struct DataLines {
    /// `None` where it is not known which line it is, but not that of the row.
    lines: FxHashMap<InsnId, OwnLine>,
}

/// Code without rows, one instruction after the other, and what is before it.
struct Gap {
    insns: Vec<InsnId>,
    /// The last instruction with a row.
    before: Option<InsnId>,
}

/// What the lines of an object are looked up in.
pub(super) struct Known<'a> {
    pub(super) analysis: &'a Analysis,
    pub(super) map: &'a SourceMap,
    pub(super) texts: &'a Lines,
    /// Whether a statement is an instruction as it is written.
    pub(super) is_written: &'a dyn Fn(&str, InsnId) -> bool,
}

/// The texts of assembly.
struct Assembly<'a> {
    texts: Texts<'a>,
    /// The first file of assembly.
    first: Arc<str>,
}

/// A place in a text.
struct Anchor {
    file: Arc<str>,
    text: Rc<Indexed>,
    /// The first line to read, from 0.
    line: usize,
    /// The offset of the code that is written there.
    offset: u64,
}

impl DataLines {
    /// Adds the lines of assembly to those of C.
    pub(super) fn read(known: &Known<'_>, of_c: FxHashMap<InsnId, OwnLine>) -> DataLines {
        let mut data = DataLines { lines: of_c };
        let Known { analysis, map, .. } = known;
        let Some(first) = map.files().into_iter().find(is_assembly) else { return data };
        let assembly = &mut Assembly { texts: Texts::of(known.texts), first };
        let insns = &analysis.insns;
        let owner = |insn| analysis.flow.owner(insn);
        for (section, _) in analysis.image.sections() {
            let mut gap = Gap { insns: Vec::new(), before: None };
            for insn in insns.of_section(section) {
                let at = insns.loc(insn);
                let has_row = map.has_row(at);
                let is_other = gap.insns.last().or(gap.before.as_ref()).is_some_and(|&last| owner(last) != owner(insn));
                // The text of a function begins at its label.
                if has_row || is_other && owner(insn).is_some() {
                    data.fill(known, assembly, &gap, Some(at));
                    gap.insns.clear();
                }
                match has_row {
                    true => gap.before = Some(insn),
                    false => gap.insns.push(insn),
                }
            }
            data.fill(known, assembly, &gap, None);
        }
        data
    }

    /// The line of an instruction without a row, and its file; `None` where the row's line stands.
    pub(super) fn line(&self, insn: InsnId) -> Option<&OwnLine> {
        self.lines.get(&insn)
    }

    /// The instructions that a line writes as data.
    pub(super) fn insns_of<'a>(&'a self, names: &'a [Arc<str>], line: u32) -> impl Iterator<Item = InsnId> + 'a {
        let is_it = move |(file, own): &OwnLine| *own == Some(line) && names.contains(file);
        self.lines.iter().filter(move |(_, own)| is_it(own)).map(|(insn, _)| *insn)
    }

    fn fill(&mut self, known: &Known<'_>, assembly: &mut Assembly<'_>, gap: &Gap, next: Option<CodeLoc>) {
        let Some(&first) = gap.insns.first() else { return };
        let Some(anchor) = anchor(known, assembly, gap.before, first) else { return };
        let next = next.and_then(|next| known.map.place(next)).filter(|place| place.file == anchor.file);
        let end = next.and_then(|place| place.line).map_or(usize::MAX, |line| line as usize - 1);
        let lines = anchor.text.lines_from(anchor.line).take(end.saturating_sub(anchor.line));
        let lines: Vec<&str> = lines.take(REACH).take_while(|line| !is_directive(line)).collect();
        let measured = Measured::of(&lines, anchor.offset);
        let found = if measured.complete { None } else { only_data(&lines).or_else(|| run_of_data(&lines)) };
        for &insn in &gap.insns {
            let at = known.analysis.insns.loc(insn);
            if known.analysis.flow.group_of(insn).is_none() {
                let line = measured.line_at(at.offset).or(found).map(|line| (anchor.line + line + 1) as u32);
                self.lines.insert(insn, (Arc::clone(&anchor.file), line));
            }
        }
    }
}

fn is_assembly(file: &Arc<str>) -> bool {
    is_assembly_name(file.as_ref().as_ref())
}

/// Where the text begins that wrote the code at `first`. `None` in case 3.
fn anchor(known: &Known<'_>, assembly: &mut Assembly<'_>, before: Option<InsnId>, first: InsnId) -> Option<Anchor> {
    let Known { analysis, map, is_written, .. } = known;
    let insns = &analysis.insns;
    let at = insns.loc(first);
    let row = before.and_then(|before| map.place(insns.loc(before)));
    let file = row.as_ref().map_or_else(|| Arc::clone(&assembly.first), |row| Arc::clone(&row.file));
    let text = is_assembly(&file).then(|| assembly.texts.get(&file)).flatten()?;
    let row_line = row.and_then(|row| row.line).and_then(|line| (line as usize).checked_sub(1));
    let owner = analysis.flow.owner(first);
    if let Some(symbol) = owner.filter(|&owner| analysis.image.symbol(owner).value == at.offset) {
        // Case 1.
        let name = analysis.image.symbol_name(symbol);
        let label = text.label_of(name).filter(|&label| row_line.is_none_or(|row| row < label));
        return label.map(|line| Anchor { file, text, line, offset: at.offset });
    }
    // Case 2.
    let (before, line) = (before?, row_line?);
    let mut on_line = statements(text.line(line)?);
    let is_alone = on_line.next().is_some_and(|only| is_written(&only, before)) && on_line.next().is_none();
    is_alone.then(|| Anchor { file, line: line + 1, offset: u64::from(insns.get(before).end()), text })
}

/// The code of lines, as far as they can be measured.
struct Measured {
    /// Where the code of a statement begins and ends, and its line.
    spans: Vec<(u64, u64, usize)>,
    complete: bool,
}

impl Measured {
    fn of(lines: &[&str], mut offset: u64) -> Measured {
        let mut measured = Measured { spans: Vec::new(), complete: false };
        let mut all = lines.iter().enumerate().flat_map(|(line, text)| statements(text).map(move |one| (line, one)));
        while let Some((line, statement)) = all.next() {
            let Some(size) = size(&statement, offset) else {
                // A macro that nothing follows wrote all that is left.
                measured.complete = all.all(|(_, behind)| size(&behind, 0) == Some(0));
                measured.spans.extend(measured.complete.then_some((offset, u64::MAX, line)));
                return measured;
            };
            measured.spans.push((offset, offset.saturating_add(size), line));
            offset = offset.saturating_add(size);
        }
        measured.complete = true;
        measured
    }

    fn line_at(&self, offset: u64) -> Option<usize> {
        self.spans.iter().find(|(start, end, _)| (*start..*end).contains(&offset)).map(|(.., line)| *line)
    }
}

/// Data whose size is not told by the words alone.
const DATA: [&str; 11] =
    [".ascii", ".asciz", ".string", ".float", ".single", ".double", ".uleb128", ".sleb128", ".incbin", ".nops", ".org"];

/// The line of data, if there is one.
fn only_data(lines: &[&str]) -> Option<usize> {
    let writes = |line: &str| statements(line).any(|one| size(&one, 0).is_some_and(|n| n != 0));
    let mut data = (0..lines.len()).filter(|&line| writes(lines[line]));
    data.next().filter(|_| data.next().is_none())
}

/// The first line of data where there is nothing but data: which of the lines it is does not matter then, all are one run.
fn run_of_data(lines: &[&str]) -> Option<usize> {
    let is_string = |line: &str| {
        let code = line.trim_start();
        let code = code.split_once(':').filter(|(label, _)| label.chars().all(is_name)).map_or(code, |(_, rest)| rest);
        code.split_whitespace().next().is_some_and(|word| DATA.contains(&word))
    };
    let mut first = None;
    for (number, line) in lines.iter().enumerate() {
        let written = || statements(line).try_fold(0, |sum: u64, one| Some(sum.saturating_add(size(&one, 0)?)));
        if is_string(line) || written()? > 0 {
            first = first.or(Some(number));
        }
    }
    first
}

/// Whether a line is one of the preprocessor's: what it leaves of the lines behind it is unknown.
fn is_directive(line: &str) -> bool {
    let words = line.trim_start().strip_prefix('#').map(|rest| rest.trim_start());
    words.is_some_and(|words| ["if", "el", "end", "include"].iter().any(|word| words.starts_with(word)))
}

/// The size of what a statement writes at `offset`. `None` for instructions, macros, and what depends on more than itself.
pub(super) fn size(statement: &str, offset: u64) -> Option<u64> {
    let (word, operands) = statement.split_once(char::is_whitespace).unwrap_or((statement, ""));
    let operands: Vec<&str> = operands.split(',').map(str::trim).collect();
    let number = |nth: usize| number(operands.get(nth)?);
    let each = |size: u64| Some(operands.iter().filter(|operand| !operand.is_empty()).count() as u64 * size);
    let aligned = |to: u64| match operands.get(2) {
        None => Some(offset.next_multiple_of(to.max(1)).saturating_sub(offset)),
        Some(_) => None,
    };
    if let Some(size) = size_of_each(word) {
        return each(size as u64);
    }
    match word {
        ".hword" => each(2),
        ".skip" | ".space" | ".zero" => number(0),
        ".fill" => {
            let size = if operands.len() > 1 { number(1)? } else { 1 };
            number(0)?.checked_mul(size)
        }
        ".p2align" => number(0).filter(|&bits| bits < 32).and_then(|bits| aligned(1 << bits)),
        ".balign" | ".align" => number(0).filter(|&to| to.is_power_of_two()).and_then(aligned),
        ".globl" | ".global" | ".local" | ".weak" | ".hidden" | ".type" | ".size" | ".set" | ".equ" | ".file" => {
            Some(0)
        }
        _ if word.starts_with(".cfi_") => Some(0),
        _ if ["SYM_", "UNWIND_HINT", "ANNOTATE_"].iter().any(|start| word.starts_with(start)) => Some(0),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_of_data_begins_where_nothing_else_is() {
        let run =
            ["SYM_FUNC_END(f)", "\t.balign 64", ".Lsigma:", "\t.ascii \"expand\"", "n: .asciz \"a\"", "\t.byte 20"];
        assert_eq!(run_of_data(&run), Some(3));
        assert_eq!(run_of_data(&["\t.byte 20", "\tnop", "\t.ascii \"a\""]), None);
        assert_eq!(run_of_data(&["\t.globl f", "f:"]), None);
    }
}
