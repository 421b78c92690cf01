//! Flattens alternatives: one state per byte offset, whichever arm the kernel patches in.
//!
//! In: the state at each instruction of an arm as it is reached.  Out: [`FlatCfi`].
//! Holds afterwards: a slot has the state of the first arm with a boundary there; who comes later with another state is
//! told who was first.
//! Reads like: `propagate_alt_cfi` in `tools/objtool/check.c`, commit c9c324dc22 ("objtool: Support stack layout
//! changes in alternatives", v5.12).

use rustc_hash::FxHashMap;

use crate::ids::{CfiId, InsnId};

/// The slots of one alternative, by byte offset: the state, and the instruction that brought it.
type Slots = Box<[Option<(CfiId, InsnId)>]>;

/// One state per byte of each alternative.
#[derive(Clone, Debug, Default)]
pub struct FlatCfi {
    /// The tables that a path leads to.
    tables: FxHashMap<u32, Slots>,
}

impl FlatCfi {
    /// The slots of a table; none where no path leads.
    pub fn table(&self, table: u32) -> &[Option<(CfiId, InsnId)>] {
        self.tables.get(&table).map_or(&[], |slots| slots)
    }

    /// The states in all tables.
    pub(crate) fn states(&self) -> impl Iterator<Item = CfiId> {
        self.tables.values().flatten().flatten().map(|&(state, _)| state)
    }

    /// Takes the state of an instruction at a boundary; the table is of this `length`. Whether it is the first one there;
    /// an error is a conflict, with the instruction that came first. States are compared whole: two ids are equal only if
    /// everything in the states is.
    pub fn put(&mut self, table: u32, length: u32, offset: u32, state: CfiId, insn: InsnId) -> Result<bool, InsnId> {
        let slots = self.tables.entry(table).or_insert_with(|| vec![None; length as usize].into_boxed_slice());
        match slots.get_mut(offset as usize) {
            Some(Some((first, by))) if *first != state => Err(*by),
            Some(slot @ None) => {
                *slot = Some((state, insn));
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    /// Takes back what an instruction brought.
    pub(crate) fn forget(&mut self, table: u32, insn: InsnId) {
        let slots = self.tables.get_mut(&table);
        for slot in slots.into_iter().flatten().filter(|slot| slot.is_some_and(|(_, by)| by == insn)) {
            *slot = None;
        }
    }

    /// Takes in the tables of paths that led elsewhere, with other numbers for their states.
    pub(crate) fn adopt(&mut self, other: FlatCfi, number: impl Fn(CfiId) -> CfiId) {
        self.tables.extend(other.tables.into_iter().map(|(table, mut slots)| {
            slots.iter_mut().flatten().for_each(|(state, _)| *state = number(*state));
            (table, slots)
        }));
    }
}
