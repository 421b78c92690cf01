//! Tables of objects that were linked from others: where one ended, nothing ends any more.
//!
//! In: rows with their places.  Out: the rows that say something.
//! Holds afterwards: every place has one row, and it differs from the row before; the unwinder finds the same for every
//! address as it did.
//! Reads like: `orc_sort_cmp` and `__orc_find` in `arch/x86/kernel/unwind_orc.c`.

use super::{OrcEntry, OrcTable, StoredRow, StoredTable};
use crate::ids::CodeLoc;

impl StoredTable {
    /// The table without what is left of the ends of others, section by section.
    pub fn seamless(mut self) -> StoredTable {
        self.rows.sort_by_key(|row| row.at);
        let rows = seamless(self.rows, |row: &StoredRow| row.at.map(|at| (at, row.entry)));
        StoredTable { rows }
    }
}

impl OrcTable {
    /// The table as [`StoredTable::seamless`] has it.
    pub fn seamless(self) -> OrcTable {
        OrcTable { rows: seamless(self.rows, |&row| Some(row)) }
    }
}

/// A terminator says nothing where another row begins to hold at its place, and neither does a row that says again what the
/// one before said. Rows whose places are not known stay.
fn seamless<T>(rows: Vec<T>, place: impl Fn(&T) -> Option<(CodeLoc, OrcEntry)>) -> Vec<T> {
    let mut kept: Vec<T> = Vec::with_capacity(rows.len());
    for row in rows {
        let Some((at, entry)) = place(&row) else {
            kept.push(row);
            continue;
        };
        let shadows = |(before, ended): (CodeLoc, OrcEntry)| before == at && ended == OrcEntry::default();
        if kept.last().and_then(&place).is_some_and(shadows) {
            kept.pop();
        }
        let before = kept.last().and_then(&place).filter(|(before, _)| before.section == at.section);
        if before.map_or(OrcEntry::default(), |(_, entry)| entry) != entry {
            kept.push(row);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::SectionId;
    use crate::kernel::rules::{HintNumber, OrcNumber};

    #[track_caller]
    fn check(rows: &[(u32, u64, i16)], expected: &[(u32, u64, i16)]) {
        let row = |&(section, offset, sp): &(u32, u64, i16)| {
            let entry = match sp {
                0 => OrcEntry::default(),
                sp => OrcEntry { sp_offset: sp, sp_reg: OrcNumber(5), kind: HintNumber(2), ..OrcEntry::default() },
            };
            (CodeLoc::new(SectionId(section), offset), entry)
        };
        let table = OrcTable { rows: rows.iter().map(row).collect() };
        assert_eq!(table.seamless().rows, expected.iter().map(row).collect::<Vec<_>>());
    }

    #[test]
    fn an_end_where_something_begins_is_none() {
        check(&[(1, 0, 8), (1, 4, 0), (1, 4, 16), (1, 8, 0)], &[(1, 0, 8), (1, 4, 16), (1, 8, 0)]);
    }

    #[test]
    fn what_goes_on_behind_an_end_is_not_said_again() {
        check(&[(1, 0, 8), (1, 4, 0), (1, 4, 8), (1, 8, 0)], &[(1, 0, 8), (1, 8, 0)]);
    }

    #[test]
    fn two_ends_are_one() {
        check(&[(1, 0, 8), (1, 3, 0), (1, 4, 0), (2, 0, 8), (2, 4, 0)], &[(1, 0, 8), (1, 3, 0), (2, 0, 8), (2, 4, 0)]);
    }

    #[test]
    fn a_row_that_says_something_else_stays() {
        let table = [(1, 0, 8), (1, 1, 16), (1, 2, 8), (1, 4, 0), (2, 0, 8), (2, 4, 0)];
        check(&table, &table);
    }
}
