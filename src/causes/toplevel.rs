//! Functions that are written as top-level asm, of which the debug info has no lines.

use std::sync::Arc;

use super::Told;
use super::scene::{Line, Suspect};
use super::source;
use crate::findings::Fault;
use crate::report::CauseKind;

/// A function without a size.
pub(super) fn missing_size(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::MissingSize { symbol } = &suspect.finding.fault else { return None };
    let name = suspect.view().name(*symbol);
    let line = source::label(suspect, &name)?;
    let message =
        format!("{name}() has no size: where it ends is unknown; `.size {name}, . - {name}` is missing at its end");
    let told = Told::new(CauseKind::NoSize, message).about(name.clone());
    Some(told.with([suspect.remark(&line, format!("{name} begins here"))]).shown_at(Some(line.clone())).on(Some(line)))
}

/// The line of a finding in a function that has none: told by counting instructions from the function's label.
pub(super) fn placed(suspect: &Suspect<'_>) -> Option<Told> {
    if suspect.reported.line.is_some() {
        return None;
    }
    let line = line_of(suspect)?;
    let code = suspect.finding.fault.code();
    let told = Told::new(CauseKind::of(code), String::new());
    Some(told.shown_at(Some(line.clone())).on(Some(line)))
}

/// Where the finding's instruction is written in a top-level asm statement of the source file.
pub(super) fn line_of(suspect: &Suspect<'_>) -> Option<Line> {
    let insn = suspect.finding.insn?;
    let owner = suspect.flow().owner(insn)?;
    let name = suspect.image().symbol_name(owner).to_owned();
    let (main, text) = suspect.main_text()?;
    let asm = &text.asm;
    let start = asm.statements.iter().position(|statement| statement.label() == Some(&name))?;
    let block = asm.statements[start].block;
    let on = |line: usize| Some((Arc::clone(&main), line as u32 + 1));
    let written = asm.statements[start + 1..]
        .iter()
        .filter(|statement| statement.block == block && statement.section == asm.statements[start].section)
        .filter(|statement| statement.is_instruction());
    let mut last = start;
    for (own, statement) in suspect.body(owner).zip(written) {
        let shown = suspect.words(own);
        if !statement.may_be(&shown) {
            // A macro of the assembler: its place is at least not before the last one that is known.
            return on(asm.statements[last].line.max(asm.statements[start].line));
        }
        if own == insn {
            return on(statement.line);
        }
        last = asm.statements.iter().position(|other| std::ptr::eq(other, statement)).unwrap_or(last);
    }
    on(asm.statements[start].line)
}
