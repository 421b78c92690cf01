//! Data in a section of code, which objtool reads as instructions.

use super::Told;
use super::scene::{Line, Suspect, Text};
use crate::assembly::text::Statement;
use crate::decode;
use crate::findings::Fault;
use crate::ids::{CodeLoc, InsnId};
use crate::report::CauseKind;

/// Bytes that the source writes as data.
pub(super) fn in_code(suspect: &Suspect<'_>) -> Option<Told> {
    let at = match &suspect.finding.fault {
        Fault::Undecodable { section, offset } => CodeLoc::new(*section, *offset),
        Fault::NoStartingInsn { symbol } => {
            let symbol = suspect.image().symbol(*symbol);
            CodeLoc::new(symbol.section, symbol.value)
        }
        _ => suspect.insns().loc(suspect.finding.insn?),
    };
    let (file, from) = before(suspect, at)?;
    let text = suspect.scene.text(&file)?;
    if !is_beyond(suspect, at, &file, from, &text) {
        return None;
    }
    let run = run_after(&text, from)?;
    let line = (file, run.first as u32 + 1);
    let name = run.label.clone().map_or_else(|| "data".to_owned(), |label| format!("the data of `{label}`"));
    let message = format!(
        "{name} is in {}, a section of code, so objtool reads it as instructions: it belongs into .rodata",
        suspect.view().section_name(at.section)
    );
    let told = Told::new(CauseKind::DataInCode, message);
    let remark = suspect.remark(&line, "data starts here, in a section of code");
    let told = match run.label {
        Some(label) => told.about(label),
        None => told,
    };
    Some(told.with([remark]).shown_at(Some(line.clone())).on(Some(line)))
}

/// The line of the last instruction before a place that has one of its own. Line 0 where none is before.
fn before(suspect: &Suspect<'_>, at: CodeLoc) -> Option<Line> {
    let map = suspect.view().map()?;
    let own = map.place(at).and_then(|place| Some((place.file, place.line?)));
    own.or_else(|| Some((suspect.scene.main.clone()?, 0)))
}

/// Whether the place is none that the line before it could have become: the bytes are not those of an instruction there, or
/// belong to no function.
fn is_beyond(suspect: &Suspect<'_>, at: CodeLoc, file: &str, from: u32, text: &Text) -> bool {
    if !text.asm.assembly && !file.ends_with(".c") {
        return false;
    }
    let Some(insn) = suspect.insns().at(at) else { return true };
    if is_written_as_bytes(suspect, insn, from, text) {
        return false;
    }
    let shown = suspect.words(insn);
    let Some(line) = (from as usize).checked_sub(1) else { return suspect.flow().owner(insn).is_none() };
    let mut on_line = text.asm.on_line(line).filter(|statement| statement.is_instruction()).peekable();
    // A macro may become anything.
    let same = on_line.any(|statement| statement.may_be(&shown) || is_macro(statement.word()));
    let first = has_row(suspect, insn);
    (!same || !first) && text.asm.assembly
}

/// Whether the instruction is one that the source writes by its bytes, on the line (from 1) or the next one of data: code that
/// is reached, and nothing but its bytes; or it is in a run of data which is code as a whole.
fn is_written_as_bytes(suspect: &Suspect<'_>, insn: InsnId, line: u32, text: &Text) -> bool {
    if suspect.view().analysis.states.id(insn).is_none() {
        return false;
    }
    let bytes = decode::bytes(suspect.image(), suspect.insns(), insn);
    let mut data = text.asm.data_from((line as usize).saturating_sub(1)).take(MOST);
    data.any(|(_, statement)| statement.bytes().is_some_and(|written| written == bytes))
        || [line, line.saturating_sub(1)]
            .into_iter()
            .filter_map(|line| run_after(text, line))
            .any(|run| is_code(suspect, insn, &run, text))
}

