//! Where a name of a file is declared, and what the declaration says.
//!
//! In: the entries of a unit.  Out: [`Declaration`]s.
//! Reads like: DWARF 5 §3.3.1 (subroutine entries), §4.1 (data object entries).

use gimli::{AttributeValue, UnitRef, constants as dw};

use super::budget::Budget;
use super::sections::Slice;
use super::units::text;

/// What the debug information says about a function or variable of some name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Declared {
    /// The file, by its number in the unit's line table.
    pub file: Option<u64>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// It is a function that never returns.
    pub noreturn: bool,
    /// It is a function.
    pub function: bool,
}

/// More entries than these are not looked at in one unit.
const MOST_ENTRIES: usize = 1 << 20;

/// The declarations and definitions of `name`, in the order of the unit. What stands behind an error is lost, and what the
/// budget does not allow.
pub fn read(unit: UnitRef<'_, Slice<'_>>, name: &str, budget: &Budget) -> Vec<Declared> {
    let mut found = Vec::new();
    // Broken off at an error: what was read so far is right.
    let _ = collect(unit, name, &mut found, budget);
    found
}

fn collect(
    unit: UnitRef<'_, Slice<'_>>,
    name: &str,
    found: &mut Vec<Declared>,
    budget: &Budget,
) -> Result<(), gimli::Error> {
    let mut entries = unit.entries_raw(None)?;
    for _ in 0..MOST_ENTRIES {
        if entries.is_empty() {
            break;
        }
        let Some(abbrev) = entries.read_abbreviation()? else { continue };
        if budget.work(1 + abbrev.attributes().len()).is_err() {
            break;
        }
        let function = abbrev.tag() == dw::DW_TAG_subprogram;
        if !function && abbrev.tag() != dw::DW_TAG_variable {
            entries.skip_attributes(abbrev.attributes())?;
            continue;
        }
        let mut declared = Declared { function, ..Declared::default() };
        let mut is_named = false;
        for spec in abbrev.attributes() {
            let attr = entries.read_attribute(*spec)?;
            match attr.name() {
                dw::DW_AT_name => {
                    is_named = text(unit, attr.value(), budget).is_some_and(|(text, whole)| whole && text == name)
                }
                dw::DW_AT_decl_file => declared.file = file_number(attr.value()),
                dw::DW_AT_decl_line => declared.line = attr.udata_value().and_then(|line| u32::try_from(line).ok()),
                dw::DW_AT_noreturn => declared.noreturn = attr.value() == AttributeValue::Flag(true),
                _ => {}
            }
        }
        if is_named && budget.room(size_of::<Declared>()).is_ok() {
            found.push(declared);
        }
    }
    Ok(())
}

fn file_number(value: AttributeValue<Slice<'_>>) -> Option<u64> {
    match value {
        AttributeValue::FileIndex(index) => Some(index),
        other => other.udata_value(),
    }
}
