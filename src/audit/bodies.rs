//! Rust functions of which the compiler left nothing.
//!
//! In: the symbols, the instructions.  Out: a finding per function that is a trap and nothing else.
//! Holds afterwards: only names that a Rust compiler makes are looked at: in C and assembly a lone `ud2` is meant.
//! Reads like: LLVM LangRef, "Undefined Values" and the instruction `unreachable`, which becomes `ud2`.

use crate::decode::{Kind, MAX_LEN};
use crate::findings::Fault;
use crate::follow::Input;
use crate::ids::CodeLoc;
use crate::ledger::{Ledger, Weight};
use crate::mangled;

/// What is left of them is found in the order of the symbols.
pub fn removed_bodies(input: &Input<'_>, ledger: &mut Ledger) {
    for (id, symbol) in input.image.symbols() {
        // Nearly all are too large, which is told without a look at their code.
        if !symbol.is_function() || symbol.is_undefined() || !(1..=MAX_LEN as u64).contains(&symbol.size) {
            continue;
        }
        let first = input.insns.at(CodeLoc::new(symbol.section, symbol.value));
        let Some(first) = first.filter(|&first| input.insns.kind(first) == Kind::Bug) else { continue };
        let is_all = u64::from(input.insns.get(first).end()) == symbol.value.saturating_add(symbol.size);
        if is_all && mangled::is_mangled(input.image.symbol_name(id)) {
            ledger.at_insn(Weight::Own, Fault::MissingBody { symbol: id }, input.placed(first), Some(id), None);
        }
    }
}
