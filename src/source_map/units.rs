//! Finds the unit that an address belongs to.
//!
//! In: [`DebugSections`](super::sections::DebugSections).  Out: [`Units`]: which addresses each unit claims, and where its
//! line table is.
//! Holds afterwards: line tables do not overlap, so that their rows together are fewer than the bytes of `.debug_line`;
//! opening a unit takes its cost from the budget first.
//! Reads like: DWARF 5 §3.1.1 (unit entries), §2.17 (ranges), §7.5.3 (abbreviations), §6.2.4 (line table header).

use std::sync::Arc;

use gimli::{
    Abbreviations, AttributeValue, DebugAbbrevOffset, DebugInfoOffset, DebugLineOffset, Reader, Section, UnitHeader,
    UnitType, constants as dw,
};
use rustc_hash::FxHashMap;

use crate::clean;

use super::budget::{Budget, LONGEST_NAME, Spent};
use super::sections::Slice;
use super::stab::{Span, Stab};

/// One compilation unit.
#[derive(Debug)]
pub(super) struct Unit {
    /// Where its header is in `.debug_info`.
    pub offset: DebugInfoOffset,
    /// Its line table, by position in [`Units::tables`].
    pub table: Option<usize>,
}

/// A line table. Units may share one.
#[derive(Clone, Copy, Debug)]
pub(super) struct Table {
    /// Where it is in `.debug_line`.
    pub offset: DebugLineOffset,
    /// A unit that names it.
    pub unit: usize,
}

/// The units of an object.
#[derive(Debug, Default)]
pub(super) struct Units {
    /// By offset.
    pub units: Vec<Unit>,
    /// By offset.
    pub tables: Vec<Table>,
    /// Units that do not say which addresses they claim.
    pub vague: Vec<usize>,
    claims: Stab,
    /// Abbreviations that several units share, by offset.
    shared: FxHashMap<usize, Arc<Abbreviations>>,
}

/// Why a unit can not be opened.
pub(super) enum Closed {
    /// It is broken.
    Broken,
    /// It costs more than is left.
    Costly,
}

impl From<gimli::Error> for Closed {
    fn from(_: gimli::Error) -> Self {
        Closed::Broken
    }
}

impl From<Spent> for Closed {
    fn from(_: Spent) -> Self {
        Closed::Costly
    }
}

/// Why units can not be read.
pub enum Unreadable {
    /// There is none before the first error.
    Broken(gimli::Error),
    /// They cost more than their size justifies.
    Costly,
}

impl From<Spent> for Unreadable {
    fn from(_: Spent) -> Self {
        Unreadable::Costly
    }
}

/// Of the units that claim an address this many are asked for a line. Claims of a compiler do not overlap.
const MOST_CLAIMS: usize = 16;
/// What gimli keeps for a byte of a line table's header while the unit is open: an entry of one byte takes this much.
const ROOM_PER_HEADER_BYTE: usize = 128;
/// The same for abbreviations.
const ROOM_PER_ABBREVIATION_BYTE: usize = 24;
/// Strings are searched for their ends this much faster than entries are read.
const STRING_SPEED: usize = 16;

impl Units {
    /// Reads the root entry of each unit. A broken unit is left out; what stands behind a broken header can not be found.
    pub(super) fn read(dwarf: &gimli::Dwarf<Slice<'_>>, budget: &Budget) -> Result<Units, Unreadable> {
        let mut found = Units::default();
        found.share_abbreviations(dwarf, budget)?;
        let mut claims = Vec::new();
        let mut tables: Vec<(usize, usize, usize)> = Vec::new();
        let (mut headers, mut problem) = (dwarf.units(), None);
        loop {
            let header = match headers.next() {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            };
            let Some(offset) = header.debug_info_offset().filter(|_| has_code(&header)) else { continue };
            let unit = match found.open(dwarf, header, budget) {
                Ok(unit) => unit,
                Err(Closed::Broken) => continue,
                Err(Closed::Costly) => return Err(Unreadable::Costly),
            };
            let index = found.units.len();
            if let Some(program) = &unit.line_program {
                let header = program.header();
                tables.push((header.offset().0, header.offset().0.saturating_add(header.unit_length()), index));
            }
            found.units.push(Unit { offset, table: None });
            let before = claims.len();
            each_range(dwarf, &unit, budget, |begin, end| claims.push(Span { begin, end, value: index }))?;
            if claims.len() == before {
                found.vague.push(index);
            }
        }
        if let (true, Some(error)) = (found.units.is_empty(), problem) {
            return Err(Unreadable::Broken(error));
        }
        found.claims = Stab::new(claims);
        found.take_tables(tables);
        Ok(found)
    }

