//! One unit's line table, as binutils reads it.
//!
//! In: a line number program.  Out: [`LineRows`] and the names of its files.
//! Holds afterwards: rows ascend by address, one per address. Where the program gives several for one, the last counts;
//! a sequence inside another is left out, and of one that overlaps another the part behind it is kept.
//! Reads like: DWARF 5 §6.2; the choice among contradicting rows is that of binutils' `bfd/dwarf2.c`
//! (`add_line_info`, `sort_line_sequences`; behaviour only).

use std::sync::Arc;

use gimli::{ColumnType, IncompleteLineProgram, LineProgramHeader, UnitRef};

use crate::clean;

use super::budget::{Budget, LONGEST_NAME, Spent};
use super::sections::Slice;
use super::units::text;

/// A row of the line table: holds from its address to that of the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row {
    /// The first address.
    pub address: u64,
    /// The file, by its number in the table; [`Row::END`] where nothing is known.
    pub file: u32,
    /// The line; 0 for none.
    pub line: u32,
    /// The column; 0 for none.
    pub column: u32,
}

impl Row {
    /// The file number of rows behind the end of a sequence.
    pub(super) const END: u32 = u32::MAX;
}

/// The rows of a unit.
#[derive(Debug, Default)]
pub(super) struct LineRows(Vec<Row>);

/// Rows of one sequence, by position among all.
#[derive(Clone, Copy, Debug)]
struct Sequence {
    first: usize,
    behind: usize,
}

impl Sequence {
    fn rows(self, all: &[Row]) -> &[Row] {
        all.get(self.first..self.behind).unwrap_or_default()
    }

    /// The first address, and the one behind the last.
    fn bounds(self, all: &[Row]) -> Option<(u64, u64)> {
        let rows = self.rows(all);
        Some((rows.first()?.address, rows.last()?.address))
    }
}

impl LineRows {
    /// Runs the line number program. In a sequence with an error, the rows before it stay; so they do where the budget is
    /// spent.
    pub(super) fn read(program: IncompleteLineProgram<Slice<'_>>, budget: &Budget) -> LineRows {
        let mut rows: Vec<Row> = Vec::new();
        let mut sequences: Vec<Sequence> = Vec::new();
        let read = Self::run(program, &mut rows, &mut sequences, budget);
        // A sequence without an end says nothing.
        let behind = sequences.last().map_or(0, |last| last.behind);
        rows.truncate(behind);
        let joined = match read {
            Ok(()) => join(rows, sequences, budget),
            Err(Spent) => Vec::new(),
        };
        LineRows(joined)
    }

    fn run(
        program: IncompleteLineProgram<Slice<'_>>,
        all: &mut Vec<Row>,
        sequences: &mut Vec<Sequence>,
        budget: &Budget,
    ) -> Result<(), Spent> {
        let mut first = 0;
        let mut broken = false;
        let mut rows = program.rows();
        loop {
            budget.work(1)?;
            let row = match rows.next_row() {
                Ok(Some((_, row))) => row,
                Ok(None) => return Ok(()),
                Err(_) => {
                    broken = true;
                    continue;
                }
            };
            let address = row.address();
            if row.end_sequence() {
                // Where the last row before an error ends is not known.
                let end = match broken {
                    false => address,
                    true if all.len() > first => all.pop().map_or(0, |row| row.address),
                    true => 0,
                };
                let rows = all.get_mut(first..).unwrap_or_default();
                if !rows.is_sorted_by_key(|row| row.address) {
                    rows.sort_by_key(|row| row.address);
                }
                all.push(Row { address: end, file: Row::END, line: 0, column: 0 });
                sequences.push(Sequence { first, behind: all.len() });
                first = all.len();
                broken = false;
                continue;
            }
            if broken {
                continue;
            }
            let row = Row {
                address,
                file: u32::try_from(row.file_index()).unwrap_or(Row::END),
                line: row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0)),
                column: match row.column() {
                    ColumnType::LeftEdge => 0,
                    ColumnType::Column(column) => u32::try_from(column.get()).unwrap_or(0),
                },
            };
            match all.get_mut(first..).and_then(<[Row]>::last_mut) {
                Some(last) if last.address == address => *last = row,
                _ => {
                    budget.room(size_of::<Row>())?;
                    all.push(row);
                }
            }
        }
    }

    /// The row that holds at `address`.
    pub(super) fn at(&self, address: u64) -> Option<&Row> {
        let index = self.0.partition_point(|row| row.address <= address).checked_sub(1)?;
        self.0.get(index).filter(|row| row.file != Row::END)
    }

    /// All rows with the addresses at which they end, ascending.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Row, u64)> {
        self.0.windows(2).filter_map(|pair| match pair {
            [row, next] if row.file != Row::END => Some((row, next.address)),
            _ => None,
        })
    }
}

