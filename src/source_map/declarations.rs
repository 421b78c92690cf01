//! Where names of a file are declared, and what the declarations say.
//!
//! In: the entries of a unit.  Out: [`Declared`]s by name, in the order of the unit.
//! Holds afterwards: however many names are asked for, entries are read once.
//! Reads like: DWARF 5 §3.3.1 (subroutine entries), §4.1 (data object entries).

use gimli::{AttributeValue, UnitRef, constants as dw};
use rustc_hash::FxHashMap;

use super::budget::{Budget, Spent};
use super::sections::Slice;
use super::units::text;

/// What the debug information says about a function or variable of some name.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(super) struct Declared {
    /// The file, by its number in the unit's line table.
    pub file: Option<u64>,
    /// The line, from 1.
    pub line: Option<u32>,
    /// It is a function that never returns.
    pub noreturn: bool,
    /// It is a function.
    pub function: bool,
}

/// All of a unit.
pub(super) type ByName = FxHashMap<Box<str>, Vec<Declared>>;

/// More entries than these are not looked at in one unit.
const MOST_ENTRIES: usize = 1 << 20;
/// What a name costs beside its bytes.
const ROOM_PER_NAME: usize = 64;

/// The declarations and definitions of a unit. What stands behind an error is lost, and what the budget does not allow.
pub(super) fn read(unit: UnitRef<'_, Slice<'_>>, budget: &Budget) -> ByName {
    let mut found = ByName::default();
    // Broken off at an error: what was read so far is right.
    let _ = collect(unit, &mut found, budget);
    found
}

/// Why the entries are read no further.
enum End {
    Broken,
    Spent,
}

impl From<gimli::Error> for End {
    fn from(_: gimli::Error) -> End {
        End::Broken
    }
}

impl From<Spent> for End {
    fn from(_: Spent) -> End {
        End::Spent
    }
}

fn collect(unit: UnitRef<'_, Slice<'_>>, found: &mut ByName, budget: &Budget) -> Result<(), End> {
    let mut entries = unit.entries_raw(None)?;
    for _ in 0..MOST_ENTRIES {
        if entries.is_empty() {
            break;
        }
        let Some(abbrev) = entries.read_abbreviation()? else { continue };
        budget.work(1 + abbrev.attributes().len())?;
        let function = abbrev.tag() == dw::DW_TAG_subprogram;
        if !function && abbrev.tag() != dw::DW_TAG_variable {
            entries.skip_attributes(abbrev.attributes())?;
            continue;
        }
        let mut declared = Declared { function, ..Declared::default() };
        let mut name = None;
        for spec in abbrev.attributes() {
            let attr = entries.read_attribute(*spec)?;
            match attr.name() {
                dw::DW_AT_name => name = text(unit, attr.value(), budget).filter(|(_, whole)| *whole),
                dw::DW_AT_decl_file => declared.file = file_number(attr.value()),
                dw::DW_AT_decl_line => declared.line = attr.udata_value().and_then(|line| u32::try_from(line).ok()),
                dw::DW_AT_noreturn => declared.noreturn = attr.value() == AttributeValue::Flag(true),
                _ => {}
            }
        }
        let (Some((name, _)), Some(_), Some(_)) = (name, declared.file, declared.line) else { continue };
        budget.room(2 * size_of::<Declared>())?;
        match found.get_mut(name.as_str()) {
            Some(list) => list.push(declared),
            None => {
                budget.room(name.len() + ROOM_PER_NAME)?;
                found.insert(name.into_boxed_str(), vec![declared]);
            }
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
