//! Code that no path reaches: what ended the path before it.

use super::Told;
use super::scene::Suspect;
use crate::decode::Kind;
use crate::findings::Fault;
use crate::flow::Flags;
use crate::ids::InsnId;
use crate::report::CauseKind;

/// What stands before the first instruction that is not reached.
pub(super) fn ended(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::Unreachable = suspect.finding.fault else { return None };
    let insn = suspect.finding.insn?;
    let ender = ender(suspect)?;
    let line = suspect.line_in_source(ender);
    let place = line.as_ref().map(|line| format!(" at {}", suspect.place(line))).unwrap_or_default();
    let shown = suspect.words(ender);
    let name = suspect.callee(ender);
    let (kind, reason) = match suspect.kind(ender) {
        Kind::Bug => (
            CauseKind::TrapEndsPath,
            format!(
                "the `ud2`{place} ends the path; where execution continues after the trap, that has to be annotated right at it"
            ),
        ),
        Kind::Trap => (CauseKind::TrapEndsPath, format!("the `int3`{place} ends the path")),
        Kind::Return => (CauseKind::EndedPath, format!("the return{place} ends the path, and nothing jumps behind it")),
        Kind::JumpUnconditional | Kind::JumpDynamic => {
            (CauseKind::EndedPath, format!("the jump{place} ends the path, and nothing jumps behind it"))
        }
        Kind::Call | Kind::CallDynamic if suspect.flow().has(ender, Flags::DEAD_END) || name.is_some() => {
            let name = name.clone().unwrap_or_else(|| "a pointer".to_owned());
            let dead = suspect.flow().has(ender, Flags::DEAD_END);
            let why = if dead { "never returns, for objtool" } else { "ends the path" };
            (CauseKind::EndedPath, format!("the call of {name}(){place} {why}, and the compiler goes on behind it"))
        }
        _ => (CauseKind::EndedPath, format!("`{shown}`{place} ends the path")),
    };
    let label = suspect.statement(insn).is_some();
    let says = format!("no path leads to this {}: {reason}", if label { "instruction" } else { "code" });
    let own = suspect.line(ender);
    let mut told = Told::new(kind, says).about(name.unwrap_or(shown)).with([suspect.step(ender, "the path ends here")]);
    if own != line {
        told = told.with(line.as_ref().map(|line| suspect.remark(line, "what ends the path was brought in here")));
    }
    Some(told.on(own))
}

/// The instruction before the stretch of code that no path reaches.
pub(super) fn ender(suspect: &Suspect<'_>) -> Option<InsnId> {
    let insn = suspect.finding.insn?;
    let states = &suspect.view().analysis.states;
    let same_function = |id: InsnId| suspect.flow().owner(id) == suspect.flow().owner(insn);
    let is_padding = |id: InsnId| matches!(suspect.kind(id), Kind::Nop);
    let mut before = suspect.insns().prev_in_section(insn);
    for _ in 0..MOST {
        match before {
            Some(id) if same_function(id) && (states.id(id).is_none() || is_padding(id)) => {
                before = suspect.insns().prev_in_section(id);
            }
            _ => break,
        }
    }
    before.filter(|&id| same_function(id))
}

const MOST: usize = 1 << 12;
