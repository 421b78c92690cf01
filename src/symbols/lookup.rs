//! Look-up of symbols by address.
//!
//! In: the symbols of a section.  Out: [`AddressMap`].
//! Holds afterwards: each look-up is a binary search, whatever symbols overlap.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::OnceLock;

use super::Symbols;
use super::offsets::Offsets;
use crate::ids::SymbolId;
use crate::image::{ElfImage, STT_SECTION};
use crate::kernel::rules::Rules;

/// By section: its symbols with their addresses, ties by position in the symbol table, or by size and position.
pub(super) fn by_address(image: &ElfImage, rules: &Rules) -> Vec<Vec<(u64, SymbolId)>> {
    let mut sections = vec![Vec::new(); image.sections.len()];
    for (id, symbol) in image.symbols() {
        sections[symbol.section.index()].push((symbol.value, id));
    }
    for symbols in &mut sections {
        match rules.symbols.first_of_any_type_is_canonical {
            true => symbols.sort_by_key(|&(value, id)| (value, image.symbol(id).size, id)),
            false => symbols.sort(),
        }
    }
    sections
}

/// The symbols of one section by address.
#[derive(Clone, Debug, Default)]
pub(super) struct AddressMap {
    /// By start, ties as [`by_address`] has them: the starts, and the symbols.
    starts: Offsets,
    ids: Vec<SymbolId>,
    /// Made for the first question: most sections are never asked about.
    functions: OnceLock<Answers>,
    symbols: OnceLock<Answers>,
    /// By place: the first function and the first symbol that is no section's, where more than [`FEW`] symbols start.
    crowds: OnceLock<Vec<(u64, Firsts)>>,
}

/// The first function and the first symbol, not a section symbol, of those that start at a place.
type Firsts = (Option<SymbolId>, Option<SymbolId>);

/// So many symbols of one place are gone through for each question.
const FEW: usize = 16;

/// Where the answer to a question changes, and to what; the null symbol is none.
#[derive(Clone, Debug, Default)]
struct Answers {
    starts: Offsets,
    answers: Vec<SymbolId>,
}

impl Answers {
    /// What holds at an offset.
    fn at(&self, offset: u64) -> Option<SymbolId> {
        let last = self.starts.n_through(offset).checked_sub(1)?;
        self.answers.get(last).copied().filter(|&answer| answer != SymbolId(0))
    }

    /// From `start` on this holds.
    fn change(&mut self, start: u64, answer: Option<SymbolId>) {
        let answer = answer.unwrap_or(SymbolId(0));
        if self.answers.last() != Some(&answer) {
            self.starts.push(start);
            self.answers.push(answer);
        }
    }
}

impl AddressMap {
    /// Of a section's symbols those that the release finds by address.
    pub(super) fn new(image: &ElfImage, symbols: &[(u64, SymbolId)], rules: &Rules) -> AddressMap {
        let found = |&&(_, id): &&(u64, SymbolId)| {
            let symbol = image.symbol(id);
            // Undefined symbols share section 0, where no address means anything.
            symbol.size != 0 || (rules.symbols.zero_size_found && !symbol.is_undefined())
        };
        let mut map = AddressMap::default();
        for &(start, id) in symbols.iter().filter(found) {
            map.starts.push(start);
            map.ids.push(id);
        }
        map.starts.shrink();
        map.ids.shrink_to_fit();
        map
    }

    /// The symbols with their starts.
    fn each(&self) -> impl Iterator<Item = (u64, SymbolId)> {
        self.ids.iter().enumerate().map(|(at, &id)| (self.starts.get(at).unwrap_or(0), id))
    }

    /// The first function that starts at the offset, and the first symbol that is no section's.
    pub(super) fn first_at(&self, offset: u64, symbols: &Symbols) -> Firsts {
        let first = self.starts.n_below(offset);
        if self.starts.get(first + FEW) != Some(offset) {
            let few = (first..).take_while(|&at| self.starts.get(at) == Some(offset));
            return firsts(few.map(|at| self.ids[at]), symbols);
        }
        let crowds = self.crowds.get_or_init(|| {
            let all: Vec<(u64, SymbolId)> = self.each().collect();
            let crowds = all.chunk_by(|a, b| a.0 == b.0).filter(|crowd| crowd.len() > FEW);
            crowds.map(|crowd| (crowd[0].0, firsts(crowd.iter().map(|&(_, id)| id), symbols))).collect()
        });
        let at = crowds.partition_point(|&(start, _)| start < offset);
        crowds.get(at).filter(|&&(start, _)| start == offset).map_or((None, None), |&(_, firsts)| firsts)
    }

