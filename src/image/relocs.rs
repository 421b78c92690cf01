//! The relocations of a section, by position in the file and by offset.
//!
//! In: `Elf64_Rela` entries.  Out: [`Relocs`].
//! Holds afterwards: of several relocations at one offset the last in the file is found, as objtool finds it.
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

/// The relocations of a section.
#[derive(Clone, Debug, Default)]
pub struct Relocs {
    entries: Vec<Reloc>,
    /// Positions in `entries` by offset, later entries of an offset first; `None` when `entries` are in that order.
    order: Option<Vec<u32>>,
}

impl Relocs {
    /// Takes the entries in file order.
    pub fn new(entries: Vec<Reloc>) -> Self {
        let sorted = entries.windows(2).all(|w| w[0].offset < w[1].offset);
        let order = (!sorted).then(|| {
            let mut order: Vec<u32> = (0..entries.len() as u32).rev().collect();
            order.sort_by_key(|&i| entries[i as usize].offset);
            order
        });
        Relocs { entries, order }
    }

    /// All, in file order.
    pub fn as_slice(&self) -> &[Reloc] {
        &self.entries
    }

    /// By offset; of several at one offset the last in file order.
    pub fn ascending(&self) -> impl Iterator<Item = &Reloc> {
        let as_they_stand = if self.order.is_none() { self.as_slice() } else { &[] };
        let ordered = self.order.iter().flatten().filter_map(|&i| self.entries.get(i as usize));
        let mut last = None;
        as_they_stand.iter().chain(ordered).filter(move |reloc| last.replace(reloc.offset) != Some(reloc.offset))
    }

    /// The position in file order of the relocation with the lowest offset in `[start, end)`. Of several at one offset
    /// the last in file order.
    pub fn first_index_in(&self, start: u64, end: u64) -> Option<usize> {
        let index = match &self.order {
            None => self.entries.partition_point(|r| r.offset < start),
            Some(order) => {
                let at = order.partition_point(|&i| self.entries[i as usize].offset < start);
                *order.get(at)? as usize
            }
        };
        (self.entries.get(index)?.offset < end).then_some(index)
    }

    /// See [`Relocs::first_index_in`].
    pub fn first_in(&self, start: u64, end: u64) -> Option<&Reloc> {
        self.first_index_in(start, end).map(|i| &self.entries[i])
    }

    /// The relocation exactly at `offset`.
    pub fn at(&self, offset: u64) -> Option<&Reloc> {
        self.first_in(offset, offset.checked_add(1)?)
    }

    /// The relocation at a position of the order.
    fn nth(&self, at: usize) -> Option<&Reloc> {
        match &self.order {
            None => self.entries.get(at),
            Some(order) => self.entries.get(*order.get(at)? as usize),
        }
    }

    /// For a pass over the section from this offset on.
    pub fn cursor_from(&self, start: u64) -> Cursor<'_> {
        let next = match &self.order {
            None => self.entries.partition_point(|reloc| reloc.offset < start),
            Some(order) => order.partition_point(|&i| self.entries[i as usize].offset < start),
        };
        Cursor { relocs: self, next }
    }

    /// For a pass over the section.
    pub fn cursor(&self) -> Cursor<'_> {
        Cursor { relocs: self, next: 0 }
    }
}

/// Finds the relocations of ranges that ascend, without a search for each.
#[derive(Clone, Debug)]
pub struct Cursor<'r> {
    relocs: &'r Relocs,
    next: usize,
}

impl<'r> Cursor<'r> {
    /// See [`Relocs::first_in`]. No later call may ask for a range that starts before this one.
    pub fn first_in(&mut self, start: u64, end: u64) -> Option<&'r Reloc> {
        while self.relocs.nth(self.next).is_some_and(|reloc| reloc.offset < start) {
            self.next += 1;
        }
        self.relocs.nth(self.next).filter(|reloc| reloc.offset < end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relocations_ascend_and_the_last_of_an_offset_counts() {
        let reloc = |(offset, addend)| Reloc { offset, addend, symbol: SymbolId(0), kind: RelocKind::ABS64 };
        let ascending = |entries: &[(u64, i64)]| {
            let relocs = Relocs::new(entries.iter().copied().map(reloc).collect());
            let found = relocs.ascending().map(|reloc| (reloc.offset, reloc.addend)).collect::<Vec<_>>();
            // A search for each finds the same.
            assert!(found.iter().all(|&(offset, addend)| relocs.at(offset).map(|reloc| reloc.addend) == Some(addend)));
            for start in 0..6 {
                let mut cursor = relocs.cursor_from(start);
                assert!((start..6).all(|at| cursor.first_in(at, at + 2) == relocs.first_in(at, at + 2)));
            }
            found
        };
        assert_eq!(ascending(&[]), []);
        assert_eq!(ascending(&[(1, 10), (4, 20)]), [(1, 10), (4, 20)]);
        assert_eq!(ascending(&[(4, 10), (1, 20), (4, 30), (1, 40), (2, 50)]), [(1, 40), (2, 50), (4, 30)]);
    }
}
