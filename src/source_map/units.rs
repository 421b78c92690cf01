//! Finds the unit that an address belongs to.
//!
//! In: [`DebugSections`].  Out: [`Units`]: which addresses each unit claims, and where its line table is.
//! Holds afterwards: line tables do not overlap, so that their rows together are fewer than the bytes of `.debug_line`.
//! Reads like: DWARF 5 §3.1.1 (unit entries), §2.17 (ranges).

use gimli::{DebugInfoOffset, DebugLineOffset, Section, UnitHeader, UnitType};

use super::sections::Slice;

/// One compilation unit.
#[derive(Debug)]
pub struct Unit {
    /// Where its header is in `.debug_info`.
    pub offset: DebugInfoOffset,
    /// Its line table, by position in [`Units::tables`].
    pub table: Option<usize>,
}

/// A line table. Units may share one.
#[derive(Clone, Copy, Debug)]
pub struct Table {
    /// Where it is in `.debug_line`.
    pub offset: DebugLineOffset,
    /// A unit that names it.
    pub unit: usize,
}

/// The units of an object.
#[derive(Debug, Default)]
pub struct Units {
    /// By offset.
    pub units: Vec<Unit>,
    /// By offset.
    pub tables: Vec<Table>,
    claims: Stab,
    /// Units that do not say which addresses they claim.
    vague: Vec<usize>,
}

impl Units {
    /// Reads the root entry of each unit. A broken unit is left out; what stands behind a broken header can not be found.
    pub fn read(dwarf: &gimli::Dwarf<Slice<'_>>) -> Result<Units, gimli::Error> {
        let mut found = Units::default();
        let mut claims = Vec::new();
        let mut tables: Vec<(usize, usize, usize)> = Vec::new();
        let (mut headers, mut problem) = (dwarf.units(), None);
        // The header of a line table is read once per unit that names it; only forged units share one by the thousand.
        let mut header_budget = dwarf.debug_line.reader().len().saturating_mul(16);
        loop {
            let header = match headers.next() {
                Ok(Some(header)) => header,
                Ok(None) => break,
                Err(error) => {
                    problem = Some(error);
                    break;
                }
            };
            if !has_code(&header) {
                continue;
            }
            let (Some(offset), Ok(unit)) = (header.debug_info_offset(), dwarf.unit(header)) else { continue };
            let index = found.units.len();
            if let Some(program) = &unit.line_program {
                let header = program.header();
                tables.push((header.offset().0, header.offset().0.saturating_add(header.unit_length()), index));
                match header_budget.checked_sub(header.header_length()) {
                    Some(left) => header_budget = left,
                    None => break,
                }
            }
            found.units.push(Unit { offset, table: None });
            let before = claims.len();
            if let Ok(mut ranges) = dwarf.unit_ranges(&unit) {
                while let Ok(Some(range)) = ranges.next() {
                    claims.push(Span { begin: range.begin, end: range.end, value: index });
                }
            }
            if claims.len() == before {
                found.vague.push(index);
            }
        }
        if let (true, Some(error)) = (found.units.is_empty(), problem) {
            return Err(error);
        }
        found.claims = Stab::new(claims);
        found.take_tables(tables);
        Ok(found)
    }

    /// The units that may know `address`, the best first. Padding behind a function is claimed by no unit, yet its line
    /// table goes on to the next function.
    pub fn of(&self, address: u64) -> impl Iterator<Item = usize> {
        let claims = self.claims.at(address).chain(self.claims.before(address));
        claims.map(|span| span.value).chain(self.vague.iter().copied())
    }

    /// The unit whose entries include the byte at `offset` of `.debug_info`.
    pub fn at_offset(&self, offset: DebugInfoOffset) -> Option<&Unit> {
        self.units.get(self.units.partition_point(|unit| unit.offset.0 <= offset.0).checked_sub(1)?)
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

/// Addresses with something that is known about them.
#[derive(Clone, Copy, Debug)]
pub struct Span {
    /// The first address.
    pub begin: u64,
    /// The address behind the last.
    pub end: u64,
    /// Whatever it is.
    pub value: usize,
}

/// Answers which spans contain an address.
#[derive(Debug, Default)]
pub struct Stab {
    /// By start.
    spans: Vec<Span>,
    /// The greatest end of all spans up to this one.
    reach: Vec<u64>,
}

impl Stab {
    /// Takes the spans in any order. Empty ones are dropped.
    pub fn new(mut spans: Vec<Span>) -> Stab {
        spans.retain(|span| span.begin < span.end);
        spans.sort_by_key(|span| span.begin);
        spans.shrink_to_fit();
        let reach = spans
            .iter()
            .scan(0, |reach: &mut u64, span| {
                *reach = span.end.max(*reach);
                Some(*reach)
            })
            .collect();
        Stab { spans, reach }
    }

    /// The spans that contain `address`, those that start last first.
    pub fn at(&self, address: u64) -> impl Iterator<Item = Span> {
        let behind = self.spans.partition_point(|span| span.begin <= address);
        let candidates = self.spans.iter().zip(&self.reach).take(behind).rev();
        candidates
            .take_while(move |&(_, &reach)| reach > address)
            .map(|(&span, _)| span)
            .filter(move |s| s.end > address)
    }

    /// The span that starts last before `address`, or at it.
    pub fn before(&self, address: u64) -> Option<Span> {
        let behind = self.spans.partition_point(|span| span.begin <= address);
        self.spans.get(behind.checked_sub(1)?).copied()
    }

    /// All spans, by start.
    pub fn iter(&self) -> impl Iterator<Item = Span> {
        self.spans.iter().copied()
    }
}
