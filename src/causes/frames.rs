//! Who uses rbp, and who sets up no frame.

use super::Told;
use super::scene::{Line, Suspect};
use crate::cfi::{Base, Dest, Source};
use crate::findings::Fault;
use crate::ids::InsnId;
use crate::report::CauseKind;
use std::sync::Arc;

fn is_about_rbp(suspect: &Suspect<'_>) -> bool {
    match suspect.finding.fault {
        Fault::FramePointerScratched => true,
        Fault::UndefinedStackState | Fault::UnsupportedStackRegisterModification => {
            let state = suspect.finding.states.first();
            let by_rbp = state.is_some_and(|at| matches!(at.state.cfa.base, Base::BP | Base::UNDEFINED));
            by_rbp || suspect.finding.insn.is_some_and(|insn| suspect.usage(insn).writes(Base::BP))
        }
        _ => false,
    }
}

/// What writes rbp other than to set up a frame or to take it down.
fn writers(suspect: &Suspect<'_>) -> Vec<InsnId> {
    let mut found: Vec<InsnId> = Vec::new();
    for state in 0..suspect.finding.states.len() {
        for insn in suspect.way(state) {
            let frame = suspect
                .insns()
                .ops(insn)
                .iter()
                .any(|op| matches!((op.dest, op.src), (Dest::Reg(Base::BP), Source::Reg(Base::SP) | Source::Pop)));
            let leaves = suspect.words(insn).starts_with("leave");
            if !frame && !leaves && !found.contains(&insn) && suspect.usage(insn).writes(Base::BP) {
                found.push(insn);
            }
        }
    }
    found.truncate(MOST);
    found
}

const MOST: usize = 4;

/// An asm statement of C that saves and restores rbp, in a function that has a frame: `pop %rbp` is what ends one.
pub(super) fn popped_in_asm(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::CallWithoutFramePointer = suspect.finding.fault else { return None };
    let pops = |insn: &InsnId| {
        let ops = suspect.insns().ops(*insn);
        ops.iter().any(|op| matches!((op.dest, op.src), (Dest::Reg(Base::BP), Source::Pop)))
    };
    let pop = suspect.way(0).into_iter().rev().find(pops)?;
    let (line, text, number) = suspect.asm_statement(pop)?;
    let block = text.asm.blocks.get(number)?;
    let on = |at: usize| -> Line { (Arc::clone(&line.0), at as u32 + 1) };
    let own = || text.asm.statements.iter().filter(|one| one.block == number && one.operands() == "%rbp");
    let push = own().find(|one| one.word().starts_with("push"))?;
    let pop = own().find(|one| one.word().starts_with("pop"))?;
    let says = format!(
        "the asm statement at {} saves rbp and restores it: its `{}` ends the frame for objtool, so that this call has none. Where \
         the statement needs rbp, UNWIND_HINT_SAVE before the push and UNWIND_HINT_RESTORE behind the pop tell objtool so",
        suspect.place(&on(block.first)),
        pop.text
    );
    let remarks = [push, pop].map(|one| suspect.remark(&on(one.line), format!("`{}`", one.text)));
    Some(Told::new(CauseKind::FramePointerInAsm, says).about("rbp").with(remarks).on(Some(on(block.first))))
}

/// An asm statement of C that uses rbp.
pub(super) fn used_in_asm(suspect: &Suspect<'_>) -> Option<Told> {
    if !is_about_rbp(suspect) {
        return None;
    }
    let writer = *writers(suspect).first()?;
    let (line, text, number) = suspect.asm_statement(writer)?;
    let block = text.asm.blocks.get(number)?;
    let on = |at: usize| -> Line { (Arc::clone(&line.0), at as u32 + 1) };
    let uses =
        text.asm.statements.iter().filter(|statement| statement.block == number && statement.text.contains("bp"));
    let uses: Vec<_> = uses.collect();
    let has = |word: &str| {
        uses.iter().any(|statement| statement.word().starts_with(word) && statement.operands().ends_with("%rbp"))
    };
    let saves = has("push") && has("pop");
    let remarks: Vec<_> =
        uses.iter().map(|statement| suspect.remark(&on(statement.line), format!("`{}`", statement.text))).collect();
    let place = suspect.place(&on(block.first));
    let says = if saves {
        format!(
            "the asm statement at {place} saves rbp, puts data into it and restores it: in between the frame cannot be found from rbp. \
             Where it needs rbp, UNWIND_HINT_SAVE, UNWIND_HINT_UNDEFINED and UNWIND_HINT_RESTORE tell objtool so"
        )
    } else {
        format!(
            "the asm statement at {place} writes rbp, and neither saves it nor tells the compiler: rbp is the frame pointer"
        )
    };
    let kind = if saves { CauseKind::FramePointerInAsm } else { CauseKind::NotRestored };
    Some(Told::new(kind, says).about("rbp").with(remarks).on(Some(on(block.first))))
}

/// rbp holds data.
pub(super) fn as_data(suspect: &Suspect<'_>) -> Option<Told> {
    if !is_about_rbp(suspect) {
        return None;
    }
    let writers = writers(suspect);
    let first = *writers.first()?;
    let line = suspect.line(first)?;
    let shown = suspect.words(first);
    let more = if writers.len() > 1 { " and others" } else { "" };
    let says = format!(
        "rbp holds data (`{shown}` at {}{more}), so that the frame cannot be found from it in between: rbp is the frame pointer in this \
         build, use another register",
        suspect.place(&line)
    );
    let steps: Vec<_> =
        writers.iter().map(|&insn| suspect.step(insn, format!("`{}` overwrites rbp", suspect.words(insn)))).collect();
    Some(Told::new(CauseKind::FramePointerAsData, says).about("rbp").with(steps).on(Some(line)))
}

/// A call in an asm statement, before the compiler has set up its frame.
pub(super) fn not_set_up(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::CallWithoutFramePointer = suspect.finding.fault else { return None };
    let insn = suspect.finding.insn?;
    let (line, text, number) = suspect.asm_statement(insn)?;
    let block = text.asm.blocks.get(number)?;
    let name = suspect.callee(insn).unwrap_or_else(|| "a function".to_owned());
    let says = format!(
        "the asm statement calls {name}, and the compiler does not know: it has not set up the frame yet. ASM_CALL_CONSTRAINT among \
         the outputs makes it do so first"
    );
    let on = (Arc::clone(&line.0), block.first as u32 + 1);
    Some(
        Told::new(CauseKind::CallInAsm, says)
            .about(name)
            .with([suspect.remark(&on, "this asm statement calls")])
            .on(Some(on)),
    )
}
