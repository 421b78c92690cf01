//! Look-up of symbols by address.
//!
//! In: the symbols of a section.  Out: [`AddressMap`].
//! Holds afterwards: each look-up is a binary search, whatever symbols overlap.

use std::collections::{BTreeMap, BTreeSet};

use crate::ids::SymbolId;
use crate::image::{ElfImage, STT_FUNC, STT_SECTION};
use crate::kernel::rules::Rules;

/// The symbols of one section by address.
#[derive(Clone, Debug, Default)]
pub struct AddressMap {
    /// By start, ties by position in the symbol table.
    tree: Vec<(u64, SymbolId)>,
    /// Where the answer of [`AddressMap::function_containing`] changes.
    functions: Vec<(u64, Option<SymbolId>)>,
    /// Where the answer of [`AddressMap::symbol_containing`] changes.
    symbols: Vec<(u64, Option<SymbolId>)>,
}

fn answer(segments: &[(u64, Option<SymbolId>)], offset: u64) -> Option<SymbolId> {
    let behind = segments.partition_point(|&(start, _)| start <= offset);
    segments[..behind].last()?.1
}

impl AddressMap {
    /// The symbols that start at the offset, in order.
    pub fn starting_at(&self, offset: u64) -> impl Iterator<Item = SymbolId> {
        let first = self.tree.partition_point(|&(start, _)| start < offset);
        self.tree[first..].iter().take_while(move |&&(start, _)| start == offset).map(|&(_, id)| id)
    }

    /// The function whose range has the offset, the first one of several.
    pub fn function_containing(&self, offset: u64) -> Option<SymbolId> {
        answer(&self.functions, offset)
    }

    /// The symbol whose range has the offset, the release's choice of several.
    pub fn symbol_containing(&self, offset: u64) -> Option<SymbolId> {
        answer(&self.symbols, offset)
    }

    /// See [`super::Symbols::hole`].
    pub fn hole(&self, offset: u64, sizes: &[u64], before_first: bool) -> Option<u64> {
        let behind = self.tree.partition_point(|&(start, _)| start <= offset);
        let Some(&(start, id)) = self.tree[..behind].last() else {
            return match self.tree.first() {
                _ if !before_first => Some(0),
                Some(&(first, _)) => Some(first - offset),
                None => None,
            };
        };
        if offset < start.saturating_add(sizes[id.index()]) {
            return Some(0);
        }
        self.tree.get(behind).map(|&(next, _)| next - offset)
    }
}

/// Builds the map of every section.
pub fn address_maps(image: &ElfImage, kinds: &[u8], sizes: &[u64], rules: &Rules) -> Vec<AddressMap> {
    let mut maps = vec![AddressMap::default(); image.sections.len()];
    for (id, symbol) in image.symbols() {
        // Undefined symbols share section 0, where no address means anything.
        if symbol.size != 0 || (rules.zero_size_symbols_found && !symbol.is_undefined()) {
            maps[symbol.section.index()].tree.push((symbol.value, id));
        }
    }
    for map in &mut maps {
        map.tree.sort();
        let ranges = |wanted: &dyn Fn(SymbolId) -> bool, minimum: u64| {
            map.tree
                .iter()
                .enumerate()
                .filter(|(_, (_, id))| wanted(*id))
                .map(|(order, &(start, id))| (start, sizes[id.index()].max(minimum), order, id))
                .filter(|&(_, size, _, _)| size != 0)
                .collect::<Vec<_>>()
        };
        let is_function = |id: SymbolId| kinds[id.index()] == STT_FUNC;
        let is_symbol = |id: SymbolId| kinds[id.index()] != STT_SECTION;
        let functions = ranges(&is_function, u64::from(rules.zero_size_symbols_found));
        let symbols = ranges(&is_symbol, 0);
        map.functions = segments(&functions, |_, order| (0, order));
        map.symbols = if rules.lookup_resolves_alias {
            segments(&symbols, |size, order| (size, order))
        } else {
            segments(&symbols, |_, order| (0, order))
        };
    }
    maps
}

/// Sweeps over ranges `(start, size, order, id)` and notes wherever the range with the smallest rank changes.
fn segments(
    ranges: &[(u64, u64, usize, SymbolId)],
    rank: impl Fn(u64, usize) -> (u64, usize),
) -> Vec<(u64, Option<SymbolId>)> {
    let mut events: Vec<(u64, bool, (u64, usize), SymbolId)> = Vec::with_capacity(ranges.len() * 2);
    for &(start, size, order, id) in ranges {
        events.push((start, true, rank(size, order), id));
        events.push((start.saturating_add(size), false, rank(size, order), id));
    }
    events.sort_unstable_by_key(|&(at, begins, rank, _)| (at, begins, rank));
    let mut open: BTreeSet<((u64, usize), SymbolId)> = BTreeSet::new();
    let mut out: Vec<(u64, Option<SymbolId>)> = Vec::new();
    let mut i = 0;
    while i < events.len() {
        let at = events[i].0;
        while i < events.len() && events[i].0 == at {
            let (_, begins, rank, id) = events[i];
            if begins {
                open.insert((rank, id));
            } else {
                open.remove(&(rank, id));
            }
            i += 1;
        }
        let now = open.first().map(|&(_, id)| id);
        if out.last().is_none_or(|&(_, before)| before != now) {
            out.push((at, now));
        }
    }
    out
}

/// The order of objtool's per-section symbol list: each symbol goes behind the last one that starts at or before it in
/// the tree, and zero-size symbols leave the tree again unless they are found by address.
pub fn list_order(image: &ElfImage, ids: Vec<SymbolId>, zero_size_found: bool) -> Vec<SymbolId> {
    if zero_size_found {
        let mut ids = ids;
        ids.sort_by_key(|&id| image.symbol(id).value);
        return ids;
    }
    // `after[i]`: what follows entry i of `ids` in the list; the list's head is the extra entry at the end.
    let head = ids.len();
    let mut after: Vec<Option<usize>> = vec![None; ids.len() + 1];
    let mut tree: BTreeMap<(u64, usize), ()> = BTreeMap::new();
    for (i, &id) in ids.iter().enumerate() {
        let symbol = image.symbol(id);
        let before = tree.range(..=(symbol.value, i)).next_back().map_or(head, |(&(_, j), ())| j);
        after[i] = after[before];
        after[before] = Some(i);
        if symbol.size != 0 {
            tree.insert((symbol.value, i), ());
        }
    }
    let mut out = Vec::with_capacity(ids.len());
    let mut at = after[head];
    while let Some(i) = at {
        out.push(ids[i]);
        at = after[i];
    }
    out
}
