//! What objtool adds to an object: lists of the places that a running kernel patches, symbols of padding, the ORC table.
//!
//! In: the sites, prefixes and ORC rows of the analysis.  Out: sections and symbols in the [`Draft`].
//! Holds afterwards: sections and symbols were made in the release's order, so that both have the indexes that it gives
//! them.
//! Reads like: the functions `create_*_sections` in `tools/objtool/check.c`, `orc_create` in `tools/objtool/orc_gen.c`.

use std::ops::ControlFlow;

use super::WriteError;
use super::draft::{Content, Draft, NewReloc, PlacesOf, Shape};
use super::symtab::NewSymbol;
use crate::flow::calls::is_sibling_call;
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::image::{RelocKind, SHF_WRITE};
use crate::kernel::rules::Addition;
use crate::orc;

/// Size of `struct static_call_site` (`include/linux/static_call_types.h`): a place and a key.
const STATIC_CALL_SITE: u64 = 8;
/// Bit of the key that says that the call is a jump (`STATIC_CALL_SITE_TAIL`).
const TAIL: i64 = 1;
/// Size of an entry that is relative to itself.
const RELATIVE: u64 = 4;
/// Size of an address.
const ADDRESS: u64 = 8;
/// Size of the `mov` that holds a function's type in a kernel CFI build.
const CFI_PREAMBLE: u64 = 5;

/// Whether objtool goes on.
pub(super) type Step = Result<ControlFlow<()>, WriteError>;

const ON: Step = Ok(ControlFlow::Continue(()));

/// Adds what the flags ask for of some additions.
pub(super) fn add(draft: &mut Draft<'_>, additions: &[Addition]) -> Step {
    for &addition in additions {
        if add_one(draft, addition)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
    }
    ON
}

fn add_one(draft: &mut Draft<'_>, addition: Addition) -> Step {
    let analysis = draft.analysis;
    let sites = &analysis.flow.sites;
    if !analysis.options.adds(addition, &analysis.rules) {
        return ON;
    }
    match addition {
        Addition::StaticCalls => static_calls(draft),
        Addition::Retpolines => listed(draft, ".retpoline_sites", &sites.retpoline),
        Addition::CfiSites => cfi_sites(draft),
        Addition::Returns => listed(draft, ".return_sites", &sites.ret),
        Addition::Calls => listed(draft, ".call_sites", &sites.call),
        Addition::Mcount => mcount(draft),
        Addition::Prefixes => prefixes(draft),
        Addition::EndbrSeal => listed(draft, ".ibt_endbr_seal", &sites.endbr),
        Addition::Orc => orc_table(draft),
    }
}

/// A list of instructions.
fn listed(draft: &mut Draft<'_>, name: &'static str, sites: &[InsnId]) -> Step {
    let insns = &draft.analysis.insns;
    let places: Vec<CodeLoc> = insns.locs(sites.iter().copied()).collect();
    if !places.is_empty() {
        places_table(draft, &Shape::new(name, RELATIVE), RelocKind::PC32, PlacesOf::Listed(places))?;
    }
    ON
}

/// A list of places in code, each by a relocation of the kind. None where the object has such a list.
fn places_table<'a>(
    draft: &mut Draft<'a>,
    shape: &Shape,
    kind: RelocKind,
    places: PlacesOf<'a>,
) -> Result<(), WriteError> {
    if draft.has(shape.name) {
        return Ok(());
    }
    let n = places.len();
    let places = draft.places(places, shape.entsize, kind)?;
    draft.add_table(shape, n, Content::Places(places))
}

fn mcount(draft: &mut Draft<'_>) -> Step {
    let analysis = draft.analysis;
    let places: Vec<CodeLoc> = analysis.insns.locs(analysis.flow.sites.mcount.iter().copied()).collect();
    if !places.is_empty() {
        let shape = Shape { align: analysis.rules.write.mcount_loc_align, ..Shape::new("__mcount_loc", ADDRESS) };
        places_table(draft, &shape, RelocKind::ABS64, PlacesOf::Listed(places))?;
    }
    ON
}

