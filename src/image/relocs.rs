//! The relocations of a section, by position in the file and by offset.
//!
//! In: `Elf64_Rela` entries.  Out: [`Relocs`], in half the memory where their values are small.
//! Holds afterwards: of several relocations at one offset the last in the file is found, as objtool finds it; each is
//! given as the file has it, however it is kept.
//! Reads like: System V gABI, chapter 4, "Relocation"; `find_reloc_by_dest_range` in `tools/objtool/elf.c`.

use crate::ids::SymbolId;

use super::RelocKind;

/// One `Elf64_Rela` entry.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Reloc {
    /// `r_offset`: where in the section.
    pub offset: u64,
    /// `r_addend`.
    pub addend: i64,
    /// The symbol.
    pub symbol: SymbolId,
    /// What it computes.
    pub kind: RelocKind,
}

/// A [`Reloc`] as it is usually kept: `vmlinux.o` has a million.
#[derive(Clone, Copy, Debug)]
struct Near {
    offset: u32,
    /// The lower half of the addend. 32 bits would not do for both signs: what turns a symbol into a physical address,
    /// 0x80000000, stands in the code of every kernel.
    addend: u32,
    /// From the lowest bit on the symbol, the kind, and whether the addend is negative.
    info: u32,
}

const SYMBOL_BITS: u32 = 24;
const KIND_BITS: u32 = 7;

impl Near {
    /// `None` where a value is too large.
    #[inline]
    fn of(reloc: &Reloc) -> Option<Near> {
        let (symbol, kind, sign) = (reloc.symbol.0, reloc.kind.0, reloc.addend >> 32);
        let fits = symbol >> SYMBOL_BITS == 0 && kind >> KIND_BITS == 0 && matches!(sign, 0 | -1);
        let info = symbol | kind << SYMBOL_BITS | (sign as u32) << (SYMBOL_BITS + KIND_BITS);
        fits.then_some(Near { offset: reloc.offset.try_into().ok()?, addend: reloc.addend as u32, info })
    }

    #[inline]
    fn reloc(self) -> Reloc {
        let sign = i64::from(self.info as i32 >> (SYMBOL_BITS + KIND_BITS));
        Reloc {
            offset: u64::from(self.offset),
            addend: sign << 32 | i64::from(self.addend),
            symbol: SymbolId(self.info & ((1 << SYMBOL_BITS) - 1)),
            kind: RelocKind(self.info >> SYMBOL_BITS & ((1 << KIND_BITS) - 1)),
        }
    }
}

/// Relocations in file order.
#[derive(Clone, Debug)]
enum Entries {
    Near(Vec<Near>),
    /// At least one has a value that is too large for [`Near`].
    Far(Vec<Reloc>),
}

impl Default for Entries {
    fn default() -> Self {
        Entries::Near(Vec::new())
    }
}

impl Entries {
    /// Adds one, behind which come others: `left` with itself.
    #[inline]
    fn push(&mut self, reloc: Reloc, left: usize) {
        match self {
            Entries::Near(near) => match Near::of(&reloc) {
                Some(entry) => {
                    if near.is_empty() {
                        near.reserve_exact(left);
                    }
                    near.push(entry);
                }
                None => {
                    let mut far = Vec::with_capacity(near.len() + left);
                    far.extend(near.iter().map(|near| near.reloc()));
                    far.push(reloc);
                    *self = Entries::Far(far);
                }
            },
            Entries::Far(far) => far.push(reloc),
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Entries::Near(near) => near.len(),
            Entries::Far(far) => far.len(),
        }
    }

    #[inline]
    fn get(&self, index: usize) -> Option<Reloc> {
        match self {
            Entries::Near(near) => near.get(index).map(|near| near.reloc()),
            Entries::Far(far) => far.get(index).copied(),
        }
    }

    #[inline]
    fn offset(&self, index: usize) -> Option<u64> {
        match self {
            Entries::Near(near) => near.get(index).map(|near| u64::from(near.offset)),
            Entries::Far(far) => far.get(index).map(|far| far.offset),
        }
    }

    /// How many are before `start`, of entries that ascend.
    #[inline]
    fn n_before(&self, start: u64) -> usize {
        match self {
            Entries::Near(near) => near.partition_point(|near| u64::from(near.offset) < start),
            Entries::Far(far) => far.partition_point(|far| far.offset < start),
        }
    }

