//! Which functions were inlined at an address.
//!
//! In: the entries of a unit.  Out: [`Inlines`].
//! Holds afterwards: nesting is kept as a depth; nothing here recurses, however deep the input nests.
//! Reads like: DWARF 5 §3.3.8 (inlined subroutines).

use std::sync::Arc;

use gimli::{AttributeValue, DebugInfoOffset, UnitRef, constants as dw};
use rustc_hash::FxHashMap;

use super::budget::{Budget, Spent};
use super::sections::Slice;
use super::stab::{Span, Stab};
use super::units::{Ranges, Units, text};

/// A call that was replaced by the function's body.
#[derive(Clone, Debug)]
pub(super) struct Call {
    /// The inlined function, demangled.
    pub function: Arc<str>,
    /// The file of the call, by its number in the unit's line table.
    pub file: Option<u64>,
    /// The line of the call.
    pub line: Option<u32>,
    /// How many other inlined calls this one is inside of.
    depth: usize,
}

/// The inlined calls of a unit.
#[derive(Debug, Default)]
pub(super) struct Inlines {
    calls: Vec<Call>,
    spans: Stab,
}

/// Of the calls at an address this many are told, the innermost. No compiler nests that deep.
const DEEPEST: usize = 128;

/// Why the reading of a unit breaks off.
enum Stop {
    Broken,
    Spent,
}

impl From<gimli::Error> for Stop {
    fn from(_: gimli::Error) -> Self {
        Stop::Broken
    }
}

impl From<Spent> for Stop {
    fn from(_: Spent) -> Self {
        Stop::Spent
    }
}

impl Inlines {
    /// Reads the entries of `unit`. What stands behind an error in them is lost, and what the budget does not allow.
    pub(super) fn read(units: &Units, unit: UnitRef<'_, Slice<'_>>, budget: &Budget) -> Inlines {
        let names = Names::new(units, unit, budget);
        let mut reader = InlineReader { names, calls: Vec::new(), spans: Vec::new(), unit, budget };
        // Broken off: what was read so far is right.
        match reader.read() {
            Ok(()) | Err(Stop::Broken | Stop::Spent) => {}
        }
        Inlines { calls: reader.calls, spans: Stab::new(reader.spans) }
    }

    /// The calls inlined at `address`, innermost first.
    pub(super) fn at(&self, address: u64) -> Vec<&Call> {
        let spans = self.spans.at(address).take(DEEPEST);
        let mut calls: Vec<&Call> = spans.filter_map(|span| self.calls.get(span.value)).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.depth));
        calls
    }

    /// All calls with the addresses of their bodies.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Call, u64, u64)> {
        self.spans.iter().filter_map(|span| Some((self.calls.get(span.value)?, span.begin, span.end)))
    }
}

struct InlineReader<'a, 'data> {
    names: Names<'a, 'data>,
    calls: Vec<Call>,
    spans: Vec<Span>,
    unit: UnitRef<'a, Slice<'data>>,
    budget: &'a Budget,
}

impl<'a, 'data> InlineReader<'a, 'data> {
    fn read(&mut self) -> Result<(), Stop> {
        let mut entries = self.unit.entries_raw(None)?;
        let mut open: Vec<isize> = Vec::new();
        while !entries.is_empty() {
            let depth = entries.next_depth();
            self.budget.work(1)?;
            let Some(abbrev) = entries.read_abbreviation()? else { continue };
            // Attributes need not take a byte each.
            self.budget.work(abbrev.attributes().len())?;
            while open.last().is_some_and(|&outer| outer >= depth) {
                open.pop();
            }
            if abbrev.tag() != dw::DW_TAG_inlined_subroutine {
                entries.skip_attributes(abbrev.attributes())?;
                continue;
            }
            self.budget.room(2 * size_of::<Call>())?;
            let mut call = Call { function: self.names.nameless.clone(), file: None, line: None, depth: open.len() };
            let mut ranges = Ranges::default();
            for spec in abbrev.attributes() {
                let attr = entries.read_attribute(*spec)?;
                match attr.name() {
                    dw::DW_AT_abstract_origin => call.function = self.names.of(attr.value()),
                    dw::DW_AT_call_file => call.file = file_number(attr.value()),
                    dw::DW_AT_call_line => call.line = attr.udata_value().and_then(|line| u32::try_from(line).ok()),
                    name => ranges.note(name, attr.value()),
                }
            }
            let (value, spans) = (self.calls.len(), &mut self.spans);
            ranges.each(self.unit, self.budget, &mut |begin, end| spans.push(Span { begin, end, value }))?;
            self.calls.push(call);
            open.push(depth);
        }
        Ok(())
    }
}

/// The number of a file in the unit's line table.
pub(super) fn file_number(value: AttributeValue<Slice<'_>>) -> Option<u64> {
    match value {
        AttributeValue::FileIndex(index) => Some(index),
        other => other.udata_value(),
    }
}

