//! States in words.
//!
//! In: [`CfiState`].  Out: text in which registers have their names and rules are sums: `CFA rsp+16, rbp at cfa-16`.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::cfi::{Base, CfiState, Rule};
use crate::kernel::Kernel;
use crate::kernel::rules::HintNumber;
use crate::report::frame::PtRegs;

/// `base + offset`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Cfa {
    /// The register; `(rsp)` for the word that it points to.
    pub base: &'static str,
    /// Bytes.
    pub offset: i32,
}

/// How the CFA is computed; `None` where it is not known.
pub fn cfa(state: &CfiState) -> Option<Cfa> {
    let Rule { base, offset } = state.cfa;
    (base != Base::UNDEFINED).then(|| Cfa { base: base.name(), offset })
}

/// Where registers are saved, as offsets from the CFA. The return address is always there and left out.
pub fn saved(state: &CfiState) -> BTreeMap<&'static str, i32> {
    let at_cfa = state.regs.iter().filter(|(reg, rule)| *reg != Base::RA && rule.base == Base::CFA);
    at_cfa.map(|(reg, rule)| (reg.name(), rule.offset)).collect()
}

/// `rsp+16`, `cfa-8`, `unknown`.
pub fn rule(rule: Rule) -> String {
    rule.to_string()
}

/// The state as one line: `CFA rsp+16, rbp at cfa-16`.
pub fn state(state: &CfiState, kernel: Kernel) -> String {
    if state.force_undefined {
        return "declared undefined".to_owned();
    }
    let mut parts = vec![format!("CFA {}", rule(state.cfa))];
    let saved = state.regs.iter().filter(|(reg, rule)| *reg != Base::RA && rule.base != Base::UNDEFINED);
    parts.extend(saved.map(|(reg, at)| format!("{} at {}", reg.name(), rule(at))));
    if state.drap {
        parts.push(format!("realigned, DRAP in {}", state.drap_reg.name()));
    }
    parts.extend(special_frame(state, kernel).map(str::to_owned));
    parts.join(", ")
}

/// The kind of frame where it is not that of a call.
pub fn special_frame(state: &CfiState, kernel: Kernel) -> Option<&'static str> {
    if state.end {
        return Some("end of the stack");
    }
    frame_kind(state.kind, kernel).filter(|&kind| kind != CALL_FRAME)
}

/// How much of a `struct pt_regs` the state's frame is.
pub fn pt_regs(state: &CfiState, kernel: Kernel) -> Option<PtRegs> {
    let types = kernel.rules().layout.hints;
    match state.kind {
        kind if kind == types.regs => Some(PtRegs::Whole),
        kind if kind == types.regs_partial => Some(PtRegs::Partial),
        _ => None,
    }
}

const CALL_FRAME: &str = "a call frame";

/// A hint type in words.
pub fn frame_kind(kind: HintNumber, kernel: Kernel) -> Option<&'static str> {
    let types = kernel.rules().layout.hints;
    let known = [
        (Some(types.call), CALL_FRAME),
        (Some(types.regs), "an interrupt frame (regs)"),
        (Some(types.regs_partial), "a partial interrupt frame (regs_partial)"),
        (types.undefined, "undefined"),
        (types.end_of_stack, "the end of the stack"),
    ];
    known.into_iter().find(|&(number, _)| number == Some(kind)).map(|(_, words)| words)
}

/// One thing that two states say differently: `CFA is rsp+16`, `rsp+8`.
pub struct Difference {
    /// What the states disagree about.
    pub subject: String,
    /// What the first says it is.
    pub first: String,
    /// What the second says.
    pub second: String,
}

/// What two states disagree about, the weightiest first. Their sizes are left out where the CFA tells as much.
pub fn differences(first: &CfiState, second: &CfiState, kernel: Kernel) -> Vec<Difference> {
    let mut found = Vec::new();
    let mut compare = |subject: String, first: String, second: String| {
        if first != second {
            found.push(Difference { subject, first, second });
        }
    };
    compare("CFA".to_owned(), rule(first.cfa), rule(second.cfa));
    for ((reg, a), (_, b)) in first.regs.iter().zip(second.regs.iter()) {
        compare(reg.name().to_owned(), saved_at(a), saved_at(b));
    }
    let kind = |state: &CfiState| special_frame(state, kernel).unwrap_or(CALL_FRAME).to_owned();
    compare("the frame".to_owned(), kind(first), kind(second));
    compare("the realignment register".to_owned(), drap(first), drap(second));
    if first.cfa == second.cfa {
        let size = |state: &CfiState| format!("{} bytes below the CFA", state.stack_size);
        compare("the stack pointer".to_owned(), size(first), size(second));
    }
    for ((reg, a), (_, b)) in first.vals.iter().zip(second.vals.iter()) {
        compare(format!("the value of {}", reg.name()), rule(a), rule(b));
    }
    let flags = |state: &CfiState| (state.signal, state.bp_scratch, state.force_undefined);
    let (a, b) = (flags(first), flags(second));
    let flag = |set: bool| if set { "set" } else { "clear" }.to_owned();
    compare("the signal flag".to_owned(), flag(a.0), flag(b.0));
    compare("the mark of a scratched rbp".to_owned(), flag(a.1), flag(b.1));
    compare("the mark of an undefined state".to_owned(), flag(a.2), flag(b.2));
    found
}

/// Where a register is saved.
pub fn saved_at(at: Rule) -> String {
    if at.base == Base::UNDEFINED { "not saved".to_owned() } else { format!("saved at {}", rule(at)) }
}

fn drap(state: &CfiState) -> String {
    if state.drap { state.drap_reg.name().to_owned() } else { "none".to_owned() }
}