    fn iter(&self) -> impl Iterator<Item = Reloc> {
        let (near, far) = match self {
            Entries::Near(near) => (near.as_slice(), &[][..]),
            Entries::Far(far) => (&[][..], far.as_slice()),
        };
        near.iter().map(|near| near.reloc()).chain(far.iter().copied())
    }
}

/// The relocations of a section while they are read.
#[derive(Default)]
pub(super) struct Incoming {
    entries: Entries,
    /// The offset of the last one.
    last: Option<u64>,
    /// Whether one is not behind the one before it.
    is_mixed: bool,
}

impl Incoming {
    /// Takes the next one in file order. So many are left, itself counted.
    #[inline]
    pub(super) fn take(&mut self, left: usize, reloc: Reloc) {
        self.is_mixed |= self.last.replace(reloc.offset).is_some_and(|last| last >= reloc.offset);
        self.entries.push(reloc, left);
    }

    /// After the last one.
    pub(super) fn finish(self) -> Relocs {
        let Incoming { entries, is_mixed, .. } = self;
        let order = is_mixed.then(|| {
            let mut order: Vec<u32> = (0..entries.len() as u32).rev().collect();
            order.sort_by_key(|&i| entries.offset(i as usize));
            order
        });
        Relocs { entries, order }
    }
}

/// The relocations of a section.
#[derive(Clone, Debug, Default)]
pub struct Relocs {
    entries: Entries,
    /// Positions in `entries` by offset, later entries of an offset first; `None` when `entries` are in that order.
    order: Option<Vec<u32>>,
}

impl Relocs {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The one at this position in file order.
    #[inline]
    pub fn get(&self, index: usize) -> Option<Reloc> {
        self.entries.get(index)
    }

    /// All, in file order.
    pub fn iter(&self) -> impl Iterator<Item = Reloc> {
        self.entries.iter()
    }

    /// By offset; of several at one offset the last in file order.
    pub fn ascending(&self) -> impl Iterator<Item = Reloc> {
        let mut last = None;
        (0..self.len())
            .map_while(|at| self.nth(at))
            .filter(move |reloc| last.replace(reloc.offset) != Some(reloc.offset))
    }

    /// The position in file order of the relocation with the lowest offset in `[start, end)`. Of several at one offset
    /// the last in file order.
    pub fn first_index_in(&self, start: u64, end: u64) -> Option<usize> {
        let index = self.index(self.n_before(start))?;
        (self.entries.offset(index)? < end).then_some(index)
    }

    /// See [`Relocs::first_index_in`].
    pub fn first_in(&self, start: u64, end: u64) -> Option<Reloc> {
        self.first_index_in(start, end).and_then(|index| self.get(index))
    }

    /// The relocation exactly at `offset`.
    pub fn at(&self, offset: u64) -> Option<Reloc> {
        self.first_in(offset, offset.checked_add(1)?)
    }

    /// How many positions of the order are before an offset.
    fn n_before(&self, start: u64) -> usize {
        match &self.order {
            None => self.entries.n_before(start),
            Some(order) => order.partition_point(|&i| self.entries.offset(i as usize).is_some_and(|at| at < start)),
        }
    }

    /// The position in file order of a position of the order.
    #[inline]
    fn index(&self, at: usize) -> Option<usize> {
        match &self.order {
            None => Some(at),
            Some(order) => order.get(at).map(|&index| index as usize),
        }
    }

    /// The relocation at a position of the order.
    #[inline]
    fn nth(&self, at: usize) -> Option<Reloc> {
        self.get(self.index(at)?)
    }

    /// For a pass over the section from this offset on.
    pub fn cursor_from(&self, start: u64) -> Cursor<'_> {
        Cursor { relocs: self, next: self.n_before(start) }
    }
}

/// Finds the relocations of ranges that ascend, without a search for each.
#[derive(Clone, Debug)]
pub struct Cursor<'r> {
    relocs: &'r Relocs,
    next: usize,
}