    /// The units that claim `address`, the best first. Padding behind a function is claimed by no unit, yet its line table
    /// goes on to the next function.
    pub(super) fn of(&self, address: u64) -> impl Iterator<Item = usize> {
        let claims = self.claims.at(address).take(MOST_CLAIMS).chain(self.claims.before(address));
        claims.map(|span| span.value)
    }

    /// The unit whose entries include the byte at `offset` of `.debug_info`.
    pub(super) fn at_offset(&self, offset: DebugInfoOffset) -> Option<&Unit> {
        self.units.get(self.units.partition_point(|unit| unit.offset.0 <= offset.0).checked_sub(1)?)
    }

    /// Reads what is needed to read a unit's entries.
    pub(super) fn open<'data>(
        &self,
        dwarf: &gimli::Dwarf<Slice<'data>>,
        header: UnitHeader<Slice<'data>>,
        budget: &Budget,
    ) -> Result<gimli::Unit<Slice<'data>>, Closed> {
        let at = header.debug_abbrev_offset();
        let abbreviations = match self.shared.get(&at.0) {
            Some(abbreviations) => abbreviations.clone(),
            None => {
                budget.work(abbreviations_len(dwarf, at))?;
                Arc::new(dwarf.debug_abbrev.abbreviations(at)?)
            }
        };
        charge_root(dwarf, &header, &abbreviations, budget)?;
        Ok(gimli::Unit::new_with_abbreviations(dwarf, header, abbreviations)?)
    }

    /// Reads abbreviations that several units have, once.
    fn share_abbreviations(&mut self, dwarf: &gimli::Dwarf<Slice<'_>>, budget: &Budget) -> Result<(), Unreadable> {
        let mut offsets = Vec::new();
        let mut headers = dwarf.units();
        while let Ok(Some(header)) = headers.next() {
            offsets.push(header.debug_abbrev_offset());
        }
        offsets.sort_unstable_by_key(|offset| offset.0);
        for alike in offsets.chunk_by(|a, b| a == b).filter(|alike| alike.len() > 1) {
            let length = abbreviations_len(dwarf, alike[0]);
            budget.work(length)?;
            budget.room(length.saturating_mul(ROOM_PER_ABBREVIATION_BYTE))?;
            if let Ok(abbreviations) = dwarf.debug_abbrev.abbreviations(alike[0]) {
                self.shared.insert(alike[0].0, Arc::new(abbreviations));
            }
        }
        Ok(())
    }

    fn take_tables(&mut self, mut found: Vec<(usize, usize, usize)>) {
        found.sort_unstable();
        let mut end_of_last = 0;
        for (start, end, unit) in found {
            let offset = DebugLineOffset(start);
            if self.tables.last().is_none_or(|last| last.offset != offset) {
                if start < end_of_last {
                    continue;
                }
                end_of_last = end;
                self.tables.push(Table { offset, unit });
            }
            if let Some(unit) = self.units.get_mut(unit) {
                unit.table = self.tables.len().checked_sub(1);
            }
        }
    }
}

/// Partial units are only referred to, type units only describe types.
fn has_code(header: &UnitHeader<Slice<'_>>) -> bool {
    matches!(header.type_(), UnitType::Compilation | UnitType::Skeleton(_) | UnitType::SplitCompilation(_))
}

