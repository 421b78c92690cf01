//! One unit's line table, as binutils reads it.
//!
//! In: a line number program.  Out: [`LineRows`] and the names of its files.
//! Holds afterwards: rows ascend by address, one per address. Where the program gives several for one, the last counts;
//! a sequence inside another is left out, and of one that overlaps another the part behind it is kept.
//! Reads like: DWARF 5 §6.2; the choice among contradicting rows is that of binutils' `bfd/dwarf2.c`
//! (`add_line_info`, `sort_line_sequences`; behaviour only).

use std::sync::Arc;

use gimli::{AttributeValue, ColumnType, IncompleteLineProgram, LineProgramHeader, UnitRef};

use super::sections::Slice;

/// A row of the line table: holds from its address to that of the next.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Row {
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
    pub const END: u32 = u32::MAX;
}

/// The rows of a unit.
#[derive(Debug, Default)]
pub struct LineRows(Vec<Row>);

impl LineRows {
    /// Runs the line number program. In a sequence with an error, the rows before it stay.
    pub fn read(program: IncompleteLineProgram<Slice<'_>>) -> LineRows {
        let mut sequences: Vec<Vec<Row>> = Vec::new();
        let mut open: Vec<Row> = Vec::new();
        let mut broken = false;
        let mut rows = program.rows();
        loop {
            let row = match rows.next_row() {
                Ok(Some((_, row))) => row,
                Ok(None) => break,
                Err(_) => {
                    broken = true;
                    continue;
                }
            };
            let address = row.address();
            if row.end_sequence() {
                // Where the last row before an error ends is not known.
                let end = if broken { open.pop().map_or(0, |row| row.address) } else { address };
                open.sort_by_key(|row| row.address);
                open.push(Row { address: end, file: Row::END, line: 0, column: 0 });
                sequences.push(std::mem::take(&mut open));
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
            match open.last_mut() {
                Some(last) if last.address == address => *last = row,
                _ => open.push(row),
            }
        }
        LineRows(join(sequences))
    }

    /// The row that holds at `address`.
    pub fn at(&self, address: u64) -> Option<&Row> {
        let index = self.0.partition_point(|row| row.address <= address).checked_sub(1)?;
        self.0.get(index).filter(|row| row.file != Row::END)
    }

    /// All rows with the addresses at which they end, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (&Row, u64)> {
        self.0.windows(2).filter_map(|pair| match pair {
            [row, next] if row.file != Row::END => Some((row, next.address)),
            _ => None,
        })
    }
}

/// Lays sequences one behind the other.
fn join(mut sequences: Vec<Vec<Row>>) -> Vec<Row> {
    let bounds = |rows: &[Row]| Some((rows.first()?.address, rows.last()?.address));
    sequences.retain(|rows| bounds(rows).is_some_and(|(start, end)| start < end));
    sequences.sort_by_key(|rows| bounds(rows).map(|(start, end)| (start, std::cmp::Reverse(end))));
    let mut all: Vec<Row> = Vec::with_capacity(sequences.iter().map(Vec::len).sum());
    for rows in sequences {
        let (Some((start, end)), reached) = (bounds(&rows), all.last().map_or(0, |row| row.address)) else { continue };
        if end <= reached {
            continue;
        }
        if start <= reached {
            all.pop();
        }
        // Of a row that begins before the reached address, the rest behind it counts.
        let first = rows.partition_point(|row| row.address <= reached).saturating_sub(1);
        all.extend(rows.iter().skip(first).map(|row| Row { address: row.address.max(reached), ..*row }));
    }
    all
}

/// The names of the files of a line table, by their numbers; `None` for numbers that name nothing.
pub fn file_names<'data>(
    unit: UnitRef<'_, Slice<'data>>,
    header: &LineProgramHeader<Slice<'data>>,
) -> Vec<Option<Arc<str>>> {
    // DWARF 4 §6.2.4 counts files from 1, DWARF 5 §6.2.4 from 0.
    let first = if header.version() >= 5 { 0 } else { 1 };
    let unnamed = std::iter::repeat_n(None, first);
    // Each name may repeat the directory of the compilation; together they stay a small multiple of the table.
    let mut budget = header.header_length().saturating_mul(64).saturating_add(1 << 16);
    let names = header.file_names().iter().map(|file| {
        let name = text(unit, file.path_name())?;
        let directory = file.directory(header).filter(|_| header.version() >= 5 || file.directory_index() != 0);
        let directory = directory.and_then(|directory| text(unit, directory));
        let compiled_in = unit.comp_dir.map(|directory| directory.to_string_lossy().into_owned());
        let joined = join_path(compiled_in.as_deref(), directory.as_deref(), &name);
        budget = budget.checked_sub(joined.len())?;
        Some(Arc::from(joined))
    });
    unnamed.chain(names).collect()
}

fn text<'data>(unit: UnitRef<'_, Slice<'data>>, value: AttributeValue<Slice<'data>>) -> Option<String> {
    Some(unit.attr_string(value).ok()?.to_string_lossy().into_owned())
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
        assert_eq!(join(sequences.iter().map(|list| rows(list)).collect()), rows(expected));
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
