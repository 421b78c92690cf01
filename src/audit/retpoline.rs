//! Branches that speculation could be led astray at.
//!
//! In: kinds of instructions, vouched-for marks.  Out: naked returns, indirect branches, missing `int3`.
//! Reads like: `validate_retpoline` and `validate_sls` in `tools/objtool/check.c`.

use crate::decode::Kind;
use crate::findings::Fault;
use crate::flow::Flags;
use crate::follow::Input;
use crate::ids::InsnId;
use crate::image::{STT_FUNC, STT_NOTYPE};
use crate::ledger::{Ledger, Weight};

fn report(input: &Input<'_>, ledger: &mut Ledger, fault: Fault, id: InsnId) {
    ledger.at_insn(Weight::Warning, fault, input.placed(id), input.flow.owner(id), None);
}

/// `--retpoline`, `--rethunk`. How many findings objtool counts.
pub fn retpoline(input: &Input<'_>, ledger: &mut Ledger) -> usize {
    let mut counted = 0;
    for id in input.flow.branches(&[Kind::Return, Kind::JumpDynamic, Kind::CallDynamic]) {
        let fault = match input.insns.kind(id) {
            Kind::Return if input.options.rethunk => Fault::NakedReturn,
            Kind::JumpDynamic => Fault::IndirectBranch { call: false },
            Kind::CallDynamic => Fault::IndirectBranch { call: true },
            _ => continue,
        };
        if input.flow.has(id, Flags::SAFE) || input.flow.section(input.insns.section_of(id)).init {
            continue;
        }
        report(input, ledger, fault, id);
        counted += 1;
    }
    if input.rules.checks.cfi_checked && input.options.cfi {
        counted += kernel_cfi(input, ledger);
    }
    counted
}

/// An indirect call of a kernel CFI build has the check's `ud2` before it.
fn kernel_cfi(input: &Input<'_>, ledger: &mut Ledger) -> usize {
    let mut counted = 0;
    for &id in &input.flow.sites.retpoline {
        let Some(owner) = input.flow.owner(id) else { continue };
        if !matches!(input.symbols.kind(owner), STT_NOTYPE | STT_FUNC) || input.symbols.traits(owner).nocfi {
            continue;
        }
        let same = |&prev: &InsnId| input.flow.function(input.symbols, prev) == input.flow.function(input.symbols, id);
        let before = input.insns.prev_in_section(id).filter(same);
        if before.is_none_or(|before| input.insns.kind(before) != Kind::Bug) {
            report(input, ledger, Fault::IndirectCallWithoutCfi, id);
            counted += 1;
        }
    }
    counted
}

/// `--sls`. How many findings objtool counts.
pub fn sls(input: &Input<'_>, ledger: &mut Ledger) -> usize {
    let mut counted = 0;
    for id in input.flow.branches(&[Kind::Return, Kind::JumpDynamic]) {
        let ret = match input.insns.kind(id) {
            Kind::Return => true,
            Kind::JumpDynamic => false,
            _ => continue,
        };
        let next = input.insns.next_in_section(id);
        if input.flow.has(id, Flags::SAFE) || next.is_some_and(|next| input.insns.kind(next) == Kind::Trap) {
            continue;
        }
        report(input, ledger, Fault::MissingInt3 { ret }, id);
        counted += 1;
    }
    counted
}
