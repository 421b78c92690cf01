//! `syscall` and its kin, behind which objtool goes on since 6.13.

use super::Told;
use super::scene::Suspect;
use crate::decode::Kind;
use crate::findings::Fault;
use crate::report::CauseKind;

/// A path that goes on behind an instruction that leaves the kernel.
pub(super) fn runs_on(suspect: &Suspect<'_>) -> Option<Told> {
    let states = match suspect.finding.fault {
        Fault::StackStateMismatch(_)
        | Fault::FallsThrough { .. }
        | Fault::UnexpectedEndOfSection { .. }
        | Fault::UndefinedStackState
        | Fault::ReturnWithModifiedFrame => suspect.finding.states.len(),
        _ => return None,
    };
    let leaves = |insn| matches!(suspect.kind(insn), Kind::Syscall | Kind::ContextSwitch | Kind::Sysret);
    let insn = (0..states).rev().find_map(|state| {
        let way = suspect.way(state);
        let end = *way.last()?;
        let last = way.iter().rev().copied().find(|&insn| leaves(insn))?;
        // What runs behind it belongs to another function, or is the very end.
        let next = suspect.insns().next_in_section(last);
        let other = suspect.flow().owner(end) != suspect.flow().owner(last);
        (other || next.is_none() || next == Some(end)).then_some(last)
    })?;
    let line = suspect.line(insn);
    let name = suspect.words(insn);
    let place = line.as_ref().map(|line| suspect.place(line)).unwrap_or_default();
    let says = format!(
        "execution continues after `{name}` at {place}, for this release's objtool, and runs into {}: where it never comes back, \
         something has to end the path (`ud2`, `int3`)",
        suspect.in_function()
    );
    let told = Told::new(CauseKind::SyscallRunsOn, says).about(name.clone());
    Some(told.with([suspect.step(insn, format!("for objtool execution continues after `{name}`"))]).on(line))
}
