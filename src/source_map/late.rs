//! The rows of C whose data has none: the assembler writes a statement's row at its first instruction, so that behind the
//! data of an `asm()` it comes late.
//!
//! In: the line tables of an object, and what compiled it.  Out: [`FirstRow`]s.
//! Holds afterwards: rows ascend, one per address, the first that the table has there. Compilers that make the assembler
//! write each row where it is asked for give none.
//! Reads like: "GNU as", `.loc`, `view`; GCC's manual, `-gvariable-location-views` (only with it is a row written at once).

use std::sync::Arc;

use gimli::constants as dw;
use rustc_hash::FxHashSet;

use super::SourceMap;
use super::rows::Row;
use super::units::text;
use crate::ids::CodeLoc;

/// The first row at an address: of several, it is the one whose statement came before.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FirstRow {
    /// Where the row is.
    pub at: CodeLoc,
    /// The file.
    pub file: Arc<str>,
    /// The line, from 1.
    pub line: u32,
}

impl SourceMap {
    /// The first rows at each address of the units where a row can be late.
    pub fn first_rows(&self) -> Vec<FirstRow> {
        let mut found = Vec::new();
        let mut tables = FxHashSet::default();
        for (index, unit) in self.units.units.iter().enumerate() {
            let Some(table) = unit.table.filter(|table| tables.insert(*table)) else { continue };
            let rows = self.with_unit(index, |unit| self.first_of_unit(unit)).flatten().unwrap_or_default();
            found.extend(rows.into_iter().filter_map(|row| self.first_row(table, row)));
        }
        found.sort_by_key(|row| row.at);
        found
    }

    /// `None` where the compiler writes no late rows, or where there is no room for them.
    fn first_of_unit(&self, unit: gimli::UnitRef<'_, super::Slice<'_>>) -> Option<Vec<Row>> {
        let mut entries = unit.entries();
        let producer = entries.next_dfs().ok()??.attr_value(dw::DW_AT_producer)?;
        let (producer, _) = text(unit, producer, &self.budget)?;
        if !writes_late(&producer) {
            return None;
        }
        let mut rows = unit.line_program.clone()?.rows();
        let mut first: Vec<Row> = Vec::new();
        let mut last = None;
        while let Ok(Some((_, row))) = rows.next_row() {
            self.budget.work(1).ok()?;
            let address = row.address();
            if row.end_sequence() {
                last = None;
                continue;
            }
            if last.replace(address) != Some(address) {
                self.budget.room(size_of::<Row>()).ok()?;
                let line = row.line().map_or(0, |line| u32::try_from(line.get()).unwrap_or(0));
                first.push(Row { address, file: u32::try_from(row.file_index()).ok()?, line, column: 0 });
            }
        }
        Some(first)
    }

    fn first_row(&self, table: usize, row: Row) -> Option<FirstRow> {
        // A late row may be at the end of its section.
        let before = self.sections.loc(row.address.checked_sub(1)?)?;
        let at = CodeLoc { offset: before.offset + 1, ..before };
        (row.line != 0).then_some(FirstRow { at, file: self.file(table, row.file.into())?, line: row.line })
    }
}

/// Whether a compiler's rows can be late: GCC without location views. `producer` has its name and options.
fn writes_late(producer: &str) -> bool {
    let (mut optimises, mut level, mut strict, mut understood) = (false, 0, false, true);
    let (mut tracks, mut views) = (None, None);
    for word in producer.split_whitespace() {
        match word {
            "-O0" => optimises = false,
            "-gno-variable-location-views" => views = Some(false),
            "-gno-as-locview-support" => understood = false,
            "-fno-var-tracking" => tracks = Some(false),
            "-fvar-tracking" | "-fvar-tracking-assignments" => tracks = Some(true),
            "-gstrict-dwarf" => strict = true,
            "-gno-strict-dwarf" => strict = false,
            "-g0" | "-ggdb0" => level = 0,
            "-g1" | "-ggdb1" => level = 1,
            "-g" | "-g2" | "-g3" | "-ggdb" | "-ggdb2" | "-ggdb3" => level = 2,
            _ if word.starts_with("-gdwarf") && level == 0 => level = 2,
            _ if word.starts_with("-gvariable-location-views") => views = Some(true),
            _ if word.starts_with("-O") => optimises = true,
            _ => {}
        }
    }
    let has_views = understood && views.unwrap_or(level == 2 && !strict && tracks.unwrap_or(optimises));
    (producer.starts_with("GNU C") || producer.starts_with("GNU GIMPLE")) && !has_views
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seen with GCC 12: with which of these options the assembler is told of views.
    #[test]
    fn gcc_s_options_tell_whether_rows_are_late() {
        let late = |options: &str| writes_late(&format!("GNU C17 12.2.0 -mtune=generic -march=x86-64 {options}"));
        for options in [
            "-g -O0",
            "-g -Ofast -O0",
            "-g1 -O2",
            "-g1 -O2 -fvar-tracking",
            "-g -O2 -fno-var-tracking",
            "-g -Og -fno-var-tracking",
            "-g -gstrict-dwarf -O1",
            "-gno-variable-location-views -g -O2",
            "-g -gno-as-locview-support -O2",
        ] {
            assert!(late(options), "{options}");
        }
        for options in [
            "-g -O2",
            "-ggdb -O2",
            "-gdwarf-5 -O2",
            "-g3 -Og",
            "-g -O",
            "-g -O0 -fvar-tracking",
            "-g -O0 -gvariable-location-views",
            "-g1 -gvariable-location-views=incompat5 -O2",
            "-g -O2 -fno-var-tracking -fvar-tracking-assignments",
            "-g -O2 -fno-var-tracking-assignments",
            "-g -gdwarf-4 -Os",
            "-g1 -gstatement-frontiers -gvariable-location-views -O2 -fno-var-tracking -fvar-tracking-assignments",
        ] {
            assert!(!late(options), "{options}");
        }
        assert!(!writes_late("clang version 16.0.6") && !writes_late("GNU AS 2.40"));
    }
}
