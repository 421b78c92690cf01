//! Stack pointers that are aligned or computed, and who remembers where they were.

use super::Told;
use super::scene::Suspect;
use crate::cfi::{Base, Dest, Source, StackOp};
use crate::findings::Fault;
use crate::ids::InsnId;
use crate::report::CauseKind;

/// `and $-N, %rsp` without a frame or a DRAP register.
pub(super) fn remembered(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::UnsupportedStackRealignment = suspect.finding.fault else { return None };
    let insn = suspect.finding.insn?;
    let way = suspect.way(0);
    let before: Vec<InsnId> = way.into_iter().take_while(|&passed| passed != insn).collect();
    let holds = |at: usize, register: Base| {
        let later = &before[at + 1..];
        !later.iter().any(|&other| suspect.usage(other).writes(register))
    };
    let copies = before.iter().enumerate().rev().filter_map(|(at, &copy)| {
        let register = suspect.insns().ops(copy).iter().find_map(copied_to)?;
        holds(at, register).then_some((copy, register))
    });
    let (copy, register) = copies.into_iter().next().or_else(|| by_usage(suspect, &before))?;
    let line = suspect.line(copy);
    let place = line.as_ref().map(|line| suspect.place(line)).unwrap_or_default();
    let name = register.name();
    let shown = suspect.words(copy);
    let step = suspect.step(copy, format!("{name} remembers the old stack pointer from here on"));
    let back = way_back(suspect, insn, register);
    let back: Vec<_> = back.iter().map(|&(other, text)| suspect.step(other, text)).collect();
    if register == Base::BP {
        let says = format!(
            "rsp is aligned while rbp is no frame pointer: `{shown}` at {place} does not follow `push %rbp` at once, so for objtool \
             nothing leads back to the frame"
        );
        return Some(Told::new(CauseKind::RealignBesideFrame, says).about(name).with([step]).with(back).on(line));
    }
    let says = format!(
        "rsp is aligned, and {name} holds the old stack pointer (`{shown}` at {place}), which objtool does not follow: it knows rbp right \
         after `push %rbp`, and r10 or r13 loaded by `lea 8(%rsp)`"
    );
    Some(Told::new(CauseKind::RealignRemembered, says).about(name).with([step]).with(back).on(line))
}

/// The register that gets the stack pointer.
fn copied_to(op: &StackOp) -> Option<Base> {
    match (op.dest, op.src) {
        (Dest::Reg(register), Source::Reg(Base::SP) | Source::Add(Base::SP, _)) if register != Base::SP => {
            Some(register)
        }
        _ => None,
    }
}

/// As [`copied_to`], for instructions that objtool does not look at.
fn by_usage(suspect: &Suspect<'_>, before: &[InsnId]) -> Option<(InsnId, Base)> {
    before.iter().rev().find_map(|&insn| {
        let used = suspect.usage(insn);
        let copies = used.memory.is_empty() && used.reads(Base::SP) && !used.writes(Base::SP);
        let register = (0..16).map(Base::reg).find(|&register| used.writes(register))?;
        copies.then_some((insn, register))
    })
}

/// Where the register is put, and where the stack pointer comes back from.
fn way_back(suspect: &Suspect<'_>, aligned: InsnId, register: Base) -> Vec<(InsnId, &'static str)> {
    let Some(owner) = suspect.owner(aligned) else { return Vec::new() };
    let behind = suspect.body(owner).skip_while(|&insn| insn <= aligned);
    let mut found: Vec<(InsnId, &'static str)> = Vec::new();
    for insn in behind {
        let used = suspect.usage(insn);
        let stores = used.reads(register) && used.memory.iter().any(|access| access.written) && !used.writes(register);
        let base_is_it = used.memory.iter().any(|access| access.base == Some(register));
        if stores && !base_is_it {
            found.push((insn, "the old stack pointer is put into the new frame here"));
        } else if used.writes(Base::SP)
            && suspect.insns().ops(insn).iter().all(|op| op.growth() == 0)
            && suspect.flow().callee(insn).is_none()
        {
            found.push((insn, "the way back to the old stack pointer"));
        }
    }
    found.truncate(MOST);
    found
}

const MOST: usize = 4;

/// `sub %reg, %rsp`.
pub(super) fn computed(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::UnsupportedStackRegisterModification = suspect.finding.fault else { return None };
    let insn = suspect.finding.insn?;
    let used = suspect.usage(insn);
    if !used.writes(Base::SP) || !used.memory.is_empty() {
        return None;
    }
    let register = (0..16).map(Base::reg).find(|&register| register != Base::SP && used.reads(register))?;
    let way = suspect.way(0);
    let writes = way.iter().copied().filter(|&other| other != insn && suspect.usage(other).writes(register));
    let mut writes: Vec<InsnId> = writes.collect();
    writes = writes.split_off(writes.len().saturating_sub(MOST));
    let shown = suspect.words(insn);
    let name = register.name();
    if !used.reads(Base::SP) {
        let says = format!(
            "`{shown}` puts the stack pointer where {name} points, which objtool cannot follow: it knows rbp and DRAP registers"
        );
        let steps: Vec<_> = writes.iter().map(|&other| suspect.step(other, format!("{name} is set here"))).collect();
        return Some(Told::new(CauseKind::StackSwitch, says).about(name).with(steps).on(suspect.line(insn)));
    }
    let says = format!(
        "`{shown}` moves the stack pointer by the amount in {name}, which is only known at run time: objtool follows constants, and \
         `and $-N, %rsp` to align it behind a frame of rbp"
    );
    let steps: Vec<_> =
        writes.iter().map(|&other| suspect.step(other, format!("the amount in {name} is computed here"))).collect();
    Some(Told::new(CauseKind::ComputedStackPointer, says).about(name).with(steps).on(suspect.line(insn)))
}