impl Cursor<'_> {
    /// See [`Relocs::first_in`]. No later call may ask for a range that starts before this one.
    #[inline]
    pub fn first_in(&mut self, start: u64, end: u64) -> Option<Reloc> {
        let Relocs { entries, .. } = self.relocs;
        let offset = |at| entries.offset(self.relocs.index(at)?);
        while offset(self.next).is_some_and(|offset| offset < start) {
            self.next += 1;
        }
        self.relocs.nth(self.next).filter(|reloc| reloc.offset < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const USUAL: Reloc = Reloc { offset: 9, addend: 7, symbol: SymbolId(3), kind: RelocKind::ABS64 };

    /// Each has one value that is too large for [`Near`], and all are behind what the tests ask for.
    const TOO_LARGE: [Reloc; 5] = [
        Reloc { offset: 1 << 32, ..USUAL },
        Reloc { addend: 1 << 32, ..USUAL },
        Reloc { addend: -(1 << 32) - 1, ..USUAL },
        Reloc { symbol: SymbolId(1 << 24), ..USUAL },
        Reloc { kind: RelocKind(1 << 7), ..USUAL },
    ];

    fn relocs_of(list: &[Reloc]) -> Relocs {
        let mut incoming = Incoming::default();
        for (index, &reloc) in list.iter().enumerate() {
            incoming.take(list.len() - index, reloc);
        }
        let relocs = incoming.finish();
        assert_eq!((relocs.len(), relocs.is_empty()), (list.len(), list.is_empty()));
        assert_eq!(relocs.iter().collect::<Vec<_>>(), list);
        assert_eq!((0..=list.len()).map_while(|index| relocs.get(index)).collect::<Vec<_>>(), list);
        relocs
    }

    fn is_near(relocs: &Relocs) -> bool {
        matches!(relocs.entries, Entries::Near(_))
    }

    /// What is found below offset 9, and how: what searches and cursors find is checked to be the same.
    fn found(relocs: &Relocs) -> Vec<(u64, i64)> {
        let ascending = relocs.ascending().filter(|reloc| reloc.offset < USUAL.offset);
        let found = ascending.map(|reloc| (reloc.offset, reloc.addend)).collect::<Vec<_>>();
        assert!(found.iter().all(|&(offset, addend)| relocs.at(offset).map(|reloc| reloc.addend) == Some(addend)));
        for start in 0..6 {
            let first = found.iter().find(|&&(offset, _)| (start..start + 2).contains(&offset));
            let by_search = relocs.first_in(start, start + 2);
            assert_eq!(by_search.map(|reloc| (reloc.offset, reloc.addend)), first.copied());
            assert_eq!(relocs.first_index_in(start, start + 2).and_then(|index| relocs.get(index)), by_search);
            let mut cursor = relocs.cursor_from(start);
            assert!((start..6).all(|at| cursor.first_in(at, at + 2) == relocs.first_in(at, at + 2)));
        }
        found
    }

    #[test]
    fn relocations_ascend_and_the_last_of_an_offset_counts() {
        let ascending = |entries: &[(u64, i64)]| {
            let list: Vec<Reloc> = entries.iter().map(|&(offset, addend)| Reloc { offset, addend, ..USUAL }).collect();
            let relocs = relocs_of(&list);
            assert!(is_near(&relocs));
            let near = found(&relocs);
            // One that is too large, wherever it stands, changes nothing for the others.
            for (large, at) in TOO_LARGE.iter().flat_map(|large| (0..=list.len()).map(move |at| (large, at))) {
                let mut list = list.clone();
                list.insert(at, *large);
                let relocs = relocs_of(&list);
                assert!(!is_near(&relocs));
                assert_eq!(found(&relocs), near);
                assert_eq!((relocs.at(large.offset), relocs.ascending().last()), (Some(*large), Some(*large)));
            }
            near
        };
        assert_eq!(ascending(&[]), []);
        assert_eq!(ascending(&[(1, 10), (4, 20)]), [(1, 10), (4, 20)]);
        assert_eq!(ascending(&[(4, 10), (1, 20), (4, 30), (1, 40), (2, 50)]), [(1, 40), (2, 50), (4, 30)]);
    }

    #[test]
    fn usual_relocations_take_12_bytes_up_to_the_largest_values() {
        assert_eq!(size_of::<Near>(), 12);
        let (symbol, kind) = (SymbolId((1 << 24) - 1), RelocKind((1 << 7) - 1));
        let largest = Reloc { offset: (1 << 32) - 1, addend: (1 << 32) - 1, symbol, kind };
        let least = Reloc { offset: 0, addend: 0, symbol: SymbolId(0), kind: RelocKind::NONE };
        let addends = [-(1 << 32), -(1 << 31), -1, 1 << 31].map(|addend| Reloc { addend, ..least });
        // Each value alone, too: no bit of one is taken for another's.
        let alone = [Reloc { symbol, ..least }, Reloc { kind, ..least }, Reloc { addend: -1, ..largest }];
        assert!(is_near(&relocs_of(&[&[largest, least], &addends[..], &alone].concat())));
    }
}