/// Each static call with its key. Where there is no key, objtool stops; what room it has made stays.
fn static_calls(draft: &mut Draft<'_>) -> Step {
    let analysis = draft.analysis;
    let rules = &analysis.rules;
    let sites = &analysis.flow.sites.static_call;
    let shape = Shape { flags: SHF_WRITE, ..Shape::new(".static_call_sites", STATIC_CALL_SITE) };
    if sites.is_empty() || draft.has(shape.name) {
        return ON;
    }
    let mut relocs = Vec::with_capacity(2 * sites.len());
    let mut step = ControlFlow::Continue(());
    for (&id, i) in sites.iter().zip(0u64..) {
        let at = i * STATIC_CALL_SITE;
        relocs.push(draft.reloc_to(analysis.insns.loc(id), at, RelocKind::PC32)?);
        let Some(key) = key_of(draft, id) else {
            step = ControlFlow::Break(());
            break;
        };
        let tail = is_sibling_call(
            &analysis.flow,
            &analysis.insns,
            &analysis.symbols,
            rules.branches.sibling_needs_function,
            id,
        );
        let addend = if tail { TAIL } else { 0 };
        relocs.push(NewReloc { offset: at + RELATIVE, symbol: key.into(), kind: RelocKind::PC32, addend });
    }
    if rules.write.relocs_reserved {
        relocs.resize(2 * sites.len(), NewReloc::EMPTY);
    }
    draft.add_table(&shape, sites.len(), Content::Relocs(relocs))?;
    Ok(step)
}

/// The key of a static call. A module may only know the trampoline; then that stands for the key.
fn key_of(draft: &Draft<'_>, id: InsnId) -> Option<SymbolId> {
    let analysis = draft.analysis;
    let trampoline = analysis.flow.callee(id)?;
    let name = analysis.image.symbol_name(trampoline).strip_prefix("__SCT__")?;
    let key = analysis.symbols.by_name(&analysis.image, &format!("__SCK__{name}"));
    key.or_else(|| analysis.options.module.then_some(trampoline))
}

/// The padding in front of functions becomes a symbol, or part of the one that is there.
fn prefixes(draft: &mut Draft<'_>) -> Step {
    let analysis = draft.analysis;
    for prefix in &analysis.prefixes {
        let function = analysis.image.symbol(prefix.function);
        let new = NewSymbol {
            name: 0,
            binding: function.binding,
            kind: function.kind,
            section: prefix.at.section,
            value: prefix.at.offset,
            size: u64::from(prefix.size),
        };
        let name = format!("__pfx_{}", analysis.image.symbol_name(prefix.function));
        draft.add_symbol(Some(&name), new)?;
    }
    let padding = analysis.options.prefix.unwrap_or(0);
    if analysis.rules.write.cfi_symbols_grow && analysis.options.cfi && padding != 0 {
        grow_cfi_symbols(draft, u64::from(padding));
    }
    ON
}

fn grow_cfi_symbols(draft: &mut Draft<'_>, padding: u64) {
    let analysis = draft.analysis;
    for (id, symbol) in analysis.image.symbols() {
        let is_preamble = analysis.symbols.is_function(id)
            && analysis.image.symbol_name(id).starts_with("__cfi_")
            && analysis.symbols.size(id) == CFI_PREAMBLE;
        let function = symbol.value.wrapping_add(CFI_PREAMBLE + padding);
        if is_preamble && analysis.symbols.function_at(symbol.section, function).is_some() {
            draft.resize(id, CFI_PREAMBLE + padding);
        }
    }
}

/// The preambles of functions that may be called indirectly; an empty list where there are none.
fn cfi_sites(draft: &mut Draft<'_>) -> Step {
    let analysis = draft.analysis;
    let (image, symbols) = (&analysis.image, &analysis.symbols);
    let is_preamble = |id: &SymbolId| symbols.is_function(*id) && image.symbol_name(*id).starts_with("__cfi_");
    let preambles: Vec<SymbolId> = if analysis.rules.write.cfi_sites_in_symtab_order {
        image.symbols().map(|(id, _)| id).filter(is_preamble).collect()
    } else {
        let sections = image.sections().flat_map(|(id, _)| symbols.of_section(id));
        sections.copied().filter(is_preamble).collect()
    };
    let places = preambles.iter().map(|&id| CodeLoc::new(image.symbol(id).section, image.symbol(id).value));
    let places: Vec<CodeLoc> = places.filter(|at| image.section(at.section).is_code()).collect();
    places_table(draft, &Shape::new(".cfi_sites", RELATIVE), RelocKind::PC32, PlacesOf::Listed(places))?;
    ON
}

fn orc_table(draft: &mut Draft<'_>) -> Step {
    let analysis = draft.analysis;
    let Some(table) = analysis.orc().filter(|table| !table.rows.is_empty()) else { return ON };
    draft.add_section(&Shape::new(".orc_unwind", orc::SIZE as u64), Content::Orc(table))?;
    places_table(draft, &Shape::new(".orc_unwind_ip", RELATIVE), RelocKind::PC32, PlacesOf::Rows(table))?;
    ON
}