    /// The function whose range has the offset, the first one of several.
    pub(super) fn function_containing(&self, offset: u64, symbols: &Symbols) -> Option<SymbolId> {
        let answers = self.functions.get_or_init(|| {
            let minimum = u64::from(symbols.zero_size_found);
            let ranges = self.each().enumerate().filter(|&(_, (_, id))| symbols.is_function(id));
            answers(ranges.map(|(order, (start, id))| (start, symbols.size(id).max(minimum), (0, order), id)))
        });
        answers.at(offset)
    }

    /// The symbol whose range has the offset, the release's choice of several.
    pub(super) fn symbol_containing(&self, offset: u64, symbols: &Symbols) -> Option<SymbolId> {
        let answers = self.symbols.get_or_init(|| {
            let ranges = self.each().enumerate().filter(|&(_, (_, id))| symbols.kind(id) != STT_SECTION);
            answers(ranges.map(|(order, (start, id))| {
                let size = symbols.size(id);
                (start, size, (if symbols.resolve_alias { size } else { 0 }, order), id)
            }))
        });
        answers.at(offset)
    }

    /// See [`super::Symbols::hole`].
    pub(super) fn hole(&self, offset: u64, sizes: &[u64], before_first: bool) -> Option<u64> {
        let behind = self.starts.n_through(offset);
        let distance = |at: usize| self.starts.get(at).map(|next| next - offset);
        let Some(last) = behind.checked_sub(1) else {
            return if before_first { distance(0) } else { Some(0) };
        };
        let end = self.starts.get(last)?.saturating_add(sizes[self.ids[last].index()]);
        if offset < end { Some(0) } else { distance(behind) }
    }
}

fn firsts(mut of: impl Iterator<Item = SymbolId>, symbols: &Symbols) -> Firsts {
    let mut firsts = (None, None);
    while (firsts.0.is_none() || firsts.1.is_none())
        && let Some(id) = of.next()
    {
        firsts.0 = firsts.0.or(symbols.is_function(id).then_some(id));
        firsts.1 = firsts.1.or((symbols.kind(id) != STT_SECTION).then_some(id));
    }
    firsts
}

/// Sweeps over ranges `(start, size, rank, id)` in the order of their starts, and notes wherever the range with the
/// smallest rank changes.
fn answers(ranges: impl Iterator<Item = (u64, u64, (u64, usize), SymbolId)>) -> Answers {
    let mut ranges = ranges.filter(|&(_, size, _, _)| size != 0).peekable();
    let mut open = BinaryHeap::new();
    let mut out = Answers::default();
    let mut at = 0;
    loop {
        while let Some((start, size, rank, id)) = ranges.next_if(|&(start, ..)| start <= at) {
            open.push(Reverse((rank, id, start.saturating_add(size))));
        }
        while open.peek().is_some_and(|Reverse((.., end))| *end <= at) {
            open.pop();
        }
        let best = open.peek().map(|&Reverse((_, id, end))| (id, end));
        out.change(at, best.map(|(id, _)| id));
        let next = ranges.peek().map(|&(start, ..)| start);
        at = match (best, next) {
            (Some((_, end)), next) => next.map_or(end, |next| next.min(end)),
            (None, Some(next)) => next,
            (None, None) => break,
        };
    }
    out.starts.shrink();
    out.answers.shrink_to_fit();
    out
}

/// The order of objtool's per-section symbol list: each symbol goes behind the last one that starts at or before it in
/// the tree, and zero-size symbols leave the tree again unless they are found by address.
pub(super) fn list_order(image: &ElfImage, symbols: &[(u64, SymbolId)], rules: &Rules) -> Vec<SymbolId> {
    let mut ids: Vec<SymbolId> = symbols.iter().map(|&(_, id)| id).collect();
    if rules.symbols.zero_size_found {
        return ids;
    }
    ids.sort_unstable();
    // `after[i]`: what follows entry i of `ids` in the list; the list's head is the extra entry at the end.
    let head = ids.len();
    let mut after: Vec<Option<usize>> = vec![None; ids.len() + 1];
    let mut tree: BTreeMap<(u64, u64, usize), ()> = BTreeMap::new();
    for (i, &id) in ids.iter().enumerate() {
        let symbol = image.symbol(id);
        let size = if rules.symbols.first_of_any_type_is_canonical { symbol.size } else { 0 };
        let before = tree.range(..=(symbol.value, size, i)).next_back().map_or(head, |(&(.., j), ())| j);
        after[i] = after[before];
        after[before] = Some(i);
        if symbol.size != 0 {
            tree.insert((symbol.value, size, i), ());
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
