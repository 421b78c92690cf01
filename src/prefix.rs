//! Padding in front of functions that belongs to them: call depth tracking and kernel CFI put code there.
//!
//! In: `--prefix`, the walk's states.  Out: prefix symbols; the functions' states on their prefixes.
//! Reads like: `add_prefix_symbols` (6.12) and `create_prefix_symbols` (7.3) in `tools/objtool/check.c`.

use std::ops::Range;

use crate::decode::Kind;
use crate::findings::Fault;
use crate::follow::{CfiMap, Input};
use crate::ids::{CodeLoc, InsnId, SymbolId};
use crate::image::Reloc;
use crate::kernel::rules::{Addition, PrefixSearch};
use crate::ledger::{Ledger, Weight};
use crate::parallel;

/// A prefix symbol `__pfx_NAME` that objtool creates.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Prefix {
    /// The function.
    pub function: SymbolId,
    /// Where the prefix starts.
    pub at: CodeLoc,
    /// Its size in bytes.
    pub size: u32,
}

/// The longest symbol name that objtool handles (`SYM_NAME_LEN`).
const NAME_LIMIT: usize = 512;
const NAME_PREFIX: &str = "__pfx_";

/// Finds the prefixes, and gives them the states of their functions.
pub fn prefixes(input: &Input<'_>, map: &mut CfiMap, ledger: &mut Ledger) -> Vec<Prefix> {
    let known = input.rules.write.additions.contains(&Addition::Prefixes);
    let Some(size) = input.options.prefix.filter(|&size| known && size != 0) else { return Vec::new() };
    match input.rules.write.prefix_search {
        PrefixSearch::Padding | PrefixSearch::PaddingOfPlainFunctions => by_padding(input, map, size, ledger),
        PrefixSearch::PatchableEntries if input.options.cfi => Vec::new(),
        PrefixSearch::PatchableEntries => by_patchable_entries(input, map, size, ledger),
    }
}

/// A function that gets no prefix symbol in releases that look at plain functions only: itself the padding of another one,
/// a cold part, or a static-call trampoline.
fn is_plain(input: &Input<'_>, function: SymbolId) -> bool {
    let name = input.image.symbol_name(function);
    let is_prefix = input.rules.walk.prefix_functions.iter().any(|prefix| name.starts_with(prefix));
    let is_cold = input.symbols.parent(function) != Some(function);
    !is_prefix && !is_cold && !input.symbols.traits(function).static_call_tramp
}

/// Whether a prefix symbol can be named after the function. What can not is told.
fn is_short_enough(input: &Input<'_>, function: SymbolId, ledger: &mut Ledger) -> bool {
    let len = input.image.symbol(function).name_len();
    let short = !input.rules.write.prefix_name_limited || len + NAME_PREFIX.len() < NAME_LIMIT;
    if !short {
        let fault = Fault::PrefixNameTooLong { name: input.image.symbol_name(function).to_owned() };
        let at = input.image.symbol(function).place();
        ledger.plain(Weight::Warning, fault, at, None, Some(function));
    }
    short
}

/// Up to 7.0: NOPs, and nothing but NOPs, in front of a function.
fn by_padding(input: &Input<'_>, map: &mut CfiMap, size: u32, ledger: &mut Ledger) -> Vec<Prefix> {
    let plain_only = input.rules.write.prefix_search == PrefixSearch::PaddingOfPlainFunctions;
    let mut found = Vec::new();
    for (section, header) in input.image.sections() {
        if !header.is_code() {
            continue;
        }
        for &function in input.symbols.of_section(section) {
            if !input.symbols.is_function(function) || (plain_only && !is_plain(input, function)) {
                continue;
            }
            if !is_short_enough(input, function, ledger) {
                continue;
            }
            let start = CodeLoc::new(section, input.image.symbol(function).value);
            let Some(first) = input.insns.at(start) else { continue };
            let Some(at) = padding_start(input, first, size) else { continue };
            found.push(Prefix { function, at: input.insns.loc(at), size });
            spread(map, at, first);
        }
    }
    found
}

fn padding_start(input: &Input<'_>, first: InsnId, size: u32) -> Option<InsnId> {
    let start = input.insns.get(first).offset;
    let mut at = first;
    loop {
        at = input.insns.prev_in_section(at)?;
        let distance = start - input.insns.get(at).offset;
        if input.insns.kind(at) != Kind::Nop || distance > size {
            return None;
        }
        if distance == size {
            return Some(at);
        }
    }
}

/// From 7.2 on: the compiler lists the patchable entries, which are where the prefixes start.
fn by_patchable_entries(input: &Input<'_>, map: &mut CfiMap, size: u32, ledger: &mut Ledger) -> Vec<Prefix> {
    let mut found = Vec::new();
    for (_, section) in input.image.sections() {
        if section.name != "__patchable_function_entries" || section.rela.is_none() {
            continue;
        }
        let relocs = &section.relocs;
        let entries = |part: Range<usize>| part.filter_map(|index| entry(input, &relocs.get(index)?, size)).collect();
        let entries: Vec<Vec<Entry>> = parallel::parts(relocs.len(), entries);
        for Entry { prefix, range } in entries.into_iter().flatten() {
            if !is_short_enough(input, prefix.function, ledger) {
                continue;
            }
            found.push(prefix);
            if let Some((from, first)) = range {
                spread(map, from, first);
            }
        }
    }
    found
}

/// An entry of the list that names a function's prefix.
struct Entry {
    prefix: Prefix,
    /// The instructions of the prefix, up to the first one of the function.
    range: Option<(InsnId, InsnId)>,
}

fn entry(input: &Input<'_>, reloc: &Reloc, size: u32) -> Option<Entry> {
    let at = input.image.destination(reloc);
    let start = CodeLoc::new(at.section, at.offset.wrapping_add(u64::from(size)));
    let function = input.symbols.function_at(start.section, start.offset)?;
    let range = input.insns.at(at).zip(input.insns.at(start));
    Some(Entry { prefix: Prefix { function, at, size }, range })
}

/// Gives the instructions from `from` up to `first` the state of `first`.
fn spread(map: &mut CfiMap, from: InsnId, first: InsnId) {
    if map.id(first).is_none() {
        return;
    }
    let mark = map.marks[first.index()];
    map.marks[from.index()..first.index()].fill(mark);
}