/// Lays sequences one behind the other.
fn join(rows: Vec<Row>, mut sequences: Vec<Sequence>, budget: &Budget) -> Vec<Row> {
    sequences.retain(|of| of.bounds(&rows).is_some_and(|(start, end)| start < end));
    sequences.sort_by_key(|of| of.bounds(&rows).map(|(start, end)| (start, std::cmp::Reverse(end))));
    let n = sequences.iter().map(|of| of.behind - of.first).sum();
    let follows = |pair: &[Sequence]| {
        let (before, after) = (pair[0].bounds(&rows), pair[1].bounds(&rows));
        pair[0].behind == pair[1].first && before.map(|(_, end)| end) < after.map(|(start, _)| start)
    };
    // The rows of most tables are in this order from the start.
    let starts = sequences.first().and_then(|first| first.bounds(&rows)).is_some_and(|(start, _)| start > 0);
    if n == rows.len() && starts && sequences.windows(2).all(follows) {
        return rows;
    }
    if budget.room(n * size_of::<Row>()).is_err() {
        return Vec::new();
    }
    let mut all: Vec<Row> = Vec::with_capacity(n);
    for of in sequences {
        let (Some((start, end)), reached) = (of.bounds(&rows), all.last().map_or(0, |row| row.address)) else {
            continue;
        };
        if end <= reached {
            continue;
        }
        if start <= reached {
            all.pop();
        }
        let rows = of.rows(&rows);
        // Of a row that begins before the reached address, the rest behind it counts.
        let first = rows.partition_point(|row| row.address <= reached).saturating_sub(1);
        all.extend(rows.iter().skip(first).map(|row| Row { address: row.address.max(reached), ..*row }));
    }
    all
}

/// What is kept of a file name besides its bytes.
const ROOM_PER_NAME: usize = 48;

/// The names of the files of a line table, by their numbers; `None` for numbers that name nothing.
pub(super) fn file_names<'data>(
    unit: UnitRef<'_, Slice<'data>>,
    header: &LineProgramHeader<Slice<'data>>,
    budget: &Budget,
) -> Vec<Option<Arc<str>>> {
    // DWARF 4 §6.2.4 counts files from 1, DWARF 5 §6.2.4 from 0.
    let first = if header.version() >= 5 { 0 } else { 1 };
    let unnamed = std::iter::repeat_n(None, first);
    let whole = |value| text(unit, value, budget).filter(|(_, whole)| *whole).map(|(name, _)| name);
    let compiled_in = unit.comp_dir.filter(|directory| directory.len() <= LONGEST_NAME);
    let compiled_in = compiled_in.map(|directory| clean::names(directory.to_string_lossy().into_owned()));
    let names = header.file_names().iter().map(|file| {
        budget.room(ROOM_PER_NAME).ok()?;
        let name = whole(file.path_name())?;
        let directory = file.directory(header).filter(|_| header.version() >= 5 || file.directory_index() != 0);
        let directory = directory.and_then(whole);
        let joined = join_path(compiled_in.as_deref(), directory.as_deref(), &name);
        budget.room(joined.len()).ok()?;
        Some(Arc::from(joined))
    });
    unnamed.chain(names).collect()
}

/// As `addr2line` joins: nothing is normalised.
pub(super) fn join_path(compiled_in: Option<&str>, directory: Option<&str>, name: &str) -> String {
    let absolute = |path: &str| path.starts_with('/');
    if absolute(name) {
        return name.to_owned();
    }
    let root = if directory.is_some_and(absolute) { None } else { compiled_in };
    [root, directory, Some(name)].into_iter().flatten().collect::<Vec<_>>().join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(address: u64, line: u32) -> Row {
        Row { address, file: if line == 0 { Row::END } else { 1 }, line, column: 0 }
    }

    #[track_caller]
    fn check(sequences: &[&[(u64, u32)]], expected: &[(u64, u32)]) {
        let rows = |list: &[(u64, u32)]| list.iter().map(|&(address, line)| row(address, line)).collect::<Vec<_>>();
        let mut behind = 0;
        let places = sequences.iter().map(|list| {
            let first = behind;
            behind += list.len();
            Sequence { first, behind }
        });
        let places = places.collect();
        assert_eq!(join(rows(&sequences.concat()), places, &Budget::of(0)), rows(expected));
    }

    #[test]
    fn sequences_are_put_in_order_and_meet_without_a_gap() {
        check(&[&[(8, 3), (12, 0)], &[(0, 1), (4, 2), (8, 0)]], &[(0, 1), (4, 2), (8, 3), (12, 0)]);
        check(&[&[(9, 3), (12, 0)], &[(0, 1), (4, 2), (8, 0)]], &[(0, 1), (4, 2), (8, 0), (9, 3), (12, 0)]);
    }

    #[test]
    fn a_sequence_inside_another_is_left_out() {
        check(&[&[(2, 7), (3, 0)], &[(0, 1), (8, 0)]], &[(0, 1), (8, 0)]);
    }

    #[test]
    fn of_an_overlapping_sequence_the_part_behind_is_kept() {
        check(&[&[(0, 1), (8, 0)], &[(4, 5), (6, 6), (12, 0)]], &[(0, 1), (8, 6), (12, 0)]);
    }

    #[test]
    fn empty_sequences_say_nothing() {
        check(&[&[(4, 1), (4, 0)], &[]], &[]);
    }

    #[test]
    fn paths_are_joined_but_not_normalised() {
        assert_eq!(join_path(Some("/build"), Some("./include/linux"), "list.h"), "/build/./include/linux/list.h");
        assert_eq!(join_path(Some("/build"), Some("/usr/include"), "stdio.h"), "/usr/include/stdio.h");
        assert_eq!(join_path(Some("/build"), None, "/src/a.c"), "/src/a.c");
        assert_eq!(join_path(None, Some("lib"), "a.c"), "lib/a.c");
        assert_eq!(join_path(Some("/build"), None, "a.c"), "/build/a.c");
    }
}
