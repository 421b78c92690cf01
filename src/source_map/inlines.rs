//! Which functions were inlined at an address.
//!
//! In: the entries of a unit.  Out: [`Inlines`].
//! Holds afterwards: nesting is kept as a depth; nothing here recurses, however deep the input nests.
//! Reads like: DWARF 5 §3.3.8 (inlined subroutines).

use gimli::{AttributeValue, DebugInfoOffset, Section, UnitRef, constants as dw};
use rustc_hash::FxHashMap;

use super::sections::Slice;
use super::units::{Span, Stab, Units};

/// A call that was replaced by the function's body.
#[derive(Clone, Debug)]
pub struct Call {
    /// The inlined function, demangled.
    pub function: String,
    /// The file of the call, by its number in the unit's line table.
    pub file: Option<u64>,
    /// The line of the call.
    pub line: Option<u32>,
    /// How many other inlined calls this one is inside of.
    depth: usize,
}

/// The inlined calls of a unit.
#[derive(Debug, Default)]
pub struct Inlines {
    calls: Vec<Call>,
    spans: Stab,
}

impl Inlines {
    /// Reads the entries of `unit`. What stands behind an error in them is lost.
    pub fn read(units: &Units, unit: UnitRef<'_, Slice<'_>>) -> Inlines {
        let mut reader = InlineReader { names: Names::new(units, unit), calls: Vec::new(), spans: Vec::new(), unit };
        // Broken off at an error: what was read so far is right.
        let _ = reader.read();
        Inlines { calls: reader.calls, spans: Stab::new(reader.spans) }
    }

    /// The calls inlined at `address`, innermost first.
    pub fn at(&self, address: u64) -> Vec<&Call> {
        let mut calls: Vec<&Call> = self.spans.at(address).filter_map(|span| self.calls.get(span.value)).collect();
        calls.sort_by_key(|call| std::cmp::Reverse(call.depth));
        calls
    }

    /// All calls with the addresses of their bodies.
    pub fn iter(&self) -> impl Iterator<Item = (&Call, u64, u64)> {
        self.spans.iter().filter_map(|span| Some((self.calls.get(span.value)?, span.begin, span.end)))
    }
}

struct InlineReader<'a, 'data> {
    names: Names<'a, 'data>,
    calls: Vec<Call>,
    spans: Vec<Span>,
    unit: UnitRef<'a, Slice<'data>>,
}

impl<'a, 'data> InlineReader<'a, 'data> {
    fn read(&mut self) -> Result<(), gimli::Error> {
        // Each entry has its own ranges; only a forged unit has many more than bytes.
        let span_limit = self.unit.dwarf.debug_info.reader().len();
        let mut entries = self.unit.entries_raw(None)?;
        let mut open: Vec<isize> = Vec::new();
        while !entries.is_empty() && self.spans.len() < span_limit {
            let depth = entries.next_depth();
            let Some(abbrev) = entries.read_abbreviation()? else { continue };
            while open.last().is_some_and(|&outer| outer >= depth) {
                open.pop();
            }
            if abbrev.tag() != dw::DW_TAG_inlined_subroutine {
                entries.skip_attributes(abbrev.attributes())?;
                continue;
            }
            let mut call = Call { function: String::new(), file: None, line: None, depth: open.len() };
            let mut ranges = Ranges::default();
            for spec in abbrev.attributes() {
                let attr = entries.read_attribute(*spec)?;
                match attr.name() {
                    dw::DW_AT_abstract_origin => call.function = self.names.of(attr.value()),
                    dw::DW_AT_call_file => call.file = file_number(attr.value()),
                    dw::DW_AT_call_line => call.line = attr.udata_value().and_then(|line| u32::try_from(line).ok()),
                    dw::DW_AT_low_pc => ranges.low = self.unit.attr_address(attr.value())?,
                    dw::DW_AT_high_pc => ranges.high = Some(attr.value()),
                    dw::DW_AT_ranges => ranges.list = Some(attr.value()),
                    _ => {}
                }
            }
            self.take(ranges)?;
            self.calls.push(call);
            open.push(depth);
        }
        Ok(())
    }

    fn take(&mut self, ranges: Ranges<'data>) -> Result<(), gimli::Error> {
        let value = self.calls.len();
        if let Some(list) = ranges.list {
            let Some(mut list) = self.unit.attr_ranges(list)? else { return Ok(()) };
            while let Some(range) = list.next()? {
                self.spans.push(Span { begin: range.begin, end: range.end, value });
            }
        } else if let (Some(begin), Some(high)) = (ranges.low, ranges.high) {
            let end = match high.udata_value() {
                Some(size) => Some(begin.wrapping_add(size)),
                None => self.unit.attr_address(high)?,
            };
            self.spans.extend(end.map(|end| Span { begin, end, value }));
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

#[derive(Default)]
struct Ranges<'data> {
    low: Option<u64>,
    high: Option<AttributeValue<Slice<'data>>>,
    list: Option<AttributeValue<Slice<'data>>>,
}

/// Names of functions by where they are described.
struct Names<'a, 'data> {
    units: &'a Units,
    unit: UnitRef<'a, Slice<'data>>,
    known: FxHashMap<usize, String>,
    /// Other units that this one refers to, as link-time optimisation makes them.
    others: FxHashMap<usize, Option<gimli::Unit<Slice<'data>>>>,
}

/// From an inlined call to the name: the abstract instance, the declaration, and one to spare.
const MAX_REFERENCES: usize = 4;

impl<'a, 'data> Names<'a, 'data> {
    fn new(units: &'a Units, unit: UnitRef<'a, Slice<'data>>) -> Self {
        Names { units, unit, known: FxHashMap::default(), others: FxHashMap::default() }
    }

    fn of(&mut self, origin: AttributeValue<Slice<'data>>) -> String {
        let Some(offset) = self.absolute(origin, self.unit.header.debug_info_offset()) else { return String::new() };
        if let Some(name) = self.known.get(&offset) {
            return name.clone();
        }
        let name = self.look_up(offset).unwrap_or_default();
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
        for _ in 0..MAX_REFERENCES {
            let home = self.units.at_offset(DebugInfoOffset(offset)).map(|unit| unit.offset);
            let unit = if home == self.unit.header.debug_info_offset() {
                self.unit
            } else {
                let dwarf = self.unit.dwarf;
                let open = || dwarf.unit(dwarf.unit_header(home?).ok()?).ok();
                UnitRef::new(dwarf, self.others.entry(home?.0).or_insert_with(open).as_ref()?)
            };
            let entry = unit.entry(DebugInfoOffset(offset).to_unit_offset(&unit.header)?).ok()?;
            let text = |at| Some(unit.attr_string(entry.attr_value(at)?).ok()?.to_string_lossy().into_owned());
            // A linkage name says more than a name only where it is mangled: `read` is in many Rust modules.
            let linkage = text(dw::DW_AT_linkage_name)
                .and_then(|name| rustc_demangle::try_demangle(&name).ok().map(|name| format!("{name:#}")));
            if let Some(name) = linkage.or_else(|| text(dw::DW_AT_name)) {
                return Some(name);
            }
            let next = entry.attr_value(dw::DW_AT_abstract_origin).or(entry.attr_value(dw::DW_AT_specification))?;
            offset = self.absolute(next, home)?;
        }
        None
    }
}