/// The bytes of the abbreviations that begin at an offset. Tables of a compiler do not overlap.
fn abbreviations_len(dwarf: &gimli::Dwarf<Slice<'_>>, at: DebugAbbrevOffset) -> usize {
    let mut rest = *dwarf.debug_abbrev.reader();
    if rest.skip(at.0).is_err() {
        return 0;
    }
    let before = rest.len();
    let mut read = || -> gimli::Result<()> {
        while !rest.is_empty() && rest.read_uleb128()? != 0 {
            rest.read_uleb128()?;
            rest.read_u8()?;
            loop {
                let (name, form) = (rest.read_uleb128()?, rest.read_uleb128()?);
                if (name, form) == (0, 0) {
                    break;
                }
                if form == u64::from(dw::DW_FORM_implicit_const.0) {
                    rest.read_sleb128()?;
                }
            }
        }
        Ok(())
    };
    let _ = read();
    before - rest.len()
}

/// Takes the cost of a unit's root entry from the budget: its attributes, of which an abbreviation may have any number that
/// take no byte, its strings, and the header of its line table.
fn charge_root(
    dwarf: &gimli::Dwarf<Slice<'_>>,
    header: &UnitHeader<Slice<'_>>,
    abbreviations: &Abbreviations,
    budget: &Budget,
) -> Result<(), Closed> {
    let mut entries = header.entries_raw(abbreviations, None)?;
    let Some(abbrev) = entries.read_abbreviation()? else { return Err(Closed::Broken) };
    budget.work(abbrev.attributes().len().saturating_mul(2).saturating_add(16))?;
    for spec in abbrev.attributes() {
        let attr = entries.read_attribute(*spec)?;
        match (attr.name(), attr.value()) {
            (dw::DW_AT_name | dw::DW_AT_comp_dir, value) => budget.work(string_len(dwarf, &value) / STRING_SPEED)?,
            (dw::DW_AT_stmt_list, AttributeValue::DebugLineRef(offset)) => {
                let length = line_header_len(dwarf, offset);
                if length.saturating_mul(ROOM_PER_HEADER_BYTE) as u64 > budget.room_left() {
                    return Err(Closed::Costly);
                }
                budget.work(length)?;
            }
            _ => {}
        }
    }
    Ok(())
}

/// How far the end of a string of a string section is.
fn string_len(dwarf: &gimli::Dwarf<Slice<'_>>, value: &AttributeValue<Slice<'_>>) -> usize {
    let rest = match *value {
        AttributeValue::DebugStrRef(offset) => tail(*dwarf.debug_str.reader(), offset.0),
        AttributeValue::DebugLineStrRef(offset) => tail(*dwarf.debug_line_str.reader(), offset.0),
        // Where an index leads is not known before the unit is open.
        AttributeValue::DebugStrOffsetsIndex(_) => return dwarf.debug_str.reader().len().min(LONGEST_NAME),
        _ => return 0,
    };
    rest.map_or(0, |rest| rest.find(0).unwrap_or(rest.len()))
}

fn tail(mut section: Slice<'_>, offset: usize) -> Option<Slice<'_>> {
    section.skip(offset).ok()?;
    Some(section)
}

/// The bytes of a line table's header, as it claims.
fn line_header_len(dwarf: &gimli::Dwarf<Slice<'_>>, offset: DebugLineOffset) -> usize {
    let Some(mut rest) = tail(*dwarf.debug_line.reader(), offset.0) else { return 0 };
    let mut read = || -> gimli::Result<usize> {
        let (_, format) = rest.read_initial_length()?;
        if rest.read_u16()? >= 5 {
            rest.skip(2)?;
        }
        let length = rest.read_length(format)?;
        Ok(length.min(rest.len()))
    };
    read().unwrap_or(0)
}

/// Hands out the ranges that the root entry of a unit claims, up to an error.
fn each_range<'data>(
    dwarf: &gimli::Dwarf<Slice<'data>>,
    unit: &gimli::Unit<Slice<'data>>,
    budget: &Budget,
    mut take: impl FnMut(u64, u64),
) -> Result<(), Spent> {
    let mut ranges = Ranges::default();
    let read = |ranges: &mut Ranges<'data>| -> gimli::Result<()> {
        let mut entries = unit.entries_raw(None)?;
        let Some(abbrev) = entries.read_abbreviation()? else { return Ok(()) };
        for spec in abbrev.attributes() {
            let attr = entries.read_attribute(*spec)?;
            ranges.note(attr.name(), attr.value());
        }
        Ok(())
    };
    if read(&mut ranges).is_ok() {
        ranges.each(unit.unit_ref(dwarf), budget, &mut take)?;
    }
    Ok(())
}

