//! Where along a way the state changed in the respect that a finding is about.
//!
//! In: a way.  Out: the instructions that changed the CFA's base, or where a register is saved.

use crate::cfi::{Base, CfiState, Context, apply};
use crate::findings::{Step, StepKind};
use crate::flow::Flags;

use super::Input;
use super::trail::Passed;

/// The instructions that changed what the CFA is computed from.
pub(super) fn base_changes(input: &Input<'_>, way: &[Passed]) -> Vec<Step> {
    changes(input, way, |before, after| before.cfa.base != after.cfa.base)
}

/// The instructions that changed where a register is saved.
pub(super) fn register_changes(input: &Input<'_>, way: &[Passed], register: u8) -> Vec<Step> {
    let register = Base::reg(register);
    changes(input, way, |before, after| before.reg(register) != after.reg(register))
}

fn changes(input: &Input<'_>, way: &[Passed], differs: impl Fn(&CfiState, &CfiState) -> bool) -> Vec<Step> {
    let mut state = CfiState::function_entry(input.rules.layout.hints.call);
    let mut steps = Vec::new();
    for passed in way {
        if let Some(hint) = input.flow.hints.get(&passed.insn).filter(|_| input.flow.has(passed.insn, Flags::HINT)) {
            state = hint.clone();
        }
        if !passed.acted || input.flow.has(passed.insn, Flags::NO_OPS) || input.insns.ops(passed.insn).is_empty() {
            continue;
        }
        let context =
            Context { in_function: true, hint_follows: false, stackval: input.options.stackval, rules: input.rules };
        let before = state.clone();
        for op in input.insns.ops(passed.insn) {
            if apply(&mut state, op, &context).is_err() {
                return steps;
            }
        }
        if differs(&before, &state) {
            steps.push(Step { kind: StepKind::Cause, insn: passed.insn, to: None, bytes: 0 });
        }
    }
    steps
}
