//! Whether each static call's trampoline has its key.
//!
//! In: the call sites.  Out: findings that end objtool.
//! Reads like: `create_static_call_sections` in `tools/objtool/check.c`.

use rustc_hash::FxHashSet;

use crate::findings::Fault;
use crate::follow::Input;
use crate::ids::SymbolId;
use crate::ledger::{Ledger, Weight};
use crate::parallel;

/// The trampoline of static call NAME.
const TRAMPOLINE: &str = "__SCT__";
/// Its key.
const KEY: &str = "__SCK__";
/// So many trampolines are looked up by all processors.
const WORTH: usize = 1 << 10;

/// `--static-call`.
pub fn static_calls(input: &Input<'_>, ledger: &mut Ledger) {
    let sites = &input.flow.sites.static_call;
    let existing = ".static_call_sites";
    if input.image.section_by_name(existing).is_some() {
        let fault = Fault::SectionExists { section: existing };
        ledger.plain(Weight::Warning, fault, None, None, None);
        return;
    }
    let keyed = keyed(input);
    for &id in sites {
        let Some(callee) = input.flow.callee(id).filter(|callee| !keyed.contains(callee)) else { continue };
        let name = input.image.symbol_name(callee);
        let Some(rest) = name.strip_prefix(TRAMPOLINE) else {
            let fault = Fault::StaticCallTrampolineName { name: name.to_owned() };
            ledger.plain(Weight::Fatal, fault, Some(input.insns.loc(id)), Some(id), input.flow.owner(id));
            continue;
        };
        let fault = Fault::StaticCallKeyMissing { name: format!("{KEY}{rest}") };
        ledger.plain(Weight::Fatal, fault, Some(input.insns.loc(id)), Some(id), input.flow.owner(id));
    }
}

/// The trampolines that have a key. A module may only know the trampoline; then that stands for the key.
fn keyed(input: &Input<'_>) -> FxHashSet<SymbolId> {
    let mut called: Vec<SymbolId> =
        input.flow.sites.static_call.iter().filter_map(|&id| input.flow.callee(id)).collect();
    called.sort_unstable();
    called.dedup();
    let has_key = |callee: SymbolId| {
        let rest = input.image.symbol_name(callee).strip_prefix(TRAMPOLINE)?;
        let is_keyed = input.options.module || input.symbols.by_name(input.image, &format!("{KEY}{rest}")).is_some();
        is_keyed.then_some(callee)
    };
    parallel::each(called.len() >= WORTH, called, has_key).into_iter().flatten().collect()
}
