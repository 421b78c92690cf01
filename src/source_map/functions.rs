//! What the debug info says of functions as a whole: where each is declared, and whether it ever returns.
//!
//! In: the entries of a unit.  Out: [`Function`]s, definitions and mere declarations.
//! Holds afterwards: what a definition refers to (its declaration, its abstract instance) has been added to it.
//! Reads like: DWARF 5 §3.3.1 (`DW_AT_noreturn`, `DW_AT_declaration`), §2.13.2 (`DW_AT_specification`).

use std::sync::Arc;

use gimli::{AttributeValue, UnitRef, constants as dw};
use rustc_hash::FxHashMap;

use super::SourceMap;
use super::budget::Budget;
use super::inlines::file_number;
use super::sections::Slice;
use super::units::text;

/// What is known of a function.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Function {
    /// Its name as the symbol table spells it.
    pub name: String,
    /// The file of its declaration.
    pub file: Option<Arc<str>>,
    /// The line of its declaration, from 1.
    pub line: Option<u32>,
    /// Whether it is declared never to return.
    pub noreturn: bool,
}

/// From a definition over its declaration to an abstract instance, and one to spare.
const MAX_REFERENCES: usize = 4;

/// An entry as it is written.
#[derive(Clone, Debug, Default)]
struct Entry {
    table: Option<usize>,
    linkage: Option<String>,
    name: Option<String>,
    file: Option<u64>,
    line: Option<u32>,
    noreturn: bool,
    refers_to: Option<usize>,
}

/// Reads the functions of `unit` into `found`, by their offsets in `.debug_info`. What follows an error is lost.
fn read(unit: UnitRef<'_, Slice<'_>>, table: Option<usize>, found: &mut FxHashMap<usize, Entry>, budget: &Budget) {
    // Broken off at an error: what was read so far is right.
    let _ = read_entries(unit, table, found, budget);
}

fn read_entries(
    unit: UnitRef<'_, Slice<'_>>,
    table: Option<usize>,
    found: &mut FxHashMap<usize, Entry>,
    budget: &Budget,
) -> Result<(), gimli::Error> {
    let Some(start) = unit.header.debug_info_offset() else { return Ok(()) };
    // A forged unit may hold many entries that refer to one long name.
    let text = |value| {
        let (text, _) = text(unit, value, budget)?;
        budget.room(text.len()).ok()?;
        Some(text)
    };
    let mut entries = unit.entries_raw(None)?;
    while !entries.is_empty() {
        let offset = entries.next_offset();
        let Some(abbrev) = entries.read_abbreviation()? else { continue };
        if budget.work(1 + abbrev.attributes().len()).is_err() {
            return Ok(());
        }
        if abbrev.tag() != dw::DW_TAG_subprogram {
            entries.skip_attributes(abbrev.attributes())?;
            continue;
        }
        if budget.room(size_of::<Entry>()).is_err() {
            return Ok(());
        }
        let mut entry = Entry { table, ..Entry::default() };
        for spec in abbrev.attributes() {
            let attr = entries.read_attribute(*spec)?;
            match attr.name() {
                dw::DW_AT_linkage_name | dw::DW_AT_MIPS_linkage_name => entry.linkage = text(attr.value()),
                dw::DW_AT_name => entry.name = text(attr.value()),
                dw::DW_AT_decl_file => entry.file = file_number(attr.value()),
                dw::DW_AT_decl_line => entry.line = attr.udata_value().and_then(|line| u32::try_from(line).ok()),
                dw::DW_AT_noreturn => entry.noreturn = matches!(attr.value(), AttributeValue::Flag(true)),
                dw::DW_AT_specification | dw::DW_AT_abstract_origin => {
                    entry.refers_to = match attr.value() {
                        AttributeValue::UnitRef(at) => start.0.checked_add(at.0),
                        AttributeValue::DebugInfoRef(at) => Some(at.0),
                        _ => None,
                    };
                }
                _ => {}
            }
        }
        found.insert(start.0.saturating_add(offset.0), entry);
    }
    Ok(())
}

impl SourceMap {
    /// All functions that the object defines or declares, sorted by name; several entries of one name are one.
    pub fn functions(&self) -> Vec<Function> {
        let mut entries = FxHashMap::default();
        for (index, unit) in self.units.units.iter().enumerate() {
            self.with_unit(index, |dwarf| read(dwarf, unit.table, &mut entries, &self.budget));
        }
        self.joined(&entries)
    }

    /// The function of this name among those of the unit that the code at `at` belongs to.
    pub fn function(&self, at: crate::ids::CodeLoc, name: &str) -> Option<Function> {
        let address = self.sections.address(at)?;
        self.units.of(address).find_map(|index| {
            let functions = self.functions.get(index)?.get_or_init(|| {
                let table = self.units.units.get(index).and_then(|unit| unit.table);
                let mut entries = FxHashMap::default();
                self.with_unit(index, |dwarf| read(dwarf, table, &mut entries, &self.budget));
                self.joined(&entries)
            });
            let found = functions.binary_search_by(|function| function.name.as_str().cmp(name)).ok()?;
            functions.get(found).cloned()
        })
    }

    fn joined(&self, entries: &FxHashMap<usize, Entry>) -> Vec<Function> {
        let mut functions: Vec<Function> =
            entries.values().filter_map(|entry| self.joined_one(entries, entry)).collect();
        functions.sort_by(|a, b| {
            (&a.name, a.line.is_none(), &a.file, a.line).cmp(&(&b.name, b.line.is_none(), &b.file, b.line))
        });
        functions.dedup_by(|later, kept| {
            let same = later.name == kept.name;
            kept.noreturn |= same && later.noreturn;
            same
        });
        functions
    }

    fn joined_one(&self, entries: &FxHashMap<usize, Entry>, entry: &Entry) -> Option<Function> {
        let mut whole = entry.clone();
        let mut next = entry.refers_to;
        for _ in 0..MAX_REFERENCES {
            let Some(other) = next.and_then(|at| entries.get(&at)) else { break };
            whole.noreturn |= other.noreturn;
            whole.linkage = whole.linkage.or_else(|| other.linkage.clone());
            whole.name = whole.name.or_else(|| other.name.clone());
            if whole.line.is_none() {
                (whole.table, whole.file, whole.line) = (other.table, other.file, other.line);
            }
            next = other.refers_to;
        }
        let file = whole.table.zip(whole.file).and_then(|(table, number)| self.file(table, number));
        let name = whole.linkage.or(whole.name)?;
        Some(Function { name, file, line: whole.line.filter(|line| *line > 0), noreturn: whole.noreturn })
    }
}
