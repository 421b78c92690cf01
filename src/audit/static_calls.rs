//! Whether each static call's trampoline has its key.
//!
//! In: the call sites.  Out: findings that end objtool.
//! Reads like: `create_static_call_sections` in `tools/objtool/check.c`.

use rustc_hash::FxHashSet;

use crate::findings::Fault;
use crate::follow::Input;
use crate::ledger::{Ledger, Weight};

/// The trampoline of static call NAME.
const TRAMPOLINE: &str = "__SCT__";
/// Its key.
const KEY: &str = "__SCK__";

/// `--static-call`.
pub fn static_calls(input: &Input<'_>, ledger: &mut Ledger) {
    let sites = &input.flow.sites.static_call;
    let existing = ".static_call_sites";
    if input.image.section_by_name(existing).is_some() {
        let fault = Fault::SectionExists { section: existing };
        ledger.plain(Weight::Warning, fault, None, None, None);
        return;
    }
    let mut keyed = FxHashSet::default();
    for &id in sites {
        let Some(callee) = input.flow.callee(id).filter(|callee| !keyed.contains(callee)) else { continue };
        let name = input.image.symbol_name(callee);
        let Some(rest) = name.strip_prefix(TRAMPOLINE) else {
            let fault = Fault::StaticCallTrampolineName { name: name.to_owned() };
            ledger.plain(Weight::Fatal, fault, Some(input.insns.loc(id)), Some(id), input.flow.owner(id));
            continue;
        };
        let key = format!("{KEY}{rest}");
        // A module may only know the trampoline; then that stands for the key.
        if input.symbols.by_name(input.image, &key).is_none() && !input.options.module {
            let fault = Fault::StaticCallKeyMissing { name: key };
            ledger.plain(Weight::Fatal, fault, Some(input.insns.loc(id)), Some(id), input.flow.owner(id));
        } else {
            keyed.insert(callee);
        }
    }
}
