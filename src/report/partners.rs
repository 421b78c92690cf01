//! What belongs together on the stack: a push and the pops that take it off, `sub` and `add` of the stack pointer, STAC and
//! CLAC.
//!
//! In: an analysis, an instruction.  Out: its partners, in the order of their addresses.
//! Holds afterwards: a partner is the first instruction of some path that brings the stack back to where it was; an
//! instruction on no known path has none.

use std::collections::BTreeSet;

use crate::analysis::Analysis;
use crate::cfi::{Base, StackOp};
use crate::decode::Kind;
use crate::ids::InsnId;

/// Instructions that are looked at for one question.
const MAX_STEPS: usize = 200_000;

/// The partners of an instruction; none of one that does nothing to the stack or to the access to user memory.
pub fn partners(analysis: &Analysis, insn: InsnId) -> Vec<InsnId> {
    let mut search = Search { analysis, left: MAX_STEPS };
    match effect(analysis, insn) {
        None => Vec::new(),
        Some(Effect::Opens(what)) => search.ends(insn, what),
        Some(Effect::Closes(what)) => {
            let Some(owner) = analysis.flow.owner(insn) else { return Vec::new() };
            let insns = analysis.insns.of_section(analysis.insns.section_of(insn));
            let opens = |id: &InsnId| effect(analysis, *id) == Some(Effect::Opens(what));
            let of_function = insns.filter(|id| analysis.flow.owner(*id) == Some(owner)).filter(opens);
            let all: Vec<InsnId> = of_function.collect();
            all.into_iter().filter(|open| search.ends(*open, what).contains(&insn)).collect()
        }
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Stack,
    Access,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Effect {
    Opens(What),
    Closes(What),
}

fn effect(analysis: &Analysis, insn: InsnId) -> Option<Effect> {
    match analysis.insns.kind(insn) {
        Kind::Stac => return Some(Effect::Opens(What::Access)),
        Kind::Clac => return Some(Effect::Closes(What::Access)),
        _ => {}
    }
    let growth = analysis.insns.ops(insn).iter().map(StackOp::growth).fold(0, i32::wrapping_add);
    match growth {
        1.. => Some(Effect::Opens(What::Stack)),
        ..0 => Some(Effect::Closes(What::Stack)),
        // `leave`, and the stack pointer from a frame pointer.
        0 => {
            let after = next_depth(analysis, insn)?;
            (after < depth(analysis, insn)?).then_some(Effect::Closes(What::Stack))
        }
    }
}

/// Bytes on the stack before an instruction.
fn depth(analysis: &Analysis, insn: InsnId) -> Option<i32> {
    let state = analysis.states.state(insn).filter(|state| state.cfa.base != Base::UNDEFINED)?;
    Some(state.stack_size)
}

fn next_depth(analysis: &Analysis, insn: InsnId) -> Option<i32> {
    if matches!(analysis.insns.kind(insn), Kind::Return | Kind::JumpUnconditional | Kind::JumpDynamic) {
        return None;
    }
    depth(analysis, analysis.flow.next(&analysis.insns, insn)?)
}

struct Search<'a> {
    analysis: &'a Analysis,
    left: usize,
}

impl Search<'_> {
    /// Where paths from `open` first undo it.
    fn ends(&mut self, open: InsnId, what: What) -> Vec<InsnId> {
        let level = depth(self.analysis, open);
        let mut found = BTreeSet::new();
        let mut seen: BTreeSet<InsnId> = BTreeSet::new();
        let mut waiting = self.successors(open);
        while let Some(insn) = waiting.pop() {
            if !seen.insert(insn) {
                continue;
            }
            self.left = self.left.saturating_sub(1);
            if self.left == 0 {
                return Vec::new();
            }
            let ends = match what {
                What::Access => self.analysis.insns.kind(insn) == Kind::Clac,
                What::Stack => match (level, depth(self.analysis, insn)) {
                    (Some(level), Some(before)) => {
                        let ops = self.analysis.insns.ops(insn);
                        let growth = ops.iter().map(StackOp::growth).fold(0, i32::wrapping_add);
                        let after = next_depth(self.analysis, insn).unwrap_or(before.wrapping_add(growth));
                        // Without it on the stack, another path leads here.
                        if before <= level {
                            continue;
                        }
                        after <= level && after < before
                    }
                    _ => continue,
                },
            };
            if ends {
                found.insert(insn);
            } else {
                waiting.extend(self.successors(insn));
            }
        }
        found.into_iter().collect()
    }

    fn successors(&self, insn: InsnId) -> Vec<InsnId> {
        let (insns, flow) = (&self.analysis.insns, &self.analysis.flow);
        let mut all: Vec<InsnId> = flow.alternates(insn).iter().filter_map(|alternate| alternate.to).collect();
        all.extend(flow.jump_target(insn));
        let ends = matches!(insns.kind(insn), Kind::Return | Kind::JumpUnconditional | Kind::JumpDynamic | Kind::Bug);
        if !ends && !flow.has(insn, crate::flow::Flags::DEAD_END) {
            all.extend(flow.next(&self.analysis.insns, insn));
        }
        all
    }
}
