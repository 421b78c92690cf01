//! What a walk changed, to take it back.
//!
//! In: changes in their order.  Out: everything as it was before the walk.

use std::sync::atomic::{AtomicU32, Ordering};

use super::mark::Mark;
use crate::flatten::FlatCfi;
use crate::ids::InsnId;

/// The changes of one walk.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Instructions that were visited for the first time, from one up to another; or one with the mark that it had.
    marks: Vec<(InsnId, InsnId, u32)>,
    /// Slot tables, with the instruction that came there.
    slots: Vec<(u32, InsnId)>,
}

impl Journal {
    /// For the next walk.
    pub(super) fn clear(&mut self) {
        self.marks.clear();
        self.slots.clear();
    }

    /// The instructions of a range were visited for the first time.
    pub(super) fn marked(&mut self, from: InsnId, to: InsnId) {
        if from != to {
            self.marks.push((from, to, 0));
        }
    }

    /// The instruction gets another mark than this one.
    pub(super) fn changed(&mut self, id: InsnId, mark: Mark) {
        self.marks.push((id, InsnId(id.0 + 1), mark.0));
    }

    /// The instruction brings its state to a table.
    pub(super) fn flattened(&mut self, table: u32, insn: InsnId) {
        self.slots.push((table, insn));
    }

    /// Takes everything back, the latest change first.
    pub(super) fn undo(&mut self, marks: &[AtomicU32], flat: &mut FlatCfi) {
        for (from, to, mark) in self.marks.drain(..).rev() {
            marks[from.index()..to.index()].iter().for_each(|slot| slot.store(mark, Ordering::Relaxed));
        }
        for (table, insn) in self.slots.drain(..) {
            flat.forget(table, insn);
        }
    }
}
