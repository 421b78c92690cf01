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
use crate::kernel::rules::Addition;
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
    let known = input.rules.additions.contains(&Addition::Prefixes);
    let Some(size) = input.options.prefix.filter(|&size| known && size != 0) else { return Vec::new() };
    if !input.rules.prefix_by_patchable_entries {
        return by_padding(input, map, size);
    }
    if input.options.cfi { Vec::new() } else { by_patchable_entries(input, map, size, ledger) }
}

/// 6.12: NOPs, and nothing but NOPs, in front of a function.
fn by_padding(input: &Input<'_>, map: &mut CfiMap, size: u32) -> Vec<Prefix> {
    let mut found = Vec::new();
    for (section, header) in input.image.sections() {
        if !header.is_code() {
            continue;
        }
        for &function in input.symbols.of_section(section) {
            if !input.symbols.is_function(function) {
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
        if input.flow.kind(at) != Kind::Nop || distance > size {
            return None;
        }
        if distance == size {
            return Some(at);
        }
    }
}

/// 7.3: the compiler lists the patchable entries, which are where the prefixes start.
fn by_patchable_entries(input: &Input<'_>, map: &mut CfiMap, size: u32, ledger: &mut Ledger) -> Vec<Prefix> {
    let mut found = Vec::new();
    for (_, section) in input.image.sections() {
        if section.name != "__patchable_function_entries" || section.rela.is_none() {
            continue;
        }
        let relocs = section.relocs.as_slice();
        let entries = |part: Range<usize>| relocs[part].iter().filter_map(|reloc| entry(input, reloc, size)).collect();
        let entries: Vec<Vec<Entry>> = parallel::parts(relocs.len(), entries);
        for Entry { prefix, range } in entries.into_iter().flatten() {
            let function = prefix.function;
            let name = input.image.symbol_name(function);
            if name.len() + NAME_PREFIX.len() + 1 > NAME_LIMIT {
                let fault = Fault::PrefixNameTooLong { name: name.to_owned() };
                ledger.plain(&input.naming(), Weight::Warning, fault, None, Some(function));
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