/// Names of functions by where they are described.
struct Names<'a, 'data> {
    units: &'a Units,
    unit: UnitRef<'a, Slice<'data>>,
    budget: &'a Budget,
    nameless: Arc<str>,
    known: FxHashMap<usize, Arc<str>>,
    /// Other units that this one refers to, as link-time optimisation makes them.
    others: FxHashMap<usize, Option<gimli::Unit<Slice<'data>>>>,
}

/// From an inlined call to the name: the abstract instance, the declaration, and one to spare.
const MAX_REFERENCES: usize = 4;
/// What is kept of a name besides its bytes.
const ROOM_PER_NAME: usize = 64;
/// What is kept of another unit.
const ROOM_PER_UNIT: usize = 1024;

impl<'a, 'data> Names<'a, 'data> {
    fn new(units: &'a Units, unit: UnitRef<'a, Slice<'data>>, budget: &'a Budget) -> Self {
        let (known, others) = (FxHashMap::default(), FxHashMap::default());
        Names { units, unit, budget, nameless: Arc::from(""), known, others }
    }

    fn of(&mut self, origin: AttributeValue<Slice<'data>>) -> Arc<str> {
        let Some(offset) = self.absolute(origin, self.unit.header.debug_info_offset()) else {
            return self.nameless.clone();
        };
        if let Some(name) = self.known.get(&offset) {
            return name.clone();
        }
        let name = self.look_up(offset).filter(|name| self.budget.room(name.len() + ROOM_PER_NAME).is_ok());
        let name = name.map_or_else(|| self.nameless.clone(), Arc::from);
        self.known.insert(offset, name.clone());
        name
    }

    /// The offset in `.debug_info` that a reference from the unit at `from` means.
    fn absolute(&self, reference: AttributeValue<Slice<'data>>, from: Option<DebugInfoOffset>) -> Option<usize> {
        match reference {
            AttributeValue::UnitRef(offset) => from?.0.checked_add(offset.0),
            AttributeValue::DebugInfoRef(offset) => Some(offset.0),
            _ => None,
        }
    }

    fn look_up(&mut self, mut offset: usize) -> Option<String> {
        let (units, budget) = (self.units, self.budget);
        for _ in 0..MAX_REFERENCES {
            let home = units.at_offset(DebugInfoOffset(offset)).map(|unit| unit.offset);
            let unit = if home == self.unit.header.debug_info_offset() {
                self.unit
            } else {
                let dwarf = self.unit.dwarf;
                let open = || {
                    budget.room(ROOM_PER_UNIT).ok()?;
                    let mut unit = units.open(dwarf, dwarf.unit_header(home?).ok()?, budget).ok()?;
                    // Its lines are of no use here, and large.
                    unit.line_program = None;
                    Some(unit)
                };
                UnitRef::new(dwarf, self.others.entry(home?.0).or_insert_with(open).as_ref()?)
            };
            let [linkage, name, origin, declaration] = attributes(unit, offset, budget)?;
            let text = |value: Option<AttributeValue<Slice<'data>>>| Some(text(unit, value?, budget)?.0);
            // A linkage name says more than a name only where it is mangled: `read` is in many Rust modules.
            let linkage =
                text(linkage).and_then(|name| rustc_demangle::try_demangle(&name).ok().map(|name| format!("{name:#}")));
            if let Some(name) = linkage.or_else(|| text(name)) {
                return Some(name);
            }
            offset = self.absolute(origin.or(declaration)?, home)?;
        }
        None
    }
}

/// Of the entry at an offset of `.debug_info`: its linkage name, its name, its origin and its declaration.
fn attributes<'data>(
    unit: UnitRef<'_, Slice<'data>>,
    offset: usize,
    budget: &Budget,
) -> Option<[Option<AttributeValue<Slice<'data>>>; 4]> {
    let mut found = [None; 4];
    let at = DebugInfoOffset(offset).to_unit_offset(&unit.header)?;
    let mut entries = unit.entries_raw(Some(at)).ok()?;
    let before = entries.next_offset();
    let abbrev = entries.read_abbreviation().ok()??;
    budget.work(4 + abbrev.attributes().len()).ok()?;
    for spec in abbrev.attributes() {
        let attr = entries.read_attribute(*spec).ok()?;
        let slot = match attr.name() {
            dw::DW_AT_linkage_name => 0,
            dw::DW_AT_name => 1,
            dw::DW_AT_abstract_origin => 2,
            dw::DW_AT_specification => 3,
            _ => continue,
        };
        found[slot] = Some(attr.value());
    }
    // An offset may lead into the middle of another entry, where anything seems to follow.
    budget.work((entries.next_offset().0.saturating_sub(before.0)) / 16).ok()?;
    Some(found)
}
