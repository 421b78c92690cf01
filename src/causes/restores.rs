//! Saves and restores that objtool takes for something else.

use super::scene::Suspect;
use super::{Told, deed};
use crate::cfi::{Base, CfiState, Dest, Source};
use crate::decode::Kind;
use crate::findings::{Fault, Mismatch, StateAt, StepKind};
use crate::flow::Flags;
use crate::ids::InsnId;
use crate::report::CauseKind;
use crate::report::findings::PathStep;

/// The registers that a state has saved.
fn saved(state: &CfiState) -> impl Iterator<Item = (Base, i32)> {
    let at_cfa = state.regs.iter().filter(|(register, rule)| *register != Base::RA && rule.base == Base::CFA);
    at_cfa.map(|(register, rule)| (register, rule.offset))
}

fn is_about_saves(suspect: &Suspect<'_>) -> bool {
    matches!(
        suspect.finding.fault,
        Fault::ReturnWithModifiedFrame
            | Fault::SiblingCallWithModifiedFrame
            | Fault::StackStateMismatch(Mismatch::Register(..))
            | Fault::FramePointerScratched
    )
}

/// Registers that come back from memory in a way that objtool does not follow.
pub(super) fn unfollowed(suspect: &Suspect<'_>) -> Option<Told> {
    if !is_about_saves(suspect) {
        return None;
    }
    let states = &suspect.finding.states;
    let (index, state) = states.iter().enumerate().max_by_key(|(_, at)| saved(&at.state).count())?;
    let way = suspect.way(index);
    let restores: Vec<(InsnId, Base)> = way
        .iter()
        .filter_map(|&insn| {
            let used = suspect.usage(insn);
            let register = saved(&state.state).map(|(register, _)| register).find(|&register| used.writes(register))?;
            let from = used.memory.iter().find(|access| access.read)?;
            let base = from.base.filter(|&base| base != Base::SP && base != Base::BP)?;
            (points_to_frame(suspect, &way, insn, base) && !used.reads(register)).then_some((insn, base))
        })
        .collect();
    let (first, base) = *restores.first()?;
    let registers: Vec<&str> = {
        let names = restores.iter().flat_map(|&(insn, _)| {
            let used = suspect.usage(insn);
            saved(&state.state).filter(move |(register, _)| used.writes(*register)).map(|(register, _)| register.name())
        });
        names.collect()
    };
    let names = registers.join(" and ");
    let line = suspect.line(first);
    let place = line.as_ref().map(|line| suspect.place(line)).unwrap_or_default();
    let (is, are) = if registers.len() == 1 { ("is", "it counts") } else { ("are", "they count") };
    let says = format!(
        "{names} {is} restored by way of {} (from {place} on), which objtool does not follow: for it {are} as saved here still; \
         it follows `pop`, and loads relative to rsp or rbp",
        base.name()
    );
    let bases = way.iter().copied().filter(|&insn| {
        let used = suspect.usage(insn);
        used.writes(base) && used.reads(Base::SP) || (used.writes(Base::SP) && used.reads(base))
    });
    let bases: Vec<_> =
        bases.map(|insn| suspect.step(insn, format!("{} stands for the stack pointer", base.name()))).collect();
    let loads: Vec<_> = restores
        .iter()
        .map(|&(insn, _)| suspect.step(insn, "a register is restored, which objtool does not see"))
        .collect();
    let told = Told::new(CauseKind::UnfollowedRestore, says).about(base.name()).with(bases).with(loads);
    Some(told.on(line).along_the_path())
}

/// Whether the register was computed from the stack pointer, or loaded from the frame, before the instruction.
fn points_to_frame(suspect: &Suspect<'_>, way: &[InsnId], insn: InsnId, base: Base) -> bool {
    let before = way.iter().take_while(|&&other| other != insn);
    let last = before.filter(|&&other| suspect.usage(other).writes(base)).last();
    last.is_some_and(|&other| {
        let used = suspect.usage(other);
        used.reads(Base::SP) || used.reads(Base::BP)
    })
}

/// Registers that are stored above the return address.
pub(super) fn above_the_frame(suspect: &Suspect<'_>) -> Option<Told> {
    if !is_about_saves(suspect) {
        return None;
    }
    let above = |at: &StateAt| -> Vec<Base> {
        saved(&at.state).filter(|(_, offset)| *offset >= 0).map(|(register, _)| register).collect()
    };
    let (index, registers) =
        suspect.finding.states.iter().map(above).enumerate().find(|(_, found)| !found.is_empty())?;
    let stores: Vec<(InsnId, Base)> = suspect
        .way(index)
        .into_iter()
        .filter_map(|insn| {
            let stored = suspect.insns().ops(insn).iter().find_map(|op| match (op.dest, op.src) {
                (Dest::Indirect(..), Source::Reg(register)) if registers.contains(&register) => Some(register),
                _ => None,
            });
            Some((insn, stored?))
        })
        .collect();
    let (first, _) = *stores.first()?;
    let names: Vec<&str> = stores.iter().map(|(_, register)| register.name()).collect();
    let line = suspect.line(first);
    let place = line.as_ref().map(|line| suspect.place(line)).unwrap_or_default();
    let says = format!(
        "{} stored above the return address, into the caller's frame (from {place} on): objtool takes the stores for saves that are \
         never undone",
        match names.as_slice() {
            [one] => format!("{one} is"),
            more => format!("{} are", more.join(" and ")),
        }
    );
    let steps: Vec<_> = stores
        .iter()
        .map(|&(insn, register)| suspect.step(insn, format!("{} is stored into the caller's frame", register.name())))
        .collect();
    Some(Told::new(CauseKind::StoreIntoCaller, says).about(names[0]).with(steps).on(line))
}

