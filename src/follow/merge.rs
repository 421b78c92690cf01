//! Whether two paths that meet bring the same frame.
//!
//! In: the recorded state and the new one.  Out: what they disagree about.
//! Reads like: `insn_cfi_match` in `tools/objtool/check.c`.

use crate::cfi::CfiState;
use crate::findings::Mismatch;

/// The first difference; of registers all, where the release says so.
pub(super) fn compare(recorded: &CfiState, new: &CfiState, all_registers: bool) -> Vec<Mismatch> {
    if recorded.cfa != new.cfa {
        return vec![Mismatch::Cfa(recorded.cfa, new.cfa)];
    }
    if recorded.regs != new.regs {
        let differing = recorded.regs.iter().zip(new.regs.iter()).filter(|(a, b)| a != b);
        let faults = differing.map(|((register, a), (_, b))| Mismatch::Register(register.0 as u8, a, b));
        return if all_registers { faults.collect() } else { faults.take(1).collect() };
    }
    if recorded.kind != new.kind {
        return vec![Mismatch::Type(recorded.kind.0, new.kind.0)];
    }
    let drap = |s: &CfiState| (s.drap, i32::from(s.drap_reg.0), s.drap_offset);
    let (a, b) = (drap(recorded), drap(new));
    if a.0 != b.0 || (a.0 && a != b) {
        return vec![Mismatch::Drap(a, b)];
    }
    Vec::new()
}