/// What an entry says of its addresses.
#[derive(Default)]
pub(super) struct Ranges<'data> {
    low: Option<AttributeValue<Slice<'data>>>,
    high: Option<AttributeValue<Slice<'data>>>,
    list: Option<AttributeValue<Slice<'data>>>,
}

impl<'data> Ranges<'data> {
    /// Takes down an attribute, if it is about addresses.
    pub(super) fn note(&mut self, name: dw::DwAt, value: AttributeValue<Slice<'data>>) {
        match name {
            dw::DW_AT_low_pc => self.low = Some(value),
            dw::DW_AT_high_pc => self.high = Some(value),
            dw::DW_AT_ranges => self.list = Some(value),
            _ => {}
        }
    }

    /// Hands out all, up to an error. Each is taken from the budget, those that say nothing too.
    pub(super) fn each(
        self,
        unit: gimli::UnitRef<'_, Slice<'data>>,
        budget: &Budget,
        take: &mut impl FnMut(u64, u64),
    ) -> Result<(), Spent> {
        let mut take = |begin, end| -> Result<(), Spent> {
            budget.room(2 * size_of::<Span>())?;
            take(begin, end);
            Ok(())
        };
        let list = self.list.and_then(|list| unit.attr_ranges(list).ok().flatten());
        if let Some(mut list) = list {
            while let Ok(Some(raw)) = list.next_raw() {
                budget.work(1)?;
                match list.convert_raw(raw) {
                    Ok(Some(range)) => take(range.begin, range.end)?,
                    Ok(None) => {}
                    Err(_) => break,
                }
            }
            return Ok(());
        }
        let address = |value| unit.attr_address(value).ok().flatten();
        let (Some(begin), Some(high)) = (self.low.and_then(address), self.high) else { return Ok(()) };
        let end = match high.udata_value() {
            Some(size) => Some(begin.wrapping_add(size)),
            None => address(high),
        };
        end.map_or(Ok(()), |end| take(begin, end))
    }
}

/// The text of a string attribute: all of it, or what fits into a name, and whether that is all.
pub(super) fn text<'data>(
    unit: gimli::UnitRef<'_, Slice<'data>>,
    value: AttributeValue<Slice<'data>>,
    budget: &Budget,
) -> Option<(String, bool)> {
    let dwarf = unit.dwarf;
    let offsets = || {
        let AttributeValue::DebugStrOffsetsIndex(index) = value else { return None };
        dwarf.debug_str_offsets.get_str_offset(unit.encoding().format, unit.str_offsets_base, index).ok()
    };
    let rest = match value {
        AttributeValue::String(text) => text,
        AttributeValue::DebugStrRef(offset) => tail(*dwarf.debug_str.reader(), offset.0)?,
        AttributeValue::DebugLineStrRef(offset) => tail(*dwarf.debug_line_str.reader(), offset.0)?,
        AttributeValue::DebugStrOffsetsIndex(_) => tail(*dwarf.debug_str.reader(), offsets()?.0)?,
        _ => return None,
    };
    let bytes = rest.slice().get(..rest.len().min(LONGEST_NAME + 1)).unwrap_or(&[]);
    let end = bytes.iter().position(|&byte| byte == 0);
    let whole = end.is_some() || (matches!(value, AttributeValue::String(_)) && bytes.len() <= LONGEST_NAME);
    let name = bytes.get(..end.unwrap_or(bytes.len()).min(LONGEST_NAME))?;
    budget.work(1 + name.len() / STRING_SPEED).ok()?;
    Some((clean::names(String::from_utf8_lossy(name).into_owned()), whole))
}