/// Whether a run of data around a reached instruction is code: its first instruction is reached, it is instructions to its
/// end, and it has no label but that of the function.
fn is_code(suspect: &Suspect<'_>, insn: InsnId, run: &Run, text: &Text) -> bool {
    let (insns, view) = (suspect.insns(), suspect.view());
    let owner = suspect.flow().owner(insn).map(|owner| suspect.image().symbol(owner));
    let statements = text.asm.statements.iter().skip_while(|statement| statement.line < run.first);
    let is_part = |statement: &&Statement| statement.is_data() || statement.label() == run.label.as_deref();
    let data = statements.take_while(is_part).filter(|statement| statement.is_data());
    let Some(written) = data.map(Statement::bytes).collect::<Option<Vec<_>>>().map(|all| all.concat()) else {
        return false;
    };
    let at = insns.loc(insn);
    let code = &suspect.image().section(at.section).code;
    let begins = |start: &InsnId| {
        let offset = insns.loc(*start).offset;
        let end = offset.saturating_add(written.len() as u64);
        let behind = CodeLoc { offset: end, ..at };
        let is_whole = || end >= code.len() as u64 || insns.at(behind).is_some();
        let named = run.label.is_none() || owner.is_some_and(|owner| owner.value == offset);
        let same = code.get(offset as usize..end as usize).is_some_and(|bytes| bytes == written);
        end > at.offset && same && named && is_whole() && view.analysis.states.id(*start).is_some()
    };
    // From the instruction backwards, as far as the run is long.
    let lowest = at.offset.saturating_sub(written.len() as u64);
    let first = insns.containing(CodeLoc { offset: lowest, ..at }).or_else(|| insns.of_section(at.section).next());
    let mut all = std::iter::successors(first, |&one| insns.next_in_section(one));
    all.by_ref().take_while(|&one| insns.loc(one).offset <= at.offset).any(|one| begins(&one))
}

/// Whether a word is a macro's, by how the kernel names them.
fn is_macro(word: &str) -> bool {
    word.contains('_') || word.chars().any(char::is_uppercase)
}

/// So many lines of data behind a line are looked at.
const MOST: usize = 2;

/// Whether the debug information has a row that begins with the instruction.
fn has_row(suspect: &Suspect<'_>, insn: InsnId) -> bool {
    let at = suspect.insns().loc(insn);
    suspect.view().map().is_none_or(|map| map.has_row(at))
}

/// Lines of data, one after the other.
struct Run {
    /// The first line, from 0: that of its label if it has one.
    first: usize,
    label: Option<String>,
}

/// The first data behind a line (from 1) in a section of code, before the next instruction.
fn run_after(text: &Text, line: u32) -> Option<Run> {
    let is_code = |section: &str| section.starts_with(".text") || section.contains(".text") || section == ".entry.text";
    let mut data = text.asm.data_from(line as usize);
    let (first, _) = data.find(|(_, statement)| statement.in_macro.is_none() && is_code(&statement.section))?;
    // What is after an instruction is not what is looked at: that has a row.
    let statements = text.asm.statements.get(..first)?.iter().rev().take_while(|before| before.line >= line as usize);
    // Macros that end functions are none.
    let is_own = |before: &&Statement| before.in_macro.is_none() && !is_macro(before.word());
    let has_code = statements.filter(is_own).any(Statement::is_instruction);
    (!has_code).then(|| run_at(text, first))
}

/// The data around a statement.
fn run_at(text: &Text, at: usize) -> Run {
    let statements = &text.asm.statements;
    let block = statements[at].block;
    let belongs = |index: &usize| {
        let statement = &statements[*index];
        let aligns =
            matches!(statement.word(), ".balign" | ".align" | ".p2align" | ".skip" | ".space" | ".zero" | ".fill");
        statement.block == block && (statement.is_data() || statement.label().is_some() || aligns)
    };
    let labels = (0..at).rev().take_while(belongs).filter(|&index| statements[index].label().is_some());
    // Labels right before it, not those of code further up.
    let labels: Vec<usize> = labels.collect();
    let start = labels.last().copied();
    let label = start.and_then(|index| statements[index].label()).map(str::to_owned);
    Run { first: statements[start.unwrap_or(at)].line, label }
}
