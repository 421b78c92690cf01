//! Flattens alternatives: one state per byte offset, whichever arm the kernel patches in.
//!
//! In: the state at each instruction of an arm as it is reached.  Out: [`FlatCfi`].
//! Holds afterwards: a slot has the state of the first arm with a boundary there; who comes later with another state is
//! told who was first.
//! Reads like: `propagate_alt_cfi` in `tools/objtool/check.c`, commit c9c324dc22 ("objtool: Support stack layout
//! changes in alternatives", v5.12).

use crate::ids::{CfiId, InsnId};

/// One state per byte of each alternative.
#[derive(Clone, Debug, Default)]
pub struct FlatCfi {
    /// Where each table starts in `slots`.
    starts: Vec<usize>,
    slots: Vec<Option<(CfiId, InsnId)>>,
}

impl FlatCfi {
    /// Empty tables of these lengths.
    pub fn new(lengths: &[u32]) -> FlatCfi {
        let mut starts = Vec::with_capacity(lengths.len() + 1);
        let mut total = 0;
        for &length in lengths {
            starts.push(total);
            total += length as usize;
        }
        starts.push(total);
        FlatCfi { starts, slots: vec![None; total] }
    }

    /// The slots of a table, by byte offset: the state, and the instruction that brought it.
    pub fn table(&self, table: u32) -> &[Option<(CfiId, InsnId)>] {
        let table = table as usize;
        match (self.starts.get(table), self.starts.get(table + 1)) {
            (Some(&start), Some(&end)) => &self.slots[start..end],
            _ => &[],
        }
    }

    /// Takes the state of an instruction at a boundary. An error is a conflict, with the instruction that came first.
    /// States are compared whole: two ids are equal only if everything in the states is.
    pub fn put(&mut self, table: u32, offset: u32, state: CfiId, insn: InsnId) -> Result<(), InsnId> {
        let start = self.starts.get(table as usize).copied().unwrap_or(usize::MAX);
        let end = self.starts.get(table as usize + 1).copied().unwrap_or(0);
        let index = start.saturating_add(offset as usize);
        match self.slots.get_mut(index).filter(|_| index < end) {
            Some(Some((first, by))) if *first != state => Err(*by),
            Some(slot @ None) => {
                *slot = Some((state, insn));
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