/// The first use of an area that nobody has taken from the stack, though it is given back.
pub(super) fn used_before_taken(suspect: &Suspect<'_>) -> Option<PathStep> {
    let ends = matches!(suspect.finding.fault, Fault::ReturnWithModifiedFrame | Fault::SiblingCallWithModifiedFrame);
    let cfa = suspect.finding.states.first().filter(|_| ends)?.state.cfa;
    if cfa.base != Base::SP || cfa.offset >= 8 {
        return None;
    }
    let way = suspect.way(0);
    let first = way.into_iter().find(|&insn| deed::writes_beyond(suspect.view().analysis, insn))?;
    let text = format!("`{}` stores to an area of the stack that nothing has taken before", suspect.words(first));
    Some(suspect.step(first, text)).filter(|_| !suspect.is_compiled(first))
}

/// A replacement that leaves another depth of stack than the code that it replaces.
pub(super) fn arms(suspect: &Suspect<'_>) -> Option<Told> {
    let about = matches!(
        suspect.finding.fault,
        Fault::ReturnWithModifiedFrame
            | Fault::SiblingCallWithModifiedFrame
            | Fault::StackStateMismatch(Mismatch::Cfa(..))
    );
    if !about {
        return None;
    }
    let view = suspect.view();
    let ops_of = |group| -> Vec<(InsnId, i32)> {
        let boundaries = view.boundaries(view.analysis.flow.group(group));
        let grown = boundaries.iter().filter(|boundary| !boundary.padding).map(|boundary| {
            let ops = suspect.insns().ops(boundary.insn);
            (boundary.insn, ops.iter().map(|op| op.growth()).sum())
        });
        grown.filter(|(_, growth)| *growth != 0).collect()
    };
    let growth = |ops: &[(InsnId, i32)]| ops.iter().map(|(_, growth)| i64::from(*growth)).sum::<i64>();
    // Only ways straight through an arm can be summed up.
    let straight = |group| {
        view.boundaries(view.analysis.flow.group(group)).iter().all(|boundary| {
            let kind = suspect.kind(boundary.insn);
            !matches!(
                kind,
                Kind::JumpConditional | Kind::JumpUnconditional | Kind::JumpDynamic | Kind::Return | Kind::Call
            )
        })
    };
    let trails = suspect.finding.states.iter().flat_map(|state| &state.trail);
    let mut entered = trails.filter(|step| step.kind == StepKind::Arm).filter_map(|step| step.to);
    let (insn, arm, other) = entered.find_map(|insn| {
        let arm = suspect.flow().group_of(insn)?;
        let differs = |other: &crate::ids::GroupId| {
            *other != arm && straight(*other) && growth(&ops_of(*other)) != growth(&ops_of(arm))
        };
        let other = view.arms(arm).into_iter().find(differs).filter(|_| straight(arm))?;
        Some((insn, arm, other))
    })?;
    let by = growth(&ops_of(arm)) - growth(&ops_of(other));
    let name = view.arm_name(insn)?;
    let other_name = ops_of(other).first().and_then(|(first, _)| view.arm_name(*first));
    let other_name = other_name.unwrap_or_else(|| "the original code".to_owned());
    let (bytes, way) = (by.unsigned_abs(), if by > 0 { "more" } else { "less" });
    let line = suspect.line(insn);
    let place = line.as_ref().map(|line| format!(" at {}", suspect.place(line))).unwrap_or_default();
    let says = format!(
        "the arms of the alternative{place} leave different depths of stack: {name} leaves {bytes} bytes {way} than {other_name}, and \
         which of them runs is only decided at boot"
    );
    let step = |(insn, _): (InsnId, i32)| {
        let arm = view.arm_name(insn).unwrap_or_else(|| "this arm".to_owned());
        suspect.step(insn, format!("`{}` is in {arm}", suspect.words(insn)))
    };
    let steps: Vec<_> = ops_of(arm).into_iter().chain(ops_of(other)).take(4).map(step).collect();
    Some(Told::new(CauseKind::AlternativeArms, says).with(steps).on(line))
}

/// Paths with different depths that meet where nothing returns: no operation is missing.
pub(super) fn depths(suspect: &Suspect<'_>) -> Option<Told> {
    let Fault::StackStateMismatch(Mismatch::Cfa(..)) = suspect.finding.fault else { return None };
    let insn = suspect.finding.insn?;
    let mut waiting = vec![insn];
    let mut seen = rustc_hash::FxHashSet::default();
    while let Some(at) = waiting.pop() {
        if !seen.insert(at) {
            continue;
        }
        if seen.len() > MOST || suspect.flow().owner(at) != suspect.flow().owner(insn) {
            return None;
        }
        if suspect.flow().has(at, Flags::DEAD_END) {
            continue;
        }
        match suspect.kind(at) {
            Kind::Bug => continue,
            Kind::Return | Kind::JumpDynamic | Kind::JumpDynamicConditional => return None,
            Kind::JumpUnconditional => {
                waiting.push(suspect.flow().jump_target(at)?);
                continue;
            }
            Kind::JumpConditional => waiting.push(suspect.flow().jump_target(at)?),
            _ => {}
        }
        waiting.push(suspect.flow().next(suspect.insns(), at)?);
    }
    Some(Told::new(CauseKind::DepthsBeforeTheEnd, String::new()).on(suspect.line(insn)))
}

/// A block that ends in a call that never returns is short.
const MOST: usize = 256;
