//! Unwind hints that do not fit the code.

use std::sync::Arc;

use super::Told;
use super::scene::{Line, Suspect};
use crate::cfi::{CfiState, Context, apply};
use crate::findings::{Fault, Mismatch};
use crate::flow::Flags;
use crate::ids::InsnId;
use crate::report::CauseKind;

/// A restore without a save, or a hint without which the code is balanced.
pub(super) fn wrong(suspect: &Suspect<'_>) -> Option<Told> {
    if let Fault::RestoreWithoutSave = suspect.finding.fault {
        let insn = suspect.finding.insn?;
        let (line, written) = hint_before(suspect, insn, "RESTORE")?;
        let says =
            format!("`{written}` at {} has no UNWIND_HINT_SAVE before it in this function", suspect.place(&line));
        let remark = suspect.remark(&line, "nothing was saved that this hint could restore");
        return Some(Told::new(CauseKind::WrongHint, says).about(written).with([remark]).on(Some(line)));
    }
    let about = matches!(
        suspect.finding.fault,
        Fault::ReturnWithModifiedFrame
            | Fault::SiblingCallWithModifiedFrame
            | Fault::StackStateMismatch(Mismatch::Cfa(..) | Mismatch::Register(..))
            | Fault::UndefinedStackState
    );
    if !about {
        return None;
    }
    let (state, hint) = (0..suspect.finding.states.len()).find_map(|state| {
        let hinted = |&insn: &InsnId| suspect.flow().has(insn, Flags::HINT);
        let hint = suspect.way(state).into_iter().skip(1).rfind(hinted)?;
        Some((state, hint))
    })?;
    if !is_balanced_without(suspect, state) {
        return None;
    }
    let (line, written) = hint_before(suspect, hint, "UNWIND_HINT")?;
    let says = format!(
        "the unwind hint `{written}` at {} does not fit the stack there: without it the path is balanced",
        suspect.place(&line)
    );
    let remark = suspect.remark(&line, "this hint says where the frame is, and is wrong about it");
    Some(Told::new(CauseKind::WrongHint, says).about(written).with([remark]).on(Some(line)))
}

/// The hint that is written right before an instruction.
fn hint_before(suspect: &Suspect<'_>, insn: InsnId, word: &str) -> Option<(Line, String)> {
    let line = suspect.line(insn)?;
    let text = suspect.text(&line)?;
    let statements = &text.asm.statements;
    let until = statements.partition_point(|statement| statement.line < line.1 as usize);
    let near = statements[..until].iter().rev().take(MOST);
    let hint = near
        .into_iter()
        .find(|statement| statement.word().contains("UNWIND_HINT") && statement.word().contains(word))?;
    Some(((Arc::clone(&line.0), hint.line as u32 + 1), hint.text.clone()))
}

/// A hint stands within so many statements before its instruction.
const MOST: usize = 6;

/// Whether the way, with all hints left out, ends as the finding wants it.
fn is_balanced_without(suspect: &Suspect<'_>, state: usize) -> bool {
    let way = suspect.way(state);
    let analysis = suspect.view().analysis;
    let rules = analysis.kernel.rules();
    let context = Context { in_function: true, hint_follows: false, stackval: analysis.options.stackval, rules };
    let mut own = CfiState::function_entry(rules.layout.hints.call);
    let Some((_, before)) = way.split_last() else { return false };
    for &insn in before {
        if suspect.flow().has(insn, Flags::NO_OPS) {
            continue;
        }
        for op in suspect.insns().ops(insn) {
            if apply(&mut own, op, &context).is_err() {
                return false;
            }
        }
    }
    match suspect.finding.fault {
        Fault::StackStateMismatch(_) => {
            let other = suspect.finding.states.iter().enumerate().find(|(index, _)| *index != state);
            other.is_some_and(|(_, other)| other.state.cfa == own.cfa && other.state.regs == own.regs)
        }
        Fault::UndefinedStackState => true,
        _ => !own.frame_modified(),
    }
}
